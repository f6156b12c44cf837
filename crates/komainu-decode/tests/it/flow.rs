//! Recorded conversations, and what a decoder tells of them however they are cut.

use komainu_decode::{Decoder, Fact, FileEvent, Login, Observer, Place, Secret, Side};
use proptest::prelude::*;

/// What was said in turns.
pub(crate) type Turns = Vec<(Side, Vec<u8>)>;

/// How a fact of one protocol is written in tests.
pub(crate) type Describe = fn(&Fact<'_>) -> String;

/// A recording: a line for each turn, `C` or `S` and what was said in hexadecimal digits.
pub(crate) fn recorded(text: &str) -> Turns {
    let line = |line: &str| {
        let (side, digits) = line.split_once(' ').unwrap();
        let side = if side == "C" { Side::Client } else { Side::Server };
        let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
        let bytes = digits.trim().as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
        (side, bytes)
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

/// Notes what is told; parts of files that follow each other are one. Checks what holds for all decoders.
struct Notes<'t> {
    /// What the client and the server said.
    said: &'t [Vec<u8>; 2],
    describe: Describe,
    told: Vec<(Place, String)>,
    /// The file, the end and the bytes of the last part, if nothing else was told since.
    part: Option<(u32, u64, Vec<u8>)>,
    files_open: Vec<u32>,
}

impl Observer for Notes<'_> {
    fn fact(&mut self, place: Place, fact: Fact<'_>) {
        let [client, server] = self.said;
        let said = if place.side == Side::Client { client } else { server };
        let end = place.offset + place.bytes;
        assert!(end <= said.len() as u64, "{place:?} of {}: {fact:?}", said.len());
        let there = &said[usize::try_from(place.offset).unwrap()..usize::try_from(end).unwrap()];
        match &fact {
            Fact::File(FileEvent::Begin { file, name, .. }) => {
                assert_eq!(there, *name);
                self.files_open.push(file.0);
            }
            Fact::File(FileEvent::Part { file, offset, bytes }) => {
                assert_eq!(there, *bytes);
                if let Some((number, behind, joined)) = &mut self.part
                    && (*number, *behind) == (file.0, *offset)
                {
                    *behind += bytes.len() as u64;
                    joined.extend_from_slice(bytes);
                    let text = part(*number, joined);
                    let last = self.told.last_mut().unwrap();
                    last.0.bytes += place.bytes;
                    last.1 = text;
                    return;
                }
                self.part = Some((file.0, offset + bytes.len() as u64, bytes.to_vec()));
                self.told.push((place, part(file.0, bytes)));
                return;
            }
            Fact::File(FileEvent::End { file, .. }) => {
                let open = self.files_open.iter().position(|open| *open == file.0);
                self.files_open.remove(open.expect("what ends has begun"));
            }
            _ => {}
        }
        self.part = None;
        self.told.push((place, common(&fact).unwrap_or_else(|| (self.describe)(&fact))));
    }
}

fn part(file: u32, bytes: &[u8]) -> String {
    if bytes.len() > 64 {
        format!("file {file}: {} bytes", bytes.len())
    } else {
        format!("file {file}: {}", text(bytes))
    }
}

/// Bytes as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn common(fact: &Fact<'_>) -> Option<String> {
    Some(match fact {
        Fact::Login(Login { user, secret, accepted }) => {
            let secret = match secret {
                Secret::None => "nothing".to_owned(),
                Secret::Password(password) => format!("password {}", text(password)),
                Secret::Response { mechanism, .. } => (*mechanism).to_owned(),
                Secret::PublicKey { fingerprint } => (*fingerprint).to_owned(),
            };
            format!("login {} with {secret}, accepted {accepted:?}", text(user))
        }
        Fact::Command(command) => format!("command {}", text(command.line)),
        Fact::File(FileEvent::Begin { file, name, via, bytes_expected }) => {
            format!("file {} is {} via {via:?} of {bytes_expected:?}", file.0, text(name))
        }
        Fact::File(FileEvent::End { file, is_complete }) => format!("file {} ends, complete {is_complete}", file.0),
        Fact::Oddity(oddity) => format!("{:?} {}", oddity.kind, oddity.what),
        _ => return None,
    })
}

/// What a decoder tells when it is given `pieces` of `turns`.
fn told(
    mut decoder: Box<dyn Decoder>,
    describe: Describe,
    turns: &[(Side, Vec<u8>)],
    pieces: &[(Side, &[u8])],
) -> Vec<(Place, String)> {
    let said = [Side::Client, Side::Server].map(|of| {
        let turns = turns.iter().filter(|(side, _)| *side == of);
        turns.flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    });
    let mut notes = Notes { said: &said, describe, told: Vec::new(), part: None, files_open: Vec::new() };
    for (side, piece) in pieces {
        decoder.data(*side, piece, &mut notes);
    }
    decoder.finish(Side::Client, &mut notes);
    decoder.finish(Side::Server, &mut notes);
    decoder.end(&mut notes);
    assert!(notes.files_open.is_empty(), "each file that begins ends");
    notes.told
}

