//! Keys that are in the file itself: each is tried at each place where something encoded may begin.
//!
//! A program of 100 KB has up to 5,000 possible keys and 4,000 such places. What makes twenty million trials cheap: of a
//! letter the three highest bits are 1, 2 or 3, so for each of a key's first eight bytes it is known beforehand which
//! places it makes letters of. Words of 64 bits say that of 64 places, and few places are left that have the bits of all
//! eight bytes.

use std::collections::HashSet;

use super::anchor_of;
use crate::limits::{DECODED_BYTES_MAX, KEY_PLACES_MAX, KEYS_MAX};
use crate::strings::{each_plain, is_printable};

/// Letters of a text that a tried key gives.
pub(super) const LETTERS_MIN: usize = 8;

/// Bytes of a piece that may be a text under a key that is tried.
const PLACE_BYTES_MAX: usize = DECODED_BYTES_MAX / 16;

/// Lengths of keys that are no text: of XOR with four bytes, and of RC4.
const BLOB_BYTES: [usize; 3] = [4, 8, BLOB_BYTES_MAX];
const BLOB_BYTES_MAX: usize = 16;

/// Keys of one kind: texts, or blobs of one length.
const KEYS_OF_KIND_MAX: usize = KEYS_MAX / (1 + BLOB_BYTES.len());

/// A text that a key gives.
pub(super) struct Found<'a> {
    pub(super) algorithm: &'static str,
    pub(super) key: &'a [u8],
    pub(super) offset: usize,
    pub(super) text: &'a [u8],
    pub(super) anchor: &'static str,
}

/// Tries all keys at all places, and hands over each text in which something is recognised.
pub(super) fn each(data: &[(usize, &[u8])], alignment: usize, mut take: impl FnMut(&Found<'_>)) {
    let Candidates { keys, places } = candidates(data, alignment);
    if places.is_empty() {
        return;
    }
    let places = Places::of(places);
    let mut trial = Trial { places: &places, stream: Stream::new(), text: Vec::new() };
    for key in &keys {
        let length = key.bytes().len();
        if length >= 5 {
            trial.stream.begin_rc4(key.bytes());
            trial.run("rc4", key, &mut take);
        }
        // Where a text begins under four bytes that are no key in the file is found by words.
        if length == 4 || !key.is_blob {
            trial.stream.begin_repeated(key.bytes());
            trial.run(if length == 4 { "xor4" } else { "xor-key" }, key, &mut take);
        }
    }
}

/// One stream after the other, at all places.
struct Trial<'a> {
    places: &'a Places<'a>,
    stream: Stream,
    /// The text of one place: kept for its memory.
    text: Vec<u8>,
}

impl Trial<'_> {
    fn run(&mut self, algorithm: &'static str, key: &Key<'_>, take: &mut impl FnMut(&Found<'_>)) {
        let beginning = self.stream.beginning();
        for place in self.places.that_may_be_letters(beginning) {
            // A key does not encode itself.
            if !are_letters(place.head ^ beginning) || place.offset.abs_diff(key.offset) < key.bytes().len() {
                continue;
            }
            self.stream.decode(place, &mut self.text);
            if let Some(anchor) = anchor_of(&self.text)
                && !self.stream.says(anchor)
            {
                take(&Found { algorithm, key: key.bytes(), offset: place.offset, text: &self.text, anchor });
            }
        }
    }
}

/// A possible key.
struct Key<'a> {
    offset: usize,
    bytes: &'a [u8],
    /// A number in the other byte order than the text is decoded in.
    turned: Option<[u8; 4]>,
    is_blob: bool,
}

impl Key<'_> {
    fn bytes(&self) -> &[u8] {
        self.turned.as_ref().map_or(self.bytes, |turned| turned)
    }
}

/// A piece that may be a text under a key.
struct Place<'a> {
    offset: usize,
    /// Its first eight bytes.
    head: u64,
    cipher: &'a [u8],
}

/// What is tried, and where.
struct Candidates<'a> {
    keys: Vec<Key<'a>>,
    places: Vec<Place<'a>>,
}

