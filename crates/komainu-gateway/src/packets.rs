//! What the broker does with each packet of a connected client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use komainu_model::DisconnectReason;
use komainu_ports::{QualityOfService as Qos, SessionOperation, StoredMessage, StoredSubscription};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::access::DeniedAction;
use crate::broker::split_shared;
use crate::connection::{Connection, End};
use crate::decode::{self, Publish, RetainHandling, SubscribeFilter};
use crate::durable::Ticket;
use crate::encode;
use crate::events;
use crate::flow::{Acknowledged, Identifiers};
use crate::link::Signal;
use crate::packet::{Reason, Version, Violation, kind, qos_bits};
use crate::publish::{Obstacle, Routes, Subscriber};
use crate::replies::{After, Reply, ReportOutcome};
use crate::topic::{self, Purpose};

/// SUBACK's only failure in 3.1.1.
const SUBACK_FAILURE_V3: u8 = 0x80;

/// A message that may be published.
enum Admitted {
    /// For subscribers.
    Message { routes: Arc<Routes>, retain: bool },
    /// For the report sink.
    Report,
}

/// Why a message may not be published.
enum Rejected {
    /// Its acknowledgement says so; without one, or in 3.1.1, the connection ends.
    Denied(DeniedAction),
    /// As above, but it is not a matter of rights.
    Unacceptable(Violation),
}

