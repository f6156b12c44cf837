//! The built-in rules, each with what it holds for and what it does not.

#![allow(clippy::unwrap_used, reason = "a test ends where something it needs is not there")]

mod rules;
