//! trivial-rewrite(8): makes addresses canonical, and says where they would go.
//!
//! Addresses are rewritten in external form (`"a b"@c`, the null address as `""`), and resolved
//! in internal form. It is not asked to rewrite what it would leave alone. Answers are kept, 100 of each
//! kind: those of rewriting for 30 seconds, as the original keeps its last one, those of resolving for
//! as long as the process lives. The service says with each answer whether it is about to reload:
//! then both are thrown away.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::link::{Endpoint, Link, Manner};
use super::recent::Recent;
use crate::config::Config;
use crate::log::Fatal;
use crate::mail::address::is_plain;
use crate::mail::quote;
use crate::text::fold::fold;
use crate::wire::attr::Attr;

/// How long an answer to a rewrite request is kept. As Postfix: `rewrite_clnt()`.
const REWRITE_LIFE: Duration = Duration::from_secs(30);

/// Which addresses are completed with our own domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// `local`
    Local,
    /// `remote`
    Remote,
}

/// Where an address would go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// Delivery transport: `local`, `smtp`, `error`.
    pub transport: Vec<u8>,
    /// Next hop, or the text of the error transport.
    pub nexthop: Vec<u8>,
    /// The canonical address, internal form, case folded.
    pub recipient: Vec<u8>,
    /// See the `FLAG_` and `CLASS_` constants.
    pub flags: u32,
}

impl Resolved {
    /// Final delivery here.
    pub const FLAG_FINAL: u32 = 1;
    /// The address was routed (source route, `%`).
    pub const FLAG_ROUTED: u32 = 2;
    /// The resolver gave the error transport: bad address syntax.
    pub const FLAG_ERROR: u32 = 4;
    /// Temporary lookup problem.
    pub const FLAG_FAIL: u32 = 8;
    /// mydestination and the like.
    pub const CLASS_LOCAL: u32 = 1 << 8;
    /// virtual_alias_domains
    pub const CLASS_ALIAS: u32 = 1 << 9;
    /// virtual_mailbox_domains
    pub const CLASS_VIRTUAL: u32 = 1 << 10;
    /// relay_domains
    pub const CLASS_RELAY: u32 = 1 << 11;
    /// All other domains.
    pub const CLASS_DEFAULT: u32 = 1 << 12;

    /// Whether any of `flags` is set.
    pub fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }
}

/// Who knows where addresses go: trivial-rewrite(8), or a test.
pub trait Resolve {
    /// Makes both addresses (internal forms) canonical in the local context, then resolves.
    /// As Postfix: `smtpd_resolve_addr()`.
    fn resolve(&self, sender: &[u8], address: &[u8]) -> Rc<Resolved>;
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// trivial-rewrite(8).
pub struct TrivialRewrite {
    link: Link,
    trouble: Vec<u8>,
    /// smtputf8_enable: how the recipient is folded.
    utf8: bool,
    rewritten: RefCell<Rewritten>,
    resolved: RefCell<Known>,
}

/// When an address was rewritten, and to what.
type Rewritten = Recent<(Rule, Vec<u8>), (Instant, Vec<u8>)>;
/// Where addresses go, by sender and address as they were given.
type Known = Recent<(Vec<u8>, Vec<u8>), Rc<Resolved>>;

impl TrivialRewrite {
    /// The service that rewrite_service_name names. Nothing is opened yet.
    pub fn new(config: &Config) -> Self {
        let service = &config.rewrite_service_name;
        let endpoint = Endpoint::Postfix(fill!("private/{}", service));
        let manner = Manner::of_services(config, "trivial_rewrite_protocol");
        Self::over(Link::new(endpoint, manner), service, config.smtputf8_enable)
    }

    fn over(link: Link, service: &[u8], utf8: bool) -> Self {
        Self {
            link,
            trouble: fill!("problem talking to service {}", service),
            utf8,
            rewritten: RefCell::default(),
            resolved: RefCell::default(),
        }
    }

    /// Makes an address (internal form) canonical. When there is no service for minutes, the
    /// address stays as it is.
    pub fn rewrite(&self, rule: Rule, address: &[u8]) -> Vec<u8> {
        self.try_rewrite(rule, address).unwrap_or_else(|Fatal(error)| {
            warning!("{}", error);
            address.to_vec()
        })
    }

    /// Between sessions: see [`Link::tend`].
    pub fn tend(&self, now: Instant) -> Option<Instant> {
        self.link.tend(now)
    }

