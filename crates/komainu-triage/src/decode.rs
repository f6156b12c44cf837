//! Finding and undoing simple encodings, each anchored on text that is expected in a configuration: no key is believed
//! because what it gives looks random in another way.
//!
//! One pass finds all keys of a kind at once. The difference between neighbouring bytes does not change when all of them
//! are XORed with the same byte, or have the same number added; so the differences of the expected words are looked for in
//! the differences of the sample, and the key is what the first letter differs by. With a key of four bytes the same holds
//! for bytes four apart. Four bytes that are XORed one after the other into each byte (as the tables of many bots have
//! it) are the same as one byte.
//!
//! For RC4 and longer keys the key has to be in the file: texts and pieces of data of the usual lengths are tried as
//! keys at places where something encoded may begin, and what comes out must be a text with an address, a name or one of
//! the words in it.

mod tried;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::findings::{Findings, ipv4_at, is_domain};
use crate::limits::{DECODE_BYTES_MAX, DECODED_BYTES_MAX, DECODED_MAX};
use crate::report::Decoded;
use crate::search::Search;
use crate::strings::{is_printable, looks_like_words};
use crate::text::{hex_of, shown};

/// What configurations of bots and droppers say, out of public descriptions of them: paths, commands, protocols, prompts.
const ANCHORS: [&str; 43] = [
    "/proc/",
    "/dev/watchdog",
    "/dev/misc/watchdog",
    "/dev/null",
    "/dev/mtd",
    "/etc/",
    "/tmp/",
    "/var/run",
    "/var/tmp",
    "/bin/sh",
    "/bin/busybox",
    "/usr/bin",
    "/sys/class",
    "busybox",
    "http://",
    "https://",
    "tftp://",
    "stratum+tcp",
    "wget ",
    "tftp ",
    "curl ",
    "chmod ",
    "rm -rf",
    "killall",
    "iptables",
    "crontab",
    "telnet",
    "GET /",
    "POST /",
    "HTTP/1.",
    "User-Agent",
    "Mozilla/5.0",
    "Content-Type",
    "assword",
    "ncorrect",
    "applet not",
    "PRIVMSG",
    "NICK ",
    "USER ",
    "JOIN #",
    "127.0.0.1",
    "PATH=",
    "connect",
];

/// How far from a recognised word other texts with the same key are looked for.
const NEIGHBOURHOOD_BYTES: usize = 4_096;

/// How the anchor of a text begins in which nothing was recognised, but near it.
const NEAR: &str = "near `";

/// Letters of a decoded text that is no anchor itself.
const NEIGHBOUR_LETTERS_MIN: usize = 5;

/// Letters of an address or a name near others.
const ENDPOINT_LETTERS_MIN: usize = 7;

/// Letters of a text with a recognised word under four bytes.
const XOR_4_LETTERS_MIN: usize = 10;

/// Letters of an address with dots that is believed on its own.
const QUAD_LETTERS_MIN: usize = 9;

/// Letters of base64 or hex that are looked at.
const ARMOUR_LETTERS_MIN: usize = 16;

/// Words that are looked for in differences of neighbours, each with how far apart those are.
struct Differences {
    search: Search,
    words: Vec<&'static str>,
}

impl Differences {
    /// Of all words with enough letters, for bytes so far apart.
    fn of(apart: usize, differences_min: usize, difference: fn(u8, u8) -> u8) -> Self {
        let words: Vec<_> = ANCHORS.into_iter().filter(|word| word.len() >= apart + differences_min).collect();
        let patterns = words.iter().map(|word| differences(word.as_bytes(), apart, difference));
        let search = Search::of(patterns.collect());
        Self { search, words }
    }
}

/// Generic over the difference, so that it is one vector instruction instead of a call for each byte.
fn differences(bytes: &[u8], apart: usize, difference: impl Fn(u8, u8) -> u8) -> Vec<u8> {
    let later = bytes.get(apart..).unwrap_or_default();
    bytes.iter().zip(later).map(|(one, other)| difference(*one, *other)).collect()
}

