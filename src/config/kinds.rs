//! What a value in main.cf can be, and Postfix's words for what it cannot.

use std::borrow::Cow;
use std::time::Duration;

use super::computed::Facts;
use super::dialect::{Former, Instead};
use super::main_cf::{Dictionary, is_space};
use super::parameters::Parameter;
use crate::log::Fatal;

/// A kind of value.
pub trait Kind {
    /// What it is in Rust.
    type Value;

    /// The value of a parameter; its default goes into the dictionary if it has none.
    fn load(loader: &mut Loader<'_, '_>, row: &Parameter) -> Result<Self::Value, Fatal>;
}

macro_rules! kinds {
    ($( $(#[$doc:meta])* $kind:ident: $value:ty = $load:ident; )*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $kind;
        impl Kind for $kind {
            type Value = $value;

            fn load(loader: &mut Loader<'_, '_>, row: &Parameter) -> Result<$value, Fatal> {
                loader.$load(row)
            }
        }
    )* };
}

kinds! {
    /// Text, expanded.
    Str: Vec<u8> = text;
    /// Text, not expanded when loaded.
    Raw: Vec<u8> = raw;
    /// Number.
    Int: i32 = int;
    /// Number whose default is a text to expand.
    NInt: i32 = int;
    /// Large number.
    Long: i64 = long;
    /// `yes` or `no`.
    Bool: bool = truth;
    /// `yes` or `no` whose default is a text to expand.
    NBool: bool = truth;
    /// Time with unit.
    Time: Duration = time;
}

/// Evaluates parameters, one after the other: a value can refer to what was loaded before it.
pub struct Loader<'a, 'b> {
    pub(super) dictionary: &'a mut Dictionary,
    pub(super) facts: &'a mut Facts<'b>,
    /// Those of the table that may still be met.
    pub(super) formers: &'static [Former],
}

impl Loader<'_, '_> {
    /// Evaluates one parameter.
    pub fn load<K: Kind>(&mut self, row: &Parameter) -> Result<K::Value, Fatal> {
        self.facts.before(row.name, self.dictionary)?;
        match self.instead(row.name) {
            None => self.read::<K>(row),
            Some(Instead::Default(default)) => self.read::<K>(&Parameter { default, ..*row }),
            Some(Instead::Value(default)) => {
                let theirs = self.dictionary.take(row.name);
                let value = K::load(self, &Parameter { default, ..*row });
                self.dictionary.put_back(row.name, theirs);
                value
            }
        }
    }

    /// What the release that we speak as has in place of the row's default.
    fn instead(&mut self, name: &str) -> Option<Instead> {
        let mut instead = None;
        while let Some(former) = self.formers.first().filter(|former| former.name == name) {
            self.formers = &self.formers[1..];
            instead = instead.or_else(|| former.in_release(self.facts.release));
        }
        instead
    }

    fn read<K: Kind>(&mut self, row: &Parameter) -> Result<K::Value, Fatal> {
        K::load(self, row).or_else(|error| {
            if self.facts.must_be_right() {
                return Err(error);
            }
            self.dictionary.set_default(row.name, Cow::Borrowed(row.default.as_bytes()));
            K::load(self, row)
        })
    }

    fn text(&mut self, row: &Parameter) -> Result<Vec<u8>, Fatal> {
        if self.dictionary.raw(row.name.as_bytes()).is_none() {
            let computed = self.facts.default(row.name, self.dictionary)?;
            let default: Cow<'static, [u8]> = match computed {
                Some(computed) => Cow::Owned(computed),
                None if row.default.contains('$') => {
                    Cow::Owned(self.dictionary.expanded(row.default.as_bytes())?)
                }
                None => Cow::Borrowed(row.default.as_bytes()),
            };
            self.dictionary.set_default(row.name, default.clone());
            // Not expanded again: it is a value now.
            check_length(row, &default, "")?;
            let default = default.into_owned();
            self.facts.note(row.name, &default)?;
            return Ok(default);
        }
        let text = self.dictionary.evaluated(row.name.as_bytes())?.unwrap_or_default();
        check_length(row, &text, "")?;
        self.facts.note(row.name, &text)?;
        Ok(text)
    }

    fn raw(&mut self, row: &Parameter) -> Result<Vec<u8>, Fatal> {
        if self.dictionary.raw(row.name.as_bytes()).is_none() {
            self.dictionary.set_default(row.name, Cow::Borrowed(row.default.as_bytes()));
        }
        let text = self.dictionary.raw(row.name.as_bytes()).unwrap_or_default().to_vec();
        check_length(row, &text, "(")?;
        Ok(text)
    }

    fn long(&mut self, row: &Parameter) -> Result<i64, Fatal> {
        let text = self.dictionary.evaluated_or(row.name, row.default)?;
        let number = number(&text).map_err(|_| bad(row, "numerical", &text))?;
        check_range(row, number)?;
        Ok(number)
    }

    fn int(&mut self, row: &Parameter) -> Result<i32, Fatal> {
        let text = self.dictionary.evaluated_or(row.name, row.default)?;
        let number = number(&text).ok().and_then(|number| i32::try_from(number).ok());
        let number = number.ok_or_else(|| bad(row, "numerical", &text))?;
        check_range(row, number.into())?;
        Ok(number)
    }

    fn truth(&mut self, row: &Parameter) -> Result<bool, Fatal> {
        let text = self.dictionary.evaluated_or(row.name, row.default)?;
        let truth = match &*text {
            text if text.eq_ignore_ascii_case(b"yes") => true,
            text if text.eq_ignore_ascii_case(b"no") => false,
            _ => return Err(bad(row, "boolean", &text)),
        };
        self.facts.note(row.name, if truth { b"yes" } else { b"no" })?;
        Ok(truth)
    }

    fn time(&mut self, row: &Parameter) -> Result<Duration, Fatal> {
        let unit = if row.default.contains('$') {
            Cow::Owned(self.dictionary.expanded(row.default.as_bytes())?)
        } else {
            Cow::Borrowed(row.default.as_bytes())
        };
        let unit = unit.iter().copied().find(u8::is_ascii_alphabetic).unwrap_or(b's');
        let text = self.dictionary.evaluated_or(row.name, row.default)?;
        let seconds = seconds(&text, unit)
            .ok_or_else(|| fatal!("parameter {}: bad time value or unit: {}", row.name, text))?;
        if row.min != 0 && seconds < row.min {
            return Err(fatal!("invalid {}: {} (min {})", row.name, seconds, row.min));
        }
        if row.max != 0 && seconds > row.max {
            return Err(fatal!("invalid {}: {} (max {})", row.name, seconds, row.max));
        }
        Ok(Duration::from_secs(seconds.unsigned_abs()))
    }
}

