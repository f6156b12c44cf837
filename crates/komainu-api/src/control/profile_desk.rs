//! What people at the console do with security profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use komainu_detect::{NewProfile, Part, ProfileError, ProfileLimit, ProfileUpdate};
use komainu_model::{
    AlertTarget, AlertTargetKind, Arn, Behavior, Change, DetectTarget, GroupName, Metric, MetricToRetain, ProfileName,
    ProfileProblem, Scope, SecurityProfile, ThingName,
};
use komainu_ports::{ProfileDesk, ProfileDeskError, ProfileDraft};
use komainu_registry::{GroupFilter, ThingFilter};

use super::{ControlPlane, View};

/// More than there can be in memory; one more can still be asked for.
const ALL: usize = usize::MAX - 1;

impl ProfileDesk for ControlPlane {
    fn profile(&self, scope: &Scope, name: &ProfileName) -> Option<Arc<SecurityProfile>> {
        self.read(scope, |view| view.profiles.describe(name).ok().cloned())
    }

    fn short_windows_allowed(&self) -> bool {
        self.behavior_rules().short_windows_allowed
    }

    fn groups(&self, scope: &Scope, limit: usize) -> Vec<GroupName> {
        self.read(scope, |view| {
            let groups = view.registry.list_groups(&GroupFilter::default(), None, limit);
            groups.map(|groups| groups.items.into_iter().map(|group| group.name.clone()).collect()).unwrap_or_default()
        })
    }

    fn things_of(&self, scope: &Scope, targets: &BTreeSet<DetectTarget>, limit: usize) -> (Vec<ThingName>, u64) {
        self.read(scope, |view| {
            let things = things_of(view, targets);
            (things.iter().take(limit).map(|thing| (*thing).clone()).collect(), things.len() as u64)
        })
    }

    fn create_profile(&self, scope: &Scope, draft: &ProfileDraft) -> Result<(), ProfileDeskError> {
        self.decide(scope, |view| {
            check_groups(view, &draft.targets)?;
            let new = NewProfile {
                name: draft.name.clone(),
                description: (!draft.description.is_empty()).then(|| draft.description.clone()),
                behaviors: draft.behaviors.clone(),
                alert_targets: alert_targets(scope, draft, &[])?,
                metrics_to_retain: metrics_to_retain(draft, &[]),
                metrics_export: None,
            };
            let (profile, _) = view.profiles.create(new, view.now).map_err(refused)?;
            let (_, changes) = view.profiles.retarget(&profile, draft.targets.clone()).map_err(refused)?;
            Ok(((), changes))
        })
    }

    fn replace_profile(
        &self,
        scope: &Scope,
        draft: &ProfileDraft,
        expected_version: u64,
    ) -> Result<(), ProfileDeskError> {
        self.decide(scope, |view| {
            check_groups(view, &draft.targets)?;
            let before = view.profiles.describe(&draft.name).map_err(refused)?;
            let had_description = before.description.is_some() || !draft.description.is_empty();
            let update = ProfileUpdate {
                expected_version: Some(expected_version),
                description: had_description.then(|| draft.description.clone()),
                behaviors: Part::Replace(exported_as_before(&draft.behaviors, &before.behaviors)),
                alert_targets: Part::Replace(alert_targets(scope, draft, &before.alert_targets)?),
                metrics_to_retain: Part::Replace(metrics_to_retain(draft, &before.metrics_to_retain)),
                metrics_export: Part::Keep,
            };
            let (profile, _) = view.profiles.update(&draft.name, update, view.now).map_err(refused)?;
            let (_, changes) = view.profiles.retarget(&profile, draft.targets.clone()).map_err(refused)?;
            Ok(((), changes))
        })
    }

    fn delete_profile(&self, scope: &Scope, name: &ProfileName, expected_version: u64) -> Result<(), ProfileDeskError> {
        self.decide(scope, |view| {
            view.profiles.describe(name).map_err(refused)?;
            let ((), mut changes) = view.profiles.delete(name, Some(expected_version)).map_err(refused)?;
            let tags: Option<Change> =
                view.registry.forget_tags(scope.arn("iot", format_args!("securityprofile/{name}")));
            changes.extend(tags);
            Ok(((), changes))
        })
    }
}

