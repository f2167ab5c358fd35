//! A descriptor whose reads and writes end in time.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{MsgFlags, Shutdown, recv, setsockopt, shutdown};
use nix::sys::time::TimeVal;

use super::outgoing::Outgoing;

/// What a pipe takes when it says that it can be written to.
const PIPE_ROOM: usize = libc::PIPE_BUF;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// Each read or write for itself.
    PerTransfer(Duration),
    /// All reads and writes together until `at`. With `bytes_per_second`, each transfer earns
    /// time, but never more than `limit` from now (smtpd_min_data_rate).
    Deadline {
        /// When patience ends.
        at: Instant,
        /// The most that may be left.
        limit: Duration,
        /// Bytes that earn a second.
        bytes_per_second: Option<u32>,
    },
}

/// A socket with patience, or a pair of pipes or terminals, one to read and one to write. Where each
/// read has its own time, the kernel keeps it; a shared deadline is kept here: try first, and wait
/// only where the kernel has nothing. So it is with writes, which hardly ever have to wait.
#[derive(Debug)]
pub struct TimedFd {
    fd: OwnedFd,
    /// Where writes go, if not to `fd`; then neither need be a socket.
    output: Option<OwnedFd>,
    patience: Patience,
    waits: bool,
    /// Though reads do not wait, the kernel may.
    kernel_may_wait: bool,
    /// It did, in vain.
    kernel_gave_up: bool,
    outgoing: Outgoing,
    /// No more is read, though it comes.
    deaf: bool,
    /// What the kernel knows of our patience.
    kernel_limit: Option<Duration>,
    error: Option<Errno>,
    /// What is said over it is logged.
    watched: bool,
}

impl TimedFd {
    /// Takes over `fd`, a connected socket.
    pub fn new(fd: OwnedFd, patience: Patience) -> Self {
        Self {
            fd,
            output: None,
            patience,
            waits: true,
            kernel_may_wait: false,
            kernel_gave_up: false,
            outgoing: Outgoing::default(),
            deaf: false,
            kernel_limit: None,
            error: None,
            watched: false,
        }
    }

    /// Takes over standard input and output, of whatever kind.
    pub fn of_pair(input: OwnedFd, output: OwnedFd, patience: Patience) -> Self {
        Self { output: Some(output), ..Self::new(input, patience) }
    }

    /// Reads no more: what still comes is refused by the kernel, or not looked at.
    pub fn stop_reading(&mut self) {
        self.deaf = self.output.is_some();
        // A connection that is gone already is not read either; a pipe knows no such thing.
        let _ = shutdown(self.fd.as_raw_fd(), Shutdown::Read);
    }

    /// Sets how long to wait from now on.
    pub fn be_patient(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// When patience ends, if all transfers share it.
    pub fn deadline(&self) -> Option<Instant> {
        match self.patience {
            Patience::PerTransfer(_) => None,
            Patience::Deadline { at, .. } => Some(at),
        }
    }

    /// Whether reads and writes wait (as they do at first). Else they end in `WouldBlock` where the
    /// kernel has nothing, and waiting is the caller's: [`wait_readable`](Self::wait_readable).
    pub fn wait_inside(&mut self, waits: bool) {
        self.waits = waits;
    }

    /// Where reads don't wait: whether the kernel may wait in them all the same, where it keeps the
    /// time. A read that then ends in `WouldBlock` has used its time up, and
    /// [`wait_readable`](Self::wait_readable) says so.
    pub fn let_kernel_wait(&mut self, may: bool) {
        self.kernel_may_wait = may && !self.watched;
    }

    /// From now on the log shows what is said over it, and each read that would wait: the kernel does
    /// not wait in them.
    pub fn watch(&mut self) {
        self.watched = true;
    }

    /// Whether the log shows what is said.
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// Whether what is written is held until a read must wait, or until it is to be
    /// [released](Self::release). What is held when this ends goes out with the next write, or before
    /// the next wait.
    pub fn hold_writes(&mut self, holds: bool) {
        self.outgoing.holds = holds && self.output.is_none();
    }

    /// Holds no longer: writes what was held, as far as the kernel takes it at once.
    pub fn release(&mut self) {
        self.outgoing.holds = false;
        if self.outgoing.is_held() {
            // The next write or wait will meet what goes wrong.
            let _ = self.outgoing.send(self.fd.as_raw_fd(), &[], MsgFlags::MSG_DONTWAIT);
        }
    }

    /// From now on, what is written goes out together with the end of the connection, which must
    /// follow at once.
    pub fn close_after_write(&mut self) {
        self.outgoing.ends = true;
    }

    /// Why a read or write failed, if one did; `ETIMEDOUT` when its time was over.
    pub fn error(&self) -> Option<Errno> {
        self.error
    }

    /// Forgets [`error`](Self::error).
    pub fn forget_error(&mut self) {
        self.error = None;
    }

    /// Whether a read or write ended because its time was over.
    pub fn timed_out(&self) -> bool {
        self.error == Some(Errno::ETIMEDOUT)
    }

    /// Whether a read would give something (bytes, or the end) now.
    pub fn readable(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
    }

    /// Waits until a read can go on.
    pub fn wait_readable(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.kernel_gave_up) {
            return Err(self.failed(Errno::ETIMEDOUT));
        }
        self.write_on()?;
        self.wait(PollFlags::POLLIN)
    }

    /// Waits until a write can go on.
    pub fn wait_writable(&mut self) -> io::Result<()> {
        self.wait(PollFlags::POLLOUT)
    }

