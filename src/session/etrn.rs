//! ETRN (RFC 1985): deliver now what waits for a site.

use super::commands::{Answer, Args, cut};
use super::{Session, Stop};
use crate::ipc::flush::{self, Status};
use crate::mail::client::ErrorClass;
use crate::mail::hostname;

/// ETRN domain
pub(crate) fn etrn(s: &mut Session<'_>, args: &Args) -> Answer {
    if s.config().smtpd_helo_required && s.who.helo.is_none() {
        return Err(Stop::Refuse(
            reply!("503 Error: send HELO/EHLO first"),
            Some(ErrorClass::Policy),
        ));
    }
    if s.mail.is_some() {
        return protocol!("503 Error: MAIL transaction in progress");
    }
    let site = match args.get(1) {
        Some(site) if args.count() == 1 => site,
        _ => return protocol!("500 Syntax: ETRN domain"),
    };
    let site = site.strip_prefix(b"@").or(site.strip_prefix(b"#")).unwrap_or(site);
    if hostname::valid_hostname(site).is_err() && hostname::valid_literal(site).is_err() {
        return protocol!("501 Error: invalid parameter syntax");
    }
    if s.config().stand_alone {
        warning!("do not use ETRN in \"sendmail -bs\" mode");
        return unable();
    }
    s.check_etrn(site)?;
    ask_flush(s, site)
}

fn ask_flush(s: &Session<'_>, site: &[u8]) -> Answer {
    let namaddr = &s.who.client.namaddr;
    let status = match s.server.lists.fast_flush_domains.matches_domain(site) {
        Ok(true) => flush::send_site(s.config(), site),
        Ok(false) => Status::Deny,
        Err(_) => Status::Fail,
    };
    match status {
        Status::Ok => Ok(reply!("250 Queuing started")),
        Status::Deny => {
            warning!("reject: ETRN {}... from {}", cut(site, 100), namaddr);
            Err(Stop::Refuse(reply!("459 <{}>: service unavailable", site), None))
        }
        Status::Bad => {
            warning!("bad ETRN {}... from {}", cut(site, 100), namaddr);
            unable()
        }
        Status::Fail => {
            warning!("unable to talk to fast flush service");
            unable()
        }
    }
}

fn unable() -> Answer {
    Err(Stop::Refuse(reply!("458 Unable to queue messages"), None))
}
