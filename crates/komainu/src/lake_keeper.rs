//! What the server does for its lake: rows are written to files, files are merged, old months are removed.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use komainu_engines::DataFolder;
use komainu_lake::{LakeLimits, ParquetLake};
use komainu_model::Timestamp;
use komainu_ports::{Clock, KeeperVitals, Lake, LakeError, LogBudget};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info};

use crate::config::LakeSection;

/// The lake's folder in the data folder.
const FOLDER: &str = "lake";

/// How often it is looked whether there are enough rows for a file.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// So often rows are written to files however few they are, so that other programs see them: in looks.
const LOOKS_TO_FILES: u32 = 120;

/// So often old months are looked for: in looks.
const LOOKS_TO_RETENTION: u32 = 720;

/// Names of log events, as they stand in the field `event`; a test compares them with `docs/events.md`.
mod events {
    /// Rows could not be written to files, files not be merged or removed.
    pub(super) const NOT_KEPT: &str = "lake.not_kept";
    /// Months were removed because they are old.
    pub(super) const REMOVED: &str = "lake.removed";
    #[cfg(test)]
    pub(super) const ALL: &[&str] = &[NOT_KEPT, REMOVED];
}

/// Opens the lake of a data folder, or makes it.
pub(crate) fn open(folder: &DataFolder) -> anyhow::Result<Arc<ParquetLake>> {
    let lake = ParquetLake::open(&folder.file(FOLDER), LakeLimits::default()).context("cannot open the lake")?;
    Ok(Arc::new(lake))
}

/// Opens the lake of a data folder for reading, while a server may be running. None when there is none.
pub(crate) fn open_to_read(data: &Path) -> anyhow::Result<Option<ParquetLake>> {
    ParquetLake::open_to_read(&data.join(FOLDER)).context("cannot open the lake")
}

/// The task that keeps the lake.
pub(crate) struct LakeKeeper {
    vitals: Arc<Mutex<KeeperVitals>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl LakeKeeper {
    pub(crate) fn start(section: &LakeSection, lake: Arc<ParquetLake>, clock: Arc<dyn Clock>) -> Self {
        let (stop, stopping) = watch::channel(false);
        let vitals = Arc::default();
        let task = tokio::spawn(keep(lake, clock, section.retain_days, Arc::clone(&vitals), stopping));
        Self { vitals, stop, task }
    }

    /// How it goes, from now on.
    pub(crate) fn vitals(&self) -> Arc<Mutex<KeeperVitals>> {
        self.vitals.clone()
    }

    /// Resolves when what is being written is written.
    pub(crate) async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            error!(event = events::NOT_KEPT, %error, suppressed = 0, "the lake was kept up to a bug");
        }
    }
}

async fn keep(
    lake: Arc<ParquetLake>,
    clock: Arc<dyn Clock>,
    retain_days: u32,
    vitals: Arc<Mutex<KeeperVitals>>,
    mut stopping: watch::Receiver<bool>,
) {
    let not_kept = LogBudget::default();
    for look in 1_u32.. {
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(KEEP_EVERY) => {}
        }
        let (lake, now) = (lake.clone(), clock.now());
        let kept = tokio::task::spawn_blocking(move || {
            if look % LOOKS_TO_FILES == 0 {
                lake.keep_all(now)?
            } else {
                lake.keep(now)?
            };
            if retain_days > 0 && look % LOOKS_TO_RETENTION == 1 { remove_old(&lake, retain_days, now) } else { Ok(()) }
        });
        let failure: Box<dyn Error + Send + Sync> = match kept.await {
            Ok(Ok(())) => {
                vitals.lock().kept_at = Some(now);
                continue;
            }
            Ok(Err(error)) => error.into(),
            Err(bug) => bug.into(),
        };
        vitals.lock().failed = Some((now, failure.to_string()));
        if let Some(suppressed) = not_kept.take_now() {
            let cause = failure.source().map(tracing::field::display);
            error!(event = events::NOT_KEPT, error = %failure, cause, suppressed, "the lake's files are not kept");
        }
    }
}

fn remove_old(lake: &ParquetLake, retain_days: u32, now: Timestamp) -> Result<(), LakeError> {
    let before = now.minus(Duration::from_secs(u64::from(retain_days) * 86_400));
    let rows = lake.retain(before)?;
    if rows > 0 {
        info!(event = events::REMOVED, rows, "old months were removed from the lake");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::events;

    #[test]
    fn the_documentation_has_all_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| name.starts_with("lake."))
            .collect();
        assert_eq!(documented, events::ALL);
    }
}
