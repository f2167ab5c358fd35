//! Notices to the postmaster (notify_classes): the dialogue of a session in which something went
//! wrong, as a mail.
//!
//! As Postfix: `smtpd_chat_notify()`, `chat_reset()`.

use super::Session;
use crate::config::Config;
use crate::config::dialect::Change;
use crate::ipc::cleanup::{Cleanup, FLAG_AUTOUTF8, FLAG_FILTER, FLAG_MAP_OK, FLAG_MILTER};
use crate::log::Fatal;
use crate::mail::client::ErrorClass;
use crate::mail::date;
use crate::sys::time;
use crate::text::printable::make_printable;
use crate::text::split::{COMMA_SPACE, words};

/// The words of notify_classes. `2bounce` and `delay` are for other daemons.
const WORDS: &[(&str, Classes)] = &[
    ("bounce", Classes::of(ErrorClass::Bounce)),
    ("2bounce", Classes(1 << 6)),
    ("data", Classes::of(ErrorClass::Data)),
    ("delay", Classes(1 << 7)),
    ("policy", Classes::of(ErrorClass::Policy)),
    ("protocol", Classes::of(ErrorClass::Protocol)),
    ("resource", Classes::of(ErrorClass::Resource)),
    ("software", Classes::of(ErrorClass::Software)),
];

/// The words of internal_mail_filter_classes; only the first concerns us. Those without a meaning
/// are known, but a list of them alone is worth a warning.
const MAIL_SOURCES: &[(&str, bool)] = &[
    ("notify", true),
    ("bounce", true),
    ("sendmail", false),
    ("smtpd", false),
    ("qmqpd", false),
    ("forward", false),
    ("verify", false),
];

/// Longest line of a transcript, but for one long word.
const WIDTH: usize = 78;
/// What lines begin with that go on with one that was too long.
const INDENT: usize = 4;
/// Bytes of dialogue that are kept at most, whatever smtpd_history_flush_threshold says.
const MOST_BYTES: usize = 1 << 20;

/// A set of [`ErrorClass`]es.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Classes(u8);

impl Classes {
    const fn of(class: ErrorClass) -> Self {
        Self(1 << class as u8)
    }

    /// The classes that are named in notify_classes.
    pub(crate) fn parse(list: &[u8]) -> Result<Self, Fatal> {
        let mut set = Self::default();
        for word in words(list, COMMA_SPACE) {
            let known = WORDS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
            let Some((_, class)) = known else {
                return Err(fatal!("unknown notify_classes value \"{}\" in \"{}\"", word, list));
            };
            set.0 |= class.0;
        }
        Ok(set)
    }

    pub(crate) fn add(&mut self, class: ErrorClass) {
        self.0 |= Self::of(class).0;
    }

    fn has(self, class: ErrorClass) -> bool {
        self.meets(Self::of(class))
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The dialogue so far; kept only where somebody may want to hear of it.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Of what the postmaster wants to hear.
    wanted: Classes,
    lines: Vec<Vec<u8>>,
    bytes: usize,
}

impl History {
    pub(crate) fn new(wanted: Classes) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// The client said this line.
    pub(crate) fn heard(&mut self, line: &[u8]) {
        self.append(b"In:  ", &without_secret(line));
    }

    /// We said this line.
    pub(crate) fn said(&mut self, line: &[u8]) {
        self.append(b"Out: ", line);
    }

    fn append(&mut self, who: &[u8], line: &[u8]) {
        if self.wanted.is_empty() {
            return;
        }
        let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
        let line = [who, line].concat();
        self.bytes = self.bytes.saturating_add(line.len());
        self.lines.push(line);
    }

    fn is_longer_than(&self, threshold: i32) -> bool {
        self.bytes > MOST_BYTES || self.lines.len() > usize::try_from(threshold).unwrap_or(0)
    }

    fn clear(&mut self) {
        self.lines.clear();
        self.bytes = 0;
    }
}

/// A command without what proves who the client is (AUTH with an initial response): neither a
/// transcript nor the log should have a password in it.
pub(crate) fn without_secret(line: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(verb), Some(mechanism), Some(_)) if verb.eq_ignore_ascii_case(b"AUTH") => {
            fill!("{} {} (not shown)", verb, mechanism).into()
        }
        _ => line.into(),
    }
}

