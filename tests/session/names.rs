//! The name service, from the zone of the private world.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use smtpd_rs::dns::{HostError, Kind, Network};
use smtpd_rs::session::peer::Names;
use smtpd_rs::sys::names::{Family, NameError};
use smtpd_rs::wire::dns::Message;

use crate::support::dns::{ZONE, Zone, encode_name};

/// Knows what `ZONE` says, and this host.
pub(crate) struct ZoneNames;

impl Names for ZoneNames {
    fn name_of(&self, address: IpAddr) -> Result<Vec<u8>, NameError> {
        if address.is_loopback() {
            return Ok(b"localhost".to_vec());
        }
        let data = records(&reverse(address), "PTR")?;
        data.first().map(|name| name.as_bytes().to_vec()).ok_or(NameError::NONE)
    }

    fn addresses_of(&self, name: &[u8], family: Family) -> Result<Vec<IpAddr>, NameError> {
        if name == b"localhost" {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let (mut found, mut why) = (vec![], NameError::NONE);
        for (kind, other) in [(Kind::A, Family::V6), (Kind::AAAA, Family::V4)] {
            if family == other {
                continue;
            }
            match self.ask(name, kind) {
                Ok(reply) => found.extend(addresses(&reply, kind)),
                Err(HostError::TRY_AGAIN) => return Err(NameError::AGAIN),
                Err(HostError::NO_DATA) => why = NameError::NO_ADDRESS,
                Err(_) => {}
            }
        }
        if found.is_empty() { Err(why) } else { Ok(found) }
    }
}

impl Network for ZoneNames {
    fn ask(&self, name: &[u8], kind: Kind) -> Result<Vec<u8>, HostError> {
        static PARSED: LazyLock<Zone> = LazyLock::new(|| Zone::parse(ZONE));
        let mut question = b"\0\0\x01\0\0\x01\0\0\0\0\0\0".to_vec();
        question.extend(encode_name(&String::from_utf8_lossy(name)));
        question.extend([kind.0.to_be_bytes(), [0, 1]].concat());
        let reply = PARSED.answer(&question).ok_or(HostError::TRY_AGAIN)?;
        match (reply[3] & 0xf, &reply[6..8]) {
            (0, [0, 0]) => Err(HostError::NO_DATA),
            (0, _) => Ok(reply),
            (3, _) => Err(HostError::HOST_NOT_FOUND),
            _ => Err(HostError::TRY_AGAIN),
        }
    }

    fn addresses_of(&self, name: &[u8], family: Family) -> Result<Vec<IpAddr>, NameError> {
        Names::addresses_of(self, name, family)
    }
}

/// The addresses in a reply.
fn addresses(reply: &[u8], kind: Kind) -> Vec<IpAddr> {
    let message = Message::new(reply).expect("a reply");
    let records = message.answers().expect("answers").flatten();
    records
        .filter(|record| record.kind == kind)
        .filter_map(|record| message.address(&record).ok())
        .collect()
}

/// What the zone has of this name and type.
fn records(name: &str, kind: &str) -> Result<Vec<&'static str>, NameError> {
    let mut found = vec![];
    for line in ZONE.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [owner, "SERVFAIL" | "TIMEOUT"] if owner == name => return Err(NameError::AGAIN),
            [owner, of, data] if owner == name && of == kind => found.push(data),
            _ => {}
        }
    }
    Ok(found)
}

/// The name under which the zone has an address.
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let digits: Vec<char> = address.octets().iter().flat_map(|b| hex(*b)).collect();
            let labels: Vec<String> = digits.iter().rev().map(char::to_string).collect();
            format!("{}.ip6.arpa", labels.join("."))
        }
    }
}

fn hex(byte: u8) -> Vec<char> {
    format!("{byte:02x}").chars().collect()
}
