//! Random dialogues: what a client may say that means well, that errs, and that means harm.
//!
//! A dialogue is a session of a transcript. It mostly goes the usual way from HELO to the end of
//! a message, so that it gets somewhere; on the way everything may be odd: words, order, line ends,
//! groups of commands in one write, chunks, single bytes.

use std::net::IpAddr;

use super::chance::Chance;
use super::transcript::{Session, Step, Tls, USUAL_CLIENT};

/// Clients other than the usual one: a liar, one without a name, a local one, one of IPv6.
const CLIENTS: &[&str] = &["192.0.2.11", "192.0.2.12", "192.0.2.14", "127.0.0.1", "2001:db8::10"];

const HELO_NAMES: &[&str] = &[
    "good.client.test",
    "good.client.test",
    "good.client.test",
    "[192.0.2.10]",
    "[IPv6:2001:db8::1]",
    "[ipv6:2001:db8::1]",
    "192.0.2.10",
    "localhost",
    "a",
    "a..b",
    "-a.test",
    "a_b.test",
    "a.test.",
    "b\u{fc}cher.test",
    "<script>",
    "two words",
    "a\tb",
    "\"quoted\"",
    "x@y",
    "(comment)",
    "[]",
    "[1.2.3]",
    "[256.1.1.1]",
    "mx.example.test",
    "123",
    "a;b",
    "a\\b",
    "*",
    "xn--bcher-kva.test",
    "under_score.test",
    "bad.helo.test",
    "",
];

const LOCALS: &[&str] = &[
    "user",
    "user",
    "user",
    "other",
    "a",
    "user+ext",
    "\"a b\"",
    "\"a\\\"b\"",
    "\"\"",
    "a.b",
    "a..b",
    ".a",
    "a.",
    "u$er",
    "j\u{f6}rg",
    "\"j\u{f6}rg\"",
    "a\\b",
    "a\\ b",
    "(c)a",
    "a(c)",
    "USER",
    "postmaster",
    "PostMaster",
    "known",
    "box",
    "nobody",
    "a%b",
    "a!b",
    "a%relay.test",
    "far.test!a",
    "\"a@b\"",
    "a@b",
    "a,b",
    "a:b",
    "a;b",
    "\"a",
    "\"a\\\\\"",
    "abuse",
    "bcc",
    "hold",
    "discard",
    "redirect",
    "prepend",
    "filter",
    "reject",
    "defer",
    "=?utf-8?q?a?=",
    "-f",
    "a/b",
    "|a",
    "double-bounce",
];

const DOMAINS: &[&str] = &[
    "example.test",
    "example.test",
    "example.test",
    "sender.test",
    "sender.test",
    "far.test",
    "relay.test",
    "relay.test",
    "backup.test",
    "valias.test",
    "vmbox.test",
    "EXAMPLE.test",
    "mx.example.test",
    "localhost",
    "[192.0.2.1]",
    "[127.0.0.1]",
    "[IPv6:2001:db8::1]",
    "[ipv6:::1]",
    "[1.2.3]",
    "[x]",
    "192.0.2.1",
    "a..b",
    "-a.test",
    "a-.test",
    "example.test.",
    "123",
    "a_b.test",
    "b\u{fc}cher.test",
    "xn--bcher-kva.test",
    "\"quoted.test\"",
    "a(c).test",
    "",
    "sub.example.test",
    "sub.relay.test",
    "[]",
    "[",
    "a\\.test",
];

