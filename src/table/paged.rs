//! The file behind an indexed table: read piece by piece, since it may be large, and since it may
//! become shorter while we read, which would be the end of a process that has it mapped.
//!
//! Others may rewrite it between two lookups. So a few pieces are remembered only as long as the
//! file is what it was, and only if that can be seen: not in the first seconds after a change,
//! when another may bear the same time stamp.

use std::cell::{Cell, RefCell};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::rc::Rc;

use super::source;
use crate::sys::time;
use crate::wire::blocks::{Block, Blocks, Broken, TOO_SHORT};

/// How many pieces are remembered.
const REMEMBERED: usize = 8;
/// After how many seconds the next change has another time stamp, on any file system.
const SETTLED: i64 = 2;

/// An open file.
pub(super) struct Paged {
    file: File,
    /// When it was written last, as far as we have noticed: seconds and nanoseconds.
    modified: Cell<(i64, i64)>,
    /// What it is now.
    stamp: Cell<Stamp>,
    /// What was read, the latest first.
    remembered: RefCell<Vec<(u64, Block)>>,
}

/// Tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    changed: (i64, i64),
    settled: bool,
}

impl Stamp {
    fn of(status: &Metadata) -> Self {
        let changed = (status.ctime(), status.ctime_nsec());
        let (now, _) = time::since_epoch(time::now());
        let settled = changed.0.checked_add(SETTLED).is_some_and(|then| then < now);
        Self { len: status.len(), changed, settled }
    }
}

impl Paged {
    /// Opens `path`.
    pub(super) fn open(path: &[u8]) -> io::Result<Self> {
        let file = source::file(path)?;
        let status = file.metadata()?;
        Ok(Self {
            file,
            modified: Cell::new(modified(&status)),
            stamp: Cell::new(Stamp::of(&status)),
            remembered: RefCell::default(),
        })
    }

    /// For locks.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// When the file was written last, seconds since 1970. Later changes count as such: this
    /// belongs to the opening, under a lock if there is one.
    pub(super) fn modified(&self) -> io::Result<i64> {
        self.modified.set(modified(&self.file.metadata()?));
        Ok(self.modified.get().0)
    }

    /// Before each lookup, under a lock if there is one: whether the content may be another than
    /// that of the lookup before.
    pub(super) fn look(&self) -> io::Result<bool> {
        let stamp = Stamp::of(&self.file.metadata()?);
        let before = self.stamp.replace(stamp);
        let same = stamp.settled && stamp == before;
        if !same {
            self.remembered.borrow_mut().clear();
        }
        Ok(!same)
    }

    /// Whether the file was removed, or another has taken its place.
    pub(super) fn removed(&self) -> bool {
        self.file.metadata().is_ok_and(|status| status.nlink() == 0)
    }

    /// Whether the file was written since it was opened.
    pub(super) fn rewritten(&self) -> bool {
        self.file.metadata().is_ok_and(|status| modified(&status) != self.modified.get())
    }

    fn remember(&self, at: u64, block: &Block) {
        let mut remembered = self.remembered.borrow_mut();
        remembered.truncate(REMEMBERED - 1);
        remembered.insert(0, (at, Rc::clone(block)));
    }

    fn known(&self, at: u64, len: usize) -> Option<Block> {
        let mut remembered = self.remembered.borrow_mut();
        let place = remembered.iter().position(|(own, block)| *own == at && block.len() == len)?;
        remembered[..=place].rotate_right(1);
        Some(Rc::clone(&remembered[0].1))
    }
}

fn modified(status: &Metadata) -> (i64, i64) {
    (status.mtime(), status.mtime_nsec())
}

impl Blocks for Paged {
    fn read(&self, at: u64, len: usize) -> Result<Block, Broken> {
        if let Some(block) = self.known(at, len) {
            return Ok(block);
        }
        let block = self.read_again(at, len)?;
        // Larger pieces are values of their own.
        if len <= 64 * 1024 {
            self.remember(at, &block);
        }
        Ok(block)
    }

    fn read_again(&self, at: u64, len: usize) -> Result<Block, Broken> {
        if at.checked_add(len as u64).is_none_or(|end| end > self.len()) {
            return Err(match self.file.read_at(&mut [0], 0) {
                Err(error) => error.into(),
                Ok(_) => TOO_SHORT,
            });
        }
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TOO_SHORT,
            _ => error.into(),
        })?;
        Ok(bytes.into())
    }

    fn len(&self) -> u64 {
        self.stamp.get().len
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// A file with this text, and its path.
    fn file(name: &str, text: &[u8]) -> (Paged, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("smtpd-rs-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        (Paged::open(path.to_string_lossy().as_bytes()).unwrap(), path)
    }

    fn first(file: &Paged) -> Vec<u8> {
        file.read(0, 4).unwrap().to_vec()
    }

    #[test]
    fn what_was_read_is_remembered_as_long_as_nobody_writes() {
        let (file, path) = file("settled", b"one text");
        time::fix(Some(SystemTime::now() + Duration::from_secs(10)));
        assert!(file.look().unwrap());
        assert_eq!(first(&file), b"one ");
        assert!(!file.look().unwrap());
        assert_eq!(file.remembered.borrow().len(), 1);
        std::fs::write(&path, "two texts").unwrap();
        time::fix(Some(SystemTime::now() + Duration::from_secs(10)));
        assert_eq!(first(&file), b"one ");
        assert!(file.look().unwrap());
        assert_eq!(first(&file), b"two ");
        std::fs::remove_file(path).unwrap();
        assert!(file.removed());
    }

    #[test]
    fn nothing_is_remembered_right_after_a_change() {
        let (file, path) = file("unsettled", b"one text");
        time::fix(Some(SystemTime::now()));
        for _ in 0..3 {
            assert!(file.look().unwrap());
            assert_eq!(first(&file), b"one ");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn little_is_remembered() {
        let (file, path) = file("little", &[b'x'; 4096]);
        for round in 0..3u64 {
            for at in 0..20 {
                assert_eq!(*file.read(at * 64 + round, 64).unwrap(), [b'x'; 64]);
            }
        }
        assert_eq!(file.remembered.borrow().len(), REMEMBERED);
        assert!(matches!(file.read(4090, 7), Err(Broken::Format(_))));
        assert!(matches!(file.read(u64::MAX, 7), Err(Broken::Format(_))));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_directory_is_no_file() {
        let directory = Paged::open(b"/").unwrap();
        assert!(matches!(directory.read(0, 1 << 20), Err(Broken::Io(_))));
        assert!(Paged::open(b"/nowhere/at/all").is_err());
    }
}