impl Connection<'_> {
    /// Handles one packet. When that sets an obstacle, nothing was done and the packet must come again.
    pub(crate) fn on_packet(&mut self, first: u8, body: &[u8]) -> Result<(), End> {
        let version = self.version;
        match decode::packet_kind(first).map_err(End::violation)? {
            kind::PUBLISH => {
                let publish = decode::publish(first, body, version).map_err(End::violation)?;
                self.on_publish(&publish)
            }
            kind @ (kind::PUBACK | kind::PUBREC | kind::PUBREL | kind::PUBCOMP) => {
                let ack = decode::ack(kind, body, version).map_err(End::violation)?;
                match kind {
                    kind::PUBACK => self.on_puback(ack.packet_id),
                    kind::PUBREC => self.on_pubrec(ack),
                    kind::PUBREL => self.on_pubrel(ack.packet_id),
                    _ => self.on_pubcomp(ack.packet_id),
                }
                Ok(())
            }
            kind::SUBSCRIBE => {
                let subscribe = decode::subscribe(body, version).map_err(End::violation)?;
                self.on_subscribe(&subscribe);
                Ok(())
            }
            kind::UNSUBSCRIBE => {
                let (packet_id, filters) = decode::unsubscribe(body, version).map_err(End::violation)?;
                self.on_unsubscribe(packet_id, &filters);
                Ok(())
            }
            kind::PINGREQ => {
                decode::empty(body).map_err(End::violation)?;
                encode::pingresp(&mut self.out);
                Ok(())
            }
            kind::DISCONNECT => {
                let disconnect = decode::disconnect(body, version).map_err(End::violation)?;
                Err(self.on_disconnect(disconnect))
            }
            // [MQTT-3.1.0-2]
            kind::CONNECT => Err(End::violation(Violation::protocol("second CONNECT"))),
            _ => Err(End::violation(Violation::protocol("packet that only a server sends, or AUTH without a method"))),
        }
    }

    fn on_publish(&mut self, publish: &Publish<'_>) -> Result<(), End> {
        let topic_text = self.resolve_alias(publish)?;
        let topic = topic_text.as_deref().unwrap_or(publish.topic);
        let is_repeated = publish.qos == Qos::ExactlyOnce && self.flow.received.contains(&publish.packet_id);
        if is_repeated {
            // It was passed on when it came first. [MQTT-4.3.3-2], MQTT 5 [MQTT-4.3.3-10]
            self.owe(After::Durable(0), kind::PUBREC, publish.packet_id, Reason::Success);
            return Ok(());
        }
        let counts = publish.qos != Qos::AtMostOnce;
        if counts && self.version == Version::V5 && self.receiving >= self.receive_max() {
            let what = "more messages than receive maximum";
            return Err(End::violation(Violation { reason: Reason::ReceiveMaxExceeded, what })); // [MQTT-3.3.4-9]
        }
        let admitted = match self.admit(publish, topic) {
            Ok(admitted) => admitted,
            Err(rejected) => {
                let reason = match rejected {
                    Rejected::Denied(action) => {
                        self.access.count_denied(action, topic);
                        if !counts || self.version == Version::V3 {
                            return Err(End::forbidden());
                        }
                        Reason::NotAuthorized
                    }
                    Rejected::Unacceptable(violation) => {
                        if !counts || self.version == Version::V3 {
                            return Err(End::violation(violation));
                        }
                        violation.reason
                    }
                };
                self.receiving += 1;
                self.acknowledge(publish, After::Durable(0), reason);
                return Ok(());
            }
        };
        match admitted {
            Admitted::Message { routes, retain } => {
                if self.is_held_up(&routes) {
                    return Ok(());
                }
                self.receiving += usize::from(counts);
                self.access.count_sent(publish.payload.len());
                self.pass_on(publish, &routes, retain);
            }
            Admitted::Report => {
                self.receiving += usize::from(counts);
                self.access.count_sent(publish.payload.len());
                self.hand_to_sink(publish, topic);
            }
        }
        Ok(())
    }

    /// Keeps the topic of an alias, or finds it. [MQTT-3.3.2-8] ff.
    fn resolve_alias(&mut self, publish: &Publish<'_>) -> Result<Option<Arc<str>>, End> {
        let Some(alias) = publish.topic_alias else { return Ok(None) };
        let invalid = |what| End::violation(Violation { reason: Reason::TopicAliasInvalid, what });
        if alias == 0 || alias > self.broker.context.limits.topic_alias_max {
            return Err(invalid("topic alias is 0 or above its maximum"));
        }
        let at = usize::from(alias) - 1;
        if publish.topic.is_empty() {
            let known = self.aliases_in.get(at).cloned().flatten();
            return known.map(Some).ok_or_else(|| {
                End::violation(Violation { reason: Reason::ProtocolError, what: "topic alias is not known" })
            });
        }
        if self.aliases_in.len() <= at {
            self.aliases_in.resize(at + 1, None);
        }
        if self.aliases_in[at].as_deref() != Some(publish.topic) {
            self.aliases_in[at] = Some(publish.topic.into());
        }
        Ok(None)
    }

    /// Whether the client may publish this, and where it goes.
    fn admit(&mut self, publish: &Publish<'_>, topic: &str) -> Result<Admitted, Rejected> {
        let limits = &self.broker.context.limits;
        if publish.payload.len() > limits.payload_bytes_max as usize {
            let what = "payload is too large";
            return Err(Rejected::Unacceptable(Violation { reason: Reason::QuotaExceeded, what }));
        }
        let known = self.routes.as_ref().filter(|routes| *routes.topic == *topic);
        let routes = match known {
            // The name was checked when its routes were looked up first.
            Some(routes) => Some(routes.clone()),
            None => {
                if let Err(what) = topic::check_name(topic, limits) {
                    return Err(Rejected::Unacceptable(Violation { reason: Reason::TopicNameInvalid, what }));
                }
                match topic::purpose(topic) {
                    Purpose::Ordinary => None,
                    Purpose::ServiceOnly => return Err(Rejected::Denied(DeniedAction::Publish)),
                    Purpose::Report { .. } if !self.access.may_publish(topic, false) => {
                        return Err(Rejected::Denied(DeniedAction::Publish));
                    }
                    // Reserved topics retain nothing.
                    Purpose::Report { .. } if publish.retain => {
                        return Err(Rejected::Denied(DeniedAction::RetainPublish));
                    }
                    Purpose::Report { .. } => return Ok(Admitted::Report),
                }
            }
        };
        if !self.access.may_publish(topic, publish.retain) {
            let is_retain_denied = publish.retain && self.access.may_publish(topic, false);
            let action = if is_retain_denied { DeniedAction::RetainPublish } else { DeniedAction::Publish };
            return Err(Rejected::Denied(action));
        }
        let routes = match routes {
            Some(routes) if routes.is_current(&self.scope) => routes,
            outdated => {
                let topic = outdated.map_or_else(|| topic.into(), |routes| routes.topic.clone());
                let routes = Arc::new(self.broker.routes(&self.scope, self.session.number.0, topic));
                self.routes = Some(routes.clone());
                routes
            }
        };
        Ok(Admitted::Message { routes, retain: publish.retain })
    }

    /// Whether publishing has to wait. Then the connection is not read from until it need not any more.
    fn is_held_up(&mut self, routes: &Routes) -> bool {
        while let Some(obstacle) = self.broker.obstacle(routes) {
            let must_wait = match &obstacle {
                // A client that publishes to itself would wait for itself: its own queue grows instead, by no more
                // than it sends before it reads.
                Obstacle::Client(session) if Arc::ptr_eq(session, &self.session) => return false,
                Obstacle::Client(session) => session.wait_for_room(&self.link),
                Obstacle::Writer => true,
            };
            if must_wait {
                self.obstacle = Some((obstacle, Instant::now()));
                return true;
            }
        }
        false
    }

    fn pass_on(&mut self, publish: &Publish<'_>, routes: &Routes, retain: bool) {
        let message = Arc::new(StoredMessage {
            topic: routes.topic.clone(),
            payload: Bytes::copy_from_slice(publish.payload),
            qos: publish.qos,
            properties: if publish.forwarded.is_empty() {
                Bytes::new()
            } else {
                Bytes::copy_from_slice(&publish.forwarded)
            },
            expires_at: self.broker.expires_at(publish.expiry_s),
        });
        let mut reason = Reason::Success;
        let mut ticket: Ticket = 0;
        if retain {
            match self.broker.retain(&self.scope, &message) {
                Some(retained) => ticket = retained,
                None => reason = Reason::QuotaExceeded,
            }
        }
        let distributed = self.broker.distribute(routes, &message, retain);
        ticket = ticket.max(distributed.ticket);
        if distributed.refused > 0 && distributed.taken == 0 {
            reason = Reason::QuotaExceeded;
        }
        if self.version == Version::V3 {
            // 3.1.1 cannot refuse a message; the refusal was counted and logged.
            reason = Reason::Success;
        }
        if publish.qos == Qos::ExactlyOnce && reason == Reason::Success {
            ticket = ticket.max(self.note_received(publish.packet_id));
        }
        self.acknowledge(publish, After::Durable(ticket), reason);
    }

    /// Remembers the packet id of a QoS 2 message until it is released.
    fn note_received(&mut self, packet_id: u16) -> Ticket {
        self.flow.received.insert(packet_id);
        self.log_if_persistent(|session| SessionOperation::Received { session, packet_id })
    }

    fn log_if_persistent(&self, operation: impl FnOnce(komainu_ports::SessionNumber) -> SessionOperation) -> Ticket {
        if self.expiry_s > 0 { self.broker.context.log.submit(operation(self.session.number)) } else { 0 }
    }

    fn hand_to_sink(&mut self, publish: &Publish<'_>, topic: &str) {
        let Purpose::Report { thing, encoding } = topic::purpose(topic) else { return };
        let payload = Bytes::copy_from_slice(publish.payload);
        let report = self.broker.report(&self.scope.scope, thing, encoding, payload);
        let submitted = {
            if publish.qos == Qos::AtMostOnce {
                let pending = self.reports_pending.fetch_add(1, Ordering::AcqRel);
                if pending >= self.broker.context.limits.reports_pending_max {
                    self.reports_pending.fetch_sub(1, Ordering::AcqRel);
                    self.broker.context.refused.fetch_add(1, Ordering::Relaxed);
                    if let Some(suppressed) = self.broker.context.budgets.limit_reached.take_now() {
                        warn!(
                            event = events::LIMIT_REACHED,
                            limit = "reports_pending_max",
                            client = %self.session.client,
                            suppressed,
                            "too many reports at once, one of QoS 0 is dropped"
                        );
                    }
                    return;
                }
            }
            self.broker.ports.reports.submit(report)
        };
        if publish.qos == Qos::AtMostOnce {
            let pending = PendingReport(self.reports_pending.clone());
            tokio::spawn(async move {
                if let Err(error) = submitted.await {
                    debug!(%error, "report of QoS 0 was not taken");
                }
                drop(pending);
            });
            return;
        }
        let outcome = Arc::new(ReportOutcome::default());
        if publish.qos == Qos::ExactlyOnce {
            self.note_received(publish.packet_id);
        }
        self.acknowledge(publish, After::Report(outcome.clone()), Reason::Success);
        let link = self.link.clone();
        tokio::spawn(async move {
            match submitted.await {
                Ok(()) => outcome.taken(),
                Err(error) => {
                    debug!(%error, "report was not taken");
                    outcome.not_taken();
                }
            }
            link.signal(Signal::Settled);
        });
    }

    /// Owes the first acknowledgement of a message, if its quality of service has one.
    fn acknowledge(&mut self, publish: &Publish<'_>, after: After, reason: Reason) {
        match publish.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.owe(after, kind::PUBACK, publish.packet_id, reason),
            Qos::ExactlyOnce => self.owe(after, kind::PUBREC, publish.packet_id, reason),
        }
    }

    fn owe(&mut self, after: After, kind: u8, packet_id: u16, reason: Reason) {
        self.replies.push(after, Reply::Ack { kind, packet_id, reason });
    }

    fn receive_max(&self) -> usize {
        usize::from(self.broker.context.limits.receive_max)
    }

    fn on_puback(&mut self, packet_id: u16) {
        let acknowledged = self.flow.acknowledge(packet_id, Qos::AtLeastOnce);
        self.on_acknowledged(acknowledged);
    }

    fn on_pubrec(&mut self, ack: decode::Ack) {
        if ack.reason >= 0x80 {
            // The client does not want it; nobody else gets it. [MQTT-4.8.2-6]
            let acknowledged = self.flow.acknowledge(ack.packet_id, Qos::ExactlyOnce);
            return self.on_acknowledged(acknowledged);
        }
        let (ticket, reason) = match self.flow.release(ack.packet_id) {
            Some(Acknowledged::Message { sequence, durable: true }) => {
                let session = self.session.number;
                (self.broker.context.log.submit(SessionOperation::Release { session, sequence }), Reason::Success)
            }
            Some(_) => (0, Reason::Success),
            None if self.version == Version::V5 => (0, Reason::PacketIdNotFound),
            None => (0, Reason::Success),
        };
        self.owe(After::Durable(ticket), kind::PUBREL, ack.packet_id, reason);
    }

    fn on_pubcomp(&mut self, packet_id: u16) {
        let acknowledged = self.flow.complete(packet_id);
        self.on_acknowledged(acknowledged);
    }

    fn on_acknowledged(&mut self, acknowledged: Acknowledged) {
        match acknowledged {
            Acknowledged::Message { sequence, durable } => {
                if durable {
                    let session = self.session.number;
                    self.broker.context.log.submit(SessionOperation::Complete { session, sequence });
                }
                // The window has moved on.
                self.may_deliver = true;
            }
            Acknowledged::Unknown => {
                debug!(client = %self.session.client, "acknowledgement of a message that is not under way");
            }
        }
    }

    fn on_pubrel(&mut self, packet_id: u16) {
        let (ticket, reason) = if self.flow.received.remove(&packet_id) {
            // Durable before PUBCOMP: the client may use the id for another message right after it.
            (self.log_if_persistent(|session| SessionOperation::Released { session, packet_id }), Reason::Success)
        } else if self.version == Version::V5 {
            (0, Reason::PacketIdNotFound)
        } else {
            (0, Reason::Success)
        };
        self.owe(After::Durable(ticket), kind::PUBCOMP, packet_id, reason);
    }

    fn on_subscribe(&mut self, subscribe: &decode::Subscribe<'_>) {
        let is_too_long = subscribe.filters.len() > self.broker.context.limits.filters_per_subscribe_max;
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut granted = Vec::new();
        let mut ticket: Ticket = 0;
        for wanted in &subscribe.filters {
            let result = if is_too_long { Err(Reason::QuotaExceeded) } else { self.may_subscribe(wanted.filter) };
            match result {
                Ok(()) => {
                    codes.push(qos_bits(wanted.qos));
                    granted.push(wanted.filter);
                    ticket = ticket.max(self.subscribe(wanted, subscribe.identifier));
                }
                Err(reason) if self.version == Version::V5 => codes.push(reason as u8),
                Err(_) => codes.push(SUBACK_FAILURE_V3),
            }
        }
        self.replies.push(After::Durable(ticket), Reply::Suback { packet_id: subscribe.packet_id, codes });
        if !granted.is_empty() {
            self.broker.tell_subscribed(&self.scope, &self.subject, &granted);
        }
    }

    fn may_subscribe(&self, text: &str) -> Result<(), Reason> {
        let limits = &self.broker.context.limits;
        let parsed = topic::parse_filter(text, limits).map_err(|_| Reason::TopicFilterInvalid)?;
        if topic::is_subscription_forbidden(parsed.filter) || !self.access.may_subscribe(parsed.filter) {
            self.access.count_denied(DeniedAction::Subscribe, parsed.filter);
            return Err(Reason::NotAuthorized);
        }
        let inbox = self.session.lock();
        let is_new = !inbox.subscriptions.contains_key(text);
        if is_new && inbox.subscriptions.len() >= limits.subscriptions_per_session_max {
            return Err(Reason::QuotaExceeded);
        }
        Ok(())
    }

    /// Makes or replaces a subscription, then sends what is retained. In this order no message is missed: one that
    /// is retained in between comes twice. [MQTT-3.8.4-3]
    fn subscribe(&mut self, wanted: &SubscribeFilter<'_>, identifier: u32) -> Ticket {
        let subscription = StoredSubscription {
            filter: wanted.filter.into(),
            qos: wanted.qos,
            no_local: wanted.no_local,
            retain_as_published: wanted.retain_as_published,
            identifier,
        };
        let before = self.session.lock().subscriptions.insert(subscription.filter.clone(), subscription.clone());
        let (group, filter) = split_shared(wanted.filter);
        let subscriber = Subscriber { session: self.session.clone(), subscription: subscription.clone() };
        self.scope.change_router(|router| router.insert(filter, group, self.session.number.0, subscriber));
        let wants_retained = match wanted.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => before.is_none(),
            RetainHandling::DoNotSend => false,
        };
        // A shared subscription gets no retained messages. (MQTT 5, section 4.8.2)
        if wants_retained && group.is_none() {
            let messages = self.scope.retained.read().matching(filter, self.broker.ports.clock.now());
            for message in messages {
                let identifiers = if identifier == 0 { Identifiers::None } else { Identifiers::One([identifier]) };
                let qos = message.qos.min(wanted.qos);
                self.session.push(&self.broker.context, &message, qos, true, identifiers, None);
            }
            self.may_deliver = true;
        }
        self.log_if_persistent(|session| SessionOperation::PutSubscription { session, subscription })
    }

    fn on_unsubscribe(&mut self, packet_id: u16, filters: &[&str]) {
        let mut codes = Vec::with_capacity(filters.len());
        let mut removed = Vec::new();
        let mut ticket: Ticket = 0;
        for text in filters {
            let existing = self.session.lock().subscriptions.remove_entry(*text);
            let Some((filter, _)) = existing else {
                codes.push(Reason::NoSubscriptionExisted as u8);
                continue;
            };
            let (group, plain) = split_shared(text);
            self.scope.change_router(|router| router.remove(plain, group, self.session.number.0));
            ticket = self.log_if_persistent(|session| SessionOperation::RemoveSubscription { session, filter });
            codes.push(Reason::Success as u8);
            removed.push(*text);
        }
        self.replies.push(After::Durable(ticket), Reply::Unsuback { packet_id, codes });
        if !removed.is_empty() {
            self.broker.tell_unsubscribed(&self.scope, &self.subject, &removed);
        }
    }

    fn on_disconnect(&mut self, disconnect: decode::Disconnect) -> End {
        if disconnect.session_expiry_s.is_some_and(|seconds| seconds > 0) && self.expiry_s == 0 {
            return End::violation(Violation::protocol("session expiry set at the end of a session without one"));
        }
        let longest = self.broker.context.limits.session_expiry_s_max;
        End {
            // Only a normal disconnection takes the will back. [MQTT-3.14.4-3]
            without_will: disconnect.reason == 0,
            expiry_s: disconnect.session_expiry_s.map(|seconds| seconds.min(longest)),
            ..End::silent(DisconnectReason::ClientInitiatedDisconnect)
        }
    }
}

/// Counts a report as pending while it lives.
struct PendingReport(Arc<AtomicUsize>);

impl Drop for PendingReport {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
