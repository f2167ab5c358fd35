//! Logical lines of a table file (postmap(1)): a line that begins with blanks goes on with the
//! one before; empty lines and those whose first text is `#` don't count, wherever they stand.

use std::borrow::Cow;

/// White space as the C library sees it.
pub(crate) fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | 0x09..=0x0d)
}

/// `text` without white space at its begin.
pub(crate) fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    &text[start..]
}

/// `text` without white space at its end.
pub(crate) fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
    &text[..end]
}

/// A logical line: the number of its first physical line, and its text up to the first NUL.
pub(crate) type Line<'a> = (u32, Cow<'a, [u8]>);

/// The logical lines of a text.
pub(crate) struct Lines<'a> {
    /// The file, for warnings.
    path: &'a [u8],
    /// What is still to be read.
    rest: &'a [u8],
    /// Physical lines read.
    count: u32,
}

impl<'a> Lines<'a> {
    /// The lines of `text`, which stands in the file `path`.
    pub(crate) fn of(text: &'a [u8], path: &'a [u8]) -> Self {
        Self { path, rest: text, count: 0 }
    }

    /// The next physical line, without its newline.
    fn physical(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.rest);
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &b""[..]),
        };
        self.rest = rest;
        self.count = self.count.saturating_add(1);
        Some(line)
    }

    /// Whether the next physical line belongs to the one before.
    fn goes_on(&self) -> bool {
        self.rest.first().is_some_and(|byte| *byte == b'#' || is_space(byte))
    }

    /// The next logical line, as it stands.
    fn logical(&mut self) -> Option<Line<'a>> {
        let mut text: Cow<'a, [u8]> = Cow::Borrowed(b"");
        let mut first = 0;
        while let Some(line) = self.physical() {
            if !matches!(trim_start(line).first(), None | Some(b'#')) {
                if text.is_empty() {
                    first = self.count;
                    text = Cow::Borrowed(line);
                } else {
                    text.to_mut().extend_from_slice(line);
                }
            }
            if !text.is_empty() && !self.goes_on() {
                break;
            }
        }
        if text.is_empty() { None } else { Some((first, text)) }
    }

    /// Says that a text begins with blanks but goes on with nothing.
    fn warn_start(&self, text: &[u8]) {
        let (text, dots) = match text.get(..30) {
            Some(head) if text.len() > 30 => (head, "..."),
            _ => (text, ""),
        };
        warning!(
            "{}: logical line must not start with whitespace: \"{}{}\"",
            self.path,
            text,
            dots
        );
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        loop {
            let (number, text) = self.logical()?;
            if text.first().is_some_and(is_space) {
                self.warn_start(&text);
                continue;
            }
            return Some((number, before_nul(text)));
        }
    }
}

/// What C sees of a text.
fn before_nul(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match memchr::memchr(0, &text) {
        None => text,
        Some(end) => match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
            Cow::Owned(mut text) => {
                text.truncate(end);
                Cow::Owned(text)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    fn lines(text: &[u8]) -> Vec<(u32, Vec<u8>)> {
        Lines::of(text, b"/f").map(|(number, text)| (number, text.into_owned())).collect()
    }

    fn line(number: u32, text: &str) -> (u32, Vec<u8>) {
        (number, text.as_bytes().to_vec())
    }

    #[test]
    fn a_line_that_begins_with_blanks_goes_on() {
        assert_eq!(
            lines(b"# c\n\na b\n  c\n#x\n \n\td\ne f\ng"),
            [line(3, "a b  c\td"), line(8, "e f"), line(9, "g")]
        );
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\n \n#"), []);
    }

    #[test]
    fn a_text_that_begins_with_blanks_is_reported() {
        captured::take();
        assert_eq!(lines(b" a\nb c\n"), [line(2, "b c")]);
        assert_eq!(
            captured::take(),
            ["warning: /f: logical line must not start with whitespace: \" a\""]
        );
        assert_eq!(lines(b"    45678901234567890123456789012345\n"), []);
        assert_eq!(
            captured::take(),
            ["warning: /f: logical line must not start with whitespace: \
              \"    45678901234567890123456789...\""]
        );
    }

    #[test]
    fn a_nul_ends_a_line() {
        assert_eq!(lines(b"a b\0c\nd\n"), [line(1, "a b"), line(2, "d")]);
    }
}
