//! `komainu pcap`: what a capture file shows, as the records of a sensor.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use komainu_engines::DataFolder;
use komainu_ports::{IdSource as _, RandomIds};
use komainu_sensor::{
    ArtifactLimits, CaptureSummary, EventLog, Passwords, PayloadScans, RecordLimits, Recorder, RecorderParts, Rotation,
    SensorIdentity, read_capture,
};
use komainu_yara::Taken;

use crate::{classify, sensor, yara};

/// The name of the sensor in records that come from a capture.
const SENSOR_ID: &str = "capture";

/// Options of `komainu pcap`.
#[derive(Debug, Args)]
pub(crate) struct PcapArgs {
    /// Capture files, pcap or pcapng; `-` is the standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A folder for the event logs, `eve.json` and `honeypot.json`, and for the files that were carried, encrypted.
    /// Without it the events are printed, and files are only described.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show passwords as they are, instead of keyed digests.
    #[arg(long)]
    clear_passwords: bool,
    /// A file with rules in Suricata's language, beside those that are built in. May be given several times.
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// A file with rules of YARA, or a folder with such files, beside the rules that are built in. May be given several
    /// times.
    #[arg(long, value_name = "FILE|DIR")]
    yara: Vec<PathBuf>,
    /// A file with the addresses of benign scanners. May be given several times.
    #[arg(long, value_name = "FILE")]
    scanners: Vec<PathBuf>,
    /// A file in the format MMDB that says which address belongs to which autonomous system.
    #[arg(long, value_name = "FILE")]
    asn_db: Option<PathBuf>,
}

/// What records, and the folder that it writes to: no other program may, as long as it is held.
struct Recording {
    recorder: Arc<Recorder>,
    _folder: Option<DataFolder>,
}

/// Reads the files one after the other.
pub(crate) fn run(args: &PcapArgs) -> anyhow::Result<()> {
    let Recording { recorder, _folder } = recorder(args)?;
    let mut failed = 0;
    for path in &args.files {
        let name = path.display();
        let mut input: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(path).with_context(|| format!("cannot open {name}"))?)
        };
        let (summary, outcome) = read_capture(&mut *input, &recorder);
        eprintln!("{name}: {}", describe(&summary));
        if let Err(error) = outcome {
            failed += 1;
            eprintln!("{name}: {error}; what comes before is recorded");
        }
    }
    let log = recorder.log();
    log.close();
    if log.lines_lost() > 0 {
        bail!("{} lines could not be written", log.lines_lost());
    }
    if let Some(out) = &args.out {
        eprintln!("events: {}; files: komainu sensor artifacts list --data {0}", out.display());
    }
    if failed > 0 {
        bail!("{failed} of {} captures could not be read to their end", args.files.len());
    }
    Ok(())
}

fn recorder(args: &PcapArgs) -> anyhow::Result<Recording> {
    let folder =
        args.out.as_deref().map(DataFolder::open).transpose().context("cannot use the folder for the events")?;
    let (log, artifacts, hashed) = match &folder {
        None => (EventLog::to_writer(io::stdout()), None, Passwords::hashed(&RandomIds.secret())),
        Some(folder) => {
            let log = EventLog::to_files(folder.path(), Rotation::default()).context("cannot open the event logs")?;
            let artifacts = sensor::open_artifacts(folder, ArtifactLimits::default())?;
            (log, Some(Arc::new(artifacts)), sensor::hashed_passwords(folder)?)
        }
    };
    let loaded = classify::load(classify::Sources {
        rules: &args.rules,
        scanners: &args.scanners,
        asn_db: args.asn_db.as_deref(),
    })?;
    if loaded.unsupported > 0 {
        eprintln!("{} rules are not supported: `komainu sensor rules check` says why", loaded.unsupported);
    }
    let scanning = yara::load(&args.yara)?;
    let refused = scanning.taken.as_ref().map_or(0, Taken::refused);
    if refused > 0 {
        eprintln!("{refused} rules of YARA are not supported: `komainu sensor yara check` says why");
    }
    let recorder = Recorder::new(RecorderParts {
        log: Arc::new(log),
        artifacts,
        sensor: SensorIdentity { id: SENSOR_ID.to_owned(), site: None, country: None },
        passwords: if args.clear_passwords { Passwords::Clear } else { hashed },
        classifier: Some(loaded.classifier),
        limits: RecordLimits::default(),
        fetches: None,
        scans: Some(PayloadScans::at_once(scanning.scanner)),
    });
    Ok(Recording { recorder, _folder: folder })
}

fn describe(summary: &CaptureSummary) -> String {
    let frames = summary.frames;
    let mut text = format!(
        "{} bytes, {} frames, {} flows, {} of them decoded",
        summary.bytes, frames.frames, summary.flows, summary.decoded
    );
    for (count, what) in [
        (frames.unreadable, "frames could not be read"),
        (frames.not_ip, "frames carry no IP"),
        (frames.other, "packets are neither TCP nor UDP"),
        (frames.stray, "segments belong to no connection"),
        (summary.cut_bytes, "bytes at the end are no whole record"),
    ] {
        if count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    }
    text
}
