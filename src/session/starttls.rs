//! STARTTLS (RFC 3207).

use super::commands::{Answer, Args};
use super::ehlo::Keyword;
use super::limits::Rate;
use super::{Session, Stop};
use crate::mail::client::ErrorClass;

/// STARTTLS
pub(crate) fn starttls(s: &mut Session<'_>, args: &Args) -> Answer {
    if args.count() != 0 {
        return protocol!("501 5.5.4 Syntax: STARTTLS");
    }
    if s.who.tls.is_some() {
        return protocol!("554 5.5.1 Error: TLS already active");
    }
    if !s.server.switches.use_tls || s.discard.has(Keyword::StartTls) {
        return protocol!("502 5.5.1 Error: command not implemented");
    }
    if !s.server.has_tls() {
        return Err(Stop::Refuse(
            reply!("454 4.7.0 TLS not available due to local problem"),
            Some(ErrorClass::Software),
        ));
    }
    s.limit_tls_sessions()?;
    s.say(&reply!("220 2.0.0 Ready to start TLS"))?;
    s.chat.stream.flush()?;
    s.who.helo = None;
    s.reset_mail();
    s.start_tls()?;
    Err(Stop::Silent)
}

impl Session<'_> {
    fn limit_tls_sessions(&mut self) -> Result<(), Stop> {
        if self.over(Rate::NewTlsStatus).is_none() {
            return Ok(());
        }
        let namaddr = &self.who.client.namaddr;
        let service = &self.config().service_name;
        warning!("Refusing STARTTLS request from {} for service {}", namaddr, service);
        Err(Stop::Refuse(
            reply!("454 4.7.0 Error: too many new TLS sessions from {}", namaddr),
            Some(ErrorClass::Policy),
        ))
    }

    /// The handshake, and what must follow from it. The client's word for what went wrong is
    /// `lost connection`: nothing can be said to it then.
    pub(crate) fn start_tls(&mut self) -> Result<(), Stop> {
        let Some(tls) = &self.server.tls else { return Err(Stop::Quiet) };
        let (client, stream) = (&self.who.client, &mut self.chat.stream);
        let facts = tls.accept_client(stream, client).ok();
        if facts.as_ref().is_none_or(|facts| !facts.resumed) {
            self.count_tls_session(facts.is_some())?;
        }
        let Some(facts) = facts else {
            return Err(Stop::End(crate::stream::StreamEnd::Lost));
        };
        let trusted = facts.trusted;
        let why = if facts.has_certificate {
            "Client certificate not trusted"
        } else {
            "No client certificate presented"
        };
        self.who.tls = Some(facts);
        self.identify();
        let required = self.config().smtpd_tls_req_ccert && self.server.switches.enforce_tls;
        if required && !trusted {
            self.refuse_certificate(why)?;
        }
        Ok(())
    }

    /// The number of handshakes a client may cost us (smtpd_client_new_tls_session_rate_limit).
    fn count_tls_session(&mut self, can_talk: bool) -> Result<(), Stop> {
        let Some(count) = self.over(Rate::NewTls) else { return Ok(()) };
        self.blame(ErrorClass::Policy);
        let namaddr = self.who.client.namaddr.clone();
        let config = self.config();
        warning!(
            "New TLS session rate limit exceeded: {} from {} for service {}",
            count,
            namaddr,
            config.service_name
        );
        if can_talk {
            let host = &config.myhostname;
            let text = "Error: too many new TLS sessions from";
            self.say(&reply!("421 4.7.0 {} {} {}", host, text, namaddr))?;
        }
        Err(Stop::Quiet)
    }

    /// smtpd_tls_req_ccert: hangs up. After STARTTLS the client expects to talk first, so its next
    /// command is read and ignored.
    fn refuse_certificate(&mut self, why: &str) -> Result<(), Stop> {
        info!("NOQUEUE: abort: TLS from {}: {}", self.who.client.namaddr, why);
        if !self.server.switches.wrapper {
            self.chat.read(self.bare_newline, &self.who.client.namaddr)?;
        }
        self.blame(ErrorClass::Policy);
        self.say(&reply!("421 4.7.1 {} Error: {}", self.config().myhostname, why))
    }
}
