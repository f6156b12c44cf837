//! The records of sensors in a folder: `ACCOUNT/REGION/SENSOR/EPOCH/SEQUENCE.LINES.ndjson`.
//!
//! A batch is written under another name, forced to the disk, and then renamed: it is there as a whole or not at all,
//! whatever the moment at which the process dies. What is there is known from the names, the sizes and the times of the
//! files; nothing else has to agree with them. Of an epoch from which batches were removed, the file `removed` says up
//! to which number and how much that was, so that a batch that comes again is still known.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use komainu_model::{AccountId, Region, Scope, ThingName, Timestamp};
use komainu_ports::{
    BatchKey, BatchStored, RecordsError, RecordsLimits, SensorKey, SensorRecords, SensorTotals, SpoolEpoch, StoredBatch,
};
use parking_lot::Mutex;

/// The file that says what was removed of an epoch.
const REMOVED: &str = "removed";

/// How names of files that are not finished end.
const UNFINISHED: &str = ".new";

/// Epochs of one sensor that are remembered. An epoch begins when a sensor starts; beyond this, the oldest of which
/// nothing is kept are forgotten.
const EPOCHS_MAX: usize = 10_000;

/// Records of sensors in a folder that no other process writes to.
#[derive(Debug)]
pub struct FolderRecords {
    folder: PathBuf,
    limits: RecordsLimits,
    sensors: Mutex<HashMap<SensorKey, Arc<Mutex<Epochs>>>>,
    bytes: AtomicU64,
    batches: AtomicU64,
    /// Makes temporary names different.
    writes: AtomicU64,
    /// Held while batches are removed.
    removing: Mutex<()>,
}

type Epochs = BTreeMap<SpoolEpoch, Epoch>;

/// What came in one epoch.
#[derive(Debug, Default)]
struct Epoch {
    /// By number.
    batches: BTreeMap<u64, Batch>,
    removed: Removed,
}

#[derive(Debug, Clone, Copy)]
struct Batch {
    lines: u64,
    bytes: u64,
    received_at: Timestamp,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Removed {
    /// The first number that was not removed.
    below: u64,
    batches: u64,
    lines: u64,
}

impl FolderRecords {
    /// Opens the records in a folder, or makes it. What a process that was killed did not finish is removed.
    pub fn open(folder: &Path, limits: RecordsLimits) -> Result<Self, RecordsError> {
        make_folder(folder).map_err(failed("making the folder"))?;
        let records = Self::empty(folder, limits);
        records.look_through(Unfinished::Remove).map_err(failed("looking through the folder"))?;
        Ok(records)
    }

    /// Opens records for reading, while another process may write to them. None when there are none.
    pub fn open_to_read(folder: &Path) -> Result<Option<Self>, RecordsError> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let records = Self::empty(folder, RecordsLimits::default());
        records.look_through(Unfinished::Leave).map_err(failed("looking through the folder"))?;
        Ok(Some(records))
    }

    fn empty(folder: &Path, limits: RecordsLimits) -> Self {
        Self {
            folder: folder.to_owned(),
            limits,
            sensors: Mutex::default(),
            bytes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            removing: Mutex::new(()),
        }
    }

    fn look_through(&self, unfinished: Unfinished) -> io::Result<()> {
        for (account, path) in folders_in(&self.folder, |name| AccountId::parse(name).ok())? {
            for (region, path) in folders_in(&path, |name| Region::parse(name).ok())? {
                let scope = Scope { account: account.clone(), region };
                for (name, path) in folders_in(&path, |name| ThingName::parse(name).ok())? {
                    let mut epochs = Epochs::new();
                    for (epoch, path) in folders_in(&path, SpoolEpoch::parse)? {
                        epochs.insert(epoch, self.look_into_epoch(&path, unfinished)?);
                    }
                    self.sensors.lock().insert(SensorKey { scope: scope.clone(), name }, Arc::new(Mutex::new(epochs)));
                }
            }
        }
        Ok(())
    }

