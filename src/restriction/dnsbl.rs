//! Lists in DNS: of clients that send what nobody wants, of domains, or of those that may pass
//! (RFC 5782).
//!
//! ```text
//! argument = domain [ "=" filter ]
//! filter   = field 3( "." field )          which of the addresses in a list count
//! field    = number / "[" range *( ";" range ) "]"
//! range    = number [ ".." number ]
//! ```
//!
//! The address or name in question goes in front of the list's domain; what has an A record there is
//! listed. Answers are kept as long as the process lives, as in Postfix.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use super::eval::{At, Eval, Outcome, Stop, Verdict};
use super::expand::Expander;
use super::unknown::ascii;
use super::{Class, access, relay};
use crate::config::dialect::Change;
use crate::dns::{Data, Dns, Kind, Status};
use crate::mail::client::ErrorClass;
use crate::mail::hostname::{valid_hostname, valid_ipv6};
use crate::mail::{address, ip};
use crate::text::split::{COMMA_SPACE, words};

mod pattern;

pub(crate) use pattern::Pattern;

/// How many answers are kept. As Postfix.
const KEPT_ANSWERS: usize = 100;
/// Longest reason that is shown to a client.
const TEXT_LIMIT: usize = 500;
/// What stands between texts.
const BETWEEN: &[u8] = b" / ";

/// A list, as a restriction names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DnsList {
    /// As written.
    pub(crate) text: Vec<u8>,
    /// Without the filter.
    domain: Vec<u8>,
    filter: Option<Pattern>,
}

impl DnsList {
    /// Reads `domain=filter`; the error is Postfix's.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Vec<u8>> {
        let mut parts = text.splitn(2, |byte| *byte == b'=');
        let domain = parts.next().unwrap_or_default().to_vec();
        let filter = parts.next().map(Pattern::parse).transpose();
        let filter = filter.map_err(|bad| fill!("RBL reply error: {}", bad))?;
        Ok(Self { text: text.to_vec(), domain, filter })
    }
}

/// What a list has for an address or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    addresses: Vec<Ipv4Addr>,
    /// Why, as the list says.
    reason: Vec<u8>,
}

/// Whether something is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Listing {
    Yes(Rc<Entry>),
    No,
    /// The list does not answer.
    Unknown,
}

/// Answers, the last that was used first.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    kept: RefCell<Vec<(Vec<u8>, Listing)>>,
}

impl Answers {
    fn get(&self, query: &[u8]) -> Option<Listing> {
        let mut kept = self.kept.borrow_mut();
        let at = kept.iter().position(|(known, _)| known == query)?;
        kept.get_mut(..=at)?.rotate_right(1);
        kept.first().map(|(_, listing)| listing.clone())
    }

    fn keep(&self, query: Vec<u8>, listing: Listing) {
        let mut kept = self.kept.borrow_mut();
        kept.truncate(KEPT_ANSWERS.saturating_sub(1));
        kept.insert(0, (query, listing));
    }
}

/// Refuses a client whose address is listed.
pub(crate) fn reject_rbl_client(e: &mut Eval<'_>, list: &DnsList) -> Outcome {
    reject_address(e, list)
}

/// Refuses a client whose name is listed.
pub(crate) fn reject_rhsbl_client(e: &mut Eval<'_>, list: &DnsList) -> Outcome {
    let client = e.facts.client;
    reject_domain(e, list, Class::Client, named(&client.name))
}

/// Refuses a client if the name that its address has is listed.
pub(crate) fn reject_rhsbl_reverse_client(e: &mut Eval<'_>, list: &DnsList) -> Outcome {
    let client = e.facts.client;
    reject_domain(e, list, Class::ReverseClient, named(&client.reverse_name))
}

/// Refuses a name in HELO that is listed.
pub(crate) fn reject_rhsbl_helo(e: &mut Eval<'_>, list: &DnsList) -> Outcome {
    reject_domain(e, list, Class::Helo, e.facts.helo)
}

/// Refuses a sender whose domain is listed.
pub(crate) fn reject_rhsbl_sender(e: &mut Eval<'_>, list: &DnsList) -> Outcome {
    reject_domain(e, list, Class::Sender, e.facts.sender.filter(|sender| !sender.is_empty()))
}

/// Refuses a recipient whose domain is listed.
pub(crate) fn reject_rhsbl_recipient(e: &mut Eval<'_>, list: &DnsList) -> Outcome {
    reject_domain(e, list, Class::Recipient, e.facts.recipient)
}

/// Permits a client whose address is listed.
pub(crate) fn permit_dnswl_client(e: &mut Eval<'_>, list: &DnsList) -> Outcome {
    if is_unauthorized(e)? {
        return Ok(Verdict::Dunno);
    }
    let addr = &e.facts.client.addr;
    let listing = find_address(e, list, addr);
    permit(e, &listing, addr)
}

