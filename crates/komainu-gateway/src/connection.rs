//! One task per connection: it owns the byte stream and the client's flow.
//!
//! Each turn takes what the peer sent (many packets), what others queued for the client (many messages) and what
//! was written down meanwhile (acknowledgements that waited), and puts all output into one write, which is one TLS
//! record. Buffers belong to the thread, not to the connection: an idle connection has none.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use komainu_model::{ClientId, DisconnectReason, ReporterName};
use komainu_ports::{PeerInfo, StoredWill};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use tracing::{debug, warn};

use crate::access::{Access, ConnectRequest, Gatekeeper, Refusal};
use crate::broker::{Broker, NotAttached, ScopeState, Wish};
use crate::decode::{self, ConnectError, Frame};
use crate::encode::{self, ConnackProperties};
use crate::events;
use crate::flow::{Delivery, Flow};
use crate::lifecycle::Subject;
use crate::link::{Link, Signal};
use crate::packet::{Reason, Version, Violation, kind};
use crate::publish::{Obstacle, Routes, WRITER_POLL_INTERVAL};
use crate::replies::Replies;
use crate::session::{Online, Session, Will};

/// Bytes that are read at once, into a buffer that all connections of a thread share.
const READ_BYTES: usize = 64 * 1024;
/// Output that is collected before it is written. More messages wait in the session's queue.
const WRITE_BYTES: usize = 64 * 1024;
/// Output that may wait for a peer before nothing more is read from it: a peer that does not take its
/// acknowledgements does not get to ask for more of them.
const UNWRITTEN_BYTES_MAX: usize = 256 * 1024;
/// Messages that are taken from the session's queue at once: its lock is held that long.
const BATCH_MESSAGES: usize = 128;
/// Output buffers that a thread keeps for its next connection.
const SPARE_BUFFERS_MAX: usize = 4;
/// How long the last words to a peer may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// The session expiry that stands for no connection limit.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
    static SPARE_BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Why and how a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) reason: DisconnectReason,
    /// What an MQTT 5 client is told, with a reason string.
    pub(crate) farewell: Option<(Reason, Option<&'static str>)>,
    /// The client took its will back.
    pub(crate) without_will: bool,
    /// The client changed how long its session lives.
    pub(crate) expiry_s: Option<u32>,
}

impl End {
    /// An end without a word.
    pub(crate) fn silent(reason: DisconnectReason) -> Self {
        Self { reason, farewell: None, without_will: false, expiry_s: None }
    }

    /// The client broke the protocol.
    pub(crate) fn violation(violation: Violation) -> Self {
        let farewell = Some((violation.reason, Some(violation.what)));
        Self { farewell, ..Self::silent(DisconnectReason::ClientError) }
    }

    /// The client did what it may not do.
    pub(crate) fn forbidden() -> Self {
        let farewell = Some((Reason::NotAuthorized, None));
        Self { farewell, ..Self::silent(DisconnectReason::ForbiddenAccess) }
    }

    /// Somebody else ended the connection.
    fn asked_for(reason: DisconnectReason) -> Self {
        let farewell = match reason {
            DisconnectReason::AuthError | DisconnectReason::ForbiddenAccess => Some(Reason::NotAuthorized),
            DisconnectReason::DuplicateClientId => Some(Reason::SessionTakenOver),
            DisconnectReason::MqttKeepAliveTimeout => Some(Reason::KeepAliveTimeout),
            DisconnectReason::ServerError => Some(Reason::Unspecified),
            DisconnectReason::ServerInitiatedDisconnect => Some(Reason::ServerShuttingDown),
            DisconnectReason::ApiInitiatedDisconnect | DisconnectReason::WebsocketTtlExpiration => {
                Some(Reason::AdministrativeAction)
            }
            DisconnectReason::Throttled => Some(Reason::QuotaExceeded),
            DisconnectReason::ClientError => Some(Reason::ProtocolError),
            DisconnectReason::ClientInitiatedDisconnect | DisconnectReason::ConnectionLost => None,
        };
        Self { farewell: farewell.map(|reason| (reason, None)), ..Self::silent(reason) }
    }
}

