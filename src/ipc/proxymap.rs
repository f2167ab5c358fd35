//! proxymap(8): looks things up in tables that we cannot open, or that are better shared.
//!
//! | request | until 3.10 | from 3.11 |
//! |---------|------------|-----------|
//! | open    | `table`, `flags` | `table`, `instance_flags` |
//! | answer  | `status`, `flags` | `status`, `flags` |
//! | lookup  | `table`, `flags`, `key` | `table`, `instance_flags`, `flags`, `key` |
//! | answer  | `status`, `value` | `status`, `flags`, `value` |
//!
//! A server takes its own form only, and answers the other with status 3, an invalid request. So
//! the first table that is opened finds out which form it is; the installed release says where to begin.
//!
//! Source: Postfix, `src/global/dict_proxy.c`, `src/proxymap/proxymap.c`.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use super::link::{Endpoint, Link, Manner};
use crate::config::Config;
use crate::config::dialect::{Change, Release};
use crate::log::Fatal;
use crate::wire::attr::Attr;

/// Keys are fixed texts.
pub const FLAG_FIXED: u32 = 1 << 4;
/// Keys are patterns.
pub const FLAG_PATTERN: u32 = 1 << 5;
/// Lock the table for a lookup.
pub const FLAG_LOCK: u32 = 1 << 6;
/// No `$1` in pattern tables.
pub const FLAG_NO_REGSUB: u32 = 1 << 11;
/// Fold keys of tables with fixed keys.
pub const FLAG_FOLD_FIX: u32 = 1 << 14;
/// Fold keys of tables with patterns.
pub const FLAG_FOLD_MUL: u32 = 1 << 15;
/// Safe with several writers.
const FLAG_MULTI_WRITER: u32 = 1 << 18;
/// Keys and values must be UTF-8.
pub const FLAG_UTF8_REQUEST: u32 = 1 << 19;

/// What the type of a table decides. As Postfix: `DICT_FLAG_IMPL_MASK`.
const OF_THE_TYPE: u32 = FLAG_FIXED | FLAG_PATTERN | FLAG_MULTI_WRITER;
/// What each request decides: the flags above, how duplicates are taken, and who may be trusted.
/// As Postfix: `DICT_FLAG_RQST_MASK`.
const OF_THE_REQUEST: u32 = FLAG_FOLD_FIX
    | FLAG_FOLD_MUL
    | FLAG_LOCK
    | (1 << 0)
    | (1 << 1)
    | (1 << 7)
    | (1 << 8)
    | FLAG_NO_REGSUB
    | (1 << 12)
    | (1 << 13)
    | FLAG_UTF8_REQUEST;

/// What proxymap(8) says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The value; it may be empty.
    Found(Vec<u8>),
    /// The table does not have the key.
    NotFound,
    /// The table failed, and may work again.
    Retry,
    /// The table is badly configured.
    Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Until 3.10.
    Old,
    /// From 3.11.
    New,
}

impl Form {
    /// What a release speaks.
    fn of_release(release: Release) -> Self {
        if release.does(Change::ProxymapTellsFlags) { Self::New } else { Self::Old }
    }

    fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    fn flags_of_open(self) -> &'static str {
        match self {
            Self::Old => "flags",
            Self::New => "instance_flags",
        }
    }
}

const OK: i32 = 0;
const NO_KEY: i32 = 1;
const RETRY: i32 = 2;
const BAD: i32 = 3;
const DENY: i32 = 4;
const CONFIG: i32 = 5;

/// proxymap(8): one connection for all tables.
#[derive(Debug)]
pub struct ProxyMap {
    link: Link,
    service: Vec<u8>,
    form: Cell<Form>,
    /// The server has answered in this form.
    certain: Cell<bool>,
    /// What the server said of each table when it was opened.
    opened: RefCell<Vec<(Vec<u8>, u32)>>,
}

