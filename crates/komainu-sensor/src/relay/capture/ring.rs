//! The ring of a device: its newest frames on the disk, in segments that are each a pcapng file of its own.
//!
//! Frames are appended to the youngest segment. One that is full is never touched again; the oldest goes when a new one
//! needs its room, so that all of them together never exceed the bound. A start begins a new segment and cuts off what a
//! power cut tore from the last one.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use komainu_decode::capture::{CaptureReader, Next};

use crate::pcapng::{self, Packet};

/// Into so many segments a ring is divided: so much of it is lost at once when the oldest goes.
const SEGMENTS: u64 = 16;

/// The largest segment in bytes: what is read into memory to find a torn end.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// How many files a ring may have. Each start begins one, however little the last one has.
const FILES_MAX: usize = 4_096;

/// Bytes that wait to be written: so that a write costs little for each frame, and little is lost when the process dies.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// The smallest ring in bytes, so that each segment has room for the longest frame and more.
pub const RING_BYTES_MIN: u64 = 8 << 20;

/// How the names of segments end.
const SUFFIX: &str = ".pcapng";

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    segment: u64,
    offset: u32,
    pub(super) bytes: u32,
}

/// The newest frames of a device.
#[derive(Debug)]
pub(super) struct Ring {
    folder: PathBuf,
    /// How each segment begins.
    beginning: Vec<u8>,
    bytes_max: u64,
    segment_bytes_max: u64,
    /// The oldest first.
    segments: VecDeque<Segment>,
    /// Bytes of all segments, as they are on the disk.
    bytes: u64,
    next: u64,
    /// The youngest segment, while it is written to.
    open: Option<File>,
    /// Whole blocks that are not written yet.
    waiting: Vec<u8>,
    waiting_frames: u64,
    /// The disk has failed; nothing is tried before [`Self::try_again`].
    is_failing: bool,
    lost: Lost,
    /// The segment that was read from last.
    read: Option<(u64, File)>,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    number: u64,
    bytes: u64,
}

/// Frames that are in no file, because the disk failed.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) frames: u64,
    pub(super) error: Option<io::Error>,
}

impl Ring {
    /// Opens the ring in a folder, or makes it, for the frames at an interface. Only one process may do so at a time.
    pub(super) fn open(folder: &Path, interface: &str, bytes_max: u64) -> io::Result<Self> {
        let bytes_max = bytes_max.max(RING_BYTES_MIN);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut segments = Vec::new();
        for file in fs::read_dir(folder)? {
            let file = file?;
            if let Some(number) = file.file_name().to_str().and_then(number_in) {
                segments.push(Segment { number, bytes: file.metadata()?.len() });
            }
        }
        segments.sort_by_key(|segment| segment.number);
        let mut ring = Self {
            folder: folder.to_owned(),
            beginning: pcapng::beginning(interface, None),
            bytes_max,
            segment_bytes_max: (bytes_max / SEGMENTS).min(SEGMENT_BYTES_MAX),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            next: segments.last().map_or(0, |last| last.number.saturating_add(1)),
            segments: segments.into(),
            open: None,
            waiting: Vec::new(),
            waiting_frames: 0,
            is_failing: false,
            lost: Lost::default(),
            read: None,
        };
        ring.mend_last()?;
        ring.make_room()?;
        Ok(ring)
    }

    /// Cuts off what is no whole block at the end of the last segment.
    fn mend_last(&mut self) -> io::Result<()> {
        let Some(last) = self.segments.back().copied() else { return Ok(()) };
        let file = OpenOptions::new().read(true).write(true).open(self.path(last.number))?;
        let mut bytes = Vec::new();
        (&file).take(SEGMENT_BYTES_MAX).read_to_end(&mut bytes)?;
        let whole = pcapng::whole_bytes(&bytes) as u64;
        if whole < last.bytes {
            file.set_len(whole)?;
            self.bytes -= last.bytes - whole;
        }
        if whole == 0 {
            fs::remove_file(self.path(last.number))?;
            self.segments.pop_back();
        } else if let Some(last) = self.segments.back_mut() {
            last.bytes = whole;
        }
        Ok(())
    }

    /// Appends a frame, and says where it lies; none when the disk fails, which is counted.
    pub(super) fn add(&mut self, packet: &Packet<'_>) -> Option<Place> {
        if self.is_failing {
            self.lost.frames += 1;
            return None;
        }
        let block_bytes = pcapng::packet_bytes(packet);
        if self.open.is_none() || self.end() + block_bytes as u64 > self.segment_bytes_max {
            self.flush();
            if let Err(error) = self.begin_segment() {
                self.fail(error, 1);
                return None;
            }
        }
        let segment = self.segments.back()?.number;
        let offset = u32::try_from(self.end()).ok()?;
        pcapng::add_packet(&mut self.waiting, packet);
        self.waiting_frames += 1;
        if self.waiting.len() >= WAITING_BYTES_MAX {
            self.flush();
        }
        Some(Place { segment, offset, bytes: block_bytes as u32 })
    }

