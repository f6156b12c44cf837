//! Policies, their versions, and whom they count for.

use komainu_aws::iot;
use komainu_model::{
    Arn, CertificateId, GroupName, Policy, PolicyName, PolicyTarget, PolicyVersionId, Scope, Timestamp,
};
use komainu_registry::{CreatePolicy, CreatePolicyVersion, PolicyMarker, Registry};

use super::convert::{seconds, tags};
use super::paging::{PageRequest, next_token};
use crate::dispatch::{Operations, blocking};
use crate::error::ApiError;
use crate::{Api, Caller};

pub(super) fn operations() -> Operations {
    vec![
        ("CreatePolicy", blocking(create_policy)),
        ("GetPolicy", blocking(get_policy)),
        ("DeletePolicy", blocking(delete_policy)),
        ("ListPolicies", blocking(list_policies)),
        ("AttachPolicy", blocking(attach_policy)),
        ("DetachPolicy", blocking(detach_policy)),
        ("ListAttachedPolicies", blocking(list_attached_policies)),
        ("ListTargetsForPolicy", blocking(list_targets_for_policy)),
        ("CreatePolicyVersion", blocking(create_policy_version)),
        ("GetPolicyVersion", blocking(get_policy_version)),
        ("DeletePolicyVersion", blocking(delete_policy_version)),
        ("ListPolicyVersions", blocking(list_policy_versions)),
        ("SetDefaultPolicyVersion", blocking(set_default_policy_version)),
    ]
}

fn create_policy(
    api: &Api,
    caller: &Caller,
    input: iot::CreatePolicyRequest,
) -> Result<iot::CreatePolicyResponse, ApiError> {
    let wanted = CreatePolicy {
        name: PolicyName::parse(&input.policy_name)?,
        document: input.policy_document.as_str().into(),
        tags: tags(input.tags)?,
    };
    api.control.decide(&caller.scope, |view| {
        let (policy, changes) = view.registry.create_policy(&wanted, view.now)?;
        let response = iot::CreatePolicyResponse {
            policy_arn: Some(view.registry.policy_arn(&policy.name).to_string()),
            policy_document: Some(wanted.document.to_string()),
            policy_name: Some(policy.name.to_string()),
            policy_version_id: Some(policy.default_version.0.to_string()),
        };
        Ok((response, changes))
    })
}

fn get_policy(api: &Api, caller: &Caller, input: iot::GetPolicyRequest) -> Result<iot::GetPolicyResponse, ApiError> {
    let name = PolicyName::parse(&input.policy_name)?;
    api.control.read(&caller.scope, |view| {
        let policy = view.registry.policy(&name)?;
        let version = view.registry.policy_version(&name, policy.default_version)?;
        Ok(iot::GetPolicyResponse {
            creation_date: Some(seconds(policy.created_at)),
            default_version_id: Some(policy.default_version.0.to_string()),
            generation_id: Some(policy.generation.to_string()),
            last_modified_date: Some(seconds(policy.modified_at)),
            policy_arn: Some(view.registry.policy_arn(&name).to_string()),
            policy_document: Some(version.document.to_string()),
            policy_name: Some(name.to_string()),
        })
    })
}

fn delete_policy(api: &Api, caller: &Caller, input: iot::DeletePolicyRequest) -> Result<(), ApiError> {
    let name = PolicyName::parse(&input.policy_name)?;
    api.control.decide(&caller.scope, |view| Ok(view.registry.delete_policy(&name)?))
}

fn shown(registry: &Registry, name: &PolicyName) -> iot::Policy {
    iot::Policy { policy_arn: Some(registry.policy_arn(name).to_string()), policy_name: Some(name.to_string()) }
}

