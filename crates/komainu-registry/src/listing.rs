//! Lists in parts.

use std::collections::btree_map::{BTreeMap, Range};
use std::ops::Bound;

/// A part of a list, in the list's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The part.
    pub items: Vec<T>,
    /// Whether something follows it.
    pub more: bool,
}

impl<T> Listed<T> {
    /// The first `limit` of `items`.
    pub(crate) fn first(mut items: impl Iterator<Item = T>, limit: usize) -> Self {
        let part = items.by_ref().take(limit).collect();
        Self { items: part, more: items.next().is_some() }
    }

    /// The same part, each item as `convert` makes it.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Listed<U> {
        Listed { items: self.items.into_iter().map(convert).collect(), more: self.more }
    }
}

/// What follows `key`, or everything.
pub(crate) fn after<K: Ord>(key: Option<&K>) -> (Bound<&K>, Bound<&K>) {
    (key.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

/// The entries of `map` that follow `key`.
pub(crate) fn entries_after<'m, K: Ord, V>(map: &'m BTreeMap<K, V>, key: Option<&K>) -> Range<'m, K, V> {
    map.range::<K, _>(after(key))
}
