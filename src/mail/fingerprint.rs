//! Fingerprints of certificates and public keys: digests as text.

use std::fmt;

/// A digest; shows as upper case hex with colons (`A1:B2:…`), the form of relay_clientcerts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(Vec<u8>);

impl Fingerprint {
    /// The fingerprint whose digest is `digest`.
    pub fn of_digest(digest: &[u8]) -> Self {
        Self(digest.to_vec())
    }

    /// The text, as a key for lookup tables.
    pub fn text(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_upper_case_hex_with_colons() {
        assert_eq!(Fingerprint::of_digest(&[0xa1, 0x0b, 0xff]).text(), b"A1:0B:FF");
        assert_eq!(Fingerprint::of_digest(&[7]).to_string(), "07");
        assert_eq!(Fingerprint::of_digest(&[]).to_string(), "");
    }
}
