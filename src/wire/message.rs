//! Message content: from what a client sends after DATA to records for cleanup(8).
//!
//! A line that is longer than line_length_limit comes in pieces: `L` records and a last `N`. Where a
//! piece ends, which CR belong to the line end, and what a dot means is decided exactly as in
//! Postfix (`smtp_get_noexcept()`, `receive_data_message()`), so that what we take for the end of
//! the data and what the next server takes for it never differ (SMTP smuggling, CVE-2023-51764).
//!
//! | line | line before ended in | bare newlines accepted | otherwise |
//! | --- | --- | --- | --- |
//! | `.` CR LF | CR LF, or none | end | end |
//! | `.` CR LF | LF | end | dropped |
//! | `.` LF | any | end | dropped |
//! | `.` CR CR LF | any | end | data: CR |

use std::mem;

use memchr::memchr;

use super::record::{self, Record};

/// What to do with a line that ends in LF without CR (smtpd_forbid_bare_newline).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareNewline {
    /// It is a line as any other.
    Accept,
    /// It is a line, but the data ends only with CR LF `.` CR LF.
    Normalize,
    /// The same, and it is noted in the log.
    Note,
    /// The message is refused at its end.
    Reject,
}

impl BareNewline {
    /// Reads the value of smtpd_forbid_bare_newline, in any case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text.to_ascii_lowercase().as_slice() {
            b"no" => Some(Self::Accept),
            b"yes" | b"normalize" => Some(Self::Normalize),
            b"note" => Some(Self::Note),
            b"reject" => Some(Self::Reject),
            _ => None,
        }
    }
}

/// What a [`Content`] depends on.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Longest piece of a line, in bytes; at least 1.
    pub line_length_limit: usize,
    /// Lines without CR.
    pub bare_newline: BareNewline,
    /// Only the first line can look like the separator of a mailbox, and its mark is a record of its
    /// own. Else each line up to the first that does not look so.
    pub one_mailbox_line: bool,
    /// Most bytes of content, counted as by [`Content::size`]; `None`: no limit.
    pub size_limit: Option<u64>,
}

/// The content of one message, while it comes in.
///
/// Input may be cut anywhere: the same bytes make the same records. Memory is bounded by
/// line_length_limit. Once the message is refused (too big, bare newline) the rest is read and
/// dropped.
#[derive(Debug)]
pub struct Content {
    options: Options,
    /// The begin of a piece that has not come in yet as a whole.
    partial: Vec<u8>,
    /// The piece before was not the end of its line.
    after_cut: bool,
    /// The line before ended in a bare LF.
    after_bare_lf: bool,
    at_first_line: bool,
    size: u64,
    /// Bytes that Postfix 3.7 forgets to count.
    hidden_size: u64,
    too_big: bool,
    bare_lf: bool,
}

/// How far [`Content::data`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that belong to the content: all, unless it is done.
    pub consumed: usize,
    /// The end of the data was found.
    pub done: bool,
}

impl Content {
    /// Content of which nothing is there yet.
    pub fn new(options: Options) -> Self {
        let line_length_limit = options.line_length_limit.max(1);
        Self {
            options: Options { line_length_limit, ..options },
            partial: Vec::new(),
            after_cut: false,
            after_bare_lf: false,
            at_first_line: true,
            size: 0,
            hidden_size: 0,
            too_big: false,
            bare_lf: false,
        }
    }

    /// Bytes so far, as Postfix counts them: each record's length plus two.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes after the last whole line or piece of a line.
    pub fn pending(&self) -> usize {
        self.partial.len()
    }

    /// Whether the size limit was passed.
    pub fn too_big(&self) -> bool {
        self.too_big
    }

    /// Whether a line ended in a bare LF; unless these are accepted.
    pub fn bare_lf(&self) -> bool {
        self.bare_lf
    }

    /// Takes what the client sent after DATA and appends records to `out`.
    pub fn data(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        let mut rest = input;
        let done = self.pieces(&mut rest, |content, piece| content.data_piece(piece, out));
        let consumed = input.len().saturating_sub(rest.len());
        Progress { consumed, done }
    }

