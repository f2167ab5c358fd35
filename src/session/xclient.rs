//! XCLIENT and XFORWARD (XCLIENT_README, XFORWARD_README): this version refuses both, as Postfix
//! refuses them to clients that smtpd_authorized_xclient_hosts and
//! smtpd_authorized_xforward_hosts do not list.

use super::commands::{Answer, Args};
use super::{Session, Stop};
use crate::mail::client::ErrorClass;

/// XCLIENT attribute=value...
pub(crate) fn xclient(s: &mut Session<'_>, args: &Args) -> Answer {
    refuse(s, args, "XCLIENT")
}

/// XFORWARD attribute=value...
pub(crate) fn xforward(s: &mut Session<'_>, args: &Args) -> Answer {
    refuse(s, args, "XFORWARD")
}

fn refuse(s: &Session<'_>, args: &Args, verb: &str) -> Answer {
    if s.mail.is_some() {
        return protocol!("503 5.5.1 Error: MAIL transaction in progress");
    }
    if args.count() < 1 {
        return protocol!("501 5.5.4 Syntax: {} attribute=value...", verb);
    }
    Err(Stop::Refuse(
        reply!("550 5.7.0 Error: insufficient authorization"),
        Some(ErrorClass::Policy),
    ))
}

impl Session<'_> {
    /// Whether the client may ask for variable return paths (smtpd_authorized_verp_clients).
    pub(crate) fn may_verp(&self) -> Result<bool, Stop> {
        let client = &self.who.client;
        let listed = self.server.lists.verp_clients.matches_host(&client.name, &client.addr);
        listed.map_err(|_| {
            let namaddr = &client.namaddr;
            warning!("don't know if EHLO feature XVERP should be announced to {}", namaddr);
            Stop::Data
        })
    }
}
