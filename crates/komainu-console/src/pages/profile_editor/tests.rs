//! The editor through the console's front: nothing typed is lost, mistakes stand at their rows, a trial says what detection
//! would have.

use std::sync::Arc;

use hyper::Method;
use komainu_model::{
    Behavior, Change, Comparison, Criteria, Datapoint, DeviceMetric, ExpectedValue, Metric, MetricValue, ReporterName,
    Role, Timestamp, ViolationEvent, ViolationEventType, ViolationId,
};
use komainu_ports::MemoryLake;

use super::draft::{Form, Row};
use crate::Console;
use crate::request::tests::{ask, console_with, english_of_japanese, form_of};
use crate::test_desks::scope;

const NOW_S: i64 = 1_700_000_000;

fn console() -> Arc<Console> {
    console_with(Arc::new(MemoryLake::default()))
}

/// A row as a browser sends it: `NAME METRIC OPERATOR VALUE WINDOW ALARM CLEAR`, `-` for nothing.
fn row(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').map(|word| if word == "-" { "" } else { word }).collect();
    let [name, metric, operator, value, window, to_alarm, to_clear] = words[..] else { panic!("{text}") };
    format!(
        "&b-name={name}&b-metric={metric}&b-operator={operator}&b-value={value}&b-window={window}&b-alarm={to_alarm}\
         &b-clear={to_clear}"
    )
}

/// Sends the form of an analyst.
fn send(console: &Arc<Console>, path: &str, fields: &str) -> (u16, String) {
    ask(console, Some(Role::Analyst), Method::POST, path, &(form_of(Role::Analyst) + fields))
}

#[track_caller]
fn has(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "there is no {text:?}: {page}");
    }
}

const GOOD: &str = "bytes aws:all-bytes-out less-than 1000 300 1 1";

#[test]
fn it_is_saved_and_looked_at() {
    let console = console();
    let profile = format!("&name=cameras&description=%3Cb%3E&target=group:cameras&retain=m{}", row(GOOD));
    let (status, location) = send(&console, "/profiles/new", &format!("{profile}&do=save"));
    assert_eq!((status, location.as_str()), (303, "/profiles/cameras?said=profile-saved"));
    let (_, page) = ask(&console, Some(Role::Viewer), Method::GET, "/profiles/cameras", "");
    has(&page, &["&lt;b&gt;", "bytes sent", "&lt; 1\u{2009}000 in 5 min", "/groups/cameras", "/devices/camera-1"]);
    assert!(!page.contains("/edit"), "viewers are offered what they may not: {page}");
    let (_, list) = ask(&console, Some(Role::Viewer), Method::GET, "/profiles", "");
    has(&list, &["/profiles/cameras", "/groups/cameras"]);
    let (_, found) = ask(&console, Some(Role::Viewer), Method::GET, "/search?q=CAM", "");
    has(&found, &["/profiles/cameras"]);
    assert_eq!(ask(&console, Some(Role::Viewer), Method::GET, "/profiles/new", "").0, 403);
    assert_eq!(ask(&console, Some(Role::Viewer), Method::GET, "/profiles/others", "").0, 404);

    // The same name again: nothing typed is lost.
    let (_, again) = send(&console, "/profiles/new", &format!("{profile}&do=save"));
    has(&again, &["of this name already", "value=\"aws:all-bytes-out\"", "value=\"cameras\""]);

    let (_, ask_first) = ask(&console, Some(Role::Analyst), Method::GET, "/profiles/cameras/delete", "");
    has(&ask_first, &["Delete cameras?", "name=\"version\" value=\"1\""]);
    has(&send(&console, "/profiles/cameras/delete", "&version=7").1, &["changed this profile meanwhile"]);
    assert_eq!(send(&console, "/profiles/cameras/delete", "&version=1").0, 303);
    assert_eq!(ask(&console, Some(Role::Viewer), Method::GET, "/profiles/cameras", "").0, 404);
    let (_, trail) = ask(&console, Some(Role::Admin), Method::GET, "/admin/audit", "");
    has(&trail, &["security profile made", "security profile deleted"]);
}

