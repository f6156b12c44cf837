//! What a device is answered on `.../accepted` and `.../rejected`.

use minicbor::Encoder;
use serde::Serialize;

use crate::{Encoding, Problem};

/// The report was taken.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'a> {
    /// The thing in the report's topic.
    pub thing: &'a str,
    /// The device's number for the report.
    pub report_id: u64,
    /// When it was received, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// What of it was left out. Our own addition (`droppedMetrics`), absent when there is nothing to say.
    pub dropped: &'a [Problem],
    /// What of it was taken and looks wrong. Our own addition (`warnings`), absent when there is nothing to say.
    pub warnings: &'a [Problem],
}

/// The report was not taken.
#[derive(Debug, Clone, Copy)]
pub struct Rejected<'a> {
    /// The thing in the report's topic.
    pub thing: &'a str,
    /// The device's number for the report, when it could be read.
    pub report_id: Option<u64>,
    /// When it was received, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The kind of trouble.
    pub code: RejectionCode,
    /// The trouble in words.
    pub message: &'a str,
}

/// The kind of trouble, in AWS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectionCode {
    /// The report cannot be used as it is.
    InvalidPayload,
    /// The report may be sent again later.
    Throttled,
}

impl RejectionCode {
    /// AWS's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidPayload => "InvalidPayload",
            Self::Throttled => "Throttled",
        }
    }
}

impl Accepted<'_> {
    /// The payload of the answer.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        encode(encoding, &|sink| {
            let fields = 4 + u64::from(!self.dropped.is_empty()) + u64::from(!self.warnings.is_empty());
            sink.object(fields);
            sink.text("thingName", self.thing);
            sink.unsigned("reportId", self.report_id);
            sink.text("status", "ACCEPTED");
            sink.signed("timestamp", self.timestamp_ms);
            if !self.dropped.is_empty() {
                sink.problems("droppedMetrics", self.dropped);
            }
            if !self.warnings.is_empty() {
                sink.problems("warnings", self.warnings);
            }
        })
    }
}

impl Rejected<'_> {
    /// The payload of the answer.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        encode(encoding, &|sink| {
            sink.object(4 + u64::from(self.report_id.is_some()));
            sink.text("thingName", self.thing);
            if let Some(report_id) = self.report_id {
                sink.unsigned("reportId", report_id);
            }
            sink.text("status", "REJECTED");
            sink.details("statusDetails", self.code.as_str(), self.message);
            sink.signed("timestamp", self.timestamp_ms);
        })
    }
}

fn encode(encoding: Encoding, write: &dyn Fn(&mut dyn Sink)) -> Vec<u8> {
    match encoding {
        Encoding::Json => {
            let mut json = JsonSink { out: Vec::with_capacity(256) };
            write(&mut json);
            json.out.push(b'}');
            json.out
        }
        Encoding::Cbor => {
            let mut cbor = CborSink(Encoder::new(Vec::with_capacity(256)));
            write(&mut cbor);
            cbor.0.into_writer()
        }
    }
}

/// Takes the fields of an answer in their order.
trait Sink {
    fn object(&mut self, fields: u64);
    fn text(&mut self, name: &str, value: &str);
    fn unsigned(&mut self, name: &str, value: u64);
    fn signed(&mut self, name: &str, value: i64);
    fn problems(&mut self, name: &str, value: &[Problem]);
    fn details(&mut self, name: &str, code: &str, message: &str);
}

struct JsonSink {
    out: Vec<u8>,
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    metric: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DetailsJson<'a> {
    error_code: &'a str,
    error_message: &'a str,
}

impl JsonSink {
    fn value(&mut self, name: &str, value: &impl Serialize) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        serde_json::to_writer(&mut self.out, name).expect("text is written to memory");
        self.out.push(b':');
        serde_json::to_writer(&mut self.out, value).expect("plain values are written to memory");
    }
}

impl Sink for JsonSink {
    fn object(&mut self, _fields: u64) {
        self.out.push(b'{');
    }

    fn text(&mut self, name: &str, value: &str) {
        self.value(name, &value);
    }

    fn unsigned(&mut self, name: &str, value: u64) {
        self.value(name, &value);
    }

    fn signed(&mut self, name: &str, value: i64) {
        self.value(name, &value);
    }

    fn problems(&mut self, name: &str, value: &[Problem]) {
        let list: Vec<_> =
            value.iter().map(|problem| ProblemJson { metric: &problem.metric, reason: &problem.reason }).collect();
        self.value(name, &list);
    }

    fn details(&mut self, name: &str, code: &str, message: &str) {
        self.value(name, &DetailsJson { error_code: code, error_message: message });
    }
}

struct CborSink(Encoder<Vec<u8>>);

const INFALLIBLE: &str = "writing to memory does not fail";

impl Sink for CborSink {
    fn object(&mut self, fields: u64) {
        self.0.map(fields).expect(INFALLIBLE);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.0.str(name).and_then(|out| out.str(value)).expect(INFALLIBLE);
    }

    fn unsigned(&mut self, name: &str, value: u64) {
        self.0.str(name).and_then(|out| out.u64(value)).expect(INFALLIBLE);
    }

    fn signed(&mut self, name: &str, value: i64) {
        self.0.str(name).and_then(|out| out.i64(value)).expect(INFALLIBLE);
    }

    fn problems(&mut self, name: &str, value: &[Problem]) {
        self.0.str(name).and_then(|out| out.array(value.len() as u64)).expect(INFALLIBLE);
        for problem in value {
            self.object(2);
            self.text("metric", &problem.metric);
            self.text("reason", &problem.reason);
        }
    }

    fn details(&mut self, name: &str, code: &str, message: &str) {
        self.0.str(name).expect(INFALLIBLE);
        self.object(2);
        self.text("ErrorCode", code);
        self.text("ErrorMessage", message);
    }
}
