//! The workers: reports and readings of the gateway into the detector, violations into alerts, alerts out of the door.
//!
//! In: metric reports (the gateway hands them over through `ReportSink`), the gateway's meters, and what is due in the
//! outbox. Out: values, events, violations and deliveries in the store; answers to devices; messages to people.
//!
//! What the detector decides about a batch of reports is made durable as one step before anything is answered. When
//! the store fails, the detector is built anew from what is durable: memory is never ahead of the disk for longer than
//! one batch, and a killed server loses no report that was acknowledged.
//!
//! Nothing is judged here, no message is written here, no retry is timed here: `komainu-detect` and `komainu-respond`
//! decide that.

mod evaluator;
mod maintenance;
mod outbox;
mod pipeline;
mod reports;

pub use pipeline::{Pipeline, PipelineConfig, PipelinePorts, StartError};
