//! Which behaviors make sense: how metric, operator, value and window go together.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use komainu_model::{
    Behavior, BehaviorName, BehaviorProblem, CloudMetric, Comparison, ConfidenceLevel, Criteria, Datapoints,
    DeviceMetric, ElementProblem, ExpectedValue, KomainuMetric, Metric, NeededCriteria, ProfileProblem, Statistic,
};

/// The windows of AWS IoT Device Defender, in seconds.
pub const WINDOWS_S: [u32; 5] = [300, 600, 900, 1800, 3600];
/// The longest window, in seconds.
const WINDOW_S_MAX: u32 = 3600;
/// The largest number of datapoints in a row.
const DATAPOINTS_MAX: u8 = 10;
/// So many networks, ports, numbers or strings may stand in one behavior.
pub const SET_ELEMENTS_MAX: usize = 10_000;
/// The longest string in a set, in bytes.
pub const STRING_BYTES_MAX: usize = 1024;

/// What the configuration permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValidationRules {
    /// Windows of any whole number of seconds from 1 to 3,600, not only AWS's five. For demonstrations, and for
    /// fleets whose devices report more often than AWS allows.
    pub short_windows_allowed: bool,
}

/// A behavior as a user wrote it: nothing is checked, everything may be missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BehaviorDraft {
    /// `name`
    pub name: String,
    /// `metric`
    pub metric: Option<String>,
    /// `metricDimension.dimensionName`
    pub dimension: Option<String>,
    /// `criteria`
    pub criteria: Option<CriteriaDraft>,
    /// `suppressAlerts`
    pub suppress_alerts: bool,
    /// `exportMetric`
    pub export_metric: bool,
}

/// Criteria as a user wrote them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CriteriaDraft {
    /// `comparisonOperator`
    pub operator: Option<String>,
    /// `value`
    pub value: Option<ExpectedDraft>,
    /// `durationSeconds`
    pub duration_s: Option<i64>,
    /// `consecutiveDatapointsToAlarm`
    pub datapoints_to_alarm: Option<i64>,
    /// `consecutiveDatapointsToClear`
    pub datapoints_to_clear: Option<i64>,
    /// `statisticalThreshold.statistic`
    pub statistic: Option<String>,
    /// `mlDetectionConfig.confidenceLevel`
    pub confidence: Option<String>,
}

/// A value as a user wrote it; one field should be there.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the names are AWS's")]
pub struct ExpectedDraft {
    pub count: Option<i64>,
    pub cidrs: Option<Vec<String>>,
    pub ports: Option<Vec<i64>>,
    pub number: Option<f64>,
    pub numbers: Option<Vec<f64>>,
    pub strings: Option<Vec<String>>,
}

/// How the values of a metric are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Added up over a window.
    Sum,
    /// A whole number at a moment.
    Count,
    /// The size of each message.
    MessageSize,
    Ports,
    Addresses,
    /// How many indicators a report names.
    Matches,
    /// A custom metric: its type is what devices send.
    Custom,
}

impl Shape {
    fn of(metric: &Metric) -> Self {
        match metric {
            Metric::Device(metric) => match metric {
                DeviceMetric::AllBytesIn
                | DeviceMetric::AllBytesOut
                | DeviceMetric::AllPacketsIn
                | DeviceMetric::AllPacketsOut => Self::Sum,
                DeviceMetric::NumListeningTcpPorts
                | DeviceMetric::NumListeningUdpPorts
                | DeviceMetric::NumEstablishedTcpConnections => Self::Count,
                DeviceMetric::ListeningTcpPorts | DeviceMetric::ListeningUdpPorts => Self::Ports,
                DeviceMetric::DestinationIpAddresses => Self::Addresses,
            },
            Metric::Cloud(metric) => match metric {
                CloudMetric::MessageByteSize => Self::MessageSize,
                CloudMetric::NumMessagesSent
                | CloudMetric::NumMessagesReceived
                | CloudMetric::NumAuthorizationFailures
                | CloudMetric::NumConnectionAttempts
                | CloudMetric::NumDisconnects => Self::Sum,
                CloudMetric::SourceIpAddress => Self::Addresses,
            },
            Metric::Komainu(KomainuMetric::IndicatorMatches) => Self::Matches,
            Metric::Custom(_) => Self::Custom,
        }
    }
}

