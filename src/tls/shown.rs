//! More of what a client showed than a session needs: for the hints to its administrator.

use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{PKeyRef, Public};
use openssl::x509::X509Ref;

use super::peer::VerifyError;
use super::{ffi, inspect, session};
use crate::mail::fingerprint::Fingerprint;

/// Digests by which people know certificates; the first is the one that is told.
const DIGESTS: &[&str] = &["sha256", "sha1", "md5"];

/// What a client showed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// Its fingerprints by the usual digests; those of the key come first.
    pub prints: Vec<Print>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// A fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Print {
    /// `sha256`
    pub digest: &'static str,
    /// `key` or `certificate`
    pub of: &'static str,
    /// The digest itself.
    pub bytes: Vec<u8>,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Its authority has revoked it.
    Revoked,
    /// It has ended (seconds since 1970).
    Expired(i64),
    /// It has not begun.
    NotYetValid(i64),
    /// It is made for other things than clients of TLS.
    NotForClients,
    /// Its chain is not trusted: why.
    Untrusted(Vec<u8>),
}

impl Print {
    /// The text, as tables have it.
    pub fn text(&self) -> Vec<u8> {
        Fingerprint::of_digest(&self.bytes).text()
    }
}

impl Shown {
    /// A key without a certificate.
    pub(super) fn of_key(key: &PKeyRef<Public>) -> Option<Self> {
        let prints = prints("key", &key.public_key_to_der().ok()?);
        Some(Self { prints, faults: Vec::new() })
    }

    /// A certificate, and why it is not trusted.
    pub(super) fn of(certificate: &X509Ref, legacy: bool, error: Option<&VerifyError>) -> Self {
        let key = if legacy {
            ffi::public_key_bits(certificate).to_vec()
        } else {
            ffi::public_key_der(certificate)
        };
        let of_certificate = certificate.to_der().unwrap_or_default();
        let prints = [prints("key", &key), prints("certificate", &of_certificate)].concat();
        Self { prints, faults: faults(certificate, error) }
    }
}

fn prints(of: &'static str, bytes: &[u8]) -> Vec<Print> {
    let print = |digest: &&'static str| {
        // A system in FIPS mode may lack md5.
        let found = hash(MessageDigest::from_name(digest)?, bytes).ok()?;
        Some(Print { digest, of, bytes: found.to_vec() })
    };
    let prints = DIGESTS.iter().filter_map(print).collect();
    ffi::clear_errors();
    prints
}

fn faults(certificate: &X509Ref, error: Option<&VerifyError>) -> Vec<Fault> {
    let now = session::now();
    let mut faults = Vec::new();
    if error.is_some_and(VerifyError::is_revocation) {
        faults.push(Fault::Revoked);
    }
    if let Some(end) = inspect::seconds(certificate.not_after()).filter(|end| *end < now) {
        faults.push(Fault::Expired(end));
    }
    if let Some(begin) = inspect::seconds(certificate.not_before()).filter(|it| *it > now) {
        faults.push(Fault::NotYetValid(begin));
    }
    if !ffi::is_for_clients(certificate) {
        faults.push(Fault::NotForClients);
    }
    // The rest of the words tell what is said already.
    if let Some(error) = error.filter(|error| !error.is_of_itself()) {
        faults.push(Fault::Untrusted(error.words().1));
    }
    faults
}
