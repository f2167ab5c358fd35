//! `ccert check`, of the tables: whether they can be opened, and what stands in them.

use std::collections::HashMap;

use super::super::Trouble;
use super::check::Finding;
use super::users::{Row, Users};
use super::{digest_of, prints};
use crate::config::Config;
use crate::identity::{day_of, entry};
use crate::log;
use crate::sys::time;
use crate::table::maps::Maps;
use crate::table::source_keys::stale_index;
use crate::table::{Opener, Request};

/// Entries that end within so many days are told.
const SOON: i64 = 21;

/// Opens a table as the daemon does, and looks up what its source has.
pub(super) fn of_table(config: &Config, spec: &[u8]) -> Result<Vec<Finding>, Trouble> {
    let direct = spec.strip_prefix(b"proxy:").unwrap_or(spec);
    let users = Users::first_of(direct, config);
    if users.is_none() && direct.len() < spec.len() {
        // proxymap(8) alone can open it.
        return Ok(Vec::new());
    }
    let (maps, mut findings) = opened(config, direct);
    let Some(users) = users else { return Ok(findings) };
    let is_open = findings.is_empty();
    if let Some(index) = stale_index(direct) {
        findings.push(Finding::error(format!(
            "{} is older than {}: run postmap {}",
            String::from_utf8_lossy(&index),
            users.path.display(),
            users.name()
        )));
    }
    let rows = users.rows()?;
    if rows.is_empty() && users.path.exists() {
        findings.push(Finding::warning(format!("{} has no entries", users.name())));
    }
    findings.extend(of_rows(config, &users, &rows)?);
    // What is told already explains what would not be found.
    if let Some(maps) = maps.filter(|_| is_open && findings.iter().all(|it| !it.is_error())) {
        findings.extend(rows.iter().filter_map(|row| of_lookup(&maps, &users, row)));
    }
    Ok(findings)
}

/// What the log would say is wrong with it.
fn opened(config: &Config, spec: &[u8]) -> (Option<Maps>, Vec<Finding>) {
    let title = "smtpd_tls_ccert_user_maps";
    let mut opener = Opener::new(config);
    let (maps, records) = log::capture(|| Maps::open(&mut opener, title, spec, Request::ACCESS));
    // Said again, with the line of the first.
    let told_later = |text: &[u8]| {
        [&b"duplicate entry"[..], b"is older than source"]
            .iter()
            .any(|words| memchr::memmem::find(text, words).is_some())
    };
    let (maps, fatal) = match maps {
        Ok(maps) => (Some(maps), None),
        Err(log::Fatal(text)) => (None, Some(text)),
    };
    let texts = records.into_iter().map(|(_, text)| text).chain(fatal);
    let texts = texts.filter(|text| !told_later(text));
    let finding = |text: Vec<u8>| Finding::error(String::from_utf8_lossy(&text).into_owned());
    (maps, texts.map(finding).collect())
}

/// Whether a session would find what the source has.
fn of_lookup(maps: &Maps, users: &Users, row: &Row) -> Option<Finding> {
    let place = format!("{}, line {}", users.path.display(), row.line);
    let (found, _) = log::capture(|| maps.find(row.key.as_bytes()));
    let words = |value: &[u8]| {
        let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(&b' ')
    };
    let what = match found {
        Ok(Some(found)) if words(&found.value) == words(&row.value) => return None,
        Ok(Some(_)) => "the server finds another entry for this key",
        Ok(None) => "the server does not find this key",
        Err(_) => "the server cannot look this key up",
    };
    let hint =
        if users.indexed { format!(": run postmap {}", users.name()) } else { String::new() };
    Some(Finding::error(format!("{place}: {what}{hint}")))
}

fn of_rows(config: &Config, table: &Users, rows: &[Row]) -> Result<Vec<Finding>, Trouble> {
    let mut findings = Vec::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    let today = day_of(time::now());
    for row in rows {
        let place = format!("{}, line {}", table.path.display(), row.line);
        if let Some(first) = lines.insert(row.key.to_lowercase(), row.line) {
            findings.push(Finding::error(format!("{place}: the same key as in line {first}")));
        }
        findings.extend(of_key(config, row, &place)?);
        findings.extend(of_value(row, &place, today));
    }
    Ok(findings)
}

/// Whether a key is a name in a certificate, and no fingerprint.
pub(super) fn is_name(key: &str) -> bool {
    let names = ["san_email:", "san_dns:", "san_uri:", "cert_subject:", "cert_issuer:"];
    names.iter().any(|name| key.to_lowercase().starts_with(name))
}

fn of_key(config: &Config, row: &Row, place: &str) -> Result<Option<Finding>, Trouble> {
    let key = row.key.as_str();
    if is_name(key) {
        return Ok(None);
    }
    let wanted = String::from_utf8_lossy(&config.smtpd_tls_fingerprint_digest).into_owned();
    Ok(match prints::normal(key, digest_of(config)?) {
        Some(normal) if normal.eq_ignore_ascii_case(key) => None,
        Some(normal) => Some(Finding::error(format!(
            "{place}: this form of the fingerprint is never looked up: write {normal}"
        ))),
        None => Some(Finding::error(match prints::kind(key) {
            Some(kind) => format!(
                "{place}: this is a {kind} fingerprint, but smtpd_tls_fingerprint_digest = {wanted}"
            ),
            None => format!("{place}: \"{key}\" is no {wanted} fingerprint and no name"),
        })),
    })
}

fn of_value(row: &Row, place: &str, today: i64) -> Option<Finding> {
    let entry = match crate::identity::Entry::parse(&row.value) {
        Ok(entry) => entry,
        Err(error) => return Some(Finding::error(format!("{place}: bad entry: {error}"))),
    };
    let user = String::from_utf8_lossy(&entry.user).into_owned();
    let last = entry.until?;
    let date = entry::date(last);
    if last < today {
        Some(Finding::warning(format!("{place}: {user}'s entry ended on {date}")))
    } else if last - today <= SOON {
        Some(Finding::warning(format!("{place}: {user}'s entry ends on {date}")))
    } else {
        None
    }
}
