//! From what a guest says to what its processes did.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::agent::{FilePiece, Finished, FrameProblem, FrameReader, GuestFrame, Hello, MemoryPiece};
use crate::guest::{GuestAct, GuestEvent};
use crate::novelty::Novelty;
use crate::ring::{Field, Format, PageLayout};
use crate::system_calls::{self, Group};
use crate::{GuestIsa, RawText};

/// Formats that are kept; the agent sends about twenty.
const FORMATS_MAX: usize = 64;

/// Processes whose unfinished calls are kept; the agent lets a sample have 256 at once. Beyond it the lowest numbers go
/// first, and what they were about to do is told without its result.
const PROCESSES_MAX: usize = 1024;

/// Arguments of a program that are told, and the length of one in bytes.
const ARGUMENTS_MAX: usize = 8;
const ARGUMENT_BYTES_MAX: usize = 128;

/// The longest beginning of what was written or sent, in bytes.
const HEAD_BYTES_MAX: usize = 64;

/// The longest path that Linux takes (`PATH_MAX`) and the longest name of a process (`TASK_COMM_LEN` without its zero), in
/// bytes. Only a guest that lies sends more, and that is cut off.
const PATH_BYTES_MAX: usize = 4096;
const COMM_BYTES_MAX: usize = 15;

/// Reads the stream of one guest.
#[derive(Debug, Default)]
pub struct GuestReader {
    frames: FrameReader,
    state: State,
}

/// One thing that a guest said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestItem {
    /// What kind of guest it is.
    Hello(Hello),
    /// It waits for a job; this is where a snapshot is taken.
    Ready,
    /// The sample starts, as this process.
    Started {
        /// The process.
        pid: u32,
    },
    /// A process did something.
    Event {
        /// What.
        event: GuestEvent,
        /// Whether nothing like it was done before; a run in which nothing new happens may end early.
        is_new: bool,
    },
    /// A file that the sample left behind.
    File(FilePiece),
    /// Memory of a process.
    Memory(MemoryPiece),
    /// A process ended, and was waited for by the agent.
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
    /// What was not understood.
    Problem(GuestProblem),
}

/// What in a guest's stream was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestProblem {
    /// A frame.
    #[error(transparent)]
    Frame(#[from] FrameProblem),
    /// A format that no kernel writes, or one too many.
    #[error("cannot use the guest's format of {name}")]
    Format {
        /// Of which event.
        name: RawText,
    },
    /// Trace that came before its formats.
    #[error("the guest sent trace that nothing describes")]
    Trace,
}

impl GuestReader {
    /// Takes what the guest said and gives what it means. A stream may be cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<GuestItem> {
        let Self { frames, state } = self;
        let mut told = Vec::new();
        frames.push(bytes, |frame| match frame {
            Ok(frame) => state.take(frame, &mut told),
            Err(problem) => told.push(GuestItem::Problem(problem.into())),
        });
        told
    }

    /// What was begun and not ended when the stream ended.
    pub fn finish(&mut self) -> Vec<GuestItem> {
        let mut told = Vec::new();
        self.state.end_all(&mut told);
        told
    }

    /// Whether the stream cannot be read any further: whatever comes is ignored.
    pub fn is_broken(&self) -> bool {
        self.frames.is_broken()
    }
}

#[derive(Debug, Default)]
struct State {
    hello: Option<Hello>,
    layout: Option<PageLayout>,
    formats: BTreeMap<u16, Known>,
    /// Events that have a format: what a probe tells is not told from the numbers of the system call as well.
    probes: Probes,
    started_ns: u64,
    processes: BTreeMap<u32, Process>,
    novelty: Novelty,
}

#[derive(Debug, Default)]
struct Probes {
    socket: bool,
    listen: bool,
}

/// An event of the kernel and where its values are.
#[derive(Debug)]
struct Known {
    kind: Kind,
    pid: Field,
    fields: Vec<Option<Field>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fork,
    Exec,
    ProcessExit,
    Rename,
    Enter,
    Leave,
    Path,
    Arguments,
    Connect,
    Bind,
    Send,
    Write,
    Socket,
    Listen,
    Sleep,
    Mount,
    Exit,
    SocketState,
}

