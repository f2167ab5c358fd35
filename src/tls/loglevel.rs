//! What is logged of TLS: smtpd_tls_loglevel.

use crate::text::split::{COMMA_SPACE, words};

/// What smtpd_tls_loglevel asks to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogMask(u16);

impl LogMask {
    /// One line a handshake.
    pub(super) const SUMMARY: Self = Self(1 << 1);
    /// Why a certificate is not trusted.
    pub(super) const UNTRUSTED: Self = Self(1 << 2);
    /// Names and fingerprints of certificates.
    pub(super) const PEERCERT: Self = Self(1 << 3);
    /// What we do.
    pub(super) const VERBOSE: Self = Self(1 << 5);
    /// Sessions and tickets.
    pub(super) const CACHE: Self = Self(1 << 6);
    /// What OpenSSL does.
    pub(super) const DEBUG: Self = Self(1 << 7);
    /// All bytes of a handshake.
    pub(super) const HANDSHAKE_DUMP: Self = Self(1 << 8);
    /// All bytes afterwards, too.
    pub(super) const SESSION_DUMP: Self = Self(1 << 9);
    /// A trace of the protocol, in a file of its own (3.12).
    pub(super) const TRACE: Self = Self(1 << 11);

    const NONE: Self = Self(0);
    const LEVEL_2: Self = Self(Self::SUMMARY.0 | Self::VERBOSE.0 | Self::CACHE.0 | Self::DEBUG.0);
    const LEVEL_3: Self = Self::LEVEL_2.with(Self::HANDSHAKE_DUMP);
    const LEVEL_4: Self = Self::LEVEL_3.with(Self::SESSION_DUMP);
    const BOTH_DUMPS: Self = Self::HANDSHAKE_DUMP.with(Self::SESSION_DUMP);

    /// The words of `list`, which `parameter` has, together. An unknown word makes it nothing, with
    /// a warning. `traces`: this release has the word `trace`.
    pub(super) fn parse(parameter: &str, list: &[u8], traces: bool) -> Self {
        let mut mask = Self::NONE;
        let known = |bits: Self| traces || bits != Self::TRACE;
        for word in words(list, COMMA_SPACE) {
            let is = |name: &str, bits| word.eq_ignore_ascii_case(name.as_bytes()) && known(bits);
            match NAMES.iter().find(|(name, bits)| is(name, *bits)) {
                Some((_, bits)) => mask = mask.with(*bits),
                None => {
                    warning!("unknown {} value \"{}\" in \"{}\"", parameter, word, list);
                    return Self::NONE;
                }
            }
        }
        mask
    }

    /// Both together.
    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All but `other`.
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether any of `bits` is asked for.
    pub(super) const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }
}

/// The words of smtpd_tls_loglevel. What `certmatch` and `dane` ask for is a client's.
const NAMES: &[(&str, LogMask)] = &[
    ("0", LogMask::NONE),
    ("none", LogMask::NONE),
    ("1", LogMask::SUMMARY),
    ("routine", LogMask::SUMMARY),
    ("2", LogMask::LEVEL_2),
    ("debug", LogMask::LEVEL_2),
    ("3", LogMask::LEVEL_3),
    ("ssl-expert", LogMask::LEVEL_3),
    ("4", LogMask::LEVEL_4),
    ("ssl-developer", LogMask::LEVEL_4),
    ("5", LogMask::LEVEL_4),
    ("6", LogMask::LEVEL_4),
    ("7", LogMask::LEVEL_4),
    ("8", LogMask::LEVEL_4),
    ("9", LogMask::LEVEL_4),
    ("summary", LogMask::SUMMARY),
    ("untrusted", LogMask::UNTRUSTED),
    ("peercert", LogMask::PEERCERT),
    ("certmatch", LogMask::NONE),
    ("verbose", LogMask::VERBOSE),
    ("cache", LogMask::CACHE),
    ("dane", LogMask::NONE),
    ("ssl-debug", LogMask::DEBUG),
    ("ssl-handshake-packet-dump", LogMask::HANDSHAKE_DUMP),
    ("ssl-session-packet-dump", LogMask::BOTH_DUMPS),
    ("trace", LogMask::TRACE),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    fn parsed(list: &[u8]) -> LogMask {
        LogMask::parse("smtpd_tls_loglevel", list, false)
    }

    #[test]
    fn words_add_up() {
        let mask = parsed(b"Summary, untrusted");
        assert_eq!(mask, LogMask::SUMMARY.with(LogMask::UNTRUSTED));
        assert!(parsed(b"2").has(LogMask::DEBUG));
        assert!(!parsed(b"1").has(LogMask::VERBOSE));
        assert_eq!(parsed(b""), LogMask::NONE);
    }

    #[test]
    fn dumps_begin_with_level_3() {
        assert!(!parsed(b"2").has(LogMask::BOTH_DUMPS));
        assert!(parsed(b"3").has(LogMask::HANDSHAKE_DUMP));
        assert!(!parsed(b"ssl-expert").has(LogMask::SESSION_DUMP));
        assert_eq!(parsed(b"4"), parsed(b"2, ssl-session-packet-dump"));
        assert_eq!(parsed(b"9"), parsed(b"ssl-developer"));
        assert_eq!(parsed(b"ssl-handshake-packet-dump"), LogMask::HANDSHAKE_DUMP);
    }

    #[test]
    fn traces_came_with_a_release() {
        assert_eq!(parsed(b"trace"), LogMask::NONE);
        let expected = "warning: unknown smtpd_tls_loglevel value \"trace\" in \"trace\"";
        assert_eq!(captured::take(), [expected]);
        let mask = LogMask::parse("smtpd_tls_loglevel", b"1, Trace", true);
        assert_eq!(mask, LogMask::SUMMARY.with(LogMask::TRACE));
        assert_eq!(mask.without(LogMask::TRACE), LogMask::SUMMARY);
    }

    #[test]
    fn an_unknown_word_makes_it_nothing() {
        assert_eq!(parsed(b"1,foo"), LogMask::NONE);
        let expected = "warning: unknown smtpd_tls_loglevel value \"foo\" in \"1,foo\"";
        assert_eq!(captured::take(), [expected]);
    }
}
