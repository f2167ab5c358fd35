//! BDAT (RFC 3030): content in chunks of announced size.

use super::commands::{Answer, Args, cut};
use super::ehlo::Keyword;
use super::mail::queue_id_or_none;
use super::{Session, Stop};
use crate::mail::client::ErrorClass;
use crate::mail::reply::Reply;
use crate::text::printable::printable;
use crate::wire::bdat::Chunk;
use crate::wire::message::Content;

/// Where the chunks of a message stand.
#[derive(Default)]
pub(crate) enum Chunks {
    /// No BDAT yet.
    #[default]
    None,
    /// Chunks are coming.
    Some(Box<Content>),
    /// A chunk was refused: others are thrown away until LAST or RSET.
    Refused,
}

impl Chunks {
    pub(crate) fn in_progress(&self) -> bool {
        !matches!(self, Self::None)
    }
}

/// How much content is thrown away at most, in multiples of message_size_limit.
const SKIP_LIMIT: f64 = 1.5;

/// BDAT size [LAST]
pub(crate) fn bdat(s: &mut Session<'_>, args: &Args) -> Answer {
    if s.discard.has(Keyword::Chunking) {
        // What follows is content, not commands: hang up.
        return protocol!("521 5.5.1 Error: command not implemented");
    }
    let Some(Chunk { size, last }) = Chunk::of_command(&args.tokens) else {
        let line = args.line.split(|byte| *byte == 0).next().unwrap_or_default();
        let shown = printable(line, b'?', s.config().smtputf8_enable);
        let (id, namaddr) = (queue_id_or_none(s.mail.as_ref()), &s.who.client.namaddr);
        let shown = cut(&shown, 100);
        warning!("{}: malformed BDAT command syntax from {}: {}", id, namaddr, shown);
        return protocol!("521 5.5.4 Syntax: BDAT count [LAST]");
    };
    s.chat.be_patient_for_content();
    if let Err(stop) = s.accept_chunk(size, last) {
        return s.skip_chunk(size, last, stop);
    }
    s.who.place = "BDAT content";
    let mut content = match std::mem::take(&mut s.chunks) {
        Chunks::Some(content) => content,
        Chunks::None | Chunks::Refused => {
            s.begin_content();
            Box::new(s.content())
        }
    };
    s.receive_chunk(&mut content, size, last)?;
    if last {
        s.who.place = "END-OF-MESSAGE";
        return s.end_of_message(&content, true);
    }
    if s.status(&content) != 0 || s.cleanup_failed() {
        let answer = s.end_of_message(&content, true);
        s.chunks = Chunks::Refused;
        return answer;
    }
    s.chunks = Chunks::Some(content);
    Ok(reply!("250 2.0.0 Ok: {} bytes", size))
}

