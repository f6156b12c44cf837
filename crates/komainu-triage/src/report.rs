//! The report: a document whose shape is published (docs/triage.md) and versioned. These types are that document and
//! nothing else; what the analysis works with are types of its own.
//!
//! Every text in it that a sample chose is printable: control and other unprintable characters are escaped, and texts are
//! cut at 256 bytes.

use serde::{Deserialize, Serialize};

/// The version of the shape. It grows when a reader of the old shape would misunderstand the new one.
pub const REPORT_VERSION: u32 = 1;

/// What can be said of a file without running it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The file, then what was unpacked out of it, each after the container it lies in.
    pub samples: Vec<Sample>,
    /// Members that were not analysed.
    pub members_left_out: u64,
    /// What the file is, all its members together.
    pub verdict: Verdict,
}

/// A file, or a member of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The number of the sample that it lies in.
    pub parent: Option<usize>,
    /// Its name in there.
    pub name: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Its digests.
    pub digests: Digests,
    /// What it is: `elf`, `script`, `zip`, … (docs/triage.md has the list).
    pub kind: String,
    /// The same in words.
    pub description: String,
    /// Entropy of the whole, in thousandths of a bit for each byte, 0 to 8000.
    pub entropy_millibits: u32,
    /// If it is a container.
    pub container: Option<Container>,
    /// If it is an ELF file.
    pub elf: Option<Elf>,
    /// Whether it is packed. None where the question makes no sense.
    pub packing: Option<Packing>,
    /// Its strings.
    pub strings: Strings,
    /// Addresses, names, URLs and so on in it.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub findings_left_out: u64,
    /// Words beside each other that are user names and passwords.
    pub credentials: Option<Credentials>,
    /// What was encoded in it.
    pub decoded: Vec<Decoded>,
    /// The rules of YARA that hold for it.
    pub rules: Vec<RuleHit>,
    /// What it is.
    pub verdict: Verdict,
    /// What could not be read, or is not as it should be.
    pub problems: Vec<String>,
}

/// Digests, in lowercase hex where they are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// SHA-256.
    pub sha256: String,
    /// SHA-1, to exchange only.
    pub sha1: String,
    /// MD5, to exchange only.
    pub md5: String,
    /// TLSH with 128 buckets and one byte of check sum, `T1…`. None for what is too small or too uniform.
    pub tlsh: Option<String>,
}

/// What was found out about a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Entries that are files.
    pub members: u64,
    /// Bytes that were unpacked.
    pub unpacked_bytes: u64,
}

/// What was found out about an ELF file. Numbers are as the file has them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Elf {
    /// 32 or 64.
    pub class_bits: u8,
    /// `little` or `big`.
    pub byte_order: String,
    /// `e_machine`.
    pub machine: u16,
    /// Its name, as in `EM_ARM` without the beginning.
    pub machine_name: String,
    /// The instruction set with its byte order, as the laboratory calls it: `arm`, `mipsel`, …
    pub isa: String,
    /// `e_type`.
    pub file_type: u16,
    /// `executable`, `shared`, `object`, `core` or `other`.
    pub file_type_name: String,
    /// `EI_OSABI`.
    pub os_abi: u8,
    /// `e_entry`.
    pub entry: u64,
    /// `e_flags`.
    pub flags: u32,
    /// What the flags and attributes say: ABI, architecture, floating point.
    pub abi: Vec<String>,
    /// Program headers that the header promises.
    pub program_headers: u32,
    /// Section headers that the header promises.
    pub section_headers: u32,
    /// `PT_INTERP`.
    pub interpreter: Option<String>,
    /// Needed libraries.
    pub needed: Vec<String>,
    /// `static`, `static-pie`, `dynamic`, `library`, `object`, `core`.
    pub linkage: String,
    /// There is no table of symbols beside that for dynamic linking.
    pub is_stripped: bool,
    /// Symbols in both tables.
    pub symbols: u64,
    /// The build id, in hex.
    pub build_id: Option<String>,
    /// What `.comment` says.
    pub toolchain: Vec<String>,
    /// `glibc`, `musl`, `uclibc`, `bionic`, `dietlibc`, `klibc`.
    pub libc: Option<String>,
    /// `c`, `c++`, `go`, `rust`, `nim`, `zig`, `d`, `pascal`.
    pub language: Option<String>,
    /// The version of the language's compiler where the file has it.
    pub language_version: Option<String>,
    /// Imported symbols, sorted.
    pub imports: Vec<String>,
    /// MD5 of all of them, as YARA's `elf.import_md5()` has it.
    pub import_md5: Option<String>,
    /// telfhash: TLSH over the names of functions that others see, as its reference implementation has it.
    pub telfhash: Option<String>,
    /// Loaded segments, and sections with contents.
    pub regions: Vec<Region>,
    /// Functions.
    pub functions: Functions,
}

