//! What every engine that keeps access keys does.

#![expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]

use komainu_model::{AccessKeyId, AccessKeyNote, AccessKeyStatus, Role, SecretKey};

use crate::{AccessKeyError, AccessKeys, ListedAccessKey};

/// Checks an engine without keys.
pub fn check_access_keys(keys: &dyn AccessKeys) {
    let note = |text: &str| AccessKeyNote::parse(text).unwrap();
    let listed = |id: &AccessKeyId| -> Option<ListedAccessKey> { keys.list().into_iter().find(|key| key.id == *id) };

    let made = keys.create(Role::Viewer, note("Grafana")).unwrap();
    let other = keys.create(Role::Admin, note("")).unwrap();
    assert_ne!((&made.id, made.secret.expose()), (&other.id, other.secret.expose()));
    let seen = listed(&made.id).unwrap();
    assert_eq!((seen.role, seen.note.as_str(), seen.status), (Role::Viewer, "Grafana", AccessKeyStatus::Active));

    let id = AccessKeyId::parse("OPERATOR12345678").unwrap();
    let secret = SecretKey::parse("a-secret-of-mine").unwrap();
    let mine = keys.create_as(id.clone(), secret.clone(), Role::Analyst, note("mine")).unwrap();
    assert_eq!((&mine.id, mine.secret.expose(), mine.role), (&id, "a-secret-of-mine", Role::Analyst));
    let again = keys.create_as(id.clone(), secret, Role::Admin, note("another"));
    assert!(matches!(again, Err(AccessKeyError::AlreadyExists { .. })), "{again:?}");
    let ids: Vec<_> = keys.list().into_iter().map(|key| key.id).collect();
    assert!(ids.is_sorted() && ids.len() == 3, "{ids:?}");

    assert!(matches!(keys.delete(&id), Err(AccessKeyError::StillActive { .. })));
    keys.revoke(&id).unwrap();
    keys.revoke(&id).unwrap();
    let seen = listed(&id).unwrap();
    assert_eq!((seen.status, seen.role), (AccessKeyStatus::Revoked, Role::Analyst));
    keys.delete(&id).unwrap();
    assert_eq!(listed(&id), None);
    assert!(matches!(keys.delete(&id), Err(AccessKeyError::NotFound { .. })));
    assert!(matches!(keys.revoke(&id), Err(AccessKeyError::NotFound { .. })));
}
