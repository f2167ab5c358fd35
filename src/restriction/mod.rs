//! Restrictions: who may send what to whom (SMTPD_ACCESS_README).
//!
//! This layer knows no session: it gets [`Facts`], and says yes or refuses at each stage. What an
//! access table asks to be done with the message goes to [`Actions`].
//!
//! | stage | what is asked with smtpd_delay_reject | without |
//! | --- | --- | --- |
//! | connect | | client list |
//! | HELO, EHLO | | helo list |
//! | MAIL | | sender list |
//! | RCPT, VRFY | client, helo, sender, relay and recipient lists | relay and recipient lists |
//! | ETRN | client, helo, etrn lists | etrn list |
//! | DATA, BDAT | data list | data list |
//! | end of data | end_of_data list | end_of_data list |
//!
//! A list is compiled before the chroot (`compile.rs`), from the rows of THE TABLE (`rows.rs`),
//! and evaluated often (`eval.rs`). The lists of `client`, `helo` and `sender` are asked again for
//! each recipient.
#![forbid(unsafe_code)]

mod access;
mod address;
mod basic;
mod certificate;
mod client;
mod compile;
mod dnsbl;
mod eval;
pub mod expand;
mod helo;
mod listed;
mod login;
mod lookup;
mod mx_backup;
mod nameserver;
mod relay;
mod remembered;
pub(crate) mod review;
pub mod rewrite_clients;
mod rows;
#[cfg(test)]
mod tests;
mod unknown;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use client::Clients;
use compile::{Classes, Compiler, List, Tables};
use dnsbl::Answers;
use eval::{At, Deferral, Eval, Outcome, Stop, Verdict};
use listed::Listed;
use login::Owners;
use mx_backup::MxBackup;
use remembered::Remembered;

use crate::config::Config;
use crate::config::dialect::Change;
use crate::dns::Dns;
use crate::ipc::rewrite::Resolve;
use crate::log::Fatal;
use crate::mail::address::LogForm;
use crate::mail::client::{Client, ErrorClass, Login};
use crate::matchlist::{self, Kind, MatchList};
use crate::table::address::AddressSearch;
use crate::table::maps::Maps;
use crate::table::{Opener, Request, TableError};
use crate::tls::TlsFacts;

/// What may be known of a session at the time of a check.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The command in progress, for logs: `CONNECT`, `RCPT`, `END-OF-MESSAGE`.
    pub place: &'static str,
    /// The queue id, once there is one.
    pub queue_id: Option<&'a [u8]>,
    /// Who talks to us.
    pub client: &'a Client,
    /// `SMTP` or `ESMTP`.
    pub protocol: &'a str,
    /// The name in HELO or EHLO.
    pub helo: Option<&'a [u8]>,
    /// The sender, internal form; `Some("")` is the null sender.
    pub sender: Option<&'a [u8]>,
    /// The recipient being checked, else the first that was accepted; internal form.
    pub recipient: Option<&'a [u8]>,
    /// How many recipients were accepted so far.
    pub recipient_count: usize,
    /// The domain in ETRN.
    pub etrn: Option<&'a [u8]>,
    /// TLS, if it is on.
    pub tls: Option<&'a TlsFacts>,
    /// Who logged in.
    pub login: Option<&'a Login>,
    /// AUTH= of MAIL, as it came.
    pub sasl_sender: Option<&'a [u8]>,
    /// Why it is not known whose certificate the client has.
    pub login_unknown: Option<TableError>,
    /// The client pipelined where it must not.
    pub pipelined: bool,
    /// A message is on its way (MAIL was accepted).
    pub in_transaction: bool,
    /// A before-queue filter is in use (smtpd_proxy_filter).
    pub proxied: bool,
    /// The client asked for SMTPUTF8.
    pub smtputf8: bool,
}

impl<'a> Facts<'a> {
    /// Who logged in; an error where a certificate may be somebody's, and nobody can say whose.
    pub(crate) fn login(&self) -> Result<Option<&'a Login>, TableError> {
        match (self.login, self.login_unknown) {
            (None, Some(error)) => Err(error),
            (login, _) => Ok(login),
        }
    }
}

