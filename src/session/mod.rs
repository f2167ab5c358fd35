//! One client, from greeting to goodbye.
//!
//! State has four lifetimes, each a struct of its own: [`Server`] (the process), [`Session`] with
//! [`Who`] (the connection), and [`Mail`](mail::Mail) (the transaction): RSET is `mail = None`.
#![forbid(unsafe_code)]

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use crate::config::Config;
use crate::dns::{Network, System};
use crate::identity::Identity;
use crate::log::Fatal;
use crate::mail::client::{Client, ErrorClass, Login};
use crate::mail::reply::Reply;
use crate::restriction::expand::Expander;
use crate::restriction::{Actions, Env, Facts, Memo, Refusal};
use crate::stream::{Connection, Patience, SmtpStream, StreamEnd, TimedFd};
use crate::text::printable::escaped;
use crate::tls::TlsFacts;
use crate::wire::message::BareNewline;

/// Refuses a command because the client broke the protocol.
macro_rules! protocol {
    ($($reply:tt)*) => {
        Err($crate::session::Stop::Refuse(
            reply!($($reply)*),
            Some($crate::mail::client::ErrorClass::Protocol),
        ))
    };
}

mod attribute;
mod auth;
mod bdat;
mod chat;
mod commands;
mod data;
mod ehlo;
mod esmtp;
mod etrn;
mod footer;
mod greeting;
mod haproxy;
mod helo;
mod limits;
mod mail;
mod notify;
pub mod peer;
mod probe;
mod received;
mod server;
mod starttls;
mod tally;
mod vrfy;
mod xclient;
mod xforward;

pub use server::Server;

use bdat::Chunks;
use chat::Chat;
use ehlo::Discard;
use mail::Mail;
use notify::Classes;
use tally::Tally;

/// Why a command has no `2xx`, or the session ends.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client gets this reply, and an error is counted.
    Refuse(Reply, Option<ErrorClass>),
    /// The connection is over: there is nobody to reply to.
    End(StreamEnd),
    /// The command went well, and its answer was given in another way.
    Silent,
    /// XCLIENT: the session begins anew, with another client.
    Restart,
    /// A table that we depend on cannot be asked: `421 4.3.0 … Server local data error`.
    Data,
    /// The session ends, and the log has said why.
    Quiet,
    /// This process ends.
    Fatal(Fatal),
}

impl From<StreamEnd> for Stop {
    fn from(end: StreamEnd) -> Self {
        Self::End(end)
    }
}

impl From<Fatal> for Stop {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        // HANGUP in an access table.
        if refusal.text.is_empty() {
            return Self::Quiet;
        }
        Self::Refuse(Reply::new(refusal.text), Some(refusal.class))
    }
}

/// What a session knows of its client.
pub(crate) struct Who {
    pub(crate) client: Client,
    /// The name in HELO or EHLO.
    pub(crate) helo: Option<Vec<u8>>,
    /// `SMTP` or `ESMTP`.
    pub(crate) protocol: &'static str,
    pub(crate) tls: Option<TlsFacts>,
    pub(crate) login: Option<Login>,
    /// Who the client is by its certificate.
    pub(crate) identity: Identity,
    /// The command in progress, or what came after it: for logs.
    pub(crate) place: &'static str,
    /// The client talked when it was not its turn.
    pub(crate) pipelined: bool,
}

/// The recipient, ETRN domain or name that a check is about.
#[derive(Default, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) helo: Option<&'a [u8]>,
    pub(crate) sender: Option<&'a [u8]>,
    pub(crate) recipient: Option<&'a [u8]>,
    pub(crate) etrn: Option<&'a [u8]>,
    pub(crate) smtputf8: bool,
}

