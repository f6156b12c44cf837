//! Writes `crates/komainu-trace/src/system_calls/tables.rs`: the numbers of system calls, out of Linux's own tables.
//!
//! Only numbers and names are taken. Debian's `linux-source-6.1` is the source, which the guests' kernels are built from.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// What to generate from.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when the committed file is not what would be written.
    #[arg(long)]
    check: bool,
    /// The unpacked source of Linux.
    #[arg(value_name = "DIR")]
    linux: PathBuf,
}

/// Where a processor's calls are listed.
struct Table {
    constant: &'static str,
    file: &'static str,
    /// The interfaces in the second column that its programs use; none for a header with `#define`s.
    interfaces: &'static [&'static str],
    /// What is added to each number.
    first: u32,
}

const TABLES: [Table; 10] = [
    Table { constant: "ARM", file: "arch/arm/tools/syscall.tbl", interfaces: &["common", "eabi"], first: 0 },
    Table { constant: "ARM64", file: "include/uapi/asm-generic/unistd.h", interfaces: &[], first: 0 },
    Table {
        constant: "MIPS",
        file: "arch/mips/kernel/syscalls/syscall_o32.tbl",
        interfaces: &["o32"],
        // __NR_Linux of arch/mips/include/uapi/asm/unistd.h.
        first: 4000,
    },
    Table { constant: "X86", file: "arch/x86/entry/syscalls/syscall_32.tbl", interfaces: &["i386"], first: 0 },
    Table {
        constant: "X86_64",
        file: "arch/x86/entry/syscalls/syscall_64.tbl",
        interfaces: &["common", "64"],
        first: 0,
    },
    Table {
        constant: "POWERPC",
        file: "arch/powerpc/kernel/syscalls/syscall.tbl",
        interfaces: &["common", "nospu", "32"],
        first: 0,
    },
    Table { constant: "SH4", file: "arch/sh/kernel/syscalls/syscall.tbl", interfaces: &["common"], first: 0 },
    Table { constant: "RISCV64", file: "include/uapi/asm-generic/unistd.h", interfaces: &[], first: 0 },
    Table {
        constant: "SPARC64",
        file: "arch/sparc/kernel/syscalls/syscall.tbl",
        interfaces: &["common", "64"],
        first: 0,
    },
    Table { constant: "M68K", file: "arch/m68k/kernel/syscalls/syscall.tbl", interfaces: &["common"], first: 0 },
];

/// Writes the tables, or checks that they are what would be written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let written = generate(&args.linux)?;
    let path = workspace::root().join("crates/komainu-trace/src/system_calls/tables.rs");
    if args.check {
        let committed = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(committed == written, "{} is not what would be written", path.display());
        return Ok(());
    }
    fs::write(&path, written).with_context(|| format!("cannot write {}", path.display()))
}

fn generate(linux: &Path) -> Result<String> {
    let mut text = String::from(
        "//! Numbers and names of Linux's system calls. Written by `cargo xtask system-calls`; do not edit.\n",
    );
    for table in TABLES {
        let path = linux.join(table.file);
        let source = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let calls = if table.interfaces.is_empty() { from_header(&source) } else { from_table(&source, &table) };
        ensure!(calls.len() > 250, "{} has only {} system calls", path.display(), calls.len());
        writeln!(text, "\n#[rustfmt::skip]\npub(super) const {}: &[(u32, &str)] = &[", table.constant)?;
        for (number, name) in calls {
            writeln!(text, "    ({number}, \"{name}\"),")?;
        }
        text.push_str("];\n");
    }
    Ok(text)
}

/// Lines `NUMBER INTERFACE NAME …`.
fn from_table<'a>(source: &'a str, table: &Table) -> BTreeMap<u32, &'a str> {
    let mut calls = BTreeMap::new();
    for line in source.lines() {
        let mut words = line.split_whitespace();
        let (Some(number), Some(interface), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
        if let Ok(number) = number.parse::<u32>()
            && table.interfaces.contains(&interface)
            && !name.starts_with("unused")
        {
            calls.entry(table.first + number).or_insert(name);
        }
    }
    calls
}

/// Lines `#define __NR_NAME NUMBER`; where a call has another name on 64-bit processors, that one.
fn from_header(source: &str) -> BTreeMap<u32, &str> {
    let mut calls = BTreeMap::new();
    for line in source.lines() {
        let mut words = line.strip_prefix("#define ").unwrap_or_default().split_whitespace();
        let (Some(name), Some(number)) = (words.next(), words.next()) else { continue };
        let name = name.strip_prefix("__NR_").or_else(|| name.strip_prefix("__NR3264_"));
        if let (Some(name), Ok(number)) = (name, number.parse()) {
            let name = match name {
                "fstatat" => "newfstatat",
                name => name,
            };
            if !name.starts_with("arch_specific") && name != "syscalls" {
                calls.entry(number).or_insert(name);
            }
        }
    }
    calls
}
