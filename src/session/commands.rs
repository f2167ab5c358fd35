//! THE TABLE of SMTP commands, and what becomes of a line that a client sends.

use super::notify::without_secret;
use super::{Session, Stop};
use super::{auth, bdat, data, esmtp, etrn, helo, starttls, vrfy, xclient, xforward};
use crate::config::dialect::Change;
use crate::mail::client::ErrorClass;
use crate::mail::reply::Reply;
use crate::text::printable::{escaped, printable};
use crate::wire::command::{Token, tokens};
use crate::wire::message::BareNewline;

/// The last word of a command.
pub(crate) type Answer = Result<Reply, Stop>;

/// A command of the client.
pub(crate) struct Args {
    /// The line, without its end.
    pub(crate) line: Vec<u8>,
    /// Its words; the first is the verb.
    pub(crate) tokens: Vec<Token>,
}

impl Args {
    /// How many words follow the verb.
    pub(crate) fn count(&self) -> usize {
        self.tokens.len() - 1
    }

    /// Word `n`; the verb is word 0.
    pub(crate) fn get(&self, n: usize) -> Option<&[u8]> {
        self.tokens.get(n).map(|token| token.text.as_slice())
    }

    /// The words from `n` on, with one blank between them; `None` where there is none.
    pub(crate) fn joined(&self, n: usize) -> Option<Vec<u8>> {
        let words = self.tokens.get(n..).filter(|words| !words.is_empty())?;
        let words: Vec<&[u8]> = words.iter().map(|token| token.text.as_slice()).collect();
        Some(words.join(&b' '))
    }
}

