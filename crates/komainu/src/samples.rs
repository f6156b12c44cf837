//! `komainu samples`: the laboratory from the command line.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use komainu_engines::SqliteSampleStore;
use komainu_lab::digests_of;
use komainu_model::{Confidentiality, SampleDigest, Timestamp};
use komainu_ports::{
    ArtifactRefused, ElsewhereAnswer, KnownElsewhere, NewSample, SampleDocument, SampleIntake, SampleLimits,
    SampleOrigin, SamplePriority, SampleState, SampleStore, SampleSubmitted, SensorArtifacts, StoredSample,
};
use komainu_triage::shown;
use serde::{Deserialize, Serialize};

use crate::admin::{AdminReply, AdminRequest, calendar_time};
use crate::hub::SAMPLES;
use crate::report::{self, LanguageName};
use crate::{DataArgs, ask};

/// Bytes of a sample: as many as an artifact has.
const SAMPLE_BYTES_MAX: u64 = 32 << 20;

/// How often whoever waits looks how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Letters of a name that is kept.
const NAME_LETTERS_MAX: usize = 255;

#[derive(Debug, Subcommand)]
pub(crate) enum SamplesCommand {
    /// Hand a file in; the laboratory of the running server, or of the next one, looks at it before all others.
    Submit(SubmitArgs),
    /// List samples, the youngest first.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 50, value_name = "N")]
        count: usize,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Say what is known of a sample: how it came, how far it is, who else knows it.
    Show {
        /// Its SHA-256, SHA-1 or MD5.
        digest: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Print the report about a sample.
    Report(ReportArgs),
    /// Have a sample looked at once more, for example with a new kit or new rules.
    Again {
        /// Its SHA-256, SHA-1 or MD5.
        digest: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Say how many samples wait, are worked on, are done, have no report.
    Counts {
        #[command(flatten)]
        folder: DataArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The file, at most 32 MiB. The server reads it, so its user must be allowed to.
    file: PathBuf,
    /// What it is called; the file's name when it is not said.
    #[arg(long)]
    name: Option<String>,
    /// It is a secret: nobody else is asked about it, and no API hands it out.
    #[arg(long)]
    confidential: bool,
    /// Wait for the report, and print it.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    folder: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Its SHA-256, SHA-1 or MD5.
    digest: String,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    form: Form,
    /// The language of text and HTML.
    #[arg(long, value_enum, default_value_t = LanguageName::En)]
    language: LanguageName,
    #[command(flatten)]
    folder: DataArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// A summary.
    Text,
    /// All of it (docs/reports.md).
    Json,
    /// A page.
    Html,
    /// A bundle of STIX 2.1.
    Stix,
    /// What static triage says (docs/triage.md).
    Triage,
}

/// What is asked of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum SamplesRequest {
    /// Take this file in.
    Submit { path: PathBuf, name: String, confidential: bool },
    /// Look at a sample once more.
    Again { sha256: String },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum SamplesReply {
    /// It waits now, or is known.
    Submitted { sha256: String, is_new: bool },
    /// It waits once more.
    Again { sha256: String },
}

impl fmt::Display for SamplesReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submitted { sha256, is_new: true } => writeln!(f, "{sha256} waits for the laboratory"),
            Self::Submitted { sha256, is_new: false } => writeln!(f, "{sha256} is known"),
            Self::Again { sha256 } => writeln!(f, "{sha256} waits for the laboratory once more"),
        }
    }
}

/// Carries a request out at the server. Blocks.
pub(crate) fn carry_out(
    request: SamplesRequest,
    artifacts: &dyn SensorArtifacts,
    intake: &dyn SampleIntake,
) -> anyhow::Result<SamplesReply> {
    match request {
        SamplesRequest::Submit { path, name, confidential } => {
            let contents = report::read_at_most(&path, SAMPLE_BYTES_MAX)?;
            let digests = digests_of(&contents);
            let confidentiality = if confidential { Confidentiality::Confidential } else { Confidentiality::Open };
            if let Err(ArtifactRefused) = artifacts.keep(digests.sha256.sha256(), &contents, confidentiality) {
                bail!("there is no room for it among the artifacts (hub.artifacts_bytes_max), or the disk failed");
            }
            let sample = NewSample {
                digests,
                bytes: contents.len() as u64,
                origin: SampleOrigin::Upload { by: "operator".to_owned(), name: plain_name(&name) },
                confidentiality,
                priority: SamplePriority::Urgent,
            };
            let sha256 = digests.sha256.to_string();
            match intake.submit(&sample)? {
                SampleSubmitted::New => Ok(SamplesReply::Submitted { sha256, is_new: true }),
                SampleSubmitted::Known => Ok(SamplesReply::Submitted { sha256, is_new: false }),
                SampleSubmitted::Full => bail!("as many samples wait as may: hand it in again later"),
            }
        }
        SamplesRequest::Again { sha256 } => {
            let sample = SampleDigest::parse(&sha256)?;
            if !intake.again(&sample, SamplePriority::Urgent)? {
                bail!("{sha256} is no sample that is done: it waits, is worked on, or is not known");
            }
            Ok(SamplesReply::Again { sha256 })
        }
    }
}

