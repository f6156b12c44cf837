//! Packets to a client: each function appends one packet to a buffer, so that many go out in one write.

use komainu_ports::OutboundMessage;

use crate::packet::{Qos, Reason, Version, kind, property, qos_bits};

/// What an MQTT 5 CONNACK says about the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConnackProperties<'a> {
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) topic_alias_max: u16,
    pub(crate) assigned_client_id: Option<&'a str>,
    pub(crate) server_keep_alive_s: Option<u16>,
}

/// Appends a CONNACK of 3.1.1.
pub(crate) fn connack_v3(out: &mut Vec<u8>, session_present: bool, return_code: u8) {
    out.extend_from_slice(&[kind::CONNACK << 4, 2, u8::from(session_present), return_code]);
}

/// Appends a CONNACK of MQTT 5 that lets the client in.
pub(crate) fn connack_v5(out: &mut Vec<u8>, session_present: bool, properties: &ConnackProperties<'_>) {
    let mut section = Vec::with_capacity(64);
    if let Some(seconds) = properties.session_expiry_s {
        section.push(property::SESSION_EXPIRY_INTERVAL);
        section.extend_from_slice(&seconds.to_be_bytes());
    }
    section.push(property::RECEIVE_MAXIMUM);
    section.extend_from_slice(&properties.receive_max.to_be_bytes());
    section.push(property::MAXIMUM_PACKET_SIZE);
    section.extend_from_slice(&properties.packet_bytes_max.to_be_bytes());
    if let Some(id) = properties.assigned_client_id {
        section.push(property::ASSIGNED_CLIENT_IDENTIFIER);
        string(&mut section, id);
    }
    section.push(property::TOPIC_ALIAS_MAXIMUM);
    section.extend_from_slice(&properties.topic_alias_max.to_be_bytes());
    if let Some(seconds) = properties.server_keep_alive_s {
        section.push(property::SERVER_KEEP_ALIVE);
        section.extend_from_slice(&seconds.to_be_bytes());
    }
    out.push(kind::CONNACK << 4);
    var(out, 2 + var_bytes(section.len()) + section.len());
    out.extend_from_slice(&[u8::from(session_present), Reason::Success as u8]);
    var(out, section.len());
    out.extend_from_slice(&section);
}

/// Appends a CONNACK of MQTT 5 that refuses the client.
pub(crate) fn connack_v5_refused(out: &mut Vec<u8>, reason: Reason) {
    out.extend_from_slice(&[kind::CONNACK << 4, 3, 0, reason as u8, 0]);
}

/// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP.
pub(crate) fn ack(out: &mut Vec<u8>, version: Version, kind: u8, packet_id: u16, reason: Reason) {
    let first = kind << 4 | if kind == kind::PUBREL { 0b0010 } else { 0 };
    let [high, low] = packet_id.to_be_bytes();
    match (version, reason) {
        (Version::V3, _) | (Version::V5, Reason::Success) => out.extend_from_slice(&[first, 2, high, low]),
        (Version::V5, reason) => out.extend_from_slice(&[first, 3, high, low, reason as u8]),
    }
}

/// Appends a SUBACK; `codes` are granted qualities of service or reason codes.
pub(crate) fn suback(out: &mut Vec<u8>, version: Version, packet_id: u16, codes: &[u8]) {
    out.push(kind::SUBACK << 4);
    codes_body(out, version, packet_id, codes);
}

/// Appends an UNSUBACK; 3.1.1 has no codes in it.
pub(crate) fn unsuback(out: &mut Vec<u8>, version: Version, packet_id: u16, codes: &[u8]) {
    out.push(kind::UNSUBACK << 4);
    codes_body(out, version, packet_id, if version == Version::V5 { codes } else { &[] });
}

fn codes_body(out: &mut Vec<u8>, version: Version, packet_id: u16, codes: &[u8]) {
    let properties = usize::from(version == Version::V5);
    var(out, 2 + properties + codes.len());
    out.extend_from_slice(&packet_id.to_be_bytes());
    if version == Version::V5 {
        out.push(0);
    }
    out.extend_from_slice(codes);
}

/// Appends a PINGRESP.
pub(crate) fn pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[kind::PINGRESP << 4, 0]);
}

