//! What devices do themselves, written down: a line `egress` for each attempt to reach somebody, and `incident` when a
//! device turns to somebody whom it has no reason to know.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use komainu_decode::packet::{self, Content, LinkType};
use komainu_model::{ApplianceIndex, EgressProfile};
use komainu_ports::{PacketFate, ToldPacket};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::sleep;
use tracing::{error, warn};

use super::{Known, NOWHERE, OnIncident, Shared};
use crate::eve::Text;
use crate::events;
use crate::session::PacketEnds;

/// How long the same attempt is only counted, in microseconds. Devices try again every few seconds, for years.
const REPEATED_US: i64 = 60_000_000;

/// Attempts of a device that are remembered. At the bound they are forgotten, and written anew.
const REMEMBERED_MAX: usize = 1_024;

/// Destinations of a device that are incidents of their own. One that has so many is past all doubt.
const INCIDENTS_MAX: usize = 256;

/// How long to rest when nothing can be heard from the packet filter.
const RETRY: Duration = Duration::from_millis(200);

/// Protocol numbers of ICMP and ICMPv6 (IANA).
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What a device tried.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// When, in microseconds since 1970.
    pub(super) at: i64,
    pub(super) ends: PacketEnds,
    pub(super) fate: Fate,
    /// The name that it asked for.
    pub(super) name: Option<String>,
    /// What it said first.
    pub(super) first: Option<Vec<u8>>,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// What the packet filter did.
    Filtered(PacketFate),
    /// The sensor took the connection.
    Sinkholed,
    /// The sensor answered a question as it is.
    Answered,
    /// The sensor answered that a name is where nobody is.
    Misled,
}

impl Fate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Filtered(fate) => fate.as_str(),
            Self::Sinkholed | Self::Misled => "sinkholed",
            Self::Answered => "answered",
        }
    }
}

/// What was written down of each device.
pub(super) struct EgressRecords {
    on_incident: OnIncident,
    devices: Vec<Mutex<Remembered>>,
}

#[derive(Default)]
struct Remembered {
    attempts: HashMap<Key, Repeats>,
    incidents: BTreeSet<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    destination: SocketAddr,
    proto: &'static str,
    fate: Fate,
    name: Option<String>,
}

#[derive(Default)]
struct Repeats {
    written_at: i64,
    since: u64,
}

/// A line of `honeypot.json`.
#[derive(Debug, Serialize)]
struct EgressLine<'a> {
    device: &'a str,
    release_state: &'static str,
    destination: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    transport: String,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Text<'a>>,
    /// The same attempts since the last line.
    #[serde(skip_serializing_if = "is_zero")]
    repeated: u64,
}

/// A line of `honeypot.json`.
#[derive(Debug, Serialize)]
struct IncidentLine<'a> {
    device: &'a str,
    release_state: &'static str,
    why: &'static str,
    destination: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    transport: String,
    action: &'static str,
    quarantine: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl EgressRecords {
    pub(super) fn new(on_incident: OnIncident, devices: usize) -> Self {
        Self { on_incident, devices: (0..devices).map(|_| Mutex::default()).collect() }
    }

    /// How often it was tried since it was last written down; none when it is only to be counted.
    fn repeats(&self, index: ApplianceIndex, attempt: &Attempt) -> Option<u64> {
        // What was said is worth a line each time.
        if attempt.first.is_some() {
            return Some(0);
        }
        let Attempt { at, ends, fate, ref name, .. } = *attempt;
        let key = Key { destination: ends.destination, proto: ends.proto, fate, name: name.clone() };
        let mut remembered = self.devices.get(usize::from(index.0))?.lock();
        if remembered.attempts.len() >= REMEMBERED_MAX && !remembered.attempts.contains_key(&key) {
            remembered.attempts.clear();
        }
        let repeats = remembered.attempts.entry(key).or_insert(Repeats { written_at: i64::MIN, since: 0 });
        if at.saturating_sub(repeats.written_at) < REPEATED_US {
            repeats.since += 1;
            return None;
        }
        repeats.written_at = at;
        Some(std::mem::take(&mut repeats.since))
    }

    /// Has each incident of a device be one anew: it was brought back.
    pub(super) fn forget_incidents(&self, index: ApplianceIndex) {
        if let Some(remembered) = self.devices.get(usize::from(index.0)) {
            *remembered.lock() = Remembered::default();
        }
    }

    /// Whether it is the first time that a device turns to somebody whom it has no reason to know.
    fn is_new_incident(&self, index: ApplianceIndex, egress: EgressProfile, attempt: &Attempt) -> bool {
        let destination = attempt.ends.destination.ip();
        let is_stranger = match (attempt.fate, egress) {
            // A device that may reach nobody tries to reach its maker.
            (_, EgressProfile::Blocked) => false,
            (Fate::Filtered(PacketFate::Blocked) | Fate::Sinkholed, _) => destination != NOWHERE,
            // A question alone reaches nobody; firmware asks for names of all sorts.
            (Fate::Filtered(_) | Fate::Answered | Fate::Misled, _) => false,
        };
        let Some(remembered) = self.devices.get(usize::from(index.0)).filter(|_| is_stranger) else { return false };
        let incidents = &mut remembered.lock().incidents;
        incidents.len() < INCIDENTS_MAX && incidents.insert(destination)
    }
}

