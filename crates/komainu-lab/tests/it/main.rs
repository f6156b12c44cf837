//! The laboratory with stores, triage and a sandbox in memory.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod world;

use std::time::Duration;

use komainu_model::{Confidentiality, IndicatorSource, IndicatorValue, SensorName, SessionId};
use komainu_ports::{
    RunAs, SampleDocument, SampleIntake, SampleMention, SampleOrigin, SamplePriority, SampleState, SampleStore,
    SampleSubmitted,
};

use crate::world::{C2, World, elf, sensor};

/// Virtual time within which everything here is over.
const SOON: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_sample_gets_a_report_and_the_fleet_learns() {
    let world = World::new();
    let key = world.bring(&elf("bot"), sensor("camera", None));
    let laboratory = world.start().await;
    let sample = world.done(key, SOON).await;
    laboratory.shutdown().await;
    assert_eq!(sample.essentials.verdict, "suspicious", "{sample:?}");
    assert_eq!(sample.essentials.processor, "mips");
    for kind in SampleDocument::ALL {
        assert!(world.samples.document(&key, kind).unwrap().is_some(), "{kind:?}");
    }
    let report = world.samples.document(&key, SampleDocument::Report).unwrap().unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["runs"].as_array().unwrap().len(), 2, "as a user and as root");
    let mut runs: Vec<RunAs> = world.sandbox.asked().iter().map(|request| request.run_as).collect();
    runs.sort_by_key(|run_as| *run_as == RunAs::Root);
    assert_eq!(runs, [RunAs::User, RunAs::Root]);
    let taught = world.sink.taught();
    assert_eq!(taught.len(), 1);
    assert_eq!(taught[0].value, IndicatorValue::parse(C2).unwrap());
    assert!(matches!(taught[0].source, IndicatorSource::Detonation(_)));
    let provenance = taught[0].provenance.clone().unwrap();
    assert_eq!((provenance.sample, provenance.session), (Some(key), None));
    assert_eq!(provenance.sensor.unwrap().as_str(), "camera");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_comes_later_is_told_too() {
    let world = World::new();
    let key = world.bring(&elf("bot"), sensor("camera", None));
    let mention = |session: &str| SampleMention {
        sample: key,
        sensor: SensorName::parse("camera").unwrap(),
        session: SessionId::parse(session).unwrap(),
    };
    world.intake.mention(&[mention("before")]).unwrap();
    let laboratory = world.start().await;
    world.done(key, SOON).await;
    world.intake.mention(&[mention("after")]).unwrap();
    let sessions = || {
        let taught = world.sink.taught();
        let sessions = taught.iter().filter_map(|candidate| candidate.provenance.clone()?.session);
        sessions.map(|session| session.to_string()).collect::<Vec<_>>()
    };
    world.until(SOON, || sessions().contains(&"after".to_owned())).await;
    laboratory.shutdown().await;
    assert_eq!(sessions()[0], "before");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_told_of_is_found() {
    let world = World::new();
    let key = world.keep(&elf("bot"), Confidentiality::Confidential);
    let laboratory = world.start().await;
    world.until(SOON, || world.samples.sample(&key).unwrap().is_some()).await;
    let sample = world.done(key, SOON).await;
    laboratory.shutdown().await;
    assert_eq!(sample.origins, [SampleOrigin::Found]);
    assert_eq!(sample.confidentiality, Confidentiality::Confidential);
    assert_eq!(sample.priority, SamplePriority::Again);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_gives_a_report_that_says_so_and_the_queue_goes_on() {
    let world = World::new();
    let deadly = world.bring(&elf("kills its triage"), sensor("camera", None));
    let next = world.bring(&elf("bot"), sensor("camera", None));
    let laboratory = world.start().await;
    world.done(next, SOON).await;
    let sample = world.done(deadly, SOON).await;
    laboratory.shutdown().await;
    assert_eq!(sample.essentials.verdict, "suspicious", "what it does was seen");
    let report = world.samples.document(&deadly, SampleDocument::Report).unwrap().unwrap();
    assert!(report.contains("static triage has no report: cannot look at a sample"), "{report}");
    assert_eq!(world.samples.document(&deadly, SampleDocument::Triage).unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_breaks_is_tried_again_and_then_told_of() {
    let world = World::new();
    world.sandbox.break_first(3);
    let soon = world.bring(&elf("bot"), sensor("camera", None));
    let laboratory = world.start().await;
    let sample = world.done(soon, SOON).await;
    assert_eq!(sample.essentials.verdict, "suspicious", "the second attempt went well");
    world.sandbox.break_first(100);
    let never = world.bring(&elf("another bot"), sensor("camera", None));
    world.done(never, SOON).await;
    laboratory.shutdown().await;
    let report = world.samples.document(&never, SampleDocument::Report).unwrap().unwrap();
    assert!(report.contains("no run as an ordinary user: the sandbox broke: on purpose"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_here_has_a_report_all_the_same() {
    let world = World::new();
    let check = async |contents: &[u8], says: &str| {
        let key = world.bring(contents, sensor("camera", None));
        world.done(key, SOON).await;
        let report = world.samples.document(&key, SampleDocument::Report).unwrap().unwrap();
        assert!(report.contains(says), "{says}: {report}");
    };
    let laboratory = world.start().await;
    check(b"no program", "\"verdict\":{\"level\":\"not_run\"").await;
    let mut foreign = elf("bot");
    // A machine that nobody has.
    foreign[18..20].copy_from_slice(&0x7777u16.to_be_bytes());
    check(&foreign, "no guest has its processor (e_machine 30583)").await;
    let mut arm64 = elf("bot");
    (arm64[4], arm64[5]) = (2, 1);
    arm64[18..20].copy_from_slice(&183u16.to_le_bytes());
    check(&arm64, "cannot run programs for arm64: nothing is recorded for it").await;
    laboratory.shutdown().await;
    assert_eq!(world.sink.taught(), []);
}

#[tokio::test(start_paused = true)]
async fn people_who_wait_come_first_and_whoever_stops_gives_back() {
    let world = World::new();
    let ordinary = world.bring(&elf("bot"), sensor("camera", None));
    let urgent = elf("another bot");
    let upload = SampleOrigin::Upload { by: "operator".into(), name: "/evil name$.arm7".into() };
    let urgent = world.bring_as(&urgent, upload, SamplePriority::Urgent);
    world.sandbox.hang();
    let laboratory = world.start().await;
    world.until(SOON, || world.sandbox.asked().len() == 2).await;
    assert_eq!(world.sandbox.asked()[0].file_name, "evilname.arm7");
    let state = |key| world.samples.sample(&key).unwrap().unwrap().state;
    let SampleState::Working { attempt: 1, step, percent: 10, .. } = state(urgent) else {
        panic!("{:?}", state(urgent))
    };
    assert_eq!(step, "sandbox");
    assert!(matches!(state(ordinary), SampleState::Waiting { attempts: 0, .. }));
    // It is held for as long as it takes.
    tokio::time::sleep(SOON).await;
    assert!(matches!(state(urgent), SampleState::Working { attempt: 1, .. }));
    laboratory.shutdown().await;
    assert!(matches!(state(urgent), SampleState::Waiting { attempts: 0, .. }), "{:?}", state(urgent));
}

#[tokio::test(start_paused = true)]
async fn what_ends_the_whole_laboratory_is_not_begun_for_ever() {
    let world = World::new();
    let key = world.bring(&elf("bot"), sensor("camera", None));
    for attempt in 1..=3 {
        let lease = world.samples.lease(world.now(), world.now().plus(SOON)).unwrap().unwrap();
        assert_eq!(lease.attempt, attempt);
        assert_eq!(world.samples.recover(world.now()).unwrap(), 1);
    }
    let laboratory = world.start().await;
    world
        .until(SOON, || matches!(world.samples.sample(&key).unwrap().unwrap().state, SampleState::Failed { .. }))
        .await;
    laboratory.shutdown().await;
    // Who wants to can try it again.
    assert!(world.intake.again(&key, SamplePriority::Urgent).unwrap());
    assert_eq!(world.sandbox.asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn samples_are_compared_with_those_of_earlier_lives() {
    let world = World::new();
    let first = world.bring(&elf("bot"), sensor("camera", None));
    let laboratory = world.start().await;
    world.done(first, SOON).await;
    laboratory.shutdown().await;
    let laboratory = world.start().await;
    let second = world.bring(&elf("another bot"), sensor("camera", None));
    world.done(second, SOON).await;
    laboratory.shutdown().await;
    let report = world.samples.document(&second, SampleDocument::Report).unwrap().unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["similar"][0]["sha256"], first.to_string(), "{}", report["similar"]);
    assert_eq!(world.submit(&elf("bot"), sensor("camera", None), SamplePriority::Ordinary), SampleSubmitted::Known);
}
