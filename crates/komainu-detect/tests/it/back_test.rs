//! A profile that is not in force, and what it would have found: the same as detection did.

use std::ops::ControlFlow;
use std::sync::Arc;

use komainu_detect::{
    BACK_TEST_FIRINGS_MAX, BackTest, BackTestPeriod, BackTested, DevicePlace, Fidelity, Firing, Meter, Sample,
};
use komainu_model::{Datapoint, DetectTarget, GroupName, ReporterName, SecurityProfile, ViolationEventType};

use crate::simulation;
use crate::world::{World, behavior, profile, scope, seconds};

/// The profile `p` with these behaviors, for all things.
fn draft(behaviors: &[&str]) -> Arc<SecurityProfile> {
    let mut draft = profile("p", behaviors);
    Arc::make_mut(&mut draft).targets.insert(DetectTarget::AllThings);
    draft
}

fn registered(_: &ReporterName) -> DevicePlace {
    DevicePlace { registered: true, groups: Vec::new() }
}

fn tested(draft: &Arc<SecurityProfile>, values: &[Datapoint], from_s: f64, to_s: f64) -> BackTested {
    let period = BackTestPeriod { from: seconds(from_s), to: seconds(to_s), slices: 4 };
    let mut test = BackTest::new(&scope(), draft, &registered, period);
    let reads_from = test.reads_from();
    let mut values: Vec<&Datapoint> = values.iter().filter(|value| value.at >= reads_from).collect();
    values.sort_by_key(|value| value.at);
    let is_whole = values.iter().all(|value| test.take(value) == ControlFlow::Continue(()));
    test.end(is_whole)
}

