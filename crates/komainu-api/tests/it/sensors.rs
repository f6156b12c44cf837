//! Sensors that hand in records.

use std::time::Duration;

use komainu_api::SensorHealth;
use komainu_model::{
    Certificate, CertificateId, CertificateMode, CertificateStatus, Change, Confidentiality, Record, Scope, Thing,
    ThingName, ThingPrincipal, ThingPrincipalType, Timestamp,
};
use komainu_ports::{SensorCaptures, SensorKey, SensorRecords};
use tokio::io::AsyncWriteExt;

use crate::client::{Answer, Ask};
use crate::world::World;

const TOKYO: CertificateId = CertificateId::from_sha256([1; 32]);
const OSAKA: CertificateId = CertificateId::from_sha256([2; 32]);
const LINES: &[u8] = b"{\"log\":\"eve\",\"line\":{\"a\":1}}\n{\"log\":\"honeypot\",\"line\":{}}\n";

/// A world in which the thing `tokyo` has the certificate [`TOKYO`] and may hand in its records; so has `osaka`.
fn world() -> World {
    let put = |record| Change::Put(World::scope(), record);
    let mut changes = Vec::new();
    for (certificate, name) in [(TOKYO, "tokyo"), (OSAKA, "osaka")] {
        let thing = ThingName::parse(name).unwrap();
        changes.push(put(Record::Thing(Thing {
            name: thing.clone(),
            id: name.into(),
            type_name: None,
            attributes: Default::default(),
            version: 1,
            created_at: Timestamp::default(),
        })));
        changes.push(put(Record::Certificate(Certificate {
            id: certificate,
            pem: "pem".into(),
            status: CertificateStatus::Active,
            mode: CertificateMode::Default,
            not_before: Timestamp::default(),
            not_after: Timestamp::from_unix_seconds(i64::from(u32::MAX)),
            created_at: Timestamp::default(),
            modified_at: Timestamp::default(),
            version: 1,
        })));
        let kind = ThingPrincipalType::ExclusiveThing;
        changes.push(put(Record::ThingPrincipal(ThingPrincipal { thing, certificate, kind })));
    }
    let world = World::holding(&changes);
    for (certificate, name) in [(TOKYO, "tokyo"), (OSAKA, "osaka")] {
        world.broker.allowed.lock().push((certificate, format!("$komainu/sensors/{name}/ingest")));
    }
    world
}

async fn send(world: &World, certificate: Option<CertificateId>, method: &str, target: &str, body: &[u8]) -> Answer {
    let target = format!("/komainu/v1/sensors/{target}");
    Ask::new(method, &target, body).send(&mut world.connect_as(certificate)).await
}

async fn batch(world: &World, sequence: u64, body: &[u8]) -> Answer {
    let target = format!("tokyo/records?epoch=000000000000000a&sequence={sequence}");
    send(world, Some(TOKYO), "POST", &target, body).await
}

fn tokyo() -> SensorKey {
    SensorKey { scope: World::scope(), name: ThingName::parse("tokyo").unwrap() }
}

#[tokio::test]
async fn a_batch_is_kept_once_however_often_it_comes() {
    let world = world();
    let first = batch(&world, 0, LINES).await;
    assert_eq!((first.status, first.json()["stored"].as_str()), (200, Some("new")));
    for again in [LINES, b"{\"log\":\"eve\",\"line\":{\"b\":1}}\n"] {
        let again = batch(&world, 0, again).await;
        assert_eq!((again.status, again.json()["stored"].as_str()), (200, Some("known")));
    }
    assert_eq!(batch(&world, 2, LINES).await.status, 200);
    let kept = world.records.batches(&tokyo());
    assert_eq!(kept.len(), 2);
    assert_eq!(world.records.read(&kept[0].key).unwrap(), LINES);
    let status = world.api.sensors(&World::scope()).remove(0);
    let records = status.records.unwrap();
    assert_eq!((records.batches, records.lines, records.batches_missing), (2, 4, 1));
}

#[tokio::test]
async fn a_sensor_writes_in_its_own_name_only() {
    let world = world();
    let target = |name: &str| format!("{name}/records?epoch=000000000000000a&sequence=0");
    let status = async |certificate, name: &str| send(&world, certificate, "POST", &target(name), LINES).await.status;
    assert_eq!(status(None, "tokyo").await, 401);
    assert_eq!(status(Some(TOKYO), "osaka").await, 403);
    assert_eq!(status(Some(CertificateId::from_sha256([9; 32])), "tokyo").await, 403);
    // A policy that allows everything makes no other sensor of it.
    world.broker.allowed.lock().push((TOKYO, "$komainu/sensors/osaka/ingest".to_owned()));
    assert_eq!(status(Some(TOKYO), "osaka").await, 403);
    assert!(world.records.sensors().is_empty());
    assert_eq!(status(Some(OSAKA), "osaka").await, 200);
}