fn xor(one: u8, other: u8) -> u8 {
    one ^ other
}

fn subtract(one: u8, other: u8) -> u8 {
    other.wrapping_sub(one)
}

static XOR_1: LazyLock<Differences> = LazyLock::new(|| Differences::of(1, 4, xor));
static ADD_1: LazyLock<Differences> = LazyLock::new(|| Differences::of(1, 4, subtract));
static XOR_4: LazyLock<Differences> = LazyLock::new(|| Differences::of(4, 3, xor));
static PLAIN: LazyLock<Search> = LazyLock::new(|| Search::of(ANCHORS.map(|word| word.as_bytes().to_vec()).to_vec()));
/// The words with their bits rotated to the left by 1 to 7.
static ROTATED: LazyLock<Search> = LazyLock::new(|| {
    let rotated = (1..8).flat_map(|bits| {
        ANCHORS.into_iter().map(move |word| word.bytes().map(|byte| byte.rotate_left(bits)).collect())
    });
    Search::of(rotated.collect())
});

/// A way to decode bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Code {
    Xor1(u8),
    Add1(u8),
    Rotate(u32),
    /// The key as it is at the beginning of a text.
    Xor4([u8; 4]),
}

impl Code {
    fn name(&self) -> &'static str {
        match self {
            Self::Xor1(_) => "xor1",
            Self::Add1(_) => "add1",
            Self::Rotate(_) => "rot",
            Self::Xor4(_) => "xor4",
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Xor1(key) | Self::Add1(key) => hex_of(&[*key]),
            Self::Rotate(bits) => bits.to_string(),
            Self::Xor4(key) => hex_of(key),
        }
    }

    /// The byte at a place of the text.
    fn decode(&self, byte: u8, place: usize) -> u8 {
        match self {
            Self::Xor1(key) => byte ^ key,
            Self::Add1(key) => byte.wrapping_sub(*key),
            Self::Rotate(bits) => byte.rotate_right(*bits),
            Self::Xor4(key) => byte ^ key[place & 3],
        }
    }

    /// The text that begins here. It ends where nothing printable follows; with a zero byte of the file, unless the text
    /// goes on to an end that was encoded.
    fn text(&self, bytes: &[u8], start: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let mut zero = None;
        for (place, byte) in bytes[start..].iter().take(DECODED_BYTES_MAX).enumerate() {
            if *byte == 0 && place > 0 && zero.is_none() {
                zero = Some(place);
            }
            let letter = self.decode(*byte, place);
            if letter == 0 && *byte != 0 {
                return text;
            }
            if !is_printable(letter) {
                break;
            }
            text.push(letter);
        }
        text.truncate(zero.unwrap_or(usize::MAX));
        text
    }
}

/// A word that was recognised.
struct Hit {
    code: Code,
    offset: usize,
    anchor: &'static str,
}

/// What was decoded of one sample.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    pub(crate) decoded: Vec<Decoded>,
    /// The texts as they were decoded, in the same order.
    pub(crate) texts: Vec<Vec<u8>>,
    seen: BTreeSet<(usize, Vec<u8>)>,
}

/// Finds what is encoded in a sample. `data` are the pieces that hold data rather than code; texts that other keys can be
/// are looked for in them, too; data of the instruction set begin at multiples of `alignment`.
pub(crate) fn decode(bytes: &[u8], data: &[(usize, &[u8])], alignment: usize) -> Decoder {
    let bytes = &bytes[..bytes.len().min(DECODE_BYTES_MAX)];
    let mut decoder = Decoder::default();
    let mut hits = Vec::new();
    one_byte(bytes, &mut hits);
    rotated(bytes, &mut hits);
    four_bytes(bytes, &mut hits);
    // What was recognised comes first: what is near it must not take its room.
    for hit in &hits {
        decoder.around(bytes, hit);
    }
    decoder.quads(bytes);
    decoder.tried_keys(data, alignment);
    let mut last_of: Vec<(Code, usize)> = Vec::new();
    for hit in &hits {
        // Around one place a key is looked at once.
        let is_near = |(code, offset): &(Code, usize)| {
            *code == hit.code && hit.offset.abs_diff(*offset) < NEIGHBOURHOOD_BYTES / 2
        };
        if last_of.len() < DECODED_MAX && !last_of.iter().any(is_near) {
            last_of.push((hit.code.clone(), hit.offset));
            decoder.neighbours(bytes, hit);
        }
    }
    decoder.keep_what_is_believed();
    decoder
}

