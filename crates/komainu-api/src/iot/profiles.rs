//! Security profiles.

use std::collections::BTreeMap;

use komainu_aws::iot;
use komainu_detect::{NewProfile, Part, ProfileError, ProfileUpdate};
use komainu_model::{
    AlertTarget, AlertTargetKind, Arn, DetectTarget, GroupName, Metric, MetricToRetain, ProfileName, Scope,
    SecurityProfile,
};

use super::behaviors::{draft_of, read_behaviors, show_behavior};
use super::convert::{expected_version, seconds, tags, version};
use crate::control::View;
use crate::dispatch::{Operations, blocking};
use crate::error::ApiError;
use crate::paging::{decode_token, page, page_limit};
use crate::{Api, Caller};

pub(super) fn operations() -> Operations {
    vec![
        ("AttachSecurityProfile", blocking(attach_security_profile)),
        ("CreateSecurityProfile", blocking(create_security_profile)),
        ("DeleteSecurityProfile", blocking(delete_security_profile)),
        ("DescribeSecurityProfile", blocking(describe_security_profile)),
        ("DetachSecurityProfile", blocking(detach_security_profile)),
        ("ListSecurityProfiles", blocking(list_security_profiles)),
        ("ListSecurityProfilesForTarget", blocking(list_security_profiles_for_target)),
        ("ListTargetsForSecurityProfile", blocking(list_targets_for_security_profile)),
        ("UpdateSecurityProfile", blocking(update_security_profile)),
        ("ValidateSecurityProfileBehaviors", blocking(validate_security_profile_behaviors)),
    ]
}

fn create_security_profile(
    api: &Api,
    caller: &Caller,
    input: iot::CreateSecurityProfileRequest,
) -> Result<iot::CreateSecurityProfileResponse, ApiError> {
    let name = ProfileName::parse(&input.security_profile_name)?;
    let arn = profile_arn(&caller.scope, &name);
    let new = NewProfile {
        name: name.clone(),
        description: input.security_profile_description,
        behaviors: read_behaviors(input.behaviors.unwrap_or_default(), api.control.behavior_rules())?,
        alert_targets: input.alert_targets.map(read_alert_targets).transpose()?.unwrap_or_default(),
        metrics_to_retain: read_metrics_to_retain(
            input.additional_metrics_to_retain,
            input.additional_metrics_to_retain_v2,
        )?
        .unwrap_or_default(),
        metrics_export: input.metrics_export_config.map(read_metrics_export).transpose()?,
    };
    let tags = tags(input.tags)?;
    api.control.decide(&caller.scope, |view| {
        let (_, mut changes) = view.profiles.create(new, view.now).map_err(|error| match error {
            ProfileError::AlreadyExists { ref name } => ApiError::already_exists(&error, name, arn.clone()),
            other => other.into(),
        })?;
        changes.extend(view.registry.new_tags(arn.clone(), &tags)?);
        Ok::<_, ApiError>(((), changes))
    })?;
    Ok(iot::CreateSecurityProfileResponse {
        security_profile_name: Some(name.to_string()),
        security_profile_arn: Some(arn.to_string()),
    })
}

fn describe_security_profile(
    api: &Api,
    caller: &Caller,
    input: iot::DescribeSecurityProfileRequest,
) -> Result<iot::DescribeSecurityProfileResponse, ApiError> {
    let name = ProfileName::parse(&input.security_profile_name)?;
    let profile = api.control.read(&caller.scope, |view| view.profiles.describe(&name).cloned())?;
    let shown = show_profile(&caller.scope, &profile);
    Ok(iot::DescribeSecurityProfileResponse {
        additional_metrics_to_retain: shown.additional_metrics_to_retain,
        additional_metrics_to_retain_v2: shown.additional_metrics_to_retain_v2,
        alert_targets: shown.alert_targets,
        behaviors: shown.behaviors,
        creation_date: shown.creation_date,
        last_modified_date: shown.last_modified_date,
        metrics_export_config: shown.metrics_export_config,
        security_profile_arn: shown.security_profile_arn,
        security_profile_description: shown.security_profile_description,
        security_profile_name: shown.security_profile_name,
        version: shown.version,
    })
}

