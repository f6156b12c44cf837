//! Static triage: what a file is, without running it.
//!
//! In: the bytes of a file, rules to ask, and what others say of it. Out: a [`Report`] with digests, kind, containers
//! unpacked, ELF header and what a program was made with, packing, strings and what can be looked for in them, simple
//! encodings undone, and a verdict with reasons. Everything is hostile: what cannot be understood is among the problems of
//! the report, and whatever is unpacked, listed or tried has a bound (`limits.rs`).
//!
//! Not here: files, processes, rules' compilation, the time. Whoever calls it for a sample does so in a process that can
//! open nothing.

mod analyse;
mod container;
mod decode;
mod digest;
mod elf;
mod entropy;
mod findings;
mod functions;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod kind;
mod limits;
mod machine;
mod packing;
mod problems;
mod report;
mod said;
mod search;
mod strings;
mod text;
mod verdict;

pub use analyse::{NoRules, Rules, triage};
pub use digest::tlsh_distance;
pub use functions::functions_alike_percent;
pub use limits::{DEPTH_MAX, FUNCTION_HASHES_MAX, MEMBERS_MAX, RATIO_MAX, SAMPLE_BYTES_MAX, UNPACKED_BYTES_MAX};
pub use report::{
    Container, Credentials, Decoded, Digests, Elf, Finding, Functions, Packing, REPORT_VERSION, Region, Report,
    RuleHit, Sample, Strings, Verdict,
};
pub use text::shown;
pub use verdict::Outside;
