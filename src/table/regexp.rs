//! `regexp:/file`: regular expressions of the C library (regexp_table(5)).

use std::ffi::CStr;
use std::ops::Range;

use super::rules::{self, Engine, Flag};
use super::{Failure, Spec, Table};
use crate::sys::regex::{EXTENDED, IGNORE_CASE, NEWLINE, NO_GROUPS, Regex};

impl Engine for Regex {
    const KIND: &'static str = "regexp";
    const OPTIONS: u32 = EXTENDED | IGNORE_CASE;
    const OLD_FORMS: bool = true;
    const UNCLOSED: &'static str = "skipping";
    const OUT_OF_RANGE: &'static str = "out-of-range";

    const IGNORE_CASE: u32 = IGNORE_CASE;

    fn may_be_plain(options: u32) -> bool {
        options & EXTENDED != 0
    }

    fn flag(byte: u8) -> Option<Flag> {
        match byte {
            b'i' => Some(Flag::Option(IGNORE_CASE)),
            b'm' => Some(Flag::Option(NEWLINE)),
            b'x' => Some(Flag::Option(EXTENDED)),
            _ => None,
        }
    }

    fn compile(pattern: &CStr, options: u32, groups: bool) -> Result<Self, Vec<u8>> {
        Self::new(pattern, if groups { options } else { options | NO_GROUPS })
    }

    fn groups(&self) -> usize {
        self.groups()
    }

    fn find(&self, key: &CStr, groups: usize) -> Result<Option<Vec<Range<usize>>>, Vec<u8>> {
        self.find(key, groups)
    }
}

/// Opens `regexp:/file`.
pub(super) fn open(spec: &Spec<'_>) -> Result<Box<dyn Table>, Failure> {
    rules::open::<Regex>(spec)
}
