//! Pages of the kernel's trace, as `trace_pipe_raw` gives them, and the fields of its events.
//!
//! The layout is that of Linux's `kernel/trace/ring_buffer.c` and `include/linux/ring_buffer.h` (6.1); what differs from
//! kernel to kernel it says itself, in `header_page` and in the `format` files of events. A guest that was taken over may
//! send any bytes: what does not fit is left out, and a page is read once from its begin to its end.

/// Fields of one event that are kept. The longest that is read has 24 words of arguments.
const FIELDS_MAX: usize = 64;

/// No record is longer than a page, which has at most 64 KiB on any processor; in bytes.
const RECORD_BYTES_MAX: usize = 64 * 1024;

/// How many bits of a time that is absolute are told; the highest five are those of the page.
const ABSOLUTE_BITS: u32 = 59;

/// The order of bytes and the layout of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLayout {
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
    /// Where the time of the page is, in bytes from its begin.
    time_at: usize,
    /// Where it says how much of it is used, and in how many bytes it says so.
    used_at: usize,
    used_bytes: usize,
    /// Where the records begin.
    records_at: usize,
}

impl PageLayout {
    /// Reads the kernel's `header_page`. None if a field is missing or no kernel's.
    pub fn parse(big_endian: bool, text: &str) -> Option<Self> {
        let fields: Vec<Field> = text.lines().filter_map(Field::parse).collect();
        let field = |name: &str| fields.iter().find(|field| field.name == name);
        let (time, used, data) = (field("timestamp")?, field("commit")?, field("data")?);
        let fits = time.bytes == 8 && matches!(used.bytes, 4 | 8) && used.at <= 64 && data.at <= 64 && time.at <= 64;
        fits.then_some(Self {
            big_endian,
            time_at: time.at,
            used_at: used.at,
            used_bytes: used.bytes,
            records_at: data.at,
        })
    }

    /// Reads a number of one to eight bytes.
    pub fn number(&self, bytes: &[u8]) -> Option<u64> {
        if bytes.is_empty() || bytes.len() > 8 {
            return None;
        }
        let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        Some(if self.big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
    }

    /// Opens a page. None if it is too short to be one.
    pub fn page<'a>(&self, bytes: &'a [u8]) -> Option<Page<'a>> {
        // Set by the kernel in the highest bits of the length: events are missing before this page, and how many is
        // written behind its records.
        const MISSING: u64 = 1 << 31;
        const MISSING_COUNTED: u64 = 1 << 30;
        const LENGTH: u64 = 0xf_ffff;
        let field = |at: usize, length: usize| self.number(bytes.get(at..at + length)?);
        let time = field(self.time_at, 8)?;
        let used = field(self.used_at, self.used_bytes)?;
        let all = bytes.get(self.records_at..)?;
        let length = usize::try_from(used & LENGTH).unwrap_or(usize::MAX).min(all.len());
        let (records, behind) = all.split_at(length);
        let counted = || behind.get(..self.used_bytes).and_then(|count| self.number(count));
        let missing = match (used & MISSING != 0, used & MISSING_COUNTED != 0) {
            (false, _) => None,
            (true, true) => Some(counted().unwrap_or_default()),
            (true, false) => Some(0),
        };
        Some(Page { layout: *self, rest: records, now_ns: time, page_ns: time, missing })
    }
}

/// The records of a page, in order.
#[derive(Debug, Clone)]
pub struct Page<'a> {
    layout: PageLayout,
    rest: &'a [u8],
    now_ns: u64,
    page_ns: u64,
    /// How many events are missing before this page; zero if it is not known how many.
    pub missing: Option<u64>,
}

/// One event as it lies in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When, in nanoseconds of the trace's clock.
    pub at_ns: u64,
    /// What [`Format`] describes.
    pub bytes: &'a [u8],
}

impl Page<'_> {
    fn word(&self, at: usize) -> Option<u32> {
        let word = self.layout.number(self.rest.get(at..at + 4)?)?;
        u32::try_from(word).ok()
    }
}

impl<'a> Iterator for Page<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            let head = self.word(0)?;
            // A bit field: the kind comes first in memory, which is the low end where the low byte is first.
            let (kind, delta) =
                if self.layout.big_endian { (head >> 27, head & 0x7ff_ffff) } else { (head & 0x1f, head >> 5) };
            let delta = u64::from(delta);
            let words = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
            match kind {
                // Padding: without a time the page ends here, with one a record was taken back.
                29 => {
                    if delta == 0 {
                        return None;
                    }
                    let length = words(self.word(4)?);
                    self.rest = self.rest.get(length.checked_add(4)?..)?;
                }
                30 => {
                    self.now_ns = self.now_ns.wrapping_add(u64::from(self.word(4)?) << 27 | delta);
                    self.rest = self.rest.get(8..)?;
                }
                31 => {
                    let told = (u64::from(self.word(4)?) << 27 | delta) & ((1 << ABSOLUTE_BITS) - 1);
                    let high = self.page_ns >> ABSOLUTE_BITS << ABSOLUTE_BITS;
                    self.now_ns = high | told;
                    self.rest = self.rest.get(8..)?;
                }
                // The length stands in the next word and counts that word.
                0 => {
                    let length = words(self.word(4)?);
                    let bytes = self.rest.get(8..length.checked_add(4)?)?;
                    self.now_ns = self.now_ns.wrapping_add(delta);
                    self.rest = self.rest.get(4 + length..)?;
                    return Some(Record { at_ns: self.now_ns, bytes });
                }
                count => {
                    let length = words(count) * 4;
                    let bytes = self.rest.get(4..4 + length)?;
                    self.now_ns = self.now_ns.wrapping_add(delta);
                    self.rest = self.rest.get(4 + length..)?;
                    return Some(Record { at_ns: self.now_ns, bytes });
                }
            }
        }
    }
}

