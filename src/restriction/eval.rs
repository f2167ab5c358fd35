//! From steps to a verdict, and what follows from it.
//!
//! A restriction says *what*; [`Eval`] alone knows *what follows*: from warn_if_reject,
//! defer_if_permit, defer_if_reject, soft_bounce, for the reply, the log line, and
//! notify_classes.

use super::compile::{self, Act, Argument, List, Step};
use super::rows::TableCheck;
use super::{Actions, Class, Env, Facts, Memo, Policy, Refusal, nameserver};
use crate::dns::{Dns, Kind};
use crate::mail::client::ErrorClass;
use crate::mail::reply::enhanced_code_length;
use crate::text::printable::make_printable;

/// How deep lists may stand in lists. As Postfix: only lists from access tables are counted there;
/// a restriction class that names itself would end the process.
const DEPTH_LIMIT: usize = 250;

/// What a restriction or a list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: go on.
    Dunno,
    /// This list ends.
    Permit,
}

/// Why no more lists are asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Refused, and logged.
    Refused(Refusal),
    /// A lookup failed in a way that may go away: 451 4.3.0.
    Lookup,
    /// The configuration is wrong: 451 4.3.5.
    Configuration,
    /// HANGUP.
    HangUp,
}

/// The end of a restriction.
pub(crate) type Outcome = Result<Verdict, Stop>;

/// What a list is about: what generic restrictions and access tables name in their replies, and
/// what a table without a restriction in front of it is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    /// As in `<name>: Client host rejected`.
    pub(crate) name: &'a [u8],
    pub(crate) class: Class,
    /// The restriction that a bare `type:table` stands for.
    pub(crate) default: Option<TableCheck>,
}

impl<'a> At<'a> {
    /// The same list, but about `name`.
    pub(crate) fn about<'b>(&self, class: Class, name: &'b [u8]) -> At<'b>
    where
        'a: 'b,
    {
        At { name, class, default: self.default }
    }
}

/// A refusal that is kept for later (defer_if_permit, defer_if_reject).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deferral {
    code: i32,
    dsn: Vec<u8>,
    text: Vec<u8>,
}

/// One stage's evaluation.
pub(crate) struct Eval<'e> {
    pub(crate) policy: &'e Policy,
    pub(crate) env: &'e Env<'e>,
    pub(crate) facts: Facts<'e>,
    pub(crate) memo: &'e mut Memo,
    pub(crate) actions: &'e mut Actions,
    /// How many lists stand around the current step.
    pub(crate) depth: usize,
    /// The depth at which warn_if_reject stands; 0: nowhere.
    pub(crate) warn_if_reject: usize,
    defer_if_reject: Option<Deferral>,
    /// So far the same facts would give the same answer, and nothing has been logged or done.
    pub(crate) steady: bool,
}

impl<'e> Eval<'e> {
    pub(crate) fn new(
        policy: &'e Policy,
        env: &'e Env<'e>,
        facts: &Facts<'e>,
        memo: &'e mut Memo,
        actions: &'e mut Actions,
    ) -> Self {
        Self {
            policy,
            env,
            facts: *facts,
            memo,
            actions,
            depth: 0,
            warn_if_reject: 0,
            defer_if_reject: None,
            steady: false,
        }
    }

