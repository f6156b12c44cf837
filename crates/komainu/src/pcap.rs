//! `komainu pcap`: what a capture file shows, as the records of a sensor.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use komainu_ports::{IdSource as _, RandomIds};
use komainu_sensor::{
    ArtifactLimits, ArtifactStore, CaptureSummary, EventLog, Passwords, RecordLimits, Recorder, RecorderParts,
    Rotation, SensorIdentity, key_file, read_capture,
};

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
}

/// Reads the files one after the other.
pub(crate) fn run(args: &PcapArgs) -> anyhow::Result<()> {
    let recorder = recorder(args)?;
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
        eprintln!("events and files: {}", out.display());
    }
    if failed > 0 {
        bail!("{failed} of {} captures could not be read to their end", args.files.len());
    }
    Ok(())
}

fn recorder(args: &PcapArgs) -> anyhow::Result<Arc<Recorder>> {
    let (log, artifacts, key) = match &args.out {
        None => (EventLog::to_writer(io::stdout()), None, RandomIds.secret()),
        Some(out) => {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(out)
                .with_context(|| format!("cannot make the folder {}", out.display()))?;
            let log = EventLog::to_files(out, Rotation::default())
                .with_context(|| format!("cannot write event logs to {}", out.display()))?;
            let artifacts =
                ArtifactStore::open(&out.join("artifacts"), &key_in(out, "artifacts.key")?, ArtifactLimits::default())
                    .with_context(|| format!("cannot open {}", out.join("artifacts").display()))?;
            (log, Some(Arc::new(artifacts)), key_in(out, "passwords.key")?)
        }
    };
    Ok(Recorder::new(RecorderParts {
        log: Arc::new(log),
        artifacts,
        sensor: SensorIdentity { id: SENSOR_ID.to_owned(), site: None, country: None },
        passwords: if args.clear_passwords { Passwords::Clear } else { Passwords::hashed(&key) },
        limits: RecordLimits::default(),
    }))
}

/// The key in a file of the folder, which is made when there is none.
fn key_in(folder: &Path, name: &str) -> anyhow::Result<[u8; 32]> {
    let path = folder.join(name);
    key_file(&path, &RandomIds.secret()).with_context(|| format!("cannot use the key {}", path.display()))
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