fn one_byte(bytes: &[u8], hits: &mut Vec<Hit>) {
    let mut take = |code, key: u8, offset, anchor: &'static str| {
        // The other case of a letter is 0x20 away.
        let is_other_case = matches!(key, 0x20 | 0xe0) && anchor.bytes().filter(u8::is_ascii_alphabetic).count() > 3;
        if key != 0 && !is_other_case && hits.len() < 4 * DECODED_MAX {
            hits.push(Hit { code, offset, anchor });
        }
    };
    for (offset, number) in XOR_1.search.all(&differences(bytes, 1, xor)) {
        let anchor = XOR_1.words[number];
        let key = bytes[offset] ^ anchor.as_bytes()[0];
        take(Code::Xor1(key), key, offset, anchor);
    }
    for (offset, number) in ADD_1.search.all(&differences(bytes, 1, subtract)) {
        let anchor = ADD_1.words[number];
        let key = bytes[offset].wrapping_sub(anchor.as_bytes()[0]);
        // XOR with 0x80 is the same as adding it.
        if key != 0x80 {
            take(Code::Add1(key), key, offset, anchor);
        }
    }
}

fn rotated(bytes: &[u8], hits: &mut Vec<Hit>) {
    for (offset, number) in ROTATED.all(bytes).take(DECODED_MAX) {
        // There are seven times as many patterns as words, below 1,000.
        let bits = 1 + u32::try_from(number / ANCHORS.len()).unwrap_or_default();
        hits.push(Hit { code: Code::Rotate(bits), offset, anchor: ANCHORS[number % ANCHORS.len()] });
    }
}

fn four_bytes(bytes: &[u8], hits: &mut Vec<Hit>) {
    let mut count = 0;
    for (found, number) in XOR_4.search.all(&differences(bytes, 4, xor)) {
        let anchor = XOR_4.words[number];
        let mut key = [0; 4];
        for (place, key) in key.iter_mut().enumerate() {
            *key = bytes[found + place] ^ anchor.as_bytes()[place];
        }
        let is_one_byte = key.iter().all(|byte| *byte == key[0]);
        // Under four bytes that are not made for it no text becomes another text.
        let is_plain = bytes[found..].iter().take(anchor.len()).all(|byte| is_printable(*byte));
        if is_one_byte || is_plain || count >= DECODED_MAX {
            continue;
        }
        // The text before the word, back to where it no longer is one.
        let before = |place: usize| bytes[found - place] ^ key[(4 - place % 4) % 4];
        let mut start = 0;
        while start < found.min(DECODED_BYTES_MAX) && bytes[found - start - 1] != 0 && is_printable(before(start + 1)) {
            start += 1;
        }
        key.rotate_left((4 - start % 4) % 4);
        let code = Code::Xor4(key);
        let offset = found - start;
        // A short word is believed with more text around it.
        let text = code.text(bytes, offset);
        if text.len() >= XOR_4_LETTERS_MIN.max(start + anchor.len()) && looks_like_words(&text) {
            count += 1;
            hits.push(Hit { code, offset, anchor });
        }
    }
}

