//! The file of users: read for people, edited so that nobody ever sees half of it.
//!
//! An edit locks the file, writes a new one beside it with the same owner and mode, and renames it;
//! where postmap(1) makes an index of it, that runs too, and if it fails the old file comes back.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::Trouble;
use crate::config::Config;
use crate::identity::Entry;
use crate::sys::lock;
use crate::text::split::{COMMA_SPACE, words_braced};

/// Table types that are a file of text, and whether postmap(1) indexes it.
const KINDS: &[(&str, bool)] =
    &[("texthash", false), ("hash", true), ("btree", true), ("lmdb", true), ("cdb", true)];

/// Where users stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Users {
    kind: &'static str,
    indexed: bool,
    pub(super) path: PathBuf,
}

/// A line of the file with what continues it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) value: String,
    /// From 1.
    pub(super) line: usize,
}

impl Row {
    /// What the value means; `None`: it is wrong.
    pub(super) fn entry(&self) -> Option<Entry> {
        Entry::parse(self.value.as_bytes()).ok()
    }
}

impl Users {
    /// `type:file`, or the first such table of smtpd_tls_ccert_user_maps.
    pub(super) fn find(config: &Config, wanted: Option<&str>) -> Result<Self, Trouble> {
        let list = match wanted {
            Some(wanted) => wanted.as_bytes().to_vec(),
            None => config.smtpd_tls_ccert_user_maps.clone(),
        };
        let found = words_braced(&list, COMMA_SPACE).find_map(Self::parse);
        found.ok_or_else(|| {
            let types: Vec<_> = KINDS.iter().map(|(kind, _)| *kind).collect();
            let types = types.join(", ");
            Trouble::Failed(match wanted {
                Some(wanted) => format!("\"{wanted}\" is no table that can be edited ({types})"),
                None => format!(
                    "smtpd_tls_ccert_user_maps names no table that can be edited ({types}); \
                     name one with --table"
                ),
            })
        })
    }

    fn parse(word: &[u8]) -> Option<Self> {
        let colon = memchr::memchr(b':', word)?;
        let (kind, indexed) =
            KINDS.iter().copied().find(|(kind, _)| kind.as_bytes() == &word[..colon])?;
        let path = PathBuf::from(OsStr::from_bytes(&word[colon + 1..]));
        path.is_absolute().then_some(Self { kind, indexed, path })
    }

