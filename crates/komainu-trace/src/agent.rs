//! Frames between the host and the agent in a guest.
//!
//! A frame is a byte for its kind, a length of four bytes, least first, and a payload. The host writes [`HostFrame`]s; what
//! comes from the guest is hostile and read by a [`FrameReader`] in whatever pieces it comes. The exact payloads are in
//! `docs/guest-agent.md`.

use std::fmt::{self, Write as _};

use crate::{GuestIsa, RawText};

/// The longest payload of a frame in bytes. The guest sends less than 72 KiB at once; a job is at most 64 KiB.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// The longest text of a job in bytes: the agent keeps it in a buffer of this length.
pub const JOB_BYTES_MAX: usize = 64 * 1024;

/// The largest sample in bytes: it lies in the guest's memory, which may be 64 MiB.
pub const SAMPLE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How much of a sample goes into one frame, in bytes.
const SAMPLE_PIECE_BYTES: usize = 64 * 1024;

/// The longest key or value that is read out of the guest's own lines, in bytes.
const LINE_BYTES_MAX: usize = 256;

/// A frame from the host to the guest.
#[allow(clippy::large_enum_variant, reason = "one is made and written at a time, never kept")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostFrame {
    /// What to prepare, and how to run the sample.
    Job(Job),
    /// A piece of the sample; pieces follow each other.
    Sample(Vec<u8>),
    /// Run it.
    Run,
    /// Send the memory of its processes.
    Dump,
    /// End it and send what it left behind. To a guest that runs nothing: switch off.
    Stop,
}

impl HostFrame {
    /// The frame as bytes.
    ///
    /// # Errors
    ///
    /// A payload longer than the agent takes.
    pub fn encode(&self) -> Result<Vec<u8>, FrameTooLong> {
        let (kind, payload, max) = match self {
            Self::Job(job) => (0x01, job.encode(), JOB_BYTES_MAX),
            Self::Sample(bytes) => (0x02, bytes.clone(), FRAME_BYTES_MAX),
            Self::Run => (0x03, Vec::new(), 0),
            Self::Dump => (0x04, Vec::new(), 0),
            Self::Stop => (0x05, Vec::new(), 0),
        };
        if payload.len() > max {
            return Err(FrameTooLong { bytes: payload.len(), bytes_max: max });
        }
        let length = u32::try_from(payload.len()).expect("a payload is at most FRAME_BYTES_MAX");
        let mut frame = Vec::with_capacity(5 + payload.len());
        frame.push(kind);
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&payload);
        Ok(frame)
    }

    /// A sample, cut into frames.
    pub fn sample(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.chunks(SAMPLE_PIECE_BYTES).map(|piece| Self::Sample(piece.to_vec()))
    }
}

/// A frame that the agent would not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {bytes} bytes is longer than the agent takes ({bytes_max})")]
pub struct FrameTooLong {
    /// How long it would be.
    pub bytes: usize,
    /// The bound.
    pub bytes_max: usize,
}

/// What the agent prepares, and how it runs the sample. The default is a user's program without a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// Whether it runs as root; otherwise as user 1000.
    pub as_root: bool,
    /// Where the sample lies, an absolute path; `/tmp/sample` if empty.
    pub name: RawText,
    /// The folder that it is started in; `/` if empty.
    pub folder: RawText,
    /// Its arguments, the program's name first; its path if there are none. At most 64.
    pub arguments: Vec<RawText>,
    /// Its environment, `KEY=value`; that of a small device if empty. At most 64.
    pub environment: Vec<RawText>,
    /// The time of day in the guest, in seconds since 1970.
    pub clock_s: Option<u64>,
    /// What the guest's random numbers start from; at most 64 bytes of text count.
    pub seed: String,
    /// What the guest calls itself.
    pub host_name: String,
    /// The hardware address of its network interface, `02:00:00:12:34:56`.
    pub mac: String,
    /// Its address and prefix, `192.168.1.23/24`.
    pub address: String,
    /// Its router.
    pub gateway: String,
    /// Its IPv6 address and prefix.
    pub address6: String,
    /// Its IPv6 router.
    pub gateway6: String,
    /// Its resolvers.
    pub resolvers: Vec<String>,
    /// Files that make it look like a certain device: path and content.
    pub files: Vec<(RawText, RawText)>,
}

