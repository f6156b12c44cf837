//! `komainu sensor captures`: the packets of sessions, and what a device's ring still has.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use jiff::Timestamp;
use komainu_model::{ApplianceName, Confidentiality};
use komainu_ports::RecordedSession;
use komainu_sensor::{CaptureStore, read_ring};

use crate::DataArgs;
use crate::sensor::{RINGS, SESSION_CAPTURES, sensor_folder};

#[derive(Debug, Subcommand)]
pub(crate) enum CapturesCommand {
    /// List captures of sessions: session, bytes, when it was stored, and whether it is confidential.
    List {
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Copy the packets of a session into a file.
    Export {
        /// The session's id, as the records have it.
        session: String,
        /// The file to make. It must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        folder: DataArgs,
    },
    /// Copy what the ring of a device has into a file.
    Ring {
        /// The device's name in the inventory.
        device: String,
        /// From when on, such as `2026-11-26T10:00:00Z`; without it, from the oldest frame on.
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        /// Until when; without it, to the youngest frame.
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
        /// The file to make. It must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        folder: DataArgs,
    },
}

impl CapturesCommand {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::List { folder } => list(&sessions(folder)),
            Self::Export { session, out, folder } => export(&sessions(folder), session, out),
            Self::Ring { device, since, until, out, folder } => {
                let device = ApplianceName::parse(device).with_context(|| format!("{device:?} is no device's name"))?;
                let ring = sensor_folder(&folder.data).join(RINGS).join(device.as_str());
                let since = since.map_or(i64::MIN, Timestamp::as_microsecond);
                let until = until.map_or(i64::MAX, Timestamp::as_microsecond);
                let mut file = create(out)?;
                let frames = read_ring(&ring, since, until, &mut |part| file.write_all(part))
                    .with_context(|| format!("cannot copy {} to {}", ring.display(), out.display()))?;
                println!("{frames} frames  {}", out.display());
                Ok(())
            }
        }
    }
}

fn sessions(folder: &DataArgs) -> PathBuf {
    sensor_folder(&folder.data).join(SESSION_CAPTURES)
}

fn list(folder: &Path) -> anyhow::Result<()> {
    let captures = CaptureStore::list(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut out = std::io::stdout().lock();
    for capture in captures {
        let added_at = Timestamp::try_from(capture.added_at).ok();
        let added_at = added_at.map_or("-".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let mark = match capture.confidentiality {
            Confidentiality::Open => "",
            Confidentiality::Confidential => "  confidential",
        };
        writeln!(out, "{}  {:>8}  {added_at}{mark}", capture.session, capture.bytes)
            .context("cannot write to standard output")?;
    }
    Ok(())
}

fn export(folder: &Path, session: &str, out: &Path) -> anyhow::Result<()> {
    let session = RecordedSession::parse(session).with_context(|| format!("{session:?} is no session's id"))?;
    for confidentiality in [Confidentiality::Open, Confidentiality::Confidential] {
        let path = folder.join(CaptureStore::file_name(session, confidentiality));
        let mut capture = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            outcome => outcome.with_context(|| format!("cannot open {}", path.display()))?,
        };
        let bytes = std::io::copy(&mut capture, &mut create(out)?)
            .with_context(|| format!("cannot copy {} to {}", path.display(), out.display()))?;
        println!("{session}  {bytes} bytes  {}", out.display());
        return Ok(());
    }
    bail!("there is no capture of session {session} in {}", folder.display())
}

/// Makes a file that does not exist yet, for its owner only.
fn create(path: &Path) -> anyhow::Result<File> {
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    made.with_context(|| format!("cannot make {}", path.display()))
}
