//! The conversation with a client: lines in, replies out, in clear or over TLS.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use openssl::ssl::{ShutdownResult, Ssl, SslRef, SslStream};

use super::{Patience, TimedFd};

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

enum Channel {
    Plain(TimedFd),
    Tls(Box<SslStream<TimedFd>>),
    Gone,
}

/// Bytes read at once.
const READ_SIZE: usize = 64 * 1024;
/// Bytes read at once before the first message: a session without mail needs no more.
const READ_SIZE_SMALL: usize = 4096;
/// Output is written when this much waits.
const WRITE_SIZE: usize = 4096;
/// Output does not wait longer than this (seconds).
const FLUSH_AFTER: Duration = Duration::from_secs(10);

/// A client's connection with its buffers. Output waits until input would block.
pub struct SmtpStream {
    channel: Channel,
    input: Vec<u8>,
    start: usize,
    read_size: usize,
    output: Vec<u8>,
    last_write: Instant,
    ended: Option<StreamEnd>,
}

impl SmtpStream {
    /// Talks over `fd`, a connected socket.
    pub fn new(fd: TimedFd) -> Self {
        Self {
            channel: Channel::Plain(fd),
            input: Vec::new(),
            start: 0,
            read_size: READ_SIZE_SMALL,
            output: Vec::new(),
            last_write: Instant::now(),
            ended: None,
        }
    }

    /// Sets how long to wait from now on.
    pub fn be_patient(&mut self, patience: Patience) {
        match &mut self.channel {
            Channel::Plain(fd) => fd.be_patient(patience),
            Channel::Tls(tls) => tls.get_mut().be_patient(patience),
            Channel::Gone => {}
        }
    }

    /// Reads much at once from now on, or little again.
    pub fn expect_much(&mut self, much: bool) {
        self.read_size = if much { READ_SIZE } else { READ_SIZE_SMALL };
    }

    /// What was read and not yet taken.
    pub fn unread(&self) -> &[u8] {
        &self.input[self.start..]
    }

    /// Takes the first `len` bytes of what was read.
    pub fn consume(&mut self, len: usize) {
        self.start += len.min(self.input.len() - self.start);
        if self.start == self.input.len() {
            self.start = 0;
            self.input.clear();
            if self.input.capacity() > self.read_size {
                self.input = Vec::new();
            }
        }
    }

