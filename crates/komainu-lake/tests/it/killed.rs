//! A process that takes batches, writes files and merges them is killed again and again, wherever it is: what it said that it
//! took is there, and nothing is there twice.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use komainu_lake::{LakeLimits, ParquetLake};
use komainu_model::Timestamp;
use komainu_ports::{
    Lake, LakeAnswer, LakeBatchName, LakeListing, LakeOrder, LakeQuestion, LakeTable, TimeBucket, TimeRange,
};

use crate::some_attacks;

/// Says to the test's own program that it is the one that is to be killed.
const FOLDER: &str = "KOMAINU_LAKE_FOLDER";

/// So often it is killed.
const KILLS: u64 = 25;

/// Rows of a batch.
const ROWS: usize = 40;

#[test]
fn nothing_is_lost_and_nothing_doubled_when_it_is_killed() {
    if let Ok(folder) = std::env::var(FOLDER) {
        take_batches(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut told = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::nothing_is_lost_and_nothing_doubled_when_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It is killed after another number of batches each time, in the midst of what it does next.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let taken = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("taken ")?.parse::<u64>().ok());
        for sequence in taken.take(3 + (kill * 7 % 23) as usize) {
            told = told.max(sequence + 1);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        check(folder.path(), told);
    }
    assert!(told > KILLS * 3, "{told}");
}

/// Takes batches until it is killed, and says which it has taken.
fn take_batches(folder: &Path) -> ! {
    let limits = LakeLimits { hot_rows: 5 * ROWS, alike_parts: 3, ..LakeLimits::default() };
    let lake = ParquetLake::open(folder, limits).unwrap();
    let name = |sequence| LakeBatchName { stream: "killed".to_owned(), sequence };
    let new = (0..).find(|sequence| !lake.holds(&name(*sequence))).unwrap();
    // The last one comes once more, as a sensor would bring it that was not told.
    let mut sequence = u64::saturating_sub(new, 1);
    loop {
        lake.append(&name(sequence), &[some_attacks(sequence, ROWS)]).unwrap();
        println!("taken {sequence}");
        sequence += 1;
        lake.keep(Timestamp::from_unix_millis(0)).unwrap();
    }
}

fn check(folder: &Path, told: u64) {
    let lake = ParquetLake::open(folder, LakeLimits::default()).unwrap();
    let holds = |sequence| lake.holds(&LakeBatchName { stream: "killed".to_owned(), sequence });
    let batches = (0..).take_while(|sequence| holds(*sequence)).count() as u64;
    // One more may have been taken before it could say so.
    assert!(batches >= told, "{batches} of {told} are there");
    let rows = batches * ROWS as u64;
    let mut question = LakeQuestion {
        table: LakeTable::Attacks,
        range: TimeRange::ALL,
        filters: Vec::new(),
        bucket: Some(TimeBucket::Day),
        group_by: vec![2],
        distinct: None,
        top: None,
    };
    let ready = lake.count(&question).unwrap();
    assert!(ready.effort.from_rollups);
    question.distinct = Some(2);
    let counted = lake.count(&question).unwrap();
    assert!(!counted.effort.from_rollups);
    assert_eq!((ready.rows, counted.rows), (rows, rows), "of {batches} batches");
    let plain = |answer: &LakeAnswer| -> Vec<_> {
        answer.groups().map(|group| (group.bucket, group.values, group.count)).collect()
    };
    assert_eq!(plain(&ready), plain(&counted));
    // Each row of a batch has a time of its own.
    let listing = LakeListing {
        table: LakeTable::Attacks,
        range: TimeRange::ALL,
        filters: Vec::new(),
        order: LakeOrder::Oldest,
        limit: 1,
    };
    let mut times = Vec::new();
    lake.visit(&listing, &mut |rows| {
        times.extend_from_slice(rows.times());
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    times.sort_unstable();
    let expected: Vec<i64> = (0..batches).flat_map(|batch| some_attacks(batch, ROWS).times().to_vec()).collect();
    assert_eq!(times, expected);
}
