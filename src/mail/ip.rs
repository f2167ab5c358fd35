//! Numeric addresses as text, both ways, in the words of the C library.

use std::net::{IpAddr, Ipv4Addr};

use super::hostname::valid_address;

/// Longest text of an address. As C: `INET6_ADDRSTRLEN`, without the NUL.
const LONGEST: usize = 45;

/// The address that `text` is. As getaddrinfo(3): a number in an IPv4 address that begins with 0
/// is octal.
pub fn parse(text: &[u8]) -> Option<IpAddr> {
    if text.len() > LONGEST || valid_address(text).is_err() {
        return None;
    }
    if text.contains(&b':') {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let mut octets = text.split(|byte| *byte == b'.').map(octet);
    let address = [octets.next()??, octets.next()??, octets.next()??, octets.next()??];
    Some(Ipv4Addr::from(address).into())
}

fn octet(digits: &[u8]) -> Option<u8> {
    let base = if digits.len() > 1 && digits.starts_with(b"0") { 8 } else { 10 };
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, base).ok()
}

/// An address as getnameinfo(3) writes it: an IPv4-compatible one ends in dots.
pub fn text(address: IpAddr) -> Vec<u8> {
    if let IpAddr::V6(six) = address {
        if let [0, 0, 0, 0, 0, 0, high, low] = six.segments() {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            if high != 0 {
                return format!("::{}", Ipv4Addr::new(a, b, c, d)).into_bytes();
            }
        }
    }
    address.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(given: &str) -> Option<String> {
        parse(given.as_bytes()).map(|address| String::from_utf8(text(address)).unwrap())
    }

    #[test]
    fn addresses_have_one_form() {
        for (given, wanted) in [
            ("192.0.2.7", "192.0.2.7"),
            ("0.0.0.0", "0.0.0.0"),
            ("192.00.02.010", "192.0.2.8"),
            ("2001:DB8:0:0::07", "2001:db8::7"),
            ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
            ("::192.0.2.7", "::192.0.2.7"),
            ("::1", "::1"),
            ("::", "::"),
        ] {
            assert_eq!(both(given).as_deref(), Some(wanted), "{given}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        let long = format!("1.2.3.{}4", "0".repeat(40));
        for given in ["", "1.2.3", "1.2.3.4.", "1.2.3.256", "192.0.2.08", "1:2:3", "::1%lo", &long]
        {
            assert_eq!(both(given), None, "{given}");
        }
    }
}
