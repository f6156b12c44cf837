//! Things, and the certificates that speak for them.

use komainu_aws::iot;
use komainu_model::{CertificateId, Thing, ThingName, ThingPrincipalType, ThingTypeName};
use komainu_registry::{AttributeValueFilter, CreateThing, ThingFilter, TypeUpdate, UpdateThing};

use super::convert::{
    attribute_update, expected_version, new_attributes, principal, principal_type, principal_type_word, version,
};
use super::paging::{PageRequest, next_token};
use crate::dispatch::{Operations, blocking};
use crate::error::ApiError;
use crate::{Api, Caller};

pub(super) fn operations() -> Operations {
    vec![
        ("CreateThing", blocking(create_thing)),
        ("DescribeThing", blocking(describe_thing)),
        ("UpdateThing", blocking(update_thing)),
        ("DeleteThing", blocking(delete_thing)),
        ("ListThings", blocking(list_things)),
        ("AttachThingPrincipal", blocking(attach_thing_principal)),
        ("DetachThingPrincipal", blocking(detach_thing_principal)),
        ("ListThingPrincipals", blocking(list_thing_principals)),
        ("ListThingPrincipalsV2", blocking(list_thing_principals_v2)),
        ("ListPrincipalThings", blocking(list_principal_things)),
        ("ListPrincipalThingsV2", blocking(list_principal_things_v2)),
    ]
}

fn create_thing(
    api: &Api,
    caller: &Caller,
    input: iot::CreateThingRequest,
) -> Result<iot::CreateThingResponse, ApiError> {
    if input.billing_group_name.is_some() {
        return Err(ApiError::invalid("billingGroupName: billing groups are not available in Komainu"));
    }
    let wanted = CreateThing {
        name: ThingName::parse(&input.thing_name)?,
        type_name: input.thing_type_name.as_deref().map(ThingTypeName::parse).transpose()?,
        attributes: new_attributes(input.attribute_payload),
    };
    let id = api.ids.uuid();
    api.control.decide(&caller.scope, |view| {
        let (thing, changes) = view.registry.create_thing(&wanted, id.into(), view.now)?;
        let response = iot::CreateThingResponse {
            thing_arn: Some(view.registry.thing_arn(&thing.name).to_string()),
            thing_id: Some(thing.id.to_string()),
            thing_name: Some(thing.name.to_string()),
        };
        Ok((response, changes))
    })
}

fn describe_thing(
    api: &Api,
    caller: &Caller,
    input: iot::DescribeThingRequest,
) -> Result<iot::DescribeThingResponse, ApiError> {
    let name = ThingName::parse(&input.thing_name)?;
    api.control.read(&caller.scope, |view| {
        let thing = view.registry.thing(&name)?;
        Ok(iot::DescribeThingResponse {
            attributes: Some(thing.attributes.clone()),
            billing_group_name: None,
            default_client_id: Some(thing.name.to_string()),
            thing_arn: Some(view.registry.thing_arn(&name).to_string()),
            thing_id: Some(thing.id.to_string()),
            thing_name: Some(thing.name.to_string()),
            thing_type_name: thing.type_name.as_ref().map(ThingTypeName::to_string),
            version: Some(version(thing.version)),
        })
    })
}

fn update_thing(
    api: &Api,
    caller: &Caller,
    input: iot::UpdateThingRequest,
) -> Result<iot::UpdateThingResponse, ApiError> {
    let type_name = match (&input.thing_type_name, input.remove_thing_type.unwrap_or(false)) {
        (Some(_), true) => {
            return Err(ApiError::invalid("thingTypeName and removeThingType cannot be given together"));
        }
        (Some(name), false) => TypeUpdate::Set(ThingTypeName::parse(name)?),
        (None, true) => TypeUpdate::Remove,
        (None, false) => TypeUpdate::Keep,
    };
    let update = UpdateThing {
        name: ThingName::parse(&input.thing_name)?,
        type_name,
        attributes: attribute_update(input.attribute_payload),
        expected_version: expected_version(input.expected_version)?,
    };
    let updated = api.control.decide(&caller.scope, |view| Ok::<_, ApiError>(view.registry.update_thing(&update)?));
    updated.map(|_| iot::UpdateThingResponse {})
}

fn delete_thing(
    api: &Api,
    caller: &Caller,
    input: iot::DeleteThingRequest,
) -> Result<iot::DeleteThingResponse, ApiError> {
    let name = ThingName::parse(&input.thing_name)?;
    let expected = expected_version(input.expected_version)?;
    api.control.decide(&caller.scope, |view| Ok::<_, ApiError>(view.registry.delete_thing(&name, expected)?))?;
    Ok(iot::DeleteThingResponse {})
}

fn list_things(api: &Api, caller: &Caller, input: iot::ListThingsRequest) -> Result<iot::ListThingsResponse, ApiError> {
    let page = PageRequest::by_token(input.max_results, input.next_token.as_deref())?;
    let after = page.after(ThingName::parse)?;
    let value_filter = match input.use_prefix_attribute_value {
        Some(true) => AttributeValueFilter::StartsWith,
        Some(false) | None => AttributeValueFilter::Equals,
    };
    let filter = ThingFilter {
        type_name: input.thing_type_name.as_deref().map(ThingTypeName::parse).transpose()?,
        attribute_name: input.attribute_name,
        attribute_value: input.attribute_value.map(value_filter),
    };
    api.control.read(&caller.scope, |view| {
        let things = view.registry.list_things(&filter, after.as_ref(), page.limit);
        let attribute = |thing: &Thing| iot::ThingAttribute {
            attributes: Some(thing.attributes.clone()),
            thing_arn: Some(view.registry.thing_arn(&thing.name).to_string()),
            thing_name: Some(thing.name.to_string()),
            thing_type_name: thing.type_name.as_ref().map(ThingTypeName::to_string),
            version: Some(version(thing.version)),
        };
        Ok(iot::ListThingsResponse {
            next_token: next_token(&things, |thing| &thing.name),
            things: Some(things.items.into_iter().map(attribute).collect()),
        })
    })
}

