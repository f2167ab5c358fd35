//! What the fuzz targets of `tests/fuzz` know, without them: each file of the corpus goes through
//! its door, and so do some thousand damaged copies, always the same.

use std::fs;
use std::path::Path;

use smtpd_rs::fuzz::{TARGETS, Target};

/// Damaged copies of each file.
const COPIES: u32 = 1500;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(directory).expect("each target has a corpus");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("the corpus can be read")).collect()
}

#[test]
fn each_file_of_the_corpus_goes_through_its_door() {
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name}");
        files.iter().for_each(|file| target(file));
    }
}

#[test]
fn damaged_files_come_to_an_end() {
    for (name, target) in TARGETS {
        for file in corpus(name) {
            damage(*target, &file);
        }
    }
}

#[test]
fn every_target_is_in_the_fuzz_package() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let text = fs::read_to_string(package.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("smtpd_rs::fuzz::{name}(")), "{name}");
    }
}

/// Numbers that hurt more often than others.
const NUMBERS: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, 12];

fn damage(target: Target, file: &[u8]) {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as usize % below
    };
    for copy in 0..COPIES {
        let mut file = file.to_vec();
        for _ in 0..=random(6) {
            let len = file.len();
            match random(8) {
                // The heads of pages, where most numbers stand.
                0..=3 => {
                    let at = random(len / 512 + 1) * 512 + random(64);
                    if let Some(byte) = file.get_mut(at) {
                        *byte = NUMBERS[random(NUMBERS.len())];
                    }
                }
                4 | 5 => file[random(len)] = random(256) as u8,
                6 => {
                    let (from, to) = (random(len), random(len));
                    let count = random(64).min(len - from.max(to));
                    file.copy_within(from..from + count, to);
                }
                _ if copy % 10 == 0 => file.truncate(random(len).max(1)),
                _ => {}
            }
        }
        target(&file);
    }
}
