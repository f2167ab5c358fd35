//! Lists in main.cf and elsewhere: words between separators, with or without braces.

/// Separators of lists: comma and white space (postconf(5)).
pub const COMMA_SPACE: &[u8] = b", \t\r\n";
/// White space.
pub const SPACE: &[u8] = b" \t\r\n";

/// The words of `text` between any run of `separators`.
pub fn words<'a>(text: &'a [u8], separators: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    text.split(|byte| separators.contains(byte)).filter(|word| !word.is_empty())
}

/// The words of `text` between any run of `separators` outside `{…}`; braces stay in the word.
/// An unclosed brace takes the rest. As Postfix: `mystrtokq()`.
pub fn words_braced<'a>(text: &'a [u8], separators: &'a [u8]) -> WordsBraced<'a> {
    WordsBraced { rest: text, separators }
}

/// See [`words_braced`].
#[derive(Debug, Clone)]
pub struct WordsBraced<'a> {
    rest: &'a [u8],
    separators: &'a [u8],
}

impl<'a> Iterator for WordsBraced<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|byte| !self.separators.contains(byte))?;
        let text = &self.rest[start..];
        let mut level = 0usize;
        let end = text
            .iter()
            .position(|byte| {
                match byte {
                    b'{' => level += 1,
                    b'}' => level = level.saturating_sub(1),
                    byte if level == 0 && self.separators.contains(byte) => return true,
                    _ => {}
                }
                false
            })
            .unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        Some(word)
    }
}

/// What is wrong with a braced text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BraceError {
    /// No closing brace.
    #[error("missing '}}' in \"{0}\"")]
    Missing(String),
    /// Text after the closing brace.
    #[error("syntax error after '}}' in \"{0}\"")]
    After(String),
}

/// The inside of `{ text }`, without the blanks around it. As Postfix: `extpar()` with
/// `EXTPAR_FLAG_STRIP`.
pub fn unbrace(text: &[u8]) -> Result<&[u8], BraceError> {
    let shown = || String::from_utf8_lossy(text).into_owned();
    let end = closing(text).ok_or_else(|| BraceError::Missing(shown()))?;
    if !text[end + 1..].trim_ascii().is_empty() {
        return Err(BraceError::After(shown()));
    }
    Ok(text[1..end].trim_ascii())
}

/// Where the brace that opens `text` is closed.
pub fn closing(text: &[u8]) -> Option<usize> {
    let mut level = 0usize;
    for (i, byte) in text.iter().enumerate() {
        match byte {
            b'{' => level += 1,
            b'}' => {
                level = level.checked_sub(1)?;
                if level == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

/// `name = value`, blanks around both removed. As Postfix: `split_nameval()`.
pub fn name_value(text: &[u8]) -> Result<(&[u8], &[u8]), NameValueError> {
    let text = text.trim_ascii_start();
    let len = text
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || *byte == b'=' || *byte == 0x0b)
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(len);
    if name.is_empty() {
        return Err(NameValueError::Name);
    }
    let value = rest.trim_ascii_start().strip_prefix(b"=").ok_or(NameValueError::Equal)?;
    Ok((name, value.trim_ascii()))
}

/// What is wrong with a `name = value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameValueError {
    /// Nothing before `=`.
    #[error("missing attribute name")]
    Name,
    /// No `=`.
    #[error("missing '=' after attribute name")]
    Equal,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn braced(text: &[u8]) -> Vec<&[u8]> {
        words_braced(text, COMMA_SPACE).collect()
    }

    #[test]
    fn braces_keep_words_together() {
        assert_eq!(braced(b"a, {b c},d{e f}g h"), [&b"a"[..], b"{b c}", b"d{e f}g", b"h"]);
        assert_eq!(braced(b"{a b"), [&b"{a b"[..]]);
        assert_eq!(braced(b" , "), [&b""[..]; 0]);
    }

    #[test]
    fn the_outer_braces_are_taken_off() {
        assert_eq!(unbrace(b"{ a {b} }"), Ok(&b"a {b}"[..]));
        assert!(matches!(unbrace(b"{ a"), Err(BraceError::Missing(_))));
        assert!(matches!(unbrace(b"{ a } b"), Err(BraceError::After(_))));
    }

    #[test]
    fn names_and_values_lose_their_blanks() {
        assert_eq!(name_value(b" a = b c "), Ok((&b"a"[..], &b"b c"[..])));
        assert_eq!(name_value(b"a="), Ok((&b"a"[..], &b""[..])));
        assert_eq!(name_value(b"= b"), Err(NameValueError::Name));
        assert_eq!(name_value(b"a b = c"), Err(NameValueError::Equal));
    }
}
