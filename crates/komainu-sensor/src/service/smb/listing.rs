//! The listing of a directory, over several requests.

use super::files::{Entry, Files, NodeId, Stat};

/// The longest pattern, in letters: no name is longer. A longer one matches nothing.
const PATTERN_LETTERS_MAX: usize = 255;

/// What a directory had when its listing began, and how far it was told.
#[derive(Debug)]
pub(super) struct Listing {
    entries: std::vec::IntoIter<Entry>,
    /// Some were told.
    pub(super) has_told: bool,
}

impl Listing {
    /// What matches a pattern.
    pub(super) fn new(files: &Files, directory: NodeId, pattern: &str) -> Self {
        let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
        let mut entries = files.list(directory);
        if pattern.len() > PATTERN_LETTERS_MAX {
            entries.clear();
        }
        entries
            .retain(|entry| files.stat_of_entry(*entry).is_ok_and(|stat| matches(&pattern, &stat.name.to_lowercase())));
        Self { entries: entries.into_iter(), has_told: false }
    }

    /// The next entry, which stays the next one until it is taken. What was deleted meanwhile is left out.
    pub(super) fn peek(&mut self, files: &Files) -> Option<Stat> {
        while let Some(entry) = self.entries.as_slice().first() {
            match files.stat_of_entry(*entry) {
                Ok(stat) => return Some(stat),
                Err(_) => drop(self.entries.next()),
            }
        }
        None
    }

    pub(super) fn take(&mut self) {
        self.has_told |= self.entries.next().is_some();
    }
}

/// Whether a name matches a pattern with `*` and `?`, or the ones that DOS programs cause: `<` for `*`, `>` for `?`, `"`
/// for a dot (MS-FSCC, 2.1.4.4). Both are in lower case. The work is at most the product of both lengths, which are 255
/// each.
fn matches(pattern: &[char], name: &str) -> bool {
    let is_all = matches!(pattern, ['*'] | ['*', '.', '*'] | ['<'] | []);
    if is_all {
        return true;
    }
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut in_name) = (0, 0);
    // Where to go on when what follows the last star does not match.
    let mut again: Option<(usize, usize)> = None;
    while in_name < name.len() {
        let is_same = match pattern.get(at) {
            Some('*' | '<') => {
                again = Some((at + 1, in_name));
                at += 1;
                continue;
            }
            Some('?' | '>') => true,
            Some('"') => name[in_name] == '.',
            Some(letter) => *letter == name[in_name],
            None => false,
        };
        if is_same {
            (at, in_name) = (at + 1, in_name + 1);
        } else if let Some((behind_star, from)) = again {
            (at, in_name) = (behind_star, from + 1);
            again = Some((behind_star, from + 1));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|letter| matches!(letter, '*' | '<'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let pattern: Vec<char> = pattern.chars().collect();
            assert_eq!(matches(&pattern, name), expected, "{pattern:?} {name}");
        };
        check("*", "a.txt", true);
        check("*.*", "a", true);
        check("*.txt", "a.txt", true);
        check("*.txt", "a.txtx", false);
        check("a*b*c", "aXbXbXc", true);
        check("a*b*c", "aXbXbX", false);
        check("?.txt", "a.txt", true);
        check("?.txt", "ab.txt", false);
        check("a\"txt", "a.txt", true);
        check("a.txt", "a.txt", true);
        check("a.txt", "b.txt", false);
        check("a*", "a", true);
        check("a?", "a", false);
    }
}
