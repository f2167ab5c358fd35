//! Replies of name servers (RFC 1035, section 4), as far as a mail server needs them.
//!
//! ```text
//! message  = header questions answers authorities additional
//! header   = id flags 4( count )                      six numbers of two bytes
//! question = name kind class
//! record   = name kind class ttl length data          ttl: four bytes, the others two
//! name     = *( length label ) ( %x00 / pointer )     pointer: two bits 11, an offset
//! ```
//!
//! Whoever answers may lie: an offset leads anywhere, a length beyond the end, a pointer to itself.
//! Names become text as in the C library (`dn_expand()`): what is special in zone files gets a
//! backslash, what is not printable a backslash and three digits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of the header.
const HEADER: usize = 12;
/// Longest name, as it is on the wire.
const NAME_LIMIT: usize = 255;
/// The bit that says that the reply was cut.
const TRUNCATED: u8 = 0x02;
/// The Internet.
const CLASS_IN: u16 = 1;
/// Longest text that is taken as a whole.
const TEXT_LIMIT: usize = 65_535;

/// The type of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(pub u16);

impl Kind {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// A name server.
    pub const NS: Self = Self(2);
    /// Another name of the same.
    pub const CNAME: Self = Self(5);
    /// The start of a zone.
    pub const SOA: Self = Self(6);
    /// The name of an address.
    pub const PTR: Self = Self(12);
    /// A mail server.
    pub const MX: Self = Self(15);
    /// A text.
    pub const TXT: Self = Self(16);
    /// An IPv6 address.
    pub const AAAA: Self = Self(28);

    /// The name of the type. As Postfix: `dns_strtype()`.
    pub fn text(self) -> String {
        let row = NAMES.iter().find(|(number, _)| *number == self.0);
        row.map_or_else(|| format!("Unknown type {}", self.0), |(_, name)| (*name).to_owned())
    }
}

/// Types that have a name.
#[rustfmt::skip]
const NAMES: &[(u16, &str)] = &[
    (1, "A"), (2, "NS"), (3, "MD"), (4, "MF"), (5, "CNAME"), (6, "SOA"), (7, "MB"), (8, "MG"),
    (9, "MR"), (10, "NULL"), (11, "WKS"), (12, "PTR"), (13, "HINFO"), (14, "MINFO"), (15, "MX"),
    (16, "TXT"), (17, "RP"), (18, "AFSDB"), (19, "X25"), (20, "ISDN"), (21, "RT"), (22, "NSAP"),
    (23, "NSAP_PTR"), (24, "SIG"), (25, "KEY"), (26, "PX"), (27, "GPOS"), (28, "AAAA"), (29, "LOC"),
    (39, "DNAME"), (46, "RRSIG"), (52, "TLSA"), (252, "AXFR"), (253, "MAILB"), (254, "MAILA"),
    (255, "ANY"),
];

/// Why a reply is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends too early, or a name in it is none.
    #[error("malformed reply")]
    Broken,
    /// A record that is not of the Internet.
    #[error("dns_get_fixed: bad class: {0}")]
    Class(u16),
    /// An address that is too short or too long.
    #[error("extract_answer: bad address length: {0}")]
    AddressLength(usize),
    /// A part of a text that goes beyond the end.
    #[error("extract_answer: bad TXT string length: {0}")]
    TextLength(u8),
}

impl Malformed {
    /// Whether Postfix says it to the postmaster.
    pub fn is_told(&self) -> bool {
        *self != Self::Broken
    }
}

/// A reply.
#[derive(Debug, Clone, Copy)]
pub struct Message<'m> {
    bytes: &'m [u8],
}

/// The head of a record, and where its data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose record it is, as text.
    pub name: Vec<u8>,
    /// Its type.
    pub kind: Kind,
    /// Seconds for which it holds.
    pub ttl: u32,
    /// Where its data starts.
    start: usize,
    /// How long the data is.
    length: usize,
}

impl<'m> Message<'m> {
    /// A reply that has a header.
    pub fn new(bytes: &'m [u8]) -> Result<Self, Malformed> {
        if bytes.len() < HEADER { Err(Malformed::Broken) } else { Ok(Self { bytes }) }
    }

