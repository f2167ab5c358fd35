//! Case: ASCII, and Unicode where SMTPUTF8 is on.

/// `text` for comparison without case. As Postfix: `casefold()`: ASCII letters become small; with
/// `utf8`, text beyond ASCII gets Unicode's default case folding, malformed bytes stay.
pub fn fold(text: &[u8], utf8: bool) -> Vec<u8> {
    if !utf8 || text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let folded: String = chunk.valid().chars().flat_map(fold_char).collect();
        out.extend_from_slice(folded.as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// Whether two texts are the same without case: `fold` makes the same of them.
pub fn same(text: &[u8], other: &[u8], utf8: bool) -> bool {
    let beyond_ascii = || !(text.is_ascii() && other.is_ascii());
    text.eq_ignore_ascii_case(other)
        || (utf8 && beyond_ascii() && fold(text, utf8) == fold(other, utf8))
}

/// Whether something beyond ASCII has a letter of ASCII in its folding: `ſ`, `ß`, the sign for Kelvin.
/// For who must not be taken for somebody else.
pub fn folds_to_ascii(character: char) -> bool {
    !character.is_ascii() && fold_char(character).iter().any(char::is_ascii)
}

/// The full case folding of a character (Unicode, CaseFolding.txt, status C and F).
///
/// That is what becomes of it by way of capitals (`ß`, `SS`, `ss`), but for the dotless i, which
/// has the capital of another letter, and for Cherokee, which folds to capitals.
fn fold_char(character: char) -> Vec<char> {
    match character {
        'ı' => vec![character],
        '\u{13a0}'..='\u{13f5}' => vec![character],
        '\u{13f8}'..='\u{13fd}' | '\u{ab70}'..='\u{abbf}' => character.to_uppercase().collect(),
        _ => character
            .to_lowercase()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        String::from_utf8(fold(text.as_bytes(), true)).unwrap()
    }

    #[test]
    fn capitals_become_small() {
        assert_eq!(fold(b"ABC\xff", true), b"abc\xff");
        assert_eq!(folded("ÄB"), "äb");
        assert_eq!(fold("ÄB".as_bytes(), false), "Äb".as_bytes());
    }

    #[test]
    fn the_same_without_case_is_what_folds_to_the_same() {
        for (text, other) in [("a", "A"), ("a", "b"), ("Ä", "ä"), ("k", "\u{212a}"), ("ß", "SS")]
        {
            for utf8 in [false, true] {
                let (text, other) = (text.as_bytes(), other.as_bytes());
                assert_eq!(same(text, other, utf8), fold(text, utf8) == fold(other, utf8));
            }
        }
    }

    #[test]
    fn some_letters_are_those_of_ascii_without_case() {
        for character in ['ſ', 'ß', '\u{212a}', 'ﬁ', 'İ'] {
            assert!(folds_to_ascii(character), "{character}");
        }
        for character in ['s', 'K', 'ä', 'ı', 'ς'] {
            assert!(!folds_to_ascii(character), "{character}");
        }
    }

    #[test]
    fn letters_that_only_differ_by_case_fold_to_the_same() {
        for (text, same) in [
            ("Straße", "STRASSE"),
            ("ẞ", "ß"),
            ("ΟΔΟΣ", "οδος"),
            ("ﬀ", "FF"),
            ("ſ", "S"),
            ("\u{212a}é", "KÉ"),
            ("\u{ab70}", "\u{13a0}"),
        ] {
            assert_eq!(folded(text), folded(same));
        }
        assert_eq!(folded("ı"), "ı");
        assert_eq!(folded("İ"), "i\u{307}");
    }
}
