//! The lake against what every lake must do, in each of its states.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod killed;
mod odd;

use std::sync::Arc;

use komainu_lake::{LakeLimits, ParquetLake};
use komainu_model::Timestamp;
use komainu_ports::conformance_lake::{check_durable_lake, check_lake};
use komainu_ports::{
    Lake, LakeAnswer, LakeAppended, LakeBatchName, LakeError, LakeListing, LakeQuestion, LakeRows, LakeRowsBuilder,
    LakeTable, LakeTableState, LakeValue,
};

#[test]
fn rows_in_no_file_are_a_lake() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    check_lake(&mut || {
        number += 1;
        Arc::new(ParquetLake::open(&folder.path().join(number.to_string()), LakeLimits::default()).unwrap())
    });
}

#[test]
fn rows_in_files_are_a_lake() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    check_lake(&mut || {
        number += 1;
        let limits = LakeLimits { alike_parts: 3, ..LakeLimits::default() };
        let lake = ParquetLake::open(&folder.path().join(number.to_string()), limits).unwrap();
        Arc::new(Diligent(lake))
    });
}

#[test]
fn what_was_taken_is_there_after_closing_and_opening() {
    for is_diligent in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        check_durable_lake(&mut || {
            let lake = ParquetLake::open(folder.path(), LakeLimits::default()).unwrap();
            if is_diligent { Arc::new(Diligent(lake)) } else { Arc::new(lake) }
        });
    }
}

/// A lake that writes every batch to files at once, and merges them.
struct Diligent(ParquetLake);

impl Lake for Diligent {
    fn append(&self, name: &LakeBatchName, rows: &[LakeRows]) -> Result<LakeAppended, LakeError> {
        let appended = self.0.append(name, rows)?;
        self.0.keep_all(Timestamp::from_unix_millis(0))?;
        Ok(appended)
    }

    fn holds(&self, name: &LakeBatchName) -> bool {
        self.0.holds(name)
    }

    fn count(&self, question: &LakeQuestion) -> Result<LakeAnswer, LakeError> {
        self.0.count(question)
    }

    fn list(&self, listing: &LakeListing) -> Result<LakeRows, LakeError> {
        self.0.list(listing)
    }

    fn visit(
        &self,
        listing: &LakeListing,
        visit: &mut dyn FnMut(LakeRows) -> std::ops::ControlFlow<()>,
    ) -> Result<(), LakeError> {
        self.0.visit(listing, visit)
    }

    fn state(&self) -> Result<Vec<LakeTableState>, LakeError> {
        self.0.state()
    }

    fn retain(&self, before: Timestamp) -> Result<u64, LakeError> {
        self.0.retain(before)
    }
}

/// Rows of a batch: the `number`th minute since 1 September 2026, one each millisecond.
fn some_attacks(number: u64, rows: usize) -> LakeRows {
    let begin = 1_788_220_800_000 + number as i64 * 60_000;
    let mut builder = LakeRowsBuilder::new(LakeTable::Attacks);
    for row in 0..rows as u64 {
        let text = |text: &str| LakeValue::text(text);
        builder.push(&[
            LakeValue::Time(Timestamp::from_unix_millis(begin + row as i64)),
            text(&format!("192.0.2.{}", (number * 7 + row) % 250)),
            text(["CN", "US", "JP"][(row % 3) as usize]),
            LakeValue::Number(64_496),
            text(["tokyo", "taipei"][(row % 2) as usize]),
            text("camera"),
            text("Example C1"),
            text(["telnet", "http"][(row % 2) as usize]),
            text("tcp"),
            LakeValue::Number([23, 80][(row % 2) as usize]),
            text("scan"),
            text("released"),
        ]);
    }
    builder.finish()
}
