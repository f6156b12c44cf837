//! Reading parts.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes};
use komainu_ports::{LakeError, LakeKind, LakeTable};
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;

use super::page::{self, Problem};
use super::write::Written;
use crate::block::{Values, Words};

/// Which part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartName {
    pub(crate) table: LakeTable,
    /// Months since January 1970.
    pub(crate) month: i64,
    /// Its number; no two parts have the same.
    pub(crate) number: i64,
}

/// A part that is there.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: PartName,
    pub(crate) table: LakeTable,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// The earliest and the latest time, in milliseconds since 1970.
    pub(crate) times: (i64, i64),
    /// How many different values the first sorting column has on each day of the month.
    pub(crate) distinct_by_day: Vec<u32>,
    /// Open as long as the part is known: a query goes on to read what a merge has replaced meanwhile.
    file: File,
    layout: OnceLock<ParquetMetaData>,
}

/// A group of rows of a part.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    part: Arc<Part>,
    number: usize,
}

impl Part {
    /// Opens a part of which the catalog says this.
    pub(crate) fn open(path: &Path, name: PartName, written: Written) -> Result<Self, LakeError> {
        let Written { rows, bytes, times, distinct_by_day } = written;
        let table = name.table;
        let damaged = |problem: String| LakeError::Damaged { part: name.to_string(), problem };
        let file = File::open(path).map_err(|error| damaged(error.to_string()))?;
        let length = file.metadata().map_err(|error| damaged(error.to_string()))?.len();
        if length != bytes {
            return Err(damaged(format!("it has {length} bytes instead of {bytes}")));
        }
        Ok(Self { name, table, rows, bytes, times, distinct_by_day, file, layout: OnceLock::new() })
    }

    /// Its groups of rows, in their order.
    pub(crate) fn groups(self: &Arc<Self>) -> Result<Vec<Group>, LakeError> {
        let groups = self.layout()?.num_row_groups();
        Ok((0..groups).map(|number| Group { part: self.clone(), number }).collect())
    }

    fn layout(&self) -> Result<&ParquetMetaData, LakeError> {
        if let Some(layout) = self.layout.get() {
            return Ok(layout);
        }
        let reader = PartBytes { file: &self.file, length: self.bytes };
        let layout = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Required)
            .parse_and_finish(&reader)
            .map_err(|error| self.damaged(error.to_string()))?;
        self.check(&layout)?;
        Ok(self.layout.get_or_init(|| layout))
    }

    /// That the file has the columns of its table, and as many rows as the catalog says.
    fn check(&self, layout: &ParquetMetaData) -> Result<(), LakeError> {
        let schema = layout.file_metadata().schema_descr();
        let columns = self.table.columns();
        let rows = u64::try_from(layout.file_metadata().num_rows()).unwrap_or(0);
        if schema.num_columns() != columns.len() {
            return Err(self.damaged(format!("it has {} columns instead of {}", schema.num_columns(), columns.len())));
        }
        for (place, column) in columns.iter().enumerate() {
            let found = schema.column(place);
            let kind = match column.kind {
                LakeKind::Time => Type::INT64,
                LakeKind::Text => Type::BYTE_ARRAY,
                LakeKind::Number => Type::INT32,
                LakeKind::Float => Type::DOUBLE,
            };
            if found.name() != column.name || found.physical_type() != kind || found.max_def_level() != 0 {
                return Err(self.damaged(format!("its column {} is not {}", found.name(), column.name)));
            }
        }
        let in_groups: i64 = layout.row_groups().iter().map(|group| group.num_rows().max(0)).sum();
        let has_indexes = layout.page_index().is_some_and(|index| index.is_complete());
        if rows != self.rows || in_groups.unsigned_abs() != rows || !has_indexes {
            return Err(self.damaged(format!("it has {rows} rows instead of {}", self.rows)));
        }
        Ok(())
    }

    pub(crate) fn damaged(&self, problem: impl Into<String>) -> LakeError {
        LakeError::Damaged { part: self.name.to_string(), problem: problem.into() }
    }
}

impl Group {
    pub(crate) fn part(&self) -> &Arc<Part> {
        &self.part
    }

    fn layout(&self) -> &ParquetMetaData {
        self.part.layout.get().expect("a group is made of a part whose layout was read")
    }

    pub(crate) fn rows(&self) -> usize {
        usize::try_from(self.layout().row_group(self.number).num_rows()).unwrap_or(0)
    }

