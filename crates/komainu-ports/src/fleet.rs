//! The fleet as people look at it: things, groups, who judges them, and who is connected.

use std::collections::BTreeSet;
use std::sync::Arc;

use komainu_model::{
    BehaviorName, Certificate, DetectTarget, GroupName, ProfileName, ReporterName, Scope, SecurityProfile, Thing,
    ThingGroup, ThingName, ThingTypeName,
};

use crate::store::StoreError;

/// The fleet as the control plane knows it now, and the one thing that whoever looks at it may change. Questions are
/// answered from memory; changes block.
pub trait Fleet: Send + Sync {
    /// Things in the order of their names. A search looks at every name: some tens of milliseconds for a million.
    fn things(&self, scope: &Scope, query: &ThingQuery) -> ThingList;

    /// The names of thing types in their order, at most `limit`.
    fn thing_types(&self, scope: &Scope, limit: usize) -> Vec<ThingTypeName>;

    /// What is known of a device, also of one that is not registered.
    fn device(&self, scope: &Scope, reporter: &ReporterName) -> FleetDevice;

    /// Groups as the lines of a tree: each is followed by those under it, and brothers stand in the order of their names.
    fn groups(&self, scope: &Scope, query: &GroupQuery) -> GroupList;

    /// A group, its place and who judges it.
    fn group(&self, scope: &Scope, name: &GroupName) -> Option<FleetGroup>;

    /// A security profile.
    fn security_profile(&self, scope: &Scope, name: &ProfileName) -> Option<Arc<SecurityProfile>>;

    /// Lets alarms of a behavior be recorded and nobody be told: `suppressAlerts` of its profile. The profile must have the
    /// version that the decision was made on. Doing it again changes nothing. Durable on return.
    fn suppress_alerts(
        &self,
        scope: &Scope,
        behavior: &JudgedBehavior,
        expected_version: u64,
    ) -> Result<(), FleetError>;

    /// Undoes [`Fleet::suppress_alerts`].
    fn resume_alerts(&self, scope: &Scope, behavior: &JudgedBehavior, expected_version: u64) -> Result<(), FleetError>;
}

/// Says who is connected now.
pub trait Presence: Send + Sync {
    /// Whether a device has a connection over MQTT. Answered from memory.
    fn is_connected(&self, scope: &Scope, reporter: &ReporterName) -> bool;
}

/// Which things. A thing must satisfy everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThingQuery {
    /// With this in its name; upper and lower case of ASCII are the same.
    pub name_part: Option<String>,
    /// In this group or one under it. A group that is not there has no things.
    pub group: Option<GroupName>,
    /// Of this type.
    pub type_name: Option<ThingTypeName>,
    /// One of these; names that no thing has are passed over.
    pub among: Option<BTreeSet<ThingName>>,
    /// After the thing of this name.
    pub after: Option<ThingName>,
    /// At most so many.
    pub limit: usize,
}

/// Things that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThingList {
    /// The part.
    pub things: Vec<ThingSummary>,
    /// Whether more follow.
    pub more: bool,
    /// How many things the scope has, whatever was asked for.
    pub registered: u64,
}

/// A thing in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThingSummary {
    /// Its name.
    pub name: ThingName,
    /// Its type.
    pub type_name: Option<ThingTypeName>,
    /// The groups that it is in directly, in the order of their names; AWS allows ten.
    pub groups: Vec<GroupName>,
}

/// What is known of a device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetDevice {
    /// The thing of its name; none when it is not registered.
    pub thing: Option<Thing>,
    /// The groups that it is in directly, in the order of their names.
    pub groups: Vec<GroupName>,
    /// The certificates that speak for it, in the order of their identities; at most a hundred.
    pub certificates: Vec<Certificate>,
    /// The profiles that judge it, in the order of their names.
    pub profiles: Vec<Arc<SecurityProfile>>,
}

/// Which groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupQuery {
    /// With this in their name; upper and lower case of ASCII are the same.
    pub name_part: Option<String>,
    /// So many lines are left out at the beginning.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
}

/// Groups that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupList {
    /// The part.
    pub groups: Vec<GroupSummary>,
    /// How many there are, those that are left out included.
    pub found: usize,
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSummary {
    /// Its name.
    pub name: GroupName,
    /// How many groups stand above it; AWS allows six.
    pub depth: usize,
    /// Groups directly under it.
    pub children: u64,
    /// Things in it.
    pub things: u64,
    /// Things in it and in the groups under it.
    pub things_under: u64,
    /// Profiles that are attached to it itself.
    pub profiles: u64,
}

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetGroup {
    /// The group.
    pub group: ThingGroup,
    /// How it stands in lists.
    pub summary: GroupSummary,
    /// The groups above it, from the root down.
    pub above: Vec<GroupName>,
    /// The groups directly under it, in the order of their names; AWS allows a hundred.
    pub below: Vec<GroupSummary>,
    /// The profiles that judge its things: its own, those of the groups above it, those of all things.
    pub profiles: Vec<AttachedProfile>,
}

/// A profile, and why it judges.
#[derive(Debug, Clone, PartialEq)]
pub struct AttachedProfile {
    /// What it is attached to.
    pub target: DetectTarget,
    /// The profile.
    pub profile: Arc<SecurityProfile>,
}

/// A behavior, and the profile in which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedBehavior {
    /// The profile.
    pub profile: ProfileName,
    /// The behavior.
    pub behavior: BehaviorName,
}

/// Why a change was not made. Then nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// There is no such profile, or no such behavior in it.
    #[error("there is no behavior {} in a security profile {}", .0.behavior, .0.profile)]
    Missing(JudgedBehavior),
    /// The profile has changed since it was looked at.
    #[error("security profile {profile} has changed meanwhile")]
    Changed {
        /// The profile.
        profile: ProfileName,
    },
    /// A rule of detection is against it.
    #[error("security profile cannot become so: {0}")]
    Refused(String),
    /// It could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
}
