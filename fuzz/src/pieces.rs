//! A conversation of pieces that have their side and their length in front, for the targets that read one.

use komainu_decode::{Decoder, Fact, FileEvent, FileNumber, Place, Side};

/// What is told of a conversation, but for parts of files, which may come in other pieces. For each piece there is its
/// side (`C`, `S`, or `G` and `H` for what is lost of them), two bytes of length, and as many bytes as are there.
pub fn told(mut reader: impl Decoder, mut bytes: &[u8], size: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Vec<FileNumber> = Vec::new();
    let mut observer = |place: Place, fact: Fact<'_>| match fact {
        Fact::File(FileEvent::Part { file, .. }) => assert!(open.contains(&file), "a part is of a file that is open"),
        Fact::File(FileEvent::Begin { file, .. }) => open.push(file),
        Fact::File(FileEvent::End { file, .. }) => {
            let at = open.iter().position(|open| *open == file).expect("a file ends after it began, once");
            open.remove(at);
        }
        fact => lines.push(format!("{place:?} {fact:?}")),
    };
    while let [what, high, low, rest @ ..] = bytes {
        let length = u16::from_be_bytes([*high, *low]);
        bytes = rest;
        match what {
            b'G' => reader.gap(Side::Client, length.into(), &mut observer),
            b'H' => reader.gap(Side::Server, length.into(), &mut observer),
            _ => {
                let side = if *what == b'C' { Side::Client } else { Side::Server };
                let (piece, behind) = rest.split_at(rest.len().min(length.into()));
                for piece in piece.chunks(size) {
                    reader.data(side, piece, &mut observer);
                }
                bytes = behind;
            }
        }
    }
    reader.finish(Side::Client, &mut observer);
    reader.finish(Side::Server, &mut observer);
    reader.end(&mut observer);
    assert!(open.is_empty(), "each file ends");
    lines
}
