//! From the text of a list to its items.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use super::pattern::{Item, Pattern};
use crate::config::Config;
use crate::config::dialect::{Change, Release};
use crate::config::main_cf::LogicalLines;
use crate::log::Fatal;
use crate::table::{Opener, Request};
use crate::text::fold::fold;
use crate::text::split::{COMMA_SPACE, words_braced};

/// How deep files may name files.
const DEPTH_LIMIT: usize = 100;

/// The items of `text`. Items that can't be opened stay, and fail when they are asked.
pub(super) fn items(
    opener: &mut Opener,
    parameter: &str,
    text: &[u8],
    config: &Config,
) -> Result<Vec<Item>, Fatal> {
    let (utf8, release) = (config.smtputf8_enable, config.release);
    let mut parser = Parser { opener, parameter, utf8, release, items: Vec::new() };
    parser.add(text, true, 0)?;
    // Most lists have an item or none.
    parser.items.shrink_to_fit();
    Ok(parser.items)
}

struct Parser<'a> {
    opener: &'a mut Opener,
    parameter: &'a str,
    utf8: bool,
    release: Release,
    items: Vec<Item>,
}

impl Parser<'_> {
    /// Adds the items of a text; `wanted` is false in a file that is negated.
    fn add(&mut self, text: &[u8], wanted: bool, depth: usize) -> Result<(), Fatal> {
        let mut rest = text;
        while let Some((word, after)) = next_word(rest) {
            rest = after;
            if word.starts_with(b"#") {
                self.warn_of_comment(word, rest);
                break;
            }
            let marks = word.iter().take_while(|byte| **byte == b'!').count();
            self.add_item(&word[marks..], wanted == (marks % 2 == 0), depth)?;
        }
        Ok(())
    }

    fn warn_of_comment(&self, word: &[u8], rest: &[u8]) {
        let parameter = self.parameter;
        if self.release.does(Change::PatternFilesAsMainCf) {
            let rest = &rest[..rest.len().min(20)];
            warning!(
                "{}: #comment after other text is not allowed: {} {}...",
                parameter,
                word,
                rest
            );
        } else {
            warning!("{}: comment at end of line is not supported: {} {}", parameter, word, rest);
        }
    }

    fn add_item(&mut self, item: &[u8], wanted: bool, depth: usize) -> Result<(), Fatal> {
        let pattern = if item.is_empty() {
            return Err(fatal!("{}: no pattern after '!'", self.parameter));
        } else if item.starts_with(b"/") {
            match open_file(item, depth) {
                Ok(file) => return self.add_file(item, file, wanted, depth),
                Err(reason) => {
                    let name = fill!("non-existent:{}", item);
                    Pattern::Table(self.opener.surrogate(&name, reason)?)
                }
            }
        } else if item.contains(&b':') && !item.starts_with(b"[") {
            Pattern::Table(self.opener.open(item, Request::MATCH)?)
        } else {
            Pattern::literal(fold(item, self.utf8))
        };
        self.items.push(Item { wanted, pattern });
        Ok(())
    }

    /// Adds the items in a file: each logical line is a text. In older releases each line is one, but
    /// for those that begin with `#`.
    fn add_file(
        &mut self,
        name: &[u8],
        mut file: File,
        wanted: bool,
        depth: usize,
    ) -> Result<(), Fatal> {
        let mut text = Vec::new();
        file.read_to_end(&mut text)
            .map_err(|error| fatal!("match_list_parse: read file {}: {}", name, error))?;
        if self.release.does(Change::PatternFilesAsMainCf) {
            for line in LogicalLines::of(&text) {
                self.add(until_nul(&line.text), wanted, depth + 1)?;
            }
            return Ok(());
        }
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if !line.starts_with(b"#") {
                self.add(until_nul(line), wanted, depth + 1)?;
            }
        }
        Ok(())
    }
}

fn until_nul(line: &[u8]) -> &[u8] {
    memchr::memchr(0, line).map_or(line, |end| &line[..end])
}

/// The first word, and what stands behind the separator after it.
fn next_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = text.iter().position(|byte| !COMMA_SPACE.contains(byte))?;
    let word = words_braced(&text[start..], COMMA_SPACE).next()?;
    let rest = text.get(start + word.len() + 1..).unwrap_or_default();
    Some((word, rest))
}

