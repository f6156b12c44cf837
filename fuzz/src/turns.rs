//! A conversation made of any bytes, for the targets that read one.

use komainu_decode::{Decoder, Fact, FileEvent, Place, Side};

/// The byte that changes the side.
const TURN: u8 = 0x1E;

/// What the decoder tells of a conversation in pieces of at most `size` bytes, but for the bytes of files, which may
/// come in other pieces. Fails when a file ends that did not begin, or does not end.
pub fn told(mut reader: impl Decoder, bytes: &[u8], size: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = Vec::new();
    let mut observer = |place: Place, fact: Fact<'_>| {
        match fact {
            Fact::File(FileEvent::Part { .. }) => return,
            Fact::File(FileEvent::Begin { file, .. }) => open.push(file),
            Fact::File(FileEvent::End { file, .. }) => {
                let at = open.iter().position(|open| *open == file).expect("a file ends after it began, once");
                open.remove(at);
            }
            _ => {}
        }
        lines.push(format!("{place:?} {fact:?}"));
    };
    let mut side = Side::Client;
    for turn in bytes.split(|byte| *byte == TURN) {
        for piece in turn.chunks(size) {
            reader.data(side, piece, &mut observer);
        }
        side = side.other();
    }
    reader.finish(Side::Client, &mut observer);
    reader.finish(Side::Server, &mut observer);
    reader.end(&mut observer);
    assert!(open.is_empty(), "each file ends");
    lines
}
