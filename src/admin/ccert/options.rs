//! The words behind `smtpd-rs ccert VERB`.

use std::ffi::OsString;
use std::io::{BufRead as _, Read as _};
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt as _};

use super::super::Trouble;
use super::make::KeyType;
use super::site::Site;
use crate::identity::entry::{self, BadEntry};
use crate::identity::{Entry, day_of};
use crate::sys::time;

/// Days that a client's certificate lasts, unless said otherwise.
const DAYS: u32 = 825;
/// Nobody types more.
const LONGEST_PASSWORD: u64 = 1024;

/// What was asked for. A verb says which of these it takes.
#[derive(Debug)]
pub(super) struct Options {
    /// `-c DIR`: the directory of main.cf.
    config: PathBuf,
    pub(super) json: bool,
    pub(super) table: Option<String>,
    pub(super) user: Option<String>,
    pub(super) device: Option<String>,
    until: Option<String>,
    senders: Option<String>,
    clients: Option<String>,
    pub(super) days: u32,
    pub(super) key_type: KeyType,
    pub(super) key: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) out: Option<PathBuf>,
    pub(super) log: Option<PathBuf>,
    password: Option<String>,
    pub(super) no_add: bool,
    /// What is no option.
    pub(super) rest: Vec<String>,
}

impl Options {
    /// Reads what follows the verb. `takes` names the options that it has, besides the usual ones.
    pub(super) fn read(words: &mut Parser, takes: &[&str]) -> Result<Self, Trouble> {
        let config = std::env::var_os("MAIL_CONFIG").unwrap_or_else(|| "/etc/postfix".into());
        let mut options = Self {
            config: config.into(),
            json: false,
            table: None,
            user: None,
            device: None,
            until: None,
            senders: None,
            clients: None,
            days: DAYS,
            key_type: KeyType::P256,
            key: None,
            ca: None,
            out: None,
            log: None,
            password: None,
            no_add: false,
            rest: Vec::new(),
        };
        while let Some(word) = words.next()? {
            let name = match word {
                Arg::Value(value) => {
                    options.rest.push(text(value)?);
                    continue;
                }
                Arg::Short('h') => "help".to_owned(),
                Arg::Short('c') => "config".to_owned(),
                Arg::Long(name) => name.to_owned(),
                other @ Arg::Short(_) => return Err(other.unexpected().into()),
            };
            options.option(&name, words, takes)?;
        }
        Ok(options)
    }

    fn option(&mut self, name: &str, words: &mut Parser, takes: &[&str]) -> Result<(), Trouble> {
        if !["help", "config", "json"].contains(&name) && !takes.contains(&name) {
            return Err(lexopt::Error::UnexpectedOption(format!("--{name}")).into());
        }
        let mut value = || text(words.value()?);
        match name {
            "help" => return Err(Trouble::Help),
            "json" => self.json = true,
            "no-add" => self.no_add = true,
            "config" => self.config = value()?.into(),
            "table" => self.table = Some(value()?),
            "user" => self.user = Some(value()?),
            "device" => self.device = Some(value()?),
            "until" => self.until = Some(value()?),
            "senders" => self.senders = Some(value()?),
            "clients" => self.clients = Some(value()?),
            "password" => self.password = Some(value()?),
            "ca" => self.ca = Some(value()?.into()),
            "out" => self.out = Some(value()?.into()),
            "log" => self.log = Some(value()?.into()),
            "key" if takes.contains(&"key-file") => self.key = Some(value()?.into()),
            "key-file" => self.key = Some(value()?.into()),
            "key" => {
                let name = value()?;
                let wrong = || format!("--key is p256 or ed25519, not \"{name}\"");
                self.key_type = KeyType::named(&name).ok_or_else(wrong).map_err(usage)?;
            }
            _ => {
                let days = words.value()?.parse()?;
                self.days = (1..=20_000).contains(&days).then_some(days).ok_or_else(|| {
                    usage(format!("--days is a number from 1 to 20000, not {days}"))
                })?;
            }
        }
        Ok(())
    }

    /// The password that was given: as a word, or as a line of standard input (`-`).
    pub(super) fn password(&self) -> Result<Option<String>, Trouble> {
        let Some(word) = &self.password else { return Ok(None) };
        let mut password = word.clone();
        if word == "-" {
            password.clear();
            std::io::stdin().lock().take(LONGEST_PASSWORD).read_line(&mut password)?;
            password.truncate(password.trim_end_matches(['\r', '\n']).len());
        }
        if password.is_empty() {
            return Err(usage("the password is empty".to_owned()));
        }
        Ok(Some(password))
    }

    /// The only word that is no option.
    pub(super) fn only(&self, what: &str) -> Result<&str, Trouble> {
        match self.rest.as_slice() {
            [one] => Ok(one),
            [] => Err(usage(format!("{what} is missing"))),
            [_, more, ..] => Err(usage(format!("unexpected argument \"{more}\""))),
        }
    }

    /// No word that is no option.
    pub(super) fn none(&self) -> Result<(), Trouble> {
        match self.rest.first() {
            None => Ok(()),
            Some(word) => Err(usage(format!("unexpected argument \"{word}\""))),
        }
    }

    /// What the table is to say of `user`.
    pub(super) fn entry(&self, user: &str) -> Result<Entry, Trouble> {
        if user.contains('"') {
            return Err(usage(format!("bad value of user: {user:?}: a user's name has no quotes")));
        }
        let mut text = format!("user=\"{user}\"");
        for (name, value) in [
            ("until", &self.until),
            ("senders", &self.senders),
            ("clients", &self.clients),
            ("device", &self.device),
        ] {
            if let Some(value) = value {
                if value.contains(['"', '\n']) {
                    return Err(usage(format!("--{name} can't have quotes or line ends")));
                }
                text += &format!(", {name}=\"{value}\"");
            }
        }
        let entry = Entry::parse(text.as_bytes()).map_err(|error| match error {
            BadEntry::Value("user", user) if user.contains(char::is_whitespace) => {
                usage(format!("bad value of user: \"{user}\": a user's name has no blanks"))
            }
            error => usage(error.to_string()),
        })?;
        let today = day_of(time::now());
        if let Some(last) = entry.until.filter(|last| *last < today) {
            return Err(usage(format!("--until {} is over", entry::date(last))));
        }
        Ok(entry)
    }

    /// main.cf and master.cf, evaluated.
    pub(super) fn site(&self) -> Result<Site, Trouble> {
        Site::read(&self.config)
    }

    /// The command that adds a fingerprint with the same conditions.
    pub(super) fn to_add(&self, fingerprint: &str, user: &str) -> String {
        let mut command = format!("smtpd-rs ccert add {fingerprint} --user {}", for_shell(user));
        for (name, value) in [
            ("device", &self.device),
            ("until", &self.until),
            ("senders", &self.senders),
            ("clients", &self.clients),
            ("table", &self.table),
        ] {
            if let Some(value) = value {
                command += &format!(" --{name} {}", for_shell(value));
            }
        }
        command
    }
}

/// A word as a shell reads it.
fn for_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Words that were not understood.
pub(super) fn usage(text: String) -> Trouble {
    Trouble::Usage(lexopt::Error::Custom(text.into()))
}

fn text(value: OsString) -> Result<String, Trouble> {
    Ok(value.string()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_same_words() {
        assert_eq!(for_shell("alice@example.org"), "alice@example.org");
        assert_eq!(for_shell("her phone"), "'her phone'");
        assert_eq!(for_shell("it's $5"), r"'it'\''s $5'");
        assert_eq!(for_shell(""), "''");
    }
}
