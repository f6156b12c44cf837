//! One task per connection: it owns the byte stream and the client's flow.
//!
//! Each turn takes what the peer sent (many packets), what others queued for the client (many messages) and what
//! was written down meanwhile (acknowledgements that waited), and puts all output into one write, which is one TLS
//! record. Buffers belong to the thread, not to the connection: an idle connection has none.

mod accept;
mod deliver;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use komainu_model::DisconnectReason;
use komainu_ports::PeerInfo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use tracing::{Span, debug, warn};

use crate::access::{Access, Gatekeeper};
use crate::broker::{Broker, ScopeState};
use crate::decode::{self, Frame};
use crate::encode;
use crate::events;
use crate::flow::Flow;
use crate::lifecycle::Subject;
use crate::link::{Link, Signal};
use crate::pace::Pace;
use crate::packet::{Reason, Version, Violation, kind};
use crate::publish::{Obstacle, Routes, WRITER_POLL_INTERVAL};
use crate::replies::Replies;
use crate::session::Session;

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
/// What a peer that was bidden farewell may still send before its connection is dropped, in bytes.
const LINGER_BYTES_MAX: usize = 1024 * 1024;
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
    /// How fast the client may publish.
    pace: Pace,
    /// Nothing is read from the client before: it published faster than it may.
    paused_until: Option<Instant>,
    /// That it did was logged.
    was_paused: bool,
    /// Reports of QoS 0 that are with the sink.
    pub(crate) reports_pending: Arc<std::sync::atomic::AtomicUsize>,
    /// Received and not understood yet: part of a packet, or packets behind an obstacle.
    unread: Vec<u8>,
    /// Nothing moved at the last turn: the peer had been silent.
    was_silent: bool,
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
    let received = match timeout_at(deadline, Box::pin(accept::read_connect(broker, stream))).await {
        Ok(Ok(received)) => received,
        Ok(Err(what)) => return debug!(peer = %peer.address, what, "connection ended before CONNECT"),
        Err(_) => return debug!(peer = %peer.address, "no CONNECT in time"),
    };
    let mut out = Vec::new();
    let connection = Box::pin(accept::accept(broker, peer, gatekeeper, &received, &mut out)).await;
    drop(received);
    let last_words = match connection {
        Some(mut connection) => {
            connection.out = out;
            let end = connection.run(stream).await;
            let last_words = end.farewell.is_some();
            Box::pin(connection.close(stream, end)).await;
            last_words
        }
        None => {
            // The refusal, if there is one; nobody waits for it to arrive.
            let _ = timeout(FAREWELL, write_all(stream, &out)).await;
            !out.is_empty()
        }
    };
    let _ = timeout(FAREWELL, stream.shutdown()).await;
    if last_words {
        let _ = timeout(FAREWELL, Box::pin(linger(stream))).await;
    }
}

/// Whether what came after a silence lets other connections go first: a message does.
///
/// The runtime runs the task that was woken last first. Without this, a message could overtake the SUBSCRIBE that another
/// client sent before it, and its subscriber would miss it.
fn gives_way(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first >> 4 == kind::PUBLISH)
}

/// Takes what the peer still sends, until it closes its side, too. A connection that is closed with unread bytes is
/// reset, and a reset makes the peer's network stack throw away what it has not read: the reason that it was given.
async fn linger<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut dropped = [0; 4096];
    let mut bytes = 0;
    while bytes < LINGER_BYTES_MAX {
        match stream.read(&mut dropped).await {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes += read,
        }
    }
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
                self.was_silent = true;
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
            self.was_silent = false;
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
        self.paused_until.is_none()
            && self.out.len() - self.written < UNWRITTEN_BYTES_MAX
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
            let was_silent = std::mem::take(&mut self.was_silent);
            if self.unread.is_empty() && was_silent && gives_way(read.filled()) {
                self.unread.extend_from_slice(read.filled());
                context.waker().wake_by_ref();
                return Ok(false);
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
        let (mut consumed, mut published) = (0, 0);
        while self.may_read() {
            let framed = decode::frame(&bytes[consumed..], self.broker.context.limits.packet_bytes_max);
            let Some(Frame { first, body, packet_bytes }) = framed.map_err(End::violation)? else { break };
            self.on_packet(first, body)?;
            if self.obstacle.is_some() {
                break;
            }
            consumed += packet_bytes;
            published += u32::from(first >> 4 == kind::PUBLISH);
        }
        if consumed > 0 {
            self.heard_at = Instant::now();
            self.paused_until = self.pace.spend(published, self.heard_at);
            if self.paused_until.is_some() && !std::mem::replace(&mut self.was_paused, true) {
                self.log_paused();
            }
        }
        Ok(consumed)
    }

    /// Says once that a client publishes faster than it may.
    fn log_paused(&self) {
        if let Some(suppressed) = self.broker.context.budgets.limit_reached.take_now() {
            warn!(
                event = events::LIMIT_REACHED,
                limit = "publishes_per_s_max",
                client = %self.subject.client,
                address = %self.subject.address,
                suppressed,
                "client is slowed down"
            );
        }
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
        if let Some(paused_until) = self.paused_until {
            deadline = deadline.min(paused_until);
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
        if self.paused_until.is_some_and(|paused_until| paused_until <= now) {
            self.paused_until = None;
            self.heard_at = now;
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
        Span::current().record("komainu.outcome", end.reason.as_str());
        match end.farewell {
            Some((_, what)) if end.reason == DisconnectReason::ClientError => {
                let who = (&self.subject.client, self.access.reporter());
                accept::log_malformed(self.broker, Some(who), self.subject.address, what.unwrap_or("protocol error"));
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