fn update_security_profile(
    api: &Api,
    caller: &Caller,
    input: iot::UpdateSecurityProfileRequest,
) -> Result<iot::UpdateSecurityProfileResponse, ApiError> {
    let name = ProfileName::parse(&input.security_profile_name)?;
    let behaviors =
        input.behaviors.map(|behaviors| read_behaviors(behaviors, api.control.behavior_rules())).transpose()?;
    let alert_targets = input.alert_targets.map(read_alert_targets).transpose()?;
    let metrics_to_retain =
        read_metrics_to_retain(input.additional_metrics_to_retain, input.additional_metrics_to_retain_v2)?;
    let metrics_export = input.metrics_export_config.map(read_metrics_export).transpose()?;
    let update = ProfileUpdate {
        expected_version: expected_version(input.expected_version)?,
        description: input.security_profile_description,
        behaviors: part("behaviors", "deleteBehaviors", behaviors, input.delete_behaviors)?,
        alert_targets: part("alertTargets", "deleteAlertTargets", alert_targets, input.delete_alert_targets)?,
        metrics_to_retain: part(
            "additionalMetricsToRetain",
            "deleteAdditionalMetricsToRetain",
            metrics_to_retain,
            input.delete_additional_metrics_to_retain,
        )?,
        metrics_export: part(
            "metricsExportConfig",
            "deleteMetricsExportConfig",
            metrics_export,
            input.delete_metrics_export_config,
        )?,
    };
    let profile =
        api.control.decide(&caller.scope, |view| Ok::<_, ApiError>(view.profiles.update(&name, update, view.now)?))?;
    Ok(show_profile(&caller.scope, &profile))
}

fn delete_security_profile(
    api: &Api,
    caller: &Caller,
    input: iot::DeleteSecurityProfileRequest,
) -> Result<iot::DeleteSecurityProfileResponse, ApiError> {
    let name = ProfileName::parse(&input.security_profile_name)?;
    let expected = expected_version(input.expected_version)?;
    api.control.decide(&caller.scope, |view| {
        let ((), mut changes) = view.profiles.delete(&name, expected)?;
        changes.extend(view.registry.forget_tags(profile_arn(&caller.scope, &name)));
        Ok::<_, ApiError>(((), changes))
    })?;
    Ok(iot::DeleteSecurityProfileResponse {})
}

fn list_security_profiles(
    api: &Api,
    caller: &Caller,
    input: iot::ListSecurityProfilesRequest,
) -> Result<iot::ListSecurityProfilesResponse, ApiError> {
    refuse_dimension(input.dimension_name.as_deref())?;
    let metric = input.metric_name.as_deref().map(Metric::parse).transpose()?;
    let limit = page_limit("maxResults", input.max_results)?;
    let after = decode_token("nextToken", input.next_token.as_deref())?;
    let has_metric = |profile: &SecurityProfile| {
        metric.as_ref().is_none_or(|metric| {
            profile.behaviors.iter().any(|behavior| behavior.metric == *metric)
                || profile.metrics_to_retain.iter().any(|retained| retained.metric == *metric)
        })
    };
    let (profiles, next_token) = api.control.read(&caller.scope, |view| {
        let profiles = view.profiles.iter().filter(|profile| has_metric(profile)).map(|profile| profile.name.clone());
        page(profiles, ProfileName::as_str, after.as_deref(), limit)
    });
    let identifiers = profiles.iter().map(|name| identifier(&caller.scope, name)).collect();
    Ok(iot::ListSecurityProfilesResponse { security_profile_identifiers: Some(identifiers), next_token })
}

