//! Operators' access keys. They belong to the account and open every region.

use komainu_model::{AccessKey, AccessKeyId, AccessKeyStatus, Change, InvalidName, Record, Region, Scope, SecretKey};
use komainu_ports::StoreError;

use super::ControlPlane;

/// So many access keys are kept, revoked ones included.
const ACCESS_KEYS_MAX: usize = 1000;

/// Access keys are no region's; they are stored under this one, which no AWS region is called.
const REGION: &str = "global";

/// Why an access key was not made or not revoked.
#[derive(Debug, thiserror::Error)]
pub enum AccessKeyError {
    /// It is there already.
    #[error("access key {id} already exists")]
    AlreadyExists {
        /// The key.
        id: AccessKeyId,
    },
    /// It is not there.
    #[error("access key {id} does not exist")]
    NotFound {
        /// The key.
        id: AccessKeyId,
    },
    /// There would be too many.
    #[error("at most {ACCESS_KEYS_MAX} access keys are kept")]
    TooMany,
    /// The id or the secret is not acceptable.
    #[error(transparent)]
    Invalid(#[from] InvalidName),
    /// It could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Makes an access key with an id and a secret that nobody can guess.
    pub fn create_access_key(&self) -> Result<AccessKey, AccessKeyError> {
        let id = AccessKeyId::parse(&random_id(&self.ids.secret()))?;
        let secret = SecretKey::parse(&random_secret(&self.ids.secret()))?;
        self.create_access_key_as(id, secret)
    }

    /// Makes an access key with the id and the secret that the operator wants.
    pub fn create_access_key_as(&self, id: AccessKeyId, secret: SecretKey) -> Result<AccessKey, AccessKeyError> {
        self.change(|state, now| {
            if state.access_keys.contains_key(&id) {
                return Err(AccessKeyError::AlreadyExists { id });
            }
            if state.access_keys.len() >= ACCESS_KEYS_MAX {
                return Err(AccessKeyError::TooMany);
            }
            let key = AccessKey { id, secret, status: AccessKeyStatus::Active, created_at: now };
            let change = Change::Put(self.access_key_scope()?, Record::AccessKey(key.clone()));
            Ok((key, vec![change]))
        })
    }

    /// Every access key, in the order of their ids.
    pub fn access_keys(&self) -> Vec<AccessKey> {
        self.state.read().access_keys.values().cloned().collect()
    }

    /// The access key, whatever its status.
    pub fn access_key(&self, id: &AccessKeyId) -> Option<AccessKey> {
        self.state.read().access_keys.get(id).cloned()
    }

    /// Closes the control plane to an access key, for good. A revoked key stays as it is.
    pub fn revoke_access_key(&self, id: &AccessKeyId) -> Result<(), AccessKeyError> {
        self.change(|state, _| {
            let key = state.access_keys.get(id).ok_or_else(|| AccessKeyError::NotFound { id: id.clone() })?;
            let key = AccessKey { status: AccessKeyStatus::Revoked, ..key.clone() };
            Ok(((), vec![Change::Put(self.access_key_scope()?, Record::AccessKey(key))]))
        })
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
