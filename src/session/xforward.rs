//! XFORWARD (XFORWARD_README): a content filter says from whom it has a message, for the log and
//! for what cleanup(8) records. It holds for one message.

use super::attribute::{self, Allowed, BadValue, UNKNOWN, neutered};
use super::commands::{Answer, Args};
use super::{Session, Stop, peer};
use crate::config::Config;
use crate::mail::client::{Client, rfc_addr};

/// What was said of the client from which the message first came.
pub(crate) struct Forwarded {
    name: Vec<u8>,
    addr: Vec<u8>,
    port: Vec<u8>,
    namaddr: Vec<u8>,
    protocol: Vec<u8>,
    helo: Option<Vec<u8>>,
    ident: Option<Vec<u8>>,
    domain: &'static str,
    given: Given,
}

/// Which attributes commands have set that were right to their end.
#[derive(Default, Clone, Copy)]
struct Given {
    /// Name, address or port.
    endpoint: bool,
    /// Anything that is about the client.
    client: bool,
    domain: bool,
}

/// A message's client in the log and in what cleanup(8) records: the one that XFORWARD named, or
/// our own.
pub(crate) struct Logged<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) rfc_addr: Vec<u8>,
    pub(crate) port: &'a [u8],
    pub(crate) namaddr: &'a [u8],
    pub(crate) helo: Option<&'a [u8]>,
    pub(crate) protocol: &'a [u8],
}

/// Takes the value of an attribute.
type Take = fn(&mut Forwarded, &Config, Vec<u8>) -> Result<(), BadValue>;

/// What an attribute is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Endpoint,
    Client,
    Ident,
    Domain,
}

/// Every attribute, in the order in which EHLO announces them.
static ATTRIBUTES: &[(&str, About, Take)] = &[
    ("NAME", About::Endpoint, name),
    ("ADDR", About::Endpoint, address),
    ("PROTO", About::Client, protocol),
    ("HELO", About::Client, helo),
    ("SOURCE", About::Domain, domain),
    ("PORT", About::Endpoint, port),
    ("IDENT", About::Ident, ident),
];

/// Longest name of a protocol.
const LONGEST_PROTOCOL: usize = 64;

/// XFORWARD attribute=value...
pub(crate) fn xforward(s: &mut Session<'_>, args: &Args) -> Answer {
    s.admit(args, s.may_xforward())?;
    let config = s.config();
    let forwarded = s.forwarded.get_or_insert_with(|| Box::new(Forwarded::unknown()));
    let mut given = Given::default();
    for word in &args.tokens[1..] {
        let (name, value) = attribute::split(&word.text, config)?;
        let row = ATTRIBUTES.iter().find(|row| name.eq_ignore_ascii_case(row.0.as_bytes()));
        let Some((name, about, take)) = row else {
            return protocol!("501 5.5.4 Bad XFORWARD attribute name: {}", name);
        };
        if let Err(BadValue(value)) = take(forwarded, config, value) {
            return protocol!("501 5.5.4 Bad {} syntax: {}", name, value);
        }
        given.add(*about);
    }
    forwarded.settle(config, given);
    Ok(reply!("250 2.0.0 Ok"))
}

fn name(f: &mut Forwarded, _: &Config, value: Vec<u8>) -> Result<(), BadValue> {
    f.name = if attribute::is_unavailable(&value) {
        UNKNOWN.to_vec()
    } else {
        attribute::name(neutered(value))?
    };
    Ok(())
}

fn address(f: &mut Forwarded, config: &Config, value: Vec<u8>) -> Result<(), BadValue> {
    f.addr = attribute::address(value, config)?;
    Ok(())
}

fn port(f: &mut Forwarded, _: &Config, value: Vec<u8>) -> Result<(), BadValue> {
    f.port = attribute::port(value)?;
    Ok(())
}

/// What the client spoke: not necessarily SMTP.
fn protocol(f: &mut Forwarded, _: &Config, value: Vec<u8>) -> Result<(), BadValue> {
    f.protocol = if attribute::is_unavailable(&value) {
        UNKNOWN.to_vec()
    } else if value.len() > LONGEST_PROTOCOL {
        return Err(BadValue(value));
    } else {
        neutered(value)
    };
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "a row of the table")]
fn helo(f: &mut Forwarded, _: &Config, value: Vec<u8>) -> Result<(), BadValue> {
    f.helo = (!attribute::is_unavailable(&value)).then(|| neutered(value));
    Ok(())
}

