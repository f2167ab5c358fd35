//! Opens tables, each once, and knows which types there are.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use super::folded::Folded;
use super::migration::{Migration, is_legacy};
use super::proxy::Service;
use super::surrogate::Surrogate;
use super::{
    Failure, Handle, Keys, Request, Spec, Table, cidr, constant, indexed, inline, members, pcre,
    proxy, regexp, system, texthash,
};
use crate::config::Config;
use crate::ipc::proxymap::ProxyMap;
use crate::log::Fatal;

/// How a table is opened.
enum Open {
    /// By itself.
    One(OpenOne),
    /// From its name and the tables that its name lists.
    Members(fn(Vec<u8>, Vec<Handle>) -> Box<dyn Table>),
}

/// How deep tables may be made of tables that are made of tables.
const DEEPEST: usize = 100;

/// A table type.
struct Backend {
    kind: &'static str,
    open: Open,
    /// The type folds and checks keys itself.
    folds: bool,
}

type OpenOne = fn(&Spec<'_>) -> Result<Box<dyn Table>, Failure>;

const fn backend(kind: &'static str, open: OpenOne) -> Backend {
    Backend { kind, open: Open::One(open), folds: false }
}

/// THE TABLE of types that we read.
static TYPES: &[Backend] = &[
    backend("btree", indexed::open_btree),
    backend("cdb", indexed::open_cdb),
    backend("cidr", cidr::open),
    backend("environ", system::open_environ),
    backend("fail", constant::open_fail),
    backend("hash", indexed::open_hash),
    backend("inline", inline::open),
    backend("internal", inline::open_empty),
    backend("lmdb", indexed::open_lmdb),
    backend("pcre", pcre::open),
    Backend { kind: "pipemap", open: Open::Members(members::pipe), folds: false },
    Backend { kind: "proxy", open: Open::One(proxy::open), folds: true },
    backend("randmap", members::open_random),
    backend("regexp", regexp::open),
    backend("static", constant::open_static),
    backend("texthash", texthash::open),
    Backend { kind: "unionmap", open: Open::Members(members::union), folds: false },
    backend("unix", system::open_unix),
];

/// Types that Postfix knows, and that are reached only through proxymap(8).
static ONLY_PROXIED: &[&str] = &[
    "dbm",
    "ldap",
    "memcache",
    "mongodb",
    "mysql",
    "netinfo",
    "nis",
    "nisplus",
    "pgsql",
    "sdbm",
    "socketmap",
    "sqlite",
    "tcp",
];

/// Opens each table once.
pub struct Opener {
    /// Open tables by `type:name(0,flags)`.
    tables: BTreeMap<Vec<u8>, Handle>,
    /// smtputf8_enable.
    utf8: bool,
    /// daemon_table_open_error_is_fatal.
    errors_are_fatal: bool,
    proxymap: Rc<dyn Service>,
    /// hash and btree tables are of other types.
    migration: Option<Rc<Migration>>,
    /// How many tables are being opened, each of them a member of the one before.
    depth: usize,
}

impl Opener {
    /// An opener for a process with this configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            tables: BTreeMap::new(),
            utf8: config.smtputf8_enable,
            errors_are_fatal: config.daemon_table_open_error_is_fatal,
            proxymap: Rc::new(ProxyMap::new(config)),
            migration: Migration::of(config).map(Rc::new),
            depth: 0,
        }
    }

    /// Between sessions: lets proxymap(8) go when it was idle for too long (ipc_idle), and says
    /// when to ask again.
    pub fn tend(&self, now: Instant) -> Option<Instant> {
        self.proxymap.tend(now)
    }

    /// An opener with another proxymap(8): for tests, and for who only looks.
    pub(crate) fn with_proxymap(self, proxymap: Rc<dyn Service>) -> Self {
        Self { proxymap, ..self }
    }

    /// Opens `type:name`. A table that cannot be opened becomes one whose lookups fail (the
    /// reason is logged), unless daemon_table_open_error_is_fatal.
    pub fn open(&mut self, spec: &[u8], request: Request) -> Result<Handle, Fatal> {
        let title = fill!("{}(0,{})", spec, request.words());
        if let Some(table) = self.tables.get(&title) {
            return Ok(Rc::clone(table));
        }
        let table: Handle = Rc::from(self.open_new(spec, request)?);
        self.tables.insert(title, Rc::clone(&table));
        Ok(table)
    }

    /// A table in the place of something else that cannot be used, such as a file of patterns.
    pub fn surrogate(&mut self, name: &[u8], reason: Vec<u8>) -> Result<Handle, Fatal> {
        if let Some(table) = self.tables.get(name) {
            return Ok(Rc::clone(table));
        }
        let table: Handle = Rc::from(self.unavailable(name, reason)?);
        self.tables.insert(name.to_vec(), Rc::clone(&table));
        Ok(table)
    }

    /// The name (`type:name(0,flags)`) of the first table that has changed since it was opened.
    pub fn changed(&self) -> Option<Vec<u8>> {
        self.tables.iter().find(|(_, table)| table.changed()).map(|(title, _)| title.clone())
    }

    fn open_new(&mut self, spec: &[u8], request: Request) -> Result<Box<dyn Table>, Fatal> {
        let wrong =
            || fatal!("open dictionary: expecting \"type:name\" form instead of \"{}\"", spec);
        let colon = spec.iter().position(|byte| *byte == b':').ok_or_else(wrong)?;
        let (kind, name) = (&spec[..colon], &spec[colon + 1..]);
        if kind.is_empty() || name.is_empty() {
            return Err(wrong());
        }
        let kind = match self.migrated(kind, name)? {
            Ok(kind) => kind,
            Err(reason) => return self.unavailable(spec, reason),
        };
        match backend_of(&kind) {
            Some(backend) => self.open_known(backend, name, request),
            None => self.unavailable(spec, unsupported(&kind, spec)),
        }
    }

    /// The type as which `kind:name` is opened, or why it cannot be.
    fn migrated(&mut self, kind: &[u8], name: &[u8]) -> Result<Result<Vec<u8>, Vec<u8>>, Fatal> {
        let Some(migration) = self.migration.clone().filter(|_| is_legacy(kind)) else {
            return Ok(Ok(kind.to_vec()));
        };
        let mapping = &migration.mapping;
        let custom = match mapping.split(|byte| *byte == b':').next().unwrap_or_default() {
            b"" => None,
            legacy if is_legacy(legacy) => {
                let name = "non_bdb_custom_mapping";
                let reason = fill!("{} must not use legacy type: '{}'", name, legacy);
                Some(self.surrogate(mapping, reason)?)
            }
            _ => Some(self.open(mapping, Request::ACCESS)?),
        };
        let known = |kind: &[u8]| backend_of(kind).is_some();
        Ok(migration.redirect((kind, name), custom.as_ref(), known))
    }

    fn open_known(
        &mut self,
        backend: &Backend,
        name: &[u8],
        request: Request,
    ) -> Result<Box<dyn Table>, Fatal> {
        let utf8 = request.utf8 && self.utf8;
        let proxymap = Rc::clone(&self.proxymap);
        let spec = Spec { kind: backend.kind, name, request, utf8, proxymap: &proxymap };
        let table = match backend.open {
            Open::One(open) => open(&spec),
            Open::Members(make) => {
                self.open_members(&spec).map(|members| make(spec.full_name(), members))
            }
        };
        let table = match table {
            Ok(table) => table,
            Err(Failure::Fatal(fatal)) => return Err(fatal),
            Err(Failure::Unavailable(reason)) => self.unavailable(&spec.full_name(), reason)?,
        };
        let fold = match table.keys() {
            Keys::Fixed => request.fold_fixed,
            Keys::Pattern => request.fold_pattern,
        };
        // Members fold by themselves.
        let fold = fold && (utf8 || matches!(backend.open, Open::One(_)));
        if backend.folds || !(fold || utf8) {
            return Ok(table);
        }
        Ok(Box::new(Folded::new(table, fold, utf8)))
    }

    /// Opens the tables of `{type:name, …}`. As Postfix: they are known by their names only,
    /// whatever is asked of them, and shared.
    fn open_members(&mut self, spec: &Spec<'_>) -> Result<Vec<Handle>, Failure> {
        let wrong = || members::bad_syntax(spec.kind, spec.name, "type:name");
        let names = members::words(spec.name).ok_or_else(wrong)?;
        if self.depth >= DEEPEST {
            return Err(fill!("{}: too many tables within each other", spec.kind).into());
        }
        self.depth += 1;
        let mut open = |name: &[u8]| {
            if !name.contains(&b':') {
                return Err(wrong().into());
            }
            if let Some(table) = self.tables.get(name) {
                return Ok(Rc::clone(table));
            }
            let table: Handle = Rc::from(self.open_new(name, spec.request)?);
            self.tables.insert(name.to_vec(), Rc::clone(&table));
            Ok(table)
        };
        let tables = names.into_iter().map(&mut open).collect();
        self.depth -= 1;
        tables
    }

    /// Logs why a table cannot be had, and puts a surrogate in its place.
    fn unavailable(&self, name: &[u8], reason: Vec<u8>) -> Result<Box<dyn Table>, Fatal> {
        if self.errors_are_fatal {
            return Err(Fatal(reason));
        }
        error!("{}", reason);
        Ok(Box::new(Surrogate::new(name.to_vec(), reason)))
    }
}