    fn look_into_epoch(&self, folder: &Path, unfinished: Unfinished) -> io::Result<Epoch> {
        let mut epoch = Epoch { removed: Removed::read(&folder.join(REMOVED))?, ..Epoch::default() };
        for file in fs::read_dir(folder)? {
            let file = file?;
            let name = file.file_name();
            let name = name.to_string_lossy();
            match (batch_of_name(&name), unfinished) {
                // A process that dies between the two steps of a removal leaves what it had counted as removed.
                (Some((sequence, _)), Unfinished::Remove) if sequence < epoch.removed.below => {
                    fs::remove_file(file.path())?;
                }
                (Some((sequence, lines)), _) => {
                    // Gone since it was listed: somebody else removed it.
                    let Some(batch) = batch_of_file(&file, lines)? else { continue };
                    self.bytes.fetch_add(batch.bytes, Ordering::Relaxed);
                    self.batches.fetch_add(1, Ordering::Relaxed);
                    epoch.batches.insert(sequence, batch);
                }
                (None, Unfinished::Remove) if name.ends_with(UNFINISHED) => fs::remove_file(file.path())?,
                (None, _) => {}
            }
        }
        Ok(epoch)
    }

    fn of(&self, sensor: &SensorKey) -> Option<Arc<Mutex<Epochs>>> {
        self.sensors.lock().get(sensor).cloned()
    }

    fn sensor_folder(&self, sensor: &SensorKey) -> PathBuf {
        let SensorKey { scope, name } = sensor;
        self.folder.join(scope.account.as_str()).join(scope.region.as_str()).join(name.as_str())
    }

    fn epoch_folder(&self, sensor: &SensorKey, epoch: SpoolEpoch) -> PathBuf {
        self.sensor_folder(sensor).join(epoch.to_string())
    }

    fn write(&self, batch: &BatchKey, lines: &[u8], stored: Batch) -> io::Result<()> {
        let folder = self.epoch_folder(&batch.sensor, batch.epoch);
        if !folder.is_dir() {
            make_folder(&folder)?;
            // The new names must be as durable as what they hold.
            for above in folder.ancestors().skip(1).take_while(|above| above.starts_with(&self.folder)) {
                File::open(above)?.sync_all()?;
            }
        }
        self.write_as(&folder, &name_of_batch(batch.sequence, stored.lines), |file| {
            file.write_all(lines)?;
            let since_epoch = u64::try_from(stored.received_at.unix_millis()).unwrap_or(0);
            file.set_modified(UNIX_EPOCH + Duration::from_millis(since_epoch))
        })
    }

    /// Writes a file that is there as a whole or not at all, and stays.
    fn write_as(&self, folder: &Path, name: &str, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let unfinished = folder.join(format!("{name}.{}.{number}{UNFINISHED}", std::process::id()));
        let write = || {
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished)?;
            fill(&mut file)?;
            file.sync_all()?;
            fs::rename(&unfinished, folder.join(name))?;
            File::open(folder)?.sync_all()
        };
        write().inspect_err(|_| {
            let _ = fs::remove_file(&unfinished);
        })
    }

    /// Removes the oldest batches until there is room; says how many. The last one stays.
    fn make_room(&self) -> io::Result<u64> {
        let _turn = self.removing.lock();
        let mut removed = 0;
        let is_over = || {
            let batches = self.batches.load(Ordering::Relaxed);
            batches > 1
                && (batches > self.limits.batches_max || self.bytes.load(Ordering::Relaxed) > self.limits.bytes_max)
        };
        while is_over() {
            let Some((sensor, epoch)) = self.oldest() else { break };
            self.remove_first(&sensor, epoch)?;
            removed += 1;
        }
        Ok(removed)
    }

    /// The epoch whose first batch came before those of all others.
    fn oldest(&self) -> Option<(SensorKey, SpoolEpoch)> {
        let sensors: Vec<_> = self.sensors.lock().iter().map(|(key, of)| (key.clone(), of.clone())).collect();
        let firsts = sensors.iter().flat_map(|(sensor, epochs)| {
            let epochs = epochs.lock();
            let first = |(number, epoch): (&SpoolEpoch, &Epoch)| {
                Some((epoch.batches.values().next()?.received_at, sensor.clone(), *number))
            };
            epochs.iter().filter_map(first).min()
        });
        firsts.min().map(|(_, sensor, epoch)| (sensor, epoch))
    }

    fn remove_first(&self, sensor: &SensorKey, number: SpoolEpoch) -> io::Result<()> {
        let Some(epochs) = self.of(sensor) else { return Ok(()) };
        let mut epochs = epochs.lock();
        let Some(epoch) = epochs.get_mut(&number) else { return Ok(()) };
        let Some((&sequence, &batch)) = epoch.batches.first_key_value() else { return Ok(()) };
        let folder = self.epoch_folder(sensor, number);
        let removed = Removed {
            below: epoch.removed.below.max(sequence.saturating_add(1)),
            batches: epoch.removed.batches + 1,
            lines: epoch.removed.lines + batch.lines,
        };
        // First it is known as removed, then it is gone: the other way round it could come a second time.
        self.write_as(&folder, REMOVED, |file| file.write_all(removed.text().as_bytes()))?;
        fs::remove_file(folder.join(name_of_batch(sequence, batch.lines)))?;
        epoch.removed = removed;
        epoch.batches.remove(&sequence);
        self.bytes.fetch_sub(batch.bytes, Ordering::Relaxed);
        self.batches.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets the oldest epochs of which nothing is kept when there are too many.
    fn forget_epochs(&self, sensor: &SensorKey, epochs: &mut Epochs) -> io::Result<()> {
        while epochs.len() > EPOCHS_MAX {
            let empty = epochs.iter().find(|(_, epoch)| epoch.batches.is_empty()).map(|(number, _)| *number);
            let Some(number) = empty else { break };
            fs::remove_dir_all(self.epoch_folder(sensor, number))?;
            epochs.remove(&number);
        }
        Ok(())
    }
}

