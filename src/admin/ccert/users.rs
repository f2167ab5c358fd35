//! The file of users, as people read it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::super::Trouble;
use super::edit::Edit;
use crate::config::Config;
use crate::identity::Entry;
use crate::text::split::{COMMA_SPACE, words_braced};

/// Table types that are a file of text, and whether postmap(1) indexes it.
const KINDS: &[(&str, bool)] =
    &[("texthash", false), ("hash", true), ("btree", true), ("lmdb", true), ("cdb", true)];

/// Where users stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Users {
    pub(super) kind: &'static str,
    pub(super) indexed: bool,
    pub(super) path: PathBuf,
    /// The directory of main.cf, for postmap(1).
    pub(super) main_cf: PathBuf,
}

/// A line of the file with what continues it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    /// From 1.
    pub(super) line: usize,
}

impl Row {
    /// What the value means; `None`: it is wrong.
    pub(super) fn entry(&self) -> Option<Entry> {
        Entry::parse(&self.value).ok()
    }
}

impl Users {
    /// The first table of a list that can be edited.
    pub(super) fn first_of(list: &[u8], config: &Config) -> Option<Self> {
        let main_cf = Path::new(OsStr::from_bytes(&config.config_directory));
        words_braced(list, COMMA_SPACE).find_map(|word| Self::parse(word, main_cf))
    }

    /// Types that can be edited, for people.
    pub(super) fn kinds() -> String {
        KINDS.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(", ")
    }

    fn parse(word: &[u8], main_cf: &Path) -> Option<Self> {
        let colon = memchr::memchr(b':', word)?;
        let (kind, indexed) =
            KINDS.iter().copied().find(|(kind, _)| kind.as_bytes() == &word[..colon])?;
        let path = PathBuf::from(OsStr::from_bytes(&word[colon + 1..]));
        let main_cf = main_cf.to_owned();
        path.is_absolute().then_some(Self { kind, indexed, path, main_cf })
    }

    /// `type:file`
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.kind, self.path.display())
    }

    /// All rows; none where there is no file yet.
    pub(super) fn rows(&self) -> Result<Vec<Row>, Trouble> {
        match fs::read(&self.path) {
            Ok(text) => Ok(rows(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    /// Begins an edit: of a file that is made if it is not there.
    pub(super) fn edit(&self) -> Result<Edit<'_>, Trouble> {
        Edit::begin(self, true)?.ok_or_else(|| Trouble::Failed(format!("no {}", self.name())))
    }

    /// Takes rows out; how many there were.
    pub(super) fn remove(&self, which: impl Fn(&Row) -> bool) -> Result<usize, Trouble> {
        Edit::begin(self, false)?.map_or(Ok(0), |edit| edit.remove(which))
    }

    pub(super) fn failed(&self, what: &str, error: &std::io::Error) -> Trouble {
        Trouble::Failed(format!("{what} {}: {error}", self.path.display()))
    }
}

/// A line without entry: readers of tables skip it, also within an entry.
fn is_skipped(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), None | Some(b'#'))
}

/// Whether a line belongs to the entry before it.
fn continues(line: &[u8]) -> bool {
    line.starts_with(b" ") || line.starts_with(b"\t")
}

/// The entries of a text.
pub(super) fn rows(text: &[u8]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        if is_skipped(line) {
            continue;
        }
        if continues(line) {
            if let Some(row) = rows.last_mut() {
                row.value.push(b' ');
                row.value.extend(line.trim_ascii());
            }
            continue;
        }
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (key, value) = line.split_at(end);
        let key = String::from_utf8_lossy(key).into_owned();
        rows.push(Row { key, value: value.trim_ascii().to_vec(), line: number });
    }
    rows
}

/// The text without these rows and what continues them.
pub(super) fn without(text: &[u8], going: &[Row]) -> Vec<u8> {
    let (mut out, mut skipping) = (Vec::new(), false);
    for (line, number) in text.split_inclusive(|byte| *byte == b'\n').zip(1..) {
        let skipped = is_skipped(line);
        if !skipped && !continues(line) {
            skipping = going.iter().any(|row| row.line == number);
        }
        if skipped || !skipping {
            out.extend(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# users\nA:1 alice\n\nB:2 user=bob,\n# inside\n  device=phone\n# end\nC:3 x";

    fn row(key: &str, value: &str, line: usize) -> Row {
        Row { key: key.to_owned(), value: value.into(), line }
    }

    #[test]
    fn rows_are_read_with_what_continues_them() {
        let wanted =
            [row("A:1", "alice", 2), row("B:2", "user=bob, device=phone", 4), row("C:3", "x", 8)];
        let found = rows(TEXT.as_bytes());
        assert_eq!(found, wanted);
        assert_eq!(found[1].entry().unwrap().device.as_deref(), Some(&b"phone"[..]));
    }

    #[test]
    fn a_row_goes_with_what_continues_it_and_nothing_else() {
        let text = TEXT.as_bytes();
        let left = without(text, &rows(text)[1..2]);
        assert_eq!(left, b"# users\nA:1 alice\n\n# inside\n# end\nC:3 x");
        assert_eq!(without(text, &[]), text);
    }

    #[test]
    fn only_tables_of_text_can_be_edited() {
        let parse = |word| Users::parse(word, Path::new("/etc/postfix"));
        assert!(parse(b"pcre:/x").is_none() && parse(b"texthash:x").is_none());
        assert_eq!(parse(b"hash:/etc/users").unwrap().name(), "hash:/etc/users");
    }
}
