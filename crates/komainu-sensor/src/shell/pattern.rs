//! Patterns of file names and of `case`: POSIX.1-2017, XCU 2.13. A backslash makes the next byte ordinary.

/// Whether a pattern has anything but ordinary bytes.
pub(crate) fn is_pattern(pattern: &[u8]) -> bool {
    let mut rest = pattern;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'\\' => after.get(1..).unwrap_or_default(),
            b'*' | b'?' | b'[' => return true,
            _ => after,
        };
    }
    false
}

/// A pattern without its backslashes.
pub(crate) fn plain(pattern: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'\\'
            && let Some((&next, after)) = after.split_first()
        {
            out.push(next);
            rest = after;
        } else {
            out.push(byte);
        }
    }
    out
}

/// Adds text to a pattern so that every byte is ordinary.
pub(crate) fn push_plain(pattern: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'-' | b'!' | b'^') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
}

/// Whether the whole text is of the pattern. Takes time in the product of both lengths at most.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on if the last star takes one byte more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, t));
                continue;
            }
            None if t == text.len() => return true,
            Some(_) if t < text.len() => {
                if let Some(after) = one(pattern, p, text[t]) {
                    p = after;
                    t += 1;
                    continue;
                }
            }
            _ => {}
        }
        match retry {
            Some((after_star, from)) if from < text.len() => {
                p = after_star;
                t = from + 1;
                retry = Some((after_star, t));
            }
            _ => return false,
        }
    }
}

/// Where the pattern goes on if its next piece takes this byte.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => match bracket(pattern.get(at + 1..)?, byte, true) {
            Some((is_in, length)) => is_in.then_some(at + 1 + length),
            None => (byte == b'[').then_some(at + 1),
        },
        b'\\' if at + 1 < pattern.len() => (pattern.get(at + 1) == Some(&byte)).then_some(at + 2),
        &ordinary => (ordinary == byte).then_some(at + 1),
    }
}

/// Whether a byte is in the set that begins after `[`, and how long the set is with its `]`; `None` if it has no end.
/// Regular expressions have the same sets, but no backslashes in them.
pub(crate) fn bracket(set: &[u8], byte: u8, has_backslashes: bool) -> Option<(bool, usize)> {
    let is_negated = matches!(set.first(), Some(b'!' | b'^'));
    let mut at = usize::from(is_negated);
    let start = at;
    let mut is_in = false;
    loop {
        let mut low = *set.get(at)?;
        if low == b']' && at > start {
            return Some((is_in != is_negated, at + 1));
        }
        if low == b'['
            && set.get(at + 1) == Some(&b':')
            && let Some(length) = set.get(at + 2..)?.windows(2).take(16).position(|pair| pair == b":]")
        {
            is_in |= is_of_class(set.get(at + 2..at + 2 + length)?, byte);
            at += length + 4;
            continue;
        }
        if has_backslashes && low == b'\\' {
            at += 1;
            low = *set.get(at)?;
        }
        at += 1;
        let mut high = low;
        if set.get(at) == Some(&b'-') && set.get(at + 1).is_some_and(|&next| next != b']') {
            at += 1;
            if has_backslashes && set.get(at) == Some(&b'\\') {
                at += 1;
            }
            high = *set.get(at)?;
            at += 1;
        }
        is_in |= (low..=high).contains(&byte);
    }
}

fn is_of_class(class: &[u8], byte: u8) -> bool {
    match class {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => byte.is_ascii_whitespace() || byte == 11,
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns() {
        let check = |pattern: &str, text: &str, expected| {
            assert_eq!(super::matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        };
        check("*", "", true);
        check("a*c", "abbc", true);
        check("a*c", "abbd", false);
        check("?", "", false);
        check("[a-c]x", "bx", true);
        check("[!a-c]x", "bx", false);
        check("[]]", "]", true);
        check("[[:digit:]]*", "1a", true);
        check("[", "[", true);
        check("\\*", "*", true);
        check("\\*", "a", false);
        check("*a*b*", "xxaxxbxx", true);
        check("[a", "[a", true);
    }
}
