//! The store of a hub, which promises its sensors that it has what it took, and knows what is confidential.
//!
//! An artifact that nobody has brought but as something confidential has a file `SHA256.confidential` beside it. The mark
//! is there before the artifact is; it goes as soon as somebody brings the same as something open, and does not come back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use komainu_model::Confidentiality;
use komainu_ports::{
    ArtifactKept, ArtifactReadError, ArtifactRefused, ArtifactWriter, SensorArtifacts, StoredArtifact,
};
use parking_lot::Mutex;

use super::{ArtifactError, ArtifactStore, Room, Sha256Digest, Unfinished};

/// How the name of the mark ends.
pub(super) const CONFIDENTIAL: &str = ".confidential";

/// A store of artifacts as a hub has it.
#[derive(Debug)]
pub struct HubArtifacts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: ArtifactStore,
    /// Held while an artifact gets its name and its mark, which belong together.
    naming: Mutex<()>,
}

impl HubArtifacts {
    /// Keeps what sensors bring in a store.
    pub fn new(store: ArtifactStore) -> Self {
        Self(Arc::new(Shared { store, naming: Mutex::default() }))
    }
}

impl SensorArtifacts for HubArtifacts {
    fn holds(&self, sha256: &[u8; 32]) -> Option<Confidentiality> {
        let (store, sha256) = (&self.0.store, Sha256Digest(*sha256));
        store.holds(sha256).then(|| store.confidentiality(sha256))
    }

    fn begin(&self, sha256: &[u8; 32], bytes: u64) -> Result<Box<dyn ArtifactWriter>, ArtifactRefused> {
        let (store, sha256) = (&self.0.store, Sha256Digest(*sha256));
        let mut writer = Writer { shared: self.0.clone(), sha256, new: None };
        if !store.holds(sha256) {
            let room = store.take_room(sha256, bytes).ok_or(ArtifactRefused)?;
            let object = Unfinished::create(store, sha256, bytes).map_err(|error| writer.refused(&error))?;
            writer.new = Some((object, room));
        }
        Ok(Box::new(writer))
    }

    fn read(&self, sha256: &[u8; 32]) -> Result<Vec<u8>, ArtifactReadError> {
        self.0.store.read(Sha256Digest(*sha256)).map_err(|error| match error {
            ArtifactError::Missing { .. } => ArtifactReadError::Missing,
            error => ArtifactReadError::Unavailable(error.into()),
        })
    }

    fn artifacts(&self) -> Result<Vec<StoredArtifact>, ArtifactReadError> {
        let all = self.0.store.list().map_err(|error| ArtifactReadError::Unavailable(error.into()))?;
        let stored = |artifact: super::Artifact| StoredArtifact {
            sha256: artifact.sha256.0,
            bytes: artifact.bytes,
            confidentiality: artifact.confidentiality,
        };
        Ok(all.into_iter().map(stored).collect())
    }
}

struct Writer {
    shared: Arc<Shared>,
    sha256: Sha256Digest,
    /// None: the artifact is there, and nothing is written.
    new: Option<(Unfinished, Room)>,
}

impl Writer {
    fn refused(&self, error: &io::Error) -> ArtifactRefused {
        self.shared.store.note_not_stored(self.sha256, error);
        ArtifactRefused
    }

