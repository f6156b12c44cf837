//! What every [`Store`] must do.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use komainu_model::{
    ActiveViolation, Change, Comparison, ConfidenceLevel, Datapoint, Delivery, DeliveryState, DeviceMetric,
    ExpectedValue, Metric, MetricValue, Record, RecordKey, Scope, Statistic, Timestamp, VerificationState,
    ViolationEvent, ViolationEventType,
};

use super::samples::{
    active_violation, at, behavior, behavior_of, datapoint, delivery, other_scope, profile_name, records, reporter,
    sample_batch, scope, uuid, violation_event, violation_id,
};
use crate::store::{
    ActiveViolationQuery, AlarmCounts, AlarmTotals, CriteriaKind, DatapointQuery, Page, PageToken, Paged, Pruned,
    Store, StoreError, ViolationEventQuery, ViolationLife,
};
use crate::vitals::StoreCounts;

/// Checks everything that does not need a medium; `new` makes an empty store.
pub fn check_store(new: &dyn Fn() -> Box<dyn Store>) {
    samples_have_every_kind_of_record();
    starts_empty(&*new());
    gives_back_every_record(&*new());
    puts_and_deletes_twice_with_the_same_result(&*new());
    keeps_scopes_apart(&*new());
    appends_an_event_once(&*new());
    filters_events(&*new());
    pages_events_under_insertion(&*new());
    lists_active_violations(&*new());
    pages_active_violations_under_insertion(&*new());
    verifies_active_record_and_all_events(&*new());
    tells_the_life_of_a_violation(&*new());
    counts_alarms_by_device(&*new());
    names_the_metrics_of_a_device(&*new());
    appends_a_datapoint_once(&*new());
    pages_datapoints_under_insertion(&*new());
    replays_in_the_order_of_time(&*new());
    replays_until_the_visitor_has_seen_enough(&*new());
    gives_due_deliveries_in_order(&*new());
    lists_deliveries_of_a_topic(&*new());
    counts_what_waits(&*new());
    prunes_what_is_older(&*new());
    refuses_foreign_page_tokens(&*new());
    takes_batches_from_many_threads(&*new());
}

/// Checks that what was committed is there after closing and opening; `open` opens the same place again each time.
pub fn check_durable_store(open: &dyn Fn() -> Box<dyn Store>) {
    let store = open();
    store.commit(&sample_batch()).unwrap();
    assert!(store.verify_violation(&scope(), &violation_id(1), VerificationState::TruePositive, Some("yes")).unwrap());
    let before = describe_store(&*store);
    drop(store);
    let store = open();
    assert_eq!(describe_store(&*store), before, "reopening changed what is stored");
    // What is appended again after a restart is still known.
    store.commit(&sample_batch().into_iter().filter(|change| !is_put(change)).collect::<Vec<_>>()).unwrap();
    assert_eq!(describe_store(&*store), before, "appending again after reopening changed what is stored");
}

/// Everything the store holds, as text that is the same for the same content.
pub fn describe_store(store: &dyn Store) -> String {
    let mut text = String::new();
    let mut loaded = store.load().unwrap();
    loaded.sort_by_key(|(scope, record)| (scope.clone(), record.key()));
    for (scope, record) in &loaded {
        writeln!(text, "{scope:?} {record:?}").expect("a String takes everything");
    }
    for scope in [scope(), other_scope()] {
        for violation in all_active(store, &scope, &all_violations()) {
            writeln!(text, "active {scope:?} {}", violation.id).expect("a String takes everything");
        }
        for event in all_events(store, &scope, &all_time()) {
            writeln!(text, "{scope:?} {event:?}").expect("a String takes everything");
        }
    }
    for (scope, datapoint) in replayed(store, at(i64::MIN)) {
        writeln!(text, "{scope:?} {datapoint:?}").expect("a String takes everything");
    }
    for delivery in store.deliveries_due(at(i64::MAX), usize::MAX).unwrap() {
        writeln!(text, "{delivery:?}").expect("a String takes everything");
    }
    text
}

fn samples_have_every_kind_of_record() {
    let mut seen = [false; 14];
    for record in records() {
        let kind = match record {
            Record::Thing(_) => 0,
            Record::ThingType(_) => 1,
            Record::ThingGroup(_) => 2,
            Record::GroupMembership(_) => 3,
            Record::Certificate(_) => 4,
            Record::ThingPrincipal(_) => 5,
            Record::Policy(_) => 6,
            Record::PolicyAttachment(_) => 7,
            Record::ResourceTags(_) => 8,
            Record::SecurityProfile(_) => 9,
            Record::Topic(_) => 10,
            Record::Subscription(_) => 11,
            Record::AccessKey(_) => 12,
            Record::ActiveViolation(_) => 13,
        };
        seen[kind] = true;
    }
    assert_eq!(seen, [true; 14], "a kind of record has no sample");
}

