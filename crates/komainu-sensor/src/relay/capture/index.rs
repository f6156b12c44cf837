//! Which frames of a ring belong to which session.
//!
//! Bounds: [`IndexLimits`]. What is over in one session is counted in it; when there are too many sessions or frames, the
//! sessions go that were silent for longest.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use komainu_decode::Transport;

use super::ring::Place;

/// Frames of one session that are remembered: of a mebibyte in small packets.
const SESSION_PACKETS_MAX: usize = 8_192;

/// At a bound this part of the sessions goes at once, so that looking for them costs little for each.
const SWEPT_PART: usize = 8;

/// A conversation with the device: how it is carried, the other end, and the device's port.
pub(super) type Key = (Transport, SocketAddrV4, u16);

/// What an index may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexLimits {
    /// Sessions at the same time.
    pub(super) sessions_max: usize,
    /// Frames of all sessions.
    pub(super) packets_max: usize,
    /// Bytes of one session, as they are in a file.
    pub(super) session_bytes_max: u64,
}

/// Which frames belong to which session.
#[derive(Debug)]
pub(super) struct Index {
    limits: IndexLimits,
    sessions: HashMap<Key, Indexed>,
    packets: usize,
    /// Counts frames, to tell which session was silent for longest.
    stamp: u64,
    swept: u64,
}

/// The frames of a session.
#[derive(Debug, Default)]
pub(super) struct Indexed {
    pub(super) places: Vec<Place>,
    /// Bytes of the frames at `places`.
    pub(super) bytes: u64,
    /// What is over.
    pub(super) left_out: LeftOut,
    last: u64,
}

/// Frames that are in a session's capture no more, or never were.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl LeftOut {
    pub(super) fn add(&mut self, bytes: u64) {
        self.packets += 1;
        self.bytes += bytes;
    }
}

impl Index {
    pub(super) fn new(limits: IndexLimits) -> Self {
        Self { limits, sessions: HashMap::new(), packets: 0, stamp: 0, swept: 0 }
    }

    /// Takes the next frame of a session. One without a place could not be written.
    pub(super) fn add(&mut self, key: Key, place: Option<Place>, frame_bytes: u64) {
        while self.is_full(&key) {
            self.sweep();
        }
        self.stamp += 1;
        let session = self.sessions.entry(key).or_default();
        session.last = self.stamp;
        let has_room = |place: &Place| {
            session.bytes + u64::from(place.bytes) <= self.limits.session_bytes_max
                && session.places.len() < SESSION_PACKETS_MAX
                // What comes behind something that is left out would look as if nothing were missing.
                && session.left_out.packets == 0
        };
        match place.filter(has_room) {
            Some(place) => {
                session.places.push(place);
                session.bytes += u64::from(place.bytes);
                self.packets += 1;
            }
            None => session.left_out.add(frame_bytes),
        }
    }

    /// Takes a session out.
    pub(super) fn take(&mut self, key: &Key) -> Option<Indexed> {
        let session = self.sessions.remove(key)?;
        self.packets -= session.places.len();
        Some(session)
    }

    /// Sessions that were forgotten before they were asked for, since the last time.
    pub(super) fn take_swept(&mut self) -> u64 {
        std::mem::take(&mut self.swept)
    }

    fn is_full(&self, key: &Key) -> bool {
        let is_over = self.packets >= self.limits.packets_max
            || (self.sessions.len() >= self.limits.sessions_max && !self.sessions.contains_key(key));
        is_over && !self.sessions.is_empty()
    }

    /// Forgets the sessions that were silent for longest: a part of them, and at least one.
    fn sweep(&mut self) {
        let mut stamps: Vec<u64> = self.sessions.values().map(|session| session.last).collect();
        let nth = stamps.len() / SWEPT_PART;
        let (_, newest, _) = stamps.select_nth_unstable(nth);
        let newest = *newest;
        let before = self.sessions.len();
        self.sessions.retain(|_, session| session.last > newest);
        self.packets = self.sessions.values().map(|session| session.places.len()).sum();
        self.swept += (before - self.sessions.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcapng::{Direction, Packet};
    use crate::relay::capture::ring::{RING_BYTES_MIN, Ring};

    const LIMITS: IndexLimits = IndexLimits { sessions_max: 16, packets_max: 64, session_bytes_max: 1_000 };

    fn key(port: u16) -> Key {
        (Transport::Tcp, SocketAddrV4::new([192, 0, 2, 1].into(), port), 80)
    }

    fn place(bytes: usize) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(folder.path(), "s1", RING_BYTES_MIN).unwrap();
        let bytes = vec![0; bytes];
        ring.add(&Packet {
            at_unix_ns: 0,
            direction: Direction::Unknown,
            bytes: &bytes,
            wire_bytes: 0,
            dropped_before: 0,
        })
        .unwrap()
    }

    #[test]
    fn a_session_has_a_beginning_without_gaps_and_the_rest_is_counted() {
        let (large, small) = (place(800), place(4));
        let mut index = Index::new(LIMITS);
        for place in [large, large, small] {
            index.add(key(1), Some(place), 100);
        }
        let session = index.take(&key(1)).unwrap();
        assert_eq!((session.places, session.left_out), (vec![large], LeftOut { packets: 2, bytes: 200 }));
        assert!(index.take(&key(1)).is_none());
        index.add(key(1), None, 60);
        index.add(key(1), Some(small), 60);
        assert_eq!(index.take(&key(1)).unwrap().left_out, LeftOut { packets: 2, bytes: 120 });
        assert_eq!(index.packets, 0);
    }

    #[test]
    fn at_a_bound_those_go_that_were_silent_for_longest() {
        let small = place(4);
        let mut index = Index::new(LIMITS);
        for port in 0..16 {
            index.add(key(port), Some(small), 60);
        }
        index.add(key(0), Some(small), 60);
        index.add(key(100), Some(small), 60);
        assert_eq!(index.take_swept(), 3);
        assert!(index.take(&key(1)).is_none() && index.take(&key(0)).is_some() && index.take(&key(100)).is_some());
        let mut index = Index::new(LIMITS);
        for number in 0..1_000 {
            index.add(key(number / 6), Some(small), 60);
            assert!(index.packets <= LIMITS.packets_max && index.sessions.len() <= LIMITS.sessions_max, "{number}");
        }
        assert!(index.take_swept() > 100);
        // One session that fills the index alone is forgotten rather than that the bound is.
        let mut index = Index::new(IndexLimits { session_bytes_max: 1 << 20, ..LIMITS });
        for _ in 0..200 {
            index.add(key(1), Some(small), 60);
            assert!(index.packets <= LIMITS.packets_max);
        }
    }
}
