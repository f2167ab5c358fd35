//! Lookup tables (DATABASE_README): one trait, a file a type; [`opener`] has THE TABLE of types.
#![forbid(unsafe_code)]

pub mod address;
#[cfg(test)]
mod against_postmap;
mod cidr;
mod constant;
mod folded;
mod indexed;
mod inline;
mod lines;
pub mod maps;
mod members;
mod migration;
pub mod network;
pub mod opener;
mod paged;
mod pairs;
mod pcre;
mod plain;
pub mod proxy;
mod regexp;
mod replacement;
mod rules;
mod source;
pub(crate) mod source_keys;
mod surrogate;
mod system;
mod texthash;

use std::borrow::Cow;
use std::rc::Rc;

pub use opener::Opener;

use crate::log::Fatal;
use crate::text::fold::fold;

/// Why a lookup has no answer. The driver has logged the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// May go away by itself.
    #[error("temporary lookup error")]
    Retry,
    /// The table or its configuration is wrong.
    #[error("table configuration error")]
    Config,
}

/// How keys of a table work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// Keys are texts: parts of a key (parent domains, networks) may be asked.
    Fixed,
    /// Keys are patterns: only the whole key is asked.
    Pattern,
}

/// A lookup table.
pub trait Table {
    /// `type:name`, as in main.cf: for logs.
    fn name(&self) -> &[u8];
    /// Whether parts of a key may be asked.
    fn keys(&self) -> Keys;
    /// The value of `key`, `None` when it is not there.
    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError>;
    /// Whether the file behind the table has changed since it was opened ("table has changed").
    fn changed(&self) -> bool {
        false
    }
}

/// An open table; several lists may share one.
pub type Handle = Rc<dyn Table>;

/// What the user of a table asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Request {
    /// Keys are compared without case in tables with fixed keys (Postfix: `DICT_FLAG_FOLD_FIX`).
    pub fold_fixed: bool,
    /// Keys are compared without case in tables with patterns too (`DICT_FLAG_FOLD_MUL`).
    pub fold_pattern: bool,
    /// Keys and values must be UTF-8 where smtputf8_enable is on (`DICT_FLAG_UTF8_REQUEST`).
    pub utf8: bool,
    /// No `$1` in pattern tables (`DICT_FLAG_NO_REGSUB`).
    pub no_substitution: bool,
    /// Values are the content of files, in base64: in the source of a table stand their names
    /// (`DICT_FLAG_SRC_RHS_IS_FILE`).
    pub files: bool,
}

impl Request {
    /// As access(5) tables and address maps are opened: fold fixed keys, UTF-8.
    pub const ACCESS: Self = Self { fold_fixed: true, ..Self::MATCH };
    /// As tables in match lists are opened: UTF-8, no folding.
    pub const MATCH: Self = Self {
        fold_fixed: false,
        fold_pattern: false,
        utf8: true,
        no_substitution: false,
        files: false,
    };
}

impl Request {
    /// The words for it in the name of an open table. As Postfix: `dict_flags_str()`.
    fn words(self) -> String {
        let words = [
            (true, "lock"),
            (self.no_substitution, "no_regsub"),
            (self.fold_fixed, "fold_fix"),
            (self.fold_pattern, "fold_mul"),
            (self.utf8, "utf8_request"),
            (self.files, "src_rhs_is_file"),
        ];
        let words: Vec<_> = words.iter().filter(|word| word.0).map(|word| word.1).collect();
        words.join("|")
    }
}

/// What a type is asked to open.
pub(crate) struct Spec<'a> {
    /// The type.
    kind: &'static str,
    /// What stands behind the colon.
    name: &'a [u8],
    request: Request,
    /// Keys and values are UTF-8: asked for, and smtputf8_enable is on.
    utf8: bool,
    /// The way to proxymap(8).
    proxymap: &'a Rc<dyn proxy::Service>,
}

impl Spec<'_> {
    /// `type:name`.
    fn full_name(&self) -> Vec<u8> {
        fill!("{}:{}", self.kind, self.name)
    }

    /// A value that stands in the source of a table, as it is kept; why it cannot be had.
    fn value<'v>(&self, value: &'v [u8]) -> Result<Cow<'v, [u8]>, Vec<u8>> {
        if self.request.files { source::files(value).map(Cow::Owned) } else { Ok(value.into()) }
    }

    /// A key of a table with fixed keys, as it is kept.
    fn folded<'k>(&self, key: &'k [u8]) -> Cow<'k, [u8]> {
        let changes = |any, byte: &u8| any | byte.is_ascii_uppercase() | (*byte >= 0x80);
        if self.request.fold_fixed && key.iter().fold(false, changes) {
            Cow::Owned(fold(key, self.utf8))
        } else {
            Cow::Borrowed(key)
        }
    }
}

/// Why a table cannot be opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Lookups will fail, and give this reason.
    Unavailable(Vec<u8>),
    /// This process cannot go on.
    Fatal(Fatal),
}

impl From<Vec<u8>> for Failure {
    fn from(reason: Vec<u8>) -> Self {
        Self::Unavailable(reason)
    }
}

impl From<Fatal> for Failure {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}
