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

/// What is found out while a chain is verified.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The error that counts.
    pub(super) error: Option<VerifyError>,
    /// The list that was found for the client's own certificate is not that of its authority.
    doubtful: bool,
    /// Such a list has the client's own certificate.
    revoked: bool,
}

/// Called by OpenSSL for each certificate of a chain, and for each error. Never refuses: whether an
/// untrusted client is served is for others to say.
pub(super) fn verified(good: bool, chain: &mut X509StoreContextRef) -> bool {
    if let Some(result) = look_at(good, chain) {
        chain.set_error(result);
    }
    true
}

/// Notes what OpenSSL found, and logs it; gives what the result shall be now, where that differs.
fn look_at(good: bool, chain: &X509StoreContextRef) -> Option<X509VerifyResult> {
    let ssl: Option<&SslRef> =
        X509StoreContext::ssl_idx().ok().and_then(|index| chain.ex_data(index));
    let connection = ssl.and_then(Connection::of)?;
    let depth = chain.error_depth();
    let mut findings = locked(&connection.findings);
    if !good && depth > 0 && code::NO_LIST.contains(&chain.error().as_raw()) {
        // Only who issued the client's own certificate must have a list.
        return Some(findings.result());
    }
    let result = if good { findings.lasting() } else { findings.note(chain) };
    drop(findings);
    log_step(good, chain, connection);
    result
}

fn log_step(good: bool, chain: &X509StoreContextRef, connection: &Connection) {
    let certificate = chain.current_cert();
    if connection.log.has(LogMask::VERBOSE) {
        let namaddr = &connection.namaddr;
        if certificate.is_none() && ffi::is_raw_key(chain) {
            info!("{}: verify={} raw public key", namaddr, u8::from(good));
            return;
        }
        let subject =
            certificate.map_or(b"<unknown>".to_vec(), |it| ffi::one_line(it.subject_name()));
        let depth = chain.error_depth();
        info!("{}: depth={} verify={} subject={}", namaddr, depth, u8::from(good), subject);
    }
}

impl Findings {
    fn note(&mut self, chain: &X509StoreContextRef) -> Option<X509VerifyResult> {
        let (depth, result) = (chain.error_depth(), chain.error());
        let revoked = result.as_raw() == code::CERT_REVOKED;
        if depth == 0 {
            self.doubtful |= code::DOUBTFUL_LIST.contains(&result.as_raw());
            self.revoked |= revoked && !self.doubtful;
        }
        let said = self.error.as_ref().is_some_and(|known| known.depth <= depth);
        if !said || (revoked && depth == 0 && self.revoked) {
            let certificate = chain.current_cert().map(ToOwned::to_owned);
            self.error = Some(VerifyError { depth, code: result, certificate });
        }
        // Sessions that go on have nothing but this result: it says "revoked" of the client's own
        // certificate only.
        let otherwise = || revoked.then(|| result_of(code::CERT_UNTRUSTED));
        self.lasting().or_else(otherwise)
    }

    /// The result that no later one may hide.
    fn lasting(&self) -> Option<X509VerifyResult> {
        self.revoked.then(|| result_of(code::CERT_REVOKED))
    }

    /// The result so far.
    fn result(&self) -> X509VerifyResult {
        let error = || self.error.as_ref().map_or(X509VerifyResult::OK, |error| error.code);
        self.lasting().unwrap_or_else(error)
    }
}

fn result_of(code: i32) -> X509VerifyResult {
    ffi::verify_result(code)
}

/// Whether the session's certificate is one that its authority has revoked.
pub(super) fn is_revoked(ssl: &SslRef) -> bool {
    ssl.verify_result().as_raw() == code::CERT_REVOKED
}

/// Errors of verification that have words of their own (x509_vfy.h).
mod code {
    pub(super) const UNABLE_TO_GET_CRL: i32 = 3;
    pub(super) const CRL_SIGNATURE_FAILURE: i32 = 8;
    pub(super) const CERT_NOT_YET_VALID: i32 = 9;
    pub(super) const CERT_HAS_EXPIRED: i32 = 10;
    pub(super) const CRL_NOT_YET_VALID: i32 = 11;
    pub(super) const CRL_HAS_EXPIRED: i32 = 12;
    pub(super) const ERROR_IN_CERT_NOT_BEFORE_FIELD: i32 = 13;
    pub(super) const ERROR_IN_CERT_NOT_AFTER_FIELD: i32 = 14;
    pub(super) const DEPTH_ZERO_SELF_SIGNED_CERT: i32 = 18;
    pub(super) const SELF_SIGNED_CERT_IN_CHAIN: i32 = 19;
    pub(super) const UNABLE_TO_GET_ISSUER_CERT_LOCALLY: i32 = 20;
    pub(super) const CERT_CHAIN_TOO_LONG: i32 = 22;
    pub(super) const CERT_REVOKED: i32 = 23;
    pub(super) const INVALID_PURPOSE: i32 = 26;
    pub(super) const CERT_UNTRUSTED: i32 = 27;
    pub(super) const DIFFERENT_CRL_SCOPE: i32 = 44;

