//! A file by its name, held so that one can tell later whether another is there now: after chroot(2)
//! and without the right to read it.
//!
//! A file that is not there yet can be held too: by the last directory on the way to it that is there.
//!
//! What is held are references to the file and to each symbolic link on the way to it (O_PATH).
//! Replaced by rename(2), they have no link left, or another time of change (st_ctime) where they keep
//! another name; written in place, they have another time, too. That takes one fstat(2) each.
//! inotify(7) would tell sooner, but a user can have 128 instances of it on a usual system, and
//! hundreds of processes of one service are usual, too.
//!
//! Whoever is in no chroot looks at what has the name instead ([`HeldFile::by_name`]), where he may:
//! that takes one stat(2), and tells of directories on the way, too, that were replaced. In a chroot
//! that would take references to directories outside, each of them a way out: there is one only where
//! a file is missing.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2, readlink};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, stat};

/// More links than any path should have.
const MOST_LINKS: usize = 40;

/// A file that may be replaced.
#[derive(Debug)]
pub struct HeldFile {
    /// Links, and at the end the file.
    held: Vec<Held>,
    missing: Option<Missing>,
    /// The name, if it will be of use.
    name: Option<PathBuf>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The same file has another owner, mode or number of names.
    Status,
    /// Either of the others: what has its name can't be seen.
    Unknown,
    /// There is another file, or other content.
    Content,
}

/// That a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it comes to.
    pub kind: Kind,
    /// When it was done, as the kernel has it (st_ctime): the time of modification is what people set.
    pub at: SystemTime,
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
    stamp: Stamp,
}

/// What a file is known by, and its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (libc::dev_t, libc::ino_t),
    modified: (i64, i64, libc::off_t),
    changed: (i64, i64),
    names: libc::nlink_t,
}

impl HeldFile {
    /// Holds the file `path`, or the place where it is to be.
    pub fn hold(path: &Path) -> io::Result<Self> {
        if let Some(file) = Self::without_links(path) {
            return Ok(file);
        }
        let mut held = Vec::new();
        let end = follow(path, &mut held)?;
        let missing = match Held::open(&end) {
            Ok(file) => {
                held.push(file);
                None
            }
            Err(error) if is_absence(&error) => Some(Missing::at(&end)?),
            Err(error) => return Err(error),
        };
        Ok(Self { held, missing, name: None })
    }

    /// The same for who will see `path`, by which it was held, as he does now. A relative one may
    /// mean something else then.
    pub fn by_name(self, path: &Path) -> Self {
        Self { name: path.is_absolute().then(|| path.to_path_buf()), ..self }
    }

    /// Holds a file that is there, if no link is on the way to it. `None`, too, where the kernel can't
    /// tell (before Linux 5.6).
    fn without_links(path: &Path) -> Option<Self> {
        // With O_NOFOLLOW a link at the end would be opened itself.
        let flags = REFERENCE.difference(OFlag::O_NOFOLLOW);
        let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let file = Held::of(openat2(AT_FDCWD, path, how).ok()?).ok()?;
        Some(Self { held: vec![file], missing: None, name: None })
    }

    /// What became of it; `None`: it is as it was.
    pub fn changed(&self) -> Option<Change> {
        if let (Some(name), Some(file), None) = (&self.name, self.held.last(), &self.missing) {
            match stat(name) {
                Ok(there) => return file.stamp.change_to(&there),
                Err(Errno::ENOENT | Errno::ENOTDIR) => return file.lost(),
                Err(_) => {}
            }
        }
        let came = self.missing.as_ref().and_then(Missing::came);
        let changes = self.held.iter().filter_map(Held::changed).chain(came);
        changes.reduce(|one, other| one.and(other))
    }
}

impl Change {
    /// Both.
    pub fn and(self, other: Self) -> Self {
        Self { kind: self.kind.max(other.kind), at: self.at.max(other.at) }
    }
}

impl Stamp {
    fn of(status: &FileStat) -> Self {
        Self {
            file: (status.st_dev, status.st_ino),
            modified: (status.st_mtime, status.st_mtime_nsec, status.st_size),
            changed: (status.st_ctime, status.st_ctime_nsec),
            names: status.st_nlink,
        }
    }

