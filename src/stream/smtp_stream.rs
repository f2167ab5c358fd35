//! The conversation with a client: lines in, replies out, in clear or over TLS.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslRef, SslStream};

use super::{Patience, TimedFd, log_library_errors, tls};

/// The conversation is over; there is nobody to reply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamEnd {
    /// The client took too long.
    #[error("timeout")]
    Timeout,
    /// The client is gone.
    #[error("lost connection")]
    Lost,
}

/// How a line that was read ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// At a LF; CR and LF are still in the line.
    Complete,
    /// At the limit, without a LF.
    Cut,
}

/// Why TLS did not start.
#[derive(Debug)]
pub enum StartError<E> {
    /// The connection ended before.
    Stream(StreamEnd),
    /// OpenSSL could not make the stream.
    Library(ErrorStack),
    /// The handshake itself.
    Handshake(E),
}

enum Channel {
    Plain(TimedFd),
    Tls(Box<SslStream<TimedFd>>),
    Gone,
}

/// Bytes read at once.
const READ_SIZE: usize = 64 * 1024;
/// Bytes read at once otherwise: commands and small messages need no more.
const READ_SIZE_SMALL: usize = 4096;
/// Output is written when this much waits.
const WRITE_SIZE: usize = 4096;
/// Output does not wait longer than this (seconds).
const FLUSH_AFTER: Duration = Duration::from_secs(10);

/// A client's connection with its buffers. Output waits until input would block.
pub struct SmtpStream {
    channel: Channel,
    /// Input is `input[start..end]`; what is behind `end` is room.
    input: Vec<u8>,
    start: usize,
    end: usize,
    read_size: usize,
    may_read_much: bool,
    output: Vec<u8>,
    last_write: Instant,
    ended: Option<StreamEnd>,
    /// Nothing more is read.
    deaf: bool,
    await_close: bool,
}

impl SmtpStream {
    /// Talks over `fd`, a connected socket.
    pub fn new(fd: TimedFd) -> Self {
        Self {
            channel: Channel::Plain(fd),
            input: Vec::new(),
            start: 0,
            end: 0,
            read_size: READ_SIZE_SMALL,
            may_read_much: false,
            output: Vec::new(),
            last_write: Instant::now(),
            ended: None,
            deaf: false,
            await_close: false,
        }
    }

    /// Sets how long to wait from now on.
    pub fn be_patient(&mut self, patience: Patience) {
        if let Some(fd) = self.timed_fd() {
            fd.be_patient(patience);
        }
    }

    /// Reads much at once from now on, as soon as much comes; or little again.
    pub fn expect_much(&mut self, much: bool) {
        self.may_read_much = much;
        self.read_size = READ_SIZE_SMALL;
    }

    /// What was read and not yet taken.
    pub fn unread(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Takes the first `len` bytes of what was read.
    pub fn consume(&mut self, len: usize) {
        self.start += len.min(self.end - self.start);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.input.len() > self.read_size {
                self.input = Vec::new();
            }
        }
    }

