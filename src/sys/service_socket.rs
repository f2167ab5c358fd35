//! A connected socket to another service, with a time limit that the kernel keeps.
//!
//! The answer to a question is never there yet, so reads block: one call, no poll. The limit is
//! for each read or write, as `ipc_timeout` is.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// Bytes that a TCP connection to a service may have under way; 0: the kernel's choice.
static WINDOW: AtomicUsize = AtomicUsize::new(0);

/// From now on TCP connections to services have such buffers (tcp_windowsize). What comes from
/// master(8) has them already.
pub fn use_window(size: i32) {
    WINDOW.store(usize::try_from(size).unwrap_or(0), Ordering::Relaxed);
}

/// A buffer that the kernel does not grant is no reason to go without the service.
fn limit_window(socket: &TcpStream, size: usize) {
    if size == 0 {
        return;
    }
    let _ = setsockopt(socket, sockopt::SndBuf, &size);
    let _ = setsockopt(socket, sockopt::RcvBuf, &size);
}

/// A connected stream socket; closed on exec.
#[derive(Debug)]
pub struct ServiceSocket {
    fd: OwnedFd,
    limit: TimeVal,
    /// Whether the kernel knows the limit for writes: it is told when one has to wait, as most
    /// never do.
    limits_writes: Cell<bool>,
}

impl ServiceSocket {
    /// Connects to a UNIX socket; blocks while its queue is full.
    pub fn connect_unix(path: &[u8], limit: Duration) -> io::Result<Self> {
        let socket = UnixStream::connect(Path::new(OsStr::from_bytes(path)))?;
        Self::over(socket.into(), limit)
    }

    /// Connects over the network, within `limit`.
    pub fn connect_inet(address: &SocketAddr, limit: Duration) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(address, limit)?;
        limit_window(&socket, WINDOW.load(Ordering::Relaxed));
        Self::over(socket.into(), limit)
    }

    /// Takes over a connected socket.
    pub fn over(fd: OwnedFd, limit: Duration) -> io::Result<Self> {
        let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX).min(i64::from(i32::MAX));
        let limit = TimeVal::new(seconds, i64::from(limit.subsec_micros()));
        setsockopt(&fd, sockopt::ReceiveTimeout, &limit)?;
        Ok(Self { fd, limit, limits_writes: Cell::new(false) })
    }

    /// Whether a read would give something (bytes, or the end) now.
    pub fn readable(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
    }

    /// Reads what is there, or waits for it; 0 is the end.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        patiently(|| recv(self.fd.as_raw_fd(), buffer, MsgFlags::empty()))
    }

    /// Writes all.
    pub fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let len = self.write(bytes)?;
            bytes = bytes.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if !self.limits_writes.get() {
            let at_once = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            match send(self.fd.as_raw_fd(), bytes, at_once) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => return Ok(result?),
            }
            setsockopt(&self.fd, sockopt::SendTimeout, &self.limit)?;
            self.limits_writes.set(true);
        }
        patiently(|| send(self.fd.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL))
    }
}

impl AsFd for ServiceSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn patiently(mut call: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            // The kernel's word for a limit that is over.
            Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT.into()),
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_window_is_asked_for() {
        use nix::sys::socket::getsockopt;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        limit_window(&socket, 8192);
        // The kernel takes twice as much, for its own needs.
        assert_eq!(getsockopt(&socket, sockopt::SndBuf).unwrap(), 16384);
        assert_eq!(getsockopt(&socket, sockopt::RcvBuf).unwrap(), 16384);
    }

    #[test]
    fn bytes_go_both_ways_and_the_end_is_seen() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let socket = ServiceSocket::over(ours.into(), Duration::from_secs(60)).unwrap();
        assert!(!socket.readable());
        socket.write_all(b"question").unwrap();
        let mut question = [0; 8];
        theirs.read_exact(&mut question).unwrap();
        assert_eq!(&question, b"question");
        theirs.write_all(b"answer").unwrap();
        assert!(socket.readable());
        let mut answer = [0; 100];
        assert_eq!(socket.read(&mut answer).unwrap(), 6);
        drop(theirs);
        assert!(socket.readable());
        assert_eq!(socket.read(&mut answer).unwrap(), 0);
        assert_eq!(socket.write_all(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
    }

    #[test]
    fn a_silent_service_is_a_timeout() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let socket = ServiceSocket::over(ours.into(), Duration::from_micros(1)).unwrap();
        let error = socket.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
    }

    #[test]
    fn a_service_that_does_not_read_is_a_timeout() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let socket = ServiceSocket::over(ours.into(), Duration::from_millis(20)).unwrap();
        let much = vec![b'x'; 4 << 20];
        let error = socket.write_all(&much).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
        theirs.set_nonblocking(true).unwrap();
        let mut heard = 0;
        let mut buffer = [0; 4096];
        while let Ok(len) = theirs.read(&mut buffer) {
            heard += len;
        }
        assert!(heard > 0);
        assert_eq!(socket.write_all(b"and now").ok(), Some(()));
    }

    #[test]
    fn a_missing_socket_says_so() {
        let error = ServiceSocket::connect_unix(b"/nonexistent/x", Duration::from_secs(1));
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
