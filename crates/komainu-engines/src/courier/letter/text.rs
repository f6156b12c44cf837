//! A letter as plain text.

use super::Letter;

/// Lines of prose are not longer than this, in characters; commands and links are not broken.
const LINE_CHARS_MAX: usize = 72;

/// Lays a letter out as plain text.
pub(crate) fn render(letter: &Letter) -> String {
    let mut text = String::new();
    paragraph(&mut text, "", &format!("{}: {}", letter.badge.to_uppercase(), letter.title));
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
        let width = letter.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
        for (name, value) in &letter.facts {
            text.push_str(&format!("{:width$}{value}\n", format!("{name}:")));
        }
    }
    if !letter.steps.is_empty() {
        text.push_str("\nWHAT TO DO NEXT\n");
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
        text.push_str(&format!("Unsubscribe: {url}\n"));
    }
    text
}

/// Appends words in lines that are not too long; lines after the first are indented.
fn paragraph(text: &mut String, indent: &str, words: &str) {
    let mut column = 0;
    for word in words.split_whitespace() {
        let chars = word.chars().count();
        if column > 0 && column + 1 + chars > LINE_CHARS_MAX {
            text.push('\n');
            text.push_str(indent);
            column = indent.len();
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += chars;
    }
    text.push('\n');
}
