//! Small secret files: whole or not there, readable by their owner only.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::OpenAuthorityError;

/// A key or a certificate has a few kilobytes; what is larger is not one of ours.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A folder that only its owner can look into.
pub(super) struct SecretFolder {
    dir: PathBuf,
}

impl SecretFolder {
    /// Opens the folder, and makes it when it is not there.
    pub(super) fn open(dir: &Path) -> Result<Self, OpenAuthorityError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error("create folder", dir))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The text of a file, when it is there.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, OpenAuthorityError> {
        let path = self.dir.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(io_error("read", &path))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(self.damaged(name, format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        Ok(Some(text))
    }

    /// Writes a file so that after a crash it is there whole or not at all.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), OpenAuthorityError> {
        let (path, temporary) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error("remove", &temporary)(error)),
            // What a start that was killed left behind.
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(io_error("create", &temporary))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error("write", &temporary))?;
        fs::rename(&temporary, &path).map_err(io_error("rename to", &path))?;
        // The name is durable only with its folder.
        File::open(&self.dir).and_then(|folder| folder.sync_all()).map_err(io_error("sync folder", &self.dir))
    }

    /// The error for a file that is not what it should be.
    pub(super) fn damaged(&self, name: &str, reason: impl Display) -> OpenAuthorityError {
        OpenAuthorityError::Damaged { path: self.dir.join(name), reason: reason.to_string() }
    }
}

/// PEM with lines of 64 characters (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenAuthorityError {
    let path = path.to_owned();
    move |source| OpenAuthorityError::Io { doing, path, source }
}
