//! Lines of a dialogue.

use crate::limits::LINE_BYTES_MAX;

/// Puts lines together. What of a line is too long is dropped.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    /// The last byte was a carriage return, which ended a line: a line feed or a zero behind it belongs to it.
    after_return: bool,
}

impl Lines {
    /// Takes a byte; gives back the line that it ends.
    pub(crate) fn take(&mut self, byte: u8) -> Option<Vec<u8>> {
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        match byte {
            b'\n' | 0 if after_return => None,
            b'\r' | b'\n' => Some(std::mem::take(&mut self.line)),
            // Backspace and delete.
            8 | 127 => {
                self.line.pop();
                None
            }
            _ => {
                if self.line.len() < LINE_BYTES_MAX {
                    self.line.push(byte);
                }
                None
            }
        }
    }

    /// Whether a byte behind the last line is the rest of its end. Asked for the first one only.
    pub(crate) fn ends_last(&mut self, byte: u8) -> bool {
        std::mem::take(&mut self.after_return) && byte == b'\n'
    }

    /// The line that has no end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }
}

/// The word that a line begins with, in upper case, and the rest without the space between.
pub(crate) fn split_word(line: &[u8]) -> (Vec<u8>, &[u8]) {
    let line = line.trim_ascii();
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    (line[..end].to_ascii_uppercase(), line[end..].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &[&str]) {
        let mut lines = Lines::default();
        let mut seen: Vec<_> = bytes.iter().filter_map(|byte| lines.take(*byte)).collect();
        seen.push(lines.rest());
        let seen: Vec<_> = seen.iter().map(|line| String::from_utf8_lossy(line)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn lines_end_as_everybody_ends_them() {
        check(b"a\r\nb\nc\rd\r\0e", &["a", "b", "c", "d", "e"]);
        check(b"\n\r\n\n", &["", "", "", ""]);
        check(b"abx\x08c\x7f\x7f", &["a"]);
        let mut lines = Lines::default();
        assert!((0..3 * LINE_BYTES_MAX).all(|_| lines.take(b'x').is_none()));
        assert_eq!(lines.rest().len(), LINE_BYTES_MAX);
        assert_eq!(split_word(b"  user  a b "), (b"USER".to_vec(), &b"a b"[..]));
    }
}
