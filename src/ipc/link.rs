//! A connection to another service: connect, announcement, question, answer, and what to do when
//! one of these fails.
//!
//! There are two ways to go on after a failure: [`Link::ask`] asks until there is an answer
//! (Postfix: `clnt_stream`), [`Link::try_ask`] gives up after some tries (`attr_clnt`). A
//! connection is kept for the next question; it is closed when it was idle or open for too long,
//! but only between sessions ([`Link::tend`]), as the original's event loop does.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, Instant};

use libc::{EADDRNOTAVAIL, ECONNRESET, EINVAL, ENOENT, EPIPE};

use crate::config::Config;
use crate::log::Fatal;
use crate::sys::errno::errno_text;
use crate::sys::names;
use crate::sys::pause::pause;
use crate::sys::service_socket::ServiceSocket;
use crate::wire::attr::{Attr, BadAttr, Decoder, Form, Limits, List, Scan, encode};

/// Bytes that are read at once.
const READ_SIZE: usize = 2048;
/// Time between connects that must succeed. As Postfix: `mail_connect_wait()`.
const CONNECT_DELAY: Duration = Duration::from_secs(10);
/// The connect whose failure is fatal.
const CONNECT_LIMIT: u32 = 11;
/// A connection that was used so recently is not looked at before the next question.
const FRESH: Duration = Duration::from_secs(1);
/// Time between questions that must be answered.
const ASK_DELAY: Duration = Duration::from_secs(1);

/// Where a service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A service of master.cf, relative to the queue directory: `private/rewrite`.
    Postfix(Vec<u8>),
    /// Any other UNIX socket.
    Unix(Vec<u8>),
    /// `host:port`; no host is `localhost`.
    Inet(Vec<u8>),
}

impl Endpoint {
    /// Reads `inet:host:port`, `unix:path` or `local:path`. As Postfix: `auto_clnt_create()`.
    pub fn parse(service: &[u8]) -> Result<Self, Fatal> {
        let at = service.iter().position(|&byte| byte == b':').unwrap_or(0);
        let (transport, endpoint) = service.split_at(at);
        let endpoint = endpoint.get(1..).unwrap_or_default();
        if transport.is_empty() || endpoint.is_empty() {
            return Err(fatal!("need service transport:endpoint instead of \"{}\"", service));
        }
        match transport {
            b"inet" => Ok(Self::Inet(endpoint.to_vec())),
            b"unix" | b"local" => Ok(Self::Unix(endpoint.to_vec())),
            _ => Err(fatal!("invalid transport name: {} in service: {}", transport, service)),
        }
    }

    /// As it stands in logs when a connect fails: `private/rewrite`.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Postfix(name) | Self::Unix(name) | Self::Inet(name) => name,
        }
    }

    /// As it stands in logs when a conversation fails: `private/rewrite socket`.
    fn stream_name(&self) -> Vec<u8> {
        match self {
            Self::Postfix(name) => fill!("{} socket", name),
            Self::Unix(name) | Self::Inet(name) => name.clone(),
        }
    }

    /// Connects, once.
    pub fn connect(&self, limit: Duration) -> io::Result<ServiceSocket> {
        match self {
            Self::Postfix(path) | Self::Unix(path) => ServiceSocket::connect_unix(path, limit),
            Self::Inet(name) => connect_inet(name, limit),
        }
    }

    /// Connects, however long it takes: 10 failures, 10 seconds apart, are logged; one more is
    /// fatal. As Postfix: `mail_connect_wait()`.
    pub fn connect_patiently(&self, limit: Duration) -> Result<ServiceSocket, Fatal> {
        for count in 1.. {
            let error = match self.connect(limit) {
                Ok(socket) => return Ok(socket),
                Err(error) => errno_text(errno(&error)),
            };
            if count >= CONNECT_LIMIT {
                return Err(fatal!("connect #{} to subsystem {}: {}", count, self.name(), error));
            }
            warning!("connect #{} to subsystem {}: {}", count, self.name(), error);
            pause(CONNECT_DELAY);
        }
        unreachable!("the last connect ended the loop")
    }
}

