//! VRFY (RFC 5321, section 4.1.1.6).

use super::commands::{Answer, Args};
use super::ehlo::Keyword;
use super::esmtp::Rules;
use super::{Session, Stop};
use crate::mail::client::ErrorClass;
use crate::mail::path;
use crate::wire::command::{Token, TokenKind};

/// VRFY address [SMTPUTF8]. The answer is `252` where a recipient would be accepted. The
/// transaction is left alone.
pub(crate) fn vrfy(s: &mut Session<'_>, args: &Args) -> Answer {
    if s.config().disable_vrfy_command {
        return Err(Stop::Refuse(
            reply!("502 5.5.1 VRFY command is disabled"),
            Some(ErrorClass::Policy),
        ));
    }
    let may_utf8 = s.config().smtputf8_enable && !s.discard.has(Keyword::SmtpUtf8);
    let mut words = args.tokens.get(1..).unwrap_or_default();
    let mut smtputf8 = false;
    if let Some((last, others)) = words.split_last() {
        if may_utf8 && last.text.eq_ignore_ascii_case(b"SMTPUTF8") {
            words = others;
            smtputf8 = true;
        }
    }
    if words.is_empty() {
        let more = if s.config().smtputf8_enable { " [SMTPUTF8]" } else { "" };
        return protocol!("501 5.5.4 Syntax: VRFY address{}", more);
    }
    s.limit_recipients()?;
    let texts: Vec<&[u8]> = words.iter().map(|word| word.text.as_slice()).collect();
    let text = texts.join(&b' ');
    let token = Token { text: text.clone(), kind: TokenKind::Other };
    let one = Args { line: Vec::new(), tokens: vec![token] };
    let path = path::Rules { strict: false, allow_empty: false };
    let rules = Rules { path, smtputf8, word: 0 };
    let sender = s.mail.as_ref().map(|mail| mail.sender.clone()).unwrap_or_default();
    let Some(address) = s.address(&one, &sender, rules) else {
        return protocol!("501 5.1.3 Bad recipient address syntax");
    };
    if s.config().strict_smtputf8 {
        s.needs_smtputf8(&address, smtputf8, "recipient")?;
    }
    s.check_recipient(&address, smtputf8)?;
    Ok(reply!("252 2.0.0 {}", text))
}