    /// Where the next block of the youngest segment begins.
    fn end(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.bytes) + self.waiting.len() as u64
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        self.open = None;
        self.make_room()?;
        let number = self.next;
        let mut file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(self.path(number))?;
        self.next += 1;
        let bytes = self.beginning.len() as u64;
        self.segments.push_back(Segment { number, bytes });
        self.bytes += bytes;
        file.write_all(&self.beginning)?;
        self.open = Some(file);
        Ok(())
    }

    /// Removes the oldest segments until a whole one has room.
    fn make_room(&mut self) -> io::Result<()> {
        while self.bytes + self.segment_bytes_max > self.bytes_max || self.segments.len() >= FILES_MAX {
            let Some(oldest) = self.segments.front().copied() else { return Ok(()) };
            match fs::remove_file(self.path(oldest.number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            self.segments.pop_front();
            self.bytes -= oldest.bytes;
        }
        Ok(())
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let frames = std::mem::take(&mut self.waiting_frames);
        let (Some(file), Some(segment)) = (&mut self.open, self.segments.back_mut()) else { return };
        match file.write_all(&waiting) {
            Ok(()) => {
                segment.bytes += waiting.len() as u64;
                self.bytes += waiting.len() as u64;
                self.waiting = waiting;
                self.waiting.clear();
            }
            Err(error) => {
                // Half a block would make the rest of the segment unreadable.
                let _ = file.set_len(segment.bytes);
                self.open = None;
                self.fail(error, frames);
            }
        }
    }

    fn fail(&mut self, error: io::Error, frames: u64) {
        self.is_failing = true;
        self.lost.frames += frames;
        self.lost.error = Some(error);
    }

    /// Writes what waits, and tries the disk again when it had failed. Says what was lost since the last time.
    pub(super) fn try_again(&mut self) -> Option<Lost> {
        self.flush();
        self.is_failing = false;
        let lost = std::mem::take(&mut self.lost);
        (lost.frames > 0).then_some(lost)
    }

    /// Reads a frame's block into `block`; false when it is gone. What waits must be written before.
    pub(super) fn read(&mut self, place: Place, block: &mut Vec<u8>) -> bool {
        let is_there = self.segments.front().is_some_and(|oldest| oldest.number <= place.segment);
        if !is_there {
            return false;
        }
        if self.read.as_ref().is_none_or(|(number, _)| *number != place.segment) {
            let Ok(file) = File::open(self.path(place.segment)) else { return false };
            self.read = Some((place.segment, file));
        }
        let Some((_, file)) = &self.read else { return false };
        block.resize(place.bytes as usize, 0);
        file.read_exact_at(block, u64::from(place.offset)).is_ok() && pcapng::is_packet(block)
    }

    /// Lets go of the file that was read from: one that is removed keeps its room on the disk as long as it is open.
    pub(super) fn end_reading(&mut self) {
        self.read = None;
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(name_of(number))
    }
}

fn name_of(number: u64) -> String {
    format!("{number:010}{SUFFIX}")
}

/// The number in the name of a segment.
fn number_in(name: &str) -> Option<u64> {
    let number = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (name_of(number) == name).then_some(number)
}

/// Has `add` take the frames of a ring that were seen from `since` to `until`, in microseconds since 1970, as one pcapng
/// file of a section for each segment. Gives back how many they are.
///
/// Another process may write to the ring: a segment that it removes meanwhile, and a block that it has not written whole,
/// are left out.
pub(super) fn read(
    folder: &Path,
    since: i64,
    until: i64,
    add: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut frames = 0;
    for path in segments_in(folder)? {
        let mut segment = Vec::new();
        match File::open(&path).and_then(|file| file.take(SEGMENT_BYTES_MAX).read_to_end(&mut segment)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            outcome => {
                outcome?;
            }
        }
        let (mut reader, mut at, mut part, mut in_part) = (CaptureReader::default(), 0, Vec::new(), 0);
        while let Ok(next) = reader.next(&segment[at..]) {
            let (used, is_wanted) = match next {
                Next::Frame { frame, used } => (used, (since..=until).contains(&frame.at.unix_micros())),
                Next::Other { used } => (used, true),
                Next::More { .. } => break,
            };
            if is_wanted {
                part.extend_from_slice(&segment[at..at + used]);
                in_part += u64::from(matches!(next, Next::Frame { .. }));
            }
            at += used;
        }
        if in_part > 0 {
            add(&part)?;
            frames += in_part;
        }
    }
    Ok(frames)
}

/// The segments in a folder, the oldest first, while another process may write to it.
fn segments_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut numbers = Vec::new();
    for file in fs::read_dir(folder)? {
        numbers.extend(file?.file_name().to_str().and_then(number_in));
    }
    numbers.sort_unstable();
    Ok(numbers.into_iter().map(|number| folder.join(name_of(number))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcapng::Direction;

    fn packet(bytes: &[u8]) -> Packet<'_> {
        let wire_bytes = bytes.len() as u32;
        Packet { at_unix_ns: 1_000, direction: Direction::Outbound, bytes, wire_bytes, dropped_before: 0 }
    }

    fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
        segments_in(folder).unwrap().into_iter().map(read).collect()
    }

    #[test]
    fn a_ring_stays_within_its_bound_and_every_file_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(folder.path(), "s1", RING_BYTES_MIN).unwrap();
        let frame = vec![7; 60_000];
        let mut places = Vec::new();
        for _ in 0..400 {
            places.push(ring.add(&packet(&frame)).unwrap());
            let bytes: u64 =
                segments_in(folder.path()).unwrap().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
            assert!(bytes <= RING_BYTES_MIN, "{bytes}");
        }
        ring.flush();
        let files = files(folder.path());
        assert!(files.len() > 10, "{} files", files.len());
        for (path, bytes) in &files {
            assert_eq!(pcapng::whole_bytes(bytes), bytes.len(), "{path:?}");
        }
        let mut block = Vec::new();
        let kept = places.iter().filter(|place| ring.read(**place, &mut block)).count();
        assert!((100..200).contains(&kept), "{kept} frames are there");
        assert!(ring.read(places[399], &mut block) && !ring.read(places[0], &mut block));
        assert!(ring.try_again().is_none(), "nothing is lost");
    }

    #[test]
    fn a_start_goes_on_behind_what_is_there_and_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(folder.path(), "s1", RING_BYTES_MIN).unwrap();
        ring.add(&packet(b"one")).unwrap();
        ring.add(&packet(b"two")).unwrap();
        ring.flush();
        drop(ring);
        let (path, whole) = files(folder.path()).remove(0);
        let mut torn = whole.clone();
        torn.extend_from_slice(&whole[..17]);
        fs::write(&path, &torn).unwrap();
        fs::write(folder.path().join("0000000001.pcapng.note"), b"not a segment").unwrap();
        let mut ring = Ring::open(folder.path(), "s1", RING_BYTES_MIN).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
        let place = ring.add(&packet(b"three")).unwrap();
        ring.flush();
        assert!(ring.read(place, &mut Vec::new()));
        assert_eq!(files(folder.path()).len(), 2);
        drop(ring);
        // One that was begun and has nothing whole goes.
        fs::write(folder.path().join(name_of(2)), b"\n\r").unwrap();
        Ring::open(folder.path(), "s1", RING_BYTES_MIN).unwrap();
        assert_eq!(files(folder.path()).len(), 2);
    }

    #[test]
    fn a_part_of_a_ring_is_read_by_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(folder.path(), "s1", RING_BYTES_MIN).unwrap();
        let frame = vec![7; 60_000];
        for second in 0..20 {
            ring.add(&Packet { at_unix_ns: second * 1_000_000_000, ..packet(&frame) }).unwrap();
        }
        ring.flush();
        let check = |since: i64, until: i64, expected: u64| {
            let mut whole = Vec::new();
            let frames = read(folder.path(), since * 1_000_000, until * 1_000_000, &mut |part| {
                whole.extend_from_slice(part);
                Ok(())
            });
            assert_eq!(frames.unwrap(), expected, "{since} to {until}");
            assert_eq!(pcapng::whole_bytes(&whole), whole.len());
        };
        check(0, 19, 20);
        check(5, 15, 11);
        check(20, 30, 0);
    }

    #[test]
    fn a_disk_that_fails_costs_frames_that_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let ring_folder = folder.path().join("porch");
        let mut ring = Ring::open(&ring_folder, "s1", RING_BYTES_MIN).unwrap();
        fs::remove_dir_all(&ring_folder).unwrap();
        assert_eq!(ring.add(&packet(b"one")), None);
        assert_eq!(ring.add(&packet(b"two")), None);
        fs::create_dir(&ring_folder).unwrap();
        assert_eq!(ring.try_again().map(|lost| lost.frames), Some(2));
        let place = ring.add(&packet(b"three")).unwrap();
        ring.flush();
        assert!(ring.read(place, &mut Vec::new()));
        assert!(ring.try_again().is_none());
    }
}
