//! The life of an alarm.

use std::sync::Arc;

use komainu_detect::{Detector, DetectorLimits, Sample};
use komainu_model::{SecurityProfile, VerificationState};

use crate::world::{Log, World, profile, scope, seconds};

const DAY_S: f64 = 86_400.0;

fn ports(world: &mut World, at_s: f64, count: u64) {
    world.report(at_s, Sample { listening_tcp_port_count: Some(count), ..Sample::default() });
}

#[test]
fn datapoints_in_a_row_raise_and_clear() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3 a3 c2"]);
    let mut check = |values: &[u64], expected: &[&str]| {
        for value in values {
            let at_s = world.log.stored.datapoints.len() as f64 + 1.0;
            ports(&mut world, at_s, *value);
        }
        world.found(expected);
    };
    check(&[9, 9, 1, 9, 9], &[]);
    check(&[8], &["6 in-alarm b Count(8)"]);
    check(&[1, 9, 1], &["8 still b Count(9)"]);
    check(&[2], &["10 cleared b Count(2)"]);
    // After that it begins from the beginning.
    check(&[9, 9], &[]);
    check(&[9], &["13 in-alarm b Count(9)"]);
}

#[test]
fn a_violation_has_one_identity_and_the_next_another() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
    let ids = |world: &World| world.log.stored.active.keys().cloned().collect::<Vec<_>>();
    ports(&mut world, 1.0, 9);
    let first = ids(&world);
    ports(&mut world, 2.0, 9);
    assert_eq!(ids(&world), first);
    ports(&mut world, 3.0, 1);
    ports(&mut world, 4.0, 9);
    assert_ne!(ids(&world), first);
    assert_eq!(first[0].len(), 36);
    // The same happens again elsewhere: the same identity.
    let mut again = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
    ports(&mut again, 1.0, 9);
    assert_eq!(ids(&again), first);
    let mut unregistered = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
    unregistered.fleet.registered = false;
    ports(&mut unregistered, 1.0, 9);
    assert_ne!(ids(&unregistered), first);
}

#[test]
fn an_alarm_without_data_is_invalidated_after_two_days() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
    ports(&mut world, 10.0, 9);
    ports(&mut world, 20.0, 8);
    world.found(&["10 in-alarm b Count(9)", "20 still b Count(8)"]);
    world.advance(2.0 * DAY_S).found(&[]);
    world.advance(2.0 * DAY_S + 20.0).found(&["172820 invalidated b Count(8)"]);
    assert_eq!(world.detector.devices(), 0, "a silent device without an alarm is forgotten");
}

#[test]
fn what_is_no_longer_judged_is_invalidated() {
    fn check(change: impl FnOnce(&mut World), expected: &[&str]) {
        let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
        ports(&mut world, 10.0, 9);
        world.found(&["10 in-alarm b Count(9)"]);
        change(&mut world);
        // Without waiting for the device.
        world.advance(11.0).found(expected);
    }
    let gone = &["11 invalidated b Count(9)"];
    check(|world| world.set_profiles(vec![]), gone);
    check(|world| world.set_profiles(vec![profile("p", &[])]), gone);
    check(|world| world.set_profiles(vec![profile("q", &["b aws:num-listening-tcp-ports <= 3"])]), gone);
    check(|world| world.set_profiles(vec![profile("p", &["b aws:num-listening-udp-ports <= 3"])]), gone);
    check(
        |world| {
            world.fleet.registered = false;
            world.fleet.generation += 1;
        },
        gone,
    );
    check(|world| world.fleet.generation += 1, &[]);
    check(|world| world.set_profiles(vec![profile("p", &["b aws:num-listening-tcp-ports <= 3"])]), &[]);
    check(|world| world.set_profiles(vec![profile("p", &["a m < 1", "b aws:num-listening-tcp-ports <= 8"])]), &[]);
}

#[test]
fn a_new_limit_counts_from_the_next_datapoint() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3 a2"]);
    ports(&mut world, 1.0, 9);
    world.set_profiles(vec![profile("p", &["b aws:num-listening-tcp-ports <= 5 a2"])]);
    ports(&mut world, 2.0, 9);
    world.found(&["2 in-alarm b Count(9)"]);
    world.set_profiles(vec![profile("p", &["b aws:num-listening-tcp-ports <= 10 a2"])]);
    ports(&mut world, 3.0, 9);
    world.found(&["3 cleared b Count(9)"]);
}

#[test]
fn whether_people_are_told_follows_the_profile() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
    ports(&mut world, 1.0, 9);
    let suppressed = |world: &World| {
        let mut active = world.log.stored.active.values();
        active.next().map(|violation| violation.behavior.suppress_alerts)
    };
    assert_eq!(suppressed(&world), Some(false));
    let mut changed = SecurityProfile::clone(&world.fleet.profiles[0]);
    changed.behaviors[0].suppress_alerts = true;
    world.set_profiles(vec![Arc::new(changed)]);
    ports(&mut world, 2.0, 10);
    assert_eq!(suppressed(&world), Some(true));
}

#[test]
fn profiles_judge_side_by_side() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
    let other = profile("q", &["b aws:num-listening-tcp-ports <= 1"]);
    let both = vec![world.fleet.profiles[0].clone(), other];
    world.set_profiles(both);
    ports(&mut world, 1.0, 2);
    world.found(&["1 in-alarm b Count(2)"]);
    ports(&mut world, 2.0, 9);
    world.found(&["2 in-alarm b Count(9)", "2 still b Count(9)"]);
}