/// One client's connection.
pub(crate) struct Session<'s> {
    pub(crate) server: &'s Server,
    pub(crate) chat: Chat<'s>,
    pub(crate) who: Who,
    /// The transaction: `None` before MAIL.
    pub(crate) mail: Option<Mail>,
    /// The transaction that the next reply ends.
    past_mail: Option<Mail>,
    /// SIZE= of the last MAIL command, accepted or not, until the next reset. As Postfix: a refused
    /// MAIL leaves it.
    pub(crate) announced_size: i64,
    /// AUTH= of the last MAIL command, accepted or not, until the next reset.
    pub(crate) auth_parameter: Option<Vec<u8>>,
    pub(crate) chunks: Chunks,
    pub(crate) memo: Memo,
    pub(crate) actions: Actions,
    pub(crate) tally: Tally,
    /// What went wrong since the last message or notice.
    pub(crate) blamed: Classes,
    pub(crate) bare_newline: BareNewline,
    pub(crate) discard: Discard,
    /// smtpd_discard_ehlo_keyword_address_maps could not be asked.
    pub(crate) discard_unknown: bool,
    /// The client was refused when it connected: this was the greeting.
    pub(crate) denied: Option<Vec<u8>>,
    pub(crate) xclient_allowed: bool,
    /// smtpd_authorized_xclient_hosts could not be asked.
    pub(crate) xclient_unknown: bool,
    pub(crate) xforward_allowed: bool,
    /// smtpd_authorized_xforward_hosts could not be asked.
    pub(crate) xforward_unknown: bool,
    /// What XFORWARD said of the next message, or of the one under way.
    pub(crate) forwarded: Option<Box<xforward::Forwarded>>,
    pub(crate) too_many_errors: bool,
    /// A line ended in LF alone, and the log is to say so (smtpd_forbid_bare_newline = note).
    pub(crate) noted_bare_newline: bool,
    /// How many transactions this session has begun.
    pub(crate) transactions: u32,
    /// Bytes of the content under way, in whole lines.
    pub(crate) content_size: u64,
    /// Bytes of the content under way, after its last whole line.
    pub(crate) content_rest: u64,
    /// Bytes of refused chunks that were thrown away in this transaction.
    pub(crate) skipped: u64,
}

/// What is known of the session now, for restrictions and expansions.
/// `auth`: AUTH= of MAIL.
fn facts<'a>(
    who: &'a Who,
    mail: Option<&'a Mail>,
    auth: Option<&'a [u8]>,
    about: About<'a>,
) -> Facts<'a> {
    Facts {
        place: who.place,
        queue_id: mail.and_then(Mail::queue_id),
        client: &who.client,
        protocol: who.protocol,
        helo: about.helo.or(who.helo.as_deref()),
        sender: about.sender.or(mail.map(|mail| mail.sender.as_slice())),
        recipient: about.recipient.or(mail.and_then(|mail| mail.recipient.as_deref())),
        recipient_count: mail.map_or(0, |mail| mail.count),
        etrn: about.etrn,
        tls: who.tls.as_ref(),
        login: who.login.as_ref(),
        sasl_sender: auth,
        login_unknown: match who.identity {
            Identity::Unknown(error) => Some(error),
            _ => None,
        },
        pipelined: who.pipelined,
        in_transaction: mail.is_some(),
        proxied: false,
        smtputf8: about.smtputf8 || mail.is_some_and(|mail| mail.smtputf8),
    }
}

/// One stage of the restrictions: `check!(self, check_helo, About { … })`.
macro_rules! check {
    ($s:expr, $stage:ident, $about:expr) => {{
        let Some(policy) = &$s.server.policy else { return Ok(()) };
        let auth = $s.auth_parameter.as_deref();
        let facts = facts(&$s.who, $s.mail.as_ref(), auth, $about);
        let server = &$s.server;
        let sleep = &crate::sys::pause::pause;
        let env = Env { resolve: &server.rewrite, dns: &server.dns, sleep };
        let result = policy.$stage(&env, &facts, &mut $s.memo, &mut $s.actions);
        $s.after_check(result)
    }};
}

