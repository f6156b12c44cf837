//! Root file systems: what `guest/root` holds, BusyBox, the loaders and libraries of glibc and musl, our library for
//! NVRAM, and the agent as `/init`; in one archive.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, anyhow, bail, ensure};

use super::cpio::{Node, Tree};
use super::sources::{Source, Sources};
use super::work::{self, Effort};
use super::{Abi, Isa, Work, kernel};
use crate::programs::run_to_end;
use crate::workspace;

/// Folders that a device has and that are empty at first.
const FOLDERS: [(&str, u32); 16] = [
    ("dev", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr/lib", 0o755),
    ("var/cache", 0o755),
    ("var/lib/misc", 0o755),
    ("var/log", 0o755),
    ("var/run", 0o755),
    ("var/spool/cron/crontabs", 0o755),
    ("var/tmp", 0o1777),
];

/// Devices that a program may want before the kernel's own `/dev` is mounted.
const DEVICES: [(&str, u32, u32, u32); 5] = [
    ("dev/console", 0o600, 5, 1),
    ("dev/null", 0o666, 1, 3),
    ("dev/random", 0o666, 1, 8),
    ("dev/tty", 0o666, 5, 0),
    ("dev/urandom", 0o666, 1, 9),
];

/// glibc's libraries that programs in C name.
const GLIBC_LIBRARIES: [&str; 10] = [
    "libc.so.6",
    "libcrypt.so.1",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libnsl.so.1",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
];

/// Libraries of glibc's that Debian packs apart from it and that may be missing.
const GLIBC_LIBRARIES_OPTIONAL: [&str; 1] = ["libcrypt.so.1"];

/// The names of uClibc's loader and of its libraries that musl's loader does not know to be itself.
const UCLIBC_NAMES: [&str; 7] = [
    "ld-uClibc.so.0",
    "ld-uClibc.so.1",
    "ld64-uClibc.so.0",
    "ld64-uClibc.so.1",
    "libcrypt.so.0",
    "libnsl.so.0",
    "libresolv.so.0",
];

/// Held by the thread that builds musl.
static MUSL: Mutex<()> = Mutex::new(());

/// How our programs for guests are compiled.
const C_FLAGS: [&str; 5] = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-s"];

pub(crate) struct Root {
    pub(crate) archive: PathBuf,
    pub(crate) effort: Effort,
}

pub(crate) fn build(work: &Work, sources: &Sources, isa: &Isa) -> anyhow::Result<Root> {
    let parent = work.folder(isa.name)?;
    let mut effort = busybox(work, &sources.busybox, isa)?;
    for abi in isa.abis.iter().filter(|abi| !abi.musl_loaders.is_empty()) {
        effort = effort + musl(work, &sources.musl, abi)?;
    }
    let mut tree = Tree::default();
    for (path, mode) in FOLDERS {
        tree.put(path, Node::Folder { mode });
    }
    for (path, mode, major, minor) in DEVICES {
        tree.put(path, Node::CharacterDevice { mode, major, minor });
    }
    add_folder(&mut tree, &workspace::root().join("guest/root"), "")?;
    add_busybox(&mut tree, &parent.join("busybox"))?;
    for abi in isa.abis {
        add_glibc(&mut tree, &parent, isa, abi)?;
        add_musl(&mut tree, work, abi)?;
        add_nvram(&mut tree, &parent, isa, abi)?;
    }
    add_agent(&mut tree, &parent, isa)?;
    let plain = parent.join("root.cpio");
    fs::write(&plain, tree.archive()?).with_context(|| format!("cannot write {}", plain.display()))?;
    // Without a name and a time in it, the same tree gives the same file.
    let mut compress = Command::new("gzip");
    compress.args(["--best", "--no-name", "--keep", "--force"]).arg(&plain);
    effort = effort + work::run(&compress, &parent.join("root.log"))?;
    Ok(Root { archive: parent.join("root.cpio.gz"), effort })
}

/// BusyBox with all of its libraries inside, so that it runs whatever a sample does to `/lib`.
fn busybox(work: &Work, source: &Source, isa: &Isa) -> anyhow::Result<Effort> {
    let parent = work.folder(isa.name)?;
    let folder = work.folder(&format!("{}/busybox", isa.name))?;
    let log = parent.join("busybox.log");
    let options_path = workspace::root().join("guest/busybox.config");
    let options =
        fs::read_to_string(&options_path).with_context(|| format!("cannot read {}", options_path.display()))?;
    let inputs: [&[u8]; 2] = [options.as_bytes(), source.version.as_bytes()];
    work::once(&format!("{}: BusyBox", isa.name), &parent.join("busybox.stamp"), &inputs, || {
        let make = || {
            let mut command = Command::new("make");
            command.arg("--silent").arg("-C").arg(&source.folder).arg(format!("O={}", folder.display()));
            command.arg(format!("CROSS_COMPILE={}-", isa.main_abi().triplet));
            command
        };
        let mut effort = work::run(make().arg("defconfig"), &log)?;
        let config_path = folder.join(".config");
        let config = fs::read_to_string(&config_path).context("cannot read BusyBox's configuration")?;
        fs::write(&config_path, with_options(&config, &options)).context("cannot write BusyBox's configuration")?;
        // It asks about what became possible; an empty line takes its default.
        let mut ask = Command::new("sh");
        ask.args(["-c", r#"yes "" | "$@""#, "sh"]).arg(make().get_program());
        ask.args(make().get_args()).arg("oldconfig");
        effort = effort + work::run(&ask, &log)?;
        let mut compile = make();
        compile.arg(format!("-j{}", kernel::processors())).args(["busybox", "busybox.links"]);
        Ok(effort + work::run(&compile, &log)?)
    })
}

/// A configuration of BusyBox's with some options decided. It has no way of its own to start from a fragment.
fn with_options(config: &str, options: &str) -> String {
    let lines = || options.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| !name.starts_with('#'));
    let decided: std::collections::BTreeSet<&str> = lines().map(|(name, _)| name).collect();
    let name_of = |line: &str| {
        let line = line.strip_prefix("# ").unwrap_or(line);
        line.split(['=', ' ']).next().unwrap_or_default().to_owned()
    };
    let mut text = String::new();
    for line in config.lines().filter(|line| !decided.contains(name_of(line).as_str())) {
        text.push_str(line);
        text.push('\n');
    }
    for (name, value) in lines() {
        match value {
            "n" => text.push_str(&format!("# {name} is not set\n")),
            value => text.push_str(&format!("{name}={value}\n")),
        }
    }
    text
}

/// musl's loader, which is its library, with what programs for uClibc want besides; shared by the kits that have the
/// ABI.
fn musl(work: &Work, source: &Source, abi: &Abi) -> anyhow::Result<Effort> {
    // Two kits that are built at the same time may want the same one.
    let _alone = MUSL.lock().map_err(|_| anyhow!("another kit's build of musl panicked"))?;
    let folder = work.folder(&musl_folder(abi))?;
    let log = folder.join("musl.log");
    let uclibc = fs::read(workspace::root().join("guest/uclibc.c")).context("cannot read guest/uclibc.c")?;
    let flags = abi.musl_flags.join(" ");
    let inputs: [&[u8]; 3] = [source.version.as_bytes(), &uclibc, flags.as_bytes()];
    work::once(&format!("musl for {}", abi.triplet), &folder.join("musl.stamp"), &inputs, || {
        let mut configure = Command::new(source.folder.join("configure"));
        configure.current_dir(&folder).args(["--prefix=/usr", "--syslibdir=/lib", "--disable-wrapper"]);
        configure.arg(format!("--target={}", abi.triplet));
        configure.arg(format!("CC={}-gcc {flags}", abi.triplet));
        configure.arg(format!("CROSS_COMPILE={}-", abi.triplet));
        let mut effort = work::run(&configure, &log)?;
        let mut compile = Command::new("make");
        compile.current_dir(&folder).arg("--silent").arg(format!("-j{}", kernel::processors())).arg("lib/libc.so");
        effort = effort + work::run(&compile, &log)?;
        let mut strip = Command::new(format!("{}-strip", abi.triplet));
        strip.current_dir(&folder).args(["--strip-all", "lib/libc.so"]);
        Ok(effort + work::run(&strip, &log)?)
    })
}

fn musl_folder(abi: &Abi) -> String {
    format!("musl-{}", abi.triplet)
}

/// The files below a folder, as they are; only the list of passwords is for root alone.
fn add_folder(tree: &mut Tree, folder: &Path, prefix: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name().into_string().ok().context("a file of guest/root has a name that is not text")?;
        let path = format!("{prefix}{name}");
        let metadata = entry.metadata().with_context(|| format!("cannot read {}", entry.path().display()))?;
        if metadata.is_dir() {
            add_folder(tree, &entry.path(), &format!("{path}/"))?;
            continue;
        }
        let mode = match path.as_str() {
            "etc/shadow" => 0o600,
            _ if metadata.permissions().mode() & 0o100 != 0 => 0o755,
            _ => 0o644,
        };
        tree.put(&path, Node::File { mode, bytes: read(&entry.path())? });
    }
    Ok(())
}

fn add_busybox(tree: &mut Tree, folder: &Path) -> anyhow::Result<()> {
    tree.put("bin/busybox", Node::File { mode: 0o755, bytes: read(&folder.join("busybox"))? });
    let path = folder.join("busybox.links");
    let links = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for link in links.lines().filter_map(|line| line.strip_prefix('/')) {
        if !tree.contains(link) {
            tree.put(link, Node::Link { target: "/bin/busybox".to_owned() });
        }
    }
    Ok(())
}

/// glibc's loader where programs look for it, and its libraries: those of the first ABI in `/lib`, those of others in
/// Debian's multiarch folders, in which the loaders look first.
fn add_glibc(tree: &mut Tree, parent: &Path, isa: &Isa, abi: &Abi) -> anyhow::Result<()> {
    let from = glibc_folder(abi)?;
    let folder = library_folder(isa, abi);
    let (_, loader) = abi.glibc_loader.rsplit_once('/').context("a loader is in a folder")?;
    let libraries = GLIBC_LIBRARIES.iter().map(|name| (*name, format!("{folder}/{name}")));
    for (name, path) in libraries.chain([(loader, abi.glibc_loader.to_owned())]) {
        let Some(found) = find(&from, name) else {
            if GLIBC_LIBRARIES_OPTIONAL.contains(&name) {
                continue;
            }
            bail!("{name} for {} is not in {}", abi.triplet, from[0].display());
        };
        let stripped = parent.join(format!("{}-{name}", abi.triplet));
        run_to_end(Command::new(format!("{}-strip", abi.triplet)).arg("-o").arg(&stripped).arg(&found))?;
        tree.put(&path, Node::File { mode: 0o755, bytes: read(&stripped)? });
    }
    Ok(())
}

/// Where Debian keeps the libraries of an ABI: those for other machines, then this machine's own.
fn glibc_folder(abi: &Abi) -> anyhow::Result<[PathBuf; 2]> {
    let foreign = PathBuf::from(format!("/usr/{}/lib", abi.triplet));
    let native = PathBuf::from(format!("/lib/{}", abi.triplet));
    let folders = [foreign, native];
    ensure!(
        folders.iter().any(|folder| folder.join("libc.so.6").exists()),
        "there is no glibc for {} on this machine",
        abi.triplet
    );
    Ok(folders)
}

fn find(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.exists())
}

