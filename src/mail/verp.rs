//! XVERP (postconf(5), verp_delimiter_filter): delimiters for variable envelope return paths.

/// Whether `delimiters` are two characters out of `filter`. As Postfix: `verp_delims_verify()`.
pub fn valid_delimiters(delimiters: &[u8], filter: &[u8]) -> bool {
    delimiters.len() == 2 && delimiters.iter().all(|byte| filter.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_two_characters_of_the_filter() {
        assert!(valid_delimiters(b"+=", b"-=+"));
        assert!(valid_delimiters(b"--", b"-=+"));
        for bad in [&b""[..], b"+", b"+=-", b"+x", b"x+"] {
            assert!(!valid_delimiters(bad, b"-=+"));
        }
    }
}