    /// Whether the name server had more to say.
    pub fn is_truncated(self) -> bool {
        self.bytes.get(2).is_some_and(|flags| flags & TRUNCATED != 0)
    }

    /// The name in the first question, as text.
    pub fn question(self) -> Result<Vec<u8>, Malformed> {
        self.name(HEADER).map(|(name, _)| name)
    }

    /// The answers, in their order.
    pub fn answers(self) -> Result<Answers<'m>, Malformed> {
        let mut at = HEADER;
        for _ in 0..self.number(4)? {
            let end = self.skip_name(at)?;
            at = end.checked_add(4).ok_or(Malformed::Broken)?;
        }
        Ok(Answers { message: self, left: self.number(6)?, at })
    }

    /// The host name in the data of a record (CNAME, NS, PTR).
    pub fn host(self, record: &Record) -> Result<Vec<u8>, Malformed> {
        self.name(record.start).map(|(name, _)| name)
    }

    /// Preference and host of a mail server; the host is empty where the domain has no mail
    /// (RFC 7505).
    pub fn exchanger(self, record: &Record) -> Result<(u16, Vec<u8>), Malformed> {
        if record.length < 2 {
            return Err(Malformed::Broken);
        }
        let preference = self.number(record.start)?;
        let (host, _) = self.name(record.start.saturating_add(2))?;
        Ok((preference, host))
    }

    /// The address in a record (A, AAAA).
    pub fn address(self, record: &Record) -> Result<IpAddr, Malformed> {
        let data = self.data(record)?;
        if let (Kind::A, Ok(octets)) = (record.kind, <[u8; 4]>::try_from(data)) {
            return Ok(Ipv4Addr::from(octets).into());
        }
        if let (Kind::AAAA, Ok(octets)) = (record.kind, <[u8; 16]>::try_from(data)) {
            return Ok(Ipv6Addr::from(octets).into());
        }
        Err(Malformed::AddressLength(data.len()))
    }

    /// The text in a record (TXT), or only its first part; bytes that are not printable are
    /// blanks.
    pub fn text(self, record: &Record, whole: bool) -> Result<Vec<u8>, Malformed> {
        let mut rest = self.data(record)?;
        let mut text = Vec::new();
        while let Some((&length, behind)) = rest.split_first() {
            let part = behind.get(..usize::from(length));
            if !whole {
                text.extend_from_slice(part.unwrap_or(behind));
                break;
            }
            let part = part.filter(|part| text.len().saturating_add(part.len()) < TEXT_LIMIT);
            text.extend_from_slice(part.ok_or(Malformed::TextLength(length))?);
            rest = behind.get(usize::from(length)..).unwrap_or_default();
        }
        for byte in &mut text {
            if !matches!(byte, 0x20..=0x7e) {
                *byte = b' ';
            }
        }
        Ok(text)
    }

    fn data(self, record: &Record) -> Result<&'m [u8], Malformed> {
        self.take(record.start, record.length)
    }

    fn take(self, at: usize, length: usize) -> Result<&'m [u8], Malformed> {
        let end = at.checked_add(length).ok_or(Malformed::Broken)?;
        self.bytes.get(at..end).ok_or(Malformed::Broken)
    }

    /// The number of two bytes at `at`.
    fn number(self, at: usize) -> Result<u16, Malformed> {
        match self.take(at, 2)? {
            &[high, low] => Ok(u16::from_be_bytes([high, low])),
            _ => Err(Malformed::Broken),
        }
    }

    /// Where the name that starts at `at` ends, whatever it is. As the C library:
    /// `dn_skipname()`.
    fn skip_name(self, mut at: usize) -> Result<usize, Malformed> {
        loop {
            let length = self.bytes.get(at).ok_or(Malformed::Broken)?;
            let behind = match length {
                0 => return at.checked_add(1).ok_or(Malformed::Broken),
                0xc0.. => return at.checked_add(2).ok_or(Malformed::Broken),
                0x01..=0x3f => usize::from(*length).checked_add(1),
                _ => None,
            };
            at = behind.and_then(|length| at.checked_add(length)).ok_or(Malformed::Broken)?;
        }
    }

    /// The name at `at` as text, and where it ends. The root is empty. As the C library:
    /// `dn_expand()`.
    fn name(self, start: usize) -> Result<(Vec<u8>, usize), Malformed> {
        let mut text = Vec::new();
        let (mut at, mut end) = (start, None);
        // Each byte of the message counts once: more bytes than that are a loop.
        let mut left = self.bytes.len();
        // What the name takes on the wire, with the 0 at its end.
        let mut room = NAME_LIMIT.saturating_sub(1);
        loop {
            let length = *self.bytes.get(at).ok_or(Malformed::Broken)?;
            let behind = at.checked_add(1).ok_or(Malformed::Broken)?;
            match length {
                0 => return Ok((text, end.unwrap_or(behind))),
                0x01..=0x3f => {
                    let label = self.take(behind, usize::from(length))?;
                    let taken = label.len().checked_add(1).ok_or(Malformed::Broken)?;
                    room = room.checked_sub(taken).ok_or(Malformed::Broken)?;
                    left = left.checked_sub(taken).ok_or(Malformed::Broken)?;
                    append_label(&mut text, label);
                    at = at.checked_add(taken).ok_or(Malformed::Broken)?;
                }
                0xc0.. => {
                    left = left.checked_sub(2).filter(|left| *left > 0).ok_or(Malformed::Broken)?;
                    at = usize::from(self.number(at)? & 0x3fff);
                    end = end.or(behind.checked_add(1));
                }
                _ => return Err(Malformed::Broken),
            }
        }
    }
}