/// Permits a client whose name is listed.
pub(crate) fn permit_rhswl_client(e: &mut Eval<'_>, list: &DnsList) -> Outcome {
    let Some(name) = named(&e.facts.client.name) else { return Ok(Verdict::Dunno) };
    if is_unauthorized(e)? {
        return Ok(Verdict::Dunno);
    }
    let listing = find_domain(e, list, name);
    permit(e, &listing, name)
}

/// Refuses a client that is in one of maps_rbl_domains. Old.
pub(crate) fn reject_maps_rbl(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    let policy = e.policy;
    if policy.config.does(Change::OldRestrictionsGone) {
        return Err(e.is_gone("reject_maps_rbl", "\"reject_rbl_client domain-name\""));
    }
    if !policy.warned_of_maps_rbl.replace(true) {
        e.warn(&fill!(
            "support for restriction \"reject_maps_rbl\" will be removed from {}; use \
             \"reject_rbl_client domain-name\" instead",
            policy.config.mail_name
        ));
    }
    for word in words(&policy.config.maps_rbl_domains, COMMA_SPACE) {
        let list = match DnsList::parse(word) {
            Ok(list) => list,
            Err(bad) => {
                e.warn(&bad);
                return Err(e.server_error());
            }
        };
        reject_address(e, &list)?;
    }
    Ok(Verdict::Dunno)
}

/// A name that a client really has.
fn named(name: &[u8]) -> Option<&[u8]> {
    (!name.eq_ignore_ascii_case(b"unknown")).then_some(name)
}

fn reject_address(e: &mut Eval<'_>, list: &DnsList) -> Outcome {
    let addr = &e.facts.client.addr;
    match find_address(e, list, addr) {
        Listing::Yes(entry) => refuse(e, list, &entry, addr, Class::Client),
        Listing::No | Listing::Unknown => Ok(Verdict::Dunno),
    }
}

fn reject_domain(e: &mut Eval<'_>, list: &DnsList, class: Class, name: Option<&[u8]>) -> Outcome {
    let Some(name) = name else { return Ok(Verdict::Dunno) };
    match find_domain(e, list, name) {
        Listing::Yes(entry) => refuse(e, list, &entry, name, class),
        Listing::No | Listing::Unknown => Ok(Verdict::Dunno),
    }
}

/// Whether this is about a recipient whose mail is not for us: no list of others permits that.
fn is_unauthorized(e: &mut Eval<'_>) -> Result<bool, Stop> {
    match e.facts.recipient {
        Some(recipient) if e.facts.place == "RCPT" => {
            Ok(relay::is_authorized(e, recipient)? != Verdict::Permit)
        }
        _ => Ok(false),
    }
}

fn permit(e: &mut Eval<'_>, listing: &Listing, what: &[u8]) -> Outcome {
    match listing {
        Listing::Yes(_) => Ok(Verdict::Permit),
        Listing::No => Ok(Verdict::Dunno),
        Listing::Unknown => {
            let text = fill!("<{}>: Client host rejected: Service unavailable", what);
            e.defer_if_reject(450, b"4.7.1", text)
        }
    }
}

fn find_address(e: &mut Eval<'_>, list: &DnsList, addr: &[u8]) -> Listing {
    match reversed(addr) {
        Some(labels) => find(e, list, &labels),
        None => {
            e.warn(&fill!("find_dnsxl_addr: unable to convert address {}", addr));
            Listing::Unknown
        }
    }
}

/// An address as names in DNS have it, last part first: `1.2.0.192.`, or the digits of an IPv6
/// address.
fn reversed(addr: &[u8]) -> Option<Vec<u8>> {
    if valid_ipv6(addr).is_ok() {
        let Some(IpAddr::V6(address)) = ip::parse(addr) else { return None };
        let digits = address.octets().into_iter().rev().flat_map(|byte| [byte & 0xf, byte >> 4]);
        return Some(digits.flat_map(|digit| format!("{digit:x}.").into_bytes()).collect());
    }
    let labels = addr.split(|byte| *byte == b'.').rev().filter(|label| !label.is_empty());
    Some(labels.flat_map(|label| [label, b"."].concat()).collect())
}

fn find_domain(e: &mut Eval<'_>, list: &DnsList, what: &[u8]) -> Listing {
    let domain = match address::domain(what) {
        Some(literal) if literal.first() == Some(&b'[') => return Listing::No,
        Some(domain) => domain,
        None => what,
    };
    // Lists of domains don't like questions about addresses.
    let last = domain.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.iter().all(u8::is_ascii_digit);
    if domain.is_empty() || is_number {
        return Listing::No;
    }
    let domain = ascii(e, domain);
    if valid_hostname(&domain).is_err() {
        return Listing::No;
    }
    find(e, list, &fill!("{}.", domain))
}

