//! This process: its name, its user, its signals.

use std::io;
use std::os::unix::ffi::OsStringExt as _;

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{Uid, getresgid, getresuid};

/// The name of this machine, as `hostname` shows it.
pub fn host_name() -> io::Result<Vec<u8>> {
    Ok(nix::unistd::gethostname()?.into_vec())
}

/// The user who started this process (real id).
pub fn user() -> u32 {
    Uid::current().as_raw()
}

/// From now on files that grow too large give an error instead of death by SIGXFSZ.
pub fn survive_large_files() {
    // SAFETY: no handler runs; the signal is ignored.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

/// From now on nobody's Ctrl-C, `kill` or closed terminal ends this process, nor a program that it
/// starts.
pub fn survive_interrupts() {
    for name in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        // SAFETY: no handler runs; the signal is ignored.
        let _ = unsafe { signal(name, SigHandler::SigIgn) };
    }
}

/// Whether this process is that user and group, in all respects and for good: root's privileges
/// cannot be had back.
pub fn is_only(uid: u32, gid: u32) -> io::Result<bool> {
    let users = getresuid()?;
    let groups = getresgid()?;
    let user = [users.real, users.effective, users.saved].iter().all(|id| id.as_raw() == uid);
    let group = [groups.real, groups.effective, groups.saved].iter().all(|id| id.as_raw() == gid);
    Ok(user && group && nix::unistd::setuid(Uid::from_raw(0)).is_err())
}

/// Gives the kernel back the memory that was freed: what a start took for itself is in the way of
/// nobody while hundreds of processes wait for clients. Other C libraries than glibc do that on
/// their own, or not at all.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it only looks at memory that the allocator holds free.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Whether standard input is a terminal.
pub fn stdin_is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&io::stdin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_is_not_us() {
        assert!(!is_only(u32::MAX - 1, u32::MAX - 1).unwrap());
    }
}