fn starts_empty(store: &dyn Store) {
    assert_eq!(describe_store(store), "");
    assert_eq!(store.next_delivery_at(at(i64::MIN)).unwrap(), None);
    assert_eq!(store.prune(at(i64::MAX)).unwrap(), Pruned::default());
    assert!(!store.verify_violation(&scope(), &violation_id(1), VerificationState::TruePositive, None).unwrap());
    store.commit(&[]).unwrap();
    assert_eq!(describe_store(store), "");
}

fn gives_back_every_record(store: &dyn Store) {
    store.commit(&sample_batch()).unwrap();
    let mut expected: Vec<(Scope, Record)> = sample_batch()
        .into_iter()
        .filter_map(|change| match change {
            Change::Put(scope, record) => Some((scope, record)),
            _ => None,
        })
        .collect();
    let mut loaded = store.load().unwrap();
    for list in [&mut expected, &mut loaded] {
        list.sort_by_key(|(scope, record)| (scope.clone(), record.key()));
    }
    for (loaded, expected) in loaded.iter().zip(&expected) {
        assert_eq!(loaded, expected);
    }
    assert_eq!(loaded.len(), expected.len());

    let mut events: Vec<ViolationEvent> = all_events(store, &scope(), &all_time());
    events.reverse();
    let mut expected: Vec<ViolationEvent> = sample_batch()
        .into_iter()
        .filter_map(|change| match change {
            Change::AppendViolationEvent(_, event) => Some(event),
            _ => None,
        })
        .collect();
    expected.sort_by_key(|event| (event.at, event.violation.clone(), event.kind));
    assert_eq!(events, expected);

    let datapoints = replayed(store, at(i64::MIN));
    let expected: Vec<(Scope, Datapoint)> = sample_batch()
        .into_iter()
        .filter_map(|change| match change {
            Change::AppendDatapoint(scope, datapoint) => Some((scope, datapoint)),
            _ => None,
        })
        .collect();
    assert_eq!(datapoints.len(), expected.len());
    for datapoint in &expected {
        assert!(datapoints.contains(datapoint), "{datapoint:?} is missing");
    }

    let deliveries = store.deliveries_due(at(i64::MAX), usize::MAX).unwrap();
    let expected: Vec<_> = sample_batch()
        .into_iter()
        .filter_map(|change| match change {
            Change::PutDelivery(delivery) if matches!(delivery.state, DeliveryState::Due(_)) => Some(delivery),
            _ => None,
        })
        .collect();
    assert_eq!(deliveries, expected);
}

fn puts_and_deletes_twice_with_the_same_result(store: &dyn Store) {
    store.commit(&sample_batch()).unwrap();
    let once = describe_store(store);
    store.commit(&sample_batch()).unwrap();
    assert_eq!(describe_store(store), once);

    // In one batch the later change counts.
    let record = active_violation(1, at(5));
    let key = RecordKey::ActiveViolation(record.id.clone());
    store
        .commit(&[
            Change::Put(scope(), Record::ActiveViolation(record.clone())),
            Change::Delete(scope(), key.clone()),
            Change::Delete(scope(), key.clone()),
        ])
        .unwrap();
    assert_eq!(describe_store(store), once);
    store
        .commit(&[Change::Delete(scope(), key.clone()), Change::Put(scope(), Record::ActiveViolation(record))])
        .unwrap();
    assert!(store.load().unwrap().iter().any(|(_, record)| record.key() == key));

    let keys: Vec<(Scope, RecordKey)> =
        store.load().unwrap().into_iter().map(|(scope, record)| (scope, record.key())).collect();
    for _ in 0..2 {
        let batch: Vec<Change> = keys.iter().map(|(scope, key)| Change::Delete(scope.clone(), key.clone())).collect();
        store.commit(&batch).unwrap();
        assert_eq!(store.load().unwrap(), []);
    }
}

fn keeps_scopes_apart(store: &dyn Store) {
    let ours = active_violation(1, at(1));
    let mut theirs = active_violation(1, at(1));
    theirs.reporter = reporter("TheirDevice");
    let event = violation_event(1, ViolationEventType::InAlarm, at(1));
    let value = datapoint("MyDevice", bytes_out(), MetricValue::Count(1), at(1));
    store
        .commit(&[
            Change::Put(scope(), Record::ActiveViolation(ours.clone())),
            Change::Put(other_scope(), Record::ActiveViolation(theirs.clone())),
            Change::AppendViolationEvent(other_scope(), event.clone()),
            Change::AppendDatapoint(other_scope(), value.clone()),
        ])
        .unwrap();
    assert_eq!(all_active(store, &scope(), &all_violations()), std::slice::from_ref(&ours));
    assert_eq!(all_active(store, &other_scope(), &all_violations()), [theirs]);
    assert_eq!(all_events(store, &scope(), &all_time()), []);
    assert_eq!(all_events(store, &other_scope(), &all_time()), [event]);
    assert_eq!(all_values(store, &scope(), 10), []);
    assert_eq!(all_values(store, &other_scope(), 10), [value]);
    store.verify_violation(&scope(), &ours.id, VerificationState::FalsePositive, None).unwrap();
    assert_eq!(all_active(store, &other_scope(), &all_violations())[0].verification, VerificationState::Unknown);
    assert_eq!(all_events(store, &other_scope(), &all_time())[0].verification, VerificationState::Unknown);
    store.commit(&[Change::Delete(scope(), RecordKey::ActiveViolation(ours.id))]).unwrap();
    assert_eq!(all_active(store, &other_scope(), &all_violations()).len(), 1);
}

