//! Static thing groups.

use komainu_aws::iot;
use komainu_model::{DetectTarget, GroupName, ThingName};
use komainu_registry::{CreateGroup, GroupFilter, Registry, UpdateGroup};

use super::convert::{attribute_update, expected_version, name_in_arn, new_attributes, seconds, tags, version};
use super::paging::{PageRequest, next_token};
use crate::dispatch::{Operations, blocking};
use crate::error::ApiError;
use crate::{Api, Caller};

pub(super) fn operations() -> Operations {
    vec![
        ("CreateThingGroup", blocking(create_thing_group)),
        ("DescribeThingGroup", blocking(describe_thing_group)),
        ("UpdateThingGroup", blocking(update_thing_group)),
        ("DeleteThingGroup", blocking(delete_thing_group)),
        ("ListThingGroups", blocking(list_thing_groups)),
        ("AddThingToThingGroup", blocking(add_thing_to_thing_group)),
        ("RemoveThingFromThingGroup", blocking(remove_thing_from_thing_group)),
        ("ListThingGroupsForThing", blocking(list_thing_groups_for_thing)),
        ("ListThingsInThingGroup", blocking(list_things_in_thing_group)),
        ("UpdateThingGroupsForThing", blocking(update_thing_groups_for_thing)),
    ]
}

fn name_and_arn(registry: &Registry, name: &GroupName) -> iot::GroupNameAndArn {
    iot::GroupNameAndArn { group_arn: Some(registry.group_arn(name).to_string()), group_name: Some(name.to_string()) }
}

fn create_thing_group(
    api: &Api,
    caller: &Caller,
    input: iot::CreateThingGroupRequest,
) -> Result<iot::CreateThingGroupResponse, ApiError> {
    let properties = input.thing_group_properties.unwrap_or_default();
    let wanted = CreateGroup {
        name: GroupName::parse(&input.thing_group_name)?,
        parent: input.parent_group_name.as_deref().map(GroupName::parse).transpose()?,
        description: properties.thing_group_description,
        attributes: new_attributes(properties.attribute_payload),
        tags: tags(input.tags)?,
    };
    let id = api.ids.uuid();
    api.control.decide(&caller.scope, |view| {
        let (group, changes) = view.registry.create_group(&wanted, id.into(), view.now)?;
        let response = iot::CreateThingGroupResponse {
            thing_group_arn: Some(view.registry.group_arn(&group.name).to_string()),
            thing_group_id: Some(group.id.to_string()),
            thing_group_name: Some(group.name.to_string()),
        };
        Ok((response, changes))
    })
}

fn describe_thing_group(
    api: &Api,
    caller: &Caller,
    input: iot::DescribeThingGroupRequest,
) -> Result<iot::DescribeThingGroupResponse, ApiError> {
    let name = GroupName::parse(&input.thing_group_name)?;
    api.control.read(&caller.scope, |view| {
        let registry = view.registry;
        let group = registry.group(&name)?;
        let mut above: Vec<_> = registry.lineage(&name).skip(1).map(|group| name_and_arn(registry, group)).collect();
        above.reverse();
        let metadata = iot::ThingGroupMetadata {
            creation_date: Some(seconds(group.created_at)),
            parent_group_name: group.parent.as_ref().map(GroupName::to_string),
            root_to_parent_thing_groups: (!above.is_empty()).then_some(above),
        };
        let attributes = iot::AttributePayload { attributes: Some(group.attributes.clone()), merge: None };
        let properties = iot::ThingGroupProperties {
            attribute_payload: (!group.attributes.is_empty()).then_some(attributes),
            thing_group_description: group.description.clone(),
        };
        Ok(iot::DescribeThingGroupResponse {
            thing_group_arn: Some(registry.group_arn(&name).to_string()),
            thing_group_id: Some(group.id.to_string()),
            thing_group_metadata: Some(metadata),
            thing_group_name: Some(name.to_string()),
            thing_group_properties: Some(properties),
            version: Some(version(group.version)),
            // Of dynamic groups only.
            index_name: None,
            query_string: None,
            query_version: None,
            status: None,
        })
    })
}