/// The folder of an ABI's libraries in the guest.
fn library_folder(isa: &Isa, abi: &Abi) -> String {
    if abi.triplet == isa.main_abi().triplet { "lib".to_owned() } else { format!("lib/{}", multiarch(abi)) }
}

/// Debian's name of the folder of an ABI's libraries; only 32-bit x86 differs from the compiler's target.
fn multiarch(abi: &Abi) -> &'static str {
    if abi.triplet == "i686-linux-gnu" { "i386-linux-gnu" } else { abi.triplet }
}

fn add_musl(tree: &mut Tree, work: &Work, abi: &Abi) -> anyhow::Result<()> {
    let Some((first, others)) = abi.musl_loaders.split_first() else {
        return Ok(());
    };
    let bytes = read(&work.folder(&musl_folder(abi))?.join("lib/libc.so"))?;
    tree.put(&format!("lib/{first}"), Node::File { mode: 0o755, bytes });
    for name in others {
        tree.put(&format!("lib/{name}"), Node::Link { target: (*first).to_owned() });
    }
    for name in UCLIBC_NAMES {
        let path = format!("lib/{name}");
        // uClibc has one name for all ABIs of a guest: it is given to the first.
        if !tree.contains(&path) {
            tree.put(&path, Node::Link { target: (*first).to_owned() });
        }
    }
    Ok(())
}

