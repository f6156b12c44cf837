//! What a detonation shows: the vocabulary between the sandbox, the simulated Internet and the analysis.
//!
//! A detonation runs one sample once, in a guest. Two see it: the guest's kernel, which tells what processes do
//! ([`guest`]), and the simulated Internet, which is all the network that the guest has ([`network`]). Here is what they
//! say, in types and in the form in which it is recorded and goes from process to process; a guest's form is a stream of
//! frames ([`agent`]) with pages of its kernel's trace ([`ring`]), which a [`GuestReader`] understands.
//!
//! All of it comes from a guest that a sample may have taken over: every text in it is a [`RawText`], every list has a
//! bound, and no order of events is promised.
//!
//! Not here: what any of it means.

pub mod agent;
mod executable;
pub mod guest;
mod isa;
mod left_files;
pub mod network;
mod novelty;
mod raw_text;
mod reader;
pub mod ring;
mod system_calls;

pub use executable::Executable;
pub use isa::{GuestIsa, UnknownIsa};
pub use left_files::left_files;
pub use novelty::Novelty;
pub use raw_text::{RawText, RawTextError};
pub use reader::{GuestItem, GuestProblem, GuestReader};
