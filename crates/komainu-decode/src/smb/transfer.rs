//! Open files, and what is written to them and read from them.

use super::state::Handle;
use crate::oddities::Oddities;
use crate::{Fact, FileEvent, FileNumber, FileVia, Observer, OddityKind, Place};

/// How many files are open at a time. The one that was opened first is forgotten when there are more, and what it
/// carries ends.
const OPENS_MAX: usize = 64;

/// How much of a name an open file keeps, in bytes.
const OPEN_NAME_BYTES_MAX: usize = 1024;

/// How many pieces of a file, with unread parts between them, are counted. Clients read in order, with a few reads at a
/// time; what is read more wildly than this ends as incomplete.
const RANGES_MAX: usize = 16;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Write,
    Read,
}

/// Where bytes of a file come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sink {
    pub(super) file: FileNumber,
    pub(super) offset: u64,
}

/// A file that is open.
#[derive(Debug)]
pub(super) struct Opened {
    handle: Option<Handle>,
    /// The message that asked for it.
    created_by: Option<u64>,
    pub(super) name: Vec<u8>,
    pub(super) is_pipe: bool,
    /// Its length, in bytes, where that is known.
    bytes: Option<u64>,
    /// Somebody asked to close it.
    is_closing: bool,
    written: Option<Carried>,
    read: Option<Carried>,
}

/// A file that is told.
#[derive(Debug)]
struct Carried {
    file: FileNumber,
    /// Where it began, for the place of its end.
    place: Place,
    /// Bytes were lost, or refused.
    is_broken: bool,
    ranges: Ranges,
}

/// Which files are open.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    opens: Vec<Opened>,
    files: u32,
    /// A file had to be forgotten, and that was not told.
    has_forgotten: bool,
}

impl Transfers {
    /// A file was opened.
    pub(super) fn open(
        &mut self,
        handle: Handle,
        created_by: u64,
        name: &[u8],
        is_pipe: bool,
        bytes: Option<u64>,
        observer: &mut dyn Observer,
    ) {
        let awaited = self.find(Handle::Created(created_by)).filter(|at| self.opens[*at].handle.is_none());
        match awaited {
            Some(at) => {
                self.opens[at].handle = Some(handle);
                self.opens[at].bytes = bytes;
            }
            None => {
                // A server that gives the same handle again has closed the old one.
                if let Some(at) = self.find(handle) {
                    self.remove(at, observer);
                }
                let at = self.insert(Some(handle), Some(created_by), name, observer);
                self.opens[at].is_pipe = is_pipe;
                self.opens[at].bytes = bytes;
            }
        }
    }

    /// A file was not opened; something may have been written to it in the same message.
    pub(super) fn refuse(&mut self, created_by: u64, observer: &mut dyn Observer) {
        if let Some(at) = self.find(Handle::Created(created_by)).filter(|at| self.opens[*at].handle.is_none()) {
            self.remove(at, observer);
        }
    }

    /// Something is written to the file that a message asks for, before it is known whether it will be opened.
    pub(super) fn expect(&mut self, created_by: u64, name: &[u8], is_pipe: bool, observer: &mut dyn Observer) {
        if self.find(Handle::Created(created_by)).is_none() {
            let at = self.insert(None, Some(created_by), name, observer);
            self.opens[at].is_pipe = is_pipe;
        }
    }

    pub(super) fn get(&self, handle: Handle) -> Option<&Opened> {
        self.find(handle).map(|at| &self.opens[at])
    }

    /// Its name; empty when its opening was not seen.
    pub(super) fn name(&self, handle: Handle) -> Vec<u8> {
        self.get(handle).map(|opened| opened.name.clone()).unwrap_or_default()
    }

    pub(super) fn rename(&mut self, handle: Handle, name: &[u8]) {
        if let Some(at) = self.find(handle) {
            self.opens[at].name = cut(name);
        }
    }

    /// Somebody asks to close a file.
    pub(super) fn closing(&mut self, handle: Handle) {
        if let Some(at) = self.find(handle) {
            self.opens[at].is_closing = true;
        }
    }

    /// A file was closed.
    pub(super) fn close(&mut self, handle: Handle, observer: &mut dyn Observer) {
        if let Some(at) = self.find(handle) {
            self.opens[at].is_closing = true;
            self.remove(at, observer);
        }
    }

    /// The server says that a file ends at or before `bytes`.
    pub(super) fn end_at(&mut self, handle: Handle, bytes: u64) {
        if let Some(at) = self.find(handle) {
            let known = &mut self.opens[at].bytes;
            *known = Some(known.map_or(bytes, |known| known.min(bytes)));
        }
    }

    /// What was written was refused, or what was read was lost.
    pub(super) fn spoil(&mut self, file: FileNumber) {
        if let Some(carried) = self.carried(file) {
            carried.is_broken = true;
        }
    }

