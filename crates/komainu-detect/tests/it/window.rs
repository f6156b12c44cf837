//! Which values belong together: windows of device-side metrics.

use komainu_detect::{Sample, ValueRef};

use crate::world::World;

#[test]
fn a_single_report_over_the_limit_alarms_at_once_and_once() {
    let mut world = World::new(&["b aws:all-bytes-out < 10000 300"]);
    world.bytes_out(310.0, 20_000).found(&["310 in-alarm b Count(20000)"]);
    // More in the same window is the same datapoint; its sum is known when the window has ended.
    world.bytes_out(320.0, 5).found(&[]);
    world.advance(599.9).found(&[]);
    world.advance(600.0).found(&["310 still b Count(20005)"]);
    // Silence is no datapoint; a conforming window is.
    world.advance(1200.0).found(&[]);
    world.bytes_out(1210.0, 9_999).found(&[]);
    world.advance(1500.0).found(&["1500 cleared b Count(9999)"]);
}

#[test]
fn the_sum_of_a_window_is_judged_not_its_reports() {
    let mut world = World::new(&["b aws:all-bytes-out < 10000 300", "c aws:all-bytes-out <= 10000 300"]);
    for at_s in [305.0, 365.0, 425.0, 485.0] {
        world.bytes_out(at_s, 2_500);
    }
    world.found(&["485 in-alarm b Count(10000)"]);
    world.advance(600.0).found(&[]);
    for at_s in [605.0, 665.0, 725.0, 785.0] {
        world.bytes_out(at_s, 2_499);
    }
    world.found(&[]);
    world.advance(900.0).found(&["900 cleared b Count(9996)"]);
}

#[test]
fn a_lower_bound_is_judged_when_the_window_ends() {
    let mut world = World::new(&["b aws:all-bytes-out > 1000 300"]);
    world.bytes_out(310.0, 400).found(&[]);
    world.advance(600.0).found(&["600 in-alarm b Count(400)"]);
    world.bytes_out(610.0, 1000).found(&[]);
    world.bytes_out(650.0, 1).found(&[]);
    world.advance(900.0).found(&["900 cleared b Count(1001)"]);
}

#[test]
fn a_lower_bound_is_not_judged_by_a_part_of_a_window() {
    // A device that reports every five seconds is heard of for the first time at the end of a window.
    let mut world = World::new(&["b aws:all-bytes-out > 1000 300"]);
    for step in 0..4 {
        world.bytes_out(580.0 + 5.0 * f64::from(step), 10);
    }
    world.advance(600.0).found(&[]);
    for step in 0..60 {
        world.bytes_out(601.0 + 5.0 * f64::from(step), 10);
    }
    world.advance(900.0).found(&["900 in-alarm b Count(600)"]);
}

#[test]
fn reports_about_once_a_window_are_neither_doubled_nor_lost() {
    // 6,000 bytes in every report. Two in one sum would be over the limit.
    fn check(interval_s: f64, start_s: f64) {
        let mut world = World::new(&["b aws:all-bytes-out < 10000 300", "c aws:all-bytes-out > 5000 300"]);
        for count in 0..2_000 {
            world.bytes_out(start_s + interval_s * f64::from(count), 6_000);
        }
        assert_eq!(world.log.lines, Vec::<String>::new(), "every {interval_s} s from {start_s} s");
    }
    for interval_s in [300.0, 299.5, 300.5, 280.0, 320.0, 250.0] {
        for start_s in [300.0, 300.1, 450.0, 599.9] {
            check(interval_s, start_s);
        }
    }
}

#[test]
fn jitter_across_the_bounds_of_windows_changes_nothing() {
    let mut world = World::new(&["b aws:all-bytes-out < 10000 300", "c aws:all-bytes-out > 5000 300"]);
    for (count, jitter_s) in (0..1_000).zip([-0.8, 0.9, -0.1, 0.0, 0.7, -0.6, 0.3].iter().cycle()) {
        world.bytes_out(300.0 * f64::from(count + 1) + jitter_s, 6_000);
    }
    world.found(&[]);
}

#[test]
fn values_of_the_moment_without_a_window_are_judged_report_by_report() {
    let mut world = World::new(&["b aws:num-listening-tcp-ports <= 3"]);
    let mut report = |at_s: f64, count: u64, expected: &[&str]| {
        world.report(at_s, Sample { listening_tcp_port_count: Some(count), ..Sample::default() });
        world.found(expected);
    };
    report(1.0, 4, &["1 in-alarm b Count(4)"]);
    report(2.0, 5, &["2 still b Count(5)"]);
    report(3.0, 3, &["3 cleared b Count(3)"]);
}

