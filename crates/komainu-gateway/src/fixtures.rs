//! Messages for the unit tests of the broker.

use std::sync::Arc;

use bytes::Bytes;
use komainu_ports::{QualityOfService, StoredMessage};

pub(crate) fn message(topic: &str, payload: &'static [u8]) -> Arc<StoredMessage> {
    Arc::new(StoredMessage {
        topic: topic.into(),
        payload: Bytes::from_static(payload),
        qos: QualityOfService::AtLeastOnce,
        properties: Bytes::new(),
        expires_at: None,
    })
}
