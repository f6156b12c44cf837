//! A session that is decoded and watched.

use std::sync::Arc;

use komainu_decode::{Conversation, Fact, Observer, Place, Protocol, Side, Transport};
use komainu_intel::{Alert, BUILT_IN_RULES, Classifier, FlowEnds, RuleList, Scanners, Verdict, Watch};

/// When sessions begin, in microseconds since 1970.
pub(crate) const START: i64 = 1_795_568_523_000_004;

pub(crate) fn classifier(rules: &str) -> Arc<Classifier> {
    let mut list = RuleList::default();
    assert_eq!(list.add(rules), [], "{rules}");
    Classifier::new(list.compile(), Scanners::default(), None)
}

pub(crate) fn built_in() -> Arc<Classifier> {
    classifier(BUILT_IN_RULES)
}

/// A session from 192.0.2.7 that is under way.
pub(crate) struct Session {
    conversation: Conversation,
    pub(crate) watch: Watch,
    pub(crate) at: i64,
    alerts: Vec<Alert>,
}

struct Told<'a>(&'a mut Watch, i64);

impl Observer for Told<'_> {
    fn fact(&mut self, place: Place, fact: Fact<'_>) {
        self.0.fact(self.1, place, &fact);
    }

    fn protocol(&mut self, protocol: Protocol) {
        self.0.protocol(self.1, protocol);
    }

    fn payload(&mut self, side: Side, bytes: &[u8]) {
        self.0.payload(self.1, side, bytes);
    }

    fn lost(&mut self, side: Side, bytes: u64) {
        self.0.gap(side, bytes);
    }
}

impl Session {
    pub(crate) fn new(classifier: &Arc<Classifier>, transport: Transport, port: u16) -> Self {
        let client = "192.0.2.7:40000".parse().unwrap();
        let server = format!("198.51.100.1:{port}").parse().unwrap();
        let watch = classifier.watch(FlowEnds { transport, client, server });
        Self { conversation: Conversation::new(transport, port), watch, at: START, alerts: Vec::new() }
    }

    pub(crate) fn said(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        self.conversation.data(side, bytes, &mut Told(&mut self.watch, self.at));
        self.alerts.extend(self.watch.take_alerts());
        self
    }

    pub(crate) fn end(mut self) -> (Vec<u32>, Verdict) {
        self.conversation.end(&mut Told(&mut self.watch, self.at));
        self.watch.finish(self.at);
        self.alerts.extend(self.watch.take_alerts());
        let verdict = self.watch.verdict(self.at);
        (self.alerts.iter().map(|alert| alert.rule.sid).collect(), verdict)
    }
}

/// The numbers of the rules that hold for what both sides say.
pub(crate) fn sids(
    classifier: &Arc<Classifier>,
    transport: Transport,
    port: u16,
    said: &[(Side, &[u8])],
) -> (Vec<u32>, Verdict) {
    let mut session = Session::new(classifier, transport, port);
    for (side, bytes) in said {
        session.said(*side, bytes);
    }
    session.end()
}