    /// The list about `class`; a bare table in it stands for `default`.
    pub(crate) fn list(&self, class: Class, default: TableCheck) -> At<'e> {
        At { name: self.name_of(class), class, default: Some(default) }
    }

    /// A new stage begins: what modifiers have left is gone.
    pub(crate) fn reset(&mut self) {
        self.depth = 0;
        self.warn_if_reject = 0;
        self.defer_if_reject = None;
    }

    /// Evaluates `list`.
    pub(crate) fn run(&mut self, list: &List, at: &At<'_>) -> Outcome {
        let outer = self.depth;
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            warning!("restrictions for {} cause unreasonable recursion", at.class.text());
            return Err(self.server_error());
        }
        let mut verdict = Verdict::Dunno;
        if !list.steps.is_empty() {
            detail!(">>> START {} RESTRICTIONS <<<", at.class.text());
        }
        for step in &list.steps {
            if self.actions.discard {
                break;
            }
            if matches!(step.act, Act::WarnIfReject) {
                if self.warn_if_reject == 0 {
                    self.warn_if_reject = self.depth;
                }
                continue;
            }
            detail!("generic_checks: name={}", step.name);
            let outcome = self.step(step, at).map_err(|stop| self.settle(stop, at));
            detail!("generic_checks: name={} status={}", step.name, status(&outcome));
            verdict = outcome?;
            self.end_warning();
            let torn = self.memo.defer_if_permit && self.defer_if_reject.is_some();
            if verdict == Verdict::Permit || torn {
                break;
            }
        }
        self.depth = outer;
        self.end_warning();
        if !list.steps.is_empty() {
            detail!(">>> END {} RESTRICTIONS <<<", at.class.text());
        }
        Ok(verdict)
    }

    /// warn_if_reject ends with the first restriction after it.
    fn end_warning(&mut self) {
        if self.warn_if_reject >= self.depth {
            self.warn_if_reject = 0;
        }
    }

    fn step(&mut self, step: &Step, at: &At<'_>) -> Outcome {
        self.steady &= step.steady;
        match &step.act {
            Act::Plain(check) => check(self, at),
            Act::Permit(check, class) => {
                let verdict = check(self)?;
                if verdict == Verdict::Permit {
                    let name = self.name_of(*class);
                    self.log_permit(&step.name, *class, name, None);
                }
                Ok(verdict)
            }
            Act::PermitAll => {
                self.log_permit(&step.name, at.class, at.name, None);
                step.warn_of_successor("permit");
                Ok(Verdict::Permit)
            }
            Act::Last(check, name) => {
                let outcome = check(self, at, &step.name);
                if self.warn_if_reject == 0 {
                    step.warn_of_successor(name);
                }
                outcome
            }
            Act::Table(check, argument) => check(self, at, argument),
            Act::Allowlist(check, argument) => {
                let target = self.facts.client.reverse_name.as_slice();
                let verdict = check(self, at, argument)?;
                self.forbid_permit(&step.name, verdict, target)
            }
            Act::Servers(class, kind, argument) => self.servers(step, at, *class, *kind, argument),
            Act::DnsList(check, list) => check(self, list),
            Act::DnsAllowlist(check, list) => {
                let verdict = check(self, list)?;
                if verdict == Verdict::Permit {
                    let name = self.name_of(Class::Client);
                    self.log_permit(&step.name, Class::Client, name, None);
                }
                Ok(verdict)
            }
            Act::DefaultTable(argument) => self.default_table(at, argument),
            Act::Sleep(time) => {
                (self.env.sleep)(*time);
                Ok(Verdict::Dunno)
            }
            Act::WarnIfReject => Ok(Verdict::Dunno),
            Act::Class(index) => match self.policy.classes.get(*index) {
                Some(list) => self.run(list, at),
                None => Ok(Verdict::Dunno),
            },
            Act::Ignored(text) => {
                warning!("{}", text);
                Ok(Verdict::Dunno)
            }
            Act::Broken(text) => {
                warning!("{}", text);
                Err(self.server_error())
            }
            Act::Missing(need) => {
                if !need.met(&self.facts) {
                    return Ok(Verdict::Dunno);
                }
                warning!("{}", compile::missing(&step.name));
                Err(self.server_error())
            }
        }
    }

    /// A table of the servers of what the session has.
    fn servers(
        &mut self,
        step: &Step,
        at: &At<'_>,
        class: Class,
        kind: Kind,
        argument: &Argument,
    ) -> Outcome {
        let Some(name) = nameserver::subject(self, class) else { return Ok(Verdict::Dunno) };
        let at = at.about(class, self.name_of(class));
        let verdict = nameserver::check(self, &at, argument, kind, name)?;
        self.forbid_permit(&step.name, verdict, name)
    }

    /// A table without a restriction in front of it.
    fn default_table(&mut self, at: &At<'_>, argument: &Argument) -> Outcome {
        if let Some(check) = at.default {
            return check(self, at, argument);
        }
        warning!(
            "specify one of (check_client_access, check_reverse_client_hostname_access, \
             check_helo_access, check_sender_access, check_recipient_access, check_etrn_access) \
             before {} restriction \"{}\"",
            at.class.text(),
            argument.text
        );
        Err(self.server_error())
    }

    /// Permission that clients could get by the names in their own DNS is refused.
    fn forbid_permit(&mut self, restriction: &[u8], verdict: Verdict, target: &[u8]) -> Outcome {
        if verdict == Verdict::Permit && !self.actions.discard {
            warning!("restriction {} returns OK for {}", restriction, target);
            warning!("this is not allowed for security reasons");
            warning!("use DUNNO instead of OK if you want to make an exception");
            return Err(self.server_error());
        }
        Ok(verdict)
    }

    /// What a restriction of `class` names in its reply.
    pub(crate) fn name_of(&self, class: Class) -> &'e [u8] {
        match class {
            Class::ReverseClient => &self.facts.client.reverse_name,
            Class::Helo => self.facts.helo.unwrap_or_default(),
            Class::Sender => self.facts.sender.unwrap_or_default(),
            Class::Recipient => self.facts.recipient.unwrap_or_default(),
            Class::Etrn => self.facts.etrn.unwrap_or_default(),
            _ => &self.facts.client.namaddr,
        }
    }

    /// An error leaves all lists at once, and warn_if_reject doesn't soften it.
    fn settle(&mut self, stop: Stop, at: &At<'_>) -> Stop {
        match stop {
            Stop::Lookup => self.lookup_failure(at.name),
            Stop::Configuration => self.server_error(),
            settled => settled,
        }
    }

    /// A restriction that this release does not have any more; `instead` stands in quotes.
    pub(crate) fn is_gone(&mut self, name: &str, instead: &str) -> Stop {
        warning!(
            "support for restriction \"{}\" has been removed in {} 3.9; instead, specify {}",
            name,
            self.policy.config.mail_name,
            instead
        );
        self.server_error()
    }

    /// A lookup for `name` failed: not the client's fault.
    pub(crate) fn lookup_failure(&mut self, name: &[u8]) -> Stop {
        let text = fill!("<{}>: Temporary lookup failure", name);
        Stop::Refused(self.refuse(ErrorClass::Data, 451, b"4.3.0", &text).0)
    }

    /// The configuration is wrong; a warning has said how.
    pub(crate) fn server_error(&mut self) -> Stop {
        let text = b"Server configuration error";
        Stop::Refused(self.refuse(ErrorClass::Software, 451, b"4.3.5", text).0)
    }

    /// Refuses, or under warn_if_reject only logs.
    pub(crate) fn reject(
        &mut self,
        class: ErrorClass,
        code: i32,
        dsn: &[u8],
        text: &[u8],
    ) -> Outcome {
        match self.refuse(class, code, dsn, text) {
            (refusal, Severity::Real) => Err(Stop::Refused(refusal)),
            (_, Severity::Warning) => Ok(Verdict::Dunno),
        }
    }

    /// As Postfix: `smtpd_check_reject()`.
    fn refuse(
        &mut self,
        class: ErrorClass,
        code: i32,
        dsn: &[u8],
        text: &[u8],
    ) -> (Refusal, Severity) {
        let ours = matches!(class, ErrorClass::Software | ErrorClass::Resource | ErrorClass::Data);
        let severity =
            if self.warn_if_reject > 0 && !ours { Severity::Warning } else { Severity::Real };
        self.memo.blame(class);
        let mut reply = checked_reply(code, dsn, text);
        make_printable(&mut reply, b' ', self.policy.config.smtputf8_enable);

        if severity == Severity::Real && reply.first() == Some(&b'5') {
            if let Some(earlier) = self.defer_if_reject.take() {
                self.warn_if_reject = 0;
                let Deferral { code, dsn, text } = earlier;
                return self.refuse(ErrorClass::Policy, code, &dsn, &text);
            }
        }
        if self.policy.config.soft_bounce && reply.first() == Some(&b'5') {
            reply[0] = b'4';
        }
        if let [class, _, _, b' ', dsn_class, ..] = reply.as_mut_slice() {
            *dsn_class = *class;
        }
        let action = if severity == Severity::Warning { "reject_warning" } else { "reject" };
        self.log(action, &reply);
        (Refusal { class, text: reply }, severity)
    }

    /// Refuses if nothing else does: an error may have hidden a reason to refuse. Under
    /// warn_if_reject it only warns.
    pub(crate) fn defer_if_permit(&mut self, code: i32, dsn: &[u8], text: Vec<u8>) -> Outcome {
        if self.warn_if_reject > 0 {
            return self.reject(ErrorClass::Policy, code, dsn, &text);
        }
        if !self.memo.defer_if_permit {
            self.memo.defer_if_permit = true;
            self.memo.deferral = Some(Deferral { code, dsn: dsn.to_vec(), text });
        }
        Ok(Verdict::Dunno)
    }

    /// Refuses for now, at once or if nothing else does: as a parameter's `action` says.
    pub(crate) fn tempfail(&mut self, action: &[u8], dsn: &[u8], text: Vec<u8>) -> Outcome {
        if action.eq_ignore_ascii_case(b"defer") {
            self.reject(ErrorClass::Policy, 450, dsn, &text)
        } else {
            self.defer_if_permit(450, dsn, text)
        }
    }

    /// Asks the name service. What it logs, it would log again.
    pub(crate) fn dns<T>(&mut self, ask: impl FnOnce(&Dns) -> T) -> T {
        let dns = self.env.dns;
        let said = ask(dns);
        self.steady &= !dns.has_spoken();
        said
    }

    /// Logs a warning that the same facts would give again.
    pub(crate) fn warn(&mut self, text: &[u8]) {
        self.steady = false;
        warning!("{}", text);
    }

    /// Makes a later refusal temporary: an error may have hidden a reason to permit.
    pub(crate) fn defer_if_reject(&mut self, code: i32, dsn: &[u8], text: Vec<u8>) -> Outcome {
        if self.defer_if_reject.is_none() {
            self.defer_if_reject = Some(Deferral { code, dsn: dsn.to_vec(), text });
        }
        Ok(Verdict::Dunno)
    }

    /// At the end of a stage: nothing has refused, so defer_if_permit does.
    pub(crate) fn settle_defer_if_permit(&mut self) -> Outcome {
        match self.memo.deferral.clone() {
            Some(Deferral { code, dsn, text }) if self.memo.defer_if_permit => {
                self.reject(ErrorClass::Policy, code, &dsn, &text)
            }
            _ => Ok(Verdict::Dunno),
        }
    }

    /// Logs a permit where smtpd_log_access_permit_actions asks for it.
    pub(crate) fn log_permit(
        &mut self,
        action: &[u8],
        class: Class,
        name: &[u8],
        table: Option<&[u8]>,
    ) {
        // What is overruled later is not logged.
        if self.memo.defer_if_permit || !self.policy.logs_permit(action) {
            return;
        }
        // As Postfix: without a table a blank is left.
        let mut text = fill!("action={} for {}={} ", action, class.text(), name);
        if let Some(table) = table {
            text.extend_from_slice(b"from ");
            text.extend_from_slice(table);
        }
        self.log("permit", &text);
    }

    /// Logs a decision with all that is known of the session.
    pub(crate) fn log(&mut self, action: &str, text: &[u8]) {
        self.steady = false;
        super::log_event(&self.policy.config, &self.facts, action, text);
    }
}

/// Whether a refusal refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Warning,
    Real,
}

/// The reply; where its codes are wrong, a harmless one, with a warning. As Postfix: it may be
/// longer than RFC 5321, section 4.5.3.1.5, has it; the cut that is meant to be there does nothing.
fn checked_reply(code: i32, dsn: &[u8], text: &[u8]) -> Vec<u8> {
    let mut reply = fill!("{} {} {}", code, dsn, text);
    let bad = |what: &str, reply: &mut Vec<u8>| {
        warning!("{} configuration error: {}", what, *reply);
        *reply = b"450 4.7.1 Service unavailable".to_vec();
    };
    if !(400..=599).contains(&code) {
        bad("SMTP reply code", &mut reply);
    }
    if enhanced_code_length(reply.get(4..).unwrap_or_default()) == 0 {
        bad("DSN detail code", &mut reply);
    }
    reply
}

/// As Postfix numbers what a restriction came to.
fn status(outcome: &Outcome) -> u8 {
    match outcome {
        Ok(Verdict::Dunno) => 0,
        Ok(Verdict::Permit) => 1,
        Err(_) => 2,
    }
}
