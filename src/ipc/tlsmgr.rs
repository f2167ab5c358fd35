//! tlsmgr(8): keeps what all processes share of TLS: randomness, sessions, ticket keys.
//!
//! `None` is always "cannot be had": tlsmgr is not there, or says that it has none.

use std::time::{Duration, Instant};

use super::link::{Endpoint, Link, Manner};
use crate::config::Config;
use crate::wire::attr::{Attr, BadAttr, Scan};

/// As Postfix: `attr_clnt`: how often a question is asked, and the time between.
const TRIES: u32 = 2;
const DELAY: Duration = Duration::from_secs(1);

/// Whether sessions may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// smtpd_tls_session_cache_database is set.
    pub cachable: bool,
    /// smtpd_tls_session_cache_timeout, seconds. Not positive: neither cache nor tickets.
    pub timeout: i32,
}

/// tlsmgr(8).
#[derive(Debug)]
pub struct Tlsmgr {
    link: Link,
}

impl Tlsmgr {
    /// The service that tlsmgr_service_name names. Nothing is opened yet.
    pub fn new(config: &Config) -> Self {
        let endpoint = Endpoint::Unix(fill!("private/{}", config.tlsmgr_service_name));
        let manner = Manner::of_services(config, "tlsmgr_protocol");
        Self { link: Link::new(endpoint, manner) }
    }

    /// `len` random bytes (1 to 255).
    pub fn seed(&self, len: u8) -> Option<Vec<u8>> {
        let query = [Attr::text("request", "seed"), Attr::int("size", i32::from(len))];
        self.ask(&query, |scan| scan.data("seed"))
    }

    /// Whether sessions of this kind (`smtpd`) may be kept.
    pub fn policy(&self, cache_type: &str) -> Option<CachePolicy> {
        let query = [Attr::text("request", "policy"), Attr::text("cache_type", cache_type)];
        self.ask(&query, |scan| {
            let cachable = scan.int("cachable")? != 0;
            Ok(CachePolicy { cachable, timeout: scan.int("timeout")? })
        })
    }

    /// The session that was kept under this name.
    pub fn lookup(&self, cache_type: &str, id: &[u8]) -> Option<Vec<u8>> {
        let query = [
            Attr::text("request", "lookup"),
            Attr::text("cache_type", cache_type),
            Attr::text("cache_id", id),
        ];
        self.ask(&query, |scan| scan.data("session"))
    }

    /// Keeps a session.
    pub fn update(&self, cache_type: &str, id: &[u8], session: &[u8]) -> Option<()> {
        let query = [
            Attr::text("request", "update"),
            Attr::text("cache_type", cache_type),
            Attr::text("cache_id", id),
            Attr::data("session", session),
        ];
        self.ask(&query, |_| Ok(()))
    }

    /// Forgets a session.
    pub fn delete(&self, cache_type: &str, id: &[u8]) -> Option<()> {
        let query = [
            Attr::text("request", "delete"),
            Attr::text("cache_type", cache_type),
            Attr::text("cache_id", id),
        ];
        self.ask(&query, |_| Ok(()))
    }

    /// The ticket key with this name (16 bytes), or with an empty one the key for new tickets: the
    /// memory image of Postfix's `TLS_TICKET_KEY` on this machine.
    pub fn ticket_key(&self, name: &[u8]) -> Option<Vec<u8>> {
        let query = [Attr::text("request", "tktkey"), Attr::data("keyname", name)];
        self.ask(&query, |scan| scan.data("keybuf"))
    }

    /// Between sessions: see [`Link::tend`].
    pub fn tend(&self, now: Instant) -> Option<Instant> {
        self.link.tend(now)
    }

