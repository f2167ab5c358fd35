//! A command line into words.
//!
//! Words are separated by white space; `<…>` and `"…"` keep theirs, whatever stands directly after
//! the closing character goes on with the word; `\` protects one byte. `to:` and `from:` end a word,
//! so `MAIL FROM:<a>` has three. As Postfix: `smtpd_token()`.

/// A word of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The bytes, quotes and brackets included.
    pub text: Vec<u8>,
    /// Whether all that was opened was closed.
    pub kind: TokenKind,
}

/// What is known of a [`Token`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A word.
    Other,
    /// A `<` or `"` has no end.
    Error,
}

/// The words of `line`, which ends at its first NUL. No more bytes than `line` has come out.
pub fn tokens(line: &[u8]) -> Vec<Token> {
    let end = memchr::memchr(0, line).unwrap_or(line.len());
    let (mut rest, _) = line.split_at_checked(end).unwrap_or((line, &[]));
    let mut tokens = Vec::with_capacity(4);
    while let Some(token) = next_token(&mut rest) {
        tokens.push(token);
    }
    tokens
}

/// A word is a piece of the line as it stands: it is copied once.
fn next_token(rest: &mut &[u8]) -> Option<Token> {
    while rest.first().copied().is_some_and(is_space) {
        take(rest);
    }
    let line = *rest;
    let mut kind = TokenKind::Other;
    let mut text: &[u8] = &[];
    while let Some(byte) = take(rest) {
        let closed = match byte {
            byte if is_space(byte) => break,
            b'<' => skip_quoted(rest, b'>'),
            b'"' => skip_quoted(rest, b'"'),
            b'\\' => {
                take(rest);
                true
            }
            _ => true,
        };
        if !closed {
            kind = TokenKind::Error;
        }
        text = before(line, rest);
        if text.eq_ignore_ascii_case(b"to:") || text.eq_ignore_ascii_case(b"from:") {
            break;
        }
    }
    (!text.is_empty()).then(|| Token { text: text.to_vec(), kind })
}

/// Goes to the end of what was opened, which `close` closes, and whether there is one; in `<…>` both
/// brackets and strings nest.
fn skip_quoted(rest: &mut &[u8], mut close: u8) -> bool {
    let mut outer = Vec::new();
    while let Some(byte) = take(rest) {
        if byte == b'\\' {
            take(rest);
        } else if byte == close {
            match outer.pop() {
                Some(next) => close = next,
                None => return true,
            }
        } else if byte == b'"' || (byte == b'<' && close == b'>') {
            outer.push(close);
            close = if byte == b'<' { b'>' } else { byte };
        }
    }
    false
}

/// What of `line` stands before `rest`, its end.
fn before<'a>(line: &'a [u8], rest: &[u8]) -> &'a [u8] {
    line.get(..line.len().saturating_sub(rest.len())).unwrap_or_default()
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some(byte)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words; a word that is in error has `!` before it.
    fn words(line: &str) -> Vec<String> {
        tokens(line.as_bytes())
            .into_iter()
            .map(|token| {
                let mark = if token.kind == TokenKind::Error { "!" } else { "" };
                format!("{mark}{}", String::from_utf8(token.text).unwrap())
            })
            .collect()
    }

    #[test]
    fn white_space_separates_words() {
        assert_eq!(words("  EHLO \t x\x0b\x0c y\r"), ["EHLO", "x", "y"]);
        assert_eq!(words(" \t "), [""; 0]);
        assert_eq!(words(""), [""; 0]);
    }

    #[test]
    fn to_and_from_end_a_word() {
        assert_eq!(words("MAIL FROM:<a@b> SIZE=1"), ["MAIL", "FROM:", "<a@b>", "SIZE=1"]);
        assert_eq!(words("rcpt tO: <a@b>"), ["rcpt", "tO:", "<a@b>"]);
        assert_eq!(words("xto:a from:b:c"), ["xto:a", "from:", "b:c"]);
        assert_eq!(words(": a"), [":", "a"]);
    }

    #[test]
    fn brackets_and_quotes_keep_white_space() {
        assert_eq!(words("<a b> \"c d\"e<f g>h i"), ["<a b>", "\"c d\"e<f g>h", "i"]);
        assert_eq!(words("<a <b c> d>e"), ["<a <b c> d>e"]);
        assert_eq!(words("<\"a > b\" c>"), ["<\"a > b\" c>"]);
        assert_eq!(words("\"a < b\" c"), ["\"a < b\"", "c"]);
    }

    #[test]
    fn a_backslash_protects_one_byte() {
        assert_eq!(words("a\\ b c"), ["a\\ b", "c"]);
        assert_eq!(words("<a\\> b> c"), ["<a\\> b>", "c"]);
        assert_eq!(words("a\\"), ["a\\"]);
    }

    #[test]
    fn what_is_not_closed_is_an_error() {
        assert_eq!(words("x <a b"), ["x", "!<a b"]);
        assert_eq!(words("\"a b"), ["!\"a b"]);
        assert_eq!(words("<a\\>"), ["!<a\\>"]);
        assert_eq!(words("<\"a>"), ["!<\"a>"]);
    }

    #[test]
    fn the_line_ends_at_the_first_nul() {
        assert_eq!(words("NOOP a\0b c"), ["NOOP", "a"]);
    }

    #[test]
    fn no_input_makes_more_bytes_than_it_has() {
        let line = "<\"\\ \t:<>".repeat(300);
        let all: usize = tokens(line.as_bytes()).iter().map(|token| token.text.len()).sum();
        assert!(all <= line.len());
    }
}
