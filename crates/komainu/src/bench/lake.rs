//! A lake of made-up attacks: how fast it takes them, and how fast it answers.
//!
//! Every question is asked several times, and the shortest time counts: the files are in memory then, as they are for somebody
//! who looks at one page after the other. With `--json` the answers are told as sums, so that another program's can be compared.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use komainu_lake::{LakeLimits, MadeUpAttacks, ParquetLake};
use komainu_model::Timestamp;
use komainu_ports::{
    Lake, LakeBatchName, LakeFilter, LakeListing, LakeOrder, LakeQuestion, LakeTable, LakeTest, LakeValue, TimeBucket,
    TimeRange,
};
use serde::Serialize;

/// The first day of the made-up attacks: 2024-01-01.
const FIRST_DAY_S: i64 = 1_704_067_200;

const DAY_S: i64 = 86_400;

/// What every lake is made with, so that two are the same.
const SEED: u64 = 7;

/// What is asked of a lake.
#[derive(Debug, Args)]
pub(super) struct LakeArgs {
    /// The folder of the lake. When there is none yet, it is made and filled.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// How many attacks a new lake gets.
    #[arg(long, default_value_t = 20_000_000)]
    attacks: u64,
    /// Over how many days.
    #[arg(long, default_value_t = 730)]
    days: usize,
    /// Attacks of one batch.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    batch: u32,
    /// How often each question is asked.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct LakeResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<Loaded>,
    attacks: u64,
    days: usize,
    parts: u64,
    bytes_per_attack: f64,
    open_ms: f64,
    questions: Vec<Asked>,
    peak_memory_mib: u64,
}

/// How fast attacks were taken.
#[derive(Debug, Serialize)]
struct Loaded {
    /// For each second of a processor, those that counting needs among it.
    attacks_per_cpu_s: f64,
    /// The same, with the merging of files that follows when a month is over.
    attacks_per_cpu_s_with_merges: f64,
}

#[derive(Debug, Serialize)]
struct Asked {
    name: &'static str,
    /// As somebody would say it.
    what: String,
    best_ms: f64,
    from_rollups: bool,
    groups: u64,
    rows: u64,
    distinct: u64,
}

/// Loads a lake that is not there, and asks.
pub(super) fn run(args: &LakeArgs) -> anyhow::Result<LakeResult> {
    let is_new = fs::read_dir(&args.folder).map_or(true, |mut files| files.next().is_none());
    let load = if is_new { Some(load(args)?) } else { None };
    let begin = Instant::now();
    let lake = ParquetLake::open_to_read(&args.folder)?
        .with_context(|| format!("{} is no lake; choose a folder that is empty or not there", args.folder.display()))?;
    let open_ms = ms(begin.elapsed());
    let state = lake.state()?.into_iter().find(|state| state.table == LakeTable::Attacks);
    let Some((state, (first, last))) = state.and_then(|state| Some((state.clone(), state.times?))) else {
        bail!("{} has no attacks", args.folder.display())
    };
    let days = TimeBucket::Day.number(last) - TimeBucket::Day.number(first) + 1;
    let mut asked = Vec::new();
    for question in questions(&lake, first, days)? {
        asked.push(ask(&lake, question, args.rounds)?);
    }
    Ok(LakeResult {
        load,
        attacks: state.rows,
        days: usize::try_from(days).unwrap_or(0),
        parts: state.parts,
        bytes_per_attack: folder_bytes(&args.folder)? as f64 / state.rows as f64,
        open_ms,
        questions: asked,
        peak_memory_mib: peak_memory_mib()?,
    })
}