fn plain_name(name: &str) -> String {
    let is_plain = |letter: &char| letter.is_ascii_graphic() || *letter == ' ';
    name.chars().filter(is_plain).take(NAME_LETTERS_MAX).collect()
}

/// Carries out a command.
pub(crate) fn run(command: SamplesCommand) -> anyhow::Result<()> {
    match command {
        SamplesCommand::Submit(args) => submit(&args),
        SamplesCommand::List { count, folder } => {
            let samples = open(&folder.data)?.list(None, count)?;
            print(&samples.iter().map(line).collect::<String>())
        }
        SamplesCommand::Show { digest, folder } => {
            let store = open(&folder.data)?;
            print(&text(&find(&store, &digest)?))
        }
        SamplesCommand::Report(args) => {
            let store = open(&args.folder.data)?;
            let sample = find(&store, &args.digest)?;
            print(&report_text(&store, &sample, args.form, args.language)?)
        }
        SamplesCommand::Again { digest, folder } => {
            let sha256 = find(&open(&folder.data)?, &digest)?.digests.sha256.to_string();
            print(&ask(&folder, AdminRequest::Samples(SamplesRequest::Again { sha256 }))?.to_string())
        }
        SamplesCommand::Counts { folder } => {
            let counts = open(&folder.data)?.counts()?;
            let (waiting, working) = (counts.waiting, counts.working);
            let (done, failed) = (counts.done, counts.failed);
            print(&format!("{waiting} waiting, {working} worked on, {done} done, {failed} without a report\n"))
        }
    }
}

