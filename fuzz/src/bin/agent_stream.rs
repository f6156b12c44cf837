//! Any bytes as what a guest says: no panic, cut anywhere the same, never more told than was said.
#![no_main]

use komainu_trace::{GuestItem, GuestReader};

fn told(bytes: &[u8], piece: usize) -> Vec<GuestItem> {
    let mut reader = GuestReader::default();
    let mut items: Vec<_> = bytes.chunks(piece).flat_map(|piece| reader.push(piece)).collect();
    items.extend(reader.finish());
    items
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let whole = told(bytes, usize::MAX);
    assert!(whole.len() <= bytes.len());
    assert_eq!(whole, told(bytes, 3));
});
