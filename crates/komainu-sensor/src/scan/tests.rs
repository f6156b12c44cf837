//! Flows whose payloads are scanned, at once and later.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};

use komainu_decode::Transport;
use komainu_intel::{Classifier, RuleList, Scanners};
use komainu_ports::{MemoryScanner, SystemClock};
use serde_json::Value;

use super::*;
use crate::artifact::ArtifactLimits;
use crate::log::EventLog;
use crate::session::{
    Ending, Flow, Keeper, Passwords, RecordLimits, Recorder, RecorderParts, SensorIdentity, Target, TargetKind,
};

const START: i64 = 1_795_568_523_000_004;
const WORD: &str = "a word of the rule";

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn words() -> MemoryScanner {
    let rule = PayloadMatch {
        namespace: "ours".into(),
        rule: "word".into(),
        tags: vec!["tag".into()],
        meta: vec![("komainu_label".into(), "dropper".into()), ("komainu_confidence".into(), "77".into())],
        places: Vec::new(),
    };
    MemoryScanner::new(vec![(WORD.into(), rule)], 32 << 20)
}

/// A scanner that begins when it is told to, and tells that it was asked.
struct Held {
    scanner: Arc<MemoryScanner>,
    asked: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl PayloadScanner for Held {
    fn scan(&self, contents: &[u8]) -> Result<Vec<PayloadMatch>, ScanError> {
        let _ = self.asked.lock().send(());
        let _ = self.go.lock().recv_timeout(Duration::from_secs(30));
        self.scanner.scan(contents)
    }

    fn rest(&self) {}
}

struct Scene {
    kept: Kept,
    log: Arc<EventLog>,
    recorder: Arc<Recorder>,
}

impl Scene {
    fn new(scans: PayloadScans) -> Self {
        let kept = Kept::default();
        let log = Arc::new(EventLog::to_writers(io::sink(), kept.clone()));
        let recorder = Recorder::new(RecorderParts {
            log: log.clone(),
            artifacts: None,
            sensor: SensorIdentity { id: "tokyo-1".into(), site: None, country: None },
            passwords: Passwords::Clear,
            classifier: Some(Classifier::new(RuleList::default().compile(), Scanners::default(), None)),
            limits: RecordLimits { artifacts_per_flow_max: 200, ..RecordLimits::default() },
            fetches: None,
            scans: Some(scans),
        });
        Self { kept, log, recorder }
    }

    fn begin(&self, port: u16) -> Keeper {
        let flow = Flow {
            transport: Transport::Tcp,
            client: ([192, 0, 2, 7], port).into(),
            server: ([198, 51, 100, 1], 9999).into(),
        };
        self.recorder.begin(flow, Arc::new(Target::of_kind(TargetKind::Emulated)), START)
    }

    /// The lines of one kind, each with its body only.
    fn lines(&self, kind: &str) -> Vec<Value> {
        self.log.flush();
        let bytes = self.kept.0.lock().clone();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
        lines.filter(|line| line["event_type"] == kind).map(|line| line[kind].clone()).collect()
    }

