//! The gateway as a whole: it starts the listeners and the broker, and is what the other edges see of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use komainu_model::{
    AccessKeyId, AccessKeyStatus, CertificateId, Change, ClientId, DisconnectReason, Record, RecordKey, ReporterName,
    Scope,
};
use komainu_ports::{
    BoxFuture, BrokerError, ByteStream, ChangeObserver, Clock, Directory, GatewayVitals, HttpHandoff, IdSource,
    MeterReading, OutboundMessage, PeerInfo, Presence, ReportSink, SessionStore, SessionStoreError, WebSocketIdentity,
};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::info;

use crate::access::{Access, DeniedAction, Refusal};
use crate::broker::{Broker, BrokerPorts};
use crate::events;
use crate::gatekeeper::{DeviceAccess, DeviceGatekeeper, Fleet};
use crate::limits::Limits;
use crate::listener::{Edge, Entrance, accept_all, bind, is_loopback, log_listening};
use crate::meter::Meters;
use crate::pending::PendingPeers;
use crate::policies::PolicyCache;
use crate::tls::{BadServerCertificate, Door, ServerCertificate, Tls};
use crate::trusted::{OperatorGatekeeper, PlainTestGatekeeper};
use crate::websocket::WebSocketBytes;

/// How long connections may take to end after they were told to.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// The least time between two rounds in which every connection is asked whether it may stay: a script that registers
/// ten thousand devices must not cause ten thousand rounds. The first change of a burst is acted on at once.
const RECHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How the gateway is set up.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where clients of the plain test listener belong.
    pub scope: Scope,
    /// MQTT over TLS with client certificates (8883).
    pub mqtts: Option<SocketAddr>,
    /// MQTT and HTTP over TLS, told apart by ALPN (443).
    pub tls: Option<SocketAddr>,
    /// Plain MQTT without authentication, for conformance suites; only on a loopback address.
    pub plain_test: Option<SocketAddr>,
    /// What the server shows in TLS.
    pub server_certificate: ServerCertificate,
    /// The bounds of the listeners.
    pub edge: EdgeLimits,
    /// The bounds of the broker.
    pub broker: Limits,
}

/// What strangers and connections may use before and besides the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeLimits {
    /// How long a peer may take from its TCP connection to the end of its handshake, in milliseconds. Then it is
    /// closed.
    pub handshake_timeout_ms: u64,
    /// Peers whose handshake is not finished. At the bound a silent or stalled one makes room, else the newcomer is
    /// closed.
    pub pending_peers_max: usize,
    /// The same for one source, an IPv4 address or an IPv6 /64.
    pub pending_peers_per_source_max: usize,
    /// Connections whose handshake is finished, MQTT and HTTP together. More are closed.
    pub connections_max: usize,
    /// How long an operator's WebSocket may be open, in milliseconds (AWS: 24 hours with Signature Version 4). Then it
    /// is closed.
    pub operator_websocket_ms_max: u64,
    /// Devices with a meter. More come in and are not measured.
    pub metered_devices_max: usize,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            handshake_timeout_ms: 10_000,
            pending_peers_max: 4_096,
            pending_peers_per_source_max: 1_024,
            connections_max: 100_000,
            operator_websocket_ms_max: 24 * 60 * 60 * 1000,
            metered_devices_max: 200_000,
        }
    }
}

