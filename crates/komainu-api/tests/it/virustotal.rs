//! Clients of VirusTotal's API. What objects look like is checked beside the code that writes them.

use std::time::Duration;

use komainu_model::{AccessKeyId, CertificateId, Confidentiality, SampleDigest, SensorName};
use komainu_ports::{
    AccessKeys, AttemptEnd, NewSample, SampleDigests, SampleDocument, SampleEssentials, SampleIntake, SampleOrigin,
    SamplePriority, SampleState, SampleStore, SensorArtifacts,
};
use tokio::io::AsyncWriteExt;

use crate::client::{Answer, Ask};
use crate::world::{KEY_ID, SECRET, WAITING_MAX, World};

/// "abc" in FIPS 180-4 and RFC 1321.
const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";

fn ask(method: &str, path: &str, body: &[u8]) -> Ask {
    Ask::new(method, &format!("/api/v3/{path}"), body).header("x-apikey", &format!("{KEY_ID}:{SECRET}"))
}

fn form(name: &str, contents: &str) -> Ask {
    let disposition = format!("Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"");
    let body = format!("--b\r\n{disposition}\r\n\r\n{contents}\r\n--b--\r\n");
    ask("POST", "files", body.as_bytes()).header("content-type", "multipart/form-data; boundary=b")
}

fn check(answer: &Answer, status: u16, code: &str) {
    let error = answer.json()["error"].clone();
    assert_eq!((answer.status, error["code"].as_str()), (status, Some(code)), "{answer:?}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer:?}");
}

fn abc() -> SampleDigest {
    SampleDigest::parse(SHA256).unwrap()
}

#[tokio::test]
async fn a_file_that_is_handed_in_waits_first_of_all() {
    let world = World::new();
    let answer = world.ask(&form("/tmp/a\u{e4}.sh", "abc")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.json()["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!((answer.json()["data"]["type"].as_str(), id.as_str()), (Some("analysis"), &*format!("f-{SHA256}")));
    let sample = world.samples.sample(&abc()).unwrap().unwrap();
    let origin = SampleOrigin::Upload { by: KEY_ID.to_owned(), name: "a?.sh".to_owned() };
    assert_eq!((sample.origins, sample.priority, sample.bytes), (vec![origin], SamplePriority::Urgent, 3));
    assert_eq!(world.artifacts.contents(abc().sha256()).as_deref(), Some(&b"abc"[..]));
    assert_eq!(world.artifacts.holds(abc().sha256()), Some(Confidentiality::Open));
    let status = async || {
        let answer = world.ask(&ask("GET", &format!("analyses/{id}"), b"")).await;
        answer.json()["data"]["attributes"]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status().await, "queued");
    let lease = world.samples.lease(sample.first_at, sample.first_at).unwrap().unwrap();
    assert_eq!(status().await, "in-progress");
    let report = include_str!("../data/report-1.json");
    world.samples.put_document(&abc(), SampleDocument::Report, report).unwrap();
    let essentials = SampleEssentials { verdict: "malicious".to_owned(), ..SampleEssentials::default() };
    world.samples.end(&lease, &AttemptEnd::Done(essentials), sample.first_at).unwrap();
    assert_eq!(status().await, "completed");
    let item = world.ask(&ask("GET", &format!("analyses/{id}/item"), b"")).await.json();
    assert_eq!(item["data"]["attributes"]["last_analysis_stats"]["malicious"].as_u64(), Some(1));
    let again = world.ask(&ask("POST", &format!("files/{MD5}/analyse"), b"")).await;
    assert_eq!(again.json()["data"]["id"].as_str(), Some(id.as_str()));
    assert_eq!(status().await, "queued");
}

#[tokio::test]
async fn a_file_is_found_by_each_of_its_names() {
    let world = World::new();
    assert_eq!(world.ask(&form("a.sh", "abc")).await.status, 200);
    for id in [SHA256, SHA1, MD5, &SHA256.to_ascii_uppercase()] {
        let file = world.ask(&ask("GET", &format!("files/{id}"), b"")).await.json();
        assert_eq!((file["data"]["type"].as_str(), file["data"]["id"].as_str()), (Some("file"), Some(SHA256)));
        let contents = world.ask(&ask("GET", &format!("files/{id}/download"), b"")).await;
        assert_eq!((contents.status, contents.body.as_str()), (200, "abc"));
        let behaviours = world.ask(&ask("GET", &format!("files/{id}/behaviours?limit=10"), b"")).await.json();
        assert_eq!(behaviours["data"].as_array().map(Vec::len), Some(0));
        let summary = world.ask(&ask("GET", &format!("files/{id}/behaviour_summary"), b"")).await.json();
        assert_eq!(summary, serde_json::json!({"data": {}}));
    }
    let unknown = "0".repeat(64);
    for path in [
        format!("files/{unknown}"),
        format!("files/{}", "0".repeat(32)),
        format!("files/{unknown}/download"),
        format!("files/{unknown}/behaviours"),
        format!("analyses/f-{unknown}"),
        format!("analyses/f-{unknown}/item"),
        format!("file_behaviours/{SHA256}_Komainu"),
        "urls".to_owned(),
    ] {
        check(&world.ask(&ask("GET", &path, b"")).await, 404, "NotFoundError");
    }
    check(&world.ask(&ask("POST", &format!("files/{unknown}/analyse"), b"")).await, 404, "NotFoundError");
    check(&world.ask(&ask("DELETE", &format!("files/{SHA256}"), b"")).await, 405, "BadRequestError");
}

#[tokio::test]
async fn only_an_active_key_opens_it() {
    let world = World::new();
    let with =
        async |key: &str| world.ask(&Ask::new("GET", "/api/v3/files/upload_url", b"").header("x-apikey", key)).await;
    assert_eq!(with(&format!("{KEY_ID}:{SECRET}")).await.status, 200);
    let none = world.ask(&Ask::new("GET", "/api/v3/files/upload_url", b"")).await;
    check(&none, 401, "AuthenticationRequiredError");
    for key in [
        "",
        ":",
        KEY_ID,
        &format!("{KEY_ID}:"),
        &format!("{KEY_ID}:{}", &SECRET[1..]),
        &format!("{KEY_ID}:{SECRET} x"),
        &format!("AKIDEXAMPLEEXAMPLE99:{SECRET}"),
        &format!("{SECRET}:{KEY_ID}"),
    ] {
        check(&with(key).await, 401, "WrongCredentialsError");
    }
    world.control.revoke(&AccessKeyId::parse(KEY_ID).unwrap()).unwrap();
    check(&with(&format!("{KEY_ID}:{SECRET}")).await, 401, "WrongCredentialsError");
}

#[tokio::test]
async fn uploads_go_where_the_client_came() {
    let world = World::new();
    let ask = ask("GET", "files/upload_url", b"");
    assert_eq!(world.ask(&ask).await.json()["data"].as_str(), Some("http://komainu.example:8080/api/v3/files"));
    let over_tls = ask.send(&mut world.connect_as(Some(CertificateId::from_sha256([1; 32])))).await;
    assert_eq!(over_tls.json()["data"].as_str(), Some("https://komainu.example:8080/api/v3/files"));
}

#[tokio::test]
async fn what_is_no_form_with_a_file_is_refused() {
    let world = World::new();
    check(&world.ask(&ask("POST", "files", b"abc")).await, 400, "BadRequestError");
    let urlencoded = ask("POST", "files", b"file=abc").header("content-type", "application/x-www-form-urlencoded");
    check(&world.ask(&urlencoded).await, 400, "BadRequestError");
    let mut broken = form("a", "abc");
    broken.body.truncate(40);
    check(&world.ask(&broken).await, 400, "BadRequestError");
    // One client sends all of it before it listens, the other one waits for a word.
    let bytes = (32 << 20) + (64 << 10) + 1;
    for (expect, body) in [("", vec![b'a'; bytes]), ("expect: 100-continue\r\n", Vec::new())] {
        let mut stream = world.connect();
        let head = format!(
            "POST /api/v3/files HTTP/1.1\r\nhost: h\r\nx-apikey: {KEY_ID}:{SECRET}\r\n{expect}\
             content-type: multipart/form-data; boundary=b\r\ncontent-length: {bytes}\r\n\r\n",
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        check(&Answer::read(&mut stream).await, 413, "BadRequestError");
    }
    assert_eq!(world.samples.counts().unwrap().waiting, 0);
}

#[tokio::test]
async fn confidential_contents_are_not_given_out() {
    let world = World::new();
    let mut writer = world.artifacts.begin(abc().sha256(), 3).unwrap();
    writer.write(b"abc").unwrap();
    writer.finish(Confidentiality::Confidential);
    let brought = |confidentiality| NewSample {
        digests: SampleDigests { sha256: abc(), sha1: [1; 20], md5: [2; 16] },
        bytes: 3,
        origin: SampleOrigin::Sensor { sensor: SensorName::parse("tokyo").unwrap(), session: None },
        confidentiality,
        priority: SamplePriority::Ordinary,
    };
    world.intake.submit(&brought(Confidentiality::Confidential)).unwrap();
    let file = world.ask(&ask("GET", &format!("files/{SHA256}"), b"")).await.json();
    assert_eq!(file["data"]["attributes"]["downloadable"].as_bool(), Some(false));
    let download = ask("GET", &format!("files/{SHA256}/download"), b"");
    check(&world.ask(&download).await, 403, "ForbiddenError");
    world.intake.submit(&brought(Confidentiality::Open)).unwrap();
    assert_eq!(world.ask(&download).await.body, "abc");
}

#[tokio::test]
async fn a_laboratory_that_takes_nothing_says_so() {
    let world = World::new();
    world.intake.set_broken(true);
    let answer = world.ask(&form("a", "abc")).await;
    check(&answer, 503, "TransientError");
    assert_eq!(answer.header("retry-after"), Some("10"));
    world.intake.set_broken(false);
    for number in 0..WAITING_MAX {
        assert_eq!(world.ask(&form("a", &number.to_string())).await.status, 200);
    }
    check(&world.ask(&form("a", "abc")).await, 429, "TooManyRequestsError");
    assert_eq!(world.ask(&form("b", "0")).await.status, 200, "what is known already needs no room");
    assert!(matches!(world.samples.list(None, 9).unwrap()[0].state, SampleState::Waiting { .. }));
}

#[tokio::test(start_paused = true)]
async fn few_files_come_at_the_same_time() {
    let world = World::new();
    let whole = form("a", "abc").bytes();
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = world.connect();
        stream.write_all(&whole[..whole.len() - 10]).await.unwrap();
        slow.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    check(&world.ask(&form("a", "abc")).await, 429, "TooManyRequestsError");
    for stream in &mut slow {
        stream.write_all(&whole[whole.len() - 10..]).await.unwrap();
        assert_eq!(Answer::read(stream).await.status, 200);
    }
    assert_eq!(world.ask(&form("a", "abc")).await.status, 200);
    let mut stream = world.connect();
    stream.write_all(&whole[..whole.len() - 10]).await.unwrap();
    check(&Answer::read(&mut stream).await, 400, "BadRequestError");
}
