//! Logical lines of a table file (postmap(1)): a line that begins with blanks goes on with the
//! one before; empty lines and those whose first text is `#` don't count, wherever they stand.

use std::io::{self, BufRead};

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

/// The logical lines of a text.
pub(crate) struct Lines<'a, R> {
    /// The file, for warnings.
    path: &'a [u8],
    reader: R,
    /// Physical lines read.
    count: u32,
    /// The line in hand.
    text: Vec<u8>,
    error: Option<io::Error>,
}

impl<'a, R: BufRead> Lines<'a, R> {
    /// The lines that `reader` gives, which stand in the file `path`.
    pub(crate) fn of(reader: R, path: &'a [u8]) -> Self {
        Self { path, reader, count: 0, text: Vec::new(), error: None }
    }

    /// The next logical line: the number of its first physical line, and its text up to the first
    /// NUL, as C sees it.
    pub(crate) fn line(&mut self) -> Option<(u32, &[u8])> {
        loop {
            let number = self.logical()?;
            if !self.text.first().is_some_and(is_space) {
                let end = memchr::memchr(0, &self.text).unwrap_or(self.text.len());
                return Some((number, &self.text[..end]));
            }
            self.warn_start();
        }
    }

    /// Whether all could be read.
    pub(crate) fn end(self) -> io::Result<()> {
        self.error.map_or(Ok(()), Err)
    }

    /// Takes the next logical line in hand: the number of its first physical line.
    fn logical(&mut self) -> Option<u32> {
        self.text.clear();
        let mut first = 0;
        loop {
            let start = self.text.len();
            if !self.physical() {
                break;
            }
            match trim_start(&self.text[start..]).first() {
                None | Some(b'#') => self.text.truncate(start),
                _ if start == 0 => first = self.count,
                _ => {}
            }
            if !self.text.is_empty() && !self.goes_on() {
                break;
            }
        }
        (!self.text.is_empty()).then_some(first)
    }

    /// Adds the next physical line, without its newline; whether there was one.
    fn physical(&mut self) -> bool {
        match self.reader.read_until(b'\n', &mut self.text) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => {
                self.error = Some(error);
                return false;
            }
        }
        if self.text.ends_with(b"\n") {
            self.text.pop();
        }
        self.count = self.count.saturating_add(1);
        true
    }

    /// Whether the next physical line belongs to the one before.
    fn goes_on(&mut self) -> bool {
        let first = self.reader.fill_buf().ok().and_then(|text| text.first());
        first.is_some_and(|byte| *byte == b'#' || is_space(byte))
    }

    /// Says that a text begins with blanks but goes on with nothing.
    fn warn_start(&self) {
        let (text, dots) = match self.text.get(..30) {
            Some(head) if self.text.len() > 30 => (head, "..."),
            _ => (&self.text[..], ""),
        };
        warning!(
            "{}: logical line must not start with whitespace: \"{}{}\"",
            self.path,
            text,
            dots
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    fn lines(text: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let mut lines = Lines::of(text, b"/f");
        std::iter::from_fn(|| lines.line().map(|(number, text)| (number, text.to_vec()))).collect()
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