/// A refusal: the reply is complete, and has been logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whom notify_classes blames.
    pub class: ErrorClass,
    /// The reply: `554 5.7.1 <x>: Relay access denied`.
    pub text: Vec<u8>,
}

/// What access(5) actions ask to be done with the message. Lives as long as the transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actions {
    /// HOLD: put the message into the hold queue.
    pub hold: bool,
    /// DISCARD: throw the message away; no more restrictions are asked.
    pub discard: bool,
    /// FILTER transport:destination, the last one.
    pub filter: Option<Vec<u8>>,
    /// REDIRECT, the last one.
    pub redirect: Option<Vec<u8>>,
    /// BCC, all.
    pub bcc: Vec<Vec<u8>>,
    /// PREPEND, all.
    pub prepend: Vec<Vec<u8>>,
    /// HANGUP: drop the connection.
    pub hang_up: bool,
}

/// Whom the log names END-OF-MESSAGE, as Postfix does.
pub(crate) const END_OF_DATA: &str = "END-OF-MESSAGE";

/// What a refusal is about, in replies and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Client,
    ReverseClient,
    Certificate,
    Login,
    Helo,
    Sender,
    Recipient,
    Etrn,
    Data,
    EndOfData,
}

impl Class {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Client => "Client host",
            Self::ReverseClient => "Unverified Client host",
            Self::Certificate => "Client certificate",
            Self::Login => "SASL login name",
            Self::Helo => "Helo command",
            Self::Sender => "Sender address",
            Self::Recipient => "Recipient address",
            Self::Etrn => "Etrn command",
            Self::Data => "Data command",
            Self::EndOfData => "End-of-data",
        }
    }
}

/// Services that restrictions ask.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// Where addresses go.
    pub resolve: &'a dyn Resolve,
    /// The domain name system.
    pub dns: &'a Dns,
    /// Waits, for the `sleep` restriction.
    pub sleep: &'a dyn Fn(Duration),
}

/// What one stage leaves for the next. Lives as long as the session.
///
/// As in Postfix: of defer_if_permit each stage keeps only whether it was set; code and text stay
/// those of who set it last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memo {
    /// defer_if_permit is set.
    pub(crate) defer_if_permit: bool,
    pub(crate) deferral: Option<Deferral>,
    after_client: bool,
    after_helo: bool,
    after_sender: bool,
    /// reject_unlisted_sender has been asked about this sender.
    pub(crate) sender_checked: bool,
    /// reject_unlisted_recipient has been asked about this recipient.
    pub(crate) recipient_checked: bool,
    /// Client, helo and sender lists have said yes to this.
    remembered: Option<Remembered>,
    /// What went wrong, for notify_classes: warnings of warn_if_reject too, which make no
    /// [`Refusal`]. Whoever reads it empties it.
    pub blamed: Vec<ErrorClass>,
}

impl Memo {
    pub(crate) fn blame(&mut self, class: ErrorClass) {
        if !self.blamed.contains(&class) {
            self.blamed.push(class);
        }
    }
}

/// The restrictions of this process, compiled.
pub struct Policy {
    pub(crate) config: Rc<Config>,
    client: List,
    helo: List,
    sender: List,
    relay: List,
    recipient: List,
    etrn: List,
    data: List,
    end_of_data: List,
    pub(crate) classes: Vec<List>,
    pub(crate) class_names: Classes,
    /// Lists that stood in access tables.
    pub(crate) entry_lists: RefCell<BTreeMap<Vec<u8>, Rc<List>>>,
    pub(crate) clients: Clients,
    pub(crate) listed: Listed,
    pub(crate) owners: Owners,
    pub(crate) relay_domains: MatchList,
    pub(crate) mx_backup: MxBackup,
    /// rbl_reply_maps
    pub(crate) list_replies: Maps,
    /// What lists in DNS have answered.
    pub(crate) answers: Answers,
    permit_log: MatchList,
    /// Keys of address tables: access(5), and tables of recipients.
    pub(crate) addresses: AddressSearch,
    /// smtpd_access_maps in parent_domain_matches_subdomains.
    pub(crate) parent_domains: bool,
    /// relay_domains is $mydestination only because of compatibility_level.
    pub(crate) has_old_relay_domains: bool,
    /// smtpd_relay_restrictions is empty only because of compatibility_level.
    has_old_relay_restrictions: bool,
    has_old_relay_order: bool,
    pub(crate) warned_of_check_relay_domains: Cell<bool>,
    pub(crate) warned_of_maps_rbl: Cell<bool>,
    pub(crate) warned_of_mx_backup: Cell<bool>,
    /// Some restriction looks up names of a client's certificate (search_order).
    looks_up_names: bool,
    /// See [`remembered`].
    may_remember: bool,
}

