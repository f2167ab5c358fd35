//! What may be logged or put into a reply: one line, no control bytes.

/// `text` with each control or malformed byte replaced by `with`.
///
/// With `utf8`, valid UTF-8 sequences stay; without, each byte from 0x80 on is replaced.
/// As Postfix: `printable()`.
pub fn printable(text: &[u8], with: u8, utf8: bool) -> Vec<u8> {
    let mut out = text.to_vec();
    make_printable(&mut out, with, utf8);
    out
}

/// [`printable`] in place.
pub fn make_printable(text: &mut [u8], with: u8, utf8: bool) {
    let mut i = 0;
    while i < text.len() {
        let byte = text[i];
        if (b' '..0x7f).contains(&byte) {
            i += 1;
        } else if byte >= 0x80 && utf8 {
            let len = sequence_length(&text[i..]);
            if len == 0 {
                text[i] = with;
                i += 1;
            } else {
                i += len;
            }
        } else {
            text[i] = with;
            i += 1;
        }
    }
}

/// The length of the UTF-8 sequence at the start of `text`; 0 when it is malformed.
fn sequence_length(text: &[u8]) -> usize {
    let len = match text[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return 0,
    };
    match text.get(..len) {
        Some(sequence) if std::str::from_utf8(sequence).is_ok() => len,
        _ => 0,
    }
}

/// Whether a reader may take a line with this for another: it ends lines, or turns the text behind it
/// (UAX #9).
pub fn is_deceptive(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}')
}

/// `text` without what is deceptive, each such character replaced by `?`; malformed bytes stay. For
/// lines that are ours alone: those that Postfix has too are as there.
pub fn undeceptive(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        out.extend_from_slice(valid.replace(is_deceptive, "?").as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// `text` as printable ASCII on one line: a backslash doubled, control and other bytes as in C.
/// As Postfix: `escape()`.
pub fn escaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b' '..=b'~' => out.push(byte),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x0b => out.extend_from_slice(b"\\v"),
            _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_are_replaced() {
        assert_eq!(printable(b"a\r\nb\0\x7f", b'?', true), b"a??b??");
    }

    #[test]
    fn only_well_formed_utf8_stays() {
        assert_eq!(printable("é".as_bytes(), b'?', true), "é".as_bytes());
        assert_eq!(printable("é".as_bytes(), b'?', false), b"??");
        assert_eq!(printable(b"\xc3(\xc0\x80\xed\xa0\x80", b'?', true), b"?(?????");
    }

    #[test]
    fn what_turns_or_ends_lines_is_replaced() {
        let text = "a\u{85}b\u{2028}c\u{2029}d\u{202a}e\u{202e}f\u{2066}g\u{2069}é";
        let text = [text.as_bytes(), b"\xff"].concat();
        assert_eq!(undeceptive(&text), ["a?b?c?d?e?f?g?é".as_bytes(), b"\xff"].concat());
    }

    #[test]
    fn escapes_are_those_of_c() {
        assert_eq!(escaped(b"a\\\r\n\t\x01\xff"), b"a\\\\\\r\\n\\t\\001\\377");
    }
}
