//! Parts and forms of addresses in internal form.

use crate::mail::quote;

/// The domain: what stands after the last `@`; `None` where there is no `@`.
pub fn domain(address: &[u8]) -> Option<&[u8]> {
    memchr::memrchr(b'@', address).map(|at| &address[at + 1..])
}

/// The local part: what stands before the last `@`.
pub fn local_part(address: &[u8]) -> &[u8] {
    memchr::memrchr(b'@', address).map_or(address, |at| &address[..at])
}

/// Whether an address is `user@host.domain` of plain words: letters, digits, `-`, `_`, `+`, `=` and
/// dots between them. Such an address has no other form.
pub fn is_plain(address: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_+=".contains(byte);
    let words = |part: &[u8]| {
        part.split(|byte| *byte == b'.').all(|w| !w.is_empty() && w.iter().all(plain))
    };
    let Some(at) = memchr::memchr(b'@', address) else { return false };
    let (local, domain) = (&address[..at], &address[at + 1..]);
    words(local) && words(domain) && domain.contains(&b'.')
}

/// What decides where a local part may be split into user and extension.
#[derive(Debug, Clone, Copy)]
pub struct Extension<'a> {
    /// recipient_delimiter: any of these characters.
    pub delimiters: &'a [u8],
    /// double_bounce_sender, which is never split.
    pub double_bounce_sender: &'a [u8],
    /// owner_request_special: with `-` as delimiter, `owner-list` and `list-request` stay whole.
    pub owner_request_special: bool,
}

impl Extension<'_> {
    /// User and extension of a local part; `None` where it is whole. As Postfix:
    /// `split_addr_internal()`.
    pub fn split<'t>(&self, local: &'t [u8]) -> Option<(&'t [u8], &'t [u8])> {
        let at = local.iter().position(|byte| self.delimiters.contains(byte))?;
        if at == 0 || self.is_whole(local) {
            return None;
        }
        Some((&local[..at], &local[at + 1..]))
    }

    /// The address without extension; `None` where it has none. As Postfix: `strip_addr()`.
    pub fn strip(&self, address: &[u8]) -> Option<Vec<u8>> {
        let local = local_part(address);
        let (user, _) = self.split(local)?;
        Some(fill!("{}{}", user, &address[local.len()..]))
    }

    fn is_whole(&self, local: &[u8]) -> bool {
        [b"postmaster", b"mailer-daemon" as &[u8], self.double_bounce_sender]
            .iter()
            .any(|name| local.eq_ignore_ascii_case(name))
            || (self.delimiters.contains(&b'-')
                && self.owner_request_special
                && is_owner_or_request(local))
    }
}

fn is_owner_or_request(local: &[u8]) -> bool {
    let starts = local.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"owner-"));
    let (head, tail) = local.split_at(local.len().saturating_sub(8));
    starts || (!head.is_empty() && tail.eq_ignore_ascii_case(b"-request"))
}

/// How addresses look in logs: info_log_address_format in postconf(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// With quotes where they are needed.
    External,
    /// Without.
    Internal,
}

impl LogForm {
    /// Reads the value of info_log_address_format.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"external") {
            Some(Self::External)
        } else if text.eq_ignore_ascii_case(b"internal") {
            Some(Self::Internal)
        } else {
            None
        }
    }

    /// `address` as a log shows it; the null address stays empty.
    pub fn of(self, address: &[u8]) -> Vec<u8> {
        if address.is_empty() || self == Self::Internal {
            address.to_vec()
        } else {
            quote::external(address)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extension(delimiters: &[u8]) -> Extension<'_> {
        let double_bounce_sender = b"double-bounce";
        Extension { delimiters, double_bounce_sender, owner_request_special: true }
    }

    #[test]
    fn the_last_at_begins_the_domain() {
        assert_eq!(domain(b"a@b@c"), Some(&b"c"[..]));
        assert_eq!(domain(b"a@"), Some(&b""[..]));
        assert_eq!(domain(b"a"), None);
        assert_eq!(local_part(b"a@b@c"), b"a@b");
        assert_eq!(local_part(b"a"), b"a");
    }

    #[test]
    fn an_extension_starts_at_the_first_delimiter() {
        let plus = extension(b"+-");
        assert_eq!(plus.split(b"a+b+c"), Some((&b"a"[..], &b"b+c"[..])));
        assert_eq!(plus.split(b"a-b+c"), Some((&b"a"[..], &b"b+c"[..])));
        assert_eq!(plus.split(b"a+"), Some((&b"a"[..], &b""[..])));
        assert_eq!(plus.split(b"+a"), None);
        assert_eq!(plus.split(b"a"), None);
        assert_eq!(extension(b"").split(b"a+b"), None);
        assert_eq!(plus.strip(b"a+b@c"), Some(b"a@c".to_vec()));
        assert_eq!(plus.strip(b"a@c+d"), None);
    }

    #[test]
    fn names_of_the_mail_system_stay_whole() {
        let minus = extension(b"-");
        for whole in [&b"Mailer-Daemon"[..], b"Double-Bounce", b"OWNER-list", b"list-Request"] {
            assert_eq!(minus.split(whole), None);
        }
        assert_eq!(minus.split(b"x-requests"), Some((&b"x"[..], &b"requests"[..])));
        let plain = Extension { owner_request_special: false, ..minus };
        assert_eq!(plain.split(b"owner-list"), Some((&b"owner"[..], &b"list"[..])));
    }

    #[test]
    fn logs_show_the_external_form() {
        assert_eq!(LogForm::External.of(b"a b@c"), b"\"a b\"@c");
        assert_eq!(LogForm::External.of(b""), b"");
        assert_eq!(LogForm::parse(b"Internal").unwrap().of(b"a b@c"), b"a b@c");
        assert_eq!(LogForm::parse(b"both"), None);
    }
}
