//! Protocols and options: words of main.cf into OpenSSL's numbers.

use openssl::ssl::SslOptions;

use crate::text::split::{COMMA_SPACE, words};

/// A list of protocols as OpenSSL takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Protocols {
    /// What is excluded by name.
    pub(super) excluded: SslOptions,
    /// The oldest (`0x0303` is TLSv1.2); 0 leaves it to the library.
    pub(super) oldest: i32,
    /// The newest; 0 leaves it to the library.
    pub(super) newest: i32,
}

/// Name, number, the option that excludes it. SSLv2 is known, but has neither.
const PROTOCOLS: &[(&str, Option<i32>, SslOptions)] = &[
    ("SSLv2", None, SslOptions::empty()),
    ("SSLv3", Some(0x0300), SslOptions::NO_SSLV3),
    ("TLSv1", Some(0x0301), SslOptions::NO_TLSV1),
    ("TLSv1.1", Some(0x0302), SslOptions::NO_TLSV1_1),
    ("TLSv1.2", Some(0x0303), SslOptions::NO_TLSV1_2),
    ("TLSv1.3", Some(0x0304), SslOptions::NO_TLSV1_3),
];

impl Protocols {
    /// Reads `>=TLSv1.2, !TLSv1.3`, `TLSv1.2 TLSv1.3`, and mixtures; `None` where a word is wrong.
    pub(super) fn parse(list: &[u8]) -> Option<Self> {
        let mut protocols = Self { excluded: SslOptions::empty(), oldest: 0, newest: 0 };
        let mut included: Option<SslOptions> = None;
        for word in words(list, b", \t\r\n:") {
            if let Some(version) = word.strip_prefix(b">=") {
                protocols.oldest = parse_version(version)?;
            } else if let Some(version) = word.strip_prefix(b"<=") {
                protocols.newest = parse_version(version)?;
            } else if let Some(name) = word.strip_prefix(b"!") {
                protocols.excluded |= exclusion(name)?;
            } else {
                *included.get_or_insert(SslOptions::empty()) |= exclusion(word)?;
            }
        }
        if let Some(included) = included {
            let all = PROTOCOLS.iter().fold(SslOptions::empty(), |all, row| all | row.2);
            protocols.excluded |= all - included;
        }
        Some(protocols)
    }
}

fn row(name: &[u8]) -> Option<&'static (&'static str, Option<i32>, SslOptions)> {
    PROTOCOLS.iter().find(|row| name.eq_ignore_ascii_case(row.0.as_bytes()))
}

fn exclusion(name: &[u8]) -> Option<SslOptions> {
    row(name).map(|row| row.2)
}

