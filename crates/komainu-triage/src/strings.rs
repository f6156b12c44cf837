//! Printable pieces: ASCII, and UTF-16 of either byte order.

use crate::limits::{STRING_LETTERS_MIN, STRINGS_MAX};
use crate::report::Strings;
use crate::text::shown;

/// How a piece is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writing {
    Plain,
    Utf16Le,
    Utf16Be,
}

impl Writing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Utf16Le => "utf16le",
            Self::Utf16Be => "utf16be",
        }
    }
}

pub(crate) fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

/// Hands over every run of printable ASCII with at least so many letters: its offset and itself.
pub(crate) fn each_plain<'a>(bytes: &'a [u8], letters_min: usize, mut take: impl FnMut(usize, &'a [u8])) {
    let mut start = 0;
    // The last letter that a run from here must have is looked at first: most often there is none, and no letter before it
    // has to be looked at.
    while let Some(window) = bytes.get(start..start + letters_min) {
        if let Some(gap) = window.iter().rposition(|byte| !is_printable(*byte)) {
            start += gap + 1;
            continue;
        }
        let rest = &bytes[start + letters_min..];
        let length = letters_min + rest.iter().position(|byte| !is_printable(*byte)).unwrap_or(rest.len());
        take(start, &bytes[start..start + length]);
        start += length + 1;
    }
}

/// Hands over every run of printable ASCII in UTF-16: its offset, how it is written, and its letters.
pub(crate) fn each_wide(bytes: &[u8], mut take: impl FnMut(usize, Writing, &[u8])) {
    let mut at = 0;
    let mut letters = Vec::new();
    // A run has a zero byte beside each letter, so it is enough to look where a letter is between two.
    let is_inside = |three: &[u8]| three[0] == 0 && three[2] == 0 && is_printable(three[1]);
    while let Some(zero) = bytes.get(at + 1..).and_then(|rest| rest.windows(3).position(is_inside)) {
        let zero = at + 1 + zero;
        let start = zero - 1;
        letters.clear();
        letters.extend(run(&bytes[start..], 0));
        if letters.len() >= STRING_LETTERS_MIN {
            take(start, Writing::Utf16Le, &letters);
            at = start + 2 * letters.len();
            continue;
        }
        letters.clear();
        letters.extend(run(&bytes[zero..], 1));
        if letters.len() >= STRING_LETTERS_MIN {
            take(zero, Writing::Utf16Be, &letters);
            at = zero + 2 * letters.len();
            continue;
        }
        at = zero;
    }
}

/// Letters of two bytes, of which the one at `place` is the letter and the other one zero.
fn run(bytes: &[u8], place: usize) -> impl Iterator<Item = u8> {
    let pairs = bytes.as_chunks::<2>().0.iter();
    pairs.take_while(move |pair| is_printable(pair[place]) && pair[1 - place] == 0).map(move |pair| pair[place])
}

/// Counts the strings of a sample, and lists those that look like words.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) strings: Strings,
}

impl Listing {
    pub(crate) fn add(&mut self, offset: usize, writing: Writing, letters: &[u8]) {
        match writing {
            Writing::Plain => self.strings.plain += 1,
            Writing::Utf16Le => self.strings.utf16le += 1,
            Writing::Utf16Be => self.strings.utf16be += 1,
        }
        if self.strings.listed.len() < STRINGS_MAX && looks_like_words(letters) {
            self.strings.listed.push((offset as u64, shown(letters)));
        }
    }
}

/// Code is printable by accident; words have letters and digits beside few other characters, and are not all alike.
pub(crate) fn looks_like_words(letters: &[u8]) -> bool {
    let words =
        letters.iter().filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'/' | b'.' | b'-' | b'_'));
    let first = letters.first();
    letters.len() >= STRING_LETTERS_MIN
        && words.count() * 5 >= letters.len() * 4
        && letters.iter().filter(|byte| Some(*byte) != first).count() * 3 >= letters.len()
        && letters.iter().filter(|byte| byte.is_ascii_lowercase()).count() * 3 >= letters.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_all_writings_are_found() {
        let check = |bytes: &[u8], expected: &[(usize, &str, &str)]| {
            let mut seen = Vec::new();
            each_plain(bytes, STRING_LETTERS_MIN, |at, text| seen.push((at, "plain", shown(text))));
            each_wide(bytes, |at, writing, text| seen.push((at, writing.name(), shown(text))));
            let seen: Vec<_> = seen.iter().map(|(at, writing, text)| (*at, *writing, &**text)).collect();
            assert_eq!(seen, expected);
        };
        check(b"", &[]);
        check(b"hello", &[(0, "plain", "hello")]);
        check(b"\x01four\x02fiver\xff", &[(6, "plain", "fiver")]);
        check(b"\x01h\0e\0l\0l\0o\0\x01\x02", &[(1, "utf16le", "hello")]);
        check(b"\x01\x02\0h\0e\0l\0l\0o\x01", &[(2, "utf16be", "hello")]);
        check(b"\0\0\0\0\0\0\0\0", &[]);
    }
}
