//! Whether a buffer is what the tests of a rule say.
//!
//! The semantics are those of "Payload Keywords" in Suricata's documentation (docs.suricata.io).

use std::cell::OnceCell;

use memchr::memmem::Finder;
use regex::bytes::Regex;

/// Bytes that the tests of one rule may look at in one buffer before they count as failed. Relative tests try each place
/// where the one before fits, which is quadratic for who knows the rule.
const LOOKED_BYTES_MAX: usize = 2 << 20;

/// What each search costs besides its bytes.
const SEARCH_COST: usize = 16;

/// Something that must hold.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Content(Box<Content>),
    Pcre(Pcre),
    /// `isdataat`: there is a byte so far behind.
    DataAt {
        bytes: usize,
        is_relative: bool,
        is_negated: bool,
    },
    /// `bsize`, `urilen`, `dsize`: how long it is.
    Size(Range),
    Number {
        number: Number,
        comparison: Comparison,
        value: u64,
        is_negated: bool,
    },
    ByteJump {
        number: Number,
        multiplier: u64,
        is_aligned: bool,
        is_from_beginning: bool,
        then: i64,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// In lower case if the case does not matter.
    pub(crate) finder: Finder<'static>,
    pub(crate) is_any_case: bool,
    pub(crate) is_negated: bool,
    pub(crate) offset: usize,
    pub(crate) depth: Option<usize>,
    pub(crate) distance: Option<i64>,
    pub(crate) within: Option<i64>,
    pub(crate) is_at_end: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Pcre {
    pub(crate) regex: Regex,
    pub(crate) is_relative: bool,
    pub(crate) is_negated: bool,
}

/// Numbers from `least` to `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) least: usize,
    pub(crate) most: usize,
    /// Any but these.
    pub(crate) is_negated: bool,
}

/// A number in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) bytes: usize,
    pub(crate) offset: i64,
    pub(crate) is_relative: bool,
    pub(crate) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    BigEndian,
    LittleEndian,
    /// Digits to a base.
    Text(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    Greater,
    Equal,
    LessOrEqual,
    GreaterOrEqual,
    And,
    Or,
}

/// A buffer, and the same in lower case once that was asked for.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) bytes: &'a [u8],
    lower: OnceCell<Vec<u8>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, lower: OnceCell::new() }
    }

    fn lower(&self) -> &[u8] {
        self.lower.get_or_init(|| self.bytes.to_ascii_lowercase())
    }
}

impl Test {
    /// Whether it begins where the one before it ended.
    pub(crate) fn is_relative(&self) -> bool {
        match self {
            Self::Content(content) => content.is_relative(),
            Self::Pcre(pcre) => pcre.is_relative,
            Self::DataAt { is_relative, .. } => *is_relative,
            Self::Size(_) => false,
            Self::Number { number, .. } | Self::ByteJump { number, .. } => number.is_relative,
        }
    }

    /// Whether it begins at the cursor; none when it neither does nor moves the cursor away, so that a later test may.
    fn follows_cursor(&self) -> Option<bool> {
        let moves = match self {
            Self::Content(content) => !content.is_negated,
            Self::Pcre(pcre) => !pcre.is_negated,
            Self::ByteJump { .. } => true,
            Self::DataAt { .. } | Self::Size(_) | Self::Number { .. } => false,
        };
        let is_relative = self.is_relative();
        (is_relative || moves).then_some(is_relative)
    }

    /// Whether it counts from the beginning of the buffer.
    pub(crate) fn is_anchored(&self) -> bool {
        match self {
            Self::Content(content) => !content.is_relative() && (content.offset > 0 || content.depth.is_some()),
            Self::Pcre(_) => false,
            Self::DataAt { is_relative, .. } => !is_relative,
            Self::Size(_) => true,
            Self::Number { number, .. } => !number.is_relative,
            Self::ByteJump { number, is_from_beginning, .. } => !number.is_relative || *is_from_beginning,
        }
    }
}

/// Whether all of `tests` hold.
pub(crate) fn holds(tests: &[Test], view: &View<'_>) -> bool {
    let mut left = LOOKED_BYTES_MAX;
    holds_from(tests, view, 0, &mut left)
}

