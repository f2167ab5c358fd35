//! What an entry of an access table asks for (access(5)): THE TABLE of actions.
//!
//! ```text
//! entry  = action [ blanks text ]
//!        / digits                         as OK
//!        / code blanks [ dsn ] text       4xx or 5xx
//!        / list                           restrictions, without tables
//! ```

use std::rc::Rc;

use super::compile::{Argument, Compiler, List};
use super::eval::{At, Eval, Outcome, Stop, Verdict};
use super::lookup::{self, Keys};
use super::{Class, Policy};
use crate::log::Fatal;
use crate::mail::client::ErrorClass;
use crate::mail::reply::enhanced_code_length;

/// How deep lists from access tables may stand in each other. As Postfix.
const DEPTH_LIMIT: usize = 100;

/// How many different lists from access tables are kept compiled.
const KEPT_LISTS: usize = 200;

/// An entry that was found.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    /// `type:table`
    table: &'a [u8],
    /// What was looked up.
    key: &'a [u8],
    /// All of it.
    value: &'a [u8],
    /// Its first word.
    action: &'a [u8],
    /// What stands after that.
    text: &'a [u8],
}

type Action = fn(&mut Eval<'_>, &Entry<'_>, &At<'_>) -> Outcome;

/// Every action that has a name; case does not matter.
static ACTIONS: &[(&str, Action)] = &[
    ("BCC", bcc),
    ("DEFER", defer),
    ("DEFER_IF_PERMIT", defer_if_permit),
    ("DEFER_IF_REJECT", defer_if_reject),
    ("DISCARD", discard),
    ("DUNNO", dunno),
    ("FILTER", filter),
    ("HANGUP", hangup),
    ("HOLD", hold),
    ("INFO", info),
    ("OK", ok),
    ("PREPEND", prepend),
    ("REDIRECT", redirect),
    ("REJECT", reject),
    ("RELAY", ok),
    ("WARN", warn),
];

/// Does what `value`, found in `table` under `key`, asks for.
pub(crate) fn apply(
    e: &mut Eval<'_>,
    table: &[u8],
    key: &[u8],
    value: &[u8],
    at: &At<'_>,
) -> Outcome {
    let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
    let (action, text) = value.split_at(end);
    let entry = Entry { table, key, value, action, text: trim_start(text) };

    let row = ACTIONS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(action));
    if let Some((name, run)) = row {
        e.steady &= matches!(*name, "OK" | "RELAY" | "DUNNO");
        return run(e, &entry, at);
    }
    // A number is OK: tables that keep the time of a login have such values.
    if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        return ok(e, &entry, at);
    }
    match action {
        [class @ (b'4' | b'5'), x, y]
            if x.is_ascii_digit() && y.is_ascii_digit() && !entry.text.is_empty() =>
        {
            let code = action.iter().fold(0, |code, digit| code * 10 + i32::from(digit - b'0'));
            refuse(e, &entry, at, code, &[*class, b'.', b'7', b'.', b'1'])
        }
        _ => list(e, &entry, at),
    }
}

/// White space as in C.
fn trim_start(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    &text[text.iter().position(|byte| !blank(byte)).unwrap_or(text.len())..]
}

fn ok(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    e.log_permit(entry.action, at.class, at.name, Some(entry.table));
    Ok(Verdict::Permit)
}

fn dunno(_: &mut Eval<'_>, _: &Entry<'_>, _: &At<'_>) -> Outcome {
    Ok(Verdict::Dunno)
}

fn reject(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    refuse(e, entry, at, e.policy.config.access_map_reject_code, b"5.7.1")
}

fn defer(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    refuse(e, entry, at, e.policy.config.access_map_defer_code, b"4.7.1")
}

fn refuse(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>, code: i32, dsn: &[u8]) -> Outcome {
    let (dsn, text) = reason(entry, at, dsn, "Access denied");
    e.reject(ErrorClass::Policy, code, &dsn, &text)
}

fn defer_if_permit(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    let (dsn, text) = reason(entry, at, b"4.7.1", "Service unavailable");
    e.defer_if_permit(e.policy.config.access_map_defer_code, &dsn, text)
}

fn defer_if_reject(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    let (dsn, text) = reason(entry, at, b"4.7.1", "Service unavailable");
    e.defer_if_reject(e.policy.config.access_map_defer_code, &dsn, text)
}

/// The DSN code and the text of a refusal.
fn reason(
    entry: &Entry<'_>,
    at: &At<'_>,
    default_dsn: &[u8],
    default_text: &str,
) -> (Vec<u8>, Vec<u8>) {
    let (dsn, text) = split_dsn(default_dsn, entry.text);
    let text = if text.is_empty() { default_text.as_bytes() } else { text };
    (fix_dsn(dsn, at.class), fill!("<{}>: {} rejected: {}", at.name, at.class.text(), text))
}

