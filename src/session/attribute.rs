//! `attribute=value`: the arguments of XCLIENT and XFORWARD, and what both commands ask first.

use super::commands::Args;
use super::{Session, Stop};
use crate::config::Config;
use crate::mail::client::ErrorClass;
use crate::mail::hostname::{mail_address, valid_hostname};
use crate::mail::ip;
use crate::text::printable::printable;
use crate::text::xtext;

/// Longest value, encoded.
const LONGEST: usize = 255;
/// The value of an attribute that the sender does not have.
const UNAVAILABLE: &[u8] = b"[UNAVAILABLE]";
/// What stands for a name, address or port that is not known.
pub(crate) const UNKNOWN: &[u8] = b"unknown";

/// A value that an attribute cannot have, as the reply shows it.
pub(crate) struct BadValue(pub(crate) Vec<u8>);

/// Whether a client may use a command: what smtpd_authorized_xclient_hosts and
/// smtpd_authorized_xforward_hosts say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) verb: &'static str,
    pub(crate) allowed: bool,
    /// The list could not be asked.
    pub(crate) unknown: bool,
}

impl Session<'_> {
    /// What must be so before XCLIENT or XFORWARD is looked at.
    pub(crate) fn admit(&self, args: &Args, client: Allowed) -> Result<(), Stop> {
        if self.mail.is_some() {
            return protocol!("503 5.5.1 Error: MAIL transaction in progress");
        }
        if args.count() < 1 {
            return protocol!("501 5.5.4 Syntax: {} attribute=value...", client.verb);
        }
        if client.unknown {
            let namaddr = &self.who.client.namaddr;
            warning!("don't know if command {} should be allowed from {}", client.verb, namaddr);
            return Err(Stop::Data);
        }
        if !client.allowed {
            let reply = reply!("550 5.7.0 Error: insufficient authorization");
            return Err(Stop::Refuse(reply, Some(ErrorClass::Policy)));
        }
        Ok(())
    }

    /// Whether EHLO announces a command, given to its attributes' names.
    pub(crate) fn announces(
        &self,
        client: Allowed,
        names: impl Iterator<Item = &'static str>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if client.allowed {
            let line = names.fold(client.verb.to_owned(), |line, name| line + " " + name);
            return Ok(Some(line.into_bytes()));
        }
        if client.unknown {
            let (verb, namaddr) = (client.verb, &self.who.client.namaddr);
            warning!("don't know if EHLO feature {} should be announced to {}", verb, namaddr);
            return Err(Stop::Data);
        }
        Ok(None)
    }
}

/// Takes `NAME=value` apart. The value is xtext; where it is not, it is taken as it stands (as
/// clients before Postfix 2.3 sent it). As in C, a NUL ends it.
pub(crate) fn split<'a>(word: &'a [u8], config: &Config) -> Result<(&'a [u8], Vec<u8>), Stop> {
    let at = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
    let (name, value) = (&word[..at], word.get(at + 1..).unwrap_or_default());
    if value.is_empty() {
        return protocol!("501 5.5.4 Error: attribute=value expected");
    }
    if value.len() > LONGEST {
        return protocol!("501 5.5.4 Error: attribute value too long");
    }
    let decoded = xtext::decode(value);
    let value = decoded.as_deref().unwrap_or(value);
    let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok((name, printable(value, b'?', config.smtputf8_enable)))
}

/// Whether the value says that there is none.
pub(crate) fn is_unavailable(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(UNAVAILABLE)
}

/// A host name.
pub(crate) fn name(value: Vec<u8>) -> Result<Vec<u8>, BadValue> {
    if valid_hostname(&value).is_err() {
        return Err(BadValue(value));
    }
    Ok(value)
}

/// An address in the form of mail (IPv6 after `IPv6:`), of a protocol that inet_protocols has;
/// `unknown` where there is none. IPv4 addresses within IPv6 become IPv4 addresses.
pub(crate) fn address(value: Vec<u8>, config: &Config) -> Result<Vec<u8>, BadValue> {
    if is_unavailable(&value) {
        return Ok(UNKNOWN.to_vec());
    }
    let value = neutered(value);
    let parsed = mail_address(&value).ok().and_then(ip::parse);
    let plain = parsed.map(|ip| if config.ipv4 { ip.to_canonical() } else { ip });
    let enabled = plain.filter(|ip| if ip.is_ipv4() { config.ipv4 } else { config.ipv6 });
    enabled.map(ip::text).ok_or(BadValue(value))
}

