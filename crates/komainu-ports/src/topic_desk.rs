//! What people at the console do with topics, and what becomes of messages.

use komainu_model::{
    Arn, DeliveryId, DeliveryState, EndpointProblem, InvalidName, Protocol, Scope, SubscriptionId, SubscriptionState,
    Timestamp, TopicName,
};

use crate::store::{Page, Paged, StoreError};

/// The control plane's topics, for people who look at them and change them. No secret is told: neither the tokens of
/// subscriptions nor the passwords in their addresses. Changes and deliveries block.
pub trait TopicDesk: Send + Sync {
    /// At most `limit` topics after one, in the order of their names.
    fn topics(&self, scope: &Scope, after: Option<&TopicName>, limit: usize) -> Vec<TopicSummary>;

    /// One topic.
    fn topic(&self, scope: &Scope, name: &TopicName) -> Option<TopicSummary>;

    /// At most `limit` subscriptions of a topic after one, in the order of their ids. Those that were not confirmed in time
    /// are not there any more.
    fn subscriptions(
        &self,
        scope: &Scope,
        topic: &TopicName,
        after: Option<&SubscriptionId>,
        limit: usize,
    ) -> Vec<SubscriptionSummary>;

    /// Messages of a topic that wait or were given up, the newest first. What was delivered is not kept.
    fn deliveries(&self, scope: &Scope, topic: &TopicName, page: &Page) -> Result<Paged<DeliverySummary>, StoreError>;

    /// Makes a topic; one that is there stays as it is.
    fn create_topic(&self, scope: &Scope, name: &str) -> Result<TopicName, TopicDeskError>;

    /// Subscribes an address, by AWS's word for the protocol, and asks its owner for agreement.
    fn subscribe(
        &self,
        scope: &Scope,
        topic: &TopicName,
        protocol: &str,
        endpoint: &str,
    ) -> Result<SubscriptionId, TopicDeskError>;

    /// Ends a subscription of a topic. Ending what is not there is no error.
    fn unsubscribe(&self, scope: &Scope, topic: &TopicName, id: &SubscriptionId) -> Result<(), TopicDeskError>;

    /// Says something to everybody who has agreed.
    fn publish(&self, scope: &Scope, topic: &TopicName, subject: &str, message: &str) -> Result<(), TopicDeskError>;
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSummary {
    /// Its name.
    pub name: TopicName,
    /// Its ARN.
    pub arn: Arn,
    /// Whom people see as the sender of its messages, when that was set.
    pub sender_name: Option<String>,
    /// Subscriptions whose owner has agreed.
    pub confirmed: u64,
    /// Subscriptions whose owner was asked.
    pub pending: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionSummary {
    /// Its identity.
    pub id: SubscriptionId,
    /// How messages travel.
    pub protocol: Protocol,
    /// Where to, without the user and the password that a URL may carry.
    pub endpoint: String,
    /// Whether its owner has agreed.
    pub state: SubscriptionState,
    /// Whether it takes only some of the messages.
    pub is_filtered: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// A message on its way to one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySummary {
    /// Its identity.
    pub id: DeliveryId,
    /// How it travels.
    pub protocol: Protocol,
    /// Where to, without the user and the password that a URL may carry.
    pub endpoint: String,
    /// What is said.
    pub content: DeliveryContent,
    /// So many attempts have failed.
    pub attempts: u32,
    /// Whether it is still tried.
    pub state: DeliveryState,
    /// What went wrong at the latest attempt.
    pub last_error: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// What a delivery says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryContent {
    /// It asks for agreement.
    Confirmation,
    /// A message, with its subject.
    Message(Option<String>),
    /// It says that a subscription ended.
    Ended,
}

/// Why a topic was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TopicDeskError {
    /// There is no such topic.
    #[error("there is no such topic")]
    Missing,
    /// It does not make sense, or there is too much of it.
    #[error("{0}")]
    Refused(TopicRefusal),
    /// The store could not keep it.
    #[error("the topic cannot be kept")]
    Unavailable(#[from] StoreError),
}

/// Why something is not done to a topic, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicRefusal {
    /// Its name is none.
    #[error("{0}")]
    Name(InvalidName),
    /// Its name asks for a FIFO topic.
    #[error("topics are standard topics here, not FIFO")]
    Fifo,
    /// Messages cannot be sent there.
    #[error("{0}")]
    Endpoint(EndpointProblem),
    /// There are as many topics as may be.
    #[error("there are {0} topics, more are not allowed")]
    TooManyTopics(usize),
    /// The topic has as many subscriptions as may be.
    #[error("the topic has {0} subscriptions, more are not allowed")]
    TooManySubscriptions(usize),
    /// Too many of these within an hour.
    #[error("too many within an hour")]
    TooOften,
    /// What the console's forms do not let anybody ask for; a sentence in English.
    #[error("{0}")]
    Other(String),
}
