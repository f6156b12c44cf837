//! What the edges ask of each other on the way between devices, control plane and pipeline.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use komainu_model::{AccessKeyId, CertificateId, ClientId, DisconnectReason, ReporterName, Scope, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{BoxFuture, Presence};

/// The gateway, as the control plane and the pipeline see it.
pub trait Broker: Presence {
    /// Publishes in the server's own name. Resolves when the message is with every online subscriber's queue and
    /// durable for every offline one.
    fn publish(&self, scope: Scope, message: OutboundMessage) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Publishes in the name of a device that came over HTTPS with its certificate: checked against its policies and
    /// measured like a publish over MQTT.
    fn publish_as(
        &self,
        certificate: CertificateId,
        peer: PeerInfo,
        message: OutboundMessage,
    ) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Whether a device that came over HTTPS with its certificate may publish to a topic, retained messages aside. The
    /// certificate and its policies are looked at as they are now, and a refusal is measured like one over MQTT. For
    /// topics that name a right and carry no messages.
    fn may_publish_as(&self, certificate: CertificateId, peer: &PeerInfo, topic: &str) -> Result<(), BrokerError>;

    /// Speaks MQTT over a WebSocket whose HTTP upgrade has been answered. Resolves when the connection has ended.
    fn websocket(
        &self,
        stream: Box<dyn ByteStream>,
        peer: PeerInfo,
        identity: WebSocketIdentity,
    ) -> BoxFuture<'static, ()>;

    /// Ends the connection of a client; says whether there was one.
    fn disconnect(&self, scope: &Scope, client: &ClientId, reason: DisconnectReason) -> bool;

    /// Takes what was measured since the last call, one reading for each device that was connected or did
    /// something.
    fn drain_meters(&self, readings: &mut Vec<MeterReading>);
}

/// A message to publish.
#[derive(Debug, Clone)]
pub struct OutboundMessage {
    /// The topic; no wildcards, at most 256 bytes in AWS's terms for ordinary topics.
    pub topic: Arc<str>,
    /// The payload; at most 128 KiB by default.
    pub payload: Bytes,
    /// How surely it arrives.
    pub qos: QualityOfService,
    /// Whether it stays for later subscribers.
    pub retain: bool,
    /// MQTT 5 properties that AWS's Publish operation knows.
    pub content_type: Option<Arc<str>>,
    /// MQTT 5 response topic.
    pub response_topic: Option<Arc<str>>,
    /// MQTT 5 correlation data.
    pub correlation_data: Option<Bytes>,
    /// MQTT 5 message expiry in seconds.
    pub expiry_s: Option<u32>,
    /// MQTT 5 payload format indicator: the payload is UTF-8.
    pub payload_is_utf8: Option<bool>,
    /// MQTT 5 user properties.
    pub user_properties: Vec<(String, String)>,
}

impl OutboundMessage {
    /// A message without MQTT 5 properties that does not stay.
    pub fn new(topic: impl Into<Arc<str>>, payload: impl Into<Bytes>, qos: QualityOfService) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos,
            retain: false,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            expiry_s: None,
            payload_is_utf8: None,
            user_properties: Vec::new(),
        }
    }
}

/// How surely a message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "MQTT's words")]
pub enum QualityOfService {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

/// Why a message was not published.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The topic is not one that can be published to.
    #[error("topic {topic:?} cannot be published to: {reason}")]
    BadTopic {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The payload is over the bound.
    #[error("payload has {bytes} bytes, at most {bytes_max} are allowed")]
    PayloadTooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The publisher's policies do not allow it.
    #[error("not authorized to publish to {topic:?}")]
    NotAuthorized {
        /// The topic.
        topic: String,
    },
    /// The message could not be made durable, or the gateway is stopping; trying again may help.
    #[error("gateway is unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// Where a connection comes from.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// The peer's address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The certificate that the peer proved to hold and that is registered and active.
    pub certificate: Option<CertificateId>,
    /// The server name the peer asked for.
    pub server_name: Option<Arc<str>>,
}

/// Who speaks over a WebSocket.
#[derive(Debug, Clone)]
pub enum WebSocketIdentity {
    /// A device with its certificate.
    Certificate(CertificateId),
    /// An operator who signed the request; may do everything in its scope.
    Operator {
        /// The key that signed.
        key: AccessKeyId,
        /// The scope of the signature.
        scope: Scope,
    },
}

/// A byte stream in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Takes connections that turned out to speak HTTP.
pub trait HttpHandoff: Send + Sync {
    /// Serves the connection. Resolves when it has ended.
    fn serve(&self, stream: Box<dyn ByteStream>, peer: PeerInfo) -> BoxFuture<'static, ()>;
}

/// What was measured of one device since the last reading.
#[derive(Debug, Clone, PartialEq)]
pub struct MeterReading {
    /// The device's scope.
    pub scope: Scope,
    /// The thing that the connection's certificate speaks for, else the client id.
    pub reporter: ReporterName,
    /// Whether it is connected now.
    pub connected: bool,
    /// Messages from the device.
    pub messages_sent: u64,
    /// Messages to the device.
    pub messages_received: u64,
    /// The smallest and the largest payload in bytes, of messages in either direction.
    pub message_bytes: Option<(u64, u64)>,
    /// Denied actions.
    pub authorization_failures: u64,
    /// Attempts to connect, failed ones included.
    pub connection_attempts: u64,
    /// Ended connections.
    pub disconnects: u64,
    /// Addresses it connected from or is connected from; at most 64, each once.
    pub source_addresses: Vec<IpAddr>,
}

/// Takes metric reports from the gateway.
pub trait ReportSink: Send + Sync {
    /// Hands a report over. Resolves when its values are durable and the answer to the device has been published;
    /// an acknowledgement to the device waits for that.
    fn submit(&self, report: ReportMessage) -> BoxFuture<'static, Result<(), ReportSinkError>>;
}

/// A message on `$aws/things/THING/defender/metrics/{json,cbor}`.
#[derive(Debug, Clone)]
pub struct ReportMessage {
    /// The scope of the connection.
    pub scope: Scope,
    /// The name in the topic; not yet checked as a name.
    pub thing: Arc<str>,
    /// The last part of the topic.
    pub encoding: ReportEncoding,
    /// The report.
    pub payload: Bytes,
    /// When the gateway received it.
    pub received_at: Timestamp,
}

/// How a report is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ReportEncoding {
    Json,
    Cbor,
}

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportSinkError {
    /// The queue is full or the pipeline is stopping; the device should send again.
    #[error("report pipeline is busy")]
    Busy,
    /// The values could not be made durable.
    #[error("report could not be stored: {reason}")]
    NotStored {
        /// Why.
        reason: String,
    },
}
