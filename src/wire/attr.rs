//! The attribute protocol, in which Postfix's services talk: a list of names with values.
//!
//! | form  | pair                 | end of a list | numbers, data            |
//! |-------|----------------------|---------------|--------------------------|
//! | Null  | `name` NUL `value` NUL | NUL         | decimal, base64          |
//! | Plain | `name=value` LF      | LF            | decimal, base64          |
//!
//! Most services speak the first; anvil(8) and policy servers the second. A number is the text of
//! an unsigned number: -1 is sent as `4294967295`. Values are taken in the order in which they are
//! wanted: one that comes too early is skipped.
//!
//! Source: Postfix, `src/util/attr_print0.c`, `attr_scan0.c`, `attr_print_plain.c`,
//! `attr_scan_plain.c`.

use std::ops::Range;

use data_encoding::BASE64;
use memchr::memchr;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `attr0`: NUL ends a name, a value, a list.
    Null,
    /// `name=value` lines; an empty line ends a list.
    Plain,
}

impl Form {
    /// The byte that ends a field, and a list.
    const fn terminator(self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Plain => b'\n',
        }
    }
}

/// The value of an attribute that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A 32-bit number.
    Int(i32),
    /// A 64-bit number.
    Long(u64),
    /// A text. A byte that would end it is sent as `?`.
    Text(&'a [u8]),
    /// Any bytes.
    Data(&'a [u8]),
}

/// An attribute that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr<'a> {
    /// The name: one of ours, so without NUL, LF and `=`.
    pub name: &'a str,
    /// The value.
    pub value: Value<'a>,
}

impl<'a> Attr<'a> {
    /// A number.
    pub fn int(name: &'a str, value: i32) -> Self {
        Self { name, value: Value::Int(value) }
    }

    /// A text.
    pub fn text<T: AsRef<[u8]> + ?Sized>(name: &'a str, value: &'a T) -> Self {
        Self { name, value: Value::Text(value.as_ref()) }
    }

    /// Any bytes.
    pub fn data(name: &'a str, value: &'a [u8]) -> Self {
        Self { name, value: Value::Data(value) }
    }

    fn encode(&self, form: Form, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        out.push(if form == Form::Null { 0 } else { b'=' });
        match self.value {
            // As Postfix: `%u`, also for negative numbers.
            Value::Int(value) => out.extend_from_slice((value as u32).to_string().as_bytes()),
            Value::Long(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Value::Text(text) => append_text(form, text, out),
            Value::Data(data) => out.extend_from_slice(BASE64.encode(data).as_bytes()),
        }
        out.push(form.terminator());
    }
}

fn append_text(form: Form, text: &[u8], out: &mut Vec<u8>) {
    let ends = |byte: u8| byte == 0 || byte == form.terminator();
    out.extend(text.iter().map(|&byte| if ends(byte) { b'?' } else { byte }));
}

/// Appends a list to `out`.
pub fn encode(form: Form, list: &[Attr<'_>], out: &mut Vec<u8>) {
    for attr in list {
        attr.encode(form, out);
    }
    out.push(form.terminator());
}

/// What we take from a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a list.
    pub bytes: usize,
    /// Attributes of a list.
    pub attributes: usize,
}

impl Limits {
    /// What no service of Postfix comes near to: 1 MB (values of tables may be long), 1024
    /// attributes (Postfix's own limit, `ATTR_HASH_LIMIT`).
    pub const SERVICE: Self = Self { bytes: 1 << 20, attributes: 1024 };
}

/// A list is larger than we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadList {
    /// More bytes than [`Limits::bytes`].
    #[error("string length > {0} characters")]
    Long(usize),
    /// More attributes than [`Limits::attributes`].
    #[error("attribute count exceeds limit {0}")]
    Many(usize),
}

