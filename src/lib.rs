//! smtpd-rs: a memory-safe drop-in replacement for Postfix's smtpd(8).
//!
//! The modules stand in the order of their layers: each uses what stands above it, never what
//! stands below (`tests/layers.rs` holds it). docs/architecture.md has the picture.

#[macro_use]
pub mod text;

#[macro_use]
pub mod mail;

pub mod wire;

pub mod sys;

#[macro_use]
pub mod log;

pub mod config;

pub mod stream;

pub mod ipc;

pub mod table;

pub mod matchlist;

pub mod dns;

pub mod tls;

pub mod identity;

pub mod restriction;

pub mod session;

pub mod service;

pub mod admin;

#[doc(hidden)]
pub mod fuzz;

use std::env;

use sys::start::ExitCode;

/// Runs the program: the daemon, as master(8) starts it, or what an administrator asks for.
pub fn main() -> ExitCode {
    if admin::asked(env::args_os().nth(1).as_deref()) { admin::main() } else { service::main() }
}