    /// Gives each piece in `rest` to `take` until it says that this was the end; keeps the
    /// incomplete one.
    #[inline]
    pub(super) fn pieces(
        &mut self,
        rest: &mut &[u8],
        mut take: impl FnMut(&mut Self, Piece<'_>) -> bool,
    ) -> bool {
        let limit = self.options.line_length_limit;
        if !self.partial.is_empty() {
            let Some(end) = self.complete(rest) else { return false };
            let mut bytes = mem::take(&mut self.partial);
            let done = take(self, Piece { bytes: &bytes, end });
            bytes.clear();
            self.partial = bytes;
            if done {
                return true;
            }
        }
        while let Some((len, end)) = first_piece(rest, limit) {
            let (bytes, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            *rest = after;
            if take(self, Piece { bytes, end }) {
                return true;
            }
        }
        self.partial.extend_from_slice(rest);
        *rest = &[];
        false
    }

    /// Moves bytes from `rest` to the incomplete piece; `None` if there are not enough.
    fn complete(&mut self, rest: &mut &[u8]) -> Option<End> {
        let limit = self.options.line_length_limit;
        // One byte more than the limit, for the LF after a CR.
        let room = limit.saturating_add(1).saturating_sub(self.partial.len());
        let window = rest.get(..room).unwrap_or(rest);
        let line = memchr(b'\n', window).and_then(|at| window.get(..=at));
        let taken = line.unwrap_or(window);
        self.partial.extend_from_slice(taken);
        let piece = first_piece(&self.partial, limit);
        let unused = piece.map_or(0, |(len, _)| self.partial.len().saturating_sub(len));
        self.partial.truncate(self.partial.len().saturating_sub(unused));
        *rest = rest.get(taken.len().saturating_sub(unused)..).unwrap_or_default();
        piece.map(|(_, end)| end)
    }

    #[inline]
    fn data_piece(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) -> bool {
        let after_bare_lf = self.after_bare_lf;
        let after_cut = mem::replace(&mut self.after_cut, piece.end == End::Cut);
        let (mut text, bare) = self.text(&piece);
        self.after_bare_lf = bare;
        if self.at_first_line && self.first_line(&piece, text, out) {
            return false;
        }
        if let (Some((b'.', without_dot)), false) = (text.split_first(), after_cut) {
            if without_dot.is_empty() {
                let lone = self.detects() && (bare || after_bare_lf);
                return !lone;
            }
            text = without_dot;
        }
        self.store(piece.kind(), text, out);
        false
    }

    /// The piece without its line end, and whether that is a bare LF where this matters.
    #[inline]
    pub(super) fn text<'a>(&mut self, piece: &Piece<'a>) -> (&'a [u8], bool) {
        let Some((b'\n', mut text)) = piece.bytes.split_last().filter(|_| piece.end == End::Line)
        else {
            return (piece.bytes, false);
        };
        if self.detects() {
            return match text.split_last() {
                Some((b'\r', text)) => (text, false),
                _ => {
                    self.bare_lf = true;
                    (text, true)
                }
            };
        }
        while let Some((b'\r', before)) = text.split_last() {
            text = before;
        }
        (text, false)
    }

    #[inline]
    fn detects(&self) -> bool {
        self.options.bare_newline != BareNewline::Accept
    }

    /// Keeps the first line from becoming part of our Received: header, and disarms the separator
    /// of mailbox files; whether it has stored the line.
    #[cold]
    fn first_line(&mut self, piece: &Piece<'_>, text: &[u8], out: &mut Vec<u8>) -> bool {
        let quotes = text.iter().take_while(|byte| **byte == b'>').count();
        if text.get(quotes..).is_some_and(|text| text.starts_with(b"From ")) {
            if self.options.one_mailbox_line {
                self.at_first_line = false;
                record::encode(Record::PART, MAILBOX_LINE, out);
                self.size = self.size.saturating_add(MAILBOX_LINE.len() as u64);
                return false;
            }
            // As Postfix 3.7: up to the first NUL, and the next line is a first line again.
            let shown = memchr(0, text).and_then(|end| text.get(..end)).unwrap_or(text);
            let line = [MAILBOX_LINE, shown].concat();
            if self.may_store(&line) {
                self.hidden_size = self.hidden_size.saturating_add(counted(&line));
                record::encode(piece.kind(), &line, out);
            }
            return true;
        }
        self.at_first_line = false;
        if matches!(text.first(), Some(b' ' | b'\t')) && !self.is_refused() {
            record::encode(Record::LINE, b"", out);
        }
        false
    }

    /// Appends a record, unless the message is refused.
    #[inline]
    pub(super) fn store(&mut self, kind: u8, text: &[u8], out: &mut Vec<u8>) {
        if self.may_store(text) {
            self.size = self.size.saturating_add(counted(text));
            record::encode(kind, text, out);
        }
    }

    #[inline]
    fn may_store(&mut self, text: &[u8]) -> bool {
        if self.is_refused() {
            return false;
        }
        let total = self.size.saturating_add(self.hidden_size).saturating_add(counted(text));
        self.too_big = self.options.size_limit.is_some_and(|limit| total > limit);
        !self.too_big
    }

    #[inline]
    fn is_refused(&self) -> bool {
        self.too_big || (self.bare_lf && self.options.bare_newline == BareNewline::Reject)
    }

    /// Takes the incomplete piece, which now is the last.
    pub(super) fn take_partial(&mut self) -> Vec<u8> {
        mem::take(&mut self.partial)
    }
}

/// What disarms a line that looks like the separator of a mailbox.
const MAILBOX_LINE: &[u8] = b"X-Mailbox-Line: ";

/// What a record adds to the size.
#[inline]
fn counted(text: &[u8]) -> u64 {
    (text.len() as u64).saturating_add(2)
}

/// A line, or a part of it that is as long as the limit allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    bytes: &'a [u8],
    end: End,
}

