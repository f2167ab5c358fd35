//! Keys and certificates for clients: signed by themselves, or by a small CA of the site.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, PKeyRef, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{
    X509, X509Builder, X509Extension, X509Name, X509NameRef, X509Ref, X509v3Context,
};

use super::super::Trouble;
use super::extension::{Extension, subject_alt_name};
use super::made::Made;
use super::options::usage;

/// Days that a CA made here lasts.
const CA_DAYS: u32 = 3650;

/// Which key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyType {
    /// Elliptic curve P-256: what every client can use.
    P256,
    Ed25519,
}

impl KeyType {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "p256" => Some(Self::P256),
            "ed25519" => Some(Self::Ed25519),
            _ => None,
        }
    }

    pub(super) fn make(self) -> Result<PKey<Private>, ErrorStack> {
        match self {
            Self::P256 => {
                let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
                PKey::from_ec_key(EcKey::generate(&group)?)
            }
            Self::Ed25519 => PKey::generate_ed25519(),
        }
    }
}

/// Who signs.
pub(super) struct Authority {
    pub(super) certificate: X509,
    key: PKey<Private>,
    /// The directory of one that is new.
    unwritten: Option<PathBuf>,
}

impl Authority {
    /// The CA in `directory` (`ca.pem`, `ca.key`), or a new one that is yet to be written there.
    pub(super) fn open(directory: &Path) -> Result<Self, Trouble> {
        if directory.join("ca.pem").exists() || directory.join("ca.key").exists() {
            return Self::existing(directory);
        }
        let made = Self::make().map_err(|error| Trouble::Failed(error.to_string()))?;
        Ok(Self { unwritten: Some(directory.to_owned()), ..made })
    }

    /// The CA in `directory`.
    pub(super) fn existing(directory: &Path) -> Result<Self, Trouble> {
        let (pem, key) = (directory.join("ca.pem"), directory.join("ca.key"));
        let (certificate, private) = (read_certificate(&pem)?, read_key(&key)?);
        let refused = |why: &str| Err(Trouble::Failed(format!("{} {why}", pem.display())));
        if !same_key(&certificate, &private) {
            return refused(&format!("is not of the key in {}", key.display()));
        }
        if !is_authority(&certificate) {
            return refused("is no CA's certificate");
        }
        Ok(Self { certificate, key: private, unwritten: None })
    }

    /// Writes a new one.
    pub(super) fn write(&self, made: &mut Made) -> Result<(), Trouble> {
        let Some(directory) = &self.unwritten else { return Ok(()) };
        made.directory(directory)?;
        made.write(&directory.join("ca.key"), &pem_of_key(&self.key)?, 0o600)?;
        made.write(&directory.join("ca.pem"), &pem_of(&self.certificate)?, 0o644)
    }

    fn make() -> Result<Self, ErrorStack> {
        let key = KeyType::P256.make()?;
        let mut name = X509Name::builder()?;
        name.append_entry_by_nid(Nid::COMMONNAME, "Mail clients CA")?;
        let name = name.build();
        let mut builder = begin(&name, &key, CA_DAYS)?;
        builder.set_issuer_name(&name)?;
        builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
        let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build()?;
        builder.append_extension(usage)?;
        let context = builder.x509v3_context(None, None);
        let identifier = SubjectKeyIdentifier::new().build(&context)?;
        builder.append_extension(identifier)?;
        sign(&mut builder, &key)?;
        Ok(Self { certificate: builder.build(), key, unwritten: None })
    }
}

/// A certificate for `user`, with his mail address if the name is one.
pub(super) fn certificate(
    user: &str,
    device: Option<&str>,
    key: &PKey<Private>,
    days: u32,
    authority: Option<&Authority>,
) -> Result<X509, Trouble> {
    let subject = subject(user, device)?;
    build(&subject, Names::Email(user), key, days, authority)
        .map_err(|error| Trouble::Failed(error.to_string()))
}

/// A new certificate for the key and all names of an old one.
pub(super) fn renewed(
    old: &X509Ref,
    key: &PKey<Private>,
    days: u32,
    authority: Option<&Authority>,
) -> Result<X509, Trouble> {
    let names = subject_alt_name(old);
    build(old.subject_name(), Names::Old(names), key, days, authority)
        .map_err(|error| Trouble::Failed(error.to_string()))
}

/// Whether it is signed by its own key.
pub(super) fn is_its_own(certificate: &X509Ref) -> bool {
    certificate.public_key().is_ok_and(|key| certificate.verify(&key).unwrap_or(false))
}

/// Names besides the subject.
enum Names<'a> {
    Email(&'a str),
    Old(Option<Extension>),
}

impl Names<'_> {
    fn extension(&self, context: &X509v3Context<'_>) -> Result<Option<X509Extension>, ErrorStack> {
        match self {
            Self::Email(email) if email.is_ascii() && email.contains('@') => {
                SubjectAlternativeName::new().email(email).build(context).map(Some)
            }
            Self::Email(_) | Self::Old(None) => Ok(None),
            Self::Old(Some((critical, value))) => {
                let object = Asn1Object::from_str("2.5.29.17")?;
                let value = Asn1OctetString::new_from_bytes(value)?;
                X509Extension::new_from_der(&object, *critical, &value).map(Some)
            }
        }
    }
}

fn subject(user: &str, device: Option<&str>) -> Result<X509Name, Trouble> {
    let built = || {
        let mut name = X509Name::builder()?;
        name.append_entry_by_nid(Nid::COMMONNAME, user)?;
        if let Some(device) = device {
            name.append_entry_by_nid(Nid::ORGANIZATIONALUNITNAME, device)?;
        }
        Ok(name.build())
    };
    // OpenSSL knows how long a name may be: 64 characters.
    let failed = |_: ErrorStack| {
        usage("user and device can have 64 characters each in a certificate".to_owned())
    };
    built().map_err(failed)
}