#[test]
fn devices_over_the_bound_take_the_place_of_silent_ones_or_are_named() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
    world.detector = Detector::new(DetectorLimits { devices_max: 2 });
    world.detector.restored(&world.fleet, seconds(0.0), &mut world.log);
    let mut send = |device: &str, at_s: f64, count: u64| {
        let sample = Sample { listening_tcp_port_count: Some(count), ..Sample::default() };
        let reporter = crate::world::reporter(device);
        world.detector.report(&world.fleet, &scope(), &reporter, &sample, seconds(at_s), &mut world.log).dropped.len()
    };
    assert_eq!([send("alarmed", 1.0, 9), send("quiet", 2.0, 1), send("third", 3.0, 9)], [0, 0, 1]);
    assert_eq!([send("third", 700.0, 1), send("fourth", 700.0, 1)], [0, 1]);
    assert_eq!((world.detector.devices(), world.detector.refused()), (2, 2));
    assert_eq!(world.log.stored.active.len(), 1);
}

/// Starts anew from what was stored.
fn restarted(world: &mut World, at_s: f64) {
    let stored = std::mem::take(&mut world.log.stored);
    world.detector = Detector::new(DetectorLimits::default());
    for active in stored.active.values() {
        world.detector.restore_violation(&scope(), active.clone());
    }
    for datapoint in &stored.datapoints {
        world.detector.replay(&world.fleet, &scope(), datapoint);
    }
    world.log = Log { lines: Vec::new(), stored };
    world.detector.restored(&world.fleet, seconds(at_s), &mut world.log);
}

#[test]
fn a_restart_forgets_nothing_and_repeats_nothing() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3 a2 c2", "s aws:all-bytes-out < 1000 300"]);
    ports(&mut world, 301.0, 9);
    restarted(&mut world, 302.0);
    ports(&mut world, 303.0, 8);
    world.found(&["303 in-alarm b Count(8)"]);
    restarted(&mut world, 304.0);
    world.found(&[]);
    ports(&mut world, 305.0, 1);
    restarted(&mut world, 306.0);
    ports(&mut world, 307.0, 2);
    world.found(&["307 cleared b Count(2)"]);
    world.bytes_out(310.0, 900).found(&[]);
    restarted(&mut world, 311.0);
    world.bytes_out(312.0, 100).found(&["312 in-alarm s Count(1000)"]);
    restarted(&mut world, 313.0);
    world.bytes_out(314.0, 5).found(&[]);
}

#[test]
fn windows_that_ended_while_the_server_was_away_are_told_at_its_start() {
    let mut world = World::new(&["low aws:all-bytes-out > 1000 300", "high aws:all-bytes-out < 1000 300"]);
    world.bytes_out(310.0, 400).found(&[]);
    restarted(&mut world, 5_000.0);
    world.found(&["600 in-alarm low Count(400)"]);
    restarted(&mut world, 5_001.0);
    world.found(&[]);

    world.bytes_out(5_110.0, 2_000).found(&["5110 in-alarm high Count(2000)"]);
    world.advance(5_400.0).found(&["5400 cleared low Count(2000)"]);
    world.bytes_out(5_410.0, 10);
    restarted(&mut world, 9_000.0);
    world.found(&["5700 in-alarm low Count(10)", "5700 cleared high Count(10)"]);
}

#[test]
fn a_profile_that_came_later_is_not_applied_to_the_past() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 100"]);
    ports(&mut world, 1.0, 9);
    ports(&mut world, 2.0, 9);
    world.set_profiles(vec![profile("p", &["b aws:num-listening-tcp-ports <= 3"])]);
    restarted(&mut world, 3.0);
    world.found(&[]);
    ports(&mut world, 4.0, 8);
    world.found(&["4 in-alarm b Count(8)"]);
}

#[test]
fn a_report_that_is_sent_again_after_a_restart_counts_once() {
    let mut world = World::new(&["b aws:all-bytes-out < 1000 300"]);
    world.bytes_out(301.0, 600);
    restarted(&mut world, 302.0);
    world.bytes_out(303.0, 600).found(&[]);
    world.bytes_out(303.5, 601).found(&["303.5 in-alarm b Count(1201)"]);
}

#[test]
fn alarms_of_profiles_that_are_gone_end_at_the_start() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
    ports(&mut world, 1.0, 9);
    world.found(&["1 in-alarm b Count(9)"]);
    world.set_profiles(vec![]);
    restarted(&mut world, 50.0);
    world.found(&["50 invalidated b Count(9)"]);
}

#[test]
fn what_people_found_out_stays_with_the_alarm() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
    ports(&mut world, 1.0, 9);
    for active in world.log.stored.active.values_mut() {
        active.verification = VerificationState::TruePositive;
        active.verification_description = Some("seen it".to_owned());
    }
    restarted(&mut world, 2.0);
    ports(&mut world, 3.0, 8);
    let active = world.log.stored.active.values().next().unwrap();
    assert_eq!(active.verification, VerificationState::TruePositive);
    assert_eq!(active.verification_description.as_deref(), Some("seen it"));
}

#[test]
fn devices_with_the_same_profiles_share_a_program() {
    // What is held for a device is small: a million of them fit.
    let mut world = World::new(&["b aws:all-bytes-out < 1000 300"]);
    let profile = Arc::downgrade(&world.fleet.profiles[0]);
    for device in 0..1_000 {
        let reporter = crate::world::reporter(&format!("d{device}"));
        let sample = Sample { bytes_out: Some(1), ..Sample::default() };
        world.detector.report(&world.fleet, &scope(), &reporter, &sample, seconds(301.0), &mut world.log);
    }
    assert_eq!(profile.strong_count(), 2);
    assert_eq!(world.detector.devices(), 1_000);
}
