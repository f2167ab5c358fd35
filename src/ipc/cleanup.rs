//! cleanup(8): takes a message into the queue.
//!
//! One connection a message: cleanup says its queue id, we send flags and records (see
//! [`wire::record`](crate::wire::record)), cleanup says what became of it. Whoever drops a
//! [`Cleanup`] before [`finish`](Cleanup::finish) throws the message away: cleanup removes its file
//! when the connection ends early.
//!
//! Source: Postfix, `src/global/cleanup_user.h`, `mail_stream.c`.

use std::time::{Duration, Instant};

use super::link::{Connection, Endpoint, Manner, errno};
use super::postdrop::{self, Running};
use crate::config::Config;
use crate::log::Fatal;
use crate::sys::errno::errno_text;
use crate::text::printable::make_printable;
use crate::wire::attr::{Attr, encode};
use crate::wire::record;

/// Check headers and body.
pub const FLAG_FILTER: u32 = 1 << 1;
/// Put the message into the hold queue.
pub const FLAG_HOLD: u32 = 1 << 2;
/// Throw the message away.
pub const FLAG_DISCARD: u32 = 1 << 3;
/// always_bcc and the like apply.
pub const FLAG_BCC_OK: u32 = 1 << 4;
/// Address mappings apply.
pub const FLAG_MAP_OK: u32 = 1 << 5;
/// Milters apply.
pub const FLAG_MILTER: u32 = 1 << 6;
/// The reason may be a whole SMTP reply.
pub const FLAG_SMTP_REPLY: u32 = 1 << 7;
/// SMTPUTF8 was asked for.
pub const FLAG_SMTPUTF8: u32 = 1 << 8;
/// The message may go on in TLS only. cleanup(8) knows this from Postfix 3.11 on.
pub const FLAG_REQUIRE_TLS: u32 = 1 << 10;
/// Find out whether the message needs SMTPUTF8.
pub const FLAG_AUTOUTF8: u32 = 1 << 9;

/// All is well.
pub const STAT_OK: u32 = 0;
/// Internal protocol error.
pub const STAT_BAD: u32 = 1 << 0;
/// The message could not be written, or cleanup(8) is gone.
pub const STAT_WRITE: u32 = 1 << 1;
/// Too large.
pub const STAT_SIZE: u32 = 1 << 2;
/// Rejected by header or body checks, or by a Milter.
pub const STAT_CONT: u32 = 1 << 3;
/// hopcount_limit
pub const STAT_HOPS: u32 = 1 << 4;
/// No recipients.
pub const STAT_RCPT: u32 = 1 << 6;
/// Refused by smtpd_proxy_filter.
pub const STAT_PROXY: u32 = 1 << 7;
/// Not now.
pub const STAT_DEFER: u32 = 1 << 8;
/// Denied for another reason than content.
pub const STAT_NOPERM: u32 = 1 << 9;

/// What is written at once.
const BUFFER_SIZE: usize = 64 * 1024;
/// How long cleanup(8) is kept waiting for what is there already: it gives up after ipc_timeout.
const LATE: Duration = Duration::from_secs(10);
/// Longest queue id that we take (RFC 5321 has no limit; Postfix's have at most 20 characters).
const ID_LIMIT: usize = 100;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `STAT_…` bits.
    pub status: u32,
    /// Printable; CR LF only between the lines of a whole 4xx or 5xx reply.
    pub reason: Vec<u8>,
}

/// A message on its way to the queue.
#[derive(Debug)]
pub struct Cleanup {
    connection: Connection,
    /// postdrop(1), where it takes cleanup(8)'s place; it ends after the connection.
    _command: Option<Running>,
    queue_id: Vec<u8>,
    buffer: Vec<u8>,
    written: Instant,
    failed: bool,
    utf8: bool,
}

impl Cleanup {
    /// Begins a message. `flags`: `FLAG_…` bits. Waits for cleanup(8) for minutes; then this
    /// process ends.
    pub fn open(config: &Config, flags: u32) -> Result<Self, Fatal> {
        let service = &config.cleanup_service_name;
        let endpoint = Endpoint::Postfix(fill!("public/{}", service));
        let manner = Manner::of_services(config, "cleanup_protocol");
        Self::over(&endpoint, &manner, flags, config.smtputf8_enable)?
            .ok_or_else(|| fatal!("unable to connect to the public {} service", service))
    }

