//! Revocation lists of the authorities of clients (smtpd_tls_ccert_crl_file).
//!
//! Whoever names a file wants revocation checked, so where a list is missing, not readable or past
//! its time, the chains of that authority are not trusted. A list must be signed by the authority
//! whose name it has: any other is left out, and neither closes nor opens anything.
//!
//! What OpenSSL found is kept in a session that goes on later, so sessions are bound to the lists
//! (and to how many of them had ended) that they began with: under others, a full handshake is made.

use openssl::hash::{MessageDigest, hash};
use openssl::ssl::SslContextBuilder;
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Crl};

use super::files::File;
use super::{ffi, inspect, session};
use crate::stream::log_library_errors;
use crate::sys::errno::error_text;

/// A larger file is not parsed: it would cost each process more than it is worth.
const LARGEST: usize = 32 * 1024 * 1024;
/// More lists than anybody has authorities.
const MOST: usize = 1000;

const BEGIN: &[u8] = b"-----BEGIN X509 CRL-----";
const END: &[u8] = b"-----END X509 CRL-----";

/// The lists in service.
pub(super) struct Lists {
    /// Of the files they came from.
    digest: Vec<u8>,
    /// When each ends, seconds since 1970.
    ends: Vec<i64>,
}

impl Lists {
    /// Whether there is anything like a list in `pem`.
    pub(super) fn are_there(pem: &[u8]) -> bool {
        blocks(pem).next().is_some()
    }

    /// Lets chains be checked against the lists in `file`, of authorities in `ca` or of such as
    /// clients send along.
    pub(super) fn load(ctx: &mut SslContextBuilder, file: &File, ca: Option<&File>) -> Self {
        // In any case: without lists nobody is trusted.
        let flags = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
        if let Err(errors) = ctx.verify_param_mut().set_flags(flags) {
            log_library_errors(&errors);
        }
        let ca = ca.and_then(|ca| ca.bytes.as_deref().ok()).unwrap_or_default();
        let authorities = X509::stack_from_pem(ca).unwrap_or_default();
        let mut ends = Vec::new();
        for list in read(file) {
            if is_forged(&list, &authorities) {
                let issuer = ffi::one_line(list.issuer_name());
                let words = "is not signed by it, and left out";
                warning!("smtpd_tls_ccert_crl_file {}: the CRL of {} {}", file.name, issuer, words);
            } else if ffi::add_list(ctx, &list) {
                let end = list.next_update().and_then(inspect::seconds).unwrap_or(i64::MAX);
                warn_of_end(file, &list, end);
                ends.push(end);
            }
        }
        if ends.is_empty() {
            let words = "has no CRL to be used: no client certificate is trusted";
            warning!("smtpd_tls_ccert_crl_file {} {}", file.name, words);
        }
        ffi::clear_errors();
        let bytes = file.bytes.as_deref().unwrap_or_default();
        let digest = hash(MessageDigest::sha256(), &[bytes, ca].concat());
        Self { digest: digest.map(|it| it.to_vec()).unwrap_or_default(), ends }
    }

    /// What sessions of a service are bound to.
    pub(super) fn context(&self, service: &[u8], now: i64) -> [u8; 32] {
        let ended = self.ends.iter().filter(|end| **end < now).count();
        session::session_id_context(&fill!("{}\0{}\0{}", service, ended, self.digest))
    }
}

fn warn_of_end(file: &File, list: &X509Crl, end: i64) {
    if end < session::now() {
        let issuer = ffi::one_line(list.issuer_name());
        let words = "has expired: no certificate of it is trusted";
        warning!("smtpd_tls_ccert_crl_file {}: the CRL of {} {}", file.name, issuer, words);
    }
}

/// Whether an authority that we know has the list's name, but none of that name has signed it.
fn is_forged(list: &X509Crl, authorities: &[X509]) -> bool {
    let named = |ca: &&X509| {
        ca.subject_name().try_cmp(list.issuer_name()).is_ok_and(std::cmp::Ordering::is_eq)
    };
    let signed =
        |ca: &X509| ca.public_key().and_then(|key| list.verify(&key)).is_ok_and(|good| good);
    let mut of_that_name = authorities.iter().filter(named).peekable();
    of_that_name.peek().is_some() && !of_that_name.any(signed)
}

/// The lists in a file; what cannot be read is logged.
fn read(file: &File) -> Vec<X509Crl> {
    let pem = match &file.bytes {
        Ok(pem) if pem.len() > LARGEST => {
            warning!("smtpd_tls_ccert_crl_file {}: more than {} bytes", file.name, LARGEST);
            return Vec::new();
        }
        Ok(pem) => pem,
        Err(error) => {
            warning!("cannot read smtpd_tls_ccert_crl_file {}: {}", file.name, error_text(error));
            return Vec::new();
        }
    };
    let mut lists = Vec::new();
    for (number, block) in blocks(pem).take(MOST).enumerate() {
        match X509Crl::from_pem(block) {
            Ok(list) => lists.push(list),
            Err(errors) => {
                let number = number + 1;
                warning!("smtpd_tls_ccert_crl_file {}: CRL {} is damaged", file.name, number);
                log_library_errors(&errors);
            }
        }
    }
    lists
}

/// What stands from each BEGIN to the END after it, with both.
fn blocks(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = pem;
    std::iter::from_fn(move || {
        let begin = memchr::memmem::find(rest, BEGIN)?;
        rest = &rest[begin..];
        let end = memchr::memmem::find(rest, END)? + END.len();
        let (block, after) = rest.split_at(end);
        rest = after;
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stand_between_their_lines() {
        let one = [BEGIN, b"\nAA==\n", END].concat();
        let text = [b"x\n", &one[..], b"\ny\n", &one, b"\n", BEGIN, b"\nAA"].concat();
        assert_eq!(blocks(&text).collect::<Vec<_>>(), [&one[..], &one]);
        assert!(!Lists::are_there(b"") && !Lists::are_there(&[END, b"\n", BEGIN].concat()));
    }

    #[test]
    fn sessions_are_bound_to_lists_that_have_not_ended_since() {
        let lists = Lists { digest: b"d".to_vec(), ends: vec![100, 200] };
        let others = Lists { digest: b"e".to_vec(), ends: vec![100, 200] };
        assert_eq!(lists.context(b"smtp", 1), lists.context(b"smtp", 100));
        assert_ne!(lists.context(b"smtp", 1), lists.context(b"smtp", 101));
        assert_ne!(lists.context(b"smtp", 101), lists.context(b"smtp", 201));
        assert_ne!(lists.context(b"smtp", 1), others.context(b"smtp", 1));
        assert_ne!(lists.context(b"smtp", 1), lists.context(b"submission", 1));
    }
}
