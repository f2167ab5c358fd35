//! The dialogue: lines in, replies out.
//!
//! Each reply passes the same stations, in this order: tarpit, filter, footer, soft_bounce, the client; a
//! 421 or 521 ends the session, whoever said it (smtp-behaviour of Postfix: `vsmtpd_chat_reply()`).

use std::time::{Duration, Instant};

use super::footer;
use super::notify::History;
use crate::config::Config;
use crate::config::dialect::Change;
use crate::mail::reply::Reply;
use crate::restriction::expand::Expander;
use crate::stream::{Line, Patience, SmtpStream, StreamEnd};
use crate::sys::pause::pause;
use crate::table::maps::Maps;
use crate::text::printable::make_printable;
use crate::wire::message::BareNewline;

/// A line that a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Without its end.
    pub(crate) line: Vec<u8>,
    /// It ended in LF without CR, and that matters.
    pub(crate) bare_newline: bool,
    /// It was too long, and was cut.
    pub(crate) too_long: bool,
}

/// A client's connection as a dialogue.
pub(crate) struct Chat<'s> {
    pub(crate) stream: SmtpStream,
    config: &'s Config,
    footers: &'s Maps,
    filters: &'s Maps,
    /// What was said so far, for notices to the postmaster.
    pub(crate) history: History,
    /// A 421 or 521 was said: no more commands are read.
    pub(crate) hang_up: bool,
    /// Bytes of a command that came before the client was gone.
    pub(crate) partial: usize,
}

impl<'s> Chat<'s> {
    pub(crate) fn new(
        stream: SmtpStream,
        config: &'s Config,
        (filters, footers): (&'s Maps, &'s Maps),
        history: History,
    ) -> Self {
        Self { stream, config, footers, filters, history, hang_up: false, partial: 0 }
    }

    /// Time for the next read or write: each for itself, or all together.
    pub(crate) fn be_patient(&mut self) {
        let limit = self.config.smtpd_timeout;
        self.patience(limit, None);
    }

    /// Time for message content: with deadlines, what arrives earns time.
    pub(crate) fn be_patient_for_content(&mut self) {
        let rate = u32::try_from(self.config.smtpd_min_data_rate).ok();
        self.patience(self.config.smtpd_timeout, rate);
    }

    fn patience(&mut self, limit: Duration, bytes_per_second: Option<u32>) {
        self.stream.be_patient(if self.config.smtpd_per_request_deadline {
            Patience::Deadline { at: Instant::now() + limit, limit, bytes_per_second }
        } else {
            Patience::PerTransfer(limit)
        });
    }

    /// Reads a command. One that is too long is cut, and its rest thrown away.
    pub(crate) fn read(&mut self, bare: BareNewline, namaddr: &[u8]) -> Result<Said, StreamEnd> {
        self.read_up_to(self.config.line_length_limit, bare, namaddr)
    }

    /// Reads what follows a challenge (smtpd_sasl_response_limit).
    pub(crate) fn read_response(&mut self, limit: i32, namaddr: &[u8]) -> Result<Said, StreamEnd> {
        self.read_up_to(limit, BareNewline::Accept, namaddr)
    }

    fn read_up_to(
        &mut self,
        limit: i32,
        bare: BareNewline,
        namaddr: &[u8],
    ) -> Result<Said, StreamEnd> {
        let limit = usize::try_from(limit).unwrap_or(0).max(1);
        let mut line = Vec::with_capacity(80);
        self.be_patient();
        let end = self.stream.read_line(&mut line, limit);
        if end.inspect_err(|_| self.partial = line.len())? == Line::Cut {
            self.skip_rest(limit).inspect_err(|_| self.partial = line.len())?;
            self.history.heard(&line);
            let shown = self.shown_of_cut(&mut line);
            warning!("{}: request longer than {}: {}...", namaddr, limit, shown);
            return Ok(Said { line, bare_newline: false, too_long: true });
        }
        let bare_newline = strip_end(&mut line, bare != BareNewline::Accept);
        self.history.heard(&line);
        Ok(Said { line, bare_newline, too_long: false })
    }

