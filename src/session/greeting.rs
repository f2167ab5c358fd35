//! The life of a session: from the connection to its last log line.

use super::chat::Chat;
use super::commands;
use super::ehlo::Discard;
use super::limits::Rate;
use super::mail::queue_id_or_none;
use super::notify::History;
use super::server::Server;
use super::{Session, Stop, peer};
use crate::config::dialect::Change;
use crate::log::Fatal;
use crate::mail::client::{Client, ErrorClass};
use crate::mail::reply::Reply;
use crate::stream::{SmtpStream, StreamEnd};

/// Serves one client, from `connect from` to `disconnect from`.
pub(crate) fn serve(
    server: &Server,
    stream: SmtpStream,
    client: Client,
    origin: peer::Origin,
) -> Result<(), Fatal> {
    let history = History::new(server.notify_classes()?);
    let maps = (&server.filters, &server.footers);
    let chat = Chat::new(stream, &server.config, maps, history);
    let mut s = Session::new(server, chat, client);
    info!("connect from {}", s.who.client.namaddr);
    s.settle_permissions();
    let usual = crate::log::verbose();
    crate::log::set_verbose(usual.saturating_add(s.debugs_peer()));
    let end = s.talk(origin);
    let fatal = s.finish(end);
    crate::log::set_verbose(usual);
    if let Some(fatal) = fatal {
        return Err(fatal);
    }
    let notes = if s.noted_bare_newline { " notes=bare_lf" } else { "" };
    info!("disconnect from {}{}{}", s.who.client.namaddr, s.tally, notes);
    Ok(())
}