    fn keep(&mut self, confidentiality: Confidentiality) -> io::Result<()> {
        let (store, sha256) = (&self.shared.store, self.sha256);
        if let Some((object, _)) = &self.new {
            object.file.sync_all()?;
        }
        let path = store.path(sha256);
        let folder = path.parent().expect("an object lies in a folder of the store");
        let _turn = self.shared.naming.lock();
        if let Some((object, room)) = self.new.take()
            && !path.exists()
        {
            if confidentiality == Confidentiality::Confidential {
                OpenOptions::new().create(true).append(true).mode(0o600).open(store.mark(sha256))?;
                File::open(folder)?.sync_all()?;
            }
            if object.link(&path)? {
                room.keep();
            }
        }
        if confidentiality == Confidentiality::Open {
            match fs::remove_file(store.mark(sha256)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        File::open(folder)?.sync_all()?;
        File::open(&store.folder)?.sync_all()
    }
}

impl ArtifactWriter for Writer {
    fn write(&mut self, piece: &[u8]) -> Result<(), ArtifactRefused> {
        let Some((object, _)) = &mut self.new else { return Ok(()) };
        object.write(piece).map_err(|error| self.refused(&error))
    }

    fn finish(mut self: Box<Self>, confidentiality: Confidentiality) -> ArtifactKept {
        match self.keep(confidentiality) {
            Ok(()) => ArtifactKept::Yes,
            Err(error) => {
                let ArtifactRefused = self.refused(&error);
                ArtifactKept::No
            }
        }
    }
}

impl ArtifactStore {
    /// Who may see an artifact of the store.
    pub(super) fn confidentiality(&self, sha256: Sha256Digest) -> Confidentiality {
        if self.mark(sha256).exists() { Confidentiality::Confidential } else { Confidentiality::Open }
    }

    fn mark(&self, sha256: Sha256Digest) -> PathBuf {
        self.path(sha256).with_file_name(format!("{sha256}{CONFIDENTIAL}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::artifact::ArtifactLimits;

    fn open(folder: &Path, limits: ArtifactLimits) -> HubArtifacts {
        HubArtifacts::new(ArtifactStore::open(folder, &[7; 32], limits).unwrap())
    }

    fn keep(
        hub: &HubArtifacts,
        contents: &[u8],
        confidentiality: Confidentiality,
    ) -> Result<ArtifactKept, ArtifactRefused> {
        let sha256 = Sha256Digest::of(contents);
        let mut writer = hub.begin(&sha256.0, contents.len() as u64)?;
        // Pieces as a network cuts them.
        for piece in contents.chunks(1_000) {
            writer.write(piece)?;
        }
        Ok(writer.finish(confidentiality))
    }

    fn files(folder: &Path) -> usize {
        let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        folders.map(|folder| fs::read_dir(folder).unwrap().count()).sum()
    }

    const OPEN: Confidentiality = Confidentiality::Open;
    const CONFIDENTIAL: Confidentiality = Confidentiality::Confidential;

    #[test]
    fn a_hub_keeps_artifacts() {
        let folders = std::cell::RefCell::new(Vec::new());
        komainu_ports::conformance_artifacts::check_sensor_artifacts(&|| {
            let folder = tempfile::tempdir().unwrap();
            let hub = open(folder.path(), ArtifactLimits::default());
            folders.borrow_mut().push(folder);
            Box::new(hub)
        });
    }

    #[test]
    fn artifacts_come_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let hub = open(folder.path(), ArtifactLimits::default());
        for bytes in [0, 1, 65_535, 65_536, 65_537, 200_001] {
            let contents: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
            let sha256 = Sha256Digest::of(&contents);
            assert_eq!(hub.holds(&sha256.0), None);
            for _ in 0..2 {
                assert_eq!(keep(&hub, &contents, OPEN), Ok(ArtifactKept::Yes));
            }
            assert_eq!(hub.holds(&sha256.0), Some(OPEN));
            assert_eq!(hub.0.store.read(sha256).unwrap(), contents);
        }
        assert_eq!(files(folder.path()), 6);
    }

    #[test]
    fn what_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let limits = ArtifactLimits { artifacts_max: 1, ..ArtifactLimits::default() };
        let hub = open(folder.path(), limits);
        let sha256 = Sha256Digest::of(&[5; 100_000]);
        let mut writer = hub.begin(&sha256.0, 100_000).unwrap();
        writer.write(&[5; 99_999]).unwrap();
        assert_eq!(hub.begin(&[0; 32], 1).err(), Some(ArtifactRefused), "its room is taken");
        drop(writer);
        assert_eq!(files(folder.path()), 0);
        let mut writer = hub.begin(&sha256.0, 100_000).unwrap();
        writer.write(&[5; 99_999]).unwrap();
        assert_eq!(writer.finish(OPEN), ArtifactKept::No, "a byte is missing");
        let mut writer = hub.begin(&sha256.0, 100_000).unwrap();
        assert_eq!(writer.write(&[5; 100_001]), Err(ArtifactRefused));
        drop(writer);
        assert_eq!((files(folder.path()), hub.holds(&sha256.0)), (0, None));
        assert_eq!(keep(&hub, &[5; 100_000], OPEN), Ok(ArtifactKept::Yes), "its room is free again");
    }

    #[test]
    fn what_is_seen_elsewhere_is_no_secret() {
        let check = |brought: &[Confidentiality], expected| {
            let folder = tempfile::tempdir().unwrap();
            let hub = open(folder.path(), ArtifactLimits::default());
            for confidentiality in brought {
                assert_eq!(keep(&hub, b"abc", *confidentiality), Ok(ArtifactKept::Yes));
            }
            let sha256 = Sha256Digest::of(b"abc");
            assert_eq!(hub.holds(&sha256.0), Some(expected), "{brought:?}");
            drop(hub);
            let hub = open(folder.path(), ArtifactLimits::default());
            assert_eq!(hub.holds(&sha256.0), Some(expected), "{brought:?}, opened again");
            assert_eq!(hub.0.store.list().unwrap()[0].confidentiality, expected);
        };
        check(&[OPEN], OPEN);
        check(&[CONFIDENTIAL], CONFIDENTIAL);
        check(&[CONFIDENTIAL, CONFIDENTIAL], CONFIDENTIAL);
        check(&[CONFIDENTIAL, OPEN], OPEN);
        check(&[OPEN, CONFIDENTIAL], OPEN);
        check(&[CONFIDENTIAL, OPEN, CONFIDENTIAL], OPEN);
    }

    /// As it is when the process dies between the mark and the artifact.
    #[test]
    fn a_mark_alone_goes() {
        let folder = tempfile::tempdir().unwrap();
        let hub = open(folder.path(), ArtifactLimits::default());
        keep(&hub, b"abc", CONFIDENTIAL).unwrap();
        let sha256 = Sha256Digest::of(b"abc");
        fs::remove_file(hub.0.store.path(sha256)).unwrap();
        drop(hub);
        let hub = open(folder.path(), ArtifactLimits::default());
        assert_eq!(files(folder.path()), 0);
        keep(&hub, b"abc", OPEN).unwrap();
        assert_eq!(hub.holds(&sha256.0), Some(OPEN));
    }
}
