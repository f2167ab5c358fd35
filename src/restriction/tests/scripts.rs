//! Postfix's own scripts: `smtpd_*.in` asked of us must be answered as `smtpd_*.ref` says.
//!
//! They stay where they are: `POSTFIX_SOURCE` names the top of a source tree. Without it there is
//! nothing to play. What they want of the DNS is in `ZONE`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use super::{Actions, Env, Facts, Memo, Policy, RewriteClients};
use crate::config::Config;
use crate::dns::Dns;
use crate::dns::tests::Lines;
use crate::ipc::rewrite::{Resolve, Resolved};
use crate::log::captured;
use crate::mail::address::domain;
use crate::mail::client::{Client, NameStatus};
use crate::matchlist::local::LocalDomains;
use crate::matchlist::{Kind, MatchList};
use crate::table::Opener;
use crate::text::split::{SPACE, words_braced};
use crate::tls::TlsFacts;

/// A resolver that knows main.cf only, as that of Postfix's test program.
struct ByConfig {
    local: LocalDomains,
    alias: MatchList,
    mailbox: MatchList,
    relay: MatchList,
}

impl Resolve for ByConfig {
    fn resolve(&self, _: &[u8], address: &[u8]) -> Rc<Resolved> {
        let recipient = address.to_ascii_lowercase();
        let domain = domain(address).unwrap_or_default();
        let mut resolved = Resolved { recipient, ..Resolved::default() };
        let class = || {
            Ok(if self.local.has(domain)? {
                (Resolved::CLASS_LOCAL, "local")
            } else if self.alias.matches_string(domain)? {
                (Resolved::CLASS_ALIAS, "error")
            } else if self.mailbox.matches_string(domain)? {
                (Resolved::CLASS_VIRTUAL, "virtual")
            } else if self.relay.matches_domain(domain)? {
                (Resolved::CLASS_RELAY, "relay")
            } else {
                (Resolved::CLASS_DEFAULT, "smtp")
            })
        };
        match class() {
            Ok((flags, transport)) => {
                resolved.flags = flags;
                resolved.transport = transport.into();
                if transport == "error" {
                    resolved.nexthop = b"user unknown".to_vec();
                }
            }
            Err::<_, crate::table::TableError>(_) => resolved.flags = Resolved::FLAG_FAIL,
        }
        Rc::new(resolved)
    }
}

/// What the scripts want to find in the DNS.
const ZONE: &str = "\
localhost A 127.0.0.1
spike.porcupine.org A 168.100.3.2
spike.porcupine.org AAAA 2604:8d00:189::2
fist.porcupine.org A 168.100.3.4
nullmx.porcupine.org MX 0 .
nullmx.porcupine.org A 168.100.3.6
xn--1xa.porcupine.org MX 10 spike.porcupine.org
www.porcupine.org A 168.100.3.5
www.porcupine.org MX 10 spike.porcupine.org
porcupine.org MX 10 spike.porcupine.org
porcupine.org NS ns.porcupine.org
ns.porcupine.org A 168.100.3.75
postfix.org MX 10 fist.porcupine.org
postfix.org NS ns.porcupine.org
backup.porcupine.org MX 10 fist.porcupine.org
backup.porcupine.org MX 20 wzv.porcupine.org
wzv.porcupine.org A 168.100.3.7
2.3.100.168.wild.porcupine.org A 127.0.0.2
example.tld.dnswl.porcupine.org A 127.0.0.2
example.tld.rhsbl.porcupine.org A 127.0.0.2
example.tld.rhsbl.porcupine.org TXT RHSBL test
2.0.0.127.dnsbltest.porcupine.org A 127.0.0.2
2.0.0.127.dnsbltest.porcupine.org TXT DNS blocklist test
";

/// The test program of Postfix.
struct Player {
    directory: String,
    parameters: BTreeMap<String, String>,
    client: Client,
    helo: Option<Vec<u8>>,
    sender: Option<Vec<u8>>,
    tls: Option<TlsFacts>,
    memo: Memo,
    actions: Actions,
    /// Restrictions that will go have been mentioned.
    has_warned: bool,
}

