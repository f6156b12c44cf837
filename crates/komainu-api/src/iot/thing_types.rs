//! Thing types.

use komainu_aws::iot;
use komainu_model::{ThingType, ThingTypeName};
use komainu_registry::{CreateThingType, Listed, UpdateThingType};

use super::convert::{seconds, tags};
use super::paging::{PageRequest, next_token};
use crate::dispatch::{Operations, blocking};
use crate::error::ApiError;
use crate::{Api, Caller};

pub(super) fn operations() -> Operations {
    vec![
        ("CreateThingType", blocking(create_thing_type)),
        ("DescribeThingType", blocking(describe_thing_type)),
        ("ListThingTypes", blocking(list_thing_types)),
        ("DeprecateThingType", blocking(deprecate_thing_type)),
        ("UpdateThingType", blocking(update_thing_type)),
        ("DeleteThingType", blocking(delete_thing_type)),
    ]
}

/// The properties of a request; those that Komainu does not have are refused rather than forgotten.
fn properties(properties: Option<iot::ThingTypeProperties>) -> Result<iot::ThingTypeProperties, ApiError> {
    let properties = properties.unwrap_or_default();
    if properties.mqtt5_configuration.is_some() {
        return Err(ApiError::invalid("mqtt5Configuration: propagating attributes are not available in Komainu"));
    }
    Ok(properties)
}

fn shown_properties(thing_type: &ThingType) -> iot::ThingTypeProperties {
    iot::ThingTypeProperties {
        mqtt5_configuration: None,
        searchable_attributes: Some(thing_type.searchable_attributes.clone()),
        thing_type_description: thing_type.description.clone(),
    }
}

fn shown_metadata(thing_type: &ThingType) -> iot::ThingTypeMetadata {
    iot::ThingTypeMetadata {
        creation_date: Some(seconds(thing_type.created_at)),
        deprecated: Some(thing_type.deprecated_at.is_some()),
        deprecation_date: thing_type.deprecated_at.map(seconds),
    }
}

fn create_thing_type(
    api: &Api,
    caller: &Caller,
    input: iot::CreateThingTypeRequest,
) -> Result<iot::CreateThingTypeResponse, ApiError> {
    let properties = properties(input.thing_type_properties)?;
    let wanted = CreateThingType {
        name: ThingTypeName::parse(&input.thing_type_name)?,
        description: properties.thing_type_description,
        searchable_attributes: properties.searchable_attributes.unwrap_or_default(),
        tags: tags(input.tags)?,
    };
    let id = api.ids.uuid();
    api.control.decide(&caller.scope, |view| {
        let (thing_type, changes) = view.registry.create_thing_type(&wanted, id.into(), view.now)?;
        let response = iot::CreateThingTypeResponse {
            thing_type_arn: Some(view.registry.thing_type_arn(&thing_type.name).to_string()),
            thing_type_id: Some(thing_type.id.to_string()),
            thing_type_name: Some(thing_type.name.to_string()),
        };
        Ok((response, changes))
    })
}

fn describe_thing_type(
    api: &Api,
    caller: &Caller,
    input: iot::DescribeThingTypeRequest,
) -> Result<iot::DescribeThingTypeResponse, ApiError> {
    let name = ThingTypeName::parse(&input.thing_type_name)?;
    api.control.read(&caller.scope, |view| {
        let thing_type = view.registry.thing_type(&name)?;
        Ok(iot::DescribeThingTypeResponse {
            thing_type_arn: Some(view.registry.thing_type_arn(&name).to_string()),
            thing_type_id: Some(thing_type.id.to_string()),
            thing_type_metadata: Some(shown_metadata(thing_type)),
            thing_type_name: Some(name.to_string()),
            thing_type_properties: Some(shown_properties(thing_type)),
        })
    })
}

fn list_thing_types(
    api: &Api,
    caller: &Caller,
    input: iot::ListThingTypesRequest,
) -> Result<iot::ListThingTypesResponse, ApiError> {
    let page = PageRequest::by_token(input.max_results, input.next_token.as_deref())?;
    let after = page.after(ThingTypeName::parse)?;
    let only = input.thing_type_name.as_deref().map(ThingTypeName::parse).transpose()?;
    api.control.read(&caller.scope, |view| {
        let listed = match &only {
            Some(name) => Listed { items: view.registry.thing_type(name).into_iter().collect(), more: false },
            None => view.registry.list_thing_types(after.as_ref(), page.limit),
        };
        let definition = |thing_type: &&ThingType| iot::ThingTypeDefinition {
            thing_type_arn: Some(view.registry.thing_type_arn(&thing_type.name).to_string()),
            thing_type_metadata: Some(shown_metadata(thing_type)),
            thing_type_name: Some(thing_type.name.to_string()),
            thing_type_properties: Some(shown_properties(thing_type)),
        };
        Ok(iot::ListThingTypesResponse {
            next_token: next_token(&listed, |thing_type| &thing_type.name),
            thing_types: Some(listed.items.iter().map(definition).collect()),
        })
    })
}

fn deprecate_thing_type(
    api: &Api,
    caller: &Caller,
    input: iot::DeprecateThingTypeRequest,
) -> Result<iot::DeprecateThingTypeResponse, ApiError> {
    let name = ThingTypeName::parse(&input.thing_type_name)?;
    api.control.decide(&caller.scope, |view| {
        Ok::<_, ApiError>(match input.undo_deprecate {
            Some(true) => view.registry.undo_deprecate_thing_type(&name)?,
            Some(false) | None => view.registry.deprecate_thing_type(&name, view.now)?,
        })
    })?;
    Ok(iot::DeprecateThingTypeResponse {})
}

fn update_thing_type(
    api: &Api,
    caller: &Caller,
    input: iot::UpdateThingTypeRequest,
) -> Result<iot::UpdateThingTypeResponse, ApiError> {
    let properties = properties(input.thing_type_properties)?;
    let update = UpdateThingType {
        name: ThingTypeName::parse(&input.thing_type_name)?,
        description: properties.thing_type_description,
        searchable_attributes: properties.searchable_attributes,
    };
    api.control.decide(&caller.scope, |view| Ok::<_, ApiError>(view.registry.update_thing_type(&update)?))?;
    Ok(iot::UpdateThingTypeResponse {})
}

fn delete_thing_type(
    api: &Api,
    caller: &Caller,
    input: iot::DeleteThingTypeRequest,
) -> Result<iot::DeleteThingTypeResponse, ApiError> {
    let name = ThingTypeName::parse(&input.thing_type_name)?;
    api.control.decide(&caller.scope, |view| Ok::<_, ApiError>(view.registry.delete_thing_type(&name, view.now)?))?;
    Ok(iot::DeleteThingTypeResponse {})
}
