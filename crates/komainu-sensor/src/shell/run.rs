//! What runs one line: commands, redirections, pipelines, programs.
//!
//! Nothing runs at the same time: the parts of a pipeline run one after the other, each to its end, and a command in
//! the background runs at once. A writer whose pipe is full ends, as one whose reader went away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::files::{self, Data, Errno, Files, Kind, Opened};
use super::machine::{Device, Machine, View};
use super::syntax::{Function, Node, Reader, Redirect, RedirectKind, Simple, Trouble};
use super::{CaptureReason, Level, Note, Shell, ShellEvent, applets, builtins, elf};

/// How deep commands may run in each other: functions, substitutions, scripts. Bounds the stack.
const DEPTH_MAX: u32 = 40;
/// How long one line may keep the terminal waiting; a loop that sleeps longer is cut off.
const DELAY_MAX: Duration = Duration::from_secs(30);
/// What variables and positional parameters of one shell may hold, in bytes.
const VARIABLES_BYTES_MAX: usize = 262_144;
/// The source of all functions of one shell, in bytes; they outlive the line.
const FUNCTIONS_BYTES_MAX: usize = 32_768;
/// The sources that are run in each other, in bytes. What a source is read into is many times as large.
const SOURCES_BYTES_MAX: usize = 262_144;
/// Files that are open at once, as the soft limit of small devices; and buffers of pipes.
const OPEN_MAX: usize = 1_024;
/// Events of one line. A line that does more is noise, and its first events say what it is.
const EVENTS_MAX: usize = 256;
/// Bytes of captures of one line; a capture that no longer fits is left out.
const CAPTURED_BYTES_MAX: usize = 8 << 20;
/// A step pays for this many bytes that are copied or searched.
const BYTES_PER_STEP: usize = 256;

/// Why a command does not go on to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Leaves that many loops.
    Break(u32),
    /// Goes on with the next turn of the loop that many out.
    Continue(u32),
    Return(u8),
    Exit(u8),
    /// An error that ends a shell, unless somebody types into it.
    Failed(u8),
    /// Nobody reads the pipe any more.
    BrokenPipe,
    /// A limit was reached: the line ends here.
    Exhausted,
}

pub(crate) type Status = Result<u8, Stop>;

/// What a shell knows, and what a subshell gets a copy of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub(crate) variables: BTreeMap<Vec<u8>, Variable>,
    pub(crate) functions: BTreeMap<Vec<u8>, Function>,
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) folder: Vec<u8>,
    pub(crate) umask: u16,
    pub(crate) status: u8,
    pub(crate) background_pid: u32,
    pub(crate) exit_trap: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Variable {
    pub(crate) value: Vec<u8>,
    pub(crate) is_exported: bool,
    pub(crate) is_readonly: bool,
}

/// Where a file descriptor leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fd {
    Closed,
    Terminal,
    Null,
    Full,
    /// A buffer that is written.
    Buffer(usize),
    /// Bytes that are read.
    Input(usize),
    /// A file that is written.
    File(usize),
}

struct Input {
    data: Data,
    at: usize,
}

struct OpenFile {
    place: Vec<u8>,
    /// `None` is always the end.
    at: Option<usize>,
}

/// Who complains.
#[derive(Debug, Clone)]
pub(crate) struct Speaker {
    /// `argv[0]` of the shell, or the script.
    pub(crate) name: Vec<u8>,
    /// Whether commands come from a file.
    pub(crate) is_script: bool,
    /// Whether somebody types.
    pub(crate) is_interactive: bool,
    /// The line that runs.
    pub(crate) line: u32,
}

/// One line that runs.
pub(crate) struct Run<'a> {
    pub(crate) shell: &'a mut Shell,
    pub(crate) machine: Arc<Machine>,
    pub(crate) now: Duration,
    pub(crate) delay: Duration,
    pub(crate) speaker: Speaker,
    pub(crate) events: Vec<ShellEvent>,
    pub(crate) loops: u32,
    pub(crate) functions: u32,
    /// The variables that functions made local, to be put back.
    pub(crate) locals: Vec<(Vec<u8>, Option<Variable>)>,
    /// The status of the last command substitution.
    pub(crate) substituted: u8,
    captured_bytes: usize,
    source_bytes: usize,
    buffers: Vec<Vec<u8>>,
    inputs: Vec<Input>,
    open_files: Vec<OpenFile>,
    fds: Vec<Fd>,
    steps: u32,
    depth: u32,
    /// Whether something wanted to read what nobody has typed or sent yet.
    pub(crate) wants_input: bool,
    is_pipe_broken: bool,
    is_exhausted: bool,
    write_error: Option<Errno>,
    keeps_redirects: bool,
    /// Whether the output goes to a terminal, as of a login, or not, as of `ssh HOST COMMAND`.
    pub(crate) has_terminal: bool,
}

