//! Our addresses (inet_protocols, inet_interfaces), and the networks of which they are part
//! (mynetworks_style).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Facts;
use crate::log::Fatal;
use crate::sys::interfaces::{self, Interface};
use crate::sys::names::{self, Family};
use crate::text::split::{COMMA_SPACE, words};

impl Facts<'_> {
    /// Finds out which families inet_protocols wants and the kernel has.
    pub(super) fn find_families(&mut self) -> Result<(), Fatal> {
        let names = self.noted("inet_protocols");
        let (mut ipv4, mut ipv6) = (false, false);
        for name in words(names, COMMA_SPACE) {
            match name {
                b"all" => (ipv4, ipv6) = (true, true),
                b"ipv4" => ipv4 = true,
                b"ipv6" => ipv6 = true,
                _ => {
                    return Err(fatal!(
                        "unknown inet_protocols value \"{}\" in \"{}\"",
                        name,
                        names
                    ));
                }
            }
        }
        self.interfaces = self.local_interfaces()?;
        // An address shows that the kernel has the family.
        let has = |ipv6: bool| {
            self.imagined || self.interfaces.iter().any(|one| one.address.is_ipv6() == ipv6)
        };
        let (has_ipv4, has_ipv6) = (has(false), has(true));
        self.ipv6 = ipv6 && (has_ipv6 || family_works("IPv6", interfaces::ipv6_works())?);
        self.ipv4 = ipv4 && (has_ipv4 || family_works("IPv4", interfaces::ipv4_works())?);
        Ok(())
    }

    /// Finds the addresses that inet_interfaces means, each with its network.
    pub(super) fn find_interfaces(&mut self) -> Result<(), Fatal> {
        let mut local = std::mem::take(&mut self.interfaces);
        if !self.ipv4 && !self.ipv6 {
            return Ok(());
        }
        local.retain(|interface| self.speaks(interface.address));
        if local.is_empty() {
            return Err(fatal!("could not find any active network interfaces"));
        }
        local.sort_by_key(|interface| interface.address.is_ipv6());
        self.interfaces = match self.noted("inet_interfaces") {
            b"all" => local,
            b"loopback-only" => {
                local.into_iter().filter(|interface| interface.address.is_loopback()).collect()
            }
            hosts => self.named_interfaces(hosts, &local)?,
        };
        Ok(())
    }

    fn local_interfaces(&self) -> Result<Vec<Interface>, Fatal> {
        if self.imagined {
            return Ok(loopback_interfaces());
        }
        interfaces::up()
            .map_err(|error| fatal!("inet_addr_local[getifaddrs]: getifaddrs: {}", error))
    }

    fn named_interfaces(&self, hosts: &[u8], local: &[Interface]) -> Result<Vec<Interface>, Fatal> {
        let mut found: Vec<Interface> = Vec::new();
        for address in self.resolve("inet_interfaces", hosts)? {
            match local.iter().find(|interface| interface.address == address) {
                Some(interface) => found.push(interface.clone()),
                None if self.imagined => found.push(Interface::single(address)),
                None => {
                    return Err(fatal!(
                        "parameter inet_interfaces: no local interface found for {}",
                        address
                    ));
                }
            }
        }
        Ok(found)
    }

    /// The addresses of `hosts`, each once.
    fn resolve(&self, parameter: &str, hosts: &[u8]) -> Result<Vec<IpAddr>, Fatal> {
        addresses_of(hosts, |address| self.speaks(address))
            .map_err(|host| fatal!("config variable {}: host not found: {}", parameter, host))
    }

    fn speaks(&self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }

    /// The networks of our addresses (mynetworks_style).
    pub(super) fn networks(&self, style: &[u8]) -> Result<Vec<u8>, Fatal> {
        if !self.ipv4 && !self.ipv6 {
            return Ok(Vec::new());
        }
        let style = Style::of(style, self.noted("mynetworks_style"))?;
        let mut networks: Vec<Vec<u8>> = Vec::new();
        for interface in &self.interfaces {
            let network = style.network(interface)?;
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        Ok(networks.concat())
    }
}

fn family_works(name: &str, works: std::io::Result<bool>) -> Result<bool, Fatal> {
    match works {
        Ok(true) => Ok(true),
        Ok(false) => {
            warning!(
                "inet_protocols: disabling {} name/address support: \
                 Address family not supported by protocol",
                name
            );
            Ok(false)
        }
        Err(error) => Err(fatal!("socket: {}", error)),
    }
}

/// The addresses of the machine that unit tests see.
fn loopback_interfaces() -> Vec<Interface> {
    vec![
        Interface { address: Ipv4Addr::LOCALHOST.into(), prefix: 8 },
        Interface { address: Ipv6Addr::LOCALHOST.into(), prefix: 128 },
    ]
}

