//! Counting by the column that rows are sorted by: no word need be looked up. Each file tells its words in their order, each
//! with its count, and the files are walked along together.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use komainu_ports::{LakeAnswer, LakeEffort, LakeError, LakeKind, LakeQuestion, LakeValues};
use parking_lot::Mutex;

use super::{GROUPS_MAX, MonthBlocks, within};
use crate::block::{Block, Values, Word, Words};
use crate::part::sort_columns;
use crate::threads;
use crate::window::{Selection, Window};

/// So many words with their counts are held at a time, some 20 bytes each: a word is there once for each file that has it.
const RUNS_MAX: usize = 16 << 20;

/// Whether a question can be counted in this way.
pub(super) fn is_for(question: &LakeQuestion) -> bool {
    let sorted = sort_columns(question.table)[0];
    let is_text = question.table.columns()[sorted].kind == LakeKind::Text;
    let is_by_word = question.group_by == [sorted] && question.distinct.is_none();
    let is_of_words = question.group_by.is_empty() && question.distinct == Some(sorted);
    is_text && question.bucket.is_none() && (is_by_word || is_of_words)
}

/// The answer; none when files have too many words to hold, so that it must be counted in another way.
pub(super) fn count(question: &LakeQuestion, months: &[MonthBlocks]) -> Result<Option<LakeAnswer>, LakeError> {
    // Blocks of one file follow each other in the order of their words; one in memory stands by itself.
    let mut lanes: Vec<&[Block]> = Vec::new();
    for month in months {
        lanes.extend(month.parts.iter().map(Vec::as_slice));
        lanes.extend(month.hot.chunks(1));
    }
    let work: Vec<(usize, &Block)> =
        lanes.iter().enumerate().flat_map(|(lane, blocks)| blocks.iter().map(move |block| (lane, block))).collect();
    let numbered: Vec<(usize, (usize, &Block))> = work.into_iter().enumerate().collect();
    let (found, held) = (Mutex::new(Vec::with_capacity(numbered.len())), AtomicUsize::new(0));
    let look = |(place, (lane, block)): &(usize, (usize, &Block))| {
        if held.load(Relaxed) > RUNS_MAX {
            return Ok(());
        }
        let runs = Runs::of(question, block)?;
        held.fetch_add(runs.counts.len(), Relaxed);
        found.lock().push((*place, *lane, runs));
        Ok(())
    };
    threads::spread(&numbered, || (), |(), block| look(block), |()| Ok(()))?;
    if held.into_inner() > RUNS_MAX {
        return Ok(None);
    }
    let mut found = found.into_inner();
    found.sort_unstable_by_key(|(place, ..)| *place);
    let rows = found.iter().map(|(.., runs)| runs.rows).sum();
    let rows_scanned = found.iter().map(|(.., runs)| runs.rows_scanned).sum();
    let lanes = found.chunk_by(|one, next| one.1 == next.1);
    let lanes = lanes.map(|lane| Lane::new(lane.iter().map(|(.., runs)| runs).collect())).filter_map(Lane::begun);
    let words = walk(lanes.collect());
    let mut answer = match question.distinct {
        Some(_) => how_many(words, rows),
        None => told(words, question.top)?,
    };
    answer.rows = rows;
    answer.effort = LakeEffort { from_rollups: false, rows_scanned, parts: 0 };
    Ok(Some(answer))
}

/// The words of a block in their order, and how many rows each has.
#[derive(Debug, Default)]
struct Runs {
    text: String,
    ends: Vec<u32>,
    counts: Vec<u32>,
    rows: u64,
    rows_scanned: u64,
}

