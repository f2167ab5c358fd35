//! The clock and the calendar.

use std::cell::Cell;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::mail::date::LocalTime;

thread_local! {
    static FIXED: Cell<Option<SystemTime>> = const { Cell::new(None) };
}

/// The time of day.
pub fn now() -> SystemTime {
    FIXED.get().unwrap_or_else(SystemTime::now)
}

/// Stops this thread's clock at `time`, or lets it run again: for tests.
pub fn fix(time: Option<SystemTime>) {
    FIXED.set(time);
}

/// Seconds since 1970, and microseconds.
pub fn since_epoch(time: SystemTime) -> (i64, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_micros())
}

/// `time` in the local time zone.
pub fn local(time: SystemTime) -> LocalTime {
    let (seconds, _) = since_epoch(time);
    let seconds: libc::time_t = seconds;
    let mut broken_down = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call; localtime_r() writes at most the struct.
    unsafe { libc::localtime_r(&raw const seconds, broken_down.as_mut_ptr()) };
    // SAFETY: all-zero bytes are a valid `tm`, which localtime_r() has overwritten if it could.
    let tm = unsafe { broken_down.assume_init() };
    let small = |value: libc::c_int| u8::try_from(value).unwrap_or(0);
    LocalTime {
        year: tm.tm_year.saturating_add(1900),
        month: small(tm.tm_mon.saturating_add(1)),
        day: small(tm.tm_mday),
        weekday: small(tm.tm_wday),
        hour: small(tm.tm_hour),
        minute: small(tm.tm_min),
        second: small(tm.tm_sec),
        offset: i32::try_from(tm.tm_gmtoff).unwrap_or(0),
        zone: zone(&tm),
    }
}

fn zone(tm: &libc::tm) -> Vec<u8> {
    if tm.tm_zone.is_null() {
        return Vec::new();
    }
    // SAFETY: the C library's zone names are NUL-terminated strings that it does not free.
    unsafe { CStr::from_ptr(tm.tm_zone) }.to_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_fixed_clock_stands() {
        let then = UNIX_EPOCH + Duration::from_micros(1_000_000_000_500_000);
        fix(Some(then));
        assert_eq!(now(), then);
        assert_eq!(since_epoch(now()), (1_000_000_000, 500_000));
        fix(None);
        assert!(now() > then);
    }

    #[test]
    fn the_calendar_agrees_with_the_offset() {
        let time = local(UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        assert_eq!(time.year, 2001);
        assert_eq!(time.second, 40);
    }
}