/// What is done with files that are not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfinished {
    Remove,
    Leave,
}

impl SensorRecords for FolderRecords {
    fn put(&self, batch: &BatchKey, lines: &[u8], now: Timestamp) -> Result<BatchStored, RecordsError> {
        let epochs = self.sensors.lock().entry(batch.sensor.clone()).or_default().clone();
        let stored = Batch {
            lines: lines.iter().filter(|byte| **byte == b'\n').count() as u64,
            bytes: lines.len() as u64,
            // Files tell the time in milliseconds after 1970.
            received_at: now.max(Timestamp::from_unix_millis(0)),
        };
        let missing = {
            // A sensor's batches come one after the other; waiting for each other's disk costs nobody anything.
            let mut epochs = epochs.lock();
            let epoch = epochs.entry(batch.epoch).or_default();
            if batch.sequence < epoch.removed.below || epoch.batches.contains_key(&batch.sequence) {
                return Ok(BatchStored::Known);
            }
            let missing = batch.sequence.saturating_sub(epoch.next());
            let written = self.write(batch, lines, stored);
            if written.is_err() && epoch.batches.is_empty() && epoch.removed == Removed::default() {
                epochs.remove(&batch.epoch);
            }
            written.map_err(failed("writing a batch"))?;
            epochs.entry(batch.epoch).or_default().batches.insert(batch.sequence, stored);
            self.bytes.fetch_add(stored.bytes, Ordering::Relaxed);
            self.batches.fetch_add(1, Ordering::Relaxed);
            self.forget_epochs(&batch.sensor, &mut epochs).map_err(failed("forgetting an epoch"))?;
            missing
        };
        let removed = self.make_room().map_err(failed("removing the oldest batches"))?;
        Ok(BatchStored::New { missing, removed })
    }

    fn sensors(&self) -> Vec<SensorTotals> {
        let mut sensors: Vec<_> = self.sensors.lock().iter().map(|(key, of)| (key.clone(), of.clone())).collect();
        sensors.sort_by(|(one, _), (other, _)| one.cmp(other));
        let totals = sensors.into_iter().map(|(sensor, epochs)| totals(sensor, &epochs.lock()));
        totals.filter(|totals| totals.batches + totals.batches_removed > 0).collect()
    }

    fn batches(&self, sensor: &SensorKey) -> Vec<StoredBatch> {
        let Some(epochs) = self.of(sensor) else { return Vec::new() };
        let epochs = epochs.lock();
        let mut batches: Vec<StoredBatch> = epochs
            .iter()
            .flat_map(|(number, epoch)| {
                epoch.batches.iter().map(|(sequence, batch)| StoredBatch {
                    key: BatchKey { sensor: sensor.clone(), epoch: *number, sequence: *sequence },
                    lines: batch.lines,
                    bytes: batch.bytes,
                    received_at: batch.received_at,
                })
            })
            .collect();
        // What came at the same time stays in the order of its numbers.
        batches.sort_by_key(|batch| batch.received_at);
        batches
    }

