//! A capture file: whatever it holds, it is read to its end or refused, each flow ends once, and the same file shows
//! the same facts when it is read in other pieces.
#![no_main]

use komainu_decode::capture::{CaptureReader, Next, PacketTime};
use komainu_decode::flows::{EndReason, Flow, FlowLimits, FlowObserver, FlowTable};
use komainu_decode::{Fact, Place};
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
struct Counts {
    begun: usize,
    ended: usize,
    facts: usize,
}

impl FlowObserver for Counts {
    fn begin(&mut self, _: &Flow) {
        self.begun += 1;
    }

    fn fact(&mut self, _: &Flow, _: PacketTime, _: Place, _: Fact<'_>) {
        self.facts += 1;
    }

    fn end(&mut self, _: &Flow, _: EndReason) {
        self.ended += 1;
    }
}

/// Reads a capture of which at most `piece` bytes more are known each time.
fn read(file: &[u8], piece: usize) -> Counts {
    let (mut reader, mut counts) = (CaptureReader::default(), Counts::default());
    let mut table = FlowTable::new(FlowLimits { flows_max: 64, ..FlowLimits::default() });
    let (mut at, mut known) = (0, piece.min(file.len()));
    while let Ok(next) = reader.next(&file[at..known]) {
        match next {
            Next::Frame { frame, used } => {
                table.frame(&frame, &mut counts);
                at += used;
            }
            Next::Other { used } => at += used,
            Next::More { .. } if known < file.len() => known = (known + piece).min(file.len()),
            Next::More { .. } => break,
        }
    }
    table.finish(&mut counts);
    counts
}

fuzz_target!(|file: &[u8]| {
    let whole = read(file, usize::MAX);
    let pieces = read(file, 7);
    assert_eq!(whole.begun, whole.ended);
    assert_eq!((whole.begun, whole.facts), (pieces.begun, pieces.facts));
});
