//! Attributes of things and groups, and descriptions.

use std::collections::BTreeMap;

use crate::RegistryError;

/// The longest name of an attribute in bytes (CreateThing, `AttributeName`).
const NAME_BYTES_MAX: usize = 128;
/// The longest value of an attribute in bytes (CreateThing, `AttributeValue`).
const VALUE_BYTES_MAX: usize = 800;
/// The longest description in characters (CreateThingGroup, CreateThingType).
const DESCRIPTION_CHARS_MAX: usize = 2028;

/// How attributes change. An attribute with an empty value is not there (UpdateThing, `attributePayload`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeUpdate {
    /// These and no others.
    Replace(BTreeMap<String, String>),
    /// These besides those that are there.
    Merge(BTreeMap<String, String>),
}

impl AttributeUpdate {
    /// What `present` becomes.
    pub(crate) fn apply(&self, present: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, RegistryError> {
        let (mut attributes, given) = match self {
            Self::Replace(given) => (BTreeMap::new(), given),
            Self::Merge(given) => (present.clone(), given),
        };
        for (name, value) in given {
            check_attribute(name, value)?;
            if value.is_empty() {
                attributes.remove(name);
            } else {
                attributes.insert(name.clone(), value.clone());
            }
        }
        Ok(attributes)
    }
}

/// Checks `[a-zA-Z0-9_.,@/:#-]+` for names, and `=[]` besides for values.
fn check_attribute(name: &str, value: &str) -> Result<(), RegistryError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.,@/:#-".contains(c);
    let field = "attributes";
    check_attribute_name(field, name)?;
    if value.len() > VALUE_BYTES_MAX {
        let bytes = value.len();
        return Err(RegistryError::invalid(
            field,
            format!("value of {name:?} has {bytes} bytes, at most {VALUE_BYTES_MAX} are allowed"),
        ));
    }
    match value.chars().find(|c| !is_allowed(*c) && !"=[]".contains(*c)) {
        Some(found) => Err(RegistryError::invalid(
            field,
            format!("value of {name:?} contains {found:?}, allowed are a-z A-Z 0-9 _ . , @ / : # = [ ] -"),
        )),
        None => Ok(()),
    }
}

/// Checks the name of an attribute.
pub(crate) fn check_attribute_name(field: &'static str, name: &str) -> Result<(), RegistryError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(RegistryError::invalid(
            field,
            format!("attribute name {name:?} has {} bytes, 1 to {NAME_BYTES_MAX} are allowed", name.len()),
        ));
    }
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && !"_.,@/:#-".contains(*c)) {
        Some(found) => Err(RegistryError::invalid(
            field,
            format!("attribute name {name:?} contains {found:?}, allowed are a-z A-Z 0-9 _ . , @ / : # -"),
        )),
        None => Ok(()),
    }
}

/// Checks that there are at most `max` attributes.
pub(crate) fn check_attribute_count(
    attributes: &BTreeMap<String, String>,
    max: usize,
    of: &str,
) -> Result<(), RegistryError> {
    let count = attributes.len();
    if count > max {
        return Err(RegistryError::invalid(
            "attributes",
            format!("{of} has {count} attributes, at most {max} are allowed"),
        ));
    }
    Ok(())
}

/// Checks length and characters of a description.
pub(crate) fn check_description(field: &'static str, text: Option<&str>) -> Result<(), RegistryError> {
    let Some(text) = text else { return Ok(()) };
    let chars = text.chars().count();
    if chars > DESCRIPTION_CHARS_MAX {
        return Err(RegistryError::invalid(
            field,
            format!("it has {chars} characters, at most {DESCRIPTION_CHARS_MAX} are allowed"),
        ));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(found) => Err(RegistryError::invalid(field, format!("it contains {found:?}, a control character"))),
        None => Ok(()),
    }
}