fn load(args: &LakeArgs) -> anyhow::Result<Loaded> {
    let lake = ParquetLake::open(&args.folder, LakeLimits::default())?;
    let mut attacks = MadeUpAttacks::new(SEED, Timestamp::from_unix_seconds(FIRST_DAY_S), args.days, args.attacks);
    let (mut batch, mut rows, mut sequence) = (Vec::new(), 0, 0);
    let mut taking = Duration::ZERO;
    loop {
        let next = attacks.next_rows(args.batch as usize - rows);
        let is_over = next.is_none();
        rows += next.as_ref().map_or(0, komainu_ports::LakeRows::len);
        batch.extend(next);
        if rows > 0 && (is_over || rows == args.batch as usize) {
            let begin = cpu_time()?;
            lake.append(&LakeBatchName { stream: "bench".to_owned(), sequence }, &batch)?;
            taking += cpu_time()?.saturating_sub(begin);
            sequence += 1;
            batch.clear();
            rows = 0;
        }
        if is_over {
            break;
        }
    }
    let begin = cpu_time()?;
    // Long after all of them: every month is over.
    lake.keep_all(Timestamp::from_unix_seconds(FIRST_DAY_S + (args.days as i64 + 60) * DAY_S))?;
    let merging = cpu_time()?.saturating_sub(begin);
    let per_s = |time: Duration| args.attacks as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE);
    Ok(Loaded { attacks_per_cpu_s: per_s(taking), attacks_per_cpu_s_with_merges: per_s(taking + merging) })
}

