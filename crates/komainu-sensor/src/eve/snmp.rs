//! `snmp`: a record for each message, in Suricata's words.

use std::net::Ipv4Addr;

use komainu_decode::snmp::{Event, Message, PduKind, PduNumbers};
use serde::Serialize;

use super::{AnyRecord, Text};

pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    let Event::Message(message) = event;
    vec![AnyRecord::eve("snmp", &Snmp::from(message))]
}

#[derive(Serialize)]
struct Snmp<'a> {
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pdu_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trap_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trap_oid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trap_address: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vars: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    community: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usm: Option<Text<'a>>,
}

impl<'a> From<&Message<'a>> for Snmp<'a> {
    fn from(message: &Message<'a>) -> Self {
        let pdu = message.pdu.as_ref();
        let trap = pdu.and_then(|pdu| match pdu.numbers {
            PduNumbers::TrapV1 { enterprise, agent, generic, .. } => Some((enterprise, agent, generic)),
            PduNumbers::Common { .. } => None,
        });
        let pdu_type = if message.is_encrypted { Some("encrypted") } else { pdu.map(|pdu| pdu_type(pdu.kind)) };
        Self {
            version: message.version,
            pdu_type,
            trap_type: trap.map(|(_, _, generic)| trap_type(generic)),
            trap_oid: trap.map(|(enterprise, _, _)| enterprise.to_string()),
            trap_address: trap.and_then(|(_, agent, _)| agent),
            vars: pdu.iter().flat_map(|pdu| &pdu.variables).map(|variable| variable.name.to_string()).collect(),
            community: message.community.map(Text),
            usm: message.user.map(Text),
        }
    }
}

fn pdu_type(kind: PduKind) -> &'static str {
    match kind {
        PduKind::GetRequest => "get_request",
        PduKind::GetNextRequest => "get_next_request",
        PduKind::Response => "response",
        PduKind::SetRequest => "set_request",
        PduKind::TrapV1 => "trap_v1",
        PduKind::GetBulkRequest => "get_bulk_request",
        PduKind::InformRequest => "inform_request",
        PduKind::TrapV2 => "trap_v2",
        PduKind::Report => "report",
    }
}

/// The generic trap (RFC 1157, 4.1.6).
fn trap_type(generic: i64) -> String {
    let names = [
        "ColdStart",
        "WarmStart",
        "LinkDown",
        "LinkUp",
        "AuthenticationFailure",
        "EgpNeighborLoss",
        "EnterpriseSpecific",
    ];
    let name = usize::try_from(generic).ok().and_then(|index| names.get(index));
    name.map_or_else(|| generic.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use komainu_decode::{Conversation, Fact, Protocol, Side, Transport};

    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        let mut conversation = Conversation::of(Protocol::Snmp, Transport::Udp, 161);
        let mut said = Vec::new();
        conversation.data(Side::Client, bytes, &mut |_, fact: Fact<'_>| {
            if let Fact::Snmp(event) = fact {
                said.extend(records(&event).iter().map(|record| crate::eve::sorted(&record.body)));
            }
        });
        assert_eq!(said, [joined(expected)]);
    }

    #[test]
    fn a_request() {
        let get = [
            &b"\x30\x22\x02\x01\x01\x04\x06public\xA1\x15\x02\x01\x01\x02\x01\0\x02\x01\0"[..],
            b"\x30\x0A\x30\x08\x06\x04\x2B\x06\x01\x02\x05\0",
        ];
        check(
            &get.concat(),
            r#"{"community":"public","pdu_type":"get_next_request","vars":["1.3.6.1.2"],"version":2}"#,
        );
    }

    #[test]
    fn a_trap_of_version_1() {
        let trap = [
            &b"\x30\x20\x02\x01\0\x04\x03fox\xA4\x16\x06\x03\x2B\x06\x01"[..],
            b"\x40\x04\xC0\0\x02\x07\x02\x01\x06\x02\x01\x11\x43\x01\x05\x30\0",
        ];
        check(
            &trap.concat(),
            r#"{"community":"fox","pdu_type":"trap_v1","trap_address":"192.0.2.7","trap_oid":"1.3.6.1",
            "trap_type":"EnterpriseSpecific","version":1}"#,
        );
    }

    /// Lines of a text are one line.
    fn joined(lines: &str) -> String {
        lines.lines().map(str::trim_start).collect()
    }
}
