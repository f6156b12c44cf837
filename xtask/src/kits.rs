//! `cargo xtask kits`: the guests in which samples run, a kernel and a root file system for each instruction set.
//!
//! Everything comes from Debian: the kernel, BusyBox and musl from its source packages, the compilers and glibc from
//! its cross packages. What is ours stands in `guest/`. docs/kits.md describes the result.

mod boot;
mod cpio;
mod isa;
mod kernel;
mod root;
mod sources;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use crate::{interrupt, tools, workspace};

pub(crate) use isa::{Abi, Isa};
pub(crate) use sources::LINUX_PACKAGE;
pub(crate) use work::sha256_hex;
use work::{Effort, Work};

/// Kits that are built at a time. Configuring and linking keep one processor busy; with two kits the other works too.
const KITS_AT_A_TIME: usize = 2;

/// The arguments of `cargo xtask kits`.
#[derive(Debug, Args)]
pub(crate) struct KitsArgs {
    /// Print the instruction sets and what is built of them, and do nothing.
    #[arg(long)]
    list: bool,
    /// Do not boot what was built.
    #[arg(long)]
    no_boot: bool,
    /// The instruction sets to build kits for, or `all`; those that most devices have when none is named.
    #[arg(value_name = "ISA")]
    isas: Vec<String>,
}