/// Keys are texts without spaces, and pieces of 4, 8 and 16 bytes that are no text, no address and no number. Places are
/// no text. Both begin behind a zero byte or at a multiple of the alignment. Each section gives its first ones: linkers put
/// what a program has before what its libraries have.
fn candidates<'a>(data: &[(usize, &'a [u8])], alignment: usize) -> Candidates<'a> {
    let (mut texts, mut blobs) = (Vec::new(), BLOB_BYTES.map(|_| Vec::new()));
    let mut places = Vec::new();
    let mut seen: HashSet<&[u8]> = HashSet::new();
    let keys_max = KEYS_OF_KIND_MAX / data.len().max(1);
    let places_max = KEY_PLACES_MAX / data.len().max(1);
    for (start, piece) in data {
        let mut left = keys_max;
        each_plain(piece, 5, |at, bytes| {
            // A string has an end.
            let is_key = bytes.len() <= 32 && piece.get(at + bytes.len()) == Some(&0);
            if left > 0 && is_key && !bytes.iter().any(|byte| b" %/\t\"'()<>".contains(byte)) && seen.insert(bytes) {
                left -= 1;
                texts.push(Key { offset: start + at, bytes, turned: None, is_blob: false });
            }
        });
        let mut left = BLOB_BYTES.map(|_| keys_max);
        let mut places_left = places_max;
        let mut before = 0;
        for (at, byte) in piece.iter().enumerate() {
            // Of an alignment, which is a power of two, this is the remainder.
            let is_beginning = before == 0 || (start + at) & (alignment - 1) == 0;
            before = *byte;
            let rest = &piece[at..];
            // Most of what is no code is zeros. No key has one, and no place two.
            if !is_beginning || rest.starts_with(&[0, 0]) {
                continue;
            }
            let offset = start + at;
            let full = rest.iter().take(BLOB_BYTES_MAX).take_while(|byte| **byte != 0).count();
            for ((length, left), blobs) in BLOB_BYTES.into_iter().zip(&mut left).zip(&mut blobs) {
                let Some(blob) = rest[..full].get(..length) else { break };
                if *left > 0 && is_random(blob) && seen.insert(blob) {
                    *left -= 1;
                    blobs.push(Key { offset, bytes: blob, turned: None, is_blob: true });
                    if let Ok([one, two, three, four]) = <[u8; 4]>::try_from(blob) {
                        let turned = Some([four, three, two, one]);
                        blobs.push(Key { offset, bytes: blob, turned, is_blob: true });
                    }
                }
            }
            if let Some(head) = rest.first_chunk().filter(|head| places_left > 0 && is_strange(head)) {
                places_left -= 1;
                let cipher = &rest[..rest.len().min(PLACE_BYTES_MAX)];
                places.push(Place { offset, head: u64::from_le_bytes(*head), cipher });
            }
            if places_left == 0 && left == [0; BLOB_BYTES.len()] {
                break;
            }
        }
    }
    Candidates { keys: texts.into_iter().chain(blobs.into_iter().flatten()).collect(), places }
}

/// Whether most bytes differ, and it is no text.
fn is_random(blob: &[u8]) -> bool {
    if blob.iter().all(|byte| is_printable(*byte)) {
        return false;
    }
    let mut values = [0_u64; 4];
    let mut different = 0;
    for byte in blob {
        let (word, bit) = (&mut values[usize::from(byte >> 6)], 1 << (byte & 63));
        different += usize::from(*word & bit == 0);
        *word |= bit;
    }
    different * 4 >= blob.len() * 3
}

/// Whether something encoded may begin so: two bytes that no text has, and one zero byte at most.
fn is_strange(head: &[u8; LETTERS_MIN]) -> bool {
    let zeros = head.iter().filter(|byte| **byte == 0).count();
    let texts = head.iter().filter(|byte| is_printable(**byte)).count();
    zeros <= 1 && zeros + texts <= LETTERS_MIN - 2
}

/// Places by the three highest bits of their first byte, so that five in eight are left aside for any stream.
struct Places<'a>([Vec<Block<'a>>; 8]);

/// Up to 64 places.
struct Block<'a> {
    places: Vec<Place<'a>>,
    /// For each of the first eight bytes and each value of the three highest bits of a stream there: a bit for each place
    /// of which the stream may make a letter.
    may_be_letters: [[u64; 8]; LETTERS_MIN],
}

