//! `komainu:indicator-matches`.

use komainu_detect::{Detector, DetectorLimits, Meter, Sample};
use komainu_model::{IndicatorId, IndicatorMatch, Remote, SightingWay};

use crate::world::{Log, World, reporter, scope, seconds};

const BEHAVIOR: &str = "met komainu:indicator-matches < 1";

fn found(numbers: &[u8]) -> Vec<IndicatorMatch> {
    let one = |number: &u8| IndicatorMatch {
        indicator: IndicatorId::from_bytes([*number; 16]),
        remote: Remote::parse(&format!("203.0.113.{number}:23")).unwrap(),
        way: SightingWay::Report,
        seen_at: seconds(0.0),
        sample: None,
    };
    numbers.iter().map(one).collect()
}

/// `KIND SECONDS NUMBER` of what was found: the value is long.
#[track_caller]
fn check(world: &mut World, expected: &[&str]) {
    let short = |line: &String| match line.split_once(" Matches(") {
        Some((head, value)) => format!("{head} {}", value.matches("IndicatorMatch {").count()),
        None => line.clone(),
    };
    let lines: Vec<String> = std::mem::take(&mut world.log.lines).iter().map(short).collect();
    assert_eq!(lines, expected);
}

fn report(world: &mut World, at_s: f64, numbers: &[u8]) {
    world.report(at_s, Sample { matches: Some(&found(numbers)), ..Sample::default() });
}

#[test]
fn each_report_is_judged() {
    let mut world = World::new(&[BEHAVIOR]);
    report(&mut world, 10.0, &[]);
    check(&mut world, &[]);
    report(&mut world, 20.0, &[1, 2]);
    check(&mut world, &["sighted 203.0.113.1:23 203.0.113.2:23", "20 in-alarm met 2"]);
    report(&mut world, 30.0, &[1]);
    check(&mut world, &["sighted 203.0.113.1:23", "30 still met 1"]);
    // A report that says nothing of whom the device is in contact with is no datapoint.
    world.bytes_out(40.0, 1);
    check(&mut world, &[]);
    report(&mut world, 50.0, &[]);
    check(&mut world, &["50 cleared met 0"]);
}

#[test]
fn the_largest_number_of_a_window_counts() {
    let mut world = World::new(&["met komainu:indicator-matches < 2 300"]);
    report(&mut world, 10.0, &[1]);
    report(&mut world, 20.0, &[1, 2]);
    check(&mut world, &["sighted 203.0.113.1:23", "sighted 203.0.113.1:23 203.0.113.2:23", "20 in-alarm met 2"]);
    // The same window: its largest number is known.
    report(&mut world, 30.0, &[]);
    world.advance(300.0);
    check(&mut world, &[]);
    report(&mut world, 310.0, &[1]);
    world.advance(600.0);
    check(&mut world, &["sighted 203.0.113.1:23", "600 cleared met Count(1)"]);
}

#[test]
fn a_device_without_such_a_behavior_is_seen_all_the_same() {
    let mut world = World::new(&["bytesOut aws:all-bytes-out < 10 300"]);
    report(&mut world, 10.0, &[1]);
    check(&mut world, &["sighted 203.0.113.1:23"]);
    assert!(world.kept().is_empty());
}

#[test]
fn what_is_found_looking_back_is_one_datapoint() {
    let mut world = World::new(&[BEHAVIOR]);
    report(&mut world, 10.0, &[]);
    let World { fleet, detector, log, .. } = &mut world;
    detector.looked_back(fleet, &scope(), &reporter("d"), &found(&[7]), seconds(20.0), log);
    check(&mut world, &["sighted 203.0.113.7:23", "20 in-alarm met 1"]);
    report(&mut world, 30.0, &[]);
    check(&mut world, &["30 cleared met 0"]);
}

#[test]
fn an_address_that_the_device_comes_from_stays_for_its_window() {
    let mut world = World::new(&[BEHAVIOR]);
    let matches = found(&[9]);
    for second in 1..5 {
        world.meter(f64::from(second), Meter { matches: &matches, ..Meter::default() });
    }
    check(&mut world, &["sighted 203.0.113.9:23", "1 in-alarm met 1"]);
    report(&mut world, 10.0, &[9]);
    report(&mut world, 20.0, &[]);
    check(&mut world, &["sighted 203.0.113.9:23", "10 still met 1", "sighted 203.0.113.9:23", "20 still met 1"]);
    report(&mut world, 310.0, &[]);
    check(&mut world, &["310 cleared met 0"]);
}

#[test]
fn a_restart_changes_nothing() {
    let mut world = World::new(&[&format!("{BEHAVIOR} c2")]);
    report(&mut world, 10.0, &[1]);
    report(&mut world, 20.0, &[]);
    let stored = world.log.stored.clone();
    let mut detector = Detector::new(DetectorLimits::default());
    for active in stored.active.values() {
        detector.restore_violation(&scope(), active.clone());
    }
    for datapoint in &stored.datapoints {
        detector.replay(&world.fleet, &scope(), datapoint);
    }
    let mut log = Log { stored, ..Log::default() };
    detector.restored(&world.fleet, seconds(25.0), &mut log);
    assert_eq!(log.lines, [""; 0]);
    (world.detector, world.log) = (detector, log);
    report(&mut world, 30.0, &[]);
    check(&mut world, &["30 cleared met 0"]);
}
