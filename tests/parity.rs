//! Our tables against those of the installed Postfix, and values of main.cf against what its
//! postconf(1) and its smtpd make of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "parity/generator.rs"]
mod generator;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use smtpd_rs::config::listing::Listing;
use smtpd_rs::config::parameters::{Effect, NAMES, TABLE};
use smtpd_rs::config::{Config, Source};
use smtpd_rs::log;

/// Who asks, and where: no two have it in common.
const OF_THE_PROCESS: &[&str] = &["process_id", "process_name"];
/// Postfix does not know these.
const OURS: &[&str] = &["smtpd_rs_dialect"];
/// Not told by the programs that are installed, but for postconf itself.
const UNKNOWN: &[&str] = &["mail_release_date"];

fn compared(name: &str) -> bool {
    ![OF_THE_PROCESS, OURS, UNKNOWN].iter().any(|names| names.contains(&name))
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
    for row in TABLE {
        let field = has_word(&used, &format!("config.{}", row.name))
            || has_word(&used, &format!("config().{}", row.name))
            || has_word(&used, row.name);
        let part = TABLE.iter().any(|other| acts(other.name) && has_word(other.default, row.name));
        let used = field || has_word(&config, row.name) || part;
        match row.effect {
            Effect::Acts if !used => wrong.push(format!("{}: nobody reads it", row.name)),
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
         Postfix neither\n\n",
    );
    let count = |effect| TABLE.iter().filter(|row| row.effect == effect).count();
    page += &format!(
        "Of {} parameters {} have their effect, {} not yet, and {} are not smtpd's business.\n\n",
        TABLE.len(),
        count(Effect::Acts),
        count(Effect::Later),
        count(Effect::Foreign)
    );
    page += "| parameter | kind | default (Postfix 3.12) | effect |\n| --- | --- | --- | --- |\n";
    for row in TABLE {
        let effect = match row.effect {
            Effect::Acts => "yes",
            Effect::Later => "not yet",
            Effect::Foreign => "no",
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

/// A directory with a main.cf of its own.
struct Place(PathBuf);

impl Place {
    fn new(number: u64, main_cf: &str) -> Self {
        let place =
            std::env::temp_dir().join(format!("smtpd-rs-parity-{}-{number}", std::process::id()));
        fs::create_dir(&place).unwrap();
        fs::write(place.join("master.cf"), "").unwrap();
        let path = place.join("main.cf");
        let text = format!(
            "compatibility_level = 3.6\nqueue_directory = {}\nmyhostname = mx.example\n\
             local_recipient_maps =\nalias_maps =\nsmtpd_client_connection_count_limit = 0\n\
             smtpd_peername_lookup = no\n{main_cf}",
            place.display()
        );
        fs::write(&path, text).unwrap();
        // A file that has just been written is read again and again until it is a second old.
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options().write(true).open(path).unwrap().set_modified(hour_ago).unwrap();
        Self(place)
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `test` for each number, on several threads: the original waits a second before it dies.
fn for_each(numbers: std::ops::Range<u64>, test: impl Fn(u64) + Sync) {
    let next = std::sync::atomic::AtomicU64::new(numbers.start);
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= numbers.end {
                        break;
                    }
                    test(number);
                }
            });
        }
    });
}

/// Lines of a log that both have: postconf looks for more than we do, and says some things twice.
fn words_of(lines: impl Iterator<Item = String>) -> BTreeSet<String> {
    let idle = ["undefined parameter", "unused parameter", "overriding earlier entry"];
    lines.filter(|line| !idle.iter().any(|idle| line.contains(idle))).collect()
}

/// The values of all parameters as we show them, or the end, and what was said.
fn listed(
    place: &Place,
    expanded: bool,
) -> (Result<HashMap<String, String>, String>, BTreeSet<String>) {
    let (result, records) = log::capture(|| {
        let mut listing = Listing::read(&place.0, true, &[])?;
        let mut values = HashMap::new();
        for name in listing.names().into_iter().filter(|name| compared(name)) {
            let mut value = listing.value(name)?;
            if expanded {
                value = listing.expanded(name, &value)?;
            }
            values.insert(name.to_owned(), tidy(&value));
        }
        Ok::<_, log::Fatal>(values)
    });
    let said = records
        .iter()
        .map(|(severity, text)| format!("{}{}", severity.prefix(), String::from_utf8_lossy(text)));
    let said = words_of(said);
    (result.map_err(|fatal| String::from_utf8_lossy(&fatal.0).into_owned()), said)
}

