//! Regular expressions, basic and extended: POSIX.1-2017, XBD 9, as far as people type them: sets, repetitions, groups,
//! alternatives, anchors, back references.
//!
//! It looks back, so it counts its steps: an expression that is made to take for ever finds nothing instead.

use std::cell::Cell;

use super::pattern::bracket;

/// Steps in one search. A line of some hundred bytes under an ordinary expression takes some thousand.
const STEPS_MAX: u32 = 50_000;
/// What a step of a search is worth, in bytes of work: a line that may move 12 MiB may take 800,000 of them.
const BYTES_PER_STEP: usize = 16;
/// Steps that may be owed; many searches in one line of text are paid for together.
const OWED_MAX: usize = 800_000;
/// How deep groups may stand in each other, and how deep a search may look back; bounds the stack.
const DEPTH_MAX: u32 = 12;
/// How many pieces may be taken in a row; bounds the stack, too: each takes a few frames.
const RUN_MAX: u32 = 200;
/// Numbered groups, as `\9` is the last that can be named.
const GROUPS_MAX: usize = 10;

/// A regular expression.
#[derive(Debug)]
pub(crate) struct Regex {
    alternatives: Vec<Vec<Piece>>,
    ignores_case: bool,
    /// Steps that were taken and not paid for.
    owed: Cell<usize>,
}

#[derive(Debug)]
struct Piece {
    atom: Atom,
    least: u32,
    most: u32,
}

#[derive(Debug)]
enum Atom {
    Byte(u8),
    Any,
    Set(Vec<u8>),
    Start,
    End,
    WordEdge,
    WordByte(bool),
    Group(usize, Vec<Vec<Piece>>),
    Back(usize),
}

/// Where the whole and its groups are in the text.
pub(crate) type Found = [Option<(usize, usize)>; GROUPS_MAX];

struct Compiler<'a> {
    source: &'a [u8],
    at: usize,
    is_extended: bool,
    groups: usize,
    depth: u32,
}

impl Regex {
    pub(crate) fn new(source: &[u8], is_extended: bool, ignores_case: bool) -> Result<Self, &'static str> {
        let mut compiler = Compiler { source, at: 0, is_extended, groups: 0, depth: 0 };
        let alternatives = compiler.alternatives()?;
        if compiler.at < source.len() {
            return Err("Unmatched ) or \\)");
        }
        Ok(Self { alternatives, ignores_case, owed: Cell::new(0) })
    }

    /// A fixed text.
    pub(crate) fn fixed(text: &[u8], ignores_case: bool) -> Self {
        let piece = |&byte: &u8| Piece { atom: Atom::Byte(byte), least: 1, most: 1 };
        Self { alternatives: vec![text.iter().map(piece).collect()], ignores_case, owed: Cell::new(0) }
    }

    /// The first place in the text, from an offset on.
    pub(crate) fn find(&self, text: &[u8], from: usize) -> Option<Found> {
        if self.owed.get() > OWED_MAX {
            return None;
        }
        let mut search = Search { text, steps: STEPS_MAX, ignores_case: self.ignores_case, found: [None; GROUPS_MAX] };
        let found = self.search(&mut search, from);
        self.owed.set(self.owed.get() + (STEPS_MAX - search.steps) as usize);
        found
    }

    fn search(&self, search: &mut Search<'_>, from: usize) -> Option<Found> {
        for start in from..=search.text.len() {
            search.found = [None; GROUPS_MAX];
            for pieces in &self.alternatives {
                if let Some(end) = search.run(pieces, start, 0, &mut |_, end| Some(end)) {
                    let mut found = search.found;
                    if let Some(whole) = found.first_mut() {
                        *whole = Some((start, end));
                    }
                    return Some(found);
                }
            }
            if search.steps == 0 {
                return None;
            }
        }
        None
    }

    /// What the searches since the last payment cost, as bytes of work.
    pub(crate) fn bill(&self) -> usize {
        self.owed.take() * BYTES_PER_STEP
    }

    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.find(text, 0).is_some()
    }
}