/// The message's queue id on the other side of the filter.
#[expect(clippy::unnecessary_wraps, reason = "a row of the table")]
fn ident(f: &mut Forwarded, _: &Config, value: Vec<u8>) -> Result<(), BadValue> {
    f.ident = (!attribute::is_unavailable(&value)).then(|| neutered(value));
    Ok(())
}

/// Whether headers are completed with our domain (local_header_rewrite_clients).
fn domain(f: &mut Forwarded, _: &Config, value: Vec<u8>) -> Result<(), BadValue> {
    f.domain = if attribute::is_unavailable(&value) || value.eq_ignore_ascii_case(b"LOCAL") {
        "local"
    } else if value.eq_ignore_ascii_case(b"REMOTE") {
        "remote"
    } else {
        return Err(BadValue(value));
    };
    Ok(())
}

impl Given {
    fn add(&mut self, about: About) {
        self.endpoint |= about == About::Endpoint;
        self.client |= matches!(about, About::Endpoint | About::Client);
        self.domain |= about == About::Domain;
    }
}

impl Forwarded {
    fn unknown() -> Self {
        Self {
            name: UNKNOWN.to_vec(),
            addr: UNKNOWN.to_vec(),
            port: UNKNOWN.to_vec(),
            namaddr: UNKNOWN.to_vec(),
            protocol: UNKNOWN.to_vec(),
            helo: None,
            ident: None,
            domain: "local",
            given: Given::default(),
        }
    }

    /// A command was right to its end: what it said counts.
    fn settle(&mut self, config: &Config, given: Given) {
        self.given.client |= given.client;
        self.given.domain |= given.domain;
        if given.endpoint {
            let known = Client {
                name: self.name.clone(),
                addr: self.addr.clone(),
                port: self.port.clone(),
                ..Client::unknown()
            };
            let named = self.addr == UNKNOWN;
            self.namaddr = if named { known.name } else { peer::namaddr(config, &known) };
        }
    }

    /// SOURCE
    fn domain(&self) -> Option<&'static str> {
        self.given.domain.then_some(self.domain)
    }
}

impl Session<'_> {
    pub(crate) fn may_xforward(&self) -> Allowed {
        let (allowed, unknown) = (self.xforward_allowed, self.xforward_unknown);
        Allowed { verb: "XFORWARD", allowed, unknown }
    }

    /// What EHLO says of XFORWARD.
    pub(crate) fn announce_xforward(&self) -> Result<Option<Vec<u8>>, Stop> {
        self.announces(self.may_xforward(), ATTRIBUTES.iter().map(|row| row.0))
    }

    /// Whom logs name as the client. What XFORWARD said and what we know is never mixed.
    pub(crate) fn logged_client(&self) -> Logged<'_> {
        let who = &self.who;
        match self.forwarded.as_deref().filter(|forwarded| forwarded.given.client) {
            Some(forwarded) => Logged {
                name: &forwarded.name,
                rfc_addr: rfc_addr(&forwarded.addr),
                port: &forwarded.port,
                namaddr: &forwarded.namaddr,
                helo: forwarded.helo.as_deref(),
                protocol: &forwarded.protocol,
            },
            None => Logged {
                name: &who.client.name,
                rfc_addr: who.client.rfc_addr(),
                port: &who.client.port,
                namaddr: &who.client.namaddr,
                helo: who.helo.as_deref(),
                protocol: who.protocol.as_bytes(),
            },
        }
    }

    /// The queue id that a message had before the filter.
    pub(crate) fn forwarded_ident(&self) -> Option<&[u8]> {
        self.forwarded.as_deref()?.ident.as_deref()
    }

    /// The rewrite context that XFORWARD asks for.
    pub(crate) fn forwarded_domain(&self) -> Option<&'static str> {
        self.forwarded.as_deref()?.domain()
    }

    /// The first client of a message, for the log.
    pub(crate) fn forwarded_client(&self) -> Option<&[u8]> {
        let forwarded = self.forwarded.as_deref()?;
        forwarded.given.client.then_some(forwarded.namaddr.as_slice())
    }
}
