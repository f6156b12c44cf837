//! Numbers for words, the same for all blocks of a question.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use komainu_ports::{LakeKind, LakeValues};

use crate::block::Word;

/// Gives each word a number, in the order in which they come.
#[derive(Debug)]
pub(crate) enum Lexicon {
    Texts { numbers: HashMap<Arc<str>, u32, RandomState>, words: Vec<Arc<str>> },
    Numbers { numbers: HashMap<u32, u32, RandomState>, words: Vec<u32> },
}

impl Lexicon {
    pub(crate) fn new(kind: LakeKind) -> Self {
        match kind {
            LakeKind::Number => Self::Numbers { numbers: HashMap::default(), words: Vec::new() },
            LakeKind::Text | LakeKind::Time | LakeKind::Float => {
                Self::Texts { numbers: HashMap::default(), words: Vec::new() }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Texts { words, .. } => words.len(),
            Self::Numbers { words, .. } => words.len(),
        }
    }

    /// The number of a word; a new one when it has none.
    pub(crate) fn number(&mut self, word: Word<'_>) -> u32 {
        match (self, word) {
            (Self::Texts { numbers, words }, Word::Text(text)) => match numbers.get(text) {
                Some(number) => *number,
                None => {
                    let (text, number) = (Arc::<str>::from(text), words.len() as u32);
                    words.push(text.clone());
                    numbers.insert(text, number);
                    number
                }
            },
            (Self::Numbers { numbers, words }, Word::Number(word)) => *numbers.entry(word).or_insert_with(|| {
                words.push(word);
                words.len() as u32 - 1
            }),
            (Self::Texts { .. } | Self::Numbers { .. }, _) => unreachable!("a column's words are of one kind"),
        }
    }

    /// The number of a word that has one.
    pub(crate) fn find(&self, word: Word<'_>) -> Option<u32> {
        match (self, word) {
            (Self::Texts { numbers, .. }, Word::Text(text)) => numbers.get(text).copied(),
            (Self::Numbers { numbers, .. }, Word::Number(word)) => numbers.get(&word).copied(),
            (Self::Texts { .. } | Self::Numbers { .. }, _) => None,
        }
    }

    pub(crate) fn word(&self, number: u32) -> Word<'_> {
        match self {
            Self::Texts { words, .. } => Word::Text(&words[number as usize]),
            Self::Numbers { words, .. } => Word::Number(words[number as usize]),
        }
    }

    /// For each number its place in the order of the words.
    pub(crate) fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_unstable_by_key(|number| self.word(*number));
        let mut ranks = vec![0; order.len()];
        for (rank, number) in (0..).zip(order) {
            ranks[number as usize] = rank;
        }
        ranks
    }

    /// These words as a column.
    pub(crate) fn column(&self, numbers: Vec<u32>) -> LakeValues {
        match self {
            Self::Texts { words, .. } => LakeValues::Text { codes: numbers, words: words.clone() },
            Self::Numbers { words, .. } => {
                LakeValues::Number(numbers.into_iter().map(|number| words[number as usize]).collect())
            }
        }
    }
}
