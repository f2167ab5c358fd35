//! Logging: syslog, postlogd(8), verbosity.
//!
//! A record is one line: `postfix/smtpd[pid]: [severity: ]text`. Severities have Postfix's fixed
//! meaning: a warning goes on, an error goes on with less, fatal ends this process (master starts
//! another), panic is our bug.
#![forbid(unsafe_code)]

mod emergency;
mod target;

use std::cell::RefCell;
use std::env;
use std::os::unix::ffi::OsStringExt as _;
use std::panic;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::sleep;
use std::time::Duration;

pub use self::emergency::watchdog_timeout;
use self::target::{Logger, Target};
use crate::text::split::{COMMA_SPACE, words};

/// How grave a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// No prefix.
    Info,
    /// `warning: `
    Warning,
    /// `error: `
    Error,
    /// `fatal: `
    Fatal,
    /// `panic: `
    Panic,
}

impl Severity {
    /// What stands before the text of a record.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Info => "",
            Self::Warning => "warning: ",
            Self::Error => "error: ",
            Self::Fatal => "fatal: ",
            Self::Panic => "panic: ",
        }
    }

    /// As syslog(3) counts.
    const fn priority(self) -> u8 {
        match self {
            Self::Info => 6,
            Self::Warning => 4,
            Self::Error => 3,
            Self::Fatal | Self::Panic => 2,
        }
    }
}

/// The end of this process: `fatal: text`, exit status 1 after a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal(pub Vec<u8>);

/// Where and under which name main.cf wants the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The first part of the tag.
    pub syslog_name: Vec<u8>,
    /// Not empty: to postlogd(8).
    pub maillog_file: Vec<u8>,
    /// What maillog_file may begin with.
    pub maillog_file_prefixes: Vec<u8>,
    /// The socket of postlogd(8).
    pub postlog_socket: Vec<u8>,
    /// myhostname.
    pub host: Vec<u8>,
}

/// A kind of program in the eyes of syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(u8);

const MAIL: Facility = Facility(2);

const FACILITIES: &[(&str, u8)] = &[
    ("auth", 4),
    ("authpriv", 10),
    ("cron", 9),
    ("daemon", 3),
    ("ftp", 11),
    // As syslog(3): 0 is "none given".
    ("kern", 2),
    ("lpr", 6),
    ("mail", 2),
    ("news", 7),
    ("syslog", 5),
    ("user", 1),
    ("uucp", 8),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

impl Facility {
    /// The facility of that name (syslog_facility).
    pub fn named(name: &[u8]) -> Option<Self> {
        let row = FACILITIES.iter().find(|(known, _)| known.as_bytes() == name);
        row.map(|(_, number)| Self(*number))
    }
}

/// The name of this process in the log, whatever its file is called: what reads logs knows it.
pub const PROCESS_NAME: &str = "smtpd";

/// Opens the log as the environment wants it, before main.cf is read. As Postfix: master(8)
/// hands down its own tag and, where records go to postlogd(8), the socket.
pub fn open() {
    let name = of_environment("MAIL_LOGTAG").unwrap_or_else(|| b"postfix".to_vec());
    let target = match of_environment("POSTLOG_SERVICE") {
        None => Target::Syslog,
        Some(socket) => {
            let host = of_environment("POSTLOG_HOSTNAME");
            Target::Postlog { socket, host: host.unwrap_or_else(|| b"amnesiac".to_vec()) }
        }
    };
    let mut logger = logger();
    logger.tag = tag(&name);
    logger.open(target);
}

/// Opens the log as main.cf wants it.
pub fn settle(settings: &Settings) -> Result<(), Fatal> {
    check_prefix(settings)?;
    let target = if settings.maillog_file.is_empty() {
        Target::Syslog
    } else {
        Target::Postlog { socket: settings.postlog_socket.clone(), host: settings.host.clone() }
    };
    let mut logger = logger();
    logger.tag = tag(&settings.syslog_name);
    logger.open(target);
    Ok(())
}

/// Refuses a maillog_file that maillog_file_prefixes does not allow.
pub(crate) fn check_prefix(settings: &Settings) -> Result<(), Fatal> {
    let Settings { maillog_file, maillog_file_prefixes, .. } = settings;
    let mut prefixes = words(maillog_file_prefixes, COMMA_SPACE);
    if maillog_file.is_empty() || prefixes.any(|prefix| maillog_file.starts_with(prefix)) {
        return Ok(());
    }
    Err(Fatal(fill!(
        "maillog_file value '{}' does not match any prefix in maillog_file_prefixes",
        maillog_file
    )))
}

fn of_environment(name: &str) -> Option<Vec<u8>> {
    env::var_os(name).map(std::ffi::OsString::into_vec).filter(|value| !value.is_empty())
}

fn tag(name: &[u8]) -> Vec<u8> {
    fill!("{}/{}", name, PROCESS_NAME)
}

/// From now on records have that facility.
pub fn set_facility(facility: Facility) {
    logger().facility = facility.0;
}

/// From now on UTF-8 may stand in the log (smtputf8_enable).
pub fn set_utf8(allowed: bool) {
    logger().utf8 = allowed;
}

/// From now on records also go to standard error, tagged as in the log (`-V`).
pub fn also_to_stderr() {
    let mut logger = logger();
    logger.stderr_tag = Some(logger.tag.clone());
}

/// From now on records also go to standard error: somebody sits there.
pub fn also_to_terminal() {
    logger().stderr_tag = Some(PROCESS_NAME.into());
}

static LOGGER: Mutex<Logger> = Mutex::new(Logger::new());

fn logger() -> MutexGuard<'static, Logger> {
    LOGGER.lock().unwrap_or_else(PoisonError::into_inner)
}

