//! Other Postfix services, one file each.
#![forbid(unsafe_code)]

pub mod anvil;
pub mod cleanup;
pub mod flush;
pub mod link;
pub mod rewrite;
