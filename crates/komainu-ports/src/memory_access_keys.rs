//! Access keys in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use komainu_model::{AccessKey, AccessKeyId, AccessKeyNote, AccessKeyStatus, Role, SecretKey, Timestamp};

use crate::{ACCESS_KEYS_MAX, AccessKeyError, AccessKeys, ListedAccessKey};

/// Access keys that nobody uses.
#[derive(Default)]
pub struct MemoryAccessKeys(Mutex<BTreeMap<AccessKeyId, AccessKey>>);

impl MemoryAccessKeys {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccessKeyId, AccessKey>> {
        // Each change is one insertion or removal, so that a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessKeys for MemoryAccessKeys {
    fn list(&self) -> Vec<ListedAccessKey> {
        self.lock().values().map(|key| ListedAccessKey::of(key, None)).collect()
    }

    fn create(&self, role: Role, note: AccessKeyNote) -> Result<AccessKey, AccessKeyError> {
        let number = self.lock().len();
        let id = AccessKeyId::parse(&format!("AKIAMEMORY{number:06}"))?;
        let secret = SecretKey::parse(&format!("secret/of/memory/{number:06}"))?;
        self.create_as(id, secret, role, note)
    }

    fn create_as(
        &self,
        id: AccessKeyId,
        secret: SecretKey,
        role: Role,
        note: AccessKeyNote,
    ) -> Result<AccessKey, AccessKeyError> {
        let mut keys = self.lock();
        if keys.contains_key(&id) {
            return Err(AccessKeyError::AlreadyExists { id });
        }
        if keys.len() >= ACCESS_KEYS_MAX {
            return Err(AccessKeyError::TooMany);
        }
        let created_at = Timestamp::from_unix_millis(0);
        let key = AccessKey { id, secret, role, note, status: AccessKeyStatus::Active, created_at };
        keys.insert(key.id.clone(), key.clone());
        Ok(key)
    }

    fn revoke(&self, id: &AccessKeyId) -> Result<(), AccessKeyError> {
        let mut keys = self.lock();
        let key = keys.get_mut(id).ok_or_else(|| AccessKeyError::NotFound { id: id.clone() })?;
        key.status = AccessKeyStatus::Revoked;
        Ok(())
    }

    fn delete(&self, id: &AccessKeyId) -> Result<(), AccessKeyError> {
        let mut keys = self.lock();
        match keys.get(id).map(|key| key.status) {
            None => Err(AccessKeyError::NotFound { id: id.clone() }),
            Some(AccessKeyStatus::Active) => Err(AccessKeyError::StillActive { id: id.clone() }),
            Some(AccessKeyStatus::Revoked) => {
                keys.remove(id);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance_access_keys::check_access_keys;

    #[test]
    fn are_access_keys() {
        check_access_keys(&MemoryAccessKeys::default());
    }
}
