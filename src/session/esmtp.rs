//! MAIL and RCPT (RFC 5321, sections 4.1.1.2 and 4.1.1.3) and THE TABLES of their parameters.

use std::time::{Duration, Instant};

use super::commands::{Answer, Args};
use super::ehlo::Keyword;
use super::limits::Rate;
use super::mail::{Mail, Recipient};
use super::{About, Session, Stop};
use crate::config::Config;
use crate::config::dialect::Change;
use crate::ipc::rewrite::{Resolve, Resolved};
use crate::mail::client::ErrorClass;
use crate::mail::{dsn, path};
use crate::sys::{file, time};
use crate::text::printable::printable;
use crate::wire::command::TokenKind;

/// Plenty of room: so many bytes more than there must be.
const PLENTY: u64 = 1 << 30;
/// How long that is believed.
const PLENTY_LASTS: Duration = Duration::from_secs(1);

/// What the parameters of MAIL came to.
#[derive(Default)]
struct MailParameters {
    smtputf8: bool,
    require_tls: bool,
    encoding: Option<&'static str>,
    envelope_id: Option<Vec<u8>>,
    ret: Option<dsn::Ret>,
    verp: Option<Vec<u8>>,
}

/// What the parameters of RCPT came to.
#[derive(Default)]
struct RcptParameters {
    notify: Option<dsn::Notify>,
    original: Option<Vec<u8>>,
}

type Take<P> = fn(&mut Session<'_>, &[u8], &mut P) -> Result<(), Stop>;

/// A parameter: how it begins (`SIZE=`), or all of it (`SMTPUTF8`).
struct Parameter<P> {
    word: &'static str,
    applies: fn(&Session<'_>) -> bool,
    take: Take<P>,
}

/// The parameters of MAIL.
static MAIL: &[Parameter<MailParameters>] = &[
    Parameter { word: "BODY=8BITMIME", applies: always, take: |_, _, p| body(p, "8bit") },
    Parameter { word: "BODY=7BIT", applies: always, take: |_, _, p| body(p, "7bit") },
    Parameter { word: "SIZE=", applies: always, take: size },
    Parameter { word: "SMTPUTF8", applies: may_smtputf8, take: |_, _, _| Ok(()) },
    Parameter { word: "REQUIRETLS", applies: may_require_tls, take: require_tls },
    Parameter { word: "AUTH=", applies: always, take: auth },
    Parameter { word: "XVERP=", applies: may_verp, take: verp },
    Parameter { word: "XVERP", applies: may_verp, take: default_verp },
    Parameter { word: "RET=", applies: always, take: ret },
    Parameter { word: "ENVID=", applies: always, take: envelope_id },
];

/// The parameters of RCPT.
static RCPT: &[Parameter<RcptParameters>] = &[
    Parameter { word: "NOTIFY=", applies: always, take: notify },
    Parameter { word: "ORCPT=", applies: always, take: original },
];

fn always(_: &Session<'_>) -> bool {
    true
}

fn may_smtputf8(s: &Session<'_>) -> bool {
    s.config().smtputf8_enable && !s.discard.has(Keyword::SmtpUtf8)
}

/// As Postfix: where smtpd_authorized_verp_clients cannot be asked, the parameter is unknown.
fn may_verp(s: &Session<'_>) -> bool {
    let client = &s.who.client;
    s.server.lists.verp_clients.matches_host(&client.name, &client.addr).unwrap_or(false)
}

fn may_require_tls(s: &Session<'_>) -> bool {
    let asked_in_tls = s.config().requiretls_enable && s.who.tls.is_some();
    asked_in_tls && !s.discard.has(Keyword::RequireTls)
}

/// REQUIRETLS (RFC 8689)
#[expect(clippy::unnecessary_wraps, reason = "a row of the table")]
fn require_tls(_: &mut Session<'_>, _: &[u8], p: &mut MailParameters) -> Result<(), Stop> {
    p.require_tls = true;
    Ok(())
}

/// Takes the parameters from word 3 on.
fn parameters<P: Default>(
    s: &mut Session<'_>,
    args: &Args,
    table: &[Parameter<P>],
) -> Result<P, Stop> {
    let mut taken = P::default();
    'words: for token in args.tokens.iter().skip(3) {
        let text = &token.text;
        for row in table {
            let word = row.word.as_bytes();
            let Some((head, value)) = text.split_at_checked(word.len()) else { continue };
            let whole = value.is_empty() || word.ends_with(b"=");
            if head.eq_ignore_ascii_case(word) && whole && (row.applies)(s) {
                (row.take)(s, value, &mut taken)?;
                continue 'words;
            }
        }
        return protocol!("555 5.5.4 Unsupported option: {}", text);
    }
    Ok(taken)
}

#[expect(clippy::unnecessary_wraps, reason = "a row of the table")]
fn body(p: &mut MailParameters, encoding: &'static str) -> Result<(), Stop> {
    p.encoding = Some(encoding);
    Ok(())
}

/// SIZE=n (RFC 1870)
fn size(s: &mut Session<'_>, value: &[u8], _: &mut MailParameters) -> Result<(), Stop> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return protocol!("501 5.5.4 Bad message size syntax");
    }
    let size = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
    // As Postfix: the size stays where MAIL is refused, until the next reset.
    s.announced_size = size.unwrap_or(-1);
    if s.announced_size < 0 {
        return policy(reply!("552 5.3.4 Message size exceeds file system imposed limit"));
    }
    Ok(())
}

