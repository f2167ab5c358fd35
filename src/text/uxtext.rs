//! utf-8-addr-unitext and -xtext (RFC 6533, section 3): `\x{HEX}` for a character.

/// Decodes `text`; `None` where it is malformed. As Postfix: `uxtext_unquote()`: everything but
/// `\x{…}` stands for itself, surrogates are let through as three bytes.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let Some(escape) = rest.strip_prefix(b"\\x{") else {
            out.push(byte);
            rest = after;
            continue;
        };
        let end = escape.iter().position(|byte| *byte == b'}')?;
        let (hex, after) = escape.split_at(end);
        append(&mut out, code_point(hex)?);
        rest = &after[1..];
    }
    Some(out)
}

fn code_point(hex: &[u8]) -> Option<u32> {
    let mut value = 0;
    for digit in hex {
        value = value << 4 | char::from(*digit).to_digit(16)?;
        if value > 0x10_ffff {
            return None;
        }
    }
    Some(value)
}

fn append(out: &mut Vec<u8>, value: u32) {
    let mut buffer = [0; 4];
    match char::from_u32(value) {
        Some(character) => {
            out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        }
        None => {
            let part = |shift: u32| 0x80 | (value >> shift & 0x3f) as u8;
            out.extend_from_slice(&[0xe0 | (value >> 12 & 0x0f) as u8, part(6), part(0)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_characters() {
        assert_eq!(decode(b"a\\x{e9}+\\x{1F600}b").unwrap(), "aé+😀b".as_bytes());
        assert_eq!(decode("ü=".as_bytes()).unwrap(), "ü=".as_bytes());
        assert_eq!(decode(b"\\x{5c}\\y").unwrap(), b"\\\\y");
        assert_eq!(decode(b"\\x{d800}").unwrap(), b"\xed\xa0\x80");
    }

    #[test]
    fn an_escape_needs_hex_digits_up_to_the_last_character_and_a_brace() {
        for bad in
            [&b"\\x{x1}"[..], b"\\x{2x}", b"\\x{33", b"\\x{110000}", b"\\x{ffffffffffffffff}"]
        {
            assert_eq!(decode(bad), None);
        }
    }
}
