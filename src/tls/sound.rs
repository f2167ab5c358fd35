//! A cheap proof that key and certificate files are sound.
//!
//! OpenSSL takes some 20 million instructions to become ready and read a key and a certificate, and
//! 200 million more for a system's bundle of CAs; most processes of a busy service would spend that
//! at their start, before they know whether their clients speak TLS. So it is left to the first
//! STARTTLS, provided that nothing can go wrong then: an administrator must find what is wrong in
//! the log of the start, as with Postfix. This module looks into the files without OpenSSL. It
//! accepts the usual forms only (RSA and elliptic curves; key and certificate match; no
//! passphrase); all else is left to OpenSSL at once.

use data_encoding::BASE64;

use crate::sys::secret;

/// An object of a PEM file.
struct Block<'a> {
    label: &'a [u8],
    der: Vec<u8>,
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        secret::overwrite(&mut self.der);
    }
}

/// Longer lines of base64 are unusual (RFC 7468 has 64, RFC 2045 has 76).
const LONGEST_LINE: usize = 76;

/// The objects of a PEM file; `None` for anything unusual.
fn blocks(pem: &[u8]) -> Option<Vec<Block<'_>>> {
    let mut found = Vec::new();
    if memchr::memchr(0, pem).is_some() {
        return None;
    }
    let mut lines = pem.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    while let Some(line) = lines.next() {
        if let Some(label) = marked(line, b"-----BEGIN ") {
            found.push(Block { label, der: body(&mut lines, label)? });
        } else if memchr::memmem::find(line, b"-----").is_some() {
            return None;
        }
    }
    Some(found)
}

/// The label of a line that is a mark and nothing else.
fn marked<'a>(line: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let label = line.strip_prefix(mark)?.strip_suffix(b"-----")?;
    (!label.is_empty() && !label.contains(&b'-')).then_some(label)
}

/// What the lines up to the end of the object say.
fn body<'a>(lines: &mut impl Iterator<Item = &'a [u8]>, label: &[u8]) -> Option<Vec<u8>> {
    let mut base64 = Vec::new();
    let ended = loop {
        match lines.next() {
            Some(line) if marked(line, b"-----END ") == Some(label) => break true,
            Some(line) if !line.is_empty() && line.len() <= LONGEST_LINE => add(&mut base64, line),
            _ => break false,
        }
    };
    let der = ended.then(|| decode(&base64)).flatten();
    secret::overwrite(&mut base64);
    der
}

/// Extends a secret; where it moves, nothing stays behind.
fn add(secret: &mut Vec<u8>, more: &[u8]) {
    if secret.capacity() - secret.len() < more.len() {
        let mut moved = Vec::with_capacity((secret.capacity() + more.len()) * 2);
        moved.extend_from_slice(secret);
        secret::overwrite(secret);
        *secret = moved;
    }
    secret.extend_from_slice(more);
}

/// An object of DER in base64.
fn decode(base64: &[u8]) -> Option<Vec<u8>> {
    let mut der = vec![0; BASE64.decode_len(base64.len()).ok()?];
    let len = BASE64.decode_mut(base64, &mut der).ok();
    let is_whole = |der: &[u8]| {
        element(der).is_some_and(|(element, rest)| element.tag == SEQUENCE && rest.is_empty())
    };
    match len {
        Some(len) if is_whole(&der[..len]) => {
            der.truncate(len);
            Some(der)
        }
        _ => {
            secret::overwrite(&mut der);
            None
        }
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ELLIPTIC_CURVE: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// An element of DER.
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
}

/// The first element, and what follows.
pub(super) fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((Element { tag, content }, rest))
}

/// The content of the first element, which must have `tag`, and what follows.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(element, _)| element.tag == tag).map(|(it, rest)| (it.content, rest))
}

/// A public key; two are equal where keys match.
#[derive(PartialEq, Eq)]
enum PublicKey {
    /// Modulus and exponent.
    Rsa(Vec<u8>, Vec<u8>),
    /// Curve and point.
    Point(Vec<u8>, Vec<u8>),
}

