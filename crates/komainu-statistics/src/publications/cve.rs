//! Names of weaknesses.

use std::fmt;

/// The most digits of a number. The rules for CVE identifiers name no most; so many fit.
const DIGITS_MAX: usize = 9;

/// A weakness by its CVE identifier: `CVE-2017-7494`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CveId {
    year: u16,
    number: u32,
}

impl CveId {
    /// Takes an identifier, in letters of either case.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_at_checked(4)?;
        let (year, number) = rest.split_once('-')?;
        let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
        let is_right = prefix.eq_ignore_ascii_case("CVE-")
            && year.len() == 4
            && (4..=DIGITS_MAX).contains(&number.len())
            && is_number(year)
            && is_number(number);
        if !is_right {
            return None;
        }
        Some(Self { year: year.parse().ok()?, number: number.parse().ok()? })
    }
}

impl fmt::Display for CveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CVE-{:04}-{:04}", self.year, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_read_and_shown() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(CveId::parse(text).map(|cve| cve.to_string()).as_deref(), expected, "{text}");
        };
        check("CVE-2017-7494", Some("CVE-2017-7494"));
        check("cve-2014-0001", Some("CVE-2014-0001"));
        check("CVE-2020-123456789", Some("CVE-2020-123456789"));
        for text in
            ["", "CVE-", "CVE-2017", "CVE-2017-749", "CVE-17-7494", "CVE-2017-+7494", "CVE-2017-1234567890", "é2017"]
        {
            check(text, None);
        }
        check(" CVE-2017-7494", None);
    }
}
