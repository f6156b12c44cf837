//! Patterns of `*` and `?`, matched without backtracking further than the latest `*`.

/// One element of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// This character.
    Char(char),
    /// `?`: one character.
    One,
    /// `*`: any characters, also none.
    Any,
}

/// A pattern in the form that is matched fastest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Everything.
    Everything,
    /// This text.
    Exact(Box<str>),
    /// What begins with this text.
    Prefix(Box<str>),
    /// Anything else.
    Glob(Box<[Token]>),
}

impl Pattern {
    /// The pattern of `tokens`.
    pub(super) fn new(tokens: &[Token]) -> Self {
        let literal: String = tokens
            .iter()
            .map_while(|token| match token {
                Token::Char(c) => Some(*c),
                Token::One | Token::Any => None,
            })
            .collect();
        let rest = &tokens[literal.chars().count()..];
        if rest.is_empty() {
            Self::Exact(literal.into())
        } else if rest.iter().all(|token| *token == Token::Any) {
            if literal.is_empty() { Self::Everything } else { Self::Prefix(literal.into()) }
        } else {
            Self::Glob(collapsed(tokens).into())
        }
    }

    /// Whether the whole of `text` matches. Takes no memory, and time in the worst case of length of the pattern times
    /// length of the text.
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Exact(literal) => **literal == *text,
            Self::Prefix(literal) => text.starts_with(&**literal),
            Self::Glob(tokens) => glob_matches(tokens, text),
        }
    }
}

/// Whether the whole of `text` matches `tokens`.
///
/// At a mismatch it is enough to let the latest `*` take one character more: what an earlier `*` could take instead
/// only shortens what is left for the later one.
pub(super) fn glob_matches(tokens: &[Token], text: &str) -> bool {
    let mut rest = text.chars();
    let mut at = 0;
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        if tokens.get(at) == Some(&Token::Any) {
            at += 1;
            if at == tokens.len() {
                return true;
            }
            retry = Some((at, rest.clone()));
            continue;
        }
        let fits = match (tokens.get(at), rest.next()) {
            (None, None) => return true,
            (Some(Token::Char(expected)), Some(found)) => *expected == found,
            (Some(Token::One), Some(_)) => true,
            // The text has ended, and no `*` can give characters back.
            (Some(_), None) => return false,
            (None | Some(Token::Any), Some(_)) => false,
        };
        if fits {
            at += 1;
            continue;
        }
        let Some((after_any, from)) = &mut retry else { return false };
        // `from` is not at the end: it is not beyond where `rest` was, and `rest` had a character.
        from.next();
        at = *after_any;
        rest = from.clone();
    }
}

/// What is left of `tokens` when the text begins with `prefix`: every way in which the prefix can be used up, so that
/// the whole matches when one of the remainders matches the rest of the text. At most one more than the prefix has
/// characters.
pub(super) fn remainders<'t>(tokens: &'t [Token], prefix: &str) -> Vec<&'t [Token]> {
    let mut places = vec![0];
    settle(tokens, &mut places);
    for c in prefix.chars() {
        let mut next = Vec::with_capacity(places.len() + 1);
        for &place in &places {
            match tokens.get(place) {
                Some(Token::Any) => next.push(place),
                Some(Token::One) => next.push(place + 1),
                Some(Token::Char(expected)) if *expected == c => next.push(place + 1),
                Some(Token::Char(_)) | None => {}
            }
        }
        settle(tokens, &mut next);
        places = next;
    }
    // What begins with `*` includes what follows the `*`.
    let superfluous = |place: usize| {
        place.checked_sub(1).is_some_and(|before| tokens[before] == Token::Any && places.binary_search(&before).is_ok())
    };
    places.iter().filter(|place| !superfluous(**place)).map(|place| &tokens[*place..]).collect()
}

