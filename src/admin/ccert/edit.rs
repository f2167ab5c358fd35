//! An edit of the file of users, such that nobody ever sees half of it.
//!
//! It locks the file, writes a new one beside it with the same owner and mode, and renames it;
//! where postmap(1) makes an index of it, that runs too, and if it fails the old file comes back.
//! A symbolic link stays: what it leads to is edited.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::{Trouble, complain};
use super::users::{Row, Users, rows, without};
use crate::identity::Entry;
use crate::sys::lock;

/// So many links lead to a file at most.
const MOST_LINKS: usize = 40;

/// The locked file, before it changes.
#[derive(Debug)]
pub(super) struct Edit<'a> {
    users: &'a Users,
    /// Where the file really is.
    path: PathBuf,
    file: File,
    old: Vec<u8>,
    /// An empty file that was made for this edit goes again if nothing comes of it.
    made: bool,
}

impl<'a> Edit<'a> {
    /// Locks the file; `None`: it is not there, and `make` does not want it.
    pub(super) fn begin(users: &'a Users, make: bool) -> Result<Option<Self>, Trouble> {
        let path = real(&users.path);
        let made = make && !path.exists();
        let file = match lock(&path, make) {
            Ok(file) => file,
            Err(error) if !make && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(users.failed("open", &error)),
        };
        let mut edit = Self { users, path, file, old: Vec::new(), made };
        edit.file.read_to_end(&mut edit.old).map_err(|error| users.failed("read", &error))?;
        edit.made &= edit.old.is_empty();
        Ok(Some(edit))
    }

    /// Puts a row at the end; a row with the same key must not be there.
    pub(super) fn add(self, key: &str, entry: &Entry) -> Result<(), Trouble> {
        if let Some(old) = rows(&self.old).iter().find(|row| row.key.eq_ignore_ascii_case(key)) {
            let (path, line) = (self.users.path.display(), old.line);
            return Err(Trouble::Failed(format!("{path}, line {line}: {key} is there already")));
        }
        let mut new = self.old.clone();
        if new.last().is_some_and(|byte| *byte != b'\n') {
            new.push(b'\n');
        }
        new.extend(fill!("{} {}\n", key, entry.text()));
        self.change(&new)
    }

    /// Takes rows out; how many there were.
    pub(super) fn remove(self, which: impl Fn(&Row) -> bool) -> Result<usize, Trouble> {
        let going: Vec<Row> = rows(&self.old).into_iter().filter(|row| which(row)).collect();
        if !going.is_empty() {
            let new = without(&self.old, &going);
            self.change(&new)?;
        }
        Ok(going.len())
    }

    fn change(mut self, new: &[u8]) -> Result<(), Trouble> {
        self.replace(new)?;
        if self.users.indexed {
            if let Err(trouble) = index(self.users) {
                self.replace(&self.old)?;
                // It may have left half an index.
                if !self.made {
                    let _ = index(self.users);
                }
                return Err(trouble);
            }
        }
        self.made = false;
        Ok(())
    }

    fn replace(&self, text: &[u8]) -> Result<(), Trouble> {
        let failed = |error: &std::io::Error| self.users.failed("write", error);
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(format!(".new-{}", std::process::id()));
        let beside = Path::new(&beside);
        let about = self.file.metadata().map_err(|error| failed(&error))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(beside).map_err(|error| failed(&error))?;
        let written = file
            .write_all(text)
            .and_then(|()| fchown(&file, Some(about.uid()), Some(about.gid())))
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(about.mode() & 0o7777)))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(beside, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(beside);
        }
        written.map_err(|error| failed(&error))
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        if self.made {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where symbolic links lead, whether there is a file or not.
fn real(path: &Path) -> PathBuf {
    let mut real = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&real) else { break };
        real = real.parent().unwrap_or_else(|| Path::new("/")).join(target);
    }
    real
}

/// The file, locked; again if somebody has put another in its place meanwhile.
fn lock(path: &Path, make: bool) -> std::io::Result<File> {
    let mut told = false;
    loop {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(make).mode(0o644).open(path)?;
        if !lock::try_hold(&file)? {
            if !std::mem::replace(&mut told, true) {
                complain(&format!("waiting for the lock of {}", path.display()));
            }
            lock::hold(&file)?;
        }
        let ours = file.metadata()?;
        let there = fs::metadata(path);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
}

fn index(users: &Users) -> Result<(), Trouble> {
    let name = users.name();
    let output = Command::new("postmap")
        .arg("-c")
        .arg(&users.main_cf)
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

/// The usual one, and where administrators' programs are.
fn search_path() -> String {
    let usual = std::env::var("PATH").unwrap_or_default();
    format!("{usual}:/usr/local/sbin:/usr/sbin:/sbin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn scratch(name: &str) -> Users {
        let directory = std::env::temp_dir().join(format!("ccert-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("users");
        let _ = fs::remove_file(&path);
        Users { kind: "texthash", indexed: false, path, main_cf: PathBuf::new() }
    }

    fn alice() -> Entry {
        Entry::parse(b"alice").unwrap()
    }

    fn add(users: &Users, key: &str) -> Result<(), Trouble> {
        users.edit()?.add(key, &alice())
    }

    #[test]
    fn an_edit_keeps_mode_and_comments_and_leaves_nothing_beside() {
        let users = scratch("edit");
        fs::write(&users.path, b"# m\xfcller's").unwrap();
        fs::set_permissions(&users.path, fs::Permissions::from_mode(0o640)).unwrap();
        add(&users, "A:1").unwrap();
        add(&users, "B:2").unwrap();
        assert!(add(&users, "a:1").unwrap_err().to_string().contains("is there already"));
        let text = fs::read(&users.path).unwrap();
        assert_eq!(text, b"# m\xfcller's\nA:1 user=alice\nB:2 user=alice\n");
        assert_eq!(fs::metadata(&users.path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(users.remove(|row| row.key == "A:1").unwrap(), 1);
        assert_eq!(fs::read(&users.path).unwrap(), b"# m\xfcller's\nB:2 user=alice\n");
        assert_eq!(fs::read_dir(users.path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(users.path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let users = scratch("link");
        let directory = users.path.parent().unwrap();
        fs::create_dir_all(directory.join("real")).unwrap();
        symlink("real/users", &users.path).unwrap();
        for (key, text) in
            [("A:1", "A:1 user=alice\n"), ("B:2", "A:1 user=alice\nB:2 user=alice\n")]
        {
            add(&users, key).unwrap();
            assert_eq!(fs::read_link(&users.path).unwrap(), Path::new("real/users"));
            assert_eq!(fs::read_to_string(directory.join("real/users")).unwrap(), text);
        }
        assert_eq!(fs::read_dir(directory.join("real")).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_that_nothing_is_written_to_is_not_made() {
        let users = scratch("nothing");
        assert_eq!(users.remove(|_| true).unwrap(), 0);
        assert!(!users.path.exists());
        drop(users.edit().unwrap());
        assert!(!users.path.exists());
        fs::remove_dir_all(users.path.parent().unwrap()).unwrap();
    }

    #[test]
    fn edits_at_the_same_time_all_count() {
        let users = scratch("together");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let users = &users;
                scope.spawn(move || add(users, &format!("K:{number}")).unwrap());
            }
        });
        assert_eq!(users.rows().unwrap().len(), 8);
        fs::remove_dir_all(users.path.parent().unwrap()).unwrap();
    }
}