fn appends_an_event_once(store: &dyn Store) {
    let event = violation_event(1, ViolationEventType::InAlarm, at(1));
    let cleared = violation_event(1, ViolationEventType::AlarmCleared, at(1));
    let append = |event: &ViolationEvent| Change::AppendViolationEvent(scope(), event.clone());
    store.commit(&[append(&event), append(&event), append(&cleared)]).unwrap();
    store.verify_violation(&scope(), &event.violation, VerificationState::BenignPositive, Some("known")).unwrap();
    store.commit(&[append(&event)]).unwrap();
    let events = all_events(store, &scope(), &all_time());
    assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), [cleared.kind, event.kind]);
    assert!(
        events.iter().all(|event| event.verification == VerificationState::BenignPositive),
        "appending an event again undid what people found out"
    );
}

fn filters_events(store: &dyn Store) {
    let learned = ExpectedValue::Statistical(Comparison::LessThan, Statistic::P99_9);
    let event = |number, at| violation_event(number, ViolationEventType::InAlarm, at);
    let mut by_device = event(2, at(20));
    by_device.reporter = reporter("my_evice");
    let mut by_profile = event(3, at(30));
    by_profile.profile = profile_name("Other");
    let mut statistical = event(4, at(40));
    statistical.behavior = behavior_of("b", bytes_out(), learned);
    let mut machine_learned = event(5, at(50));
    machine_learned.behavior = behavior_of("b", bytes_out(), ExpectedValue::Learned(ConfidenceLevel::High));
    let mut suppressed = event(6, at(60));
    suppressed.behavior.suppress_alerts = true;
    let mut verified = event(7, at(70));
    verified.verification = VerificationState::FalsePositive;
    let mut without_criteria = event(8, at(80));
    without_criteria.behavior.criteria = None;
    let events = [event(1, at(10)), by_device, by_profile, statistical, machine_learned, suppressed, verified];
    let batch: Vec<Change> = events
        .into_iter()
        .chain([without_criteria])
        .map(|event| Change::AppendViolationEvent(scope(), event))
        .collect();
    store.commit(&batch).unwrap();

    let check = |query: ViolationEventQuery, expected: &[u32]| {
        let expected: Vec<_> = expected.iter().map(|number| violation_id(*number)).collect();
        let found: Vec<_> = all_events(store, &scope(), &query).into_iter().map(|event| event.violation).collect();
        assert_eq!(found, expected, "{query:?}");
    };
    let all = all_time;
    check(all(), &[8, 7, 6, 5, 4, 3, 2, 1]);
    check(ViolationEventQuery { include_suppressed: false, ..all() }, &[8, 7, 5, 4, 3, 2, 1]);
    check(ViolationEventQuery { from: at(30), to: at(50), ..all() }, &[5, 4, 3]);
    check(ViolationEventQuery { from: at(31), to: at(49), ..all() }, &[4]);
    check(ViolationEventQuery { from: at(50), to: at(30), ..all() }, &[]);
    check(ViolationEventQuery { reporter: Some(reporter("my_evice")), ..all() }, &[2]);
    check(ViolationEventQuery { reporter: Some(reporter("mydevice")), ..all() }, &[]);
    check(ViolationEventQuery { profile: Some(profile_name("Other")), ..all() }, &[3]);
    check(ViolationEventQuery { criteria: Some(CriteriaKind::Static), ..all() }, &[7, 6, 3, 2, 1]);
    check(ViolationEventQuery { criteria: Some(CriteriaKind::Statistical), ..all() }, &[4]);
    check(ViolationEventQuery { criteria: Some(CriteriaKind::MachineLearning), ..all() }, &[5]);
    check(ViolationEventQuery { verification: Some(VerificationState::FalsePositive), ..all() }, &[7]);
    check(ViolationEventQuery { verification: Some(VerificationState::TruePositive), ..all() }, &[]);
}

fn pages_events_under_insertion(store: &dyn Store) {
    // Several at one time, so that the id decides.
    let append = |number: u32, at| {
        Change::AppendViolationEvent(scope(), violation_event(number, ViolationEventType::InAlarm, at))
    };
    let batch: Vec<Change> = (0..20).map(|number| append(number * 10, at(i64::from(number / 5)))).collect();
    store.commit(&batch).unwrap();
    let mut found = Vec::new();
    let mut page = Page { after: None, limit: 3 };
    for round in 0.. {
        let part = store.violation_events(&scope(), &all_time(), &page).unwrap();
        assert!(part.items.len() <= 3);
        found.extend(part.items.into_iter().map(|event| event.violation));
        let Some(next) = part.next else { break };
        // Newer than everything, and between what was and what will be shown.
        store.commit(&[append(1000 + round, at(100)), append(151 - round, at(3))]).unwrap();
        page.after = Some(next);
    }
    let original: Vec<_> = (0..20).rev().map(|number| violation_id(number * 10)).collect();
    let shown: Vec<_> = found.iter().filter(|id| original.contains(id)).cloned().collect();
    assert_eq!(shown, original, "an item was hidden or repeated");
}

