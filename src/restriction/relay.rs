//! Restrictions by destination: whose mail we take at all.

use super::Class;
use super::client::permit_if;
use super::eval::{At, Eval, Outcome, Stop, Verdict};
use crate::config::dialect::Change;
use crate::ipc::rewrite::Resolved;
use crate::mail::address::domain;
use crate::mail::client::ErrorClass;

/// Permits what is delivered here, or relayed for relay_domains.
pub(crate) fn permit_auth_destination(e: &mut Eval<'_>) -> Outcome {
    match e.facts.recipient {
        Some(recipient) => is_authorized(e, recipient),
        None => Ok(Verdict::Dunno),
    }
}

/// Refuses what is neither delivered here nor relayed for relay_domains.
pub(crate) fn reject_unauth_destination(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    reject_unauthorized(e, e.policy.config.relay_domains_reject_code, b"5.7.1")
}

/// The same, for now.
pub(crate) fn defer_unauth_destination(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    let code = e.policy.config.relay_domains_reject_code.saturating_sub(100);
    reject_unauthorized(e, code, b"4.7.1")
}

fn reject_unauthorized(e: &mut Eval<'_>, code: i32, dsn: &[u8]) -> Outcome {
    let Some(recipient) = e.facts.recipient else { return Ok(Verdict::Dunno) };
    if is_authorized(e, recipient)? == Verdict::Permit {
        return Ok(Verdict::Dunno);
    }
    let text = fill!("<{}>: Relay access denied", recipient);
    e.reject(ErrorClass::Policy, code, dsn, &text)
}

/// Permits clients in relay_domains and authorized destinations, refuses all else. Old.
pub(crate) fn check_relay_domains(e: &mut Eval<'_>, _: &At<'_>, name: &[u8]) -> Outcome {
    let Some(recipient) = e.facts.recipient else { return Ok(Verdict::Dunno) };
    let policy = e.policy;
    if policy.config.does(Change::OldRestrictionsGone) {
        return Err(e.is_gone("check_relay_domains", "\"reject_unauth_destination\""));
    }
    if !policy.warned_of_check_relay_domains.replace(true) {
        warning!(
            "support for restriction \"check_relay_domains\" will be removed from {}; use \
             \"reject_unauth_destination\" instead",
            policy.config.mail_name
        );
    }
    let client = e.facts.client;
    let of_client = policy.relay_domains.matches_domain(&client.name).map_err(Stop::from)?;
    if of_client && policy.has_old_relay_domains {
        info!(
            "using backwards-compatible default setting relay_domains=$mydestination to permit \
             request from client \"{}\"",
            client.name
        );
    }
    if of_client || is_authorized(e, recipient)? == Verdict::Permit {
        e.log_permit(name, Class::Recipient, recipient, None);
        return Ok(Verdict::Permit);
    }
    let text = fill!("<{}>: Recipient address rejected: Relay access denied", recipient);
    e.reject(ErrorClass::Policy, policy.config.relay_domains_reject_code, b"5.7.1", &text)
}

/// As Postfix: `permit_auth_destination()`.
pub(super) fn is_authorized(e: &mut Eval<'_>, recipient: &[u8]) -> Outcome {
    Ok(permit_if(matches!(standing(e, recipient)?, Standing::Authorized)))
}

/// What a recipient is to this machine.
pub(super) enum Standing {
    /// Its mail is delivered here, or relayed for relay_domains.
    Authorized,
    /// It has a route in it: who knows where it goes.
    Routed,
    /// It is in this domain, which is not ours.
    Foreign(Vec<u8>),
}

/// Finds out what `recipient` is to this machine.
pub(super) fn standing(e: &mut Eval<'_>, recipient: &[u8]) -> Result<Standing, Stop> {
    let resolved = e.env.resolve.resolve(e.facts.sender.unwrap_or_default(), recipient);
    if resolved.has(Resolved::FLAG_FAIL) {
        return Err(e.lookup_failure(recipient));
    }
    let Some(domain) = domain(&resolved.recipient) else { return Ok(Standing::Authorized) };
    if resolved.has(Resolved::FLAG_ROUTED) && !e.policy.config.allow_untrusted_routing {
        return Ok(Standing::Routed);
    }
    let here = Resolved::CLASS_LOCAL | Resolved::CLASS_ALIAS | Resolved::CLASS_VIRTUAL;
    if resolved.has(here) {
        return Ok(Standing::Authorized);
    }
    if !resolved.has(Resolved::CLASS_RELAY) {
        return Ok(Standing::Foreign(domain.to_vec()));
    }
    if e.policy.has_old_relay_domains {
        info!(
            "using backwards-compatible default setting relay_domains=$mydestination to accept \
             mail for domain \"{}\"",
            domain
        );
    }
    Ok(Standing::Authorized)
}
