//! Fleets in virtual time: reports are lost, late and repeated, and the server is restarted. What is found must have
//! a cause, and a restart must not change it.

use komainu_detect::{Detector, DetectorLimits, Sample, Sink};
use komainu_model::Timestamp;

use crate::world::{Log, Stored, TestFleet, profile, reporter, scope};

pub(crate) const BEHAVIORS: [&str; 6] = [
    "bytes aws:all-bytes-out < 10000 300 a2 c2",
    "alive aws:all-bytes-out > 100 600",
    "packets aws:all-packets-in <= 500 900 c3",
    "ports aws:listening-tcp-ports in-ports 22,443 a2",
    "connections aws:num-established-tcp-connections < 8 300 c2",
    "peers aws:destination-ip-addresses not-in-cidrs 198.51.100.0/24",
];
const DEVICES: u64 = 12;
const HOURS: i64 = 6;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// One run. `restarts` says how often of 100 arrivals the server is killed after.
pub(crate) fn run(seed: u64, restarts: u64) -> Stored {
    let fleet = TestFleet { generation: 1, registered: true, profiles: vec![profile("p", &BEHAVIORS)] };
    let start_ms = 1_700_000_000_000;
    let mut log = Log::default();
    let mut detector = Detector::new(DetectorLimits::default());
    detector.restored(&fleet, Timestamp::from_unix_millis(start_ms), &mut log);
    let mut chance = Chance(seed);
    let mut restart_chance = Chance(seed ^ 0xdead);

    // Arrivals: when, who, which report.
    let mut arrivals = Vec::new();
    for device in 0..DEVICES {
        let interval_ms = [60_000, 299_500, 300_000, 300_500][device as usize % 4];
        let offset_ms = chance.below(300_000) as i64;
        for count in 0..HOURS * 3_600_000 / interval_ms {
            let late_ms = if chance.below(10) == 0 { chance.below(20_000) } else { chance.below(500) } as i64;
            let at_ms = start_ms + offset_ms + count * interval_ms + late_ms;
            let (identity, kind) = (chance.next(), chance.below(100));
            if kind < 5 {
                continue;
            }
            arrivals.push((at_ms, device, identity));
            if kind < 10 {
                arrivals.push((at_ms + chance.below(3_000) as i64, device, identity));
            }
        }
    }
    arrivals.sort_unstable();

    let mut now_ms = start_ms;
    for (at_ms, device, identity) in arrivals {
        while now_ms + 1_000 < at_ms {
            now_ms += 1_000;
            detector.advance(&fleet, Timestamp::from_unix_millis(now_ms - 1_000), &mut log);
        }
        report(&mut detector, &fleet, at_ms, device, identity, &mut log);
        if restart_chance.below(100) < restarts {
            detector = restart(&fleet, at_ms, &mut log);
        }
    }
    detector.advance(&fleet, Timestamp::from_unix_millis(start_ms + (HOURS + 2) * 3_600_000), &mut log);
    log.stored
}

/// What a device reports follows from the number of the report.
fn report(detector: &mut Detector, fleet: &TestFleet, at_ms: i64, device: u64, identity: u64, sink: &mut dyn Sink) {
    let mut chance = Chance(identity);
    let attacked = (at_ms / 1_800_000 + device as i64) % 5 == 0;
    let ports: &[u16] = if attacked && chance.below(2) == 0 { &[22, 23] } else { &[22, 443] };
    let peers = if attacked { ["198.51.100.7".parse().unwrap()] } else { ["192.0.2.1".parse().unwrap()] };
    let sample = Sample {
        identity,
        bytes_out: Some(if attacked { 4_000 + chance.below(9_000) } else { chance.below(3_000) }),
        packets_in: Some(chance.below(200)),
        connection_count: Some(chance.below(10)),
        listening_tcp_ports: Some(ports),
        destinations: Some(&peers),
        ..Sample::default()
    };
    let (name, at) = (reporter(&format!("d{device}")), Timestamp::from_unix_millis(at_ms));
    detector.report(fleet, &scope(), &name, &sample, at, sink);
}

/// The server is killed and starts again from what is stored.
fn restart(fleet: &TestFleet, now_ms: i64, log: &mut Log) -> Detector {
    let mut detector = Detector::new(DetectorLimits::default());
    for active in log.stored.active.values() {
        detector.restore_violation(&scope(), active.clone());
    }
    let horizon = Detector::replay_horizon(fleet.profiles.iter().map(AsRef::as_ref));
    let since = Timestamp::from_unix_millis(now_ms).minus(horizon);
    for datapoint in log.stored.datapoints.iter().filter(|datapoint| datapoint.at >= since) {
        detector.replay(fleet, &scope(), datapoint);
    }
    detector.restored(fleet, Timestamp::from_unix_millis(now_ms - 1_000), log);
    detector
}

#[test]
fn restarts_change_nothing() {
    for seed in 0..20 {
        let undisturbed = run(seed, 0);
        assert!(undisturbed.events.len() > 50, "seed {seed}: only {} events", undisturbed.events.len());
        let restarted = run(seed, 2);
        let (told, retold) = (sorted(&undisturbed.events), sorted(&restarted.events));
        let missing: Vec<_> = told.iter().filter(|event| !retold.contains(event)).collect();
        let invented: Vec<_> = retold.iter().filter(|event| !told.contains(event)).collect();
        assert!(told == retold, "seed {seed}: missing {missing:?}, invented {invented:?}");
        assert_eq!(undisturbed.active, restarted.active, "seed {seed}");
        let (counted, recounted) = (undisturbed.datapoints.len(), restarted.datapoints.len());
        assert!(undisturbed.datapoints == restarted.datapoints, "seed {seed}: {counted} values, {recounted}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_another() {
    assert_eq!(run(7, 1), run(7, 1));
    assert_ne!(run(7, 0).events, run(8, 0).events);
}

#[test]
fn a_violation_has_a_cause_and_ends_once() {
    for seed in 100..110 {
        let stored = run(seed, 1);
        let mut open = std::collections::BTreeSet::new();
        for event in &stored.events {
            let words: Vec<&str> = event.split(' ').collect();
            let key = (words[0].to_owned(), words[3].to_owned());
            match words[2] {
                "in-alarm" => assert!(open.insert(key), "seed {seed}: raised twice: {event}"),
                _ => assert!(open.remove(&key), "seed {seed}: ended without a beginning: {event}"),
            }
            if words[2] == "in-alarm" && words[3] == "peers" {
                assert!(event.contains("198.51.100.7"), "seed {seed}: {event}");
            }
        }
        assert_eq!(open.len(), stored.active.len(), "seed {seed}");
    }
}

/// Events that become known at a restart are told in another order than those that become known one by one.
fn sorted(events: &[String]) -> Vec<String> {
    let mut events = events.to_vec();
    events.sort();
    events
}
