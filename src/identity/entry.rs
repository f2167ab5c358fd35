//! An entry of smtpd_tls_ccert_user_maps: who holds a certificate, and when that counts.
//!
//! ```text
//! alice
//! user=alice, until=2027-01-01, senders=@example.org, clients=192.0.2.0/24, device="phone"
//! ```
//!
//! One word is a user. Otherwise `name=value`, parted by commas; quotes hold blanks and commas
//! together. `senders` and `clients` are lists, parted by blanks; only letters of ASCII are the same in
//! capitals. `until` is the last day, in UTC.
//! What is not understood makes the entry wrong, and nobody is let in by a wrong entry.

use std::net::IpAddr;
use std::str::FromStr as _;

use ipnet::IpNet;

use crate::text::printable::is_deceptive;

/// A user name of this length, and a longer one, is a mistake.
const LONGEST_USER: usize = 255;

/// What a table says of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Whose certificate it is: no blanks, no control characters.
    pub user: Vec<u8>,
    /// On which device, for people.
    pub device: Option<Vec<u8>>,
    /// The last day, as days since 1970-01-01; `None`: no end.
    pub until: Option<i64>,
    /// Sender addresses; empty: any.
    pub senders: Vec<Vec<u8>>,
    /// Networks of clients; empty: any.
    pub clients: Vec<IpNet>,
}

/// Why an entry is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// No user.
    #[error("no user")]
    NoUser,
    /// Something else than `name=value`.
    #[error("not name=value: \"{0}\"")]
    NotAPair(String),
    /// A name that means nothing here.
    #[error("unknown condition: \"{0}\"")]
    Unknown(String),
    /// The same name twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A value that its name can't have.
    #[error("bad value of {0}: \"{1}\"")]
    Value(&'static str, String),
    /// A quote that does not end.
    #[error("a quote does not end")]
    Quote,
}

/// The names that an entry can have.
const NAMES: &[&str] = &["user", "until", "senders", "clients", "device"];

impl Entry {
    /// Reads the value of a table.
    pub fn parse(text: &[u8]) -> Result<Self, BadEntry> {
        let mut entry = Self::default();
        let mut seen = Vec::new();
        let parts = parts(text)?;
        if let [only] = parts.as_slice() {
            if !only.contains(&b'=') {
                entry.user = user(only)?;
                return Ok(entry);
            }
        }
        for part in parts {
            let equal = memchr::memchr(b'=', &part);
            let equal = equal.ok_or_else(|| BadEntry::NotAPair(shown(&part)))?;
            let (name, value) = (part[..equal].trim_ascii(), part[equal + 1..].trim_ascii());
            let known = NAMES.iter().copied().find(|known| known.as_bytes() == name);
            let name = known.ok_or_else(|| BadEntry::Unknown(shown(name)))?;
            if seen.contains(&name) {
                return Err(BadEntry::Twice(name));
            }
            seen.push(name);
            entry.set(name, value)?;
        }
        if entry.user.is_empty() { Err(BadEntry::NoUser) } else { Ok(entry) }
    }

    fn set(&mut self, name: &'static str, value: &[u8]) -> Result<(), BadEntry> {
        let bad = || BadEntry::Value(name, shown(value));
        if value.is_empty() {
            return Err(bad());
        }
        match name {
            "user" => self.user = user(value)?,
            "until" => self.until = Some(day(value).ok_or_else(bad)?),
            "device" => self.device = Some(value.to_vec()),
            "senders" => {
                self.senders = words(value).map(<[u8]>::to_ascii_lowercase).collect();
            }
            _ => {
                let networks = words(value).map(network).collect::<Option<Vec<_>>>();
                self.clients = networks.ok_or_else(bad)?;
            }
        }
        Ok(())
    }

    /// The value as a table has it. What [`Entry::parse`] reads again.
    pub fn text(&self) -> Vec<u8> {
        let mut text = fill!("user={}", quoted(&self.user));
        if let Some(day) = self.until {
            text.extend(fill!(", until={}", date(day)));
        }
        if !self.senders.is_empty() {
            text.extend(fill!(", senders={}", quoted(&self.senders.join(&b' '))));
        }
        if !self.clients.is_empty() {
            let list: Vec<String> = self.clients.iter().map(ToString::to_string).collect();
            text.extend(fill!(", clients={}", quoted(list.join(" ").as_bytes())));
        }
        if let Some(device) = &self.device {
            text.extend(fill!(", device={}", quoted(device)));
        }
        text
    }