impl Decoder {
    fn add(&mut self, code: &str, key: String, offset: usize, text: &[u8], anchor: &str) {
        let text = &text[..text.len().min(DECODED_BYTES_MAX)];
        if self.decoded.len() >= DECODED_MAX || !self.seen.insert((offset, text.to_vec())) {
            return;
        }
        self.decoded.push(Decoded {
            algorithm: code.to_owned(),
            key,
            offset: offset as u64,
            text: shown(text),
            anchor: anchor.to_owned(),
        });
        self.texts.push(text.to_vec());
    }

    /// A key of several bytes gives some text by accident now and then, the more often the larger the file is. It is
    /// believed when one of its texts is an address and nothing else, or when it gives two texts in which something is
    /// recognised: a configuration has many.
    fn keep_what_is_believed(&mut self) {
        let is_long = |one: &Decoded| matches!(&*one.algorithm, "xor4" | "xor-key" | "rc4");
        let mut recognised: BTreeMap<(&str, &str), BTreeSet<&[u8]>> = BTreeMap::new();
        let mut believed: BTreeSet<(&str, &str)> = BTreeSet::new();
        for (one, text) in self.decoded.iter().zip(&self.texts).filter(|(one, _)| is_long(one)) {
            let code = (&*one.algorithm, &*one.key);
            let texts = recognised.entry(code).or_default();
            if !one.anchor.starts_with(NEAR) {
                texts.insert(text);
            }
            if texts.len() >= 2 || is_endpoint_alone(text) {
                believed.insert(code);
            }
        }
        let kept: Vec<bool> = (self.decoded.iter())
            .map(|one| !is_long(one) || believed.contains(&(&*one.algorithm, &*one.key)))
            .collect();
        let mut is_kept = kept.iter();
        self.decoded.retain(|_| *is_kept.next().expect("there is one for each"));
        let mut is_kept = kept.iter();
        self.texts.retain(|_| *is_kept.next().expect("there is one for each"));
    }

    /// The text that has a recognised word in it.
    fn around(&mut self, bytes: &[u8], hit: &Hit) {
        let mut start = hit.offset;
        if !matches!(hit.code, Code::Xor4(_)) {
            let least = hit.offset.saturating_sub(DECODED_BYTES_MAX);
            while start > least && bytes[start - 1] != 0 && is_printable(hit.code.decode(bytes[start - 1], 0)) {
                start -= 1;
            }
        }
        let text = hit.code.text(bytes, start);
        if text.len() < hit.anchor.len() {
            return;
        }
        // A short word alone may be an accident; with a whole word around it, it is not.
        if hit.anchor.len() >= 7 || looks_like_words(&text) {
            self.add(hit.code.name(), hit.code.key(), start, &text, hit.anchor);
        }
    }

    /// Texts near a recognised word that the same key gives: between zero bytes, encoded or not.
    fn neighbours(&mut self, bytes: &[u8], hit: &Hit) {
        let from = hit.offset.saturating_sub(NEIGHBOURHOOD_BYTES);
        let to = bytes.len().min(hit.offset + NEIGHBOURHOOD_BYTES);
        let anchor = format!("{NEAR}{}`", hit.anchor);
        let mut at = from;
        while at < to {
            let is_beginning = at == 0 || {
                let before = bytes[at - 1];
                before == 0 || hit.code.decode(before, 3) == 0 || hit.code.decode(before, 0) == 0
            };
            if !is_beginning || bytes[at] == 0 {
                at += 1;
                continue;
            }
            let text = hit.code.text(&bytes[..to], at);
            let end = at + text.len();
            let ends = bytes.get(end).is_none_or(|byte| *byte == 0 || hit.code.decode(*byte, text.len()) == 0);
            let is_text = looks_like_words(&text) || text.len() >= ENDPOINT_LETTERS_MIN && is_endpoint(&text);
            // What is a text already is none that was encoded.
            let is_text = is_text && !looks_like_words(&bytes[at..end]);
            if ends && text.len() >= NEIGHBOUR_LETTERS_MIN && is_text {
                self.add(hit.code.name(), hit.code.key(), at, &text, &anchor);
            }
            // A text cannot begin within another one.
            at = end.max(at + 1);
        }
    }