    /// The earliest and the latest time.
    pub(crate) fn times(&self) -> (i64, i64) {
        match self.layout().row_group(self.number).column(0).statistics() {
            Some(Statistics::Int64(times)) => match (times.min_opt(), times.max_opt()) {
                (Some(min), Some(max)) => (*min, *max),
                _ => self.part.times,
            },
            _ => self.part.times,
        }
    }

    /// Whether a column of texts may have one of these; true when nothing is known.
    pub(crate) fn may_have(&self, column: usize, texts: &[&str]) -> bool {
        let Some(Statistics::ByteArray(words)) = self.layout().row_group(self.number).column(column).statistics()
        else {
            return true;
        };
        match (words.min_opt(), words.max_opt()) {
            (Some(min), Some(max)) => {
                texts.iter().any(|text| min.data() <= text.as_bytes() && text.as_bytes() <= max.data())
            }
            _ => true,
        }
    }

    /// The values of a column.
    pub(crate) fn column(&self, column: usize) -> Result<Values, LakeError> {
        self.read(column, 0, self.rows())
    }

    /// The values of a column in the rows from `begin` on and before `end`.
    pub(crate) fn column_between(&self, column: usize, begin: usize, end: usize) -> Result<Values, LakeError> {
        let mut values = self.read(column, begin, end)?;
        let first = self.pages(column, begin, end).first().map_or(0, |page| page.first_row_index.max(0) as usize);
        let (begin, end) = (begin - first, end - first);
        match &mut values {
            Values::Time(times) => cut(times, begin, end),
            Values::Coded { codes, .. } => cut(codes, begin, end),
            Values::Float(numbers) => cut(numbers, begin, end),
        }
        Ok(values)
    }

