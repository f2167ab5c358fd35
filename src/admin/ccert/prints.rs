//! Fingerprints in all the forms in which people meet them.

use std::fmt::Write as _;

use data_encoding::{BASE64, BASE64_NOPAD, HEXUPPER_PERMISSIVE};
use openssl::hash::MessageDigest;
use openssl::x509::X509Ref;
use serde_json::{Value, json};

use super::super::Trouble;
use crate::mail::fingerprint::Fingerprint;

/// Digests that are shown.
const DIGESTS: &[&str] = &["sha256", "sha1", "md5"];

/// The digest of that name (smtpd_tls_fingerprint_digest).
pub(super) fn digest(name: &str) -> Result<MessageDigest, Trouble> {
    let unknown = || Trouble::Failed(format!("OpenSSL has no digest \"{name}\""));
    MessageDigest::from_name(name).ok_or_else(unknown)
}

/// Fingerprint of the public key, as tables have it.
pub(super) fn of_key(certificate: &X509Ref, digest: MessageDigest) -> Result<String, Trouble> {
    let key = certificate.public_key().and_then(|key| key.public_key_to_der());
    let key = key.map_err(|error| Trouble::Failed(error.to_string()))?;
    text(openssl::hash::hash(digest, &key))
}

/// Fingerprint of the certificate, as tables have it.
pub(super) fn of_certificate(
    certificate: &X509Ref,
    digest: MessageDigest,
) -> Result<String, Trouble> {
    text(certificate.digest(digest))
}

fn text(
    digest: Result<openssl::hash::DigestBytes, openssl::error::ErrorStack>,
) -> Result<String, Trouble> {
    let digest = digest.map_err(|error| Trouble::Failed(error.to_string()))?;
    Ok(Fingerprint::of_digest(&digest).to_string())
}

/// One digest of one thing, in each form.
pub(super) struct Print {
    pub(super) digest: &'static str,
    /// `public key` or `certificate`
    pub(super) of: &'static str,
    bytes: Vec<u8>,
}

impl Print {
    /// As in relay_clientcerts: upper case hex with colons.
    pub(super) fn colons(&self) -> String {
        Fingerprint::of_digest(&self.bytes).to_string()
    }

    fn plain(&self) -> String {
        self.colons().replace(':', "").to_lowercase()
    }

    fn base64(&self) -> String {
        let name = self.digest.to_uppercase();
        format!("{name}:{}", BASE64_NOPAD.encode(&self.bytes))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "digest": self.digest,
            "of": self.of,
            "colons": self.colons(),
            "hex": self.plain(),
            "base64": self.base64(),
        })
    }
}

/// All fingerprints of a certificate.
pub(super) fn all(certificate: &X509Ref) -> Result<Vec<Print>, Trouble> {
    let failed = |error: openssl::error::ErrorStack| Trouble::Failed(error.to_string());
    let key = certificate.public_key().and_then(|key| key.public_key_to_der()).map_err(failed)?;
    let mut prints = Vec::new();
    for name in DIGESTS {
        // A system in FIPS mode may lack md5.
        let Some(digest) = MessageDigest::from_name(name) else { continue };
        let Ok(of_key) = openssl::hash::hash(digest, &key) else { continue };
        let of_certificate = certificate.digest(digest).map_err(failed)?;
        prints.push(Print { digest: name, of: "public key", bytes: of_key.to_vec() });
        prints.push(Print { digest: name, of: "certificate", bytes: of_certificate.to_vec() });
    }
    Ok(prints)
}

/// The fingerprints, for people.
pub(super) fn table(prints: &[Print]) -> String {
    let mut out = String::new();
    for print in prints {
        let _ = writeln!(out, "{:<6} of the {}", print.digest, print.of);
        let _ = writeln!(out, "       {}", print.colons());
        let _ = writeln!(out, "       {}", print.plain());
        let _ = writeln!(out, "       {}", print.base64());
    }
    out
}

/// A fingerprint in any form, as tables have it: `A1:B2`, `a1b2`, `a1 b2`, `SHA256:oYs…`,
/// `sha256//oYs…=`, base64 alone, and openssl(1)'s `sha256 Fingerprint=A1:B2` and
/// `SHA2-256(stdin)= a1b2`. `None`: it is none.
pub(super) fn normal(text: &str, digest: MessageDigest) -> Option<String> {
    let bytes = bytes(text.trim())?;
    (bytes.len() == digest.size()).then(|| Fingerprint::of_digest(&bytes).to_string())
}

/// Which digests have fingerprints of that length: what is said where [`normal`] says no.
pub(super) fn kind(text: &str) -> Option<&'static str> {
    match bytes(text.trim())?.len() {
        16 => Some("md5"),
        20 => Some("sha1"),
        32 => Some("sha256"),
        64 => Some("sha512"),
        _ => None,
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    // `sha256:…` may be hex or base64: the length tells.
    let any = |text: &str| hex(text).or_else(|| base64(text));
    let name = text.split([':', '/', ' ', '(']).next().unwrap_or_default();
    if MessageDigest::from_name(name).is_some() {
        let rest = &text[name.len()..];
        return match rest.split_once('=') {
            Some((words, value)) if rest.starts_with([' ', '(']) && !words.contains(':') => {
                any(value.trim())
            }
            _ => any(rest.trim_start_matches([':', '/'])),
        };
    }
    let of_sha256 = |text: &str| matches!(text.len(), 43 | 44).then(|| base64(text)).flatten();
    hex(text).or_else(|| of_sha256(text))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
    if digits.len() < 32 {
        return None;
    }
    HEXUPPER_PERMISSIVE.decode(digits.as_bytes()).ok()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    BASE64.decode(bytes).or_else(|_| BASE64_NOPAD.decode(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_known_in_each_form() {
        let digest = digest("sha256").unwrap();
        let bytes: Vec<u8> = (0..32).collect();
        let wanted = Fingerprint::of_digest(&bytes).to_string();
        let plain = wanted.replace(':', "");
        for form in [
            wanted.clone(),
            wanted.to_lowercase(),
            plain.clone(),
            plain.to_lowercase(),
            format!("SHA256:{}", BASE64_NOPAD.encode(&bytes)),
            format!("sha256//{}", BASE64.encode(&bytes)),
            format!("sha256:{wanted}"),
            format!(" {} ", wanted.replace(':', " ")),
            BASE64.encode(&bytes),
            BASE64_NOPAD.encode(&bytes),
            format!("sha256 Fingerprint={wanted}"),
            format!("SHA256 Fingerprint={wanted}\n"),
            format!("SHA256(stdin)= {}", plain.to_lowercase()),
            format!("SHA2-256(key.der)= {}", plain.to_lowercase()),
        ] {
            assert_eq!(normal(&form, digest).as_deref(), Some(wanted.as_str()), "{form}");
        }
    }

    #[test]
    fn what_is_no_fingerprint_of_that_digest_is_told_apart() {
        let digest = digest("sha256").unwrap();
        let sha1 = "00:".repeat(19) + "00";
        assert_eq!(normal(&sha1, digest), None);
        assert_eq!(kind(&sha1), Some("sha1"));
        for wrong in ["", "alice", "SHA256:x", "zz:yy", "cert.pem", "00", "sha256 x=", "sha256 é="]
        {
            assert_eq!(normal(wrong, digest), None, "{wrong}");
            assert_eq!(kind(wrong), None, "{wrong}");
        }
    }
}
