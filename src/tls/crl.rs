//! One revocation list of a file: whether it can be used, and which other it replaces.
//!
//! Used are complete lists: one an authority, or one for each of its distribution points. Of several
//! the newest counts, also where it can't be used: an older one must not hide what it says.

use std::cmp::Ordering;

use openssl::nid::Nid;
use openssl::x509::{X509, X509Crl, X509NameRef};

use super::files::File;
use super::sound::element;
use super::{ffi, inspect};
use crate::stream::log_library_errors;
use crate::sys::errno::error_text;

/// A larger file is not parsed: it would cost each process more than it is worth.
const LARGEST: usize = 32 * 1024 * 1024;
/// More lists than anybody has authorities.
const MOST: usize = 1000;

const BEGIN: &[u8] = b"-----BEGIN X509 CRL-----";
const END: &[u8] = b"-----END X509 CRL-----";

/// A list that is not known to be forged.
pub(super) struct Crl {
    pub(super) list: X509Crl,
    /// The key of the authority that signed it, where we have that authority.
    signer: Vec<u8>,
    /// When it began, seconds since 1970.
    begun: i64,
    /// Its issuingDistributionPoint; nothing: it is about all certificates.
    scope: Vec<u8>,
    /// Why it can't be used.
    pub(super) fault: Option<Fault>,
}

/// Why a list can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It has what has changed since another.
    Delta,
    /// It is about certificates of other authorities, too.
    Indirect,
    /// It is about some reasons only.
    SomeReasons,
    /// It is about authorities or attribute certificates only.
    NotOfPeople,
    /// Its issuingDistributionPoint can't be read.
    Unreadable,
    /// It has an extension that nobody knows, and that must be understood.
    Strange,
    /// It doesn't say when it began.
    Undated,
}

impl Fault {
    /// What the log says of it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Delta => "is a delta CRL, which is not supported",
            Self::Indirect => "is indirect",
            Self::SomeReasons => "is for some reasons only",
            Self::NotOfPeople => "is not about people's certificates",
            Self::Unreadable => "has an issuingDistributionPoint that cannot be read",
            Self::Strange => "has an unknown critical extension",
            Self::Undated => "has no date",
        }
    }
}

impl Crl {
    /// `None`: it has the name of an authority that we have, and none of that name signed it.
    pub(super) fn of(list: X509Crl, authorities: &[X509]) -> Option<Self> {
        let signer = signer(&list, authorities)?;
        let begun = inspect::seconds(list.last_update());
        let (scope, fault) = scope(&list);
        let fault = fault.or_else(|| begun.is_none().then_some(Fault::Undated));
        Some(Self { list, signer, begun: begun.unwrap_or(i64::MAX), scope, fault })
    }

    /// Whether `other` is not to be believed any more where this one is there.
    pub(super) fn supersedes(&self, other: &Self) -> bool {
        let parted = !self.scope.is_empty() && !other.scope.is_empty() && self.scope != other.scope;
        let closes = self.fault.is_some_and(|fault| fault != Fault::NotOfPeople);
        self.is_newer_than(other) && (closes || !parted)
    }

    /// Whether what `other` has revoked is told by this one, if it is still so.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        let covers = self.scope.is_empty() || self.scope == other.scope;
        self.fault.is_none() && covers && self.is_newer_than(other)
    }

    fn is_newer_than(&self, other: &Self) -> bool {
        let newer = match self.begun.cmp(&other.begun) {
            Ordering::Greater => true,
            Ordering::Equal => self.fault.is_some() && other.fault.is_none(),
            Ordering::Less => false,
        };
        newer
            && self.fault != Some(Fault::Delta)
            && self.signer == other.signer
            && are_equal(self.list.issuer_name(), other.list.issuer_name())
    }
}

/// Whether two names are the same.
pub(super) fn are_equal(one: &X509NameRef, other: &X509NameRef) -> bool {
    one.try_cmp(other).is_ok_and(Ordering::is_eq)
}

/// The key that signed it, of an authority that has its name; empty where we have no such authority,
/// `None` where none of them did.
fn signer(list: &X509Crl, authorities: &[X509]) -> Option<Vec<u8>> {
    let named = |ca: &&X509| are_equal(ca.subject_name(), list.issuer_name());
    let mut of_that_name = authorities.iter().filter(named).peekable();
    if of_that_name.peek().is_none() {
        return Some(Vec::new());
    }
    of_that_name.find_map(|ca| {
        let key = ca.public_key().ok()?;
        list.verify(&key).ok().filter(|good| *good)?;
        key.public_key_to_der().ok()
    })
}

/// What a list is about, and why it can't be used.
fn scope(list: &X509Crl) -> (Vec<u8>, Option<Fault>) {
    let (mut scope, mut fault) = (Vec::new(), None);
    for extension in ffi::list_extensions(list) {
        let wrong = match extension.nid {
            Nid::DELTA_CRL => Some(Fault::Delta),
            Nid::ISSUING_DISTRIBUTION_POINT if scope.is_empty() => {
                scope = extension.value;
                fault_of_point(&scope)
            }
            Nid::ISSUING_DISTRIBUTION_POINT => Some(Fault::Unreadable),
            // OpenSSL knows this one, critical or not.
            Nid::AUTHORITY_KEY_IDENTIFIER => None,
            _ => extension.critical.then_some(Fault::Strange),
        };
        if fault != Some(Fault::Delta) {
            fault = wrong.or(fault);
        }
    }
    (scope, fault)
}