impl Player {
    fn new(directory: &Path) -> Self {
        let parameters = [
            ("compatibility_level", "3.6"),
            ("smtpd_delay_reject", "yes"),
            ("local_recipient_maps", ""),
            ("mydestination", "$myhostname"),
            ("mynetworks", ""),
            ("relay_domains", ""),
            ("smtpd_relay_restrictions", "check_client_access static:OK, reject"),
        ];
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut client = Client::unknown();
        client.name = b"localhost".to_vec();
        client.addr = b"127.0.0.1".to_vec();
        client.namaddr = b"localhost[127.0.0.1]".to_vec();
        Self {
            directory: directory.display().to_string(),
            parameters: parameters.into_iter().map(pair).collect(),
            client,
            helo: None,
            sender: None,
            tls: None,
            memo: Memo::default(),
            actions: Actions::default(),
            has_warned: false,
        }
    }

    /// Obeys a line; the answer as Postfix prints it, log first.
    fn play(&mut self, line: &str) -> Vec<String> {
        captured::take();
        let words: Vec<String> = words_braced(line.as_bytes(), SPACE)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let address = |text: &str| {
            text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text).to_owned()
        };
        let answer = match words.as_slice() {
            ["client", name, addr, status @ ..] => {
                let known = *name != "unknown";
                let status = match status.first().copied() {
                    Some("2") => NameStatus::Ok,
                    Some("4") => NameStatus::Soft,
                    Some("5") => NameStatus::Hard,
                    None if known => NameStatus::Ok,
                    _ => NameStatus::Soft,
                };
                self.client.name = (*name).into();
                self.client.reverse_name = (*name).into();
                self.client.addr = (*addr).into();
                self.client.namaddr = format!("{name}[{addr}]").into_bytes();
                self.client.name_status = status;
                self.client.reverse_status = status;
                self.ask("CONNECT", None)
            }
            ["helo", name] => {
                self.helo = Some((*name).into());
                self.ask("HELO", None)
            }
            ["mail", sender] => {
                self.sender = Some(address(sender).into_bytes());
                self.ask("MAIL", None)
            }
            ["rcpt", recipient] => self.ask("RCPT", Some(&address(recipient))),
            ["rewrite"] => self.ask("rewrite", None),
            ["fingerprint", text] => {
                self.tls = Some(TlsFacts {
                    has_certificate: true,
                    certificate_fingerprint: Some((*text).into()),
                    key_fingerprint: Some((*text).into()),
                    ..TlsFacts::default()
                });
                "OK".to_owned()
            }
            ["restriction_class", text] => {
                let (name, value) = text.split_once(',').unwrap_or((text, ""));
                let classes = self.parameters.entry("smtpd_restriction_classes".into());
                let classes = classes.or_default();
                classes.push(' ');
                classes.push_str(name);
                self.set(name, value)
            }
            ["flush_dnsxl_cache"] => "OK".to_owned(),
            ["reverse_client_restrictions", _] => "bad command".to_owned(),
            [name, value] if name.ends_with("_restrictions") => {
                self.set(&format!("smtpd_{name}"), value)
            }
            [name, value] => self.set(name, value),
            _ => "bad command".to_owned(),
        };
        let mut said: Vec<String> = captured::take()
            .into_iter()
            .filter(|line| !line.contains("overriding earlier entry"))
            .filter(|line| {
                let warns = line.contains("support for restriction");
                !(warns && std::mem::replace(&mut self.has_warned, true))
            })
            .collect();
        said.push(answer);
        said
    }

    fn set(&mut self, name: &str, value: &str) -> String {
        let value = match value {
            "0" => "no",
            "1" => "yes",
            value => value,
        };
        let (here, dns) = (format!("texthash:{}/", self.directory), "regexp:../dns/");
        let value = value.replace("hash:./", &here);
        let value = value.replace("hash:smtpd_", &format!("{here}smtpd_"));
        let value = value.replace(dns, &format!("regexp:{}/../dns/", self.directory));
        self.parameters.insert(name.to_owned(), value);
        "OK".to_owned()
    }

    fn ask(&mut self, place: &'static str, recipient: Option<&str>) -> String {
        let text: String =
            self.parameters.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        let config = Rc::new(Config::of_text(&text).unwrap());
        let mut opener = Opener::new(&config);
        let policy = Policy::compile(&config, &mut opener)
            .unwrap_or_else(|fatal| panic!("{}", String::from_utf8_lossy(&fatal.0)));
        let list = |opener: &mut Opener, name: &str, text: &[u8]| {
            MatchList::open(opener, &config, name, text, Kind::Domain).unwrap()
        };
        let text = |name: &str| config.text(name.as_bytes()).unwrap_or_default();
        let resolve = ByConfig {
            local: LocalDomains::open(&mut opener, &config).unwrap(),
            alias: list(&mut opener, "virtual_alias_domains", &text("virtual_alias_domains")),
            mailbox: list(&mut opener, "virtual_mailbox_domains", &text("virtual_mailbox_domains")),
            relay: list(&mut opener, "relay_domains", &config.relay_domains),
        };
        captured::take();
        let dns = Dns::open(&config, &mut opener, Box::new(Lines::of(ZONE))).unwrap();
        let env = Env { resolve: &resolve, dns: &dns, sleep: &|_| () };
        let facts = Facts {
            place,
            queue_id: Some(b"<queue id>"),
            client: &self.client,
            protocol: "SMTP",
            helo: self.helo.as_deref(),
            sender: self.sender.as_deref(),
            recipient: recipient.map(str::as_bytes),
            recipient_count: 0,
            etrn: None,
            tls: self.tls.as_ref(),
            login: None,
            sasl_sender: None,
            login_unknown: None,
            pipelined: false,
            in_transaction: true,
            proxied: false,
            smtputf8: false,
        };
        let (memo, actions) = (&mut self.memo, &mut self.actions);
        let said = match place {
            "CONNECT" => policy.check_client(&env, &facts, memo, actions),
            "HELO" => policy.check_helo(&env, &facts, memo, actions),
            "MAIL" => policy.check_sender(&env, &facts, memo, actions),
            "RCPT" => policy.check_recipient(&env, &facts, memo, actions),
            _ => {
                let clients = RewriteClients::open(&config, &mut opener).unwrap();
                let facts = Facts { place: "RCPT", ..facts };
                clients.matches(&facts).map(|_| ())
            }
        };
        match said {
            Ok(()) => "OK".to_owned(),
            Err(refusal) => String::from_utf8_lossy(&refusal.text).into_owned(),
        }
    }
}