    /// A list that is not the authority's own, or that is not understood: what it says of a
    /// certificate does not count. (Signature twice, dates unreadable, issuer, key usage, critical
    /// extension, scope, path.)
    pub(super) const DOUBTFUL_LIST: &[i32] =
        &[4, CRL_SIGNATURE_FAILURE, 15, 16, 33, 35, 36, DIFFERENT_CRL_SCOPE, 54];
    /// There is no list, or none that is about this certificate.
    pub(super) const NO_LIST: &[i32] = &[UNABLE_TO_GET_CRL, DIFFERENT_CRL_SCOPE];
    /// What is wrong with lists, or by them.
    pub(super) const OF_LISTS: &[i32] =
        &[UNABLE_TO_GET_CRL, CRL_NOT_YET_VALID, CRL_HAS_EXPIRED, CERT_REVOKED];
    /// What is told of a certificate without its chain.
    pub(super) const OF_ITSELF: &[i32] = &[
        CERT_NOT_YET_VALID,
        CERT_HAS_EXPIRED,
        ERROR_IN_CERT_NOT_BEFORE_FIELD,
        ERROR_IN_CERT_NOT_AFTER_FIELD,
        CERT_REVOKED,
        INVALID_PURPOSE,
    ];
}

impl VerifyError {
    /// Where a session goes on, the session's result is all that is left.
    pub(super) fn remembered(ssl: &SslRef) -> Self {
        Self { depth: 0, code: ssl.verify_result(), certificate: ssl.peer_certificate() }
    }

    /// An authority has revoked the client's own certificate.
    pub(super) fn revoked(certificate: &X509Ref) -> Self {
        Self::of_certificate(certificate, code::CERT_REVOKED)
    }

    /// The client's own certificate has ended.
    pub(super) fn expired(certificate: &X509Ref) -> Self {
        Self::of_certificate(certificate, code::CERT_HAS_EXPIRED)
    }

    fn of_certificate(certificate: &X509Ref, code: i32) -> Self {
        Self { depth: 0, code: result_of(code), certificate: Some(certificate.to_owned()) }
    }

    /// Whether revocation lists have to do with it.
    pub(super) fn is_of_lists(&self) -> bool {
        let code = self.code.as_raw();
        code::OF_LISTS.contains(&code) || code::DOUBTFUL_LIST.contains(&code)
    }

    /// Whether the client's own certificate was revoked.
    pub(super) fn is_revocation(&self) -> bool {
        self.depth == 0 && self.code.as_raw() == code::CERT_REVOKED
    }

    /// Whether it is about the client's own certificate, and can be told from that alone.
    pub(super) fn is_of_itself(&self) -> bool {
        self.depth == 0 && code::OF_ITSELF.contains(&self.code.as_raw())
    }

    /// Says why the certificate of `namaddr` is not trusted.
    pub(super) fn log(&self, namaddr: &[u8]) {
        let failed = "certificate verification failed for";
        let (names_purpose, words) = self.words();
        if names_purpose {
            info!("{} {} {}: {}", self.purpose(), failed, namaddr, words);
        } else {
            info!("{} {}: {}", failed, namaddr, words);
        }
    }

    fn purpose(&self) -> &'static str {
        if self.depth > 0 { "CA" } else { "client" }
    }

    /// What is wrong; and whether the log says of whose certificate.
    pub(super) fn words(&self) -> (bool, Vec<u8>) {
        match self.code.as_raw() {
            code::CERT_UNTRUSTED => (false, b"not trusted by local or TLSA policy".to_vec()),
            code::DEPTH_ZERO_SELF_SIGNED_CERT => (false, b"self-signed certificate".to_vec()),
            code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY | code::SELF_SIGNED_CERT_IN_CHAIN => {
                (false, fill!("untrusted issuer {}", self.issuer()))
            }
            code::CERT_NOT_YET_VALID | code::ERROR_IN_CERT_NOT_BEFORE_FIELD => {
                (true, b"certificate not yet valid".to_vec())
            }
            code::CERT_HAS_EXPIRED | code::ERROR_IN_CERT_NOT_AFTER_FIELD => {
                (true, b"certificate has expired".to_vec())
            }
            code::INVALID_PURPOSE => {
                (false, fill!("not designated for use as a {} certificate", self.purpose()))
            }
            code::CERT_CHAIN_TOO_LONG => {
                let limit = i64::from(self.depth) - 1;
                (false, fill!("certificate chain longer than limit({})", limit))
            }
            code::CERT_REVOKED => (false, fill!("revoked by {}", self.issuer())),
            code::UNABLE_TO_GET_CRL => (false, fill!("no CRL of {}", self.issuer())),
            code::CRL_HAS_EXPIRED => (false, fill!("CRL of {} has expired", self.issuer())),
            code::CRL_NOT_YET_VALID => (false, fill!("CRL of {} is not yet valid", self.issuer())),
            code::CRL_SIGNATURE_FAILURE => {
                (false, fill!("CRL of {} has a wrong signature", self.issuer()))
            }
            other => (true, fill!("num={}:{}", other, self.code.error_string())),
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
