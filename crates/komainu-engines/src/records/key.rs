//! What records are found by.

use komainu_model::{PolicyTarget, RecordKey};

/// The key of a record within its scope: a word for the kind, and text that is unique within the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredKey {
    /// The kind of record.
    pub(crate) kind: &'static str,
    /// Its key; parts are joined by `/`, which no part contains.
    pub(crate) key: String,
}

/// Spells a record's key.
pub(crate) fn stored_key(key: &RecordKey) -> StoredKey {
    let (kind, key) = match key {
        RecordKey::Thing(name) => ("thing", name.to_string()),
        RecordKey::ThingType(name) => ("thing-type", name.to_string()),
        RecordKey::ThingGroup(name) => ("thing-group", name.to_string()),
        RecordKey::GroupMembership(membership) => {
            ("group-membership", format!("{}/{}", membership.group, membership.thing))
        }
        RecordKey::Certificate(id) => ("certificate", id.to_string()),
        RecordKey::ThingPrincipal(thing, certificate) => ("thing-principal", format!("{thing}/{certificate}")),
        RecordKey::Policy(name) => ("policy", name.to_string()),
        RecordKey::PolicyAttachment(attachment) => {
            let policy = &attachment.policy;
            let key = match &attachment.target {
                PolicyTarget::Certificate(id) => format!("{policy}/certificate/{id}"),
                PolicyTarget::Group(name) => format!("{policy}/group/{name}"),
            };
            ("policy-attachment", key)
        }
        RecordKey::ResourceTags(resource) => ("resource-tags", resource.to_string()),
        RecordKey::SecurityProfile(name) => ("security-profile", name.to_string()),
        RecordKey::Topic(name) => ("topic", name.to_string()),
        RecordKey::Subscription(id) => ("subscription", id.to_string()),
        RecordKey::AccessKey(id) => ("access-key", id.to_string()),
        RecordKey::ActiveViolation(id) => ("active-violation", id.to_string()),
    };
    StoredKey { kind, key }
}
