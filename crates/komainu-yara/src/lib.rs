//! YARA's rules about payloads: what strangers left behind, asked by the rules of YARA-X.
//!
//! In: an operator's files of rules beside those that are built in ([`RuleFiles`]), then payloads. Out: for each file which
//! rules are taken and why others are not ([`Taken`]), and for each payload the rules that hold, as the port
//! [`PayloadScanner`](komainu_ports::PayloadScanner) has it.
//!
//! A payload is a sample, so the rules are compiled and asked in a process of its own ([`ScannerProcess`] drives it,
//! [`run_scanner`] is it): it can open no file and no connection, its memory and its time are bounded, and whatever a
//! payload does to it, the sensor goes on. YARA-X runs conditions with its interpreter: no memory of the process is
//! both writable and executable, nor becomes executable later.
//!
//! Not here: which payloads are scanned, when, and how what was found is written down.

mod builtin;
mod engine;
mod files;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod limits;
mod message;
mod process;

pub use builtin::BUILT_IN_NAMESPACE;
pub use engine::{Engine, Refused, Taken};
pub use files::{RuleFile, RuleFiles, RuleFilesError};
pub use limits::SCAN_BYTES_MAX;
pub use process::{RunScannerError, ScannerProcess, run_scanner};