fn lists_active_violations(store: &dyn Store) {
    let mut other = active_violation(2, at(20));
    other.reporter = reporter("Other");
    other.profile = profile_name("Other");
    other.verification = VerificationState::TruePositive;
    let mut suppressed = active_violation(3, at(10));
    suppressed.behavior.suppress_alerts = true;
    let mut learned = active_violation(4, at(30));
    learned.behavior = behavior_of("b", bytes_out(), ExpectedValue::Learned(ConfidenceLevel::Low));
    let one = active_violation(1, at(20));
    let batch: Vec<Change> = [one.clone(), other, suppressed, learned]
        .into_iter()
        .map(|violation| Change::Put(scope(), Record::ActiveViolation(violation)))
        .collect();
    store.commit(&batch).unwrap();

    let check = |query: ActiveViolationQuery, expected: &[u32]| {
        let expected: Vec<_> = expected.iter().map(|number| violation_id(*number)).collect();
        let found: Vec<_> = all_active(store, &scope(), &query).into_iter().map(|violation| violation.id).collect();
        assert_eq!(found, expected, "{query:?}");
    };
    let all = all_violations;
    check(all(), &[4, 2, 1, 3]);
    check(ActiveViolationQuery::default(), &[4, 2, 1]);
    check(ActiveViolationQuery { reporter: Some(reporter("Other")), ..all() }, &[2]);
    check(ActiveViolationQuery { profile: Some(profile_name("Other")), ..all() }, &[2]);
    check(ActiveViolationQuery { criteria: Some(CriteriaKind::MachineLearning), ..all() }, &[4]);
    check(ActiveViolationQuery { criteria: Some(CriteriaKind::Static), ..all() }, &[2, 1, 3]);
    check(ActiveViolationQuery { verification: Some(VerificationState::TruePositive), ..all() }, &[2]);

    // A put over an active violation is what filters see.
    let mut changed = one;
    changed.started_at = at(40);
    changed.behavior = behavior("other");
    changed.behavior.suppress_alerts = true;
    store.commit(&[Change::Put(scope(), Record::ActiveViolation(changed))]).unwrap();
    check(all(), &[1, 4, 2, 3]);
    check(ActiveViolationQuery::default(), &[4, 2]);
}

fn pages_active_violations_under_insertion(store: &dyn Store) {
    let put = |number: u32, at| Change::Put(scope(), Record::ActiveViolation(active_violation(number, at)));
    store.commit(&(0..10).map(|number| put(number * 10, at(i64::from(number / 4)))).collect::<Vec<_>>()).unwrap();
    let mut found = Vec::new();
    let mut page = Page { after: None, limit: 3 };
    for round in 0.. {
        let part = store.active_violations(&scope(), &all_violations(), &page).unwrap();
        assert!(part.items.len() <= 3);
        found.extend(part.items.into_iter().map(|violation| violation.id));
        let Some(next) = part.next else { break };
        store.commit(&[put(1000 + round, at(100))]).unwrap();
        page.after = Some(next);
    }
    assert_eq!(found, (0..10).rev().map(|number| violation_id(number * 10)).collect::<Vec<_>>());
}

fn verifies_active_record_and_all_events(store: &dyn Store) {
    let mut batch = vec![Change::Put(scope(), Record::ActiveViolation(active_violation(1, at(1))))];
    for number in [1, 2] {
        for kind in [ViolationEventType::InAlarm, ViolationEventType::AlarmCleared] {
            batch.push(Change::AppendViolationEvent(scope(), violation_event(number, kind, at(1))));
        }
    }
    store.commit(&batch).unwrap();
    let verify = |number, state, description| {
        store.verify_violation(&scope(), &violation_id(number), state, description).unwrap()
    };
    let description = "It was the firmware's 'update'.\n\"Fine\" ✓";
    assert!(verify(1, VerificationState::FalsePositive, Some(description)));
    assert!(!verify(3, VerificationState::FalsePositive, None));
    let active = &all_active(store, &scope(), &all_violations())[0];
    assert_eq!(active.verification, VerificationState::FalsePositive);
    assert_eq!(active.verification_description.as_deref(), Some(description));
    for event in all_events(store, &scope(), &all_time()) {
        let expected = match event.violation == violation_id(1) {
            true => (VerificationState::FalsePositive, Some(description)),
            false => (VerificationState::Unknown, None),
        };
        assert_eq!((event.verification, event.verification_description.as_deref()), expected);
    }
    let loaded = store.load().unwrap();
    let Some((_, Record::ActiveViolation(loaded))) = loaded.first() else { panic!("{loaded:?}") };
    assert_eq!(loaded.verification, VerificationState::FalsePositive);
    // Known by its events alone; and the description goes when none is given.
    assert!(verify(2, VerificationState::TruePositive, None));
    assert!(verify(1, VerificationState::Unknown, None));
    assert_eq!(all_active(store, &scope(), &all_violations()), [active_violation(1, at(1))]);
}