/// A connection with a session.
pub(crate) struct Connection<'a> {
    pub(crate) broker: &'a Arc<Broker>,
    pub(crate) scope: Arc<ScopeState>,
    pub(crate) session: Arc<Session>,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) link: Arc<Link>,
    pub(crate) subject: Subject,
    pub(crate) version: Version,
    /// How long the session outlives the connection.
    pub(crate) expiry_s: u32,
    pub(crate) flow: Flow,
    pub(crate) replies: Replies,
    /// QoS 1 and 2 messages of the client that have not had their last acknowledgement.
    pub(crate) receiving: usize,
    /// Topics by the client's alias, from 1.
    pub(crate) aliases_in: Vec<Option<Arc<str>>>,
    aliases_out: HashMap<Arc<str>, u16, ahash::RandomState>,
    aliases_out_max: u16,
    /// The most unacknowledged messages to the client.
    window: usize,
    /// The largest packet that the client takes.
    packet_bytes_max: usize,
    request_problem_information: bool,
    /// Where the last message went: devices mostly publish to one topic.
    pub(crate) routes: Option<Arc<Routes>>,
    /// Why nothing is read from the client, since when.
    pub(crate) obstacle: Option<(Obstacle, Instant)>,
    /// Reports of QoS 0 that are with the sink.
    pub(crate) reports_pending: Arc<std::sync::atomic::AtomicUsize>,
    /// Received and not understood yet: part of a packet, or packets behind an obstacle.
    unread: Vec<u8>,
    pub(crate) out: Vec<u8>,
    written: usize,
    is_flushed: bool,
    /// There may be messages in the session's queue that can be sent.
    pub(crate) may_deliver: bool,
    pub(crate) heard_at: Instant,
    silence_max: Option<Duration>,
    unwritable_since: Option<Instant>,
}

/// Speaks MQTT over one connection, from CONNECT to its end.
pub(crate) async fn serve<S>(broker: &Arc<Broker>, stream: &mut S, peer: &PeerInfo, gatekeeper: &dyn Gatekeeper)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let deadline = Instant::now() + Duration::from_millis(broker.context.limits.connect_timeout_ms);
    // The beginning and the end are boxed: a task keeps the memory of its largest part for as long as it lasts, and most
    // connections are idle most of the time.
    let received = match timeout_at(deadline, Box::pin(read_connect(broker, stream))).await {
        Ok(Ok(received)) => received,
        Ok(Err(what)) => return debug!(peer = %peer.address, what, "connection ended before CONNECT"),
        Err(_) => return debug!(peer = %peer.address, "no CONNECT in time"),
    };
    let mut out = Vec::new();
    let connection = Box::pin(accept(broker, peer, gatekeeper, &received, &mut out)).await;
    drop(received);
    match connection {
        Some(mut connection) => {
            connection.out = out;
            let end = connection.run(stream).await;
            Box::pin(connection.close(stream, end)).await;
        }
        None => {
            // The refusal, if there is one; nobody waits for it to arrive.
            let _ = timeout(FAREWELL, write_all(stream, &out)).await;
        }
    }
    let _ = timeout(FAREWELL, stream.shutdown()).await;
}

/// A CONNECT packet, and what came after it in the same read.
struct Received {
    bytes: Vec<u8>,
    connect_bytes: usize,
}

async fn read_connect<S: AsyncRead + Unpin>(broker: &Broker, stream: &mut S) -> Result<Received, &'static str> {
    let mut bytes = Vec::with_capacity(512);
    loop {
        let framed = decode::frame(&bytes, broker.context.limits.packet_bytes_max).map_err(|broken| broken.what)?;
        if let Some(Frame { packet_bytes, .. }) = framed {
            return Ok(Received { bytes, connect_bytes: packet_bytes });
        }
        // [MQTT-3.1.0-1]: refused before its body is waited for.
        if bytes.first().is_some_and(|first| *first != kind::CONNECT << 4) {
            return Err("first packet is not CONNECT");
        }
        if stream.read_buf(&mut bytes).await.map_err(|_| "connection lost")? == 0 {
            return Err("connection lost");
        }
    }
}

