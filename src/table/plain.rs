//! Patterns so plain that one knows without compiling them that they are right.
//!
//! Most rules are of this kind: `/^spam[0-9]+@example\.(com|net)$/`. Compiling costs time and
//! memory in every process, so such a pattern is compiled when it is first needed. And it is not
//! needed for a key that lacks the texts which every match has: here `spam` and `@example.`.
//!
//! Known are letters, digits and harmless signs, also behind a backslash, `.`, `[…]` without
//! classes, groups, `|`, one of `*`, `+`, `?` behind each of them, `^` where an alternative begins
//! and `$` where it ends. All this means the same in regex(7) with extended syntax and in
//! pcre2pattern(3).

/// What one can tell from a plain pattern.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plain {
    /// The number of groups.
    pub(super) groups: usize,
    /// The texts that every match has, in this order, but for case; a NUL between them.
    pub(super) texts: Vec<u8>,
}

/// Which ASCII characters stand in a text: one bit each. It tells most keys apart from most patterns
/// in no time.
pub(super) fn characters(text: &[u8]) -> u128 {
    let bit = |byte: &u8| 1u128.checked_shl(u32::from(*byte)).unwrap_or(0);
    // The NUL that parts texts is none.
    text.iter().fold(0, |bits, byte| bits | bit(byte)) & !1
}

/// Whether `key` has the texts.
pub(super) fn has(key: &[u8], texts: &[u8]) -> bool {
    let mut rest = key;
    texts.split(|byte| *byte == 0).all(|text| match memchr::memmem::find(rest, text) {
        Some(at) => {
            rest = &rest[at + text.len()..];
            true
        }
        None => false,
    })
}

/// What `pattern` is if it is plain.
pub(super) fn plain(pattern: &[u8]) -> Option<Plain> {
    let mut reader = Reader { at_start: true, ..Reader::default() };
    let mut rest = pattern;
    while let Some((byte, after)) = rest.split_first() {
        rest = reader.take(*byte, after)?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    plain: Plain,
    /// Groups that are open.
    depth: usize,
    /// An alternative begins.
    at_start: bool,
    /// A quantifier may follow.
    repeatable: bool,
    /// Outside groups there are alternatives, so that no text stands in every match.
    alternatives: bool,
    /// The text that may grow.
    run: Vec<u8>,
}

impl Reader {
    /// Takes the byte and what belongs to it from `after`; what is left.
    fn take<'a>(&mut self, byte: u8, after: &'a [u8]) -> Option<&'a [u8]> {
        let next = after.first().copied();
        match byte {
            b'^' if self.at_start => self.anchor(),
            b'$' if matches!(next, None | Some(b')' | b'|')) => self.anchor(),
            b'(' => {
                self.end_run();
                self.plain.groups += 1;
                self.depth += 1;
                (self.at_start, self.repeatable) = (true, false);
            }
            b')' if !self.at_start => {
                self.depth = self.depth.checked_sub(1)?;
                self.repeatable = true;
            }
            b'|' if !self.at_start => {
                self.end_run();
                self.alternatives |= self.depth == 0;
                (self.at_start, self.repeatable) = (true, false);
            }
            b'*' | b'?' if self.repeatable => {
                self.run.pop();
                self.quantified();
            }
            b'+' if self.repeatable => self.quantified(),
            b'.' => self.atom(),
            b'[' => {
                self.atom();
                return class(after);
            }
            b'\\' if next.is_some_and(|next| b"./-@+*?()[]{}|^$\\_=:,!#%".contains(&next)) => {
                self.literal(next?);
                return after.get(1..);
            }
            _ if is_literal(byte) => self.literal(byte),
            _ => return None,
        }
        Some(after)
    }

    fn anchor(&mut self) {
        self.end_run();
        (self.at_start, self.repeatable) = (false, false);
    }

    /// Something that matches one of several bytes.
    fn atom(&mut self) {
        self.end_run();
        (self.at_start, self.repeatable) = (false, true);
    }

    fn literal(&mut self, byte: u8) {
        (self.at_start, self.repeatable) = (false, true);
        if self.depth == 0 {
            self.run.push(byte);
        }
    }

    fn quantified(&mut self) {
        self.end_run();
        self.repeatable = false;
    }

    /// Keeps the text.
    fn end_run(&mut self) {
        if !self.run.is_empty() {
            if !self.plain.texts.is_empty() {
                self.plain.texts.push(0);
            }
            self.plain.texts.append(&mut self.run);
        }
    }

    fn finish(mut self) -> Option<Plain> {
        if self.at_start || self.depth > 0 {
            return None;
        }
        self.end_run();
        if self.alternatives {
            self.plain.texts.clear();
        }
        Some(self.plain)
    }
}

