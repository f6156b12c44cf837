//! What can be wrong with a security profile that somebody wrote.

use std::fmt;

use crate::{Arn, GroupName, InvalidName, Metric};

/// What is wrong with a security profile. Displays in AWS's style, for its clients; pages say it in the words of their readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileProblem {
    /// One of its behaviors makes no sense.
    Behavior {
        /// The behavior's name, as it was written.
        name: String,
        /// What is wrong with it.
        problem: BehaviorProblem,
    },
    /// The description is too long.
    DescriptionLong {
        /// How long it is, in characters.
        chars: usize,
        /// How long it may be.
        chars_max: usize,
    },
    /// The description has control characters.
    DescriptionControls,
    /// It has too many of something.
    TooMany {
        /// Of what.
        part: ProfilePart,
        /// How many.
        count: usize,
        /// How many may be.
        count_max: usize,
    },
    /// The topic for exported metrics is empty, too long or has wildcards.
    ExportTopic {
        /// How long it may be, in bytes.
        bytes_max: usize,
    },
    /// It is for a group that is not there.
    NoGroup(GroupName),
    /// What its alerts should go to is no topic.
    NotATopic(Arn),
    /// There are as many profiles as may be.
    TooManyProfiles {
        /// How many may be.
        count_max: usize,
    },
    /// One of its targets has as many profiles as may be.
    TooManyOfTarget {
        /// How many may be.
        count_max: usize,
    },
}

/// A part of a profile that is a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfilePart {
    /// `behaviors`
    Behaviors,
    /// `alertTargets`
    AlertTargets,
    /// `additionalMetricsToRetainV2`
    MetricsToRetain,
}

/// What is wrong with a behavior.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BehaviorProblem {
    /// Its name is none.
    Name(InvalidName),
    /// Its name is used more than once.
    NameTwice,
    /// It has no metric.
    NoMetric,
    /// What it has as a metric is none.
    Metric(InvalidName),
    /// It has a dimension.
    Dimension,
    /// The number of datapoints in a row is out of range.
    Datapoints {
        /// Which of them.
        which: Datapoints,
        /// How many it has.
        count: i64,
        /// How many may be; the least is one.
        count_max: u8,
    },
    /// The window is out of range.
    WindowRange {
        /// Its length in seconds.
        seconds: i64,
        /// How long it may be; the least is one second.
        seconds_max: u32,
    },
    /// The window is none of AWS's.
    WindowUnusual {
        /// Its length in seconds.
        seconds: u32,
    },
    /// The metric is added up over a window, and there is none.
    NoWindow(Metric),
    /// A list is not added up over a window. `None` for a custom metric.
    WindowOfList(Option<Metric>),
    /// Each message is judged by itself.
    WindowOfMessages(Metric),
    /// It has several ways of judging, or none.
    NotOneWay,
    /// Statistics of the group are not available.
    StatisticNotAvailable,
    /// Learning is not available.
    LearningNotAvailable,
    /// What is learned needs no operator.
    OperatorWithLearning,
    /// No such confidence.
    UnknownConfidence(String),
    /// It has no operator.
    NoOperator,
    /// No such operator.
    UnknownOperator(String),
    /// No such statistic.
    UnknownStatistic(String),
    /// The operator does not compare, which a statistic needs.
    OperatorWithStatistic(String),
    /// It has no value.
    NoValue,
    /// The value has several types, or none.
    NotOneValue,
    /// A count below zero.
    NegativeCount(i64),
    /// A number that is none, or without end.
    NumberNotFinite,
    /// The operator is for values of another type.
    OperatorWithValue {
        /// The operator.
        operator: String,
        /// AWS's name of the value's type.
        value: &'static str,
    },
    /// The metric needs criteria of another form.
    Needs {
        /// The metric.
        metric: Metric,
        /// What it needs.
        criteria: NeededCriteria,
    },
    /// The set has too many elements.
    TooManyElements {
        /// AWS's name of the value's type.
        value: &'static str,
        /// How many there are.
        count: usize,
        /// How many may be.
        count_max: usize,
    },
    /// An element of the set makes no sense.
    Element {
        /// AWS's name of the value's type.
        value: &'static str,
        /// Its place, from 0.
        index: usize,
        /// What is wrong with it.
        problem: ElementProblem,
    },
}

/// Which datapoints in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datapoints {
    /// `consecutiveDatapointsToAlarm`
    ToAlarm,
    /// `consecutiveDatapointsToClear`
    ToClear,
}

/// The criteria that a metric needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeededCriteria {
    /// A comparison with a whole number.
    Count,
    /// A comparison with a number of any kind.
    Number,
    /// A set of ports.
    Ports,
    /// A set of networks.
    Networks,
    /// Anything that is not about ports.
    NoPorts,
}

/// What is wrong with an element of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElementProblem {
    /// A number that is none, or without end.
    NotFinite,
    /// No network.
    NotANetwork,
    /// No port.
    NotAPort(i64),
    /// A string that is too long.
    TooLong {
        /// How long it is, in bytes.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
}