/// What the kernel says of one event in its `format` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The number by which its records are known.
    pub id: u16,
    fields: Vec<Field>,
}

/// Where a value lies in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    name: String,
    at: usize,
    bytes: usize,
    /// Whether here is only where in the record the value lies, and how long it is.
    indirect: bool,
}

impl Format {
    /// Reads a `format` file. None if it has no number.
    pub fn parse(text: &str) -> Option<Self> {
        let id = text.lines().find_map(|line| line.strip_prefix("ID: "))?.trim().parse().ok()?;
        Some(Self { id, fields: text.lines().filter_map(Field::parse).take(FIELDS_MAX).collect() })
    }

    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<Field> {
        self.fields.iter().find(|field| field.name == name).cloned()
    }

    /// Fields of eight bytes whose names are a letter and the numbers from 0 on, and that lie one behind the other, as
    /// one: it is how a probe is told to copy more than a word.
    pub fn words(&self, letter: char) -> Option<Field> {
        let mut whole = self.field(&format!("{letter}0")).filter(|first| first.bytes == 8 && !first.indirect)?;
        for number in 1.. {
            match self.field(&format!("{letter}{number}")) {
                Some(next) if next.at == whole.at + whole.bytes && next.bytes == 8 => whole.bytes += 8,
                _ => break,
            }
        }
        Some(whole)
    }
}

