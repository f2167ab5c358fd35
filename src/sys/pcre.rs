//! Perl-compatible regular expressions (pcre2api(3)): what pcre_table(5) promises.
//!
//! The crate pcre2 knows neither the options A, E and U of pcre_table(5) nor patterns that are no
//! UTF-8, so this stands on its lower half, pcre2-sys.

use std::cell::Cell;
use std::ffi::CStr;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::slice;

use pcre2_sys as pcre2;

/// Capitals and small letters are the same (`i`).
pub const CASELESS: u32 = pcre2::PCRE2_CASELESS;
/// `^` and `$` match at newlines too (`m`).
pub const MULTILINE: u32 = pcre2::PCRE2_MULTILINE;
/// `.` matches newlines too (`s`).
pub const DOTALL: u32 = pcre2::PCRE2_DOTALL;
/// Blanks and comments in the pattern don't count (`x`).
pub const EXTENDED: u32 = pcre2::PCRE2_EXTENDED;
/// The pattern matches only where the key begins (`A`).
pub const ANCHORED: u32 = pcre2::PCRE2_ANCHORED;
/// `$` does not match before a newline at the end (`E`).
pub const DOLLAR_ENDONLY: u32 = pcre2::PCRE2_DOLLAR_ENDONLY;
/// Quantifiers are not greedy (`U`).
pub const UNGREEDY: u32 = pcre2::PCRE2_UNGREEDY;

/// A compiled pattern with the room for its matches.
pub struct Pcre {
    code: NonNull<pcre2::pcre2_code_8>,
    places: NonNull<pcre2::pcre2_match_data_8>,
    // `find` writes into `places`: not to be shared between threads.
    _one_thread: Cell<()>,
}

impl Pcre {
    /// Compiles `pattern`; an error has the library's words after the offset.
    pub fn new(pattern: &CStr, options: u32) -> Result<Self, Vec<u8>> {
        let (mut error, mut offset) = (0, 0);
        // SAFETY: `pattern` is terminated, as the length says; the library fills both numbers.
        let code = unsafe {
            pcre2::pcre2_compile_8(
                pattern.as_ptr().cast(),
                pattern.to_bytes().len(),
                options,
                &mut error,
                &mut offset,
                ptr::null_mut(),
            )
        };
        let code = NonNull::new(code)
            .ok_or_else(|| fill!("error in regex at offset {}: {}", offset, error_text(error)))?;
        // SAFETY: `code` is a compiled pattern.
        let places = unsafe {
            pcre2::pcre2_match_data_create_from_pattern_8(code.as_ptr(), ptr::null_mut())
        };
        let Some(places) = NonNull::new(places) else {
            // SAFETY: `code` is a compiled pattern that nobody else has.
            unsafe { pcre2::pcre2_code_free_8(code.as_ptr()) };
            return Err(b"out of memory".to_vec());
        };
        Ok(Self { code, places, _one_thread: Cell::new(()) })
    }

    /// The number of groups in the pattern.
    pub fn groups(&self) -> usize {
        let mut count = 0u32;
        // SAFETY: the library writes a u32 for this question.
        let code = unsafe {
            pcre2::pcre2_pattern_info_8(
                self.code.as_ptr(),
                pcre2::PCRE2_INFO_CAPTURECOUNT,
                ptr::from_mut(&mut count).cast(),
            )
        };
        if code == 0 { count as usize } else { 0 }
    }

    /// Where the whole pattern and its first `groups` groups match `key`; nothing is listed when
    /// `groups` is 0. A group without part in the match is empty.
    pub fn find(&self, key: &CStr, groups: usize) -> Result<Option<Vec<Range<usize>>>, Vec<u8>> {
        let len = key.to_bytes().len();
        // SAFETY: `key` has `len` bytes; `places` was made for this pattern.
        let code = unsafe {
            pcre2::pcre2_match_8(
                self.code.as_ptr(),
                key.as_ptr().cast(),
                len,
                0,
                0,
                self.places.as_ptr(),
                ptr::null_mut(),
            )
        };
        match code {
            1.. if groups == 0 => Ok(Some(Vec::new())),
            1.. => Ok(Some(self.places(groups, len))),
            pcre2::PCRE2_ERROR_NOMATCH => Ok(None),
            code => Err(error_text(code)),
        }
    }

    fn places(&self, groups: usize, len: usize) -> Vec<Range<usize>> {
        // SAFETY: `places` is alive.
        let pairs = unsafe { pcre2::pcre2_get_ovector_count_8(self.places.as_ptr()) } as usize;
        // SAFETY: as above.
        let offsets = unsafe { pcre2::pcre2_get_ovector_pointer_8(self.places.as_ptr()) };
        // SAFETY: the vector has two offsets a pair, and stays until the next match.
        let offsets = unsafe { slice::from_raw_parts(offsets, 2 * pairs) };
        let range = |pair: &[usize]| match *pair {
            // A group without part has offsets beyond any key.
            [start, end] if start <= end && end <= len => start..end,
            _ => 0..0,
        };
        offsets.chunks(2).take(groups + 1).map(range).collect()
    }
}

impl Drop for Pcre {
    fn drop(&mut self) {
        // SAFETY: made by the library, and nobody uses it from here on.
        unsafe { pcre2::pcre2_match_data_free_8(self.places.as_ptr()) };
        // SAFETY: as above.
        unsafe { pcre2::pcre2_code_free_8(self.code.as_ptr()) };
    }
}

/// The library's words for an error.
fn error_text(code: i32) -> Vec<u8> {
    let mut text = [0u8; 256];
    // SAFETY: the library writes at most `text.len()` bytes.
    let len = unsafe { pcre2::pcre2_get_error_message_8(code, text.as_mut_ptr(), text.len()) };
    match usize::try_from(len) {
        Ok(len) if len > 0 && len <= text.len() => text[..len].to_vec(),
        _ => fill!("unexpected pcre2 error code {}", code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_counted_and_found() {
        let pattern = Pcre::new(c"^(a+)(x)?(b+)$", CASELESS).unwrap();
        assert_eq!(pattern.groups(), 3);
        let places = pattern.find(c"AAB", 3).unwrap().unwrap();
        assert_eq!(places, [0..3, 0..2, 0..0, 2..3]);
        assert_eq!(pattern.find(c"AAB", 0), Ok(Some(Vec::new())));
        assert_eq!(pattern.find(c"c", 3), Ok(None));
    }

    #[test]
    fn an_error_says_where_it_is() {
        let error = Pcre::new(c"(a", 0).err().unwrap();
        assert_eq!(error, b"error in regex at offset 2: missing closing parenthesis");
    }

    #[test]
    fn the_options_that_the_upper_crate_lacks_work() {
        assert_eq!(Pcre::new(c"b", ANCHORED).unwrap().find(c"ab", 0), Ok(None));
        assert_eq!(Pcre::new(c"a$", DOLLAR_ENDONLY).unwrap().find(c"a\n", 0), Ok(None));
        let lazy = Pcre::new(c"(a+)", UNGREEDY).unwrap();
        assert_eq!(lazy.find(c"aaa", 1), Ok(Some(vec![0..1, 0..1])));
        assert_eq!(Pcre::new(c"\xff", 0).unwrap().find(c"a\xff", 0), Ok(Some(Vec::new())));
    }
}