    /// Begins a message of our own, if cleanup(8) is there now; else it is not sent, and the log
    /// says so.
    pub fn post(config: &Config, flags: u32) -> Result<Option<Self>, Fatal> {
        let service = &config.cleanup_service_name;
        let endpoint = Endpoint::Postfix(fill!("public/{}", service));
        let manner = Manner::of_services(config, "cleanup_protocol");
        let connection = match Connection::open(&endpoint, &manner) {
            Ok(connection) => connection,
            Err(error) => {
                let error = errno_text(errno(&error));
                warning!("connect to {}: {}", endpoint.name(), error);
                warning!("postmaster notify: {}", error);
                return Ok(None);
            }
        };
        let begun = Self::begin_flagged(connection, &manner, flags, config.smtputf8_enable);
        begun.map(Some).ok_or_else(|| fatal!("unable to contact the {} service", service))
    }

    /// Begins a message through postdrop(1), which needs neither privileges nor master(8). It wants
    /// no flags.
    pub fn open_postdrop(config: &Config) -> Result<Self, Fatal> {
        let (connection, command) = postdrop::start(config)?;
        match Self::begin(connection, "postdrop_protocol", config.smtputf8_enable) {
            Some(mut cleanup) => {
                cleanup._command = Some(command);
                Ok(cleanup)
            }
            None => Err(command.fail()),
        }
    }

    fn over(
        endpoint: &Endpoint,
        manner: &Manner,
        flags: u32,
        utf8: bool,
    ) -> Result<Option<Self>, Fatal> {
        let connection = Connection::open_patiently(endpoint, manner)?;
        Ok(Self::begin_flagged(connection, manner, flags, utf8))
    }

    fn begin_flagged(
        connection: Connection,
        manner: &Manner,
        flags: u32,
        utf8: bool,
    ) -> Option<Self> {
        let mut begun = Self::begin(connection, "cleanup_protocol", utf8)?;
        encode(manner.form, &[Attr::int("flags", flags as i32)], &mut begun.buffer);
        Some(begun)
    }

    /// Hears the queue id.
    fn begin(mut connection: Connection, protocol: &'static str, utf8: bool) -> Option<Self> {
        let announced = connection.read_values(true, |scan| {
            scan.expect("protocol", protocol)?;
            Ok(scan.text("queue_id")?.to_vec())
        });
        let queue_id = announced.ok().filter(|id| is_queue_id(id))?;
        let buffer = Vec::with_capacity(1024);
        let written = Instant::now();
        Some(Self { connection, _command: None, queue_id, buffer, written, failed: false, utf8 })
    }

    /// The queue id: letters and digits.
    pub fn queue_id(&self) -> &[u8] {
        &self.queue_id
    }

    /// Sends a record (some time).
    pub fn record(&mut self, kind: u8, data: &[u8]) {
        record::encode(kind, data, &mut self.buffer);
        self.write_if_full();
    }

    /// Sends an attribute record: `name=value`. As in C, a NUL ends the value.
    pub fn attribute(&mut self, name: &str, value: &[u8]) {
        let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
        let len = name.len().saturating_add(1).saturating_add(value.len());
        record::encode_head(record::Record::ATTRIBUTE, len, &mut self.buffer);
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.push(b'=');
        self.buffer.extend_from_slice(value);
        self.write_if_full();
    }

    /// Sends records that are already encoded.
    pub fn raw(&mut self, records: &[u8]) {
        if self.buffer.len().saturating_add(records.len()) > BUFFER_SIZE {
            self.flush();
        }
        if records.len() >= BUFFER_SIZE {
            self.write(records);
        } else {
            self.buffer.extend_from_slice(records);
        }
    }

    /// Where records wait: for those who encode in place. Then call
    /// [`write_if_full`](Self::write_if_full).
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes what waits, if it is much.
    #[inline]
    pub fn write_if_full(&mut self) {
        if self.buffer.len() >= BUFFER_SIZE {
            self.flush();
        }
    }