/// What is told of whole turns.
pub(crate) fn told_of(decoder: Box<dyn Decoder>, describe: Describe, turns: &Turns) -> Vec<(Place, String)> {
    let whole: Vec<(Side, &[u8])> = turns.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
    told(decoder, describe, turns, &whole)
}

/// Compares what is told of datagrams.
pub(crate) fn check_datagrams(new: fn() -> Box<dyn Decoder>, describe: Describe, turns: &Turns, expected: &[&str]) {
    let said: Vec<String> = told_of(new(), describe, turns).into_iter().map(|(_, said)| said).collect();
    assert_eq!(said, expected, "{said:#?}");
}

/// Compares what is told of a stream, and of the same stream cut anywhere.
pub(crate) fn check_stream(new: fn() -> Box<dyn Decoder>, describe: Describe, turns: &Turns, expected: &[&str]) {
    let whole = told_of(new(), describe, turns);
    let said: Vec<&str> = whole.iter().map(|(_, said)| said.as_str()).collect();
    assert_eq!(said, expected, "{said:#?}");
    for size in [1, 2, 3, 7, 100] {
        let pieces: Vec<(Side, &[u8])> =
            turns.iter().flat_map(|(side, bytes)| bytes.chunks(size).map(|piece| (*side, piece))).collect();
        assert_eq!(told(new(), describe, turns, &pieces), whole, "in pieces of {size}");
    }
    for turn in 0..turns.len() {
        for cut in 1..turns[turn].1.len() {
            let mut pieces: Vec<(Side, &[u8])> = turns.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
            let (side, bytes) = pieces[turn];
            pieces[turn].1 = &bytes[..cut];
            pieces.insert(turn + 1, (side, &bytes[cut..]));
            assert_eq!(told(new(), describe, turns, &pieces), whole, "turn {turn} cut at {cut}");
        }
    }
}

/// Changes bytes of a conversation and gives it in random pieces: what is told is the same as of whole turns (over a
/// stream). Then with random gaps: no panic, and no more facts than the bytes can account for.
pub(crate) fn survives(new: fn() -> Box<dyn Decoder>, turns: &Turns, is_stream: bool) {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let sizes = proptest::collection::vec((1..400usize, 0..20u64), 1..40);
    proptest!(|(changes in changes, sizes in sizes)| {
        let mut turns = turns.clone();
        for (at, to) in changes {
            let all: usize = turns.iter().map(|(_, bytes)| bytes.len()).sum();
            let mut at = at.index(all);
            for (_, bytes) in &mut turns {
                if at < bytes.len() {
                    bytes[at] = to;
                    break;
                }
                at -= bytes.len();
            }
        }
        if is_stream {
            let mut sizes = sizes.iter().map(|(size, _)| *size).cycle();
            let mut pieces: Vec<(Side, &[u8])> = Vec::new();
            for (side, bytes) in &turns {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (piece, behind) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                    pieces.push((*side, piece));
                    rest = behind;
                }
            }
            let describe: Describe = |fact| format!("{fact:?}");
            prop_assert_eq!(told(new(), describe, &turns, &pieces), told_of(new(), describe, &turns));
        }
        let bytes: usize = turns.iter().map(|(_, bytes)| bytes.len()).sum();
        prop_assert!(count(&mut *new(), &turns, &sizes, is_stream) <= bytes + 64);
    });
    let noise = proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..8);
    proptest!(|(noise in noise)| {
        let side = |client| if client { Side::Client } else { Side::Server };
        let turns: Turns = noise.into_iter().map(|(client, bytes)| (side(client), bytes)).collect();
        let bytes: usize = turns.iter().map(|(_, bytes)| bytes.len()).sum();
        prop_assert!(count(&mut *new(), &turns, &[(100, 20)], is_stream) <= bytes + 64);
    });
}

/// The facts of a conversation in such pieces, of which the 7th of seven is lost.
fn count(decoder: &mut dyn Decoder, turns: &Turns, sizes: &[(usize, u64)], is_stream: bool) -> usize {
    let (mut facts, mut open) = (0, 0usize);
    let mut observer = |_: Place, fact: Fact<'_>| {
        facts += 1;
        match fact {
            Fact::File(FileEvent::Begin { .. }) => open += 1,
            Fact::File(FileEvent::End { .. }) => open = open.checked_sub(1).expect("what ends has begun"),
            _ => {}
        }
    };
    let mut sizes = sizes.iter().cycle();
    for (side, bytes) in turns {
        let mut bytes = &bytes[..];
        if !is_stream {
            decoder.data(*side, bytes, &mut observer);
            continue;
        }
        while !bytes.is_empty() {
            let (size, luck) = sizes.next().unwrap();
            let (piece, rest) = bytes.split_at((*size).min(bytes.len()));
            if *luck == 7 {
                decoder.gap(*side, piece.len() as u64, &mut observer);
            } else {
                decoder.data(*side, piece, &mut observer);
            }
            bytes = rest;
        }
    }
    decoder.finish(Side::Server, &mut observer);
    decoder.end(&mut observer);
    assert_eq!(open, 0, "each file that begins ends");
    facts
}
