//! main.cf: lines, names and values (postconf(5)).
//!
//! A logical line is a line and the lines after it that begin with white space; empty lines and
//! comments stand between or inside. Values stay as they are written until a parameter is loaded:
//! see [`super::expand`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::expand::{self, MacroError};
use crate::log::Fatal;
use crate::sys::file::read_rest;
use crate::text::split::NameValueError;

/// What `-o`, main.cf and the parameters loaded so far say: a text for each name.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    entries: HashMap<Cow<'static, [u8]>, Entry, BuildHasherDefault<NameHasher>>,
    /// Values can call functions.
    pub(super) functions: bool,
}

/// The names are those of the administrator, who does not choose them to collide: a quick hash
/// will do for hundreds of them at each start.
#[derive(Debug, Clone, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, mut bytes: &[u8]) {
        while let Some((word, rest)) = bytes.split_first_chunk() {
            self.write_u64(u64::from_ne_bytes(*word));
            bytes = rest;
        }
        let rest = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.write_u64(rest);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, _: usize) {
        // The length says nothing that the bytes don't say.
    }

    /// The table uses the low bits and the highest ones; the highest are the best mixed.
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    text: Cow<'static, [u8]>,
    /// By main.cf or `-o`, not as a default.
    set: bool,
}

impl Dictionary {
    /// An empty one, with room for so many names.
    pub(super) fn with_room(names: usize) -> Self {
        let entries = HashMap::with_capacity_and_hasher(names, BuildHasherDefault::default());
        Self { entries, ..Self::default() }
    }

    /// The text of `name`, not expanded.
    pub fn raw(&self, name: &[u8]) -> Option<&[u8]> {
        self.entries.get(name).map(|entry| &*entry.text)
    }

    /// The text of `name`, expanded.
    pub fn evaluated(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Fatal> {
        self.raw(name).map(|text| self.expanded(text)).transpose()
    }

    /// `text` with what its `$name` stand for at this moment.
    pub fn expanded(&self, text: &[u8]) -> Result<Vec<u8>, Fatal> {
        if memchr::memchr(b'$', text).is_none() {
            return Ok(text.to_vec());
        }
        let lookup = |name: &[u8]| self.raw(name).map(Cow::Borrowed);
        match expand::recursively(text, self.functions, &lookup) {
            Ok(expanded) => Ok(expanded.text),
            Err(MacroError::Fatal(text)) => Err(Fatal(text)),
            Err(MacroError::Syntax(text)) => {
                warning!("{}", text);
                Err(fatal!("dictionary mail_dict: macro processing error"))
            }
        }
    }

    /// Whether main.cf or `-o` has `name`.
    pub fn is_set(&self, name: &[u8]) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.set)
    }

    /// Gives `name` a text, as main.cf and `-o` do.
    pub fn set(&mut self, name: &[u8], text: &[u8]) {
        let entry = Entry { text: Cow::Owned(text.to_vec()), set: true };
        self.entries.insert(Cow::Owned(name.to_vec()), entry);
    }

    /// Forgets what main.cf and `-o` say of `name`.
    pub(crate) fn unset(&mut self, name: &[u8]) {
        self.entries.remove(name);
    }

    /// Gives `name` the text of its default.
    pub fn set_default(&mut self, name: &'static str, text: Cow<'static, [u8]>) {
        let entry = Entry { text, set: false };
        self.entries.insert(Cow::Borrowed(name.as_bytes()), entry);
    }

    /// The text of `name`, expanded; where it has none, `default` becomes its text.
    pub(super) fn evaluated_or(
        &mut self,
        name: &'static str,
        default: &'static str,
    ) -> Result<Cow<'static, [u8]>, Fatal> {
        let missing = || Entry { text: Cow::Borrowed(default.as_bytes()), set: false };
        let entry = self.entries.entry(Cow::Borrowed(name.as_bytes())).or_insert_with(missing);
        let text = entry.text.clone();
        if memchr::memchr(b'$', &text).is_none() {
            Ok(text)
        } else {
            self.expanded(&text).map(Cow::Owned)
        }
    }

    /// Takes `name` out, to be put back.
    pub(super) fn take(&mut self, name: &str) -> Option<Entry> {
        self.entries.remove(name.as_bytes())
    }

    /// Puts back what [`Dictionary::take`] gave.
    pub(super) fn put_back(&mut self, name: &'static str, entry: Option<Entry>) {
        self.entries.remove(name.as_bytes());
        if let Some(entry) = entry {
            self.entries.insert(Cow::Borrowed(name.as_bytes()), entry);
        }
    }

    /// Whether a text of main.cf or `-o` asks for the value of `name`.
    pub(super) fn mentions(&self, name: &str) -> bool {
        let mut texts = self.entries.values().filter(|entry| entry.set).map(|entry| &*entry.text);
        texts.any(|text| {
            memchr::memchr(b'$', text).is_some()
                && memchr::memmem::find(text, name.as_bytes()).is_some()
        })
    }

    /// Sets what the operand of `-o` says: `name = value`.
    pub fn set_operand(&mut self, operand: &[u8]) -> Result<(), NameValueError> {
        let (name, value) = name_value(until_nul(operand))?;
        self.set(name, value);
        Ok(())
    }

    /// Reads all of `text`, whose lines came from `path`.
    pub fn read_text(&mut self, path: &[u8], text: &[u8]) -> Result<(), Fatal> {
        for line in LogicalLines::of(text) {
            let content = until_nul(&line.text);
            if content.len() < line.text.len() {
                warn_of_nul(path, &line);
            }
            if content.first().is_some_and(|byte| is_space(*byte)) {
                let (start, more) = match content.get(..30) {
                    Some(start) if content.len() > 30 => (start, "..."),
                    _ => (content, ""),
                };
                warning!(
                    "{}: logical line must not start with whitespace: \"{}{}\"",
                    path,
                    start,
                    more
                );
                continue;
            }
            let (name, value) = name_value(content).map_err(|error| {
                let error = error.to_string();
                fatal!("{}, line {}: {}: \"{}\"", path, line.number, error, content)
            })?;
            self.warn_of_override(path, line.number, name, value);
            self.set(name, value);
        }
        Ok(())
    }

    fn warn_of_override(&self, path: &[u8], line: usize, name: &[u8], value: &[u8]) {
        if let Some(old) = self.raw(name).filter(|old| *old != value) {
            warning!("{}, line {}: overriding earlier entry: {}={}", path, line, name, old);
        }
    }

    /// Reads the file `path`; again and again while it is being edited.
    pub fn read_file(&mut self, path: &Path) -> Result<(), Fatal> {
        let shown = path.as_os_str().as_bytes();
        let mut before = SystemTime::now();
        loop {
            let mut file = File::open(path).map_err(|error| fatal!("open {}: {}", shown, error))?;
            let about = file.metadata().map_err(|error| fatal!("fstat {}: {}", shown, error))?;
            let text = read_rest(&mut file).map_err(|error| fatal!("read {}: {}", shown, error))?;
            self.read_text(shown, &text)?;
            let after = SystemTime::now();
            if !is_hot(about.modified().unwrap_or(SystemTime::UNIX_EPOCH), before, after) {
                return Ok(());
            }
            before = after;
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// Whether a file of that age may be half written: changed since a second before we began.
fn is_hot(modified: SystemTime, before: SystemTime, after: SystemTime) -> bool {
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    };
    let modified = seconds(modified);
    modified + 1 >= seconds(before) && modified <= seconds(after)
}

/// A line and its continuations.
#[derive(Debug, PartialEq, Eq)]
pub struct LogicalLine<'a> {
    /// Without line ends; the blanks at the start of continuations stay.
    pub text: Cow<'a, [u8]>,
    /// Of its first line that is no comment; from 1.
    pub number: usize,
    /// Of its last line.
    pub last: usize,
}

