//! Indexed files that postmap(1) and db_load(1) made: the same answers as `postmap -q` gives.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::World;
use crate::config::Config;
use crate::log::captured;
use crate::table::{Handle, Keys, Opener, Request, TableError};

const KINDS: [&str; 4] = ["hash", "btree", "cdb", "lmdb"];

impl World {
    /// Makes an indexed file, or rewrites it: `kind:file`.
    fn postmap(&self, kind: &str, name: &str, text: &[u8]) -> String {
        let path = self.file(name, text);
        let spec = format!("{kind}:{}", path.display());
        self.postmap_again(&spec);
        spec
    }

    fn postmap_again(&self, spec: &str) {
        let output = Command::new("postmap").arg("-c").arg(&self.directory).arg(spec).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{spec}: {output:?}");
    }

    /// Makes a file with Berkeley DB's own tool; `None` where it is not installed.
    fn db_load(&self, name: &str, kind: &str, options: &[&str], dump: &str) -> Option<String> {
        let path = self.directory.join(name);
        let mut command = Command::new("db5.3_load");
        command.args(["-t", kind]).args(options).arg(path.with_extension("db"));
        let Ok(mut child) = command.stdin(Stdio::piped()).spawn() else {
            eprintln!("db5.3_load (db5.3-util) is not installed: odd files are not read");
            return None;
        };
        child.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        Some(format!("{kind}:{}", path.display()))
    }

    fn open(&self, spec: &str) -> Handle {
        let mut opener = Opener::new(&Config::of_text(&self.main_cf()).unwrap());
        opener.open(spec.as_bytes(), Request::ACCESS).unwrap()
    }
}

fn key(i: u32) -> String {
    match i % 4 {
        0 => format!("user{i}@example{}.com", i % 1009),
        1 => format!("host{i}.example.net"),
        2 => format!("192.0.{}.{}", i / 256, i % 256),
        _ => format!("k{i}"),
    }
}

fn value(i: u32) -> String {
    format!("{i} is {}", if i % 3 == 0 { "OK" } else { "REJECT for a reason" })
}

/// Keys have their values, and no other key has one: ten thousand of each are asked.
fn check_all(world: &World, kind: &str, count: u32) {
    let mut text = String::new();
    for i in 0..count {
        text += &format!("{}\t{}\n", key(i), value(i));
    }
    let spec = match kind {
        "texthash" => {
            format!("texthash:{}", world.file(&format!("{kind}{count}"), text.as_bytes()).display())
        }
        kind => world.postmap(kind, &format!("{kind}{count}"), text.as_bytes()),
    };
    let table = world.open(&spec);
    assert_eq!(table.keys(), Keys::Fixed);
    for i in (0..count).step_by(count as usize / 10_000) {
        let key = key(i);
        assert_eq!(table.lookup(key.as_bytes()), Ok(Some(value(i).into_bytes())), "{spec} {key}");
        let absent = fill!("no{}", key);
        assert_eq!(table.lookup(&absent), Ok(None), "{spec} {key}");
    }
    // The same, and parts of keys, asked of postmap.
    let sample: Vec<Vec<u8>> = (0..count.saturating_mul(2))
        .step_by(count as usize / 1000)
        .flat_map(|i| {
            let key = key(i).into_bytes();
            let part = key[key.len() / 2..].to_vec();
            [key.to_ascii_uppercase(), key, part]
        })
        .collect();
    let sample: Vec<&[u8]> = sample.iter().map(Vec::as_slice).collect();
    let outcome = world.compare(spec.as_bytes(), &sample);
    assert!(outcome.found.len() > 1900 && outcome.records.is_empty(), "{:?}", outcome.records);
}

#[test]
fn ten_thousand_keys_have_their_values() {
    let Some(world) = World::new("indexed", true) else { return };
    for kind in KINDS.into_iter().chain(["texthash"]) {
        check_all(&world, kind, 10_000);
    }
}

/// The types stand in an environment variable: making the files takes a while.
#[test]
fn a_million_keys_have_their_values() {
    let Ok(kinds) = std::env::var("SMTPD_LARGE_TABLES") else {
        eprintln!(
            "SMTPD_LARGE_TABLES (\"hash btree cdb lmdb texthash\") is not set: \
                   tables of a million keys are not made"
        );
        return;
    };
    let Some(world) = World::new("large", true) else { return };
    for kind in kinds.split_whitespace() {
        check_all(&world, kind, 1_000_000);
    }
}

