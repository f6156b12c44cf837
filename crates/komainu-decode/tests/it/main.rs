//! What flows and the decoders of their protocols show, tested where other crates use it.
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test ends it")]

mod adb;
mod coap;
mod conversation;
mod dns;
mod flow;
mod flows;
mod ftp;
mod http;
mod mqtt;
mod recorded;
mod recordings;
mod redis;
mod rtsp;
mod sip;
mod smb;
mod snmp;
mod ssdp;
mod ssh;
mod talk;
mod telnet;
mod tftp;
mod tls;
mod wire;
