//! From one message to one delivery for each subscription that wants it.

use std::sync::Arc;

use komainu_model::{AlertContext, Arn, Change, Delivery, NotificationKind, SubscriptionState, Timestamp, Topic};

use crate::error::BatchProblem;
use crate::flood::MailBudgets;
use crate::message::{MESSAGE_BYTES_MAX, Message, PublishRequest};
use crate::{RespondError, Topics};

/// The most messages of one batch (SNS PublishBatch).
pub const PUBLISH_BATCH_ENTRIES_MAX: usize = 10;
/// The longest id of an entry of a batch (SNS PublishBatch).
const ENTRY_ID_BYTES_MAX: usize = 80;

/// One message of a batch.
#[derive(Debug, Clone)]
pub struct BatchEntry {
    /// The caller's name for it, unique within the batch.
    pub id: String,
    /// The message.
    pub request: PublishRequest,
    /// The id it gets, a UUID.
    pub message_id: Arc<str>,
}

/// What became of one message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOutcome {
    /// The caller's name for it.
    pub id: String,
    /// The id it got, or why it was not published.
    pub result: Result<Arc<str>, RespondError>,
}

impl Topics {
    /// Publishes a message: one delivery for each confirmed subscription that wants it.
    pub fn publish(
        &self,
        topic: &Arn,
        request: PublishRequest,
        message_id: Arc<str>,
        now: Timestamp,
    ) -> Result<Vec<Change>, RespondError> {
        let topic = self.topic(topic)?;
        let message = Message::parse(request)?;
        let deliveries = self.fan_out(topic, &message, None, &message_id, &mut self.budgets_of(topic), now);
        Ok(deliveries.into_iter().map(Change::PutDelivery).collect())
    }

    /// Publishes up to ten messages. One that is not acceptable does not hold up the others.
    pub fn publish_batch(
        &self,
        topic: &Arn,
        entries: Vec<BatchEntry>,
        now: Timestamp,
    ) -> Result<(Vec<BatchOutcome>, Vec<Change>), RespondError> {
        let topic = self.topic(topic)?;
        check_batch(&entries).map_err(RespondError::Batch)?;
        let mut budgets = self.budgets_of(topic);
        let (mut outcomes, mut changes) = (Vec::new(), Vec::new());
        for BatchEntry { id, request, message_id } in entries {
            let result = Message::parse(request).map(|message| {
                let deliveries = self.fan_out(topic, &message, None, &message_id, &mut budgets, now);
                changes.extend(deliveries.into_iter().map(Change::PutDelivery));
                message_id
            });
            outcomes.push(BatchOutcome { id, result });
        }
        Ok((outcomes, changes))
    }

    /// What is needed to decide who still gets mails on a topic.
    pub(crate) fn budgets_of(&self, topic: &Topic) -> MailBudgets {
        self.mails.of(self.by_topic.get(&topic.name).into_iter().flatten())
    }

    pub(crate) fn fan_out(
        &self,
        topic: &Topic,
        message: &Message,
        alert: Option<&AlertContext>,
        message_id: &Arc<str>,
        budgets: &mut MailBudgets,
        now: Timestamp,
    ) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for subscribed in self.subscriptions_of(&topic.name, now) {
            let subscription = &subscribed.subscription;
            let is_confirmed = matches!(subscription.state, SubscriptionState::Confirmed { .. });
            let is_wanted = subscribed.filter.as_ref().is_none_or(|filter| filter.accepts(&message.attributes));
            if !is_confirmed || !is_wanted {
                continue;
            }
            let kind = NotificationKind::Message {
                subject: message.subject.clone(),
                message: message.text_for(subscription.protocol).to_owned(),
                attributes: message.attributes.clone(),
                alert: alert.map(|alert| Box::new(alert.clone())),
            };
            let notification = self.notification(topic, message_id.clone(), kind, now);
            let delivery = self.delivery(subscription, notification, now);
            deliveries.push(budgets.admit(delivery, self.rules.mails_per_hour_max));
        }
        deliveries
    }
}

fn check_batch(entries: &[BatchEntry]) -> Result<(), BatchProblem> {
    let is_id = |id: &str| {
        (1..=ENTRY_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let bytes = |entry: &BatchEntry| {
        let attributes = entry.request.attributes.iter();
        let attribute_bytes: usize =
            attributes.map(|(name, (kind, value))| name.len() + kind.len() + value.len()).sum();
        entry.request.message.len() + attribute_bytes
    };
    if entries.is_empty() {
        Err(BatchProblem::Empty)
    } else if entries.len() > PUBLISH_BATCH_ENTRIES_MAX {
        Err(BatchProblem::TooManyEntries)
    } else if !entries.iter().all(|entry| is_id(&entry.id)) {
        Err(BatchProblem::InvalidId)
    } else if (1..entries.len()).any(|at| entries[..at].iter().any(|earlier| earlier.id == entries[at].id)) {
        Err(BatchProblem::IdsNotDistinct)
    } else if entries.iter().map(bytes).sum::<usize>() > MESSAGE_BYTES_MAX {
        Err(BatchProblem::TooLong)
    } else {
        Ok(())
    }
}