/// What the gateway asks of the world.
#[derive(Clone)]
pub struct GatewayPorts {
    /// The fleet.
    pub directory: Arc<dyn Directory>,
    /// Where sessions and retained messages are written down.
    pub sessions: Arc<dyn SessionStore>,
    /// Where metric reports go.
    pub reports: Arc<dyn ReportSink>,
    /// Where HTTP connections go.
    pub http: Arc<dyn HttpHandoff>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where identities come from.
    pub ids: Arc<dyn IdSource>,
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {listener}")]
    Listen {
        /// Which listener.
        listener: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The test listener lets everybody in, so it is for this machine only.
    #[error("plain test listener on {0} is refused: it must be on a loopback address")]
    PlainTestNotLoopback(SocketAddr),
    /// The server certificate cannot be used.
    #[error("server certificate cannot be used")]
    ServerCertificate(#[from] BadServerCertificate),
    /// What the session store has cannot be read.
    #[error("sessions cannot be loaded")]
    Sessions(#[from] SessionStoreError),
}

/// Where the listeners are; ports that were 0 in the configuration are real here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalAddrs {
    /// MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// MQTT and HTTP over TLS.
    pub tls: Option<SocketAddr>,
    /// The test listener.
    pub plain_test: Option<SocketAddr>,
}

/// The running gateway. Dropping it ends the listeners; [`Gateway::shutdown`] ends everything in order.
pub struct Gateway {
    edge: Arc<Edge>,
    local_addrs: LocalAddrs,
    stop: watch::Sender<bool>,
    /// Somebody's right to stay may have changed.
    rights_changed: Arc<Notify>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Gateway {
    /// Opens the listeners and lets clients in.
    pub async fn start(config: GatewayConfig, ports: GatewayPorts) -> Result<Arc<Self>, GatewayError> {
        let GatewayPorts { directory, sessions, reports, http, clock, ids } = ports;
        let tls = Tls::new(&config.server_certificate, directory.clone(), clock.clone())?;
        let fleet = Arc::new(Fleet {
            directory,
            clock: clock.clone(),
            meters: Meters::new(config.edge.metered_devices_max),
            policies: PolicyCache::default(),
            budgets: Arc::default(),
        });
        let plain_test = PlainTestGatekeeper { fleet: fleet.clone(), scope: config.scope.clone() };
        let (mqtts, mqtts_at) = listen(config.mqtts, Entrance::Tls(Door::Mqtts))?.unzip();
        let (tls_443, tls_at) = listen(config.tls, Entrance::Tls(Door::Tls))?.unzip();
        if let Some(address) = config.plain_test.filter(|address| !is_loopback(address.ip())) {
            return Err(GatewayError::PlainTestNotLoopback(address));
        }
        let (plain_test, plain_test_at) = listen(config.plain_test, Entrance::PlainTest(Arc::new(plain_test)))?.unzip();

        let broker =
            Broker::new(config.broker, BrokerPorts { sessions, reports, clock, ids, budgets: fleet.budgets.clone() })
                .await?;
        let (stop, stopped) = watch::channel(false);
        let edge = Arc::new(Edge {
            tls,
            broker,
            devices: Arc::new(DeviceGatekeeper(fleet.clone())),
            fleet,
            http,
            pending: PendingPeers::new(config.edge.pending_peers_max, config.edge.pending_peers_per_source_max),
            connections: Arc::new(Semaphore::new(config.edge.connections_max.min(Semaphore::MAX_PERMITS))),
            limits: config.edge,
            turned_away: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
            stop: stopped,
        });
        let rights_changed = Arc::new(Notify::new());
        let mut tasks = vec![tokio::spawn(recheck_on_change(edge.clone(), rights_changed.clone()))];
        let local_addrs = LocalAddrs { mqtts: mqtts_at, tls: tls_at, plain_test: plain_test_at };
        for (listener, entrance) in [mqtts, tls_443, plain_test].into_iter().flatten() {
            if let Ok(address) = listener.local_addr() {
                log_listening(&entrance, address);
            }
            tasks.push(tokio::spawn(accept_all(edge.clone(), listener, entrance)));
        }
        Ok(Arc::new(Self { edge, local_addrs, stop, rights_changed, tasks: Mutex::new(tasks) }))
    }

    /// Where the listeners are.
    pub fn local_addrs(&self) -> LocalAddrs {
        self.local_addrs
    }

    /// Who is connected, and who was not let in.
    pub fn vitals(&self) -> GatewayVitals {
        let (connections, connections_total) = self.edge.broker.connections();
        GatewayVitals {
            connections,
            connections_total,
            turned_away: self.edge.turned_away.load(Ordering::Relaxed),
            handshakes_failed: self.edge.handshakes_failed.load(Ordering::Relaxed),
        }
    }

    /// Shows another server certificate to the clients that come from now on.
    pub fn replace_server_certificate(&self, certificate: &ServerCertificate) -> Result<(), BadServerCertificate> {
        self.edge.tls.replace_certificate(certificate)?;
        info!(event = events::SERVER_CERTIFICATE_REPLACED, "server certificate replaced");
        Ok(())
    }

    /// Takes no more connections, ends those that are there, and resolves when what had to be written down is.
    pub async fn shutdown(&self) {
        let _ = self.stop.send(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            let _ = task.await;
        }
        self.edge.broker.shutdown().await;
        // Every connection holds a permit.
        let all = u32::try_from(self.edge.limits.connections_max).unwrap_or(u32::MAX);
        let _ = timeout(SHUTDOWN_GRACE, self.edge.connections.acquire_many(all)).await;
        info!(event = events::STOPPED, "gateway has stopped");
    }

    /// Ends the connections of an operator whose access key does not count any more.
    fn end_operator(&self, key: &AccessKeyId) {
        let is_theirs = |_: &ClientId, access: &dyn Access| access.principal_id() == key.as_str();
        self.edge.broker.kick_matching(&is_theirs, DisconnectReason::AuthError);
    }
}

type Listening = ((TcpListener, Entrance), SocketAddr);

fn listen(address: Option<SocketAddr>, entrance: Entrance) -> Result<Option<Listening>, GatewayError> {
    let Some(address) = address else { return Ok(None) };
    let listener_name = entrance.name();
    let listening = bind(address).and_then(|listener| {
        let at = listener.local_addr()?;
        Ok(((listener, entrance), at))
    });
    listening.map(Some).map_err(|source| GatewayError::Listen { listener: listener_name, address, source })
}

/// Asks the connections whether they may stay, soon after something changed.
async fn recheck_on_change(edge: Arc<Edge>, rights_changed: Arc<Notify>) {
    let mut stop = edge.stop.clone();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = rights_changed.notified() => {}
        }
        edge.broker.recheck();
        sleep(RECHECK_INTERVAL).await;
    }
}

/// A signature proves an operator for a time only; then the client has to sign anew.
async fn serve_operator(edge: &Edge, stream: Box<dyn ByteStream>, peer: PeerInfo, gatekeeper: Arc<OperatorGatekeeper>) {
    let serving = edge.broker.serve(stream, peer, gatekeeper.clone());
    tokio::pin!(serving);
    tokio::select! {
        biased;
        () = &mut serving => return,
        () = sleep(Duration::from_millis(edge.limits.operator_websocket_ms_max)) => {}
    }
    if let Some((scope, client)) = gatekeeper.admitted() {
        edge.broker.kick(scope, client, DisconnectReason::WebsocketTtlExpiration);
    }
    serving.await;
}

impl komainu_ports::Broker for Gateway {
    fn publish(&self, scope: Scope, message: OutboundMessage) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move { self.edge.broker.publish(&scope, message).await })
    }

    fn publish_as(
        &self,
        certificate: CertificateId,
        peer: PeerInfo,
        message: OutboundMessage,
    ) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let peer = PeerInfo { certificate: Some(certificate), ..peer };
            match DeviceAccess::for_request(&self.edge.fleet, &peer) {
                Ok(access) => self.edge.broker.publish_as(&access, message).await,
                Err(Refusal::NotAuthenticated { .. } | Refusal::NotAuthorized { .. }) => {
                    Err(BrokerError::NotAuthorized { topic: message.topic.as_ref().to_owned() })
                }
            }
        })
    }

    fn may_publish_as(&self, certificate: CertificateId, peer: &PeerInfo, topic: &str) -> Result<(), BrokerError> {
        let peer = PeerInfo { certificate: Some(certificate), ..peer.clone() };
        let refused = || BrokerError::NotAuthorized { topic: topic.to_owned() };
        let access = DeviceAccess::for_request(&self.edge.fleet, &peer).map_err(|_: Refusal| refused())?;
        if access.may_publish(topic, false) {
            return Ok(());
        }
        access.count_denied(DeniedAction::Publish, topic);
        Err(refused())
    }

    fn websocket(
        &self,
        stream: Box<dyn ByteStream>,
        peer: PeerInfo,
        identity: WebSocketIdentity,
    ) -> BoxFuture<'static, ()> {
        let edge = self.edge.clone();
        Box::pin(async move {
            let stream: Box<dyn ByteStream> = Box::new(WebSocketBytes::new(stream).await);
            match identity {
                WebSocketIdentity::Certificate(certificate) => {
                    let peer = PeerInfo { certificate: Some(certificate), ..peer };
                    edge.broker.serve(stream, peer, edge.devices.clone()).await;
                }
                WebSocketIdentity::Operator { key, scope } => {
                    let gatekeeper = Arc::new(OperatorGatekeeper::new(edge.fleet.clone(), key, scope));
                    serve_operator(&edge, stream, peer, gatekeeper).await;
                }
            }
        })
    }

    fn disconnect(&self, scope: &Scope, client: &ClientId, reason: DisconnectReason) -> bool {
        self.edge.broker.kick(scope, client, reason)
    }

    fn drain_meters(&self, readings: &mut Vec<MeterReading>) {
        self.edge.fleet.meters.drain(readings);
    }
}

