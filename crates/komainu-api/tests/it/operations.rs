//! Security profiles, violations and values, from request to response.

use komainu_model::{
    ActiveViolation, Behavior, BehaviorName, Change, CloudMetric, Comparison, Criteria, Datapoint, ExpectedValue,
    Metric, MetricValue, ProfileName, Record, ReporterName, Timestamp, VerificationState, ViolationEvent,
    ViolationEventType, ViolationId,
};
use komainu_ports::Store;
use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::world::{NOW_S, World};

const VIOLATION: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
const ALL_THINGS: &str = "arn%3Aaws%3Aiot%3Aeu-west-1%3A123456789012%3Aall%2Fthings";

async fn call(world: &World, method: &str, target: &str, body: Value) -> Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    world.ask(&Ask::new(method, target, &body).signed("iot")).await
}

async fn done(world: &World, method: &str, target: &str, body: Value) -> Value {
    let answer = call(world, method, target, body).await;
    assert_eq!(answer.status, 200, "{method} {target}: {answer:?}");
    answer.json()
}

async fn refused(world: &World, method: &str, target: &str, body: Value) -> (u16, String, Value) {
    let answer = call(world, method, target, body).await;
    (answer.status, answer.code(), answer.json())
}

fn behaviors() -> Value {
    json!([{"name": "bytesOut", "metric": "aws:all-bytes-out", "criteria": {"comparisonOperator": "less-than",
        "value": {"count": 10000}, "durationSeconds": 300, "consecutiveDatapointsToAlarm": 1,
        "consecutiveDatapointsToClear": 1}}])
}

