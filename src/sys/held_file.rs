//! A file by its name, held so that one can tell later whether another is there now: after chroot(2)
//! and without the right to read it.
//!
//! A file that is not there yet can be held too ([`HeldFile::expect`]): by the last directory on the way
//! to it that is there.
//!
//! What is held are references to the file and to each symbolic link on the way to it (O_PATH).
//! Replaced by rename(2), they have no link left; written in place, they have another time. That
//! takes one fstat(2) each. inotify(7) would tell sooner, but a user can have 128 instances of it on a
//! usual system, and hundreds of processes of one service are usual, too.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2, readlink};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};

/// More links than any path should have.
const MOST_LINKS: usize = 40;

/// A file that may be replaced.
#[derive(Debug)]
pub struct HeldFile {
    held: Vec<Held>,
    missing: Option<Missing>,
}

/// A file that is not there: a directory, and its name from there.
#[derive(Debug)]
struct Missing {
    directory: Held,
    name: PathBuf,
}

/// How a file is opened that is only referred to.
const REFERENCE: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

#[derive(Debug)]
struct Held {
    fd: OwnedFd,
    modified: (i64, i64),
}

impl HeldFile {
    /// Holds the file `path`; a file that is not there is none.
    pub fn hold(path: &Path) -> io::Result<Self> {
        if let Some(file) = Self::without_links(path) {
            return Ok(file);
        }
        let mut held = Vec::new();
        let end = follow(path, &mut held)?;
        held.push(Held::open(&end)?);
        Ok(Self { held, missing: None })
    }

    /// Holds the file `path`, or the place where it is to be.
    pub fn expect(path: &Path) -> io::Result<Self> {
        if let Some(file) = Self::without_links(path) {
            return Ok(file);
        }
        let mut held = Vec::new();
        let end = follow(path, &mut held)?;
        match Held::open(&end) {
            Ok(file) => held.push(file),
            Err(error) if is_absence(&error) => {
                return Ok(Self { held, missing: Some(Missing::at(&end)?) });
            }
            Err(error) => return Err(error),
        }
        Ok(Self { held, missing: None })
    }

    /// Holds a file that is there, if no link is on the way to it. `None`, too, where the kernel can't
    /// tell (before Linux 5.6).
    fn without_links(path: &Path) -> Option<Self> {
        // With O_NOFOLLOW a link at the end would be opened itself.
        let flags = REFERENCE.difference(OFlag::O_NOFOLLOW);
        let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let file = Held::of(openat2(AT_FDCWD, path, how).ok()?).ok()?;
        Some(Self { held: vec![file], missing: None })
    }

    /// When another file or other content came there; `None`: it is as it was.
    pub fn changed(&self) -> Option<SystemTime> {
        let came = self.missing.as_ref().and_then(Missing::came);
        self.held.iter().filter_map(Held::changed).chain(came).max()
    }
}

