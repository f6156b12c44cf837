//! The times in signatures, `20150830T123600Z`.

use crate::value::{checked_days, digits};

/// A signature's time, kept as it was written, because it is part of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AmzDate {
    text: String,
    unix_s: i64,
}

impl AmzDate {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let days = checked_days(digits(text, 0, 4)?, digits(text, 4, 6)?, digits(text, 6, 8)?)?;
        let (hour, minute, second) = (digits(text, 9, 11)?, digits(text, 11, 13)?, digits(text, 13, 15)?);
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        Some(Self { text: text.to_owned(), unix_s: ((days * 24 + hour) * 60 + minute) * 60 + second })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The date without the time, `20150830`.
    pub(super) fn day(&self) -> &str {
        &self.text[..8]
    }

    pub(super) fn unix_s(&self) -> i64 {
        self.unix_s
    }
}

/// A time in the same form, for messages.
pub(super) fn display(unix_s: i64) -> String {
    // The inverse of `days_from_civil`: years begin in March, 400 years are an era.
    let days = unix_s.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let second = unix_s.rem_euclid(86_400);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        for text in ["20150830T123600Z", "19700101T000000Z", "20240229T235959Z", "20991231T000001Z", "20000301T120000Z"]
        {
            assert_eq!(display(AmzDate::parse(text).unwrap().unix_s()), text);
        }
        for wrong in [
            "",
            "20150830",
            "20150830T123600",
            "20150230T123600Z",
            "20150830T993600Z",
            "2015083äT12360Z",
            "+0150830T123600Z",
        ] {
            assert_eq!(AmzDate::parse(wrong), None, "{wrong}");
        }
    }
}
