//! What every engine that keeps the laboratory's samples must do.

#![expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]

use komainu_model::{Confidentiality, SampleDigest, SensorName, SessionId, Timestamp};

use crate::TimeRange;
use crate::samples::{
    AttemptEnd, ElsewhereAnswer, KnownElsewhere, NewSample, SampleBrief, SampleCounts, SampleDigests, SampleDocument,
    SampleEssentials, SampleLease, SampleLimits, SampleMention, SampleOrigin, SamplePriority, SampleState, SampleStore,
    SampleSubmitted, SamplesError,
};

/// Checks everything that does not need a medium; `new` makes an empty store.
pub fn check_sample_store(new: &dyn Fn(SampleLimits) -> Box<dyn SampleStore>) {
    let with_defaults = || new(SampleLimits::default());
    one_content_is_one_sample(&*with_defaults());
    hands_out_in_order(&*with_defaults());
    an_attempt_that_took_too_long_says_it_in_vain(&*with_defaults());
    tries_again_when_told(&*with_defaults());
    keeps_the_first_word_of_others(&*with_defaults());
    knows_whom_nobody_was_asked_about(&*with_defaults());
    keeps_what_records_mention(&*with_defaults());
    finds_and_lists(&*with_defaults());
    tells_the_same_in_brief(&*with_defaults());
    keeps_documents(&*new(SampleLimits { document_bytes_max: 20, ..SampleLimits::default() }));
    holds_its_bounds(&*new(SampleLimits { waiting_max: 2, origins_max: 2, ..SampleLimits::default() }));
}

/// Checks that what was said is there after closing and opening; `open` opens the same place again each time.
pub fn check_durable_sample_store(open: &dyn Fn(SampleLimits) -> Box<dyn SampleStore>) {
    let store = open(SampleLimits::default());
    for number in 1..=4 {
        store.submit(&sample(number, SamplePriority::Ordinary), at(i64::from(number))).unwrap();
    }
    let first = store.lease(at(10), at(20)).unwrap().unwrap();
    store.put_document(&first.sample, SampleDocument::Report, "{\"a\":1}").unwrap();
    assert!(store.end(&first, &AttemptEnd::Done(essentials()), at(11)).unwrap());
    let second = store.lease(at(11), at(20)).unwrap().unwrap();
    assert!(store.progress(&second, "sandbox", 50, at(30)).unwrap());
    store.elsewhere(&key(3), &elsewhere("list", ElsewhereAnswer::Unknown)).unwrap();
    let before: Vec<_> = (1..=4).map(|number| store.sample(&key(number)).unwrap()).collect();
    drop(store);
    let store = open(SampleLimits::default());
    let after: Vec<_> = (1..=4).map(|number| store.sample(&key(number)).unwrap()).collect();
    assert_eq!(after, before, "reopening changed what is kept");
    assert_eq!(store.document(&first.sample, SampleDocument::Report).unwrap().as_deref(), Some("{\"a\":1}"));
    assert_eq!(store.counts().unwrap(), SampleCounts { waiting: 2, working: 1, done: 1, failed: 0 });
    // Whoever worked on it died with the process.
    assert_eq!(store.recover(at(12)).unwrap(), 1);
    assert!(!store.progress(&second, "sandbox", 60, at(30)).unwrap());
    let again = store.lease(at(12), at(40)).unwrap().unwrap();
    assert_eq!(again, SampleLease { sample: second.sample, attempt: 2 });
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds)
}

fn key(number: u8) -> SampleDigest {
    SampleDigest::from_sha256([number; 32])
}

fn digests(number: u8) -> SampleDigests {
    SampleDigests { sha256: key(number), sha1: [number; 20], md5: [number; 16] }
}

fn of_sensor(session: &str) -> SampleOrigin {
    SampleOrigin::Sensor {
        sensor: SensorName::parse("camera").unwrap(),
        session: Some(SessionId::parse(session).unwrap()),
    }
}

fn sample(number: u8, priority: SamplePriority) -> NewSample {
    NewSample {
        digests: digests(number),
        bytes: 1_000,
        origin: of_sensor("a"),
        confidentiality: Confidentiality::Confidential,
        priority,
    }
}

fn essentials() -> SampleEssentials {
    SampleEssentials {
        verdict: "malicious".to_owned(),
        family: "kin".to_owned(),
        processor: "mips".to_owned(),
        iot: Some(true),
        sentence: "Scans.".to_owned(),
    }
}

fn elsewhere(source: &str, answer: ElsewhereAnswer) -> KnownElsewhere {
    KnownElsewhere { source: source.to_owned(), asked_at: at(5), answer }
}