/// What is wrong with a list of behaviors that belong to one profile; empty when nothing is.
pub fn validate(behaviors: &[Behavior], rules: ValidationRules) -> Vec<ProfileProblem> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for behavior in behaviors {
        if !names.insert(&behavior.name) {
            problems.push(malformed(behavior.name.as_str(), BehaviorProblem::NameTwice));
        }
        if let Some(criteria) = &behavior.criteria {
            let found = check_criteria(&behavior.metric, criteria, rules);
            problems.extend(found.into_iter().map(|problem| malformed(behavior.name.as_str(), problem)));
        }
    }
    problems
}

fn malformed(name: &str, problem: BehaviorProblem) -> ProfileProblem {
    ProfileProblem::Behavior { name: name.to_owned(), problem }
}

impl BehaviorDraft {
    /// The behavior, or everything that is wrong with it.
    pub fn check(&self, rules: ValidationRules) -> Result<Behavior, Vec<ProfileProblem>> {
        let mut problems = Vec::new();
        let name = BehaviorName::parse(&self.name).map_err(|error| problems.push(BehaviorProblem::Name(error))).ok();
        let metric = match self.metric.as_deref() {
            Some(text) => Metric::parse(text).map_err(|error| problems.push(BehaviorProblem::Metric(error))).ok(),
            None => {
                problems.push(BehaviorProblem::NoMetric);
                None
            }
        };
        if self.dimension.is_some() {
            problems.push(BehaviorProblem::Dimension);
        }
        let criteria = self.criteria.as_ref().and_then(|draft| draft.read(&mut problems));
        if let (Some(metric), Some(criteria)) = (&metric, &criteria) {
            problems.extend(check_criteria(metric, criteria, rules));
        }
        match (name, metric) {
            (Some(name), Some(metric)) if problems.is_empty() => Ok(Behavior {
                name,
                metric,
                criteria,
                suppress_alerts: self.suppress_alerts,
                export_metric: self.export_metric,
            }),
            _ => Err(problems.into_iter().map(|problem| malformed(&self.name, problem)).collect()),
        }
    }
}

impl CriteriaDraft {
    /// The criteria as far as they can be read; what cannot is noted in `problems`.
    fn read(&self, problems: &mut Vec<BehaviorProblem>) -> Option<Criteria> {
        let before = problems.len();
        let mut datapoints = |which: Datapoints, given: Option<i64>| match given {
            None => 1,
            Some(count) => match u8::try_from(count) {
                Ok(count @ 1..=DATAPOINTS_MAX) => count,
                _ => {
                    problems.push(BehaviorProblem::Datapoints { which, count, count_max: DATAPOINTS_MAX });
                    1
                }
            },
        };
        let datapoints_to_alarm = datapoints(Datapoints::ToAlarm, self.datapoints_to_alarm);
        let datapoints_to_clear = datapoints(Datapoints::ToClear, self.datapoints_to_clear);
        let duration_s = self.duration_s.and_then(|duration_s| match u32::try_from(duration_s) {
            Ok(duration_s) => Some(duration_s),
            Err(_) => {
                problems.push(BehaviorProblem::WindowRange { seconds: duration_s, seconds_max: WINDOW_S_MAX });
                None
            }
        });
        let kinds = [self.value.is_some(), self.statistic.is_some(), self.confidence.is_some()];
        if kinds.into_iter().filter(|given| *given).count() != 1 {
            problems.push(BehaviorProblem::NotOneWay);
            return None;
        }
        let expected = self.read_expected().map_err(|problem| problems.push(problem)).ok()?;
        (problems.len() == before).then_some(Criteria {
            expected,
            duration_s,
            datapoints_to_alarm,
            datapoints_to_clear,
        })
    }

