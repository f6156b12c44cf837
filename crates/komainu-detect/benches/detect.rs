//! How many reports and readings are judged in a second on one core: the detection core alone, ten behaviors for each
//! device, devices in random order.

use std::net::IpAddr;
use std::sync::Arc;

use divan::counter::ItemsCount;
use komainu_detect::{Detector, DetectorLimits, Fleet, Judged, Meter, Sample, Sink, ValueRef, ViolationStep};
use komainu_model::{
    AccountId, Behavior, BehaviorName, Comparison, Criteria, ExpectedValue, IndicatorMatch, Metric, ProfileName,
    Region, ReporterName, Scope, SecurityProfile, Timestamp,
};

fn main() {
    divan::main();
}

/// Every device under one profile of ten device-side or five cloud-side behaviors.
struct BenchFleet(Arc<SecurityProfile>);

impl Fleet for BenchFleet {
    fn generation(&self) -> u64 {
        1
    }

    fn device(&self, _: &Scope, _: &ReporterName) -> Judged {
        Judged { registered: true, profiles: vec![self.0.clone()] }
    }
}

/// Counts what would be written down.
#[derive(Default)]
struct Counter {
    datapoints: u64,
    steps: u64,
}

impl Sink for Counter {
    fn datapoint(&mut self, _: &Scope, _: &ReporterName, _: &Metric, value: ValueRef<'_>, _: Timestamp) {
        divan::black_box(value);
        self.datapoints += 1;
    }

    fn sighted(&mut self, _: &Scope, _: &ReporterName, matches: &[IndicatorMatch]) {
        divan::black_box(matches);
    }

    fn violation(&mut self, _: &Scope, _: ViolationStep) {
        self.steps += 1;
    }
}

fn behavior(name: &str, metric: &str, expected: ExpectedValue, duration_s: Option<u32>) -> Behavior {
    Behavior {
        name: BehaviorName::parse(name).expect("a name"),
        metric: Metric::parse(metric).expect("a metric"),
        criteria: Some(Criteria { expected, duration_s, datapoints_to_alarm: 3, datapoints_to_clear: 3 }),
        suppress_alerts: false,
        export_metric: false,
    }
}

fn fleet(behaviors: Vec<Behavior>) -> BenchFleet {
    BenchFleet(Arc::new(SecurityProfile {
        name: ProfileName::parse("bench").expect("a name"),
        description: None,
        behaviors,
        alert_targets: Vec::new(),
        metrics_to_retain: Vec::new(),
        metrics_export: None,
        targets: [].into(),
        version: 1,
        created_at: Timestamp::from_unix_millis(0),
        modified_at: Timestamp::from_unix_millis(0),
    }))
}

fn device_side() -> BenchFleet {
    let at_most = |limit| ExpectedValue::Count(Comparison::LessThanEquals, limit);
    fleet(vec![
        behavior("bytes-in", "aws:all-bytes-in", at_most(50_000_000), Some(300)),
        behavior("bytes-out", "aws:all-bytes-out", at_most(1_000_000), Some(300)),
        behavior("packets-in", "aws:all-packets-in", at_most(500_000), Some(300)),
        behavior("packets-out", "aws:all-packets-out", at_most(10_000), Some(300)),
        behavior("bytes-out-hour", "aws:all-bytes-out", at_most(5_000_000), Some(3600)),
        behavior("tcp-count", "aws:num-listening-tcp-ports", at_most(10), None),
        behavior("connections", "aws:num-established-tcp-connections", at_most(20), Some(300)),
        behavior(
            "tcp-ports",
            "aws:listening-tcp-ports",
            ExpectedValue::Ports { within: true, set: vec![22, 80, 443, 8080] },
            None,
        ),
        behavior(
            "udp-ports",
            "aws:listening-udp-ports",
            ExpectedValue::Ports { within: true, set: vec![53, 67, 5353] },
            None,
        ),
        behavior(
            "peers",
            "aws:destination-ip-addresses",
            ExpectedValue::Cidrs {
                within: true,
                set: ["10.0.0.0/8", "198.51.100.0/24", "2001:db8::/32"].map(|net| net.parse().expect("a net")).into(),
            },
            None,
        ),
    ])
}

fn cloud_side() -> BenchFleet {
    let at_most = |limit| ExpectedValue::Count(Comparison::LessThanEquals, limit);
    fleet(vec![
        behavior("sent", "aws:num-messages-sent", at_most(100_000), Some(300)),
        behavior("received", "aws:num-messages-received", at_most(100_000), Some(300)),
        behavior("failures", "aws:num-authorization-failures", at_most(100), Some(300)),
        behavior("attempts", "aws:num-connection-attempts", at_most(100), Some(300)),
        behavior("size", "aws:message-byte-size", at_most(4096), None),
    ])
}