    /// Reads more into [`unread`](Self::unread); first writes what waits, since the client may be
    /// waiting for it.
    pub fn fill(&mut self) -> Result<(), StreamEnd> {
        self.flush()?;
        match self.read_more() {
            Ok(0) => Err(self.end(StreamEnd::Lost)),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn read_more(&mut self) -> io::Result<usize> {
        if self.ended.is_some() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if self.deaf {
            return Ok(0);
        }
        self.make_room();
        let room = &mut self.input[self.end..];
        let room_size = room.len();
        let len = match &mut self.channel {
            Channel::Plain(fd) => fd.read(room)?,
            Channel::Tls(tls) => tls::read(tls, room)?,
            Channel::Gone => 0,
        };
        if self.may_read_much && len == room_size {
            self.read_size = READ_SIZE;
        }
        self.end += len;
        Ok(len)
    }

    /// Reads what there is now.
    fn read_now(&mut self) {
        self.make_room();
        let room = &mut self.input[self.end..];
        self.end += match &mut self.channel {
            Channel::Plain(fd) => fd.read_now(room),
            Channel::Tls(tls) => tls::read_now(tls, room),
            Channel::Gone => 0,
        };
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.input.len() < self.end + self.read_size {
            self.input.resize(self.end + self.read_size, 0);
        }
    }

    /// Reads a line, CR and LF included, into `line`. At `limit` bytes without a LF the line is
    /// cut; where the last byte would be a CR and a LF follows, the LF still belongs to it.
    pub fn read_line(&mut self, line: &mut Vec<u8>, limit: usize) -> Result<Line, StreamEnd> {
        line.clear();
        loop {
            let room = limit - line.len();
            let unread = self.unread();
            let part = &unread[..unread.len().min(room)];
            if let Some(at) = memchr::memchr(b'\n', part) {
                line.extend_from_slice(&part[..=at]);
                self.consume(at + 1);
                return Ok(Line::Complete);
            }
            let len = part.len();
            line.extend_from_slice(part);
            self.consume(len);
            if line.len() == limit {
                return self.cut_line(line);
            }
            self.fill()?;
        }
    }

    fn cut_line(&mut self, line: &mut Vec<u8>) -> Result<Line, StreamEnd> {
        if line.last() == Some(&b'\r') {
            if self.unread().is_empty() {
                self.fill()?;
            }
            if self.unread().first() == Some(&b'\n') {
                line.push(b'\n');
                self.consume(1);
                return Ok(Line::Complete);
            }
        }
        Ok(Line::Cut)
    }

    /// Whether the client has sent more than we have taken: unread, or waiting in the socket (then
    /// it is read). Never waits, not even for the rest of a TLS record.
    pub fn pending(&mut self) -> bool {
        if self.unread().is_empty() && self.ended.is_none() && !self.deaf {
            // An end or an error will be met again by the next read.
            self.read_now();
        }
        !self.unread().is_empty()
    }

    /// Puts `bytes` into the output; they are written when input would block, or when much waits.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StreamEnd> {
        self.output.extend_from_slice(bytes);
        if self.output.len() >= WRITE_SIZE || self.last_write.elapsed() > FLUSH_AFTER {
            self.flush()?;
        }
        Ok(())
    }

    /// Whether something waits to be written.
    pub fn output_waits(&self) -> bool {
        !self.output.is_empty()
    }

    /// Writes what waits. After the end nothing is written: the client may be in the middle of a
    /// TLS record or handshake.
    pub fn flush(&mut self) -> Result<(), StreamEnd> {
        if self.output.is_empty() {
            return Ok(());
        }
        let result = match &mut self.channel {
            _ if self.ended.is_some() => Err(io::ErrorKind::BrokenPipe.into()),
            Channel::Plain(fd) => fd.write_all(&self.output),
            Channel::Tls(tls) => tls::write_all(tls, &self.output),
            Channel::Gone => Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.output.clear();
        self.last_write = Instant::now();
        result.map_err(|error| self.failed(&error))
    }

    /// Goes over to TLS, through `handshake`. Output is written before; all that was read in clear
    /// is thrown away: what came before the handshake must not count afterwards (CVE-2011-0411).
    /// Where it fails, the stream has ended. With `await_close`, [`close`](Self::close) waits for
    /// the client's goodbye (`tls_fast_shutdown_enable = no`).
    pub fn start_tls<E>(
        &mut self,
        ssl: Ssl,
        await_close: bool,
        handshake: impl FnOnce(&mut SslStream<TimedFd>) -> Result<(), E>,
    ) -> Result<&SslRef, StartError<E>> {
        self.flush().map_err(StartError::Stream)?;
        self.start = 0;
        self.end = 0;
        self.await_close = await_close;
        let fd = match std::mem::replace(&mut self.channel, Channel::Gone) {
            Channel::Plain(fd) => fd,
            other => {
                self.channel = other;
                return Err(StartError::Stream(self.end(StreamEnd::Lost)));
            }
        };
        self.start_over(ssl, fd, handshake)
    }

    fn start_over<E>(
        &mut self,
        ssl: Ssl,
        fd: TimedFd,
        handshake: impl FnOnce(&mut SslStream<TimedFd>) -> Result<(), E>,
    ) -> Result<&SslRef, StartError<E>> {
        let mut tls = match SslStream::new(ssl, fd) {
            Ok(mut tls) => {
                tls.get_mut().wait_inside(false);
                Box::new(tls)
            }
            Err(errors) => {
                self.end(StreamEnd::Lost);
                return Err(StartError::Library(errors));
            }
        };
        if let Err(error) = handshake(&mut tls) {
            self.end(if tls.get_ref().timed_out() { StreamEnd::Timeout } else { StreamEnd::Lost });
            return Err(StartError::Handshake(error));
        }
        self.channel = Channel::Tls(tls);
        match &self.channel {
            Channel::Tls(tls) => Ok(tls.ssl()),
            _ => Err(StartError::Stream(StreamEnd::Lost)),
        }
    }

    /// The TLS session, once there is one.
    pub fn ssl(&self) -> Option<&SslRef> {
        match &self.channel {
            Channel::Tls(tls) => Some(tls.ssl()),
            _ => None,
        }
    }

    /// Ends the conversation: writes what waits, says goodbye to TLS unless the stream has ended.
    pub fn close(&mut self) {
        let last_words = !self.await_close;
        if let Channel::Tls(tls) = &mut self.channel {
            tls.get_mut().hold_writes(last_words);
        }
        let _ = self.flush();
        if let Channel::Tls(tls) = &mut self.channel {
            if last_words {
                tls.get_mut().close_after_write();
            }
            // What goes wrong now concerns nobody.
            if self.ended.is_none() {
                let _ = tls::say_goodbye(tls, self.await_close);
            }
            let _ = tls.get_mut().write_held();
        }
        self.channel = Channel::Gone;
    }

    /// Reads no more: what was read is thrown away, what the client still sends is not looked at.
    pub fn stop_reading(&mut self) {
        self.consume(self.unread().len());
        self.deaf = true;
        if let Some(fd) = self.timed_fd() {
            fd.stop_reading();
        }
    }

    /// Drops the connection: what waits is not written, and the client is told nothing.
    pub fn abandon(&mut self) {
        if let Some(fd) = self.fd() {
            // A connection that is gone already need not be dropped.
            let _ = shutdown(fd.as_raw_fd(), Shutdown::Both);
        }
        self.output.clear();
    }

    /// How the stream ended, if it did.
    pub fn ended(&self) -> Option<StreamEnd> {
        self.ended
    }

    /// After a timeout, lets one more reply be tried (`421 4.4.2 … timeout exceeded`).
    pub fn forget_end(&mut self) {
        self.ended = None;
        if let Some(fd) = self.timed_fd() {
            fd.forget_error();
        }
    }

    /// The socket.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.channel {
            Channel::Plain(fd) => Some(fd.as_fd()),
            Channel::Tls(tls) => Some(tls.get_ref().as_fd()),
            Channel::Gone => None,
        }
    }