    fn read(&self, batch: &BatchKey) -> Result<Vec<u8>, RecordsError> {
        let lines = self.of(&batch.sensor).and_then(|epochs| {
            let epochs = epochs.lock();
            Some(epochs.get(&batch.epoch)?.batches.get(&batch.sequence)?.lines)
        });
        let lines = lines.ok_or_else(|| batch.missing())?;
        let folder = self.epoch_folder(&batch.sensor, batch.epoch);
        fs::read(folder.join(name_of_batch(batch.sequence, lines))).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => batch.missing(),
            _ => failed("reading a batch")(error),
        })
    }
}

fn totals(sensor: SensorKey, epochs: &Epochs) -> SensorTotals {
    let batches = || epochs.values().flat_map(|epoch| epoch.batches.values());
    let kept = batches().count() as u64;
    let batches_removed: u64 = epochs.values().map(|epoch| epoch.removed.batches).sum();
    let expected = epochs.values().map(Epoch::next).fold(0, u64::saturating_add);
    SensorTotals {
        sensor,
        batches: kept,
        lines: batches().map(|batch| batch.lines).sum::<u64>()
            + epochs.values().map(|epoch| epoch.removed.lines).sum::<u64>(),
        bytes: batches().map(|batch| batch.bytes).sum(),
        batches_removed,
        batches_missing: expected.saturating_sub(kept + batches_removed),
        last_received_at: batches().map(|batch| batch.received_at).max(),
    }
}

impl Epoch {
    /// The number after the highest one that came.
    fn next(&self) -> u64 {
        let after_last = self.batches.last_key_value().map_or(0, |(sequence, _)| sequence.saturating_add(1));
        after_last.max(self.removed.below)
    }
}

impl Removed {
    fn text(self) -> String {
        format!("{} {} {}\n", self.below, self.batches, self.lines)
    }

    fn read(path: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut numbers = text.split_ascii_whitespace().map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(below)), Some(Ok(batches)), Some(Ok(lines))) => Ok(Self { below, batches, lines }),
            _ => {
                let what = format!("{} does not say what was removed", path.display());
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
        }
    }
}

fn name_of_batch(sequence: u64, lines: u64) -> String {
    format!("{sequence:010}.{lines}.ndjson")
}

/// The number and the count of lines in a file's name.
fn batch_of_name(name: &str) -> Option<(u64, u64)> {
    let (sequence, lines) = name.strip_suffix(".ndjson")?.split_once('.')?;
    let (sequence, lines) = (sequence.parse().ok()?, lines.parse().ok()?);
    (name_of_batch(sequence, lines) == name).then_some((sequence, lines))
}

fn batch_of_file(file: &DirEntry, lines: u64) -> io::Result<Option<Batch>> {
    let file = match file.metadata() {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let received_at = timestamp(file.modified()?);
    Ok(Some(Batch { lines, bytes: file.len(), received_at }))
}

pub(crate) fn timestamp(at: SystemTime) -> Timestamp {
    let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// The folders in a folder whose names are something, in no order.
pub(crate) fn folders_in<T>(folder: &Path, parse: impl Fn(&str) -> Option<T>) -> io::Result<Vec<(T, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(parsed) = entry.file_name().to_str().and_then(&parse)
            && entry.file_type()?.is_dir()
        {
            found.push((parsed, entry.path()));
        }
    }
    Ok(found)
}

/// Records and captures tell who was attacked and how: they are for their owner.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> RecordsError {
    move |source| RecordsError::Unavailable { doing, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        assert_eq!(batch_of_name(&name_of_batch(7, 3)), Some((7, 3)));
        assert_eq!(batch_of_name(&name_of_batch(u64::MAX, u64::MAX)), Some((u64::MAX, u64::MAX)));
        for other in ["", "removed", "7.3.ndjson", "0000000007.3.ndjson.1.2.new", "0000000007.+3.ndjson", "x.3.ndjson"]
        {
            assert_eq!(batch_of_name(other), None, "{other}");
        }
    }
}