    /// Whether a mail may come from `sender` (internal form): a whole address, `@domain`,
    /// `.domain` for what is below, or `<>`.
    pub fn allows_sender(&self, sender: &[u8]) -> bool {
        if self.senders.is_empty() {
            return true;
        }
        if sender.is_empty() {
            return self.senders.iter().any(|allowed| allowed == b"<>");
        }
        let sender = sender.to_ascii_lowercase();
        let at = memchr::memrchr(b'@', &sender).unwrap_or(sender.len());
        let domain = &sender[at..];
        self.senders.iter().any(|allowed| match allowed.first() {
            Some(b'@') => domain == allowed.as_slice(),
            Some(b'.') => domain.len() > allowed.len() + 1 && domain.ends_with(allowed),
            _ => sender == *allowed,
        })
    }

    /// Whether a client at `address` may use it.
    pub fn allows_client(&self, address: &[u8]) -> bool {
        self.clients.is_empty() || {
            let address = std::str::from_utf8(address).ok().and_then(|text| text.parse().ok());
            address.is_some_and(|address: IpAddr| {
                self.clients.iter().any(|network| network.contains(&address))
            })
        }
    }

    /// Whether it is still good on `day` (days since 1970-01-01, UTC).
    pub fn allows_day(&self, day: i64) -> bool {
        self.until.is_none_or(|last| day <= last)
    }
}

/// Whether `name`, or a part of it, could be taken for `name=value` where a table of patterns puts it
/// into an entry.
pub(super) fn has_condition(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|known| memchr::memmem::find(&name, &fill!("{}=", *known)).is_some())
}

/// What stands between commas, without its quotes.
fn parts(text: &[u8]) -> Result<Vec<Vec<u8>>, BadEntry> {
    let (mut parts, mut part, mut inside) = (Vec::new(), Vec::new(), false);
    for byte in text {
        match byte {
            b'"' => inside = !inside,
            b',' if !inside => parts.push(std::mem::take(&mut part)),
            _ => part.push(*byte),
        }
    }
    parts.push(part);
    let parts = parts.iter().map(|part| part.trim_ascii().to_vec());
    let parts = parts.filter(|part| !part.is_empty()).collect();
    if inside { Err(BadEntry::Quote) } else { Ok(parts) }
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

fn user(value: &[u8]) -> Result<Vec<u8>, BadEntry> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || is_deceptive(c);
    let plain = std::str::from_utf8(value).is_ok_and(|text| !text.chars().any(odd));
    if !value.is_empty() && value.len() < LONGEST_USER && plain {
        Ok(value.to_vec())
    } else {
        Err(BadEntry::Value("user", shown(value)))
    }
}

