//! What every engine that keeps indicators must do.

#![expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]

use komainu_model::{
    AccountId, Change, Confidence, Contact, DetonationId, DomainName, Indicator, IndicatorChange, IndicatorId,
    IndicatorRefusal, IndicatorSource, IndicatorState, IndicatorValue, Provenance, RefusedCandidate, Region, Remote,
    RemoteHost, ReporterName, SampleDigest, Scope, SensorName, SessionId, Sighting, SightingWay, SpecialAddress,
    Threat, Timestamp,
};

use crate::indicators::{CONTACTS_PER_DEVICE_MAX, IndicatorKind, IndicatorStore, SightingQuery};
use crate::store::{Page, PageToken, Paged, Pruned, Store, StoreError};

/// Checks everything that does not need a medium; `new` makes an empty engine.
pub fn check_indicator_store<E: Store + IndicatorStore>(new: &dyn Fn() -> E) {
    indicators_come_back_as_they_were_put(&new());
    pages_follow_each_other(&new());
    time_goes_over(&new());
    looking_back_is_asked_for_and_done(&new());
    contacts_are_brought_together_and_found(&new());
    contacts_of_a_device_are_bounded(&new());
    sightings_are_one_for_each_device_and_indicator(&new());
    refused_ones_are_kept_once(&new());
    what_is_older_is_removed(&new());
}

/// Checks that what was committed is there after closing and opening; `open` opens the same place again each time.
pub fn check_durable_indicator_store<E: Store + IndicatorStore>(open: &dyn Fn() -> E) {
    let engine = open();
    put(&engine, vec![IndicatorChange::PutToLookBack(indicator(1, "203.0.113.66:23"))]);
    put(&engine, vec![contact("MyDevice", "203.0.113.66:23", 5), sighting("MyDevice", 1, 5)]);
    drop(engine);
    let engine = open();
    assert_eq!(engine.indicators_to_look_back(10).unwrap(), [indicator(1, "203.0.113.66:23")]);
    // The numbers that an engine gives to devices are still right.
    put(&engine, vec![contact("Other", "203.0.113.66:23", 6), contact("MyDevice", "203.0.113.66:23", 7)]);
    assert_eq!(found(&engine, "203.0.113.66", 0), ["MyDevice 203.0.113.66:23 5..7 2", "Other 203.0.113.66:23 6..6 1"]);
    assert_eq!(seen(&engine, &SightingQuery::default()), ["MyDevice 1 5..5 1"]);
}

fn indicators_come_back_as_they_were_put(engine: &(impl Store + IndicatorStore)) {
    assert_eq!(engine.indicator(id(1)).unwrap(), None);
    let mut full = indicator(1, "[2001:db8::1]:23/tcp");
    full.source = IndicatorSource::Detonation(DetonationId::parse("d-1").unwrap());
    full.provenance = vec![provenance(1), provenance(2)];
    full.provenance_dropped = 7;
    full.note = Some("a \"note\" №1".to_owned());
    put(engine, vec![IndicatorChange::Put(full.clone())]);
    assert_eq!(engine.indicator(id(1)).unwrap(), Some(full.clone()));
    let revoked = IndicatorState::Revoked { at: at(9), reason: Some("no".to_owned()) };
    let revoked = Indicator { state: revoked, ..full };
    put(engine, vec![IndicatorChange::Put(revoked.clone()), IndicatorChange::Put(indicator(2, "c2.example.net"))]);
    assert_eq!(engine.indicator(id(1)).unwrap(), Some(revoked));
    let mut active = Vec::new();
    engine.visit_active(&mut |id, value| active.push((id, value.to_string()))).unwrap();
    assert_eq!(active, [(id(2), "c2.example.net".to_owned())]);
    let of_kind = |kind| all(|page| engine.indicators(kind, page)).iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(of_kind(None), [id(1), id(2)]);
    assert_eq!(of_kind(Some(IndicatorKind::Revoked)), [id(1)]);
    assert_eq!(of_kind(Some(IndicatorKind::Expired)), []);
}

