//! From bytes to a report.

use serde::de::DeserializeSeed;

use crate::cbor::CborReader;
use crate::draft::Draft;
use crate::walk::{Kind, Object};
use crate::{Problem, Report, ReportError, Unusable};

/// The largest report, in bytes: the largest MQTT payload of AWS IoT.
pub const REPORT_BYTES_MAX: usize = 128 * 1024;
/// How deep lists and objects may stand in each other. The schema needs 6. JSON outside the schema is passed over
/// without recursion and has no such bound.
pub const NESTING_MAX: usize = 32;
/// So many elements of a list are taken; a list of ports can use no more than 65,536, and agents send 50.
pub const LIST_ELEMENTS_MAX: usize = 4096;
/// So many custom metrics of a report are taken.
pub const CUSTOM_METRICS_MAX: usize = 100;
/// The longest name of a custom metric, in bytes (AWS IoT CreateCustomMetric, `metricName`).
pub const METRIC_NAME_BYTES_MAX: usize = 128;
/// The longest string in a custom metric's list, in bytes.
pub const CUSTOM_STRING_BYTES_MAX: usize = 1024;
/// So many problems of a report are kept one by one; one more says how many others there were. It bounds the answer.
pub const PROBLEMS_MAX: usize = 20;

/// What was understood of a report, and what was not.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What was understood.
    pub report: Report,
    /// What was left out, in the order of the report; at most [`PROBLEMS_MAX`] and one that counts the others.
    pub problems: Vec<Problem>,
}

/// Reads a report from JSON.
pub fn parse_json(bytes: &[u8]) -> Result<Parsed, ReportError> {
    parse(bytes, "JSON", |draft| {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let kind = Object(draft).deserialize(&mut deserializer).map_err(|error| error.to_string())?;
        deserializer.end().map_err(|error| error.to_string())?;
        Ok(kind)
    })
}

/// Reads a report from CBOR.
pub fn parse_cbor(bytes: &[u8]) -> Result<Parsed, ReportError> {
    parse(bytes, "CBOR", |draft| {
        let mut reader = CborReader::new(bytes, NESTING_MAX);
        let kind = Object(draft).deserialize(&mut reader).map_err(|error| error.to_string())?;
        reader.end().map_err(|error| error.to_string())?;
        Ok(kind)
    })
}

fn parse(
    bytes: &[u8],
    encoding: &'static str,
    walk: impl FnOnce(&mut Draft) -> Result<Kind, String>,
) -> Result<Parsed, ReportError> {
    if bytes.len() > REPORT_BYTES_MAX {
        let problem = Unusable::TooLarge { bytes: bytes.len(), bytes_max: REPORT_BYTES_MAX };
        return Err(ReportError { report_id: None, problem });
    }
    let mut draft = Draft::default();
    match walk(&mut draft) {
        Ok(Kind::Object) => draft.finish(),
        Ok(kind) => {
            let reason = format!("is {}, an object is expected", kind.as_str());
            let problem = Unusable::Structure(Problem { metric: "report".to_owned(), reason });
            Err(ReportError { report_id: None, problem })
        }
        Err(reason) => {
            Err(ReportError { report_id: draft.report_id(), problem: Unusable::Syntax { encoding, reason } })
        }
    }
}
