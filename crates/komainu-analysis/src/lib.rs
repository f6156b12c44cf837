//! What a sample does, in words, out of what its detonations and its static triage showed.
//!
//! In goes [`Evidence`]: what is known of the file, and of each run what the guest's kernel told and what the simulated
//! Internet saw. Out comes a [`Report`]: behaviours with their evidence, command and control, what is scanned and tried,
//! what survives a restart, how user and root differ, earlier samples that are alike, and one sentence for whoever makes
//! the product.
//!
//! The way there: [`fact`] writes everything down once, as flat records with named fields; [`c2`] judges the endpoints and
//! adds what it found as further facts; [`sigma`] asks rules about all facts ([`behaviour`] brings ours); [`report`] puts
//! it together and [`html`] makes a page of it.
//!
//! Everything of it was chosen by a sample: texts are escaped when they become facts, every list has a bound, and what did
//! not fit is counted in the report. Same evidence, same time, same report, byte for byte.
//!
//! Not here: running anything, reading files, formats of others (STIX is `komainu-stix`).

pub mod behaviour;
pub mod c2;
mod conduct;
pub mod evidence;
pub mod fact;
pub mod html;
pub mod report;
pub mod sigma;
pub mod similarity;
pub mod texts;
#[cfg(test)]
mod trace;
mod verdict;
mod yaml;

pub use behaviour::{RuleFile, RuleSet};
pub use evidence::Evidence;
pub use report::{Report, analyse};
