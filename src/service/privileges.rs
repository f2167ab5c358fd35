//! From root to mail_owner, and into the jail.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use nix::unistd::{Gid, Uid, chdir, chroot, setgid, setuid};

use crate::config::Config;
use crate::log::Fatal;
use crate::sys::process;
use crate::sys::users::take_groups;

/// Gives up what the options say: with `user` (`-u`) root's privileges; with `jailed` (`-c`) the view
/// of the whole system.
pub(crate) fn drop(config: &Config, user: bool) -> Result<(), Fatal> {
    let (uid, gid) = config.owner;
    if user {
        setgid(Gid::from_raw(gid)).map_err(|error| fatal!("setgid({}): {}", gid, words(error)))?;
        take_groups(&config.mail_owner, gid, &config.owner_groups)
            .map_err(|error| fatal!("initgroups: {}", error))?;
    }
    if config.jailed {
        let directory = &config.queue_directory;
        chroot(OsStr::from_bytes(directory))
            .map_err(|error| fatal!("chroot({}): {}", directory, words(error)))?;
        chdir("/").map_err(|error| fatal!("chdir(/): {}", words(error)))?;
    }
    if user {
        setuid(Uid::from_raw(uid)).map_err(|error| fatal!("setuid({}): {}", uid, words(error)))?;
        verify(uid, gid)?;
    }
    Ok(())
}

/// A call that only seems to succeed must not leave us with root's privileges (CVE-2000-0506).
fn verify(uid: u32, gid: u32) -> Result<(), Fatal> {
    match process::is_only(uid, gid) {
        Ok(true) => Ok(()),
        Ok(false) => Err(fatal!("privileges of root are still there after setuid({})", uid)),
        Err(error) => Err(fatal!("getresuid: {}", error)),
    }
}

fn words(error: nix::Error) -> std::io::Error {
    error.into()
}
