//! The sensor at its public boundary.

#![allow(clippy::unwrap_used, reason = "a test ends where something it needs is not there")]

mod datagrams;
mod relay;
mod scene;
mod sensor;
mod session;
mod spool;
