//! Restrictions by sender or recipient address. Without one they say nothing.

use super::compile::Argument;
use super::eval::{At, Eval, Outcome, Verdict};
use super::helo::{is_full_name, without_last_dot};
use super::lookup::{self, FAILED, Keys};
use super::{Class, access};
use crate::ipc::rewrite::Resolved;
use crate::mail::address::domain;
use crate::mail::client::ErrorClass;
use crate::table::TableError;

/// Looks up the sender; the null sender as smtpd_null_access_lookup_key.
pub(crate) fn check_sender_access(e: &mut Eval<'_>, at: &At<'_>, argument: &Argument) -> Outcome {
    let Some(sender) = e.facts.sender else { return Ok(Verdict::Dunno) };
    let at = at.about(Class::Sender, sender);
    if !sender.is_empty() {
        return check_address(e, &at, argument, sender);
    }
    let policy = e.policy;
    let key = Keys::Whole(&policy.config.smtpd_null_access_lookup_key);
    let table = lookup::table(argument, "check_access");
    Ok(lookup::check(e, argument, table, key, &at)?.verdict())
}

/// Looks up the recipient.
pub(crate) fn check_recipient_access(
    e: &mut Eval<'_>,
    at: &At<'_>,
    argument: &Argument,
) -> Outcome {
    let Some(recipient) = e.facts.recipient else { return Ok(Verdict::Dunno) };
    let at = at.about(Class::Recipient, recipient);
    check_address(e, &at, argument, recipient)
}

/// As Postfix: `check_mail_access()`.
fn check_address(e: &mut Eval<'_>, at: &At<'_>, argument: &Argument, address: &[u8]) -> Outcome {
    // Who sends to whom: to find out about a sender we ask as if the recipient would send to it.
    let other = if at.class == Class::Sender { e.facts.recipient } else { e.facts.sender };
    let resolved = e.env.resolve.resolve(other.unwrap_or_default(), address);
    if resolved.has(Resolved::FLAG_FAIL) {
        return Err(e.lookup_failure(address));
    }
    let key = resolved.recipient.as_slice();
    if domain(key).is_none() {
        e.steady = false;
        warning!("check_mail_access: no @domain in address: {}", key);
        return Ok(Verdict::Dunno);
    }
    let value = match lookup::table(argument, "check_mail_access") {
        Some(table) => e.policy.addresses.find_access(table, key, e.policy.parent_domains),
        None => Err(TableError::Config),
    };
    let value = match value {
        Ok(None) => return Ok(Verdict::Dunno),
        Ok(Some(value)) => value,
        Err(_) => FAILED.to_vec(),
    };
    let verdict = access::apply(e, &argument.text, key, &value, at)?;
    // An address with a route in it gets nothing permitted: who knows where it goes.
    let suspicious = at.class == Class::Recipient
        && resolved.has(Resolved::FLAG_ROUTED)
        && !e.policy.config.allow_untrusted_routing;
    Ok(if suspicious { Verdict::Dunno } else { verdict })
}

/// Refuses a sender whose domain has no dot, or is none.
pub(crate) fn reject_non_fqdn_sender(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    match e.facts.sender {
        Some(sender) if !sender.is_empty() => reject_non_fqdn(e, Class::Sender, sender),
        _ => Ok(Verdict::Dunno),
    }
}

/// Refuses a recipient whose domain has no dot, or is none.
pub(crate) fn reject_non_fqdn_recipient(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    match e.facts.recipient {
        Some(recipient) => reject_non_fqdn(e, Class::Recipient, recipient),
        None => Ok(Verdict::Dunno),
    }
}

fn reject_non_fqdn(e: &mut Eval<'_>, class: Class, address: &[u8]) -> Outcome {
    let domain = domain(address).unwrap_or_default();
    let is_literal = domain.starts_with(b"[") && domain.ends_with(b"]");
    if is_literal || is_full_name(without_last_dot(domain), e.facts.smtputf8) {
        return Ok(Verdict::Dunno);
    }
    let text = fill!("<{}>: {} rejected: need fully-qualified address", address, class.text());
    e.reject(ErrorClass::Policy, e.policy.config.non_fqdn_reject_code, b"4.5.2", &text)
}
