//! Writing parts.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use komainu_model::Timestamp;
use komainu_ports::{LakeKind, LakeRows, LakeTable, LakeValues, TimeBucket};
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

use super::{GROUP_ROWS_MAX, GROUP_WORDS_BYTES_MAX, PAGE_ROWS_MAX, sort_columns};
use crate::merge::picked;

/// How hard zstd tries: a higher level than this saves less than a hundredth of the space.
const ZSTD_LEVEL: i32 = 3;

/// Writes a part. What is written is forced to the disk at the end.
pub(crate) struct PartWriter {
    table: LakeTable,
    file: SerializedFileWriter<File>,
    /// Rows of a group that is not full yet.
    pending: Vec<LakeRows>,
    pending_rows: usize,
    pending_words_bytes: usize,
    rows: u64,
    times: (i64, i64),
    distinct: DistinctByDay,
}

/// What is known of a part that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) times: (i64, i64),
    pub(crate) distinct_by_day: Vec<u32>,
}

/// Counts the different values of the first sorting column on each day; rows come sorted by it.
#[derive(Debug, Default)]
struct DistinctByDay {
    first_day: i64,
    word: Option<Arc<str>>,
    /// The days of the month on which the word was seen, a bit for each.
    days: u32,
    counts: [u32; 32],
}

impl PartWriter {
    pub(crate) fn create(path: &Path, table: LakeTable, month: i64) -> io::Result<Self> {
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
        let file = SerializedFileWriter::new(file, schema(table).map_err(other)?, Arc::new(properties(table)))
            .map_err(other)?;
        let first_day = TimeBucket::Day.number(TimeBucket::Month.start(month));
        Ok(Self {
            table,
            file,
            pending: Vec::new(),
            pending_rows: 0,
            pending_words_bytes: 0,
            rows: 0,
            times: (i64::MAX, i64::MIN),
            distinct: DistinctByDay { first_day, ..DistinctByDay::default() },
        })
    }

    /// Adds rows of the month that are sorted and follow those before.
    pub(crate) fn write(&mut self, rows: &LakeRows) -> io::Result<()> {
        let mut begin = 0;
        while begin < rows.len() {
            let room = GROUP_ROWS_MAX - self.pending_rows;
            let end = rows.len().min(begin + room);
            let piece = if end - begin == rows.len() {
                rows.clone()
            } else {
                let places: Vec<u32> = (begin as u32..end as u32).collect();
                picked(rows, &places).map_err(io::Error::other)?
            };
            self.pending_words_bytes += words_bytes(&piece);
            self.pending_rows += piece.len();
            self.pending.push(piece);
            if self.pending_rows >= GROUP_ROWS_MAX || self.pending_words_bytes >= GROUP_WORDS_BYTES_MAX {
                self.write_group()?;
            }
            begin = end;
        }
        Ok(())
    }

    /// Ends the file; durable on return.
    pub(crate) fn finish(mut self) -> io::Result<Written> {
        if self.pending_rows > 0 {
            self.write_group()?;
        }
        self.distinct.end_word();
        let mut file = self.file.into_inner().map_err(other)?;
        file.flush()?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        let distinct_by_day = self.distinct.counts.to_vec();
        Ok(Written { rows: self.rows, bytes, times: self.times, distinct_by_day })
    }

    fn write_group(&mut self) -> io::Result<()> {
        let pieces = std::mem::take(&mut self.pending);
        for piece in &pieces {
            for time in piece.times() {
                self.times = (self.times.0.min(*time), self.times.1.max(*time));
            }
            self.distinct.count(piece, sort_columns(self.table)[0]);
        }
        let mut group = self.file.next_row_group().map_err(other)?;
        for column in 0..self.table.columns().len() {
            write_column(&mut group, &pieces, column).map_err(other)?;
        }
        group.close().map_err(other)?;
        self.rows += self.pending_rows as u64;
        (self.pending_rows, self.pending_words_bytes) = (0, 0);
        Ok(())
    }
}

fn write_column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    pieces: &[LakeRows],
    column: usize,
) -> Result<(), ParquetError> {
    let mut writer = group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
    let mut numbers_of: Vec<i32> = Vec::new();
    let mut texts: Vec<ByteArray> = Vec::new();
    for piece in pieces {
        match &piece.columns()[column] {
            LakeValues::Time(times) => {
                writer.typed::<Int64Type>().write_batch(times, None, None)?;
            }
            LakeValues::Float(numbers) => {
                writer.typed::<DoubleType>().write_batch(numbers, None, None)?;
            }
            LakeValues::Number(numbers) => {
                numbers_of.clear();
                numbers_of.extend(numbers.iter().map(|number| number.cast_signed()));
                writer.typed::<Int32Type>().write_batch(&numbers_of, None, None)?;
            }
            LakeValues::Text { codes, words } => {
                let words: Vec<ByteArray> =
                    words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes()).into()).collect();
                // A page at a time: the same memory serves for all of them.
                for codes in codes.chunks(PAGE_ROWS_MAX) {
                    texts.clear();
                    texts.extend(codes.iter().map(|code| words[*code as usize].clone()));
                    writer.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
                }
            }
        }
    }
    writer.close()
}

