//! `pcre:/file`: Perl-compatible regular expressions (pcre_table(5)).

use std::ffi::CStr;
use std::ops::Range;

use super::rules::{self, Engine, Flag};
use super::{Failure, Spec, Table};
use crate::sys::late_libraries;
use crate::sys::pcre::{
    ANCHORED, CASELESS, DOLLAR_ENDONLY, DOTALL, EXTENDED, MULTILINE, Pcre, UNGREEDY,
};

impl Engine for Pcre {
    const KIND: &'static str = "pcre";
    const OPTIONS: u32 = CASELESS | DOTALL;
    const OLD_FORMS: bool = false;
    const UNCLOSED: &'static str = "ignoring";
    const OUT_OF_RANGE: &'static str = "out of range";

    const IGNORE_CASE: u32 = CASELESS;

    fn may_be_plain(options: u32) -> bool {
        options & EXTENDED == 0
    }

    fn flag(byte: u8) -> Option<Flag> {
        let option = match byte {
            b'i' => CASELESS,
            b'm' => MULTILINE,
            b's' => DOTALL,
            b'x' => EXTENDED,
            b'A' => ANCHORED,
            b'E' => DOLLAR_ENDONLY,
            b'U' => UNGREEDY,
            b'X' => return Some(Flag::Obsolete),
            _ => return None,
        };
        Some(Flag::Option(option))
    }

    fn compile(pattern: &CStr, options: u32, _: bool) -> Result<Self, Vec<u8>> {
        Self::new(pattern, options)
    }

    fn groups(&self) -> usize {
        self.groups()
    }

    fn find(&self, key: &CStr, groups: usize) -> Result<Option<Vec<Range<usize>>>, Vec<u8>> {
        self.find(key, groups)
    }
}

/// Opens `pcre:/file`.
pub(super) fn open(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    // Now, for patterns that are compiled in the jail.
    late_libraries::load_pcre2()
        .map_err(|error| fill!("unsupported dictionary type: pcre ({})", error))?;
    rules::open::<Pcre>(spec)
}