impl ProxyMap {
    /// The service that proxymap_service_name names. Nothing is opened yet.
    pub fn new(config: &Config) -> Self {
        let service = &config.proxymap_service_name;
        let endpoint = Endpoint::Postfix(fill!("private/{}", service));
        let manner = Manner::of_services(config, "proxymap_protocol");
        Self::over(Link::new(endpoint, manner), service, config.release)
    }

    fn over(link: Link, service: &[u8], release: Release) -> Self {
        Self {
            link,
            service: service.to_vec(),
            form: Cell::new(Form::of_release(release)),
            certain: Cell::new(false),
            opened: RefCell::default(),
        }
    }

    /// Opens the table `type:name`. Of `flags` only those count that no request can change. The
    /// answer has [`FLAG_FIXED`] or [`FLAG_PATTERN`]. `Fatal`: proxymap refuses the table.
    pub fn open(&self, table: &[u8], flags: u32) -> Result<u32, Fatal> {
        let (service, instance) = (&self.service, instance_flags(flags));
        loop {
            match self.ask_open(table, instance)? {
                (OK, flags) => {
                    self.certain.set(true);
                    self.opened.borrow_mut().push((table.to_vec(), flags));
                    return Ok(flags & OF_THE_TYPE);
                }
                (BAD, _) if !self.certain.get() => {
                    self.link.close();
                    self.form.set(self.form.get().other());
                    self.certain.set(true);
                }
                (BAD, _) => {
                    return Err(fatal!(
                        "{} open failed for table \"{}\": invalid request",
                        service,
                        table
                    ));
                }
                (DENY, _) => return Err(self.denied(table)),
                (status, _) => {
                    warning!(
                        "{} open failed for table \"{}\": unexpected status {}",
                        service,
                        table,
                        status
                    );
                    self.link.close_and_wait();
                }
            }
        }
    }

    /// Looks up `key` in an open table. `flags` are those of the request: `FLAG_LOCK` and so on.
    pub fn lookup(&self, table: &[u8], flags: u32, key: &[u8]) -> Result<Answer, Fatal> {
        // A NUL would end the key, and so another key would be asked for.
        if key.contains(&0) {
            return Ok(Answer::NotFound);
        }
        let service = &self.service;
        loop {
            match self.ask_lookup(table, flags, key)? {
                (OK, value) => return Ok(Answer::Found(value)),
                (NO_KEY, _) => return Ok(Answer::NotFound),
                (RETRY, _) => return Ok(Answer::Retry),
                (CONFIG, _) => return Ok(Answer::Config),
                (DENY, _) => return Err(self.denied(table)),
                (BAD, _) => {
                    return Err(fatal!(
                        "{} lookup failed for table \"{}\" key \"{}\": invalid request",
                        service,
                        table,
                        key
                    ));
                }
                (status, _) => {
                    warning!(
                        "{} lookup failed for table \"{}\" key \"{}\": unexpected reply status {}",
                        service,
                        table,
                        key,
                        status
                    );
                    self.link.close_and_wait();
                }
            }
        }
    }

    /// Between sessions: see [`Link::tend`].
    pub fn tend(&self, now: Instant) -> Option<Instant> {
        self.link.tend(now)
    }

    fn ask_open(&self, table: &[u8], instance: u32) -> Result<(i32, u32), Fatal> {
        let query = [
            Attr::text("request", "open"),
            Attr::text("table", table),
            Attr::int(self.form.get().flags_of_open(), instance as i32),
        ];
        let trouble = fill!("dict_proxy_open: service {}", self.service);
        self.link.ask_aloud(&trouble, &query, |scan| {
            Ok((scan.int("status")?, scan.int("flags")? as u32))
        })
    }

