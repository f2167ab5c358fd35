//! The services that a session asks, played by threads behind sockets in a queue directory.
//!
//! They know just enough: cleanup(8) refuses what the main.cf of the transcripts makes it refuse,
//! trivial-rewrite(8) tells the address classes apart, anvil(8) counts, flush(8) obeys.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use data_encoding::BASE64;
use smtpd_rs::config::Config;
use smtpd_rs::ipc::rewrite::Resolved;
use smtpd_rs::mail::{address, hostname, quote};
use smtpd_rs::table::proxy::{FIXED, PATTERN};
use smtpd_rs::table::{Keys, Opener, Request};
use smtpd_rs::wire::attr::{Attr, Decoder, Form, Limits, List, encode};
use smtpd_rs::wire::record::{BadRecord, Record};

/// Bits of cleanup(8)'s status.
const STAT_BAD: i32 = 1;
const STAT_CONT: i32 = 8;
const STAT_HOPS: i32 = 16;
/// The flag of cleanup(8) that asks for header and body checks.
const FLAG_FILTER: u32 = 2;

/// What cleanup(8) got: a type and data each.
pub(crate) type Records = Vec<(u8, Vec<u8>)>;

/// How cleanup(8) behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cleanup {
    /// It takes messages, and refuses what it is configured to refuse.
    Works,
    /// It takes messages, and says this of each.
    Says(i32, &'static str),
    /// Its last word is nonsense.
    Babbles,
    /// It goes away when the message begins.
    Leaves,
}

/// The services in the queue directory, which is the working directory; they go on until the
/// process ends.
pub(crate) struct Services {
    /// The messages that cleanup(8) got to their end, by the name of the service.
    messages: Arc<Mutex<HashMap<String, Vec<Records>>>>,
}

impl Services {
    /// Makes the directories of a queue.
    pub(crate) fn new() -> io::Result<Self> {
        for directory in ["public", "private", "incoming"] {
            fs::create_dir_all(directory)?;
        }
        Ok(Self { messages: Arc::default() })
    }

    /// What cleanup(8) of this name got.
    pub(crate) fn messages(&self, name: &str) -> Vec<Records> {
        let messages = self.messages.lock().map(|mut all| all.remove(name));
        messages.ok().flatten().unwrap_or_default()
    }

    /// cleanup(8), under this name.
    pub(crate) fn cleanup(&self, name: &str, manner: Cleanup) -> io::Result<()> {
        let (messages, key) = (Arc::clone(&self.messages), name.to_owned());
        self.listen("public", name, move |client| {
            clean_up(client, manner, |records| {
                if let Ok(mut messages) = messages.lock() {
                    messages.entry(key.clone()).or_default().push(records);
                }
            })
        })
    }

    /// trivial-rewrite(8), under this name, for the domains of `config`.
    pub(crate) fn rewrite(&self, name: &str, config: &Config) -> io::Result<()> {
        let domains = Arc::new(Domains::of(config));
        self.listen("private", name, move |client| {
            converse(client, Form::Null, "trivial_rewrite_protocol", |list| domains.answer(list))
        })
    }

    /// anvil(8).
    pub(crate) fn anvil(&self) -> io::Result<()> {
        let counts = Arc::new(Mutex::new(HashMap::new()));
        self.listen("private", "anvil", move |client| {
            converse(client, Form::Plain, "anvil_protocol", |list| count(list, &counts))
        })
    }

    /// flush(8).
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.listen("public", "flush", |client| {
            converse(client, Form::Null, "queue_flush_protocol", |_| vec![int("status", 0)])
        })
    }

    /// tlsmgr(8).
    pub(crate) fn tlsmgr(&self) -> io::Result<()> {
        let sessions = Arc::new(Mutex::new(HashMap::new()));
        self.listen("private", "tlsmgr", move |client| {
            converse(client, Form::Null, "tlsmgr_protocol", |list| keep_tls(list, &sessions))
        })
    }

    /// proxymap(8): for any table.
    pub(crate) fn proxymap(&self) -> io::Result<()> {
        self.listen("private", "proxymap", |client| {
            converse(client, Form::Null, "proxymap_protocol", ask_table)
        })
    }

    fn listen(
        &self,
        class: &str,
        name: &str,
        serve: impl Fn(UnixStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<()> {
        let listener = UnixListener::bind(Path::new(class).join(name))?;
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let serve = Arc::clone(&serve);
                // A session that goes away in the middle is no business of ours.
                thread::spawn(move || drop(serve(client)));
            }
        });
        Ok(())
    }
}

