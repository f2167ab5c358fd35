//! AUTH (RFC 4954), and who the client is by its certificate.
//!
//! There is one mechanism, EXTERNAL (RFC 4422, appendix A): the client says that its certificate
//! speaks for it. Most clients that have one do not say so, hence its user is the login without
//! AUTH, too.

use data_encoding::BASE64;

use super::commands::{Answer, Args};
use super::ehlo::Keyword;
use super::limits::Rate;
use super::{About, Session, Stop};
use crate::identity::{Condition, Entry, Identity};
use crate::mail::client::{ErrorClass, Login};
use crate::table::TableError;

/// The mechanism.
const EXTERNAL: &str = "EXTERNAL";
/// More of a mechanism's or user's name is not logged.
const LOGGED: usize = 100;

/// Why somebody could not log in.
struct Failure {
    reason: Vec<u8>,
    user: Option<Vec<u8>>,
    /// It may work later.
    temporary: bool,
}

impl Failure {
    fn of(reason: impl AsRef<[u8]>) -> Self {
        Self { reason: reason.as_ref().to_vec(), user: None, temporary: false }
    }

    fn of_user(entry: &Entry, reason: Vec<u8>) -> Self {
        Self { reason, user: Some(entry.user.clone()), temporary: false }
    }

    fn of_table(_: TableError) -> Self {
        let reason = b"a table of users cannot be asked".to_vec();
        Self { reason, user: None, temporary: true }
    }
}

/// AUTH mechanism [initial-response]
pub(crate) fn auth(s: &mut Session<'_>, args: &Args) -> Answer {
    if let Some(count) = s.over(Rate::Auth) {
        let client = &s.who.client;
        warning!(
            "AUTH command rate limit exceeded: {} from {} for service {}",
            count,
            client.namaddr,
            s.config().service_name
        );
        return Err(Stop::Refuse(
            reply!("450 4.7.1 Error: too many AUTH commands from {}", client.addr),
            Some(ErrorClass::Policy),
        ));
    }
    if s.config().smtpd_helo_required && s.who.helo.is_none() {
        return Err(Stop::Refuse(
            reply!("503 5.5.1 Error: send HELO/EHLO first"),
            Some(ErrorClass::Policy),
        ));
    }
    if s.config().stand_alone || !s.may_try() || s.discard.has(Keyword::Auth) {
        return protocol!("503 5.5.1 Error: authentication not enabled");
    }
    if s.mail.is_some() {
        return protocol!("503 5.5.1 Error: MAIL transaction in progress");
    }
    if s.who.login.as_ref().is_some_and(|login| !login.implicit) {
        return protocol!("503 5.5.1 Error: already authenticated");
    }
    if !(1..=2).contains(&args.count()) {
        return protocol!("501 5.5.4 Syntax: AUTH mechanism");
    }
    let mechanism = args.get(1).unwrap_or_default();
    match s.log_in(mechanism, args.get(2))? {
        Ok(username) => {
            s.who.login = Some(Login { method: EXTERNAL.into(), username, implicit: false });
            Ok(reply!("235 2.7.0 Authentication successful"))
        }
        Err(failure) => Err(s.refuse_login(mechanism, &failure)),
    }
}

fn is_external(mechanism: &[u8]) -> bool {
    mechanism.eq_ignore_ascii_case(EXTERNAL.as_bytes())
}

/// A name that a client gives, as it may stand in a line of the log between words of ours.
fn one_word(name: &[u8]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "@._-+/".contains(c);
    let name = String::from_utf8_lossy(&name[..name.len().min(LOGGED)]);
    name.chars().map(|c| if plain(c) { c } else { '?' }).collect()
}

