//! A broker with made-up neighbours, and a client that speaks in bytes.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use komainu_model::{DisconnectReason, ReporterName, Scope, Timestamp};
use komainu_ports::{
    BoxFuture, ManualClock, MemorySessionStore, OutboundMessage, PeerInfo, QualityOfService, ReportMessage, ReportSink,
    ReportSinkError, SeededIds, SessionStore,
};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use crate::access::{Access, ConnectRequest, DeniedAction, Gatekeeper, Refusal};
use crate::broker::{Broker, BrokerPorts};
use crate::limits::Limits;

/// Bytes in each direction of a connection before the other side must read: as much as a socket holds.
const PIPE_BYTES: usize = 64 * 1024;

/// Longer than anything here takes; in virtual time it costs nothing.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) struct World {
    pub(super) broker: Arc<Broker>,
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) gatekeeper: Arc<TestGatekeeper>,
    pub(super) reports: Arc<TestSink>,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(super) async fn with_limits(limits: Limits) -> Self {
        Self::with_store(limits, Arc::new(MemorySessionStore::default())).await
    }

    pub(super) async fn with_store(limits: Limits, store: Arc<dyn SessionStore>) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_millis(1_700_000_000_000)));
        let reports = Arc::new(TestSink::default());
        let ports = BrokerPorts {
            sessions: store.clone(),
            reports: reports.clone(),
            clock: clock.clone(),
            ids: Arc::new(SeededIds::new(0)),
            budgets: Arc::default(),
        };
        let broker = Broker::new(limits, ports).await.unwrap();
        Self { broker, store, clock, gatekeeper: Arc::default(), reports }
    }

    /// A connection on which nothing was said yet.
    pub(super) fn open(&self) -> Client {
        self.open_as(self.gatekeeper.clone())
    }

    pub(super) fn open_as(&self, gatekeeper: Arc<TestGatekeeper>) -> Client {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let (broker, peer) = (self.broker.clone(), peer());
        tokio::spawn(async move { broker.serve(theirs, peer, gatekeeper).await });
        Client { stream: ours, version: 4 }
    }

    /// A connected 3.1.1 client with a clean session.
    pub(super) async fn v3(&self, id: &str) -> Client {
        let mut client = self.open();
        client.send(&Connect::v3(id).packet()).await;
        client.expect(&[0x20, 2, 0, 0]).await;
        client
    }

    /// A connected MQTT 5 client with a clean start and no session expiry.
    pub(super) async fn v5(&self, id: &str) -> Client {
        self.v5_with(&Connect::v5(id)).await
    }

    pub(super) async fn v5_with(&self, connect: &Connect) -> Client {
        let mut client = self.open();
        client.send(&connect.packet()).await;
        let connack = client.packet().await;
        assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:02x?}");
        client.version = 5;
        client
    }

    /// The server publishes.
    pub(super) async fn publish(&self, topic: &str, payload: &str, qos: QualityOfService) {
        let message = OutboundMessage::new(topic, payload.as_bytes().to_vec(), qos);
        self.broker.publish(&scope(), message).await.unwrap();
    }

    /// Everything that happens by itself until then has happened.
    pub(super) async fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
        tokio::time::advance(duration).await;
    }

    /// What the gatekeeper was told, in order.
    pub(super) fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.gatekeeper.told.lock())
    }
}

pub(super) fn scope() -> Scope {
    crate::testing::scope()
}

fn peer() -> PeerInfo {
    PeerInfo { address: SocketAddr::from(([192, 0, 2, 7], 4711)), tls: true, certificate: None, server_name: None }
}

/// One end of a connection.
pub(super) struct Client {
    pub(super) stream: DuplexStream,
    pub(super) version: u8,
}

impl Client {
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet, whole.
    pub(super) async fn packet(&mut self) -> Vec<u8> {
        timeout(PATIENCE, self.read_packet()).await.expect("a packet").expect("connection closed")
    }

    async fn read_packet(&mut self) -> Option<Vec<u8>> {
        let mut packet = vec![self.stream.read_u8().await.ok()?];
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await.ok()?;
            packet.push(byte);
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let header = packet.len();
        packet.resize(header + length, 0);
        self.stream.read_exact(&mut packet[header..]).await.ok()?;
        Some(packet)
    }

    pub(super) async fn expect(&mut self, expected: &[u8]) {
        let packet = self.packet().await;
        assert_eq!(packet, expected, "got {packet:02x?}, expected {expected:02x?}");
    }

    /// Sends and gets exactly that.
    pub(super) async fn call(&mut self, bytes: &[u8], expected: &[u8]) {
        self.send(bytes).await;
        self.expect(expected).await;
    }

