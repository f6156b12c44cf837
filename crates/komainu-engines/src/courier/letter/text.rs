//! A letter as plain text.

use super::Letter;

/// Lines of prose are not wider than this, in columns; commands and links are not broken. Han, kana and their like take
/// two columns.
const LINE_COLUMNS_MAX: usize = 72;

/// Lays a letter out as plain text.
pub(crate) fn render(letter: &Letter) -> String {
    let words = letter.words;
    let mut text = String::new();
    let badge = letter.badge.to_uppercase();
    paragraph(&mut text, "", &words.filled("mail.headline", &[("badge", &badge), ("title", &letter.title)]));
    text.push('\n');
    paragraph(&mut text, "", &letter.lead);
    if let Some(message) = &letter.message {
        text.push('\n');
        text.push_str(message);
        text.push('\n');
    }
    if let Some(button) = &letter.button {
        text.push_str(&format!("\n{}:\n{}\n", button.label, button.url));
    }
    if !letter.facts.is_empty() {
        text.push('\n');
        let width = letter.facts.iter().map(|(name, _)| columns(name)).max().unwrap_or(0) + 2;
        for (name, value) in &letter.facts {
            let gap = " ".repeat(width.saturating_sub(columns(name) + 1));
            text.push_str(&format!("{name}:{gap}{value}\n"));
        }
    }
    if !letter.steps.is_empty() {
        text.push_str(&format!("\n{}\n", words.text("mail.next-as-text")));
        for (number, step) in (1..).zip(&letter.steps) {
            text.push('\n');
            paragraph(&mut text, "   ", &format!("{number}. {}", step.text));
            if !step.commands.is_empty() {
                text.push('\n');
            }
            for command in &step.commands {
                text.push_str(&format!("     {command}\n"));
            }
        }
    }
    // "-- " alone on a line begins a signature; mail programs show it apart and leave it out of answers.
    text.push_str("\n-- \n");
    paragraph(&mut text, "", &letter.reason);
    if let Some(url) = &letter.unsubscribe {
        text.push_str(&format!("{}: {url}\n", words.text("mail.unsubscribe")));
    }
    text
}

/// Appends words in lines that are not too wide; lines after the first are indented.
fn paragraph(text: &mut String, indent: &str, words: &str) {
    let mut column = 0;
    for word in words.split_whitespace() {
        for (at, piece) in pieces(word).into_iter().enumerate() {
            let (width, gap) = (columns(piece), usize::from(at == 0 && column > 0));
            if column > 0 && column + gap + width > LINE_COLUMNS_MAX {
                text.push('\n');
                text.push_str(indent);
                column = indent.len();
            } else if gap > 0 {
                text.push(' ');
                column += 1;
            }
            text.push_str(piece);
            column += width;
        }
    }
    text.push('\n');
}

/// Whether two characters are of a date such as 11月23日, which stays together.
fn is_of_a_date(before: char, after: char) -> bool {
    let is_unit = |c: char| matches!(c, '年' | '月' | '日');
    (before.is_ascii_digit() && is_unit(after)) || (is_unit(before) && after.is_ascii_digit())
}

/// The parts of a word between which a line may end: before and after each wide character, but no line begins with what
/// closes (a full stop, a bracket), nor ends with what opens.
fn pieces(word: &str) -> Vec<&str> {
    let is_closing = |c: char| "、。，．：；！？）」』】〕・ー々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ".contains(c);
    let is_opening = |c: char| "（「『【〔".contains(c);
    let mut pieces = Vec::new();
    let (mut start, mut before) = (0, None);
    for (at, c) in word.char_indices() {
        if let Some(before) = before
            && (is_wide(before) || is_wide(c))
            && !is_closing(c)
            && !is_opening(before)
            && !is_of_a_date(before, c)
        {
            pieces.push(&word[start..at]);
            start = at;
        }
        before = Some(c);
    }
    pieces.push(&word[start..]);
    pieces
}

/// How wide a text is where all letters are equally wide.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

/// Whether a character takes two columns: the blocks of Han, kana, Hangul and full-width forms (UAX #11, "W" and "F").
fn is_wide(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
        | '\u{20000}'..='\u{3fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_a_language_lets_them() {
        let check = |words: &str, expected: &[&str]| {
            let mut text = String::new();
            paragraph(&mut text, "  ", words);
            assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        };
        let (word, wide) = ("x".repeat(70), "あ".repeat(35));
        check("a  b", &["a b"]);
        check(&format!("{word} b c"), &[&format!("{word} b"), "  c"]);
        check(&format!("{wide}い。う"), &[&wide, "  い。う"]);
        check(&format!("{wide}いう"), &[&format!("{wide}い"), "  う"]);
        check(&format!("{wide}「い」"), &[&wide, "  「い」"]);
        check("値は 10 です", &["値は 10 です"]);
        check(&format!("{}2026年11月3日", "あ".repeat(33)), &[&"あ".repeat(33), "  2026年11月3日"]);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        for (text, expected) in [("abc", 3), ("デバイス", 8), ("ｱ", 1), ("（a）", 5), ("", 0)] {
            assert_eq!(columns(text), expected, "{text}");
        }
    }
}
