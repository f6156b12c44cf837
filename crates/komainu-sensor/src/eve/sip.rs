use komainu_decode::sip::{Event, Request, Response};
use serde::Serialize;

use super::{AnyRecord, Text};

/// One record for each message, as Suricata has it.
pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    let sip = match event {
        Event::Request { request, .. } => Sip::request(request),
        Event::Response { response, .. } => Sip::response(response),
    };
    vec![AnyRecord::eve("sip", &sip)]
}

/// `sip` of Suricata's schema, without the description of streams.
#[derive(Debug, Default, Serialize)]
struct Sip<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_line: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_line: Option<Text<'a>>,
}

impl<'a> Sip<'a> {
    fn request(request: &Request<'a>) -> Self {
        Self {
            method: Some(Text(request.method)),
            uri: Some(Text(request.target)),
            version: Some(Text(request.version)).filter(|_| !request.version.is_empty()),
            request_line: Some(Text(request.line)),
            ..Self::default()
        }
    }

    fn response(response: &Response<'a>) -> Self {
        Self {
            version: Some(Text(response.version)),
            code: response.status.map(|status| status.to_string()),
            reason: Some(Text(response.reason)),
            response_line: Some(Text(response.line)),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use komainu_decode::sip::Reader;
    use komainu_decode::{Decoder, Fact, Place, Side};

    use super::*;

    #[test]
    fn each_message_is_one_record() {
        let mut lines = Vec::new();
        let mut observer = |_: Place, fact: Fact<'_>| {
            if let Fact::Sip(event) = fact {
                lines.extend(records(&event).iter().map(|record| record.body.to_string()));
            }
        };
        let mut reader = Reader::datagrams();
        reader.data(Side::Client, b"OPTIONS sip:nm\xff SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n", &mut observer);
        reader.data(Side::Server, b"SIP/2.0 405 Not Allowed\r\nCSeq: 1 OPTIONS\r\n\r\n", &mut observer);
        let expected = [
            r#"{"method": "OPTIONS", "uri": "sip:nm\\xff", "version": "SIP/2.0",
                "request_line": "OPTIONS sip:nm\\xff SIP/2.0"}"#,
            r#"{"version": "SIP/2.0", "code": "405", "reason": "Not Allowed",
                "response_line": "SIP/2.0 405 Not Allowed"}"#,
        ];
        let expected = expected.map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap().to_string());
        assert_eq!(lines, expected);
    }
}
