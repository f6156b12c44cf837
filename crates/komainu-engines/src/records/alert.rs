//! Topics, subscriptions and deliveries, as they are stored.

use std::collections::BTreeMap;

use komainu_model::{
    AccountId, AlertContext, Arn, Delivery, DeliveryId, DeliveryState, Indicator, Notification, NotificationKind,
    NotificationSignature, Protocol, Region, Scope, Subscription, SubscriptionId, SubscriptionState, SubscriptionToken,
    Timestamp, Topic, TopicName, VerificationState,
};
use komainu_ports::StoreError;
use serde::{Deserialize, Serialize};

use super::indicator::StoredNamedIndicator;
use super::violation::StoredEvent;
use super::word::Spelled;
use super::{Damage, to_json};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredTopic {
    name: String,
    attributes: BTreeMap<String, String>,
    created_at_ms: i64,
}

impl From<&Topic> for StoredTopic {
    fn from(topic: &Topic) -> Self {
        Self {
            name: topic.name.to_string(),
            attributes: topic.attributes.clone(),
            created_at_ms: topic.created_at.unix_millis(),
        }
    }
}

impl TryFrom<StoredTopic> for Topic {
    type Error = Damage;

    fn try_from(stored: StoredTopic) -> Result<Self, Damage> {
        Ok(Self {
            name: TopicName::parse(&stored.name)?,
            attributes: stored.attributes,
            created_at: Timestamp::from_unix_millis(stored.created_at_ms),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredSubscription {
    id: String,
    topic: String,
    protocol: Spelled<Protocol>,
    endpoint: String,
    state: StoredSubscriptionState,
    attributes: BTreeMap<String, String>,
    token: String,
    created_at_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum StoredSubscriptionState {
    Pending { expires_at_ms: i64 },
    Confirmed { authenticate_on_unsubscribe: bool },
}

impl From<&Subscription> for StoredSubscription {
    fn from(subscription: &Subscription) -> Self {
        let state = match subscription.state {
            SubscriptionState::Pending { expires_at } => {
                StoredSubscriptionState::Pending { expires_at_ms: expires_at.unix_millis() }
            }
            SubscriptionState::Confirmed { authenticate_on_unsubscribe } => {
                StoredSubscriptionState::Confirmed { authenticate_on_unsubscribe }
            }
        };
        Self {
            id: subscription.id.to_string(),
            topic: subscription.topic.to_string(),
            protocol: Spelled(subscription.protocol),
            endpoint: subscription.endpoint.clone(),
            state,
            attributes: subscription.attributes.clone(),
            token: subscription.token.as_str().to_owned(),
            created_at_ms: subscription.created_at.unix_millis(),
        }
    }
}

impl TryFrom<StoredSubscription> for Subscription {
    type Error = Damage;

    fn try_from(stored: StoredSubscription) -> Result<Self, Damage> {
        let state = match stored.state {
            StoredSubscriptionState::Pending { expires_at_ms } => {
                SubscriptionState::Pending { expires_at: Timestamp::from_unix_millis(expires_at_ms) }
            }
            StoredSubscriptionState::Confirmed { authenticate_on_unsubscribe } => {
                SubscriptionState::Confirmed { authenticate_on_unsubscribe }
            }
        };
        Ok(Self {
            id: SubscriptionId::parse(&stored.id)?,
            topic: TopicName::parse(&stored.topic)?,
            protocol: stored.protocol.0,
            endpoint: stored.endpoint,
            state,
            attributes: stored.attributes,
            token: SubscriptionToken::parse(&stored.token)?,
            created_at: Timestamp::from_unix_millis(stored.created_at_ms),
        })
    }
}

/// A delivery as engines hold it: when it is due or was given up is in columns, the rest is the body.
pub(crate) struct DeliveryBody {
    /// The body: JSON.
    pub(crate) body: String,
    /// Whether it is still tried.
    pub(crate) state: DeliveryState,
}

/// Writes the body of a delivery.
pub(crate) fn encode_delivery(delivery: &Delivery) -> String {
    to_json(&StoredDelivery::from(delivery))
}

/// Reads a delivery.
pub(crate) fn decode_delivery(stored: DeliveryBody) -> Result<Delivery, StoreError> {
    let body = serde_json::from_str::<StoredDelivery>(&stored.body).map_err(Damage::from);
    body.and_then(|body| body.into_delivery(stored.state)).map_err(|damage| damage.of("delivery"))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDelivery {
    id: String,
    account: String,
    region: String,
    subscription: String,
    subscription_token: String,
    protocol: Spelled<Protocol>,
    endpoint: String,
    raw: bool,
    notification: StoredNotification,
    attempts: u32,
    last_error: Option<String>,
    created_at_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredNotification {
    message_id: String,
    topic: String,
    kind: StoredNotificationKind,
    at_ms: i64,
    signature: Spelled<NotificationSignature>,
    sender_name: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum StoredNotificationKind {
    SubscriptionConfirmation {
        token: String,
        expires_at_ms: i64,
    },
    Message {
        subject: Option<String>,
        message: String,
        attributes: BTreeMap<String, StoredMessageAttribute>,
        alert: Option<Box<StoredAlertContext>>,
    },
    UnsubscribeConfirmation {
        token: String,
        expires_at_ms: i64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredMessageAttribute {
    data_type: String,
    value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAlertContext {
    event: StoredEvent,
    verification: Spelled<VerificationState>,
    verification_description: Option<String>,
    started_at_ms: i64,
    groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    indicators: Vec<StoredNamedIndicator>,
}

impl From<&Delivery> for StoredDelivery {
    fn from(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            account: delivery.scope.account.to_string(),
            region: delivery.scope.region.to_string(),
            subscription: delivery.subscription.to_string(),
            subscription_token: delivery.subscription_token.as_str().to_owned(),
            protocol: Spelled(delivery.protocol),
            endpoint: delivery.endpoint.clone(),
            raw: delivery.raw,
            notification: StoredNotification::from(&delivery.notification),
            attempts: delivery.attempts,
            last_error: delivery.last_error.clone(),
            created_at_ms: delivery.created_at.unix_millis(),
        }
    }
}

impl StoredDelivery {
    fn into_delivery(self, state: DeliveryState) -> Result<Delivery, Damage> {
        Ok(Delivery {
            id: DeliveryId::parse(&self.id)?,
            scope: Scope { account: AccountId::parse(&self.account)?, region: Region::parse(&self.region)? },
            subscription: SubscriptionId::parse(&self.subscription)?,
            subscription_token: SubscriptionToken::parse(&self.subscription_token)?,
            protocol: self.protocol.0,
            endpoint: self.endpoint,
            raw: self.raw,
            notification: Notification::try_from(self.notification)?,
            attempts: self.attempts,
            state,
            last_error: self.last_error,
            created_at: Timestamp::from_unix_millis(self.created_at_ms),
        })
    }
}

impl From<&Notification> for StoredNotification {
    fn from(notification: &Notification) -> Self {
        let kind = match &notification.kind {
            NotificationKind::SubscriptionConfirmation { token, expires_at } => {
                StoredNotificationKind::SubscriptionConfirmation {
                    token: token.as_str().to_owned(),
                    expires_at_ms: expires_at.unix_millis(),
                }
            }
            NotificationKind::UnsubscribeConfirmation { token, expires_at } => {
                StoredNotificationKind::UnsubscribeConfirmation {
                    token: token.as_str().to_owned(),
                    expires_at_ms: expires_at.unix_millis(),
                }
            }
            NotificationKind::Message { subject, message, attributes, alert } => {
                let attribute = |(name, (data_type, value)): (&String, &(String, String))| {
                    (name.clone(), StoredMessageAttribute { data_type: data_type.clone(), value: value.clone() })
                };
                StoredNotificationKind::Message {
                    subject: subject.clone(),
                    message: message.clone(),
                    attributes: attributes.iter().map(attribute).collect(),
                    alert: alert.as_deref().map(|alert| Box::new(StoredAlertContext::from(alert))),
                }
            }
        };
        Self {
            message_id: notification.message_id.to_string(),
            topic: notification.topic.to_string(),
            kind,
            at_ms: notification.at.unix_millis(),
            signature: Spelled(notification.signature),
            sender_name: notification.sender_name.clone(),
        }
    }
}

impl TryFrom<StoredNotification> for Notification {
    type Error = Damage;

    fn try_from(stored: StoredNotification) -> Result<Self, Damage> {
        let kind = match stored.kind {
            StoredNotificationKind::SubscriptionConfirmation { token, expires_at_ms } => {
                NotificationKind::SubscriptionConfirmation {
                    token: SubscriptionToken::parse(&token)?,
                    expires_at: Timestamp::from_unix_millis(expires_at_ms),
                }
            }
            StoredNotificationKind::UnsubscribeConfirmation { token, expires_at_ms } => {
                NotificationKind::UnsubscribeConfirmation {
                    token: SubscriptionToken::parse(&token)?,
                    expires_at: Timestamp::from_unix_millis(expires_at_ms),
                }
            }
            StoredNotificationKind::Message { subject, message, attributes, alert } => {
                let attribute = |(name, attribute): (String, StoredMessageAttribute)| {
                    (name, (attribute.data_type, attribute.value))
                };
                let alert = match alert {
                    Some(alert) => Some(Box::new(AlertContext::try_from(*alert)?)),
                    None => None,
                };
                let attributes = attributes.into_iter().map(attribute).collect();
                NotificationKind::Message { subject, message, attributes, alert }
            }
        };
        Ok(Self {
            message_id: stored.message_id.into(),
            topic: Arn::parse(&stored.topic)?,
            kind,
            at: Timestamp::from_unix_millis(stored.at_ms),
            signature: stored.signature.0,
            sender_name: stored.sender_name,
        })
    }
}

impl From<&AlertContext> for StoredAlertContext {
    fn from(alert: &AlertContext) -> Self {
        Self {
            event: StoredEvent::from(&alert.event),
            verification: Spelled(alert.event.verification),
            verification_description: alert.event.verification_description.clone(),
            started_at_ms: alert.started_at.unix_millis(),
            groups: alert.groups.clone(),
            indicators: alert.indicators.iter().map(StoredNamedIndicator::from).collect(),
        }
    }
}

impl TryFrom<StoredAlertContext> for AlertContext {
    type Error = Damage;

    fn try_from(stored: StoredAlertContext) -> Result<Self, Damage> {
        Ok(Self {
            event: stored.event.into_event(stored.verification.0, stored.verification_description)?,
            started_at: Timestamp::from_unix_millis(stored.started_at_ms),
            groups: stored.groups,
            indicators: stored.indicators.into_iter().map(Indicator::try_from).collect::<Result<_, _>>()?,
        })
    }
}
