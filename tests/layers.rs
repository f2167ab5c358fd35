//! The border guard: a module uses what stands above it in `src/lib.rs`, never what stands below.

use std::fs;
use std::path::{Path, PathBuf};

/// Where unsafe code may stand.
const UNSAFE_PLACES: &[&str] = &["src/sys/", "src/tls/ffi.rs"];

#[test]
fn each_module_uses_only_what_stands_above_it() {
    let layers = layers();
    let layer = |name: &str| layers.iter().position(|module| module == name);
    for (path, text) in sources() {
        let Some(module) = module_of(&path).filter(|module| layer(module).is_some()) else {
            continue; // lib.rs and main.rs use what they like
        };
        for (number, used) in used_modules(&text) {
            let Some(depth) = layer(&used) else { continue };
            let place = format!("{}:{number}", path.display());
            assert!(
                used == module || Some(depth) < layer(&module),
                "{place}: {module} must not use {used}"
            );
        }
    }
}

#[test]
fn unsafe_code_stands_in_sys_and_in_one_file_of_tls() {
    for (path, text) in sources() {
        let place = path.to_string_lossy();
        if UNSAFE_PLACES.iter().any(|allowed| place.starts_with(allowed)) {
            continue;
        }
        for (number, line) in code(&text) {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert!(!words.into_iter().any(|word| word == "unsafe"), "{place}:{number}: unsafe");
        }
    }
}

#[test]
fn every_top_module_but_sys_and_tls_forbids_unsafe_code() {
    for module in layers().iter().filter(|module| !["sys", "tls"].contains(&module.as_str())) {
        let (path, text) = sources()
            .into_iter()
            .find(|(path, _)| {
                *path == Path::new("src").join(module).join("mod.rs")
                    || *path == Path::new("src").join(format!("{module}.rs"))
            })
            .unwrap_or_else(|| panic!("{module} has no file"));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{}: not forbidden", path.display());
    }
}

/// The modules of lib.rs, bottom first.
fn layers() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is there");
    let name = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    text.lines().filter_map(name).collect()
}

/// `src/mail/reply.rs` belongs to `mail`.
fn module_of(path: &Path) -> Option<String> {
    let first = path.strip_prefix("src").ok()?.components().next()?;
    Some(first.as_os_str().to_str()?.trim_end_matches(".rs").to_owned())
}

/// The top modules that `crate::` paths name, also those in braces; with their line.
fn used_modules(text: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (number, line) in code(text) {
        for rest in line.split("crate::").skip(1) {
            let group = rest.strip_prefix('{').map(|group| group.split(',').map(first_word));
            match group {
                Some(words) => used.extend(words.map(|word| (number, word))),
                None => used.push((number, first_word(rest))),
            }
        }
    }
    used
}

fn first_word(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The lines that are no comments, from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at, line.split(" // ").next().unwrap_or(line)))
        .filter(|(_, line)| !line.contains("forbid(unsafe_code)"))
}

/// All files of `src`, with paths from the project's root.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory of src") {
            let path = entry.expect("an entry of a directory").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
            }
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
