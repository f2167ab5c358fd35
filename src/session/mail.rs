//! The transaction: from MAIL to the end of the message.

use std::time::SystemTime;

use super::Session;
use crate::ipc::cleanup::{self, Cleanup};
use crate::log::Fatal;
use crate::mail::dsn;
use crate::sys::time;

/// A message under way.
pub(crate) struct Mail {
    /// Internal form; empty is the null sender.
    pub(crate) sender: Vec<u8>,
    /// The first accepted recipient, internal form.
    pub(crate) recipient: Option<Vec<u8>>,
    /// How many recipients were accepted.
    pub(crate) count: usize,
    /// How many recipients came beyond smtpd_recipient_limit.
    pub(crate) overshoot: i32,
    /// When MAIL was accepted.
    pub(crate) arrival: SystemTime,
    /// SMTPUTF8 was asked for.
    pub(crate) smtputf8: bool,
    /// The message may go on in TLS only (REQUIRETLS).
    pub(crate) require_tls: bool,
    /// BODY=
    pub(crate) encoding: Option<&'static str>,
    /// ENVID=, decoded.
    pub(crate) envelope_id: Option<Vec<u8>>,
    /// RET=: 1 FULL, 2 HDRS.
    pub(crate) ret: Option<dsn::Ret>,
    /// XVERP
    pub(crate) verp: Option<Vec<u8>>,
    /// local_header_rewrite_clients: `local` or `remote`.
    pub(crate) rewrite_context: &'static str,
    /// Where the message goes, from the first accepted recipient on.
    pub(crate) cleanup: Option<Cleanup>,
}

/// How the client wrote a recipient, for its DSN.
pub(crate) struct Recipient {
    /// Internal form.
    pub(crate) address: Vec<u8>,
    /// NOTIFY=
    pub(crate) notify: Option<dsn::Notify>,
    /// `type;address`, decoded.
    pub(crate) original: Vec<u8>,
}

impl Mail {
    pub(crate) fn queue_id(&self) -> Option<&[u8]> {
        self.cleanup.as_ref().map(Cleanup::queue_id)
    }
}

/// The queue id, or what stands for it in the log.
pub(crate) fn queue_id_or_none(mail: Option<&Mail>) -> &[u8] {
    mail.and_then(Mail::queue_id).unwrap_or(b"NOQUEUE")
}

impl Session<'_> {
    /// Opens the queue file: cleanup(8) gets the envelope so far, and the log says whose message
    /// this is.
    pub(crate) fn open_queue_file(&mut self) -> Result<(), Fatal> {
        let Some(mail) = &self.mail else { return Ok(()) };
        let config = self.config();
        let mut cleanup = if config.stand_alone {
            Cleanup::open_postdrop(config)?
        } else {
            Cleanup::open(config, self.cleanup_flags(mail))?
        };
        self.envelope(mail, &mut cleanup);
        let mut line = fill!("{}: client={}", cleanup.queue_id(), self.who.client.namaddr);
        if let Some(login) = &self.who.login {
            line.extend(fill!(", sasl_method={}", login.method));
            line.extend(fill!(", sasl_username={}", login.username));
        }
        if let Some(sender) = &self.auth_parameter {
            line.extend(fill!(", sasl_sender={}", sender));
        }
        if let Some(id) = self.forwarded_ident() {
            line.extend(fill!(", orig_queue_id={}", id));
        }
        if let Some(client) = self.forwarded_client() {
            line.extend(fill!(", orig_client={}", client));
        }
        info!("{}", line);
        if let Some(mail) = &mut self.mail {
            mail.cleanup = Some(cleanup);
        }
        Ok(())
    }

    fn cleanup_flags(&self, mail: &Mail) -> u32 {
        let config = self.config();
        let mut flags = self.server.cleanup_flags;
        if mail.require_tls {
            flags |= cleanup::FLAG_REQUIRE_TLS;
        }
        if mail.smtputf8 {
            flags |= cleanup::FLAG_SMTPUTF8;
        } else if config.smtputf8_enable && self.server.autodetect_utf8 {
            flags |= cleanup::FLAG_AUTOUTF8;
        }
        flags
    }

    /// The envelope records up to the first recipient, in Postfix's order. postdrop(1) takes no
    /// others than these three.
    fn envelope(&self, mail: &Mail, to: &mut Cleanup) {
        let stand_alone = self.config().stand_alone;
        if !stand_alone {
            self.message_records(mail, to);
        }
        to.record(b'S', &mail.sender);
        if let Some(encoding) = mail.encoding {
            to.attribute("encoding", encoding.as_bytes());
        }
        if !stand_alone {
            self.client_records(to);
        }
        if let Some(verp) = &mail.verp {
            to.record(b'V', verp);
        }
    }

    /// When and how the message came, and what its DSN is to be.
    fn message_records(&self, mail: &Mail, to: &mut Cleanup) {
        let (seconds, micros) = time::since_epoch(mail.arrival);
        to.record(b'T', &fill!("{} {}", seconds, micros));
        let config = self.config();
        if !config.content_filter.is_empty() {
            to.record(b'L', &config.content_filter);
        }
        let id = self.forwarded_ident().unwrap_or(to.queue_id()).to_vec();
        to.attribute("log_ident", &id);
        let context = self.forwarded_domain().unwrap_or(mail.rewrite_context);
        to.attribute("rewrite_context", context.as_bytes());
        if let Some(login) = &self.who.login {
            to.attribute("sasl_method", &login.method);
            to.attribute("sasl_username", &login.username);
        }
        if let Some(sender) = &self.auth_parameter {
            to.attribute("sasl_sender", sender);
        }
        if let Some(id) = &mail.envelope_id {
            to.attribute("envelope_id", id);
        }
        if let Some(ret) = mail.ret {
            to.attribute("ret_flags", &fill!("{}", ret.flags()));
        }
    }

    /// Whom logs name as the client, and who it is.
    fn client_records(&self, to: &mut Cleanup) {
        let who = &self.who;
        let client = &who.client;
        let logged = self.logged_client();
        to.attribute("log_client_name", logged.name);
        to.attribute("log_client_address", &logged.rfc_addr);
        to.attribute("log_client_port", logged.port);
        to.attribute("log_message_origin", logged.namaddr);
        if let Some(helo) = logged.helo {
            to.attribute("log_helo_name", helo);
        }
        to.attribute("log_protocol_name", logged.protocol);
        to.attribute("client_name", &client.name);
        to.attribute("reverse_client_name", &client.reverse_name);
        to.attribute("client_address", &client.addr);
        to.attribute("client_port", &client.port);
        to.attribute("server_address", &client.server_addr);
        to.attribute("server_port", &client.server_port);
        if let Some(helo) = &who.helo {
            to.attribute("helo_name", helo);
        }
        to.attribute("protocol_name", who.protocol.as_bytes());
        to.attribute("client_address_type", &fill!("{}", client.family));
    }
}

impl Mail {
    /// A recipient was accepted.
    pub(crate) fn add(&mut self, recipient: Recipient) {
        self.count += 1;
        if let Some(cleanup) = &mut self.cleanup {
            if let Some(notify) = recipient.notify {
                cleanup.attribute("notify_flags", &fill!("{}", notify.flags()));
            }
            cleanup.attribute("dsn_orig_rcpt", &recipient.original);
            cleanup.record(b'R', &recipient.address);
            // What comes next soon goes along: cleanup(8) is woken once for a small message.
            cleanup.write_if_late();
        }
        if self.recipient.is_none() {
            self.recipient = Some(recipient.address);
        }
    }
}
