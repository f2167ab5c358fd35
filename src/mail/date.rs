//! Dates in message headers (RFC 5322, section 3.3).

/// A moment in a time zone, broken down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTime {
    /// Year, such as 2026.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Day of the week, 0 is Sunday.
    pub weekday: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 60.
    pub second: u8,
    /// Seconds east of UTC.
    pub offset: i32,
    /// Name of the time zone, such as `CET`.
    pub zone: Vec<u8>,
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The date in the form `Mon,  9 Nov 2026 15:35:14 +0100 (CET)`, with a blank before days of one
/// digit, or with a zero (`two_digits`). As Postfix: `mail_date()`.
pub fn mail_date(time: &LocalTime, two_digits: bool) -> Vec<u8> {
    let minutes = time.offset / 60;
    let day = if two_digits { format!("{:02}", time.day) } else { format!("{:2}", time.day) };
    let date = format!(
        "{}, {} {} {} {:02}:{:02}:{:02} {:+03}{:02} (",
        DAYS[usize::from(time.weekday % 7)],
        day,
        MONTHS[usize::from(time.month.wrapping_sub(1) % 12)],
        time.year,
        time.hour,
        time.minute,
        time.second,
        minutes / 60,
        minutes.unsigned_abs() % 60,
    );
    fill!("{}{})", date, time.zone)
}

/// The moment as in a log: `Nov 09 15:35:14`. As Postfix: `$localtime` in replies.
pub fn log_date(time: &LocalTime) -> Vec<u8> {
    format!(
        "{} {:02} {:02}:{:02}:{:02}",
        MONTHS[usize::from(time.month.wrapping_sub(1) % 12)],
        time.day,
        time.hour,
        time.minute,
        time.second,
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_have_no_year() {
        let time = LocalTime {
            year: 2026,
            month: 11,
            day: 9,
            weekday: 1,
            hour: 15,
            minute: 35,
            second: 4,
            offset: 0,
            zone: b"UTC".to_vec(),
        };
        assert_eq!(log_date(&time), b"Nov 09 15:35:04");
    }

    fn at(month: u8, day: u8, weekday: u8, offset: i32, zone: &str) -> LocalTime {
        let zone = zone.as_bytes().to_vec();
        LocalTime { year: 2026, month, day, weekday, hour: 5, minute: 35, second: 4, offset, zone }
    }

    #[test]
    fn a_day_of_one_digit_has_a_blank_before_it() {
        assert_eq!(
            mail_date(&at(11, 9, 1, 0, "UTC"), false),
            b"Mon,  9 Nov 2026 05:35:04 +0000 (UTC)"
        );
        assert_eq!(
            mail_date(&at(11, 23, 1, 0, "UTC"), true),
            b"Mon, 23 Nov 2026 05:35:04 +0000 (UTC)"
        );
    }

    #[test]
    fn the_zone_is_given_in_hours_and_minutes_and_by_name() {
        assert_eq!(
            mail_date(&at(1, 3, 6, 20700, "+0545"), false),
            b"Sat,  3 Jan 2026 05:35:04 +0545 (+0545)"
        );
        assert_eq!(
            mail_date(&at(12, 31, 4, -12600, "NST"), false),
            b"Thu, 31 Dec 2026 05:35:04 -0330 (NST)"
        );
    }
}
