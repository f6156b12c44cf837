//! The gateway from outside: real sockets on loopback, real TLS, a fleet that is made up.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests: what fails here should fail loudly, and nobody calls it")]

mod mqtt;
mod world;

mod authorization;
mod doorway;
mod http;
mod meters;
mod revocation;
mod tls;
mod websocket;
