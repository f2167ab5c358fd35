//! This process.

use std::io;
use std::os::unix::ffi::OsStringExt as _;

/// The name of this machine, as `hostname` shows it.
pub fn host_name() -> io::Result<Vec<u8>> {
    Ok(nix::unistd::gethostname()?.into_vec())
}