#[tokio::test]
async fn a_right_that_is_withdrawn_ends_at_once() {
    let world = world();
    let mut kept_open = world.connect_as(Some(TOKYO));
    let ask = |sequence: u64| {
        let target = format!("/komainu/v1/sensors/tokyo/records?epoch=000000000000000a&sequence={sequence}");
        Ask::new("POST", &target, LINES)
    };
    assert_eq!(ask(0).send(&mut kept_open).await.status, 200);
    let allowed = std::mem::take(&mut *world.broker.allowed.lock());
    assert_eq!(ask(1).send(&mut kept_open).await.status, 403, "its policy was detached");
    *world.broker.allowed.lock() = allowed;
    assert_eq!(ask(1).send(&mut kept_open).await.status, 200);
    let revoke = Ask::new("PUT", &format!("/certificates/{TOKYO}?newStatus=REVOKED"), b"").signed("iot");
    assert_eq!(world.ask(&revoke).await.status, 200);
    assert_eq!(ask(2).send(&mut kept_open).await.status, 403, "its certificate was revoked");
    assert_eq!(world.records.batches(&tokyo()).len(), 2);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_for_good() {
    let world = world();
    for (body, expected) in [
        (&b""[..], 400),
        (b"{\"log\":\"eve\",\"line\":{}}", 400),
        (b"{\"log\":\"eve\",\"line\":[]}\n", 400),
        (b"\xff\n", 400),
    ] {
        assert_eq!(batch(&world, 0, body).await.status, expected, "{} bytes", body.len());
    }
    // What is announced to be too large is not waited for.
    let target = "/komainu/v1/sensors/tokyo/records?epoch=000000000000000a&sequence=0";
    let mut stream = world.connect_as(Some(TOKYO));
    let head = format!("POST {target} HTTP/1.1\r\nhost: hub\r\ncontent-length: 1048577\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.status, 413);
    assert_eq!(send(&world, Some(TOKYO), "GET", "tokyo/health", b"").await.status, 405);
    assert_eq!(send(&world, Some(TOKYO), "POST", "tokyo/other", b"").await.status, 404);
    assert!(world.records.sensors().is_empty());
}

#[tokio::test]
async fn artifacts_are_what_their_digest_says() {
    let world = world();
    // SHA-256 of "abc", FIPS 180-4.
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let target = format!("tokyo/artifacts/{digest}");
    let mut sha256 = [0; 32];
    for (at, byte) in sha256.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digest[2 * at..2 * at + 2], 16).unwrap();
    }
    let status = async |method: &str, body: &[u8]| send(&world, Some(TOKYO), method, &target, body).await.status;
    assert_eq!(status("HEAD", b"").await, 404);
    assert_eq!(status("PUT", b"abd").await, 400);
    assert_eq!(world.artifacts.contents(&sha256), None);
    assert_eq!(status("PUT", b"abc").await, 200);
    assert_eq!(status("HEAD", b"").await, 200);
    assert_eq!(world.artifacts.contents(&sha256).as_deref(), Some(&b"abc"[..]));
    assert_eq!(send(&world, Some(OSAKA), "PUT", &target, b"abc").await.status, 403);
    assert_eq!(world.api.sensors(&World::scope())[0].artifacts, 1);
}

#[tokio::test]
async fn operators_see_who_is_there() {
    let world = world();
    let body = br#"{"version":"0.1.0","uptime_s":5,"connections":2,"doors":["camera telnet 23"]}"#;
    assert_eq!(send(&world, Some(TOKYO), "POST", "tokyo/health", body).await.status, 200);
    assert_eq!(send(&world, Some(TOKYO), "POST", "tokyo/health", b"[").await.status, 400);
    let status = world.api.sensors(&World::scope()).remove(0);
    assert!(status.is_online);
    let expected = SensorHealth {
        version: "0.1.0".to_owned(),
        uptime_s: 5,
        connections: 2,
        doors: vec!["camera telnet 23".to_owned()],
        ..SensorHealth::default()
    };
    assert_eq!(status.health, Some(expected));
    world.clock.advance(Duration::from_secs(91));
    assert!(!world.api.sensors(&World::scope())[0].is_online);
    assert_eq!(world.api.sensors(&elsewhere()), []);
}

/// A section header block without options (draft-ietf-opsawg-pcapng, 4.1), and what is not looked at.
const PCAPNG: &[u8] =
    b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0more";

