//! What was seen for the first time in a period.

use std::collections::BTreeMap;

use komainu_model::Timestamp;

use crate::counts::Key;

/// The most values of a list that are told; those with the lowest counts are left out.
const FIRST_SEEN_MAX: usize = 10_000;
/// The most values that are remembered while a period is read. What attackers may invent, such as passwords, has more.
const REMEMBERED_MAX: usize = 1_000_000;

/// A value that was not known before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSeen {
    /// Which.
    pub key: Key,
    /// When the bucket begins in which it was seen first.
    pub at: Timestamp,
    /// How often it was seen since, the first time included.
    pub count: u64,
}

/// What was seen for the first time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirstSeenList {
    /// In order of time; of one time the highest count comes first.
    pub seen: Vec<FirstSeen>,
    /// So many values are left out at `FIRST_SEEN_MAX`.
    pub left_out: usize,
    /// What was counted of values that found no room at `REMEMBERED_MAX`: nothing is said of them.
    pub forgotten: u64,
}

/// The values of `rows` (bucket, key, count; in any order) that were seen from `from` on, before `until`, and that neither
/// `is_known` knows nor an earlier row has.
pub fn first_seen<'r>(
    rows: impl IntoIterator<Item = (Timestamp, &'r Key, u64)>,
    from: Timestamp,
    until: Timestamp,
    is_known: &dyn Fn(&Key) -> bool,
) -> FirstSeenList {
    let mut list = FirstSeenList::default();
    let mut seen: BTreeMap<&'r Key, (Timestamp, u64)> = BTreeMap::new();
    for (at, key, count) in rows.into_iter().filter(|(at, _, count)| *at < until && *count > 0) {
        let room = seen.len() < REMEMBERED_MAX;
        match seen.get_mut(key) {
            Some((first, sum)) => (*first, *sum) = ((*first).min(at), sum.saturating_add(count)),
            None if room => drop(seen.insert(key, (at, count))),
            None => list.forgotten = list.forgotten.saturating_add(count),
        }
    }
    let found = seen.into_iter().filter(|(key, (first, _))| *first >= from && !is_known(key));
    list.seen = found.map(|(key, (at, count))| FirstSeen { key: key.clone(), at, count }).collect();
    list.left_out = list.seen.len().saturating_sub(FIRST_SEEN_MAX);
    list.seen.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.key.cmp(&other.key)));
    list.seen.truncate(FIRST_SEEN_MAX);
    // Stable: what is of one time stays in order of its count.
    list.seen.sort_by_key(|seen| seen.at);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_unix_seconds(day * 86_400)
    }

    #[track_caller]
    fn check(rows: &[(i64, &str, u64)], known: &[&str], expected: &[(&str, i64, u64)]) {
        let rows: Vec<_> = rows.iter().map(|(day, key, count)| (at(*day), vec![(*key).to_owned()], *count)).collect();
        let rows = rows.iter().map(|(at, key, count)| (*at, key, *count));
        let list = first_seen(rows, at(10), at(20), &|key| known.contains(&key[0].as_str()));
        let told = list.seen.iter().map(|seen| (seen.key[0].as_str(), seen.at.unix_seconds() / 86_400, seen.count));
        assert_eq!(told.collect::<Vec<_>>(), expected);
        assert_eq!((list.left_out, list.forgotten), (0, 0));
    }

    #[test]
    fn only_what_was_not_known_is_told() {
        check(
            &[(12, "b", 3), (10, "a", 1), (5, "old", 1), (11, "old", 9), (11, "known", 9), (15, "a", 4), (12, "c", 7)],
            &["known"],
            &[("a", 10, 5), ("c", 12, 7), ("b", 12, 3)],
        );
        check(&[(20, "late", 1), (12, "none", 0), (9, "early", 1)], &[], &[]);
        check(&[(19, "a", u64::MAX), (18, "a", 1)], &[], &[("a", 18, u64::MAX)]);
    }

    #[test]
    fn lists_are_bounded() {
        let keys: Vec<Key> = (0..FIRST_SEEN_MAX + 5).map(|number| vec![number.to_string()]).collect();
        let rows = keys.iter().enumerate().map(|(number, key)| (at(0), key, 1 + number as u64));
        let list = first_seen(rows, at(0), at(1), &|_| false);
        assert_eq!((list.seen.len(), list.left_out), (FIRST_SEEN_MAX, 5));
        assert_eq!(list.seen.last().unwrap().count, 6);
    }
}