/// As Postfix: `inet_connect()`: all addresses of the host in turn.
fn connect_inet(name: &[u8], limit: Duration) -> io::Result<ServiceSocket> {
    let Some((host, port)) = split_host_port(name) else {
        return Err(io::Error::from_raw_os_error(EINVAL));
    };
    let addresses = names::listeners(host, port).map_err(|error| {
        warning!("host or service {} not found: {}", name, error.text());
        io::Error::from_raw_os_error(EADDRNOTAVAIL)
    })?;
    let mut last = io::Error::from_raw_os_error(EADDRNOTAVAIL);
    for address in &addresses {
        match ServiceSocket::connect_inet(address, limit) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `host:port`, `[address]:port`, `:port` or `port`.
fn split_host_port(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let (host, port) = match name.iter().rposition(|&byte| byte == b':') {
        Some(at) => (name.get(..at)?, name.get(at.checked_add(1)?..)?),
        None => (&b""[..], name),
    };
    let host = host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")).unwrap_or(host);
    if port.is_empty() {
        return None;
    }
    Some((if host.is_empty() { b"localhost" } else { host }, port))
}

/// The number of an error; 0 where it has none.
pub(super) fn errno(error: &io::Error) -> i32 {
    match error.kind() {
        io::ErrorKind::TimedOut => libc::ETIMEDOUT,
        io::ErrorKind::InvalidInput => EINVAL,
        _ => error.raw_os_error().unwrap_or(0),
    }
}

/// How a service is spoken to.
#[derive(Debug, Clone)]
pub struct Manner {
    /// The form of lists.
    pub form: Form,
    /// The protocol that it announces at the start of a connection, if any.
    pub announces: Option<&'static str>,
    /// For each read and write.
    pub timeout: Duration,
    /// After the last question, when the connection is closed; zero: never.
    pub idle: Duration,
    /// After the connect, when the connection is closed; zero: never.
    pub ttl: Duration,
    /// What we take.
    pub limits: Limits,
}

impl Manner {
    /// As most services are spoken to: lists with NULs, ipc_timeout, ipc_idle, ipc_ttl.
    pub fn of_services(config: &Config, announces: &'static str) -> Self {
        Self {
            form: Form::Null,
            announces: Some(announces),
            timeout: config.ipc_timeout,
            idle: config.ipc_idle,
            ttl: config.ipc_ttl,
            limits: Limits::SERVICE,
        }
    }
}

/// Why an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failure {
    /// Error number; 0 where the bytes were wrong.
    errno: i32,
    /// There was no connection.
    connecting: bool,
    /// Before the question.
    greeting: bool,
    /// Some of the answer's values were there.
    partial: bool,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        Self { errno: errno(error), ..Self::WRONG }
    }

    const WRONG: Self = Self { errno: 0, connecting: false, greeting: false, partial: false };
}

/// A connection with what was read and not yet taken.
#[derive(Debug)]
pub struct Connection {
    socket: ServiceSocket,
    decoder: Decoder,
    name: Vec<u8>,
    /// The service closed it before the first byte of a list.
    ended: bool,
    opened: Instant,
    used: Instant,
}

impl Connection {
    pub(super) fn new(socket: ServiceSocket, endpoint: &Endpoint, manner: &Manner) -> Self {
        let now = Instant::now();
        let decoder = Decoder::new(manner.form, manner.limits);
        let name = endpoint.stream_name();
        Self { socket, decoder, name, ended: false, opened: now, used: now }
    }

    /// Connects for one conversation.
    pub(super) fn open_patiently(endpoint: &Endpoint, manner: &Manner) -> Result<Self, Fatal> {
        Ok(Self::new(endpoint.connect_patiently(manner.timeout)?, endpoint, manner))
    }

    /// Connects for one conversation, once.
    pub(super) fn open(endpoint: &Endpoint, manner: &Manner) -> io::Result<Self> {
        Ok(Self::new(endpoint.connect(manner.timeout)?, endpoint, manner))
    }

    /// Reads the announcement, if the service makes one. `Err` has the error number.
    fn greet(&mut self, manner: &Manner) -> Result<(), i32> {
        let Some(wanted) = manner.announces else { return Ok(()) };
        self.read_values(true, |scan| scan.expect("protocol", wanted)).map_err(|(errno, _)| errno)
    }

    /// The same, but a service that is already gone is noticed only when it is asked, as in Postfix.
    pub(super) fn greet_leniently(&mut self, manner: &Manner) -> Result<(), i32> {
        match self.greet(manner) {
            Err(0) if self.ended => Ok(()),
            other => other,
        }
    }