impl Kind {
    /// The kind of an event and the names of its fields; one of the form `x*` is the words `x0`, `x1`, ….
    fn of(name: &str) -> Option<(Self, &'static [&'static str])> {
        const ADDRESS: &[&str] = &["length", "a*"];
        const MESSAGE: &[&str] = &["bytes", "name", "a*", "h*"];
        Some(match name {
            "sched/sched_process_fork" => (Self::Fork, &["child_pid", "child_comm"]),
            "sched/sched_process_exec" => (Self::Exec, &["filename"]),
            "sched/sched_process_exit" => (Self::ProcessExit, &[]),
            "task/task_rename" => (Self::Rename, &["newcomm"]),
            "raw_syscalls/sys_enter" => (Self::Enter, &["id", "args"]),
            "raw_syscalls/sys_exit" => (Self::Leave, &["id", "ret"]),
            "sock/inet_sock_set_state" => (Self::SocketState, &["newstate", "family", "dport", "daddr", "daddr_v6"]),
            "komainu/path" => (Self::Path, &["name", "user"]),
            "komainu/exec" => (Self::Arguments, &["argc", "a*"]),
            "komainu/connect" | "komainu/connect_datagram" => (Self::Connect, ADDRESS),
            "komainu/bind" | "komainu/bind6" => (Self::Bind, ADDRESS),
            "komainu/send" | "komainu/send6" => (Self::Send, MESSAGE),
            "komainu/write" => (Self::Write, &["bytes", "h*"]),
            "komainu/socket" => (Self::Socket, &["family", "kind", "protocol"]),
            "komainu/listen" => (Self::Listen, &["descriptor"]),
            "komainu/sleep" => (Self::Sleep, &["ns", "first", "second"]),
            "komainu/mount" => (Self::Mount, &["source", "kind"]),
            "komainu/exit" => (Self::Exit, &["code"]),
            _ => return None,
        })
    }
}

/// What is known of a process besides what was told already.
#[derive(Debug, Default)]
struct Process {
    call: Option<Call>,
    /// The arguments of the program that it is becoming.
    arguments: Vec<RawText>,
}

/// A system call that was entered.
#[derive(Debug)]
struct Call {
    at_ns: u64,
    number: u64,
    name: Option<&'static str>,
    group: Group,
    arguments: [u64; 6],
    /// The paths that it named, in the order of its arguments.
    paths: [Option<RawText>; 2],
    /// How much it writes, and the beginning.
    written: Option<(u64, RawText)>,
    result: Option<i64>,
    told: bool,
}

/// Where events go.
struct Teller<'a> {
    told: &'a mut Vec<GuestItem>,
    novelty: &'a mut Novelty,
    started_ns: u64,
    pid: u32,
}

impl Teller<'_> {
    fn tell(&mut self, at_ns: u64, act: GuestAct) {
        let event = GuestEvent { at_ns: at_ns.saturating_sub(self.started_ns), pid: self.pid, act };
        let is_new = self.novelty.is_new(&event);
        self.told.push(GuestItem::Event { event, is_new });
    }
}

impl State {
    fn take(&mut self, frame: GuestFrame, told: &mut Vec<GuestItem>) {
        match frame {
            GuestFrame::Hello(hello) => {
                self.hello = Some(hello);
                told.push(GuestItem::Hello(hello));
            }
            GuestFrame::Format { name, text } => {
                if self.learn(&name, &text).is_none() {
                    let end = name.floor_char_boundary(HEAD_BYTES_MAX);
                    told.push(GuestItem::Problem(GuestProblem::Format { name: name[..end].into() }));
                }
            }
            GuestFrame::Ready => told.push(GuestItem::Ready),
            GuestFrame::Started { pid, at_ns } => {
                self.started_ns = at_ns;
                told.push(GuestItem::Started { pid });
            }
            GuestFrame::Trace(page) => self.read_page(&page, told),
            GuestFrame::File(piece) => told.push(GuestItem::File(piece)),
            GuestFrame::Memory(piece) => told.push(GuestItem::Memory(piece)),
            GuestFrame::Exited { pid, status } => told.push(GuestItem::Exited { pid, status }),
            GuestFrame::Finished(finished) => {
                self.end_all(told);
                told.push(GuestItem::Finished(finished));
            }
            GuestFrame::Note(text) => told.push(GuestItem::Note(text)),
        }
    }

