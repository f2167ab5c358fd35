//! The Received: header (RFC 5321, section 4.4).

use super::{Session, mail::Mail};
use crate::config::dialect::Change;
use crate::mail::{date, quote};
use crate::sys::time;

/// The lines of our Received: header, in all of Postfix's variants.
pub(crate) fn lines(s: &Session<'_>, mail: &Mail) -> Vec<Vec<u8>> {
    let config = s.config();
    let mut lines = Vec::new();
    let mut by = if config.smtpd_hide_client_session {
        fill!("Received: by {} ({})", config.myhostname, config.mail_name)
    } else {
        lines = of_the_client(s);
        fill!("\tby {} ({}) with {}", config.myhostname, config.mail_name, with(s, mail))
    };
    if let Some(id) = mail.queue_id() {
        by.extend(fill!(" id {}", id));
    }
    let two_digits = config.does(Change::TwoDigitDay);
    let date = date::mail_date(&time::local(mail.arrival), two_digits);
    match &mail.recipient {
        Some(recipient) if mail.count == 1 => {
            lines.push(by);
            lines.push(fill!("\tfor <{}>; {}", quote::external(recipient), date));
        }
        _ => {
            by.push(b';');
            lines.push(by);
            lines.push(fill!("\t{}", date));
        }
    }
    lines
}

/// The lines that smtpd_hide_client_session hides.
fn of_the_client(s: &Session<'_>) -> Vec<Vec<u8>> {
    let (config, who) = (s.config(), &s.who);
    let client = &who.client;
    let name = who.helo.as_ref().unwrap_or(&client.name);
    let mut lines =
        vec![fill!("Received: from {} ({} [{}])", name, client.name, client.rfc_addr())];
    if let (true, Some(tls)) = (config.smtpd_tls_received_header, &who.tls) {
        lines.extend(tls.received(config.smtpd_tls_ask_ccert));
    }
    if let (true, Some(login)) = (config.smtpd_sasl_authenticated_header, &who.login) {
        let user = quote::comment(&login.username);
        lines.push(fill!("\t(Authenticated sender: {})", user));
    }
    lines
}

/// The protocol (RFC 3848, RFC 6531 section 4.3): `ESMTPSA`, `UTF8SMTPS`.
fn with(s: &Session<'_>, mail: &Mail) -> String {
    let who = &s.who;
    let mut with = if mail.smtputf8 { "UTF8SMTP" } else { who.protocol }.to_owned();
    if who.protocol == "ESMTP" {
        if who.tls.is_some() {
            with.push('S');
        }
        if who.login.is_some() {
            with.push('A');
        }
    }
    with
}
