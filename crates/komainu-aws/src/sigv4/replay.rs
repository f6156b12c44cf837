//! Requests that come again.

use std::collections::{HashMap, VecDeque};

use super::CLOCK_SKEW_S_MAX;

/// A signed request may come again for this long after it was first seen, in seconds.
///
/// Two equal requests that a client makes within one second have the same signature, because its time has no
/// fraction, and a client's connection pool may send a request again when a connection breaks. Both happen at once or
/// not at all; a copy that comes later was taken from the wire.
pub const REPLAY_GRACE_S: i64 = 10;

/// So many signatures are remembered. Beyond that the oldest are forgotten, and what bounds their replay is the clock
/// skew alone. At 32 bytes and a time each, about 6 MiB.
const SIGNATURES_MAX: usize = 65_536;

/// Remembers the signatures of the last minutes. Only verified ones may be shown to it, so that nobody without a key
/// can fill it.
#[derive(Debug, Default)]
pub struct ReplayGuard {
    first_seen_s: HashMap<[u8; 32], i64>,
    in_order: VecDeque<([u8; 32], i64)>,
}

impl ReplayGuard {
    /// Whether a request with this signature may be carried out now.
    pub fn admit(&mut self, signature: [u8; 32], now_s: i64) -> bool {
        // A signature that is older than twice the skew is refused for its time: it was at most one skew ahead when it
        // was first seen.
        let forget_before_s = now_s.saturating_sub(2 * CLOCK_SKEW_S_MAX);
        while let Some((oldest, seen_s)) = self.in_order.front()
            && (*seen_s < forget_before_s || self.in_order.len() >= SIGNATURES_MAX)
        {
            self.first_seen_s.remove(oldest);
            self.in_order.pop_front();
        }
        match self.first_seen_s.get(&signature) {
            Some(seen_s) => now_s.saturating_sub(*seen_s) <= REPLAY_GRACE_S,
            None => {
                self.first_seen_s.insert(signature, now_s);
                self.in_order.push_back((signature, now_s));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_copy_is_refused() {
        let mut guard = ReplayGuard::default();
        assert!(guard.admit([1; 32], 1000));
        assert!(guard.admit([1; 32], 1000 + REPLAY_GRACE_S));
        assert!(!guard.admit([1; 32], 1001 + REPLAY_GRACE_S));
        assert!(!guard.admit([1; 32], 1000 + 2 * CLOCK_SKEW_S_MAX));
        assert!(guard.admit([2; 32], 1001 + REPLAY_GRACE_S));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut guard = ReplayGuard::default();
        let signature = |n: usize| {
            let mut signature = [0; 32];
            signature[..8].copy_from_slice(&n.to_le_bytes());
            signature
        };
        for n in 0..SIGNATURES_MAX + 10 {
            assert!(guard.admit(signature(n), 1000));
        }
        assert_eq!(guard.first_seen_s.len(), guard.in_order.len());
        assert_eq!(guard.in_order.len(), SIGNATURES_MAX);
        assert!(!guard.admit(signature(SIGNATURES_MAX), 1100));
        assert!(guard.admit(signature(0), 1100), "the oldest was forgotten");
        assert!(guard.admit([7; 32], 5000));
        assert_eq!(guard.in_order.len(), 1);
    }
}
