//! Days, months and years in UTC.

pub(crate) const SECOND_MS: i64 = 1000;
pub(crate) const MINUTE_MS: i64 = 60 * SECOND_MS;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// The end of the year 9999: later years do not fit the labels, and nothing is measured then.
const TIME_MS_MAX: i64 = 253_402_300_800_000;

/// A span of time in milliseconds since 1970. It begins in or after 1970, ends before the year 10000, and is never
/// empty, so that whatever is divided by its length is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    from_ms: i64,
    to_ms: i64,
}

impl TimeRange {
    /// From the one time to the other, without it. What is out of bounds is moved to the bound, and what would be
    /// shorter than a second is a second long.
    pub fn new(from_ms: i64, to_ms: i64) -> Self {
        let from_ms = from_ms.clamp(0, TIME_MS_MAX - SECOND_MS);
        let to_ms = to_ms.clamp(from_ms + SECOND_MS, TIME_MS_MAX);
        Self { from_ms, to_ms }
    }

    /// The first millisecond.
    pub fn from_ms(self) -> i64 {
        self.from_ms
    }

    /// The millisecond after the last.
    pub fn to_ms(self) -> i64 {
        self.to_ms
    }

    pub(crate) fn length_ms(self) -> i64 {
        self.to_ms - self.from_ms
    }

    /// Where a time lies: 0 is the beginning, 1 the end.
    pub(crate) fn place_of(self, time_ms: i64) -> f64 {
        (time_ms as f64 - self.from_ms as f64) / self.length_ms() as f64
    }

    pub(crate) fn holds(self, time_ms: i64) -> bool {
        time_ms >= self.from_ms && time_ms < self.to_ms
    }

    /// The part of it between the boundaries `first` and `end` of `count` equal parts.
    pub(crate) fn part(self, first: usize, end: usize, count: usize) -> Self {
        let boundary = |index: usize| {
            let offset = i128::from(self.length_ms()) * index as i128 / count.max(1) as i128;
            // A part of the length, which is an `i64`.
            self.from_ms + offset as i64
        };
        let from_ms = boundary(first).min(self.to_ms - 1);
        Self { from_ms, to_ms: boundary(end).clamp(from_ms + 1, self.to_ms) }
    }

    /// Both ends, as exact as they are: `2026-11-09 – 2026-11-10`, `2026-11-09 14:00 – 15:00`; one whole day is that
    /// day.
    pub(crate) fn text(self) -> String {
        let last_ms = self.to_ms - 1;
        if self.from_ms % DAY_MS == 0 && self.to_ms % DAY_MS == 0 {
            let (first, last) = (date(self.from_ms), date(last_ms));
            return if first == last { first } else { format!("{first} – {last}") };
        }
        let end = if self.from_ms / DAY_MS == last_ms / DAY_MS && self.to_ms % DAY_MS != 0 {
            clock(self.to_ms)
        } else {
            moment(self.to_ms)
        };
        format!("{} – {end}", moment(self.from_ms))
    }
}

/// Year, month and day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    pub(crate) month: u32,
    pub(crate) day: u32,
}

impl Date {
    /// The day of a time that is not before 1970. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
    /// `civil_from_days`.
    pub(crate) fn at(time_ms: i64) -> Self {
        let days = time_ms.div_euclid(DAY_MS) + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // Both are small by construction.
        Self { year, month: month as u32, day: day as u32 }
    }
}

/// The beginning of a month; months count from 0 in the year 0. The same source, `days_from_civil`.
pub(crate) fn month_ms(months: i64) -> i64 {
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    (era * 146_097 + of_era - 719_468) * DAY_MS
}

/// `2026-11-09`.
pub(crate) fn date(time_ms: i64) -> String {
    let Date { year, month, day } = Date::at(time_ms);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `14:05`, with seconds if it has some.
pub(crate) fn clock(time_ms: i64) -> String {
    let of_day = time_ms.rem_euclid(DAY_MS);
    let (hours, minutes, seconds) = (of_day / HOUR_MS, of_day / MINUTE_MS % 60, of_day / SECOND_MS % 60);
    if seconds == 0 { format!("{hours:02}:{minutes:02}") } else { format!("{hours:02}:{minutes:02}:{seconds:02}") }
}

/// `2026-11-09 14:05`.
pub(crate) fn moment(time_ms: i64) -> String {
    format!("{} {}", date(time_ms), clock(time_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        let check = |time_ms: i64, expected: &str| assert_eq!(moment(time_ms), expected);
        check(0, "1970-01-01 00:00");
        check(951_782_400_000, "2000-02-29 00:00");
        check(1_794_873_600_000 + 14 * HOUR_MS + 5 * MINUTE_MS, "2026-11-17 14:05");
        check(TIME_MS_MAX - 1, "9999-12-31 23:59:59");
    }

    #[test]
    fn months_begin_where_their_first_day_does() {
        for months in 1970 * 12..2100 * 12 {
            let date = Date::at(month_ms(months));
            assert_eq!((date.year * 12 + i64::from(date.month) - 1, date.day), (months, 1));
        }
    }

    #[test]
    fn a_range_is_told_as_exactly_as_it_is() {
        let check = |from_ms: i64, to_ms: i64, expected: &str| {
            assert_eq!(TimeRange::new(from_ms, to_ms).text(), expected);
        };
        check(0, DAY_MS, "1970-01-01");
        check(0, 3 * DAY_MS, "1970-01-01 – 1970-01-03");
        check(HOUR_MS, 2 * HOUR_MS, "1970-01-01 01:00 – 02:00");
        check(23 * HOUR_MS, DAY_MS, "1970-01-01 23:00 – 1970-01-02 00:00");
        check(0, 0, "1970-01-01 00:00 – 00:00:01");
    }

    #[test]
    fn a_range_is_never_empty_nor_beyond_the_calendar() {
        for (from_ms, to_ms) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (5, 5), (i64::MAX, i64::MAX)] {
            let range = TimeRange::new(from_ms, to_ms);
            assert!(range.length_ms() >= SECOND_MS && range.from_ms() >= 0 && range.to_ms() <= TIME_MS_MAX);
            assert_eq!(range.part(0, 7, 7), range);
        }
    }
}