fn tells_the_life_of_a_violation(store: &dyn Store) {
    let life = |number| store.violation(&scope(), &violation_id(number)).unwrap();
    assert_eq!(life(1), ViolationLife::default());
    let raised = violation_event(1, ViolationEventType::InAlarm, at(10));
    let cleared = violation_event(1, ViolationEventType::AlarmCleared, at(20));
    let active = active_violation(1, at(10));
    store
        .commit(&[
            Change::Put(scope(), Record::ActiveViolation(active.clone())),
            Change::AppendViolationEvent(scope(), raised.clone()),
            Change::AppendViolationEvent(scope(), violation_event(2, ViolationEventType::InAlarm, at(5))),
            Change::AppendViolationEvent(other_scope(), violation_event(1, ViolationEventType::InAlarm, at(1))),
        ])
        .unwrap();
    assert_eq!(life(1), ViolationLife { active: Some(active), events: vec![raised.clone()] });
    assert_eq!(life(2).active, None);
    store
        .commit(&[
            Change::Delete(scope(), RecordKey::ActiveViolation(violation_id(1))),
            Change::AppendViolationEvent(scope(), cleared.clone()),
        ])
        .unwrap();
    assert_eq!(life(1), ViolationLife { active: None, events: vec![raised, cleared] });
}

fn counts_alarms_by_device(store: &dyn Store) {
    assert_eq!(store.alarm_totals(&scope(), 10).unwrap(), AlarmTotals::default());
    let put = |number, device: &str, started_at, change: &dyn Fn(&mut ActiveViolation)| {
        let mut violation = active_violation(number, at(started_at));
        violation.reporter = reporter(device);
        change(&mut violation);
        store.commit(&[Change::Put(scope(), Record::ActiveViolation(violation))]).unwrap();
    };
    put(1, "quiet", 50, &|violation| violation.verification = VerificationState::FalsePositive);
    put(2, "loud", 10, &|_| ());
    put(3, "loud", 20, &|_| ());
    put(4, "loud", 30, &|violation| violation.behavior.suppress_alerts = true);
    put(5, "new", 40, &|_| ());
    let counts = |active, unverified, suppressed, latest_at| AlarmCounts {
        active,
        unverified,
        suppressed,
        latest_at: at(latest_at),
    };
    let expected = AlarmTotals {
        all: counts(5, 3, 1, 50),
        reporters: 3,
        of_reporters: vec![
            (reporter("loud"), counts(3, 2, 1, 30)),
            (reporter("new"), counts(1, 1, 0, 40)),
            (reporter("quiet"), counts(1, 0, 0, 50)),
        ],
    };
    assert_eq!(store.alarm_totals(&scope(), 10).unwrap(), expected);
    let first = AlarmTotals { of_reporters: expected.of_reporters[..1].to_vec(), ..expected };
    assert_eq!(store.alarm_totals(&scope(), 1).unwrap(), first);
    assert_eq!(store.alarm_totals(&other_scope(), 10).unwrap(), AlarmTotals::default());
}

fn names_the_metrics_of_a_device(store: &dyn Store) {
    let measured = |device, limit| store.measured(&scope(), &reporter(device), limit).unwrap();
    assert_eq!(measured("MyDevice", 10), []);
    let ports = Metric::Device(DeviceMetric::NumListeningTcpPorts);
    let value = |device, metric: &Metric, time| {
        Change::AppendDatapoint(scope(), datapoint(device, metric.clone(), MetricValue::Count(1), at(time)))
    };
    store
        .commit(&[
            value("MyDevice", &ports, 30),
            value("MyDevice", &bytes_out(), 20),
            value("MyDevice", &bytes_out(), 10),
            value("Other", &ports, 40),
        ])
        .unwrap();
    assert_eq!(measured("MyDevice", 10), [(bytes_out(), at(20)), (ports.clone(), at(30))]);
    assert_eq!(measured("MyDevice", 1), [(bytes_out(), at(20))]);
    assert_eq!(measured("Other", 10), [(ports, at(40))]);
    store.prune(at(25)).unwrap();
    assert_eq!(measured("MyDevice", 10).len(), 1);
}

fn appends_a_datapoint_once(store: &dyn Store) {
    let value = |value, time| datapoint("MyDevice", bytes_out(), MetricValue::Count(value), at(time));
    let append = |datapoint: &Datapoint| Change::AppendDatapoint(scope(), datapoint.clone());
    store.commit(&[append(&value(1, 1)), append(&value(1, 1)), append(&value(2, 1)), append(&value(1, 2))]).unwrap();
    store.commit(&[append(&value(1, 1))]).unwrap();
    let expected = [value(1, 1), value(2, 1), value(1, 2)];
    assert_eq!(all_values(store, &scope(), 10), expected);
    assert_eq!(all_values(store, &scope(), 1), expected);
}

