//! The ports: what Komainu asks of the world, in domain words, and what its edges ask of each other.
//!
//! A port is a trait that can be a `dyn`. The engines that stand behind the outward ports are in `komainu-engines`;
//! the inward ports ([`Directory`], [`Broker`], [`ReportSink`], [`HttpHandoff`]) let the gateway, the control plane
//! and the pipeline work together without depending on each other. Each outward port has an in-memory engine here,
//! which is also the test double, and a conformance suite that every engine passes.
//!
//! Besides, what all edges need alike and no crate below them may have: the [`LogBudget`].

mod access_keys;
mod accounts;
mod authority;
mod broker;
mod clock;
pub mod conformance;
pub mod conformance_access_keys;
pub mod conformance_accounts;
pub mod conformance_artifacts;
pub mod conformance_captures;
pub mod conformance_indicators;
pub mod conformance_lake;
pub mod conformance_lake_feed;
pub mod conformance_payload;
pub mod conformance_records;
pub mod conformance_samples;
pub mod conformance_sandbox;
pub mod conformance_session;
pub mod conformance_triage;
mod delivery;
mod directory;
mod fleet;
mod gate;
mod identity_provider;
mod indicators;
mod lake;
mod lake_feed;
mod log_budget;
mod memory;
mod memory_access_keys;
mod memory_accounts;
mod memory_captures;
mod memory_indicators;
mod memory_lake;
mod memory_records;
mod memory_samples;
mod memory_sandbox;
mod own_addresses;
mod payload;
mod profile_desk;
mod samples;
mod sandbox;
mod sensor_captures;
mod sensor_records;
mod sensor_roll;
mod session;
mod session_log;
mod store;
mod topic_desk;
mod triage;
mod vitals;

use std::future::Future;
use std::pin::Pin;

