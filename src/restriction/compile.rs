//! Restriction lists, from texts to steps.
//!
//! ```text
//! list    = word *( separator word )          separator: comma, blank, tab, CR, LF
//! word    = restriction / class / type:table / "{" … "}" / argument of the word before
//! ```
//!
//! The compiler never fails: what is wrong becomes a step that says so when evaluation reaches it,
//! as in Postfix, which ignores what stands after `permit`. Tables are opened here, before the
//! chroot; the lists that access tables give are compiled later and have none.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::dnsbl::DnsList;
use super::rows::{
    self, Check, DnsListCheck, LastCheck, Need, PermitCheck, PlainCheck, TableCheck, Takes,
};
use super::{Class, remembered};
use crate::config::Config;
use crate::dns::Kind;
use crate::log::Fatal;
use crate::table::maps::Maps;
use crate::table::{Opener, Request};
use crate::text::split::{COMMA_SPACE, name_value, unbrace, words, words_braced};

/// A compiled list.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) steps: Vec<Step>,
}

impl List {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// One restriction with its argument.
#[derive(Debug)]
pub(crate) struct Step {
    /// The restriction's name as written.
    pub(crate) name: Vec<u8>,
    /// The word after it.
    next: Option<Vec<u8>>,
    pub(crate) act: Act,
    /// See [`remembered`](super::remembered).
    pub(crate) steady: bool,
}

impl Step {
    /// What stands after a restriction that always decides is never reached.
    pub(crate) fn warn_of_successor(&self, name: &str) {
        if let Some(next) = &self.next {
            warning!("restriction `{}' after `{}' is ignored", next, name);
        }
    }
}

/// What a step does.
pub(crate) enum Act {
    Plain(PlainCheck),
    Permit(PermitCheck, Class),
    PermitAll,
    Last(LastCheck, &'static str),
    Table(TableCheck, Argument),
    Allowlist(TableCheck, Argument),
    /// A table of servers: whose, and which.
    Servers(Class, Kind, Argument),
    DnsList(DnsListCheck, DnsList),
    DnsAllowlist(DnsListCheck, DnsList),
    /// A bare `type:table`.
    DefaultTable(Argument),
    Sleep(Duration),
    WarnIfReject,
    /// A restriction class, by its place in `Policy::classes`.
    Class(usize),
    /// Says this, and goes on.
    Ignored(Vec<u8>),
    /// Says this, and fails.
    Broken(Vec<u8>),
    /// Not in this version: fails where it is needed.
    Missing(Need),
}

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Permit(..) => "Permit",
            Self::PermitAll => "PermitAll",
            Self::Last(..) => "Last",
            Self::Table(..) => "Table",
            Self::Allowlist(..) => "Allowlist",
            Self::Servers(..) => "Servers",
            Self::DnsList(..) => "DnsList",
            Self::DnsAllowlist(..) => "DnsAllowlist",
            Self::DefaultTable(_) => "DefaultTable",
            Self::Sleep(_) => "Sleep",
            Self::WarnIfReject => "WarnIfReject",
            Self::Class(_) => "Class",
            Self::Ignored(_) => "Ignored",
            Self::Broken(_) => "Broken",
            Self::Missing(_) => "Missing",
        })
    }
}

/// The table that a restriction names.
#[derive(Clone)]
pub(crate) struct Argument {
    /// As written: `cidr:/etc/postfix/access`, or `{ … }`.
    pub(crate) text: Vec<u8>,
    /// The table, where it is named without braces.
    pub(crate) table: Option<Rc<Maps>>,
    /// The same and how to search it; braces allowed. Only check_ccert_access wants that.
    pub(crate) search: Option<Rc<Search>>,
}

/// A table and what is looked up in it, in which order.
pub(crate) struct Search {
    /// `type:table`
    pub(crate) name: Vec<u8>,
    pub(crate) table: Rc<Maps>,
    /// `None`: the restriction decides.
    pub(crate) order: Option<Vec<SearchKey>>,
}

impl Search {
    /// Whether names of certificates are looked up.
    pub(crate) fn has_names(&self) -> bool {
        self.order.iter().flatten().any(|key| key.is_name())
    }
}

