//! Rows that are in no file yet, as they stand in the catalog.
//!
//! Column by column: times and numbers as differences, codes of texts with their words before them, numbers with fractions as
//! they are. The first byte is the version of this form.

use std::sync::Arc;

use komainu_ports::{BATCH_ROWS_MAX, LakeKind, LakeRows, LakeTable, LakeValues};

use crate::rollup::{put, take};

const VERSION: u8 = 1;

pub(crate) fn encode(rows: &LakeRows) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + rows.len() * rows.columns().len() * 2);
    bytes.push(VERSION);
    put(&mut bytes, rows.len() as u64);
    for values in rows.columns() {
        match values {
            LakeValues::Time(times) => {
                let mut last = 0_i64;
                for time in times {
                    let difference = time.wrapping_sub(last);
                    put(&mut bytes, (difference << 1 ^ difference >> 63).cast_unsigned());
                    last = *time;
                }
            }
            LakeValues::Number(numbers) => numbers.iter().for_each(|number| put(&mut bytes, u64::from(*number))),
            LakeValues::Float(numbers) => numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes())),
            LakeValues::Text { codes, words } => {
                put(&mut bytes, words.len() as u64);
                for word in words {
                    put(&mut bytes, word.len() as u64);
                    bytes.extend(word.as_bytes());
                }
                codes.iter().for_each(|code| put(&mut bytes, u64::from(*code)));
            }
        }
    }
    bytes
}

/// The rows; none when the bytes are damaged.
pub(crate) fn decode(table: LakeTable, bytes: &[u8]) -> Option<LakeRows> {
    let (version, mut bytes) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let rows = usize::try_from(take(&mut bytes)?).ok().filter(|rows| *rows <= BATCH_ROWS_MAX)?;
    // Each value has a byte at least.
    if rows > bytes.len() {
        return None;
    }
    let mut columns = Vec::with_capacity(table.columns().len());
    for column in table.columns() {
        columns.push(match column.kind {
            LakeKind::Time => {
                let mut last = 0_i64;
                let times = (0..rows).map(|_| {
                    let number = take(&mut bytes)?;
                    last = last.wrapping_add((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
                    Some(last)
                });
                LakeValues::Time(times.collect::<Option<_>>()?)
            }
            LakeKind::Number => {
                let numbers = (0..rows).map(|_| u32::try_from(take(&mut bytes)?).ok());
                LakeValues::Number(numbers.collect::<Option<_>>()?)
            }
            LakeKind::Float => {
                let numbers = (0..rows).map(|_| {
                    let (number, rest) = bytes.split_first_chunk::<8>()?;
                    bytes = rest;
                    Some(f64::from_le_bytes(*number))
                });
                LakeValues::Float(numbers.collect::<Option<_>>()?)
            }
            LakeKind::Text => {
                let count = usize::try_from(take(&mut bytes)?).ok().filter(|count| *count <= bytes.len())?;
                let words = (0..count).map(|_| {
                    let length = usize::try_from(take(&mut bytes)?).ok()?;
                    let (word, rest) = bytes.split_at_checked(length)?;
                    bytes = rest;
                    std::str::from_utf8(word).ok().map(Arc::from)
                });
                let words: Vec<Arc<str>> = words.collect::<Option<_>>()?;
                let codes = (0..rows).map(|_| u32::try_from(take(&mut bytes)?).ok());
                LakeValues::Text { codes: codes.collect::<Option<_>>()?, words }
            }
        });
    }
    if !bytes.is_empty() {
        return None;
    }
    LakeRows::from_columns(table, columns).ok()
}
