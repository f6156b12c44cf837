//! Tags of IoT resources.

use komainu_aws::iot;
use komainu_model::{Arn, ProfileName};

use super::convert;
use crate::control::View;
use crate::dispatch::{Operations, blocking};
use crate::error::ApiError;
use crate::{Api, Caller};

pub(super) fn operations() -> Operations {
    vec![
        ("TagResource", blocking(tag_resource)),
        ("UntagResource", blocking(untag_resource)),
        ("ListTagsForResource", blocking(list_tags_for_resource)),
    ]
}

/// Checks that a resource is there and of a kind that has tags.
fn check_resource(view: &View<'_>, resource: &Arn) -> Result<(), ApiError> {
    let is_there = view.registry.has_taggable(resource).or_else(|| {
        let name = resource.resource_in("iot", view.registry.scope())?.strip_prefix("securityprofile/")?;
        Some(ProfileName::parse(name).is_ok_and(|name| view.profiles.describe(&name).is_ok()))
    });
    match is_there {
        Some(true) => Ok(()),
        Some(false) => Err(ApiError::not_found(format_args!("{resource} does not exist"))),
        None => Err(ApiError::invalid(format_args!("{resource} is not of a kind that can have tags here"))),
    }
}

fn tag_resource(
    api: &Api,
    caller: &Caller,
    input: iot::TagResourceRequest,
) -> Result<iot::TagResourceResponse, ApiError> {
    let (resource, tags) = (Arn::parse(&input.resource_arn)?, convert::tags(Some(input.tags))?);
    api.control.decide(&caller.scope, |view| {
        check_resource(view, &resource)?;
        Ok::<_, ApiError>(view.registry.tag(&resource, &tags)?)
    })?;
    Ok(iot::TagResourceResponse {})
}

fn untag_resource(
    api: &Api,
    caller: &Caller,
    input: iot::UntagResourceRequest,
) -> Result<iot::UntagResourceResponse, ApiError> {
    let resource = Arn::parse(&input.resource_arn)?;
    api.control.decide(&caller.scope, |view| {
        check_resource(view, &resource)?;
        Ok::<_, ApiError>(view.registry.untag(&resource, &input.tag_keys)?)
    })?;
    Ok(iot::UntagResourceResponse {})
}

/// A resource has at most 50 tags, and they come in one page.
fn list_tags_for_resource(
    api: &Api,
    caller: &Caller,
    input: iot::ListTagsForResourceRequest,
) -> Result<iot::ListTagsForResourceResponse, ApiError> {
    let resource = Arn::parse(&input.resource_arn)?;
    api.control.read(&caller.scope, |view| {
        check_resource(view, &resource)?;
        let tags = view.registry.tags(&resource).iter();
        let tags = tags.map(|(key, value)| iot::Tag { key: key.clone(), value: Some(value.clone()) });
        Ok(iot::ListTagsForResourceResponse { next_token: None, tags: Some(tags.collect()) })
    })
}
