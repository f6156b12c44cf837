//! Sensors: what hangs on a hostile network and writes down what is done to it.
//!
//! In: packets of a capture, connections of strangers. Out: event logs, one JSON object a line: `eve.json`, as Suricata
//! writes it (EVE), so that what reads Suricata's logs reads ours; and `honeypot.json` beside it, in the same envelope,
//! for what EVE has no words for. Files that strangers leave go to a store of artifacts.
//!
//! Not here: fetching. A sensor opens no connection.

mod artifact;
mod eve;
mod events;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod limits;
mod link;
mod listener;
mod log;
mod log_budget;
mod pcap;
mod persona;
mod raw;
mod sensor;
mod session;
// Commands without a terminal are for SSH, which no persona speaks yet.
#[cfg_attr(not(test), expect(dead_code, reason = "one way into the shell is not used yet"))]
mod shell;
mod telnet;

pub use artifact::{
    Artifact, ArtifactError, ArtifactLimits, ArtifactStore, Kind, Sha256Digest, Stored, key_file, read_key,
};
pub use limits::SensorLimits;
pub use log::{EventLog, Rotation};
pub use pcap::{CaptureSummary, PcapError, read_capture};
pub use persona::{Persona, PersonaError};
pub use sensor::{Listening, Placed, PortMapping, Sensor, SensorConfig, SensorError, SensorPorts};
pub use session::{
    Ending, Flow, Keeper, Passwords, RecordLimits, Recorder, RecorderParts, SensorIdentity, Session, Target,
    TargetKind, community_id,
};
