//! Local parts with and without quotes, and text in comments.
//!
//! Inside, an address has no quotes: `a b@c`. Outside it is `"a b"@c`. The last `@` of the internal
//! form begins the domain.

/// The external form of an internal address. As Postfix: `quote_822_local()`.
pub fn external(address: &[u8]) -> Vec<u8> {
    quoted(address, route_length(address), |byte| matches!(byte, b'"' | b'\\' | b'\r'))
}

/// The same as a path of SMTP. As Postfix: `quote_821_local()`.
pub fn external_path(address: &[u8]) -> Vec<u8> {
    quoted(address, 0, |byte| matches!(byte, b'"' | b'\\' | b'\r' | b'\n'))
}

fn quoted(address: &[u8], start: usize, escape: impl Fn(u8) -> bool) -> Vec<u8> {
    let (route, rest) = address.split_at(start);
    let at = memchr::memrchr(b'@', rest).unwrap_or(rest.len());
    let (local, domain) = rest.split_at(at);
    if is_dot_string(local) {
        return address.to_vec();
    }
    let mut out = Vec::with_capacity(address.len() + 4);
    out.extend_from_slice(route);
    out.push(b'"');
    for &byte in local {
        if escape(byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    out.extend_from_slice(domain);
    out
}

/// Whether a local part may stand without quotes; bytes from 0x80 on may.
fn is_dot_string(local: &[u8]) -> bool {
    let special = |byte: &u8| byte.is_ascii_control() || b" ()<>@,;:\\\"[]".contains(byte);
    !local.is_empty()
        && !local.iter().any(special)
        && local.split(|b| *b == b'.').all(|part| !part.is_empty())
}

/// The internal form of an external address. As Postfix: `unquote_822_local()`: what stands after
/// the last `@` outside quotes stays as it is.
pub fn internal(address: &[u8]) -> Vec<u8> {
    let (route, rest) = address.split_at(route_length(address));
    let mut out = route.to_vec();
    let mut in_quotes = false;
    // Where the domain begins: in the result, and in `rest`.
    let mut domain = None;
    let mut bytes = rest.iter().enumerate();
    while let Some((i, &byte)) = bytes.next() {
        match byte {
            b'"' => {
                in_quotes = !in_quotes;
                continue;
            }
            b'@' if !in_quotes => domain = Some((out.len(), i)),
            b'\\' => {
                if let Some((_, &escaped)) = bytes.next() {
                    out.push(escaped);
                }
                continue;
            }
            _ => {}
        }
        out.push(byte);
    }
    if let Some((end, start)) = domain {
        out.truncate(end);
        out.extend_from_slice(&rest[start..]);
    }
    out
}

/// The length of a source route (`@a,@b:`) before an address, 0 if there is none.
fn route_length(address: &[u8]) -> usize {
    if address.first() != Some(&b'@') {
        return 0;
    }
    address.iter().position(|byte| *byte == b':').map_or(0, |colon| colon + 1)
}

/// `text` as it may stand in a comment of our Received: header: printable ASCII, no backslash,
/// parentheses in pairs. As Postfix: `comment_sanitize()`.
pub fn comment(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut open = 0usize;
    for &byte in text {
        match byte {
            b')' if open == 0 => out.push(b'?'),
            b'(' | b')' => {
                open = if byte == b'(' { open + 1 } else { open - 1 };
                out.push(byte);
            }
            b' '..=b'~' if byte != b'\\' => out.push(byte),
            _ => out.push(b'?'),
        }
    }
    out.resize(out.len() + open, b')');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_parts_that_need_it_are_quoted() {
        for (inside, outside) in [
            ("a.b@c", "a.b@c"),
            ("ü@c", "ü@c"),
            ("a b@c", "\"a b\"@c"),
            ("a@b@c", "\"a@b\"@c"),
            ("a\"\\\r@c", "\"a\\\"\\\\\\\r\"@c"),
            (".a@c", "\".a\"@c"),
            ("a.@c", "\"a.\"@c"),
            ("a..b@c", "\"a..b\"@c"),
            ("@c", "\"\"@c"),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("@x,@y:a b@c", "@x,@y:\"a b\"@c"),
            ("a\x01@c", "\"a\x01\"@c"),
            ("a!b%c|d@e", "a!b%c|d@e"),
        ] {
            assert_eq!(external(inside.as_bytes()), outside.as_bytes());
            assert_eq!(internal(outside.as_bytes()), inside.as_bytes());
        }
        assert_eq!(external_path(b"@x,@y:a b@c"), b"\"@x,@y:a b\"@c");
        assert_eq!(external_path(b"a\nb@c"), b"\"a\\\nb\"@c");
    }

    #[test]
    fn what_stands_after_the_last_at_keeps_its_quotes() {
        assert_eq!(internal(b"\"a\"@\"b c\""), b"a@\"b c\"");
        assert_eq!(internal(b"a@b@\"c\\d\""), b"a@b@\"c\\d\"");
        assert_eq!(internal(b"\"a@b"), b"a@b");
        assert_eq!(internal(b"a\\"), b"a");
        assert_eq!(internal(b"a\\@b"), b"a@b");
    }

    #[test]
    fn a_comment_cannot_be_left() {
        assert_eq!(comment(b"a(b)c"), b"a(b)c");
        assert_eq!(comment(b"a)b("), b"a?b()");
        assert_eq!(comment(b"a\\)\r\n(("), b"a????(())");
        assert_eq!(comment("ü".as_bytes()), b"??");
    }
}
