//! Conformance suites: what every engine behind a port must pass.
//!
//! Each suite is a function that an engine's tests call; it panics at the first difference and says what it saw.

mod samples;
#[expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]
mod store;

pub use samples::sample_batch;
pub use store::{check_durable_store, check_store, describe_store};
