//! Groups, and the order in which they are told.

use std::cmp::Reverse;

use komainu_ports::GROUP_COLUMNS_MAX;

/// A piece of time and the numbers of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Group {
    pub(super) bucket: i64,
    pub(super) words: [u32; GROUP_COLUMNS_MAX],
}

/// A group that has rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) group: Group,
    pub(super) count: u64,
    pub(super) distinct: u64,
}

/// Groups that are the same as one.
pub(super) fn merged(mut found: Vec<Found>) -> Vec<Found> {
    // Stable, which takes advantage of stretches that are sorted already.
    found.sort_by_key(|found| found.group);
    found.dedup_by(|next, kept| {
        let is_same = next.group == kept.group;
        if is_same {
            kept.count += next.count;
            kept.distinct += next.distinct;
        }
        is_same
    });
    found
}

/// In the order of time, and in each piece of time those with the most rows first, as many as are wanted. `ranks` has for each
/// column the order of its words.
pub(super) fn arranged(mut found: Vec<Found>, ranks: &[Vec<u32>], top: Option<usize>) -> Vec<Found> {
    if !found.is_sorted_by_key(|found| found.group.bucket) {
        found.sort_by_key(|found| found.group.bucket);
    }
    let rank = |found: &Found| {
        let mut words = [0; GROUP_COLUMNS_MAX];
        for (rank, (ranks, word)) in words.iter_mut().zip(ranks.iter().zip(&found.group.words)) {
            *rank = ranks[*word as usize];
        }
        (Reverse(found.count), words)
    };
    let mut kept = Vec::with_capacity(if top.is_some() { 0 } else { found.len() });
    for of_bucket in found.chunk_by(|one, next| one.group.bucket == next.group.bucket) {
        let mut ranked: Vec<_> = of_bucket.iter().map(|found| (rank(found), found)).collect();
        if let Some(top) = top.filter(|top| *top < ranked.len()) {
            ranked.select_nth_unstable_by_key(top, |(rank, _)| *rank);
            ranked.truncate(top);
        }
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
        kept.extend(ranked.into_iter().map(|(_, found)| *found));
    }
    kept
}