/// A name and a value, as it is sent.
type Pair = (&'static str, Vec<u8>);

fn int(name: &'static str, value: i32) -> Pair {
    (name, value.to_string().into_bytes())
}

fn text(name: &'static str, value: &[u8]) -> Pair {
    (name, value.to_vec())
}

fn send(client: &mut UnixStream, form: Form, pairs: &[Pair]) -> io::Result<()> {
    let list: Vec<Attr<'_>> = pairs.iter().map(|(name, value)| Attr::text(name, value)).collect();
    let mut bytes = vec![];
    encode(form, &list, &mut bytes);
    client.write_all(&bytes)
}

/// Announces the protocol, then answers questions until the client goes.
fn converse(
    mut client: UnixStream,
    form: Form,
    protocol: &str,
    answer: impl Fn(&List) -> Vec<Pair>,
) -> io::Result<()> {
    send(&mut client, form, &[text("protocol", protocol.as_bytes())])?;
    let mut decoder = Decoder::new(form, Limits::SERVICE);
    let mut buffer = [0; 4096];
    loop {
        while let Some(list) = decoder.next_list().map_err(io::Error::other)? {
            send(&mut client, form, &answer(&list))?;
        }
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            length => decoder.feed(&buffer[..length]),
        }
    }
}

/// Who has how many connections, and has done what how often.
type Counts = HashMap<(Vec<u8>, Vec<u8>), i32>;

fn count(list: &List, counts: &Mutex<Counts>) -> Vec<Pair> {
    let field = |name| list.find(name).unwrap_or_default().to_vec();
    let (request, ident) = (field("request"), field("ident"));
    let Ok(mut counts) = counts.lock() else { return vec![int("status", -1)] };
    let mut add = |what: &[u8], more: i32| {
        let count = counts.entry((ident.clone(), what.to_vec())).or_default();
        *count += more;
        *count
    };
    match request.as_slice() {
        b"connect" => {
            let (count, rate) = (add(b"count", 1), add(b"connect", 1));
            vec![int("status", 0), int("count", count), int("rate", rate)]
        }
        b"disconnect" => {
            add(b"count", -1);
            vec![int("status", 0)]
        }
        b"newtls_status" => vec![int("status", 0), int("rate", add(b"newtls", 0))],
        // Traces came with 3.12; an elder anvil(8) does not know them.
        b"tlstr" => vec![int("status", -1)],
        what => vec![int("status", 0), int("rate", add(what, 1))],
    }
}

/// TLS sessions by their ids, as they came: in base64.
type TlsSessions = HashMap<Vec<u8>, Vec<u8>>;

fn keep_tls(list: &List, sessions: &Mutex<TlsSessions>) -> Vec<Pair> {
    let field = |name| list.find(name).unwrap_or_default().to_vec();
    let Ok(mut sessions) = sessions.lock() else { return vec![int("status", -2)] };
    let done = |pairs: &[Pair]| [&[int("status", 0)], pairs].concat();
    match field("request").as_slice() {
        b"seed" => done(&[text("seed", BASE64.encode(&[7; 32]).as_bytes())]),
        b"policy" => done(&[int("cachable", 1), int("timeout", 3600)]),
        b"lookup" => match sessions.get(&field("cache_id")) {
            Some(session) => done(&[text("session", session)]),
            None => vec![int("status", -1), text("session", b"")],
        },
        b"update" => {
            sessions.insert(field("cache_id"), field("session"));
            done(&[])
        }
        b"delete" => {
            sessions.remove(&field("cache_id"));
            done(&[])
        }
        b"tktkey" => done(&[text("keybuf", BASE64.encode(&ticket_key()).as_bytes())]),
        _ => vec![int("status", -2)],
    }
}

/// The one ticket key: its name, two secrets, and when it expires.
fn ticket_key() -> Vec<u8> {
    let expires: i64 = 4_000_000_000;
    [&[b'n'; 16][..], &[1; 32], &[2; 32], &expires.to_ne_bytes()].concat()
}

