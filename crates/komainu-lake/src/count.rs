//! Counting: the kernels.
//!
//! A row's group is a number made of its piece of time and the numbers of its words, and counting is an addition at that place
//! of a table; words are looked up once for each block, never for a row. Where there are too many groups for a table, the
//! numbers are sorted and counted. Exact counts of different values of the first sorting column need no set: rows of one
//! value stand together, so that a group counts a value when it sees it and did not see it just before.

mod groups;
mod keys;
mod ordered;
mod table;
mod tally;

use std::collections::BTreeMap;

use komainu_ports::{LakeAnswer, LakeEffort, LakeError, LakeQuestion, TimeBucket};
use parking_lot::Mutex;

use self::groups::arranged;
use self::tally::{Shared, Tally};
use crate::block::{Block, Values};
use crate::part::sort_columns;
use crate::threads;
use crate::words::Lexicon;

/// So many groups one month, or an answer that is of no pieces of time, may have: each takes about 60 bytes while it is
/// counted.
const GROUPS_MAX: usize = 4 << 20;

/// So many groups the answers of all months may have together: each takes about 30 bytes.
const ANSWER_GROUPS_MAX: usize = 8 << 20;

/// So many different words of one column an answer may have.
const WORDS_MAX: usize = 8 << 20;

/// So many pairs of a group and a value are remembered when different values are counted.
const PAIRS_MAX: usize = 24 << 20;

/// The blocks of a month: those of each part in their order, and those that are in memory.
pub(crate) struct MonthBlocks {
    pub(crate) parts: Vec<Vec<Block>>,
    pub(crate) hot: Vec<Block>,
}

/// Counts the rows of these months, which are in the order of time.
pub(crate) fn count(question: &LakeQuestion, months: Vec<MonthBlocks>) -> Result<LakeAnswer, LakeError> {
    let parts = months.iter().map(|month| month.parts.len()).sum::<usize>() as u32;
    if ordered::is_for(question)
        && let Some(mut answer) = ordered::count(question, &months)?
    {
        answer.effort.parts = parts;
        return Ok(answer);
    }
    let mut answer = match question.bucket {
        // No piece of time lies in two months: each has its answer, and what it took to find it is let go.
        Some(TimeBucket::Hour | TimeBucket::Day | TimeBucket::Month) => {
            let answers = if counts_runs(question) {
                let answers = Mutex::new(BTreeMap::new());
                let numbered: Vec<(usize, MonthBlocks)> = months.into_iter().enumerate().collect();
                let count = |(number, month): &(usize, MonthBlocks)| {
                    let shared = Shared::new(question);
                    let mut tally = Tally::new(&shared);
                    tally.count_month(month)?;
                    answers.lock().insert(*number, finish(&shared, vec![tally])?);
                    Ok(())
                };
                threads::spread(&numbered, || (), |(), month| count(month), |()| Ok(()))?;
                answers.into_inner().into_values().collect()
            } else {
                months
                    .into_iter()
                    .map(|month| count_blocks(question, &month.into_blocks()))
                    .collect::<Result<_, _>>()?
            };
            joined(question, answers)?
        }
        Some(TimeBucket::Week) | None => {
            let blocks: Vec<Block> = months.into_iter().flat_map(MonthBlocks::into_blocks).collect();
            count_blocks(question, &blocks)?
        }
    };
    answer.effort.parts = parts;
    Ok(answer)
}

impl MonthBlocks {
    fn into_blocks(self) -> Vec<Block> {
        self.parts.into_iter().flatten().chain(self.hot).collect()
    }
}

fn count_blocks(question: &LakeQuestion, blocks: &[Block]) -> Result<LakeAnswer, LakeError> {
    let shared = Shared::new(question);
    let tallies =
        threads::spread(blocks, || Tally::new(&shared), |tally, block| tally.count_block(block), Tally::sort_keys)?;
    finish(&shared, tallies)
}

/// What several threads have counted, as an answer.
fn finish(shared: &Shared<'_>, tallies: Vec<Tally<'_>>) -> Result<LakeAnswer, LakeError> {
    let question = shared.question;
    let rows = tallies.iter().map(|tally| tally.rows).sum();
    let rows_scanned = tallies.iter().map(|tally| tally.rows_scanned).sum();
    let found = tally::found(tallies)?;
    let lexicons = shared.lexicons.lock();
    let ranks: Vec<Vec<u32>> = lexicons.iter().map(Lexicon::ranks).collect();
    let groups = arranged(found, &ranks, question.top);
    let keys = lexicons
        .iter()
        .enumerate()
        .map(|(column, lexicon)| lexicon.column(groups.iter().map(|found| found.group.words[column]).collect()));
    Ok(LakeAnswer {
        keys: keys.collect(),
        buckets: match question.bucket {
            Some(bucket) => groups.iter().map(|found| bucket.start(found.group.bucket).unix_millis()).collect(),
            None => Vec::new(),
        },
        counts: groups.iter().map(|found| found.count).collect(),
        distinct: question.distinct.map_or(Vec::new(), |_| groups.iter().map(|found| found.distinct).collect()),
        rows,
        effort: LakeEffort { from_rollups: false, rows_scanned, parts: 0 },
    })
}

/// Answers to the same question of times that follow each other as one.
fn joined(question: &LakeQuestion, answers: Vec<LakeAnswer>) -> Result<LakeAnswer, LakeError> {
    let kinds = question.group_by.iter().map(|column| question.table.columns()[*column].kind);
    let mut lexicons: Vec<Lexicon> = kinds.map(Lexicon::new).collect();
    let mut numbers: Vec<Vec<u32>> = lexicons.iter().map(|_| Vec::new()).collect();
    let mut all = LakeAnswer {
        buckets: Vec::new(),
        keys: Vec::new(),
        counts: Vec::new(),
        distinct: Vec::new(),
        rows: 0,
        effort: LakeEffort::default(),
    };
    for answer in answers {
        within(all.counts.len() + answer.counts.len(), ANSWER_GROUPS_MAX, "groups")?;
        for ((lexicon, numbers), values) in lexicons.iter_mut().zip(&mut numbers).zip(&answer.keys) {
            if let Values::Coded { codes, words } = Values::of(values) {
                let known: Vec<u32> = words.iter().map(|word| lexicon.number(word)).collect();
                numbers.extend(codes.iter().map(|code| known[*code as usize]));
            }
        }
        all.buckets.extend(answer.buckets);
        all.counts.extend(answer.counts);
        all.distinct.extend(answer.distinct);
        all.rows += answer.rows;
        all.effort.rows_scanned += answer.effort.rows_scanned;
    }
    all.keys = lexicons.iter().zip(numbers).map(|(lexicon, numbers)| lexicon.column(numbers)).collect();
    Ok(all)
}

/// Whether different values can be counted month by month, as runs of equal ones.
fn counts_runs(question: &LakeQuestion) -> bool {
    let is_sorted = question.distinct == Some(sort_columns(question.table)[0]);
    // A week lies in two months, and all of time in many.
    is_sorted && matches!(question.bucket, Some(TimeBucket::Hour | TimeBucket::Day | TimeBucket::Month))
}

fn within(number: usize, bound: usize, what: &'static str) -> Result<(), LakeError> {
    if number <= bound { Ok(()) } else { Err(LakeError::TooLarge { what, bound: bound as u64 }) }
}