/// Whole addresses of odd forms, as they stand after the colon.
const ADDRESSES: &[&str] = &[
    "<>",
    "<>",
    "<user>",
    "<postmaster>",
    "user@example.test",
    "<user@example.test",
    "user@example.test>",
    "<<user@example.test>>",
    "<user@example.test>x",
    "<user@example.test> <a@b.test>",
    "< user@example.test >",
    "<@a.test:user@example.test>",
    "<@a.test,@b.test:user@example.test>",
    "<@a.test,@b.test>",
    "<@:a@b.test>",
    "<:a@b.test>",
    "<@example.test>",
    "<@>",
    "<a@>",
    "<a@@b.test>",
    "<user @example.test>",
    "<user@ example.test>",
    "<user@exa mple.test>",
    "<g:user@example.test;>",
    "<g:a@b.test,c@d.test;>",
    "<a@b.test,c@d.test>",
    "Name <user@example.test>",
    "\"Name\" <user@example.test>",
    "(c)<user@example.test>",
    "<user@example.test>(c)",
    "<(c)user@example.test>",
    "<\"user\"@example.test>",
    "<\"us er\"@example.test>",
    "<us\\er@example.test>",
    "<user@[192.0.2.1>",
    "<user@192.0.2.1]>",
    "\"\"",
    "\"\"@example.test",
    "<\"\"@example.test>",
    "<\"user@example.test\">",
    "<user@example.test\\>",
    "<.>",
    "<\">",
    "<(>",
    "<)>",
    "<\\>",
    "<<>>",
    "<<",
    ">",
    "<,>",
    "<;>",
    "<:>",
    "< >",
    "<\"\"\"\"@example.test>",
    "<a\"b\"c@example.test>",
    "<a.\"b\".c@example.test>",
    "<user@example.test.>",
    "<user@.example.test>",
    "<user@example..test>",
    "<user%far.test@example.test>",
    "<far.test!user@example.test>",
    "<user@far.test@example.test>",
    "<\"user@far.test\"@example.test>",
    "<@far.test:user>",
    "<user%far.test>",
    "<a!b!c>",
    "<user@j\u{f6}rg.test>",
    "<j\u{f6}rg@example.test>",
    "<user@\u{ff0e}test>",
    "<\u{e9}>",
];

const MAIL_PARAMETERS: &[&str] = &[
    "SIZE=100",
    "SIZE=0",
    "SIZE=",
    "SIZE",
    "SIZE=x",
    "SIZE=-1",
    "SIZE=99999999999999999999999",
    "SIZE=20000",
    "size=5",
    "SIZE=1 ",
    "SIZE=+5",
    "SIZE=0005",
    "BODY=7BIT",
    "BODY=8BITMIME",
    "body=8bitmime",
    "BODY=BINARYMIME",
    "BODY=",
    "BODY",
    "SMTPUTF8",
    "smtputf8",
    "SMTPUTF8=",
    "SMTPUTF8=x",
    "RET=FULL",
    "RET=HDRS",
    "ret=hdrs",
    "RET=X",
    "RET=",
    "RET",
    "ENVID=abc",
    "ENVID=a+20b",
    "ENVID=a+2",
    "ENVID=a+zz",
    "ENVID=",
    "ENVID=+0A",
    "ENVID=a=b",
    "ENVID=a+2Bb",
    "ENVID=a+7F",
    "ENVID=a+C3+BC",
    "ENVID=\u{fc}",
    "AUTH=<>",
    "AUTH=a@b.test",
    "AUTH=",
    "AUTH=<a@b.test>",
    "AUTH=a+20b",
    "AUTH=\u{fc}",
    "XVERP",
    "XVERP=+=",
    "XVERP=",
    "XVERP=abc",
    "X=y",
    "=",
    "NOTIFY=NEVER",
    "ORCPT=rfc822;a@b.test",
    "<x>",
    "\"y\"",
    "HOLDFOR=5",
    "MT-PRIORITY=3",
    "BY=120;R",
    "REQUIRETLS",
];

