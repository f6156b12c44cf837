//! The shapes and the operations' tables, written by `cargo xtask codegen`.

#[allow(missing_docs, reason = "names and types of AWS's service model; AWS documents them")]
pub mod iot;
#[allow(missing_docs, reason = "names and types of AWS's service model; AWS documents them")]
pub mod iot_data;
#[allow(missing_docs, reason = "names and types of AWS's service model; AWS documents them")]
pub mod sns;
#[allow(missing_docs, reason = "names and types of AWS's service model; AWS documents them")]
pub mod sts;
