//! A child of master(8).
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Runs the daemon.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
