//! Other Postfix services, one file each.
#![forbid(unsafe_code)]

pub mod anvil;
pub mod cleanup;
pub mod flush;
pub mod link;
pub mod postdrop;
pub mod proxymap;
mod recent;
pub mod reindex;
pub mod rewrite;
pub mod tlsmgr;
