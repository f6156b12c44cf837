//! The control plane as its clients see it: bytes over a connection.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod client;
mod connections;
mod devices;
mod fleet;
mod notifications;
mod operations;
mod requests;
mod sensors;
mod virustotal;
mod world;