impl Runs {
    fn of(question: &LakeQuestion, block: &Block) -> Result<Self, LakeError> {
        let mut runs = Self::default();
        let Some(mut window) = Window::of(block, question.range, &question.filters)? else { return Ok(runs) };
        runs.rows_scanned = window.len() as u64;
        let Some(selection) = window.select(question.range, &question.filters)? else { return Ok(runs) };
        runs.rows = selection.len(window.len()) as u64;
        let selection = window.leave(selection);
        let Values::Coded { codes, words } = window.take_column(sort_columns(question.table)[0])? else {
            return Ok(runs);
        };
        let mut counts = vec![0_u32; words.len()];
        match selection {
            Selection::All => codes.iter().for_each(|code| counts[*code as usize] += 1),
            Selection::Rows(rows) => rows.iter().for_each(|row| counts[codes[*row as usize] as usize] += 1),
        }
        runs.take(&words, &counts);
        Ok(runs)
    }

    fn take(&mut self, words: &Words, counts: &[u32]) {
        let with_rows = words.iter().zip(counts).filter(|(_, count)| **count > 0);
        let text = |word| if let Word::Text(text) = word { text } else { "" };
        let mut taken: Vec<(&str, u32)> = with_rows.map(|(word, count)| (text(word), *count)).collect();
        // Those of a file are in order already.
        if !taken.is_sorted_by_key(|(word, _)| *word) {
            taken.sort_unstable_by_key(|(word, _)| *word);
        }
        for (word, count) in taken {
            self.text.push_str(word);
            self.ends.push(self.text.len() as u32);
            self.counts.push(count);
        }
    }

    fn word(&self, place: usize) -> &str {
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[begin..self.ends[place] as usize]
    }
}

/// The words of a file, one after the other.
struct Lane<'r> {
    runs: Vec<&'r Runs>,
    /// Which of them, and which word there.
    at: (usize, usize),
    word: &'r str,
    count: u64,
}

impl<'r> Lane<'r> {
    fn new(runs: Vec<&'r Runs>) -> Self {
        Self { runs, at: (0, 0), word: "", count: 0 }
    }

    /// At its first word, if there is one.
    fn begun(mut self) -> Option<Self> {
        self.go_on().then_some(self)
    }

    /// Goes to the next word. One that ends a block may go on in the next.
    fn go_on(&mut self) -> bool {
        self.count = 0;
        while let Some(runs) = self.runs.get(self.at.0) {
            if self.at.1 >= runs.counts.len() {
                self.at = (self.at.0 + 1, 0);
                continue;
            }
            let word = runs.word(self.at.1);
            if self.count > 0 && word != self.word {
                break;
            }
            self.word = word;
            self.count += u64::from(runs.counts[self.at.1]);
            self.at.1 += 1;
            if self.at.1 < runs.counts.len() {
                break;
            }
        }
        self.count > 0
    }
}

impl PartialEq for Lane<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl Eq for Lane<'_> {}

impl PartialOrd for Lane<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Lane<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.word.cmp(other.word)
    }
}

/// All words in their order, each with the rows that it has in all files.
fn walk<'r>(lanes: Vec<Lane<'r>>) -> impl Iterator<Item = (&'r str, u64)> {
    let mut lanes: BinaryHeap<Reverse<Lane<'r>>> = lanes.into_iter().map(Reverse).collect();
    std::iter::from_fn(move || {
        let (mut word, mut count) = (None, 0);
        while let Some(mut first) = lanes.peek_mut() {
            if word.is_some_and(|word| word != first.0.word) {
                break;
            }
            word = Some(first.0.word);
            count += first.0.count;
            if !first.0.go_on() {
                std::collections::binary_heap::PeekMut::pop(first);
            }
        }
        Some((word?, count))
    })
}

