//! The broker: sessions, routing and delivery for every connection that the gatekeeper let in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use komainu_model::{ClientId, DisconnectReason, Scope};
use komainu_ports::{
    BrokerError, Clock, IdSource, OutboundMessage, PeerInfo, ReportEncoding, ReportMessage, ReportSink, SessionNumber,
    SessionOperation, SessionSnapshot, SessionStore, SessionStoreError, StoredMessage,
};
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tracing::field::Empty;
use tracing::{Instrument, debug_span, info, warn};

use crate::access::{Access, DeniedAction, Gatekeeper};
use crate::durable::DurableLog;
use crate::encode;
use crate::events;
use crate::flow::Flow;
use crate::limits::Limits;
use crate::log_budget::Budgets;
use crate::publish::Subscriber;
use crate::retained::Retained;
use crate::router::Router;
use crate::session::{FOR_EVER, Inbox, Online, Session, SessionContext, Will};
use crate::timers::Timers;
use crate::topic::{self, Purpose};

/// How long the broker waits for connections to end when it shuts down.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// What the broker asks of the world.
#[derive(Clone)]
pub(crate) struct BrokerPorts {
    /// Where persistent sessions and retained messages are written down.
    pub(crate) sessions: Arc<dyn SessionStore>,
    /// Where metric reports go.
    pub(crate) reports: Arc<dyn ReportSink>,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
    /// Where assigned client ids and session identifiers come from.
    pub(crate) ids: Arc<dyn IdSource>,
    /// How many log lines clients may cause.
    pub(crate) budgets: Arc<Budgets>,
}

/// The state that all connections share.
pub(crate) struct Broker {
    pub(crate) context: SessionContext,
    pub(crate) ports: BrokerPorts,
    scopes: RwLock<HashMap<Scope, Arc<ScopeState>>>,
    session_number: AtomicU64,
    persistent_sessions: AtomicUsize,
    connections: AtomicUsize,
    /// Connections that came since the start.
    connections_total: AtomicU64,
    /// Told when the last connection has ended.
    idle: Notify,
    is_stopping: AtomicBool,
    timers: Arc<Timers>,
    timer_task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// What belongs to one account and region. Topics of different scopes never meet.
pub(crate) struct ScopeState {
    pub(crate) scope: Scope,
    pub(crate) router: RwLock<Router<Subscriber>>,
    /// The version of `router`, readable without its lock.
    pub(crate) router_version: AtomicU64,
    pub(crate) retained: RwLock<Retained>,
    sessions: Mutex<HashMap<ClientId, Arc<Session>, ahash::RandomState>>,
}

/// What a client asks of its session.
pub(crate) struct Wish {
    pub(crate) client: ClientId,
    pub(crate) clean_start: bool,
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<Will>,
}

/// A session that a connection holds.
pub(crate) struct Attached {
    pub(crate) session: Arc<Session>,
    pub(crate) flow: Flow,
    pub(crate) session_present: bool,
    pub(crate) connections: u64,
}

/// Why a connection got no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAttached {
    /// There are as many persistent sessions as there may be.
    TooManySessions,
    /// This connection was ended while it waited, because a newer one has the same client id.
    Displaced,
}

/// What a session leaves behind when its connection or the session itself has ended.
#[derive(Default)]
struct Leftover {
    will: Option<Will>,
    filters: Vec<Arc<str>>,
}

impl Broker {
    /// A broker with everything that the session store has: sessions, what waits for them, retained messages.
    pub(crate) async fn new(limits: Limits, ports: BrokerPorts) -> Result<Arc<Self>, SessionStoreError> {
        let store = ports.sessions.clone();
        let snapshot = tokio::task::spawn_blocking(move || store.load())
            .await
            .map_err(|error| SessionStoreError::Unreadable { reason: error.to_string() })??;
        let log = DurableLog::start(ports.sessions.clone(), limits.durable_backlog_max);
        let broker = Arc::new(Self {
            context: SessionContext {
                limits,
                log,
                offline_bytes: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                budgets: ports.budgets.clone(),
            },
            ports,
            scopes: RwLock::default(),
            session_number: AtomicU64::new(snapshot.number_max),
            persistent_sessions: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            connections_total: AtomicU64::new(0),
            idle: Notify::new(),
            is_stopping: AtomicBool::new(false),
            timers: Arc::default(),
            timer_task: Mutex::new(None),
        });
        broker.restore(snapshot);
        *broker.timer_task.lock() = Some(tokio::spawn(run_timers(broker.timers.clone(), Arc::downgrade(&broker))));
        Ok(broker)
    }

