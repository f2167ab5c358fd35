//! Patterns of addresses: `192.0.2.0/24`, `2001:db8::/32`, `[2001:db8::1]`, as in cidr_table(5)
//! and in match lists.

use std::net::IpAddr;

use ipnet::IpNet;

/// The network that `pattern` means; an error is Postfix's text.
///
/// Brackets may stand around the address or around all. Bits behind the mask must be 0.
pub fn parse(pattern: &[u8]) -> Result<IpNet, Vec<u8>> {
    let (address, mask) = split(pattern)?;
    let Some(mask) = mask else {
        return match ip(address) {
            Some(ip) => Ok(IpNet::from(ip)),
            None => Err(fill!("bad address pattern: \"{}\"", address)),
        };
    };
    let wrong = |what: &str| fill!("{} in \"{}/{}\"", what, address, mask);
    let bits = bits(mask).ok_or_else(|| wrong("bad mask value"))?;
    if bits > if address.contains(&b':') { 128 } else { 32 } {
        return Err(wrong("bad mask length"));
    }
    let net = ip(address).and_then(|ip| IpNet::new(ip, bits).ok());
    let net = net.ok_or_else(|| wrong("bad network value"))?;
    if net.trunc() != net {
        return Err(fill!(
            "non-null host address bits in \"{}/{}\", perhaps you should use \"{}/{}\" instead",
            address,
            mask,
            net.network(),
            bits
        ));
    }
    Ok(net)
}

/// The address that `text` is, as inet_pton(3) reads it.
pub fn ip(text: &[u8]) -> Option<IpAddr> {
    let text_form = std::str::from_utf8(text).ok()?;
    if text.contains(&b':') {
        text_form.parse().ok().map(IpAddr::V6)
    } else {
        text_form.parse().ok().map(IpAddr::V4)
    }
}

/// An address, and the mask behind it.
type Parts<'a> = (&'a [u8], Option<&'a [u8]>);

/// Address and mask of a pattern, without brackets.
fn split(pattern: &[u8]) -> Result<Parts<'_>, Vec<u8>> {
    let Some(inside) = pattern.strip_prefix(b"[") else {
        return Ok(at_slash(pattern));
    };
    let Some(end) = memchr::memchr(b']', inside) else {
        return Err(fill!("missing ']' character after \"[{}\"", inside));
    };
    let (inside, after) = (&inside[..end], &inside[end + 1..]);
    match after {
        [] => Ok(at_slash(inside)),
        [b'/', mask @ ..] => Ok((inside, Some(mask))),
        _ => Err(fill!("garbage after \"[{}]\"", inside)),
    }
}

fn at_slash(text: &[u8]) -> Parts<'_> {
    match memchr::memchr(b'/', text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// The number of bits that `mask` says. As Postfix, which keeps it in a byte: 264 means 8.
fn bits(mask: &[u8]) -> Option<u8> {
    if mask.is_empty() || !mask.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |bits: u8, byte: &u8| bits.wrapping_mul(10).wrapping_add(byte - b'0');
    Some(mask.iter().fold(0, digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pattern: &str) -> String {
        match parse(pattern.as_bytes()) {
            Ok(net) => net.to_string(),
            Err(text) => String::from_utf8(text).unwrap(),
        }
    }

    #[test]
    fn networks_may_have_brackets() {
        assert_eq!(said("192.0.2.0/24"), "192.0.2.0/24");
        assert_eq!(said("[192.0.2.0/24]"), "192.0.2.0/24");
        assert_eq!(said("[2001:db8::]/32"), "2001:db8::/32");
        assert_eq!(said("[2001:db8::1]"), "2001:db8::1/128");
        assert_eq!(said("0.0.0.0/0"), "0.0.0.0/0");
    }

    #[test]
    fn errors_have_postfixs_words() {
        for (pattern, text) in [
            ("[1.2.3.4", "missing ']' character after \"[1.2.3.4\""),
            ("[1.2.3.4]x", "garbage after \"[1.2.3.4]\""),
            ("1.2.3.4/x", "bad mask value in \"1.2.3.4/x\""),
            ("1.2.3.4/", "bad mask value in \"1.2.3.4/\""),
            ("1.2.3.4/33", "bad mask length in \"1.2.3.4/33\""),
            ("1.2.3/8", "bad network value in \"1.2.3/8\""),
            ("[1.2.3.0/24]/8", "bad network value in \"1.2.3.0/24/8\""),
            ("1.2.3", "bad address pattern: \"1.2.3\""),
            (
                "2001:DB8::1/32",
                "non-null host address bits in \"2001:DB8::1/32\", \
                 perhaps you should use \"2001:db8::/32\" instead",
            ),
        ] {
            assert_eq!(said(pattern), text);
        }
    }
}
