//! Files of the operator about what was published: read at the start, and again when they change.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use komainu_console::{Publications, Published, PublishedFile, PublishedFileState, PublishedKind};
use komainu_model::Timestamp;
use komainu_ports::Clock;
use komainu_statistics::{
    EPSS_BYTES_MAX, Epss, KEV_BYTES_MAX, NOTES_BYTES_MAX, Problem, Publication, read_epss, read_kev, read_notes,
};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// How often it is looked whether a file changed. They change once a day, or when somebody writes a note and waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Names of log events, as they stand in the field `event`; a test compares them with `docs/events.md`.
mod events {
    /// A file was read.
    pub(super) const READ: &str = "publications.read";
    /// Something in a file is not taken.
    pub(super) const MISTAKE: &str = "publications.mistake";
    /// A file cannot be read at all.
    pub(super) const UNREADABLE: &str = "publications.unreadable";
    #[cfg(test)]
    pub(super) const ALL: &[&str] = &[READ, MISTAKE, UNREADABLE];
}

/// Files about what was published (docs/statistics.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StatisticsSection {
    /// The list of weaknesses that are known to be exploited, JSON.
    pub(crate) kev: Option<PathBuf>,
    /// How likely each weakness is to be exploited, CSV.
    pub(crate) epss: Option<PathBuf>,
    /// Own notes, CSV.
    pub(crate) notes: Option<PathBuf>,
}

/// What the files say.
pub(crate) struct PublicationFiles {
    clock: Arc<dyn Clock>,
    files: Mutex<Vec<KnownFile>>,
    now: RwLock<Arc<Published>>,
}

/// A file as it was read last.
struct KnownFile {
    kind: PublishedKind,
    path: PathBuf,
    /// By what it is seen that it changed: when, and its length. None while it cannot be looked at.
    seen: Option<(SystemTime, u64)>,
    contents: Contents,
    state: PublishedFileState,
}

/// What stands in a file.
#[derive(Default)]
struct Contents {
    publications: Vec<Publication>,
    epss: Option<Arc<Epss>>,
}

impl PublicationFiles {
    /// Reads the files that are configured. One that cannot be read is told, and is no reason not to start. Blocks.
    pub(crate) fn open(section: &StatisticsSection, clock: Arc<dyn Clock>) -> Arc<Self> {
        let paths = [
            (PublishedKind::Kev, &section.kev),
            (PublishedKind::Epss, &section.epss),
            (PublishedKind::Notes, &section.notes),
        ];
        let now = clock.now();
        let files = paths.into_iter().filter_map(|(kind, path)| Some(KnownFile::read(kind, path.as_ref()?, now)));
        let files: Vec<KnownFile> = files.collect();
        let published = Arc::new(published(&files));
        Arc::new(Self { clock, files: Mutex::new(files), now: RwLock::new(published) })
    }

    /// What is wrong with the files, for whoever starts the server: the first mistake of each, with its place.
    pub(crate) fn says(&self) -> Vec<String> {
        let says = |file: &PublishedFile| {
            let (first, more) = match &file.state {
                PublishedFileState::Read { problems, .. } => (told(file.kind, problems.first()?), problems.len() - 1),
                PublishedFileState::Unreadable { reason } => (reason.clone(), 0),
            };
            let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            Some(format!("  publications   {}: {first}{more}", file.path))
        };
        self.now().files.iter().filter_map(says).collect()
    }

    /// Looks again and again whether files changed, until the task is ended.
    pub(crate) fn watch(self: &Arc<Self>) -> JoinHandle<()> {
        let files = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let looked_at = files.clone();
                if let Err(error) = tokio::task::spawn_blocking(move || looked_at.look()).await {
                    tracing::error!(event = events::UNREADABLE, file = "", %error, "files about publications are read no more");
                    return;
                }
            }
        })
    }

    /// Reads what changed. Blocks.
    fn look(&self) {
        let mut files = self.files.lock();
        let mut has_changed = false;
        for file in files.iter_mut().filter(|file| file.seen != seen(&file.path)) {
            *file = KnownFile::read(file.kind, &file.path, self.clock.now());
            has_changed = true;
        }
        if has_changed {
            *self.now.write() = Arc::new(published(&files));
        }
    }
}

impl Publications for PublicationFiles {
    fn now(&self) -> Arc<Published> {
        self.now.read().clone()
    }
}