fn pages_follow_each_other(engine: &(impl Store + IndicatorStore)) {
    for number in 0..5 {
        put(engine, vec![IndicatorChange::Put(indicator(number, &format!("203.0.113.{number}")))]);
    }
    let first = engine.indicators(None, &Page { after: None, limit: 2 }).unwrap();
    put(engine, vec![IndicatorChange::Put(indicator(0, "203.0.113.0"))]);
    let second = engine.indicators(None, &Page { after: first.next, limit: 10 }).unwrap();
    let ids: Vec<_> = first.items.iter().chain(&second.items).map(|one| one.id).collect();
    assert_eq!((ids, second.next), ((0..5).map(id).collect(), None));
    let page = |token: &str| Page { after: Some(PageToken(token.to_owned())), limit: 1 };
    for token in ["", "x", "' OR 1=1", "\u{0}", &"9".repeat(1000)] {
        let is_refused = |result: Result<(), StoreError>| matches!(result, Err(StoreError::BadPageToken));
        assert!(is_refused(engine.indicators(None, &page(token)).map(drop)), "indicators took {token:?}");
        assert!(is_refused(engine.refused(&page(token)).map(drop)), "refused took {token:?}");
        let sightings = engine.sightings(&SightingQuery::default(), &page(token)).map(drop);
        assert!(is_refused(sightings), "sightings took {token:?}");
        let value = IndicatorValue::parse("203.0.113.1").unwrap();
        assert!(is_refused(engine.contacts(&value, at(0), &page(token)).map(drop)), "contacts took {token:?}");
    }
}

fn time_goes_over(engine: &(impl Store + IndicatorStore)) {
    assert_eq!(engine.next_over().unwrap(), None);
    for (number, until) in [(1, 30), (2, 10), (3, 20)] {
        let indicator = Indicator { valid_until: at(until), ..indicator(number, &format!("203.0.113.{number}")) };
        put(engine, vec![IndicatorChange::Put(indicator)]);
    }
    assert_eq!(engine.next_over().unwrap(), Some(at(10)));
    let over =
        |now, limit| engine.indicators_over(at(now), limit).unwrap().iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!((over(9, 10), over(20, 10), over(20, 1)), (vec![], vec![id(2), id(3)], vec![id(2)]));
    let expired = Indicator { state: IndicatorState::Expired, valid_until: at(10), ..indicator(2, "203.0.113.2") };
    put(engine, vec![IndicatorChange::Put(expired)]);
    assert_eq!((engine.next_over().unwrap(), over(20, 10)), (Some(at(20)), vec![id(3)]));
}

fn looking_back_is_asked_for_and_done(engine: &(impl Store + IndicatorStore)) {
    let waiting = || engine.indicators_to_look_back(10).unwrap().iter().map(|one| one.id).collect::<Vec<_>>();
    put(engine, vec![IndicatorChange::Put(indicator(1, "203.0.113.1"))]);
    assert_eq!(waiting(), []);
    for number in [3, 2] {
        put(engine, vec![IndicatorChange::PutToLookBack(indicator(number, &format!("203.0.113.{number}")))]);
    }
    // Put again for another reason, it still waits.
    put(engine, vec![IndicatorChange::Put(indicator(3, "203.0.113.3"))]);
    assert_eq!(waiting(), [id(2), id(3)]);
    assert_eq!(engine.indicators_to_look_back(1).unwrap().len(), 1);
    put(engine, vec![IndicatorChange::LookedBack(id(2)), IndicatorChange::LookedBack(id(2))]);
    assert_eq!(waiting(), [id(3)]);
    let expired = Indicator { state: IndicatorState::Expired, ..indicator(3, "203.0.113.3") };
    put(engine, vec![IndicatorChange::Put(expired)]);
    assert_eq!(waiting(), [], "only active ones are looked for");
}

fn contacts_are_brought_together_and_found(engine: &(impl Store + IndicatorStore)) {
    for (device, remote, time) in [
        ("a", "203.0.113.66:23", 5),
        ("a", "203.0.113.66:23", 9),
        ("a", "203.0.113.66:23", 7),
        ("b", "203.0.113.66:80", 6),
        ("b", "203.0.113.66", 4),
        ("b", "203.0.113.6:23", 6),
        ("c", "[2001:db8::1]:23", 6),
        ("c", "c2.example.net", 6),
        ("c", "a.c2.example.net", 7),
        ("c", "ac2.example.net", 8),
        ("c", "example.net", 8),
    ] {
        put(engine, vec![contact(device, remote, time)]);
    }
    let check = |value: &str, since, expected: &[&str]| assert_eq!(found(engine, value, since), expected, "{value}");
    check("203.0.113.66:23", 0, &["a 203.0.113.66:23 5..9 3"]);
    check("203.0.113.66:23/tcp", 0, &["a 203.0.113.66:23 5..9 3"]);
    check("203.0.113.66:23/udp", 0, &[]);
    check("203.0.113.66:23", 9, &["a 203.0.113.66:23 5..9 3"]);
    check("203.0.113.66:23", 10, &[]);
    check("203.0.113.66", 0, &["a 203.0.113.66:23 5..9 3", "b 203.0.113.66 4..4 1", "b 203.0.113.66:80 6..6 1"]);
    check("[2001:db8::1]:23", 0, &["c [2001:db8::1]:23 6..6 1"]);
    check("c2.example.net", 0, &["c a.c2.example.net 7..7 1", "c c2.example.net 6..6 1"]);
    let value = IndicatorValue::parse("203.0.113.66").unwrap();
    let first = engine.contacts(&value, at(0), &Page { after: None, limit: 2 }).unwrap();
    let second = engine.contacts(&value, at(0), &Page { after: first.next, limit: 2 }).unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next), (2, 1, None));
}

