//! The bounds of triage. What happens at each is told in a report as a problem, or as a count of what was left out.

/// Bytes of one sample, or of one unpacked member: the firmware of a small device has 8 to 32 MiB. A larger file is
/// refused, a larger member is left out.
pub const SAMPLE_BYTES_MAX: usize = 64 << 20;
/// Containers inside each other. Real ones are an archive in a compressed stream in an archive; a file that contains
/// itself ends here.
pub const DEPTH_MAX: u32 = 6;
/// Members of one file that are analysed, all depths together. More are counted: the file system of a firmware image has
/// thousands, most of them alike.
pub const MEMBERS_MAX: usize = 256;
/// Entries that are walked through in one container, so that an archive of empty entries ends.
pub(crate) const ENTRIES_MAX: u64 = 100_000;
/// Bytes that are unpacked for one file, all depths together.
pub const UNPACKED_BYTES_MAX: u64 = 256 << 20;
/// A stream that grows by more than this factor is a bomb: deflate reaches 1,032 at most, real programs stay below 20.
pub const RATIO_MAX: u64 = 1_000;
/// Up to here no ratio is looked at: a megabyte of zeros is in many images.
pub(crate) const RATIO_FREE_BYTES: u64 = 4 << 20;
/// Bytes of memory that the decoder of one XZ or LZMA stream may ask for: its dictionary.
pub(crate) const LZMA_DICTIONARY_BYTES_MAX: u32 = 64 << 20;
/// Bytes of a name or text of a sample that are kept. What is longer is cut.
pub(crate) const TEXT_BYTES_MAX: usize = 256;
/// Problems that are told of one sample; more are counted in the last one.
pub(crate) const PROBLEMS_MAX: usize = 32;

/// Program headers and section headers that are read. Linkers write tens; objects of C++ have thousands of sections.
pub(crate) const PROGRAMS_MAX: usize = 128;
pub(crate) const SECTIONS_MAX: usize = 8_192;
/// Entries of the dynamic section that are read.
pub(crate) const DYNAMIC_MAX: usize = 1_024;
/// Symbols of one table that are read.
pub(crate) const SYMBOLS_MAX: usize = 100_000;
/// Needed libraries that are told.
pub(crate) const NEEDED_MAX: usize = 64;
/// Names of imported functions that are told.
pub(crate) const IMPORTS_MAX: usize = 256;
/// Segments and sections whose entropy is told.
pub(crate) const REGIONS_MAX: usize = 64;

/// Functions that are hashed in one program, in the order of their addresses.
pub(crate) const FUNCTIONS_MAX: usize = 20_000;
/// Hashes of functions that are kept: the smallest ones, a fair sample whatever the size of the program.
pub const FUNCTION_HASHES_MAX: usize = 256;
/// Bytes of code that are looked at for functions.
pub(crate) const CODE_BYTES_MAX: usize = 8 << 20;

/// Printable letters that make a string.
pub(crate) const STRING_LETTERS_MIN: usize = 5;
/// Strings that are listed of one sample; all are counted.
pub(crate) const STRINGS_MAX: usize = 200;
/// Findings (addresses, URLs, names and so on) that are told of one sample and kind.
pub(crate) const FINDINGS_PER_KIND_MAX: usize = 64;
/// Decoded pieces that are told of one sample.
pub(crate) const DECODED_MAX: usize = 64;
/// Bytes of a sample that the decoders look at. Configurations are found in programs, and these are small.
pub(crate) const DECODE_BYTES_MAX: usize = 2 << 20;
/// Keys of RC4 and of repeated XOR that are tried, and places where each is tried.
pub(crate) const KEYS_MAX: usize = 4_000;
pub(crate) const KEY_PLACES_MAX: usize = 4_000;
/// Bytes of one decoded piece.
pub(crate) const DECODED_BYTES_MAX: usize = 4_096;
/// Words of a list of credentials that are told.
pub(crate) const CREDENTIALS_MAX: usize = 128;
/// Rules of YARA that are told for one sample.
pub(crate) const RULES_MAX: usize = 64;
