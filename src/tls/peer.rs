//! What a client proved: names, fingerprints, and why its certificate is not trusted.

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKeyRef, Public};
use openssl::ssl::SslRef;
use openssl::x509::{
    X509, X509NameRef, X509Ref, X509StoreContext, X509StoreContextRef, X509VerifyResult,
};

use super::ffi;
use super::loglevel::LogMask;
use super::session::{Connection, locked};
use crate::mail::fingerprint::Fingerprint;

/// What verification found wrong, nearest to the client's own certificate.
#[derive(Debug)]
pub(super) struct VerifyError {
    depth: u32,
    code: X509VerifyResult,
    certificate: Option<X509>,
}

/// Called by OpenSSL for each certificate of a chain, and for each error. Never refuses: whether an
/// untrusted client is served is for others to say.
pub(super) fn verified(good: bool, chain: &mut X509StoreContextRef) -> bool {
    let ssl: Option<&SslRef> =
        X509StoreContext::ssl_idx().ok().and_then(|index| chain.ex_data(index));
    let Some(connection) = ssl.and_then(Connection::of) else { return true };
    let depth = chain.error_depth();
    let certificate = chain.current_cert();
    if !good {
        let mut error = locked(&connection.error);
        if error.as_ref().is_none_or(|known| depth < known.depth) {
            let certificate = certificate.map(ToOwned::to_owned);
            *error = Some(VerifyError { depth, code: chain.error(), certificate });
        }
    }
    if connection.log.has(LogMask::VERBOSE) {
        let namaddr = &connection.namaddr;
        if certificate.is_none() && ffi::is_raw_key(chain) {
            info!("{}: verify={} raw public key", namaddr, u8::from(good));
            return true;
        }
        let subject =
            certificate.map_or(b"<unknown>".to_vec(), |it| ffi::one_line(it.subject_name()));
        info!("{}: depth={} verify={} subject={}", namaddr, depth, u8::from(good), subject);
    }
    true
}

/// Errors of verification that have words of their own (x509_vfy.h).
mod code {
    pub(super) const CERT_NOT_YET_VALID: i32 = 9;
    pub(super) const CERT_HAS_EXPIRED: i32 = 10;
    pub(super) const ERROR_IN_CERT_NOT_BEFORE_FIELD: i32 = 13;
    pub(super) const ERROR_IN_CERT_NOT_AFTER_FIELD: i32 = 14;
    pub(super) const DEPTH_ZERO_SELF_SIGNED_CERT: i32 = 18;
    pub(super) const SELF_SIGNED_CERT_IN_CHAIN: i32 = 19;
    pub(super) const UNABLE_TO_GET_ISSUER_CERT_LOCALLY: i32 = 20;
    pub(super) const CERT_CHAIN_TOO_LONG: i32 = 22;
    pub(super) const INVALID_PURPOSE: i32 = 26;
    pub(super) const CERT_UNTRUSTED: i32 = 27;
}

impl VerifyError {
    /// Says why the certificate of `namaddr` is not trusted.
    pub(super) fn log(&self, namaddr: &[u8]) {
        let purpose = if self.depth > 0 { "CA" } else { "client" };
        let failed = "certificate verification failed for";
        match self.code.as_raw() {
            code::CERT_UNTRUSTED => {
                info!("{} {}: not trusted by local or TLSA policy", failed, namaddr);
            }
            code::DEPTH_ZERO_SELF_SIGNED_CERT => {
                info!("{} {}: self-signed certificate", failed, namaddr);
            }
            code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY | code::SELF_SIGNED_CERT_IN_CHAIN => {
                info!("{} {}: untrusted issuer {}", failed, namaddr, self.issuer());
            }
            code::CERT_NOT_YET_VALID | code::ERROR_IN_CERT_NOT_BEFORE_FIELD => {
                info!("{} {} {}: certificate not yet valid", purpose, failed, namaddr);
            }
            code::CERT_HAS_EXPIRED | code::ERROR_IN_CERT_NOT_AFTER_FIELD => {
                info!("{} {} {}: certificate has expired", purpose, failed, namaddr);
            }
            code::INVALID_PURPOSE => {
                let what = "not designated for use as a";
                info!("{} {}: {} {} certificate", failed, namaddr, what, purpose);
            }
            code::CERT_CHAIN_TOO_LONG => {
                let limit = i64::from(self.depth) - 1;
                let what = "certificate chain longer than limit";
                info!("{} {}: {}({})", failed, namaddr, what, limit);
            }
            other => {
                let text = self.code.error_string();
                info!("{} {} {}: num={}:{}", purpose, failed, namaddr, other, text);
            }
        }
    }

