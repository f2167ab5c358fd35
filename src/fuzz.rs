//! Doors for `tests/fuzz` and `tests/corpus.rs`: each takes a stranger's bytes through one parser.
#![forbid(unsafe_code)]

use crate::wire::bdb::{Bdb, Kind};
use crate::wire::cdb;
use crate::wire::dns::{Message, Record};
use crate::wire::lmdb::Lmdb;

/// Keys that the files of the corpus have, or lack.
const KEYS: &[&[u8]] =
    &[b"key1", b"key1\0", b"key23", b"big", b"big\0", b"few", b"many", &[b'k'; 300], b"", b"none"];

/// A door.
pub type Target = fn(&[u8]);

/// THE TABLE of doors, by the names of the targets.
pub static TARGETS: &[(&str, Target)] = &[("bdb", bdb), ("cdb", cdb), ("dns", dns), ("lmdb", lmdb)];

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

/// A reply of a name server.
pub fn dns(reply: &[u8]) {
    let Ok(message) = Message::new(reply) else { return };
    let _ = (message.is_truncated(), message.question());
    let Ok(answers) = message.answers() else { return };
    for record in answers.flatten() {
        take_apart(message, &record);
    }
}

/// All that a record could be.
fn take_apart(message: Message<'_>, record: &Record) {
    let _ = (record.is_whole(message), record.kind.text());
    let _ = (message.host(record), message.exchanger(record), message.address(record));
    for whole in [false, true] {
        let _ = message.text(record, whole);
    }
}

/// An LMDB file.
pub fn lmdb(file: &[u8]) {
    let Ok(tree) = Lmdb::open(file) else { return };
    for key in KEYS {
        let _ = tree.get(key);
    }
}
