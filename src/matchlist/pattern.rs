//! A pattern of a list, and what it matches.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::table::address::domains;
use crate::table::{Handle, Keys, TableError, network};

/// A pattern, and whether what it matches is in the list.
pub(super) struct Item {
    pub(super) wanted: bool,
    pub(super) pattern: Pattern,
}

pub(super) enum Pattern {
    /// What the table has.
    Table(Handle),
    /// A text, folded; maybe a network too.
    Literal { text: Vec<u8>, network: Option<Result<IpNet, Vec<u8>>> },
}

/// What a list is asked for, folded.
pub(super) enum Key<'a> {
    /// A text that matches as a whole.
    Text(&'a [u8]),
    /// A host name or domain; `parents` as in [`super::MatchList`].
    Name { name: &'a [u8], parents: bool },
    /// The text of an IP address, and the address that it is.
    Address { text: &'a [u8], ip: Option<IpAddr> },
}

impl<'a> Key<'a> {
    pub(super) fn text(text: &'a [u8]) -> Self {
        Self::Text(text)
    }

    pub(super) fn name(name: &'a [u8], parents: bool) -> Self {
        Self::Name { name, parents }
    }

    pub(super) fn address(text: &'a [u8]) -> Self {
        Self::Address { text, ip: network::ip(text) }
    }

    /// For the log.
    pub(super) fn shown(&self) -> &'a [u8] {
        match self {
            Self::Text(text) | Self::Name { name: text, .. } | Self::Address { text, .. } => text,
        }
    }
}

/// An error, and what is to be logged about it.
type Problem = (TableError, Vec<u8>);

impl Pattern {
    /// A pattern that is neither table nor file.
    pub(super) fn literal(text: Vec<u8>) -> Self {
        let network = is_network(&text).then(|| network::parse(&text));
        Self::Literal { text, network }
    }

    pub(super) fn matches(&self, key: &Key<'_>) -> Result<bool, Problem> {
        match (self, key) {
            (Self::Table(table), Key::Text(text)) => has(table, text),
            (Self::Table(table), Key::Name { name, parents }) => has_name(table, name, *parents),
            (Self::Table(table), Key::Address { text, .. }) => {
                Ok(may_be_address(text) && has(table, text)?)
            }
            (Self::Literal { text, .. }, Key::Text(key)) => Ok(text == key),
            (Self::Literal { text, .. }, Key::Name { name, parents }) => {
                Ok(text == name || is_below(name, text, *parents))
            }
            (Self::Literal { text, network }, Key::Address { text: key, ip }) => {
                is_address(text, network.as_ref(), key, ip.as_ref())
            }
        }
    }
}

/// Whether a table has the key.
fn has(table: &Handle, key: &[u8]) -> Result<bool, Problem> {
    let problem = |error| (error, fill!("{}: table lookup problem", table.name()));
    Ok(table.lookup(key).map_err(problem)?.is_some())
}

/// Whether a table has the name or, if its keys are fixed, a parent.
fn has_name(table: &Handle, name: &[u8], parents: bool) -> Result<bool, Problem> {
    let asked = if table.keys() == Keys::Fixed { usize::MAX } else { 1 };
    for name in domains(name, parents).take(asked) {
        if has(table, name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `name` stands below `pattern`.
fn is_below(name: &[u8], pattern: &[u8], parents: bool) -> bool {
    match name.strip_suffix(pattern) {
        Some(head) if parents => head.ends_with(b"."),
        Some(head) => pattern.starts_with(b".") && !head.is_empty(),
        None => false,
    }
}

/// Whether the address `key`, which is `ip`, is the pattern or in its network.
fn is_address(
    pattern: &[u8],
    network: Option<&Result<IpNet, Vec<u8>>>,
    key: &[u8],
    ip: Option<&IpAddr>,
) -> Result<bool, Problem> {
    if !may_be_address(key) {
        return Ok(false);
    }
    let bare = pattern.strip_prefix(b"[").and_then(|pattern| pattern.strip_suffix(b"]"));
    if bare.unwrap_or(pattern) == key {
        return Ok(true);
    }
    match network {
        Some(network) if key.contains(&b':') == pattern.contains(&b':') => match network {
            Ok(network) => Ok(ip.is_some_and(|ip| network.contains(ip))),
            Err(text) => Err((TableError::Retry, text.clone())),
        },
        _ => Ok(false),
    }
}

/// Whether each byte may stand in an IP address.
fn may_be_address(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_hexdigit() || b".:".contains(byte))
}

/// Whether a pattern is to be read as an address or network: it has a `:` or a `/`, and nothing
/// that cannot stand there. An IPv4 address has one form only, and need not be read.
fn is_network(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| b":/".contains(byte))
        && pattern.iter().all(|byte| byte.is_ascii_hexdigit() || b".:[]/".contains(byte))
}
