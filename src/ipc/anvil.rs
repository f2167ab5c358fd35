//! anvil(8): counts what clients do, over all processes.
//!
//! A client is `service:address`, such as `smtp:192.0.2.7`. Every request has one, and gives
//! counts; `None` when anvil cannot be asked: then no limit applies.

use std::time::Duration;

use super::link::{Endpoint, Link, Manner};
use crate::config::Config;
use crate::text::printable::printable;
use crate::wire::attr::{Attr, BadAttr, Form, Limits, Scan};

/// As Postfix: `attr_clnt`: how often a question is asked, and the time between.
const TRIES: u32 = 2;
const DELAY: Duration = Duration::from_secs(1);

/// What anvil(8) knows of a client that connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Connections at this time.
    pub count: i32,
    /// Connections in the time unit.
    pub rate: i32,
}

/// anvil(8).
#[derive(Debug)]
pub struct Anvil {
    link: Link,
    utf8: bool,
}

impl Anvil {
    /// The service `private/anvil`. Nothing is opened yet; the connection is then kept.
    pub fn new(config: &Config) -> Self {
        let manner = Manner {
            form: Form::Plain,
            announces: Some("anvil_protocol"),
            timeout: config.ipc_timeout,
            idle: Duration::ZERO,
            ttl: Duration::ZERO,
            limits: Limits::SERVICE,
        };
        let endpoint = Endpoint::Unix(b"private/anvil".to_vec());
        Self { link: Link::new(endpoint, manner), utf8: config.smtputf8_enable }
    }

    /// A client connected.
    pub fn connect(&self, ident: &[u8]) -> Option<Counts> {
        self.link.forget_failure();
        self.ask("connect", ident, |scan| {
            Ok(Counts { count: scan.int("count")?, rate: scan.int("rate")? })
        })
    }

    /// A client that connected is gone.
    pub fn disconnect(&self, ident: &[u8]) -> Option<()> {
        self.ask("disconnect", ident, |_| Ok(()))
    }

    /// A client begins a message: how many in the time unit.
    pub fn message(&self, ident: &[u8]) -> Option<i32> {
        self.rate("message", ident)
    }

    /// A client names a recipient: how many in the time unit.
    pub fn recipient(&self, ident: &[u8]) -> Option<i32> {
        self.rate("recipient", ident)
    }

    /// A client made a new TLS session: how many in the time unit.
    pub fn new_tls(&self, ident: &[u8]) -> Option<i32> {
        self.rate("newtls", ident)
    }

    /// How many new TLS sessions in the time unit.
    pub fn new_tls_status(&self, ident: &[u8]) -> Option<i32> {
        self.rate("newtls_status", ident)
    }

    /// A client wants to log in: how often in the time unit.
    pub fn auth(&self, ident: &[u8]) -> Option<i32> {
        self.rate("auth", ident)
    }

    /// A daemon begins the trace of a TLS session: how many in the time unit (3.12).
    pub fn trace(&self, ident: &[u8]) -> Option<i32> {
        self.rate("tlstr", ident)
    }

    fn rate(&self, request: &str, ident: &[u8]) -> Option<i32> {
        self.ask(request, ident, |scan| scan.int("rate"))
    }

    fn ask<T>(
        &self,
        request: &str,
        ident: &[u8],
        wanted: impl Fn(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Option<T> {
        let ident = printable(ident, b'?', self.utf8);
        let query = [Attr::text("request", request), Attr::text("ident", &ident)];
        let (status, answer) = self
            .link
            .try_ask(TRIES, DELAY, &query, |scan| Ok((scan.int("status")?, wanted(scan)?)))?;
        (status == 0).then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::link::scripted::{Act, Service, hear, manner, say};
    use crate::log::captured;
    use crate::sys::pause::counted;

    const HELLO: &[u8] = b"protocol=anvil_protocol\n\n";

    fn over(service: &Service) -> Anvil {
        counted::start();
        captured::take();
        let manner = manner(Form::Plain, "anvil_protocol");
        Anvil { link: Link::new(Endpoint::Unix(service.path()), manner), utf8: true }
    }

    #[test]
    fn a_session_is_counted_in_these_bytes() {
        let service = Service::new(vec![vec![
            say(HELLO),
            hear(b"request=connect\nident=127.0.0.1:21001:127.0.0.1\n\n"),
            say(b"status=0\ncount=1\nrate=2\n\n"),
            hear(b"request=message\nident=127.0.0.1:21001:127.0.0.1\n\n"),
            say(b"status=0\nrate=3\n\n"),
            hear(b"request=newtls_status\nident=127.0.0.1:21001:127.0.0.1\n\n"),
            say(b"status=0\nrate=4\n\n"),
            hear(b"request=disconnect\nident=127.0.0.1:21001:127.0.0.1\n\n"),
            say(b"status=0\n\n"),
            Act::End,
        ]]);
        let anvil = over(&service);
        let ident = b"127.0.0.1:21001:127.0.0.1";
        assert_eq!(anvil.connect(ident), Some(Counts { count: 1, rate: 2 }));
        assert_eq!(anvil.message(ident), Some(3));
        assert_eq!(anvil.new_tls_status(ident), Some(4));
        assert_eq!(anvil.disconnect(ident), Some(()));
        drop(anvil);
        service.played();
    }

    #[test]
    fn a_failure_is_no_count() {
        let service = Service::new(vec![vec![
            say(HELLO),
            hear(b"request=auth\nident=smtp:a?b\n\n"),
            say(b"status=4294967295\nrate=100000\n\n"),
        ]]);
        assert_eq!(over(&service).auth(b"smtp:a\nb"), None);
    }

    #[test]
    fn without_anvil_there_is_no_count_after_two_tries() {
        counted::start();
        captured::take();
        let anvil = Anvil::new(&Config::of_text("").unwrap());
        assert_eq!(anvil.connect(b"smtp:192.0.2.1"), None);
        assert_eq!(
            captured::take(),
            [
                "warning: connect to private/anvil: No such file or directory",
                "warning: connect to private/anvil: No such file or directory",
                "warning: problem talking to server private/anvil: No such file or directory",
            ]
        );
        assert_eq!(counted::total(), DELAY);
    }
}
