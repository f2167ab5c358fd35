//! Whose word counts for the names in certificates of clients.
//!
//! With tls_append_default_CA the authorities of the system are trusted as well, and anybody can have
//! a certificate of theirs, with about any name in it. So names count there only where an authority of
//! smtpd_tls_CAfile itself has signed the certificate. (The chain is not asked: a session that goes on
//! later has none, and must not make somebody else of its client.)

use openssl::x509::{X509, X509Ref};

use super::ffi;
use super::files::File;

/// Who vouches for names in certificates whose chains were verified.
pub(super) enum Vouchers {
    /// Every authority that is trusted.
    Trusted,
    /// These alone.
    Only(Vec<X509>),
}

impl Vouchers {
    /// Those in `file` (smtpd_tls_CAfile) where others are trusted, too.
    pub(super) fn of(others_are_trusted: bool, file: Option<&File>) -> Self {
        if !others_are_trusted {
            return Self::Trusted;
        }
        let pem = file.and_then(|file| file.bytes.as_deref().ok()).unwrap_or_default();
        let authorities = X509::stack_from_pem(pem).unwrap_or_default();
        ffi::clear_errors();
        Self::Only(authorities)
    }

    /// Whether the names in `certificate` count if its chain was verified.
    pub(super) fn vouch_for(&self, certificate: &X509Ref) -> bool {
        let Self::Only(authorities) = self else { return true };
        let vouches = authorities.iter().any(|authority| has_signed(authority, certificate));
        ffi::clear_errors();
        vouches
    }
}

fn has_signed(authority: &X509, certificate: &X509Ref) -> bool {
    let named = authority.subject_name().try_cmp(certificate.issuer_name());
    named.is_ok_and(std::cmp::Ordering::is_eq)
        && authority.public_key().and_then(|key| certificate.verify(&key)).is_ok_and(|good| good)
}
