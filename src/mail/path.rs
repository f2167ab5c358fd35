//! Paths in MAIL, RCPT and VRFY (RFC 5321, section 4.1.2), strictly and as Postfix takes them.

use crate::mail::address::is_plain;
use crate::mail::token822::{self, Node, Token};

/// How strict to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Nothing but `<address>`, see strict_rfc821_envelopes in postconf(5).
    pub strict: bool,
    /// Whether the null address is one.
    pub allow_empty: bool,
}

/// A word of a command holds no address. Postfix logs all three alike:
/// `Illegal address syntax from NAMADDR in COMMAND command: WORD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// More than one address.
    #[error("more than one address")]
    Several,
    /// Something besides `<address>`, where that is not allowed.
    #[error("text besides the address")]
    NotBare,
    /// No address, or no local part where that is not allowed.
    #[error("no address")]
    Empty,
}

/// The address in `token`, a word of a command: internal form, without source route, phrase and
/// comments. Whether its domain is well formed, trivial-rewrite(8) decides afterwards.
pub fn extract(token: &[u8], rules: Rules) -> Result<Vec<u8>, BadPath> {
    let inside = token.strip_prefix(b"<").and_then(|token| token.strip_suffix(b">"));
    match inside {
        Some(address) if is_plain(address) => Ok(address.to_vec()),
        _ => parse(token, inside, rules),
    }
}

fn parse(token: &[u8], inside: Option<&[u8]>, rules: Rules) -> Result<Vec<u8>, BadPath> {
    let nodes = token822::parse(without_route(inside.unwrap_or(token)));
    let bracket = |node: &Node| matches!(node, Node::Other(Token::Op(b'<' | b'>')));
    let bare = nodes.iter().all(|node| matches!(node, Node::Address(_)) || bracket(node));
    let mut addresses = nodes.iter().filter_map(|node| match node {
        Node::Address(tokens) => Some(tokens),
        Node::Other(_) => None,
    });
    let address = addresses.next().map(|tokens| token822::internal(tokens)).unwrap_or_default();
    if addresses.next().is_some() {
        return Err(BadPath::Several);
    }
    if rules.strict && !(bare && token.starts_with(b"<")) {
        return Err(BadPath::NotBare);
    }
    if (address.is_empty() && !rules.allow_empty) || (rules.strict && address.starts_with(b"@")) {
        return Err(BadPath::Empty);
    }
    Ok(address)
}

/// `text` without the source route before it (RFC 5321, appendix C).
fn without_route(text: &[u8]) -> &[u8] {
    match text.iter().position(|byte| *byte == b':') {
        Some(colon) if text.starts_with(b"@") => &text[colon + 1..],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAX: Rules = Rules { strict: false, allow_empty: true };
    const STRICT: Rules = Rules { strict: true, allow_empty: true };

    /// Rows are a word and the address in it; `[both]`, `[lax]` and `[refused]` say by which rules.
    const ANSWERS: &str = include_str!("path_answers.txt");

    #[test]
    fn the_original_finds_the_same_addresses() {
        let mut section = "";
        let mut rows = 0;
        for line in ANSWERS.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
            if let "[both]" | "[lax]" | "[refused]" = line {
                section = line;
                continue;
            }
            let (token, address) = line.split_once(" =>").unwrap_or((line, ""));
            let address = Ok(address.strip_prefix(' ').unwrap_or(address).as_bytes().to_vec());
            let (lax, strict) = (extract(token.as_bytes(), LAX), extract(token.as_bytes(), STRICT));
            match section {
                "[both]" => assert_eq!((&lax, &strict), (&address, &address), "{token}"),
                "[lax]" => assert!(lax == address && strict.is_err(), "{token} {lax:?} {strict:?}"),
                _ => assert!(lax.is_err() && strict.is_err(), "{token} {lax:?} {strict:?}"),
            }
            rows += 1;
        }
        assert!(rows > 240);
    }

    #[test]
    fn plain_addresses_are_what_they_are() {
        for address in ["a@b.c", "a.b-c_d+e=f@x-1.example", "1@2.3", "A@B.C.D", "-@-.-"] {
            let token = format!("<{address}>");
            for rules in [LAX, STRICT] {
                let parsed = parse(token.as_bytes(), Some(address.as_bytes()), rules);
                assert_eq!(parsed, Ok(address.as_bytes().to_vec()));
                assert_eq!(extract(token.as_bytes(), rules), parsed);
            }
        }
    }

    #[test]
    fn tabs_are_white_space() {
        assert_eq!(extract(b"<\ta@b\t>", LAX), Ok(b"a@b".to_vec()));
        assert_eq!(extract(b"<a\tb@c>", LAX), Err(BadPath::Several));
    }

    #[test]
    fn the_null_address_must_be_allowed() {
        let rules = Rules { allow_empty: false, ..LAX };
        for empty in [&b"<>"[..], b"<\"\">", b"<(c)>", b"<;>", b""] {
            assert_eq!(extract(empty, rules), Err(BadPath::Empty));
        }
        assert_eq!(extract(b"<@b>", rules), Ok(b"@b".to_vec()));
    }

    #[test]
    fn no_short_text_is_too_odd() {
        const BYTES: &[u8] = b"<>@:;,.\"\\([])a \xff";
        for number in 0..BYTES.len().pow(4) {
            let text: Vec<u8> =
                (0..4).map(|i| BYTES[number / BYTES.len().pow(i) % BYTES.len()]).collect();
            let Ok(address) = extract(&text, LAX) else {
                assert!(extract(&text, STRICT).is_err());
                continue;
            };
            assert!(address.len() <= text.len() + 1);
            // Whoever is strict takes less, and finds the same.
            let strict = extract(&text, STRICT);
            assert!(strict.is_err() || strict == Ok(address), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_stay() {
        assert_eq!(extract(b"<\"\xff\x80\"@b>", LAX), Ok(b"\xff\x80@b".to_vec()));
    }
}
