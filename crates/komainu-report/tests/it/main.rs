//! Reports as agents send them, and what becomes of them.
//!
//! `tests/reports/NAME.json` is a report, `NAME.out` what is read from it and answered. `KOMAINU_UPDATE_GOLDEN=1`
//! writes the `.out` files anew; read the difference before keeping it.

#![expect(clippy::unwrap_used, reason = "a failed expectation of a test ends it")]

mod cbor;
mod golden;
mod json;