/// Logs only.
fn info(e: &mut Eval<'_>, entry: &Entry<'_>, _: &At<'_>) -> Outcome {
    e.log("info", entry.text);
    Ok(Verdict::Dunno)
}

/// Logs only.
fn warn(e: &mut Eval<'_>, entry: &Entry<'_>, _: &At<'_>) -> Outcome {
    e.log("warn", entry.text);
    Ok(Verdict::Dunno)
}

/// Ends the session without a word.
fn hangup(e: &mut Eval<'_>, entry: &Entry<'_>, _: &At<'_>) -> Outcome {
    e.actions.hang_up = true;
    e.log("hangup", entry.text);
    Err(Stop::HangUp)
}

fn hold(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    if reaches_message(e, entry, "HOLD") && !e.actions.hold {
        log_action(e, at, "hold", or_default(entry.text, "triggers HOLD action"));
        e.actions.hold = true;
    }
    Ok(Verdict::Dunno)
}

fn discard(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    if !reaches_message(e, entry, "DISCARD") {
        return Ok(Verdict::Dunno);
    }
    log_action(e, at, "discard", or_default(entry.text, "triggers DISCARD action"));
    e.actions.discard = true;
    ok(e, entry, at)
}

fn filter(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    if !reaches_message(e, entry, "FILTER") {
        return Ok(Verdict::Dunno);
    }
    if entry.text.is_empty() {
        let Entry { table, key, .. } = entry;
        warning!("access table {} entry \"{}\" has FILTER entry without value", table, key);
    } else if !entry.text.contains(&b':') {
        entry.warn_that_it_requires("transport:destination");
    } else {
        log_action(e, at, "filter", &fill!("triggers FILTER {}", entry.text));
        e.actions.filter = Some(entry.text.to_vec());
    }
    Ok(Verdict::Dunno)
}

fn redirect(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    if reaches_message(e, entry, "REDIRECT") && entry.has_address() {
        log_action(e, at, "redirect", &fill!("triggers REDIRECT {}", entry.text));
        e.actions.redirect = Some(entry.text.to_vec());
    }
    Ok(Verdict::Dunno)
}

fn bcc(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    if reaches_message(e, entry, "BCC") && entry.has_address() {
        log_action(e, at, "bcc", &fill!("triggers BCC {}", entry.text));
        e.actions.bcc.push(entry.text.to_vec());
    }
    Ok(Verdict::Dunno)
}

fn prepend(e: &mut Eval<'_>, entry: &Entry<'_>, _: &At<'_>) -> Outcome {
    if !has_message(e, entry, "PREPEND") {
        return Ok(Verdict::Dunno);
    }
    if e.facts.place == super::END_OF_DATA {
        warning!(
            "access table {}: action PREPEND must be used before smtpd_end_of_data_restrictions",
            entry.table
        );
    } else if is_header(entry.text) {
        e.actions.prepend.push(entry.text.to_vec());
    } else {
        entry.warn_that_it_requires("header: text");
    }
    Ok(Verdict::Dunno)
}

impl Entry<'_> {
    /// Whether the text is `user@domain`, more or less.
    fn has_address(&self) -> bool {
        let has = self.text.contains(&b'@');
        if !has {
            self.warn_that_it_requires("user@domain target");
        }
        has
    }

    fn warn_that_it_requires(&self, what: &str) {
        warning!("access table {} entry \"{}\" requires {}", self.table, self.key, what);
    }
}

fn or_default<'a>(text: &'a [u8], default: &'a str) -> &'a [u8] {
    if text.is_empty() { default.as_bytes() } else { text }
}

fn log_action(e: &mut Eval<'_>, at: &At<'_>, action: &str, what: &[u8]) {
    e.log(action, &fill!("<{}>: {} {}", at.name, at.class.text(), what));
}

/// Whether cleanup(8) can be told about the message. As Postfix: `can_delegate_action()`.
fn reaches_message(e: &Eval<'_>, entry: &Entry<'_>, action: &str) -> bool {
    if e.facts.proxied {
        warning!(
            "access table {}: with smtpd_proxy_filter specified, action {} is unavailable",
            entry.table,
            action
        );
        return false;
    }
    if e.facts.place == "ETRN" {
        warning!(
            "access table {}: action {} is unavailable in smtpd_etrn_restrictions",
            entry.table,
            action
        );
        return false;
    }
    has_message(e, entry, action)
}

