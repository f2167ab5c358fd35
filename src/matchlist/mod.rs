//! Lists of hosts, domains and other names: mynetworks, relay_domains, smtpd_noop_commands….
//!
//! ```text
//! host.example  .example       a name, or what stands below it
//! 192.0.2.0/24  [2001:db8::1]  an address or a network
//! type:name                    whatever the table has
//! /file                        the patterns in the file
//! !pattern                     not what the pattern matches
//! ```
//!
//! The first pattern that matches counts. Where parent_domain_matches_subdomains has the list,
//! `example.com` matches the names below it too, else only `.example.com` does.
#![forbid(unsafe_code)]

pub mod local;
mod parse;
mod pattern;
#[cfg(test)]
mod script;

use pattern::{Item, Key};

use crate::config::Config;
use crate::log::{Fatal, verbose};
use crate::table::{Opener, TableError};
use crate::text::fold::fold;
use crate::text::split::{COMMA_SPACE, words};

/// What a list tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Hosts: a name and an address are asked together.
    HostOrAddress,
    /// Domains.
    Domain,
    /// Any texts, which match as a whole.
    String,
}

/// A list of patterns.
pub struct MatchList {
    parameter: Vec<u8>,
    items: Vec<Item>,
    /// A name stands for the names below it.
    parents: bool,
    /// smtputf8_enable.
    utf8: bool,
    /// What goes wrong is the end of the process in Postfix.
    strict: bool,
}

impl MatchList {
    /// Opens the list that `parameter` has. Hosts and domains look for their own name in
    /// parent_domain_matches_subdomains.
    pub fn open(
        opener: &mut Opener,
        config: &Config,
        parameter: &str,
        patterns: &[u8],
        kind: Kind,
    ) -> Result<Self, Fatal> {
        let style = Some(parameter);
        match kind {
            Kind::HostOrAddress => Self::hosts(opener, config, parameter, patterns, style),
            Kind::Domain => Self::domains(opener, config, parameter, patterns, style),
            Kind::String => Self::strings(opener, config, parameter, patterns),
        }
    }

    /// Opens a list of hosts. `style` is the name that parent_domain_matches_subdomains may have
    /// for it.
    pub fn hosts(
        opener: &mut Opener,
        config: &Config,
        parameter: &str,
        patterns: &[u8],
        style: Option<&str>,
    ) -> Result<Self, Fatal> {
        let parents = parents(opener, config, style)?;
        let list = Self::strings(opener, config, parameter, patterns)?;
        Ok(Self { parents, ..list })
    }

    /// Opens a list of domains. Only for relay_domains an error is Postfix's end.
    pub fn domains(
        opener: &mut Opener,
        config: &Config,
        parameter: &str,
        patterns: &[u8],
        style: Option<&str>,
    ) -> Result<Self, Fatal> {
        let list = Self::hosts(opener, config, parameter, patterns, style)?;
        Ok(Self { strict: parameter == "relay_domains", ..list })
    }

    /// Opens a list of texts.
    pub fn strings(
        opener: &mut Opener,
        config: &Config,
        parameter: &str,
        patterns: &[u8],
    ) -> Result<Self, Fatal> {
        let utf8 = config.smtputf8_enable;
        let items = parse::items(opener, parameter, patterns, config)?;
        let parameter = parameter.as_bytes().to_vec();
        Ok(Self { parameter, items, parents: false, utf8, strict: false })
    }

    /// Whether the list has the host of this name and address.
    pub fn matches_host(&self, name: &[u8], addr: &[u8]) -> Result<bool, TableError> {
        let (name, addr) = (fold(name, self.utf8), fold(addr, self.utf8));
        self.first_match(&[Key::name(&name, self.parents), Key::address(&addr)])
    }

    /// Whether the list has the domain.
    pub fn matches_domain(&self, domain: &[u8]) -> Result<bool, TableError> {
        self.first_match(&[Key::name(&fold(domain, self.utf8), self.parents)])
    }

    /// Whether the list has the text.
    pub fn matches_string(&self, text: &[u8]) -> Result<bool, TableError> {
        self.first_match(&[Key::text(&fold(text, self.utf8))])
    }

