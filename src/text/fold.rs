//! Case: ASCII, and Unicode where SMTPUTF8 is on.

/// `text` for comparison without case. As Postfix: `casefold()`: ASCII letters become small; with
/// `utf8`, text beyond ASCII gets Unicode's default case folding, malformed bytes stay.
pub fn fold(text: &[u8], utf8: bool) -> Vec<u8> {
    if !utf8 || text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let folded: String = chunk.valid().chars().flat_map(char::to_lowercase).collect();
        out.extend_from_slice(folded.as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_become_small() {
        assert_eq!(fold(b"ABC\xff", true), b"abc\xff");
        assert_eq!(fold("ÄB".as_bytes(), true), "äb".as_bytes());
        assert_eq!(fold("ÄB".as_bytes(), false), "Äb".as_bytes());
    }
}
