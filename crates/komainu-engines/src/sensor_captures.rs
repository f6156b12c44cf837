//! The captures of sensors in a folder: `ACCOUNT/REGION/SENSOR/SESSION.pcapng`, or `SESSION.confidential.pcapng`.
//!
//! What is kept is known from the folder alone. A file is written, forced to the disk and renamed, so it is there as a
//! whole or not at all; when it came is the file's time.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use komainu_model::{AccountId, Confidentiality, Region, Scope, ThingName, Timestamp};
use komainu_ports::{
    CaptureStored, CapturesError, CapturesLimits, NewCapture, RecordedSession, SensorCaptures, SensorKey, StoredCapture,
};
use parking_lot::Mutex;

use crate::sensor_records::{folders_in, make_folder, timestamp};

/// How the name of a file ends that is not whole yet.
const UNFINISHED: &str = ".new";

/// [`SensorCaptures`] in a folder.
#[derive(Debug)]
pub struct FolderCaptures {
    folder: PathBuf,
    limits: CapturesLimits,
    /// Captures come seldom, so one lock is held also while one is written.
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    sensors: BTreeMap<SensorKey, OfSensor>,
    bytes: u64,
    captures: u64,
    /// The number of the next one: captures are in the order of their numbers.
    next: u64,
}

/// What is kept of one sensor.
#[derive(Debug, Default)]
struct OfSensor {
    in_order: BTreeMap<u64, One>,
    numbers: BTreeMap<RecordedSession, u64>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct One {
    session: RecordedSession,
    confidentiality: Confidentiality,
    bytes: u64,
    received_at: Timestamp,
}

impl FolderCaptures {
    /// Opens the folder, or makes it. What a process that was killed did not finish is removed; so only one process may
    /// do so at a time.
    pub fn open(folder: &Path, limits: CapturesLimits) -> io::Result<Self> {
        make_folder(folder)?;
        let captures = Self::look_into(folder, limits, |unfinished| fs::remove_file(unfinished))?;
        captures.make_room(&mut captures.kept.lock())?;
        Ok(captures)
    }

    /// Opens the folder for reading, while another process may write to it; none when there is no folder.
    pub fn open_to_read(folder: &Path) -> io::Result<Option<Self>> {
        if !folder.is_dir() {
            return Ok(None);
        }
        Self::look_into(folder, CapturesLimits::default(), |_| Ok(())).map(Some)
    }

    fn look_into(
        folder: &Path,
        limits: CapturesLimits,
        unfinished: impl Fn(&Path) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut found = Vec::new();
        for (account, path) in folders_in(folder, |name| AccountId::parse(name).ok())? {
            for (region, path) in folders_in(&path, |name| Region::parse(name).ok())? {
                let scope = Scope { account: account.clone(), region };
                for (name, path) in folders_in(&path, |name| ThingName::parse(name).ok())? {
                    let sensor = SensorKey { scope: scope.clone(), name };
                    for file in fs::read_dir(path)? {
                        let file = file?;
                        let name = file.file_name();
                        let name = name.to_string_lossy();
                        match parts_of_name(&name) {
                            Some((session, confidentiality)) => {
                                let file = match file.metadata() {
                                    Ok(file) => file,
                                    // Gone since it was listed: somebody else removed it.
                                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                                    Err(error) => return Err(error),
                                };
                                let received_at = timestamp(file.modified()?);
                                found.push((
                                    sensor.clone(),
                                    One { session, confidentiality, bytes: file.len(), received_at },
                                ));
                            }
                            None if name.ends_with(UNFINISHED) => unfinished(&file.path())?,
                            None => {}
                        }
                    }
                }
            }
        }
        found.sort_by_key(|(_, one)| (one.received_at, one.session));
        let mut kept = Kept::default();
        for (sensor, one) in found {
            kept.add(&sensor, one);
        }
        Ok(Self { folder: folder.to_owned(), limits, kept: Mutex::new(kept) })
    }

    fn sensor_folder(&self, sensor: &SensorKey) -> PathBuf {
        let SensorKey { scope, name } = sensor;
        self.folder.join(scope.account.as_str()).join(scope.region.as_str()).join(name.as_str())
    }

    fn write(&self, sensor: &SensorKey, one: One, pcapng: &[u8]) -> io::Result<()> {
        let folder = self.sensor_folder(sensor);
        if !folder.is_dir() {
            make_folder(&folder)?;
            // The new names must be as durable as what they hold.
            for above in folder.ancestors().skip(1).take_while(|above| above.starts_with(&self.folder)) {
                File::open(above)?.sync_all()?;
            }
        }
        let path = folder.join(name_of(one.session, one.confidentiality));
        let unfinished = path.with_added_extension(&UNFINISHED[1..]);
        let write = || {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
            file.write_all(pcapng)?;
            let since_epoch = u64::try_from(one.received_at.unix_millis()).unwrap_or(0);
            file.set_modified(UNIX_EPOCH + Duration::from_millis(since_epoch))?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&folder)?.sync_all()
        };
        write().inspect_err(|_| {
            let _ = fs::remove_file(&unfinished);
        })
    }

