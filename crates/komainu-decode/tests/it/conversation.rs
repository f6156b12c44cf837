//! What two sides say, and the facts that a decoder reads from it.

use komainu_decode::{Command, Decoder, Fact, FileEvent, Login, Oddity, Place, Secret, Side};
use proptest::prelude::*;

/// What both sides said, in order.
pub(crate) type Said = Vec<(Side, Vec<u8>)>;

/// How a protocol is read and shown.
#[derive(Clone, Copy)]
pub(crate) struct Protocol {
    /// A decoder for one flow.
    pub(crate) reader: fn() -> Box<dyn Decoder>,
    /// A fact that only the protocol has, as a line; empty for one that is left out.
    pub(crate) event: fn(&Fact<'_>) -> String,
    /// Whether pieces are parts of a stream.
    pub(crate) is_stream: bool,
}

pub(crate) fn client(bytes: impl AsRef<[u8]>) -> (Side, Vec<u8>) {
    (Side::Client, bytes.as_ref().to_vec())
}

pub(crate) fn server(bytes: impl AsRef<[u8]>) -> (Side, Vec<u8>) {
    (Side::Server, bytes.as_ref().to_vec())
}

/// A conversation that was recorded: on each line the side (`c` or `s`), a space, and what it said, in which `\\xNN` is
/// the byte NN. Lines that begin with `#` say who spoke.
pub(crate) fn recorded(text: &str) -> Said {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let side = if line.starts_with('c') { Side::Client } else { Side::Server };
            let mut bytes = Vec::new();
            for (index, part) in line[2..].split("\\x").enumerate() {
                let (code, text) = if index == 0 { ("", part) } else { part.split_at(2) };
                bytes.extend(u8::from_str_radix(code, 16));
                bytes.extend_from_slice(text.as_bytes());
            }
            (side, bytes)
        })
        .collect()
}

impl Protocol {
    /// Checks the facts that are read from `said`, and that cuts make no difference.
    #[track_caller]
    pub(crate) fn check(self, said: &[(Side, Vec<u8>)], expected: &[&str]) {
        let facts = self.facts(said);
        let lines: Vec<&str> = facts.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, expected, "{}", lines.join("\n"));
        if self.is_stream {
            self.check_cuts(said);
        }
    }

    /// Checks that the same facts come from single bytes, and from each piece cut anywhere.
    #[track_caller]
    pub(crate) fn check_cuts(self, said: &[(Side, Vec<u8>)]) {
        let facts = self.facts(said);
        let bytes: Said = said.iter().flat_map(|(side, piece)| piece.iter().map(|byte| (*side, vec![*byte]))).collect();
        assert_eq!(self.facts(&bytes), facts, "byte by byte");
        for (index, (side, piece)) in said.iter().enumerate() {
            // Every cut of what is short, and some of what is long.
            for at in (1..piece.len()).step_by(1 + piece.len() / 500) {
                let mut cut = said.to_vec();
                cut[index] = (*side, piece[..at].to_vec());
                cut.insert(index + 1, (*side, piece[at..].to_vec()));
                assert_eq!(self.facts(&cut), facts, "piece {index} cut at {at}");
            }
        }
    }

    /// The facts as lines, with their places; adjacent parts of a file are joined.
    pub(crate) fn facts(self, said: &[(Side, Vec<u8>)]) -> Vec<(Place, String)> {
        let side = |side: Side| said.iter().filter(move |(by, _)| *by == side).flat_map(|(_, piece)| piece.clone());
        let all: [Vec<u8>; 2] = [side(Side::Client).collect(), side(Side::Server).collect()];
        let mut facts: Vec<(Place, String)> = Vec::new();
        // The file part that ends last.
        let mut open: Option<(u32, u64, Place)> = None;
        let mut observer = |place: Place, fact: Fact<'_>| {
            let spoken = &all[usize::from(place.side == Side::Server)];
            let [begin, bytes] = [place.offset, place.bytes].map(|of| usize::try_from(of).expect("a short text"));
            let at = spoken.get(begin..begin + bytes);
            let at = at.unwrap_or_else(|| panic!("{place:?} of {fact:?} is not within {} bytes", spoken.len()));
            check_place(at, &fact);
            if let Fact::File(FileEvent::Part { file, offset, bytes }) = &fact {
                let joined = open
                    .take()
                    .filter(|(number, end, last)| *number == file.0 && *end == *offset && last.side == place.side);
                open = Some((file.0, offset + bytes.len() as u64, place));
                if joined.is_some() {
                    let (whole, line) = facts.last_mut().expect("the part before");
                    whole.bytes = place.offset + place.bytes - whole.offset;
                    line.push_str(&bytes.escape_ascii().to_string());
                    return;
                }
            } else {
                open = None;
            }
            let line = shown(&fact, self.event);
            if !line.is_empty() {
                facts.push((place, line));
            }
        };
        let mut reader = (self.reader)();
        for (side, piece) in said {
            reader.data(*side, piece, &mut observer);
        }
        reader.finish(Side::Client, &mut observer);
        reader.finish(Side::Server, &mut observer);
        reader.end(&mut observer);
        check_files(&facts);
        facts
    }

    /// Cuts `said` at random places, and damages it: cuts make no difference, and whatever comes is read in peace.
    pub(crate) fn check_damaged(self, said: Said) {
        let lengths: Vec<usize> = said.iter().map(|(_, piece)| piece.len()).collect();
        let total: usize = lengths.iter().sum();
        let cuts = proptest::collection::vec(0..total.max(1), 0..8);
        let damage = proptest::collection::vec((0..total.max(1), any::<u8>()), 0..6);
        let gaps = proptest::collection::vec(any::<u8>(), 8);
        let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(cuts in cuts, damage in damage, gaps in gaps)| {
            let mut damaged = said.clone();
            for (at, byte) in damage {
                *byte_at(&mut damaged, at) = byte;
            }
            let whole = self.facts(&damaged);
            if self.is_stream {
                let cut = cut(&damaged, &cuts);
                prop_assert_eq!(self.facts(&cut), whole);
                self.read_with_gaps(&cut, &gaps);
            }
        });
        let pieces = proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..64)), 0..20);
        let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(pieces in pieces)| {
            let said: Said = pieces
                .into_iter()
                .map(|(is_client, piece)| (if is_client { Side::Client } else { Side::Server }, piece))
                .collect();
            self.facts(&said);
        });
    }

    /// Leaves pieces out: each file that begins ends, and no panic.
    fn read_with_gaps(self, said: &[(Side, Vec<u8>)], lost: &[u8]) {
        let mut files = Vec::new();
        let mut observer = |place: Place, fact: Fact<'_>| {
            let line = shown(&fact, self.event);
            files.push((place, line));
        };
        let mut reader = (self.reader)();
        for (index, (side, piece)) in said.iter().enumerate() {
            if lost[index % lost.len()] < 40 {
                reader.gap(*side, piece.len() as u64, &mut observer);
            } else {
                reader.data(*side, piece, &mut observer);
            }
        }
        reader.end(&mut observer);
        check_files(&files);
    }
}

