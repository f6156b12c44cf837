//! The registry: things, types, groups, certificates, policies, and what connects them.
//!
//! [`policy`] reads IoT policy documents and answers, for one connection, whether an action on a resource is allowed.
//!
//! Nothing here opens a socket, asks for the time, or knows how a request was encoded.

pub mod policy;
