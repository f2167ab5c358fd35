//! What the domain name system says of a name: records, or why there are none.
//!
//! A question goes to the system's resolver ([`Network`]), the reply through `wire::dns`. Host names
//! in it are held against the rules for host names, aliases are followed, and
//! smtpd_dns_reply_filter may take records away. As Postfix: `dns_lookup()`.
#![forbid(unsafe_code)]

mod filter;
mod record;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::Cell;
use std::net::IpAddr;

use filter::ReplyFilter;
pub(crate) use record::RECORD_LIMIT;
pub use record::{Data, Record, Records};

use crate::config::Config;
use crate::config::dialect::Change;
use crate::log::Fatal;
use crate::mail::hostname::{valid_address, valid_dns_name};
use crate::sys::names::{self, Family, NameError};
pub use crate::sys::resolver::HostError;
use crate::sys::resolver::Resolver;
use crate::table::Opener;
pub use crate::wire::dns::Kind;
use crate::wire::dns::{self as wire, Malformed, Message};

/// How many aliases lead to a name.
const ALIAS_LIMIT: usize = 10;
/// As much of a bad name as a log line shows.
const SHOWN_LIMIT: usize = 100;

/// Who is asked: the system, or a test.
pub trait Network {
    /// The reply of a name server to a question about `name`, as it came.
    fn ask(&self, name: &[u8], kind: Kind) -> Result<Vec<u8>, HostError>;
    /// The addresses of the host with this name, from whatever the system asks.
    fn addresses_of(&self, name: &[u8], family: Family) -> Result<Vec<IpAddr>, NameError>;
}

/// The system's resolver. It has no state before the first question.
#[derive(Default)]
pub struct System {
    resolver: Resolver,
}

impl Network for System {
    fn ask(&self, name: &[u8], kind: Kind) -> Result<Vec<u8>, HostError> {
        self.resolver.ask(name, kind.0)
    }

    fn addresses_of(&self, name: &[u8], family: Family) -> Result<Vec<IpAddr>, NameError> {
        names::addresses_of(name, family)
    }
}

/// What came of a question. Of two, the greater one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// There is no such name, or no such record of it.
    NotFound,
    /// The domain takes no mail (RFC 7505).
    NullMx,
    /// The name servers refuse to answer.
    Fail,
    /// A name in the reply is no host name.
    Invalid,
    /// Nobody knows now, or the reply is broken.
    Retry,
    /// smtpd_dns_reply_filter has taken all records away.
    Policy,
    /// There are records.
    Ok,
}

/// The end of a question.
#[derive(Debug)]
pub struct Answer {
    /// What came of it.
    pub status: Status,
    /// The records, where there are any.
    pub records: Records,
    /// What the resolver said.
    error: HostError,
    /// Why there are no records, in words.
    pub why: Vec<u8>,
}

impl Answer {
    fn failed(status: Status, error: HostError, why: Vec<u8>) -> Self {
        Self { status, records: Records::default(), error, why }
    }

    /// Why there are no records, in few words.
    pub fn reason(&self) -> String {
        match self.status {
            Status::Policy => "DNS reply filter policy".into(),
            _ => self.error.text(),
        }
    }
}

/// What a reply has.
enum Reply {
    Records(Records),
    Alias(Vec<u8>),
    Failed(Status),
}

/// The domain name system.
pub struct Dns {
    network: Box<dyn Network>,
    filter: Option<ReplyFilter>,
    family: Family,
    /// A text has more than its first part.
    has_whole_texts: bool,
    /// Something was logged.
    spoke: Cell<bool>,
}

impl Dns {
    /// The name system as seen through `network`; before the chroot.
    pub fn open(
        config: &Config,
        opener: &mut Opener,
        network: Box<dyn Network>,
    ) -> Result<Self, Fatal> {
        let family = match (config.ipv4, config.ipv6) {
            (true, false) => Family::V4,
            (false, true) => Family::V6,
            _ => Family::Any,
        };
        Ok(Self {
            network,
            filter: ReplyFilter::open(config, opener)?,
            family,
            has_whole_texts: config.does(Change::WholeTexts),
            spoke: Cell::new(false),
        })
    }

    /// The addresses of a host (not from DNS alone: `/etc/hosts` counts), of the families in
    /// inet_protocols.
    pub fn addresses_of(&self, host: &[u8]) -> Result<Vec<IpAddr>, NameError> {
        self.network.addresses_of(host, self.family)
    }

