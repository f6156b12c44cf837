//! What the fleet's data plane and detection both speak about.

use crate::id::name_type;

name_type! {
    /// An MQTT client identifier: 1 to 128 bytes of UTF-8 without control characters.
    ClientId, "client id", 128, "printable characters", |c| !c.is_control()
}

/// Why a device's connection ended, in AWS's words (AWS IoT developer guide, "Lifecycle events").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DisconnectReason {
    /// The client could not prove who it is, or its proof was withdrawn.
    AuthError,
    /// The client sent DISCONNECT.
    ClientInitiatedDisconnect,
    /// The client broke the protocol.
    ClientError,
    /// The network connection was lost.
    ConnectionLost,
    /// A newer connection used the same client id.
    DuplicateClientId,
    /// The client did what its policies do not allow.
    ForbiddenAccess,
    /// Nothing was heard for one and a half keep-alive intervals.
    MqttKeepAliveTimeout,
    /// The server failed.
    ServerError,
    /// The server is stopping.
    ServerInitiatedDisconnect,
    /// An operator asked for it.
    ApiInitiatedDisconnect,
    /// The client exceeded a limit, or did not take its messages.
    Throttled,
    /// The WebSocket connection was open for as long as is allowed.
    WebsocketTtlExpiration,
}

impl DisconnectReason {
    /// The word AWS uses in lifecycle events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthError => "AUTH_ERROR",
            Self::ClientInitiatedDisconnect => "CLIENT_INITIATED_DISCONNECT",
            Self::ClientError => "CLIENT_ERROR",
            Self::ConnectionLost => "CONNECTION_LOST",
            Self::DuplicateClientId => "DUPLICATE_CLIENTID",
            Self::ForbiddenAccess => "FORBIDDEN_ACCESS",
            Self::MqttKeepAliveTimeout => "MQTT_KEEP_ALIVE_TIMEOUT",
            Self::ServerError => "SERVER_ERROR",
            Self::ServerInitiatedDisconnect => "SERVER_INITIATED_DISCONNECT",
            Self::ApiInitiatedDisconnect => "API_INITIATED_DISCONNECT",
            Self::Throttled => "THROTTLED",
            Self::WebsocketTtlExpiration => "WEBSOCKET_TTL_EXPIRATION",
        }
    }
}