fn list_policies(
    api: &Api,
    caller: &Caller,
    input: iot::ListPoliciesRequest,
) -> Result<iot::ListPoliciesResponse, ApiError> {
    let page = PageRequest::by_marker(input.page_size, input.marker.as_deref())?;
    let after = page.after_key(read_marker)?;
    api.control.read(&caller.scope, |view| {
        let listed = match input.ascending_order {
            Some(true) => view.registry.list_policies_oldest_first(after.as_ref(), page.limit),
            Some(false) | None => view.registry.list_policies_latest_first(after.as_ref(), page.limit),
        };
        Ok(iot::ListPoliciesResponse {
            next_marker: next_token(&listed, |policy: &&Policy| {
                format!("{} {}", policy.created_at.unix_millis(), policy.name)
            }),
            policies: Some(listed.items.iter().map(|policy| shown(view.registry, &policy.name)).collect()),
        })
    })
}

fn read_marker(text: &str) -> Option<PolicyMarker> {
    let (millis, name) = text.split_once(' ')?;
    let created_at = Timestamp::from_unix_millis(millis.parse().ok()?);
    Some(PolicyMarker { created_at, name: PolicyName::parse(name).ok()? })
}

/// The target that an ARN names: a certificate or a thing group of this scope.
fn target(arn: &str, scope: &Scope) -> Result<PolicyTarget, ApiError> {
    let parsed = Arn::parse(arn)?;
    match parsed.resource_in("iot", scope).and_then(|resource| resource.split_once('/')) {
        Some(("cert", id)) => Ok(PolicyTarget::Certificate(CertificateId::parse(id)?)),
        Some(("thinggroup", name)) => Ok(PolicyTarget::Group(GroupName::parse(name)?)),
        _ => Err(ApiError::invalid(format_args!(
            "target {arn} is neither a certificate nor a thing group of account {} in region {}",
            scope.account, scope.region
        ))),
    }
}

fn target_arn(registry: &Registry, target: &PolicyTarget) -> Arn {
    match target {
        PolicyTarget::Certificate(id) => registry.certificate_arn(id),
        PolicyTarget::Group(name) => registry.group_arn(name),
    }
}

fn attach_policy(api: &Api, caller: &Caller, input: iot::AttachPolicyRequest) -> Result<(), ApiError> {
    let (name, target) = (PolicyName::parse(&input.policy_name)?, target(&input.target, &caller.scope)?);
    api.control.decide(&caller.scope, |view| Ok(view.registry.attach_policy(&name, &target)?))
}

fn detach_policy(api: &Api, caller: &Caller, input: iot::DetachPolicyRequest) -> Result<(), ApiError> {
    let (name, target) = (PolicyName::parse(&input.policy_name)?, target(&input.target, &caller.scope)?);
    api.control.decide(&caller.scope, |view| Ok(view.registry.detach_policy(&name, &target)?))
}

fn list_attached_policies(
    api: &Api,
    caller: &Caller,
    input: iot::ListAttachedPoliciesRequest,
) -> Result<iot::ListAttachedPoliciesResponse, ApiError> {
    let target = target(&input.target, &caller.scope)?;
    let page = PageRequest::by_marker(input.page_size, input.marker.as_deref())?;
    let after = page.after(PolicyName::parse)?;
    api.control.read(&caller.scope, |view| {
        let listed = match input.recursive {
            Some(true) => view.registry.list_policies_over_target(&target, after.as_ref(), page.limit)?,
            Some(false) | None => view.registry.list_policies_of_target(&target, after.as_ref(), page.limit)?,
        };
        Ok(iot::ListAttachedPoliciesResponse {
            next_marker: next_token(&listed, |name| *name),
            policies: Some(listed.items.iter().map(|name| shown(view.registry, name)).collect()),
        })
    })
}

fn list_targets_for_policy(
    api: &Api,
    caller: &Caller,
    input: iot::ListTargetsForPolicyRequest,
) -> Result<iot::ListTargetsForPolicyResponse, ApiError> {
    let name = PolicyName::parse(&input.policy_name)?;
    let page = PageRequest::by_marker(input.page_size, input.marker.as_deref())?;
    let after = page.after_key(|arn| target(arn, &caller.scope).ok())?;
    api.control.read(&caller.scope, |view| {
        let listed = view.registry.list_targets_of_policy(&name, after.as_ref(), page.limit)?;
        Ok(iot::ListTargetsForPolicyResponse {
            next_marker: next_token(&listed, |target| target_arn(view.registry, target)),
            targets: Some(listed.items.iter().map(|target| target_arn(view.registry, target).to_string()).collect()),
        })
    })
}

