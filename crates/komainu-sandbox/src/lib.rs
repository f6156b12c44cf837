//! The sandbox: runs a sample in a guest of its own and says what was seen.
//!
//! In: a sample and how it is to run ([`DetonationRequest`](komainu_ports::DetonationRequest)). Out: a
//! [`Detonation`](komainu_ports::Detonation), always: with what was seen until then, if the guest fell over.
//!
//! The guest is a whole machine, QEMU with a [`Kit`]: kernel, root filesystem, agent. It has booted before; a run goes on
//! from the [`Snapshots`] of that moment, with another look each time. Each run is a process of its own
//! ([`run_detonation`]), which [`QemuSandbox`] starts with an empty environment; that process starts QEMU in a jail
//! ([`Confinement`]) and a simulated Internet ([`GuestNetwork`]), both of which are other engines'.
//!
//! What QEMU, the guest and the network say is that of strangers: a sample may have taken over any of them.
//!
//! Not here: what the agent's words mean, and what any of it means.

mod comparison;
mod course;
mod detonation;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod kit;
pub mod limits;
mod look;
mod machine;
mod message;
mod novelty;
mod process;
mod qemu;
mod qmp;
mod recording;
mod snapshot;
mod surroundings;

pub use comparison::{Comparison, Shown, shown};
pub use kit::{Kit, KitError, Virtio};
pub use process::{Guest, QemuSandbox, SandboxFolders, run_detonation};
pub use qemu::{Qemu, QemuError};
pub use recording::{read_recording, write_recording};
pub use snapshot::{Snapshots, StoredSnapshot};
pub use surroundings::{
    ConfinedProcess, ConfinedProgram, Confinement, GuestNetwork, NetworkRecord, NetworkWanted, ProcessEnd,
    RunningNetwork,
};
