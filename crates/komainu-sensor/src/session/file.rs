//! A file that is being carried: its digest, and its contents as far as there is memory for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use komainu_decode::{FileNumber, FileVia, Side};

use crate::artifact::Sha256Digest;

/// Bytes of one file that may wait for what comes before them. Beyond it they are lost and the file has a gap.
const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// Parts of one file that may wait, for the same reason: each costs more than its bytes.
const WAITING_PARTS_MAX: usize = 256;
/// The longest name that is kept, in bytes: the longest path of Linux.
const NAME_BYTES_MAX: usize = 4096;
/// Memory is taken in steps, so that the counter that all flows share is seldom touched.
const MEMORY_STEP_BYTES: u64 = 64 * 1024;

/// Memory that all files share.
#[derive(Debug)]
pub(super) struct FileMemory {
    left_bytes: AtomicU64,
}

impl FileMemory {
    pub(super) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { left_bytes: AtomicU64::new(bytes_max) })
    }

    fn take(&self, bytes: u64) -> bool {
        let taken = self.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.left_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A file that has begun.
pub(super) struct OpenFile {
    pub(super) number: FileNumber,
    side: Side,
    name: Box<[u8]>,
    via: FileVia,
    /// How many bytes are known from the beginning without a gap, and their digest.
    bytes: u64,
    digest: digest::Context,
    /// Those bytes, as long as they are kept.
    contents: Option<Vec<u8>>,
    bytes_max: u64,
    memory: Arc<FileMemory>,
    memory_bytes: u64,
    /// Parts behind a gap, by their offset.
    waiting: BTreeMap<u64, Vec<u8>>,
    waiting_bytes: usize,
    /// Bytes were changed after they had been digested.
    is_changed: bool,
    /// Bytes were lost, here or before.
    has_gaps: bool,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OpenFile")
            .field("number", &self.number)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// A file that has ended.
#[derive(Debug)]
pub(super) struct EndedFile {
    pub(super) side: Side,
    pub(super) name: Box<[u8]>,
    pub(super) via: FileVia,
    /// Bytes from the beginning without a gap.
    pub(super) bytes: u64,
    /// Their digest.
    pub(super) sha256: Sha256Digest,
    /// Those bytes, unless they are too many.
    pub(super) contents: Option<Vec<u8>>,
    pub(super) has_gaps: bool,
    pub(super) is_complete: bool,
}

impl OpenFile {
    /// A file whose contents are kept up to `bytes_max`; with 0, only its digest is made.
    pub(super) fn new(
        number: FileNumber,
        side: Side,
        name: &[u8],
        via: FileVia,
        bytes_max: u64,
        memory: Arc<FileMemory>,
    ) -> Self {
        Self {
            number,
            side,
            name: name[..name.len().min(NAME_BYTES_MAX)].into(),
            via,
            bytes: 0,
            digest: digest::Context::new(&digest::SHA256),
            contents: (bytes_max > 0).then(Vec::new),
            bytes_max,
            memory,
            memory_bytes: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            is_changed: false,
            has_gaps: false,
        }
    }

    /// Takes bytes that belong at `offset`.
    pub(super) fn part(&mut self, offset: u64, bytes: &[u8]) {
        self.join(offset, bytes);
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > self.bytes {
                break;
            }
            let (offset, bytes) = entry.remove_entry();
            self.waiting_bytes -= bytes.len();
            self.join(offset, &bytes);
        }
    }

    fn join(&mut self, offset: u64, bytes: &[u8]) {
        let Some(overlap) = self.bytes.checked_sub(offset) else { return self.wait(offset, bytes) };
        let again = usize::try_from(overlap).unwrap_or(usize::MAX).min(bytes.len());
        let (again, new) = bytes.split_at(again);
        self.overwrite(offset, again);
        self.append(new);
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let Some(contents) = &mut self.contents else {
            // What was digested cannot be changed any more, nor seen to be the same.
            self.has_gaps = true;
            return;
        };
        let start = usize::try_from(offset).expect("the contents are in memory up to here");
        let known = &mut contents[start..start + bytes.len()];
        if known != bytes {
            known.copy_from_slice(bytes);
            self.is_changed = true;
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        while self.contents.is_some() && self.bytes > self.memory_bytes {
            if self.bytes > self.bytes_max || !self.memory.take(MEMORY_STEP_BYTES) {
                return self.forget_contents();
            }
            self.memory_bytes += MEMORY_STEP_BYTES;
        }
        if let Some(contents) = &mut self.contents {
            contents.extend_from_slice(bytes);
        }
    }

    fn forget_contents(&mut self) {
        self.contents = None;
        // The digest is of what was there before it was overwritten.
        self.has_gaps |= self.is_changed;
        self.memory.give_back(std::mem::take(&mut self.memory_bytes));
    }

    fn wait(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.waiting.len() >= WAITING_PARTS_MAX || self.waiting_bytes + bytes.len() > WAITING_BYTES_MAX {
            self.has_gaps = true;
            return;
        }
        self.waiting_bytes += bytes.len();
        if let Some(before) = self.waiting.insert(offset, bytes.to_vec()) {
            self.waiting_bytes -= before.len();
            // The longer one is kept; of two writes of one length the later counts.
            if before.len() > bytes.len() {
                self.waiting_bytes += before.len() - bytes.len();
                let mut merged = before;
                merged[..bytes.len()].copy_from_slice(bytes);
                self.waiting.insert(offset, merged);
            }
        }
    }

    /// Ends the file; the decoder says whether it saw all of it.
    pub(super) fn end(mut self, is_complete: bool) -> EndedFile {
        let has_gaps = self.has_gaps || !self.waiting.is_empty();
        let contents = self.contents.take();
        let sha256 = match &contents {
            Some(contents) if self.is_changed => Sha256Digest::of(contents),
            Some(_) | None => Sha256Digest::from_digest(self.digest.clone().finish()),
        };
        EndedFile {
            side: self.side,
            name: std::mem::take(&mut self.name),
            via: self.via,
            bytes: self.bytes,
            sha256,
            contents,
            has_gaps,
            is_complete: is_complete && !has_gaps,
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.memory.give_back(self.memory_bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes_max: u64, memory: u64, parts: &[(u64, &[u8])], expected: &[u8], is_kept: bool, has_gaps: bool) {
        let memory = FileMemory::new(memory);
        let before = memory.left_bytes.load(Ordering::Relaxed);
        let mut file = OpenFile::new(FileNumber(0), Side::Client, b"a", FileVia::SmbWrite, bytes_max, memory.clone());
        for (offset, bytes) in parts {
            file.part(*offset, bytes);
        }
        let ended = file.end(true);
        assert_eq!(ended.sha256, Sha256Digest::of(expected), "{parts:?}");
        assert_eq!(ended.bytes, expected.len() as u64);
        assert_eq!(ended.contents.as_deref(), is_kept.then_some(expected));
        assert_eq!((ended.has_gaps, ended.is_complete), (has_gaps, !has_gaps), "{parts:?}");
        assert_eq!(memory.left_bytes.load(Ordering::Relaxed), before);
    }

    #[test]
    fn parts_come_in_any_order() {
        let kept = |parts: &[(u64, &[u8])], expected: &[u8], has_gaps| {
            check(1 << 20, 1 << 20, parts, expected, true, has_gaps);
        };
        kept(&[(0, b"abc"), (3, b"def")], b"abcdef", false);
        kept(&[(3, b"def"), (0, b"abc")], b"abcdef", false);
        kept(&[(6, b"ghi"), (3, b"def"), (0, b"abc")], b"abcdefghi", false);
        kept(&[(0, b"abcd"), (2, b"XY"), (4, b"e")], b"abXYe", false);
        kept(&[(0, b"abcd"), (2, b"cdef")], b"abcdef", false);
        kept(&[(3, b"d"), (3, b"def"), (0, b"abc")], b"abcdef", false);
        kept(&[(3, b"dxf"), (4, b"e"), (3, b"d"), (0, b"abc")], b"abcdef", false);
        kept(&[(0, b"abc"), (4, b"e")], b"abc", true);
        kept(&[(u64::MAX, b"e"), (0, b"abc")], b"abc", true);
        kept(&[], b"", false);
    }

    #[test]
    fn without_memory_there_is_still_a_digest() {
        let long = vec![7; 200_000];
        check(100_000, 1 << 20, &[(0, &long)], &long, false, false);
        check(1 << 20, 100_000, &[(0, &long[..50_000]), (50_000, &long[50_000..])], &long, false, false);
        check(0, 1 << 20, &[(0, b"abc")], b"abc", false, false);
        check(0, 1 << 20, &[(0, b"abc"), (0, b"xyz")], b"abc", false, true);
    }

    #[test]
    fn what_waits_is_bounded() {
        let part = vec![1; WAITING_BYTES_MAX];
        check(1 << 20, 1 << 24, &[(1, &part), (2, b"lost"), (0, b"0")], &[&b"0"[..], &part].concat(), false, true);
        let mut parts: Vec<(u64, &[u8])> = (0..1000).map(|n| (2 * n + 1, &b"x"[..])).collect();
        parts.push((0, b"0"));
        check(1 << 20, 1 << 24, &parts, b"0x", true, true);
    }

    proptest! {
        #[test]
        fn parts_in_any_order_make_the_same_file(
            contents in proptest::collection::vec(any::<u8>(), 1..2000),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
            order in proptest::collection::vec(any::<u32>(), 21),
            overlap in 0_usize..50,
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(contents.len())).collect();
            cuts.extend([0, contents.len()]);
            cuts.sort_unstable();
            let mut parts: Vec<(u32, usize, &[u8])> = cuts
                .windows(2)
                .zip(order)
                .map(|(ends, order)| (order, ends[0], &contents[ends[0]..(ends[1] + overlap).min(contents.len())]))
                .collect();
            parts.sort_unstable();
            let parts: Vec<(u64, &[u8])> = parts.iter().map(|(_, offset, bytes)| (*offset as u64, *bytes)).collect();
            check(1 << 20, 1 << 20, &parts, &contents, true, false);
        }
    }
}
