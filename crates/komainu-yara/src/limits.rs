//! The bounds of scanning.

use std::time::Duration;

/// Bytes of one payload: what an artifact has at most. A larger one is refused.
pub const SCAN_BYTES_MAX: usize = 32 << 20;

/// How long the rules may take for one payload. YARA-X looks at its clock each second. 32 MiB take well below a second;
/// what takes longer is a rule that is slow for this payload, and the next payload waits.
pub(crate) const SCAN_TIME_MAX: Duration = Duration::from_secs(5);

/// So much later the process that scans is ended: it did not stop by itself.
pub(crate) const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// How long compiling all rules may take. A published collection of 5,000 rules takes some seconds.
pub(crate) const COMPILE_TIME_MAX: Duration = Duration::from_secs(120);

/// Files of rules.
pub(crate) const RULE_FILES_MAX: usize = 10_000;

/// Bytes of all files of rules: they stay in memory, for each new start of the process that scans. The largest published
/// collection has some 10 MiB.
pub(crate) const RULE_BYTES_MAX: usize = 32 << 20;

/// Folders inside each other, so that links in a circle end.
pub(crate) const FOLDERS_DEEP_MAX: usize = 16;

/// Rules that are listed as refused. More are counted.
pub(crate) const REFUSED_MAX: usize = 5_000;

/// Bytes of address space of the process that scans: the rules, one payload, and what the search remembers.
pub(crate) const PROCESS_BYTES_MAX: u64 = 1 << 30;

/// Places of one pattern that a scan remembers, 16 bytes each and more. A condition that counts sees no more.
pub(crate) const PATTERN_PLACES_MAX: usize = 10_000;

/// Rules that are told for one payload. More are more of the same.
pub(crate) const MATCHES_MAX: usize = 64;
/// Places that are told for one rule, and so many for one of its patterns.
pub(crate) const PLACES_MAX: usize = 16;
pub(crate) const PLACES_PER_PATTERN_MAX: usize = 4;
/// Tags, and entries of `meta`, that are told for one rule.
pub(crate) const TAGS_MAX: usize = 16;
pub(crate) const META_MAX: usize = 16;
/// Bytes of one name, and of one value of `meta`. What is longer is cut.
pub(crate) const NAME_BYTES_MAX: usize = 128;
pub(crate) const VALUE_BYTES_MAX: usize = 512;

/// Bytes of one answer of the process that scans: more than all of the above can have, written as JSON.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 << 20;