    /// Writes all.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// A list began, and does not go on.
    fn warn_of_end(&self, errno: i32) {
        if self.decoder.is_empty() {
            return;
        }
        let expected = self.decoder.expects();
        if self.decoder.is_within_field() {
            warning!("unexpected end-of-input from {} while reading {}", self.name, expected);
            return;
        }
        let what = if errno == libc::ETIMEDOUT { "timeout" } else { "premature end-of-input" };
        warning!("{} on {} while reading {}", what, self.name, expected);
    }

    /// The next list. What is wrong is logged, but for an end before the first byte.
    /// `Err` has the error number, 0 where there is none.
    pub(super) fn read_list(&mut self) -> Result<List, i32> {
        let mut buffer = [0; READ_SIZE];
        loop {
            match self.decoder.next_list() {
                Ok(Some(list)) => return Ok(list),
                Ok(None) => {}
                Err(bad) => {
                    let bad = bad.to_string();
                    warning!("{} from {} while reading {}", bad, self.name, self.decoder.expects());
                    return Err(0);
                }
            }
            let end = match self.socket.read(&mut buffer) {
                Ok(len @ 1..) => {
                    self.decoder.feed(buffer.get(..len).unwrap_or_default());
                    continue;
                }
                Ok(0) => 0,
                Err(error) => errno(&error),
            };
            self.ended = end == 0 && self.decoder.is_empty();
            self.warn_of_end(end);
            return Err(end);
        }
    }

