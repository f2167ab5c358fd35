//! The name server of the private world: it knows `ZONE`, and lies where the zone says so.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// `name type data`. Types of which the DNS knows nothing: `SERVFAIL`, `REFUSED` and `TIMEOUT` hold for
/// every question about a name; `CHAOS`, `CUT` and `LOOP` spoil the answers to it (another class, an
/// end too early, a name that points to itself); `MANY` has so many addresses, and `RAW` a number of
/// a type and its data in hexadecimal digits.
pub(crate) const ZONE: &str = "
10.2.0.192.in-addr.arpa     PTR   good.client.test
good.client.test            A     192.0.2.10
good.client.test            MX    10 mail.client.test
client.test                 A     192.0.2.10
client.test                 MX    5 mail.client.test
client.test                 NS    ns1.client.test
ns1.client.test             A     192.0.2.53
mail.client.test            A     192.0.2.11

# Clients whose name can't be trusted
11.2.0.192.in-addr.arpa     PTR   liar.client.test
liar.client.test            A     192.0.2.99
13.2.0.192.in-addr.arpa     SERVFAIL
14.2.0.192.in-addr.arpa     PTR   nofwd.client.test
15.2.0.192.in-addr.arpa     PTR   12.34
16.2.0.192.in-addr.arpa     PTR   tempfwd.client.test
tempfwd.client.test         SERVFAIL
17.2.0.192.in-addr.arpa     PTR   bad_name-.client.test
18.2.0.192.in-addr.arpa     PTR   192.0.2.18
19.2.0.192.in-addr.arpa     PTR   one.two.three.example.test
one.two.three.example.test  A     192.0.2.19
0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR six.client.test
six.client.test             AAAA  2001:db8::10

# This host and its mail
1.2.0.192.in-addr.arpa      PTR   mx.example.test
mx.example.test             A     192.0.2.1
example.test                MX    10 mx.example.test
relay.test                  MX    10 mx.relay.test
mx.relay.test               A     192.0.2.77
backup.test                 MX    5 mx.relay.test
backup.test                 MX    10 mx.example.test

# Senders
sender.test                 MX    10 mx.sender.test
sender.test                 A     192.0.2.80
sender.test                 NS    ns1.sender.test
mx.sender.test              A     192.0.2.78
ns1.sender.test             A     192.0.2.79
aonly.test                  A     192.0.2.81
aaaaonly.test               AAAA  2001:db8::81
nullmx.test                 MX    0 .
loopmx.test                 MX    10 localhost.test
localhost.test              A     127.0.0.1
servfail.test               SERVFAIL
cname.test                  CNAME sender.test
brokenmx.test               MX    10 nowhere.test
txtonly.test                TXT   nothing else
helo.test                   A     192.0.2.10

# Domains whose mail servers are others, or this host too
mx.far.test                 A     203.0.113.5
two.far.test                A     203.0.113.5
two.far.test                A     203.0.113.200
second.test                 MX    5 mx.far.test
second.test                 MX    10 mx.example.test
second.test                 MX    20 mx.far.test
twice.test                  MX    10 mx.example.test
twice.test                  MX    5 two.far.test
same.test                   MX    10 mx.far.test
same.test                   MX    10 mx.example.test
others.test                 MX    5 mx.far.test
others.test                 MX    10 two.far.test
lost.test                   MX    5 tempfwd.client.test
lost.test                   MX    10 mx.example.test
lostbackup.test             MX    5 mx.far.test
lostbackup.test             MX    10 tempfwd.client.test
address.test                MX    5 mx.far.test
address.test                MX    10 good.client.test
sub.sender.test             A     192.0.2.82
deep.sub.sender.test        A     192.0.2.83
xn--bcher-kva.test          MX    10 mx.sender.test
xn--bcher-kva.test          NS    ns1.sender.test

# Name servers that lie
badmx.test                  MX    10 -bad.sender.test
halfbadmx.test              MX    10 mx_bad-.sender.test
halfbadmx.test              MX    20 mx.sender.test
numericmx.test              MX    10 192.0.2.5
quotedmx.test               MX    10 a@b.sender.test
cnamemx.test                MX    10 cname.test
aliasloop.test              CNAME aliasloop2.test
aliasloop2.test             CNAME aliasloop.test
badalias.test               CNAME bad-.sender.test
aliastonull.test            CNAME nullmx.test
refused.test                REFUSED
silent.test                 TIMEOUT
chaos.test                  A     192.0.2.84
chaos.test                  CHAOS
cut.test                    A     192.0.2.85
cut.test                    CUT
loop.test                   A     192.0.2.86
loop.test                   LOOP
many.test                   MANY  150
manymx.test                 MX    10 many.test
wrongsize.test              RAW   1 c0000201ff
shortmx.test                RAW   15 00
badns.test                  NS    -bad.sender.test
failns.test                 SERVFAIL
failnsparent.test           SERVFAIL
sub.failnsparent.test       A     192.0.2.87

