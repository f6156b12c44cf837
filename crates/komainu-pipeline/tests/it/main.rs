//! The workers, with a store in memory, a broker that writes down, and time that passes when nobody does anything.

#![expect(clippy::unwrap_used, reason = "a failed expectation of a test ends it")]

mod deliveries;
mod house;
mod indicators;
mod lake;
mod reports;