impl PublicKey {
    /// That of a certificate (RFC 5280, section 4.1).
    fn of_certificate(der: &[u8]) -> Option<Self> {
        let (certificate, _) = take(der, SEQUENCE)?;
        let (mut fields, _) = take(certificate, SEQUENCE)?;
        if let Some((_, rest)) = take(fields, CONTEXT_0) {
            fields = rest;
        }
        // Serial number, algorithm, issuer, validity, subject.
        for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
            (_, fields) = take(fields, tag)?;
        }
        let (info, _) = take(fields, SEQUENCE)?;
        let (algorithm, rest) = take(info, SEQUENCE)?;
        let (bits, _) = take(rest, BIT_STRING)?;
        let bits = bits.strip_prefix(&[0])?;
        match take(algorithm, OBJECT_ID)? {
            (RSA, _) => {
                let (numbers, _) = take(bits, SEQUENCE)?;
                let (modulus, rest) = take(numbers, INTEGER)?;
                Some(Self::Rsa(modulus.to_vec(), take(rest, INTEGER)?.0.to_vec()))
            }
            (ELLIPTIC_CURVE, curve) => {
                Some(Self::Point(take(curve, OBJECT_ID)?.0.to_vec(), bits.to_vec()))
            }
            _ => None,
        }
    }

    /// That of a private key, where it is written in it.
    fn of_key(label: &[u8], der: &[u8]) -> Option<Self> {
        match label {
            b"RSA PRIVATE KEY" => Self::of_rsa_key(der),
            b"EC PRIVATE KEY" => Self::of_ec_key(der, None),
            b"PRIVATE KEY" => {
                let (info, _) = take(der, SEQUENCE)?;
                let (_, rest) = take(info, INTEGER)?;
                let (algorithm, rest) = take(rest, SEQUENCE)?;
                let (key, _) = take(rest, OCTET_STRING)?;
                match take(algorithm, OBJECT_ID)? {
                    (RSA, _) => Self::of_rsa_key(key),
                    (ELLIPTIC_CURVE, curve) => {
                        Self::of_ec_key(key, Some(take(curve, OBJECT_ID)?.0))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// RFC 8017, appendix A.1.2.
    fn of_rsa_key(der: &[u8]) -> Option<Self> {
        let (fields, rest) = take(der, SEQUENCE)?;
        let (_, fields) = take(fields, INTEGER)?;
        let (modulus, fields) = take(fields, INTEGER)?;
        let (exponent, _) = take(fields, INTEGER)?;
        rest.is_empty().then(|| Self::Rsa(modulus.to_vec(), exponent.to_vec()))
    }

    /// RFC 5915, section 3.
    fn of_ec_key(der: &[u8], curve: Option<&[u8]>) -> Option<Self> {
        let (fields, rest) = take(der, SEQUENCE)?;
        let (_, fields) = take(fields, INTEGER)?;
        let (_, mut fields) = take(fields, OCTET_STRING)?;
        let mut curve = curve;
        if let Some((named, rest)) = take(fields, CONTEXT_0) {
            curve = Some(take(named, OBJECT_ID)?.0);
            fields = rest;
        }
        let (bits, _) = take(take(fields, CONTEXT_1)?.0, BIT_STRING)?;
        let bits = bits.strip_prefix(&[0])?;
        rest.is_empty().then_some(Self::Point(curve?.to_vec(), bits.to_vec()))
    }

    fn same_kind(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Rsa(..), Self::Rsa(..)) | (Self::Point(..), Self::Point(..)))
    }
}

/// Chains that were proven so far: one of each kind of key.
#[derive(Default)]
pub(super) struct Chains(Vec<PublicKey>);

impl Chains {
    fn add(&mut self, key: PublicKey) -> bool {
        let new = !self.0.iter().any(|known| known.same_kind(&key));
        self.0.push(key);
        new
    }

    /// Whether chain files, one behind the other, are sound: key, certificate, issuers, and again.
    pub(super) fn prove_chain(&mut self, files: &[&[u8]]) -> bool {
        self.chain(files).unwrap_or(false)
    }

    fn chain(&mut self, files: &[&[u8]]) -> Option<bool> {
        let mut key: Option<PublicKey> = None;
        let mut complete = false;
        for file in files {
            for block in blocks(file)? {
                if block.label == b"CERTIFICATE" {
                    let public = PublicKey::of_certificate(&block.der);
                    if let Some(key) = key.take() {
                        complete = public.as_ref() == Some(&key) && self.add(key);
                    }
                    if !complete {
                        return Some(false);
                    }
                } else if key.is_none() {
                    key = Some(PublicKey::of_key(block.label, &block.der)?);
                } else {
                    return Some(false);
                }
            }
        }
        Some(complete && key.is_none())
    }

    /// Whether a mixed file is sound: one key, and the certificate first among its like.
    pub(super) fn prove_mixed(&mut self, file: &[u8]) -> bool {
        let Some(blocks) = blocks(file) else { return false };
        let (certificates, keys): (Vec<_>, Vec<_>) =
            blocks.iter().partition(|block| block.label == b"CERTIFICATE");
        match (certificates.first(), &keys[..]) {
            (Some(certificate), [key]) => self.matched(certificate, key),
            _ => false,
        }
    }

    /// Whether a certificate file and a key file are sound: certificates only, one key only.
    pub(super) fn prove_pair(&mut self, certificates: &[u8], key: &[u8]) -> bool {
        let (Some(certificates), Some(keys)) = (blocks(certificates), blocks(key)) else {
            return false;
        };
        let only_certificates = certificates.iter().all(|block| block.label == b"CERTIFICATE");
        match (&certificates[..], &keys[..]) {
            ([first, ..], [key]) => only_certificates && self.matched(first, key),
            _ => false,
        }
    }

    fn matched(&mut self, certificate: &Block<'_>, key: &Block<'_>) -> bool {
        match PublicKey::of_key(key.label, &key.der) {
            Some(public)
                if PublicKey::of_certificate(&certificate.der).as_ref() == Some(&public) =>
            {
                self.add(public)
            }
            _ => false,
        }
    }
}

/// Whether a file holds certificates only, at least one.
pub(super) fn certificates(pem: &[u8]) -> bool {
    blocks(pem).is_some_and(|blocks| {
        !blocks.is_empty() && blocks.iter().all(|block| block.label == b"CERTIFICATE")
    })
}

/// Whether a file holds Diffie-Hellman parameters only: two or three numbers.
pub(super) fn dh_parameters(pem: &[u8]) -> bool {
    let Some(blocks) = blocks(pem) else { return false };
    let [block] = &blocks[..] else { return false };
    let numbers = take(&block.der, SEQUENCE).and_then(|(numbers, _)| {
        let (_, rest) = take(numbers, INTEGER)?;
        let (_, rest) = take(rest, INTEGER)?;
        Some(rest.is_empty() || take(rest, INTEGER)?.1.is_empty())
    });
    block.label == b"DH PARAMETERS" && numbers == Some(true)
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::{PKey, Private};
    use openssl::rsa::Rsa;
    use openssl::symm::Cipher;
    use openssl::x509::{X509, X509NameBuilder};

    use super::*;

    fn certificate(key: &PKey<Private>) -> Vec<u8> {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "x").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
        builder.set_pubkey(key).unwrap();
        let digest = match key.id() {
            openssl::pkey::Id::ED25519 => MessageDigest::null(),
            _ => MessageDigest::sha256(),
        };
        builder.sign(key, digest).unwrap();
        builder.build().to_pem().unwrap()
    }

    fn ec(curve: Nid) -> EcKey<Private> {
        EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()
    }

    fn proven(key: &[u8], certificate: &[u8]) -> bool {
        let pair = Chains::default().prove_pair(certificate, key);
        let chain = Chains::default().prove_chain(&[key, certificate]);
        let mixed = Chains::default().prove_mixed(&[certificate, key].concat());
        assert!(pair == chain && chain == mixed);
        pair
    }

    #[test]
    fn each_usual_form_of_key_is_proven() {
        let rsa = Rsa::generate(2048).unwrap();
        let key = PKey::from_rsa(rsa.clone()).unwrap();
        let pem = certificate(&key);
        assert!(proven(&rsa.private_key_to_pem().unwrap(), &pem));
        assert!(proven(&key.private_key_to_pem_pkcs8().unwrap(), &pem));
        for curve in [Nid::X9_62_PRIME256V1, Nid::SECP384R1] {
            let ec = ec(curve);
            let key = PKey::from_ec_key(ec.clone()).unwrap();
            let pem = certificate(&key);
            assert!(proven(&ec.private_key_to_pem().unwrap(), &pem));
            assert!(proven(&key.private_key_to_pem_pkcs8().unwrap(), &pem));
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_openssl() {
        let ec = ec(Nid::X9_62_PRIME256V1);
        let key = PKey::from_ec_key(ec.clone()).unwrap();
        let pem = certificate(&key);
        let locked =
            key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"secret").unwrap();
        assert!(!proven(&locked, &pem));
        let locked = ec.private_key_to_pem_passphrase(Cipher::aes_128_cbc(), b"secret").unwrap();
        assert!(!proven(&locked, &pem));
        let ed25519 = PKey::generate_ed25519().unwrap();
        let ed25519_pem = certificate(&ed25519);
        assert!(!proven(&ed25519.private_key_to_pem_pkcs8().unwrap(), &ed25519_pem));
        assert!(!proven(b"", b""));
    }

    #[test]
    fn a_key_of_another_certificate_is_not_proven() {
        let keys = [0, 1].map(|_| PKey::from_ec_key(ec(Nid::X9_62_PRIME256V1)).unwrap());
        let rsa = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
        let pem = certificate(&keys[0]);
        for other in [&keys[1], &rsa] {
            assert!(!proven(&other.private_key_to_pem_pkcs8().unwrap(), &pem));
        }
    }

    #[test]
    fn a_second_chain_of_the_same_kind_is_not_proven() {
        let key = PKey::from_ec_key(ec(Nid::X9_62_PRIME256V1)).unwrap();
        let (pem, key) = (certificate(&key), key.private_key_to_pem_pkcs8().unwrap());
        assert!(Chains::default().prove_chain(&[&key, &pem, &pem]));
        assert!(!Chains::default().prove_chain(&[&key, &pem, &key, &pem]));
        assert!(!Chains::default().prove_chain(&[&key, &pem, &key]));
        assert!(!Chains::default().prove_chain(&[&pem, &key]));
        assert!(!Chains::default().prove_chain(&[&key, &key, &pem]));
    }

    #[test]
    fn no_prefix_of_a_pair_is_proven() {
        let key = PKey::from_ec_key(ec(Nid::X9_62_PRIME256V1)).unwrap();
        let pem = certificate(&key);
        let both = [key.private_key_to_pem_pkcs8().unwrap(), pem].concat();
        let whole = both.len() - 1;
        for len in 0..whole {
            assert!(!Chains::default().prove_chain(&[&both[..len]]), "{len}");
        }
        assert!(Chains::default().prove_chain(&[&both[..whole]]));
    }

    #[test]
    fn a_file_that_openssl_would_not_read_is_not_proven() {
        let key = PKey::from_ec_key(ec(Nid::X9_62_PRIME256V1)).unwrap();
        let pem = String::from_utf8(certificate(&key)).unwrap();
        assert!(certificates(pem.as_bytes()));
        assert!(certificates(format!("subject=x\n{pem}\nissuer=y\n{pem}").as_bytes()));
        assert!(certificates(pem.replace('\n', "\r\n").as_bytes()));
        let (end, begin) = ("-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----");
        for wrong in [
            format!("{begin}END CERTIFICATE-----"),
            "-----BEGIN X------END X-----".to_owned(),
            "-----BEGIN X---------END X-----\n".to_owned(),
            format!("{begin}\n{end}\n"),
            pem.trim_end().repeat(2),
            pem.replace(&format!("\n{end}"), end),
            pem.replace(end, &format!(" {end}")),
            pem.replace(end, &format!("{end} x")),
            pem.replace(&format!("{begin}\n"), begin),
            pem.replace(&format!("{begin}\n"), &format!("{begin}\n\n")),
            pem.replace(&format!("{begin}\n"), &format!("{begin}\n\x0c")),
            pem.replace(begin, &format!("x{begin}")),
            format!("\0\n{pem}"),
            format!("{pem}{end}\n"),
        ] {
            assert!(!certificates(wrong.as_bytes()), "{wrong:?}");
        }
    }

    #[test]
    fn no_length_of_an_element_reaches_behind_its_end() {
        let cases: [&[u8]; 6] =
            [b"", b"\x30", b"\x30\x05ab", b"\x30\x82\xff", b"\x30\x80", b"\x30\x84\0\0\0\0"];
        for der in cases {
            assert!(element(der).is_none(), "{der:?}");
        }
        let (first, rest) = element(b"\x02\x01a\x05\0").unwrap();
        assert_eq!((first.tag, first.content, rest), (2, &b"a"[..], &b"\x05\0"[..]));
    }

    #[test]
    fn parameters_are_numbers() {
        let dh = openssl::dh::Dh::get_2048_256().unwrap().params_to_pem().unwrap();
        let label = String::from_utf8(dh.clone()).unwrap();
        assert_eq!(dh_parameters(&dh), label.starts_with("-----BEGIN DH PARAMETERS-----"));
        let good = b"-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n";
        assert!(dh_parameters(good));
        assert!(!dh_parameters(b"hello\n"));
        assert!(!dh_parameters(&[&good[..], good].concat()));
    }
}
