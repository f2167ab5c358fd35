//! DATA (RFC 5321, section 4.1.1.4), and the end of a message however it came.

use super::commands::{Answer, Args};
use super::mail::queue_id_or_none;
use super::{About, Session, Stop, received};
use crate::config::dialect::Change;
use crate::ipc::cleanup::{self, Cleanup, Outcome};
use crate::mail::client::ErrorClass;
use crate::mail::reply::Reply;
use crate::restriction::{Actions, Facts, log_event};
use crate::wire::message::{BareNewline, Content, Options};

/// DATA
pub(crate) fn data(s: &mut Session<'_>, args: &Args) -> Answer {
    if s.chunks.in_progress() {
        return protocol!("503 5.5.1 Error: DATA after BDAT");
    }
    s.needs_recipients()?;
    if args.count() != 0 {
        return protocol!("501 5.5.4 Syntax: DATA");
    }
    s.check_data()?;
    s.begin_content();
    s.say(&reply!("354 End data with <CR><LF>.<CR><LF>"))?;
    s.who.place = "DATA content";
    let mut content = s.content();
    s.receive_data(&mut content)?;
    s.who.place = "END-OF-MESSAGE";
    s.end_of_message(&content, false)
}

impl Session<'_> {
    /// Pipelining clients send DATA before they see that all recipients were refused: that is no
    /// protocol error.
    pub(crate) fn needs_recipients(&self) -> Result<(), Stop> {
        match &self.mail {
            None => protocol!("503 5.5.1 Error: need RCPT command"),
            Some(mail) if mail.count == 0 => {
                Err(Stop::Refuse(reply!("554 5.5.1 Error: no valid recipients"), None))
            }
            Some(_) => Ok(()),
        }
    }

    /// Ends the envelope; puts PREPEND headers and our own in front of the client's content.
    pub(crate) fn begin_content(&mut self) {
        let Some(mail) = &self.mail else { return };
        let received = received::lines(self, mail);
        let flags = saved_flags(&self.actions);
        let Some(cleanup) = self.mail.as_mut().and_then(|mail| mail.cleanup.as_mut()) else {
            return;
        };
        if flags != 0 {
            cleanup.record(b'f', &fill!("{}", flags));
        }
        cleanup.record(b'M', b"");
        for line in self.actions.prepend.iter().chain(&received) {
            cleanup.record(b'N', line);
        }
    }

    fn receive_data(&mut self, content: &mut Content) -> Result<(), Stop> {
        self.chat.be_patient_for_content();
        self.chat.stream.expect_much(true);
        let result = self.copy_data(content);
        self.chat.stream.expect_much(false);
        result
    }

    fn copy_data(&mut self, content: &mut Content) -> Result<(), Stop> {
        loop {
            if self.chat.stream.unread().is_empty() {
                self.chat.stream.fill()?;
            }
            let Some(cleanup) = self.mail.as_mut().and_then(|mail| mail.cleanup.as_mut()) else {
                return Err(Stop::Quiet);
            };
            let was_too_big = content.too_big();
            let progress = content.data(self.chat.stream.unread(), cleanup.buffer());
            cleanup.write_if_full();
            self.chat.stream.consume(progress.consumed);
            self.took(content, was_too_big);
            if progress.done {
                return Ok(());
            }
        }
    }

    /// Content came in: remembers how much, and says once that it grew beyond message_size_limit.
    pub(crate) fn took(&mut self, content: &Content, was_too_big: bool) {
        self.content_size = content.size();
        self.content_rest = content.pending() as u64;
        self.note_bare_newline(content.bare_lf());
        if content.too_big() && !was_too_big {
            let id = queue_id_or_none(self.mail.as_ref());
            warning!("{}: queue file size limit exceeded", id);
        }
    }

    /// Content for this session's limits.
    pub(crate) fn content(&self) -> Content {
        let config = self.config();
        Content::new(Options {
            line_length_limit: usize::try_from(config.line_length_limit).unwrap_or(1),
            bare_newline: self.bare_newline,
            one_mailbox_line: config.does(Change::OneMailboxLine),
            size_limit: u64::try_from(config.message_size_limit).ok().filter(|limit| *limit > 0),
        })
    }

    /// What is wrong with the content, in the bits of cleanup(8).
    pub(crate) fn status(&self, content: &Content) -> u32 {
        let mut status = cleanup::STAT_OK;
        if content.too_big() {
            status |= cleanup::STAT_SIZE;
        }
        if content.bare_lf() && self.bare_newline == BareNewline::Reject {
            status |= STAT_BARE_LF;
        }
        status
    }

    /// The end of a message: last restrictions, last records, cleanup(8)'s word, our reply. Then
    /// everything is as before MAIL, whatever came of it. `chunked`: it came by BDAT.
    pub(crate) fn end_of_message(&mut self, content: &Content, chunked: bool) -> Answer {
        let result = self.commit(content, chunked);
        self.end_mail();
        result
    }

    fn commit(&mut self, content: &Content, chunked: bool) -> Answer {
        let mut status = self.status(content);
        if status == 0 {
            self.check_end_of_data()?;
        }
        let Some(cleanup) = self.mail.as_mut().and_then(|mail| mail.cleanup.as_mut()) else {
            return Err(Stop::Quiet);
        };
        let id = cleanup.queue_id().to_vec();
        if status == 0 && cleanup.failed() {
            status = cleanup::STAT_WRITE;
        }
        if status == 0 {
            extracted(&self.actions, cleanup);
        }
        let outcome = match self.mail.as_mut().and_then(|mail| mail.cleanup.take()) {
            Some(cleanup) if status == 0 => cleanup.finish(),
            aborted => {
                drop(aborted);
                Outcome { status, reason: Vec::new() }
            }
        };
        if outcome.status != 0 {
            self.log_bare_newline(outcome.status, &id);
            return self.failure(outcome);
        }
        self.tally.forgive();
        self.blamed = super::notify::Classes::default();
        Ok(if chunked {
            reply!("250 2.0.0 Ok: {} bytes queued as {}", content.size(), id)
        } else {
            reply!("250 2.0.0 Ok: queued as {}", id)
        })
    }

    /// A line ended in LF alone, as we or cleanup(8) found.
    fn log_bare_newline(&self, status: u32, id: &[u8]) {
        if status & STAT_BARE_LF != 0 {
            let facts = Facts { queue_id: Some(id), ..self.facts(About::default()) };
            log_event(self.config(), &facts, "reject", b"bare <LF> received");
        }
    }

    /// The reply for what cleanup(8) or we found wrong: the first that applies.
    fn failure(&mut self, outcome: Outcome) -> Answer {
        let Outcome { status, reason } = outcome;
        if status & STAT_BARE_LF != 0 {
            return Err(Stop::Refuse(self.bare_newline_reply(), Some(ErrorClass::Protocol)));
        }
        if let Some(reply) = whole_reply(&reason) {
            return Err(Stop::Refuse(reply, Some(ErrorClass::Policy)));
        }
        let has = |bit| status & bit != 0;
        let (reply, class) = if has(cleanup::STAT_DEFER) {
            (with_reason("451", &reason, "4.7.1 Error: service unavailable"), ErrorClass::Policy)
        } else if has(cleanup::STAT_BAD) {
            (reply!("451 4.3.0 Error: internal error {}", status), ErrorClass::Software)
        } else if has(cleanup::STAT_SIZE) {
            (reply!("552 5.3.4 Error: message file too big"), ErrorClass::Bounce)
        } else if has(cleanup::STAT_HOPS) {
            (reply!("554 5.4.0 Error: too many hops"), ErrorClass::Bounce)
        } else if has(cleanup::STAT_CONT) {
            let text = "5.7.1 Error: message content rejected";
            (with_reason("550", &reason, text), ErrorClass::Policy)
        } else if has(cleanup::STAT_WRITE) {
            (reply!("451 4.3.0 Error: queue file write error"), ErrorClass::Resource)
        } else {
            (reply!("451 4.3.0 Error: internal error {}", status), ErrorClass::Software)
        };
        Err(Stop::Refuse(reply, Some(class)))
    }
}

