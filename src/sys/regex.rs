//! Regular expressions of the C library (POSIX.1, regex(7)): what regexp_table(5) promises.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

use libc::{c_int, regex_t, regmatch_t};

/// Extended syntax (`REG_EXTENDED`).
pub const EXTENDED: u32 = libc::REG_EXTENDED as u32;
/// Capitals and small letters are the same (`REG_ICASE`).
pub const IGNORE_CASE: u32 = libc::REG_ICASE as u32;
/// A newline ends lines in the key (`REG_NEWLINE`).
pub const NEWLINE: u32 = libc::REG_NEWLINE as u32;
/// Nobody will ask what the groups matched (`REG_NOSUB`).
pub const NO_GROUPS: u32 = libc::REG_NOSUB as u32;

/// Where `re_nsub` stands in `regex_t`: POSIX gives its name, each C library its place, the libc
/// crate hides it.
#[cfg(any(target_env = "gnu", target_env = "uclibc"))]
const GROUPS_AT: usize = 6 * size_of::<usize>();
#[cfg(target_env = "musl")]
const GROUPS_AT: usize = 0;
#[cfg(not(any(target_env = "gnu", target_env = "uclibc", target_env = "musl")))]
const GROUPS_AT: usize = size_of::<usize>();

const _: () = assert!(GROUPS_AT + size_of::<usize>() <= size_of::<regex_t>());
const _: () = assert!(GROUPS_AT % align_of::<usize>() == 0);

/// A compiled pattern.
pub struct Regex(Box<regex_t>);

impl Regex {
    /// Compiles `pattern`; an error is the C library's text.
    pub fn new(pattern: &CStr, options: u32) -> Result<Self, Vec<u8>> {
        let mut regex = Box::new(MaybeUninit::<regex_t>::zeroed());
        // SAFETY: `regex` is writable memory of a regex_t, `pattern` is terminated.
        let code = unsafe { libc::regcomp(regex.as_mut_ptr(), pattern.as_ptr(), options as c_int) };
        if code != 0 {
            return Err(error_text(code, regex.as_ptr()));
        }
        let regex = Box::into_raw(regex).cast::<regex_t>();
        // SAFETY: the pointer comes from a Box of the same layout, and regcomp has filled it.
        Ok(Self(unsafe { Box::from_raw(regex) }))
    }

    /// The number of groups in the pattern (`re_nsub`).
    pub fn groups(&self) -> usize {
        let base = ptr::from_ref::<regex_t>(&self.0).cast::<u8>();
        // SAFETY: GROUPS_AT lies within the regex_t, as checked above when compiling.
        let place = unsafe { base.add(GROUPS_AT) };
        // SAFETY: an initialised, aligned size_t stands there.
        unsafe { place.cast::<usize>().read() }
    }

    /// Where the whole pattern and its first `groups` groups match `key`; nothing is listed when
    /// `groups` is 0. A group without part in the match is empty.
    pub fn find(&self, key: &CStr, groups: usize) -> Result<Option<Vec<Range<usize>>>, Vec<u8>> {
        let wanted = if groups == 0 { 0 } else { groups + 1 };
        let mut places = vec![regmatch_t { rm_so: -1, rm_eo: -1 }; wanted];
        // SAFETY: the pattern is compiled, `key` is terminated, `places` has `wanted` elements.
        let code = unsafe { libc::regexec(&*self.0, key.as_ptr(), wanted, places.as_mut_ptr(), 0) };
        match code {
            0 => Ok(Some(places.iter().map(range).collect())),
            libc::REG_NOMATCH => Ok(None),
            code => Err(error_text(code, &*self.0)),
        }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: regcomp has filled it, and nobody uses it from here on.
        unsafe { libc::regfree(&mut *self.0) }
    }
}

fn range(place: &regmatch_t) -> Range<usize> {
    match (usize::try_from(place.rm_so), usize::try_from(place.rm_eo)) {
        (Ok(start), Ok(end)) => start..end,
        _ => 0..0,
    }
}

/// The C library's words for an error.
fn error_text(code: c_int, regex: *const regex_t) -> Vec<u8> {
    let mut text = [0u8; 256];
    // SAFETY: regerror writes at most `text.len()` bytes and terminates them; it reads no more of
    // `regex` than regcomp or regexec has left there.
    unsafe { libc::regerror(code, regex, text.as_mut_ptr().cast(), text.len()) };
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    text[..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_counted_and_found() {
        let regex = Regex::new(c"^(a+)(x)?(b+)$", EXTENDED | IGNORE_CASE).unwrap();
        assert_eq!(regex.groups(), 3);
        let places = regex.find(c"AAB", 3).unwrap().unwrap();
        assert_eq!(places, [0..3, 0..2, 0..0, 2..3]);
        assert_eq!(regex.find(c"AAB", 0), Ok(Some(Vec::new())));
        assert_eq!(regex.find(c"c", 3), Ok(None));
    }

    #[test]
    fn a_bad_pattern_has_the_words_of_the_c_library() {
        let error = Regex::new(c"(a", EXTENDED).err().unwrap();
        assert!(!error.is_empty());
        assert_eq!(Regex::new(c"\\(a\\)", 0).unwrap().groups(), 1);
    }
}
