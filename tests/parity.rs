//! Our tables against those of the installed Postfix, and values of main.cf against what its
//! postconf(1) and its smtpd make of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "parity/generator.rs"]
mod generator;
#[path = "parity/original.rs"]
mod original;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use smtpd_rs::config::listing::Listing;
use smtpd_rs::config::parameters::{Effect, NAMES, TABLE};

/// Who asks, and where: no two have it in common.
const OF_THE_PROCESS: &[&str] = &["process_id", "process_name"];
/// Not told by the programs that are installed, but for postconf itself.
const UNKNOWN: &[&str] = &["mail_release_date"];

fn compared(name: &str) -> bool {
    let own = TABLE.iter().any(|row| row.name == name && row.effect == Effect::Own);
    !own && ![OF_THE_PROCESS, UNKNOWN].iter().any(|names| names.contains(&name))
}

fn postconf(arguments: &[&str]) -> Option<Output> {
    Command::new("postconf").args(arguments).stdin(Stdio::null()).output().ok()
}

fn pairs(output: &[u8]) -> HashMap<String, String> {
    let text = String::from_utf8_lossy(output).into_owned();
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// As postconf(1) prints white space.
fn tidy(value: &[u8]) -> String {
    let words = value.split(|byte| b" \t\r\n".contains(byte)).filter(|word| !word.is_empty());
    String::from_utf8_lossy(&words.collect::<Vec<_>>().join(&b' ')).into_owned()
}

#[test]
fn parameters_have_the_defaults_of_the_installed_postfix() {
    let Some(output) = postconf(&["-d"]) else {
        eprintln!("skipped: there is no postconf here");
        return;
    };
    let theirs = pairs(&output.stdout);
    let mut ours = Listing::read(Path::new("/etc/postfix"), false, &[]).unwrap();
    let mut differences = Vec::new();
    for name in ours.names().into_iter().filter(|name| compared(name)) {
        let value = tidy(&ours.default(name).unwrap());
        if theirs.get(name) != Some(&value) {
            differences.push(format!("{name}: {value:?}, theirs {:?}", theirs.get(name)));
        }
    }
    for row in TABLE.iter().filter(|row| !ours.has(row.name) && theirs.contains_key(row.name)) {
        differences.push(format!("{}: theirs alone", row.name));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn each_parameter_stands_in_the_table_once() {
    let rows = TABLE.iter().map(|row| row.name);
    let mut names: Vec<&str> = rows.chain(NAMES.iter().map(|name| name.name)).collect();
    names.sort_unstable();
    let len = names.len();
    names.dedup();
    assert_eq!(names.len(), len);
}

/// All source files of the library but THE TABLEs themselves, without their tests.
fn sources(under: &str, but: &[&str]) -> String {
    let mut text = String::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(under)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let shown = path.to_string_lossy().into_owned();
            if path.is_dir() {
                directories.push(path);
            } else if shown.ends_with(".rs") && !but.iter().any(|but| shown.contains(but)) {
                let file = fs::read_to_string(path).unwrap();
                let code = file.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                text.extend(lines.flat_map(|line| [line, "\n"]));
            }
        }
    }
    text
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}

#[test]
fn what_has_effect_is_used_and_what_has_none_is_not() {
    let used = sources("src", &["/tests", "src/config/"]);
    let config = sources("src/config", &["parameters.rs", "dialect.rs", "compat.rs", "listing.rs"]);
    let acts = |name: &str| TABLE.iter().any(|row| row.name == name && row.effect == Effect::Acts);
    let mut wrong = Vec::new();
    for row in TABLE.iter() {
        let field = has_word(&used, &format!("config.{}", row.name))
            || has_word(&used, &format!("config().{}", row.name))
            || has_word(&used, row.name);
        let part = TABLE.iter().any(|other| acts(other.name) && has_word(other.default, row.name));
        let used = field || has_word(&config, row.name) || part;
        match row.effect {
            Effect::Acts | Effect::Own if !used => {
                wrong.push(format!("{}: nobody reads it", row.name))
            }
            Effect::Later if field => wrong.push(format!("{}: it is read", row.name)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// docs/parity.md, made from THE TABLE.
fn parity_page() -> String {
    let mut page = String::from(
        "# Parameters\n\n\
         What `smtpd-rs` makes of each parameter that Postfix's smtpd reads, in the order in which both load \
         them. This page is\nmade from the table in `src/config/parameters.rs` by `scripts/parity`, and a \
         test says when it is out of date.\n\n\
         - **yes**: it has its effect here\n\
         - **not yet**: it has an effect in Postfix's smtpd, and none here so far\n\
         - **no**: it is read and checked, and may be part of other values; smtpd makes nothing of it, in \
         Postfix neither\n\
         - **own**: smtpd-rs has it, Postfix has not\n\n",
    );
    let count = |effect| TABLE.iter().filter(|row| row.effect == effect).count();
    page += &format!(
        "Of {} parameters {} have their effect, {} not yet, and {} are not smtpd's business.\n\n",
        TABLE.len() - count(Effect::Own),
        count(Effect::Acts),
        count(Effect::Later),
        count(Effect::Foreign)
    );
    page += "| parameter | kind | default (Postfix 3.12) | effect |\n| --- | --- | --- | --- |\n";
    for row in TABLE.iter() {
        let effect = match row.effect {
            Effect::Acts => "yes",
            Effect::Later => "not yet",
            Effect::Foreign => "no",
            Effect::Own => "own",
        };
        let default = match row.default {
            "" => String::new(),
            default => format!("`{}`", default.replace('|', "\\|")),
        };
        let kind = match row.kind {
            "Str" => "text",
            "Raw" => "text, expanded when used",
            "Int" | "NInt" | "Long" => "number",
            "Bool" | "NBool" => "yes or no",
            _ => "time",
        };
        page += &format!("| {} | {kind} | {default} | {effect} |\n", row.name);
    }
    page += "\nmyhostname, mydomain, mynetworks, mail_version and the directories of the build have defaults \
             that depend on the\nmachine. What other releases have in place of a default stands in \
             `src/config/dialect.rs`;\n`smtpd-rs parameters -d` shows what holds here.\n";
    page
}

#[test]
fn the_page_of_parameters_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/parity.md");
    let page = parity_page();
    if std::env::var_os("WRITE_PARITY").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    assert!(there == page, "docs/parity.md is out of date: scripts/parity makes it anew");
}