/// The logical lines of a text. As Postfix: `readllines()`, but a line that begins with white
/// space and continues nothing is left to the caller.
#[derive(Debug)]
pub struct LogicalLines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> LogicalLines<'a> {
    /// The lines of `text`.
    pub fn of(text: &'a [u8]) -> Self {
        Self { rest: text, number: 0 }
    }

    fn physical(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = memchr::memchr(b'\n', self.rest);
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        Some(line)
    }

    fn continues(&self) -> bool {
        self.rest.first().is_some_and(|byte| is_space(*byte) || *byte == b'#')
    }
}

impl<'a> Iterator for LogicalLines<'a> {
    type Item = LogicalLine<'a>;

    fn next(&mut self) -> Option<LogicalLine<'a>> {
        let mut logical: Option<LogicalLine<'a>> = None;
        while let Some(line) = self.physical() {
            let blank = line.iter().find(|byte| !is_space(**byte)).is_none_or(|byte| *byte == b'#');
            if !blank {
                match &mut logical {
                    None => {
                        logical =
                            Some(LogicalLine { text: line.into(), number: self.number, last: 0 });
                    }
                    Some(logical) => logical.text.to_mut().extend_from_slice(line),
                }
            }
            if logical.is_some() && !self.continues() {
                break;
            }
        }
        if let Some(logical) = &mut logical {
            logical.last = self.number;
        }
        logical
    }
}

/// As Postfix from 3.9 on; before, nobody is told.
fn warn_of_nul(path: &[u8], line: &LogicalLine<'_>) {
    let text = "text after null byte may be ignored";
    if line.number == line.last {
        warning!("{}, line {}: {}", path, line.number, text);
    } else {
        warning!("{}, line {}-{}: {}", path, line.number, line.last, text);
    }
}

/// White space as in C, ASCII only.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// C ends a text at its first NUL; so do we, that nothing counts for us alone.
fn until_nul(text: &[u8]) -> &[u8] {
    memchr::memchr(0, text).map_or(text, |end| &text[..end])
}