impl Session<'_> {
    /// Forgets the dialogue, if it is longer than `threshold`, and first tells the postmaster of it
    /// if something went wrong that he wants to hear of. `reason`: why the session ends.
    pub(crate) fn reset_history(
        &mut self,
        threshold: i32,
        reason: Option<&str>,
    ) -> Result<(), Fatal> {
        if !self.chat.history.is_longer_than(threshold) {
            return Ok(());
        }
        let blamed = std::mem::take(&mut self.blamed);
        let sent = if !self.config().stand_alone && blamed.meets(self.chat.history.wanted) {
            self.notify(blamed, reason)
        } else {
            Ok(())
        };
        self.chat.history.clear();
        sent
    }

    /// The same at those points of a session where its length decides.
    pub(crate) fn flush_history(&mut self) -> Result<(), Fatal> {
        self.reset_history(self.config().smtpd_history_flush_threshold, None)
    }

    fn notify(&self, blamed: Classes, reason: Option<&str>) -> Result<(), Fatal> {
        let config = self.config();
        let Some(mut to) = Cleanup::post(config, flags(config)?)? else { return Ok(()) };
        let recipient = if blamed.has(ErrorClass::Bounce) {
            &config.bounce_notice_recipient
        } else {
            &config.error_notice_recipient
        };
        let now = time::now();
        let (seconds, micros) = time::since_epoch(now);
        to.record(b'T', &fill!("{} {}", seconds, micros));
        to.attribute("log_message_origin", b"local");
        to.attribute("trace_flags", b"0");
        to.record(b'S', &fill!("{}@{}", config.double_bounce_sender, config.myhostname));
        to.record(b'R', recipient);
        to.record(b'M', b"");
        let two_digits = config.does(Change::TwoDigitDay);
        let date = date::mail_date(&time::local(now), two_digits);
        for line in self.notice(to.queue_id(), &date, reason) {
            to.record(b'N', &line);
        }
        to.record(b'X', b"");
        to.record(b'E', b"");
        // Nobody is told what becomes of it: it is the last resort itself.
        to.finish();
        Ok(())
    }

    /// The lines of the mail.
    fn notice(&self, id: &[u8], date: &[u8], reason: Option<&str>) -> Vec<Vec<u8>> {
        let config = self.config();
        let (host, mail_name) = (&config.myhostname, &config.mail_name);
        let (from, to) = (fill!("MAILER-DAEMON@{}", host), &config.error_notice_recipient);
        let mut lines = vec![
            fill!("Received: by {} ({})", host, mail_name),
            fill!("\tid {}; {}", id, date),
            fill!("Date: {}", date),
        ];
        if config.header_from_format.eq_ignore_ascii_case(b"obsolete") {
            lines.push(fill!("From: {} (Mail Delivery System)", from));
            lines.push(fill!("To: {} (Postmaster)", to));
        } else {
            lines.push(fill!("From: Mail Delivery System <{}>", from));
            lines.push(fill!("To: Postmaster <{}>", to));
        }
        let client = &self.who.client.namaddr;
        lines.push(fill!("Subject: {} SMTP server: errors from {}", mail_name, client));
        lines.extend([&b""[..], b"Transcript of session follows.", b""].map(<[u8]>::to_vec));
        for line in &self.chat.history.lines {
            let mut line = line.clone();
            make_printable(&mut line, b'?', config.smtputf8_enable);
            wrap(&line, &mut lines);
        }
        lines.push(Vec::new());
        lines.extend(reason.map(|reason| fill!("Session aborted, reason: {}", reason)));
        lines.push(Vec::new());
        lines.push(b"For other details, see the local mail logfile".to_vec());
        lines
    }
}

/// What cleanup(8) does with a notice.
fn flags(config: &Config) -> Result<u32, Fatal> {
    let mut flags = FLAG_MAP_OK;
    if is_filtered(&config.internal_mail_filter_classes)? {
        flags |= FLAG_FILTER | FLAG_MILTER;
    }
    if config.smtputf8_enable && super::server::autodetects_utf8(config, "notify") {
        flags |= FLAG_AUTOUTF8;
    }
    Ok(flags)
}

/// internal_mail_filter_classes
fn is_filtered(list: &[u8]) -> Result<bool, Fatal> {
    let (mut filtered, mut any) = (false, false);
    for word in words(list, COMMA_SPACE) {
        let row = MAIL_SOURCES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        let Some((name, has_meaning)) = row else {
            let name = "internal_mail_filter_classes";
            return Err(fatal!("unknown {} value \"{}\" in \"{}\"", name, word, list));
        };
        filtered |= *name == "notify";
        any |= has_meaning;
    }
    if !list.is_empty() && !any {
        warning!("internal_mail_filter_classes: bad input: {}", list);
    }
    Ok(filtered)
}

