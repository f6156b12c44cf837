//! Kernels: everything off, then what `guest/kernel/common.config` and `guest/kernel/ISA.config` name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, ensure};

use super::sources::Source;
use super::work::{self, Effort};
use super::{Isa, Work};
use crate::workspace;

/// What the kernel says of its build; the same for everybody, so that the same inputs give the same kernel.
const BUILD_TIME: &str = "2023-01-01 00:00:00";

pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    pub(crate) version: String,
    pub(crate) effort: Effort,
}

pub(crate) fn build(work: &Work, linux: &Source, isa: &Isa) -> anyhow::Result<Kernel> {
    let parent = work.folder(isa.name)?;
    let folder = work.folder(&format!("{}/kernel", isa.name))?;
    let fragment = fragment(isa)?;
    let image = parent.join("kernel-image");
    let log = parent.join("kernel.log");
    let inputs: [&[u8]; 2] = [fragment.as_bytes(), linux.version.as_bytes()];
    let effort = work::once(&format!("{}: kernel", isa.name), &parent.join("kernel.stamp"), &inputs, || {
        let fragment_path = parent.join("kernel.config");
        fs::write(&fragment_path, &fragment).context("cannot write the kernel's configuration")?;
        let mut configure = make(linux, isa, &folder);
        configure.arg("allnoconfig").env("KCONFIG_ALLCONFIG", &fragment_path);
        let mut effort = work::run(&configure, &log)?;
        let config = fs::read_to_string(folder.join(".config")).context("cannot read the kernel's configuration")?;
        let lost = lost(&fragment, &config);
        ensure!(lost.is_empty(), "Linux does not take these options:\n{}", lost.join("\n"));
        let mut compile = make(linux, isa, &folder);
        compile.arg(format!("-j{}", processors())).arg(isa.image_target);
        effort = effort + work::run(&compile, &log)?;
        place(isa, &folder, &image, &log)?;
        Ok(effort)
    })?;
    let release = folder.join("include/config/kernel.release");
    let version =
        fs::read_to_string(&release).with_context(|| format!("cannot read {}", release.display()))?.trim().to_owned();
    Ok(Kernel { image, version, effort })
}

/// Processors to build with.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn make(linux: &Source, isa: &Isa, folder: &Path) -> Command {
    let mut command = Command::new("make");
    command.arg("--silent").arg("-C").arg(&linux.folder).arg(format!("O={}", folder.display()));
    command.arg(format!("ARCH={}", isa.arch)).arg(format!("CROSS_COMPILE={}-", isa.main_abi().triplet));
    command.envs([
        ("KBUILD_BUILD_TIMESTAMP", BUILD_TIME),
        ("KBUILD_BUILD_USER", "build"),
        ("KBUILD_BUILD_HOST", "build"),
        ("KBUILD_BUILD_VERSION", "1"),
    ]);
    command
}

/// Puts the image where kits are made; one that is an ELF file is stripped of its symbols.
fn place(isa: &Isa, folder: &Path, image: &Path, log: &Path) -> anyhow::Result<()> {
    let built = folder.join(isa.image);
    if !isa.image.ends_with("vmlinux") {
        return fs::copy(&built, image).map(|_| ()).with_context(|| format!("cannot copy {}", built.display()));
    }
    let mut strip = Command::new(format!("{}-strip", isa.main_abi().triplet));
    strip.arg("--strip-all").arg("-o").arg(image).arg(&built);
    work::run(&strip, log).map(|_| ())
}

/// The options of a kit: the common ones, save those that its own file decides, and then its own.
fn fragment(isa: &Isa) -> anyhow::Result<String> {
    let folder = workspace::root().join("guest/kernel");
    let read = |name: &str| {
        let path = folder.join(format!("{name}.config"));
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    Ok(merged(&read("common")?, &read(isa.name)?))
}

fn merged(common: &str, own: &str) -> String {
    let decided: Vec<&str> = own.lines().filter_map(option_of).collect();
    let kept = common.lines().filter(|line| option_of(line).is_some_and(|option| !decided.contains(&option)));
    let own = own.lines().filter(|line| option_of(line).is_some());
    kept.chain(own).fold(String::new(), |text, line| text + line + "\n")
}

/// The option that a line sets (`CONFIG_X=y`) or leaves out (`# CONFIG_X is not set`).
fn option_of(line: &str) -> Option<&str> {
    let name = match line.strip_prefix("# ") {
        Some(rest) => rest.strip_suffix(" is not set")?,
        None => line.split_once('=')?.0,
    };
    name.starts_with("CONFIG_").then_some(name)
}

/// The lines of a fragment that do not stand in the configuration that Linux made of it. An option that is to be off
/// may also be unknown.
fn lost<'a>(fragment: &'a str, config: &str) -> Vec<&'a str> {
    let there: std::collections::BTreeSet<&str> = config.lines().collect();
    fragment
        .lines()
        .filter(|line| match option_of(line) {
            Some(option) if line.starts_with('#') => there.contains(format!("{option}=y").as_str()),
            _ => !there.contains(line),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kit_decides_over_what_is_common() {
        for (common, own, expected) in [
            ("# Why.\nCONFIG_A=y\nCONFIG_B=14\n", "CONFIG_C=y\n", "CONFIG_A=y\nCONFIG_B=14\nCONFIG_C=y\n"),
            ("CONFIG_A=y\nCONFIG_B=14\n", "CONFIG_B=15\n", "CONFIG_A=y\nCONFIG_B=15\n"),
            ("CONFIG_A=y\nCONFIG_B=y\n", "# CONFIG_A is not set\n", "CONFIG_B=y\n# CONFIG_A is not set\n"),
        ] {
            assert_eq!(merged(common, own), expected);
        }
    }

    #[test]
    fn options_that_linux_does_not_take_are_named() {
        for (fragment, config, expected) in [
            ("CONFIG_A=y\n", "CONFIG_A=y\n", vec![]),
            ("CONFIG_A=y\n", "# CONFIG_A is not set\n", vec!["CONFIG_A=y"]),
            ("CONFIG_A=\"x\"\n", "CONFIG_A=\"y\"\n", vec!["CONFIG_A=\"x\""]),
            ("# CONFIG_A is not set\n", "", vec![]),
            ("# CONFIG_A is not set\n", "CONFIG_A=y\n", vec!["# CONFIG_A is not set"]),
        ] {
            assert_eq!(lost(fragment, config), expected);
        }
    }

    #[test]
    fn every_kit_can_trace() {
        for isa in Isa::ALL {
            let fragment = fragment(isa).unwrap();
            assert!(fragment.contains("CONFIG_KPROBE_EVENTS=y"), "{}", isa.name);
        }
    }
}
