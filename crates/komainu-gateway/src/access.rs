//! The seam between the broker and the gatekeeper: who a connection speaks for, and what it may do.
//!
//! The broker (sessions, routing, delivery) asks through these traits and knows nothing of certificates, policies or
//! things; the gatekeeper answers and knows nothing of packets.

use std::sync::Arc;

use komainu_model::{ClientId, DisconnectReason, ReporterName, Scope};
use komainu_ports::PeerInfo;

/// Decides who comes in.
pub(crate) trait Gatekeeper: Send + Sync {
    /// Judges a CONNECT. Every call is counted as a connection attempt of the device, also when it is refused.
    fn admit(&self, peer: &PeerInfo, connect: &ConnectRequest<'_>) -> Result<Arc<dyn Access>, Refusal>;
}

/// What of a CONNECT packet matters for being let in.
#[derive(Debug, Clone)]
pub(crate) struct ConnectRequest<'a> {
    /// The client id; the server's choice when the client left it empty.
    pub(crate) client_id: &'a ClientId,
    /// The user name as it was sent: a claim, kept for the inventory (`?SDK=...`), never an identity.
    pub(crate) user_name: Option<&'a str>,
    /// The topic of the will, whether it is retained.
    pub(crate) will: Option<(&'a str, bool)>,
}

/// Why a CONNECT was refused. The broker turns it into the return code of the client's protocol version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The certificate is not (any more) one that opens the gate.
    NotAuthenticated {
        /// Why, for the log.
        reason: &'static str,
    },
    /// No policy allows `iot:Connect` for this client id, or the will's topic may not be published to.
    NotAuthorized {
        /// What was denied, for the log.
        action: &'static str,
    },
}

/// What one admitted connection may do. Calls are on the hot path: they do not block and do not allocate.
pub(crate) trait Access: Send + Sync {
    /// Whose state the connection's topics are in.
    fn scope(&self) -> &Scope;

    /// The device the connection is measured as.
    fn reporter(&self) -> &ReporterName;

    /// The certificate id (or the access key id of an operator) for lifecycle events.
    fn principal_id(&self) -> &str;

    /// May it publish to this topic (and have it retained)?
    fn may_publish(&self, topic: &str, retain: bool) -> bool;

    /// May it subscribe to this filter (for a shared subscription, the filter after the group's name)?
    fn may_subscribe(&self, filter: &str) -> bool;

    /// May a message on this topic be delivered to it?
    fn may_receive(&self, topic: &str) -> bool;

    /// Whether the connection must end now, because its certificate was withdrawn or it may no longer connect.
    /// Asked after the gatekeeper has announced a change, not per packet.
    fn revoked(&self) -> Option<DisconnectReason>;

    /// Counts one message from the device.
    fn count_sent(&self, payload_bytes: usize);

    /// Counts one message to the device.
    fn count_received(&self, payload_bytes: usize);

    /// Counts one denied action, and logs it.
    fn count_denied(&self, action: DeniedAction, subject: &str);

    /// Counts the end of the connection.
    fn count_disconnect(&self, reason: DisconnectReason);
}

/// What was denied after the connection had been let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DeniedAction {
    /// `iot:Publish`
    Publish,
    /// `iot:RetainPublish`
    RetainPublish,
    /// `iot:Subscribe`
    Subscribe,
    /// `iot:Receive`
    Receive,
}
