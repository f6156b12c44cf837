//! What every store that feeds the lake must do.

#![expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use komainu_model::{
    AccountId, Change, Contact, Datapoint, DomainName, IndicatorChange, IndicatorId, IndicatorMatch, Metric,
    MetricValue, Region, Remote, RemoteHost, ReporterName, Scope, SightingWay, Timestamp,
};

use crate::lake_feed::{FedBatch, LakeFeed, Reported};
use crate::store::Store;

/// Checks everything that does not need a medium; `new` makes an empty store.
pub fn check_lake_feed<E: Store + LakeFeed>(new: &dyn Fn() -> E) {
    nothing_waits_at_first(&new());
    what_was_committed_waits_until_it_is_taken(&new());
    a_value_waits_once(&new());
    what_is_no_report_does_not_wait(&new());
    every_kind_of_value_comes_as_it_was(&new());
    much_comes_in_parts(&new());
    names_are_given_once(&new());
}

/// Checks that what waits is there after closing and opening; `open` opens the same place again each time.
pub fn check_durable_lake_feed<E: Store + LakeFeed>(open: &dyn Fn() -> E) {
    let store = open();
    store.commit(&[value("camera", 1, MetricValue::Count(1))]).unwrap();
    store.commit(&[value("camera", 2, MetricValue::Count(2)), contact("camera", 3, "192.0.2.1:443")]).unwrap();
    let before = store.waiting().unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.waiting().unwrap(), before, "names and contents stay");
    store.commit(&[value("camera", 4, MetricValue::Count(4))]).unwrap();
    store.taken(before[0].name.sequence).unwrap();
    drop(store);
    let store = open();
    let after = drained(&store);
    assert_eq!(after[..before.len() - 1], before[1..]);
    assert_eq!(contents(&after).len(), 3, "what came later is behind it");
    let names: BTreeSet<_> = before.iter().chain(&after[before.len() - 1..]).map(|batch| &batch.name).collect();
    assert_eq!(names.len(), 3);
    drop(store);
    let store = open();
    store.commit(&[value("camera", 5, MetricValue::Count(5))]).unwrap();
    let last = drained(&store);
    assert!(last.iter().all(|batch| !names.contains(&batch.name)), "a name is never given twice");
}

fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-west-1").unwrap() }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds)
}

fn datapoint(device: &str, seconds: i64, metric: &str, value: MetricValue) -> Datapoint {
    Datapoint {
        reporter: ReporterName::parse(device).unwrap(),
        metric: Metric::parse(metric).unwrap(),
        value,
        at: at(seconds),
    }
}

fn value(device: &str, seconds: i64, value: MetricValue) -> Change {
    Change::AppendDatapoint(scope(), datapoint(device, seconds, "aws:all-bytes-in", value))
}

fn contact(device: &str, seconds: i64, remote: &str) -> Change {
    let reporter = ReporterName::parse(device).unwrap();
    let remote = Remote::parse(remote).unwrap();
    let contact = Contact { reporter, remote, first_at: at(seconds), last_at: at(seconds), count: 1 };
    Change::Indicators(IndicatorChange::AddContact(scope(), contact))
}

/// Takes everything that waits.
fn drained(store: &impl LakeFeed) -> Vec<FedBatch> {
    let mut all = Vec::new();
    loop {
        let some = store.waiting().unwrap();
        let Some(last) = some.last() else { return all };
        assert!(some.iter().all(|batch| batch.name.stream == last.name.stream), "of one stream");
        assert!(some.is_sorted_by(|one, next| one.name.sequence < next.name.sequence), "numbers rise");
        store.taken(last.name.sequence).unwrap();
        all.extend(some);
    }
}

fn contents(batches: &[FedBatch]) -> Vec<(Scope, Reported)> {
    batches.iter().flat_map(|batch| batch.reported.iter().cloned()).collect()
}

fn reported(changes: &[Change]) -> Vec<(Scope, Reported)> {
    let reported = changes.iter().map(|change| match change {
        Change::AppendDatapoint(scope, datapoint) => (scope.clone(), Reported::Value(datapoint.clone())),
        Change::Indicators(IndicatorChange::AddContact(scope, contact)) => {
            (scope.clone(), Reported::Contact(contact.clone()))
        }
        other => panic!("{other:?} is no report"),
    });
    reported.collect()
}

fn nothing_waits_at_first(store: &(impl Store + LakeFeed)) {
    assert_eq!(store.waiting().unwrap(), []);
    assert_eq!(store.lost().unwrap(), 0);
    store.taken(7).unwrap();
}

