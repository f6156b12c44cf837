//! Accounts in SQLite.

use std::cell::Cell;

use komainu_engines::SqliteAccountStore;
use komainu_ports::AccountLimits;
use komainu_ports::conformance_accounts::{check_account_store, check_durable_account_store};

#[test]
fn is_a_store_of_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    check_account_store(&|limits| {
        count.set(count.get() + 1);
        Box::new(SqliteAccountStore::open(&folder.path().join(format!("{}.db", count.get())), limits).unwrap())
    });
}

#[test]
fn keeps_accounts_over_reopening() {
    let folder = tempfile::tempdir().unwrap();
    check_durable_account_store(&|limits| {
        Box::new(SqliteAccountStore::open(&folder.path().join("accounts.db"), limits).unwrap())
    });
}

#[test]
fn leaves_the_files_of_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    drop(komainu_engines::SqliteSessionStore::open(&path).unwrap());
    let error = SqliteAccountStore::open(&path, AccountLimits::default()).unwrap_err();
    assert!(error.to_string().contains("it belongs to another program"), "{error}");
}
