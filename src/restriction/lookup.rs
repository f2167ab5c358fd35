//! What is looked up in access tables, and in which order (access(5)).
//!
//! A domain is followed by its parents, an address by its networks; in tables of patterns only the
//! whole key is asked.

use super::access;
use super::compile::Argument;
use super::eval::{At, Eval, Outcome, Stop, Verdict};
use crate::mail::hostname::valid_address;
use crate::table::TableError;
use crate::table::address::{domains, networks};
use crate::table::maps::Maps;

/// What a failed lookup, or a table that isn't there, gives.
pub(crate) const FAILED: &[u8] = b"451 4.3.5 Server configuration error";

/// Keys, in the order in which they are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keys<'a> {
    /// One key.
    Whole(&'a [u8]),
    /// A domain and its parents.
    Domain(&'a [u8]),
    /// An address and its networks.
    Address(&'a [u8]),
}

/// Whether a table had an entry, and what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Entry(Verdict),
    Nothing,
}

impl Found {
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::Entry(verdict) => verdict,
            Self::Nothing => Verdict::Dunno,
        }
    }
}

/// The table in `argument`; `None`, with a warning, if it has none. `who` is the name of the
/// function in Postfix, which its warning shows.
pub(crate) fn table<'a>(argument: &'a Argument, who: &str) -> Option<&'a Maps> {
    if argument.table.is_none() {
        warning!("{}: unexpected dictionary: {}", who, argument.text);
    }
    argument.table.as_deref()
}

/// Looks up `keys` and does what the entry says.
pub(crate) fn check(
    e: &mut Eval<'_>,
    argument: &Argument,
    table: Option<&Maps>,
    keys: Keys<'_>,
    at: &At<'_>,
) -> Result<Found, Stop> {
    let value = match table {
        Some(table) => first(table, keys, e.policy.parent_domains),
        // The table is not there: as a failed lookup.
        None => Err(TableError::Config),
    };
    let value = match value {
        Ok(None) => return Ok(Found::Nothing),
        Ok(Some(value)) => value,
        Err(_) => FAILED.to_vec(),
    };
    let (Keys::Whole(key) | Keys::Domain(key) | Keys::Address(key)) = keys;
    access::apply(e, &argument.text, key, &value, at).map(Found::Entry)
}

/// The value of the first of `keys` that is there.
fn first(
    table: &Maps,
    keys: Keys<'_>,
    parent_domains: bool,
) -> Result<Option<Vec<u8>>, TableError> {
    match keys {
        Keys::Whole(key) => first_of(table, [key].into_iter()),
        // A number has no parent domains.
        Keys::Domain(domain) if valid_address(domain).is_ok() => {
            first_of(table, [domain].into_iter())
        }
        Keys::Domain(domain) => first_of(table, domains(domain, parent_domains)),
        Keys::Address(address) => first_of(table, networks(address)),
    }
}

fn first_of<'k>(
    table: &Maps,
    mut keys: impl Iterator<Item = &'k [u8]>,
) -> Result<Option<Vec<u8>>, TableError> {
    let Some(whole) = keys.next() else { return Ok(None) };
    if let Some(found) = table.find(whole)? {
        return Ok(Some(found.value));
    }
    for part in keys {
        if let Some(found) = table.find_part(part)? {
            return Ok(Some(found.value));
        }
    }
    Ok(None)
}

/// Looks up a host's name, then its address.
pub(crate) fn name_and_address(
    e: &mut Eval<'_>,
    argument: &Argument,
    name: &[u8],
    address: &[u8],
    at: &At<'_>,
) -> Outcome {
    let by_name = table(argument, "check_domain_access");
    match check(e, argument, by_name, Keys::Domain(name), at)? {
        Found::Entry(verdict) => Ok(verdict),
        Found::Nothing => Ok(check(e, argument, by_name, Keys::Address(address), at)?.verdict()),
    }
}
