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
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

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

/// The tables of a file.
struct Tables {
    /// Says in the file whose it is.
    application_id: i32,
    /// The steps from an empty file to this version; step `n` leads to `user_version` `n + 1`. A released step is never
    /// changed.
    steps: &'static [&'static str],
    /// What the file is called in errors.
    database: &'static str,
    /// What is being done when it cannot be.
    doing: &'static str,
}

/// Makes the tables of a file that is empty, and brings those of an earlier version to this one, all in one transaction. A
/// file of a later version, or of another program, is refused and not touched.
fn prepare_tables(connection: &mut Connection, wanted: &Tables) -> Result<(), StoreError> {
    let Tables { application_id, steps, database, doing } = *wanted;
    let version = i32::try_from(steps.len()).expect("steps are written by hand");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(doing))?;
    let number =
        |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(failed(doing));
    let damaged = |reason| Err(StoreError::Damaged { what: database, reason });
    let done = match (number("application_id")?, number("user_version")?) {
        found if found == (application_id, version) => return Ok(()),
        (0, 0) => 0,
        (known, earlier) if known == application_id && (1..version).contains(&earlier) => {
            usize::try_from(earlier).expect("it is at least 1")
        }
        (known, later) if known == application_id => {
            return damaged(format!("its tables have version {later}, this program knows version {version}"));
        }
        _ => return damaged("it belongs to another program".to_owned()),
    };
    for step in &steps[done..] {
        transaction.execute_batch(step).map_err(failed(doing))?;
    }
    transaction.pragma_update(None, "application_id", application_id).map_err(failed(doing))?;
    transaction.pragma_update(None, "user_version", version).map_err(failed(doing))?;
    transaction.commit().map_err(failed(doing))
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