/// Whether `tests` hold when the one before ended at `cursor`. At most as deep as there are tests.
fn holds_from(tests: &[Test], view: &View<'_>, cursor: usize, left: &mut usize) -> bool {
    let Some((test, rest)) = tests.split_first() else { return true };
    // Whether another place where this test fits can change what the rest finds.
    let is_retried = rest.iter().find_map(Test::follows_cursor).unwrap_or(false);
    match test {
        Test::Content(content) => {
            let region = content.region(cursor, view.bytes.len());
            if content.is_negated {
                let is_found = region.is_some_and(|(from, to)| content.find(view, from, to, left).is_some());
                return !is_found && holds_from(rest, view, cursor, left);
            }
            let Some((mut from, to)) = region else { return false };
            while let Some(at) = content.find(view, from, to, left) {
                if holds_from(rest, view, at + content.bytes(), left) {
                    return true;
                }
                if !is_retried {
                    return false;
                }
                from = at + 1;
            }
            false
        }
        Test::Pcre(pcre) => {
            let from = if pcre.is_relative { cursor } else { 0 };
            let Some(searched) = view.bytes.get(from..) else {
                return pcre.is_negated && holds_from(rest, view, cursor, left);
            };
            if !spend(left, searched.len()) {
                return false;
            }
            if pcre.is_negated {
                return !pcre.regex.is_match(searched) && holds_from(rest, view, cursor, left);
            }
            if rest.is_empty() {
                return pcre.regex.is_match(searched);
            }
            let mut at = 0;
            while let Some(found) = pcre.regex.find_at(searched, at) {
                if holds_from(rest, view, from + found.end(), left) {
                    return true;
                }
                at = found.start() + 1;
                if !is_retried || at > searched.len() || !spend(left, searched.len() - at) {
                    return false;
                }
            }
            false
        }
        Test::DataAt { bytes, is_relative, is_negated } => {
            // Relative to the cursor, the byte before is asked for: the end of the buffer is 0 bytes behind itself.
            let length = view.bytes.len();
            let is_there = if *is_relative { cursor.saturating_add(*bytes) <= length } else { *bytes < length };
            is_there != *is_negated && holds_from(rest, view, cursor, left)
        }
        Test::Size(range) => range.has(view.bytes.len()) && holds_from(rest, view, cursor, left),
        Test::Number { number, comparison, value, is_negated } => {
            let Some((read, _)) = number.read(view.bytes, cursor) else { return false };
            comparison.holds(read, *value) != *is_negated && holds_from(rest, view, cursor, left)
        }
        Test::ByteJump { number, multiplier, is_aligned, is_from_beginning, then } => {
            let Some((read, end)) = number.read(view.bytes, cursor) else { return false };
            let mut jump = read.saturating_mul(*multiplier);
            if *is_aligned {
                jump = jump.checked_next_multiple_of(4).unwrap_or(u64::MAX);
            }
            let from = if *is_from_beginning { 0 } else { end as u64 };
            let to = i128::from(from) + i128::from(jump) + i128::from(*then);
            match usize::try_from(to) {
                Ok(to) if to <= view.bytes.len() => holds_from(rest, view, to, left),
                Ok(_) | Err(_) => false,
            }
        }
    }
}

/// Takes the cost of looking at `bytes` bytes; false when there is not enough left.
fn spend(left: &mut usize, bytes: usize) -> bool {
    let cost = bytes + SEARCH_COST;
    let is_enough = *left >= cost;
    *left = left.saturating_sub(cost);
    is_enough
}

impl Content {
    pub(crate) fn bytes(&self) -> usize {
        self.finder.needle().len()
    }

    fn is_relative(&self) -> bool {
        self.distance.is_some() || self.within.is_some()
    }

    /// Where it is looked for in a buffer of `length` bytes; none when it has no room there.
    fn region(&self, cursor: usize, length: usize) -> Option<(usize, usize)> {
        let mut from = self.offset;
        let mut to = self.depth.map_or(length, |depth| self.offset.saturating_add(depth).min(length));
        if self.is_relative() {
            let begin = cursor as i64 + self.distance.unwrap_or(0);
            from = from.max(usize::try_from(begin).unwrap_or(0));
            if let Some(within) = self.within {
                to = to.min(usize::try_from(begin + within).unwrap_or(0));
            }
        }
        if self.is_at_end {
            let last = length.checked_sub(self.bytes())?;
            if to < length || last < from {
                return None;
            }
            from = last;
        }
        (from <= to && to - from >= self.bytes()).then_some((from, to))
    }

    fn find(&self, view: &View<'_>, from: usize, to: usize, left: &mut usize) -> Option<usize> {
        let bytes = if self.is_any_case { view.lower() } else { view.bytes };
        let searched = bytes.get(from..to)?;
        let found = self.finder.find(searched);
        if !spend(left, found.unwrap_or(searched.len())) {
            return None;
        }
        Some(from + found?)
    }
}

impl Range {
    pub(crate) fn has(self, number: usize) -> bool {
        (self.least..=self.most).contains(&number) != self.is_negated
    }
}

impl Number {
    /// The number, and where it ends.
    fn read(&self, bytes: &[u8], cursor: usize) -> Option<(u64, usize)> {
        let from = if self.is_relative { cursor as i64 } else { 0 };
        let begin = usize::try_from(from.checked_add(self.offset)?).ok()?;
        let rest = bytes.get(begin..)?;
        match self.form {
            Form::Text(base) => {
                let text = &rest[..rest.len().min(self.bytes)];
                let blank = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let text = &text[blank..];
                let text = match (base, text) {
                    (16, [b'0', b'x' | b'X', text @ ..]) => text,
                    _ => text,
                };
                let digits = text.iter().take_while(|byte| char::from(**byte).is_digit(base)).count();
                let number = std::str::from_utf8(&text[..digits]).ok()?;
                let number = u64::from_str_radix(number, base).ok()?;
                Some((number, begin + self.bytes.min(rest.len())))
            }
            Form::BigEndian | Form::LittleEndian => {
                let number = rest.get(..self.bytes)?;
                let fold = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
                let read = if self.form == Form::BigEndian {
                    number.iter().fold(0, fold)
                } else {
                    number.iter().rev().fold(0, fold)
                };
                Some((read, begin + self.bytes))
            }
        }
    }
}

impl Comparison {
    fn holds(self, read: u64, value: u64) -> bool {
        match self {
            Self::Less => read < value,
            Self::Greater => read > value,
            Self::Equal => read == value,
            Self::LessOrEqual => read <= value,
            Self::GreaterOrEqual => read >= value,
            Self::And => read & value != 0,
            Self::Or => read ^ value != 0,
        }
    }
}