impl Session<'_> {
    /// Whether AUTH is heard: where certificates are users, those of nobody fail in the log.
    fn may_try(&self) -> bool {
        self.who.tls.is_some() && self.server.users.is_some()
    }

    /// Whether AUTH is announced: the client's certificate is somebody's.
    pub(crate) fn may_log_in(&self) -> bool {
        self.who.tls.is_some() && self.who.identity != Identity::Nobody
    }

    /// After a handshake: who the client is by its certificate.
    pub(crate) fn identify(&mut self) {
        let Some(tls) = &self.who.tls else { return };
        let client = &self.who.client;
        if let Some(users) = &self.server.users {
            self.who.identity = users.identify(tls, &client.namaddr, &client.addr);
        }
        if let Some(hints) = &self.server.hints {
            hints.log(tls, &self.who.identity, &client.namaddr);
        }
        if self.forgets_login() {
            self.who.login = None;
        }
        if let Identity::User(entry) = &self.who.identity {
            self.who.login = Some(Login {
                method: EXTERNAL.into(),
                username: entry.user.clone(),
                implicit: true,
            });
        }
    }

    /// Whether a handshake ends a login from before it, that of XCLIENT: where a client could have
    /// logged in without TLS, as Postfix, and where its certificate says who it is.
    fn forgets_login(&self) -> bool {
        let config = self.config();
        self.server.users.is_some() || config.smtpd_sasl_auth_enable && !config.smtpd_tls_auth_only
    }

    /// The user who may log in. What the client does wrong in the dialogue is a [`Stop`].
    fn log_in(
        &mut self,
        mechanism: &[u8],
        initial: Option<&[u8]>,
    ) -> Result<Result<Vec<u8>, Failure>, Stop> {
        if !is_external(mechanism) {
            return Ok(Err(Failure::of("Invalid authentication mechanism")));
        }
        let (response, kind) = match initial {
            Some(response) => (response.to_vec(), "initial"),
            None => (self.ask(mechanism)?, "continued"),
        };
        // RFC 4954, section 4: a single `=` is an empty initial response.
        let response = if initial.is_some() && response == b"=" { Vec::new() } else { response };
        let Ok(wanted) = BASE64.decode(&response) else {
            let reason = fill!("Invalid base64 data in {} response", kind);
            return Ok(Err(Failure::of(reason)));
        };
        Ok(self.user_as(&wanted))
    }

    /// Lets the client answer an empty challenge.
    fn ask(&mut self, mechanism: &[u8]) -> Result<Vec<u8>, Stop> {
        self.say(&reply!("334 "))?;
        let limit = self.config().smtpd_sasl_response_limit;
        let said = self.chat.read_response(limit, &self.who.client.namaddr)?;
        if said.too_long {
            return Err(Stop::Refuse(reply!("500 5.5.6 SASL response limit exceeded"), None));
        }
        if said.line == b"*" {
            let mechanism = self.shown(mechanism);
            let namaddr = &self.who.client.namaddr;
            warning!("{}: SASL {} authentication aborted", namaddr, mechanism);
            return Err(Stop::Refuse(reply!("501 5.7.0 Authentication aborted"), None));
        }
        Ok(said.line)
    }

    /// The login of who wants to act as `wanted`; empty: as whom the certificate says.
    fn user_as(&self, wanted: &[u8]) -> Result<Vec<u8>, Failure> {
        let Some(users) = &self.server.users else { return Err(Failure::of("no certificate")) };
        let shown = self.who.tls.as_ref().is_some_and(|tls| tls.has_certificate);
        let entry = match &self.who.identity {
            Identity::User(entry) => entry,
            Identity::Nobody if shown => return Err(Failure::of("certificate is nobody's")),
            Identity::Nobody => return Err(Failure::of("no certificate")),
            Identity::Unknown(error) => return Err(Failure::of_table(*error)),
            Identity::Refused(entry, condition) => {
                let reason = condition.reason(entry, &self.who.client.addr);
                return Err(Failure::of_user(entry, reason));
            }
        };
        if wanted.is_empty() {
            return Ok(entry.user.clone());
        }
        match users.acts_as(&entry.user, wanted) {
            Ok(Some(user)) => Ok(user),
            Ok(None) => {
                let reason = fill!("certificate does not allow to act as {}", one_word(wanted));
                Err(Failure::of_user(entry, reason))
            }
            Err(error) => Err(Failure::of_table(error)),
        }
    }

    fn refuse_login(&self, mechanism: &[u8], failure: &Failure) -> Stop {
        let user = failure.user.as_deref().unwrap_or(b"(unavailable)");
        let user = &user[..user.len().min(LOGGED)];
        let (namaddr, reason) = (&self.who.client.namaddr, &failure.reason);
        let shown = self.shown(mechanism);
        warning!(
            "{}: SASL {} authentication failed: {}, sasl_username={}",
            namaddr,
            shown,
            reason,
            user
        );
        let reply = if failure.temporary {
            reply!("454 4.7.0 Temporary authentication failure: {}", reason)
        } else {
            reply!("535 5.7.8 Error: authentication failed: {}", reason)
        };
        Stop::Refuse(reply, None)
    }

    fn shown(&self, mechanism: &[u8]) -> Vec<u8> {
        if is_external(mechanism) {
            return EXTERNAL.into();
        }
        mechanism[..mechanism.len().min(LOGGED)].to_vec()
    }

    /// The senders that a certificate's entry allows.
    pub(crate) fn check_certificate_sender(&mut self, sender: &[u8]) -> Result<(), Stop> {
        let Identity::User(entry) = &self.who.identity else { return Ok(()) };
        if entry.allows_sender(sender) {
            return Ok(());
        }
        let why = Condition::Senders.reason(entry, &self.who.client.addr);
        let text = fill!("553 5.7.1 <{}>: Sender address rejected: {}", sender, why);
        let about = About { sender: Some(sender), ..About::default() };
        self.log_refusal("reject", &text, about);
        Err(Stop::Refuse(crate::mail::reply::Reply::new(text), Some(ErrorClass::Policy)))
    }
}
