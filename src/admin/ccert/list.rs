//! `ccert list`: who is in the table, and when last seen.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use lexopt::Parser;
use serde_json::json;

use super::super::Trouble;
use super::options::Options;
use super::tables::is_name;
use super::tell;
use super::users::Row;
use crate::config::Config;
use crate::identity::{day_of, entry};
use crate::sys::start::ExitCode;
use crate::sys::time;

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs ccert list [--log FILE] [--table TYPE:FILE]

Prints the table: user, device, until when, fingerprint, and when the log last names the device (with
smtpd_tls_ccert_hints, or peercert in smtpd_tls_loglevel). Where it does not, a * marks when the user
was last let in by a certificate, whichever that was. The log is maillog_file, else
/var/log/mail.log; its last 64 megabytes are read.

    smtpd-rs ccert list
    smtpd-rs ccert list --json --log /var/log/mail.log.1
";

/// Of a longer log the end is read.
const READ: u64 = 64 * 1024 * 1024;
/// Where Debian's syslog writes mail.
const USUAL_LOG: &str = "/var/log/mail.log";

pub(super) fn list(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let options = Options::read(words, &["log", "table"])?;
    options.none()?;
    let site = options.site()?;
    let (table, config) = site.table(options.table.as_deref())?;
    let rows = table.rows()?;
    let log = options.log.clone().unwrap_or_else(|| usual_log(config));
    let seen = Seen::read(&log);
    if let (Err(error), Some(_)) = (&seen, &options.log) {
        return Err(Trouble::Failed(format!("{}: {error}", log.display())));
    }
    let unread = seen.is_err().then(|| no_log(&log));
    let seen = seen.unwrap_or_default();
    let never = if unread.is_some() { "?" } else { "never" };
    let today = day_of(time::now());
    let mut text = String::new();
    let mut values = Vec::new();
    for row in &rows {
        let entry = row.entry();
        let user = entry.as_ref().map(|entry| lossy(&entry.user));
        let device = entry.as_ref().and_then(|entry| entry.device.as_deref()).map(lossy);
        let until = entry.as_ref().and_then(|entry| entry.until);
        let ended = until.is_some_and(|day| day < today);
        let last = seen.of(row, user.as_deref(), device.as_deref());
        let _ = writeln!(
            text,
            "{:<24} {:<12} {:<12} {:<18} {}",
            user.as_deref().unwrap_or("(bad entry)"),
            device.as_deref().unwrap_or("-"),
            until.map_or_else(|| "-".to_owned(), |day| mark(&entry::date(day), ended)),
            last.map_or_else(|| never.to_owned(), |(time, of)| format!("{time}{}", of.mark())),
            row.key
        );
        values.push(json!({
            "user": user,
            "device": device,
            "until": until.map(entry::date),
            "ended": ended,
            "last_seen": last.map(|(time, _)| time),
            "last_seen_of": last.map(|(_, of)| of.name()),
            "key": row.key,
            "line": row.line,
        }));
    }
    let head = format!(
        "{:<24} {:<12} {:<12} {:<18} {}\n",
        "user",
        "device",
        "until",
        "last seen",
        table.name()
    );
    let value = json!({
        "table": table.name(),
        "log": unread.is_none().then(|| log.display().to_string()),
        "entries": values,
    });
    Ok(tell(&options, &(head + &text + &unread.unwrap_or_default()), &value))
}

fn no_log(log: &Path) -> String {
    let why = if log.exists() { "cannot be read" } else { "is not there" };
    format!("no log read: {} {why} (--log FILE)\n", log.display())
}

fn mark(date: &str, ended: bool) -> String {
    if ended { format!("{date}!") } else { date.to_owned() }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn usual_log(config: &Config) -> PathBuf {
    let named = lossy(&config.maillog_file);
    PathBuf::from(if named.starts_with('/') { named } else { USUAL_LOG.to_owned() })
}

/// Of whom the log tells that it was here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// This entry's own certificate.
    Device,
    /// Its user, by whichever certificate.
    User,
}

impl Of {
    fn mark(self) -> &'static str {
        if self == Self::User { " *" } else { "" }
    }

    fn name(self) -> &'static str {
        if self == Self::User { "user" } else { "device" }
    }
}

/// When the log last named users, devices, and fingerprints: the time as it stands there.
///
/// Clients choose much of what is in the log, names in certificates too. So a line counts only where
/// its beginning is ours, and fingerprints are taken from its end.
#[derive(Default)]
struct Seen(HashMap<Key, String>);

#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Fingerprint(String),
    User(String),
    Device(String, String),
}

impl Seen {
    fn read(path: &Path) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        if len > READ {
            file.seek(SeekFrom::Start(len - READ))?;
        }
        let mut seen = Self::default();
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            seen.line(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        Ok(seen)
    }