fn one_content_is_one_sample(store: &dyn SampleStore) {
    let new = sample(1, SamplePriority::Ordinary);
    assert_eq!(store.submit(&new, at(1)).unwrap(), SampleSubmitted::New);
    assert_eq!(store.submit(&new, at(2)).unwrap(), SampleSubmitted::Known);
    let other_way = NewSample {
        origin: SampleOrigin::Upload { by: "soc".to_owned(), name: "x.bin".to_owned() },
        confidentiality: Confidentiality::Open,
        ..sample(1, SamplePriority::Urgent)
    };
    assert_eq!(store.submit(&other_way, at(3)).unwrap(), SampleSubmitted::Known);
    let stored = store.sample(&key(1)).unwrap().unwrap();
    assert_eq!(stored.digests, digests(1));
    assert_eq!((stored.bytes, stored.first_at, stored.last_at, stored.times), (1_000, at(1), at(3), 3));
    assert_eq!(stored.origins, [new.origin, other_way.origin]);
    assert_eq!((stored.confidentiality, stored.priority), (Confidentiality::Open, SamplePriority::Urgent));
    assert_eq!(stored.state, SampleState::Waiting { since: at(1), attempts: 0, problem: String::new() });
    // Whoever brings it as a secret afterwards does not make it one.
    store.submit(&sample(1, SamplePriority::Again), at(4)).unwrap();
    let stored = store.sample(&key(1)).unwrap().unwrap();
    assert_eq!((stored.confidentiality, stored.priority), (Confidentiality::Open, SamplePriority::Urgent));
    assert_eq!(store.sample(&key(9)).unwrap(), None);
}

fn hands_out_in_order(store: &dyn SampleStore) {
    for (number, priority, came) in [
        (1, SamplePriority::Again, 1),
        (2, SamplePriority::Ordinary, 3),
        (3, SamplePriority::Ordinary, 2),
        (4, SamplePriority::Urgent, 4),
    ] {
        store.submit(&sample(number, priority), at(came)).unwrap();
    }
    assert_eq!(store.lease(at(0), at(1)).unwrap(), None, "none of them is there yet");
    let mut order = Vec::new();
    while let Some(lease) = store.lease(at(10), at(20)).unwrap() {
        assert_eq!(lease.attempt, 1);
        order.push(lease.sample);
    }
    assert_eq!(order, [key(4), key(3), key(2), key(1)]);
    assert_eq!(store.counts().unwrap(), SampleCounts { working: 4, ..SampleCounts::default() });
}

fn an_attempt_that_took_too_long_says_it_in_vain(store: &dyn SampleStore) {
    store.submit(&sample(1, SamplePriority::Ordinary), at(1)).unwrap();
    let slow = store.lease(at(1), at(5)).unwrap().unwrap();
    assert_eq!(store.lease(at(4), at(9)).unwrap(), None);
    assert!(store.progress(&slow, "triage", 10, at(8)).unwrap());
    let state = store.sample(&key(1)).unwrap().unwrap().state;
    assert_eq!(state, SampleState::Working { attempt: 1, until: at(8), step: "triage".to_owned(), percent: 10 });
    assert_eq!(store.lease(at(7), at(9)).unwrap(), None, "word of it holds it longer");
    let second = store.lease(at(8), at(20)).unwrap().unwrap();
    assert_eq!(second.attempt, 2);
    assert!(!store.progress(&slow, "triage", 90, at(30)).unwrap());
    assert!(!store.end(&slow, &AttemptEnd::Done(essentials()), at(9)).unwrap());
    assert!(store.end(&second, &AttemptEnd::Done(essentials()), at(10)).unwrap());
    assert!(!store.end(&second, &AttemptEnd::Failed { problem: "no".to_owned() }, at(11)).unwrap());
    let stored = store.sample(&key(1)).unwrap().unwrap();
    assert_eq!((stored.state, stored.essentials), (SampleState::Done { at: at(10) }, essentials()));
}

