//! Host names, network addresses and ports as text, and domain literals.
//!
//! What is well formed, and the words for what is not, are those of Postfix (`valid_hostname()`,
//! `valid_mailhost_addr()`, `midna_domain_to_ascii()`): laxer than RFC 1123 with `_`, stricter with
//! names of digits alone. Whoever wants only the answer uses `.is_ok()`; whoever also tells the
//! postmaster logs the error.

use std::borrow::Cow;
use std::cell::Cell;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use crate::text::printable::printable;

/// Longest label of a host name.
const LABEL_LIMIT: usize = 63;
/// Longest host name.
const NAME_LIMIT: usize = 255;
/// As much of a bad value as a log line shows.
const SHOWN_LIMIT: usize = 100;
/// Room that Postfix has for the address in a literal (`MAI_HOSTADDR_STRSIZE`).
const LITERAL_LIMIT: usize = 46;

/// What is wrong with a name or an address; shows as Postfix's log line, without severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadHost(String);

fn bad<T>(text: &[u8]) -> Result<T, BadHost> {
    let text = printable(text, b'?', true);
    Err(BadHost(String::from_utf8_lossy(&text).into_owned()))
}

fn shown(name: &[u8]) -> &[u8] {
    &name[..name.len().min(SHOWN_LIMIT)]
}

/// Whether `name` is a host name: letters, digits, `_`, `-` and `.`; labels up to 63, the whole up
/// to 255 bytes; not digits alone. As Postfix: `valid_hostname()`.
pub fn valid_hostname(name: &[u8]) -> Result<(), BadHost> {
    check_hostname(name, false)
}

/// The same for a name in DNS, whose first label may be `*` (RFC 1034, section 4.3.3).
pub fn valid_dns_name(name: &[u8]) -> Result<(), BadHost> {
    check_hostname(name, true)
}

fn check_hostname(name: &[u8], wildcard: bool) -> Result<(), BadHost> {
    if name.is_empty() {
        return bad(b"valid_hostname: empty hostname");
    }
    let mut label_length = 0;
    let mut numeric = true;
    for (i, &byte) in name.iter().enumerate() {
        let next = name.get(i + 1);
        match byte {
            b'.' => {
                if label_length == 0 || next.is_none() {
                    return bad(&fill!("valid_hostname: misplaced delimiter: {}", shown(name)));
                }
                label_length = 0;
            }
            b'-' => {
                numeric = false;
                if label_length == 0 || matches!(next, None | Some(b'.')) {
                    return bad(&fill!("valid_hostname: misplaced hyphen: {}", shown(name)));
                }
                label_length += 1;
            }
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
                label_length += 1;
                if label_length > LABEL_LIMIT {
                    return bad(&fill!("valid_hostname: hostname label too long: {}", shown(name)));
                }
                numeric &= byte.is_ascii_digit();
            }
            b'*' if wildcard => {
                if i > 0 || !matches!(next, None | Some(b'.')) {
                    return bad(&fill!(
                        "valid_hostname: '*' can be the first label only: {}",
                        shown(name)
                    ));
                }
                label_length = 1;
                numeric = false;
            }
            _ => {
                return bad(&fill!(
                    "valid_hostname: invalid character {}(decimal): {}",
                    byte,
                    shown(name)
                ));
            }
        }
    }
    if numeric {
        return bad(&fill!("valid_hostname: numeric hostname: {}", shown(name)));
    }
    if name.len() > NAME_LIMIT {
        return bad(&fill!("valid_hostname: bad length {} for {}...", name.len(), shown(name)));
    }
    Ok(())
}

/// Whether `addr` is a network address without brackets or prefix. As Postfix: `valid_hostaddr()`.
pub fn valid_address(addr: &[u8]) -> Result<(), BadHost> {
    if addr.is_empty() {
        return bad(b"valid_hostaddr: empty address");
    }
    if addr.contains(&b':') { valid_ipv6(addr) } else { valid_ipv4(addr) }
}

