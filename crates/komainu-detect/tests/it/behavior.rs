//! Which behaviors are taken, and what is said about the others.

use komainu_detect::{BehaviorDraft, CriteriaDraft, ExpectedDraft, SET_ELEMENTS_MAX, ValidationRules, validate};
use komainu_model::{Comparison, ExpectedValue};

const AWS: ValidationRules = ValidationRules { short_windows_allowed: false };
const SHORT: ValidationRules = ValidationRules { short_windows_allowed: true };

/// `METRIC OPERATOR FIELD[=VALUE] [DURATION]`, as a draft named `b`. VALUE is a list for the plural fields.
fn draft(text: &str) -> BehaviorDraft {
    let mut words = text.split(' ');
    let metric = words.next().unwrap();
    let operator = words.next().unwrap();
    let (field, value) = words.next().unwrap().split_once('=').unwrap();
    let list = || value.split(',').filter(|item| !item.is_empty());
    let mut expected = ExpectedDraft::default();
    match field {
        "count" => expected.count = Some(value.parse().unwrap()),
        "number" => expected.number = Some(value.parse().unwrap()),
        "cidrs" => expected.cidrs = Some(list().map(str::to_owned).collect()),
        "ports" => expected.ports = Some(list().map(|port| port.parse().unwrap()).collect()),
        "numbers" => expected.numbers = Some(list().map(|number| number.parse().unwrap()).collect()),
        "strings" => expected.strings = Some(list().map(str::to_owned).collect()),
        _ => panic!("{text}"),
    }
    BehaviorDraft {
        name: "b".to_owned(),
        metric: Some(metric.to_owned()),
        criteria: Some(CriteriaDraft {
            operator: Some(operator.to_owned()),
            value: Some(expected),
            duration_s: words.next().map(|word| word.parse().unwrap()),
            ..CriteriaDraft::default()
        }),
        ..BehaviorDraft::default()
    }
}

