//! What every engine that keeps the captures of sensors must do.

#![expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]

use komainu_model::{AccountId, Confidentiality, Region, Scope, ThingName, Timestamp};

use crate::sensor_captures::{
    CaptureStored, CapturesError, CapturesLimits, NewCapture, RecordedSession, SensorCaptures, StoredCapture,
};
use crate::sensor_records::SensorKey;

/// Checks everything that does not need a medium; `new` makes empty captures.
pub fn check_sensor_captures(new: &dyn Fn(CapturesLimits) -> Box<dyn SensorCaptures>) {
    let with_defaults = || new(CapturesLimits::default());
    gives_back_what_came(&*with_defaults());
    takes_a_session_once(&*with_defaults());
    keeps_sensors_apart(&*with_defaults());
    removes_the_oldest_of_the_largest(&*new(CapturesLimits { bytes_max: 40, captures_max: 100 }));
    removes_the_oldest_of_the_largest(&*new(CapturesLimits { bytes_max: 1_000, captures_max: 4 }));
    takes_captures_from_many_threads(&*with_defaults());
}

/// Checks that what was kept is there after closing and opening; `open` opens the same place again each time.
pub fn check_durable_sensor_captures(open: &dyn Fn(CapturesLimits) -> Box<dyn SensorCaptures>) {
    let limits = CapturesLimits { bytes_max: 1_000, captures_max: 3 };
    let captures = open(limits);
    for (name, number, at) in [("camera", 9, 1), ("camera", 3, 2), ("door", 5, 3), ("camera", 1, 4)] {
        put(&*captures, name, number, at).unwrap();
    }
    let before = captures.captures();
    assert_eq!(before.len(), 3);
    drop(captures);
    let captures = open(limits);
    assert_eq!(captures.captures(), before, "reopening changed what is kept");
    assert_eq!(put(&*captures, "camera", 3, 5).unwrap(), CaptureStored::Known);
    assert_eq!(captures.read(&before[0]).unwrap(), PCAPNG);
    assert_eq!(put(&*captures, "camera", 4, 6).unwrap(), CaptureStored::New { removed: 1 });
    assert_eq!(sessions(&*captures), [session(5), session(1), session(4)]);
}

/// Ten bytes. What they say is not looked at.
const PCAPNG: &[u8] = b"0123456789";

fn sensor(name: &str) -> SensorKey {
    SensorKey {
        scope: Scope {
            account: AccountId::parse("123456789012").unwrap(),
            region: Region::parse("eu-west-1").unwrap(),
        },
        name: ThingName::parse(name).unwrap(),
    }
}

fn session(number: u64) -> RecordedSession {
    RecordedSession::parse(&format!("{number:032x}")).unwrap()
}

/// Puts a capture; those with even numbers are confidential.
fn put(captures: &dyn SensorCaptures, name: &str, number: u64, at_s: i64) -> Result<CaptureStored, CapturesError> {
    let confidentiality = confidentiality(number);
    let capture = NewCapture { sensor: &sensor(name), session: session(number), confidentiality, pcapng: PCAPNG };
    captures.put(&capture, Timestamp::from_unix_seconds(at_s))
}

fn confidentiality(number: u64) -> Confidentiality {
    if number.is_multiple_of(2) { Confidentiality::Confidential } else { Confidentiality::Open }
}

const NEW: CaptureStored = CaptureStored::New { removed: 0 };

fn sessions(captures: &dyn SensorCaptures) -> Vec<RecordedSession> {
    captures.captures().iter().map(|capture| capture.session).collect()
}

fn gives_back_what_came(captures: &dyn SensorCaptures) {
    assert_eq!(captures.captures(), []);
    for (number, at) in [(7, 1), (2, 2), (5, 2)] {
        assert_eq!(put(captures, "camera", number, at).unwrap(), NEW);
    }
    let kept = captures.captures();
    let expected = StoredCapture {
        sensor: sensor("camera"),
        session: session(7),
        confidentiality: Confidentiality::Open,
        bytes: 10,
        received_at: Timestamp::from_unix_seconds(1),
    };
    assert_eq!(kept[0], expected);
    assert_eq!(kept[1].confidentiality, Confidentiality::Confidential);
    assert_eq!(sessions(captures), [7, 2, 5].map(session));
    assert!(kept.iter().all(|capture| captures.read(capture).unwrap() == PCAPNG));
    let other = StoredCapture { session: session(8), ..expected };
    assert!(matches!(captures.read(&other), Err(CapturesError::Missing { .. })));
}

fn takes_a_session_once(captures: &dyn SensorCaptures) {
    assert_eq!(put(captures, "camera", 1, 1).unwrap(), NEW);
    for confidentiality in [Confidentiality::Open, Confidentiality::Confidential] {
        let again = NewCapture { sensor: &sensor("camera"), session: session(1), confidentiality, pcapng: b"x" };
        assert_eq!(captures.put(&again, Timestamp::from_unix_seconds(2)).unwrap(), CaptureStored::Known);
    }
    let kept = captures.captures();
    assert_eq!(kept.len(), 1);
    assert_eq!(captures.read(&kept[0]).unwrap(), PCAPNG);
}

fn keeps_sensors_apart(captures: &dyn SensorCaptures) {
    for name in ["camera", "door", "a:b_C-d"] {
        assert_eq!(put(captures, name, 1, 1).unwrap(), NEW, "the same session of another sensor");
    }
    assert_eq!(captures.captures().len(), 3);
}

/// Four captures have room.
fn removes_the_oldest_of_the_largest(captures: &dyn SensorCaptures) {
    assert_eq!(put(captures, "door", 1, 1).unwrap(), NEW);
    for number in 2..5 {
        assert_eq!(put(captures, "camera", number, 2).unwrap(), NEW);
    }
    for number in 5..20 {
        assert_eq!(put(captures, "camera", number, number as i64).unwrap(), CaptureStored::New { removed: 1 });
    }
    assert_eq!(sessions(captures), [1, 17, 18, 19].map(session), "the door's is older, and not the camera's to remove");
}

fn takes_captures_from_many_threads(captures: &dyn SensorCaptures) {
    const THREADS: u64 = 8;
    const CAPTURES: u64 = 8;
    let new: u64 = std::thread::scope(|threads| {
        let putting: Vec<_> = (0..THREADS)
            .map(|_| {
                threads.spawn(move || {
                    let mine = (0..CAPTURES).map(|number| put(captures, "camera", number, 1).unwrap());
                    mine.filter(|stored| *stored != CaptureStored::Known).count() as u64
                })
            })
            .collect();
        putting.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(new, CAPTURES, "each capture is new to one of those who bring it");
    assert_eq!(captures.captures().len() as u64, CAPTURES);
}