    fn try_rewrite(&self, rule: Rule, address: &[u8]) -> Result<Vec<u8>, Fatal> {
        if is_canonical(address) {
            return Ok(address.to_vec());
        }
        let now = Instant::now();
        if let Some((asked, answer)) = self
            .rewritten
            .borrow_mut()
            .find((rule, address), |key| key.0 == rule && key.1 == address)
        {
            if now.saturating_duration_since(*asked) < REWRITE_LIFE {
                return Ok(answer.clone());
            }
        }
        let external = quote::external(address);
        let query = [
            Attr::text("request", "rewrite"),
            Attr::text("rule", rule.name()),
            Attr::text("address", &external),
        ];
        let (flags, answer) = self.link.ask(&self.trouble, &query, |scan| {
            Ok((scan.int("flags")?, quote::internal(scan.text("address")?)))
        })?;
        self.reload(flags);
        let key = (rule, address.to_vec());
        self.rewritten.borrow_mut().keep(key, (now, answer.clone()));
        Ok(answer)
    }

    /// Asks where an address would go, again until the answer says so.
    fn ask_resolved(&self, sender: &[u8], address: &[u8]) -> Result<Resolved, Fatal> {
        let sender = self.try_rewrite(Rule::Local, sender)?;
        let address = self.try_rewrite(Rule::Local, address)?;
        let query = [
            Attr::text("request", "resolve"),
            Attr::text("sender", &sender),
            Attr::text("address", &address),
        ];
        loop {
            let (flags, answer) = self.link.ask(&self.trouble, &query, |scan| {
                let flags = scan.int("flags")?;
                let transport = scan.text("transport")?.to_vec();
                let nexthop = scan.text("nexthop")?.to_vec();
                let recipient = scan.text("recipient")?.to_vec();
                let resolved = scan.int("flags")? as u32;
                Ok((flags, Resolved { transport, nexthop, recipient, flags: resolved }))
            })?;
            self.reload(flags);
            if answer.transport.is_empty() {
                warning!("resolve_clnt: null transport result for: <{}>", address);
            } else if answer.recipient.is_empty() && !address.is_empty() {
                warning!("resolve_clnt: null recipient result for: <{}>", address);
            } else {
                let recipient = fold(&answer.recipient, self.utf8);
                return Ok(Resolved { recipient, ..answer });
            }
            self.link.close_and_wait();
        }
    }

