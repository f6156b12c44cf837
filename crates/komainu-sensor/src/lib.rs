//! Sensors: what hangs on a hostile network and writes down what is done to it.
//!
//! In: packets of a capture, connections of strangers. Out: event logs, one JSON object a line: `eve.json`, as Suricata
//! writes it (EVE), so that what reads Suricata's logs reads ours; and `honeypot.json` beside it, in the same envelope,
//! for what EVE has no words for. Files that strangers leave go to a store of artifacts.
//!
//! With a hub, every line also goes into a spool, from where it is sent until the hub has it ([`Uplink`]). Real devices are
//! relayed to strangers and recorded in the same terms ([`Relay`]).
//!
//! A sensor opens no connection but to its hub and to the devices that it relays, unless its owner told it to fetch what
//! attackers name ([`Fetcher`]); and nothing that it gets is ever run. [`record_persona`] is apart from that: it asks a
//! device of the owner's own.

mod artifact;
mod datagrams;
mod eve;
mod events;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host_keys;
mod http_answer;
mod limits;
mod link;
mod listener;
mod log;
mod log_budget;
mod pcap;
mod persona;
mod record;
mod relay;
mod sensor;
mod service;
mod session;
mod shell;
mod spool;
mod tls;
mod uplink;

pub use artifact::{
    Artifact, ArtifactError, ArtifactLimits, ArtifactStore, Kind, Sha256Digest, Stored, key_file, read_key,
};
pub use fetch::{
    AddressPolicy, FetchConfig, FetchLimits, FetchMode, FetchPorts, FetchQueue, Fetcher, Proxy, ProxyError, Resolver,
    SystemResolver,
};
pub use host_keys::HostKeyError;
pub use limits::{ConnectionCounts, SensorLimits};
pub use log::{EventLog, Rotation};
pub use pcap::{CaptureSummary, PcapError, read_capture};
pub use persona::{Persona, PersonaError};
pub use record::{Identifying, RECORDED_PORTS, RecordError, RecordPlan, Recorded, record_persona};
pub use relay::{OnIncident, Relay, RelayConfig, RelayPorts};
pub use sensor::{Listening, Placed, PortMapping, Sensor, SensorConfig, SensorError, SensorPorts};
pub use session::{
    Ending, Flow, Keeper, Passwords, RecordLimits, Recorder, RecorderParts, SensorIdentity, Session, Target,
    TargetKind, community_id,
};
pub use spool::{Spool, SpoolStanding};
pub use uplink::{Health, Uplink, UplinkConfig, UplinkError, UplinkPorts};
