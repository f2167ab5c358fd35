//! The original beside ours: postconf(1), and smtpd as somebody starts it by hand.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use smtpd_rs::config::listing::Listing;
use smtpd_rs::config::parameters::TABLE;
use smtpd_rs::config::{Config, Source};
use smtpd_rs::log;

use super::{compared, generator, pairs, postconf, tidy};

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
    let next = AtomicU64::new(numbers.start);
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
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
    let idle = ["undefined parameter", "unused parameter", "overriding earlier entry", "null byte"];
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
    let different = Mutex::new(Vec::new());
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
    let different = Mutex::new(Vec::new());
    for_each(1000..1200, |number| {
        let main_cf = generator::main_cf(number);
        let difference = compare_smtpd(number, &main_cf);
        different.lock().unwrap().extend(difference);
    });
    let different = different.into_inner().unwrap();
    assert!(different.is_empty(), "{} {}", different.len(), different.join("\n"));
}

/// Files main.cf with something wrong in them, and our words where they are better than dying of a
/// full stack.
const WRONG: &[(&str, Option<&str>)] = &[
    ("a b\n", None),
    ("= b\n", None),
    ("smtpd_banner = ${\n", None),
    ("smtpd_banner = ${myhostname\n", None),
    ("smtpd_banner = $(myhostname\n", None),
    ("smtpd_banner = ${}\n", None),
    ("a = $b\nb = $a\nsmtpd_banner = $a\n", None),
    ("a = ${a?{$a}}\nsmtpd_banner = $a\n", None),
    (
        "a = x${{$a} == {b}}\nsmtpd_banner = $a\n",
        Some("dictionary mail_dict: macro processing error"),
    ),
    ("smtpd_banner = ${{a} == {b}?{c}:{d}\n", None),
    ("max_use = 99999999999999999999\n", None),
    ("max_use = 5 5\n", None),
    ("message_size_limit = -\n", None),
    ("smtpd_timeout = 1x\n", None),
    ("smtpd_timeout = -1\n", None),
    ("smtpd_timeout = 3000000000\n", None),
    ("smtpd_timeout = 4000w\n", None),
    ("ipc_timeout = 0\n", None),
    ("smtpd_helo_required =\n", None),
    ("smtpd_helo_required = yes no\n", None),
    ("soft_bounce = $nothing\n", None),
    ("smtpd_forbid_bare_newline = maybe\n", None),
    ("smtpd_forbid_bare_newline_reject_code = 499\n", None),
    ("unverified_recipient_defer_code = 500\n", None),
    ("line_length_limit = 100\n", None),
    ("smtpd_sasl_response_limit = 1\n", None),
    ("smtpd_banner =\n", None),
    ("myhostname =\n", None),
    ("myhostname = a_b..c\n", None),
    ("mydomain = .x\n", None),
    ("myorigin = /nonexistent/mailname\n", None),
    ("myorigin = /etc\n", None),
    ("myorigin = /dev/null\n", None),
    ("inet_protocols = ipv4,x\n", None),
    ("inet_interfaces = 127.0.0.1, 192.0.2.99\n", None),
    ("mynetworks_style = subnet, class\n", None),
    ("mynetworks = !\n", None),
    ("smtpd_noop_commands = a, !!\n", None),
    ("smtpd_authorized_xclient_hosts = ! 127.0.0.1\n", None),
    ("receive_override_options = no_such\n", None),
    ("smtpd_tls_security_level = dane\n", None),
    (
        "smtpd_tls_security_level = may\ntls_daemon_random_bytes = 0\nsmtpd_tls_cert_file = /x\n",
        None,
    ),
    ("default_verp_delimiters = +\n", None),
    ("verp_delimiter_filter = /\n", None),
    ("syslog_facility = nowhere\n", None),
    ("maillog_file = relative\n", None),
    ("maillog_file = /etc/x\n", None),
    ("mail_owner = root\n", None),
    ("default_privs = nosuchuser\n", None),
    ("setgid_group = root\n", None),
    ("compatibility_level = 3.x\n", None),
    ("queue_directory = /nonexistent/queue\n", None),
    ("relayhost = mx.EXAMPLE\n", None),
];

/// The last words of a program that is run by hand with a main.cf.
fn last_words(program: &str, place: &Place) -> Option<String> {
    let output = Command::new(program)
        .args(["-S", "-V"])
        .env_clear()
        .env("MAIL_CONFIG", &place.0)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.code().is_none() {
        return Some(format!("killed: {}", output.status));
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines().find_map(|line| Some(line.split_once("fatal: ")?.1.to_owned()))
}

/// Ours has no stand-alone mode yet: whatever is wrong is told before that.
const ALL_IS_WELL: &str = "this version of smtpd-rs has no stand-alone mode (-S)";

#[test]
fn what_is_wrong_is_told_in_the_words_of_the_original() {
    if let Some(obstacle) = no_smtpd() {
        eprintln!("skipped: {obstacle}");
        return;
    }
    let different = Mutex::new(Vec::new());
    for_each(0..WRONG.len() as u64, |number| {
        let (main_cf, better) = WRONG[number as usize];
        let place = Place::new(2000 + number, main_cf);
        for name in ["pid", "private", "public"] {
            fs::create_dir(place.0.join(name)).unwrap();
        }
        let ours = last_words(env!("CARGO_BIN_EXE_smtpd-rs"), &place);
        let ours = ours.filter(|text| text != ALL_IS_WELL);
        let theirs = last_words(SMTPD, &place);
        let right = better.map_or(ours == theirs, |better| ours.as_deref() == Some(better));
        if !right {
            different.lock().unwrap().push(format!("{main_cf:?}: {ours:?}\ntheirs {theirs:?}"));
        }
    });
    let different = different.into_inner().unwrap();
    assert!(different.is_empty(), "{} {}", different.len(), different.join("\n"));
}

#[test]
fn the_verb_prints_what_postconf_prints() {
    if postconf(&["-d"]).is_none() {
        eprintln!("skipped: there is no postconf here");
        return;
    }
    let place = Place::new(
        3000,
        "a = x  y\n\tz\nsmtpd_banner = $myhostname <$a> ${mail_name}\nmax_idle = 7\nvirtual_maps = $a\n",
    );
    let names: Vec<&str> =
        TABLE.iter().map(|row| row.name).filter(|name| compared(name)).chain(["no_such"]).collect();
    for options in [&[][..], &["-x"], &["-h"], &["-d"], &["-n"], &["-x", "-n", "-h"], &["-H"]] {
        for names in [&names[..], &["virtual_maps", "config_directory"]] {
            let ours = Command::new(env!("CARGO_BIN_EXE_smtpd-rs"))
                .arg("parameters")
                .args(options)
                .args(names)
                .env("MAIL_CONFIG", &place.0)
                .output()
                .unwrap();
            let theirs = postconf(&[options, &["-c", place.text()], names].concat()).unwrap();
            let (ours, said) = (String::from_utf8_lossy(&ours.stdout), ours.stderr);
            assert_eq!(ours, String::from_utf8_lossy(&theirs.stdout), "{options:?}");
            let said = String::from_utf8_lossy(&said).into_owned();
            let unknown = names.contains(&"no_such");
            assert_eq!(said.contains("warning: no_such: unknown parameter"), unknown, "{said}");
        }
    }
}

#[test]
fn no_file_makes_the_process_panic() {
    let mut random = generator::Random::new(7);
    log::capture(|| {
        for seed in 0..1500 {
            let text = random.garbled(&generator::main_cf(seed));
            // Right or wrong: it comes to an end.
            let _ = Config::of_text(&text);
        }
    });
}
