//! A file that makes room for a new one when it is full.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// When a log's file is full, and how many full ones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The size in bytes beyond which nothing is added to a file. A single write is never divided.
    pub bytes_max: u64,
    /// Full files that are kept: `NAME.1` is the youngest. An older one is removed.
    pub files_max: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        // Two logs with nine files each: at most about 1.1 GiB, a day of a busy sensor.
        Self { bytes_max: 64 * 1024 * 1024, files_max: 8 }
    }
}

#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    /// Bytes that are whole.
    bytes: u64,
}

impl RotatingFile {
    pub(super) fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let file = open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), rotation, file, bytes })
    }

    fn turn_over(&mut self) -> io::Result<()> {
        if self.rotation.files_max == 0 {
            fs::remove_file(&self.path)?;
        }
        for number in (1..=self.rotation.files_max).rev() {
            let from = if number == 1 { self.path.clone() } else { self.numbered(number - 1) };
            match fs::rename(from, self.numbered(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        self.file = open(&self.path)?;
        self.bytes = self.file.metadata()?.len();
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }
}

impl Write for RotatingFile {
    /// Writes all of it, or nothing: the rest of a line would be glued to the next one.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.bytes > 0 && self.bytes.saturating_add(lines.len() as u64) > self.rotation.bytes_max {
            self.turn_over()?;
        }
        if let Err(error) = self.file.write_all(lines) {
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += lines.len() as u64;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log tells who was attacked and how: it is for its owner.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_turns_over_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let rotation = Rotation { bytes_max: 10, files_max: 2 };
        for lines in ["one-----\n", "two-----\n", "three---\n", "four----\n"] {
            // Opened anew each time: a restart makes no difference.
            RotatingFile::open(&path, rotation).unwrap().write_all(lines.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
        assert_eq!(read("a.json").as_deref(), Some("four----\n"));
        assert_eq!(read("a.json.1").as_deref(), Some("three---\n"));
        assert_eq!(read("a.json.2").as_deref(), Some("two-----\n"));
        assert_eq!(read("a.json.3"), None);
    }
}
