//! The MQTT broker of a device (MQTT 3.1, 3.1.1 and 5): each client meets what the device says, and nobody else.
//!
//! [`Dialogue`] is the whole of it without sockets: bytes in, a [`Turn`] out. What packets are is known from the decoder,
//! which has bounded them. Nothing that a client publishes reaches another one: a persona is no place to meet.

mod packet;

use std::sync::Arc;

use komainu_decode::mqtt::{AckKind, Connect, Event, Filter, Publish, Reader};
use komainu_decode::{Decoder, Fact, OddityKind, Place, Side};
use serde::Deserialize;

use crate::link::Link;
use crate::persona::{Accounts, Device, PersonaError};
use crate::session::Ending;

/// Subscriptions of one client. A further one is refused.
const SUBSCRIPTIONS_MAX: usize = 64;

/// Bytes of the filter of a subscription. A longer one is refused; those of devices have a hundred.
const FILTER_BYTES_MAX: usize = 1024;

/// Messages that a client leaves for itself. A further one is acknowledged and forgotten.
const KEPT_MAX: usize = 16;

/// A broker.
#[derive(Debug)]
pub(crate) struct Mqtt {
    accounts: Accounts,
    /// Whether those are let in who do not say who they are.
    is_open: bool,
    topics: Vec<Topic>,
}

/// A message that waits for whoever subscribes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Topic {
    topic: Vec<u8>,
    message: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MqttText {
    pub(crate) ports: Vec<u16>,
    #[serde(default)]
    pub(crate) tls_ports: Vec<u16>,
    #[serde(default)]
    anonymous: bool,
    #[serde(default)]
    topic: Vec<TopicText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicText {
    topic: String,
    message: String,
}

/// Which answers a client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// MQTT 3.1 and 3.1.1.
    V3,
    V5,
}

impl Mqtt {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: MqttText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        for (index, topic) in text.topic.iter().enumerate() {
            if topic.topic.is_empty() || topic.topic.len() > FILTER_BYTES_MAX || topic.topic.contains(['+', '#', '\0'])
            {
                return Err(device.wrong(format!("{at}.topic[{index}].topic"), "must be a topic without wildcards"));
            }
        }
        let topics = text.topic.into_iter().map(|one| Topic { topic: one.topic.into(), message: one.message.into() });
        Ok(Self { accounts: device.accounts.clone(), is_open: text.anonymous, topics: topics.collect() })
    }
}

/// Speaks with a client until the connection ends.
pub(crate) async fn serve(link: &mut Link, persona: &Arc<Mqtt>, seed: u64) -> Ending {
    let mut dialogue = Box::new(Dialogue::new(persona.clone(), seed));
    loop {
        let turn = match link.read().await {
            Ok(bytes) => dialogue.take(&bytes),
            Err(ending) => return ending,
        };
        match link.write(&turn.said).await {
            Err(ending) => return ending,
            Ok(()) if turn.is_last => return Ending::Closed,
            Ok(()) => {}
        }
    }
}

/// Answers what a client might say.
#[cfg(fuzzing)]
pub(crate) fn check_bytes(persona: &Arc<Mqtt>, bytes: &[u8]) {
    let mut dialogue = Dialogue::new(persona.clone(), 1);
    dialogue.take(bytes);
    let Broker { filters, kept, .. } = &dialogue.broker;
    assert!(filters.len() <= SUBSCRIPTIONS_MAX && kept.len() <= KEPT_MAX);
}

/// A conversation over MQTT.
struct Dialogue {
    reader: Reader,
    broker: Broker,
}

/// What a persona says next.
#[derive(Debug, Default, PartialEq, Eq)]
struct Turn {
    said: Vec<u8>,
    is_last: bool,
}

struct Broker {
    persona: Arc<Mqtt>,
    seed: u64,
    /// None before CONNECT.
    version: Option<Version>,
    filters: Vec<Vec<u8>>,
    kept: Vec<Topic>,
}

impl Dialogue {
    fn new(persona: Arc<Mqtt>, seed: u64) -> Self {
        let broker = Broker { persona, seed, version: None, filters: Vec::new(), kept: Vec::new() };
        Self { reader: Reader::default(), broker }
    }

