//! `mqtt`: a record for each packet, in Suricata's words.

use komainu_decode::mqtt::{AckKind, Connect, Event, Publish};
use serde::Serialize;

use super::{AnyRecord, Text};

pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    let mqtt = match event {
        Event::Connect(connect) => Mqtt::Connect(connect.into()),
        Event::ConnAck { session_present, code } => {
            Mqtt::Connack { header: Header::PLAIN, session_present: *session_present, return_code: *code }
        }
        Event::Publish(publish) => Mqtt::Publish(publish.into()),
        Event::Ack { kind, packet_id, reason } => {
            let ack = |header| Ack { header, message_id: *packet_id, reason_code: *reason };
            match kind {
                AckKind::PubAck => Mqtt::Puback(ack(Header::PLAIN)),
                AckKind::PubRec => Mqtt::Pubrec(ack(Header::PLAIN)),
                AckKind::PubRel => Mqtt::Pubrel(ack(Header::REQUEST)),
                AckKind::PubComp => Mqtt::Pubcomp(ack(Header::PLAIN)),
            }
        }
        Event::Subscribe { packet_id, filters } => {
            let topics = filters.iter().map(|it| Filter { topic: Text(it.filter), qos: it.options & 3 }).collect();
            Mqtt::Subscribe { header: Header::REQUEST, message_id: *packet_id, topics }
        }
        Event::SubAck { packet_id, codes } => {
            Mqtt::Suback { header: Header::PLAIN, message_id: *packet_id, qos_granted: codes }
        }
        Event::Unsubscribe { packet_id, filters } => {
            let topics = filters.iter().map(|it| Text(it)).collect();
            Mqtt::Unsubscribe { header: Header::REQUEST, message_id: *packet_id, topics }
        }
        Event::UnsubAck { packet_id, codes } => {
            Mqtt::Unsuback { header: Header::PLAIN, message_id: *packet_id, reason_codes: codes }
        }
        Event::PingReq => Mqtt::Pingreq(Header::PLAIN),
        Event::PingResp => Mqtt::Pingresp(Header::PLAIN),
        Event::Disconnect { reason } => Mqtt::Disconnect { header: Header::PLAIN, reason_code: *reason },
        // Suricata's schema has no word for it.
        Event::Auth { reason } => {
            return vec![AnyRecord::honeypot("mqtt", &Auth::Auth { reason_code: *reason })];
        }
    };
    vec![AnyRecord::eve("mqtt", &mqtt)]
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Mqtt<'a> {
    Connect(ConnectBody<'a>),
    Connack {
        #[serde(flatten)]
        header: Header,
        session_present: bool,
        return_code: u8,
    },
    Publish(PublishBody<'a>),
    Puback(Ack),
    Pubrec(Ack),
    Pubrel(Ack),
    Pubcomp(Ack),
    Subscribe {
        #[serde(flatten)]
        header: Header,
        message_id: u16,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        topics: Vec<Filter<'a>>,
    },
    Suback {
        #[serde(flatten)]
        header: Header,
        message_id: u16,
        #[serde(skip_serializing_if = "slice_is_empty")]
        qos_granted: &'a [u8],
    },
    Unsubscribe {
        #[serde(flatten)]
        header: Header,
        message_id: u16,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        topics: Vec<Text<'a>>,
    },
    Unsuback {
        #[serde(flatten)]
        header: Header,
        message_id: u16,
        #[serde(skip_serializing_if = "slice_is_empty")]
        reason_codes: &'a [u8],
    },
    Pingreq(Header),
    Pingresp(Header),
    Disconnect {
        #[serde(flatten)]
        header: Header,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason_code: Option<u8>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Auth {
    Auth {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason_code: Option<u8>,
    },
}

/// The flags of the fixed header. Only PUBLISH has them; in others they are fixed (MQTT 5, 2.1.3).
#[derive(Serialize)]
struct Header {
    qos: u8,
    retain: bool,
    dup: bool,
}

impl Header {
    const PLAIN: Self = Self { qos: 0, retain: false, dup: false };
    const REQUEST: Self = Self { qos: 1, ..Self::PLAIN };
}

#[derive(Serialize)]
struct ConnectBody<'a> {
    #[serde(flatten)]
    header: Header,
    protocol_string: Text<'a>,
    protocol_version: u8,
    client_id: Text<'a>,
    flags: ConnectFlags,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    will: Option<Will<'a>>,
}

#[derive(Serialize)]
struct ConnectFlags {
    username: bool,
    password: bool,
    will_retain: bool,
    will: bool,
    clean_session: bool,
}

#[derive(Serialize)]
struct Will<'a> {
    topic: Text<'a>,
    message: Text<'a>,
}

#[derive(Serialize)]
struct PublishBody<'a> {
    #[serde(flatten)]
    header: Header,
    topic: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<u16>,
    message: Text<'a>,
    /// Of the message only the beginning is in the log; all of it is in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped_length: Option<u64>,
}