pub use access_keys::{ACCESS_KEYS_MAX, AccessKeyError, AccessKeys, ListedAccessKey};
pub use accounts::{
    AUDIT_SUBJECT_BYTES_MAX, AccountLimits, AccountStore, AccountsError, Actor, AuditAction, AuditEntry, AuditNumber,
    AuditOutcome, AuditSize, Credential, ISSUER_BYTES_MAX, Link, LinkPurpose, NewSession, Newcomer, Operator,
    OperatorChange, OperatorState, PasswordHash, ProviderIdentity, SUBJECT_BYTES_MAX, Session, TokenDigest, TotpSecret,
    TotpStep,
};
pub use authority::{Authority, AuthorityError, CertificateSubject, IssuedCertificate, IssuedKeyPair};
pub use broker::{
    Broker, BrokerError, ByteStream, HttpHandoff, MeterReading, OutboundMessage, PeerInfo, QualityOfService,
    ReportEncoding, ReportMessage, ReportSink, ReportSinkError, WebSocketIdentity,
};
pub use clock::{Clock, IdSource, ManualClock, RandomIds, SeededIds, SystemClock};
pub use delivery::{AlertRouter, Courier, DeliveryOutcome};
pub use directory::{AttachedThing, ChangeObserver, DeviceProfiles, Directory, Principal};
pub use fleet::{
    AttachedProfile, Fleet, FleetDevice, FleetError, FleetGroup, GroupList, GroupQuery, GroupSummary, JudgedBehavior,
    Presence, ThingList, ThingQuery, ThingSummary,
};
pub use gate::{
    DatagramLegs, DeviceGate, GateError, PacketFate, ResetEnd, ResetNews, ResetNewsKind, StrangersDatagram, ToldPacket,
};
pub use identity_provider::{
    CodeAnswer, IdentityProvider, ProviderError, SignInRequest, TokenFault, VOUCHED_VALUES_MAX, Vouched,
};
pub use indicators::{CONTACTS_PER_DEVICE_MAX, IndicatorKind, IndicatorSink, IndicatorStore, SightingQuery};
pub use lake::{
    BATCH_ROWS_MAX, FILTER_VALUES_MAX, FILTERS_MAX, GROUP_COLUMNS_MAX, LAKE_STREAM_BYTES_MAX, LAKE_TEXT_BYTES_MAX,
    LISTED_ROWS_MAX, Lake, LakeAnswer, LakeAppended, LakeBatchName, LakeColumn, LakeEffort, LakeError, LakeFilter,
    LakeGroup, LakeKind, LakeListing, LakeOrder, LakeQuestion, LakeRows, LakeRowsBuilder, LakeTable, LakeTableState,
    LakeTest, LakeValue, LakeValues, TimeBucket, TimeRange, When,
};
pub use lake_feed::{FedBatch, LakeFeed, Reported};
pub use log_budget::LogBudget;
pub use memory::MemoryStore;
pub use memory_access_keys::MemoryAccessKeys;
pub use memory_accounts::MemoryAccounts;
pub use memory_captures::MemoryCaptures;
pub use memory_lake::MemoryLake;
pub use memory_records::{MemoryArtifacts, MemoryRecords};
pub use memory_samples::MemorySamples;
pub use memory_sandbox::MemorySandbox;
pub use own_addresses::OwnAddresses;
pub use payload::{MemoryScanner, PatternPlace, PayloadMatch, PayloadScanner, ScanError};
pub use profile_desk::{ProfileDesk, ProfileDeskError, ProfileDraft};
pub use samples::{
    AttemptEnd, ElsewhereAnswer, KnownElsewhere, LookupError, NewSample, SampleBrief, SampleCounts, SampleDigests,
    SampleDocument, SampleEssentials, SampleIntake, SampleLease, SampleLimits, SampleLookup, SampleMention,
    SampleOrigin, SamplePriority, SampleState, SampleStateKind, SampleStore, SampleSubmitted, SamplesError,
    StoredSample,
};
pub use sandbox::{Detonation, DetonationCost, DetonationEnd, DetonationRequest, RunAs, Sandbox, SandboxError};
pub use sensor_captures::{
    CaptureStored, CapturesError, CapturesLimits, NewCapture, RecordedSession, SensorCaptures, StoredCapture,
};
pub use sensor_records::{
    ArtifactKept, ArtifactReadError, ArtifactRefused, ArtifactWriter, BatchKey, BatchStored, RecordsError,
    RecordsLimits, SensorArtifacts, SensorKey, SensorRecords, SensorTotals, SpoolEpoch, StoredArtifact, StoredBatch,
};
pub use sensor_roll::{SensorHealth, SensorRollCall, SensorStatus};
pub use session::{
    MemorySessionStore, SessionNumber, SessionOperation, SessionSnapshot, SessionState, SessionStore,
    SessionStoreError, StoredDelivery, StoredMessage, StoredSession, StoredSubscription, StoredWill,
};
pub use session_log::{
    Looked, SessionClue, SessionEvent, SessionFile, SessionHint, SessionLog, SessionRecord, SessionSummary,
    SessionTarget,
};
pub use store::{
    ActiveViolationQuery, AlarmCounts, AlarmTotals, CriteriaKind, DatapointQuery, Page, PageToken, Paged, Pruned,
    Store, StoreError, ViolationEventQuery, ViolationLife,
};
pub use topic_desk::{
    DeliveryContent, DeliverySummary, SubscriptionSummary, TopicDesk, TopicDeskError, TopicRefusal, TopicSummary,
};
pub use triage::{MemoryTriage, StaticReport, Triage, TriageError, TriageLevel};
pub use vitals::{
    DeliveryCounts, DiskVitals, GatewayVitals, KeeperVitals, Kept, KeptWhat, LaboratoryState, Listener, ListenerWish,
    MailWay, OutputVitals, ProcessVitals, SILENT_LISTED_MAX, StoreCounts, VitalSigns, Vitals, Warning,
};

/// A future of a `dyn` port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
