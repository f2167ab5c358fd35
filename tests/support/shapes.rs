//! Client certificates of odd shapes: names that could fool a reader, and chains without end.

use std::fs;
use std::path::Path;

use openssl::asn1::{Asn1Object, Asn1OctetString};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage};
use openssl::x509::{X509, X509Builder, X509Extension, X509Name};

use super::{Words, begin, ec_key, words_of};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// ASN.1: texts of several kinds.
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const T61: u8 = 0x14;
const IA5: u8 = 0x16;
const UNIVERSAL: u8 = 0x1c;
const BMP: u8 = 0x1e;

/// What makes one shape different from another.
struct Shape {
    name: &'static str,
    /// Common names: kind, text, how many times the text.
    cns: &'static [(u8, &'static [u8], usize)],
    /// Certificates between it and the CA.
    issuers: usize,
    /// The CA signs; else the key signs for itself.
    signed: bool,
    /// Alternative names: so many host names.
    sans: usize,
    /// And these: kind, text, how many times the text.
    names: &'static [(u8, &'static [u8], usize)],
    usage: Usage,
    days: (i32, i32),
}

/// ASN.1: kinds of alternative names.
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;

enum Usage {
    Any,
    Client,
    ClientAndServer,
    Mail,
    Strange,
    Authority,
}

const USUAL: Shape = Shape {
    name: "",
    cns: &[(UTF8, b"x", 1)],
    issuers: 0,
    signed: true,
    sans: 0,
    names: &[],
    usage: Usage::Any,
    days: (-1, 30),
};

