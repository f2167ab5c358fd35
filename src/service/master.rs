//! What master(8) gave us, and what we tell it.

use std::os::fd::{OwnedFd, RawFd};

use crate::log::{self, Fatal};
use crate::sys::descriptor;
use crate::wire::master::Status;

/// The flow control pipe begins here; smtpd does not use it.
const FLOW: RawFd = 3;
/// The socket on which master learns who is busy.
const STATUS: RawFd = 5;
/// The first listening socket.
const LISTEN: RawFd = 6;

/// The descriptors that master(8) passes.
#[derive(Debug)]
pub(crate) struct Inheritance {
    status: OwnedFd,
    /// The listening sockets, not blocking.
    pub(crate) listen: Vec<OwnedFd>,
    _flow: Vec<OwnedFd>,
    pid: i32,
    generation: u32,
}

/// Master has gone, or wants us to go.
#[derive(Debug)]
pub(crate) struct Gone;

/// Whether the descriptors are there. Ask before anything is opened: later others are at their
/// numbers.
pub(crate) fn passed_descriptors(sockets: usize) -> bool {
    descriptor::are_open(FLOW..LISTEN + count(sockets))
}

fn count(sockets: usize) -> RawFd {
    RawFd::try_from(sockets).unwrap_or(RawFd::MAX - LISTEN)
}

/// The number of this process among those that master has started (`GENERATION`, octal).
pub(crate) fn generation(text: Option<Vec<u8>>) -> Result<u32, Fatal> {
    let Some(text) = text else { return Ok(0) };
    let mut generation = 0u32;
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(fatal!("bad generation: {}", text));
    }
    for digit in &text {
        generation = generation.wrapping_mul(8).wrapping_add(u32::from(digit - b'0'));
    }
    if log::verbose() > 0 {
        let octal = format!("{generation:o}");
        info!("process generation: {} ({})", text, octal);
    }
    Ok(generation)
}

impl Inheritance {
    /// Takes the descriptors, which are there.
    pub(crate) fn take(sockets: usize, generation: u32) -> Result<Self, Fatal> {
        let mut all = descriptor::inherited(FLOW..LISTEN + count(sockets))
            .map_err(|error| fatal!("close_on_exec: fcntl: {}", error))?;
        let listen = all.split_off(3);
        let status = all.pop().ok_or_else(|| fatal!("no descriptor {}", STATUS))?;
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        Ok(Self { status, listen, _flow: all, pid, generation })
    }

    /// The status socket: readable when master has gone.
    pub(crate) fn status(&self) -> &OwnedFd {
        &self.status
    }

    /// Tells master that we are taken by a client, or available again.
    pub(crate) fn tell(&self, available: bool) -> Result<(), Gone> {
        let Self { pid, generation, .. } = *self;
        let message = Status { pid, generation, available }.encode();
        // One write: the socket is shared with our siblings.
        let sent = nix::unistd::write(&self.status, &message);
        if log::verbose() > 0 {
            info!("master_notify: status {}", u8::from(available));
        }
        if sent == Ok(message.len()) { Ok(()) } else { Err(Gone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<u32, Fatal> {
        generation(Some(text.into()))
    }

    #[test]
    fn the_generation_is_octal() {
        assert_eq!(of("17"), Ok(15));
        assert_eq!(generation(None), Ok(0));
        assert_eq!(of("37777777777"), Ok(u32::MAX));
        assert_eq!(of("x").unwrap_err().0, b"bad generation: x");
        assert!(of("").is_err() && of("-1").is_err());
    }
}