    /// Bytes of a file go over the wire from `offset` on. None for a pipe.
    pub(super) fn begin(
        &mut self,
        handle: Handle,
        way: Way,
        offset: u64,
        place: Place,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
    ) -> Option<Sink> {
        let at = match self.find(handle) {
            Some(at) => at,
            None => {
                oddities.tell(place, OddityKind::Tolerated, "handle_unknown", observer);
                let created_by = match handle {
                    Handle::Created(by) => Some(by),
                    Handle::V1(_) | Handle::V2(_) => None,
                };
                let handle = if created_by.is_some() { None } else { Some(handle) };
                self.insert(handle, created_by, b"", observer)
            }
        };
        let opened = &mut self.opens[at];
        if opened.is_pipe {
            return None;
        }
        let (carried, via, bytes_expected) = match way {
            Way::Write => (&mut opened.written, FileVia::SmbWrite, None),
            Way::Read => (&mut opened.read, FileVia::SmbRead, opened.bytes),
        };
        let file = match carried {
            Some(carried) => carried.file,
            None => {
                let file = FileNumber(self.files);
                self.files = self.files.wrapping_add(1);
                *carried = Some(Carried { file, place, is_broken: false, ranges: Ranges::default() });
                let begin = FileEvent::Begin { file, name: &opened.name, via, bytes_expected };
                observer.fact(place, Fact::File(begin));
                file
            }
        };
        Some(Sink { file, offset })
    }

    /// Tells bytes of a file, if it has not ended meanwhile.
    pub(super) fn part(&mut self, sink: Sink, bytes: &[u8], place: Place, observer: &mut dyn Observer) {
        if let Some(carried) = self.carried(sink.file) {
            carried.ranges.add(sink.offset, bytes.len() as u64);
            let part = FileEvent::Part { file: sink.file, offset: sink.offset, bytes };
            observer.fact(place, Fact::File(part));
        }
    }

    /// Whether a file had to be forgotten since this was asked last.
    pub(super) fn take_forgotten(&mut self) -> bool {
        std::mem::take(&mut self.has_forgotten)
    }

    /// Ends all files.
    pub(super) fn end(&mut self, observer: &mut dyn Observer) {
        while !self.opens.is_empty() {
            self.remove(0, observer);
        }
    }

    fn find(&self, handle: Handle) -> Option<usize> {
        self.opens.iter().rposition(|opened| match handle {
            Handle::Created(by) => opened.created_by == Some(by),
            Handle::V1(_) | Handle::V2(_) => opened.handle == Some(handle),
        })
    }

    fn carried(&mut self, file: FileNumber) -> Option<&mut Carried> {
        self.opens
            .iter_mut()
            .flat_map(|opened| [&mut opened.written, &mut opened.read])
            .flatten()
            .find(|carried| carried.file == file)
    }

    fn insert(
        &mut self,
        handle: Option<Handle>,
        created_by: Option<u64>,
        name: &[u8],
        observer: &mut dyn Observer,
    ) -> usize {
        if self.opens.len() == OPENS_MAX {
            self.remove(0, observer);
            self.has_forgotten = true;
        }
        self.opens.push(Opened {
            handle,
            created_by,
            name: cut(name),
            is_pipe: false,
            bytes: None,
            is_closing: false,
            written: None,
            read: None,
        });
        self.opens.len() - 1
    }

    /// Forgets a file. What was written to it is whole if somebody asked to close it, for then nothing more can come;
    /// what was read is whole if all of a known length was.
    fn remove(&mut self, at: usize, observer: &mut dyn Observer) {
        let opened = self.opens.remove(at);
        let is_all_read = |carried: &Carried| opened.bytes.is_some_and(|bytes| carried.ranges.covers(bytes));
        let ends = [
            opened.written.as_ref().map(|carried| (carried, opened.is_closing)),
            opened.read.as_ref().map(|carried| (carried, is_all_read(carried))),
        ];
        for (carried, is_all) in ends.into_iter().flatten() {
            let end = FileEvent::End { file: carried.file, is_complete: is_all && !carried.is_broken };
            observer.fact(carried.place, Fact::File(end));
        }
    }
}

fn cut(name: &[u8]) -> Vec<u8> {
    name[..name.len().min(OPEN_NAME_BYTES_MAX)].to_vec()
}

/// Which bytes of a file were seen: ranges that do not touch each other, in order.
#[derive(Debug, Default)]
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    fn add(&mut self, offset: u64, bytes: u64) {
        let (mut begin, mut end) = (offset, offset.saturating_add(bytes));
        // The usual case: a file in order.
        if let [.., (_, last)] = &mut self.0[..]
            && *last == begin
        {
            *last = end;
            return;
        }
        self.0.retain(|(other_begin, other_end)| {
            let is_apart = *other_end < begin || end < *other_begin;
            if !is_apart {
                begin = begin.min(*other_begin);
                end = end.max(*other_end);
            }
            is_apart
        });
        if self.0.len() < RANGES_MAX {
            let at = self.0.partition_point(|(other, _)| *other < begin);
            self.0.insert(at, (begin, end));
        }
    }

    fn covers(&self, bytes: u64) -> bool {
        bytes == 0 || matches!(self.0.first(), Some((0, end)) if *end >= bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join() {
        let covers = |parts: &[(u64, u64)], bytes| {
            let mut ranges = Ranges::default();
            for (offset, bytes) in parts {
                ranges.add(*offset, *bytes);
            }
            ranges.covers(bytes)
        };
        assert!(covers(&[(0, 10), (10, 10)], 20));
        assert!(covers(&[(10, 10), (0, 10)], 20));
        assert!(covers(&[(0, 4), (8, 4), (2, 7)], 12));
        assert!(!covers(&[(0, 4), (8, 4)], 12));
        assert!(covers(&[], 0));
        assert!(covers(&[(u64::MAX, 4), (0, 1)], 1));
    }

    #[test]
    fn too_many_ranges_are_not_whole() {
        let mut ranges = Ranges::default();
        for piece in 0..1000 {
            ranges.add(piece * 10, 5);
        }
        assert_eq!(ranges.0.len(), RANGES_MAX);
        assert!(!ranges.covers(10_000));
    }
}