impl Job {
    /// Lines of keys and values. The agent does them in this order, so the interface has its address before a route
    /// needs it.
    fn encode(&self) -> Vec<u8> {
        let mut lines = String::new();
        line(&mut lines, "mode", if self.as_root { "root" } else { "user" });
        let texts = [
            ("hostname", &self.host_name),
            ("mac", &self.mac),
            ("address", &self.address),
            ("gateway", &self.gateway),
            ("address6", &self.address6),
            ("gateway6", &self.gateway6),
        ];
        for (key, value) in texts {
            if !value.is_empty() {
                line(&mut lines, key, RawText::from(value.as_str()));
            }
        }
        for resolver in &self.resolvers {
            line(&mut lines, "dns", RawText::from(resolver.as_str()));
        }
        for (path, content) in &self.files {
            line(&mut lines, "file", format_args!("{path}:{content}"));
        }
        if let Some(clock_s) = self.clock_s {
            line(&mut lines, "clock", clock_s);
        }
        if !self.seed.is_empty() {
            line(&mut lines, "seed", RawText::from(self.seed.as_str()));
        }
        for (key, value) in [("name", &self.name), ("folder", &self.folder)] {
            if !value.0.is_empty() {
                line(&mut lines, key, value);
            }
        }
        for argument in &self.arguments {
            line(&mut lines, "argv", argument);
        }
        for variable in &self.environment {
            line(&mut lines, "env", variable);
        }
        lines.into_bytes()
    }
}

fn line(lines: &mut String, key: &str, value: impl fmt::Display) {
    writeln!(lines, "{key}={value}").expect("writing to a string does not fail");
}

/// A frame from the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestFrame {
    /// What kind of guest it is.
    Hello(Hello),
    /// How the kernel lays out a page of its trace (`header_page`), or one of its events.
    Format {
        /// The event, `group/name`, or `header_page`.
        name: String,
        /// The kernel's text.
        text: String,
    },
    /// It waits for a job; this is where a snapshot is taken.
    Ready,
    /// The sample starts.
    Started {
        /// Its process.
        pid: u32,
        /// When, in nanoseconds of the guest's monotonic clock, which is the trace's clock.
        at_ns: u64,
    },
    /// One page of the kernel's trace.
    Trace(Vec<u8>),
    /// A piece of a file that the sample left behind, or word of one that it removed.
    File(FilePiece),
    /// A piece of a process's memory.
    Memory(MemoryPiece),
    /// A process of the sample ended, or one whose parent ended before it.
    Exited {
        /// Which.
        pid: u32,
        /// As `wait` gives it.
        status: u32,
    },
    /// The run is over.
    Finished(Finished),
    /// Something that the agent could not do, or did by itself.
    Note(RawText),
}

/// What kind of guest it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Its processor.
    pub isa: GuestIsa,
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
    /// The length of a kernel's `long` in bytes, 4 or 8.
    pub long_bytes: usize,
}

/// A piece of a file. A file comes in pieces with rising offsets; one that is too large comes as one without content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePiece {
    /// What became of the file.
    pub change: FileChange,
    /// Its kind and rights, in the bits of `stat`.
    pub mode: u32,
    /// How large it is; more than all its pieces when its content is not told.
    pub size: u64,
    /// Where in the file this piece begins.
    pub offset: u64,
    /// Its path.
    pub path: RawText,
    /// The content; of a symbolic link where it points.
    pub content: Vec<u8>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileChange {
    /// It was not there when the sample started.
    Created,
    /// It was there, and is another.
    Changed,
    /// It was there.
    Removed,
}