    /// The codes of a column in these rows, which ascend, with all words.
    pub(crate) fn column_at(&self, column: usize, rows: &[u32]) -> Result<Values, LakeError> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return self.read(column, 0, 0) };
        let (begin, end) = (*first as usize, *last as usize + 1);
        if !matches!(self.part.table.columns()[column].kind, LakeKind::Text | LakeKind::Number) {
            let relative: Vec<u32> = rows.iter().map(|row| row - first).collect();
            return Ok(self.column_between(column, begin, end)?.at(&relative));
        }
        self.told(self.read_pages(column, begin, end, Some(rows)))
    }

    /// The rows that a text has in the first sorting column: from the first, and before the second.
    pub(crate) fn rows_of(&self, column: usize, text: &str) -> Result<(usize, usize), LakeError> {
        let nothing = Ok((0, 0));
        if !self.may_have(column, &[text]) {
            return nothing;
        }
        let locations = self.locations(column);
        let index = self.layout().page_index().and_then(|index| index.column_index(self.number, column));
        let Some(parquet::file::page_index::column_index::ColumnIndexMetaData::BYTE_ARRAY(index)) = index else {
            return nothing;
        };
        let mut begin = usize::MAX;
        let mut end = 0;
        for (place, page) in locations.iter().enumerate() {
            let first = page.first_row_index.max(0) as usize;
            let next = locations.get(place + 1).map_or(self.rows(), |next| next.first_row_index.max(0) as usize);
            let may_have = match (index.min_value(place), index.max_value(place)) {
                (Some(min), Some(max)) => min <= text.as_bytes() && text.as_bytes() <= max,
                _ => true,
            };
            if may_have {
                begin = begin.min(first);
                end = end.max(next);
            }
        }
        if begin >= end {
            return nothing;
        }
        let Values::Coded { codes, words } = self.column_between(column, begin, end)? else { return nothing };
        let Some(code) = words.iter().position(|word| word == crate::block::Word::Text(text)) else { return nothing };
        let code = code as u32;
        // Codes are given in the order in which words come, and the rows are sorted by this column.
        let from = codes.partition_point(|other| *other < code);
        let to = codes.partition_point(|other| *other <= code);
        Ok((begin + from, begin + to))
    }

    fn locations(&self, column: usize) -> &[PageLocation] {
        let index = self.layout().page_index().and_then(|index| index.offset_index(self.number, column));
        index.map_or(&[], |index| index.page_locations())
    }

    /// The pages that have these rows.
    fn pages(&self, column: usize, begin: usize, end: usize) -> &[PageLocation] {
        let all = self.locations(column);
        let first = all.partition_point(|page| page.first_row_index.max(0) as usize <= begin).saturating_sub(1);
        let last = all.partition_point(|page| (page.first_row_index.max(0) as usize) < end);
        &all[first.min(last)..last]
    }

    fn read(&self, column: usize, begin: usize, end: usize) -> Result<Values, LakeError> {
        self.told(self.read_pages(column, begin, end, None))
    }

    fn told(&self, values: Result<Values, ReadProblem>) -> Result<Values, LakeError> {
        values.map_err(|error| match error {
            ReadProblem::Page(problem) => self.part.damaged(problem),
            ReadProblem::Parquet(error) => self.part.damaged(error.to_string()),
            ReadProblem::Disk(source) => LakeError::Unavailable { doing: "reading a part", source: source.into() },
        })
    }

    /// The values of the pages that have these rows; with `only`, codes of those rows, which ascend.
    fn read_pages(&self, column: usize, begin: usize, end: usize, only: Option<&[u32]>) -> Result<Values, ReadProblem> {
        let chunk = self.layout().row_group(self.number).column(column);
        let (start, length) = chunk.byte_range();
        let all = self.locations(column);
        let pages = self.pages(column, begin, end);
        let (Some(first), Some(last)) = (pages.first(), pages.last()) else { return Err("it has no pages".into()) };
        let data_begin = first.offset.max(0) as u64;
        let data_end = last.offset.max(0) as u64 + last.compressed_page_size.max(0) as u64;
        let words_end = all.first().map_or(start, |page| page.offset.max(0) as u64);
        let is_in_order = start <= words_end && words_end <= data_begin && data_begin <= data_end;
        let chunk_end = start.checked_add(length).filter(|end| *end <= self.part.bytes);
        if !is_in_order || chunk_end.is_none_or(|end| data_end > end) {
            return Err("its pages are not where it says".into());
        }
        let mut bytes = ChunkBytes::default();
        let mut locations = Vec::with_capacity(pages.len() + 1);
        if words_end > start {
            let compressed_page_size = i32::try_from(words_end - start).map_err(|_| "its dictionary is too large")?;
            locations.push(PageLocation { offset: first_offset(start), compressed_page_size, first_row_index: 0 });
            bytes.read(&self.part.file, start, if words_end == data_begin { data_end } else { words_end })?;
        }
        if words_end == start || words_end < data_begin {
            bytes.read(&self.part.file, data_begin, data_end)?;
        }
        locations.extend_from_slice(pages);
        let first_row = first.first_row_index.max(0) as usize;
        let values = match only {
            Some(only) => only.len(),
            None => {
                let after = all.partition_point(|page| page.offset <= last.offset);
                let end = all.get(after).map_or(self.rows(), |page| page.first_row_index.max(0) as usize);
                end.saturating_sub(first_row)
            }
        };
        // The reader takes what lies before its first page for a dictionary.
        let told = chunk.clone().into_builder().set_data_page_offset(first_offset(data_begin)).build()?;
        let mut reader = SerializedPageReader::new(Arc::new(bytes), &told, self.rows(), Some(locations))?;
        let mut decoded = Decoded::new(self.part.table.columns()[column].kind, values);
        let (mut only, mut at) = (only, first_row);
        while let Some(page) = reader.get_next_page()? {
            let rows = only.as_mut().filter(|_| !matches!(page, Page::DictionaryPage { .. })).map(|only| {
                let end = at + page.num_values() as usize;
                let (here, later) = only.split_at(only.partition_point(|row| (*row as usize) < end));
                *only = later;
                here.iter().map(|row| row.saturating_sub(at as u32)).collect::<Vec<u32>>()
            });
            match rows {
                None => decoded.take(&page)?,
                Some(rows) => {
                    decoded.take_rows(&page, &rows)?;
                    at += page.num_values() as usize;
                }
            }
        }
        decoded.finish(values).map_err(ReadProblem::Page)
    }
}

fn first_offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn cut<T>(values: &mut Vec<T>, begin: usize, end: usize) {
    values.truncate(end);
    values.drain(..begin.min(values.len()));
}

/// The values of the pages of a column so far.
struct Decoded {
    values: Values,
    has_words: bool,
}

impl Decoded {
    fn new(kind: LakeKind, values: usize) -> Self {
        let values = match kind {
            LakeKind::Time => Values::Time(Vec::with_capacity(values)),
            LakeKind::Text => {
                let words = Words::Page { text: String::new(), ends: Vec::new() };
                Values::Coded { codes: Vec::with_capacity(values), words }
            }
            LakeKind::Number => Values::Coded { codes: Vec::with_capacity(values), words: Words::Numbers(Vec::new()) },
            LakeKind::Float => Values::Float(Vec::with_capacity(values)),
        };
        Self { values, has_words: false }
    }