/// What smtpd_relay_restrictions would be by today's default, without the refusal at its end.
const TODAYS_RELAY_RESTRICTIONS: &[u8] =
    b"permit_mynetworks, permit_sasl_authenticated, permit_auth_destination";

impl Policy {
    /// Whether some restriction looks up names of a client's certificate.
    pub fn looks_up_names(&self) -> bool {
        self.looks_up_names
    }

    /// Compiles all lists and opens what they need; before the chroot. The order is Postfix's.
    pub fn compile(config: &Rc<Config>, opener: &mut Opener) -> Result<Box<Self>, Fatal> {
        let clients = Clients::open(config, opener)?;
        let relay_domains =
            MatchList::open(opener, config, "relay_domains", &config.relay_domains, Kind::Domain)?;
        let mx_backup = MxBackup::open(config, opener)?;
        let listed = Listed::open(config, opener)?;
        let list_replies =
            Maps::open(opener, "rbl_reply_maps", &config.rbl_reply_maps, Request::ACCESS)?;
        let owners = Owners::open(config, opener)?;
        let addresses = AddressSearch::open(config, opener)?;
        let parent_domains = matchlist::parents(opener, config, Some("smtpd_access_maps"))?;
        let class_names = Classes::read(config)?;
        let has_old_relay_restrictions = config.has_old_default("smtpd_relay_restrictions");
        let mut compiler = Compiler {
            classes: &class_names,
            tables: Some(Tables::new(opener)),
            logins: config.has_logins(),
        };
        let mut list = |text: &[u8]| compiler.list(text);
        let client = list(&config.smtpd_client_restrictions)?;
        let helo = list(&config.smtpd_helo_restrictions)?;
        let sender = list(&config.smtpd_sender_restrictions)?;
        let relay = list(if has_old_relay_restrictions {
            TODAYS_RELAY_RESTRICTIONS
        } else {
            &config.smtpd_relay_restrictions
        })?;
        let recipient = list(&config.smtpd_recipient_restrictions)?;
        let etrn = list(&config.smtpd_etrn_restrictions)?;
        let data = list(&config.smtpd_data_restrictions)?;
        let end_of_data = list(&config.smtpd_end_of_data_restrictions)?;
        let texts = class_names.texts.iter();
        let classes = texts.map(|text| list(text)).collect::<Result<Vec<_>, _>>()?;
        let looks_up_names = compiler.looks_up_names();
        compile::check_safety_net(config, &class_names)?;
        compile::check_tempfail_actions(config)?;
        let permit_log = MatchList::open(
            opener,
            config,
            "smtpd_log_access_permit_actions",
            &config.smtpd_log_access_permit_actions,
            Kind::String,
        )?;
        // Where nothing is asked there is nothing to remember.
        let asks = [&client, &helo, &sender].iter().any(|list| !list.is_empty());
        Ok(Box::new(Self {
            client,
            helo,
            sender,
            relay,
            recipient,
            etrn,
            data,
            end_of_data,
            classes,
            class_names,
            entry_lists: RefCell::default(),
            clients,
            listed,
            owners,
            relay_domains,
            mx_backup,
            list_replies,
            answers: Answers::default(),
            permit_log,
            addresses,
            parent_domains,
            has_old_relay_domains: config.has_old_default("relay_domains"),
            has_old_relay_restrictions,
            has_old_relay_order: config
                .has_old_default("smtpd_relay_before_recipient_restrictions"),
            warned_of_check_relay_domains: Cell::new(false),
            warned_of_maps_rbl: Cell::new(false),
            warned_of_mx_backup: Cell::new(false),
            looks_up_names,
            may_remember: asks && remembered::may_remember(config),
            config: Rc::clone(config),
        }))
    }