static VERBOSE: AtomicU32 = AtomicU32::new(0);

/// How much to log beyond what Postfix always logs: the number of `-v`, more for debug peers.
pub fn verbose() -> u32 {
    VERBOSE.load(Ordering::Relaxed)
}

/// Sets [`verbose`]; gives what it was.
pub fn set_verbose(level: u32) -> u32 {
    VERBOSE.swap(level, Ordering::Relaxed)
}

/// `error:` records so far.
static ERRORS: AtomicU32 = AtomicU32::new(0);

/// With so many errors a process ends. As Postfix.
const MOST_ERRORS: u32 = 13;

/// Writes a record. The 13th error ends the process.
pub fn write(severity: Severity, text: &[u8]) {
    #[cfg(test)]
    captured::add(severity, text);
    if capture_record(severity, text) {
        return;
    }
    let open = {
        let mut logger = logger();
        logger.write(severity, text);
        logger.is_open()
    };
    if severity == Severity::Error && open {
        let errors = ERRORS.fetch_add(1, Ordering::Relaxed);
        if errors.saturating_add(1) >= MOST_ERRORS {
            write(Severity::Fatal, b"too many errors - program terminated");
            sleep(BEFORE_DEATH);
            std::process::exit(1);
        }
    }
}

/// Prepares [`watchdog_timeout`], for which nothing else may be done when the time comes.
pub fn prepare_watchdog_timeout() {
    logger().prepare_emergency(b"watchdog timeout");
}

/// So that master(8) and the log can follow.
const BEFORE_DEATH: Duration = Duration::from_secs(1);

/// Tells of the end of this process and waits a second. Then the caller returns exit status 1.
pub fn last_words(fatal: &Fatal) {
    write(Severity::Fatal, &fatal.0);
    sleep(BEFORE_DEATH);
}

/// From now on a panic is logged before it ends the process.
pub fn catch_panics() {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let text = fill!("{}: {}", place, text.unwrap_or("unknown"));
        // Not while the logger itself is at work.
        match LOGGER.try_lock() {
            Ok(mut logger) => logger.write(Severity::Panic, &text),
            Err(TryLockError::Poisoned(logger)) => {
                logger.into_inner().write(Severity::Panic, &text);
            }
            Err(TryLockError::WouldBlock) => {}
        }
        sleep(BEFORE_DEATH);
        std::process::abort();
    }));
}

