//! The gatekeepers of clients without a certificate: operators, and the anonymous ones of the test listener.

use std::sync::{Arc, OnceLock};

use komainu_model::{AccessKeyId, ClientId, DisconnectReason, ReporterName, Scope};
use komainu_ports::PeerInfo;

use crate::access::{Access, ConnectRequest, DeniedAction, Gatekeeper, Refusal};
use crate::gatekeeper::Fleet;
use crate::measured::{Connection, Measured};

/// The one filter that clients of the test listener may not subscribe to: conformance suites test with it that a
/// subscription can be refused.
const PLAIN_TEST_DENIED_FILTER: &str = "test/nosubscribe";

/// Lets an operator in who signed the WebSocket's request: everything in the scope of the signature is allowed.
pub(crate) struct OperatorGatekeeper {
    fleet: Arc<Fleet>,
    key: AccessKeyId,
    scope: Scope,
    /// The client id, once the client has connected.
    client: OnceLock<ClientId>,
}

impl OperatorGatekeeper {
    /// A gatekeeper for one connection.
    pub(crate) fn new(fleet: Arc<Fleet>, key: AccessKeyId, scope: Scope) -> Self {
        Self { fleet, key, scope, client: OnceLock::new() }
    }

    /// Whom it let in.
    pub(crate) fn admitted(&self) -> Option<(&Scope, &ClientId)> {
        self.client.get().map(|client| (&self.scope, client))
    }
}

/// Lets everybody in, for conformance suites.
pub(crate) struct PlainTestGatekeeper {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) scope: Scope,
}

impl Gatekeeper for OperatorGatekeeper {
    fn admit(&self, peer: &PeerInfo, connect: &ConnectRequest<'_>) -> Result<Arc<dyn Access>, Refusal> {
        // A connection has one CONNECT.
        let _ = self.client.set(connect.client_id.clone());
        let measured = measure(&self.fleet, &self.scope, self.key.as_str(), peer, connect);
        Ok(Arc::new(TrustedAccess { measured, denied_filter: None }))
    }
}

impl Gatekeeper for PlainTestGatekeeper {
    fn admit(&self, peer: &PeerInfo, connect: &ConnectRequest<'_>) -> Result<Arc<dyn Access>, Refusal> {
        let measured = measure(&self.fleet, &self.scope, "anonymous", peer, connect);
        Ok(Arc::new(TrustedAccess { measured, denied_filter: Some(PLAIN_TEST_DENIED_FILTER) }))
    }
}

fn measure(
    fleet: &Fleet,
    scope: &Scope,
    principal_id: &str,
    peer: &PeerInfo,
    connect: &ConnectRequest<'_>,
) -> Measured {
    let reporter =
        ReporterName::parse(connect.client_id.as_str()).expect("client ids keep the rules of reporter names");
    let connection = Connection {
        scope: scope.clone(),
        reporter,
        principal_id: principal_id.into(),
        client: Some(connect.client_id.clone()),
        address: peer.address,
    };
    let measured = Measured::new(&fleet.meters, fleet.budgets.clone(), connection);
    measured.meter().count_attempt(peer.address.ip().to_canonical());
    measured.begin();
    measured.log_connected(peer, connect);
    measured
}

/// May do everything, but for one filter.
struct TrustedAccess {
    measured: Measured,
    denied_filter: Option<&'static str>,
}

impl Access for TrustedAccess {
    fn scope(&self) -> &Scope {
        self.measured.scope()
    }

    fn reporter(&self) -> &ReporterName {
        self.measured.reporter()
    }

    fn principal_id(&self) -> &str {
        self.measured.principal_id()
    }

    fn may_publish(&self, _topic: &str, _retain: bool) -> bool {
        true
    }

    fn may_subscribe(&self, filter: &str) -> bool {
        self.denied_filter != Some(filter)
    }

    fn may_receive(&self, _topic: &str) -> bool {
        true
    }

    /// The gateway ends the connections of a revoked access key by itself.
    fn revoked(&self) -> Option<DisconnectReason> {
        None
    }

    fn count_sent(&self, payload_bytes: usize) {
        self.measured.meter().count_sent(payload_bytes);
    }

    fn count_received(&self, payload_bytes: usize) {
        self.measured.meter().count_received(payload_bytes);
    }

    fn count_denied(&self, action: DeniedAction, subject: &str) {
        self.measured.count_denied(action, subject);
    }

    fn count_disconnect(&self, reason: DisconnectReason) {
        self.measured.count_disconnect(reason);
    }
}
