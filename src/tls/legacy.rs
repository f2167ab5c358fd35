//! Fingerprints of public keys as they were until Postfix 2.9 (tls_legacy_public_key_fingerprints).

use openssl::pkey::Id;
use openssl::x509::X509Ref;

use super::ffi;

/// Whether the bits of a certificate's public key are all of the key, so that their fingerprint tells
/// it from every other.
///
/// The bits of a key of DSA are a number, and those of an elliptic curve a point: what they mean is
/// said by parameters beside them. Who may choose those can choose a private key that fits the bits
/// of somebody else. A curve that has a name has parameters that nobody chose.
pub(super) fn bits_are_all(certificate: &X509Ref) -> bool {
    let key = certificate.public_key();
    let all = key.is_ok_and(|key| match key.id() {
        Id::EC => ffi::group_name(&key).is_some(),
        Id::DSA | Id::DH | Id::DHX => false,
        _ => true,
    });
    ffi::clear_errors();
    all
}

#[cfg(test)]
mod tests {
    use openssl::bn::{BigNum, BigNumContext};
    use openssl::dsa::Dsa;
    use openssl::ec::{
        Asn1Flag, EcGroup, EcGroupRef, EcKey, EcPoint, EcPointRef, PointConversionForm,
    };
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::{PKey, Private};
    use openssl::rsa::Rsa;
    use openssl::x509::{X509, X509Builder};

    use super::super::peer;
    use super::*;

    fn p256() -> EcGroup {
        EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()
    }

    fn certificate(key: &PKey<Private>) -> X509 {
        let mut builder = X509Builder::new().unwrap();
        builder.set_pubkey(key).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    /// The point of `group` that is written as `point` is in `other`.
    fn same_point(group: &EcGroupRef, point: &EcPointRef, other: &EcGroupRef) -> EcPoint {
        let mut context = BigNumContext::new().unwrap();
        let form = PointConversionForm::UNCOMPRESSED;
        let bytes = point.to_bytes(other, form, &mut context).unwrap();
        EcPoint::from_bytes(group, &bytes, &mut context).unwrap()
    }

    /// A curve like `group`, whose generator makes `private` the key for the point `public`.
    fn with_generator(group: &EcGroupRef, private: &BigNum, public: &EcPointRef) -> EcGroup {
        let mut context = BigNumContext::new().unwrap();
        let number = || BigNum::new().unwrap();
        let (mut p, mut a, mut b, mut order) = (number(), number(), number(), number());
        group.components_gfp(&mut p, &mut a, &mut b, &mut context).unwrap();
        group.order(&mut order, &mut context).unwrap();
        let mut inverse = number();
        inverse.mod_inverse(private, &order, &mut context).unwrap();
        let mut generator = EcPoint::new(group).unwrap();
        generator.mul2(group, public, &inverse, &mut context).unwrap();
        let mut own = EcGroup::from_components(p, a, b, &mut context).unwrap();
        let generator = same_point(&own, &generator, group);
        own.set_generator(generator, order, BigNum::from_u32(1).unwrap()).unwrap();
        own.set_asn1_flag(Asn1Flag::EXPLICIT_CURVE);
        own
    }

    fn print(certificate: &X509) -> Option<Vec<u8>> {
        let legacy = bits_are_all(certificate);
        peer::key_fingerprint(certificate, MessageDigest::sha256(), legacy)
    }

    #[test]
    fn the_bits_of_another_key_are_not_that_key() {
        let victim = EcKey::generate(&p256()).unwrap();
        let private = BigNum::from_u32(12_345).unwrap();
        let group = with_generator(victim.group(), &private, victim.public_key());
        let point = same_point(&group, victim.public_key(), victim.group());
        let forged = EcKey::from_private_components(&group, &private, &point).unwrap();
        forged.check_key().unwrap();
        let forged = certificate(&PKey::from_ec_key(forged).unwrap());
        let victim = certificate(&PKey::from_ec_key(victim).unwrap());
        assert_eq!(ffi::public_key_bits(&forged), ffi::public_key_bits(&victim));
        assert_ne!(print(&forged), print(&victim));
    }

    #[test]
    fn only_keys_without_parameters_of_their_own_have_such_a_fingerprint() {
        let ec = PKey::from_ec_key(EcKey::generate(&p256()).unwrap()).unwrap();
        let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        assert!(bits_are_all(&certificate(&ec)) && bits_are_all(&certificate(&rsa)));
        let dsa = PKey::from_dsa(Dsa::generate(1024).unwrap()).unwrap();
        assert!(!bits_are_all(&certificate(&dsa)));
    }
}