/// What of a client certificate is looked up (search_order).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SearchKey {
    CertificateFingerprint,
    KeyFingerprint,
    /// Postfix has these two names, and no meaning for them.
    IssuerName,
    SubjectName,
    // Names, which count only in verified chains. Postfix has not got them.
    Subject,
    Issuer,
    Email,
    Dns,
    Uri,
}

/// The names in search_order.
const SEARCH_KEYS: &[(&str, SearchKey)] = &[
    ("cert_fingerprint", SearchKey::CertificateFingerprint),
    ("pubkey_fingerprint", SearchKey::KeyFingerprint),
    ("issuer_cn", SearchKey::IssuerName),
    ("subject_cn", SearchKey::SubjectName),
    ("cert_subject", SearchKey::Subject),
    ("cert_issuer", SearchKey::Issuer),
    ("san_email", SearchKey::Email),
    ("san_dns", SearchKey::Dns),
    ("san_uri", SearchKey::Uri),
];

impl SearchKey {
    /// Whether it is a name, which counts only in a verified chain.
    fn is_name(self) -> bool {
        matches!(self, Self::Subject | Self::Issuer | Self::Email | Self::Dns | Self::Uri)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        SEARCH_KEYS.iter().find(|(_, key)| *key == self).map_or("", |(name, _)| *name)
    }
}

/// The tables that lists name, each opened once.
pub(crate) struct Tables<'t> {
    opener: &'t mut Opener,
    maps: BTreeMap<Vec<u8>, Rc<Maps>>,
    searches: BTreeMap<Vec<u8>, Rc<Search>>,
}

impl<'t> Tables<'t> {
    pub(crate) fn new(opener: &'t mut Opener) -> Self {
        Self { opener, maps: BTreeMap::new(), searches: BTreeMap::new() }
    }

    /// Opens what a word of a list names. A malformed one is reported here and again when it is
    /// needed. As Postfix: `map_search_create()`.
    fn register(&mut self, word: &[u8]) -> Result<(), Fatal> {
        if self.searches.contains_key(word) {
            return Ok(());
        }
        let Some((name, order)) = parse_search(word) else { return Ok(()) };
        let table = self.open(name)?;
        let search = Search { name: name.to_vec(), table, order };
        self.searches.insert(word.to_vec(), Rc::new(search));
        Ok(())
    }

    /// The table `type:name`.
    pub(crate) fn open(&mut self, name: &[u8]) -> Result<Rc<Maps>, Fatal> {
        if let Some(maps) = self.maps.get(name) {
            return Ok(Rc::clone(maps));
        }
        let maps = Rc::new(Maps::open(self.opener, name, name, Request::ACCESS)?);
        self.maps.insert(name.to_vec(), Rc::clone(&maps));
        Ok(maps)
    }

    fn argument(&self, word: &[u8]) -> Argument {
        Argument {
            text: word.to_vec(),
            table: self.maps.get(word).cloned(),
            search: self.searches.get(word).cloned(),
        }
    }
}

/// `type:table` or `{type:table, search_order = …}`.
fn parse_search(word: &[u8]) -> Option<(&[u8], Option<Vec<SearchKey>>)> {
    let (name, attributes) = if word.first() == Some(&b'{') {
        let inside = match unbrace(word) {
            Ok(inside) => inside,
            Err(error) => {
                warning!("malformed map specification: '{}'", error.to_string());
                return None;
            }
        };
        let Some(name) = words_braced(inside, COMMA_SPACE).next() else {
            warning!("empty map specification: '{}'", word);
            return None;
        };
        (name, words_braced(inside, COMMA_SPACE).skip(1).collect())
    } else {
        (word, Vec::new())
    };
    if !name.contains(&b':') {
        warning!("malformed map specification: '{}'", word);
        warning!("expected maptype:mapname instead of '{}'", name);
        return None;
    }
    let mut order = None;
    for attribute in attributes {
        order = Some(search_attribute(word, attribute)?);
    }
    let order = match order {
        Some(value) => Some(search_order(word, value)?),
        None => None,
    };
    Some((name, order))
}

