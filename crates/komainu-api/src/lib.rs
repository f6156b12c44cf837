//! The control plane: AWS-compatible operations over HTTP.
//!
//! In come HTTP connections, from the control plane's own listener and from the gateway's TLS port; out go responses
//! as AWS's services write them. A request is authenticated by its signature ([`auth`]), routed to an operation by
//! the tables of `komainu-aws`, run by one plain function of the operation's module, and answered as its service
//! writes outputs and errors ([`dispatch`], [`error`]). What sensors hand in comes with a certificate instead
//! ([`sensors`]), and VirusTotal's clients ask the laboratory with an access key in a header ([`virustotal`]). With
//! the same header other tools read attacks, alarms and indicators ([`reading`]).
//!
//! The crate decides nothing about devices: rules live in the cores (`komainu-registry`, `komainu-detect`,
//! `komainu-respond`); here their decisions are committed to the store and shown to clients.

mod auth;
mod control;
mod digests;
mod dispatch;
mod enroll;
mod error;
mod events;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guard;
mod iot;
mod iot_data;
mod paging;
mod public;
mod reading;
mod request;
mod roles;
mod sensors;
mod server;
mod sns;
mod sts;
mod virustotal;
mod websocket;

use std::sync::Arc;

use komainu_aws::sigv4::ReplayGuard;
use komainu_model::{AccessKeyId, Region, Role, Scope};
use komainu_ports::{
    Authority, Broker, Clock, IdSource, IndicatorStore, Lake, LogBudget, OwnAddresses, SampleIntake, SampleStore,
    SensorArtifacts, SensorCaptures, SensorRecords, Store,
};

pub use control::{ControlPlane, ControlRules};
use dispatch::Handlers;
pub use enroll::{EnrollError, EnrolledDevice};
pub use guard::{GuardError, Guarded};
use parking_lot::Mutex;
use reading::ReadingRoom;
pub use reading::metric_value_json;
pub use sensors::RecordedSessions;
use sensors::SensorRoll;
pub use server::Server;
use virustotal::Desk;

/// What the control plane is made of.
pub struct ApiParts {
    /// Settings.
    pub config: ApiConfig,
    /// The state that operations read and change.
    pub control: Arc<ControlPlane>,
    /// Where state and history are written down.
    pub store: Arc<dyn Store>,
    /// Where what sensors send is kept.
    pub records: Arc<dyn SensorRecords>,
    /// Where the artifacts that they send are kept.
    pub artifacts: Arc<dyn SensorArtifacts>,
    /// The laboratory's samples.
    pub samples: Arc<dyn SampleStore>,
    /// Where samples come in.
    pub intake: Arc<dyn SampleIntake>,
    /// What devices should not be in contact with.
    pub indicators: Arc<dyn IndicatorStore>,
    /// Where the captures that they send are kept.
    pub captures: Arc<dyn SensorCaptures>,
    /// Where what they tell of attacks is counted.
    pub lake: Arc<dyn Lake>,
    /// Who belongs to the house; sensors that are heard of are noted there.
    pub own: Arc<OwnAddresses>,
    /// The gateway.
    pub broker: Arc<dyn Broker>,
    /// Who makes certificates.
    pub authority: Arc<dyn Authority>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where new identities come from.
    pub ids: Arc<dyn IdSource>,
}

/// Settings of the control plane.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// The host name that DescribeEndpoint tells devices; without a port, as AWS has it.
    pub device_endpoint: String,
    /// The region of what is read over HTTP when nobody says another.
    pub region: Region,
}

/// The control plane.
pub struct Api {
    pub(crate) config: ApiConfig,
    pub(crate) control: Arc<ControlPlane>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) records: Arc<dyn SensorRecords>,
    pub(crate) artifacts: Arc<dyn SensorArtifacts>,
    pub(crate) samples: Arc<dyn SampleStore>,
    pub(crate) intake: Arc<dyn SampleIntake>,
    pub(crate) indicators: Arc<dyn IndicatorStore>,
    pub(crate) captures: Arc<dyn SensorCaptures>,
    pub(crate) lake: Arc<dyn Lake>,
    pub(crate) own: Arc<OwnAddresses>,
    pub(crate) roll: SensorRoll,
    pub(crate) desk: Desk,
    pub(crate) reading_room: ReadingRoom,
    pub(crate) refused_keys: LogBudget,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) authority: Arc<dyn Authority>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) handlers: Handlers,
    pub(crate) replay_guard: Mutex<ReplayGuard>,
}

impl Api {
    /// A control plane of these parts.
    pub fn new(parts: ApiParts) -> Arc<Self> {
        let ApiParts { config, control, store, records, artifacts, samples, intake, .. } = parts;
        let ApiParts { indicators, captures, lake, own, .. } = parts;
        let ApiParts { broker, authority, clock, ids, .. } = parts;
        Arc::new(Self {
            config,
            control,
            store,
            records,
            artifacts,
            samples,
            intake,
            indicators,
            captures,
            lake,
            own,
            roll: SensorRoll::default(),
            desk: Desk::default(),
            reading_room: ReadingRoom::default(),
            refused_keys: LogBudget::default(),
            broker,
            authority,
            clock,
            ids,
            handlers: Handlers::new(),
            replay_guard: Mutex::default(),
        })
    }
}

/// Who asks for an operation: the holder of an access key, in the scope that the request was signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The account of the key and the region of the signature.
    pub(crate) scope: Scope,
    /// The key.
    pub(crate) key: AccessKeyId,
    /// What its holder may do.
    pub(crate) role: Role,
}
