//! What operators, and the people at the endpoints, do with subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{
    Arn, Change, Delivery, DeliveryId, DeliveryState, Notification, NotificationKind, Protocol, Record, RecordKey,
    Scope, Subscription, SubscriptionId, SubscriptionState, SubscriptionToken, Timestamp, Topic, TopicName,
};
use uuid::Uuid;

use crate::attribute::{
    Attributes, DISPLAY_NAME, FILTER_POLICY, FILTER_POLICY_SCOPE, RAW_MESSAGE_DELIVERY, set_subscription_attribute,
};
use crate::endpoint::{self, shown_endpoint};
use crate::error::{NO_SUBSCRIPTION, invalid};
use crate::topic::signature_of;
use crate::topics::is_expired;
use crate::{RespondError, Topics};

/// How long a subscription waits for its confirmation (SNS ConfirmSubscription).
pub const PENDING_SUBSCRIPTION_TTL: Duration = Duration::from_secs(3 * 24 * 3600);

/// Who shall hear what is published.
#[derive(Debug, Clone, Default)]
pub struct SubscribeRequest {
    /// AWS's word for the protocol.
    pub protocol: String,
    /// An address or a URL.
    pub endpoint: String,
    /// Attributes by AWS's names.
    pub attributes: BTreeMap<String, String>,
}

/// The identities that a new subscription gets when it is made.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The secret of its links.
    pub token: SubscriptionToken,
    /// The id of the message that asks for the confirmation, a UUID.
    pub message_id: Arc<str>,
}

/// What became of a request to subscribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// The subscription, new or found.
    pub arn: Arn,
    /// Whether its endpoint's owner must still agree.
    pub pending: bool,
}

/// Who ends a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsubscriber {
    /// Somebody with an access key. The subscription is gone.
    Operator,
    /// Somebody who followed the link in a message, or a mail scanner that did. The subscription waits three days
    /// for its owner to take that back, and a last message says so.
    Link {
        /// What the link carried.
        token: SubscriptionToken,
        /// The id of that last message, a UUID.
        message_id: Arc<str>,
    },
}

/// The ARN of a subscription.
pub fn subscription_arn(scope: &Scope, subscription: &Subscription) -> Arn {
    scope.arn("sns", format_args!("{}:{}", subscription.topic, subscription.id))
}

impl Topics {
    /// Subscribes an endpoint and asks its owner for agreement. The same endpoint again is the same subscription: a
    /// confirmed one stays as it is, a pending one is asked for again.
    pub fn subscribe(
        &self,
        topic: &Arn,
        request: SubscribeRequest,
        new: NewSubscription,
        now: Timestamp,
    ) -> Result<(Subscribed, Vec<Change>), RespondError> {
        let topic = self.topic(topic)?;
        let protocol = endpoint::parse_protocol(&request.protocol)?;
        endpoint::check(protocol, &request.endpoint, &self.rules.egress)?;
        let mut attributes = Attributes::new();
        for (name, value) in &request.attributes {
            set_subscription_attribute(&mut attributes, protocol, name, Some(value))?;
        }

        let found = self.by_endpoint.get(&(topic.name.clone(), protocol, request.endpoint.clone()));
        let found = found.and_then(|id| self.subscriptions.get(id)).map(|found| &found.subscription);
        if let Some(found) = found.filter(|found| !is_expired(found, now)) {
            if attributes.iter().any(|(name, value)| found.attributes.get(name) != Some(value)) {
                return Err(invalid("Attributes", "the subscription already exists with different attributes"));
            }
            if let SubscriptionState::Confirmed { .. } = found.state {
                let subscribed = Subscribed { arn: subscription_arn(&self.scope, found), pending: false };
                return Ok((subscribed, Vec::new()));
            }
            let again = Subscription { state: pending_from(now), ..Subscription::clone(found) };
            return self.ask_for_confirmation(topic, again, new.message_id, now);
        }

        let subscriptions_max = self.rules.subscriptions_per_topic_max;
        if self.subscriptions_of(&topic.name, now).count() >= subscriptions_max {
            return Err(RespondError::SubscriptionLimitExceeded { subscriptions_max });
        }
        let subscription = Subscription {
            id: new.id,
            topic: topic.name.clone(),
            protocol,
            endpoint: request.endpoint,
            state: pending_from(now),
            attributes,
            token: new.token,
            created_at: now,
        };
        let (subscribed, asking) = self.ask_for_confirmation(topic, subscription, new.message_id, now)?;
        // Whoever subscribes cleans up: what was not confirmed in time makes room, an earlier offer to this endpoint
        // included. That also bounds what is kept.
        let mut changes = self.expire(now);
        changes.extend(asking);
        Ok((subscribed, changes))
    }

