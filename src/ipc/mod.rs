//! Other Postfix services, one file each.
#![forbid(unsafe_code)]

pub mod link;
pub mod rewrite;