fn policy<T>(reply: crate::mail::reply::Reply) -> Result<T, Stop> {
    Err(Stop::Refuse(reply, Some(ErrorClass::Policy)))
}

/// AUTH=mailbox (RFC 4954, section 5); kept as it is.
fn auth(s: &mut Session<'_>, value: &[u8], _: &mut MailParameters) -> Result<(), Stop> {
    if s.auth_parameter.is_some() {
        return protocol!("503 5.5.4 Error: multiple AUTH= options");
    }
    if value != b"<>" {
        s.auth_parameter = Some(printable(value, b'?', s.config().smtputf8_enable));
    }
    Ok(())
}

/// XVERP=xy (VERP_README)
fn verp(s: &mut Session<'_>, value: &[u8], p: &mut MailParameters) -> Result<(), Stop> {
    let filter = &s.config().verp_delimiter_filter;
    if value.len() != 2 || !value.iter().all(|byte| filter.contains(byte)) {
        return protocol!("501 5.5.4 Error: XVERP needs two characters from {}", filter);
    }
    p.verp = Some(value.to_vec());
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "a row of the table")]
fn default_verp(s: &mut Session<'_>, _: &[u8], p: &mut MailParameters) -> Result<(), Stop> {
    p.verp = Some(s.config().default_verp_delimiters.clone());
    Ok(())
}

fn needs_dsn(s: &Session<'_>) -> Result<(), Stop> {
    if s.discard.has(Keyword::Dsn) {
        return protocol!("501 5.7.1 DSN support is disabled");
    }
    Ok(())
}

/// RET=FULL|HDRS (RFC 3461, section 4.3)
fn ret(s: &mut Session<'_>, value: &[u8], p: &mut MailParameters) -> Result<(), Stop> {
    needs_dsn(s)?;
    match dsn::Ret::parse(value) {
        Some(ret) if p.ret.is_none() => p.ret = Some(ret),
        _ => return protocol!("501 5.5.4 Bad RET parameter syntax"),
    }
    Ok(())
}

/// ENVID=xtext (RFC 3461, section 4.4)
fn envelope_id(s: &mut Session<'_>, value: &[u8], p: &mut MailParameters) -> Result<(), Stop> {
    needs_dsn(s)?;
    match dsn::envelope_id(value, s.config().does(Change::EnvelopeIdWithTab)) {
        Some(id) if p.envelope_id.is_none() => p.envelope_id = Some(id),
        _ => return protocol!("501 5.5.4 Bad ENVID parameter syntax"),
    }
    Ok(())
}

/// NOTIFY= (RFC 3461, section 4.1)
fn notify(s: &mut Session<'_>, value: &[u8], p: &mut RcptParameters) -> Result<(), Stop> {
    needs_dsn(s)?;
    match dsn::Notify::parse(value) {
        Ok(notify) if p.notify.is_none() => p.notify = Some(notify),
        Err(dsn::BadNotify::Unknown(why)) if p.notify.is_none() => {
            warning!("{}", why);
            return protocol!("501 5.5.4 Error: Bad NOTIFY parameter syntax");
        }
        _ => return protocol!("501 5.5.4 Error: Bad NOTIFY parameter syntax"),
    }
    Ok(())
}