/// Goes along a path, and holds each symbolic link on it; gives where it ends.
fn follow(path: &Path, held: &mut Vec<Held>) -> io::Result<PathBuf> {
    let mut rest: Vec<PathBuf> = vec![path.to_path_buf()];
    let mut here = if path.is_absolute() { PathBuf::from("/") } else { PathBuf::from(".") };
    let mut links = 0;
    while let Some(next) = rest.pop() {
        let mut components = next.components();
        let Some(component) = components.next() else { continue };
        rest.push(components.as_path().to_path_buf());
        match component {
            Component::RootDir => here = PathBuf::from("/"),
            Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => here.push(".."),
            Component::Normal(name) => {
                let place = here.join(name);
                let Ok(target) = readlink(&place) else {
                    here = place;
                    continue;
                };
                links += 1;
                if links > MOST_LINKS {
                    return Err(nix::errno::Errno::ELOOP.into());
                }
                held.push(Held::open(&place)?);
                rest.push(PathBuf::from(target));
            }
        }
    }
    Ok(here)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

impl Missing {
    fn at(path: &Path) -> io::Result<Self> {
        for directory in path.ancestors().skip(1) {
            let place = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            match Held::open(place) {
                Ok(directory_held) => {
                    let name = path.strip_prefix(directory).unwrap_or(path).to_path_buf();
                    return Ok(Self { directory: directory_held, name });
                }
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// When the file came. Where we may not look for it, anything that comes into its directory
    /// may be it.
    fn came(&self) -> Option<SystemTime> {
        match fstatat(&self.directory.fd, &self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(status) => time_of(&status),
            Err(Errno::EACCES) => self.directory.changed(),
            Err(_) => None,
        }
    }
}

impl Held {
    fn open(path: &Path) -> io::Result<Self> {
        Self::of(open(path, REFERENCE, Mode::empty())?)
    }

    fn of(fd: OwnedFd) -> io::Result<Self> {
        let modified = modified(&fstat(&fd)?);
        Ok(Self { fd, modified })
    }

    /// The time of its last change: being written, or losing its name, is one.
    fn changed(&self) -> Option<SystemTime> {
        let now = fstat(&self.fd).ok()?;
        if now.st_nlink > 0 && modified(&now) == self.modified {
            return None;
        }
        time_of(&now)
    }
}

/// When a file was put there, or changed in any way.
fn time_of(status: &FileStat) -> Option<SystemTime> {
    let seconds = u64::try_from(status.st_ctime).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn modified(status: &FileStat) -> (i64, i64) {
    (status.st_mtime, status.st_mtime_nsec)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("held-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_that_is_replaced_or_removed_has_changed() {
        let scratch = Scratch::new("replaced");
        let path = scratch.write("cert", "old");
        let held = HeldFile::hold(&path).unwrap();
        assert_eq!(held.changed(), None);
        fs::rename(scratch.write("cert.new", "new"), &path).unwrap();
        assert!(held.changed().is_some());
        let held = HeldFile::hold(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(held.changed().is_some());
    }

    #[test]
    fn a_file_that_is_written_again_has_changed() {
        let scratch = Scratch::new("written");
        let path = scratch.write("cert", "old");
        let long_ago = UNIX_EPOCH;
        fs::File::options().append(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        let held = HeldFile::hold(&path).unwrap();
        scratch.write("cert", "new");
        assert!(held.changed().is_some());
    }

    #[test]
    fn links_on_the_way_count() {
        let scratch = Scratch::new("links");
        fs::create_dir(scratch.0.join("one")).unwrap();
        fs::create_dir(scratch.0.join("two")).unwrap();
        scratch.write("one/cert", "1");
        scratch.write("two/cert", "2");
        symlink("one", scratch.0.join("data")).unwrap();
        symlink("data/cert", scratch.0.join("cert")).unwrap();
        let held = HeldFile::hold(&scratch.0.join("cert")).unwrap();
        assert_eq!(held.changed(), None);
        symlink("two", scratch.0.join("data.new")).unwrap();
        fs::rename(scratch.0.join("data.new"), scratch.0.join("data")).unwrap();
        assert!(held.changed().is_some());
    }

    #[test]
    fn a_file_that_was_missing_comes() {
        let scratch = Scratch::new("comes");
        let (path, link) = (scratch.0.join("crl"), scratch.0.join("link"));
        symlink("crl", &link).unwrap();
        let deep = HeldFile::expect(&scratch.0.join("a/b/c")).unwrap();
        let held = [HeldFile::expect(&path).unwrap(), HeldFile::expect(&link).unwrap()];
        scratch.write("other", "x");
        assert!(held.iter().all(|file| file.changed().is_none()));
        scratch.write("crl", "new");
        assert!(held.iter().all(|file| file.changed().is_some()));
        assert_eq!(deep.changed(), None);
        fs::create_dir_all(scratch.0.join("a/b")).unwrap();
        assert_eq!(deep.changed(), None);
        scratch.write("a/b/c", "x");
        assert!(deep.changed().is_some());
        assert_eq!(HeldFile::expect(&path).unwrap().changed(), None);
    }

    #[test]
    fn what_is_not_there_cannot_be_held() {
        let scratch = Scratch::new("missing");
        assert!(HeldFile::hold(&scratch.0.join("x")).is_err());
        symlink("loop", scratch.0.join("loop")).unwrap();
        assert!(HeldFile::hold(&scratch.0.join("loop")).is_err());
    }
}
