//! HELO and EHLO (RFC 5321, section 4.1.1.1).

use super::commands::{Answer, Args};
use super::{Session, attribute, ehlo};
use crate::text::printable::printable;

/// HELO hostname
pub(crate) fn helo(s: &mut Session<'_>, args: &Args) -> Answer {
    let Some(name) = args.joined(1) else {
        return protocol!("501 Syntax: HELO hostname");
    };
    accept(s, &name)?;
    Ok(reply!("250 {}", s.config().myhostname))
}

/// EHLO hostname
pub(crate) fn ehlo(s: &mut Session<'_>, args: &Args) -> Answer {
    let Some(name) = args.joined(1) else {
        return protocol!("501 Syntax: EHLO hostname");
    };
    accept(s, &name)?;
    s.who.protocol = "ESMTP";
    ehlo::announce(s)
}

/// Asks the HELO restrictions; then everything starts anew with this name.
fn accept(s: &mut Session<'_>, name: &[u8]) -> Result<(), super::Stop> {
    s.check_helo(name)?;
    s.flush_history()?;
    s.reset_mail();
    s.who.helo = Some(neutered(name, s.config().smtputf8_enable));
    Ok(())
}

fn neutered(name: &[u8], utf8: bool) -> Vec<u8> {
    attribute::neutered(printable(name, b'?', utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_a_header() {
        assert_eq!(neutered(b"a (b) <c@d>\t;\"\\", true), b"a??b???c?d?????");
    }
}