/// Writes down an attempt of a device, and what follows from it.
pub(super) fn record(shared: &Arc<Shared>, index: ApplianceIndex, known: &Known, attempt: &Attempt) {
    let Some(repeated) = shared.egress.repeats(index, attempt) else { return };
    let Attempt { at, ends, fate, name, first } = attempt;
    let (device, release_state) = (known.appliance.name.as_str(), known.appliance.release_state.as_str());
    let confidentiality = known.appliance.release_state.confidentiality();
    let (destination, action) = (ends.destination.ip(), fate.as_str());
    let port = matches!(ends.proto, "TCP" | "UDP").then(|| ends.destination.port());
    let line = EgressLine {
        device,
        release_state,
        destination,
        port,
        transport: ends.proto.to_ascii_lowercase(),
        action,
        name: name.as_deref(),
        bytes: first.as_ref().map(Vec::len),
        first: first.as_deref().map(Text),
        repeated,
    };
    shared.recorder.note_packets(*at, *ends, confidentiality, "egress", &line);
    if !shared.egress.is_new_incident(index, known.appliance.egress, attempt) {
        return;
    }
    let quarantine = shared.egress.on_incident == OnIncident::Quarantine;
    let transport = ends.proto.to_ascii_lowercase();
    warn!(event = events::INCIDENT, device, %destination, port, transport, quarantine, "device turns to a stranger");
    let line = IncidentLine { device, release_state, why: "egress", destination, port, transport, action, quarantine };
    shared.recorder.note_packets(*at, *ends, confidentiality, "incident", &line);
    if quarantine {
        let (shared, device) = (shared.clone(), device.to_owned());
        drop(tokio::spawn(async move {
            if let Err(error) = shared.gate.quarantine(index).await {
                error!(event = events::QUARANTINE_FAILED, device, %error, "device cannot be put into quarantine");
            }
        }));
    }
}

/// Writes down what the packet filter tells, until the relay stops.
pub(super) async fn write_told(shared: Arc<Shared>) {
    loop {
        let told = tokio::select! {
            biased;
            () = shared.stopped() => return,
            told = shared.gate.told() => told,
        };
        match told {
            Ok(told) => {
                let at = shared.now();
                if let (Some(known), Some(attempt)) = (shared.device(told.device), attempt(&told, at)) {
                    record(&shared, told.device, known, &attempt);
                }
            }
            Err(error) => {
                warn!(event = events::EGRESS_NOT_HEARD, %error, "what devices try is not heard of");
                sleep(RETRY).await;
            }
        }
    }
}

