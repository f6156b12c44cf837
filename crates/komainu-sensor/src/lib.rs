//! Sensors: what hangs on a hostile network and writes down what is done to it.
//!
//! In: packets of a capture, connections of strangers. Out: event logs, one JSON object a line: `eve.json`, as Suricata
//! writes it (EVE), so that what reads Suricata's logs reads ours; and `honeypot.json` beside it, in the same envelope,
//! for what EVE has no words for. Files that strangers leave go to a store of artifacts, and rules are asked about them.
//!
//! With a hub, every line also goes into a spool, from where it is sent until the hub has it ([`Uplink`]). Real devices are
//! relayed to strangers and recorded in the same terms ([`Relay`]), also to those who come through an [`Outpost`] elsewhere;
//! what is dropped into their shared folders is found there ([`list_shares`]).
//!
//! A sensor opens no connection but to its hub and to the devices that it relays, unless its owner told it to fetch what
//! attackers name ([`Fetcher`]); and nothing that it gets is ever run. Apart from that, [`record_persona`] asks a device of
//! the owner's own, and [`examine`] brings a real device back after an incident, each in a process of its own.

mod artifact;
mod capture_store;
mod datagrams;
mod eve;
mod events;
mod fetch;
mod flow_records;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host_keys;
mod http_answer;
mod limits;
mod link;
mod listener;
mod log;
mod outpost;
mod pcap;
mod pcapng;
mod persona;
mod receive;
mod record;
mod relay;
mod reset;
mod scan;
mod sensor;
mod service;
mod session;
mod share;
mod shell;
mod spool;
mod tls;
mod tunnel;
mod uplink;

pub use artifact::{
    Artifact, ArtifactError, ArtifactLimits, ArtifactStore, HubArtifacts, Kind, Sha256Digest, Stored, key_file,
    read_key,
};
pub use capture_store::{CAPTURE_BYTES_MAX, CaptureStore, CapturesStanding, SessionCapture};
pub use fetch::{
    AddressPolicy, FetchConfig, FetchLimits, FetchMode, FetchPorts, FetchQueue, Fetcher, Proxy, ProxyError, Resolver,
    SystemResolver,
};
pub use host_keys::HostKeyError;
pub use limits::{ConnectionCounts, SensorLimits};
pub use log::{EventLog, Rotation};
pub use outpost::{Exposed, Outpost, OutpostConfig, OutpostError, OutpostLimits};
pub use pcap::{CaptureSummary, PcapError, read_capture};
pub use persona::{Persona, PersonaError};
pub use record::{Identifying, RECORDED_PORTS, RecordError, RecordPlan, Recorded, record_persona};
pub use relay::{
    AllowedOutpost, CaptureConfig, OnIncident, OutpostsConfig, RING_BYTES_MIN, Relay, RelayConfig, RelayPorts,
    read_ring,
};
pub use reset::{Examination, ExaminationOrder, Finding, examine};
pub use scan::{PayloadScans, ScanThread};
pub use sensor::{Listening, Placed, PortMapping, Sensor, SensorConfig, SensorError, SensorPorts};
pub use session::{
    Ending, Flow, Keeper, OutpostIdentity, Passwords, RecordLimits, Recorder, RecorderParts, SensorIdentity, Session,
    Target, TargetKind, community_id,
};
pub use share::{ShareError, ShareFile, ShareListing, ShareStateError, known_shares, list_shares};
pub use spool::{Spool, SpoolStanding};
pub use tunnel::{TunnelKey, TunnelKeyError};
pub use uplink::{Health, Uplink, UplinkConfig, UplinkError, UplinkPorts};
