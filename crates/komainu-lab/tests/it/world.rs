//! All that the laboratory works with, in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use komainu_analysis::RuleSet;
use komainu_lab::{Intake, Laboratory, LaboratoryConfig, LaboratoryPorts, digests_of};
use komainu_model::{
    Confidentiality, Indicator, IndicatorCandidate, IndicatorId, SampleDigest, SensorName, SessionId, Taught, Timestamp,
};
use komainu_ports::{
    BoxFuture, Clock, Detonation, DetonationCost, DetonationEnd, DetonationRequest, IndicatorSink, MemoryArtifacts,
    MemorySamples, NewSample, SampleIntake, SampleLimits, SampleOrigin, SamplePriority, SampleState, SampleStore,
    SampleSubmitted, Sandbox, SandboxError, SensorArtifacts, StaticReport, StoreError, StoredSample, Triage,
    TriageError, TriageLevel,
};
use komainu_stix::Marking;
use komainu_trace::GuestIsa;
use komainu_trace::network::{FlowNumber, NetworkAct, NetworkEvent};
use komainu_triage::{NoRules, Outside};
use parking_lot::Mutex;

/// With whom every program here is in contact.
pub(crate) const C2: &str = "203.0.113.66:4444/tcp";

/// A program for MIPS, as far as its header says so.
pub(crate) fn elf(name: &str) -> Vec<u8> {
    let head = [&b"\x7fELF"[..], &[1, 2, 1], &[0; 9], &[0, 2], &[0, 8], &[0, 0, 0, 1], &[0; 28]].concat();
    [head.as_slice(), b"203.0.113.66\0", name.as_bytes()].concat()
}

pub(crate) fn sensor(name: &str, session: Option<&str>) -> SampleOrigin {
    let session = session.map(|session| SessionId::parse(session).unwrap());
    SampleOrigin::Sensor { sensor: SensorName::parse(name).unwrap(), session }
}

/// Virtual time as a clock.
#[derive(Debug)]
struct TestClock(tokio::time::Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000).plus(self.0.elapsed())
    }
}