/// The value of `search_order = …`, with or without braces around it.
fn search_attribute<'a>(word: &[u8], attribute: &'a [u8]) -> Option<&'a [u8]> {
    let attribute = if attribute.first() == Some(&b'{') {
        match unbrace(attribute) {
            Ok(inside) => inside,
            Err(error) => {
                warning!("malformed map attribute: {}", error.to_string());
                return None;
            }
        }
    } else {
        attribute
    };
    match name_value(attribute) {
        Ok((name, value)) if name.eq_ignore_ascii_case(b"search_order") => Some(value),
        Ok((name, _)) => {
            warning!("unknown map attribute in '{}': '{}'", word, name);
            None
        }
        Err(error) => {
            warning!("malformed map attribute in '{}': '{}'", word, error.to_string());
            None
        }
    }
}

fn search_order(word: &[u8], value: &[u8]) -> Option<Vec<SearchKey>> {
    words(value, COMMA_SPACE)
        .map(|name| {
            let row = SEARCH_KEYS.iter().find(|(row, _)| row.as_bytes().eq_ignore_ascii_case(name));
            if row.is_none() {
                warning!("unknown search type '{}' in '{}'", name, word);
            }
            row.map(|(_, key)| *key)
        })
        .collect()
}

/// The names of the restriction classes, and their texts.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    pub(crate) texts: Vec<Vec<u8>>,
    places: BTreeMap<Vec<u8>, usize>,
}

impl Classes {
    /// Postfix's own class, then those of smtpd_restriction_classes.
    pub(crate) fn read(config: &Config) -> Result<Self, Fatal> {
        let mut classes = Self::default();
        for name in words(&config.smtpd_restriction_classes, COMMA_SPACE) {
            match config.text(name) {
                Some(text) if !text.is_empty() => classes.add(name, text),
                _ => return Err(fatal!("restriction class `{}' needs a definition", name)),
            }
        }
        let login_mismatch = b"reject_authenticated_sender_login_mismatch \
                               reject_unauthenticated_sender_login_mismatch";
        classes.add(b"reject_sender_login_mismatch", login_mismatch.to_vec());
        Ok(classes)
    }

    /// The names, in the order of the texts.
    pub(crate) fn names(&self) -> Vec<&[u8]> {
        let mut names: Vec<_> = self.places.iter().collect();
        names.sort_by_key(|(_, place)| **place);
        names.into_iter().map(|(name, _)| name.as_slice()).collect()
    }

    fn add(&mut self, name: &[u8], text: Vec<u8>) {
        self.places.insert(name.to_vec(), self.texts.len());
        self.texts.push(text);
    }
}

/// Compiles lists.
pub(crate) struct Compiler<'c, 't> {
    pub(crate) classes: &'c Classes,
    /// `None`: for a list from an access table, which has no tables.
    pub(crate) tables: Option<Tables<'t>>,
    /// Clients can log in.
    pub(crate) logins: bool,
}

impl Compiler<'_, '_> {
    /// Compiles `text`.
    pub(crate) fn list(&mut self, text: &[u8]) -> Result<List, Fatal> {
        let words: Vec<&[u8]> = words_braced(text, COMMA_SPACE).collect();
        self.open_tables(&words)?;
        let mut steps = Vec::new();
        let mut rest = words.as_slice();
        while let Some((word, after)) = rest.split_first() {
            let (act, taken) = self.step(word, after);
            if let Act::Missing(_) = act {
                if self.tables.is_some() {
                    warning!("{}{}", missing(word), DEFERRED);
                }
            }
            let next = after.first().map(|next| next.to_vec());
            let steady = remembered::is_steady(word, &act, next.is_none());
            steps.push(Step { name: word.to_vec(), next, act, steady });
            rest = after.get(taken..).unwrap_or_default();
        }
        steps.shrink_to_fit();
        Ok(List { steps })
    }

    /// Whether names of a client's certificate are looked up in some table.
    pub(crate) fn looks_up_names(&self) -> bool {
        let orders = self.tables.iter().flat_map(|tables| tables.searches.values());
        orders.filter_map(|it| it.order.as_deref()).flatten().any(|key| key.is_name())
    }

