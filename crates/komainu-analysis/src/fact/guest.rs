//! What the guest's kernel told, as facts.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use komainu_trace::guest::{GuestAct, GuestEvent};
use komainu_trace::{GuestIsa, RawText};

use super::{Category, Fact, Field, Log, PROCESSES_MAX, Process, Text};
use crate::c2::scope;
use crate::evidence::Run;

/// The most descriptors of a process whose files are remembered; Linux lets a process have 1024 of its own accord.
const DESCRIPTORS_MAX: usize = 1024;
/// The longest path that is followed, in bytes: `PATH_MAX` of Linux.
const PATH_BYTES_MAX: usize = 4096;
/// The request by which a process lets its parent trace it (ptrace(2)).
const PTRACE_TRACEME: u32 = 0;

/// Reads what the kernel told of a run.
pub(super) fn read(run: &Run, log: &mut Log) {
    let mut order: Vec<&GuestEvent> = run.guest.iter().collect();
    order.sort_by_key(|event| event.at_ns);
    let mut reader = Reader {
        isa: run.isa,
        sample: absolute(&run.sample_path.to_string(), "/"),
        processes: HashMap::new(),
        nobody: Known::new(None, Arc::new(Text::new("")), "/"),
        log,
    };
    for event in order {
        reader.event(event);
    }
    reader.finish();
}

/// What is remembered of a process.
#[derive(Clone)]
struct Known {
    parent: Option<u32>,
    parent_image: Arc<Text>,
    image: Arc<Text>,
    name: Arc<Text>,
    command_line: Arc<Text>,
    folder: Arc<str>,
    /// Shared with the child until one of them changes it, so that a fork bomb costs no copies.
    files: Arc<BTreeMap<i64, Arc<Text>>>,
    /// A new name that may turn out to be that of the program that it becomes.
    renamed: Option<(u64, Arc<Text>)>,
    /// Its place in the tree.
    place: Option<usize>,
}

impl Known {
    fn new(parent: Option<u32>, image: Arc<Text>, folder: &str) -> Self {
        Self {
            parent,
            parent_image: Arc::new(Text::new("")),
            name: Arc::clone(&image),
            command_line: Arc::new(Text::new("")),
            image,
            folder: folder.into(),
            files: Arc::default(),
            renamed: None,
            place: None,
        }
    }
}

struct Reader<'a> {
    isa: GuestIsa,
    /// The path of the sample.
    sample: String,
    processes: HashMap<u32, Known>,
    /// Stands for processes beyond the bound.
    nobody: Known,
    log: &'a mut Log,
}