impl Piece<'_> {
    #[inline]
    pub(super) fn kind(&self) -> u8 {
        if self.end == End::Line { Record::LINE } else { Record::PART }
    }
}

/// How a piece ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With LF.
    Line,
    /// At the limit.
    Cut,
}

/// The length of the first piece of `bytes`, line end included; `None` where it needs more bytes.
/// A CR at the limit waits for the next byte: an LF still belongs to the piece.
#[inline]
fn first_piece(bytes: &[u8], limit: usize) -> Option<(usize, End)> {
    let window = bytes.get(..limit).unwrap_or(bytes);
    if let Some(at) = memchr(b'\n', window) {
        return Some((at.saturating_add(1), End::Line));
    }
    if window.len() < limit {
        return None;
    }
    match (window.last(), bytes.get(limit)) {
        (Some(b'\r'), None) => None,
        (Some(b'\r'), Some(b'\n')) => Some((limit.saturating_add(1), End::Line)),
        _ => Some((limit, End::Cut)),
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests may panic")]
pub(super) mod tests {
    use super::*;
    use BareNewline::{Accept, Normalize, Note, Reject};

    const MODES: [BareNewline; 4] = [Accept, Normalize, Note, Reject];

    fn options(bare_newline: BareNewline) -> Options {
        Options { line_length_limit: 2048, bare_newline, one_mailbox_line: false, size_limit: None }
    }

    /// What comes of `parts`: the records as text, `L` records with `~` at their end; the rest of
    /// the input after the end, `None` if there was none; and the content itself.
    fn play(options: Options, parts: &[&[u8]]) -> (Vec<String>, Option<Vec<u8>>, Content) {
        let mut content = Content::new(options);
        let mut out = vec![];
        let mut rest = None;
        for part in parts {
            if let Some(rest) = &mut rest {
                Vec::extend_from_slice(rest, part);
                continue;
            }
            let progress = content.data(part, &mut out);
            if progress.done {
                rest = Some(part[progress.consumed..].to_vec());
            } else {
                assert_eq!(progress.consumed, part.len());
            }
        }
        (records(&out), rest, content)
    }

    pub(in crate::wire) fn records(mut out: &[u8]) -> Vec<String> {
        let mut records = vec![];
        while !out.is_empty() {
            let record = Record::take(&mut out).unwrap();
            let end = if record.kind == Record::PART { "~" } else { "" };
            assert!(matches!(record.kind, Record::LINE | Record::PART));
            records.push(format!("{}{end}", record.data.escape_ascii()));
        }
        records
    }

    fn lines(mode: BareNewline, input: &str) -> String {
        let (records, rest, _) = play(options(mode), &[input.as_bytes()]);
        assert!(rest.is_some(), "{input:?}");
        records.join("|")
    }

    /// A text between `A` and `B`, and the lines that Postfix 3.7.11 makes of it: with bare newlines
    /// accepted, and with them normalized. The last says whether `reject` refuses the message.
    const FORMS: [(&str, &str, &str, bool); 37] = [
        ("\n.\n", "A", "A|B", true),
        ("\n.\r\n", "A", "A|B", true),
        ("\r\n.\n", "A", "A|B", true),
        ("\r\n.\r\n", "A", "A", false),
        ("\r\n.\r\r\n", "A", r"A|\r|B", false),
        ("\r\r\n.\r\r\n", "A", r"A\r|\r|B", false),
        ("\r\r\n.\r\n", "A", r"A\r", false),
        ("\n\n.\r\n", "A|", "A||B", true),
        ("\r.\r", r"A\r.\rB", r"A\r.\rB", false),
        ("\r\n.\r", r"A|\rB", r"A|\rB", false),
        ("\n.\r", r"A|\rB", r"A|\rB", true),
        ("\r.\n", r"A\r.|B", r"A\r.|B", true),
        ("\r.\r\n", r"A\r.|B", r"A\r.|B", false),
        ("\n\r.\r\n", r"A|\r.|B", r"A|\r.|B", true),
        ("\r\n\r.\r\n", r"A|\r.|B", r"A|\r.|B", false),
        ("\r\n\0.\r\n", r"A|\x00.|B", r"A|\x00.|B", false),
        ("\r\n.\0\r\n", r"A|\x00|B", r"A|\x00|B", false),
        ("\r\n.\x0b\r\n", r"A|\x0b|B", r"A|\x0b|B", false),
        ("\r\n.\u{85}\r\n", r"A|\xc2\x85|B", r"A|\xc2\x85|B", false),
        ("\r\n.\u{2028}\r\n", r"A|\xe2\x80\xa8|B", r"A|\xe2\x80\xa8|B", false),
        ("\r\n..\r\n", "A|.|B", "A|.|B", false),
        ("\n..\n", "A|.|B", "A|.|B", true),
        ("\r\n.x\r\n", "A|x|B", "A|x|B", false),
        ("\r\n..x\r\n", "A|.x|B", "A|.x|B", false),
        ("\r\n. \r\n", "A| |B", "A| |B", false),
        ("\r\n.\n.\r\n", "A", "A|B", true),
        ("\r\n.\n.\n.\r\n", "A", "A|B", true),
        ("\n.\n.\r\n", "A", "A|B", true),
        ("\r\r\r\n.\r\n", "A", r"A\r\r", false),
        ("\n\r\n.\r\n", "A|", "A|", true),
        ("\r\n.\r\r.\r\n", r"A|\r\r.|B", r"A|\r\r.|B", false),
        ("\n.\r\r\n", "A", r"A|\r|B", true),
        ("\r\n.\r\n.\r\n", "A", "A", false),
        ("\r\n\r\n", "A||B", "A||B", false),
        ("\n\n", "A||B", "A||B", true),
        ("\r\r\n", "A|B", r"A\r|B", false),
        ("x\ry\r\n", r"Ax\ry|B", r"Ax\ry|B", false),
    ];

    #[test]
    fn the_data_ends_where_it_ends_for_the_original() {
        for (form, accepted, normalized, refused) in FORMS {
            let input = format!("A{form}B\r\n.\r\n");
            assert_eq!(lines(Accept, &input), accepted, "{form:?}");
            for mode in [Normalize, Note] {
                assert_eq!(lines(mode, &input), normalized, "{form:?}");
            }
            let (_, _, content) = play(options(Reject), &[input.as_bytes()]);
            assert_eq!(content.bare_lf(), refused, "{form:?}");
        }
    }

    #[test]
    fn with_bare_newlines_forbidden_only_cr_lf_dot_cr_lf_ends_the_data() {
        let early: Vec<_> =
            FORMS.iter().filter(|form| !form.2.ends_with('B')).map(|form| form.0).collect();
        assert_eq!(early.len(), 5);
        for form in early {
            assert!(form.contains("\r\n.\r\n"));
        }
    }

    #[test]
    fn after_a_bare_newline_a_refused_message_is_read_but_not_stored() {
        let input = b"a\r\nb\nc\r\n.\r\nQUIT\r\n";
        let (records, rest, content) = play(options(Reject), &[input]);
        assert_eq!(records, ["a"]);
        assert_eq!(rest.unwrap(), b"QUIT\r\n");
        assert!(content.bare_lf() && !content.too_big());
        assert!(!play(options(Accept), &[input]).2.bare_lf());
    }

    #[test]
    fn the_first_line_cannot_continue_a_header_or_look_like_a_mailbox() {
        assert_eq!(lines(Accept, " lead\r\n x\r\n.\r\n"), "| lead| x");
        assert_eq!(lines(Accept, "\tlead\r\n.\r\n"), r"|\tlead");
        assert_eq!(lines(Accept, "\r\n lead\r\n.\r\n"), "| lead");
        assert_eq!(lines(Accept, ". lead\r\n.\r\n"), " lead");
        assert_eq!(
            lines(Accept, ">>From a\r\nFrom b\r\n x\r\nFrom c\r\n.\r\n"),
            "X-Mailbox-Line: >>From a|X-Mailbox-Line: From b|| x|From c"
        );
        assert_eq!(lines(Accept, "From a\0b\r\n.\r\n"), "X-Mailbox-Line: From a");
        assert_eq!(lines(Accept, "From\r\n.\r\n"), "From");
        assert_eq!(lines(Accept, ">> From a\r\n.\r\n"), ">> From a");
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let x = |len: usize| "x".repeat(len);
        let long = |text: &str| lines(Accept, &format!("{text}\r\n.\r\n"));
        assert_eq!(long(&x(2047)), x(2047));
        assert_eq!(long(&x(2048)), format!("{}~|", x(2048)));
        assert_eq!(long(&x(2049)), format!("{}~|x", x(2048)));
        assert_eq!(long(&x(5000)), format!("{0}~|{0}~|{1}", x(2048), x(904)));
        assert_eq!(long(&format!(".{}", x(2048))), format!("{}~|x", x(2047)));
        assert_eq!(long(&format!("{}.", x(2048))), format!("{}~|.", x(2048)));
        assert_eq!(long(&format!("{}\r", x(2046))), x(2046));
        assert_eq!(long(&format!("{}\ry", x(2047))), format!("{}\\r~|y", x(2047)));
    }

    #[test]
    fn a_dot_after_a_cut_is_not_the_begin_of_a_line() {
        let options = Options { line_length_limit: 4, ..options(Normalize) };
        let (records, rest, _) = play(options, &[b"xxxx.\r\nxxxx\n.\r\nxxxx\r\n.\r\n"]);
        assert_eq!(records, ["xxxx~", ".", "xxxx~", "", "xxxx~", ""]);
        assert_eq!(rest.unwrap(), b"");
    }

    #[test]
    fn the_size_is_that_of_the_records_and_two_for_each() {
        let (_, _, content) = play(options(Accept), &[b"ab\r\n..\r\n\r\n.\r\n"]);
        assert_eq!(content.size(), 4 + 3 + 2);
    }

    #[test]
    fn beyond_the_limit_the_rest_is_swallowed() {
        let limit = |size_limit| Options { size_limit, ..options(Accept) };
        let input = b"ab\r\ncd\r\ne\r\n.\r\nQUIT\r\n";
        let (records, rest, content) = play(limit(Some(11)), &[input]);
        assert_eq!((records.len(), content.too_big(), content.size()), (3, false, 11));
        assert_eq!(rest.unwrap(), b"QUIT\r\n");
        let (records, rest, content) = play(limit(Some(7)), &[input]);
        assert_eq!((records, content.too_big(), content.size()), (vec!["ab".into()], true, 4));
        assert_eq!(rest.unwrap(), b"QUIT\r\n");
    }

    #[test]
    fn one_line_that_looks_like_a_mailbox_is_marked_by_a_record_of_its_own() {
        let options = Options { one_mailbox_line: true, ..options(Accept) };
        let (records, _, content) = play(options, &[b">From a\r\nFrom b\r\n.\r\n"]);
        assert_eq!(records, ["X-Mailbox-Line: ~", ">From a", "From b"]);
        assert_eq!(content.size(), 16 + 9 + 8);
    }

    #[test]
    fn lines_that_look_like_a_mailbox_cannot_get_past_the_limit() {
        let options = Options { size_limit: Some(1000), ..options(Accept) };
        let input = [&b"From x\r\n".repeat(100)[..], b".\r\n"].concat();
        let (records, _, content) = play(options, &[&input]);
        assert!(content.too_big());
        assert_eq!(records.len(), 1000 / 24);
    }

    #[test]
    fn known_words_choose_the_mode() {
        for (word, mode) in [
            ("no", Accept),
            ("YES", Normalize),
            ("normalize", Normalize),
            ("Note", Note),
            ("Reject", Reject),
        ] {
            assert_eq!(BareNewline::parse(word.as_bytes()), Some(mode));
        }
        assert_eq!(BareNewline::parse(b""), None);
    }

    /// The rules once more, a byte at a time and without any speed: the records, and where the data
    /// ends.
    fn slowly(mode: BareNewline, limit: usize, input: &[u8]) -> (Vec<String>, Option<usize>) {
        let (mut at, mut first, mut after_cut, mut after_bare) = (0, true, false, false);
        let mut records = vec![];
        while at < input.len() {
            let start = at;
            while at < input.len() && at - start < limit && (at == start || input[at - 1] != b'\n')
            {
                at += 1;
            }
            if input[at - 1] == b'\r' && at - start == limit {
                match input.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => break,
                }
            }
            let cut = input[at - 1] != b'\n';
            if cut && at - start < limit {
                break;
            }
            let mut text = &input[start..at - usize::from(!cut)];
            let bare = mode != Accept && !cut && text.last() != Some(&b'\r');
            while !cut && text.last() == Some(&b'\r') {
                text = &text[..text.len() - 1];
                if mode != Accept {
                    break;
                }
            }
            let lone = text == b"." && !after_cut && mode != Accept && (bare || after_bare);
            let end = text == b"." && !after_cut && !lone;
            if first && matches!(text.first(), Some(b' ' | b'\t')) {
                records.push(String::new());
            }
            first = false;
            if end {
                return (records, Some(at));
            }
            if !lone {
                let text = text.strip_prefix(b".").filter(|_| !after_cut).unwrap_or(text);
                records.push(format!("{}{}", text.escape_ascii(), if cut { "~" } else { "" }));
            }
            (after_cut, after_bare) = (cut, bare);
        }
        (records, None)
    }

    /// All texts of `len` bytes out of those that matter.
    fn nasty(len: u32) -> impl Iterator<Item = Vec<u8>> {
        const BYTES: &[u8] = b"\r\n.x ";
        (0..BYTES.len().pow(len)).map(move |number| {
            (0..len).map(|i| BYTES[number / BYTES.len().pow(i) % BYTES.len()]).collect()
        })
    }

    #[test]
    fn every_short_text_makes_the_records_of_the_rules() {
        for mode in [Accept, Normalize] {
            for limit in [3, 4, 100] {
                let options = Options { line_length_limit: limit, ..options(mode) };
                for input in nasty(6) {
                    let (records, rest, _) = play(options, &[&input]);
                    let end = rest.map(|rest| input.len() - rest.len());
                    assert_eq!((records, end), slowly(mode, limit, &input), "{input:?} {limit}");
                }
            }
        }
    }

    #[test]
    fn where_the_input_is_cut_does_not_matter() {
        let tail = b"\r\n.\r\n\r\n.x\ry\n.\n\r\n.\r\nQUIT";
        for limit in [1, 2, 3, 5, 100] {
            for mode in MODES {
                let options = Options { line_length_limit: limit, ..options(mode) };
                for (form, ..) in FORMS {
                    let input = [b"From \r\nx", form.as_bytes(), tail].concat();
                    let whole = play(options, &[&input]);
                    for i in 0..input.len() {
                        for j in i..input.len() {
                            let parts = [&input[..i], &input[i..j], &input[j..]];
                            let split = play(options, &parts);
                            assert_eq!((&split.0, &split.1), (&whole.0, &whole.1), "{parts:?}");
                            assert_eq!(split.2.size(), whole.2.size());
                        }
                    }
                }
            }
        }
    }
}
