//! Values with `$1`, `${1}` and `$(1)`: what a group matched (regexp_table(5)); `$$` is a `$`.

use std::ops::Range;

/// A value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replacement {
    parts: Vec<Part>,
    highest: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
}

impl Replacement {
    /// Reads a value; `None` where it is malformed, which `warn` is told.
    pub(super) fn parse(
        text: &[u8],
        out_of_range: &str,
        warn: &mut dyn FnMut(&[u8]),
    ) -> Option<Self> {
        let mut value = Self { parts: Vec::new(), highest: 0 };
        let mut rest = text;
        let mut good = true;
        while !rest.is_empty() {
            rest = value.literal(rest);
            let Some(reference) = rest.strip_prefix(b"$") else { break };
            let Some((name, after)) = name(reference) else {
                warning!("truncated macro reference: \"{}\"", text);
                return None;
            };
            // As Postfix: after an error no further name in brackets is looked at.
            if !good && reference.starts_with(b"(") | reference.starts_with(b"{") {
                return None;
            }
            if name.is_empty() {
                warning!("empty macro name: \"{}\"", text);
                return None;
            }
            good &= value.group(name, out_of_range, warn);
            rest = after;
        }
        good.then_some(value)
    }

    /// The highest group that the value needs.
    pub(super) fn highest(&self) -> usize {
        self.highest
    }

    /// The value where `groups` of `key` matched; the whole match is group 0.
    pub(super) fn expand(&self, key: &[u8], groups: &[Range<usize>]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            let text = match part {
                Part::Text(text) => Some(&text[..]),
                Part::Group(number) => groups.get(*number).and_then(|range| key.get(range.clone())),
            };
            out.extend_from_slice(text.unwrap_or_default());
        }
        out
    }

    /// Takes the text up to the next group; what is left.
    fn literal<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some((byte, after)) = rest.split_first() {
            rest = match (byte, after.first()) {
                (b'$', Some(b'$')) => &after[1..],
                (b'$', _) => break,
                _ => after,
            };
            literal.push(*byte);
        }
        if !literal.is_empty() {
            self.parts.push(Part::Text(literal));
        }
        rest
    }

    /// Takes a group; whether it is one.
    fn group(&mut self, name: &[u8], out_of_range: &str, warn: &mut dyn FnMut(&[u8])) -> bool {
        if !name.iter().all(u8::is_ascii_digit) {
            warn(&fill!("non-numeric replacement index \"{}\"", name));
            return false;
        }
        let number = number(name);
        if number == 0 {
            warn(&fill!("{} replacement index \"{}\"", out_of_range, name));
            return false;
        }
        self.highest = self.highest.max(number);
        self.parts.push(Part::Group(number));
        true
    }
}

/// The name behind a `$`, with or without brackets, and what follows. `None`: it does not end.
fn name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (open, close) = match text.first() {
        Some(b'(') => (b'(', b')'),
        Some(b'{') => (b'{', b'}'),
        _ => {
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let end = text.iter().position(|byte| !is_name(byte)).unwrap_or(text.len());
            return Some(text.split_at(end));
        }
    };
    let mut level = 0usize;
    for (at, byte) in text.iter().enumerate() {
        if *byte == open {
            level += 1;
        } else if *byte == close {
            level -= 1;
            if level == 0 {
                return Some((&text[1..at], &text[at + 1..]));
            }
        }
    }
    None
}

/// The number that digits say, as C's atoi() has it where it is too large for an int.
fn number(digits: &[u8]) -> usize {
    let digit =
        |number: i64, byte: &u8| number.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
    digits.iter().fold(0, digit) as i32 as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    fn expanded(text: &[u8]) -> Result<Vec<u8>, Vec<String>> {
        captured::take();
        let mut warn = |text: &[u8]| warning!("{}", text);
        match Replacement::parse(text, "out of range", &mut warn) {
            Some(value) => Ok(value.expand(b"abc", &[0..3, 0..1, 1..3, 0..0])),
            None => Err(captured::take()),
        }
    }

    #[test]
    fn groups_have_three_forms() {
        assert_eq!(expanded(b"x$1-${2}-$(1)$3$$1"), Ok(b"xa-bc-a$1".to_vec()));
        assert_eq!(expanded(b""), Ok(Vec::new()));
        assert_eq!(expanded(b"$9"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_malformed_is_reported() {
        let error = |text: &[u8]| expanded(text).unwrap_err().join(" | ");
        assert_eq!(error(b"$x"), "warning: non-numeric replacement index \"x\"");
        assert_eq!(error(b"$0"), "warning: out of range replacement index \"0\"");
        assert_eq!(error(b"${1"), "warning: truncated macro reference: \"${1\"");
        assert_eq!(error(b"a$ b"), "warning: empty macro name: \"a$ b\"");
        assert_eq!(
            error(b"$x $y ${z}"),
            "warning: non-numeric replacement index \"x\" | \
             warning: non-numeric replacement index \"y\""
        );
    }
}