fn add_nvram(tree: &mut Tree, parent: &Path, isa: &Isa, abi: &Abi) -> anyhow::Result<()> {
    let built = parent.join(format!("{}-libnvram.so", abi.triplet));
    let mut compile = Command::new(format!("{}-gcc", abi.triplet));
    compile.args(C_FLAGS).args(["-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libnvram.so", "-o"]).arg(&built);
    compile.arg(workspace::root().join("guest/nvram.c"));
    run_to_end(&mut compile)?;
    let folder = library_folder(isa, abi);
    tree.put(&format!("{folder}/libnvram.so"), Node::File { mode: 0o755, bytes: read(&built)? });
    tree.put(&format!("{folder}/libnvram.so.0"), Node::Link { target: "libnvram.so".to_owned() });
    Ok(())
}

fn add_agent(tree: &mut Tree, parent: &Path, isa: &Isa) -> anyhow::Result<()> {
    let built = parent.join("agent");
    let mut compile = Command::new(format!("{}-gcc", isa.main_abi().triplet));
    compile.args(C_FLAGS).args(["-static", "-o"]).arg(&built).arg(workspace::root().join("guest/agent.c"));
    run_to_end(&mut compile)?;
    tree.put("init", Node::File { mode: 0o755, bytes: read(&built)? });
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_busybox_are_decided() {
        for (config, options, expected) in [
            ("CONFIG_A=y\n", "# Why.\nCONFIG_A=n\n", "# CONFIG_A is not set\n"),
            ("# CONFIG_STATIC is not set\nCONFIG_B=y\n", "CONFIG_STATIC=y\n", "CONFIG_B=y\nCONFIG_STATIC=y\n"),
            ("CONFIG_AB=y\n", "CONFIG_A=n\n", "CONFIG_AB=y\n# CONFIG_A is not set\n"),
        ] {
            assert_eq!(with_options(config, options), expected);
        }
    }

    #[test]
    fn what_a_device_looks_like_is_whole() {
        let mut tree = Tree::default();
        add_folder(&mut tree, &workspace::root().join("guest/root"), "").unwrap();
        for path in ["etc/passwd", "etc/shadow", "etc/inittab", "etc/init.d/rcS", "etc/nvram.conf", "etc/os-release"] {
            assert!(tree.contains(path), "{path}");
        }
    }
}
