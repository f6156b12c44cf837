//! What operators do with topics.

use std::collections::BTreeMap;

use komainu_model::{
    Arn, Change, NotificationSignature, Record, RecordKey, ResourceTags, SubscriptionState, Timestamp, Topic, TopicName,
};
use serde_json::json;

use crate::attribute::{Attributes, DISPLAY_NAME, POLICY, SIGNATURE_VERSION, set_topic_attribute};
use crate::error::invalid;
use crate::{RespondError, Topics};

/// The most tags of a topic (SNS TagResource).
const TAGS_MAX: usize = 50;
/// The longest key and the longest value of a tag, in characters.
const TAG_KEY_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;

impl Topics {
    /// Creates a topic. A topic that is there with the same attributes is created again without an effect.
    pub fn create_topic(
        &self,
        name: &str,
        attributes: &BTreeMap<String, String>,
        tags: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<(Arn, Vec<Change>), RespondError> {
        if name.ends_with(".fifo") {
            return Err(RespondError::Fifo);
        }
        let name = TopicName::parse(name).map_err(RespondError::TopicName)?;
        let mut checked = Attributes::new();
        for (attribute, value) in attributes {
            set_topic_attribute(&mut checked, attribute, Some(value))?;
        }
        check_tags(tags)?;
        let arn = self.topic_arn(&name);
        if let Some(existing) = self.topics.get(&name) {
            if checked.iter().any(|(attribute, value)| existing.attributes.get(attribute) != Some(value)) {
                return Err(invalid("Attributes", "the topic already exists with different attributes"));
            }
            let existing_tags = self.tags.get(&name);
            if tags.iter().any(|(key, value)| existing_tags.and_then(|tags| tags.get(key)) != Some(value)) {
                return Err(invalid("Tags", "the topic already exists with different tags"));
            }
            return Ok((arn, Vec::new()));
        }
        let topics_max = self.rules.topics_max;
        if self.topics.len() >= topics_max {
            return Err(RespondError::TopicLimitExceeded { topics_max });
        }
        let topic = Topic { name, attributes: checked, created_at: now };
        let mut changes = vec![Change::Put(self.scope.clone(), Record::Topic(topic))];
        if !tags.is_empty() {
            changes.push(self.put_tags(&arn, tags.clone()));
        }
        Ok((arn, changes))
    }

    /// Deletes a topic with its subscriptions and tags. Deleting what is not there is no error.
    pub fn delete_topic(&self, arn: &Arn) -> Result<Vec<Change>, RespondError> {
        let name = match self.topic(arn) {
            Ok(topic) => topic.name.clone(),
            Err(RespondError::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let ids = self.by_topic.get(&name).into_iter().flatten();
        let mut changes: Vec<Change> =
            ids.map(|id| Change::Delete(self.scope.clone(), RecordKey::Subscription(id.clone()))).collect();
        if self.tags.contains_key(&name) {
            changes.push(Change::Delete(self.scope.clone(), RecordKey::ResourceTags(arn.clone())));
        }
        changes.push(Change::Delete(self.scope.clone(), RecordKey::Topic(name)));
        Ok(changes)
    }

    /// At most `limit` topics after this one, in the order of their names, and the last one's name when there are
    /// more.
    pub fn topics_after(&self, after: Option<&str>, limit: usize) -> (Vec<Arn>, Option<TopicName>) {
        let mut names = self.topics.keys().skip_while(|name| after.is_some_and(|after| name.as_str() <= after));
        let page: Vec<&TopicName> = names.by_ref().take(limit).collect();
        let more = names.next().is_some();
        let next = page.last().filter(|_| more).map(|last| (*last).clone());
        (page.into_iter().map(|name| self.topic_arn(name)).collect(), next)
    }

    /// How many subscriptions of a topic are confirmed, and how many wait for that.
    pub fn subscription_counts(&self, topic: &TopicName, now: Timestamp) -> (u64, u64) {
        let (mut confirmed, mut pending) = (0, 0);
        for subscribed in self.subscriptions_of(topic, now) {
            match subscribed.subscription.state {
                SubscriptionState::Confirmed { .. } => confirmed += 1,
                SubscriptionState::Pending { .. } => pending += 1,
            }
        }
        (confirmed, pending)
    }

    /// The attributes of a topic as SNS shows them.
    pub fn topic_attributes(&self, arn: &Arn, now: Timestamp) -> Result<BTreeMap<String, String>, RespondError> {
        let topic = self.topic(arn)?;
        let (confirmed, pending) = self.subscription_counts(&topic.name, now);
        let owner = self.scope.account.as_str();
        // What holds when nobody set a policy: the account may do everything.
        let default_policy = json!({
            "Version": "2008-10-17",
            "Id": "__default_policy_ID",
            "Statement": [{
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": format!("arn:aws:iam::{owner}:root")},
                "Action": "SNS:*",
                "Resource": arn.as_str(),
            }],
        });
        let mut shown = BTreeMap::from(
            [
                ("TopicArn", arn.to_string()),
                ("Owner", owner.to_owned()),
                (DISPLAY_NAME, String::new()),
                (POLICY, default_policy.to_string()),
                ("SubscriptionsConfirmed", confirmed.to_string()),
                ("SubscriptionsPending", pending.to_string()),
                ("SubscriptionsDeleted", "0".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        shown.extend(topic.attributes.clone());
        Ok(shown)
    }

    /// Sets one attribute of a topic; without a value it is removed.
    pub fn set_topic_attribute(&self, arn: &Arn, name: &str, value: Option<&str>) -> Result<Vec<Change>, RespondError> {
        let mut topic = self.topic(arn)?.clone();
        set_topic_attribute(&mut topic.attributes, name, value)?;
        Ok(vec![Change::Put(self.scope.clone(), Record::Topic(topic))])
    }

    /// The tags of a topic.
    pub fn topic_tags(&self, arn: &Arn) -> Result<BTreeMap<String, String>, RespondError> {
        let topic = self.topic(arn)?;
        Ok(self.tags.get(&topic.name).cloned().unwrap_or_default())
    }

    /// Adds tags to a topic; the same key gets the new value.
    pub fn tag_topic(&self, arn: &Arn, tags: &BTreeMap<String, String>) -> Result<Vec<Change>, RespondError> {
        let mut all = self.topic_tags(arn)?;
        check_tags(tags)?;
        all.extend(tags.clone());
        if all.len() > TAGS_MAX {
            return Err(RespondError::TagLimitExceeded { tags_max: TAGS_MAX });
        }
        Ok(vec![self.put_tags(arn, all)])
    }

    /// Removes tags from a topic. Removing what is not there is no error.
    pub fn untag_topic(&self, arn: &Arn, keys: &[String]) -> Result<Vec<Change>, RespondError> {
        let mut left = self.topic_tags(arn)?;
        left.retain(|key, _| !keys.contains(key));
        Ok(vec![self.put_tags(arn, left)])
    }

    fn put_tags(&self, arn: &Arn, tags: BTreeMap<String, String>) -> Change {
        if tags.is_empty() {
            return Change::Delete(self.scope.clone(), RecordKey::ResourceTags(arn.clone()));
        }
        Change::Put(self.scope.clone(), Record::ResourceTags(ResourceTags { resource: arn.clone(), tags }))
    }
}

/// How notifications of this topic are signed.
pub(crate) fn signature_of(topic: &Topic) -> NotificationSignature {
    match topic.attributes.get(SIGNATURE_VERSION).map(String::as_str) {
        Some("2") => NotificationSignature::V2,
        _ => NotificationSignature::V1,
    }
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), RespondError> {
    if tags.len() > TAGS_MAX {
        return Err(RespondError::TagLimitExceeded { tags_max: TAGS_MAX });
    }
    for (key, value) in tags {
        let key_chars = key.chars().count();
        let reason = if key_chars == 0 || key_chars > TAG_KEY_CHARS_MAX {
            "a key has 1 to 128 characters"
        } else if value.chars().count() > TAG_VALUE_CHARS_MAX {
            "a value has at most 256 characters"
        } else if key.to_ascii_lowercase().starts_with("aws:") {
            "keys that begin with aws: are reserved"
        } else if key.chars().chain(value.chars()).any(char::is_control) {
            "tags have no control characters"
        } else {
            continue;
        };
        return Err(invalid("Tags", reason));
    }
    Ok(())
}
