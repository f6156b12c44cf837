//! The workers: reports and readings of the gateway into the detector, violations into alerts, alerts out of the door.
//!
//! In: metric reports (the gateway hands them over through `ReportSink`), the gateway's meters, and what is due in the
//! outbox. Out: values, events, violations and deliveries in the store; answers to devices; messages to people.
//!
//! What the detector decides about a batch of reports is made durable as one step before anything is answered. When
//! the store fails, the detector is built anew from what is durable: memory is never ahead of the disk for longer than
//! one batch, and a killed server loses no report that was acknowledged.
//!
//! [`Indicators`] owns what devices should not be in contact with: what is taught becomes durable, then detection judges by it,
//! then what devices reported before is looked through.
//!
//! What became durable is taken to the lake afterwards, exactly once.
//!
//! Nothing is judged here, no message is written here, no retry is timed here: `komainu-detect`, `komainu-intel` and
//! `komainu-respond` decide that.

mod encounters;
mod evaluator;
mod indicators;
mod lake;
mod maintenance;
mod outbox;
mod pipeline;
mod reports;
mod threads;

pub use indicators::Indicators;
pub use pipeline::{Pipeline, PipelineConfig, PipelinePorts, StartError};
