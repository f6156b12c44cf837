//! The file system of a jail: what was named, and three devices.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::problem::{Problem, problem};

/// Where the new root is put first; each Linux has this folder (FHS 3.0, 3.18).
const FIRST_PLACE: &str = "/tmp";

/// The first thing that is done, which fails where namespaces of users have no rights.
pub(crate) const FIRST_STEP: &str = "keeping mounts apart";

/// Where the files outside are while the jail is built.
const OUTSIDE: &str = "/outside";

/// Where the kernel tells of processes.
const PROCESSES: &str = "/proc";

/// The folder that the program may write to.
const SCRATCH: &str = "/scratch";

/// What a program may need of devices. None of them reaches anything.
const DEVICES: [&str; 3] = ["/dev/null", "/dev/urandom", "/dev/zero"];

/// Bytes and files of the root itself: it holds folders and places for what is visible, no contents.
const ROOT_OPTIONS: &str = "size=1m,nr_inodes=4096,mode=0755";

/// Files in the scratch folder: each takes about a KiB of the kernel's memory, which the folder's size does not count.
const SCRATCH_FILES_MAX: u32 = 1_024;

/// Folders of the kernel's, or with devices or sockets of others: nothing below them can be made visible.
const NEVER_VISIBLE: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/var/run"];

/// Says why a path cannot be made visible in a jail; nothing if it can.
pub(crate) fn check_visible(path: &Path) -> Result<(), &'static str> {
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !is_plain || path == Path::new("/") {
        return Err("it must be an absolute path, without `..`, of something below the root");
    }
    let lies_in = |path: &Path| NEVER_VISIBLE.iter().any(|folder| path.starts_with(folder));
    let Ok(real) = fs::canonicalize(path) else { return Err("it is not there, or may not be read") };
    if lies_in(path) || lies_in(&real) || real == Path::new("/") {
        return Err("it lies in a folder of the kernel's or with sockets of others");
    }
    match fs::metadata(&real) {
        Ok(found) if found.is_file() || found.is_dir() => Ok(()),
        Ok(_) => Err("it is neither a file nor a folder"),
        Err(_) => Err("it may not be read"),
    }
}

