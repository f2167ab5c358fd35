//! What Postfix says about an error number.

use std::io;

/// The text of `strerror()`: `No such file or directory`; for 0 `Application error`, since what
/// failed was no system call. As Postfix: `mystrerror()`.
pub fn errno_text(errno: i32) -> String {
    if errno == 0 {
        return "Application error".to_owned();
    }
    let text = io::Error::from_raw_os_error(errno).to_string();
    let end = text.rfind(" (os error ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// The text of an error: that of its number, if it has one.
pub fn error_text(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), errno_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_c_library() {
        assert_eq!(errno_text(libc::ENOENT), "No such file or directory");
        assert_eq!(errno_text(libc::ETIMEDOUT), "Connection timed out");
        assert_eq!(errno_text(0), "Application error");
        assert_eq!(error_text(&io::ErrorKind::InvalidData.into()), "invalid data");
    }
}
