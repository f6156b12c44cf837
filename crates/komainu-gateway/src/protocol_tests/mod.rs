//! What a client sees: the broker behind its byte stream, packet by packet.
//!
//! `docs/mqtt-conformance.md` names, for every statement of the specifications that a server must keep, the test here
//! that shows it. Tests that wait for seconds run in virtual time; those that wait for the writer's thread do not.

mod connect;
mod durability;
mod pressure;
mod publish;
mod service;
mod sessions;
mod subscribe;
mod world;