/// A row of [`COMMANDS`].
pub(crate) struct Command {
    /// Upper case.
    pub(crate) verb: &'static str,
    run: fn(&mut Session<'_>, &Args) -> Answer,
    flags: u8,
    /// The command is not in all releases.
    since: Option<Change>,
}

/// The command does nothing useful: too many of it are errors (smtpd_junk_command_limit).
const LIMIT: u8 = 1;
/// The command is allowed before STARTTLS where TLS is demanded.
const PRE_TLS: u8 = 2;
/// The client must wait for the reply before it goes on (RFC 2920, section 3.1).
const LAST: u8 = 4;

/// Every SMTP command that we know. Order and flags as in Postfix's `smtpd_cmd_table`; the
/// disconnect line has the same order.
pub(crate) static COMMANDS: &[Command] = &[
    command("HELO", helo::helo, LIMIT | PRE_TLS | LAST),
    command("EHLO", helo::ehlo, LIMIT | PRE_TLS | LAST),
    command("XCLIENT", xclient::xclient, PRE_TLS),
    command("XFORWARD", xforward::xforward, 0),
    command("STARTTLS", starttls::starttls, PRE_TLS),
    command("AUTH", auth::auth, 0),
    command("MAIL", esmtp::mail, 0),
    command("RCPT", esmtp::rcpt, 0),
    command("DATA", data::data, LAST),
    command("BDAT", bdat::bdat, 0),
    command("RSET", rset, LIMIT),
    command("NOOP", noop, LIMIT | PRE_TLS | LAST),
    command("VRFY", vrfy::vrfy, LIMIT | LAST),
    command("ETRN", etrn::etrn, LIMIT),
    command("QUIT", quit, PRE_TLS),
    Command { since: Some(Change::HelpCommand), ..command("HELP", help, PRE_TLS) },
];

const fn command(
    verb: &'static str,
    run: fn(&mut Session<'_>, &Args) -> Answer,
    flags: u8,
) -> Command {
    Command { verb, run, flags, since: None }
}

/// RSET (RFC 5321, section 4.1.1.5).
fn rset(s: &mut Session<'_>, args: &Args) -> Answer {
    if args.count() != 0 {
        return protocol!("501 5.5.4 Syntax: RSET");
    }
    s.flush_history()?;
    s.reset_mail();
    Ok(reply!("250 2.0.0 Ok"))
}

/// NOOP, with or without arguments (RFC 5321, section 4.1.1.9).
#[expect(clippy::unnecessary_wraps, reason = "a row of the table")]
fn noop(_: &mut Session<'_>, _: &Args) -> Answer {
    Ok(reply!("250 2.0.0 Ok"))
}

/// QUIT (RFC 5321, section 4.1.1.10).
#[expect(clippy::unnecessary_wraps, reason = "a row of the table")]
fn quit(_: &mut Session<'_>, _: &Args) -> Answer {
    Ok(reply!("221 2.0.0 Bye"))
}

/// HELP: the names of all commands (RFC 5321, section 4.1.1.8).
#[expect(clippy::unnecessary_wraps, reason = "a row of the table")]
fn help(_: &mut Session<'_>, _: &Args) -> Answer {
    let mut verbs: Vec<&str> = COMMANDS.iter().map(|command| command.verb).collect();
    verbs.sort_unstable();
    Ok(reply!("214 2.0.0 Commands: {}", verbs.join(" ")))
}

/// Whether more commands are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Command,
    End,
}

/// Reads commands and answers them until the session ends.
pub(crate) fn run(s: &mut Session<'_>) -> Result<(), Stop> {
    while !s.chat.hang_up {
        s.flush_history()?;
        if s.tally.errors >= s.config().smtpd_hard_error_limit {
            s.too_many_errors = true;
            s.blame(ErrorClass::Protocol);
            s.chat.be_patient();
            s.say(&reply!("421 4.7.0 {} Error: too many errors", s.config().myhostname))?;
            break;
        }
        if step(s)? == Next::End {
            break;
        }
    }
    Ok(())
}

/// One command, from line to reply.
fn step(s: &mut Session<'_>) -> Result<Next, Stop> {
    crate::sys::watchdog::reset();
    let said = s.chat.read(s.bare_newline, &s.who.client.namaddr)?;
    detail!("< {}: {}", s.who.client.namaddr, &*without_secret(&said.line));
    if said.too_long && s.config().does(Change::LongCommandRefused) {
        s.blame(ErrorClass::Protocol);
        s.say(&reply!("500 5.5.2 {} Error: command too long", s.config().myhostname))?;
        return Ok(Next::Command);
    }
    if said.bare_newline && s.bare_newline == BareNewline::Reject {
        s.refuse_bare_newline()?;
        return Ok(Next::End);
    }
    s.note_bare_newline(said.bare_newline);
    let checked = if s.config().does(Change::Utf8UntilNul) {
        &said.line[..memchr::memchr(0, &said.line).unwrap_or(said.line.len())]
    } else {
        &said.line
    };
    if s.config().smtputf8_enable && std::str::from_utf8(checked).is_err() {
        return malformed(s, &reply!("500 5.5.2 Error: bad UTF-8 syntax"));
    }
    let line = filtered(s, said.line)?;
    let tokens = tokens(&line);
    let Some(verb) = tokens.first().map(|token| token.text.clone()) else {
        return malformed(s, &reply!("500 5.5.2 Error: bad syntax"));
    };
    if s.server.lists.noop_commands.matches_string(&verb).unwrap_or(false) {
        s.say(&reply!("250 2.0.0 Ok"))?;
        s.tally.junk(s.config().smtpd_junk_command_limit);
        return Ok(Next::Command);
    }
    let row = COMMANDS.iter().position(|row| {
        verb.eq_ignore_ascii_case(row.verb.as_bytes())
            && row.since.is_none_or(|change| s.config().does(change))
    });
    s.tally.tried(row);
    let args = Args { line, tokens };
    match row {
        None => unknown(s, &args, &verb),
        Some(row) => known(s, &args, row),
    }
}

/// smtpd_command_filter: a table may put another line in the place of a command. It sees the line
/// up to a NUL.
fn filtered(s: &Session<'_>, line: Vec<u8>) -> Result<Vec<u8>, Stop> {
    let Some(filter) = &s.server.command_filter else { return Ok(line) };
    let seen = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let blanks = seen.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match filter.lookup(&seen[blanks..]) {
        Ok(None) => Ok(line),
        Ok(Some(new)) => {
            let (old, client) = (cut(seen, 100), &s.who.client.namaddr);
            info!("{}: replacing command \"{}\" with \"{}\"", client, old, cut(&new, 100));
            Ok(new)
        }
        Err(_) => {
            let shown = printable(seen, b'?', s.config().smtputf8_enable);
            warning!("{} lookup error for \"{}\"", filter.name(), cut(&shown, 100));
            Err(Stop::Data)
        }
    }
}

/// At most `len` bytes of `text`.
pub(crate) fn cut(text: &[u8], len: usize) -> &[u8] {
    &text[..text.len().min(len)]
}

/// A line that is no command.
fn unknown(s: &mut Session<'_>, args: &Args, verb: &[u8]) -> Result<Next, Stop> {
    s.who.place = "UNKNOWN";
    if is_header(verb) || s.server.lists.forbidden_commands.matches_string(verb).unwrap_or(false) {
        let shown = escaped(&args.line);
        warning!("non-SMTP command from {}: {}", s.who.client.namaddr, cut(&shown, 100));
        s.say(&reply!("221 2.7.0 Error: I can break rules, too. Goodbye."))?;
        return Ok(Next::End);
    }
    if s.denied.is_some() {
        return deny(s);
    }
    refuse(s, &reply!("500 5.5.2 Error: command not recognized"))
}

/// Whether a word begins like a message header: `name:`, blanks before the colon allowed (which a
/// word with quotes or brackets can have). As Postfix: `is_header()`.
fn is_header(word: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', word) else { return false };
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let length = word[..colon].iter().rposition(|byte| !blank(byte)).map_or(0, |last| last + 1);
    length > 0 && word[..length].iter().all(u8::is_ascii_graphic)
}

/// A command that we know: the gates in front of it, then the command itself.
fn known(s: &mut Session<'_>, args: &Args, row: usize) -> Result<Next, Stop> {
    let command = &COMMANDS[row];
    let is_quit = command.verb == "QUIT";
    if s.denied.is_some() && !is_quit {
        return deny(s);
    }
    if s.server.switches.enforce_tls && s.who.tls.is_none() && command.flags & PRE_TLS == 0 {
        s.say(&reply!("530 5.7.0 Must issue a STARTTLS command first"))?;
        s.tally.error();
        return Ok(Next::Command);
    }
    s.who.place = command.verb;
    if (s.who.protocol != "ESMTP" || command.flags & LAST != 0) && s.talks_too_early() {
        s.say(&reply!("554 5.5.0 Error: SMTP protocol synchronization"))?;
        return Ok(Next::End);
    }
    match (command.run)(s, args) {
        Ok(reply) => {
            answer(s, &reply, is_quit)?;
            s.tally.done(row);
        }
        Err(Stop::Silent) => s.tally.done(row),
        Err(Stop::Refuse(reply, class)) => {
            if let Some(class) = class {
                s.blame(class);
            }
            s.say(&reply)?;
            s.tally.error();
        }
        Err(stop) => return Err(stop),
    }
    if command.flags & LIMIT != 0 {
        s.tally.junk(s.config().smtpd_junk_command_limit);
    }
    Ok(if is_quit { Next::End } else { Next::Command })
}

/// The reply to QUIT goes out at once where a reply to the end of data waits before it: the client
/// must not send the message again because we end in between. Else it goes out when anvil(8) knows
/// that this client is gone: it may come again at once.
fn answer(s: &mut Session<'_>, reply: &Reply, is_quit: bool) -> Result<(), Stop> {
    let others_wait = s.chat.stream.output_waits();
    s.say(reply)?;
    if is_quit && others_wait {
        s.chat.stream.flush()?;
    }
    Ok(())
}

/// The client was refused when it connected, and yet goes on (RFC 5321, section 3.1).
fn deny(s: &mut Session<'_>) -> Result<Next, Stop> {
    let text = s.denied.clone().unwrap_or_default();
    if text.get(1..3) == Some(b"21") {
        s.say(&Reply::new(text))?;
        return Ok(Next::Command);
    }
    s.say(&reply!("503 5.7.0 Error: access denied for {}", s.who.client.namaddr))?;
    s.tally.error();
    Ok(Next::Command)
}

/// A line that cannot be read as a command.
fn malformed(s: &mut Session<'_>, reply: &Reply) -> Result<Next, Stop> {
    if s.config().does(Change::MalformedCommandCounts) {
        s.who.place = "UNKNOWN";
        s.tally.tried(None);
    }
    refuse(s, reply)
}

/// Refuses a line for its form.
fn refuse(s: &mut Session<'_>, reply: &Reply) -> Result<Next, Stop> {
    s.blame(ErrorClass::Protocol);
    s.say(reply)?;
    s.tally.error();
    Ok(Next::Command)
}
