//! `$client_name` and its like, in texts for the client (postconf(5), smtpd_reject_footer).
//!
//! Only what a session knows, never main.cf: a reply must not show what is inside. Bytes that
//! smtpd_expansion_filter lacks become `_`.

use std::borrow::Cow;

use super::Facts;
use crate::config::Config;
use crate::config::expand::{Expanded, MacroError, once};
use crate::mail::address::{domain, local_part};
use crate::mail::date::log_date;
use crate::sys::time;

/// Expands texts for one session, as it is now.
pub struct Expander<'a> {
    config: &'a Config,
    facts: &'a Facts<'a>,
    /// What else a text may name.
    more: &'a [(&'a str, &'a [u8])],
}

/// What a name stands for.
type Value = for<'a> fn(&Expander<'a>) -> Cow<'a, [u8]>;

/// Every name that a text for the client may have.
#[rustfmt::skip]
static NAMES: &[(&str, Value)] = &[
    ("client", |x| Cow::Borrowed(&x.facts.client.namaddr)),
    ("client_address", |x| Cow::Borrowed(&x.facts.client.addr)),
    ("client_name", |x| Cow::Borrowed(&x.facts.client.name)),
    ("client_port", |x| Cow::Borrowed(&x.facts.client.port)),
    ("helo_name", |x| Cow::Borrowed(x.facts.helo.unwrap_or_default())),
    ("localtime", |_| Cow::Owned(log_date(&time::local(time::now())))),
    ("recipient", |x| whole(x.facts.recipient)),
    ("recipient_domain", |x| domain_of(x.facts.recipient)),
    ("recipient_name", |x| name_of(x.facts.recipient)),
    ("reverse_client_name", |x| Cow::Borrowed(&x.facts.client.reverse_name)),
    ("sender", |x| whole(x.facts.sender)),
    ("sender_domain", |x| domain_of(x.facts.sender)),
    ("sender_name", |x| name_of(x.facts.sender)),
    ("server_name", |x| Cow::Borrowed(&x.config.myhostname)),
];

impl<'a> Expander<'a> {
    /// An expander for what is known now.
    pub fn new(config: &'a Config, facts: &'a Facts<'a>) -> Self {
        Self { config, facts, more: &[] }
    }

    /// The same, with more names.
    pub(super) fn with(self, more: &'a [(&'a str, &'a [u8])]) -> Self {
        Self { more, ..self }
    }

    /// What is known now.
    pub fn facts(&self) -> &Facts<'a> {
        self.facts
    }

    /// `template` with its names replaced; unknown names are empty, with a warning. `None`, with
    /// a warning, if it is malformed.
    pub fn expand(&self, template: &[u8]) -> Option<Vec<u8>> {
        self.expanded(template).map(|expanded| expanded.text)
    }

    /// The same, but with an unknown name it is malformed.
    pub(super) fn expand_known(&self, template: &[u8]) -> Option<Vec<u8>> {
        self.expanded(template).filter(|expanded| !expanded.undefined).map(|known| known.text)
    }

    fn expanded(&self, template: &[u8]) -> Option<Expanded> {
        let filter = unescaped(&self.config.smtpd_expansion_filter);
        match once(template, &|name| self.value(name), Some(&filter)) {
            Ok(expanded) => Some(expanded),
            Err(MacroError::Syntax(text) | MacroError::Fatal(text)) => {
                warning!("{}", text);
                None
            }
        }
    }

    fn value(&self, name: &[u8]) -> Option<Cow<'a, [u8]>> {
        let more = self.more.iter().find(|(more, _)| more.as_bytes() == name);
        if let Some((_, value)) = more {
            return Some(Cow::Borrowed(value));
        }
        let row = NAMES.iter().find(|(row, _)| row.as_bytes() == name);
        if row.is_none() {
            warning!("unknown macro name \"{}\" in expansion request", name);
        }
        row.map(|(_, value)| value(self))
    }
}

/// An address; the null address is `<>`.
fn whole(address: Option<&[u8]>) -> Cow<'_, [u8]> {
    match address {
        None => Cow::Borrowed(b""),
        Some(b"") => Cow::Borrowed(b"<>"),
        Some(address) => Cow::Borrowed(address),
    }
}

