//! Dumps of what goes over a TLS connection, byte by byte (smtpd_tls_loglevel = 3 and more).
//!
//! Each read or write of OpenSSL is a line, and what it moved follows in rows of 16 bytes, in
//! hexadecimal and as text. Blanks and NULs at the end are not shown.

/// Bytes in a row; after half of them stands a bar.
const WIDTH: usize = 16;

/// One read or write of OpenSSL, done.
pub(super) struct Passed<'a> {
    pub(super) written: bool,
    /// Where the BIO and the bytes are in memory; the log shows it.
    pub(super) bio: usize,
    pub(super) memory: usize,
    /// How many bytes were asked for, or offered.
    pub(super) asked: usize,
    /// The bytes, or the result without any.
    pub(super) result: Result<&'a [u8], i32>,
}

impl Passed<'_> {
    /// Logs it.
    pub(super) fn log(&self) {
        info!("{}", self.headline());
        if let Ok(bytes) = self.result {
            log_rows(bytes);
        }
    }

    fn headline(&self) -> String {
        let what = if self.written { "write to" } else { "read from" };
        let result = match self.result {
            Ok(bytes) => format!("{} (0x{:X})", bytes.len(), bytes.len()),
            Err(result) => result.to_string(),
        };
        let (bio, memory, asked) = (self.bio, self.memory, self.asked);
        format!("{what} {bio:08X} [{memory:08X}] ({asked} bytes => {result})")
    }
}

fn log_rows(bytes: &[u8]) {
    let shown = without_blank_end(bytes);
    for (index, bytes) in shown.chunks(WIDTH).enumerate() {
        info!("{}", row(index * WIDTH, bytes));
    }
    if shown.len() < bytes.len() {
        info!("{}", format!("{:04x} - <SPACES/NULLS>", shown.len()));
    }
}

/// What stands before the blanks and NULs at the end.
fn without_blank_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    &bytes[..end]
}

/// `0000 47 45 54 20 2f 20 48 54|54 50 2f 31 2e 31 0d 0a  GET / HT TP/1.1..`
fn row(offset: usize, bytes: &[u8]) -> String {
    let mut row = format!("{offset:04x} ");
    for index in 0..WIDTH {
        match bytes.get(index) {
            Some(byte) => {
                let end = if index == WIDTH / 2 - 1 { '|' } else { ' ' };
                row.push_str(&format!("{byte:02x}{end}"));
            }
            None => row.push_str("   "),
        }
    }
    row.push(' ');
    for (index, byte) in bytes.iter().enumerate() {
        let printable = matches!(byte, b' '..=b'~');
        row.push(if printable { char::from(*byte) } else { '.' });
        if index == WIDTH / 2 - 1 {
            row.push(' ');
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    fn logged(written: bool, asked: usize, result: Result<&[u8], i32>) -> Vec<String> {
        Passed { written, bio: 0x55d0_c0de, memory: 0xbeef, asked, result }.log();
        captured::take()
    }

    #[test]
    fn bytes_stand_in_rows_as_postfix_writes_them() {
        let bytes = b"\x16\x03\x01\x01\x2e\x01\x00\x01\x2aMAIL|~\x7f\xff EHLO";
        let expected = [
            "read from 55D0C0DE [0000BEEF] (32 bytes => 22 (0x16))",
            "0000 16 03 01 01 2e 01 00 01|2a 4d 41 49 4c 7c 7e 7f  ........ *MAIL|~.",
            "0010 ff 20 45 48 4c 4f                                . EHLO",
        ];
        assert_eq!(logged(false, 32, Ok(bytes)), expected);
    }

    /// Rows out of the original's log.
    #[test]
    fn a_server_hello_is_shown_as_postfix_shows_it() {
        let bytes = [
            0x16, 0x03, 0x03, 0x00, 0x41, 0x02, 0x00, 0x00, 0x3d, 0x03, 0x03, 0xbb, 0x75, 0xc4,
            0x77, 0xf9, 0x53, 0xeb, 0xce, 0x0a, 0x48, 0x89, 0xa6, 0x79, 0x20, 0xa5, 0x4a, 0x06,
            0x79, 0x51, 0xb8, 0x3a, 0x4c, 0x2d, 0x1c, 0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44,
            0x01, 0x00, 0xc0, 0x30, 0x00, 0x00,
        ];
        let expected = [
            "0000 16 03 03 00 41 02 00 00|3d 03 03 bb 75 c4 77 f9  ....A... =...u.w.",
            "0010 53 eb ce 0a 48 89 a6 79|20 a5 4a 06 79 51 b8 3a  S...H..y  .J.yQ.:",
            "0020 4c 2d 1c 44 4f 57 4e 47|52 44 01 00 c0 30 00 00  L-.DOWNG RD...0..",
        ];
        // The NULs at its end would not be shown alone.
        let mut more = bytes.to_vec();
        more.push(0x15);
        let shown = logged(true, 48, Ok(&more));
        assert_eq!(shown[1..4], expected);
    }

    #[test]
    fn blanks_at_the_end_are_counted_only() {
        let mut bytes = b"AB".to_vec();
        bytes.extend([0, b' ', 0]);
        let expected = [
            "write to 55D0C0DE [0000BEEF] (5 bytes => 5 (0x5))",
            "0000 41 42                                            AB",
            "0002 - <SPACES/NULLS>",
        ];
        assert_eq!(logged(true, 5, Ok(&bytes)), expected);
        let expected =
            ["read from 55D0C0DE [0000BEEF] (5 bytes => 2 (0x2))", "0000 - <SPACES/NULLS>"];
        assert_eq!(logged(false, 5, Ok(b"\0 ")), expected);
    }

    #[test]
    fn a_read_of_nothing_has_no_rows() {
        let expected = ["read from 55D0C0DE [0000BEEF] (5 bytes => -1)"];
        assert_eq!(logged(false, 5, Err(-1)), expected);
    }
}