/// A port number of at most five digits; `unknown` where there is none.
pub(crate) fn port(value: Vec<u8>) -> Result<Vec<u8>, BadValue> {
    if is_unavailable(&value) {
        return Ok(UNKNOWN.to_vec());
    }
    if !(1..=5).contains(&value.len()) || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadValue(value));
    }
    Ok(value)
}

/// Bytes that a client's words must not bring into headers and logs.
const NEUTERED: &[u8] = b" <>()\\\";@";

/// `text` with a question mark for each byte that could break a header.
pub(crate) fn neutered(mut text: Vec<u8>) -> Vec<u8> {
    for byte in &mut text {
        if NEUTERED.contains(byte) {
            *byte = b'?';
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let mut config = Config::of_text(text).unwrap();
        (config.ipv4, config.ipv6) = (true, true);
        config
    }

    fn reply(word: &[u8]) -> Vec<u8> {
        match split(word, &config("")) {
            Err(Stop::Refuse(reply, Some(ErrorClass::Protocol))) => reply.as_bytes().to_vec(),
            other => panic!("{:?}", other.map_err(|stop| format!("{stop:?}"))),
        }
    }

    #[test]
    fn a_value_is_xtext_or_taken_as_it_stands() {
        let value = |word: &[u8]| split(word, &config("")).unwrap().1;
        assert_eq!(split(b"A=b=c", &config("")).unwrap(), (&b"A"[..], b"b=c".to_vec()));
        assert_eq!(value(b"A=b+2Bc"), b"b+c");
        assert_eq!(value(b"A=b+2"), b"b+2");
        assert_eq!(value(b"A=b+09c\x7f"), b"b?c?");
        assert_eq!(value(b"A=b+00c"), b"b");
        assert_eq!(value(b"A=+00"), b"");
    }

    #[test]
    fn a_word_without_value_is_refused() {
        let expected = b"501 5.5.4 Error: attribute=value expected";
        assert_eq!(reply(b"A"), expected);
        assert_eq!(reply(b"A="), expected);
        assert_eq!(reply(b""), expected);
        let long = [&b"A="[..], &[b'x'; 256]].concat();
        assert_eq!(reply(&long), b"501 5.5.4 Error: attribute value too long");
        assert!(split(&long[..257], &config("")).is_ok());
    }

    #[test]
    fn addresses_have_the_form_of_mail() {
        let address = |text: &str, config: &Config| match address(text.into(), config) {
            Ok(address) => String::from_utf8(address).unwrap(),
            Err(BadValue(shown)) => format!("bad {}", String::from_utf8(shown).unwrap()),
        };
        let mut config = config("");
        for (given, wanted) in [
            ("192.0.2.7", "192.0.2.7"),
            ("ipv6:2001:DB8::0:7", "2001:db8::7"),
            ("IPv6:::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8::7", "bad 2001:db8::7"),
            ("192.0.2.7;x", "bad 192.0.2.7?x"),
            ("[unavailable]", "unknown"),
            ("", "bad "),
        ] {
            assert_eq!(address(given, &config), wanted, "{given}");
        }
        config.ipv4 = false;
        assert_eq!(address("192.0.2.7", &config), "bad 192.0.2.7");
        assert_eq!(address("IPv6:::ffff:192.0.2.7", &config), "::ffff:192.0.2.7");
    }

    #[test]
    fn ports_have_up_to_five_digits() {
        let port = |text: &str| port(text.into()).ok();
        assert_eq!(port("99999"), Some(b"99999".to_vec()));
        assert_eq!(port("[UNAVAILABLE]"), Some(b"unknown".to_vec()));
        assert_eq!([port("123456"), port("-1"), port(""), port("2x")], [None, None, None, None]);
    }
}
