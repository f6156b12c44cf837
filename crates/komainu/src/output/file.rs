//! Lines into a file, which is put aside when it is full. `NAME` is written to; `NAME.1` is the one before, and so on.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use komainu_ports::LogBudget;
use tokio::sync::mpsc;
use tracing::warn;

use super::{Line, Tally, events};

/// How long nothing is written after the file could not be opened: what comes meanwhile is dropped and counted.
const PAUSE: Duration = Duration::from_secs(1);

/// A file with those before it.
pub(super) struct Rotated {
    path: PathBuf,
    bytes_max: u64,
    files_max: u32,
    /// None after a failure, until it can be opened again.
    open: Option<Open>,
    failed_at: Option<Instant>,
}

struct Open {
    file: BufWriter<File>,
    bytes: u64,
}

impl Rotated {
    pub(super) fn open(path: &Path, bytes_max: u64, files_max: u32) -> io::Result<Self> {
        let open = Some(open(path)?);
        Ok(Self { path: path.to_owned(), bytes_max, files_max, open, failed_at: None })
    }

    /// Writes a line, into the file or into memory until [`Rotated::flush`].
    fn write(&mut self, json: &[u8]) -> io::Result<()> {
        let added = json.len() as u64 + 1;
        if self.open.as_ref().is_some_and(|open| open.bytes > 0 && open.bytes + added > self.bytes_max) {
            self.put_aside()?;
        }
        if self.open.is_none() {
            if self.failed_at.is_some_and(|failed_at| failed_at.elapsed() < PAUSE) {
                return Err(io::Error::other("it could not be opened a moment ago"));
            }
            self.open = Some(open(&self.path)?);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.file.write_all(json)?;
        open.file.write_all(b"\n")?;
        open.bytes += added;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.file.flush())
    }

    /// Renames the files, the oldest first, and begins another.
    fn put_aside(&mut self) -> io::Result<()> {
        self.flush()?;
        self.open = None;
        for number in (1..self.files_max).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.open = Some(open(&self.path)?);
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }

    /// What was in memory is lost with the file.
    fn fail(&mut self) {
        (self.open, self.failed_at) = (None, Some(Instant::now()));
    }
}

/// Opens the file to add to it, for its owner and group.
fn open(path: &Path) -> io::Result<Open> {
    let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Open { file: BufWriter::new(file), bytes })
}

/// Writes lines until nobody tells any more. Blocks.
pub(super) fn write_all(mut file: Rotated, mut queue: mpsc::Receiver<Line>, tally: &Tally) {
    let budget = LogBudget::default();
    while let Some(line) = queue.blocking_recv() {
        let written = file.write(&line.json).and_then(|()| if queue.is_empty() { file.flush() } else { Ok(()) });
        match written {
            Ok(()) => drop(tally.written.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                file.fail();
                let dropped = tally.dropped.fetch_add(1, Ordering::Relaxed) + 1;
                if let Some(suppressed) = budget.take_now() {
                    warn!(event = events::FAILED, way = "file", %error, dropped, suppressed, "lines cannot be written");
                }
            }
        }
    }
    if let Err(error) = file.flush() {
        warn!(event = events::FAILED, way = "file", %error, suppressed = 0, "lines cannot be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ecs.ndjson");
        let mut file = Rotated::open(&path, 10, 2).unwrap();
        for number in 0..9 {
            file.write(format!("{{\"{number}\"}}").as_bytes()).unwrap();
        }
        file.flush().unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
        assert_eq!(read("ecs.ndjson").as_deref(), Some("{\"8\"}\n"));
        assert_eq!(read("ecs.ndjson.1").as_deref(), Some("{\"7\"}\n"));
        assert_eq!(read("ecs.ndjson.2").as_deref(), Some("{\"6\"}\n"));
        assert_eq!(read("ecs.ndjson.3"), None);
        drop(file);
        let mut again = Rotated::open(&path, 100, 2).unwrap();
        again.write(b"{}").unwrap();
        again.flush().unwrap();
        assert_eq!(read("ecs.ndjson").as_deref(), Some("{\"8\"}\n{}\n"));
    }
}
