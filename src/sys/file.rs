//! Files and file systems.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::random;

/// Room in a file system, for users without privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// Free blocks.
    pub blocks: u64,
    /// Bytes in a block.
    pub block_size: u64,
}

/// The room in the file system of `path`.
pub fn free_space(path: impl AsRef<Path>) -> io::Result<FreeSpace> {
    let status = statvfs(path.as_ref())?;
    Ok(FreeSpace { blocks: status.blocks_available(), block_size: status.fragment_size() })
}

/// All of a small file, in as few system calls as can be: it is not asked for its size.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    read_rest(&mut File::open(path)?)
}

/// How often a name is tried that is taken.
const TRIES: u32 = 100;

/// Creates a file that was not there, for its owner only; its name is `start` and six letters, as
/// with mkstemp(3). The name comes back whether that worked or not.
pub fn create_unique(start: &[u8]) -> (Vec<u8>, io::Result<File>) {
    let mut path = Vec::new();
    let mut created = Err(io::ErrorKind::AlreadyExists.into());
    for _ in 0..TRIES {
        path = [start, &letters(random::seed())].concat();
        let name = Path::new(OsStr::from_bytes(&path));
        created = File::options().write(true).create_new(true).mode(0o600).open(name);
        let taken = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
        if !created.as_ref().is_err_and(taken) {
            break;
        }
    }
    (path, created)
}

fn letters(number: u64) -> [u8; 6] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789Aa";
    let bytes = number.to_le_bytes();
    std::array::from_fn(|at| LETTERS[usize::from(bytes[at] & 63)])
}

/// What is read at once, at first: room that is taken stays with the process as memory.
const FIRST_READ: usize = 4096;

/// What is left of an open file.
pub fn read_rest(file: &mut File) -> io::Result<Vec<u8>> {
    let mut text = vec![0; FIRST_READ];
    let mut len = 0;
    loop {
        if len == text.len() {
            text.resize(2 * len, 0);
        }
        match file.read(&mut text[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    text.truncate(len);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_system_has_blocks() {
        assert!(free_space("/").unwrap().block_size > 0);
        assert!(free_space("/nonexistent").is_err());
    }

    #[test]
    fn a_new_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let start = format!("{}/smtpd-rs-unique-", std::env::temp_dir().display());
        let (path, file) = create_unique(start.as_bytes());
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o177, 0);
        let (other, _) = create_unique(start.as_bytes());
        assert_ne!(path, other);
        for path in [path, other] {
            assert_eq!(path.len(), start.len() + 6);
            std::fs::remove_file(OsStr::from_bytes(&path)).unwrap();
        }
        let (path, file) = create_unique(b"/nonexistent/x-");
        assert!(path.starts_with(b"/nonexistent/x-") && file.is_err());
    }

    #[test]
    fn a_file_of_any_size_is_read_whole() {
        let path = std::env::temp_dir().join(format!("smtpd-rs-{}-read", std::process::id()));
        for len in [0, 1, FIRST_READ, 100_000] {
            let text = vec![b'x'; len];
            std::fs::write(&path, &text).unwrap();
            assert_eq!(read(&path).unwrap(), text);
        }
        std::fs::remove_file(path).unwrap();
    }
}