impl Session<'_> {
    /// The checks before a chunk is taken.
    fn accept_chunk(&mut self, size: u64, last: bool) -> Result<(), Stop> {
        let refuse = |reply: Reply| Err(Stop::Refuse(reply, None));
        if size == 0 && !last {
            let id = queue_id_or_none(self.mail.as_ref());
            warning!("{}: null BDAT request from {}", id, self.who.client.namaddr);
            return refuse(reply!("551 5.7.1 Null BDAT request"));
        }
        if let Chunks::Refused = self.chunks {
            return refuse(reply!("551 5.0.0 Discarded {} bytes after earlier error", size));
        }
        if let Chunks::None = self.chunks {
            self.needs_recipients()?;
            self.check_data()?;
        }
        let limit = u64::try_from(self.config().message_size_limit).unwrap_or(0);
        if limit > 0 && self.content_size.saturating_add(size) > limit {
            let id = queue_id_or_none(self.mail.as_ref());
            let namaddr = &self.who.client.namaddr;
            warning!("{}: BDAT request from {} exceeds message size limit", id, namaddr);
            return Err(Stop::Refuse(
                reply!("552 5.3.4 Chunk exceeds message size limit"),
                Some(ErrorClass::Policy),
            ));
        }
        Ok(())
    }

    /// Reads a chunk and throws it away, so that what follows it are commands again. A client that
    /// sends far more than any message may have is not listened to any longer.
    fn skip_chunk(&mut self, size: u64, last: bool, stop: Stop) -> Answer {
        if matches!(stop, Stop::Fatal(_) | Stop::End(_)) {
            return Err(stop);
        }
        let limit = self.config().message_size_limit.max(0) as f64 * SKIP_LIMIT;
        self.skipped = self.skipped.saturating_add(size);
        let total = self.skipped.saturating_add(self.content_size);
        if limit > 0.0 && total as f64 > limit {
            let id = queue_id_or_none(self.mail.as_ref());
            let namaddr = &self.who.client.namaddr;
            warning!("{}: too much BDAT content -- disabling further input from {}", id, namaddr);
            self.chat.stream.stop_reading();
        } else {
            self.skip(size)?;
        }
        if last {
            self.end_mail();
        } else {
            self.chunks = Chunks::Refused;
        }
        Err(stop)
    }

    fn skip(&mut self, size: u64) -> Result<(), Stop> {
        let mut left = size;
        while left > 0 {
            if self.chat.stream.unread().is_empty() {
                self.chat.stream.fill()?;
            }
            let len = part(self.chat.stream.unread().len(), left);
            self.chat.stream.consume(len);
            left -= len as u64;
        }
        Ok(())
    }

    fn receive_chunk(&mut self, content: &mut Content, size: u64, last: bool) -> Result<(), Stop> {
        self.chat.stream.expect_much(true);
        let result = self.copy_chunk(content, size);
        self.chat.stream.expect_much(false);
        result?;
        if last {
            let was_too_big = content.too_big();
            if let Some(cleanup) = self.mail.as_mut().and_then(|mail| mail.cleanup.as_mut()) {
                content.finish_chunks(cleanup.buffer());
            }
            self.took(content, was_too_big);
        }
        Ok(())
    }

    fn copy_chunk(&mut self, content: &mut Content, size: u64) -> Result<(), Stop> {
        let mut left = size;
        let mut fragment = Fragment::begin(content);
        while left > 0 {
            if self.chat.stream.unread().is_empty() {
                self.chat.stream.fill().inspect_err(|_| self.lost_in(&fragment))?;
            }
            let len = part(self.chat.stream.unread().len().min(fragment.room()), left);
            let Some(cleanup) = self.mail.as_mut().and_then(|mail| mail.cleanup.as_mut()) else {
                return Err(Stop::Quiet);
            };
            let was_too_big = content.too_big();
            content.chunk(&self.chat.stream.unread()[..len], cleanup.buffer());
            cleanup.write_if_full();
            self.chat.stream.consume(len);
            self.took(content, was_too_big);
            left -= len as u64;
            fragment.take(len, content);
        }
        Ok(())
    }

    /// The client is gone: of the last fragment, the log counts the bytes as they came.
    fn lost_in(&mut self, fragment: &Fragment) {
        self.content_size = fragment.size;
        self.content_rest = fragment.pending.saturating_add(fragment.taken) as u64;
    }

    fn cleanup_failed(&self) -> bool {
        let cleanup = self.mail.as_ref().and_then(|mail| mail.cleanup.as_ref());
        cleanup.is_some_and(crate::ipc::cleanup::Cleanup::failed)
    }
}

/// As Postfix, which takes a chunk apart by fragments: content before a fragment counts as lines, with
/// two bytes for each end, and content of a fragment that does not come to its end as bytes.
struct Fragment {
    size: u64,
    pending: usize,
    taken: usize,
}

impl Fragment {
    const LEN: usize = 4096;

    fn begin(content: &Content) -> Self {
        Self { size: content.size(), pending: content.pending(), taken: 0 }
    }

    fn room(&self) -> usize {
        Self::LEN.saturating_sub(self.taken)
    }

    fn take(&mut self, len: usize, content: &Content) {
        self.taken = self.taken.saturating_add(len);
        if self.taken >= Self::LEN {
            *self = Self::begin(content);
        }
    }
}

/// At most `left` of `len` bytes.
fn part(len: usize, left: u64) -> usize {
    usize::try_from(left).map_or(len, |left| len.min(left))
}
