//! Looking for many short patterns at once.

/// Bytes at the beginning of a pattern that are looked at together at most: there is a bit for each and each group.
const BEGINNING_BYTES_MAX: usize = 8;

/// Groups of patterns. Those given one after the other are in one group, so alike ones should stand beside each other.
const GROUPS: usize = 8;

/// Patterns, found by their beginnings: Shift-Or, with a group of patterns in place of one.
///
/// An automaton follows a pointer for each byte of a program: 15 to 25 instructions, measured. Here a byte is five, since
/// eight of them are asked together, and hardly any eight have the beginning of a pattern among them.
///
/// Source: Baeza-Yates and Gonnet, "A New Approach to Text Searching", 1992, section 2 and 4 (classes of letters).
pub(crate) struct Search {
    /// For each byte and each place of a beginning the groups in which no pattern has that byte there: the last place is
    /// the highest byte.
    misses: Box<[u64; 256]>,
    /// Bytes of a beginning, as many as the shortest pattern has.
    beginning_bytes: usize,
    groups: [Vec<Pattern>; GROUPS],
}

struct Pattern {
    bytes: Vec<u8>,
    number: usize,
}

impl Search {
    /// Of patterns that are not empty.
    pub(crate) fn of(patterns: Vec<Vec<u8>>) -> Self {
        let shortest = patterns.iter().map(Vec::len).min().unwrap_or(1);
        let beginning_bytes = shortest.clamp(1, BEGINNING_BYTES_MAX);
        let unused_bits = 8 * (BEGINNING_BYTES_MAX - beginning_bytes);
        let mut misses = Box::new([u64::MAX << unused_bits; 256]);
        let mut groups = [const { Vec::new() }; GROUPS];
        let count = patterns.len();
        for (number, bytes) in patterns.into_iter().enumerate() {
            let group = number * GROUPS / count;
            for (place, byte) in bytes.iter().take(beginning_bytes).enumerate() {
                misses[usize::from(*byte)] &= !(1 << (unused_bits + 8 * place + group));
            }
            groups[group].push(Pattern { bytes, number });
        }
        Self { misses, beginning_bytes, groups }
    }

    /// Every place where a pattern begins, and its number, in the order of the places; patterns may overlap.
    pub(crate) fn all<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (usize, usize)> + 'a {
        // Before as many bytes as a beginning has, no group can have been seen.
        let misses = u64::MAX << (8 * (BEGINNING_BYTES_MAX - self.beginning_bytes));
        let ends = std::iter::successors(self.end(bytes, End { at: 0, misses }), |end| self.end(bytes, *end));
        ends.flat_map(move |End { at, misses }| {
            let place = at - self.beginning_bytes;
            let groups = self.groups.iter().enumerate().filter(move |(group, _)| misses >> (HIGHEST + group) & 1 == 0);
            let patterns = groups.flat_map(|(_, patterns)| patterns);
            patterns
                .filter(move |pattern| bytes[place..].starts_with(&pattern.bytes))
                .map(move |one| (place, one.number))
        })
    }

    /// The next end of a beginning of some group.
    fn end(&self, bytes: &[u8], End { mut at, mut misses }: End) -> Option<End> {
        let is_seen = |misses: u64| misses < 0xff << HIGHEST;
        for eight in bytes[at..].as_chunks::<8>().0 {
            let (mut next, mut all) = (misses, u64::MAX);
            for byte in eight {
                next = next << 8 | self.misses[usize::from(*byte)];
                all &= next;
            }
            if is_seen(all) {
                break;
            }
            (at, misses) = (at + eight.len(), next);
        }
        for byte in &bytes[at..] {
            (at, misses) = (at + 1, misses << 8 | self.misses[usize::from(*byte)]);
            if is_seen(misses) {
                return Some(End { at, misses });
            }
        }
        None
    }
}

/// The bit of the first group in the highest byte.
const HIGHEST: usize = 8 * (BEGINNING_BYTES_MAX - 1);

/// A place behind a byte, and what is missed there.
#[derive(Clone, Copy)]
struct End {
    at: usize,
    misses: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_found_where_they_begin() {
        let check = |patterns: &[&str], text: &str, expected: &[(usize, usize)]| {
            let search = Search::of(patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect());
            assert_eq!(search.all(text.as_bytes()).collect::<Vec<_>>(), expected, "{text}");
        };
        let few = ["abc", "abcd", "bcde", "xyz"];
        check(&few, "", &[]);
        check(&few, "ab", &[]);
        check(&few, "abc", &[(0, 0)]);
        check(&few, "abcde", &[(0, 0), (0, 1), (1, 2)]);
        check(&few, "xxyzabcabc", &[(1, 3), (4, 0), (7, 0)]);
        check(&few, "xy", &[]);
        check(&[], "abc", &[]);
        check(&["a"], "aba", &[(0, 0), (2, 0)]);
        // Longer than what is looked at together, and many in one group.
        check(&["0123456789abc", "0123456789abd"], "0123456789abe0123456789abd", &[(13, 1)]);
        let many: Vec<String> = (100..200).map(|number| format!("{number}{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check(&many, "x123123123y199198199199", &[(1, 23), (4, 23), (17, 99)]);
    }
}
