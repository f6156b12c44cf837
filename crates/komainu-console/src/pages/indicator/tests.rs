use std::sync::Arc;

use hyper::Method;
use komainu_model::{
    ActiveViolation, Behavior, BehaviorName, Change, Comparison, Confidence, Criteria, DetonationId, ExpectedValue,
    IndicatorCandidate, IndicatorChange, IndicatorMatch, IndicatorSource, KomainuMetric, Metric, ProfileName, Record,
    Remote, SampleDigest, SensorName, SessionId, SightingWay, Threat, VerificationState, ViolationEvent,
    ViolationEventType,
};
use komainu_ports::MemoryLake;

use super::*;
use crate::request::tests::{NOW, ask, console_with};

const SESSION: &str = "0192f7a13c5e40008000000000000001";

/// What the laboratory teaches of a sample that came to a sensor.
fn candidate(value: &IndicatorValue) -> IndicatorCandidate {
    let detonation = DetonationId::parse("0101-1-root").unwrap();
    IndicatorCandidate {
        value: value.clone(),
        threat: Threat::CommandAndControl,
        confidence: Confidence::new(99).unwrap(),
        source: IndicatorSource::Detonation(detonation.clone()),
        provenance: Some(Provenance {
            sample: Some(SampleDigest::from_sha256([1; 32])),
            detonation: Some(detonation),
            session: Some(SessionId::parse(SESSION).unwrap()),
            sensor: Some(SensorName::parse("tokyo").unwrap()),
            at: NOW,
        }),
        valid_for: None,
        note: None,
        reviewed: false,
    }
}

#[test]
fn the_line_goes_from_the_attack_to_the_alarm() {
    let console = console_with(Arc::new(MemoryLake::default()));
    let value = IndicatorValue::parse("45.83.64.1:23/tcp").unwrap();
    let id = indicator_id(&value);
    console.threat.sink.teach(&[candidate(&value)]).unwrap();
    let (reporter, remote) = (ReporterName::parse("porch").unwrap(), Remote::parse("45.83.64.1:23").unwrap());
    let (first_at, last_at) = (NOW, NOW);
    let way = SightingWay::Report;
    let sighting = Sighting {
        reporter: reporter.clone(),
        indicator: id,
        remote: remote.clone(),
        way,
        first_at,
        last_at,
        count: 3,
    };
    let metric = Metric::Komainu(KomainuMetric::IndicatorMatches);
    let expected = ExpectedValue::Count(Comparison::LessThan, 1);
    let event = ViolationEvent {
        violation: ViolationId::parse("00000001-0000-4000-8000-000000000000").unwrap(),
        reporter: reporter.clone(),
        profile: ProfileName::parse("guard").unwrap(),
        behavior: Behavior {
            name: BehaviorName::parse("no-indicators").unwrap(),
            metric,
            criteria: Some(Criteria {
                expected,
                duration_s: Some(300),
                datapoints_to_alarm: 1,
                datapoints_to_clear: 1,
            }),
            suppress_alerts: false,
            export_metric: false,
        },
        value: Some(MetricValue::Matches(vec![IndicatorMatch {
            indicator: id,
            remote,
            way,
            seen_at: NOW,
            sample: None,
        }])),
        confidence: None,
        kind: ViolationEventType::InAlarm,
        verification: VerificationState::Unknown,
        verification_description: None,
        at: NOW,
    };
    // One that is on still, and whose events are gone.
    let on = ActiveViolation {
        id: ViolationId::parse("00000003-0000-4000-8000-000000000000").unwrap(),
        reporter: event.reporter.clone(),
        profile: event.profile.clone(),
        behavior: event.behavior.clone(),
        last_value: event.value.clone(),
        confidence: None,
        verification: VerificationState::Unknown,
        verification_description: None,
        last_at: NOW,
        started_at: NOW.minus(LOOK_BACK * 2),
    };
    let other = ViolationEvent {
        violation: ViolationId::parse("00000002-0000-4000-8000-000000000000").unwrap(),
        value: Some(MetricValue::Count(9)),
        ..event.clone()
    };
    let scope = console.scope.clone();
    let changes = [
        Change::Indicators(IndicatorChange::AddSighting(scope.clone(), sighting)),
        Change::AppendViolationEvent(scope.clone(), event),
        Change::AppendViolationEvent(scope.clone(), other),
        Change::Put(scope, Record::ActiveViolation(on)),
    ];
    console.history.commit(&changes).unwrap();
    let (status, text) = ask(&console, Some(Role::Viewer), Method::GET, &format!("/indicators/{id}"), "");
    assert_eq!(status, 200, "{text}");
    let device = format!("/devices/{}", part(reporter.as_str()));
    let sample = format!("/samples/{}", SampleDigest::from_sha256([1; 32]));
    let session = format!("/sessions/{SESSION}");
    let line = ["/sensors/tokyo", &session, &sample, "0101-1-root", &device, "/alarms/00000001-", "/alarms/00000003-"];
    let mut from = 0;
    for has in line {
        let at = text[from..].find(has).unwrap_or_else(|| panic!("{has:?} does not come next: {}", &text[from..]));
        from += at;
    }
    assert!(!text.contains("/alarms/00000002-"), "{text}");
}
