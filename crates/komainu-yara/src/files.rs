//! Files of rules, and folders of them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::limits::{FOLDERS_DEEP_MAX, RULE_BYTES_MAX, RULE_FILES_MAX};

/// How the files in a folder end that are taken.
const ENDINGS: [&str; 2] = ["yar", "yara"];

/// A file of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Its path, as it is shown.
    pub name: String,
    /// What its rules' namespace is called: the name of the file without its ending, and a number behind it when several
    /// have that name.
    pub namespace: String,
    /// What is in it.
    pub text: Vec<u8>,
}

/// Files of rules in the order in which they are compiled, at most 10,000 with 32 MiB together, each with a namespace of
/// its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleFiles {
    files: Vec<RuleFile>,
    bytes: usize,
    namespaces: HashSet<String>,
}

/// Why files of rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleFilesError {
    /// One cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// They are too many.
    #[error("{} is one file of YARA rules too many: {RULE_FILES_MAX} are taken", path.display())]
    TooMany {
        /// The first one too many.
        path: PathBuf,
    },
    /// They are too large.
    #[error("with {} the YARA rules have more than {RULE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The first one too large.
        path: PathBuf,
    },
}

impl RuleFiles {
    /// Reads files, and from folders those whose names end in `.yar` or `.yara`, at any depth, in the order of their names.
    pub fn read(paths: &[PathBuf]) -> Result<Self, RuleFilesError> {
        let mut files = Self::default();
        for path in paths {
            files.add_path(path, 0)?;
        }
        Ok(files)
    }

    /// The files.
    pub fn files(&self) -> &[RuleFile] {
        &self.files
    }

    fn add_path(&mut self, path: &Path, depth: usize) -> Result<(), RuleFilesError> {
        let failed = |source| RuleFilesError::Io { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_dir() {
            let room = RULE_BYTES_MAX - self.bytes;
            if usize::try_from(metadata.len()).map_or(true, |bytes| bytes > room) {
                return Err(RuleFilesError::TooLarge { path: path.to_owned() });
            }
            return self.add(path, fs::read(path).map_err(failed)?);
        }
        if depth >= FOLDERS_DEEP_MAX {
            return Err(failed(io::Error::other("folders are too deep")));
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            entries.push(entry.map_err(failed)?.path());
            if entries.len() > RULE_FILES_MAX * 4 {
                return Err(RuleFilesError::TooMany { path: path.to_owned() });
            }
        }
        entries.sort_unstable();
        for entry in entries {
            let is_rules = entry.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
            if is_rules || entry.is_dir() {
                self.add_path(&entry, depth + 1)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, text: Vec<u8>) -> Result<(), RuleFilesError> {
        if self.files.len() >= RULE_FILES_MAX {
            return Err(RuleFilesError::TooMany { path: path.to_owned() });
        }
        // It may have grown since it was asked for its size.
        self.bytes += text.len();
        if self.bytes > RULE_BYTES_MAX {
            return Err(RuleFilesError::TooLarge { path: path.to_owned() });
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut namespace = stem.clone();
        let mut number = 2;
        while namespace == crate::BUILT_IN_NAMESPACE || !self.namespaces.insert(namespace.clone()) {
            namespace = format!("{stem}-{number}");
            number += 1;
        }
        self.files.push(RuleFile { name: path.display().to_string(), namespace, text });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/deep")).unwrap();
        for name in ["c.yar", "a.yara", "b/deep/a.yar", "b/notes.txt", "komainu.yar"] {
            fs::write(at(name), name).unwrap();
        }
        let read = RuleFiles::read(&[folder.path().to_owned(), at("b/notes.txt")]).unwrap();
        let seen: Vec<_> = read
            .files()
            .iter()
            .map(|file| {
                (Path::new(&file.name).strip_prefix(folder.path()).unwrap().to_str().unwrap(), &*file.namespace)
            })
            .collect();
        let expected = [
            ("a.yara", "a"),
            ("b/deep/a.yar", "a-2"),
            ("c.yar", "c"),
            ("komainu.yar", "komainu-2"),
            ("b/notes.txt", "notes"),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn bounds_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.yar");
        fs::write(&large, vec![b' '; RULE_BYTES_MAX]).unwrap();
        assert_eq!(RuleFiles::read(std::slice::from_ref(&large)).unwrap().files().len(), 1);
        let both = RuleFiles::read(&[large.clone(), folder.path().to_owned()]);
        assert!(matches!(both, Err(RuleFilesError::TooLarge { .. })));
        let missing = RuleFiles::read(&[folder.path().join("missing.yar")]);
        assert!(matches!(missing, Err(RuleFilesError::Io { .. })));
        std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).unwrap();
        fs::write(&large, "").unwrap();
        assert!(matches!(RuleFiles::read(&[folder.path().to_owned()]), Err(RuleFilesError::Io { .. })));
    }
}
