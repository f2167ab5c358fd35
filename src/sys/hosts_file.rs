//! /etc/hosts: names that the system would find there first, without asking it twice.
//!
//! The C library reads that file anew for each name and each address. A client that is listed in
//! it (our own host, a content filter) is asked for twice in each session; here it costs two
//! stat(2), at most once a second. Where it is not certain what the C library would say, there is no answer, and the
//! library is asked.

use std::cell::RefCell;
use std::fs::{self, Metadata};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

const HOSTS: &str = "/etc/hosts";
const SWITCH: &str = "/etc/nsswitch.conf";
/// How long the files are believed not to have changed.
const BELIEVED: Duration = Duration::from_secs(1);
/// Larger files are left to the C library.
const SIZE_LIMIT: u64 = 64 * 1024;

/// The name of this address in /etc/hosts, where that is the first place to look and the name also
/// leads back to the address. As written there: to be checked.
pub fn name_of(address: IpAddr) -> Option<Vec<u8>> {
    thread_local! {
        static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
    }
    let now = Instant::now();
    KNOWN.with_borrow_mut(|known| {
        let old = |known: &Known| now.saturating_duration_since(known.looked) >= BELIEVED;
        if known.as_ref().is_none_or(old) {
            let stamps = [Stamp::of(HOSTS)?, Stamp::of(SWITCH)?];
            match known {
                Some(known) if known.stamps == stamps => known.looked = now,
                _ => *known = Some(Known { hosts: Hosts::read(&stamps), stamps, looked: now }),
            }
        }
        known.as_ref()?.hosts.as_ref()?.name_of(address).map(<[u8]>::to_vec)
    })
}

/// What was read, and of which files; when they were last looked at.
struct Known {
    looked: Instant,
    stamps: [Stamp; 2],
    hosts: Option<Hosts>,
}

/// Which file it was, and when it was written.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &str) -> Option<Self> {
        let status: Metadata = fs::metadata(path).ok()?;
        Some(Self {
            file: (status.dev(), status.ino()),
            size: status.size(),
            written: (status.mtime(), status.mtime_nsec()),
            changed: (status.ctime(), status.ctime_nsec()),
        })
    }
}

/// The lines of a file: an address, its name, its other names.
#[derive(Debug, PartialEq, Eq)]
struct Hosts(Vec<(IpAddr, Vec<Vec<u8>>)>);

impl Hosts {
    fn read(stamps: &[Stamp; 2]) -> Option<Self> {
        let large = stamps.iter().any(|stamp| stamp.size > SIZE_LIMIT);
        if large || !files_come_first(&fs::read(SWITCH).ok()?) {
            return None;
        }
        Some(Self::parse(&fs::read(HOSTS).ok()?))
    }

    fn parse(text: &[u8]) -> Self {
        Self(text.split(|byte| *byte == b'\n').filter_map(parse_line).collect())
    }

    fn name_of(&self, address: IpAddr) -> Option<&[u8]> {
        // For IPv4, the C library may take `::1` for 127.0.0.1: both readings must agree.
        let same = self.0.iter().find(|line| line.0 == address)?;
        let alike = self.0.iter().find(|line| as_family_of(address, line.0) == Some(address))?;
        let name = same.1.first()?;
        if alike.1.first() != Some(name) {
            return None;
        }
        self.leads_back(name, address).then_some(name)
    }

    /// Whether the first address of a name is this one, in the family of this one.
    fn leads_back(&self, name: &[u8], address: IpAddr) -> bool {
        let named = |line: &&(IpAddr, Vec<Vec<u8>>)| {
            line.1.iter().any(|other| other.eq_ignore_ascii_case(name))
        };
        let first = self.0.iter().filter(named).find_map(|line| as_family_of(address, line.0));
        first == Some(address)
    }
}

fn parse_line(line: &[u8]) -> Option<(IpAddr, Vec<Vec<u8>>)> {
    let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let address = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    Some((address, words.map(<[u8]>::to_vec).collect()))
}

/// `other` as an address of the family of `address`, as the C library may read it in the file.
fn as_family_of(address: IpAddr, other: IpAddr) -> Option<IpAddr> {
    match (address, other) {
        (IpAddr::V4(_), IpAddr::V6(Ipv6Addr::LOCALHOST)) => Some(Ipv4Addr::LOCALHOST.into()),
        (IpAddr::V4(_), IpAddr::V6(other)) => other.to_ipv4_mapped().map(Into::into),
        (IpAddr::V6(_), IpAddr::V4(_)) => None,
        _ => Some(other),
    }
}

/// Whether nsswitch.conf(5) says that what is in the file is the answer.
fn files_come_first(text: &[u8]) -> bool {
    let Some(line) = text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.trim_ascii_start().strip_prefix(b"hosts:"))
        .next()
    else {
        return false;
    };
    let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.next() == Some(b"files") && !words.next().is_some_and(|word| word.starts_with(b"["))
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    fn name<'a>(hosts: &'a Hosts, address: &str) -> Option<&'a str> {
        hosts.name_of(address.parse().unwrap()).map(|name| std::str::from_utf8(name).unwrap())
    }

    #[test]
    fn the_first_name_of_the_first_line_counts() {
        let hosts = Hosts::parse(
            b"# ours\n127.0.0.1 localhost\n\
            192.0.2.7\tmail.example mail # the relay\n192.0.2.7 other.example\n\
            ::1 localhost ip6-localhost\n2001:db8::1 six.example\n192.0.2.8\n",
        );
        assert_eq!(name(&hosts, "127.0.0.1"), Some("localhost"));
        assert_eq!(name(&hosts, "192.0.2.7"), Some("mail.example"));
        assert_eq!(name(&hosts, "::1"), Some("localhost"));
        assert_eq!(name(&hosts, "2001:db8::1"), Some("six.example"));
        assert_eq!(name(&hosts, "192.0.2.8"), None);
        assert_eq!(name(&hosts, "192.0.2.9"), None);
    }

    #[test]
    fn what_is_not_certain_is_left_to_the_system() {
        let elsewhere = Hosts::parse(b"192.0.2.1 a.example\n192.0.2.2 A.example\n");
        assert_eq!(name(&elsewhere, "192.0.2.2"), None, "the name leads elsewhere first");
        assert_eq!(name(&elsewhere, "192.0.2.1"), Some("a.example"));
        let two = Hosts::parse(b"::1 ip6-localhost\n127.0.0.1 localhost\n");
        assert_eq!(name(&two, "127.0.0.1"), None, "two readings");
        assert_eq!(name(&two, "::1"), Some("ip6-localhost"));
    }

    #[test]
    fn the_file_counts_only_where_it_comes_first() {
        assert!(files_come_first(b"# x\npasswd: files\nhosts:  files dns\n"));
        assert!(files_come_first(b"hosts: files # dns\n"));
        assert!(!files_come_first(b"hosts: dns files\n"));
        assert!(!files_come_first(b"hosts: files [SUCCESS=merge] dns\n"));
        assert!(!files_come_first(b"passwd: files\n"));
    }

    #[test]
    fn the_system_says_the_same_of_this_machine() {
        for address in ["127.0.0.1", "::1"] {
            let address: IpAddr = address.parse().unwrap();
            let Some(name) = name_of(address) else { continue };
            assert_eq!(names::name_of(address).as_ref(), Ok(&name));
            let addresses = names::addresses_of(&name, names::Family::of(address)).unwrap();
            assert!(addresses.contains(&address));
        }
    }
}