fn attach_security_profile(
    api: &Api,
    caller: &Caller,
    input: iot::AttachSecurityProfileRequest,
) -> Result<iot::AttachSecurityProfileResponse, ApiError> {
    let name = ProfileName::parse(&input.security_profile_name)?;
    let target = read_target(&caller.scope, &input.security_profile_target_arn)?;
    api.control.decide(&caller.scope, |view| {
        check_target_exists(view, &target)?;
        Ok::<_, ApiError>(view.profiles.attach(&name, target.clone())?)
    })?;
    Ok(iot::AttachSecurityProfileResponse {})
}

fn detach_security_profile(
    api: &Api,
    caller: &Caller,
    input: iot::DetachSecurityProfileRequest,
) -> Result<iot::DetachSecurityProfileResponse, ApiError> {
    let name = ProfileName::parse(&input.security_profile_name)?;
    let target = read_target(&caller.scope, &input.security_profile_target_arn)?;
    api.control.decide(&caller.scope, |view| Ok::<_, ApiError>(view.profiles.detach(&name, &target)?))?;
    Ok(iot::DetachSecurityProfileResponse {})
}

fn list_targets_for_security_profile(
    api: &Api,
    caller: &Caller,
    input: iot::ListTargetsForSecurityProfileRequest,
) -> Result<iot::ListTargetsForSecurityProfileResponse, ApiError> {
    let name = ProfileName::parse(&input.security_profile_name)?;
    let limit = page_limit("maxResults", input.max_results)?;
    let after = decode_token("nextToken", input.next_token.as_deref())?;
    let profile = api.control.read(&caller.scope, |view| view.profiles.describe(&name).cloned())?;
    let mut arns: Vec<String> =
        profile.targets.iter().map(|target| target_arn(&caller.scope, target).to_string()).collect();
    arns.sort();
    let (arns, next_token) = page(arns.into_iter(), String::as_str, after.as_deref(), limit);
    let targets = arns.into_iter().map(|arn| iot::SecurityProfileTarget { arn }).collect();
    Ok(iot::ListTargetsForSecurityProfileResponse { security_profile_targets: Some(targets), next_token })
}

fn list_security_profiles_for_target(
    api: &Api,
    caller: &Caller,
    input: iot::ListSecurityProfilesForTargetRequest,
) -> Result<iot::ListSecurityProfilesForTargetResponse, ApiError> {
    let target = read_target(&caller.scope, &input.security_profile_target_arn)?;
    let limit = page_limit("maxResults", input.max_results)?;
    let after = decode_token("nextToken", input.next_token.as_deref())?;
    let is_recursive = input.recursive.unwrap_or(false);
    // Target and name, in the order of both; the key of an entry is its target's ARN and its name.
    let entries = api.control.read(&caller.scope, |view| {
        check_target_exists(view, &target)?;
        let mut entries = Vec::new();
        for target in if is_recursive { targets_under(view, &target) } else { vec![target] } {
            let arn = target_arn(&caller.scope, &target);
            let names = view.profiles.of_target(&target).map(|profile| profile.name.clone());
            entries.extend(names.map(|name| (format!("{arn} {name}"), arn.clone(), name)));
        }
        entries.sort();
        Ok::<_, ApiError>(entries)
    })?;
    let (entries, next_token) = page(entries.into_iter(), |(key, _, _)| key, after.as_deref(), limit);
    let mappings = entries
        .into_iter()
        .map(|(_, arn, name)| iot::SecurityProfileTargetMapping {
            security_profile_identifier: Some(identifier(&caller.scope, &name)),
            target: Some(iot::SecurityProfileTarget { arn: arn.to_string() }),
        })
        .collect();
    Ok(iot::ListSecurityProfilesForTargetResponse { security_profile_target_mappings: Some(mappings), next_token })
}

