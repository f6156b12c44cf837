//! A small fleet whose detection is written down line by line.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use komainu_detect::{
    Detector, DetectorLimits, Fleet, Judged, Meter, ReportOutcome, Sample, Sink, ValueRef, ViolationStep,
};
use komainu_model::{
    AccountId, ActiveViolation, Behavior, BehaviorName, Comparison, Criteria, Datapoint, ExpectedValue, IndicatorMatch,
    Metric, MetricToRetain, ProfileName, Region, ReporterName, Scope, SecurityProfile, Timestamp, ViolationEventType,
};

pub(crate) fn scope() -> Scope {
    Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("us-east-1").unwrap() }
}

pub(crate) fn reporter(name: &str) -> ReporterName {
    ReporterName::parse(name).unwrap()
}

/// `NAME METRIC OPERATOR VALUE [WINDOW_S] [aN] [cN]`: N datapoints to alarm, to clear.
pub(crate) fn behavior(text: &str) -> Behavior {
    let words: Vec<&str> = text.split(' ').collect();
    let [name, metric, operator, value, options @ ..] = &words[..] else { panic!("{text}") };
    let metric = Metric::parse(metric).unwrap();
    let within = !operator.starts_with("not-");
    let list = || value.split(',').filter(|item| !item.is_empty());
    let comparison = match *operator {
        "<" => Some(Comparison::LessThan),
        "<=" => Some(Comparison::LessThanEquals),
        ">" => Some(Comparison::GreaterThan),
        ">=" => Some(Comparison::GreaterThanEquals),
        _ => None,
    };
    let expected = match (comparison, *operator) {
        (Some(comparison), _) => match (value.parse(), value.parse()) {
            (Ok(count), _) => ExpectedValue::Count(comparison, count),
            (_, Ok(number)) => ExpectedValue::Number(comparison, number),
            (Err(_), Err(_)) => panic!("{text}"),
        },
        (None, "in-cidrs" | "not-in-cidrs") => {
            ExpectedValue::Cidrs { within, set: list().map(|cidr| cidr.parse().unwrap()).collect() }
        }
        (None, "in-ports" | "not-in-ports") => {
            ExpectedValue::Ports { within, set: list().map(|port| port.parse().unwrap()).collect() }
        }
        (None, "in-numbers" | "not-in-numbers") => {
            ExpectedValue::Numbers { within, set: list().map(|number| number.parse().unwrap()).collect() }
        }
        (None, "in-strings" | "not-in-strings") => {
            ExpectedValue::Strings { within, set: list().map(str::to_owned).collect() }
        }
        (None, _) => panic!("{text}"),
    };
    let mut criteria = Criteria { expected, duration_s: None, datapoints_to_alarm: 1, datapoints_to_clear: 1 };
    for option in options {
        match option.split_at(1) {
            ("a", count) => criteria.datapoints_to_alarm = count.parse().unwrap(),
            ("c", count) => criteria.datapoints_to_clear = count.parse().unwrap(),
            _ => criteria.duration_s = Some(option.parse().unwrap()),
        }
    }
    Behavior {
        name: BehaviorName::parse(name).unwrap(),
        metric,
        criteria: Some(criteria),
        suppress_alerts: false,
        export_metric: false,
    }
}

pub(crate) fn profile(name: &str, behaviors: &[&str]) -> Arc<SecurityProfile> {
    Arc::new(SecurityProfile {
        name: ProfileName::parse(name).unwrap(),
        description: None,
        behaviors: behaviors.iter().map(|text| behavior(text)).collect(),
        alert_targets: Vec::new(),
        metrics_to_retain: Vec::new(),
        metrics_export: None,
        targets: [].into(),
        version: 1,
        created_at: Timestamp::from_unix_millis(0),
        modified_at: Timestamp::from_unix_millis(0),
    })
}

/// Every device has the same profiles.
pub(crate) struct TestFleet {
    pub(crate) generation: u64,
    pub(crate) registered: bool,
    pub(crate) profiles: Vec<Arc<SecurityProfile>>,
}

impl Fleet for TestFleet {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn device(&self, _: &Scope, _: &ReporterName) -> Judged {
        Judged { registered: self.registered, profiles: self.profiles.clone() }
    }
}

/// What is stored, as a store would have it.
#[derive(Default, Clone, PartialEq, Debug)]
pub(crate) struct Stored {
    pub(crate) datapoints: Vec<Datapoint>,
    pub(crate) active: BTreeMap<String, ActiveViolation>,
    /// Every event with its time, each once.
    pub(crate) events: Vec<String>,
}

/// Writes down what the detector finds. Times are seconds.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) lines: Vec<String>,
    pub(crate) stored: Stored,
}

impl Sink for Log {
    fn datapoint(&mut self, _: &Scope, reporter: &ReporterName, metric: &Metric, value: ValueRef<'_>, at: Timestamp) {
        let (reporter, metric, value) = (reporter.clone(), metric.clone(), value.to_value());
        self.stored.datapoints.push(Datapoint { reporter, metric, value, at });
    }

