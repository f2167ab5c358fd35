//! BDAT (RFC 3030): chunks of message content.
//!
//! Lines go on across chunks; dots mean nothing. What stands after the last LF of the last chunk is
//! a line too.

use super::command::Token;
use super::message::Content;
use super::record::Record;

/// What a BDAT command announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes that follow the command.
    pub size: u64,
    /// Whether the message ends with them.
    pub last: bool,
}

impl Chunk {
    /// Reads `BDAT count [LAST]`; `None` where it is malformed, or the count beyond 2^63 - 1.
    pub fn of_command(words: &[Token]) -> Option<Self> {
        let (count, last) = match words {
            [_, count] => (count, false),
            [_, count, last] if last.text.eq_ignore_ascii_case(b"LAST") => (count, true),
            _ => return None,
        };
        if !count.text.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let size: i64 = std::str::from_utf8(&count.text).ok()?.parse().ok()?;
        Some(Self { size: size.unsigned_abs(), last })
    }
}

impl Content {
    /// Takes bytes of a chunk, in any portions, and appends records to `out`.
    pub fn chunk(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        self.pieces(&mut rest, |content, piece| {
            let (text, _) = content.text(&piece);
            content.store(piece.kind(), text, out);
            false
        });
    }

    /// The last chunk is over: what has no line end is a line.
    pub fn finish_chunks(&mut self, out: &mut Vec<u8>) {
        let text = self.take_partial();
        if !text.is_empty() {
            self.store(Record::LINE, &text, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::tokens;
    use super::super::message::tests::records;
    use super::super::message::{BareNewline, Options};
    use super::*;

    fn play(bare_newline: BareNewline, limit: usize, parts: &[&[u8]]) -> (Vec<String>, Content) {
        let options = Options {
            line_length_limit: limit,
            bare_newline,
            one_mailbox_line: false,
            size_limit: Some(10_000),
        };
        let mut content = Content::new(options);
        let mut out = vec![];
        for part in parts {
            content.chunk(part, &mut out);
        }
        content.finish_chunks(&mut out);
        (records(&out), content)
    }

    fn lines(input: &[u8]) -> String {
        play(BareNewline::Accept, 2048, &[input]).0.join("|")
    }

    #[test]
    fn a_command_has_a_count_and_may_be_the_last() {
        let chunk = |line: &[u8]| Chunk::of_command(&tokens(line));
        assert_eq!(chunk(b"BDAT 5"), Some(Chunk { size: 5, last: false }));
        assert_eq!(chunk(b"BDAT 000 last"), Some(Chunk { size: 0, last: true }));
        let most = Chunk { size: i64::MAX.unsigned_abs(), last: false };
        assert_eq!(chunk(b"BDAT 9223372036854775807"), Some(most));
        for bad in ["", " -1", " +1", " 1x", " 1 LAS", " 1 LAST x", " 9223372036854775808", " \"\""]
        {
            assert_eq!(chunk(format!("BDAT{bad}").as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn chunks_are_taken_as_they_are() {
        assert_eq!(lines(b"From a\r\n.\r\n lead\r\n..x\r\n"), "From a|.| lead|..x");
        assert_eq!(lines(b"\r\n.\r\n"), "|.");
        assert_eq!(lines(b""), "");
    }

    #[test]
    fn a_last_line_without_end_is_a_line() {
        let (records, content) = play(BareNewline::Accept, 2048, &[b"hello"]);
        assert_eq!((records, content.size()), (vec!["hello".to_string()], 7));
        assert_eq!(lines(b"a\r\nhello\r"), r"a|hello\r");
        assert_eq!(lines(b"a\nb\r\r\n"), "a|b");
    }

    #[test]
    fn a_bare_newline_refuses_the_message_where_that_is_wanted() {
        let (records, content) = play(BareNewline::Reject, 2048, &[b"a\r\nb\nc\r\n"]);
        assert_eq!((records, content.bare_lf()), (vec!["a".to_string()], true));
        let (records, content) = play(BareNewline::Reject, 2048, &[b"a\r\nb"]);
        assert_eq!((records.len(), content.bare_lf()), (2, false));
        let (records, _) = play(BareNewline::Normalize, 2048, &[b"a\r\r\nb\n"]);
        assert_eq!(records, [r"a\r", "b"]);
    }

    #[test]
    fn where_chunks_begin_does_not_matter() {
        let input = b"abcd\r\n\r\nabcde\r\r\nab\ncd\r.\r\n\r\nabcd\r";
        for limit in [1, 2, 4, 5, 100] {
            for mode in [BareNewline::Accept, BareNewline::Normalize, BareNewline::Reject] {
                let whole = play(mode, limit, &[input]);
                for i in 0..input.len() {
                    for j in i..input.len() {
                        let parts = [&input[..i], &input[i..j], &input[j..]];
                        let split = play(mode, limit, &parts);
                        assert_eq!((&split.0, split.1.size()), (&whole.0, whole.1.size()));
                    }
                }
            }
        }
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_the_limit() {
        let mut content = Content::new(Options {
            line_length_limit: 100,
            bare_newline: BareNewline::Accept,
            one_mailbox_line: false,
            size_limit: Some(0),
        });
        let mut out = vec![];
        for _ in 0..1000 {
            content.chunk(&[b'x'; 1000], &mut out);
        }
        assert!(out.is_empty() && content.too_big());
        assert!(content.take_partial().capacity() <= 1000);
    }
}
