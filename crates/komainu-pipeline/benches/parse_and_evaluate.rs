//! How many reports of a typical agent, 1.2 kB of JSON, are read and judged by ten behaviors in a second on one core.
//! The detection core alone is measured by `komainu-detect`, reading alone by `komainu-report`.

use std::sync::Arc;

use divan::counter::ItemsCount;
use komainu_detect::{Detector, DetectorLimits, Fleet, Judged, Sample, Sink, ValueRef, ViolationStep};
use komainu_model::{
    AccountId, Behavior, BehaviorName, Comparison, Criteria, ExpectedValue, IndicatorMatch, Metric, ProfileName,
    Region, ReporterName, Scope, SecurityProfile, Timestamp,
};
use komainu_report::{CustomValue, parse_json};

const DEVICES: usize = 10_000;

fn main() {
    divan::main();
}

struct BenchFleet(Arc<SecurityProfile>);

impl Fleet for BenchFleet {
    fn generation(&self) -> u64 {
        1
    }

    fn device(&self, _: &Scope, _: &ReporterName) -> Judged {
        Judged { registered: true, profiles: vec![self.0.clone()] }
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn datapoint(&mut self, _: &Scope, _: &ReporterName, _: &Metric, value: ValueRef<'_>, _: Timestamp) {
        divan::black_box(value);
    }

    fn sighted(&mut self, _: &Scope, _: &ReporterName, matches: &[IndicatorMatch]) {
        divan::black_box(matches);
    }

    fn violation(&mut self, _: &Scope, step: ViolationStep) {
        panic!("all is well, but {step:?}");
    }
}

fn profile() -> SecurityProfile {
    let at_most = |limit| ExpectedValue::Count(Comparison::LessThanEquals, limit);
    let ports = |set: &[u16]| ExpectedValue::Ports { within: true, set: set.to_vec() };
    let behavior = |(metric, expected, duration_s): (&str, ExpectedValue, Option<u32>)| Behavior {
        name: BehaviorName::parse(&metric.replace("aws:", "b-")).expect("a name"),
        metric: Metric::parse(metric).expect("a metric"),
        criteria: Some(Criteria { expected, duration_s, datapoints_to_alarm: 3, datapoints_to_clear: 3 }),
        suppress_alerts: false,
        export_metric: false,
    };
    let behaviors = vec![
        ("aws:all-bytes-in", at_most(50_000_000), Some(300)),
        ("aws:all-bytes-out", at_most(50_000_000), Some(300)),
        ("aws:all-packets-in", at_most(500_000), Some(300)),
        ("aws:all-packets-out", at_most(500_000), Some(300)),
        ("aws:num-listening-tcp-ports", at_most(10), None),
        ("aws:num-established-tcp-connections", at_most(20), Some(300)),
        ("aws:listening-tcp-ports", ports(&[22, 80, 443, 8080]), None),
        ("aws:listening-udp-ports", ports(&[53, 67, 5353]), None),
        (
            "aws:destination-ip-addresses",
            ExpectedValue::Cidrs { within: true, set: vec!["198.51.100.0/24".parse().expect("a network")] },
            None,
        ),
        ("cpu_usage", at_most(90), None),
    ];
    SecurityProfile {
        name: ProfileName::parse("bench").expect("a name"),
        description: None,
        behaviors: behaviors.into_iter().map(behavior).collect(),
        alert_targets: Vec::new(),
        metrics_to_retain: Vec::new(),
        metrics_export: None,
        targets: [].into(),
        version: 1,
        created_at: Timestamp::from_unix_millis(0),
        modified_at: Timestamp::from_unix_millis(0),
    }
}

fn report() -> String {
    let ports = |list: &[u16]| -> String {
        let ports: Vec<String> =
            list.iter().map(|port| format!(r#"{{"interface": "eth0", "port": {port}}}"#)).collect();
        format!(r#"{{"ports": [{}], "total": {}}}"#, ports.join(", "), list.len())
    };
    let connections: Vec<String> = (1..=6)
        .map(|n| {
            format!(
                r#"{{"local_interface": "eth0", "local_port": {}, "remote_addr": "198.51.100.{n}:8883"}}"#,
                50_000 + n
            )
        })
        .collect();
    format!(
        r#"{{"header": {{"report_id": 1530304554, "version": "1.0"}}, "metrics": {{"listening_tcp_ports": {}, "listening_udp_ports": {}, "network_stats": {{"bytes_in": 293586, "bytes_out": 26485, "packets_in": 10013, "packets_out": 1138}}, "tcp_connections": {{"established_connections": {{"connections": [{}], "total": 6}}}}}}, "custom_metrics": {{"cpu_usage": [{{"number": 26.1}}]}}}}"#,
        ports(&[22, 80, 443, 8080]),
        ports(&[53, 67, 5353]),
        connections.join(", ")
    )
}

#[divan::bench(sample_size = 1000)]
fn parse_and_evaluate(bencher: divan::Bencher<'_, '_>) {
    let fleet = BenchFleet(Arc::new(profile()));
    let scope = Scope {
        account: AccountId::parse("123456789012").expect("twelve digits"),
        region: Region::parse("us-east-1").expect("a region"),
    };
    let reporters: Vec<ReporterName> =
        (0..DEVICES).map(|device| ReporterName::parse(&format!("device-{device}")).expect("a name")).collect();
    let mut detector = Detector::new(DetectorLimits::default());
    let start_ms = 1_700_000_000_000i64;
    detector.restored(&fleet, Timestamp::from_unix_millis(start_ms), &mut Nowhere);
    let payload = report();
    let mut count = 0u64;
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        count += 1;
        let parsed = parse_json(divan::black_box(payload.as_bytes())).expect("the report is whole");
        let report = &parsed.report;
        let custom: Vec<(&str, ValueRef<'_>)> = report
            .custom
            .iter()
            .map(|metric| match &metric.value {
                CustomValue::Number(number) => (metric.name.as_str(), ValueRef::Number(*number)),
                other => panic!("the report has one number, not {other:?}"),
            })
            .collect();
        let sample = Sample {
            identity: count,
            bytes_in: report.network.bytes_in,
            bytes_out: report.network.bytes_out,
            packets_in: report.network.packets_in,
            packets_out: report.network.packets_out,
            listening_tcp_port_count: report.listening_tcp_port_count,
            listening_udp_port_count: report.listening_udp_port_count,
            connection_count: report.connection_count,
            listening_tcp_ports: report.listening_tcp_ports.as_deref(),
            listening_udp_ports: report.listening_udp_ports.as_deref(),
            destinations: report.destinations.as_deref(),
            matches: None,
            custom: &custom,
        };
        let place = (count as usize).wrapping_mul(7_368_787) % DEVICES;
        let at = Timestamp::from_unix_millis(start_ms + count as i64 * 300_000 / DEVICES as i64);
        detector.report(&fleet, &scope, &reporters[place], &sample, at, &mut Nowhere)
    });
}
