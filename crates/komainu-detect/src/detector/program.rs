//! The profiles of a class of devices as one flat list of rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use komainu_model::{
    Behavior, CloudMetric, DeviceMetric, KomainuMetric, Metric, MetricName, MetricValue, SecurityProfile,
};

use super::input::ValueRef;
use super::judge::Judge;

/// Values of metrics that the gateway measures are kept at least so often: AWS's shortest window.
pub(crate) const KEEP_WINDOW_MS: i64 = 300_000;

/// How the devices with the same profiles are judged.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) registered: bool,
    /// Held so that the addresses by which programs are found stay theirs.
    pub(crate) profiles: Vec<Arc<SecurityProfile>>,
    /// Device-side rules first.
    pub(crate) rules: Vec<Rule>,
    pub(crate) device_rules: usize,
    /// The device-side metrics whose values are kept.
    pub(crate) kept: Vec<KeptMetric>,
    /// The cloud-side metrics whose values are kept.
    pub(crate) kept_cloud: Vec<KeptCloud>,
}

#[derive(Debug)]
pub(crate) struct KeptMetric {
    pub(crate) metric: Metric,
}

#[derive(Debug)]
pub(crate) struct KeptCloud {
    pub(crate) cloud: CloudMetric,
    pub(crate) metric: Metric,
    /// At most [`KEEP_WINDOW_MS`], so that longer windows can be put together from what was kept.
    pub(crate) window_ms: i64,
}

/// One behavior that judges something.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) input: Input,
    pub(crate) judge: Judge,
    /// Zero when each value is judged by itself.
    pub(crate) window_ms: i64,
    pub(crate) datapoints_to_alarm: u8,
    pub(crate) datapoints_to_clear: u8,
    profile: u32,
    behavior: u32,
}

/// What a behavior says of values that were kept, one by one.
#[derive(Debug)]
pub struct Yardstick(Rule);

impl Yardstick {
    /// Of a behavior that judges something.
    pub fn new(behavior: &Behavior) -> Option<Self> {
        Rule::new(0, 0, behavior).map(Self)
    }

    /// Whether the behavior judges sums over a window: what is kept of them are their parts.
    pub fn is_of_sums(&self) -> bool {
        matches!(self.0.input, Input::DeviceSum(_) | Input::CloudSum(_))
    }

    /// Whether a value violates the behavior by itself. A part of a sum does when the sum can be nothing but a violation,
    /// whatever else is added to it.
    pub fn is_violated_by(&self, value: &MetricValue) -> bool {
        let judge = &self.0.judge;
        judge.conforms(ValueRef::of(value)) == Some(false) && (!self.is_of_sums() || judge.bounds_above())
    }
}

/// What a rule judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    DeviceSum(DeviceMetric),
    DeviceValue(DeviceMetric),
    Custom(MetricName),
    IndicatorMatches,
    CloudSum(CloudMetric),
    MessageSize,
    SourceAddresses,
}

impl Program {
    pub(crate) fn new(registered: bool, profiles: Vec<Arc<SecurityProfile>>) -> Self {
        let (mut device, mut cloud) = (Vec::new(), Vec::new());
        let mut kept: BTreeMap<&Metric, i64> = BTreeMap::new();
        for (profile_index, profile) in profiles.iter().enumerate() {
            for (behavior_index, behavior) in profile.behaviors.iter().enumerate() {
                let rule = Rule::new(profile_index as u32, behavior_index as u32, behavior);
                let window_ms = rule.as_ref().map_or(0, |rule| rule.window_ms);
                let kept_every = kept.entry(&behavior.metric).or_insert(KEEP_WINDOW_MS);
                if window_ms > 0 {
                    *kept_every = (*kept_every).min(window_ms);
                }
                match (&behavior.metric, rule) {
                    (_, None) => {}
                    (Metric::Device(_) | Metric::Komainu(_) | Metric::Custom(_), Some(rule)) => device.push(rule),
                    (Metric::Cloud(_), Some(rule)) => cloud.push(rule),
                }
            }
            for retained in &profile.metrics_to_retain {
                kept.entry(&retained.metric).or_insert(KEEP_WINDOW_MS);
            }
        }
        let (mut kept_device, mut kept_cloud) = (Vec::new(), Vec::new());
        for (metric, window_ms) in kept {
            match metric {
                Metric::Device(_) | Metric::Komainu(_) | Metric::Custom(_) => {
                    kept_device.push(KeptMetric { metric: metric.clone() })
                }
                Metric::Cloud(cloud) => {
                    kept_cloud.push(KeptCloud { cloud: *cloud, metric: metric.clone(), window_ms });
                }
            }
        }
        let device_rules = device.len();
        device.append(&mut cloud);
        Self { registered, profiles, rules: device, device_rules, kept: kept_device, kept_cloud }
    }

    pub(crate) fn profile(&self, rule: &Rule) -> &Arc<SecurityProfile> {
        &self.profiles[rule.profile as usize]
    }