#[test]
fn odd_keys_and_values_are_found_as_postfix_finds_them() {
    let Some(world) = World::new("odd", true) else { return };
    let big = "x".repeat(3000);
    let bigger = "0123456789".repeat(20_000);
    let text = format!(
        "a 1\nB 2\n\"x y\" quoted\nÄÖ umlaut\n{big} long key\nbig {big}\nbigger {bigger}\n\
         {big}y another long key\nspace   in   between\n",
    );
    let keys = [
        "a",
        "A",
        "b",
        "x y",
        "\"x y\"",
        "äö",
        "ÄÖ",
        "big",
        "bigger",
        &big,
        &big[1..],
        "",
        "spac",
        "space",
        "\u{fffd}",
    ];
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).chain([&b"\xff"[..]]).collect();
    for kind in ["hash", "btree", "cdb"] {
        let spec = world.postmap(kind, kind, text.as_bytes());
        let outcome = world.compare(spec.as_bytes(), &keys);
        assert_eq!(outcome.found.len(), 10, "{kind} {:?}", outcome.records);
    }
    // LMDB takes no keys of more than 511 bytes, and postmap dies of an empty one.
    let text = text.replace(&big, &big[..400]);
    let long = &big.as_bytes()[..400];
    let keys: Vec<&[u8]> =
        keys.iter().copied().filter(|key| !key.is_empty()).chain([long]).collect();
    let spec = world.postmap("lmdb", "lmdb", text.as_bytes());
    let outcome = world.compare(spec.as_bytes(), &keys);
    assert_eq!(outcome.found.len(), 10, "{:?}", outcome.records);
}

#[test]
fn empty_tables_have_no_keys() {
    let Some(world) = World::new("empty", false) else { return };
    for kind in KINDS {
        let spec = world.postmap(kind, kind, b"");
        assert!(world.compare(spec.as_bytes(), &[b"a", b"\xff"]).found.is_empty());
    }
}

#[test]
fn files_that_other_machines_and_tools_wrote_are_read() {
    let Some(world) = World::new("foreign", false) else { return };
    let big = "v".repeat(10_000);
    let long = "k".repeat(2000);
    let mut dump = String::new();
    for i in 0..3000 {
        dump += &format!("key{i}\nvalue {i}\n");
    }
    for i in 0..300 {
        dump += &format!("{long}{i}\nlong {i}\nbig{i}\n{i}{big}\n");
    }
    let mut keys: Vec<Vec<u8>> = (0..3100).map(|i| fill!("key{}", i as u32)).collect();
    for i in 0..310u32 {
        keys.push(fill!("{}{}", &*long, i));
        keys.push(fill!("big{}", i));
    }
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let variants: [&[&str]; 5] = [
        &["-c", "db_lorder=4321"],
        &["-c", "db_lorder=1234"],
        &["-c", "db_lorder=4321", "-c", "db_pagesize=512"],
        &["-c", "db_pagesize=65536"],
        &["-c", "chksum=1"],
    ];
    for (number, options) in variants.iter().enumerate() {
        for kind in ["hash", "btree"] {
            let name = format!("{kind}{number}");
            let Some(spec) = world.db_load(&name, kind, &[&["-T"], *options].concat(), &dump)
            else {
                return;
            };
            let outcome = world.compare(spec.as_bytes(), &keys);
            assert_eq!(outcome.found.len(), 3600, "{options:?}");
        }
    }
}

#[test]
fn the_first_of_several_values_counts() {
    let Some(world) = World::new("duplicates", false) else { return };
    let mut dump = String::new();
    // A few stay on the page, many move to pages of their own; one is long.
    for (key, count) in [("few", 3), ("many", 2000), ("one", 1), ("some", 40)] {
        for i in 0..count {
            dump += &format!("{key}\n{}{i} of {key}\n", 9 - i % 10);
        }
    }
    dump += &format!("long\n{}\nlong\n2\n", "x".repeat(9000));
    let keys: [&[u8]; 6] = [b"few", b"many", b"one", b"some", b"none", b"long"];
    for options in [["-c", "duplicates=1"], ["-c", "dupsort=1"]] {
        for kind in ["hash", "btree"] {
            for order in ["db_lorder=4321", "db_lorder=1234"] {
                let name = format!("{kind}{}{order}", options[1]);
                let all = [&["-T", "-c", order][..], &options].concat();
                let Some(spec) = world.db_load(&name, kind, &all, &dump) else { return };
                assert_eq!(world.compare(spec.as_bytes(), &keys).found.len(), 5, "{name}");
            }
        }
    }
}

#[test]
fn a_table_that_is_rewritten_gives_no_wrong_answer() {
    let Some(world) = World::new("rewritten", false) else { return };
    let text = |version: u32, count: u32| -> Vec<u8> {
        (0..count).flat_map(|i| format!("key{i} {version} {i}\n").into_bytes()).collect()
    };
    for kind in KINDS {
        let spec = world.postmap(kind, kind, &text(0, 500));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for version in 1..=15 {
                    // Each time with other keys, so that pages move.
                    world.postmap(kind, kind, &text(version, 500 + version * 137 % 400));
                }
                done.store(true, Ordering::Relaxed);
            });
            let table = world.open(&spec);
            captured::take();
            let mut last = true;
            while std::mem::replace(&mut last, !done.load(Ordering::Relaxed)) {
                for i in (0..500).step_by(7) {
                    let value = table.lookup(&fill!("key{}", i as u32));
                    let value = value.unwrap_or_else(|_| panic!("{kind} {:?}", captured::take()));
                    let value = String::from_utf8(value.expect(kind)).unwrap();
                    assert!(value.ends_with(&format!(" {i}")), "{kind} key{i}: {value}");
                    assert_eq!(table.lookup(&fill!("nokey{}", i as u32)), Ok(None));
                }
            }
            if kind != "cdb" {
                assert_eq!(table.lookup(b"key3"), Ok(Some(b"15 3".to_vec())), "{kind}");
            }
        });
    }
}

