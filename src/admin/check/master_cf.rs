//! master.cf: which services there are (master(5)).
//!
//! ```text
//! service type private unpriv chroot wakeup maxproc command [arguments …]
//! ```
//! Lines go on as in main.cf. An argument in `{…}` loses its braces and may have blanks.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::places::{Setting, line_of};
use crate::config::main_cf::{LogicalLines, name_value};
use crate::text::split::{SPACE, unbrace, words_braced};

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// The first field: `smtp`, `127.0.0.1:2525`.
    pub(super) name: Vec<u8>,
    /// `inet`, `unix`, `pass`…
    pub(super) kind: Vec<u8>,
    unpriv: Vec<u8>,
    chroot: Vec<u8>,
    maxproc: Vec<u8>,
    pub(super) command: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    /// Where the entry begins.
    pub(super) line: usize,
    /// What `-o` says, and where.
    pub(super) settings: Vec<Setting>,
}

/// An entry that master(8) would not take, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) text: Vec<u8>,
}

/// Our own name, and the original's.
const COMMANDS: &[&[u8]] = &[b"smtpd", b"smtpd-rs"];
/// How many fields stand before the arguments.
const FIELDS: usize = 8;

/// The entries of `text`.
pub(super) fn entries(text: &[u8]) -> Vec<Result<Service, Malformed>> {
    let mut lines = LogicalLines::of(text).peekable();
    let mut entries = Vec::new();
    while let Some(line) = lines.next() {
        let end = lines.peek().map(|next| next.number);
        entries.push(
            Service::parse(&line.text, line.number)
                .map(|service| service.with_places(text, end))
                .map_err(|text| Malformed { line: line.number, text }),
        );
    }
    entries
}

impl Service {
    fn parse(text: &[u8], line: usize) -> Result<Self, Vec<u8>> {
        let mut words = Vec::new();
        for word in words_braced(text, SPACE) {
            let braced = word.first() == Some(&b'{') && words.len() >= FIELDS;
            let inside =
                if braced { unbrace(word).map_err(|e| fill!("{}", e.to_string()))? } else { word };
            words.push(inside.to_vec());
        }
        let arguments = words.split_off(words.len().min(FIELDS));
        let fields: Result<[Vec<u8>; FIELDS], _> = words.try_into();
        let Ok([name, kind, _, unpriv, chroot, _, maxproc, command]) = fields else {
            return Err(b"bad field count".to_vec());
        };
        let settings = Vec::new();
        Ok(Self { name, kind, unpriv, chroot, maxproc, command, arguments, line, settings })
    }

    /// Finds the settings among the arguments, and their lines.
    fn with_places(mut self, text: &[u8], end: Option<usize>) -> Self {
        let mut from = self.line;
        let mut words = self.arguments.iter();
        while let Some(word) = words.next() {
            let Some(attached) = word.strip_prefix(b"-o") else { continue };
            let operand = if attached.is_empty() { words.next() } else { None };
            let operand = operand.map_or(attached, Vec::as_slice);
            let Ok((name, value)) = name_value(operand) else { continue };
            let line = line_of(text, from, end, name).unwrap_or(from);
            from = line;
            self.settings.push(Setting {
                name: name.to_vec(),
                value: value.to_vec(),
                line,
                end: line_after(text, line, end, value),
            });
        }
        self
    }

    /// `smtp/inet`, as postconf(1) calls it.
    pub(super) fn title(&self) -> String {
        String::from_utf8_lossy(&fill!("{}/{}", self.name, self.kind)).into_owned()
    }

    /// Whether it is for us.
    pub(super) fn is_smtpd(&self) -> bool {
        let name = self.command.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        COMMANDS.contains(&name)
    }

    /// Whether the process lives in the jail; `default` is what `-` means.
    pub(super) fn is_chrooted(&self, default: bool) -> bool {
        is_on(&self.chroot, default)
    }

    /// The command line that master(8) would make.
    pub(super) fn command_line(&self, chroot: bool) -> Vec<OsString> {
        let mut words: Vec<&[u8]> = vec![&self.command];
        if self.maxproc == b"1" {
            words.push(b"-l");
        }
        words.extend([b"-n", self.name.as_slice(), b"-t", &self.kind]);
        if is_on(&self.unpriv, true) {
            words.push(b"-u");
        }
        if chroot {
            words.push(b"-c");
        }
        words.extend(self.arguments.iter().map(Vec::as_slice));
        words.into_iter().map(|word| OsString::from_vec(word.to_vec())).collect()
    }
}

/// A line within the setting, beyond which its value does not go.
fn line_after(text: &[u8], line: usize, end: Option<usize>, value: &[u8]) -> usize {
    let last = value.rsplit(|byte| SPACE.contains(byte)).next().unwrap_or_default();
    line_of(text, line, end, last).unwrap_or(line) + 1
}

fn is_on(field: &[u8], default: bool) -> bool {
    match field {
        b"y" => true,
        b"n" => false,
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
# comment
smtp inet n - y - - smtpd
submission inet n - - - 1 smtpd-rs -v
  -o syslog_name=postfix/submission
# inside
  -o { smtpd_relay_restrictions = permit_tls_clientcerts,
       reject }
pickup unix n - y 60 1 pickup
short inet n
";

    fn services() -> Vec<Service> {
        entries(TEXT).into_iter().filter_map(Result::ok).collect()
    }

    #[test]
    fn entries_have_fields_and_lines() {
        let services = services();
        let titles: Vec<_> = services.iter().map(Service::title).collect();
        assert_eq!(titles, ["smtp/inet", "submission/inet", "pickup/unix"]);
        assert_eq!(services.iter().map(|it| it.line).collect::<Vec<_>>(), [2, 3, 8]);
        assert!(services[0].is_smtpd() && services[1].is_smtpd() && !services[2].is_smtpd());
        assert!(services[0].is_chrooted(false) && services[1].is_chrooted(true));
        let malformed = entries(TEXT).pop();
        assert_eq!(malformed, Some(Err(Malformed { line: 9, text: b"bad field count".to_vec() })));
    }

    #[test]
    fn settings_have_their_own_lines() {
        let settings = &services()[1].settings;
        let lines: Vec<_> = settings.iter().map(|setting| (setting.line, setting.end)).collect();
        assert_eq!(lines, [(4, 5), (6, 8)]);
        assert_eq!(settings[1].name, b"smtpd_relay_restrictions");
    }

    #[test]
    fn the_command_line_is_that_of_master() {
        let words = services()[1].command_line(true);
        let words: Vec<_> = words.iter().filter_map(|word| word.to_str()).collect();
        assert_eq!(words[..8], ["smtpd-rs", "-l", "-n", "submission", "-t", "inet", "-u", "-c"]);
        assert_eq!(words[8..11], ["-v", "-o", "syslog_name=postfix/submission"]);
        assert!(words[12].starts_with("smtpd_relay_restrictions = permit_tls_clientcerts,"));
    }

    #[test]
    fn braces_must_be_closed() {
        let wrong = entries(b"a inet n - y - - smtpd -o { b = c\n");
        let [Err(Malformed { text, .. })] = wrong.as_slice() else { panic!("taken: {wrong:?}") };
        assert!(text.starts_with(b"missing '}'"));
    }
}
