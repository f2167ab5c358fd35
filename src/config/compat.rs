//! compatibility_level: which defaults are those of old releases (COMPATIBILITY_README).

use super::Config;
use crate::log::Fatal;

/// A compatibility level: `major[.minor[.patch]]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level {
    major: i64,
    minor: i64,
    patch: i64,
}

impl Level {
    /// Parses a level; the error has Postfix's words.
    pub fn parse(text: &[u8]) -> Result<Self, Fatal> {
        let malformed = || fatal!("malformed compatibility level syntax: \"{}\"", text);
        let mut numbers = [0; 3];
        let parts: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
        if parts.len() > numbers.len() {
            return Err(malformed());
        }
        let highest = [i64::MAX >> 20, 0x3ff, 0x3ff];
        for ((number, part), highest) in numbers.iter_mut().zip(parts).zip(highest) {
            *number = super::kinds::number(part).map_err(|_| malformed())?;
            if !(0..=highest).contains(number) {
                return Err(malformed());
            }
        }
        let [major, minor, patch] = numbers;
        Ok(Self { major, minor, patch })
    }

    const fn of(major: i64, minor: i64) -> Self {
        Self { major, minor, patch: 0 }
    }
}

/// A parameter whose default changed: below which level the old one holds, and which other
/// parameters must be unset too for it to matter.
struct Changed {
    name: &'static str,
    below: Level,
    also_unset: Option<&'static str>,
}

const CHANGED: &[Changed] = &[
    row("smtpd_tls_fingerprint_digest", Level::of(3, 6), None),
    row("smtp_tls_fingerprint_digest", Level::of(3, 6), None),
    row("lmtp_tls_fingerprint_digest", Level::of(3, 6), None),
    row("smtpd_relay_before_recipient_restrictions", Level::of(3, 6), None),
    row("respectful_logging", Level::of(3, 6), None),
    row("relay_domains", Level::of(2, 0), None),
    row("fast_flush_domains", Level::of(2, 0), Some("relay_domains")),
    row("mynetworks_style", Level::of(2, 0), Some("mynetworks")),
    row("append_dot_mydomain", Level::of(1, 0), None),
    row("smtputf8_enable", Level::of(1, 0), None),
    row("smtpd_relay_restrictions", Level::of(1, 0), None),
];

const fn row(name: &'static str, below: Level, also_unset: Option<&'static str>) -> Changed {
    Changed { name, below, also_unset }
}

impl Config {
    /// Whether `name` has the default of an old release, and only because of
    /// compatibility_level. Then Postfix says so in the log where it matters.
    pub fn has_old_default(&self, name: &str) -> bool {
        CHANGED.iter().find(|changed| changed.name == name).is_some_and(|changed| {
            self.level < changed.below
                && !self.is_set(name)
                && changed.also_unset.is_none_or(|other| !self.is_set(other))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_up_to_three_parts() {
        assert_eq!(Level::parse(b"3.6").unwrap(), Level::of(3, 6));
        assert!(Level::parse(b"3.10").unwrap() > Level::parse(b"3.9.5").unwrap());
        for wrong in [&b""[..], b"x", b"3.", b"3.6.1.2", b"-1", b"3.1024", b"3 "] {
            let error = Level::parse(wrong).unwrap_err();
            assert!(error.0.starts_with(b"malformed compatibility level syntax: \""));
        }
    }

    #[test]
    fn old_defaults_matter_only_where_nothing_is_set() {
        let config = Config::of_text("").unwrap();
        assert!(config.has_old_default("smtpd_relay_restrictions"));
        assert!(config.has_old_default("mynetworks_style"));
        let config = Config::of_text("mynetworks = 127.0.0.1\nrelay_domains = x\n").unwrap();
        assert!(!config.has_old_default("mynetworks_style"));
        assert!(!config.has_old_default("fast_flush_domains"));
        let config = Config::of_text("compatibility_level = 3.6").unwrap();
        assert!(!config.has_old_default("relay_domains"));
    }
}
