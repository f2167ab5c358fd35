//! The watchdog: ends a process that has not moved on for daemon_timeout.
//!
//! SIGALRM comes three times in that time. The handler only looks at a clock and sets the next
//! alarm; when nobody has called [`reset`] for the whole time, it says so and ends the process
//! itself, since the program hangs somewhere.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// How the process ends. `last_words` runs in a signal handler: it must only call what is allowed
/// there (signal-safety(7)), so it must not allocate.
#[derive(Debug, Clone, Copy)]
struct Watch {
    seconds: i64,
    interval: u32,
    last_words: fn(),
}

static WATCH: OnceLock<Watch> = OnceLock::new();
static LAST: AtomicI64 = AtomicI64::new(0);
static WATCHING: AtomicBool = AtomicBool::new(false);

/// Starts to watch; once in a process.
pub fn start(timeout: Duration, last_words: fn()) -> std::io::Result<()> {
    let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX).max(1);
    let interval = u32::try_from(seconds / 3).unwrap_or(u32::MAX).max(1);
    if WATCH.set(Watch { seconds, interval, last_words }).is_err() {
        return Ok(());
    }
    let action = SigAction::new(SigHandler::Handler(bark), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler calls nothing that is not safe in a signal handler.
    unsafe { sigaction(Signal::SIGALRM, &action) }?;
    nix::unistd::alarm::set(interval);
    watch(true);
    Ok(())
}

/// The program is alive. Costs no system call.
pub fn reset() {
    if WATCH.get().is_some() {
        LAST.store(monotonic(), Ordering::Relaxed);
    }
}

/// Watches, or does not: waiting for a client may take any time.
pub fn watch(on: bool) {
    reset();
    WATCHING.store(on, Ordering::Relaxed);
}

fn monotonic() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for the call; safe in a signal handler.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec
}

/// Seconds since 1970. Safe in a signal handler.
pub fn time_of_day() -> i64 {
    // SAFETY: a null pointer is allowed: nothing is stored; safe in a signal handler.
    unsafe { libc::time(std::ptr::null_mut()) }
}

extern "C" fn bark(_: libc::c_int) {
    let Some(watch) = WATCH.get() else { return };
    let silent = monotonic().saturating_sub(LAST.load(Ordering::Relaxed));
    if WATCHING.load(Ordering::Relaxed) && silent >= watch.seconds {
        (watch.last_words)();
        // SAFETY: takes an integer; safe in a signal handler, which ends here.
        unsafe { libc::_exit(1) };
    }
    // SAFETY: takes an integer; safe in a signal handler.
    unsafe { libc::alarm(watch.interval) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_watches_before_the_start() {
        reset();
        watch(false);
        assert_eq!(LAST.load(Ordering::Relaxed), 0);
    }
}
