//! Answers of web servers, read without sockets.
//!
//! Fetched files come from servers of attackers, which are seldom more than a loop around a socket, and recorded pages
//! from devices, whose header names have to be kept as they are spelled. So this takes what clients of devices take: a
//! status line, header lines up to an empty one, and a body by its length, in chunks, or up to the end of the connection.
//! Nothing is decompressed.

/// Bytes of a status line and its header lines, and of the answers before it with a status of 1xx.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Header lines of an answer.
const HEADERS_MAX: usize = 128;

/// Bytes around the chunks of a body: sizes, line ends, trailers. A file of 32 MiB in chunks of 512 bytes needs 640 KiB.
const FRAMING_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a line with the size of a chunk.
const SIZE_LINE_BYTES_MAX: usize = 256;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names as they were spelled, values without the spaces around them.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of a name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |(its, _): &&(String, String)| its.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }
}

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There has to be more.
    Open,
    /// It is whole.
    Whole,
    /// Its body has more bytes than were wanted.
    TooLarge,
    /// It is no answer, or a bound is reached.
    Broken,
}

/// Reads one answer.
#[derive(Debug)]
pub(crate) struct AnswerReader {
    answer: Answer,
    body_bytes_max: usize,
    state: State,
    line: Vec<u8>,
    head_bytes: usize,
    framing_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Status,
    Header,
    /// So many bytes of the body are missing.
    Length(u64),
    ChunkSize,
    /// So many bytes of the chunk are missing.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    UntilClosed,
    Over(Progress),
}

impl AnswerReader {
    /// A reader that takes a body of so many bytes at most.
    pub(crate) fn new(body_bytes_max: usize) -> Self {
        Self {
            answer: Answer::default(),
            body_bytes_max,
            state: State::Status,
            line: Vec::new(),
            head_bytes: 0,
            framing_bytes: 0,
        }
    }