/// Whether `addr` is an IPv4 address of four decimal numbers; only `0.0.0.0` may start with 0.
/// As Postfix: `valid_ipv4_hostaddr()`.
pub fn valid_ipv4(addr: &[u8]) -> Result<(), BadHost> {
    let mut octets = 0;
    let mut value = 0;
    let mut in_octet = false;
    for (i, &byte) in addr.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if !in_octet {
                    in_octet = true;
                    value = 0;
                    octets += 1;
                }
                value = value * 10 + u32::from(byte - b'0');
                if value > 255 {
                    return bad(&fill!(
                        "valid_ipv4_hostaddr: invalid octet value: {}",
                        shown(addr)
                    ));
                }
            }
            b'.' => {
                if !in_octet || i + 1 == addr.len() {
                    return bad(&fill!("valid_ipv4_hostaddr: misplaced dot: {}", shown(addr)));
                }
                let all_zero = || addr.iter().all(|byte| matches!(byte, b'0' | b'.'));
                if octets == 1 && value == 0 && !all_zero() {
                    return bad(&fill!(
                        "valid_ipv4_hostaddr: bad initial octet value: {}",
                        shown(addr)
                    ));
                }
                in_octet = false;
            }
            _ => {
                return bad(&fill!(
                    "valid_ipv4_hostaddr: invalid character {}(decimal): {}",
                    byte,
                    shown(addr)
                ));
            }
        }
    }
    if octets != 4 {
        return bad(&fill!("valid_ipv4_hostaddr: invalid octet count: {}", shown(addr)));
    }
    Ok(())
}

/// Whether `addr` looks like an IPv6 address. As Postfix: `valid_ipv6_hostaddr()`, which does not
/// count the fields (`1:2:3` passes): whoever needs an address parses it too.
pub fn valid_ipv6(addr: &[u8]) -> Result<(), BadHost> {
    let mut colons = 0;
    // The number of colons before the second of `::`; 0 while there was none.
    let mut null_field = 0;
    let mut digits = 0;
    let mut rest = addr;
    loop {
        match rest.first() {
            None if colons < 2 => {
                return bad(&fill!(
                    "valid_ipv6_hostaddr: too few `:' in IPv6 address: {}",
                    shown(addr)
                ));
            }
            None if digits == 0 && null_field != colons - 1 => {
                return bad(&fill!(
                    "valid_ipv6_hostaddr: bad null last field in IPv6 address: {}",
                    shown(addr)
                ));
            }
            None => return Ok(()),
            Some(b'.') if !(2..=6).contains(&colons) => {
                return bad(&fill!(
                    "valid_ipv6_hostaddr: malformed IPv4-in-IPv6 address: {}",
                    shown(addr)
                ));
            }
            Some(b'.') => return valid_ipv4(&addr[addr.len() - rest.len() - digits..]),
            Some(b':') => {
                let next = rest.get(1).copied().unwrap_or(0);
                if colons == 0 && digits == 0 && next.is_ascii_alphanumeric() {
                    return bad(&fill!(
                        "valid_ipv6_hostaddr: bad null first field in IPv6 address: {}",
                        shown(addr)
                    ));
                }
                colons += 1;
                if colons > 7 {
                    return bad(&fill!(
                        "valid_ipv6_hostaddr: too many `:' in IPv6 address: {}",
                        shown(addr)
                    ));
                }
                rest = &rest[1..];
                digits = 0;
                if next == b':' {
                    if null_field > 0 {
                        return bad(&fill!(
                            "valid_ipv6_hostaddr: too many `::' in IPv6 address: {}",
                            shown(addr)
                        ));
                    }
                    null_field = colons;
                }
            }
            Some(&byte) => {
                digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                if digits > 4 {
                    return bad(&fill!(
                        "valid_ipv6_hostaddr: malformed IPv6 address: {}",
                        shown(addr)
                    ));
                }
                if digits == 0 {
                    return bad(&fill!(
                        "valid_ipv6_hostaddr: invalid character {}(decimal) in IPv6 address: {}",
                        byte,
                        shown(addr)
                    ));
                }
                rest = &rest[digits..];
            }
        }
    }
}

/// The bare address in `addr` as mail writes it: an IPv6 address has the prefix `IPv6:`
/// (RFC 5321, section 4.1.3). As Postfix: `valid_mailhost_addr()`.
pub fn mail_address(addr: &[u8]) -> Result<&[u8], BadHost> {
    match addr.split_at_checked(5) {
        Some((prefix, bare)) if prefix.eq_ignore_ascii_case(b"ipv6:") => {
            valid_ipv6(bare).map(|()| bare)
        }
        _ => valid_ipv4(addr).map(|()| addr),
    }
}