/// `NAME.pem` and `NAME.key` are made of each.
const SHAPES: &[Shape] = &[
    Shape { name: "cn-nul", cns: &[(UTF8, b"listed.test\0.evil.test", 1)], ..USUAL },
    Shape { name: "cn-nuls-behind", cns: &[(UTF8, b"listed.test\0\0", 1)], ..USUAL },
    Shape { name: "cn-lines", cns: &[(UTF8, b"a\r\nb: forged", 1)], ..USUAL },
    Shape { name: "cn-escape", cns: &[(UTF8, b"\x1b[31mred", 1)], ..USUAL },
    Shape { name: "cn-delete", cns: &[(IA5, b"a\x7fb", 1)], ..USUAL },
    Shape { name: "cn-latin1", cns: &[(T61, b"caf\xe9", 1)], ..USUAL },
    Shape { name: "cn-turned", cns: &[(UTF8, b"a\xe2\x80\xaetset", 1)], ..USUAL },
    Shape { name: "cn-bmp", cns: &[(BMP, b"\0m\0x\x20\xac", 1)], ..USUAL },
    Shape { name: "cn-bmp-nul", cns: &[(BMP, b"\0m\0\0\0x", 1)], ..USUAL },
    Shape { name: "cn-universal", cns: &[(UNIVERSAL, b"\0\0\0m\0\x01\xf4\x00", 1)], ..USUAL },
    Shape { name: "cn-empty", cns: &[(UTF8, b"", 1)], ..USUAL },
    Shape { name: "cn-255", cns: &[(PRINTABLE, b"y", 255)], ..USUAL },
    Shape { name: "cn-256", cns: &[(PRINTABLE, b"y", 256)], ..USUAL },
    Shape { name: "cn-64k", cns: &[(UTF8, b"y", 65_536)], ..USUAL },
    Shape { name: "cn-two", cns: &[(UTF8, b"first", 1), (UTF8, b"second", 1)], ..USUAL },
    Shape { name: "cn-wildcard", cns: &[(UTF8, b"*.example.test", 1)], ..USUAL },
    Shape { name: "cn-format", cns: &[(UTF8, b"%s%n%x {} $x \"q\" )", 1)], ..USUAL },
    Shape { name: "cn-slashes", cns: &[(UTF8, b"a/CN=listed/O=x", 1)], ..USUAL },
    Shape { name: "no-subject", cns: &[], ..USUAL },
    Shape { name: "self-nul", cns: &[(UTF8, b"a\0b", 1)], signed: false, ..USUAL },
    Shape { name: "self-no-subject", cns: &[], signed: false, ..USUAL },
    Shape { name: "depth-9", issuers: 8, ..USUAL },
    Shape { name: "depth-12", issuers: 11, ..USUAL },
    Shape { name: "chain-300", issuers: 300, ..USUAL },
    Shape { name: "sans-1000", sans: 1_000, ..USUAL },
    Shape { name: "sans-60000", sans: 60_000, ..USUAL },
    Shape { name: "san-nul", names: &[(EMAIL, b"alice@example.test\0.evil.test", 1)], ..USUAL },
    Shape { name: "san-nul-behind", names: &[(DNS, b"laptop.example.test\0", 1)], ..USUAL },
    Shape { name: "san-lines", names: &[(DNS, b"laptop.example.test\r\nb: forged", 1)], ..USUAL },
    Shape { name: "san-blank", names: &[(EMAIL, b"alice@example.test evil.test", 1)], ..USUAL },
    Shape { name: "san-utf8", names: &[(EMAIL, b"alic\xd0\xb5@example.test", 1)], ..USUAL },
    Shape { name: "san-no-utf8", names: &[(URI, b"urn:example:\xff1", 1)], ..USUAL },
    Shape { name: "san-64k", names: &[(EMAIL, b"alice@example.test", 3_641)], ..USUAL },
    Shape { name: "usage-client", usage: Usage::Client, ..USUAL },
    Shape { name: "usage-both", usage: Usage::ClientAndServer, ..USUAL },
    Shape { name: "usage-mail", usage: Usage::Mail, ..USUAL },
    Shape { name: "strange", usage: Usage::Strange, ..USUAL },
    Shape { name: "authority", usage: Usage::Authority, ..USUAL },
    Shape { name: "plain-name", names: &[(EMAIL, b"bob@example.test", 1)], ..USUAL },
    Shape { name: "mark-device", names: &[(EMAIL, b"alice,device=x@example.test", 1)], ..USUAL },
    Shape {
        name: "mark-until",
        names: &[(EMAIL, b"alice,until=2099-01-01@example.test", 1)],
        ..USUAL
    },
    Shape { name: "mark-quotes", names: &[(EMAIL, b"al\"\"ice@example.test", 1)], ..USUAL },
    Shape { name: "mark-quoted", names: &[(EMAIL, b"\"alice\"@example.test", 1)], ..USUAL },
    Shape { name: "mark-user", names: &[(EMAIL, b"user=alice@word.test", 1)], ..USUAL },
    Shape { name: "mark-uri", names: &[(URI, b"urn:u:alice,device=x", 1)], ..USUAL },
    Shape { name: "mark-uri-user", names: &[(URI, b"urn:w:user=alice", 1)], ..USUAL },
    Shape { name: "mark-cn", cns: &[(UTF8, b"user=alice", 1)], ..USUAL },
    Shape { name: "host-at", names: &[(DNS, b"alice@example.test", 1)], ..USUAL },
    Shape { name: "uri-print", names: &[(URI, b"AB:CD:EF", 1)], ..USUAL },
    Shape { name: "cn-long-s", cns: &[(UTF8, "\u{17f}ales".as_bytes(), 1)], ..USUAL },
    Shape { name: "cn-kelvin", cns: &[(UTF8, "\u{212a}ate".as_bytes(), 1)], ..USUAL },
    Shape { name: "cn-sharp-s", cns: &[(UTF8, "gro\u{df}".as_bytes(), 1)], ..USUAL },
    Shape { name: "cn-plain", cns: &[(UTF8, b"Sales", 1)], ..USUAL },
    Shape { name: "self-expired", signed: false, days: (-9, -2), ..USUAL },
];