/// Judges a CONNECT packet. What is to be answered is in `out`.
async fn accept<'a>(
    broker: &'a Arc<Broker>,
    peer: &PeerInfo,
    gatekeeper: &dyn Gatekeeper,
    received: &Received,
    out: &mut Vec<u8>,
) -> Option<Connection<'a>> {
    let limits = &broker.context.limits;
    let Frame { first, body, .. } = decode::frame(&received.bytes, limits.packet_bytes_max).ok().flatten()?;
    if !matches!(decode::packet_kind(first), Ok(kind::CONNECT)) {
        log_malformed(broker, None, peer.address.ip(), "first packet is not a valid CONNECT");
        return None;
    }
    let connect = match decode::connect(body) {
        Ok(connect) => connect,
        Err(ConnectError::UnsupportedVersion { level }) => {
            debug!(peer = %peer.address, level, "protocol version is not supported");
            // [MQTT-3.1.2-2]: older clients understand 3.1.1's refusal, newer ones MQTT 5's.
            match level {
                0..=4 => encode::connack_v3(out, false, 1),
                _ => encode::connack_v5_refused(out, Reason::UnsupportedVersion),
            }
            return None;
        }
        Err(ConnectError::Broken(version, violation)) => {
            log_malformed(broker, None, peer.address.ip(), violation.what);
            if version == Some(Version::V5) {
                encode::connack_v5_refused(out, violation.reason);
            }
            return None;
        }
    };
    let version = connect.version;
    let refuse = |out: &mut Vec<u8>, return_code, reason| match version {
        Version::V3 => encode::connack_v3(out, false, return_code),
        Version::V5 => encode::connack_v5_refused(out, reason),
    };
    if connect.authentication_method.is_some() {
        refuse(out, 5, Reason::BadAuthenticationMethod);
        return None;
    }
    // [MQTT-3.1.3-8]: 3.1.1 lets the server choose the id only for a session that ends with the connection.
    let is_assigned = connect.client_id.is_empty();
    let assigned = if is_assigned { broker.ports.ids.uuid() } else { String::new() };
    let id = if is_assigned { &*assigned } else { connect.client_id };
    let client = match ClientId::parse(id) {
        Ok(client) if !(is_assigned && version == Version::V3 && !connect.clean_start) => client,
        _ => {
            refuse(out, 2, Reason::ClientIdInvalid);
            return None;
        }
    };
    let will = match connect.will.as_ref().map(|will| stored_will(broker, will)).transpose() {
        Ok(will) => will,
        Err(reason) => {
            // 3.1.1 has no return code for a will; the connection is closed.
            if version == Version::V5 {
                encode::connack_v5_refused(out, reason);
            }
            return None;
        }
    };
    let request = ConnectRequest {
        client_id: &client,
        user_name: connect.user_name,
        will: connect.will.as_ref().map(|will| (will.topic, will.retain)),
    };
    let access = match gatekeeper.admit(peer, &request) {
        Ok(access) => access,
        Err(Refusal::NotAuthenticated { reason }) => {
            debug!(peer = %peer.address, %client, reason, "connection refused");
            refuse(out, 5, Reason::BadCredentials);
            return None;
        }
        Err(Refusal::NotAuthorized { action }) => {
            debug!(peer = %peer.address, %client, action, "connection refused");
            refuse(out, 5, Reason::NotAuthorized);
            return None;
        }
    };
    let asked_expiry_s = match version {
        Version::V3 if connect.clean_start => 0,
        Version::V3 => limits.session_expiry_s_default,
        Version::V5 => connect.session_expiry_s.unwrap_or(0),
    };
    let expiry_s = asked_expiry_s.min(limits.session_expiry_s_max);
    let scope = broker.scope(access.scope());
    let link = Link::new();
    let online = Online { link: link.clone(), access: access.clone() };
    let will = will.map(|stored| Will { stored, access: Some(access.clone()) });
    let wish = Wish { client: client.clone(), clean_start: connect.clean_start, expiry_s, will };
    let attached = match broker.attach(&scope, &wish, &online).await {
        Ok(attached) => attached,
        Err(NotAttached::TooManySessions) => {
            if let Some(suppressed) = broker.context.budgets.limit_reached.take_now() {
                warn!(
                    event = events::LIMIT_REACHED,
                    limit = "sessions_max",
                    %client,
                    suppressed,
                    "no room for another persistent session"
                );
            }
            refuse(out, 3, Reason::QuotaExceeded);
            access.count_disconnect(DisconnectReason::ServerError);
            return None;
        }
        Err(NotAttached::Displaced) => {
            refuse(out, 3, Reason::SessionTakenOver);
            access.count_disconnect(DisconnectReason::DuplicateClientId);
            return None;
        }
    };
    // A right that was withdrawn between the gatekeeper's answer and here was not looked for in this connection.
    if let Some(reason) = access.revoked() {
        link.end(reason);
    }
    let subject = Subject {
        client: client.clone(),
        session_identifier: broker.ports.ids.uuid(),
        principal: access.principal_id().to_owned(),
        address: peer.address.ip(),
        version: attached.connections - 1,
    };
    let keep_alive_s = match (limits.keep_alive_s_max, connect.keep_alive_s) {
        (0, asked) => asked,
        (longest, 0) if version == Version::V5 => longest,
        (longest, asked) if version == Version::V5 => asked.min(longest),
        (_, asked) => asked,
    };
    match version {
        Version::V3 => encode::connack_v3(out, attached.session_present, 0),
        Version::V5 => encode::connack_v5(
            out,
            attached.session_present,
            &ConnackProperties {
                session_expiry_s: (expiry_s != asked_expiry_s).then_some(expiry_s),
                receive_max: limits.receive_max,
                packet_bytes_max: limits.packet_bytes_max,
                topic_alias_max: limits.topic_alias_max,
                assigned_client_id: is_assigned.then_some(client.as_str()),
                server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            },
        ),
    }
    let mut connection = Connection {
        broker,
        scope,
        session: attached.session,
        access,
        link,
        subject,
        version,
        expiry_s,
        flow: attached.flow,
        replies: Replies::default(),
        receiving: 0,
        aliases_in: Vec::new(),
        aliases_out: HashMap::default(),
        aliases_out_max: connect.topic_alias_max.min(limits.topic_alias_outbound_max),
        window: usize::from(connect.receive_max.min(limits.inflight_max)),
        packet_bytes_max: connect.packet_bytes_max as usize,
        request_problem_information: connect.request_problem_information,
        routes: None,
        obstacle: None,
        reports_pending: Arc::default(),
        unread: received.bytes[received.connect_bytes..].to_vec(),
        out: Vec::new(),
        written: 0,
        is_flushed: true,
        may_deliver: true,
        heard_at: Instant::now(),
        // One and a half keep-alive intervals. [MQTT-3.1.2-24], MQTT 5 [MQTT-3.1.2-22]
        silence_max: (keep_alive_s > 0).then(|| Duration::from_millis(u64::from(keep_alive_s) * 1_500)),
        unwritable_since: None,
    };
    // [MQTT-4.4.0-1]: what was sent before is in the queue again; releases are sent at once.
    for packet_id in connection.flow.releases() {
        encode::ack(out, version, kind::PUBREL, packet_id, Reason::Success);
    }
    connection.unread.shrink_to_fit();
    debug!(client = %connection.subject.client, session_present = attached.session_present, "connected");
    broker.tell_connected(&connection.scope, &connection.subject);
    Some(connection)
}

