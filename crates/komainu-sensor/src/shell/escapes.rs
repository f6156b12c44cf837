//! Backslashes in `echo -e`, `printf` and `$'…'`, as `bb_process_escape_sequence` of BusyBox reads them.

/// One escape whose backslash was read: the byte and how much was read after the backslash. Three octal digits at most,
/// two hexadecimal ones; what is no escape stays a backslash, and nothing after it is read.
pub(crate) fn one(after: &[u8]) -> (u8, usize) {
    match after {
        [b'x', rest @ ..] => {
            let digits = rest.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
            if digits == 0 {
                return (b'\\', 0);
            }
            let value = rest.iter().take(digits).fold(0_u8, |value, &digit| value << 4 | hex(digit));
            (value, 1 + digits)
        }
        [b'0'..=b'7', ..] => {
            let mut value = 0_u32;
            let mut digits = 0;
            while let Some(&digit @ b'0'..=b'7') = after.get(digits) {
                let next = value * 8 + u32::from(digit - b'0');
                if digits == 3 || next > 255 {
                    break;
                }
                value = next;
                digits += 1;
            }
            (value as u8, digits)
        }
        [letter, ..] => match simple(*letter) {
            Some(byte) => (byte, 1),
            None => (b'\\', 0),
        },
        [] => (b'\\', 0),
    }
}

fn simple(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 7,
        b'b' => 8,
        b'e' => 27,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        _ => return None,
    })
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

/// The text of `echo -e` and of `%b`; `true` if `\c` ended it.
pub(crate) fn text(raw: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        if rest.first() == Some(&b'c') {
            return (out, true);
        }
        // After \0 three more octal digits may follow.
        let skipped = usize::from(rest.first() == Some(&b'0') && rest.get(1).is_some_and(|b| matches!(b, b'0'..=b'7')));
        let (value, read) = one(rest.get(skipped..).unwrap_or_default());
        out.push(value);
        rest = rest.get(skipped + read..).unwrap_or_default();
    }
    (out, false)
}

/// The text of `$'…'`.
pub(crate) fn dollar_quoted(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        if let Some(&quote @ (b'\'' | b'"')) = rest.first() {
            out.push(quote);
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let (value, read) = one(rest);
        out.push(value);
        rest = rest.get(read..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_echo() {
        let check = |raw: &str, expected: &[u8]| assert_eq!(text(raw.as_bytes()).0, expected, "{raw}");
        check(r"\x7f\x45LF", b"\x7fELF");
        check(r"\x4", b"\x04");
        check(r"\x41B\xZZ", b"AB\\xZZ");
        check(r"\101\0101\01018", b"AAA8");
        check(r"\8\q\", b"\\8\\q\\");
        check(r"\777", b"?7");
        check(r"a\cb", b"a");
        check(r"\0", b"\0");
        assert!(text(br"a\cb").1);
    }
}
