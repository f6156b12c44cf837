//! Access keys, for those who manage them.

use komainu_model::{AccessKey, AccessKeyId, AccessKeyNote, AccessKeyStatus, InvalidName, Role, SecretKey, Timestamp};

use crate::StoreError;

/// So many access keys are kept, revoked ones included: every program of a large site has one of its own.
pub const ACCESS_KEYS_MAX: usize = 1000;

/// An access key as it is listed: without its secret, which is shown once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccessKey {
    /// The public part.
    pub id: AccessKeyId,
    /// What its holder may do.
    pub role: Role,
    /// Who that is.
    pub note: AccessKeyNote,
    /// Whether it opens anything.
    pub status: AccessKeyStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it opened something last since the server started. It is in memory only: a note of each use would be a write
    /// for each request.
    pub used_at: Option<Timestamp>,
}

impl ListedAccessKey {
    /// How a key is listed that was used at this time.
    pub fn of(key: &AccessKey, used_at: Option<Timestamp>) -> Self {
        let AccessKey { id, secret: _, role, note, status, created_at } = key.clone();
        Self { id, role, note, status, created_at, used_at }
    }
}

/// Access keys of the account: making, listing, revoking, deleting. Calls may block; what they change is durable on return.
pub trait AccessKeys: Send + Sync {
    /// Every key, in the order of their ids.
    fn list(&self) -> Vec<ListedAccessKey>;

    /// Makes a key that nobody can guess. This is the only time that its secret is handed out.
    fn create(&self, role: Role, note: AccessKeyNote) -> Result<AccessKey, AccessKeyError>;

    /// Takes a key with the id and the secret that somebody wants.
    fn create_as(
        &self,
        id: AccessKeyId,
        secret: SecretKey,
        role: Role,
        note: AccessKeyNote,
    ) -> Result<AccessKey, AccessKeyError>;

    /// Makes a key useless, for good. A revoked key stays as it is.
    fn revoke(&self, id: &AccessKeyId) -> Result<(), AccessKeyError>;

    /// Forgets a revoked key.
    fn delete(&self, id: &AccessKeyId) -> Result<(), AccessKeyError>;
}

/// Why something about access keys was not done.
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
    /// It opens something still, so that somebody would notice too late.
    #[error("access key {id} is active: revoke it first")]
    StillActive {
        /// The key.
        id: AccessKeyId,
    },
    /// There would be too many.
    #[error("at most {ACCESS_KEYS_MAX} access keys are kept: delete some that are revoked")]
    TooMany,
    /// The id or the secret is not acceptable.
    #[error(transparent)]
    Invalid(#[from] InvalidName),
    /// It could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
}
