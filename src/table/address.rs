//! Looking up a mail address: its parts, in the order of access(5) and of the address tables
//! (canonical(5), virtual(5) and others). As Postfix: `mail_addr_find()`.
//!
//! Each address is asked in external form (`"a b"@c`) first, then in internal form (`a b@c`) if
//! that is different. Tables of patterns are asked for the whole address only.

use super::TableError;
use super::maps::Maps;
use crate::mail::address::{Extension, domain, local_part};
use crate::mail::quote;
use crate::text::fold;

/// Whether mail for a domain is for this machine (Postfix: `resolve_local()`).
pub type IsLocal = Box<dyn Fn(&[u8]) -> Result<bool, TableError>>;

/// How addresses are looked up.
pub struct AddressSearch {
    /// recipient_delimiter.
    pub(crate) delimiters: Vec<u8>,
    /// double_bounce_sender.
    pub(crate) double_bounce_sender: Vec<u8>,
    /// owner_request_special.
    pub(crate) owner_request_special: bool,
    /// myorigin.
    pub(crate) origin: Vec<u8>,
    /// smtputf8_enable.
    pub(crate) utf8: bool,
    pub(crate) is_local: IsLocal,
}

/// A part of an address that is looked up.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// An address, or a local part with `@`; in tables of patterns too.
    Whole(Vec<u8>),
    /// The same, but not in tables of patterns.
    Address(Vec<u8>),
    /// A local part alone: all of it may need quotes.
    Local(Vec<u8>),
    /// `@domain` or a domain, which have one form.
    Plain(Vec<u8>),
}

impl Part {
    /// The value of the part.
    fn find(&self, maps: &Maps) -> Result<Option<Vec<u8>>, TableError> {
        let (key, external) = match self {
            Self::Whole(key) | Self::Address(key) => (key, quote::external(key)),
            Self::Local(key) => (key, external_local(key)),
            Self::Plain(key) => (key, key.clone()),
        };
        let find = |key: &[u8]| match self {
            Self::Whole(_) => maps.find(key),
            _ => maps.find_part(key),
        };
        let mut found = find(&external)?;
        if found.is_none() && external != *key {
            found = find(key)?;
        }
        Ok(found.map(|found| found.value))
    }
}

/// The external form of a local part, in which an `@` is no end.
fn external_local(local: &[u8]) -> Vec<u8> {
    let mut text = quote::external(&fill!("{}@", local));
    text.pop();
    text
}

