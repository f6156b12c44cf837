//! `cargo xtask samples`: our own test programs, compiled for many processors. docs/samples.md describes each.
//!
//! They are what detections and the search for a bot's server are tried with. All are harmless, and none runs outside a
//! guest of the laboratory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::kits::{Abi, sha256_hex};
use crate::programs::run_to_end;
use crate::{tools, workspace};

/// How every program is compiled. Samples come without symbols.
const C_FLAGS: [&str; 5] = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-s"];

/// The arguments of `cargo xtask samples`.
#[derive(Debug, Args)]
pub(crate) struct SamplesArgs {
    /// The processors to compile for; all of them when none is named.
    #[arg(value_name = "ISA")]
    isas: Vec<String>,
}

/// One processor that programs are compiled for.
struct Target {
    name: &'static str,
    abi: Abi,
    /// What chooses the processor when the compiler's own choice is another.
    flags: &'static [&'static str],
}

const fn target(
    name: &'static str,
    triplet: &'static str,
    debian: &'static str,
    flags: &'static [&'static str],
) -> Target {
    let abi = Abi { triplet, debian, compiler: triplet, glibc_loader: "", musl_loaders: &[], musl_flags: &[] };
    Target { name, abi, flags }
}

const TARGETS: [Target; 13] = [
    target("arc", "arc-linux-gnu", "arc", &[]),
    target("arm64", "aarch64-linux-gnu", "arm64", &[]),
    target("armv5", "arm-linux-gnueabi", "armel", &["-march=armv5te", "-marm"]),
    target("armv7", "arm-linux-gnueabihf", "armhf", &[]),
    target("m68k", "m68k-linux-gnu", "m68k", &[]),
    target("mips", "mips-linux-gnu", "mips", &[]),
    target("mipsel", "mipsel-linux-gnu", "mipsel", &[]),
    target("powerpc", "powerpc-linux-gnu", "powerpc", &[]),
    target("riscv64", "riscv64-linux-gnu", "riscv64", &[]),
    target("sh4", "sh4-linux-gnu", "sh4", &[]),
    target("sparc64", "sparc64-linux-gnu", "sparc64", &[]),
    target("x86", "i686-linux-gnu", "i386", &[]),
    target("x86_64", "x86_64-linux-gnu", "amd64", &[]),
];

/// How a bot keeps the address of its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    /// Folded with one byte.
    Xor,
    /// Each byte folded with all four bytes of a key, as Mirai does.
    Xor4Folded,
    /// Folded with the four bytes of a key in turn.
    Xor4,
    Rc4,
    /// A name, looked up by DNS.
    Name,
    /// Names made from the date, looked up by DNS.
    Generated,
}

impl Way {
    const ALL: [Self; 7] =
        [Self::Plain, Self::Xor, Self::Xor4Folded, Self::Xor4, Self::Rc4, Self::Name, Self::Generated];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Xor => "xor1",
            Self::Xor4Folded => "xor4-folded",
            Self::Xor4 => "xor4",
            Self::Rc4 => "rc4",
            Self::Name => "name",
            Self::Generated => "generated",
        }
    }

    /// What `bot.c` calls it.
    fn constant(self) -> &'static str {
        match self {
            Self::Plain => "WAY_PLAIN",
            Self::Xor => "WAY_XOR",
            Self::Xor4Folded => "WAY_XOR4",
            Self::Xor4 => "WAY_XOR4_STREAM",
            Self::Rc4 => "WAY_RC4",
            Self::Name => "WAY_NAME",
            Self::Generated => "WAY_GENERATED",
        }
    }

    fn key_bytes(self) -> usize {
        match self {
            Self::Plain | Self::Name | Self::Generated => 0,
            Self::Xor => 1,
            Self::Xor4Folded | Self::Xor4 => 4,
            Self::Rc4 => 16,
        }
    }

    fn encoded(self, text: &[u8], key: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain | Self::Name | Self::Generated => text.to_vec(),
            Self::Xor | Self::Xor4Folded => {
                let fold = key.iter().fold(0, |fold, byte| fold ^ byte);
                text.iter().map(|byte| byte ^ fold).collect()
            }
            Self::Xor4 => text.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
            Self::Rc4 => rc4(key, text),
        }
    }
}

/// What one bot keeps, and hence what an analysis has to find.
#[derive(Debug, Serialize)]
struct Bot {
    isa: &'static str,
    /// The file below the folder of samples.
    file: String,
    linkage: &'static str,
    way: &'static str,
    /// The address or the name of the server; a generated one depends on the day.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    port: u16,
    key_hex: String,
    sha256: String,
}

