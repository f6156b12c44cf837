//! The engines against real files and real deaths.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod folder_captures;
mod folder_records;
mod killed;
mod sqlite_accounts;
mod sqlite_samples;
mod sqlite_store;
