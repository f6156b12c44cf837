//! What is written down: events, packets, contents, and what of them was too much.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use komainu_trace::network::{NetworkAct, NetworkEvent};
use sha2::{Digest, Sha256};

use crate::limits::{COLLECTING_BYTES_MAX, CONTENT_BYTES_MAX, CONTENTS_MAX};
use crate::settings::Bounds;

/// A content that the guest handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// The content, at most 8 MiB.
    pub bytes: Vec<u8>,
}

/// What is written down and not yet taken.
#[derive(Debug)]
pub(crate) struct Record {
    bounds: Bounds,
    clock_unix_s: u64,
    pub(crate) events: Vec<NetworkEvent>,
    events_told: u64,
    event_bytes: u64,
    /// The pcap file, as far as it is not taken.
    pub(crate) packets: Vec<u8>,
    packet_bytes: u64,
    pub(crate) contents: Vec<Content>,
    content_bytes: u64,
    /// Which contents were kept.
    kept: BTreeSet<[u8; 32]>,
    /// What of the contents is being collected, in bytes.
    collecting: Arc<AtomicUsize>,
    lost: BTreeMap<&'static str, u64>,
}

/// The header of a pcap file: microseconds, Ethernet (draft-ietf-opsawg-pcap, 4).
const PCAP_HEADER: [u8; 24] = [0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];

/// The header of a packet in it.
const PCAP_PACKET_HEADER_BYTES: usize = 16;

impl Record {
    pub(crate) fn new(bounds: Bounds, clock_unix_s: u64) -> Self {
        Self {
            bounds,
            clock_unix_s,
            events: Vec::new(),
            events_told: 0,
            event_bytes: 0,
            packets: PCAP_HEADER.to_vec(),
            packet_bytes: PCAP_HEADER.len() as u64,
            contents: Vec::new(),
            content_bytes: 0,
            kept: BTreeSet::new(),
            collecting: Arc::default(),
            lost: BTreeMap::new(),
        }
    }

    /// Writes down what happened at a time since the begin; counts it if there is no more room.
    pub(crate) fn event(&mut self, at: Duration, act: NetworkAct) {
        let event = NetworkEvent { at_us: micros(at), act };
        let bytes = serde_json::to_string(&event).map_or(0, |line| line.len() as u64 + 1);
        if self.events_told >= self.bounds.events_max || self.event_bytes + bytes > self.bounds.event_bytes_max {
            self.lost("events");
            return;
        }
        self.events_told += 1;
        self.event_bytes += bytes;
        self.events.push(event);
    }

    /// Counts what could not be done or kept.
    pub(crate) fn lost(&mut self, what: &'static str) {
        let count = self.lost.entry(what).or_default();
        *count = count.saturating_add(1);
    }

    /// Writes down a frame, of the guest or for it.
    pub(crate) fn packet(&mut self, at: Duration, frame: &[u8]) {
        let bytes = (PCAP_PACKET_HEADER_BYTES + frame.len()) as u64;
        if self.packet_bytes + bytes > self.bounds.pcap_bytes_max {
            // The beginning is kept without holes: once one does not fit, none does.
            self.packet_bytes = self.bounds.pcap_bytes_max;
            self.lost("packets");
            return;
        }
        self.packet_bytes += bytes;
        let second = self.clock_unix_s.saturating_add(at.as_secs());
        // The field has 32 bits; the format ends in 2106.
        let second = u32::try_from(second).unwrap_or(u32::MAX);
        let length = u32::try_from(frame.len()).expect("a frame is shorter than 4 GiB");
        for field in [second, at.subsec_micros(), length, length] {
            self.packets.extend(field.to_le_bytes());
        }
        self.packets.extend(frame);
    }

    /// Begins to collect a content.
    pub(crate) fn collect(&self) -> Collector {
        Collector {
            hash: Sha256::new(),
            bytes_in_all: 0,
            kept: Vec::new(),
            is_whole: true,
            collecting: Arc::clone(&self.collecting),
        }
    }