/// Appends a DISCONNECT of MQTT 5; `what` is the reason string.
pub(crate) fn disconnect(out: &mut Vec<u8>, reason: Reason, what: Option<&str>) {
    out.push(kind::DISCONNECT << 4);
    match what {
        Some(what) => {
            let section = 3 + what.len();
            var(out, 1 + var_bytes(section) + section);
            out.push(reason as u8);
            var(out, section);
            out.push(property::REASON_STRING);
            string(out, what);
        }
        None => out.extend_from_slice(&[1, reason as u8]),
    }
}

/// What a PUBLISH to one client consists of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publish<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// Empty when the alias stands for it.
    pub(crate) topic: &'a str,
    /// Ignored at QoS 0.
    pub(crate) packet_id: u16,
    pub(crate) topic_alias: Option<u16>,
    pub(crate) expiry_s: Option<u32>,
    pub(crate) identifiers: &'a [u32],
    /// Properties that are passed on, encoded.
    pub(crate) forwarded: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl Publish<'_> {
    /// Bytes of the properties, without their length.
    fn properties_bytes(&self) -> usize {
        let identifiers: usize = self.identifiers.iter().map(|id| 1 + var_bytes(*id as usize)).sum();
        self.topic_alias.map_or(0, |_| 3) + self.expiry_s.map_or(0, |_| 5) + identifiers + self.forwarded.len()
    }

    fn remaining_bytes(&self, version: Version) -> usize {
        let packet_id = if self.qos == Qos::AtMostOnce { 0 } else { 2 };
        let properties = match version {
            Version::V3 => 0,
            Version::V5 => var_bytes(self.properties_bytes()) + self.properties_bytes(),
        };
        2 + self.topic.len() + packet_id + properties + self.payload.len()
    }

    /// The size of the packet.
    pub(crate) fn packet_bytes(&self, version: Version) -> usize {
        let remaining = self.remaining_bytes(version);
        1 + var_bytes(remaining) + remaining
    }

    /// Appends the packet.
    pub(crate) fn append(&self, out: &mut Vec<u8>, version: Version) {
        let remaining = self.remaining_bytes(version);
        out.reserve(5 + remaining);
        out.push(kind::PUBLISH << 4 | u8::from(self.dup) << 3 | qos_bits(self.qos) << 1 | u8::from(self.retain));
        var(out, remaining);
        string(out, self.topic);
        if self.qos != Qos::AtMostOnce {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        if version == Version::V5 {
            var(out, self.properties_bytes());
            if let Some(alias) = self.topic_alias {
                out.push(property::TOPIC_ALIAS);
                out.extend_from_slice(&alias.to_be_bytes());
            }
            if let Some(seconds) = self.expiry_s {
                out.push(property::MESSAGE_EXPIRY_INTERVAL);
                out.extend_from_slice(&seconds.to_be_bytes());
            }
            for id in self.identifiers {
                out.push(property::SUBSCRIPTION_IDENTIFIER);
                var(out, *id as usize);
            }
            out.extend_from_slice(self.forwarded);
        }
        out.extend_from_slice(self.payload);
    }
}

/// The properties of a message of the server's own that are passed on, encoded.
pub(crate) fn forwarded_properties(message: &OutboundMessage) -> Vec<u8> {
    let mut section = Vec::new();
    if let Some(is_utf8) = message.payload_is_utf8 {
        section.extend_from_slice(&[property::PAYLOAD_FORMAT_INDICATOR, u8::from(is_utf8)]);
    }
    if let Some(content_type) = &message.content_type {
        section.push(property::CONTENT_TYPE);
        string(&mut section, content_type);
    }
    if let Some(topic) = &message.response_topic {
        section.push(property::RESPONSE_TOPIC);
        string(&mut section, topic);
    }
    if let Some(data) = &message.correlation_data {
        section.push(property::CORRELATION_DATA);
        binary(&mut section, data);
    }
    for (key, value) in &message.user_properties {
        section.push(property::USER_PROPERTY);
        string(&mut section, key);
        string(&mut section, value);
    }
    section
}

fn string(out: &mut Vec<u8>, text: &str) {
    binary(out, text.as_bytes());
}

/// Appends a length of two bytes and as many bytes as it can say.
fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(length)]);
}

/// Appends a variable byte integer.
fn var(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The bytes of a variable byte integer.
const fn var_bytes(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}
