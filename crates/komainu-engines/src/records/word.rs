//! How enums are spelled on disk, and how numbers are that JSON cannot hold exactly.

use komainu_model::{
    AccessKeyStatus, AlertTargetKind, CertificateMode, CertificateStatus, Comparison, ConfidenceLevel,
    NotificationSignature, Protocol, Role, Statistic, ThingPrincipalType, VerificationState, ViolationEventType,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An enum without fields that is stored as a word.
pub(super) trait Word: Copy + Sized + 'static {
    /// What the enum is, for messages.
    const KIND: &'static str;
    /// Every value with its word.
    const WORDS: &'static [(Self, &'static str)];
    /// The value's word.
    fn word(self) -> &'static str;

    /// The value of a word.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(value, _)| *value)
    }
}

/// Spells the values of an enum. Words are never changed or used again: they are on disks.
macro_rules! words {
    ($type:ident, $kind:literal, { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl Word for $type {
            const KIND: &'static str = $kind;
            const WORDS: &'static [(Self, &'static str)] = &[$((Self::$variant, $word)),+];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }
    };
}

words!(CertificateStatus, "certificate status", {
    Active = "active",
    Inactive = "inactive",
    Revoked = "revoked",
    PendingActivation = "pending-activation",
});
words!(CertificateMode, "certificate mode", { Default = "default", SniOnly = "sni-only" });
words!(ThingPrincipalType, "thing principal type", {
    ExclusiveThing = "exclusive",
    NonExclusiveThing = "non-exclusive",
});
words!(AccessKeyStatus, "access key status", { Active = "active", Revoked = "revoked" });
words!(Role, "role", { Viewer = "viewer", Analyst = "analyst", Admin = "admin" });
words!(Protocol, "protocol", { Email = "email", EmailJson = "email-json", Http = "http", Https = "https" });
words!(NotificationSignature, "notification signature", { V1 = "v1", V2 = "v2" });
words!(AlertTargetKind, "alert target kind", { Sns = "sns" });
words!(Comparison, "comparison", {
    LessThan = "less-than",
    LessThanEquals = "less-than-equals",
    GreaterThan = "greater-than",
    GreaterThanEquals = "greater-than-equals",
});
words!(Statistic, "statistic", {
    Average = "average",
    P0 = "p0",
    P0_1 = "p0.1",
    P0_01 = "p0.01",
    P1 = "p1",
    P10 = "p10",
    P50 = "p50",
    P90 = "p90",
    P99 = "p99",
    P99_9 = "p99.9",
    P99_99 = "p99.99",
    P100 = "p100",
});
words!(ConfidenceLevel, "confidence level", { Low = "low", Medium = "medium", High = "high" });
words!(VerificationState, "verification state", {
    Unknown = "unknown",
    TruePositive = "true-positive",
    BenignPositive = "benign-positive",
    FalsePositive = "false-positive",
});
words!(ViolationEventType, "violation event type", {
    InAlarm = "in-alarm",
    AlarmCleared = "alarm-cleared",
    AlarmInvalidated = "alarm-invalidated",
});

/// A value that is stored as its word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spelled<T>(pub(super) T);

impl<T: Word> Serialize for Spelled<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

impl<'de, T: Word> Deserialize<'de> for Spelled<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        T::from_word(&word).map(Self).ok_or_else(|| de::Error::custom(format!("{} {word:?} is not known", T::KIND)))
    }
}

/// A number as decimal text: JSON has no infinities, and its readers round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exact(pub(super) f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // `{:?}` writes the shortest text that reads back as the same number.
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| de::Error::custom(format!("{text:?} is not a number")))
    }
}
