//! Counts of a session: commands for the log, errors for the limits.

use super::commands::COMMANDS;
use crate::text::fill::Bytes;

/// How often a command was tried, and how often it went well.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    ok: u32,
    total: u32,
}

/// What a session has seen so far.
#[derive(Debug)]
pub(crate) struct Tally {
    /// One for each row of [`COMMANDS`], and one for unknown commands.
    counts: Vec<Count>,
    /// Errors since the last message (smtpd_soft_error_limit, smtpd_hard_error_limit).
    pub(crate) errors: i32,
    /// Commands that do nothing since the last message (smtpd_junk_command_limit).
    junk: i32,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { counts: vec![Count::default(); COMMANDS.len() + 1], errors: 0, junk: 0 }
    }

    /// A command was tried; `row` is its place in [`COMMANDS`], `None` for an unknown one.
    pub(crate) fn tried(&mut self, row: Option<usize>) {
        self.counts[row.unwrap_or(COMMANDS.len())].total += 1;
    }

    /// The command at `row` went well.
    pub(crate) fn done(&mut self, row: usize) {
        self.counts[row].ok += 1;
    }

    /// Counts an error.
    pub(crate) fn error(&mut self) {
        self.errors = self.errors.saturating_add(1);
    }

    /// Counts a command that does nothing: beyond `limit` each is an error.
    pub(crate) fn junk(&mut self, limit: i32) {
        if self.junk > limit {
            self.error();
        }
        self.junk = self.junk.saturating_add(1);
    }

    /// A message was received: earlier errors are forgiven.
    pub(crate) fn forgive(&mut self) {
        self.errors = 0;
        self.junk = 0;
    }
}

/// As in the disconnect line: ` ehlo=1 rcpt=0/1 quit=1 commands=2/3`.
impl Bytes for Tally {
    fn append_to(&self, out: &mut Vec<u8>) {
        let names = COMMANDS.iter().map(|row| row.verb).chain(["unknown"]);
        let mut all = Count::default();
        for (name, count) in names.zip(&self.counts) {
            if count.total > 0 {
                append(out, &name.to_ascii_lowercase(), *count);
                all.ok += count.ok;
                all.total += count.total;
            }
        }
        append(out, "commands", all);
    }
}

fn append(out: &mut Vec<u8>, name: &str, count: Count) {
    fill!(" {}={}", name, count.ok).append_to(out);
    if count.ok != count.total || count.total == 0 {
        fill!("/{}", count.total).append_to(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_tried_is_listed() {
        let mut tally = Tally::new();
        assert_eq!(fill!("{}", tally), b" commands=0/0");
        for (row, ok) in [(0, true), (7, false), (7, true)] {
            tally.tried(Some(row));
            if ok {
                tally.done(row);
            }
        }
        tally.tried(None);
        let text = fill!(" {}=1 {}=1/2 unknown=0/1 commands=2/4", "helo", "rcpt");
        assert_eq!(fill!("{}", tally), text);
    }

    #[test]
    fn junk_is_an_error_only_beyond_the_limit() {
        let mut tally = Tally::new();
        for _ in 0..3 {
            tally.junk(1);
        }
        assert_eq!(tally.errors, 1);
        tally.forgive();
        tally.junk(1);
        assert_eq!(tally.errors, 0);
    }
}