/// What a packet says of whom a device tried to reach; none when it is no packet of IP.
fn attempt(told: &ToldPacket, at: i64) -> Option<Attempt> {
    let packet = packet::parse(LinkType::RawIp, &told.packet).ok()?;
    let (proto, source_port, destination_port) = match packet.content {
        Content::Tcp(segment) => ("TCP", segment.source_port, segment.destination_port),
        Content::Udp(datagram) => ("UDP", datagram.source_port, datagram.destination_port),
        Content::Other(ICMP) => ("ICMP", 0, 0),
        Content::Other(ICMPV6) => ("IPv6-ICMP", 0, 0),
        Content::Fragment(_) | Content::Other(_) => ("IP", 0, 0),
    };
    let ends = PacketEnds {
        source: SocketAddr::new(packet.source, source_port),
        destination: SocketAddr::new(packet.destination, destination_port),
        proto,
    };
    Some(Attempt { at, ends, fate: Fate::Filtered(told.fate), name: None, first: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt_to(destination: &str, at: i64, fate: Fate) -> Attempt {
        let ends = PacketEnds {
            source: "192.168.77.2:40000".parse().unwrap(),
            destination: destination.parse().unwrap(),
            proto: "TCP",
        };
        Attempt { at, ends, fate, name: None, first: None }
    }

    const BLOCKED: Fate = Fate::Filtered(PacketFate::Blocked);
    const FIRST: ApplianceIndex = ApplianceIndex(0);

    #[test]
    fn the_same_attempt_is_counted() {
        let records = EgressRecords::new(OnIncident::Record, 1);
        let check = |destination, at, expected| {
            assert_eq!(records.repeats(FIRST, &attempt_to(destination, at, BLOCKED)), expected, "{destination} {at}");
        };
        check("203.0.113.1:23", 0, Some(0));
        check("203.0.113.1:23", 1, None);
        check("203.0.113.1:23", 2, None);
        check("203.0.113.2:23", 2, Some(0));
        check("203.0.113.1:23", REPEATED_US, Some(2));
        check("203.0.113.1:23", 2 * REPEATED_US, Some(0));
    }

    #[test]
    fn a_flood_is_not_remembered_for_ever() {
        let records = EgressRecords::new(OnIncident::Record, 1);
        for port in 1..10_000 {
            let destination = format!("203.0.113.1:{port}");
            assert_eq!(records.repeats(FIRST, &attempt_to(&destination, 0, BLOCKED)), Some(0));
        }
        assert!(records.devices[0].lock().attempts.len() <= REMEMBERED_MAX);
    }

    #[test]
    fn strangers_are_incidents_once() {
        let check = |egress, destination, fate, expected: bool| {
            let records = EgressRecords::new(OnIncident::Record, 1);
            let attempt = attempt_to(destination, 0, fate);
            assert_eq!(records.is_new_incident(FIRST, egress, &attempt), expected, "{egress:?} {destination} {fate:?}");
            assert!(!records.is_new_incident(FIRST, egress, &attempt), "again");
        };
        let allowed = Fate::Filtered(PacketFate::Allowed);
        check(EgressProfile::VendorCloud, "203.0.113.1:23", BLOCKED, true);
        check(EgressProfile::SinkholeAll, "203.0.113.1:23", Fate::Sinkholed, true);
        check(EgressProfile::SinkholeAll, "192.0.2.53:443", Fate::Sinkholed, false);
        check(EgressProfile::VendorCloud, "203.0.113.1:443", allowed, false);
        check(EgressProfile::VendorCloud, "192.168.77.1:53", Fate::Answered, false);
        check(EgressProfile::VendorCloud, "192.168.77.1:53", Fate::Misled, false);
        check(EgressProfile::Blocked, "203.0.113.1:23", BLOCKED, false);
    }

    #[test]
    fn packets_say_whom_a_device_tried_to_reach() {
        let check = |packet: &[u8], expected: Option<(&str, &str)>| {
            let told = ToldPacket { device: FIRST, fate: PacketFate::Blocked, packet: packet.to_vec() };
            let seen = attempt(&told, 0).map(|attempt| (attempt.ends.destination.to_string(), attempt.ends.proto));
            assert_eq!(seen, expected.map(|(destination, proto)| (destination.to_owned(), proto)));
        };
        let ip = |protocol: u8, rest: &[u8]| {
            let length = (20 + rest.len()) as u8;
            let mut packet = vec![0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 168, 77, 2, 203, 0, 113, 1];
            packet.extend(rest);
            packet
        };
        check(&ip(17, b"\x9C\x40\x00\x35\x00\x08\x00\x00"), Some(("203.0.113.1:53", "UDP")));
        check(&ip(1, b"\x08\x00\x00\x00"), Some(("203.0.113.1:0", "ICMP")));
        check(&ip(47, b""), Some(("203.0.113.1:0", "IP")));
        check(b"", None);
        check(b"\x45", None);
    }
}
