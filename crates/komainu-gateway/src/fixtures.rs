//! Values for the unit tests of this crate.

use std::sync::Arc;

use bytes::Bytes;
use komainu_model::{AccountId, Region, Scope};
use komainu_ports::{QualityOfService, StoredMessage};

pub(crate) fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("us-east-1").unwrap() }
}

pub(crate) fn message(topic: &str, payload: &'static [u8]) -> Arc<StoredMessage> {
    Arc::new(StoredMessage {
        topic: topic.into(),
        payload: Bytes::from_static(payload),
        qos: QualityOfService::AtLeastOnce,
        properties: Bytes::new(),
        expires_at: None,
    })
}