/// A line of the content ended in LF alone, and that is forbidden; beside the bits of cleanup(8).
pub(crate) const STAT_BARE_LF: u32 = 1 << 16;

fn with_reason(code: &str, reason: &[u8], otherwise: &str) -> Reply {
    if reason.is_empty() { reply!("{} {}", code, otherwise) } else { reply!("{} {}", code, reason) }
}

/// cleanup(8)'s reason, where it is a whole 4xx or 5xx reply (from a Milter), which may have
/// several lines. Each must itself be a reply line with the same code: a Milter's text is not passed
/// on unseen.
fn whole_reply(reason: &[u8]) -> Option<Reply> {
    let is_line = |line: &[u8]| {
        line.len() >= 3
            && matches!(line[0], b'4' | b'5')
            && line[1..3].iter().all(u8::is_ascii_digit)
            && matches!(line.get(3), None | Some(b' ' | b'-'))
    };
    if !is_line(reason) {
        return None;
    }
    let lines: Vec<Vec<u8>> = reason
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| is_line(line) && line[..3] == reason[..3])
        .map(<[u8]>::to_vec)
        .collect();
    Some(Reply::lines(&lines))
}

/// Flags of cleanup(8) that access(5) actions set.
fn saved_flags(actions: &Actions) -> u32 {
    let mut flags = 0;
    if actions.hold {
        flags |= cleanup::FLAG_HOLD;
    }
    if actions.discard {
        flags |= cleanup::FLAG_DISCARD;
    }
    flags
}

/// The last segment of the queue file: what access(5) actions ask for.
fn extracted(actions: &Actions, to: &mut Cleanup) {
    to.record(b'X', b"");
    if let Some(filter) = &actions.filter {
        to.record(b'L', filter);
    }
    if let Some(redirect) = &actions.redirect {
        to.record(b'>', redirect);
    }
    for bcc in &actions.bcc {
        to.record(b'R', bcc);
        to.attribute("notify_flags", b"1");
    }
    let flags = saved_flags(actions);
    if flags != 0 {
        to.record(b'f', &fill!("{}", flags));
    }
    to.record(b'E', b"");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_milters_reply_passes_line_by_line() {
        let reply = whole_reply(b"550-5.7.1 no\r\n550 5.7.1 second").unwrap();
        assert_eq!(reply.as_bytes(), b"550-5.7.1 no\r\n550 5.7.1 second");
        let reply = whole_reply(b"550-5.7.1 no\r\n250 ok").unwrap();
        assert_eq!(reply.as_bytes(), b"550-5.7.1 no");
        assert_eq!(whole_reply(b"5.7.1 no"), None);
    }
}
