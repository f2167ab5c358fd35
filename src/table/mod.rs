//! Lookup tables (DATABASE_README): one trait, a file a type.
#![forbid(unsafe_code)]

use std::rc::Rc;

use crate::config::Config;
use crate::log::Fatal;

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
}

impl Request {
    /// As access(5) tables and address maps are opened: fold fixed keys, UTF-8.
    pub const ACCESS: Self =
        Self { fold_fixed: true, fold_pattern: false, utf8: true, no_substitution: false };
    /// As tables in match lists are opened: UTF-8, no folding.
    pub const MATCH: Self =
        Self { fold_fixed: false, fold_pattern: false, utf8: true, no_substitution: false };
}

/// Opens each table once.
pub struct Opener {
    _private: (),
}

impl Opener {
    /// An opener for a process with this configuration.
    pub fn new(config: &Config) -> Self {
        let _ = config;
        Self { _private: () }
    }

    /// Opens `type:name`. A table that cannot be opened becomes one whose lookups fail (the
    /// reason is logged), unless daemon_table_open_error_is_fatal.
    pub fn open(&mut self, spec: &[u8], request: Request) -> Result<Handle, Fatal> {
        let _ = request;
        Err(fatal!("open dictionary: expecting \"type:name\" form instead of \"{}\"", spec))
    }

    /// The name (`type:name(0,flags)`) of the first table that has changed since it was opened.
    pub fn changed(&self) -> Option<Vec<u8>> {
        None
    }
}
