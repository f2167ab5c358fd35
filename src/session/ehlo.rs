//! EHLO keywords (RFC 5321, section 4.1.1.1): THE TABLE, and smtpd_discard_ehlo_keywords.

use super::commands::Answer;
use super::{Session, Stop};
use crate::config::dialect::{Change, Release};
use crate::mail::reply::Reply;
use crate::text::split::{COMMA_SPACE, words};

/// A set of EHLO keywords that are not announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Discard(u32);

/// A keyword by its place in [`KEYWORDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Pipelining,
    Size,
    Vrfy,
    Etrn,
    StartTls,
    Auth,
    Xverp,
    Xclient,
    Xforward,
    EnhancedStatusCodes,
    EightBitMime,
    Dsn,
    SmtpUtf8,
    Chunking,
    RequireTls,
}

/// When and how a keyword is announced: the line, `None` where it does not apply.
type Announce = fn(&Session<'_>) -> Result<Option<Vec<u8>>, Stop>;

/// Every EHLO keyword, in the order in which they are announced. The places are those of
/// [`Keyword`].
static KEYWORDS: &[(&str, Announce)] = &[
    ("PIPELINING", |_| always("PIPELINING")),
    ("SIZE", |s| Ok(Some(size(s.config().message_size_limit)))),
    ("VRFY", |s| Ok(when(!s.config().disable_vrfy_command, "VRFY"))),
    ("ETRN", |_| always("ETRN")),
    ("STARTTLS", |s| Ok(when(s.server.switches.use_tls && s.who.tls.is_none(), "STARTTLS"))),
    ("AUTH", |s| Ok(when(s.may_log_in(), "AUTH EXTERNAL"))),
    ("XVERP", |s| s.may_verp().map(|may| when(may, "XVERP"))),
    ("XCLIENT", |s| s.announce_xclient()),
    ("XFORWARD", |s| s.announce_xforward()),
    ("ENHANCEDSTATUSCODES", |_| always("ENHANCEDSTATUSCODES")),
    ("8BITMIME", |_| always("8BITMIME")),
    ("DSN", |_| always("DSN")),
    ("SMTPUTF8", |s| Ok(when(s.config().smtputf8_enable, "SMTPUTF8"))),
    ("CHUNKING", |_| always("CHUNKING")),
    ("REQUIRETLS", |s| Ok(when(s.config().requiretls_enable && s.who.tls.is_some(), "REQUIRETLS"))),
];

/// Words of smtpd_discard_ehlo_keywords, in the order in which the log lists them. The log's word
/// for SMTPUTF8 is, as in Postfix, the first of its two.
const NAMES: &[(&str, u32)] = &[
    ("8BITMIME", Keyword::EightBitMime.bit()),
    ("AUTH", Keyword::Auth.bit()),
    ("ETRN", Keyword::Etrn.bit()),
    ("PIPELINING", Keyword::Pipelining.bit()),
    ("SIZE", Keyword::Size.bit()),
    ("VERP", Keyword::Xverp.bit()),
    ("VRFY", Keyword::Vrfy.bit()),
    ("XCLIENT", Keyword::Xclient.bit()),
    ("XFORWARD", Keyword::Xforward.bit()),
    ("STARTTLS", Keyword::StartTls.bit()),
    ("ENHANCEDSTATUSCODES", Keyword::EnhancedStatusCodes.bit()),
    ("DSN", Keyword::Dsn.bit()),
    ("EHLO_MASK_SMTPUTF8", Keyword::SmtpUtf8.bit()),
    ("SMTPUTF8", Keyword::SmtpUtf8.bit()),
    ("CHUNKING", Keyword::Chunking.bit()),
    ("REQUIRETLS", Keyword::RequireTls.bit()),
    ("SILENT-DISCARD", SILENT),
];

#[expect(clippy::unnecessary_wraps, reason = "a row of the table")]
fn always(line: &str) -> Result<Option<Vec<u8>>, Stop> {
    Ok(Some(line.as_bytes().to_vec()))
}

fn is_known(name: &str, release: Release) -> bool {
    name != "EHLO_MASK_SMTPUTF8" || !release.does(Change::Smtputf8Name)
}

fn when(condition: bool, line: &str) -> Option<Vec<u8>> {
    condition.then(|| line.as_bytes().to_vec())
}

fn size(limit: i64) -> Vec<u8> {
    if limit > 0 { fill!("SIZE {}", limit) } else { b"SIZE".to_vec() }
}

const SILENT: u32 = 1 << 31;

impl Keyword {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl Discard {
    /// The keywords in a list (any case); those that `release` does not know are ignored.
    pub(crate) fn parse(list: &[u8], release: Release) -> Self {
        let bits = words(list, COMMA_SPACE).flat_map(|word| {
            let known = NAMES.iter().filter(|(name, _)| is_known(name, release));
            known.filter(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
        });
        let set = bits.fold(0, |set, (_, bit)| set | bit);
        let known = release.does(Change::RequireTls);
        Self(if known { set } else { set & !Keyword::RequireTls.bit() })
    }

    /// Whether `keyword` is discarded, and what it announces is disabled.
    pub(crate) fn has(self, keyword: Keyword) -> bool {
        self.0 & keyword.bit() != 0
    }

    fn log(self, release: Release) {
        if self.0 == 0 || self.0 & SILENT != 0 || self.has(Keyword::EnhancedStatusCodes) {
            return;
        }
        let mut left = self.0;
        let mut names = Vec::new();
        for (name, bit) in NAMES {
            if left & bit != 0 && is_known(name, release) {
                names.push(*name);
                left &= !bit;
            }
        }
        let between = if release.does(Change::DiscardedWithCommas) { ", " } else { " " };
        info!("discarding EHLO keywords: {}", names.join(between));
    }
}

/// Announces what we can do. Each line is said for itself, so that the tarpit holds for each; the
/// last is the answer.
pub(crate) fn announce(s: &mut Session<'_>) -> Answer {
    s.discard.log(s.config().release);
    if s.discard_unknown {
        warning!("don't know what EHLO features to announce to {}", s.who.client.namaddr);
        return Err(Stop::Data);
    }
    let mut lines = vec![s.config().myhostname.clone()];
    for (place, (_, announce)) in KEYWORDS.iter().enumerate() {
        if s.discard.0 & (1 << place) == 0 {
            lines.extend(announce(s)?);
        }
    }
    let last = lines.pop().unwrap_or_default();
    for line in lines {
        s.say(&Reply::new(fill!("250-{}", line)))?;
    }
    Ok(Reply::new(fill!("250 {}", last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_in_any_case() {
        let set = Discard::parse(b"chunking, 8bitmime nonsense requiretls", Release::DEFAULT);
        assert!(set.has(Keyword::Chunking) && set.has(Keyword::EightBitMime));
        assert!(!set.has(Keyword::Dsn) && !set.has(Keyword::RequireTls));
    }

    #[test]
    fn the_enum_counts_like_the_table() {
        assert_eq!(KEYWORDS[Keyword::RequireTls as usize].0, "REQUIRETLS");
        assert_eq!(KEYWORDS[Keyword::StartTls as usize].0, "STARTTLS");
        assert_eq!(KEYWORDS[Keyword::Dsn as usize].0, "DSN");
    }
}