    /// Writes what waits, if cleanup(8) heard nothing for long.
    pub fn write_if_late(&mut self) {
        if self.written.elapsed() >= LATE {
            self.flush();
        }
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer);
        buffer.clear();
        self.buffer = buffer;
    }

    /// Whether cleanup(8) does not take what is written.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Ends the message, whose last record was sent, and waits for cleanup(8)'s word.
    pub fn finish(mut self) -> Outcome {
        self.flush();
        let lost = Outcome { status: STAT_WRITE, reason: vec![] };
        if self.failed {
            return lost;
        }
        let answer = self
            .connection
            .read_values(true, |scan| Ok((scan.int("status")?, scan.text("reason")?.to_vec())));
        match answer {
            Ok((status, reason)) => {
                Outcome { status: status as u32, reason: clean_reason(reason, self.utf8) }
            }
            Err((errno, _)) => {
                self.failed = errno != 0;
                lost
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if !self.failed && !bytes.is_empty() {
            self.failed = self.connection.write(bytes).is_err();
            self.written = Instant::now();
        }
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        self.flush();
        if self.failed {
            warning!("mail_stream_cleanup: close error");
        }
    }
}

/// As Postfix: `mail_queue_id_ok()`.
fn is_queue_id(id: &[u8]) -> bool {
    let ok = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    (1..=ID_LIMIT).contains(&id.len()) && id.iter().all(ok)
}

/// Whether `text` begins as a 4xx or 5xx reply does.
fn is_refusal(text: &[u8]) -> bool {
    matches!(text, [b'4' | b'5', x, y, rest @ ..]
        if x.is_ascii_digit() && y.is_ascii_digit() && matches!(rest, [] | [b' ' | b'-', ..]))
}

fn clean_reason(mut reason: Vec<u8>, utf8: bool) -> Vec<u8> {
    if !is_refusal(&reason) {
        make_printable(&mut reason, b' ', utf8);
        return reason;
    }
    let mut out = Vec::with_capacity(reason.len());
    let mut rest = &reason[..];
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        let (line, after) = rest.split_at(at);
        out.extend(crate::text::printable::printable(line, b' ', utf8));
        out.extend_from_slice(b"\r\n");
        rest = after.get(2..).unwrap_or_default();
    }
    out.extend(crate::text::printable::printable(rest, b' ', utf8));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::link::scripted::{Act, Service, hear, manner, say};
    use crate::log::captured;
    use crate::sys::pause::counted;
    use crate::wire::attr::Form;

    const HELLO: &[u8] = b"protocol\0cleanup_protocol\0queue_id\x0026D509C6589\0\0";
    const FLAGS: &[u8] = b"flags\x00178\0\0";

    fn try_open(acts: Vec<Act>) -> (Service, Option<Cleanup>) {
        counted::start();
        captured::take();
        let service = Service::new(vec![acts]);
        let manner = manner(Form::Null, "cleanup_protocol");
        let cleanup = Cleanup::over(&service.endpoint(), &manner, 178, true).unwrap();
        (service, cleanup)
    }

    fn finish(answer: &[u8]) -> Outcome {
        let acts = vec![say(HELLO), hear(FLAGS), hear(b"E\0"), say(answer)];
        let (_service, cleanup) = try_open(acts);
        let mut cleanup = cleanup.unwrap();
        cleanup.record(b'E', b"");
        cleanup.finish()
    }

    #[test]
    fn a_message_has_these_bytes() {
        let records = [
            &b"T\x111795447821 722280A\x15log_ident=B1E719C6481A\x15rewrite_context=local"[..],
            b"S\x0eme@src.exampleR\x10one@wire.exampleM\0N\x0aSubject: xN\0N\x02hiX\0E\0",
        ];
        let (service, cleanup) = try_open(vec![
            say(HELLO),
            hear(FLAGS),
            hear(records.concat()),
            say(b"status\x000\0reason\0\0\0"),
            Act::End,
        ]);
        let mut cleanup = cleanup.unwrap();
        assert_eq!(cleanup.queue_id(), b"26D509C6589");
        cleanup.record(b'T', b"1795447821 722280");
        cleanup.attribute("log_ident", b"B1E719C6481");
        cleanup.attribute("rewrite_context", b"local");
        cleanup.record(b'S', b"me@src.example");
        cleanup.flush();
        cleanup.record(b'R', b"one@wire.example");
        cleanup.raw(b"M\0N\x0aSubject: xN\0");
        record::encode(b'N', b"hi", cleanup.buffer());
        cleanup.write_if_full();
        cleanup.raw(b"X\0E\0");
        assert_eq!(cleanup.finish(), Outcome { status: STAT_OK, reason: vec![] });
        service.played();
    }

    #[test]
    fn postdrop_hears_no_flags() {
        let service = Service::new(vec![vec![
            say(b"protocol\0postdrop_protocol\0queue_id\0924129C64C8\0\0"),
            hear(b"S\x0eme@src.exampleE\0"),
            say(b"status\x000\0reason\0\0\0"),
            Act::End,
        ]]);
        let manner = manner(Form::Null, "postdrop_protocol");
        let connection = Connection::open_patiently(&service.endpoint(), &manner).unwrap();
        let mut message = Cleanup::begin(connection, "postdrop_protocol", true).unwrap();
        assert_eq!(message.queue_id(), b"924129C64C8");
        message.record(b'S', b"me@src.example");
        message.record(b'E', b"");
        assert_eq!(message.finish().status, STAT_OK);
        service.played();
    }

    #[test]
    fn much_is_written_in_order() {
        let line = [b'x'; 2047];
        let mut all = vec![];
        for _ in 0..100 {
            record::encode(b'N', &line, &mut all);
        }
        let wanted = [FLAGS, &all, &all, b"E\0"].concat();
        let (service, cleanup) =
            try_open(vec![say(HELLO), hear(wanted), say(b"status\x000\0reason\0\0\0")]);
        let mut cleanup = cleanup.unwrap();
        for _ in 0..100 {
            cleanup.record(b'N', &line);
            assert!(cleanup.buffer.len() < BUFFER_SIZE);
        }
        cleanup.raw(&all);
        cleanup.record(b'E', b"");
        assert_eq!(cleanup.finish().status, STAT_OK);
        service.played();
    }

    #[test]
    fn what_is_dropped_just_ends() {
        let begun = b"flags\x00178\0\0S\x05begun";
        let (service, cleanup) = try_open(vec![say(HELLO), hear(begun), Act::End]);
        let mut cleanup = cleanup.unwrap();
        cleanup.record(b'S', b"begun");
        drop(cleanup);
        service.played();
    }

    #[test]
    fn lost_contact_is_a_write_error() {
        let lost = Outcome { status: STAT_WRITE, reason: vec![] };
        assert_eq!(finish(b""), lost);
        assert_eq!(finish(b"status\x000\0rea"), lost);
        assert_eq!(finish(b"status\x000\0\0"), lost);
        assert_eq!(finish(b"status\x000\0extra\x001\0reason\0\0\0"), lost);
        assert_eq!(finish(b"status\0x\0reason\0\0\0"), lost);
    }

    #[test]
    fn a_write_error_is_remembered() {
        let (service, cleanup) = try_open(vec![say(HELLO)]);
        let mut cleanup = cleanup.unwrap();
        service.played();
        assert!(!cleanup.failed());
        cleanup.record(b'S', b"x");
        cleanup.flush();
        assert!(cleanup.failed());
        cleanup.raw(&[b'x'; BUFFER_SIZE]);
        assert_eq!(cleanup.finish().status, STAT_WRITE);
    }

    #[test]
    fn a_reason_is_printable() {
        let outcome = finish(b"status\x008\0reason\x005.7.99 bad\r\n250 header\0\0");
        assert_eq!(outcome.status, STAT_CONT);
        assert_eq!(outcome.reason, b"5.7.99 bad  250 header");
        let outcome = finish(b"status\x008\0reason\x00550-5.7.1 no\x01\nway\r\n550 second\r\0\0");
        assert_eq!(outcome.reason, b"550-5.7.1 no  way\r\n550 second ");
    }

    #[test]
    fn a_wrong_announcement_ends_this_process() {
        for hello in [
            &b"protocol\0postdrop_protocol\0queue_id\x0026D509C6589\0\0"[..],
            b"protocol\0cleanup_protocol\0queue_id\0../x\0\0",
            b"protocol\0cleanup_protocol\0\0",
            b"",
        ] {
            assert!(try_open(vec![say(hello)]).1.is_none());
        }
        let config = Config::of_text("cleanup_service_name = nonexistent\n").unwrap();
        let error = "connect #11 to subsystem public/nonexistent: No such file or directory";
        assert_eq!(Cleanup::open(&config, 178).unwrap_err(), Fatal(error.into()));
    }

    #[test]
    fn a_notice_does_not_wait_for_cleanup() {
        captured::take();
        let config = Config::of_text("cleanup_service_name = nonexistent\n").unwrap();
        assert!(Cleanup::post(&config, FLAG_MAP_OK).unwrap().is_none());
        assert_eq!(
            captured::take(),
            [
                "warning: connect to public/nonexistent: No such file or directory",
                "warning: postmaster notify: No such file or directory",
            ]
        );
    }
}