    /// Speaks MQTT over one connection, from CONNECT to its end.
    pub(crate) async fn serve<S>(self: &Arc<Self>, mut stream: S, peer: PeerInfo, gatekeeper: Arc<dyn Gatekeeper>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        self.connections.fetch_add(1, Ordering::AcqRel);
        self.connections_total.fetch_add(1, Ordering::Relaxed);
        let _guard = ConnectionGuard(self);
        if !self.is_stopping.load(Ordering::Acquire) {
            let span = debug_span!(
                "mqtt.connection",
                otel.kind = "server",
                messaging.system = "mqtt",
                network.peer.address = %peer.address.ip(),
                network.peer.port = i64::from(peer.address.port()),
                messaging.client.id = Empty,
                komainu.connection = Empty,
                komainu.thing = Empty,
                komainu.outcome = Empty,
            );
            // Pinned first: moved into another future it would have its room twice, in each idle connection.
            let serving = std::pin::pin!(crate::connection::serve(self, &mut stream, &peer, &*gatekeeper));
            serving.instrument(span).await;
        }
    }

    /// MQTT connections now, and since the start.
    pub(crate) fn connections(&self) -> (u64, u64) {
        (self.connections.load(Ordering::Relaxed) as u64, self.connections_total.load(Ordering::Relaxed))
    }

    /// Publishes in the server's own name.
    pub(crate) async fn publish(&self, scope: &Scope, message: OutboundMessage) -> Result<(), BrokerError> {
        self.check(&message)?;
        self.publish_checked(scope, message).await
    }

    /// Publishes in the name of `access`: checked against its policies and measured like a publish over MQTT.
    pub(crate) async fn publish_as(&self, access: &dyn Access, message: OutboundMessage) -> Result<(), BrokerError> {
        self.check(&message)?;
        let purpose = topic::purpose(&message.topic);
        let denied = if purpose == Purpose::ServiceOnly || !access.may_publish(&message.topic, false) {
            Some(DeniedAction::Publish)
        } else if message.retain && (purpose != Purpose::Ordinary || !access.may_publish(&message.topic, true)) {
            Some(DeniedAction::RetainPublish)
        } else {
            None
        };
        if let Some(action) = denied {
            access.count_denied(action, &message.topic);
            return Err(BrokerError::NotAuthorized { topic: message.topic.as_ref().to_owned() });
        }
        access.count_sent(message.payload.len());
        match purpose {
            Purpose::Report { thing, encoding } => {
                let report = self.report(access.scope(), thing, encoding, message.payload);
                self.ports
                    .reports
                    .submit(report)
                    .await
                    .map_err(|error| BrokerError::Unavailable { reason: error.to_string() })
            }
            _ => self.publish_checked(access.scope(), message).await,
        }
    }

    /// Asks every connection whether it was revoked, and ends those that were. Called after the gatekeeper changed.
    pub(crate) fn recheck(&self) {
        for online in self.online() {
            if let Some(reason) = online.access.revoked() {
                online.link.end(reason);
            }
        }
    }

    /// Ends the connection of a client; says whether there was one.
    pub(crate) fn kick(&self, scope: &Scope, client: &ClientId, reason: DisconnectReason) -> bool {
        let scope = self.scopes.read().get(scope).cloned();
        let session = scope.and_then(|scope| scope.sessions.lock().get(client).cloned());
        session.is_some_and(|session| session.end_connection(reason))
    }

    /// Ends every connection that `predicate` names; says how many.
    pub(crate) fn kick_matching(
        &self,
        predicate: &dyn Fn(&ClientId, &dyn Access) -> bool,
        reason: DisconnectReason,
    ) -> usize {
        let mut kicked = 0;
        for session in self.sessions() {
            let online = session.lock().online.clone();
            if let Some(online) = online
                && predicate(&session.client, &*online.access)
            {
                online.link.end(reason);
                kicked += 1;
            }
        }
        kicked
    }