    /// What the first pattern says that matches any of the keys.
    fn first_match(&self, keys: &[Key<'_>]) -> Result<bool, TableError> {
        for item in &self.items {
            for key in keys {
                match item.pattern.matches(key) {
                    Ok(true) => return Ok(item.wanted),
                    Ok(false) => {}
                    Err((error, text)) => return Err(self.report(error, &text)),
                }
            }
        }
        for key in keys {
            detail!("match_list_match: {}: {}: no match", self.parameter, key.shown());
        }
        Ok(false)
    }

    fn report(&self, error: TableError, text: &[u8]) -> TableError {
        if self.strict {
            error!("{}: {}", self.parameter, text);
        } else {
            warning!("{}: {}", self.parameter, text);
        }
        error
    }
}

/// Whether parent_domain_matches_subdomains has `style`.
pub fn parents(opener: &mut Opener, config: &Config, style: Option<&str>) -> Result<bool, Fatal> {
    let Some(style) = style else { return Ok(false) };
    let parameter = "parent_domain_matches_subdomains";
    let patterns = &config.parent_domain_matches_subdomains;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-., ".contains(byte);
    if patterns.iter().all(plain) && verbose() == 0 {
        // As usual, nothing but names: there is no need of a list.
        return Ok(
            words(patterns, COMMA_SPACE).any(|name| name.eq_ignore_ascii_case(style.as_bytes()))
        );
    }
    let list = MatchList::strings(opener, config, parameter, patterns)?;
    list.matches_string(style.as_bytes()).map_err(|_| fatal!("{}: table lookup problem", parameter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    const STYLE: &str = "mynetworks";

    fn list(patterns: &str) -> MatchList {
        opened(patterns, Some(STYLE)).unwrap()
    }

    fn opened(patterns: &str, style: Option<&str>) -> Result<MatchList, Fatal> {
        let config = Config::of_text("smtputf8_enable = yes\n").unwrap();
        captured::take();
        let mut opener = Opener::new(&config);
        MatchList::hosts(&mut opener, &config, "mynetworks", patterns.as_bytes(), style)
    }

    fn host(patterns: &str, name: &str, addr: &str) -> Result<bool, TableError> {
        list(patterns).matches_host(name.as_bytes(), addr.as_bytes())
    }

    #[test]
    fn a_list_has_hosts_by_name_or_address() {
        for (patterns, name, addr, there) in [
            ("dummy", "dummy", "", true),
            ("dummy", "other", "192.0.2.1", false),
            ("Foo.Com", "a.FOO.com", "192.0.2.1", true),
            ("foo.com", "foo.com", "192.0.2.1", true),
            ("foo.com", "afoo.com", "192.0.2.1", false),
            (".foo.com", "a.foo.com", "192.0.2.1", false),
            ("192.0.2.0/24", "x", "192.0.2.77", true),
            ("192.0.2.0/24", "x", "192.0.3.77", false),
            ("192.0.2.1", "x", "192.0.2.1", true),
            ("[192.0.2.1]", "x", "192.0.2.1", true),
            ("[192.0.2.0/24]", "x", "192.0.2.1", true),
            ("[192.0.2.0]/24", "x", "192.0.2.1", true),
            ("0.0.0.0/0", "x", "192.0.2.1", true),
            ("[2001:db8::]/32", "x", "2001:db8::1", true),
            ("[2001:db8::]/32", "x", "192.0.2.1", false),
            ("[2001:DB8:0:0:0:0:0:1]", "x", "2001:db8::1", true),
            ("[::]/0", "x", "192.0.2.1", false),
            ("192.0.2.1/33", "x", "2001:db8::1", false),
            ("192.0.2.1/8", "x", "unknown", false),
            ("192.0.2.1/8x", "x", "192.0.2.1", false),
            ("", "x", "192.0.2.1", false),
        ] {
            let found = host(patterns, name, addr);
            assert_eq!(found, Ok(there), "{patterns} {name} {addr}");
        }
    }

    #[test]
    fn without_parent_style_only_a_dot_means_the_names_below() {
        let has = |patterns: &str, name: &str| {
            opened(patterns, None).unwrap().matches_domain(name.as_bytes()).unwrap()
        };
        assert!(has(".foo.com", "a.foo.com"));
        assert!(!has(".foo.com", "foo.com"));
        assert!(!has("foo.com", "a.foo.com"));
        assert!(has(".foo.com", ".foo.com"));
        assert!(has("inline:{.foo.com=x}", "a.b.foo.com"));
        assert!(!has("inline:{foo.com=x}", "a.foo.com"));
    }

    #[test]
    fn the_first_pattern_that_matches_counts() {
        assert_eq!(host("!a.foo.com, foo.com", "a.foo.com", "1.2.3.4"), Ok(false));
        assert_eq!(host("!a.foo.com, foo.com", "b.foo.com", "1.2.3.4"), Ok(true));
        assert_eq!(host("!!foo.com", "foo.com", "1.2.3.4"), Ok(true));
        // The name is asked before the address, pattern by pattern.
        assert_eq!(host("!1.2.3.4 foo.com", "foo.com", "1.2.3.4"), Ok(false));
        assert_eq!(host("foo.com !1.2.3.4", "foo.com", "1.2.3.4"), Ok(true));
    }

    #[test]
    fn a_pattern_may_be_a_table() {
        assert_eq!(host("inline:{foo.com=x}", "a.foo.com", "1.2.3.4"), Ok(true));
        assert_eq!(host("inline:{1.2.3.4=x}", "a", "1.2.3.4"), Ok(true));
        assert_eq!(host("!inline:{foo.com=x}, a.foo.com", "a.foo.com", ""), Ok(false));
        assert_eq!(host("cidr:{{1.0.0.0/8 x}}", "a", "1.2.3.4"), Ok(true));
        // Parents are not asked in tables of patterns.
        assert_eq!(host("regexp:{{/^foo/ x}}", "a.foo.com", "1.2.3.4"), Ok(false));
        assert_eq!(host("static:x", "a", "1.2.3.4"), Ok(true));
    }

    #[test]
    fn an_error_ends_the_search() {
        assert_eq!(host("1.2.3.4/8, foo.com", "b", "1.2.3.4"), Err(TableError::Retry));
        assert_eq!(
            captured::take(),
            ["warning: mynetworks: non-null host address bits in \"1.2.3.4/8\", \
              perhaps you should use \"1.0.0.0/8\" instead"]
        );
        assert_eq!(host("fail:x, foo.com", "foo.com", ""), Err(TableError::Retry));
        assert_eq!(captured::take(), ["warning: mynetworks: fail:x: table lookup problem"]);
        // A pattern before it may have said enough.
        assert_eq!(host("b, 1.2.3.4/8", "b", "1.2.3.4"), Ok(true));
    }

    #[test]
    fn a_bare_ipv6_address_is_taken_for_a_table() {
        assert!(opened("2001:db8::1", None).is_ok());
        assert_eq!(captured::take(), ["error: unsupported dictionary type: 2001"]);
    }

    #[test]
    fn case_does_not_count() {
        let config = Config::of_text("smtputf8_enable = yes\n").unwrap();
        let mut opener = Opener::new(&config);
        let open = |opener: &mut Opener, patterns: &str| {
            let patterns = patterns.as_bytes();
            MatchList::open(opener, &config, "smtpd_noop_commands", patterns, Kind::String)
        };
        let list = open(&mut opener, "HELP, Ärger inline:{foo=x}").unwrap();
        assert_eq!(list.matches_string(b"help"), Ok(true));
        assert_eq!(list.matches_string("äRGER".as_bytes()), Ok(true));
        assert_eq!(list.matches_string(b"FOO"), Ok(true));
        assert_eq!(list.matches_string(b"a.help"), Ok(false));
        assert!(!list.parents);
    }

    #[test]
    fn the_style_is_found_by_name() {
        let config = Config::of_text("parent_domain_matches_subdomains = a, !b, c\n").unwrap();
        let mut opener = Opener::new(&config);
        let mut has = |style| parents(&mut opener, &config, style).unwrap();
        assert!(has(Some("a")) && has(Some("c")));
        assert!(!has(Some("b")) && !has(Some("d")) && !has(None));
    }

    #[test]
    fn an_error_in_relay_domains_is_graver() {
        let config = Config::of_text("").unwrap();
        let mut opener = Opener::new(&config);
        captured::take();
        let list = MatchList::open(&mut opener, &config, "relay_domains", b"fail:x", Kind::Domain);
        assert_eq!(list.unwrap().matches_domain(b"a"), Err(TableError::Retry));
        assert_eq!(captured::take(), ["error: relay_domains: fail:x: table lookup problem"]);
    }
}