    fn ask<T>(
        &self,
        query: &[Attr<'_>],
        wanted: impl Fn(&mut Scan<'_>) -> Result<T, BadAttr>,
    ) -> Option<T> {
        let (status, answer) = self
            .link
            .try_ask(TRIES, DELAY, query, |scan| Ok((scan.int("status")?, wanted(scan)?)))?;
        (status == 0).then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::link::scripted::{Act, Service, hear, manner, say};
    use crate::log::captured;
    use crate::sys::pause::counted;
    use crate::wire::attr::Form;

    const HELLO: &[u8] = b"protocol\0tlsmgr_protocol\0\0";

    fn with<T>(exchange: Vec<Act>, ask: impl FnOnce(&Tlsmgr) -> T) -> T {
        counted::start();
        captured::take();
        let mut acts = vec![say(HELLO)];
        acts.extend(exchange);
        acts.push(Act::End);
        let service = Service::new(vec![acts]);
        let manner = manner(Form::Null, "tlsmgr_protocol");
        let tlsmgr = Tlsmgr { link: Link::new(Endpoint::Unix(service.path()), manner) };
        let answer = ask(&tlsmgr);
        drop(tlsmgr);
        service.played();
        answer
    }

    #[test]
    fn start_up_has_these_bytes() {
        let exchange = vec![
            hear(b"request\0seed\0size\x0032\0\0"),
            say(b"status\x000\0seed\x004kutVVpPN67yre01B+EcP6X49AwlGFwcOlXSibyJab0=\0\0"),
            hear(b"request\0policy\0cache_type\0smtpd\0\0"),
            say(b"status\x000\0cachable\x000\0timeout\x003600\0\0"),
        ];
        let (seed, policy) = with(exchange, |tlsmgr| (tlsmgr.seed(32), tlsmgr.policy("smtpd")));
        let seed = seed.unwrap();
        assert_eq!(seed.len(), 32);
        assert_eq!(seed[..4], [0xe2, 0x4b, 0xad, 0x55]);
        assert_eq!(policy, Some(CachePolicy { cachable: false, timeout: 3600 }));
    }

    #[test]
    fn a_ticket_key_is_88_bytes() {
        let exchange = vec![
            hear(b"request\0tktkey\0keyname\0\0\0"),
            say(
                "status\x000\0keybuf\0ScE8JU/7jBHms7jTATBj+M2NLdsk7CEOu5Iq/GKhm2pc7PDRbOBCu9ZIuk+1\
                 +7MBAjGEJWyPz37qI4mwyLZPQ7zOxbrBQmO1NeMvfJ7/irQUYwRrAAAAAA==\0\0",
            ),
        ];
        let key = with(exchange, |tlsmgr| tlsmgr.ticket_key(b"")).unwrap();
        assert_eq!(key.len(), 88);
        assert_eq!(key[80..], [0x14, 0x63, 0x04, 0x6b, 0, 0, 0, 0]);
    }

    #[test]
    fn a_session_is_kept_found_and_forgotten() {
        let exchange = vec![
            hear(b"request\0update\0cache_type\0smtpd\0cache_id\0AB&s=smtp&l=1\0session\0MIE=\0\0"),
            say(b"status\x000\0\0"),
            hear(b"request\0lookup\0cache_type\0smtpd\0cache_id\0AB&s=smtp&l=1\0\0"),
            say(b"status\x000\0session\0MIE=\0\0"),
            hear(b"request\0delete\0cache_type\0smtpd\0cache_id\0AB&s=smtp&l=1\0\0"),
            say(b"status\x000\0\0"),
        ];
        with(exchange, |tlsmgr| {
            let id = b"AB&s=smtp&l=1";
            assert_eq!(tlsmgr.update("smtpd", id, b"0\x81"), Some(()));
            assert_eq!(tlsmgr.lookup("smtpd", id), Some(b"0\x81".to_vec()));
            assert_eq!(tlsmgr.delete("smtpd", id), Some(()));
        });
    }

    #[test]
    fn what_tlsmgr_does_not_have_is_none() {
        let exchange = vec![
            hear(b"request\0lookup\0cache_type\0smtpd\0cache_id\0AB\0\0"),
            say(b"status\x004294967295\0session\0\0\0"),
        ];
        assert_eq!(with(exchange, |tlsmgr| tlsmgr.lookup("smtpd", b"AB")), None);
        let exchange =
            vec![hear(b"request\0seed\0size\x0032\0\0"), say(b"status\x000\0seed\0M?E=\0\0")];
        assert_eq!(with(exchange, |tlsmgr| tlsmgr.seed(32)), None, "no base64");
    }
}