#[test]
fn mistakes_stand_at_their_rows_all_at_once() {
    let console = console();
    let rows = [
        GOOD,
        "ports aws:listening-tcp-ports less-than 5 300 1 1",
        "- aws:all-bytes-out less-than many 300 99 1",
        "x aws:nonsense in-cidr-set 192.0.2.0/33 - 1 1",
    ];
    let rows: String = rows.iter().map(|text| row(text)).collect();
    let (_, page) = send(&console, "/profiles/new", &format!("&name=a+b&groups=%3Cg&retain-more=%21{rows}&do=save"));
    has(
        &page,
        &[
            "1 to 128 characters",
            "“&lt;g” is no name of a group",
            "“!” is no name of a metric",
            "Metric aws:listening-tcp-ports needs a list of ports",
            "Value: “many” is no number",
            "The name is missing",
            "must be a metric of AWS IoT",
            "Element 1 of the list: That is no network",
            "value=\"a b\"",
            "192.0.2.0/33",
        ],
    );
    assert_eq!(page.matches("fieldset class=\"behavior bad\"").count(), 3, "{page}");
    let form = form_of(Role::Analyst) + &format!("&name=a+b&groups=%3Cg&retain-more=%21{rows}&do=save");
    let found = english_of_japanese(&console, Some(Role::Analyst), Method::POST, "/profiles/new", &form);
    assert_eq!(found, [""; 0]);
    assert_eq!(ask(&console, Some(Role::Viewer), Method::GET, "/profiles/a", "").0, 404);
}

#[test]
fn rows_come_and_go_and_everything_typed_stays() {
    let console = console();
    let rows = row(GOOD) + &row("ports - in-port-set 22,443 - 2 -") + "&b-suppress=1";
    let (_, more) = send(&console, "/profiles/new", &format!("&name=n{rows}&do=add"));
    assert_eq!(more.matches("name=\"b-name\"").count(), 3, "{more}");
    has(&more, &["22,443", "name=\"b-suppress\" value=\"1\" checked", "value=\"n\""]);
    let (_, less) = send(&console, "/profiles/new", &format!("&name=n{rows}&do=remove-0"));
    assert_eq!(less.matches("name=\"b-name\"").count(), 1, "{less}");
    has(&less, &["22,443"]);
    has(&send(&console, "/profiles/new", &format!("&name=n{rows}&do=remove-9")).1, &["aws:all-bytes-out"]);
}

#[test]
fn somebody_else_may_have_been_faster() {
    let console = console();
    let profile = |value: &str| {
        let behavior = row(&format!("bytes aws:all-bytes-out less-than {value} 300 1 1"));
        format!("&name=p&target=all{behavior}&do=save")
    };
    assert_eq!(send(&console, "/profiles/new", &profile("1")).0, 303);
    assert_eq!(send(&console, "/profiles/p/edit", &format!("{}&version=1", profile("2"))).0, 303);
    let (_, page) = send(&console, "/profiles/p/edit", &format!("{}&version=1", profile("3")));
    has(
        &page,
        &["it has version 2 now", "name=\"over\" value=\"2\"", "\n3</textarea>", "name=\"version\" value=\"1\""],
    );
    // Whoever says so replaces it.
    assert_eq!(send(&console, "/profiles/p/edit", &format!("{}&version=1&over=2", profile("3"))).0, 303);
    let (_, page) = ask(&console, Some(Role::Analyst), Method::GET, "/profiles/p/edit", "");
    has(&page, &["\n3</textarea>", "name=\"version\" value=\"3\""]);
    assert_eq!(send(&console, "/profiles/p/delete", "&version=3").0, 303);
    has(&send(&console, "/profiles/p/edit", &format!("{}&version=3", profile("3"))).1, &["deleted this profile"]);
}

/// A report of the camera and of a printer every five minutes for a day: 400 bytes each, and 9,000 at two times of the camera.
fn reported(console: &Console) {
    let metric = Metric::Device(DeviceMetric::AllBytesOut);
    let mut changes = Vec::new();
    for count in 0..288 {
        let at = Timestamp::from_unix_seconds(NOW_S - 86_400 + 300 * count);
        for name in ["camera-1", "printer\u{202e}"] {
            let bytes = if name == "camera-1" && matches!(count, 100 | 200) { 9_000 } else { 400 };
            let (reporter, value) = (ReporterName::parse(name).unwrap(), MetricValue::Count(bytes));
            let datapoint = Datapoint { reporter, metric: metric.clone(), value, at };
            changes.push(Change::AppendDatapoint(scope(), datapoint));
        }
    }
    console.history.commit(&changes).unwrap();
}

