//! The simulated Internet as a guest sees it, in virtual time.
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test ends it")]

mod guest;
mod internet;