    fn ask_for_confirmation(
        &self,
        topic: &Topic,
        subscription: Subscription,
        message_id: Arc<str>,
        now: Timestamp,
    ) -> Result<(Subscribed, Vec<Change>), RespondError> {
        // Asking again and again would be a way to flood a stranger.
        if !self.mails.has_room(&subscription.id, self.rules.mails_per_hour_max, now) {
            let reason = "this address was asked for its confirmation too often within an hour";
            return Err(RespondError::Throttled { reason: reason.to_owned() });
        }
        let expires_at = now.plus(PENDING_SUBSCRIPTION_TTL);
        let kind = NotificationKind::SubscriptionConfirmation { token: subscription.token.clone(), expires_at };
        let delivery = self.delivery(&subscription, self.notification(topic, message_id, kind, now), now);
        let subscribed = Subscribed { arn: subscription_arn(&self.scope, &subscription), pending: true };
        let put = Change::Put(self.scope.clone(), Record::Subscription(subscription));
        Ok((subscribed, vec![put, Change::PutDelivery(delivery)]))
    }

    /// Confirms the subscription whose link carries `token`. Confirming twice is no error.
    ///
    /// With `authenticate_on_unsubscribe` only an operator can end it; the caller has verified that an operator asks.
    pub fn confirm(
        &self,
        topic: &Arn,
        token: &SubscriptionToken,
        authenticate_on_unsubscribe: bool,
        now: Timestamp,
    ) -> Result<(Arn, Vec<Change>), RespondError> {
        let topic = self.topic(topic)?;
        let found = self.by_token.get(token).and_then(|id| self.subscriptions.get(id));
        let found = found.map(|found| &found.subscription);
        let found = found.filter(|found| found.topic == topic.name && !is_expired(found, now)).ok_or_else(|| {
            invalid("Token", "it is not the token of a subscription of this topic, or it has expired; subscribe again")
        })?;
        let arn = subscription_arn(&self.scope, found);
        let state = match found.state {
            SubscriptionState::Confirmed { authenticate_on_unsubscribe: already } => {
                // A link may not take back what an operator asked for.
                SubscriptionState::Confirmed { authenticate_on_unsubscribe: already || authenticate_on_unsubscribe }
            }
            SubscriptionState::Pending { .. } => SubscriptionState::Confirmed { authenticate_on_unsubscribe },
        };
        if state == found.state {
            return Ok((arn, Vec::new()));
        }
        let confirmed = Subscription { state, ..Subscription::clone(found) };
        Ok((arn, vec![Change::Put(self.scope.clone(), Record::Subscription(confirmed))]))
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, arn: &Arn, by: Unsubscriber, now: Timestamp) -> Result<Vec<Change>, RespondError> {
        let found = match (self.subscription(arn, now), &by) {
            (Ok(found), _) => found,
            // As at SNS, an operator may end what is not there.
            (Err(RespondError::NotFound { .. }), Unsubscriber::Operator) => return Ok(Vec::new()),
            (Err(error), _) => return Err(error),
        };
        let delete = Change::Delete(self.scope.clone(), RecordKey::Subscription(found.id.clone()));
        let (token, message_id) = match by {
            Unsubscriber::Operator => return Ok(vec![delete]),
            Unsubscriber::Link { token, message_id } => (token, message_id),
        };
        if token != found.token {
            // Nobody learns from a guessed token whether the subscription exists.
            return Err(NO_SUBSCRIPTION);
        }
        match found.state {
            SubscriptionState::Confirmed { authenticate_on_unsubscribe: true } => {
                let reason = "this subscription can only be ended with an access key";
                Err(RespondError::NotAuthorized { reason })
            }
            SubscriptionState::Pending { .. } => Ok(Vec::new()),
            SubscriptionState::Confirmed { authenticate_on_unsubscribe: false } => {
                let Some(topic) = self.topics.get(&found.topic) else { return Ok(vec![delete]) };
                let ended = Subscription { state: pending_from(now), ..Subscription::clone(found) };
                let expires_at = now.plus(PENDING_SUBSCRIPTION_TTL);
                let kind = NotificationKind::UnsubscribeConfirmation { token, expires_at };
                let delivery = self.delivery(&ended, self.notification(topic, message_id, kind, now), now);
                let put = Change::Put(self.scope.clone(), Record::Subscription(ended));
                Ok(vec![put, Change::PutDelivery(delivery)])
            }
        }
    }

