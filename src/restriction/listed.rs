//! Unlisted senders and recipients: addresses in our own domains that are in no table.

use std::rc::Rc;

use super::Class;
use super::access::{fix_dsn, split_dsn};
use super::eval::{At, Eval, Outcome, Verdict};
use crate::config::Config;
use crate::ipc::rewrite::Resolved;
use crate::log::Fatal;
use crate::mail::client::ErrorClass;
use crate::table::maps::Maps;
use crate::table::{Opener, Request, TableError};
use crate::text::fold;
use crate::text::split::{COMMA_SPACE, words};

/// The tables that list who there is.
pub(crate) struct Listed {
    config: Rc<Config>,
    recipient_canonical: Maps,
    sender_canonical: Maps,
    canonical: Maps,
    virtual_alias: Maps,
    local: Maps,
    virtual_mailbox: Maps,
    relay: Maps,
    /// receive_override_options = no_unknown_recipient_checks
    off: bool,
}

impl Listed {
    pub(crate) fn open(config: &Rc<Config>, opener: &mut Opener) -> Result<Self, Fatal> {
        let mut open = |title: &str, spec: &[u8]| Maps::open(opener, title, spec, Request::ACCESS);
        Ok(Self {
            local: open("local_recipient_maps", &config.local_recipient_maps)?,
            sender_canonical: open("sender_canonical_maps", &config.sender_canonical_maps)?,
            recipient_canonical: open(
                "recipient_canonical_maps",
                &config.recipient_canonical_maps,
            )?,
            canonical: open("canonical_maps", &config.canonical_maps)?,
            virtual_alias: open("virtual_alias_maps", &config.virtual_alias_maps)?,
            virtual_mailbox: open("virtual_mailbox_maps", &config.virtual_mailbox_maps)?,
            relay: open("relay_recipient_maps", &config.relay_recipient_maps)?,
            off: words(&config.receive_override_options, COMMA_SPACE)
                .any(|word| word.eq_ignore_ascii_case(b"no_unknown_recipient_checks")),
            config: Rc::clone(config),
        })
    }