/// A record that was captured.
pub type Record = (Severity, Vec<u8>);

thread_local! {
    static CAPTURED: RefCell<Option<Vec<Record>>> = const { RefCell::new(None) };
}

/// What `f` logs in this thread, instead of logging it.
pub fn capture<T>(f: impl FnOnce() -> T) -> (T, Vec<Record>) {
    let before = CAPTURED.replace(Some(Vec::new()));
    let value = f();
    let records = CAPTURED.replace(before);
    (value, records.unwrap_or_default())
}

fn capture_record(severity: Severity, text: &[u8]) -> bool {
    CAPTURED.with_borrow_mut(|captured| match captured {
        None => false,
        Some(records) => {
            records.push((severity, text.to_vec()));
            true
        }
    })
}

/// Logs at severity info: `info!("connect from {}", namaddr)`.
#[macro_export]
macro_rules! info {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Severity::Info, &$crate::fill!($($arg)*)) };
}

/// Logs what only somebody wants to know who looks for it: with `-v`, or for debug_peer_list.
#[macro_export]
macro_rules! detail {
    ($($arg:tt)*) => {
        if $crate::log::verbose() > 0 {
            $crate::log::write($crate::log::Severity::Info, &$crate::fill!($($arg)*));
        }
    };
}

/// Logs a warning.
#[macro_export]
macro_rules! warning {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Severity::Warning, &$crate::fill!($($arg)*)) };
}

/// Logs an error; the 13th ends the process, as in Postfix.
#[macro_export]
macro_rules! error {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Severity::Error, &$crate::fill!($($arg)*)) };
}

/// Makes a [`Fatal`](crate::log::Fatal): `Err(fatal!("open {}: {}", path, error))`.
#[macro_export]
macro_rules! fatal {
    ($($arg:tt)*) => { $crate::log::Fatal($crate::fill!($($arg)*)) };
}

/// What a test's thread has logged.
#[cfg(test)]
pub mod captured {
    use std::cell::RefCell;

    use super::Severity;

    thread_local! {
        static RECORDS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    /// Keeps a record, as `warning: text`.
    pub(super) fn add(severity: Severity, text: &[u8]) {
        let prefix = severity.prefix();
        let record = format!("{prefix}{}", String::from_utf8_lossy(text));
        RECORDS.with_borrow_mut(|records| records.push(record));
    }

    /// The records of this thread since the last call.
    pub fn take() -> Vec<String> {
        RECORDS.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_can_be_captured() {
        let (value, records) = capture(|| {
            info!("a {}", 1u8);
            let (_, inner) = capture(|| warning!("b"));
            assert_eq!(inner, [(Severity::Warning, b"b".to_vec())]);
            error!("c");
            7
        });
        assert_eq!(value, 7);
        let wanted = [(Severity::Info, b"a 1".to_vec()), (Severity::Error, b"c".to_vec())];
        assert_eq!(records, wanted);
        captured::take();
    }

    #[test]
    fn facilities_have_names() {
        assert_eq!(Facility::named(b"mail"), Some(MAIL));
        assert_eq!(Facility::named(b"local7"), Some(Facility(23)));
        assert_eq!(Facility::named(b"MAIL"), None);
    }

    #[test]
    fn a_log_file_must_begin_as_allowed() {
        let settings = Settings {
            maillog_file: b"/etc/x".to_vec(),
            maillog_file_prefixes: b"/var, /dev/stdout".to_vec(),
            ..Settings::default()
        };
        assert_eq!(
            check_prefix(&settings).unwrap_err().0,
            b"maillog_file value '/etc/x' does not match any prefix in maillog_file_prefixes"
        );
        let settings = Settings { maillog_file: b"/var/log/maillog".to_vec(), ..settings };
        assert_eq!(check_prefix(&settings), Ok(()));
    }

    #[test]
    fn the_process_is_smtpd_in_the_log() {
        assert_eq!(tag(b"postfix/submission"), b"postfix/submission/smtpd");
    }
}