#[test]
fn what_cannot_be_opened_is_named_in_the_words_of_postfix() {
    let Some(world) = World::new("broken", false) else { return };
    let texts: [&[u8]; 4] = [b"", b"this is no database", &[0; 5000], &[0xa5; 9000]];
    let mut specs = Vec::new();
    for kind in KINDS {
        for (number, text) in texts.iter().enumerate() {
            if kind == "cdb" && number > 1 {
                continue;
            }
            // A random flag makes Berkeley DB try to decrypt it, at length.
            if number == 3 && kind != "lmdb" {
                continue;
            }
            world.file(&format!("{kind}{number}.{}", suffix(kind)), text);
            specs.push(format!("{kind}:{}/{kind}{number}", world.directory.display()));
        }
        specs.push(format!("{kind}:/nowhere/at/all"));
    }
    fs::rename(world.postmap_file("btree", b"a 1\n"), world.directory.join("asbtree.db")).unwrap();
    fs::rename(world.postmap_file("hash", b"a 1\n"), world.directory.join("ashash.db")).unwrap();
    specs.push(format!("hash:{}/asbtree", world.directory.display()));
    specs.push(format!("btree:{}/ashash", world.directory.display()));
    for spec in &specs {
        let theirs = world.theirs(spec.as_bytes(), &[b"a"]).records;
        let theirs = theirs.last().unwrap();
        let ours = world.ours(spec.as_bytes(), &[b"a"]).records;
        // What stands behind tells more. Of an empty lmdb file Postfix has an error of another call.
        let theirs = theirs.replace("Bad file descriptor", "MDB_INVALID");
        assert!(ours.len() == 1 && ours[0].starts_with(&theirs), "{spec}: {theirs:?} {ours:?}");
    }
}

fn suffix(kind: &str) -> &str {
    if ["hash", "btree"].contains(&kind) { "db" } else { kind }
}

impl World {
    fn postmap_file(&self, kind: &str, text: &[u8]) -> std::path::PathBuf {
        self.postmap(kind, kind, text);
        self.directory.join(kind).with_extension(suffix(kind))
    }
}

#[test]
fn a_file_that_is_cut_short_fails_and_kills_nobody() {
    let Some(world) = World::new("cut", false) else { return };
    let text: Vec<u8> = (0..500).flat_map(|i| format!("key{i} value {i}\n").into_bytes()).collect();
    for kind in KINDS {
        let path = world.postmap_file(kind, &text);
        let spec = format!("{kind}:{}/{kind}", world.directory.display());
        let table = world.open(&spec);
        let file = File::options().write(true).open(&path).unwrap();
        let whole = file.metadata().unwrap().len();
        for len in (0..whole).rev().step_by(1777) {
            file.set_len(len).unwrap();
            for i in (0..500).step_by(50) {
                let value = table.lookup(&fill!("key{}", i as u32));
                let right = Ok(Some(fill!("value {}", i as u32)));
                assert!(
                    value == right || value == Err(TableError::Retry),
                    "{spec} {len} {value:?}"
                );
            }
        }
        captured::take();
        assert_eq!(table.lookup(b"key1"), Err(TableError::Retry));
        let name = if kind == "lmdb" { spec.clone() } else { path.display().to_string() };
        let log = captured::take();
        assert!(log[0].starts_with(&format!("warning: error reading {name}: ")), "{log:?}");
    }
}

#[test]
fn what_has_changed_is_told() {
    let Some(world) = World::new("changed", false) else { return };
    for kind in KINDS {
        let mut opener = Opener::new(&Config::of_text("").unwrap());
        let path = world.postmap_file(kind, b"a 1\n");
        let spec = format!("{kind}:{}/{kind}", world.directory.display());
        opener.open(spec.as_bytes(), Request::ACCESS).unwrap();
        assert_eq!(opener.changed(), None, "{kind}");
        world.postmap(kind, kind, b"a 2\n");
        let title = format!("{spec}(0,lock|fold_fix|utf8_request)").into_bytes();
        // postmap writes lmdb files so that one may go on reading.
        let changed = (kind != "lmdb").then_some(&title);
        assert_eq!(opener.changed().as_ref(), changed, "{kind}");
        fs::remove_file(path).unwrap();
        assert_eq!(opener.changed().as_ref(), Some(&title), "{kind}");
    }
}

#[test]
fn a_file_older_than_its_source_is_reported() {
    let Some(world) = World::new("older", false) else { return };
    for kind in KINDS {
        let path = world.postmap_file(kind, b"a 1\n");
        let two_hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
        File::options().write(true).open(path).unwrap().set_modified(two_hours_ago).unwrap();
        let spec = format!("{kind}:{}/{kind}", world.directory.display());
        let outcome = world.compare(spec.as_bytes(), &[b"a"]);
        assert_eq!(outcome.found.len(), 1);
        assert!(outcome.records[0].contains(" is older than source file "), "{outcome:?}");
    }
}
