//! Texts of which any may be an attacker's, made fit to be shown.

use std::fmt::Write as _;

/// Columns of a text that is shown under the pointer. Longer ones are looked at on the page of their subject.
pub(crate) const HOVER_COLUMNS_MAX: usize = 300;

/// Marks above or below one letter that are shown as such; more of them would paint over the lines around.
const MARKS_MAX: usize = 2;

/// The text with everything unseen written as an escape, cut to so many columns with `…` as the last.
pub(crate) fn visible(text: &str, columns_max: usize) -> String {
    let mut shown = String::new();
    // Where to cut, should there be more than fits: after this many bytes one column is still free.
    let mut cut = 0;
    let mut taken = 0;
    let mut marks = 0;
    for c in text.chars() {
        let is_mark = is_mark(c);
        marks = if is_mark { marks + 1 } else { 0 };
        let before = shown.len();
        if is_unseen(c) || marks > MARKS_MAX {
            write_escape(c, &mut shown);
        } else {
            shown.push(c);
        }
        taken += columns(&shown[before..]);
        if taken > columns_max {
            shown.truncate(cut);
            shown.push('…');
            return shown;
        }
        if taken < columns_max {
            cut = shown.len();
        }
    }
    shown
}

/// How many columns a text takes: two for a character of East Asia and for pictures, none for a mark.
pub(crate) fn columns(text: &str) -> usize {
    text.chars()
        .map(|c| match c {
            _ if is_mark(c) => 0,
            '\u{1100}'..='\u{115f}'
            | '\u{2e80}'..='\u{a4cf}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}'
            | '\u{fe30}'..='\u{fe6f}'
            | '\u{ff00}'..='\u{ff60}'
            | '\u{ffe0}'..='\u{ffe6}'
            | '\u{1f300}'..='\u{1faff}'
            | '\u{20000}'..='\u{3fffd}' => 2,
            // The widest signs of ligatures and scripts; as wide as what they are made of.
            '\u{fdfd}' | '\u{12000}'..='\u{1254f}' => 8,
            _ => 1,
        })
        .sum()
}

fn write_escape(c: char, text: &mut String) {
    let code = u32::from(c);
    // Writing into a string cannot fail.
    let _ = match c {
        '\n' => write!(text, "\\n"),
        '\r' => write!(text, "\\r"),
        '\t' => write!(text, "\\t"),
        _ if code < 0x100 => write!(text, "\\x{code:02x}"),
        _ => write!(text, "\\u{{{code:x}}}"),
    };
}

/// Characters that are not seen where they stand: control characters, those that turn or join, blanks without width,
/// tags, and what XML does not allow.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out() {
        let check = |text: &str, expected: &str| assert_eq!(visible(text, 40), expected);
        check("root / 12345", "root / 12345");
        check("a\nb\tc\r\0", "a\\nb\\tc\\r\\x00");
        check("\u{1b}[31mred", "\\x1b[31mred");
        check("exe\u{202e}gpj.scr", "exe\\u{202e}gpj.scr");
        check("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}");
        check("z\u{300}\u{301}\u{302}", "z\u{300}\u{301}\\u{302}");
        check("日本語", "日本語");
    }

    #[test]
    fn a_text_is_cut_by_its_columns() {
        let check = |text: &str, max: usize, expected: &str| assert_eq!(visible(text, max), expected);
        check("abcdef", 6, "abcdef");
        check("abcdefg", 6, "abcde…");
        check("日本語", 6, "日本語");
        check("日本語です", 6, "日本…");
        check("ab\u{202e}cdef", 6, "ab…");
        check("", 6, "");
        check("abc", 0, "…");
    }
}
