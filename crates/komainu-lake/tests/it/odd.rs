//! What goes wrong outside: damaged files, somebody else on the folder, a disk that is full, a clock that jumps.

use std::fs;
use std::path::{Path, PathBuf};

use komainu_lake::{LakeLimits, ParquetLake};
use komainu_model::Timestamp;
use komainu_ports::{
    LAKE_TEXT_BYTES_MAX, Lake, LakeAppended, LakeBatchName, LakeError, LakeKind, LakeQuestion, LakeRows,
    LakeRowsBuilder, LakeTable, LakeValue, TimeBucket, TimeRange,
};

use crate::some_attacks;

fn name(sequence: u64) -> LakeBatchName {
    LakeBatchName { stream: "odd".to_owned(), sequence }
}

/// A question that files are read for.
fn question(range: TimeRange) -> LakeQuestion {
    LakeQuestion {
        table: LakeTable::Attacks,
        range,
        filters: Vec::new(),
        bucket: None,
        group_by: vec![1, 4],
        distinct: None,
        top: None,
    }
}

fn month(number: i64) -> TimeRange {
    TimeRange { from: TimeBucket::Month.start(number), to: TimeBucket::Month.start(number + 1) }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for month in fs::read_dir(folder.join("attacks")).unwrap() {
        files.extend(fs::read_dir(month.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
    }
    files.sort();
    files
}

/// A lake with a file in each of two months; which those are.
fn two_months(folder: &Path) -> (i64, i64) {
    let lake = ParquetLake::open(folder, LakeLimits::default()).unwrap();
    lake.append(&name(0), &[some_attacks(0, 100)]).unwrap();
    // Batches are a minute apart.
    lake.append(&name(1), &[some_attacks(100_000, 100)]).unwrap();
    lake.keep_all(Timestamp::from_unix_millis(0)).unwrap();
    let of = |batch| TimeBucket::Month.number(Timestamp::from_unix_millis(some_attacks(batch, 1).times()[0]));
    (of(0), of(100_000))
}

#[test]
fn a_damaged_file_is_told_and_the_rest_answers() {
    let check = |damage: &dyn Fn(&Path), expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (first, last) = two_months(folder.path());
        damage(&files(folder.path())[0]);
        let lake = ParquetLake::open(folder.path(), LakeLimits::default()).unwrap();
        match lake.count(&question(month(first))) {
            Err(LakeError::Damaged { part, problem }) => {
                assert!(part.starts_with("attacks/month=") && problem.contains(expected), "{part}: {problem}");
            }
            seen => panic!("{expected}: {seen:?}"),
        }
        assert_eq!(lake.count(&question(month(last))).unwrap().rows, 100, "{expected}");
        assert_eq!(lake.append(&name(2), &[some_attacks(100_001, 10)]).unwrap(), LakeAppended::New);
    };
    check(&|path| fs::remove_file(path).unwrap(), "No such file");
    check(&|path| fs::write(path, "PAR1").unwrap(), "it has 4 bytes instead of");
    // The length of the layout stands before the last four bytes.
    let layout = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() - 5;
        bytes[at] ^= 0xff;
        fs::write(path, bytes).unwrap();
    };
    check(&layout, "");
}

