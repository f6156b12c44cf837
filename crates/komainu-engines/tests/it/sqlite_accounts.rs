//! Accounts in SQLite.

use std::cell::Cell;
use std::path::Path;

use komainu_engines::SqliteAccountStore;
use komainu_model::{Language, OperatorName, Role, Timestamp};
use komainu_ports::conformance_accounts::{check_account_store, check_durable_account_store};
use komainu_ports::{
    AccountLimits, AccountStore, Actor, AuditAction, AuditEntry, AuditOutcome, Credential, NewSession, Newcomer,
    OperatorState, ProviderIdentity, TokenDigest,
};

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

/// A file that version 1 wrote (`komainu serve` with three operators, of whom one is disabled and one uses codes, a link that
/// waits and two sessions) holds what it held then, and takes what came with version 2.
#[test]
fn reads_what_version_1_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/accounts-v1/accounts.db"), &path).unwrap();
    let open = || SqliteAccountStore::open(&path, AccountLimits::default()).unwrap();
    let store = open();
    let now = Timestamp::from_unix_millis(1_795_755_407_000);
    let seen = store.operators().unwrap().into_iter().map(|operator| {
        let password = operator.credential.password().unwrap().expose().starts_with("$argon2id$");
        (operator.name.to_string(), operator.role, operator.state, operator.totp.is_some(), operator.language, password)
    });
    let seen: Vec<_> = seen.collect();
    let (enabled, disabled) = (OperatorState::Enabled, OperatorState::Disabled);
    let expected = [
        ("aiko".to_owned(), Role::Admin, enabled, true, None, true),
        ("ken".to_owned(), Role::Analyst, enabled, false, Some(Language::Japanese), true),
        ("mei@example.com".to_owned(), Role::Viewer, disabled, false, None, true),
    ];
    assert_eq!(seen, expected);
    assert_eq!(store.links(now).unwrap().len(), 1);
    let aiko = OperatorName::parse("aiko").unwrap();
    assert_eq!(store.sessions(&aiko, now).unwrap().len(), 1);
    assert_eq!(store.audit(None, 100).unwrap().len(), 14);
    let line = AuditEntry {
        at: now,
        actor: Actor::Provider,
        address: None,
        action: AuditAction::Welcome,
        subject: "yui viewer".to_owned(),
        outcome: AuditOutcome::Done,
    };
    let identity = ProviderIdentity { issuer: "https://id.example".to_owned(), subject: "7".to_owned() };
    let name = OperatorName::parse("yui").unwrap();
    store.admit(&Newcomer { identity: identity.clone(), name: name.clone(), role: Role::Viewer }, &line).unwrap();
    // Whoever signed in with a password before still does.
    let ken = store.operator(&OperatorName::parse("ken").unwrap()).unwrap().unwrap();
    let session = NewSession {
        token: TokenDigest::from_sha256([1; 32]),
        operator: ken.name,
        credential: ken.credential,
        totp_step: None,
        address: "192.0.2.7".parse().unwrap(),
        agent: String::new(),
    };
    store.begin_session(&session, &AuditEntry { action: AuditAction::SignIn, ..line }).unwrap();
    drop(store);
    let yui = open().operator_of(&identity).unwrap().unwrap();
    assert_eq!((yui.name, yui.credential), (name, Credential::Provider(identity)));
}
