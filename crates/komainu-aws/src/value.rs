//! Values that AWS writes in a way of its own.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A point in time: a number of seconds since 1970-01-01T00:00:00Z in JSON bodies, ISO 8601 in query strings and in
/// XML. Kept in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EpochSeconds(i64);

impl EpochSeconds {
    /// The point `millis` milliseconds after the Unix epoch.
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// Takes `2019-06-05T15:05:25Z`, with or without a fraction of a second and with any offset, or a number of
    /// seconds since the Unix epoch.
    pub fn parse(text: &str) -> Option<Self> {
        parse_iso_8601(text).or_else(|| Self::from_seconds(text.parse().ok()?))
    }

    fn from_seconds(seconds: f64) -> Option<Self> {
        let millis = (seconds * 1000.0).round();
        // Beyond this, milliseconds are not exact in a double; it is the year 287396.
        const MILLIS_MAX: f64 = 9_007_199_254_740_992.0;
        (millis.abs() <= MILLIS_MAX).then_some(Self(millis as i64))
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last day of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The number in `text[from..to]`, which must be digits only.
pub(crate) fn digits(text: &str, from: usize, to: usize) -> Option<i64> {
    let part = text.get(from..to)?;
    part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
}

/// The days of a date whose parts are in range; `None` for the 30th of February.
pub(crate) fn checked_days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    (1..=days_in_month).contains(&day).then(|| days_from_civil(year, month, day))
}

fn parse_iso_8601(text: &str) -> Option<EpochSeconds> {
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !marks.iter().all(|(at, mark)| text.as_bytes().get(*at) == Some(mark)) {
        return None;
    }
    let days = checked_days(digits(text, 0, 4)?, digits(text, 5, 7)?, digits(text, 8, 10)?)?;
    let (hour, minute, second) = (digits(text, 11, 13)?, digits(text, 14, 16)?, digits(text, 17, 19)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return None;
        }
        millis = digits(&format!("{:0<3}", &fraction[..length]), 0, 3)?;
        rest = &fraction[length..];
    }
    let offset_minutes = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = match rest.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = match rest.len() {
                6 if rest.as_bytes()[3] == b':' => (digits(rest, 1, 3)?, digits(rest, 4, 6)?),
                5 => (digits(rest, 1, 3)?, digits(rest, 3, 5)?),
                _ => return None,
            };
            sign * (hours * 60 + minutes)
        }
    };
    let seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    Some(EpochSeconds(seconds * 1000 + millis))
}

impl Serialize for EpochSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for EpochSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Time;
        impl Visitor<'_> for Time {
            type Value = EpochSeconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a point in time")
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Self::Value, E> {
                EpochSeconds::from_seconds(seconds).ok_or_else(|| E::custom("time is out of range"))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Self::Value, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Self::Value, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                EpochSeconds::parse(text).ok_or_else(|| E::custom(format_args!("{text:?} is not a time")))
            }
        }
        deserializer.deserialize_any(Time)
    }
}

/// Bytes: base64 in JSON and in XML, as they are when they are a request's whole body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                STANDARD.decode(text).map(Blob).map_err(|_| E::custom("is not base64"))
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }
        deserializer.deserialize_any(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_clients_send() {
        let check = |text: &str, millis: Option<i64>| {
            assert_eq!(EpochSeconds::parse(text).map(EpochSeconds::unix_millis), millis, "{text}");
        };
        check("1970-01-01T00:00:00Z", Some(0));
        check("2019-06-05T15:05:25Z", Some(1_559_747_125_000));
        check("2019-06-05T15:05:25.5Z", Some(1_559_747_125_500));
        check("2019-06-05T15:05:25.123456Z", Some(1_559_747_125_123));
        check("2019-06-05T17:05:25+02:00", Some(1_559_747_125_000));
        check("2019-06-05T10:05:25-0500", Some(1_559_747_125_000));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000));
        check("1559747125", Some(1_559_747_125_000));
        check("1559747125.25", Some(1_559_747_125_250));
        check("1969-12-31T23:59:59Z", Some(-1000));
        for wrong in ["", "today", "2019-06-05", "2019-02-29T00:00:00Z", "2019-06-05T24:00:00Z", "NaN", "1e300"] {
            check(wrong, None);
        }
        for wrong in ["2019-06-05T15:05:25", "2019-06-05T15:05:25.Z", "2019-06-05T15:05:25+2", "ä019-06-05T15:05:25Z"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn times_are_written_as_seconds() {
        let json = serde_json::to_string(&EpochSeconds::from_unix_millis(1_559_747_125_500)).unwrap();
        assert_eq!(json, "1559747125.5");
        assert_eq!(serde_json::from_str::<EpochSeconds>("1559747125").unwrap().unix_millis(), 1_559_747_125_000);
    }
}
