//! One client's session: its subscriptions, and what waits for it while it is connected and while it is not.
//!
//! Everyone who publishes reaches a session only through [`Session::push`]. The connection takes messages out in
//! batches and owns the client's [`Flow`] while it lasts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use komainu_model::{ClientId, DisconnectReason, Scope, Timestamp};
use komainu_ports::{
    QualityOfService as Qos, SessionNumber, SessionOperation, StoredDelivery, StoredMessage, StoredSession,
    StoredSubscription, StoredWill,
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use crate::access::Access;
use crate::durable::{DurableLog, Ticket};
use crate::events;
use crate::flow::{Delivery, Flow, Identifiers};
use crate::limits::Limits;
use crate::link::{Link, Signal};
use crate::log_budget::Budgets;

/// A session that lives after its connection.
pub(crate) const FOR_EVER: u32 = u32::MAX;

/// One client's session.
pub(crate) struct Session {
    pub(crate) number: SessionNumber,
    pub(crate) scope: Scope,
    pub(crate) client: ClientId,
    inbox: Mutex<Inbox>,
    /// Hints that publishers read without the lock.
    is_online: AtomicBool,
    is_full: AtomicBool,
    /// Told when a connection let go of the session.
    pub(crate) detached: Notify,
}

/// What the lock of a session protects.
pub(crate) struct Inbox {
    queue: VecDeque<Delivery>,
    queue_bytes: usize,
    sequence: u64,
    /// The connection.
    pub(crate) online: Option<Online>,
    /// The client's flow while there is no connection.
    pub(crate) parked: Flow,
    /// Publishers that wait until the queue has room.
    waiting: Vec<Arc<Link>>,
    /// The refusal of messages was logged; reset when there is room again.
    is_overflow_logged: bool,
    pub(crate) subscriptions: BTreeMap<Arc<str>, StoredSubscription>,
    /// 0: the session ends with its connection and nothing of it is written down.
    pub(crate) expiry_s: u32,
    pub(crate) disconnected_at: Option<Timestamp>,
    /// Published when the connection ends without a word, or later when it is delayed.
    pub(crate) will: Option<Will>,
    /// When the delayed will is published.
    pub(crate) will_due: Option<Instant>,
    /// When the session ends.
    pub(crate) expiry_due: Option<Instant>,
    /// How many connections the session has had: the version number of its presence events.
    pub(crate) connections: u64,
    /// The session is over: whoever still has it in hand must not use it.
    pub(crate) ended: bool,
}

/// The connection of a session.
#[derive(Clone)]
pub(crate) struct Online {
    pub(crate) link: Arc<Link>,
    pub(crate) access: Arc<dyn Access>,
}

/// The will of a client.
#[derive(Clone)]
pub(crate) struct Will {
    pub(crate) stored: StoredWill,
    /// What the client may do; none when the will was read back after a restart.
    pub(crate) access: Option<Arc<dyn Access>>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits for the client, and is durable when the ticket is.
    Queued(Ticket),
    /// The client is not connected and does not want it later.
    NotWanted,
    /// The client is not connected and has no room left for it.
    Refused,
}

/// What sessions share with the broker.
pub(crate) struct SessionContext {
    pub(crate) limits: Limits,
    pub(crate) log: DurableLog,
    /// Bytes that wait for sessions without a connection.
    pub(crate) offline_bytes: AtomicU64,
    /// Messages that were refused because a session had no room, since the start.
    pub(crate) refused: AtomicU64,
    /// How many log lines clients may cause.
    pub(crate) budgets: Arc<Budgets>,
}

impl Session {
    pub(crate) fn new(number: SessionNumber, scope: Scope, client: ClientId, expiry_s: u32) -> Self {
        let inbox = Inbox {
            queue: VecDeque::new(),
            queue_bytes: 0,
            sequence: 0,
            online: None,
            parked: Flow::default(),
            waiting: Vec::new(),
            is_overflow_logged: false,
            subscriptions: BTreeMap::new(),
            expiry_s,
            disconnected_at: None,
            will: None,
            will_due: None,
            expiry_due: None,
            connections: 0,
            ended: false,
        };
        Self {
            number,
            scope,
            client,
            inbox: Mutex::new(inbox),
            is_online: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            detached: Notify::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock()
    }

    pub(crate) fn is_online(&self) -> bool {
        self.is_online.load(Ordering::Relaxed)
    }

    /// Whether the client is connected and its queue is full: whoever publishes to it waits.
    pub(crate) fn is_congested(&self) -> bool {
        self.is_full.load(Ordering::Relaxed) && self.is_online()
    }

    /// Puts a message into the client's queue.
    pub(crate) fn push(
        &self,
        context: &SessionContext,
        message: &Arc<StoredMessage>,
        qos: Qos,
        retain: bool,
        identifiers: Identifiers,
        shared: Option<Arc<str>>,
    ) -> Pushed {
        let mut inbox = self.inbox.lock();
        let is_offline = inbox.online.is_none();
        if inbox.ended || (is_offline && qos == Qos::AtMostOnce) {
            return Pushed::NotWanted;
        }
        let mut delivery = Delivery {
            message: message.clone(),
            sequence: 0,
            qos,
            retain,
            dup: false,
            durable: inbox.is_persistent() && qos != Qos::AtMostOnce,
            identifiers,
            shared,
        };
        let bytes = delivery.queue_bytes();
        if is_offline && !self.has_room_offline(&mut inbox, context, bytes) {
            return Pushed::Refused;
        }
        let mut ticket = 0;
        if qos != Qos::AtMostOnce {
            inbox.sequence += 1;
            delivery.sequence = inbox.sequence;
            if delivery.durable {
                // Submitted under the lock, so that no completion comes before it.
                ticket = context.log.submit(enqueue(self.number, &delivery));
            }
        }
        inbox.queue_bytes += bytes;
        inbox.queue.push_back(delivery);
        if let Some(online) = &inbox.online {
            online.link.signal(Signal::Deliver);
        } else {
            context.offline_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        if inbox.is_full(&context.limits) {
            self.is_full.store(true, Ordering::Relaxed);
        }
        Pushed::Queued(ticket)
    }

    fn has_room_offline(&self, inbox: &mut Inbox, context: &SessionContext, bytes: usize) -> bool {
        let limits = &context.limits;
        let total = context.offline_bytes.load(Ordering::Relaxed).saturating_add(bytes as u64);
        let has_room = inbox.queue.len() < limits.offline_messages_max
            && inbox.queue_bytes + bytes <= limits.offline_bytes_max
            && total <= limits.offline_total_bytes_max;
        if !has_room {
            context.refused.fetch_add(1, Ordering::Relaxed);
            if !inbox.is_overflow_logged {
                inbox.is_overflow_logged = true;
                if let Some(suppressed) = context.budgets.limit_reached.take_now() {
                    warn!(
                        event = events::LIMIT_REACHED,
                        limit = "offline_messages",
                        client = %self.client,
                        messages = inbox.queue.len(),
                        bytes = inbox.queue_bytes,
                        suppressed,
                        "queue of a disconnected session is full, further messages are refused"
                    );
                }
            }
        }
        has_room
    }

    /// Takes messages for sending: at most `messages_max`, at most `window` of QoS 1 and 2, and none that `may_send`
    /// holds back. Publishers that wait are told when enough room was made.
    pub(crate) fn pop(
        &self,
        limits: &Limits,
        messages_max: usize,
        mut window: usize,
        may_send: impl Fn(u64) -> bool,
        batch: &mut Vec<Delivery>,
    ) {
        let mut inbox = self.inbox.lock();
        while batch.len() < messages_max {
            match inbox.queue.front() {
                None => break,
                Some(next) if next.qos == Qos::AtMostOnce => {}
                Some(next) if window > 0 && may_send(next.sequence) => window -= 1,
                Some(_) => break,
            }
            let delivery = inbox.queue.pop_front().expect("there is a front");
            inbox.queue_bytes -= delivery.queue_bytes();
            batch.push(delivery);
        }
        if self.is_full.load(Ordering::Relaxed) && inbox.has_enough_room(limits) {
            self.is_full.store(false, Ordering::Relaxed);
            inbox.wake_publishers();
        }
        if inbox.queue.is_empty() && inbox.queue.capacity() > 64 {
            inbox.queue = VecDeque::new();
        }
    }

    /// Lets `link` be signalled once, when the queue has room again or the client is gone; says whether there is
    /// something to wait for.
    pub(crate) fn wait_for_room(&self, link: &Arc<Link>) -> bool {
        let mut inbox = self.inbox.lock();
        let must_wait = !inbox.ended && inbox.online.is_some() && self.is_full.load(Ordering::Relaxed);
        if must_wait {
            inbox.waiting.push(link.clone());
        }
        must_wait
    }

    /// Ends the connection if there is one; says whether there was.
    pub(crate) fn end_connection(&self, reason: DisconnectReason) -> bool {
        let online = self.inbox.lock().online.clone();
        if let Some(online) = &online {
            online.link.end(reason);
        }
        online.is_some()
    }

    /// Makes `online` the connection of the session and gives it the client's flow. The session must be free.
    pub(crate) fn attach(&self, inbox: &mut Inbox, context: &SessionContext, online: Online) -> Flow {
        debug_assert!(inbox.online.is_none());
        context.offline_bytes.fetch_sub(inbox.queue_bytes as u64, Ordering::Relaxed);
        inbox.online = Some(online);
        inbox.disconnected_at = None;
        inbox.will_due = None;
        inbox.expiry_due = None;
        inbox.is_overflow_logged = false;
        inbox.connections += 1;
        self.is_online.store(true, Ordering::Relaxed);
        let is_full = inbox.is_full(&context.limits);
        self.is_full.store(is_full, Ordering::Relaxed);
        std::mem::take(&mut inbox.parked)
    }

    /// Takes the connection away and keeps its flow. What was sent and not acknowledged is first in the queue again;
    /// what only a connection could want is dropped.
    pub(crate) fn detach(&self, inbox: &mut Inbox, context: &SessionContext, mut flow: Flow) {
        inbox.online = None;
        self.is_online.store(false, Ordering::Relaxed);
        self.is_full.store(false, Ordering::Relaxed);
        inbox.queue.retain(|delivery| delivery.qos != Qos::AtMostOnce);
        for delivery in flow.take_back().into_iter().rev() {
            inbox.queue.push_front(delivery);
        }
        inbox.parked = flow;
        inbox.queue_bytes = inbox.queue.iter().map(Delivery::queue_bytes).sum();
        context.offline_bytes.fetch_add(inbox.queue_bytes as u64, Ordering::Relaxed);
        inbox.wake_publishers();
        self.detached.notify_waiters();
    }

    /// Marks the session as over and takes what waited in it.
    pub(crate) fn end(&self, inbox: &mut Inbox, context: &SessionContext) -> VecDeque<Delivery> {
        debug_assert!(inbox.online.is_none() && !inbox.ended);
        inbox.ended = true;
        context.offline_bytes.fetch_sub(inbox.queue_bytes as u64, Ordering::Relaxed);
        inbox.queue_bytes = 0;
        inbox.parked = Flow::default();
        inbox.wake_publishers();
        self.detached.notify_waiters();
        std::mem::take(&mut inbox.queue)
    }

    /// Puts back what was written down. The session has no connection.
    pub(crate) fn restore(
        &self,
        context: &SessionContext,
        deliveries: Vec<StoredDelivery>,
        sent_through: u64,
        received: Vec<u16>,
    ) {
        let mut inbox = self.inbox.lock();
        inbox.sequence = sent_through;
        inbox.parked.received = received.into_iter().collect();
        for stored in deliveries {
            inbox.sequence = inbox.sequence.max(stored.sequence);
            let Some(message) = stored.message else {
                inbox.parked.restore_released(stored.sequence);
                continue;
            };
            let delivery = Delivery {
                message,
                sequence: stored.sequence,
                qos: stored.qos,
                retain: stored.retain,
                dup: stored.sequence <= sent_through,
                durable: true,
                identifiers: Identifiers::from_list(stored.subscription_identifiers),
                shared: stored.shared,
            };
            inbox.queue_bytes += delivery.queue_bytes();
            inbox.queue.push_back(delivery);
        }
        context.offline_bytes.fetch_add(inbox.queue_bytes as u64, Ordering::Relaxed);
    }

    /// The head as it is written down.
    pub(crate) fn stored(&self, inbox: &Inbox) -> StoredSession {
        StoredSession {
            number: self.number,
            scope: self.scope.clone(),
            client: self.client.clone(),
            expiry_s: inbox.expiry_s,
            disconnected_at: inbox.disconnected_at,
            will: inbox.will.as_ref().map(|will| will.stored.clone()),
        }
    }

    /// Takes out what came by a shared subscription and may go to another member: everything of QoS 1, and what was
    /// not sent of QoS 2. [MQTT-4.8.2-4], [MQTT-4.8.2-5]
    pub(crate) fn take_shared(&self, inbox: &mut Inbox, context: &SessionContext) -> Vec<Delivery> {
        let may_move =
            |delivery: &Delivery| delivery.shared.is_some() && (delivery.qos == Qos::AtLeastOnce || !delivery.dup);
        if !inbox.queue.iter().any(may_move) {
            return Vec::new();
        }
        let (moved, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut inbox.queue).into_iter().partition(may_move);
        let moved_bytes: usize = moved.iter().map(Delivery::queue_bytes).sum();
        inbox.queue = kept;
        inbox.queue_bytes -= moved_bytes;
        context.offline_bytes.fetch_sub(moved_bytes as u64, Ordering::Relaxed);
        moved.into()
    }

    /// Puts back what nobody else took, before everything else. The session has no connection.
    pub(crate) fn put_back(&self, inbox: &mut Inbox, context: &SessionContext, deliveries: Vec<Delivery>) {
        let bytes: usize = deliveries.iter().map(Delivery::queue_bytes).sum();
        inbox.queue_bytes += bytes;
        context.offline_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        inbox.queue.extend(deliveries);
        inbox.queue.make_contiguous().sort_by_key(|delivery| delivery.sequence);
    }
}

impl Inbox {
    /// Whether the session lives longer than its connection.
    pub(crate) fn is_persistent(&self) -> bool {
        self.expiry_s > 0
    }

    fn is_full(&self, limits: &Limits) -> bool {
        let (messages_max, bytes_max) = self.bounds(limits);
        self.queue.len() >= messages_max || self.queue_bytes >= bytes_max
    }

    /// Room for publishers that wait is announced when half the queue is free, or a thousand messages: not for each
    /// message that was sent.
    fn has_enough_room(&self, limits: &Limits) -> bool {
        let (messages_max, bytes_max) = self.bounds(limits);
        self.queue.len() <= messages_max - (messages_max / 2).min(1_000) && self.queue_bytes <= bytes_max / 2
    }

    fn bounds(&self, limits: &Limits) -> (usize, usize) {
        if self.is_persistent() {
            (limits.offline_messages_max, limits.offline_bytes_max)
        } else {
            (limits.queue_messages_max, limits.queue_bytes_max)
        }
    }

    fn wake_publishers(&mut self) {
        for link in self.waiting.drain(..) {
            link.signal(Signal::Room);
        }
        self.waiting.shrink_to(8);
    }
}

/// A delivery as it is written down.
pub(crate) fn enqueue(session: SessionNumber, delivery: &Delivery) -> SessionOperation {
    SessionOperation::Enqueue {
        session,
        delivery: StoredDelivery {
            sequence: delivery.sequence,
            qos: delivery.qos,
            retain: delivery.retain,
            subscription_identifiers: delivery.identifiers.as_slice().to_vec(),
            shared: delivery.shared.clone(),
            message: Some(delivery.message.clone()),
        },
    }
}