/// Adds a line of dialogue, with a blank before it, in pieces of at most [`WIDTH`]; a word is never
/// cut. As Postfix: `line_wrap()`.
fn wrap(text: &[u8], lines: &mut Vec<Vec<u8>>) {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let (mut start, mut indent, mut word) = (0, 0, Some(0));
    while let Some(at) = word {
        let rest = text.get(at..).unwrap_or_default();
        let end = at.saturating_add(rest.iter().take_while(|byte| !is_blank(byte)).count());
        let room = WIDTH.saturating_sub(indent);
        if at > start && end.saturating_sub(start) > room {
            lines.push(piece(indent, text.get(start..at).unwrap_or_default()));
            start = at.saturating_add(rest.iter().take_while(|byte| is_blank(byte)).count());
            indent = INDENT;
        }
        word = (end < text.len()).then_some(end.saturating_add(1));
    }
    lines.push(piece(indent, text.get(start..).unwrap_or_default()));
}

fn piece(indent: usize, text: &[u8]) -> Vec<u8> {
    let mut line = vec![b' '; indent.saturating_add(1)];
    line.extend_from_slice(text.trim_ascii_end());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        wrap(text.as_bytes(), &mut lines);
        lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    #[test]
    fn a_long_line_is_wrapped_at_blanks() {
        assert_eq!(wrapped("Out: 220 short "), [" Out: 220 short"]);
        let word = "w".repeat(30);
        assert_eq!(
            wrapped(&format!("In:  {word} {word} {word}   {word}")),
            [format!(" In:  {word} {word}"), format!("     {word}   {word}")]
        );
        let long = "x".repeat(100);
        assert_eq!(wrapped(&format!("In:  {long}")), [" In:".to_owned(), format!("     {long}")]);
    }

    #[test]
    fn blanks_alone_come_to_an_end() {
        let blanks = " ".repeat(300);
        let lines = wrapped(&format!("In:  a{blanks}b{blanks}"));
        assert_eq!(lines, [" In:  a", "     b", "     "]);
    }

    #[test]
    fn classes_have_names_in_any_case() {
        let set = Classes::parse(b"Policy, 2bounce delay").unwrap();
        assert!(set.has(ErrorClass::Policy));
        for other in [ErrorClass::Bounce, ErrorClass::Data, ErrorClass::Software] {
            assert!(!set.has(other));
        }
        let error = Classes::parse(b"policy, nonsense").unwrap_err();
        assert_eq!(error.0, b"unknown notify_classes value \"nonsense\" in \"policy, nonsense\"");
    }

    #[test]
    fn a_history_that_nobody_wants_is_not_kept() {
        let mut history = History::new(Classes::default());
        history.heard(b"EHLO x");
        assert!(!history.is_longer_than(0));
        let mut history = History::new(Classes::of(ErrorClass::Policy));
        history.heard(b"EHLO x\0y");
        history.said(b"250 x");
        assert_eq!(history.lines, [&b"In:  EHLO x"[..], b"Out: 250 x"]);
        assert!(history.is_longer_than(1) && !history.is_longer_than(2));
    }

    #[test]
    fn a_history_is_bounded_in_bytes_too() {
        let mut history = History::new(Classes::of(ErrorClass::Policy));
        history.heard(&[b'x'; MOST_BYTES]);
        assert!(history.is_longer_than(i32::MAX));
        history.clear();
        assert!(!history.is_longer_than(0));
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown =
            |line: &str| String::from_utf8_lossy(&without_secret(line.as_bytes())).into_owned();
        assert_eq!(shown("AUTH PLAIN AGEAYg=="), "AUTH PLAIN (not shown)");
        assert_eq!(shown(" auth  login dXNlcg=="), "auth login (not shown)");
        assert_eq!(shown("AUTH LOGIN"), "AUTH LOGIN");
        assert_eq!(shown("MAIL FROM:<a@b> AUTH=c"), "MAIL FROM:<a@b> AUTH=c");
    }

    #[test]
    fn only_notify_asks_for_filters() {
        crate::log::captured::take();
        assert_eq!(is_filtered(b""), Ok(false));
        assert_eq!(is_filtered(b"bounce"), Ok(false));
        assert_eq!(is_filtered(b"bounce, Notify"), Ok(true));
        assert!(crate::log::captured::take().is_empty());
        assert_eq!(is_filtered(b"smtpd"), Ok(false));
        assert_eq!(
            crate::log::captured::take(),
            ["warning: internal_mail_filter_classes: bad input: smtpd"]
        );
        assert!(is_filtered(b"x").is_err());
    }
}
