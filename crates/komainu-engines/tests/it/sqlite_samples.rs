//! The laboratory's samples in SQLite.

use std::cell::Cell;

use komainu_engines::SqliteSampleStore;
use komainu_ports::SampleLimits;
use komainu_ports::conformance_samples::{check_durable_sample_store, check_sample_store};

#[test]
fn is_a_store_of_samples() {
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    check_sample_store(&|limits| {
        count.set(count.get() + 1);
        Box::new(SqliteSampleStore::open(&folder.path().join(format!("{}.db", count.get())), limits).unwrap())
    });
}

#[test]
fn keeps_samples_over_reopening() {
    let folder = tempfile::tempdir().unwrap();
    check_durable_sample_store(&|limits| {
        Box::new(SqliteSampleStore::open(&folder.path().join("laboratory.db"), limits).unwrap())
    });
}

#[test]
fn leaves_the_files_of_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    drop(komainu_engines::SqliteSessionStore::open(&path).unwrap());
    let error = SqliteSampleStore::open(&path, SampleLimits::default()).unwrap_err();
    assert!(error.to_string().contains("it belongs to another program"), "{error}");
}
