//! Bytes on their way into a socket: small ones go together, so that nobody is woken for each.

use std::io::IoSlice;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send, sendmsg};

/// What was written and is not sent yet.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// What is written now is to be held.
    pub(super) holds: bool,
    /// What is sent now are the last words: the end of the connection goes with them.
    pub(super) ends: bool,
    held: Vec<u8>,
}

impl Outgoing {
    /// Holds `bytes`.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Whether anything is held.
    pub(super) fn is_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Sends what was held, and `buffer`: how much of that was taken. Where only some of what was
    /// held was taken, the call is to be made again (`EINTR`).
    pub(super) fn send(&mut self, fd: RawFd, buffer: &[u8], how: MsgFlags) -> nix::Result<usize> {
        let more = if self.ends { libc::MSG_MORE } else { 0 };
        let flags = how | MsgFlags::from_bits_retain(more) | MsgFlags::MSG_NOSIGNAL;
        if self.held.is_empty() {
            return send(fd, buffer, flags);
        }
        let both = [IoSlice::new(&self.held), IoSlice::new(buffer)];
        let sent = sendmsg::<()>(fd, &both, &[], flags, None)?;
        let of_held = sent.min(self.held.len());
        self.held.drain(..of_held);
        match sent - of_held {
            0 if self.is_held() || !buffer.is_empty() => Err(Errno::EINTR),
            more => Ok(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_held_goes_first_and_counts_for_nobody() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut outgoing = Outgoing::default();
        outgoing.hold(b"tic");
        outgoing.hold(b"ket ");
        let send = |outgoing: &mut Outgoing, bytes: &[u8]| {
            outgoing.send(ours.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT)
        };
        assert_eq!(send(&mut outgoing, b"250 a"), Ok(5));
        assert!(!outgoing.is_held());
        assert_eq!(send(&mut outgoing, b"250 b"), Ok(5));
        let mut buffer = [0; 100];
        let len = theirs.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"ticket 250 a250 b");
    }

    #[test]
    fn what_the_kernel_does_not_take_is_sent_later() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut outgoing = Outgoing::default();
        let (held, written) = (vec![b'h'; 300_000], vec![b'w'; 300_000]);
        outgoing.hold(&held);
        let (mut taken, mut got) = (0, Vec::new());
        theirs.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 100_000];
        while taken < written.len() {
            match outgoing.send(ours.as_raw_fd(), &written[taken..], MsgFlags::MSG_DONTWAIT) {
                Ok(len) => taken += len,
                Err(error) => assert!([Errno::EINTR, Errno::EAGAIN].contains(&error)),
            }
            while let Ok(len) = theirs.read(&mut buffer) {
                got.extend_from_slice(&buffer[..len]);
            }
        }
        assert!(got == [held, written].concat());
    }
}