/// The registered things that are judged for these targets, each once.
fn things_of<'v>(view: &'v View<'_>, targets: &'v BTreeSet<DetectTarget>) -> BTreeSet<&'v ThingName> {
    let of_target = |target: &'v DetectTarget| -> Vec<&'v ThingName> {
        match target {
            DetectTarget::AllThings | DetectTarget::RegisteredThings => {
                let things = view.registry.list_things(&ThingFilter::default(), None, ALL);
                things.items.into_iter().map(|thing| &thing.name).collect()
            }
            DetectTarget::UnregisteredThings => Vec::new(),
            DetectTarget::Group(group) => {
                view.registry.list_things_under_group(group, None, ALL).map(|things| things.items).unwrap_or_default()
            }
        }
    };
    targets.iter().flat_map(of_target).collect()
}

fn check_groups(view: &View<'_>, targets: &BTreeSet<DetectTarget>) -> Result<(), ProfileDeskError> {
    let missing = targets.iter().filter_map(|target| match target {
        DetectTarget::Group(group) => view.registry.group(group).err().map(|_| ProfileProblem::NoGroup(group.clone())),
        DetectTarget::AllThings | DetectTarget::RegisteredThings | DetectTarget::UnregisteredThings => None,
    });
    let missing: Vec<ProfileProblem> = missing.collect();
    if missing.is_empty() { Ok(()) } else { Err(ProfileDeskError::Invalid(missing)) }
}

/// The draft's topic with the role that it was given with before, or with one of ours: it is shown and not needed.
fn alert_targets(
    scope: &Scope,
    draft: &ProfileDraft,
    before: &[AlertTarget],
) -> Result<Vec<AlertTarget>, ProfileDeskError> {
    let Some(topic) = &draft.alert_topic else { return Ok(Vec::new()) };
    if let Some(known) = before.iter().find(|known| known.target == *topic) {
        return Ok(vec![known.clone()]);
    }
    if topic.service() != "sns" {
        return Err(ProfileDeskError::Invalid(vec![ProfileProblem::NotATopic(topic.clone())]));
    }
    // Roles belong to an account and to no region.
    let role = Arn::parse(&format!("arn:aws:iam::{}:role/komainu-alerts", scope.account));
    let role = role.expect("an account and a fixed name make an ARN");
    Ok(vec![AlertTarget { kind: AlertTargetKind::Sns, target: topic.clone(), role }])
}

fn metrics_to_retain(draft: &ProfileDraft, before: &[MetricToRetain]) -> Vec<MetricToRetain> {
    let is_exported = |metric: &Metric| before.iter().any(|known| known.metric == *metric && known.export);
    let metrics = draft.metrics_to_retain.iter();
    metrics.map(|metric| MetricToRetain { metric: metric.clone(), export: is_exported(metric) }).collect()
}

/// The behaviors; those that were there before are exported as they were.
fn exported_as_before(behaviors: &[Behavior], before: &[Behavior]) -> Vec<Behavior> {
    let known: BTreeMap<_, _> = before.iter().map(|behavior| (&behavior.name, behavior.export_metric)).collect();
    let exported = |behavior: &Behavior| known.get(&behavior.name).copied().unwrap_or(behavior.export_metric);
    behaviors.iter().map(|behavior| Behavior { export_metric: exported(behavior), ..behavior.clone() }).collect()
}

fn refused(error: ProfileError) -> ProfileDeskError {
    match error {
        ProfileError::Invalid { problems } => ProfileDeskError::Invalid(problems),
        ProfileError::NotFound { .. } => ProfileDeskError::Missing,
        ProfileError::AlreadyExists { .. } => ProfileDeskError::Exists,
        ProfileError::VersionConflict { found, .. } => ProfileDeskError::Changed(found),
        ProfileError::LimitExceeded { what: ProfileLimit::Profiles, max } => {
            ProfileDeskError::Invalid(vec![ProfileProblem::TooManyProfiles { count_max: max }])
        }
        ProfileError::LimitExceeded { what: ProfileLimit::OfTarget, max } => {
            ProfileDeskError::Invalid(vec![ProfileProblem::TooManyOfTarget { count_max: max }])
        }
    }
}
