//! smtpd_dns_reply_filter: tables that take records out of replies.
//!
//! A record is looked up as zone files have it, `mail.example. 3600 IN A 192.0.2.1`; the only
//! action is `IGNORE`. As Postfix: `dns_rr_filter.c`.

use super::record::Records;
use crate::config::Config;
use crate::log::Fatal;
use crate::table::maps::Maps;
use crate::table::{Opener, Request, TableError};

/// The parameter.
const TITLE: &str = "smtpd_dns_reply_filter";

/// The filter.
pub(super) struct ReplyFilter {
    maps: Maps,
}

impl ReplyFilter {
    /// The tables of smtpd_dns_reply_filter, if it has any.
    pub(super) fn open(config: &Config, opener: &mut Opener) -> Result<Option<Self>, Fatal> {
        if config.smtpd_dns_reply_filter.is_empty() {
            return Ok(None);
        }
        let request = Request { fold_fixed: true, ..Request::default() };
        let maps = Maps::open(opener, TITLE, &config.smtpd_dns_reply_filter, request)?;
        Ok(Some(Self { maps }))
    }

    /// Takes away what is to be ignored; how many that were. Each of them is logged.
    pub(super) fn apply(&self, records: &mut Records) -> Result<usize, TableError> {
        let mut kept = Vec::with_capacity(records.list.len());
        let mut ignored: usize = 0;
        for record in std::mem::take(&mut records.list) {
            let text = record.text();
            match self.maps.find(&text)? {
                None => kept.push(record),
                Some(found) if is_ignore(&found.value) => {
                    info!("ignoring DNS RR: {}", text);
                    ignored = ignored.saturating_add(1);
                }
                Some(found) => {
                    warning!("{}: unknown DNS filter action: \"{}\"", TITLE, found.value);
                    return Err(TableError::Config);
                }
            }
        }
        records.list = kept;
        Ok(ignored)
    }
}

/// Whether the first word is `IGNORE`.
fn is_ignore(value: &[u8]) -> bool {
    let word = value.split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default();
    word.eq_ignore_ascii_case(b"IGNORE")
}
