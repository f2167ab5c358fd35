//! Where in main.cf and master.cf something stands.

use super::master_cf::Service;
use super::report::Place;
use crate::config::main_cf::{LogicalLines, name_value};
use crate::config::parameters::TABLE;

/// Endings of the files that postmap(1) makes.
const INDEXES: &[&str] = &[".db", ".lmdb", ".cdb"];

/// What a file says of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// Its first line.
    pub(super) line: usize,
    /// The line behind its last.
    pub(super) end: usize,
}

/// A file and its path.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) path: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

impl Text {
    pub(super) fn place(&self, line: usize) -> Place {
        Place { file: self.path.clone(), line: Some(line) }
    }

    /// Where in a setting `word` stands, else where the setting begins.
    fn place_of(&self, setting: &Setting, word: &[u8]) -> Place {
        let found = line_of(&self.bytes, setting.line, Some(setting.end), word);
        self.place(found.unwrap_or(setting.line))
    }
}

/// The settings of main.cf.
pub(super) fn settings(main_cf: &[u8]) -> Vec<Setting> {
    let mut lines = LogicalLines::of(main_cf).peekable();
    let mut settings = Vec::new();
    while let Some(line) = lines.next() {
        let end = lines.peek().map_or(usize::MAX, |next| next.number);
        if let Ok((name, value)) = name_value(&line.text) {
            let (name, value) = (name.to_vec(), value.to_vec());
            settings.push(Setting { name, value, line: line.number, end });
        }
    }
    settings
}

/// The first line from `from` on, and before `end`, that is no comment and has `word`.
pub(super) fn line_of(text: &[u8], from: usize, end: Option<usize>, word: &[u8]) -> Option<usize> {
    let lines = text.split(|byte| *byte == b'\n').zip(1..).skip(from.saturating_sub(1));
    let mut lines = lines.take_while(|(_, number)| end.is_none_or(|end| *number < end));
    let is_comment = |line: &[u8]| line.trim_ascii_start().first() == Some(&b'#');
    lines.find(|(line, _)| !is_comment(line) && has_word(line, word)).map(|(_, number)| number)
}

/// Whether `text` has `word`, and not as a part of a longer word.
fn has_word(text: &[u8], word: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let joined = |left: Option<&u8>, right: Option<&u8>| {
        left.is_some_and(is_letter) && right.is_some_and(is_letter)
    };
    let mut found = memchr::memmem::find_iter(text, word).filter(|_| !word.is_empty());
    found.any(|at| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !(joined(before.last(), word.first()) || joined(word.last(), after.first()))
    })
}

/// The parts of a text of the log that may stand in a value: tables, files.
fn parts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let parts = text.split(|byte| b" \t\"'`(),;<>".contains(byte)).map(|part| {
        let part = part.strip_suffix(b":").unwrap_or(part);
        part.strip_prefix(b"proxy:").unwrap_or(part)
    });
    parts.filter(|part| part.len() > 3 && (part.contains(&b'/') || part.contains(&b':')))
}

/// An indexed table is named in main.cf without the ending of its file.
fn source_of_index(path: &[u8]) -> Option<&[u8]> {
    INDEXES.iter().find_map(|ending| path.strip_suffix(ending.as_bytes()))
}

/// The parameter whose default has a part of the text.
pub(super) fn default_in(text: &[u8]) -> Option<&'static str> {
    parts(text).find_map(|part| {
        let row = TABLE.iter().filter(|row| has_word(row.default.as_bytes(), part)).last()?;
        Some(row.name)
    })
}

/// Both files, as one service sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) main_cf: &'a Text,
    pub(super) master_cf: &'a Text,
    pub(super) settings: &'a [Setting],
    pub(super) service: &'a Service,
}

