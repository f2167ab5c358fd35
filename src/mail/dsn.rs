//! Parameters of MAIL and RCPT for delivery status notifications (RFC 3461, RFC 6533).

use crate::text::printable::printable;
use crate::text::{split, uxtext, xtext};

/// NOTIFY=: on which events the sender wants to hear of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify(u8);

impl Notify {
    /// On none.
    pub const NEVER: Self = Self(1);
    /// On delivery.
    pub const SUCCESS: Self = Self(2);
    /// On failure.
    pub const FAILURE: Self = Self(4);
    /// On delay.
    pub const DELAY: Self = Self(8);

    /// The sum of the events' numbers, as in the record `notify_flags`.
    pub fn flags(self) -> u8 {
        self.0
    }

    /// Reads the value of NOTIFY=: NEVER alone, or a list of the others, in any case.
    pub fn parse(text: &[u8]) -> Result<Self, BadNotify> {
        let mut all = 0;
        for word in split::words(text, split::COMMA_SPACE) {
            all |= match word.to_ascii_uppercase().as_slice() {
                b"NEVER" => Self::NEVER.0,
                b"SUCCESS" => Self::SUCCESS.0,
                b"FAILURE" => Self::FAILURE.0,
                b"DELAY" => Self::DELAY.0,
                _ => return Err(BadNotify::unknown(word, text)),
            };
        }
        if all == 0 || (all & Self::NEVER.0 != 0 && all != Self::NEVER.0) {
            return Err(BadNotify::Mixed);
        }
        Ok(Self(all))
    }
}

/// What is wrong with a NOTIFY= value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNotify {
    /// No such event; the text is what Postfix logs as a warning.
    #[error("{0}")]
    Unknown(String),
    /// NEVER with others, or nothing; Postfix logs nothing.
    #[error("bad combination of NOTIFY values")]
    Mixed,
}

impl BadNotify {
    fn unknown(word: &[u8], all: &[u8]) -> Self {
        let text = fill!("unknown DSN NOTIFY command value \"{}\" in \"{}\"", word, all);
        Self::Unknown(String::from_utf8_lossy(&printable(&text, b'?', true)).into_owned())
    }
}

/// RET=: how much of the message a notification gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// All of it.
    Full = 1,
    /// The headers.
    Headers = 2,
}

impl Ret {
    /// Reads the value of RET=: FULL or HDRS, in any case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"FULL") {
            Some(Self::Full)
        } else if text.eq_ignore_ascii_case(b"HDRS") {
            Some(Self::Headers)
        } else {
            None
        }
    }

    /// The number, as in the record `ret_flags`.
    pub fn flags(self) -> u8 {
        self as u8
    }
}

/// Decodes the value of ENVID=: xtext of printable ASCII; `None` where it is malformed.
///
/// A tab may be in it where `with_tab`. An encoded NUL (`+00`) is malformed too, as in Postfix 3.12: a queue file cannot hold it.
pub fn envelope_id(text: &[u8], with_tab: bool) -> Option<Vec<u8>> {
    let id = xtext::decode(text)?;
    let printable = |byte: &u8| (b' '..=b'~').contains(byte) || (with_tab && *byte == b'\t');
    (!id.is_empty() && id.iter().all(printable)).then_some(id)
}

/// Decodes the value of ORCPT=, `type;address` with the address in xtext, or in uxtext where the
/// type is `utf-8`; gives `type;address` as in the record `dsn_orig_rcpt`. `None` where it is
/// malformed, or has an encoded NUL in it.
pub fn original_recipient(text: &[u8]) -> Option<Vec<u8>> {
    let at = text.iter().position(|byte| *byte == b';')?;
    let (kind, coded) = (&text[..at], &text[at + 1..]);
    if kind.is_empty() {
        return None;
    }
    let utf8 = kind.eq_ignore_ascii_case(b"utf-8");
    let address = if utf8 { uxtext::decode(coded) } else { xtext::decode(coded) }?;
    (!address.contains(&0)).then(|| fill!("{};{}", kind, address))
}

/// The record `dsn_orig_rcpt` of a recipient without ORCPT=: the address as the client wrote it.
pub fn default_original_recipient(token: &[u8]) -> Vec<u8> {
    let inside = token.strip_prefix(b"<").and_then(|token| token.strip_suffix(b">"));
    fill!("rfc822;{}", inside.unwrap_or(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_is_never_or_a_list_of_events() {
        assert_eq!(Notify::parse(b"never"), Ok(Notify::NEVER));
        assert_eq!(Notify::parse(b"SUCCESS,Delay").unwrap().flags(), 10);
        assert_eq!(Notify::parse(b",FAILURE,,failure,").unwrap(), Notify::FAILURE);
        for bad in [&b""[..], b",", b"NEVER,SUCCESS"] {
            assert_eq!(Notify::parse(bad), Err(BadNotify::Mixed));
        }
        assert_eq!(
            Notify::parse(b"SUCCESS,al\rways").unwrap_err().to_string(),
            "unknown DSN NOTIFY command value \"al\" in \"SUCCESS,al?ways\""
        );
    }

    #[test]
    fn ret_is_full_or_headers() {
        assert_eq!(Ret::parse(b"full").map(Ret::flags), Some(1));
        assert_eq!(Ret::parse(b"HDRS").map(Ret::flags), Some(2));
        assert_eq!(Ret::parse(b"FULL,HDRS"), None);
        assert_eq!(Ret::parse(b""), None);
    }

    #[test]
    fn an_envelope_id_is_printable_xtext() {
        assert_eq!(envelope_id(b"a+2Bb+20c", false).unwrap(), b"a+b c");
        assert_eq!(envelope_id(b"a+09b", false), None);
        assert_eq!(envelope_id(b"a+09b", true).unwrap(), b"a\tb");
        for bad in [&b""[..], b"a+", b"a+0a", b"a+zz", b"+e4", b"+00b"] {
            assert_eq!(envelope_id(bad, false), None);
        }
    }

    #[test]
    fn an_original_recipient_has_a_type_and_an_address() {
        assert_eq!(original_recipient(b"rfc822;a+2Bb@c").unwrap(), b"rfc822;a+b@c");
        assert_eq!(original_recipient(b"RFC822;").unwrap(), b"RFC822;");
        assert_eq!(original_recipient(b"UTF-8;\\x{fc}@c;+").unwrap(), "UTF-8;ü@c;+".as_bytes());
        for bad in [&b""[..], b"a@b", b";a@b", b"rfc822;a+4", b"utf-8;\\x{"] {
            assert_eq!(original_recipient(bad), None);
        }
    }

    #[test]
    fn an_encoded_nul_does_not_reach_the_queue_file() {
        assert_eq!(envelope_id(b"a+00b", false), None);
        assert_eq!(original_recipient(b"rfc822;u+00@x"), None);
    }

    #[test]
    fn without_orcpt_the_clients_address_is_the_original_recipient() {
        assert_eq!(default_original_recipient(b"<\"a b\"@c>"), b"rfc822;\"a b\"@c");
        assert_eq!(default_original_recipient(b"a@b>"), b"rfc822;a@b>");
        assert_eq!(default_original_recipient(b"<"), b"rfc822;<");
    }
}
