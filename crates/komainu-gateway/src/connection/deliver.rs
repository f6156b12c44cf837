//! From the session's queue to the output.

use komainu_ports::SessionOperation;

use super::{BATCH_MESSAGES, Connection, SPARE_BUFFERS, WRITE_BYTES};
use crate::access::DeniedAction;
use crate::encode;
use crate::flow::{self, Delivery};
use crate::packet::Version;

impl Connection<'_> {
    /// Sends messages from the session's queue, as long as there is room in the output and in the client's window.
    pub(super) fn deliver(&mut self) {
        if !self.may_deliver {
            return;
        }
        let mut batch = Vec::new();
        let mut last_durable = None;
        while self.out.len() - self.written < WRITE_BYTES {
            let window = self.flow.room(self.window);
            let on_the_way = &self.flow;
            let may_send = |sequence| on_the_way.in_span(sequence);
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
            let operation = SessionOperation::SentThrough { session, sequence };
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
            self.access.count_denied(DeniedAction::Receive, &message.topic);
            return self.give_up(&delivery);
        }
        let mut publish = encode::Publish {
            dup: delivery.dup,
            qos: delivery.qos,
            retain: delivery.retain,
            topic: &message.topic,
            packet_id: if delivery.sequence == 0 { 0 } else { flow::packet_id(delivery.sequence) },
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
}