impl<'a> Places<'a> {
    fn of(places: Vec<Place<'a>>) -> Self {
        let mut groups = [const { Vec::new() }; 8];
        for place in places {
            let head = place.head.to_le_bytes();
            let group: &mut Vec<Block<'_>> = &mut groups[usize::from(head[0] >> 5)];
            if group.last().is_none_or(|block| block.places.len() == 64) {
                group.push(Block { places: Vec::with_capacity(64), may_be_letters: [[0; 8]; LETTERS_MIN] });
            }
            let block = group.last_mut().expect("one was pushed where there was none");
            let bit = 1 << block.places.len();
            for (may_be_letters, byte) in block.may_be_letters.iter_mut().zip(head) {
                for of_letter in 1..=3 {
                    may_be_letters[usize::from(byte >> 5 ^ of_letter)] |= bit;
                }
            }
            block.places.push(place);
        }
        Self(groups)
    }

    /// The places of which the first eight bytes may be letters under a stream that begins so.
    fn that_may_be_letters(&self, beginning: u64) -> impl Iterator<Item = &Place<'a>> {
        let high = beginning.to_le_bytes().map(|byte| byte >> 5);
        let groups = (1..=3).flat_map(move |of_letter| &self.0[usize::from(high[0] ^ of_letter)]);
        groups.flat_map(move |block| {
            let rows = block.may_be_letters.iter().zip(high);
            let places = rows.fold(u64::MAX, |places, (row, high)| places & row[usize::from(high)]);
            let places = std::iter::successors(Some(places), |places| Some(places & places.wrapping_sub(1)));
            // A word without bits has 64 zeros, and there is no place 64.
            places.map_while(|places| block.places.get(places.trailing_zeros() as usize))
        })
    }
}

/// Whether all eight bytes are letters, from the space to `~`. A byte below the space borrows, one above `~` carries or has
/// its highest bit; neither makes a wrong byte right.
fn are_letters(eight: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    (eight | eight.wrapping_sub(0x20 * EACH) | eight.wrapping_add(EACH)) & (0x80 * EACH) == 0
}

/// What a text was XORed with, as much of it as was asked for: hardly any piece is a text beyond its first letters.
struct Stream {
    known: [u8; PLACE_BYTES_MAX],
    known_bytes: usize,
    source: Source,
    /// Of RC4: its permutation and its two numbers.
    state: [u8; 256],
    one: u8,
    other: u8,
}

#[derive(Clone, Copy)]
enum Source {
    Rc4,
    Repeated { key_bytes: usize },
}

impl Stream {
    /// Of nothing yet.
    fn new() -> Self {
        let (known, state) = ([0; PLACE_BYTES_MAX], [0; 256]);
        Self { known, known_bytes: 0, source: Source::Rc4, state, one: 0, other: 0 }
    }

    /// Most of the work of all decoders is here: for each key 256 steps one after the other.
    fn begin_rc4(&mut self, key: &[u8]) {
        let mut repeated = [0; 256];
        repeated.chunks_mut(key.len().max(1)).for_each(|chunk| chunk.copy_from_slice(&key[..chunk.len()]));
        self.state = std::array::from_fn(|number| number as u8);
        let mut other = 0_u8;
        for (number, key) in repeated.into_iter().enumerate() {
            let value = self.state[number];
            other = other.wrapping_add(value).wrapping_add(key);
            self.state[number] = self.state[usize::from(other)];
            self.state[usize::from(other)] = value;
        }
        (self.source, self.one, self.other) = (Source::Rc4, 0, 0);
        self.known_bytes = 0;
        self.known_to(LETTERS_MIN);
    }

    fn begin_repeated(&mut self, key: &[u8]) {
        self.source = Source::Repeated { key_bytes: key.len() };
        self.known[..key.len()].copy_from_slice(key);
        self.known_bytes = key.len();
        self.known_to(LETTERS_MIN);
    }

    /// The first eight bytes.
    fn beginning(&self) -> u64 {
        let [one, two, three, four, five, six, seven, eight, ..] = self.known;
        u64::from_le_bytes([one, two, three, four, five, six, seven, eight])
    }