    fn take(&mut self, bytes: &[u8]) -> Turn {
        let (broker, mut turn) = (&mut self.broker, Turn::default());
        self.reader.data(Side::Client, bytes, &mut |_: Place, fact: Fact<'_>| {
            if turn.is_last {
                return;
            }
            match fact {
                Fact::Mqtt(event) => broker.packet(&event, &mut turn),
                // A broker closes the connection of a client that is out of order (MQTT 5, 4.13).
                Fact::Oddity(oddity) => turn.is_last = oddity.kind != OddityKind::Tolerated,
                _ => {}
            }
        });
        turn
    }
}

impl Broker {
    fn packet(&mut self, event: &Event<'_>, turn: &mut Turn) {
        match (event, self.version) {
            (Event::Connect(connect), None) => self.connect(connect, turn),
            (Event::Publish(publish), Some(version)) => self.publish(version, publish, turn),
            (Event::Ack { kind: AckKind::PubRel, packet_id, .. }, Some(_)) => {
                turn.said.extend(packet::acknowledgement(0x70, *packet_id));
            }
            // What is said at most once is acknowledged by nobody.
            (Event::Ack { .. }, Some(_)) => {}
            (Event::Subscribe { packet_id, filters }, Some(version)) => {
                self.subscribe(version, *packet_id, filters, turn);
            }
            (Event::Unsubscribe { packet_id, filters }, Some(version)) => {
                self.filters.retain(|known| !filters.contains(&known.as_slice()));
                let codes = if version == Version::V5 { vec![0; filters.len()] } else { Vec::new() };
                turn.said.extend(packet::subscriptions(version, 0xB0, *packet_id, &codes));
            }
            (Event::PingReq, Some(_)) => turn.said.extend_from_slice(packet::PINGRESP),
            // A second CONNECT, anything before the first, and what only a broker says.
            (
                Event::Connect(_)
                | Event::ConnAck { .. }
                | Event::Publish(_)
                | Event::Ack { .. }
                | Event::Subscribe { .. }
                | Event::SubAck { .. }
                | Event::Unsubscribe { .. }
                | Event::UnsubAck { .. }
                | Event::PingReq
                | Event::PingResp
                | Event::Disconnect { .. }
                | Event::Auth { .. },
                _,
            ) => turn.is_last = true,
        }
    }

    fn connect(&mut self, connect: &Connect<'_>, turn: &mut Turn) {
        let version = match (connect.protocol_name, connect.level) {
            (b"MQTT", 5) => Version::V5,
            (b"MQTT", 4) | (b"MQIsdp", 3) => Version::V3,
            _ => {
                turn.said.extend(packet::connack(Version::V3, 1, None));
                turn.is_last = true;
                return;
            }
        };
        let is_in = match connect.user {
            None => self.persona.is_open,
            Some(user) => self.persona.accounts.has(user, connect.password.unwrap_or_default()),
        };
        if !is_in {
            // Not authorized (MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2).
            let code = if version == Version::V5 { 0x87 } else { 5 };
            turn.said.extend(packet::connack(version, code, None));
            turn.is_last = true;
            return;
        }
        self.version = Some(version);
        let assigned_id = connect.client_id.is_empty().then(|| format!("auto-{:016X}", self.seed));
        turn.said.extend(packet::connack(version, 0, assigned_id.as_deref()));
    }

    fn publish(&mut self, version: Version, publish: &Publish<'_>, turn: &mut Turn) {
        match (publish.qos, publish.packet_id) {
            (1, Some(packet_id)) => turn.said.extend(packet::acknowledgement(0x40, packet_id)),
            (2, Some(packet_id)) => turn.said.extend(packet::acknowledgement(0x50, packet_id)),
            (0, _) => {}
            _ => {
                turn.is_last = true;
                return;
            }
        }
        // Of a longer message only the beginning is known here.
        let is_whole = publish.message.len() as u64 == u64::from(publish.payload_bytes);
        if !is_whole || publish.topic.is_empty() || publish.topic.len() > FILTER_BYTES_MAX {
            return;
        }
        if self.filters.iter().any(|filter| fits(filter, publish.topic)) {
            turn.said.extend(packet::publish(version, publish.topic, publish.message, false));
        }
        if publish.retain {
            self.kept.retain(|one| one.topic != publish.topic);
            if !publish.message.is_empty() && self.kept.len() < KEPT_MAX {
                self.kept.push(Topic { topic: publish.topic.to_vec(), message: publish.message.to_vec() });
            }
        }
    }

