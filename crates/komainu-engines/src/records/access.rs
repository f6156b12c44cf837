//! Operators' access keys, as they are stored.

use komainu_model::{AccessKey, AccessKeyId, AccessKeyNote, AccessKeyStatus, Role, SecretKey, Timestamp};
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
    /// Keys of before there were roles have none: they opened everything, and still do.
    #[serde(default = "role_of_old_keys")]
    role: Spelled<Role>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    note: String,
}

const fn role_of_old_keys() -> Spelled<Role> {
    Spelled(Role::Admin)
}

impl From<&AccessKey> for StoredAccessKey {
    fn from(key: &AccessKey) -> Self {
        Self {
            id: key.id.to_string(),
            secret: key.secret.expose().to_owned(),
            status: Spelled(key.status),
            created_at_ms: key.created_at.unix_millis(),
            role: Spelled(key.role),
            note: key.note.to_string(),
        }
    }
}

impl TryFrom<StoredAccessKey> for AccessKey {
    type Error = Damage;

    fn try_from(stored: StoredAccessKey) -> Result<Self, Damage> {
        Ok(Self {
            id: AccessKeyId::parse(&stored.id)?,
            secret: SecretKey::parse(&stored.secret)?,
            role: stored.role.0,
            note: AccessKeyNote::parse(&stored.note)?,
            status: stored.status.0,
            created_at: Timestamp::from_unix_millis(stored.created_at_ms),
        })
    }
}
