//! The options with which master(8), an administrator or sendmail(1) starts us.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::config::Source;
use crate::log::{self, Fatal};

/// The options that take an operand have a colon, as in getopt(3).
const OPTIONS: &[u8] = b"cdDi:lm:n:o:r:s:St:uvVz";

/// What the command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// `-c`: change the root directory.
    pub(crate) chroot: bool,
    /// `-d`: may be run by hand.
    pub(crate) by_hand: bool,
    /// `-D`: run debugger_command.
    pub(crate) debug: bool,
    /// `-l`: the only process of its service.
    pub(crate) alone: bool,
    /// `-n`, else the name of the command: the service in master.cf.
    pub(crate) service_name: Vec<u8>,
    /// `-s`: listening sockets.
    pub(crate) sockets: usize,
    /// `-S`: one client, on standard input.
    pub(crate) stdin: bool,
    /// `-t`: transport.
    pub(crate) transport: Option<Vec<u8>>,
    /// `-u`: become mail_owner.
    pub(crate) drop_privileges: bool,
    /// `-v`: times.
    pub(crate) verbose: u32,
    /// `-V`: log to standard error too.
    pub(crate) to_stderr: bool,
    /// `-i`, `-m` and `-o`, in their order.
    settings: Vec<Setting>,
    /// What is left.
    pub(crate) rest: Vec<Vec<u8>>,
    /// The first thing that is wrong; told when the log is open and main.cf read.
    problem: Option<Fatal>,
}

#[derive(Debug, PartialEq, Eq)]
enum Setting {
    Named(&'static str, Vec<u8>),
    Operand(Vec<u8>),
}

impl Arguments {
    /// Reads the command line, the name of the command first.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut rest: VecDeque<Vec<u8>> = arguments.into_iter().map(OsString::into_vec).collect();
        let command = rest.pop_front().unwrap_or_default();
        let name = command.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let mut parsed = Self { service_name: name.to_vec(), sockets: 1, ..Self::default() };
        while let Some(word) = rest.pop_front() {
            if word == b"--" {
                break;
            }
            if word.len() < 2 || word[0] != b'-' {
                rest.push_front(word);
                break;
            }
            if let Err(problem) = parsed.options(&word[1..], &mut rest) {
                parsed.problem = Some(problem);
                return parsed;
            }
        }
        parsed.rest = rest.into();
        parsed
    }

    /// Takes the options in one word; the last may have its operand in the next.
    fn options(&mut self, word: &[u8], rest: &mut VecDeque<Vec<u8>>) -> Result<(), Fatal> {
        for (at, option) in word.iter().copied().enumerate() {
            let invalid = || fatal!("invalid option: {}", [option]);
            let place = OPTIONS.iter().position(|known| *known == option && option != b':');
            let place = place.ok_or_else(invalid)?;
            if OPTIONS.get(place + 1) != Some(&b':') {
                self.flag(option);
                continue;
            }
            let attached = &word[at + 1..];
            let operand =
                if attached.is_empty() { rest.pop_front() } else { Some(attached.to_vec()) };
            return self.operand(option, operand.ok_or_else(invalid)?);
        }
        Ok(())
    }

    fn flag(&mut self, option: u8) {
        match option {
            b'c' => self.chroot = true,
            b'd' => self.by_hand = true,
            b'D' => self.debug = true,
            b'l' => self.alone = true,
            b'S' => self.stdin = true,
            b'u' => self.drop_privileges = true,
            b'v' => self.verbose = self.verbose.saturating_add(1),
            b'V' => self.to_stderr = true,
            // -z, no process limit, is the same to us.
            _ => {}
        }
    }