/// When a file was changed last, and its length.
fn seen(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl KnownFile {
    fn read(kind: PublishedKind, path: &Path, now: Timestamp) -> Self {
        let seen = seen(path);
        let read = contents(path, bytes_max(kind)).map(|bytes| parse(kind, &bytes));
        let file = path.display();
        let (contents, state) = match read {
            Ok((contents, problems)) => {
                let entries = contents.publications.len() + contents.epss.as_ref().map_or(0, |epss| epss.len());
                tracing::info!(event = events::READ, %file, entries, problems = problems.len(), "publications read");
                if let Some(first) = problems.first() {
                    let (mistake, count) = (told(kind, first), problems.len());
                    tracing::warn!(event = events::MISTAKE, %file, mistake, count, "a file has mistakes");
                }
                (contents, PublishedFileState::Read { at: now, entries, problems })
            }
            Err(reason) => {
                tracing::warn!(event = events::UNREADABLE, %file, error = reason, "a file cannot be read");
                (Contents::default(), PublishedFileState::Unreadable { reason })
            }
        };
        Self { kind, path: path.to_owned(), seen, contents, state }
    }
}

const fn bytes_max(kind: PublishedKind) -> usize {
    match kind {
        PublishedKind::Kev => KEV_BYTES_MAX,
        PublishedKind::Epss => EPSS_BYTES_MAX,
        PublishedKind::Notes => NOTES_BYTES_MAX,
    }
}

/// The contents of a file, at most so many bytes. Anything but a file might never end.
fn contents(path: &Path, bytes_max: usize) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > bytes_max {
        return Err(format!("it has {} bytes, at most {bytes_max} are read", metadata.len()));
    }
    Ok(bytes)
}

fn parse(kind: PublishedKind, bytes: &[u8]) -> (Contents, Vec<Problem>) {
    match kind {
        PublishedKind::Kev => {
            let (publications, problems) = read_kev(bytes);
            (Contents { publications, epss: None }, problems)
        }
        PublishedKind::Notes => {
            let (publications, problems) = read_notes(bytes);
            (Contents { publications, epss: None }, problems)
        }
        PublishedKind::Epss => {
            let (epss, problems) = read_epss(bytes);
            (Contents { publications: Vec::new(), epss: Some(Arc::new(epss)) }, problems)
        }
    }
}

/// A mistake with its place: a line of CSV, an entry of JSON.
fn told(kind: PublishedKind, problem: &Problem) -> String {
    let Problem { entry, reason } = problem;
    match (entry, kind) {
        (0, _) => reason.to_string(),
        (entry, PublishedKind::Kev) => format!("entry {entry}: {reason}"),
        (line, PublishedKind::Epss | PublishedKind::Notes) => format!("line {line}: {reason}"),
    }
}

/// What all files say, the latest first.
fn published(files: &[KnownFile]) -> Published {
    let mut publications: Vec<Publication> =
        files.iter().flat_map(|file| &file.contents.publications).cloned().collect();
    publications.sort_by(|one, other| {
        other.day.cmp(&one.day).then_with(|| (one.cve, &one.title).cmp(&(other.cve, &other.title)))
    });
    let epss = files.iter().find_map(|file| file.contents.epss.clone()).unwrap_or_default();
    let files = files.iter().map(|file| PublishedFile {
        kind: file.kind,
        path: file.path.display().to_string(),
        state: file.state.clone(),
    });
    Published { publications, epss, files: files.collect() }
}

#[cfg(test)]
mod tests {
    use komainu_ports::SystemClock;

    use super::*;

    const NOTES: &str = "date,title,cve,protocol,appliance,model,url\n2026-11-01,One,CVE-2026-1001,telnet,,,\n";

    fn files(notes: &Path) -> Arc<PublicationFiles> {
        let section = StatisticsSection { notes: Some(notes.to_owned()), ..StatisticsSection::default() };
        PublicationFiles::open(&section, Arc::new(SystemClock))
    }

    #[test]
    fn mistakes_are_told_with_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.csv");
        let check = |text: &[u8], publications: usize, says: &str| {
            std::fs::write(&path, text).unwrap();
            let files = files(&path);
            assert_eq!(files.now().publications.len(), publications);
            let said = files.says().join("\n");
            assert!(said.contains(says), "{said}");
            assert_eq!(said.is_empty(), says.is_empty(), "{said}");
        };
        check(NOTES.as_bytes(), 1, "");
        check(format!("{NOTES}tomorrow,Two,,,,,\n").as_bytes(), 1, "notes.csv: line 3: ");
        check(b"what,is,this\n", 0, "notes.csv: line 1: ");
        check(&vec![b'#'; NOTES_BYTES_MAX + 1], 0, "notes.csv: it has 4194305 bytes, at most 4194304 are read");
        assert!(files(&folder.path().join("none")).says()[0].contains("none: No such file"));
        assert!(files(folder.path()).says()[0].contains("it is no file"));
    }

    #[test]
    fn files_are_read_again_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.csv");
        let files = files(&path);
        let count = || {
            files.look();
            files.now().publications.len()
        };
        assert_eq!(count(), 0);
        std::fs::write(&path, NOTES).unwrap();
        assert_eq!(count(), 1);
        std::fs::write(&path, format!("{NOTES}2026-11-02,Two,,,,,\n")).unwrap();
        assert_eq!(count(), 2);
        let titles: Vec<String> = files.now().publications.iter().map(|one| one.title.clone()).collect();
        assert_eq!(titles, ["Two", "One"]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(count(), 0);
    }

    #[test]
    fn the_documentation_has_all_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| name.starts_with("publications."))
            .collect();
        assert_eq!(documented, events::ALL);
    }
}