    /// Takes the wanted values out of the next list. What is wrong is logged; what stands behind the
    /// wanted values is not taken for wrong.
    pub(super) fn read_values<T>(
        &mut self,
        strict: bool,
        wanted: impl FnOnce(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Result<T, (i32, usize)> {
        let list = self.read_list().map_err(|errno| (errno, 0))?;
        self.values_of(&list, strict, wanted).map_err(|found| (0, found))
    }

    /// The same, out of a list that is there. `Err` has the number of values that were found.
    fn values_of<T>(
        &self,
        list: &List,
        strict: bool,
        wanted: impl FnOnce(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Result<T, usize> {
        let mut scan = if strict { list.scan_strictly() } else { list.scan() };
        let result = wanted(&mut scan);
        let name = &self.name;
        let warn =
            |bad: &BadAttr| crate::log::write(crate::log::Severity::Warning, &bad.text(name));
        if result.is_ok() {
            let _ = scan.end().inspect_err(warn);
        }
        result.map_err(|bad| {
            warn(&bad);
            // Of what is malformed, nothing counts.
            let missing = matches!(bad, BadAttr::Missing(_) | BadAttr::Unexpected { .. });
            if missing { scan.found() } else { 0 }
        })
    }

    fn exchange<T>(
        &mut self,
        query: &[u8],
        strict: bool,
        wanted: impl FnOnce(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Result<T, Failure> {
        self.write(query).map_err(|error| Failure::of(&error))?;
        self.read_values(strict, wanted).map_err(|(errno, found)| Failure {
            errno,
            partial: found > 0,
            ..Failure::WRONG
        })
    }
}

/// A connection that is opened when it is needed, and kept.
#[derive(Debug)]
pub struct Link {
    endpoint: Endpoint,
    manner: Manner,
    connection: RefCell<Option<Connection>>,
    /// [`try_ask`](Self::try_ask) gave up over a connection. As Postfix: it is found broken by the
    /// next question, which has one try less.
    gave_up: Cell<bool>,
}

impl Link {
    /// A link to the service at `endpoint`. Nothing is opened yet.
    pub fn new(endpoint: Endpoint, manner: Manner) -> Self {
        Self { endpoint, manner, connection: RefCell::new(None), gave_up: Cell::new(false) }
    }

    /// Asks until there is an answer: without end, a second after each failure, but for a
    /// connect that fails for too long. The first failure is silent where the service may just
    /// have ended. `trouble` begins the warnings: `problem talking to service rewrite`.
    ///
    /// `wanted` takes its values out of the answer, in order; there may be no others.
    pub fn ask<T>(
        &self,
        trouble: &[u8],
        query: &[Attr<'_>],
        wanted: impl Fn(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Result<T, Fatal> {
        self.ask_and_warn(trouble, query, wanted, |count, errno| {
            count > 1 || ![0, EPIPE, ENOENT].contains(&errno)
        })
    }

    /// The same, but silent only where the connection broke or was not there, however often.
    pub fn ask_aloud<T>(
        &self,
        trouble: &[u8],
        query: &[Attr<'_>],
        wanted: impl Fn(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Result<T, Fatal> {
        self.ask_and_warn(trouble, query, wanted, |_, errno| ![EPIPE, ENOENT].contains(&errno))
    }

    fn ask_and_warn<T>(
        &self,
        trouble: &[u8],
        query: &[Attr<'_>],
        wanted: impl Fn(&mut Scan<'_>) -> Result<T, BadAttr>,
        warns: impl Fn(u64, i32) -> bool,
    ) -> Result<T, Fatal> {
        let query = self.encoded(query);
        for count in 1_u64.. {
            self.close_stale();
            let failure = match self.exchange_patiently(&query, &wanted)? {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let errno = if failure.greeting { 0 } else { failure.errno };
            if warns(count, errno) {
                warning!("{}: {}", trouble, errno_text(errno));
            }
            pause(ASK_DELAY);
        }
        unreachable!("an answer ends the loop")
    }

    /// Asks at most `tries` times (0: without end), `delay` apart. `None` when there is no
    /// answer, or not the whole of it; the reason is logged.
    ///
    /// `wanted` takes its values out of the answer, in order; others are skipped.
    pub fn try_ask<T>(
        &self,
        tries: u32,
        delay: Duration,
        query: &[Attr<'_>],
        wanted: impl Fn(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Option<T> {
        let query = self.encoded(query);
        let first = 1 + u32::from(self.gave_up.take());
        for count in first.. {
            self.close_stale();
            let failure = match self.exchange_once(&query, &wanted) {
                Ok(answer) => return Some(answer),
                Err(failure) if failure.partial => return None,
                Err(failure) => failure,
            };
            let last = tries > 0 && count >= tries;
            if last || ![0, EPIPE, ENOENT, ECONNRESET].contains(&failure.errno) {
                let name = self.endpoint.name();
                warning!("problem talking to server {}: {}", name, errno_text(failure.errno));
            }
            if last {
                self.gave_up.set(!failure.connecting);
                return None;
            }
            pause(delay);
        }
        None
    }

    /// A new session: that a connection broke in the one before was noticed in between.
    pub(super) fn forget_failure(&self) {
        self.gave_up.set(false);
    }

    /// Closes the connection, such as when the service says that it wants to end.
    pub fn close(&self) {
        self.connection.take();
    }

    /// Closes the connection because the answer makes no sense, and waits before the next question.
    pub(super) fn close_and_wait(&self) {
        self.close();
        pause(ASK_DELAY);
    }

    /// Between sessions: closes the connection when its time is over; gives the time at which to
    /// ask again. Whether the service has closed it is looked at before the next question.
    pub fn tend(&self, now: Instant) -> Option<Instant> {
        let due = self.due()?;
        if due <= now {
            self.close();
            return None;
        }
        Some(due)
    }

    /// Whether a connection is open.
    pub fn is_open(&self) -> bool {
        self.connection.borrow().is_some()
    }

    fn due(&self) -> Option<Instant> {
        let connection = self.connection.borrow();
        let Connection { used, opened, .. } = connection.as_ref()?;
        let after = |start: &Instant, time: Duration| {
            if time.is_zero() { None } else { start.checked_add(time) }
        };
        let due = [after(used, self.manner.idle), after(opened, self.manner.ttl)];
        due.into_iter().flatten().min()
    }

    /// A service that says something unasked, or nothing more, is gone.
    fn close_stale(&self) {
        let mut connection = self.connection.borrow_mut();
        let stale = |it: &Connection| it.used.elapsed() >= FRESH && it.socket.readable();
        if connection.as_ref().is_some_and(stale) {
            *connection = None;
        }
    }

    fn encoded(&self, query: &[Attr<'_>]) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        encode(self.manner.form, query, &mut out);
        out
    }

    fn exchange_patiently<T>(
        &self,
        query: &[u8],
        wanted: impl Fn(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Result<Result<T, Failure>, Fatal> {
        if let Some(result) = self.exchange_over_kept(query, true, &wanted) {
            return Ok(result);
        }
        let connection = Connection::open_patiently(&self.endpoint, &self.manner)?;
        Ok(self.exchange_over_new(connection, query, true, wanted))
    }

    fn exchange_once<T>(
        &self,
        query: &[u8],
        wanted: impl Fn(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Result<T, Failure> {
        if let Some(result) = self.exchange_over_kept(query, false, &wanted) {
            return result;
        }
        let connection = Connection::open(&self.endpoint, &self.manner).map_err(|error| {
            let failure = Failure { connecting: true, ..Failure::of(&error) };
            warning!("connect to {}: {}", self.endpoint.name(), errno_text(failure.errno));
            failure
        })?;
        self.exchange_over_new(connection, query, false, wanted)
    }

    /// `None`: there is no connection, or the service has closed it since the last answer.
    fn exchange_over_kept<T>(
        &self,
        query: &[u8],
        strict: bool,
        wanted: impl Fn(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Option<Result<T, Failure>> {
        let mut connection = self.connection.take()?;
        match connection.exchange(query, strict, wanted) {
            Ok(answer) => {
                self.keep(connection);
                Some(Ok(answer))
            }
            Err(failure) if connection.ended || [EPIPE, ECONNRESET].contains(&failure.errno) => {
                None
            }
            Err(failure) => Some(Err(failure)),
        }
    }

    fn exchange_over_new<T>(
        &self,
        mut connection: Connection,
        query: &[u8],
        strict: bool,
        wanted: impl Fn(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Result<T, Failure> {
        let greeting = match strict {
            true => connection.greet_leniently(&self.manner),
            false => connection.greet(&self.manner),
        };
        greeting.map_err(|errno| Failure { errno, greeting: true, ..Failure::WRONG })?;
        if !connection.decoder.is_empty() {
            return Err(Failure::WRONG);
        }
        let answer = connection.exchange(query, strict, wanted)?;
        self.keep(connection);
        Ok(answer)
    }

    /// Keeps a connection that gave an answer, but not where more was said than that.
    fn keep(&self, mut connection: Connection) {
        if connection.decoder.is_empty() {
            connection.used = Instant::now();
            self.connection.replace(Some(connection));
        }
    }
}

/// Services that play a script, for tests.
#[cfg(test)]
pub(crate) mod scripted {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread::JoinHandle;

    use super::*;

    /// What a service does in a connection.
    pub(crate) enum Act {
        /// Sends these bytes.
        Say(Vec<u8>),
        /// Wants exactly these bytes.
        Hear(Vec<u8>),
        /// Wants that we close.
        End,
    }

    pub(crate) fn say(bytes: impl AsRef<[u8]>) -> Act {
        Act::Say(bytes.as_ref().to_vec())
    }

    pub(crate) fn hear(bytes: impl AsRef<[u8]>) -> Act {
        Act::Hear(bytes.as_ref().to_vec())
    }

    /// A service with a script: the acts of each connection in turn.
    pub(crate) struct Service {
        directory: PathBuf,
        player: Option<JoinHandle<()>>,
    }

    static COUNT: AtomicU32 = AtomicU32::new(0);

    fn play(stream: &mut UnixStream, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Say(bytes) => stream.write_all(&bytes).unwrap(),
                Act::Hear(wanted) => {
                    let mut heard = vec![0; wanted.len()];
                    stream.read_exact(&mut heard).unwrap();
                    assert_eq!(heard.escape_ascii().to_string(), wanted.escape_ascii().to_string());
                }
                Act::End => assert_eq!(stream.read(&mut [0; 100]).unwrap(), 0, "the end"),
            }
        }
    }

    impl Service {
        pub(crate) fn new(connections: Vec<Vec<Act>>) -> Self {
            let name = format!(
                "smtpd-rs-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            );
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir(&directory).unwrap();
            let listener = UnixListener::bind(directory.join("s")).unwrap();
            let player = std::thread::spawn(move || {
                for acts in connections {
                    play(&mut listener.accept().unwrap().0, acts);
                }
            });
            Self { directory, player: Some(player) }
        }

        pub(crate) fn path(&self) -> Vec<u8> {
            self.directory.join("s").into_os_string().into_encoded_bytes()
        }

        pub(crate) fn endpoint(&self) -> Endpoint {
            Endpoint::Postfix(self.path())
        }

        /// Waits until the script has been played.
        pub(crate) fn played(mut self) {
            self.player.take().unwrap().join().unwrap();
        }
    }

    impl Drop for Service {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    pub(crate) fn manner(form: Form, announces: &'static str) -> Manner {
        Manner {
            form,
            announces: Some(announces),
            timeout: Duration::from_secs(60),
            idle: Duration::from_secs(5),
            ttl: Duration::from_secs(1000),
            limits: Limits::SERVICE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::scripted::{Act, Service, hear, manner, say};
    use super::*;
    use crate::log::captured;
    use crate::sys::pause::counted;

    const HELLO: &[u8] = b"protocol\0test_protocol\0\0";
    const QUESTION: &[u8] = b"request\0x\0\0";
    const ANSWER: &[u8] = b"status\x007\0\0";

    fn link(service: &Service) -> Link {
        counted::start();
        captured::take();
        Link::new(service.endpoint(), manner(Form::Null, "test_protocol"))
    }

    fn ask(link: &Link) -> Result<i32, Fatal> {
        link.ask(b"problem talking to service s", &[Attr::text("request", "x")], |scan| {
            scan.int("status")
        })
    }

    fn try_ask(link: &Link) -> Option<i32> {
        link.try_ask(2, Duration::from_secs(1), &[Attr::text("request", "x")], |scan| {
            scan.int("status")
        })
    }

    #[test]
    fn a_connection_is_greeted_once_and_kept() {
        let service = Service::new(vec![vec![
            say(HELLO),
            hear(QUESTION),
            say(ANSWER),
            hear(QUESTION),
            say(ANSWER),
            Act::End,
        ]]);
        let link = link(&service);
        assert_eq!(ask(&link), Ok(7));
        assert_eq!(try_ask(&link), Some(7));
        link.close();
        service.played();
        assert_eq!(captured::take(), [] as [&str; 0]);
        assert_eq!(counted::total(), Duration::ZERO);
    }

    #[test]
    fn a_service_that_ended_meanwhile_is_connected_again_without_a_word() {
        let once = || vec![say(HELLO), hear(QUESTION), say(ANSWER)];
        let service = Service::new(vec![once(), once(), once()]);
        let link = link(&service);
        assert_eq!(ask(&link), Ok(7));
        while !link.connection.borrow().as_ref().unwrap().socket.readable() {
            std::thread::yield_now();
        }
        assert_eq!(ask(&link), Ok(7));
        while !link.connection.borrow().as_ref().unwrap().socket.readable() {
            std::thread::yield_now();
        }
        assert_eq!(try_ask(&link), Some(7));
        assert_eq!(captured::take(), [] as [&str; 0]);
        assert_eq!(counted::total(), Duration::ZERO);
    }

    #[test]
    fn a_question_is_asked_until_it_is_answered() {
        let service = Service::new(vec![
            vec![say(HELLO), hear(QUESTION)],
            vec![say(HELLO), hear(QUESTION), say(b"status\0")],
            vec![say(HELLO), hear(QUESTION), say(b"status\0x\0\0")],
            vec![say(b"protocol\0other\0\0")],
            vec![say(HELLO), hear(QUESTION), say(b"other\x001\0status\x007\0\0")],
            vec![say(HELLO), hear(QUESTION), say(ANSWER)],
        ]);
        let name = String::from_utf8(service.path()).unwrap() + " socket";
        let link = link(&service);
        assert_eq!(ask(&link), Ok(7));
        let again = "warning: problem talking to service s: Application error";
        assert_eq!(
            captured::take(),
            [
                &format!(
                    "warning: premature end-of-input on {name} while reading input attribute value"
                ),
                again,
                &format!(
                    "warning: malformed numerical data from {name} while reading input attribute \
                     value: x"
                ),
                again,
                &format!(
                    "warning: unexpected protocol other from {name} (expected: test_protocol)"
                ),
                again,
                &format!("warning: unexpected attribute other from {name} (expecting: status)"),
                again,
            ]
        );
        assert_eq!(counted::total(), Duration::from_secs(5));
    }

    #[test]
    fn a_missing_service_is_waited_for_but_not_for_ever() {
        counted::start();
        captured::take();
        let endpoint = Endpoint::Postfix(b"private/nonexistent".to_vec());
        let link = Link::new(endpoint, manner(Form::Null, "test_protocol"));
        let last = "connect #11 to subsystem private/nonexistent: No such file or directory";
        assert_eq!(ask(&link), Err(Fatal(last.into())));
        let log = captured::take();
        assert_eq!(log.len(), 10);
        assert_eq!(
            log[0],
            "warning: connect #1 to subsystem private/nonexistent: No such file or directory"
        );
        assert_eq!(counted::total(), Duration::from_secs(100));
    }

    #[test]
    fn a_service_that_may_be_missing_is_tried_twice() {
        counted::start();
        captured::take();
        let endpoint = Endpoint::parse(b"local:private/nonexistent").unwrap();
        let link = Link::new(endpoint, manner(Form::Plain, "anvil_protocol"));
        assert_eq!(try_ask(&link), None);
        assert_eq!(
            captured::take(),
            [
                "warning: connect to private/nonexistent: No such file or directory",
                "warning: connect to private/nonexistent: No such file or directory",
                "warning: problem talking to server private/nonexistent: No such file or directory",
            ]
        );
        assert_eq!(counted::total(), Duration::from_secs(1));
    }

    #[test]
    fn after_two_failures_the_next_question_is_asked_once() {
        let half = || vec![say(HELLO), hear(QUESTION), say(b"sta")];
        let service = Service::new(vec![half(), half(), half(), half(), half()]);
        let link = link(&service);
        let tries = |link: &Link| {
            assert_eq!(try_ask(link), None);
            captured::take().iter().filter(|line| line.contains("end-of-input")).count()
        };
        assert_eq!([tries(&link), tries(&link)], [2, 1]);
        link.forget_failure();
        assert_eq!(tries(&link), 2);
        service.played();
    }

    #[test]
    fn half_an_answer_is_none_and_not_asked_for_again() {
        let service = Service::new(vec![vec![
            say(HELLO),
            hear(b"request\0x\0\0"),
            say(b"status\x000\0\0"),
            Act::End,
        ]]);
        let link = link(&service);
        let answer =
            link.try_ask(2, Duration::from_secs(1), &[Attr::text("request", "x")], |scan| {
                Ok((scan.int("status")?, scan.int("rate")?))
            });
        assert_eq!(answer, None);
        service.played();
        assert_eq!(counted::total(), Duration::ZERO);
    }

    #[test]
    fn an_answer_without_end_is_given_up() {
        let service =
            Service::new(vec![vec![say(HELLO), hear(QUESTION), say(vec![b'x'; 5000]), Act::End]]);
        counted::start();
        captured::take();
        let mut manner = manner(Form::Null, "test_protocol");
        manner.limits = Limits { bytes: 4096, attributes: 10 };
        let link = Link::new(service.endpoint(), manner);
        let answer = link
            .try_ask(1, Duration::ZERO, &[Attr::text("request", "x")], |scan| scan.int("status"));
        assert_eq!(answer, None);
        assert!(captured::take()[0].starts_with("warning: string length > 4096 characters from "));
    }

    #[test]
    fn connections_end_when_idle_or_old_but_only_between_sessions() {
        let service = Service::new(vec![vec![say(HELLO), hear(QUESTION), say(ANSWER), Act::End]]);
        let link = link(&service);
        assert_eq!(link.tend(Instant::now()), None);
        assert_eq!(ask(&link), Ok(7));
        let due = link.tend(Instant::now()).unwrap();
        assert!(link.is_open());
        assert_eq!(link.tend(due), None);
        assert!(!link.is_open());
        service.played();
    }

    #[test]
    fn endpoints_are_read_as_in_main_cf() {
        assert_eq!(Endpoint::parse(b"inet:[::1]:10031"), Ok(Endpoint::Inet(b"[::1]:10031".into())));
        assert_eq!(
            Endpoint::parse(b"unix:private/policy"),
            Ok(Endpoint::Unix(b"private/policy".into()))
        );
        let need = "need service transport:endpoint instead of \"policy\"";
        assert_eq!(Endpoint::parse(b"policy"), Err(Fatal(need.into())));
        let invalid = "invalid transport name: INET in service: INET:x";
        assert_eq!(Endpoint::parse(b"INET:x"), Err(Fatal(invalid.into())));
        assert_eq!(split_host_port(b"[::1]:25"), Some((&b"::1"[..], &b"25"[..])));
        assert_eq!(split_host_port(b"25"), Some((&b"localhost"[..], &b"25"[..])));
        assert_eq!(split_host_port(b"host:"), None);
    }
}
