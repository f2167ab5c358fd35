//! The last record of a process that hangs: written from a signal handler, where nothing may be
//! allocated and no lock taken. All that can be known before is prepared before.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use super::target::MONTHS;
use crate::sys::descriptor::send_now;
use crate::sys::watchdog::time_of_day;

/// The socket of the log, -1: none.
pub(super) static SOCKET: AtomicI32 = AtomicI32::new(-1);

static PREPARED: OnceLock<Prepared> = OnceLock::new();

#[derive(Debug)]
pub(super) struct Prepared {
    /// Before the time.
    pub(super) head: Vec<u8>,
    /// After the time.
    pub(super) tail: Vec<u8>,
    /// What stands for a zero before the day.
    pub(super) zero: u8,
    /// Seconds east of UTC.
    pub(super) offset: i64,
}

pub(super) fn prepare(prepared: Prepared) {
    // Once is enough: only the socket can change later.
    let _ = PREPARED.set(prepared);
}

/// Sends the record. Safe in a signal handler.
pub fn watchdog_timeout() {
    let Some(prepared) = PREPARED.get() else { return };
    let mut record = [0u8; 512];
    let stamp = stamp(time_of_day().saturating_add(prepared.offset), prepared.zero);
    let mut len = 0;
    for part in [&prepared.head[..], &stamp, &prepared.tail] {
        for byte in part {
            if let Some(place) = record.get_mut(len) {
                *place = *byte;
                len += 1;
            }
        }
    }
    send_now(SOCKET.load(Ordering::Relaxed), record.get(..len).unwrap_or_default());
}

/// `Nov 23 15:23:41`; `seconds` since 1970, local time.
fn stamp(seconds: i64, zero: u8) -> [u8; 15] {
    let (month, day) = month_and_day(seconds.div_euclid(86400));
    let second = seconds.rem_euclid(86400);
    let mut stamp = *b"Jan 00 00:00:00";
    stamp[..3].copy_from_slice(MONTHS[month % 12].as_bytes());
    for (at, number) in [(4, day), (7, second / 3600), (10, second / 60 % 60), (13, second % 60)] {
        stamp[at] = digit(number / 10);
        stamp[at + 1] = digit(number % 10);
    }
    if stamp[4] == b'0' {
        stamp[4] = zero;
    }
    stamp
}

fn digit(number: i64) -> u8 {
    b'0' + u8::try_from(number.rem_euclid(10)).unwrap_or(0)
}

/// Month (from 0) and day of the month (from 1) of a day since 1970, Gregorian: years begin in
/// March, so that the day that is not always there comes last.
fn month_and_day(day: i64) -> (usize, i64) {
    let day = (day + 719_468).rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    (usize::try_from((month + 2) % 12).unwrap_or(0), of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_that_of_the_calendar() {
        assert_eq!(&stamp(0, b' '), b"Jan  1 00:00:00");
        assert_eq!(&stamp(951_827_696, b'0'), b"Feb 29 12:34:56");
        assert_eq!(&stamp(1_793_707_200, b'0'), b"Nov 03 12:00:00");
        assert_eq!(&stamp(1_798_761_599, b' '), b"Dec 31 23:59:59");
    }
}