    /// Removes the oldest captures of whoever has the most bytes until there is room; says how many. The last one stays.
    fn make_room(&self, kept: &mut Kept) -> io::Result<u64> {
        let mut removed = 0;
        while kept.captures > 1 && (kept.captures > self.limits.captures_max || kept.bytes > self.limits.bytes_max) {
            let largest = kept.sensors.iter().max_by_key(|(_, of)| of.bytes);
            let Some((sensor, of)) = largest.map(|(sensor, of)| (sensor.clone(), of)) else { break };
            let Some((&number, &one)) = of.in_order.first_key_value() else { break };
            let path = self.sensor_folder(&sensor).join(name_of(one.session, one.confidentiality));
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            kept.remove(&sensor, number, one);
            removed += 1;
        }
        Ok(removed)
    }
}

impl Kept {
    fn add(&mut self, sensor: &SensorKey, one: One) {
        let of = self.sensors.entry(sensor.clone()).or_default();
        of.in_order.insert(self.next, one);
        of.numbers.insert(one.session, self.next);
        of.bytes += one.bytes;
        self.bytes += one.bytes;
        self.captures += 1;
        self.next += 1;
    }

    fn remove(&mut self, sensor: &SensorKey, number: u64, one: One) {
        let Some(of) = self.sensors.get_mut(sensor) else { return };
        of.in_order.remove(&number);
        of.numbers.remove(&one.session);
        of.bytes -= one.bytes;
        self.bytes -= one.bytes;
        self.captures -= 1;
        if of.in_order.is_empty() {
            self.sensors.remove(sensor);
        }
    }
}

impl SensorCaptures for FolderCaptures {
    fn put(&self, capture: &NewCapture<'_>, now: Timestamp) -> Result<CaptureStored, CapturesError> {
        let NewCapture { sensor, session, confidentiality, pcapng } = *capture;
        let mut kept = self.kept.lock();
        if kept.sensors.get(sensor).is_some_and(|of| of.numbers.contains_key(&session)) {
            return Ok(CaptureStored::Known);
        }
        // Files tell the time in milliseconds after 1970.
        let received_at = now.max(Timestamp::from_unix_millis(0));
        let one = One { session, confidentiality, bytes: pcapng.len() as u64, received_at };
        self.write(sensor, one, pcapng).map_err(failed("writing a capture"))?;
        kept.add(sensor, one);
        let removed = self.make_room(&mut kept).map_err(failed("removing the oldest captures"))?;
        Ok(CaptureStored::New { removed })
    }

    fn captures(&self) -> Vec<StoredCapture> {
        let kept = self.kept.lock();
        let all = kept.sensors.iter().flat_map(|(sensor, of)| {
            of.in_order.iter().map(|(number, one)| {
                let One { session, confidentiality, bytes, received_at } = *one;
                (*number, StoredCapture { sensor: sensor.clone(), session, confidentiality, bytes, received_at })
            })
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, capture)| capture).collect()
    }

    fn read(&self, capture: &StoredCapture) -> Result<Vec<u8>, CapturesError> {
        let StoredCapture { sensor, session, confidentiality, .. } = capture;
        let path = self.sensor_folder(sensor).join(name_of(*session, *confidentiality));
        fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CapturesError::Missing { session: *session },
            _ => failed("reading a capture")(error),
        })
    }
}

fn name_of(session: RecordedSession, confidentiality: Confidentiality) -> String {
    match confidentiality {
        Confidentiality::Open => format!("{session}.pcapng"),
        Confidentiality::Confidential => format!("{session}.confidential.pcapng"),
    }
}

fn parts_of_name(name: &str) -> Option<(RecordedSession, Confidentiality)> {
    let stem = name.strip_suffix(".pcapng")?;
    Some(match stem.strip_suffix(".confidential") {
        Some(session) => (RecordedSession::parse(session)?, Confidentiality::Confidential),
        None => (RecordedSession::parse(stem)?, Confidentiality::Open),
    })
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> CapturesError {
    move |source| CapturesError::Unavailable { doing, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let session = RecordedSession::parse("00000000000000000000000000000001").unwrap();
        for confidentiality in [Confidentiality::Open, Confidentiality::Confidential] {
            assert_eq!(parts_of_name(&name_of(session, confidentiality)), Some((session, confidentiality)));
        }
        for other in ["", "1.pcapng", "00000000000000000000000000000001.pcapng.new", ".confidential.pcapng"] {
            assert_eq!(parts_of_name(other), None, "{other}");
        }
    }
}
