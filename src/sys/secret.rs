//! Secrets in memory.

/// Overwrites a secret, so that it does not stay behind in free memory.
pub fn overwrite(secret: &mut [u8]) {
    // SAFETY: the slice is ours to write, and has that length.
    unsafe { libc::explicit_bzero(secret.as_mut_ptr().cast(), secret.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left() {
        let mut secret = *b"secret";
        overwrite(&mut secret[..4]);
        assert_eq!(&secret, b"\0\0\0\0et");
    }
}