    /// Ends every connection (DISCONNECT 0x8B for MQTT 5), writes down what waits to be, and refuses new ones.
    pub(crate) async fn shutdown(self: &Arc<Self>) {
        self.is_stopping.store(true, Ordering::Release);
        for online in self.online() {
            online.link.end(DisconnectReason::ServerInitiatedDisconnect);
        }
        let all_ended = async {
            loop {
                let idle = self.idle.notified();
                if self.connections.load(Ordering::Acquire) == 0 {
                    break;
                }
                idle.await;
            }
        };
        if timeout(SHUTDOWN_PATIENCE, all_ended).await.is_err() {
            warn!(connections = self.connections.load(Ordering::Relaxed), "connections did not end in time");
        }
        if let Some(task) = self.timer_task.lock().take() {
            task.abort();
        }
        let broker = self.clone();
        // A panic of the writer has been reported where it happened.
        let _ = tokio::task::spawn_blocking(move || broker.context.log.stop()).await;
    }

    fn check(&self, message: &OutboundMessage) -> Result<(), BrokerError> {
        let limits = &self.context.limits;
        topic::check_name(&message.topic, limits)
            .map_err(|reason| BrokerError::BadTopic { topic: message.topic.as_ref().to_owned(), reason })?;
        let bytes_max = limits.payload_bytes_max as usize;
        // Properties travel in the same packet and are bounded with the payload.
        let properties = encode::forwarded_properties(message).len();
        let too_long = |text: &str| text.len() > usize::from(u16::MAX);
        let is_field_too_long = message.content_type.as_deref().is_some_and(too_long)
            || message.response_topic.as_deref().is_some_and(too_long)
            || message.correlation_data.as_ref().is_some_and(|data| data.len() > usize::from(u16::MAX))
            || message.user_properties.iter().any(|(key, value)| too_long(key) || too_long(value));
        let bytes = message.payload.len() + properties;
        if bytes > bytes_max || is_field_too_long {
            return Err(BrokerError::PayloadTooLarge { bytes, bytes_max });
        }
        Ok(())
    }

    async fn publish_checked(&self, scope: &Scope, message: OutboundMessage) -> Result<(), BrokerError> {
        if self.is_stopping.load(Ordering::Acquire) {
            return Err(BrokerError::Unavailable { reason: "gateway is stopping".into() });
        }
        let scope = self.scope(scope);
        let stored = StoredMessage {
            properties: encode::forwarded_properties(&message).into(),
            expires_at: self.expires_at(message.expiry_s),
            topic: message.topic,
            payload: message.payload,
            qos: message.qos,
        };
        let distributed = self.publish_patiently(&scope, 0, Arc::new(stored), message.retain).await;
        self.context.log.durable(distributed.ticket).await;
        if distributed.refused > 0 && distributed.taken == 0 {
            return Err(BrokerError::Unavailable { reason: "queues of the subscribers are full".into() });
        }
        Ok(())
    }

    /// A metric report as the sink takes it.
    pub(crate) fn report(
        &self,
        scope: &Scope,
        thing: &str,
        encoding: ReportEncoding,
        payload: bytes::Bytes,
    ) -> ReportMessage {
        ReportMessage {
            scope: scope.clone(),
            thing: thing.into(),
            encoding,
            payload,
            received_at: self.ports.clock.now(),
        }
    }

