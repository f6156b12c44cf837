//! What is taught, met, and found looking back.

use std::time::Duration;

use komainu_model::{
    Confidence, IndicatorCandidate, IndicatorSource, IndicatorValue, MetricValue, Provenance, SampleDigest, Taught,
    Threat, Timestamp,
};
use komainu_ports::{IndicatorSink, IndicatorStore, Page, ReportEncoding, SightingQuery};

use crate::house::{House, pass};

const BEHAVIOR: &str = "met komainu:indicator-matches 1";

fn candidate(value: &str) -> IndicatorCandidate {
    let sample = Some(SampleDigest::from_sha256([0xab; 32]));
    let at = Timestamp::default();
    IndicatorCandidate {
        value: IndicatorValue::parse(value).unwrap(),
        threat: Threat::CommandAndControl,
        confidence: Confidence::new(90).unwrap(),
        source: IndicatorSource::Operator,
        provenance: Some(Provenance { sample, detonation: None, session: None, sensor: None, at }),
        valid_for: None,
        note: None,
        reviewed: false,
    }
}

fn teach(house: &House, value: &str) -> Taught {
    house.ports.indicators.teach(&[candidate(value)]).unwrap().remove(0)
}

async fn report(house: &House, thing: &str, report_id: u64, remotes: &[&str]) {
    let connections: Vec<String> = remotes.iter().map(|remote| format!(r#"{{"remote_addr":"{remote}"}}"#)).collect();
    let report = format!(
        r#"{{"header":{{"report_id":{report_id},"version":"1.0"}},"metrics":{{"tcp_connections":{{"established_connections":{{"connections":[{}],"total":{}}}}}}}}}"#,
        connections.join(","),
        connections.len()
    );
    house.send(thing, ReportEncoding::Json, report.as_bytes()).await.unwrap();
}

/// `THING REMOTE WAY COUNT` of every sighting.
fn sightings(house: &House) -> Vec<String> {
    let page = Page { after: None, limit: 100 };
    let found = house.store.sightings(&SightingQuery::default(), &page).unwrap();
    let show =
        |one: &komainu_model::Sighting| format!("{} {} {} {}", one.reporter, one.remote, one.way.as_str(), one.count);
    found.items.iter().map(|(_, sighting)| show(sighting)).collect()
}

fn waits(house: &House) -> usize {
    house.store.indicators_to_look_back(10).unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_report_that_names_an_indicator_alarms_and_says_which() {
    let house = House::new(&[BEHAVIOR]).await;
    assert!(matches!(teach(&house, "203.0.113.66:23"), Taught::New(_)));
    assert!(matches!(teach(&house, "203.0.113.66:23"), Taught::Known(_)));
    report(&house, "MyDevice", 1, &["203.0.113.66:23", "203.0.113.66:23", "192.0.2.1:443"]).await;
    let [active] = &house.active()[..] else { panic!("one violation") };
    let Some(MetricValue::Matches(matches)) = &active.last_value else { panic!("{active:?}") };
    assert_eq!((matches.len(), matches[0].sample), (1, Some(SampleDigest::from_sha256([0xab; 32]))));
    assert_eq!(sightings(&house), ["MyDevice 203.0.113.66:23 report 1"]);
    report(&house, "MyDevice", 2, &[]).await;
    assert!(house.active().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_reported_before_is_found_once() {
    let mut house = House::new(&[BEHAVIOR]).await;
    for (number, thing) in ["a", "b", "c"].into_iter().enumerate() {
        report(&house, thing, number as u64 + 1, &["203.0.113.7:4444", "10.0.0.1:22"]).await;
    }
    report(&house, "d", 9, &["203.0.113.7:80"]).await;
    assert!(house.active().is_empty());
    teach(&house, "203.0.113.7:4444");
    pass(2.0).await;
    assert_eq!((house.active().len(), waits(&house)), (3, 0));
    let mut seen = sightings(&house);
    seen.sort();
    let expected = ["a", "b", "c"].map(|thing| format!("{thing} 203.0.113.7:4444 looking-back 1"));
    assert_eq!(seen, expected);
    let told = house.events().len();
    house.restart().await;
    let Taught::Known(id) = teach(&house, "203.0.113.7:4444") else { panic!("it is known") };
    house.ports.indicators.look_back_again(id).unwrap();
    pass(2.0).await;
    assert_eq!((house.events().len(), sightings(&house).len(), waits(&house)), (told, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn when_the_store_fails_it_is_looked_for_again() {
    let house = House::new(&[BEHAVIOR]).await;
    report(&house, "a", 1, &["203.0.113.7:4444"]).await;
    teach(&house, "203.0.113.7:4444");
    house.store.break_medium();
    pass(3.0).await;
    house.store.mend_medium();
    pass(3.0).await;
    assert_eq!((house.active().len(), sightings(&house).len(), waits(&house)), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_or_too_old_is_met_no_more() {
    let house = House::new(&[BEHAVIOR]).await;
    let Taught::New(id) = teach(&house, "203.0.113.1") else { panic!("it is new") };
    house.ports.indicators.revoke(id, Some("ours")).unwrap().unwrap();
    let short = IndicatorCandidate { valid_for: Some(Duration::from_secs(10)), ..candidate("203.0.113.2") };
    house.ports.indicators.teach(&[short]).unwrap();
    assert_eq!(house.ports.indicators.set().len(), 1);
    pass(12.0).await;
    assert_eq!(house.ports.indicators.set().len(), 0);
    report(&house, "MyDevice", 1, &["203.0.113.1:1", "203.0.113.2:1"]).await;
    assert!(house.active().is_empty());
}

#[tokio::test(start_paused = true)]
async fn refused_ones_are_kept_with_their_reason() {
    let house = House::new(&[BEHAVIOR]).await;
    let Taught::Refused { reason } = teach(&house, "10.0.0.1:23") else { panic!("it is private") };
    assert!(reason.to_string().contains("private"), "{reason}");
    let refused = house.store.refused(&Page { after: None, limit: 10 }).unwrap().items;
    assert_eq!((refused.len(), &refused[0].reason), (1, &reason));
    assert!(house.ports.indicators.set().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_scanner_does_not_fill_the_store() {
    let house = House::new(&[BEHAVIOR]).await;
    teach(&house, "203.0.113.250:23");
    let remotes: Vec<String> = (0..1000).map(|n| format!("198.51.{}.{}:23", 100 + n / 250, n % 250)).collect();
    let mut remotes: Vec<&str> = remotes.iter().map(String::as_str).collect();
    remotes.push("203.0.113.250:23");
    report(&house, "scanner", 1, &remotes).await;
    let kept = |value: &str| {
        let value = IndicatorValue::parse(value).unwrap();
        house.store.contacts(&value, Timestamp::default(), &Page { after: None, limit: 10 }).unwrap().items.len()
    };
    assert_eq!(kept("203.0.113.250:23"), 1, "an indicator is remembered before others");
    let others: usize = remotes.iter().filter(|remote| kept(remote) == 1).count();
    assert_eq!(others, 256);
}
