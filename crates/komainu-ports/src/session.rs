//! Where MQTT sessions and retained messages are written down.
//!
//! The broker keeps all of this in memory and works from there; the store is written in groups and read once, at the
//! start. So the port is small: read everything, and apply a list of operations as one durable step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use komainu_model::{ClientId, Scope, Timestamp};

use crate::QualityOfService;

/// Where MQTT sessions and retained messages are written down.
///
/// Calls block; the broker makes them from a thread of its own.
pub trait SessionStore: Send + Sync {
    /// Everything that is written down: sessions by number, what waits for each by sequence, retained messages by
    /// scope and topic.
    fn load(&self) -> Result<SessionSnapshot, SessionStoreError>;

    /// Applies `operations` in order, all or none. On return they survive the loss of power.
    ///
    /// An operation on a session or message that does not exist changes nothing and is no error: the broker may
    /// complete a message of a session that ended in the meantime.
    fn commit(&self, operations: &[SessionOperation]) -> Result<(), SessionStoreError>;
}

/// The broker's number of a session. Never used for another session, also after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(pub u64);

/// One change of the written state.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionOperation {
    /// Writes a session's head, whether or not it existed; what belongs to it stays.
    PutSession(StoredSession),
    /// Removes a session with its subscriptions, waiting messages and received packet ids.
    RemoveSession(SessionNumber),
    /// Writes a subscription, replacing one with the same filter.
    PutSubscription {
        /// Of which session.
        session: SessionNumber,
        /// The subscription.
        subscription: StoredSubscription,
    },
    /// Removes a subscription.
    RemoveSubscription {
        /// Of which session.
        session: SessionNumber,
        /// The filter as the client wrote it, `$share/…` included.
        filter: Arc<str>,
    },
    /// Writes a message that waits for a session.
    Enqueue {
        /// For which session.
        session: SessionNumber,
        /// The message and how it is delivered.
        delivery: StoredDelivery,
    },
    /// The client has the QoS 2 message (PUBREC); only its release waits. The message itself is forgotten.
    Release {
        /// For which session.
        session: SessionNumber,
        /// Which message.
        sequence: u64,
    },
    /// The message is delivered, or was given up on.
    Complete {
        /// For which session.
        session: SessionNumber,
        /// Which message.
        sequence: u64,
    },
    /// Every message up to this one has been sent at least once: what is sent again carries DUP.
    SentThrough {
        /// For which session.
        session: SessionNumber,
        /// The last message that was sent.
        sequence: u64,
    },
    /// A QoS 2 message with this packet id was received from the client and is not released yet.
    Received {
        /// From which session.
        session: SessionNumber,
        /// The client's packet id.
        packet_id: u16,
    },
    /// The client released the packet id (PUBREL).
    Released {
        /// From which session.
        session: SessionNumber,
        /// The client's packet id.
        packet_id: u16,
    },
    /// Keeps a message for later subscribers of its topic, replacing the one before.
    Retain {
        /// In which scope.
        scope: Scope,
        /// The message.
        message: Arc<StoredMessage>,
    },
    /// Forgets the retained message of a topic.
    Unretain {
        /// In which scope.
        scope: Scope,
        /// Of which topic.
        topic: Arc<str>,
    },
}

/// The head of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSession {
    /// The broker's number of it.
    pub number: SessionNumber,
    /// Whose session it is.
    pub scope: Scope,
    /// Whose session it is.
    pub client: ClientId,
    /// How long it lives after the connection ended, in seconds; `u32::MAX` is for ever.
    pub expiry_s: u32,
    /// When its connection ended; none while it is connected.
    pub disconnected_at: Option<Timestamp>,
    /// What is published if the connection ends without a word. Kept until it was published or withdrawn.
    pub will: Option<StoredWill>,
}

/// The will of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWill {
    /// How long after the end of the connection it is published, in seconds.
    pub delay_s: u32,
    /// How surely it arrives.
    pub qos: QualityOfService,
    /// Whether it stays for later subscribers.
    pub retain: bool,
    /// The message. Its expiry counts from its publication and is kept in `expiry_s`.
    pub message: Arc<StoredMessage>,
    /// MQTT 5 message expiry in seconds.
    pub expiry_s: Option<u32>,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSubscription {
    /// The filter as the client wrote it, `$share/…` included.
    pub filter: Arc<str>,
    /// The highest quality of service that is delivered.
    pub qos: QualityOfService,
    /// MQTT 5: not what the client itself published.
    pub no_local: bool,
    /// MQTT 5: the retain flag is passed on.
    pub retain_as_published: bool,
    /// MQTT 5 subscription identifier; 0 is none.
    pub identifier: u32,
}

/// A message that waits for a session.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDelivery {
    /// Its place in the session's order; the packet id derives from it.
    pub sequence: u64,
    /// How surely it is delivered: at least once, or exactly once.
    pub qos: QualityOfService,
    /// Whether it is delivered with the retain flag.
    pub retain: bool,
    /// The identifiers of the subscriptions that it matched.
    pub subscription_identifiers: Vec<u32>,
    /// The shared subscription that it came by, as the client wrote it.
    pub shared: Option<Arc<str>>,
    /// The message; none when the client already has it and only its release waits.
    pub message: Option<Arc<StoredMessage>>,
}