    /// Takes what the server says next. What is behind the answer is dropped.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Progress {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Over(progress) => return progress,
                State::UntilClosed => self.body(bytes, u64::MAX),
                State::Length(missing) | State::Chunk(missing) => self.body(bytes, missing),
                State::Status | State::Header | State::ChunkSize | State::ChunkEnd | State::Trailer => self.text(bytes),
            };
        }
        match self.state {
            State::Over(progress) => progress,
            _ => Progress::Open,
        }
    }

    /// Learns that the server has said everything.
    pub(crate) fn finish(&mut self) -> Progress {
        self.state = match self.state {
            State::UntilClosed => State::Over(Progress::Whole),
            State::Over(progress) => State::Over(progress),
            _ => State::Over(Progress::Broken),
        };
        self.take(&[])
    }

    /// Bytes of the body so far.
    pub(crate) fn body_bytes(&self) -> usize {
        self.answer.body.len()
    }

    /// The answer as far as it came.
    pub(crate) fn into_answer(self) -> Answer {
        self.answer
    }

    fn body<'a>(&mut self, bytes: &'a [u8], missing: u64) -> &'a [u8] {
        let (mine, rest) = bytes.split_at(usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len()));
        let room = self.body_bytes_max - self.answer.body.len();
        self.answer.body.extend_from_slice(&mine[..mine.len().min(room)]);
        let missing = missing - mine.len() as u64;
        self.state = match self.state {
            _ if mine.len() > room => State::Over(Progress::TooLarge),
            State::Length(_) if missing == 0 => State::Over(Progress::Whole),
            State::Length(_) => State::Length(missing),
            State::Chunk(_) if missing == 0 => State::ChunkEnd,
            State::Chunk(_) => State::Chunk(missing),
            other => other,
        };
        rest
    }

    /// Takes bytes up to the end of a line.
    fn text<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (mine, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        let is_head = matches!(self.state, State::Status | State::Header);
        let (used, used_max) =
            if is_head { (&mut self.head_bytes, HEAD_BYTES_MAX) } else { (&mut self.framing_bytes, FRAMING_BYTES_MAX) };
        *used += mine.len();
        let line_bytes_max = if self.state == State::ChunkSize { SIZE_LINE_BYTES_MAX } else { HEAD_BYTES_MAX };
        if *used > used_max || self.line.len() + mine.len() > line_bytes_max {
            self.state = State::Over(Progress::Broken);
            return rest;
        }
        self.line.extend_from_slice(mine);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            self.state = self.line(line.strip_suffix(b"\r").unwrap_or(line));
        }
        rest
    }

    /// What follows after a line.
    fn line(&mut self, line: &[u8]) -> State {
        match self.state {
            State::Status => match status(line) {
                Some(status) => {
                    self.answer.status = status;
                    State::Header
                }
                None => State::Over(Progress::Broken),
            },
            State::Header if line.is_empty() => self.begin_body(),
            State::Header => {
                if self.answer.headers.len() >= HEADERS_MAX {
                    return State::Over(Progress::Broken);
                }
                // A line without a colon is not understood and does no harm.
                if let Some((name, value)) = String::from_utf8_lossy(line).split_once(':') {
                    self.answer.headers.push((name.trim().to_owned(), value.trim().to_owned()));
                }
                State::Header
            }
            State::ChunkSize => match chunk_size(line) {
                Some(0) => State::Trailer,
                Some(bytes) => State::Chunk(bytes),
                None => State::Over(Progress::Broken),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailer if line.is_empty() => State::Over(Progress::Whole),
            State::Trailer => State::Trailer,
            State::ChunkEnd => State::Over(Progress::Broken),
            State::Length(_) | State::Chunk(_) | State::UntilClosed | State::Over(_) => self.state,
        }
    }

    /// RFC 9112, 6.3.
    fn begin_body(&mut self) -> State {
        if (100..200).contains(&self.answer.status) {
            self.answer = Answer::default();
            return State::Status;
        }
        if matches!(self.answer.status, 204 | 304) {
            return State::Over(Progress::Whole);
        }
        if let Some(coding) = self.answer.header("Transfer-Encoding") {
            let is_chunked = coding.eq_ignore_ascii_case("chunked");
            return if is_chunked { State::ChunkSize } else { State::Over(Progress::Broken) };
        }
        match self.answer.header("Content-Length").map(str::parse::<u64>) {
            None => State::UntilClosed,
            Some(Ok(0)) => State::Over(Progress::Whole),
            // Nothing of what is too large is wanted.
            Some(Ok(bytes)) if bytes > self.body_bytes_max as u64 => State::Over(Progress::TooLarge),
            Some(Ok(bytes)) => State::Length(bytes),
            Some(Err(_)) => State::Over(Progress::Broken),
        }
    }
}

/// The status of `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<u16> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let version = words.next()?;
    let status = words.next()?;
    let is_status = version.starts_with(b"HTTP/") && status.len() == 3 && status.iter().all(u8::is_ascii_digit);
    is_status.then(|| status.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
}

