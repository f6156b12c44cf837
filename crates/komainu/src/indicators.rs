//! `komainu indicators`: what devices should not be in contact with, from the command line.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use komainu_intel::{IndicatorPolicy, LIST_BYTES_MAX, ListFormat, indicator_id, read_list};
use komainu_model::{
    Confidence, DetonationId, DomainName, FeedName, Indicator, IndicatorCandidate, IndicatorId, IndicatorSource,
    IndicatorState, IndicatorValue, Provenance, RefusedCandidate, ReporterName, SampleDigest, Scope, SensorName,
    SessionId, Sighting, Taught, Threat, Timestamp,
};
use komainu_pipeline::Indicators;
use komainu_ports::{Clock, IndicatorKind, IndicatorSink, OwnAddresses, Page, PageToken, SightingQuery, SystemClock};
use serde::{Deserialize, Serialize};

use crate::admin::{AdminReply, AdminRequest};
use crate::config::Config;
use crate::{DataArgs, ask};

/// So many entries of a list are handed over at a time; they fit a request.
const CANDIDATES_PER_REQUEST: usize = 2_000;
/// So many items are shown in one reply.
const PAGE: usize = 1_000;
/// So many refused entries of an import are printed one by one.
const REFUSED_SHOWN_MAX: usize = 20;