/// Makes what a jail shows reachable, for a process that is root's and about to become a user without rights: the folders
/// above it may be closed to that user, as `/root` is. The files themselves must be readable to it, as ever. The mount
/// namespace must be this process's own.
///
/// What comes of it is not the jail, only what the jail is made of: it has the processes of the machine, too.
pub(crate) fn lay_open(visible: &[PathBuf]) -> Result<(), Problem> {
    make_root(visible)?;
    let doing = || "laying open what a jail shows";
    make_folder(Path::new(FIRST_PLACE)).map_err(problem(doing()))?;
    make_folder(Path::new(PROCESSES)).map_err(problem(doing()))?;
    let outside = Path::new(OUTSIDE).join(PROCESSES.trim_start_matches('/'));
    mount(Some(&outside), PROCESSES, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(problem(doing()))?;
    leave_outside()
}

/// Makes a new root of `visible` and nothing else for this process and all of its mount namespace, which must be its own.
/// Afterwards nothing can be written but below [`SCRATCH`], and that only if it is to have any bytes.
pub(crate) fn enter(visible: &[PathBuf], scratch_bytes_max: u64) -> Result<(), Problem> {
    make_root(visible)?;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    if scratch_bytes_max > 0 {
        let options = format!("size={scratch_bytes_max},nr_inodes={SCRATCH_FILES_MAX},mode=0700");
        make_folder(Path::new(SCRATCH)).map_err(problem("making the scratch folder"))?;
        mount(Some("scratch"), SCRATCH, Some("tmpfs"), plain | MsFlags::MS_NOEXEC, Some(options.as_str()))
            .map_err(problem("making the scratch folder"))?;
    }
    leave_outside()?;
    let sealed = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | plain;
    mount(None::<&str>, "/", None::<&str>, sealed, Some(ROOT_OPTIONS)).map_err(problem("sealing the root"))
}

/// Makes a root of three devices and `visible`, and enters it. The files outside are at [`OUTSIDE`] from then on.
fn make_root(visible: &[PathBuf]) -> Result<(), Problem> {
    // What is mounted or unmounted here must not be so outside.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(problem(FIRST_STEP))?;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("root"), FIRST_PLACE, Some("tmpfs"), plain, Some(ROOT_OPTIONS)).map_err(problem("making the root"))?;
    fs::create_dir(Path::new(FIRST_PLACE).join("outside")).map_err(problem("making the root"))?;
    nix::unistd::chdir(FIRST_PLACE).map_err(problem("entering the root"))?;
    nix::unistd::pivot_root(".", "outside").map_err(problem("entering the root"))?;
    nix::unistd::chdir("/").map_err(problem("entering the root"))?;
    for device in DEVICES {
        // Opened without the right to devices, they would be dead files.
        show(Path::new(device), MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC)?;
    }
    // In order, so that a folder comes before what lies in it.
    visible.iter().collect::<BTreeSet<_>>().into_iter().try_for_each(|path| show(path, plain))
}

/// The files outside are no longer there.
fn leave_outside() -> Result<(), Problem> {
    umount2(OUTSIDE, MntFlags::MNT_DETACH).map_err(problem("leaving the files outside"))?;
    fs::remove_dir(OUTSIDE).map_err(problem("leaving the files outside"))
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Makes a path visible, read-only.
fn show(path: &Path, flags: MsFlags) -> Result<(), Problem> {
    let doing = || format!("making {} visible", path.display());
    if path.exists() {
        // In a folder that is visible already.
        return Ok(());
    }
    let outside = Path::new(OUTSIDE).join(path.strip_prefix("/").unwrap_or(path));
    // A link is followed in the root where it was made, not in this one.
    let outside = resolved(&outside).map_err(problem(doing()))?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    make_folder(parent).map_err(problem(doing()))?;
    if fs::metadata(&outside).map_err(problem(doing()))?.is_dir() {
        make_folder(path).map_err(problem(doing()))?;
    } else {
        File::create(path).map_err(problem(doing()))?;
    }
    mount(Some(&outside), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(problem(doing()))?;
    // Flags that it has outside cannot be taken away here, and must be said again (mount_namespaces(7), "locked").
    let outer = statvfs(path).map_err(problem(doing()))?.flags();
    let kept = [
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
    ];
    let kept = kept.into_iter().filter(|(outer_flag, _)| outer.contains(*outer_flag)).map(|(_, flag)| flag);
    let sealed = kept.fold(flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, |all, one| all | one);
    mount(None::<&str>, path, None::<&str>, sealed, None::<&str>).map_err(problem(doing()))
}

/// Links in a path below [`OUTSIDE`] lead to where they lead outside.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    /// As Linux has it (path_resolution(7)).
    const LINKS_MAX: usize = 40;
    let mut links = 0;
    let mut rest: Vec<_> = path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
    let mut done = PathBuf::new();
    while let Some(part) = rest.pop() {
        if part == ".." {
            if done != Path::new(OUTSIDE) {
                done.pop();
            }
            continue;
        }
        done.push(&part);
        if !fs::symlink_metadata(&done)?.is_symlink() {
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let target = fs::read_link(&done)?;
        done.pop();
        if target.is_absolute() {
            done = PathBuf::from(OUTSIDE);
        }
        let parts = target.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
        rest.extend(parts.rev().map(|part| part.as_os_str().to_owned()));
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folders_of_the_kernel_are_never_visible() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/proc/1", &link).unwrap();
        let check = |path: &Path, is_ok| assert_eq!(check_visible(path).is_ok(), is_ok, "{}", path.display());
        check(folder.path(), true);
        check(&std::env::current_exe().unwrap(), true);
        check(&link, false);
        for path in
            ["/", "relative", "/proc", "/proc/self/exe", "/sys", "/dev/null", "/run", "/etc/../proc", "/not/there"]
        {
            check(Path::new(path), false);
        }
    }
}