impl<'s> Session<'s> {
    fn new(server: &'s Server, chat: Chat<'s>, client: Client) -> Self {
        let who = Who {
            client,
            helo: None,
            protocol: "SMTP",
            tls: None,
            login: None,
            identity: Identity::Nobody,
            place: "CONNECT",
            pipelined: false,
        };
        Self {
            server,
            chat,
            who,
            mail: None,
            past_mail: None,
            announced_size: 0,
            auth_parameter: None,
            chunks: Chunks::None,
            memo: Memo::default(),
            actions: Actions::default(),
            tally: Tally::new(),
            blamed: Classes::default(),
            bare_newline: BareNewline::Accept,
            discard: Discard::default(),
            discard_unknown: false,
            denied: None,
            xclient_allowed: false,
            xclient_unknown: false,
            xforward_allowed: false,
            xforward_unknown: false,
            forwarded: None,
            too_many_errors: false,
            noted_bare_newline: false,
            transactions: 0,
            content_size: 0,
            content_rest: 0,
            skipped: 0,
        }
    }

    pub(crate) fn config(&self) -> &'s Config {
        &self.server.config
    }

    /// Says one reply.
    pub(crate) fn say(&mut self, reply: &Reply) -> Result<(), Stop> {
        let past = self.past_mail.take();
        let mail = self.mail.as_ref().or(past.as_ref());
        let facts = facts(&self.who, mail, self.auth_parameter.as_deref(), About::default());
        let expander = Expander::new(&self.server.config, &facts);
        Ok(self.chat.say(reply.as_bytes(), self.tally.errors, &expander)?)
    }

    /// Remembers who is to blame (notify_classes).
    pub(crate) fn blame(&mut self, class: ErrorClass) {
        self.blamed.add(class);
    }

    /// Ends the transaction before its last reply is said: a footer may still name its addresses.
    pub(crate) fn end_mail(&mut self) {
        let past = self.mail.take();
        self.reset_mail();
        self.past_mail = past;
    }

    /// Ends the transaction, whatever its state: an open queue file is thrown away.
    pub(crate) fn reset_mail(&mut self) {
        self.mail = None;
        self.announced_size = 0;
        self.auth_parameter = None;
        self.chunks = Chunks::None;
        self.forwarded = None;
        self.actions = Actions::default();
        self.content_size = 0;
        self.content_rest = 0;
        self.skipped = 0;
    }

    /// HANGUP in an access table: the client hears nothing more.
    fn after_check(&mut self, result: Result<(), Refusal>) -> Result<(), Stop> {
        for class in std::mem::take(&mut self.memo.blamed) {
            self.blame(class);
        }
        if self.actions.hang_up {
            self.chat.stream.abandon();
            return Err(Stop::Quiet);
        }
        Ok(result?)
    }

    pub(crate) fn check_client(&mut self) -> Result<(), Stop> {
        check!(self, check_client, About::default())
    }

    pub(crate) fn check_helo(&mut self, name: &[u8]) -> Result<(), Stop> {
        check!(self, check_helo, About { helo: Some(name), ..About::default() })
    }

    pub(crate) fn check_sender(&mut self, sender: &[u8], smtputf8: bool) -> Result<(), Stop> {
        check!(self, check_sender, About { sender: Some(sender), smtputf8, ..About::default() })
    }

    pub(crate) fn check_recipient(&mut self, recipient: &[u8], smtputf8: bool) -> Result<(), Stop> {
        let about = About { recipient: Some(recipient), smtputf8, ..About::default() };
        check!(self, check_recipient, about)
    }

    pub(crate) fn check_etrn(&mut self, domain: &[u8]) -> Result<(), Stop> {
        check!(self, check_etrn, About { etrn: Some(domain), ..About::default() })
    }

    pub(crate) fn check_data(&mut self) -> Result<(), Stop> {
        check!(self, check_data, About::default())
    }

    pub(crate) fn check_end_of_data(&mut self) -> Result<(), Stop> {
        check!(self, check_end_of_data, About::default())
    }

    /// What is known now.
    pub(crate) fn facts<'a>(&'a self, about: About<'a>) -> Facts<'a> {
        facts(&self.who, self.mail.as_ref(), self.auth_parameter.as_deref(), about)
    }

    /// A log line in the form of refusals: `QID: reject: RCPT from name[addr]: why; from=<…> …`.
    pub(crate) fn log_refusal(&self, what: &str, text: &[u8], about: About<'_>) {
        let facts = self.facts(about);
        crate::restriction::log_event(&self.server.config, &facts, what, text);
    }

    /// A line that ends in LF without CR, where that is forbidden.
    pub(crate) fn refuse_bare_newline(&mut self) -> Result<(), Stop> {
        self.log_refusal("reject", b"bare <LF> received", About::default());
        self.blame(ErrorClass::Protocol);
        let reply = self.bare_newline_reply();
        self.say(&reply)
    }

    /// Remembers, for the last line of the log, that a line ended in LF alone.
    pub(crate) fn note_bare_newline(&mut self, seen: bool) {
        self.noted_bare_newline |= seen && self.bare_newline == BareNewline::Note;
    }

    pub(crate) fn bare_newline_reply(&self) -> Reply {
        let config = self.config();
        let code = config.smtpd_forbid_bare_newline_reject_code;
        reply!("{} 5.5.2 {} Error: bare <LF> received", code, config.myhostname)
    }

    /// Whether the client talks when it is not its turn, and that is forbidden. Looked at until it
    /// happens once (reject_unauth_pipelining).
    pub(crate) fn talks_too_early(&mut self) -> bool {
        if self.config().stand_alone || self.who.pipelined || !self.chat.stream.pending() {
            return false;
        }
        let said = escaped(commands::cut(self.chat.stream.unread(), 100));
        let (place, namaddr) = (self.who.place, &self.who.client.namaddr);
        info!("improper command pipelining after {} from {}: {}", place, namaddr, said);
        self.who.pipelined = true;
        self.config().smtpd_forbid_unauth_pipelining
    }
}