fn tries_again_when_told(store: &dyn SampleStore) {
    store.submit(&sample(1, SamplePriority::Ordinary), at(1)).unwrap();
    let lease = store.lease(at(1), at(5)).unwrap().unwrap();
    let problem = "no guest".to_owned();
    let retry = AttemptEnd::Retry { not_before: at(60), problem: problem.clone() };
    assert!(store.end(&lease, &retry, at(2)).unwrap());
    let state = store.sample(&key(1)).unwrap().unwrap().state;
    assert_eq!(state, SampleState::Waiting { since: at(60), attempts: 1, problem });
    assert_eq!(store.lease(at(59), at(70)).unwrap(), None);
    let lease = store.lease(at(60), at(70)).unwrap().unwrap();
    assert_eq!(lease.attempt, 2);
    assert!(store.end(&lease, &AttemptEnd::GivenBack, at(60)).unwrap());
    let lease = store.lease(at(60), at(70)).unwrap().unwrap();
    assert_eq!(lease.attempt, 2, "an attempt that was given back does not count");
    assert!(!store.again(&key(1), SamplePriority::Urgent, at(61)).unwrap(), "it is being worked on");
    let problem = "worker died".to_owned();
    assert!(store.end(&lease, &AttemptEnd::Failed { problem: problem.clone() }, at(61)).unwrap());
    assert_eq!(store.sample(&key(1)).unwrap().unwrap().state, SampleState::Failed { at: at(61), problem });
    assert_eq!(store.lease(at(100), at(110)).unwrap(), None);
    assert_eq!(store.counts().unwrap(), SampleCounts { failed: 1, ..SampleCounts::default() });
    assert!(store.again(&key(1), SamplePriority::Urgent, at(101)).unwrap());
    assert!(!store.again(&key(9), SamplePriority::Urgent, at(101)).unwrap());
    assert_eq!(store.lease(at(101), at(110)).unwrap(), Some(SampleLease { sample: key(1), attempt: 1 }));
}

fn keeps_the_first_word_of_others(store: &dyn SampleStore) {
    store.submit(&sample(1, SamplePriority::Ordinary), at(1)).unwrap();
    let unknown = elsewhere("virustotal", ElsewhereAnswer::Unknown);
    let known = ElsewhereAnswer::Known {
        first_seen: Some(at(-100)),
        labels: vec!["Kin.A".to_owned()],
        detections: Some((3, 60)),
    };
    store.elsewhere(&key(1), &unknown).unwrap();
    store.elsewhere(&key(1), &elsewhere("virustotal", known.clone())).unwrap();
    store.elsewhere(&key(1), &elsewhere("own list", known.clone())).unwrap();
    let stored = store.sample(&key(1)).unwrap().unwrap();
    assert_eq!(stored.elsewhere, [unknown, elsewhere("own list", known)]);
    let missing = store.elsewhere(&key(9), &elsewhere("virustotal", ElsewhereAnswer::Unknown));
    assert!(matches!(missing, Err(SamplesError::Missing(missing)) if missing == key(9)));
}

fn knows_whom_nobody_was_asked_about(store: &dyn SampleStore) {
    for (number, confidentiality) in
        [(1, Confidentiality::Open), (2, Confidentiality::Confidential), (3, Confidentiality::Open)]
    {
        let new = NewSample { confidentiality, ..sample(number, SamplePriority::Ordinary) };
        store.submit(&new, at(i64::from(number))).unwrap();
    }
    let check = |source: &str, since, count, expected: &[u8]| {
        let found = store.not_asked(source, at(since), count).unwrap();
        assert_eq!(found, expected.iter().map(|number| digests(*number)).collect::<Vec<_>>(), "{source} {since}");
    };
    check("one", 0, 9, &[1, 3]);
    check("one", 0, 1, &[1]);
    check("one", 2, 9, &[3]);
    store.elsewhere(&key(1), &elsewhere("one", ElsewhereAnswer::Unknown)).unwrap();
    check("one", 0, 9, &[3]);
    check("other", 0, 9, &[1, 3]);
}

fn keeps_what_records_mention(store: &dyn SampleStore) {
    let mention = |number, session: &str| SampleMention {
        sample: key(number),
        sensor: SensorName::parse("camera").unwrap(),
        session: SessionId::parse(session).unwrap(),
    };
    // The record may come first.
    store.mention(&[mention(1, "b"), mention(2, "c")], at(1)).unwrap();
    assert_eq!(store.sample(&key(1)).unwrap(), None);
    store.submit(&sample(1, SamplePriority::Ordinary), at(2)).unwrap();
    store.mention(&[mention(1, "b"), mention(1, "d")], at(3)).unwrap();
    let stored = store.sample(&key(1)).unwrap().unwrap();
    assert_eq!((stored.times, stored.origins), (1, vec![of_sensor("b"), of_sensor("a"), of_sensor("d")]));
}

