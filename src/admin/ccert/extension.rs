//! An extension of a certificate, as it stands there (RFC 5280, DER): OpenSSL's names for what is
//! inside do not cover all of it.

use openssl::x509::X509Ref;

const SEQUENCE: u8 = 0x30;
const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
/// `[3] EXPLICIT Extensions`
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17, subjectAltName
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Whether it is critical, and its value.
pub(super) type Extension = (bool, Vec<u8>);

/// All names besides the subject.
pub(super) fn subject_alt_name(certificate: &X509Ref) -> Option<Extension> {
    let der = certificate.to_der().ok()?;
    let certificate = inside(&der, SEQUENCE)?;
    let to_be_signed = inside(certificate, SEQUENCE)?;
    let (_, wrapped) = elements(to_be_signed).find(|(tag, _)| *tag == EXTENSIONS)?;
    let list = inside(wrapped, SEQUENCE)?;
    elements(list).find_map(|(_, extension)| {
        let mut parts = elements(extension);
        if parts.next()? != (OBJECT, SUBJECT_ALT_NAME) {
            return None;
        }
        let mut next = parts.next()?;
        let critical = next.0 == BOOLEAN;
        if critical {
            next = parts.next()?;
        }
        (next.0 == OCTETS).then(|| (critical, next.1.to_vec()))
    })
}

/// What is in the first element, if it is of that kind.
fn inside(der: &[u8], tag: u8) -> Option<&[u8]> {
    elements(der).next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
}

/// Kind and value of each element; ends where something is wrong.
fn elements(mut der: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, rest) = der.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut len = usize::from(*first);
        if len >= 0x80 {
            let (bytes, behind) = rest.split_at_checked(len - 0x80).filter(|it| it.0.len() <= 4)?;
            len = bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
            rest = behind;
        }
        let value;
        (value, der) = rest.split_at_checked(len)?;
        Some((*tag, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_end_where_they_are_damaged() {
        let of = |der: &'static [u8]| elements(der).collect::<Vec<_>>();
        assert_eq!(of(&[4, 1, 7, 5, 0]), [(4, &[7][..]), (5, &[][..])]);
        assert_eq!(of(&[4, 0x81, 1, 7]), [(4, &[7][..])]);
        for wrong in [&[4][..], &[4, 2, 1], &[4, 0x81], &[4, 0x85, 0, 0, 0, 0, 0], &[4, 0xff]] {
            assert_eq!(elements(wrong).count(), 0, "{wrong:?}");
        }
    }
}
