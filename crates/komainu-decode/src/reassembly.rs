//! One direction of a TCP connection: segments in any order in, a stream out.
//!
//! What comes in order is passed on where it lies. What comes early waits, within a bound. Where segments overlap, the
//! byte that came first counts: targets differ in this, so a difference between both is told, since only somebody who
//! wants to be misread sends two versions of one byte.

use std::collections::VecDeque;

use crate::capture::PacketTime;

/// How far ahead of the stream a segment may be, in bytes: the largest windows that are used are some mebibytes. What
/// is further ahead is not of this stream, and its receiver would drop it.
const AHEAD_BYTES_MAX: i32 = 16 * 1024 * 1024;
/// Bytes that wait for earlier ones in one direction, unless somebody wants less. At the bound the missing ones are taken
/// for lost.
pub(crate) const HELD_BYTES_MAX: usize = 1024 * 1024;
/// Segments that wait for earlier ones in one direction: bounds the work of each further one.
const HELD_SEGMENTS_MAX: usize = 512;
/// How long bytes that the other side has acknowledged are waited for, in microseconds: they were sent and received, so
/// the capture has lost them, unless it has them in another order.
const LOST_AFTER_US: u64 = 1_000_000;

/// What a stream says next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// So many bytes are not known.
    Gap(u64),
    /// Bytes that were known came again and were others; the stream has the first ones.
    Conflict,
    /// A segment was too far ahead and was left out.
    OutOfWindow,
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Bytes that may wait for earlier ones.
    held_bytes_max: usize,
    /// The sequence number of the next byte; none before the first segment.
    next: Option<u32>,
    /// Bytes that were passed on or given up.
    offset: u64,
    /// What waits, by offset, without overlaps.
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Since when something is missing.
    missing_since: Option<PacketTime>,
    /// How far the other side has acknowledged.
    acknowledged: u64,
    /// Where the stream ends, once its FIN came.
    end: Option<u64>,
}

#[derive(Debug)]
struct Held {
    offset: u64,
    bytes: Vec<u8>,
}

impl Stream {
    /// A direction in which so many bytes may wait for earlier ones.
    pub(crate) fn new(held_bytes_max: usize) -> Self {
        Self {
            held_bytes_max,
            next: None,
            offset: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            missing_since: None,
            acknowledged: 0,
            end: None,
        }
    }

    /// Whether the first sequence number is known.
    pub(crate) fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// Whether nothing was passed on yet and the first byte has this sequence number.
    pub(crate) fn begins_at(&self, sequence: u32) -> bool {
        self.offset == 0 && self.next == Some(sequence)
    }

    /// The stream begins with this sequence number.
    pub(crate) fn begin(&mut self, sequence: u32) {
        self.next.get_or_insert(sequence);
    }