/// Opens a table, or looks into it. The status: 0 yes, 1 not there, 2 cannot say.
fn ask_table(list: &List) -> Vec<Pair> {
    let field = |name| list.find(name).unwrap_or_default();
    let table = Config::of_text("")
        .and_then(|config| Opener::new(&config).open(field("table"), Request::default()));
    let Ok(table) = table else { return vec![int("status", 4), int("flags", 0)] };
    if field("request") == b"open" {
        let keys = if table.keys() == Keys::Fixed { FIXED } else { PATTERN };
        return vec![int("status", 0), int("flags", keys as i32)];
    }
    match table.lookup(field("key")) {
        Ok(Some(value)) => vec![int("status", 0), text("value", &value)],
        Ok(None) => vec![int("status", 1), text("value", b"")],
        Err(_) => vec![int("status", 2), text("value", b"")],
    }
}

/// Which domain is of which class.
struct Domains {
    origin: Vec<u8>,
    classes: Vec<(u32, Vec<u8>)>,
}

impl Domains {
    fn of(config: &Config) -> Self {
        let mut classes = vec![];
        for (class, domains) in [
            (Resolved::CLASS_LOCAL, "mydestination"),
            (Resolved::CLASS_ALIAS, "virtual_alias_domains"),
            (Resolved::CLASS_VIRTUAL, "virtual_mailbox_domains"),
            (Resolved::CLASS_RELAY, "relay_domains"),
        ] {
            let domains = config.text(domains.as_bytes()).unwrap_or_default();
            let words = domains.split(|byte| b", ".contains(byte)).filter(|w| !w.is_empty());
            classes.extend(words.map(|word| (class, word.to_ascii_lowercase())));
        }
        Self { origin: config.myorigin.clone(), classes }
    }

    fn answer(&self, list: &List) -> Vec<Pair> {
        let given = list.find("address").unwrap_or_default();
        if list.find("request") == Some(b"rewrite") {
            return vec![int("flags", 0), text("address", &self.rewritten(given))];
        }
        let (flags, transport) = self.class(given);
        let nexthop = match transport {
            "error" => b"5.1.1 User unknown in virtual alias table",
            _ => address::domain(given).unwrap_or(b"localhost"),
        };
        vec![
            int("flags", 0),
            text("transport", transport.as_bytes()),
            text("nexthop", nexthop),
            text("recipient", given),
            int("flags", flags as i32),
        ]
    }

    /// A local part alone gets our domain.
    fn rewritten(&self, external: &[u8]) -> Vec<u8> {
        let mut address = quote::internal(external);
        if address.is_empty() {
            return external.to_vec();
        }
        if address::domain(&address).is_none() {
            address.push(b'@');
            address.extend_from_slice(&self.origin);
        }
        if address.ends_with(b".") {
            address.pop();
        }
        quote::external(&address)
    }

    fn class(&self, address: &[u8]) -> (u32, &'static str) {
        let domain = address::domain(address).unwrap_or(&self.origin).to_ascii_lowercase();
        let good = if domain.starts_with(b"[") {
            hostname::valid_literal(&domain)
        } else {
            hostname::valid_utf8_hostname(&domain, true)
        };
        let odd = std::str::from_utf8(address).is_err() || address.starts_with(b"-");
        if !address.is_empty() && (good.is_err() || odd) {
            return (Resolved::FLAG_ERROR | Resolved::CLASS_DEFAULT, "error");
        }
        let class = match self.classes.iter().find(|(class, name)| has(*class, name, &domain)) {
            Some((class, _)) => *class,
            None if OWN_LITERALS.contains(&domain.as_slice()) => Resolved::CLASS_LOCAL,
            None => Resolved::CLASS_DEFAULT,
        };
        let transport = match class {
            Resolved::CLASS_LOCAL => "local",
            Resolved::CLASS_ALIAS => "error",
            Resolved::CLASS_VIRTUAL => "virtual",
            Resolved::CLASS_RELAY => "relay",
            _ => "smtp",
        };
        let routed = address::local_part(address).iter().any(|byte| b"@%!".contains(byte));
        (class | if routed { Resolved::FLAG_ROUTED } else { 0 }, transport)
    }
}

/// Our addresses, as domains of mail.
const OWN_LITERALS: &[&[u8]] =
    &[b"[127.0.0.1]", b"[192.0.2.1]", b"[192.0.2.77]", b"[ipv6:::1]", b"[ipv6:2001:db8::1]"];