    fn learn(&mut self, name: &str, text: &str) -> Option<()> {
        if name == "header_page" {
            self.layout = Some(PageLayout::parse(self.hello?.big_endian, text)?);
            return Some(());
        }
        let (kind, names) = Kind::of(name)?;
        let format = Format::parse(text)?;
        if self.formats.len() == FORMATS_MAX {
            return None;
        }
        let field = |name: &&str| match name.strip_suffix('*') {
            Some(letter) => format.words(letter.chars().next()?),
            None => format.field(name),
        };
        let fields = names.iter().map(field).collect();
        self.probes.socket |= kind == Kind::Socket;
        self.probes.listen |= kind == Kind::Listen;
        self.formats.insert(format.id, Known { kind, pid: format.field("common_pid")?, fields });
        Some(())
    }

    fn read_page(&mut self, bytes: &[u8], told: &mut Vec<GuestItem>) {
        let Some((layout, hello)) = self.layout.zip(self.hello) else {
            told.push(GuestItem::Problem(GuestProblem::Trace));
            return;
        };
        let Some(page) = layout.page(bytes) else {
            told.push(GuestItem::Problem(GuestProblem::Trace));
            return;
        };
        if let Some(events) = page.missing {
            let event = GuestEvent { at_ns: 0, pid: 0, act: GuestAct::Lost { events } };
            told.push(GuestItem::Event { event, is_new: false });
        }
        for record in page {
            // Every record begins with the number of its format.
            let id = record.bytes.get(..2).and_then(|id| layout.number(id)).and_then(|id| u16::try_from(id).ok());
            let Some(known) = id.and_then(|id| self.formats.get(&id)) else { continue };
            let values = Values { layout: &layout, known, record: record.bytes };
            let Some(pid) = known.pid.number(&layout, record.bytes).and_then(|pid| u32::try_from(pid).ok()) else {
                continue;
            };
            if !self.processes.contains_key(&pid)
                && self.processes.len() == PROCESSES_MAX
                && let Some((lowest, mut process)) = self.processes.pop_first()
            {
                let mut teller = Teller { told, novelty: &mut self.novelty, started_ns: self.started_ns, pid: lowest };
                process.end_call(&mut teller);
            }
            let process = self.processes.entry(pid).or_default();
            let mut teller = Teller { told, novelty: &mut self.novelty, started_ns: self.started_ns, pid };
            let gone = process.take(record.at_ns, &values, hello, &self.probes, &mut teller);
            if gone {
                self.processes.remove(&pid);
            }
        }
    }

    fn end_all(&mut self, told: &mut Vec<GuestItem>) {
        for (pid, mut process) in std::mem::take(&mut self.processes) {
            let mut teller = Teller { told, novelty: &mut self.novelty, started_ns: self.started_ns, pid };
            process.end_call(&mut teller);
        }
    }
}

/// The values of one record.
struct Values<'a> {
    layout: &'a PageLayout,
    known: &'a Known,
    record: &'a [u8],
}

impl<'a> Values<'a> {
    fn field(&self, index: usize) -> Option<&'a Field> {
        self.known.fields.get(index)?.as_ref()
    }

    fn bytes(&self, index: usize) -> Option<&'a [u8]> {
        self.field(index)?.bytes(self.layout, self.record)
    }

    fn text(&self, index: usize) -> Option<RawText> {
        let text = self.field(index)?.text(self.layout, self.record)?;
        Some(text.get(..PATH_BYTES_MAX).unwrap_or(text).into())
    }

    fn comm(&self, index: usize) -> RawText {
        let mut comm = self.text(index).unwrap_or_default();
        comm.0.truncate(COMM_BYTES_MAX);
        comm
    }

    fn number(&self, index: usize) -> Option<u64> {
        self.field(index)?.number(self.layout, self.record)
    }

    fn signed(&self, index: usize) -> Option<i64> {
        self.field(index)?.signed(self.layout, self.record)
    }

    /// A number of 32 bits; of a longer one the lower half, as the kernel takes it.
    fn word(&self, index: usize) -> Option<u32> {
        self.number(index).map(low_word)
    }
}

