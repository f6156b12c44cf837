//! The form in which state and history are written down, apart from where: every SQL engine stores the same bodies.
//!
//! Each stored record is a type of its own, converted by hand to and from `komainu-model`, so that a change of the
//! model does not change what is on disks. Enums are spelled as words of their own. A word or a field that this
//! version does not know is refused, not dropped: it may carry a restriction, and writing the record again would lose
//! it. Fields that a later version adds are optional there, so that it reads what this one wrote.

mod access;
mod alert;
mod fed;
mod fleet;
mod indicator;
mod key;
mod profile;
#[cfg(test)]
mod tests;
mod value;
mod violation;
mod word;

use komainu_model::{InvalidName, Record};
use komainu_ports::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use alert::{DeliveryBody, decode_delivery, encode_delivery};
pub(crate) use fed::{FedBody, decode_fed};
pub(crate) use indicator::{
    decode_indicator, decode_indicator_key, decode_refused, decode_remote, decode_way, encode_indicator,
    encode_refused, read_id, remote_key, reversed,
};
pub(crate) use key::{StoredKey, stored_key};
pub(crate) use value::{decode_value, encode_value};
pub(crate) use violation::{
    Verification, criteria_word, decode_active_violation, decode_event, encode_active_violation, encode_event,
    event_step, verification_word,
};

/// Writes the body of a record: JSON.
pub(crate) fn encode_record(record: &Record) -> String {
    match record {
        Record::Thing(thing) => to_json(&fleet::StoredThing::from(thing)),
        Record::ThingType(thing_type) => to_json(&fleet::StoredThingType::from(thing_type)),
        Record::ThingGroup(group) => to_json(&fleet::StoredThingGroup::from(group)),
        Record::GroupMembership(membership) => to_json(&fleet::StoredGroupMembership::from(membership)),
        Record::Certificate(certificate) => to_json(&fleet::StoredCertificate::from(certificate)),
        Record::ThingPrincipal(attached) => to_json(&fleet::StoredThingPrincipal::from(attached)),
        Record::Policy(policy) => to_json(&fleet::StoredPolicy::from(policy)),
        Record::PolicyAttachment(attachment) => to_json(&fleet::StoredPolicyAttachment::from(attachment)),
        Record::ResourceTags(tags) => to_json(&fleet::StoredResourceTags::from(tags)),
        Record::SecurityProfile(profile) => to_json(&profile::StoredSecurityProfile::from(profile)),
        Record::Topic(topic) => to_json(&alert::StoredTopic::from(topic)),
        Record::Subscription(subscription) => to_json(&alert::StoredSubscription::from(subscription)),
        Record::AccessKey(key) => to_json(&access::StoredAccessKey::from(key)),
        Record::ActiveViolation(violation) => encode_active_violation(violation),
    }
}

/// Reads the body of a record of `kind`, as [`stored_key`] spells it. Active violations are not among them: a part of
/// each is in columns, see [`decode_active_violation`].
pub(crate) fn decode_record(kind: &str, body: &str) -> Result<Record, StoreError> {
    match kind {
        "thing" => decode::<fleet::StoredThing, _>("thing", body).map(Record::Thing),
        "thing-type" => decode::<fleet::StoredThingType, _>("thing type", body).map(Record::ThingType),
        "thing-group" => decode::<fleet::StoredThingGroup, _>("thing group", body).map(Record::ThingGroup),
        "group-membership" => {
            decode::<fleet::StoredGroupMembership, _>("group membership", body).map(Record::GroupMembership)
        }
        "certificate" => decode::<fleet::StoredCertificate, _>("certificate", body).map(Record::Certificate),
        "thing-principal" => {
            decode::<fleet::StoredThingPrincipal, _>("thing principal", body).map(Record::ThingPrincipal)
        }
        "policy" => decode::<fleet::StoredPolicy, _>("policy", body).map(Record::Policy),
        "policy-attachment" => {
            decode::<fleet::StoredPolicyAttachment, _>("policy attachment", body).map(Record::PolicyAttachment)
        }
        "resource-tags" => decode::<fleet::StoredResourceTags, _>("resource tags", body).map(Record::ResourceTags),
        "security-profile" => {
            decode::<profile::StoredSecurityProfile, _>("security profile", body).map(Record::SecurityProfile)
        }
        "topic" => decode::<alert::StoredTopic, _>("topic", body).map(Record::Topic),
        "subscription" => decode::<alert::StoredSubscription, _>("subscription", body).map(Record::Subscription),
        "access-key" => decode::<access::StoredAccessKey, _>("access key", body).map(Record::AccessKey),
        unknown => Err(Damage(format!("its kind {unknown:?} is not known")).of("record")),
    }
}

/// Why something stored cannot be read.
#[derive(Debug)]
pub(crate) struct Damage(pub(crate) String);

impl Damage {
    /// The error for callers; `what` was to be read.
    pub(crate) fn of(self, what: &'static str) -> StoreError {
        StoreError::Damaged { what, reason: self.0 }
    }
}

impl From<InvalidName> for Damage {
    fn from(invalid: InvalidName) -> Self {
        Self(invalid.to_string())
    }
}

impl From<serde_json::Error> for Damage {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

fn to_json(stored: &impl Serialize) -> String {
    serde_json::to_string(stored).expect("stored records have text keys and no value that JSON cannot hold")
}

fn decode<S, T>(what: &'static str, body: &str) -> Result<T, StoreError>
where
    S: DeserializeOwned,
    T: TryFrom<S, Error = Damage>,
{
    let stored: S = serde_json::from_str(body).map_err(|error| Damage::from(error).of(what))?;
    T::try_from(stored).map_err(|damage| damage.of(what))
}