fn compare_listing(place: &Place, expanded: bool) -> Vec<String> {
    let arguments: &[&str] = if expanded { &["-x", "-c"] } else { &["-c"] };
    let output = postconf(&[arguments, &[place.text()]].concat()).unwrap();
    let mut theirs = pairs(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = said.lines().filter_map(|line| line.strip_prefix("postconf: "));
    let (fatal, said): (Vec<_>, Vec<_>) =
        said.map(str::to_owned).partition(|line| line.starts_with("fatal: "));
    if !expanded && !fatal.is_empty() {
        // It evaluates all values to see what is used; we show what stands there.
        return Vec::new();
    }
    match listed(place, expanded) {
        (Ok(mut ours), our_words) if fatal.is_empty() => {
            assert!(
                our_words.is_empty() || words_of(said.into_iter()) == our_words,
                "{our_words:?}"
            );
            // postconf leaves out what the text does not end with.
            theirs.retain(|name, _| ours.contains_key(name));
            ours.retain(|name, value| theirs.get(name) != Some(value));
            ours.iter()
                .map(|(name, value)| format!("{name}: {value:?}, theirs {:?}", theirs.get(name)))
                .collect()
        }
        (Err(error), _) if !fatal.is_empty() => {
            // Where several values are wrong, postconf may meet another one first.
            let _ = error;
            Vec::new()
        }
        (ours, _) => vec![format!("{:?}, theirs {fatal:?}", ours.err())],
    }
}

#[test]
fn values_are_shown_as_postconf_shows_them() {
    if postconf(&["-d"]).is_none() {
        eprintln!("skipped: there is no postconf here");
        return;
    }
    let different = std::sync::Mutex::new(Vec::new());
    for_each(0..300, |number| {
        let main_cf = generator::main_cf(number);
        let place = Place::new(number, &main_cf);
        for expanded in [true, false].into_iter().take(if number % 4 == 0 { 2 } else { 1 }) {
            let found = compare_listing(&place, expanded);
            if !found.is_empty() {
                different
                    .lock()
                    .unwrap()
                    .push(format!("{number}: {expanded} {}\n{main_cf:?}", found.join("\n")));
            }
        }
    });
    let different = different.into_inner().unwrap();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What the original's smtpd says with this main.cf: its banner, or its last words; and its warnings.
fn their_smtpd(place: &Place) -> (Result<String, String>, BTreeSet<String>) {
    let output = Command::new(SMTPD)
        .args(["-S", "-V"])
        .env_clear()
        .env("MAIL_CONFIG", &place.0)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = |line: &str| Some(line.split_once(": ")?.1.to_owned());
    let lines: Vec<String> = said.lines().filter_map(text).collect();
    let fatal = lines.iter().find_map(|line| line.strip_prefix("fatal: ")).map(str::to_owned);
    let warnings = lines.into_iter().filter(|line| line.starts_with("warning: "));
    let banner = String::from_utf8_lossy(&output.stdout).into_owned();
    let banner = banner.strip_prefix("220 ").unwrap_or(&banner).trim_end_matches("\r\n").to_owned();
    (fatal.map_or(Ok(banner), Err), warnings.collect())
}

const SMTPD: &str = "/usr/lib/postfix/sbin/smtpd";

/// The same of ours, in process.
fn our_smtpd(place: &Place) -> (Result<String, String>, BTreeSet<String>) {
    let (result, records) = log::capture(|| {
        let source = Source::read(&place.0)?;
        let config = Config::load(source, b"smtpd", |_| Ok(()))?;
        Ok::<_, log::Fatal>(String::from_utf8_lossy(&config.smtpd_banner).into_owned())
    });
    let said = records.into_iter().map(|(severity, text)| {
        let shown = String::from_utf8_lossy(&text).into_owned();
        format!("{}{shown}", severity.prefix())
    });
    // Theirs says so before it looks at -V.
    let said = words_of(said.filter(|line| line.starts_with("warning: ")));
    (result.map_err(|fatal| String::from_utf8_lossy(&fatal.0).into_owned()), said)
}

/// Why their smtpd cannot be asked.
fn no_smtpd() -> Option<&'static str> {
    let release = postconf(&["-dh", "mail_version"]);
    if !Path::new(SMTPD).exists() || release.is_none() {
        Some("there is no smtpd here")
    } else if !nix::unistd::geteuid().is_root() {
        Some("needs root: smtpd reads tables for nobody else")
    } else {
        None
    }
}

fn compare_smtpd(number: u64, main_cf: &str) -> Option<String> {
    let place = Place::new(number, main_cf);
    for name in ["pid", "private", "public"] {
        fs::create_dir(place.0.join(name)).unwrap();
    }
    let (theirs, their_words) = their_smtpd(&place);
    let (ours, our_words) = our_smtpd(&place);
    if theirs == ours && (their_words == our_words || theirs.is_ok()) {
        return None;
    }
    Some(format!(
        "{number}: {ours:?} {our_words:?}\ntheirs {theirs:?} {their_words:?}\n{main_cf:?}"
    ))
}

#[test]
fn values_are_what_they_are_for_the_original() {
    if let Some(obstacle) = no_smtpd() {
        eprintln!("skipped: {obstacle}");
        return;
    }
    let different = std::sync::Mutex::new(Vec::new());
    for_each(1000..1300, |number| {
        let main_cf = generator::main_cf(number);
        let difference = compare_smtpd(number, &main_cf);
        different.lock().unwrap().extend(difference);
    });
    let different = different.into_inner().unwrap();
    assert!(different.is_empty(), "{} {}", different.len(), different.join("\n"));
}
