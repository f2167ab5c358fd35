//! Where records go: syslog(3), postlogd(8), standard error.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::Severity;
use super::emergency::{self, Prepared, SOCKET};
use crate::sys::time;
use crate::text::printable::make_printable;

/// Longest text of a record, in bytes. As Postfix.
const LONGEST: usize = 2000;

/// Tag, facility, socket.
#[derive(Debug)]
pub(super) struct Logger {
    pub(super) tag: Vec<u8>,
    pub(super) facility: u8,
    pub(super) utf8: bool,
    pub(super) stderr_tag: Option<Vec<u8>>,
    target: Target,
    connection: Option<Connection>,
    /// Of this process; 0: not asked yet.
    pid: u32,
    stamp: Stamp,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Nobody has opened the log: this is a library in a test.
    Nowhere,
    Syslog,
    /// Socket and name of this host.
    Postlog {
        socket: Vec<u8>,
        host: Vec<u8>,
    },
}

#[derive(Debug)]
enum Connection {
    Datagram(UnixDatagram),
    /// A syslogd(8) that wants a stream.
    Stream(UnixStream),
}

/// The time, as it was last written.
#[derive(Debug)]
struct Stamp {
    second: Option<i64>,
    text: [u8; 15],
}

impl Logger {
    pub(super) const fn new() -> Self {
        Self {
            tag: Vec::new(),
            facility: super::MAIL.0,
            utf8: false,
            stderr_tag: None,
            target: Target::Nowhere,
            connection: None,
            pid: 0,
            stamp: Stamp { second: None, text: [b' '; 15] },
            buffer: Vec::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.target != Target::Nowhere
    }

    /// Connects, unless we already are where we want.
    pub(super) fn open(&mut self, target: Target) {
        if self.connection.is_none() || self.target != target {
            self.target = target;
            self.connection = self.connect();
        }
    }

    fn connect(&self) -> Option<Connection> {
        let connection = match &self.target {
            Target::Nowhere => None,
            Target::Syslog => connect("/dev/log".as_ref()).ok(),
            Target::Postlog { socket, .. } => connect(Path::new(OsStr::from_bytes(socket))).ok(),
        };
        SOCKET.store(connection.as_ref().map_or(-1, Connection::number), Ordering::Relaxed);
        connection
    }

    /// Prepares the record of a watchdog that bites.
    pub(super) fn prepare_emergency(&mut self, text: &[u8]) {
        let Some(form) = self.head() else { return };
        let (start, stamp, zero) = match form {
            Form::Syslog => (self.put_priority(Severity::Fatal), PRIORITY_PLACE, b' '),
            Form::Postlog => (0, 0, b'0'),
        };
        masked(&mut self.buffer, Severity::Fatal, text, self.utf8);
        emergency::prepare(Prepared {
            head: self.buffer[start..stamp].to_vec(),
            tail: self.buffer[stamp + 15..].to_vec(),
            zero,
            offset: time::local(time::now()).offset.into(),
        });
    }

    /// Puts the priority in front of the head, where room was left; says where it begins.
    fn put_priority(&mut self, severity: Severity) -> usize {
        let priority = format!("<{}>", self.facility << 3 | severity.priority());
        let start = PRIORITY_PLACE - priority.len();
        self.buffer[start..PRIORITY_PLACE].copy_from_slice(priority.as_bytes());
        start
    }

    pub(super) fn write(&mut self, severity: Severity, text: &[u8]) {
        let Some(form) = self.head() else { return };
        let text = masked(&mut self.buffer, severity, text, self.utf8);
        if let Some(tag) = &self.stderr_tag {
            // What does not reach the terminal reaches the log.
            let _ = to_stderr(tag, &self.buffer[text..]);
        }
        let start = match form {
            Form::Syslog => self.put_priority(severity),
            Form::Postlog => 0,
        };
        self.send(start);
    }

    /// Puts what stands before the text into the buffer.
    fn head(&mut self) -> Option<Form> {
        self.buffer.clear();
        let form = match &self.target {
            Target::Nowhere => return None,
            Target::Syslog => {
                self.buffer.resize(PRIORITY_PLACE, 0);
                let stamp = self.stamp.now();
                self.buffer.extend_from_slice(stamp);
                // syslog has a blank where a file has a zero.
                let day = PRIORITY_PLACE + 4;
                if self.buffer[day] == b'0' {
                    self.buffer[day] = b' ';
                }
                Form::Syslog
            }
            Target::Postlog { host, .. } => {
                let stamp = self.stamp.now();
                self.buffer.extend_from_slice(stamp);
                self.buffer.push(b' ');
                let end = memchr::memchr(b'.', host).unwrap_or(host.len());
                self.buffer.extend_from_slice(&host[..end]);
                Form::Postlog
            }
        };
        if self.pid == 0 {
            self.pid = std::process::id();
        }
        crate::text::fill::fill_into(&mut self.buffer, " {}[{}]: ", &[&self.tag, &self.pid]);
        Some(form)
    }

    /// Sends the buffer from `start` on. What cannot be sent is lost, as with syslog(3).
    fn send(&mut self, start: usize) {
        let sent = match &mut self.connection {
            Some(connection) => connection.send(&self.buffer[start..]).is_ok(),
            None => false,
        };
        if !sent {
            self.connection = self.connect();
            if let Some(connection) = &mut self.connection {
                let _ = connection.send(&self.buffer[start..]);
            }
        }
    }
}

/// Room for `<191>`.
const PRIORITY_PLACE: usize = 5;

#[derive(Debug, Clone, Copy)]
enum Form {
    Syslog,
    Postlog,
}

fn connect(path: &Path) -> io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    match socket.connect(path) {
        Ok(()) => Ok(Connection::Datagram(socket)),
        Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
            Ok(Connection::Stream(UnixStream::connect(path)?))
        }
        Err(error) => Err(error),
    }
}

