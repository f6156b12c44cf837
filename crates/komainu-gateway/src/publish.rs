//! From a published message to the queues of those who subscribed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use komainu_model::{DisconnectReason, Timestamp};
use komainu_ports::{QualityOfService as Qos, SessionOperation, StoredMessage, StoredSubscription};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::broker::{Broker, ScopeState};
use crate::durable::Ticket;
use crate::events;
use crate::flow::{Delivery, Identifiers};
use crate::link::Link;
use crate::router::{Group, Match};
use crate::session::{Pushed, Session};

/// What the router holds for a subscription.
#[derive(Clone)]
pub(crate) struct Subscriber {
    pub(crate) session: Arc<Session>,
    pub(crate) subscription: StoredSubscription,
}

/// Where the messages of one topic go. Good as long as the scope's subscriptions are at `version`.
pub(crate) struct Routes {
    pub(crate) topic: Arc<str>,
    version: u64,
    list: Vec<Route>,
}

enum Route {
    /// To a client, once, whatever number of its subscriptions matched.
    Direct { session: Arc<Session>, qos: Qos, retain_as_published: bool, identifiers: Identifiers },
    /// To one of a group.
    Shared(Arc<Group<Subscriber>>),
}

/// Who publishes, for subscriptions with "no local": a session's number; 0 is the server.
pub(crate) type Publisher = u64;

/// What became of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Distributed {
    /// When the message is durable for everyone to whom that matters.
    pub(crate) ticket: Ticket,
    /// How many took it.
    pub(crate) taken: usize,
    /// How many had no room for it.
    pub(crate) refused: usize,
}

/// What publishing has to wait for.
pub(crate) enum Obstacle {
    /// The queue of a connected client is full.
    Client(Arc<Session>),
    /// The writer of durable state has too much to do.
    Writer,
}