fn contacts_of_a_device_are_bounded(engine: &(impl Store + IndicatorStore)) {
    let remote = |number: u32| format!("198.51.{}.{}", number / 256, number % 256);
    put(
        engine,
        (0..CONTACTS_PER_DEVICE_MAX).map(|number| contact("scanner", &remote(number), i64::from(number))).collect(),
    );
    put(engine, vec![contact("scanner", &remote(0), 1_000_000)]);
    assert_eq!(found(engine, &remote(1), 0).len(), 1);
    put(engine, vec![contact("scanner", "203.0.113.66", 1_000_001)]);
    let is_there = |remote: &str| !found(engine, remote, 0).is_empty();
    assert!(!is_there(&remote(1)) && !is_there(&remote(512)), "those not heard of longest are let go");
    assert!(is_there(&remote(0)) && is_there(&remote(513)) && is_there("203.0.113.66"));
}

fn sightings_are_one_for_each_device_and_indicator(engine: &(impl Store + IndicatorStore)) {
    put(
        engine,
        vec![sighting("a", 1, 5), sighting("b", 1, 6), sighting("a", 2, 7), sighting("a", 1, 9), sighting("a", 1, 3)],
    );
    assert_eq!(seen(engine, &SightingQuery::default()), ["a 1 3..9 3", "a 2 7..7 1", "b 1 6..6 1"]);
    let of_indicator = SightingQuery { indicator: Some(id(1)), ..SightingQuery::default() };
    assert_eq!(seen(engine, &of_indicator), ["a 1 3..9 3", "b 1 6..6 1"]);
    let of_device = SightingQuery { reporter: Some((scope(), reporter("a"))), ..SightingQuery::default() };
    assert_eq!(seen(engine, &of_device), ["a 1 3..9 3", "a 2 7..7 1"]);
    let first = engine.sightings(&SightingQuery::default(), &Page { after: None, limit: 2 }).unwrap();
    let second = engine.sightings(&SightingQuery::default(), &Page { after: first.next, limit: 2 }).unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next), (2, 1, None));
}

fn refused_ones_are_kept_once(engine: &(impl Store + IndicatorStore)) {
    put(engine, vec![refused(1, 5), refused(2, 6), refused(1, 7)]);
    let kept: Vec<_> = all(|page| engine.refused(page));
    assert_eq!(kept, [refused_candidate(1, 7), refused_candidate(2, 6)]);
    assert_eq!(engine.refused_count().unwrap(), 2);
}

fn what_is_older_is_removed(engine: &(impl Store + IndicatorStore)) {
    put(engine, vec![IndicatorChange::Put(indicator(1, "203.0.113.1"))]);
    for time in [9, 10] {
        let name = format!("device-{time}");
        put(engine, vec![contact(&name, "203.0.113.66", time), sighting(&name, 1, time), refused(time as u8, time)]);
    }
    let pruned = Pruned { contacts: 1, sightings: 1, refused: 1, ..Pruned::default() };
    assert_eq!(engine.prune(at(10)).unwrap(), pruned);
    assert_eq!(engine.prune(at(10)).unwrap(), Pruned::default());
    assert_eq!(found(engine, "203.0.113.66", 0), ["device-10 203.0.113.66 10..10 1"]);
    put(engine, vec![contact("device-9", "203.0.113.66", 11)]);
    assert_eq!(found(engine, "203.0.113.66", 11), ["device-9 203.0.113.66 11..11 1"]);
    assert!(engine.indicator(id(1)).unwrap().is_some());
}