    fn line(&mut self, line: &str) {
        let Some((time, text)) = said_by_smtpd(line) else { return };
        // A queue id, or `name[address]`.
        let Some((who, text)) = text.split_once(": ").filter(|(who, _)| !who.contains(' ')) else {
            return;
        };
        let keys = if text.starts_with("client=") && !who.contains('[') {
            Vec::from_iter(user(text))
        } else if !who.ends_with(']') {
            return;
        } else if let Some(known) = text.strip_prefix("client certificate of user ") {
            device(known).into_iter().chain(fingerprints(text)).collect()
        } else if OF_CERTIFICATES.iter().any(|start| text.starts_with(start)) {
            fingerprints(text).collect()
        } else {
            return;
        };
        self.0.extend(keys.into_iter().map(|key| (key, time.to_owned())));
    }

    fn of(&self, row: &Row, user: Option<&str>, device: Option<&str>) -> Option<(&str, Of)> {
        let user = user.map(str::to_ascii_lowercase);
        let own = self.0.get(&Key::Fingerprint(row.key.to_ascii_lowercase())).or_else(|| {
            // A user can have two keys on one device: only the key itself tells which it was.
            let device = is_name(&row.key).then_some(device?)?;
            let device = Key::Device(user.clone()?, device.to_ascii_lowercase());
            self.0.get(&device)
        });
        let own = own.map(|time| (time.as_str(), Of::Device));
        own.or_else(|| Some((self.0.get(&Key::User(user?))?.as_str(), Of::User)))
    }
}

/// How lines begin, after `name[address]: `, that end with fingerprints.
const OF_CERTIFICATES: &[&str] =
    &["subject_CN=", "raw public key fingerprint=", "client certificate listed in "];

/// `client=name[address], sasl_method=EXTERNAL, sasl_username=alice`; who has a password may be
/// anywhere.
fn user(text: &str) -> Option<Key> {
    let (_, user) = text.split_once(", sasl_method=EXTERNAL, sasl_username=")?;
    Some(Key::User(user.split(',').next()?.to_ascii_lowercase()))
}

/// `alice, device "her phone", key fingerprint=…`
fn device(text: &str) -> Option<Key> {
    let (user, rest) = text.split_once(", device \"")?;
    let (device, _) = rest.rsplit_once("\", ")?;
    Some(Key::Device(user.to_ascii_lowercase(), device.to_ascii_lowercase()))
}

/// What ends a line: `…, key fingerprint=AA:BB, certificate fingerprint=CC:DD`; a certificate has two.
fn fingerprints(text: &str) -> impl Iterator<Item = Key> {
    let last = text.rsplit(", ").take(2).map_while(|word| word.split_once("fingerprint="));
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    last.filter(move |(_, value)| hex(value))
        .map(|(_, value)| Key::Fingerprint(value.to_ascii_lowercase()))
}

