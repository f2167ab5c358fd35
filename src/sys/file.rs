//! Files and file systems.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use nix::sys::statvfs::statvfs;

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
