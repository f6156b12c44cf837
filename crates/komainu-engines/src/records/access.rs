//! Operators' access keys, as they are stored.

use komainu_model::{AccessKey, AccessKeyId, AccessKeyStatus, SecretKey, Timestamp};
use serde::{Deserialize, Serialize};

use super::Damage;
use super::word::Spelled;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredAccessKey {
    id: String,
    secret: String,
    status: Spelled<AccessKeyStatus>,
    created_at_ms: i64,
}

impl From<&AccessKey> for StoredAccessKey {
    fn from(key: &AccessKey) -> Self {
        Self {
            id: key.id.to_string(),
            secret: key.secret.expose().to_owned(),
            status: Spelled(key.status),
            created_at_ms: key.created_at.unix_millis(),
        }
    }
}

impl TryFrom<StoredAccessKey> for AccessKey {
    type Error = Damage;

    fn try_from(stored: StoredAccessKey) -> Result<Self, Damage> {
        Ok(Self {
            id: AccessKeyId::parse(&stored.id)?,
            secret: SecretKey::parse(&stored.secret)?,
            status: stored.status.0,
            created_at: Timestamp::from_unix_millis(stored.created_at_ms),
        })
    }
}