fn pages_datapoints_under_insertion(store: &dyn Store) {
    let append = |device: &str, value: u64, time| {
        Change::AppendDatapoint(scope(), datapoint(device, bytes_out(), MetricValue::Count(value), at(time)))
    };
    let mut batch: Vec<Change> = (0..20).map(|number| append("MyDevice", number, number as i64 / 3)).collect();
    batch.push(append("Other", 7, 3));
    let other_metric = Metric::Device(DeviceMetric::AllBytesIn);
    batch.push(Change::AppendDatapoint(scope(), datapoint("MyDevice", other_metric, MetricValue::Count(1), at(3))));
    store.commit(&batch).unwrap();
    let query = values_of_my_device();
    let (mut found, mut page) = (Vec::new(), Page { after: None, limit: 4 });
    for round in 0.. {
        let part = store.datapoints(&scope(), &query, &page).unwrap();
        assert!(part.items.len() <= 4);
        found.extend(part.items.into_iter().map(|datapoint| datapoint.value));
        let Some(next) = part.next else { break };
        store.commit(&[append("MyDevice", 1000 + round, -1)]).unwrap();
        page.after = Some(next);
    }
    assert_eq!(found, (0..20).map(MetricValue::Count).collect::<Vec<_>>());
    let part = DatapointQuery { from: at(2), to: at(3), ..query };
    let part = store.datapoints(&scope(), &part, &Page { after: None, limit: 100 }).unwrap();
    let values: Vec<_> = part.items.into_iter().map(|datapoint| datapoint.value).collect();
    assert_eq!(values, (6..12).map(MetricValue::Count).collect::<Vec<_>>());
    assert_eq!(part.next, None);
}