fn bad(row: &Parameter, kind: &str, text: &[u8]) -> Fatal {
    fatal!("bad {} configuration: {} = {}", kind, row.name, text)
}

fn check_range(row: &Parameter, number: i64) -> Result<(), Fatal> {
    if row.min != 0 && number < row.min {
        return Err(fatal!("invalid {} parameter value {} < {}", row.name, number, row.min));
    }
    if row.max != 0 && number > row.max {
        return Err(fatal!("invalid {} parameter value {} > {}", row.name, number, row.max));
    }
    Ok(())
}

/// `open` is the bracket that Postfix has for raw texts only.
fn check_length(row: &Parameter, text: &[u8], open: &str) -> Result<(), Fatal> {
    let len = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let close = if open.is_empty() { "" } else { ")" };
    let problem = |sign: &str, limit: i64| {
        fatal!(
            "bad string length {}{} {} {}{}: {} = {}",
            open,
            len,
            sign,
            limit,
            close,
            row.name,
            text
        )
    };
    if row.min != 0 && len < row.min {
        return Err(problem("<", row.min));
    }
    if row.max != 0 && len > row.max {
        return Err(problem(">", row.max));
    }
    Ok(())
}

/// A text that is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANumber;

/// A decimal number, as C reads it: blanks and a sign may stand before it, nothing behind it.
pub fn number(text: &[u8]) -> Result<i64, NotANumber> {
    match leading_number(text) {
        Some((number, b"")) => Ok(number),
        _ => Err(NotANumber),
    }
}

/// The number at the start of `text` and what follows; `None`: none, or too large.
fn leading_number(text: &[u8]) -> Option<(i64, &[u8])> {
    let start = text.iter().position(|byte| !is_space(*byte))?;
    let text = &text[start..];
    let negative = text.first() == Some(&b'-');
    let sign = usize::from(negative || text.first() == Some(&b'+'));
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text[sign..].split_at(digits);
    let (first, others) = digits.split_first()?;
    let of = |digit: &u8| i64::from(*digit - b'0') * if negative { -1 } else { 1 };
    let number = others
        .iter()
        .try_fold(of(first), |number, digit| number.checked_mul(10)?.checked_add(of(digit)))?;
    Some((number, rest))
}