impl DistinctByDay {
    fn count(&mut self, rows: &LakeRows, column: usize) {
        let LakeValues::Text { codes, words } = &rows.columns()[column] else { return };
        let mut before = None;
        for (code, time) in codes.iter().zip(rows.times()) {
            if before != Some(*code) {
                before = Some(*code);
                let word = &words[*code as usize];
                if self.word.as_ref() != Some(word) {
                    self.end_word();
                    self.word = Some(word.clone());
                }
            }
            let day = TimeBucket::Day.number(Timestamp::from_unix_millis(*time)) - self.first_day;
            self.days |= 1 << day.clamp(0, 31);
        }
    }

    fn end_word(&mut self) {
        let mut days = std::mem::take(&mut self.days);
        while days != 0 {
            self.counts[days.trailing_zeros() as usize] += 1;
            days &= days - 1;
        }
    }
}

/// The order in which rows are sorted: their places.
pub(crate) fn sorted_order(rows: &LakeRows) -> Vec<u32> {
    let times = rows.times();
    let first = times.iter().copied().min().unwrap_or(0);
    let span_bits = 64 - times.iter().map(|time| time.wrapping_sub(first) as u64).max().unwrap_or(0).leading_zeros();
    // The ranks of all sorting columns in one number.
    let mut ranks: Vec<u64> = vec![0; rows.len()];
    let mut rank_bits = 0;
    for column in sort_columns(rows.table()) {
        let LakeValues::Text { codes, words } = &rows.columns()[*column] else { continue };
        let mut by_word: Vec<u32> = (0..words.len() as u32).collect();
        by_word.sort_unstable_by(|a, b| words[*a as usize].cmp(&words[*b as usize]));
        let mut rank_of = vec![0_u64; words.len()];
        let mut rank = 0;
        for (place, code) in by_word.iter().enumerate() {
            if place > 0 && words[by_word[place - 1] as usize] != words[*code as usize] {
                rank += 1;
            }
            rank_of[*code as usize] = rank;
        }
        let bits = 64 - (words.len() as u64).leading_zeros();
        for (rank, code) in ranks.iter_mut().zip(codes) {
            *rank = *rank << bits | rank_of[*code as usize];
        }
        rank_bits += bits;
    }
    if rank_bits + span_bits <= 64 {
        let mut keyed: Vec<(u64, u32)> = ranks
            .iter()
            .zip(times)
            .zip(0..)
            .map(|((rank, time), place)| (rank << span_bits.min(63) | time.wrapping_sub(first) as u64, place))
            .collect();
        keyed.sort_unstable();
        return keyed.into_iter().map(|(_, place)| place).collect();
    }
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_unstable_by_key(|place| (ranks[*place as usize], times[*place as usize], *place));
    order
}

fn words_bytes(rows: &LakeRows) -> usize {
    let of = |values: &LakeValues| match values {
        LakeValues::Text { words, .. } => words.iter().map(|word| word.len() + 4).sum(),
        LakeValues::Time(_) | LakeValues::Number(_) | LakeValues::Float(_) => 0,
    };
    // The columns share the bound: more than one of them with long texts is rare.
    rows.columns().iter().map(of).sum()
}

fn schema(table: LakeTable) -> Result<Arc<Type>, ParquetError> {
    let columns = table.columns().iter().map(|column| {
        let (physical, logical) = match column.kind {
            LakeKind::Time => {
                let unit = TimeUnit::MILLIS;
                (Physical::INT64, Some(LogicalType::timestamp(true, unit)))
            }
            LakeKind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            LakeKind::Number => (Physical::INT32, Some(LogicalType::integer(32, false))),
            LakeKind::Float => (Physical::DOUBLE, None),
        };
        let column = Type::primitive_type_builder(column.name, physical)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(logical)
            .build()?;
        Ok(Arc::new(column))
    });
    let columns = columns.collect::<Result<Vec<_>, ParquetError>>()?;
    Ok(Arc::new(Type::group_type_builder(table.as_str()).with_fields(columns).build()?))
}

fn properties(table: LakeTable) -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("the level is one of zstd's");
    let sorting = sort_columns(table).iter().chain(&[0]).map(|column| SortingColumn {
        column_idx: *column as i32,
        descending: false,
        nulls_first: false,
    });
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(concat!("komainu ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_data_page_size_limit(usize::MAX)
        .set_write_batch_size(PAGE_ROWS_MAX)
        .set_dictionary_page_size_limit(usize::MAX)
        .set_max_row_group_row_count(None)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting.collect()));
    for column in table.columns() {
        let path = ColumnPath::from(column.name);
        match column.kind {
            LakeKind::Time => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            LakeKind::Float => properties = properties.set_column_dictionary_enabled(path, false),
            LakeKind::Text | LakeKind::Number => {}
        }
    }
    properties.build()
}

fn other(error: ParquetError) -> io::Error {
    match error {
        // A full disk is to be seen as one.
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => *source,
            Err(source) => io::Error::other(source),
        },
        error => io::Error::other(error),
    }
}