const RCPT_PARAMETERS: &[&str] = &[
    "NOTIFY=NEVER",
    "NOTIFY=SUCCESS",
    "NOTIFY=FAILURE,DELAY",
    "NOTIFY=SUCCESS,FAILURE,DELAY",
    "notify=success,Failure",
    "NOTIFY=NEVER,SUCCESS",
    "NOTIFY=SUCCESS,SUCCESS",
    "NOTIFY=",
    "NOTIFY",
    "NOTIFY=X",
    "NOTIFY=SUCCESS,",
    "NOTIFY=,SUCCESS",
    "NOTIFY=SUCCESS FAILURE",
    "NOTIFY=NEVER,NEVER",
    "ORCPT=rfc822;a@b.test",
    "ORCPT=rfc822;a+20b@c.test",
    "orcpt=RFC822;x",
    "ORCPT=rfc822;",
    "ORCPT=;a",
    "ORCPT=a",
    "ORCPT=",
    "ORCPT=rfc822;a+2",
    "ORCPT=utf-8;a\\x{FC}b@c.test",
    "ORCPT=utf-8;\u{fc}@c.test",
    "ORCPT=rfc822;\u{fc}@c.test",
    "ORCPT=UTF-8;a",
    "ORCPT=utf-8;a\\x{41}",
    "ORCPT=utf-8;a+41",
    "ORCPT=x y;z",
    "ORCPT=rfc822;a;b",
    "ORCPT=rfc822;a=b",
    "SIZE=1",
    "X=y",
    "=",
    "SMTPUTF8",
    "<x>",
    "RRVS=2014-04-03T23:01:00Z",
];

/// Lines that are no part of the usual way.
const OTHERS: &[&str] = &[
    "RSET",
    "RSET x",
    "rset ",
    "NOOP",
    "NOOP x y",
    "noop",
    "QUIT x",
    "HELP",
    "HELP MAIL",
    "EXPN list",
    "VRFY",
    "VRFY user",
    "VRFY user@example.test",
    "VRFY <user@example.test>",
    "VRFY nobody@example.test",
    "VRFY a b",
    "VRFY \"a b\"",
    "VRFY user@far.test",
    "VRFY user@relay.test SMTPUTF8",
    "VRFY SMTPUTF8",
    "VRFY <>",
    "VRFY a,b",
    "ETRN",
    "ETRN example.test",
    "ETRN @example.test",
    "ETRN #x.test",
    "ETRN relay.test",
    "ETRN a b",
    "ETRN a..b",
    "ETRN [1.2.3.4]",
    "ETRN [x]",
    "ETRN @",
    "AUTH",
    "AUTH PLAIN",
    "AUTH PLAIN AGEAYg==",
    "AUTH LOGIN x y",
    "STARTTLS x",
    "XCLIENT",
    "XCLIENT NAME=x",
    "XCLIENT ADDR=1.2.3.4 NAME=a.test",
    "XFORWARD",
    "XFORWARD NAME=x",
    "DATA x",
    "data",
    "DATA",
    "BDAT",
    "BDAT x",
    "BDAT -1",
    "BDAT 0",
    "BDAT 0 LAST",
    "BDAT 0 LAST x",
    "BDAT 0 last",
    "BDAT 99999999999999999999",
    "BDAT 0x5",
    "BDAT +0 LAST",
    "BDAT 0 FIRST",
    "BDAT 00 LAST",
    "MAIL",
    "MAIL FROM",
    "MAIL FROM:",
    "MAIL TO:<a@b.test>",
    "MAIL FROM <a@b.test>",
    "MAIL  FROM:<a@b.test>",
    "MAIL FROM : <a@b.test>",
    "MAIL FROM:<a@b.test>SIZE=1",
    "RCPT",
    "RCPT TO",
    "RCPT TO:",
    "RCPT FROM:<user@example.test>",
    "RCPT TO <user@example.test>",
    "RCPT TO:<user@example.test>NOTIFY=NEVER",
    "rcpt to:<user@example.test>",
    "SEND FROM:<a@b.test>",
    "SOML",
    "TURN",
    "TICK",
    "FOO",
    "foo bar",
    "Subject: x",
    "From: a",
    "Received: x",
    "X-y : z",
    "a b: c",
    ":",
    "MAIL:",
    ".",
    "..",
    " ",
    "\t",
    "",
    " NOOP",
    "\tRSET",
    "NOOP\t",
    "GET / HTTP/1.0",
    "GETX",
    "CONNECT a:25",
    "POST x",
    "1",
    "\u{e9}",
    "-",
    "*",
    "\"NOOP\"",
    "<NOOP>",
    "\"",
    "<",
    "NOOP <",
    "NOOP \"",
    "RSET <>",
    "RSET \"",
    "QUITX",
    "MAI",
    "HELO",
    "EHLO",
    "LHLO x",
    "EHLO\tx",
    "HELO <a",
    "EHLO \"a",
];