fn scope() -> Scope {
    Scope {
        account: AccountId::parse("123456789012").expect("twelve digits"),
        region: Region::parse("us-east-1").expect("a region"),
    }
}

fn reporters(count: usize) -> Vec<ReporterName> {
    (0..count).map(|device| ReporterName::parse(&format!("device-{device:07}")).expect("a name")).collect()
}

/// Goes through `count` devices in an order that no cache foresees.
fn next(place: &mut usize, count: usize) -> usize {
    *place = (*place + 7_368_787) % count;
    *place
}

/// Reports as they come from a fleet in which all is well; every device reports every five minutes.
#[divan::bench(args = [1_000, 100_000], sample_size = 1000)]
fn reports(bencher: divan::Bencher<'_, '_>, devices: usize) {
    let (fleet, scope, reporters) = (device_side(), scope(), reporters(devices));
    let mut sink = Counter::default();
    let mut detector = Detector::new(DetectorLimits::default());
    let mut now_ms = 1_700_000_000_000;
    detector.restored(&fleet, Timestamp::from_unix_millis(now_ms), &mut sink);
    let destinations: Vec<IpAddr> =
        (1..=4u8).map(|host| IpAddr::from([198, 51, 100, host])).chain(["10.0.0.1".parse().expect("an IP")]).collect();
    let step_ms = 300_000.0 / devices as f64;
    let (mut place, mut identity, mut elapsed_ms) = (0, 0, 0.0);
    let mut report = |place: usize, identity: u64, now_ms: i64| {
        let sample = Sample {
            identity,
            bytes_in: Some(20_000 + identity % 1_000),
            bytes_out: Some(5_000 + identity % 777),
            packets_in: Some(300 + identity % 31),
            packets_out: Some(100 + identity % 17),
            listening_tcp_port_count: Some(4),
            listening_udp_port_count: Some(3),
            connection_count: Some(5),
            listening_tcp_ports: Some(&[22, 80, 443, 8080]),
            listening_udp_ports: Some(&[53, 67, 5353]),
            destinations: Some(&destinations),
            custom: &[],
            matches: None,
        };
        let at = Timestamp::from_unix_millis(now_ms);
        if identity.is_multiple_of(1_000) {
            detector.advance(&fleet, Timestamp::from_unix_millis(now_ms - 1_000), &mut sink);
        }
        detector.report(&fleet, &scope, &reporters[place], &sample, at, &mut sink)
    };
    for _ in 0..devices {
        identity += 1;
        report(next(&mut place, devices), identity, now_ms);
    }
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        identity += 1;
        elapsed_ms += step_ms;
        if elapsed_ms >= 1.0 {
            now_ms += elapsed_ms as i64;
            elapsed_ms = elapsed_ms.fract();
        }
        report(next(&mut place, devices), identity, now_ms)
    });
    assert_eq!(sink.steps, 0, "all is well");
}

/// Readings of connected devices, one a second each.
#[divan::bench(args = [1_000, 100_000], sample_size = 1000)]
fn readings(bencher: divan::Bencher<'_, '_>, devices: usize) {
    let (fleet, scope, reporters) = (cloud_side(), scope(), reporters(devices));
    let mut sink = Counter::default();
    let mut detector = Detector::new(DetectorLimits::default());
    let start_ms = 1_700_000_000_000i64;
    detector.restored(&fleet, Timestamp::from_unix_millis(start_ms), &mut sink);
    let (mut place, mut count) = (0, 0i64);
    let meter = Meter { messages_sent: 1, message_bytes: Some((100, 900)), ..Meter::default() };
    for reporter in &reporters {
        detector.meter(&fleet, &scope, reporter, &meter, Timestamp::from_unix_millis(start_ms), &mut sink);
    }
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        count += 1;
        let now_ms = start_ms + count * 1_000 / devices as i64;
        if count % 1_000 == 0 {
            detector.advance(&fleet, Timestamp::from_unix_millis(now_ms - 1_000), &mut sink);
        }
        let reporter = &reporters[next(&mut place, devices)];
        detector.meter(&fleet, &scope, reporter, &meter, Timestamp::from_unix_millis(now_ms), &mut sink);
    });
    assert_eq!(sink.steps, 0, "all is well");
}