/// A piece of a process's memory: pages that lie together and are not all zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPiece {
    /// The process.
    pub pid: u32,
    /// Where in it.
    pub address: u64,
    /// Whether it may be written.
    pub writable: bool,
    /// Whether it may be executed.
    pub executable: bool,
    /// What is there.
    pub content: Vec<u8>,
}

/// How a run ended, and what could not be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finished {
    /// `ended` (no process is left), `stopped` (by the host) or `failed` (it did not start).
    pub why: RawText,
    /// How much trace was sent, in bytes.
    pub trace_bytes: u64,
    /// Events that later ones overwrote before they were read.
    pub events_overwritten: u64,
    /// Events that the kernel had no room for.
    pub events_dropped: u64,
    /// How often the loud half of the trace was switched off.
    pub quiet_times: u64,
    /// How many files were told.
    pub files: u64,
    /// How many files were left out, or told without their content.
    pub files_omitted: u64,
}

/// What in the guest's stream was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameProblem {
    /// After this the stream is read no further: where the next frame begins is unknown.
    #[error("the guest announced a frame of {bytes} bytes, more than {FRAME_BYTES_MAX}")]
    TooLong {
        /// What it announced.
        bytes: u32,
    },
    /// A kind that no agent sends.
    #[error("the guest sent a frame of the unknown kind {kind:#04x}")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
    /// A payload that does not have its form.
    #[error("the guest sent a {what} frame that cannot be read")]
    Malformed {
        /// Which frame.
        what: &'static str,
    },
}

/// Reads frames out of what a guest says.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// What is not read yet: at most one frame, and what came with the last piece.
    pending: Vec<u8>,
    broken: bool,
}

impl FrameReader {
    /// Takes what came, and hands on every frame that is complete. Once a frame is too long, nothing is read any more.
    pub fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Result<GuestFrame, FrameProblem>)) {
        if self.broken {
            return;
        }
        self.pending.extend_from_slice(bytes);
        let mut read_to = 0;
        while let Some((start, rest)) = self.pending.get(read_to..).and_then(<[u8]>::split_first_chunk::<5>) {
            let [kind, length @ ..] = *start;
            let bytes = u32::from_le_bytes(length);
            let length = usize::try_from(bytes).unwrap_or(usize::MAX);
            if length > FRAME_BYTES_MAX {
                self.broken = true;
                take(Err(FrameProblem::TooLong { bytes }));
                break;
            }
            let Some(payload) = rest.get(..length) else { break };
            take(decode(kind, payload));
            read_to += 5 + length;
        }
        if self.broken {
            self.pending = Vec::new();
        } else {
            self.pending.drain(..read_to);
        }
    }

    /// Whether the stream cannot be read any further.
    pub fn is_broken(&self) -> bool {
        self.broken
    }
}

fn decode(kind: u8, payload: &[u8]) -> Result<GuestFrame, FrameProblem> {
    let malformed = |what| move || FrameProblem::Malformed { what };
    match kind {
        0x81 => hello(payload).map(GuestFrame::Hello).ok_or_else(malformed("hello")),
        0x82 => format(payload).ok_or_else(malformed("format")),
        0x83 => Ok(GuestFrame::Ready),
        0x84 => started(payload).ok_or_else(malformed("started")),
        0x85 => Ok(GuestFrame::Trace(payload.to_vec())),
        0x86 => file_piece(payload).map(GuestFrame::File).ok_or_else(malformed("file")),
        0x87 => memory_piece(payload).map(GuestFrame::Memory).ok_or_else(malformed("memory")),
        0x88 => exited(payload).ok_or_else(malformed("exited")),
        0x89 => Ok(GuestFrame::Finished(finished(payload))),
        0x8a => Ok(GuestFrame::Note(payload.get(..LINE_BYTES_MAX).unwrap_or(payload).into())),
        _ => Err(FrameProblem::UnknownKind { kind }),
    }
}

