//! The captures of sensors in a folder.

use std::cell::Cell;
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use komainu_engines::FolderCaptures;
use komainu_model::{AccountId, Confidentiality, Region, Scope, ThingName, Timestamp};
use komainu_ports::conformance_captures::{check_durable_sensor_captures, check_sensor_captures};
use komainu_ports::{CapturesLimits, NewCapture, RecordedSession, SensorCaptures, SensorKey};

use crate::killed::Writer;

#[test]
fn keeps_captures() {
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    check_sensor_captures(&|limits| {
        count.set(count.get() + 1);
        Box::new(FolderCaptures::open(&folder.path().join(count.get().to_string()), limits).unwrap())
    });
}

#[test]
fn keeps_captures_over_reopening() {
    let folder = tempfile::tempdir().unwrap();
    check_durable_sensor_captures(&|limits| Box::new(FolderCaptures::open(folder.path(), limits).unwrap()));
}

/// Files that version 1 wrote are found and hold what they held then; what it did not finish goes.
#[test]
fn reads_what_version_1_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let camera = folder.path().join("123456789012/eu-west-1/camera");
    fs::create_dir_all(&camera).unwrap();
    fs::write(camera.join("00000000000000000000000000000001.confidential.pcapng"), "x").unwrap();
    fs::write(camera.join("00000000000000000000000000000002.pcapng.new"), "x").unwrap();
    let captures = FolderCaptures::open(folder.path(), CapturesLimits::default()).unwrap();
    let kept = captures.captures();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].session, kept[0].confidentiality), (session(1), Confidentiality::Confidential));
    assert_eq!(captures.read(&kept[0]).unwrap(), b"x");
    assert_eq!(fs::read_dir(&camera).unwrap().count(), 1);
}

fn session(number: u64) -> RecordedSession {
    RecordedSession::parse(&format!("{number:032x}")).unwrap()
}

fn camera() -> SensorKey {
    let scope =
        Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-west-1").unwrap() };
    SensorKey { scope, name: ThingName::parse("camera").unwrap() }
}

/// Where the child of [`survives_kill`] writes.
const KILL_TEST_FOLDER: &str = "KOMAINU_KILL_TEST_CAPTURES";
/// Rounds of killing.
const KILLS: u64 = 12;
/// Captures that are kept: few, so that removing is interrupted, too.
const CAPTURES_MAX: u64 = 8;

fn limits() -> CapturesLimits {
    CapturesLimits { captures_max: CAPTURES_MAX, ..CapturesLimits::default() }
}

/// Whatever the moment of its death, a process has kept every capture that it said it had, each as a whole.
#[test]
fn survives_kill() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..KILLS {
        let writer = Writer {
            test: "folder_captures::writes_until_it_is_killed",
            variable: KILL_TEST_FOLDER,
            place: folder.path(),
            word: "kept ",
            lines_min: 6,
        };
        let acknowledged = writer.kill(round);
        let captures = FolderCaptures::open(folder.path(), limits()).unwrap();
        let kept = captures.captures();
        let last = session(*acknowledged.last().unwrap());
        assert!(kept.iter().any(|capture| capture.session == last), "{last} was acknowledged and is not there");
        for capture in &kept {
            let expected = pcapng(u64::from_str_radix(&capture.session.to_string(), 16).unwrap());
            assert_eq!(captures.read(capture).unwrap(), expected, "{}", capture.session);
        }
        assert!(kept.len() as u64 <= CAPTURES_MAX);
    }
}

fn pcapng(number: u64) -> Vec<u8> {
    format!("{number} {}", "x".repeat(20_000)).into_bytes()
}

/// The child of [`survives_kill`]; it says nothing and ends when it is not one.
#[test]
#[ignore = "started by survives_kill"]
fn writes_until_it_is_killed() {
    let Some(folder) = env::var_os(KILL_TEST_FOLDER).map(PathBuf::from) else { return };
    let captures = FolderCaptures::open(&folder, limits()).unwrap();
    let last = captures.captures().last().map(|capture| capture.session.to_string());
    let first = last.map_or(0, |last| u64::from_str_radix(&last, 16).unwrap() + 1);
    for number in first.. {
        // Each comes twice, as from a sensor that did not hear the answer.
        for _ in 0..2 {
            let (session, pcapng) = (session(number), pcapng(number));
            let confidentiality = Confidentiality::Open;
            let capture = NewCapture { sensor: &camera(), session, confidentiality, pcapng: &pcapng };
            captures.put(&capture, Timestamp::from_unix_seconds(number as i64)).unwrap();
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nkept {number}").unwrap();
        out.flush().unwrap();
    }
}
