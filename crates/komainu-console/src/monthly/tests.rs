//! Reports of what was made up in memory.

use std::sync::Arc;

use hyper::Method;
use komainu_model::{
    Behavior, BehaviorName, Change, IndicatorId, IndicatorMatch, KomainuMetric, Metric, MetricValue, ProfileName,
    Remote, ReporterName, Role, SightingWay, VerificationState, ViolationEvent, ViolationEventType, ViolationId,
};
use komainu_ports::{Lake, LakeBatchName, LakeRowsBuilder, LakeValue, MemoryLake, MemoryStore};
use komainu_statistics::read_notes;

use super::*;
use crate::request::tests::{FixedFleet, NOW, ask, console_of, console_that_published, console_with};
use crate::test_desks::scope;

const DAY_MS: i64 = 86_400_000;

const HOSTILE: &str = "<script>alert(1)</script>\u{202e}\u{1b}[2J";

/// Attacks on each of 120 days up to 2023-11-14, on two models, and many on 2023-10-20. Some of October's show what is hostile.
fn lake() -> Arc<MemoryLake> {
    let (mut attacks, mut observables) =
        (LakeRowsBuilder::new(LakeTable::Attacks), LakeRowsBuilder::new(LakeTable::Observables));
    let word = LakeValue::text;
    for day in 0..120_i64 {
        let count = if day == 25 { 600 } else { 40 + day % 3 };
        for number in 0..count {
            let at = LakeValue::Time(Timestamp::from_unix_millis(NOW.unix_millis() - day * DAY_MS - number * 1_000));
            let is_new = day == 25 && number % 10 == 0;
            let source = word(&format!("198.51.100.{}", number % 40));
            let (country, sensor) = (word(if is_new { "DE" } else { "JP" }), word("tokyo"));
            let model = if number % 2 == 0 { "DP-3.0" } else { "www.evil.example/<b>" };
            let of_appliance = [word("ip_camera"), word(model), word("telnet")];
            if is_new {
                let long = "x".repeat(4_000);
                for (kind, value) in [
                    ("url", "HTTP://evil.example/<b>"),
                    ("credential", HOSTILE),
                    ("command", long.as_str()),
                    ("cve", "CVE-2023-1001"),
                ] {
                    let head = [at.clone(), word(kind), word(value), source.clone(), country.clone(), sensor.clone()];
                    observables.push(&[&head[..], &of_appliance, &[word("released")]].concat());
                }
            }
            let head = [at, source, country, LakeValue::Number(64_500), sensor];
            let port = if number % 2 == 0 { 23 } else { 2_323 };
            let tail = [word("tcp"), LakeValue::Number(port), word("bruteforce"), word("released")];
            attacks.push(&[&head[..], &of_appliance, &tail].concat());
        }
    }
    let lake = Arc::new(MemoryLake::default());
    let name = LakeBatchName { stream: "test".to_owned(), sequence: 1 };
    lake.append(&name, &[attacks.finish(), observables.finish()]).unwrap();
    lake
}

/// The document at a path, which needs nothing from elsewhere and leads nowhere.
fn document(console: &Arc<crate::Console>, path: &str) -> String {
    let (status, text) = ask(console, Some(Role::Viewer), Method::GET, path, "");
    assert_eq!(status, 200, "{path}: {text}");
    assert!(text.len() < DOCUMENT_BYTES_MAX, "{path} has {} bytes", text.len());
    assert!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>"), "{path}");
    for not in ["http:", "https:", "HTTP:", "<script", "<a ", "href", "src=", "url(", "@import", "\u{202e}", "\u{1b}"] {
        assert!(!text.contains(not), "{path} has {not:?} in {:?}", around(&text, not));
    }
    // A key of the catalogue that is missing stands for itself, and a place that is not filled in too.
    assert!(!text.contains(">monthly."), "{:?}", around(&text, ">monthly."));
    text
}

fn around<'t>(text: &'t str, wanted: &str) -> &'t str {
    let at = text.find(wanted).unwrap_or(0);
    let (from, to) = (text.floor_char_boundary(at.saturating_sub(200)), text.ceil_char_boundary(at + 200));
    &text[from..to]
}

#[test]
fn a_month_is_told_in_both_languages() {
    let notes = "date,title,cve,protocol,appliance,model,url\n\
        2023-10-18,Login <bypass>,CVE-2023-1001,,,,\n\
        2023-10-05,A talk about doors,,,,,\n\
        2023-09-05,Of another month,,,,,\n";
    let (publications, problems) = read_notes(notes.as_bytes());
    assert_eq!(problems, []);
    let console = console_that_published(lake(), Published { publications, ..Published::default() });
    let check = |path: &str, wanted: &[&str]| {
        let text = document(&console, path);
        for wanted in wanted {
            assert!(text.contains(wanted), "{path} has no {wanted:?}: {text}");
        }
        assert!(!text.contains("Of another month"));
    };
    let wanted = [
        "<html lang=\"en\">",
        "October 2023",
        // 30 days of 40 to 42, and the one with 600.
        "<p class=\"big\">1\u{2009}831</p>",
        "times the usual: 600",
        "Login &lt;bypass&gt;",
        "published 2 days before; its weakness was tried in these attacks",
        "A talk about doors",
        "198[.]51[.]100[.]0",
        "HTTP[:]//evil[.]example/&lt;b&gt;",
        "&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}\\x1b[2J",
        "www[.]evil[.]example/&lt;b&gt;",
        "DP-3.0",
        "Germany",
        "Attacks day by day",
        "Where attacks came from",
        "What was attacked, and how",
        "New in this month",
        "Each product",
        "2323 ",
        "only on this one",
        "Malware",
        "From attack to protection",
        "How to read these numbers",
    ];
    check("/report/2023-10.html?lang=en", &wanted);
    check("/report/2023-10.html?lang=en&view=1", &["<p class=\"big\">1\u{2009}831</p>"]);
    let wanted = ["<html lang=\"ja\">", "2023年10月", "1\u{2009}831", "ドイツ", "日ごとの攻撃", "数値の読み方"];
    check("/report/2023-10.html?lang=ja", &wanted);
}

