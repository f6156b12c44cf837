//! `coap`, in the honeypot log: Suricata's schema has no words for it.

use komainu_decode::coap::{Block, Event, Message, MessageKind};
use serde::Serialize;

use super::{AnyRecord, Text};

/// The beginning of a payload that is logged, in bytes: enough for what devices say to each other.
const PAYLOAD_BYTES_MAX: usize = 256;

pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    let Event::Message(message) = event;
    let (path, query) = (message.uri_path(), message.uri_query());
    vec![AnyRecord::honeypot("coap", &Coap::of(message, &path, &query))]
}

#[derive(Serialize)]
struct Coap<'a> {
    r#type: &'static str,
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    message_id: u16,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_host: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_path: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_query: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_format: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observe: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block1: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block2: Option<Part>,
    discovery: bool,
    payload_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Text<'a>>,
}

#[derive(Serialize)]
struct Part {
    number: u32,
    more: bool,
    size: u16,
}

impl From<Block> for Part {
    fn from(block: Block) -> Self {
        Self { number: block.number, more: block.more, size: block.bytes }
    }
}

impl<'a> Coap<'a> {
    fn of(message: &Message<'a>, path: &'a [u8], query: &'a [u8]) -> Self {
        let some = |bytes: &'a [u8]| (!bytes.is_empty()).then_some(Text(bytes));
        Self {
            r#type: match message.kind {
                MessageKind::Confirmable => "CON",
                MessageKind::NonConfirmable => "NON",
                MessageKind::Acknowledgement => "ACK",
                MessageKind::Reset => "RST",
            },
            code: message.code.to_string(),
            method: message.code.method(),
            message_id: message.message_id,
            token: hex::encode(message.token),
            uri_host: message.uri_host().map(Text),
            uri_path: some(path),
            uri_query: some(query),
            content_format: message.content_format(),
            accept: message.accept(),
            observe: message.observe(),
            block1: message.block1().map(Part::from),
            block2: message.block2().map(Part::from),
            discovery: message.is_discovery(),
            payload_length: message.payload.len(),
            payload: some(&message.payload[..message.payload.len().min(PAYLOAD_BYTES_MAX)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use komainu_decode::coap::{CoapOption, Code};

    use super::*;

    #[test]
    fn a_request() {
        let option = |number, value| CoapOption { number, value };
        let message = Message {
            kind: MessageKind::Confirmable,
            code: Code(1),
            message_id: 7,
            token: &[0xAB, 1],
            options: vec![option(6, &[]), option(11, b".well-known"), option(11, b"core"), option(23, &[0x1C])],
            payload: b"",
        };
        assert_eq!(
            crate::eve::sorted(&records(&Event::Message(message))[0].body),
            joined(
                r#"{"block2":{"more":true,"number":1,"size":256},"code":"0.01","discovery":true,"message_id":7,
            "method":"GET","observe":0,"payload_length":0,"token":"ab01","type":"CON",
            "uri_path":"/.well-known/core"}"#
            )
        );
    }

    /// Lines of a text are one line.
    fn joined(lines: &str) -> String {
        lines.lines().map(str::trim_start).collect()
    }
}