/// Takes lists out of bytes that come in pieces.
#[derive(Debug)]
pub struct Decoder {
    form: Form,
    limits: Limits,
    input: Vec<u8>,
    /// Where the next field begins.
    start: usize,
    /// Up to where no terminator was found.
    searched: usize,
    name: Option<Range<usize>>,
    pairs: Vec<Pair>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

impl Decoder {
    /// A decoder of lists in this form.
    pub fn new(form: Form, limits: Limits) -> Self {
        Self { form, limits, input: vec![], start: 0, searched: 0, name: None, pairs: vec![] }
    }

    /// Takes what came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Whether nothing waits: no list, and no piece of one.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Whether a name or value has begun, in the form that says so.
    pub fn is_within_field(&self) -> bool {
        self.form == Form::Null && self.start < self.input.len()
    }

    /// Which part of an attribute would come next, for logs.
    pub fn expects(&self) -> &'static str {
        if self.name.is_some() { "input attribute value" } else { "input attribute name" }
    }

    /// The next list, `None` as long as it is not complete.
    pub fn next_list(&mut self) -> Result<Option<List>, BadList> {
        while let Some(field) = self.next_field() {
            if field.is_empty() && self.name.is_none() {
                return Ok(Some(self.take_list()));
            }
            self.take_field(field);
            self.check_limits()?;
        }
        self.check_limits()?;
        Ok(None)
    }

    fn next_field(&mut self) -> Option<Range<usize>> {
        let rest = self.input.get(self.searched..).unwrap_or_default();
        let Some(at) = memchr(self.form.terminator(), rest) else {
            self.searched = self.input.len();
            return None;
        };
        let end = self.searched.saturating_add(at);
        let field = self.start..end;
        self.start = end.saturating_add(1);
        self.searched = self.start;
        Some(field)
    }

    fn take_field(&mut self, field: Range<usize>) {
        match (self.form, self.name.take()) {
            (Form::Null, None) => self.name = Some(field),
            (Form::Null, Some(name)) => self.pairs.push(Pair { name, value: Some(field) }),
            (Form::Plain, _) => {
                let line = self.input.get(field.clone()).unwrap_or_default();
                let pair = match memchr(b'=', line).map(|at| field.start.saturating_add(at)) {
                    Some(at) => {
                        Pair { name: field.start..at, value: Some(at.saturating_add(1)..field.end) }
                    }
                    None => Pair { name: field, value: None },
                };
                self.pairs.push(pair);
            }
        }
    }

    fn check_limits(&self) -> Result<(), BadList> {
        if self.searched > self.limits.bytes {
            return Err(BadList::Long(self.limits.bytes));
        }
        if self.pairs.len() > self.limits.attributes {
            return Err(BadList::Many(self.limits.attributes));
        }
        Ok(())
    }

    fn take_list(&mut self) -> List {
        let rest = self.input.split_off(self.start.min(self.input.len()));
        let bytes = std::mem::replace(&mut self.input, rest);
        let pairs = std::mem::take(&mut self.pairs);
        (self.start, self.searched) = (0, 0);
        List { bytes, pairs }
    }
}

/// A list that came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    bytes: Vec<u8>,
    pairs: Vec<Pair>,
}