pub(crate) struct World {
    clock: Arc<TestClock>,
    pub(crate) samples: Arc<MemorySamples>,
    pub(crate) intake: Arc<Intake>,
    artifacts: Arc<MemoryArtifacts>,
    pub(crate) sandbox: Arc<ScriptedSandbox>,
    pub(crate) sink: Arc<Sink>,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(TestClock(tokio::time::Instant::now()));
        let samples = Arc::new(MemorySamples::new(SampleLimits::default()));
        Self {
            intake: Intake::new(samples.clone(), clock.clone()),
            clock,
            samples,
            artifacts: Arc::default(),
            sandbox: Arc::default(),
            sink: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The laboratory at work, with one worker.
    pub(crate) async fn start(&self) -> Laboratory {
        let config = LaboratoryConfig {
            workers: 1,
            runs_for_max: Duration::from_secs(60),
            quiet_for_max: Some(Duration::from_secs(10)),
            rules: RuleSet::with(&[]).0,
            marking: Marking::Green,
        };
        let ports = LaboratoryPorts {
            lookups: Vec::new(),
            store: self.samples.clone(),
            intake: self.intake.clone(),
            artifacts: self.artifacts.clone(),
            triage: Arc::new(DirectTriage),
            sandbox: self.sandbox.clone(),
            indicators: self.sink.clone(),
            clock: self.clock.clone(),
        };
        Laboratory::start(config, ports).await.unwrap()
    }

    /// Puts contents among the artifacts.
    pub(crate) fn keep(&self, contents: &[u8], confidentiality: Confidentiality) -> SampleDigest {
        let digest = digests_of(contents).sha256;
        self.artifacts.keep(digest.sha256(), contents, confidentiality).unwrap();
        digest
    }

    pub(crate) fn bring(&self, contents: &[u8], origin: SampleOrigin) -> SampleDigest {
        self.bring_as(contents, origin, SamplePriority::Ordinary)
    }

    pub(crate) fn bring_as(&self, contents: &[u8], origin: SampleOrigin, priority: SamplePriority) -> SampleDigest {
        let digest = self.keep(contents, Confidentiality::Open);
        assert_eq!(self.submit(contents, origin, priority), SampleSubmitted::New);
        digest
    }

    pub(crate) fn submit(&self, contents: &[u8], origin: SampleOrigin, priority: SamplePriority) -> SampleSubmitted {
        let (digests, confidentiality) = (digests_of(contents), Confidentiality::Open);
        let sample = NewSample { digests, bytes: contents.len() as u64, origin, confidentiality, priority };
        self.intake.submit(&sample).unwrap()
    }

    /// Waits until something holds, in virtual time.
    pub(crate) async fn until(&self, at_most: Duration, holds: impl Fn() -> bool) {
        let until = tokio::time::Instant::now() + at_most;
        while !holds() {
            assert!(tokio::time::Instant::now() < until, "it does not come: {:?}", self.samples.list(None, 9));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits for the report about a sample.
    pub(crate) async fn done(&self, sample: SampleDigest, at_most: Duration) -> StoredSample {
        let stored = || self.samples.sample(&sample).unwrap().unwrap();
        self.until(at_most, || matches!(stored().state, SampleState::Done { .. })).await;
        stored()
    }
}

/// Static triage in this process; it fails where a worker would have died.
#[derive(Debug)]
struct DirectTriage;

impl Triage for DirectTriage {
    fn triage(&self, contents: &[u8]) -> Result<StaticReport, TriageError> {
        if contents.ends_with(b"kills its triage") {
            return Err(TriageError::Failed { doing: "asking the process", source: "it died".into() });
        }
        let report = komainu_triage::triage(contents, &NoRules, &Outside::default());
        Ok(StaticReport {
            json: serde_json::to_string(&report).unwrap(),
            sha256: report.samples[0].digests.sha256.clone(),
            kind: report.samples[0].kind.clone(),
            isa: None,
            level: TriageLevel::Unremarkable,
            family: None,
        })
    }
}

/// Runs everything for MIPS: it calls home every two seconds for ten.
#[derive(Debug, Default)]
pub(crate) struct ScriptedSandbox {
    asked: Mutex<Vec<DetonationRequest>>,
    breaks: AtomicU32,
    hangs: AtomicBool,
}

impl ScriptedSandbox {
    /// What was to be run.
    pub(crate) fn asked(&self) -> Vec<DetonationRequest> {
        self.asked.lock().clone()
    }

    /// The next so many runs break.
    pub(crate) fn break_first(&self, count: u32) {
        self.breaks.store(count, Ordering::SeqCst);
    }

    /// Runs do not end.
    pub(crate) fn hang(&self) {
        self.hangs.store(true, Ordering::SeqCst);
    }
}

impl Sandbox for ScriptedSandbox {
    fn isas(&self) -> Vec<GuestIsa> {
        vec![GuestIsa::Mips]
    }

    fn detonate(&self, request: DetonationRequest) -> BoxFuture<'_, Result<Detonation, SandboxError>> {
        Box::pin(async move {
            self.asked.lock().push(request.clone());
            if self.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if request.isa != GuestIsa::Mips {
                return Err(SandboxError::NoGuest { isa: request.isa, reason: "nothing is recorded for it".into() });
            }
            let breaks = self.breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if breaks.is_ok() {
                return Err(SandboxError::Broken("on purpose".into()));
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok(detonation(&request))
        })
    }
}

fn detonation(request: &DetonationRequest) -> Detonation {
    let flow = FlowNumber(1);
    let to: SocketAddr = C2.trim_end_matches("/tcp").parse().unwrap();
    let mut network = vec![NetworkAct::Connect { flow, from_port: 40_000, to, name: None, accepted: true }];
    for beacon in 1..=5 {
        network.push(NetworkAct::Sent { flow, bytes: beacon * 5, head: "ping\n".into() });
    }
    let at = |(number, act): (u64, NetworkAct)| NetworkEvent { at_us: 1_000_000 + number * 2_000_000, act };
    Detonation {
        id: request.id.clone(),
        isa: request.isa,
        run_as: request.run_as,
        started: Timestamp::from_unix_seconds(1_700_000_000),
        ran_for: Duration::from_secs(10),
        end: DetonationEnd::Exited,
        guest: Vec::new(),
        network: (0..).zip(network).map(at).collect(),
        packets: Vec::new(),
        contents: Vec::new(),
        cut: Vec::new(),
        cost: DetonationCost::default(),
    }
}

/// Keeps what is taught.
#[derive(Debug, Default)]
pub(crate) struct Sink(Mutex<Vec<IndicatorCandidate>>);

impl Sink {
    pub(crate) fn taught(&self) -> Vec<IndicatorCandidate> {
        self.0.lock().clone()
    }
}

impl IndicatorSink for Sink {
    fn teach(&self, candidates: &[IndicatorCandidate]) -> Result<Vec<Taught>, StoreError> {
        self.0.lock().extend_from_slice(candidates);
        Ok(candidates.iter().map(|_| Taught::New(IndicatorId::from_bytes([1; 16]))).collect())
    }

    fn revoke(&self, _id: IndicatorId, _reason: Option<&str>) -> Result<Option<Indicator>, StoreError> {
        Ok(None)
    }
}