/// Whether a byte stands for itself, everywhere.
fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"@_-=,;:%&~\"'#/ !<>".contains(&byte)
}

/// What follows a `[…]` that is open.
fn class(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"^").unwrap_or(text);
    let end = memchr::memchr(b']', text).filter(|end| *end > 0)?;
    let mut inside = &text[..end];
    while let Some((first, rest)) = inside.split_first() {
        let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"._@+".contains(byte);
        inside = match rest {
            // A dash stands for itself where it ends.
            [] if *first == b'-' => rest,
            _ if !known(first) => return None,
            [b'-', last, rest @ ..] if in_order(*first, *last) => rest,
            [b'-', _, ..] => return None,
            _ => rest,
        };
    }
    Some(&text[end + 1..])
}

/// Whether both are digits, or letters of one case, in this order.
fn in_order(first: u8, last: u8) -> bool {
    let kinds = [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase];
    first <= last && kinds.iter().any(|is| is(&first) && is(&last))
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;
    use crate::sys::pcre::Pcre;
    use crate::sys::regex::{EXTENDED, Regex};

    fn read(pattern: &str) -> Option<(usize, String)> {
        let plain = plain(pattern.as_bytes())?;
        Some((plain.groups, String::from_utf8(plain.texts).unwrap().replace('\0', " ")))
    }

    #[test]
    fn a_plain_pattern_has_texts_that_every_match_has() {
        for (pattern, groups, literal) in [
            ("^spam[0-9]+@example\\.(com|net)$", 1, "spam @example."),
            ("^user@example\\.com$", 0, "user@example.com"),
            ("a|b", 0, ""),
            ("(a|b)cd?e", 1, "c e"),
            ("ab+c", 0, "ab c"),
            ("ab*c", 0, "a c"),
            ("(ab)?c", 1, "c"),
            (".", 0, ""),
            ("^", 0, ""),
            ("[^a-z._-]x", 0, "x"),
            ("((a)b)", 2, ""),
        ] {
            assert_eq!(read(pattern), Some((groups, literal.into())), "{pattern}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_engine() {
        for pattern in [
            "",
            "a**",
            "*a",
            "(a",
            "a)",
            "()",
            "a||b",
            "|a",
            "(?i)a",
            "a{2}",
            "[[:alpha:]]",
            "[z-a]",
            "[]a]",
            "[a",
            "\\w",
            "\\<a",
            "a\\",
            "a$b",
            "a^b",
            "a]",
            "(*ACCEPT)",
            "\t",
            "[a-",
            "[--a]",
            "[a-Z]",
        ] {
            assert_eq!(read(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn a_key_needs_the_texts_in_their_order() {
        assert!(has(b"xaybz", b"a\0b"));
        assert!(!has(b"xbyaz", b"a\0b"));
        assert!(!has(b"aba", b"ab\0ba"));
        assert!(has(b"", b""));
        assert_eq!(characters(b"ab\0\xff"), 1 << b'a' | 1 << b'b');
    }

    /// Texts made of `parts`, always the same.
    fn texts<'a>(parts: &'a [&str], count: u32) -> impl Iterator<Item = String> + 'a {
        let mut state = 1u32;
        (0..count).map(move |i| {
            let mut text = String::new();
            for _ in 0..i % 9 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text += parts[(state >> 16) as usize % parts.len()];
            }
            text
        })
    }

    #[test]
    fn both_engines_agree_on_what_is_plain() {
        let signs = [
            "a", "b", "B", ".", "\\.", "(", ")", "(", ")", "|", "*", "+", "?", "^", "$", "[ab]",
            "[^a]", "[a-b.]", "-", "\\", "[", "]", "{", "}",
        ];
        let keys: Vec<_> = texts(&["a", "b", ".", "B", "-"], 300).collect();
        let mut known = 0;
        for pattern in texts(&signs, 20_000) {
            let Some(plain) = plain(pattern.as_bytes()) else { continue };
            known += 1;
            let source = CString::new(pattern.as_str()).unwrap();
            let posix = Regex::new(&source, EXTENDED).expect(&pattern);
            let pcre = Pcre::new(&source, 0).expect(&pattern);
            assert_eq!((posix.groups(), pcre.groups()), (plain.groups, plain.groups), "{pattern}");
            for key in &keys {
                let has = has(key.as_bytes(), &plain.texts);
                let key = CString::new(key.as_str()).unwrap();
                assert!(has || posix.find(&key, 0) == Ok(None), "{pattern} {key:?}");
                assert!(has || pcre.find(&key, 0) == Ok(None), "{pattern} {key:?}");
            }
        }
        assert!(known > 2000, "{known}");
    }
}
