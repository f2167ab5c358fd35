//! Byte formats of conversations; no I/O. Every byte here is somebody else's.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, expect(clippy::indexing_slicing, reason = "tests may panic"))]

pub mod attr;
pub mod bdat;
pub mod bdb;
pub mod blocks;
pub mod cdb;
pub mod command;
pub mod dns;
pub mod haproxy;
pub mod lmdb;
pub mod master;
pub mod message;
pub mod record;
