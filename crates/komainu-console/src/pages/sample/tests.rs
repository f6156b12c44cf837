use std::sync::Arc;

use hyper::Method;
use komainu_model::{Role, Timestamp};
use komainu_ports::{AttemptEnd, MemoryLake, NewSample, SampleDigests, SampleEssentials, SampleOrigin, SamplePriority};

use super::*;
use crate::Console;
use crate::request::tests::{NOW, ask, console_with, english_of_japanese, form_key};

/// A report as the laboratory writes it, about a sample that exists only in tests.
const REPORT: &str = include_str!("../../../tests/data/report-1.json");

fn digest_of_report() -> SampleDigest {
    SampleDigest::parse("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap()
}

/// A console with one sample, with this report.
fn console(report: &str) -> Arc<Console> {
    let console = console_with(Arc::new(MemoryLake::default()));
    let samples = &*console.threat.samples;
    let digests = SampleDigests { sha256: digest_of_report(), sha1: [1; 20], md5: [2; 16] };
    let origin = SampleOrigin::Upload { by: "operator".to_owned(), name: "<b>\u{202e}name".to_owned() };
    let sample = NewSample {
        digests,
        bytes: 3,
        origin,
        confidentiality: Confidentiality::Open,
        priority: SamplePriority::Ordinary,
    };
    samples.submit(&sample, NOW).unwrap();
    let lease = samples.lease(NOW, Timestamp::from_unix_seconds(NOW.unix_seconds() + 60)).unwrap().unwrap();
    samples.put_document(&digest_of_report(), SampleDocument::Report, report).unwrap();
    samples.put_document(&digest_of_report(), SampleDocument::Stix, "{\"type\":\"bundle\"}").unwrap();
    let lesson = "[{\"value\":\"203.0.113.7:5555/tcp\",\"confidence\":99,\"detonation\":\"x\"}]";
    samples.put_document(&digest_of_report(), SampleDocument::Lessons, lesson).unwrap();
    let essentials = SampleEssentials { verdict: "malicious".to_owned(), ..SampleEssentials::default() };
    samples.end(&lease, &AttemptEnd::Done(essentials), NOW).unwrap();
    console
}

fn get(console: &Arc<Console>, path: &str) -> (u16, String) {
    ask(console, Some(Role::Viewer), Method::GET, &format!("/samples/{}{path}", digest_of_report()), "")
}

#[test]
fn a_report_is_shown() {
    let console = console(REPORT);
    let (status, text) = get(&console, "");
    assert_eq!(status, 200, "{text}");
    for has in [
        "203[.]0[.]113[.]7:5555/tcp",
        "/etc/rc.local",
        "hxxp://update[.]example/next",
        "id=\"timeline\"",
        "./sample",
        "&lt;b&gt;\\u{202e}name",
        "Takes orders from a fixed address",
    ] {
        assert!(text.contains(has), "there is no {has:?} in {text}");
    }
    assert!(!text.contains("/again"), "a viewer has a button that does nothing for them");
    assert!(text.len() < 150_000, "{} bytes", text.len());
    let (_, text) = get(&console, "?category=network");
    assert!(text.contains("id=\"timeline\""), "{text}");
    let (status, text) = get(&console, "/report.json");
    assert_eq!((status, text.as_str()), (200, REPORT));
    assert!(get(&console, "/stix.json").1.contains("bundle"));
    assert_eq!(get(&console, "/triage.json").0, 404);
    assert_eq!(get(&console, "/contents").0, 404);
}

#[test]
fn a_report_is_japanese_to_the_last_reason() {
    // Reports that were made before there were Japanese reasons have English ones.
    let mut report: serde_json::Value = serde_json::from_str(REPORT).unwrap();
    for list in ["endpoints", "similar"] {
        for one in report[list].as_array_mut().unwrap() {
            one["reasons_ja"] = serde_json::json!(["理由"]);
        }
    }
    let path = format!("/samples/{}", digest_of_report());
    let console = console(&report.to_string());
    assert_eq!(english_of_japanese(&console, Some(Role::Analyst), Method::GET, &path, ""), [""; 0]);
}

#[test]
fn a_report_of_another_version_is_told() {
    let console = console("{\"version\":7}");
    let (status, text) = get(&console, "");
    assert!(status == 200 && text.contains("its version is 7, and 1 is understood"), "{text}");
}

#[test]
fn analysts_have_it_looked_at_once_more() {
    let console = console(REPORT);
    let path = format!("/samples/{}/again", digest_of_report());
    let check = |role: Role, status: u16, has: &str| {
        let form = format!("form_key={}", form_key(role));
        let (found, text) = ask(&console, Some(role), Method::POST, &path, &form);
        assert_eq!(found, status, "{role}: {text}");
        assert!(text.contains(has), "{role}: {text}");
    };
    check(Role::Viewer, 403, "");
    check(Role::Analyst, 303, "said=examine-again");
    // It waits already.
    check(Role::Analyst, 200, "role=\"alert\"");
    let (_, text) = ask(&console, Some(Role::Admin), Method::GET, "/admin/audit", "");
    assert!(text.contains(&digest_of_report().to_string()), "{text}");
    assert_eq!(ask(&console, Some(Role::Viewer), Method::GET, "/samples/xyz", "").0, 404);
    let unknown = format!("/samples/{}", "0".repeat(64));
    assert_eq!(ask(&console, Some(Role::Viewer), Method::GET, &unknown, "").0, 404);
}
