//! Entrances for fuzz targets.

use std::net::{Ipv4Addr, SocketAddr};

use komainu_decode::{Conversation, Observer, Place, Side, Transport};

use komainu_model::Timestamp;

use crate::{
    Classifier, FlowEnds, IndicatorPolicy, Lesson, ListFormat, RuleList, Scanners, Watch, indicator_id, learn,
    read_list,
};

/// Bytes that end the rules and begin what is said.
const RULES_END: u8 = 0x1e;

struct Told<'a>(&'a mut Watch);

impl Observer for Told<'_> {
    fn fact(&mut self, place: Place, fact: komainu_decode::Fact<'_>) {
        self.0.fact(0, place, &fact);
    }

    fn payload(&mut self, side: Side, bytes: &[u8]) {
        self.0.payload(0, side, bytes);
    }
}

/// Any bytes as rules and, behind the first 0x1E, as what a client says: no panic, and each session has a verdict.
pub fn rules(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == RULES_END).unwrap_or(bytes.len());
    let said = bytes.get(end + 1..).unwrap_or_default();
    let mut list = RuleList::default();
    let refused = list.add(&String::from_utf8_lossy(&bytes[..end]));
    assert!(refused.iter().all(|rule| !rule.reason.is_empty()), "each refusal has a reason");
    let classifier = Classifier::new(list.compile(), Scanners::default(), None);
    for transport in [Transport::Tcp, Transport::Udp] {
        let client = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 40_000));
        let server = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), 80));
        let mut watch = classifier.watch(FlowEnds { transport, client, server });
        let mut conversation = Conversation::new(transport, 80);
        for piece in said.chunks(1024) {
            conversation.data(Side::Client, piece, &mut Told(&mut watch));
        }
        conversation.end(&mut Told(&mut watch));
        watch.finish(0);
        let verdict = watch.verdict(0);
        assert!(verdict.confidence <= 100 && verdict.evidence.len() <= 16, "a verdict is bounded");
    }
}

/// Any bytes as a list of indicators, in each format: no panic, each refusal has a reason, and what is taken can be written
/// and read again.
pub fn indicator_list(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (policy, now) = (IndicatorPolicy::default(), Timestamp::from_unix_seconds(0));
    for format in [ListFormat::of(&text), ListFormat::Plain, ListFormat::Csv, ListFormat::Json] {
        let read = read_list(&text, format, None, now);
        assert!(read.unusable.iter().all(|line| !line.reason.is_empty()), "each refusal has a reason");
        for candidate in &read.candidates {
            let again = komainu_model::IndicatorValue::parse(&candidate.value.to_string());
            assert_eq!(again.as_ref(), Ok(&candidate.value), "what is shown is read");
            if let Ok(Lesson::New(indicator)) = learn(&policy, &|_| false, None, candidate, now) {
                assert_eq!(indicator.id, indicator_id(&candidate.value), "the identity follows from the value");
            }
        }
    }
}
