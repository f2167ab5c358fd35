//! Queue file records, as cleanup(8) takes them: a type byte, a length, the data.
//!
//! The length comes in groups of seven bits, low group first; the eighth bit says that more
//! follow: 0 is `00`, 127 `7f`, 128 `80 01`. Readers take at most four such bytes.
//!
//! Source: Postfix, `src/global/record.c` and `rec_type.h`.

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// One of the letters below.
    pub kind: u8,
    /// The data.
    pub data: &'a [u8],
}

/// Bytes do not begin with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// More bytes are needed.
    #[error("incomplete record")]
    Incomplete,
    /// The length has more than four bytes.
    #[error("bad record length")]
    Length,
}

impl<'a> Record<'a> {
    /// Arrival time: seconds, microseconds.
    pub const TIME: u8 = b'T';
    /// Envelope: content filter, `transport:destination`.
    pub const FILTER: u8 = b'L';
    /// `name=value`
    pub const ATTRIBUTE: u8 = b'A';
    /// Sender, internal form.
    pub const SENDER: u8 = b'S';
    /// Recipient, internal form.
    pub const RECIPIENT: u8 = b'R';
    /// VERP delimiters.
    pub const VERP: u8 = b'V';
    /// Number of Milters.
    pub const MILTERS: u8 = b'm';
    /// Flags of cleanup(8): HOLD, DISCARD.
    pub const FLAGS: u8 = b'f';
    /// The content begins.
    pub const MESSAGE: u8 = b'M';
    /// Content: a line, or the rest of one.
    pub const LINE: u8 = b'N';
    /// Content: the begin of a line that goes on in the next record.
    pub const PART: u8 = b'L';
    /// The content ends; what was learnt from it follows.
    pub const EXTRACTED: u8 = b'X';
    /// Redirect address.
    pub const REDIRECT: u8 = b'>';
    /// End of the file.
    pub const END: u8 = b'E';

    /// The longest data that readers take.
    pub const MAX: usize = (1 << 28) - 1;

    /// Appends the record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode(self.kind, self.data, out);
    }

    /// Takes the first record off `input`.
    pub fn take(input: &mut &'a [u8]) -> Result<Self, BadRecord> {
        let (&kind, mut rest) = input.split_first().ok_or(BadRecord::Incomplete)?;
        let len = take_length(&mut rest)?;
        let (data, rest) = rest.split_at_checked(len).ok_or(BadRecord::Incomplete)?;
        *input = rest;
        Ok(Self { kind, data })
    }
}

/// Appends a record to `out`.
#[inline]
pub fn encode(kind: u8, data: &[u8], out: &mut Vec<u8>) {
    out.reserve(data.len().saturating_add(6));
    encode_head(kind, data.len(), out);
    out.extend_from_slice(data);
}

/// Appends type and length of a record; the data is up to the caller.
#[inline]
pub fn encode_head(kind: u8, len: usize, out: &mut Vec<u8>) {
    out.push(kind);
    let mut left = len;
    while left > 0x7f {
        out.push(0x80 | (left & 0x7f) as u8);
        left >>= 7;
    }
    out.push(left as u8);
}

fn take_length(input: &mut &[u8]) -> Result<usize, BadRecord> {
    let mut len = 0;
    for shift in [0, 7, 14, 21] {
        let (&byte, rest) = input.split_first().ok_or(BadRecord::Incomplete)?;
        *input = rest;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(len);
        }
    }
    Err(BadRecord::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: u8, data: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        Record { kind, data }.encode(&mut out);
        out
    }

    #[test]
    fn records_have_the_bytes_that_cleanup_takes() {
        assert_eq!(encoded(b'S', b"me@src.example"), b"S\x0eme@src.example");
        assert_eq!(encoded(b'M', b""), b"M\0");
        let content = [&b"N\x0aSubject: x"[..], b"N\0", b"N\x02hi", b"X\0", b"E\0"].concat();
        let mut out = vec![];
        for (kind, data) in [(b'N', "Subject: x"), (b'N', ""), (b'N', "hi"), (b'X', ""), (b'E', "")]
        {
            encode(kind, data.as_bytes(), &mut out);
        }
        assert_eq!(out, content);
    }

    #[test]
    fn lengths_come_low_group_first() {
        let head = |len: usize| encoded(b'N', &vec![b'x'; len])[1..].to_vec();
        assert_eq!(head(0), [0]);
        assert_eq!(head(127)[..1], [0x7f]);
        assert_eq!(head(128)[..2], [0x80, 0x01]);
        assert_eq!(head(2048)[..2], [0x80, 0x10]);
        assert_eq!(head(5000)[..2], [0x88, 0x27]);
    }

    #[test]
    fn records_come_back() {
        for len in [0, 1, 127, 128, 16383, 16384, 2_097_152] {
            let data = vec![0xa5; len];
            let bytes = [encoded(b'N', &data), b"E\0".to_vec()].concat();
            let mut input = &bytes[..];
            assert_eq!(Record::take(&mut input), Ok(Record { kind: b'N', data: &data }));
            assert_eq!(Record::take(&mut input), Ok(Record { kind: b'E', data: b"" }));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn no_prefix_of_a_record_is_a_record() {
        let bytes = encoded(b'N', &[b'x'; 200]);
        for end in 0..bytes.len() {
            let mut input = &bytes[..end];
            assert_eq!(Record::take(&mut input), Err(BadRecord::Incomplete), "{end}");
            assert_eq!(input.len(), end, "nothing is taken");
        }
    }

    #[test]
    fn a_fifth_length_byte_is_refused() {
        let mut input = &b"N\x80\x80\x80\x80\x01"[..];
        assert_eq!(Record::take(&mut input), Err(BadRecord::Length));
    }
}
