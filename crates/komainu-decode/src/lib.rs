//! Passive protocol decoders: the bytes of a flow in, facts out.
//!
//! One decoder for each protocol reads what two parties say to each other, wherever the bytes come from: a flow that
//! is relayed to a real device, a persona that answers by itself, a capture file. In: what each [`Side`] said, in
//! order, piece by piece. Out: [`Fact`]s, each with the [`Place`] in the flow that shows it, given to an [`Observer`]
//! as they are understood. Facts borrow from the bytes; nothing is copied that can be read where it lies.
//!
//! All input is hostile. A decoder never fails: what it does not understand is an [`Oddity`], and it goes on where it
//! can. Each keeps a bounded amount of state, which its module names.
//!
//! Not here: sockets, files, clocks, and what a fact means. A decoder does not know whether a login is an attack.

pub mod adb;
pub mod coap;
pub mod dns;
pub mod ftp;
pub mod http;
pub mod mqtt;
pub mod redis;
pub mod rtsp;
pub mod sip;
pub mod smb;
pub mod snmp;
pub mod ssdp;
pub mod ssh;
pub mod telnet;
pub mod tftp;
pub mod tls;

pub mod capture;
pub mod flows;
pub mod packet;

mod ber;
mod decoder;
mod fact;
mod fields;
mod fingerprint;
mod fragments;
mod hex;
mod identify;
mod message;
mod oddities;
mod pending;
mod place;
mod reassembly;

pub use decoder::{Decoder, Observer};
pub use fact::{Command, Fact, FileEvent, FileNumber, FileVia, Login, Oddity, OddityKind, Secret};
pub use fingerprint::SynTraits;
pub use identify::{Conversation, DECIDE_BYTES_MAX, Protocol, Transport};
pub use message::{HeaderIter, Headers, Request, Response};
pub use place::{Place, Side};
