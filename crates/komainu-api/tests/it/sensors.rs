//! Sensors that hand in records.

use std::time::Duration;

use komainu_model::{CertificateId, Confidentiality, SampleDigest, Scope, SensorName, SessionId, ThingName};
use komainu_ports::{
    BatchKey, Clock, Lake, LakeFilter, LakeQuestion, LakeTable, LakeTest, LakeValue, SampleOrigin, SamplePriority,
    SampleState, SampleStore, SensorArtifacts, SensorCaptures, SensorHealth, SensorKey, SensorRecords, SensorRollCall,
    SpoolEpoch, StoredSample, TimeRange,
};
use tokio::io::AsyncWriteExt;

use crate::client::{Answer, Ask};
use crate::world::{OSAKA, TOKYO, WAITING_MAX, World};

const LINES: &[u8] = b"{\"log\":\"eve\",\"line\":{\"a\":1}}\n{\"log\":\"honeypot\",\"line\":{}}\n";

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
    let world = World::with_sensors();
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
    let world = World::with_sensors();
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
    let world = World::with_sensors();
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
    let world = World::with_sensors();
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
    let world = World::with_sensors();
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
    let world = World::with_sensors();
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
    let world = World::with_sensors();
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
    let world = World::with_sensors();
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
    let world = World::with_sensors();
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

/// SHA-256 of "abc", FIPS 180-4.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn sample(world: &World) -> Option<StoredSample> {
    world.samples.sample(&SampleDigest::parse(ABC).unwrap()).unwrap()
}

fn visit(session: Option<&str>) -> SampleOrigin {
    let session = session.map(|session| SessionId::parse(session).unwrap());
    SampleOrigin::Sensor { sensor: SensorName::parse("tokyo").unwrap(), session }
}

#[tokio::test]
async fn an_artifact_becomes_a_sample_and_counts_each_time() {
    let world = World::with_sensors();
    let put = async |mark: &str| {
        let ask = Ask::new("PUT", &format!("/komainu/v1/sensors/tokyo/artifacts/{ABC}"), b"abc");
        ask.header("komainu-confidential", mark).send(&mut world.connect_as(Some(TOKYO))).await.status
    };
    assert_eq!(put("yes").await, 200);
    let first = sample(&world).unwrap();
    assert_eq!((first.bytes, first.times, first.priority), (3, 1, SamplePriority::Ordinary));
    assert_eq!((first.confidentiality, first.origins), (Confidentiality::Confidential, vec![visit(None)]));
    // FIPS 180-4 and RFC 1321.
    let sha1 = [0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e];
    let md5 = [0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0];
    assert!(first.digests.sha1.starts_with(&sha1) && first.digests.md5.starts_with(&md5), "{:?}", first.digests);
    assert!(matches!(first.state, SampleState::Waiting { attempts: 0, .. }));
    assert_eq!(put("no").await, 200);
    let again = sample(&world).unwrap();
    assert_eq!((again.times, again.confidentiality), (2, Confidentiality::Open));
    let target = format!("tokyo/artifacts/{ABC}");
    assert_eq!(send(&world, Some(TOKYO), "PUT", &target, b"abd").await.status, 400);
    assert_eq!(sample(&world).unwrap().times, 2, "what is not kept does not count");
    // Another sensor got it as well, and need not bring it.
    let target = format!("osaka/artifacts/{ABC}");
    assert_eq!(send(&world, Some(OSAKA), "HEAD", &target, b"").await.status, 200);
    let seen = sample(&world).unwrap();
    assert_eq!((seen.times, seen.origins.len(), seen.confidentiality), (3, 2, Confidentiality::Open));
    let unknown = format!("osaka/artifacts/{}", "0".repeat(64));
    assert_eq!(send(&world, Some(OSAKA), "HEAD", &unknown, b"").await.status, 404);
    assert_eq!(world.samples.counts().unwrap().waiting, 1);
}

#[tokio::test]
async fn an_artifact_is_kept_though_the_laboratory_takes_none() {
    let world = World::with_sensors();
    let sha256 = *SampleDigest::parse(ABC).unwrap().sha256();
    let put = async |sha256: &str, body: &[u8]| {
        send(&world, Some(TOKYO), "PUT", &format!("tokyo/artifacts/{sha256}"), body).await.status
    };
    world.intake.set_broken(true);
    assert_eq!(put(ABC, b"abc").await, 200);
    assert_eq!((world.artifacts.holds(&sha256).is_some(), sample(&world)), (true, None));
    world.intake.set_broken(false);
    // SHA-256 of "a", "b" and "c" (sha256sum).
    for (sha256, body) in [
        ("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", b"a"),
        ("3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d", b"b"),
        ("2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6", b"c"),
    ] {
        assert_eq!(put(sha256, body).await, 200);
    }
    assert_eq!(world.samples.counts().unwrap().waiting, WAITING_MAX);
    assert_eq!(put(ABC, b"abc").await, 200, "the laboratory has no room");
    assert_eq!((world.artifacts.artifacts().unwrap().len(), sample(&world)), (4, None));
}

