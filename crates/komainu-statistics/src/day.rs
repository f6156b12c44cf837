//! Days, as publications are dated and statistics are counted.

use std::fmt;

use komainu_model::Timestamp;

/// A day of the Gregorian calendar in UTC, as days since 1970-01-01. Shown and read as `2019-04-07`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day in which a point in time lies.
    pub fn of(at: Timestamp) -> Self {
        // All of time in milliseconds has fewer than 2^37 days: the ends of it are cut off.
        let days = at.unix_seconds().div_euclid(24 * 3600);
        Self(days.clamp(i64::from(i32::MIN / 2), i64::from(i32::MAX / 2)) as i32)
    }

    /// Takes `2019-04-07`; also with a time behind it, as in `2019-04-07T00:00:00Z`, which is let go. Years are 1970 to 9999.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        if !(rest.is_empty() || rest.starts_with(['T', ' '])) {
            return None;
        }
        let number = |from: usize, to: usize| -> Option<i32> {
            let digits = date.get(from..to)?;
            if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let is_written_so = date.get(4..5) == Some("-") && date.get(7..8) == Some("-");
        let read = from_civil(year, month, day);
        // What does not come back, such as February 30, is no day.
        (is_written_so && year >= 1970 && read.civil() == (year, month, day)).then_some(read)
    }

    /// How many days this one is after another; negative if it is before.
    pub fn since(self, other: Self) -> i32 {
        self.0.saturating_sub(other.0)
    }

    /// The day so many days before.
    pub(crate) fn before(self, days: i32) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// Year, month from 1, day from 1. The calendar counted from March, where leap days come last (Hinnant,
    /// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
    fn civil(self) -> (i32, i32, i32) {
        let days = i64::from(self.0) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year as i32, month as i32, day as i32)
    }
}

/// `days_from_civil` of the same document.
fn from_civil(year: i32, month: i32, day: i32) -> Day {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Day(era * 146_097 + day_of_era - 719_468)
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_shown() {
        let check =
            |text: &str, expected: Option<i32>| assert_eq!(Day::parse(text).map(|day| day.0), expected, "{text}");
        check("1970-01-01", Some(0));
        check("2000-02-29", Some(11_016));
        check("2019-04-07T12:00:00+09:00", Some(17_993));
        check("2019-04-07 12:00", Some(17_993));
        check("9999-12-31", Some(2_932_896));
        for text in ["", "2019-4-7", "2019-02-29", "2019-13-01", "2019-00-10", "2019-04-00", "1969-12-31", "+019-04-07"]
        {
            check(text, None);
        }
        for text in ["2019/04/07", "2019-04-07x", "２０１９-04-07", "2019-04-0é", "-----------"] {
            check(text, None);
        }
        for days in (0..2_932_896).step_by(97) {
            assert_eq!(Day::parse(&Day(days).to_string()), Some(Day(days)));
        }
    }

    #[test]
    fn points_in_time_have_a_day() {
        let check = |millis: i64, expected: &str| {
            assert_eq!(Day::of(Timestamp::from_unix_millis(millis)).to_string(), expected);
        };
        check(0, "1970-01-01");
        check(-1, "1969-12-31");
        check(86_399_999, "1970-01-01");
        check(1_554_595_200_000, "2019-04-07");
        // The ends of time do no harm.
        let ends = [i64::MIN, i64::MAX].map(|millis| Day::of(Timestamp::from_unix_millis(millis)));
        assert!(ends[0] < ends[1] && ends[1].since(ends[0]) > 0 && !ends[0].to_string().is_empty());
    }
}
