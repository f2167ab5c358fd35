//! What the client, helo and sender lists have said to the first recipient of a message holds for
//! the others, where nobody could tell the difference.
//!
//! With smtpd_delay_reject Postfix asks these lists again for each recipient. Where they said
//! yes, logged nothing, did nothing, and asked only what can't change, they are not asked again.

use super::Facts;
use super::compile::{Act, Argument};
use crate::config::Config;
use crate::mail::client::{Client, Login};
use crate::text::split::{COMMA_SPACE, words_braced};
use crate::tls::TlsFacts;

/// Restrictions whose answer comes from the client, its HELO name, the sender, TLS and the login
/// alone, and which are silent where they don't refuse. What the DNS says of them is taken to hold as
/// long as the message is on its way.
const STEADY: &[&str] = &[
    "check_client_a_access",
    "check_client_access",
    "check_client_mx_access",
    "check_client_ns_access",
    "check_helo_a_access",
    "check_helo_access",
    "check_helo_mx_access",
    "check_helo_ns_access",
    "check_reverse_client_hostname_a_access",
    "check_reverse_client_hostname_access",
    "check_reverse_client_hostname_mx_access",
    "check_reverse_client_hostname_ns_access",
    "check_sender_a_access",
    "check_sender_access",
    "check_sender_mx_access",
    "check_sender_ns_access",
    "defer",
    "permit_inet_interfaces",
    "permit_mynetworks",
    "permit_sasl_authenticated",
    "reject",
    "reject_invalid_helo_hostname",
    "reject_invalid_hostname",
    "reject_non_fqdn_helo_hostname",
    "reject_non_fqdn_hostname",
    "reject_non_fqdn_sender",
    "reject_plaintext_session",
    "reject_rbl",
    "reject_rbl_client",
    "reject_rhsbl_client",
    "reject_rhsbl_helo",
    "reject_rhsbl_reverse_client",
    "reject_rhsbl_sender",
    "reject_unknown_address",
    "reject_unknown_client",
    "reject_unknown_client_hostname",
    "reject_unknown_helo_hostname",
    "reject_unknown_hostname",
    "reject_unknown_reverse_client_hostname",
    "reject_unknown_sender_domain",
];

/// Tables that are read once.
const STEADY_TABLES: &[&[u8]] = &[b"cidr", b"inline", b"pcre", b"regexp", b"static", b"texthash"];

/// Whether a step, while it does not refuse, says the same again to the same facts.
pub(crate) fn is_steady(name: &[u8], act: &Act, is_last: bool) -> bool {
    let has_name = || STEADY.iter().any(|row| row.as_bytes().eq_ignore_ascii_case(name));
    match act {
        Act::Plain(_) | Act::Permit(..) | Act::Last(..) | Act::DnsList(..) => has_name(),
        Act::Table(_, argument) | Act::Allowlist(_, argument) | Act::Servers(_, _, argument) => {
            has_name() && is_steady_table(argument)
        }
        Act::DefaultTable(argument) => is_steady_table(argument),
        // With something behind it, it warns each time.
        Act::PermitAll => is_last,
        // The steps of the class are looked at themselves.
        Act::Class(_) => true,
        Act::DnsAllowlist(..)
        | Act::WarnIfReject
        | Act::Sleep(_)
        | Act::Ignored(_)
        | Act::Broken(_)
        | Act::Missing(_) => false,
    }
}

fn is_steady_table(argument: &Argument) -> bool {
    argument.table.is_some() && STEADY_TABLES.contains(&kind(&argument.text))
}

/// `type` of `type:table`.
fn kind(table: &[u8]) -> &[u8] {
    table.split(|byte| *byte == b':').next().unwrap_or_default()
}

/// Whether main.cf has nothing that spoils the steady restrictions: an unlisted sender may be
/// listed a moment later, a permit by an old default is mentioned each time, and mynetworks may
/// have tables.
pub(crate) fn may_remember(config: &Config) -> bool {
    let is_steady_pattern = |word: &[u8]| {
        let pattern = word.strip_prefix(b"!").unwrap_or(word);
        !pattern.contains(&b':')
            || pattern.starts_with(b"[")
            || STEADY_TABLES.contains(&kind(pattern))
    };
    !config.smtpd_reject_unlisted_sender
        && !config.has_old_default("mynetworks_style")
        && words_braced(&config.mynetworks, COMMA_SPACE).all(is_steady_pattern)
}

/// All that steady restrictions look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    client: Client,
    helo: Option<Vec<u8>>,
    sender: Option<Vec<u8>>,
    tls: Option<TlsFacts>,
    login: Option<Login>,
    smtputf8: bool,
}

impl Remembered {
    pub(crate) fn new(facts: &Facts<'_>) -> Self {
        Self {
            client: facts.client.clone(),
            helo: facts.helo.map(<[u8]>::to_vec),
            sender: facts.sender.map(<[u8]>::to_vec),
            tls: facts.tls.cloned(),
            login: facts.login.cloned(),
            smtputf8: facts.smtputf8,
        }
    }

    /// Whether `facts` are the same.
    pub(crate) fn is(&self, facts: &Facts<'_>) -> bool {
        self.client == *facts.client
            && self.helo.as_deref() == facts.helo
            && self.sender.as_deref() == facts.sender
            && self.tls.as_ref() == facts.tls
            && self.login.as_ref() == facts.login
            && self.smtputf8 == facts.smtputf8
    }
}