impl Presence for Gateway {
    fn is_connected(&self, scope: &Scope, reporter: &ReporterName) -> bool {
        self.edge.fleet.meters.is_connected(scope, reporter)
    }
}

impl ChangeObserver for Gateway {
    fn committed(&self, batch: &[Change]) {
        let mut may_matter = false;
        for change in batch {
            match change {
                Change::Put(_, Record::AccessKey(key)) if key.status == AccessKeyStatus::Revoked => {
                    self.end_operator(&key.id);
                }
                Change::Delete(_, RecordKey::AccessKey(id)) => self.end_operator(id),
                Change::Put(_, record) => may_matter |= concerns_rights(&record.key()),
                Change::Delete(_, key) => may_matter |= concerns_rights(key),
                Change::AppendViolationEvent(..)
                | Change::AppendDatapoint(..)
                | Change::PutDelivery(_)
                | Change::DeleteDelivery(_)
                | Change::Indicators(_) => {}
            }
        }
        if may_matter {
            self.rights_changed.notify_one();
        }
    }
}

/// Whether such a record has a part in what a device may do.
fn concerns_rights(key: &RecordKey) -> bool {
    match key {
        RecordKey::Thing(_)
        | RecordKey::ThingGroup(_)
        | RecordKey::GroupMembership(_)
        | RecordKey::Certificate(_)
        | RecordKey::ThingPrincipal(..)
        | RecordKey::Policy(_)
        | RecordKey::PolicyAttachment(_) => true,
        RecordKey::ThingType(_)
        | RecordKey::ResourceTags(_)
        | RecordKey::SecurityProfile(_)
        | RecordKey::Topic(_)
        | RecordKey::Subscription(_)
        | RecordKey::AccessKey(_)
        | RecordKey::ActiveViolation(_) => false,
    }
}
