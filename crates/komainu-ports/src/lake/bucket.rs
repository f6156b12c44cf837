//! Pieces of time.

use komainu_model::Timestamp;

/// Into which pieces time is cut; all of them begin in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeBucket {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week; it begins on Monday.
    Week,
    /// A month of the calendar.
    Month,
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 1970-01-01 was a Thursday.
const DAYS_FROM_MONDAY: i64 = 3;

impl TimeBucket {
    /// All of them, the shortest first.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The number of the piece that a point lies in; that of 1970-01-01T00:00:00Z is zero.
    pub const fn number(self, at: Timestamp) -> i64 {
        let millis = at.unix_millis();
        match self {
            Self::Hour => millis.div_euclid(HOUR_MS),
            Self::Day => millis.div_euclid(DAY_MS),
            Self::Week => (millis.div_euclid(DAY_MS) + DAYS_FROM_MONDAY).div_euclid(7),
            Self::Month => month_of_day(millis.div_euclid(DAY_MS)),
        }
    }

    /// When a piece begins; saturates at the ends of time.
    pub const fn start(self, number: i64) -> Timestamp {
        Timestamp::from_unix_millis(match self {
            Self::Hour => number.saturating_mul(HOUR_MS),
            Self::Day => number.saturating_mul(DAY_MS),
            Self::Week => number.saturating_mul(7).saturating_sub(DAYS_FROM_MONDAY).saturating_mul(DAY_MS),
            Self::Month => first_day_of_month(number).saturating_mul(DAY_MS),
        })
    }
}

/// The months since January 1970 of a day that is so many days after 1970-01-01. The calendar repeats itself every 400 years,
/// which have 146,097 days; years are counted from March, so that the day that is sometimes there is the last.
const fn month_of_day(day: i64) -> i64 {
    let since_march_0 = day.saturating_add(719_468);
    let era = since_march_0.div_euclid(146_097);
    let day_of_era = since_march_0.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let (year, month) = if month_from_march < 10 {
        (era * 400 + year_of_era, month_from_march + 2)
    } else {
        (era * 400 + year_of_era + 1, month_from_march - 10)
    };
    (year - 1970) * 12 + month
}

/// The first day of a month that is so many months after January 1970, in days after 1970-01-01.
const fn first_day_of_month(number: i64) -> i64 {
    // Beyond this, no point in time is.
    let number = if number > 4_000_000_000 {
        4_000_000_000
    } else if number < -4_000_000_000 {
        -4_000_000_000
    } else {
        number
    };
    let (year, month) = (number.div_euclid(12) + 1970, number.rem_euclid(12));
    let (year, month_from_march) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month_from_march + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_in_their_pieces() {
        let check = |bucket: TimeBucket, at: i64, expected: i64| {
            let number = bucket.number(Timestamp::from_unix_seconds(at));
            assert_eq!(bucket.start(number), Timestamp::from_unix_seconds(expected), "{bucket:?} {at}");
            assert_eq!(bucket.number(bucket.start(number)), number, "{bucket:?} {at}");
            let next = bucket.start(number + 1);
            assert_eq!(bucket.number(Timestamp::from_unix_millis(next.unix_millis() - 1)), number, "{bucket:?} {at}");
        };
        // 2026-11-26T21:09:09Z, a Thursday.
        check(TimeBucket::Hour, 1_795_727_349, 1_795_726_800);
        check(TimeBucket::Day, 1_795_727_349, 1_795_651_200);
        check(TimeBucket::Week, 1_795_727_349, 1_795_392_000);
        check(TimeBucket::Month, 1_795_727_349, 1_793_491_200);
        // The day that is sometimes there.
        check(TimeBucket::Month, 1_709_164_800 + 5, 1_706_745_600);
        check(TimeBucket::Month, 0, 0);
        check(TimeBucket::Week, 0, -259_200);
        check(TimeBucket::Month, -1, -2_678_400);
        check(TimeBucket::Hour, -1, -3_600);
    }

    #[test]
    fn every_month_of_800_years_begins_where_the_last_one_ends() {
        for number in -4_800..4_800 {
            let (this, next) = (TimeBucket::Month.start(number), TimeBucket::Month.start(number + 1));
            let days = next.since(this).as_secs() / 86_400;
            assert!((28..=31).contains(&days), "{number}: {days}");
            assert_eq!(TimeBucket::Month.number(this), number);
        }
    }
}
