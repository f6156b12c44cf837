//! A recorder whose lines are kept in memory.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use komainu_decode::Transport;
use komainu_sensor::{
    ArtifactLimits, ArtifactStore, Ending, EventLog, Flow, Keeper, Passwords, RecordLimits, Recorder, RecorderParts,
    SensorIdentity, Target, TargetKind,
};
use serde_json::Value;

/// When flows begin, in microseconds since 1970.
pub(crate) const START: i64 = 1_795_568_523_000_004;

#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    pub(crate) fn lines(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

pub(crate) struct Scene {
    pub(crate) eve: Kept,
    pub(crate) honeypot: Kept,
    pub(crate) log: Arc<EventLog>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) artifacts: Arc<ArtifactStore>,
    _folder: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new(passwords: Passwords) -> Self {
        let (eve, honeypot) = (Kept::default(), Kept::default());
        let log = Arc::new(EventLog::to_writers(eve.clone(), honeypot.clone()));
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Arc::new(ArtifactStore::open(folder.path(), &[1; 32], ArtifactLimits::default()).unwrap());
        let recorder = Recorder::new(RecorderParts {
            log: log.clone(),
            artifacts: Some(artifacts.clone()),
            sensor: SensorIdentity { id: "tokyo-1".into(), site: None, country: Some("JP".into()) },
            passwords,
            classifier: None,
            limits: RecordLimits::default(),
            fetches: None,
            scans: None,
        });
        Self { eve, honeypot, log, recorder, artifacts, _folder: folder }
    }

    pub(crate) fn begin(&self, kind: TargetKind) -> Keeper {
        let target =
            Target { persona: Some("camera".into()), device_type: Some("ip_camera".into()), ..Target::of_kind(kind) };
        let flow = Flow {
            transport: Transport::Tcp,
            client: "192.0.2.7:40000".parse().unwrap(),
            server: "198.51.100.1:23".parse().unwrap(),
        };
        self.recorder.begin(flow, Arc::new(target), START)
    }

    pub(crate) fn end(&self, keeper: Keeper) -> (Vec<Value>, Vec<Value>) {
        keeper.end(START + 2_500_000, Ending::Closed);
        self.log.flush();
        (self.eve.lines(), self.honeypot.lines())
    }
}
