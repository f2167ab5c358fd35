//! Randomness from the kernel.

use std::time::UNIX_EPOCH;

use super::time;

/// A number that nobody has chosen. Not for secrets: where the kernel has none, the time serves.
pub fn seed() -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: getrandom() writes at most the length of the array, which is there for the call.
    let len =
        unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    if usize::try_from(len) == Ok(bytes.len()) {
        return u64::from_ne_bytes(bytes);
    }
    let now = time::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64 ^ u64::from(std::process::id()) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_numbers_are_the_same() {
        assert_ne!(seed(), seed());
    }
}
