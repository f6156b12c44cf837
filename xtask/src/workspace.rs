//! Where things are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository").to_path_buf()
}

/// The folder for everything that is built or installed.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The folder for what a run leaves behind. It belongs to this clone even where clones share what they build.
pub(crate) fn runs() -> PathBuf {
    root().join("target")
}

/// Cargo, in the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The `komainu` program that a run drives; [`build_komainu`] puts it there.
pub(crate) fn komainu() -> PathBuf {
    runs().join("driven/komainu")
}

/// Builds `komainu` and puts it where nobody replaces it during the run.
pub(crate) fn build_komainu() -> anyhow::Result<()> {
    build(&["build", "--package", "komainu"], "debug", &komainu())
}

/// Builds a `komainu` that tells of traces, and says where it is. It shares what it can with the other one.
pub(crate) fn build_komainu_with_traces() -> anyhow::Result<PathBuf> {
    let driven = runs().join("driven/komainu-traces");
    build(&["build", "--package", "komainu", "--features", "opentelemetry"], "debug", &driven)?;
    Ok(driven)
}

/// The same, optimised: for measurements.
pub(crate) fn build_komainu_optimised() -> anyhow::Result<()> {
    build(&["build", "--package", "komainu", "--release"], "release", &komainu())
}

fn build(arguments: &[&str], profile_folder: &str, driven: &Path) -> anyhow::Result<()> {
    let status = cargo().args(arguments).status().context("cannot run cargo")?;
    ensure!(status.success(), "komainu does not build ({status})");
    let folder = driven.parent().expect("the program is in a folder");
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Removed first: a program that still runs cannot be written to, and goes on with what it was started from.
    let _ = fs::remove_file(driven);
    let built = target().join(profile_folder).join("komainu");
    fs::copy(&built, driven).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(())
}
