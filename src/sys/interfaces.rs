//! The addresses of this machine.

use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, socket};

/// An address of ours, and how many bits of it name its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The address.
    pub address: IpAddr,
    /// Length of the network prefix, in bits.
    pub prefix: u8,
}

impl Interface {
    /// An address that is a network of its own.
    pub fn single(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

/// The addresses of the interfaces that are up and have a netmask.
pub fn up() -> io::Result<Vec<Interface>> {
    let mut found = Vec::new();
    for interface in getifaddrs()? {
        let address = interface.address.as_ref().and_then(ip);
        let mask = interface.netmask.as_ref().and_then(ip);
        if let (true, Some(address), Some(mask)) =
            (interface.flags.contains(InterfaceFlags::IFF_UP), address, mask)
        {
            if !address.is_unspecified() {
                found.push(Interface { address, prefix: prefix(mask) });
            }
        }
    }
    Ok(found)
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    if let Some(address) = address.as_sockaddr_in() {
        return Some(IpAddr::V4(address.ip()));
    }
    address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()))
}

fn prefix(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    u8::try_from(ones).unwrap_or(0)
}

/// Whether the kernel has IPv4.
pub fn ipv4_works() -> io::Result<bool> {
    works(AddressFamily::Inet)
}

/// Whether the kernel has IPv6.
pub fn ipv6_works() -> io::Result<bool> {
    works(AddressFamily::Inet6)
}

fn works(family: AddressFamily) -> io::Result<bool> {
    match socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None) {
        Ok(_) => Ok(true),
        Err(Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_one_of_ours() {
        let found = up().unwrap();
        assert!(found.iter().all(|interface| !interface.address.is_unspecified()));
        assert!(ipv4_works().unwrap());
    }

    #[test]
    fn the_prefix_is_what_the_mask_keeps() {
        assert_eq!(prefix("255.255.254.0".parse().unwrap()), 23);
        assert_eq!(prefix("ffff:ffff:ffff:ffff::".parse().unwrap()), 64);
        assert_eq!(prefix("0.0.0.0".parse().unwrap()), 0);
    }
}