pub(super) fn trim(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|byte| !is_space(*byte)) else {
        return &[];
    };
    let end = text.iter().rposition(|byte| !is_space(*byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// `name = value` without the blanks around both. As Postfix: `split_nameval()`.
pub(crate) fn name_value(text: &[u8]) -> Result<(&[u8], &[u8]), NameValueError> {
    let text = trim(text);
    let len = text.iter().position(|byte| is_space(*byte) || *byte == b'=').unwrap_or(text.len());
    let (name, rest) = text.split_at(len);
    if name.is_empty() {
        return Err(NameValueError::Name);
    }
    let value = trim(rest).strip_prefix(b"=").ok_or(NameValueError::Equal)?;
    Ok((name, trim(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    fn lines(text: &[u8]) -> Vec<(usize, Vec<u8>)> {
        LogicalLines::of(text).map(|line| (line.number, line.text.into_owned())).collect()
    }

    #[test]
    fn lines_that_begin_with_blanks_continue() {
        assert_eq!(
            lines(b"# x\na = b\n\n # comment\n c\n#\n\td\n\ne = f"),
            [(2, b"a = b c\td".to_vec()), (9, b"e = f".to_vec())]
        );
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\n \n#\n"), []);
    }

    #[test]
    fn a_comment_at_the_end_is_data() {
        let mut dictionary = Dictionary::default();
        dictionary.read_text(b"main.cf", b"a = b # c\n").unwrap();
        assert_eq!(dictionary.raw(b"a"), Some(&b"b # c"[..]));
    }

    #[test]
    fn a_continuation_of_nothing_is_dropped() {
        let mut dictionary = Dictionary::default();
        dictionary.read_text(b"main.cf", b"  a = b\n c\nd = e\n").unwrap();
        assert_eq!(dictionary.raw(b"a"), None);
        assert_eq!(dictionary.raw(b"d"), Some(&b"e"[..]));
    }

    #[test]
    fn the_last_entry_wins() {
        let mut dictionary = Dictionary::default();
        dictionary.read_text(b"main.cf", b"a=b\na = \x0b c d\r\n").unwrap();
        assert_eq!(dictionary.raw(b"a"), Some(&b"c d"[..]));
    }

    #[test]
    fn what_follows_a_nul_is_not_seen() {
        let mut dictionary = Dictionary::default();
        dictionary.read_text(b"main.cf", b"a=b\0c\n d\n").unwrap();
        assert_eq!(dictionary.raw(b"a"), Some(&b"b"[..]));
        captured::take();
        dictionary.read_text(b"main.cf", b"x=\0\n").unwrap();
        dictionary.read_text(b"main.cf", b"\ny=\0c\n d\n").unwrap();
        assert_eq!(
            captured::take(),
            [
                "warning: main.cf, line 1: text after null byte may be ignored",
                "warning: main.cf, line 2-3: text after null byte may be ignored"
            ]
        );
    }

    #[test]
    fn lines_may_be_long_and_many() {
        let long = vec![b'x'; 1 << 20];
        let mut dictionary = Dictionary::default();
        let text =
            [&b"a = "[..], &long, b"\n b = ", &long, b"\n", &b" c\n".repeat(100_000)].concat();
        dictionary.read_text(b"main.cf", &text).unwrap();
        assert_eq!(dictionary.raw(b"a").unwrap().len(), (2 << 20) + 5 + 200_000);
        let error = dictionary.read_text(b"main.cf", &long).unwrap_err();
        assert!(error.0.starts_with(b"main.cf, line 1: missing '=' after attribute name: \"xxx"));
        let many = b"a = b\n".repeat(100_000);
        dictionary.read_text(b"main.cf", &many).unwrap();
        let garbage: Vec<u8> =
            (0..1 << 16).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let _ = dictionary.read_text(b"main.cf", &garbage);
    }

    #[test]
    fn wrong_lines_are_named_with_their_number() {
        let read = |text: &[u8]| Dictionary::default().read_text(b"/x/main.cf", text);
        assert_eq!(
            read(b"\na b\n").unwrap_err().0,
            b"/x/main.cf, line 2: missing '=' after attribute name: \"a b\""
        );
        assert_eq!(
            read(b"= b\n").unwrap_err().0,
            b"/x/main.cf, line 1: missing attribute name: \"= b\""
        );
    }

    #[test]
    fn operands_are_as_lines() {
        let mut dictionary = Dictionary::default();
        dictionary.set_operand(b"a = x y ").unwrap();
        assert_eq!(dictionary.raw(b"a"), Some(&b"x y"[..]));
        assert!(dictionary.is_set(b"a"));
        assert_eq!(dictionary.set_operand(b"a"), Err(NameValueError::Equal));
    }

    #[test]
    fn a_file_is_hot_for_a_second() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(is_hot(at(99), at(100), at(100)));
        assert!(!is_hot(at(98), at(100), at(100)));
        assert!(!is_hot(at(101), at(100), at(100)));
    }
}