    /// The letters at a place, up to what is none.
    fn decode(&mut self, place: &Place<'_>, text: &mut Vec<u8>) {
        text.clear();
        // Eight at once: tables of small numbers under a text are long texts.
        for cipher in place.cipher.as_chunks::<LETTERS_MIN>().0 {
            let stream = self.known_to(text.len() + LETTERS_MIN).last_chunk::<LETTERS_MIN>();
            let stream = stream.expect("eight bytes more are known than the text has");
            let letters = u64::from_le_bytes(*cipher) ^ u64::from_le_bytes(*stream);
            if !are_letters(letters) {
                break;
            }
            text.extend_from_slice(&letters.to_le_bytes());
        }
        for (at, byte) in place.cipher.iter().enumerate().skip(text.len()) {
            let letter = byte ^ self.known_to(at + 1)[at];
            if !is_printable(letter) {
                break;
            }
            text.push(letter);
        }
    }

    /// Whether a key that is repeated has these letters in itself: then they come out wherever there are zero bytes.
    fn says(&self, letters: &str) -> bool {
        match self.source {
            Source::Rc4 => false,
            Source::Repeated { key_bytes } => {
                let key = &self.known[..key_bytes];
                memchr::memmem::find(&[key, key].concat(), letters.as_bytes()).is_some()
            }
        }
    }

    /// So many first bytes, `PLACE_BYTES_MAX` at most.
    fn known_to(&mut self, bytes: usize) -> &[u8] {
        for place in self.known_bytes..bytes {
            self.known[place] = match self.source {
                Source::Rc4 => self.next_of_rc4(),
                Source::Repeated { key_bytes } => self.known[place - key_bytes],
            };
        }
        self.known_bytes = self.known_bytes.max(bytes);
        &self.known[..bytes]
    }

    fn next_of_rc4(&mut self) -> u8 {
        self.one = self.one.wrapping_add(1);
        let value = self.state[usize::from(self.one)];
        self.other = self.other.wrapping_add(value);
        let other = self.state[usize::from(self.other)];
        self.state[usize::from(self.one)] = other;
        self.state[usize::from(self.other)] = value;
        self.state[usize::from(value.wrapping_add(other))]
    }
}

/// So many first bytes of the stream of RC4 with this key.
#[cfg(test)]
pub(super) fn rc4_stream(key: &[u8], bytes: usize) -> Vec<u8> {
    let mut stream = Stream::new();
    stream.begin_rc4(key);
    stream.known_to(bytes).to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn eight_letters_at_once_are_as_one_by_one() {
        for byte in 0..=255_u8 {
            for place in 0..8 {
                for other in [b' ', b'a', b'~'] {
                    let mut bytes = [other; 8];
                    bytes[place] = byte;
                    let expected = matches!(byte, b' '..=b'~');
                    assert_eq!(are_letters(u64::from_le_bytes(bytes)), expected, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn streams_are_those_of_their_keys() {
        // The first bytes of the stream for this key, as published with the first description of RC4.
        assert_eq!(rc4_stream(b"Key", 8), [0xeb, 0x9f, 0x77, 0x81, 0xb7, 0x34, 0xca, 0x72]);
        let mut repeated = Stream::new();
        repeated.begin_repeated(b"12345");
        assert_eq!(repeated.beginning(), u64::from_le_bytes(*b"12345123"));
        assert_eq!(repeated.known_to(12), b"123451234512");
        assert_eq!(repeated.known_to(3), b"123");
    }

    /// Bits must lose no place of which a stream makes eight letters, also where the last word of a row is not full.
    #[test]
    fn places_that_may_be_letters_are_those_that_are() {
        let mut state = 1_u64;
        let mut number = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.rotate_right(29)
        };
        for count in [0, 1, 63, 64, 65, 1_000] {
            let heads: Vec<u64> = std::iter::repeat_with(&mut number).take(count).collect();
            let place = |(offset, head): (usize, &u64)| Place { offset, head: *head, cipher: &[] };
            let places = Places::of(heads.iter().enumerate().map(place).collect());
            for letters in [*b"eightabc", *b"        ", *b"~~~~~~~~"] {
                for wanted in heads.iter().take(100) {
                    let beginning = wanted ^ u64::from_le_bytes(letters);
                    let is_letters = |place: &&Place<'_>| are_letters(place.head ^ beginning);
                    let seen = places.that_may_be_letters(beginning).filter(is_letters);
                    let seen: BTreeSet<usize> = seen.map(|place| place.offset).collect();
                    let expected = heads.iter().enumerate().filter(|(_, head)| are_letters(*head ^ beginning));
                    assert_eq!(seen, expected.map(|(number, _)| number).collect());
                }
            }
        }
    }
}
