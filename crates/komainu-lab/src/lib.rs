//! The laboratory: takes every sample from where it came in to a report, without a person.
//!
//! In: samples that sensors brought and people handed in ([`Intake`]). Out: documents about them, and indicators for the
//! fleet. A sample waits in the store until a worker takes it; the worker has it looked at, run, and reported on.
//!
//! Meanwhile others are asked what they know of it, by its digest alone.
//!
//! Not here: what a file is (`komainu-triage`), how one runs (`komainu-sandbox`), what that means (`komainu-analysis`).

mod digests;
mod events;
mod evidence;
mod examination;
mod features;
mod findings;
mod guest_choice;
mod intake;
mod laboratory;
mod lessons;
mod lookups;
mod sweep;

pub use digests::digests_of;
pub use events::{LIST_LINE_UNUSABLE, LIST_READ};
pub use evidence::{LookedAt, StaticReportError, looked_at, run_of};
pub use examination::guest_file_name;
pub use findings::findings;
pub use intake::Intake;
pub use laboratory::{Laboratory, LaboratoryConfig, LaboratoryPorts, StartError};