/// Whether a list's word is this domain; relay_domains has the domains below, too.
fn has(class: u32, word: &[u8], domain: &[u8]) -> bool {
    let below = |parent: &[u8]| {
        class == Resolved::CLASS_RELAY
            && domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with(b"."))
    };
    domain == word || below(word)
}

/// Takes one message, and says what becomes of it.
fn clean_up(mut client: UnixStream, manner: Cleanup, keep: impl Fn(Records)) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0xA00_0001);
    let id = format!("{:X}", NEXT.fetch_add(1, Ordering::Relaxed));
    let greeting = [text("protocol", b"cleanup_protocol"), text("queue_id", id.as_bytes())];
    send(&mut client, Form::Null, &greeting)?;
    let mut input = vec![];
    let flags = take_flags(&mut client, &mut input)?;
    let last = if matches!(manner, Cleanup::Leaves) { Record::MESSAGE } else { Record::END };
    let records = take_records(&mut client, &mut input, last)?;
    let (status, reason) = match manner {
        Cleanup::Works => verdict(&records, flags & FLAG_FILTER != 0),
        Cleanup::Says(status, reason) => (status, reason),
        Cleanup::Babbles => return client.write_all(b"well\0perhaps\0\0"),
        Cleanup::Leaves => return Ok(()),
    };
    keep(records);
    send(&mut client, Form::Null, &[int("status", status), text("reason", reason.as_bytes())])
}

/// The list `flags`, in front of the records.
fn take_flags(client: &mut UnixStream, input: &mut Vec<u8>) -> io::Result<u32> {
    loop {
        if let Some(end) = input.windows(2).position(|two| two == b"\0\0") {
            let list: Vec<u8> = input.drain(..end + 2).collect();
            let number = list.strip_prefix(b"flags\0").and_then(|rest| rest.strip_suffix(b"\0\0"));
            let number = number.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
            return number.ok_or_else(|| io::Error::other("no flags"));
        }
        more(client, input)?;
    }
}

/// The records up to and with the first of type `last`.
fn take_records(client: &mut UnixStream, input: &mut Vec<u8>, last: u8) -> io::Result<Records> {
    let mut records = vec![];
    loop {
        let mut rest = input.as_slice();
        match Record::take(&mut rest) {
            Ok(record) => {
                let last = record.kind == last;
                records.push((record.kind, record.data.to_vec()));
                let left = rest.len();
                input.drain(..input.len() - left);
                if last {
                    return Ok(records);
                }
            }
            Err(BadRecord::Incomplete) => more(client, input)?,
            Err(BadRecord::Length) => return Err(io::Error::other("bad record")),
        }
    }
}

fn more(client: &mut UnixStream, input: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 65536];
    match client.read(&mut buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => {
            input.extend_from_slice(&buffer[..length]);
            Ok(())
        }
    }
}

/// What header_checks and body_checks of the transcripts' main.cf, and the hop limit, say.
fn verdict(records: &Records, checks: bool) -> (i32, &'static str) {
    let place = |kind: u8| records.iter().position(|record| record.0 == kind);
    let (Some(message), Some(extracted)) = (place(Record::MESSAGE), place(Record::EXTRACTED))
    else {
        return (STAT_BAD, "");
    };
    let order = [Record::TIME, Record::SENDER, Record::RECIPIENT];
    if order.iter().any(|kind| place(*kind).is_none_or(|at| at > message)) {
        return (STAT_BAD, "");
    }
    let lines: Vec<&[u8]> =
        records[message + 1..extracted].iter().map(|record| record.1.as_slice()).collect();
    let is_header = |line: &&&[u8]| {
        line.starts_with(b" ")
            || line.starts_with(b"\t")
            || (!line.is_empty() && line.contains(&b':'))
    };
    let headers = lines.iter().take_while(is_header).count();
    let (headers, body) = lines.split_at(headers);
    if headers.iter().filter(|line| line.starts_with(b"Received:")).count() > 50 {
        (STAT_HOPS, "")
    } else if !checks {
        (0, "")
    } else if headers.iter().any(|line| line.starts_with(b"X-Refuse:")) {
        (STAT_CONT, "5.7.1 not this header")
    } else if body.contains(&&b"refuse this body"[..]) {
        (STAT_CONT, "5.7.1 not this body")
    } else {
        (0, "")
    }
}
