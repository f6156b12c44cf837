//! What people at the console do with security profiles.

use std::collections::BTreeSet;
use std::sync::Arc;

use komainu_model::{
    Arn, Behavior, DetectTarget, GroupName, Metric, ProfileName, ProfileProblem, Scope, SecurityProfile, ThingName,
};

use crate::directory::Directory;
use crate::store::StoreError;

/// The control plane's security profiles, for people who look at them and change them. How devices stand in the fleet it says
/// as the [`Directory`] does. Changes block; what is only looked at comes from memory.
pub trait ProfileDesk: Directory {
    /// The profile of this name.
    fn profile(&self, scope: &Scope, name: &ProfileName) -> Option<Arc<SecurityProfile>>;

    /// Whether behaviors may have windows of any number of seconds.
    fn short_windows_allowed(&self) -> bool;

    /// The first `limit` groups, in the order of their names.
    fn groups(&self, scope: &Scope, limit: usize) -> Vec<GroupName>;

    /// The registered things that a profile with these targets is for: the first `limit` in the order of their names, and how
    /// many there are.
    fn things_of(&self, scope: &Scope, targets: &BTreeSet<DetectTarget>, limit: usize) -> (Vec<ThingName>, u64);

    /// Makes a profile with its targets.
    fn create_profile(&self, scope: &Scope, draft: &ProfileDraft) -> Result<(), ProfileDeskError>;

    /// Makes the profile as the draft has it, if it still has the version that its writer has seen. What a draft does not have
    /// stays: which values are exported, and which role an alert topic was given with.
    fn replace_profile(
        &self,
        scope: &Scope,
        draft: &ProfileDraft,
        expected_version: u64,
    ) -> Result<(), ProfileDeskError>;

    /// Removes a profile, if it still has the version that was seen.
    fn delete_profile(&self, scope: &Scope, name: &ProfileName, expected_version: u64) -> Result<(), ProfileDeskError>;
}

/// A profile as its writer wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileDraft {
    /// Its name.
    pub name: ProfileName,
    /// What people wrote about it; may be nothing.
    pub description: String,
    /// Its behaviors.
    pub behaviors: Vec<Behavior>,
    /// The topic that alerts go to.
    pub alert_topic: Option<Arn>,
    /// Metrics whose values are kept although no behavior judges them.
    pub metrics_to_retain: BTreeSet<Metric>,
    /// Whose devices it is for.
    pub targets: BTreeSet<DetectTarget>,
}

/// Why a profile was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ProfileDeskError {
    /// It does not make sense; all that is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<ProfileProblem>),
    /// There is no such profile.
    #[error("there is no such security profile")]
    Missing,
    /// There is one of this name.
    #[error("there is a security profile of this name")]
    Exists,
    /// Somebody changed it meanwhile: it has this version now.
    #[error("the security profile has version {0} now")]
    Changed(u64),
    /// The store could not keep it.
    #[error("the security profile cannot be kept")]
    Unavailable(#[from] StoreError),
}