#[tokio::test]
async fn a_profile_lives() {
    let world = World::new();
    let path = "/security-profiles/CheckRogueDevices";
    let topic = "arn:aws:sns:eu-west-1:123456789012:MisbehavingDevices";
    let target = json!({"SNS": {"alertTargetArn": topic, "roleArn": "arn:aws:iam::123456789012:role/r"}});
    let new = json!({"securityProfileDescription": "d", "behaviors": behaviors(), "alertTargets": target,
        "additionalMetricsToRetain": ["aws:all-bytes-in"], "tags": [{"Key": "k", "Value": "v"}]});
    let created = done(&world, "POST", path, new.clone()).await;
    let arn = "arn:aws:iot:eu-west-1:123456789012:securityprofile/CheckRogueDevices";
    assert_eq!(created, json!({"securityProfileName": "CheckRogueDevices", "securityProfileArn": arn}));
    let (status, code, body) = refused(&world, "POST", path, new).await;
    assert_eq!((status, code.as_str(), &body["resourceArn"]), (409, "resourcealreadyexistsexception", &json!(arn)));

    let tags = done(&world, "GET", &format!("/tags?resourceArn={arn}"), Value::Null).await;
    assert_eq!(tags, json!({"tags": [{"Key": "k", "Value": "v"}]}));
    let expected = json!({"securityProfileName": "CheckRogueDevices", "securityProfileArn": arn,
        "securityProfileDescription": "d", "behaviors": behaviors(), "alertTargets": target,
        "additionalMetricsToRetain": ["aws:all-bytes-in"],
        "additionalMetricsToRetainV2": [{"metric": "aws:all-bytes-in"}],
        "version": 1, "creationDate": NOW_S as f64, "lastModifiedDate": NOW_S as f64});
    assert_eq!(done(&world, "GET", path, Value::Null).await, expected);

    let update = json!({"deleteAlertTargets": true, "deleteAdditionalMetricsToRetain": true});
    let updated = done(&world, "PATCH", &format!("{path}?expectedVersion=1"), update).await;
    assert_eq!((&updated["version"], updated.get("alertTargets")), (&json!(2), None));
    let (status, code, _) = refused(&world, "PATCH", &format!("{path}?expectedVersion=1"), json!({})).await;
    assert_eq!((status, code.as_str()), (409, "versionconflictexception"));
    let both = json!({"behaviors": behaviors(), "deleteBehaviors": true});
    assert_eq!(refused(&world, "PATCH", path, both).await.1, "invalidrequestexception");

    done(&world, "DELETE", path, Value::Null).await;
    assert_eq!(refused(&world, "GET", path, Value::Null).await.1, "resourcenotfoundexception");
    assert_eq!(refused(&world, "GET", &format!("/tags?resourceArn={arn}"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn profiles_have_targets() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        done(&world, "POST", &format!("/security-profiles/{name}"), json!({"behaviors": behaviors()})).await;
    }
    done(&world, "POST", "/thing-groups/up", json!({})).await;
    done(&world, "POST", "/thing-groups/down", json!({"parentGroupName": "up"})).await;
    let group = |name: &str| format!("arn:aws:iot:eu-west-1:123456789012:thinggroup/{name}");
    let attach =
        |profile: &str, target: &str| format!("/security-profiles/{profile}/targets?securityProfileTargetArn={target}");
    for (profile, target) in [("a", group("up")), ("b", group("down")), ("c", ALL_THINGS.to_owned())] {
        done(&world, "PUT", &attach(profile, &target), Value::Null).await;
    }
    let for_target = async |target: &str, more: &str| {
        let path = format!("/security-profiles-for-target?securityProfileTargetArn={target}{more}");
        let body = done(&world, "GET", &path, Value::Null).await;
        let mappings = body["securityProfileTargetMappings"].as_array().unwrap().clone();
        let name = |mapping: &Value| mapping["securityProfileIdentifier"]["name"].as_str().unwrap().to_owned();
        (mappings.iter().map(name).collect::<Vec<_>>(), body["nextToken"].as_str().map(str::to_owned))
    };
    assert_eq!(for_target(&group("up"), "").await, (vec!["a".to_owned()], None));
    assert_eq!(for_target(&group("up"), "&recursive=true").await.0, ["b", "a"]);
    let (first, token) = for_target(&group("up"), "&recursive=true&maxResults=1").await;
    let (second, end) = for_target(&group("up"), &format!("&recursive=true&nextToken={}", token.unwrap())).await;
    assert_eq!((first, second, end), (vec!["b".to_owned()], vec!["a".to_owned()], None));
    assert_eq!(for_target(ALL_THINGS, "").await.0, ["c"]);

    let targets = done(&world, "GET", "/security-profiles/c/targets", Value::Null).await;
    let all_things = "arn:aws:iot:eu-west-1:123456789012:all/things";
    assert_eq!(targets, json!({"securityProfileTargets": [{"arn": all_things}]}));
    let list = done(&world, "GET", "/security-profiles?maxResults=2", Value::Null).await;
    assert_eq!(list["securityProfileIdentifiers"][1]["name"], "b");
    let token = list["nextToken"].as_str().unwrap();
    let rest = done(&world, "GET", &format!("/security-profiles?nextToken={token}"), Value::Null).await;
    assert_eq!(rest["securityProfileIdentifiers"].as_array().unwrap().len(), 1);
    let none = done(&world, "GET", "/security-profiles?metricName=aws:num-disconnects", Value::Null).await;
    assert_eq!(none, json!({"securityProfileIdentifiers": []}));

    assert_eq!(refused(&world, "PUT", &attach("a", &group("no")), Value::Null).await.0, 404);
    assert_eq!(refused(&world, "PUT", &attach("no", ALL_THINGS), Value::Null).await.0, 404);
    let other_region = "arn:aws:iot:us-east-1:123456789012:all/things";
    assert_eq!(refused(&world, "PUT", &attach("a", other_region), Value::Null).await.0, 400);
    done(&world, "DELETE", &attach("c", ALL_THINGS), Value::Null).await;
    assert_eq!(for_target(ALL_THINGS, "").await.0, Vec::<String>::new());
}

#[tokio::test]
async fn behaviors_are_validated() {
    let world = World::new();
    let wrong = json!([{"name": "b", "metric": "aws:all-bytes-out", "criteria": {"comparisonOperator": "less-than",
        "value": {"count": 1}, "durationSeconds": 300, "consecutiveDatapointsToAlarm": 11}}]);
    let path = "/security-profile-behaviors/validate";
    let problem = "Behavior b is malformed. consecutiveDatapointsToAlarm 11 should be in range[1,10]";
    let expected = json!({"valid": false, "validationErrors": [{"errorMessage": problem}]});
    assert_eq!(done(&world, "POST", path, json!({"behaviors": wrong})).await, expected);
    let twice = json!([behaviors()[0], behaviors()[0]]);
    assert_eq!(done(&world, "POST", path, json!({"behaviors": twice})).await["valid"], false);
    let expected = json!({"valid": true, "validationErrors": []});
    assert_eq!(done(&world, "POST", path, json!({"behaviors": behaviors()})).await, expected);
    let (status, code, body) = refused(&world, "POST", "/security-profiles/p", json!({"behaviors": wrong})).await;
    assert_eq!((status, code.as_str(), &body["message"]), (400, "invalidrequestexception", &json!(problem)));
}

fn judged() -> Behavior {
    Behavior {
        name: BehaviorName::parse("msgReceive").unwrap(),
        metric: Metric::Cloud(CloudMetric::NumMessagesReceived),
        criteria: Some(Criteria {
            expected: ExpectedValue::Count(Comparison::LessThanEquals, 100),
            duration_s: Some(300),
            datapoints_to_alarm: 1,
            datapoints_to_clear: 1,
        }),
        suppress_alerts: false,
        export_metric: false,
    }
}

/// Writes down what the pipeline would: one violation in alarm, its event, and the value.
fn write_violation(world: &World) {
    let at = Timestamp::from_unix_millis(NOW_S * 1000 + 500);
    let (scope, id) = (World::scope(), ViolationId::parse(VIOLATION).unwrap());
    let (reporter, profile) = (ReporterName::parse("MyDevice").unwrap(), ProfileName::parse("p").unwrap());
    let value = MetricValue::Count(250);
    let active = ActiveViolation {
        id: id.clone(),
        reporter: reporter.clone(),
        profile: profile.clone(),
        behavior: judged(),
        last_value: Some(value.clone()),
        confidence: None,
        verification: VerificationState::Unknown,
        verification_description: None,
        last_at: at,
        started_at: at,
    };
    let event = ViolationEvent {
        violation: id,
        reporter: reporter.clone(),
        profile,
        behavior: judged(),
        value: Some(value.clone()),
        confidence: None,
        kind: ViolationEventType::InAlarm,
        verification: VerificationState::Unknown,
        verification_description: None,
        at,
    };
    let datapoint = Datapoint { reporter, metric: judged().metric, value, at };
    let batch = [
        Change::Put(scope.clone(), Record::ActiveViolation(active)),
        Change::AppendViolationEvent(scope.clone(), event),
        Change::AppendDatapoint(scope, datapoint),
    ];
    world.store.commit(&batch).unwrap();
}

#[tokio::test]
async fn violations_and_values_are_shown() {
    let world = World::new();
    write_violation(&world);
    let behavior = json!({"name": "msgReceive", "metric": "aws:num-messages-received", "criteria": {
        "comparisonOperator": "less-than-equals", "value": {"count": 100}, "durationSeconds": 300,
        "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}});
    let at = NOW_S as f64 + 0.5;
    let expected = json!({"activeViolations": [{"violationId": VIOLATION, "thingName": "MyDevice",
        "securityProfileName": "p", "behavior": behavior, "lastViolationValue": {"count": 250},
        "verificationState": "UNKNOWN", "lastViolationTime": at, "violationStartTime": at}]});
    assert_eq!(done(&world, "GET", "/active-violations", Value::Null).await, expected);
    assert_eq!(done(&world, "GET", "/active-violations?thingName=MyDevice", Value::Null).await, expected);
    for other in [
        "thingName=Other",
        "securityProfileName=q",
        "behaviorCriteriaType=STATISTICAL",
        "verificationState=TRUE_POSITIVE",
    ] {
        let none = done(&world, "GET", &format!("/active-violations?{other}"), Value::Null).await;
        assert_eq!(none, json!({"activeViolations": []}), "{other}");
    }

    let verify = format!("/violations/verification-state/{VIOLATION}");
    let state = json!({"verificationState": "TRUE_POSITIVE", "verificationStateDescription": "seen"});
    assert_eq!(done(&world, "POST", &verify, state).await, json!({}));
    let times = "startTime=2023-11-14T22%3A13%3A20Z&endTime=2023-11-14T22%3A13%3A21Z";
    let expected = json!({"violationEvents": [{"violationId": VIOLATION, "thingName": "MyDevice",
        "securityProfileName": "p", "behavior": behavior, "metricValue": {"count": 250},
        "violationEventType": "in-alarm", "verificationState": "TRUE_POSITIVE",
        "verificationStateDescription": "seen", "violationEventTime": at}]});
    assert_eq!(done(&world, "GET", &format!("/violation-events?{times}"), Value::Null).await, expected);

    let values = format!("/metric-values?thingName=MyDevice&metricName=aws:num-messages-received&{times}");
    let expected = json!({"metricDatumList": [{"timestamp": at, "value": {"count": 250}}]});
    assert_eq!(done(&world, "GET", &values, Value::Null).await, expected);
}

#[tokio::test]
async fn wrong_questions_about_violations_are_refused() {
    let world = World::new();
    let check = async |method: &str, target: &str, body: Value, status: u16, message: &str| {
        let (found, _, answer) = refused(&world, method, target, body).await;
        assert_eq!((found, answer["message"].as_str().unwrap()), (status, message), "{target}");
    };
    let verify = |state: &str| json!({"verificationState": state});
    let unknown = format!("violation {VIOLATION:?} does not exist");
    let path = format!("/violations/verification-state/{VIOLATION}");
    check("POST", &path, verify("UNKNOWN"), 400, &unknown).await;
    check("POST", "/violations/verification-state/x", verify("UNKNOWN"), 400, "violation \"x\" does not exist").await;
    let expected = "verificationState must be FALSE_POSITIVE, BENIGN_POSITIVE, TRUE_POSITIVE or UNKNOWN, not \"x\"";
    check("POST", &path, verify("x"), 400, expected).await;
    check("GET", "/violation-events?startTime=2&endTime=1", Value::Null, 400, "startTime must not be after endTime")
        .await;
    check("GET", "/violation-events?endTime=1", Value::Null, 400, "missing field `startTime`").await;
    check("GET", "/active-violations?maxResults=251", Value::Null, 400, "maxResults should be in range[1,250]").await;
    check("GET", "/active-violations?nextToken=x", Value::Null, 400, "nextToken is not one that was given out").await;
    let values = "/metric-values?thingName=t&metricName=m&startTime=0&endTime=1";
    let dimension = format!("{values}&dimensionName=d&dimensionValueOperator=IN");
    check("GET", &dimension, Value::Null, 404, "dimension \"d\" does not exist").await;
    world.store.break_medium();
    check("GET", values, Value::Null, 503, "The service is temporarily unavailable.").await;
}