/// Compiles what is asked for and writes `samples.json`, the truth about the bots.
pub(crate) fn run(args: &SamplesArgs) -> anyhow::Result<ExitCode> {
    let chosen: Vec<(usize, &Target)> = TARGETS
        .iter()
        .enumerate()
        .filter(|(_, target)| args.isas.is_empty() || args.isas.iter().any(|name| name == target.name))
        .collect();
    if let Some(unknown) = args.isas.iter().find(|name| TARGETS.iter().all(|target| target.name != name.as_str())) {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        bail!("no samples are made for `{unknown}`; there are {}", known.join(", "));
    }
    tools::need_sample_compilers(&chosen.iter().map(|(_, target)| &target.abi).collect::<Vec<_>>())?;
    let folder = folder();
    let sources = workspace::root().join("samples");
    let mut bots = Vec::new();
    let behaviors = behaviors(&sources)?;
    for (number, target) in &chosen {
        let out = folder.join(target.name);
        fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        for source in &behaviors {
            let name = source.file_stem().and_then(|stem| stem.to_str()).context("a source has no name")?;
            for linkage in LINKAGES {
                compile(target, linkage, source, &sources, &out.join(linkage.file(name)))?;
            }
        }
        for way in Way::ALL {
            bots.extend(bot(target, *number, way, &sources, &folder)?);
        }
        println!("{}: {} programs, static and dynamic", target.name, behaviors.len() + Way::ALL.len());
    }
    let path = folder.join("samples.json");
    let bots = serde_json::to_value(&bots).context("cannot write the truth about the bots")?;
    // What was compiled before for other processors is still there.
    let mut truth =
        fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Vec<Value>>(&text).ok()).unwrap_or_default();
    truth.retain(|bot| !chosen.iter().any(|(_, target)| bot["isa"] == target.name));
    truth.extend(bots.as_array().into_iter().flatten().cloned());
    truth.sort_by_cached_key(|bot| bot["file"].to_string());
    let text = serde_json::to_string_pretty(&truth).context("cannot write the truth about the bots")?;
    fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    println!("what the bots keep: {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Compiles the programs for these processors.
pub(crate) fn make(isas: &[&str]) -> anyhow::Result<()> {
    run(&SamplesArgs { isas: isas.iter().map(|&isa| isa.to_owned()).collect() }).map(drop)
}

/// Where the programs are.
pub(crate) fn folder() -> PathBuf {
    workspace::target().join("samples")
}

/// How a program comes to its C library.
#[derive(Debug, Clone, Copy)]
enum Linkage {
    Static,
    Dynamic,
}

const LINKAGES: [Linkage; 2] = [Linkage::Static, Linkage::Dynamic];

impl Linkage {
    fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        }
    }

    fn file(self, name: &str) -> String {
        match self {
            Self::Static => name.to_owned(),
            Self::Dynamic => format!("{name}.dynamic"),
        }
    }
}

