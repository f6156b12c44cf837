//! Topics, subscriptions, and the messages that go out to people and programs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{name_type, uuid_type};
use crate::{Arn, Indicator, InvalidName, NameProblem, Scope, Timestamp, ViolationEvent};

name_type! {
    /// The name of a notification topic: 1 to 256 characters of `[a-zA-Z0-9_-]` (SNS CreateTopic).
    TopicName, "topic name", 256, "a-z A-Z 0-9 _ -", |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}
uuid_type! {
    /// A subscription; the last part of its ARN.
    SubscriptionId, "subscription id"
}
uuid_type! {
    /// One message to one subscription.
    DeliveryId, "delivery id"
}

/// A notification topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name, unique within a scope.
    pub name: TopicName,
    /// Attributes that were set, by AWS's names (`DisplayName`, `Policy`, `DeliveryPolicy`, ...).
    pub attributes: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Who hears what is published on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its identity.
    pub id: SubscriptionId,
    /// The topic.
    pub topic: TopicName,
    /// How messages travel.
    pub protocol: Protocol,
    /// Where they travel to: an address or a URL.
    pub endpoint: String,
    /// Whether the endpoint's owner has agreed.
    pub state: SubscriptionState,
    /// Attributes that were set, by AWS's names (`RawMessageDelivery`, `FilterPolicy`, ...).
    pub attributes: BTreeMap<String, String>,
    /// What the links for confirming and for unsubscribing carry.
    pub token: SubscriptionToken,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// A mail for people.
    Email,
    /// A mail for programs.
    EmailJson,
    /// A signed POST in clear text.
    Http,
    /// A signed POST over TLS.
    Https,
}

impl Protocol {
    /// AWS's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::EmailJson => "email-json",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Whether the endpoint's owner has agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Not yet; after `expires_at` the token is dead.
    Pending {
        /// When the offer ends.
        expires_at: Timestamp,
    },
    /// Yes.
    Confirmed {
        /// Only somebody with an access key may unsubscribe it.
        authenticate_on_unsubscribe: bool,
    },
}

/// A secret in confirmation links: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionToken(Arc<str>);

impl SubscriptionToken {
    /// Takes 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.into()))
        } else {
            let expected = "64 lower-case hexadecimal digits";
            Err(InvalidName { kind: "token", problem: NameProblem::Form { expected } })
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The message attribute of a mail that stands for messages that were held back: how many they are. No publisher can set it.
pub const HELD_BACK_ATTRIBUTE: &str = "Komainu.HeldBack";

/// What is said to a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Its id, a UUID; the same for every subscription of one publication.
    pub message_id: Arc<str>,
    /// The topic.
    pub topic: Arn,
    /// Whether it asks for agreement or tells something.
    pub kind: NotificationKind,
    /// When it was published.
    pub at: Timestamp,
    /// How it is signed when it travels over HTTP.
    pub signature: NotificationSignature,
    /// Whom people see as its sender: the topic's `DisplayName`.
    pub sender_name: Option<String>,
}

/// How notifications over HTTP are signed: the topic's `SignatureVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NotificationSignature {
    /// `SignatureVersion` 1, SNS's default: SHA-1.
    #[default]
    V1,
    /// `SignatureVersion` 2: SHA-256.
    V2,
}

/// Whether a notification asks for agreement or tells something.
#[derive(Debug, Clone, PartialEq)]
pub enum NotificationKind {
    /// Asks the endpoint's owner to confirm the subscription.
    SubscriptionConfirmation {
        /// What the link carries.
        token: SubscriptionToken,
        /// When the offer ends.
        expires_at: Timestamp,
    },
    /// Tells what was published.
    Message {
        /// The subject, at most 100 characters.
        subject: Option<String>,
        /// The text for this subscription's protocol.
        message: String,
        /// Message attributes: name to (type, value).
        attributes: BTreeMap<String, (String, String)>,
        /// What it is about, when it is an alert of ours; people get a better mail then.
        alert: Option<Box<AlertContext>>,
    },
    /// Tells that a subscription ended.
    UnsubscribeConfirmation {
        /// What the link for subscribing again carries.
        token: SubscriptionToken,
        /// When that offer ends.
        expires_at: Timestamp,
    },
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertContext {
    /// The event.
    pub event: ViolationEvent,
    /// When the alarm was raised.
    pub started_at: Timestamp,
    /// The groups of the device.
    pub groups: Vec<String>,
    /// The indicators that the event's value names, as they were then; the first of them, and of their origins.
    pub indicators: Vec<Indicator>,
}

/// One message to one subscription, kept until it is delivered or given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its identity. Derived from message and subscription, so that asking twice is one delivery.
    pub id: DeliveryId,
    /// The scope of the subscription.
    pub scope: Scope,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// What the links for unsubscribing carry.
    pub subscription_token: SubscriptionToken,
    /// How it travels.
    pub protocol: Protocol,
    /// Where it travels to.
    pub endpoint: String,
    /// Only the message text is sent, without the envelope.
    pub raw: bool,
    /// What is said.
    pub notification: Notification,
    /// So many attempts have failed.
    pub attempts: u32,
    /// Whether it is still tried.
    pub state: DeliveryState,
    /// What went wrong at the latest attempt.
    pub last_error: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// Whether a delivery is still tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried at this time or later.
    Due(Timestamp),
    /// It was given up at this time; it is kept for operators to see.
    Dead(Timestamp),
}