impl Reader<'_> {
    fn event(&mut self, event: &GuestEvent) {
        let pid = event.pid;
        let at_us = event.at_ns / 1000;
        if let GuestAct::Lost { events } = &event.act {
            self.log.lose("events of the guest's kernel", *events);
            return;
        }
        self.meet(pid, at_us);
        self.settle_name(pid, Some(&event.act));
        let fact = self.fact(event, at_us);
        if let Some(fact) = fact {
            self.add(fact, pid, at_us);
        }
    }

    fn finish(&mut self) {
        let mut waiting: Vec<u32> =
            self.processes.iter().filter(|(_, known)| known.renamed.is_some()).map(|(pid, _)| *pid).collect();
        waiting.sort_unstable();
        for pid in waiting {
            self.settle_name(pid, None);
        }
    }

    fn known(&self, pid: u32) -> &Known {
        self.processes.get(&pid).unwrap_or(&self.nobody)
    }

    fn image(&self, pid: u32) -> Option<Arc<Text>> {
        self.processes.get(&pid).map(|known| Arc::clone(&known.image))
    }

    /// Makes a process known that was not seen to be made: the sample's first one.
    fn meet(&mut self, pid: u32, at_us: u64) {
        if self.processes.contains_key(&pid) {
            return;
        }
        let sample = Arc::new(Text::new(&self.sample));
        let folder =
            self.sample.rsplit_once('/').map_or("/", |(folder, _)| if folder.is_empty() { "/" } else { folder });
        let known = Known::new(None, sample, folder);
        self.remember(pid, known, at_us);
    }

    fn remember(&mut self, pid: u32, mut known: Known, at_us: u64) {
        if self.log.processes.len() < PROCESSES_MAX {
            known.place = Some(self.log.processes.len());
            self.log.processes.push(Process {
                run: self.log.run,
                pid,
                parent: known.parent,
                name: known.name.as_str().to_owned(),
                image: known.image.as_str().to_owned(),
                command_line: known.command_line.as_str().to_owned(),
                from_us: at_us,
                until_us: None,
                exit: None,
            });
        } else {
            self.log.lose("processes", 1);
        }
        if self.processes.len() < PROCESSES_MAX * 4 {
            self.processes.insert(pid, known);
        }
    }

    /// A process whose name changed only because it became another program did not rename itself.
    fn settle_name(&mut self, pid: u32, next: Option<&GuestAct>) {
        let Some(known) = self.processes.get_mut(&pid) else { return };
        let Some((at_us, name)) = known.renamed.take() else { return };
        if let Some(GuestAct::Exec { path, .. }) = next
            && is_name_of(name.as_str(), &path.to_string())
        {
            return;
        }
        let fact = Fact::new(Category::Process, "rename").with_text(Field::NewName, Arc::clone(&name));
        self.add(fact, pid, at_us);
        if let Some(known) = self.processes.get_mut(&pid) {
            known.name = name;
        }
    }

    fn add(&mut self, mut fact: Fact, pid: u32, at_us: u64) {
        let known = self.known(pid);
        if fact.value(Field::Image).is_none() {
            fact = fact.with_text(Field::Image, Arc::clone(&known.image));
        }
        fact = fact
            .with_text(Field::ProcessName, Arc::clone(&known.name))
            .with_text(Field::ParentImage, Arc::clone(&known.parent_image));
        fact.at_us = at_us;
        fact.pid = Some(pid);
        self.log.add(fact);
    }

    /// The path absolute, as far as the folder of the process is known.
    fn path(&self, pid: u32, path: &RawText) -> String {
        let known = self.known(pid);
        let path = absolute(&path.to_string(), &known.folder);
        let own = "/proc/self";
        match path.strip_prefix(&format!("/proc/{pid}")) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{own}{rest}"),
            _ => path,
        }
    }

    fn file_fact(&self, action: &str, pid: u32, path: &RawText) -> Fact {
        let path = self.path(pid, path);
        let is_own = path == self.sample || path == self.known(pid).image.as_str() || path == "/proc/self/exe";
        Fact::new(Category::File, action).with(Field::TargetFilename, &path).with_flag(Field::OwnFile, is_own)
    }

    fn descriptor(&self, pid: u32, descriptor: i32) -> Option<Arc<Text>> {
        self.known(pid).files.get(&i64::from(descriptor)).cloned()
    }

    fn fact(&mut self, event: &GuestEvent, at_us: u64) -> Option<Fact> {
        let pid = event.pid;
        Some(match &event.act {
            GuestAct::Fork { child, comm } => {
                self.fork(pid, *child, comm, at_us);
                Fact::new(Category::Process, "fork")
                    .with_number(Field::ChildProcessId, i64::from(*child))
                    .with(Field::NewName, &comm.to_string())
            }
            GuestAct::Exec { path, arguments } => self.exec(pid, path, arguments),
            GuestAct::Rename { comm } => {
                let name = Arc::new(Text::new(&comm.to_string()));
                let known = self.processes.get_mut(&pid)?;
                // The kernel tells the name also when a program begins; it is then what it is called anyway.
                if !is_name_of(name.as_str(), known.image.as_str()) && name != known.name {
                    known.renamed = Some((at_us, name));
                }
                return None;
            }
            GuestAct::Exit { status } => {
                if let Some(process) = self.processes.get(&pid).and_then(|known| known.place)
                    && let Some(process) = self.log.processes.get_mut(process)
                {
                    process.until_us = Some(at_us);
                    process.exit = Some(*status);
                }
                Fact::new(Category::Process, "exit")
                    .with_number(Field::ExitStatus, i64::from((status >> 8) & 0xff))
                    .with_number(Field::Signal, i64::from(status & 0x7f))
            }
            GuestAct::Open { path, flags, result } => {
                if let (Some(descriptor @ 0..), Some(_)) = (result, self.processes.get(&pid)) {
                    let path = Arc::new(Text::new(&self.path(pid, path)));
                    self.opened(pid, *descriptor, path);
                }
                let writes = flags & 3 != 0;
                let fact = self
                    .file_fact("open", pid, path)
                    .with(Field::Access, if writes { "write" } else { "read" })
                    .with_flag(Field::Created, flags & create_flag(self.isa) != 0);
                match result {
                    Some(result) => fact.with_flag(Field::Success, *result >= 0),
                    None => fact,
                }
            }
            GuestAct::Write { descriptor, bytes, head } => {
                let fact = Fact::new(Category::File, "write")
                    .with_number(Field::Bytes, i64::try_from(*bytes).unwrap_or(i64::MAX))
                    .with(Field::Content, &head.to_string());
                match self.descriptor(pid, *descriptor) {
                    Some(path) => fact.with_text(Field::TargetFilename, path),
                    None => fact,
                }
            }
            GuestAct::Unlink { path } => self.file_fact("delete", pid, path),
            GuestAct::Move { from, to } => {
                self.file_fact("move", pid, to).with(Field::SourceFilename, &self.path(pid, from))
            }
            GuestAct::MakeFolder { path } => self.file_fact("make-folder", pid, path),
            GuestAct::ChangeMode { path, mode } => {
                let fact = if path.0.is_empty() {
                    Fact::new(Category::File, "chmod")
                } else {
                    self.file_fact("chmod", pid, path)
                };
                fact.with(Field::Mode, &format!("{:04o}", mode & 0o7777))
                    .with_flag(Field::Executable, mode & 0o111 != 0)
            }
            GuestAct::ChangeFolder { path } => {
                let path = self.path(pid, path);
                if let Some(known) = self.processes.get_mut(&pid) {
                    known.folder = path.as_str().into();
                }
                Fact::new(Category::File, "change-folder").with(Field::TargetFilename, &path)
            }
            GuestAct::Look { path } => self.file_fact("look", pid, path),
            GuestAct::Mount { source, target, kind } => self
                .file_fact("mount", pid, target)
                .with(Field::SourceFilename, &source.to_string())
                .with(Field::Kind, &kind.to_string()),
            GuestAct::Socket { family, kind, protocol } => Fact::new(Category::Network, "socket")
                .with(Field::SocketKind, &socket_kind(*kind))
                .with_number(Field::Family, i64::from(*family))
                .with(Field::Protocol, &protocol_name(*protocol)),
            GuestAct::Connect { to } => destination(Fact::new(Category::Network, "call-connect"), *to),
            GuestAct::Bind { at } => Fact::new(Category::Network, "bind")
                .with(Field::LocalIp, &at.ip().to_string())
                .with_number(Field::LocalPort, i64::from(at.port()))
                .with(Field::Scope, scope(at.ip())),
            GuestAct::Listen { .. } => Fact::new(Category::Network, "listen"),
            GuestAct::Send { to, bytes, head } => {
                let fact = Fact::new(Category::Network, "call-send")
                    .with_number(Field::Bytes, i64::try_from(*bytes).unwrap_or(i64::MAX))
                    .with(Field::Content, &head.to_string());
                match to {
                    Some(to) => destination(fact, *to),
                    None => fact,
                }
            }
            GuestAct::Kill { target, signal } => self
                .target(Fact::new(Category::Process, "kill"), pid, *target)
                .with_number(Field::Signal, i64::from(*signal)),
            GuestAct::Trace { request, target } => {
                let fact = Fact::new(Category::Process, "ptrace").with_number(Field::Request, i64::from(*request));
                if *request == PTRACE_TRACEME {
                    fact.with(Field::Target, "self")
                } else {
                    self.target(fact, pid, *target)
                }
            }
            GuestAct::Control { operation, argument } => Fact::new(Category::Process, "prctl")
                .with_number(Field::Operation, i64::from(*operation))
                .with_number(Field::Argument, argument.cast_signed()),
            GuestAct::DeviceControl { descriptor, command } => {
                let fact = Fact::new(Category::Process, "ioctl").with_number(Field::DeviceCommand, i64::from(*command));
                match self.descriptor(pid, *descriptor) {
                    Some(path) => fact.with_text(Field::TargetFilename, path),
                    None => fact,
                }
            }
            GuestAct::Module { name } => Fact::new(Category::Process, "module").with(Field::Module, &name.to_string()),
            GuestAct::ChangeUser { uid } => {
                Fact::new(Category::Process, "change-user").with_number(Field::TargetUser, i64::from(*uid))
            }
            GuestAct::Sleep { ns } => Fact::new(Category::Process, "sleep")
                .with_number(Field::Milliseconds, i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX)),
            GuestAct::Machine { call } => {
                Fact::new(Category::Process, "machine").with(Field::SystemCall, &call.to_string())
            }
            GuestAct::Call { name, arguments, result } => {
                let mut fact = Fact::new(Category::Process, "call").with(Field::SystemCall, &name.to_string());
                if let Some(first) = arguments.first() {
                    fact = fact.with_number(Field::Argument, first.cast_signed());
                }
                match result {
                    Some(result) => fact.with_number(Field::Result, *result),
                    None => fact,
                }
            }
            GuestAct::Lost { .. } => return None,
        })
    }

    fn fork(&mut self, pid: u32, child: u32, comm: &RawText, at_us: u64) {
        let mut known = self.known(pid).clone();
        known.parent = Some(pid);
        known.parent_image = Arc::clone(&known.image);
        known.renamed = None;
        if !comm.0.is_empty() {
            known.name = Arc::new(Text::new(&comm.to_string()));
        }
        self.remember(child, known, at_us);
    }

    fn exec(&mut self, pid: u32, path: &RawText, arguments: &[RawText]) -> Fact {
        let path = self.path(pid, path);
        let words: Vec<String> = arguments.iter().map(RawText::to_string).collect();
        let image = Arc::new(Text::new(&path));
        let command_line = Arc::new(Text::new(&words.join(" ")));
        let before = self.known(pid).image.as_str().to_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        // The kernel keeps 15 bytes of a name (`TASK_COMM_LEN`); it is escaped, thus ASCII.
        let name = Arc::new(Text::new(name.get(..15).unwrap_or(name)));
        if let Some(known) = self.processes.get_mut(&pid) {
            known.image = Arc::clone(&image);
            known.command_line = Arc::clone(&command_line);
            known.name = Arc::clone(&name);
            if let Some(process) = known.place.and_then(|place| self.log.processes.get_mut(place)) {
                process.image = path.clone();
                process.command_line = command_line.as_str().to_owned();
                process.name = name.as_str().to_owned();
            }
        }
        Fact::new(Category::Process, "exec")
            .with_text(Field::CommandLine, command_line)
            .with_text(Field::Image, Arc::clone(&image))
            .with_text(Field::TargetFilename, image)
            .with_flag(Field::OwnFile, path == self.sample || path == before || path == "/proc/self/exe")
    }

    fn opened(&mut self, pid: u32, descriptor: i64, path: Arc<Text>) {
        let Some(known) = self.processes.get_mut(&pid) else { return };
        let files = Arc::make_mut(&mut known.files);
        if files.len() < DESCRIPTORS_MAX || files.contains_key(&descriptor) {
            files.insert(descriptor, path);
        } else {
            self.log.lose("open files", 1);
        }
    }

    fn target(&self, fact: Fact, pid: u32, target: i32) -> Fact {
        let process = target.unsigned_abs();
        let who = match target {
            -1 => "everybody",
            0 => "self",
            1 => "init",
            _ if process == pid => "self",
            _ if self.processes.contains_key(&process) => "sample",
            _ => "other",
        };
        let fact = fact.with_number(Field::TargetProcessId, i64::from(target)).with(Field::Target, who);
        match self.image(process) {
            Some(image) if who == "sample" => fact.with_text(Field::TargetImage, image),
            _ => fact,
        }
    }
}