fn replays_in_the_order_of_time(store: &dyn Store) {
    let times = [30, 10, 20, 10, 40, 25];
    for (number, time) in times.into_iter().enumerate() {
        let device = format!("device-{number}");
        let value = datapoint(&device, bytes_out(), MetricValue::Count(number as u64), at(time));
        let scope = if number % 2 == 0 { scope() } else { other_scope() };
        store.commit(&[Change::AppendDatapoint(scope, value)]).unwrap();
    }
    let seen = replayed(store, at(20));
    assert_eq!(seen.iter().map(|(_, datapoint)| datapoint.at.unix_millis()).collect::<Vec<_>>(), [20, 25, 30, 40]);
    assert_eq!(seen[0].0, scope());
    assert_eq!(seen[1].0, other_scope());
    assert_eq!(replayed(store, at(i64::MIN)), replayed(store, at(i64::MIN)));
    assert_eq!(replayed(store, at(i64::MIN)).len(), times.len());
    // The visitor may call the store.
    let mut visits = 0;
    store
        .replay_datapoints(at(0), &mut |scope, datapoint| {
            visits += 1;
            store.commit(&[Change::AppendDatapoint(scope, datapoint)]).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(visits, times.len());
}

fn replays_until_the_visitor_has_seen_enough(store: &dyn Store) {
    let value = |time| Change::AppendDatapoint(scope(), datapoint("d", bytes_out(), MetricValue::Count(1), at(time)));
    store.commit(&[1, 2, 3, 4].map(value)).unwrap();
    let mut seen = Vec::new();
    let mut visit = |_: Scope, datapoint: Datapoint| {
        seen.push(datapoint.at.unix_millis());
        if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.replay_datapoints(at(0), &mut visit).unwrap();
    assert_eq!(seen, [1, 2]);
    assert_eq!(replayed(store, at(0)).len(), 4, "the next one sees all of them again");
}

fn counts_what_waits(store: &dyn Store) {
    assert_eq!(store.counts().unwrap(), StoreCounts::default());
    store.commit(&sample_batch()).unwrap();
    let counts = store.counts().unwrap();
    let is_active = |change: &Change| matches!(change, Change::Put(_, Record::ActiveViolation(_)));
    assert_eq!(counts.violations_active, sample_batch().iter().filter(|change| is_active(change)).count() as u64);
    let deliveries: Vec<_> = sample_batch()
        .into_iter()
        .filter_map(|change| match change {
            Change::PutDelivery(delivery) => Some(delivery),
            _ => None,
        })
        .collect();
    let waiting = deliveries.iter().filter(|delivery| matches!(delivery.state, DeliveryState::Due(_)));
    assert_eq!(counts.deliveries_waiting, waiting.clone().count() as u64);
    assert_eq!(counts.deliveries_waiting_since, waiting.map(|delivery| delivery.created_at).min());
    assert_eq!(counts.deliveries_dead + counts.deliveries_waiting, deliveries.len() as u64);
}

fn gives_due_deliveries_in_order(store: &dyn Store) {
    let due = |number, time| delivery(number, DeliveryState::Due(at(time)));
    let mut asked_first = due(9, 10);
    asked_first.created_at = at(-5);
    let all = [due(1, 30), due(2, 20), due(3, 10), asked_first, delivery(4, DeliveryState::Dead(at(5)))];
    store.commit(&all.clone().map(Change::PutDelivery)).unwrap();
    let numbers = |now, limit| -> Vec<String> {
        store.deliveries_due(at(now), limit).unwrap().into_iter().map(|delivery| delivery.id.to_string()).collect()
    };
    assert_eq!(numbers(9, 100), Vec::<String>::new());
    assert_eq!(numbers(20, 100), [uuid(9), uuid(3), uuid(2)]);
    assert_eq!(numbers(1000, 100), [uuid(9), uuid(3), uuid(2), uuid(1)]);
    assert_eq!(numbers(1000, 2), [uuid(9), uuid(3)]);
    assert_eq!(store.next_delivery_at(at(9)).unwrap(), Some(at(10)));
    assert_eq!(store.next_delivery_at(at(10)).unwrap(), Some(at(20)));
    assert_eq!(store.next_delivery_at(at(30)).unwrap(), None);

    // Tried again later, given up, done; each twice.
    let mut retried = due(3, 50);
    retried.attempts = 1;
    retried.last_error = Some("connection refused".to_owned());
    let given_up = delivery(2, DeliveryState::Dead(at(40)));
    for _ in 0..2 {
        let done = Change::DeleteDelivery(due(1, 0).id);
        let put = |delivery: &Delivery| Change::PutDelivery(delivery.clone());
        store.commit(&[put(&retried), put(&given_up), done]).unwrap();
        assert_eq!(numbers(1000, 100), [uuid(9), uuid(3)]);
    }
    assert_eq!(store.deliveries_due(at(1000), 100).unwrap()[1], retried);
}

fn lists_deliveries_of_a_topic(store: &dyn Store) {
    let of_topic = |number: u32, topic: &str, state, time| {
        let mut delivery = delivery(number, state);
        delivery.notification.topic = scope().arn("sns", topic);
        delivery.created_at = at(time);
        delivery
    };
    let (due, dead) = (DeliveryState::Due(at(100)), DeliveryState::Dead(at(50)));
    let all = [
        of_topic(1, "Alarms", due, 10),
        of_topic(2, "Alarms", dead, 30),
        of_topic(3, "Others", due, 20),
        of_topic(4, "Alarms", due, 30),
        of_topic(5, "Alarms", due, 20),
    ];
    store.commit(&all.clone().map(Change::PutDelivery)).unwrap();
    let arn = scope().arn("sns", "Alarms");
    let listed: Vec<Delivery> = all_pages(2, &|page| store.deliveries_of_topic(&arn, page));
    assert_eq!(listed, [3, 1, 4, 0].map(|place: usize| all[place].clone()));
    // Pages are stable when something comes, and when something is done.
    let first = store.deliveries_of_topic(&arn, &Page { after: None, limit: 2 }).unwrap();
    let done = Change::DeleteDelivery(all[1].id.clone());
    store.commit(&[Change::PutDelivery(of_topic(6, "Alarms", due, 40)), done]).unwrap();
    let rest = store.deliveries_of_topic(&arn, &Page { after: first.next, limit: 10 }).unwrap();
    assert_eq!(rest.items, [4, 0].map(|place: usize| all[place].clone()));
    assert_eq!(rest.next, None);
    assert!(all_pages(2, &|page| store.deliveries_of_topic(&other_scope().arn("sns", "Alarms"), page)).is_empty());
}

fn prunes_what_is_older(store: &dyn Store) {
    let mut batch = vec![
        Change::Put(scope(), Record::ActiveViolation(active_violation(1, at(0)))),
        Change::PutDelivery(delivery(1, DeliveryState::Dead(at(9)))),
        Change::PutDelivery(delivery(2, DeliveryState::Dead(at(10)))),
        Change::PutDelivery(delivery(3, DeliveryState::Due(at(0)))),
    ];
    for time in [8, 9, 10, 11] {
        for scope in [scope(), other_scope()] {
            let event = violation_event(1, ViolationEventType::InAlarm, at(time));
            batch.push(Change::AppendViolationEvent(scope.clone(), event));
            let value = datapoint("MyDevice", bytes_out(), MetricValue::Count(1), at(time));
            batch.push(Change::AppendDatapoint(scope, value));
        }
    }
    // A device that is heard of no more.
    batch.push(Change::AppendDatapoint(scope(), datapoint("Gone", bytes_out(), MetricValue::Count(1), at(1))));
    store.commit(&batch).unwrap();
    assert_eq!(
        store.prune(at(10)).unwrap(),
        Pruned { violation_events: 4, datapoints: 5, deliveries: 1, ..Pruned::default() },
        "what is at the limit stays"
    );
    assert_eq!(store.prune(at(10)).unwrap(), Pruned::default());
    assert_eq!(store.load().unwrap().len(), 1);
    assert_eq!(store.deliveries_due(at(100), 10).unwrap().len(), 1);
    assert_eq!(all_events(store, &scope(), &all_time()).len(), 2);
    assert_eq!(all_values(store, &scope(), 10).len(), 2);
    assert_eq!(replayed(store, at(i64::MIN)).len(), 4);
    // Heard of again.
    let again = datapoint("Gone", bytes_out(), MetricValue::Count(2), at(20));
    let other = datapoint("New", bytes_out(), MetricValue::Count(3), at(21));
    store.commit(&[again.clone(), other.clone()].map(|value| Change::AppendDatapoint(scope(), value))).unwrap();
    assert_eq!(replayed(store, at(20)), [(scope(), again), (scope(), other)]);
}

fn refuses_foreign_page_tokens(store: &dyn Store) {
    store.commit(&sample_batch()).unwrap();
    let page = |token: &str| Page { after: Some(PageToken(token.to_owned())), limit: 1 };
    let of_events = store.violation_events(&scope(), &all_time(), &Page { after: None, limit: 1 }).unwrap();
    let of_events = of_events.next.expect("there is more than one event");
    for token in ["", "x", "0", "event/1", "\u{0}", "é", &"9".repeat(10_000), "' OR 1=1", &of_events.0] {
        let is_refused = |result: Result<(), StoreError>| matches!(result, Err(StoreError::BadPageToken));
        let active = store.active_violations(&scope(), &all_violations(), &page(token)).map(drop);
        assert!(is_refused(active), "active violations took {token:?}");
        let values = store.datapoints(&scope(), &values_of_my_device(), &page(token)).map(drop);
        assert!(is_refused(values), "values took {token:?}");
        let deliveries = store.deliveries_of_topic(&scope().arn("sns", "Alarms"), &page(token)).map(drop);
        assert!(is_refused(deliveries), "deliveries took {token:?}");
        if token != of_events.0 {
            let events = store.violation_events(&scope(), &all_time(), &page(token)).map(drop);
            assert!(is_refused(events), "events took {token:?}");
        }
    }
}

/// Every batch of every thread is there as a whole, whatever ran beside it.
fn takes_batches_from_many_threads(store: &dyn Store) {
    const THREADS: u32 = 4;
    const BATCHES: u32 = 25;
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            threads.spawn(move || {
                for number in 0..BATCHES {
                    let number = thread * BATCHES + number;
                    let event = violation_event(number, ViolationEventType::InAlarm, at(i64::from(number)));
                    let violation = active_violation(number, at(i64::from(number)));
                    let batch = [
                        Change::AppendViolationEvent(scope(), event),
                        Change::Put(scope(), Record::ActiveViolation(violation)),
                    ];
                    store.commit(&batch).unwrap();
                    let key = RecordKey::ActiveViolation(violation_id(number));
                    assert!(
                        store.load().unwrap().iter().any(|(_, record)| record.key() == key),
                        "a reader does not see what was committed"
                    );
                }
            });
        }
    });
    let events = all_events(store, &scope(), &all_time());
    assert_eq!(events.len(), (THREADS * BATCHES) as usize);
    assert_eq!(all_active(store, &scope(), &all_violations()).len(), events.len());
}

