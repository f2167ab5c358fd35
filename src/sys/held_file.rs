//! A file by its name, held so that one can tell later whether another is there now: after chroot(2)
//! and without the right to read it.
//!
//! What is held are references to the file and to each symbolic link on the way to it (O_PATH).
//! Replaced by rename(2), they have no link left; written in place, they have another time. That
//! takes one fstat(2) each. inotify(7) would tell sooner, but a user can have 128 instances of it on a
//! usual system, and hundreds of processes of one service are usual, too.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::{OFlag, open, readlink};
use nix::sys::stat::{FileStat, Mode, fstat};

/// More links than any path should have.
const MOST_LINKS: usize = 40;

/// A file that may be replaced.
#[derive(Debug)]
pub struct HeldFile {
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    fd: OwnedFd,
    modified: (i64, i64),
}

impl HeldFile {
    /// Holds the file `path`; a file that is not there is none.
    pub fn hold(path: &Path) -> io::Result<Self> {
        let mut held = Vec::new();
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
        held.push(Held::open(&here)?);
        Ok(Self { held })
    }

    /// When another file or other content came there; `None`: it is as it was.
    pub fn changed(&self) -> Option<SystemTime> {
        self.held.iter().filter_map(Held::changed).max()
    }
}

impl Held {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = open(path, flags, Mode::empty())?;
        let modified = modified(&fstat(&fd)?);
        Ok(Self { fd, modified })
    }

    /// The time of its last change: being written, or losing its name, is one.
    fn changed(&self) -> Option<SystemTime> {
        let now = fstat(&self.fd).ok()?;
        if now.st_nlink > 0 && modified(&now) == self.modified {
            return None;
        }
        let seconds = u64::try_from(now.st_ctime).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }
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
    fn what_is_not_there_cannot_be_held() {
        let scratch = Scratch::new("missing");
        assert!(HeldFile::hold(&scratch.0.join("x")).is_err());
        symlink("loop", scratch.0.join("loop")).unwrap();
        assert!(HeldFile::hold(&scratch.0.join("loop")).is_err());
    }
}
