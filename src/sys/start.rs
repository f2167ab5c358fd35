//! How the program starts and ends.
//!
//! What Rust's own start does before `main` (it reads /proc/self/maps to tell a stack overflow from another
//! bad address, and gives signals a stack) takes a tenth of the instructions of a start, and ends in words that
//! nobody reads: master(8) logs the signal. So `main` is C's, with what the program counts on.

use std::os::fd::{IntoRawFd as _, RawFd};

use nix::fcntl::{OFlag, open};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::Mode;

use super::descriptor;

/// Exit status of the program. That of the standard library cannot be given to C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode(u8);

impl ExitCode {
    /// All is well.
    pub const SUCCESS: Self = Self(0);
    /// Something is not.
    pub const FAILURE: Self = Self(1);
}

impl From<u8> for ExitCode {
    fn from(status: u8) -> Self {
        Self(status)
    }
}

impl From<ExitCode> for libc::c_int {
    fn from(code: ExitCode) -> Self {
        code.0.into()
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.0.into()
    }
}

/// The standard streams.
const STANDARD: std::ops::Range<RawFd> = 0..3;

/// Before anything else: standard streams are open, lest another file take their place (without /dev/null
/// there is no going on), and a stream whose
/// reader is gone gives an error instead of death by SIGPIPE.
pub fn prepare() {
    if !descriptor::are_open(STANDARD) {
        open_standard_streams();
    }
    // SAFETY: no handler runs; the signal is ignored.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// The kernel gives out the least number that is free. They stay open in programs that are run.
fn open_standard_streams() {
    while !descriptor::are_open(STANDARD) {
        match open("/dev/null", OFlag::O_RDWR, Mode::empty()) {
            Ok(file) => _ = file.into_raw_fd(),
            Err(_) => std::process::abort(),
        }
    }
}

/// `start!(function);` makes the function, which gives an [`ExitCode`], the program's `main`; the crate
/// has no other one where the C library hands the arguments to Rust by itself (`no_main`).
#[macro_export]
macro_rules! start {
    ($main:path) => {
        #[cfg(all(target_os = "linux", target_env = "gnu", not(test)))]
        // SAFETY: the C library calls it, once; there is no other of this name.
        #[unsafe(no_mangle)]
        extern "C" fn main() -> std::ffi::c_int {
            $crate::sys::start::prepare();
            $main().into()
        }

        #[cfg(not(all(target_os = "linux", target_env = "gnu", not(test))))]
        fn main() -> std::process::ExitCode {
            $main().into()
        }
    };
}