fn refused(draft: &BehaviorDraft, rules: ValidationRules) -> String {
    match draft.check(rules) {
        Ok(_) => String::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn metrics_go_with_their_operators_values_and_windows() {
    fn check(text: &str, expected: &str) {
        let expected = if expected.is_empty() { String::new() } else { format!("Behavior b is malformed. {expected}") };
        assert_eq!(refused(&draft(text), AWS), expected, "{text}");
    }
    for metric in ["aws:all-bytes-in", "aws:all-packets-out", "aws:num-messages-sent", "aws:num-disconnects"] {
        for operator in ["less-than", "less-than-equals", "greater-than", "greater-than-equals"] {
            check(&format!("{metric} {operator} count=0 300"), "");
            check(&format!("{metric} {operator} count=5"), &format!("Metric {metric} needs durationSeconds"));
        }
    }
    for duration in [300, 600, 900, 1800, 3600] {
        check(&format!("aws:all-bytes-out less-than count=10000 {duration}"), "");
    }
    check(
        "aws:all-bytes-out less-than count=10000 60",
        "durationSeconds 60 should be one of 300, 600, 900, 1800, 3600",
    );
    check("aws:all-bytes-out less-than count=1 -300", "durationSeconds -300 should be in range[1,3600]");
    check("aws:all-bytes-out less-than count=-1 300", "count -1 should not be negative");
    let numeric = "less-than, less-than-equals, greater-than or greater-than-equals with value.count";
    check("aws:all-bytes-out less-than number=1 300", &format!("Metric aws:all-bytes-out needs {numeric}"));
    check("aws:all-bytes-out in-set numbers=1 300", &format!("Metric aws:all-bytes-out needs {numeric}"));
    check(
        "aws:all-bytes-out less-than cidrs=10.0.0.0/8 300",
        "comparisonOperator less-than does not go with value.cidrs",
    );
    check("aws:all-bytes-out less count=1 300", "comparisonOperator \"less\" is not known");

    check("aws:num-listening-tcp-ports less-than-equals count=5", "");
    check("aws:num-established-tcp-connections less-than count=5 900", "");
    check("aws:message-byte-size less-than count=1024", "");
    check(
        "aws:message-byte-size less-than count=1024 300",
        "durationSeconds cannot be used with aws:message-byte-size, which is judged message by message",
    );

    check("aws:listening-tcp-ports in-port-set ports=443,80", "");
    check("aws:listening-udp-ports not-in-port-set ports=", "");
    check("aws:listening-tcp-ports in-port-set ports=0,65535", "");
    check("aws:listening-tcp-ports in-port-set ports=1,65536", "ports[1] 65536 should be in range[0,65535]");
    check(
        "aws:listening-tcp-ports in-port-set ports=1 300",
        "durationSeconds cannot be used with aws:listening-tcp-ports, which is a list",
    );
    check(
        "aws:listening-tcp-ports in-cidr-set cidrs=10.0.0.0/8",
        "Metric aws:listening-tcp-ports needs in-port-set or not-in-port-set with value.ports",
    );

    check("aws:destination-ip-addresses in-cidr-set cidrs=10.0.0.0/8,2001:db8::/32,192.0.2.1", "");
    check("aws:source-ip-address not-in-cidr-set cidrs=12.8.0.0/16,15.102.16.0/24", "");
    check(
        "aws:source-ip-address in-cidr-set cidrs=10.0.0.0/33",
        "cidrs[0] is not a network such as 192.0.2.0/24 or 2001:db8::/32",
    );
    check(
        "aws:destination-ip-addresses less-than count=3",
        "Metric aws:destination-ip-addresses needs in-cidr-set or not-in-cidr-set with value.cidrs",
    );

    check("cpu less-than number=90.5", "");
    check("cpu less-than count=90 300", "");
    check("temperatures in-set numbers=1,2.5", "");
    check("processes not-in-set strings=nc,dropbear", "");
    check("peers in-cidr-set cidrs=10.0.0.0/8", "");
    check("processes in-set strings=a 300", "durationSeconds cannot be used with a list");
    check(
        "cpu in-port-set ports=1",
        "Metric cpu needs an operator for numbers, sets or networks, as it is a custom metric",
    );
    check("cpu less-than number=nan", "number should be finite");
    check("cpu in-set numbers=1,inf", "numbers[1] should be finite");

    check(
        "aws:no-such-metric less-than count=1",
        "metric must be a metric of AWS IoT Device Defender, or a custom metric's name that does not start with aws:",
    );
}

#[test]
fn short_windows_are_for_configurations_that_permit_them() {
    for (duration, expected) in [("1", true), ("10", true), ("3600", true), ("0", false), ("3601", false)] {
        let draft = draft(&format!("aws:all-bytes-out less-than count=1 {duration}"));
        assert_eq!(draft.check(SHORT).is_ok(), expected, "{duration}");
        assert_eq!(draft.check(AWS).is_ok(), duration == "3600", "{duration}");
    }
}

#[test]
fn datapoints_in_a_row_are_refused_in_the_words_of_aws() {
    // The text is that of the AWS CLI's example of validate-security-profile-behaviors.
    let mut draft = draft("aws:num-authorization-failures greater-than count=12 300");
    draft.name = "Authorization".to_owned();
    let criteria = draft.criteria.as_mut().unwrap();
    criteria.datapoints_to_alarm = Some(100_000);
    assert_eq!(
        refused(&draft, AWS),
        "Behavior Authorization is malformed. consecutiveDatapointsToAlarm 100000 should be in range[1,10]"
    );
    let criteria = draft.criteria.as_mut().unwrap();
    (criteria.datapoints_to_alarm, criteria.datapoints_to_clear) = (Some(10), Some(0));
    assert_eq!(
        refused(&draft, AWS),
        "Behavior Authorization is malformed. consecutiveDatapointsToClear 0 should be in range[1,10]"
    );
    draft.criteria.as_mut().unwrap().datapoints_to_clear = None;
    let criteria = draft.check(AWS).unwrap().criteria.unwrap();
    assert_eq!((criteria.datapoints_to_alarm, criteria.datapoints_to_clear), (10, 1));
}

#[test]
fn what_is_not_available_yet_is_said_and_not_taken() {
    fn check(change: impl FnOnce(&mut BehaviorDraft), expected: &str) {
        let mut draft = draft("aws:all-bytes-out less-than count=1 300");
        change(&mut draft);
        assert_eq!(refused(&draft, AWS), format!("Behavior b is malformed. {expected}"));
    }
    fn criteria(draft: &mut BehaviorDraft) -> &mut CriteriaDraft {
        draft.criteria.as_mut().unwrap()
    }
    check(|draft| draft.dimension = Some("d".to_owned()), "metricDimension is not available yet");
    check(
        |draft| (criteria(draft).value, criteria(draft).statistic) = (None, Some("p99".to_owned())),
        "statisticalThreshold is not available yet",
    );
    check(
        |draft| (criteria(draft).value, criteria(draft).statistic) = (None, Some("p42".to_owned())),
        "statistic \"p42\" is not known",
    );
    check(
        |draft| {
            *criteria(draft) = CriteriaDraft { confidence: Some("HIGH".to_owned()), ..CriteriaDraft::default() };
        },
        "mlDetectionConfig is not available yet",
    );
    check(
        |draft| {
            *criteria(draft) = CriteriaDraft { confidence: Some("SURE".to_owned()), ..CriteriaDraft::default() };
        },
        "confidenceLevel \"SURE\" is not one of LOW, MEDIUM, HIGH",
    );
    check(
        |draft| criteria(draft).statistic = Some("p99".to_owned()),
        "Exactly one of value, statisticalThreshold and mlDetectionConfig is needed in criteria",
    );
    check(|draft| draft.metric = None, "metric is missing");
    check(|draft| criteria(draft).operator = None, "comparisonOperator is missing");
    check(
        |draft| criteria(draft).value.as_mut().unwrap().number = Some(1.0),
        "value should have exactly one of count, cidrs, ports, number, numbers, strings",
    );
}

#[test]
fn a_behavior_may_keep_values_without_judging_them() {
    let draft =
        BehaviorDraft { name: "b".to_owned(), metric: Some("aws:all-bytes-in".to_owned()), ..BehaviorDraft::default() };
    assert_eq!(draft.check(AWS).unwrap().criteria, None);
}

#[test]
fn sets_are_bounded() {
    let mut draft = draft("aws:listening-tcp-ports in-port-set ports=1");
    draft.criteria.as_mut().unwrap().value.as_mut().unwrap().ports = Some(vec![1; SET_ELEMENTS_MAX + 1]);
    assert_eq!(refused(&draft, AWS), "Behavior b is malformed. ports has 10001 elements, at most 10000 are allowed");
}

#[test]
fn behaviors_of_one_profile_have_names_of_their_own() {
    let one = draft("aws:all-bytes-out less-than count=1 300").check(AWS).unwrap();
    let mut other = one.clone();
    other.criteria.as_mut().unwrap().expected = ExpectedValue::Count(Comparison::GreaterThan, 1);
    assert_eq!(validate(std::slice::from_ref(&one), AWS), []);
    let found = validate(&[one, other], AWS);
    let [problem] = &found[..] else { panic!("{found:?}") };
    assert_eq!(problem.to_string(), "Behavior b is malformed. Its name is used more than once");
}
