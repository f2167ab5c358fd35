//! Accepting clients: from the network, from a local socket, from postscreen(8).

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt::KeepAlive};

use crate::log::Fatal;
use crate::stream::Connection;
use crate::sys::descriptor;
use crate::wire::attr::{Decoder, Form, Limits, List};

/// How clients come (`-t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Over TCP.
    Inet,
    /// Over a local socket.
    Unix,
    /// As descriptors over a local socket, from postscreen(8).
    Pass,
}

/// How long postscreen(8) may take for each thing that it sends.
const PASS_TIMEOUT: Duration = Duration::from_secs(100);
/// Four short attributes.
const PASS_LIMITS: Limits = Limits { bytes: 4096, attributes: 32 };

impl Transport {
    /// The transport that the option names.
    pub(crate) fn of(name: Option<&[u8]>) -> Result<Self, Fatal> {
        let name = name.ok_or_else(|| fatal!("no transport type specified"))?;
        match name.to_ascii_lowercase().as_slice() {
            b"inet" => Ok(Self::Inet),
            b"unix" => Ok(Self::Unix),
            b"pass" => Ok(Self::Pass),
            _ => Err(fatal!("unsupported transport type: {}", name)),
        }
    }

    /// Takes a client that waits at `socket`; `None`: there is none any more.
    pub(crate) fn accept(self, socket: &OwnedFd) -> io::Result<Option<Connection>> {
        let fd = match descriptor::accept(socket.as_fd()) {
            Ok(fd) => fd,
            Err(error) if is_no_client(&error) => return Ok(None),
            Err(error) => {
                if self == Self::Pass {
                    warning!("pass_accept_attr: cannot accept connection: {}", error);
                }
                return Err(error);
            }
        };
        match self {
            Self::Inet => {
                // A client that has vanished is found out in the end.
                let _ = setsockopt(&fd, KeepAlive, &true);
                Ok(Some(Connection::of_socket(fd)))
            }
            Self::Unix => Ok(Some(Connection::of_socket(fd))),
            Self::Pass => receive(&fd).map(Some),
        }
    }
}

/// What Linux says when a client has gone before it was accepted, or another process was faster.
fn is_no_client(error: &io::Error) -> bool {
    matches!(
        Errno::from_raw(error.raw_os_error().unwrap_or(0)),
        Errno::EAGAIN
            | Errno::EINTR
            | Errno::ECONNREFUSED
            | Errno::ECONNRESET
            | Errno::ECONNABORTED
            | Errno::EHOSTDOWN
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::ENETUNREACH
            | Errno::ENOTCONN
            | Errno::ENOBUFS
            | Errno::EPROTO
    )
}

/// Receives a client, and what postscreen(8) knows of it. That the connection is closed then tells
/// postscreen that the client is ours.
fn receive(sender: &OwnedFd) -> io::Result<Connection> {
    let until = || Instant::now() + PASS_TIMEOUT;
    wait(sender, until()).inspect_err(|error| {
        warning!("pass_accept_attr: timeout receiving file descriptor: {}", error);
    })?;
    let fd = descriptor::receive(sender.as_fd()).inspect_err(|error| {
        warning!("pass_accept_attr: cannot receive file descriptor: {}", error);
    })?;
    let list = attributes(sender, until()).inspect_err(|error| {
        warning!("pass_accept_attr: cannot receive connection attributes: {}", error);
    })?;
    // The sender may have used it without blocking.
    fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_RDWR))?;
    let known = list.pairs().next().is_some();
    Ok(Connection { handed_over: known.then_some(list), ..Connection::of_socket(fd) })
}

/// Waits until there is something to read.
fn wait(fd: &OwnedFd, until: Instant) -> io::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(Errno::ETIMEDOUT.into()),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn attributes(sender: &OwnedFd, until: Instant) -> io::Result<List> {
    let mut decoder = Decoder::new(Form::Null, PASS_LIMITS);
    let mut bytes = [0; 512];
    loop {
        wait(sender, until)?;
        let len = match nix::unistd::read(sender, &mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => len,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        decoder.feed(bytes.get(..len).unwrap_or_default());
        let list = decoder.next_list();
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        if let Some(list) = list.map_err(bad)? {
            return Ok(list);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    use super::*;

    fn pass(attributes: &[u8]) -> io::Result<Connection> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (client, _peer) = UnixStream::pair().unwrap();
        let rights = [client.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&rights)];
        let byte = [IoSlice::new(b"x")];
        sendmsg::<()>(theirs.as_raw_fd(), &byte, &control, MsgFlags::empty(), None).unwrap();
        theirs.write_all(attributes).unwrap();
        drop(theirs);
        receive(&OwnedFd::from(ours))
    }

    #[test]
    fn postscreen_hands_over_a_client() {
        let connection = pass(b"client_address\x00192.0.2.1\0client_port\x0025\0\0").unwrap();
        let list = connection.handed_over.unwrap();
        assert_eq!(list.find("client_address"), Some(&b"192.0.2.1"[..]));
        assert_eq!(list.find("client_port"), Some(&b"25"[..]));
    }

    #[test]
    fn an_empty_list_says_nothing_of_the_client() {
        assert!(pass(b"\0").unwrap().handed_over.is_none());
    }

    #[test]
    fn a_list_without_end_is_an_error() {
        assert!(pass(b"").is_err());
        assert!(pass(b"client_address\x00192.0.2.1\0").is_err());
        assert!(pass(&[b'x'; 5000]).is_err());
    }

    #[test]
    fn transports_have_names() {
        assert_eq!(Transport::of(Some(b"INET")), Ok(Transport::Inet));
        let problem = |name| Transport::of(name).unwrap_err().0;
        assert_eq!(problem(None), b"no transport type specified");
        assert_eq!(problem(Some(b"fifo")), b"unsupported transport type: fifo");
    }
}
