//! Lists of user names and passwords: words that devices ship with, close to each other.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::limits::CREDENTIALS_MAX;
use crate::report::Credentials;
use crate::strings::each_plain;
use crate::text::shown;

/// Letters of the shortest word.
pub(crate) const LETTERS_MIN: usize = 3;
/// Letters of a line with several.
const LINE_LETTERS_MAX: usize = 48;

/// Bytes between two words of one list, and different words that a list has at least.
const GAP_BYTES_MAX: usize = 64;
const WORDS_MIN: usize = 5;

/// Words that nothing but a password is; a list has two of them.
const PASSWORDS: [&str; 36] = [
    "000000",
    "1001chin",
    "1111",
    "111111",
    "1234",
    "12345",
    "123456",
    "12345678",
    "123456789",
    "4321",
    "54321",
    "5up",
    "654321",
    "666666",
    "7ujMko0admin",
    "888888",
    "admin123",
    "admin1234",
    "alpine",
    "anko",
    "changeme",
    "dreambox",
    "h3c",
    "hi3518",
    "ikwb",
    "juantech",
    "jvbzd",
    "klv123",
    "klv1234",
    "password",
    "realtek",
    "root123",
    "smcadmin",
    "toor",
    "xc3511",
    "vizxv",
];

/// Words that are user names, or passwords of few devices, and in programs besides.
const OTHERS: [&str; 22] = [
    "Administrator",
    "admin",
    "administrator",
    "daemon",
    "default",
    "ftp",
    "guest",
    "mother",
    "nobody",
    "operator",
    "oracle",
    "pass",
    "pi",
    "root",
    "service",
    "supervisor",
    "support",
    "system",
    "tech",
    "test",
    "ubnt",
    "user",
];

/// All words, and whether each is nothing but a password.
static KNOWN: LazyLock<HashMap<&[u8], (&'static str, bool)>> = LazyLock::new(|| {
    let passwords = PASSWORDS.iter().map(|word| (word.as_bytes(), (*word, true)));
    passwords.chain(OTHERS.iter().map(|word| (word.as_bytes(), (*word, false)))).collect()
});

/// Words of a list that were seen, in the order of their places.
#[derive(Debug, Default)]
pub(crate) struct Words {
    seen: Vec<(usize, &'static str, bool)>,
}

impl Words {
    /// Looks at one run of letters.
    pub(crate) fn look(&mut self, text: &[u8], offset: usize) {
        if text.len() > LINE_LETTERS_MAX || self.seen.len() >= 16 * CREDENTIALS_MAX {
            return;
        }
        // Lists are written as words, and as pairs with something between.
        let mut at = offset;
        for part in text.split(|byte| b":,;| \t".contains(byte)) {
            if let Some((word, is_password)) = KNOWN.get(part) {
                self.seen.push((at, word, *is_password));
            }
            at += part.len() + 1;
        }
    }

    /// The largest list, if there is one, with the words between those that are known.
    pub(crate) fn list(&self, bytes: &[u8], source: &str) -> Option<Credentials> {
        let mut best: Option<(usize, usize, usize)> = None;
        let mut start = 0;
        for end in 1..=self.seen.len() {
            let is_near = self.seen.get(end).is_some_and(|(offset, ..)| {
                let (before, word, _) = self.seen[end - 1];
                offset.saturating_sub(before + word.len()) <= GAP_BYTES_MAX
            });
            if is_near {
                continue;
            }
            let list = &self.seen[start..end];
            let mut different: Vec<_> = list.iter().map(|(_, word, _)| *word).collect();
            different.sort_unstable();
            different.dedup();
            let mut passwords: Vec<_> =
                list.iter().filter(|(.., is_password)| *is_password).map(|(_, word, _)| *word).collect();
            passwords.sort_unstable();
            passwords.dedup();
            let is_list = different.len() >= WORDS_MIN && passwords.len() >= 2;
            if is_list && best.is_none_or(|(count, ..)| different.len() > count) {
                let (last, word, _) = list[list.len() - 1];
                best = Some((different.len(), list[0].0, last + word.len()));
            }
            start = end;
        }
        let (_, first, last) = best?;
        let mut words = Vec::new();
        // In a line with pairs both are told as they stand there.
        each_plain(bytes.get(first..last)?, LETTERS_MIN, |_, text| {
            if words.len() < CREDENTIALS_MAX && text.len() <= LINE_LETTERS_MAX {
                words.push(shown(text));
            }
        });
        Some(Credentials { offset: first as u64, source: source.to_owned(), words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> Option<Vec<String>> {
        let mut words = Words::default();
        each_plain(bytes, LETTERS_MIN, |offset, text| words.look(text, offset));
        words.list(bytes, "plain").map(|list| list.words)
    }

    #[test]
    fn pairs_are_a_list_too() {
        assert_eq!(words(b"root:xc3511\nadmin:1234\nguest:12345\n").map(|words| words.len()), Some(3));
    }

    #[test]
    fn lists_are_found_and_single_words_are_not() {
        let list = b"\x01code\0root\0xc3511\0root\0vizxv\0own\0admin\x00888888\0support\0";
        let expected = ["root", "xc3511", "root", "vizxv", "own", "admin", "888888", "support"];
        assert_eq!(words(list), Some(expected.map(str::to_owned).to_vec()));
        assert_eq!(words(b"root\0nobody\0daemon\0guest\0user\0system\0"), None, "no password");
        let far = [b"root\0".as_slice(), &[0; 100], b"1234\0", &[0; 100], b"admin\0vizxv\0pass\0"].concat();
        assert_eq!(words(&far), None, "too far from each other");
    }
}
