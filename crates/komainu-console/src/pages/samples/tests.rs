use std::sync::Arc;

use hyper::Method;
use komainu_model::Role;
use komainu_ports::{
    AttemptEnd, ElsewhereAnswer, KnownElsewhere, MemoryLake, NewSample, SampleDigests, SampleEssentials, SampleOrigin,
    SamplePriority,
};

use super::*;
use crate::Console;
use crate::request::tests::{NOW, ask, console_with};

fn digest(number: u8) -> SampleDigest {
    SampleDigest::from_sha256([number; 32])
}

/// A console with sixty samples: the first is done, the second is confidential, of the third others know nothing.
fn console() -> Arc<Console> {
    let console = console_with(Arc::new(MemoryLake::default()));
    let samples = &*console.threat.samples;
    for number in 1..=60_u8 {
        let confidentiality = if number == 2 { Confidentiality::Confidential } else { Confidentiality::Open };
        let sample = NewSample {
            digests: SampleDigests { sha256: digest(number), sha1: [number; 20], md5: [number; 16] },
            bytes: 1_234_567,
            origin: SampleOrigin::Upload { by: "operator".to_owned(), name: "a<b>.sh".to_owned() },
            confidentiality,
            priority: SamplePriority::Ordinary,
        };
        samples.submit(&sample, Timestamp::from_unix_seconds(NOW.unix_seconds() - i64::from(100 - number))).unwrap();
    }
    let unknown = KnownElsewhere { source: "list".to_owned(), asked_at: NOW, answer: ElsewhereAnswer::Unknown };
    samples.elsewhere(&digest(3), &unknown).unwrap();
    let lease = samples.lease(NOW, NOW).unwrap().unwrap();
    let essentials = SampleEssentials {
        verdict: "malicious".to_owned(),
        family: "<i>fam\u{202e}ily".to_owned(),
        processor: "arm".to_owned(),
        iot: Some(true),
        sentence: String::new(),
    };
    samples.end(&lease, &AttemptEnd::Done(essentials), NOW).unwrap();
    console
}

#[test]
fn the_list_is_paged_and_filtered() {
    let console = console();
    let check = |path: &str, there: &[u8], not_there: &[u8]| {
        let (status, text) = ask(&console, Some(Role::Viewer), Method::GET, path, "");
        assert_eq!(status, 200, "{path}: {text}");
        let has = |number: u8| text.contains(&format!("href=\"/samples/{}\"", digest(number)));
        for number in there {
            assert!(has(*number), "{path} has no sample {number}");
        }
        for number in not_there {
            assert!(!has(*number), "{path} has sample {number}");
        }
        assert!(text.len() < 150_000, "{path} has {} bytes", text.len());
        text
    };
    let text = check("/samples", &[60, 11], &[10, 1]);
    let next = text.split("rel=\"next\"").next().and_then(|text| text.rsplit("href=\"").next()).unwrap();
    let next = next.split('"').next().unwrap().replace("&amp;", "&");
    check(&next, &[10, 1], &[60, 11]);
    check("/samples?state=done", &[1], &[2, 3]);
    check("/samples?access=confidential", &[2], &[1, 3]);
    check("/samples?elsewhere=unknown", &[3], &[1, 2]);
    check("/samples?processor=ARM", &[1], &[2]);
    check("/samples?processor=!ARM&elsewhere=unknown", &[3], &[1]);
    check("/samples?processor=!ARM&state=done", &[], &[1]);
    check("/samples?processor=!mips&state=done", &[1], &[]);
    check("/samples?family=nobody", &[], &[1, 2, 3]);
    let text = check("/samples?state=done", &[1], &[]);
    assert!(text.contains("&lt;i&gt;fam\\u{202e}ily") && !text.contains("<i>fam"), "{text}");
}

#[test]
fn families_are_shown() {
    let console = console();
    let check = |path: &str, status: u16, has: &str| {
        let (found, text) = ask(&console, Some(Role::Viewer), Method::GET, path, "");
        assert_eq!(found, status, "{path}: {text}");
        assert!(text.contains(has) && !text.contains("<i>fam"), "{path} has no {has:?}: {text}");
    };
    check("/families", 200, "&lt;i&gt;fam\\u{202e}ily");
    check("/families/%3Ci%3Efam%E2%80%AEily?range=24h", 200, &format!("/samples/{}", digest(1)));
    check("/families/none", 404, "");
}

#[test]
fn digests_are_found() {
    let console = console();
    let check = |wanted: String, path: &str| {
        let (_, text) = ask(&console, Some(Role::Viewer), Method::GET, &format!("/search?q={wanted}"), "");
        assert!(text.contains(&format!("href=\"{path}")), "{wanted}: {text}");
    };
    let path = format!("/samples/{}", digest(7));
    check("07".repeat(32), &path);
    check("07".repeat(20), &path);
    check("07".repeat(16), &path);
    check("fam".to_owned(), "/families/%3Ci%3Efam");
}

#[test]
fn without_samples_it_says_what_to_run() {
    let console = console_with(Arc::new(MemoryLake::default()));
    for path in ["/samples", "/families"] {
        let (status, text) = ask(&console, Some(Role::Viewer), Method::GET, path, "");
        assert!(status == 200 && text.contains("komainu samples submit FILE"), "{path}: {text}");
    }
}
