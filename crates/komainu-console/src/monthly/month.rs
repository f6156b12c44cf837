//! A month of the calendar, in UTC.

use std::fmt;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use komainu_model::Timestamp;
use komainu_ports::TimeRange;
use komainu_texts::Texts;

/// A month of the Gregorian calendar from 1970 to 9998, in UTC. Shown and read as `2026-10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    /// From 1.
    month: i8,
}

/// The first and the last year; in the one after it, the month after still has a name.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=9998;

impl Month {
    /// Takes `2026-10`.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        if !(digits(year, 4) && digits(month, 2)) {
            return None;
        }
        let (year, month) = (year.parse().ok()?, month.parse().ok()?);
        (YEARS.contains(&year) && (1..=12).contains(&month)).then_some(Self { year, month })
    }

    /// The one in which a point in time lies; of times beyond all months, the nearest.
    pub fn of(at: Timestamp) -> Self {
        let Ok(time) = jiff::Timestamp::from_millisecond(at.unix_millis()) else {
            return Self { year: *YEARS.start(), month: 1 };
        };
        let day = time.to_zoned(TimeZone::UTC).date();
        Self { year: day.year().clamp(*YEARS.start(), *YEARS.end()), month: day.month() }
    }

    /// The one before.
    #[must_use]
    pub fn before(self) -> Self {
        match self {
            Self { year, month: 1 } if year > *YEARS.start() => Self { year: year - 1, month: 12 },
            Self { year, month } => Self { year, month: (month - 1).max(1) },
        }
    }

    /// When it begins, and when the next one does.
    pub(crate) fn range(self) -> TimeRange {
        let Self { year, month } = self;
        let next = if month == 12 { date(year + 1, 1, 1) } else { date(year, month + 1, 1) };
        TimeRange { from: begin_of(date(year, month, 1)), to: begin_of(next) }
    }

    /// How people call it: `October 2026`.
    pub(crate) fn name(self, texts: &'static Texts) -> String {
        let year = self.year.to_string();
        let month = texts.word("month", &self.month.to_string()).unwrap_or_default();
        texts.filled("monthly.month", &[("year", &year), ("month", month)])
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

fn begin_of(day: Date) -> Timestamp {
    // UTC has no days that begin twice or never, and years of four digits are within what is known.
    let at = day.to_zoned(TimeZone::UTC).map_or(0, |begin| begin.timestamp().as_millisecond());
    Timestamp::from_unix_millis(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read_and_follow_each_other() {
        let check = |text: &str, before: &str, days: i64| {
            let month = Month::parse(text).unwrap();
            assert_eq!(month.to_string(), text);
            assert_eq!(month.before().to_string(), before);
            let TimeRange { from, to } = month.range();
            assert_eq!((to.unix_millis() - from.unix_millis()) / 86_400_000, days, "{text}");
            assert_eq!(Month::of(from), month);
            assert_eq!(Month::of(Timestamp::from_unix_millis(to.unix_millis() - 1)), month);
        };
        check("2026-10", "2026-09", 31);
        check("2026-01", "2025-12", 31);
        check("2024-02", "2024-01", 29);
        check("2026-12", "2026-11", 31);
        check("1970-01", "1970-01", 31);
        check("9998-12", "9998-11", 31);
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-00",
            "2026-1",
            "26-10",
            "2026-10-01",
            "+026-10",
            "9999-01",
            "1969-12",
            "２０２６-10",
        ] {
            assert_eq!(Month::parse(text), None, "{text}");
        }
        assert_eq!(Month::of(Timestamp::from_unix_millis(-1)).to_string(), "1970-12");
        Month::of(Timestamp::from_unix_millis(i64::MAX)).range();
    }
}