fn backend_of(kind: &[u8]) -> Option<&'static Backend> {
    TYPES.iter().find(|backend| backend.kind.as_bytes() == kind)
}

/// The tables that `type:name` is made of, in order: itself, where it is made of no others.
pub(crate) fn parts(spec: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut rest) = (Vec::new(), vec![(spec, 0)]);
    while let Some((spec, depth)) = rest.pop() {
        match members_of(spec).filter(|_| depth < DEEPEST) {
            Some(members) => rest.extend(members.into_iter().rev().map(|it| (it, depth + 1))),
            None => parts.push(spec),
        }
    }
    parts
}

/// What stands between the braces of `unionmap:{type:name, …}` and its like.
fn members_of(spec: &[u8]) -> Option<Vec<&[u8]>> {
    let colon = memchr::memchr(b':', spec)?;
    let made_of_others = matches!(backend_of(&spec[..colon])?.open, Open::Members(_));
    if made_of_others { members::words(&spec[colon + 1..]) } else { None }
}

/// Why a type cannot be used, and what to do instead.
fn unsupported(kind: &[u8], spec: &[u8]) -> Vec<u8> {
    if ONLY_PROXIED.iter().any(|known| known.as_bytes() == kind) {
        fill!(
            "unsupported dictionary type: {} (smtpd-rs reads it only through proxymap(8): \
             use \"proxy:{}\", and list that in proxy_read_maps)",
            kind,
            spec
        )
    } else {
        fill!("unsupported dictionary type: {}", kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;
    use crate::table::TableError;

    fn opener(main_cf: &str) -> Opener {
        captured::take();
        Opener::new(&Config::of_text(main_cf).unwrap())
    }

    #[test]
    fn a_table_is_opened_once_a_request() {
        let mut tables = opener("");
        let one = tables.open(b"static:x", Request::ACCESS).unwrap();
        let same = tables.open(b"static:x", Request::ACCESS).unwrap();
        let other = tables.open(b"static:x", Request::MATCH).unwrap();
        assert!(Rc::ptr_eq(&one, &same) && !Rc::ptr_eq(&one, &other));
        assert_eq!(one.lookup(b"any"), Ok(Some(b"x".to_vec())));
        let titles: Vec<_> = tables.tables.into_keys().collect();
        assert_eq!(
            titles,
            [&b"static:x(0,lock|fold_fix|utf8_request)"[..], b"static:x(0,lock|utf8_request)"]
        );
    }

    #[test]
    fn a_table_that_changes_is_named() {
        struct Changing(bool);
        impl Table for Changing {
            fn name(&self) -> &[u8] {
                b"x:y"
            }
            fn keys(&self) -> Keys {
                Keys::Fixed
            }
            fn lookup(&self, _: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
                Ok(None)
            }
            fn changed(&self) -> bool {
                self.0
            }
        }
        let mut tables = opener("");
        tables.tables.insert(b"x:a(0,lock)".to_vec(), Rc::new(Changing(false)));
        assert_eq!(tables.changed(), None);
        tables.tables.insert(
            b"x:b(0,lock)".to_vec(),
            Rc::new(Folded::new(Box::new(Changing(true)), true, true)),
        );
        assert_eq!(tables.changed(), Some(b"x:b(0,lock)".to_vec()));
    }

    #[test]
    fn a_table_that_cannot_be_opened_fails_each_lookup() {
        let mut tables = opener("");
        let table = tables.open(b"regexp:/nowhere/at/all", Request::ACCESS).unwrap();
        let again = tables.open(b"regexp:/nowhere/at/all", Request::ACCESS).unwrap();
        assert!(Rc::ptr_eq(&table, &again));
        assert_eq!(captured::take(), ["error: open /nowhere/at/all: No such file or directory"]);
        assert_eq!(table.lookup(b"x"), Err(TableError::Retry));
        assert_eq!(
            captured::take(),
            ["warning: regexp:/nowhere/at/all is unavailable. \
              open /nowhere/at/all: No such file or directory"]
        );
        assert_eq!(table.keys(), Keys::Pattern);
    }

    #[test]
    fn a_table_that_cannot_be_opened_may_be_fatal() {
        let mut tables = opener("daemon_table_open_error_is_fatal = yes\n");
        let error = tables.open(b"nonsense:x", Request::ACCESS).err();
        assert_eq!(error, Some(fatal!("unsupported dictionary type: nonsense")));
        assert!(captured::take().is_empty());
    }

    #[test]
    fn a_type_that_we_do_not_read_says_what_to_do() {
        let mut tables = opener("");
        let table = tables.open(b"ldap:/etc/postfix/access.cf", Request::ACCESS).unwrap();
        assert_eq!(table.lookup(b"x"), Err(TableError::Retry));
        assert_eq!(
            captured::take()[0],
            "error: unsupported dictionary type: ldap (smtpd-rs reads it only through \
             proxymap(8): use \"proxy:ldap:/etc/postfix/access.cf\", and list that in \
             proxy_read_maps)"
        );
        captured::take();
        tables.open(b"nonsense:x", Request::ACCESS).unwrap();
        assert_eq!(captured::take()[0], "error: unsupported dictionary type: nonsense");
    }

    #[test]
    fn a_table_needs_type_and_name() {
        for spec in ["x", "x:", ":x"] {
            let error = opener("").open(spec.as_bytes(), Request::ACCESS).err();
            let text =
                fill!("open dictionary: expecting \"type:name\" form instead of \"{}\"", spec);
            assert_eq!(error, Some(Fatal(text)));
        }
    }

    #[test]
    fn a_table_that_is_made_of_others_has_parts() {
        let all = |spec| parts(spec).join(&b" "[..]);
        assert_eq!(all(b"texthash:/a"), b"texthash:/a");
        assert_eq!(all(b"randmap:{texthash:/a}"), b"randmap:{texthash:/a}");
        let nested = b"unionmap:{texthash:/a, pipemap:{inline:{{b = c}}, cidr:/d} static:e}";
        assert_eq!(all(nested), b"texthash:/a inline:{{b = c}} cidr:/d static:e");
        for wrong in [&b"unionmap:"[..], b"unionmap:{", b"pipemap:{}x", b"pipemap:{ }", b"x", b""] {
            assert_eq!(all(wrong), wrong);
        }
        let deep = "unionmap:{".repeat(20_000) + "static:x" + &"}".repeat(20_000);
        assert_eq!(parts(deep.as_bytes()).len(), 1);
    }

    #[test]
    fn case_counts_where_nobody_asked_for_folding() {
        let mut tables = opener("smtputf8_enable = yes\n");
        let spec = "inline:{Äb=1, CD=2}".as_bytes();
        let access = tables.open(spec, Request::ACCESS).unwrap();
        assert_eq!(access.lookup("äB".as_bytes()), Ok(Some(b"1".to_vec())));
        let exact = tables.open(spec, Request::MATCH).unwrap();
        assert_eq!(exact.lookup(b"cd"), Ok(None));
        assert_eq!(exact.lookup(b"CD"), Ok(Some(b"2".to_vec())));
        let ascii = opener("smtputf8_enable = no\n").open(spec, Request::ACCESS).unwrap();
        assert_eq!(ascii.lookup("äb".as_bytes()), Ok(None));
        assert_eq!(ascii.lookup("ÄB".as_bytes()), Ok(Some(b"1".to_vec())));
    }

    #[test]
    fn malformed_utf8_is_in_no_table_and_in_no_value() {
        let mut tables = opener("smtputf8_enable = yes\n");
        let table = tables.open(b"static:x", Request::ACCESS).unwrap();
        assert_eq!(table.lookup(b"a\xff"), Ok(None));
        let bad = tables.open(b"static:x\xff", Request::ACCESS).unwrap();
        assert_eq!(bad.lookup(b"a"), Err(TableError::Config));
        assert_eq!(
            captured::take(),
            [
                "warning: static:x: non-UTF-8 key \"a\u{fffd}\": \
                 malformed UTF-8 or invalid codepoint",
                "warning: static:x\u{fffd}: key \"a\": non-UTF-8 value \"x\u{fffd}\": \
                 malformed UTF-8 or invalid codepoint"
            ]
        );
    }
}