impl<'a> Run<'a> {
    pub(crate) fn new(shell: &'a mut Shell, speaker: Speaker, now: Duration) -> Self {
        let machine = shell.machine.clone();
        let steps = shell.limits.steps_per_line;
        let has_terminal = speaker.is_interactive;
        Self {
            shell,
            machine,
            now,
            delay: Duration::ZERO,
            speaker,
            events: Vec::new(),
            loops: 0,
            functions: 0,
            locals: Vec::new(),
            substituted: 0,
            captured_bytes: 0,
            source_bytes: 0,
            buffers: vec![Vec::new()],
            inputs: Vec::new(),
            open_files: Vec::new(),
            fds: vec![Fd::Terminal; 3],
            steps,
            depth: 0,
            wants_input: false,
            is_pipe_broken: false,
            is_exhausted: false,
            write_error: None,
            keeps_redirects: false,
            has_terminal,
        }
    }

    /// What the terminal was shown.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        self.buffers.first_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn scope(&mut self) -> &mut Scope {
        &mut self.shell.scope
    }

    pub(crate) fn folder(&self) -> Vec<u8> {
        self.shell.scope.folder.clone()
    }

    /// The files as this session sees them.
    pub(crate) fn files(&mut self) -> Files<'_> {
        let now_s = (self.now + self.delay).as_secs();
        Files {
            machine: &self.machine,
            overlay: &mut self.shell.overlay,
            view: View { uptime_s: self.machine.uptime_s + now_s, pid: self.shell.pid },
            now_s,
            bytes_max: self.shell.limits.overlay_bytes,
        }
    }

    /// Seconds since 1970.
    pub(crate) fn wall_clock_s(&self) -> u64 {
        self.machine.wall_clock_s + (self.now + self.delay).as_secs()
    }

    /// Pays for work on so many bytes.
    pub(crate) fn pay(&mut self, bytes: usize) -> Result<(), Stop> {
        let cost = u32::try_from(1 + bytes / BYTES_PER_STEP).unwrap_or(u32::MAX);
        match self.steps.checked_sub(cost) {
            Some(left) if !self.is_exhausted => self.steps = left,
            _ => {
                self.steps = 0;
                return Err(Stop::Exhausted);
            }
        }
        if std::mem::take(&mut self.is_pipe_broken) { Err(Stop::BrokenPipe) } else { Ok(()) }
    }

    pub(crate) fn wait(&mut self, time: Duration) -> Result<(), Stop> {
        self.delay = self.delay.saturating_add(time);
        if self.delay > DELAY_MAX {
            self.delay = DELAY_MAX;
            return Err(Stop::Exhausted);
        }
        Ok(())
    }

    // What is told.

    pub(crate) fn tell(&mut self, event: ShellEvent) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        }
    }

    pub(crate) fn note(&mut self, note: Note) {
        if !self.events.iter().any(|event| matches!(event, ShellEvent::Noted(told) if *told == note)) {
            self.tell(ShellEvent::Noted(note));
        }
    }

    /// Takes the file at an absolute path as a capture, if the session wrote it and it was not taken before.
    pub(crate) fn capture(&mut self, place: &[u8], why: CaptureReason) {
        let contents = self.files().unknown(place);
        self.captured(place, contents, why);
    }

    pub(crate) fn captured(&mut self, place: &[u8], contents: Option<Vec<u8>>, why: CaptureReason) {
        if let Some(contents) = contents
            && !contents.is_empty()
            && self.captured_bytes + contents.len() <= CAPTURED_BYTES_MAX
        {
            self.captured_bytes += contents.len();
            self.tell(ShellEvent::Captured { path: place.to_vec(), contents, why });
        }
    }

    // Input and output.

    pub(crate) fn fd(&self, number: usize) -> Fd {
        self.fds.get(number).copied().unwrap_or(Fd::Closed)
    }

    fn set_fd(&mut self, number: u8, fd: Fd) {
        let number = usize::from(number);
        if self.fds.len() <= number {
            self.fds.resize(number + 1, Fd::Closed);
        }
        if let Some(slot) = self.fds.get_mut(number) {
            *slot = fd;
        }
    }

    pub(crate) fn out(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(1, bytes.as_ref());
    }

    pub(crate) fn line(&mut self, line: impl AsRef<[u8]>) {
        self.write(1, line.as_ref());
        self.write(1, b"\n");
    }

    pub(crate) fn err(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(2, bytes.as_ref());
    }

    fn write(&mut self, number: usize, bytes: &[u8]) {
        match self.fd(number) {
            Fd::Null => {}
            Fd::Closed | Fd::Input(_) => {}
            Fd::Full => self.write_error = Some(Errno::NoSpace),
            Fd::Terminal => self.fill(0, bytes),
            Fd::Buffer(buffer) => self.fill(buffer, bytes),
            Fd::File(file) => {
                let Some(open) = self.open_files.get(file) else { return };
                let (place, at) = (open.place.clone(), open.at);
                match self.files().write(&place, at, bytes) {
                    Ok(()) => {
                        if let Some(OpenFile { at: Some(at), .. }) = self.open_files.get_mut(file) {
                            *at += bytes.len();
                        }
                    }
                    Err(error) => self.write_error = Some(error),
                }
            }
        }
    }

    fn fill(&mut self, buffer: usize, bytes: &[u8]) {
        let most = self.shell.limits.output_bytes;
        let Some(filled) = self.buffers.get_mut(buffer) else { return };
        let room = most.saturating_sub(filled.len());
        filled.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        if bytes.len() > room {
            if buffer == 0 {
                self.is_exhausted = true;
            } else {
                self.is_pipe_broken = true;
            }
        }
    }

    /// What a program has to say about a write that failed.
    pub(crate) fn write_error(&mut self) -> Option<Errno> {
        self.write_error.take()
    }

    /// How much a program may still write before nobody takes it.
    pub(crate) fn room(&self) -> usize {
        let most = self.shell.limits.output_bytes;
        match self.fd(1) {
            Fd::Buffer(buffer) => most.saturating_sub(self.buffers.get(buffer).map_or(0, Vec::len)),
            Fd::Terminal => most.saturating_sub(self.buffers.first().map_or(0, Vec::len)),
            Fd::File(_) => self.shell.limits.overlay_bytes,
            _ => most,
        }
    }

    pub(crate) fn is_terminal(&self, number: usize) -> bool {
        self.fd(number) == Fd::Terminal
    }

    /// All that standard input still has.
    pub(crate) fn read_all(&mut self) -> Vec<u8> {
        self.read_at_most(usize::MAX)
    }

    /// So many bytes of standard input, or fewer.
    pub(crate) fn read_at_most(&mut self, most: usize) -> Vec<u8> {
        self.wants_input |= self.fd(0) == Fd::Terminal;
        let Fd::Input(input) = self.fd(0) else { return Vec::new() };
        let Some(input) = self.inputs.get_mut(input) else { return Vec::new() };
        let rest = input.data.bytes().get(input.at..).unwrap_or_default();
        let taken = rest.get(..most.min(rest.len())).unwrap_or_default().to_vec();
        input.at += taken.len();
        taken
    }

    /// A line of standard input without its end, and whether it had one.
    pub(crate) fn read_line(&mut self) -> Option<(Vec<u8>, bool)> {
        self.wants_input |= self.fd(0) == Fd::Terminal;
        let Fd::Input(input) = self.fd(0) else { return None };
        let input = self.inputs.get_mut(input)?;
        let rest = input.data.bytes().get(input.at..)?;
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = rest.get(..end.unwrap_or(rest.len()))?.to_vec();
        input.at += line.len() + usize::from(end.is_some());
        Some((line, end.is_some()))
    }

    fn add_input(&mut self, data: Data) -> Fd {
        if self.inputs.len() >= OPEN_MAX {
            self.is_exhausted = true;
            return Fd::Null;
        }
        self.inputs.push(Input { data, at: 0 });
        Fd::Input(self.inputs.len() - 1)
    }

    /// Runs something with standard input and output of its own.
    pub(crate) fn with_fds<T>(
        &mut self,
        input: Option<Vec<u8>>,
        output: Option<Fd>,
        run: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let (fds, inputs, files) = (self.fds.clone(), self.inputs.len(), self.open_files.len());
        if let Some(input) = input {
            let fd = self.add_input(Data::Owned(input));
            self.set_fd(0, fd);
        }
        if let Some(output) = output {
            self.set_fd(1, output);
        }
        let result = run(self);
        self.fds = fds;
        self.inputs.truncate(inputs);
        self.open_files.truncate(files);
        result
    }

    /// Runs something and gives what it wrote.
    pub(crate) fn capturing<T>(&mut self, input: Option<Vec<u8>>, run: impl FnOnce(&mut Self) -> T) -> (Vec<u8>, T) {
        self.buffers.push(Vec::new());
        let buffer = self.buffers.len() - 1;
        let result = self.with_fds(input, Some(Fd::Buffer(buffer)), run);
        self.buffers.truncate(buffer + 1);
        (self.buffers.pop().unwrap_or_default(), result)
    }

    // Complaints.

    /// What the shell itself says of an error.
    pub(crate) fn complain(&mut self, message: impl AsRef<[u8]>) {
        let mut text = self.speaker.name.clone();
        text.extend_from_slice(b": ");
        if self.speaker.is_script {
            text.extend_from_slice(format!("line {}: ", self.speaker.line).as_bytes());
        }
        text.extend_from_slice(message.as_ref());
        text.push(b'\n');
        self.err(text);
    }

    /// What a builtin says of an error.
    pub(crate) fn complain_of(&mut self, builtin: &str, message: impl AsRef<[u8]>) {
        let mut text = self.speaker.name.clone();
        text.extend_from_slice(format!(": {builtin}: ").as_bytes());
        if !self.speaker.is_interactive {
            text.extend_from_slice(format!("line {}: ", self.speaker.line).as_bytes());
        }
        text.extend_from_slice(message.as_ref());
        text.push(b'\n');
        self.err(text);
    }

    // Sources.

    /// Runs a source to its end, one complete line after the other.
    pub(crate) fn source(&mut self, source: &[u8], first_line: u32) -> Result<(), Stop> {
        self.pay(source.len())?;
        self.source_bytes += source.len();
        let result =
            if self.source_bytes > SOURCES_BYTES_MAX { Err(Stop::Exhausted) } else { self.lines(source, first_line) };
        self.source_bytes -= source.len();
        result
    }

    fn lines(&mut self, source: &[u8], first_line: u32) -> Result<(), Stop> {
        let mut reader = Reader::new(source, first_line, false);
        while let Some(read) = reader.next() {
            match read {
                Ok(node) => {
                    let status = self.node(&node)?;
                    self.scope().status = status;
                }
                Err(Trouble::Unfinished(message) | Trouble::Wrong(message)) => {
                    self.speaker.line = reader.line();
                    return Err(self.syntax_error(&message));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn syntax_error(&mut self, message: &str) -> Stop {
        self.complain(format!("syntax error: {message}"));
        Stop::Failed(2)
    }

    /// Runs something in a copy of this shell.
    pub(crate) fn subshell(&mut self, run: impl FnOnce(&mut Self) -> Status) -> Status {
        let cost = self.shell.scope.variables.len() + self.shell.scope.arguments.len();
        self.pay(cost * 32)?;
        let scope = self.shell.scope.clone();
        let (speaker, loops, functions) = (self.speaker.clone(), self.loops, self.functions);
        let levels = self.shell.levels.len();
        (self.loops, self.functions) = (0, 0);
        self.scope().exit_trap.clear();
        let mut result = run(self);
        if !self.scope().exit_trap.is_empty() {
            let trap = std::mem::take(&mut self.scope().exit_trap);
            if let Err(stop @ (Stop::Exhausted | Stop::BrokenPipe)) = self.source(&trap, 0) {
                result = Err(stop);
            }
        }
        self.shell.levels.truncate(levels);
        self.shell.scope = scope;
        (self.speaker, self.loops, self.functions) = (speaker, loops, functions);
        match result {
            Err(Stop::Exit(status) | Stop::Return(status) | Stop::Failed(status)) => Ok(status),
            Err(Stop::Break(_) | Stop::Continue(_)) => Ok(0),
            other => other,
        }
    }

    /// Runs a source in a shell of its own: a script, `sh -c`.
    pub(crate) fn script(
        &mut self,
        name: &[u8],
        is_file: bool,
        source: &[u8],
        zero_and_arguments: &[Vec<u8>],
    ) -> Status {
        self.subshell(|run| {
            let (zero, arguments) =
                zero_and_arguments.split_first().map_or((name, &[][..]), |(z, a)| (z.as_slice(), a));
            let scope = run.scope();
            scope.functions.clear();
            scope.variables.retain(|_, variable| variable.is_exported);
            scope.arguments = arguments.to_vec();
            scope.variables.insert(b"0".to_vec(), Variable { value: zero.to_vec(), ..Variable::default() });
            run.speaker =
                Speaker { name: name.to_vec(), is_script: is_file, is_interactive: false, line: u32::from(is_file) };
            let source: Vec<u8> = source.iter().copied().filter(|&byte| byte != 0).collect();
            run.source(&source, u32::from(is_file))?;
            Ok(run.scope().status)
        })
    }

    // Commands.

    pub(crate) fn node(&mut self, node: &Node) -> Status {
        self.pay(0)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.depth -= 1;
            return Err(Stop::Exhausted);
        }
        let status = self.node_within(node);
        self.depth -= 1;
        status
    }

    fn node_within(&mut self, node: &Node) -> Status {
        match node {
            Node::Simple(simple) => self.simple(simple),
            Node::List(nodes) => {
                let mut status = 0;
                for node in nodes {
                    status = self.node(node)?;
                    self.scope().status = status;
                }
                Ok(status)
            }
            Node::Chain(first, rest) => {
                let mut status = self.node(first)?;
                for (on_success, node) in rest {
                    self.scope().status = status;
                    if (status == 0) == *on_success {
                        status = self.node(node)?;
                    }
                }
                Ok(status)
            }
            Node::Pipeline(parts) => self.pipeline(parts),
            Node::Not(node) => Ok(u8::from(self.node(node)? == 0)),
            Node::Background(node) => {
                self.shell.next_pid += 1;
                let pid = self.shell.next_pid;
                self.scope().background_pid = pid;
                let delay = self.delay;
                let result = self.with_fds(Some(Vec::new()), None, |run| run.subshell(|run| run.node(node)));
                // The terminal does not wait for it.
                self.delay = delay;
                match result {
                    Err(Stop::Exhausted) if self.steps > 0 && !self.is_exhausted => Ok(0),
                    other => other.map(|_| 0),
                }
            }
            Node::Subshell(node) => self.subshell(|run| run.node(node)),
            Node::Group(node) => self.node(node),
            Node::Redirected(node, redirects) => self.redirected(redirects, |run| run.node(node)),
            Node::If(arms, otherwise) => {
                for (test, body) in arms {
                    if self.node(test)? == 0 {
                        return self.node(body);
                    }
                }
                otherwise.as_ref().map_or(Ok(0), |body| self.node(body))
            }
            Node::While(is_until, test, body) => self.looping(|run| {
                let goes_on = (run.node(test)? == 0) != *is_until;
                if goes_on { run.node(body).map(Some) } else { Ok(None) }
            }),
            Node::For(name, words, body) => {
                let values = match words {
                    Some(words) => self.fields(words)?,
                    None => self.scope().arguments.clone(),
                };
                let mut values = values.into_iter();
                self.looping(|run| {
                    let Some(value) = values.next() else { return Ok(None) };
                    run.assign(name, value)?;
                    run.node(body).map(Some)
                })
            }
            Node::Case(word, arms) => {
                let value = self.single(word)?;
                for (patterns, body) in arms {
                    for pattern in patterns {
                        let pattern = self.pattern(pattern)?;
                        self.pay(pattern.len().saturating_mul(value.len()))?;
                        if super::pattern::matches(&pattern, &value) {
                            return self.node(body);
                        }
                    }
                }
                Ok(0)
            }
            Node::Function(name, body) => {
                let functions = &mut self.scope().functions;
                let held: usize = functions.values().map(|function| function.source_bytes).sum();
                if held + body.source_bytes > FUNCTIONS_BYTES_MAX {
                    return Err(Stop::Exhausted);
                }
                functions.insert(name.clone(), body.clone());
                Ok(0)
            }
        }
    }

    fn looping(&mut self, mut turn: impl FnMut(&mut Self) -> Result<Option<u8>, Stop>) -> Status {
        let mut status = 0;
        self.loops += 1;
        let result = loop {
            if let Err(stop) = self.pay(0) {
                break Err(stop);
            }
            match turn(self) {
                Ok(Some(last)) => {
                    status = last;
                    self.scope().status = last;
                }
                Ok(None) => break Ok(status),
                Err(Stop::Break(1)) => break Ok(0),
                Err(Stop::Break(outer)) => break Err(Stop::Break(outer - 1)),
                Err(Stop::Continue(1)) => {}
                Err(Stop::Continue(outer)) => break Err(Stop::Continue(outer - 1)),
                Err(stop) => break Err(stop),
            }
        };
        self.loops -= 1;
        result
    }

    fn pipeline(&mut self, parts: &[Node]) -> Status {
        let mut input = None;
        let mut status = 0;
        for (index, part) in parts.iter().enumerate() {
            let is_last = index + 1 == parts.len();
            let run = |run: &mut Self| match run.subshell(|run| run.node(part)) {
                Err(Stop::BrokenPipe) => Ok(141),
                other => other,
            };
            if is_last {
                status = self.with_fds(input.take(), None, run)?;
            } else {
                let (output, result) = self.capturing(input.take(), run);
                self.is_pipe_broken = false;
                result?;
                input = Some(output);
            }
        }
        Ok(status)
    }

    /// Runs something with its redirections, and puts back what was before.
    fn redirected(&mut self, redirects: &[Redirect], run: impl FnOnce(&mut Self) -> Status) -> Status {
        if redirects.is_empty() {
            return run(self);
        }
        let (fds, inputs, files) = (self.fds.clone(), self.inputs.len(), self.open_files.len());
        let status = match self.redirect_all(redirects) {
            Ok(true) => run(self),
            Ok(false) => Ok(1),
            Err(stop) => Err(stop),
        };
        if !std::mem::take(&mut self.keeps_redirects) {
            self.fds = fds;
            self.inputs.truncate(inputs);
            self.open_files.truncate(files);
        }
        status
    }

    fn redirect_all(&mut self, redirects: &[Redirect]) -> Result<bool, Stop> {
        for redirect in redirects {
            if self.open_files.len() >= OPEN_MAX {
                return Err(Stop::Exhausted);
            }
            if !self.redirect(redirect)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `false` if it cannot be done, which was told.
    fn redirect(&mut self, redirect: &Redirect) -> Result<bool, Stop> {
        let fd = match &redirect.kind {
            RedirectKind::Read(word) => {
                let name = self.single(word)?;
                let folder = self.folder();
                match self.files().stat(&folder, &name).map(|stat| stat.kind) {
                    Ok(Kind::Device(Device::Terminal)) => Fd::Terminal,
                    _ => match self.files().read(&folder, &name) {
                        Ok(data) => {
                            self.pay(data.bytes().len())?;
                            self.add_input(data)
                        }
                        // A folder can be opened, but it gives nothing.
                        Err(Errno::IsDirectory) => Fd::Null,
                        Err(error) => {
                            self.complain(quoted("can't open ", &name, reason_to_read(error)));
                            return Ok(false);
                        }
                    },
                }
            }
            RedirectKind::Write(word) => match self.open(word, false)? {
                Some(fd) => fd,
                None => return Ok(false),
            },
            RedirectKind::Append(word) | RedirectKind::ReadWrite(word) => match self.open(word, true)? {
                Some(fd) => fd,
                None => return Ok(false),
            },
            RedirectKind::Duplicate(word) => {
                let target = self.single(word)?;
                match target.as_slice() {
                    b"-" => Fd::Closed,
                    [digit @ b'0'..=b'9'] => match self.fd(usize::from(digit - b'0')) {
                        Fd::Closed => {
                            self.complain(quoted("", &target, "Bad file descriptor"));
                            return Ok(false);
                        }
                        fd => fd,
                    },
                    _ => return Err(self.syntax_error("bad fd number")),
                }
            }
            RedirectKind::Here(text) => {
                let text = match text.get() {
                    Some(word) => self.single(word)?,
                    None => Vec::new(),
                };
                self.add_input(Data::Owned(text))
            }
        };
        self.set_fd(redirect.fd, fd);
        Ok(true)
    }

    fn open(&mut self, word: &super::syntax::Word, appends: bool) -> Result<Option<Fd>, Stop> {
        let name = self.single(word)?;
        Ok(match self.open_path(&name, appends) {
            Ok(fd) => Some(fd),
            Err(error) => {
                self.complain(quoted("can't create ", &name, reason_to_create(error)));
                None
            }
        })
    }

    /// Opens a file for writing, at its end or empty.
    pub(crate) fn open_path(&mut self, name: &[u8], appends: bool) -> Result<Fd, Errno> {
        let (folder, mode) = (self.folder(), 0o666 & !self.scope().umask);
        Ok(match self.files().open(&folder, name, mode)? {
            Opened::Device(Device::Full) => Fd::Full,
            Opened::Device(Device::Terminal) => Fd::Terminal,
            Opened::Device(device) => {
                if device == Device::Other {
                    self.note(Note::WroteDevice);
                }
                Fd::Null
            }
            Opened::File(place) => {
                self.note_path(&place);
                if !appends {
                    let lost = self.files().truncate(&place);
                    self.captured(&place, lost, CaptureReason::Overwritten);
                }
                self.open_files.push(OpenFile { place, at: if appends { None } else { Some(0) } });
                Fd::File(self.open_files.len() - 1)
            }
        })
    }

    /// Notes a change to a file that says what somebody is up to.
    pub(crate) fn note_path(&mut self, place: &[u8]) {
        if let Some(note) = note_of(place) {
            self.note(note);
        }
    }

    fn simple(&mut self, simple: &Simple) -> Status {
        self.speaker.line = simple.line;
        self.substituted = 0;
        let words = self.fields(&simple.words)?;
        self.pay(words.iter().map(Vec::len).sum())?;
        let Some(name) = words.first().cloned() else {
            return self.redirected(&simple.redirects, |run| {
                for (name, word) in &simple.assignments {
                    let value = run.single(word)?;
                    run.assign(name, value)?;
                }
                Ok(run.substituted)
            });
        };
        let mut before = Vec::new();
        for (variable, word) in &simple.assignments {
            let value = self.single(word)?;
            before.push((variable.clone(), self.scope().variables.get(variable).cloned()));
            self.assign(variable, value)?;
            if let Some(variable) = self.scope().variables.get_mut(variable) {
                variable.is_exported = true;
            }
        }
        let status = self.redirected(&simple.redirects, |run| run.command(&name, &words));
        for (variable, value) in before.into_iter().rev() {
            self.restore(variable, value);
        }
        status
    }

    pub(crate) fn restore(&mut self, name: Vec<u8>, value: Option<Variable>) {
        match value {
            Some(value) => self.scope().variables.insert(name, value),
            None => self.scope().variables.remove(&name),
        };
    }

    /// Runs a function, a builtin or a program.
    pub(crate) fn command(&mut self, name: &[u8], words: &[Vec<u8>]) -> Status {
        if let Some(body) = self.scope().functions.get(name).cloned() {
            return self.function(&body.body, words);
        }
        self.command_or_builtin(name, words)
    }

    pub(crate) fn command_or_builtin(&mut self, name: &[u8], words: &[Vec<u8>]) -> Status {
        if let Some(builtin) = std::str::from_utf8(name).ok().and_then(builtins::find) {
            let status = builtin(self, words);
            if let Some(error) = self.write_error() {
                let speaker = super::applet_name(&self.speaker.name);
                let name = if matches!(name, b"echo" | b"printf") { speaker.as_str() } else { "sh" };
                self.err(format!("{name}: write error: {}\n", error.text()));
                return status.map(|_| 1);
            }
            return status;
        }
        self.program(name, words)
    }

    pub(crate) fn keep_redirects(&mut self) {
        self.keeps_redirects = true;
    }

    fn function(&mut self, body: &Arc<Node>, words: &[Vec<u8>]) -> Status {
        let arguments = words.get(1..).unwrap_or_default().to_vec();
        let before = std::mem::replace(&mut self.scope().arguments, arguments);
        let locals = self.locals.len();
        self.functions += 1;
        let loops = std::mem::take(&mut self.loops);
        let result = self.node(body);
        self.loops = loops;
        self.functions -= 1;
        while self.locals.len() > locals {
            if let Some((name, value)) = self.locals.pop() {
                self.restore(name, value);
            }
        }
        self.scope().arguments = before;
        match result {
            Err(Stop::Return(status)) => Ok(status),
            other => other,
        }
    }

    // Variables.

    pub(crate) fn variable(&self, name: &[u8]) -> Option<&Vec<u8>> {
        self.shell.scope.variables.get(name).map(|variable| &variable.value)
    }

    pub(crate) fn assign(&mut self, name: &[u8], value: Vec<u8>) -> Result<(), Stop> {
        self.pay(value.len())?;
        if self.scope().variables.get(name).is_some_and(|variable| variable.is_readonly) {
            self.complain(quoted("", name, "is read only"));
            return Err(Stop::Failed(2));
        }
        let scope = self.scope();
        let held: usize = match value.len() {
            // Many small ones are counted by their number.
            0..1024 => scope.variables.len() * 64,
            _ => scope.variables.values().map(|variable| variable.value.len()).sum(),
        };
        if held + value.len() > VARIABLES_BYTES_MAX {
            return Err(Stop::Exhausted);
        }
        scope.variables.entry(name.to_vec()).or_default().value = value;
        Ok(())
    }

    // Programs.

    /// Where a program is: an absolute path without links, and the path by which it was found.
    pub(crate) fn find_program(&mut self, name: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let folder = self.folder();
        if name.contains(&b'/') {
            let place = self.files().place(&folder, name, true).ok()?;
            self.files().stat(b"/", &place).ok()?;
            return Some((place, name.to_vec()));
        }
        let path = self.variable(b"PATH").cloned().unwrap_or_default();
        for part in path.split(|&byte| byte == b':').take(64) {
            let part = if part.is_empty() { b"." } else { part };
            let candidate = files::join(part, name);
            if let Ok(place) = self.files().place(&folder, &candidate, true)
                && let Ok(stat) = self.files().stat(b"/", &place)
                && stat.kind == Kind::File
            {
                return Some((place, candidate));
            }
        }
        None
    }

    /// Runs a program by name.
    pub(crate) fn program(&mut self, name: &[u8], words: &[Vec<u8>]) -> Status {
        self.pay(0)?;
        if files::split(name).1 == b"iptables" {
            self.note(Note::ChangedFirewall);
        }
        if name == b"curl" || name.ends_with(b"/curl") {
            applets::net::tell_curl(self, words);
        }
        if name.len() > 255 && !name.contains(&b'/') || name.is_empty() {
            self.complain(quoted("", name, "not found"));
            return Ok(127);
        }
        let Some((place, _)) = self.find_program(name) else {
            if !is_own_word(name) && name != b"curl" {
                self.tell(ShellEvent::Ran {
                    path: name.to_vec(),
                    arguments: words.get(1..).unwrap_or_default().to_vec(),
                });
            }
            self.complain(quoted("", name, "not found"));
            return Ok(127);
        };
        match self.start(&place, name, words)? {
            Ok(status) => Ok(status),
            Err(Errno::NotFound) => {
                self.complain(quoted("", name, "not found"));
                Ok(127)
            }
            Err(error) => {
                self.complain(quoted("", name, error.text()));
                Ok(126)
            }
        }
    }

    /// Starts the file at an absolute path; the inner error is why the kernel does not.
    pub(crate) fn start(&mut self, place: &[u8], name: &[u8], words: &[Vec<u8>]) -> Result<Result<u8, Errno>, Stop> {
        let Ok(stat) = self.files().stat(b"/", place) else { return Ok(Err(Errno::NotFound)) };
        if stat.kind != Kind::File || stat.mode & 0o111 == 0 {
            return Ok(Err(Errno::Permission));
        }
        let Ok(data) = self.files().read(b"/", place) else { return Ok(Err(Errno::Permission)) };
        let is_busybox = match &data {
            Data::Shared(bytes) => Arc::ptr_eq(bytes, &self.machine.busybox),
            Data::Owned(bytes) => bytes.as_slice() == &*self.machine.busybox,
        };
        if is_busybox {
            return self.busybox(name, words).map(Ok);
        }
        let arguments = words.get(1..).unwrap_or_default();
        self.tell(ShellEvent::Ran { path: place.to_vec(), arguments: arguments.to_vec() });
        self.capture(place, CaptureReason::Ran);
        let bytes = data.bytes();
        // Another processor's file is no program to the kernel, and so a script to the shell.
        if bytes.is_empty() || elf::runs_on(bytes, self.machine.cpu) == Some(true) {
            return Ok(Ok(0));
        }
        if let Some(rest) = bytes.strip_prefix(b"#!") {
            let first_line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let interpreter = first_line.trim_ascii().split(|&byte| byte == b' ').next().unwrap_or_default();
            let is_there = self.files().stat(b"/", interpreter).is_ok();
            if !is_there {
                return Ok(Err(Errno::NotFound));
            }
        }
        self.depth_checked(|run| {
            let zero_and_arguments: Vec<Vec<u8>> = std::iter::once(name.to_vec()).chain(arguments.to_vec()).collect();
            run.script(name, true, bytes, &zero_and_arguments)
        })
        .map(Ok)
    }

    pub(crate) fn depth_checked(&mut self, run: impl FnOnce(&mut Self) -> Status) -> Status {
        self.depth += 2;
        let status = if self.depth > DEPTH_MAX { Err(Stop::Exhausted) } else { run(self) };
        self.depth -= 2;
        status
    }

    /// The one program of all, by the name that it was called by.
    fn busybox(&mut self, name: &[u8], words: &[Vec<u8>]) -> Status {
        let called = files::split(name).1;
        self.depth_checked(|run| applets::run(run, called, words))
    }

    /// A shell in which the next lines are typed.
    pub(crate) fn nested(&mut self, name: &[u8]) -> Status {
        self.wants_input = true;
        self.shell.enter(Level { name: name.to_vec() });
        self.speaker.name = name.to_vec();
        let banner = self.shell.banner();
        self.out(banner);
        Ok(0)
    }
}

/// What a change to a file at an absolute path says of what somebody is up to.
pub(crate) fn note_of(place: &[u8]) -> Option<Note> {
    let holds = |part: &[u8]| place.windows(part.len()).any(|window| window == part);
    if holds(b"crontab") || holds(b"/cron/") {
        Some(Note::Scheduled)
    } else if holds(b"/init.d/") || holds(b"rc.local") || holds(b"/etc/inittab") || holds(b"/etc/profile") {
        Some(Note::StartsAtBoot)
    } else if holds(b"authorized_keys") {
        Some(Note::AddedKey)
    } else if matches!(place, b"/etc/passwd" | b"/etc/shadow") {
        Some(Note::ChangedPassword)
    } else if holds(b"/etc/hosts") || holds(b"resolv.conf") {
        Some(Note::ChangedNames)
    } else {
        None
    }
}

/// Words that people and loaders type to see what answers; that nothing of that name is there is no event.
fn is_own_word(name: &[u8]) -> bool {
    matches!(name, b"enable" | b"system" | b"shell" | b"linuxshell" | b"development" | b"bah" | b"ping" | b"help")
}

/// A complaint about something by its name.
pub(crate) fn quoted(before: &str, name: &[u8], reason: &str) -> Vec<u8> {
    let mut text = before.as_bytes().to_vec();
    text.extend_from_slice(name);
    text.extend_from_slice(b": ");
    text.extend_from_slice(reason.as_bytes());
    text
}

/// ash has words of its own for two errors (BusyBox 1.35, shell/ash.c, `errmsg`).
fn reason_to_read(error: Errno) -> &'static str {
    match error {
        Errno::NotFound | Errno::NotDirectory => "no such file",
        other => other.text(),
    }
}

fn reason_to_create(error: Errno) -> &'static str {
    match error {
        Errno::NotFound | Errno::NotDirectory => "nonexistent directory",
        other => other.text(),
    }
}
