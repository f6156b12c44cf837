use std::sync::Arc;

use hyper::Method;
use komainu_model::{AccountId, Region, SampleDigest, Scope};
use komainu_ports::{MemoryLake, NewCapture, SessionEvent, SessionFile, SessionTarget};

use super::*;
use crate::Console;
use crate::request::tests::{NOW, Recorded, ask, console_that_recorded, english_of_japanese, form_key};

const ID: &str = "0123456789abcdef0123456789abcdef";

fn session() -> RecordedSession {
    RecordedSession::parse(ID).unwrap()
}

fn sensor() -> SensorKey {
    let scope = Scope { account: AccountId::parse("000000000000").unwrap(), region: Region::parse("local").unwrap() };
    SensorKey { scope, name: ThingName::parse("tokyo").unwrap() }
}

fn event(millis: i64, kind: &str, fields: &[(&str, &str)]) -> SessionEvent {
    SessionEvent {
        at: Timestamp::from_unix_millis(NOW.unix_millis() + millis),
        kind: kind.to_owned(),
        fields: fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

fn record(events: Vec<SessionEvent>) -> SessionRecord {
    let summary = SessionSummary {
        session: session(),
        sensor: sensor(),
        confidentiality: Confidentiality::Open,
        source: "192.0.2.7".to_owned(),
        source_port: 40_000,
        port: 23,
        transport: "tcp".to_owned(),
        protocol: "telnet".to_owned(),
        began_at: NOW,
        ended_at: Timestamp::from_unix_millis(NOW.unix_millis() + 62_345),
        ended: "closed".to_owned(),
        lines_left_out: 0,
        parent: None,
        target: SessionTarget {
            kind: "emulated".to_owned(),
            model: "Example DB-1".to_owned(),
            ..SessionTarget::default()
        },
        label: "dropper".to_owned(),
        confidence: 95,
        country: "JP".to_owned(),
        network: String::new(),
        cves: vec!["CVE-2017-17215".to_owned()],
        techniques: Vec::new(),
        fingerprints: vec![("hassh".to_owned(), "<i>\u{202e}".to_owned())],
        files: vec![SessionFile {
            sha256: SampleDigest::parse(&"0a".repeat(32)).unwrap(),
            bytes: 1234,
            name: "/tmp/<b>\u{1b}".to_owned(),
            via: "shell".to_owned(),
            kind: "elf".to_owned(),
        }],
        bytes_to_server: 169,
        bytes_to_client: 967,
    };
    SessionRecord { summary, events, lines: b"{\"log\":\"eve\",\"line\":{}}\n".to_vec(), is_whole: true }
}

fn console(record: SessionRecord) -> Arc<Console> {
    console_that_recorded(Arc::new(MemoryLake::default()), Recorded { sessions: vec![record], ..Recorded::default() })
}

fn page(console: &Arc<Console>, path: &str) -> (u16, String) {
    ask(console, Some(Role::Viewer), Method::GET, path, "")
}

#[test]
fn what_happened_is_told_and_harmless() {
    let hostile = "\u{1b}[2J<script>alert(1)</script>\u{202e}";
    let console = console(record(vec![
        event(100, "telnet", &[("output", "login: ")]),
        event(500, "login", &[("user", hostile), ("password", hostile), ("accepted", "true")]),
        event(900, "telnet", &[("output", &format!("{hostile}\r\n"))]),
        event(1_000, "command", &[("line", hostile)]),
        event(2_000, "url", &[("url", "http://192.0.2.9/x")]),
        event(3_000, "new_kind", &[("<key>", hostile)]),
    ]));
    let (status, text) = page(&console, &format!("/sessions/{ID}"));
    assert_eq!(status, 200);
    let path = format!("/sessions/{ID}");
    assert_eq!(english_of_japanese(&console, Some(Role::Viewer), Method::GET, &path, ""), [""; 0]);
    for wanted in [
        "\\x1b[2J&lt;script&gt;",
        "\\u{202e}",
        "hxxp://192[.]0[.]2[.]9/x",
        "/sources/192.0.2.7",
        "/sensors/tokyo",
        "/appliances/Example%20DB-1",
        "1 min 2 s",
        "+0:01.0",
        "data-at=\"800\"",
        &format!("/samples/{}", "0a".repeat(32)),
        "CVE-2017-17215",
        "&lt;i&gt;",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in {text}");
    }
    assert!(!text.contains("<script>") && !text.contains('\u{202e}') && !text.contains('\u{1b}'), "{text}");
    let (status, text) = page(&console, &format!("/sessions/{ID}/records"));
    assert_eq!((status, text.as_str()), (200, "{\"log\":\"eve\",\"line\":{}}\n"));
    assert_eq!(page(&console, "/sessions/0123456789abcdef0123456789abcde0").0, 200, "its own page says so");
    assert_eq!(page(&console, "/sessions/nothing").0, 404);
}

#[test]
fn a_long_session_has_pages_and_each_is_small() {
    let mut events: Vec<_> =
        (0..5_000).map(|number| event(number, "command", &[("line", &"<".repeat(5_000))])).collect();
    events.extend((0..500).map(|number| event(number, "telnet", &[("output", &"&".repeat(4_000))])));
    let mut long = record(events);
    long.summary.files = vec![long.summary.files[0].clone(); 256];
    let console = console(long);
    let (_, first) = page(&console, &format!("/sessions/{ID}"));
    assert!(first.len() < 150_000, "{}", first.len());
    let next = first.split("&amp;from=").nth(1).unwrap().split('#').next().unwrap();
    let (_, second) = page(&console, &format!("/sessions/{ID}?from={next}"));
    assert!(second.len() < 150_000 && second.contains("#transcript"), "{}", second.len());
    assert_eq!(page(&console, &format!("/sessions/{ID}?from=99999999")).0, 200);
}

#[test]
fn rows_lead_to_sessions() {
    let console = console(record(Vec::new()));
    let at = NOW.unix_millis();
    let check = |query: &str, status: u16, has: &str| {
        let (found, text) = page(&console, &format!("/sessions/at?{query}"));
        assert_eq!(found, status, "{query}: {text}");
        assert!(text.contains(has), "{query}: {text}");
    };
    let good = format!("sensor=tokyo&at={at}&source=192.0.2.7&port=23");
    check(&good, 303, &format!("/sessions/{ID}?sensor=tokyo&at={at}"));
    check(&format!("sensor=tokyo&at={at}&source=192.0.2.8"), 200, "komainu sensors records");
    check("sensor=tokyo&at=x&source=192.0.2.8", 404, "");
    check("", 404, "");
}

#[test]
fn packets_are_for_analysts_and_audited() {
    let mut of_device = record(Vec::new());
    of_device.summary.confidentiality = Confidentiality::Confidential;
    let console = console(of_device);
    let path = format!("/sessions/{ID}");
    assert!(!page(&console, &path).1.contains("/capture\""));
    let (sensor, pcapng) = (sensor(), b"packets".as_slice());
    let capture =
        NewCapture { sensor: &sensor, session: session(), confidentiality: Confidentiality::Confidential, pcapng };
    console.threat.captures.put(&capture, NOW).unwrap();
    let (_, text) = page(&console, &path);
    assert!(!text.contains("/capture\"") && text.contains("note bad"), "{text}");
    let (_, text) = ask(&console, Some(Role::Analyst), Method::GET, &path, "");
    assert!(text.contains("/capture\""), "{text}");
    let form = |role| format!("form_key={}&sensor=tokyo", form_key(role));
    let take = |role, form: &str| ask(&console, Some(role), Method::POST, &format!("{path}/capture"), form);
    assert_eq!(take(Role::Viewer, &form(Role::Viewer)).0, 403);
    assert_eq!(take(Role::Analyst, &form(Role::Analyst)), (200, "packets".to_owned()));
    let elsewhere = form(Role::Analyst).replace("tokyo", "osaka");
    assert_eq!(take(Role::Analyst, &elsewhere).0, 404);
    let (_, text) = ask(&console, Some(Role::Admin), Method::GET, "/admin/audit", "");
    assert!(text.contains(ID), "{text}");
}