/// Puts a label behind others.
fn append_label(text: &mut Vec<u8>, label: &[u8]) {
    if !text.is_empty() {
        text.push(b'.');
    }
    for byte in label {
        match byte {
            b'"' | b'$' | b'(' | b')' | b'.' | b';' | b'@' | b'\\' => {
                text.extend_from_slice(&[b'\\', *byte]);
            }
            0x21..=0x7e => text.push(*byte),
            _ => text.extend_from_slice(format!("\\{byte:03}").as_bytes()),
        }
    }
}

/// The answers of a reply. After an error there are no more.
#[derive(Debug)]
pub struct Answers<'m> {
    message: Message<'m>,
    left: u16,
    at: usize,
}

impl Answers<'_> {
    fn record(&mut self) -> Result<Record, Malformed> {
        let message = self.message;
        let (name, at) = message.name(self.at)?;
        let &[k0, k1, c0, c1, t0, t1, t2, t3, l0, l1] = message.take(at, 10)? else {
            return Err(Malformed::Broken);
        };
        let class = u16::from_be_bytes([c0, c1]);
        if class != CLASS_IN {
            return Err(Malformed::Class(class));
        }
        let start = at.checked_add(10).ok_or(Malformed::Broken)?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        self.at = start.checked_add(length).ok_or(Malformed::Broken)?;
        let (kind, ttl) = (u16::from_be_bytes([k0, k1]), u32::from_be_bytes([t0, t1, t2, t3]));
        Ok(Record { name, kind: Kind(kind), ttl, start, length })
    }
}

impl Record {
    /// Whether the reply has all of the data.
    pub fn is_whole(&self, message: Message<'_>) -> bool {
        message.data(self).is_ok()
    }
}

