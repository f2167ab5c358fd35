//! Files that are read while we still may: keys, certificates, parameters.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::sys::secret;

/// A file with its content, which is overwritten when no longer needed.
pub(super) struct File {
    pub(super) name: Vec<u8>,
    pub(super) bytes: io::Result<Vec<u8>>,
}

impl File {
    /// Reads `name`; the error is kept for whoever needs the content.
    pub(super) fn read(name: &[u8]) -> Self {
        Self { name: name.to_vec(), bytes: std::fs::read(as_path(name)) }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Ok(bytes) = &mut self.bytes {
            secret::overwrite(bytes);
        }
    }
}

/// A name from main.cf as a path.
pub(super) fn as_path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}
