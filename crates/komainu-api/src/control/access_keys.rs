//! Operators' access keys. They belong to the account and open every region.

use komainu_model::{
    AccessKey, AccessKeyId, AccessKeyNote, AccessKeyStatus, Change, InvalidName, Record, RecordKey, Region, Role,
    Scope, SecretKey,
};
use komainu_ports::{ACCESS_KEYS_MAX, AccessKeyError, AccessKeys, ListedAccessKey};

use super::ControlPlane;

/// Access keys are no region's; they are stored under this one, which no AWS region is called.
const REGION: &str = "global";

impl AccessKeys for ControlPlane {
    fn list(&self) -> Vec<ListedAccessKey> {
        let used = self.access_keys_used.lock();
        let keys = &self.state.read().access_keys;
        keys.values().map(|key| ListedAccessKey::of(key, used.get(&key.id).copied())).collect()
    }

    fn create(&self, role: Role, note: AccessKeyNote) -> Result<AccessKey, AccessKeyError> {
        let id = AccessKeyId::parse(&random_id(&self.ids.secret()))?;
        let secret = SecretKey::parse(&random_secret(&self.ids.secret()))?;
        self.create_as(id, secret, role, note)
    }

    fn create_as(
        &self,
        id: AccessKeyId,
        secret: SecretKey,
        role: Role,
        note: AccessKeyNote,
    ) -> Result<AccessKey, AccessKeyError> {
        self.change(|state, now| {
            if state.access_keys.contains_key(&id) {
                return Err(AccessKeyError::AlreadyExists { id });
            }
            if state.access_keys.len() >= ACCESS_KEYS_MAX {
                return Err(AccessKeyError::TooMany);
            }
            let key = AccessKey { id, secret, role, note, status: AccessKeyStatus::Active, created_at: now };
            let change = Change::Put(self.access_key_scope()?, Record::AccessKey(key.clone()));
            Ok((key, vec![change]))
        })
    }

    fn revoke(&self, id: &AccessKeyId) -> Result<(), AccessKeyError> {
        self.change(|state, _| {
            let key = state.access_keys.get(id).ok_or_else(|| AccessKeyError::NotFound { id: id.clone() })?;
            let key = AccessKey { status: AccessKeyStatus::Revoked, ..key.clone() };
            Ok(((), vec![Change::Put(self.access_key_scope()?, Record::AccessKey(key))]))
        })
    }

    fn delete(&self, id: &AccessKeyId) -> Result<(), AccessKeyError> {
        self.change(|state, _| match state.access_keys.get(id).map(|key| key.status) {
            None => Err(AccessKeyError::NotFound { id: id.clone() }),
            Some(AccessKeyStatus::Active) => Err(AccessKeyError::StillActive { id: id.clone() }),
            Some(AccessKeyStatus::Revoked) => {
                let change = Change::Delete(self.access_key_scope()?, RecordKey::AccessKey(id.clone()));
                Ok(((), vec![change]))
            }
        })?;
        self.access_keys_used.lock().remove(id);
        Ok(())
    }
}

impl ControlPlane {
    /// The access key, whatever its status.
    pub fn access_key(&self, id: &AccessKeyId) -> Option<AccessKey> {
        self.state.read().access_keys.get(id).cloned()
    }

    /// Notes that a key of ours opened something. There are no more notes than keys.
    pub(crate) fn note_use_of_access_key(&self, id: &AccessKeyId) {
        self.access_keys_used.lock().insert(id.clone(), self.clock.now());
    }

    fn access_key_scope(&self) -> Result<Scope, InvalidName> {
        Ok(Scope { account: self.rules.account.clone(), region: Region::parse(REGION)? })
    }
}

/// `AKIA` and 16 letters and digits, as AWS's long-lived keys have: 80 random bits.
fn random_id(random: &[u8; 32]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte % 32)]);
    "AKIA".chars().chain(random[..16].iter().map(letter)).collect()
}

/// 40 letters, digits, `+` and `/`, as AWS's secrets have: 240 random bits.
fn random_secret(random: &[u8; 32]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(&random[..30])
}
