//! Rule detection: what is normal for a fleet, and which devices are not as they should be.
//!
//! [`Profiles`] decides what may become of one scope's security profiles. [`BehaviorDraft`] checks a behavior as a
//! user wrote it. In: wishes and the time. Out: values, and the changes that carry them out.
//!
//! Nothing here opens a socket, asks for the time, or knows how a report or a request was encoded. Statistical and
//! learned criteria are understood and refused: they come with a detector of their own.

mod behavior;
mod profiles;

pub use behavior::{
    BehaviorDraft, CriteriaDraft, ExpectedDraft, SET_ELEMENTS_MAX, STRING_BYTES_MAX, ValidationRules, WINDOWS_S,
    validate,
};
pub use profiles::{
    ALERT_TARGETS_MAX, BEHAVIORS_MAX, DESCRIPTION_CHARS_MAX, EXPORT_TOPIC_BYTES_MAX, METRICS_TO_RETAIN_MAX, NewProfile,
    PROFILES_MAX, PROFILES_PER_TARGET_MAX, Part, ProfileError, ProfileUpdate, Profiles,
};