/// Adds the places that are reached by letting a `*` stand for nothing; sorts; removes doubles.
fn settle(tokens: &[Token], places: &mut Vec<usize>) {
    let mut at = 0;
    while at < places.len() {
        if tokens.get(places[at]) == Some(&Token::Any) && !places.contains(&(places[at] + 1)) {
            places.push(places[at] + 1);
        }
        at += 1;
    }
    places.sort_unstable();
    places.dedup();
}

/// `tokens` with each run of `*` as one.
pub(super) fn collapsed(tokens: &[Token]) -> Vec<Token> {
    let mut collapsed = tokens.to_vec();
    collapsed.dedup_by(|b, a| *a == Token::Any && *b == Token::Any);
    collapsed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        let token = |c| match c {
            '*' => Token::Any,
            '?' => Token::One,
            c => Token::Char(c),
        };
        text.chars().map(token).collect()
    }

    /// The definition, tried in every way.
    fn naive(tokens: &[Token], text: &[char]) -> bool {
        match (tokens.first(), text.first()) {
            (None, None) => true,
            (Some(Token::Any), _) => naive(&tokens[1..], text) || (!text.is_empty() && naive(tokens, &text[1..])),
            (Some(Token::One), Some(_)) => naive(&tokens[1..], &text[1..]),
            (Some(Token::Char(expected)), Some(found)) => expected == found && naive(&tokens[1..], &text[1..]),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    #[test]
    fn the_fastest_form_is_chosen() {
        let check =
            |pattern: &str, expected: Pattern| assert_eq!(Pattern::new(&tokens(pattern)), expected, "{pattern}");
        check("*", Pattern::Everything);
        check("***", Pattern::Everything);
        check("", Pattern::Exact("".into()));
        check("a/+/#", Pattern::Exact("a/+/#".into()));
        check("a/**", Pattern::Prefix("a/".into()));
        check("a?**b", Pattern::Glob(tokens("a?*b").into()));
        check("*a", Pattern::Glob(tokens("*a").into()));
    }

    #[test]
    fn what_an_arn_begins_with_is_taken_off() {
        let check = |pattern: &str, expected: &[&str]| {
            let tokens = tokens(pattern);
            let expected: Vec<_> = expected.iter().map(|rest| super::tests::tokens(rest)).collect();
            let found: Vec<_> = remainders(&tokens, "topic/").into_iter().map(<[Token]>::to_vec).collect();
            assert_eq!(found, expected, "{pattern}");
        };
        check("topic/a", &["a"]);
        check("topic/*", &["*"]);
        check("topic*", &["*"]);
        check("*", &["*"]);
        check("*/a", &["*/a", "a"]);
        check("t?pi?/a*", &["a*"]);
        check("topicfilter/a", &[]);
        check("topic", &[]);
        check("client/topic/a", &[]);
    }

    #[test]
    fn a_long_pattern_against_a_long_text_ends_soon() {
        let pattern = Pattern::new(&tokens(&"*a".repeat(1000)));
        assert!(!pattern.matches(&("a".repeat(999) + "b")));
        assert!(pattern.matches(&"a".repeat(1000)));
    }

    proptest! {
        #[test]
        fn matches_as_defined(pattern in "[ab*?/ü]{0,10}", text in "[ab/ü]{0,10}") {
            let tokens = tokens(&pattern);
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(Pattern::new(&tokens).matches(&text), naive(&tokens, &chars));
        }

        #[test]
        fn remainders_match_as_the_whole(pattern in "[ab*?/]{0,8}", prefix in "[ab/]{0,4}", text in "[ab/]{0,6}") {
            let tokens = collapsed(&tokens(&pattern));
            let whole: Vec<char> = prefix.chars().chain(text.chars()).collect();
            let rest = remainders(&tokens, &prefix);
            prop_assert!(rest.len() <= prefix.chars().count() + 1);
            let by_parts = rest.into_iter().any(|rest| Pattern::new(rest).matches(&text));
            prop_assert_eq!(by_parts, naive(&tokens, &whole));
        }
    }
}
