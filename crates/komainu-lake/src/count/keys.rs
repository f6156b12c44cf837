//! Groups as numbers that are sorted and counted: for more groups than a table has cells.

use komainu_ports::GROUP_COLUMNS_MAX;

use super::groups::{Found, Group};
use crate::histogram::Codes;
use crate::window::Selection;

/// So many numbers are sorted at a time.
const SORTED_AT_ONCE: usize = 4 << 20;

/// Bits of a piece of time: a month has 744 hours.
const BUCKET_BITS: u32 = 14;

/// Bits that are sorted by at a time: so many counters fit the fastest cache.
const DIGIT_BITS: u32 = 11;

/// Numbers of groups, and stretches of them that are sorted and counted.
#[derive(Debug)]
pub(super) struct Keys {
    first_bucket: Option<i64>,
    columns: usize,
    keys: Vec<u64>,
    spare: Vec<u64>,
    counted: Vec<(u64, u32)>,
}

impl Keys {
    pub(super) fn new(columns: usize) -> Self {
        Self { first_bucket: None, columns, keys: Vec::new(), spare: Vec::new(), counted: Vec::new() }
    }

    /// Bits of the number of a word.
    fn word_bits(&self) -> u32 {
        (64 - BUCKET_BITS) / (self.columns.max(1) as u32)
    }

    /// Whether these pieces of time and so many words of each column have numbers here.
    pub(super) fn have_room(&self, (first, last): (i64, i64), words: &[usize]) -> bool {
        let base = self.first_bucket.unwrap_or_else(|| Self::base(first));
        let is_within = |bucket: i64| (0..1 << BUCKET_BITS).contains(&bucket.wrapping_sub(base));
        let word_max = 1_u64 << self.word_bits();
        is_within(first) && is_within(last) && words.iter().all(|words| *words as u64 <= word_max)
    }

    /// Far enough before the first piece of time that others of the same month have room.
    fn base(first: i64) -> i64 {
        first.saturating_sub(1 << (BUCKET_BITS - 1))
    }

    /// Takes a group for each row that is meant: its piece of time, of which `first` is the earliest, and the numbers of its
    /// words.
    pub(super) fn take(
        &mut self,
        first: i64,
        rows: usize,
        selection: &Selection,
        bucket: impl Fn(usize) -> i64,
        columns: &[Codes<'_>],
    ) {
        const PIECE: usize = 4096;
        let base = *self.first_bucket.get_or_insert_with(|| Self::base(first));
        let bits = self.word_bits();
        let mut piece = [0_u64; PIECE];
        let mut begin = 0;
        while begin < rows {
            let length = PIECE.min(rows - begin);
            let keys = &mut piece[..length];
            keys.iter_mut().zip(begin..).for_each(|(key, row)| *key = (bucket(row) - base) as u64);
            for Codes { codes, numbers, .. } in columns {
                let number = |code: u32| u64::from(numbers.map_or(code, |numbers| numbers[code as usize]));
                let keys = keys.iter_mut();
                match selection {
                    Selection::All => {
                        keys.zip(&codes[begin..]).for_each(|(key, code)| *key = *key << bits | number(*code));
                    }
                    Selection::Rows(rows) => {
                        let codes = rows[begin..].iter().map(|row| codes[*row as usize]);
                        keys.zip(codes).for_each(|(key, code)| *key = *key << bits | number(code));
                    }
                }
            }
            self.keys.extend_from_slice(&piece[..length]);
            begin += length;
        }
    }

    /// Counts what was taken when that is much; says how many groups there are so far.
    pub(super) fn sort_if_many(&mut self) -> usize {
        if self.keys.len() >= SORTED_AT_ONCE { self.sort() } else { self.counted.len() }
    }

    /// Counts what was taken since the last time; says how many groups there are so far, those of earlier times among them
    /// that are the same.
    pub(super) fn sort(&mut self) -> usize {
        sort(&mut self.keys, &mut self.spare);
        let mut keys = self.keys.drain(..);
        if let Some(first) = keys.next() {
            let (mut last, mut count) = (first, 1_u32);
            for key in keys {
                if key == last {
                    count += 1;
                } else {
                    self.counted.push((last, count));
                    (last, count) = (key, 1);
                }
            }
            self.counted.push((last, count));
        }
        self.counted.len()
    }

    /// The groups, in their order within each stretch.
    pub(super) fn found(&self) -> impl Iterator<Item = Found> + '_ {
        let (bits, base) = (self.word_bits(), self.first_bucket.unwrap_or(0));
        let mask = (1_u64 << bits) - 1;
        self.counted.iter().map(move |(key, count)| {
            let (mut rest, mut words) = (*key, [0; GROUP_COLUMNS_MAX]);
            for word in words[..self.columns].iter_mut().rev() {
                *word = (rest & mask) as u32;
                rest >>= bits;
            }
            Found { group: Group { bucket: base + rest as i64, words }, count: u64::from(*count), distinct: 0 }
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counted.is_empty()
    }
}

/// Sorts numbers digit by digit, the lowest first; digits that are the same in all of them are passed over.
fn sort(keys: &mut Vec<u64>, spare: &mut Vec<u64>) {
    let (mut any, mut all) = (0, u64::MAX);
    for key in keys.iter() {
        any |= key;
        all &= key;
    }
    let differing = any & !all;
    let mut shift = 0;
    while shift < 64 && differing >> shift != 0 {
        // Zeros between the fields are no digit.
        shift += (differing >> shift).trailing_zeros();
        let digit = |key: u64| (key >> shift) as usize & ((1 << DIGIT_BITS) - 1);
        let mut begins = vec![0_usize; 1 << DIGIT_BITS];
        keys.iter().for_each(|key| begins[digit(*key)] += 1);
        let mut sum = 0;
        for begin in &mut begins {
            sum += std::mem::replace(begin, sum);
        }
        spare.resize(keys.len(), 0);
        for key in keys.iter() {
            let place = &mut begins[digit(*key)];
            spare[*place] = *key;
            *place += 1;
        }
        std::mem::swap(keys, spare);
        shift += DIGIT_BITS;
    }
}

#[cfg(test)]
mod tests {
    use super::sort;

    #[test]
    fn numbers_are_sorted() {
        let check = |mask: u64| {
            let mut keys: Vec<u64> = (0..10_000_u64)
                .map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) & mask)
                .collect();
            let mut expected = keys.clone();
            expected.sort_unstable();
            sort(&mut keys, &mut Vec::new());
            assert_eq!(keys, expected, "{mask:x}");
        };
        for mask in [0, 1, 0xff, 0xff00, u64::MAX, 0xf000_0000_0000_000f, 0x00ff_0000_ff00_0000] {
            check(mask);
        }
    }
}
