//! Rules and classification at the public boundary.

#![allow(clippy::unwrap_used, reason = "a test ends where something it needs is not there")]

mod builtin;
mod labels;
mod rules;
mod scene;