    /// Whether everything up to FIN was passed on.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.offset >= end)
    }

    /// Takes a segment, of which `cut_bytes` at the end were not captured. The stream has begun.
    pub(crate) fn segment(
        &mut self,
        at: PacketTime,
        sequence: u32,
        payload: &[u8],
        cut_bytes: u32,
        is_last: bool,
        sink: &mut dyn FnMut(Piece<'_>),
    ) {
        let next = *self.next.get_or_insert(sequence);
        // Serial number arithmetic (RFC 9293, 3.4): the signed difference tells before from behind.
        let ahead = sequence.wrapping_sub(next).cast_signed();
        if ahead > AHEAD_BYTES_MAX {
            return sink(Piece::OutOfWindow);
        }
        let begin = self.offset.cast_signed() + i64::from(ahead);
        let end = begin + payload.len() as i64 + i64::from(cut_bytes);
        if is_last && end >= 0 {
            self.end.get_or_insert(end.unsigned_abs());
        }
        let end_known = begin + payload.len() as i64;
        if end_known > self.offset.cast_signed() {
            // Not negative: what was passed on before is taken off.
            let passed = (self.offset.cast_signed() - begin).max(0);
            let offset = begin.max(self.offset.cast_signed()).unsigned_abs();
            let fresh = &payload[usize::try_from(passed).unwrap_or(payload.len()).min(payload.len())..];
            if offset == self.offset && self.held.is_empty() {
                self.advance(fresh.len() as u64);
                sink(Piece::Data(fresh));
            } else {
                self.hold(at, offset, fresh, sink);
                self.release(sink);
            }
        }
        if cut_bytes > 0 && end_known == self.offset.cast_signed() {
            self.advance(u64::from(cut_bytes));
            sink(Piece::Gap(u64::from(cut_bytes)));
            self.release(sink);
        }
        self.give_up_if_lost(at, sink);
    }

    /// Learns that the other side has everything before `sequence`.
    pub(crate) fn acknowledge(&mut self, at: PacketTime, sequence: u32, sink: &mut dyn FnMut(Piece<'_>)) {
        let Some(next) = self.next else { return };
        let ahead = sequence.wrapping_sub(next).cast_signed();
        if (0..=AHEAD_BYTES_MAX).contains(&ahead) {
            self.acknowledged = self.acknowledged.max(self.offset + u64::from(ahead.unsigned_abs()));
        }
        self.give_up_if_lost(at, sink);
    }

    /// Passes on what waits; what is missing in between is lost.
    pub(crate) fn flush(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        while !self.held.is_empty() {
            self.skip(sink);
        }
        if let Some(end) = self.end
            && end > self.offset
        {
            let lost = end - self.offset;
            self.advance(lost);
            sink(Piece::Gap(lost));
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.offset += bytes;
        self.next = self.next.map(|next| next.wrapping_add(bytes as u32));
    }

    /// Keeps what is not known of `bytes`.
    fn hold(&mut self, at: PacketTime, offset: u64, bytes: &[u8], sink: &mut dyn FnMut(Piece<'_>)) {
        let end = offset + bytes.len() as u64;
        let (mut begin, mut conflicts) = (offset, false);
        let mut fresh: Vec<Held> = Vec::new();
        let part = |from: u64, to: u64| bytes[(from - offset) as usize..(to - offset) as usize].to_vec();
        // Segments come nearly in order: most overlap nothing, and belong at the end.
        let first = self.held.partition_point(|held| held.end() <= offset);
        for held in self.held.iter().skip(first).take_while(|held| held.offset < end) {
            if held.offset > begin {
                fresh.push(Held { offset: begin, bytes: part(begin, held.offset) });
            }
            let (from, to) = (held.offset.max(offset), held.end().min(end));
            let known = &held.bytes[(from - held.offset) as usize..(to - held.offset) as usize];
            conflicts |= known != &bytes[(from - offset) as usize..(to - offset) as usize];
            begin = begin.max(held.end());
        }
        if begin < end {
            fresh.push(Held { offset: begin, bytes: part(begin, end) });
        }
        for held in fresh {
            self.held_bytes += held.bytes.len();
            let index = self.held.partition_point(|other| other.offset < held.offset);
            self.held.insert(index, held);
        }
        self.missing_since.get_or_insert(at);
        if conflicts {
            sink(Piece::Conflict);
        }
        while self.held_bytes > self.held_bytes_max || self.held.len() > HELD_SEGMENTS_MAX {
            self.skip(sink);
        }
    }

    /// Passes on what follows the stream without a gap.
    fn release(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        while self.held.front().is_some_and(|held| held.offset <= self.offset) {
            let held = self.held.pop_front().expect("there is a front");
            self.held_bytes -= held.bytes.len();
            // A part that was cut in the capture may have been counted as lost before.
            let known = usize::try_from(self.offset - held.offset).unwrap_or(usize::MAX).min(held.bytes.len());
            if known < held.bytes.len() {
                self.advance((held.bytes.len() - known) as u64);
                sink(Piece::Data(&held.bytes[known..]));
            }
        }
        if self.held.is_empty() {
            self.missing_since = None;
            if self.held.capacity() > 16 {
                self.held = VecDeque::new();
            }
        }
    }

    fn give_up_if_lost(&mut self, at: PacketTime, sink: &mut dyn FnMut(Piece<'_>)) {
        let is_lost = self.acknowledged > self.offset
            && self.missing_since.is_some_and(|since| at.micros_since(since) > LOST_AFTER_US);
        if is_lost {
            self.skip(sink);
        }
    }

    /// Gives up what is missing in front of what waits.
    fn skip(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        if let Some(front) = self.held.front() {
            let lost = front.offset.saturating_sub(self.offset);
            if lost > 0 {
                self.advance(lost);
                sink(Piece::Gap(lost));
            }
            self.missing_since = None;
            self.release(sink);
        }
    }
}

impl Held {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: u32 = u32::MAX - 5;

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Seen {
        /// With `?` for each byte that is not known.
        text: String,
        conflicts: usize,
        out_of_window: usize,
    }

    impl Seen {
        fn take(&mut self, piece: Piece<'_>) {
            match piece {
                Piece::Data(bytes) => self.text.push_str(std::str::from_utf8(bytes).unwrap()),
                Piece::Gap(bytes) => self.text.extend((0..bytes).map(|_| '?')),
                Piece::Conflict => self.conflicts += 1,
                Piece::OutOfWindow => self.out_of_window += 1,
            }
        }
    }

    /// What comes of segments `(offset, payload)` that begin near the end of the sequence numbers.
    fn seen(segments: &[(u32, &str)]) -> Seen {
        let (mut stream, mut seen) = (Stream::new(HELD_BYTES_MAX), Seen::default());
        stream.begin(FIRST);
        for (offset, payload) in segments {
            let sequence = FIRST.wrapping_add(*offset);
            stream
                .segment(PacketTime::default(), sequence, payload.as_bytes(), 0, false, &mut |piece| seen.take(piece));
        }
        stream.flush(&mut |piece| seen.take(piece));
        assert_eq!(stream.held_bytes, 0);
        seen
    }

    fn check(segments: &[(u32, &str)], text: &str, conflicts: usize) {
        assert_eq!(seen(segments), Seen { text: text.into(), conflicts, out_of_window: 0 }, "{segments:?}");
    }

    #[test]
    fn order_repetition_overlap_and_loss() {
        check(&[(0, "abc"), (3, "def"), (6, "ghi")], "abcdefghi", 0);
        check(&[(3, "def"), (6, "ghi"), (0, "abc")], "abcdefghi", 0);
        check(&[(6, "ghi"), (3, "def"), (0, "abc")], "abcdefghi", 0);
        check(&[(0, "abc"), (0, "abc"), (3, "def"), (1, "bcd")], "abcdef", 0);
        check(&[(0, "abc"), (2, "cdef")], "abcdef", 0);
        check(&[(4, "ef"), (0, "abcdefg")], "abcdefg", 0);
        check(&[(2, "cd"), (6, "gh"), (1, "bcdefghi"), (0, "a")], "abcdefghi", 0);
        check(&[(0, "abc"), (6, "ghi")], "abc???ghi", 0);
    }

    #[test]
    fn the_first_version_of_a_byte_counts_and_another_is_told() {
        check(&[(2, "cd"), (2, "XX"), (0, "ab")], "abcd", 1);
        check(&[(4, "ef"), (2, "XXXX"), (0, "ab")], "abXXef", 1);
    }

    #[test]
    fn what_is_too_far_ahead_is_of_another_stream() {
        let seen = seen(&[(0, "abc"), (20_000_000, "far"), (3, "def")]);
        assert_eq!(seen, Seen { text: "abcdef".into(), conflicts: 0, out_of_window: 1 });
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut stream, mut lost, mut data) = (Stream::new(HELD_BYTES_MAX), 0, 0);
        stream.begin(0);
        let payload = [b'x'; 1_000];
        for segment in 1..=3_000u32 {
            stream.segment(PacketTime::default(), segment * 1_000, &payload, 0, false, &mut |piece| match piece {
                Piece::Gap(bytes) => lost += bytes,
                Piece::Data(bytes) => data += bytes.len(),
                _ => {}
            });
            assert!(stream.held_bytes <= HELD_BYTES_MAX && stream.held.len() <= HELD_SEGMENTS_MAX);
        }
        assert_eq!((lost, data), (1_000, 3_000_000));
    }

    #[test]
    fn what_was_acknowledged_and_not_captured_is_given_up_after_a_while() {
        let (mut stream, mut seen) = (Stream::new(HELD_BYTES_MAX), Seen::default());
        let at = PacketTime::from_unix_micros;
        stream.begin(100);
        stream.segment(at(0), 103, b"def", 0, false, &mut |piece| seen.take(piece));
        stream.acknowledge(at(10), 106, &mut |piece| seen.take(piece));
        assert_eq!(seen.text, "", "it may come in another order");
        stream.acknowledge(at(2_000_000), 106, &mut |piece| seen.take(piece));
        assert_eq!(seen.text, "???def");
    }

    #[test]
    fn what_the_capture_has_cut_is_a_gap() {
        let (mut stream, mut seen) = (Stream::new(HELD_BYTES_MAX), Seen::default());
        stream.begin(0);
        let at = PacketTime::default();
        stream.segment(at, 0, b"ab", 3, false, &mut |piece| seen.take(piece));
        stream.segment(at, 5, b"fg", 0, true, &mut |piece| seen.take(piece));
        assert_eq!(seen.text, "ab???fg");
        assert!(stream.is_over());
    }

    proptest! {
        /// Any order of segments of one text, with repetitions and overlaps, gives the text.
        #[test]
        fn any_order_gives_the_stream(cuts in proptest::collection::vec((0u32..200, 1usize..40), 0..60), seed: u64) {
            let text: String = (0..240u32).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
            let mut segments: Vec<(u32, &str)> =
                cuts.iter().map(|(at, bytes)| (*at, &text[*at as usize..(*at as usize + bytes)])).collect();
            segments.extend((0..240).step_by(24).map(|at| (at as u32, &text[at..at + 24])));
            let mut state = seed;
            for index in (1..segments.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                segments.swap(index, (state >> 33) as usize % (index + 1));
            }
            prop_assert_eq!(seen(&segments), Seen { text, conflicts: 0, out_of_window: 0 });
        }
    }
}
