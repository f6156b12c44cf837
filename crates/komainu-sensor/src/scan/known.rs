//! What was scanned lately, and what came of it.

use std::collections::{HashMap, VecDeque};

use komainu_ports::PayloadMatch;

use super::Outcome;
use crate::artifact::Sha256Digest;

/// Payloads whose outcome is remembered: attackers leave the same ones again and again.
const KNOWN_MAX: usize = 4096;
/// Bytes of texts in all these outcomes, about. What an operator's rules say of themselves may be long.
const KNOWN_BYTES_MAX: usize = 4 << 20;

/// Outcomes by digest; at a bound the oldest is forgotten.
#[derive(Debug, Default)]
pub(super) struct Known {
    outcomes: HashMap<Sha256Digest, Outcome>,
    order: VecDeque<(Sha256Digest, usize)>,
    bytes: usize,
}

impl Known {
    pub(super) fn find(&self, sha256: Sha256Digest) -> Option<Outcome> {
        self.outcomes.get(&sha256).cloned()
    }

    pub(super) fn note(&mut self, sha256: Sha256Digest, outcome: &Outcome) {
        let bytes = outcome.as_ref().map_or(0, |found| found.iter().map(bytes_of).sum());
        if bytes > KNOWN_BYTES_MAX || self.outcomes.insert(sha256, outcome.clone()).is_some() {
            return;
        }
        self.order.push_back((sha256, bytes));
        self.bytes += bytes;
        while self.order.len() > KNOWN_MAX || self.bytes > KNOWN_BYTES_MAX {
            let Some((oldest, bytes)) = self.order.pop_front() else { return };
            self.outcomes.remove(&oldest);
            self.bytes -= bytes;
        }
    }
}

fn bytes_of(found: &PayloadMatch) -> usize {
    let texts = found.tags.iter().chain(found.meta.iter().flat_map(|(name, value)| [name, value]));
    let places = found.places.iter().map(|place| size_of_val(place) + place.pattern.len());
    size_of_val(found) + texts.map(|text| size_of_val(text) + text.len()).sum::<usize>() + places.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::scan::NotScanned;

    fn digest(number: usize) -> Sha256Digest {
        Sha256Digest::of(&number.to_be_bytes())
    }

    fn found(bytes: usize) -> Outcome {
        Ok(Arc::new([PayloadMatch {
            namespace: String::new(),
            rule: String::new(),
            tags: vec!["a".repeat(bytes)],
            meta: Vec::new(),
            places: Vec::new(),
        }]))
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut known = Known::default();
        for number in 0..KNOWN_MAX + 2 {
            known.note(digest(number), &Err(NotScanned::TimedOut));
            known.note(digest(number), &Err(NotScanned::TimedOut));
        }
        assert_eq!((known.find(digest(0)), known.find(digest(1))), (None, None));
        assert_eq!(known.find(digest(2)), Some(Err(NotScanned::TimedOut)));
        assert_eq!((known.outcomes.len(), known.order.len()), (KNOWN_MAX, KNOWN_MAX));
    }

    #[test]
    fn long_outcomes_are_bounded() {
        let mut known = Known::default();
        for number in 0..10 {
            known.note(digest(number), &found(KNOWN_BYTES_MAX / 3));
            assert!(known.bytes <= KNOWN_BYTES_MAX);
        }
        assert_eq!(known.outcomes.len(), 2);
        known.note(digest(10), &found(KNOWN_BYTES_MAX));
        assert_eq!(known.outcomes.len(), 2);
    }
}