impl Field {
    /// Reads a line `field:TYPE NAME; offset:N; size:N; signed:N;`, whose parts are separated by tabs.
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.trim().split(';');
        let declared = parts.next()?.strip_prefix("field:")?;
        let mut number = |key: &str| parts.next()?.trim().strip_prefix(key)?.parse::<usize>().ok();
        let (at, bytes) = (number("offset:")?, number("size:")?);
        if at > RECORD_BYTES_MAX || bytes > RECORD_BYTES_MAX {
            return None;
        }
        let declared = declared.split('[').next().filter(|_| !declared.starts_with("__data_loc")).unwrap_or(declared);
        let name = declared.rsplit([' ', '*']).next()?;
        Some(Self { name: name.to_owned(), at, bytes, indirect: line.contains("field:__data_loc ") })
    }

    /// The bytes of the value. None where the record is too short for it.
    pub fn bytes<'a>(&self, layout: &PageLayout, record: &'a [u8]) -> Option<&'a [u8]> {
        let here = record.get(self.at..self.at.checked_add(self.bytes)?)?;
        if !self.indirect {
            return Some(here);
        }
        // The length in the upper half of a word, the place in the lower.
        let place = layout.number(here)?;
        let (at, length) = (usize::try_from(place & 0xffff).ok()?, usize::try_from(place >> 16 & 0xffff).ok()?);
        record.get(at..at + length)
    }

    /// The value as a number.
    pub fn number(&self, layout: &PageLayout, record: &[u8]) -> Option<u64> {
        layout.number(self.bytes(layout, record)?)
    }

    /// The value as a number with a sign.
    pub fn signed(&self, layout: &PageLayout, record: &[u8]) -> Option<i64> {
        let bytes = self.bytes(layout, record)?;
        let value = layout.number(bytes)?.cast_signed();
        // A number has one to eight bytes.
        let spare = 64 - 8 * u32::try_from(bytes.len()).ok()?;
        Some((value << spare) >> spare)
    }

    /// The value as text: what is before the first zero byte.
    pub fn text<'a>(&self, layout: &PageLayout, record: &'a [u8]) -> Option<&'a [u8]> {
        self.bytes(layout, record)?.split(|&byte| byte == 0).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
        \tfield: local_t commit;\toffset:8;\tsize:4;\tsigned:1;\n\
        \tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\
        \tfield: char data;\toffset:12;\tsize:4080;\tsigned:1;\n";

    fn page(big_endian: bool, time: u64, used: u32, words: &[u32]) -> Vec<u8> {
        let word = |word: u32| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
        let mut bytes = if big_endian { time.to_be_bytes() } else { time.to_le_bytes() }.to_vec();
        bytes.extend(word(used));
        bytes.extend(words.iter().flat_map(|&next| word(next)));
        bytes
    }

    fn head(big_endian: bool, kind: u32, delta: u32) -> u32 {
        if big_endian { kind << 27 | delta } else { delta << 5 | kind }
    }

    fn check(time: u64, records: impl Fn(bool) -> Vec<u32>, expected: &[(u64, usize)]) {
        for big_endian in [false, true] {
            let words = records(big_endian);
            let layout = PageLayout::parse(big_endian, HEADER).unwrap();
            let bytes = page(big_endian, time, words.len() as u32 * 4, &words);
            let got: Vec<_> = layout.page(&bytes).unwrap().map(|record| (record.at_ns, record.bytes.len())).collect();
            assert_eq!(got, expected, "big endian: {big_endian}");
        }
    }

    #[test]
    fn records_have_their_times_and_lengths() {
        check(100, |be| vec![head(be, 1, 5), 7, head(be, 2, 1), 8, 9], &[(105, 4), (106, 8)]);
        check(100, |be| vec![head(be, 0, 5), 12, 1, 2, head(be, 1, 1), 3], &[(105, 8), (106, 4)]);
        check(0, |be| vec![head(be, 30, 3), 1, head(be, 1, 0), 3], &[((1 << 27) + 3, 4)]);
        check((2 << 59) + 9, |be| vec![head(be, 31, 3), 0, head(be, 1, 1), 3], &[((2 << 59) + 4, 4)]);
        check(7, |be| vec![head(be, 29, 1), 4, head(be, 1, 1), 3], &[(8, 4)]);
        check(7, |be| vec![head(be, 29, 0), head(be, 1, 1), 3], &[]);
    }

    #[test]
    fn lengths_that_lie_end_the_page() {
        check(0, |be| vec![head(be, 28, 1), 3], &[]);
        check(0, |be| vec![head(be, 0, 1), u32::MAX, 3], &[]);
        check(0, |be| vec![head(be, 0, 1), 0, 3], &[]);
        check(0, |be| vec![head(be, 29, 1), u32::MAX], &[]);
        check(0, |be| vec![head(be, 30, 1)], &[]);
        check(0, |be| vec![head(be, 1, 1), 1, head(be, 29, 1), 0xffff_fffc], &[(1, 4)]);
    }

    #[test]
    fn missing_events_are_counted() {
        let layout = PageLayout::parse(false, HEADER).unwrap();
        let missing = |used, words: &[u32]| layout.page(&page(false, 0, used, words)).unwrap().missing;
        assert_eq!(missing(0, &[]), None);
        assert_eq!(missing(1 << 31, &[]), Some(0));
        assert_eq!(missing(0xc000_0000, &[17]), Some(17));
        assert_eq!(missing(0xc000_0004, &[1, 18]), Some(18));
        assert!(layout.page(&[0; 11]).is_none());
    }

    #[test]
    fn fields_are_read_as_the_kernel_describes_them() {
        let format = Format::parse(
            "name: path\nID: 926\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
             \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
             \tfield:__data_loc char[] name;\toffset:8;\tsize:4;\tsigned:1;\n\
             \tfield:unsigned long args[6];\toffset:12;\tsize:4;\tsigned:0;\n\
             \tfield:u64 a0;\toffset:16;\tsize:8;\tsigned:0;\n\tfield:u64 a1;\toffset:24;\tsize:8;\tsigned:0;\n\
             \tfield:u64 a3;\toffset:40;\tsize:8;\tsigned:0;\n\nprint fmt: \"\"\n",
        )
        .unwrap();
        let layout = PageLayout::parse(false, HEADER).unwrap();
        let mut record = vec![0; 12];
        record[4..8].copy_from_slice(&(-2_i32).to_le_bytes());
        record[8..12].copy_from_slice(&0x0004_000c_u32.to_le_bytes());
        record.extend_from_slice(b"ab\0c");
        assert_eq!(format.id, 926);
        assert_eq!(format.field("common_pid").unwrap().signed(&layout, &record), Some(-2));
        assert_eq!(format.field("name").unwrap().text(&layout, &record), Some(b"ab".as_slice()));
        assert_eq!(format.field("args").unwrap().number(&layout, &record), Some(0x6300_6261));
        assert_eq!(format.words('a').map(|words| (words.at, words.bytes)), Some((16, 16)));
        assert_eq!(format.field("a0").unwrap().number(&layout, &record), None);
        record[8..12].copy_from_slice(&0xffff_000c_u32.to_le_bytes());
        assert_eq!(format.field("name").unwrap().bytes(&layout, &record), None);
        assert_eq!(Format::parse("name: x\n"), None);
        let lying = format!("ID: 1\n\tfield:u64 a0;\toffset:{};\tsize:8;\tsigned:0;\n", usize::MAX);
        assert_eq!(Format::parse(&lying).unwrap().words('a'), None);
        let wide = Format::parse("ID: 1\n\tfield:char x[9];\toffset:0;\tsize:9;\tsigned:0;\n").unwrap();
        assert_eq!(wide.field("x").unwrap().signed(&layout, &[0; 9]), None);
    }
}
