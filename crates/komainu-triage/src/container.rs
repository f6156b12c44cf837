//! Unpacking, with bounds: what comes out of a container is handed over member by member, and whatever the container says
//! of itself, no more is unpacked than the [`Budget`] has.

mod archive;
mod firmware;
mod squashfs;
mod stream;
mod zip;

pub(crate) use archive::is_tar;

use crate::limits::{
    ENTRIES_MAX, LZMA_DICTIONARY_BYTES_MAX, MEMBERS_MAX, RATIO_FREE_BYTES, RATIO_MAX, SAMPLE_BYTES_MAX,
    UNPACKED_BYTES_MAX,
};
use crate::problems::Problems;

/// How a container is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Gzip,
    Xz,
    Bzip2,
    Zip,
    Tar,
    Ar,
    CpioNew,
    CpioOld,
    Squashfs,
    UImage,
    Trx,
}

/// What may still be unpacked for one file, over all depths.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: u64,
    entries: u64,
    members: usize,
    /// Members that nobody will look at.
    pub(crate) left_out: u64,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { bytes: UNPACKED_BYTES_MAX, entries: ENTRIES_MAX, members: MEMBERS_MAX, left_out: 0 }
    }
}

/// What takes a member: the budget for what is in it, its name, and its bytes.
pub(crate) type Take<'a> = &'a mut dyn FnMut(&mut Budget, Option<&[u8]>, &[u8]);

/// Who gets the members of one container.
pub(crate) struct Unpacking<'a> {
    pub(crate) budget: &'a mut Budget,
    pub(crate) problems: &'a mut Problems,
    /// Takes a member: its name, if it has one, and its bytes. Members of it use the same budget.
    pub(crate) take: Take<'a>,
    /// Files in the container.
    pub(crate) members: u64,
    /// Bytes unpacked.
    pub(crate) bytes: u64,
}

/// Nothing more can be unpacked of this container; why is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stop;

impl Unpacking<'_> {
    /// Unpacks a container.
    pub(crate) fn run(&mut self, format: Format, bytes: &[u8]) {
        // Why it stopped stands among the problems.
        let _ = match format {
            Format::Gzip => stream::gzip(self, bytes),
            Format::Xz => stream::xz(self, bytes),
            Format::Bzip2 => stream::bzip2(self, bytes),
            Format::Zip => zip::unpack(self, bytes),
            Format::Tar => archive::tar(self, bytes),
            Format::Ar => archive::ar(self, bytes),
            Format::CpioNew => archive::cpio_new(self, bytes),
            Format::CpioOld => archive::cpio_old(self, bytes),
            Format::Squashfs => squashfs::unpack(self, bytes),
            Format::UImage => firmware::uimage(self, bytes),
            Format::Trx => firmware::trx(self, bytes),
        };
    }

    /// Counts an entry of any kind; so an archive of empty entries ends.
    fn entry(&mut self) -> Result<(), Stop> {
        match self.budget.entries.checked_sub(1) {
            Some(left) => {
                self.budget.entries = left;
                Ok(())
            }
            None => self.stop(format!("more than {ENTRIES_MAX} entries: the rest is not read")),
        }
    }

    /// Whether another member is looked at; counts it if not.
    fn has_room(&mut self) -> bool {
        self.members += 1;
        if self.budget.members == 0 {
            self.budget.left_out += 1;
        }
        self.budget.members > 0
    }

    /// Hands over a member for which [`Self::has_room`] said that it is looked at.
    fn member(&mut self, name: Option<&[u8]>, bytes: &[u8]) {
        self.budget.members = self.budget.members.saturating_sub(1);
        self.bytes += bytes.len() as u64;
        (self.take)(self.budget, name, bytes);
    }

    /// Hands over a member that lies in the container as it is.
    fn stored(&mut self, name: Option<&[u8]>, bytes: &[u8]) -> Result<(), Stop> {
        self.entry()?;
        if !self.has_room() {
            return Ok(());
        }
        if bytes.len() > SAMPLE_BYTES_MAX {
            self.budget.left_out += 1;
            self.problems
                .tell(format!("a member of {} bytes is not looked at: {SAMPLE_BYTES_MAX} are the most", bytes.len()));
            return Ok(());
        }
        self.spend(bytes.len() as u64)?;
        self.member(name, bytes);
        Ok(())
    }

    fn spend(&mut self, bytes: u64) -> Result<(), Stop> {
        match self.budget.bytes.checked_sub(bytes) {
            Some(left) => {
                self.budget.bytes = left;
                Ok(())
            }
            None => {
                self.budget.bytes = 0;
                self.stop(format!("more than {UNPACKED_BYTES_MAX} bytes come out of it: the rest is not unpacked"))
            }
        }
    }

    fn stop<T>(&mut self, problem: impl Into<String>) -> Result<T, Stop> {
        self.problems.tell(problem);
        Err(Stop)
    }

    /// Reads what a decoder gives out of `packed_bytes`, within all bounds. What came before an error is kept: a
    /// truncated program is still one.
    fn inflate(&mut self, mut decoder: impl std::io::Read, packed_bytes: usize) -> Result<Vec<u8>, Stop> {
        let mut out = Vec::new();
        let mut piece = vec![0; 64 << 10];
        loop {
            let count = match decoder.read(&mut piece) {
                Ok(0) => return Ok(out),
                Ok(count) => count,
                Err(error) => {
                    self.problems.tell(format!("cannot be unpacked beyond {} bytes: {}", out.len(), cause(&error)));
                    return Ok(out);
                }
            };
            self.spend(count as u64)?;
            out.extend_from_slice(&piece[..count]);
            let bytes = out.len() as u64;
            if bytes > RATIO_FREE_BYTES && bytes / RATIO_MAX > packed_bytes as u64 {
                return self.stop(format!("a bomb: {packed_bytes} bytes become more than {bytes}"));
            }
            if out.len() > SAMPLE_BYTES_MAX {
                self.budget.left_out += 1;
                return self.stop(format!("a member has more than {SAMPLE_BYTES_MAX} bytes: it is not looked at"));
            }
        }
    }
}

/// Why a decoder gave up, in words of ours: its own may have something of the sample in them.
fn cause(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it ends early",
        std::io::ErrorKind::OutOfMemory => "it wants too much memory",
        std::io::ErrorKind::Unsupported => "it is compressed in a way that is not supported",
        _ => "it is damaged",
    }
}

/// Kibibytes of memory for an XZ decoder.
const LZMA_KIB_MAX: u32 = LZMA_DICTIONARY_BYTES_MAX / 1024 + 1_024;

#[cfg(test)]
mod tests;