/// The size of a chunk: hexadecimal digits, then what nobody needs (RFC 9112, 7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let is_number = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Any bytes as an answer, cut into pieces of `piece_bytes`: the same as in one piece, and within the bounds.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_bytes(bytes: &[u8], piece_bytes: usize) {
    const BODY_BYTES_MAX: usize = 1000;
    let read = |piece_bytes: usize| {
        let mut reader = AnswerReader::new(BODY_BYTES_MAX);
        for piece in bytes.chunks(piece_bytes.max(1)) {
            reader.take(piece);
        }
        let progress = reader.finish();
        (progress, reader.into_answer())
    };
    let (progress, answer) = read(bytes.len());
    assert!(answer.body.len() <= BODY_BYTES_MAX && answer.headers.len() <= HEADERS_MAX);
    assert_ne!(progress, Progress::Open);
    assert_eq!((progress, answer), read(piece_bytes));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], piece_bytes: usize) -> (Progress, Answer) {
        let mut reader = AnswerReader::new(10);
        let mut progress = Progress::Open;
        for piece in bytes.chunks(piece_bytes) {
            progress = reader.take(piece);
        }
        if progress == Progress::Open {
            progress = reader.finish();
        }
        (progress, reader.into_answer())
    }

    fn check(answer: &str, progress: Progress, status: u16, body: &str) {
        let told = read(answer.as_bytes(), usize::MAX);
        let shown = (told.0, told.1.status, String::from_utf8_lossy(&told.1.body).into_owned());
        assert_eq!(shown, (progress, status, body.to_owned()), "{answer:?}");
        assert_eq!(read(answer.as_bytes(), 1), told, "{answer:?} byte by byte");
    }

    #[test]
    fn bodies() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Progress::Whole, 200, "hello");
        check("HTTP/1.0 200 OK\n\nhello", Progress::Whole, 200, "hello");
        check("HTTP/1.1 404\r\ncontent-length:0\r\n\r\n", Progress::Whole, 404, "");
        check("HTTP/1.1 204 No\r\n\r\n", Progress::Whole, 204, "");
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", Progress::Whole, 200, "x");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{chunked}2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nA: b\r\n\r\n"), Progress::Whole, 200, "hello");
        check("HTTP/1.1 200 OK\r\nbroken line\r\n\r\n", Progress::Whole, 200, "");
    }

    #[test]
    fn what_is_cut_or_broken() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", Progress::Broken, 200, "he");
        check("", Progress::Broken, 0, "");
        check("hello\r\n", Progress::Broken, 0, "");
        check("HTTP/1.1 2000 OK\r\n", Progress::Broken, 0, "");
        check("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Progress::Broken, 200, "");
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", Progress::Broken, 200, "");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for sizes in ["x\r\n", "-1\r\n", "+1\r\n", "\r\n", "00000000000000001\r\n", "1\r\nab\r\n"] {
            let told = read(format!("{chunked}{sizes}").as_bytes(), 1);
            assert_eq!(told.0, Progress::Broken, "{sizes:?}");
        }
    }

    #[test]
    fn what_has_no_end() {
        let check = |begin: &str, repeated: &str, expected: Progress| {
            let mut reader = AnswerReader::new(10);
            assert_eq!(reader.take(begin.as_bytes()), Progress::Open);
            let mut taken = 0;
            let progress = loop {
                taken += repeated.len();
                let progress = reader.take(repeated.as_bytes());
                if progress != Progress::Open || taken > 4 * FRAMING_BYTES_MAX {
                    break progress;
                }
            };
            assert_eq!(progress, expected, "{begin:?} {repeated:?}");
            assert!(reader.body_bytes() <= 10);
        };
        let ok = "HTTP/1.1 200 OK\r\n";
        check("HTTP/1.1 200 ", "OK ", Progress::Broken);
        check(ok, "A: b\r\n", Progress::Broken);
        check(ok, "a", Progress::Broken);
        check("", "HTTP/1.1 100 Continue\r\n\r\n", Progress::Broken);
        check(&format!("{ok}\r\n"), "body", Progress::TooLarge);
        let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n");
        check(&chunked, "1\r\na\r\n", Progress::TooLarge);
        check(&chunked, "1", Progress::Broken);
        check(&format!("{chunked}1;"), "a", Progress::Broken);
        check(&format!("{chunked}0\r\n"), "A: b\r\n", Progress::Broken);
        let large = AnswerReader::new(10).take(format!("{ok}Content-Length: 11\r\n\r\n").as_bytes());
        assert_eq!(large, Progress::TooLarge, "before the body comes");
        let whole = format!("{chunked}ffffffffffffffff\r\n");
        check(&whole, "body", Progress::TooLarge);
    }

    proptest! {
        #[test]
        fn whatever_comes(words in prop::collection::vec(0..WORDS.len(), 0..40), piece_bytes in 1..9_usize) {
            let text: String = words.into_iter().map(|word| WORDS[word]).collect();
            check_bytes(format!("HTTP/1.1 200 OK\r\n{text}").as_bytes(), piece_bytes);
            check_bytes(text.as_bytes(), piece_bytes);
        }
    }

    /// What answers are made of.
    const WORDS: &[&str] = &[
        "HTTP/1.1 100 \r\n",
        "\r\n",
        "\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\n",
        "5\r\n",
        "0\r\n",
        "ffffffffffffffff\r\n",
        "a: b\r\n",
        "hello",
        ";",
        "x",
        "\u{e9}",
    ];
}