fn build(
    subject: &X509NameRef,
    names: Names<'_>,
    key: &PKey<Private>,
    days: u32,
    authority: Option<&Authority>,
) -> Result<X509, ErrorStack> {
    let mut builder = begin(subject, key, days)?;
    let issuer = authority.map_or(subject, |ca| ca.certificate.subject_name());
    builder.set_issuer_name(issuer)?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().client_auth().build()?)?;
    let issuer = authority.map(|ca| ca.certificate.as_ref());
    let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(issuer, None))?;
    builder.append_extension(identifier)?;
    if authority.is_some() {
        let context = builder.x509v3_context(issuer, None);
        let identifier = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
        builder.append_extension(identifier)?;
    }
    if let Some(names) = names.extension(&builder.x509v3_context(issuer, None))? {
        builder.append_extension(names)?;
    }
    sign(&mut builder, authority.map_or(key, |ca| &ca.key))?;
    Ok(builder.build())
}

fn begin(subject: &X509NameRef, key: &PKey<Private>, days: u32) -> Result<X509Builder, ErrorStack> {
    let mut serial = BigNum::new()?;
    serial.rand(120, MsbOption::ONE, false)?;
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(subject)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(days)?)?;
    Ok(builder)
}

fn sign(builder: &mut X509Builder, key: &PKeyRef<Private>) -> Result<(), ErrorStack> {
    // Ed25519 has its own digest.
    let pure = key.id() == Id::ED25519;
    builder.sign(key, if pure { MessageDigest::null() } else { MessageDigest::sha256() })
}

/// Reads a certificate (PEM or DER).
pub(super) fn read_certificate(path: &Path) -> Result<X509, Trouble> {
    let bytes = read(path)?;
    let read = X509::from_pem(&bytes).or_else(|_| X509::from_der(&bytes));
    read.map_err(|_| none("certificate", path))
}

/// Reads a private key (PEM or DER).
pub(super) fn read_key(path: &Path) -> Result<PKey<Private>, Trouble> {
    let bytes = read(path)?;
    let read = PKey::private_key_from_pem(&bytes).or_else(|_| PKey::private_key_from_der(&bytes));
    read.map_err(|_| none("private key", path))
}

fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    fs::read(path).map_err(|error| Trouble::Failed(format!("read {}: {error}", path.display())))
}

fn none(what: &str, path: &Path) -> Trouble {
    Trouble::Failed(format!("no {what} in PEM or DER in {}", path.display()))
}

/// The certificate as PEM.
pub(super) fn pem_of(certificate: &X509Ref) -> Result<Vec<u8>, Trouble> {
    certificate.to_pem().map_err(|error| Trouble::Failed(error.to_string()))
}

/// The private key as PEM.
pub(super) fn pem_of_key(key: &PKeyRef<Private>) -> Result<Vec<u8>, Trouble> {
    key.private_key_to_pem_pkcs8().map_err(|error| Trouble::Failed(error.to_string()))
}

/// Whether the certificate is of the key.
pub(super) fn same_key(certificate: &X509Ref, key: &PKeyRef<Private>) -> bool {
    certificate.public_key().is_ok_and(|public| public.public_eq(key))
}

/// Whether the certificate may sign others.
fn is_authority(certificate: &X509Ref) -> bool {
    let text = certificate.to_text().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let constraints = text.split("X509v3 Basic Constraints:").nth(1);
    constraints.and_then(|rest| rest.lines().nth(1)).is_some_and(|it| it.contains("CA:TRUE"))
}

#[cfg(test)]
mod tests {
    use openssl::x509::X509VerifyResult;

    use super::*;

    #[test]
    fn a_certificate_is_its_own_or_the_authoritys() {
        let key = KeyType::P256.make().unwrap();
        let own = certificate("alice@example.org", Some("phone"), &key, 30, None).unwrap();
        assert!(own.verify(&key).unwrap());
        let authority = Authority::make().unwrap();
        let edwards = KeyType::Ed25519.make().unwrap();
        let signed = certificate("alice", None, &edwards, 30, Some(&authority)).unwrap();
        assert_eq!(authority.certificate.issued(&signed), X509VerifyResult::OK);
        assert!(signed.verify(&authority.key).unwrap());
    }

    #[test]
    fn a_renewed_certificate_keeps_key_and_names() {
        let key = KeyType::P256.make().unwrap();
        let subject = subject("alice@example.org", Some("phone")).unwrap();
        let mut builder = begin(&subject, &key, 1).unwrap();
        builder.set_issuer_name(&subject).unwrap();
        let mut names = SubjectAlternativeName::new();
        names.critical().email("alice@example.org").email("al@example.org");
        names.dns("laptop.example.org").uri("urn:example:alice");
        let names = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
        sign(&mut builder, &key).unwrap();
        let old = builder.build();
        let new = renewed(&old, &key, 400, None).unwrap();
        assert!(new.public_key().unwrap().public_eq(&old.public_key().unwrap()));
        assert_eq!(new.subject_name().to_der().unwrap(), old.subject_name().to_der().unwrap());
        assert_eq!(new.subject_alt_names().unwrap().len(), 4);
        assert_eq!(subject_alt_name(&new), subject_alt_name(&old));
        assert!(subject_alt_name(&new).is_some_and(|(critical, _)| critical));
        assert!(is_its_own(&new));
        assert!(new.not_after() > old.not_after());
    }

    #[test]
    fn a_name_that_no_certificate_can_have_is_refused() {
        let key = KeyType::P256.make().unwrap();
        let error = certificate(&"x".repeat(65), None, &key, 1, None).unwrap_err();
        assert!(error.to_string().contains("64 characters"));
    }
}
