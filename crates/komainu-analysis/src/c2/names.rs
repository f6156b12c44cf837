//! Names that a program makes up to find its server.

use std::collections::{BTreeMap, BTreeSet};

use crate::fact::{Category, Facts, Field};

/// So many different names that look made up are a generator; programs ask for a handful of random ones (a browser three).
const NAMES_MIN: usize = 8;
/// Labels below this length say nothing.
const LABEL_BYTES_MIN: usize = 7;
/// The most names that are told.
const EXAMPLES_MAX: usize = 16;

/// Names that look generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedNames {
    /// How many different ones.
    pub count: u64,
    /// How many of them do not exist.
    pub missing: u64,
    /// The first ones.
    pub examples: Vec<String>,
    /// The endings of all of them.
    pub endings: Vec<String>,
    /// The runs.
    pub runs: Vec<u16>,
}

/// The names that look generated, if there are enough of them.
pub(super) fn generated(facts: &Facts) -> Option<GeneratedNames> {
    let mut order = Vec::new();
    let mut names: BTreeMap<&str, bool> = BTreeMap::new();
    let mut runs = BTreeSet::new();
    for fact in facts.all().iter().filter(|fact| fact.category == Category::Dns) {
        let Some(name) = fact.text(Field::QueryName) else { continue };
        let Some((label, _)) = registered(name) else { continue };
        if !looks_made_up(label) {
            continue;
        }
        let answered = fact.text(Field::Answered) == Some("true");
        if names.insert(name, answered).is_none() {
            order.push(name);
        }
        runs.extend(fact.run);
    }
    if order.len() < NAMES_MIN {
        return None;
    }
    let endings: BTreeSet<&str> = order.iter().filter_map(|name| registered(name)).map(|(_, ending)| ending).collect();
    Some(GeneratedNames {
        count: order.len() as u64,
        missing: names.values().filter(|answered| !**answered).count() as u64,
        examples: order.iter().take(EXAMPLES_MAX).map(|name| (*name).to_owned()).collect(),
        endings: endings.into_iter().take(EXAMPLES_MAX).map(str::to_owned).collect(),
        runs: runs.into_iter().collect(),
    })
}

/// The label that was registered, and the ending under which it was: for `a.b.co.uk` it is `b` and `co.uk`, as far as two
/// short labels at the end tell.
fn registered(name: &str) -> Option<(&str, &str)> {
    let (rest, last) = name.rsplit_once('.')?;
    let (rest, ending) = match rest.rsplit_once('.') {
        Some((before, second)) if second.len() <= 3 && last.len() == 2 => (before, &name[before.len() + 1..]),
        _ => (rest, last),
    };
    Some((rest.rsplit('.').next().unwrap_or(rest), ending))
}

/// Whether nobody would type this label: few vowels, digits between letters, many different letters.
fn looks_made_up(label: &str) -> bool {
    let bytes = label.as_bytes();
    if bytes.len() < LABEL_BYTES_MIN || label.starts_with("xn--") || label.contains('-') {
        return false;
    }
    let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let vowels = bytes.iter().filter(|byte| b"aeiouy".contains(byte)).count();
    let mixes = bytes.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    let consonants = bytes.split(|byte| b"aeiouy".contains(byte) || !byte.is_ascii_alphabetic()).map(<[u8]>::len);
    let longest = consonants.max().unwrap_or_default();
    let mut points = 0;
    points += usize::from(mixes >= 3) * 2;
    points += usize::from(letters > 0 && vowels * 4 < letters) * 2;
    points += usize::from(longest >= 5) * 2 + usize::from(longest == 4);
    points += usize::from(rare_pairs(bytes) * 4 >= bytes.len());
    points >= 2
}

/// Pairs of letters that hardly occur in the words of languages that names are made of.
fn rare_pairs(bytes: &[u8]) -> usize {
    let is_rare = |pair: &[u8]| {
        let (first, second) = (pair[0], pair[1]);
        let odd = b"jqxzvkw";
        first.is_ascii_alphabetic()
            && second.is_ascii_alphabetic()
            && ((odd.contains(&first) && !b"aeiouy".contains(&second))
                || (odd.contains(&second) && !b"aeiouysncr".contains(&first)))
    };
    bytes.windows(2).filter(|pair| is_rare(pair)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_choose_do_not_look_made_up() {
        for label in [
            "raspberrypi",
            "googleapis",
            "cloudfront",
            "panasonic",
            "firmware",
            "pool",
            "debian",
            "openstreetmap",
            "time1",
        ] {
            assert!(!looks_made_up(label), "{label}");
        }
    }

    #[test]
    fn names_that_programs_make_up_do() {
        for label in ["kq3v9x2mzt", "xjwqbtrkdl", "a1b2c3d4e5f6", "ghtrbnmkloq", "zxvkqpwjh"] {
            assert!(looks_made_up(label), "{label}");
        }
    }

    #[test]
    fn the_registered_label_is_found() {
        assert_eq!(registered("a.b.co.uk"), Some(("b", "co.uk")));
        assert_eq!(registered("www.example.net"), Some(("example", "net")));
        assert_eq!(registered("localhost"), None);
    }
}
