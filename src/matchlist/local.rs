//! Which mail is for this machine: mydestination, and domain literals of its own addresses.

use std::net::IpAddr;

use super::MatchList;
use crate::config::Config;
use crate::log::Fatal;
use crate::mail::hostname::mail_address;
use crate::table::address::AddressSearch;
use crate::table::{Opener, TableError, network};

/// The domains of this machine.
pub struct LocalDomains {
    mydestination: MatchList,
    /// inet_interfaces and proxy_interfaces.
    addresses: Vec<IpAddr>,
}

impl LocalDomains {
    /// Opens mydestination.
    pub fn open(opener: &mut Opener, config: &Config) -> Result<Self, Fatal> {
        let mydestination =
            MatchList::strings(opener, config, "mydestination", &config.mydestination)?;
        let mut addresses = config.own_addresses.clone();
        addresses.extend(config.proxy_addresses()?);
        Ok(Self { mydestination, addresses })
    }

    /// Whether mail for `domain` is for this machine. As Postfix: `resolve_local()`: one dot at the
    /// end doesn't count.
    pub fn has(&self, domain: &[u8]) -> Result<bool, TableError> {
        let domain = domain.strip_suffix(b".").unwrap_or(domain);
        if domain.is_empty() || domain.ends_with(b".") {
            return Ok(false);
        }
        Ok(self.mydestination.matches_string(domain)? || self.is_own_literal(domain))
    }

    fn is_own_literal(&self, domain: &[u8]) -> bool {
        let inside = domain.strip_prefix(b"[").and_then(|domain| domain.strip_suffix(b"]"));
        let address = inside.and_then(|inside| match mail_address(inside) {
            Ok(address) => network::ip(address),
            Err(bad) => {
                warning!("{}", bad.to_string());
                None
            }
        });
        address.is_some_and(|address| self.addresses.contains(&address))
    }
}

impl AddressSearch {
    /// A search with this configuration.
    pub fn open(config: &Config, opener: &mut Opener) -> Result<Self, Fatal> {
        let local = LocalDomains::open(opener, config)?;
        Ok(Self {
            delimiters: config.recipient_delimiter.clone(),
            double_bounce_sender: config.double_bounce_sender.clone(),
            owner_request_special: config.owner_request_special,
            origin: config.myorigin.clone(),
            utf8: config.smtputf8_enable,
            is_local: Box::new(move |domain| local.has(domain)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_domains_and_own_literals_are_local() {
        let config =
            Config::of_text("mydestination = a.example, fail:x\nproxy_interfaces = 192.0.2.9\n")
                .unwrap();
        let local = LocalDomains::open(&mut Opener::new(&config), &config).unwrap();
        assert_eq!(local.has(b"A.example"), Ok(true));
        assert_eq!(local.has(b"a.example."), Ok(true));
        assert_eq!(local.has(b"a.example.."), Ok(false));
        assert_eq!(local.has(b""), Ok(false));
        assert_eq!(local.has(b"."), Ok(false));
        assert_eq!(local.has(b"b.example"), Err(TableError::Retry));
        let config =
            Config::of_text("mydestination = a.example\nproxy_interfaces = 192.0.2.9\n").unwrap();
        let local = LocalDomains::open(&mut Opener::new(&config), &config).unwrap();
        assert_eq!(local.has(b"[127.0.0.1]"), Ok(true));
        assert_eq!(local.has(b"[192.0.2.9]"), Ok(true));
        assert_eq!(local.has(b"[ipv6:::1]"), Ok(true));
        assert_eq!(local.has(b"[192.0.2.1]"), Ok(false));
        assert_eq!(local.has(b"[::1]"), Ok(false));
        assert_eq!(local.has(b"192.0.2.9"), Ok(false));
    }
}