/// The firings as the world writes them down, in the order of time.
fn lines(firings: &[Firing]) -> Vec<String> {
    let mut lines = Vec::new();
    for Firing { behavior, reporter, value, raised_at, ended, .. } in firings {
        let raised_s = raised_at.unix_seconds_fractional();
        lines.push((*raised_at, format!("{reporter} {raised_s} in-alarm {behavior} {:?}", value.as_ref().unwrap())));
        if let Some((kind, at)) = ended {
            let word = match kind {
                ViolationEventType::InAlarm => panic!("an alarm cannot end by being raised"),
                ViolationEventType::AlarmCleared => "cleared",
                ViolationEventType::AlarmInvalidated => "invalidated",
            };
            lines.push((*at, format!("{reporter} {} {word} {behavior}", at.unix_seconds_fractional())));
        }
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// What the world found, without the values of ends, which a firing does not keep.
fn live(events: &[String]) -> Vec<String> {
    let mut lines: Vec<(i64, String)> = Vec::new();
    for event in events {
        let words: Vec<&str> = event.splitn(5, ' ').collect();
        let [reporter, at, kind, behavior, _] = words[..] else { panic!("{event}") };
        let line = if kind == "in-alarm" { event.clone() } else { format!("{reporter} {at} {kind} {behavior}") };
        lines.push(((at.parse::<f64>().unwrap() * 1000.0).round() as i64, line));
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn it_finds_what_detection_found() {
    for seed in [1, 7, 99] {
        let stored = simulation::run(seed, 0);
        let start_s = 1_700_000_000.0;
        let end_s = start_s + 43_200.0;
        let together = tested(&draft(&simulation::BEHAVIORS), &stored.datapoints, start_s, end_s);
        let raised = stored.events.iter().filter(|event| event.contains(" in-alarm ")).count();
        assert_eq!(together.fired, raised as u64, "seed {seed}");
        assert_eq!(together.devices, 12);
        assert!(together.behaviors.iter().all(|behavior| behavior.fidelity == Fidelity::Same));
        for behavior in simulation::BEHAVIORS {
            let tested = tested(&draft(&[behavior]), &stored.datapoints, start_s, end_s);
            assert!(tested.fired <= BACK_TEST_FIRINGS_MAX as u64, "seed {seed}: {behavior} has more than are told");
            let name = format!(" {} ", behavior.split(' ').next().unwrap());
            let events: Vec<String> = stored.events.iter().filter(|event| event.contains(&name)).cloned().collect();
            assert_eq!(lines(&tested.firings), live(&events), "seed {seed}: {behavior}");
        }
    }
}

/// Reports of bytes sent, at every fifth minute; what behaviors found live and what they find afterwards is `expected`.
#[track_caller]
fn check(behavior: &str, reports: &[u64], expected: &[&str]) {
    let mut world = World::new(&[behavior]);
    for (count, bytes) in reports.iter().enumerate() {
        world.bytes_out(300.0 * (count as f64 + 1.0) + 10.0, *bytes);
    }
    world.advance(6_000.0);
    let tested = tested(&draft(&[behavior]), &world.log.stored.datapoints, 0.0, 6_000.0);
    assert_eq!(lines(&tested.firings), live(&world.log.stored.events), "live and afterwards differ");
    let found: Vec<String> =
        lines(&tested.firings).iter().map(|line| line.strip_prefix("d ").unwrap_or(line).to_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn windows_and_datapoints_in_a_row_count_as_they_do_live() {
    check("b aws:all-bytes-out < 100 300", &[10, 10, 10], &[]);
    check("b aws:all-bytes-out < 100 300", &[10, 200, 10], &["610 in-alarm b Count(200)", "1200 cleared b"]);
    check("b aws:all-bytes-out < 100 300 a2", &[200, 10, 200, 10], &[]);
    check(
        "b aws:all-bytes-out < 100 300 a2 c3",
        &[200, 200, 10, 10, 200, 10, 10, 10],
        &["610 in-alarm b Count(200)", "2700 cleared b"],
    );
    // Two reports fall into one window.
    check("b aws:all-bytes-out < 300 600", &[10, 200, 200], &["910 in-alarm b Count(400)"]);
    // A lower bound is judged at the end of its window, when nothing else is told.
    check("b aws:all-bytes-out > 100 300", &[200, 50], &["900 in-alarm b Count(50)"]);
}

#[test]
fn an_alarm_that_clears_after_the_last_value_is_seen() {
    let mut world = World::new(&["b aws:all-bytes-out < 100 300"]);
    world.bytes_out(310.0, 200).bytes_out(610.0, 5).advance(900.0);
    let values = &world.log.stored.datapoints;
    let draft = draft(&["b aws:all-bytes-out < 100 300"]);
    assert_eq!(lines(&tested(&draft, values, 0.0, 900.0).firings).len(), 2);
    assert_eq!(lines(&tested(&draft, values, 0.0, 899.0).firings), ["d 310 in-alarm b Count(200)"]);
    // Nothing is heard of it for two days.
    let alone = &values[..1];
    let silent = tested(&draft, alone, 0.0, 200_000.0);
    assert_eq!(silent.firings[0].ended, Some((ViolationEventType::AlarmInvalidated, seconds(173_110.0))));
}

#[test]
fn what_was_on_before_is_no_firing() {
    let mut world = World::new(&["b m < 5"]);
    for (at_s, value) in [(100.0, 9.0), (200.0, 1.0), (300.0, 9.0), (400.0, 9.0), (1_100.0, 1.0), (1_200.0, 9.0)] {
        world.custom(at_s, komainu_detect::ValueRef::Number(value));
    }
    let values = &world.log.stored.datapoints;
    let tested = tested(&draft(&["b m < 5"]), values, 1_000.0, 2_000.0);
    let found = &tested.behaviors[0];
    assert_eq!((found.fired, found.on_before, found.devices), (1, 1, 1));
    assert_eq!(found.slices, [1, 0, 0, 0]);
    assert_eq!(found.first_value_at, Some(seconds(1_100.0)));
    assert_eq!(lines(&tested.firings), ["d 1200 in-alarm b Number(9.0)"]);
}

#[test]
fn it_says_what_it_cannot_judge() {
    let mut world = World::new(&[
        "count aws:num-messages-received < 100 300",
        "size aws:message-byte-size < 1000",
        "from aws:source-ip-address in-cidrs 192.0.2.0/24",
        "bytes aws:all-bytes-out < 100 300",
    ]);
    world.meter(310.0, Meter { messages_received: 200, message_bytes: Some((5, 2_000)), ..Meter::default() });
    world.connected_from(320.0, &["198.51.100.7"]);
    world.report(330.0, Sample { bytes_out: Some(5), ..Sample::default() });
    world.advance(900.0);
    let values = &world.log.stored.datapoints;
    let check = |behavior: &str, fidelity: Fidelity, fired: u64| {
        let tested = tested(&draft(&[behavior]), values, 0.0, 900.0);
        assert_eq!((tested.behaviors[0].fidelity, tested.fired), (fidelity, fired), "{behavior}");
    };
    check("b aws:all-bytes-out < 100 300", Fidelity::Same, 0);
    check("b aws:all-bytes-in < 100 300", Fidelity::NothingStored, 0);
    check("b aws:num-messages-received < 100 300", Fidelity::SameLater, 1);
    check("b aws:num-messages-received < 100 60", Fidelity::Coarse, 1);
    check("b aws:message-byte-size < 1000", Fidelity::Coarse, 1);
    check("b aws:message-byte-size > 10", Fidelity::SmallestNotStored, 0);
    check("b aws:source-ip-address in-cidrs 192.0.2.0/24", Fidelity::Coarse, 1);
    let mut without = draft(&[]);
    Arc::make_mut(&mut without)
        .behaviors
        .push(komainu_model::Behavior { criteria: None, ..behavior("b aws:all-bytes-out < 100 300") });
    assert_eq!(tested(&without, values, 0.0, 900.0).behaviors[0].fidelity, Fidelity::NothingJudged);
}

#[test]
fn only_devices_of_the_profile_are_judged() {
    let value = |name: &str| Datapoint {
        reporter: crate::world::reporter(name),
        metric: komainu_model::Metric::parse("m").unwrap(),
        value: komainu_model::MetricValue::Number(9.0),
        at: seconds(100.0),
    };
    let values = [value("camera"), value("printer"), value("stranger")];
    let place = |reporter: &ReporterName| DevicePlace {
        registered: reporter.as_str() != "stranger",
        groups: [("camera", "eyes")]
            .iter()
            .filter(|(name, _)| *name == reporter.as_str())
            .map(|(_, group)| GroupName::parse(group).unwrap())
            .collect(),
    };
    let check = |target: DetectTarget, expected: &[&str]| {
        let mut draft = profile("p", &["b m < 5"]);
        Arc::make_mut(&mut draft).targets.insert(target.clone());
        let period = BackTestPeriod { from: seconds(0.0), to: seconds(200.0), slices: 1 };
        let mut test = BackTest::new(&scope(), &draft, &place, period);
        assert!(values.iter().all(|value| test.take(value).is_continue()));
        let tested = test.end(true);
        assert_eq!((tested.devices, tested.values), (expected.len() as u64, expected.len() as u64), "{target:?}");
        let found = tested.firings;
        let found: Vec<&str> = found.iter().map(|firing| firing.reporter.as_str()).collect();
        assert_eq!(found, expected, "{target:?}");
    };
    check(DetectTarget::AllThings, &["camera", "printer", "stranger"]);
    check(DetectTarget::RegisteredThings, &["camera", "printer"]);
    check(DetectTarget::UnregisteredThings, &["stranger"]);
    check(DetectTarget::Group(GroupName::parse("eyes").unwrap()), &["camera"]);
    check(DetectTarget::Group(GroupName::parse("ears").unwrap()), &[]);
}

#[test]
fn firings_beyond_the_bound_are_counted() {
    let mut world = World::new(&["b m < 5"]);
    let fired = BACK_TEST_FIRINGS_MAX as u64 + 50;
    for count in 0..fired {
        world.custom(20.0 * count as f64 + 1.0, komainu_detect::ValueRef::Number(9.0));
        world.custom(20.0 * count as f64 + 11.0, komainu_detect::ValueRef::Number(1.0));
    }
    let tested = tested(&draft(&["b m < 5"]), &world.log.stored.datapoints, 0.0, 10_000.0);
    assert_eq!((tested.fired, tested.firings.len()), (fired, BACK_TEST_FIRINGS_MAX));
    assert_eq!(tested.behaviors[0].slices.iter().sum::<u64>(), fired);
    assert!(tested.firings.iter().all(|firing| firing.ended.is_some()));
}