#[test]
fn a_trial_says_what_would_have_been_found() {
    let console = console();
    reported(&console);
    let tried = |fields: &str| send(&console, "/profiles/new", &format!("{fields}&days=7&do=try")).1;
    let group = "&target=group:cameras";
    let page = tried(&format!("{group}{}", row(GOOD)));
    has(
        &page,
        &["would have fired 2 times in the last 7 d, on one device", "/devices/camera-1", "9\u{2009}000", "as live"],
    );
    assert!(!page.contains("printer"), "only devices of the profile are tried: {page}");
    // The editor is still there with everything, and nothing was saved.
    has(&page, &["value=\"aws:all-bytes-out\"", "value=\"group:cameras\" checked"]);
    assert_eq!(ask(&console, Some(Role::Viewer), Method::GET, "/profiles/draft", "").0, 404);

    has(
        &tried(&format!("&target=all{}", row("b aws:all-bytes-out less-than 300 300 1 1"))),
        &["printer\\u{202e}", "2 devices"],
    );
    has(&tried(&format!("{group}{}", row("b aws:all-bytes-out less-than 1000 300 2 1"))), &["would never have fired"]);
    has(
        &tried(&format!("{group}{}", row("b aws:all-bytes-in less-than 1000 300 1 1"))),
        &["no values of these devices are stored", "additionalMetricsToRetainV2"],
    );
    has(&tried(&row(GOOD)), &["No value is stored of any device"]);
    let wrong = tried(&format!("{group}{}", row("b aws:all-bytes-out less-than x 300 1 1")));
    has(&wrong, &["“x” is no number"]);
    assert!(!wrong.contains("id=\"trial\""), "{wrong}");
}

#[test]
fn the_key_enter_never_saves() {
    let console = console();
    reported(&console);
    let tried = send(&console, "/profiles/new", &format!("&target=group:cameras{}&days=7&do=try", row(GOOD))).1;
    for page in [tried, ask(&console, Some(Role::Analyst), Method::GET, "/profiles/new", "").1] {
        let first = page.find("name=\"do\"").unwrap();
        assert!(page[first..].starts_with("name=\"do\" value=\"try\""), "{page}");
    }
}

#[test]
fn few_trials_run_at_a_time() {
    let console = console();
    let turns = [console.trials.try_acquire().unwrap(), console.trials.try_acquire().unwrap()];
    let tried = || send(&console, "/profiles/new", &format!("&target=all{}&do=try", row(GOOD))).1;
    has(&tried(), &["Two other trials run just now", "value=\"aws:all-bytes-out\""]);
    drop(turns);
    has(&tried(), &["id=\"trial\""]);
}

#[test]
fn a_trial_stands_beside_what_did_happen() {
    let console = console();
    reported(&console);
    let profile = format!("&name=p&target=group:cameras{}", row(GOOD));
    send(&console, "/profiles/new", &format!("{profile}&do=save"));
    let behavior = |name: &str| Behavior {
        name: komainu_model::BehaviorName::parse(name).unwrap(),
        metric: Metric::Device(DeviceMetric::AllBytesOut),
        criteria: Some(Criteria {
            expected: ExpectedValue::Count(Comparison::LessThan, 1_000),
            duration_s: Some(300),
            datapoints_to_alarm: 1,
            datapoints_to_clear: 1,
        }),
        suppress_alerts: false,
        export_metric: false,
    };
    let events = [1, 2, 3].map(|number| {
        let event = ViolationEvent {
            violation: ViolationId::parse(&format!("00000000-0000-4000-8000-00000000000{number}")).unwrap(),
            reporter: ReporterName::parse("camera-1").unwrap(),
            profile: komainu_model::ProfileName::parse("p").unwrap(),
            behavior: behavior("bytes"),
            value: None,
            confidence: None,
            kind: if number == 3 { ViolationEventType::AlarmCleared } else { ViolationEventType::InAlarm },
            verification: Default::default(),
            verification_description: None,
            at: Timestamp::from_unix_seconds(NOW_S - 1_000 * number),
        };
        Change::AppendViolationEvent(scope(), event)
    });
    console.history.commit(&events).unwrap();
    let (_, page) = send(&console, "/profiles/p/edit", &format!("{profile}&version=1&days=1&do=try"));
    has(&page, &["Did fire, on devices", ">2 / 1</td>", "would have fired 2 times in the last 1 d"]);
}

