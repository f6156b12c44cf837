//! Messages on the way between one client and the broker: what was sent and not acknowledged, in both directions.
//!
//! Owned by the connection while there is one; waits in the session otherwise.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use komainu_ports::{QualityOfService as Qos, StoredMessage};

/// A message for one client.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) message: Arc<StoredMessage>,
    /// Its place in the session's order, from 1; 0 at QoS 0.
    pub(crate) sequence: u64,
    pub(crate) qos: Qos,
    /// The retain flag of the packet.
    pub(crate) retain: bool,
    /// It may have been sent before.
    pub(crate) dup: bool,
    /// It is written down, so its completion is as well.
    pub(crate) durable: bool,
    pub(crate) identifiers: Identifiers,
    /// The shared subscription it came by, as the client wrote it.
    pub(crate) shared: Option<Arc<str>>,
}

impl Delivery {
    /// What it counts against the bounds of a queue, in bytes: payload, topic and a share for the entry itself.
    pub(crate) fn queue_bytes(&self) -> usize {
        self.message.payload.len() + self.message.topic.len() + size_of::<Self>()
    }
}

/// Identifiers of the subscriptions that a message matched. Mostly none or one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identifiers {
    None,
    One([u32; 1]),
    Many(Arc<[u32]>),
}

impl Identifiers {
    pub(crate) fn from_list(list: Vec<u32>) -> Self {
        match *list {
            [] => Self::None,
            [one] => Self::One([one]),
            _ => Self::Many(list.into()),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(one) => one,
            Self::Many(list) => list,
        }
    }
}

/// The packet id of a sequence. It is the same after a resume and after a restart without being written down.
/// The span bound of [`Flow::has_room`] keeps ids of messages under way distinct.
pub(crate) const fn packet_id(sequence: u64) -> u16 {
    ((sequence - 1) % 65_535) as u16 + 1
}

/// Both directions of one client's QoS 1 and 2 traffic.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// By sequence.
    sent: VecDeque<Sent>,
    /// How many of `sent` are not done.
    open: usize,
    /// Packet ids of QoS 2 messages of the client that it has not released.
    pub(crate) received: HashSet<u16, ahash::RandomState>,
}

#[derive(Debug)]
struct Sent {
    sequence: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// PUBLISH was sent.
    Published(Delivery),
    /// The client has the message (PUBREC); PUBREL was sent or waits to be.
    Released { durable: bool },
    /// Done, and kept only until those before it are.
    Done,
}

/// What an acknowledgement of the client means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The message with this sequence is done; `durable` says whether that is written down.
    Message { sequence: u64, durable: bool },
    /// No message waits for it.
    Unknown,
}

impl Flow {
    /// Whether another QoS 1 or 2 message may be sent, when at most `window` may be unacknowledged.
    ///
    /// A client that leaves its oldest message unacknowledged is held up after four windows: memory stays bounded and
    /// packet ids distinct, as `4 * 16,383 < 65,535`.
    pub(crate) fn room(&self, window: usize) -> usize {
        let window = window.min(16_383);
        match self.sent.front() {
            Some(_) if self.sent.len() >= 4 * window => 0,
            _ => window.saturating_sub(self.open),
        }
    }

    /// Whether `sequence` is near enough to the oldest message under way.
    pub(crate) fn in_span(&self, sequence: u64) -> bool {
        self.sent.front().is_none_or(|oldest| sequence.saturating_sub(oldest.sequence) < 65_535)
    }

    /// Notes that PUBLISH was sent.
    pub(crate) fn sent(&mut self, delivery: Delivery) {
        self.open += 1;
        let sent = Sent { sequence: delivery.sequence, state: State::Published(delivery) };
        match self.sent.back() {
            // After a resume, releases of later messages may already be here.
            Some(last) if last.sequence > sent.sequence => {
                let at = self.sent.partition_point(|other| other.sequence < sent.sequence);
                self.sent.insert(at, sent);
            }
            _ => self.sent.push_back(sent),
        }
    }

    /// The client acknowledged a QoS 1 message, or refused a QoS 2 message.
    pub(crate) fn acknowledge(&mut self, packet_id: u16, qos: Qos) -> Acknowledged {
        let Some(at) = self.find(packet_id) else { return Acknowledged::Unknown };
        match &self.sent[at].state {
            State::Published(delivery) if delivery.qos == qos => {
                let durable = delivery.durable;
                self.done(at, durable)
            }
            _ => Acknowledged::Unknown,
        }
    }

    /// The client has the QoS 2 message. `Message` when that is news.
    pub(crate) fn release(&mut self, packet_id: u16) -> Option<Acknowledged> {
        let at = self.find(packet_id)?;
        let sequence = self.sent[at].sequence;
        match &self.sent[at].state {
            State::Published(delivery) if delivery.qos == Qos::ExactlyOnce => {
                let durable = delivery.durable;
                self.sent[at].state = State::Released { durable };
                Some(Acknowledged::Message { sequence, durable })
            }
            State::Released { .. } => Some(Acknowledged::Unknown),
            _ => None,
        }
    }

    /// The client completed the QoS 2 message.
    pub(crate) fn complete(&mut self, packet_id: u16) -> Acknowledged {
        let Some(at) = self.find(packet_id) else { return Acknowledged::Unknown };
        match self.sent[at].state {
            State::Released { durable } => self.done(at, durable),
            _ => Acknowledged::Unknown,
        }
    }

