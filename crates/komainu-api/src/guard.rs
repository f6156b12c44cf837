//! The security profile that lets indicators guard the fleet.

use komainu_detect::{NewProfile, Part, ProfileError, ProfileLimit, ProfileUpdate};
use komainu_model::{
    AlertTarget, AlertTargetKind, Arn, Behavior, BehaviorName, Change, Comparison, Criteria, DetectTarget,
    ExpectedValue, InvalidName, KomainuMetric, Metric, ProfileName, Record, Scope, TopicName,
};
use komainu_ports::StoreError;

use crate::Api;

/// The profile's name.
const PROFILE: &str = "KomainuIndicators";
/// The name of its one behavior.
const BEHAVIOR: &str = "indicatorMatches";
/// So many reports without an indicator clear the alarm, the most that AWS allows. A report shows the connections of one
/// moment: a bot that calls home now and then would otherwise be cleared and raised again all day.
const REPORTS_TO_CLEAR: u8 = 10;

/// What was set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// The profile.
    pub profile: ProfileName,
    /// Who hears of its alarms; nobody when it is `None`.
    pub topic: Option<Arn>,
}

/// Why it was not set up. Then nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// There is no such topic.
    #[error("topic {0} does not exist; make it with `aws sns create-topic`")]
    NoTopic(Arn),
    /// A rule of detection is against it.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// It could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Api {
    /// Makes the profile `KomainuIndicators`, under which a registered thing that was in contact with an indicator is in
    /// alarm, and attaches it to all registered things. With `topic`, a name or an ARN, its alarms go there; without, they go
    /// where they went before. Doing it twice is doing it once; what operators changed of its behaviors stays. Blocks.
    pub fn guard_by_indicators(&self, scope: &Scope, topic: Option<&str>) -> Result<Guarded, GuardError> {
        let name = ProfileName::parse(PROFILE)?;
        let topic = topic.map(|topic| topic_arn(scope, topic)).transpose()?;
        self.control.decide(scope, |view| {
            if let Some(topic) = &topic
                && view.topics.topic(topic).is_err()
            {
                return Err(GuardError::NoTopic(topic.clone()));
            }
            let alert_targets = topic.iter().map(|topic| alert_target(scope, topic)).collect::<Result<Vec<_>, _>>()?;
            let (profile, mut changes) = match view.profiles.describe(&name) {
                Err(_) => view.profiles.create(new_profile(name.clone(), alert_targets)?, view.now)?,
                Ok(known) if alert_targets.is_empty() || known.alert_targets == alert_targets => {
                    (known.clone(), Vec::new())
                }
                Ok(_) => {
                    let update = ProfileUpdate { alert_targets: Part::Replace(alert_targets), ..Default::default() };
                    view.profiles.update(&name, update, view.now)?
                }
            };
            if !profile.targets.contains(&DetectTarget::RegisteredThings) {
                let of_target = view.profiles.of_target(&DetectTarget::RegisteredThings).count();
                if of_target >= komainu_detect::PROFILES_PER_TARGET_MAX {
                    let max = komainu_detect::PROFILES_PER_TARGET_MAX;
                    return Err(ProfileError::LimitExceeded { what: ProfileLimit::OfTarget, max }.into());
                }
                let mut attached = profile.as_ref().clone();
                attached.targets.insert(DetectTarget::RegisteredThings);
                // The last word about a record counts.
                changes.push(Change::Put(scope.clone(), Record::SecurityProfile(attached)));
            }
            let topic = topic.clone().or_else(|| Some(profile.alert_targets.first()?.target.clone()));
            Ok((Guarded { profile: name.clone(), topic }, changes))
        })
    }
}

fn topic_arn(scope: &Scope, topic: &str) -> Result<Arn, InvalidName> {
    if topic.starts_with("arn:") { Arn::parse(topic) } else { Ok(scope.arn("sns", TopicName::parse(topic)?)) }
}

/// AWS wants a role with a target; the server publishes by itself, so the role is only shown.
fn alert_target(scope: &Scope, topic: &Arn) -> Result<AlertTarget, InvalidName> {
    let role = Arn::parse(&format!("arn:aws:iam::{}:role/KomainuIndicators", scope.account))?;
    Ok(AlertTarget { kind: AlertTargetKind::Sns, target: topic.clone(), role })
}

fn new_profile(name: ProfileName, alert_targets: Vec<AlertTarget>) -> Result<NewProfile, InvalidName> {
    let behavior = Behavior {
        name: BehaviorName::parse(BEHAVIOR)?,
        metric: Metric::Komainu(KomainuMetric::IndicatorMatches),
        criteria: Some(Criteria {
            expected: ExpectedValue::Count(Comparison::LessThan, 1),
            duration_s: None,
            datapoints_to_alarm: 1,
            datapoints_to_clear: REPORTS_TO_CLEAR,
        }),
        suppress_alerts: false,
        export_metric: false,
    };
    let description = "Devices in contact with an indicator: an address or a name that malware uses";
    Ok(NewProfile {
        name,
        description: Some(description.to_owned()),
        behaviors: vec![behavior],
        alert_targets,
        metrics_to_retain: Vec::new(),
        metrics_export: None,
    })
}