/// A name, `None`, or a number in hexadecimal.
fn parse_version(text: &[u8]) -> Option<i32> {
    if text.is_empty() || text.eq_ignore_ascii_case(b"None") {
        return Some(0);
    }
    if let Some((_, Some(number), _)) = row(text) {
        return Some(*number);
    }
    hexadecimal(text).and_then(|number| i32::try_from(number).ok())
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let plain = !digits.starts_with(['+', '-']);
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// Work-arounds that tls_disable_workarounds turns off; those of no effect have no bit.
const WORKAROUNDS: &[(&str, u64)] = &[
    ("MICROSOFT_SESS_ID_BUG", 0),
    ("NETSCAPE_CHALLENGE_BUG", 0),
    ("LEGACY_SERVER_CONNECT", LEGACY_SERVER_CONNECT),
    ("NETSCAPE_REUSE_CIPHER_CHANGE_BUG", 0),
    ("CVE-2010-4180", 0),
    ("SSLREF2_REUSE_CERT_TYPE_BUG", 0),
    ("MICROSOFT_BIG_SSLV3_BUFFER", 0),
    ("MSIE_SSLV2_RSA_PADDING", 0),
    ("CVE-2005-2969", 0),
    ("SSLEAY_080_CLIENT_DH_BUG", 0),
    ("TLS_D5_BUG", 0),
    ("TLS_BLOCK_PADDING_BUG", 0),
    ("TLS_ROLLBACK_BUG", 1 << 23),
    ("DONT_INSERT_EMPTY_FRAGMENTS", 1 << 11),
    ("CRYPTOPRO_TLSEXT_BUG", 1 << 31),
    ("TLSEXT_PADDING", 1 << 4),
];

/// Options that tls_ssl_options turns on.
const OPTIONS: &[(&str, u64)] = &[
    ("LEGACY_SERVER_CONNECT", LEGACY_SERVER_CONNECT),
    ("NO_TICKET", SslOptions::NO_TICKET.bits()),
    ("NO_COMPRESSION", SslOptions::NO_COMPRESSION.bits()),
    ("NO_RENEGOTIATION", SslOptions::NO_RENEGOTIATION.bits()),
    (
        "NO_SESSION_RESUMPTION_ON_RENEGOTIATION",
        SslOptions::NO_SESSION_RESUMPTION_ON_RENEGOTIATION.bits(),
    ),
    ("PRIORITIZE_CHACHA", 1 << 21),
    ("ENABLE_MIDDLEBOX_COMPAT", SslOptions::ENABLE_MIDDLEBOX_COMPAT.bits()),
];

const LEGACY_SERVER_CONNECT: u64 = 1 << 2;
const IGNORE_UNEXPECTED_EOF: u64 = 1 << 7;
/// Not for mail; turned off as soon as any work-around is.
const SAFARI_ECDHE_ECDSA_BUG: u64 = 1 << 6;

/// The options of a context but for protocols and tickets, from tls_disable_workarounds and
/// tls_ssl_options. Unknown words get a warning. Renegotiation is never allowed: it has no use in
/// mail, and clients could burn our time with it (CVE-2011-1473).
pub(super) fn options(disabled: &[u8], enabled: &[u8]) -> SslOptions {
    let mut bits = SslOptions::ALL.bits();
    if !disabled.is_empty() {
        bits &= !mask("tls_disable_workarounds", WORKAROUNDS, disabled);
        bits &= !SAFARI_ECDHE_ECDSA_BUG;
    }
    if !enabled.is_empty() {
        let managed = PROTOCOLS.iter().fold(
            SslOptions::CIPHER_SERVER_PREFERENCE.bits() | IGNORE_UNEXPECTED_EOF,
            |all, row| all | row.2.bits(),
        );
        let wanted = mask("tls_ssl_options", OPTIONS, enabled);
        bits |= wanted & !(SslOptions::ALL.bits() | managed);
    }
    SslOptions::from_bits_retain(bits | IGNORE_UNEXPECTED_EOF)
        | SslOptions::SINGLE_ECDH_USE
        | SslOptions::SINGLE_DH_USE
        | SslOptions::NO_RENEGOTIATION
}

fn mask(parameter: &str, table: &[(&str, u64)], list: &[u8]) -> u64 {
    let mut bits = 0;
    for word in words(list, COMMA_SPACE) {
        let known = table.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        match known.map(|(_, bit)| *bit).or_else(|| hexadecimal_mask(word)) {
            Some(bit) => bits |= bit,
            None => warning!("unknown {} value \"{}\" in \"{}\"", parameter, word, list),
        }
    }
    bits
}

fn hexadecimal_mask(word: &[u8]) -> Option<u64> {
    let marked = word.starts_with(b"0x") || word.starts_with(b"0X");
    marked.then(|| hexadecimal(word)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    fn parsed(list: &str) -> Option<(SslOptions, i32, i32)> {
        let protocols = Protocols::parse(list.as_bytes())?;
        Some((protocols.excluded, protocols.oldest, protocols.newest))
    }

    #[test]
    fn limits_are_names_or_numbers() {
        let none = SslOptions::empty();
        assert_eq!(parsed(">=TLSv1"), Some((none, 0x0301, 0)));
        assert_eq!(parsed(">=tlsv1.2:<=TLSv1.3"), Some((none, 0x0303, 0x0304)));
        assert_eq!(parsed(">=0303 <=0x0304"), Some((none, 0x0303, 0x0304)));
        assert_eq!(parsed(">=TLSv1.2, >=None"), Some((none, 0, 0)));
        assert_eq!(parsed(""), Some((none, 0, 0)));
    }

    #[test]
    fn an_include_excludes_the_others() {
        let old = SslOptions::NO_SSLV3 | SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1;
        assert_eq!(parsed("TLSv1.2, TLSv1.3"), Some((old, 0, 0)));
        assert_eq!(parsed("!SSLv2, !SSLv3"), Some((SslOptions::NO_SSLV3, 0, 0)));
        assert_eq!(parsed("TLSv1.2 TLSv1.3 !TLSv1.3").unwrap().0, old | SslOptions::NO_TLSV1_3);
    }

    #[test]
    fn a_wrong_word_is_an_error() {
        for list in ["TLSv1.9", ">=SSLv2", ">=x", "!", ">=-1", ">=+1", "<=ffffffff"] {
            assert_eq!(parsed(list), None, "{list}");
        }
    }

    #[test]
    fn options_have_names_and_numbers() {
        let plain = options(b"", b"");
        assert!(plain.contains(SslOptions::ALL | SslOptions::NO_RENEGOTIATION));
        assert!(!plain.contains(SslOptions::NO_TICKET));
        assert!(
            options(b"", b"no_ticket, 0x20000")
                .contains(SslOptions::NO_TICKET | SslOptions::NO_COMPRESSION)
        );
        assert_eq!(options(b"TLSEXT_PADDING", b"").bits() & (1 << 4), 0);
        assert_eq!(captured::take(), Vec::<String>::new());
    }

    #[test]
    fn protocols_cannot_be_excluded_through_options() {
        let bits = format!("0x{:x}", SslOptions::NO_TLSV1_3.bits());
        assert!(!options(b"", bits.as_bytes()).contains(SslOptions::NO_TLSV1_3));
    }

    #[test]
    fn unknown_options_get_a_warning() {
        assert_eq!(options(b"", b"foo"), options(b"", b""));
        options(b"bar", b"");
        assert_eq!(
            captured::take(),
            [
                "warning: unknown tls_ssl_options value \"foo\" in \"foo\"",
                "warning: unknown tls_disable_workarounds value \"bar\" in \"bar\"",
            ]
        );
    }
}
