//! Lifecycle events: the service tells on `$aws/events/...` who comes, goes, subscribes and unsubscribes.
//!
//! AWS IoT developer guide, "Lifecycle events". They are always on. A client id with `+`, `#` or `/` gets none,
//! because it cannot be one level of a topic.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use komainu_model::{ClientId, DisconnectReason};
use komainu_ports::{QualityOfService as Qos, StoredMessage};
use serde_json::{Value, json};

use crate::broker::{Broker, ScopeState};

/// The connection that an event is about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) client: ClientId,
    /// Unique for each connection.
    pub(crate) session_identifier: String,
    pub(crate) principal: String,
    pub(crate) address: IpAddr,
    /// Rises with the connections of one session.
    pub(crate) version: u64,
}

impl Broker {
    pub(crate) fn tell_connected(&self, scope: &ScopeState, subject: &Subject) {
        self.tell(scope, subject, "presence/connected", || {
            json!({
                "eventType": "connected",
                "ipAddress": subject.address.to_string(),
                "versionNumber": subject.version,
            })
        });
    }

    pub(crate) fn tell_disconnected(&self, scope: &ScopeState, subject: &Subject, reason: DisconnectReason) {
        self.tell(scope, subject, "presence/disconnected", || {
            json!({
                "eventType": "disconnected",
                "clientInitiatedDisconnect": reason == DisconnectReason::ClientInitiatedDisconnect,
                "disconnectReason": reason.as_str(),
                "ipAddress": subject.address.to_string(),
                "versionNumber": subject.version,
            })
        });
    }

    pub(crate) fn tell_subscribed(&self, scope: &ScopeState, subject: &Subject, filters: &[&str]) {
        self.tell(
            scope,
            subject,
            "subscriptions/subscribed",
            || json!({ "eventType": "subscribed", "topics": filters }),
        );
    }

    pub(crate) fn tell_unsubscribed(&self, scope: &ScopeState, subject: &Subject, filters: &[&str]) {
        self.tell(
            scope,
            subject,
            "subscriptions/unsubscribed",
            || json!({ "eventType": "unsubscribed", "topics": filters }),
        );
    }

    fn tell(&self, scope: &ScopeState, subject: &Subject, kind: &str, details: impl FnOnce() -> Value) {
        if subject.client.as_str().contains(['+', '#', '/']) {
            return;
        }
        let topic = Arc::from(format!("$aws/events/{kind}/{}", subject.client));
        let routes = self.routes(scope, 0, topic);
        // Mostly nobody listens. Those who do not take their messages miss events instead of holding up connections.
        if routes.is_empty() || self.obstacle(&routes).is_some() {
            return;
        }
        let mut event = details();
        event["clientId"] = subject.client.as_str().into();
        event["timestamp"] = self.ports.clock.now().unix_millis().into();
        event["sessionIdentifier"] = subject.session_identifier.as_str().into();
        event["principalIdentifier"] = subject.principal.as_str().into();
        let message = StoredMessage {
            topic: routes.topic.clone(),
            payload: Bytes::from(event.to_string()),
            qos: Qos::AtLeastOnce,
            properties: Bytes::new(),
            expires_at: None,
        };
        self.distribute(&routes, &Arc::new(message), false);
    }
}