enum Question {
    Count(&'static str, String, LakeQuestion),
    List(&'static str, String, LakeListing),
}

fn questions(lake: &ParquetLake, first: Timestamp, days: i64) -> anyhow::Result<Vec<Question>> {
    let table = LakeTable::Attacks;
    let column = |name: &str| table.column(name).with_context(|| format!("there is no column {name}"));
    let by = |bucket: Option<TimeBucket>, columns: &[&str]| -> anyhow::Result<LakeQuestion> {
        let group_by = columns.iter().map(|name| column(name)).collect::<anyhow::Result<_>>()?;
        Ok(LakeQuestion {
            table,
            range: TimeRange::ALL,
            filters: Vec::new(),
            bucket,
            group_by,
            distinct: None,
            top: None,
        })
    };
    let day = Some(TimeBucket::Day);
    let source = Some(column("source")?);
    let days_from = |from: i64, days: i64| {
        let start = |day: i64| TimeBucket::Day.start(TimeBucket::Day.number(first) + day);
        TimeRange { from: start(from), to: start(from + days) }
    };
    let mut questions = vec![
        Question::Count("rollup_day_country", "attacks by day and country".into(), by(day, &["country"])?),
        Question::Count("rollup_day_protocol", "attacks by day and protocol".into(), by(day, &["protocol"])?),
        Question::Count(
            "rollup_day_model",
            "attacks by day, appliance and model".into(),
            by(day, &["appliance", "model"])?,
        ),
        Question::Count(
            "rollup_top_ports",
            "the 20 ports that most attacks of all time went to".into(),
            LakeQuestion { top: Some(20), ..by(None, &["port"])? },
        ),
        Question::Count(
            "distinct_day",
            "different sources of each day".into(),
            LakeQuestion { distinct: source, ..by(day, &[])? },
        ),
        Question::Count(
            "distinct_day_transport",
            "different sources of each day and transport, from the files".into(),
            LakeQuestion { distinct: source, ..by(day, &["transport"])? },
        ),
    ];
    for (name, columns) in [
        ("scan_country_label", ["country", "label"]),
        ("scan_transport_label", ["transport", "label"]),
        ("scan_protocol_sensor", ["protocol", "sensor"]),
        ("scan_model_label", ["model", "label"]),
    ] {
        let what = format!("attacks by day, {} and {}", columns[0], columns[1]);
        questions.push(Question::Count(name, what, by(day, &columns)?));
    }
    // Millions of groups, of which somebody wants to see the largest.
    for (name, columns) in [
        ("top10_country_sensor", ["country", "sensor"]),
        ("top10_port_label", ["port", "label"]),
        ("top10_country_port", ["country", "port"]),
    ] {
        let what = format!("the ten largest groups of each day by {} and {}", columns[0], columns[1]);
        questions.push(Question::Count(name, what, LakeQuestion { top: Some(10), ..by(day, &columns)? }));
    }
    let smb = LakeFilter { column: column("protocol")?, test: LakeTest::OneOf(vec![LakeValue::text("smb")]) };
    let drill = LakeQuestion {
        range: days_from(days * 6 / 10, 1),
        filters: vec![smb],
        ..by(None, &["country", "appliance", "port"])?
    };
    questions.push(Question::Count(
        "drill_day_smb",
        "one day's attacks over SMB by country, appliance and port".into(),
        drill.clone(),
    ));
    questions.push(Question::Count(
        "drill_day_smb_sources",
        "the same, with the different sources of each".into(),
        LakeQuestion { distinct: source, ..drill },
    ));
    let of_month = LakeQuestion { range: days_from(days * 6 / 10, 30), top: Some(50), ..by(None, &["source"])? };
    questions.push(Question::Count(
        "top_sources",
        "the 50 sources of most attacks in 30 days".into(),
        of_month.clone(),
    ));
    // Sources that came often, now and then, and seldom.
    let sources = lake.count(&LakeQuestion { top: Some(30_000), ..of_month })?;
    for (name, place) in [("source_first", 0), ("source_100th", 99), ("source_30000th", 29_999)] {
        let Some(found) = sources.groups().nth(place) else { continue };
        let filters = vec![LakeFilter { column: column("source")?, test: LakeTest::OneOf(found.values.clone()) }];
        let what = format!("the latest 100 attacks of the source that is number {} of a month", place + 1);
        let range = TimeRange::ALL;
        let listing = LakeListing { table, range, filters: filters.clone(), order: LakeOrder::Newest, limit: 100 };
        questions.push(Question::List(name, what, listing));
        let name = match place {
            0 => "source_first_all",
            99 => "source_100th_all",
            _ => "source_30000th_all",
        };
        let what = format!("all attacks of the source that is number {} of a month, by protocol", place + 1);
        questions.push(Question::Count(name, what, LakeQuestion { filters, ..by(None, &["protocol"])? }));
    }
    Ok(questions)
}

fn ask(lake: &ParquetLake, question: Question, rounds: u32) -> anyhow::Result<Asked> {
    let mut best = Duration::MAX;
    let (name, what, mut told) = match &question {
        Question::Count(name, what, _) | Question::List(name, what, _) => (*name, what.clone(), (false, 0, 0, 0)),
    };
    for _ in 0..rounds {
        let begin = Instant::now();
        match &question {
            Question::Count(_, _, question) => {
                let answer = lake.count(question)?;
                best = best.min(begin.elapsed());
                let distinct = answer.distinct.iter().sum();
                told = (answer.effort.from_rollups, answer.len() as u64, answer.rows, distinct);
            }
            Question::List(_, _, listing) => {
                let rows = lake.list(listing)?;
                best = best.min(begin.elapsed());
                told = (false, 0, rows.len() as u64, 0);
            }
        }
    }
    let (from_rollups, groups, rows, distinct) = told;
    Ok(Asked { name, what, best_ms: ms(best), from_rollups, groups, rows, distinct })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Bytes of all files: what the catalog, the counts that stand ready and the files' own indexes take is among them.
fn folder_bytes(folder: &std::path::Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for file in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let file = file?;
        bytes += if file.file_type()?.is_dir() { folder_bytes(&file.path())? } else { file.metadata()?.len() };
    }
    Ok(bytes)
}

/// The processor time of this process, user's and system's.
fn cpu_time() -> anyhow::Result<Duration> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)
        .context("cannot tell the processor time")?;
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs()) + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    Ok(of(usage.user_time()) + of(usage.system_time()))
}

/// The most memory that this process had, in MiB.
fn peak_memory_mib() -> anyhow::Result<u64> {
    let usage =
        nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).context("cannot tell the memory")?;
    Ok(usage.max_rss().unsigned_abs() / 1024)
}

impl fmt::Display for LakeResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Loaded { attacks_per_cpu_s, attacks_per_cpu_s_with_merges }) = &self.load {
            writeln!(
                f,
                "taken       {:.2} million attacks a second and core, {:.2} with merging",
                attacks_per_cpu_s / 1e6,
                attacks_per_cpu_s_with_merges / 1e6
            )?;
        }
        writeln!(f, "attacks     {} on {} days in {} files", self.attacks, self.days, self.parts)?;
        writeln!(f, "on disk     {:.2} bytes for each", self.bytes_per_attack)?;
        writeln!(f, "opened in   {:.0} ms", self.open_ms)?;
        writeln!(f, "peak memory {} MiB", self.peak_memory_mib)?;
        for asked in &self.questions {
            let ready = if asked.from_rollups { " (stood ready)" } else { "" };
            write!(f, "\n{:>10.2} ms  {}{ready}", asked.best_ms, asked.what)?;
        }
        Ok(())
    }
}