    fn read_expected(&self) -> Result<ExpectedValue, BehaviorProblem> {
        if let Some(level) = self.confidence.as_deref() {
            if self.operator.is_some() {
                return Err(BehaviorProblem::OperatorWithLearning);
            }
            return match level {
                "LOW" => Ok(ExpectedValue::Learned(ConfidenceLevel::Low)),
                "MEDIUM" => Ok(ExpectedValue::Learned(ConfidenceLevel::Medium)),
                "HIGH" => Ok(ExpectedValue::Learned(ConfidenceLevel::High)),
                _ => Err(BehaviorProblem::UnknownConfidence(level.to_owned())),
            };
        }
        let operator = self.operator.as_deref().ok_or(BehaviorProblem::NoOperator)?;
        let comparison = match operator {
            "less-than" => Some(Comparison::LessThan),
            "less-than-equals" => Some(Comparison::LessThanEquals),
            "greater-than" => Some(Comparison::GreaterThan),
            "greater-than-equals" => Some(Comparison::GreaterThanEquals),
            "in-cidr-set" | "not-in-cidr-set" | "in-port-set" | "not-in-port-set" | "in-set" | "not-in-set" => None,
            _ => return Err(BehaviorProblem::UnknownOperator(operator.to_owned())),
        };
        if let Some(statistic) = self.statistic.as_deref() {
            let statistic =
                parse_statistic(statistic).ok_or_else(|| BehaviorProblem::UnknownStatistic(statistic.to_owned()))?;
            let comparison = comparison.ok_or_else(|| BehaviorProblem::OperatorWithStatistic(operator.to_owned()))?;
            return Ok(ExpectedValue::Statistical(comparison, statistic));
        }
        let value = self.value.as_ref().ok_or(BehaviorProblem::NoValue)?;
        value.read(operator, comparison)
    }
}

impl ExpectedDraft {
    fn read(&self, operator: &str, comparison: Option<Comparison>) -> Result<ExpectedValue, BehaviorProblem> {
        let Self { count, cidrs, ports, number, numbers, strings } = self;
        let given = [
            (count.is_some(), "count"),
            (cidrs.is_some(), "cidrs"),
            (ports.is_some(), "ports"),
            (number.is_some(), "number"),
            (numbers.is_some(), "numbers"),
            (strings.is_some(), "strings"),
        ];
        let given: Vec<&'static str> = given.iter().filter(|(is_given, _)| *is_given).map(|(_, name)| *name).collect();
        let [field] = given[..] else {
            return Err(BehaviorProblem::NotOneValue);
        };
        let within = !operator.starts_with("not-");
        let expected = match (operator, comparison) {
            (_, Some(comparison)) => match (count, number) {
                (Some(count), _) => {
                    let count = u64::try_from(*count).map_err(|_| BehaviorProblem::NegativeCount(*count))?;
                    Some(ExpectedValue::Count(comparison, count))
                }
                (_, Some(number)) if number.is_finite() => Some(ExpectedValue::Number(comparison, *number)),
                (_, Some(_)) => return Err(BehaviorProblem::NumberNotFinite),
                (None, None) => None,
            },
            ("in-cidr-set" | "not-in-cidr-set", None) => match cidrs {
                Some(cidrs) => {
                    Some(ExpectedValue::Cidrs { within, set: parse_all("cidrs", cidrs, |text| parse_cidr(text))? })
                }
                None => None,
            },
            ("in-port-set" | "not-in-port-set", None) => match ports {
                Some(ports) => Some(ExpectedValue::Ports { within, set: parse_all("ports", ports, parse_port)? }),
                None => None,
            },
            (_, None) => match (numbers, strings) {
                (Some(numbers), _) => {
                    let finite = |number: &f64| number.is_finite().then_some(*number).ok_or(ElementProblem::NotFinite);
                    Some(ExpectedValue::Numbers { within, set: parse_all("numbers", numbers, finite)? })
                }
                (_, Some(strings)) => Some(ExpectedValue::Strings {
                    within,
                    set: parse_all("strings", strings, |text| check_string(text))?,
                }),
                (None, None) => None,
            },
        };
        expected.ok_or_else(|| BehaviorProblem::OperatorWithValue { operator: operator.to_owned(), value: field })
    }
}

fn parse_all<T, U>(
    field: &'static str,
    values: &[T],
    parse: impl Fn(&T) -> Result<U, ElementProblem>,
) -> Result<Vec<U>, BehaviorProblem> {
    if values.len() > SET_ELEMENTS_MAX {
        let (count, count_max) = (values.len(), SET_ELEMENTS_MAX);
        return Err(BehaviorProblem::TooManyElements { value: field, count, count_max });
    }
    let parsed = values.iter().enumerate();
    let wrong = |index, problem| BehaviorProblem::Element { value: field, index, problem };
    parsed.map(|(index, value)| parse(value).map_err(|problem| wrong(index, problem))).collect()
}

/// An address without a prefix length is the network of that address alone.
fn parse_cidr(text: &str) -> Result<IpNet, ElementProblem> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| ElementProblem::NotANetwork)
}