/// Whether `literal` is a domain literal: `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
/// As Postfix: `valid_mailhost_literal()`.
pub fn valid_literal(literal: &[u8]) -> Result<(), BadHost> {
    let Some(inside) = literal.strip_prefix(b"[") else {
        return bad(&fill!("valid_mailhost_literal: '[' expected at start: {}", shown(literal)));
    };
    match inside.iter().position(|byte| *byte == b']') {
        None => bad(&fill!("valid_mailhost_literal: ']' expected at end: {}", shown(literal))),
        Some(end) if end + 1 < inside.len() => {
            bad(&fill!("valid_mailhost_literal: unexpected text after ']': {}", shown(literal)))
        }
        Some(end) if end >= LITERAL_LIMIT => {
            bad(&fill!("valid_mailhost_literal: too much text: {}", shown(literal)))
        }
        Some(end) => mail_address(&inside[..end]).map(|_| ()),
    }
}

/// Whether `port` is a port number without leading zero. As Postfix: `valid_hostport()`.
pub fn valid_port(port: &[u8]) -> Result<(), BadHost> {
    if port.starts_with(b"0") && port.len() > 1 {
        return bad(&fill!("valid_hostport: leading zero in port number: {}", shown(port)));
    }
    if port.is_empty() || !port.iter().all(u8::is_ascii_digit) {
        return bad(&fill!("valid_hostport: non-numeric port number: {}", shown(port)));
    }
    let value = std::str::from_utf8(port).ok().and_then(|port| port.parse::<u16>().ok());
    match value {
        Some(_) => Ok(()),
        None => bad(&fill!("valid_hostport: out-of-range port number: {}", shown(port))),
    }
}

/// Whether `name` is a host name, or with `utf8` an internationalised one.
/// As Postfix: `valid_utf8_hostname()`.
pub fn valid_utf8_hostname(name: &[u8], utf8: bool) -> Result<(), BadHost> {
    if name.is_empty() {
        return bad(b"valid_utf8_hostname: empty domain name");
    }
    if utf8 && !name.is_ascii() {
        return match domain_to_ascii(name) {
            Ok(_) => Ok(()),
            Err(_) => bad(b"valid_utf8_hostname: malformed UTF-8 domain name"),
        };
    }
    valid_hostname(name)
}

thread_local! {
    static IDNA2003: Cell<bool> = const { Cell::new(false) };
}

/// enable_idna2003_compatibility: UTS #46 is applied as for the names of IDNA2003 (transitional) by
/// this thread from now on.
pub fn use_idna2003(transitional: bool) {
    IDNA2003.set(transitional);
}

/// What UTS #46 makes of its deviation characters where it is applied as for IDNA2003: all else
/// is the same.
fn without_deviations(name: &str) -> Cow<'_, str> {
    let deviates = |c: char| matches!(c, 'ß' | 'ẞ' | 'ς' | '\u{200c}' | '\u{200d}');
    if !IDNA2003.get() || !name.contains(deviates) {
        return name.into();
    }
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            'ß' | 'ẞ' => out.push_str("ss"),
            'ς' => out.push('σ'),
            '\u{200c}' | '\u{200d}' => {}
            _ => out.push(c),
        }
    }
    out.into()
}

/// The A-label form of a domain (RFC 5890), by UTS #46, without the STD 3 rules.
/// As Postfix: `midna_domain_to_ascii()`; unlike there, the rules for joiners and for the order of
/// left-to-right and right-to-left letters (RFC 5892, RFC 5893) hold.
pub fn domain_to_ascii(name: &[u8]) -> Result<Vec<u8>, BadHost> {
    let wrong = |why: &str| {
        bad(&fill!(
            "midna_domain_to_ascii_create: Problem translating domain \"{}\" to ASCII form: {}",
            shown(name),
            why
        ))
    };
    let Ok(utf8) = std::str::from_utf8(name) else { return wrong("malformed UTF-8") };
    let mapped = without_deviations(utf8);
    let name = mapped.as_bytes();
    let ascii =
        Uts46::new().to_ascii(name, AsciiDenyList::EMPTY, Hyphens::Check, DnsLength::Verify);
    match ascii {
        Err(_) => wrong(idna_trouble(name)),
        Ok(ascii) if valid_hostname(ascii.as_bytes()).is_err() => wrong("malformed ASCII label(s)"),
        Ok(Cow::Borrowed(ascii)) => Ok(ascii.as_bytes().to_vec()),
        Ok(Cow::Owned(ascii)) => Ok(ascii.into_bytes()),
    }
}

