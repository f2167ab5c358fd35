//! Keys and certificates of the private world: a CA, the server, and clients of all kinds.

#[path = "lists.rs"]
mod lists;
#[path = "shapes.rs"]
mod shapes;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};

use self::lists::{ENDED, FAR, list, response};

/// What makes one leaf certificate different from another.
struct Leaf {
    name: &'static str,
    common_name: Option<&'static str>,
    rsa: bool,
    signed: bool,
    days: (i32, i32),
    server_only: bool,
    /// Has names in its subjectAltName.
    named: bool,
}

const USUAL: Leaf = Leaf {
    name: "",
    common_name: None,
    rsa: false,
    signed: true,
    days: (-1, 30),
    server_only: false,
    named: false,
};

/// `NAME.pem` and `NAME.key` are made of each.
const LEAVES: &[Leaf] = &[
    Leaf { name: "server", common_name: Some("mx.example.test"), rsa: true, ..USUAL },
    Leaf { name: "server-ec", common_name: Some("mx.example.test"), ..USUAL },
    Leaf { name: "listed", common_name: Some("roaming user"), ..USUAL },
    Leaf { name: "listed-rsa", common_name: Some("roaming rsa"), rsa: true, ..USUAL },
    Leaf { name: "unlisted", common_name: Some("stranger.test"), ..USUAL },
    Leaf { name: "self", common_name: Some("self signed"), signed: false, ..USUAL },
    Leaf { name: "expired", common_name: Some("late user"), days: (-9, -2), ..USUAL },
    Leaf { name: "future", common_name: Some("early user"), days: (5, 30), ..USUAL },
    Leaf { name: "serveronly", common_name: Some("no client"), server_only: true, ..USUAL },
    Leaf { name: "odd", common_name: Some("odd (x) é\\y)"), ..USUAL },
    Leaf { name: "nocn", common_name: None, ..USUAL },
    Leaf { name: "named", common_name: Some("named user"), named: true, ..USUAL },
    Leaf {
        name: "named-self",
        common_name: Some("named user"),
        named: true,
        signed: false,
        ..USUAL
    },
    Leaf { name: "revoked", common_name: Some("lost phone"), ..USUAL },
];

/// Those whose fingerprints stand in the file `relay_clientcerts`.
const LISTED: &[&str] = &["listed", "listed-rsa", "self", "expired", "serveronly", "revoked"];

/// Words of transcripts, and what they stand for.
pub(crate) type Words = Vec<(String, String)>;

/// Makes all of them in `directory`; gives the words that transcripts may use:
/// `@fingerprint.NAME@` and `@pubkey.NAME@` (SHA-256), `@fingerprint-sha1.NAME@` and
/// `@pubkey-sha1.NAME@`.
pub(crate) fn make(directory: &Path) -> Result<Words, Box<dyn std::error::Error>> {
    fs::create_dir(directory)?;
    let ca_key = ec_key()?;
    let ca_name = name(Some("Test CA"))?;
    let mut builder = begin(&ca_name, &ca_key, (-1, 60), 1)?;
    builder.set_issuer_name(&ca_name)?;
    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    builder.sign(&ca_key, MessageDigest::sha256())?;
    let ca = builder.build();
    fs::write(directory.join("ca.pem"), ca.to_pem()?)?;
    // As OpenSSL looks for it in a directory (openssl-rehash(1)).
    fs::create_dir(directory.join("authorities"))?;
    let hashed = format!("authorities/{:08x}.0", ca.subject_name_hash());
    fs::write(directory.join(hashed), ca.to_pem()?)?;

    let mut certificates = HashMap::new();
    let mut words = Vec::new();
    let mut listed = String::new();
    for (leaf, serial) in LEAVES.iter().zip(2..) {
        let key = if leaf.rsa { PKey::from_rsa(Rsa::generate(2048)?)? } else { ec_key()? };
        let subject = name(leaf.common_name)?;
        let mut builder = begin(&subject, &key, leaf.days, serial)?;
        if leaf.server_only {
            builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
        }
        if leaf.named {
            let mut names = SubjectAlternativeName::new();
            names.email("Alice@example.test").dns("laptop.example.test").uri("urn:example:1");
            let extension = names.build(&builder.x509v3_context(None, None))?;
            builder.append_extension(extension)?;
        }
        let (issuer, signer) = if leaf.signed { (&ca_name, &ca_key) } else { (&subject, &key) };
        builder.set_issuer_name(issuer)?;
        builder.sign(signer, MessageDigest::sha256())?;
        let certificate = builder.build();
        let pem = certificate.to_pem()?;
        let key_pem = key.private_key_to_pem_pkcs8()?;
        fs::write(directory.join(format!("{}.pem", leaf.name)), &pem)?;
        fs::write(directory.join(format!("{}.key", leaf.name)), &key_pem)?;
        fs::write(directory.join(format!("{}.chain", leaf.name)), [key_pem, pem].concat())?;
        let of_leaf = words_of(leaf.name, &certificate, &key)?;
        if LISTED.contains(&leaf.name) {
            writeln!(listed, "{} {}", of_leaf[0].1, leaf.name)?;
        }
        words.extend(of_leaf);
        certificates.insert(leaf.name, certificate);
    }
    words.extend(make_foreign(directory)?);
    make_lists(directory, (&ca, &ca_key), &certificates)?;
    shapes::make(directory, (&ca, &ca_key), &mut words)?;
    fs::write(directory.join("relay_clientcerts"), listed)?;
    fs::write(directory.join("garbage.pem"), "not a certificate\n")?;
    Ok(words)
}