    pub(crate) fn behavior(&self, rule: &Rule) -> &Behavior {
        &self.profile(rule).behaviors[rule.behavior as usize]
    }
}

impl Rule {
    fn new(profile: u32, behavior_index: u32, behavior: &Behavior) -> Option<Self> {
        let criteria = behavior.criteria.as_ref()?;
        let judge = Judge::new(&criteria.expected)?;
        let input = match &behavior.metric {
            Metric::Device(metric) => match metric {
                DeviceMetric::AllBytesIn
                | DeviceMetric::AllBytesOut
                | DeviceMetric::AllPacketsIn
                | DeviceMetric::AllPacketsOut => Input::DeviceSum(*metric),
                DeviceMetric::NumListeningTcpPorts
                | DeviceMetric::NumListeningUdpPorts
                | DeviceMetric::NumEstablishedTcpConnections
                | DeviceMetric::ListeningTcpPorts
                | DeviceMetric::ListeningUdpPorts
                | DeviceMetric::DestinationIpAddresses => Input::DeviceValue(*metric),
            },
            Metric::Cloud(metric) => match metric {
                CloudMetric::MessageByteSize => Input::MessageSize,
                CloudMetric::NumMessagesSent
                | CloudMetric::NumMessagesReceived
                | CloudMetric::NumAuthorizationFailures
                | CloudMetric::NumConnectionAttempts
                | CloudMetric::NumDisconnects => Input::CloudSum(*metric),
                CloudMetric::SourceIpAddress => Input::SourceAddresses,
            },
            Metric::Komainu(KomainuMetric::IndicatorMatches) => Input::IndicatorMatches,
            Metric::Custom(name) => Input::Custom(name.clone()),
        };
        let window_ms = match &input {
            // A window is a must for sums; records of a time before that was checked get AWS's shortest.
            Input::DeviceSum(_) | Input::CloudSum(_) => {
                criteria.duration_s.filter(|duration_s| *duration_s > 0).map_or(KEEP_WINDOW_MS, |s| i64::from(s) * 1000)
            }
            // Lists have no windows.
            Input::DeviceValue(_) | Input::Custom(_) | Input::IndicatorMatches if judge.is_numeric() => {
                i64::from(criteria.duration_s.unwrap_or(0)) * 1000
            }
            Input::DeviceValue(_)
            | Input::Custom(_)
            | Input::IndicatorMatches
            | Input::MessageSize
            | Input::SourceAddresses => 0,
        };
        Some(Self {
            input,
            judge,
            window_ms,
            datapoints_to_alarm: criteria.datapoints_to_alarm.max(1),
            datapoints_to_clear: criteria.datapoints_to_clear.max(1),
            profile,
            behavior: behavior_index,
        })
    }
}

#[cfg(test)]
mod tests {
    use komainu_model::{BehaviorName, Comparison, Criteria, ExpectedValue};

    use super::*;

    #[test]
    fn a_part_of_a_sum_is_told_when_nothing_can_mend_it() {
        let check = |metric: &str, expected: ExpectedValue, value: MetricValue, is_violated: bool| {
            let behavior = Behavior {
                name: BehaviorName::parse("b").unwrap(),
                metric: Metric::parse(metric).unwrap(),
                criteria: Some(Criteria {
                    expected,
                    duration_s: Some(300),
                    datapoints_to_alarm: 1,
                    datapoints_to_clear: 1,
                }),
                suppress_alerts: false,
                export_metric: false,
            };
            let told = Yardstick::new(&behavior).unwrap().is_violated_by(&value);
            assert_eq!(told, is_violated, "{behavior:?} {value:?}");
        };
        let count = |comparison, limit| ExpectedValue::Count(comparison, limit);
        let (less, more) = (Comparison::LessThan, Comparison::GreaterThan);
        check("aws:all-bytes-out", count(less, 10), MetricValue::Count(10), true);
        check("aws:all-bytes-out", count(less, 10), MetricValue::Count(9), false);
        check("aws:all-bytes-out", count(more, 10), MetricValue::Count(9), false);
        check("aws:num-listening-tcp-ports", count(more, 10), MetricValue::Count(9), true);
        let ports = ExpectedValue::Ports { within: true, set: vec![80, 22] };
        check("aws:listening-tcp-ports", ports.clone(), MetricValue::Ports(vec![22, 23]), true);
        check("aws:listening-tcp-ports", ports.clone(), MetricValue::Ports(vec![22]), false);
        check("aws:listening-tcp-ports", ports, MetricValue::Count(1), false);
    }

    #[test]
    fn a_behavior_that_judges_nothing_has_no_yardstick() {
        let metric = Metric::Device(DeviceMetric::AllBytesIn);
        let name = BehaviorName::parse("b").unwrap();
        let behavior = Behavior { name, metric, criteria: None, suppress_alerts: false, export_metric: false };
        assert!(Yardstick::new(&behavior).is_none());
    }
}
