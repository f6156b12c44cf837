//! Security profiles and what is detected by them.

#![expect(clippy::unwrap_used, reason = "a failed expectation of a test ends it")]

mod behavior;
mod profiles;