/// The value of a key in lines `key=value`.
fn value<'a>(lines: &'a [u8], key: &str) -> Option<&'a str> {
    let line = lines
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(key.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")))?;
    std::str::from_utf8(line.get(..LINE_BYTES_MAX).unwrap_or(line)).ok()
}

fn number<T: std::str::FromStr>(lines: &[u8], key: &str) -> Option<T> {
    value(lines, key)?.parse().ok()
}

fn hello(payload: &[u8]) -> Option<Hello> {
    let big_endian = match value(payload, "order")? {
        "big" => true,
        "little" => false,
        _ => return None,
    };
    let long_bytes = number(payload, "long").filter(|bytes| matches!(bytes, 4 | 8))?;
    Some(Hello { isa: value(payload, "isa")?.parse().ok()?, big_endian, long_bytes })
}

fn format(payload: &[u8]) -> Option<GuestFrame> {
    let (name, text) = std::str::from_utf8(payload).ok()?.split_once('\n')?;
    Some(GuestFrame::Format { name: name.to_owned(), text: text.to_owned() })
}

fn started(payload: &[u8]) -> Option<GuestFrame> {
    Some(GuestFrame::Started { pid: number(payload, "pid")?, at_ns: number(payload, "at_ns")? })
}

fn exited(payload: &[u8]) -> Option<GuestFrame> {
    Some(GuestFrame::Exited { pid: number(payload, "pid")?, status: number(payload, "status")? })
}

fn finished(payload: &[u8]) -> Finished {
    let count = |key| number(payload, key).unwrap_or_default();
    Finished {
        why: value(payload, "why").unwrap_or_default().into(),
        trace_bytes: count("trace_bytes"),
        events_overwritten: count("events_overwritten"),
        events_dropped: count("events_dropped"),
        quiet_times: count("quiet_times"),
        files: count("files"),
        files_omitted: count("files_omitted"),
    }
}

fn file_piece(payload: &[u8]) -> Option<FilePiece> {
    let (&change, rest) = payload.split_first()?;
    let change = match change {
        0 => FileChange::Created,
        1 => FileChange::Changed,
        2 => FileChange::Removed,
        _ => return None,
    };
    let (&mode, rest) = rest.split_first_chunk()?;
    let (&size, rest) = rest.split_first_chunk()?;
    let (&offset, rest) = rest.split_first_chunk()?;
    let (&path_bytes, rest) = rest.split_first_chunk()?;
    let (path, content) = rest.split_at_checked(usize::from(u16::from_le_bytes(path_bytes)))?;
    Some(FilePiece {
        change,
        mode: u32::from_le_bytes(mode),
        size: u64::from_le_bytes(size),
        offset: u64::from_le_bytes(offset),
        path: path.into(),
        content: content.to_vec(),
    })
}

