//! From bytes to requests: arrays of bulk strings, or a line of words (Redis' protocol specification, RESP version 2).

/// The longest line, in bytes (server.h, PROTO_INLINE_MAX_SIZE).
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The words of one request: more than any that a persona answers.
const WORDS_MAX: usize = 4_096;

/// The longest bulk string, in bytes: what a connection may keep in one key.
pub(super) const BULK_BYTES_MAX: usize = 1 << 20;

/// The longest line with a number, in bytes, behind the letter that says what it is: none needs more.
const NUMBER_BYTES_MAX: usize = 32;

/// The longest request, in bytes.
const REQUEST_BYTES_MAX: usize = BULK_BYTES_MAX + LINE_BYTES_MAX;

/// What is at the beginning of some bytes.
pub(super) enum Taken<'a> {
    /// Nothing whole yet, and nothing new before there are so many bytes.
    More { bytes: usize },
    /// A request, and how many bytes it has. It has no words when the line was empty.
    Request { words: Words<'a>, used: usize },
    /// No request, and why.
    Broken(String),
}

/// The words of a request, where they lie or, with escapes, on their own.
pub(super) type Words<'a> = Vec<std::borrow::Cow<'a, [u8]>>;

/// Looks for a request.
pub(super) fn take(bytes: &[u8]) -> Taken<'_> {
    match bytes.first() {
        None => Taken::More { bytes: 1 },
        Some(b'*') => array(bytes),
        Some(_) => inline(bytes),
    }
}

fn inline(bytes: &[u8]) -> Taken<'_> {
    let Some(end) = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
        let more = Taken::More { bytes: bytes.len() + 1 };
        return if bytes.len() < LINE_BYTES_MAX { more } else { Taken::Broken("too big inline request".into()) };
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    match words(line) {
        Some(words) if words.len() <= WORDS_MAX => Taken::Request { words, used: end + 1 },
        Some(_) | None => Taken::Broken("unbalanced quotes in request".into()),
    }
}

/// Splits a line as redis-cli does (sds.c, `sdssplitargs`); none when a quote is not closed.
fn words(line: &[u8]) -> Option<Words<'_>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while let Some(&first) = rest.first() {
        if first == b'"' || first == b'\'' {
            let mut word = Vec::new();
            let mut bytes = rest[1..].iter().copied().enumerate();
            let end = loop {
                let (at, byte) = bytes.next()?;
                match byte {
                    _ if byte == first => break at + 2,
                    b'\\' => {
                        let (_, escaped) = bytes.next()?;
                        match (first, escaped) {
                            (b'"', b'n') => word.push(b'\n'),
                            (b'"', b'r') => word.push(b'\r'),
                            (b'"', b't') => word.push(b'\t'),
                            (b'"', b'x') => {
                                let digits = [bytes.next()?.1, bytes.next()?.1];
                                word.extend(hex::decode(digits).ok()?);
                            }
                            (b'\'', other) if other != b'\'' => word.extend([b'\\', other]),
                            (_, other) => word.push(other),
                        }
                    }
                    byte => word.push(byte),
                }
            };
            words.push(word.into());
            rest = rest[end..].trim_ascii_start();
        } else {
            let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
            words.push(rest[..end].into());
            rest = rest[end..].trim_ascii_start();
        }
    }
    Some(words)
}

fn array(bytes: &[u8]) -> Taken<'_> {
    if bytes.len() > REQUEST_BYTES_MAX {
        return Taken::Broken("invalid bulk length".into());
    }
    let mut at = 0;
    let Some(count) = number(bytes, &mut at) else { return if_short(bytes, 0, "invalid multibulk length") };
    let Ok(count) = usize::try_from(count.max(0)) else { return Taken::Broken("invalid multibulk length".into()) };
    if count > WORDS_MAX {
        return Taken::Broken("invalid multibulk length".into());
    }
    let mut words = Vec::new();
    for _ in 0..count {
        match bytes.get(at) {
            None => return Taken::More { bytes: at + 1 },
            Some(b'$') => {}
            Some(other) => {
                return Taken::Broken(format!("expected '$', got '{}'", char::from(*other).escape_default()));
            }
        }
        let before = at;
        let Some(length) = number(bytes, &mut at) else { return if_short(bytes, before, "invalid bulk length") };
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= BULK_BYTES_MAX) else {
            return Taken::Broken("invalid bulk length".into());
        };
        if bytes.len() < at + length + 2 {
            return Taken::More { bytes: at + length + 2 };
        }
        words.push(bytes[at..at + length].into());
        at += length + 2;
    }
    Taken::Request { words, used: at }
}

/// The number behind a letter, up to the end of its line.
fn number(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let line = bytes.get(*at + 1..)?;
    let end = line.iter().take(NUMBER_BYTES_MAX).position(|byte| *byte == b'\n')?;
    let digits = line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]);
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    *at += end + 2;
    Some(number)
}

/// What a number that is none means: its line may not have ended.
fn if_short<'a>(bytes: &[u8], begin: usize, why: &str) -> Taken<'a> {
    let line = &bytes[begin..];
    let is_short = line.len() <= NUMBER_BYTES_MAX && !line.contains(&b'\n');
    if is_short { Taken::More { bytes: bytes.len() + 1 } } else { Taken::Broken(why.into()) }
}
