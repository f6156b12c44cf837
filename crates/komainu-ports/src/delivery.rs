//! How messages leave the house.

use komainu_model::Delivery;

use crate::BoxFuture;

/// Carries messages to people and programs: mail, webhooks.
pub trait Courier: Send + Sync {
    /// Tries once, within a bounded time. The same delivery twice has the same message id, so that a receiver can
    /// see it.
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, DeliveryOutcome>;
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