    /// The attributes of a subscription as SNS shows them.
    pub fn subscription_attributes(&self, arn: &Arn, now: Timestamp) -> Result<BTreeMap<String, String>, RespondError> {
        let subscription = self.subscription(arn, now)?;
        let (pending, authenticated) = match subscription.state {
            SubscriptionState::Pending { .. } => (true, false),
            SubscriptionState::Confirmed { authenticate_on_unsubscribe } => (false, authenticate_on_unsubscribe),
        };
        let mut shown = BTreeMap::from(
            [
                ("SubscriptionArn", arn.to_string()),
                ("TopicArn", self.topic_arn(&subscription.topic).to_string()),
                ("Owner", self.scope.account.to_string()),
                ("Protocol", subscription.protocol.as_str().to_owned()),
                ("Endpoint", shown_endpoint(&subscription.endpoint)),
                ("PendingConfirmation", pending.to_string()),
                ("ConfirmationWasAuthenticated", authenticated.to_string()),
                (RAW_MESSAGE_DELIVERY, "false".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if subscription.attributes.contains_key(FILTER_POLICY) {
            shown.insert(FILTER_POLICY_SCOPE.to_owned(), "MessageAttributes".to_owned());
        }
        shown.extend(subscription.attributes.clone());
        Ok(shown)
    }

    /// Sets one attribute of a subscription; without a value it is removed.
    pub fn set_subscription_attribute(
        &self,
        arn: &Arn,
        name: &str,
        value: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Change>, RespondError> {
        let mut subscription = Subscription::clone(self.subscription(arn, now)?);
        set_subscription_attribute(&mut subscription.attributes, subscription.protocol, name, value)?;
        Ok(vec![Change::Put(self.scope.clone(), Record::Subscription(subscription))])
    }

    /// At most `limit` subscriptions, of one topic or of all, after this one, in the order of their ids; and the last
    /// one's id when there are more.
    pub fn subscriptions_after(
        &self,
        topic: Option<&TopicName>,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> (Vec<Arc<Subscription>>, Option<SubscriptionId>) {
        let mut found = self
            .subscriptions
            .iter()
            .skip_while(|(id, _)| after.is_some_and(|after| id.as_str() <= after))
            .map(|(_, found)| &found.subscription)
            .filter(|found| topic.is_none_or(|topic| *topic == found.topic) && !is_expired(found, now));
        let page: Vec<Arc<Subscription>> = found.by_ref().take(limit).cloned().collect();
        let more = found.next().is_some();
        let next = page.last().filter(|_| more).map(|last| last.id.clone());
        (page, next)
    }

    /// Removes what was not confirmed in time.
    pub fn expire(&self, now: Timestamp) -> Vec<Change> {
        let expired =
            self.subscriptions.values().map(|found| &found.subscription).filter(|found| is_expired(found, now));
        expired.map(|found| Change::Delete(self.scope.clone(), RecordKey::Subscription(found.id.clone()))).collect()
    }

    /// What is said on a topic now.
    pub(crate) fn notification(
        &self,
        topic: &Topic,
        message_id: Arc<str>,
        kind: NotificationKind,
        now: Timestamp,
    ) -> Notification {
        Notification {
            message_id,
            topic: self.topic_arn(&topic.name),
            kind,
            at: now,
            signature: signature_of(topic),
            sender_name: topic.attributes.get(DISPLAY_NAME).cloned(),
        }
    }

    /// The outbox entry of a notification for one subscription.
    pub(crate) fn delivery(&self, subscription: &Subscription, notification: Notification, now: Timestamp) -> Delivery {
        let wants_raw = subscription.attributes.get(RAW_MESSAGE_DELIVERY).is_some_and(|raw| raw == "true");
        let is_message = matches!(notification.kind, NotificationKind::Message { .. });
        Delivery {
            id: delivery_id(&notification.message_id, &subscription.id),
            scope: self.scope.clone(),
            subscription: subscription.id.clone(),
            subscription_token: subscription.token.clone(),
            protocol: subscription.protocol,
            endpoint: subscription.endpoint.clone(),
            raw: wants_raw && is_message && matches!(subscription.protocol, Protocol::Http | Protocol::Https),
            notification,
            attempts: 0,
            state: DeliveryState::Due(now),
            last_error: None,
            created_at: now,
        }
    }
}

fn pending_from(now: Timestamp) -> SubscriptionState {
    SubscriptionState::Pending { expires_at: now.plus(PENDING_SUBSCRIPTION_TTL) }
}

/// The same message to the same subscription is the same delivery.
fn delivery_id(message_id: &str, subscription: &SubscriptionId) -> DeliveryId {
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{subscription} {message_id}").as_bytes());
    DeliveryId::parse(&uuid.to_string()).expect("a UUID shows itself in lower case with hyphens")
}
