//! The names in a client certificate, for tables that list people by name and not by key.
//!
//! A name is worth only what its issuer is worth: whoever asks for names must first know that the
//! chain was verified. What could be read in two ways (NULs, control characters, blanks, bytes
//! beyond ASCII in a subjectAltName: CVE-2009-4565 and others) is no name, and neither is what is not
//! of its kind: a host name with an @, an address with the marks of a table's values, a URI that
//! looks like a fingerprint.

use openssl::x509::{GeneralNameRef, X509NameRef, X509Ref};

use super::ffi;
use crate::text::fold::folds_to_ascii;
use crate::text::printable::is_deceptive;

/// More names of one kind than any client needs: the others are left out.
const MOST: usize = 32;
/// A longer name is none.
const LONGEST: usize = 255;

/// The names that a certificate proves, if its chain does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// The subject as a distinguished name (RFC 4514), the most special part first, with `%20` for a
    /// blank, `%2C` for a comma in a value and so on ([`Encoder`]): `CN=alice,O=Example%20Inc`.
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
        let all = |pick: fn(&GeneralNameRef) -> Option<&str>, is_one: fn(&str) -> bool| {
            let names = alternatives.iter().flatten().filter_map(pick);
            let names = names.filter(|name| is_plain(name) && is_one(name));
            names.take(MOST).map(|name| name.into()).collect()
        };
        Self {
            subject: distinguished(certificate.subject_name()),
            issuer: distinguished(certificate.issuer_name()),
            emails: all(GeneralNameRef::email, is_email),
            dns: all(GeneralNameRef::dnsname, is_host),
            uris: all(GeneralNameRef::uri, is_uri),
        }
    }
}