fn create_policy_version(
    api: &Api,
    caller: &Caller,
    input: iot::CreatePolicyVersionRequest,
) -> Result<iot::CreatePolicyVersionResponse, ApiError> {
    let wanted = CreatePolicyVersion {
        name: PolicyName::parse(&input.policy_name)?,
        document: input.policy_document.as_str().into(),
        set_as_default: input.set_as_default.unwrap_or(false),
    };
    api.control.decide(&caller.scope, |view| {
        let (version, changes) = view.registry.create_policy_version(&wanted, view.now)?;
        let response = iot::CreatePolicyVersionResponse {
            is_default_version: Some(wanted.set_as_default),
            policy_arn: Some(view.registry.policy_arn(&wanted.name).to_string()),
            policy_document: Some(version.document.to_string()),
            policy_version_id: Some(version.id.0.to_string()),
        };
        Ok((response, changes))
    })
}

/// `policyVersionId`.
fn version_id(text: &str) -> Result<PolicyVersionId, ApiError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number
        .map(PolicyVersionId)
        .ok_or_else(|| ApiError::invalid(format_args!("policyVersionId {text:?} is not a number")))
}

fn get_policy_version(
    api: &Api,
    caller: &Caller,
    input: iot::GetPolicyVersionRequest,
) -> Result<iot::GetPolicyVersionResponse, ApiError> {
    let (name, id) = (PolicyName::parse(&input.policy_name)?, version_id(&input.policy_version_id)?);
    api.control.read(&caller.scope, |view| {
        let policy = view.registry.policy(&name)?;
        let version = view.registry.policy_version(&name, id)?;
        Ok(iot::GetPolicyVersionResponse {
            creation_date: Some(seconds(version.created_at)),
            generation_id: Some(policy.generation.to_string()),
            is_default_version: Some(policy.default_version == id),
            // The document of a version never changes.
            last_modified_date: Some(seconds(version.created_at)),
            policy_arn: Some(view.registry.policy_arn(&name).to_string()),
            policy_document: Some(version.document.to_string()),
            policy_name: Some(name.to_string()),
            policy_version_id: Some(id.0.to_string()),
        })
    })
}

fn delete_policy_version(api: &Api, caller: &Caller, input: iot::DeletePolicyVersionRequest) -> Result<(), ApiError> {
    let (name, id) = (PolicyName::parse(&input.policy_name)?, version_id(&input.policy_version_id)?);
    api.control.decide(&caller.scope, |view| Ok(view.registry.delete_policy_version(&name, id, view.now)?))
}

fn list_policy_versions(
    api: &Api,
    caller: &Caller,
    input: iot::ListPolicyVersionsRequest,
) -> Result<iot::ListPolicyVersionsResponse, ApiError> {
    let name = PolicyName::parse(&input.policy_name)?;
    api.control.read(&caller.scope, |view| {
        let policy = view.registry.policy(&name)?;
        let versions = policy.versions.iter().map(|version| iot::PolicyVersion {
            create_date: Some(seconds(version.created_at)),
            is_default_version: Some(version.id == policy.default_version),
            version_id: Some(version.id.0.to_string()),
        });
        Ok(iot::ListPolicyVersionsResponse { policy_versions: Some(versions.collect()) })
    })
}

fn set_default_policy_version(
    api: &Api,
    caller: &Caller,
    input: iot::SetDefaultPolicyVersionRequest,
) -> Result<(), ApiError> {
    let (name, id) = (PolicyName::parse(&input.policy_name)?, version_id(&input.policy_version_id)?);
    api.control.decide(&caller.scope, |view| Ok(view.registry.set_default_policy_version(&name, id, view.now)?))
}
