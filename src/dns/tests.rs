//! Name servers that say what a test wants.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use super::{Dns, HostError, Kind, Network, Status};
use crate::config::Config;
use crate::log::captured;
use crate::sys::names::{Family, NameError};
use crate::table::Opener;

/// Answers from lines `name type data`. The type `ERROR` (an `h_errno`) holds for all questions about
/// a name.
#[derive(Default)]
pub(crate) struct Lines {
    lines: Vec<(String, String, String)>,
    /// What was asked: `name type`.
    pub(crate) asked: Rc<RefCell<Vec<String>>>,
}

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.trim().splitn(3, ' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_default();
            (word(), word(), word())
        };
        Self { lines: text.lines().map(line).collect(), asked: Rc::default() }
    }

    fn of_name(&self, name: &str) -> Vec<&(String, String, String)> {
        self.lines.iter().filter(|(owner, ..)| owner == name).collect()
    }
}

impl Network for Lines {
    fn ask(&self, name: &[u8], kind: Kind) -> Result<Vec<u8>, HostError> {
        let name = String::from_utf8_lossy(name).to_lowercase();
        self.asked.borrow_mut().push(format!("{name} {}", kind.text()));
        let lines = self.of_name(&name);
        let mut answers = Vec::new();
        for (_, what, data) in &lines {
            match what.as_str() {
                "ERROR" => return Err(HostError(data.parse().unwrap())),
                "CNAME" => answers.push(record(&name, Kind::CNAME, &encoded(data))),
                what if *what == kind.text() => {
                    answers.push(record(&name, kind, &bytes(kind, data)))
                }
                _ => {}
            }
        }
        if answers.is_empty() {
            return Err(if lines.is_empty() {
                HostError::HOST_NOT_FOUND
            } else {
                HostError::NO_DATA
            });
        }
        Ok(reply(&name, &answers))
    }

    fn addresses_of(&self, name: &[u8], family: Family) -> Result<Vec<IpAddr>, NameError> {
        let name = String::from_utf8_lossy(name).to_lowercase();
        self.asked.borrow_mut().push(format!("{name} addresses"));
        let lines = self.of_name(&name);
        if lines.iter().any(|(_, what, _)| what == "ERROR") {
            return Err(NameError::AGAIN);
        }
        let of_family = |address: &IpAddr| match family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        };
        let addresses = lines.iter().filter(|(_, what, _)| what == "A" || what == "AAAA");
        let addresses = addresses.map(|(_, _, data)| data.parse().unwrap());
        let found: Vec<IpAddr> = addresses.filter(of_family).collect();
        if found.is_empty() { Err(NameError::NONE) } else { Ok(found) }
    }
}

/// Data as it is on the wire.
fn bytes(kind: Kind, data: &str) -> Vec<u8> {
    match kind {
        Kind::A | Kind::AAAA => match data.parse().unwrap() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        },
        Kind::MX => {
            let (preference, host) = data.split_once(' ').unwrap();
            [&preference.parse::<u16>().unwrap().to_be_bytes()[..], &encoded(host)].concat()
        }
        Kind::TXT => [&[u8::try_from(data.len()).unwrap()], data.as_bytes()].concat(),
        _ => encoded(data),
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}

fn record(name: &str, kind: Kind, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&encoded(name)[..], &kind.0.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &length, data].concat()
}

fn reply(name: &str, answers: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(answers.len()).unwrap().to_be_bytes();
    let head = [&b"\0\0\x81\x80\0\x01"[..], &count, b"\0\0\0\0"].concat();
    [&head[..], &encoded(name), b"\0\x01\0\x01", &answers.concat()].concat()
}

fn dns(main_cf: &str, lines: &str) -> Dns {
    let config = Config::of_text(main_cf).unwrap();
    let mut opener = Opener::new(&config);
    let dns = Dns::open(&config, &mut opener, Box::new(Lines::of(lines))).unwrap();
    captured::take();
    dns
}

const ZONE: &str = "\
a.example A 192.0.2.1
a.example MX 20 b.example
a.example MX 10 c.example
alias.example CNAME a.example
loop.example CNAME pool.example
pool.example CNAME loop.example
null.example MX 0 .
bad.example MX 10 -b.example
half.example MX 10 -b.example
half.example MX 20 a.example
badalias.example CNAME a_-.example
text.example TXT a\tb
down.example ERROR 2
no.example ERROR 3
";

#[test]
fn a_question_has_an_end() {
    let dns = dns("", ZONE);
    for (name, kind, status, why) in [
        ("a.example", Kind::A, Status::Ok, ""),
        ("alias.example", Kind::MX, Status::Ok, ""),
        (
            "a.example",
            Kind::AAAA,
            Status::NotFound,
            "Host or domain name not found. Name service error for name=a.example type=AAAA: Host \
             found but no data record of requested type",
        ),
        (
            "none.example",
            Kind::A,
            Status::NotFound,
            "Host or domain name not found. Name service error for name=none.example type=A: Host \
             not found",
        ),
        (
            "192.0.2.1",
            Kind::A,
            Status::NotFound,
            "Name service error for 192.0.2.1: invalid host or domain name",
        ),
        (
            "a b",
            Kind::A,
            Status::NotFound,
            "Name service error for a b: invalid host or domain name",
        ),
        (
            "null.example",
            Kind::MX,
            Status::NullMx,
            "Domain null.example does not accept mail (nullMX)",
        ),
        (
            "bad.example",
            Kind::MX,
            Status::Invalid,
            "Name service error for name=bad.example type=MX: Malformed or unexpected name server \
             reply",
        ),
        ("half.example", Kind::MX, Status::Ok, ""),
        (
            "down.example",
            Kind::A,
            Status::Retry,
            "Host or domain name not found. Name service error for name=down.example type=A: Host \
             not found, try again",
        ),
        (
            "no.example",
            Kind::A,
            Status::Fail,
            "Host or domain name not found. Name service error for name=no.example type=A: \
             Non-recoverable error",
        ),
    ] {
        let answer = dns.lookup(name.as_bytes(), kind);
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(String::from_utf8(answer.why).unwrap(), why, "{name}");
        assert_eq!(answer.records.list.is_empty(), status != Status::Ok, "{name}");
    }
}

