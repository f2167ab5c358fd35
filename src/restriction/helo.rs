//! Restrictions by the name in HELO or EHLO. Before that command they say nothing.

use super::Class;
use super::compile::Argument;
use super::eval::{At, Eval, Outcome, Verdict};
use super::lookup::{self, Keys};
use crate::config::dialect::Change;
use crate::mail::client::ErrorClass;
use crate::mail::hostname::{domain_to_ascii, mail_address, valid_address, valid_hostname};

/// Looks up the name and its parent domains.
pub(crate) fn check_helo_access(e: &mut Eval<'_>, at: &At<'_>, argument: &Argument) -> Outcome {
    let Some(name) = e.facts.helo else { return Ok(Verdict::Dunno) };
    let at = at.about(Class::Helo, name);
    let table = lookup::table(argument, "check_domain_access");
    Ok(lookup::check(e, argument, table, Keys::Domain(name), &at)?.verdict())
}

/// Refuses a name that is none. An address without brackets is taken for one.
pub(crate) fn reject_invalid_helo_hostname(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    let Some(name) = e.facts.helo else { return Ok(Verdict::Dunno) };
    if name.first() == Some(&b'[') {
        return reject_invalid_literal(e, name);
    }
    let test = without_last_dot(name);
    if valid_hostname(test).is_ok() || valid_address(test).is_ok() {
        return Ok(Verdict::Dunno);
    }
    let code = e.policy.config.invalid_hostname_reject_code;
    let text = fill!("<{}>: Helo command rejected: Invalid name", name);
    e.reject(ErrorClass::Policy, code, b"5.5.2", &text)
}

/// Refuses a name without dot, or that is none.
pub(crate) fn reject_non_fqdn_helo_hostname(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    let Some(name) = e.facts.helo else { return Ok(Verdict::Dunno) };
    if name.first() == Some(&b'[') {
        return reject_invalid_literal(e, name);
    }
    if is_full_name(without_last_dot(name), e.facts.smtputf8) {
        return Ok(Verdict::Dunno);
    }
    let code = e.policy.config.non_fqdn_reject_code;
    let text = fill!("<{}>: Helo command rejected: need fully-qualified hostname", name);
    e.reject(ErrorClass::Policy, code, b"5.5.2", &text)
}

/// Permits a client that gives an address without brackets.
pub(crate) fn permit_naked_ip_address(e: &mut Eval<'_>) -> Outcome {
    if e.policy.config.does(Change::OldRestrictionsGone) {
        let instead = "\"permit_mynetworks\" or \"permit_sasl_authenticated\"";
        return Err(e.is_gone("permit_naked_ip_address", instead));
    }
    warning!(
        "restriction permit_naked_ip_address is deprecated. Use permit_mynetworks or \
         permit_sasl_authenticated instead"
    );
    let Some(name) = e.facts.helo else { return Ok(Verdict::Dunno) };
    if !name.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b':')) {
        return Ok(Verdict::Dunno);
    }
    reject_invalid_literal(e, name)?;
    Ok(Verdict::Permit)
}

/// Refuses an address literal that is none.
pub(super) fn reject_invalid_literal(e: &mut Eval<'_>, name: &[u8]) -> Outcome {
    let inside = name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let address = inside.filter(|inside| !inside.is_empty()).unwrap_or(name);
    if mail_address(address).is_ok() {
        return Ok(Verdict::Dunno);
    }
    let code = e.policy.config.invalid_hostname_reject_code;
    let text = fill!("<{}>: Helo command rejected: invalid ip address", name);
    e.reject(ErrorClass::Policy, code, b"5.5.2", &text)
}

/// Whether `name` is a host name with a dot in it. Without SMTPUTF8 it is ASCII.
pub(crate) fn is_full_name(name: &[u8], smtputf8: bool) -> bool {
    let valid = if smtputf8 && !name.is_ascii() {
        domain_to_ascii(name).map(drop).inspect_err(|bad| warning!("{}", bad.to_string()))
    } else {
        valid_hostname(name)
    };
    valid.is_ok() && name.contains(&b'.')
}

/// `name` without the dot at its end; two dots stay.
pub(crate) fn without_last_dot(name: &[u8]) -> &[u8] {
    match name {
        [head @ .., last, b'.'] if *last != b'.' => &name[..head.len() + 1],
        _ => name,
    }
}