impl Process {
    /// Takes one record. Returns whether the process is gone.
    fn take(
        &mut self,
        at_ns: u64,
        values: &Values<'_>,
        hello: Hello,
        probes: &Probes,
        teller: &mut Teller<'_>,
    ) -> bool {
        match values.known.kind {
            Kind::Enter => {
                self.end_call(teller);
                self.call = Call::entered(at_ns, values, hello);
                if let Some(call) = &mut self.call {
                    call.tell_numbers(hello, probes, teller);
                }
            }
            Kind::Leave => self.leave(values, teller),
            Kind::Path => self.path(at_ns, values, teller),
            Kind::Fork => {
                let (child, comm) = (values.word(0).unwrap_or_default(), values.comm(1));
                teller.tell(at_ns, GuestAct::Fork { child, comm });
                self.tell_done();
            }
            Kind::Arguments => self.arguments = arguments(values),
            Kind::Exec => {
                let path = values.text(0).unwrap_or_default();
                teller.tell(at_ns, GuestAct::Exec { path, arguments: std::mem::take(&mut self.arguments) });
                self.call = None;
            }
            Kind::Rename => {
                // A process that becomes another program gets its name by that.
                if !self.call.as_ref().is_some_and(|call| call.group == Group::Exec) {
                    teller.tell(at_ns, GuestAct::Rename { comm: values.comm(0) });
                }
            }
            Kind::Connect => {
                if let Some(to) = address(values, 1) {
                    teller.tell(at_ns, GuestAct::Connect { to });
                    self.tell_done();
                }
            }
            Kind::Bind => {
                if let Some(at) = address(values, 1) {
                    teller.tell(at_ns, GuestAct::Bind { at });
                    self.tell_done();
                }
            }
            Kind::Send => {
                let bytes = values.number(0).unwrap_or_default();
                let to = values.number(1).filter(|&name| name != 0).and_then(|_| address(values, 2));
                let head = match self.call.as_mut().and_then(|call| call.written.take()) {
                    Some((_, head)) => head,
                    None => head(values, 3, bytes),
                };
                teller.tell(at_ns, GuestAct::Send { to, bytes, head });
                self.tell_done();
            }
            Kind::Write => {
                let bytes = values.number(0).unwrap_or_default();
                if let Some(call) = &mut self.call {
                    call.written = Some((bytes, head(values, 1, bytes)));
                }
            }
            Kind::Socket => {
                let [family, kind, protocol] = [0, 1, 2].map(|index| values.word(index).unwrap_or_default());
                teller.tell(at_ns, GuestAct::Socket { family, kind: socket_kind(hello.isa, kind), protocol });
                self.tell_done();
            }
            Kind::Listen => {
                teller.tell(at_ns, GuestAct::Listen { descriptor: values.word(0).unwrap_or_default().cast_signed() });
                self.tell_done();
            }
            Kind::Sleep => {
                let halves = || {
                    let (first, second) = (values.number(1)?, values.number(2)?);
                    Some(if hello.big_endian { first << 32 | second } else { second << 32 | first })
                };
                let ns = values.number(0).or_else(halves).unwrap_or_default();
                teller.tell(at_ns, GuestAct::Sleep { ns });
                self.tell_done();
            }
            Kind::Mount => {
                let unread = |text: RawText| if text.0 == b"(fault)" { RawText::default() } else { text };
                let source = values.text(0).map(unread).unwrap_or_default();
                let kind = values.text(1).map(unread).unwrap_or_default();
                let target = self.call.as_mut().and_then(|call| call.paths[0].take()).unwrap_or_default();
                teller.tell(at_ns, GuestAct::Mount { source, target, kind });
                self.tell_done();
            }
            Kind::Exit => {
                self.end_call(teller);
                teller.tell(at_ns, GuestAct::Exit { status: values.word(0).unwrap_or_default() });
                return true;
            }
            Kind::ProcessExit => {
                // This tracepoint does not say how; the agent tells of those that it waits for.
                self.end_call(teller);
                teller.tell(at_ns, GuestAct::Exit { status: 0 });
                return true;
            }
            Kind::SocketState => {
                // TCP_SYN_SENT of the kernel's include/net/tcp_states.h: a connection begins.
                if values.number(0) == Some(2)
                    && let Some(to) = connecting(values)
                {
                    teller.tell(at_ns, GuestAct::Connect { to });
                    self.tell_done();
                }
            }
        }
        false
    }

    /// What the call did is told by something that knows it better.
    fn tell_done(&mut self) {
        if let Some(call) = &mut self.call {
            call.told = true;
        }
    }

