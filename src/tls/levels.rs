//! What is logged of single clients (smtpd_tls_loglevel_maps, Postfix 3.12).
//!
//! Asked for are the client's name and the domains above it, then its address and the networks
//! above that, cut at dots or colons. `DUNNO` is as good as nothing.

use std::cell::OnceCell;

use super::loglevel::LogMask;
use super::trace;
use crate::config::Config;
use crate::log::Fatal;
use crate::mail::hostname::{valid_address, valid_hostname};
use crate::matchlist;
use crate::table::maps::Maps;
use crate::table::{Opener, Request, TableError};

const PARAMETER: &str = "smtpd_tls_loglevel_maps";

/// The tables.
pub(super) struct LogLevels {
    maps: Maps,
    /// The domains above a name are asked without a leading dot
    /// (parent_domain_matches_subdomains).
    bare: bool,
    /// Whether sessions can be traced, once that was asked; then the log says so, too.
    traces: OnceCell<bool>,
}

impl LogLevels {
    /// Opens the tables of `list`, if there are any.
    pub(super) fn open(
        config: &Config,
        opener: &mut Opener,
        list: &[u8],
    ) -> Result<Option<Self>, Fatal> {
        if list.is_empty() {
            return Ok(None);
        }
        let maps = Maps::open(opener, PARAMETER, list, Request::ACCESS)?;
        let bare = matchlist::parents(opener, config, Some(PARAMETER))?;
        Ok(Some(Self { maps, bare, traces: OnceCell::new() }))
    }

    /// What is to be logged of this client, where the tables say so. A lookup that fails is logged,
    /// and says nothing.
    pub(super) fn find(&self, name: &[u8], addr: &[u8]) -> Option<LogMask> {
        let value = match self.by_name(name) {
            Ok(None) => self.by_address(addr),
            found => found,
        };
        let value = value.ok().flatten()?;
        let known = !value.eq_ignore_ascii_case(b"DUNNO");
        let mask = known.then(|| LogMask::parse(PARAMETER, &value, true))?;
        let traces =
            mask.has(LogMask::TRACE) && *self.traces.get_or_init(|| trace::is_possible(PARAMETER));
        Some(if traces { mask } else { mask.without(LogMask::TRACE) })
    }

    fn by_name(&self, name: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        let complaint = match name {
            [] => return Ok(None),
            _ if valid_hostname(name).is_err() => "malformed",
            _ if valid_address(name).is_ok() => "numeric",
            _ => "",
        };
        if !complaint.is_empty() {
            warning!("yana_policy_lookup: ignoring {} peer name: '{}'", complaint, name);
            return Ok(None);
        }
        let ascii = idna::domain_to_ascii(&String::from_utf8_lossy(name));
        let Ok(name) = ascii else { return Ok(None) };
        let mut key = name.as_bytes();
        let mut found = self.maps.find(key)?;
        while let (None, Some(dot)) = (&found, next_dot(key)) {
            key = &key[dot + usize::from(self.bare)..];
            if key.is_empty() {
                break;
            }
            found = self.maps.find_part(key)?;
        }
        Ok(found.map(|found| found.value))
    }

    fn by_address(&self, addr: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        if addr.is_empty() {
            return Ok(None);
        }
        if valid_address(addr).is_err() {
            warning!("yana_policy_lookup: ignoring malformed peer address: '{}'", addr);
            return Ok(None);
        }
        let delimiter = if addr.contains(&b':') { b':' } else { b'.' };
        let mut key = addr;
        let mut found = self.maps.find(key)?;
        while let (None, Some(end)) = (&found, key.iter().rposition(|byte| *byte == delimiter)) {
            key = &key[..end];
            found = self.maps.find_part(key)?;
        }
        Ok(found.map(|found| found.value))
    }
}

/// Where the next label of a name begins, with its dot.
fn next_dot(name: &[u8]) -> Option<usize> {
    name.iter().skip(1).position(|byte| *byte == b'.').map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    fn levels(list: &str, main_cf: &str) -> LogLevels {
        let config = Config::of_text(main_cf).unwrap();
        let mut opener = Opener::new(&config);
        LogLevels::open(&config, &mut opener, list.as_bytes()).unwrap().unwrap()
    }

    fn parsed(list: &[u8]) -> LogMask {
        LogMask::parse(PARAMETER, list, true)
    }

    const TABLE: &str = "inline:{ host.test=1 .deep.test=2 bare.test=2 quiet.test=dunno \
                         192.0.2=summary 2001:db8=0 192.0.2.9=what }";

    #[test]
    fn a_client_is_found_by_name_and_by_address() {
        let levels = levels(TABLE, "");
        let found = |name: &[u8], addr: &[u8]| levels.find(name, addr);
        let (one, two) = (parsed(b"1"), parsed(b"2"));
        assert_eq!(found(b"Host.Test", b"198.51.100.1"), Some(one));
        assert_eq!(found(b"a.b.deep.test", b"198.51.100.1"), Some(two));
        assert_eq!(found(b"a.bare.test", b"198.51.100.1"), None);
        assert_eq!(found(b"quiet.test", b"192.0.2.1"), None);
        assert_eq!(found(b"unknown", b"192.0.2.1"), Some(one));
        assert_eq!(found(b"unknown", b"2001:db8::1"), Some(parsed(b"0")));
        assert_eq!(captured::take(), Vec::<String>::new());
        assert_eq!(found(b"x..y", b"unknown!"), None);
        assert_eq!(found(b"192.0.2.1", b"198.51.100.1"), None);
        assert_eq!(found(b"x.test", b"192.0.2.9"), Some(parsed(b"none")));
        assert_eq!(
            captured::take(),
            [
                "warning: yana_policy_lookup: ignoring malformed peer name: 'x..y'",
                "warning: yana_policy_lookup: ignoring malformed peer address: 'unknown!'",
                "warning: yana_policy_lookup: ignoring malformed peer name: '192.0.2.1'",
                "warning: unknown smtpd_tls_loglevel_maps value \"what\" in \"what\"",
            ]
        );
    }

    #[test]
    fn parents_may_be_asked_without_a_dot() {
        let main_cf = "parent_domain_matches_subdomains = smtpd_tls_loglevel_maps\n";
        let levels = levels(TABLE, main_cf);
        assert!(levels.find(b"a.bare.test", b"198.51.100.1").is_some());
        assert!(levels.find(b"a.deep.test", b"198.51.100.1").is_none());
    }

    #[test]
    fn a_lookup_that_fails_says_nothing() {
        assert_eq!(levels("fail:x", "").find(b"a.test", b"192.0.2.1"), None);
        let expected = ["warning: fail:x lookup error for \"a.test\""];
        assert_eq!(captured::take(), expected);
    }
}
