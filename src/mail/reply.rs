//! SMTP replies (RFC 5321, section 4.2) with enhanced status codes (RFC 2034).

/// A reply: one line, or several separated by CR LF (EHLO, Milters). No line has a CR, LF or NUL
/// in it; the code stands at the start of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply(Vec<u8>);

impl Reply {
    /// The reply in `line`; CR, LF and NUL, which a client could have put in, become `?`, all else
    /// goes back as it came, as in Postfix. Use [`reply!`](crate::reply).
    pub fn new(mut line: Vec<u8>) -> Self {
        make_one_line(&mut line);
        Self(line)
    }

    /// A reply of several lines, each without CR LF; the code stands in the first only.
    pub fn lines(lines: &[Vec<u8>]) -> Self {
        let mut all = Vec::new();
        for (i, line) in lines.iter().enumerate() {
            if i > 0 {
                all.extend_from_slice(b"\r\n");
            }
            let mut line = line.clone();
            make_one_line(&mut line);
            all.extend_from_slice(&line);
        }
        Self(all)
    }

    /// The text, code included, without the CR LF at its end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn make_one_line(line: &mut [u8]) {
    for byte in line {
        if matches!(byte, b'\r' | b'\n' | 0) {
            *byte = b'?';
        }
    }
}

/// Whether `text` starts with a reply code from 200 to 599.
pub const fn starts_with_code(text: &str) -> bool {
    let text = text.as_bytes();
    text.len() >= 3
        && text[0] >= b'2'
        && text[0] <= b'5'
        && text[1].is_ascii_digit()
        && text[2].is_ascii_digit()
        && (text.len() == 3 || text[3] == b' ')
}

/// Whether `text` starts with three digits of a reply and `-`, blank or its end.
pub fn is_reply(text: &[u8]) -> bool {
    text.len() >= 3
        && matches!(text[0], b'2'..=b'5')
        && text[1..3].iter().all(u8::is_ascii_digit)
        && matches!(text.get(3), None | Some(b' ' | b'-'))
}

/// The length of the enhanced status code (`5.7.1`) at the start of `text`; 0 if there is none.
/// As Postfix: `dsn_valid()`.
pub fn enhanced_code_length(text: &[u8]) -> usize {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !matches!(text.first(), Some(b'2' | b'4' | b'5')) || text.get(1) != Some(&b'.') {
        return 0;
    }
    let subject = digits(&text[2..]);
    if !(1..=3).contains(&subject) || text.get(2 + subject) != Some(&b'.') {
        return 0;
    }
    let detail = digits(&text[3 + subject..]);
    let len = 3 + subject + detail;
    if !(1..=3).contains(&detail) || !matches!(text.get(len), None | Some(b' ' | b'\t')) {
        return 0;
    }
    len
}

/// Makes a reply from the very line that the client will see: `reply!("250 2.1.0 Ok")`.
///
/// Control bytes in the values become `?`, so no value can add a line.
#[macro_export]
macro_rules! reply {
    ($line:literal $(, $value:expr)* $(,)?) => {{
        const _: () = assert!(
            $crate::mail::reply::starts_with_code($line)
                || matches!($line.as_bytes(), [b'{', b'}', ..]),
            "a reply starts with its code"
        );
        $crate::mail::reply::Reply::new($crate::fill!($line $(, $value)*))
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_put_a_line_break_into_a_reply() {
        let arg: &[u8] = b"X\r\n250 2.1.5 Ok";
        let reply = reply!("555 5.5.4 Unsupported option: {}", arg);
        assert_eq!(reply.as_bytes(), b"555 5.5.4 Unsupported option: X??250 2.1.5 Ok");
    }

    #[test]
    fn other_bytes_go_back_as_they_came() {
        let arg: &[u8] = b"\t\x7f\xff\0";
        let reply = reply!("555 5.5.4 Unsupported option: {}", arg);
        assert_eq!(reply.as_bytes(), b"555 5.5.4 Unsupported option: \t\x7f\xff?");
    }

    #[test]
    fn enhanced_codes_have_three_numbers() {
        assert_eq!(enhanced_code_length(b"5.7.1 no"), 5);
        assert_eq!(enhanced_code_length(b"4.123.123"), 9);
        for bad in [&b"5.7"[..], b"3.7.1", b"5.7.1x", b"5.1234.1", b"5..1", b""] {
            assert_eq!(enhanced_code_length(bad), 0);
        }
    }
}