/// `foreign`: as public authorities make them for servers, which show them to other servers; and
/// `crl-foreign.pem`, by which that authority has revoked it.
fn make_foreign(directory: &Path) -> Result<Words, Box<dyn std::error::Error>> {
    let (authority_key, key) = (ec_key()?, ec_key()?);
    let (issuer, subject) = (name(Some("Public CA"))?, name(Some("mail.far.test"))?);
    let mut builder = begin(&subject, &key, (-1, 30), 77)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    builder.set_issuer_name(&issuer)?;
    builder.sign(&authority_key, MessageDigest::sha256())?;
    let certificate = builder.build();
    let mut builder = begin(&issuer, &authority_key, (-1, 30), 1)?;
    builder.set_issuer_name(&issuer)?;
    builder.sign(&authority_key, MessageDigest::sha256())?;
    let list = list(&builder.build(), &authority_key, FAR, &[&certificate])?;
    fs::write(directory.join("crl-foreign.pem"), list)?;
    fs::write(directory.join("foreign.pem"), certificate.to_pem()?)?;
    fs::write(directory.join("foreign.key"), key.private_key_to_pem_pkcs8()?)?;
    words_of("foreign", &certificate, &key)
}

/// `crl.pem`, by which `revoked` is revoked; `crl-ended.pem`; `crl-forged.pem`, which nobody signed;
/// `ocsp.der`, the response about `server`.
fn make_lists(
    directory: &Path,
    (ca, key): (&X509, &PKey<Private>),
    certificates: &HashMap<&str, X509>,
) -> Result<(), Box<dyn std::error::Error>> {
    let named = |name: &str| certificates.get(name).ok_or("no such certificate");
    let revoked = &**named("revoked")?;
    for (file, key, ends, revoked) in [
        ("crl.pem", key, FAR, &[revoked][..]),
        ("crl-ended.pem", key, ENDED, &[]),
        ("crl-forged.pem", &ec_key()?, FAR, &[named("listed")?]),
    ] {
        fs::write(directory.join(file), list(ca, key, ends, revoked)?)?;
    }
    fs::write(directory.join("ocsp.der"), response(ca, key, named("server")?, FAR)?)?;
    Ok(())
}

/// The words about a certificate; its own fingerprint comes first.
pub(crate) fn words_of(
    name: &str,
    certificate: &X509,
    key: &PKey<Private>,
) -> Result<Words, Box<dyn std::error::Error>> {
    let (fingerprint, pubkey) = fingerprints(certificate, key, MessageDigest::sha256())?;
    let (old, old_pubkey) = fingerprints(certificate, key, MessageDigest::sha1())?;
    Ok(vec![
        (format!("@fingerprint.{name}@"), fingerprint),
        (format!("@pubkey.{name}@"), pubkey),
        (format!("@fingerprint-sha1.{name}@"), old),
        (format!("@pubkey-sha1.{name}@"), old_pubkey),
    ])
}

pub(crate) fn begin(
    subject: &X509Name,
    key: &PKey<Private>,
    days: (i32, i32),
    serial: u32,
) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*BigNum::from_u32(serial)?.to_asn1_integer()?)?;
    builder.set_subject_name(subject)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*day(days.0)?)?;
    builder.set_not_after(&*day(days.1)?)?;
    Ok(builder)
}

/// This time of day, so many days from now.
fn day(days: i32) -> Result<Asn1Time, ErrorStack> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64);
    Asn1Time::from_unix(now + i64::from(days) * 86_400)
}

fn name(common_name: Option<&str>) -> Result<X509Name, ErrorStack> {
    let mut builder = X509Name::builder()?;
    if let Some(text) = common_name {
        builder.append_entry_by_nid(Nid::COMMONNAME, text)?;
    }
    builder.append_entry_by_nid(Nid::ORGANIZATIONNAME, "Test")?;
    Ok(builder.build())
}

pub(crate) fn ec_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

/// Digests of the certificate and of its public key, as Postfix writes them.
fn fingerprints(
    certificate: &X509,
    key: &PKey<Private>,
    digest: MessageDigest,
) -> Result<(String, String), Box<dyn std::error::Error>> {
    let of_certificate = certificate.digest(digest)?;
    let of_key = openssl::hash::hash(digest, &key.public_key_to_der()?)?;
    Ok((with_colons(&of_certificate), with_colons(&of_key)))
}

fn with_colons(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}
