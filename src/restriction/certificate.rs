//! Restrictions by client certificate: a listed fingerprint, or any verified chain.
//!
//! A fingerprint is that of the certificate or of its public key. It needs no trusted chain: who
//! listed it knows the key.

use super::client::{Clients, permit_if};
use super::compile::{Argument, Search, SearchKey};
use super::eval::{At, Eval, Outcome, Stop, Verdict};
use super::lookup::{self, Found, Keys};
use super::{Class, Facts};
use crate::config::dialect::Change;
use crate::mail::client::Client;
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
            return if tls.revoked { Ok(false) } else { self.is_listed(facts, tls) };
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

    fn is_listed(&self, facts: &Facts<'_>, tls: &TlsFacts) -> Result<bool, TableError> {
        self.note_old_digest("certificate");
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
                Ok(Some(_)) => {
                    if fingerprint == certificate && self.config.smtpd_tls_enable_rpk {
                        warn_of_certificate_alone(facts.client, certificate, key);
                    }
                    return Ok(true);
                }
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

    fn note_digest_of(&self, key: SearchKey) {
        match key {
            SearchKey::KeyFingerprint if self.config.does(Change::FingerprintKinds) => {
                self.note_old_digest("public key");
            }
            SearchKey::CertificateFingerprint | SearchKey::KeyFingerprint => {
                self.note_old_digest("certificate");
            }
            _ => {}
        }
    }

    /// Says that fingerprints are MD5, if only compatibility_level makes them so.
    fn note_old_digest(&self, of: &str) {
        if self.has_old_digest {
            info!(
                "using backwards-compatible default setting smtpd_tls_fingerprint_digest=md5 to \
                 compute {} fingerprints",
                of
            );
        }
    }
}

/// Where clients may show a key without a certificate (smtpd_tls_enable_rpk), a rule for the
/// certificate alone does not hold for the same client once it does.
fn warn_of_certificate_alone(client: &Client, certificate: &[u8], key: &[u8]) {
    warning!(
        "permit_tls_clientcerts: {}: relay_clientcerts: Fragile access policy: \
         smtpd_tls_enable_rpk=yes, but public key fingerprint \"{}\" not matched, \
         while certificate fingerprint \"{}\" matched",
        client.namaddr,
        key,
        certificate
    );
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
    let at = at.about(Class::Certificate, &tls.subject);
    let keys_alone = e.policy.config.smtpd_tls_enable_rpk;
    let mut of_certificate = None;
    for key in search.order.as_deref().unwrap_or(DEFAULT_ORDER) {
        let Some(values) = values(*key, tls) else {
            let (name, text) = (key.name(), &argument.text);
            warning!("check_ccert_access: unexpected action '{}' in '{}'", name, text);
            return Err(e.server_error());
        };
        if of_certificate.is_some() && *key != SearchKey::KeyFingerprint {
            continue;
        }
        // A key that came alone has no certificate.
        if !values.is_empty() {
            e.policy.clients.note_digest_of(*key);
        }
        let Some(outcome) = entry(e, &at, search, &values) else { continue };
        if let Some(first) = of_certificate {
            warn_where_fragile(e, search, &first, Some(&outcome));
            return first;
        }
        if !keys_alone || *key != SearchKey::CertificateFingerprint || !is_rule(&outcome) {
            return outcome;
        }
        of_certificate = Some(outcome);
    }
    let Some(first) = of_certificate else { return Ok(Verdict::Dunno) };
    warn_where_fragile(e, search, &first, None);
    first
}

/// What the first of `values` that has an entry leads to.
fn entry(e: &mut Eval<'_>, at: &At<'_>, search: &Search, values: &[&[u8]]) -> Option<Outcome> {
    let table = Argument { text: search.name.clone(), table: None, search: None };
    for value in values {
        match lookup::check(e, &table, Some(&search.table), Keys::Whole(value), at) {
            // A revoked one can be refused here, not let in.
            Ok(Found::Entry(Verdict::Permit)) if e.facts.tls.is_some_and(|tls| tls.revoked) => {
                return Some(Ok(Verdict::Dunno));
            }
            Ok(Found::Entry(Verdict::Permit)) => return Some(Ok(Verdict::Permit)),
            Ok(_) => {}
            Err(stop) => return Some(Err(stop)),
        }
    }
    None
}

/// Whether a table had something to say of a client: it was let in, or refused.
fn is_rule(outcome: &Outcome) -> bool {
    matches!(outcome, Ok(Verdict::Permit) | Err(Stop::Refused(_)))
}

/// As [`warn_of_certificate_alone`]: the rules for a certificate and for its key should agree.
fn warn_where_fragile(e: &Eval<'_>, search: &Search, one: &Outcome, other: Option<&Outcome>) {
    if other.is_some_and(|other| is_rule(other) && one.is_ok() == other.is_ok()) {
        return;
    }
    let print = |of: fn(&TlsFacts) -> &Option<Vec<u8>>| {
        e.facts.tls.and_then(|tls| of(tls).as_deref()).unwrap_or_default()
    };
    warning!(
        "check_ccert_access: {}: {}: Fragile access policy: smtpd_tls_enable_rpk=yes, \
         but the action for certificate fingerprint \"{}\" != \
         the action for public key fingerprint \"{}\"",
        e.facts.client.namaddr,
        search.name,
        print(|tls| &tls.certificate_fingerprint),
        print(|tls| &tls.key_fingerprint)
    );
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
