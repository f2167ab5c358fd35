//! `cidr:/file`: address patterns, the first that matches counts (cidr_table(5)).
//!
//! A table without `if` and `!` gets an index: for each length of mask the networks in order, so
//! that a lookup costs a binary search a length and not a look at each rule.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;

use super::lines::{Lines, is_space, trim_end, trim_start};
use super::rules::{Blocks, keyword};
use super::{Failure, Keys, Spec, Table, TableError, network, source};

/// From how many rules on an index pays.
const INDEX_FROM: usize = 16;

struct Cidr {
    name: Vec<u8>,
    rules: Vec<Rule>,
    /// The values, each with a NUL behind it.
    values: Vec<u8>,
    index: Option<Index>,
}

#[derive(Debug)]
enum Rule {
    /// An address in the network, or not in it, has the value that begins at `values[at]`.
    Match {
        net: Net,
        at: u32,
    },
    /// The rules up to `end` count for addresses in the network, or not in it.
    If {
        net: Net,
        end: Option<NonZeroU32>,
    },
    EndIf,
}

/// What orders networks: family, length of mask, address without what stands behind the mask.
type NetKey = (bool, u8, u128);

fn key_of(net: &IpNet) -> NetKey {
    match net {
        IpNet::V4(net) => (true, net.prefix_len(), u128::from(u32::from(net.network()))),
        IpNet::V6(net) => (false, net.prefix_len(), u128::from(net.network())),
    }
}

impl Rule {
    fn key(&self) -> Option<NetKey> {
        match self {
            Self::Match { net, .. } => Some(key_of(&net.net)),
            _ => None,
        }
    }
}

/// A network, or all that is not in it.
#[derive(Debug, Clone, Copy)]
struct Net {
    net: IpNet,
    inside: bool,
}

impl Net {
    /// As Postfix: an address of the other family matches neither.
    fn matches(&self, ip: &IpAddr) -> bool {
        let same_family = ip.is_ipv4() == matches!(self.net, IpNet::V4(_));
        same_family && self.net.contains(ip) == self.inside
    }
}

impl Table for Cidr {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn keys(&self) -> Keys {
        Keys::Pattern
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        let Some(ip) = network::ip(key) else { return Ok(None) };
        let rule = match &self.index {
            Some(index) => index.find(&self.rules, &ip),
            None => self.scan(&ip),
        };
        Ok(rule.and_then(|rule| self.value(rule)))
    }
}

impl Cidr {
    /// The first rule that matches, rule by rule.
    fn scan(&self, ip: &IpAddr) -> Option<&Rule> {
        let mut at = 0;
        while let Some(rule) = self.rules.get(at) {
            match rule {
                Rule::Match { net, .. } if net.matches(ip) => return Some(rule),
                Rule::If { net, end } if !net.matches(ip) => at = (*end)?.get() as usize,
                _ => {}
            }
            at += 1;
        }
        None
    }

    fn value(&self, rule: &Rule) -> Option<Vec<u8>> {
        match *rule {
            Rule::Match { at, .. } => self.value_at(at).map(<[u8]>::to_vec),
            _ => None,
        }
    }

    fn value_at(&self, at: u32) -> Option<&[u8]> {
        let rest = self.values.get(at as usize..)?;
        rest.get(..memchr::memchr(0, rest)?)
    }

    /// Enters a value; the same value in neighbouring rules is kept once.
    fn add_value(&mut self, value: &[u8]) -> Option<u32> {
        if let Some(Rule::Match { at, .. }) = self.rules.last() {
            if self.value_at(*at) == Some(value) {
                return Some(*at);
            }
        }
        let place = u32::try_from(self.values.len()).ok()?;
        self.values.extend_from_slice(value);
        self.values.push(0);
        Some(place)
    }
}

/// Rules by length of mask.
struct Index {
    /// Places of rules, ordered by family, length and network.
    order: Vec<u32>,
    /// For each family and length, which part of `order` it is.
    parts: Vec<(bool, u8, std::ops::Range<usize>)>,
}

impl Index {
    /// An index of `rules`; `None` when it would not pay or not do.
    fn of(rules: &[Rule]) -> Option<Self> {
        if rules.len() < INDEX_FROM {
            return None;
        }
        let mut order = Vec::with_capacity(rules.len());
        for (place, rule) in rules.iter().enumerate() {
            let Rule::Match { net: Net { inside: true, .. }, .. } = rule else { return None };
            order.push(u32::try_from(place).ok()?);
        }
        // Of equal networks the first stays the first, and the only one.
        let key = |place: &u32| rules.get(*place as usize).and_then(Rule::key);
        order.sort_by_key(key);
        order.dedup_by_key(|place| key(place));
        order.shrink_to_fit();
        let mut parts: Vec<(bool, u8, std::ops::Range<usize>)> = Vec::new();
        for (at, (v4, len, _)) in order.iter().filter_map(key).enumerate() {
            match parts.last_mut() {
                Some(part) if (part.0, part.1) == (v4, len) => part.2.end = at + 1,
                _ => parts.push((v4, len, at..at + 1)),
            }
        }
        Some(Self { order, parts })
    }