/// What XCLIENT and XFORWARD may tell.
const ATTRIBUTES: &[&str] = &[
    "NAME=first.test",
    "NAME=second.test",
    "NAME=[UNAVAILABLE]",
    "NAME=[TEMPUNAVAIL]",
    "NAME=a..b",
    "NAME=",
    "NAME",
    "name=Mixed.Case.test",
    "NAME=b\u{fc}cher.test",
    "NAME=a+2Bb.test",
    "REVERSE_NAME=other.test",
    "REVERSE_NAME=[UNAVAILABLE]",
    "REVERSE_NAME=[TEMPUNAVAIL]",
    "ADDR=192.0.2.200",
    "ADDR=192.0.2.201",
    "ADDR=127.0.0.1",
    "ADDR=IPv6:2001:DB8::1",
    "ADDR=2001:db8::1",
    "ADDR=IPv6:::ffff:192.0.2.9",
    "ADDR=[UNAVAILABLE]",
    "ADDR=[TEMPUNAVAIL]",
    "ADDR=1.2.3",
    "PORT=4444",
    "PORT=0",
    "PORT=123456",
    "PORT=[UNAVAILABLE]",
    "PROTO=SMTP",
    "PROTO=esmtp",
    "PROTO=LMTP",
    "PROTO=[UNAVAILABLE]",
    "HELO=i.am",
    "HELO=<i;am>",
    "HELO=i+20am",
    "HELO=[UNAVAILABLE]",
    "LOGIN=joe",
    "LOGIN=j+0Aoe",
    "LOGIN=[UNAVAILABLE]",
    "DESTADDR=192.0.2.1",
    "DESTADDR=x",
    "DESTPORT=25",
    "DESTPORT=-1",
    "IDENT=ABC123",
    "IDENT=a<b",
    "IDENT=[UNAVAILABLE]",
    "SOURCE=LOCAL",
    "SOURCE=remote",
    "SOURCE=x",
    "SOURCE=[UNAVAILABLE]",
    "OTHER=x",
    "=x",
];

/// Pieces of content.
const CONTENT: &[&[u8]] = &[
    b"Subject: x\r\n",
    b"From: a@b.test\r\n",
    b"To: user@example.test\r\n",
    b"\r\n",
    b"\r\n",
    b"text\r\n",
    b"more text\r\n",
    b"..\r\n",
    b". \r\n",
    b".x\r\n",
    b" .\r\n",
    b"a\n",
    b"b\rc\r\n",
    b"d\r\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"n\0l\r\n",
    b"\xff\xfe\r\n",
    b"Received: from x\r\n",
    b"Received: by y\r\n",
    b"Delivered-To: user@example.test\r\n",
    b"X-Refuse: x\r\n",
    b"refuse this body\r\n",
    b"X-Hold: x\r\n",
    b"From x y z\r\n",
    b">From x\r\n",
    b" folded\r\n",
    b"\tfolded\r\n",
    b"no header here\r\n",
    b"Mime-Version: 1.0\r\n",
    b"Content-Type: multipart/mixed; boundary=x\r\n",
    b"--x\r\n",
    b"Content-Transfer-Encoding: 8bit\r\n",
    b"Message-ID: <a@b.test>\r\n",
    b"Date: x\r\n",
    b"Resent-From: a@b.test\r\n",
    b"Return-Path: <x@y.test>\r\n",
    b"Bcc: other@example.test\r\n",
    b"j\xc3\xb6rg\r\n",
    b"MAIL FROM:<smuggled@far.test>\r\n",
    b"DATA\r\n",
];