    /// Nothing is on the way: the answer to a ping comes first.
    pub(super) async fn expect_nothing(&mut self) {
        self.call(&PINGREQ, &PINGRESP).await;
    }

    /// The connection was closed without another word.
    pub(super) async fn expect_closed(&mut self) {
        let packet = timeout(PATIENCE, self.read_packet()).await.expect("the connection is still open");
        assert_eq!(packet, None);
    }

    /// DISCONNECT with this reason comes, if it is an MQTT 5 client, and the connection is closed.
    pub(super) async fn expect_ended(&mut self, reason: u8) {
        if self.version == 5 {
            let packet = self.packet().await;
            assert_eq!((packet[0], packet[2]), (0xe0, reason), "{packet:02x?}");
        }
        self.expect_closed().await;
    }

    pub(super) async fn subscribe(&mut self, filter: &str, options: u8) {
        let expected: &[u8] =
            if self.version == 5 { &[0x90, 4, 0, 1, 0, options & 3] } else { &[0x90, 3, 0, 1, options] };
        let packet = subscribe(self.version, 1, &[(filter, options)]);
        self.call(&packet, expected).await;
    }

    /// DISCONNECT, and the broker has noticed.
    pub(super) async fn disconnect(mut self) {
        self.send(&[0xe0, 0]).await;
        self.expect_closed().await;
    }

    /// The connection is lost, and the broker has noticed.
    pub(super) async fn lose(mut self) {
        self.stream.shutdown().await.unwrap();
        while self.read_packet().await.is_some() {}
    }
}

pub(super) const PINGREQ: [u8; 2] = [0xc0, 0];
pub(super) const PINGRESP: [u8; 2] = [0xd0, 0];

/// A packet with its remaining length.
pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    packet.extend(var(body.len()));
    packet.extend_from_slice(body);
    packet
}