fn open_file(name: &[u8], depth: usize) -> Result<File, Vec<u8>> {
    if depth >= DEPTH_LIMIT {
        return Err(fill!("open file {}: files name each other without end", name));
    }
    File::open(OsStr::from_bytes(name)).map_err(|error| fill!("open file {}: {}", name, error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::log::captured;
    use crate::matchlist::MatchList;
    use crate::table::TableError;

    fn open(patterns: &str) -> Result<MatchList, Fatal> {
        let config = Config::of_text("").unwrap();
        let mut opener = Opener::new(&config);
        captured::take();
        MatchList::strings(&mut opener, &config, "some_list", patterns.as_bytes())
    }

    #[test]
    fn files_hold_items() {
        let file = std::env::temp_dir().join(format!("smtpd-rs-list-{}", std::process::id()));
        fs::write(&file, "#comment\none, !two\n  # three\nfour #x y\n\nfi\0ve\nsix").unwrap();
        let path = file.display();
        let list = open(&format!("{path}")).unwrap();
        assert_eq!(
            captured::take(),
            [
                "warning: some_list: comment at end of line is not supported: # three\n",
                "warning: some_list: comment at end of line is not supported: #x y\n"
            ]
        );
        let has = |list: &MatchList, text: &str| list.matches_string(text.as_bytes()).unwrap();
        for (text, there) in [
            ("one", true),
            ("two", false),
            ("three", false),
            ("four", true),
            ("fi", true),
            ("six", true),
        ] {
            assert_eq!(has(&list, text), there, "{text}");
        }
        let not = open(&format!("!{path} one two")).unwrap();
        assert!(!has(&not, "one") && has(&not, "two"));
        fs::write(&file, format!("a {path} b")).unwrap();
        let endless = open(&format!("{path}")).unwrap();
        assert_eq!(
            captured::take(),
            [format!("error: open file {path}: files name each other without end")]
        );
        assert!(has(&endless, "a"));
        assert!(endless.matches_string(b"b").is_err());
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_file_that_is_not_there_fails_each_search() {
        let list = open("one /nowhere/list two").unwrap();
        assert_eq!(captured::take(), ["error: open file /nowhere/list: No such file or directory"]);
        assert_eq!(list.matches_string(b"one"), Ok(true));
        assert_eq!(list.matches_string(b"two"), Err(TableError::Retry));
        assert_eq!(
            captured::take(),
            [
                "warning: non-existent:/nowhere/list is unavailable. \
                 open file /nowhere/list: No such file or directory",
                "warning: some_list: non-existent:/nowhere/list: table lookup problem"
            ]
        );
    }

    #[test]
    fn a_comment_ends_a_list() {
        let list = open("one # two three").unwrap();
        assert_eq!(
            captured::take(),
            ["warning: some_list: comment at end of line is not supported: # two three"]
        );
        assert_eq!(list.matches_string(b"two"), Ok(false));
    }

    #[test]
    fn files_have_logical_lines_from_3_8_on() {
        let file = std::env::temp_dir().join(format!("smtpd-rs-lines-{}", std::process::id()));
        fs::write(&file, "one\n  # three\n two,#x y z and more than twenty\n\nfi\0ve\n six\n")
            .unwrap();
        let config = Config::of_text("smtpd_rs_dialect = 3.8\n").unwrap();
        let mut opener = Opener::new(&config);
        captured::take();
        let name = file.display().to_string();
        let list = MatchList::strings(&mut opener, &config, "some_list", name.as_bytes()).unwrap();
        assert_eq!(
            captured::take(),
            [
                "warning: some_list: #comment after other text is not allowed: #x y z and more than tw..."
            ]
        );
        for (text, there) in
            [("one", true), ("two", true), ("three", false), ("fi", true), ("six", false)]
        {
            assert_eq!(list.matches_string(text.as_bytes()), Ok(there), "{text}");
        }
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_mark_needs_a_pattern() {
        assert_eq!(open("a, !").err(), Some(fatal!("some_list: no pattern after '!'")));
        let directory = open("/").err();
        assert_eq!(directory, Some(fatal!("match_list_parse: read file /: Is a directory")));
    }
}