/// A segment or a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// The name of a section; `LOAD` for a segment.
    pub name: String,
    /// Where it begins in the file.
    pub offset: u64,
    /// Bytes of it in the file.
    pub bytes: u64,
    /// Letters of `rwx`.
    pub access: String,
    /// Its entropy, in thousandths of a bit for each byte.
    pub entropy_millibits: u32,
}

/// What programs with the same functions have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Functions {
    /// How many were found.
    pub found: u64,
    /// The smallest hashes, sorted, 16 hex digits each: addresses and constants do not matter in them.
    pub hashes: Vec<String>,
}

/// Whether a program is packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packing {
    /// `none`, `suspected` or `packed`.
    pub verdict: String,
    /// By what, if that is known.
    pub packer: Option<String>,
    /// Why.
    pub reasons: Vec<String>,
    /// The same in Japanese; older reports have none.
    #[serde(default)]
    pub reasons_ja: Vec<String>,
}

/// Printable pieces of a sample.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strings {
    /// How many there are in ASCII, of five letters or more.
    pub plain: u64,
    /// In UTF-16, little-endian.
    pub utf16le: u64,
    /// In UTF-16, big-endian.
    pub utf16be: u64,
    /// Those that look like words rather than code, the first 200: offset and text.
    pub listed: Vec<(u64, String)>,
}

/// Something in a sample that can be looked for elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `url`, `ipv4`, `ipv6`, `domain`, `email`, `wallet`, `path`, `user-agent`, `prompt`, `command`, `socket-address`.
    pub kind: String,
    /// The text. An address may have a port.
    pub value: String,
    /// Where it is in the sample; for what was decoded, where that begins.
    pub offset: u64,
    /// `plain`, `utf16le`, `utf16be`, or `decoded:N` with the number in [`Sample::decoded`].
    pub source: String,
}

/// A list of user names and passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Where it begins.
    pub offset: u64,
    /// `plain`, or `decoded:N`.
    pub source: String,
    /// Its words in their order.
    pub words: Vec<String>,
}

/// A piece that was encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoded {
    /// `xor1`, `add1`, `rot`, `xor4`, `rc4`, `base64` or `hex`.
    pub algorithm: String,
    /// The key, in hex; empty where there is none.
    pub key: String,
    /// Where it begins.
    pub offset: u64,
    /// What it says.
    pub text: String,
    /// What was recognised in it, which is why it is believed.
    pub anchor: String,
}

/// A rule that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleHit {
    /// The name of the file with the rule.
    pub namespace: String,
    /// The rule.
    pub rule: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its description of itself.
    pub meta: Vec<(String, String)>,
    /// Where its patterns are, the first ones.
    pub offsets: Vec<u64>,
}

/// What a sample is, with reasons.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// `malicious`, `suspicious` or `unremarkable`. Static triage never says that something is harmless.
    pub level: String,
    /// What it is made to run on: `iot`, `not-iot` or `unknown`.
    pub iot: String,
    /// How sure that is, in percent.
    pub iot_confidence: u8,
    /// `router`, `camera`, `dvr`, `nas`, `android`, `server`, `device`, `unknown`.
    pub device_class: String,
    /// The family with the most votes.
    pub family: Option<String>,
    /// Each family with its votes, most first.
    pub votes: Vec<(String, u32)>,
    /// Why, the weightiest first.
    pub reasons: Vec<String>,
    /// The same in Japanese; older reports have none.
    #[serde(default)]
    pub reasons_ja: Vec<String>,
}