    /// The types of the records that addresses of the families in inet_protocols have.
    pub fn address_kinds(&self) -> &'static [Kind] {
        match self.family {
            Family::Any => &[Kind::A, Kind::AAAA],
            Family::V4 => &[Kind::A],
            Family::V6 => &[Kind::AAAA],
        }
    }

    /// Whether a question since the last call has left something in the log.
    pub fn has_spoken(&self) -> bool {
        self.spoke.replace(false)
    }

    /// Logs a warning about an answer.
    pub(crate) fn warn(&self, text: &[u8]) {
        self.spoke.set(true);
        warning!("{}", text);
    }

    /// The records of several types, in turn, until `stops` is content. As Postfix:
    /// `dns_lookup_l()`.
    pub fn lookup_each(
        &self,
        name: &[u8],
        kinds: &[Kind],
        stops: impl Fn(Kind, Status) -> bool,
    ) -> Answer {
        let mut records = Records::default();
        let mut best = Answer::failed(Status::NotFound, HostError::NONE, Vec::new());
        for &kind in kinds {
            let mut answer = self.lookup(name, kind);
            if let Some(text) = records.append(std::mem::take(&mut answer.records), name) {
                self.warn(&text);
            }
            let stops = records.is_truncated || stops(kind, answer.status);
            if answer.status >= best.status {
                best = answer;
            }
            if stops {
                break;
            }
        }
        Answer { records, ..best }
    }

    /// The records of one type that a name has.
    pub fn lookup(&self, name: &[u8], kind: Kind) -> Answer {
        if valid_address(name).is_ok() || (name != b"." && valid_dns_name(name).is_err()) {
            let why = fill!("Name service error for {}: invalid host or domain name", name);
            return Answer::failed(Status::NotFound, HostError::HOST_NOT_FOUND, why);
        }
        let mut asked = name.to_vec();
        for _ in 0..ALIAS_LIMIT {
            let reply = match self.network.ask(&asked, kind) {
                Ok(reply) => reply,
                Err(error) => return without_reply(&asked, kind, error),
            };
            detail!("dns_query: {} ({}): OK", asked, kind.text());
            match self.read(name, kind, &reply) {
                Reply::Records(records) => return self.filtered(records, &asked, kind),
                Reply::Failed(status) => return without_records(&asked, kind, status),
                Reply::Alias(alias) => {
                    detail!("dns_lookup: {} aliased to {}", asked, alias);
                    asked = alias;
                }
            }
        }
        self.warn(&fill!("dns_lookup: Name server loop for {}", asked));
        let why = fill!("Name server loop for {}", asked);
        Answer::failed(Status::NotFound, HostError::NONE, why)
    }

    /// smtpd_dns_reply_filter has the last word.
    fn filtered(&self, records: Records, asked: &[u8], kind: Kind) -> Answer {
        let mut answer = Answer { records, ..Answer::failed(Status::Ok, HostError::NONE, vec![]) };
        let Some(filter) = &self.filter else { return answer };
        let what = match filter.apply(&mut answer.records) {
            Ok(0) => return answer,
            Ok(_) if !answer.records.list.is_empty() => {
                self.spoke.set(true);
                return answer;
            }
            Ok(_) => {
                answer.status = Status::Policy;
                "DNS reply filter drops all results"
            }
            Err(_) => {
                answer.records = Records::default();
                answer.status = Status::Retry;
                "Invalid DNS reply filter syntax"
            }
        };
        self.spoke.set(true);
        answer.why = fill!("Error looking up name={} type={}: {}", asked, kind.text(), what);
        answer
    }

    /// The records of this type in a reply, or the alias that leads on. As Postfix:
    /// `dns_get_answer()`.
    fn read(&self, name: &[u8], kind: Kind, reply: &[u8]) -> Reply {
        let Ok(message) = Message::new(reply) else { return Reply::Failed(Status::Retry) };
        let Ok(answers) = message.answers() else { return Reply::Failed(Status::Retry) };
        let mut records = Records::default();
        let (mut alias, mut failure) = (None, Status::NotFound);
        for record in answers {
            let record = match record {
                Ok(record) => record,
                Err(bad) => return Reply::Failed(self.broken(&bad)),
            };
            if let Err(status) = self.check_owner(name, message, &record) {
                return Reply::Failed(status);
            }
            if record.kind == kind {
                match self.data(message, &record) {
                    Ok(data) => {
                        let one = Record { name: record.name, kind, ttl: record.ttl, data };
                        if let Some(text) = records.append(Records::of(one), name) {
                            self.warn(&text);
                            break;
                        }
                    }
                    Err(Status::NullMx) => return Reply::Failed(Status::NullMx),
                    Err(status) if failure != Status::Retry => failure = status,
                    Err(_) => {}
                }
            } else if record.kind == Kind::CNAME {
                match self.host(message, &record) {
                    Ok(host) => alias = Some(host),
                    Err(status) => return Reply::Failed(status),
                }
            }
        }
        match alias {
            _ if !records.list.is_empty() => Reply::Records(records),
            Some(alias) => Reply::Alias(alias),
            None => Reply::Failed(failure),
        }
    }

    /// Whether the name in front of a record is one, and the record all there.
    fn check_owner(
        &self,
        asked: &[u8],
        message: Message<'_>,
        record: &wire::Record,
    ) -> Result<(), Status> {
        let is_root = asked == b"." && record.name.is_empty();
        if !is_root && !self.is_valid(&record.name, "resource name", record.kind, message) {
            return Err(Status::Invalid);
        }
        detail!("dns_get_answer: type {} for {}", record.kind.text(), record.name);
        if record.is_whole(message) { Ok(()) } else { Err(Status::Retry) }
    }

    fn data(&self, message: Message<'_>, record: &wire::Record) -> Result<Data, Status> {
        let broken = |bad| self.broken(&bad);
        match record.kind {
            Kind::MX => {
                let (preference, host) = message.exchanger(record).map_err(broken)?;
                if host.is_empty() {
                    return Err(Status::NullMx);
                }
                self.check_data(&host, message, record)?;
                Ok(Data::Exchanger(preference, host))
            }
            Kind::A | Kind::AAAA => message.address(record).map(Data::Address).map_err(broken),
            Kind::TXT => message.text(record, self.has_whole_texts).map(Data::Text).map_err(broken),
            _ => self.host(message, record).map(Data::Host),
        }
    }

    /// The host name in a record.
    fn host(&self, message: Message<'_>, record: &wire::Record) -> Result<Vec<u8>, Status> {
        let host = message.host(record).map_err(|bad| self.broken(&bad))?;
        self.check_data(&host, message, record)?;
        Ok(host)
    }

    fn check_data(
        &self,
        host: &[u8],
        message: Message<'_>,
        record: &wire::Record,
    ) -> Result<(), Status> {
        if self.is_valid(host, "resource data", record.kind, message) {
            Ok(())
        } else {
            Err(Status::Invalid)
        }
    }

    /// Whether a name in a reply can be used: numbers are none, but people use them. As Postfix:
    /// `valid_rr_name()`.
    fn is_valid(&self, name: &[u8], place: &str, kind: Kind, message: Message<'_>) -> bool {
        let (gripe, is_valid) = if valid_address(name).is_ok() {
            ("numeric domain name", true)
        } else if let Err(bad) = valid_dns_name(name) {
            self.warn(bad.to_string().as_bytes());
            ("malformed domain name", false)
        } else {
            return true;
        };
        let asked = message.question().unwrap_or_else(|_| b"*unparsable*".to_vec());
        let shown = name.get(..SHOWN_LIMIT).unwrap_or(name);
        self.warn(&fill!(
            "{} in {} of {} record for {}: {}",
            gripe,
            place,
            kind.text(),
            asked,
            shown
        ));
        is_valid
    }

    fn broken(&self, bad: &Malformed) -> Status {
        if bad.is_told() {
            self.warn(bad.to_string().as_bytes());
        }
        Status::Retry
    }
}

/// The resolver has no reply.
fn without_reply(asked: &[u8], kind: Kind, error: HostError) -> Answer {
    let (kind, text) = (kind.text(), error.text());
    detail!("dns_query: {} ({}): {}", asked, kind, text);
    let why = fill!(
        "Host or domain name not found. Name service error for name={} type={}: {}",
        asked,
        kind,
        text
    );
    let status = match error {
        HostError::NO_RECOVERY => Status::Fail,
        HostError::HOST_NOT_FOUND | HostError::NO_DATA => Status::NotFound,
        _ => Status::Retry,
    };
    Answer::failed(status, error, why)
}

/// The reply has nothing to use.
fn without_records(asked: &[u8], kind: Kind, status: Status) -> Answer {
    if status == Status::NullMx {
        let why = fill!("Domain {} does not accept mail (nullMX)", asked);
        return Answer::failed(status, HostError::NO_DATA, why);
    }
    let why = fill!(
        "Name service error for name={} type={}: Malformed or unexpected name server reply",
        asked,
        kind.text()
    );
    Answer::failed(status, HostError::NONE, why)
}
