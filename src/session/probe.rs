//! Our own address verification probes: their sender is accepted without restrictions, so that two
//! servers that verify each other's addresses do not refuse each other's probes.

use std::cell::OnceCell;
use std::time::{Duration, UNIX_EPOCH};

use crate::config::Config;
use crate::ipc::rewrite::{Rule, TrivialRewrite};
use crate::sys::time;
use crate::text::fold;

/// address_verify_sender and address_verify_sender_ttl (postconf(5)).
pub(crate) struct Probe {
    sender: Vec<u8>,
    ttl: Duration,
    canonical: OnceCell<Vec<u8>>,
}

/// Digits of the time stamp in a probe's sender.
const DIGITS: &[u8] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
/// Base of the time stamp.
const BASE: u64 = 31;

impl Probe {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            sender: config.address_verify_sender.clone(),
            ttl: config.address_verify_sender_ttl,
            canonical: OnceCell::new(),
        }
    }

    /// The sender of our probes without its time stamp, if `address` is one with a current stamp.
    pub(crate) fn plain(&self, rewrite: &TrivialRewrite, address: &[u8]) -> Option<Vec<u8>> {
        if self.sender.is_empty() || self.sender == b"<>" {
            return address.is_empty().then(Vec::new);
        }
        let (local, _) = split(&self.sender);
        // trivial-rewrite(8) is asked only where the answer can matter.
        if address.get(..local.len()).is_none_or(|head| !fold::same(head, local, true)) {
            return None;
        }
        let canonical = self.canonical.get_or_init(|| rewrite.rewrite(Rule::Local, &self.sender));
        self.matches(canonical, address).then(|| canonical.clone())
    }

    fn matches(&self, canonical: &[u8], address: &[u8]) -> bool {
        let (local, domain) = split(canonical);
        let (their_local, their_domain) = split(address);
        let same_domain = fold::same(their_domain, domain, true);
        let Some((head, stamp)) = their_local.split_at_checked(local.len()) else { return false };
        if !same_domain || !fold::same(head, local, true) {
            return false;
        }
        if self.ttl.is_zero() { stamp.is_empty() } else { self.is_current(stamp) }
    }

    fn is_current(&self, stamp: &[u8]) -> bool {
        let since = time::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = since.as_secs() / self.ttl.as_secs().max(1);
        let Some(theirs) = number(stamp) else { return false };
        theirs.abs_diff(now) <= 1
    }
}

fn split(address: &[u8]) -> (&[u8], &[u8]) {
    let at = address.iter().position(|byte| *byte == b'@').unwrap_or(address.len());
    address.split_at(at)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| {
        let value = DIGITS.iter().position(|known| known == digit)? as u64;
        if value >= BASE {
            return None;
        }
        number.checked_mul(BASE)?.checked_add(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(ttl: u64) -> Probe {
        Probe {
            sender: b"double-bounce".to_vec(),
            ttl: Duration::from_secs(ttl),
            canonical: OnceCell::new(),
        }
    }

    #[test]
    fn only_the_very_sender_is_ours() {
        let ours = b"double-bounce@mail.example";
        let is = |address: &[u8]| probe(0).matches(ours, address);
        assert!(is(b"Double-Bounce@MAIL.example"));
        assert!(!is(b"double-bounce1@mail.example"));
        assert!(!is(b"double-bounce@other.example"));
        assert!(!is(b"double-bounce"));
    }

    #[test]
    fn a_time_stamp_must_be_a_number() {
        assert_eq!(number(b"10"), Some(31));
        assert_eq!(number(b"Z"), Some(30));
        assert_eq!(number(b"a"), None);
        assert_eq!(number(b"9999999999999999999999"), None);
    }
}