impl Session<'_> {
    /// What follows from the client's name and address alone.
    fn settle_permissions(&mut self) {
        self.settle_xclient();
        let client = &self.who.client;
        let listed = &self.server.lists.xforward_hosts;
        let found = self.permits(listed.matches_host(&client.name, &client.addr));
        (self.xforward_allowed, self.xforward_unknown) = found;
    }

    /// What follows from them, and XCLIENT changes. So that connection limits can be tried, XCLIENT
    /// overrides its own permission.
    pub(crate) fn settle_xclient(&mut self) {
        let client = &self.who.client;
        let listed = &self.server.lists.xclient_hosts;
        let found = self.permits(listed.matches_host(&client.name, &client.addr));
        self.bare_newline = self.server.bare_newline_for(client);
        (self.xclient_allowed, self.xclient_unknown) = found;
    }

    /// Whether a list permits something, and whether it could not be asked.
    fn permits<E>(&self, listed: Result<bool, E>) -> (bool, bool) {
        match listed {
            _ if self.config().stand_alone => (false, false),
            Ok(allowed) => (allowed, false),
            Err(_) => (false, true),
        }
    }

    /// debug_peer_list: how much more is logged of this client.
    fn debugs_peer(&self) -> u32 {
        let client = &self.who.client;
        let listed = &self.server.lists.debug_peers;
        if listed.matches_host(&client.name, &client.addr).unwrap_or(false) {
            u32::try_from(self.config().debug_peer_level).unwrap_or(0)
        } else {
            0
        }
    }

    /// The whole conversation.
    fn talk(&mut self, origin: peer::Origin) -> Result<(), Stop> {
        self.chat.be_patient();
        if origin == peer::Origin::Failed {
            return self.say(&reply!("421 4.3.0 {} Server local error", self.config().myhostname));
        }
        loop {
            match self.converse(origin) {
                Err(Stop::Restart) => {}
                end => return end,
            }
        }
    }

    /// From the greeting to the end, or to XCLIENT.
    fn converse(&mut self, origin: peer::Origin) -> Result<(), Stop> {
        self.chat.be_patient();
        let wrapper = self.server.switches.wrapper && !self.config().stand_alone;
        if wrapper && self.who.tls.is_none() {
            self.wrapper_handshake()?;
            if self.chat.hang_up {
                return Ok(());
            }
        } else if origin != peer::Origin::Postscreen && self.talks_too_early() {
            return self.say(&reply!("554 5.5.0 Error: SMTP protocol synchronization"));
        }
        if self.too_many_connections()? {
            return Ok(());
        }
        self.settle_ehlo_keywords();
        match self.check_client() {
            Ok(()) => {
                self.say(&Reply::new(fill!("220 {}", self.config().smtpd_banner)))?;
            }
            Err(Stop::Refuse(reply, _)) => {
                self.blame(ErrorClass::Policy);
                self.denied = Some(reply.as_bytes().to_vec());
                self.say(&reply)?;
                self.tally.error();
            }
            Err(stop) => return Err(stop),
        }
        commands::run(self)
    }

    /// smtpd_tls_wrappermode: TLS before the greeting.
    fn wrapper_handshake(&mut self) -> Result<(), Stop> {
        let namaddr = &self.who.client.namaddr;
        let service = &self.config().service_name;
        if !self.server.has_tls() {
            warning!(
                "Wrapper-mode request dropped from {} for service {}. TLS context \
                 initialization failed. For details see earlier warnings in your logs.",
                namaddr,
                service
            );
            return Err(Stop::Quiet);
        }
        if self.over(Rate::NewTlsStatus).is_some() {
            warning!("Refusing TLS service request from {} for service {}", namaddr, service);
            self.blame(ErrorClass::Policy);
            return Err(Stop::Quiet);
        }
        self.start_tls()
    }

    /// Tells anvil(8) of the connection, and looks at its limits.
    fn too_many_connections(&mut self) -> Result<bool, Stop> {
        let config = self.config();
        let Some((anvil, ident)) = self.anvil() else { return Ok(false) };
        let Some(counts) = anvil.connect(&ident) else { return Ok(false) };
        let (namaddr, service) = (&self.who.client.namaddr, &config.service_name);
        let count_limit = config.smtpd_client_connection_count_limit;
        let rate_limit = config.smtpd_client_connection_rate_limit;
        if count_limit > 0 && counts.count > count_limit {
            let text = fill!("{} from {} for service {}", counts.count, namaddr, service);
            warning!("Connection concurrency limit exceeded: {}", text);
            self.blame(ErrorClass::Policy);
        } else if rate_limit > 0 && counts.rate > rate_limit {
            let text = fill!("{} from {} for service {}", counts.rate, namaddr, service);
            warning!("Connection rate limit exceeded: {}", text);
        } else {
            return Ok(false);
        }
        let (host, addr) = (&config.myhostname, &self.who.client.addr);
        let reply = reply!("421 4.7.0 {} Error: too many connections from {}", host, addr);
        self.say(&reply)?;
        Ok(true)
    }

    /// smtpd_discard_ehlo_keyword_address_maps, else smtpd_discard_ehlo_keywords.
    fn settle_ehlo_keywords(&mut self) {
        let found = self.server.discard_maps.find(&self.who.client.addr);
        self.discard_unknown = found.is_err();
        let by_address = found.ok().flatten().map(|found| found.value);
        let words = by_address.as_deref();
        let config = self.config();
        let words = words.unwrap_or(&config.smtpd_discard_ehlo_keywords);
        self.discard = Discard::parse(words, config.release);
    }

    /// Says how the conversation ended, to the client and to the log, and cleans up.
    fn finish(&mut self, end: Result<(), Stop>) -> Option<Fatal> {
        let mut fatal = None;
        let mut reason = self.too_many_errors.then_some("too many errors");
        match end {
            Ok(()) | Err(Stop::Quiet | Stop::Silent | Stop::Restart) => {}
            Err(Stop::End(StreamEnd::Lost)) => reason = Some("lost connection"),
            Err(Stop::End(StreamEnd::Timeout)) => {
                reason = Some("timeout");
                self.last_words("421 4.4.2", "Error: timeout exceeded");
            }
            Err(Stop::Data) => {
                let host = &self.config().myhostname;
                let text = fill!("421 4.3.0 {} Server local data error", host);
                let id = queue_id_or_none(self.mail.as_ref());
                let (place, namaddr) = (self.who.place, &self.who.client.namaddr);
                info!("{}: reject: {} from {}: {}", id, place, namaddr, text);
                self.blame(ErrorClass::Data);
                self.last_words("421 4.3.0", "Server local data error");
            }
            Err(Stop::Refuse(reply, _)) => {
                if let Err(Stop::End(_)) = self.say(&reply) {
                    reason = Some("lost connection");
                }
            }
            Err(Stop::Fatal(text)) => fatal = Some(text),
        }
        // Before the last reply goes out: who hears it may come again at once.
        if let Some((anvil, ident)) = self.anvil() {
            anvil.disconnect(&ident);
        }
        if let (None, Some(reason)) = (&fatal, reason) {
            self.log_end(reason);
        }
        // A client that is gone before the last reply is not mentioned.
        self.chat.stream.close();
        if fatal.is_none() {
            fatal = self.reset_history(0, reason).err();
        }
        self.reset_mail();
        fatal
    }

    fn last_words(&mut self, code: &str, text: &str) {
        self.chat.stream.forget_end();
        self.chat.be_patient();
        let reply = Reply::new(fill!("{} {} {}", code, self.config().myhostname, text));
        // The client may be gone; there is nobody to tell.
        let _ = self.say(&reply);
    }

    /// `lost connection after RCPT from name[addr]`; with the size in the middle of a message.
    fn log_end(&self, reason: &str) {
        let (place, namaddr) = (self.who.place, &self.who.client.namaddr);
        let id = if self.config().does(Change::QueueIdAtTheEnd) {
            fill!("{}: ", queue_id_or_none(self.mail.as_ref()))
        } else {
            Vec::new()
        };
        let (command, rest) = match place {
            "DATA content" => ("DATA", 0),
            "BDAT content" => ("BDAT", self.content_rest + self.chat.partial as u64),
            "END-OF-MESSAGE" if reason == "lost connection" => return,
            _ => {
                info!("{}{} after {} from {}", id, reason, place, namaddr);
                return;
            }
        };
        let size = self.content_size + rest + self.chat.stream.unread().len() as u64;
        info!("{}{} after {} ({} bytes) from {}", id, reason, command, size, namaddr);
    }
}