    /// Whether an address is rewritten to another: then that one decides, later.
    fn is_rewritten(&self, e: &Eval<'_>, class: Class, address: &[u8]) -> Result<bool, TableError> {
        let of_sender = [&self.sender_canonical];
        let of_sender = if class == Class::Sender { &of_sender[..] } else { &[] };
        let first = std::iter::once(&self.recipient_canonical).chain(of_sender.iter().copied());
        for maps in first.chain([&self.canonical, &self.virtual_alias]) {
            if e.policy.addresses.find(maps, address)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Which table must list an address of this class, with its code and its name in replies.
    fn table_of(&self, address: &Resolved) -> Option<(&Maps, i32, &'static str)> {
        let config = &self.config;
        if address.has(Resolved::CLASS_LOCAL) {
            let is_own = is_own_local_part(&address.recipient, config);
            let code = config.unknown_local_recipient_reject_code;
            return (!is_own).then_some((&self.local, code, "local recipient"));
        }
        if address.has(Resolved::CLASS_VIRTUAL) {
            let code = config.unknown_virtual_mailbox_reject_code;
            return Some((&self.virtual_mailbox, code, "virtual mailbox"));
        }
        if address.has(Resolved::CLASS_RELAY) {
            let code = config.unknown_relay_recipient_reject_code;
            return Some((&self.relay, code, "relay recipient"));
        }
        None
    }
}

/// Whether an address stands for Postfix itself: it need not be listed.
fn is_own_local_part(address: &[u8], config: &Config) -> bool {
    let Some(at) = memchr::memchr(b'@', address) else { return false };
    let utf8 = config.smtputf8_enable;
    let local = &address[..at];
    let own = [config.double_bounce_sender.as_slice(), b"postmaster", b"MAILER-DAEMON"];
    own.iter().any(|name| fold::same(name, local, utf8))
}

/// Refuses a sender in our domains that nobody has.
pub(crate) fn reject_unlisted_sender(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    match e.facts.sender {
        Some(sender) if !sender.is_empty() => check_sender(e, sender),
        _ => Ok(Verdict::Dunno),
    }
}

/// Refuses a recipient in our domains that nobody has.
pub(crate) fn reject_unlisted_recipient(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    match e.facts.recipient {
        Some(recipient) if !recipient.is_empty() => check_recipient(e, recipient),
        _ => Ok(Verdict::Dunno),
    }
}

/// Once for each sender; a check under warn_if_reject does not count.
pub(crate) fn check_sender(e: &mut Eval<'_>, sender: &[u8]) -> Outcome {
    if e.policy.listed.off || e.memo.sender_checked {
        return Ok(Verdict::Dunno);
    }
    e.memo.sender_checked = e.warn_if_reject == 0;
    check(e, Class::Sender, sender)
}

/// Once for each recipient; a check under warn_if_reject does not count.
pub(crate) fn check_recipient(e: &mut Eval<'_>, recipient: &[u8]) -> Outcome {
    if e.policy.listed.off || e.memo.recipient_checked {
        return Ok(Verdict::Dunno);
    }
    e.memo.recipient_checked = e.warn_if_reject == 0;
    check(e, Class::Recipient, recipient)
}

/// As Postfix: `check_rcpt_maps()`.
fn check(e: &mut Eval<'_>, class: Class, address: &[u8]) -> Outcome {
    let policy = e.policy;
    let listed = &policy.listed;
    let is_sender = class == Class::Sender;
    let other = if is_sender { e.facts.recipient } else { e.facts.sender };
    let resolved = e.env.resolve.resolve(other.unwrap_or_default(), address);
    if resolved.has(Resolved::FLAG_FAIL) {
        return Err(e.lookup_failure(address));
    }
    let rewritten = listed.is_rewritten(e, class, &resolved.recipient);
    if rewritten.map_err(|error| failed(e, address, error))? {
        return Ok(Verdict::Dunno);
    }

    // Postfix resolves what nobody can have to the error transport.
    if resolved.transport == b"error" {
        let code = if resolved.has(Resolved::CLASS_ALIAS) {
            policy.config.unknown_virtual_alias_reject_code
        } else {
            550
        };
        let dsn: &[u8] = if is_sender { b"5.1.0" } else { b"5.1.1" };
        return reject_by_transport(e, class, address, code, dsn, &resolved.nexthop);
    }
    if resolved.transport == b"retry" {
        let dsn: &[u8] = if is_sender { b"4.1.0" } else { b"4.1.1" };
        return reject_by_transport(e, class, address, 450, dsn, &resolved.nexthop);
    }

    if let Some((maps, code, name)) = listed.table_of(&resolved) {
        let found = maps.is_empty() || {
            let found = policy.addresses.find(maps, &resolved.recipient);
            found.map_err(|error| failed(e, address, error))?.is_some()
        };
        if !found {
            let dsn: &[u8] = if is_sender { b"5.1.0" } else { b"5.1.1" };
            let mut text = fill!("<{}>: {} rejected: User unknown", address, class.text());
            if policy.config.show_user_unknown_table_name {
                text.extend_from_slice(&fill!(" in {} table", name));
            }
            return e.reject(ErrorClass::Bounce, code, dsn, &text);
        }
    }
    if resolved.has(Resolved::CLASS_RELAY) && policy.has_old_relay_domains {
        info!(
            "using backwards-compatible default setting relay_domains=$mydestination to accept \
             mail for address \"{}\"",
            address
        );
    }
    Ok(Verdict::Dunno)
}

fn failed(e: &mut Eval<'_>, address: &[u8], error: TableError) -> super::eval::Stop {
    match error {
        TableError::Retry => e.lookup_failure(address),
        TableError::Config => e.server_error(),
    }
}

/// Refuses with the text of the error or retry transport.
fn reject_by_transport(
    e: &mut Eval<'_>,
    class: Class,
    address: &[u8],
    code: i32,
    dsn: &[u8],
    nexthop: &[u8],
) -> Outcome {
    let (dsn, text) = split_dsn(dsn, nexthop);
    let dsn = fix_dsn(dsn, class);
    let text = fill!("<{}>: {} rejected: {}", address, class.text(), text);
    e.reject(ErrorClass::Bounce, code, &dsn, &text)
}