impl fmt::Display for ProfileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behavior { name, problem } => write!(f, "Behavior {name} is malformed. {problem}"),
            Self::DescriptionLong { chars, chars_max } => {
                write!(f, "securityProfileDescription has {chars} characters, at most {chars_max} are allowed")
            }
            Self::DescriptionControls => f.write_str("securityProfileDescription has control characters"),
            Self::TooMany { part, count, count_max } => {
                write!(f, "{part} has {count} elements, at most {count_max} are allowed")
            }
            Self::ExportTopic { bytes_max } => {
                write!(f, "metricsExportConfig.mqttTopic should be a topic of 1 to {bytes_max} bytes without wildcards")
            }
            Self::NoGroup(group) => write!(f, "thing group {group} does not exist"),
            Self::NotATopic(arn) => write!(f, "{arn} is not the ARN of an SNS topic"),
            Self::TooManyProfiles { count_max } => write!(f, "at most {count_max} security profiles are allowed"),
            Self::TooManyOfTarget { count_max } => {
                write!(f, "at most {count_max} security profiles for one target are allowed")
            }
        }
    }
}

impl fmt::Display for ProfilePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Behaviors => "behaviors",
            Self::AlertTargets => "alertTargets",
            Self::MetricsToRetain => "additionalMetricsToRetainV2",
        })
    }
}

impl fmt::Display for BehaviorProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) | Self::Metric(error) => write!(f, "{error}"),
            Self::NameTwice => f.write_str("Its name is used more than once"),
            Self::NoMetric => f.write_str("metric is missing"),
            Self::Dimension => f.write_str("metricDimension is not available yet"),
            Self::Datapoints { which, count, count_max } => {
                write!(f, "{which} {count} should be in range[1,{count_max}]")
            }
            Self::WindowRange { seconds, seconds_max } => {
                write!(f, "durationSeconds {seconds} should be in range[1,{seconds_max}]")
            }
            Self::WindowUnusual { seconds } => {
                write!(f, "durationSeconds {seconds} should be one of 300, 600, 900, 1800, 3600")
            }
            Self::NoWindow(metric) => write!(f, "Metric {} needs durationSeconds", metric.as_str()),
            Self::WindowOfList(Some(metric)) => {
                write!(f, "durationSeconds cannot be used with {}, which is a list", metric.as_str())
            }
            Self::WindowOfList(None) => f.write_str("durationSeconds cannot be used with a list"),
            Self::WindowOfMessages(metric) => {
                write!(f, "durationSeconds cannot be used with {}, which is judged message by message", metric.as_str())
            }
            Self::NotOneWay => {
                f.write_str("Exactly one of value, statisticalThreshold and mlDetectionConfig is needed in criteria")
            }
            Self::StatisticNotAvailable => f.write_str("statisticalThreshold is not available yet"),
            Self::LearningNotAvailable => f.write_str("mlDetectionConfig is not available yet"),
            Self::OperatorWithLearning => f.write_str("comparisonOperator does not go with mlDetectionConfig"),
            Self::UnknownConfidence(level) => {
                write!(f, "confidenceLevel {level:?} is not one of LOW, MEDIUM, HIGH")
            }
            Self::NoOperator => f.write_str("comparisonOperator is missing"),
            Self::UnknownOperator(operator) => write!(f, "comparisonOperator {operator:?} is not known"),
            Self::UnknownStatistic(statistic) => write!(f, "statistic {statistic:?} is not known"),
            Self::OperatorWithStatistic(operator) => {
                write!(f, "comparisonOperator {operator} does not go with a statistic")
            }
            Self::NoValue => f.write_str("value is missing"),
            Self::NotOneValue => {
                f.write_str("value should have exactly one of count, cidrs, ports, number, numbers, strings")
            }
            Self::NegativeCount(count) => write!(f, "count {count} should not be negative"),
            Self::NumberNotFinite => f.write_str("number should be finite"),
            Self::OperatorWithValue { operator, value } => {
                write!(f, "comparisonOperator {operator} does not go with value.{value}")
            }
            Self::Needs { metric, criteria } => write!(f, "Metric {} needs {criteria}", metric.as_str()),
            Self::TooManyElements { value, count, count_max } => {
                write!(f, "{value} has {count} elements, at most {count_max} are allowed")
            }
            Self::Element { value, index, problem } => write!(f, "{value}[{index}] {problem}"),
        }
    }
}

impl fmt::Display for Datapoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToAlarm => "consecutiveDatapointsToAlarm",
            Self::ToClear => "consecutiveDatapointsToClear",
        })
    }
}

impl fmt::Display for NeededCriteria {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compared = "less-than, less-than-equals, greater-than or greater-than-equals";
        match self {
            Self::Count => write!(f, "{compared} with value.count"),
            Self::Number => write!(f, "{compared} with value.count or value.number"),
            Self::Ports => f.write_str("in-port-set or not-in-port-set with value.ports"),
            Self::Networks => f.write_str("in-cidr-set or not-in-cidr-set with value.cidrs"),
            Self::NoPorts => f.write_str("an operator for numbers, sets or networks, as it is a custom metric"),
        }
    }
}

impl fmt::Display for ElementProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite => f.write_str("should be finite"),
            Self::NotANetwork => f.write_str("is not a network such as 192.0.2.0/24 or 2001:db8::/32"),
            Self::NotAPort(port) => write!(f, "{port} should be in range[0,65535]"),
            Self::TooLong { bytes, bytes_max } => write!(f, "has {bytes} bytes, at most {bytes_max} are allowed"),
        }
    }
}
