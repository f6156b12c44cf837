//! IoT policies: what a principal may do.
//!
//! A [`PolicyDocument`] is read once, when it is created or loaded. For each connection, [`CompiledPolicies`] fills in
//! the policy variables and settles every condition, for all of them depend on nothing but the connection. What is
//! left is a short list of patterns for each action, and [`CompiledPolicies::allows`] asks it without allocating.
//!
//! Semantics (AWS IoT developer guide, "AWS IoT Core policies" and "AWS IoT Core policy variables"):
//!
//! * What no statement allows is denied; what any statement denies is denied whatever else allows it.
//! * `*` stands for any characters, `/` among them; `?` for one. MQTT's `+` and `#` are characters like any other.
//! * What a variable inserts is literal: a client that calls itself `*` gets no wildcard.
//! * A pattern with a variable that has no value matches nothing.
//! * Variables and escapes exist in documents of version `2012-10-17` only; in older ones they are plain text.

mod compiled;
mod condition;
mod connection;
mod document;
mod pattern;
mod template;

pub use compiled::CompiledPolicies;
pub use connection::{
    AlternativeName, CertificateFacts, CertificateField, ConnectionContext, NameAttribute, connection_thing,
};
pub use document::{MalformedPolicy, PolicyDocument};

/// What a connection can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// `iot:Connect`; its resources are `client/CLIENT_ID`.
    Connect,
    /// `iot:Publish`; its resources are `topic/TOPIC`.
    Publish,
    /// `iot:Subscribe`; its resources are `topicfilter/FILTER`.
    Subscribe,
    /// `iot:Receive`, asked for each delivery; its resources are `topic/TOPIC`.
    Receive,
    /// `iot:RetainPublish`, asked besides `iot:Publish` for a retained message; its resources are `topic/TOPIC`.
    RetainPublish,
}

impl Action {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Connect, Self::Publish, Self::Subscribe, Self::Receive, Self::RetainPublish];

    /// AWS's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "iot:Connect",
            Self::Publish => "iot:Publish",
            Self::Subscribe => "iot:Subscribe",
            Self::Receive => "iot:Receive",
            Self::RetainPublish => "iot:RetainPublish",
        }
    }

    /// How the resource part of the ARNs it is about begins.
    pub const fn resource_prefix(self) -> &'static str {
        match self {
            Self::Connect => "client/",
            Self::Subscribe => "topicfilter/",
            Self::Publish | Self::Receive | Self::RetainPublish => "topic/",
        }
    }

    /// Its place in [`Action::ALL`].
    const fn index(self) -> usize {
        self as usize
    }
}