    /// Reads more into [`unread`](Self::unread); first writes what waits, since the client may be
    /// waiting for it.
    pub fn fill(&mut self) -> Result<(), StreamEnd> {
        self.flush()?;
        if self.start > 0 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        let old = self.input.len();
        self.input.resize(old + self.read_size, 0);
        let result = match &mut self.channel {
            Channel::Plain(fd) => fd.read(&mut self.input[old..]),
            Channel::Tls(tls) => tls.read(&mut self.input[old..]),
            Channel::Gone => Ok(0),
        };
        self.input.truncate(old + result.as_ref().map_or(0, |len| *len));
        match result {
            Ok(0) => Err(self.end(StreamEnd::Lost)),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(&error)),
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
                return Ok(Line::Cut);
            }
            self.fill()?;
        }
    }

    /// Whether the client has sent more than we have taken: unread, or waiting in the socket (then
    /// it is read).
    pub fn pending(&mut self) -> bool {
        if self.unread().is_empty() && self.readable() {
            let old_size = self.read_size;
            let _ = self.fill_available();
            self.read_size = old_size;
        }
        !self.unread().is_empty()
    }

    fn readable(&self) -> bool {
        match &self.channel {
            Channel::Plain(fd) => fd.readable(),
            Channel::Tls(tls) => tls.ssl().pending() > 0 || tls.get_ref().readable(),
            Channel::Gone => false,
        }
    }

    /// Reads what is there without flushing output.
    fn fill_available(&mut self) -> Result<(), StreamEnd> {
        let output = std::mem::take(&mut self.output);
        let result = self.fill();
        self.output = output;
        if result == Err(StreamEnd::Lost) {
            // The end will be met again by the next read.
            self.ended = None;
        }
        result
    }

    /// Puts `bytes` into the output; they are written when input would block, or when much waits.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StreamEnd> {
        self.output.extend_from_slice(bytes);
        if self.output.len() >= WRITE_SIZE || self.last_write.elapsed() > FLUSH_AFTER {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what waits.
    pub fn flush(&mut self) -> Result<(), StreamEnd> {
        if self.output.is_empty() {
            return Ok(());
        }
        let result = match &mut self.channel {
            Channel::Plain(fd) => fd.write_all(&self.output),
            Channel::Tls(tls) => tls.write_all(&self.output),
            Channel::Gone => Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.output.clear();
        self.last_write = Instant::now();
        result.map_err(|error| self.failed(&error))
    }

    /// Goes over to TLS as the server. Output is written before; all that was read in clear is
    /// thrown away: what came before the handshake must not count afterwards (CVE-2011-0411).
    pub fn accept_tls(&mut self, ssl: Ssl) -> Result<&SslRef, AcceptError> {
        self.flush().map_err(AcceptError::Stream)?;
        self.start = 0;
        self.input.clear();
        let fd = match std::mem::replace(&mut self.channel, Channel::Gone) {
            Channel::Plain(fd) => fd,
            other => {
                self.channel = other;
                return Err(AcceptError::Stream(StreamEnd::Lost));
            }
        };
        let mut tls = Box::new(SslStream::new(ssl, fd).map_err(AcceptError::Library)?);
        let result = tls.accept();
        let timed_out = tls.get_ref().timed_out();
        self.channel = Channel::Tls(tls);
        if let Err(error) = result {
            self.end(if timed_out { StreamEnd::Timeout } else { StreamEnd::Lost });
            return Err(AcceptError::Handshake { error, timed_out });
        }
        match &self.channel {
            Channel::Tls(tls) => Ok(tls.ssl()),
            _ => Err(AcceptError::Stream(StreamEnd::Lost)),
        }
    }

    /// The TLS session, once there is one.
    pub fn ssl(&self) -> Option<&SslRef> {
        match &self.channel {
            Channel::Tls(tls) => Some(tls.ssl()),
            _ => None,
        }
    }

    /// Ends the conversation: writes what waits, tells TLS.
    pub fn close(&mut self) {
        let _ = self.flush();
        if let Channel::Tls(tls) = &mut self.channel {
            if self.ended.is_none() {
                let _: Result<ShutdownResult, _> = tls.shutdown();
            }
        }
        self.channel = Channel::Gone;
    }

    /// How the stream ended, if it did.
    pub fn ended(&self) -> Option<StreamEnd> {
        self.ended
    }

    /// The socket.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.channel {
            Channel::Plain(fd) => Some(fd.as_fd()),
            Channel::Tls(tls) => Some(tls.get_ref().as_fd()),
            Channel::Gone => None,
        }
    }

    fn end(&mut self, end: StreamEnd) -> StreamEnd {
        *self.ended.get_or_insert(end)
    }

    fn failed(&mut self, error: &io::Error) -> StreamEnd {
        let timed_out = error.kind() == io::ErrorKind::TimedOut
            || match &self.channel {
                Channel::Plain(fd) => fd.timed_out(),
                Channel::Tls(tls) => tls.get_ref().timed_out(),
                Channel::Gone => false,
            };
        self.end(if timed_out { StreamEnd::Timeout } else { StreamEnd::Lost })
    }
}

/// Why a handshake failed.
#[derive(Debug)]
pub enum AcceptError {
    /// The connection ended before.
    Stream(StreamEnd),
    /// OpenSSL could not make the stream.
    Library(openssl::error::ErrorStack),
    /// The handshake itself.
    Handshake {
        /// What OpenSSL says.
        error: openssl::ssl::Error,
        /// Whether it took too long.
        timed_out: bool,
    },
}