/// Whatever byte of a file is another: an answer, which may be wrong when it is a value that still makes sense, or an error,
/// and nothing worse.
#[test]
fn no_damage_to_a_file_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = two_months(folder.path());
    let path = files(folder.path()).remove(0);
    let bytes = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(7) {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            fs::write(&path, &damaged).unwrap();
            let lake = ParquetLake::open_to_read(folder.path()).unwrap().unwrap();
            refused += u32::from(lake.count(&question(month(first))).is_err());
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_folder_has_one_writer_and_many_readers() {
    let folder = tempfile::tempdir().unwrap();
    let lake = ParquetLake::open(folder.path(), LakeLimits::default()).unwrap();
    lake.append(&name(0), &[some_attacks(0, 100)]).unwrap();
    match ParquetLake::open(folder.path(), LakeLimits::default()) {
        Err(LakeError::Unavailable { source, .. }) => {
            assert!(source.to_string().contains("another process"), "{source}")
        }
        seen => panic!("{seen:?}"),
    }
    let reader = ParquetLake::open_to_read(folder.path()).unwrap().unwrap();
    assert_eq!(reader.count(&question(TimeRange::ALL)).unwrap().rows, 100);
    // What happens afterwards does not disturb a reader.
    for sequence in 1..8 {
        lake.append(&name(sequence), &[some_attacks(sequence, 100)]).unwrap();
        lake.keep_all(Timestamp::from_unix_millis(0)).unwrap();
    }
    assert_eq!(reader.count(&question(TimeRange::ALL)).unwrap().rows, 100);
    match reader.append(&name(9), &[some_attacks(9, 1)]) {
        Err(LakeError::Unavailable { source, .. }) => assert!(source.to_string().contains("reading"), "{source}"),
        seen => panic!("{seen:?}"),
    }
    assert_eq!(
        ParquetLake::open_to_read(folder.path()).unwrap().unwrap().count(&question(TimeRange::ALL)).unwrap().rows,
        800
    );
    assert!(ParquetLake::open_to_read(&folder.path().join("nothing")).unwrap().is_none());
}

/// Other programs list the files while months are merged: each time they see every row once.
#[test]
fn the_files_of_a_month_are_whole_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let limits = LakeLimits { alike_parts: 2, ..LakeLimits::default() };
    let lake = ParquetLake::open(folder.path(), limits).unwrap();
    for sequence in 0..20 {
        lake.append(&name(sequence), &[some_attacks(sequence, 10)]).unwrap();
        lake.keep_all(Timestamp::from_unix_millis(0)).unwrap();
        let known = lake.state().unwrap()[0].parts;
        assert_eq!(files(folder.path()).len() as u64, known, "after {sequence}");
        assert!(fs::read_dir(folder.path().join("new")).unwrap().next().is_none(), "after {sequence}");
    }
    assert!(files(folder.path()).len() < 10);
}

#[test]
fn rows_of_any_time_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let lake = ParquetLake::open(folder.path(), LakeLimits::default()).unwrap();
    // A clock that stands at 1970, and one that is a century ahead.
    for (sequence, batch) in [(0, 1_000_000), (1, 0), (2, 60_000_000)] {
        lake.append(&name(sequence), &[some_attacks(batch, 10)]).unwrap();
        lake.keep_all(Timestamp::from_unix_millis(0)).unwrap();
    }
    assert_eq!(lake.count(&question(TimeRange::ALL)).unwrap().rows, 30);
    assert_eq!(lake.state().unwrap()[0].parts, 3);
}

/// What cannot be written is not taken, and is taken when it can.
#[test]
fn a_disk_that_is_full_costs_nothing_that_was_taken() {
    let folder = tempfile::tempdir().unwrap();
    let lake = ParquetLake::open(folder.path(), LakeLimits::default()).unwrap();
    lake.append(&name(0), &[some_attacks(0, 100)]).unwrap();
    // A folder that is gone is like a disk on which no file can be made.
    let new = folder.path().join("new");
    fs::remove_dir(&new).unwrap();
    match lake.keep_all(Timestamp::from_unix_millis(0)) {
        Err(LakeError::Unavailable { doing, .. }) => assert_eq!(doing, "writing a part"),
        seen => panic!("{seen:?}"),
    }
    match lake.append(&name(1), &[some_attacks(1, 200_000)]) {
        Err(LakeError::Unavailable { doing, .. }) => assert_eq!(doing, "writing a part"),
        seen => panic!("{seen:?}"),
    }
    assert_eq!(lake.count(&question(TimeRange::ALL)).unwrap().rows, 100);
    assert_eq!(lake.append(&name(2), &[some_attacks(2, 100)]).unwrap(), LakeAppended::New);
    fs::create_dir(&new).unwrap();
    assert_eq!(lake.append(&name(1), &[some_attacks(1, 200_000)]).unwrap(), LakeAppended::New);
    lake.keep_all(Timestamp::from_unix_millis(0)).unwrap();
    assert_eq!(lake.count(&question(TimeRange::ALL)).unwrap().rows, 200_200);
}

