//! Bytes and texts that have no meaning yet.
#![forbid(unsafe_code)]

#[macro_use]
pub mod fill;
pub mod fold;
pub mod printable;
pub mod split;
pub mod uxtext;
pub mod xtext;
