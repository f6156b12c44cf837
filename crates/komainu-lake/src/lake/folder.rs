//! The lake's folder: `TABLE/month=YYYY-MM/NUMBER.parquet`, so that other programs find the months by the names of folders.
//!
//! What another program sees is whole at any moment: a file is renamed into its month when it is finished, and when files are
//! replaced by one, the folder of the month is exchanged for another at once. What is not finished lies in `new`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use komainu_ports::{LakeError, LakeTable};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use crate::catalog::KnownPart;
use crate::part::PartName;

/// Where files are that are not finished.
const NEW: &str = "new";

/// Makes the folder and takes it for this process.
pub(super) fn prepare(folder: &Path) -> Result<File, LakeError> {
    let doing = "opening the folder";
    make(&folder.join(NEW)).map_err(failed(doing))?;
    for table in LakeTable::ALL {
        make(&folder.join(table.as_str())).map_err(failed(doing))?;
    }
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(folder.join("lock"))
        .map_err(failed(doing))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let source = format!("another process has {} open", folder.display());
            Err(LakeError::Unavailable { doing, source: source.into() })
        }
        Err(error) => Err(failed(doing)(error.into())),
    }
}

/// Where a part is.
pub(super) fn path_of(folder: &Path, name: &PartName) -> PathBuf {
    folder.join(name.to_string())
}

/// Where a part is that the catalog knows: in its month, or on the way to it when that could not be gone to its end.
pub(super) fn find(folder: &Path, name: &PartName) -> PathBuf {
    let places =
        [path_of(folder, name), new_path_of(folder, name), exchange_folder(folder, name).join(file_name(name.number))];
    places.iter().find(|path| path.exists()).unwrap_or(&places[0]).clone()
}

/// Where a part is while it is written.
pub(super) fn new_path_of(folder: &Path, name: &PartName) -> PathBuf {
    folder.join(NEW).join(file_name(name.number))
}

fn file_name(number: i64) -> String {
    format!("{number}.parquet")
}

/// Where the files of a month are put together that will be exchanged for those that are there.
fn exchange_folder(folder: &Path, name: &PartName) -> PathBuf {
    folder.join(NEW).join(format!("{}-{}", name.table.as_str(), name.number))
}

fn month_folder(folder: &Path, name: &PartName) -> PathBuf {
    let mut path = path_of(folder, name);
    path.pop();
    path
}

/// Puts a part that the catalog knows to where others see it.
pub(super) fn place(folder: &Path, name: &PartName) -> Result<(), LakeError> {
    let doing = "placing a part";
    let month = month_folder(folder, name);
    make(&month).map_err(failed(doing))?;
    fs::rename(new_path_of(folder, name), path_of(folder, name)).map_err(failed(doing))?;
    sync(&month).map_err(failed(doing))
}

/// Puts a part, if there is one, to where others see it, and takes those away that are in it now. Others see either those or
/// this.
pub(super) fn replace(folder: &Path, name: &PartName, placed: bool, gone: &[i64]) -> Result<(), LakeError> {
    let doing = "placing a part";
    let month = month_folder(folder, name);
    let other = exchange_folder(folder, name);
    let exchange = || {
        make(&month)?;
        make(&other)?;
        for entry in fs::read_dir(&month)? {
            let entry = entry?;
            if !gone.iter().any(|number| entry.file_name() == OsStr::new(&file_name(*number))) {
                fs::hard_link(entry.path(), other.join(entry.file_name()))?;
            }
        }
        if placed {
            fs::rename(new_path_of(folder, name), other.join(file_name(name.number)))?;
        }
        sync(&other)?;
        renameat_with(CWD, &month, CWD, &other, RenameFlags::EXCHANGE)?;
        month.parent().map_or(Ok(()), sync)?;
        fs::remove_dir_all(&other)
    };
    exchange().map_err(failed(doing))
}

/// Makes the folder what the catalog says: finishes or removes what a process that was killed did not finish.
pub(super) fn mend(folder: &Path, parts: &[KnownPart]) -> Result<(), LakeError> {
    let doing = "looking through the folder";
    settle(folder, parts)?;
    for entry in fs::read_dir(folder.join(NEW)).map_err(failed(doing))? {
        let path = entry.map_err(failed(doing))?.path();
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.map_err(failed(doing))?;
    }
    Ok(())
}

/// Puts the parts that the catalog knows to where others see them, and takes those away that it does not know.
pub(super) fn settle(folder: &Path, parts: &[KnownPart]) -> Result<(), LakeError> {
    settle_folder(folder, parts).map_err(failed("looking through the folder"))
}

fn settle_folder(folder: &Path, parts: &[KnownPart]) -> io::Result<()> {
    // Files that were to be placed, alone or with the rest of their month.
    let mut unplaced: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(folder.join(NEW))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            for inner in fs::read_dir(entry.path())? {
                let inner = inner?;
                unplaced.insert(inner.file_name(), inner.path());
            }
        } else {
            unplaced.insert(entry.file_name(), entry.path());
        }
    }
    for part in parts {
        let path = path_of(folder, &part.name);
        if let (false, Some(from)) = (path.exists(), unplaced.get(OsStr::new(&file_name(part.name.number)))) {
            let month = month_folder(folder, &part.name);
            make(&month)?;
            fs::rename(from, &path)?;
            sync(&month)?;
        }
    }
    let known: BTreeSet<PathBuf> = parts.iter().map(|part| path_of(folder, &part.name)).collect();
    for table in LakeTable::ALL {
        for month in fs::read_dir(folder.join(table.as_str()))? {
            let month = month?;
            if !month.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(month.path())? {
                let path = file?.path();
                // Somebody's own file is not ours to remove.
                let is_ours = path.extension() == Some(OsStr::new("parquet"))
                    && path.file_stem().is_some_and(|stem| stem.to_string_lossy().parse::<i64>().is_ok());
                if is_ours && !known.contains(&path) {
                    fs::remove_file(path)?;
                }
            }
        }
    }
    Ok(())
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> LakeError {
    move |source| LakeError::Unavailable { doing, source: source.into() }
}
