//! What every chart must hold, on chosen values, on hostile ones and on any.

#![allow(clippy::unwrap_used, reason = "a failed expectation of a test ends it")]

mod any_values;
mod drawing;
mod golden;
mod sizes;