/// The U-label form of a domain. As Postfix: `midna_domain_to_utf8()`.
pub fn domain_to_utf8(name: &[u8]) -> Result<Vec<u8>, BadHost> {
    let mapped = std::str::from_utf8(name).map(without_deviations);
    let plain = mapped.as_ref().map_or(name, |mapped| mapped.as_bytes());
    let (utf8, result) = Uts46::new().to_unicode(plain, AsciiDenyList::EMPTY, Hyphens::Check);
    if result.is_err() || utf8.is_empty() {
        return bad(&fill!(
            "midna_domain_to_utf8_create: Problem translating domain \"{}\" to UTF8 form: {}",
            shown(name),
            idna_trouble(plain)
        ));
    }
    domain_to_ascii(utf8.as_bytes())?;
    Ok(utf8.into_owned().into_bytes())
}

/// The name that the ICU library, on which Postfix builds, has for what is wrong with `name`.
/// ICU may name several; this is the first.
fn idna_trouble(name: &[u8]) -> &'static str {
    let (utf8, _) = Uts46::new().to_unicode(name, AsciiDenyList::EMPTY, Hyphens::Allow);
    let labels = || utf8.split('.');
    // An A-label that cannot be decoded keeps its hyphens, and has a mark.
    let undecoded =
        |label: &str| label.contains("--") && label.contains(char::REPLACEMENT_CHARACTER);
    let hyphens_inside = |label: &str| label.chars().skip(2).take(2).filter(|c| *c == '-').count();
    if labels().any(str::is_empty) {
        "UIDNA_ERROR_EMPTY_LABEL"
    } else if labels().any(|label| label.starts_with('-')) {
        "UIDNA_ERROR_LEADING_HYPHEN"
    } else if labels().any(|label| label.ends_with('-')) {
        "UIDNA_ERROR_TRAILING_HYPHEN"
    } else if labels().any(undecoded) {
        "UIDNA_ERROR_PUNYCODE"
    } else if labels().any(|label| hyphens_inside(label) == 2) {
        "UIDNA_ERROR_HYPHEN_3_4"
    } else if utf8.contains(char::REPLACEMENT_CHARACTER) {
        "UIDNA_ERROR_DISALLOWED"
    } else if has_long_label(name) {
        "UIDNA_ERROR_LABEL_TOO_LONG"
    } else {
        "UIDNA_ERROR_DOMAIN_NAME_TOO_LONG"
    }
}

