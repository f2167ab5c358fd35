//! XCLIENT (XCLIENT_README): a proxy says who its client is, and the session begins anew, as if
//! that client had connected. Also what EHLO and MAIL ask of XVERP.

use super::attribute::{self, Allowed, BadValue, UNKNOWN};
use super::commands::{Answer, Args};
use super::{Session, Stop, Who, peer};
use crate::config::Config;
use crate::identity::Identity;
use crate::log::Fatal;
use crate::mail::client::{Login, NameStatus};
use crate::restriction::Memo;

/// What one command has said; what it has not said is forgotten.
#[derive(Default)]
struct Given {
    /// Name, address or port of the client.
    endpoint: bool,
    helo: bool,
    protocol: bool,
    login: bool,
}

/// Takes the value of an attribute.
type Take = fn(&mut Who, &Config, Vec<u8>, &mut Given) -> Result<(), BadValue>;

/// Every attribute, in the order in which EHLO announces them.
static ATTRIBUTES: &[(&str, Take)] = &[
    ("NAME", name),
    ("ADDR", address),
    ("PROTO", protocol),
    ("HELO", helo),
    ("REVERSE_NAME", reverse_name),
    ("PORT", port),
    ("LOGIN", login),
    ("DESTADDR", server_address),
    ("DESTPORT", server_port),
];

/// Longest HELO name. As Postfix: `VALID_HOSTNAME_LEN`.
const LONGEST_NAME: usize = 255;

/// XCLIENT attribute=value...
pub(crate) fn xclient(s: &mut Session<'_>, args: &Args) -> Answer {
    s.admit(args, s.may_xclient())?;
    let config = s.config();
    let mut given = Given::default();
    for word in &args.tokens[1..] {
        let (name, value) = attribute::split(&word.text, config)?;
        let row = ATTRIBUTES.iter().find(|row| name.eq_ignore_ascii_case(row.0.as_bytes()));
        let Some((name, take)) = row else {
            return protocol!("501 5.5.4 Bad XCLIENT attribute name: {}", name);
        };
        if let Err(BadValue(value)) = take(&mut s.who, config, value, &mut given) {
            return protocol!("501 5.5.4 Bad {} syntax: {}", name, value);
        }
    }
    s.become_another(&given)?;
    Err(Stop::Restart)
}

fn name(who: &mut Who, _: &Config, value: Vec<u8>, given: &mut Given) -> Result<(), BadValue> {
    let (name, status) = name_and_status(value)?;
    if status == NameStatus::Ok {
        who.client.reverse_name.clone_from(&name);
        who.client.reverse_status = status;
    }
    (who.client.name, who.client.name_status) = (name, status);
    given.endpoint = true;
    Ok(())
}

fn reverse_name(who: &mut Who, _: &Config, value: Vec<u8>, _: &mut Given) -> Result<(), BadValue> {
    (who.client.reverse_name, who.client.reverse_status) = name_and_status(value)?;
    Ok(())
}

fn name_and_status(value: Vec<u8>) -> Result<(Vec<u8>, NameStatus), BadValue> {
    if attribute::is_unavailable(&value) {
        return Ok((UNKNOWN.to_vec(), NameStatus::Hard));
    }
    if value.eq_ignore_ascii_case(b"[TEMPUNAVAIL]") {
        return Ok((UNKNOWN.to_vec(), NameStatus::Soft));
    }
    Ok((attribute::name(value)?, NameStatus::Ok))
}

fn address(who: &mut Who, c: &Config, value: Vec<u8>, given: &mut Given) -> Result<(), BadValue> {
    let unavailable = attribute::is_unavailable(&value);
    who.client.addr = attribute::address(value, c)?;
    if !unavailable {
        who.client.family = peer::family(&who.client.addr);
    }
    given.endpoint = true;
    Ok(())
}

fn port(who: &mut Who, _: &Config, value: Vec<u8>, given: &mut Given) -> Result<(), BadValue> {
    who.client.port = attribute::port(value)?;
    given.endpoint = true;
    Ok(())
}

fn helo(who: &mut Who, _: &Config, value: Vec<u8>, given: &mut Given) -> Result<(), BadValue> {
    if value.len() > LONGEST_NAME {
        return Err(BadValue(value));
    }
    let known = !attribute::is_unavailable(&value);
    who.helo = known.then(|| attribute::neutered(value));
    given.helo = true;
    Ok(())
}

fn protocol(who: &mut Who, _: &Config, value: Vec<u8>, given: &mut Given) -> Result<(), BadValue> {
    let known = ["SMTP", "ESMTP"].iter().find(|known| value.eq_ignore_ascii_case(known.as_bytes()));
    who.protocol = known.ok_or(BadValue(value))?;
    given.protocol = true;
    Ok(())
}

/// The name that a client has logged in with, at the proxy. It counts whatever main.cf says of
/// SASL, but for permit_sasl_authenticated.
#[expect(clippy::unnecessary_wraps, reason = "a row of the table")]
fn login(who: &mut Who, _: &Config, value: Vec<u8>, given: &mut Given) -> Result<(), BadValue> {
    if !attribute::is_unavailable(&value) {
        who.login = Some(Login { method: b"XCLIENT".to_vec(), username: value, implicit: false });
        given.login = true;
    }
    Ok(())
}

fn server_address(w: &mut Who, c: &Config, value: Vec<u8>, _: &mut Given) -> Result<(), BadValue> {
    w.client.server_addr = attribute::address(value, c)?;
    Ok(())
}

fn server_port(who: &mut Who, _: &Config, value: Vec<u8>, _: &mut Given) -> Result<(), BadValue> {
    who.client.server_port = attribute::port(value)?;
    Ok(())
}

impl Session<'_> {
    pub(crate) fn may_xclient(&self) -> Allowed {
        let (allowed, unknown) = (self.xclient_allowed, self.xclient_unknown);
        Allowed { verb: "XCLIENT", allowed, unknown }
    }

    /// What EHLO says of XCLIENT.
    pub(crate) fn announce_xclient(&self) -> Result<Option<Vec<u8>>, Stop> {
        self.announces(self.may_xclient(), ATTRIBUTES.iter().map(|row| row.0))
    }

    /// The client is another one from now on. TLS stays, and so does whether it may use XFORWARD.
    fn become_another(&mut self, given: &Given) -> Result<(), Fatal> {
        if given.endpoint {
            self.who.client.namaddr = peer::namaddr(self.config(), &self.who.client);
        }
        self.settle_xclient();
        // The certificate is the proxy's: it speaks for nobody else.
        self.who.identity = Identity::Nobody;
        if !given.helo {
            self.who.helo = None;
        }
        if !given.protocol {
            self.who.protocol = "SMTP";
        }
        if !given.login {
            self.who.login = None;
        }
        self.memo = Memo::default();
        let sent = self.reset_history(0, None);
        self.reset_mail();
        sent
    }

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
