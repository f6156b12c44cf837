//! The state: what there is, and how changes alter it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use komainu_model::{
    Arn, Change, EgressRules, Protocol, Record, RecordKey, Scope, Subscription, SubscriptionId, SubscriptionState,
    SubscriptionToken, Timestamp, Topic, TopicName,
};

use crate::attribute::FILTER_POLICY;
use crate::error::{NO_SUBSCRIPTION, NO_TOPIC, invalid};
use crate::flood::MailBudgets;
use crate::{FilterPolicy, RespondError};

/// What an installation allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RespondRules {
    /// Where webhooks may be.
    pub egress: EgressRules,
    /// So many mails go to one subscription within an hour; what comes then is told in one digest.
    pub mails_per_hour_max: u32,
    /// The most topics of one scope.
    pub topics_max: usize,
    /// The most subscriptions of one topic, pending ones included. One message makes so many outbox entries.
    pub subscriptions_per_topic_max: usize,
}

impl Default for RespondRules {
    fn default() -> Self {
        Self {
            egress: EgressRules::default(),
            mails_per_hour_max: 20,
            topics_max: 10_000,
            subscriptions_per_topic_max: 1_000,
        }
    }
}

/// The topics and subscriptions of one scope.
#[derive(Debug, Clone)]
pub struct Topics {
    pub(crate) scope: Scope,
    pub(crate) rules: RespondRules,
    pub(crate) topics: BTreeMap<TopicName, Topic>,
    pub(crate) subscriptions: BTreeMap<SubscriptionId, Subscribed>,
    pub(crate) by_topic: BTreeMap<TopicName, BTreeSet<SubscriptionId>>,
    pub(crate) by_endpoint: BTreeMap<(TopicName, Protocol, String), SubscriptionId>,
    pub(crate) by_token: BTreeMap<SubscriptionToken, SubscriptionId>,
    pub(crate) tags: BTreeMap<TopicName, BTreeMap<String, String>>,
    pub(crate) mails: MailBudgets,
}

/// A subscription with its filter, read once.
#[derive(Debug, Clone)]
pub(crate) struct Subscribed {
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) filter: Option<FilterPolicy>,
}

impl Topics {
    /// No topics yet.
    pub fn new(scope: Scope, rules: RespondRules) -> Self {
        Self {
            scope,
            rules,
            topics: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            by_topic: BTreeMap::new(),
            by_endpoint: BTreeMap::new(),
            by_token: BTreeMap::new(),
            tags: BTreeMap::new(),
            mails: MailBudgets::default(),
        }
    }

    /// Takes a change over that has been made durable. Changes of other scopes and of other subjects are ignored.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(scope, record) if *scope == self.scope => match record {
                Record::Topic(topic) => {
                    self.topics.insert(topic.name.clone(), topic.clone());
                }
                Record::Subscription(subscription) => self.put_subscription(subscription),
                Record::ResourceTags(tags) => {
                    if let Some(topic) = self.topic_named_by(&tags.resource) {
                        self.tags.insert(topic, tags.tags.clone());
                    }
                }
                _ => {}
            },
            Change::Delete(scope, key) if *scope == self.scope => match key {
                RecordKey::Topic(name) => {
                    self.topics.remove(name);
                }
                RecordKey::Subscription(id) => self.remove_subscription(id),
                RecordKey::ResourceTags(resource) => {
                    if let Some(topic) = self.topic_named_by(resource) {
                        self.tags.remove(&topic);
                    }
                }
                _ => {}
            },
            Change::PutDelivery(delivery) if delivery.scope == self.scope => self.mails.count(delivery),
            _ => {}
        }
    }

    fn put_subscription(&mut self, subscription: &Subscription) {
        if let Some(before) = self.subscriptions.get(&subscription.id) {
            self.by_token.remove(&before.subscription.token);
        }
        let id = subscription.id.clone();
        self.by_topic.entry(subscription.topic.clone()).or_default().insert(id.clone());
        self.by_endpoint.insert(endpoint_key(subscription), id.clone());
        self.by_token.insert(subscription.token.clone(), id.clone());
        // Policies are checked before they are stored. One that cannot be read any more filters nothing: an alarm too
        // many is better than one too few.
        let filter = subscription.attributes.get(FILTER_POLICY).and_then(|text| FilterPolicy::parse(text).ok());
        self.subscriptions.insert(id, Subscribed { subscription: Arc::new(subscription.clone()), filter });
    }

    fn remove_subscription(&mut self, id: &SubscriptionId) {
        let Some(Subscribed { subscription, .. }) = self.subscriptions.remove(id) else { return };
        self.by_token.remove(&subscription.token);
        self.by_endpoint.remove(&endpoint_key(&subscription));
        if let Some(ids) = self.by_topic.get_mut(&subscription.topic) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_topic.remove(&subscription.topic);
            }
        }
        self.mails.forget(id);
    }

    /// The scope whose topics these are.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What an installation allows.
    pub fn rules(&self) -> &RespondRules {
        &self.rules
    }

    /// The topic that an ARN names.
    pub fn topic(&self, arn: &Arn) -> Result<&Topic, RespondError> {
        if arn.service() != "sns" || TopicName::parse(arn.resource()).is_err() {
            return Err(invalid("TopicArn", format!("{arn} is not the ARN of a topic")));
        }
        self.topic_named_by(arn).and_then(|name| self.topics.get(&name)).ok_or(NO_TOPIC)
    }

    /// The ARN of a topic.
    pub fn topic_arn(&self, name: &TopicName) -> Arn {
        self.scope.arn("sns", name)
    }

    /// The subscription that an ARN names. Pending ones that have expired are not there any more.
    pub fn subscription(&self, arn: &Arn, now: Timestamp) -> Result<&Arc<Subscription>, RespondError> {
        let malformed = || invalid("SubscriptionArn", format!("{arn} is not the ARN of a subscription"));
        let (topic, id) = arn.resource().split_once(':').ok_or_else(malformed)?;
        let id = SubscriptionId::parse(id).map_err(|_| malformed())?;
        if arn.service() != "sns" {
            return Err(malformed());
        }
        let found = self.subscriptions.get(&id).map(|subscribed| &subscribed.subscription);
        let in_scope = arn.resource_in("sns", &self.scope).is_some();
        found
            .filter(|found| in_scope && found.topic.as_str() == topic && !is_expired(found, now))
            .ok_or(NO_SUBSCRIPTION)
    }

    /// The subscriptions of a topic that have not expired, in the order of their ids.
    pub(crate) fn subscriptions_of(&self, topic: &TopicName, now: Timestamp) -> impl Iterator<Item = &Subscribed> {
        let ids = self.by_topic.get(topic).into_iter().flatten();
        let found = ids.filter_map(|id| self.subscriptions.get(id));
        found.filter(move |found| !is_expired(&found.subscription, now))
    }

    /// The name in a topic's ARN of this scope; the topic need not be there.
    pub(crate) fn topic_named_by(&self, arn: &Arn) -> Option<TopicName> {
        TopicName::parse(arn.resource_in("sns", &self.scope)?).ok()
    }
}

/// Whether a subscription was never confirmed and can no longer be.
pub(crate) fn is_expired(subscription: &Subscription, now: Timestamp) -> bool {
    match subscription.state {
        SubscriptionState::Pending { expires_at } => expires_at <= now,
        SubscriptionState::Confirmed { .. } => false,
    }
}

fn endpoint_key(subscription: &Subscription) -> (TopicName, Protocol, String) {
    (subscription.topic.clone(), subscription.protocol, subscription.endpoint.clone())
}
