//! The event log, as Suricata writes it: EVE, one JSON object a line.
//!
//! Names and types are those of Suricata's published schema (`etc/schema.json` of Suricata 8). What that schema has no
//! words for goes to a log of our own in the same envelope, so that no line of the first is refused by its readers.
//! What attackers sent is text here and nothing else: bytes that are no UTF-8 are shown as `\xNN`.

mod adb;
mod coap;
mod dns;
mod ftp;
mod http;
mod mqtt;
mod redis;
mod rtsp;
mod sip;
mod smb;
mod snmp;
mod ssdp;
mod ssh;
mod telnet;
mod tftp;
mod tls;

use std::fmt::Write;

use komainu_decode::Fact;
use serde::{Serialize, Serializer};

/// What a fact is in an event log.
#[derive(Debug)]
pub(crate) struct Record<T> {
    /// Which log it belongs to.
    pub(crate) log: Log,
    /// The value of `event_type`, and the key under which `body` stands.
    pub(crate) event_type: &'static str,
    /// What stands under that key.
    pub(crate) body: T,
}

/// An event log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// `eve.json`: valid under Suricata's schema.
    Eve,
    /// `honeypot.json`: the same envelope, words of our own.
    Honeypot,
}

/// Something that can be a line of a log.
pub(crate) type AnyRecord = Record<serde_json::Value>;

/// The records of what only one protocol has. Logins, commands, files and oddities are written by whoever keeps the
/// session.
pub(crate) fn records(fact: &Fact<'_>) -> Vec<AnyRecord> {
    match fact {
        Fact::Login(_) | Fact::Command(_) | Fact::File(_) | Fact::Oddity(_) => Vec::new(),
        Fact::Adb(event) => adb::records(event),
        Fact::Coap(event) => coap::records(event),
        Fact::Dns(event) => dns::records(event),
        Fact::Ftp(event) => ftp::records(event),
        Fact::Http(event) => http::records(event),
        Fact::Mqtt(event) => mqtt::records(event),
        Fact::Redis(event) => redis::records(event),
        Fact::Rtsp(event) => rtsp::records(event),
        Fact::Sip(event) => sip::records(event),
        Fact::Smb(event) => smb::records(event),
        Fact::Snmp(event) => snmp::records(event),
        Fact::Ssdp(event) => ssdp::records(event),
        Fact::Ssh(event) => ssh::records(event),
        Fact::Telnet(event) => telnet::records(event),
        Fact::Tftp(event) => tftp::records(event),
        Fact::Tls(event) => tls::records(event),
    }
}

impl AnyRecord {
    /// A line of `eve.json`.
    pub(crate) fn eve(event_type: &'static str, body: &impl Serialize) -> Self {
        Self::new(Log::Eve, event_type, body)
    }

    /// A line of `honeypot.json`.
    pub(crate) fn honeypot(event_type: &'static str, body: &impl Serialize) -> Self {
        Self::new(Log::Honeypot, event_type, body)
    }

    fn new(log: Log, event_type: &'static str, body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).expect("records have string keys and no maps that can fail");
        Self { log, event_type, body }
    }
}

/// Bytes that somebody sent, as text. UTF-8 is shown as it is. In what is no UTF-8, the bytes that are none are shown as
/// `\xNN`, and a `\x` that was sent as `\x5cx`. (So the text alone does not always tell which of both was sent; but
/// attackers' lines are full of `\xNN`, and must be easy to read.)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(self.0) {
            return serializer.serialize_str(text);
        }
        let mut shown = String::with_capacity(self.0.len() * 2);
        for chunk in self.0.utf8_chunks() {
            shown.push_str(&chunk.valid().replace("\\x", "\\x5cx"));
            for byte in chunk.invalid() {
                write!(shown, "\\x{byte:02x}").expect("a string takes everything");
            }
        }
        serializer.serialize_str(&shown)
    }
}

/// A body as text with its keys in the order of the alphabet, whatever order they were set in.
#[cfg(test)]
fn sorted(body: &serde_json::Value) -> String {
    let mut body = body.clone();
    body.sort_all_objects();
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text() {
        let shown = |bytes: &[u8]| serde_json::to_string(&Text(bytes)).unwrap();
        assert_eq!(shown(b"root"), "\"root\"");
        assert_eq!(shown("日本".as_bytes()), "\"日本\"");
        assert_eq!(shown(b"a\xff\x00b"), "\"a\\\\xff\\u0000b\"");
        assert_eq!(shown(b"\\xff"), "\"\\\\xff\"");
        assert_eq!(shown(b"\\x41\xff"), "\"\\\\x5cx41\\\\xff\"");
    }
}