    fn open_tables(&mut self, words: &[&[u8]]) -> Result<(), Fatal> {
        let Some(tables) = &mut self.tables else { return Ok(()) };
        let mut last: &[u8] = b"";
        for word in words {
            if last.eq_ignore_ascii_case(b"check_policy_service") {
                check_server(word)?;
            } else if word.first() == Some(&b'{') || word.contains(&b':') {
                tables.register(word)?;
            }
            last = word;
        }
        Ok(())
    }

    fn argument(&self, word: &[u8]) -> Argument {
        match &self.tables {
            Some(tables) => tables.argument(word),
            None => Argument { text: word.to_vec(), table: None, search: None },
        }
    }

    /// What `word` is, and how many words after it are its argument.
    fn step(&self, word: &[u8], after: &[&[u8]]) -> (Act, usize) {
        if word.eq_ignore_ascii_case(b"warn_if_reject") {
            return (Act::WarnIfReject, 0);
        }
        if word.contains(&b':') {
            return (Act::DefaultTable(self.argument(word)), 0);
        }
        if let Some((name, check)) = rows::row(word) {
            return self.restriction(name, *check, word, after);
        }
        if let Some(place) = self.classes.places.get(word) {
            return (Act::Class(*place), 0);
        }
        (Act::Broken(fill!("unknown smtpd restriction: \"{}\"", word)), 0)
    }

    fn restriction(
        &self,
        name: &'static str,
        check: Check,
        word: &[u8],
        after: &[&[u8]],
    ) -> (Act, usize) {
        let table = || {
            let argument = after.first().copied().unwrap_or(word);
            if argument.contains(&b':') && !after.is_empty() {
                Ok(self.argument(argument))
            } else {
                Err(Act::Broken(fill!(
                    "restriction {}: bad argument \"{}\": need maptype:mapname",
                    name,
                    argument
                )))
            }
        };
        match check {
            Check::Plain(check) => (Act::Plain(check), 0),
            Check::Permit(check, class) => (Act::Permit(check, class), 0),
            Check::PermitAll => (Act::PermitAll, 0),
            Check::Last(check) => (Act::Last(check, name), 0),
            Check::Table(check) => {
                (table().map_or_else(|broken| broken, |table| Act::Table(check, table)), 1)
            }
            Check::Allowlist(check) => {
                (table().map_or_else(|broken| broken, |table| Act::Allowlist(check, table)), 1)
            }
            Check::Servers(class, kind) => {
                let servers = |table| Act::Servers(class, kind, table);
                (table().map_or_else(|broken| broken, servers), 1)
            }
            Check::DnsList(check) => dns_list(word, after, |list| Act::DnsList(check, list)),
            Check::DnsAllowlist(check) => {
                dns_list(word, after, |list| Act::DnsAllowlist(check, list))
            }
            Check::Sleep => match after.first().and_then(|word| seconds(word)) {
                Some(time) => (Act::Sleep(time), 1),
                None => (Act::Broken(b"restriction sleep must be followed by number".to_vec()), 0),
            },
            Check::WarnIfReject => (Act::WarnIfReject, 0),
            Check::Missing(Takes::Nothing, need) => (Act::Missing(need), 0),
            Check::Missing(Takes::Server, need) => match after.first() {
                Some(server) if server.contains(&b':') => (Act::Missing(need), 1),
                _ => {
                    let text = fill!("restriction {} must be followed by transport:server", name);
                    (Act::Broken(text), 0)
                }
            },
            Check::Login(check) if self.logins => (Act::Plain(check), 0),
            Check::Login(_) => {
                (Act::Ignored(fill!("restriction `{}' ignored: no SASL support", word)), 0)
            }
        }
    }
}

/// A restriction with a list in DNS, and how many words after it are its argument.
fn dns_list(word: &[u8], after: &[&[u8]], act: impl FnOnce(DnsList) -> Act) -> (Act, usize) {
    match after.first().map(|text| DnsList::parse(text)) {
        Some(Ok(list)) => (act(list), 1),
        Some(Err(bad)) => (Act::Broken(bad), 1),
        None => (Act::Ignored(fill!("restriction {} requires domain name argument", word)), 0),
    }
}

