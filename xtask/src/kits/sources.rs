//! Debian's source packages: fetched by a list of sources of our own below the target folder, checked by `apt` and
//! `dpkg-source`, and unpacked there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::work;
use super::{Isa, Work};
use crate::programs::run_to_end;
use crate::{tools, workspace};

/// The package whose archive of the kernel's source, with Debian's patches, the kernels are made of.
pub(crate) const LINUX_PACKAGE: &str = "linux-source-6.1";

/// Parts of the kernel's source that no build of ours reads and that take up half of the disk: headers of one graphics
/// driver, and tests.
const LINUX_LEFT_OUT: [&str; 2] = ["*/drivers/gpu/drm/amd/include", "*/tools/testing"];

/// One unpacked source package.
pub(crate) struct Source {
    pub(crate) package: &'static str,
    pub(crate) version: String,
    pub(crate) folder: PathBuf,
}

/// All that kits are made of.
pub(crate) struct Sources {
    pub(crate) linux: Source,
    pub(crate) busybox: Source,
    pub(crate) musl: Source,
}

/// Fetches and unpacks what is not there.
pub(crate) fn fetch(work: &Work) -> anyhow::Result<Sources> {
    let linux = unpack_linux(work)?;
    let apt = Apt::new(work)?;
    if let Err(error) = apt.update() {
        // Without a network, what was fetched before is still good.
        println!("Debian's list of sources cannot be read, going on with what is there: {error:#}");
    }
    let busybox = apt.fetch(work, "busybox")?;
    let musl = apt.fetch(work, "musl")?;
    add_uclibc(&musl)?;
    Ok(Sources { linux, busybox, musl })
}

/// Debian's packages, with versions, that a kit was made of.
pub(crate) fn packages(sources: &Sources, isa: &Isa) -> anyhow::Result<BTreeMap<String, String>> {
    let mut packages: BTreeMap<String, String> = [&sources.linux, &sources.busybox, &sources.musl]
        .into_iter()
        .map(|source| (source.package.to_owned(), source.version.clone()))
        .collect();
    let native = tools::debian_architecture()?;
    for abi in isa.abis {
        for package in tools::compiler_packages(abi, &native) {
            let version = version_of(&package)?;
            packages.insert(package, version);
        }
    }
    packages.insert(isa.qemu_package.to_owned(), version_of(isa.qemu_package)?);
    Ok(packages)
}

/// The version of an installed package.
fn version_of(package: &str) -> anyhow::Result<String> {
    Ok(run_to_end(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package]))?.trim().to_owned())
}

fn unpack_linux(work: &Work) -> anyhow::Result<Source> {
    let version = version_of(LINUX_PACKAGE)?;
    let parent = work.folder("sources")?;
    let folder = parent.join(format!("linux-{version}"));
    let archive = PathBuf::from(format!("/usr/src/{LINUX_PACKAGE}.tar.xz"));
    work::once("Linux's source", &parent.join("linux.stamp"), &[version.as_bytes()], || {
        make_empty(&folder)?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--strip-components=1", "--file"]).arg(&archive).arg("--directory").arg(&folder);
        tar.args(LINUX_LEFT_OUT.map(|path| format!("--exclude={path}")));
        work::run(&tar, &parent.join("linux.log"))
    })?;
    Ok(Source { package: LINUX_PACKAGE, version, folder })
}

/// `apt-get` with a list of sources and folders of our own, which needs no rights.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(work: &Work) -> anyhow::Result<Self> {
        for folder in ["apt/lists/partial", "apt/archives/partial"] {
            work.folder(folder)?;
        }
        let folder = work.folder("apt")?;
        let targets = run_to_end(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(ORIGIN) deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ]))?;
        let mut lines: Vec<&str> = targets.lines().filter_map(|line| line.strip_prefix("Debian ")).collect();
        lines.sort_unstable();
        lines.dedup();
        if lines.is_empty() {
            bail!("apt knows no sources of Debian's packages");
        }
        fs::write(folder.join("sources.list"), lines.join("\n") + "\n").context("cannot write a list of sources")?;
        Ok(Self { folder })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        let folder = self.folder.display();
        for option in [
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State::Lists={folder}/lists"),
            format!("Dir::Cache={folder}"),
            // Whoever builds owns the folders; apt's own user could not write there.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.arg("--option").arg(option);
        }
        command
    }

    fn update(&self) -> anyhow::Result<()> {
        run_to_end(self.command().args(["--quiet", "update"])).map(|_| ())
    }

    /// Fetches and unpacks a source package, which is named as it names itself.
    fn fetch(&self, work: &Work, package: &'static str) -> anyhow::Result<Source> {
        let parent = work.folder("sources")?;
        let fetched =
            run_to_end(self.command().current_dir(&parent).args(["--quiet", "--download-only", "source"]).arg(package));
        let description = newest_description(&parent, package)?;
        let (Some(description), result) = (description, fetched) else {
            bail!("the source package {package} cannot be fetched");
        };
        if let Err(error) = result {
            println!("{package} cannot be fetched, going on with what is there: {error:#}");
        }
        let text =
            fs::read_to_string(&description).with_context(|| format!("cannot read {}", description.display()))?;
        let version = version_in(&text).with_context(|| format!("no version in {}", description.display()))?.to_owned();
        let folder = parent.join(package);
        let stamp = parent.join(format!("{package}.stamp"));
        work::once(&format!("{package}'s source"), &stamp, &[version.as_bytes()], || {
            if folder.exists() {
                fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
            let mut unpack = Command::new("dpkg-source");
            unpack.args(["--no-check", "--extract"]).arg(&description).arg(&folder);
            work::run(&unpack, &parent.join(format!("{package}.log")))
        })?;
        Ok(Source { package, version, folder })
    }
}

/// The description of a source package that was fetched last.
fn newest_description(folder: &Path, package: &str) -> anyhow::Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{package}_")) && name.ends_with(".dsc") {
            let time = entry.metadata().and_then(|metadata| metadata.modified()).context("cannot read a time")?;
            found.push((time, entry.path()));
        }
    }
    Ok(found.into_iter().max().map(|(_, path)| path))
}

/// The field `Version` of a source package's description (Debian Policy, section 5.6.12).
fn version_in(description: &str) -> Option<&str> {
    description.lines().find_map(|line| line.strip_prefix("Version:")).map(str::trim)
}

/// Puts our part of uClibc into musl's source, so that musl's loader is also uClibc's.
fn add_uclibc(musl: &Source) -> anyhow::Result<()> {
    let text = fs::read(workspace::root().join("guest/uclibc.c")).context("cannot read guest/uclibc.c")?;
    let folder = musl.folder.join("src/uclibc");
    let path = folder.join("uclibc.c");
    if fs::read(&path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// An empty folder, in place of what is there.
fn make_empty(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_names_its_version() {
        for (text, expected) in [
            ("Format: 3.0 (quilt)\nSource: busybox\nVersion: 1:1.35.0-4+deb12u1\n", Some("1:1.35.0-4+deb12u1")),
            ("Source: musl\n", None),
            ("", None),
        ] {
            assert_eq!(version_in(text), expected);
        }
    }
}