    fn operand(&mut self, option: u8, operand: Vec<u8>) -> Result<(), Fatal> {
        match option {
            b'i' => self.settings.push(Setting::Named("max_idle", operand)),
            b'm' => self.settings.push(Setting::Named("max_use", operand)),
            b'n' => self.service_name = operand,
            b'o' => self.settings.push(Setting::Operand(operand)),
            b's' => {
                let count = usize::try_from(leading_number(&operand)).unwrap_or(0);
                if !(1..=MOST_SOCKETS).contains(&count) {
                    return Err(fatal!("invalid socket_count: {}", operand));
                }
                self.sockets = count;
            }
            b't' => self.transport = Some(operand),
            _ => {
                // -r is for services that retire; here it is only checked.
                if leading_number(&operand) <= 0 {
                    return Err(fatal!("invalid retirement time: {}", operand));
                }
            }
        }
        Ok(())
    }

    /// Puts the settings into what main.cf says, and tells what is wrong.
    pub(crate) fn apply(&mut self, source: &mut Source) -> Result<(), Fatal> {
        if self.to_stderr {
            log::also_to_stderr();
        }
        for setting in self.settings.drain(..) {
            match setting {
                Setting::Named(name, value) => source.dictionary.set(name.as_bytes(), &value),
                Setting::Operand(operand) => {
                    source.dictionary.set_operand(&operand).map_err(|error| {
                        let error = error.to_string();
                        fatal!("invalid \"-o {}\" option value: {}", operand, error)
                    })?
                }
            }
        }
        self.problem.take().map_or(Ok(()), Err)
    }
}

/// More listening sockets than any machine has addresses, fewer than any has descriptors.
const MOST_SOCKETS: usize = 4096;

/// As C: `atoi()`.
fn leading_number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&text[..sign + digits]).ok();
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::parse(line.split(' ').map(OsString::from))
    }

    fn problem(line: &str) -> String {
        String::from_utf8(parse(line).problem.unwrap().0).unwrap()
    }

    #[test]
    fn master_passes_its_options() {
        let arguments = parse("smtpd -l -n [::1]:25 -t inet -u -c -o stress=yes -s 2");
        assert!(arguments.alone && arguments.drop_privileges && arguments.chroot);
        assert_eq!(arguments.service_name, b"[::1]:25");
        assert_eq!(arguments.transport, Some(b"inet".to_vec()));
        assert_eq!(arguments.sockets, 2);
        assert_eq!(arguments.settings, [Setting::Operand(b"stress=yes".to_vec())]);
        assert_eq!(arguments.problem, None);
        assert_eq!(arguments.rest, [b""; 0]);
    }

    #[test]
    fn the_service_has_the_name_of_the_command() {
        assert_eq!(parse("/usr/lib/postfix/sbin/smtpd-rs").service_name, b"smtpd-rs");
        assert_eq!(Arguments::parse([]).service_name, b"");
    }

    #[test]
    fn options_can_stand_together() {
        let arguments = parse("smtpd -vvdS -tinet -m5 -ia=b -- -x");
        assert_eq!(arguments.verbose, 2);
        assert!(arguments.by_hand && arguments.stdin);
        assert_eq!(arguments.transport, Some(b"inet".to_vec()));
        assert_eq!(
            arguments.settings,
            [Setting::Named("max_use", b"5".to_vec()), Setting::Named("max_idle", b"a=b".to_vec())]
        );
        assert_eq!(arguments.rest, [b"-x".to_vec()]);
    }

    #[test]
    fn options_end_at_the_first_other_word() {
        assert_eq!(parse("smtpd -u x -c").rest, [b"x".to_vec(), b"-c".to_vec()]);
        assert_eq!(parse("smtpd - -c").rest, [b"-".to_vec(), b"-c".to_vec()]);
    }

    #[test]
    fn wrong_options_are_told_in_the_words_of_postfix() {
        assert_eq!(problem("smtpd -x"), "invalid option: x");
        assert_eq!(problem("smtpd -:"), "invalid option: :");
        assert_eq!(problem("smtpd -u -n"), "invalid option: n");
        assert_eq!(problem("smtpd -s 0"), "invalid socket_count: 0");
        assert_eq!(problem("smtpd -s -3x"), "invalid socket_count: -3x");
        assert_eq!(problem("smtpd -r soon"), "invalid retirement time: soon");
    }
}
