//! Conditions: `selection and not 1 of filter_*`.

/// The longest condition, in words; the longest of SigmaHQ's collection has under a hundred.
const WORDS_MAX: usize = 512;
/// The deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 32;

/// A condition; numbers are places of searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Search(usize),
    Not(Box<Condition>),
    /// All hold; none in it holds.
    All(Vec<Condition>),
    /// One holds; none in it does not.
    Any(Vec<Condition>),
}

/// What may be, while only the action of a fact is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Possible {
    pub(super) holds: bool,
    pub(super) fails: bool,
}

impl Condition {
    /// Reads a condition about searches of these names.
    pub(super) fn read(text: &str, names: &[&str]) -> Result<Self, String> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        if words.len() > WORDS_MAX {
            return Err(format!("has more than {WORDS_MAX} words"));
        }
        let mut reader = Reader { words: &words, at: 0, names };
        let condition = reader.any(0)?;
        match reader.peek() {
            None => Ok(condition),
            Some("|") => Err("aggregations after `|` are not read; write a correlation".into()),
            Some(word) => {
                Err(format!("`{word}` stands where the condition should end, or `and` or `or` should follow"))
            }
        }
    }

    pub(super) fn holds(&self, search: &mut impl FnMut(usize) -> bool) -> bool {
        match self {
            Self::Search(place) => search(*place),
            Self::Not(condition) => !condition.holds(search),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(search)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(search)),
        }
    }

    pub(super) fn possible(&self, search: &mut impl FnMut(usize) -> Possible) -> Possible {
        match self {
            Self::Search(place) => search(*place),
            Self::Not(condition) => {
                let of = condition.possible(search);
                Possible { holds: of.fails, fails: of.holds }
            }
            Self::All(conditions) => all(conditions.iter().map(|condition| condition.possible(search))),
            Self::Any(conditions) => any(conditions.iter().map(|condition| condition.possible(search))),
        }
    }
}

/// What may be of "all of these".
pub(super) fn all(parts: impl Iterator<Item = Possible>) -> Possible {
    parts.fold(Possible { holds: true, fails: false }, |sum, part| Possible {
        holds: sum.holds && part.holds,
        fails: sum.fails || part.fails,
    })
}

/// What may be of "one of these".
pub(super) fn any(parts: impl Iterator<Item = Possible>) -> Possible {
    parts.fold(Possible { holds: false, fails: true }, |sum, part| Possible {
        holds: sum.holds || part.holds,
        fails: sum.fails && part.fails,
    })
}

struct Reader<'t> {
    words: &'t [&'t str],
    at: usize,
    names: &'t [&'t str],
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<&'t str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.peek().is_some_and(|next| next.eq_ignore_ascii_case(word));
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.all(depth)?];
        while self.take("or") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Condition::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.one(depth)?];
        while self.take("and") {
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Condition::All(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Condition, String> {
        if depth == DEPTH_MAX {
            return Err("is nested too deeply".into());
        }
        if self.take("not") {
            return Ok(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.any(depth + 1)?;
            return if self.take(")") { Ok(inner) } else { Err("a parenthesis is not closed".into()) };
        }
        let word = self.peek().ok_or("ends where a search should be named")?;
        self.at += 1;
        let next_is_of = self.peek().is_some_and(|next| next.eq_ignore_ascii_case("of"));
        if next_is_of && ["1", "any", "all"].iter().any(|quantity| word.eq_ignore_ascii_case(quantity)) {
            self.at += 1;
            let pattern = self.peek().ok_or("ends after `of`")?;
            self.at += 1;
            let parts = self.matching(pattern)?;
            let wants_all = word.eq_ignore_ascii_case("all");
            return Ok(if wants_all { Condition::All(parts) } else { Condition::Any(parts) });
        }
        if next_is_of {
            return Err(format!("`{word} of` is neither `1 of` nor `all of`"));
        }
        self.named(word)
    }

    fn named(&self, word: &str) -> Result<Condition, String> {
        let place = self.names.iter().position(|name| *name == word);
        place.map(Condition::Search).ok_or_else(|| format!("no search is called `{word}`"))
    }

    /// The searches that `them` or a name with `*` stands for. `them` leaves out names that begin with `_`.
    fn matching(&self, pattern: &str) -> Result<Vec<Condition>, String> {
        let is_them = pattern.eq_ignore_ascii_case("them");
        let names = self.names.iter().enumerate();
        let parts: Vec<Condition> = names
            .filter(|(_, name)| if is_them { !name.starts_with('_') } else { matches(pattern, name) })
            .map(|(place, _)| Condition::Search(place))
            .collect();
        if parts.is_empty() { Err(format!("no search is called `{pattern}`")) } else { Ok(parts) }
    }
}

/// Whether a name fits a pattern with `*`. Both are short: names of a rule's searches.
fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut last = None;
    for piece in pieces {
        if let Some(before) = last.replace(piece) {
            match rest.find(before) {
                Some(at) => rest = &rest[at + before.len()..],
                None => return false,
            }
        }
    }
    match last {
        None => rest.is_empty(),
        Some(last) => rest.ends_with(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["a", "b", "filter_1", "filter_2"];

    fn check(text: &str, true_ones: &[&str], expected: bool) {
        let condition = Condition::read(text, &NAMES).unwrap();
        assert_eq!(condition.holds(&mut |place| true_ones.contains(&NAMES[place])), expected, "{text} {true_ones:?}");
    }

    #[test]
    fn conditions_hold_as_they_are_written() {
        check("a", &["a"], true);
        check("a and b", &["a"], false);
        check("a or b and filter_1", &["a"], true);
        check("(a or b) and filter_1", &["a"], false);
        check("a and not 1 of filter_*", &["a"], true);
        check("a and not 1 of filter_*", &["a", "filter_2"], false);
        check("not not a", &["a"], true);
        check("all of filter_*", &["filter_1"], false);
        check("all of them", &["a", "b", "filter_1", "filter_2"], true);
        check("1 of *_2", &["filter_2"], true);
        check("any of f*_1", &["filter_2"], false);
    }

    #[test]
    fn what_is_no_condition_is_told() {
        for (text, part) in [
            ("", "ends where"),
            ("a b", "`b` stands where"),
            ("c", "no search is called `c`"),
            ("1 of x*", "no search is called `x*`"),
            ("2 of a", "neither"),
            ("(a", "not closed"),
            ("a | count() > 5", "aggregations"),
            (&"not ".repeat(60), "too deeply"),
            (&"( ".repeat(60), "too deeply"),
            (&"a or ".repeat(600), "more than"),
        ] {
            let error = Condition::read(text, &NAMES).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
