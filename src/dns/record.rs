//! Records, and lists of them.

use std::net::IpAddr;

use crate::mail::ip;
use crate::wire::dns::Kind;

/// More records than this nobody needs. As Postfix.
pub(crate) const RECORD_LIMIT: usize = 100;

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A host (NS, PTR, CNAME).
    Host(Vec<u8>),
    /// A mail server, and its preference (MX): the least is the best.
    Exchanger(u16, Vec<u8>),
    /// An address (A, AAAA).
    Address(IpAddr),
    /// A text (TXT).
    Text(Vec<u8>),
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose record it is: where there are aliases, not the name that was asked for.
    pub name: Vec<u8>,
    /// The type.
    pub kind: Kind,
    /// Seconds for which it holds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

impl Record {
    /// The record as zone files have it: `mail.example. 3600 IN A 192.0.2.1`. As Postfix:
    /// `dns_strrecord()`.
    pub fn text(&self) -> Vec<u8> {
        let mut text = fill!("{}. {} IN {} ", self.name, self.ttl, self.kind.text());
        text.extend_from_slice(&match &self.data {
            Data::Host(host) => fill!("{}.", host),
            Data::Exchanger(preference, host) => fill!("{} {}.", u32::from(*preference), host),
            Data::Address(address) => ip::text(*address),
            Data::Text(text) => text.clone(),
        });
        text
    }

    /// The host that it names.
    pub fn host(&self) -> Option<&[u8]> {
        match &self.data {
            Data::Host(host) | Data::Exchanger(_, host) => Some(host),
            _ => None,
        }
    }

    /// The address in it.
    pub fn address(&self) -> Option<IpAddr> {
        match self.data {
            Data::Address(address) => Some(address),
            _ => None,
        }
    }
}

/// Records, of which there are not too many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// The records, in the order of the reply.
    pub list: Vec<Record>,
    /// There were more.
    pub is_truncated: bool,
}

impl Records {
    /// One record.
    pub fn of(record: Record) -> Self {
        Self { list: vec![record], is_truncated: false }
    }

    /// Takes more of them; what is too much is dropped, with this for the log. `asked` is the name
    /// that was asked for.
    pub(super) fn append(&mut self, more: Self, asked: &[u8]) -> Option<Vec<u8>> {
        if self.list.is_empty() {
            *self = more;
            return None;
        }
        if self.is_truncated || more.list.is_empty() {
            return None;
        }
        self.is_truncated = more.is_truncated;
        self.list.extend(more.list);
        if self.list.len() <= RECORD_LIMIT {
            return None;
        }
        self.list.truncate(RECORD_LIMIT);
        self.is_truncated = true;
        let kind = self.list.last().map(|last| last.kind.text()).unwrap_or_default();
        Some(fill!(
            "DNS record count limit ({}) exceeded -- dropping excess record(s) after qname={} \
             qtype={}",
            RECORD_LIMIT,
            asked,
            kind
        ))
    }
}