    /// What has become of the file if its name has `status` now.
    fn change_to(&self, status: &FileStat) -> Option<Change> {
        let now = Self::of(status);
        if now == *self && now.names > 0 {
            return None;
        }
        let same = (now.file, now.modified) == (self.file, self.modified);
        let kind = if same && now.names > 0 { Kind::Status } else { Kind::Content };
        Some(Change { kind, at: time_of(status) })
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
    fn came(&self) -> Option<Change> {
        match fstatat(&self.directory.fd, &self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(status) => Some(Change { kind: Kind::Content, at: time_of(&status) }),
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
        let stamp = Stamp::of(&fstat(&fd)?);
        Ok(Self { fd, stamp })
    }

    /// Its last change: being written, or losing its name, is one. A file that has got another name
    /// may have lost its own.
    fn changed(&self) -> Option<Change> {
        let change = self.stamp.change_to(&fstat(&self.fd).ok()?)?;
        Some(Change { kind: change.kind.max(Kind::Unknown), ..change })
    }

    /// Nothing has its name any more.
    fn lost(&self) -> Option<Change> {
        Some(Change { kind: Kind::Content, at: time_of(&fstat(&self.fd).ok()?) })
    }
}

/// When a file was put there, or changed in any way.
fn time_of(status: &FileStat) -> SystemTime {
    let seconds = u64::try_from(status.st_ctime).unwrap_or(0);
    let nanoseconds = u32::try_from(status.st_ctime_nsec).unwrap_or(0);
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

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

        /// Goes on when the clock of files has, which older kernels move every few milliseconds.
        fn tick(&self) {
            let now = || fs::metadata(self.write("clock", "")).unwrap();
            let time = |status: fs::Metadata| (status.ctime(), status.ctime_nsec());
            let before = time(now());
            while time(now()) == before {}
        }

        /// Holds a file as a process in a jail does, and as one that isn't.
        fn hold_twice(&self, path: &Path) -> [HeldFile; 2] {
            let held = [HeldFile::hold(path), HeldFile::hold(path)].map(Result::unwrap);
            self.tick();
            let [in_jail, outside] = held;
            [in_jail, outside.by_name(path)]
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
        let deep = HeldFile::hold(&scratch.0.join("a/b/c")).unwrap();
        let held = [HeldFile::hold(&path).unwrap(), HeldFile::hold(&link).unwrap()];
        scratch.write("other", "x");
        assert!(held.iter().all(|file| file.changed().is_none()));
        scratch.write("crl", "new");
        assert!(held.iter().all(|file| file.changed().is_some()));
        assert_eq!(deep.changed(), None);
        fs::create_dir_all(scratch.0.join("a/b")).unwrap();
        assert_eq!(deep.changed(), None);
        scratch.write("a/b/c", "x");
        assert!(deep.changed().is_some());
        assert_eq!(HeldFile::hold(&path).unwrap().changed(), None);
    }

    #[test]
    fn a_file_whose_old_self_keeps_a_name_has_changed() {
        let scratch = Scratch::new("kept");
        let path = scratch.write("users", "old");
        let moved = scratch.hold_twice(&path);
        let kept = scratch.0.join("users~");
        fs::rename(&path, &kept).unwrap();
        assert!(moved.iter().all(|file| file.changed().is_some()));
        scratch.write("users", "new");
        assert!(moved.iter().all(|file| file.changed().is_some()));
        let linked = scratch.hold_twice(&path);
        fs::hard_link(&path, scratch.0.join("users.bak")).unwrap();
        fs::rename(scratch.write("users.new", "newer"), &path).unwrap();
        assert!(linked.iter().all(|file| file.changed().is_some()));
        // The link is older than the process.
        let path = scratch.0.join("users.bak");
        fs::hard_link(&path, scratch.0.join("users.bak2")).unwrap();
        let linked = scratch.hold_twice(&path);
        fs::rename(scratch.write("users.new", "newest"), &path).unwrap();
        assert!(linked.iter().all(|file| file.changed().is_some()));
    }

    #[test]
    fn a_link_that_is_moved_away_has_changed() {
        let scratch = Scratch::new("moved-link");
        let (link, old) = (scratch.0.join("link"), scratch.0.join("old"));
        symlink(scratch.write("one", "1"), &link).unwrap();
        let held = scratch.hold_twice(&link);
        fs::rename(&link, &old).unwrap();
        symlink(scratch.write("two", "2"), &link).unwrap();
        assert!(held.iter().all(|file| file.changed().is_some()));
    }

    #[test]
    fn a_directory_that_is_replaced_is_noticed_by_name() {
        let scratch = Scratch::new("directory");
        let at = |name: &str| scratch.0.join(name);
        for (directory, text) in [("tls", "old"), ("tls.new", "new")] {
            fs::create_dir(at(directory)).unwrap();
            scratch.write(&format!("{directory}/cert"), text);
        }
        let held = HeldFile::hold(&at("tls/cert")).unwrap().by_name(&at("tls/cert"));
        assert_eq!(held.changed(), None);
        fs::rename(at("tls"), at("tls.old")).unwrap();
        assert_eq!(held.changed().map(|change| change.kind), Some(Kind::Content));
        fs::rename(at("tls.new"), at("tls")).unwrap();
        assert_eq!(held.changed().map(|change| change.kind), Some(Kind::Content));
    }

    #[test]
    fn another_mode_is_no_other_content() {
        let scratch = Scratch::new("mode");
        let path = scratch.write("cert", "x");
        let kinds = |files: &[HeldFile; 2]| {
            files.each_ref().map(|file| file.changed().map(|change| change.kind))
        };
        let held = scratch.hold_twice(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(kinds(&held), [Some(Kind::Unknown), Some(Kind::Status)]);
        let held = scratch.hold_twice(&path);
        fs::hard_link(&path, scratch.0.join("more")).unwrap();
        assert_eq!(kinds(&held), [Some(Kind::Unknown), Some(Kind::Status)]);
        assert_eq!(kinds(&scratch.hold_twice(&path)), [None, None]);
        scratch.write("cert", "longer");
        assert_eq!(kinds(&held), [Some(Kind::Content), Some(Kind::Content)]);
    }

    #[test]
    fn a_change_is_as_old_as_what_was_done_last() {
        let scratch = Scratch::new("age");
        let path = scratch.write("cert", "x");
        let held = scratch.hold_twice(&path);
        let before = fs::metadata(&path).unwrap();
        // Put there with the time that it had elsewhere, long ago or to come.
        for time in [UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(1 << 33)] {
            fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
            let done = fs::metadata(&path).unwrap();
            assert!((done.ctime(), done.ctime_nsec()) >= (before.ctime(), before.ctime_nsec()));
            let nanos = u32::try_from(done.ctime_nsec()).unwrap();
            let then = UNIX_EPOCH + Duration::new(done.ctime().unsigned_abs(), nanos);
            for file in &held {
                assert_eq!(file.changed(), Some(Change { kind: Kind::Content, at: then }));
            }
        }
    }

    #[test]
    fn a_loop_of_links_cannot_be_held() {
        let scratch = Scratch::new("loop");
        symlink("loop", scratch.0.join("loop")).unwrap();
        assert!(HeldFile::hold(&scratch.0.join("loop")).is_err());
    }
}