impl Compiler<'_> {
    fn rest(&self) -> &[u8] {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, basic: &[u8], extended: &[u8]) -> bool {
        let mark = if self.is_extended { extended } else { basic };
        let is_there = !mark.is_empty() && self.rest().starts_with(mark);
        if is_there {
            self.at += mark.len();
        }
        is_there
    }

    fn alternatives(&mut self) -> Result<Vec<Vec<Piece>>, &'static str> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("Regular expression too big");
        }
        let mut alternatives = vec![self.branch()?];
        while self.skip(b"\\|", b"|") {
            alternatives.push(self.branch()?);
        }
        self.depth -= 1;
        Ok(alternatives)
    }

    fn branch(&mut self) -> Result<Vec<Piece>, &'static str> {
        let mut pieces: Vec<Piece> = Vec::new();
        loop {
            let (end, close): (&[u8], &[u8]) = if self.is_extended { (b"|", b")") } else { (b"\\|", b"\\)") };
            let rest = self.rest();
            if rest.is_empty() || rest.starts_with(end) || rest.starts_with(close) && self.depth > 1 {
                return Ok(pieces);
            }
            if rest.starts_with(close) && !self.is_extended {
                return Ok(pieces);
            }
            let atom = self.atom(pieces.is_empty())?;
            let mut piece = Piece { atom, least: 1, most: 1 };
            loop {
                if self.skip(b"*", b"*") {
                    (piece.least, piece.most) = (0, u32::MAX);
                } else if self.skip(b"\\+", b"+") {
                    (piece.least, piece.most) = (1, u32::MAX);
                } else if self.skip(b"\\?", b"?") {
                    (piece.least, piece.most) = (0, 1);
                } else if self.skip(b"\\{", b"{") {
                    (piece.least, piece.most) = self.interval()?;
                } else {
                    break;
                }
            }
            pieces.push(piece);
        }
    }

    fn interval(&mut self) -> Result<(u32, u32), &'static str> {
        let least = self.number();
        let most = if self.rest().starts_with(b",") {
            self.at += 1;
            self.number().unwrap_or(u32::MAX)
        } else {
            least.unwrap_or(0)
        };
        if !self.skip(b"\\}", b"}") {
            return Err("Invalid preceding regular expression");
        }
        Ok((least.unwrap_or(0), most))
    }

    fn number(&mut self) -> Option<u32> {
        let digits = self.rest().iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(self.rest().get(..digits)?).ok()?.parse().ok();
        self.at += digits;
        number
    }

    fn atom(&mut self, is_first: bool) -> Result<Atom, &'static str> {
        if self.skip(b"\\(", b"(") {
            self.groups += 1;
            let number = self.groups;
            let alternatives = self.alternatives()?;
            if !self.skip(b"\\)", b")") {
                return Err("Unmatched ( or \\(");
            }
            return Ok(Atom::Group(number, alternatives));
        }
        let Some(&byte) = self.rest().first() else { return Err("Invalid regular expression") };
        self.at += 1;
        Ok(match byte {
            b'.' => Atom::Any,
            b'^' if is_first || self.is_extended => Atom::Start,
            b'$' if self.is_extended || self.rest().is_empty() || self.rest().starts_with(b"\\)") => Atom::End,
            b'[' => {
                let Some((_, length)) = bracket(self.rest(), 0, false) else {
                    return Err("Unmatched [, [^, [:, [., or [=");
                };
                let set = self.rest().get(..length).unwrap_or_default().to_vec();
                self.at += length;
                Atom::Set(set)
            }
            b'\\' => {
                let Some(&next) = self.rest().first() else { return Err("Trailing backslash") };
                self.at += 1;
                match next {
                    b'1'..=b'9' => Atom::Back(usize::from(next - b'0')),
                    b'<' | b'>' | b'b' => Atom::WordEdge,
                    b'w' => Atom::WordByte(true),
                    b'W' => Atom::WordByte(false),
                    b's' => Atom::Set(b"[:space:]]".to_vec()),
                    b'n' => Atom::Byte(b'\n'),
                    b't' => Atom::Byte(b'\t'),
                    _ => Atom::Byte(next),
                }
            }
            _ => Atom::Byte(byte),
        })
    }
}

struct Search<'t> {
    text: &'t [u8],
    steps: u32,
    ignores_case: bool,
    found: Found,
}