# Lists
10.2.0.192.rbl.test         A     127.0.0.2
10.2.0.192.rbl.test         TXT   Listed, see http://rbl.test/?192.0.2.10
10.2.0.192.multi.test       A     127.0.0.4
10.2.0.192.multi.test       A     127.0.1.9
10.2.0.192.fail.test        SERVFAIL
10.2.0.192.dnswl.test       A     127.0.3.1
10.2.0.192.texts.test       A     127.0.0.2
10.2.0.192.texts.test       TXT   first reason
10.2.0.192.texts.test       TXT   second reason with % and { in it
0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.rbl.test A 127.0.0.6
sender.test.rhsbl.test      A     127.0.0.2
sender.test.rhsbl.test      TXT   bad domain
good.client.test.rhsbl.test A     127.0.0.3
";

const TYPES: &[(&str, u16)] =
    &[("A", 1), ("NS", 2), ("CNAME", 5), ("PTR", 12), ("MX", 15), ("TXT", 16), ("AAAA", 28)];
const SOA: u16 = 6;

/// What a name has.
pub(crate) struct Zone {
    records: HashMap<(String, u16), Vec<Vec<u8>>>,
    names: HashSet<String>,
    failing: HashSet<String>,
    refused: HashSet<String>,
    silent: HashSet<String>,
    lies: HashMap<String, Lie>,
}

/// How the answers to questions about a name are spoilt.
#[derive(Clone, Copy)]
enum Lie {
    Chaos,
    Cut,
    Loop,
}

/// Answers on port 53 of the loopback address until the process ends.
pub(crate) fn serve() -> std::io::Result<()> {
    let zone = Arc::new(Zone::parse(ZONE));
    let udp = UdpSocket::bind("127.0.0.1:53")?;
    let tcp = TcpListener::bind("127.0.0.1:53")?;
    let other = Arc::clone(&zone);
    thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            let zone = Arc::clone(&other);
            thread::spawn(move || answer_stream(&zone, stream));
        }
    });
    thread::spawn(move || {
        let mut question = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut question) {
            if let Some(answer) = zone.answer(&question[..length]) {
                let _ = udp.send_to(&short(answer), from);
            }
        }
    });
    Ok(())
}

/// Answers questions until there are no more.
fn answer_stream(zone: &Zone, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question)?;
        if let Some(answer) = zone.answer(&question) {
            let length = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat())?;
        }
    }
}