    fn ask_lookup(&self, table: &[u8], flags: u32, key: &[u8]) -> Result<(i32, Vec<u8>), Fatal> {
        let form = self.form.get();
        let mut query = vec![Attr::text("request", "lookup"), Attr::text("table", table)];
        match form {
            Form::Old => query.push(Attr::int("flags", flags as i32)),
            Form::New => {
                let flags = self.flags_of(table) & !OF_THE_REQUEST | flags;
                query.push(Attr::int("instance_flags", instance_flags(flags) as i32));
                query.push(Attr::int("flags", flags as i32));
            }
        }
        query.push(Attr::text("key", key));
        let trouble = fill!("dict_proxy_lookup: service {}", self.service);
        self.link.ask(&trouble, &query, |scan| {
            let status = scan.int("status")?;
            if form == Form::New {
                scan.int("flags")?;
            }
            Ok((status, scan.text("value")?.to_vec()))
        })
    }

    fn flags_of(&self, table: &[u8]) -> u32 {
        let opened = self.opened.borrow();
        opened.iter().find(|entry| entry.0 == table).map_or(0, |entry| entry.1)
    }

    fn denied(&self, table: &[u8]) -> Fatal {
        fatal!("{} service is not configured for table \"{}\"", self.service, table)
    }
}

/// What neither the type of a table nor a request decides. As Postfix: `DICT_FLAG_INST_MASK`.
fn instance_flags(flags: u32) -> u32 {
    flags & !(OF_THE_TYPE | OF_THE_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::link::scripted::{Act, Service, hear, manner, say};
    use crate::log::captured;
    use crate::sys::pause::counted;
    use crate::wire::attr;

    const HELLO: &[u8] = b"protocol\0proxymap_protocol\0\0";
    const TABLE: &[u8] = b"texthash:/etc/postfix/sender_access";
    const ACCESS: u32 = FLAG_LOCK | FLAG_UTF8_REQUEST;

    fn over(service: &Service, version: &str) -> ProxyMap {
        counted::start();
        captured::take();
        let manner = manner(attr::Form::Null, "proxymap_protocol");
        let release = Release::parse(version.as_bytes()).unwrap();
        ProxyMap::over(Link::new(service.endpoint(), manner), b"proxymap", release)
    }

    fn open_old() -> Act {
        hear("request\0open\0table\0texthash:/etc/postfix/sender_access\0flags\x000\0\0")
    }

    fn open_new() -> Act {
        hear("request\0open\0table\0texthash:/etc/postfix/sender_access\0instance_flags\x000\0\0")
    }

    fn lookup_old(key: &str) -> Act {
        hear(format!(
            "request\0lookup\0table\0texthash:/etc/postfix/sender_access\0flags\x00524352\0\
             key\0{key}\0\0"
        ))
    }

    #[test]
    fn a_table_is_opened_and_asked_in_these_bytes() {
        let service = Service::new(vec![vec![
            say(HELLO),
            open_old(),
            say(b"status\x000\0flags\x0016\0\0"),
            lookup_old("\"t tcp\"@t.example"),
            say(b"status\x001\0value\0\0\0"),
            lookup_old("prepend@x.example"),
            say(b"status\x000\0value\0PREPEND X-Prep: yes\0\0"),
            Act::End,
        ]]);
        let proxymap = over(&service, "3.7.11");
        assert_eq!(proxymap.open(TABLE, 0), Ok(FLAG_FIXED));
        let lookup = |key: &[u8]| proxymap.lookup(TABLE, ACCESS, key).unwrap();
        assert_eq!(lookup(b"\"t tcp\"@t.example"), Answer::NotFound);
        assert_eq!(lookup(b"prepend@x.example"), Answer::Found(b"PREPEND X-Prep: yes".to_vec()));
        assert_eq!(lookup(b"not\0asked"), Answer::NotFound);
        drop(proxymap);
        service.played();
        assert_eq!(captured::take(), [] as [&str; 0]);
    }

    #[test]
    fn a_new_server_is_found_out_and_asked_in_its_form() {
        let service = Service::new(vec![
            vec![say(HELLO), open_old(), say(b"status\x003\0flags\x000\0\0"), Act::End],
            vec![
                say(HELLO),
                open_new(),
                say(b"status\x000\0flags\x00262160\0\0"),
                hear(
                    "request\0lookup\0table\0texthash:/etc/postfix/sender_access\0\
                     instance_flags\x000\0flags\x00786512\0key\0x\0\0",
                ),
                say(b"status\x000\0flags\x00786512\0value\0\0\0"),
                Act::End,
            ],
        ]);
        let proxymap = over(&service, "3.7.11");
        assert_eq!(proxymap.open(TABLE, 0), Ok(FLAG_FIXED | FLAG_MULTI_WRITER));
        assert_eq!(proxymap.lookup(TABLE, ACCESS, b"x"), Ok(Answer::Found(vec![])));
        drop(proxymap);
        service.played();
        assert_eq!(counted::total(), std::time::Duration::ZERO);
    }

    #[test]
    fn an_old_server_is_found_out_too() {
        let service = Service::new(vec![
            vec![say(HELLO), open_new(), say(b"status\x003\0flags\x000\0\0"), Act::End],
            vec![say(HELLO), open_old(), say(b"status\x000\0flags\x0032\0\0"), Act::End],
        ]);
        let proxymap = over(&service, "3.12-20260821");
        assert_eq!(proxymap.open(TABLE, 0), Ok(FLAG_PATTERN));
        drop(proxymap);
        service.played();
    }

    #[test]
    fn what_neither_form_can_open_is_no_table() {
        let service = Service::new(vec![
            vec![say(HELLO), open_old(), say(b"status\x003\0flags\x000\0\0"), Act::End],
            vec![say(HELLO), open_new(), say(b"status\x003\0flags\x000\0\0"), Act::End],
        ]);
        let text = "proxymap open failed for table \"texthash:/etc/postfix/sender_access\": \
                    invalid request";
        assert_eq!(over(&service, "3.7.11").open(TABLE, 0), Err(Fatal(text.into())));
        let service =
            Service::new(vec![vec![say(HELLO), open_old(), say(b"status\x004\0flags\x000\0\0")]]);
        let text = "proxymap service is not configured for table \
                    \"texthash:/etc/postfix/sender_access\"";
        assert_eq!(over(&service, "3.7.11").open(TABLE, 0), Err(Fatal(text.into())));
    }

    #[test]
    fn a_failing_table_is_not_an_empty_one() {
        let service = Service::new(vec![
            vec![
                say(HELLO),
                lookup_old("a"),
                say(b"status\x002\0value\0\0\0"),
                lookup_old("a"),
                say(b"status\x005\0value\0\0\0"),
                lookup_old("a"),
                say(b"status\x0099\0value\0\0\0"),
                Act::End,
            ],
            vec![say(HELLO), lookup_old("a"), say(b"status\x003\0value\0\0\0"), Act::End],
        ]);
        let proxymap = over(&service, "3.7.11");
        let lookup = || proxymap.lookup(TABLE, ACCESS, b"a");
        assert_eq!(lookup(), Ok(Answer::Retry));
        assert_eq!(lookup(), Ok(Answer::Config));
        assert!(lookup().unwrap_err().0.ends_with(b"key \"a\": invalid request"));
        assert_eq!(
            captured::take(),
            ["warning: proxymap lookup failed for table \"texthash:/etc/postfix/sender_access\" \
              key \"a\": unexpected reply status 99"]
        );
    }

    #[test]
    fn flags_belong_to_the_instance_the_type_or_the_request() {
        assert_eq!(OF_THE_REQUEST, 0x8_f9c3);
        assert_eq!(OF_THE_TYPE, 0x4_0030);
        assert_eq!(instance_flags(1 << 21 | ACCESS | FLAG_FIXED), 1 << 21);
    }

    #[test]
    fn releases_have_forms() {
        for (version, form) in [
            ("3.7.11", Form::Old),
            ("3.10.13", Form::Old),
            ("3.11.0", Form::New),
            ("3.12-20260821", Form::New),
            ("4.0.0", Form::New),
        ] {
            let release = Release::parse(version.as_bytes()).unwrap();
            assert_eq!(Form::of_release(release), form, "{version}");
        }
    }
}
