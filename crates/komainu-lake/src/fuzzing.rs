//! Entrances for fuzz targets.

use komainu_ports::LakeTable;

use crate::block::Words;
use crate::hot;
use crate::part::page;
use crate::rollup::Cells;

/// Any bytes as a page of a part, in each encoding, with a number of values that the first two bytes say: no panic, as many
/// values as were asked for or a reason why not, and no code without a word.
pub fn page(bytes: &[u8]) {
    let Some((head, page)) = bytes.split_first_chunk::<2>() else { return };
    let values = usize::from(u16::from_le_bytes(*head));
    let mut codes = Vec::new();
    if page::codes(page, values, 300, &mut codes).is_ok() {
        assert_eq!(codes.len(), values);
        assert!(codes.iter().all(|code| *code < 300), "each code has a word");
    }
    // Rows that are read by themselves have what they have among the others.
    let rows: Vec<u32> = (0..u32::from(u16::from_le_bytes(*head))).step_by(3).collect();
    let mut of_rows = Vec::new();
    let is_read = page::codes_at(page, values, 300, &rows, &mut of_rows).is_ok();
    if codes.len() == values && codes.iter().all(|code| *code < 300) {
        assert!(is_read && rows.iter().zip(&of_rows).all(|(row, code)| codes[*row as usize] == *code));
    }
    let mut times = Vec::new();
    if page::differences(page, values, &mut times).is_ok() {
        assert_eq!(times.len(), values);
    }
    if let Ok(words @ Words::Page { .. }) = page::texts(page, values) {
        assert_eq!(words.iter().count(), values);
    }
    let mut floats = Vec::new();
    if page::floats(page, values, &mut floats).is_ok() {
        assert_eq!(floats.len(), values);
    }
    if let Ok(numbers) = page::numbers(page, values) {
        assert_eq!(numbers.len(), values);
    }
}

/// Any bytes as rows of the catalog, and as counts: no panic, and what is read is the same when it was written again.
pub fn catalog(bytes: &[u8]) {
    for table in LakeTable::ALL {
        if let Some(rows) = hot::decode(table, bytes) {
            // Of a number with a fraction that is none, not even itself is the same.
            assert_eq!(hot::decode(table, &hot::encode(&rows)).map(|again| again.len()), Some(rows.len()));
        }
    }
    if let Some(cells) = Cells::decode(bytes) {
        assert_eq!(Cells::decode(&cells.encode()).as_ref(), Some(&cells));
    }
}
