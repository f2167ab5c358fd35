//! Sleeping: the one place where this process does nothing on purpose.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static SLEEPER: Cell<fn(Duration)> = const { Cell::new(std::thread::sleep) };
}

/// Sleeps.
pub fn pause(time: Duration) {
    SLEEPER.get()(time);
}

/// Lets this thread call `sleeper` instead of sleeping: for tests.
pub fn replace(sleeper: fn(Duration)) {
    SLEEPER.set(sleeper);
}

/// How long a test's thread would have slept.
#[cfg(test)]
pub mod counted {
    use super::{Cell, Duration};

    thread_local! {
        static TOTAL: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// From now on this thread only counts.
    pub fn start() {
        TOTAL.set(Duration::ZERO);
        super::replace(|time| TOTAL.set(TOTAL.get() + time));
    }

    /// The sum since [`start`].
    pub fn total() -> Duration {
        TOTAL.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_does_not_sleep() {
        counted::start();
        pause(Duration::from_secs(3600));
        assert_eq!(counted::total(), Duration::from_secs(3600));
    }
}