fn is_put(change: &Change) -> bool {
    matches!(change, Change::Put(..) | Change::PutDelivery(_))
}

fn bytes_out() -> Metric {
    Metric::Device(DeviceMetric::AllBytesOut)
}

fn all_time() -> ViolationEventQuery {
    ViolationEventQuery {
        from: at(i64::MIN),
        to: at(i64::MAX),
        reporter: None,
        profile: None,
        criteria: None,
        include_suppressed: true,
        verification: None,
    }
}

fn all_violations() -> ActiveViolationQuery {
    ActiveViolationQuery { include_suppressed: true, ..ActiveViolationQuery::default() }
}

fn values_of_my_device() -> DatapointQuery {
    DatapointQuery { reporter: reporter("MyDevice"), metric: bytes_out(), from: at(0), to: at(i64::MAX) }
}

fn all_events(store: &dyn Store, scope: &Scope, query: &ViolationEventQuery) -> Vec<ViolationEvent> {
    all_pages(7, &|page| store.violation_events(scope, query, page))
}

fn all_active(store: &dyn Store, scope: &Scope, query: &ActiveViolationQuery) -> Vec<ActiveViolation> {
    all_pages(7, &|page| store.active_violations(scope, query, page))
}

fn all_values(store: &dyn Store, scope: &Scope, limit: usize) -> Vec<Datapoint> {
    all_pages(limit, &|page| store.datapoints(scope, &values_of_my_device(), page))
}

fn all_pages<T>(limit: usize, list: &dyn Fn(&Page) -> Result<Paged<T>, StoreError>) -> Vec<T> {
    let (mut all, mut page) = (Vec::new(), Page { after: None, limit });
    loop {
        let part = list(&page).unwrap();
        all.extend(part.items);
        match part.next {
            Some(next) => page.after = Some(next),
            None => return all,
        }
    }
}

fn replayed(store: &dyn Store, since: Timestamp) -> Vec<(Scope, Datapoint)> {
    let mut seen = Vec::new();
    let mut visit = |scope, datapoint| {
        seen.push((scope, datapoint));
        ControlFlow::Continue(())
    };
    store.replay_datapoints(since, &mut visit).unwrap();
    seen
}
