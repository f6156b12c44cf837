//! Texts that a sample chose, made fit to be shown.

use crate::limits::TEXT_BYTES_MAX;

/// Bytes of a sample as a text: what is not UTF-8 is `\xNN`, what does not print is escaped, and what is too long is cut
/// with an ellipsis.
pub fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    let mut text = String::with_capacity(cut.len());
    for chunk in cut.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if is_shown(letter) {
                text.push(letter);
            } else {
                text.extend(letter.escape_default());
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if cut.len() < bytes.len() {
        text.push('…');
    }
    text
}

/// Letters that change how others are read (controls, directions, what joins or has no width) are not shown.
fn is_shown(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..)
}

/// Digits of hex.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_sample_reaches_a_terminal() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(shown(bytes), expected);
        check(b"bin/ls", "bin/ls");
        check(b"\x1b[31mred\x07", "\\u{1b}[31mred\\u{7}");
        check(b"a\xffb", "a\\xffb");
        check("d\u{202e}cod.exe".as_bytes(), "d\\u{202e}cod.exe");
        check("größe".as_bytes(), "größe");
        assert_eq!(shown(&[b'a'; 300]).chars().count(), TEXT_BYTES_MAX + 1);
    }
}