/// A network, or one address.
fn network(word: &[u8]) -> Option<IpNet> {
    let text = std::str::from_utf8(word).ok()?;
    let text = text.replace(['[', ']'], "");
    match IpNet::from_str(&text) {
        // Bits behind the prefix are a mistake that may hide another.
        Ok(network) => (network == network.trunc()).then_some(network),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

/// `2027-01-01` as days since 1970-01-01.
pub(crate) fn day(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let [year, month, day] = text.split('-').collect::<Vec<_>>()[..] else { return None };
    if (year.len(), month.len(), day.len()) != (4, 2, 2) || year < "1970" {
        return None;
    }
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok());
    let (year, month, day): (i64, i64, i64) = (number(year)??, number(month)??, number(day)??);
    let days = days(year, month, day)?;
    (date(days) == text).then_some(days)
}

/// Those that certificates can have.
const YEARS: std::ops::RangeInclusive<i64> = 0..=9999;

/// Days since 1970-01-01 of a day in the Gregorian calendar; months begin with March here, so that
/// the day that comes and goes is the last of a year.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !YEARS.contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(before + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

/// The day as `2027-01-01`.
pub(crate) fn date(day: i64) -> String {
    // Searched, not computed: it is asked for people only, and can't disagree with `days`.
    let year = YEARS.rev().find(|year| days(*year, 1, 1).is_some_and(|first| first <= day));
    let year = year.unwrap_or(*YEARS.start());
    let month =
        (1..=12).rev().find(|month| days(year, *month, 1).is_some_and(|first| first <= day));
    let month = month.unwrap_or(1);
    let first = days(year, month, 1).unwrap_or(day);
    format!("{year:04}-{month:02}-{:02}", day - first + 1)
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| !byte.is_ascii_whitespace() && *byte != b',';
    if text.iter().all(plain) { text.to_vec() } else { fill!("\"{}\"", text) }
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry::parse(text.as_bytes()).unwrap()
    }

    fn problem(text: &str) -> String {
        Entry::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn one_word_is_a_user() {
        assert_eq!(entry("alice"), Entry { user: b"alice".to_vec(), ..Entry::default() });
        assert_eq!(entry(" alice@example.org ").user, b"alice@example.org");
    }

    #[test]
    fn conditions_stand_beside_the_user() {
        let full = entry(
            "user=alice, until=2027-01-01, senders=@example.org, clients=192.0.2.0/24, \
             device=\"my phone, the old one\"",
        );
        assert_eq!(full.user, b"alice");
        assert_eq!(full.device.as_deref(), Some(&b"my phone, the old one"[..]));
        assert!(full.allows_day(day(b"2027-01-01").unwrap()));
        assert!(!full.allows_day(day(b"2027-01-02").unwrap()));
        assert!(full.allows_sender(b"x@EXAMPLE.org") && !full.allows_sender(b"x@sub.example.org"));
        assert!(!full.allows_sender(b"") && !full.allows_sender(b"example.org"));
        assert!(full.allows_client(b"192.0.2.9") && !full.allows_client(b"192.0.3.9"));
        assert!(!full.allows_client(b"unknown") && !full.allows_client(b"2001:db8::1"));
    }

    #[test]
    fn letters_beyond_ascii_are_others() {
        let entry = entry("user=a, senders=\"straße@x.test @kate.test sales@x.test\"");
        assert!(entry.allows_sender("straße@X.test".as_bytes()));
        for sender in ["strasse@x.test", "a@\u{212a}ate.test", "ſales@x.test"] {
            assert!(!entry.allows_sender(sender.as_bytes()), "{sender}");
        }
    }

    #[test]
    fn what_could_be_a_condition_is_seen_in_names() {
        assert!(has_condition(b"urn:u:user=alice") && has_condition(b"urn:DEVICE=x"));
        assert!(!has_condition(b"urn:x?a=b") && !has_condition(b"urn:user:alice"));
    }

    #[test]
    fn lists_are_parted_by_blanks() {
        let entry =
            entry("user=a, senders=\"a@x.example .y.example <>\", clients=\"::1 10.0.0.0/8\"");
        assert!(entry.allows_sender(b"a@x.example") && !entry.allows_sender(b"b@x.example"));
        assert!(entry.allows_sender(b"a@b.y.example") && !entry.allows_sender(b"a@y.example"));
        assert!(!entry.allows_sender(b"a@.y.example"));
        assert!(entry.allows_sender(b""));
        assert!(entry.allows_client(b"::1") && entry.allows_client(b"10.9.8.7"));
    }

    #[test]
    fn a_wrong_entry_lets_nobody_in() {
        for (text, words) in [
            ("", "no user"),
            ("until=2027-01-01", "no user"),
            ("user=", "bad value of user: \"\""),
            ("user=a b", "bad value of user: \"a b\""),
            ("a b", "bad value of user: \"a b\""),
            ("alice, until=2027-01-01", "not name=value: \"alice\""),
            ("user=a, user=b", "user is given twice"),
            ("user=a, untill=2027-01-01", "unknown condition: \"untill\""),
            ("user=a, until=2027-02-29", "bad value of until: \"2027-02-29\""),
            ("user=a, until=27-01-01", "bad value of until: \"27-01-01\""),
            ("user=a, until=2027-13-01", "bad value of until: \"2027-13-01\""),
            ("user=a, until=+027-01-01", "bad value of until: \"+027-01-01\""),
            ("user=a, clients=192.0.2.1/24", "bad value of clients: \"192.0.2.1/24\""),
            ("user=a, clients=host.example", "bad value of clients: \"host.example\""),
            ("user=a, senders=", "bad value of senders: \"\""),
            ("user=a, device=\"x", "a quote does not end"),
        ] {
            assert_eq!(problem(text), words, "{text}");
        }
        assert!(Entry::parse("user=a\u{202e}b".as_bytes()).is_err());
        assert!(Entry::parse(b"user=a\x01").is_err() && Entry::parse(b"user=\xff").is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "user=alice",
            "user=\"a,b\"",
            "user=alice, until=2028-02-29, senders=\"@a.example <>\", clients=192.0.2.0/24, \
             device=\"x, y\"",
        ] {
            let read = entry(text);
            assert_eq!(Entry::parse(&read.text()).unwrap(), read);
        }
    }

    #[test]
    fn days_are_counted_by_the_calendar() {
        assert_eq!(day(b"1970-01-01"), Some(0));
        assert_eq!(day(b"2000-03-01"), Some(11_017));
        assert_eq!(day(b"2026-11-25"), Some(20_782));
        let mut last = -1;
        for year in [1970, 1999, 2000, 2024, 2100, 9999] {
            for month in 1..=12 {
                for number in 1..=28 {
                    let text = format!("{year:04}-{month:02}-{number:02}");
                    let found = day(text.as_bytes()).unwrap();
                    assert!(found > last && date(found) == text, "{text}");
                    last = found;
                }
            }
        }
        for (number, text) in [
            (-1, "1969-12-31"),
            (-5_317, "1955-06-12"),
            (-25_509, "1900-02-28"),
            (-25_508, "1900-03-01"),
            (-719_528, "0000-01-01"),
            (2_932_896, "9999-12-31"),
        ] {
            assert_eq!(date(number), text);
        }
        assert_eq!(day(b"1969-12-31"), None, "no entry is that old");
        assert_eq!((day(b"2100-02-29"), day(b"2024-02-30")), (None, None));
    }
}