    fn subscribe(&mut self, version: Version, packet_id: u16, filters: &[Filter<'_>], turn: &mut Turn) {
        let mut codes = Vec::new();
        let mut messages = Vec::new();
        for Filter { filter, options } in filters {
            let is_known = self.filters.iter().any(|known| known == filter);
            if !is_filter(filter) || !is_known && self.filters.len() >= SUBSCRIPTIONS_MAX {
                codes.push(0x80);
                continue;
            }
            codes.push(options & 3);
            if !is_known {
                self.filters.push(filter.to_vec());
            }
            let own = self.persona.topics.iter().filter(|topic| self.kept.iter().all(|one| one.topic != topic.topic));
            for topic in own.chain(&self.kept).filter(|topic| fits(filter, &topic.topic)) {
                messages.extend(packet::publish(version, &topic.topic, &topic.message, true));
            }
        }
        turn.said.extend(packet::subscriptions(version, 0x90, packet_id, &codes));
        turn.said.extend(messages);
    }
}

/// Whether wildcards are where they may be (MQTT 5, 4.7.1).
fn is_filter(filter: &[u8]) -> bool {
    let is_good = |level: &[u8]| level.len() == 1 || !level.iter().any(|byte| matches!(byte, b'+' | b'#'));
    let hash = filter.iter().position(|byte| *byte == b'#');
    (1..=FILTER_BYTES_MAX).contains(&filter.len())
        && filter.split(|byte| *byte == b'/').all(is_good)
        && hash.is_none_or(|at| at + 1 == filter.len())
}

/// Whether a topic is one of those that a filter means (MQTT 5, 4.7).
fn fits(filter: &[u8], topic: &[u8]) -> bool {
    // What the broker says of itself is not meant by a wildcard (4.7.2).
    if topic.starts_with(b"$") && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    let mut levels = topic.split(|byte| *byte == b'/');
    for wanted in filter.split(|byte| *byte == b'/') {
        match (wanted, levels.next()) {
            (b"#", _) => return true,
            (b"+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dialogue() -> Dialogue {
        let topic = |topic: &str, message: &str| Topic { topic: topic.into(), message: message.into() };
        let persona = Mqtt {
            accounts: Accounts::of(&[("root", "a")]),
            is_open: true,
            topics: vec![topic("a/b", "1"), topic("$SYS/v", "2")],
        };
        Dialogue::new(Arc::new(persona), 1)
    }

    /// A conversation after a CONNECT of MQTT 3.1.1.
    fn connected() -> Dialogue {
        let mut dialogue = dialogue();
        let turn = dialogue.take(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x");
        assert_eq!(turn, Turn { said: vec![0x20, 2, 0, 0], is_last: false });
        dialogue
    }

    fn check(dialogue: &mut Dialogue, said: &[u8], expected: &[u8], is_last: bool) {
        assert_eq!(dialogue.take(said), Turn { said: expected.to_vec(), is_last }, "{said:?}");
    }

    #[test]
    fn who_is_let_in() {
        let wrong = b"\x10\x15\x00\x06MQIsdp\x03\xc2\x00\x3c\x00\x00\x00\x02no\x00\x01b";
        let wrong = [&[0x10, (wrong.len() - 2) as u8], &wrong[2..]].concat();
        check(&mut dialogue(), &wrong, &[0x20, 2, 0, 5], true);
        let right = b"\x10\x00\x00\x04MQTT\x05\xc2\x00\x3c\x00\x00\x01x\x00\x04root\x00\x01a";
        let right = [&[0x10, (right.len() - 2) as u8], &right[2..]].concat();
        check(&mut dialogue(), &right, &[0x20, 3, 0, 0, 0], false);
        let unknown = b"\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x01x";
        check(&mut dialogue(), unknown, &[0x20, 2, 0, 1], true);
    }

    #[test]
    fn messages_are_acknowledged_and_come_back_to_their_sender_only() {
        let mut dialogue = connected();
        check(&mut dialogue, b"\x30\x04\x00\x01tm", b"", false);
        check(&mut dialogue, b"\x32\x06\x00\x01t\x00\x07m", b"\x40\x02\x00\x07", false);
        check(&mut dialogue, b"\x34\x06\x00\x01t\x00\x08m", b"\x50\x02\x00\x08", false);
        check(&mut dialogue, b"\x62\x02\x00\x08", b"\x70\x02\x00\x08", false);
        check(&mut dialogue, b"\x82\x06\x00\x01\x00\x01t\x00", b"\x90\x03\x00\x01\x00", false);
        check(&mut dialogue, b"\x30\x04\x00\x01tm", b"\x30\x04\x00\x01tm", false);
        check(&mut dialogue, b"\xa2\x05\x00\x02\x00\x01t", b"\xb0\x02\x00\x02", false);
        check(&mut dialogue, b"\x30\x04\x00\x01tm", b"", false);
        check(&mut dialogue, b"\xc0\x00\xe0\x00\xc0\x00", packet::PINGRESP, true);
    }

    #[test]
    fn retained_messages() {
        let mut dialogue = connected();
        check(&mut dialogue, b"\x82\x06\x00\x01\x00\x01#\x02", b"\x90\x03\x00\x01\x02\x31\x06\x00\x03a/b1", false);
        let system = b"\x82\x0b\x00\x02\x00\x06$SYS/#\x00";
        check(&mut dialogue, system, b"\x90\x03\x00\x02\x00\x31\x09\x00\x06$SYS/v2", false);
        check(&mut dialogue, b"\x31\x06\x00\x03a/b9", b"\x30\x06\x00\x03a/b9", false);
        check(&mut dialogue, b"\x82\x06\x00\x03\x00\x01#\x00", b"\x90\x03\x00\x03\x00\x31\x06\x00\x03a/b9", false);
        check(&mut dialogue, b"\x82\x07\x00\x04\x00\x02a#\x00", b"\x90\x03\x00\x04\x80", false);
    }

    #[test]
    fn who_is_out_of_order_is_sent_away() {
        check(&mut dialogue(), b"\xc0\x00", b"", true);
        check(&mut connected(), b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x", b"", true);
        check(&mut connected(), b"\x20\x02\x00\x00", b"", true);
        check(&mut connected(), b"\x82\x01\x00", b"", true);
        check(&mut connected(), b"\xff\xff\xff\xff\xff", b"", true);
    }

    #[test]
    fn filters() {
        let check = |filter: &str, topic: &str, expected| {
            assert_eq!(fits(filter.as_bytes(), topic.as_bytes()), expected, "{filter} {topic}");
        };
        check("a/b", "a/b", true);
        check("a/+", "a/b", true);
        check("a/+", "a/b/c", false);
        check("a/#", "a", true);
        check("a/#", "a/b/c", true);
        check("+/b", "a/b", true);
        check("#", "$SYS/a", false);
        check("$SYS/#", "$SYS/a", true);
        check("a", "a/b", false);
    }

    proptest! {
        #[test]
        fn bounds_hold(packets in proptest::collection::vec(
            (proptest::sample::select(&b"\x30\x31\x32\x82\xa2\xc0"[..]), "[a-c+#/]{0,6}", any::<u8>()), 0..200,
        )) {
            let mut dialogue = connected();
            for (first, topic, last) in packets {
                let text = [&[0, topic.len() as u8], topic.as_bytes()].concat();
                let body = if first >> 4 == 3 { [&text[..], &[last; 3]].concat() } else { [&[0, 1], &text[..], &[last]].concat() };
                let said = [&[first, body.len() as u8], &body[..]].concat();
                if dialogue.take(&said).is_last {
                    break;
                }
                prop_assert!(dialogue.broker.filters.len() <= SUBSCRIPTIONS_MAX);
                prop_assert!(dialogue.broker.kept.len() <= KEPT_MAX);
            }
        }
    }
}
