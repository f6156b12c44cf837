use std::sync::Mutex;

use komainu_model::{Confidentiality, SampleDigest, Timestamp};
use komainu_ports::{
    AttemptEnd, BoxFuture, MemorySamples, NewSample, SampleBrief, SampleCounts, SampleDocument, SampleIntake,
    SampleLease, SampleLimits, SampleMention, SampleOrigin, SamplePriority, SampleSubmitted, StoredSample, TimeRange,
};

use tokio::task::JoinSet;

use super::*;
use crate::intake::Intake;

/// What a source says to a question.
#[derive(Clone, Copy)]
enum Says {
    Unknown,
    Known(&'static str),
    TooMany(u64),
    Unavailable,
    Refused,
    Nothing,
}

/// A source that answers by script, and then that it knows nothing. It keeps the questions and the second in which each came.
struct Scripted {
    name: &'static str,
    pause: Duration,
    began_at: Instant,
    script: Mutex<VecDeque<Says>>,
    questions: Mutex<Vec<(u64, u8)>>,
}

impl Scripted {
    fn new(name: &'static str, pause_s: u64, script: &[Says]) -> Arc<Self> {
        let script = Mutex::new(script.iter().copied().collect());
        let pause = Duration::from_secs(pause_s);
        Arc::new(Self { name, pause, began_at: Instant::now(), script, questions: Mutex::default() })
    }

    /// Second and sample of each question.
    fn questions(&self) -> Vec<(u64, u8)> {
        self.questions.lock().unwrap().clone()
    }
}

impl SampleLookup for Scripted {
    fn source(&self) -> &str {
        self.name
    }

    fn pause(&self) -> Duration {
        self.pause
    }

    fn look_up<'a>(&'a self, digests: &'a SampleDigests) -> BoxFuture<'a, Result<ElsewhereAnswer, LookupError>> {
        self.questions.lock().unwrap().push((self.began_at.elapsed().as_secs(), digests.sha256.sha256()[0]));
        let says = self.script.lock().unwrap().pop_front().unwrap_or(Says::Unknown);
        let source_name = self.name.to_owned();
        Box::pin(async move {
            match says {
                Says::Unknown => Ok(ElsewhereAnswer::Unknown),
                Says::Known(label) => {
                    let (first_seen, detections) = (Some(Timestamp::from_unix_seconds(5)), Some((3, 60)));
                    Ok(ElsewhereAnswer::Known { first_seen, labels: vec![label.to_owned()], detections })
                }
                Says::TooMany(s) => Err(LookupError::TooMany { source_name, after: Duration::from_secs(s) }),
                Says::Unavailable => Err(LookupError::Unavailable { source_name, source: "no way there".into() }),
                Says::Refused => Err(LookupError::Refused { source_name, reason: "wrong key".to_owned() }),
                Says::Nothing => std::future::pending().await,
            }
        })
    }
}

/// A store that fails so many times.
struct Failing {
    inner: MemorySamples,
    reads: Mutex<u32>,
    writes: Mutex<u32>,
}

fn fails(times: &Mutex<u32>) -> Result<(), SamplesError> {
    let times = &mut *times.lock().unwrap();
    if *times == 0 {
        return Ok(());
    }
    *times -= 1;
    Err(SamplesError::Unavailable { doing: "testing", source: "no disk".into() })
}

impl SampleStore for Failing {
    fn not_asked(&self, source: &str, since: Timestamp, count: usize) -> Result<Vec<SampleDigests>, SamplesError> {
        fails(&self.reads)?;
        self.inner.not_asked(source, since, count)
    }

    fn elsewhere(&self, sample: &SampleDigest, known: &KnownElsewhere) -> Result<(), SamplesError> {
        fails(&self.writes)?;
        self.inner.elsewhere(sample, known)
    }

    fn submit(&self, sample: &NewSample, now: Timestamp) -> Result<SampleSubmitted, SamplesError> {
        self.inner.submit(sample, now)
    }

    fn mention(&self, mentions: &[SampleMention], now: Timestamp) -> Result<(), SamplesError> {
        self.inner.mention(mentions, now)
    }

