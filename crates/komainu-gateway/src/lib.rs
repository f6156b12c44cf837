//! The device gateway: MQTT over TLS, authorised by IoT policies and measured for detection.
//!
//! In: TCP connections of devices, operators and strangers. Out: messages between them, metric reports to the
//! [`ReportSink`](komainu_ports::ReportSink), HTTP connections to the [`HttpHandoff`](komainu_ports::HttpHandoff), and
//! for each device what it did, as [`MeterReading`](komainu_ports::MeterReading)s.
//!
//! A connection passes through these, from the outside in: `listener` takes it, `pending` bounds those that are not in
//! yet, `tls` finds out which certificate it holds, `gatekeeper` what that certificate may do, and behind the seam
//! `access` the broker serves it. `meter` counts all along.
//!
//! What it does not do: it issues no certificates and keeps no fleet (it asks the
//! [`Directory`](komainu_ports::Directory)), it serves no HTTP, it judges no metric, and it trusts no certificate
//! authority: a certificate is registered or it is not.

mod access;
mod broker;
mod connection;
mod decode;
mod durable;
mod encode;
mod events;
mod facts;
#[cfg(test)]
mod fixtures;
mod flow;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gatekeeper;
mod gateway;
mod identity;
mod lifecycle;
mod limits;
mod link;
mod listener;
mod log_budget;
mod measured;
mod meter;
mod pace;
mod packet;
mod packets;
mod pending;
mod policies;
#[cfg(test)]
mod protocol_tests;
mod publish;
mod replies;
mod retained;
mod router;
mod session;
#[cfg(test)]
mod testing;
mod timers;
mod tls;
mod topic;
mod trusted;
mod websocket;

pub use gateway::{EdgeLimits, Gateway, GatewayConfig, GatewayError, GatewayPorts, LocalAddrs};
pub use limits::Limits;
pub use tls::{BadServerCertificate, ServerCertificate};
