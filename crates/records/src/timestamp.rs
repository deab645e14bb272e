//! Moments as RFC 3339 text in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;

/// The present moment, to the second: `2026-11-21T23:08:37Z`.
pub fn now() -> String {
    // A clock before 1970 is broken; the epoch is as good a stamp as any then.
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    from_unix(seconds)
}

/// A moment given as seconds since 1970-01-01T00:00:00Z.
///
/// ```
/// assert_eq!(basin_records::timestamp::from_unix(1_709_210_096), "2024-02-29T12:34:56Z");
/// ```
pub fn from_unix(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / SECONDS_PER_DAY);
    let second = seconds % SECONDS_PER_DAY;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Day of the Gregorian calendar from days since 1970-01-01 (Howard Hinnant's `civil_from_days`).
///
/// Years start in March here, so that the leap day is the last one of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::from_unix;

    #[test]
    fn leap_days_and_turns_of_the_year_are_right() {
        assert_eq!(from_unix(0), "1970-01-01T00:00:00Z");
        assert_eq!(from_unix(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(from_unix(1_798_761_599), "2026-12-31T23:59:59Z");
        assert_eq!(from_unix(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