    fn lease(&self, now: Timestamp, until: Timestamp) -> Result<Option<SampleLease>, SamplesError> {
        self.inner.lease(now, until)
    }

    fn progress(&self, lease: &SampleLease, step: &str, percent: u8, until: Timestamp) -> Result<bool, SamplesError> {
        self.inner.progress(lease, step, percent, until)
    }

    fn put_document(&self, sample: &SampleDigest, kind: SampleDocument, json: &str) -> Result<(), SamplesError> {
        self.inner.put_document(sample, kind, json)
    }

    fn document(&self, sample: &SampleDigest, kind: SampleDocument) -> Result<Option<String>, SamplesError> {
        self.inner.document(sample, kind)
    }

    fn end(&self, lease: &SampleLease, end: &AttemptEnd, now: Timestamp) -> Result<bool, SamplesError> {
        self.inner.end(lease, end, now)
    }

    fn again(&self, sample: &SampleDigest, priority: SamplePriority, now: Timestamp) -> Result<bool, SamplesError> {
        self.inner.again(sample, priority, now)
    }

    fn recover(&self, now: Timestamp) -> Result<u64, SamplesError> {
        self.inner.recover(now)
    }

    fn sample(&self, sample: &SampleDigest) -> Result<Option<StoredSample>, SamplesError> {
        self.inner.sample(sample)
    }

    fn find(&self, digest: &[u8]) -> Result<Option<SampleDigest>, SamplesError> {
        self.inner.find(digest)
    }

    fn list(&self, before: Option<(Timestamp, SampleDigest)>, count: usize) -> Result<Vec<StoredSample>, SamplesError> {
        self.inner.list(before, count)
    }

    fn briefs(&self, range: TimeRange, count: usize) -> Result<Vec<SampleBrief>, SamplesError> {
        self.inner.briefs(range, count)
    }

    fn counts(&self) -> Result<SampleCounts, SamplesError> {
        self.inner.counts()
    }
}

/// The second in which every test begins.
const BEGINNING: Timestamp = Timestamp::from_unix_seconds(1_795_400_000);

/// Virtual time as a clock.
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        BEGINNING.plus(self.0.elapsed())
    }
}

struct Laboratory {
    store: Arc<dyn SampleStore>,
    intake: Arc<Intake>,
    clock: Arc<dyn Clock>,
}

impl Laboratory {
    fn new() -> Self {
        Self::on(Arc::new(MemorySamples::new(SampleLimits::default())))
    }

    fn on(store: Arc<dyn SampleStore>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock(Instant::now()));
        Self { intake: Intake::new(store.clone(), clock.clone()), store, clock }
    }

    fn bring(&self, number: u8, confidentiality: Confidentiality) {
        self.intake.submit(&sample(number, confidentiality)).unwrap();
    }

    fn start(&self, sources: &[&Arc<Scripted>]) -> Lookups {
        let (stop, stopping) = watch::channel(false);
        let lanes = sources.iter().map(|source| {
            let (source, store): (Arc<dyn SampleLookup>, _) = (Arc::clone(source) as _, self.store.clone());
            Lane::new(source, store, self.clock.clone(), self.intake.subscribe(), stopping.clone()).run()
        });
        Lookups { stop, lanes: lanes.collect() }
    }

    /// Who said what about a sample, and in which second they were asked.
    fn told(&self, number: u8) -> Vec<(String, u64, ElsewhereAnswer)> {
        let stored = self.store.sample(&digests(number).sha256).unwrap().unwrap();
        let second = |at: Timestamp| at.since(BEGINNING).as_secs();
        stored.elsewhere.into_iter().map(|known| (known.source, second(known.asked_at), known.answer)).collect()
    }
}

/// The running tasks.
struct Lookups {
    stop: watch::Sender<bool>,
    lanes: JoinSet<()>,
}

impl Lookups {
    async fn shutdown(self) {
        self.stop.send_replace(true);
        self.lanes.join_all().await;
    }
}

fn digests(number: u8) -> SampleDigests {
    SampleDigests { sha256: SampleDigest::from_sha256([number; 32]), sha1: [number; 20], md5: [number; 16] }
}