    /// When a client connects. With smtpd_delay_reject this waits for the recipient.
    pub fn check_client(
        &self,
        env: &Env<'_>,
        facts: &Facts<'_>,
        memo: &mut Memo,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        if self.config.smtpd_delay_reject {
            return Ok(());
        }
        settled(self.client_stage(&mut Eval::new(self, env, facts, memo, actions)))
    }

    /// At HELO or EHLO; `facts.helo` is the new name. With smtpd_delay_reject this waits for the
    /// recipient.
    pub fn check_helo(
        &self,
        env: &Env<'_>,
        facts: &Facts<'_>,
        memo: &mut Memo,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        if self.config.smtpd_delay_reject {
            return Ok(());
        }
        settled(self.helo_stage(&mut Eval::new(self, env, facts, memo, actions)))
    }

    /// At MAIL; `facts.sender` is the sender in question. With smtpd_delay_reject this waits for
    /// the recipient.
    pub fn check_sender(
        &self,
        env: &Env<'_>,
        facts: &Facts<'_>,
        memo: &mut Memo,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        if self.config.smtpd_delay_reject {
            return Ok(());
        }
        settled(self.sender_stage(&mut Eval::new(self, env, facts, memo, actions)))
    }

    /// At RCPT or VRFY; `facts.recipient` is the recipient in question.
    pub fn check_recipient(
        &self,
        env: &Env<'_>,
        facts: &Facts<'_>,
        memo: &mut Memo,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        settled(self.recipient_stage(&mut Eval::new(self, env, facts, memo, actions)))
    }

    /// At ETRN; `facts.etrn` is the domain in question.
    pub fn check_etrn(
        &self,
        env: &Env<'_>,
        facts: &Facts<'_>,
        memo: &mut Memo,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        settled(self.etrn_stage(&mut Eval::new(self, env, facts, memo, actions)))
    }

    /// At DATA, or the first BDAT.
    pub fn check_data(
        &self,
        env: &Env<'_>,
        facts: &Facts<'_>,
        memo: &mut Memo,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let at = At { name: b"DATA", class: Class::Data, default: None };
        let eval = &mut Eval::new(self, env, facts, memo, actions);
        settled(self.message_stage(eval, &self.data, &at))
    }

    /// When all of the message is there.
    pub fn check_end_of_data(
        &self,
        env: &Env<'_>,
        facts: &Facts<'_>,
        memo: &mut Memo,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let at = At { name: END_OF_DATA.as_bytes(), class: Class::EndOfData, default: None };
        let eval = &mut Eval::new(self, env, facts, memo, actions);
        settled(self.message_stage(eval, &self.end_of_data, &at))
    }

    /// As Postfix: `smtpd_check_client()`.
    fn client_stage(&self, e: &mut Eval<'_>) -> Outcome {
        e.memo.defer_if_permit = false;
        e.reset();
        let outcome = e.run(&self.client, &e.list(Class::Client, client::check_client_access));
        e.memo.after_client = e.memo.defer_if_permit;
        outcome
    }

    /// As Postfix: `smtpd_check_helo()`.
    fn helo_stage(&self, e: &mut Eval<'_>) -> Outcome {
        if e.facts.helo.is_none() {
            return Ok(Verdict::Dunno);
        }
        e.memo.defer_if_permit = e.memo.after_client;
        e.reset();
        let outcome = e.run(&self.helo, &e.list(Class::Helo, helo::check_helo_access));
        e.memo.after_helo = e.memo.defer_if_permit;
        outcome
    }

