//! What sensors hand to the hub beside records: the packets of single sessions.

use std::error::Error;
use std::fmt;

use komainu_model::{Confidentiality, Timestamp};

use crate::sensor_records::SensorKey;

/// A session that a sensor recorded: 16 bytes, which follow from the sensor, the flow and the time. Shown as 32
/// hexadecimal digits in lower case, as in the key `session.id` of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordedSession([u8; 16]);

/// A capture that is kept: the packets of a session, a file in the format pcapng.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCapture {
    /// Who sent it.
    pub sensor: SensorKey,
    /// Whose packets it has.
    pub session: RecordedSession,
    /// Who may see it.
    pub confidentiality: Confidentiality,
    /// Its size.
    pub bytes: u64,
    /// When it came.
    pub received_at: Timestamp,
}

/// What became of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureStored {
    /// It is kept now.
    New {
        /// Captures that were removed to make room.
        removed: u64,
    },
    /// It came before: nothing has changed.
    Known,
}

/// How much is kept of the captures that sensors send. At a bound the oldest captures go, of the sensor whose captures
/// take the most bytes: one that was taken over pushes out its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturesLimits {
    /// Bytes of all captures.
    pub bytes_max: u64,
    /// Captures: bounds the memory in which they are counted, about 200 bytes each, and the files on a disk.
    pub captures_max: u64,
}

impl Default for CapturesLimits {
    fn default() -> Self {
        Self { bytes_max: 4 << 30, captures_max: 100_000 }
    }
}

/// Keeps the captures that sensors send. Calls may block.
pub trait SensorCaptures: Send + Sync {
    /// Keeps the capture of a session; durable on return. One of the same sensor and session that is kept stays as it is.
    fn put(&self, capture: &NewCapture<'_>, now: Timestamp) -> Result<CaptureStored, CapturesError>;

    /// What is kept, in the order in which it came.
    fn captures(&self) -> Vec<StoredCapture>;

    /// The packets of a session.
    fn read(&self, capture: &StoredCapture) -> Result<Vec<u8>, CapturesError>;
}

/// A capture that comes.
#[derive(Debug, Clone, Copy)]
pub struct NewCapture<'a> {
    /// Who sends it.
    pub sensor: &'a SensorKey,
    /// Whose packets it has.
    pub session: RecordedSession,
    /// Who may see it.
    pub confidentiality: Confidentiality,
    /// A file in the format pcapng.
    pub pcapng: &'a [u8],
}

/// Why captures cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum CapturesError {
    /// There is no such capture, or no longer.
    #[error("the capture of session {session} is not kept")]
    Missing {
        /// Whose packets were asked for.
        session: RecordedSession,
    },
    /// The medium failed; trying again may help.
    #[error("captures are unavailable while {doing}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl RecordedSession {
    /// Reads 32 hexadecimal digits in lower case, as it shows itself.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digits = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_digits.then(|| u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes())))?
    }
}

impl fmt::Display for RecordedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_read_as_they_are_shown() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(RecordedSession::parse(text).map(|session| session.to_string()).as_deref(), expected, "{text}");
        };
        for text in ["00000000000000000000000000000001", "ffffffffffffffffffffffffffffffff"] {
            check(text, Some(text));
        }
        for text in ["", "1", "0000000000000000000000000000000g", "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"] {
            check(text, None);
        }
        check("+000000000000000000000000000000f", None);
        check("../../../../../../../../etc/passwd", None);
    }
}
