//! A session without a session: who is there, what is in main.cf, what each stage says.

mod actions;
mod algebra;
mod dns;
mod lists;
mod memory;
mod restrictions;
mod scripts;
mod stages;
mod unlisted;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::rewrite_clients::RewriteClients;
use super::{Actions, Env, Facts, Memo, Policy, Refusal};
use crate::config::Config;
use crate::dns::Dns;
use crate::dns::tests::Lines;
use crate::ipc::rewrite::{Resolve, Resolved};
use crate::log::captured;
use crate::mail::client::{Client, Login, NameStatus};
use crate::table::Opener;
use crate::tls::TlsFacts;

/// What every scene starts from: no tables, no networks, safe lists.
const MAIN_CF: &str = "\
compatibility_level = 3.6
mynetworks = 127.0.0.0/8
mydestination = local.example
relay_domains = relay.example
local_recipient_maps =
smtpd_relay_restrictions =
smtpd_recipient_restrictions = reject_unauth_destination
";

/// What the DNS knows.
const ZONE: &str = "\
client.example A 192.0.2.7
client.example MX 10 mx.example
helo.example A 192.0.2.8
sender.example MX 10 mx.example
sender.example NS ns.example
mx.example A 192.0.2.20
ns.example A 192.0.2.21
null.example MX 0 .
down.example ERROR 2
7.2.0.192.bl.example A 127.0.0.2
7.2.0.192.bl.example TXT because
7.2.0.192.down.example ERROR 2
sender.example.bl.example A 127.0.0.4
";

/// A resolver that knows some domains by name.
struct Domains<'a> {
    asked: &'a RefCell<Vec<String>>,
}

impl Resolve for Domains<'_> {
    fn resolve(&self, _sender: &[u8], address: &[u8]) -> Rc<Resolved> {
        self.asked.borrow_mut().push(String::from_utf8_lossy(address).into_owned());
        let mut recipient = address.to_ascii_lowercase();
        if !recipient.contains(&b'@') && recipient != b"bare" {
            recipient.extend_from_slice(b"@local.example");
        }
        let domain = crate::mail::address::domain(&recipient).unwrap_or_default();
        let (transport, nexthop, flags): (&[u8], &[u8], u32) = match domain {
            b"local.example" => (b"local", b"", Resolved::CLASS_LOCAL),
            b"virtual.example" => (b"virtual", b"", Resolved::CLASS_VIRTUAL),
            b"alias.example" => {
                (b"error", b"5.1.1 User unknown in virtual alias table", Resolved::CLASS_ALIAS)
            }
            b"moved.example" => (b"error", b"5.1.6 has moved", Resolved::CLASS_DEFAULT),
            b"later.example" => (b"retry", b"4.1.2 come back", Resolved::CLASS_DEFAULT),
            b"relay.example" => (b"relay", b"relay.example", Resolved::CLASS_RELAY),
            b"routed.example" => (b"local", b"", Resolved::CLASS_LOCAL | Resolved::FLAG_ROUTED),
            b"fail.example" => (b"", b"", Resolved::FLAG_FAIL),
            _ => (b"smtp", domain, Resolved::CLASS_DEFAULT),
        };
        let (transport, nexthop) = (transport.to_vec(), nexthop.to_vec());
        Rc::new(Resolved { transport, nexthop, recipient, flags })
    }
}

/// A session's facts and what restrictions made of them.
struct Scene {
    policy: Box<Policy>,
    dns: Dns,
    rewrite_clients: RewriteClients,
    client: Client,
    helo: Option<&'static str>,
    sender: Option<&'static str>,
    tls: Option<TlsFacts>,
    login: Option<Login>,
    count: usize,
    pipelined: bool,
    proxied: bool,
    smtputf8: bool,
    memo: Memo,
    actions: Actions,
    slept: RefCell<Vec<Duration>>,
    /// The addresses that the resolver was asked about.
    asked: RefCell<Vec<String>>,
    /// What the DNS was asked.
    questions: Rc<RefCell<Vec<String>>>,
}

/// A scene with these lines in main.cf; the log is empty after that.
fn scene(main_cf: &str) -> Scene {
    let scene = open(main_cf).unwrap_or_else(|fatal| panic!("{fatal}"));
    captured::take();
    scene
}

/// The same; an error is the text of the fatal one. The log has what was said at the start.
fn open(main_cf: &str) -> Result<Scene, String> {
    let is_set = |name: &str| main_cf.lines().any(|line| line.starts_with(name));
    let name = |line: &'static str| line.split_once('=').map_or(line, |(name, _)| name);
    let base: String = MAIN_CF.split_inclusive('\n').filter(|line| !is_set(name(line))).collect();
    open_text(&format!("{base}{main_cf}\n"))
}

