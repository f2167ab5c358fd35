//! Values of mail, made by parsing only.
#![forbid(unsafe_code)]

#[macro_use]
pub mod reply;
pub mod address;
pub mod client;
pub mod date;
pub mod dsn;
pub mod fingerprint;
pub mod hostname;
pub mod ip;
pub mod path;
pub mod quote;
pub mod token822;
pub mod verp;