fn update_thing_group(
    api: &Api,
    caller: &Caller,
    input: iot::UpdateThingGroupRequest,
) -> Result<iot::UpdateThingGroupResponse, ApiError> {
    let update = UpdateGroup {
        name: GroupName::parse(&input.thing_group_name)?,
        description: input.thing_group_properties.thing_group_description,
        attributes: attribute_update(input.thing_group_properties.attribute_payload),
        expected_version: expected_version(input.expected_version)?,
    };
    let updated = api.control.decide(&caller.scope, |view| Ok::<_, ApiError>(view.registry.update_group(&update)?))?;
    Ok(iot::UpdateThingGroupResponse { version: Some(version(updated.version)) })
}

/// Security profiles that had the group as a target lose it in the same step, so that a later group of the same name
/// does not find itself judged.
fn delete_thing_group(
    api: &Api,
    caller: &Caller,
    input: iot::DeleteThingGroupRequest,
) -> Result<iot::DeleteThingGroupResponse, ApiError> {
    let name = GroupName::parse(&input.thing_group_name)?;
    let expected = expected_version(input.expected_version)?;
    api.control.decide(&caller.scope, |view| {
        let ((), mut changes) = view.registry.delete_group(&name, expected)?;
        changes.extend(view.profiles.detach_all(&DetectTarget::Group(name.clone())));
        Ok::<_, ApiError>(((), changes))
    })?;
    Ok(iot::DeleteThingGroupResponse {})
}

fn list_thing_groups(
    api: &Api,
    caller: &Caller,
    input: iot::ListThingGroupsRequest,
) -> Result<iot::ListThingGroupsResponse, ApiError> {
    let page = PageRequest::by_token(input.max_results, input.next_token.as_deref())?;
    let after = page.after(GroupName::parse)?;
    let parent = input.parent_group.as_deref().map(GroupName::parse).transpose()?;
    // Without a parent all groups are meant, under a parent those directly under it.
    let recursive = input.recursive.unwrap_or(parent.is_none());
    let filter = GroupFilter { parent, direct_only: !recursive, name_prefix: input.name_prefix_filter };
    api.control.read(&caller.scope, |view| {
        let listed = view.registry.list_groups(&filter, after.as_ref(), page.limit)?;
        Ok(iot::ListThingGroupsResponse {
            next_token: next_token(&listed, |group| &group.name),
            thing_groups: Some(listed.items.iter().map(|group| name_and_arn(view.registry, &group.name)).collect()),
        })
    })
}

/// The thing that a request names, by name or by ARN.
fn thing_of(caller: &Caller, name: Option<&str>, arn: Option<&str>) -> Result<ThingName, ApiError> {
    match (name, arn) {
        (Some(name), None) => Ok(ThingName::parse(name)?),
        (None, Some(arn)) => Ok(ThingName::parse(&name_in_arn(arn, "thing", &caller.scope)?)?),
        (Some(name), Some(arn)) if name_in_arn(arn, "thing", &caller.scope)? == name => Ok(ThingName::parse(name)?),
        (Some(_), Some(_)) => Err(ApiError::invalid("thingName and thingArn name different things")),
        (None, None) => Err(ApiError::invalid("thingName or thingArn is needed")),
    }
}

/// The group that a request names, by name or by ARN.
fn group_of(caller: &Caller, name: Option<&str>, arn: Option<&str>) -> Result<GroupName, ApiError> {
    match (name, arn) {
        (Some(name), None) => Ok(GroupName::parse(name)?),
        (None, Some(arn)) => Ok(GroupName::parse(&name_in_arn(arn, "thinggroup", &caller.scope)?)?),
        (Some(name), Some(arn)) if name_in_arn(arn, "thinggroup", &caller.scope)? == name => {
            Ok(GroupName::parse(name)?)
        }
        (Some(_), Some(_)) => Err(ApiError::invalid("thingGroupName and thingGroupArn name different groups")),
        (None, None) => Err(ApiError::invalid("thingGroupName or thingGroupArn is needed")),
    }
}