/// What of an issuingDistributionPoint (RFC 5280, section 5.2.5) can't be used.
fn fault_of_point(der: &[u8]) -> Option<Fault> {
    const SEQUENCE: u8 = 0x30;
    let Some((point, [])) = element(der).filter(|(it, _)| it.tag == SEQUENCE) else {
        return Some(Fault::Unreadable);
    };
    let mut rest = point.content;
    while !rest.is_empty() {
        let Some((part, after)) = element(rest) else { return Some(Fault::Unreadable) };
        rest = after;
        match (part.tag, part.content) {
            // Where the list is to be had; only people's certificates.
            (0xa0, _) | (0x81, [_]) | (0x82 | 0x84 | 0x85, [0]) => {}
            (0x82 | 0x85, [_]) => return Some(Fault::NotOfPeople),
            (0x83, _) => return Some(Fault::SomeReasons),
            (0x84, [_]) => return Some(Fault::Indirect),
            _ => return Some(Fault::Unreadable),
        }
    }
    None
}

/// The lists in a file, and whether nothing in it is damaged: nobody knows whose list that is. What
/// cannot be read is logged.
pub(super) fn read(file: &File) -> (Vec<X509Crl>, bool) {
    let pem = match &file.bytes {
        Ok(pem) if pem.len() > LARGEST => {
            warning!("smtpd_tls_ccert_crl_file {}: more than {} bytes", file.name, LARGEST);
            return (Vec::new(), true);
        }
        Ok(pem) => pem,
        Err(error) => {
            warning!("cannot read smtpd_tls_ccert_crl_file {}: {}", file.name, error_text(error));
            return (Vec::new(), true);
        }
    };
    let (mut lists, mut whole) = (Vec::new(), true);
    let closed = "no client certificate is trusted";
    for (number, block) in (1..).zip(blocks(pem)) {
        if number > MOST {
            warning!("smtpd_tls_ccert_crl_file {}: more than {} CRLs: {}", file.name, MOST, closed);
            return (lists, false);
        }
        match X509Crl::from_pem(block) {
            Ok(list) => lists.push(list),
            Err(errors) => {
                let name = &file.name;
                warning!(
                    "smtpd_tls_ccert_crl_file {}: CRL {} is damaged: {}",
                    name,
                    number,
                    closed
                );
                log_library_errors(&errors);
                whole = false;
            }
        }
    }
    (lists, whole)
}

/// Whether there is anything like lists in `pem`, and nothing that is plainly damaged.
pub(super) fn are_there(pem: &[u8]) -> bool {
    let whole = |block: &[u8]| block.starts_with(BEGIN) && block.ends_with(END);
    blocks(pem).next().is_some() && blocks(pem).all(whole)
}

/// What stands from each BEGIN to the END after it, with both. One without the other stands for a
/// list that was cut.
fn blocks(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    let begins = memchr::memmem::find_iter(pem, BEGIN).map(|at| (at, true));
    let ends = memchr::memmem::find_iter(pem, END).map(|at| (at, false));
    let mut marks: Vec<(usize, bool)> = begins.chain(ends).collect();
    marks.sort_unstable();
    let mut marks = marks.into_iter().peekable();
    std::iter::from_fn(move || {
        let (at, begins) = marks.next()?;
        let end = if begins { marks.next_if(|(_, begins)| !begins) } else { Some((at, false)) };
        let next = || marks.peek().map_or(pem.len(), |(next, _)| *next);
        let end = end.map_or_else(next, |(end, _)| end + END.len());
        pem.get(at..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stand_between_their_lines() {
        let one = [BEGIN, b"\nAA==\n", END].concat();
        let cut = [BEGIN, b"\nAA"].concat();
        let text = [b"x\n", &one[..], b"\ny\n", &cut, &one, END, &cut].concat();
        assert_eq!(blocks(&text).collect::<Vec<_>>(), [&one[..], &cut, &one, END, &cut]);
        assert!(are_there(&one) && are_there(&[&one[..], b"\n", &one].concat()));
        assert!(!are_there(b"") && !are_there(&text));
        assert!(!are_there(&[END, b"\n", BEGIN].concat()));
    }

    #[test]
    fn no_prefix_of_a_distribution_point_is_read_beyond_its_end() {
        let point = b"\x30\x12\xa0\x0d\xa0\x0b\x86\x09http://x/\x81\x01\xff";
        assert_eq!(fault_of_point(point), None);
        for len in 0..point.len() {
            assert_eq!(fault_of_point(&point[..len]), Some(Fault::Unreadable));
        }
        assert_eq!(fault_of_point(b"\x30\x03\x84\x01\x00"), None);
    }
}
