//! Cipher grades and exclusions: what SSL_set_cipher_list is told (TLS up to 1.2).

use crate::text::split::words;

/// Why there is no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CipherError {
    /// No such grade.
    Grade(Vec<u8>),
    /// An exclusion that is none.
    Unary(Vec<u8>),
}

impl CipherError {
    /// Says so, about the client `namaddr`.
    pub(super) fn log(&self, namaddr: &[u8]) {
        match self {
            Self::Grade(grade) => warning!("{}: invalid cipher grade: \"{}\"", namaddr, grade),
            Self::Unary(word) => {
                warning!("{}: invalid unary '!+-@' in cipher exclusion: {}", namaddr, word);
            }
        }
    }
}

/// The list of a grade with exclusions: `aNULL:-aNULL:HIGH:@STRENGTH:!RC4`. `lists` are those of
/// tls_high_cipherlist and so on.
pub(super) fn cipher_list(
    grade: &[u8],
    lists: &[(&str, &[u8])],
    exclusions: &[u8],
) -> Result<Vec<u8>, CipherError> {
    let known = lists.iter().find(|(name, _)| grade.eq_ignore_ascii_case(name.as_bytes()));
    let (_, list) = known.ok_or_else(|| CipherError::Grade(grade.to_vec()))?;
    let mut list = list.to_vec();
    for word in words(exclusions, b", \t\r\n:") {
        if matches!(word.first(), Some(b'!' | b'+' | b'-' | b'@')) {
            return Err(CipherError::Unary(word.to_vec()));
        }
        list.extend_from_slice(b":!");
        list.extend_from_slice(word);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: &[(&str, &[u8])] = &[("high", b"HIGH"), ("medium", b"HIGH:MEDIUM")];

    #[test]
    fn exclusions_come_behind_the_grade() {
        assert_eq!(cipher_list(b"High", LISTS, b""), Ok(b"HIGH".to_vec()));
        let list = cipher_list(b"medium", LISTS, b"aNULL, RC4:3DES");
        assert_eq!(list, Ok(b"HIGH:MEDIUM:!aNULL:!RC4:!3DES".to_vec()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = cipher_list(b"foo", LISTS, b"").unwrap_err();
        error.log(b"a[1]");
        cipher_list(b"high", LISTS, b"aNULL !RSA").unwrap_err().log(b"a[1]");
        assert_eq!(
            crate::log::captured::take(),
            [
                "warning: a[1]: invalid cipher grade: \"foo\"",
                "warning: a[1]: invalid unary '!+-@' in cipher exclusion: !RSA",
            ]
        );
    }
}
