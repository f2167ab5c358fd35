//! Restrictions for any list.

use super::eval::{At, Eval, Outcome, Verdict};
use crate::mail::client::ErrorClass;

/// Refuses whatever comes this far.
pub(crate) fn reject(e: &mut Eval<'_>, at: &At<'_>, _: &[u8]) -> Outcome {
    let text = fill!("<{}>: {} rejected: Access denied", at.name, at.class.text());
    e.reject(ErrorClass::Policy, e.policy.config.reject_code, b"5.7.1", &text)
}

/// Refuses whatever comes this far, for now.
pub(crate) fn defer(e: &mut Eval<'_>, at: &At<'_>, _: &[u8]) -> Outcome {
    let text = fill!("<{}>: {} rejected: Try again later", at.name, at.class.text());
    e.reject(ErrorClass::Policy, e.policy.config.defer_code, b"4.3.2", &text)
}

/// Refuses for now what all else permits.
pub(crate) fn defer_if_permit(e: &mut Eval<'_>, at: &At<'_>) -> Outcome {
    let text = fill!("<{}>: {} rejected: defer_if_permit requested", at.name, at.class.text());
    e.defer_if_permit(450, b"4.7.0", text)
}

/// Refuses only for now what a later restriction refuses.
pub(crate) fn defer_if_reject(e: &mut Eval<'_>, at: &At<'_>) -> Outcome {
    let text = fill!("<{}>: {} rejected: defer_if_reject requested", at.name, at.class.text());
    e.defer_if_reject(450, b"4.7.0", text)
}

/// Refuses a client that did not wait for our replies where it must.
pub(crate) fn reject_unauth_pipelining(e: &mut Eval<'_>, at: &At<'_>) -> Outcome {
    if !e.facts.pipelined {
        return Ok(Verdict::Dunno);
    }
    let text = fill!(
        "<{}>: {} rejected: Improper use of SMTP command pipelining",
        at.name,
        at.class.text()
    );
    e.reject(ErrorClass::Protocol, 503, b"5.5.0", &text)
}

/// Refuses a session without TLS.
pub(crate) fn reject_plaintext_session(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    if e.facts.tls.is_some() {
        return Ok(Verdict::Dunno);
    }
    let code = e.policy.config.plaintext_reject_code;
    e.reject(ErrorClass::Policy, code, b"4.7.1", b"Session encryption is required")
}

/// Refuses a bounce to more than one recipient: no legitimate mail is that.
pub(crate) fn reject_multi_recipient_bounce(e: &mut Eval<'_>, at: &At<'_>) -> Outcome {
    // At RCPT the recipient in question is not yet counted.
    let allowed = usize::from(e.facts.place != "RCPT");
    if e.facts.sender != Some(b"") || e.facts.recipient_count <= allowed {
        return Ok(Verdict::Dunno);
    }
    let text = fill!("<{}>: {} rejected: Multi-recipient bounce", at.name, at.class.text());
    let code = e.policy.config.multi_recipient_bounce_reject_code;
    e.reject(ErrorClass::Policy, code, b"5.5.3", &text)
}