fn sample(number: u8, confidentiality: Confidentiality) -> NewSample {
    let origin = SampleOrigin::Upload { by: "operator".to_owned(), name: String::new() };
    let priority = SamplePriority::Ordinary;
    NewSample { digests: digests(number), bytes: 1, origin, confidentiality, priority }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn each_sample_is_asked_about_once_at_the_sources_pace() {
    let laboratory = Laboratory::new();
    let source = Scripted::new("virustotal", 15, &[Says::Unknown, Says::Known("Mirai")]);
    (1..=3).for_each(|number| laboratory.bring(number, Confidentiality::Open));
    let lookups = laboratory.start(&[&source]);
    seconds(100).await;
    laboratory.bring(4, Confidentiality::Open);
    seconds(3600).await;
    assert_eq!(source.questions(), [(0, 1), (15, 2), (30, 3), (100, 4)]);
    assert_eq!(laboratory.told(1), [("virustotal".to_owned(), 0, ElsewhereAnswer::Unknown)]);
    let known = ElsewhereAnswer::Known {
        first_seen: Some(Timestamp::from_unix_seconds(5)),
        labels: vec!["Mirai".to_owned()],
        detections: Some((3, 60)),
    };
    assert_eq!(laboratory.told(2), [("virustotal".to_owned(), 15, known)]);
    lookups.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_confidential_is_nobodys_to_be_asked_about() {
    let laboratory = Laboratory::new();
    let source = Scripted::new("virustotal", 0, &[]);
    let lookups = laboratory.start(&[&source]);
    laboratory.bring(1, Confidentiality::Confidential);
    laboratory.bring(2, Confidentiality::Open);
    seconds(60).await;
    assert_eq!(source.questions(), [(0, 2)]);
    // It was brought again as something that everybody may know.
    laboratory.bring(1, Confidentiality::Open);
    seconds(60).await;
    assert_eq!(source.questions(), [(0, 2), (60, 1)]);
    lookups.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_stays() {
    let laboratory = Laboratory::new();
    laboratory.bring(1, Confidentiality::Open);
    let first = Scripted::new("virustotal", 0, &[Says::Unknown]);
    let lookups = laboratory.start(&[&first]);
    seconds(1).await;
    lookups.shutdown().await;
    // It comes again; a program that was started anew does not ask again.
    let second = Scripted::new("virustotal", 0, &[Says::Known("Mirai")]);
    let lookups = laboratory.start(&[&second]);
    laboratory.bring(1, Confidentiality::Open);
    seconds(3600).await;
    lookups.shutdown().await;
    assert_eq!(second.questions(), []);
    assert_eq!(laboratory.told(1), [("virustotal".to_owned(), 0, ElsewhereAnswer::Unknown)]);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_asked_too_often_is_left_alone() {
    let laboratory = Laboratory::new();
    let says = [Says::TooMany(5), Says::TooMany(600), Says::TooMany(5), Says::Unknown, Says::TooMany(9_000_000)];
    let source = Scripted::new("virustotal", 15, &says);
    (1..=3).for_each(|number| laboratory.bring(number, Confidentiality::Open));
    let lookups = laboratory.start(&[&source]);
    // 60 s although 5 were told, then 600, then 240: the third time. After an answer it begins anew; a day is the most.
    seconds(2 * 24 * 3600).await;
    let day = 24 * 3600;
    assert_eq!(source.questions(), [(0, 1), (60, 1), (660, 1), (900, 1), (915, 2), (915 + day, 2), (930 + day, 3)]);
    lookups.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_sample_that_is_never_answered_does_not_hold_up_the_others() {
    let laboratory = Laboratory::new();
    let says = [Says::Unavailable, Says::Unknown, Says::Unavailable, Says::Unavailable, Says::Unavailable];
    let source = Scripted::new("virustotal", 15, &says);
    (1..=2).for_each(|number| laboratory.bring(number, Confidentiality::Open));
    let lookups = laboratory.start(&[&source]);
    seconds(3600).await;
    assert_eq!(source.questions(), [(0, 1), (60, 2), (75, 1), (135, 1), (255, 1), (495, 1)]);
    assert_eq!(laboratory.told(1), [("virustotal".to_owned(), 495, ElsewhereAnswer::Unknown)]);
    lookups.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn backoff_has_an_end() {
    let laboratory = Laboratory::new();
    let source = Scripted::new("virustotal", 15, &[Says::Unavailable; 12]);
    laboratory.bring(1, Confidentiality::Open);
    let lookups = laboratory.start(&[&source]);
    seconds(5 * 3600).await;
    let at: Vec<u64> = source.questions().into_iter().map(|(second, _)| second).collect();
    assert_eq!(at, [0, 60, 180, 420, 900, 1860, 3780, 7380, 10_980, 14_580]);
    lookups.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_refuses_the_key_is_not_asked_any_more() {
    let laboratory = Laboratory::new();
    let refusing = Scripted::new("virustotal", 1, &[Says::Refused]);
    let other = Scripted::new("malwarebazaar", 1, &[]);
    (1..=2).for_each(|number| laboratory.bring(number, Confidentiality::Open));
    let lookups = laboratory.start(&[&refusing, &other]);
    seconds(60).await;
    laboratory.bring(3, Confidentiality::Open);
    seconds(3600).await;
    assert_eq!(refusing.questions(), [(0, 1)]);
    assert_eq!(other.questions(), [(0, 1), (1, 2), (60, 3)]);
    lookups.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn sources_do_not_wait_for_each_other() {
    let laboratory = Laboratory::new();
    let silent = Scripted::new("virustotal", 15, &[Says::Nothing]);
    let list = Scripted::new("list:known.txt", 0, &[]);
    (1..=2).for_each(|number| laboratory.bring(number, Confidentiality::Open));
    let lookups = laboratory.start(&[&silent, &list]);
    seconds(60).await;
    assert_eq!((silent.questions().len(), list.questions()), (1, vec![(0, 1), (0, 2)]));
    // The end does not wait for an answer either, which is asked for again at the next start.
    let before = Instant::now();
    lookups.shutdown().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    let again = Scripted::new("virustotal", 15, &[]);
    let lookups = laboratory.start(&[&again]);
    seconds(60).await;
    assert_eq!(again.questions(), [(0, 1), (15, 2)]);
    lookups.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_at_once() {
    let laboratory = Laboratory::new();
    let waiting = Scripted::new("virustotal", 15, &[Says::TooMany(3600)]);
    let idle = Scripted::new("malwarebazaar", 0, &[]);
    laboratory.bring(1, Confidentiality::Open);
    let lookups = laboratory.start(&[&waiting, &idle]);
    seconds(60).await;
    let before = Instant::now();
    lookups.shutdown().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    laboratory.bring(2, Confidentiality::Open);
    seconds(7200).await;
    assert_eq!((waiting.questions().len(), idle.questions().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_a_store_that_fails() {
    let inner = MemorySamples::new(SampleLimits::default());
    let store = Arc::new(Failing { inner, reads: Mutex::new(3), writes: Mutex::new(2) });
    let laboratory = Laboratory::on(store);
    let source = Scripted::new("virustotal", 0, &[Says::Unknown, Says::Known("asked twice")]);
    laboratory.bring(1, Confidentiality::Open);
    let lookups = laboratory.start(&[&source]);
    seconds(45).await;
    assert_eq!((source.questions(), laboratory.told(1)), (vec![(30, 1)], Vec::new()));
    seconds(3600).await;
    assert_eq!(source.questions(), [(30, 1)]);
    assert_eq!(laboratory.told(1), [("virustotal".to_owned(), 30, ElsewhereAnswer::Unknown)]);
    lookups.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn samples_that_came_long_ago_are_not_asked_about() {
    let store = Arc::new(MemorySamples::new(SampleLimits::default()));
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    store.submit(&sample(1, Confidentiality::Open), BEGINNING.minus(days(8))).unwrap();
    store.submit(&sample(2, Confidentiality::Open), BEGINNING.minus(days(6))).unwrap();
    let laboratory = Laboratory::on(store);
    let source = Scripted::new("virustotal", 0, &[]);
    let lookups = laboratory.start(&[&source]);
    seconds(60).await;
    assert_eq!(source.questions(), [(0, 2)]);
    lookups.shutdown().await;
}
