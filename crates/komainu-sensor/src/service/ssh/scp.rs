//! The protocol of `scp` before it was SFTP, as rcp had it: lines with the mode, length and name of a file, each
//! followed by its bytes, each step answered by a byte 0 (OpenSSH scp.c, `sink` and `source`).

use komainu_decode::FileVia;

use super::visit::Hand;
use crate::service::upload::{Record, Upload};
use crate::shell::{Errno, FileKind, join, split};

/// The longest line, in bytes: a path of the longest length that Linux takes, and numbers.
const LINE_BYTES_MAX: usize = 4096 + 64;

/// Folders in folders that are followed.
const DEPTH_MAX: usize = 32;

/// What `scp` is called for on the side of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `scp -t PATH`: files come.
    To(Vec<u8>),
    /// `scp -f PATH`: files go.
    From(Vec<u8>),
}

impl Call {
    /// What a command line asks for, if it is one of scp's.
    pub(super) fn of(command: &[u8]) -> Option<Self> {
        let words = words(command)?;
        let (name, arguments) = words.split_first()?;
        if split(name).1 != b"scp" {
            return None;
        }
        let (mut is_to, mut is_from, mut path) = (false, false, None);
        let mut is_option = true;
        for word in arguments {
            match word.strip_prefix(b"-") {
                Some(b"-") if is_option => is_option = false,
                Some(letters) if is_option && !letters.is_empty() => {
                    is_to |= letters.contains(&b't');
                    is_from |= letters.contains(&b'f');
                }
                _ => path = Some(word.clone()),
            }
        }
        let path = path?;
        let path = path.strip_prefix(b"~/").map_or(path.clone(), <[u8]>::to_vec);
        let path = if path.is_empty() || path == b"~" { b".".to_vec() } else { path };
        match (is_to, is_from) {
            (true, false) => Some(Self::To(path)),
            (false, true) => Some(Self::From(path)),
            (_, _) => None,
        }
    }
}

