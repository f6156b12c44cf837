//! Messages that stay for later subscribers of their topic.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use komainu_model::Timestamp;
use komainu_ports::StoredMessage;

use crate::limits::Limits;
use crate::topic;

/// The retained messages of one scope.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    messages: BTreeMap<Arc<str>, Arc<StoredMessage>>,
    bytes: u64,
}

impl Retained {
    /// Keeps a message in the place of the one before; says whether there was room.
    pub(crate) fn set(&mut self, message: Arc<StoredMessage>, limits: &Limits) -> bool {
        let before = self.messages.get(&message.topic);
        let bytes = self.bytes - before.map_or(0, |before| before.payload.len() as u64) + message.payload.len() as u64;
        let is_too_much = bytes > limits.retained_bytes_max
            || (before.is_none() && self.messages.len() >= limits.retained_messages_max);
        if is_too_much {
            return false;
        }
        self.bytes = bytes;
        self.messages.insert(message.topic.clone(), message);
        true
    }

    /// Forgets the message of a topic; says whether there was one.
    pub(crate) fn clear(&mut self, topic: &str) -> bool {
        let removed = self.messages.remove(topic);
        self.bytes -= removed.as_ref().map_or(0, |message| message.payload.len() as u64);
        removed.is_some()
    }

    /// The messages that `filter` names and that are still worth delivering, by topic.
    pub(crate) fn matching(&self, filter: &str, now: Timestamp) -> Vec<Arc<StoredMessage>> {
        let is_current = |message: &&Arc<StoredMessage>| message.expires_at.is_none_or(|at| at > now);
        let Some(wildcard) = filter.find(['+', '#']) else {
            return self.messages.get(filter).filter(is_current).cloned().into_iter().collect();
        };
        // `a/#` also names `a`, so the part before the last slash is what all have in common.
        let prefix = filter[..wildcard].trim_end_matches('/');
        let from: (Bound<&str>, Bound<&str>) = (Bound::Included(prefix), Bound::Unbounded);
        self.messages
            .range::<str, _>(from)
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, _)| topic::matches(filter, topic))
            .map(|(_, message)| message)
            .filter(is_current)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::message;

    #[test]
    fn keeps_the_last_message_of_each_topic() {
        let limits = Limits { retained_messages_max: 3, retained_bytes_max: 10, ..Limits::default() };
        let mut retained = Retained::default();
        assert!(retained.set(message("a", b"1"), &limits));
        assert!(retained.set(message("a", b"22"), &limits));
        assert!(retained.set(message("a/b", b"3"), &limits));
        assert!(retained.set(message("$x", b"4"), &limits));
        assert!(!retained.set(message("d", b"5"), &limits), "one topic too many");
        assert!(!retained.set(message("a", b"0123456789"), &limits), "too many bytes in all");
        let check = |filter: &str, expected: &[&str]| {
            let found = retained.matching(filter, Timestamp::from_unix_millis(0));
            assert_eq!(found.iter().map(|m| std::str::from_utf8(&m.payload).unwrap()).collect::<Vec<_>>(), expected);
        };
        check("a", &["22"]);
        check("a/#", &["22", "3"]);
        check("#", &["22", "3"]);
        check("+/b", &["3"]);
        check("$x", &["4"]);
        check("$x/#", &["4"]);
        check("b", &[]);
    }

    #[test]
    fn forgets() {
        let mut retained = Retained::default();
        assert!(retained.set(message("a", b"1"), &Limits::default()));
        assert!(retained.clear("a"));
        assert!(!retained.clear("a"));
        assert_eq!(retained.bytes, 0);
    }

    #[test]
    fn an_expired_message_is_not_delivered() {
        let mut retained = Retained::default();
        let expiring =
            StoredMessage { expires_at: Some(Timestamp::from_unix_millis(5)), ..(*message("a", b"1")).clone() };
        assert!(retained.set(Arc::new(expiring), &Limits::default()));
        let found = |now| retained.matching("+", Timestamp::from_unix_millis(now)).len();
        assert_eq!([found(4), found(5)], [1, 0]);
    }
}
