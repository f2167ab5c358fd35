//! The parameters as postconf(1) shows them: as main.cf writes them, or with their defaults, which
//! are not checked, and expanded only where that is asked for.
//!
//! A value that is expanded here may show more than the daemon gets: there, a name that is loaded
//! later stands for nothing ([`super::parameters`]).

use std::borrow::Cow;
use std::cell::RefCell;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::Source;
use super::computed::Facts;
use super::dialect::Change;
use super::expand::{self, MacroError};
use super::main_cf::Dictionary;
use super::parameters::{NAMES, Origin, TABLE};
use crate::log::{self, Fatal};

/// What main.cf says, and what holds where it says nothing.
pub struct Listing {
    dictionary: Dictionary,
    facts: Facts<'static>,
    has_host_name: bool,
    has_networks: bool,
}

impl Listing {
    /// Reads `directory/main.cf`, if that is wanted (`main_cf`). `overrides` are lines `name = value`
    /// that come after it.
    pub fn read(directory: &Path, main_cf: bool, overrides: &[Vec<u8>]) -> Result<Self, Fatal> {
        let name = directory.as_os_str().as_bytes();
        let mut source = if main_cf { Source::read(directory)? } else { Source::empty(name) };
        for line in overrides {
            source.dictionary.set_operand(line).map_err(|error| {
                fatal!("invalid parameter override: {}: {}", line, error.to_string())
            })?;
        }
        let mut facts = Facts::of_this_machine_in_full(name);
        facts.choose_release(&source.dictionary)?;
        source.dictionary.functions = facts.release.does(Change::Functions);
        Ok(Self { dictionary: source.dictionary, facts, has_host_name: false, has_networks: false })
    }

