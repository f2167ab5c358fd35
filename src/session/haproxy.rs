//! The header of a proxy in front of us (`smtpd_upstream_proxy_protocol = haproxy`).
//!
//! It is looked at before it is taken, and not a byte more than it is taken: what follows may be a
//! TLS handshake. As in Postfix, and as the protocol promises, it comes in one piece.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use crate::config::Config;
use crate::text::printable::escaped;
use crate::wire::haproxy::{Header, LONGEST, Protocols};

/// The header, taken from the socket; `None` where there is none, and the log says why.
pub(crate) fn read(config: &Config, fd: BorrowedFd<'_>) -> Option<Header> {
    read_within(config.smtpd_upstream_proxy_timeout, config, fd)
}

fn read_within(limit: Duration, config: &Config, fd: BorrowedFd<'_>) -> Option<Header> {
    if !wait(fd, limit) {
        warning!("haproxy read: timeout error");
        return None;
    }
    let mut buffer = [0; LONGEST];
    let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    let Ok(len @ 1..) = recv(fd.as_raw_fd(), &mut buffer, peek) else {
        warning!("haproxy read: EOF");
        return None;
    };
    let bytes = buffer.get_mut(..len)?;
    let protocols = Protocols { ipv4: config.ipv4, ipv6: config.ipv6 };
    let (header, len) = match Header::take(bytes, protocols) {
        Ok(found) => found,
        Err(bad) => {
            let bad = bad.to_string();
            warning!("haproxy read: {}: {}", bad, escaped(bytes));
            return None;
        }
    };
    let taken = recv(fd.as_raw_fd(), bytes.get_mut(..len)?, MsgFlags::MSG_DONTWAIT);
    if taken != Ok(len) {
        let why = std::io::Error::from(taken.err().unwrap_or(Errno::EIO));
        warning!("haproxy read: {}", why);
        return None;
    }
    Some(header)
}

/// Whether there is something to read in time.
fn wait(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(Errno::EINTR) => {}
            ready => return ready != Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::log::captured;

    fn config() -> Config {
        let mut config = Config::of_text("").unwrap();
        (config.ipv4, config.ipv6) = (true, true);
        captured::take();
        config
    }

    #[test]
    fn what_follows_the_header_is_left_for_others() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 4444 25\r\n\x16\x03\x01").unwrap();
        let Some(Header::Proxied { client, server }) = read(&config(), ours.as_fd()) else {
            panic!("no header")
        };
        assert_eq!(client.to_string(), "192.0.2.7:4444");
        assert_eq!(server.to_string(), "192.0.2.1:25");
        drop(theirs);
        let mut rest = vec![];
        ours.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"\x16\x03\x01");
        assert_eq!(captured::take(), [] as [&str; 0]);
    }

    #[test]
    fn a_client_without_header_is_told_of_in_the_log() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let config = config();
        assert_eq!(read_within(Duration::ZERO, &config, ours.as_fd()), None);
        theirs.write_all(b"EHLO a\\b\r\n").unwrap();
        assert_eq!(read(&config, ours.as_fd()), None);
        drop(theirs);
        let (gone, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(read(&config, gone.as_fd()), None);
        let expected = [
            "warning: haproxy read: timeout error",
            r"warning: haproxy read: short protocol header: EHLO a\\b\r\n",
            "warning: haproxy read: EOF",
        ];
        assert_eq!(captured::take(), expected);
    }

    #[test]
    fn a_header_longer_than_what_is_looked_at_is_refused() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let line = [&b"PROXY TCP4 192.0.2.7 192.0.2.1 4444 25"[..], &[b' '; LONGEST]].concat();
        theirs.write_all(&line).unwrap();
        theirs.write_all(b"\r\n").unwrap();
        assert_eq!(read(&config(), ours.as_fd()), None);
        let log = captured::take().concat();
        assert!(log.contains("missing protocol header terminator"), "{log}");
    }
}
