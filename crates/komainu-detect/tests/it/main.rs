//! Security profiles and what is detected by them.

#![expect(clippy::unwrap_used, reason = "a failed expectation of a test ends it")]

mod alarm;
mod back_test;
mod behavior;
mod cloud;
mod judge;
mod matches;
mod profiles;
mod simulation;
mod window;
mod world;
