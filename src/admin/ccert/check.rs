//! `ccert check`: whether main.cf lets certificates do what they should.

use lexopt::Parser;
use serde_json::json;

use super::super::Trouble;
use super::options::Options;
use super::site::{Service, Site, maps};
use super::tables::of_table;
use super::tell;
use crate::config::Config;
use crate::sys::start::ExitCode;

/// What `--help` prints.
pub(super) const HELP: &str = "\
usage: smtpd-rs ccert check [--table TYPE:FILE]

Looks at what client certificates need, end to end: whether services of master.cf ask for them,
whether somebody relays by them, whether the tables and their indexes are there and have each key,
digests, duplicates, entries that have ended or are wrong. Exit status 1 if something is wrong.
(smtpd-rs check looks at the rest of main.cf and master.cf.)
";

pub(super) fn check(words: &mut Parser) -> Result<ExitCode, Trouble> {
    let options = Options::read(words, &["table"])?;
    options.none()?;
    let site = options.site()?;
    let mut findings = of_services(&site);
    match tables(&site, options.table.as_deref()) {
        Ok(tables) => {
            for (spec, config) in tables {
                findings.extend(of_table(config, &spec)?);
            }
        }
        Err(trouble) => findings.push(Finding::error(trouble.to_string())),
    }
    let findings = once(findings);
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

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    is_error: bool,
    text: String,
}

impl Finding {
    pub(super) fn error(text: String) -> Self {
        Self { is_error: true, text }
    }

    pub(super) fn is_error(&self) -> bool {
        self.is_error
    }

    pub(super) fn warning(text: String) -> Self {
        Self { is_error: false, text }
    }
}

/// What several services have is told once.
fn once(findings: Vec<Finding>) -> Vec<Finding> {
    let mut told = Vec::new();
    for finding in findings {
        if !told.contains(&finding) {
            told.push(finding);
        }
    }
    told
}

/// The tables of users, each once, and what counts for a service that has it.
fn tables<'a>(site: &'a Site, wanted: Option<&str>) -> Result<Vec<(Vec<u8>, &'a Config)>, Trouble> {
    if wanted.is_some() {
        let (users, config) = site.table(wanted)?;
        return Ok(vec![(users.name().into_bytes(), config)]);
    }
    let mut tables: Vec<(Vec<u8>, &Config)> = Vec::new();
    let all = site.in_use().into_iter().map(|service| &service.config).chain([&site.main.config]);
    for config in all {
        for spec in maps(config) {
            if !tables.iter().any(|(known, _)| known == spec) {
                tables.push((spec.to_vec(), config));
            }
        }
    }
    if tables.is_empty() {
        return Err(Trouble::Failed(
            "no service has a table of users (smtpd_tls_ccert_user_maps)".to_owned(),
        ));
    }
    Ok(tables)
}

/// Restrictions that look at certificates themselves.
const BY_CERTIFICATE: &[&str] =
    &["permit_tls_clientcerts", "permit_tls_all_clientcerts", "check_ccert_access"];
/// Restrictions that let somebody relay by a certificate.
const RELAYS: &[&str] = &["permit_sasl_authenticated", "permit_tls_clientcerts"];

fn of_services(site: &Site) -> Vec<Finding> {
    let mut findings: Vec<_> = site.broken.iter().cloned().map(Finding::error).collect();
    let nobody_asks = !site.all().iter().any(|service| service.asks());
    if nobody_asks {
        findings.push(Finding::warning(
            "no service asks its clients for certificates: smtpd_tls_ask_ccert = yes, and TLS, in \
             main.cf or with -o in master.cf"
                .to_owned(),
        ));
    }
    for service in site.all() {
        if service.asks() {
            findings.extend(of_relaying(service));
        } else if !nobody_asks {
            findings.extend(of_not_asking(service, &site.main));
        }
        if service.config.smtpd_tls_fingerprint_digest.eq_ignore_ascii_case(b"md5") {
            findings.push(Finding::error(
                "smtpd_tls_fingerprint_digest = md5 can be forged: set sha256".to_owned(),
            ));
        }
    }
    findings
}

/// Whether one of the lists that decide on relaying has a word.
fn is_named(config: &Config, word: &str) -> bool {
    let lists = [
        &config.smtpd_client_restrictions,
        &config.smtpd_relay_restrictions,
        &config.smtpd_recipient_restrictions,
    ];
    lists.iter().any(|list| memchr::memmem::find(list, word.as_bytes()).is_some())
}

fn of_relaying(service: &Service) -> Option<Finding> {
    if maps(&service.config).next().is_none()
        || RELAYS.iter().any(|word| is_named(&service.config, word))
    {
        return None;
    }
    let title = &service.title;
    Some(Finding::warning(format!(
        "{title}: no list has permit_sasl_authenticated: a user's certificate lets nobody relay"
    )))
}

/// A table that main.cf gives to all is for those that ask.
fn of_not_asking(service: &Service, main: &Service) -> Option<Finding> {
    let table = maps(&service.config).next().is_some() && service.has_own_table(main);
    let word = if table {
        "smtpd_tls_ccert_user_maps"
    } else {
        BY_CERTIFICATE.iter().copied().find(|word| is_named(&service.config, word))?
    };
    let title = &service.title;
    Some(Finding::warning(format!(
        "{title}: {word}, but clients are not asked for certificates (smtpd_tls_ask_ccert = no, or \
         no TLS)"
    )))
}