/// The addresses of `hosts` (names, or addresses with or without `[]`), each once; or the host
/// that has none.
pub(in crate::config) fn addresses_of(
    hosts: &[u8],
    wanted: impl Fn(IpAddr) -> bool,
) -> Result<Vec<IpAddr>, Vec<u8>> {
    let mut found = Vec::new();
    for host in words(hosts, b" \t,") {
        let before = found.len();
        let mut known = false;
        for address in addresses_of_host(host).into_iter().filter(|address| wanted(*address)) {
            known = true;
            if !found.contains(&address) {
                found.push(address);
            }
        }
        if !known {
            debug_assert_eq!(found.len(), before);
            return Err(host.to_vec());
        }
    }
    Ok(found)
}

fn addresses_of_host(host: &[u8]) -> Vec<IpAddr> {
    let inside = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
    let inside = inside.strip_prefix(b"IPv6:").unwrap_or(inside);
    let literal = std::str::from_utf8(inside).ok().and_then(|text| text.parse().ok());
    match literal {
        Some(address) => vec![address],
        None => names::addresses_of(inside, Family::Any).unwrap_or_default(),
    }
}

#[derive(Debug, Clone, Copy)]
enum Style {
    Host,
    Subnet,
    Class,
}

impl Style {
    /// The one style that `text` names; `shown` is for the report.
    fn of(text: &[u8], shown: &[u8]) -> Result<Self, Fatal> {
        let mut found = Vec::new();
        for word in words(text, COMMA_SPACE) {
            found.push(match word {
                b"host" => Self::Host,
                b"subnet" => Self::Subnet,
                b"class" => Self::Class,
                _ => {
                    return Err(fatal!(
                        "unknown mynetworks mask style value \"{}\" in \"{}\"",
                        word,
                        text
                    ));
                }
            });
        }
        match found.as_slice() {
            [style] => Ok(*style),
            _ => Err(fatal!("bad mynetworks_style value: {}; specify exactly one value", shown)),
        }
    }

    /// The network of an interface, as it stands in mynetworks, with a blank behind it.
    fn network(self, interface: &Interface) -> Result<Vec<u8>, Fatal> {
        match interface.address {
            IpAddr::V4(address) => {
                let prefix = match self {
                    Self::Host => 32,
                    Self::Subnet => interface.prefix,
                    Self::Class => class_prefix(address)?,
                };
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                let network = IpAddr::from(Ipv4Addr::from(address.to_bits() & mask));
                Ok(fill!("{}/{} ", network, prefix))
            }
            IpAddr::V6(address) => {
                let prefix = if matches!(self, Self::Host) { 128 } else { interface.prefix };
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                let network = IpAddr::from(Ipv6Addr::from(address.to_bits() & mask));
                Ok(fill!("[{}]/{} ", network, prefix))
            }
        }
    }
}

fn class_prefix(address: Ipv4Addr) -> Result<u8, Fatal> {
    match address.octets()[0] {
        0..=127 => Ok(8),
        128..=191 => Ok(16),
        192..=223 => Ok(24),
        224..=239 => Ok(4),
        240.. => Err(fatal!("mynetworks_core: unknown address class: {}", IpAddr::V4(address))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Config;

    fn fatal(main_cf: &str) -> String {
        String::from_utf8(Config::of_text(main_cf).unwrap_err().0).unwrap()
    }

    #[test]
    fn mynetworks_has_the_networks_of_the_interfaces() {
        let networks = |main_cf: &str| Config::of_text(main_cf).unwrap().mynetworks.clone();
        assert_eq!(networks(""), b"127.0.0.0/8 [::1]/128 ");
        assert_eq!(networks("compatibility_level = 2"), b"127.0.0.1/32 [::1]/128 ");
        assert_eq!(networks("inet_protocols = ipv4"), b"127.0.0.0/8 ");
        assert_eq!(
            networks(
                "inet_interfaces = 192.0.2.9, [2001:db8::9] 192.0.2.9\nmynetworks_style = class"
            ),
            b"192.0.2.0/24 [2001:db8::9]/128 "
        );
        assert_eq!(networks("inet_protocols ="), b"");
    }

    #[test]
    fn the_style_of_mynetworks_is_one() {
        assert_eq!(
            fatal("mynetworks_style = host, class"),
            "bad mynetworks_style value: host, class; specify exactly one value"
        );
        assert_eq!(
            fatal("mynetworks_style = all"),
            "unknown mynetworks mask style value \"all\" in \"all\""
        );
    }
}