impl Iterator for Answers<'_> {
    type Item = Result<Record, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = self.record();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question about `a.example`, kind 15, and these answers.
    fn reply(answers: &[&[u8]]) -> Vec<u8> {
        let mut bytes = b"\x12\x34\x81\x80\0\x01\0".to_vec();
        bytes.push(answers.len() as u8);
        bytes.extend_from_slice(b"\0\0\0\0\x01a\x07example\0\0\x0f\0\x01");
        answers.iter().for_each(|answer| bytes.extend_from_slice(answer));
        bytes
    }

    fn only(bytes: &[u8]) -> Result<(Message<'_>, Record), Malformed> {
        let message = Message::new(bytes)?;
        let record = message.answers()?.next().unwrap()?;
        Ok((message, record))
    }

    const MX: &[u8] = b"\xc0\x0c\0\x0f\0\x01\0\0\x0e\x10\0\x07\0\x0a\x02mx\xc0\x0e";

    #[test]
    fn a_reply_has_records() {
        let bytes = reply(&[MX, b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01"]);
        let message = Message::new(&bytes).unwrap();
        assert_eq!(message.question().unwrap(), b"a.example");
        let records: Vec<_> = message.answers().unwrap().map(Result::unwrap).collect();
        assert_eq!(records[0].name, b"a.example");
        assert_eq!((records[0].kind, records[0].ttl), (Kind::MX, 3600));
        assert_eq!(message.exchanger(&records[0]).unwrap(), (10, b"mx.example".to_vec()));
        assert_eq!(message.address(&records[1]).unwrap(), IpAddr::from([192, 0, 2, 1]));
        assert!(!message.is_truncated());
    }

    #[test]
    fn a_domain_without_mail_has_the_root_as_host() {
        let bytes = reply(&[b"\xc0\x0c\0\x0f\0\x01\0\0\0\0\0\x03\0\0\0"]);
        let (message, record) = only(&bytes).unwrap();
        assert_eq!(message.exchanger(&record).unwrap(), (0, Vec::new()));
    }

    #[test]
    fn no_prefix_of_a_reply_is_a_reply() {
        let bytes = reply(&[MX]);
        for end in 0..bytes.len() {
            let whole = only(&bytes[..end]).and_then(|(message, record)| {
                message.exchanger(&record)?;
                message.data(&record)
            });
            assert_eq!(whole, Err(Malformed::Broken), "{end}");
        }
    }

    #[test]
    fn a_name_that_points_to_itself_is_none() {
        for name in [b"\xc0\x1b".as_slice(), b"\x01b\xc0\x1b", b"\xc0\xff", b"\x40x", b"\x80x"] {
            let bytes = reply(&[&[name, b"\0\x01\0\x01\0\0\0\0\0\0"].concat()]);
            assert_eq!(only(&bytes).unwrap_err(), Malformed::Broken, "{name:?}");
        }
    }

    #[test]
    fn a_name_has_at_most_255_bytes() {
        let name = |last: usize| {
            let mut name = [&[63_u8][..], &[b'a'; 63]].concat().repeat(3);
            name.push(last as u8);
            name.extend(vec![b'b'; last]);
            [name, b"\0\0\x01\0\x01\0\0\0\0\0\0".to_vec()].concat()
        };
        let bytes = reply(&[&name(61)]);
        assert_eq!(only(&bytes).unwrap().1.name.len(), 253);
        assert!(only(&reply(&[&name(62)])).is_err());
    }

    #[test]
    fn what_is_special_in_a_name_is_escaped() {
        let bytes = reply(&[b"\x05a.\n\\\xff\0\0\x01\0\x01\0\0\0\0\0\0"]);
        assert_eq!(only(&bytes).unwrap().1.name, b"a\\.\\010\\\\\\255");
    }

    #[test]
    fn a_text_has_parts() {
        let bytes = reply(&[b"\xc0\x0c\0\x10\0\x01\0\0\0\0\0\x07\x02a\n\x03bcd"]);
        let (message, record) = only(&bytes).unwrap();
        assert_eq!(message.text(&record, false).unwrap(), b"a ");
        assert_eq!(message.text(&record, true).unwrap(), b"a bcd");
        let bytes = reply(&[b"\xc0\x0c\0\x10\0\x01\0\0\0\0\0\x03\x09ab"]);
        let (message, record) = only(&bytes).unwrap();
        assert_eq!(message.text(&record, false).unwrap(), b"ab");
        assert_eq!(message.text(&record, true), Err(Malformed::TextLength(9)));
    }

    #[test]
    fn another_class_and_a_wrong_length_are_told() {
        let bytes = reply(&[b"\xc0\x0c\0\x01\0\x03\0\0\0\0\0\0"]);
        assert_eq!(only(&bytes).unwrap_err(), Malformed::Class(3));
        let bytes = reply(&[b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x05\x01\x02\x03\x04\x05"]);
        let (message, record) = only(&bytes).unwrap();
        let error = message.address(&record).unwrap_err();
        assert!(error.is_told() && !Malformed::Broken.is_told());
        assert_eq!(error.to_string(), "extract_answer: bad address length: 5");
    }

    #[test]
    fn types_have_names() {
        assert_eq!(
            (Kind::AAAA.text(), Kind(999).text()),
            ("AAAA".into(), "Unknown type 999".into())
        );
    }
}