/// What is still to be found after some pieces, given where they ended.
type Then<'c> = &'c mut dyn FnMut(&mut Search<'_>, usize) -> Option<usize>;

impl Search<'_> {
    fn run(&mut self, pieces: &[Piece], at: usize, run: u32, then: Then<'_>) -> Option<usize> {
        if self.steps == 0 || run > RUN_MAX {
            self.steps = 0;
            return None;
        }
        self.steps -= 1;
        // Pieces that take one byte once are taken without going deeper.
        let (mut pieces, mut at) = (pieces, at);
        while let [Piece { atom, least: 1, most: 1 }, rest @ ..] = pieces {
            if matches!(atom, Atom::Group(..)) {
                break;
            }
            at = self.single(atom, at)?;
            pieces = rest;
        }
        let Some((piece, rest)) = pieces.split_first() else { return then(self, at) };
        if let Atom::Group(number, alternatives) = &piece.atom {
            return self.group(*number, alternatives, piece, rest, 0, at, run + 1, then);
        }
        // As many as there are, then fewer.
        let mut ends = vec![at];
        while (ends.len() as u64) <= u64::from(piece.most) && self.steps > 0 {
            self.steps -= 1;
            let last = *ends.last().expect("it began with one");
            match self.single(&piece.atom, last) {
                Some(end) if end > last => ends.push(end),
                _ => break,
            }
        }
        while ends.len() > piece.least as usize {
            let end = ends.pop()?;
            if let Some(end) = self.run(rest, end, run + 1, then) {
                return Some(end);
            }
        }
        None
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one search, handed from step to step")]
    fn group(
        &mut self,
        number: usize,
        alternatives: &[Vec<Piece>],
        piece: &Piece,
        rest: &[Piece],
        taken: u32,
        at: usize,
        run: u32,
        then: Then<'_>,
    ) -> Option<usize> {
        if taken < piece.most && run <= RUN_MAX {
            for pieces in alternatives {
                let before = self.found.get(number).copied().flatten();
                let found = self.run(pieces, at, run + 1, &mut |search, end| {
                    if end == at && taken >= piece.least {
                        return None;
                    }
                    let old = search.found.get(number).copied().flatten();
                    if let Some(place) = search.found.get_mut(number) {
                        *place = Some((at, end));
                    }
                    let found =
                        search.group(number, alternatives, piece, rest, taken.saturating_add(1), end, run + 1, then);
                    if found.is_none()
                        && let Some(place) = search.found.get_mut(number)
                    {
                        *place = old;
                    }
                    found
                });
                if found.is_some() {
                    return found;
                }
                if let Some(place) = self.found.get_mut(number) {
                    *place = before;
                }
            }
        }
        if taken >= piece.least { self.run(rest, at, run + 1, then) } else { None }
    }

    /// Where an atom ends that begins here.
    fn single(&self, atom: &Atom, at: usize) -> Option<usize> {
        let byte = self.text.get(at).copied();
        let is_word = |byte: Option<&u8>| byte.is_some_and(|&byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_taken = match atom {
            Atom::Byte(wanted) if self.ignores_case => byte?.eq_ignore_ascii_case(wanted),
            Atom::Byte(wanted) => byte? == *wanted,
            Atom::Any => byte.is_some(),
            Atom::Set(set) => {
                let is_in = |byte| bracket(set, byte, false).is_some_and(|(is_in, _)| is_in);
                let byte = byte?;
                is_in(byte)
                    || self.ignores_case && (is_in(byte.to_ascii_lowercase()) || is_in(byte.to_ascii_uppercase()))
            }
            Atom::WordByte(expected) => {
                byte?;
                is_word(self.text.get(at)) == *expected
            }
            Atom::Start => return (at == 0).then_some(at),
            Atom::End => return (at == self.text.len()).then_some(at),
            Atom::WordEdge => {
                let before = at.checked_sub(1).and_then(|before| self.text.get(before));
                return (is_word(before) != is_word(self.text.get(at))).then_some(at);
            }
            Atom::Back(number) => {
                let (start, end) = self.found.get(*number).copied().flatten()?;
                let taken = self.text.get(start..end)?;
                return self.text.get(at..)?.starts_with(taken).then_some(at + taken.len());
            }
            Atom::Group(..) => false,
        };
        is_taken.then_some(at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let check = |source: &str, is_extended, text: &str, expected: Option<(usize, usize)>| {
            let regex = Regex::new(source.as_bytes(), is_extended, false).unwrap();
            assert_eq!(regex.find(text.as_bytes(), 0).and_then(|found| found[0]), expected, "{source} in {text}");
        };
        check("b", false, "abc", Some((1, 2)));
        check("^a.*c$", false, "abbc", Some((0, 4)));
        check("a*", false, "baa", Some((0, 0)));
        check("[0-9]\\+", false, "ab123", Some((2, 5)));
        check("(a|b)+c", true, "xabac", Some((1, 5)));
        check("\\(a\\)\\1", false, "baa", Some((1, 3)));
        check("a{2,3}", true, "aaaa", Some((0, 3)));
        check("a+b?", true, "caad", Some((1, 3)));
        check("\\<b", false, "ab b", Some((3, 4)));
        check("(", false, "a(", Some((1, 2)));
        check("*a", false, "*a", Some((0, 2)));
        assert!(Regex::new(b"(", true, false).is_err());
        assert!(Regex::new(b"[a", true, false).is_err());
    }

    #[test]
    fn a_search_ends() {
        let text = "a".repeat(4_000);
        for source in ["(a*)*b", "(a|aa)+$b", "((a+)+)+b", "a*a*a*a*a*a*b", "(a?){1000}b", "(.)*x"] {
            let regex = Regex::new(source.as_bytes(), true, false).unwrap();
            assert!(!regex.is_in(text.as_bytes()), "{source}");
        }
        assert!(Regex::new("(".repeat(1000).as_bytes(), true, false).is_err());
    }
}