/// A file that is written and cannot be put to its place counts all the same, once, and is placed when that is possible.
#[test]
fn a_file_that_cannot_be_placed_is_placed_later() {
    let folder = tempfile::tempdir().unwrap();
    let limits = LakeLimits { alike_parts: 2, ..LakeLimits::default() };
    let lake = ParquetLake::open(folder.path(), limits).unwrap();
    let keep = || lake.keep_all(Timestamp::from_unix_millis(0));
    lake.append(&name(0), &[some_attacks(0, 100)]).unwrap();
    // A file is where the folder of all months should be.
    let attacks = folder.path().join("attacks");
    fs::remove_dir(&attacks).unwrap();
    fs::write(&attacks, "").unwrap();
    keep().unwrap();
    assert_eq!(lake.count(&question(TimeRange::ALL)).unwrap().rows, 100);
    keep().unwrap_err();
    lake.append(&name(1), &[some_attacks(1, 200_000)]).unwrap();
    assert_eq!(lake.count(&question(TimeRange::ALL)).unwrap().rows, 200_100);
    fs::remove_file(&attacks).unwrap();
    fs::create_dir(&attacks).unwrap();
    keep().unwrap();
    assert_eq!(lake.count(&question(TimeRange::ALL)).unwrap().rows, 200_100);
    assert_eq!(files(folder.path()).len() as u64, lake.state().unwrap()[0].parts);
    drop(lake);
    let lake = ParquetLake::open(folder.path(), limits).unwrap();
    assert_eq!(lake.count(&question(TimeRange::ALL)).unwrap().rows, 200_100);
}

/// Observables that are each as long as one may be, and different.
fn long_observables(first: usize, rows: usize) -> LakeRows {
    let table = LakeTable::Observables;
    let mut builder = LakeRowsBuilder::new(table);
    for row in first..first + rows {
        let values: Vec<LakeValue> = table
            .columns()
            .iter()
            .map(|column| match (column.kind, column.name) {
                (LakeKind::Time, _) => LakeValue::Time(Timestamp::from_unix_millis(row as i64)),
                (LakeKind::Text, "value") => LakeValue::text(&format!("{row:0LAKE_TEXT_BYTES_MAX$}")),
                (LakeKind::Text, _) => LakeValue::text("x"),
                (LakeKind::Number, _) => LakeValue::Number(1),
                (LakeKind::Float, _) => LakeValue::Float(1.0),
            })
            .collect();
        builder.push(&values);
    }
    builder.finish()
}

#[test]
fn long_texts_leave_memory_before_they_are_many() {
    let folder = tempfile::tempdir().unwrap();
    let limits = LakeLimits { hot_bytes: 1 << 20, hot_bytes_max: 2 << 20, ..LakeLimits::default() };
    let lake = ParquetLake::open(folder.path(), limits).unwrap();
    let state = || {
        let state = lake.state().unwrap().into_iter().find(|state| state.table == LakeTable::Observables).unwrap();
        (state.rows, state.hot_rows)
    };
    let take = |number: usize| lake.append(&name(number as u64), &[long_observables(number * 200, 200)]).unwrap();
    take(0);
    lake.keep(Timestamp::from_unix_millis(0)).unwrap();
    assert_eq!(state(), (200, 200), "less than enough for a file");
    take(1);
    lake.keep(Timestamp::from_unix_millis(0)).unwrap();
    assert_eq!(state(), (400, 0), "enough");
    (2..6).for_each(|number| assert_eq!(take(number), LakeAppended::New));
    assert_eq!(state(), (1_200, 200), "too many to wait for upkeep");
}