    /// The names that the release has which we speak as, sorted; obsolete ones only where main.cf sets
    /// them.
    pub fn names(&self) -> Vec<&'static str> {
        let rows = TABLE.iter().map(|row| row.name).filter(|name| self.has(name));
        let in_use = |known: &&super::parameters::Name| {
            known.origin == Origin::Program || self.set(known.name).is_some()
        };
        let more = NAMES.iter().filter(in_use).map(|known| known.name);
        let mut names: Vec<&str> = rows.chain(more).collect();
        names.sort_unstable();
        names
    }

    /// Whether the release has a parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        NAMES.iter().any(|known| known.name == name)
            || self.facts.release.default_of(name).is_some()
    }

    /// What main.cf says of `name`.
    pub fn set(&self, name: &str) -> Option<Vec<u8>> {
        let is_ours = |known: &&super::parameters::Name| known.name == name;
        match NAMES.iter().find(is_ours).map(|known| known.origin) {
            Some(Origin::Program) if name != "config_directory" => None,
            _ => self.dictionary.raw(name.as_bytes()).map(<[u8]>::to_vec),
        }
    }

    /// The default of `name`, not expanded but for what depends on the machine.
    pub fn default(&mut self, name: &str) -> Result<Vec<u8>, Fatal> {
        if NAMES.iter().any(|known| known.name == name) {
            return Ok(match name {
                "process_id" => fill!("{}", std::process::id()),
                "process_name" => log::PROCESS_NAME.into(),
                "config_directory" => super::USUAL_DIRECTORY.into(),
                _ => Vec::new(),
            });
        }
        self.settle(name)?;
        match self.facts.default(name, &self.dictionary)? {
            Some(computed) => Ok(computed),
            None => Ok(self.facts.release.default_of(name).unwrap_or_default().into()),
        }
    }

    /// What main.cf says of `name`, or else its default.
    pub fn value(&mut self, name: &str) -> Result<Vec<u8>, Fatal> {
        match self.set(name) {
            Some(value) => Ok(value),
            None => self.default(name),
        }
    }

    /// `value` with what its names stand for.
    pub fn expanded(&mut self, name: &str, value: &[u8]) -> Result<Vec<u8>, Fatal> {
        if TABLE.iter().any(|row| row.name == name && row.kind == "Raw") {
            return Ok(value.to_vec());
        }
        let functions = self.dictionary.functions;
        let this = RefCell::new(self);
        let failure = RefCell::new(None);
        let lookup = |name: &[u8]| {
            let name = std::str::from_utf8(name).ok()?;
            let mut this = this.borrow_mut();
            if let Some(value) = this.set(name) {
                return Some(Cow::Owned(value));
            }
            let default = this.has(name).then(|| this.default(name))?;
            default.map(Cow::Owned).map_err(|error| failure.replace(Some(error))).ok()
        };
        let expanded = expand::recursively(value, functions, &lookup);
        if let Some(error) = failure.into_inner() {
            return Err(error);
        }
        match expanded {
            Ok(expanded) => Ok(expanded.text),
            Err(MacroError::Fatal(text)) => Err(Fatal(text)),
            Err(MacroError::Syntax(text)) => {
                warning!("{}", text);
                Err(fatal!("macro processing error"))
            }
        }
    }

    /// Finds out what the default of `name` depends on.
    fn settle(&mut self, name: &str) -> Result<(), Fatal> {
        match name {
            "mydomain" if !std::mem::replace(&mut self.has_host_name, true) => {
                self.note("myhostname")
            }
            "mynetworks" if !std::mem::replace(&mut self.has_networks, true) => {
                for name in ["inet_protocols", "inet_interfaces", "mynetworks_style"] {
                    self.note(name)?;
                }
                self.facts.find_networks()
            }
            _ => Ok(()),
        }
    }

    fn note(&mut self, name: &'static str) -> Result<(), Fatal> {
        let value = match self.dictionary.evaluated(name.as_bytes())? {
            Some(value) => value,
            None => {
                let default = self.default(name)?;
                self.expanded(name, &default)?
            }
        };
        self.facts.note(name, &value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(overrides: &[&str]) -> Listing {
        let overrides: Vec<Vec<u8>> =
            overrides.iter().map(|line| line.as_bytes().to_vec()).collect();
        Listing::read(Path::new("/etc/postfix"), false, &overrides).unwrap()
    }

    #[test]
    fn a_release_has_its_own_parameters() {
        let old = listing(&["smtpd_rs_dialect = 3.7.8"]);
        let new = listing(&["smtpd_rs_dialect = 3.12"]);
        for (name, in_old, in_new) in [
            ("smtpd_timeout", true, true),
            ("smtpd_forbid_bare_newline", false, true),
            ("smtpd_hide_client_session", false, true),
            ("tls_legacy_public_key_fingerprints", true, false),
            ("nonsense", false, false),
        ] {
            assert_eq!((old.has(name), new.has(name)), (in_old, in_new), "{name}");
            assert_eq!(old.names().contains(&name), in_old, "{name}");
        }
    }

    #[test]
    fn values_are_expanded_with_the_defaults_of_others() {
        let mut listing = listing(&[
            "myhostname = a.b.example",
            "smtpd_banner = $mydomain ${smtpd_timeout} $a",
            "a = <$mynetworks_style>",
        ]);
        let value = listing.value("smtpd_banner").unwrap();
        assert_eq!(value, b"$mydomain ${smtpd_timeout} $a");
        assert_eq!(listing.expanded("smtpd_banner", &value).unwrap(), b"b.example 300s <subnet>");
        assert_eq!(listing.expanded("default_rbl_reply", b"$a").unwrap(), b"$a");
        assert_eq!(listing.value("smtpd_timeout").unwrap(), b"${stress?{10}:{300}}s");
    }

    #[test]
    fn values_that_need_each_other_are_an_error() {
        let mut listing = listing(&["mynetworks_style = $mynetworks"]);
        assert!(listing.value("mynetworks").is_err());
        let mut listing = self::listing(&["a = $b", "b = $a"]);
        assert_eq!(listing.expanded("a", b"$b"), Err(fatal!("macro processing error")));
    }
}
