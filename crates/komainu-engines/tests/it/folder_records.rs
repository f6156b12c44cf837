//! The records of sensors in a folder.

use std::cell::Cell;
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use komainu_engines::FolderRecords;
use komainu_model::{AccountId, Region, Scope, ThingName, Timestamp};
use komainu_ports::conformance_records::{check_durable_sensor_records, check_sensor_records};
use komainu_ports::{BatchKey, RecordsLimits, SensorKey, SensorRecords, SpoolEpoch};

use crate::killed::Writer;

#[test]
fn keeps_records() {
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    check_sensor_records(&|limits| {
        count.set(count.get() + 1);
        Box::new(FolderRecords::open(&folder.path().join(count.get().to_string()), limits).unwrap())
    });
}

#[test]
fn keeps_records_over_reopening() {
    let folder = tempfile::tempdir().unwrap();
    check_durable_sensor_records(&|limits| Box::new(FolderRecords::open(folder.path(), limits).unwrap()));
}

/// A file that version 1 wrote is found and holds what it held then.
#[test]
fn reads_what_version_1_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let epoch = folder.path().join("123456789012/eu-west-1/camera/0000000000000001");
    fs::create_dir_all(&epoch).unwrap();
    fs::write(epoch.join("removed"), "5 4 40\n").unwrap();
    fs::write(epoch.join("0000000005.2.ndjson"), LINES).unwrap();
    let records = FolderRecords::open(folder.path(), RecordsLimits::default()).unwrap();
    let totals = records.sensors().remove(0);
    assert_eq!((totals.batches, totals.lines, totals.batches_removed, totals.batches_missing), (1, 42, 4, 1));
    assert_eq!(records.read(&batch(5)).unwrap(), LINES);
}

#[test]
fn what_was_counted_as_removed_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let records = FolderRecords::open(folder.path(), RecordsLimits::default()).unwrap();
    for sequence in 0..3 {
        records.put(&batch(sequence), LINES, Timestamp::from_unix_seconds(1)).unwrap();
    }
    drop(records);
    // As it is when the process dies before the file is gone.
    let epoch = folder.path().join("123456789012/eu-west-1/camera/0000000000000001");
    fs::write(epoch.join("removed"), "1 1 2\n").unwrap();
    fs::write(epoch.join("0000000003.2.ndjson.1.1.new"), "{").unwrap();
    let records = FolderRecords::open(folder.path(), RecordsLimits::default()).unwrap();
    let totals = records.sensors().remove(0);
    assert_eq!((totals.batches, totals.lines, totals.batches_removed), (2, 6, 1));
    assert_eq!(fs::read_dir(&epoch).unwrap().count(), 3);
}

const LINES: &[u8] = b"{1}\n{2}\n";

fn batch(sequence: u64) -> BatchKey {
    let scope =
        Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-west-1").unwrap() };
    let sensor = SensorKey { scope, name: ThingName::parse("camera").unwrap() };
    BatchKey { sensor, epoch: SpoolEpoch::new(1), sequence }
}

/// Where the child of [`survives_kill`] writes.
const KILL_TEST_FOLDER: &str = "KOMAINU_KILL_TEST_RECORDS";
/// Rounds of killing.
const KILLS: u64 = 12;
/// Batches that are kept: few, so that removing is interrupted, too.
const BATCHES_MAX: u64 = 8;

fn limits() -> RecordsLimits {
    RecordsLimits { batches_max: BATCHES_MAX, ..RecordsLimits::default() }
}

/// Whatever the moment of its death, a process has kept every batch that it said it had, each as a whole and once.
#[test]
fn survives_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..KILLS {
        let writer = Writer {
            test: "folder_records::writes_until_it_is_killed",
            variable: KILL_TEST_FOLDER,
            place: folder.path(),
            word: "kept ",
            lines_min: 6,
        };
        let last = writer.kill(round);
        acknowledged += last.len();
        let records = FolderRecords::open(folder.path(), limits()).unwrap();
        let last = *last.last().unwrap();
        let kept: Vec<u64> = records.batches(&batch(0).sensor).iter().map(|batch| batch.key.sequence).collect();
        assert!(kept.contains(&last), "batch {last} was acknowledged and is not there: {kept:?}");
        for sequence in &kept {
            assert_eq!(records.read(&batch(*sequence)).unwrap(), lines(*sequence), "batch {sequence}");
        }
        let totals = records.sensors().remove(0);
        assert_eq!(totals.batches_missing, 0, "{totals:?}");
        assert_eq!(totals.lines, (kept.last().unwrap() + 1) * 2, "each batch is counted once: {totals:?}");
    }
    assert!(acknowledged > KILLS as usize, "the writers were killed before they wrote anything");
}

fn lines(sequence: u64) -> Vec<u8> {
    format!("{{\"batch\":{sequence}}}\n{{\"x\":\"{}\"}}\n", "x".repeat(20_000)).into_bytes()
}

/// The child of [`survives_kill`]; it says nothing and ends when it is not one.
#[test]
#[ignore = "started by survives_kill"]
fn writes_until_it_is_killed() {
    let Some(folder) = env::var_os(KILL_TEST_FOLDER).map(PathBuf::from) else { return };
    let records = FolderRecords::open(&folder, limits()).unwrap();
    let first = records.batches(&batch(0).sensor).last().map_or(0, |batch| batch.key.sequence + 1);
    for sequence in first.. {
        // Each comes twice, as from a sensor that did not hear the answer.
        for _ in 0..2 {
            records.put(&batch(sequence), &lines(sequence), Timestamp::from_unix_seconds(sequence as i64)).unwrap();
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nkept {sequence}").unwrap();
        out.flush().unwrap();
    }
}