    /// As Postfix: `smtpd_check_mail()`.
    fn sender_stage(&self, e: &mut Eval<'_>) -> Outcome {
        let Some(sender) = e.facts.sender else { return Ok(Verdict::Dunno) };
        e.memo.defer_if_permit = e.memo.after_client || e.memo.after_helo;
        e.memo.sender_checked = false;
        e.reset();
        let outcome = e.run(&self.sender, &e.list(Class::Sender, address::check_sender_access));
        e.memo.after_sender = e.memo.defer_if_permit;
        outcome?;
        if self.config.smtpd_reject_unlisted_sender && !e.actions.discard && !sender.is_empty() {
            listed::check_sender(e, sender)?;
        }
        Ok(Verdict::Dunno)
    }

    /// As Postfix: `smtpd_check_rcpt()`.
    fn recipient_stage(&self, e: &mut Eval<'_>) -> Outcome {
        let Some(recipient) = e.facts.recipient else { return Ok(Verdict::Dunno) };
        // Postmaster is taken without domain, always (RFC 5321, section 4.5.1).
        if recipient.eq_ignore_ascii_case(b"postmaster") {
            return Ok(Verdict::Dunno);
        }
        e.memo.recipient_checked = false;
        if self.config.smtpd_delay_reject {
            self.delayed_stages(e)?;
        }
        e.memo.defer_if_permit = e.memo.after_sender;
        e.reset();
        self.relay_and_recipient_lists(e, recipient)?;
        e.settle_defer_if_permit()?;
        if self.config.smtpd_reject_unlisted_recipient && !e.actions.discard {
            listed::check_recipient(e, recipient)?;
        }
        Ok(Verdict::Dunno)
    }

    /// The stages before MAIL's end, for one more recipient. What they have said before, and would
    /// say again without a word in the log, they are not asked again.
    fn delayed_stages(&self, e: &mut Eval<'_>) -> Outcome {
        if !e.actions.discard && e.memo.remembered.as_ref().is_some_and(|was| was.is(&e.facts)) {
            let memo = &mut *e.memo;
            (memo.after_client, memo.after_helo, memo.after_sender) = (false, false, false);
            memo.sender_checked = false;
            return Ok(Verdict::Dunno);
        }
        e.memo.remembered = None;
        e.steady = self.may_remember && !e.actions.discard;
        self.client_stage(e)?;
        self.helo_stage(e)?;
        self.sender_stage(e)?;
        let deferred = e.memo.after_client || e.memo.after_helo || e.memo.after_sender;
        if e.steady && !deferred {
            e.memo.remembered = Some(Remembered::new(&e.facts));
        }
        Ok(Verdict::Dunno)
    }

    /// Both lists: a permit in the first does not skip the second.
    fn relay_and_recipient_lists(&self, e: &mut Eval<'_>, recipient: &[u8]) -> Outcome {
        let at = e.list(Class::Recipient, address::check_recipient_access);
        if self.has_old_relay_restrictions {
            self.first_list(e, &self.recipient, recipient, &at)?;
            if e.run(&self.relay, &at)? == Verdict::Dunno {
                info!(
                    "using backwards-compatible default setting \"smtpd_relay_restrictions = \
                     (empty)\" to avoid \"Relay access denied\" error for recipient \"{}\" from \
                     client \"{}\"",
                    recipient, e.facts.client.namaddr
                );
            }
        } else if self.config.smtpd_relay_before_recipient_restrictions {
            self.first_list(e, &self.relay, recipient, &at)?;
            e.run(&self.recipient, &at)?;
        } else {
            self.first_list(e, &self.recipient, recipient, &at)?;
            e.run(&self.relay, &at)?;
        }
        Ok(Verdict::Dunno)
    }

    /// The first of both: what it refuses, the other might have, in today's order.
    fn first_list(&self, e: &mut Eval<'_>, list: &List, recipient: &[u8], at: &At<'_>) -> Outcome {
        let outcome = e.run(list, at);
        if self.has_old_relay_order && matches!(outcome, Err(Stop::Refused(_))) {
            info!(
                "using backwards-compatible default setting \
                 smtpd_relay_before_recipient_restrictions=no to reject recipient \"{}\" from \
                 client \"{}\"",
                recipient, e.facts.client.namaddr
            );
        }
        outcome
    }

