//! A file of the lake: rows of one table and one month, sorted as the table is, in Parquet.
//!
//! Groups of rows are small enough that one is a unit of work, and pages small enough that the rows of one source are found
//! without reading others'. Texts and whole numbers are coded by a dictionary for each group, times by their differences.

pub(crate) mod page;
mod read;
mod write;

pub(crate) use self::read::{Group, Part, PartName};
pub(crate) use self::write::{PartWriter, Written, sorted_order};

use komainu_ports::LakeTable;

/// So many rows a group has at most: other programs divide work by groups, and their codes fit the cache of a core.
pub(crate) const GROUP_ROWS_MAX: usize = 131_072;

/// So many rows a page has at most.
pub(crate) const PAGE_ROWS_MAX: usize = 16_384;

/// The words of one group and column are fewer bytes than this, so that they are always a dictionary.
pub(crate) const GROUP_WORDS_BYTES_MAX: usize = 32 << 20;

/// The columns by which a table's rows are sorted, before their time: what one asks for one of stands together, and is
/// written once.
pub(crate) const fn sort_columns(table: LakeTable) -> &'static [usize] {
    match table {
        // By source.
        LakeTable::Attacks => &[1],
        // By kind and value.
        LakeTable::Observables => &[1, 2],
        // By device and metric.
        LakeTable::Datapoints => &[1, 2],
        // By device.
        LakeTable::Connections => &[1],
    }
}
