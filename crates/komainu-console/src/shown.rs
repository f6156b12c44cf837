//! What others sent, as text.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters of a text from outside that are shown; what is longer ends with a count of what is left out. A page has
/// 150 KB, and nobody reads more of one field.
const SHOWN_CHARS_MAX: usize = 2_000;

/// A text from outside as a page shows it: what has no picture of its own, or changes the direction or the place of what
/// is around it, is written as an escape. The template escapes markup as it does for every text.
pub(crate) fn shown(text: &(impl AsRef<[u8]> + ?Sized)) -> String {
    shown_with(text.as_ref(), SHOWN_CHARS_MAX, &push)
}

/// The same of fewer characters.
pub(crate) fn shown_briefly(text: &str, chars_max: usize) -> String {
    shown_with(text.as_bytes(), chars_max, &push)
}

/// What a terminal showed, for a place where lines are lines: what begins a line or moves to the next tab does so, all else
/// that would have an effect is written.
pub(crate) fn shown_lines(text: &str, chars_max: usize) -> String {
    shown_with(text.replace("\r\n", "\n").as_bytes(), chars_max, &|shown, character| match character {
        '\n' | '\t' => shown.push(character),
        other => push(shown, other),
    })
}

fn shown_with(all: &[u8], chars_max: usize, push: &dyn Fn(&mut String, char)) -> String {
    let mut shown = String::new();
    let (mut chars, mut bytes_read) = (0, 0);
    for chunk in all.utf8_chunks() {
        for character in chunk.valid().chars() {
            if chars == chars_max {
                return left_out(shown, all.len() - bytes_read);
            }
            push(&mut shown, character);
            chars += 1;
            bytes_read += character.len_utf8();
        }
        for byte in chunk.invalid() {
            if chars == chars_max {
                return left_out(shown, all.len() - bytes_read);
            }
            write!(shown, "\\x{byte:02x}").expect("a string takes everything");
            chars += 1;
            bytes_read += 1;
        }
    }
    shown
}

fn left_out(shown: String, bytes: usize) -> String {
    format!("{shown}… (+{bytes} B)")
}

fn push(shown: &mut String, character: char) {
    let escape: Cow<'static, str> = match character {
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '\0'..='\u{1f}' | '\u{7f}' => format!("\\x{:02x}", u32::from(character)).into(),
        other if is_unseen(other) => format!("\\u{{{:x}}}", u32::from(other)).into(),
        other => return shown.push(other),
    };
    shown.push_str(&escape);
}

/// Characters that have no picture or move what is around them: controls (C1), soft hyphen, marks and overrides of
/// direction, joiners, invisible operators and fillers, line and paragraph separators, the byte order mark, interlinear
/// annotations, selectors of variants in planes beyond the first, tags, private use.
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{10ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written() {
        let check = |text: &[u8], expected: &str| assert_eq!(shown(text), expected, "{text:?}");
        check(b"", "");
        check("admin 狛犬 é".as_bytes(), "admin 狛犬 é");
        check(b"<b>&\"'", "<b>&\"'");
        check(b"a\nb\r\tc", "a\\nb\\r\\tc");
        check(b"\x1b[2J\x00\x7f", "\\x1b[2J\\x00\\x7f");
        check("evil\u{202e}gpj.exe".as_bytes(), "evil\\u{202e}gpj.exe");
        check("a\u{200b}b\u{feff}\u{e0041}".as_bytes(), "a\\u{200b}b\\u{feff}\\u{e0041}");
        check(b"\xff\xfea", "\\xff\\xfea");
    }

    #[test]
    fn lines_of_a_terminal_are_lines() {
        let check = |text: &str, expected: &str| assert_eq!(shown_lines(text, 20), expected, "{text:?}");
        check("a\r\n\tb\n", "a\n\tb\n");
        check("a\rb\x1b[31mc\x08", "a\\rb\\x1b[31mc\\x08");
        check("\u{9b}2J\u{202e}", "\\u{9b}2J\\u{202e}");
        check(&"é".repeat(30), &format!("{}… (+20 B)", "é".repeat(20)));
        assert_eq!(shown_briefly("a\nb", 2), "a\\n… (+1 B)");
    }

    #[test]
    fn what_is_long_is_cut() {
        let text = shown(&"鍵".repeat(10 << 20 >> 1));
        assert_eq!(text.chars().filter(|character| *character == '鍵').count(), 2_000);
        assert!(text.ends_with("… (+15722640 B)"), "{}", &text[text.len() - 30..]);
        assert_eq!(shown(&vec![0xff; 3_000]).len(), 2_000 * 4 + "… (+1000 B)".len());
        assert_eq!(shown(&"a".repeat(2_000)), "a".repeat(2_000));
    }
}
