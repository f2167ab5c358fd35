//! Which addresses in a list count: `127.0.0.2`, `127.0.[0;2..9].[1..255]`. As Postfix:
//! `ip_match_parse()`.

use std::net::Ipv4Addr;

/// Numbers from and to.
type Range = (u8, u8);

/// Four fields, each with what it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    fields: Vec<Vec<Range>>,
}

/// A word of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Number(u8),
    Sign(u8),
    TooLarge,
    End,
}

impl Pattern {
    /// Reads a pattern; the error shows its place.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Vec<u8>> {
        let text = without_brackets(text)?;
        if text.is_empty() {
            return Err(b"empty address pattern".to_vec());
        }
        let mut parser = Parser { text, last: 0, at: 0 };
        let mut fields = vec![parser.field()?];
        while fields.len() < 4 {
            if parser.next() != Token::Sign(b'.') {
                return Err(parser.error("need \".\""));
            }
            fields.push(parser.field()?);
        }
        if parser.next() == Token::End { Ok(Self { fields }) } else { Err(parser.garbage()) }
    }

    /// Whether the pattern has the address.
    pub(crate) fn has(&self, address: Ipv4Addr) -> bool {
        let is_in = |octet: &u8, ranges: &Vec<Range>| {
            ranges.iter().any(|(from, to)| (*from..=*to).contains(octet))
        };
        address.octets().iter().zip(&self.fields).all(|(octet, ranges)| is_in(octet, ranges))
    }
}

/// The pattern without brackets around all of it.
fn without_brackets(text: &[u8]) -> Result<&[u8], Vec<u8>> {
    if text.first() != Some(&b'[') {
        return Ok(text);
    }
    let mut depth: usize = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'[' => depth = depth.saturating_add(1),
            b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            let is_last = at.saturating_add(1) == text.len();
            return Ok(if is_last { text.get(1..at).unwrap_or_default() } else { text });
        }
    }
    Err(b"missing \"]\" character".to_vec())
}

struct Parser<'t> {
    text: &'t [u8],
    /// Where the last word starts.
    last: usize,
    /// Where the next one does.
    at: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Token {
        self.last = self.at;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at = self.at.saturating_add(digits.max(1)).min(self.text.len());
        match rest.first() {
            None => Token::End,
            Some(sign) if digits == 0 => Token::Sign(*sign),
            Some(_) => {
                let number = rest.iter().take(digits).try_fold(0_u8, |number, digit| {
                    number.checked_mul(10)?.checked_add(digit.saturating_sub(b'0'))
                });
                number.map_or(Token::TooLarge, Token::Number)
            }
        }
    }

    fn field(&mut self) -> Result<Vec<Range>, Vec<u8>> {
        match self.next() {
            Token::Number(number) => Ok(vec![(number, number)]),
            Token::Sign(b'[') => self.ranges(),
            _ => Err(self.error("need decimal number 0..255 or \"[\"")),
        }
    }

    /// What stands in brackets.
    fn ranges(&mut self) -> Result<Vec<Range>, Vec<u8>> {
        let mut ranges = Vec::new();
        loop {
            let Token::Number(from) = self.next() else {
                return Err(self.error("need decimal number 0..255"));
            };
            let mut to = from;
            let mut behind = self.next();
            if behind == Token::Sign(b'.') {
                to = self.end_of_range(from)?;
                behind = self.next();
            }
            ranges.push((from, to));
            match behind {
                Token::Sign(b';') => {}
                Token::Sign(b']') => return Ok(ranges),
                _ => return Err(self.error("need \";\" or \"]\"")),
            }
        }
    }

    /// The second dot of a range, and the number behind it.
    fn end_of_range(&mut self, from: u8) -> Result<u8, Vec<u8>> {
        if self.next() == Token::Sign(b'.') {
            if let Token::Number(to) = self.next() {
                if from <= to {
                    return Ok(to);
                }
            }
        }
        Err(self.error("numeric range error"))
    }

    fn garbage(&self) -> Vec<u8> {
        self.error("garbage after pattern")
    }

    /// What is wrong with the last word.
    fn error(&self, what: &str) -> Vec<u8> {
        let part = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        let (before, here) = (part(0, self.last), part(self.last, self.at));
        let behind = part(self.at, self.text.len());
        fill!("{} at \"{}>{}<{}\"", what, before, here, behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(pattern: &str, address: &str) -> bool {
        Pattern::parse(pattern.as_bytes()).unwrap().has(address.parse().unwrap())
    }

    #[test]
    fn a_pattern_has_four_fields() {
        assert!(has("127.0.0.2", "127.0.0.2"));
        assert!(!has("127.0.0.2", "127.0.0.3"));
        assert!(has("127.0.[0..2].[1;4;200..255]", "127.0.2.200"));
        assert!(!has("127.0.[0..2].[1;4;200..255]", "127.0.2.5"));
        assert!(has("[127.0.0.[2]]", "127.0.0.2"));
        assert!(has("[127].[0].[0].[2]", "127.0.0.2"));
    }

    #[test]
    fn an_error_shows_its_place() {
        for (pattern, error) in [
            ("", "empty address pattern"),
            ("[]", "empty address pattern"),
            ("[1", "missing \"]\" character"),
            ("1.2.3", "need \".\" at \"1.2.3><\""),
            ("1.2.3.4.5", "garbage after pattern at \"1.2.3.4>.<5\""),
            ("1.2.3.256", "need decimal number 0..255 or \"[\" at \"1.2.3.>256<\""),
            ("a", "need decimal number 0..255 or \"[\" at \">a<\""),
            ("1.2.3.[]", "need decimal number 0..255 at \"1.2.3.[>]<\""),
            ("1.2.3.[5..4]", "numeric range error at \"1.2.3.[5..>4<]\""),
            ("1.2.3.[5.4]", "numeric range error at \"1.2.3.[5.>4<]\""),
            ("1.2.3.[5,4]", "need \";\" or \"]\" at \"1.2.3.[5>,<4]\""),
        ] {
            let found = Pattern::parse(pattern.as_bytes()).unwrap_err();
            assert_eq!(String::from_utf8(found).unwrap(), error, "{pattern}");
        }
    }
}
