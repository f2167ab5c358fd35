//! Doors for `tests/fuzz` and `tests/corpus.rs`: each takes a stranger's bytes through one parser.
#![forbid(unsafe_code)]

use crate::wire::bdb::{Bdb, Kind};
use crate::wire::cdb;
use crate::wire::lmdb::Lmdb;

/// Keys that the files of the corpus have, or lack.
const KEYS: &[&[u8]] =
    &[b"key1", b"key1\0", b"key23", b"big", b"big\0", b"few", b"many", &[b'k'; 300], b"", b"none"];

/// A door.
pub type Target = fn(&[u8]);

/// THE TABLE of doors, by the names of the targets.
pub static TARGETS: &[(&str, Target)] = &[("bdb", bdb), ("cdb", cdb), ("lmdb", lmdb)];

/// A Berkeley DB file.
pub fn bdb(file: &[u8]) {
    for kind in [Kind::Hash, Kind::Btree] {
        let Ok(db) = Bdb::open(file, kind) else { continue };
        for key in KEYS {
            let _ = db.get(key);
        }
    }
}

/// A cdb file.
pub fn cdb(file: &[u8]) {
    for key in KEYS {
        let _ = cdb::get(file, key);
    }
}

/// An LMDB file.
pub fn lmdb(file: &[u8]) {
    let Ok(tree) = Lmdb::open(file) else { return };
    for key in KEYS {
        let _ = tree.get(key);
    }
}
