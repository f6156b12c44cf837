//! Where pages end: the key of the last item that was shown, as text for clients to hand back.
//!
//! A token only says where to go on within the list of the caller's own scope, so there is nothing in it to protect.

use aws_lc_rs::digest;
use komainu_model::{DeliveryId, ViolationId};
use komainu_ports::{PageToken, StoreError};

/// The last active violation of a page.
pub(super) struct ActiveToken {
    pub(super) started_at: i64,
    pub(super) violation: String,
}

/// The last violation event of a page.
pub(super) struct EventToken {
    pub(super) at: i64,
    pub(super) violation: String,
    pub(super) step: i64,
}

/// The last value of a page. Values can be long, tokens must not be: so it is known by its digest.
pub(super) struct DatapointToken {
    pub(super) at: i64,
    pub(super) value_sha256: String,
}

/// The last delivery of a page.
pub(super) struct DeliveryToken {
    pub(super) created_at: i64,
    pub(super) id: String,
}

impl ActiveToken {
    pub(super) fn write(&self) -> PageToken {
        PageToken(format!("a.{}.{}", self.started_at, self.violation))
    }

    pub(super) fn read(token: &PageToken) -> Result<Self, StoreError> {
        let [started_at, violation] = parts(token, "a")?;
        Ok(Self { started_at: number(started_at)?, violation: violation_id(violation)? })
    }
}

impl EventToken {
    pub(super) fn write(&self) -> PageToken {
        PageToken(format!("e.{}.{}.{}", self.at, self.violation, self.step))
    }

    pub(super) fn read(token: &PageToken) -> Result<Self, StoreError> {
        let [at, violation, step] = parts(token, "e")?;
        Ok(Self { at: number(at)?, violation: violation_id(violation)?, step: number(step)? })
    }
}

impl DatapointToken {
    pub(super) fn of(at: i64, value: &[u8]) -> Self {
        Self { at, value_sha256: hex::encode(digest::digest(&digest::SHA256, value)) }
    }

    pub(super) fn write(&self) -> PageToken {
        PageToken(format!("d.{}.{}", self.at, self.value_sha256))
    }

    pub(super) fn read(token: &PageToken) -> Result<Self, StoreError> {
        let [at, value_sha256] = parts(token, "d")?;
        let is_digest = value_sha256.len() == 64 && value_sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest {
            return Err(StoreError::BadPageToken);
        }
        Ok(Self { at: number(at)?, value_sha256: value_sha256.to_owned() })
    }
}

impl DeliveryToken {
    pub(super) fn write(&self) -> PageToken {
        PageToken(format!("o.{}.{}", self.created_at, self.id))
    }

    pub(super) fn read(token: &PageToken) -> Result<Self, StoreError> {
        let [created_at, id] = parts(token, "o")?;
        let id = DeliveryId::parse(id).map_err(|_| StoreError::BadPageToken)?;
        Ok(Self { created_at: number(created_at)?, id: id.to_string() })
    }
}

/// The `N` parts of a token of `list`.
fn parts<'a, const N: usize>(token: &'a PageToken, list: &str) -> Result<[&'a str; N], StoreError> {
    let (kind, rest) = token.0.split_once('.').ok_or(StoreError::BadPageToken)?;
    let parts: Vec<&str> = rest.splitn(N + 1, '.').collect();
    if kind != list {
        return Err(StoreError::BadPageToken);
    }
    parts.try_into().map_err(|_| StoreError::BadPageToken)
}

fn number(text: &str) -> Result<i64, StoreError> {
    text.parse().map_err(|_| StoreError::BadPageToken)
}

fn violation_id(text: &str) -> Result<String, StoreError> {
    ViolationId::parse(text).map(|id| id.to_string()).map_err(|_| StoreError::BadPageToken)
}