#[test]
fn an_empty_month_says_so() {
    let console = console_with(Arc::new(MemoryLake::default()));
    let text = document(&console, "/report/2023-10.html?lang=en");
    for wanted in ["recorded no attack", "Nothing of it in this month.", "Nothing was recorded before this month"] {
        assert!(text.contains(wanted), "no {wanted:?}: {text}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf %"), "{text}");
    document(&console, "/report/2023-10.html?lang=ja");
    let text = document(&console, "/report/2023-11.html?lang=en");
    assert!(text.contains("The month is not over") && text.contains("No device raised an alarm"), "{text}");
}

#[test]
fn the_page_lists_months() {
    let console = console_with(lake());
    let check = |role: Option<Role>, path: &str, expected: u16, wanted: &[&str]| {
        let (status, text) = ask(&console, role, Method::GET, path, "");
        assert_eq!(status, expected, "{path}: {text}");
        assert!(text.len() < 150_000, "{path} has {} bytes", text.len());
        for wanted in wanted {
            assert!(text.contains(wanted), "{path} has no {wanted:?}: {text}");
        }
    };
    let viewer = Some(Role::Viewer);
    let october = ["/report/2023-10.html?lang=en", "1\u{2009}831", "/report?month=2023-07", "/report?month=2023-11"];
    check(viewer, "/report", 200, &october);
    check(viewer, "/report?month=2023-11", 200, &["November 2023", "/report/2023-11.html?lang=ja"]);
    check(viewer, "/report?month=2023-12", 200, &["it has not begun"]);
    check(viewer, "/report?month=yesterday", 404, &[]);
    check(viewer, "/report/2023-12.html", 404, &[]);
    check(viewer, "/report/2023-10.pdf", 404, &[]);
    check(viewer, "/report/2023-10.html?lang=xx", 404, &[]);
    check(None, "/report/2023-10.html", 303, &["/sign-in"]);
}

#[test]
fn alarms_are_told_as_far_as_they_are_kept() {
    let store = Arc::new(MemoryStore::new());
    let at = |days: i64| Timestamp::from_unix_millis(NOW.unix_millis() - days * DAY_MS);
    let behavior = Behavior {
        name: BehaviorName::parse("contacts").unwrap(),
        metric: Metric::Komainu(KomainuMetric::IndicatorMatches),
        criteria: None,
        suppress_alerts: false,
        export_metric: false,
    };
    let events = [
        (1, 5, ViolationEventType::InAlarm, VerificationState::TruePositive),
        (1, 4, ViolationEventType::AlarmCleared, VerificationState::TruePositive),
        (2, 3, ViolationEventType::InAlarm, VerificationState::Unknown),
    ];
    for (number, days, kind, verification) in events {
        let found = IndicatorMatch {
            indicator: IndicatorId::from_bytes([7; 16]),
            remote: Remote::parse("203.0.113.66:23").unwrap(),
            way: SightingWay::Report,
            seen_at: at(days),
            sample: None,
        };
        let event = ViolationEvent {
            violation: ViolationId::parse(&format!("{number:08x}-0000-4000-8000-000000000000")).unwrap(),
            reporter: ReporterName::parse("<b>\u{202e}a/b").unwrap(),
            profile: ProfileName::parse("Known-threats").unwrap(),
            behavior: behavior.clone(),
            value: Some(MetricValue::Matches(vec![found])),
            confidence: None,
            kind,
            verification,
            verification_description: None,
            at: at(days),
        };
        store.commit(&[Change::AppendViolationEvent(scope(), event)]).unwrap();
    }
    let console = console_of(lake(), Arc::new(FixedFleet::default()), store);
    let text = document(&console, "/report/2023-11.html?lang=en");
    for wanted in
        ["The fleet raised 2 alarms; devices concerned: 1.", "Known-threats", "203[.]0[.]113[.]66:23", "true positive"]
    {
        assert!(text.contains(wanted), "no {wanted:?}: {text}");
    }
    // All of November is kept, so nothing is said of what is not.
    assert!(!text.contains("Counted from"), "{text}");
    let text = document(&console, "/report/2023-10.html?lang=en");
    assert!(text.contains("Counted from 2023-10-31 on.") && !text.contains("Known-threats"), "{text}");
    let text = document(&console, "/report/2023-09.html?lang=en");
    assert!(text.contains("no longer kept") && text.contains("no longer known"), "{text}");
}