/// The same for a whole main.cf.
fn open_text(main_cf: &str) -> Result<Scene, String> {
    captured::take();
    let text = |fatal: crate::log::Fatal| String::from_utf8_lossy(&fatal.0).into_owned();
    let config = Rc::new(Config::of_text(main_cf).map_err(text)?);
    let mut opener = Opener::new(&config);
    let policy = Policy::compile(&config, &mut opener).map_err(text)?;
    let rewrite_clients = RewriteClients::open(&config, &mut opener).map_err(text)?;
    let mut client = Client::unknown();
    client.name = b"client.example".to_vec();
    client.name_status = NameStatus::Ok;
    client.reverse_name = b"reverse.example".to_vec();
    client.reverse_status = NameStatus::Ok;
    client.addr = b"192.0.2.7".to_vec();
    client.socket_addr = "192.0.2.7".parse().ok();
    client.namaddr = b"client.example[192.0.2.7]".to_vec();
    let lines = Lines::of(ZONE);
    let questions = Rc::clone(&lines.asked);
    let dns = Dns::open(&config, &mut opener, Box::new(lines)).map_err(text)?;
    Ok(Scene {
        policy,
        dns,
        rewrite_clients,
        client,
        helo: Some("helo.example"),
        sender: Some("me@sender.example"),
        tls: None,
        login: None,
        count: 0,
        pipelined: false,
        proxied: false,
        smtputf8: false,
        memo: Memo::default(),
        actions: Actions::default(),
        slept: RefCell::default(),
        asked: RefCell::default(),
        questions,
    })
}

type Stage = fn(&Policy, &Env<'_>, &Facts<'_>, &mut Memo, &mut Actions) -> Result<(), Refusal>;

impl Scene {
    fn facts(&self, place: &'static str) -> Facts<'_> {
        Facts {
            place,
            queue_id: None,
            client: &self.client,
            protocol: "ESMTP",
            helo: self.helo.map(str::as_bytes),
            sender: self.sender.map(str::as_bytes),
            recipient: None,
            recipient_count: self.count,
            etrn: None,
            tls: self.tls.as_ref(),
            login: self.login.as_ref(),
            sasl_sender: None,
            login_unknown: None,
            pipelined: self.pipelined,
            in_transaction: self.sender.is_some(),
            proxied: self.proxied,
            smtputf8: self.smtputf8,
        }
    }

    /// One stage; what it says, `Ok` for yes.
    fn stage(
        &mut self,
        place: &'static str,
        stage: Stage,
        recipient: Option<&str>,
        etrn: Option<&str>,
    ) -> String {
        let (mut memo, mut actions) = (self.memo.clone(), self.actions.clone());
        let facts = Facts {
            recipient: recipient.map(str::as_bytes),
            etrn: etrn.map(str::as_bytes),
            ..self.facts(place)
        };
        let sleep = |time| self.slept.borrow_mut().push(time);
        let env = Env { resolve: &Domains { asked: &self.asked }, dns: &self.dns, sleep: &sleep };
        let said = stage(&self.policy, &env, &facts, &mut memo, &mut actions);
        self.memo = memo;
        self.actions = actions;
        match said {
            Ok(()) => "Ok".to_owned(),
            Err(refusal) => String::from_utf8_lossy(&refusal.text).into_owned(),
        }
    }

    fn connect(&mut self) -> String {
        self.stage("CONNECT", Policy::check_client, None, None)
    }

    fn helo(&mut self, name: &'static str) -> String {
        self.helo = Some(name);
        self.stage("EHLO", Policy::check_helo, None, None)
    }

    fn mail(&mut self, sender: &'static str) -> String {
        self.sender = Some(sender);
        self.stage("MAIL", Policy::check_sender, None, None)
    }

    fn rcpt(&mut self, recipient: &str) -> String {
        self.stage("RCPT", Policy::check_recipient, Some(recipient), None)
    }

    fn etrn(&mut self, domain: &str) -> String {
        self.sender = None;
        self.stage("ETRN", Policy::check_etrn, None, Some(domain))
    }

    fn data(&mut self, recipient: &str) -> String {
        self.stage("DATA", Policy::check_data, Some(recipient), None)
    }

    fn end_of_data(&mut self, recipient: &str) -> String {
        self.stage("END-OF-MESSAGE", Policy::check_end_of_data, Some(recipient), None)
    }

    fn rewrites(&self) -> String {
        match self.rewrite_clients.matches(&self.facts("MAIL")) {
            Ok(local) => local.to_string(),
            Err(refusal) => String::from_utf8_lossy(&refusal.text).into_owned(),
        }
    }

    fn connected_from(mut self, name: &str, addr: &str) -> Self {
        self.client.name = name.into();
        self.client.reverse_name = name.into();
        self.client.addr = addr.into();
        self.client.socket_addr = addr.parse().ok();
        self.client.namaddr = format!("{name}[{addr}]").into_bytes();
        self
    }

    fn logged_in(mut self, method: &str, username: &str) -> Self {
        self.login =
            Some(Login { method: method.into(), username: username.into(), implicit: false });
        self
    }
}

/// A scene whose recipient list is this, and whose relay list permits.
fn recipient_list(list: &str) -> Scene {
    scene(&with_recipient_list(list))
}

fn with_recipient_list(list: &str) -> String {
    format!(
        "smtpd_recipient_restrictions = {list}\n\
         smtpd_relay_restrictions = check_client_access static:RELAY, reject\n"
    )
}

/// What a recipient list says to `you@other.example`.
fn says(list: &str) -> String {
    recipient_list(list).rcpt("you@other.example")
}

/// The log since the last look.
fn log() -> Vec<String> {
    captured::take()
}