    fn leave(&mut self, values: &Values<'_>, teller: &mut Teller<'_>) {
        if let Some(call) = &mut self.call
            && values.number(0) == Some(call.number)
        {
            call.result = values.signed(1);
            self.end_call(teller);
        }
    }

    fn path(&mut self, at_ns: u64, values: &Values<'_>, teller: &mut Teller<'_>) {
        let (Some(path), user) = (values.text(0), values.number(1).unwrap_or_default()) else { return };
        // A name that could not be copied has no address either.
        if path.0 == b"(fault)" {
            return;
        }
        match &mut self.call {
            Some(call) if call.group == Group::Exec => call.paths[0] = Some(path),
            Some(call) => {
                if call.take_path(user, &path) {
                    call.tell_paths(teller);
                } else {
                    teller.tell(at_ns, GuestAct::Look { path });
                }
            }
            None => teller.tell(at_ns, GuestAct::Look { path }),
        }
    }

    /// Tells what is still untold of the call that the process was in.
    fn end_call(&mut self, teller: &mut Teller<'_>) {
        if let Some(call) = self.call.take() {
            call.end(teller);
        }
    }
}

impl Call {
    fn entered(at_ns: u64, values: &Values<'_>, hello: Hello) -> Option<Self> {
        let number = values.number(0)?;
        let mut arguments = [0; 6];
        let words = values.bytes(1)?.chunks_exact(hello.long_bytes);
        for (argument, word) in arguments.iter_mut().zip(words) {
            *argument = values.layout.number(word)?;
        }
        let name = u32::try_from(number).ok().and_then(|number| system_calls::name(hello.isa, number));
        Some(Self {
            at_ns,
            number,
            name,
            group: name.map_or(Group::Other, Group::of),
            arguments,
            paths: [None, None],
            written: None,
            result: None,
            told: false,
        })
    }

    fn word(&self, index: usize) -> u32 {
        low_word(self.arguments[index])
    }

    fn int(&self, index: usize) -> i32 {
        self.word(index).cast_signed()
    }

    /// Tells at once what the numbers alone say.
    fn tell_numbers(&mut self, hello: Hello, probes: &Probes, teller: &mut Teller<'_>) {
        let name = || RawText::from(self.name.unwrap_or_default());
        let act = match self.group {
            Group::Kill => GuestAct::Kill { target: self.int(0), signal: self.word(1) },
            Group::KillThread => GuestAct::Kill { target: self.int(1), signal: self.word(2) },
            Group::Trace => GuestAct::Trace { request: self.word(0), target: self.int(1) },
            Group::Control => GuestAct::Control { operation: self.word(0), argument: self.arguments[1] },
            Group::DeviceControl => GuestAct::DeviceControl { descriptor: self.int(0), command: self.word(1) },
            Group::ChangeUser(index) => GuestAct::ChangeUser { uid: self.word(index) },
            Group::Module => GuestAct::Module { name: RawText::default() },
            Group::Machine => GuestAct::Machine { call: name() },
            Group::ChangeModeOf => GuestAct::ChangeMode { path: RawText::default(), mode: self.word(1) & 0o7777 },
            Group::Socket if !probes.socket => GuestAct::Socket {
                family: self.word(0),
                kind: socket_kind(hello.isa, self.word(1)),
                protocol: self.word(2),
            },
            Group::Listen if !probes.listen => GuestAct::Listen { descriptor: self.int(0) },
            Group::Socket
            | Group::Listen
            | Group::Exec
            | Group::Open(_)
            | Group::Path(..)
            | Group::Paths(..)
            | Group::Write
            | Group::Other => return,
        };
        teller.tell(self.at_ns, act);
        self.told = true;
    }

    /// Keeps a path if one of the call's arguments points to where it was copied from.
    fn take_path(&mut self, user: u64, path: &RawText) -> bool {
        let places = match self.group {
            Group::Open(index) | Group::Path(index, _) => [Some(index), None],
            Group::Paths(first, second, _) => [Some(first), Some(second)],
            _ => return false,
        };
        for (place, kept) in places.iter().zip(&mut self.paths) {
            if let Some(index) = place
                && self.arguments[*index] == user
                && kept.is_none()
            {
                *kept = Some(path.clone());
                return true;
            }
        }
        false
    }

