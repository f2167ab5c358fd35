//! Restrictions by who the client is.

use std::rc::Rc;

use super::compile::Argument;
use super::eval::{At, Eval, Outcome, Stop, Verdict};
use super::lookup::{self, Keys};
use super::{Class, Facts};
use crate::config::Config;
use crate::config::dialect::Change;
use crate::log::Fatal;
use crate::mail::client::{Client, ErrorClass, NameStatus};
use crate::matchlist::{Kind, MatchList};
use crate::table::maps::Maps;
use crate::table::{Opener, Request, TableError};
use crate::text::printable::printable;

impl From<TableError> for Stop {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Retry => Self::Lookup,
            TableError::Config => Self::Configuration,
        }
    }
}

/// `yes` permits.
pub(crate) fn permit_if(yes: bool) -> Verdict {
    if yes { Verdict::Permit } else { Verdict::Dunno }
}

/// What permits clients, whoever asks: restrictions, or local_header_rewrite_clients.
pub(crate) struct Clients {
    pub(super) config: Rc<Config>,
    mynetworks: MatchList,
    /// What mynetworks would be by today's default, if compatibility_level keeps the old one.
    mynetworks_host: Option<MatchList>,
    pub(crate) relay_certificates: Maps,
    pub(crate) has_old_digest: bool,
}

impl Clients {
    pub(crate) fn open(config: &Rc<Config>, opener: &mut Opener) -> Result<Self, Fatal> {
        let list = |opener: &mut Opener, patterns: &[u8]| {
            MatchList::open(opener, config, "mynetworks", patterns, Kind::HostOrAddress)
        };
        let mynetworks = list(opener, &config.mynetworks)?;
        let mynetworks_host = if config.has_old_default("mynetworks_style") {
            Some(list(opener, &config.mynetworks_host)?)
        } else {
            None
        };
        let fold = Request { fold_fixed: true, ..Request::default() };
        Ok(Self {
            config: Rc::clone(config),
            mynetworks,
            mynetworks_host,
            relay_certificates: Maps::open(
                opener,
                "relay_clientcerts",
                &config.relay_clientcerts,
                fold,
            )?,
            has_old_digest: config.has_old_default("smtpd_tls_fingerprint_digest"),
        })
    }

    /// Whether the client connected from one of our own addresses (inet_interfaces).
    pub(crate) fn is_own_address(&self, client: &Client) -> bool {
        client.socket_addr.is_some_and(|addr| self.config.own_addresses.contains(&addr))
    }

    /// Whether the client is in mynetworks.
    pub(crate) fn is_in_mynetworks(&self, client: &Client) -> Result<bool, TableError> {
        if !self.mynetworks.matches_host(&client.name, &client.addr)? {
            return Ok(false);
        }
        if let Some(new_default) = &self.mynetworks_host {
            if new_default.matches_host(&client.name, &client.addr) != Ok(true) {
                info!(
                    "using backwards-compatible default setting mynetworks_style={} to permit \
                     request from client \"{}\"",
                    self.config.mynetworks_style, client.namaddr
                );
            }
        }
        Ok(true)
    }

    /// Whether the client has logged in, and not as anybody. As Postfix 3.7.11: what XCLIENT LOGIN
    /// says counts only where clients can log in.
    pub(crate) fn is_authenticated(&self, facts: &Facts<'_>) -> Result<bool, TableError> {
        if !self.config.has_logins() && !self.config.does(Change::XclientLoginPermits) {
            return Ok(false);
        }
        Ok(facts.login()?.is_some_and(|login| {
            !login.method.eq_ignore_ascii_case(b"anonymous")
                && (!login.implicit || self.config.smtpd_tls_ccert_authenticates)
        }))
    }
}

/// Permits our own addresses.
pub(crate) fn permit_inet_interfaces(e: &mut Eval<'_>) -> Outcome {
    Ok(permit_if(e.policy.clients.is_own_address(e.facts.client)))
}

/// Permits clients in mynetworks.
pub(crate) fn permit_mynetworks(e: &mut Eval<'_>) -> Outcome {
    Ok(permit_if(e.policy.clients.is_in_mynetworks(e.facts.client)?))
}

/// Permits clients that have logged in.
pub(crate) fn permit_sasl_authenticated(e: &mut Eval<'_>) -> Outcome {
    Ok(permit_if(e.policy.clients.is_authenticated(&e.facts)?))
}

/// Refuses a client whose name is not verified (RFC 7372).
pub(crate) fn reject_unknown_client_hostname(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    let client = e.facts.client;
    let code = match client.name_status {
        NameStatus::Ok => return Ok(Verdict::Dunno),
        NameStatus::Soft => 450,
        NameStatus::Hard | NameStatus::Forged => e.policy.config.unknown_client_reject_code,
    };
    let text = fill!("Client host rejected: cannot find your hostname, [{}]", client.addr);
    e.reject(ErrorClass::Policy, code, b"4.7.25", &text)
}

/// Refuses a client whose address has no name.
pub(crate) fn reject_unknown_reverse_client_hostname(e: &mut Eval<'_>, _: &At<'_>) -> Outcome {
    let client = e.facts.client;
    let code = match client.reverse_status {
        NameStatus::Ok => return Ok(Verdict::Dunno),
        NameStatus::Hard => e.policy.config.unknown_client_reject_code,
        NameStatus::Soft | NameStatus::Forged => 450,
    };
    let text = fill!("Client host rejected: cannot find your reverse hostname, [{}]", client.addr);
    e.reject(ErrorClass::Policy, code, b"4.7.1", &text)
}

/// Looks up the client's name, then its address.
pub(crate) fn check_client_access(e: &mut Eval<'_>, at: &At<'_>, argument: &Argument) -> Outcome {
    let client = e.facts.client;
    let at = at.about(Class::Client, &client.namaddr);
    lookup::name_and_address(e, argument, &client.name, &client.addr, &at)
}

/// Looks up the name that the client's address has, then the address.
pub(crate) fn check_reverse_client_hostname_access(
    e: &mut Eval<'_>,
    at: &At<'_>,
    argument: &Argument,
) -> Outcome {
    let client = e.facts.client;
    let at = at.about(Class::ReverseClient, &client.reverse_name);
    lookup::name_and_address(e, argument, &client.reverse_name, &client.addr, &at)
}

/// Looks up the name of who logged in.
pub(crate) fn check_sasl_access(e: &mut Eval<'_>, at: &At<'_>, argument: &Argument) -> Outcome {
    if !e.policy.config.has_logins() {
        warning!("restriction `check_sasl_access' ignored: no SASL support");
        return Ok(Verdict::Dunno);
    }
    let Some(login) = e.facts.login()?.filter(|login| !login.username.is_empty()) else {
        return Ok(Verdict::Dunno);
    };
    let name = printable(&login.username, b'_', e.policy.config.smtputf8_enable);
    let at = at.about(Class::Login, &name);
    let table = lookup::table(argument, "check_access");
    Ok(lookup::check(e, argument, table, Keys::Whole(&login.username), &at)?.verdict())
}