/// Says that a client broke the protocol. Before its CONNECT is read it has no name.
fn log_malformed(broker: &Broker, who: Option<(&ClientId, &ReporterName)>, address: IpAddr, reason: &str) {
    if let Some(suppressed) = broker.context.budgets.malformed_packet.take_now() {
        warn!(
            event = events::MALFORMED_PACKET,
            client = who.map(|(client, _)| tracing::field::display(client)),
            reporter = who.map(|(_, reporter)| tracing::field::display(reporter)),
            %address,
            reason,
            suppressed,
            "client broke the protocol"
        );
    }
}

fn stored_will(broker: &Broker, will: &decode::Will<'_>) -> Result<StoredWill, Reason> {
    let limits = &broker.context.limits;
    let is_ordinary = crate::topic::purpose(will.topic) == crate::topic::Purpose::Ordinary;
    if !is_ordinary || crate::topic::check_name(will.topic, limits).is_err() {
        return Err(Reason::TopicNameInvalid);
    }
    if will.payload.len() > limits.payload_bytes_max as usize {
        return Err(Reason::PacketTooLarge);
    }
    Ok(StoredWill {
        delay_s: will.delay_s,
        qos: will.qos,
        retain: will.retain,
        message: Arc::new(komainu_ports::StoredMessage {
            topic: will.topic.into(),
            payload: bytes::Bytes::copy_from_slice(will.payload),
            qos: will.qos,
            properties: bytes::Bytes::copy_from_slice(&will.forwarded),
            expires_at: None,
        }),
        expiry_s: will.expiry_s,
    })
}

