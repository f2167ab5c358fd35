//! Locks of files: one that says whose turn it is, and those of tables that others may rewrite.

use std::fs::{File, OpenOptions, symlink_metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A file that is there to be locked.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    held: bool,
}

impl LockFile {
    /// Opens `path`, or makes it. No symbolic link (but one of root's, where only root writes) and
    /// no file with a second name, that nobody can lead us elsewhere. The error is text for a log.
    pub fn open(path: &Path) -> Result<Self, String> {
        // The original opens a file that is there, and makes one otherwise.
        let cannot = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => format!("cannot create file exclusively: {}", Shown(error)),
            _ => format!("cannot open file: {}", Shown(error)),
        };
        let file = match open(path, libc::O_NOFOLLOW) {
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                if !is_root_link(path) {
                    return Err("file is a symbolic link".into());
                }
                open(path, 0)
            }
            file => file,
        }
        .map_err(cannot)?;
        let about = file.metadata().map_err(cannot)?;
        if about.nlink() != 1 {
            return Err(format!("file has {} hard links", about.nlink()));
        }
        Ok(Self { file, held: false })
    }

    /// Waits until the lock is ours. Costs nothing while it is.
    pub fn acquire(&mut self) -> io::Result<()> {
        if !self.held {
            flock(&self.file, libc::LOCK_EX)?;
            self.held = true;
        }
        Ok(())
    }

    /// Gives the lock back.
    pub fn release(&mut self) -> io::Result<()> {
        if self.held {
            flock(&self.file, libc::LOCK_UN)?;
            self.held = false;
        }
        Ok(())
    }
}

/// Locks `file` until it is closed; waits for whoever has it locked.
pub fn hold(file: &File) -> io::Result<()> {
    flock(file, libc::LOCK_EX)
}

/// As [`hold`], but `false` where somebody else has it locked.
pub fn try_hold(file: &File) -> io::Result<bool> {
    match flock(file, libc::LOCK_EX | libc::LOCK_NB) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn flock(file: &File, operation: libc::c_int) -> io::Result<()> {
    again(|| {
        // SAFETY: takes integers; the descriptor is open as long as the file is.
        unsafe { libc::flock(file.as_raw_fd(), operation) }
    })
}

/// Does it again as long as a signal comes in between.
fn again(call: impl Fn() -> libc::c_int) -> io::Result<()> {
    loop {
        if call() == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// How those who write a file lock it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// flock(2).
    Flock,
    /// fcntl(2), `F_SETLKW`.
    Fcntl,
}

/// A lock that others may have too, as long as nobody writes.
#[derive(Debug)]
pub struct Shared<'a> {
    file: &'a File,
    style: Style,
}

impl<'a> Shared<'a> {
    /// Waits until nobody writes.
    pub fn take(file: &'a File, style: Style) -> io::Result<Self> {
        match style {
            Style::Flock => flock(file, libc::LOCK_SH)?,
            Style::Fcntl => fcntl(file, libc::F_RDLCK)?,
        }
        Ok(Self { file, style })
    }
}

impl Drop for Shared<'_> {
    /// Nothing can be done about an error; the lock ends with the file.
    fn drop(&mut self) {
        let _ = match self.style {
            Style::Flock => flock(self.file, libc::LOCK_UN),
            Style::Fcntl => fcntl(self.file, libc::F_UNLCK),
        };
    }
}

/// Locks the whole file, or lets it go.
fn fcntl(file: &File, kind: libc::c_int) -> io::Result<()> {
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    again(|| {
        // SAFETY: reads the struct, which is there for the call; the file is open.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &raw const lock) }
    })
}

fn open(path: &Path, flags: libc::c_int) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(flags).open(path)
}

fn is_root_link(path: &Path) -> bool {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    symlink_metadata(path).is_ok_and(|link| link.uid() == 0)
        && parent.metadata().is_ok_and(|parent| parent.uid() == 0 && parent.mode() & 0o022 == 0)
}

struct Shown(io::Error);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&fill!("{}", self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn directory(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("smtpd-rs-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn one_at_a_time_has_the_lock() {
        let directory = directory("lock");
        let path = directory.join("inet.smtp");
        let mut ours = LockFile::open(&path).unwrap();
        ours.acquire().unwrap();
        ours.acquire().unwrap();
        let theirs = LockFile::open(&path).unwrap();
        assert!(flock(&theirs.file, libc::LOCK_EX | libc::LOCK_NB).is_err());
        ours.release().unwrap();
        flock(&theirs.file, libc::LOCK_EX | libc::LOCK_NB).unwrap();
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn who_reads_keeps_out_who_writes() {
        let directory = directory("shared");
        let path = directory.join("table.db");
        std::fs::write(&path, "x").unwrap();
        let (ours, theirs) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        let first = Shared::take(&ours, Style::Flock).unwrap();
        drop(Shared::take(&theirs, Style::Flock).unwrap());
        assert!(!try_hold(&theirs).unwrap());
        drop(first);
        assert!(try_hold(&theirs).unwrap());
        // Locks of this kind are a process's: they don't keep out ourselves.
        drop(Shared::take(&ours, Style::Fcntl).unwrap());
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_that_leads_elsewhere_is_refused() {
        let directory = directory("links");
        let file = directory.join("file");
        std::fs::write(&file, "").unwrap();
        std::fs::hard_link(&file, directory.join("hard")).unwrap();
        assert_eq!(LockFile::open(&file).unwrap_err(), "file has 2 hard links");
        let link = directory.join("link");
        symlink(&file, &link).unwrap();
        std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        assert_eq!(LockFile::open(&link).unwrap_err(), "file is a symbolic link");
        assert_eq!(
            LockFile::open(&directory.join("no/file")).unwrap_err(),
            "cannot create file exclusively: No such file or directory"
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}
