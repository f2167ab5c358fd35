//! Files and file systems.

use std::io;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_system_has_blocks() {
        assert!(free_space("/").unwrap().block_size > 0);
        assert!(free_space("/nonexistent").is_err());
    }
}
