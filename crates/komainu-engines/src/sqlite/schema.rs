//! The tables, and how a file of an earlier version becomes one of this version.

use komainu_ports::StoreError;
use rusqlite::{Connection, TransactionBehavior};

use super::failed;

/// Says in the file whose it is: `KMNU`.
const APPLICATION_ID: i32 = 0x4b4d_4e55;

/// The steps from an empty file to this version; step `n` leads to `user_version` `n + 1`. A released step is never
/// changed.
const STEPS: [&str; 4] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4];

/// The order of the columns in the keys is the order in which the port lists.
///
/// `datapoint` is kept twice, by time for replay and removal and by series for listing. Both are trees of the whole
/// row, so that neither needs the other: values are a few bytes, and a lookup per row would cost more than they do.
const VERSION_1: &str = "
    CREATE TABLE record (
        account TEXT NOT NULL,
        region  TEXT NOT NULL,
        kind    TEXT NOT NULL,
        key     TEXT NOT NULL,
        body    TEXT NOT NULL,
        PRIMARY KEY (account, region, kind, key)
    ) STRICT;

    CREATE TABLE active_violation (
        account      TEXT NOT NULL,
        region       TEXT NOT NULL,
        violation    TEXT NOT NULL,
        started_at   INTEGER NOT NULL,
        reporter     TEXT NOT NULL,
        profile      TEXT NOT NULL,
        criteria     TEXT,
        suppressed   INTEGER NOT NULL,
        verification TEXT NOT NULL,
        verification_description TEXT,
        body         TEXT NOT NULL,
        PRIMARY KEY (account, region, violation)
    ) STRICT;
    CREATE INDEX active_violation_started ON active_violation (account, region, started_at, violation);

    CREATE TABLE violation_event (
        account      TEXT NOT NULL,
        region       TEXT NOT NULL,
        at           INTEGER NOT NULL,
        violation    TEXT NOT NULL,
        step         INTEGER NOT NULL,
        reporter     TEXT NOT NULL,
        profile      TEXT NOT NULL,
        criteria     TEXT,
        suppressed   INTEGER NOT NULL,
        verification TEXT NOT NULL,
        verification_description TEXT,
        body         TEXT NOT NULL,
        PRIMARY KEY (account, region, at, violation, step)
    ) STRICT;
    CREATE INDEX violation_event_violation ON violation_event (account, region, violation);
    CREATE INDEX violation_event_reporter ON violation_event (account, region, reporter, at, violation, step);
    CREATE INDEX violation_event_at ON violation_event (at);

    CREATE TABLE series (
        id       INTEGER PRIMARY KEY,
        account  TEXT NOT NULL,
        region   TEXT NOT NULL,
        reporter TEXT NOT NULL,
        metric   TEXT NOT NULL,
        UNIQUE (account, region, reporter, metric)
    ) STRICT;
    CREATE TABLE datapoint (
        at     INTEGER NOT NULL,
        series INTEGER NOT NULL,
        value  BLOB NOT NULL,
        PRIMARY KEY (at, series, value)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX datapoint_series ON datapoint (series, at, value);

    CREATE TABLE delivery (
        id         TEXT PRIMARY KEY NOT NULL,
        due_at     INTEGER,
        dead_at    INTEGER,
        created_at INTEGER NOT NULL,
        body       TEXT NOT NULL,
        CHECK ((due_at IS NULL) <> (dead_at IS NULL))
    ) STRICT;
    CREATE INDEX delivery_due ON delivery (due_at, created_at, id) WHERE due_at IS NOT NULL;
    CREATE INDEX delivery_dead ON delivery (dead_at) WHERE dead_at IS NOT NULL;
";

/// Indicators and what devices said of whom they were in contact with.
///
/// `contact` is written with every report, so that it has no index by time: an update of a known one changes one row of one
/// tree. It is looked through device by device when old ones are removed.
const VERSION_2: &str = "
    CREATE TABLE indicator (
        id          BLOB PRIMARY KEY NOT NULL,
        value       TEXT NOT NULL,
        state       TEXT NOT NULL,
        valid_until INTEGER NOT NULL,
        look_back   INTEGER NOT NULL,
        body        TEXT NOT NULL
    ) STRICT;
    CREATE INDEX indicator_over ON indicator (valid_until, id) WHERE state = 'active';
    CREATE INDEX indicator_look_back ON indicator (id) WHERE look_back = 1 AND state = 'active';

    CREATE TABLE refused_candidate (
        id   BLOB PRIMARY KEY NOT NULL,
        at   INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX refused_candidate_at ON refused_candidate (at, id);

    CREATE TABLE device (
        id       INTEGER PRIMARY KEY,
        account  TEXT NOT NULL,
        region   TEXT NOT NULL,
        reporter TEXT NOT NULL,
        contacts INTEGER NOT NULL,
        UNIQUE (account, region, reporter)
    ) STRICT;
    CREATE TABLE contact (
        device   INTEGER NOT NULL,
        remote   TEXT NOT NULL,
        port     INTEGER NOT NULL,
        first_at INTEGER NOT NULL,
        last_at  INTEGER NOT NULL,
        count    INTEGER NOT NULL,
        PRIMARY KEY (device, remote, port)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX contact_remote ON contact (remote, port, device);

    CREATE TABLE sighting (
        account   TEXT NOT NULL,
        region    TEXT NOT NULL,
        reporter  TEXT NOT NULL,
        indicator BLOB NOT NULL,
        remote    TEXT NOT NULL,
        way       TEXT NOT NULL,
        first_at  INTEGER NOT NULL,
        last_at   INTEGER NOT NULL,
        count     INTEGER NOT NULL,
        PRIMARY KEY (account, region, reporter, indicator)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sighting_last ON sighting (last_at, account, region, reporter, indicator);
    CREATE INDEX sighting_indicator ON sighting (indicator, last_at);
";

/// What the lake has not taken yet, a body for each batch that was committed, and how much of that was lost.
///
/// `life` tells apart what was written after the file was opened each time: a number may come again when the file was restored
/// from a copy, and both together never do.
const VERSION_3: &str = "
    CREATE TABLE lake_feed (
        number  INTEGER PRIMARY KEY,
        life    INTEGER NOT NULL,
        entries INTEGER NOT NULL,
        body    BLOB NOT NULL
    ) STRICT;
    CREATE TABLE lake_feed_lost (
        entries INTEGER NOT NULL
    ) STRICT;
    INSERT INTO lake_feed_lost (entries) VALUES (0);
";

/// Deliveries by the topic that they are of, for people who look what became of messages.
const VERSION_4: &str = "
    CREATE INDEX delivery_topic ON delivery (json_extract(body, '$.notification.topic'), created_at, id);
";

/// Brings the file to this version. A file of a newer version, or of another program, is refused and not touched.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let doing = "preparing the database";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(doing))?;
    let number = |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let version = number("user_version").map_err(failed(doing))?;
    let application = number("application_id").map_err(failed(doing))?;
    let is_empty = transaction
        .query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get::<_, bool>(0))
        .map_err(failed(doing))?;
    let damaged = |reason| Err(StoreError::Damaged { what: "database", reason });
    if application != APPLICATION_ID && !is_empty {
        return damaged("it belongs to another program".to_owned());
    }
    let known = STEPS.len();
    let steps = match usize::try_from(version).ok().and_then(|done| STEPS.get(done..)) {
        Some(steps) => steps,
        None => {
            return damaged(format!(
                "it was written by a newer komainu: it has version {version}, this program knows versions up to {known}"
            ));
        }
    };
    for step in steps {
        transaction.execute_batch(step).map_err(failed(doing))?;
    }
    if !steps.is_empty() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed(doing))?;
        transaction.pragma_update(None, "user_version", known as i64).map_err(failed(doing))?;
    }
    transaction.commit().map_err(failed(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i32 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn prepares_an_empty_file_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(version(&connection), STEPS.len() as i32);
        migrate(&mut connection).unwrap();
        assert_eq!(version(&connection), STEPS.len() as i32);
    }

    #[test]
    fn refuses_a_newer_version_and_leaves_it_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 7).unwrap();
        let error = migrate(&mut connection).unwrap_err();
        assert_eq!(
            error.to_string(),
            "stored database cannot be read: it was written by a newer komainu: it has version 7, \
             this program knows versions up to 4"
        );
        assert_eq!(version(&connection), 7);
    }

    #[test]
    fn refuses_the_file_of_another_program() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
        let error = migrate(&mut connection).unwrap_err();
        assert_eq!(error.to_string(), "stored database cannot be read: it belongs to another program");
        assert_eq!(version(&connection), 0);
    }
}
