//! Access tables by the servers of a domain: its mail servers, name servers, or its own addresses
//! (`check_..._mx_access`, `check_..._ns_access`, `check_..._a_access`).
//!
//! Each server's name is looked up, then its addresses. Whoever has a domain chooses what its DNS
//! says, so such a table can't permit anything.

use super::Class;
use super::compile::Argument;
use super::eval::{At, Eval, Stop, Verdict};
use super::lookup::{self, Found, Keys};
use super::unknown::ascii;
use crate::dns::{Kind, RECORD_LIMIT, Records, Status};
use crate::mail::address::domain;
use crate::mail::hostname::{mail_address, valid_address};
use crate::mail::ip;

/// Looks up the servers of the host or domain that `name` has. As Postfix:
/// `check_server_access()`.
pub(crate) fn check(
    e: &mut Eval<'_>,
    at: &At<'_>,
    argument: &Argument,
    kind: Kind,
    name: &[u8],
) -> Result<Verdict, Stop> {
    let domain = domain(name).unwrap_or(name);
    if domain.first() == Some(&b'[') {
        return check_literal(e, at, argument, kind, domain);
    }
    let domain = ascii(e, domain);
    let Some(servers) = servers(e, kind, name, &domain) else { return Ok(Verdict::Dunno) };
    let mut addresses: usize = 0;
    for server in servers {
        let said = check_one(e, at, argument, kind, &server, &mut addresses)?;
        if let Some(verdict) = said {
            return Ok(verdict);
        }
    }
    Ok(Verdict::Dunno)
}

/// An address literal is its own mail server; it has no name server.
fn check_literal(
    e: &mut Eval<'_>,
    at: &At<'_>,
    argument: &Argument,
    kind: Kind,
    literal: &[u8],
) -> Result<Verdict, Stop> {
    let inside = literal.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    match inside.map(mail_address) {
        Some(Ok(address)) if kind != Kind::NS => {
            Ok(look_up(e, at, argument, Keys::Address(address))?.verdict())
        }
        _ => Ok(Verdict::Dunno),
    }
}

/// The names of the servers of `domain`; `None`, perhaps with a warning, where they are not known.
/// A domain without mail servers is its own, one without name servers has those of its parents.
fn servers(e: &mut Eval<'_>, kind: Kind, name: &[u8], domain: &[u8]) -> Option<Vec<Vec<u8>>> {
    if kind == Kind::A {
        return Some(vec![domain.to_vec()]);
    }
    let mut answer = e.dns(|dns| dns.lookup(domain, kind));
    let mut asked = Some(domain);
    if answer.status == Status::NotFound && kind == Kind::MX {
        return Some(vec![domain.to_vec()]);
    }
    while answer.status == Status::NotFound {
        asked = asked.and_then(parent);
        let Some(parent) = asked else { break };
        answer = e.dns(|dns| dns.lookup(parent, kind));
    }
    match answer.status {
        Status::Ok => Some(hosts(&answer.records)),
        Status::NullMx => None,
        _ => {
            let shown = asked.filter(|asked| asked.len() > 1).unwrap_or(name);
            let reason = answer.reason();
            e.warn(&fill!("Unable to look up {} host for {}: {}", kind.text(), shown, reason));
            None
        }
    }
}

/// What stands behind the first dot.
fn parent(domain: &[u8]) -> Option<&[u8]> {
    let dot = memchr::memchr(b'.', domain)?;
    domain.get(dot.saturating_add(1)..).filter(|parent| !parent.is_empty())
}

fn hosts(records: &Records) -> Vec<Vec<u8>> {
    records.list.iter().filter_map(|record| record.host()).map(<[u8]>::to_vec).collect()
}

/// What the table says of one server; `None`: nothing. `addresses` counts those of all servers.
fn check_one(
    e: &mut Eval<'_>,
    at: &At<'_>,
    argument: &Argument,
    kind: Kind,
    server: &[u8],
    addresses: &mut usize,
) -> Result<Option<Verdict>, Stop> {
    if valid_address(server).is_ok() {
        return Ok(entry(look_up(e, at, argument, Keys::Address(server))?));
    }
    if kind != Kind::A {
        if let Found::Entry(verdict) = look_up(e, at, argument, Keys::Domain(server))? {
            return Ok(Some(verdict));
        }
    }
    let found = match e.dns(|dns| dns.addresses_of(server)) {
        Ok(found) => found,
        Err(error) => {
            if kind != Kind::A {
                let whom = fill!("{} {}", at.class.text(), at.name);
                let (kind, error) = (kind.text(), error.text());
                let text =
                    fill!("Unable to look up {} host {} for {}: {}", kind, server, whom, error);
                e.warn(&text);
            }
            return Ok(None);
        }
    };
    for address in found {
        *addresses = addresses.saturating_add(1);
        if *addresses > RECORD_LIMIT {
            return Ok(Some(too_many(e, at, kind)));
        }
        let found = look_up(e, at, argument, Keys::Address(&ip::text(address)))?;
        if let Found::Entry(verdict) = found {
            return Ok(Some(verdict));
        }
    }
    Ok(None)
}

fn too_many(e: &mut Eval<'_>, at: &At<'_>, kind: Kind) -> Verdict {
    e.warn(&fill!(
        "check_server_access: {} server address count limit ({}) exceeded for {} {} -- ignoring \
         the remainder",
        kind.text(),
        RECORD_LIMIT,
        at.class.text(),
        at.name
    ));
    Verdict::Dunno
}

fn entry(found: Found) -> Option<Verdict> {
    match found {
        Found::Entry(verdict) => Some(verdict),
        Found::Nothing => None,
    }
}

fn look_up(
    e: &mut Eval<'_>,
    at: &At<'_>,
    argument: &Argument,
    keys: Keys<'_>,
) -> Result<Found, Stop> {
    let who =
        if matches!(keys, Keys::Domain(_)) { "check_domain_access" } else { "check_addr_access" };
    lookup::check(e, argument, lookup::table(argument, who), keys, at)
}

/// The host or domain whose servers a restriction of this class is about; `None`: it is not known.
pub(crate) fn subject<'e>(e: &Eval<'e>, class: Class) -> Option<&'e [u8]> {
    let client = e.facts.client;
    let name = match class {
        Class::Client => Some(client.name.as_slice()),
        Class::ReverseClient => Some(client.reverse_name.as_slice()),
        Class::Helo => e.facts.helo,
        Class::Sender => e.facts.sender,
        _ => e.facts.recipient,
    };
    let known = |name: &&[u8]| match class {
        Class::Client | Class::ReverseClient => !name.eq_ignore_ascii_case(b"unknown"),
        Class::Helo => true,
        _ => !name.is_empty(),
    };
    name.filter(known)
}
