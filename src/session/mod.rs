//! One client, from greeting to goodbye.
#![forbid(unsafe_code)]

pub mod peer;