impl Places<'_> {
    /// Where the service's entry begins.
    pub(super) fn entry(&self) -> Place {
        self.master_cf.place(self.service.line)
    }

    /// Where the service gets a parameter from; `None`: it has its default.
    pub(super) fn of(&self, name: &[u8]) -> Option<Place> {
        self.of_word(name, name)
    }

    /// Where in the value of a parameter `word` stands.
    pub(super) fn of_word(&self, name: &[u8], word: &[u8]) -> Option<Place> {
        let (file, setting) = self.found(name)?;
        Some(file.place_of(setting, word))
    }

    /// What counts for the service.
    pub(super) fn setting(&self, name: &[u8]) -> Option<&Setting> {
        self.found(name).map(|(_, setting)| setting)
    }

    fn found(&self, name: &[u8]) -> Option<(&Text, &Setting)> {
        let has = |setting: &&Setting| setting.name == name;
        let own = self.service.settings.iter().rfind(has).map(|own| (self.master_cf, own));
        own.or_else(|| self.settings.iter().rfind(has).map(|setting| (self.main_cf, setting)))
    }

    /// What a text of the log is about: the parameter that it names, else the one whose value
    /// has a word of it; and the place.
    pub(super) fn of_text(&self, text: &[u8]) -> Option<(&[u8], Place)> {
        let kind = text.strip_prefix(b"unsupported dictionary type: ");
        let named = self.named_in(text).or_else(|| self.quoted_in(text));
        let named = named.or_else(|| {
            let kind = kind?.split(|byte| *byte == b' ').next()?;
            self.with_word(&fill!("{}:", kind))
        });
        named.or_else(|| self.with_value(text))
    }

    fn named_in(&self, text: &[u8]) -> Option<(&[u8], Place)> {
        let names = text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
        names.filter(|name| name.contains(&b'_') || name.starts_with(b"my")).find_map(|name| {
            let setting = self.all().find(|setting| setting.name == name)?;
            Some((setting.name.as_slice(), self.of(name)?))
        })
    }

    fn quoted_in(&self, text: &[u8]) -> Option<(&[u8], Place)> {
        let with = |part: &[u8]| self.with_word(part);
        parts(text).find_map(|part| with(part).or_else(|| with(source_of_index(part)?)))
    }

    /// The parameter whose value has `word`.
    fn with_word(&self, word: &[u8]) -> Option<(&[u8], Place)> {
        let setting = self.all().find(|setting| has_word(&setting.value, word))?;
        Some((setting.name.as_slice(), self.of_word(&setting.name, word)?))
    }

    /// The parameter whose whole value stands in the text between quotes.
    fn with_value(&self, text: &[u8]) -> Option<(&[u8], Place)> {
        text.split(|byte| *byte == b'"').skip(1).step_by(2).find_map(|quoted| {
            let setting = self.all().find(|setting| setting.value == quoted)?;
            Some((setting.name.as_slice(), self.of(&setting.name)?))
        })
    }

    fn all(&self) -> impl Iterator<Item = &Setting> {
        self.service.settings.iter().rev().chain(self.settings.iter().rev())
    }
}

#[cfg(test)]
mod tests {
    use super::super::master_cf;
    use super::*;

    const MAIN_CF: &[u8] = b"\
a_list = one,
# permit_x
  permit_x
my_table = texthash:/etc/x
plain = y
my_index = hash:/etc/y
";
    const MASTER_CF: &[u8] = b"smtp inet n - y - - smtpd\n  -o plain=z\n";

    fn with<T>(f: impl FnOnce(Places<'_>) -> T) -> T {
        let text = |path: &[u8], bytes: &[u8]| Text { path: path.into(), bytes: bytes.into() };
        let service = master_cf::entries(MASTER_CF).remove(0).unwrap();
        let (main_cf, master_cf) = (text(b"main.cf", MAIN_CF), text(b"master.cf", MASTER_CF));
        let settings = settings(MAIN_CF);
        let (settings, service) = (settings.as_slice(), &service);
        f(Places { main_cf: &main_cf, master_cf: &master_cf, settings, service })
    }

    fn line(place: Option<Place>) -> Option<(String, usize)> {
        let place = place?;
        Some((String::from_utf8(place.file).unwrap(), place.line?))
    }

    #[test]
    fn a_word_is_found_on_its_own_line() {
        let found = with(|places| line(places.of_word(b"a_list", b"permit_x")));
        assert_eq!(found, Some(("main.cf".into(), 3)));
        // A part of a word is no word.
        let first = with(|places| line(places.of_word(b"a_list", b"permit")));
        assert_eq!(first, Some(("main.cf".into(), 1)));
    }

    #[test]
    fn an_override_counts_more() {
        assert_eq!(with(|places| line(places.of(b"plain"))), Some(("master.cf".into(), 2)));
        assert_eq!(with(|places| line(places.of(b"unknown"))), None);
    }

    #[test]
    fn a_text_of_the_log_leads_to_its_parameter() {
        let of = |text: &[u8]| {
            with(|places| {
                let (name, place) = places.of_text(text)?;
                Some((String::from_utf8(name.to_vec()).unwrap(), place.line))
            })
        };
        let table = Some(("my_table".to_owned(), Some(4)));
        assert_eq!(of(b"open database /etc/x: No such file or directory"), table);
        let index = Some(("my_index".to_owned(), Some(6)));
        assert_eq!(of(b"open database /etc/y.db: No such file or directory"), index);
        assert_eq!(of(b"bad string: a_list = one"), Some(("a_list".to_owned(), Some(1))));
        assert_eq!(of(b"Invalid level \"y\""), Some(("plain".to_owned(), Some(2))));
        assert_eq!(of(b"nothing at all"), None);
    }
}
