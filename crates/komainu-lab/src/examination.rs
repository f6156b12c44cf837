//! One attempt at one sample: what it is, what it does, what that means, what the fleet learns of it.

use std::sync::Arc;
use std::time::Duration;

use komainu_analysis::evidence::Sample;
use komainu_analysis::html::{self, Language};
use komainu_analysis::{Evidence, Report, analyse};
use komainu_model::{DetonationId, Taught};
use komainu_ports::{
    ArtifactReadError, AttemptEnd, Detonation, DetonationRequest, RunAs, SampleDocument, SampleEssentials, SampleLease,
    SampleOrigin, SamplesError, SandboxError, StoredSample, TriageError,
};
use parking_lot::Mutex;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug_span, info};

use crate::evidence::{LookedAt, looked_at, printable, run_of};
use crate::findings::findings;
use crate::guest_choice::{GuestChoice, choose};
use crate::laboratory::{ATTEMPTS_MAX, Shared, note_step};
use crate::{events, features, lessons};

/// How long the first retry waits; each further one twice as long.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Letters of a sample's name in a guest (the port's bound).
const GUEST_NAME_LETTERS_MAX: usize = 64;

/// What is being done, and how far it is in percent.
pub(crate) type Step = Arc<Mutex<(&'static str, u8)>>;

/// One attempt.
pub(crate) struct Examination {
    shared: Arc<Shared>,
    lease: SampleLease,
    step: Step,
}

/// Why an attempt does not get to its end.
enum Trouble {
    /// It may go better later.
    Later(String),
    /// It will not.
    Never(String),
}

impl From<SamplesError> for Trouble {
    fn from(error: SamplesError) -> Self {
        match error {
            SamplesError::Unavailable { .. } => Self::Later(chain(&error)),
            SamplesError::Missing(_) | SamplesError::TooLarge { .. } => Self::Never(chain(&error)),
        }
    }
}

/// What is known of a file without running it.
struct Looked {
    json: Option<String>,
    of_file: LookedAt,
    /// Why nothing is known, for people.
    problem: Option<String>,
}

/// What came of running a sample.
#[derive(Default)]
struct Ran {
    /// The runs that there were, with their names.
    runs: Vec<(DetonationId, Detonation)>,
    /// What kept others from being, for people.
    problems: Vec<String>,
}

impl Examination {
    pub(crate) fn new(shared: Arc<Shared>, lease: SampleLease) -> Self {
        Self { shared, lease, step: Arc::new(Mutex::new(("begun", 0))) }
    }

    /// What is being done.
    pub(crate) fn step(&self) -> Step {
        self.step.clone()
    }

    /// Does all of it.
    pub(crate) async fn run(self) -> AttemptEnd {
        let attempt = self.lease.attempt;
        if attempt > ATTEMPTS_MAX {
            let problem = format!("the laboratory ended {ATTEMPTS_MAX} times while it was at this sample");
            return AttemptEnd::Failed { problem };
        }
        let span = debug_span!(
            "examination",
            komainu.sample = %self.lease.sample,
            komainu.attempt = i64::from(attempt),
            komainu.bytes = Empty,
            komainu.outcome = Empty,
        );
        let examined = self.examine().instrument(span.clone()).await;
        let outcome = match &examined {
            Ok(_) => "done",
            Err(Trouble::Later(_)) => "later",
            Err(Trouble::Never(_)) => "never",
        };
        span.record("komainu.outcome", outcome);
        match examined {
            Ok(essentials) => AttemptEnd::Done(essentials),
            Err(Trouble::Later(problem)) if attempt < ATTEMPTS_MAX => {
                let after = RETRY_AFTER * (1 << (attempt - 1).min(8));
                AttemptEnd::Retry { not_before: self.shared.ports.clock.now().plus(after), problem }
            }
            Err(Trouble::Later(problem) | Trouble::Never(problem)) => AttemptEnd::Failed { problem },
        }
    }

    async fn examine(&self) -> Result<SampleEssentials, Trouble> {
        let begun = self.shared.ports.clock.now();
        let sample = self.lease.sample;
        let stored = self.shared.ask(move |store| store.sample(&sample)).await?.ok_or(SamplesError::Missing(sample))?;
        let contents: Arc<[u8]> = self.contents().await?.into();
        Span::current().record("komainu.bytes", contents.len() as i64);
        self.at("triage", 5).await;
        let mut looked = self.look(&stored, contents.clone()).instrument(debug_span!("triage")).await?;
        if let Some(json) = looked.json.take() {
            match self.shared.ask(move |store| store.put_document(&sample, SampleDocument::Triage, &json)).await {
                Err(error @ SamplesError::TooLarge { .. }) => {
                    looked.problem = Some(format!("what static triage says is not kept: {error}"));
                }
                kept => kept?,
            }
        }
        let ran = self.detonate(&stored, &looked, &contents).await?;
        drop(contents);
        self.at("report", 90).await;
        let (essentials, taught) = self.report(looked, ran).instrument(debug_span!("analysis")).await?;
        let took_ms = u64::try_from(self.shared.ports.clock.now().since(begun).as_millis()).unwrap_or(u64::MAX);
        let (verdict, family) = (&essentials.verdict, &essentials.family);
        info!(event = events::REPORT_MADE, %sample, verdict, family, indicators = taught, took_ms, "sample has a report");
        Ok(essentials)
    }

    async fn at(&self, name: &'static str, percent: u8) {
        *self.step.lock() = (name, percent);
        note_step(&self.shared, &self.lease, name, percent).await;
    }

    async fn contents(&self) -> Result<Vec<u8>, Trouble> {
        let (artifacts, sha256) = (self.shared.ports.artifacts.clone(), *self.lease.sample.sha256());
        match blocking(move || artifacts.read(&sha256)).await? {
            Ok(contents) => Ok(contents),
            Err(ArtifactReadError::Missing) => Err(Trouble::Never("its contents are no longer kept".to_owned())),
            Err(error @ ArtifactReadError::Unavailable(_)) => Err(Trouble::Later(chain(&error))),
        }
    }

    /// Has the file looked at. A file that ends whoever looks at it gets a report that says so.
    async fn look(&self, stored: &StoredSample, contents: Arc<[u8]>) -> Result<Looked, Trouble> {
        let triage = self.shared.ports.triage.clone();
        let name = name_of(&stored.origins);
        let problem = match blocking(move || triage.triage(&contents)).await? {
            Ok(report) => match looked_at(&report.json, name.as_deref()) {
                Ok(of_file) => return Ok(Looked { json: Some(report.json), of_file, problem: None }),
                Err(error) => chain(&error),
            },
            Err(error @ TriageError::Failed { .. }) if self.lease.attempt < ATTEMPTS_MAX => {
                return Err(Trouble::Later(chain(&error)));
            }
            Err(error) => chain(&error),
        };
        let digests = &stored.digests;
        let sample = Sample {
            name: name.as_deref().map(Into::into),
            sha256: digests.sha256.to_string(),
            sha1: Some(hex::encode(digests.sha1)),
            md5: Some(hex::encode(digests.md5)),
            bytes: stored.bytes,
            kind: "unknown".to_owned(),
            ..Sample::default()
        };
        let problem = Some(format!("static triage has no report: {problem}"));
        Ok(Looked { json: None, of_file: LookedAt { sample, is_for_devices: None }, problem })
    }

    /// Runs the sample as an ordinary user and as root, if it is something that runs.
    async fn detonate(&self, stored: &StoredSample, looked: &Looked, contents: &Arc<[u8]>) -> Result<Ran, Trouble> {
        let (sandbox, kind) = (self.shared.ports.sandbox.clone(), looked.of_file.sample.kind.clone());
        let to_run = contents.clone();
        let mut ran = Ran::default();
        let isa = match blocking(move || choose(&to_run, &kind, || sandbox.isas())).await? {
            GuestChoice::Guest(isa) => isa,
            GuestChoice::Wider(isa, reason) => {
                ran.problems.push(reason);
                isa
            }
            GuestChoice::NothingToRun => return Ok(ran),
            GuestChoice::Impossible(reason) => {
                ran.problems.push(reason);
                return Ok(ran);
            }
        };
        self.at("sandbox", 10).await;
        let now = self.shared.ports.clock.now();
        let run = |run_as: RunAs| {
            let id = lessons::detonation_id(self.lease.sample, self.lease.attempt, now, run_as);
            let request = DetonationRequest {
                id: id.to_string(),
                sample: contents.to_vec(),
                file_name: guest_file_name(name_of(&stored.origins).as_deref().unwrap_or_default()),
                arguments: Vec::new(),
                isa,
                run_as,
                runs_for_max: self.shared.config.runs_for_max,
                quiet_for_max: self.shared.config.quiet_for_max,
                seed: None,
            };
            let span = debug_span!(
                "sandbox",
                komainu.detonation = %id,
                komainu.isa = %isa,
                komainu.rights = rights_of(run_as),
            );
            async move { (id, run_as, self.shared.ports.sandbox.detonate(request).instrument(span).await) }
        };
        let (as_user, as_root) = tokio::join!(run(RunAs::User), run(RunAs::Root));
        let mut is_broken = false;
        for (id, run_as, outcome) in [as_user, as_root] {
            match outcome {
                Ok(mut detonation) => {
                    // The report is made of the rest, and these are the largest.
                    (detonation.packets, detonation.contents) = (Vec::new(), Vec::new());
                    ran.runs.push((id, detonation));
                }
                Err(error) => {
                    is_broken |= matches!(error, SandboxError::Broken(_));
                    ran.problems.push(format!("no run as {}: {}", rights_of(run_as), chain(&error)));
                }
            }
        }
        if is_broken && self.lease.attempt < ATTEMPTS_MAX {
            return Err(Trouble::Later(ran.problems.join("; ")));
        }
        Ok(ran)
    }

    /// Says what it all means, keeps it, and teaches the fleet. How many indicators came of it.
    async fn report(&self, looked: Looked, ran: Ran) -> Result<(SampleEssentials, usize), Trouble> {
        let (shared, sample) = (self.shared.clone(), self.lease.sample);
        blocking(move || {
            let ports = &shared.ports;
            let now = ports.clock.now();
            let (ids, runs): (Vec<_>, Vec<_>) = ran.runs.into_iter().map(|(id, run)| (id, run_of(&run))).unzip();
            let mut evidence = Evidence { sample: looked.of_file.sample, runs, ..Evidence::default() };
            let alone = analyse(&evidence, &shared.config.rules, now);
            // What is compared is a part of the report, and who is alike another.
            evidence.neighbours = shared.index.lock().nearest(&alone.features());
            let mut report =
                if evidence.neighbours.is_empty() { alone } else { analyse(&evidence, &shared.config.rules, now) };
            report.cut.extend(looked.problem.iter().chain(&ran.problems).map(|problem| printable(problem)));
            let taught = lessons::lessons(&report, &ids);
            let known = report.features();
            let store = &ports.store;
            let keep = |kind, text: &str| store.put_document(&sample, kind, text);
            keep(SampleDocument::Report, &json(&report))?;
            keep(SampleDocument::PageEnglish, &html::page(&report, Language::English))?;
            keep(SampleDocument::PageJapanese, &html::page(&report, Language::Japanese))?;
            let bundle = komainu_stix::bundle_text(&findings(&report, shared.config.marking));
            keep(SampleDocument::Stix, &bundle)?;
            keep(SampleDocument::Features, &features::write(&known))?;
            keep(SampleDocument::Lessons, &json(&taught))?;
            shared.index.lock().add(&known);
            // How it came may have become known meanwhile.
            let origins = store.sample(&sample)?.map(|stored| stored.origins).unwrap_or_default();
            let candidates = lessons::candidates(sample, &taught, &origins, now);
            let span = debug_span!("lesson", komainu.candidates = candidates.len() as i64);
            let outcomes = span.in_scope(|| ports.indicators.teach(&candidates));
            let outcomes = outcomes.map_err(|error| Trouble::Later(chain(&error)))?;
            let taught = outcomes.iter().filter(|one| matches!(one, Taught::New(_) | Taught::Known(_))).count();
            Ok((essentials(&report, looked.of_file.is_for_devices), taught))
        })
        .await?
    }
}

/// As whom a sample runs, for people.
const fn rights_of(run_as: RunAs) -> &'static str {
    match run_as {
        RunAs::User => "an ordinary user",
        RunAs::Root => "root",
    }
}

/// Does what may take a while.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
        .await
        .map_err(|error| Trouble::Later(format!("it ended in a bug: {error}")))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("lists, texts and numbers are JSON")
}

fn essentials(report: &Report, iot: Option<bool>) -> SampleEssentials {
    let processor = report.sample.isa.clone();
    SampleEssentials {
        verdict: report.verdict.level.to_owned(),
        family: report.family().unwrap_or_default().to_owned(),
        processor: processor.unwrap_or_default(),
        iot,
        sentence: report.verdict.sentence.en.clone(),
    }
}

/// What somebody called it.
fn name_of(origins: &[SampleOrigin]) -> Option<String> {
    origins.iter().find_map(|origin| match origin {
        SampleOrigin::Upload { name, .. } if !name.is_empty() => Some(name.clone()),
        _ => None,
    })
}

/// What a sample is called in a guest: as its file, without what a name there cannot have.
pub fn guest_file_name(name: &str) -> String {
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let plain: String = name.chars().filter(is_plain).take(GUEST_NAME_LETTERS_MAX).collect();
    if plain.trim_matches('.').is_empty() { "sample".to_owned() } else { plain }
}

/// An error with all that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    printable(&text)
}
