use komainu_decode::Headers;
use komainu_decode::ssdp::{Discovery, Event};
use serde::Serialize;

use super::{AnyRecord, Text};

/// One record for each message.
pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    let record = match event {
        Event::Search(request) => Ssdp::of("search", request.headers),
        Event::Notify(request) => Ssdp::of("notify", request.headers),
        Event::Other(request) => Ssdp { method: Some(Text(request.method)), ..Ssdp::of("other", request.headers) },
        Event::Answer(response) => Ssdp { status: response.status, ..Ssdp::of("answer", response.headers) },
        Event::Discovery(said) => return vec![AnyRecord::honeypot("ws_discovery", &WsDiscovery::of(said))],
    };
    vec![AnyRecord::honeypot("ssdp", &record)]
}

#[derive(Debug, Serialize)]
struct Ssdp<'a> {
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// `ST`, or `NT` of a notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    man: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mx: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nts: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usn: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Text<'a>>,
}

impl<'a> Ssdp<'a> {
    fn of(message: &'static str, headers: Headers<'a>) -> Self {
        let field = |name| headers.get(name).map(Text);
        Self {
            message,
            method: None,
            status: None,
            target: field("st").or_else(|| field("nt")),
            man: field("man"),
            mx: field("mx"),
            nts: field("nts"),
            usn: field("usn"),
            location: field("location"),
            server: field("server"),
            user_agent: field("user-agent"),
        }
    }
}

#[derive(Debug, Serialize)]
struct WsDiscovery<'a> {
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relates_to: Option<Text<'a>>,
}

impl<'a> WsDiscovery<'a> {
    fn of(said: &Discovery<'a>) -> Self {
        let field = |text: &'a [u8]| Some(Text(text)).filter(|_| !text.is_empty());
        Self {
            message: said.kind.name(),
            types: field(said.types),
            scopes: field(said.scopes),
            addresses: field(said.addresses),
            message_id: field(said.message_id),
            relates_to: field(said.relates_to),
        }
    }
}

#[cfg(test)]
mod tests {
    use komainu_decode::ssdp::Reader;
    use komainu_decode::{Decoder, Fact, Place, Side};

    use super::*;

    fn check(datagram: &[u8], event_type: &str, expected: &str) {
        let mut lines = Vec::new();
        let mut observer = |_: Place, fact: Fact<'_>| {
            if let Fact::Ssdp(event) = fact {
                lines.extend(records(&event).iter().map(|record| (record.event_type, record.body.to_string())));
            }
        };
        Reader::default().data(Side::Client, datagram, &mut observer);
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(lines, [(event_type, expected.to_string())]);
    }

    #[test]
    fn a_search_is_a_record() {
        check(
            b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\nMX: 2\r\nMan: \"ssdp:discover\"\r\n\r\n",
            "ssdp",
            r#"{"message": "search", "target": "ssdp:all", "man": "\"ssdp:discover\"", "mx": "2"}"#,
        );
    }

    #[test]
    fn an_answer_is_a_record() {
        check(
            b"HTTP/1.1 200 OK\r\nST: a\r\nUSN: b\r\nLOCATION: http://c\r\nServer: d\r\n\r\n",
            "ssdp",
            r#"{"message": "answer", "status": 200, "target": "a", "usn": "b", "location": "http://c", "server": "d"}"#,
        );
    }

    #[test]
    fn a_probe_is_a_record_of_its_own_kind() {
        check(
            b"<e:Envelope><e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types>",
            "ws_discovery",
            r#"{"message": "Probe", "types": "dn:NetworkVideoTransmitter"}"#,
        );
    }
}