#[derive(Debug, Subcommand)]
pub(crate) enum IndicatorsCommand {
    /// Teach one: from now on a device that is in contact with it is in alarm (docs/indicators.md).
    Add(AddArgs),
    /// List them in the order of their ids, or what was refused.
    List {
        /// Only in this state: active, expired or revoked.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// What did not become one, and why, the latest first.
        #[arg(long, conflicts_with = "state")]
        refused: bool,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Show one with its provenance.
    Show {
        /// Its id or its value.
        indicator: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Take one back. Only `add` brings it again, no laboratory and no feed.
    Revoke {
        /// Its id or its value.
        indicator: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Teach a list: a value a line, comma-separated values with a heading, or JSON.
    Import {
        /// The file.
        file: PathBuf,
        /// Whose list it is, 1 to 128 characters of `a-z A-Z 0-9 : _ -`; yours when it is not said.
        #[arg(long, value_name = "NAME")]
        feed: Option<String>,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// List which devices were seen with which indicators, the latest first.
    Sightings {
        /// Only of this indicator: its id or its value.
        #[arg(long)]
        indicator: Option<String>,
        /// Only of this device.
        #[arg(long, value_name = "NAME")]
        thing: Option<String>,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Look once more through what devices reported in the last 14 days.
    Hunt {
        /// The indicator's id or value.
        indicator: String,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Make the security profile KomainuIndicators, which alarms on every indicator, for all registered things.
    Guard {
        /// Who is told: the name or the ARN of a topic.
        #[arg(long, value_name = "TOPIC")]
        topic: Option<String>,
        #[command(flatten)]
        folder: DataArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// `203.0.113.66`, `203.0.113.66:23`, `203.0.113.66:23/tcp`, `[2001:db8::1]:23`, `c2.example.net`.
    value: String,
    /// What is behind it: command-and-control (c2), distribution, exfiltration, mining, unspecified.
    #[arg(long, default_value = "c2")]
    threat: String,
    /// How sure you are, in percent.
    #[arg(long, default_value_t = 90, value_name = "PERCENT")]
    confidence: u8,
    /// How long it counts; `intel.valid_days` when it is not said.
    #[arg(long, value_name = "DAYS")]
    valid_days: Option<u32>,
    /// The SHA-256 of the sample that showed it.
    #[arg(long, value_name = "SHA256")]
    sample: Option<String>,
    /// The run of the laboratory in which it did.
    #[arg(long, value_name = "ID")]
    detonation: Option<String>,
    /// The session by which the sample came, `session.id` in its record.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The sensor that was visited.
    #[arg(long, value_name = "NAME")]
    sensor: Option<String>,
    /// A remark.
    #[arg(long)]
    note: Option<String>,
    /// You have looked at it: what many share may be named, too, with a port.
    #[arg(long)]
    reviewed: bool,
    #[command(flatten)]
    folder: DataArgs,
}

/// What a local operator asks about indicators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum IndicatorsRequest {
    Teach(Vec<TaughtLine>),
    List { state: Option<String>, after: Option<String> },
    ListRefused { after: Option<String> },
    Show { indicator: String },
    Revoke { indicator: String, reason: Option<String> },
    Sightings { indicator: Option<String>, thing: Option<String>, after: Option<String> },
    Hunt { indicator: String },
    Guard { topic: Option<String> },
}

/// A candidate as it travels to the server.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct TaughtLine {
    value: String,
    threat: String,
    confidence: u8,
    valid_days: Option<u32>,
    feed: Option<String>,
    sample: Option<String>,
    detonation: Option<String>,
    session: Option<String>,
    sensor: Option<String>,
    note: Option<String>,
    reviewed: bool,
}

/// What a local operator gets to know. Displays as the command prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum IndicatorsReply {
    Taught(Vec<OutcomeLine>),
    Indicators { lines: Vec<IndicatorLine>, next: Option<String> },
    Refused { lines: Vec<RefusedLine>, next: Option<String> },
    Shown(Box<IndicatorLine>),
    Revoked(Box<IndicatorLine>),
    Sightings { lines: Vec<SightingLine>, next: Option<String> },
    Hunting { id: String },
    Guarded { profile: String, topic: Option<String> },
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutcomeLine {
    value: String,
    /// `new`, `known` or `refused`.
    outcome: String,
    id: Option<String>,
    reason: Option<String>,
}

/// An indicator as it is listed. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct IndicatorLine {
    id: String,
    value: String,
    state: String,
    threat: String,
    confidence: u8,
    source: String,
    first_seen_unix_s: i64,
    valid_until_unix_s: i64,
    revoked_because: Option<String>,
    note: Option<String>,
    origins: Vec<OriginLine>,
    origins_dropped: u64,
}

/// What taught an indicator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OriginLine {
    sample: Option<String>,
    detonation: Option<String>,
    session: Option<String>,
    sensor: Option<String>,
    at_unix_s: i64,
}

/// A refused candidate as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RefusedLine {
    value: String,
    reason: String,
    at_unix_s: i64,
}

/// A sighting as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SightingLine {
    thing: String,
    region: String,
    indicator: String,
    remote: String,
    way: String,
    first_unix_s: i64,
    last_unix_s: i64,
    count: u64,
}

/// Carries a command out.
pub(crate) fn run(command: IndicatorsCommand) -> anyhow::Result<()> {
    match command {
        IndicatorsCommand::Add(args) => add(args),
        IndicatorsCommand::List { state, refused, folder } => print_pages(&folder, |after| match refused {
            true => IndicatorsRequest::ListRefused { after },
            false => IndicatorsRequest::List { state: state.clone(), after },
        }),
        IndicatorsCommand::Show { indicator, folder } => {
            print_reply(&ask_for(&folder, IndicatorsRequest::Show { indicator })?)
        }
        IndicatorsCommand::Revoke { indicator, reason, folder } => {
            print_reply(&ask_for(&folder, IndicatorsRequest::Revoke { indicator, reason })?)
        }
        IndicatorsCommand::Import { file, feed, folder } => import(&file, feed, &folder),
        IndicatorsCommand::Sightings { indicator, thing, folder } => print_pages(&folder, |after| {
            IndicatorsRequest::Sightings { indicator: indicator.clone(), thing: thing.clone(), after }
        }),
        IndicatorsCommand::Hunt { indicator, folder } => {
            print_reply(&ask_for(&folder, IndicatorsRequest::Hunt { indicator })?)
        }
        IndicatorsCommand::Guard { topic, folder } => {
            print_reply(&ask_for(&folder, IndicatorsRequest::Guard { topic })?)
        }
    }
}

fn add(args: AddArgs) -> anyhow::Result<()> {
    let AddArgs { value, threat, confidence, valid_days, sample, detonation, session, sensor, note, reviewed, folder } =
        args;
    let line = TaughtLine {
        value,
        threat,
        confidence,
        valid_days,
        feed: None,
        sample,
        detonation,
        session,
        sensor,
        note,
        reviewed,
    };
    // A mistake is told here, not as something that was refused.
    line.read(Timestamp::default())?;
    let reply = ask_for(&folder, IndicatorsRequest::Teach(vec![line]))?;
    if let IndicatorsReply::Taught(lines) = &reply
        && let Some(OutcomeLine { value, reason: Some(reason), .. }) = lines.first()
    {
        bail!("{value} {reason}");
    }
    print_reply(&reply)
}

fn import(file: &Path, feed: Option<String>, folder: &DataArgs) -> anyhow::Result<()> {
    let bytes = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    if bytes > LIST_BYTES_MAX as u64 {
        bail!("{} has {bytes} bytes, at most {LIST_BYTES_MAX} are read", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let feed_name = feed.as_deref().map(FeedName::parse).transpose()?;
    let read = read_list(&text, ListFormat::of(&text), feed_name.as_ref(), Timestamp::default());
    for line in read.unusable.iter().take(REFUSED_SHOWN_MAX) {
        println!("{}:{}: {}", file.display(), line.line, line.reason);
    }
    let [mut new, mut known, mut refused] = [0u64; 3];
    for part in read.candidates.chunks(CANDIDATES_PER_REQUEST) {
        let lines = part.iter().map(|candidate| TaughtLine::of(candidate, feed.clone())).collect();
        let IndicatorsReply::Taught(outcomes) = ask_for(folder, IndicatorsRequest::Teach(lines))? else {
            bail!("the server gave another answer than was asked for");
        };
        for outcome in outcomes {
            match outcome.outcome.as_str() {
                NEW => new += 1,
                KNOWN => known += 1,
                _ => {
                    refused += 1;
                    if refused <= REFUSED_SHOWN_MAX as u64 {
                        println!("{} {}", outcome.value, outcome.reason.unwrap_or_default());
                    }
                }
            }
        }
    }
    println!("{new} new, {known} known, {refused} refused, {} unusable", read.unusable_count);
    Ok(())
}

fn ask_for(folder: &DataArgs, request: IndicatorsRequest) -> anyhow::Result<IndicatorsReply> {
    match ask(folder, AdminRequest::Indicators(request))? {
        AdminReply::Indicators(reply) => Ok(reply),
        other => bail!("the server gave another answer than was asked for: {other}"),
    }
}

fn print_reply(reply: &IndicatorsReply) -> anyhow::Result<()> {
    use std::io::Write;
    match write!(std::io::stdout().lock(), "{reply}") {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

fn print_pages(folder: &DataArgs, request: impl Fn(Option<String>) -> IndicatorsRequest) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let reply = ask_for(folder, request(after))?;
        print_reply(&reply)?;
        after = match reply {
            IndicatorsReply::Indicators { next, .. }
            | IndicatorsReply::Refused { next, .. }
            | IndicatorsReply::Sightings { next, .. } => next,
            _ => None,
        };
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The indicators of this installation, as its configuration has it. Blocks.
pub(crate) fn open(
    config: &Config,
    scope_hosts: &[String],
    store: Arc<komainu_engines::SqliteStore>,
    own: Arc<OwnAddresses>,
) -> anyhow::Result<Arc<Indicators>> {
    let mut policy = IndicatorPolicy::default();
    policy.documentation_allowed = config.intel.documentation_addresses;
    policy.valid_for = days(config.intel.valid_days);
    policy.own_networks = config.intel.own_networks()?;
    policy.own_names = scope_hosts.iter().filter_map(|host| DomainName::parse(host).ok()).collect();
    for file in &config.intel.shared_networks {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("intel.shared_networks: {}", file.display()))?;
        for line in policy.add_shared(&text) {
            let (file, line, reason) = (file.display(), line.line, line.reason);
            tracing::warn!(event = "pipeline.shared_network_unusable", %file, line, %reason, "line not used");
        }
    }
    for address in scope_hosts.iter().filter_map(|host| host.parse::<IpAddr>().ok()) {
        own.note(address);
    }
    for interface in nix::ifaddrs::getifaddrs().context("cannot tell the machine's own addresses")? {
        let address = interface.address;
        let v4 =
            address.as_ref().and_then(|address| address.as_sockaddr_in()).map(|address| IpAddr::from(address.ip()));
        let v6 =
            address.as_ref().and_then(|address| address.as_sockaddr_in6()).map(|address| IpAddr::from(address.ip()));
        for address in v4.into_iter().chain(v6) {
            own.note(address);
        }
    }
    Indicators::open(policy, store.clone(), store, own, Arc::new(SystemClock)).context("cannot load the indicators")
}

/// Carries out what a local operator asks for. Blocks.
pub(crate) fn carry_out(
    indicators: &Indicators,
    scope: &Scope,
    request: IndicatorsRequest,
) -> anyhow::Result<IndicatorsReply> {
    let store = indicators.store();
    let page = |after: Option<String>| Page { after: after.map(PageToken), limit: PAGE };
    let next = |token: Option<PageToken>| token.map(|token| token.0);
    Ok(match request {
        IndicatorsRequest::Teach(lines) => {
            let now = SystemClock.now();
            let candidates = lines.iter().map(|line| line.read(now)).collect::<anyhow::Result<Vec<_>>>()?;
            let outcomes = indicators.teach(&candidates)?;
            IndicatorsReply::Taught(lines.iter().zip(outcomes).map(|(line, taught)| outcome(line, taught)).collect())
        }
        IndicatorsRequest::List { state, after } => {
            let kind = state.as_deref().map(kind_of).transpose()?;
            let found = store.indicators(kind, &page(after))?;
            let lines = found.items.iter().map(IndicatorLine::of).collect();
            IndicatorsReply::Indicators { lines, next: next(found.next) }
        }
        IndicatorsRequest::ListRefused { after } => {
            let found = store.refused(&page(after))?;
            let line = |RefusedCandidate { value, reason, at, .. }: RefusedCandidate| RefusedLine {
                value: value.to_string(),
                reason: reason.to_string(),
                at_unix_s: at.unix_seconds(),
            };
            IndicatorsReply::Refused { lines: found.items.into_iter().map(line).collect(), next: next(found.next) }
        }
        IndicatorsRequest::Show { indicator } => {
            let found = store.indicator(id_of(&indicator)?)?.with_context(|| unknown(&indicator))?;
            IndicatorsReply::Shown(Box::new(IndicatorLine::of(&found)))
        }
        IndicatorsRequest::Revoke { indicator, reason } => {
            let revoked = indicators.revoke(id_of(&indicator)?, reason.as_deref())?;
            let revoked = revoked.with_context(|| unknown(&indicator))?;
            IndicatorsReply::Revoked(Box::new(IndicatorLine::of(&revoked)))
        }
        IndicatorsRequest::Sightings { indicator, thing, after } => {
            let reporter = thing.as_deref().map(ReporterName::parse).transpose()?;
            let query = SightingQuery {
                indicator: indicator.as_deref().map(id_of).transpose()?,
                reporter: reporter.map(|reporter| (scope.clone(), reporter)),
            };
            let found = store.sightings(&query, &page(after))?;
            let line = |(scope, sighting): (Scope, Sighting)| SightingLine {
                thing: sighting.reporter.to_string(),
                region: scope.region.to_string(),
                indicator: sighting.indicator.to_string(),
                remote: sighting.remote.to_string(),
                way: sighting.way.as_str().to_owned(),
                first_unix_s: sighting.first_at.unix_seconds(),
                last_unix_s: sighting.last_at.unix_seconds(),
                count: sighting.count,
            };
            IndicatorsReply::Sightings { lines: found.items.into_iter().map(line).collect(), next: next(found.next) }
        }
        IndicatorsRequest::Hunt { indicator } => {
            let found = indicators.look_back_again(id_of(&indicator)?)?;
            let found = found.with_context(|| format!("there is no active indicator {indicator}"))?;
            IndicatorsReply::Hunting { id: found.id.to_string() }
        }
        IndicatorsRequest::Guard { .. } => bail!("the control plane sets up profiles"),
    })
}

const NEW: &str = "new";
const KNOWN: &str = "known";
const REFUSED: &str = "refused";

fn outcome(line: &TaughtLine, taught: Taught) -> OutcomeLine {
    let value = line.value.clone();
    match taught {
        Taught::New(id) => OutcomeLine { value, outcome: NEW.to_owned(), id: Some(id.to_string()), reason: None },
        Taught::Known(id) => OutcomeLine { value, outcome: KNOWN.to_owned(), id: Some(id.to_string()), reason: None },
        Taught::Refused { reason } => {
            OutcomeLine { value, outcome: REFUSED.to_owned(), id: None, reason: Some(reason.to_string()) }
        }
    }
}

fn unknown(indicator: &str) -> String {
    format!("there is no indicator {indicator}")
}

/// An indicator is named by its id or by its value.
fn id_of(text: &str) -> anyhow::Result<IndicatorId> {
    match IndicatorId::parse(text) {
        Ok(id) => Ok(id),
        Err(_) => Ok(indicator_id(&IndicatorValue::parse(text)?)),
    }
}

fn kind_of(text: &str) -> anyhow::Result<IndicatorKind> {
    let known = IndicatorKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    known.with_context(|| format!("state {text:?} is not one of active, expired, revoked"))
}

fn days(days: u32) -> std::time::Duration {
    std::time::Duration::from_secs(u64::from(days) * 24 * 3600)
}

impl TaughtLine {
    fn of(candidate: &IndicatorCandidate, feed: Option<String>) -> Self {
        let origin = candidate.provenance.as_ref();
        let origin = |field: fn(&Provenance) -> Option<String>| origin.and_then(field);
        Self {
            value: candidate.value.to_string(),
            threat: candidate.threat.as_str().to_owned(),
            confidence: candidate.confidence.percent(),
            valid_days: None,
            feed,
            sample: origin(|origin| Some(origin.sample?.to_string())),
            detonation: origin(|origin| Some(origin.detonation.as_ref()?.to_string())),
            session: origin(|origin| Some(origin.session.as_ref()?.to_string())),
            sensor: origin(|origin| Some(origin.sensor.as_ref()?.to_string())),
            note: candidate.note.clone(),
            reviewed: candidate.reviewed,
        }
    }

    fn read(&self, now: Timestamp) -> anyhow::Result<IndicatorCandidate> {
        let provenance = Provenance {
            sample: self.sample.as_deref().map(SampleDigest::parse).transpose()?,
            detonation: self.detonation.as_deref().map(DetonationId::parse).transpose()?,
            session: self.session.as_deref().map(SessionId::parse).transpose()?,
            sensor: self.sensor.as_deref().map(SensorName::parse).transpose()?,
            at: now,
        };
        let source = match &self.feed {
            Some(feed) => IndicatorSource::Feed(FeedName::parse(feed)?),
            None => IndicatorSource::Operator,
        };
        Ok(IndicatorCandidate {
            value: IndicatorValue::parse(&self.value)?,
            threat: Threat::parse(&self.threat)?,
            confidence: Confidence::new(self.confidence)?,
            source,
            provenance: Some(provenance).filter(|provenance| !provenance.is_empty()),
            valid_for: self.valid_days.map(days),
            note: self.note.clone(),
            reviewed: self.reviewed,
        })
    }
}

impl IndicatorLine {
    fn of(indicator: &Indicator) -> Self {
        let origin = |origin: &Provenance| OriginLine {
            sample: origin.sample.map(|sample| sample.to_string()),
            detonation: origin.detonation.as_ref().map(ToString::to_string),
            session: origin.session.as_ref().map(ToString::to_string),
            sensor: origin.sensor.as_ref().map(ToString::to_string),
            at_unix_s: origin.at.unix_seconds(),
        };
        Self {
            id: indicator.id.to_string(),
            value: indicator.value.to_string(),
            state: IndicatorKind::of(&indicator.state).as_str().to_owned(),
            threat: indicator.threat.as_str().to_owned(),
            confidence: indicator.confidence.percent(),
            source: match &indicator.source {
                IndicatorSource::Detonation(id) => format!("detonation {id}"),
                IndicatorSource::Operator => "operator".to_owned(),
                IndicatorSource::Feed(name) => format!("feed {name}"),
            },
            first_seen_unix_s: indicator.first_seen.unix_seconds(),
            valid_until_unix_s: indicator.valid_until.unix_seconds(),
            revoked_because: match &indicator.state {
                IndicatorState::Revoked { reason, .. } => reason.clone(),
                IndicatorState::Active | IndicatorState::Expired => None,
            },
            note: indicator.note.clone(),
            origins: indicator.provenance.iter().map(origin).collect(),
            origins_dropped: indicator.provenance_dropped,
        }
    }
}

impl fmt::Display for IndicatorsReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taught(lines) => lines.iter().try_for_each(|line| {
                let about = line.id.as_ref().or(line.reason.as_ref());
                writeln!(f, "{:<7} {}  {}", line.outcome, line.value, about.map_or("", String::as_str))
            }),
            Self::Indicators { lines, .. } => lines.iter().try_for_each(|line| {
                let IndicatorLine { id, state, threat, value, confidence, .. } = line;
                writeln!(f, "{id}  {state:<8} {threat:<20} {confidence:>3} %  {value}")
            }),
            Self::Refused { lines, .. } => lines
                .iter()
                .try_for_each(|line| writeln!(f, "{}  {}  {}", calendar(line.at_unix_s), line.value, line.reason)),
            Self::Shown(line) => write!(f, "{line}"),
            Self::Revoked(line) => writeln!(f, "revoked {} {}", line.id, line.value),
            Self::Sightings { lines, .. } => lines.iter().try_for_each(|line| {
                let SightingLine { thing, region, indicator, remote, way, first_unix_s, last_unix_s, count } = line;
                let (first, last) = (calendar(*first_unix_s), calendar(*last_unix_s));
                writeln!(f, "{last}  {thing}  {remote}  {way}  {count} times since {first}  {indicator}  {region}")
            }),
            Self::Hunting { id } => {
                writeln!(f, "looking back for {id}; `komainu indicators sightings` shows what is found")
            }
            Self::Guarded { profile, topic: Some(topic) } => {
                writeln!(f, "{profile} guards all registered things; alarms go to {topic}")
            }
            Self::Guarded { profile, topic: None } => {
                writeln!(f, "{profile} guards all registered things; nobody is told, name a topic with --topic")
            }
        }
    }
}

impl fmt::Display for IndicatorLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  {}", self.value, self.state)?;
        writeln!(f, "  id           {}", self.id)?;
        writeln!(f, "  threat       {}, confidence {} %", self.threat, self.confidence)?;
        writeln!(f, "  source       {}", self.source)?;
        writeln!(f, "  known since  {}", calendar(self.first_seen_unix_s))?;
        writeln!(f, "  valid until  {}", calendar(self.valid_until_unix_s))?;
        if let Some(reason) = &self.revoked_because {
            writeln!(f, "  revoked      {}", printable(reason))?;
        }
        if let Some(note) = &self.note {
            writeln!(f, "  note         {}", printable(note))?;
        }
        for origin in &self.origins {
            writeln!(f, "  taught       {}", calendar(origin.at_unix_s))?;
            let OriginLine { sample, detonation, session, sensor, .. } = origin;
            for (name, value) in
                [("sample", sample), ("detonation", detonation), ("session", session), ("sensor", sensor)]
            {
                if let Some(value) = value {
                    writeln!(f, "    {name:<10} {value}")?;
                }
            }
        }
        if self.origins_dropped > 0 {
            writeln!(f, "  {} more origins are not kept", self.origins_dropped)?;
        }
        Ok(())
    }
}

/// What a list brought may hold what moves a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn calendar(unix_s: i64) -> String {
    let time = jiff::Timestamp::from_second(unix_s).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
