//! How messages leave the house.

use komainu_model::{AlertContext, Arn, Delivery, Scope, Timestamp};

use crate::BoxFuture;

/// Carries messages to people and programs: mail, webhooks.
pub trait Courier: Send + Sync {
    /// Tries once, within a bounded time. The same delivery twice has the same message id, so that a receiver can
    /// see it.
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, DeliveryOutcome>;
}

/// Knows who asked to hear of alerts: the control plane, which holds topics and subscriptions.
pub trait AlertRouter: Send + Sync {
    /// The messages that follow from an alert of `scope` whose profile names `target`: one for each confirmed
    /// subscription of that topic, none when there is no such topic. Nothing is stored or sent here. The same alert
    /// gives the same deliveries. Answers come from memory and do not block.
    fn route(&self, scope: &Scope, target: &Arn, alert: &AlertContext, now: Timestamp) -> Vec<Delivery>;
}

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver has it.
    Done,
    /// Not now: worth trying again.
    Retry {
        /// What happened, for operators.
        error: String,
    },
    /// Never: the address is refused for good.
    Gone {
        /// What happened, for operators.
        error: String,
    },
}
