//! Times, as people write them on command lines and in addresses.

use std::str::FromStr;
use std::time::Duration;

use komainu_model::Timestamp;

use crate::lake::LakeError;

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long ago.
    Ago(Duration),
    /// This one.
    At(Timestamp),
}

impl When {
    /// The point, when it is `now`.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(duration) => now.minus(duration),
            Self::At(at) => at,
        }
    }
}

impl FromStr for When {
    type Err = LakeError;

    fn from_str(text: &str) -> Result<Self, LakeError> {
        const HOUR_S: u64 = 3600;
        let units = [("m", 60), ("h", HOUR_S), ("d", 24 * HOUR_S), ("w", 7 * 24 * HOUR_S)];
        for (unit, seconds) in units {
            let count = text.strip_suffix(unit).filter(|count| count.bytes().all(|digit| digit.is_ascii_digit()));
            if let Some(seconds) = count.and_then(|count| count.parse::<u64>().ok()?.checked_mul(seconds)) {
                return Ok(Self::Ago(Duration::from_secs(seconds)));
            }
        }
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::At(Timestamp::from_unix_millis(at.as_millisecond())));
        }
        // A date with hours would lose them here.
        let day = text.parse::<jiff::civil::Date>().ok().filter(|_| !text.contains(['T', 't', ' ']));
        let midnight = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let midnight = midnight.ok_or_else(|| {
            let forms =
                "write how long ago (30m, 12h, 7d, 2w), a day (2026-11-01) or a time in UTC (2026-11-01T12:00:00Z)";
            LakeError::invalid("time", forms)
        })?;
        Ok(Self::At(Timestamp::from_unix_millis(midnight.timestamp().as_millisecond())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let check = |text: &str, expected: Option<When>| {
            assert_eq!(text.parse::<When>().ok(), expected, "{text}");
        };
        let ago = |seconds| Some(When::Ago(Duration::from_secs(seconds)));
        let at = |seconds| Some(When::At(Timestamp::from_unix_seconds(seconds)));
        check("30m", ago(1_800));
        check("12h", ago(43_200));
        check("7d", ago(604_800));
        check("2w", ago(1_209_600));
        check("0d", ago(0));
        check("2026-11-01", at(1_793_491_200));
        check("2026-11-01T12:00:00Z", at(1_793_534_400));
        check("2026-11-01T12:00:00+09:00", at(1_793_502_000));
        check("2026-11-01T12:00:00.5Z", Some(When::At(Timestamp::from_unix_millis(1_793_534_400_500))));
        for wrong in
            ["", "d", "-7d", "7", "7y", "1.5d", "yesterday", "2026-13-01", "2026-11-01T12:00", "99999999999999999999d"]
        {
            check(wrong, None);
        }
        assert_eq!(When::Ago(Duration::from_secs(u64::MAX)).at(Timestamp::default()).unix_millis(), -i64::MAX);
        let error = "soon".parse::<When>().unwrap_err().to_string();
        assert!(error.contains("2026-11-01T12:00:00Z"), "{error}");
    }
}