    /// Tells what needed paths once they are there. An opening waits for its result, and mounting for its other names.
    fn tell_paths(&mut self, teller: &mut Teller<'_>) {
        let act = match self.group {
            Group::Path(index, meaning) => self.paths[0].clone().and_then(|path| meaning(path, self.word(index + 1))),
            Group::Paths(_, _, meaning) => {
                self.paths[0].clone().zip(self.paths[1].clone()).map(|(first, second)| meaning(first, second))
            }
            _ => None,
        };
        if let Some(act) = act {
            teller.tell(self.at_ns, act);
            self.told = true;
        }
    }

    fn end(mut self, teller: &mut Teller<'_>) {
        if self.told {
            return;
        }
        let [first, second] = std::mem::take(&mut self.paths);
        let act = match (self.group, first, self.written.take()) {
            (Group::Open(index), Some(path), _) => {
                Some(GuestAct::Open { path, flags: self.open_flags(index), result: self.result })
            }
            (Group::Write, _, Some((bytes, head))) => Some(GuestAct::Write { descriptor: self.int(0), bytes, head }),
            (_, first, _) => {
                // What could not be put together: the paths that are known, and the call.
                for path in [first, second].into_iter().flatten() {
                    teller.tell(self.at_ns, GuestAct::Look { path });
                }
                None
            }
        };
        let act = act.unwrap_or_else(|| GuestAct::Call {
            name: match self.name {
                Some(name) => name.into(),
                None => self.number.to_string().as_str().into(),
            },
            arguments: self.arguments.to_vec(),
            result: self.result,
        });
        teller.tell(self.at_ns, act);
    }

    /// The flags of an opening; `creat` has none of its own and `openat2` keeps them where the trace does not look.
    fn open_flags(&self, path_index: usize) -> u32 {
        // O_CREAT | O_WRONLY | O_TRUNC in the numbers of most processors.
        const CREATE: u32 = 0o1101;
        match self.name {
            Some("creat") => CREATE,
            Some("openat2") => 0,
            _ => self.word(path_index + 1),
        }
    }
}

fn low_word(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("the mask leaves 32 bits")
}

/// The kind of a socket without its flags. On MIPS a stream is 2 and a datagram 1 (`arch/mips/include/asm/socket.h`).
fn socket_kind(isa: GuestIsa, kind: u32) -> u32 {
    match (isa, kind & 0xf) {
        (GuestIsa::Mips | GuestIsa::Mipsel, 1) => 2,
        (GuestIsa::Mips | GuestIsa::Mipsel, 2) => 1,
        (_, kind) => kind,
    }
}

/// The beginning of what is written, as far as it was copied and belongs to it.
fn head(values: &Values<'_>, index: usize, bytes: u64) -> RawText {
    let copied = values.bytes(index).unwrap_or_default();
    let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(HEAD_BYTES_MAX).min(copied.len());
    RawText::from(&copied[..length])
}

/// The arguments of a program: they lie one behind the other, each with a zero byte at its end.
fn arguments(values: &Values<'_>) -> Vec<RawText> {
    let count = usize::try_from(values.number(0).unwrap_or_default()).unwrap_or(usize::MAX).min(ARGUMENTS_MAX);
    let copied = values.bytes(1).unwrap_or_default();
    // Where nothing could be read there are zeros; what follows the last argument is cut off by the count.
    copied.split(|&byte| byte == 0).take(count).map(|text| text[..text.len().min(ARGUMENT_BYTES_MAX)].into()).collect()
}

/// A socket address out of the words of a probe: the family in the kernel's order, everything else in the network's.
fn address(values: &Values<'_>, index: usize) -> Option<SocketAddr> {
    let bytes = values.bytes(index)?;
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    let ip = match values.layout.number(bytes.get(..2)?)? {
        2 => IpAddr::from(Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?)),
        10 => IpAddr::from(Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// To where a socket connects whose state changed.
fn connecting(values: &Values<'_>) -> Option<SocketAddr> {
    let port = u16::try_from(values.number(2)?).ok()?;
    let ip = match values.number(1)? {
        2 => IpAddr::from(Ipv4Addr::from(*values.bytes(3)?.first_chunk::<4>()?)),
        10 => IpAddr::from(Ipv6Addr::from(*values.bytes(4)?.first_chunk::<16>()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}
