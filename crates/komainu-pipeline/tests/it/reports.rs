//! From a report to its answer, its values, its alarm.

use komainu_model::{Datapoint, MetricValue, Timestamp, VerificationState};
use komainu_ports::{DatapointQuery, MeterReading, Page, QualityOfService, ReportEncoding, ReportSinkError, Store};

use crate::house::{House, START_S, behavior, pass, scope};

fn kept(house: &House, metric: &str) -> Vec<(f64, MetricValue)> {
    let query = DatapointQuery {
        reporter: komainu_model::ReporterName::parse("MyDevice").unwrap(),
        metric: komainu_model::Metric::parse(metric).unwrap(),
        from: Timestamp::from_unix_millis(i64::MIN),
        to: Timestamp::from_unix_millis(i64::MAX),
    };
    let page = house.store.datapoints(&scope(), &query, &Page { after: None, limit: 100 }).unwrap();
    let show = |point: Datapoint| (point.at.unix_seconds_fractional() - START_S as f64, point.value);
    page.items.into_iter().map(show).collect()
}

fn reading(connected: bool, messages_received: u64) -> MeterReading {
    MeterReading {
        scope: scope(),
        reporter: komainu_model::ReporterName::parse("MyDevice").unwrap(),
        connected,
        messages_sent: 0,
        messages_received,
        message_bytes: None,
        authorization_failures: 0,
        connection_attempts: 0,
        disconnects: 0,
        source_addresses: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_is_stored_and_answered_in_its_encoding() {
    let house = House::new(&["bytesOut aws:all-bytes-out 10000 300"]).await;
    house.bytes_out(7, 500).await.unwrap();
    let [message] = &house.broker.published()[..] else { panic!("one answer") };
    assert_eq!(&*message.topic, "$aws/things/MyDevice/defender/metrics/json/accepted");
    assert_eq!((message.qos, message.retain), (QualityOfService::AtLeastOnce, false));
    let answer: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
    let expected = serde_json::json!({
        "thingName": "MyDevice", "reportId": 7, "status": "ACCEPTED", "timestamp": START_S * 1000
    });
    assert_eq!(answer, expected);
    assert_eq!(kept(&house, "aws:all-bytes-out"), [(0.0, MetricValue::Count(500))]);

    // {"hed": {"rid": 9, "v": "1.0"}, "met": {}}
    let cbor = b"\xa2\x63hed\xa2\x63rid\x09\x61v\x631.0\x63met\xa0";
    house.send("MyDevice", ReportEncoding::Cbor, cbor).await.unwrap();
    let [message] = &house.broker.published()[..] else { panic!("one answer") };
    assert_eq!(&*message.topic, "$aws/things/MyDevice/defender/metrics/cbor/accepted");
    assert_eq!(message.payload[0], 0xa4, "a map of four");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_refused_and_what_is_left_out_is_named() {
    let house = House::new(&["cpu cpu 90"]).await;
    let check = async |thing: &str, report: &str, expected: &str| {
        house.send(thing, ReportEncoding::Json, report.as_bytes()).await.unwrap();
        assert_eq!(house.broker.published_texts(), [expected], "{report}");
    };
    let at_ms = START_S * 1000;
    let topic = "$aws/things/MyDevice/defender/metrics/json";
    check(
        "MyDevice",
        r#"{"header":{"report_id":3"#,
        &format!(
            r#"{topic}/rejected {{"thingName":"MyDevice","reportId":3,"status":"REJECTED","statusDetails":{{"ErrorCode":"InvalidPayload","ErrorMessage":"report is not valid JSON: EOF while parsing an object at line 1 column 24"}},"timestamp":{at_ms}}}"#
        ),
    )
    .await;
    check(
        "My\u{7}Device",
        r#"{"header":{"report_id":3,"version":"1.0"},"metrics":{}}"#,
        &format!(
            "$aws/things/My\u{7}Device/defender/metrics/json/rejected {}",
            format_args!(
                r#"{{"thingName":"My\u0007Device","reportId":3,"status":"REJECTED","statusDetails":{{"ErrorCode":"InvalidPayload","ErrorMessage":"thing name contains '\\u{{7}}', allowed are printable characters"}},"timestamp":{at_ms}}}"#
            )
        ),
    )
    .await;
    check(
        "MyDevice",
        r#"{"header":{"report_id":4,"version":"1.0"},"metrics":{"dns":{}},"custom_metrics":{"cpu":[{"string_list":["x"]}]}}"#,
        &format!(
            r#"{topic}/accepted {{"thingName":"MyDevice","reportId":4,"status":"ACCEPTED","timestamp":{at_ms},"droppedMetrics":[{{"metric":"metrics.dns","reason":"is not a known section"}},{{"metric":"custom_metrics.cpu","reason":"is a list of strings, but behavior cpu of security profile CheckRogueDevices compares a number"}}]}}"#
        ),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_alarm_is_told_and_so_is_its_end() {
    let house = House::new(&["bytesOut aws:all-bytes-out 10000 300"]).await;
    pass(10.0).await;
    house.bytes_out(1, 20_000).await.unwrap();
    pass(2.0).await;
    assert_eq!(house.events(), ["InAlarm bytesOut 10.0 Unknown"]);
    assert_eq!(house.active().len(), 1);
    assert_eq!(house.courier.tried(), ["ops@example.com InAlarm bytesOut allMyDevices"]);
    pass(300.0).await;
    house.bytes_out(2, 50).await.unwrap();
    pass(300.0).await;
    assert_eq!(house.events(), ["InAlarm bytesOut 10.0 Unknown", "AlarmCleared bytesOut 600.0 Unknown"]);
    assert_eq!(house.active(), []);
    assert_eq!(house.courier.tried(), ["ops@example.com AlarmCleared bytesOut allMyDevices"]);
    let now = house.ports.clock.now();
    assert_eq!(house.store.deliveries_due(now, 10).unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn suppressed_alarms_are_recorded_and_not_told() {
    let mut quiet = behavior("quiet aws:all-bytes-out 10000 300");
    quiet.suppress_alerts = true;
    let house = House::with(vec![quiet]).await;
    house.bytes_out(1, 20_000).await.unwrap();
    pass(5.0).await;
    assert_eq!(house.events(), ["InAlarm quiet 0.0 Unknown"]);
    assert_eq!(house.courier.tried(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_gateways_meters_are_judged() {
    let house = House::new(&["msgReceive aws:num-messages-received 101 300"]).await;
    house.broker.readings.lock().unwrap().push(reading(true, 60));
    pass(1.5).await;
    assert_eq!(house.events(), Vec::<String>::new());
    house.broker.readings.lock().unwrap().push(reading(true, 41));
    pass(1.0).await;
    assert_eq!(house.events(), ["InAlarm msgReceive 2.0 Unknown"]);
    // The device is gone; the windows go on.
    pass(700.0).await;
    assert_eq!(house.events()[1..], ["AlarmCleared msgReceive 600.0 Unknown"]);
    assert_eq!(kept(&house, "aws:num-messages-received"), [(300.0, MetricValue::Count(101))]);
}

#[tokio::test(start_paused = true)]
async fn a_killed_server_has_lost_nothing_that_was_acknowledged() {
    let mut house = House::new(&["bytesOut aws:all-bytes-out 10000 300"]).await;
    house.bytes_out(1, 6_000).await.unwrap();
    house.restart().await;
    pass(20.0).await;
    house.bytes_out(2, 5_000).await.unwrap();
    assert_eq!(house.events(), ["InAlarm bytesOut 20.0 Unknown"]);
    let violation = house.active()[0].id.clone();
    house.restart().await;
    pass(20.0).await;
    house.bytes_out(3, 1).await.unwrap();
    assert_eq!((house.events().len(), &house.active()[0].id), (1, &violation));
    // A server that is killed between telling and writing that down tells again: the same message, with the same id.
    assert!(!house.courier.tried().is_empty());
    assert_eq!(house.courier.ids.lock().unwrap().len(), 1, "told of once");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_is_not_acknowledged_and_counts_when_it_comes_again() {
    let house = House::new(&["bytesOut aws:all-bytes-out 10000 300"]).await;
    house.bytes_out(1, 4_000).await.unwrap();
    house.store.break_medium();
    let refused = house.bytes_out(2, 5_000).await;
    assert!(matches!(refused, Err(ReportSinkError::NotStored { .. })), "{refused:?}");
    assert_eq!(house.broker.published().len(), 1);
    let refused = house.bytes_out(2, 5_000).await;
    assert!(matches!(refused, Err(ReportSinkError::NotStored { .. })), "{refused:?}");
    house.store.mend_medium();
    pass(3.0).await;
    house.bytes_out(2, 5_000).await.unwrap();
    assert_eq!(house.events(), Vec::<String>::new(), "what was refused has not been counted");
    pass(20.0).await;
    house.bytes_out(3, 1_000).await.unwrap();
    assert_eq!(house.events(), ["InAlarm bytesOut 23.0 Unknown"]);
}

#[tokio::test(start_paused = true)]
async fn what_people_found_out_is_kept_and_told() {
    let house = House::new(&["bytesOut aws:all-bytes-out 10000 300"]).await;
    house.bytes_out(1, 20_000).await.unwrap();
    let violation = house.active()[0].id.clone();
    house.store.verify_violation(&scope(), &violation, VerificationState::TruePositive, Some("seen")).unwrap();
    pass(310.0).await;
    house.bytes_out(2, 20_000).await.unwrap();
    let active = &house.active()[0];
    assert_eq!(
        (active.verification, active.last_value.clone()),
        (VerificationState::TruePositive, Some(MetricValue::Count(20_000)))
    );
    pass(300.0).await;
    house.bytes_out(3, 20).await.unwrap();
    pass(300.0).await;
    assert_eq!(house.events(), ["InAlarm bytesOut 0.0 TruePositive", "AlarmCleared bytesOut 900.0 TruePositive"]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_pipeline_finishes_what_it_holds_and_takes_no_more() {
    let house = House::new(&["bytesOut aws:all-bytes-out 10000 300"]).await;
    house.broker.readings.lock().unwrap().push(reading(true, 1));
    let held = house.bytes_out(1, 500);
    let (held, ()) = tokio::join!(biased; held, house.pipeline.shutdown());
    held.unwrap();
    assert_eq!(house.broker.published().len(), 1);
    assert!(house.broker.readings.lock().unwrap().is_empty(), "the last readings were taken");
    let refused = house.bytes_out(2, 500).await;
    assert!(matches!(refused, Err(ReportSinkError::Busy)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn history_is_kept_for_fourteen_days() {
    let mut house = House::new(&["bytesOut aws:all-bytes-out 10000 300"]).await;
    house.bytes_out(1, 20_000).await.unwrap();
    house.restart_after(14 * 86_400 - 60).await;
    pass(5.0).await;
    assert_eq!((kept(&house, "aws:all-bytes-out").len(), house.events().len()), (1, 2));
    // The alarm's beginning is too old now; its end, for want of data, is not.
    house.restart_after(14 * 86_400 + 60).await;
    pass(5.0).await;
    assert_eq!((kept(&house, "aws:all-bytes-out").len(), house.events().len()), (0, 1));
}
