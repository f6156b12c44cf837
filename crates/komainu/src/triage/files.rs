//! Which files are looked at.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Files of one run: their names stay in memory, some 100 bytes each.
const FILES_MAX: usize = 1_000_000;

/// Folders inside each other.
const FOLDERS_DEEP_MAX: usize = 64;

/// The files that are named, and those of the folders that are named, in the order of their names.
pub(super) fn list(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).with_context(|| super::cannot("read", path))?;
        if metadata.is_dir() {
            add_folder(&mut files, path, 0)?;
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn add_folder(files: &mut Vec<PathBuf>, folder: &Path, depth: usize) -> anyhow::Result<()> {
    if depth >= FOLDERS_DEEP_MAX {
        bail!("folders are more than {FOLDERS_DEEP_MAX} deep: {}", folder.display());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| super::cannot("list", folder))? {
        let entry = entry.with_context(|| super::cannot("list", folder))?;
        let kind = entry.file_type().with_context(|| super::cannot("read", &entry.path()))?;
        entries.push((entry.path(), kind));
        if entries.len() + files.len() > FILES_MAX {
            bail!("more than {FILES_MAX} files");
        }
    }
    entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    for (path, kind) in entries {
        if kind.is_dir() {
            add_folder(files, &path, depth + 1)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}