impl List {
    /// All names and values, in order. A name without a value (plain form) has an empty one.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|pair| (self.slice(&pair.name), self.value(pair).unwrap_or_default()))
    }

    /// The first value of `name`, wherever it stands.
    pub fn find(&self, name: &str) -> Option<&[u8]> {
        self.pairs().find(|pair| pair.0 == name.as_bytes()).map(|pair| pair.1)
    }

    /// Takes values in order. Attributes that nobody wants are skipped.
    pub fn scan(&self) -> Scan<'_> {
        Scan { list: self, next: 0, found: 0, strict: false }
    }

    /// Takes values in order. An attribute that nobody wants is an error.
    pub fn scan_strictly(&self) -> Scan<'_> {
        Scan { list: self, next: 0, found: 0, strict: true }
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    fn value(&self, pair: &Pair) -> Option<&[u8]> {
        pair.value.as_ref().map(|range| self.slice(range))
    }
}

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadAttr {
    /// A wanted attribute is not there.
    Missing(&'static str),
    /// An attribute that nobody wants.
    Unexpected {
        /// What came.
        name: Vec<u8>,
        /// What was wanted.
        wanted: &'static str,
    },
    /// A name alone, in plain form: the kind of value that was wanted, and the name.
    NoValue(&'static str, Vec<u8>),
    /// Not a number.
    Number(Vec<u8>),
    /// Not base64.
    Base64(Vec<u8>),
    /// The value can have only one value, and has another.
    Differs {
        /// The attribute.
        name: &'static str,
        /// What came.
        value: Vec<u8>,
        /// What was wanted.
        wanted: &'static str,
    },
}

impl BadAttr {
    /// The words of Postfix; `from` is the socket.
    pub fn text(&self, from: &[u8]) -> Vec<u8> {
        let hundred = |text: &Vec<u8>| text.get(..100).unwrap_or(text).to_vec();
        match self {
            Self::Missing(name) => fill!("missing attribute {} in input from {}", name, from),
            Self::Unexpected { name, wanted } => {
                fill!("unexpected attribute {} from {} (expecting: {})", name, from, wanted)
            }
            Self::NoValue(kind, name) => {
                fill!("missing value for {} attribute {} from {}", kind, name, from)
            }
            Self::Number(text) => fill!(
                "malformed numerical data from {} while reading input attribute value: {}",
                from,
                hundred(text)
            ),
            Self::Base64(text) => fill!(
                "malformed base64 data from {} while reading input attribute value: {}",
                from,
                hundred(text)
            ),
            Self::Differs { name, value, wanted } => {
                fill!("unexpected {} {} from {} (expected: {})", name, value, from, wanted)
            }
        }
    }
}

/// Takes the wanted values out of a list, in order.
#[derive(Debug)]
pub struct Scan<'a> {
    list: &'a List,
    next: usize,
    found: usize,
    strict: bool,
}

impl<'a> Scan<'a> {
    /// A text.
    pub fn text(&mut self, name: &'static str) -> Result<&'a [u8], BadAttr> {
        let value = self.value(name, "string")?;
        self.found = self.found.saturating_add(1);
        Ok(value)
    }

    /// A 32-bit number: the low half of what `long` would be.
    pub fn int(&mut self, name: &'static str) -> Result<i32, BadAttr> {
        let number = self.number(name)?;
        Ok(number as i32)
    }

    /// A 64-bit number.
    pub fn long(&mut self, name: &'static str) -> Result<u64, BadAttr> {
        self.number(name)
    }

    /// Any bytes.
    pub fn data(&mut self, name: &'static str) -> Result<Vec<u8>, BadAttr> {
        let text = self.value(name, "data")?;
        let data = BASE64.decode(text).map_err(|_| BadAttr::Base64(text.to_vec()))?;
        self.found = self.found.saturating_add(1);
        Ok(data)
    }

    /// A text that can only be `wanted`.
    pub fn expect(&mut self, name: &'static str, wanted: &'static str) -> Result<(), BadAttr> {
        let value = self.value(name, "string")?;
        if value != wanted.as_bytes() {
            return Err(BadAttr::Differs { name, value: value.to_vec(), wanted });
        }
        Ok(())
    }

    /// Nothing more is wanted.
    pub fn end(&mut self) -> Result<(), BadAttr> {
        match self.list.pairs.get(self.next) {
            Some(pair) if self.strict => Err(BadAttr::Unexpected {
                name: self.list.slice(&pair.name).to_vec(),
                wanted: "(list terminator)",
            }),
            _ => Ok(()),
        }
    }

    /// How many values were taken, not counting those that can only be one.
    pub fn found(&self) -> usize {
        self.found
    }

    fn number(&mut self, name: &'static str) -> Result<u64, BadAttr> {
        let text = self.value(name, "number")?;
        let number = unsigned(text).ok_or_else(|| BadAttr::Number(text.to_vec()))?;
        self.found = self.found.saturating_add(1);
        Ok(number)
    }

    fn value(&mut self, wanted: &'static str, kind: &'static str) -> Result<&'a [u8], BadAttr> {
        let list = self.list;
        for pair in list.pairs.get(self.next..).unwrap_or_default() {
            self.next = self.next.saturating_add(1);
            let name = list.slice(&pair.name);
            if name == wanted.as_bytes() {
                return list.value(pair).ok_or_else(|| BadAttr::NoValue(kind, name.to_vec()));
            }
            if self.strict {
                return Err(BadAttr::Unexpected { name: name.to_vec(), wanted });
            }
        }
        Err(BadAttr::Missing(wanted))
    }
}

/// A number as the C library's `%u` takes it: white space and a sign before it, no more than 64 bits.
fn unsigned(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX);
    Some(if negative && value != u64::MAX { u64::wrapping_neg(value) } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(form: Form, bytes: &[u8]) -> Vec<List> {
        let mut decoder = Decoder::new(form, Limits::SERVICE);
        decoder.feed(bytes);
        std::iter::from_fn(|| decoder.next_list().unwrap()).collect()
    }

    fn one(form: Form, bytes: &[u8]) -> List {
        let mut all = lists(form, bytes);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    const RESOLVED: &[u8] = b"flags\x000\0transport\0discard\0nexthop\0src.example\0\
        recipient\0me@src.example\0flags\x004096\0\0";

    #[test]
    fn a_request_to_trivial_rewrite_has_these_bytes() {
        let mut out = vec![];
        let list = [
            Attr::text("request", "rewrite"),
            Attr::text("rule", "local"),
            Attr::text("address", "\"\""),
        ];
        encode(Form::Null, &list, &mut out);
        assert_eq!(out, b"request\0rewrite\0rule\0local\0address\0\"\"\0\0");
    }

    #[test]
    fn a_request_to_anvil_has_these_bytes() {
        let mut out = vec![];
        let list = [Attr::text("request", "connect"), Attr::text("ident", "smtp:127.0.0.1")];
        encode(Form::Plain, &list, &mut out);
        assert_eq!(out, b"request=connect\nident=smtp:127.0.0.1\n\n");
    }

    #[test]
    fn values_are_taken_in_order_also_when_a_name_comes_twice() {
        let list = one(Form::Null, RESOLVED);
        let mut scan = list.scan_strictly();
        assert_eq!(scan.int("flags"), Ok(0));
        assert_eq!(scan.text("transport"), Ok(&b"discard"[..]));
        assert_eq!(scan.text("nexthop"), Ok(&b"src.example"[..]));
        assert_eq!(scan.text("recipient"), Ok(&b"me@src.example"[..]));
        assert_eq!(scan.int("flags"), Ok(4096));
        assert_eq!(scan.end(), Ok(()));
        assert_eq!(scan.found(), 5);
    }

    #[test]
    fn all_kinds_of_values_come_back() {
        for form in [Form::Null, Form::Plain] {
            let mut out = vec![];
            let long = Attr { name: "l", value: Value::Long(u64::MAX) };
            let data = [0, 255, 10];
            let list =
                [Attr::int("i", -2), long, Attr::text("t", b"a=b\xff"), Attr::data("d", &data)];
            encode(form, &list, &mut out);
            let list = one(form, &out);
            let mut scan = list.scan_strictly();
            assert_eq!(scan.int("i"), Ok(-2));
            assert_eq!(scan.long("l"), Ok(u64::MAX));
            assert_eq!(scan.text("t"), Ok(&b"a=b\xff"[..]));
            assert_eq!(scan.data("d"), Ok(data.to_vec()));
            assert_eq!(scan.end(), Ok(()));
        }
    }

    #[test]
    fn minus_one_is_sent_unsigned() {
        let mut out = vec![];
        encode(Form::Null, &[Attr::int("status", -1)], &mut out);
        assert_eq!(out, b"status\x004294967295\0\0");
    }

    #[test]
    fn no_prefix_of_a_list_is_a_list() {
        for end in 0..RESOLVED.len() {
            assert_eq!(lists(Form::Null, &RESOLVED[..end]), []);
        }
        let plain = b"status=0\ncount=1\nrate=1\n\n";
        for end in 0..plain.len() {
            assert_eq!(lists(Form::Plain, &plain[..end]), []);
        }
    }

    #[test]
    fn a_list_may_come_byte_by_byte_and_with_others() {
        let two = [RESOLVED, b"status\x000\0reason\0\0\0"].concat();
        let mut decoder = Decoder::new(Form::Null, Limits::SERVICE);
        let mut all = vec![];
        for byte in &two {
            decoder.feed(&[*byte]);
            all.extend(decoder.next_list().unwrap());
        }
        assert!(decoder.is_empty());
        assert_eq!(all, lists(Form::Null, &two));
        assert_eq!(all[1].find("reason"), Some(&b""[..]));
    }

    #[test]
    fn an_empty_value_does_not_end_a_list() {
        let list = one(Form::Null, b"a\0\0b\0x\0\0");
        assert_eq!(list.pairs().collect::<Vec<_>>(), [(&b"a"[..], &b""[..]), (b"b", b"x")]);
    }

    #[test]
    fn a_value_cannot_end_itself() {
        let mut out = vec![];
        encode(Form::Plain, &[Attr::text("helo", "x\naction=OK\0")], &mut out);
        assert_eq!(out, b"helo=x?action=OK?\n\n");
        out.clear();
        encode(Form::Null, &[Attr::text("key", "a\0b\n")], &mut out);
        assert_eq!(out, b"key\0a?b\n\0\0");
    }

    #[test]
    fn large_lists_are_refused_before_they_are_complete() {
        let limits = Limits { bytes: 20, attributes: 3 };
        let mut decoder = Decoder::new(Form::Null, limits);
        decoder.feed(&[b'x'; 21]);
        assert_eq!(decoder.next_list(), Err(BadList::Long(20)));
        let mut decoder = Decoder::new(Form::Null, limits);
        decoder.feed(b"a\0\0a\0\0a\0\0a\0\0");
        assert_eq!(decoder.next_list(), Err(BadList::Many(3)));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said_in_the_words_of_postfix() {
        let text = |bad: BadAttr| String::from_utf8(bad.text(b"private/x socket")).unwrap();
        let list = one(Form::Null, b"flags\0x\0other\x001\0\0");
        assert_eq!(
            text(list.scan().int("flags").unwrap_err()),
            "malformed numerical data from private/x socket while reading input attribute value: x"
        );
        assert_eq!(
            text(list.scan().int("status").unwrap_err()),
            "missing attribute status in input from private/x socket"
        );
        assert_eq!(
            text(list.scan_strictly().int("status").unwrap_err()),
            "unexpected attribute flags from private/x socket (expecting: status)"
        );
        assert_eq!(
            text(list.scan().expect("flags", "y").unwrap_err()),
            "unexpected flags x from private/x socket (expected: y)"
        );
        assert_eq!(
            text(list.scan_strictly().end().unwrap_err()),
            "unexpected attribute flags from private/x socket (expecting: (list terminator))"
        );
        assert_eq!(
            text(list.scan().data("flags").unwrap_err()),
            "malformed base64 data from private/x socket while reading input attribute value: x"
        );
        let list = one(Form::Plain, b"status\n\n");
        assert_eq!(
            text(list.scan().int("status").unwrap_err()),
            "missing value for number attribute status from private/x socket"
        );
    }

    #[test]
    fn numbers_are_what_the_original_takes_for_numbers() {
        let int = |text: &str| one(Form::Null, format!("n\0{text}\0\0").as_bytes()).scan().int("n");
        for bad in ["", "-", "+-1", "1 ", "1x", "0x1"] {
            assert_eq!(int(bad), Err(BadAttr::Number(bad.into())), "{bad}");
        }
        for (text, value) in [("-1", -1), ("+1", 1), (" 1", 1), ("4294967297", 1)] {
            assert_eq!(int(text), Ok(value), "{text}");
        }
        assert_eq!(int("99999999999999999999999"), Ok(-1));
    }
}
