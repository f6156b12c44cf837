//! The privileged half of the relay to real devices, and the unprivileged half's way to it.
//!
//! In: an inventory of devices. Out: packet filter rules that hold the devices whatever runs or does not, and a guard:
//! the process with rights, which starts the one that talks to strangers ([`guard`]) and opens ways to devices for it.
//! That one, the worker, has no rights. It asks over a channel, is answered with sockets, and offers them to the sensor
//! as the port [`DeviceGate`](komainu_ports::DeviceGate) ([`Worker`]).
//!
//! After an incident a third process brings the device back and compares it with its baseline; whether its quarantine
//! ends is decided here, by that process' exit status ([`ExaminerConfig`]). What it is told is [`Assignment`].
//!
//! Not here: anything that strangers or devices say. The guard carries no byte of it, and parses none.

mod assignment;
mod by_hand;
mod capture;
mod channel;
mod day;
mod events;
mod examination;
mod gate;
mod guard;
mod inventory;
mod ledger;
mod message;
mod network;
mod resets;
mod rights;
mod ruleset;
mod sockets;
mod told;

pub use assignment::Assignment;
pub use by_hand::Operator;
pub use examination::{BaselineOutcome, ExaminationError, ExaminerConfig};
pub use gate::{Worker, WorkerError, WorkerGate};
pub use guard::{GuardConfig, GuardError, guard};
pub use inventory::{Inventory, InventoryError};
pub use network::{NetworkError, remove};
pub use rights::{ExaminerUids, RightsError, WorkerUser, give_up_rights, need_root};
pub use ruleset::ruleset;
