//! xtext (RFC 3461, section 4): `+XX` for bytes that a parameter value cannot hold.

/// Decodes `text`; `None` where it is malformed.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'+' {
            let (hex, after) = rest.split_at_checked(2)?;
            let mut value = 0u8;
            for digit in hex {
                value = value << 4 | (*digit as char).to_digit(16)? as u8;
            }
            out.push(value);
            rest = after;
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

/// Encodes `text`: `+`, `=`, `special` and bytes outside printable ASCII become `+XX`.
pub fn encode(text: &[u8], special: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if byte == b'+' || byte <= 32 || byte >= 127 || special.contains(&byte) {
            out.extend_from_slice(format!("+{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all, b"=")).unwrap(), all);
        assert_eq!(encode(b"a+b=c", b"="), b"a+2Bb+3Dc");
    }

    #[test]
    fn a_plus_needs_two_hex_digits() {
        assert_eq!(decode(b"a+4"), None);
        assert_eq!(decode(b"a+4g"), None);
        assert_eq!(decode(b"a+"), None);
    }
}