/// Ends of a message, true and false.
const ENDS: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n..\r\n",
    b"\r\n. \r\n",
    b"\n\n.\r\n",
    b"\r\n\r\n.\r\n",
    b".\r\n",
];

/// Bytes that matter somewhere.
const BYTES: &[u8] = b"\0\r\n\t <>\"\\@:,;()[].+=-%!\x7f\x80\xc3\xff\xe2\x1b0aA";

/// What the dialogue has come to, as far as the client can tell.
#[derive(Default)]
struct Place {
    greeted: bool,
    sender: bool,
    recipients: usize,
    chunks: bool,
    secure: bool,
}

struct Writer<'c> {
    chance: &'c mut Chance,
    place: Place,
    tls: bool,
    /// The client may speak for others.
    proxied: bool,
    /// Commands that still go into the same write.
    group: usize,
    pending: Vec<u8>,
    steps: Vec<Step>,
}

/// What the listener knows of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    None,
    Starttls,
    Wrapper,
}

/// Makes a session. `proxied`: the client may say XCLIENT and XFORWARD.
pub(crate) fn session(chance: &mut Chance, tls: Security, proxied: bool) -> Session {
    let client: IpAddr = match chance.once_in(5) {
        true => chance.pick(CLIENTS).parse().unwrap_or(USUAL_CLIENT),
        false => USUAL_CLIENT,
    };
    let mut writer = Writer {
        chance,
        place: Place::default(),
        tls: tls == Security::Starttls,
        proxied,
        group: 0,
        pending: Vec::new(),
        steps: Vec::new(),
    };
    if tls == Security::Wrapper {
        writer.handshake();
    }
    writer.write();
    Session { client, user: None, second: false, steps: writer.steps }
}

