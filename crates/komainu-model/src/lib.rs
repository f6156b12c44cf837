//! The vocabulary of Komainu.
//!
//! Identifiers, time and the domain values that more than one crate speaks about. Everything a user can name is
//! parsed here, once, into a type that cannot be wrong; deeper code does not check again.
//!
//! Nothing here opens a socket, asks for the time, or knows an encoding: AWS JSON, MQTT payloads and stored records
//! are types of the crates that own those formats, converted by hand to and from these.

mod access;
mod alert;
mod appliance;
mod change;
mod egress;
mod endpoint_problem;
mod fleet;
mod id;
mod indicator;
mod indicator_refusal;
mod metric;
mod mqtt;
mod number;
mod operator;
mod profile;
mod profile_problem;
mod reset;
mod scope;
mod time;
mod violation;

pub use access::{AccessKey, AccessKeyId, AccessKeyNote, AccessKeyStatus, SecretKey};
pub use alert::{
    AlertContext, Delivery, DeliveryId, DeliveryState, HELD_BACK_ATTRIBUTE, Notification, NotificationKind,
    NotificationSignature, Protocol, Subscription, SubscriptionId, SubscriptionState, SubscriptionToken, Topic,
    TopicName,
};
pub use appliance::{
    Appliance, ApplianceIndex, ApplianceName, Confidentiality, EgressLimits, EgressProfile, ExposedPort, HostName,
    InterfaceName, RelayMode, RelayTransport, ReleaseState, ShareAccount, ShareName, SharePassword, WatchedShares,
};
pub use change::{Batch, Change, IndicatorChange, Record, RecordKey};
pub use egress::{EgressDenied, EgressRules};
pub use endpoint_problem::EndpointProblem;
pub use fleet::{
    Certificate, CertificateId, CertificateMode, CertificateStatus, GroupMembership, GroupName, Policy,
    PolicyAttachment, PolicyName, PolicyTarget, PolicyVersion, PolicyVersionId, ResourceTags, Thing, ThingGroup,
    ThingName, ThingPrincipal, ThingPrincipalType, ThingType, ThingTypeName,
};
pub use id::{InvalidName, NameProblem};
pub use indicator::{
    Confidence, Contact, DetonationId, DomainName, FeedName, Indicator, IndicatorCandidate, IndicatorId,
    IndicatorMatch, IndicatorSource, IndicatorState, IndicatorValue, Provenance, RefusedCandidate, Remote, RemoteHost,
    SampleDigest, SensorName, SessionId, Sighting, SightingWay, Taught, Threat, Transport,
};
pub use indicator_refusal::{IndicatorRefusal, SpecialAddress};
pub use metric::{CloudMetric, Datapoint, DeviceMetric, KomainuMetric, Metric, MetricName, MetricValue, ReporterName};
pub use mqtt::{ClientId, DisconnectReason};
pub use number::grouped;
pub use operator::{Language, OperatorName, Role};
pub use profile::{
    AlertTarget, AlertTargetKind, Behavior, BehaviorName, Comparison, ConfidenceLevel, Criteria, DetectTarget,
    ExpectedValue, MetricToRetain, ProfileName, SecurityProfile, Statistic,
};
pub use profile_problem::{BehaviorProblem, Datapoints, ElementProblem, NeededCriteria, ProfilePart, ProfileProblem};
pub use reset::{
    ExaminationTask, Examined, PoePort, ReadyProbe, ResetAction, ResetPlan, ResetStep, ResetWebhook, SURVEYS_S_MAX,
    Secret, WebhookMethod,
};
pub use scope::{AccountId, Arn, Region, Scope};
pub use time::Timestamp;
pub use violation::{ActiveViolation, VerificationState, ViolationEvent, ViolationEventType, ViolationId};
