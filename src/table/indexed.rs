//! Tables in indexed files, which postmap(1) makes: `hash:`, `btree:`, `lmdb:`, `cdb:`.
//!
//! They are only read here, as they are on disk, under the lock that postmap waits for. A file
//! that is damaged makes lookups fail, never this process.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::paged::Paged;
use super::{Failure, Keys, Spec, Table, TableError};
use crate::sys::lock::{Shared, Style};
use crate::sys::time;
use crate::wire::bdb::{Bdb, Kind};
use crate::wire::blocks::Broken;
use crate::wire::cdb;
use crate::wire::lmdb::Lmdb;

type Get = fn(&Paged, &[u8]) -> Result<Option<Vec<u8>>, Broken>;

/// What is particular to a type.
struct Form {
    /// What the file is called behind the name of the table.
    suffix: &'static str,
    /// How those who write lock the file. Nobody writes into a cdb file: it is replaced.
    lock: Option<Style>,
    check: fn(&Paged) -> Result<(), Broken>,
    get: Get,
    /// Several may write at any time, so that a change is no reason to begin anew.
    multi_writer: bool,
    /// Logs call the table by its file.
    named_by_file: bool,
    /// What the original and its library say of a file that is not what it should be.
    refusal: &'static str,
    errno: &'static str,
}

/// What the original says of a file that it cannot open.
const OPEN: &str = "open database";

const BDB: Form = Form {
    suffix: ".db",
    lock: Some(Style::Flock),
    check: |file| Bdb::open(file, Kind::Hash).map(drop),
    get: |file, key| Bdb::open(file, Kind::Hash)?.get(key),
    multi_writer: false,
    named_by_file: true,
    refusal: OPEN,
    errno: "Invalid argument",
};
static HASH: Form = BDB;
static BTREE: Form = Form {
    check: |file| Bdb::open(file, Kind::Btree).map(drop),
    get: |file, key| Bdb::open(file, Kind::Btree)?.get(key),
    ..BDB
};
static CDB: Form = Form {
    suffix: ".cdb",
    lock: None,
    check: |file| cdb::check(file),
    get: |file, key| cdb::get(file, key),
    refusal: "dict_cdbq_open: unable to init",
    errno: "Protocol error",
    ..BDB
};
static LMDB: Form = Form {
    suffix: ".lmdb",
    lock: Some(Style::Fcntl),
    check: |file| Lmdb::open(file).map(drop),
    get: |file, key| Lmdb::open(file)?.get(key),
    multi_writer: true,
    named_by_file: false,
    refusal: OPEN,
    errno: "",
};

/// Opens `hash:/file`.
pub(super) fn open_hash(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    open(&HASH, spec)
}

/// Opens `btree:/file`.
pub(super) fn open_btree(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    open(&BTREE, spec)
}

/// Opens `cdb:/file`.
pub(super) fn open_cdb(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    open(&CDB, spec)
}

/// Opens `lmdb:/file`.
pub(super) fn open_lmdb(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    open(&LMDB, spec)
}

fn open(form: &'static Form, spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    let path = fill!("{}{}", spec.name, form.suffix);
    let cannot = |reason: Broken| fill!("{} {}: {}", form.refusal, path, form.words(&reason));
    let file = Paged::open(&path).map_err(|error| fill!("{} {}: {}", OPEN, path, error))?;
    let modified = checked(form, &file).map_err(cannot)?;
    warn_of_age(spec.name, &path, modified);
    let shown = if form.named_by_file { &path[..] } else { spec.name };
    let name = fill!("{}:{}", spec.kind, shown);
    Ok(Box::new(Indexed { form, name, path, file, convention: Cell::new(Convention::Unknown) }))
}

/// Looks whether a file is what it should be, and when it was written.
fn checked(form: &Form, file: &Paged) -> Result<i64, Broken> {
    let _lock = lock(form, file)?;
    file.look()?;
    (form.check)(file)?;
    Ok(file.modified()?)
}

fn lock<'a>(form: &Form, file: &'a Paged) -> Result<Option<Shared<'a>>, Broken> {
    Ok(form.lock.map(|style| Shared::take(file.file(), style)).transpose()?)
}

/// Says that somebody forgot postmap(1), unless the source was changed in this very moment.
fn warn_of_age(source: &[u8], path: &[u8], modified: i64) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let Ok(status) = fs::metadata(Path::new(OsStr::from_bytes(source))) else { return };
    let (now, _) = time::since_epoch(time::now());
    if status.mtime() > modified && status.mtime() < now.saturating_sub(100) {
        warning!("database {} is older than source file {}", path, source);
    }
}

impl Form {
    /// Why a file cannot be read.
    fn words(&self, broken: &Broken) -> Vec<u8> {
        match broken {
            Broken::Format(what) if !self.errno.is_empty() => fill!("{} ({})", self.errno, what),
            broken => fill!("{}", broken),
        }
    }
}

/// Whether a NUL ends keys and values. Whoever wrote the file has decided; the first key that is
/// found shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Convention {
    Unknown,
    Nul,
    Plain,
}

struct Indexed {
    form: &'static Form,
    /// For logs.
    name: Vec<u8>,
    /// The file.
    path: Vec<u8>,
    file: Paged,
    convention: Cell<Convention>,
}

impl Indexed {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        let _lock = lock(self.form, &self.file)?;
        if self.file.look()? {
            self.convention.set(Convention::Unknown);
        }
        let convention = self.convention.get();
        if convention != Convention::Plain {
            let value = (self.form.get)(&self.file, &[key, b"\0"].concat())?;
            if value.is_some() {
                self.convention.set(Convention::Nul);
                return Ok(value);
            }
        }
        if convention == Convention::Nul {
            return Ok(None);
        }
        let value = (self.form.get)(&self.file, key)?;
        if value.is_some() {
            self.convention.set(Convention::Plain);
        }
        Ok(value)
    }
}

impl Table for Indexed {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        Keys::Fixed
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        if key.contains(&0) {
            return Ok(None);
        }
        match self.get(key) {
            Ok(value) => Ok(value.map(before_nul)),
            Err(broken) => {
                let file = if self.form.named_by_file { &self.path } else { &self.name };
                warning!("error reading {}: {}", file, self.form.words(&broken));
                Err(TableError::Retry)
            }
        }
    }

    fn changed(&self) -> bool {
        self.file.removed() || (!self.form.multi_writer && self.file.rewritten())
    }
}

fn before_nul(mut value: Vec<u8>) -> Vec<u8> {
    let end = memchr::memchr(0, &value).unwrap_or(value.len());
    value.truncate(end);
    value
}