fn validate_security_profile_behaviors(
    api: &Api,
    _: &Caller,
    input: iot::ValidateSecurityProfileBehaviorsRequest,
) -> Result<iot::ValidateSecurityProfileBehaviorsResponse, ApiError> {
    let rules = api.control.behavior_rules();
    let mut problems = Vec::new();
    let read = |behavior| draft_of(behavior).check(rules).map_err(|found| problems.extend(found)).ok();
    let behaviors: Vec<_> = input.behaviors.into_iter().filter_map(read).collect();
    // What is wrong with each alone was found above; what is left is how they go together.
    problems.extend(komainu_detect::validate(&behaviors, rules));
    let errors = problems.into_iter().map(|problem| iot::ValidationError { error_message: Some(problem.to_string()) });
    let errors: Vec<_> = errors.collect();
    Ok(iot::ValidateSecurityProfileBehaviorsResponse {
        valid: Some(errors.is_empty()),
        validation_errors: Some(errors),
    })
}

/// What a request asks to become of one part of a profile.
fn part<T>(member: &str, flag: &str, value: Option<T>, delete: Option<bool>) -> Result<Part<T>, ApiError> {
    let part = Part::of_request(value, delete.unwrap_or(false));
    part.ok_or_else(|| ApiError::invalid(format!("{flag} must be false when {member} are given")))
}

fn read_alert_targets(targets: BTreeMap<String, iot::AlertTarget>) -> Result<Vec<AlertTarget>, ApiError> {
    targets
        .into_iter()
        .map(|(kind, target)| {
            if kind != "SNS" {
                return Err(ApiError::invalid(format!("alertTargets: {kind:?} is not a kind of alert target; SNS is")));
            }
            let topic = Arn::parse(&target.alert_target_arn)?;
            if topic.service() != "sns" {
                return Err(ApiError::invalid(format!("alertTargetArn {topic} is not the ARN of an SNS topic")));
            }
            let role = Arn::parse(&target.role_arn)
                .map_err(|_| ApiError::invalid(format!("roleArn {:?} is not an ARN", target.role_arn)))?;
            Ok(AlertTarget { kind: AlertTargetKind::Sns, target: topic, role })
        })
        .collect()
}

/// The metrics of the old member and of its successor, each once.
fn read_metrics_to_retain(
    names: Option<Vec<String>>,
    metrics: Option<Vec<iot::MetricToRetain>>,
) -> Result<Option<Vec<MetricToRetain>>, ApiError> {
    if names.is_none() && metrics.is_none() {
        return Ok(None);
    }
    let mut by_metric: BTreeMap<Metric, bool> = BTreeMap::new();
    for name in names.unwrap_or_default() {
        by_metric.entry(Metric::parse(&name)?).or_default();
    }
    for retained in metrics.unwrap_or_default() {
        if retained.metric_dimension.is_some() {
            return Err(ApiError::invalid("metricDimension is not available yet in Komainu"));
        }
        *by_metric.entry(Metric::parse(&retained.metric)?).or_default() |= retained.export_metric.unwrap_or(false);
    }
    Ok(Some(by_metric.into_iter().map(|(metric, export)| MetricToRetain { metric, export }).collect()))
}

fn read_metrics_export(config: iot::MetricsExportConfig) -> Result<(String, Arn), ApiError> {
    Ok((config.mqtt_topic, Arn::parse(&config.role_arn)?))
}

/// Reads the ARN of a thing group or of all things, registered ones or others.
fn read_target(scope: &Scope, arn: &str) -> Result<DetectTarget, ApiError> {
    let expected = || {
        let message = format!(
            "securityProfileTargetArn {arn:?} must be the ARN of a thing group of this account and region, or end in \
             all/things, all/registered-things or all/unregistered-things"
        );
        ApiError::invalid(message)
    };
    let arn = Arn::parse(arn).map_err(|_| expected())?;
    let resource = arn.resource_in("iot", scope).ok_or_else(expected)?;
    match resource.split_once('/').ok_or_else(expected)? {
        ("all", "things") => Ok(DetectTarget::AllThings),
        ("all", "registered-things") => Ok(DetectTarget::RegisteredThings),
        ("all", "unregistered-things") => Ok(DetectTarget::UnregisteredThings),
        ("thinggroup", group) => Ok(DetectTarget::Group(GroupName::parse(group)?)),
        _ => Err(expected()),
    }
}

