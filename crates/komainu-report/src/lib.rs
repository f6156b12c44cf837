//! The metric report of AWS IoT Device Defender: what a device says of itself, and what it is answered.
//!
//! In: the payload of `$aws/things/THING/defender/metrics/{json,cbor}`. Out: a [`Report`] together with the list of
//! what in it was not understood, or a [`ReportError`] when nothing of it can be used; and the payloads of the
//! `accepted` and `rejected` answers. Both encodings, long and short names, and the departures from the schema that
//! the agents in the field make (each is a file in `tests/reports`).
//!
//! A report is never half-accepted in silence: each value that is left out is a [`Problem`], and the accepted answer
//! carries them to the device.
//!
//! What a value means for the fleet is not known here, nor where the bytes came from. This crate depends on no other
//! of ours, so that an agent on a device can use it alone.

mod answer;
mod cbor;
mod draft;
mod error;
mod parse;
mod report;
mod walk;

pub use answer::{Accepted, Rejected, RejectionCode};
pub use error::{Problem, ReportError, Unusable};
pub use parse::{
    CUSTOM_METRICS_MAX, CUSTOM_STRING_BYTES_MAX, LIST_ELEMENTS_MAX, METRIC_NAME_BYTES_MAX, NESTING_MAX, PROBLEMS_MAX,
    Parsed, REPORT_BYTES_MAX, parse_cbor, parse_json,
};
pub use report::{Connection, CustomMetric, CustomValue, Encoding, NetworkStats, Report, Version};