impl Writer<'_> {
    fn write(&mut self) {
        self.listen();
        let pipelines = self.chance.once_in(3);
        let commands = 3 + self.chance.below(14);
        for _ in 0..commands {
            if self.group == 0 && pipelines && self.chance.once_in(2) {
                self.group = 1 + self.chance.below(6);
            }
            self.command();
            self.group = self.group.saturating_sub(1);
            if self.group == 0 {
                self.say();
            }
        }
        self.group = 0;
        self.end();
    }

    fn end(&mut self) {
        match self.chance.below(20) {
            0 => self.steps.push(Step::Close),
            1 => self.steps.push(Step::Reset),
            2 => {
                self.steps.push(Step::Shutdown);
                self.listen();
            }
            3 => self.pending.extend_from_slice(b"NOOP"),
            _ => self.line(b"QUIT".to_vec()),
        }
        self.say();
    }

    fn command(&mut self) {
        if self.proxied && self.chance.once_in(5) {
            return self.speak_for_another();
        }
        if self.chance.once_in(4) {
            return self.other();
        }
        let place = &self.place;
        if !place.greeted {
            self.hello();
        } else if self.tls && !place.secure && !place.sender && self.chance.once_in(2) {
            self.starttls();
        } else if !place.sender {
            self.mail();
        } else if place.chunks {
            self.chunk();
        } else if place.recipients == 0 || self.chance.once_in(3) {
            self.rcpt();
        } else if self.chance.once_in(3) {
            self.chunk();
        } else {
            self.data();
        }
    }

    fn other(&mut self) {
        match self.chance.below(12) {
            0 => self.hello(),
            1 => self.mail(),
            2 => self.rcpt(),
            3 => self.data(),
            4 => self.chunk(),
            5 => self.long_line(),
            6 if self.tls => self.starttls(),
            _ => {
                let line = self.chance.pick(OTHERS);
                if line.to_ascii_uppercase().starts_with("RSET") {
                    self.place.sender = false;
                    self.place.recipients = 0;
                    self.place.chunks = false;
                }
                self.line(line.as_bytes().to_vec());
            }
        }
    }

    fn speak_for_another(&mut self) {
        let verb = self.chance.pick(&["XCLIENT", "XFORWARD", "XFORWARD", "xclient"]);
        let mut line = verb.to_owned();
        for _ in 0..=self.chance.below(4) {
            line.push(' ');
            line.push_str(self.chance.pick(ATTRIBUTES));
        }
        self.line(line.into_bytes());
        if verb != "XFORWARD" && !self.place.sender {
            self.place = Place { secure: self.place.secure, ..Place::default() };
        }
    }

    fn hello(&mut self) {
        let verb = self.chance.pick(&["EHLO", "EHLO", "EHLO", "HELO", "ehlo", "Helo"]);
        let name = self.chance.pick(HELO_NAMES);
        self.line(format!("{verb} {name}").into_bytes());
        self.place = Place { greeted: true, secure: self.place.secure, ..Place::default() };
    }

    fn mail(&mut self) {
        let mut line = self
            .chance
            .pick(&["MAIL FROM:", "MAIL FROM:", "MAIL FROM:", "mail from:", "MAIL FROM: "])
            .to_owned();
        line.push_str(&self.address("sender.test"));
        self.parameters(&mut line, MAIL_PARAMETERS);
        self.line(line.into_bytes());
        self.place.sender = true;
    }

    fn rcpt(&mut self) {
        let mut line = self
            .chance
            .pick(&["RCPT TO:", "RCPT TO:", "RCPT TO:", "rcpt to:", "RCPT TO: "])
            .to_owned();
        line.push_str(&self.address("example.test"));
        self.parameters(&mut line, RCPT_PARAMETERS);
        self.line(line.into_bytes());
        self.place.recipients += 1;
    }

    fn parameters(&mut self, line: &mut String, from: &[&str]) {
        if self.chance.once_in(2) {
            return;
        }
        for _ in 0..=self.chance.below(3) {
            line.push(' ');
            line.push_str(self.chance.pick(from));
        }
    }

    fn address(&mut self, usual: &str) -> String {
        match self.chance.below(8) {
            0 | 1 => self.chance.pick(ADDRESSES).to_owned(),
            2 | 3 => {
                let (local, domain) = (self.chance.pick(LOCALS), self.chance.pick(DOMAINS));
                format!("<{local}@{domain}>")
            }
            4 => format!("<{}@{usual}>", self.chance.pick(LOCALS)),
            5 => format!("<user@{}>", self.chance.pick(DOMAINS)),
            _ => format!("<user@{usual}>"),
        }
    }

    fn data(&mut self) {
        self.line(b"DATA".to_vec());
        if !self.chance.once_in(8) {
            self.say();
        }
        let mut content = self.content();
        if self.chance.once_in(4) {
            content.extend_from_slice(self.chance.pick(ENDS));
            content.extend_from_slice(&self.content());
        }
        content.extend_from_slice(b"\r\n.\r\n");
        self.pending.extend_from_slice(&content);
        self.place = Place { greeted: true, secure: self.place.secure, ..Place::default() };
    }

    fn content(&mut self) -> Vec<u8> {
        let mut content = Vec::new();
        for _ in 0..self.chance.below(12) {
            content.extend_from_slice(self.chance.pick(CONTENT));
        }
        if self.chance.once_in(15) {
            self.reach_a_border(&mut content);
        }
        if self.chance.once_in(12) {
            let length = 60 + self.chance.below(5000);
            content.extend(std::iter::repeat_n(b'l', length));
            content.extend_from_slice(self.chance.pick(&[&b"\r\n"[..], b"\n", b"\r", b""]));
        }
        content
    }

    /// Lines up to about where a buffer ends, so that what follows stands across the border.
    fn reach_a_border(&mut self, content: &mut Vec<u8>) {
        let border = [2048, 4096, 8192, 16384, 65536][self.chance.below(5)];
        let line = 40 + self.chance.below(100);
        while content.len() + line + 2 < border {
            content.extend(std::iter::repeat_n(b'b', line));
            content.extend_from_slice(b"\r\n");
        }
        let rest = (border + 4).saturating_sub(content.len() + self.chance.below(12));
        content.extend(std::iter::repeat_n(b'r', rest));
        content.extend_from_slice(self.chance.pick(&[
            &b"\r\n"[..],
            b"\r\n.\r\n",
            b"\n.\n",
            b"\r",
            b"\r\r\n",
        ]));
    }

    fn chunk(&mut self) {
        let content = self.content();
        let last = self.chance.once_in(2);
        let length = match self.chance.below(15) {
            0 => content.len() + 1 + self.chance.below(9),
            1 => content.len().saturating_sub(1 + self.chance.below(9)),
            _ => content.len(),
        };
        let word = if last { self.chance.pick(&[" LAST", " LAST", " last", " LAST "]) } else { "" };
        self.line(format!("BDAT {length}{word}").into_bytes());
        self.pending.extend_from_slice(&content);
        self.place.chunks = !last;
        if last {
            self.place = Place { greeted: true, secure: self.place.secure, ..Place::default() };
        }
    }

    fn starttls(&mut self) {
        self.line(b"STARTTLS".to_vec());
        if self.chance.once_in(8) {
            self.line(b"NOOP".to_vec());
        }
        self.say();
        self.handshake();
    }

    fn handshake(&mut self) {
        let mut how = Tls::default();
        if self.chance.once_in(2) {
            how.cert = Some(
                self.chance
                    .pick(&[
                        "listed",
                        "unlisted",
                        "self",
                        "expired",
                        "serveronly",
                        "nocn",
                        "odd",
                        "listed-rsa",
                        "future",
                    ])
                    .to_owned(),
            );
        }
        if self.chance.once_in(3) {
            how.max = Some("1.2".to_owned());
        }
        self.steps.push(Step::Tls(how));
        self.place = Place { secure: true, ..Place::default() };
    }

    fn long_line(&mut self) {
        let start = self.chance.pick(&[
            "NOOP ",
            "MAIL FROM:<",
            "RCPT TO:<",
            "EHLO ",
            "MAIL FROM:<a@b.test> ENVID=",
            "X",
            "VRFY ",
            "RCPT TO:<user@example.test> ORCPT=rfc822;",
        ]);
        let length = [200, 300, 1000, 1990, 2030, 2048, 2060, 4096, 6000][self.chance.below(9)];
        let length = length + self.chance.below(20);
        let mut line = start.as_bytes().to_vec();
        line.extend(
            self.chance
                .pick(&["a", "b.", "(", "\"", "\\a", "a ", "@"])
                .bytes()
                .cycle()
                .take(length),
        );
        if self.chance.once_in(2) {
            line.push(b'>');
        }
        self.line(line);
    }

    /// Adds a line with its end, and sometimes with a fault.
    fn line(&mut self, mut line: Vec<u8>) {
        if self.chance.once_in(14) {
            self.damage(&mut line);
        }
        self.pending.extend_from_slice(&line);
        self.pending.extend_from_slice(match self.chance.below(120) {
            0 | 1 => b"\n",
            2 => b"\r\r\n",
            3 => b"\r",
            4 => b" \r\n",
            5 => b"\0\r\n",
            _ => b"\r\n",
        });
    }

    /// Changes some bytes.
    fn damage(&mut self, line: &mut Vec<u8>) {
        for _ in 0..=self.chance.below(3) {
            let at = self.chance.below(line.len() + 1);
            let byte = BYTES[self.chance.below(BYTES.len())];
            match self.chance.below(4) {
                0 if at < line.len() => line[at] = byte,
                1 if at < line.len() => drop(line.remove(at)),
                2 if at < line.len() => line.insert(at, line[at]),
                _ => line.insert(at, byte),
            }
        }
    }

    /// Sends what is to be sent, and listens.
    fn say(&mut self) {
        if !self.pending.is_empty() {
            self.steps.push(Step::Send(std::mem::take(&mut self.pending)));
            self.listen();
        }
    }

    fn listen(&mut self) {
        self.steps.push(Step::Expect { lines: Vec::new(), line: 0 });
    }
}
