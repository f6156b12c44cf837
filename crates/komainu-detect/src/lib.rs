//! Rule detection: what is normal for a fleet, and which devices are not as they should be.
//!
//! [`Profiles`] decides what may become of one scope's security profiles. [`BehaviorDraft`] checks a behavior as a
//! user wrote it. In: wishes and the time. Out: values, and the changes that carry them out.
//!
//! [`Detector`] judges the devices. In: reports, readings of the gateway, and how far time has come. Out, through a
//! [`Sink`]: values to keep, and the steps in the lives of violations. How each metric is judged is told to operators
//! in `docs/detection.md`.
//!
//! [`BackTest`] says what a profile that is not in force would have found in stored values. It judges them by the same detector.
//!
//! [`IndicatorSet`] says whether somebody whom a device is in contact with is one that it should not be in contact with. Why
//! not, and who found that out, is not known here.
//!
//! Nothing here opens a socket, asks for the time, or knows how a report or a request was encoded. Statistical and
//! learned criteria are understood and refused: they come with a detector of their own.

mod back_test;
mod behavior;
mod detector;
mod indicators;
mod profiles;

pub use back_test::{
    BACK_TEST_DEVICES_MAX, BACK_TEST_FIRINGS_MAX, BACK_TEST_VALUES_MAX, BackTest, BackTestPeriod, BackTested,
    BehaviorBackTest, DevicePlace, Fidelity, Firing,
};
pub use behavior::{
    BehaviorDraft, CriteriaDraft, ExpectedDraft, SET_ELEMENTS_MAX, STRING_BYTES_MAX, ValidationRules, WINDOWS_S,
    validate,
};
pub use detector::{
    ALARM_WITHOUT_DATA_MS_MAX, Detector, DetectorLimits, Fleet, Judged, Meter, Note, REPEAT_MS_MAX, ReportOutcome,
    Sample, Sink, ValueRef, ViolationStep, Yardstick,
};
pub use indicators::{INDICATORS_MAX, IndicatorSet};
pub use profiles::{
    ALERT_TARGETS_MAX, BEHAVIORS_MAX, DESCRIPTION_CHARS_MAX, EXPORT_TOPIC_BYTES_MAX, METRICS_TO_RETAIN_MAX, NewProfile,
    PROFILES_MAX, PROFILES_PER_TARGET_MAX, Part, ProfileError, ProfileLimit, ProfileUpdate, Profiles, is_for,
};
