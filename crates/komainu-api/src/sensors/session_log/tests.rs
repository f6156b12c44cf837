use komainu_model::{AccountId, Confidentiality, Region, ThingName};
use komainu_ports::{MemoryRecords, RecordsLimits, SpoolEpoch};

use super::*;

const START: i64 = 1_795_568_523_004;

fn scope() -> Scope {
    Scope { account: AccountId::parse("000000000000").unwrap(), region: Region::parse("local").unwrap() }
}

fn sensor(name: &str) -> SensorKey {
    SensorKey { scope: scope(), name: ThingName::parse(name).unwrap() }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(START + seconds * 1000)
}

fn text(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.unix_millis()).unwrap();
    at.strftime("%Y-%m-%dT%H:%M:%S.%6f+0000").to_string()
}

fn id(number: u64) -> RecordedSession {
    RecordedSession::parse(&format!("{number:032x}")).unwrap()
}

/// What a sensor wrote of a session at so many seconds.
fn line(number: u64, seconds: i64, kind: &str, body: &str) -> String {
    let head = format!(r#""timestamp":"{}","flow_id":9{number:06},"event_type":"{kind}""#, text(at(seconds)));
    let ends = r#""src_ip":"192.0.2.7","src_port":4000,"dest_port":23,"proto":"TCP","app_proto":"telnet""#;
    format!("{{\"log\":\"honeypot\",\"line\":{{{head},{ends},\"{kind}\":{body}}}}}\n")
}

fn summary(number: u64, start: i64, end: i64) -> String {
    let session = format!(r#""id":"{}","start":"{}","end":"{}""#, id(number), text(at(start)), text(at(end)));
    let target = r#""target":{"kind":"emulated","persona":"camera","type":"ip_camera","model":"Example DB-1"}"#;
    let auth = r#""auth":[{"user":"root","password":"x"}],"label":"bruteforce""#;
    line(number, end, "honeypot", &format!(r#"{{"session":{{{session}}},{target},{auth}}}"#))
}

/// Records of batches that came one after the other, each a second after it was written.
fn records(batches: &[(i64, &[String])]) -> Arc<MemoryRecords> {
    let records = MemoryRecords::new(RecordsLimits::default());
    for (sequence, (seconds, lines)) in (0..).zip(batches) {
        let key = BatchKey { sensor: sensor("tokyo"), epoch: SpoolEpoch::new(1), sequence };
        records.put(&key, lines.concat().as_bytes(), at(*seconds + 1)).unwrap();
    }
    Arc::new(records)
}

fn kinds(looked: Looked<SessionRecord>) -> Vec<String> {
    let Looked::Found(record) = looked else { panic!("{looked:?}") };
    assert!(record.is_whole);
    record.events.into_iter().map(|event| event.kind).collect()
}

#[test]
fn a_session_is_put_together_from_several_batches() {
    let records = records(&[
        (-900, &[line(7, -900, "command", "{}"), line(2, -900, "login", "{}")]),
        (10, &[line(1, 0, "login", "{}"), line(2, 1, "command", "{}")]),
        (20, &[line(1, 5, "command", r#"{"line":"id"}"#), summary(2, 1, 6)]),
        (30, &[summary(1, 0, 8), line(1, 7, "note", "{}")]),
        (60, &[line(3, 50, "fetch", &format!(r#"{{"session_id":"{}"}}"#, id(1))), line(4, 51, "login", "{}")]),
        (4000, &[line(3, 4000, "fetch", &format!(r#"{{"session_id":"{}"}}"#, id(1)))]),
    ]);
    let log = RecordedSessions::new(records);
    let found = log.find(&scope(), id(1), None).unwrap();
    let Looked::Found(record) = &found else { panic!("{found:?}") };
    assert_eq!(record.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 5);
    assert_eq!((record.summary.source.as_str(), record.summary.port), ("192.0.2.7", 23));
    assert_eq!((record.summary.began_at, record.summary.ended_at), (at(0), at(8)));
    assert_eq!(kinds(found), ["login", "command", "note", "fetch"]);
    // Where it is known, it is found again; with a hint that leads astray, too.
    let astray = SessionHint { sensor: ThingName::parse("osaka").unwrap(), at: at(900_000) };
    assert_eq!(kinds(log.find(&scope(), id(1), Some(&astray)).unwrap()).len(), 4);
    let other = RecordedSessions::new(log.records.clone());
    assert_eq!(kinds(other.find(&scope(), id(1), Some(&astray)).unwrap()).len(), 4);
    assert_eq!(log.find(&scope(), id(9), None).unwrap(), Looked::NotKept);
    let elsewhere = Scope { region: Region::parse("elsewhere").unwrap(), ..scope() };
    assert_eq!(log.find(&elsewhere, id(1), None).unwrap(), Looked::NotKept);
}

#[test]
fn what_only_the_summary_says_is_told() {
    let line = summary(1, 0, 8).replace("\"flow_id\":9000001,", "");
    let log = RecordedSessions::new(records(&[(10, &[line])]));
    let Looked::Found(record) = log.find(&scope(), id(1), None).unwrap() else { panic!("it is there") };
    assert_eq!(record.events.len(), 1);
    assert_eq!(record.events[0].kind, "login");
    assert!(record.is_whole);
}

#[test]
fn rows_lead_to_their_sessions() {
    let log = RecordedSessions::new(records(&[
        (0, &[summary(1, -50, -40)]),
        (20, &[summary(2, 0, 8), summary(3, 0, 9), summary(4, 1, 9)]),
    ]));
    let check = |name: &str, source: &str, seconds: i64, port: Option<u16>, expected: &[u64]| {
        let source = source.parse().unwrap();
        let clue = SessionClue { sensor: sensor(name), at: at(seconds), source, port };
        let expected: Vec<_> = expected.iter().map(|number| id(*number)).collect();
        match log.sessions_at(&clue).unwrap() {
            Looked::Found(found) => assert_eq!(found, expected, "{clue:?}"),
            Looked::NotKept => assert_eq!(expected, [], "{clue:?}"),
            gave_up @ Looked::GaveUp { .. } => panic!("{gave_up:?}"),
        }
    };
    check("tokyo", "192.0.2.7", -50, None, &[1]);
    check("tokyo", "192.0.2.7", 0, Some(23), &[2, 3]);
    check("tokyo", "192.0.2.7", 0, Some(24), &[]);
    check("tokyo", "192.0.2.8", 0, None, &[]);
    check("osaka", "192.0.2.7", 0, None, &[]);
    check("tokyo", "192.0.2.7", 5_000, None, &[]);
    for at in [i64::MIN, i64::MAX] {
        let clue = SessionClue {
            at: Timestamp::from_unix_millis(at),
            port: None,
            sensor: sensor("tokyo"),
            source: "192.0.2.7".parse().unwrap(),
        };
        assert_eq!(log.sessions_at(&clue).unwrap(), Looked::NotKept);
    }
    let latest = log.latest(&sensor("tokyo"), 2).unwrap();
    assert_eq!(latest.iter().map(|summary| summary.session).collect::<Vec<_>>(), [id(4), id(3)]);
}

#[test]
fn what_is_of_a_device_that_is_not_out_yet_says_so() {
    let check = |line: &str, expected: Confidentiality| {
        let log = RecordedSessions::new(records(&[(10, &[line.to_owned()])]));
        let Looked::Found(record) = log.find(&scope(), id(1), None).unwrap() else { panic!("it is there") };
        assert_eq!(record.summary.confidentiality, expected);
    };
    let line = summary(1, 0, 8);
    check(&line, Confidentiality::Open);
    check(
        &line.replace("\"honeypot\",\"line\"", "\"honeypot\",\"confidential\":true,\"line\""),
        Confidentiality::Confidential,
    );
    check(&line.replace("\"kind\":\"emulated\"", "\"release_state\":\"pre_release\""), Confidentiality::Confidential);
}