    /// Addresses with dots under one byte: three dots are the same byte, and what is between them are digits.
    fn quads(&mut self, bytes: &[u8]) {
        let mut until = 0;
        let is_dot = single_dots(bytes);
        for at in memchr::memchr_iter(1, &is_dot).map(|before| before + 1) {
            let dot = bytes[at];
            // Zero bytes between numbers are tables.
            if dot == 0 || dot == b'.' || at < until {
                continue;
            }
            for code in [Code::Xor1(dot ^ b'.'), Code::Add1(dot.wrapping_sub(b'.'))] {
                let digit = |place: usize| code.decode(bytes[place], 0).is_ascii_digit();
                if !digit(at - 1) || !digit(at + 1) {
                    continue;
                }
                let Some((from, start, length)) = quad_around(bytes, at, &code) else { continue };
                let place = from + start;
                let raw = &bytes[place..place + length];
                let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte == 0 || !is_printable(code.decode(byte, 0)));
                let is_alone =
                    edge(place.checked_sub(1).map(|before| bytes[before])) && edge(bytes.get(place + length).copied());
                // Numbers with something else between them are plain text, unless they have an end that was encoded.
                let has_end = bytes.get(place + length).is_some_and(|byte| *byte != 0 && code.decode(*byte, 0) == 0);
                let is_text = raw.iter().all(|byte| is_printable(*byte)) && raw.iter().any(u8::is_ascii_digit);
                let is_plain = is_text && !has_end;
                if length >= QUAD_LETTERS_MIN && is_alone && !is_plain {
                    let text: Vec<u8> = raw.iter().map(|byte| code.decode(*byte, 0)).collect();
                    self.add(code.name(), code.key(), place, &text, "an address with dots");
                    until = place + length;
                }
            }
        }
    }

    /// Keys out of the file, for RC4 and for XOR with keys of other lengths.
    fn tried_keys(&mut self, data: &[(usize, &[u8])], alignment: usize) {
        tried::each(data, alignment, |found| {
            self.add(found.algorithm, hex_of(found.key), found.offset, found.text, found.anchor);
        });
    }

    /// Base64 and hex in one text.
    pub(crate) fn armoured(&mut self, text: &[u8], offset: usize) {
        if text.len() < ARMOUR_LETTERS_MIN {
            return;
        }
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        let mut at = 0;
        while let Some(start) = text[at..].iter().position(is_part).map(|place| at + place) {
            at = text[start..].iter().position(|byte| !is_part(byte)).map_or(text.len(), |end| start + end);
            let word = &text[start..at];
            if word.len() < ARMOUR_LETTERS_MIN || word.len() > 2 * DECODED_BYTES_MAX {
                continue;
            }
            let decoded = match hex::decode(word) {
                Ok(decoded) => Some(("hex", decoded)),
                Err(_) => base64(word).map(|decoded| ("base64", decoded)),
            };
            let Some((name, decoded)) = decoded else { continue };
            let printable = decoded.iter().filter(|byte| is_printable(**byte) || matches!(byte, b'\n' | b'\r')).count();
            if printable * 10 >= decoded.len() * 9
                && let Some(anchor) = anchor_of(&decoded).or_else(|| looks_like_words(&decoded).then_some("words"))
            {
                self.add(name, String::new(), offset + start, &decoded, anchor);
            }
        }
    }
}