/// The value of the first part that has one.
fn first(parts: &[Part], maps: &Maps) -> Result<Option<Vec<u8>>, TableError> {
    for part in parts {
        if let Some(value) = part.find(maps)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

impl AddressSearch {
    /// The value of `address` (internal form) in an access(5) table: `user+ext@domain`,
    /// `user@domain`, domain and parent domains, `user+ext@`, `user@`. With `parents` a parent
    /// domain is looked up as it is, else with its dot (parent_domain_matches_subdomains).
    pub fn find_access(
        &self,
        maps: &Maps,
        address: &[u8],
        parents: bool,
    ) -> Result<Option<Vec<u8>>, TableError> {
        let bare = self.bare(address);
        let mut parts = addresses(address, bare.as_deref());
        if let Some(domain) = domain(address) {
            parts.extend(domains(domain, parents).map(|domain| Part::Plain(domain.to_vec())));
            for address in [Some(address), bare.as_deref()].into_iter().flatten() {
                parts.push(Part::Address(fill!("{}@", local_part(address))));
            }
        }
        first(&parts, maps)
    }

    /// The value of `address` (internal form) in an address table: `user+ext@domain`,
    /// `user@domain`, then, where the domain is ours, `user+ext` and `user`, at last `@domain`.
    pub fn find(&self, maps: &Maps, address: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        if maps.is_empty() {
            return Ok(None);
        }
        let bare = self.bare(address);
        if let Some(value) = first(&addresses(address, bare.as_deref()), maps)? {
            return Ok(Some(value));
        }
        let Some(domain) = domain(address) else { return Ok(None) };
        if self.is_ours(domain)? {
            for address in [Some(address), bare.as_deref()].into_iter().flatten() {
                let local = Part::Local(local_part(address).to_vec());
                if let Some(value) = local.find(maps)? {
                    return Ok(Some(value));
                }
            }
        }
        Part::Plain(fill!("@{}", domain)).find(maps)
    }

    /// The address without extension, if it has one.
    fn bare(&self, address: &[u8]) -> Option<Vec<u8>> {
        let extension = Extension {
            delimiters: &self.delimiters,
            double_bounce_sender: &self.double_bounce_sender,
            owner_request_special: self.owner_request_special,
        };
        extension.strip(address)
    }

    fn is_ours(&self, domain: &[u8]) -> Result<bool, TableError> {
        if fold::same(domain, &self.origin, self.utf8) {
            return Ok(true);
        }
        (self.is_local)(domain)
    }
}

/// The address, and the address without extension.
fn addresses(address: &[u8], bare: Option<&[u8]>) -> Vec<Part> {
    let mut parts = vec![Part::Whole(address.to_vec())];
    parts.extend(bare.map(|bare| Part::Address(bare.to_vec())));
    parts
}

/// A domain and its parents: `a.b.c`, `b.c`, `c`, or with `parents` off `a.b.c`, `.b.c`, `.c`.
pub fn domains(domain: &[u8], parents: bool) -> impl Iterator<Item = &[u8]> {
    let whole = Some(domain).filter(|domain| !domain.is_empty());
    std::iter::successors(whole, move |name| {
        let dot = memchr::memchr(b'.', &name[1..])? + 1;
        let parent = if parents { &name[dot + 1..] } else { &name[dot..] };
        (!parent.is_empty()).then_some(parent)
    })
}

/// An IP address and its networks: `1.2.3.4`, `1.2.3`, `1.2`, `1`, or `2001:db8::1`, `2001:db8:`,
/// `2001:db8`, `2001`.
pub fn networks(address: &[u8]) -> impl Iterator<Item = &[u8]> {
    let delimiter = if address.contains(&b':') { b':' } else { b'.' };
    std::iter::successors(Some(address), move |part| {
        memchr::memrchr(delimiter, part).map(|at| &part[..at])
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::config::Config;
    use crate::table::{Handle, Keys, Opener, Request, Table};

    /// A table without entries that notes what it is asked.
    struct Asked {
        keys: Keys,
        asked: Rc<RefCell<Vec<String>>>,
    }

    impl Table for Asked {
        fn name(&self) -> &[u8] {
            b"asked:x"
        }
        fn keys(&self) -> Keys {
            self.keys
        }
        fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
            self.asked.borrow_mut().push(String::from_utf8_lossy(key).into_owned());
            Ok(None)
        }
    }

    fn search() -> AddressSearch {
        AddressSearch {
            delimiters: b"+".to_vec(),
            double_bounce_sender: b"double-bounce".to_vec(),
            owner_request_special: true,
            origin: b"origin.example".to_vec(),
            utf8: true,
            is_local: Box::new(|domain| match domain {
                b"broken.example" => Err(TableError::Retry),
                domain => Ok(domain == b"local.example"),
            }),
        }
    }

    fn asked(
        keys: Keys,
        find: impl Fn(&AddressSearch, &Maps) -> Result<Option<Vec<u8>>, TableError>,
    ) -> (String, Result<(), TableError>) {
        let log = Rc::new(RefCell::new(Vec::new()));
        let table: Handle = Rc::new(Asked { keys, asked: Rc::clone(&log) });
        let result = find(&search(), &Maps::of_tables(vec![table]));
        let log = log.borrow().join(" | ");
        (log, result.map(|value| assert_eq!(value, None)))
    }

    fn access(address: &str, parents: bool) -> String {
        asked(Keys::Fixed, |s, maps| s.find_access(maps, address.as_bytes(), parents)).0
    }

    fn plain(address: &str) -> String {
        asked(Keys::Fixed, |s, maps| s.find(maps, address.as_bytes())).0
    }

    #[test]
    fn access_tables_are_asked_for_address_domain_and_user() {
        assert_eq!(access("u+e@a.b.c", true), "u+e@a.b.c | u@a.b.c | a.b.c | b.c | c | u+e@ | u@");
        assert_eq!(access("u@a.b.c", false), "u@a.b.c | a.b.c | .b.c | .c | u@");
        assert_eq!(access("u", true), "u");
        assert_eq!(access("u@", true), "u@ | u@");
    }

    #[test]
    fn both_forms_are_asked_where_they_differ() {
        assert_eq!(
            access("a b+c d@x", true),
            "\"a b+c d\"@x | a b+c d@x | \"a b\"@x | a b@x | x | \
             \"a b+c d\"@ | a b+c d@ | \"a b\"@ | a b@"
        );
        assert_eq!(
            plain("a@b@local.example"),
            "\"a@b\"@local.example | a@b@local.example | \"a@b\" | a@b | @local.example"
        );
    }

    #[test]
    fn users_alone_are_asked_where_the_domain_is_ours() {
        let all = "u+e@ORIGIN.example | u@ORIGIN.example | u+e | u | @ORIGIN.example";
        assert_eq!(plain("u+e@ORIGIN.example"), all);
        assert_eq!(plain("u@local.example"), "u@local.example | u | @local.example");
        assert_eq!(plain("u+e@other"), "u+e@other | u@other | @other");
        assert_eq!(plain("u"), "u");
        let broken = asked(Keys::Fixed, |s, maps| s.find(maps, b"u@broken.example"));
        assert_eq!(broken, ("u@broken.example".into(), Err(TableError::Retry)));
    }

    #[test]
    fn tables_of_patterns_are_asked_once() {
        let (log, _) = asked(Keys::Pattern, |s, maps| s.find(maps, b"u+e@local.example"));
        assert_eq!(log, "u+e@local.example");
        let (log, _) = asked(Keys::Pattern, |s, maps| s.find_access(maps, b"u+e@a.b", true));
        assert_eq!(log, "u+e@a.b");
    }

    #[test]
    fn the_first_value_ends_the_search() {
        let mut opener = Opener::new(&Config::of_text("").unwrap());
        let list = b"inline:{u@a.b=1, b=2, x@=3, @a.b=4}";
        let maps = Maps::open(&mut opener, "x", list, Request::ACCESS).unwrap();
        let access = |address: &[u8]| search().find_access(&maps, address, true).unwrap();
        assert_eq!(access(b"U+e@A.B"), Some(b"1".to_vec()));
        assert_eq!(access(b"x@a.b"), Some(b"2".to_vec()));
        assert_eq!(access(b"x@a.c"), Some(b"3".to_vec()));
        assert_eq!(search().find(&maps, b"y@a.b"), Ok(Some(b"4".to_vec())));
    }

    #[test]
    fn domains_and_networks_have_parents() {
        let texts = |items: Vec<&[u8]>| {
            let text = |item: &&[u8]| String::from_utf8_lossy(item).into_owned();
            items.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(texts(domains(b"a.b.c", true).collect()), ["a.b.c", "b.c", "c"]);
        assert_eq!(texts(domains(b"a.b.c", false).collect()), ["a.b.c", ".b.c", ".c"]);
        assert_eq!(texts(domains(b"a.", true).collect()), ["a."]);
        assert_eq!(texts(domains(b"a..b", true).collect()), ["a..b", ".b"]);
        assert_eq!(texts(domains(b"", true).collect()), [""; 0]);
        assert_eq!(texts(networks(b"1.2.3.4").collect()), ["1.2.3.4", "1.2.3", "1.2", "1"]);
        assert_eq!(
            texts(networks(b"2001:db8::1").collect()),
            ["2001:db8::1", "2001:db8:", "2001:db8", "2001"]
        );
    }
}
