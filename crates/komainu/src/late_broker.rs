//! Ties the knot of the assembly: the gateway needs the pipeline and the control plane to start, and both of them need
//! the gateway. They are given this broker, which becomes the gateway once it has started.

use std::sync::{Arc, OnceLock};

use komainu_model::{CertificateId, ClientId, DisconnectReason, ReporterName, Scope};
use komainu_ports::{
    BoxFuture, Broker, BrokerError, ByteStream, MeterReading, OutboundMessage, PeerInfo, Presence, WebSocketIdentity,
};

/// A broker that is not there yet, or never will be when no server runs.
#[derive(Default)]
pub(crate) struct LateBroker(OnceLock<Arc<dyn Broker>>);

impl LateBroker {
    /// From now on this is `broker`. Set once.
    pub(crate) fn become_broker(&self, broker: Arc<dyn Broker>) {
        let is_first = self.0.set(broker).is_ok();
        assert!(is_first, "the broker is set once, when the gateway has started");
    }

    fn broker(&self) -> Result<&Arc<dyn Broker>, BrokerError> {
        self.0.get().ok_or_else(|| BrokerError::Unavailable { reason: "the gateway has not started".into() })
    }
}

/// Nobody is connected to a gateway that is not there.
impl Presence for LateBroker {
    fn is_connected(&self, scope: &Scope, reporter: &ReporterName) -> bool {
        self.broker().is_ok_and(|broker| broker.is_connected(scope, reporter))
    }
}

impl Broker for LateBroker {
    fn publish(&self, scope: Scope, message: OutboundMessage) -> BoxFuture<'_, Result<(), BrokerError>> {
        match self.broker() {
            Ok(broker) => broker.publish(scope, message),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn publish_as(
        &self,
        certificate: CertificateId,
        peer: PeerInfo,
        message: OutboundMessage,
    ) -> BoxFuture<'_, Result<(), BrokerError>> {
        match self.broker() {
            Ok(broker) => broker.publish_as(certificate, peer, message),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn may_publish_as(&self, certificate: CertificateId, peer: &PeerInfo, topic: &str) -> Result<(), BrokerError> {
        self.broker()?.may_publish_as(certificate, peer, topic)
    }

    fn websocket(
        &self,
        stream: Box<dyn ByteStream>,
        peer: PeerInfo,
        identity: WebSocketIdentity,
    ) -> BoxFuture<'static, ()> {
        match self.broker() {
            Ok(broker) => broker.websocket(stream, peer, identity),
            Err(_) => Box::pin(async {}),
        }
    }

    fn disconnect(&self, scope: &Scope, client: &ClientId, reason: DisconnectReason) -> bool {
        self.broker().is_ok_and(|broker| broker.disconnect(scope, client, reason))
    }

    fn drain_meters(&self, readings: &mut Vec<MeterReading>) {
        if let Ok(broker) = self.broker() {
            broker.drain_meters(readings);
        }
    }
}
