//! Peers that have a TCP connection and have not finished their handshake: whoever they are, they cost memory and a
//! file descriptor, and they are strangers.
//!
//! They are bounded, in all and for each source. At the bound, a peer that has said nothing makes room for the
//! newcomer, the one that waited longest first: a thousand silent peers displace each other, and a device, which speaks
//! at once, comes in. A peer that has spoken is displaced when it stalled; when none did, the newcomer has to come
//! back later.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A peer that has spoken and has not finished its handshake after this time may be displaced. A handshake takes two
/// round trips; one second is enough for a bad mobile network.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// The peers that are not in yet.
#[derive(Debug)]
pub(crate) struct PendingPeers {
    state: Mutex<State>,
    peers_max: usize,
    peers_per_source_max: usize,
}

#[derive(Debug, Default)]
struct State {
    next_number: u64,
    /// By arrival.
    peers: BTreeMap<u64, Peer>,
    /// Those of `peers` that have said nothing.
    silent: BTreeSet<u64>,
    by_source: AHashMap<Source, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Peer {
    source: Source,
    arrived_at: Instant,
    displaced: Arc<Notify>,
}

/// Whom a pending peer counts for: an IPv4 address, or the /64 an IPv6 address is in, because one host has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(Ipv6Addr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        }
    }
}

/// Why a newcomer was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// Its source has too many unfinished handshakes.
    SourceFull,
    /// There are too many unfinished handshakes.
    Full,
}

impl PendingPeers {
    pub(crate) fn new(peers_max: usize, peers_per_source_max: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), peers_max, peers_per_source_max })
    }

    /// Takes a newcomer in, until the ticket is dropped.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Ticket, TurnedAway> {
        let source = Source::from(address);
        let mut state = self.state.lock();
        if state.by_source.get(&source).is_some_and(|peers| peers.len() >= self.peers_per_source_max) {
            let victim = state.victim_of(source, now).ok_or(TurnedAway::SourceFull)?;
            state.displace(victim);
        }
        if state.peers.len() >= self.peers_max {
            let victim = state.victim(now).ok_or(TurnedAway::Full)?;
            state.displace(victim);
        }
        let number = state.next_number;
        state.next_number += 1;
        let displaced = Arc::new(Notify::new());
        state.peers.insert(number, Peer { source, arrived_at: now, displaced: displaced.clone() });
        state.silent.insert(number);
        state.by_source.entry(source).or_default().insert(number);
        Ok(Ticket { peers: self.clone(), number, displaced, has_spoken: AtomicBool::new(false) })
    }
}

impl State {
    /// Who of one source makes room.
    fn victim_of(&self, source: Source, now: Instant) -> Option<u64> {
        let peers = self.by_source.get(&source)?;
        peers
            .iter()
            .find(|number| self.silent.contains(number))
            .or_else(|| peers.first().filter(|number| self.has_stalled(**number, now)))
            .copied()
    }

    /// Who of all makes room.
    fn victim(&self, now: Instant) -> Option<u64> {
        let oldest = || self.peers.keys().next().copied().filter(|number| self.has_stalled(*number, now));
        self.silent.first().copied().or_else(oldest)
    }

    fn has_stalled(&self, number: u64, now: Instant) -> bool {
        self.peers.get(&number).is_some_and(|peer| now.duration_since(peer.arrived_at) >= STALLED_AFTER)
    }

    fn displace(&mut self, number: u64) {
        if let Some(peer) = self.remove(number) {
            peer.displaced.notify_one();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Peer> {
        let peer = self.peers.remove(&number)?;
        self.silent.remove(&number);
        if let Some(peers) = self.by_source.get_mut(&peer.source) {
            peers.remove(&number);
            if peers.is_empty() {
                self.by_source.remove(&peer.source);
            }
        }
        Some(peer)
    }
}

/// A pending peer's place. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Ticket {
    peers: Arc<PendingPeers>,
    number: u64,
    displaced: Arc<Notify>,
    has_spoken: AtomicBool,
}

impl Ticket {
    /// Notes that the peer has spoken: its ClientHello is complete.
    pub(crate) fn note_spoken(&self) {
        self.has_spoken.store(true, Relaxed);
        self.peers.state.lock().silent.remove(&self.number);
    }

    /// Whether the peer has spoken.
    pub(crate) fn has_spoken(&self) -> bool {
        self.has_spoken.load(Relaxed)
    }

    /// Resolves when the peer has to make room.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.peers.state.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const A: &str = "192.0.2.1";
    const B: &str = "192.0.2.2";

    fn admit(peers: &Arc<PendingPeers>, source: &str, now: Instant) -> Result<Ticket, TurnedAway> {
        peers.admit(source.parse().unwrap(), now)
    }

    fn is_displaced(ticket: &Ticket) -> bool {
        ticket.displaced().now_or_never().is_some()
    }

    #[test]
    fn silent_peers_of_a_source_make_room_for_each_other() {
        let (peers, now) = (PendingPeers::new(10, 2), Instant::now());
        let first = admit(&peers, A, now).unwrap();
        let other = admit(&peers, B, now).unwrap();
        let second = admit(&peers, A, now).unwrap();
        let third = admit(&peers, A, now).unwrap();
        assert!(is_displaced(&first));
        assert!(!is_displaced(&second) && !is_displaced(&third) && !is_displaced(&other));
    }

    #[test]
    fn who_speaks_is_not_displaced_before_it_stalled() {
        let (peers, now) = (PendingPeers::new(10, 2), Instant::now());
        let first = admit(&peers, A, now).unwrap();
        let second = admit(&peers, A, now).unwrap();
        first.note_spoken();
        second.note_spoken();
        assert_eq!(admit(&peers, A, now).unwrap_err(), TurnedAway::SourceFull);
        let third = admit(&peers, A, now + STALLED_AFTER).unwrap();
        assert!(is_displaced(&first) && !is_displaced(&second));
        // A silent newcomer goes before a peer that speaks.
        let fourth = admit(&peers, A, now).unwrap();
        assert!(is_displaced(&third) && !is_displaced(&second) && !is_displaced(&fourth));
    }

    #[test]
    fn peers_are_bounded_over_all_sources() {
        let (peers, now) = (PendingPeers::new(2, 2), Instant::now());
        let first = admit(&peers, A, now).unwrap();
        let second = admit(&peers, B, now).unwrap();
        second.note_spoken();
        let third = admit(&peers, "192.0.2.3", now).unwrap();
        assert!(is_displaced(&first) && !is_displaced(&second));
        third.note_spoken();
        assert_eq!(admit(&peers, "192.0.2.4", now).unwrap_err(), TurnedAway::Full);
        drop(third);
        assert!(admit(&peers, "192.0.2.4", now).is_ok(), "a place that is given back is free");
    }

    #[test]
    fn nothing_is_left_when_all_have_gone() {
        let (peers, now) = (PendingPeers::new(4, 1), Instant::now());
        let tickets: Vec<_> = [A, B, A, B].map(|source| admit(&peers, source, now).unwrap()).into();
        drop(tickets);
        let state = peers.state.lock();
        assert!(state.peers.is_empty() && state.silent.is_empty() && state.by_source.is_empty());
    }

    #[test]
    fn hosts_are_told_apart_as_the_network_does() {
        let same = |one: &str, two: &str| {
            Source::from(one.parse::<IpAddr>().unwrap()) == Source::from(two.parse::<IpAddr>().unwrap())
        };
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
