//! `ccert check`: whether main.cf lets certificates do what they should.

use std::collections::HashMap;

use lexopt::Parser;
use serde_json::json;

use super::super::Trouble;
use super::options::Options;
use super::users::{Row, Users};
use super::{digest_of, prints, tell};
use crate::config::Config;
use crate::identity::{day_of, entry};
use crate::sys::start::ExitCode;
use crate::sys::time;

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs ccert check [--table TYPE:FILE]

Looks at what client certificates need, end to end: whether they are asked for, whether somebody
relays by them, the table, its digests, duplicates, entries that have ended or are wrong. Exit status
1 if something is wrong. (smtpd-rs check looks at the rest of main.cf, and at each service.)
";

/// Entries that end within so many days are told.
const SOON: i64 = 21;

pub(super) fn check(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let options = Options::read(words, &["table"])?;
    options.none()?;
    let site = options.site()?;
    let mut findings = of_config(&site.main);
    match site.table(options.table.as_deref()) {
        Ok((table, config)) => findings.extend(of_table(config, &table)?),
        Err(trouble) => findings.push(Finding::error(trouble.to_string())),
    }
    let errors = findings.iter().filter(|finding| finding.is_error).count();
    let mut text = String::new();
    for finding in &findings {
        let word = if finding.is_error { "error" } else { "warning" };
        text += &format!("{word}: {}\n", finding.text);
    }
    if findings.is_empty() {
        text += "All is well.\n";
    }
    let values: Vec<_> = findings
        .iter()
        .map(|finding| json!({ "error": finding.is_error, "text": finding.text }))
        .collect();
    tell(&options, &text, &json!({ "errors": errors, "findings": values }));
    Ok(if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Finding {
    is_error: bool,
    text: String,
}

impl Finding {
    fn error(text: String) -> Self {
        Self { is_error: true, text }
    }

    fn warning(text: String) -> Self {
        Self { is_error: false, text }
    }
}

fn of_config(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !config.smtpd_tls_ask_ccert && !config.smtpd_tls_req_ccert {
        findings.push(Finding::warning(
            "clients are not asked for certificates in main.cf (smtpd_tls_ask_ccert = no): \
             each service that wants them needs -o smtpd_tls_ask_ccert=yes in master.cf"
                .to_owned(),
        ));
    }
    let lists = [
        &config.smtpd_client_restrictions,
        &config.smtpd_relay_restrictions,
        &config.smtpd_recipient_restrictions,
    ];
    let relays = [&b"permit_sasl_authenticated"[..], b"permit_tls_clientcerts"];
    let named = |word: &[u8]| lists.iter().any(|list| memchr::memmem::find(list, word).is_some());
    if !relays.iter().any(|word| named(word)) {
        findings.push(Finding::warning(
            "no list in main.cf has permit_sasl_authenticated: a user's certificate lets nobody \
             relay, unless a service of master.cf says so"
                .to_owned(),
        ));
    }
    if config.smtpd_tls_fingerprint_digest.eq_ignore_ascii_case(b"md5") {
        findings.push(Finding::error(
            "smtpd_tls_fingerprint_digest = md5 can be forged: set sha256".to_owned(),
        ));
    }
    findings
}

fn of_table(config: &Config, table: &Users) -> Result<Vec<Finding>, Trouble> {
    let rows = table.rows()?;
    let mut findings = Vec::new();
    if rows.is_empty() {
        findings.push(Finding::warning(format!("{} has no entries", table.name())));
    }
    let mut lines: HashMap<String, usize> = HashMap::new();
    let today = day_of(time::now());
    for row in &rows {
        let place = format!("{}, line {}", table.path.display(), row.line);
        if let Some(first) = lines.insert(row.key.to_lowercase(), row.line) {
            findings.push(Finding::error(format!("{place}: the same key as in line {first}")));
        }
        findings.extend(of_key(config, row, &place)?);
        findings.extend(of_value(row, &place, today));
    }
    Ok(findings)
}

fn of_key(config: &Config, row: &Row, place: &str) -> Result<Option<Finding>, Trouble> {
    let names = ["san_email:", "san_dns:", "san_uri:", "cert_subject:", "cert_issuer:"];
    let key = row.key.as_str();
    if names.iter().any(|name| key.to_lowercase().starts_with(name)) {
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
