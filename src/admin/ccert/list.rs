//! `ccert list`: who is in the table, and when last seen.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::Parser;
use serde_json::json;

use super::super::Trouble;
use super::options::Options;
use super::tell;
use super::users::{Row, Users};
use crate::config::Config;
use crate::identity::{day_of, entry};
use crate::sys::time;

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs ccert list [--log FILE] [--table TYPE:FILE]

Prints the table: user, device, until when, fingerprint, and when the log last names the user (or
the fingerprint, with smtpd_tls_ccert_hints or smtpd_tls_loglevel 2). The log is maillog_file, else
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
    let config = options.load()?;
    let table = Users::find(&config, options.table.as_deref())?;
    let rows = table.rows()?;
    let log = options.log.clone().unwrap_or_else(|| usual_log(&config));
    let seen = Seen::read(&log);
    if let (Err(error), Some(_)) = (&seen, &options.log) {
        return Err(Trouble::Failed(format!("{}: {error}", log.display())));
    }
    let seen = seen.unwrap_or_default();
    let today = day_of(time::now());
    let mut text = String::new();
    let mut values = Vec::new();
    for row in &rows {
        let entry = row.entry();
        let user = entry.as_ref().map(|entry| lossy(&entry.user));
        let device = entry.as_ref().and_then(|entry| entry.device.as_deref()).map(lossy);
        let until = entry.as_ref().and_then(|entry| entry.until);
        let ended = until.is_some_and(|day| day < today);
        let last = seen.of(row, user.as_deref());
        let _ = writeln!(
            text,
            "{:<24} {:<12} {:<12} {:<18} {}",
            user.as_deref().unwrap_or("(bad entry)"),
            device.as_deref().unwrap_or("-"),
            until.map_or_else(|| "-".to_owned(), |day| mark(&entry::date(day), ended)),
            last.unwrap_or("never"),
            row.key
        );
        values.push(json!({
            "user": user,
            "device": device,
            "until": until.map(entry::date),
            "ended": ended,
            "last_seen": last,
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
    Ok(tell(&options, &(head + &text), &json!({ "table": table.name(), "entries": values })))
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

/// When the log last named a user or a fingerprint: the time as it stands there.
#[derive(Default)]
struct Seen(HashMap<String, String>);

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
            seen.line(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(seen)
    }

    fn line(&mut self, line: &str) {
        let Some(at) = line.find("smtpd[") else { return };
        let time = time_of(line);
        for name in ["sasl_username=", "fingerprint="] {
            for rest in line[at..].split(name).skip(1) {
                let end = rest.find([',', ' ', '\n']).unwrap_or(rest.len());
                self.0.insert(rest[..end].to_lowercase(), time.clone());
            }
        }
    }

    fn of(&self, row: &Row, user: Option<&str>) -> Option<&str> {
        let by_key = self.0.get(&row.key.to_lowercase());
        by_key.or_else(|| self.0.get(&user?.to_lowercase())).map(String::as_str)
    }
}

/// `Nov 25 20:34:42`, or `2026-11-25T20:34:42.…`.
fn time_of(line: &str) -> String {
    let iso = line.as_bytes().first().is_some_and(u8::is_ascii_digit);
    line.chars().take(if iso { 19 } else { 15 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_names_a_user_counts() {
        let mut seen = Seen::default();
        for line in [
            "Nov 25 20:34:42 mail postfix/smtpd[1]: A: client=x[1], sasl_method=EXTERNAL, sasl_username=alice",
            "2026-11-26T08:00:00.1 mail postfix/submission/smtpd[1]: NOQUEUE: reject: x sasl_username=Alice",
            "Nov 27 00:00:00 mail postfix/smtp[1]: sasl_username=alice",
        ] {
            seen.line(line);
        }
        let row = Row { key: "AA:BB".into(), value: "alice".into(), line: 1 };
        assert_eq!(seen.of(&row, Some("alice")), Some("2026-11-26T08:00:00"));
        assert_eq!(seen.of(&row, Some("bob")), None);
        seen.line(
            "Nov 28 00:00:00 m postfix/smtpd[1]: x: cert fingerprint=CC, pkey fingerprint=aa:bb",
        );
        assert_eq!(seen.of(&row, None), Some("Nov 28 00:00:00"));
    }
}