    /// The service says that it will end: what it said before may no longer be so.
    fn reload(&self, flags: i32) {
        if flags != 0 {
            self.link.close();
            self.rewritten.take();
            self.resolved.take();
        }
    }
}

/// Whether rewriting leaves an address alone, whatever the settings are and in either context: the
/// null address, and `user@host.domain` of plain words. What trivial-rewrite changes are source
/// routes, `!` and `%`, a domain that is missing, has one label or ends in a dot. As Postfix:
/// `rewrite_tree()`.
fn is_canonical(address: &[u8]) -> bool {
    address.is_empty() || is_plain(address)
}

impl Resolve for TrivialRewrite {
    fn resolve(&self, sender: &[u8], address: &[u8]) -> Rc<Resolved> {
        let kept = |key: &(Vec<u8>, Vec<u8>)| key.0 == sender && key.1 == address;
        if let Some(answer) = self.resolved.borrow_mut().find((sender, address), kept) {
            return Rc::clone(answer);
        }
        match self.ask_resolved(sender, address) {
            Ok(answer) => {
                let answer = Rc::new(answer);
                // A temporary problem shall not last as long as the process.
                if !answer.has(Resolved::FLAG_FAIL) {
                    let key = (sender.to_vec(), address.to_vec());
                    self.resolved.borrow_mut().keep(key, Rc::clone(&answer));
                }
                answer
            }
            // The client gets a 451, not a lost connection.
            Err(Fatal(error)) => {
                warning!("{}", error);
                Rc::new(Resolved { flags: Resolved::FLAG_FAIL, ..Resolved::default() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::link::scripted::{Act, Service, hear, manner, say};
    use crate::log::captured;
    use crate::sys::pause::counted;
    use crate::wire::attr::Form;

    const HELLO: &[u8] = b"protocol\0trivial_rewrite_protocol\0\0";

    fn over(service: &Service) -> TrivialRewrite {
        counted::start();
        captured::take();
        let manner = manner(Form::Null, "trivial_rewrite_protocol");
        TrivialRewrite::over(Link::new(service.endpoint(), manner), b"rewrite", true)
    }

    fn rewrites(from: &str, flags: &str, to: &str) -> [Act; 2] {
        [
            hear(format!("request\0rewrite\0rule\0local\0address\0{from}\0\0")),
            say(format!("flags\0{flags}\0address\0{to}\0\0")),
        ]
    }

    fn resolves(sender: &str, address: &str, answer: &str) -> [Act; 2] {
        [hear(format!("request\0resolve\0sender\0{sender}\0address\0{address}\0\0")), say(answer)]
    }

    fn conversation(parts: impl IntoIterator<Item = [Act; 2]>) -> Vec<Act> {
        let mut acts = vec![say(HELLO)];
        acts.extend(parts.into_iter().flatten());
        acts.push(Act::End);
        acts
    }

    const JOHN: &str = "flags\x000\0transport\0discard\0nexthop\0wire.example\0\
        recipient\0John doe@wire.example\0flags\x00256\0\0";
    const ME: &str = "flags\x000\0transport\0discard\0nexthop\0src.example\0\
        recipient\0me@src.example\0flags\x004096\0\0";

    #[test]
    fn a_recipient_is_asked_for_in_these_bytes_and_only_once() {
        let service = Service::new(vec![conversation([
            resolves("", "me@src.example", ME),
            rewrites("\"John doe\"@wire.example", "0", "\"John doe\"@wire.example"),
            resolves("me@src.example", "John doe@wire.example", JOHN),
        ])]);
        let rewrite = over(&service);
        for _ in 0..2 {
            let sender = rewrite.resolve(b"", b"me@src.example");
            assert_eq!(sender.flags, Resolved::CLASS_DEFAULT);
            let john = rewrite.resolve(b"me@src.example", b"John doe@wire.example");
            assert_eq!(john.transport, b"discard");
            assert_eq!(john.nexthop, b"wire.example");
            assert_eq!(john.recipient, b"john doe@wire.example");
            assert!(john.has(Resolved::CLASS_LOCAL));
        }
        assert_eq!(rewrite.rewrite(Rule::Local, b""), b"");
        drop(rewrite);
        service.played();
        assert_eq!(captured::take(), [] as [&str; 0]);
    }

    #[test]
    fn a_service_that_reloads_is_left_and_what_it_said_forgotten() {
        let service = Service::new(vec![
            conversation([rewrites("a", "0", "a@x"), rewrites("b", "1", "b@x")]),
            conversation([rewrites("a", "0", "a@y")]),
        ]);
        let rewrite = over(&service);
        assert_eq!(rewrite.rewrite(Rule::Local, b"a"), b"a@x");
        assert_eq!(rewrite.rewrite(Rule::Local, b"b"), b"b@x");
        assert!(!rewrite.link.is_open());
        assert_eq!(rewrite.rewrite(Rule::Local, b"a"), b"a@y");
        drop(rewrite);
        service.played();
        assert_eq!(counted::total(), Duration::ZERO);
    }

    #[test]
    fn an_empty_result_is_asked_for_again() {
        let empty = ME.replace("discard", "");
        let nobody = ME.replace("me@src.example", "");
        let service = Service::new(vec![
            conversation([
                rewrites("me", "0", "me@src.example"),
                resolves("", "me@src.example", &empty),
            ]),
            conversation([resolves("", "me@src.example", &nobody)]),
            conversation([resolves("", "me@src.example", ME)]),
        ]);
        let rewrite = over(&service);
        assert_eq!(rewrite.resolve(b"", b"me").recipient, b"me@src.example");
        assert_eq!(
            captured::take(),
            [
                "warning: resolve_clnt: null transport result for: <me@src.example>",
                "warning: resolve_clnt: null recipient result for: <me@src.example>",
            ]
        );
        assert_eq!(counted::total(), Duration::from_secs(2));
    }

    #[test]
    fn a_temporary_problem_is_not_remembered() {
        let failed = ME.replace("4096", "4104");
        let service = Service::new(vec![conversation([
            rewrites("me", "0", "me@src.example"),
            resolves("", "me@src.example", &failed),
            resolves("", "me@src.example", ME),
        ])]);
        let rewrite = over(&service);
        assert!(rewrite.resolve(b"", b"me").has(Resolved::FLAG_FAIL));
        assert!(!rewrite.resolve(b"", b"me").has(Resolved::FLAG_FAIL));
    }

    #[test]
    fn without_a_service_nothing_is_resolved_and_the_process_lives() {
        counted::start();
        captured::take();
        let config = Config::of_text("rewrite_service_name = nonexistent\n").unwrap();
        let rewrite = TrivialRewrite::new(&config);
        assert_eq!(rewrite.resolve(b"", b"me").flags, Resolved::FLAG_FAIL);
        let log = captured::take();
        assert_eq!(
            log.last().unwrap(),
            "warning: connect #11 to subsystem private/nonexistent: No such file or directory"
        );
    }

    #[test]
    fn what_rewriting_would_change_is_asked_for() {
        for address in ["", "a@b.c", "a.b-c_d+e=f@x-1.example", "1@2.3"] {
            assert!(is_canonical(address.as_bytes()), "{address}");
        }
        let changed = "a a@b a@b. a@b.c. .a@b.c a.@b.c a..b@c.d a@.b.c a@b..c @b.c a@ @ @b.c:d@e.f \
            a%b@c.d a!b@c.d a@b@c.d a@[1.2.3.4] \"a\"@b.c a@b.c,d a@b.c;";
        for address in changed.split_whitespace() {
            assert!(!is_canonical(address.as_bytes()), "{address}");
        }
        for address in ["a b@c.d", "a@b.c ", "\u{e9}@b.c", "a@b.\u{e9}", "a\0@b.c", "a@b.c\n"] {
            assert!(!is_canonical(address.as_bytes()), "{address}");
        }
    }
}