fn parse_port(port: &i64) -> Result<u16, ElementProblem> {
    u16::try_from(*port).map_err(|_| ElementProblem::NotAPort(*port))
}

fn check_string(text: &str) -> Result<String, ElementProblem> {
    if text.len() > STRING_BYTES_MAX {
        return Err(ElementProblem::TooLong { bytes: text.len(), bytes_max: STRING_BYTES_MAX });
    }
    Ok(text.to_owned())
}

fn parse_statistic(text: &str) -> Option<Statistic> {
    Some(match text {
        "Average" => Statistic::Average,
        "p0" => Statistic::P0,
        "p0.1" => Statistic::P0_1,
        "p0.01" => Statistic::P0_01,
        "p1" => Statistic::P1,
        "p10" => Statistic::P10,
        "p50" => Statistic::P50,
        "p90" => Statistic::P90,
        "p99" => Statistic::P99,
        "p99.9" => Statistic::P99_9,
        "p99.99" => Statistic::P99_99,
        "p100" => Statistic::P100,
        _ => return None,
    })
}

/// What is wrong with the criteria of one behavior.
fn check_criteria(metric: &Metric, criteria: &Criteria, rules: ValidationRules) -> Vec<BehaviorProblem> {
    let mut problems = Vec::new();
    let shape = Shape::of(metric);

    let mut needs = |fits: bool, needed: NeededCriteria| {
        if !fits {
            problems.push(BehaviorProblem::Needs { metric: metric.clone(), criteria: needed });
        }
    };
    match &criteria.expected {
        ExpectedValue::Statistical(..) => {
            problems.push(BehaviorProblem::StatisticNotAvailable);
            return problems;
        }
        ExpectedValue::Learned(_) => {
            problems.push(BehaviorProblem::LearningNotAvailable);
            return problems;
        }
        expected => match shape {
            Shape::Sum | Shape::Count | Shape::MessageSize => {
                needs(matches!(expected, ExpectedValue::Count(..)), NeededCriteria::Count);
            }
            Shape::Matches => {
                let fits = matches!(expected, ExpectedValue::Count(..) | ExpectedValue::Number(..));
                needs(fits, NeededCriteria::Number);
            }
            Shape::Ports => needs(matches!(expected, ExpectedValue::Ports { .. }), NeededCriteria::Ports),
            Shape::Addresses => needs(matches!(expected, ExpectedValue::Cidrs { .. }), NeededCriteria::Networks),
            Shape::Custom => needs(!matches!(expected, ExpectedValue::Ports { .. }), NeededCriteria::NoPorts),
        },
    }

    let is_list = !matches!(criteria.expected, ExpectedValue::Count(..) | ExpectedValue::Number(..));
    match (criteria.duration_s, shape) {
        (None, Shape::Sum) => problems.push(BehaviorProblem::NoWindow(metric.clone())),
        (None, _) => {}
        // AWS: "Cannot be used with list-based metric datatypes" (API reference, BehaviorCriteria).
        (Some(_), Shape::Ports | Shape::Addresses) => {
            problems.push(BehaviorProblem::WindowOfList(Some(metric.clone())));
        }
        (Some(_), Shape::Custom) if is_list => {
            problems.push(BehaviorProblem::WindowOfList(None));
        }
        (Some(_), Shape::MessageSize) => {
            problems.push(BehaviorProblem::WindowOfMessages(metric.clone()));
        }
        (Some(duration_s), Shape::Sum | Shape::Count | Shape::Matches | Shape::Custom) => {
            if rules.short_windows_allowed {
                if !(1..=WINDOW_S_MAX).contains(&duration_s) {
                    let seconds = i64::from(duration_s);
                    problems.push(BehaviorProblem::WindowRange { seconds, seconds_max: WINDOW_S_MAX });
                }
            } else if !WINDOWS_S.contains(&duration_s) {
                problems.push(BehaviorProblem::WindowUnusual { seconds: duration_s });
            }
        }
    }

    for (which, count) in
        [(Datapoints::ToAlarm, criteria.datapoints_to_alarm), (Datapoints::ToClear, criteria.datapoints_to_clear)]
    {
        if !(1..=DATAPOINTS_MAX).contains(&count) {
            problems.push(BehaviorProblem::Datapoints { which, count: i64::from(count), count_max: DATAPOINTS_MAX });
        }
    }
    problems
}