fn add_thing_to_thing_group(
    api: &Api,
    caller: &Caller,
    input: iot::AddThingToThingGroupRequest,
) -> Result<iot::AddThingToThingGroupResponse, ApiError> {
    let thing = thing_of(caller, input.thing_name.as_deref(), input.thing_arn.as_deref())?;
    let group = group_of(caller, input.thing_group_name.as_deref(), input.thing_group_arn.as_deref())?;
    api.control.decide(&caller.scope, |view| Ok::<_, ApiError>(view.registry.add_thing_to_group(&thing, &group)?))?;
    Ok(iot::AddThingToThingGroupResponse {})
}

fn remove_thing_from_thing_group(
    api: &Api,
    caller: &Caller,
    input: iot::RemoveThingFromThingGroupRequest,
) -> Result<iot::RemoveThingFromThingGroupResponse, ApiError> {
    let thing = thing_of(caller, input.thing_name.as_deref(), input.thing_arn.as_deref())?;
    let group = group_of(caller, input.thing_group_name.as_deref(), input.thing_group_arn.as_deref())?;
    api.control
        .decide(&caller.scope, |view| Ok::<_, ApiError>(view.registry.remove_thing_from_group(&thing, &group)?))?;
    Ok(iot::RemoveThingFromThingGroupResponse {})
}

fn list_thing_groups_for_thing(
    api: &Api,
    caller: &Caller,
    input: iot::ListThingGroupsForThingRequest,
) -> Result<iot::ListThingGroupsForThingResponse, ApiError> {
    let thing = ThingName::parse(&input.thing_name)?;
    let page = PageRequest::by_token(input.max_results, input.next_token.as_deref())?;
    let after = page.after(GroupName::parse)?;
    api.control.read(&caller.scope, |view| {
        let listed = view.registry.list_groups_of_thing(&thing, after.as_ref(), page.limit)?;
        Ok(iot::ListThingGroupsForThingResponse {
            next_token: next_token(&listed, |name| *name),
            thing_groups: Some(listed.items.iter().map(|name| name_and_arn(view.registry, name)).collect()),
        })
    })
}

fn list_things_in_thing_group(
    api: &Api,
    caller: &Caller,
    input: iot::ListThingsInThingGroupRequest,
) -> Result<iot::ListThingsInThingGroupResponse, ApiError> {
    let group = GroupName::parse(&input.thing_group_name)?;
    let page = PageRequest::by_token(input.max_results, input.next_token.as_deref())?;
    let after = page.after(ThingName::parse)?;
    api.control.read(&caller.scope, |view| {
        let listed = match input.recursive {
            Some(true) => view.registry.list_things_under_group(&group, after.as_ref(), page.limit)?,
            Some(false) | None => view.registry.list_things_in_group(&group, after.as_ref(), page.limit)?,
        };
        Ok(iot::ListThingsInThingGroupResponse {
            next_token: next_token(&listed, |name| *name),
            things: Some(listed.items.iter().map(|name| name.to_string()).collect()),
        })
    })
}

fn update_thing_groups_for_thing(
    api: &Api,
    caller: &Caller,
    input: iot::UpdateThingGroupsForThingRequest,
) -> Result<iot::UpdateThingGroupsForThingResponse, ApiError> {
    let thing = thing_of(caller, input.thing_name.as_deref(), None)?;
    let groups = |names: Option<Vec<String>>| {
        names.unwrap_or_default().iter().map(|name| GroupName::parse(name)).collect::<Result<Vec<_>, _>>()
    };
    let (add, remove) = (groups(input.thing_groups_to_add)?, groups(input.thing_groups_to_remove)?);
    api.control.decide(&caller.scope, |view| {
        Ok::<_, ApiError>(view.registry.update_groups_of_thing(&thing, &add, &remove)?)
    })?;
    Ok(iot::UpdateThingGroupsForThingResponse {})
}