    fn take(&mut self, page: &Page) -> Result<(), Problem> {
        match (page, &mut self.values) {
            (Page::DictionaryPage { buf, num_values, .. }, Values::Coded { words, .. }) if !self.has_words => {
                let count = *num_values as usize;
                *words = match words {
                    Words::Numbers(_) => Words::Numbers(page::numbers(buf, count)?),
                    Words::Page { .. } | Words::Shared(_) => page::texts(buf, count)?,
                };
                self.has_words = true;
                Ok(())
            }
            (Page::DataPage { buf, num_values, encoding, .. }, values) => {
                let count = *num_values as usize;
                match (values, encoding) {
                    (Values::Coded { codes, words }, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY) => {
                        page::codes(buf, count, words.len(), codes)
                    }
                    (Values::Time(times), Encoding::DELTA_BINARY_PACKED) => page::differences(buf, count, times),
                    (Values::Float(numbers), Encoding::PLAIN) => page::floats(buf, count, numbers),
                    _ => Err("a page is coded in another way"),
                }
            }
            _ => Err("a page is of another kind"),
        }
    }

    fn take_rows(&mut self, page: &Page, rows: &[u32]) -> Result<(), Problem> {
        match (page, &mut self.values) {
            (
                Page::DataPage {
                    buf, num_values, encoding: Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY, ..
                },
                Values::Coded { codes, words },
            ) => page::codes_at(buf, *num_values as usize, words.len(), rows, codes),
            _ => Err("a page is of another kind"),
        }
    }

    fn finish(self, values: usize) -> Result<Values, Problem> {
        let found = match &self.values {
            Values::Time(times) => times.len(),
            Values::Coded { codes, .. } => codes.len(),
            Values::Float(numbers) => numbers.len(),
        };
        if found == values { Ok(self.values) } else { Err("a column has another number of values") }
    }
}

enum ReadProblem {
    Page(Problem),
    Parquet(ParquetError),
    Disk(io::Error),
}

impl From<Problem> for ReadProblem {
    fn from(problem: Problem) -> Self {
        Self::Page(problem)
    }
}

impl From<ParquetError> for ReadProblem {
    fn from(error: ParquetError) -> Self {
        Self::Parquet(error)
    }
}

impl From<io::Error> for ReadProblem {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Some stretches of a file, read at once.
#[derive(Debug, Default)]
struct ChunkBytes(Vec<(u64, Bytes)>);

impl ChunkBytes {
    fn read(&mut self, file: &File, begin: u64, end: u64) -> io::Result<()> {
        let length = usize::try_from(end.saturating_sub(begin)).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, begin)?;
        self.0.push((begin, bytes.into()));
        Ok(())
    }
}

impl Length for ChunkBytes {
    fn len(&self) -> u64 {
        self.0.last().map_or(0, |(begin, bytes)| begin + bytes.len() as u64)
    }
}

impl ChunkReader for ChunkBytes {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let (begin, bytes) = self.stretch(start)?;
        Ok(bytes.slice((start - begin) as usize..).reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let (begin, bytes) = self.stretch(start)?;
        let from = (start - begin) as usize;
        match from.checked_add(length).filter(|to| *to <= bytes.len()) {
            Some(to) => Ok(bytes.slice(from..to)),
            None => Err(ParquetError::EOF("a page goes on behind its end".to_owned())),
        }
    }
}

impl ChunkBytes {
    fn stretch(&self, start: u64) -> parquet::errors::Result<(u64, &Bytes)> {
        let found = self.0.iter().find(|(begin, bytes)| (*begin..=*begin + bytes.len() as u64).contains(&start));
        found
            .map(|(begin, bytes)| (*begin, bytes))
            .ok_or_else(|| ParquetError::EOF("a page is not where it should be".to_owned()))
    }
}

/// A file of a known length, for its layout.
struct PartBytes<'a> {
    file: &'a File,
    length: u64,
}

impl Length for PartBytes<'_> {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for PartBytes<'_> {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let length = usize::try_from(self.length.saturating_sub(start)).unwrap_or(0);
        Ok(Box::new(self.get_bytes(start, length)?.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF("the file ends before what it says that it has".to_owned()));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

impl std::fmt::Display for PartName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month) = (self.month.div_euclid(12) + 1970, self.month.rem_euclid(12) + 1);
        write!(f, "{}/month={year:04}-{month:02}/{}.parquet", self.table.as_str(), self.number)
    }
}
