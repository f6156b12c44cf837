//! The SQLite store.

use std::cell::Cell;
use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use komainu_engines::SqliteStore;
use komainu_model::{
    AccountId, Change, Datapoint, DeviceMetric, GroupName, Metric, MetricValue, Record, Region, ReporterName, Scope,
    ThingGroup, Timestamp,
};
use komainu_ports::conformance::{check_durable_store, check_store, describe_store, sample_batch};
use komainu_ports::conformance_indicators::{check_durable_indicator_store, check_indicator_store};
use komainu_ports::conformance_lake_feed::{check_durable_lake_feed, check_lake_feed};
use komainu_ports::{Store, StoreError};

use crate::killed::Writer;

#[test]
fn is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    check_store(&|| {
        count.set(count.get() + 1);
        Box::new(SqliteStore::open(&folder.path().join(format!("{}.db", count.get()))).unwrap())
    });
}

#[test]
fn keeps_everything_over_reopening() {
    let folder = tempfile::tempdir().unwrap();
    check_durable_store(&|| Box::new(SqliteStore::open(&folder.path().join("store.db")).unwrap()));
}

#[test]
fn keeps_indicators() {
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    check_indicator_store(&|| {
        count.set(count.get() + 1);
        SqliteStore::open(&folder.path().join(format!("{}.db", count.get()))).unwrap()
    });
    check_durable_indicator_store(&|| SqliteStore::open(&folder.path().join("durable.db")).unwrap());
}

#[test]
fn feeds_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    check_lake_feed(&|| {
        count.set(count.get() + 1);
        SqliteStore::open(&folder.path().join(format!("{}.db", count.get()))).unwrap()
    });
    check_durable_lake_feed(&|| SqliteStore::open(&folder.path().join("durable.db")).unwrap());
}

#[test]
fn is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    store.commit(&sample_batch()).unwrap();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn a_file_that_is_no_database_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(&path, "it was a database, long ago; ".repeat(100)).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error.to_string(), "stored database cannot be read: file is not a database");
}

#[test]
fn a_damaged_record_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    SqliteStore::open(&path).unwrap().commit(&sample_batch()).unwrap();
    let check = |damage: &str, expected: &str| {
        let copy = folder.path().join("copy.db");
        fs::copy(&path, &copy).unwrap();
        rusqlite::Connection::open(&copy).unwrap().execute_batch(damage).unwrap();
        let error = SqliteStore::open(&copy).unwrap().load().unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("UPDATE record SET body = '{}' WHERE kind = 'topic'", "stored topic cannot be read: missing field");
    check("UPDATE record SET kind = 'dragon' WHERE kind = 'topic'", "its kind \"dragon\" is not known");
    check("UPDATE record SET key = 'Other' WHERE kind = 'topic'", "stored as topic \"Other\"");
    check("UPDATE active_violation SET verification = 'maybe'", "verification state \"maybe\" is not known");
}

/// A file that version 1 wrote holds what it held then. When the model has changed, its new text is written with
/// `KOMAINU_UPDATE_EXPECTED=1` and read in review; the database is written once, when
/// it is not there.
#[test]
fn reads_what_version_1_wrote() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1");
    let is_updated = env::var_os("KOMAINU_UPDATE_EXPECTED").is_some();
    if is_updated && !data.join("store.db").exists() {
        let store = SqliteStore::open(&data.join("store.db")).unwrap();
        store.commit(&sample_batch()).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::copy(data.join("store.db"), &path).unwrap();
    let found = describe_store(&SqliteStore::open(&path).unwrap());
    let expected = data.join("store.txt");
    if is_updated {
        fs::write(&expected, &found).unwrap();
    }
    assert!(found == fs::read_to_string(&expected).unwrap(), "{} differs", expected.display());
}

/// Where the child of [`survives_kill`] writes.
const KILL_TEST_FILE: &str = "KOMAINU_KILL_TEST_FILE";
/// Rounds of killing.
const KILLS: u64 = 12;
/// Records of one batch.
const BATCH_RECORDS: u64 = 40;

/// Whatever the moment of its death, a process has written every batch that it said it had, and no part of another.
#[test]
fn survives_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut acknowledged_in_all = 0;
    for round in 0..KILLS {
        let writer = Writer {
            test: "sqlite_store::writes_until_it_is_killed",
            variable: KILL_TEST_FILE,
            place: &path,
            word: "committed ",
            lines_min: 3,
        };
        let acknowledged = writer.kill(round);
        acknowledged_in_all += acknowledged.len();
        let store = SqliteStore::open(&path).unwrap();
        for batch in acknowledged {
            assert_eq!(records_of(&store, batch), BATCH_RECORDS, "batch {batch} was acknowledged and is not there");
        }
        let batches = all_batches(&store);
        for (batch, records, datapoints) in batches {
            assert_eq!((records, datapoints), (BATCH_RECORDS, BATCH_RECORDS), "batch {batch} is there in part");
        }
    }
    assert!(acknowledged_in_all > KILLS as usize, "the writers were killed before they wrote anything");
}

/// The child of [`survives_kill`]; it says nothing and ends when it is not one.
#[test]
#[ignore = "started by survives_kill"]
fn writes_until_it_is_killed() {
    let Some(path) = env::var_os(KILL_TEST_FILE).map(PathBuf::from) else { return };
    let store = SqliteStore::open(&path).unwrap();
    let first = all_batches(&store).last().map_or(0, |(batch, ..)| batch + 1);
    for batch in first.. {
        store.commit(&numbered_batch(batch)).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "\ncommitted {batch}").unwrap();
        out.flush().unwrap();
    }
}

fn numbered_batch(batch: u64) -> Vec<Change> {
    let mut changes = Vec::new();
    for number in 0..BATCH_RECORDS {
        changes.push(Change::Put(
            scope(),
            Record::ThingGroup(ThingGroup {
                name: GroupName::parse(&format!("{batch:06}-{number}")).unwrap(),
                id: "id".into(),
                parent: None,
                description: Some("x".repeat(200)),
                attributes: Default::default(),
                version: batch,
                created_at: Timestamp::from_unix_millis(0),
            }),
        ));
        changes.push(Change::AppendDatapoint(scope(), datapoint(number, batch, batch as i64)));
    }
    changes
}

fn datapoint(device: u64, value: u64, at: i64) -> Datapoint {
    Datapoint {
        reporter: ReporterName::parse(&format!("device-{device}")).unwrap(),
        metric: Metric::Device(DeviceMetric::AllBytesOut),
        value: MetricValue::Count(value),
        at: Timestamp::from_unix_millis(at),
    }
}

fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("us-east-1").unwrap() }
}

fn records_of(store: &dyn Store, batch: u64) -> u64 {
    all_batches(store).into_iter().find(|(found, ..)| *found == batch).map_or(0, |(_, records, _)| records)
}

/// Every batch in rising order, with the number of its records and of its values.
fn all_batches(store: &dyn Store) -> Vec<(u64, u64, u64)> {
    let mut batches = std::collections::BTreeMap::<u64, (u64, u64)>::new();
    for (_, record) in store.load().unwrap() {
        let Record::ThingGroup(group) = record else { panic!("{record:?}") };
        batches.entry(group.version).or_default().0 += 1;
    }
    store
        .replay_datapoints(Timestamp::from_unix_millis(0), &mut |_, datapoint| {
            let MetricValue::Count(batch) = datapoint.value else { panic!("{datapoint:?}") };
            batches.entry(batch).or_default().1 += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    batches.into_iter().map(|(batch, (records, datapoints))| (batch, records, datapoints)).collect()
}
