//! `proxy:type:name`: a table that proxymap(8) reads for us.
//!
//! Where smtputf8_enable is on, keys are checked and folded here, and proxymap is told not to
//! fold; else it folds. The flags are bits of the wire protocol (Postfix: `dict.h`).

use std::rc::Rc;
use std::time::Instant;

use super::folded::Folded;
use super::{Failure, Keys, Request, Spec, Table, TableError};
use crate::ipc::proxymap::{self, ProxyMap};
use crate::log::Fatal;

/// Keys are fixed texts.
pub const FIXED: u32 = 1 << 4;
/// Keys are patterns.
pub const PATTERN: u32 = 1 << 5;
const LOCK: u32 = 1 << 6;
const NO_REGSUB: u32 = 1 << 11;
const FOLD_FIX: u32 = 1 << 14;
const FOLD_MUL: u32 = 1 << 15;
const UTF8_REQUEST: u32 = 1 << 19;
const FILES: u32 = 1 << 21;

/// What proxymap(8) says to a question that it understood and allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The value; it may be empty.
    Found(Vec<u8>),
    /// The table does not have the key.
    NotFound,
    /// The table failed.
    Failed(TableError),
}

/// The way to proxymap(8): asks until it answers. `Fatal` is for a question that it refuses
/// (`proxymap service is not configured for table "…"`).
pub trait Service {
    /// Opens the table `type:name`; `flags` are those that the open call had beyond its request.
    /// The answer has [`FIXED`] or [`PATTERN`].
    fn open(&self, table: &[u8], flags: u32) -> Result<u32, Fatal>;
    /// Looks up `key`; `flags` are those of the request.
    fn lookup(&self, table: &[u8], flags: u32, key: &[u8]) -> Result<Answer, Fatal>;
    /// Between sessions: closes a connection that was idle for too long, and says when to ask
    /// again.
    fn tend(&self, _now: Instant) -> Option<Instant> {
        None
    }
}

impl Service for ProxyMap {
    fn open(&self, table: &[u8], flags: u32) -> Result<u32, Fatal> {
        self.open(table, flags)
    }

    fn lookup(&self, table: &[u8], flags: u32, key: &[u8]) -> Result<Answer, Fatal> {
        Ok(match self.lookup(table, flags, key)? {
            proxymap::Answer::Found(value) => Answer::Found(value),
            proxymap::Answer::NotFound => Answer::NotFound,
            proxymap::Answer::Retry => Answer::Failed(TableError::Retry),
            proxymap::Answer::Config => Answer::Failed(TableError::Config),
        })
    }

    fn tend(&self, now: Instant) -> Option<Instant> {
        self.tend(now)
    }
}

struct Proxied {
    name: Vec<u8>,
    keys: Keys,
    flags: u32,
    service: Rc<dyn Service>,
}

impl Proxied {
    /// What proxymap calls the table.
    fn table(&self) -> &[u8] {
        self.name.strip_prefix(b"proxy:").unwrap_or(&self.name)
    }
}

impl Table for Proxied {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        self.keys
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        match self.service.lookup(self.table(), self.flags, key) {
            Ok(Answer::Found(value)) => Ok(Some(value)),
            Ok(Answer::NotFound) => Ok(None),
            Ok(Answer::Failed(error)) => Err(error),
            Err(Fatal(text)) => {
                error!("{}", text);
                Err(TableError::Config)
            }
        }
    }
}

/// Opens `proxy:type:name`.
pub(super) fn open(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    let service = spec.proxymap;
    let instance = if spec.request.files { FILES } else { 0 };
    let open = service.open(spec.name, instance)?;
    let keys = if open & FIXED != 0 { Keys::Fixed } else { Keys::Pattern };
    let (flags, fold) = flags(spec.request, spec.utf8, keys);
    let service = Rc::clone(service);
    let table = Box::new(Proxied { name: spec.full_name(), keys, flags, service });
    Ok(if spec.utf8 { Box::new(Folded::new(table, fold, true)) } else { table })
}

/// The flags of a lookup, and whether keys are folded here.
fn flags(request: Request, utf8: bool, keys: Keys) -> (u32, bool) {
    let mut flags = LOCK;
    if request.files {
        flags |= FILES;
    }
    if request.no_substitution {
        flags |= NO_REGSUB;
    }
    if request.utf8 {
        flags |= UTF8_REQUEST;
    }
    if utf8 {
        let fold = match keys {
            Keys::Fixed => request.fold_fixed,
            Keys::Pattern => request.fold_pattern,
        };
        return (flags, fold);
    }
    if request.fold_fixed {
        flags |= FOLD_FIX;
    }
    if request.fold_pattern {
        flags |= FOLD_MUL;
    }
    (flags, false)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::config::Config;
    use crate::log::captured;
    use crate::table::Opener;

    /// A proxymap that notes what it is asked, and knows only some keys.
    struct Noting(RefCell<Vec<String>>);

    impl Noting {
        fn note(&self, text: &[u8]) {
            self.0.borrow_mut().push(String::from_utf8_lossy(text).into_owned());
        }
    }

    impl Service for Noting {
        fn open(&self, table: &[u8], flags: u32) -> Result<u32, Fatal> {
            self.note(&fill!("open {} {}", table, flags));
            if table == b"hash:denied" { Err(fatal!("denied")) } else { Ok(FIXED) }
        }

        fn lookup(&self, table: &[u8], flags: u32, key: &[u8]) -> Result<Answer, Fatal> {
            self.note(&fill!("lookup {} {} {}", table, flags, key));
            match key {
                b"there" => Ok(Answer::Found(b"value".to_vec())),
                b"broken" => Ok(Answer::Failed(TableError::Retry)),
                b"refused" => Err(fatal!("refused")),
                _ => Ok(Answer::NotFound),
            }
        }
    }

    #[test]
    fn proxymap_is_asked_with_keys_that_are_folded_and_checked() {
        let config = Config::of_text("smtputf8_enable = yes\n").unwrap();
        let service = Rc::new(Noting(RefCell::default()));
        let mut opener = Opener::new(&config).with_proxymap(service.clone());
        let table = opener.open(b"proxy:hash:/x", Request::ACCESS).unwrap();
        assert_eq!((table.name(), table.keys()), (&b"proxy:hash:/x"[..], Keys::Fixed));
        captured::take();
        assert_eq!(table.lookup(b"THERE"), Ok(Some(b"value".to_vec())));
        assert_eq!(table.lookup(b"x\xff"), Ok(None));
        assert_eq!(table.lookup(b"broken"), Err(TableError::Retry));
        assert_eq!(table.lookup(b"refused"), Err(TableError::Config));
        assert_eq!(captured::take()[1..], ["error: refused"]);
        assert_eq!(
            *service.0.borrow(),
            [
                "open hash:/x 0",
                "lookup hash:/x 524352 there",
                "lookup hash:/x 524352 broken",
                "lookup hash:/x 524352 refused"
            ]
        );
        assert_eq!(
            opener.open(b"proxy:hash:denied", Request::ACCESS).err(),
            Some(fatal!("denied"))
        );
    }

    #[test]
    fn proxymap_folds_only_where_we_do_not() {
        assert_eq!(flags(Request::ACCESS, true, Keys::Fixed), (0x80040, true));
        assert_eq!(flags(Request::ACCESS, true, Keys::Pattern), (0x80040, false));
        assert_eq!(flags(Request::ACCESS, false, Keys::Fixed), (0x84040, false));
        assert_eq!(flags(Request::default(), true, Keys::Fixed), (0x40, false));
    }
}
