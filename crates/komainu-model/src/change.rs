//! What is written down. A core decides changes; the `Store` port carries a batch of them out, all or none.

use crate::{
    AccessKey, AccessKeyId, ActiveViolation, Arn, Certificate, CertificateId, Contact, Datapoint, Delivery, DeliveryId,
    GroupMembership, GroupName, Indicator, IndicatorId, Policy, PolicyAttachment, PolicyName, ProfileName,
    RefusedCandidate, ResourceTags, Scope, SecurityProfile, Sighting, Subscription, SubscriptionId, Thing, ThingGroup,
    ThingName, ThingPrincipal, ThingType, ThingTypeName, Topic, TopicName, ViolationEvent, ViolationId,
};

/// Changes that are carried out together or not at all.
pub type Batch = Vec<Change>;

/// One change of what is stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The record is there, in this form.
    Put(Scope, Record),
    /// The record is not there. Deleting what is not there is no error.
    Delete(Scope, RecordKey),
    /// The event is part of the history; the same event twice is one.
    AppendViolationEvent(Scope, ViolationEvent),
    /// The value is part of the history; the same value twice is one.
    AppendDatapoint(Scope, Datapoint),
    /// The delivery is in the outbox, in this form.
    PutDelivery(Delivery),
    /// The delivery is done.
    DeleteDelivery(DeliveryId),
    /// Something about indicators.
    Indicators(IndicatorChange),
}

/// One change of what is stored about indicators.
#[derive(Debug, Clone, PartialEq)]
pub enum IndicatorChange {
    /// The indicator is there, in this form. Whether what devices reported before has been looked through stays.
    Put(Indicator),
    /// The same, and what devices reported before has to be looked through.
    PutToLookBack(Indicator),
    /// What devices reported before has been looked through for the indicator.
    LookedBack(IndicatorId),
    /// The candidate is among the refused, in this form.
    PutRefused(RefusedCandidate),
    /// The device was in contact with somebody. What is known of the two is brought together: the first and the last
    /// time, and the counts are added.
    AddContact(Scope, Contact),
    /// The device was in contact with the indicator; brought together in the same way. The way stays the first one.
    AddSighting(Scope, Sighting),
}

/// A record of the control plane's state.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its type")]
pub enum Record {
    Thing(Thing),
    ThingType(ThingType),
    ThingGroup(ThingGroup),
    GroupMembership(GroupMembership),
    Certificate(Certificate),
    ThingPrincipal(ThingPrincipal),
    Policy(Policy),
    PolicyAttachment(PolicyAttachment),
    ResourceTags(ResourceTags),
    SecurityProfile(SecurityProfile),
    Topic(Topic),
    Subscription(Subscription),
    AccessKey(AccessKey),
    ActiveViolation(ActiveViolation),
}

/// What a record is found by, within its scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant is the key of the record with that name")]
pub enum RecordKey {
    Thing(ThingName),
    ThingType(ThingTypeName),
    ThingGroup(GroupName),
    GroupMembership(GroupMembership),
    Certificate(CertificateId),
    ThingPrincipal(ThingName, CertificateId),
    Policy(PolicyName),
    PolicyAttachment(PolicyAttachment),
    ResourceTags(Arn),
    SecurityProfile(ProfileName),
    Topic(TopicName),
    Subscription(SubscriptionId),
    AccessKey(AccessKeyId),
    ActiveViolation(ViolationId),
}

impl Record {
    /// What the record is found by.
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Thing(thing) => RecordKey::Thing(thing.name.clone()),
            Self::ThingType(thing_type) => RecordKey::ThingType(thing_type.name.clone()),
            Self::ThingGroup(group) => RecordKey::ThingGroup(group.name.clone()),
            Self::GroupMembership(membership) => RecordKey::GroupMembership(membership.clone()),
            Self::Certificate(certificate) => RecordKey::Certificate(certificate.id),
            Self::ThingPrincipal(attached) => RecordKey::ThingPrincipal(attached.thing.clone(), attached.certificate),
            Self::Policy(policy) => RecordKey::Policy(policy.name.clone()),
            Self::PolicyAttachment(attachment) => RecordKey::PolicyAttachment(attachment.clone()),
            Self::ResourceTags(tags) => RecordKey::ResourceTags(tags.resource.clone()),
            Self::SecurityProfile(profile) => RecordKey::SecurityProfile(profile.name.clone()),
            Self::Topic(topic) => RecordKey::Topic(topic.name.clone()),
            Self::Subscription(subscription) => RecordKey::Subscription(subscription.id.clone()),
            Self::AccessKey(key) => RecordKey::AccessKey(key.id.clone()),
            Self::ActiveViolation(violation) => RecordKey::ActiveViolation(violation.id.clone()),
        }
    }
}
