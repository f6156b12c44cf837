//! Any bytes as an RTSP conversation: no panic, a stream is the same cut anywhere.
#![no_main]

use komainu_decode::rtsp::Reader;
use komainu_decode::{Decoder, Fact, Place, Side};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert_eq!(told(bytes, usize::MAX), told(bytes, 3));
});

/// What is told of a conversation. The byte 0xFF changes the side.
fn told(bytes: &[u8], size: usize) -> Vec<String> {
    let mut reader = Reader::default();
    let mut lines = Vec::new();
    let mut observer = |place: Place, fact: Fact<'_>| lines.push(format!("{place:?} {fact:?}"));
    let mut side = Side::Client;
    for turn in bytes.split(|byte| *byte == 0xFF) {
        for piece in turn.chunks(size) {
            reader.data(side, piece, &mut observer);
        }
        side = side.other();
    }
    reader.end(&mut observer);
    lines
}