/// Splits a command line at its blanks; none when it is more than words.
fn words(command: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = command.iter().copied();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (None | Some(b'"'), b'\\') => word.get_or_insert_default().push(bytes.next()?),
            (Some(_), _) => word.get_or_insert_default().push(byte),
            (None, b'\'' | b'"') => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (None, b' ' | b'\t') => words.extend(word.take()),
            (None, b';' | b'|' | b'&' | b'<' | b'>' | b'$' | b'`' | b'(' | b'\n') => return None,
            (None, _) => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Takes files.
#[derive(Debug)]
pub(super) struct Sink {
    /// Where files go: the path that was given, then the folders that were entered.
    folders: Vec<Vec<u8>>,
    line: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    Line,
    Data {
        upload: Upload,
        file: u32,
        offset: u64,
        left: u64,
    },
    /// The byte behind a file, which says whether its sender could read it.
    Behind,
}

/// A line about a file or a folder.
struct Entry {
    mode: u16,
    bytes: u64,
    name: Vec<u8>,
}

impl Sink {
    /// Begins; what is said first is that the sender may go on.
    pub(super) fn new(path: Vec<u8>, hand: &mut Hand<'_>) -> Self {
        hand.say.push(0);
        Self { folders: vec![path], line: Vec::new(), state: State::Line }
    }

    /// Takes what the sender says.
    pub(super) fn take(&mut self, mut bytes: &[u8], hand: &mut Hand<'_>) {
        while let Some(&first) = bytes.first() {
            match &mut self.state {
                State::Line => {
                    bytes = &bytes[1..];
                    if first != b'\n' {
                        if self.line.len() < LINE_BYTES_MAX {
                            self.line.push(first);
                        }
                        continue;
                    }
                    let line = std::mem::take(&mut self.line);
                    self.read_line(&line, hand);
                }
                State::Data { upload, file, offset, left } => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let (part, rest) = bytes.split_at(used);
                    upload.write(hand.shell, None, part, hand.now);
                    hand.records.push(Record::FilePart { file: *file, offset: *offset, bytes: part.to_vec() });
                    *offset += used as u64;
                    *left -= used as u64;
                    bytes = rest;
                    if *left == 0 {
                        hand.records.push(Record::FileEnd { file: *file, is_complete: true });
                        self.state = State::Behind;
                    }
                }
                State::Behind => {
                    bytes = &bytes[1..];
                    hand.say.push(0);
                    self.state = State::Line;
                }
            }
        }
    }

    /// What is open when the sender has said everything.
    pub(super) fn end(&mut self, hand: &mut Hand<'_>) {
        if let State::Data { file, .. } = self.state {
            hand.records.push(Record::FileEnd { file, is_complete: false });
            self.state = State::Line;
        }
    }

    fn read_line(&mut self, line: &[u8], hand: &mut Hand<'_>) {
        let Some((kind, rest)) = line.split_first() else {
            return refuse(hand, "protocol error: unexpected <newline>");
        };
        match kind {
            b'C' => match entry(rest) {
                Some(entry) => self.file(&entry, hand),
                None => refuse(hand, "protocol error: bad mode"),
            },
            b'D' => match entry(rest) {
                Some(entry) => self.folder(&entry, hand),
                None => refuse(hand, "protocol error: bad mode"),
            },
            b'E' => {
                if self.folders.len() > 1 {
                    self.folders.pop();
                }
                hand.say.push(0);
            }
            // Times: nothing of a session lasts long enough for them.
            b'T' => hand.say.push(0),
            // A sender's own complaint, which wants no answer.
            1 | 2 => {}
            _ => refuse(hand, "protocol error: expected control record"),
        }
    }

    fn file(&mut self, entry: &Entry, hand: &mut Hand<'_>) {
        let path = self.path_of(entry, hand);
        let mut events = Vec::new();
        let at = (hand.folder, path.as_slice());
        match Upload::open(hand.shell, at, entry.mode, false, hand.now, &mut events) {
            Err(error) => complain(hand, &path, error),
            Ok(upload) => {
                hand.records.extend(events.into_iter().map(Record::Shell));
                let file = hand.next_file();
                let name = upload.place().map_or(path, <[u8]>::to_vec);
                hand.records.push(Record::FileBegin { file, name, via: FileVia::ScpUpload });
                hand.say.push(0);
                self.state = State::Data { upload, file, offset: 0, left: entry.bytes };
                if entry.bytes == 0 {
                    hand.records.push(Record::FileEnd { file, is_complete: true });
                    self.state = State::Behind;
                }
            }
        }
    }

    fn folder(&mut self, entry: &Entry, hand: &mut Hand<'_>) {
        if self.folders.len() >= DEPTH_MAX {
            return refuse(hand, "too many folders");
        }
        let path = self.path_of(entry, hand);
        match hand.shell.files(hand.now).make_folder(hand.folder, &path, entry.mode) {
            Ok(()) | Err(Errno::Exists) => {
                self.folders.push(path);
                hand.say.push(0);
            }
            Err(error) => complain(hand, &path, error),
        }
    }

    /// Below the folder that was entered last, or the path that was given if that is no folder.
    fn path_of(&self, entry: &Entry, hand: &mut Hand<'_>) -> Vec<u8> {
        let last = self.folders.last().map_or(b".".as_slice(), Vec::as_slice);
        let is_folder =
            hand.shell.files(hand.now).stat(hand.folder, last).is_ok_and(|stat| stat.kind == FileKind::Folder);
        if is_folder { join(last, &entry.name) } else { last.to_vec() }
    }
}

/// `0644 12 name`.
fn entry(line: &[u8]) -> Option<Entry> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let mode = u16::from_str_radix(std::str::from_utf8(parts.next()?).ok()?, 8).ok()?;
    let bytes = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let name = parts.next()?;
    let is_name = !name.is_empty() && !name.contains(&b'/') && name != b"." && name != b"..";
    is_name.then(|| Entry { mode: mode & 0o777, bytes, name: name.to_vec() })
}

fn refuse(hand: &mut Hand<'_>, why: &str) {
    hand.say.extend_from_slice(format!("\x01scp: {why}\n").as_bytes());
}

fn complain(hand: &mut Hand<'_>, path: &[u8], error: Errno) {
    hand.say.extend_from_slice(b"\x01scp: ");
    hand.say.extend_from_slice(path);
    hand.say.extend_from_slice(format!(": {}\n", error.text()).as_bytes());
}

/// Gives one file.
#[derive(Debug)]
pub(super) struct Source {
    /// What is said when the receiver says that it may be.
    steps: Vec<Vec<u8>>,
    status: u8,
}

impl Source {
    /// Looks for the file.
    pub(super) fn new(path: &[u8], hand: &mut Hand<'_>) -> Self {
        let files = hand.shell.files(hand.now);
        let found = files.stat(hand.folder, path).and_then(|stat| match stat.kind {
            FileKind::File => Ok((stat.mode, files.read(hand.folder, path)?)),
            FileKind::Folder | FileKind::Link(_) | FileKind::Device(_) => Err(Errno::IsDirectory),
        });
        match found {
            Ok((mode, data)) => {
                let bytes = data.bytes();
                let mut line = format!("C{:04o} {} ", mode & 0o7777, bytes.len()).into_bytes();
                line.extend_from_slice(split(path).1);
                line.push(b'\n');
                // From the last to the first.
                Self { steps: vec![[bytes, &[0]].concat(), line], status: 0 }
            }
            Err(error) => {
                let why = if error == Errno::IsDirectory { "not a regular file" } else { error.text() };
                let line = [b"\x01scp: ", path, format!(": {why}\n").as_bytes()].concat();
                Self { steps: vec![line], status: 1 }
            }
        }
    }

