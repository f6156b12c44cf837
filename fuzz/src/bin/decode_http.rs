//! Any bytes as an HTTP conversation: no panic, cut anywhere the same, files begin and end in pairs.
#![no_main]

use komainu_decode::http::{Event, Reader};
use komainu_decode::{Decoder, Fact, FileEvent, Place, Side};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert_eq!(told(bytes, usize::MAX), told(bytes, 3));
});

/// What is told of a conversation, but for content, which may come in other pieces. The byte 0xFF changes the side.
fn told(bytes: &[u8], size: usize) -> Vec<String> {
    let mut reader = Reader::default();
    let mut lines = Vec::new();
    let mut open = Vec::new();
    let mut observer = |place: Place, fact: Fact<'_>| match fact {
        Fact::Http(Event::RequestBody { .. }) | Fact::File(FileEvent::Part { .. }) => {}
        Fact::File(FileEvent::Begin { file, .. }) => open.push(file),
        Fact::File(FileEvent::End { file, .. }) => {
            let at = open.iter().position(|open| *open == file).expect("a file ends after it began, once");
            open.remove(at);
        }
        fact => lines.push(format!("{place:?} {fact:?}")),
    };
    let mut side = Side::Client;
    for turn in bytes.split(|byte| *byte == 0xFF) {
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