/// A message as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The topic.
    pub topic: Arc<str>,
    /// The payload.
    pub payload: Bytes,
    /// The quality of service it was published with.
    pub qos: QualityOfService,
    /// MQTT 5 properties that are passed on unchanged, encoded as in a PUBLISH packet without their length.
    pub properties: Bytes,
    /// When it is not worth delivering any more.
    pub expires_at: Option<Timestamp>,
}

/// Everything that is written down.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SessionSnapshot {
    /// Sessions by number.
    pub sessions: Vec<SessionState>,
    /// Retained messages by scope and topic.
    pub retained: Vec<(Scope, Arc<StoredMessage>)>,
    /// The highest session number that was ever used; 0 when there was none.
    pub number_max: u64,
}

/// A session with what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionState {
    /// The head.
    pub session: StoredSession,
    /// Subscriptions by filter.
    pub subscriptions: Vec<StoredSubscription>,
    /// Messages by sequence.
    pub deliveries: Vec<StoredDelivery>,
    /// The last message that was sent at least once; 0 when none was.
    pub sent_through: u64,
    /// Received and not released packet ids, in rising order.
    pub received: Vec<u16>,
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionStoreError {
    /// The storage failed; trying again may help.
    #[error("session store failed: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// What is written down cannot be read: it is of a newer version, or damaged.
    #[error("session store cannot be read: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// Sessions in memory: gone when the process ends. Also the test double, and where an existing value can be read back.
#[derive(Debug, Default)]
pub struct MemorySessionStore(Mutex<MemoryState>);

#[derive(Debug, Default, Clone)]
struct MemoryState {
    sessions: BTreeMap<SessionNumber, MemorySession>,
    retained: BTreeMap<(Scope, Arc<str>), Arc<StoredMessage>>,
    number_max: u64,
}

#[derive(Debug, Clone)]
struct MemorySession {
    head: StoredSession,
    subscriptions: BTreeMap<Arc<str>, StoredSubscription>,
    deliveries: BTreeMap<u64, StoredDelivery>,
    sent_through: u64,
    received: BTreeSet<u16>,
}

impl SessionStore for MemorySessionStore {
    fn load(&self) -> Result<SessionSnapshot, SessionStoreError> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = state.sessions.values().map(|session| SessionState {
            session: session.head.clone(),
            subscriptions: session.subscriptions.values().cloned().collect(),
            deliveries: session.deliveries.values().cloned().collect(),
            sent_through: session.sent_through,
            received: session.received.iter().copied().collect(),
        });
        let retained = state.retained.iter().map(|((scope, _), message)| (scope.clone(), message.clone()));
        Ok(SessionSnapshot { sessions: sessions.collect(), retained: retained.collect(), number_max: state.number_max })
    }

    fn commit(&self, operations: &[SessionOperation]) -> Result<(), SessionStoreError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for operation in operations {
            state.apply(operation);
        }
        Ok(())
    }
}

impl MemoryState {
    fn apply(&mut self, operation: &SessionOperation) {
        match operation {
            SessionOperation::PutSession(head) => {
                self.number_max = self.number_max.max(head.number.0);
                self.sessions.entry(head.number).and_modify(|session| session.head = head.clone()).or_insert_with(
                    || MemorySession {
                        head: head.clone(),
                        subscriptions: BTreeMap::new(),
                        deliveries: BTreeMap::new(),
                        sent_through: 0,
                        received: BTreeSet::new(),
                    },
                );
            }
            SessionOperation::RemoveSession(number) => {
                self.sessions.remove(number);
            }
            SessionOperation::PutSubscription { session, subscription } => self.with(*session, |session| {
                session.subscriptions.insert(subscription.filter.clone(), subscription.clone());
            }),
            SessionOperation::RemoveSubscription { session, filter } => self.with(*session, |session| {
                session.subscriptions.remove(filter);
            }),
            SessionOperation::Enqueue { session, delivery } => self.with(*session, |session| {
                session.deliveries.insert(delivery.sequence, delivery.clone());
            }),
            SessionOperation::Release { session, sequence } => self.with(*session, |session| {
                if let Some(delivery) = session.deliveries.get_mut(sequence) {
                    delivery.message = None;
                }
            }),
            SessionOperation::Complete { session, sequence } => self.with(*session, |session| {
                session.deliveries.remove(sequence);
            }),
            SessionOperation::SentThrough { session, sequence } => self.with(*session, |session| {
                session.sent_through = *sequence;
            }),
            SessionOperation::Received { session, packet_id } => self.with(*session, |session| {
                session.received.insert(*packet_id);
            }),
            SessionOperation::Released { session, packet_id } => self.with(*session, |session| {
                session.received.remove(packet_id);
            }),
            SessionOperation::Retain { scope, message } => {
                self.retained.insert((scope.clone(), message.topic.clone()), message.clone());
            }
            SessionOperation::Unretain { scope, topic } => {
                self.retained.remove(&(scope.clone(), topic.clone()));
            }
        }
    }

    fn with(&mut self, number: SessionNumber, change: impl FnOnce(&mut MemorySession)) {
        if let Some(session) = self.sessions.get_mut(&number) {
            change(session);
        }
    }
}