/// Seconds in `10`, `10s`, `10m`, `10h`, `10d`, `10w`; only the first byte behind the digits
/// counts. As Postfix: `conv_time()`.
pub fn seconds(text: &[u8], default_unit: u8) -> Option<i64> {
    let (number, rest) = leading_number(text)?;
    let number = i64::from(i32::try_from(number).ok().filter(|number| *number >= 0)?);
    let unit = match rest.first().copied().unwrap_or(default_unit) {
        b's' => return Some(number),
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86400,
        b'w' => 604_800,
        _ => return None,
    };
    (number < i64::from(i32::MAX) / unit).then(|| number * unit)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn fatal(main_cf: &str) -> String {
        String::from_utf8(Config::of_text(main_cf).unwrap_err().0).unwrap()
    }

    #[test]
    fn times_have_units() {
        assert_eq!(seconds(b"10", b'm'), Some(600));
        assert_eq!(seconds(b" +2hours", b's'), Some(7200));
        assert_eq!(seconds(b"1w", b's'), Some(604_800));
        for wrong in [&b""[..], b"s", b"-1", b"1 s", b"1S", b"99999999999", b"3550w", b"35791394m"]
        {
            assert_eq!(seconds(wrong, b's'), None, "{wrong:?}");
        }
    }

    #[test]
    fn numbers_are_those_of_c() {
        assert_eq!(number(b" +5"), Ok(5));
        assert_eq!(number(b"-5"), Ok(-5));
        for wrong in [&b""[..], b" ", b"5 ", b"0x5", b"+-5", b"9223372036854775808"] {
            assert_eq!(number(wrong), Err(NotANumber), "{wrong:?}");
        }
    }

    #[test]
    fn bad_values_are_told_in_the_words_of_postfix() {
        for (main_cf, words) in [
            (
                "smtpd_helo_required = maybe",
                "bad boolean configuration: smtpd_helo_required = maybe",
            ),
            ("max_use = x", "bad numerical configuration: max_use = x"),
            ("max_use = 4294967296", "bad numerical configuration: max_use = 4294967296"),
            ("max_use =", "bad numerical configuration: max_use = "),
            ("max_use = 0", "invalid max_use parameter value 0 < 1"),
            ("smtpd_timeout = 10 s", "parameter smtpd_timeout: bad time value or unit: 10 s"),
            ("smtpd_timeout = 0", "invalid smtpd_timeout: 0 (min 1)"),
            ("in_flow_delay = 11s", "invalid in_flow_delay: 11 (max 10)"),
            ("smtpd_banner =", "bad string length 0 < 1: smtpd_banner = "),
            (
                "default_verp_delimiters = +=-",
                "bad string length 3 > 2: default_verp_delimiters = +=-",
            ),
            ("default_rbl_reply =", "bad string length (0 < 1): default_rbl_reply = "),
            (
                "unverified_sender_reject_code = 600",
                "invalid unverified_sender_reject_code parameter value 600 > 599",
            ),
            ("message_size_limit = 1x", "bad numerical configuration: message_size_limit = 1x"),
            ("smtpd_banner = ${", "dictionary mail_dict: macro processing error"),
        ] {
            assert_eq!(fatal(main_cf), words, "{main_cf}");
        }
    }

    #[test]
    fn what_is_not_used_may_be_wrong() {
        let wrong = "tls_daemon_random_bytes = x\nappend_dot_mydomain = maybe\n";
        let config = Config::of_text(wrong).unwrap();
        assert_eq!(config.tls_daemon_random_bytes, 32);
        for tls in [
            "smtpd_tls_security_level = may\n",
            "smtpd_use_tls = yes\n",
            "smtpd_tls_wrappermode = yes\n",
        ] {
            assert_eq!(
                fatal(&format!("{tls}{wrong}")),
                "bad numerical configuration: tls_daemon_random_bytes = x"
            );
        }
    }

    #[test]
    fn a_limit_of_zero_is_no_limit() {
        let config = Config::of_text("smtpd_client_connection_count_limit = -7").unwrap();
        assert_eq!(config.smtpd_client_connection_count_limit, -7);
    }

    #[test]
    fn the_unit_of_the_default_is_the_unit() {
        let config = Config::of_text("smtpd_timeout = 7\nstress = yes\n").unwrap();
        assert_eq!(config.smtpd_timeout, Duration::from_secs(7));
        assert_eq!(config.smtpd_starttls_timeout, Duration::from_secs(10));
        assert_eq!(config.smtpd_hard_error_limit, 1);
        assert!(config.smtpd_per_request_deadline);
    }

    #[test]
    fn a_name_that_is_not_loaded_yet_stands_for_nothing() {
        let config = Config::of_text(
            "smtpd_banner = $myhostname t=[$smtpd_timeout] r=[$smtpd_recipient_limit] \
             h=[$smtpd_helo_required] p=[$smtpd_sasl_path] i=[$ipc_timeout]",
        )
        .unwrap();
        assert_eq!(config.smtpd_banner, b"mail.example t=[] r=[1000] h=[] p=[] i=[3600s]");
    }
}
