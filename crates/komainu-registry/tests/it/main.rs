//! The registry's tests, in one program.

#![allow(clippy::unwrap_used, reason = "a test ends where something it needs is not there")]

mod policy;
mod registry;