/// A one for each byte behind the first that may be a dot between digits, whatever byte or number all are
/// changed by. A digit differs from a dot by 0x16 to 0x1f, or is 2 to 11 above it.
///
/// Hardly any place is one, and all of them are asked in vector instructions first, less than one for each byte.
fn single_dots(bytes: &[u8]) -> Vec<u8> {
    let is_digit =
        |byte: u8, dot: u8| (byte ^ dot).wrapping_sub(0x16) < 10 || byte.wrapping_sub(dot).wrapping_sub(2) < 10;
    let (dots, behind) = (bytes.get(1..).unwrap_or_default(), bytes.get(2..).unwrap_or_default());
    let triples = bytes.iter().zip(dots).zip(behind);
    let is_dot = triples.map(|((before, dot), behind)| is_digit(*before, *dot) & is_digit(*behind, *dot));
    is_dot.map(u8::from).collect()
}

/// The address around its first dot: where what was looked at begins, where in that the address does, and its length. Zero
/// bytes of the file are the end, or letters, or letters between the dots and the end elsewhere: a table may be filled up
/// with zero bytes that would be digits, too. The last only under XOR, since tables of small numbers look so when a number
/// is added to them.
fn quad_around(bytes: &[u8], dot: usize, code: &Code) -> Option<(usize, usize, usize)> {
    let from = dot.saturating_sub(4);
    let window = &bytes[from..bytes.len().min(from + 26)];
    // Three dots are the same byte: hardly any place that may be a first one has two more behind it.
    let (first, dots) = (dot - from, &window[dot - from..]);
    let (third, _) = dots.iter().enumerate().filter(|(_, byte)| **byte == bytes[dot]).nth(2)?;
    let between = if matches!(code, Code::Xor1(_)) { first..first + third } else { 0..0 };
    [0..0, 0..window.len(), between].into_iter().find_map(|letters| {
        let is_end = |place: usize| window[place] == 0 && !letters.contains(&place);
        let decode = |(place, byte): (usize, &u8)| if is_end(place) { 0 } else { code.decode(*byte, 0) };
        let window: Vec<u8> = window.iter().enumerate().map(decode).collect();
        let before = window[..first].iter().rposition(|byte| !byte.is_ascii_digit());
        let start = before.map_or(0, |before| before + 1);
        match ipv4_at(&window, start) {
            Some((length, true)) => Some((from, start, length)),
            _ => None,
        }
    })
}

/// What is recognised in a text that came out of a tried key.
fn anchor_of(text: &[u8]) -> Option<&'static str> {
    if text.len() < tried::LETTERS_MIN {
        return None;
    }
    if let Some((_, number)) = PLAIN.all(text).next() {
        return Some(ANCHORS[number]);
    }
    // Most texts that were tried are an accident, and have no dot.
    (text.contains(&b'.') && is_endpoint(text)).then_some("an address or a name")
}

/// Whether a text is an address or a name, perhaps with a port, or begins with one.
fn is_endpoint(text: &[u8]) -> bool {
    let end =
        text.iter().position(|byte| matches!(byte, b':' | b'/' | b' ' | b',' | b';' | b'|')).unwrap_or(text.len());
    let is_address = text.first().is_some_and(u8::is_ascii_digit) && matches!(ipv4_at(text, 0), Some((_, true)));
    is_address || end >= 6 && is_domain(&text[..end])
}

/// Whether a text is an address or a name, with a port or a path at most.
fn is_endpoint_alone(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let end = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
    let is_rest = match text[end..].split_first() {
        None => true,
        Some((b':', port)) => (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit),
        Some((b'/', path)) => path.iter().all(|byte| is_part(byte) || matches!(byte, b'/' | b'_' | b'?' | b'=' | b'&')),
        Some(_) => false,
    };
    is_rest && is_endpoint(&text[..end])
}

/// Base64 with or without padding. Source: RFC 4648, section 4.
fn base64(word: &[u8]) -> Option<Vec<u8>> {
    let end = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
    if word.len() - end > 2 || end % 4 == 1 {
        return None;
    }
    let mut decoded = Vec::with_capacity(end / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in &word[..end] {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count & 0xff) as u8);
        }
    }
    Some(decoded)
}

