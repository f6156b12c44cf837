use komainu_decode::rtsp::{Event, Request, Response};
use serde::Serialize;

use super::{AnyRecord, Text};

/// One record for each request with its response.
pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    match event {
        Event::Request(_) => Vec::new(),
        Event::Response { request, response } => {
            vec![AnyRecord::honeypot("rtsp", &Rtsp::of(request.as_ref(), Some(response)))]
        }
        Event::Unanswered(request) => vec![AnyRecord::honeypot("rtsp", &Rtsp::of(Some(request), None))],
    }
}

/// A request and its response, named as `http` of Suricata's schema names the same.
#[derive(Debug, Default, Serialize)]
struct Rtsp<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Text<'a>>,
}

impl<'a> Rtsp<'a> {
    fn of(request: Option<&Request<'a>>, response: Option<&Response<'a>>) -> Self {
        Self {
            method: request.map(|request| Text(request.method)),
            url: request.map(|request| Text(request.target)),
            protocol: request.map(|request| Text(request.version)),
            user_agent: request.and_then(|request| request.header("user-agent")).map(Text),
            transport: request.and_then(|request| request.header("transport")).map(Text),
            status: response.and_then(|response| response.status),
            server: response.and_then(|response| response.header("server")).map(Text),
        }
    }
}

#[cfg(test)]
mod tests {
    use komainu_decode::rtsp::Reader;
    use komainu_decode::{Decoder, Fact, Place, Side};

    use super::*;

    #[test]
    fn a_request_with_its_response_is_one_record() {
        let mut lines = Vec::new();
        let mut observer = |_: Place, fact: Fact<'_>| {
            if let Fact::Rtsp(event) = fact {
                lines.extend(records(&event).iter().map(|record| record.body.to_string()));
            }
        };
        let mut reader = Reader::default();
        reader.data(Side::Client, b"OPTIONS * RTSP/1.0\r\nUser-Agent: x\r\nCSeq: 1\r\n\r\n", &mut observer);
        reader.data(Side::Server, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nServer: cam\r\n\r\n", &mut observer);
        reader.data(Side::Client, b"SETUP /1 RTSP/1.0\r\nTransport: RTP/AVP\r\nCSeq: 2\r\n\r\n", &mut observer);
        reader.end(&mut observer);
        let expected = [
            r#"{"method": "OPTIONS", "url": "*", "protocol": "RTSP/1.0", "user_agent": "x", "status": 200,
                "server": "cam"}"#,
            r#"{"method": "SETUP", "url": "/1", "protocol": "RTSP/1.0", "transport": "RTP/AVP"}"#,
        ];
        let expected = expected.map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap().to_string());
        assert_eq!(lines, expected);
    }
}
