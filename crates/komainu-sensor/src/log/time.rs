//! Times as event logs have them.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

/// A time in microseconds since 1970, shown as Suricata shows it: `2026-11-25T01:02:03.000004+0000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) i64);

/// How long a shown time is, in bytes.
const SHOWN_BYTES: usize = "2026-11-25T01:02:03.000004+0000".len();

impl Time {
    pub(crate) fn write(self, to: &mut Vec<u8>) {
        // A capture file may claim any time; what no calendar has is shown as the beginning of time.
        let at = Timestamp::from_microsecond(self.0).unwrap_or_default();
        let at = TimeZone::UTC.to_datetime(at);
        write!(
            to,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+0000",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.subsec_nanosecond() / 1000
        )
        .expect("a vector takes everything");
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = Vec::with_capacity(SHOWN_BYTES);
        self.write(&mut shown);
        serializer.serialize_str(std::str::from_utf8(&shown).expect("digits and punctuation"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_look_like_suricatas() {
        let shown = |at| serde_json::to_string(&Time(at)).unwrap();
        assert_eq!(shown(0), "\"1970-01-01T00:00:00.000000+0000\"");
        assert_eq!(shown(1_795_568_523_000_004), "\"2026-11-25T01:02:03.000004+0000\"");
        assert_eq!(shown(i64::MAX), "\"1970-01-01T00:00:00.000000+0000\"");
    }
}