fn memory_piece(payload: &[u8]) -> Option<MemoryPiece> {
    let (&pid, rest) = payload.split_first_chunk()?;
    let (&address, rest) = rest.split_first_chunk()?;
    let (&rights, content) = rest.split_first()?;
    Some(MemoryPiece {
        pid: u32::from_le_bytes(pid),
        address: u64::from_le_bytes(address),
        writable: rights & 2 != 0,
        executable: rights & 4 != 0,
        content: content.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn read(bytes: &[u8], piece: usize) -> Vec<Result<GuestFrame, FrameProblem>> {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece, |frame| frames.push(frame));
        }
        frames
    }

    fn check(kind: u8, payload: &[u8], expected: Result<GuestFrame, FrameProblem>) {
        let bytes = frame(kind, payload);
        for piece in [1, 3, bytes.len()] {
            assert_eq!(read(&bytes, piece), std::slice::from_ref(&expected), "in pieces of {piece}");
        }
    }

    #[test]
    fn frames_are_read_in_whatever_pieces_they_come() {
        check(
            0x81,
            b"protocol=1\nisa=mips\norder=big\nlong=4\n",
            Ok(GuestFrame::Hello(Hello { isa: GuestIsa::Mips, big_endian: true, long_bytes: 4 })),
        );
        check(0x82, b"a/b\nname: b\n", Ok(GuestFrame::Format { name: "a/b".into(), text: "name: b\n".into() }));
        check(0x83, b"", Ok(GuestFrame::Ready));
        check(0x84, b"pid=23\nat_ns=5\n", Ok(GuestFrame::Started { pid: 23, at_ns: 5 }));
        check(0x88, b"pid=23\nstatus=9\n", Ok(GuestFrame::Exited { pid: 23, status: 9 }));
        check(
            0x86,
            b"\x01\xed\x81\0\0\x14\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x02\0/aleft",
            Ok(GuestFrame::File(FilePiece {
                change: FileChange::Changed,
                mode: 0o100_755,
                size: 20,
                offset: 2,
                path: "/a".into(),
                content: b"left".to_vec(),
            })),
        );
        check(
            0x87,
            b"\x17\0\0\0\0\x10\0\0\0\0\0\0\x05x",
            Ok(GuestFrame::Memory(MemoryPiece {
                pid: 23,
                address: 0x1000,
                writable: false,
                executable: true,
                content: b"x".to_vec(),
            })),
        );
        check(0x8a, b"quiet\n\x1b[", Ok(GuestFrame::Note("quiet\n\x1b[".into())));
    }

    #[test]
    fn what_is_no_frame_is_told_and_the_next_one_is_read() {
        check(0x80, b"", Err(FrameProblem::UnknownKind { kind: 0x80 }));
        check(0x81, b"isa=vax\norder=big\nlong=4\n", Err(FrameProblem::Malformed { what: "hello" }));
        check(0x81, b"isa=arm\norder=little\nlong=5\n", Err(FrameProblem::Malformed { what: "hello" }));
        check(0x84, b"pid=-1\nat_ns=5\n", Err(FrameProblem::Malformed { what: "started" }));
        check(0x86, b"\x03", Err(FrameProblem::Malformed { what: "file" }));
        check(0x86, &[0; 22], Err(FrameProblem::Malformed { what: "file" }));
        check(0x87, b"\0\0\0\0", Err(FrameProblem::Malformed { what: "memory" }));
        let two = [frame(0x70, b"??"), frame(0x83, b"")].concat();
        assert_eq!(read(&two, 2)[1], Ok(GuestFrame::Ready));
    }

    #[test]
    fn a_frame_that_is_too_long_ends_the_stream() {
        let mut bytes = vec![0x85];
        bytes.extend_from_slice(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes());
        bytes.extend(frame(0x83, b""));
        assert_eq!(read(&bytes, 4), [Err(FrameProblem::TooLong { bytes: FRAME_BYTES_MAX as u32 + 1 })]);
    }

    #[test]
    fn a_job_is_lines_that_no_value_can_break() {
        let job = Job {
            as_root: true,
            name: "/tmp/a\nmode=user".into(),
            arguments: vec!["a\\b".into()],
            clock_s: Some(7),
            address: "192.168.1.2/24".into(),
            gateway: "192.168.1.1".into(),
            files: vec![("/etc/x".into(), "1\n".into())],
            ..Job::default()
        };
        let bytes = HostFrame::Job(job).encode().unwrap();
        assert_eq!(
            std::str::from_utf8(&bytes[5..]).unwrap(),
            "mode=root\naddress=192.168.1.2/24\ngateway=192.168.1.1\nfile=/etc/x:1\\x0a\nclock=7\n\
             name=/tmp/a\\x0amode=user\nargv=a\\\\b\n"
        );
        assert_eq!(bytes[..5], [1, 114, 0, 0, 0]);
        let long = Job { seed: "s".repeat(JOB_BYTES_MAX), ..Job::default() };
        assert!(HostFrame::Job(long).encode().is_err());
    }
}
