//! Traces go on beyond the outbox: the span of an alarm is kept until its message is tried for the first time.

use std::collections::VecDeque;

use komainu_model::DeliveryId;
use parking_lot::Mutex;
use tracing::Span;

/// Spans of alarms that wait for their messages: more than are tried at once. The oldest go first, and so do those of messages
/// that another start of the server tries; their messages' spans begin traces of their own.
const SPANS_MAX: usize = 1024;

/// The spans of alarms, by the messages that tell of them.
#[derive(Debug, Default)]
pub(crate) struct Threads(Mutex<VecDeque<(DeliveryId, Span)>>);

impl Threads {
    /// Keeps a span that somebody collects.
    pub(crate) fn keep(&self, delivery: &DeliveryId, span: &Span) {
        if !span.is_disabled() {
            self.push(delivery, span);
        }
    }

    fn push(&self, delivery: &DeliveryId, span: &Span) {
        let mut kept = self.0.lock();
        if kept.len() >= SPANS_MAX {
            kept.pop_front();
        }
        kept.push_back((delivery.clone(), span.clone()));
    }

    /// The span that a message goes on from, once.
    pub(crate) fn take(&self, delivery: &DeliveryId) -> Option<Span> {
        let mut kept = self.0.lock();
        let place = kept.iter().position(|(of, _)| of == delivery)?;
        kept.remove(place).map(|(_, span)| span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_each_is_taken_once() {
        let id = |number: usize| DeliveryId::parse(&format!("00000000-0000-4000-8000-{number:012x}")).unwrap();
        let threads = Threads::default();
        for number in 0..=SPANS_MAX {
            threads.push(&id(number), &Span::none());
        }
        let check = |number: usize, expected: bool| {
            assert_eq!(threads.take(&id(number)).is_some(), expected, "{number}");
        };
        check(0, false);
        check(1, true);
        check(1, false);
        check(SPANS_MAX, true);
    }

    #[test]
    fn spans_that_nobody_collects_are_not_kept() {
        let threads = Threads::default();
        threads.keep(&DeliveryId::parse("00000000-0000-4000-8000-000000000001").unwrap(), &Span::none());
        assert!(threads.0.lock().is_empty());
    }
}
