//! Restrictions by client certificate: a listed fingerprint, or any verified chain.
//!
//! A fingerprint is that of the certificate or of its public key. It needs no trusted chain: who
//! listed it knows the key.

use super::client::{Clients, permit_if};
use super::compile::{Argument, SearchKey};
use super::eval::{At, Eval, Outcome, Verdict};
use super::lookup::{self, Found, Keys};
use super::{Class, Facts};
use crate::config::dialect::Change;
use crate::table::TableError;
use crate::tls::TlsFacts;

/// Whose certificates permit_tls_clientcerts and permit_tls_all_clientcerts take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificates {
    /// Those in relay_clientcerts.
    Listed,
    /// Those, and all with a verified chain.
    Verified,
}

impl Clients {
    /// Whether the client showed such a certificate.
    pub(crate) fn has_certificate(
        &self,
        facts: &Facts<'_>,
        which: Certificates,
    ) -> Result<bool, TableError> {
        let Some(tls) = facts.tls else { return Ok(false) };
        if tls.trusted && which == Certificates::Verified {
            return Ok(true);
        }
        if tls.has_credential() {
            // Who revoked it knows more than who listed it.
            return if tls.revoked { Ok(false) } else { self.is_listed(tls) };
        }
        if !self.config.smtpd_tls_ask_ccert {
            warning!(
                "{} is requested, but \"smtpd_tls_ask_ccert = no\"",
                match which {
                    Certificates::Listed => "permit_tls_clientcerts",
                    Certificates::Verified => "permit_tls_all_clientcerts",
                }
            );
        }
        Ok(false)
    }

    fn is_listed(&self, tls: &TlsFacts) -> Result<bool, TableError> {
        self.note_old_digest();
        let certificate = tls.certificate_fingerprint.as_deref().unwrap_or_default();
        let key = tls.key_fingerprint.as_deref().unwrap_or_default();
        let mut order = [certificate, key];
        if self.config.does(Change::PublicKeyFirst) {
            order.reverse();
        }
        for fingerprint in order {
            if fingerprint.is_empty() {
                continue;
            }
            match self.relay_certificates.find(fingerprint) {
                Ok(None) => {}
                Ok(Some(_)) => return Ok(true),
                Err(error) => {
                    warning!(
                        "relay_clientcerts: lookup error for fingerprint '{}', pkey fingerprint \
                         {}",
                        certificate,
                        key
                    );
                    return Err(error);
                }
            }
        }
        Ok(false)
    }

    /// Says that fingerprints are MD5, if only compatibility_level makes them so.
    fn note_old_digest(&self) {
        if self.has_old_digest {
            info!(
                "using backwards-compatible default setting smtpd_tls_fingerprint_digest=md5 to \
                 compute certificate fingerprints"
            );
        }
    }
}

/// Permits clients whose certificate or public key is in relay_clientcerts.
pub(crate) fn permit_tls_clientcerts(e: &mut Eval<'_>) -> Outcome {
    Ok(permit_if(e.policy.clients.has_certificate(&e.facts, Certificates::Listed)?))
}

/// Permits those, and all clients whose certificate chain was verified.
pub(crate) fn permit_tls_all_clientcerts(e: &mut Eval<'_>) -> Outcome {
    Ok(permit_if(e.policy.clients.has_certificate(&e.facts, Certificates::Verified)?))
}

/// What is looked up where search_order doesn't say.
const DEFAULT_ORDER: &[SearchKey] = &[SearchKey::CertificateFingerprint, SearchKey::KeyFingerprint];

/// Looks up fingerprints of the client's certificate, or its names (search_order).
pub(crate) fn check_ccert_access(e: &mut Eval<'_>, at: &At<'_>, argument: &Argument) -> Outcome {
    let Some(search) = &argument.search else {
        warning!("See earlier parsing error messages for '{}", argument.text);
        return Err(e.server_error());
    };
    let Some(tls) = e.facts.tls.filter(|tls| tls.has_credential()) else {
        if !e.policy.config.smtpd_tls_ask_ccert {
            warning!("check_ccert_access is requested, but \"smtpd_tls_ask_ccert = no\"");
        }
        return Ok(Verdict::Dunno);
    };
    let table = Argument { text: search.name.clone(), table: None, search: None };
    let at = at.about(Class::Certificate, &tls.subject);
    for key in search.order.as_deref().unwrap_or(DEFAULT_ORDER) {
        let Some(values) = values(*key, tls) else {
            let (name, text) = (key.name(), &argument.text);
            warning!("check_ccert_access: unexpected action '{}' in '{}'", name, text);
            return Err(e.server_error());
        };
        if matches!(key, SearchKey::CertificateFingerprint | SearchKey::KeyFingerprint) {
            e.policy.clients.note_old_digest();
        }
        for value in values {
            let found = lookup::check(e, &table, Some(&search.table), Keys::Whole(value), &at)?;
            if found == Found::Entry(Verdict::Permit) {
                // A revoked one can be refused here, not let in.
                return Ok(if tls.revoked { Verdict::Dunno } else { Verdict::Permit });
            }
        }
    }
    Ok(Verdict::Dunno)
}

/// What of a certificate is looked up for `key`; `None`: that has no meaning. Names that nobody
/// vouches for are left out.
fn values(key: SearchKey, tls: &TlsFacts) -> Option<Vec<&[u8]>> {
    let names = &tls.names;
    Some(match key {
        SearchKey::CertificateFingerprint => {
            tls.certificate_fingerprint.as_deref().into_iter().collect()
        }
        SearchKey::KeyFingerprint => tls.key_fingerprint.as_deref().into_iter().collect(),
        SearchKey::IssuerName | SearchKey::SubjectName => return None,
        _ if !tls.trusted => Vec::new(),
        SearchKey::Subject => names.subject.as_deref().into_iter().collect(),
        SearchKey::Issuer => names.issuer.as_deref().into_iter().collect(),
        SearchKey::Email => names.emails.iter().map(Vec::as_slice).collect(),
        SearchKey::Dns => names.dns.iter().map(Vec::as_slice).collect(),
        SearchKey::Uri => names.uris.iter().map(Vec::as_slice).collect(),
    })
}
