//! What a child tells master(8): that it is taken by a client, or available again.
//!
//! 12 bytes in the machine's order: process id, generation, state (0 taken, 1 available). One
//! write each: children share the pipe.
//!
//! Source: Postfix, `src/master/master_proto.h`.

/// A status message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Of the process that master(8) started.
    pub pid: i32,
    /// From the environment (`GENERATION`, octal).
    pub generation: u32,
    /// Whether the child can serve another client.
    pub available: bool,
}

impl Status {
    /// Bytes of a message.
    pub const LEN: usize = 12;

    /// The message.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let fields = [
            self.pid.to_ne_bytes(),
            self.generation.to_ne_bytes(),
            u32::from(self.available).to_ne_bytes(),
        ];
        for (at, byte) in out.iter_mut().zip(fields.as_flattened()) {
            *at = *byte;
        }
        out
    }

    /// The message in `bytes`, `None` when they are not one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (pid, rest) = bytes.split_first_chunk::<4>()?;
        let (generation, rest) = rest.split_first_chunk::<4>()?;
        let state = u32::from_ne_bytes(rest.try_into().ok()?);
        Some(Self {
            pid: i32::from_ne_bytes(*pid),
            generation: u32::from_ne_bytes(*generation),
            available: match state {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_taken_child_says_so_in_these_bytes() {
        let status = Status { pid: 873, generation: 5, available: false };
        assert_eq!(status.encode(), [0x69, 3, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let status = Status { pid: 5988, generation: 29, available: true };
        assert_eq!(status.encode(), *b"d\x17\0\0\x1d\0\0\0\x01\0\0\0");
    }

    #[test]
    fn a_status_comes_back() {
        for available in [false, true] {
            let status = Status { pid: 1, generation: u32::MAX, available };
            assert_eq!(Status::decode(&status.encode()), Some(status));
        }
    }

    #[test]
    fn no_prefix_of_a_status_is_a_status() {
        let bytes = Status { pid: 1, generation: 2, available: true }.encode();
        for end in 0..bytes.len() {
            assert_eq!(Status::decode(&bytes[..end]), None);
        }
        assert_eq!(Status::decode(&[bytes.as_slice(), b"x"].concat()), None);
        assert_eq!(Status::decode(&[9; 12]), None);
    }
}
