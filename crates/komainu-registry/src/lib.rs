//! The registry: things, types, groups, certificates, policies, and what connects them.
//!
//! [`Registry`] holds the state of one scope in memory. It *decides*: a method takes what is wanted and the time, checks
//! AWS IoT's rules, and returns the answer with the changes that make it true, or a [`RegistryError`] made for the
//! caller's next step. Whoever has made the changes durable gives them back to [`Registry::apply`]; loading is the
//! same.
//!
//! [`policy`] reads IoT policy documents and answers, for one connection, whether an action on a resource is allowed.
//!
//! Nothing here opens a socket, asks for the time, makes an identity, or knows how a request was encoded.

mod attributes;
mod certificates;
mod error;
mod groups;
mod listing;
mod policies;
pub mod policy;
mod principals;
mod registry;
mod tags;
mod thing_types;
mod things;

pub use attributes::AttributeUpdate;
pub use certificates::{CertificateMarker, NewCertificate};
pub use error::{RegistryError, ResourceKind};
pub use groups::{CreateGroup, GroupFilter, UpdateGroup};
pub use listing::Listed;
pub use policies::{CreatePolicy, CreatePolicyVersion, PolicyMarker};
pub use registry::{Decision, Registry};
pub use thing_types::{CreateThingType, UpdateThingType};
pub use things::{AttributeValueFilter, CreateThing, ThingFilter, ThingSearch, TypeUpdate, UpdateThing};