fn finds_and_lists(store: &dyn SampleStore) {
    for number in 1..=5 {
        // Two came at the same time.
        store.submit(&sample(number, SamplePriority::Ordinary), at(i64::from(number / 2))).unwrap();
    }
    assert_eq!(store.find(&[3; 20]).unwrap(), Some(key(3)));
    assert_eq!(store.find(&[4; 16]).unwrap(), Some(key(4)));
    assert_eq!(store.find(&[4; 15]).unwrap(), None);
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let page = store.list(before, 2).unwrap();
        let Some(last) = page.last() else { break };
        before = Some((last.first_at, last.digests.sha256));
        listed.extend(page.iter().map(|sample| sample.digests.sha256));
    }
    assert_eq!(listed, [key(5), key(4), key(3), key(2), key(1)]);
    let brief = |from: i64, to: i64, count: usize| -> Vec<SampleDigest> {
        let briefs = store.briefs(TimeRange { from: at(from), to: at(to) }, count).unwrap();
        briefs.iter().map(|brief| brief.sample).collect()
    };
    assert_eq!(brief(0, 3, 9), [key(5), key(4), key(3), key(2), key(1)]);
    assert_eq!(brief(1, 2, 9), [key(3), key(2)]);
    assert_eq!(brief(0, 3, 2), [key(5), key(4)]);
}

fn tells_the_same_in_brief(store: &dyn SampleStore) {
    for number in 1..=3 {
        store.submit(&sample(number, SamplePriority::Ordinary), at(i64::from(number))).unwrap();
    }
    let known = ElsewhereAnswer::Known { first_seen: None, labels: Vec::new(), detections: None };
    store.elsewhere(&key(2), &elsewhere("a", ElsewhereAnswer::Unknown)).unwrap();
    store.elsewhere(&key(3), &elsewhere("a", ElsewhereAnswer::Unknown)).unwrap();
    store.elsewhere(&key(3), &elsewhere("b", known)).unwrap();
    let lease = store.lease(at(9), at(10)).unwrap().unwrap();
    store.end(&lease, &AttemptEnd::Done(essentials()), at(9)).unwrap();
    let briefs = store.briefs(TimeRange::ALL, 9).unwrap();
    let whole: Vec<SampleBrief> = store.list(None, 9).unwrap().iter().map(SampleBrief::of).collect();
    assert_eq!(briefs, whole);
    let known: Vec<Option<bool>> = briefs.iter().map(|brief| brief.known_elsewhere).collect();
    assert_eq!(known, [Some(true), Some(false), None]);
}

fn keeps_documents(store: &dyn SampleStore) {
    store.submit(&sample(1, SamplePriority::Ordinary), at(1)).unwrap();
    assert_eq!(store.document(&key(1), SampleDocument::Triage).unwrap(), None);
    store.put_document(&key(1), SampleDocument::Triage, "{}").unwrap();
    store.put_document(&key(1), SampleDocument::Report, "[]").unwrap();
    store.put_document(&key(1), SampleDocument::Triage, "{\"a\":1}").unwrap();
    assert_eq!(store.document(&key(1), SampleDocument::Triage).unwrap().as_deref(), Some("{\"a\":1}"));
    assert_eq!(store.document(&key(1), SampleDocument::Report).unwrap().as_deref(), Some("[]"));
    let large = "x".repeat(21);
    let refused = store.put_document(&key(1), SampleDocument::Triage, &large);
    assert!(matches!(refused, Err(SamplesError::TooLarge { bytes: 21, bytes_max: 20 })));
    assert!(matches!(store.put_document(&key(9), SampleDocument::Triage, "{}"), Err(SamplesError::Missing(_))));
}

fn holds_its_bounds(store: &dyn SampleStore) {
    for (number, outcome) in [(1, SampleSubmitted::New), (2, SampleSubmitted::New), (3, SampleSubmitted::Full)] {
        assert_eq!(store.submit(&sample(number, SamplePriority::Ordinary), at(1)).unwrap(), outcome);
    }
    assert_eq!(store.sample(&key(3)).unwrap(), None);
    // What is known may come at any time; its ways are counted on.
    for session in ["b", "c", "b"] {
        let new = NewSample { origin: of_sensor(session), ..sample(1, SamplePriority::Ordinary) };
        assert_eq!(store.submit(&new, at(2)).unwrap(), SampleSubmitted::Known);
    }
    let stored = store.sample(&key(1)).unwrap().unwrap();
    assert_eq!((stored.times, stored.origins), (4, vec![of_sensor("a"), of_sensor("b")]));
    store.lease(at(3), at(9)).unwrap().unwrap();
    assert_eq!(store.submit(&sample(3, SamplePriority::Ordinary), at(4)).unwrap(), SampleSubmitted::New);
}
