//! Why a request is refused.

use komainu_model::{EndpointProblem, InvalidName};

/// Why a request is refused. Messages are for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// A parameter has a value that is not allowed.
    #[error("invalid parameter: {name}: {reason}")]
    InvalidParameter {
        /// SNS's name of the parameter.
        name: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// The name of a topic is none.
    #[error("invalid parameter: Name: {0}")]
    TopicName(InvalidName),
    /// The name asks for a FIFO topic.
    #[error("invalid parameter: Name: topics are standard topics here, not FIFO")]
    Fifo,
    /// The endpoint of a subscription is none that messages can be sent to.
    #[error("invalid parameter: Endpoint: {0}")]
    Endpoint(EndpointProblem),
    /// The topic or the subscription is not there.
    #[error("{what} does not exist")]
    NotFound {
        /// `topic` or `subscription`.
        what: &'static str,
    },
    /// There are as many topics as are allowed.
    #[error("there are {topics_max} topics, more are not allowed")]
    TopicLimitExceeded {
        /// The bound.
        topics_max: usize,
    },
    /// The topic has as many subscriptions as are allowed.
    #[error("the topic has {subscriptions_max} subscriptions, more are not allowed")]
    SubscriptionLimitExceeded {
        /// The bound.
        subscriptions_max: usize,
    },
    /// The resource would have more tags than are allowed.
    #[error("a resource has at most {tags_max} tags")]
    TagLimitExceeded {
        /// The bound.
        tags_max: usize,
    },
    /// The request needs to be signed with an access key.
    #[error("not authorized: {reason}")]
    NotAuthorized {
        /// Why a signature is needed.
        reason: &'static str,
    },
    /// Too many of these within an hour.
    #[error("throttled: {reason}")]
    Throttled {
        /// What there was too much of.
        reason: String,
    },
    /// A batch as a whole is not acceptable.
    #[error("{0}")]
    Batch(BatchProblem),
}

/// What is wrong with a batch as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchProblem {
    /// It has no entries.
    Empty,
    /// It has more than ten entries.
    TooManyEntries,
    /// Two entries have the same id.
    IdsNotDistinct,
    /// An entry's id is not 1 to 80 letters, digits, hyphens and underscores.
    InvalidId,
    /// The messages are together longer than one message may be.
    TooLong,
}

impl std::fmt::Display for BatchProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "the batch has no entries",
            Self::TooManyEntries => "the batch has more than 10 entries",
            Self::IdsNotDistinct => "two entries of the batch have the same id",
            Self::InvalidId => "an entry's id is not 1 to 80 letters, digits, hyphens and underscores",
            Self::TooLong => "the messages of the batch are together longer than 262144 bytes",
        })
    }
}

/// An [`RespondError::InvalidParameter`].
pub(crate) fn invalid(name: &'static str, reason: impl Into<String>) -> RespondError {
    RespondError::InvalidParameter { name, reason: reason.into() }
}

pub(crate) const NO_TOPIC: RespondError = RespondError::NotFound { what: "topic" };
pub(crate) const NO_SUBSCRIPTION: RespondError = RespondError::NotFound { what: "subscription" };