    /// Ends to collect a content: its SHA-256 in hexadecimal digits and its length. It is kept if all of it is there.
    pub(crate) fn collected(&mut self, mut collector: Collector) -> (String, u64) {
        let sha256: [u8; 32] = collector.hash.finalize_reset().into();
        let bytes_in_all = collector.bytes_in_all;
        let bytes = std::mem::take(&mut collector.kept);
        // What was taken out is not given back when the collector goes.
        collector.collecting.fetch_sub(bytes.len(), Ordering::Relaxed);
        if bytes_in_all > 0 {
            let has_room =
                self.kept.len() < CONTENTS_MAX && self.content_bytes + bytes_in_all <= self.bounds.content_bytes_max;
            if collector.is_whole && self.kept.contains(&sha256) {
                // It is there already.
            } else if collector.is_whole && has_room {
                self.content_bytes += bytes_in_all;
                self.kept.insert(sha256);
                self.contents.push(Content { sha256, bytes });
            } else {
                self.lost("contents");
            }
        }
        (hex::encode(sha256), bytes_in_all)
    }

    /// Tells what was lost; the last of the events, and not subject to their bound: there are only a few kinds.
    pub(crate) fn tell_lost(&mut self, at: Duration) {
        for (what, count) in std::mem::take(&mut self.lost) {
            let act = NetworkAct::Lost { what: what.to_owned(), count };
            self.events.push(NetworkEvent { at_us: micros(at), act });
        }
    }
}

fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

/// Collects a content. Its hash and its length are those of the whole, also where not all of it is kept.
#[derive(Debug)]
pub(crate) struct Collector {
    hash: Sha256,
    bytes_in_all: u64,
    kept: Vec<u8>,
    is_whole: bool,
    collecting: Arc<AtomicUsize>,
}

impl Collector {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes_in_all += bytes.len() as u64;
        if !self.is_whole {
            return;
        }
        let others = self.collecting.load(Ordering::Relaxed);
        if self.kept.len() + bytes.len() > CONTENT_BYTES_MAX || others + bytes.len() > COLLECTING_BYTES_MAX {
            self.is_whole = false;
            self.collecting.fetch_sub(self.kept.len(), Ordering::Relaxed);
            self.kept = Vec::new();
        } else {
            self.collecting.fetch_add(bytes.len(), Ordering::Relaxed);
            self.kept.extend(bytes);
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.collecting.fetch_sub(self.kept.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use komainu_trace::network::FlowNumber;

    use super::*;

    fn record(bounds: Bounds) -> Record {
        Record::new(bounds, 1_000)
    }

    fn event() -> NetworkAct {
        NetworkAct::Closed { flow: FlowNumber(1), sent_bytes: 0, received_bytes: 0, by_guest: true }
    }

    #[test]
    fn beyond_a_bound_is_counted() {
        let mut record = record(Bounds { events_max: 2, pcap_bytes_max: 60, ..Bounds::default() });
        for _ in 0..5 {
            record.event(Duration::ZERO, event());
            record.packet(Duration::ZERO, &[0; 20]);
        }
        assert_eq!((record.events.len(), record.packets.len()), (2, 60));
        record.tell_lost(Duration::ZERO);
        let lost: Vec<_> = record.events[2..].iter().map(|event| event.act.clone()).collect();
        let expected = |what: &str, count| NetworkAct::Lost { what: what.into(), count };
        assert_eq!(lost, [expected("events", 3), expected("packets", 4)]);
    }

    #[test]
    fn bytes_of_events_are_bounded_too() {
        let mut record = record(Bounds { event_bytes_max: 200, ..Bounds::default() });
        for _ in 0..10 {
            record.event(Duration::ZERO, event());
        }
        let bytes: usize = record.events.iter().map(|event| serde_json::to_string(event).unwrap().len() + 1).sum();
        assert!((100..=200).contains(&bytes), "{bytes}");
    }

    #[test]
    fn contents_have_their_hash_also_when_they_are_not_kept() {
        let mut record = record(Bounds { content_bytes_max: 5, ..Bounds::default() });
        let mut take = |bytes: &[u8]| {
            let mut collector = record.collect();
            bytes.chunks(2).for_each(|chunk| collector.add(chunk));
            record.collected(collector)
        };
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(take(b"abc"), (abc.to_owned(), 3));
        assert_eq!(take(b"abc"), (abc.to_owned(), 3), "the same again takes no room");
        let (_, length) = take(b"defg");
        assert_eq!(length, 4);
        assert_eq!(record.contents.len(), 1);
        assert_eq!(record.collecting.load(Ordering::Relaxed), 0);
        let mut long = record.collect();
        (0..=CONTENT_BYTES_MAX / 1024).for_each(|_| long.add(&[0; 1024]));
        assert_eq!(record.collecting.load(Ordering::Relaxed), 0, "what is too long is not kept");
        record.collected(long);
        assert_eq!(record.contents.len(), 1);
    }
}