    fn wait(&mut self, events: PollFlags) -> io::Result<()> {
        loop {
            let left = match self.patience {
                Patience::PerTransfer(limit) => limit,
                Patience::Deadline { at, .. } => at.saturating_duration_since(Instant::now()),
            };
            // Round up, so as not to spin in the last millisecond.
            let millis = left.as_millis().saturating_add(1).min(i32::MAX as u128) as i32;
            let timeout = if left.is_zero() {
                PollTimeout::ZERO
            } else {
                PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
            };
            let output = self.output.as_ref().filter(|_| events == PollFlags::POLLOUT);
            let fd = output.unwrap_or(&self.fd).as_fd();
            match poll(&mut [PollFd::new(fd, events)], timeout) {
                Ok(0) => return Err(self.failed(Errno::ETIMEDOUT)),
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn expired(&mut self) -> io::Result<()> {
        if let Patience::Deadline { at, .. } = self.patience {
            if Instant::now() >= at {
                return Err(self.failed(Errno::ETIMEDOUT));
            }
        }
        Ok(())
    }

    fn failed(&mut self, error: Errno) -> io::Error {
        self.error = Some(error);
        error.into()
    }

    /// How to read: the kernel waits where it may and can keep the time.
    fn reading(&mut self, may_wait: bool) -> MsgFlags {
        let waits = match self.patience {
            Patience::PerTransfer(limit) => may_wait && self.kernel_waits(limit),
            Patience::Deadline { .. } => false,
        };
        if waits { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT }
    }

    /// Tells the kernel how long to wait; whether it took it (only sockets do). No limit at all
    /// is 0 for the kernel, so that is left to us.
    fn kernel_waits(&mut self, limit: Duration) -> bool {
        if self.kernel_limit == Some(limit) {
            return true;
        }
        let Ok(seconds) = i64::try_from(limit.as_secs()) else { return false };
        let time = TimeVal::new(seconds, i64::from(limit.subsec_micros()));
        let took = limit >= Duration::from_micros(1)
            && setsockopt(&self.fd, ReceiveTimeout, &time).is_ok();
        if took {
            self.kernel_limit = Some(limit);
        }
        took
    }

    /// Reads what there is now; 0 where there is nothing, or an end or error, which the next read
    /// will meet.
    pub fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        if self.output.is_none() {
            return recv(self.fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT).unwrap_or(0);
        }
        if self.readable() { nix::unistd::read(&self.fd, buffer).unwrap_or(0) } else { 0 }
    }

    /// Reads from what may be no socket: waits, then reads what there is.
    fn read_any(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.waits {
                self.wait(PollFlags::POLLIN)?;
            } else if !self.readable() {
                return Err(ErrorKind::WouldBlock.into());
            }
            match nix::unistd::read(&self.fd, buffer) {
                Ok(len) => {
                    self.earn(len);
                    return Ok(len);
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// Writes what a pipe with some room takes at once.
    fn write_any(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let some = buffer.get(..PIPE_ROOM).unwrap_or(buffer);
        loop {
            self.wait(PollFlags::POLLOUT)?;
            let Some(output) = &self.output else { return Err(ErrorKind::BrokenPipe.into()) };
            match nix::unistd::write(output, some) {
                Ok(len) => return Ok(len),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// What to do where the kernel has nothing.
    fn would_block(&mut self, events: PollFlags) -> io::Result<()> {
        if self.waits { self.wait(events) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    /// The kernel has waited for something to read.
    fn gave_up(&mut self) -> io::Error {
        if self.waits {
            return self.failed(Errno::ETIMEDOUT);
        }
        self.kernel_gave_up = true;
        ErrorKind::WouldBlock.into()
    }

    /// Before the kernel waits: writes what was held, unless there is something to read already.
    fn read_or_write_held(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = if self.outgoing.holds { 0 } else { self.read_now(buffer) };
        if there == 0 {
            self.write_on()?;
        }
        Ok(there)
    }

    /// Holds no longer: writes what was held, all of it.
    pub fn write_held(&mut self) -> io::Result<()> {
        self.outgoing.holds = false;
        self.write_on()
    }

    fn write_on(&mut self) -> io::Result<()> {
        while self.outgoing.is_held() {
            match self.outgoing.send(self.fd.as_raw_fd(), &[], MsgFlags::MSG_DONTWAIT) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT)?,
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    fn earn(&mut self, bytes: usize) {
        if let Patience::Deadline { at, limit, bytes_per_second: Some(rate @ 1..) } =
            &mut self.patience
        {
            *at += Duration::from_secs_f64(bytes as f64 / f64::from(*rate));
            *at = (*at).min(Instant::now() + *limit);
        }
    }
}

impl Read for TimedFd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.deaf {
            return Ok(0);
        }
        self.expired()?;
        if self.output.is_some() {
            return self.read_any(buffer);
        }
        let flags = self.reading(self.waits || self.kernel_may_wait);
        if flags.is_empty() && self.outgoing.is_held() {
            let there = self.read_or_write_held(buffer)?;
            if there > 0 {
                return Ok(there);
            }
        }
        loop {
            match recv(self.fd.as_raw_fd(), buffer, flags) {
                Ok(len) => {
                    self.earn(len);
                    return Ok(len);
                }
                Err(Errno::EAGAIN) if flags.is_empty() => return Err(self.gave_up()),
                Err(Errno::EAGAIN) => self.would_block(PollFlags::POLLIN)?,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }
}

impl Write for TimedFd {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.expired()?;
        if self.output.is_some() {
            return self.write_any(buffer);
        }
        if self.outgoing.holds {
            self.outgoing.hold(buffer);
            return Ok(buffer.len());
        }
        loop {
            match self.outgoing.send(self.fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => return Ok(len),
                Err(Errno::EAGAIN) => self.would_block(PollFlags::POLLOUT)?,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for TimedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for TimedFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
