//! `cidr:/file`: address patterns, the first that matches counts (cidr_table(5)).
//!
//! A table without `if` and `!` gets an index: for each length of mask the networks in order, so
//! that a lookup costs a binary search a length and not a look at each rule.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::Range;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::lines::{Lines, is_space, trim_end, trim_start};
use super::rules::{Blocks, keyword};
use super::{Failure, Keys, Spec, Table, TableError, network, source};

/// From how many rules on an index pays.
const INDEX_FROM: usize = 16;

struct Cidr {
    name: Vec<u8>,
    /// Empty where there is an index.
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
        let at = match &self.index {
            Some(index) => index.find(&ip),
            None => self.scan(&ip),
        };
        Ok(at.and_then(|at| self.value_at(at)).map(<[u8]>::to_vec))
    }
}

impl Cidr {
    /// Where the value of the first rule that matches begins, rule by rule.
    fn scan(&self, ip: &IpAddr) -> Option<u32> {
        let mut at = 0;
        while let Some(rule) = self.rules.get(at) {
            match rule {
                Rule::Match { net, at } if net.matches(ip) => return Some(*at),
                Rule::If { net, end } if !net.matches(ip) => at = (*end)?.get() as usize,
                _ => {}
            }
            at += 1;
        }
        None
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

/// Networks and their values, in place of rules that are nothing but networks with values.
struct Index {
    v4: Networks<u32>,
    v6: Networks<[u8; 16]>,
}

impl Index {
    /// An index of `rules`; `None` when it would not pay or not do.
    fn of(rules: &[Rule]) -> Option<Self> {
        if rules.len() < INDEX_FROM {
            return None;
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for rule in rules {
            let Rule::Match { net: Net { net, inside: true }, at } = rule else { return None };
            match net {
                IpNet::V4(net) => v4.push((net.prefix_len(), net.network().to_bits(), *at)),
                IpNet::V6(net) => v6.push((net.prefix_len(), net.network().octets(), *at)),
            }
        }
        Some(Self { v4: Networks::of(v4), v6: Networks::of(v6) })
    }

    /// Where the value of the first rule begins whose network has `ip`.
    fn find(&self, ip: &IpAddr) -> Option<u32> {
        match ip {
            IpAddr::V4(ip) => {
                self.v4.find(|len| Some(Ipv4Net::new(*ip, len).ok()?.network().to_bits()))
            }
            IpAddr::V6(ip) => {
                self.v6.find(|len| Some(Ipv6Net::new(*ip, len).ok()?.network().octets()))
            }
        }
    }
}

/// Networks of a family, `A` being an address without what stands behind the mask.
struct Networks<A> {
    /// Networks and where their values begin, by length of mask, then by address.
    nets: Vec<(A, u32)>,
    /// For each length, which part of `nets` it is.
    parts: Vec<(u8, Range<usize>)>,
}

impl<A: Ord> Networks<A> {
    fn of(mut all: Vec<(u8, A, u32)>) -> Self {
        // The values stand in the order of the rules, so of equal networks the first stays the
        // first, and the only one.
        all.sort_unstable();
        all.dedup_by(|next, first| (next.0, &next.1) == (first.0, &first.1));
        let mut parts: Vec<(u8, Range<usize>)> = Vec::new();
        for (at, (len, ..)) in all.iter().enumerate() {
            match parts.last_mut() {
                Some(part) if part.0 == *len => part.1.end = at + 1,
                _ => parts.push((*len, at..at + 1)),
            }
        }
        let mut nets = Vec::with_capacity(all.len());
        nets.extend(all.into_iter().map(|(_, network, at)| (network, at)));
        Self { nets, parts }
    }

    /// Where the first value begins of the networks that `network_of` gives for each length.
    fn find(&self, network_of: impl Fn(u8) -> Option<A>) -> Option<u32> {
        let found = self.parts.iter().filter_map(|(len, part)| {
            let wanted = network_of(*len)?;
            let nets = self.nets.get(part.clone())?;
            let place = nets.binary_search_by(|(network, _)| network.cmp(&wanted)).ok()?;
            nets.get(place).map(|(_, at)| *at)
        });
        found.min()
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
    table.values.shrink_to_fit();
    table.index = Index::of(&table.rules);
    if table.index.is_some() {
        table.rules.clear();
    }
    table.rules.shrink_to_fit();
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
