//! The simulated Internet: all the network that the guest of a sandbox has.
//!
//! In: the guest's Ethernet frames, each with the time since the begin, and [`Settings`]. Out: frames for the guest, what it
//! did as `komainu_trace::network` has it, its packets as a pcap file, and the contents that it handed over. Every address
//! is there and every port may be: addresses are given (DHCP, router advertisements), names are resolved, the time is told,
//! and servers answer whatever the guest speaks, inside of TLS, too. What would be too much, a flood or a wide scan, is
//! counted and not carried.
//!
//! [`Internet`] is all of that without sockets, clock and chance. [`run_netsim`] is the process around it, which can open
//! nothing: no socket, no file, no process; [`NetsimProcess`] starts it and collects what it tells.
//!
//! Not here: any way out. What the guest says goes nowhere, and nobody in here says anything that was not asked for on a
//! connection of the guest's. What anything means is the analysis's business.

mod confinement;
mod conversation;
mod counts;
mod dhcp;
mod dns;
mod download;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod internet;
mod limits;
mod link;
mod message;
mod names;
mod ntp;
mod packet;
mod player;
mod process;
mod random;
mod record;
mod run;
mod service;
mod settings;
mod tcp;
#[cfg(test)]
mod testing;
mod tls;
mod world;

pub use internet::{Internet, InternetError, Output};
pub use process::{NetsimError, NetsimProcess, Observed};
pub use record::Content;
pub use run::{RunNetsimError, run_netsim};
pub use settings::{Bounds, DownloadPolicy, Framing, LoginPolicy, NamePolicy, PortPolicy, Settings};