fn put(engine: &impl Store, changes: Vec<IndicatorChange>) {
    engine.commit(&changes.into_iter().map(Change::Indicators).collect::<Vec<_>>()).unwrap();
}

/// Every item of a list, page by page.
fn all<T>(list: impl Fn(&Page) -> Result<Paged<T>, StoreError>) -> Vec<T> {
    let mut page = Page { after: None, limit: 2 };
    let mut items = Vec::new();
    loop {
        let part = list(&page).unwrap();
        items.extend(part.items);
        match part.next {
            Some(next) => page.after = Some(next),
            None => return items,
        }
    }
}

/// `DEVICE REMOTE FIRST..LAST COUNT` of those whom an indicator names.
fn found(engine: &impl IndicatorStore, value: &str, since: i64) -> Vec<String> {
    let value = IndicatorValue::parse(value).unwrap();
    let mut found: Vec<String> = all(|page| engine.contacts(&value, at(since), page))
        .iter()
        .map(|(_, contact)| {
            let Contact { reporter, remote, first_at, last_at, count } = contact;
            format!("{reporter} {remote} {}..{} {count}", first_at.unix_seconds(), last_at.unix_seconds())
        })
        .collect();
    found.sort();
    found
}

/// `DEVICE INDICATOR FIRST..LAST COUNT`, the latest first.
fn seen(engine: &impl IndicatorStore, query: &SightingQuery) -> Vec<String> {
    let show = |(_, one): &(Scope, Sighting)| {
        let number = one.indicator.bytes()[15];
        format!(
            "{} {number} {}..{} {}",
            one.reporter,
            one.first_at.unix_seconds(),
            one.last_at.unix_seconds(),
            one.count
        )
    };
    all(|page| engine.sightings(query, page)).iter().map(show).collect()
}

fn contact(device: &str, remote: &str, time: i64) -> IndicatorChange {
    let remote = self::remote(remote);
    let contact = Contact { reporter: reporter(device), remote, first_at: at(time), last_at: at(time), count: 1 };
    IndicatorChange::AddContact(scope(), contact)
}

fn sighting(device: &str, indicator: u8, time: i64) -> IndicatorChange {
    let sighting = Sighting {
        reporter: reporter(device),
        indicator: id(indicator),
        remote: remote("203.0.113.66:23"),
        way: SightingWay::Report,
        first_at: at(time),
        last_at: at(time),
        count: 1,
    };
    IndicatorChange::AddSighting(scope(), sighting)
}

fn refused(number: u8, time: i64) -> IndicatorChange {
    IndicatorChange::PutRefused(refused_candidate(number, time))
}

fn refused_candidate(number: u8, time: i64) -> RefusedCandidate {
    RefusedCandidate {
        id: id(number),
        value: IndicatorValue::parse("10.0.0.1").unwrap(),
        source: IndicatorSource::Operator,
        provenance: Some(provenance(3)),
        reason: IndicatorRefusal::Address(SpecialAddress::Private),
        at: at(time),
    }
}

fn remote(text: &str) -> Remote {
    match IndicatorValue::parse(text).unwrap() {
        IndicatorValue::Address { address, port, .. } => Remote { host: RemoteHost::Address(address), port },
        IndicatorValue::Name(name) => {
            Remote { host: RemoteHost::Name(DomainName::parse(name.as_str()).unwrap()), port: None }
        }
    }
}

fn indicator(number: u8, value: &str) -> Indicator {
    Indicator {
        id: id(number),
        value: IndicatorValue::parse(value).unwrap(),
        threat: Threat::CommandAndControl,
        confidence: Confidence::new(90).unwrap(),
        source: IndicatorSource::Operator,
        provenance: Vec::new(),
        provenance_dropped: 0,
        first_seen: at(1),
        valid_from: at(1),
        valid_until: at(100),
        state: IndicatorState::Active,
        note: None,
    }
}

fn provenance(number: u8) -> Provenance {
    Provenance {
        sample: Some(SampleDigest::from_sha256([number; 32])),
        detonation: Some(DetonationId::parse("d-1").unwrap()),
        session: Some(SessionId::parse("s-1").unwrap()),
        sensor: Some(SensorName::parse("tokyo").unwrap()),
        at: at(2),
    }
}

fn id(number: u8) -> IndicatorId {
    let mut bytes = [0; 16];
    bytes[15] = number;
    IndicatorId::from_bytes(bytes)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn reporter(name: &str) -> ReporterName {
    ReporterName::parse(name).unwrap()
}

fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("us-east-1").unwrap() }
}
