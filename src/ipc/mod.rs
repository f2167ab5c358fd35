//! Other Postfix services, one file each.
#![forbid(unsafe_code)]