/// What the list has for these labels.
fn find(e: &mut Eval<'_>, list: &DnsList, labels: &[u8]) -> Listing {
    let query = fill!("{}{}", labels, list.domain);
    let answers = &e.policy.answers;
    let listing = answers.get(&query).unwrap_or_else(|| {
        let listing = e.dns(|dns| ask(dns, &query));
        answers.keep(query, listing.clone());
        listing
    });
    match (&listing, &list.filter) {
        (Listing::Yes(entry), Some(filter))
            if !entry.addresses.iter().any(|address| filter.has(*address)) =>
        {
            Listing::No
        }
        _ => listing,
    }
}

/// As Postfix: `rbl_pagein()`.
fn ask(dns: &Dns, query: &[u8]) -> Listing {
    let answer = dns.lookup(query, Kind::A);
    match answer.status {
        Status::Ok => {}
        Status::NotFound => return Listing::No,
        _ => {
            // Not all mail can be refused because a list does not work.
            dns.warn(&fill!("{}: RBL lookup error: {}", query, answer.why));
            return Listing::Unknown;
        }
    }
    let addresses = answer.records.list.iter().filter_map(|record| match record.address() {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    });
    let addresses = addresses.collect();
    let texts = dns.lookup(query, Kind::TXT);
    if texts.status == Status::Policy {
        dns.warn(&fill!("{}: TXT lookup error: DNS reply filter drops all results", query));
    }
    let texts = texts.records.list.iter().filter_map(|record| match &record.data {
        Data::Text(text) => Some(text.as_slice()),
        _ => None,
    });
    Listing::Yes(Rc::new(Entry { addresses, reason: reason(texts) }))
}

/// The texts in one, not too long.
fn reason<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Vec<u8> {
    let mut reason: Vec<u8> = Vec::new();
    let mut texts = texts.peekable();
    while let Some(text) = texts.next() {
        let room = TEXT_LIMIT.saturating_sub(reason.len());
        reason.extend_from_slice(text.get(..room).unwrap_or(text));
        let room = TEXT_LIMIT.saturating_sub(reason.len());
        if texts.peek().is_some() && room > BETWEEN.len() {
            reason.extend_from_slice(BETWEEN);
        }
        if TEXT_LIMIT.saturating_sub(reason.len()) == 0 {
            break;
        }
    }
    reason
}

/// Refuses in the words of rbl_reply_maps or default_rbl_reply. As Postfix: `rbl_reject_reply()`.
fn refuse(e: &mut Eval<'_>, list: &DnsList, entry: &Entry, what: &[u8], class: Class) -> Outcome {
    let reply = reply(e, list, entry, what, class)?;
    let (code, rest) = match reply.as_slice() {
        [class @ (b'4' | b'5'), x @ b'0'..=b'9', y @ b'0'..=b'9', b' ', rest @ ..] => {
            let digits = [class, x, y].into_iter();
            (digits.fold(0, |code, digit| code * 10 + i32::from(digit - b'0')), rest)
        }
        _ => {
            warning!("rbl response code configuration error: {}", reply);
            return e.reject(ErrorClass::Policy, 450, b"4.7.1", b"Service unavailable");
        }
    };
    let (dsn, text) = access::split_dsn(b"4.7.1", rest);
    let text = if text.is_empty() { b"Service unavailable".as_slice() } else { text };
    e.reject(ErrorClass::Policy, code, &access::fix_dsn(dsn, class), text)
}

fn reply(
    e: &mut Eval<'_>,
    list: &DnsList,
    entry: &Entry,
    what: &[u8],
    class: Class,
) -> Result<Vec<u8>, Stop> {
    let config = &e.policy.config;
    let template = match template(e, list) {
        Ok(template) => template,
        Err(_) => return Err(e.server_error()),
    };
    let code = config.maps_rbl_reject_code.to_string();
    let names: [(&str, &[u8]); 6] = [
        ("rbl_code", code.as_bytes()),
        ("rbl_domain", &list.domain),
        ("rbl_reason", &entry.reason),
        ("rbl_txt", &entry.reason),
        ("rbl_what", what),
        ("rbl_class", class.text().as_bytes()),
    ];
    let expander = Expander::new(config, &e.facts).with(&names);
    if let Some(template) = template {
        if let Some(text) = expander.expand_known(&template) {
            return Ok(text);
        }
        let text = &list.text;
        warning!("rbl_reject_reply: bad rbl reply template for domain {}: {}", text, template);
    }
    match expander.expand_known(&config.default_rbl_reply) {
        Some(text) => Ok(text),
        None => {
            let template = &config.default_rbl_reply;
            warning!("rbl_reject_reply: bad default rbl reply template: {}", template);
            Err(e.server_error())
        }
    }
}

/// What rbl_reply_maps have for a list.
fn template(e: &Eval<'_>, list: &DnsList) -> Result<Option<Vec<u8>>, crate::table::TableError> {
    let maps = &e.policy.list_replies;
    let mut found = maps.find(&list.text)?;
    if found.is_none() && e.policy.config.does(Change::BlockListByDomain) {
        found = maps.find(&list.domain)?;
    }
    Ok(found.map(|found| found.value))
}