#[test]
fn a_profile_is_shown_in_the_form_as_it_is() {
    let check = |expected: ExpectedValue| {
        let behavior = Behavior {
            name: komainu_model::BehaviorName::parse("b").unwrap(),
            metric: Metric::parse("m").unwrap(),
            criteria: Some(Criteria { expected, duration_s: None, datapoints_to_alarm: 2, datapoints_to_clear: 3 }),
            suppress_alerts: true,
            export_metric: false,
        };
        let console = console();
        let profile = komainu_model::SecurityProfile {
            name: komainu_model::ProfileName::parse("p").unwrap(),
            description: None,
            behaviors: vec![behavior],
            alert_targets: Vec::new(),
            metrics_to_retain: Vec::new(),
            metrics_export: None,
            targets: Default::default(),
            version: 1,
            created_at: Timestamp::from_unix_seconds(NOW_S),
            modified_at: Timestamp::from_unix_seconds(NOW_S),
        };
        let form = Form::of(&profile).unwrap();
        let (read, known) = (saved(&console, &form.rows[0]), &profile.behaviors[0]);
        assert_eq!(&read, known);
    };
    check(ExpectedValue::Count(Comparison::LessThan, 5));
    check(ExpectedValue::Number(Comparison::GreaterThanEquals, 5.0));
    check(ExpectedValue::Number(Comparison::LessThanEquals, -0.25));
    check(ExpectedValue::Numbers { within: true, set: vec![1.0, 2.5] });
    check(ExpectedValue::Strings { within: false, set: vec![" a, b ".to_owned(), "<c>".to_owned()] });
    check(ExpectedValue::Cidrs { within: true, set: vec!["192.0.2.0/24".parse().unwrap()] });
}

/// The behavior of a row that went through a browser.
fn saved(console: &Arc<Console>, row: &Row) -> Behavior {
    let encode = |text: &str| crate::address::part(&text.replace('\n', "\r\n"));
    let fields = format!(
        "&name=p&b-name={}&b-metric={}&b-operator={}&b-value={}&b-window={}&b-alarm={}&b-clear={}{}&do=save",
        encode(&row.name),
        encode(&row.metric),
        row.operator,
        encode(&row.value),
        row.window,
        row.to_alarm,
        row.to_clear,
        if row.is_suppressed { "&b-suppress=0" } else { "" },
    );
    let (status, page) = send(console, "/profiles/new", &fields);
    assert_eq!(status, 303, "{page}");
    let name = komainu_model::ProfileName::parse("p").unwrap();
    console.profiles.profile(&scope(), &name).unwrap().behaviors[0].clone()
}

#[test]
fn what_the_form_cannot_show_is_not_offered() {
    let name = "new";
    let console = console();
    // A profile may be called as the page on which new ones are written.
    let (status, location) = send(&console, "/profiles/new", &format!("&name={name}{}&do=save", row(GOOD)));
    assert_eq!((status, location.as_str()), (303, "/profiles/%6eew?said=profile-saved"));
    let (_, page) = ask(&console, Some(Role::Analyst), Method::GET, "/profiles/%6eew", "");
    has(&page, &["/profiles/%6eew/edit", "bytes sent"]);
    let strings = ExpectedValue::Strings { within: true, set: vec!["two\nlines".to_owned()] };
    let profile = console.profiles.profile(&scope(), &komainu_model::ProfileName::parse(name).unwrap()).unwrap();
    let mut profile = komainu_model::SecurityProfile::clone(&profile);
    profile.behaviors[0].criteria.as_mut().unwrap().expected = strings;
    assert_eq!(Form::of(&profile), None);
}

#[test]
fn a_hundred_behaviors_fit() {
    let console = console();
    let rows: String = (0..100).map(|number| row(&GOOD.replacen("bytes", &format!("behavior-{number}"), 1))).collect();
    let profile = format!("&name=large&target=all{rows}");
    assert_eq!(send(&console, "/profiles/new", &format!("{profile}&do=save")).0, 303);
    let (status, page) = ask(&console, Some(Role::Analyst), Method::GET, "/profiles/large/edit", "");
    assert_eq!(status, 200, "{page}");
    assert!(page.len() < 150_000, "{} bytes", page.len());
    assert_eq!(page.matches("name=\"b-name\"").count(), 100);
    assert_eq!(page.matches("<fieldset").count(), 10, "{page}");
    has(&page, &["value=\"open-99\"", "behavior-99"]);
    // One that is opened stays open, also when one before it goes, and all of them are saved.
    let (_, page) = send(&console, "/profiles/large/edit", &format!("{profile}&version=1&do=open-99"));
    has(&page, &["name=\"opened\" value=\"99\"", "value=\"remove-99\""]);
    let (_, page) = send(&console, "/profiles/large/edit", &format!("{profile}&version=1&opened=99&do=remove-3"));
    has(&page, &["name=\"opened\" value=\"98\"", "value=\"remove-98\""]);
    assert_eq!(page.matches("name=\"b-name\"").count(), 99);
    assert_eq!(send(&console, "/profiles/large/edit", &format!("{profile}&version=1&opened=99&do=save")).0, 303);
    let name = komainu_model::ProfileName::parse("large").unwrap();
    assert_eq!(console.profiles.profile(&scope(), &name).unwrap().behaviors.len(), 100);
}