#[test]
fn of_values_in_a_window_the_last_one_counts() {
    let mut world = World::new(&["b m <= 3 300 c1"]);
    let number = ValueRef::Number;
    // A report without a known predecessor is taken for the only one of its window.
    world.custom(310.0, number(9.0));
    world.found(&["310 in-alarm b Number(9.0)"]);
    // Others follow quickly: the last one is waited for.
    world.custom(370.0, number(9.0));
    world.custom(430.0, number(2.0));
    world.custom(490.0, number(9.0));
    world.found(&[]);
    // No other is expected in this window after this one.
    world.custom(550.0, number(3.0));
    world.found(&["550 cleared b Number(3.0)"]);
    world.custom(610.0, number(9.0));
    world.found(&[]);
    // The device falls silent: what was last is judged at the end.
    world.advance(900.0).found(&["900 in-alarm b Number(9.0)"]);
}

#[test]
fn empty_lists_clear() {
    let mut world = World::new(&["b aws:listening-tcp-ports in-ports 443"]);
    world.report(1.0, Sample { listening_tcp_ports: Some(&[23, 443]), ..Sample::default() });
    world.found(&["1 in-alarm b Ports([23, 443])"]);
    world.report(2.0, Sample::default());
    world.found(&[]);
    world.report(3.0, Sample { listening_tcp_ports: Some(&[]), ..Sample::default() });
    world.found(&["3 cleared b Ports([])"]);
}

#[test]
fn the_same_report_again_counts_once() {
    let mut world = World::new(&["b aws:all-bytes-out < 10000 300"]);
    let sample = Sample { identity: 77, bytes_out: Some(6_000), ..Sample::default() };
    let mut send = |at_s: f64| {
        let (scope, reporter) = (crate::world::scope(), crate::world::reporter("d"));
        let at = crate::world::seconds(at_s);
        world.detector.report(&world.fleet, &scope, &reporter, &sample, at, &mut world.log).repeated
    };
    assert_eq!([send(301.0), send(302.0), send(311.0)], [false, true, true]);
    // Later it is a new report of a device that does not number its reports.
    assert!(!send(320.0));
    world.found(&["320 in-alarm b Count(12000)"]);
    assert_eq!(world.kept().len(), 2);
}

#[test]
fn counters_that_only_grow_are_named() {
    let mut world = World::new(&[]);
    let mut report = |count: u32, bytes_out: u64| {
        let sample = Sample { bytes_in: Some(7), bytes_out: Some(bytes_out), ..Sample::default() };
        world.report(f64::from(count) * 300.0, sample).warnings.len()
    };
    let mut warnings = Vec::new();
    for count in 0..12 {
        warnings.push(report(count, 1_000_000 + u64::from(count)));
    }
    assert_eq!(warnings, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(report(12, 5), 0);
    // A quiet device whose numbers do not change is not counting upwards.
    assert_eq!((13..40).map(|count| report(count, 5)).sum::<usize>(), 0);
}

#[test]
fn what_is_judged_or_asked_for_is_kept_and_nothing_else() {
    let mut world = World::new(&["b aws:all-bytes-out < 10 300", "c m < 1"]).retain("aws:listening-tcp-ports");
    let sample = Sample {
        bytes_in: Some(1),
        bytes_out: Some(2),
        listening_tcp_ports: Some(&[22]),
        custom: &[("m", ValueRef::Number(0.5)), ("other", ValueRef::Number(1.0))],
        ..Sample::default()
    };
    world.report(301.0, sample);
    assert_eq!(
        world.kept(),
        ["aws:all-bytes-out=Count(2)@301", "aws:listening-tcp-ports=Ports([22])@301", "m=Number(0.5)@301"]
    );
}

#[test]
fn a_report_stamped_before_what_is_closed_counts_now() {
    let mut world = World::new(&["b aws:all-bytes-out < 10000 300"]);
    world.bytes_out(400.0, 9_999).advance(600.0).bytes_out(599.0, 9_999).found(&[]);
    assert_eq!(world.kept(), ["aws:all-bytes-out=Count(9999)@400", "aws:all-bytes-out=Count(9999)@600"]);
}