fn submit(args: &SubmitArgs) -> anyhow::Result<()> {
    let path = std::path::absolute(&args.file).context("cannot tell where the file is")?;
    let of_file = || args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = args.name.clone().or_else(of_file).unwrap_or_default();
    let request = SamplesRequest::Submit { path, name, confidential: args.confidential };
    let reply = ask(&args.folder, AdminRequest::Samples(request))?;
    let AdminReply::Samples(SamplesReply::Submitted { sha256, .. }) = &reply else {
        bail!("the server answers something else");
    };
    eprint!("{reply}");
    if !args.wait {
        return Ok(());
    }
    let store = open(&args.folder.data)?;
    let mut last = String::new();
    loop {
        let sample = find(&store, sha256)?;
        match &sample.state {
            SampleState::Done { .. } => {
                return print(&report_text(&store, &sample, Form::Text, LanguageName::En)?);
            }
            SampleState::Failed { problem, .. } => bail!("{sha256} has no report: {}", shown(problem.as_bytes())),
            SampleState::Waiting { .. } | SampleState::Working { .. } => {
                let state = state(&sample.state);
                if state != last {
                    eprintln!("{state}");
                    last = state;
                }
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The samples of a data folder, while a server may be writing to them.
fn open(data: &Path) -> anyhow::Result<SqliteSampleStore> {
    let path = data.join(SAMPLES);
    if !path.is_file() {
        bail!("no samples in {} (has a server run on this data folder?)", data.display());
    }
    Ok(SqliteSampleStore::open(&path, SampleLimits::default())?)
}

fn find(store: &SqliteSampleStore, digest: &str) -> anyhow::Result<StoredSample> {
    let bytes = hex::decode(digest).with_context(|| format!("{digest:?} is no SHA-256, SHA-1 or MD5"))?;
    let key = match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(sha256) => Some(SampleDigest::from_sha256(sha256)),
        Err(_) => store.find(&bytes)?,
    };
    let sample = key.map(|key| store.sample(&key)).transpose()?.flatten();
    sample.with_context(|| format!("there is no sample {digest}"))
}

fn report_text(
    store: &SqliteSampleStore,
    sample: &StoredSample,
    form: Form,
    language: LanguageName,
) -> anyhow::Result<String> {
    let kind = match (form, language) {
        (Form::Text | Form::Json, _) => SampleDocument::Report,
        (Form::Html, LanguageName::En) => SampleDocument::PageEnglish,
        (Form::Html, LanguageName::Ja) => SampleDocument::PageJapanese,
        (Form::Stix, _) => SampleDocument::Stix,
        (Form::Triage, _) => SampleDocument::Triage,
    };
    let document = store.document(&sample.digests.sha256, kind)?;
    let document = document.with_context(|| {
        format!("there is no such report about {}: it is {}", sample.digests.sha256, state(&sample.state))
    })?;
    match form {
        Form::Text => report::summary_of(&document, language),
        Form::Json | Form::Html | Form::Stix | Form::Triage => Ok(document + "\n"),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

fn time(time: Timestamp) -> String {
    calendar_time(time.unix_seconds())
}

fn state(state: &SampleState) -> String {
    match state {
        SampleState::Waiting { attempts: 0, .. } => "waiting".to_owned(),
        SampleState::Waiting { since, attempts, problem } => {
            format!("waiting until {} after {attempts} attempts: {}", time(*since), shown(problem.as_bytes()))
        }
        SampleState::Working { step, percent, .. } => format!("{} ({percent} %)", shown(step.as_bytes())),
        SampleState::Done { .. } => "done".to_owned(),
        SampleState::Failed { .. } => "failed".to_owned(),
    }
}

/// A sample in a line.
fn line(sample: &StoredSample) -> String {
    let essentials = &sample.essentials;
    let state = match &sample.state {
        SampleState::Done { .. } => shown(essentials.verdict.as_bytes()),
        SampleState::Waiting { .. } => "waiting".to_owned(),
        SampleState::Working { .. } => "worked on".to_owned(),
        SampleState::Failed { .. } => "failed".to_owned(),
    };
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { shown(text.as_bytes()) };
    let (family, processor) = (or_dash(&essentials.family), or_dash(&essentials.processor));
    let at = time(sample.first_at);
    format!("{}  {at}  {state:12}  {processor:8}  {family}\n", sample.digests.sha256)
}

/// A sample with all that is known of it.
fn text(sample: &StoredSample) -> String {
    let StoredSample { digests, bytes, essentials, .. } = sample;
    let mut lines = vec![
        format!("sha256      {}", digests.sha256),
        format!("sha1        {}", hex::encode(digests.sha1)),
        format!("md5         {}", hex::encode(digests.md5)),
        format!("bytes       {bytes}"),
        format!("state       {}", state(&sample.state)),
    ];
    if let SampleState::Failed { problem, .. } = &sample.state {
        lines.push(format!("problem     {}", shown(problem.as_bytes())));
    }
    if !essentials.verdict.is_empty() {
        let (verdict, sentence) = (shown(essentials.verdict.as_bytes()), shown(essentials.sentence.as_bytes()));
        lines.push(format!("verdict     {verdict}: {sentence}"));
    }
    lines.push(format!(
        "came        {} times, first {}, last {}",
        sample.times,
        time(sample.first_at),
        time(sample.last_at)
    ));
    if sample.confidentiality == Confidentiality::Confidential {
        lines.push("confidential".to_owned());
    }
    let origins = sample.origins.iter().filter(|origin| !is_told_better(origin, &sample.origins));
    lines.extend(origins.map(|origin| format!("from        {}", from(origin))));
    lines.extend(sample.elsewhere.iter().map(|known| format!("elsewhere   {}", elsewhere(known))));
    lines.join("\n") + "\n"
}

/// Whether another origin names the visit in which this sensor got it.
fn is_told_better(origin: &SampleOrigin, all: &[SampleOrigin]) -> bool {
    let SampleOrigin::Sensor { sensor, session: None } = origin else { return false };
    all.iter().any(|other| matches!(other, SampleOrigin::Sensor { sensor: of, session: Some(_) } if of == sensor))
}

fn from(origin: &SampleOrigin) -> String {
    match origin {
        SampleOrigin::Sensor { sensor, session: Some(session) } => format!("sensor {sensor}, session {session}"),
        SampleOrigin::Sensor { sensor, session: None } => format!("sensor {sensor}"),
        SampleOrigin::Upload { by, name } => {
            format!("{}, who calls it {}", shown(by.as_bytes()), shown(name.as_bytes()))
        }
        SampleOrigin::Found => "found among the artifacts".to_owned(),
    }
}

fn elsewhere(known: &KnownElsewhere) -> String {
    let (source, at) = (shown(known.source.as_bytes()), time(known.asked_at));
    match &known.answer {
        ElsewhereAnswer::Unknown => format!("{source}: unknown at {at}"),
        ElsewhereAnswer::Known { first_seen, labels, detections } => {
            let mut text = format!("{source}: known at {at}");
            if let Some((hits, of)) = detections {
                text.push_str(&format!(", {hits} of {of} scanners"));
            }
            if let Some(first_seen) = first_seen {
                text.push_str(&format!(", first seen {}", time(*first_seen)));
            }
            if !labels.is_empty() {
                text.push_str(&format!(", called {}", shown(labels.join(", ").as_bytes())));
            }
            text
        }
    }
}