/// Whether there is a message to do something with. Before MAIL a refused client or HELO changes
/// nothing about later messages, so an action must not either.
fn has_message(e: &Eval<'_>, entry: &Entry<'_>, action: &str) -> bool {
    if e.facts.sender.is_none() {
        warning!(
            "access table {}: with smtpd_delay_reject=no, action {} is always skipped in Client \
             host or Helo command restrictions",
            entry.table,
            action
        );
    }
    e.facts.sender.is_some()
}

/// Whether `text` begins with a header name and a colon. As Postfix: `is_header()`.
fn is_header(text: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', text) else { return false };
    let mut name = &text[..colon];
    while let [head @ .., b' ' | b'\t'] = name {
        name = head;
    }
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// A restriction list.
fn list(e: &mut Eval<'_>, entry: &Entry<'_>, at: &At<'_>) -> Outcome {
    if entry.value.contains(&b':') {
        warning!("access table {} has entry with lookup table: {}", entry.table, entry.value);
        warning!("do not specify lookup tables inside SMTPD access maps");
        warning!("define a restriction class and specify its name instead.");
        return Err(e.server_error());
    }
    if e.depth > DEPTH_LIMIT {
        warning!(
            "access table {} entry {} causes unreasonable recursion",
            entry.table,
            entry.value
        );
        return Err(e.server_error());
    }
    let Ok(list) = e.policy.list_of_entry(entry.value) else { return Err(e.server_error()) };
    if list.is_empty() {
        e.steady = false;
        warning!("access table {} entry {} has empty value", entry.table, entry.value);
        return Ok(Verdict::Permit);
    }
    e.run(&list, at)
}

impl Policy {
    /// The list in an entry, compiled. There are few of them, and they come again and again.
    fn list_of_entry(&self, text: &[u8]) -> Result<Rc<List>, Fatal> {
        if let Some(list) = self.entry_lists.borrow().get(text) {
            return Ok(Rc::clone(list));
        }
        let mut compiler =
            Compiler { classes: &self.class_names, tables: None, logins: self.config.has_logins() };
        let list = Rc::new(compiler.list(text)?);
        let mut kept = self.entry_lists.borrow_mut();
        if kept.len() >= KEPT_LISTS {
            kept.clear();
        }
        kept.insert(text.to_vec(), Rc::clone(&list));
        Ok(list)
    }
}

/// The DSN code at the start of `text`, or the default one, and what follows it.
pub(crate) fn split_dsn<'a>(default: &'a [u8], text: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let text = trim_start(text);
    match enhanced_code_length(text) {
        0 => (default, text),
        len => (&text[..len], trim_start(&text[len..])),
    }
}

/// Which detail an address status (X.1.Y) has when a sender is refused, and when a recipient is.
const ADDRESS_STATUS: &[(&[u8], &[u8], &[u8])] = &[
    (b"1", b"4.1.7", b"4.1.1"),
    (b"2", b"4.1.8", b"4.1.2"),
    (b"3", b"4.1.7", b"4.1.3"),
    (b"4", b"4.1.7", b"4.1.4"),
    (b"5", b"4.1.0", b"4.1.5"),
    (b"6", b"4.1.7", b"4.1.6"),
    (b"7", b"4.1.7", b"4.1.3"),
    (b"8", b"4.1.8", b"4.1.2"),
];

/// Makes an address status (RFC 3463, section 3.2) one about what is refused; the first digit
/// comes from the reply code later. As Postfix: `smtpd_dsn_fix()`.
pub(crate) fn fix_dsn(dsn: &[u8], class: Class) -> Vec<u8> {
    let [digit, b'.', b'1', b'.', detail @ ..] = dsn else { return dsn.to_vec() };
    let row = ADDRESS_STATUS.iter().find(|(row, ..)| *row == detail);
    let fixed: &[u8] = match (class, row) {
        (Class::Sender, Some((_, sender, _))) => sender,
        (Class::Recipient, Some((_, _, recipient))) => recipient,
        (Class::Sender | Class::Recipient, None) => b"4.1.0",
        _ => b"4.0.0",
    };
    if dsn[2..] != fixed[2..] {
        info!(
            "mapping DSN status {} into {} status {}{}",
            dsn,
            class.text(),
            char::from(*digit),
            &fixed[1..]
        );
    }
    fixed.to_vec()
}

/// Looks up the domain in ETRN.
pub(crate) fn check_etrn_access(e: &mut Eval<'_>, at: &At<'_>, argument: &Argument) -> Outcome {
    let Some(domain) = e.facts.etrn else { return Ok(Verdict::Dunno) };
    let at = at.about(Class::Etrn, domain);
    let table = lookup::table(argument, "check_domain_access");
    Ok(lookup::check(e, argument, table, Keys::Domain(domain), &at)?.verdict())
}