fn byte_at(said: &mut Said, mut at: usize) -> &mut u8 {
    for (_, piece) in said {
        if at < piece.len() {
            return &mut piece[at];
        }
        at -= piece.len();
    }
    panic!("within what is said");
}

fn cut(said: &Said, cuts: &[usize]) -> Said {
    let mut pieces = Said::new();
    let mut begin = 0;
    for (side, piece) in said {
        let mut within: Vec<usize> =
            cuts.iter().filter_map(|at| at.checked_sub(begin)).filter(|at| *at < piece.len()).collect();
        within.sort_unstable();
        let mut last = 0;
        for at in within.into_iter().chain([piece.len()]) {
            if at > last {
                pieces.push((*side, piece[last..at].to_vec()));
                last = at;
            }
        }
        begin += piece.len();
    }
    pieces
}

/// The bytes at the place show the fact.
fn check_place(at: &[u8], fact: &Fact<'_>) {
    let is_edited = at.iter().any(|byte| *byte < 0x20 && !matches!(byte, b'\r' | b'\n' | b'\t') || *byte >= 0x7F);
    let holds = |part: &[u8]| is_edited || part.is_empty() || at.windows(part.len()).any(|window| window == part);
    match fact {
        Fact::Login(Login { user, secret, .. }) => {
            assert!(holds(user), "{at:?} holds {user:?}");
            if let Secret::Password(password) = secret {
                assert!(holds(password) || at.contains(&b'"'), "{at:?} holds {password:?}");
            }
        }
        Fact::Command(Command { line }) => assert!(holds(line) || at.contains(&b'"'), "{at:?} holds {line:?}"),
        Fact::File(FileEvent::Part { bytes, .. }) => assert!(bytes.len() <= at.len() + 1),
        _ => {}
    }
}

/// Each file that begins ends once.
fn check_files(facts: &[(Place, String)]) {
    let count = |word: &str| facts.iter().filter(|(_, line)| line.starts_with("file ") && line.contains(word)).count();
    assert_eq!(count(" begins "), count(" ends "), "{facts:?}");
}

fn shown(fact: &Fact<'_>, event: fn(&Fact<'_>) -> String) -> String {
    match fact {
        Fact::Login(Login { user, secret, accepted }) => {
            let secret = match secret {
                Secret::None => "-".to_owned(),
                Secret::Password(password) => format!("'{}'", password.escape_ascii()),
                Secret::Response { mechanism, bytes } => format!("{mechanism} {}", bytes.escape_ascii()),
                Secret::PublicKey { fingerprint } => (*fingerprint).to_owned(),
            };
            let answer = match accepted {
                Some(true) => "accepted",
                Some(false) => "refused",
                None => "unanswered",
            };
            format!("login '{}' {secret} {answer}", user.escape_ascii())
        }
        Fact::Command(Command { line }) => format!("command {}", line.escape_ascii()),
        Fact::File(FileEvent::Begin { file, name, via, bytes_expected }) => {
            let of = bytes_expected.map(|bytes| format!(" of {bytes}")).unwrap_or_default();
            format!("file {} begins {} {via:?}{of}", file.0, name.escape_ascii())
        }
        Fact::File(FileEvent::Part { file, offset, bytes }) => {
            format!("file {} at {offset}: {}", file.0, bytes.escape_ascii())
        }
        Fact::File(FileEvent::End { file, is_complete }) => {
            format!("file {} ends {}", file.0, if *is_complete { "complete" } else { "incomplete" })
        }
        Fact::Oddity(Oddity { kind, what }) => format!("{kind:?} {what}"),
        other => event(other),
    }
}