fn attach_thing_principal(
    api: &Api,
    caller: &Caller,
    input: iot::AttachThingPrincipalRequest,
) -> Result<iot::AttachThingPrincipalResponse, ApiError> {
    let thing = ThingName::parse(&input.thing_name)?;
    let certificate = principal(&input.principal, &caller.scope)?;
    let kind = principal_type(input.thing_principal_type.as_deref())?.unwrap_or(ThingPrincipalType::NonExclusiveThing);
    api.control.decide(&caller.scope, |view| {
        Ok::<_, ApiError>(view.registry.attach_thing_principal(&thing, certificate, kind)?)
    })?;
    Ok(iot::AttachThingPrincipalResponse {})
}

fn detach_thing_principal(
    api: &Api,
    caller: &Caller,
    input: iot::DetachThingPrincipalRequest,
) -> Result<iot::DetachThingPrincipalResponse, ApiError> {
    let thing = ThingName::parse(&input.thing_name)?;
    let certificate = principal(&input.principal, &caller.scope)?;
    api.control
        .decide(&caller.scope, |view| Ok::<_, ApiError>(view.registry.detach_thing_principal(&thing, certificate)?))?;
    Ok(iot::DetachThingPrincipalResponse {})
}

fn list_thing_principals(
    api: &Api,
    caller: &Caller,
    input: iot::ListThingPrincipalsRequest,
) -> Result<iot::ListThingPrincipalsResponse, ApiError> {
    let thing = ThingName::parse(&input.thing_name)?;
    let page = PageRequest::by_token(input.max_results, input.next_token.as_deref())?;
    let after = page.after(CertificateId::parse)?;
    api.control.read(&caller.scope, |view| {
        let listed = view.registry.list_principals_of_thing(&thing, None, after.as_ref(), page.limit)?;
        Ok(iot::ListThingPrincipalsResponse {
            next_token: next_token(&listed, |(id, _)| *id),
            principals: Some(
                listed.items.iter().map(|(id, _)| view.registry.certificate_arn(id).to_string()).collect(),
            ),
        })
    })
}

fn list_thing_principals_v2(
    api: &Api,
    caller: &Caller,
    input: iot::ListThingPrincipalsV2Request,
) -> Result<iot::ListThingPrincipalsV2Response, ApiError> {
    let thing = ThingName::parse(&input.thing_name)?;
    let kind = principal_type(input.thing_principal_type.as_deref())?;
    let page = PageRequest::by_token(input.max_results, input.next_token.as_deref())?;
    let after = page.after(CertificateId::parse)?;
    api.control.read(&caller.scope, |view| {
        let listed = view.registry.list_principals_of_thing(&thing, kind, after.as_ref(), page.limit)?;
        let object = |(id, kind): &(CertificateId, ThingPrincipalType)| iot::ThingPrincipalObject {
            principal: view.registry.certificate_arn(id).to_string(),
            thing_principal_type: Some(principal_type_word(*kind)),
        };
        Ok(iot::ListThingPrincipalsV2Response {
            next_token: next_token(&listed, |(id, _)| *id),
            thing_principal_objects: Some(listed.items.iter().map(object).collect()),
        })
    })
}

fn list_principal_things(
    api: &Api,
    caller: &Caller,
    input: iot::ListPrincipalThingsRequest,
) -> Result<iot::ListPrincipalThingsResponse, ApiError> {
    let certificate = principal(&input.principal, &caller.scope)?;
    let page = PageRequest::by_token(input.max_results, input.next_token.as_deref())?;
    let after = page.after(ThingName::parse)?;
    api.control.read(&caller.scope, |view| {
        let listed = view.registry.list_things_of_principal(&certificate, None, after.as_ref(), page.limit)?;
        Ok(iot::ListPrincipalThingsResponse {
            next_token: next_token(&listed, |(name, _)| *name),
            things: Some(listed.items.iter().map(|(name, _)| name.to_string()).collect()),
        })
    })
}

fn list_principal_things_v2(
    api: &Api,
    caller: &Caller,
    input: iot::ListPrincipalThingsV2Request,
) -> Result<iot::ListPrincipalThingsV2Response, ApiError> {
    let certificate = principal(&input.principal, &caller.scope)?;
    let kind = principal_type(input.thing_principal_type.as_deref())?;
    let page = PageRequest::by_token(input.max_results, input.next_token.as_deref())?;
    let after = page.after(ThingName::parse)?;
    api.control.read(&caller.scope, |view| {
        let listed = view.registry.list_things_of_principal(&certificate, kind, after.as_ref(), page.limit)?;
        let object = |(name, kind): &(&ThingName, ThingPrincipalType)| iot::PrincipalThingObject {
            thing_name: name.to_string(),
            thing_principal_type: Some(principal_type_word(*kind)),
        };
        Ok(iot::ListPrincipalThingsV2Response {
            next_token: next_token(&listed, |(name, _)| *name),
            principal_thing_objects: Some(listed.items.iter().map(object).collect()),
        })
    })
}
