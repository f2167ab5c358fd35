//! Restrictions by who logged in: whose sender addresses are whose (smtpd_sender_login_maps).
//!
//! Where nobody can log in, they are ignored (rows.rs). Without a sender they say nothing.

use super::eval::{At, Eval, Outcome, Stop, Verdict};
use crate::config::Config;
use crate::ipc::rewrite::Resolved;
use crate::log::Fatal;
use crate::mail::client::ErrorClass;
use crate::table::maps::Maps;
use crate::table::{Opener, Request, TableError};
use crate::text::fold;
use crate::text::split::{COMMA_SPACE, words};

/// Whose addresses are whose.
pub(crate) struct Owners(Maps);

impl Owners {
    /// Opens smtpd_sender_login_maps.
    pub(crate) fn open(config: &Config, opener: &mut Opener) -> Result<Self, Fatal> {
        let list = &config.smtpd_sender_login_maps;
        Ok(Self(Maps::open(opener, "smtpd_sender_login_maps", list, Request::ACCESS)?))
    }
}

/// What is said of an address that nobody owns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unowned {
    Allowed,
    Refused,
}

/// Refuses a sender whose address somebody else owns, or nobody.
pub(crate) fn reject_authenticated_sender_login_mismatch(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    owned_by_login(e, Unowned::Refused)
}

/// Refuses a sender whose address somebody else owns, and a client that has not logged in if
/// somebody does.
pub(crate) fn reject_known_sender_login_mismatch(e: &mut Eval<'_>, at: &At<'_>) -> Outcome {
    if e.facts.login.is_some() {
        owned_by_login(e, Unowned::Allowed)
    } else {
        reject_unauthenticated_sender_login_mismatch(e, at)
    }
}

/// Refuses a sender whose address somebody owns, if the client has not logged in.
pub(crate) fn reject_unauthenticated_sender_login_mismatch(
    e: &mut Eval<'_>,
    _: &At<'_>,
) -> Outcome {
    let Some(sender) = sender(e) else { return Ok(Verdict::Dunno) };
    if e.facts.login.is_some() || owners(e, sender)?.is_none() {
        return Ok(Verdict::Dunno);
    }
    // It may be the owner's certificate.
    e.facts.login()?;
    let text = fill!("<{}>: Sender address rejected: not logged in", sender);
    e.reject(ErrorClass::Policy, 553, b"5.7.1", &text)
}

fn owned_by_login(e: &mut Eval<'_>, unowned: Unowned) -> Outcome {
    let Some(sender) = sender(e) else { return Ok(Verdict::Dunno) };
    let Some(login) = e.facts.login()? else { return Ok(Verdict::Dunno) };
    let owns = match owners(e, sender)? {
        None if unowned == Unowned::Allowed => return Ok(Verdict::Dunno),
        None => false,
        Some(owners) => is_among(&owners, &login.username, e.policy.config.smtputf8_enable),
    };
    if owns {
        return Ok(Verdict::Dunno);
    }
    let user = &login.username;
    let text = fill!("<{}>: Sender address rejected: not owned by user {}", sender, user);
    e.reject(ErrorClass::Policy, 553, b"5.7.1", &text)
}

fn sender<'e>(e: &Eval<'e>) -> Option<&'e [u8]> {
    e.facts.sender.filter(|sender| !sender.is_empty())
}

/// The list of those who own `sender`.
fn owners(e: &mut Eval<'_>, sender: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
    let resolved = e.env.resolve.resolve(e.facts.recipient.unwrap_or_default(), sender);
    if resolved.has(Resolved::FLAG_FAIL) {
        return Err(e.lookup_failure(sender));
    }
    let policy = e.policy;
    policy.addresses.find(&policy.owners.0, &resolved.recipient).map_err(|error| match error {
        TableError::Retry => e.lookup_failure(sender),
        TableError::Config => e.server_error(),
    })
}

fn is_among(list: &[u8], name: &[u8], utf8: bool) -> bool {
    words(list, COMMA_SPACE).any(|word| fold::same(word, name, utf8))
}
