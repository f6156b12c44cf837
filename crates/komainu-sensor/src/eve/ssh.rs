//! `ssh`: one record for each handshake, as Suricata has it.

use komainu_decode::ssh::{Event, Party};
use serde::Serialize;

use super::{AnyRecord, Text};

pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    match event {
        // The handshake repeats what both say.
        Event::Identification(_) | Event::KeyExchange(_) => Vec::new(),
        Event::Handshake { client, server } => {
            let body = Ssh { client: client.map(Side::of), server: server.map(Side::of) };
            vec![AnyRecord::eve("ssh", &body)]
        }
    }
}

#[derive(Serialize)]
struct Ssh<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Side<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Side<'a>>,
}

#[derive(Serialize)]
struct Side<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    proto_version: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    software_version: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hassh: Option<Hassh<'a>>,
}

#[derive(Serialize)]
struct Hassh<'a> {
    hash: &'a str,
    string: Text<'a>,
}

impl<'a> Side<'a> {
    fn of(party: Party<'a>) -> Self {
        Self {
            proto_version: party.identification.map(|it| Text(it.protocol_version)),
            software_version: party.identification.map(|it| Text(it.software)),
            hassh: party.hassh.map(|it| Hassh { hash: &it.hash, string: Text(&it.string) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use komainu_decode::ssh::{Hassh, Identification};

    use super::*;

    #[test]
    fn a_handshake() {
        let hassh = Hassh { string: b"kex;enc;mac;none".to_vec(), hash: "0123".to_owned() };
        let identification =
            Identification { line: b"SSH-2.0-Go x", protocol_version: b"2.0", software: b"Go", comments: b"x" };
        let client = Some(Party { identification: Some(identification), hassh: Some(&hassh) });
        let records = records(&Event::Handshake { client, server: None });
        assert_eq!(
            crate::eve::sorted(&records[0].body),
            joined(
                r#"{"client":{"hassh":{"hash":"0123","string":"kex;enc;mac;none"},"proto_version":"2.0",
            "software_version":"Go"}}"#
            )
        );
    }

    /// Lines of a text are one line.
    fn joined(lines: &str) -> String {
        lines.lines().map(str::trim_start).collect()
    }
}