impl Connection {
    fn number(&self) -> RawFd {
        match self {
            Self::Datagram(socket) => socket.as_raw_fd(),
            Self::Stream(socket) => socket.as_raw_fd(),
        }
    }

    fn send(&mut self, record: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagram(socket) => socket.send(record).map(|_| ()),
            // A NUL ends the record.
            Self::Stream(socket) => socket.write_all(&[record, &[0]].concat()),
        }
    }
}

pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Stamp {
    /// `Nov 23 15:23:41`, local time.
    fn now(&mut self) -> &[u8] {
        let now = time::now();
        let (second, _) = time::since_epoch(now);
        if self.second != Some(second) {
            self.second = Some(second);
            let local = time::local(now);
            let month = MONTHS[usize::from(local.month.wrapping_sub(1) % 12)];
            let mut place = self.text.as_mut_slice();
            // The text is as long as its place.
            let _ = write!(
                place,
                "{month} {:02} {:02}:{:02}:{:02}",
                local.day, local.hour, local.minute, local.second
            );
        }
        &self.text
    }
}

/// Appends severity and text, one line without control bytes; says where they begin.
fn masked(buffer: &mut Vec<u8>, severity: Severity, text: &[u8], utf8: bool) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(severity.prefix().as_bytes());
    let at = buffer.len();
    buffer.extend_from_slice(text);
    make_printable(&mut buffer[at..], b'?', utf8);
    buffer.truncate(at + LONGEST);
    start
}

fn to_stderr(tag: &[u8], text: &[u8]) -> io::Result<()> {
    io::stderr().write_all(&fill!("{}: {}\n", tag, text))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at_noon() {
        // 2026-11-03, some time of day.
        time::fix(Some(UNIX_EPOCH + Duration::from_secs(1_793_707_200)));
    }

    fn record(target: Target, severity: Severity, text: &[u8]) -> Vec<u8> {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        at_noon();
        let mut logger = Logger::new();
        logger.tag = b"postfix/smtpd".to_vec();
        logger.target = target;
        logger.connection = Some(Connection::Datagram(ours));
        logger.write(severity, text);
        time::fix(None);
        let mut record = vec![0; 4096];
        let len = theirs.recv(&mut record).unwrap();
        record.truncate(len);
        record
    }

    fn clock() -> String {
        at_noon();
        let local = time::local(time::now());
        time::fix(None);
        format!("{:02}:{:02}:{:02}", local.hour, local.minute, local.second)
    }

    #[test]
    fn syslog_gets_priority_time_and_tag() {
        let record = record(Target::Syslog, Severity::Warning, b"a\tb\xff");
        let text =
            format!("<20>Nov  3 {} postfix/smtpd[{}]: warning: a?b?", clock(), std::process::id());
        assert_eq!(String::from_utf8(record).unwrap(), text);
    }

    #[test]
    fn postlogd_gets_time_host_and_tag() {
        let target = Target::Postlog { socket: Vec::new(), host: b"mx.example".to_vec() };
        let record = record(target, Severity::Info, b"connect from x");
        let text =
            format!("Nov 03 {} mx postfix/smtpd[{}]: connect from x", clock(), std::process::id());
        assert_eq!(String::from_utf8(record).unwrap(), text);
    }

    #[test]
    fn a_text_is_cut_without_counting_its_head() {
        let record = record(Target::Syslog, Severity::Fatal, &[b'x'; 3000]);
        let at = record.windows(9).position(|part| part == b": fatal: ").unwrap();
        assert_eq!(record.len(), at + 9 + LONGEST);
    }

    #[test]
    fn a_lost_listener_loses_nothing_but_the_record() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        drop(theirs);
        let mut logger = Logger::new();
        logger.target =
            Target::Postlog { socket: b"/nonexistent/postlog".to_vec(), host: Vec::new() };
        logger.connection = Some(Connection::Datagram(ours));
        logger.write(Severity::Info, b"lost");
        assert!(logger.connection.is_none());
        logger.write(Severity::Info, b"lost again");
    }

    #[test]
    fn utf8_stands_in_the_log_where_it_may() {
        let mut buffer = Vec::new();
        masked(&mut buffer, Severity::Info, "é\n".as_bytes(), true);
        assert_eq!(buffer, "é?".as_bytes());
        buffer.clear();
        masked(&mut buffer, Severity::Panic, "é".as_bytes(), false);
        assert_eq!(buffer, b"panic: ??");
    }
}