/// The words with the most rows first, as many as are wanted; words with as many rows in their order.
fn told<'r>(words: impl Iterator<Item = (&'r str, u64)>, top: Option<usize>) -> Result<LakeAnswer, LakeError> {
    let mut kept: BinaryHeap<Reverse<(u64, Reverse<&str>)>> = BinaryHeap::new();
    let wanted = top.unwrap_or(usize::MAX);
    let mut number = 0;
    for (word, count) in words {
        number += 1;
        if kept.len() < wanted {
            within(kept.len() + 1, GROUPS_MAX, "groups")?;
            kept.push(Reverse((count, Reverse(word))));
        } else if let Some(mut least) = kept.peek_mut()
            // Of words with as many rows the first ones are kept, and they come in their order.
            && count > least.0.0
        {
            *least = Reverse((count, Reverse(word)));
        }
    }
    within(number, RUNS_MAX, "groups")?;
    let mut kept: Vec<(u64, Reverse<&str>)> = kept.into_iter().map(|Reverse(found)| found).collect();
    kept.sort_unstable_by(|one, other| other.cmp(one));
    Ok(LakeAnswer {
        buckets: Vec::new(),
        counts: kept.iter().map(|(count, _)| *count).collect(),
        keys: vec![LakeValues::Text {
            codes: (0..kept.len() as u32).collect(),
            words: kept.iter().map(|(_, Reverse(word))| Arc::from(*word)).collect(),
        }],
        distinct: Vec::new(),
        rows: 0,
        effort: LakeEffort::default(),
    })
}

/// How many words there are, in the one group that has all `rows`; no group when there are none.
fn how_many<'r>(words: impl Iterator<Item = (&'r str, u64)>, rows: u64) -> LakeAnswer {
    let is_there = rows > 0;
    LakeAnswer {
        buckets: Vec::new(),
        counts: is_there.then_some(rows).into_iter().collect(),
        keys: Vec::new(),
        distinct: is_there.then(|| words.count() as u64).into_iter().collect(),
        rows: 0,
        effort: LakeEffort::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(words: &[(&str, u32)]) -> Runs {
        let mut runs = Runs::default();
        let texts = Words::Shared(words.iter().map(|(word, _)| Arc::from(*word)).collect());
        runs.take(&texts, &words.iter().map(|(_, count)| *count).collect::<Vec<_>>());
        runs
    }

    #[test]
    fn files_are_walked_along_together() {
        let check = |files: &[&[&[(&str, u32)]]], top: Option<usize>, expected: &[(&str, u64)]| {
            let files: Vec<Vec<Runs>> =
                files.iter().map(|file| file.iter().map(|block| runs(block)).collect()).collect();
            let lanes = files.iter().map(|file| Lane::new(file.iter().collect())).filter_map(Lane::begun).collect();
            let answer = told(walk(lanes), top).unwrap();
            let lanes = files.iter().map(|file| Lane::new(file.iter().collect())).filter_map(Lane::begun).collect();
            if top.is_none() {
                let rows = expected.iter().map(|(_, count)| count).sum();
                let all: Vec<_> =
                    how_many(walk(lanes), rows).groups().map(|group| (group.count, group.distinct)).collect();
                let one = (rows > 0).then_some((rows, expected.len() as u64));
                assert_eq!(all, one.into_iter().collect::<Vec<_>>(), "{files:?}");
            }
            let words = answer.groups().map(|group| (group.values[0].to_string(), group.count)).collect::<Vec<_>>();
            let expected: Vec<_> = expected.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect();
            assert_eq!(words, expected, "{files:?} {top:?}");
        };
        check(&[], None, &[]);
        check(&[&[&[]], &[&[], &[("a", 1)]]], None, &[("a", 1)]);
        check(
            &[&[&[("a", 1), ("b", 2)], &[("b", 3)], &[], &[("b", 1), ("c", 9)]]],
            None,
            &[("c", 9), ("b", 6), ("a", 1)],
        );
        check(&[&[&[("a", 1), ("b", 2)]], &[&[("b", 2), ("c", 1)]]], None, &[("b", 4), ("a", 1), ("c", 1)]);
        check(&[&[&[("c", 1), ("a", 1), ("b", 0)]]], None, &[("a", 1), ("c", 1)]);
        check(&[&[&[("a", 1), ("b", 1), ("c", 1), ("d", 2)]]], Some(2), &[("d", 2), ("a", 1)]);
        check(&[&[&[("a", 3)]], &[&[("a", 4)]], &[&[("", 5)]]], Some(1), &[("a", 7)]);
    }
}