impl Routes {
    pub(crate) fn is_current(&self, scope: &ScopeState) -> bool {
        self.version == scope.router_version.load(Ordering::Acquire)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl Broker {
    /// Finds where messages of a topic go.
    pub(crate) fn routes(&self, scope: &ScopeState, publisher: Publisher, topic: Arc<str>) -> Routes {
        let router = scope.router.read();
        let mut direct: Vec<(u64, &Subscriber)> = Vec::new();
        let mut list = Vec::new();
        router.matches(&topic, &mut |matched| match matched {
            Match::Direct(number, subscriber) => {
                if !(subscriber.subscription.no_local && number == publisher) {
                    direct.push((number, subscriber));
                }
            }
            Match::Shared(group) => list.push(Route::Shared(group.clone())),
        });
        direct.sort_by_key(|(number, _)| *number);
        for same in direct.chunk_by(|(one, _), (other, _)| one == other) {
            let subscriptions = || same.iter().map(|(_, subscriber)| &subscriber.subscription);
            let mut identifiers: Vec<u32> = subscriptions().map(|s| s.identifier).filter(|id| *id != 0).collect();
            identifiers.sort_unstable();
            list.push(Route::Direct {
                session: same[0].1.session.clone(),
                // [MQTT-3.3.5-1]: the highest that was granted.
                qos: subscriptions().map(|s| s.qos).max().expect("a chunk is not empty"),
                retain_as_published: subscriptions().any(|s| s.retain_as_published),
                identifiers: Identifiers::from_list(identifiers),
            });
        }
        Routes { topic, version: router.version(), list }
    }

    /// What publishing along `routes` has to wait for now.
    pub(crate) fn obstacle(&self, routes: &Routes) -> Option<Obstacle> {
        for route in &routes.list {
            let congested = match route {
                Route::Direct { session, .. } => session.is_congested().then_some(session),
                // A group is congested when every member that is connected is.
                Route::Shared(group) => {
                    let mut online = group.members.iter().map(|(_, member)| &member.session).filter(|s| s.is_online());
                    let first = online.next();
                    first.filter(|first| first.is_congested() && online.all(|session| session.is_congested()))
                }
            };
            if let Some(session) = congested {
                return Some(Obstacle::Client(session.clone()));
            }
        }
        (!self.context.log.has_room()).then_some(Obstacle::Writer)
    }

    /// Puts a message into the queues of those who subscribed. Does not wait: queues that are full grow by this one
    /// message, so that a message is never with some subscribers and not with others.
    pub(crate) fn distribute(&self, routes: &Routes, message: &Arc<StoredMessage>, retain: bool) -> Distributed {
        let mut distributed = Distributed::default();
        for route in &routes.list {
            let pushed = match route {
                Route::Direct { session, qos, retain_as_published, identifiers } => session.push(
                    &self.context,
                    message,
                    message.qos.min(*qos),
                    retain && *retain_as_published,
                    identifiers.clone(),
                    None,
                ),
                Route::Shared(group) => self.push_to_group(group, message, retain, None),
            };
            match pushed {
                Pushed::Queued(ticket) => {
                    distributed.taken += 1;
                    distributed.ticket = distributed.ticket.max(ticket);
                }
                Pushed::NotWanted => {}
                Pushed::Refused => distributed.refused += 1,
            }
        }
        distributed
    }

    /// Gives a message to one member: a connected one with room, else a connected one, else one that will be back.
    fn push_to_group(
        &self,
        group: &Group<Subscriber>,
        message: &Arc<StoredMessage>,
        retain: bool,
        except: Option<&Session>,
    ) -> Pushed {
        let mut members: Vec<&Subscriber> = group
            .in_turn()
            .map(|(_, member)| member)
            .filter(|member| except.is_none_or(|except| except.number != member.session.number))
            .collect();
        members.sort_by_key(|member| (!member.session.is_online(), member.session.is_congested()));
        let mut result = Pushed::NotWanted;
        for Subscriber { session, subscription } in members {
            let identifiers = Identifiers::from_list(if subscription.identifier == 0 {
                Vec::new()
            } else {
                vec![subscription.identifier]
            });
            let pushed = session.push(
                &self.context,
                message,
                message.qos.min(subscription.qos),
                retain && subscription.retain_as_published,
                identifiers,
                Some(subscription.filter.clone()),
            );
            match pushed {
                Pushed::Queued(_) => return pushed,
                Pushed::Refused => result = Pushed::Refused,
                Pushed::NotWanted => {}
            }
        }
        result
    }

    /// Gives messages of a shared subscription that `session` cannot deliver to other members; returns those that
    /// nobody else took.
    pub(crate) fn hand_over(&self, scope: &ScopeState, session: &Session, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let is_over = session.lock().ended;
        let mut kept = Vec::new();
        for delivery in deliveries {
            let group = delivery.shared.as_deref().and_then(|shared| {
                let (name, filter) = shared.strip_prefix("$share/")?.split_once('/')?;
                scope.router.read().group(name, filter).cloned()
            });
            // Without a connected member it stays where it is, as long as the client may be back.
            let group = group.filter(|group| {
                is_over || group.members.iter().any(|(number, m)| *number != session.number.0 && m.session.is_online())
            });
            let pushed =
                group.map(|group| self.push_to_group(&group, &delivery.message, delivery.retain, Some(session)));
            match pushed {
                Some(Pushed::Queued(_)) => self.complete(session, &delivery),
                _ => kept.push(delivery),
            }
        }
        kept
    }

    /// Notes that a message needs no delivery any more.
    pub(crate) fn complete(&self, session: &Session, delivery: &Delivery) {
        if delivery.durable {
            let operation = SessionOperation::Complete { session: session.number, sequence: delivery.sequence };
            self.context.log.submit(operation);
        }
    }

    /// Keeps a message for later subscribers, or forgets the one that is kept when the payload is empty. None when
    /// there is no room.
    pub(crate) fn retain(&self, scope: &ScopeState, message: &Arc<StoredMessage>) -> Option<Ticket> {
        let mut retained = scope.retained.write();
        if message.payload.is_empty() {
            // [MQTT-3.3.1-6]
            let operation = SessionOperation::Unretain { scope: scope.scope.clone(), topic: message.topic.clone() };
            return Some(if retained.clear(&message.topic) { self.context.log.submit(operation) } else { 0 });
        }
        if retained.set(message.clone(), &self.context.limits) {
            let operation = SessionOperation::Retain { scope: scope.scope.clone(), message: message.clone() };
            Some(self.context.log.submit(operation))
        } else {
            self.context.refused.fetch_add(1, Ordering::Relaxed);
            if let Some(suppressed) = self.context.budgets.limit_reached.take_now() {
                warn!(
                    event = events::LIMIT_REACHED,
                    limit = "retained_messages",
                    account = %scope.scope.account,
                    region = %scope.scope.region,
                    suppressed,
                    "no room for another retained message"
                );
            }
            None
        }
    }

    /// Publishes a message of the server's own, or a will: waits while queues are full, as long as publishers wait.
    pub(crate) async fn publish_patiently(
        &self,
        scope: &ScopeState,
        publisher: Publisher,
        message: Arc<StoredMessage>,
        retain: bool,
    ) -> Distributed {
        let mut routes = self.routes(scope, publisher, message.topic.clone());
        while let Some(obstacle) = self.obstacle(&routes) {
            self.overcome(obstacle).await;
            if !routes.is_current(scope) {
                routes = self.routes(scope, publisher, message.topic.clone());
            }
        }
        let retained = if retain { self.retain(scope, &message) } else { Some(0) };
        let mut distributed = self.distribute(&routes, &message, retain);
        match retained {
            Some(ticket) => distributed.ticket = distributed.ticket.max(ticket),
            None => distributed.refused += 1,
        }
        distributed
    }

    async fn overcome(&self, obstacle: Obstacle) {
        match obstacle {
            Obstacle::Client(session) => {
                let link = Link::new();
                if session.wait_for_room(&link) {
                    let deadline = Instant::now() + Duration::from_millis(self.context.limits.stall_ms);
                    if timeout_at(deadline, link.signalled()).await.is_err() {
                        self.throttle(&session);
                        // The connection lets go of the session within moments; its publishers are told.
                        link.signalled().await;
                    }
                }
            }
            Obstacle::Writer => tokio::time::sleep(WRITER_POLL_INTERVAL).await,
        }
    }

    /// Ends the connection of a client that did not make room in time.
    pub(crate) fn throttle(&self, session: &Session) {
        if session.is_congested()
            && session.end_connection(DisconnectReason::Throttled)
            && let Some(suppressed) = self.context.budgets.limit_reached.take_now()
        {
            warn!(
                event = events::LIMIT_REACHED,
                limit = "stall_ms",
                client = %session.client,
                suppressed,
                "client takes its messages too slowly and is disconnected"
            );
        }
    }

    /// When a message that expires in `expiry_s` from now is not worth delivering any more.
    pub(crate) fn expires_at(&self, expiry_s: Option<u32>) -> Option<Timestamp> {
        expiry_s.map(|seconds| self.ports.clock.now().plus(Duration::from_secs(u64::from(seconds))))
    }
}

/// How often a publisher that waits for the writer of durable state looks again.
pub(crate) const WRITER_POLL_INTERVAL: Duration = Duration::from_millis(5);