/// ORCPT=type;address (RFC 3461, section 4.2; RFC 6533)
fn original(s: &mut Session<'_>, value: &[u8], p: &mut RcptParameters) -> Result<(), Stop> {
    needs_dsn(s)?;
    match dsn::original_recipient(value) {
        Some(original) if p.original.is_none() => p.original = Some(original),
        _ => return protocol!("501 5.5.4 Error: Bad ORCPT parameter syntax"),
    }
    Ok(())
}

/// MAIL FROM:<reverse-path> (RFC 5321, section 4.1.1.2).
pub(crate) fn mail(s: &mut Session<'_>, args: &Args) -> Answer {
    s.forget_parameters();
    if s.config().smtpd_helo_required && s.who.helo.is_none() {
        return policy(reply!("503 5.5.1 Error: send HELO/EHLO first"));
    }
    if s.mail.is_some() {
        return protocol!("503 5.5.1 Error: nested MAIL command");
    }
    if s.chunks.in_progress() {
        return protocol!("503 5.5.1 Error: MAIL after BDAT");
    }
    if !args.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"from:")) || args.count() < 2 {
        return protocol!("501 5.5.4 Syntax: MAIL FROM:<address>");
    }
    s.limit_messages()?;
    let smtputf8 = asks_for_smtputf8(s, args);
    let Some(sender) = s.address(args, b"", s.rules(true, smtputf8)) else {
        return protocol!("501 5.1.7 Bad sender address syntax");
    };
    let mut p = parameters(s, args, MAIL)?;
    p.smtputf8 = smtputf8;
    s.check_size(&sender)?;
    s.check_certificate_sender(&sender)?;
    if p.verp.is_some() && sender.is_empty() {
        return Err(Stop::Refuse(reply!("503 5.5.4 Error: XVERP requires non-null sender"), None));
    }
    let sender = s.probe(&sender).unwrap_or(sender);
    s.check_sender(&sender, smtputf8).inspect_err(|_| s.reset_mail())?;
    if s.server.lacks_filter {
        // As with a Milter that does not answer: nothing passes unfiltered.
        s.reset_mail();
        return policy(reply!("451 4.7.1 Service unavailable - try again later"));
    }
    let rewrite_context = s.rewrite_context().inspect_err(|_| s.reset_mail())?;
    s.needs_smtputf8(&sender, smtputf8, "sender")?;
    s.check_queue_space().inspect_err(|_| s.reset_mail())?;
    s.begin(sender, p, rewrite_context);
    if !s.config().smtpd_delay_open_until_valid_rcpt {
        s.open_queue_file()?;
    }
    Ok(reply!("250 2.1.0 Ok"))
}

/// SMTPUTF8 decides which addresses are allowed, so it is looked for before they are.
fn asks_for_smtputf8(s: &Session<'_>, args: &Args) -> bool {
    let mut words = args.tokens.iter().skip(3);
    may_smtputf8(s) && words.any(|token| token.text.eq_ignore_ascii_case(b"SMTPUTF8"))
}

/// RCPT TO:<forward-path> (RFC 5321, section 4.1.1.3).
pub(crate) fn rcpt(s: &mut Session<'_>, args: &Args) -> Answer {
    let Some(mail) = &s.mail else {
        return protocol!("503 5.5.1 Error: need MAIL command");
    };
    let smtputf8 = mail.smtputf8;
    if s.chunks.in_progress() {
        return protocol!("503 5.5.1 Error: RCPT after BDAT");
    }
    if !args.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"to:")) || args.count() < 2 {
        return protocol!("501 5.5.4 Syntax: RCPT TO:<address>");
    }
    s.limit_recipients()?;
    let sender = mail_sender(s);
    let Some(address) = s.address(args, &sender, s.rules(false, smtputf8)) else {
        return protocol!("501 5.1.3 Bad recipient address syntax");
    };
    let p = parameters(s, args, RCPT)?;
    if let Some(answer) = s.too_many_recipients() {
        return answer;
    }
    s.needs_smtputf8(&address, smtputf8, "recipient")?;
    let address = match s.probe(&address) {
        Some(probe) => probe,
        None => {
            s.check_recipient(&address, smtputf8)?;
            address
        }
    };
    if s.mail.as_ref().is_some_and(|mail| mail.cleanup.is_none()) {
        s.open_queue_file()?;
    }
    let written = args.get(2).unwrap_or_default();
    let original = p.original.unwrap_or_else(|| dsn::default_original_recipient(written));
    if let Some(mail) = &mut s.mail {
        mail.add(Recipient { address, notify: p.notify, original });
    }
    Ok(reply!("250 2.1.5 Ok"))
}

