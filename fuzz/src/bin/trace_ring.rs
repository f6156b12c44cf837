//! A byte for the order of bytes, a length and a `format` file of that length, then a page of a kernel's trace: no panic,
//! it ends, records lie within the page and behind each other.
#![no_main]

use komainu_trace::ring::{Format, PageLayout};

const HEADER: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
    \tfield: local_t commit;\toffset:8;\tsize:4;\tsigned:1;\n\tfield: char data;\toffset:12;\tsize:4080;\tsigned:1;\n";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[order, low, high], rest)) = bytes.split_first_chunk() else { return };
    let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
    let (text, page) = rest.split_at(length);
    let text = String::from_utf8_lossy(text);
    PageLayout::parse(order & 1 == 1, &text);
    let layout = PageLayout::parse(order & 1 == 1, HEADER).expect("the text above has all fields");
    let format = Format::parse(&text);
    let fields: Vec<_> = ["common_pid", "name", "id", "args"]
        .into_iter()
        .filter_map(|name| format.as_ref()?.field(name))
        .chain(['a', 'h'].into_iter().filter_map(|letter| format.as_ref()?.words(letter)))
        .collect();
    let mut all = 0;
    for record in layout.page(page).into_iter().flatten() {
        all += record.bytes.len() + 4;
        for field in &fields {
            assert!(field.bytes(&layout, record.bytes).is_none_or(|bytes| bytes.len() <= record.bytes.len()));
            field.signed(&layout, record.bytes);
            field.text(&layout, record.bytes);
        }
    }
    assert!(all <= page.len());
});