fn what_was_committed_waits_until_it_is_taken(store: &(impl Store + LakeFeed)) {
    let first = [value("camera", 1, MetricValue::Count(1)), contact("camera", 1, "192.0.2.1:443")];
    let second = [contact("door", 2, "c2.example.net"), value("camera", 2, MetricValue::Count(u64::MAX))];
    store.commit(&first).unwrap();
    store.commit(&second).unwrap();
    let waiting = store.waiting().unwrap();
    assert_eq!(contents(&waiting), reported(&[first.clone(), second.clone()].concat()));
    assert_eq!(store.waiting().unwrap(), waiting, "looking changes nothing");
    store.taken(waiting[0].name.sequence).unwrap();
    assert_eq!(contents(&store.waiting().unwrap()), reported(&second));
    store.taken(waiting[1].name.sequence).unwrap();
    assert_eq!(store.waiting().unwrap(), []);
}

fn a_value_waits_once(store: &(impl Store + LakeFeed)) {
    let same = value("camera", 1, MetricValue::Count(1));
    store.commit(&[same.clone(), same.clone()]).unwrap();
    store.commit(std::slice::from_ref(&same)).unwrap();
    assert_eq!(contents(&drained(store)), reported(std::slice::from_ref(&same)));
    store.commit(&[same]).unwrap();
    assert_eq!(drained(store), [], "it is still known when it has been taken");
    // A contact is told with each report.
    let met = contact("camera", 1, "192.0.2.1:443");
    store.commit(&[met.clone(), met.clone()]).unwrap();
    assert_eq!(contents(&drained(store)), reported(&[met.clone(), met]));
}

fn what_is_no_report_does_not_wait(store: &(impl Store + LakeFeed)) {
    store.commit(&crate::conformance::sample_batch()).unwrap();
    let values = crate::conformance::sample_batch()
        .iter()
        .filter(|change| matches!(change, Change::AppendDatapoint(..)))
        .count();
    assert_eq!(contents(&drained(store)).len(), values);
    store.commit(&[]).unwrap();
    assert_eq!(drained(store), []);
}

fn every_kind_of_value_comes_as_it_was(store: &(impl Store + LakeFeed)) {
    let addresses: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let found = IndicatorMatch {
        indicator: IndicatorId::from_bytes([7; 16]),
        remote: Remote { host: RemoteHost::Name(DomainName::parse("c2.example.net").unwrap()), port: Some(23) },
        way: SightingWay::Report,
        seen_at: at(1),
        sample: None,
    };
    let values = [
        ("aws:all-bytes-in", MetricValue::Count(0)),
        ("aws:destination-ip-addresses", MetricValue::Addresses(addresses)),
        ("aws:destination-ip-addresses", MetricValue::Addresses(Vec::new())),
        ("aws:listening-tcp-ports", MetricValue::Ports(vec![0, 22, 65_535])),
        ("temperature", MetricValue::Number(-1.5)),
        ("temperatures", MetricValue::Numbers(vec![f64::MAX, 0.0])),
        ("words", MetricValue::Strings(vec![String::new(), "日本\0".to_owned(), "x".repeat(1024)])),
        ("komainu:indicator-matches", MetricValue::Matches(vec![found])),
    ];
    let device = "x".repeat(128);
    let changes: Vec<Change> = (1..)
        .zip(values)
        .map(|(seconds, (metric, value))| Change::AppendDatapoint(scope(), datapoint(&device, seconds, metric, value)))
        .chain(["192.0.2.1", "[2001:db8::1]:80", "a.b.example.org:65535"].map(|remote| contact("Gerät 1", -1, remote)))
        .collect();
    store.commit(&changes).unwrap();
    assert_eq!(contents(&drained(store)), reported(&changes));
}

fn much_comes_in_parts(store: &(impl Store + LakeFeed)) {
    let words = |number: usize| MetricValue::Strings(vec![format!("{number}"), "x".repeat(1024), "y".repeat(1024)]);
    let changes: Vec<Change> = (0..2_000)
        .map(|number| Change::AppendDatapoint(scope(), datapoint("camera", number as i64, "words", words(number))))
        .collect();
    store.commit(&changes).unwrap();
    for change in &changes[..700] {
        // Values of their own, in as many commits.
        let Change::AppendDatapoint(scope, datapoint) = change else { continue };
        let datapoint = Datapoint { metric: Metric::parse("others").unwrap(), ..datapoint.clone() };
        store.commit(&[Change::AppendDatapoint(scope.clone(), datapoint)]).unwrap();
    }
    assert!(contents(&store.waiting().unwrap()).len() < 2_700, "not all of it is shown at the same time");
    let all = contents(&drained(store));
    assert_eq!(all[..2_000], reported(&changes));
    assert_eq!(all.len(), 2_700);
}

fn names_are_given_once(store: &(impl Store + LakeFeed)) {
    let mut names = BTreeSet::new();
    for round in 0..5 {
        store.commit(&[value("camera", round, MetricValue::Count(1))]).unwrap();
        for batch in drained(store) {
            assert!(names.insert(batch.name), "also not when nothing has waited in between");
        }
    }
    assert_eq!(names.len(), 5);
}