pub(super) fn var(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

pub(super) fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

/// A CONNECT packet in the making.
#[derive(Clone)]
pub(super) struct Connect {
    pub(super) level: u8,
    pub(super) flags: u8,
    pub(super) keep_alive_s: u16,
    pub(super) properties: Vec<u8>,
    pub(super) id: String,
    /// What follows the client id.
    pub(super) rest: Vec<u8>,
}

impl Connect {
    pub(super) fn v3(id: &str) -> Self {
        Self { level: 4, flags: 2, keep_alive_s: 0, properties: vec![], id: id.to_owned(), rest: vec![] }
    }

    pub(super) fn v5(id: &str) -> Self {
        Self { level: 5, ..Self::v3(id) }
    }

    /// Clean session 0, or clean start 0.
    pub(super) fn resume(mut self) -> Self {
        self.flags &= !2;
        self
    }

    pub(super) fn keep_alive(self, keep_alive_s: u16) -> Self {
        Self { keep_alive_s, ..self }
    }

    pub(super) fn property(mut self, bytes: &[u8]) -> Self {
        self.properties.extend_from_slice(bytes);
        self
    }

    pub(super) fn expiry(self, seconds: u32) -> Self {
        self.property(&[&[0x11][..], &seconds.to_be_bytes()].concat())
    }

    pub(super) fn will(mut self, topic: &str, payload: &str, qos: u8, retain: bool, properties: &[u8]) -> Self {
        self.flags |= 4 | qos << 3 | u8::from(retain) << 5;
        if self.level == 5 {
            self.rest.extend(var(properties.len()));
            self.rest.extend_from_slice(properties);
        }
        self.rest.extend(string(topic));
        self.rest.extend(string(payload));
        self
    }

    pub(super) fn packet(&self) -> Vec<u8> {
        let mut body = string("MQTT");
        body.extend([self.level, self.flags]);
        body.extend(self.keep_alive_s.to_be_bytes());
        if self.level == 5 {
            body.extend(var(self.properties.len()));
            body.extend_from_slice(&self.properties);
        }
        body.extend(string(&self.id));
        body.extend_from_slice(&self.rest);
        packet(0x10, &body)
    }
}

/// A PUBLISH packet; `flags` are the lower half of the first byte; the packet id is left out at QoS 0.
pub(super) fn publish(version: u8, flags: u8, topic: &str, packet_id: u16, payload: &str) -> Vec<u8> {
    publish_with(version, flags, topic, packet_id, &[], payload)
}

pub(super) fn publish_with(
    version: u8,
    flags: u8,
    topic: &str,
    packet_id: u16,
    properties: &[u8],
    payload: &str,
) -> Vec<u8> {
    let mut body = string(topic);
    if flags & 6 != 0 {
        body.extend(packet_id.to_be_bytes());
    }
    if version == 5 {
        body.extend(var(properties.len()));
        body.extend_from_slice(properties);
    }
    body.extend_from_slice(payload.as_bytes());
    packet(0x30 | flags, &body)
}

pub(super) fn ack(first: u8, packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [first, 2, high, low]
}

pub(super) fn subscribe(version: u8, packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    subscribe_with(version, packet_id, &[], filters)
}

pub(super) fn subscribe_with(version: u8, packet_id: u16, properties: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == 5 {
        body.extend(var(properties.len()));
        body.extend_from_slice(properties);
    }
    for (filter, options) in filters {
        body.extend(string(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

pub(super) fn unsubscribe(version: u8, packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == 5 {
        body.push(0);
    }
    for filter in filters {
        body.extend(string(filter));
    }
    packet(0xa2, &body)
}

/// Lets in who is not refused; `denied` holds `publish TOPIC`, `retain TOPIC`, `subscribe FILTER`, `receive TOPIC`.
#[derive(Default, Clone)]
pub(super) struct TestGatekeeper {
    pub(super) refusal: Arc<Mutex<Option<Refusal>>>,
    pub(super) denied: Arc<Mutex<HashSet<String>>>,
    pub(super) revoked: Arc<AtomicBool>,
    pub(super) told: Arc<Mutex<Vec<String>>>,
    pub(super) sent: Arc<AtomicUsize>,
    pub(super) received: Arc<AtomicUsize>,
    pub(super) other_scope: bool,
}

impl TestGatekeeper {
    pub(super) fn deny(&self, what: &str) {
        self.denied.lock().insert(what.to_owned());
    }
}

impl Gatekeeper for TestGatekeeper {
    fn admit(&self, _: &PeerInfo, connect: &ConnectRequest<'_>) -> Result<Arc<dyn Access>, Refusal> {
        if let Some(refusal) = self.refusal.lock().clone() {
            return Err(refusal);
        }
        let mut scope = scope();
        if self.other_scope {
            scope.region = komainu_model::Region::parse("elsewhere-1").unwrap();
        }
        let reporter = ReporterName::parse(connect.client_id.as_str()).unwrap();
        Ok(Arc::new(TestAccess { gatekeeper: self.clone(), scope, reporter }))
    }
}

struct TestAccess {
    gatekeeper: TestGatekeeper,
    scope: Scope,
    reporter: ReporterName,
}

impl TestAccess {
    fn may(&self, what: &str, subject: &str) -> bool {
        !self.gatekeeper.denied.lock().contains(&format!("{what} {subject}"))
    }

    fn tell(&self, what: String) {
        self.gatekeeper.told.lock().push(what);
    }
}

impl Access for TestAccess {
    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn reporter(&self) -> &ReporterName {
        &self.reporter
    }

    fn principal_id(&self) -> &str {
        "principal"
    }

    fn may_publish(&self, topic: &str, retain: bool) -> bool {
        self.may("publish", topic) && (!retain || self.may("retain", topic))
    }

    fn may_subscribe(&self, filter: &str) -> bool {
        self.may("subscribe", filter)
    }

    fn may_receive(&self, topic: &str) -> bool {
        self.may("receive", topic)
    }

    fn revoked(&self) -> Option<DisconnectReason> {
        self.gatekeeper.revoked.load(Ordering::SeqCst).then_some(DisconnectReason::AuthError)
    }

    fn count_sent(&self, _: usize) {
        self.gatekeeper.sent.fetch_add(1, Ordering::SeqCst);
    }

    fn count_received(&self, _: usize) {
        self.gatekeeper.received.fetch_add(1, Ordering::SeqCst);
    }

    fn count_denied(&self, action: DeniedAction, subject: &str) {
        self.tell(format!("denied {action:?} {subject}"));
    }

    fn count_disconnect(&self, reason: DisconnectReason) {
        self.tell(format!("{} {}", self.reporter, reason.as_str()));
    }
}

/// Takes reports, or refuses them, or keeps them waiting.
#[derive(Default)]
pub(super) struct TestSink {
    pub(super) taken: Mutex<Vec<ReportMessage>>,
    pub(super) busy: AtomicBool,
    pub(super) gate: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
}

impl ReportSink for TestSink {
    fn submit(&self, report: ReportMessage) -> BoxFuture<'static, Result<(), ReportSinkError>> {
        let busy = self.busy.load(Ordering::SeqCst);
        let gate = self.gate.lock().clone();
        if !busy {
            self.taken.lock().push(report);
        }
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            if busy { Err(ReportSinkError::Busy) } else { Ok(()) }
        })
    }
}
