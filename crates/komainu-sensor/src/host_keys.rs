//! The secret keys by which a device is known again, such as those of SSH and TLS: made once, kept in files.
//!
//! A real device shows the same key after it was switched off, and scanners compare. What a key is made of, and for
//! which protocol, is the matter of whoever asks: here it is bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Bytes of a key's file. A key of RSA with its certificate has less than 8 KiB; a larger file is something else.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where the keys of a sensor's personas are.
#[derive(Debug)]
pub(crate) struct HostKeys {
    /// None: they last as long as the process.
    folder: Option<PathBuf>,
    known: Mutex<BTreeMap<String, Vec<u8>>>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the key {}", path.display())]
pub struct HostKeyError {
    /// The file, or the name that it would have.
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl HostKeys {
    /// Keys in a folder, which is made when a key is; without one, they are in memory.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, known: Mutex::default() }
    }

    /// The key that `persona` has for `purpose`, a word such as `ssh_ed25519`. When there is none yet, it is what
    /// `make` makes; a failure of that is told with the key's name.
    pub(crate) fn read_or_make(
        &self,
        persona: &str,
        purpose: &str,
        make: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> Result<Vec<u8>, HostKeyError> {
        let name = file_name(persona, purpose);
        // Held while a key is made: two services of a persona that share one must not make two.
        let mut known = self.known.lock();
        if let Some(key) = known.get(&name) {
            return Ok(key.clone());
        }
        let path = self.folder.as_ref().map_or_else(|| PathBuf::from(&name), |folder| folder.join(&name));
        let key = match &self.folder {
            None => make(),
            Some(folder) => read(&path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => make().and_then(|key| write(folder, &path, &key).map(|()| key)),
                _ => Err(error),
            }),
        };
        let key = key.map_err(|source| HostKeyError { path, source })?;
        known.insert(name, key.clone());
        Ok(key)
    }

    /// Says that a key cannot be used, because what its file has is none.
    pub(crate) fn damaged(
        &self,
        persona: &str,
        purpose: &str,
        why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> HostKeyError {
        let name = file_name(persona, purpose);
        let path = self.folder.as_ref().map_or_else(|| PathBuf::from(&name), |folder| folder.join(&name));
        HostKeyError { path, source: io::Error::new(io::ErrorKind::InvalidData, why) }
    }
}

/// The name of a key's file. The name of a persona may have anything in it.
fn file_name(persona: &str, purpose: &str) -> String {
    let mut name = String::new();
    for byte in persona.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            write!(name, "%{byte:02x}").expect("a string takes everything");
        }
    }
    name + "." + purpose + ".key"
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut key)?;
    if key.len() as u64 > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(key)
}

/// Writes a file for its owner only. It is there whole or not at all, whenever the machine is switched off.
fn write(folder: &Path, path: &Path, key: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let unfinished = path.with_extension("new");
    // What a process that was killed left there has never been shown to anybody.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished)?;
    file.write_all(key)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn unneeded() -> io::Result<Vec<u8>> {
        panic!("the key is there")
    }

    #[test]
    fn a_key_is_the_same_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let keys = || HostKeys::new(Some(folder.path().join("keys")));
        assert_eq!(keys().read_or_make("camera", "tls", || Ok(b"one".to_vec())).unwrap(), b"one");
        assert_eq!(keys().read_or_make("camera", "tls", unneeded).unwrap(), b"one");
        assert_eq!(keys().read_or_make("camera", "ssh", || Ok(b"two".to_vec())).unwrap(), b"two");
        let mut names: Vec<_> =
            fs::read_dir(folder.path().join("keys")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["camera.ssh.key", "camera.tls.key"]);
        let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("keys"), mode("keys/camera.tls.key")), (0o700, 0o600));
    }

    #[test]
    fn without_a_folder_keys_are_in_memory() {
        let keys = HostKeys::new(None);
        assert_eq!(keys.read_or_make("camera", "tls", || Ok(b"one".to_vec())).unwrap(), b"one");
        assert_eq!(keys.read_or_make("camera", "tls", unneeded).unwrap(), b"one");
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        assert_eq!(file_name("../../etc/x", "tls"), "%2e%2e%2f%2e%2e%2fetc%2fx.tls.key");
    }

    #[test]
    fn what_went_wrong_is_told_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("camera.tls.key"), vec![0; FILE_BYTES_MAX as usize + 1]).unwrap();
        let keys = HostKeys::new(Some(folder.path().to_owned()));
        let check = |error: HostKeyError| assert!(error.to_string().ends_with("camera.tls.key"), "{error}");
        check(keys.read_or_make("camera", "tls", unneeded).unwrap_err());
        check(keys.damaged("camera", "tls", "no key"));
        let failed = HostKeys::new(None).read_or_make("camera", "tls", || Err(io::ErrorKind::Other.into()));
        check(failed.unwrap_err());
    }
}
