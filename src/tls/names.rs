//! The names in a client certificate, for tables that list people by name and not by key.
//!
//! A name is worth only what its issuer is worth: whoever asks for names must first know that the
//! chain was verified. What could be read in two ways (NULs, control characters, blanks, bytes
//! beyond ASCII in a subjectAltName: CVE-2009-4565 and others) is no name.

use openssl::x509::{GeneralNameRef, X509NameRef, X509Ref};

use super::ffi;

/// More names of one kind than any client needs: the others are left out.
const MOST: usize = 32;
/// A longer name is none.
const LONGEST: usize = 255;

/// The names that a certificate proves, if its chain does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// The subject as a distinguished name (RFC 4514), with `%20` for a blank and `%25` for a
    /// percent sign, since keys of tables end at a blank: `CN=alice,O=Example%20Inc`.
    pub subject: Option<Vec<u8>>,
    /// The issuer, likewise.
    pub issuer: Option<Vec<u8>>,
    /// rfc822Name of the subjectAltName.
    pub emails: Vec<Vec<u8>>,
    /// dNSName of the subjectAltName.
    pub dns: Vec<Vec<u8>>,
    /// uniformResourceIdentifier of the subjectAltName.
    pub uris: Vec<Vec<u8>>,
}

impl Names {
    /// Those of a certificate whose chain was verified.
    pub(super) fn of(certificate: &X509Ref) -> Self {
        let alternatives = certificate.subject_alt_names();
        let all = |pick: fn(&GeneralNameRef) -> Option<&str>| {
            let names = alternatives.iter().flatten().filter_map(pick);
            names.filter(|name| is_plain(name)).take(MOST).map(|name| name.into()).collect()
        };
        Self {
            subject: distinguished(certificate.subject_name()),
            issuer: distinguished(certificate.issuer_name()),
            emails: all(GeneralNameRef::email),
            dns: all(GeneralNameRef::dnsname),
            uris: all(GeneralNameRef::uri),
        }
    }
}

/// Whether a name of a subjectAltName can be read in one way only.
fn is_plain(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A distinguished name as text; `None`: empty, too long, or not to be trusted.
fn distinguished(name: &X509NameRef) -> Option<Vec<u8>> {
    let text = ffi::distinguished_name(name, LONGEST)?;
    let clean = !text.is_empty() && !text.iter().any(u8::is_ascii_control);
    // OpenSSL writes control characters as `\00`; a name with such a byte is no name.
    let escaped = text.windows(2).any(|pair| pair[0] == b'\\' && pair[1].is_ascii_hexdigit());
    (clean && !escaped && std::str::from_utf8(&text).is_ok()).then(|| without_blanks(&text))
}

fn without_blanks(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' => out.extend_from_slice(b"%20"),
            b'%' => out.extend_from_slice(b"%25"),
            _ => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::x509::extension::SubjectAlternativeName;
    use openssl::x509::{X509, X509Builder, X509NameBuilder};

    use super::*;

    fn certificate(entries: &[(&str, &str)], names: &SubjectAlternativeName) -> X509 {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        for (field, value) in entries {
            name.append_entry_by_text(field, value).unwrap();
        }
        let name = name.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        let extension = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(extension).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    fn texts(names: &[Vec<u8>]) -> Vec<&str> {
        names.iter().map(|name| std::str::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn names_are_read_by_their_kind() {
        let mut alternatives = SubjectAlternativeName::new();
        alternatives.email("alice@example.org").dns("laptop.example.org").uri("urn:x:1");
        alternatives.email("a@example.net").ip("192.0.2.1");
        let names =
            Names::of(&certificate(&[("O", "Example, Inc."), ("CN", "Älice")], &alternatives));
        assert_eq!(texts(&names.emails), ["alice@example.org", "a@example.net"]);
        assert_eq!(texts(&names.dns), ["laptop.example.org"]);
        assert_eq!(texts(&names.uris), ["urn:x:1"]);
        assert_eq!(names.subject.as_deref(), Some("CN=Älice,O=Example\\,%20Inc.".as_bytes()));
        assert_eq!(names.issuer, names.subject);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_no_name() {
        for wrong in ["alice@example.org evil.example", "a\u{1}@x", "", "ä@example.org"] {
            assert!(!is_plain(wrong), "{wrong:?}");
        }
        assert!(!is_plain(&"x".repeat(256)) && is_plain(&"x".repeat(255)));
        let mut none = SubjectAlternativeName::new();
        none.dns("x");
        for subject in ["evil\u{1}", "two\nlines", "bell\u{7f}"] {
            assert_eq!(Names::of(&certificate(&[("CN", subject)], &none)).subject, None);
        }
        let long = "x".repeat(64);
        let entries: Vec<_> = (0..5).map(|_| ("OU", long.as_str())).collect();
        assert_eq!(Names::of(&certificate(&entries, &none)).subject, None);
    }

    #[test]
    fn there_is_a_limit_to_names() {
        let mut alternatives = SubjectAlternativeName::new();
        for number in 0..100 {
            alternatives.dns(&format!("host{number}.example"));
        }
        assert_eq!(Names::of(&certificate(&[("CN", "x")], &alternatives)).dns.len(), MOST);
    }
}