/// Whether a name of a subjectAltName can be read in one way only.
fn is_plain(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `local@domain` without quotes and comments (RFC 5322, dot-atom). An equals sign would make it look
/// like a distinguished name, or a condition of an entry.
fn is_email(name: &str) -> bool {
    let in_local =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-./?^_`{|}~".contains(&byte);
    name.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && local.bytes().all(in_local) && is_domain(domain)
    })
}

/// A host name, or one with a wildcard.
fn is_host(name: &str) -> bool {
    is_domain(name.strip_prefix("*.").unwrap_or(name))
}

fn is_domain(name: &str) -> bool {
    let in_domain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !name.is_empty() && name.bytes().all(in_domain)
}

/// `scheme:…` (RFC 3986) without commas, which tables' values have a use for, and no fingerprint.
fn is_uri(name: &str) -> bool {
    let Some((scheme, rest)) = name.split_once(':') else { return false };
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(in_scheme)
        && !rest.is_empty()
        && !rest.contains([',', '"', '\\'])
        && !name.split(':').all(is_pair)
}

/// A distinguished name as text; `None`: empty, too long, or not to be trusted.
fn distinguished(name: &X509NameRef) -> Option<Vec<u8>> {
    let text = ffi::distinguished_name(name, LONGEST)?;
    // OpenSSL writes control characters as `\00`; a name with such a byte is no name.
    let escaped = text.windows(2).any(|pair| pair[0] == b'\\' && pair[1].is_ascii_hexdigit());
    let text = std::str::from_utf8(&text).ok()?;
    let clean = !text.is_empty() && !text.chars().any(|c| c.is_control() || is_deceptive(c));
    (clean && !escaped).then(|| Encoder::default().encode(text))
}

/// Writes a distinguished name as the key of a table: `%XX` stands for what has a meaning there.
///
/// Keys end at a blank. The values of tables know commas, quotes and equals signs, and a table of
/// patterns may put a part of a name into its value: none may come from within an attribute.
/// Characters that are small letters of ASCII without case (`ſ`, the sign for Kelvin, `ß`) would
/// make the name that of somebody else.
#[derive(Default)]
struct Encoder {
    out: Vec<u8>,
    /// Behind the equals sign of an attribute.
    in_value: bool,
}

impl Encoder {
    fn encode(mut self, text: &str) -> Vec<u8> {
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => self.add_escaped(characters.next().unwrap_or('\\')),
                '=' if !self.in_value => self.begin_value(true, character),
                ',' | '+' => self.begin_value(false, character),
                other => self.add(other),
            }
        }
        self.out
    }

    fn begin_value(&mut self, in_value: bool, mark: char) {
        self.in_value = in_value;
        self.add_plain(mark);
    }

    /// What stood behind a backslash.
    fn add_escaped(&mut self, character: char) {
        if !matches!(character, ',' | '"' | '\\' | '=') {
            self.out.push(b'\\');
        }
        self.add(character);
    }

    fn add(&mut self, character: char) {
        if !matches!(character, ' ' | '%' | ',' | '"' | '\\' | '=') && !folds_to_ascii(character) {
            return self.add_plain(character);
        }
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            self.out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }

    fn add_plain(&mut self, character: char) {
        self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
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
        assert_eq!(names.subject.as_deref(), Some("CN=Älice,O=Example%2C%20Inc.".as_bytes()));
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

    /// The names of a certificate with these addresses.
    fn named(pick: fn(&mut SubjectAlternativeName, &str), names: &[&str]) -> Names {
        let mut alternatives = SubjectAlternativeName::new();
        for name in names {
            pick(&mut alternatives, name);
        }
        Names::of(&certificate(&[("CN", "x")], &alternatives))
    }

    #[test]
    fn an_address_has_nothing_that_means_something_in_a_table() {
        for wrong in [
            "alice,device=x@example.test",
            "al\"\"ice@example.test",
            "\"alice\"@example.test",
            "al\\ice@example.test",
            "user=alice@example.test",
            "CN=alice@example.test",
            "alice@example.test@evil.test",
            "alice@[192.0.2.1]",
            "alice(x)@example.test",
            "alice",
            "@example.test",
            "alice@",
        ] {
            assert!(!is_email(wrong), "{wrong}");
        }
        for right in ["alice@example.test", "o'hara+x@a-b.example", "a_b.c@localhost"] {
            assert!(is_email(right), "{right}");
        }
        let pick = |names: &mut SubjectAlternativeName, name: &str| {
            names.email(name);
        };
        let names = named(pick, &["a=b@x.test", "two@@x.test", "carol@x.test"]);
        assert_eq!(texts(&names.emails), ["carol@x.test"]);
    }

    #[test]
    fn a_host_is_a_host() {
        let pick = |names: &mut SubjectAlternativeName, name: &str| {
            names.dns(name);
        };
        let right = ["*.example.test", "a_b.example"];
        let names = named(pick, &["alice@example.test", "AB:CD", "a.*.test", right[0], right[1]]);
        assert_eq!(texts(&names.dns), right);
    }

    #[test]
    fn a_uri_has_a_scheme_and_is_no_fingerprint() {
        for wrong in
            ["AB:CD:EF", "ab:cd", "urn:u:alice,device=x", "urn:\"x", "urn:\\x", "urn:", "x", "1a:x"]
        {
            assert!(!is_uri(wrong), "{wrong}");
        }
        for right in ["urn:example:1", "https://x.test/?a=b", "ab:cd:xy", "spiffe://x/y"] {
            assert!(is_uri(right), "{right}");
        }
        let pick = |names: &mut SubjectAlternativeName, name: &str| {
            names.uri(name);
        };
        let names = named(pick, &["AB:CD:EF", "alice@example.test", "urn:example:1"]);
        assert_eq!(texts(&names.uris), ["urn:example:1"]);
    }

    fn subject(common_name: &str) -> Option<String> {
        let certificate =
            certificate(&[("O", "x"), ("CN", common_name)], SubjectAlternativeName::new().dns("x"));
        Names::of(&certificate).subject.map(|name| String::from_utf8(name).unwrap())
    }

    #[test]
    fn a_value_in_a_subject_has_no_marks_of_its_own() {
        for (value, key) in [
            ("alice,device=x", "alice%2Cdevice%3Dx"),
            ("al\"\"ice", "al%22%22ice"),
            ("back\\slash", "back%5Cslash"),
            ("user=alice", "user%3Dalice"),
            ("100% x", "100%25%20x"),
            ("a+b;c", "a\\+b\\;c"),
            (" a", "\\%20a"),
        ] {
            assert_eq!(subject(value), Some(format!("CN={key},O=x")), "{value}");
        }
    }

    #[test]
    fn a_letter_that_is_one_of_ascii_without_case_stays_another() {
        for (value, key) in [
            ("ſales", "%C5%BFales"),
            ("\u{212a}ate", "%E2%84%AAate"),
            ("groß", "gro%C3%9F"),
            ("ﬀ", "%EF%AC%80"),
            ("Älice, Οδός", "Älice%2C%20Οδός"),
        ] {
            assert_eq!(subject(value), Some(format!("CN={key},O=x")), "{value}");
        }
    }

    #[test]
    fn a_subject_that_turns_or_ends_lines_is_no_name() {
        for value in ["a\u{202e}b", "a\u{2028}b", "a\u{2029}b", "a\u{85}b", "a\u{2066}b"] {
            assert_eq!(subject(value), None, "{value:?}");
        }
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