fn target_arn(scope: &Scope, target: &DetectTarget) -> Arn {
    match target {
        DetectTarget::AllThings => scope.arn("iot", "all/things"),
        DetectTarget::RegisteredThings => scope.arn("iot", "all/registered-things"),
        DetectTarget::UnregisteredThings => scope.arn("iot", "all/unregistered-things"),
        DetectTarget::Group(group) => scope.arn("iot", format_args!("thinggroup/{group}")),
    }
}

fn check_target_exists(view: &View<'_>, target: &DetectTarget) -> Result<(), ApiError> {
    match target {
        DetectTarget::Group(group) => view.registry.group(group).map(drop).map_err(Into::into),
        DetectTarget::AllThings | DetectTarget::RegisteredThings | DetectTarget::UnregisteredThings => Ok(()),
    }
}

/// The target and, when it is a group, the groups under it.
fn targets_under(view: &View<'_>, target: &DetectTarget) -> Vec<DetectTarget> {
    match target {
        DetectTarget::Group(group) => {
            view.registry.groups_under(group).into_iter().cloned().map(DetectTarget::Group).collect()
        }
        DetectTarget::AllThings | DetectTarget::RegisteredThings | DetectTarget::UnregisteredThings => {
            vec![target.clone()]
        }
    }
}

/// Dimensions are not there yet, so none can be found.
pub(super) fn refuse_dimension(name: Option<&str>) -> Result<(), ApiError> {
    name.map_or(Ok(()), |name| Err(ApiError::not_found(format!("dimension {name:?} does not exist"))))
}

fn profile_arn(scope: &Scope, name: &ProfileName) -> Arn {
    scope.arn("iot", format_args!("securityprofile/{name}"))
}

fn identifier(scope: &Scope, name: &ProfileName) -> iot::SecurityProfileIdentifier {
    iot::SecurityProfileIdentifier { name: name.to_string(), arn: profile_arn(scope, name).to_string() }
}

/// The profile as AWS shows it. What is empty is left out.
fn show_profile(scope: &Scope, profile: &SecurityProfile) -> iot::UpdateSecurityProfileResponse {
    let filled = |is_empty: bool| (!is_empty).then_some(());
    let retained = &profile.metrics_to_retain;
    let alert_targets = profile.alert_targets.iter().map(|target| {
        let kind = match target.kind {
            AlertTargetKind::Sns => "SNS",
        };
        let (alert_target_arn, role_arn) = (target.target.to_string(), target.role.to_string());
        (kind.to_owned(), iot::AlertTarget { alert_target_arn, role_arn })
    });
    let metrics = retained.iter().map(|retained| iot::MetricToRetain {
        metric: retained.metric.as_str().to_owned(),
        metric_dimension: None,
        export_metric: retained.export.then_some(true),
    });
    iot::UpdateSecurityProfileResponse {
        security_profile_name: Some(profile.name.to_string()),
        security_profile_arn: Some(profile_arn(scope, &profile.name).to_string()),
        security_profile_description: profile.description.clone(),
        behaviors: filled(profile.behaviors.is_empty()).map(|()| profile.behaviors.iter().map(show_behavior).collect()),
        alert_targets: filled(profile.alert_targets.is_empty()).map(|()| alert_targets.collect()),
        additional_metrics_to_retain: filled(retained.is_empty())
            .map(|()| retained.iter().map(|retained| retained.metric.as_str().to_owned()).collect()),
        additional_metrics_to_retain_v2: filled(retained.is_empty()).map(|()| metrics.collect()),
        metrics_export_config: profile
            .metrics_export
            .as_ref()
            .map(|(topic, role)| iot::MetricsExportConfig { mqtt_topic: topic.clone(), role_arn: role.to_string() }),
        version: Some(version(profile.version)),
        creation_date: Some(seconds(profile.created_at)),
        last_modified_date: Some(seconds(profile.modified_at)),
    }
}