    /// `type:file`
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.kind, self.path.display())
    }

    /// All rows; none where there is no file yet.
    pub(super) fn rows(&self) -> Result<Vec<Row>, Trouble> {
        match fs::read(&self.path) {
            Ok(text) => Ok(rows(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    /// Puts a row at the end; a row with the same key must not be there.
    pub(super) fn add(&self, key: &str, entry: &Entry) -> Result<(), Trouble> {
        let row = format!("{key} {}\n", String::from_utf8_lossy(&entry.text()));
        self.edit(|text| {
            if let Some(old) = rows(text).iter().find(|row| row.key.eq_ignore_ascii_case(key)) {
                let (path, line) = (self.path.display(), old.line);
                return Err(Trouble::Failed(format!(
                    "{path}, line {line}: {key} is there already"
                )));
            }
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            Ok(format!("{text}{gap}{row}"))
        })
    }

    /// Takes rows out; how many there were.
    pub(super) fn remove(&self, which: impl Fn(&Row) -> bool) -> Result<usize, Trouble> {
        let mut removed = 0;
        self.edit(|text| {
            let going: Vec<Row> = rows(text).into_iter().filter(|row| which(row)).collect();
            removed = going.len();
            Ok(without(text, &going))
        })?;
        Ok(removed)
    }

    fn edit(&self, change: impl FnOnce(&str) -> Result<String, Trouble>) -> Result<(), Trouble> {
        let mut lock = self.lock()?;
        let mut old = String::new();
        lock.read_to_string(&mut old).map_err(|error| self.failed("read", &error))?;
        let new = change(&old)?;
        if new == old {
            return Ok(());
        }
        self.replace(&lock, &new)?;
        if self.indexed {
            if let Err(trouble) = self.index() {
                self.replace(&lock, &old)?;
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// The file, locked; again if somebody has put another in its place meanwhile.
    fn lock(&self) -> Result<File, Trouble> {
        loop {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o644);
            let file = options.open(&self.path).map_err(|error| self.failed("open", &error))?;
            lock::hold(&file).map_err(|error| self.failed("lock", &error))?;
            let ours = file.metadata().map_err(|error| self.failed("fstat", &error))?;
            let there = fs::metadata(&self.path);
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                return Ok(file);
            }
        }
    }

    fn replace(&self, old: &File, text: &str) -> Result<(), Trouble> {
        let failed = |error: &std::io::Error| self.failed("write", error);
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(format!(".new-{}", std::process::id()));
        let beside = Path::new(&beside);
        let about = old.metadata().map_err(|error| failed(&error))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(beside).map_err(|error| failed(&error))?;
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| fchown(&file, Some(about.uid()), Some(about.gid())))
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(about.mode() & 0o7777)))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(beside, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(beside);
        }
        written.map_err(|error| failed(&error))
    }

    fn index(&self) -> Result<(), Trouble> {
        let name = self.name();
        let output = Command::new("postmap")
            .arg(&name)
            .env("PATH", search_path())
            .output()
            .map_err(|error| Trouble::Failed(format!("postmap: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Trouble::Failed(format!("postmap {name} failed, nothing was changed: {said}")))
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> Trouble {
        Trouble::Failed(format!("{what} {}: {error}", self.path.display()))
    }
}

/// The usual one, and where administrators' programs are.
fn search_path() -> String {
    let usual = std::env::var("PATH").unwrap_or_default();
    format!("{usual}:/usr/local/sbin:/usr/sbin:/sbin")
}

/// Whether a line belongs to the entry before it.
fn continues(line: &str) -> bool {
    line.starts_with([' ', '\t']) && !line.trim().is_empty()
}

fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if continues(line) {
            if let Some(row) = rows.last_mut() {
                row.value = format!("{} {}", row.value, line.trim());
            }
            continue;
        }
        let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        rows.push(Row { key: key.to_owned(), value: value.trim().to_owned(), line: at + 1 });
    }
    rows
}

/// The text without these rows and what continues them.
fn without(text: &str, going: &[Row]) -> String {
    let (mut out, mut skipping) = (String::new(), false);
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let goes = going.iter().any(|row| row.line == at + 1);
        skipping = goes || skipping && continues(line);
        if !skipping {
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# users\nA:1 alice\n\nB:2 user=bob,\n  device=phone\n# end\nC:3 x";

    fn row(key: &str, value: &str, line: usize) -> Row {
        Row { key: key.to_owned(), value: value.to_owned(), line }
    }

    #[test]
    fn rows_are_read_with_what_continues_them() {
        let wanted =
            [row("A:1", "alice", 2), row("B:2", "user=bob, device=phone", 4), row("C:3", "x", 7)];
        assert_eq!(rows(TEXT), wanted);
        assert_eq!(rows(TEXT)[1].entry().unwrap().device.as_deref(), Some(&b"phone"[..]));
    }

    #[test]
    fn a_row_goes_with_what_continues_it_and_nothing_else() {
        assert_eq!(without(TEXT, &rows(TEXT)[1..2]), "# users\nA:1 alice\n\n# end\nC:3 x");
        assert_eq!(without(TEXT, &[]), TEXT);
    }

    fn scratch(name: &str) -> Users {
        let directory = std::env::temp_dir().join(format!("ccert-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("users");
        let _ = fs::remove_file(&path);
        Users { kind: "texthash", indexed: false, path }
    }

    fn alice() -> Entry {
        Entry::parse(b"alice").unwrap()
    }

    #[test]
    fn an_edit_keeps_mode_and_comments_and_leaves_nothing_beside() {
        let users = scratch("edit");
        fs::write(&users.path, "# mine").unwrap();
        fs::set_permissions(&users.path, fs::Permissions::from_mode(0o640)).unwrap();
        users.add("A:1", &alice()).unwrap();
        users.add("B:2", &alice()).unwrap();
        assert!(users.add("a:1", &alice()).unwrap_err().to_string().contains("is there already"));
        let text = fs::read_to_string(&users.path).unwrap();
        assert_eq!(text, "# mine\nA:1 user=alice\nB:2 user=alice\n");
        assert_eq!(fs::metadata(&users.path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(users.remove(|row| row.key == "A:1").unwrap(), 1);
        assert_eq!(fs::read_to_string(&users.path).unwrap(), "# mine\nB:2 user=alice\n");
        assert_eq!(fs::read_dir(users.path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(users.path.parent().unwrap()).unwrap();
    }

    #[test]
    fn edits_at_the_same_time_all_count() {
        let users = scratch("together");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let users = &users;
                scope.spawn(move || users.add(&format!("K:{number}"), &alice()).unwrap());
            }
        });
        assert_eq!(users.rows().unwrap().len(), 8);
        fs::remove_dir_all(users.path.parent().unwrap()).unwrap();
    }

    #[test]
    fn only_tables_of_text_can_be_edited() {
        assert!(Users::parse(b"pcre:/x").is_none() && Users::parse(b"texthash:x").is_none());
        assert_eq!(Users::parse(b"hash:/etc/users").unwrap().name(), "hash:/etc/users");
    }
}