/// The process: what serves one client after the other.
pub struct Smtpd {
    server: Rc<Server>,
}

impl Smtpd {
    /// Reads and opens what needs privileges: tables, restrictions, certificates. The working
    /// directory is the queue directory.
    pub fn pre_jail(config: &Rc<Config>) -> Result<Self, Fatal> {
        Self::pre_jail_with(config, Box::<System>::default())
    }

    /// [`pre_jail`](Self::pre_jail) with another name service.
    pub fn pre_jail_with(config: &Rc<Config>, network: Box<dyn Network>) -> Result<Self, Fatal> {
        Ok(Self { server: Server::open(config, network)? })
    }

    /// Says where queue_minfree is too small to be of use.
    pub fn warn_of_space(&self) {
        self.server.warn_of_space();
    }

    /// A table or a file of TLS that has changed since it was opened, in words for the log.
    pub fn changed(&self) -> Option<Vec<u8>> {
        let table = self.server.opener.changed().map(|table| fill!("table {}", table));
        let renewal = self.server.renewal.as_ref();
        table.or_else(|| renewal.and_then(|renewal| renewal.due(crate::sys::time::now())))
    }

    /// Serves one client, to the end.
    pub fn serve(&mut self, connection: Connection) -> Result<(), Fatal> {
        self.server.notify_classes()?;
        let (client, origin) = peer::identify(&self.server.config, &connection)?;
        let patience = Patience::PerTransfer(self.server.config.smtpd_timeout);
        let fd = match connection.output {
            None => TimedFd::new(connection.fd, patience),
            Some(output) => TimedFd::of_pair(connection.fd, output, patience),
        };
        greeting::serve(&self.server, SmtpStream::new(fd), client, origin)
    }

    /// Serves one client of which all is known, to the end: the socket and the name service are not
    /// asked.
    pub fn serve_known(
        &self,
        fd: OwnedFd,
        client: Client,
        origin: peer::Origin,
    ) -> Result<(), Fatal> {
        let patience = Patience::PerTransfer(self.server.config.smtpd_timeout);
        let stream = SmtpStream::new(TimedFd::new(fd, patience));
        greeting::serve(&self.server, stream, client, origin)
    }

    /// Closes connections to other services whose time is over; when to come again.
    pub fn tend(&self, now: Instant) -> Option<Instant> {
        let tls = self.server.tls.as_ref().and_then(|tls| tls.tend(now));
        let links = [self.server.rewrite.tend(now), self.server.opener.tend(now), tls];
        links.into_iter().flatten().min()
    }
}