    fn sighted(&mut self, _: &Scope, _: &ReporterName, matches: &[IndicatorMatch]) {
        self.lines.push(format!(
            "sighted {}",
            matches.iter().map(|found| found.remote.to_string()).collect::<Vec<_>>().join(" ")
        ));
    }

    fn violation(&mut self, _: &Scope, step: ViolationStep) {
        let seconds = |at: Timestamp| at.unix_seconds_fractional();
        match step {
            ViolationStep::Raised { event, active, .. } => {
                assert_eq!(event.kind, ViolationEventType::InAlarm);
                let line = format!("{} in-alarm {} {:?}", seconds(event.at), event.behavior.name, event.value.unwrap());
                self.stored.events.push(format!("{} {line}", event.reporter));
                self.lines.push(line);
                self.stored.active.insert(active.id.to_string(), active);
            }
            ViolationStep::Continued { active } => {
                let value = active.last_value.as_ref().unwrap();
                self.lines.push(format!("{} still {} {value:?}", seconds(active.last_at), active.behavior.name));
                assert!(self.stored.active.insert(active.id.to_string(), active).is_some());
            }
            ViolationStep::Ended { event, .. } => {
                let kind = match event.kind {
                    ViolationEventType::InAlarm => panic!("an alarm cannot end by being raised"),
                    ViolationEventType::AlarmCleared => "cleared",
                    ViolationEventType::AlarmInvalidated => "invalidated",
                };
                let line = format!("{} {kind} {} {:?}", seconds(event.at), event.behavior.name, event.value.unwrap());
                self.stored.events.push(format!("{} {line}", event.reporter));
                self.lines.push(line);
                assert!(self.stored.active.remove(event.violation.as_str()).is_some());
            }
        }
    }
}

/// One device, or several, under one profile called `p`.
pub(crate) struct World {
    pub(crate) fleet: TestFleet,
    pub(crate) detector: Detector,
    pub(crate) log: Log,
    identity: u64,
}

impl World {
    pub(crate) fn new(behaviors: &[&str]) -> Self {
        let mut world = Self {
            fleet: TestFleet { generation: 1, registered: true, profiles: vec![profile("p", behaviors)] },
            detector: Detector::new(DetectorLimits::default()),
            log: Log::default(),
            identity: 0,
        };
        world.detector.restored(&world.fleet, seconds(0.0), &mut world.log);
        world
    }

    pub(crate) fn retain(mut self, metric: &str) -> Self {
        let profile = Arc::make_mut(&mut self.fleet.profiles[0]);
        profile.metrics_to_retain.push(MetricToRetain { metric: Metric::parse(metric).unwrap(), export: false });
        self
    }

    pub(crate) fn set_profiles(&mut self, profiles: Vec<Arc<SecurityProfile>>) {
        self.fleet.profiles = profiles;
        self.fleet.generation += 1;
    }

    pub(crate) fn report(&mut self, at_s: f64, sample: Sample<'_>) -> ReportOutcome {
        self.identity += 1;
        let sample = Sample { identity: self.identity, ..sample };
        self.detector.report(&self.fleet, &scope(), &reporter("d"), &sample, seconds(at_s), &mut self.log)
    }

    /// A report that says only how many bytes were sent.
    pub(crate) fn bytes_out(&mut self, at_s: f64, bytes_out: u64) -> &mut Self {
        self.report(at_s, Sample { bytes_out: Some(bytes_out), ..Sample::default() });
        self
    }

    /// A report that says only one custom metric, `m`.
    pub(crate) fn custom(&mut self, at_s: f64, value: ValueRef<'_>) -> ReportOutcome {
        self.report(at_s, Sample { custom: &[("m", value)], ..Sample::default() })
    }

    pub(crate) fn meter(&mut self, at_s: f64, meter: Meter<'_>) -> &mut Self {
        self.detector.meter(&self.fleet, &scope(), &reporter("d"), &meter, seconds(at_s), &mut self.log);
        self
    }

    /// The device is connected and gets `messages` messages.
    pub(crate) fn received(&mut self, at_s: f64, messages: u64) -> &mut Self {
        self.meter(at_s, Meter { messages_received: messages, ..Meter::default() })
    }

    pub(crate) fn connected_from(&mut self, at_s: f64, addresses: &[&str]) -> &mut Self {
        let source_addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.meter(at_s, Meter { source_addresses: &source_addresses, ..Meter::default() })
    }

    pub(crate) fn advance(&mut self, to_s: f64) -> &mut Self {
        self.detector.advance(&self.fleet, seconds(to_s), &mut self.log);
        self
    }

    /// What was found since the last time this was asked.
    #[track_caller]
    pub(crate) fn found(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.log.lines), expected);
        self
    }

    /// What was kept: `METRIC=VALUE@SECONDS`.
    pub(crate) fn kept(&self) -> Vec<String> {
        let show = |point: &Datapoint| {
            format!("{}={:?}@{}", point.metric.as_str(), point.value, point.at.unix_seconds_fractional())
        };
        self.log.stored.datapoints.iter().map(show).collect()
    }
}

pub(crate) fn seconds(seconds: f64) -> Timestamp {
    Timestamp::from_unix_millis((seconds * 1000.0).round() as i64)
}