/// Makes all of them in `directory`, signed by `ca`.
pub(crate) fn make(
    directory: &Path,
    ca: (&X509, &PKey<Private>),
    words: &mut Words,
) -> Outcome<()> {
    let longest = SHAPES.iter().map(|shape| shape.issuers).max().unwrap_or(0);
    let key = ec_key()?;
    let mut chain: Vec<X509> = Vec::new();
    for at in 0..longest {
        let issuer = chain.last().map_or((ca.0, ca.1), |last| (last, &key));
        chain.push(authority(&key, at, issuer)?);
    }
    for (shape, serial) in SHAPES.iter().zip(1000..) {
        let issuers = &chain[..shape.issuers];
        let issuer = issuers.last().map_or((ca.0, ca.1), |last| (last, &key));
        let (certificate, key) = shape.certificate(issuer, serial)?;
        let mut pem = certificate.to_pem()?;
        for issuer in issuers.iter().rev() {
            pem.extend(issuer.to_pem()?);
        }
        fs::write(directory.join(format!("{}.pem", shape.name)), pem)?;
        let key_file = directory.join(format!("{}.key", shape.name));
        fs::write(key_file, key.private_key_to_pem_pkcs8()?)?;
        words.extend(words_of(shape.name, &certificate, &key)?);
    }
    Ok(())
}

/// An issuer of issuers.
fn authority(key: &PKey<Private>, at: usize, issuer: (&X509, &PKey<Private>)) -> Outcome<X509> {
    let subject = X509Name::from_der(&name(&[(UTF8, format!("CA {at}").as_bytes(), 1)]))?;
    let mut builder = begin(&subject, key, (-1, 60), u32::try_from(at)? + 100)?;
    builder.set_issuer_name(issuer.0.subject_name())?;
    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    builder.sign(issuer.1, MessageDigest::sha256())?;
    Ok(builder.build())
}

impl Shape {
    fn certificate(
        &self,
        issuer: (&X509, &PKey<Private>),
        serial: u32,
    ) -> Outcome<(X509, PKey<Private>)> {
        let key = ec_key()?;
        let subject = X509Name::from_der(&name(self.cns))?;
        let mut builder = begin(&subject, &key, self.days, serial)?;
        self.usage.add(&mut builder)?;
        if self.sans > 0 || !self.names.is_empty() {
            let hosts =
                (0..self.sans).flat_map(|i| element(DNS, format!("h{i}.x.test").as_bytes()));
            let names = self.names.iter();
            let names = names.flat_map(|(kind, text, times)| element(*kind, &text.repeat(*times)));
            let list = element(0x30, &hosts.chain(names).collect::<Vec<u8>>());
            builder.append_extension(extension("2.5.29.17", false, &list)?)?;
        }
        let (issuer, signer) =
            if self.signed { (issuer.0.subject_name(), issuer.1) } else { (&*subject, &key) };
        builder.set_issuer_name(issuer)?;
        builder.sign(signer, MessageDigest::sha256())?;
        Ok((builder.build(), key))
    }
}

impl Usage {
    fn add(&self, builder: &mut X509Builder) -> Outcome<()> {
        let mut usage = ExtendedKeyUsage::new();
        let extension = match self {
            Self::Any => return Ok(()),
            Self::Client => usage.client_auth().build()?,
            Self::ClientAndServer => usage.client_auth().server_auth().build()?,
            Self::Mail => usage.email_protection().build()?,
            Self::Strange => extension("1.2.3.4.5", true, b"\x05\0")?,
            Self::Authority => BasicConstraints::new().critical().ca().build()?,
        };
        builder.append_extension(extension)?;
        Ok(())
    }
}

fn extension(id: &str, critical: bool, value: &[u8]) -> Outcome<X509Extension> {
    let value = Asn1OctetString::new_from_bytes(value)?;
    Ok(X509Extension::new_from_der(&*Asn1Object::from_str(id)?, critical, &value)?)
}

/// The DER of a name with these common names.
fn name(cns: &[(u8, &[u8], usize)]) -> Vec<u8> {
    let entry = |(kind, text, times): &(u8, &[u8], usize)| {
        let value = [b"\x06\x03\x55\x04\x03".to_vec(), element(*kind, &text.repeat(*times))];
        element(0x31, &element(0x30, &value.concat()))
    };
    element(0x30, &cns.iter().flat_map(entry).collect::<Vec<u8>>())
}

/// An element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let bytes = len.to_be_bytes();
    let digits = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    if len < 0x80 {
        out.push(len as u8);
    } else {
        out.push(0x80 | digits.len() as u8);
        out.extend_from_slice(digits);
    }
    out.extend_from_slice(content);
    out
}