    /// The state of a scope.
    pub(crate) fn scope(&self, scope: &Scope) -> Arc<ScopeState> {
        if let Some(state) = self.scopes.read().get(scope) {
            return state.clone();
        }
        let mut scopes = self.scopes.write();
        scopes.entry(scope.clone()).or_insert_with(|| Arc::new(ScopeState::new(scope.clone()))).clone()
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        let scopes: Vec<_> = self.scopes.read().values().cloned().collect();
        scopes.iter().flat_map(|scope| scope.sessions.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    fn online(&self) -> Vec<Online> {
        self.sessions().iter().filter_map(|session| session.lock().online.clone()).collect()
    }

    /// Gives a connection its session: the one it had, or a new one. A connection with the same client id is ended
    /// first: the newcomer wins. [MQTT-3.1.4-2], MQTT 5 [MQTT-3.1.4-3]
    pub(crate) async fn attach(
        self: &Arc<Self>,
        scope: &Arc<ScopeState>,
        wish: &Wish,
        online: &Online,
    ) -> Result<Attached, NotAttached> {
        loop {
            let busy = match self.try_attach(scope, wish, online) {
                Ok(result) => return result,
                Err(busy) => busy,
            };
            let detached = busy.detached.notified();
            let holder = busy.lock().online.clone();
            if let Some(holder) = holder {
                info!(
                    event = events::DUPLICATE_CLIENT_ID,
                    client = %wish.client,
                    principal = holder.access.principal_id(),
                    by = online.access.principal_id(),
                    "a newer connection with the same client id takes the session over"
                );
                holder.link.end(DisconnectReason::DuplicateClientId);
                detached.await;
            }
            if online.link.end_reason().is_some() {
                return Err(NotAttached::Displaced);
            }
        }
    }

    /// As [`Broker::attach`], without waiting: gives back the session when another connection holds it.
    fn try_attach(
        self: &Arc<Self>,
        scope: &Arc<ScopeState>,
        wish: &Wish,
        online: &Online,
    ) -> Result<Result<Attached, NotAttached>, Arc<Session>> {
        let mut leftover = None;
        let attached = {
            let mut sessions = scope.sessions.lock();
            let existing = sessions.get(&wish.client).cloned();
            let mut resumed = None;
            if let Some(session) = existing {
                let mut inbox = session.lock();
                if inbox.online.is_some() {
                    drop(inbox);
                    return Err(session);
                }
                if wish.clean_start {
                    leftover = Some((session.clone(), self.end_session(&session, &mut inbox)));
                    sessions.remove(&wish.client);
                } else {
                    drop(inbox);
                    resumed = Some(session);
                }
            }
            let session_present = resumed.is_some();
            let session = match resumed {
                Some(session) => session,
                None => {
                    let is_full = self.persistent_sessions.load(Ordering::Relaxed) >= self.context.limits.sessions_max;
                    if wish.expiry_s > 0 && is_full {
                        return Ok(Err(NotAttached::TooManySessions));
                    }
                    let number = SessionNumber(self.session_number.fetch_add(1, Ordering::Relaxed) + 1);
                    let session = Session::new(number, scope.scope.clone(), wish.client.clone(), 0);
                    let session = Arc::new(session);
                    sessions.insert(wish.client.clone(), session.clone());
                    session
                }
            };
            let mut inbox = session.lock();
            let flow = session.attach(&mut inbox, &self.context, online.clone());
            inbox.will = wish.will.clone();
            self.set_expiry(&session, &mut inbox, wish.expiry_s);
            let connections = inbox.connections;
            drop(inbox);
            Attached { session, flow, session_present, connections }
        };
        if let Some((session, leftover)) = leftover {
            self.clear_up(scope, &session, leftover);
        }
        Ok(Ok(attached))
    }

    /// Sets how long a session outlives its connection and writes its head down, or its end.
    fn set_expiry(&self, session: &Session, inbox: &mut Inbox, expiry_s: u32) {
        let was_persistent = inbox.is_persistent();
        inbox.expiry_s = expiry_s;
        match (was_persistent, inbox.is_persistent()) {
            (false, true) => self.persistent_sessions.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.persistent_sessions.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        if inbox.is_persistent() {
            self.context.log.submit(SessionOperation::PutSession(session.stored(inbox)));
        } else if was_persistent {
            self.context.log.submit(SessionOperation::RemoveSession(session.number));
        }
    }

    /// Takes a session back from its connection. `expiry_s` is what the client said last; `keep_will` is false when
    /// it took its will back.
    pub(crate) fn detach(
        self: &Arc<Self>,
        scope: &Arc<ScopeState>,
        session: &Arc<Session>,
        flow: Flow,
        expiry_s: Option<u32>,
        keep_will: bool,
    ) {
        let leftover = {
            let mut sessions = scope.sessions.lock();
            let mut inbox = session.lock();
            session.detach(&mut inbox, &self.context, flow);
            if !keep_will {
                inbox.will = None;
            }
            inbox.disconnected_at = Some(self.ports.clock.now());
            let expiry_s = expiry_s.unwrap_or(inbox.expiry_s);
            if expiry_s == 0 {
                sessions.remove(&session.client);
                // What came by a shared subscription is for the other members.
                let shared = session.take_shared(&mut inbox, &self.context);
                let leftover = self.end_session(session, &mut inbox);
                drop(inbox);
                drop(sessions);
                self.hand_over(scope, session, shared);
                leftover
            } else {
                let now = Instant::now();
                inbox.expiry_due = (expiry_s != FOR_EVER).then(|| now + Duration::from_secs(u64::from(expiry_s)));
                // Written with the will, which stays written down until it was published.
                self.set_expiry(session, &mut inbox, expiry_s);
                let mut leftover = Leftover::default();
                match inbox.will.as_ref().map(|will| will.stored.delay_s) {
                    Some(0) => leftover.will = inbox.will.take(),
                    Some(delay_s) => inbox.will_due = Some(now + Duration::from_secs(u64::from(delay_s))),
                    None => {}
                }
                for due in inbox.will_due.into_iter().chain(inbox.expiry_due) {
                    self.timers.schedule(due, session);
                }
                let shared = session.take_shared(&mut inbox, &self.context);
                drop(inbox);
                drop(sessions);
                let kept = self.hand_over(scope, session, shared);
                if !kept.is_empty() {
                    session.put_back(&mut session.lock(), &self.context, kept);
                }
                leftover
            }
        };
        self.clear_up(scope, session, leftover);
    }

    /// Ends a session that no connection holds. The caller removes it from the scope and then clears up.
    fn end_session(&self, session: &Session, inbox: &mut Inbox) -> Leftover {
        let was_persistent = inbox.is_persistent();
        session.end(inbox, &self.context);
        if was_persistent {
            self.persistent_sessions.fetch_sub(1, Ordering::Relaxed);
            self.context.log.submit(SessionOperation::RemoveSession(session.number));
        }
        // The end of the session is the latest time for a delayed will. [MQTT-3.1.3-9]
        Leftover { will: inbox.will.take(), filters: std::mem::take(&mut inbox.subscriptions).into_keys().collect() }
    }

    /// Removes what a session left in the router and publishes its will.
    fn clear_up(self: &Arc<Self>, scope: &Arc<ScopeState>, session: &Arc<Session>, leftover: Leftover) {
        if !leftover.filters.is_empty() {
            scope.change_router(|router| {
                for filter in &leftover.filters {
                    let (group, filter) = split_shared(filter);
                    router.remove(filter, group, session.number.0);
                }
            });
        }
        if let Some(will) = leftover.will {
            let (broker, scope, session) = (self.clone(), scope.clone(), session.clone());
            tokio::spawn(async move { broker.publish_will(&scope, &session, will).await });
        }
    }

    async fn publish_will(&self, scope: &ScopeState, session: &Session, will: Will) {
        let stored = will.stored;
        if let Some(access) = &will.access {
            // The client may have lost the right since it connected; so may the certificate.
            if access.revoked().is_some() || !access.may_publish(&stored.message.topic, stored.retain) {
                let action = if stored.retain { DeniedAction::RetainPublish } else { DeniedAction::Publish };
                return access.count_denied(action, &stored.message.topic);
            }
            access.count_sent(stored.message.payload.len());
        }
        let message = StoredMessage {
            expires_at: self.expires_at(stored.expiry_s),
            qos: stored.qos,
            ..StoredMessage::clone(&stored.message)
        };
        let distributed = self.publish_patiently(scope, session.number.0, Arc::new(message), stored.retain).await;
        self.context.log.durable(distributed.ticket).await;
        // Only now is the will withdrawn from the store: it is published once or twice, never not at all.
        let inbox = session.lock();
        if inbox.is_persistent() && !inbox.ended {
            self.context.log.submit(SessionOperation::PutSession(session.stored(&inbox)));
        }
    }

    /// Does what is due for a session: publishes its delayed will, ends it.
    fn session_due(self: &Arc<Self>, session: &Arc<Session>) {
        let scope = self.scope(&session.scope);
        let leftover = {
            let mut sessions = scope.sessions.lock();
            let mut inbox = session.lock();
            if inbox.ended || inbox.online.is_some() {
                return;
            }
            let now = Instant::now();
            if inbox.expiry_due.is_some_and(|due| due <= now) {
                sessions.remove(&session.client);
                self.end_session(session, &mut inbox)
            } else if inbox.will_due.is_some_and(|due| due <= now) {
                inbox.will_due = None;
                Leftover { will: inbox.will.take(), filters: Vec::new() }
            } else {
                return;
            }
        };
        self.clear_up(&scope, session, leftover);
    }

    /// Puts back what was written down. Runs before the first connection.
    fn restore(self: &Arc<Self>, snapshot: SessionSnapshot) {
        let (sessions, retained) = (snapshot.sessions.len(), snapshot.retained.len());
        for (scope, message) in snapshot.retained {
            self.scope(&scope).retained.write().set(message, &self.context.limits);
        }
        let now = self.ports.clock.now();
        for state in snapshot.sessions {
            let head = state.session;
            let scope = self.scope(&head.scope);
            let session = Arc::new(Session::new(head.number, head.scope, head.client, head.expiry_s));
            session.restore(&self.context, state.deliveries, state.sent_through, state.received);
            self.persistent_sessions.fetch_add(1, Ordering::Relaxed);
            for subscription in state.subscriptions {
                let (group, filter) = split_shared(&subscription.filter);
                let subscriber = Subscriber { session: session.clone(), subscription: subscription.clone() };
                scope.change_router(|router| router.insert(filter, group, head.number.0, subscriber));
                session.lock().subscriptions.insert(subscription.filter.clone(), subscription);
            }
            scope.sessions.lock().insert(session.client.clone(), session.clone());
            let mut inbox = session.lock();
            // A session without an end of its connection lost it when the gateway stopped.
            let away = head.disconnected_at.map_or(Duration::ZERO, |at| now.since(at));
            inbox.disconnected_at = Some(head.disconnected_at.unwrap_or(now));
            inbox.will = head.will.map(|stored| Will { stored, access: None });
            let due_in = |seconds: u32| Instant::now() + Duration::from_secs(u64::from(seconds)).saturating_sub(away);
            inbox.will_due = inbox.will.as_ref().map(|will| due_in(will.stored.delay_s));
            inbox.expiry_due = (head.expiry_s != FOR_EVER).then(|| due_in(head.expiry_s));
            for due in inbox.will_due.into_iter().chain(inbox.expiry_due) {
                self.timers.schedule(due, &session);
            }
            self.context.log.submit(SessionOperation::PutSession(session.stored(&inbox)));
        }
        if sessions + retained > 0 {
            info!(sessions, retained, "sessions and retained messages are back");
        }
    }
}

impl ScopeState {
    fn new(scope: Scope) -> Self {
        Self {
            scope,
            router: RwLock::new(Router::new()),
            router_version: AtomicU64::new(0),
            retained: RwLock::default(),
            sessions: Mutex::default(),
        }
    }

    /// Changes the subscriptions, and lets those who keep routes know.
    pub(crate) fn change_router(&self, change: impl FnOnce(&mut Router<Subscriber>)) {
        let mut router = self.router.write();
        change(&mut router);
        self.router_version.store(router.version(), Ordering::Release);
    }
}

/// The group and the filter of a filter that was parsed before.
pub(crate) fn split_shared(filter: &str) -> (Option<&str>, &str) {
    match filter.strip_prefix("$share/").and_then(|shared| shared.split_once('/')) {
        Some((group, filter)) => (Some(group), filter),
        None => (None, filter),
    }
}

async fn run_timers(timers: Arc<Timers>, broker: Weak<Broker>) {
    loop {
        let session = timers.next_due().await;
        let Some(broker) = broker.upgrade() else { return };
        broker.session_due(&session);
    }
}

struct ConnectionGuard<'a>(&'a Broker);

impl Drop for ConnectionGuard<'_> {
    fn drop(&mut self) {
        if self.0.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
