//! Descriptors that others gave us: master(8) at known numbers, postscreen(8) through a socket.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockFlag, accept4, recvmsg};

/// Whether all of these numbers are open descriptors. Ask before opening anything.
pub fn are_open(numbers: std::ops::Range<RawFd>) -> bool {
    let mut asked: Vec<libc::pollfd> =
        numbers.map(|fd| libc::pollfd { fd, events: 0, revents: 0 }).collect();
    let Ok(count) = libc::nfds_t::try_from(asked.len()) else { return false };
    // SAFETY: the pointer is to as many structs as the count says, for the call only.
    if unsafe { libc::poll(asked.as_mut_ptr(), count, 0) } < 0 {
        return false;
    }
    asked.iter().all(|fd| fd.revents & libc::POLLNVAL == 0)
}

/// Takes descriptors that this process was started with, and closes them when another program
/// is executed. Only for numbers that [`are_open`] and that nobody else has taken.
pub fn inherited(numbers: std::ops::Range<RawFd>) -> io::Result<Vec<OwnedFd>> {
    close_on_exec(&numbers)?;
    // SAFETY: open since the process began, as the caller has asked; nobody else owns them.
    let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
    Ok(numbers.map(own).collect())
}

fn close_on_exec(numbers: &std::ops::Range<RawFd>) -> io::Result<()> {
    let (first, last) = (numbers.start, numbers.end.saturating_sub(1));
    // SAFETY: takes integers. A kernel before 5.11 refuses; then each number is marked alone.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    for number in numbers.clone() {
        // SAFETY: takes integers.
        if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Standard input and output, each as a descriptor of its own.
pub fn standard() -> io::Result<(OwnedFd, OwnedFd)> {
    use std::os::fd::AsFd as _;
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    Ok((input, output))
}

/// Sends a datagram, or does not, without waiting. Safe in a signal handler.
pub fn send_now(socket: RawFd, datagram: &[u8]) {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: pointer and length are those of a slice; an error is all that a number that is no
    // socket can cause.
    unsafe { libc::send(socket, datagram.as_ptr().cast(), datagram.len(), flags) };
}

/// Takes a client that waits: blocking, closed on exec.
pub fn accept(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let number = accept4(socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// So many descriptors can come with a message (`SCM_MAX_FD` of the kernel): with less room, some would
/// be ours without our knowing.
const MOST_SENT: usize = 253;

/// Receives a descriptor that comes with one byte (`SCM_RIGHTS`).
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut byte = [0u8];
    let mut place = [IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!([RawFd; MOST_SENT]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut place, Some(&mut control), flags)?;
    let mut first = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            for number in numbers {
                // SAFETY: the kernel has just made it for us; more than one are closed here.
                let fd = unsafe { OwnedFd::from_raw_fd(number) };
                first.get_or_insert(fd);
            }
        }
    }
    let none = || io::Error::new(io::ErrorKind::InvalidData, "no file descriptor was sent");
    first.ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Read as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{ControlMessage, sendmsg};

    use super::*;

    #[test]
    fn a_descriptor_is_received_and_works() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut client, passed) = UnixStream::pair().unwrap();
        let rights = [passed.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&rights)];
        let byte = [IoSlice::new(b"x")];
        sendmsg::<()>(theirs.as_raw_fd(), &byte, &control, MsgFlags::empty(), None).unwrap();
        let mut received = UnixStream::from(receive(ours.as_fd()).unwrap());
        received.write_all(b"hello").unwrap();
        let mut hello = [0; 5];
        client.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"hello");
    }

    #[test]
    fn a_byte_alone_is_no_descriptor() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        assert!(receive(ours.as_fd()).is_err());
    }

    #[test]
    fn closed_numbers_are_seen() {
        assert!(are_open(0..3));
        assert!(!are_open(0..500));
    }

    #[test]
    fn of_many_descriptors_one_is_kept() {
        for count in [1, 5, 253] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (mut client, passed) = UnixStream::pair().unwrap();
            let sent = vec![passed.as_raw_fd(); count];
            let control = [ControlMessage::ScmRights(&sent)];
            let byte = [IoSlice::new(b"x")];
            sendmsg::<()>(theirs.as_raw_fd(), &byte, &control, MsgFlags::empty(), None).unwrap();
            drop(passed);
            drop(receive(ours.as_fd()).unwrap());
            // All are closed, so this is the end.
            client.set_nonblocking(true).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0, "{count}");
        }
    }
}