impl Zone {
    /// Reads a zone: `ZONE`.
    pub(crate) fn parse(text: &str) -> Zone {
        let mut zone = Zone {
            records: HashMap::new(),
            names: HashSet::new(),
            failing: HashSet::new(),
            refused: HashSet::new(),
            silent: HashSet::new(),
            lies: HashMap::new(),
        };
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let mut words = line.splitn(3, char::is_whitespace);
            let name = words.next().unwrap_or_default().to_owned();
            let rest = line[name.len()..].trim();
            let (kind, data) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            zone.names.insert(name.clone());
            match kind {
                "SERVFAIL" => drop(zone.failing.insert(name)),
                "REFUSED" => drop(zone.refused.insert(name)),
                "TIMEOUT" => drop(zone.silent.insert(name)),
                "CHAOS" => drop(zone.lies.insert(name, Lie::Chaos)),
                "CUT" => drop(zone.lies.insert(name, Lie::Cut)),
                "LOOP" => drop(zone.lies.insert(name, Lie::Loop)),
                "MANY" => {
                    for n in 0..data.trim().parse::<u8>().expect("how many") {
                        zone.add(name.clone(), "A", &format!("198.51.100.{n}"));
                    }
                }
                "RAW" => {
                    let (number, digits) = data.trim().split_once(' ').expect("type and data");
                    let number = number.parse().expect("a type");
                    zone.records.entry((name, number)).or_default().push(hex(digits));
                }
                _ => zone.add(name, kind, data.trim()),
            }
        }
        zone
    }

    fn add(&mut self, name: String, kind: &str, data: &str) {
        let Some((_, number)) = TYPES.iter().find(|(n, _)| *n == kind) else {
            panic!("the zone has an unknown type: {kind}");
        };
        let bytes = match kind {
            "A" | "AAAA" => match data.parse().expect("an address in the zone") {
                IpAddr::V4(addr) => addr.octets().to_vec(),
                IpAddr::V6(addr) => addr.octets().to_vec(),
            },
            "MX" => {
                let (preference, host) = data.split_once(' ').expect("preference and host");
                let preference: u16 = preference.parse().expect("a preference");
                [preference.to_be_bytes().to_vec(), encode_name(host)].concat()
            }
            "TXT" => data
                .as_bytes()
                .chunks(255)
                .flat_map(|part| [&[part.len() as u8], part].concat())
                .collect(),
            _ => encode_name(data),
        };
        self.records.entry((name, *number)).or_default().push(bytes);
    }

    /// The answer to a question; none if the server is to be silent.
    pub(crate) fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let (name, kind, end) = parse_question(question)?;
        if self.silent.contains(&name) {
            return None;
        }
        let mut answers: Vec<Vec<u8>> = Vec::new();
        let mut at = name.clone();
        let mut code: u16 = if self.failing.contains(&name) { 2 } else { 0 };
        if self.refused.contains(&name) {
            code = 5;
        }
        for _ in 0..8 {
            if let Some(found) = self.records.get(&(at.clone(), kind)) {
                answers.extend(found.iter().map(|data| record(&at, kind, data)));
                break;
            }
            let Some(alias) = self.records.get(&(at.clone(), 5)).and_then(|a| a.first()) else {
                break;
            };
            answers.push(record(&at, 5, alias));
            at = decode_name(alias);
        }
        if answers.is_empty() && code == 0 && !self.names.contains(&name) {
            code = 3;
        }
        let mut reply = question.get(..2)?.to_vec();
        let authority = u16::from(answers.is_empty());
        let count = u16::try_from(answers.len()).ok()?;
        for number in [0x8180 | code, 1, count, authority, 0] {
            reply.extend_from_slice(&number.to_be_bytes());
        }
        reply.extend_from_slice(question.get(12..end)?);
        let start = reply.len();
        reply.extend(answers.into_iter().flatten());
        if reply.len() > start {
            let record = start + encode_name(&name).len();
            match self.lies.get(&name) {
                Some(Lie::Chaos) => reply[record + 3] = 3,
                Some(Lie::Cut) => reply.truncate(reply.len() - 2),
                Some(Lie::Loop) => {
                    let at = u16::try_from(start).ok()?;
                    reply.splice(start..record, (0xc000 | at).to_be_bytes());
                }
                None => {}
            }
        }
        if authority == 1 {
            let parent = name.rsplitn(3, '.').take(2).collect::<Vec<_>>();
            let parent = parent.into_iter().rev().collect::<Vec<_>>().join(".");
            let numbers = [1u32, 2, 3, 4, 60].map(u32::to_be_bytes).concat();
            let data = [encode_name("ns.test"), encode_name("root.test"), numbers].concat();
            reply.extend(record(&parent, SOA, &data));
        }
        Some(reply)
    }
}

/// What of an answer goes over UDP: of a long one only the start, and that there is more.
fn short(mut answer: Vec<u8>) -> Vec<u8> {
    if answer.len() > 512 {
        let end = parse_question(&answer).map_or(12, |(_, _, end)| end);
        answer.truncate(end);
        answer[2] |= 0x02;
        answer[6..12].fill(0);
    }
    answer
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned());
    pairs.map(|pair| u8::from_str_radix(&pair, 16).expect("digits")).collect()
}

/// Name and type asked for, and where the question ends.
fn parse_question(question: &[u8]) -> Option<(String, u16, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*question.get(at)?);
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at + 1..at + 1 + length)?).to_lowercase());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes(question.get(at + 1..at + 3)?.try_into().ok()?);
    Some((labels.join("."), kind, at + 5))
}

pub(crate) fn encode_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn decode_name(mut bytes: &[u8]) -> String {
    let mut labels = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let length = usize::from(length).min(rest.len());
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(&rest[..length]).into_owned());
        bytes = &rest[length..];
    }
    labels.join(".")
}

fn record(name: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = encode_name(name);
    for number in [kind, 1, 0, 60, data.len() as u16] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(data);
    bytes
}
