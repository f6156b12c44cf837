//! The broker: sessions, routing and delivery for every connection that the gatekeeper let in.

use std::sync::Arc;

use komainu_model::{ClientId, DisconnectReason, Scope};
use komainu_ports::{
    BrokerError, Clock, IdSource, OutboundMessage, PeerInfo, ReportSink, SessionStore, SessionStoreError,
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::access::{Access, Gatekeeper};
use crate::limits::Limits;

/// What the broker asks of the world.
#[derive(Clone)]
pub(crate) struct BrokerPorts {
    /// Where persistent sessions and retained messages are written down.
    pub(crate) sessions: Arc<dyn SessionStore>,
    /// Where metric reports go.
    pub(crate) reports: Arc<dyn ReportSink>,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
    /// Where assigned client ids and session identifiers come from.
    pub(crate) ids: Arc<dyn IdSource>,
}

/// The state that all connections share.
pub(crate) struct Broker {
    #[allow(dead_code)]
    limits: Limits,
    #[allow(dead_code)]
    ports: BrokerPorts,
}

impl Broker {
    /// A broker with everything that the session store has: sessions, what waits for them, retained messages.
    pub(crate) async fn new(limits: Limits, ports: BrokerPorts) -> Result<Arc<Self>, SessionStoreError> {
        Ok(Arc::new(Self { limits, ports }))
    }

    /// Speaks MQTT over one connection, from CONNECT to its end.
    pub(crate) async fn serve<S>(self: &Arc<Self>, stream: S, peer: PeerInfo, gatekeeper: Arc<dyn Gatekeeper>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let _ = (stream, peer, gatekeeper);
    }

    /// Publishes in the server's own name.
    pub(crate) async fn publish(&self, scope: &Scope, message: OutboundMessage) -> Result<(), BrokerError> {
        let _ = (scope, message);
        Err(BrokerError::Unavailable { reason: "not started".into() })
    }

    /// Publishes in the name of `access`: checked against its policies and measured like a publish over MQTT.
    pub(crate) async fn publish_as(&self, access: &dyn Access, message: OutboundMessage) -> Result<(), BrokerError> {
        let _ = (access, message);
        Err(BrokerError::Unavailable { reason: "not started".into() })
    }

    /// Asks every connection whether it was revoked, and ends those that were. Called after the gatekeeper changed.
    pub(crate) fn recheck(&self) {}

    /// Ends the connection of a client; says whether there was one.
    pub(crate) fn kick(&self, scope: &Scope, client: &ClientId, reason: DisconnectReason) -> bool {
        let _ = (scope, client, reason);
        false
    }

    /// Ends every connection that `predicate` names; says how many.
    pub(crate) fn kick_matching(
        &self,
        predicate: &dyn Fn(&ClientId, &dyn Access) -> bool,
        reason: DisconnectReason,
    ) -> usize {
        let _ = (predicate, reason);
        0
    }

    /// Ends every connection (DISCONNECT 0x8B for MQTT 5), writes down what waits to be, and refuses new ones.
    pub(crate) async fn shutdown(&self) {}
}