/// The lines that a script is answered with, by Postfix.
fn expected(reference: &str) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for line in reference.lines() {
        if let Some(question) = line.strip_prefix(">>> ") {
            all.push((question.to_owned(), Vec::new()));
        } else if let Some((_, answers)) = all.last_mut() {
            answers.push(line.strip_prefix("./smtpd_check: ").unwrap_or(line).to_owned());
        }
    }
    all.retain(|(question, _)| !question.is_empty() && !question.starts_with(['#', '!']));
    all
}

fn play(name: &str) {
    let Some(source) = env::var_os("POSTFIX_SOURCE") else {
        eprintln!("{name} is not played: POSTFIX_SOURCE does not say where Postfix's source is");
        return;
    };
    let directory = Path::new(&source).join("src/smtpd");
    let reference = fs::read_to_string(directory.join(format!("{name}.ref"))).unwrap();
    let mut player = Player::new(&directory);
    let prefix = format!("texthash:{}/", directory.display());
    for (question, answers) in expected(&reference) {
        let ours: Vec<String> = player
            .play(&question)
            .into_iter()
            .map(|line| line.replace(&prefix, "hash:./").replace(". 60 IN ", ". TTL IN "))
            .map(|line| {
                line.replace("Name or service not", "hostname nor servname provided, or not")
            })
            .collect();
        assert_eq!(ours, answers, "{name}: {question}");
    }
}

#[test]
fn postfix_asks_about_access_tables() {
    play("smtpd_acl");
}

#[test]
fn postfix_asks_about_status_codes() {
    play("smtpd_check_dsn");
}

#[test]
fn postfix_asks_about_lists_in_dns() {
    play("smtpd_exp");
    play("smtpd_dnswl");
}

#[test]
fn postfix_asks_about_domains_without_mail() {
    play("smtpd_nullmx");
}

#[test]
fn postfix_asks_about_servers_of_domains() {
    play("smtpd_server");
}

#[test]
fn postfix_asks_about_the_dns_reply_filter() {
    play("smtpd_dns_filter");
}

#[test]
fn postfix_asks_about_backup_mail_servers() {
    play("smtpd_check_backup");
}

#[test]
fn postfix_asks_about_failing_tables() {
    play("smtpd_error");
}

#[test]
fn postfix_asks_about_unlisted_addresses() {
    play("smtpd_addr_valid");
}