    /// What the log shows of a line that was cut. As Postfix: the line is made printable for it, up
    /// to a NUL, and that is what counts as the command.
    fn shown_of_cut<'l>(&self, line: &'l mut [u8]) -> &'l [u8] {
        let end = memchr::memchr(0, line).unwrap_or(line.len());
        make_printable(&mut line[..end], b'?', self.config.smtputf8_enable);
        &line[..end.min(30)]
    }

    /// Throws the rest of a long line away. In later releases a client whose line is more than twice
    /// as long as it may be is not listened to any longer.
    fn skip_rest(&mut self, limit: usize) -> Result<(), StreamEnd> {
        if !self.config.does(Change::ExcessInputBounded) {
            return self.skip_line(limit);
        }
        let mut rest = Vec::new();
        if self.stream.read_line(&mut rest, limit)? == Line::Cut {
            warning!("disabling input from {} socket", self.config.service_name);
            self.stream.stop_reading();
        }
        Ok(())
    }

    fn skip_line(&mut self, limit: usize) -> Result<(), StreamEnd> {
        let mut rest = Vec::new();
        while self.stream.read_line(&mut rest, limit)? == Line::Cut {}
        Ok(())
    }

    /// Says one reply, which may have several lines (CR LF between them).
    pub(crate) fn say(
        &mut self,
        reply: &[u8],
        errors: i32,
        expander: &Expander<'_>,
    ) -> Result<(), StreamEnd> {
        let tarpit = errors >= self.config.smtpd_soft_error_limit;
        if tarpit {
            pause(self.config.smtpd_error_sleep_time);
        }
        let mut text = match reply.first() {
            Some(b'4' | b'5') => self.with_footer(&self.filtered(reply, expander), expander),
            _ => reply.to_vec(),
        };
        if self.config.soft_bounce {
            soften(&mut text);
        }
        let out = lines(&text);
        self.note(&out, &expander.facts().client.namaddr);
        if self.config.smtpd_per_request_deadline {
            self.be_patient();
        }
        self.stream.write(&out)?;
        if tarpit {
            self.stream.flush()?;
        }
        if text.starts_with(b"421") || text.starts_with(b"521") {
            self.hang_up = true;
        }
        Ok(())
    }

    /// For the postmaster, and for who looks for details.
    fn note(&mut self, out: &[u8], namaddr: &[u8]) {
        for line in out.strip_suffix(b"\r\n").unwrap_or(out).split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            detail!("> {}: {}", namaddr, line);
            self.history.said(line);
        }
    }

    /// smtpd_reject_filter_maps: another text in the place of a refusal.
    fn filtered(&self, reply: &[u8], expander: &Expander<'_>) -> Vec<u8> {
        let Ok(Some(found)) = self.filters.find(reply) else { return reply.to_vec() };
        let new = found.value;
        let id = expander.facts().queue_id.unwrap_or(b"NOQUEUE");
        if !is_refusal(&new) {
            warning!("{}: ignoring invalid reject filter result: {}", id, new);
            return reply.to_vec();
        }
        info!("{}: reply filter in: {}", id, reply);
        info!("{}: reply filter out: {}", id, new);
        Reply::new(new).as_bytes().to_vec()
    }

    fn with_footer(&self, reply: &[u8], expander: &Expander<'_>) -> Vec<u8> {
        let found = match self.footers.find(reply) {
            Ok(found) => found.map(|found| found.value),
            Err(_) => None,
        };
        let template = found.as_deref().unwrap_or(&self.config.smtpd_reject_footer);
        if template.is_empty() {
            return reply.to_vec();
        }
        footer::append(reply, template, expander).unwrap_or_else(|| reply.to_vec())
    }
}

/// Whether a table's word can be said in the place of a refusal.
fn is_refusal(text: &[u8]) -> bool {
    matches!(text, [b'4' | b'5', x, y, b' ' | b'-', rest @ ..]
        if x.is_ascii_digit() && y.is_ascii_digit()
            && rest.first().is_none_or(|class| !class.is_ascii_digit() || *class == text[0]))
}

/// Takes the end off a line that was read up to its LF; whether it was LF alone. Where that
/// matters (`strict`), only one CR belongs to the end.
fn strip_end(line: &mut Vec<u8>, strict: bool) -> bool {
    line.pop();
    if !strict {
        while line.last() == Some(&b'\r') {
            line.pop();
        }
        return false;
    }
    let bare = line.last() != Some(&b'\r');
    if !bare {
        line.pop();
    }
    bare
}

/// soft_bounce: each line's 5xx becomes 4xx.
fn soften(text: &mut [u8]) {
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'5' {
            text[at] = b'4';
            if let Some(class @ b'5') = text.get_mut(at + 4) {
                *class = b'4';
            }
        }
        match memchr::memmem::find(&text[at..], b"\r\n") {
            Some(len) => at += len + 2,
            None => break,
        }
    }
}

/// The lines of a reply as they go over the wire: all but the last have a `-` after the code.
fn lines(text: &[u8]) -> Vec<u8> {
    let text = text.strip_suffix(b"\r\n").unwrap_or(text);
    let mut out = Vec::with_capacity(text.len() + 2);
    let mut rest = text;
    while let Some(len) = memchr::memmem::find(rest, b"\r\n") {
        let start = out.len();
        out.extend_from_slice(&rest[..len + 2]);
        if let Some(after_code) = out[start..].get_mut(3) {
            *after_code = b'-';
        }
        rest = &rest[len + 2..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_bounce_turns_each_line() {
        let mut text = b"550-5.1.1 a\r\n550 5.1.1 b".to_vec();
        soften(&mut text);
        assert_eq!(text, b"450-4.1.1 a\r\n450 4.1.1 b");
    }

    #[test]
    fn a_filter_can_only_refuse() {
        for good in ["550 5.7.1 no", "450 no", "421-x", "550 "] {
            assert!(is_refusal(good.as_bytes()), "{good}");
        }
        for bad in ["250 2.0.0 Ok", "5x0 no", "550", "550 4.7.1 no", "450 5.7.1", "", "55"] {
            assert!(!is_refusal(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn all_lines_but_the_last_are_continued() {
        assert_eq!(lines(b"550 a\r\n550 b\r\n"), b"550-a\r\n550 b\r\n");
        assert_eq!(lines(b"250 Ok"), b"250 Ok\r\n");
    }

    #[test]
    fn a_strict_end_has_one_cr() {
        let strip = |text: &[u8], strict| {
            let mut line = text.to_vec();
            let bare = strip_end(&mut line, strict);
            (line, bare)
        };
        assert_eq!(strip(b"a\r\r\n", false), (b"a".to_vec(), false));
        assert_eq!(strip(b"a\r\r\n", true), (b"a\r".to_vec(), false));
        assert_eq!(strip(b"a\n", true), (b"a".to_vec(), true));
        assert_eq!(strip(b"a\n", false), (b"a".to_vec(), false));
    }
}