    /// Takes what the receiver says; the status with which it ends.
    pub(super) fn take(&mut self, bytes: &[u8], hand: &mut Hand<'_>) -> Option<u8> {
        for byte in bytes {
            if *byte != 0 {
                return Some(1);
            }
            match self.steps.pop() {
                Some(step) => hand.say.extend_from_slice(&step),
                None => return Some(self.status),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ssh::visit::tests::with_hand;

    #[test]
    fn calls() {
        let check =
            |command: &str, expected: Option<Call>| assert_eq!(Call::of(command.as_bytes()), expected, "{command}");
        check("scp -t /tmp/x", Some(Call::To(b"/tmp/x".to_vec())));
        check("/usr/bin/scp -v -r -t -- '/tmp/a b'", Some(Call::To(b"/tmp/a b".to_vec())));
        check("scp -qf a\\ b", Some(Call::From(b"a b".to_vec())));
        check("scp -t ~/", Some(Call::To(b".".to_vec())));
        check("scp -t /tmp/x; id", None);
        check("scp a b", None);
        check("id", None);
        check("", None);
    }

    /// Has a sink take `said`; what it answers, and what was recorded.
    fn sink(path: &str, said: &[u8]) -> (Vec<u8>, Vec<Record>) {
        let answers = [1, said.len()].map(|step| {
            with_hand(|hand| {
                let mut sink = Sink::new(path.into(), hand);
                for piece in said.chunks(step) {
                    sink.take(piece, hand);
                }
                sink.end(hand);
                (std::mem::take(&mut hand.say), std::mem::take(&mut hand.records))
            })
        });
        let [(cut, _), whole] = answers;
        assert_eq!(cut, whole.0, "cutting changes nothing");
        whole
    }

    #[test]
    fn files_that_come() {
        let (said, records) = sink("/tmp", b"C0755 5 a.sh\nhello\0");
        assert_eq!(said, [0, 0, 0]);
        let begin = Record::FileBegin { file: 0, name: b"/tmp/a.sh".to_vec(), via: FileVia::ScpUpload };
        assert_eq!(records[0], begin);
        assert_eq!(records.last(), Some(&Record::FileEnd { file: 0, is_complete: true }));
        let (said, records) = sink("/tmp", b"D0755 0 d\nC0644 1 a\nx\0E\nC0644 0 b\n\0");
        assert_eq!(said, [0; 7]);
        let names: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                Record::FileBegin { name, .. } => Some(name.as_slice()),
                _ => None,
            })
            .collect();
        assert_eq!(names, [b"/tmp/d/a".as_slice(), b"/tmp/b"]);
    }

    #[test]
    fn what_a_sink_refuses() {
        let check = |path: &str, said: &[u8], expected: &str| {
            let (answer, _) = sink(path, said);
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.contains(expected), "{answer:?}");
        };
        check("/bin/x", b"C0755 5 a\n", "scp: /bin/x: Read-only file system\n");
        check("/tmp", b"C0755 5 ../a\n", "bad mode");
        check("/tmp", b"C9 5 a\n", "bad mode");
        check("/tmp", b"\n", "unexpected <newline>");
        check("/tmp", b"hello\n", "expected control record");
        let (_, records) = sink("/tmp", b"C0755 5 a\nab");
        assert_eq!(records.last(), Some(&Record::FileEnd { file: 0, is_complete: false }));
    }

    #[test]
    fn files_that_go() {
        with_hand(|hand| {
            let mut source = Source::new(b"/etc/passwd", hand);
            assert_eq!(source.take(&[0], hand), None);
            assert!(hand.say.starts_with(b"C0644 "), "{:?}", hand.say);
            assert_eq!(source.take(&[0], hand), None);
            assert!(hand.say.ends_with(b"\n\0"));
            assert_eq!(source.take(&[0], hand), Some(0));
            let mut source = Source::new(b"/none", hand);
            assert_eq!(source.take(&[0, 0], hand), Some(1));
            assert!(hand.say.ends_with(b"scp: /none: No such file or directory\n"));
        });
    }
}
