//! Restrictions: who may send what to whom (SMTPD_ACCESS_README).
//!
//! This layer knows no session: it gets [`Facts`], and gives a [`Verdict`] at each stage. What an
//! access table asks to be done with the message goes to [`Actions`].
#![forbid(unsafe_code)]

use crate::mail::client::{Client, ErrorClass, Login};
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
    /// The client pipelined where it must not.
    pub pipelined: bool,
    /// A message is on its way (MAIL was accepted).
    pub in_transaction: bool,
    /// A before-queue filter is in use (smtpd_proxy_filter).
    pub proxied: bool,
    /// The client asked for SMTPUTF8.
    pub smtputf8: bool,
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