/// The sources of the programs that show one behaviour each, in the order of their names.
fn behaviors(sources: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = sources.join("behaviors");
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        paths.push(entry.with_context(|| format!("cannot list {}", folder.display()))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Compiles one bot, and says what it keeps. Each has a server, a port and a key of its own, so that an answer cannot
/// come from another file.
fn bot(target: &Target, number: usize, way: Way, sources: &Path, folder: &Path) -> anyhow::Result<[Bot; 2]> {
    let unique = u8::try_from(number * Way::ALL.len() + way as usize + 1).context("there are too many bots")?;
    let server = match way {
        Way::Name => format!("cnc{unique}.bot.example"),
        _ => format!("198.51.100.{unique}"),
    };
    let port = 20_000 + u16::from(unique) * 7;
    let key = key(unique, way.key_bytes());
    let generated = folder.join("generated").join(target.name).join(way.name());
    fs::create_dir_all(&generated).with_context(|| format!("cannot make {}", generated.display()))?;
    let table = table(way, &key, &server, port, unique);
    fs::write(generated.join("table.h"), table).context("cannot write a bot's table")?;
    let name = format!("bot-{}", way.name());
    let truth = |linkage: Linkage| {
        let file = format!("{}/{}", target.name, linkage.file(&name));
        let path = folder.join(&file);
        compile(target, linkage, &sources.join("bot.c"), &generated, &path)?;
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok(Bot {
            isa: target.name,
            file,
            linkage: linkage.name(),
            way: way.name(),
            server: (way != Way::Generated).then(|| server.clone()),
            port,
            key_hex: key.iter().map(|byte| format!("{byte:02x}")).collect(),
            sha256: sha256_hex(&bytes),
        })
    };
    Ok([truth(Linkage::Static)?, truth(Linkage::Dynamic)?])
}

/// A key without zeros that is different for each bot and the same in each build. Folded into one byte it is not zero,
/// or it would hide nothing.
fn key(unique: u8, bytes: usize) -> Vec<u8> {
    let mut key: Vec<u8> =
        (0..bytes).map(|n| (usize::from(unique) * 37 + n * 101 + 0x5b) % 255 + 1).map(|byte| byte as u8).collect();
    if bytes > 1 && key.iter().fold(0, |fold, byte| fold ^ byte) == 0 {
        key[0] = key[0] % 255 + 1;
    }
    key
}

/// The header that `bot.c` is compiled with.
fn table(way: Way, key: &[u8], server: &str, port: u16, seed: u8) -> String {
    let mut text = String::new();
    for (number, way) in Way::ALL.iter().enumerate() {
        text.push_str(&format!("#define {} {number}\n", way.constant()));
    }
    text.push_str(&format!("#define WAY {}\n#define GENERATED_SEED {}u\n", way.constant(), u32::from(seed) * 7919));
    if !key.is_empty() {
        text.push_str(&format!("static const unsigned char key[] = {{{}}};\n", numbers(key)));
    }
    let server = if way == Way::Generated { String::new() } else { server.to_owned() };
    for (name, value) in [
        ("entry_host", with_end(&server)),
        ("entry_port", port.to_be_bytes().to_vec()),
        ("entry_hello", with_end("HELLO device 1\n")),
        ("entry_beacon", with_end("ALIVE\n")),
    ] {
        text.push_str(&format!("static unsigned char {name}[] = {{{}}};\n", numbers(&way.encoded(&value, key))));
    }
    text
}

fn with_end(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

fn numbers(bytes: &[u8]) -> String {
    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}

/// RC4, with which some bots keep their tables. Not for anything that is to stay secret.
fn rc4(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut state: [u8; 256] = std::array::from_fn(|n| n as u8);
    let mut j = 0_u8;
    for i in 0..=255_u8 {
        j = j.wrapping_add(state[usize::from(i)]).wrapping_add(key[usize::from(i) % key.len()]);
        state.swap(usize::from(i), usize::from(j));
    }
    let (mut i, mut j) = (0_u8, 0_u8);
    text.iter()
        .map(|byte| {
            i = i.wrapping_add(1);
            j = j.wrapping_add(state[usize::from(i)]);
            state.swap(usize::from(i), usize::from(j));
            byte ^ state[usize::from(state[usize::from(i)].wrapping_add(state[usize::from(j)]))]
        })
        .collect()
}

/// Compiles one program.
fn compile(target: &Target, linkage: Linkage, source: &Path, include: &Path, out: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(format!("{}-gcc", target.abi.triplet));
    command.args(C_FLAGS).args(target.flags);
    if matches!(linkage, Linkage::Static) {
        command.arg("-static");
    }
    command.arg("-I").arg(include).arg("-I").arg(workspace::root().join("samples")).arg("-o").arg(out).arg(source);
    run_to_end(&mut command).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc4_gives_the_known_answers() {
        for (key, text, expected) in [
            ("Key", "Plaintext", "bbf316e8d940af0ad3"),
            ("Wiki", "pedia", "1021bf0420"),
            ("Secret", "Attack at dawn", "45a01f645fc35b383552544b9bf5"),
        ] {
            let bytes = rc4(key.as_bytes(), text.as_bytes());
            assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
        }
    }

    #[test]
    fn entries_are_hidden_and_decoding_gives_them_back() {
        for way in Way::ALL {
            let key = key(9, way.key_bytes());
            let encoded = way.encoded(b"198.51.100.9\0", &key);
            assert_eq!(encoded != b"198.51.100.9\0", way.key_bytes() > 0, "{way:?}");
            assert_eq!(way.encoded(&encoded, &key), b"198.51.100.9\0", "{way:?}");
        }
    }

    #[test]
    fn servers_ports_and_keys_are_those_of_one_bot() {
        let mut seen = std::collections::BTreeSet::new();
        for unique in 1..=u8::try_from(TARGETS.len() * Way::ALL.len()).unwrap() {
            let key = key(unique, 4);
            assert!(!key.contains(&0) && key.iter().fold(0, |fold, byte| fold ^ byte) != 0, "{unique}");
            assert!(seen.insert(key));
        }
    }
}
