//! What the system itself knows, as tables: `unix:passwd.byname`, `unix:group.byname` and
//! `environ:name`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::{Failure, Keys, Spec, Table, TableError};
use crate::sys::users;

/// A database of the system.
struct Database {
    /// What stands behind `unix:`.
    map: &'static str,
    /// What logs call it.
    title: &'static str,
    entry: fn(&[u8]) -> io::Result<Option<Vec<u8>>>,
    /// Whether root is there: if not, nothing is.
    is_there: fn() -> io::Result<bool>,
}

static DATABASES: &[Database] = &[
    Database {
        map: "passwd.byname",
        title: "password",
        entry: users::passwd_entry,
        is_there: users::knows_users,
    },
    Database {
        map: "group.byname",
        title: "group",
        entry: users::group_entry,
        is_there: users::knows_groups,
    },
];

struct Unix {
    name: Vec<u8>,
    database: &'static Database,
}

/// Opens `unix:passwd.byname` or `unix:group.byname`.
pub(super) fn open_unix(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    let database = DATABASES.iter().find(|database| database.map.as_bytes() == spec.name);
    let database = database.ok_or_else(|| fill!("unknown table: unix:{}", spec.name))?;
    Ok(Box::new(Unix { name: spec.full_name(), database }))
}

impl Unix {
    /// Whether somebody is really unknown: where root is, the database cannot be read (from within
    /// a chroot jail, for example).
    fn not_found(&self) -> Result<Option<Vec<u8>>, TableError> {
        match (self.database.is_there)() {
            Ok(true) => Ok(None),
            Ok(false) => self.failed(&io::Error::from_raw_os_error(libc::ENOENT)),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &io::Error) -> Result<Option<Vec<u8>>, TableError> {
        warning!("cannot access UNIX {} database: {}", self.database.title, error);
        Err(TableError::Retry)
    }
}

impl Table for Unix {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        Keys::Fixed
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        match (self.database.entry)(key) {
            Ok(Some(entry)) => Ok(Some(entry)),
            Ok(None) => self.not_found(),
            Err(error) => self.failed(&error),
        }
    }
}

struct Environ {
    name: Vec<u8>,
}

/// Opens `environ:name`; the name means nothing.
pub(super) fn open_environ(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    Ok(Box::new(Environ { name: spec.full_name() }))
}

impl Table for Environ {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        Keys::Fixed
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        if key.is_empty() || key.contains(&0) || key.contains(&b'=') {
            return Ok(None);
        }
        Ok(std::env::var_os(OsStr::from_bytes(key)).map(|value| value.into_vec()))
    }
}