fn mail_sender(s: &Session<'_>) -> Vec<u8> {
    s.mail.as_ref().map(|mail| mail.sender.clone()).unwrap_or_default()
}

/// What is allowed of an address, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) path: path::Rules,
    pub(crate) smtputf8: bool,
    /// The word of the command that holds it.
    pub(crate) word: usize,
}

impl Session<'_> {
    fn rules(&self, allow_empty: bool, smtputf8: bool) -> Rules {
        let strict = self.config().strict_rfc821_envelopes;
        Rules { path: path::Rules { strict, allow_empty }, smtputf8, word: 2 }
    }

    /// The address in a command, internal form; `None` (and a warning) where it is none.
    pub(crate) fn address(&self, args: &Args, sender: &[u8], rules: Rules) -> Option<Vec<u8>> {
        let token = args.tokens.get(rules.word)?;
        if token.kind == TokenKind::Error {
            return None;
        }
        let extracted = path::extract(&token.text, rules.path);
        let found = extracted.ok().filter(|address| {
            self.config().stand_alone || self.resolves(sender, address, rules.smtputf8)
        });
        if found.is_none() {
            let shown = printable(&token.text, b'?', self.config().smtputf8_enable);
            let (client, place) = (&self.who.client.namaddr, self.who.place);
            warning!("Illegal address syntax from {} in {} command: {}", client, place, shown);
        }
        found
    }

    /// The sender of our own address verification, if `address` is one.
    fn probe(&self, address: &[u8]) -> Option<Vec<u8>> {
        if self.config().stand_alone {
            return None;
        }
        self.server.probe.plain(&self.server.rewrite, address)
    }

    /// Whether trivial-rewrite(8) takes the address for one.
    fn resolves(&self, sender: &[u8], address: &[u8], smtputf8: bool) -> bool {
        if address.is_empty() {
            return true;
        }
        let resolved = self.server.rewrite.resolve(sender, address);
        if resolved.has(Resolved::FLAG_ERROR) {
            return false;
        }
        let domain = resolved.recipient.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
        smtputf8 || !resolved.recipient.contains(&b'@') || domain.is_ascii()
    }

    /// As Postfix: a second MAIL is refused, yet BODY, RET and SMTPUTF8 of the first are gone.
    fn forget_parameters(&mut self) {
        if let Some(mail) = &mut self.mail {
            (mail.smtputf8, mail.encoding, mail.ret) = (false, None, None);
        }
    }

    fn limit_messages(&mut self) -> Result<(), Stop> {
        let Some(count) = self.over(Rate::Message) else { return Ok(()) };
        let client = &self.who.client;
        let reply = reply!("450 4.7.1 Error: too much mail from {}", client.addr);
        let (namaddr, service) = (&client.namaddr, &self.config().service_name);
        warning!(
            "Message delivery request rate limit exceeded: {} from {} for service {}",
            count,
            namaddr,
            service
        );
        policy(reply)
    }

    pub(crate) fn limit_recipients(&mut self) -> Result<(), Stop> {
        let Some(count) = self.over(Rate::Recipient) else { return Ok(()) };
        let client = &self.who.client;
        warning!(
            "Recipient address rate limit exceeded: {} from {} for service {}",
            count,
            client.namaddr,
            self.config().service_name
        );
        policy(reply!("450 4.7.1 Error: too many recipients from {}", client.addr))
    }

    /// smtpd_recipient_limit, and how far beyond a client may go without an error.
    fn too_many_recipients(&mut self) -> Option<Answer> {
        let config = self.config();
        let mail = self.mail.as_mut()?;
        if (mail.count as u64) < config.smtpd_recipient_limit.max(0) as u64 {
            return None;
        }
        let reply = reply!("452 4.5.3 Error: too many recipients");
        mail.overshoot = mail.overshoot.saturating_add(1);
        Some(if mail.overshoot <= config.smtpd_recipient_overshoot_limit {
            Ok(reply)
        } else {
            policy(reply)
        })
    }

    /// strict_smtputf8
    pub(crate) fn needs_smtputf8(
        &self,
        address: &[u8],
        smtputf8: bool,
        whose: &str,
    ) -> Result<(), Stop> {
        if smtputf8 || address.is_ascii() {
            return Ok(());
        }
        let config = self.config();
        if config.strict_smtputf8 {
            return Err(Stop::Refuse(
                reply!("553 5.6.7 Must declare SMTPUTF8 to send unicode address"),
                None,
            ));
        }
        if self.server.warns_of_smtputf8 {
            info!(
                "using backwards-compatible default setting smtputf8_enable=no to accept \
                 non-ASCII {} address \"{}\" from {}",
                whose, address, self.who.client.namaddr
            );
        }
        Ok(())
    }

    /// SIZE= against message_size_limit. As Postfix: also what an earlier, refused MAIL announced.
    fn check_size(&mut self, sender: &[u8]) -> Result<(), Stop> {
        let limit = self.config().message_size_limit;
        if limit <= 0 || self.announced_size <= limit {
            return Ok(());
        }
        let text = reply!("552 5.3.4 Message size exceeds fixed limit");
        let about = About { sender: Some(sender), ..About::default() };
        self.log_refusal("reject", text.as_bytes(), about);
        policy(text)
    }

    /// local_header_rewrite_clients: whose headers are completed with our domain.
    fn rewrite_context(&mut self) -> Result<&'static str, Stop> {
        let Some(clients) = &self.server.rewrite_clients else { return Ok("local") };
        let facts = self.facts(About::default());
        let local = clients.matches(&facts)?;
        Ok(if local { "local" } else { "remote" })
    }

    /// queue_minfree, and room for 1.5 messages of the greatest size. Where there was plenty of room
    /// a moment ago, that is not looked at again.
    fn check_queue_space(&mut self) -> Result<(), Stop> {
        let config = self.config();
        let now = Instant::now();
        let plenty = |seen: Instant| now.saturating_duration_since(seen) < PLENTY_LASTS;
        if config.stand_alone || self.server.plenty_of_room.get().is_some_and(plenty) {
            return Ok(());
        }
        // The working directory is the queue directory.
        let Ok(space) = file::free_space(".") else { return Ok(()) };
        if has_room(config, space, 0) {
            let plenty = has_room(config, space, PLENTY);
            self.server.plenty_of_room.set(plenty.then_some(now));
            return Ok(());
        }
        let reply = reply!("452 4.3.1 Insufficient system storage");
        self.log_refusal("reject", reply.as_bytes(), About::default());
        let free = space.blocks.saturating_mul(space.block_size);
        warning!("not enough free space in mail queue: {} bytes < 1.5*message size limit", free);
        Err(Stop::Refuse(reply, Some(ErrorClass::Resource)))
    }

    fn begin(&mut self, sender: Vec<u8>, p: MailParameters, rewrite_context: &'static str) {
        self.transactions = self.transactions.wrapping_add(1);
        self.mail = Some(Mail {
            sender,
            recipient: None,
            count: 0,
            overshoot: 0,
            arrival: time::now(),
            smtputf8: p.smtputf8,
            require_tls: p.require_tls,
            encoding: p.encoding,
            envelope_id: p.envelope_id,
            ret: p.ret,
            verp: p.verp,
            rewrite_context,
            cleanup: None,
        });
    }
}

/// Whether there is the room that must be, and so many bytes more.
fn has_room(config: &Config, space: file::FreeSpace, more: u64) -> bool {
    let block = space.block_size.max(1);
    let blocks = space.blocks.saturating_sub(more / block);
    let min_free = config.queue_minfree.max(0) as u64;
    let limit = config.message_size_limit.max(0) as u64;
    min_free / block < blocks && ((limit / block) as f64) < blocks as f64 / 1.5
}