    fn reasons(&self) -> Vec<String> {
        self.lines("yara").iter().filter_map(|line| Some(line.get("why_not")?.as_str()?.to_owned())).collect()
    }
}

fn held() -> (ScanThread, Arc<MemoryScanner>, Receiver<()>, Sender<()>) {
    let ((asked, was_asked), (go, may_go)) = (channel(), channel());
    let scanner = Arc::new(words());
    let held = Held { scanner: scanner.clone(), asked: Mutex::new(asked), go: Mutex::new(may_go) };
    (ScanThread::start(Arc::new(held), Arc::new(SystemClock)).unwrap(), scanner, was_asked, go)
}

fn check_line(line: &Value, session: &str, contents: &str) {
    assert_eq!(line["session_id"], session);
    assert_eq!(line["sha256"], Sha256Digest::of(contents.as_bytes()).to_string());
    assert_eq!((&line["namespace"], &line["rule"], &line["tags"][0]), (&"ours".into(), &"word".into(), &"tag".into()));
    assert_eq!(line["meta"]["komainu_label"], serde_json::json!(["dropper"]));
    let place = serde_json::json!([{"pattern": "$word", "offset": 4, "bytes": WORD.len()}]);
    assert_eq!(line["places"], place);
}

fn check_verdict(summary: &Value) {
    assert_eq!((&summary["label"], &summary["confidence"]), (&"dropper".into(), &77.into()), "{summary}");
    assert_eq!(summary["evidence"][0]["rule"], "yara:ours:word");
}

#[test]
fn a_capture_is_scanned_while_it_is_read() {
    let scanner = Arc::new(words());
    let scene = Scene::new(PayloadScans::at_once(scanner.clone()));
    let contents = format!("say {WORD}");
    for port in [1000, 1001] {
        let mut keeper = scene.begin(port);
        let session = keeper.session_id().to_owned();
        for _ in 0..3 {
            keeper.keep(START, contents.as_bytes());
        }
        keeper.keep(START, b"another one");
        keeper.end(START + 1, Ending::Closed);
        let lines = scene.lines("yara");
        check_line(lines.last().unwrap(), &session, &contents);
        check_verdict(scene.lines("honeypot").last().unwrap());
    }
    assert_eq!((scene.lines("yara").len(), scanner.scans()), (2, 2));
    scene.log.close();
}

#[test]
fn a_flow_that_ended_is_summed_up_when_its_payloads_are_scanned() {
    let (thread, scanner, was_asked, go) = held();
    let scene = Scene::new(thread.scans());
    let contents = format!("say {WORD}");
    let mut keeper = scene.begin(1000);
    let session = keeper.session_id().to_owned();
    keeper.keep(START, contents.as_bytes());
    keeper.keep(START, b"another one");
    keeper.end(START + 1, Ending::Closed);
    was_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!((scene.lines("yara").len(), scene.lines("honeypot").len()), (0, 0));
    go.send(()).unwrap();
    was_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!((scene.lines("yara").len(), scene.lines("honeypot").len()), (1, 0), "one waits");
    check_line(&scene.lines("yara")[0], &session, &contents);
    go.send(()).unwrap();
    thread.shutdown();
    check_verdict(&scene.lines("honeypot")[0]);
    assert_eq!(scanner.scans(), 2);
    scene.log.close();
}

#[test]
fn what_was_scanned_for_one_is_known_for_all() {
    let (thread, scanner, _was_asked, go) = held();
    let scene = Scene::new(thread.scans());
    let contents = format!("say {WORD}");
    for port in 1000..1010 {
        let mut keeper = scene.begin(port);
        keeper.keep(START, contents.as_bytes());
        keeper.end(START + 1, Ending::Closed);
    }
    // One go is enough for all of them.
    go.send(()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while scene.lines("honeypot").len() < 10 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    thread.shutdown();
    assert_eq!((scene.lines("yara").len(), scanner.scans()), (10, 1));
    scene.lines("honeypot").iter().for_each(check_verdict);
    scene.log.close();
}

#[test]
fn what_is_too_much_is_told_and_not_scanned() {
    let (thread, _scanner, was_asked, go) = held();
    let scene = Scene::new(thread.scans());
    // The thread has the first one; the queue has no room for all of the others.
    let mut first = scene.begin(1000);
    first.keep(START, b"first");
    was_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    let flows: Vec<Keeper> = [1001, 1002]
        .map(|port| {
            let mut keeper = scene.begin(port);
            for number in 0..210 {
                keeper.keep(START, format!("{port} {number}").as_bytes());
            }
            keeper
        })
        .into();
    assert_eq!(scene.reasons().len(), 400 - WAITING_MAX);
    assert!(scene.reasons().iter().all(|reason| reason == "queue_full"));
    for keeper in flows {
        keeper.end(START + 1, Ending::Closed);
    }
    first.end(START + 1, Ending::Closed);
    assert_eq!(scene.lines("honeypot").len(), 0, "all of them wait");
    // The first scan is going on: nothing else is begun when it is over.
    thread.scans.0.queue.as_ref().unwrap().is_stopping.store(true, Ordering::Relaxed);
    drop(go);
    thread.shutdown();
    let stopped = scene.reasons().iter().filter(|reason| *reason == "stopped").count();
    assert_eq!(stopped, WAITING_MAX);
    let summaries = scene.lines("honeypot");
    assert_eq!(summaries.len(), 3);
    let left_out = summaries.iter().filter_map(|summary| summary["session"].get("scans_left_out"));
    assert_eq!(left_out.collect::<Vec<_>>(), [&Value::from(10), &Value::from(10)]);
    scene.log.close();
}

#[test]
fn bytes_that_wait_are_bounded() {
    let (thread, _scanner, was_asked, go) = held();
    let scene = Scene::new(thread.scans());
    let mut keeper = scene.begin(1000);
    keeper.keep(START, b"first");
    was_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    for byte in [1, 2, 3] {
        keeper.keep(START, &vec![byte; WAITING_BYTES_MAX / 2 - 8]);
    }
    assert_eq!(scene.reasons(), ["queue_full"]);
    drop(go);
    keeper.end(START + 1, Ending::Closed);
    thread.shutdown();
    assert_eq!(scene.lines("honeypot").len(), 1);
    scene.log.close();
}

#[test]
fn a_payload_of_the_largest_size_that_is_kept_fits_into_the_queue() {
    assert!(ArtifactLimits::default().artifact_bytes_max <= WAITING_BYTES_MAX as u64);
}
