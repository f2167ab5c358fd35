//! Protocol traces (Postfix 3.12): what both sides of one session say, in OpenSSL's words.
//!
//! The word `trace` in smtpd_tls_loglevel or smtpd_tls_loglevel_maps asks for them. Each is a file
//! in `tlstrace` below the queue directory, which must be there, and ends at
//! smtpd_tls_trace_size_limit. anvil(8) counts the traces of all daemons together, as the client
//! `any:any` (tls_trace_rate_limit).

use std::fs::File;
use std::io::Write;

use super::ffi;
use crate::config::Config;
use crate::ipc::anvil::Anvil;
use crate::sys::errno::error_text;
use crate::sys::file::create_unique;
use crate::sys::late_libraries;
use crate::sys::time;

/// As which client anvil(8) counts.
const EVERYBODY: &[u8] = b"any:any";

/// Where traces are, below the queue directory.
const DIRECTORY: &[u8] = b"tlstrace";

/// The last line of a trace that would be longer.
const TRUNCATED: &[u8] = b"\n[TLS trace truncated: size limit reached]\n";

/// What traces may cost.
#[derive(Debug)]
pub(super) struct Traces {
    pub(super) directory: Vec<u8>,
    size_limit: u64,
    rate_limit: i32,
    anvil: Anvil,
}

impl Traces {
    /// `None` where main.cf allows none.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let size_limit = u64::try_from(config.smtpd_tls_trace_size_limit).ok()?;
        let rate_limit = config.tls_trace_rate_limit;
        (size_limit > 0).then(|| Self {
            directory: DIRECTORY.to_vec(),
            size_limit,
            rate_limit,
            anvil: Anvil::new(config),
        })
    }

    /// Begins the trace of a client with this address, and says where it is.
    pub(super) fn begin(&self, addr: &[u8]) -> Option<Trace> {
        if !self.is_due() {
            info!("skipping TLS trace output - rate limit ({}) exceeded", self.rate_limit);
            return None;
        }
        let (path, created) = create_unique(&fill!("{}/{}", self.directory, file_name(addr)));
        match created {
            Ok(file) => {
                info!("TLS protocol trace for {} saved to {}", addr, path);
                Some(Trace { file, left: self.size_limit })
            }
            Err(error) => {
                warning!("TLS trace: cannot open {}: {}", path, error_text(&error));
                None
            }
        }
    }

    /// Without an answer of anvil(8) there is no trace.
    fn is_due(&self) -> bool {
        self.rate_limit <= 0
            || self.anvil.trace(EVERYBODY).is_some_and(|rate| rate <= self.rate_limit)
    }
}

/// `smtpd-20260821123456.012345-192.0.2.1-`; six letters follow.
fn file_name(addr: &[u8]) -> Vec<u8> {
    let now = time::now();
    let (day, (_, micros)) = (time::local(now), time::since_epoch(now));
    // An address has no slash; what is none should not lead elsewhere.
    let addr: Vec<u8> = addr.iter().map(|byte| if *byte == b'/' { b'_' } else { *byte }).collect();
    let time = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}.{micros:06}",
        day.year, day.month, day.day, day.hour, day.minute, day.second
    );
    fill!("smtpd-{}-{}-", time, addr)
}

/// The trace of a session. It ends with it.
#[derive(Debug)]
pub(super) struct Trace {
    file: File,
    /// Bytes until the limit; 0: no more is written.
    left: u64,
}

impl Trace {
    /// Whether more is wanted.
    pub(super) fn goes_on(&self) -> bool {
        self.left > 0
    }

    /// Adds what OpenSSL says of one message. As Postfix: all of it, even beyond the limit. A file
    /// that cannot be written ends: the session is worth more.
    pub(super) fn add(&mut self, text: &[u8]) {
        if !self.goes_on() {
            return;
        }
        if self.file.write_all(text).is_err() {
            self.left = 0;
            return;
        }
        self.left = self.left.saturating_sub(text.len() as u64);
        if self.left == 0 {
            let _ = self.file.write_all(TRUNCATED);
        }
    }
}

/// Whether OpenSSL can put messages into words; says so where `parameter` asks for it in vain.
pub(super) fn is_possible(parameter: &str) -> bool {
    // Only OpenSSL itself can tell.
    let possible = late_libraries::load_openssl().is_ok() && ffi::can_trace();
    if !possible {
        warning!(
            "{}: ignoring \"trace\" log level: SSL_trace() is not available in this build",
            parameter
        );
    }
    possible
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_name_of_a_trace_has_the_time_and_the_client() {
        time::fix(Some(UNIX_EPOCH + Duration::from_micros(1_000_000_000_000_042)));
        let name = String::from_utf8(file_name(b"2001:db8::1")).unwrap();
        let odd = file_name(b"../x");
        time::fix(None);
        assert!(name.starts_with("smtpd-200109"), "{name}");
        assert!(name.ends_with(".000042-2001:db8::1-"), "{name}");
        assert!(odd.ends_with(b"-.._x-"));
    }

    #[test]
    fn a_trace_ends_with_the_message_that_reaches_the_limit() {
        let dir = std::env::temp_dir();
        let start = fill!("{}/smtpd-rs-trace-", dir.to_str().unwrap());
        let (path, file) = create_unique(&start);
        let mut trace = Trace { file: file.unwrap(), left: 10 };
        trace.add(b"one\n");
        assert!(trace.goes_on());
        trace.add(b"two and three\n");
        assert!(!trace.goes_on());
        trace.add(b"four\n");
        let path = String::from_utf8(path).unwrap();
        let text = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(text, [b"one\ntwo and three\n", TRUNCATED].concat());
    }

    #[test]
    fn a_limit_of_nothing_means_no_traces() {
        let of = |main_cf: &str| Traces::of(&Config::of_text(main_cf).unwrap()).is_some();
        assert!(of("smtpd_rs_dialect = 3.12\n"));
        assert!(!of("smtpd_rs_dialect = 3.12\nsmtpd_tls_trace_size_limit = 0\n"));
    }
}