#[tokio::test]
async fn records_say_in_which_visits_samples_came() {
    let world = World::with_sensors();
    let line = |session: &str| {
        let told = format!(r#"{{"session":{{"id":"{session}"}},"artifacts":[{{"sha256":"{ABC}","stored":true}}]}}"#);
        format!("{{\"log\":\"honeypot\",\"line\":{{\"event_type\":\"honeypot\",\"honeypot\":{told}}}}}\n")
    };
    // A mention may come before the content.
    assert_eq!(batch(&world, 0, (line("s1") + &line("not a session")).as_bytes()).await.status, 200);
    assert_eq!(send(&world, Some(TOKYO), "PUT", &format!("tokyo/artifacts/{ABC}"), b"abc").await.status, 200);
    let visits = |sessions: &[Option<&str>]| {
        let mut expected: Vec<_> = sessions.iter().map(|session| visit(*session)).collect();
        let mut seen = sample(&world).unwrap().origins;
        expected.sort();
        seen.sort();
        assert_eq!(seen, expected);
    };
    visits(&[None, Some("s1")]);
    // The server ended between keeping a batch and noting what it speaks of: the batch comes again.
    world.intake.set_broken(true);
    assert_eq!(batch(&world, 1, line("s2").as_bytes()).await.json()["stored"].as_str(), Some("new"));
    visits(&[None, Some("s1")]);
    world.intake.set_broken(false);
    assert_eq!(batch(&world, 1, line("s2").as_bytes()).await.json()["stored"].as_str(), Some("known"));
    visits(&[None, Some("s1"), Some("s2")]);
}

fn elsewhere() -> Scope {
    Scope { region: komainu_model::Region::parse("us-east-1").unwrap(), ..World::scope() }
}

/// The summary of a visit, as a sensor writes it.
fn attack(number: u32) -> String {
    let head = r#""event_type":"honeypot","dest_port":23,"proto":"TCP","app_proto":"telnet""#;
    let session = format!(r#""session":{{"id":"{number}","start":"2023-11-14T22:00:00.000000+0000"}}"#);
    let rest = r#""target":{"kind":"emulated","persona":"camera"},"sensor":{"id":"liar"},"notes":["rebooted"]"#;
    let line = format!(r#"{{{head},"src_ip":"192.0.2.{number}","honeypot":{{{session},{rest}}}}}"#);
    format!("{{\"log\":\"honeypot\",\"line\":{line}}}\n")
}

/// How many attacks are counted, and how many things that were shown in them, all of them by the sensor `tokyo`.
fn counted(world: &World) -> (u64, u64) {
    let count = |table: LakeTable| {
        let column = table.column("sensor").unwrap();
        let filters = vec![LakeFilter { column, test: LakeTest::OneOf(vec![LakeValue::text("tokyo")]) }];
        let (range, group_by) = (TimeRange::ALL, Vec::new());
        let question = LakeQuestion { table, range, filters, bucket: None, group_by, distinct: None, top: None };
        world.lake.count(&question).unwrap().rows
    };
    (count(LakeTable::Attacks), count(LakeTable::Observables))
}

#[tokio::test]
async fn attacks_are_counted_before_the_answer() {
    let world = World::with_sensors();
    let body = attack(1) + &attack(2) + "{\"log\":\"eve\",\"line\":{}}\n";
    assert_eq!(batch(&world, 0, body.as_bytes()).await.status, 200);
    assert_eq!(counted(&world), (2, 2));
    assert_eq!(batch(&world, 0, body.as_bytes()).await.json()["stored"].as_str(), Some("known"));
    assert_eq!(counted(&world), (2, 2), "what comes again is counted once");
    // What cannot be read costs itself.
    let body = attack(3).replace("192.0.2.3", "somewhere") + &attack(4);
    assert_eq!(batch(&world, 1, body.as_bytes()).await.status, 200);
    assert_eq!(counted(&world), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_lake_that_was_out_of_order_catches_up() {
    let world = World::with_sensors();
    let feeding = tokio::spawn(world.server.clone().feed_lake());
    world.lake.set_broken(true);
    for sequence in 0..3 {
        assert_eq!(batch(&world, sequence, attack(sequence as u32).as_bytes()).await.status, 200, "they are kept");
    }
    assert_eq!(counted(&world), (0, 0));
    tokio::time::sleep(Duration::from_secs(601)).await;
    world.lake.set_broken(false);
    // One that the sensor sends again need not wait.
    assert_eq!(batch(&world, 1, attack(1).as_bytes()).await.status, 200);
    assert_eq!(counted(&world), (1, 1));
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(counted(&world), (3, 3));
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(counted(&world), (3, 3));
    world.server.stop(Duration::from_secs(1)).await;
    feeding.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn records_from_before_the_lake_are_counted_at_the_start() {
    let world = World::with_sensors();
    for sequence in 0..3 {
        let key = BatchKey { sensor: tokyo(), epoch: SpoolEpoch::new(1), sequence };
        world.records.put(&key, attack(sequence as u32).as_bytes(), world.clock.now()).unwrap();
    }
    let feeding = tokio::spawn(world.server.clone().feed_lake());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(counted(&world), (3, 3));
    world.server.stop(Duration::from_secs(1)).await;
    feeding.await.unwrap();
}
