//! What is told to whom: topics, subscriptions, messages, alerts.
//!
//! In: what operators ask for (SNS's operations, already parsed from their encoding), violations that were decided
//! elsewhere, and the time. Out: answers, and the [changes](komainu_model::Change) that carry them out, outbox entries
//! included: a message to be sent is a [`Delivery`](komainu_model::Delivery) that is stored with the change that
//! caused it.
//!
//! [`Topics`] is the state of one account in one region. Its methods decide and change nothing; the caller makes the
//! changes durable and then hands each to [`Topics::apply`]. The same decisions on the same state give the same
//! changes, message and delivery ids included, for they are derived from what caused them.
//!
//! Nothing is sent from here, no name is resolved, no signature is made; the couriers of `komainu-engines` do that.

mod alert;
mod attribute;
mod endpoint;
mod error;
mod filter;
mod flood;
mod message;
mod publish;
mod retry;
mod subscription;
mod topic;
mod topics;

pub use alert::{alert_message, alert_subject};
pub use endpoint::shown_endpoint;
pub use error::{BatchProblem, RespondError};
pub use filter::FilterPolicy;
pub use message::{MESSAGE_BYTES_MAX, PublishRequest, SUBJECT_CHARS_MAX};
pub use publish::{BatchEntry, BatchOutcome, PUBLISH_BATCH_ENTRIES_MAX};
pub use retry::retry_at;
pub use subscription::{
    NewSubscription, PENDING_SUBSCRIPTION_TTL, SubscribeRequest, Subscribed, Unsubscriber, subscription_arn,
};
pub use topics::{RespondRules, Topics};