#[test]
fn aliases_lead_on_but_not_for_ever() {
    let dns = dns("", ZONE);
    let answer = dns.lookup(b"loop.example", Kind::A);
    assert_eq!((answer.status, answer.reason()), (Status::NotFound, "Unknown error 0".into()));
    assert_eq!(captured::take(), ["warning: dns_lookup: Name server loop for loop.example"]);
    assert!(dns.has_spoken() && !dns.has_spoken());
    assert_eq!(dns.lookup(b"badalias.example", Kind::A).status, Status::Invalid);
    assert_eq!(
        captured::take(),
        [
            "warning: valid_hostname: misplaced hyphen: a_-.example",
            "warning: malformed domain name in resource data of CNAME record for \
             badalias.example: a_-.example",
        ]
    );
}

#[test]
fn the_best_of_several_questions_counts() {
    let dns = dns("", ZONE);
    let each = |name: &str, kinds: &[Kind]| {
        let answer = dns.lookup_each(name.as_bytes(), kinds, |_, status| status == Status::Ok);
        (answer.status, answer.records.list.len())
    };
    assert_eq!(each("a.example", &[Kind::AAAA, Kind::A, Kind::MX]), (Status::Ok, 1));
    assert_eq!(each("null.example", &[Kind::A, Kind::MX, Kind::AAAA]), (Status::NullMx, 0));
    assert_eq!(each("bad.example", &[Kind::MX, Kind::A]), (Status::Invalid, 0));
    let all = dns.lookup_each(b"a.example", &[Kind::A, Kind::MX], |_, _| false);
    assert_eq!((all.status, all.records.list.len()), (Status::Ok, 3));
}

#[test]
fn a_reply_has_at_most_a_hundred_records() {
    let lines: String = (0..150).map(|n| format!("many.example A 192.0.2.{n}\n")).collect();
    let dns = dns("", &lines);
    let answer = dns.lookup(b"many.example", Kind::A);
    assert_eq!((answer.status, answer.records.list.len()), (Status::Ok, 100));
    assert!(answer.records.is_truncated);
    assert_eq!(
        captured::take(),
        ["warning: DNS record count limit (100) exceeded -- dropping excess record(s) after \
             qname=many.example qtype=A"]
    );
}

#[test]
fn records_look_as_in_zone_files() {
    let dns = dns("", ZONE);
    let text = |name: &str, kind| {
        let answer = dns.lookup(name.as_bytes(), kind);
        String::from_utf8(answer.records.list.first().unwrap().text()).unwrap()
    };
    assert_eq!(text("alias.example", Kind::A), "a.example. 60 IN A 192.0.2.1");
    assert_eq!(text("a.example", Kind::MX), "a.example. 60 IN MX 20 b.example.");
    assert_eq!(text("text.example", Kind::TXT), "text.example. 60 IN TXT a b");
}

#[test]
fn the_filter_takes_records_away() {
    let filter = |map: &str| dns(&format!("smtpd_dns_reply_filter = {map}\n"), ZONE);
    let status = |dns: &Dns, kind| {
        let answer = dns.lookup(b"a.example", kind);
        (answer.status, answer.records.list.len())
    };
    let some = filter("regexp:{{/MX 20/ IGNORE}}");
    assert_eq!(status(&some, Kind::MX), (Status::Ok, 1));
    assert_eq!(captured::take(), ["ignoring DNS RR: a.example. 60 IN MX 20 b.example."]);
    assert!(some.has_spoken());
    assert_eq!(status(&some, Kind::A), (Status::Ok, 1));
    assert!(!some.has_spoken());

    let all = filter("static:{ignore them}");
    let answer = all.lookup(b"a.example", Kind::A);
    assert_eq!(
        (answer.status, answer.reason()),
        (Status::Policy, "DNS reply filter policy".into())
    );
    assert_eq!(
        answer.why,
        b"Error looking up name=a.example type=A: DNS reply filter drops all results"
    );
    captured::take();

    let wrong = filter("static:REJECT");
    assert_eq!(status(&wrong, Kind::A), (Status::Retry, 0));
    assert_eq!(
        captured::take(),
        ["warning: smtpd_dns_reply_filter: unknown DNS filter action: \"REJECT\""]
    );
    let failing = filter("fail:x");
    assert_eq!(status(&failing, Kind::A), (Status::Retry, 0));
}

#[test]
fn a_text_is_whole_in_newer_releases() {
    let dns = dns("smtpd_rs_dialect = 3.10\n", ZONE);
    assert!(dns.has_whole_texts);
}