    /// The first of `rules` whose network has `ip`.
    fn find<'a>(&self, rules: &'a [Rule], ip: &IpAddr) -> Option<&'a Rule> {
        let key = |place: &u32| rules.get(*place as usize).and_then(Rule::key);
        let found = self.parts.iter().filter(|part| part.0 == ip.is_ipv4()).filter_map(|part| {
            let wanted = key_of(&IpNet::new(*ip, part.1).ok()?);
            let order = self.order.get(part.2.clone())?;
            let at = order.binary_search_by_key(&Some(wanted), key).ok()?;
            order.get(at).copied()
        });
        rules.get(found.min()? as usize)
    }
}

/// Opens `cidr:/file` or `cidr:{{rule}, …}`.
pub(super) fn open(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    let mut table =
        Cidr { name: spec.full_name(), rules: Vec::new(), values: Vec::new(), index: None };
    let mut blocks = Blocks::default();
    let mut lines = Lines::of(source::open("cidr", spec.name)?, source::path(spec.name));
    while let Some((number, line)) = lines.line() {
        match parse(spec, &mut table, blocks.depth(), line) {
            Ok(rule) => {
                let place = table.rules.len();
                match &rule {
                    Rule::If { .. } => blocks.begin(place, number),
                    Rule::EndIf => close(&mut table.rules, blocks.end(), place),
                    Rule::Match { .. } => {}
                }
                table.rules.push(rule);
            }
            Err(why) => {
                warning!("cidr map {}, line {}: {}: skipping this rule", spec.name, number, why);
            }
        }
    }
    for number in blocks.open() {
        warning!("cidr map {}, line {}: IF has no matching ENDIF", spec.name, number);
    }
    lines.end().map_err(|error| fatal!("cidr map {}: read error: {}", spec.name, error))?;
    table.rules.shrink_to_fit();
    table.values.shrink_to_fit();
    table.index = Index::of(&table.rules);
    Ok(Box::new(table))
}

/// Ends the `if` at `begin` with the `endif` at `place`.
fn close(rules: &mut [Rule], begin: Option<usize>, place: usize) {
    if let Some(Rule::If { end, .. }) = begin.and_then(|begin| rules.get_mut(begin)) {
        // An `endif` is never the first rule.
        *end = u32::try_from(place).ok().and_then(NonZeroU32::new);
    }
}

/// The rule in a line, within `depth` blocks.
fn parse(spec: &Spec<'_>, table: &mut Cidr, depth: usize, line: &[u8]) -> Result<Rule, Vec<u8>> {
    if let Some(rest) = keyword(line, b"if") {
        let (pattern, inside) = negation(rest);
        if pattern.is_empty() {
            return Err(b"no address pattern".to_vec());
        }
        let net = network::parse(trim_end(pattern))?;
        return Ok(Rule::If { net: Net { net, inside }, end: None });
    }
    if let Some(rest) = keyword(line, b"endif") {
        return if !trim_start(rest).is_empty() {
            Err(b"garbage after ENDIF".to_vec())
        } else if depth == 0 {
            Err(b"ENDIF without IF".to_vec())
        } else {
            Ok(Rule::EndIf)
        };
    }
    let (rest, inside) = negation(line);
    let (pattern, value) = rest.split_at(rest.iter().position(is_space).unwrap_or(rest.len()));
    if pattern.is_empty() {
        return Err(b"no address pattern".to_vec());
    }
    let net = network::parse(pattern)?;
    let value = trim_end(trim_start(value));
    if value.is_empty() {
        return Err(b"no lookup result".to_vec());
    }
    let value = spec.value(value)?;
    let at = table.add_value(&value).ok_or_else(|| b"table too large".to_vec())?;
    Ok(Rule::Match { net: Net { net, inside }, at })
}

/// What stands behind any `!` and blanks, and whether it is meant as it stands.
pub(super) fn negation(text: &[u8]) -> (&[u8], bool) {
    let end = text.iter().position(|byte| *byte != b'!' && !is_space(byte));
    let (marks, rest) = text.split_at(end.unwrap_or(text.len()));
    (rest, marks.iter().filter(|byte| **byte == b'!').count() % 2 == 0)
}