    /// As Postfix: `smtpd_check_etrn()`.
    fn etrn_stage(&self, e: &mut Eval<'_>) -> Outcome {
        if e.facts.etrn.is_none() {
            return Ok(Verdict::Dunno);
        }
        if self.config.smtpd_delay_reject {
            self.client_stage(e)?;
            self.helo_stage(e)?;
        }
        e.memo.defer_if_permit = e.memo.after_client || e.memo.after_helo;
        e.reset();
        e.run(&self.etrn, &e.list(Class::Etrn, access::check_etrn_access))?;
        e.settle_defer_if_permit()
    }

    /// As Postfix: `smtpd_check_data()`, `smtpd_check_eod()`.
    fn message_stage(&self, e: &mut Eval<'_>, list: &List, at: &At<'_>) -> Outcome {
        // What is decided now is for all recipients: to name one would mislead.
        if e.facts.recipient_count > 1 {
            e.facts.recipient = None;
        }
        e.memo.defer_if_permit = false;
        e.reset();
        e.run(list, at)?;
        e.settle_defer_if_permit()
    }

    /// Whether smtpd_log_access_permit_actions has `action`.
    pub(crate) fn logs_permit(&self, action: &[u8]) -> bool {
        !self.config.smtpd_log_access_permit_actions.is_empty()
            && self.permit_log.matches_string(action).unwrap_or(false)
    }
}

/// The end of a stage. HANGUP refuses without a text: nobody will read one.
fn settled(outcome: Outcome) -> Result<(), Refusal> {
    match outcome {
        Ok(_) => Ok(()),
        Err(Stop::Refused(refusal)) => Err(refusal),
        Err(Stop::HangUp) => Err(Refusal { class: ErrorClass::Policy, text: Vec::new() }),
        // `Eval::run` has turned them into refusals.
        Err(Stop::Lookup | Stop::Configuration) => Err(Refusal {
            class: ErrorClass::Software,
            text: b"451 4.3.5 Server configuration error".to_vec(),
        }),
    }
}

/// Logs a decision with all that is known of the session:
/// `QID: reject: RCPT from name[addr]: text; from=<…> to=<…> proto=ESMTP helo=<…>`.
pub fn log_event(config: &Config, facts: &Facts<'_>, what: &str, text: &[u8]) {
    let form = LogForm::parse(&config.info_log_address_format).unwrap_or(LogForm::External);
    let queue_id = facts.queue_id.unwrap_or(b"NOQUEUE");
    let namaddr = &facts.client.namaddr;
    let mut line = fill!("{}: {}: {} from {}: {};", queue_id, what, facts.place, namaddr, text);
    if let Some(sender) = facts.sender {
        line.extend_from_slice(&fill!(" from=<{}>", form.of(sender)));
    }
    if let Some(recipient) = facts.recipient {
        line.extend_from_slice(&fill!(" to=<{}>", form.of(recipient)));
    }
    line.extend_from_slice(&fill!(" proto={}", facts.protocol));
    if let Some(helo) = facts.helo {
        line.extend_from_slice(&fill!(" helo=<{}>", helo));
    }
    log_login(config, facts, &mut line);
    info!("{}", line);
}

/// Who logged in, and for whom. Before 3.10, only where a certificate can be a login.
fn log_login(config: &Config, facts: &Facts<'_>, line: &mut Vec<u8>) {
    let all = config.does(Change::LoginInRefusals);
    if let Some(login) = facts.login.filter(|_| all || !config.smtpd_tls_ccert_user_maps.is_empty())
    {
        let (method, user) = (&login.method, &login.username);
        line.extend_from_slice(&fill!(" sasl_method={} sasl_username={}", method, user));
    }
    if let Some(sender) = facts.sasl_sender.filter(|_| all) {
        line.extend_from_slice(&fill!(" sasl_sender={}", sender));
    }
}