    /// Notes a message that the client already has: only its release is under way.
    pub(crate) fn restore_released(&mut self, sequence: u64) {
        self.open += 1;
        self.sent.push_back(Sent { sequence, state: State::Released { durable: true } });
    }

    /// Packet ids of releases under way, in order: sent again on a resume.
    pub(crate) fn releases(&self) -> impl Iterator<Item = u16> {
        self.sent
            .iter()
            .filter(|sent| matches!(sent.state, State::Released { .. }))
            .map(|sent| packet_id(sent.sequence))
    }

    /// Takes back what was published and not acknowledged, in order, marked as sent before. Releases stay.
    pub(crate) fn take_back(&mut self) -> Vec<Delivery> {
        let mut unacknowledged = Vec::new();
        for sent in std::mem::take(&mut self.sent) {
            match sent.state {
                State::Published(mut delivery) => {
                    delivery.dup = true;
                    unacknowledged.push(delivery);
                }
                State::Released { .. } => self.sent.push_back(sent),
                State::Done => {}
            }
        }
        self.open = self.sent.len();
        unacknowledged
    }

    fn find(&self, id: u16) -> Option<usize> {
        let oldest = self.sent.front()?.sequence;
        let ahead = (u64::from(id) + 65_535 - u64::from(packet_id(oldest))) % 65_535;
        self.sent.binary_search_by_key(&(oldest + ahead), |sent| sent.sequence).ok()
    }

    fn done(&mut self, at: usize, durable: bool) -> Acknowledged {
        let sequence = self.sent[at].sequence;
        self.sent[at].state = State::Done;
        self.open -= 1;
        while matches!(self.sent.front(), Some(Sent { state: State::Done, .. })) {
            self.sent.pop_front();
        }
        if self.sent.is_empty() && self.sent.capacity() > 64 {
            self.sent = VecDeque::new();
        }
        Acknowledged::Message { sequence, durable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(sequence: u64, qos: Qos) -> Delivery {
        Delivery {
            message: crate::fixtures::message("a", b"x"),
            sequence,
            qos,
            retain: false,
            dup: false,
            durable: true,
            identifiers: Identifiers::None,
            shared: None,
        }
    }

    fn message(sequence: u64) -> Acknowledged {
        Acknowledged::Message { sequence, durable: true }
    }

    #[test]
    fn packet_ids_go_round_without_zero() {
        assert_eq!([1, 65_535, 65_536, 131_071].map(packet_id), [1, 65_535, 1, 1]);
    }

    #[test]
    fn acknowledgements_in_any_order() {
        let mut flow = Flow::default();
        for sequence in 65_533..65_539 {
            flow.sent(delivery(sequence, Qos::AtLeastOnce));
        }
        assert_eq!(flow.room(10), 4);
        assert_eq!(flow.acknowledge(packet_id(65_538), Qos::AtLeastOnce), message(65_538));
        assert_eq!(flow.acknowledge(packet_id(65_538), Qos::AtLeastOnce), Acknowledged::Unknown);
        assert_eq!(flow.acknowledge(1, Qos::AtLeastOnce), message(65_536));
        assert_eq!(flow.acknowledge(999, Qos::AtLeastOnce), Acknowledged::Unknown);
        for sequence in [65_533, 65_534, 65_535, 65_537] {
            assert_eq!(flow.acknowledge(packet_id(sequence), Qos::AtLeastOnce), message(sequence));
        }
        assert_eq!(flow.room(10), 10);
        assert!(flow.sent.is_empty());
    }

    #[test]
    fn exactly_once() {
        let mut flow = Flow::default();
        flow.sent(delivery(1, Qos::ExactlyOnce));
        assert_eq!(flow.complete(1), Acknowledged::Unknown, "not released yet");
        assert_eq!(flow.acknowledge(1, Qos::AtLeastOnce), Acknowledged::Unknown, "a PUBACK does not end QoS 2");
        assert_eq!(flow.release(1), Some(message(1)));
        assert_eq!(flow.release(1), Some(Acknowledged::Unknown), "again");
        assert_eq!(flow.room(2), 1, "it counts until it is complete");
        assert_eq!(flow.complete(1), message(1));
        assert_eq!(flow.release(1), None);
    }

    #[test]
    fn what_is_taken_back_is_sent_again_in_order() {
        let mut flow = Flow::default();
        for sequence in 1..=4 {
            flow.sent(delivery(sequence, Qos::ExactlyOnce));
        }
        flow.release(3);
        let again = flow.take_back();
        assert_eq!(
            again.iter().map(|delivery| (delivery.sequence, delivery.dup)).collect::<Vec<_>>(),
            [(1, true), (2, true), (4, true)]
        );
        assert_eq!(flow.releases().collect::<Vec<_>>(), [3]);
        for delivery in again {
            flow.sent(delivery);
        }
        assert_eq!([flow.release(1), flow.release(4)], [Some(message(1)), Some(message(4))]);
        assert_eq!(flow.releases().collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn an_oldest_message_that_is_never_acknowledged_holds_up_the_rest() {
        let mut flow = Flow::default();
        flow.sent(delivery(1, Qos::AtLeastOnce));
        for sequence in 2..=8 {
            assert!(flow.room(2) > 0, "{sequence}");
            flow.sent(delivery(sequence, Qos::AtLeastOnce));
            flow.acknowledge(packet_id(sequence), Qos::AtLeastOnce);
        }
        assert_eq!(flow.room(2), 0);
        flow.acknowledge(1, Qos::AtLeastOnce);
        assert_eq!(flow.room(2), 2);
    }
}