impl Connection<'_> {
    /// Works until the connection ends.
    async fn run<S: AsyncRead + AsyncWrite + Send + Unpin>(&mut self, stream: &mut S) -> End {
        let mut alarm = Box::pin(sleep_until(Instant::now() + NEVER));
        poll_fn(|context| self.poll(Pin::new(stream), context, alarm.as_mut())).await
    }

    fn poll<S: AsyncRead + AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
        mut alarm: Pin<&mut Sleep>,
    ) -> Poll<End> {
        self.link.register(context);
        loop {
            match self.turn(stream.as_mut(), context) {
                Err(end) => return Poll::Ready(end),
                Ok(true) => continue,
                Ok(false) => {}
            }
            // Nothing moves: wait for the peer, a signal or the earliest deadline.
            let deadline = self.deadline();
            if deadline < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(deadline);
            }
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if let Err(end) = self.on_alarm() {
                return Poll::Ready(end);
            }
            alarm.as_mut().reset(self.deadline());
        }
    }

    /// Does what can be done without waiting; says whether anything moved.
    fn turn<S: AsyncRead + AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Result<bool, End> {
        let signals = self.link.take();
        if signals.has(Signal::End)
            && let Some(reason) = self.link.end_reason()
        {
            return Err(End::asked_for(reason));
        }
        self.may_deliver |= signals.has(Signal::Deliver);
        let mut moved = false;
        if signals.has(Signal::Room) {
            self.obstacle = None;
            self.heard_at = Instant::now();
        }
        if self.obstacle.is_none() && !self.unread.is_empty() && self.may_read() {
            moved |= self.read_on()?;
        }
        self.settle_replies()?;
        self.deliver();
        moved |= self.poll_write(stream.as_mut(), context)?;
        if self.obstacle.is_none() && self.may_read() {
            moved |= self.poll_read(stream, context)?;
        }
        if !moved {
            self.release_buffers();
        }
        Ok(moved)
    }

    /// Whether more of the client's packets may be looked at.
    fn may_read(&self) -> bool {
        self.out.len() - self.written < UNWRITTEN_BYTES_MAX
            && (self.version == Version::V5 || self.replies.len() < usize::from(self.broker.context.limits.receive_max))
    }

    fn poll_read<S: AsyncRead>(&mut self, stream: Pin<&mut S>, context: &mut Context<'_>) -> Result<bool, End> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            match stream.poll_read(context, &mut read) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(_)) => return Err(End::silent(DisconnectReason::ConnectionLost)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    return Err(End::silent(DisconnectReason::ConnectionLost));
                }
                Poll::Ready(Ok(())) => {}
            }
            if self.unread.is_empty() {
                let consumed = self.on_bytes(read.filled())?;
                self.unread.extend_from_slice(&read.filled()[consumed..]);
            } else {
                self.unread.extend_from_slice(read.filled());
                self.read_on()?;
            }
            Ok(true)
        })
    }

    /// Looks at what was received before.
    fn read_on(&mut self) -> Result<bool, End> {
        let mut unread = std::mem::take(&mut self.unread);
        let consumed = self.on_bytes(&unread)?;
        unread.drain(..consumed);
        self.unread = unread;
        Ok(consumed > 0)
    }

    /// Handles the packets in `bytes` until there is no whole one or an obstacle; says how many bytes that were.
    fn on_bytes(&mut self, bytes: &[u8]) -> Result<usize, End> {
        let mut consumed = 0;
        while self.may_read() {
            let framed = decode::frame(&bytes[consumed..], self.broker.context.limits.packet_bytes_max);
            let Some(Frame { first, body, packet_bytes }) = framed.map_err(End::violation)? else { break };
            self.on_packet(first, body)?;
            if self.obstacle.is_some() {
                break;
            }
            consumed += packet_bytes;
        }
        if consumed > 0 {
            self.heard_at = Instant::now();
        }
        Ok(consumed)
    }

    fn poll_write<S: AsyncWrite>(&mut self, mut stream: Pin<&mut S>, context: &mut Context<'_>) -> Result<bool, End> {
        let lost = |_| End::silent(DisconnectReason::ConnectionLost);
        let mut moved = false;
        while self.written < self.out.len() {
            match stream.as_mut().poll_write(context, &self.out[self.written..]) {
                Poll::Ready(written) => {
                    let written = written.map_err(lost)?;
                    if written == 0 {
                        return Err(End::silent(DisconnectReason::ConnectionLost));
                    }
                    self.written += written;
                    self.is_flushed = false;
                    self.unwritable_since = None;
                    moved = true;
                }
                Poll::Pending => {
                    self.unwritable_since.get_or_insert_with(Instant::now);
                    return Ok(moved);
                }
            }
        }
        if !self.out.is_empty() {
            self.out.clear();
            self.written = 0;
        }
        if !self.is_flushed {
            match stream.poll_flush(context) {
                Poll::Ready(flushed) => {
                    flushed.map_err(lost)?;
                    self.is_flushed = true;
                    self.unwritable_since = None;
                }
                Poll::Pending => {
                    self.unwritable_since.get_or_insert_with(Instant::now);
                }
            }
        }
        Ok(moved)
    }

    /// Puts acknowledgements into the output whose time has come.
    fn settle_replies(&mut self) -> Result<(), End> {
        let (log, link) = (&self.broker.context.log, &self.link);
        self.receiving = self.receiving.saturating_sub(self.replies.settle(log, link, self.version, &mut self.out)?);
        if self.replies.longest() > self.packet_bytes_max {
            // [MQTT-3.1.2-24]: an acknowledgement that the client cannot take cannot be sent.
            return Err(End::silent(DisconnectReason::ClientError));
        }
        Ok(())
    }

    /// Sends messages from the session's queue, as long as there is room in the output and in the client's window.
    fn deliver(&mut self) {
        if !self.may_deliver {
            return;
        }
        let mut batch = Vec::new();
        let mut last_durable = None;
        while self.out.len() - self.written < WRITE_BYTES {
            let window = self.flow.room(self.window);
            let flow = &self.flow;
            let may_send = |sequence| flow.in_span(sequence);
            self.session.pop(&self.broker.context.limits, BATCH_MESSAGES, window, may_send, &mut batch);
            if batch.is_empty() {
                self.may_deliver = false;
                break;
            }
            if self.out.capacity() == 0 {
                self.out = SPARE_BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
            }
            for delivery in batch.drain(..) {
                if delivery.durable {
                    last_durable = Some(delivery.sequence);
                }
                self.send(delivery);
            }
        }
        if let Some(sequence) = last_durable {
            let session = self.session.number;
            let operation = komainu_ports::SessionOperation::SentThrough { session, sequence };
            self.broker.context.log.submit(operation);
        }
    }

    fn send(&mut self, delivery: Delivery) {
        let message = &delivery.message;
        let expiry_s = match message.expires_at {
            // What was sent once is sent again, however late. [MQTT-4.3.3-7]
            Some(_) if delivery.dup => None,
            None => None,
            Some(at) => {
                let left = at.since(self.broker.ports.clock.now());
                if left.is_zero() {
                    return self.give_up(&delivery);
                }
                // Rounded up: a message that is still delivered has time left. [MQTT-3.3.2-6]
                Some(u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
            }
        };
        if !self.access.may_receive(&message.topic) {
            self.access.count_denied(crate::access::DeniedAction::Receive, &message.topic);
            return self.give_up(&delivery);
        }
        let mut publish = encode::Publish {
            dup: delivery.dup,
            qos: delivery.qos,
            retain: delivery.retain,
            topic: &message.topic,
            packet_id: if delivery.sequence == 0 { 0 } else { crate::flow::packet_id(delivery.sequence) },
            topic_alias: None,
            expiry_s,
            identifiers: delivery.identifiers.as_slice(),
            forwarded: &message.properties,
            payload: &message.payload,
        };
        // [MQTT-3.1.2-25]: what the client cannot take counts as delivered.
        if self.version == Version::V5 && publish.packet_bytes(self.version) > self.packet_bytes_max {
            return self.give_up(&delivery);
        }
        if self.aliases_out_max > 0 {
            match self.aliases_out.get(&message.topic) {
                Some(alias) => (publish.topic, publish.topic_alias) = ("", Some(*alias)),
                None if self.aliases_out.len() < usize::from(self.aliases_out_max) => {
                    let alias = self.aliases_out.len() as u16 + 1;
                    publish.topic_alias = Some(alias);
                    if publish.packet_bytes(self.version) > self.packet_bytes_max {
                        publish.topic_alias = None;
                    } else {
                        self.aliases_out.insert(message.topic.clone(), alias);
                    }
                }
                None => {}
            }
        }
        publish.append(&mut self.out, self.version);
        self.access.count_received(message.payload.len());
        if delivery.sequence != 0 {
            self.flow.sent(delivery);
        }
    }

    fn give_up(&self, delivery: &Delivery) {
        self.broker.complete(&self.session, delivery);
    }

    /// When to look at the connection again although nothing happened.
    fn deadline(&self) -> Instant {
        let limits = &self.broker.context.limits;
        let now = Instant::now();
        let mut deadline = now + NEVER;
        match &self.obstacle {
            Some((Obstacle::Client(_), since)) => {
                deadline = deadline.min(*since + Duration::from_millis(limits.stall_ms));
            }
            Some((Obstacle::Writer, _)) => deadline = deadline.min(now + WRITER_POLL_INTERVAL),
            // A client is only silent while it is listened to.
            None => {
                if let Some(silence_max) = self.silence_max
                    && self.may_read()
                {
                    deadline = deadline.min(self.heard_at + silence_max);
                }
            }
        }
        if let Some(since) = self.unwritable_since {
            deadline = deadline.min(since + Duration::from_millis(limits.write_timeout_ms));
        }
        deadline
    }

    fn on_alarm(&mut self) -> Result<(), End> {
        let limits = &self.broker.context.limits;
        let now = Instant::now();
        if self.unwritable_since.is_some_and(|since| since + Duration::from_millis(limits.write_timeout_ms) <= now) {
            return Err(End::silent(DisconnectReason::ConnectionLost));
        }
        match &mut self.obstacle {
            Some((Obstacle::Client(session), since)) => {
                if *since + Duration::from_millis(limits.stall_ms) <= now {
                    *since = now;
                    self.broker.throttle(session);
                }
            }
            Some((Obstacle::Writer, _)) => {
                self.obstacle = None;
                self.heard_at = now;
            }
            None => {
                if self.may_read() && self.silence_max.is_some_and(|silence_max| self.heard_at + silence_max <= now) {
                    return Err(End::asked_for(DisconnectReason::MqttKeepAliveTimeout));
                }
            }
        }
        Ok(())
    }

    /// Gives buffers back when there is nothing in them.
    fn release_buffers(&mut self) {
        if self.out.is_empty() && self.out.capacity() > 0 {
            let buffer = std::mem::take(&mut self.out);
            if buffer.capacity() <= 4 * WRITE_BYTES {
                SPARE_BUFFERS.with_borrow_mut(|spare| {
                    if spare.len() < SPARE_BUFFERS_MAX {
                        spare.push(buffer);
                    }
                });
            }
        }
        if self.unread.is_empty() && self.unread.capacity() > 0 {
            self.unread = Vec::new();
        }
    }

    /// Gives the session back, then says farewell: a newcomer does not wait for a peer that does not listen.
    async fn close<S: AsyncWrite + Unpin>(mut self, stream: &mut S, end: End) {
        let flow = std::mem::take(&mut self.flow);
        self.broker.detach(&self.scope, &self.session, flow, end.expiry_s, !end.without_will);
        self.broker.tell_disconnected(&self.scope, &self.subject, end.reason);
        self.access.count_disconnect(end.reason);
        match end.farewell {
            Some((_, what)) if end.reason == DisconnectReason::ClientError => {
                let who = (&self.subject.client, self.access.reporter());
                log_malformed(self.broker, Some(who), self.subject.address, what.unwrap_or("protocol error"));
            }
            _ => debug!(client = %self.subject.client, reason = end.reason.as_str(), "disconnected"),
        }
        if self.version == Version::V5
            && let Some((reason, what)) = end.farewell
        {
            // The rest of the packet is 7 bytes: reason strings are short. [MQTT-3.14.2-3]
            let fits = |what: &&str| self.request_problem_information && what.len() + 7 <= self.packet_bytes_max;
            encode::disconnect(&mut self.out, reason, what.filter(fits));
        }
        if end.farewell.is_some() {
            let _ = timeout(FAREWELL, write_all(stream, &self.out[self.written..])).await;
        }
    }
}

async fn write_all<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