#[tokio::test]
async fn captures_are_kept_once_and_say_whether_they_are_confidential() {
    let world = world();
    let put = async |session: &str, mark: Option<&str>, body: &[u8]| {
        let mut ask = Ask::new("PUT", &format!("/komainu/v1/sensors/tokyo/captures/{session}"), body);
        if let Some(mark) = mark {
            ask = ask.header("komainu-confidential", mark);
        }
        ask.send(&mut world.connect_as(Some(TOKYO))).await
    };
    let session = |number: u8| format!("{number:032x}");
    for (number, mark) in [(1, Some("no")), (2, Some("yes")), (3, None)] {
        let first = put(&session(number), mark, PCAPNG).await;
        assert_eq!((first.status, first.json()["stored"].as_str()), (200, Some("new")));
        let again = put(&session(number), Some("no"), PCAPNG).await;
        assert_eq!((again.status, again.json()["stored"].as_str()), (200, Some("known")));
    }
    let marks: Vec<_> = world.captures.captures().iter().map(|capture| capture.confidentiality).collect();
    assert_eq!(marks, [Confidentiality::Open, Confidentiality::Confidential, Confidentiality::Confidential]);
    assert_eq!(put(&session(4), Some("perhaps"), PCAPNG).await.status, 400);
    assert_eq!(put(&session(4), Some("no"), b"\xd4\xc3\xb2\xa1").await.status, 400, "another format");
    assert_eq!(put(&session(4), Some("no"), b"").await.status, 400);
    assert_eq!(put("4", Some("no"), PCAPNG).await.status, 400);
    let target = format!("tokyo/captures/{}", session(4));
    assert_eq!(send(&world, Some(OSAKA), "PUT", &target, PCAPNG).await.status, 403);
    assert_eq!(send(&world, Some(TOKYO), "GET", &target, b"").await.status, 405);
    let mut stream = world.connect_as(Some(TOKYO));
    let head = format!("PUT /komainu/v1/sensors/{target} HTTP/1.1\r\nhost: hub\r\ncontent-length: 8388609\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.status, 413);
    assert_eq!(world.captures.captures().len(), 3);
    assert_eq!(world.api.sensors(&World::scope())[0].captures, 3);
}

#[tokio::test]
async fn an_artifact_is_confidential_until_it_is_seen_elsewhere() {
    let world = world();
    // SHA-256 of "abc", FIPS 180-4.
    let target = "/komainu/v1/sensors/tokyo/artifacts/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let ask = async |method: &str, mark: Option<&str>, body: &[u8]| {
        let mut ask = Ask::new(method, target, body);
        if let Some(mark) = mark {
            ask = ask.header("komainu-confidential", mark);
        }
        let answer = ask.send(&mut world.connect_as(Some(TOKYO))).await;
        (answer.status, answer.header("komainu-confidential").map(str::to_owned))
    };
    let held = |word: &str| (200, Some(word.to_owned()));
    assert_eq!(ask("PUT", None, b"abc").await.0, 200);
    assert_eq!(ask("HEAD", None, b"").await, held("yes"), "what says nothing about it is confidential");
    assert_eq!(ask("PUT", Some("no"), b"abd").await.0, 400);
    assert_eq!(ask("HEAD", None, b"").await, held("yes"), "whoever does not have it cannot open it");
    assert_eq!(ask("PUT", Some("no"), b"abc").await.0, 200);
    assert_eq!(ask("HEAD", None, b"").await, held("no"));
    assert_eq!(ask("PUT", Some("yes"), b"abc").await.0, 200);
    assert_eq!(ask("HEAD", None, b"").await, held("no"));
}

#[tokio::test]
async fn an_artifact_comes_in_pieces_and_one_that_breaks_off_is_not_kept() {
    let world = world();
    // SHA-256 of a million times "a", FIPS 180-4.
    let digest = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    let target = format!("tokyo/artifacts/{digest}");
    let head = |length: &str| format!("PUT /komainu/v1/sensors/{target} HTTP/1.1\r\nhost: hub\r\n{length}\r\n\r\n");
    let mut stream = world.connect_as(Some(TOKYO));
    stream.write_all(head("content-length: 1000000").as_bytes()).await.unwrap();
    stream.write_all(&[b'a'; 999_999]).await.unwrap();
    drop(stream);
    let mut stream = world.connect_as(Some(TOKYO));
    stream.write_all(head("transfer-encoding: chunked").as_bytes()).await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.status, 411);
    assert_eq!(send(&world, Some(TOKYO), "HEAD", &target, b"").await.status, 404);
    assert_eq!(send(&world, Some(TOKYO), "PUT", &target, &[b'a'; 1_000_000]).await.status, 200);
    assert_eq!(send(&world, Some(TOKYO), "HEAD", &target, b"").await.status, 200);
}

fn elsewhere() -> Scope {
    Scope { region: komainu_model::Region::parse("us-east-1").unwrap(), ..World::scope() }
}