fn has_long_label(name: &[u8]) -> bool {
    let ascii =
        Uts46::new().to_ascii(name, AsciiDenyList::EMPTY, Hyphens::Check, DnsLength::Ignore);
    ascii.is_ok_and(|ascii| ascii.split('.').any(|label| label.len() > LABEL_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(result: Result<(), BadHost>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn host_names_have_letters_digits_underscores_and_hyphens() {
        for good in ["a", "a.b", "mail_1.example.com", "1.a", "a--b.c", "1-2", "x.1"] {
            assert_eq!(valid_hostname(good.as_bytes()), Ok(()), "{good}");
        }
        assert_eq!(valid_hostname(&[b'a'; 63]), Ok(()));
    }

    #[test]
    fn bad_host_names_are_told_in_the_words_of_the_original() {
        for (name, text) in [
            ("", "valid_hostname: empty hostname"),
            ("a..b", "valid_hostname: misplaced delimiter: a..b"),
            (".a", "valid_hostname: misplaced delimiter: .a"),
            ("a.", "valid_hostname: misplaced delimiter: a."),
            ("-a", "valid_hostname: misplaced hyphen: -a"),
            ("a-.b", "valid_hostname: misplaced hyphen: a-.b"),
            ("a-", "valid_hostname: misplaced hyphen: a-"),
            ("a b", "valid_hostname: invalid character 32(decimal): a b"),
            ("12.34", "valid_hostname: numeric hostname: 12.34"),
            ("ü.de", "valid_hostname: invalid character 195(decimal): ü.de"),
        ] {
            assert_eq!(words(valid_hostname(name.as_bytes())), text);
        }
        let long = [b'a'; 64];
        assert!(
            words(valid_hostname(&long))
                .starts_with("valid_hostname: hostname label too long: aaa")
        );
        let long = b"a.".repeat(128);
        let text = words(valid_hostname(&[&long[..], b"b"].concat()));
        assert_eq!(text, format!("valid_hostname: bad length 257 for {}...", "a.".repeat(50)));
    }

    #[test]
    fn control_bytes_do_not_reach_the_log() {
        assert_eq!(
            words(valid_hostname(b"a\r\nb")),
            "valid_hostname: invalid character 13(decimal): a??b"
        );
    }

    #[test]
    fn addresses_are_those_of_the_original() {
        for good in ["1.2.3.4", "0.0.0.0", "255.255.255.255", "::", "::1", "1::", "2001:db8::1"] {
            assert_eq!(valid_address(good.as_bytes()), Ok(()), "{good}");
        }
        for good in
            ["::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "1:2:3", "1:2:3:4:5:6:1.2.3.4", "001.2.3.4"]
        {
            assert_eq!(valid_address(good.as_bytes()), Ok(()), "{good}");
        }
        for (addr, text) in [
            ("", "valid_hostaddr: empty address"),
            ("1.2.3", "valid_ipv4_hostaddr: invalid octet count: 1.2.3"),
            ("1.2.3.256", "valid_ipv4_hostaddr: invalid octet value: 1.2.3.256"),
            ("1..2.3", "valid_ipv4_hostaddr: misplaced dot: 1..2.3"),
            ("1.2.3.4.", "valid_ipv4_hostaddr: misplaced dot: 1.2.3.4."),
            ("0.1.2.3", "valid_ipv4_hostaddr: bad initial octet value: 0.1.2.3"),
            ("1.2.3.x", "valid_ipv4_hostaddr: invalid character 120(decimal): 1.2.3.x"),
            (":1", "valid_ipv6_hostaddr: bad null first field in IPv6 address: :1"),
            ("1:2", "valid_ipv6_hostaddr: too few `:' in IPv6 address: 1:2"),
            ("1:2:", "valid_ipv6_hostaddr: bad null last field in IPv6 address: 1:2:"),
            ("1::2::3", "valid_ipv6_hostaddr: too many `::' in IPv6 address: 1::2::3"),
            (
                "1:2:3:4:5:6:7:8:9",
                "valid_ipv6_hostaddr: too many `:' in IPv6 address: 1:2:3:4:5:6:7:8:9",
            ),
            ("12345::", "valid_ipv6_hostaddr: malformed IPv6 address: 12345::"),
            ("::g", "valid_ipv6_hostaddr: invalid character 103(decimal) in IPv6 address: ::g"),
            ("1:2.3.4.5", "valid_ipv6_hostaddr: malformed IPv4-in-IPv6 address: 1:2.3.4.5"),
            ("::1.2.3", "valid_ipv4_hostaddr: invalid octet count: 1.2.3"),
        ] {
            assert_eq!(words(valid_address(addr.as_bytes())), text);
        }
    }

    #[test]
    fn literals_need_brackets_and_the_ipv6_prefix() {
        assert_eq!(valid_literal(b"[1.2.3.4]"), Ok(()));
        assert_eq!(valid_literal(b"[ipV6:2001:db8::1]"), Ok(()));
        assert_eq!(mail_address(b"IPv6:::1"), Ok(&b"::1"[..]));
        for (literal, text) in [
            ("1.2.3.4", "valid_mailhost_literal: '[' expected at start: 1.2.3.4"),
            ("[1.2.3.4", "valid_mailhost_literal: ']' expected at end: [1.2.3.4"),
            ("[1.2.3.4]x", "valid_mailhost_literal: unexpected text after ']': [1.2.3.4]x"),
            ("[::1]", "valid_ipv4_hostaddr: invalid character 58(decimal): ::1"),
            ("[]", "valid_ipv4_hostaddr: invalid octet count: "),
        ] {
            assert_eq!(words(valid_literal(literal.as_bytes())), text);
        }
        let long = [&b"["[..], &[b'1'; 46], b"]"].concat();
        assert!(
            words(valid_literal(&long)).starts_with("valid_mailhost_literal: too much text: [")
        );
    }

    #[test]
    fn ports_are_up_to_65535_without_leading_zero() {
        for good in ["0", "25", "65535"] {
            assert_eq!(valid_port(good.as_bytes()), Ok(()));
        }
        for (port, text) in [
            ("", "valid_hostport: non-numeric port number: "),
            ("025", "valid_hostport: leading zero in port number: 025"),
            ("smtp", "valid_hostport: non-numeric port number: smtp"),
            ("65536", "valid_hostport: out-of-range port number: 65536"),
            (
                "99999999999999999999",
                "valid_hostport: out-of-range port number: 99999999999999999999",
            ),
        ] {
            assert_eq!(words(valid_port(port.as_bytes())), text);
        }
    }

    #[test]
    fn names_beyond_ascii_have_an_ascii_form() {
        assert_eq!(domain_to_ascii("Bücher.example".as_bytes()).unwrap(), b"xn--bcher-kva.example");
        assert_eq!(domain_to_ascii("faß.de".as_bytes()).unwrap(), b"xn--fa-hia.de");
        assert_eq!(domain_to_utf8(b"xn--bcher-kva.example").unwrap(), "bücher.example".as_bytes());
        assert_eq!(valid_utf8_hostname("ü.de".as_bytes(), true), Ok(()));
        assert!(valid_utf8_hostname("ü.de".as_bytes(), false).is_err());
    }

    #[test]
    fn names_may_be_those_of_idna2003() {
        let ascii = |name: &str| domain_to_ascii(name.as_bytes()).map_err(|bad| bad.to_string());
        use_idna2003(true);
        assert_eq!(ascii("faß.βόλος.a\u{200d}b"), Ok(b"fass.xn--nxasmq6b.ab".to_vec()));
        assert_eq!(ascii("xn--fa-hia.de"), Ok(b"xn--fa-hia.de".to_vec()));
        assert!(ascii("\u{200c}.de").unwrap_err().ends_with(": UIDNA_ERROR_EMPTY_LABEL"));
        assert_eq!(domain_to_utf8("FAẞ.DE".as_bytes()).unwrap(), b"fass.de");
        assert!(domain_to_utf8(b"\xff.de").is_err());
        use_idna2003(false);
        assert_eq!(ascii("faß.de"), Ok(b"xn--fa-hia.de".to_vec()));
    }

    #[test]
    fn a_name_without_ascii_form_says_why() {
        let text = |name: &[u8]| domain_to_ascii(name).unwrap_err().to_string();
        let text_of = |name: &str| text(name.as_bytes()).rsplit(": ").next().unwrap().to_string();
        assert_eq!(
            text(b"\xff.de"),
            "midna_domain_to_ascii_create: Problem translating domain \"?.de\" to ASCII form: malformed UTF-8"
        );
        assert_eq!(text_of("ü..de"), "UIDNA_ERROR_EMPTY_LABEL");
        assert_eq!(text_of("-ü.de"), "UIDNA_ERROR_LEADING_HYPHEN");
        assert_eq!(text_of("ab--ü.de"), "UIDNA_ERROR_HYPHEN_3_4");
        assert_eq!(text_of("xn--0.ü"), "UIDNA_ERROR_PUNYCODE");
        assert_eq!(text_of("\u{2028}.ü"), "UIDNA_ERROR_DISALLOWED");
        assert_eq!(text_of(&"ü".repeat(64)), "UIDNA_ERROR_LABEL_TOO_LONG");
        let long = vec!["ü".repeat(20); 12].join(".");
        assert_eq!(text_of(&long), "UIDNA_ERROR_DOMAIN_NAME_TOO_LONG");
        assert_eq!(text_of("ü a.de"), "malformed ASCII label(s)");
        assert_eq!(
            words(valid_utf8_hostname("-ü.de".as_bytes(), true)),
            "valid_utf8_hostname: malformed UTF-8 domain name"
        );
    }
}
