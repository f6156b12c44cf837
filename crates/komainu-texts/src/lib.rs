//! The words that Komainu speaks to people who do not sit at a command line, in each of its languages: the console,
//! mails and the pages behind their links.
//!
//! A key goes in, with the values for the places of its text; the text comes out, in the language of whoever reads it. The
//! catalogue is a file for each language with a line for each text: its key, ` = `, the text. `{name}` in a text is a place
//! that is filled in. Tests hold the languages together: each has the same keys, each text the same places; every key that the
//! code uses is there, and none that it does not.
//!
//! It escapes nothing: whoever shows a text knows whether it becomes HTML or a line of a mail. What the laboratory's reports say
//! stands with the rules that say it (`komainu-analysis`), and errors on command lines, in logs and in AWS's API are English.

use std::collections::HashMap;
use std::sync::LazyLock;

use komainu_model::Language;

const ENGLISH: &str = include_str!("../texts/en.txt");
const JAPANESE: &str = include_str!("../texts/ja.txt");

static ALL: LazyLock<[Texts; 2]> = LazyLock::new(|| [Texts::read(ENGLISH), Texts::read(JAPANESE)]);

/// The texts of one language.
#[derive(Debug)]
pub struct Texts(HashMap<&'static str, &'static str>);

impl Texts {
    /// Those of a language.
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ALL[0],
            Language::Japanese => &ALL[1],
        }
    }

    fn read(file: &'static str) -> Self {
        Self(lines(file).collect())
    }

    /// A text. Keys are checked by a test; one that is missing all the same is shown itself.
    pub fn text(&'static self, key: &'static str) -> &'static str {
        self.0.get(key).copied().unwrap_or(key)
    }

    /// A text whose key is `start`, a dot and a word that is known only when the program runs.
    pub fn word(&'static self, start: &'static str, word: &str) -> Option<&'static str> {
        self.0.get(format!("{start}.{word}").as_str()).copied()
    }

    /// A text with its places filled in. What is filled in is not looked at again.
    pub fn filled(&'static self, key: &'static str, places: &[(&str, &str)]) -> String {
        let mut filled = String::new();
        let mut rest = self.text(key);
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else { break };
            filled.push_str(before);
            filled.push_str(places.iter().find(|(of, _)| *of == name).map_or("", |(_, value)| value));
            rest = after;
        }
        filled + rest
    }
}

fn lines(file: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" = "))
}

/// The language that a browser asks for: the first of ours in the order of its wishes (RFC 9110 section 12.5.4).
pub fn wished(accept_language: &str) -> Language {
    /// Wishes that are looked at; browsers send a handful.
    const WISHES_MAX: usize = 32;
    let mut wishes: Vec<(f32, Language)> = Vec::new();
    for wish in accept_language.split(',').take(WISHES_MAX) {
        let mut parts = wish.split(';').map(str::trim);
        let tag = parts.next().unwrap_or_default().split('-').next().unwrap_or_default().to_ascii_lowercase();
        let Ok(language) = Language::parse(&tag) else { continue };
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse).unwrap_or(0.0);
        wishes.push((quality, language));
    }
    // The first one of the best: of equal ones, the last is the greatest to `max_by`.
    let best =
        wishes.into_iter().rev().filter(|(quality, _)| *quality > 0.0).max_by(|one, other| one.0.total_cmp(&other.0));
    best.map_or(Language::English, |(_, language)| language)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Where the code is that speaks, below the folder of crates.
    const USERS: [&str; 3] = ["komainu-console/src", "komainu-engines/src/courier", "komainu-api/src/sns"];

    fn places(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn every_language_has_every_text_with_the_same_places() {
        for file in [ENGLISH, JAPANESE] {
            let texts: Vec<_> = lines(file).collect();
            let distinct: BTreeMap<_, _> = texts.iter().copied().collect();
            assert_eq!(texts.len(), distinct.len(), "a key stands there twice");
            let all = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
            assert_eq!(texts.len(), all, "a line has no ` = `");
        }
        let english: BTreeMap<_, _> = lines(ENGLISH).map(|(key, text)| (key, places(text))).collect();
        let japanese: BTreeMap<_, _> = lines(JAPANESE).map(|(key, text)| (key, places(text))).collect();
        assert_eq!(english, japanese);
    }

    /// Keys stand in the code as strings of the form `part.part`; starts of keys as the first argument of `word`.
    #[test]
    fn the_code_uses_what_is_there_and_all_of_it() {
        let mut code = String::new();
        for user in USERS {
            read_code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(user), &mut code);
        }
        let catalogue: BTreeSet<_> = lines(ENGLISH).map(|(key, _)| key).collect();
        let pattern = |start: &str| -> BTreeSet<String> {
            let found = code.split(start).skip(1).filter_map(|rest| rest.split('"').next());
            found.map(str::to_owned).collect()
        };
        let mut used: BTreeSet<String> = BTreeSet::new();
        for start in ["text(\"", "filled(\""] {
            used.extend(pattern(start));
        }
        // Lines of the menu: `.menu(Group::Watch, "menu.sensors")`.
        let menu = code.split(".menu(Group::").skip(1).filter_map(|rest| rest.split('"').nth(1));
        used.extend(menu.map(str::to_owned));
        let starts = pattern("word(\"");
        for key in &used {
            assert!(catalogue.contains(key.as_str()), "{key:?} is used and has no text");
        }
        for key in catalogue {
            let is_word = starts.iter().any(|start| key.starts_with(&format!("{start}.")));
            assert!(is_word || used.contains(key), "{key:?} has a text and is not used");
        }
    }

    fn read_code(folder: &Path, code: &mut String) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                read_code(&path, code);
            } else {
                code.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        let filled = Texts::of(Language::English).filled("problem.too-many-advice", &[("time", "{time}")]);
        assert!(filled.contains("{time}"), "{filled}");
    }

    #[test]
    fn a_browser_is_asked_for_its_language() {
        let check = |header: &str, expected| assert_eq!(wished(header), expected, "{header:?}");
        check("", Language::English);
        check("ja", Language::Japanese);
        check("ja-JP,ja;q=0.9,en;q=0.8", Language::Japanese);
        check("de, en;q=0.5, ja;q=0.9", Language::Japanese);
        check("en-GB, ja", Language::English);
        check("ja;q=0, fr", Language::English);
        check("ja;q=nonsense,*", Language::English);
    }
}
