//! Restrictions by whether the DNS knows a name: of HELO, of a sender's or recipient's domain.

use std::borrow::Cow;

use super::Class;
use super::eval::{At, Eval, Outcome, Verdict};
use super::helo::reject_invalid_literal;
use crate::dns::{Kind, Status};
use crate::ipc::rewrite::Resolved;
use crate::mail::address::domain;
use crate::mail::client::ErrorClass;
use crate::mail::hostname::domain_to_ascii;

/// Refuses a name that has neither address nor mail server.
pub(crate) fn reject_unknown_helo_hostname(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    let Some(name) = e.facts.helo else { return Ok(Verdict::Dunno) };
    if name.first() == Some(&b'[') {
        return reject_invalid_literal(e, name);
    }
    let kinds = [Kind::A, Kind::AAAA, Kind::MX];
    let answer = e.dns(|dns| dns.lookup_each(name, &kinds, |_, status| status == Status::Ok));
    let config = &e.policy.config;
    let why = match answer.status {
        // A host that sends mail need not take any.
        Status::Ok | Status::NullMx => return Ok(Verdict::Dunno),
        Status::Policy => return filtered(e, name, "address or MX lookup error"),
        Status::Retry => {
            let text = fill!("<{}>: Helo command rejected: Host not found", name);
            return e.tempfail(&config.unknown_helo_hostname_tempfail_action, b"4.7.1", text);
        }
        Status::Invalid => "Malformed DNS server reply",
        Status::NotFound | Status::Fail => "Host not found",
    };
    let text = fill!("<{}>: Helo command rejected: {}", name, why);
    e.reject(ErrorClass::Policy, config.unknown_hostname_reject_code, b"4.7.1", &text)
}

/// Refuses a sender whose domain has neither mail server nor address.
pub(crate) fn reject_unknown_sender_domain(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    match e.facts.sender {
        Some(sender) if !sender.is_empty() => reject_unknown_address(e, Class::Sender, sender),
        _ => Ok(Verdict::Dunno),
    }
}

/// Refuses a recipient whose domain has neither mail server nor address.
pub(crate) fn reject_unknown_recipient_domain(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    match e.facts.recipient {
        Some(recipient) => reject_unknown_address(e, Class::Recipient, recipient),
        None => Ok(Verdict::Dunno),
    }
}

/// As Postfix: `reject_unknown_address()`.
fn reject_unknown_address(e: &mut Eval<'_>, class: Class, address: &[u8]) -> Outcome {
    // To find out about a sender we ask as if the recipient would send to it.
    let other = if class == Class::Sender { e.facts.recipient } else { e.facts.sender };
    let resolved = e.env.resolve.resolve(other.unwrap_or_default(), address);
    if resolved.has(Resolved::FLAG_FAIL) {
        return Err(e.lookup_failure(address));
    }
    let Some(domain) = domain(&resolved.recipient) else { return Ok(Verdict::Dunno) };
    let here = Resolved::CLASS_LOCAL | Resolved::CLASS_ALIAS | Resolved::CLASS_VIRTUAL;
    let is_literal = domain.starts_with(b"[") && domain.ends_with(b"]");
    if resolved.has(here) || is_literal {
        return Ok(Verdict::Dunno);
    }
    reject_unknown_mailhost(e, class, address, domain)
}

/// As Postfix: `reject_unknown_mailhost()`.
fn reject_unknown_mailhost(
    e: &mut Eval<'_>,
    class: Class,
    address: &[u8],
    domain: &[u8],
) -> Outcome {
    let domain = &*ascii(e, domain);
    let kinds = [Kind::MX, Kind::A, Kind::AAAA];
    let answer = e.dns(|dns| dns.lookup_each(domain, &kinds, settles));
    let rejected = |why: &[u8]| fill!("<{}>: {} rejected: {}", address, class.text(), why);
    let is_sender = class == Class::Sender;
    let dsn: &[u8] = if is_sender { b"4.1.8" } else { b"4.1.2" };
    let config = &e.policy.config;
    let why: &[u8] = match answer.status {
        Status::Ok => return Ok(Verdict::Dunno),
        Status::Policy => return filtered(e, domain, "MX or address lookup error"),
        Status::NullMx => {
            let why = fill!("Domain {} does not accept mail (nullMX)", domain);
            let (code, dsn): (_, &[u8]) =
                if is_sender { (550, b"4.7.27") } else { (556, b"4.1.10") };
            return e.reject(ErrorClass::Policy, code, dsn, &rejected(&why));
        }
        Status::Retry => {
            let text = rejected(b"Domain not found");
            return e.tempfail(&config.unknown_address_tempfail_action, dsn, text);
        }
        Status::Invalid => b"Malformed DNS server reply",
        Status::NotFound | Status::Fail => b"Domain not found",
    };
    e.reject(ErrorClass::Policy, config.unknown_address_reject_code, dsn, &rejected(why))
}

/// Whether no other type of record need be asked for.
fn settles(kind: Kind, status: Status) -> bool {
    matches!(status, Status::Ok | Status::Invalid | Status::NullMx)
        || (status == Status::Policy && kind == Kind::MX)
}

/// smtpd_dns_reply_filter has taken all that there is: nobody is refused for that.
fn filtered(e: &mut Eval<'_>, name: &[u8], what: &str) -> Outcome {
    e.warn(&fill!("{}: {}: DNS reply filter drops all results", name, what));
    Ok(Verdict::Dunno)
}

/// The form of a domain that is in DNS; what has none stays, and is not found.
pub(super) fn ascii<'d>(e: &mut Eval<'_>, domain: &'d [u8]) -> Cow<'d, [u8]> {
    if domain.is_ascii() {
        return Cow::Borrowed(domain);
    }
    match domain_to_ascii(domain) {
        Ok(ascii) => Cow::Owned(ascii),
        Err(bad) => {
            e.warn(bad.to_string().as_bytes());
            Cow::Borrowed(domain)
        }
    }
}