/// Its local part; that of the null address is `<>`.
fn name_of(address: Option<&[u8]>) -> Cow<'_, [u8]> {
    match address {
        Some(b"") => Cow::Borrowed(b"<>"),
        _ => Cow::Borrowed(address.map(local_part).unwrap_or_default()),
    }
}

fn domain_of(address: Option<&[u8]>) -> Cow<'_, [u8]> {
    Cow::Borrowed(address.and_then(domain).unwrap_or_default())
}

/// `text` with the escapes of C taken out: `\t`, `\40`, `\\`. As Postfix: `unescape()`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(escape) = bytes.next() else { break };
        out.push(match escape {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'0'..=b'7' => {
                let mut value = escape - b'0';
                for _ in 0..2 {
                    match bytes.next_if(|digit| (b'0'..=b'7').contains(digit)) {
                        Some(digit) => value = value << 3 | (digit - b'0'),
                        None => break,
                    }
                }
                value
            }
            other => other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::log::captured;
    use crate::mail::client::Client;

    fn expand(template: &str, sender: Option<&[u8]>) -> Option<String> {
        let config = Config::of_text("").unwrap();
        let client = Client {
            name: b"cl\xffient.example".to_vec(),
            addr: b"192.0.2.7".to_vec(),
            port: b"1025".to_vec(),
            namaddr: b"client.example[192.0.2.7]".to_vec(),
            ..Client::unknown()
        };
        let facts = Facts {
            place: "RCPT",
            queue_id: None,
            client: &client,
            protocol: "ESMTP",
            helo: None,
            sender,
            recipient: Some(b"you"),
            recipient_count: 0,
            etrn: None,
            tls: None,
            login: None,
            sasl_sender: None,
            login_unknown: None,
            pipelined: false,
            in_transaction: true,
            proxied: false,
            smtputf8: false,
        };
        captured::take();
        let text = Expander::new(&config, &facts).expand(template.as_bytes())?;
        Some(String::from_utf8(text).unwrap())
    }

    fn of_sender(template: &str, sender: &str) -> String {
        expand(template, Some(sender.as_bytes())).unwrap()
    }

    #[test]
    fn names_of_the_session_are_known() {
        assert_eq!(
            expand("$client $client_address:${client_port} $reverse_client_name", None).unwrap(),
            "client.example[192.0.2.7] 192.0.2.7:1025 unknown"
        );
        assert_eq!(expand("$server_name", None).unwrap(), "mail.example");
        assert_eq!(expand("[$helo_name] [$sender]", None).unwrap(), "[] []");
        assert_eq!(expand("${helo_name?{a}:{b}}", None).unwrap(), "b");
    }

    #[test]
    fn bytes_that_a_client_may_not_see_become_underscores() {
        assert_eq!(expand("$client_name", None).unwrap(), "cl_ient.example");
        assert_eq!(unescaped(b"\\t\\40a\\\\\\x\\"), b"\t a\\x");
    }

    #[test]
    fn addresses_have_parts() {
        let all = "$sender|$sender_name|$sender_domain";
        assert_eq!(of_sender(all, "a@b@c"), "a@b@c|a@b|c");
        assert_eq!(of_sender(all, ""), "<>|<>|");
        assert_eq!(of_sender("$recipient|$recipient_name|$recipient_domain", ""), "you|you|");
    }

    #[test]
    fn the_time_is_as_in_logs() {
        time::fix(Some(UNIX_EPOCH + Duration::from_secs(1_000_000_000)));
        let text = expand("$localtime", None).unwrap();
        time::fix(None);
        assert!(text.starts_with("Sep 0") && text.len() == 15, "{text}");
    }

    #[test]
    fn nothing_of_main_cf_is_known() {
        assert_eq!(expand("<$mydomain>", None).unwrap(), "<>");
        assert_eq!(
            captured::take(),
            ["warning: unknown macro name \"mydomain\" in expansion request"]
        );
        assert_eq!(expand("${client", None), None);
        assert_eq!(captured::take().len(), 1);
    }
}
