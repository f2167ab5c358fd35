//! Revocation lists and OCSP responses, which nobody but authorities makes: written down in DER.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use openssl::x509::X509Ref;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;

/// ecdsa-with-SHA256
const SIGNATURE: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
/// SHA-1
const SHA1: &[u8] = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
/// id-pkix-ocsp-basic
const BASIC: &[u8] = b"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01";

/// When a list began that is not said otherwise.
pub(crate) const LONG_AGO: &str = "20200101000000Z";
/// When a list or response ends that has ended.
pub(crate) const ENDED: &str = "20200201000000Z";
/// When one ends that is good.
pub(crate) const FAR: &str = "20491231235959Z";

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let length = match len {
        0..=0x7f => vec![len as u8],
        0x80..=0xff => vec![0x81, len as u8],
        0x100..=0xffff => vec![0x82, (len >> 8) as u8, len as u8],
        _ => vec![0x83, (len >> 16) as u8, (len >> 8) as u8, len as u8],
    };
    [&[tag][..], &length, content].concat()
}

fn utc(time: &str) -> Vec<u8> {
    der(UTC_TIME, &time.as_bytes()[2..])
}

fn integer(number: &[u8]) -> Vec<u8> {
    let sign = number.first().is_none_or(|first| *first > 0x7f);
    der(INTEGER, &[if sign { &[0][..] } else { &[] }, number].concat())
}

fn serial(certificate: &X509Ref) -> Result<Vec<u8>, ErrorStack> {
    Ok(integer(&certificate.serial_number().to_bn()?.to_vec()))
}

/// What is to be signed, how, and the signature.
fn signed(content: &[u8], key: &PKey<Private>) -> Result<Vec<u8>, ErrorStack> {
    let mut signer = Signer::new(MessageDigest::sha256(), key)?;
    let signature = signer.sign_oneshot_to_vec(content)?;
    let signature = der(BIT_STRING, &[&[0][..], &signature].concat());
    Ok(der(SEQUENCE, &[content, SIGNATURE, &signature].concat()))
}

fn pem(what: &str, der: &[u8]) -> Vec<u8> {
    let mut text = format!("-----BEGIN {what}-----\n");
    for line in openssl::base64::encode_block(der).as_bytes().chunks(64) {
        text += &String::from_utf8_lossy(line);
        text += "\n";
    }
    text += &format!("-----END {what}-----\n");
    text.into_bytes()
}

/// A list in the name of `authority`, signed with `key`: what is revoked, and until when it counts.
pub(crate) fn list(
    authority: &X509Ref,
    key: &PKey<Private>,
    ends: &str,
    revoked: &[&X509Ref],
) -> Result<Vec<u8>, ErrorStack> {
    list_with(authority, key, (LONG_AGO, ends), revoked, &[])
}

/// The same from one time to another, with critical extensions: identifier and value.
pub(crate) fn list_with(
    authority: &X509Ref,
    key: &PKey<Private>,
    (begins, ends): (&str, &str),
    revoked: &[&X509Ref],
    extensions: &[(&[u8], &[u8])],
) -> Result<Vec<u8>, ErrorStack> {
    let mut entries = Vec::new();
    for certificate in revoked {
        entries.extend(der(SEQUENCE, &[serial(certificate)?, utc(LONG_AGO)].concat()));
    }
    let entries = if entries.is_empty() { entries } else { der(SEQUENCE, &entries) };
    let name = authority.subject_name().to_der()?;
    let (version, extensions) = match extensions {
        [] => (Vec::new(), Vec::new()),
        some => {
            let all = some.iter().flat_map(|(id, value)| extension(id, value)).collect::<Vec<_>>();
            (integer(&[1]), der(0xa0, &der(SEQUENCE, &all)))
        }
    };
    let times = [utc(begins), utc(ends)].concat();
    let content = [&version[..], SIGNATURE, &name, &times, &entries, &extensions].concat();
    Ok(pem("X509 CRL", &signed(&der(SEQUENCE, &content), key)?))
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    let critical = der(BOOLEAN, &[0xff]);
    let content = [der(OBJECT_ID, id), critical, der(OCTET_STRING, value)].concat();
    der(SEQUENCE, &content)
}

/// A response of `authority` in DER: `certificate` is good until then.
pub(crate) fn response(
    authority: &X509Ref,
    key: &PKey<Private>,
    certificate: &X509Ref,
    ends: &str,
) -> Result<Vec<u8>, ErrorStack> {
    let time = |text: &str| der(GENERALIZED_TIME, text.as_bytes());
    let hash = der(OCTET_STRING, &[7; 20]);
    let id = der(SEQUENCE, &[SHA1, &hash, &hash, &serial(certificate)?].concat());
    let good = b"\x80\x00";
    let single = [&id[..], good, &time(LONG_AGO), &der(0xa0, &time(ends))].concat();
    let answers = der(SEQUENCE, &der(SEQUENCE, &single));
    let responder = der(0xa1, &authority.subject_name().to_der()?);
    let content = der(SEQUENCE, &[responder, time(LONG_AGO), answers].concat());
    let basic = der(OCTET_STRING, &signed(&content, key)?);
    let bytes = der(0xa0, &der(SEQUENCE, &[BASIC, &basic].concat()));
    Ok(der(SEQUENCE, &[der(ENUMERATED, &[0]), bytes].concat()))
}