/// The time and the text of a line that smtpd wrote: `TIME HOST TAG: TEXT`, with a time as in
/// `Nov 25 20:34:42`, which has three words, or in `2026-11-25T20:34:42.…`. The tag must be in its
/// place, since anybody can have one in the text.
fn said_by_smtpd(line: &str) -> Option<(&str, &str)> {
    let iso = line.starts_with(|first: char| first.is_ascii_digit());
    let time = line.get(..if iso { 19 } else { 15 })?;
    // The fraction of a second and the zone.
    let rest = line.get(time.len()..)?;
    let rest = if iso { rest.split_once(' ')?.1 } else { rest.strip_prefix(' ')? };
    let (_, rest) = rest.split_once(' ')?;
    let (tag, text) = rest.split_once(' ')?;
    let (program, number) = tag.strip_suffix("]:")?.rsplit_once('[')?;
    let ours = program.ends_with("smtpd") && number.bytes().all(|byte| byte.is_ascii_digit());
    ours.then_some((time, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &[&str]) -> Seen {
        let mut seen = Seen::default();
        for line in lines {
            seen.line(line);
        }
        seen
    }

    fn row(key: &str) -> Row {
        Row { key: key.into(), value: Vec::new(), line: 1 }
    }

    #[test]
    fn the_last_message_of_a_user_counts_where_the_device_is_not_named() {
        let seen = seen(&[
            "Nov 25 20:34:42 m postfix/smtpd[1]: A: client=x[1], sasl_method=EXTERNAL, sasl_username=alice",
            "2026-11-26T08:00:00.1 m postfix/submission/smtpd[1]: B: client=x[1], sasl_method=EXTERNAL, sasl_username=Alice",
            "Nov 27 00:00:00 m postfix/smtp[1]: C: client=x[1], sasl_method=EXTERNAL, sasl_username=alice",
            "Nov 27 00:00:00 m postfix/smtpd[1]: C: client=x[1], sasl_method=PLAIN, sasl_username=alice",
        ]);
        let row = row("AA:BB");
        let expected = Some(("2026-11-26T08:00:00", Of::User));
        assert_eq!(seen.of(&row, Some("alice"), Some("phone")), expected);
        assert_eq!(seen.of(&row, Some("bob"), None), None);
    }

    #[test]
    fn a_device_is_known_by_its_fingerprints_and_by_its_name() {
        let seen = seen(&[
            "Nov 25 00:00:00 m postfix/smtpd[1]: x[1]: client certificate of user alice, device \"her, phone\", key fingerprint=AA, certificate fingerprint=BB",
            "Nov 26 00:00:00 m postfix/smtpd[1]: x[1]: subject_CN=a, issuer=b, fingerprint=CC, pkey_fingerprint=DD",
            "Nov 27 00:00:00 m postfix/smtpd[1]: x[1]: raw public key fingerprint=EE",
            "Nov 28 00:00:00 m postfix/smtpd[1]: x[1]: client certificate listed in texthash:/x, key fingerprint=FF",
            "Nov 29 00:00:00 m postfix/smtpd[1]: x[1]: unknown client certificate, key SHA-256 fingerprint=AA",
        ]);
        for (key, day) in [("aa", 25), ("BB", 25), ("CC", 26), ("DD", 26), ("EE", 27), ("FF", 28)] {
            let time = format!("Nov {day} 00:00:00");
            assert_eq!(seen.of(&row(key), None, None), Some((time.as_str(), Of::Device)), "{key}");
        }
        let by_name = seen.of(&row("san_email:a@b"), Some("Alice"), Some("Her, phone"));
        assert_eq!(by_name, Some(("Nov 25 00:00:00", Of::Device)));
        assert_eq!(seen.of(&row("GG"), Some("alice"), Some("her, phone")), None);
        assert_eq!(seen.of(&row("x"), Some("alice"), Some("phone")), None);
    }

    #[test]
    fn a_client_cannot_put_others_into_the_log() {
        let seen = seen(&[
            "Nov 25 00:00:00 m postfix/smtpd[1]: NOQUEUE: reject: RCPT from x[1]: 554 x; helo=<x[1]: client=x, sasl_method=EXTERNAL, sasl_username=bob>",
            "Nov 25 00:00:00 m postfix/smtpd[1]: x[1]: subject_CN=a, fingerprint=AA, issuer=b, fingerprint=AA, fingerprint=CC, pkey_fingerprint=DD",
            "Nov 25 00:00:00 m postfix/smtpd[1]: warning: x[1]: subject_CN=a, fingerprint=AA",
            "Nov 25 00:00:00 m postfix/smtpd[1]: x y[1]: subject_CN=a, fingerprint=AA",
        ]);
        assert_eq!(seen.of(&row("AA"), Some("bob"), None), None);
        assert!(seen.of(&row("CC"), None, None).is_some());
    }

    #[test]
    fn only_smtpd_itself_says_who_was_seen() {
        let said = "x[1]: client certificate of user alice, device \"p\", key fingerprint=AA";
        let forged = format!("message-id=<smtpd[1]: {said}>");
        for line in [
            format!("Nov 25 00:00:00 m postfix/cleanup[1]: A: {forged}"),
            format!("2026-11-25T00:00:00.123456+00:00 m postfix/cleanup[1]: A: {forged}"),
            format!("Nov 25 00:00:00 m postfix/cleanup[1]: smtpd[1]: {said}"),
            format!("Nov 25 00:00:00 m postfix/smtpd[1]: A: smtpd[1]: {said}"),
            format!("Nov 25 00:00:00 m postfix/smtpd[x]: {said}"),
            format!("Nov 25 00:00:00 m postfix/smtpd: {said}"),
            format!("smtpd[1]: {said}"),
            format!("é smtpd[1]: {said}"),
            "Nov 25 00:00:00".to_owned(),
            "2026".to_owned(),
            String::new(),
        ] {
            assert!(seen(&[&line]).0.is_empty(), "{line}");
        }
        for (head, time) in [
            ("Nov  5 00:00:00 m postfix/smtpd[1]:", "Nov  5 00:00:00"),
            ("Nov 25 00:00:00 m.x.test postfix/submission/smtpd[12345]:", "Nov 25 00:00:00"),
            ("2026-11-25T00:00:00Z m postfix/smtpd[1]:", "2026-11-25T00:00:00"),
            ("2026-11-25T00:00:00.123456+01:00 m smtpd[1]:", "2026-11-25T00:00:00"),
        ] {
            let seen = seen(&[&format!("{head} {said}")]);
            assert_eq!(seen.of(&row("AA"), None, None), Some((time, Of::Device)), "{head}");
        }
    }
}