/// A path from the root, without `.`, `..` and empty parts; relative ones begin at `folder`.
fn absolute(path: &str, folder: &str) -> String {
    let path = path.get(..path.len().min(PATH_BYTES_MAX)).unwrap_or_default();
    let mut parts: Vec<&str> = Vec::new();
    let start = if path.starts_with('/') { "" } else { folder };
    for part in start.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Whether a process that becomes the program at `path` is called `name` by the kernel.
fn is_name_of(name: &str, path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    file == name || (name.len() >= 15 && file.starts_with(name))
}

/// `O_CREAT` in the numbers of the processor (uapi/asm/fcntl.h of each).
fn create_flag(isa: GuestIsa) -> u32 {
    match isa {
        GuestIsa::Mips | GuestIsa::Mipsel => 0x100,
        GuestIsa::Sparc64 => 0x200,
        GuestIsa::Arm
        | GuestIsa::Arm64
        | GuestIsa::X86
        | GuestIsa::X86_64
        | GuestIsa::Powerpc
        | GuestIsa::Sh4
        | GuestIsa::Riscv64
        | GuestIsa::M68k => 0x40,
    }
}

fn socket_kind(kind: u32) -> String {
    match kind {
        1 => "stream".into(),
        2 => "datagram".into(),
        3 => "raw".into(),
        10 => "packet".into(),
        other => other.to_string(),
    }
}

fn protocol_name(protocol: u32) -> String {
    match protocol {
        0 => "any".into(),
        1 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        47 => "gre".into(),
        255 => "raw".into(),
        other => other.to_string(),
    }
}

pub(super) fn destination(fact: Fact, to: SocketAddr) -> Fact {
    destination_ip(fact, to.ip()).with_number(Field::DestinationPort, i64::from(to.port()))
}

pub(super) fn destination_ip(fact: Fact, to: IpAddr) -> Fact {
    fact.with(Field::DestinationIp, &to.to_string()).with(Field::Scope, scope(to))
}

#[cfg(test)]
mod tests {
    use super::absolute;

    #[test]
    fn paths_begin_at_the_root() {
        for (path, folder, expected) in [
            ("/etc/../tmp/./a", "/", "/tmp/a"),
            ("a", "/tmp", "/tmp/a"),
            ("../../../x", "/tmp", "/x"),
            ("", "/tmp", "/tmp"),
            ("//dev//watchdog", "/", "/dev/watchdog"),
        ] {
            assert_eq!(absolute(path, folder), expected);
        }
    }
}
