//! `inline:{key=value, {key = value with blanks}}` (DATABASE_README).

use super::lines::{is_space, trim_end, trim_start};
use super::pairs::Pairs;
use super::{Failure, Keys, Spec, Table, TableError, source};
use crate::text::split::{self, COMMA_SPACE};

/// A table of pairs in memory.
pub(super) struct InMemory {
    pub(super) name: Vec<u8>,
    pub(super) pairs: Pairs,
}

impl Table for InMemory {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        Keys::Fixed
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.pairs.get(key).map(<[u8]>::to_vec))
    }
}

/// Opens `inline:{…}`.
pub(super) fn open(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    let form = if spec.request.files { "{name=filename...}" } else { "{name=value...}" };
    let wrong = |what: &[u8]| fill!("{}: \"inline:{}\"; need \"inline:{}\"", what, spec.name, form);
    if spec.utf8 && std::str::from_utf8(spec.name).is_err() {
        return Err(wrong(b"bad UTF-8 syntax").into());
    }
    let inside = match split::closing(spec.name) {
        Some(end) if end > 1 && end + 1 == spec.name.len() && spec.name.starts_with(b"{") => {
            &spec.name[1..end]
        }
        _ => return Err(wrong(b"bad syntax").into()),
    };
    let mut pairs = Pairs::default();
    for word in split::words_braced(inside, COMMA_SPACE) {
        let word = if word.starts_with(b"{") {
            source::unbrace(word).map_err(|error| wrong(&error))?
        } else {
            word
        };
        let (key, value) = key_value(word).map_err(|error| wrong(error.as_bytes()))?;
        let value = spec.value(value).map_err(|error| wrong(&error))?;
        pairs.set(&spec.folded(key), &value).map_err(|_| wrong(b"table too large"))?;
    }
    if pairs.is_empty() {
        return Err(wrong(b"empty table").into());
    }
    Ok(Box::new(InMemory { name: spec.full_name(), pairs }))
}

/// Opens `internal:name`, a table in memory that nobody fills.
pub(super) fn open_empty(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    Ok(Box::new(InMemory { name: spec.full_name(), pairs: Pairs::default() }))
}

/// Key and value of `key = value`; the key may have blanks between quotes, which stay.
/// As Postfix: `split_qnameval()`.
fn key_value(text: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let text = trim_start(text);
    if text.is_empty() {
        return Err("no key found; expected format: key = value");
    }
    let (key, rest) = quoted_key(text, b"=").ok_or("unbalanced '\"'")?;
    let value = trim_start(rest).strip_prefix(b"=").ok_or("missing '=' after attribute name")?;
    Ok((key, trim_end(trim_start(value))))
}

/// White space, quote and backslash.
fn is_odd(byte: u8) -> bool {
    is_space(&byte) || byte == b'"' || byte == b'\\'
}

/// Parts `text` at the first white space or byte of `ends` outside quotes; `None` where a quote
/// is not closed. A backslash hides the byte after it.
pub(super) fn quoted_key<'a>(text: &'a [u8], ends: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    // Most keys end at a blank, and have nothing else that would count.
    let (key, rest) = text.split_at(memchr::memchr2(b' ', b'\t', text).unwrap_or(text.len()));
    if ends.is_empty() && !key.iter().fold(false, |any, byte| any | is_odd(*byte)) {
        return Some((key, rest));
    }
    let mut quoted = false;
    let mut hidden = false;
    let end = text.iter().position(|byte| {
        match byte {
            _ if hidden => hidden = false,
            b'\\' => hidden = true,
            b'"' => quoted = !quoted,
            byte => return !quoted && (is_space(byte) || ends.contains(byte)),
        }
        false
    });
    if quoted { None } else { Some(text.split_at(end.unwrap_or(text.len()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_be_quoted() {
        assert_eq!(key_value(b"xx = yy"), Ok((&b"xx"[..], &b"yy"[..])));
        assert_eq!(key_value(b"xx="), Ok((&b"xx"[..], &b""[..])));
        assert_eq!(key_value(b"=x"), Ok((&b""[..], &b"x"[..])));
        assert_eq!(key_value(b"\"xx \" = yy zz "), Ok((&b"\"xx \""[..], &b"yy zz"[..])));
        assert_eq!(key_value(b"\"\\\"xx \" = yy"), Ok((&b"\"\\\"xx \""[..], &b"yy"[..])));
        assert_eq!(key_value(b"xx"), Err("missing '=' after attribute name"));
        assert_eq!(key_value(b"\"xx "), Err("unbalanced '\"'"));
        assert_eq!(key_value(b" "), Err("no key found; expected format: key = value"));
    }
}