    fn timed_fd(&mut self) -> Option<&mut TimedFd> {
        match &mut self.channel {
            Channel::Plain(fd) => Some(fd),
            Channel::Tls(tls) => Some(tls.get_mut()),
            Channel::Gone => None,
        }
    }

    fn end(&mut self, end: StreamEnd) -> StreamEnd {
        *self.ended.get_or_insert(end)
    }

    fn failed(&mut self, error: &io::Error) -> StreamEnd {
        if let Some(errors) = library_errors(error) {
            log_library_errors(errors);
        }
        let timed_out = error.kind() == io::ErrorKind::TimedOut
            || self.timed_fd().is_some_and(|fd| fd.timed_out());
        self.end(if timed_out { StreamEnd::Timeout } else { StreamEnd::Lost })
    }
}

/// What OpenSSL says of a failed read or write.
fn library_errors(error: &io::Error) -> Option<&ErrorStack> {
    error.get_ref()?.downcast_ref::<openssl::ssl::Error>()?.ssl_error()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    use super::*;

    const NOW: Patience = Patience::PerTransfer(Duration::ZERO);

    /// A stream over two pipes; their other ends, to write and to read.
    fn pipes() -> (SmtpStream, File, File) {
        let (input, client) = nix::unistd::pipe().unwrap();
        let (replies, output) = nix::unistd::pipe().unwrap();
        let stream = SmtpStream::new(TimedFd::of_pair(input, output, NOW));
        (stream, client.into(), replies.into())
    }

    fn pair() -> (SmtpStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (SmtpStream::new(TimedFd::new(ours.into(), NOW)), theirs)
    }

    fn lines(stream: &mut SmtpStream, limit: usize) -> Vec<(Vec<u8>, Line)> {
        let mut all = Vec::new();
        let mut line = Vec::new();
        while let Ok(how) = stream.read_line(&mut line, limit) {
            all.push((line.clone(), how));
        }
        all
    }

    #[test]
    fn lines_end_at_lf() {
        let (mut stream, mut client) = pair();
        client.write_all(b"EHLO x\r\nNOOP\n\r\n").unwrap();
        let expected = [&b"EHLO x\r\n"[..], b"NOOP\n", b"\r\n"];
        assert_eq!(lines(&mut stream, 100), expected.map(|line| (line.to_vec(), Line::Complete)));
        assert_eq!(stream.ended(), Some(StreamEnd::Timeout));
    }

    #[test]
    fn a_long_line_is_cut() {
        let (mut stream, mut client) = pair();
        client.write_all(b"12345678\r\n").unwrap();
        drop(client);
        let expected = [(b"12345".to_vec(), Line::Cut), (b"678\r\n".to_vec(), Line::Complete)];
        assert_eq!(lines(&mut stream, 5), expected);
        assert_eq!(stream.ended(), Some(StreamEnd::Lost));
    }

    #[test]
    fn a_cr_at_the_limit_keeps_its_lf() {
        let (mut stream, mut client) = pair();
        client.write_all(b"1234\r\n1234\rx\n").unwrap();
        let expected = [
            (b"1234\r\n".to_vec(), Line::Complete),
            (b"1234\r".to_vec(), Line::Cut),
            (b"x\n".to_vec(), Line::Complete),
        ];
        assert_eq!(lines(&mut stream, 5), expected);
    }

    #[test]
    fn output_waits_until_input_would_block() {
        let (mut stream, mut client) = pair();
        stream.write(b"220 a\r\n").unwrap();
        stream.write(b"250 b\r\n").unwrap();
        client.set_nonblocking(true).unwrap();
        let mut buffer = [0; 100];
        assert!(client.read(&mut buffer).is_err());
        assert_eq!(stream.fill(), Err(StreamEnd::Timeout));
        assert_eq!(client.read(&mut buffer).unwrap(), 14);
        assert_eq!(&buffer[..14], b"220 a\r\n250 b\r\n");
    }

    #[test]
    fn much_output_does_not_wait() {
        let (mut stream, client) = pair();
        client.set_nonblocking(true).unwrap();
        stream.write(&[b'x'; WRITE_SIZE]).unwrap();
        assert_eq!((&client).read(&mut [0; 2 * WRITE_SIZE]).unwrap(), WRITE_SIZE);
    }

    #[test]
    fn pending_sees_what_the_kernel_has() {
        let (mut stream, mut client) = pair();
        assert!(!stream.pending());
        client.write_all(b"QUIT\r\n").unwrap();
        assert!(stream.pending());
        assert_eq!(stream.unread(), b"QUIT\r\n");
    }

    #[test]
    fn pending_is_not_fooled_by_an_end() {
        let (mut stream, client) = pair();
        drop(client);
        assert!(!stream.pending());
        assert_eq!(stream.ended(), None);
        assert_eq!(stream.fill(), Err(StreamEnd::Lost));
    }

    #[test]
    fn pending_leaves_output_waiting() {
        let (mut stream, mut client) = pair();
        stream.write(b"250 a\r\n").unwrap();
        client.write_all(b"x").unwrap();
        assert!(stream.pending());
        client.set_nonblocking(true).unwrap();
        assert!(client.read(&mut [0; 10]).is_err());
    }

    #[test]
    fn after_the_end_nothing_is_written() {
        let (mut stream, mut client) = pair();
        assert_eq!(stream.fill(), Err(StreamEnd::Timeout));
        stream.write(b"250 a\r\n").unwrap();
        assert_eq!(stream.flush(), Err(StreamEnd::Timeout));
        stream.forget_end();
        stream.write(b"421 b\r\n").unwrap();
        stream.close();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"421 b\r\n");
    }

    #[test]
    fn standard_input_and_output_may_be_pipes() {
        let (mut stream, mut client, mut replies) = pipes();
        assert!(!stream.pending());
        client.write_all(b"NOOP\r\nQUIT").unwrap();
        assert!(stream.pending());
        stream.write(b"220 a\r\n").unwrap();
        assert_eq!(lines(&mut stream, 100), [(b"NOOP\r\n".to_vec(), Line::Complete)]);
        assert_eq!(stream.ended(), Some(StreamEnd::Timeout));
        stream.forget_end();
        drop(client);
        assert_eq!(stream.fill(), Err(StreamEnd::Lost));
        stream.forget_end();
        stream.write(b"221 b\r\n").unwrap();
        stream.close();
        drop(stream);
        let mut said = String::new();
        replies.read_to_string(&mut said).unwrap();
        assert_eq!(said, "220 a\r\n221 b\r\n");
    }

    #[test]
    fn a_pipe_that_is_not_read_any_more_has_ended() {
        let (mut stream, mut client, replies) = pipes();
        client.write_all(b"NOOP\r\n").unwrap();
        stream.stop_reading();
        assert_eq!(stream.fill(), Err(StreamEnd::Lost));
        stream.forget_end();
        drop(replies);
        stream.write(b"421 a\r\n").unwrap();
        assert_eq!(stream.flush(), Err(StreamEnd::Lost));
    }

    #[test]
    fn an_idle_stream_keeps_no_large_buffer() {
        let (mut stream, mut client) = pair();
        stream.expect_much(true);
        client.write_all(&[b'a'; 3 * READ_SIZE_SMALL]).unwrap();
        stream.fill().unwrap();
        stream.fill().unwrap();
        assert!(stream.input.capacity() >= READ_SIZE);
        stream.expect_much(false);
        stream.consume(stream.unread().len());
        assert_eq!(stream.input.capacity(), 0);
        client.write_all(b"abc").unwrap();
        stream.fill().unwrap();
        assert!(stream.input.capacity() <= READ_SIZE_SMALL);
    }

    #[test]
    fn a_deadline_ends_even_when_bytes_keep_coming() {
        let (mut stream, mut client) = pair();
        client.write_all(b"NOOP\r\n").unwrap();
        let (at, limit) = (Instant::now(), Duration::from_secs(1));
        stream.be_patient(Patience::Deadline { at, limit, bytes_per_second: None });
        assert_eq!(stream.read_line(&mut Vec::new(), 100), Err(StreamEnd::Timeout));
    }

    #[test]
    fn bytes_earn_time_but_not_more_than_the_limit() {
        let (ours, mut client) = UnixStream::pair().unwrap();
        let (limit, now) = (Duration::from_secs(100), Instant::now());
        let at = now + Duration::from_secs(50);
        let patience = Patience::Deadline { at, limit, bytes_per_second: Some(10) };
        let mut fd = TimedFd::new(ours.into(), patience);
        client.write_all(&[b'x'; 100]).unwrap();
        assert_eq!(fd.read(&mut [0; 100]).unwrap(), 100);
        assert_eq!(fd.deadline(), Some(at + Duration::from_secs(10)));
        client.write_all(&[b'x'; 1000]).unwrap();
        assert_eq!(fd.read(&mut [0; 1000]).unwrap(), 1000);
        assert!(fd.deadline().unwrap() >= now + limit);
        assert!(fd.deadline().unwrap() <= Instant::now() + limit);
    }
}