/// What check_policy_service names is looked at when this process starts, though it is not asked.
fn check_server(word: &[u8]) -> Result<(), Fatal> {
    let service = if word.first() == Some(&b'{') {
        let inside = unbrace(word).map_err(|_| fatal!("policy service syntax error: {}", word))?;
        let first = words_braced(inside, COMMA_SPACE).next();
        first.ok_or_else(|| fatal!("empty policy service: \"{}\"", word))?
    } else {
        word
    };
    let colon = service.iter().position(|byte| *byte == b':').unwrap_or(service.len());
    let (transport, endpoint) = service.split_at(colon);
    if transport.is_empty() || endpoint.len() < 2 {
        return Err(fatal!("need service transport:endpoint instead of \"{}\"", service));
    }
    if ![b"inet".as_slice(), b"local", b"unix"].contains(&transport) {
        return Err(fatal!("invalid transport name: {} in service: {}", transport, service));
    }
    Ok(())
}

/// What the start adds to [`missing`].
pub(crate) const DEFERRED: &str = "; mail is deferred where it is reached";

/// What is said of a restriction that this version does not have.
pub(crate) fn missing(name: &[u8]) -> Vec<u8> {
    fill!("restriction {} is not supported by this version of smtpd-rs", name)
}

/// A number of seconds, digits only; too large ones are the largest.
fn seconds(word: &[u8]) -> Option<Duration> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(word).ok()?.parse::<u32>().unwrap_or(u32::MAX);
    Some(Duration::from_secs(u64::from(number)))
}

/// Parameters that say what a failed lookup comes to.
pub(crate) fn check_tempfail_actions(config: &Config) -> Result<(), Fatal> {
    let rows = [
        ("unknown_helo_hostname_tempfail_action", &config.unknown_helo_hostname_tempfail_action),
        ("unknown_address_tempfail_action", &config.unknown_address_tempfail_action),
        ("unverified_recipient_tempfail_action", &config.unverified_recipient_tempfail_action),
        ("unverified_sender_tempfail_action", &config.unverified_sender_tempfail_action),
    ];
    for (name, value) in rows {
        let known = [b"defer".as_slice(), b"defer_if_permit"];
        if !known.iter().any(|word| value.eq_ignore_ascii_case(word)) {
            return Err(fatal!("bad configuration: {} = {}", name, value));
        }
    }
    Ok(())
}

/// One of these must be reached in smtpd_relay_restrictions or
/// smtpd_recipient_restrictions: people get relay control wrong too often.
const SAFETY_NET: &[&str] = &[
    "reject_unauth_destination",
    "defer_unauth_destination",
    "reject",
    "defer",
    "defer_if_permit",
    "check_relay_domains",
];

/// Refuses a configuration that may be an open relay. As Postfix: `has_required()`.
pub(crate) fn check_safety_net(config: &Config, classes: &Classes) -> Result<(), Fatal> {
    let lists = [&config.smtpd_recipient_restrictions, &config.smtpd_relay_restrictions];
    if lists.into_iter().any(|text| has_safety_net(text, classes, 0)) {
        return Ok(());
    }
    let (last, first) = SAFETY_NET.split_last().unwrap_or((&"", &[]));
    Err(fatal!(
        "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least \
         one working instance of: {} or {}",
        first.join(", "),
        *last
    ))
}

fn has_safety_net(text: &[u8], classes: &Classes, depth: usize) -> bool {
    // A class may name itself.
    if depth > classes.texts.len() {
        return false;
    }
    let mut words = words_braced(text, COMMA_SPACE).peekable();
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case(b"warn_if_reject") && words.peek().is_some() {
            words.next();
            continue;
        }
        if word.eq_ignore_ascii_case(b"permit") {
            if let Some(next) = words.peek() {
                warning!("restriction `{}' after `{}' is ignored", next, word);
            }
            return false;
        }
        if SAFETY_NET.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(word)) {
            return true;
        }
        let class = classes.places.get(word).and_then(|place| classes.texts.get(*place));
        if class.is_some_and(|text| has_safety_net(text, classes, depth + 1)) {
            return true;
        }
    }
    false
}
