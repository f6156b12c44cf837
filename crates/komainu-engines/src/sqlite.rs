//! SQLite, embedded: one file, one writer, readers beside it.
//!
//! Every connection uses the write-ahead log with `synchronous = FULL`, so that what was committed survives the loss
//! of power, and readers see the latest commit without waiting for the writer.

mod accounts;
mod batch;
mod feed;
mod indicators;
mod samples;
mod schema;
mod session;
mod store;
mod token;
mod writer;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use komainu_ports::StoreError;
use rusqlite::{Connection, ErrorCode};

pub use accounts::SqliteAccountStore;
pub use samples::SqliteSampleStore;
pub use session::SqliteSessionStore;
pub use store::SqliteStore;

/// How long a statement waits for a lock that somebody else holds: a backup, or an operator's own `sqlite3`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The log is cut back to this size after it was carried over to the database, in bytes.
const LOG_BYTES_KEPT: i64 = 64 << 20;

/// Statements that each connection keeps prepared; more than any store of ours has.
const STATEMENTS_KEPT: usize = 64;

/// Opens a database for reading and writing and makes it when it is not there, for its owner only.
fn open_connection(path: &Path) -> Result<Connection, StoreError> {
    let doing = "opening the database";
    // SQLite gives its log the permissions of the database.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::Unavailable { doing, source: source.into() })?;
    let connection = Connection::open(path).map_err(failed(doing))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed(doing))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let set = |pragma: &str, value: &dyn rusqlite::ToSql| connection.pragma_update(None, pragma, value);
    set("journal_mode", &"wal").map_err(failed(doing))?;
    set("synchronous", &"full").map_err(failed(doing))?;
    set("journal_size_limit", &LOG_BYTES_KEPT).map_err(failed(doing))?;
    Ok(connection)
}

/// Opens a database that exists for reading.
fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = open_connection(path)?;
    connection.pragma_update(None, "query_only", true).map_err(failed("opening the database"))?;
    Ok(connection)
}

/// What a failure of SQLite means for the caller, who was `doing` something.
fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { what: "database", reason: error.to_string() }
        }
        _ => StoreError::Unavailable { doing, source: error.into() },
    }
}