/// Builds the kits that are asked for, boots each, and prints a table.
pub(crate) fn run(args: &KitsArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    let isas = chosen(&args.isas)?;
    tools::need_kit_builders(&isas)?;
    interrupt::listen()?;
    let work = Work::new(workspace::target().join("kits-build"))?;
    let sources = sources::fetch(&work)?;
    let queue = Mutex::new(isas.iter().copied().collect::<VecDeque<_>>());
    let outcomes = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..KITS_AT_A_TIME.min(isas.len()) {
            scope.spawn(|| {
                while let Some(isa) = take(&queue) {
                    let outcome = build(&work, &sources, isa).and_then(|made| {
                        let booted = if args.no_boot { None } else { Some(boot(&work, isa)?) };
                        describe(&sources, isa, made, booted)
                    });
                    match &outcome {
                        Ok(_) => println!("{}: done", isa.name),
                        Err(error) => println!("{}: {error:#}", isa.name),
                    }
                    outcomes.lock().expect("no builder panics").insert(isa.name, outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("no builder panics");
    print_table(&outcomes);
    let failed = outcomes.values().filter(|outcome| outcome.is_err()).count();
    interrupt::check()?;
    if failed > 0 {
        bail!("{failed} of {} kits could not be made", isas.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the kits of these instruction sets, as far as they are not there as they should be, and boots each.
pub(crate) fn make(isas: &[&str]) -> anyhow::Result<()> {
    let isas = isas.iter().map(|&isa| isa.to_owned()).collect();
    run(&KitsArgs { list: false, no_boot: false, isas }).map(drop)
}

/// Sees to it that what builds and boots these kits is there.
pub(crate) fn need(isas: &[&str]) -> anyhow::Result<()> {
    let isas: Vec<String> = isas.iter().map(|&isa| isa.to_owned()).collect();
    tools::need_kit_builders(&chosen(&isas)?)
}

/// Where the kits stand.
pub(crate) fn all() -> PathBuf {
    workspace::target().join("kits")
}

/// The next kit to build, unless somebody wants us to stop.
fn take(queue: &Mutex<VecDeque<&'static Isa>>) -> Option<&'static Isa> {
    if interrupt::is_interrupted() {
        return None;
    }
    queue.lock().expect("no builder panics while it takes").pop_front()
}

/// The word for all instruction sets.
const ALL: &str = "all";

/// The instruction sets of these names, or the usual ones.
fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Isa>> {
    if names.is_empty() {
        return Ok(Isa::ALL.iter().filter(|isa| isa.is_usual).collect());
    }
    if names.iter().any(|name| name == ALL) {
        return Ok(Isa::ALL.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            Isa::named(name).with_context(|| {
                let known: Vec<&str> = Isa::ALL.iter().map(|isa| isa.name).collect();
                format!("no kit is called `{name}`; there are {}, and `{ALL}`", known.join(", "))
            })
        })
        .collect()
}

/// The folder that a finished kit stands in.
fn folder(isa: &Isa) -> PathBuf {
    all().join(isa.name)
}

fn list() {
    println!("{:<9} {:<22} {:<34} built", "ISA", "QEMU", "machine");
    for isa in Isa::ALL {
        let built = if folder(isa).join("kit.json").exists() { "yes" } else { "no" };
        println!("{:<9} {:<22} {:<34} {built}", isa.name, isa.qemu, isa.machine.join(" "));
    }
}

/// What `kit.json` says: all that is needed to start the guest, and what it was made of.
#[derive(Debug, Serialize)]
struct Kit<'a> {
    isa: &'a str,
    /// QEMU's program.
    qemu: &'a str,
    /// Its arguments for machine and processor.
    machine: &'a [&'a str],
    /// How virtio devices are attached: `pci` (`virtio-net-pci`) or `mmio` (`virtio-net-device`).
    virtio: &'a str,
    memory_mib: u32,
    /// The kernel's console.
    console: &'a str,
    command_line: String,
    kernel_version: &'a str,
    /// The ABIs whose loaders and libraries are there.
    abis: Vec<&'a str>,
    /// Debian's packages that went into it, with their versions.
    packages: BTreeMap<String, String>,
    /// The SHA-256 of each file of the kit.
    files: BTreeMap<&'a str, String>,
    /// What the boot check saw; absent when it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<boot::Booted>,
}

/// One row of the table.
struct Built {
    kernel_version: String,
    kernel_bytes: u64,
    root_bytes: u64,
    effort: Effort,
    boot: Option<boot::Booted>,
}

/// What building a kit gave, before it was booted.
struct Made {
    kernel: kernel::Kernel,
    root: root::Root,
    files: BTreeMap<&'static str, String>,
}

/// Builds a kit and puts its files where they belong. Without `kit.json` it is unfinished, whatever else is there.
fn build(work: &Work, sources: &sources::Sources, isa: &Isa) -> anyhow::Result<Made> {
    let kernel = kernel::build(work, &sources.linux, isa)?;
    let root = root::build(work, sources, isa)?;
    let folder = folder(isa);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let description = folder.join("kit.json");
    if description.exists() {
        fs::remove_file(&description).with_context(|| format!("cannot remove {}", description.display()))?;
    }
    let mut files = BTreeMap::new();
    for (name, path) in [("kernel", &kernel.image), ("root.cpio.gz", &root.archive)] {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        files.insert(name, sha256_hex(&bytes));
        fs::write(folder.join(name), bytes).with_context(|| format!("cannot write {name} of {}", isa.name))?;
    }
    Ok(Made { kernel, root, files })
}

fn boot(work: &Work, isa: &Isa) -> anyhow::Result<boot::Booted> {
    println!("{}: booting", isa.name);
    boot::check(isa, &folder(isa), &work.folder(isa.name)?)
}

/// Writes `kit.json`, which finishes the kit.
fn describe(sources: &sources::Sources, isa: &Isa, made: Made, booted: Option<boot::Booted>) -> anyhow::Result<Built> {
    let kit = Kit {
        isa: isa.name,
        qemu: isa.qemu,
        machine: isa.machine,
        virtio: isa.virtio.name(),
        memory_mib: isa.memory_mib,
        console: isa.console,
        command_line: isa.command_line(),
        kernel_version: &made.kernel.version,
        abis: isa.abis.iter().map(|abi| abi.triplet).collect(),
        packages: sources::packages(sources, isa)?,
        files: made.files,
        boot: booted.clone(),
    };
    let text = serde_json::to_string_pretty(&kit).context("cannot write kit.json")?;
    let description = folder(isa).join("kit.json");
    fs::write(&description, text + "\n").with_context(|| format!("cannot write {}", description.display()))?;
    Ok(Built {
        kernel_bytes: size(&made.kernel.image)?,
        root_bytes: size(&made.root.archive)?,
        kernel_version: made.kernel.version,
        effort: made.kernel.effort + made.root.effort,
        boot: booted,
    })
}

fn size(path: &Path) -> anyhow::Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
}

fn print_table(outcomes: &BTreeMap<&str, anyhow::Result<Built>>) {
    println!();
    println!(
        "{:<9} {:<9} {:>10} {:>9} {:>7} {:>6} {:>6} {:>8} {:>8} {:>9} {:>10}",
        "ISA",
        "kernel",
        "kernel KiB",
        "root KiB",
        "build s",
        "CPU s",
        "boot s",
        "boot CPU",
        "RSS MiB",
        "snapshot",
        "restored s"
    );
    for (name, outcome) in outcomes {
        let Ok(built) = outcome else {
            println!("{name:<9} failed");
            continue;
        };
        print!(
            "{name:<9} {:<9} {:>10} {:>9} {:>7.0} {:>6.0}",
            built.kernel_version,
            built.kernel_bytes >> 10,
            built.root_bytes >> 10,
            built.effort.wall_s,
            built.effort.cpu_s
        );
        match &built.boot {
            Some(boot) => println!(
                " {:>6.1} {:>8.1} {:>8} {:>9} {:>10.1}",
                boot.hello_s,
                boot.cpu_s,
                boot.rss_mib,
                format!("{} MiB", boot.snapshot_mib),
                boot.restored_s
            ),
            None => println!(" not booted"),
        }
    }
}
