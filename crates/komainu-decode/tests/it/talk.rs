//! Lets a decoder read a conversation, in one piece or cut anywhere, and writes down what it told, a line a fact.

use komainu_decode::{Decoder, Fact, FileEvent, Login, Place, Secret, Side};

/// What both sides said, in order. Each piece of a stream may be cut.
pub(crate) type Talk<'a> = [(Side, &'a [u8])];

/// A fact of the kind that only one protocol has, as text; content that may come in pieces is given back apart.
pub(crate) type Describe = fn(&Fact<'_>) -> Said;

/// What a fact says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Whole(String),
    /// Bytes at an offset of something with a name; adjacent ones are joined.
    Piece {
        of: String,
        offset: u64,
        bytes: Vec<u8>,
    },
}

/// One fact with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) said: Said,
    pub(crate) places: Vec<Place>,
}

impl Told {
    pub(crate) fn line(&self) -> String {
        match &self.said {
            Said::Whole(text) => text.clone(),
            Said::Piece { of, offset, bytes } => format!("{of} at {offset}: {}", bytes.escape_ascii()),
        }
    }
}

/// Reads `talk`, each piece in pieces of at most `size` bytes; checks that content is what stands at its place.
pub(crate) fn read(mut decoder: Box<dyn Decoder>, talk: &Talk<'_>, size: usize, describe: Describe) -> Vec<Told> {
    let pieces: Vec<(Side, Vec<&[u8]>)> =
        talk.iter().map(|(side, bytes)| (*side, bytes.chunks(size.max(1)).collect())).collect();
    read_pieces(&mut *decoder, talk, &pieces, describe)
}

/// Reads `talk`, whose pieces are cut as `pieces` says.
pub(crate) fn read_pieces(
    decoder: &mut dyn Decoder,
    talk: &Talk<'_>,
    pieces: &[(Side, Vec<&[u8]>)],
    describe: Describe,
) -> Vec<Told> {
    let all = |side| -> Vec<u8> { talk.iter().filter(|(by, _)| *by == side).flat_map(|(_, b)| b.to_vec()).collect() };
    let (client, server) = (all(Side::Client), all(Side::Server));
    let mut told = Vec::new();
    let mut observer = |place: Place, fact: Fact<'_>| {
        let said = common(&fact).unwrap_or_else(|| describe(&fact));
        if let Said::Piece { bytes, .. } = &said {
            let whole = if place.side == Side::Client { &client } else { &server };
            let at = usize::try_from(place.offset).expect("fits");
            let there = whole.get(at..at + usize::try_from(place.bytes).expect("fits"));
            assert_eq!(there, Some(&bytes[..]), "the bytes at {place:?}");
        }
        push(&mut told, place, said);
    };
    for (side, pieces) in pieces {
        for piece in pieces {
            decoder.data(*side, piece, &mut observer);
        }
    }
    decoder.finish(Side::Client, &mut observer);
    decoder.finish(Side::Server, &mut observer);
    decoder.end(&mut observer);
    told
}

/// Adds a fact; joins content with what was told of the same before, whatever was told since.
fn push(told: &mut Vec<Told>, place: Place, said: Said) {
    if let Said::Piece { of, offset, bytes } = &said {
        for before in told.iter_mut().rev() {
            if let Said::Piece { of: same, offset: start, bytes: joined } = &mut before.said
                && same == of
                && *start + joined.len() as u64 == *offset
            {
                joined.extend_from_slice(bytes);
                match before.places.last_mut() {
                    Some(last) if last.offset + last.bytes == place.offset => last.bytes += place.bytes,
                    _ => before.places.push(place),
                }
                return;
            }
        }
    }
    told.push(Told { said, places: vec![place] });
}

/// The facts that all protocols have.
fn common(fact: &Fact<'_>) -> Option<Said> {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    Some(Said::Whole(match fact {
        Fact::Login(Login { user, secret, accepted }) => {
            let secret = match secret {
                Secret::None => "nothing".to_owned(),
                Secret::Password(password) => text(password),
                Secret::Response { mechanism, bytes } => format!("{mechanism} {}", text(bytes)),
                Secret::PublicKey { fingerprint } => (*fingerprint).to_owned(),
            };
            let accepted = match accepted {
                Some(true) => "accepted",
                Some(false) => "refused",
                None => "unanswered",
            };
            format!("login {} with {secret}: {accepted}", text(user))
        }
        Fact::Command(command) => format!("command {}", text(command.line)),
        Fact::File(FileEvent::Begin { file, name, via, bytes_expected }) => {
            let expected = bytes_expected.map_or("unknown".to_owned(), |bytes| bytes.to_string());
            format!("file {} is {} by {via:?}, {expected} bytes", file.0, text(name))
        }
        Fact::File(FileEvent::Part { file, offset, bytes }) => {
            let of = format!("file {}", file.0);
            return Some(Said::Piece { of, offset: *offset, bytes: bytes.to_vec() });
        }
        Fact::File(FileEvent::End { file, is_complete }) => {
            format!("file {} {}", file.0, if *is_complete { "is complete" } else { "is broken off" })
        }
        Fact::Oddity(oddity) => format!("{:?} {}", oddity.kind, oddity.what),
        _ => return None,
    }))
}

/// The lines of what was told.
pub(crate) fn lines(told: &[Told]) -> Vec<String> {
    told.iter().map(Told::line).collect()
}

/// Compares what is told of `talk` with `expected`, and with what is told of it in pieces of every size.
pub(crate) fn check(reader: fn() -> Box<dyn Decoder>, describe: Describe, talk: &Talk<'_>, expected: &[&str]) {
    let whole = read(reader(), talk, usize::MAX, describe);
    assert_eq!(lines(&whole), expected, "\n{}\n", lines(&whole).join("\n"));
    same_when_cut(reader, describe, talk, &whole);
}

/// Cuts once at every place, and into pieces of a few sizes.
pub(crate) fn same_when_cut(reader: fn() -> Box<dyn Decoder>, describe: Describe, talk: &Talk<'_>, whole: &[Told]) {
    for size in [1, 2, 3, 7] {
        assert_eq!(read(reader(), talk, size, describe), whole, "in pieces of {size}");
    }
    for turn in 0..talk.len() {
        // Long turns are cut at fewer places.
        let step = talk[turn].1.len() / 2000 + 1;
        for cut in (1..talk[turn].1.len()).step_by(step) {
            let pieces: Vec<(Side, Vec<&[u8]>)> = talk
                .iter()
                .enumerate()
                .map(|(at, (side, bytes))| {
                    let (head, tail) = bytes.split_at(if at == turn { cut } else { 0 });
                    (*side, vec![head, tail])
                })
                .collect();
            let told = read_pieces(&mut *reader(), talk, &pieces, describe);
            assert_eq!(told, whole, "turn {turn} cut at {cut}");
        }
    }
}

/// What both sides said in a recording: text whose lines are a side, a space, and what it said, escaped.
pub(crate) fn recorded(text: &str) -> Vec<(Side, Vec<u8>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let turn = |line: &str| match line.split_once(' ').expect("a side and what it said") {
        ("C", said) => (Side::Client, unescape(said)),
        (_, said) => (Side::Server, unescape(said)),
    };
    lines.map(turn).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'x') => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
                }
                _ => b'\\',
            },
            byte => byte,
        });
    }
    bytes
}