    fn issuer(&self) -> Vec<u8> {
        let certificate = self.certificate.as_ref();
        certificate.map_or(b"<unknown>".to_vec(), |it| ffi::one_line(it.issuer_name()))
    }
}

/// The common name of a certificate's subject, or nothing.
pub(super) fn subject(certificate: &X509Ref, namaddr: &[u8]) -> Vec<u8> {
    let name = certificate.subject_name();
    text_name(name, Nid::COMMONNAME, "subject CN", namaddr).unwrap_or_default()
}

/// The common name of a certificate's issuer, else its organization, or nothing.
pub(super) fn issuer(certificate: &X509Ref, namaddr: &[u8]) -> Vec<u8> {
    let name = certificate.issuer_name();
    text_name(name, Nid::COMMONNAME, "issuer CN", namaddr)
        .or_else(|| text_name(name, Nid::ORGANIZATIONNAME, "issuer Organization", namaddr))
        .unwrap_or_default()
}

/// Names of this length, and longer ones, are not believed.
const NAME_LIMIT: usize = 256;

/// The first entry of a kind. What could fool a reader (NULs, control characters: CVE-2009-4565
/// and others) gets a warning instead of being taken.
fn text_name(name: &X509NameRef, nid: Nid, label: &str, namaddr: &[u8]) -> Option<Vec<u8>> {
    let warn = |what: &[u8]| warning!("tls_text_name: {}: {}", namaddr, what);
    let entry = name.entries_by_nid(nid).next()?;
    let mut text = match ffi::utf8(entry.data()) {
        Ok(text) => text,
        Err(kind) => {
            warn(&fill!("error decoding peer {} of ASN.1 type={}", label, kind));
            crate::stream::log_library_errors(&openssl::error::ErrorStack::get());
            return None;
        }
    };
    while text.last() == Some(&0) {
        text.pop();
    }
    if text.len() >= NAME_LIMIT {
        warn(&fill!("peer {} too long: {}", label, text.len()));
        None
    } else if text.contains(&0) {
        warn(&fill!("NULL character in peer {}", label));
        None
    } else if text.iter().any(u8::is_ascii_control) {
        warn(&fill!("non-printable content in peer {}", label));
        None
    } else {
        Some(text)
    }
}

/// The fingerprint of a certificate.
pub(super) fn certificate_fingerprint(
    certificate: &X509Ref,
    digest: MessageDigest,
) -> Option<Vec<u8>> {
    let digest = certificate.digest(digest).ok()?;
    Some(Fingerprint::of_digest(&digest).text())
}

/// The fingerprint of a key that came without a certificate.
pub(super) fn raw_key_fingerprint(key: &PKeyRef<Public>, digest: MessageDigest) -> Option<Vec<u8>> {
    let digest = openssl::hash::hash(digest, &key.public_key_to_der().ok()?).ok()?;
    Some(Fingerprint::of_digest(&digest).text())
}

/// The fingerprint of a certificate's public key; `legacy` (tls_legacy_public_key_fingerprints) is
/// that of its bits alone.
pub(super) fn key_fingerprint(
    certificate: &X509Ref,
    digest: MessageDigest,
    legacy: bool,
) -> Option<Vec<u8>> {
    let digest = if legacy {
        openssl::hash::hash(digest, ffi::public_key_bits(certificate))
    } else {
        openssl::hash::hash(digest, &ffi::public_key_der(certificate))
    };
    Some(Fingerprint::of_digest(&digest.ok()?).text())
}
