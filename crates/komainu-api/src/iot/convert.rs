//! Between AWS's spelling and ours, for what several kinds of resources share.

use std::collections::BTreeMap;

use komainu_aws::{EpochSeconds, iot};
use komainu_model::{Arn, CertificateId, Scope, ThingPrincipalType, Timestamp};
use komainu_registry::AttributeUpdate;

use crate::error::ApiError;

/// A time as AWS writes it.
pub(crate) fn seconds(at: Timestamp) -> EpochSeconds {
    EpochSeconds::from_unix_millis(at.unix_millis())
}

/// A version as AWS writes it.
pub(crate) fn version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// `expectedVersion`.
pub(crate) fn expected_version(expected: Option<i64>) -> Result<Option<u64>, ApiError> {
    let not_negative = |expected| u64::try_from(expected).map_err(|_| ApiError::invalid("expectedVersion is negative"));
    expected.map(not_negative).transpose()
}

/// The name in an ARN `arn:aws:iot:REGION:ACCOUNT:KIND/NAME` of this scope.
pub(crate) fn name_in_arn(arn: &str, kind: &'static str, scope: &Scope) -> Result<String, ApiError> {
    let parsed = Arn::parse(arn)?;
    let resource = parsed.resource_in("iot", scope);
    let name = resource.and_then(|resource| resource.strip_prefix(kind)?.strip_prefix('/'));
    name.map(str::to_owned).ok_or_else(|| {
        ApiError::invalid(format_args!(
            "{arn} is not of the form arn:aws:iot:{}:{}:{kind}/NAME",
            scope.region, scope.account
        ))
    })
}

/// The certificate that a principal's ARN names. Principals of other kinds do not exist here.
pub(crate) fn principal(arn: &str, scope: &Scope) -> Result<CertificateId, ApiError> {
    Ok(CertificateId::parse(&name_in_arn(arn, "cert", scope)?)?)
}

/// `thingPrincipalType`.
pub(crate) fn principal_type(word: Option<&str>) -> Result<Option<ThingPrincipalType>, ApiError> {
    match word {
        None => Ok(None),
        Some("EXCLUSIVE_THING") => Ok(Some(ThingPrincipalType::ExclusiveThing)),
        Some("NON_EXCLUSIVE_THING") => Ok(Some(ThingPrincipalType::NonExclusiveThing)),
        Some(other) => Err(ApiError::invalid(format_args!(
            "thingPrincipalType {other:?} is neither EXCLUSIVE_THING nor NON_EXCLUSIVE_THING"
        ))),
    }
}

/// AWS's word for a kind of attachment.
pub(crate) fn principal_type_word(kind: ThingPrincipalType) -> String {
    match kind {
        ThingPrincipalType::ExclusiveThing => "EXCLUSIVE_THING".to_owned(),
        ThingPrincipalType::NonExclusiveThing => "NON_EXCLUSIVE_THING".to_owned(),
    }
}

/// The attributes that something new should have.
pub(crate) fn new_attributes(payload: Option<iot::AttributePayload>) -> BTreeMap<String, String> {
    payload.and_then(|payload| payload.attributes).unwrap_or_default()
}

/// How attributes should change; a payload without attributes changes none.
pub(crate) fn attribute_update(payload: Option<iot::AttributePayload>) -> Option<AttributeUpdate> {
    let iot::AttributePayload { attributes, merge } = payload?;
    let attributes = attributes?;
    Some(if merge == Some(true) { AttributeUpdate::Merge(attributes) } else { AttributeUpdate::Replace(attributes) })
}

/// Tags of a request; the same key twice is an error.
pub(crate) fn tags(list: Option<Vec<iot::Tag>>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for iot::Tag { key, value } in list.unwrap_or_default() {
        if tags.insert(key.clone(), value.unwrap_or_default()).is_some() {
            return Err(ApiError::invalid(format_args!("tag key {key:?} stands twice")));
        }
    }
    Ok(tags)
}