#[derive(Serialize)]
struct Ack {
    #[serde(flatten)]
    header: Header,
    message_id: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<u8>,
}

#[derive(Serialize)]
struct Filter<'a> {
    topic: Text<'a>,
    qos: u8,
}

/// Serde gives the field by reference.
fn slice_is_empty(list: &&[u8]) -> bool {
    list.is_empty()
}

impl<'a> From<&Connect<'a>> for ConnectBody<'a> {
    fn from(connect: &Connect<'a>) -> Self {
        Self {
            header: Header::PLAIN,
            protocol_string: Text(connect.protocol_name),
            protocol_version: connect.level,
            client_id: Text(connect.client_id),
            flags: ConnectFlags {
                username: connect.user.is_some(),
                password: connect.password.is_some(),
                will_retain: connect.is_will_retained(),
                will: connect.will.is_some(),
                clean_session: connect.is_clean(),
            },
            username: connect.user.map(Text),
            password: connect.password.map(Text),
            will: connect.will.map(|will| Will { topic: Text(will.topic), message: Text(will.message) }),
        }
    }
}

impl<'a> From<&Publish<'a>> for PublishBody<'a> {
    fn from(publish: &Publish<'a>) -> Self {
        let skipped = u64::from(publish.payload_bytes).saturating_sub(publish.message.len() as u64);
        Self {
            header: Header { qos: publish.qos, retain: publish.retain, dup: publish.dup },
            topic: Text(publish.topic),
            message_id: publish.packet_id,
            message: Text(publish.message),
            truncated: (skipped > 0).then_some(true),
            skipped_length: (skipped > 0).then_some(skipped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(event: &Event<'_>, expected: &str) {
        assert_eq!(crate::eve::sorted(&records(event)[0].body), joined(expected));
    }

    #[test]
    fn logins() {
        let connect = Connect {
            protocol_name: b"MQTT",
            level: 4,
            flags: 0xC6,
            keep_alive_s: 60,
            client_id: b"lamp",
            user: Some(b"root"),
            password: Some(b"\xff"),
            will: Some(komainu_decode::mqtt::Will { topic: b"gone", message: b"bye" }),
        };
        check(
            &Event::Connect(connect),
            r#"{"connect":{"client_id":"lamp","dup":false,"flags":{"clean_session":true,"password":true,
            "username":true,"will":true,"will_retain":false},"password":"\\xff","protocol_string":"MQTT",
            "protocol_version":4,"qos":0,"retain":false,"username":"root","will":{"message":"bye",
            "topic":"gone"}}}"#,
        );
        check(
            &Event::ConnAck { session_present: false, code: 5 },
            r#"{"connack":{"dup":false,"qos":0,"retain":false,"return_code":5,"session_present":false}}"#,
        );
    }

    #[test]
    fn messages() {
        let publish = Publish {
            topic: b"home/lamp",
            packet_id: Some(7),
            qos: 1,
            dup: false,
            retain: true,
            payload_bytes: 5,
            message: b"on",
        };
        check(
            &Event::Publish(publish),
            r#"{"publish":{"dup":false,"message":"on","message_id":7,"qos":1,"retain":true,"skipped_length":3,
            "topic":"home/lamp","truncated":true}}"#,
        );
        check(
            &Event::Ack { kind: AckKind::PubRel, packet_id: 7, reason: Some(0x92) },
            r#"{"pubrel":{"dup":false,"message_id":7,"qos":1,"reason_code":146,"retain":false}}"#,
        );
    }

    #[test]
    fn subscriptions() {
        let filters = vec![komainu_decode::mqtt::Filter { filter: b"home/+", options: 1 }];
        check(
            &Event::Subscribe { packet_id: 1, filters },
            r#"{"subscribe":{"dup":false,"message_id":1,"qos":1,"retain":false,"topics":[{"qos":1,
            "topic":"home/+"}]}}"#,
        );
        check(
            &Event::SubAck { packet_id: 1, codes: &[1] },
            r#"{"suback":{"dup":false,"message_id":1,"qos":0,"qos_granted":[1],"retain":false}}"#,
        );
        check(
            &Event::UnsubAck { packet_id: 1, codes: &[] },
            r#"{"unsuback":{"dup":false,"message_id":1,"qos":0,"retain":false}}"#,
        );
        check(&Event::PingReq, r#"{"pingreq":{"dup":false,"qos":0,"retain":false}}"#);
        check(&Event::Auth { reason: Some(0x18) }, r#"{"auth":{"reason_code":24}}"#);
    }

    /// Lines of a text are one line.
    fn joined(lines: &str) -> String {
        lines.lines().map(str::trim_start).collect()
    }
}