/// Addresses of sockets that are in the data as they are given to the kernel: the family 2, a port, an address, and eight
/// zero bytes.
pub(crate) fn socket_addresses(data: &[(usize, &[u8])], is_big: bool, findings: &mut Findings) {
    let family = if is_big { [0, 2] } else { [2, 0] };
    for (start, piece) in data {
        let mut at = (4 - start % 4) % 4;
        while let Some(window) = piece.get(at..at + 16) {
            let port = u16::from_be_bytes([window[2], window[3]]);
            let is_public = !matches!(window[4], 0 | 10 | 127 | 224..) && window[5..8] != [0, 0, 0];
            if window[..2] == family && port > 0 && is_public && window[8..] == [0; 8] {
                let value = format!("{}.{}.{}.{}:{port}", window[4], window[5], window[6], window[7]);
                findings.add("socket-address", value.as_bytes(), start + at, "plain");
            }
            at += 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are no text, always the same ones.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(bytes)
        .collect()
    }

    #[track_caller]
    fn check(data: &[u8], algorithm: &str, key: &str, texts: &[&str]) {
        let decoded = decode(data, &[(0, data)], 4).decoded;
        for text in texts {
            let is_it = |one: &&Decoded| one.text == *text && one.algorithm == algorithm && one.key == key;
            assert!(decoded.iter().any(|one| is_it(&one)), "{text}: {decoded:#?}");
        }
    }

    fn encoded(texts: &[&str], encode: impl Fn(u8, usize) -> u8, has_end: bool) -> Vec<u8> {
        let mut data = noise(300);
        data.push(0);
        for text in texts {
            let end: &[u8] = if has_end { b"\0" } else { b"" };
            data.extend([text.as_bytes(), end].concat().iter().enumerate().map(|(place, byte)| encode(*byte, place)));
            data.push(0);
        }
        data.extend(noise(300));
        data
    }

    const TEXTS: [&str; 4] = ["/dev/watchdog", "198.51.100.77:1312", "cnc.example.com", "/bin/busybox telnetd"];

    #[test]
    fn one_byte_is_found_by_words() {
        for has_end in [true, false] {
            check(&encoded(&TEXTS, |byte, _| byte ^ 0x54, has_end), "xor1", "54", &TEXTS);
            check(&encoded(&TEXTS, |byte, _| byte ^ 0xfe, has_end), "xor1", "fe", &TEXTS);
            check(&encoded(&TEXTS, |byte, _| byte.wrapping_add(0x21), has_end), "add1", "21", &TEXTS);
        }
        check(&encoded(&TEXTS[..1], |byte, _| byte.rotate_left(3), true), "rot", "3", &TEXTS[..1]);
    }

    #[test]
    fn an_address_is_found_without_words() {
        check(&encoded(&["198.51.100.77"], |byte, _| byte ^ 0xaa, true), "xor1", "aa", &["198.51.100.77"]);
        check(&encoded(&["198.51.100.77:23"], |byte, _| byte ^ 0x67, false), "xor1", "67", &["198.51.100.77:23"]);
        // What comes out has digits, too.
        check(&encoded(&["198.51.100.77"], |byte, _| byte ^ 0x0f, true), "xor1", "0f", &["198.51.100.77"]);
        // A zero of the address is a zero byte, and the table is filled up with such.
        let table = [[0; 8], [1, 9, 8, 0x1e, 5, 1, 0x1e, 1], [0, 0, 0x1e, 7, 3, 0, 0, 0]].concat();
        check(&table, "xor1", "30", &["198.51.100.73"]);
    }

    #[test]
    fn four_bytes_are_found_by_words_and_as_a_key_in_the_file() {
        let key = [0xde, 0xad, 0xbe, 0xef];
        let by_words = encoded(&TEXTS, |byte, place| byte ^ key[place % 4], true);
        check(&by_words, "xor4", "deadbeef", &[TEXTS[0], TEXTS[3]]);
        let mut with_key = vec![0; 4];
        with_key.extend(key);
        with_key.extend([0; 4]);
        with_key.extend(encoded(&TEXTS[1..3], |byte, place| byte ^ key[place % 4], false));
        check(&with_key, "xor4", "deadbeef", &TEXTS[1..3]);
    }

    #[test]
    fn rc4_is_found_with_a_key_in_the_file() {
        let key = b"N0tASecretKey";
        let stream = tried::rc4_stream(key, 64);
        let mut data = [&b"\0\0\0\0"[..], key, b"\0\0\0\0"].concat();
        data.resize(24, 0);
        data.extend(encoded(&TEXTS, |byte, place| byte ^ stream[place], false));
        check(&data, "rc4", &hex_of(key), &TEXTS);
    }

    #[test]
    fn data_without_alignment_begin_anywhere() {
        let key = [0xde, 0xad, 0xbe, 0xef];
        let text = TEXTS[1].bytes().enumerate().map(|(place, byte)| byte ^ key[place % 4]);
        let data = [&[0x81], &key[..], &[0x82, 0x83, 0x84], &text.collect::<Vec<_>>(), &[0]].concat();
        let count = |alignment| decode(&data, &[(0, &data)], alignment).decoded.len();
        assert_eq!((count(1), count(4)), (1, 0));
    }

    /// Where there are zero bytes, a repeated key comes out. What it says itself is nothing that was hidden.
    #[test]
    fn a_key_does_not_say_itself() {
        let places = [[1, 2, 1, 2, 1, 2, 1, 2], [3, 4, 3, 4, 3, 4, 3, 4]].map(|place| [&place[..], &[0; 24]].concat());
        let data = [&b"\0\0\0\0password:\0\0\0"[..], &places.concat()].concat();
        assert_eq!(decode(&data, &[(0, &data)], 4).decoded, []);
    }

    #[test]
    fn nothing_is_found_where_there_is_nothing() {
        assert_eq!(decode(&noise(100_000), &[], 4).decoded, []);
        let plain = b"/dev/watchdog 198.51.100.77 1,2,3,4 10-20-30-40 BUSYBOX ASSWORD /bin/busybox http://";
        assert_eq!(decode(plain, &[(0, plain)], 4).decoded, []);
        let table: Vec<u8> = (0..4000_u16).flat_map(|number| (number % 64).to_le_bytes()).collect();
        assert_eq!(decode(&table, &[(0, &table)], 4).decoded, []);
    }

    #[test]
    fn base64_and_hex_are_undone() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let mut decoder = Decoder::default();
            decoder.armoured(text.as_bytes(), 0);
            let seen: Vec<_> = decoder.decoded.iter().map(|one| (&*one.algorithm, &*one.text)).collect();
            assert_eq!(seen, expected, "{text}");
        };
        check("x=aHR0cDovLzE5OC41MS4xMDAuNy9hLnNo", &[]);
        check("x aHR0cDovLzE5OC41MS4xMDAuNy9hLnNo", &[("base64", "http://198.51.100.7/a.sh")]);
        check("2f62696e2f62757379626f782077676574", &[("hex", "/bin/busybox wget")]);
        check("pthreadmutexlockinit", &[]);
        check("0123456789abcdef0123456789abcdef", &[]);
    }

    #[test]
    fn socket_addresses_are_read_in_both_orders() {
        let check = |is_big, family: [u8; 2], expected: &[&str]| {
            let mut data = vec![1, 1, 1, 1];
            data.extend(family);
            data.extend([5, 0x20, 198, 51, 100, 9]);
            data.extend([0; 8]);
            let mut findings = Findings::default();
            socket_addresses(&[(0, &data)], is_big, &mut findings);
            assert_eq!(findings.found.iter().map(|one| &*one.value).collect::<Vec<_>>(), expected);
        };
        check(false, [2, 0], &["198.51.100.9:1312"]);
        check(true, [0, 2], &["198.51.100.9:1312"]);
        check(false, [0, 2], &[]);
    }
}
