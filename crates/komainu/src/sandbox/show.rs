//! A detonation as text that a person reads in ten seconds, and as JSON.
//!
//! What a sample chose is shown as [`RawText`](komainu_trace::RawText) writes it: a terminal sees printable ASCII.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use komainu_ports::{Detonation, DetonationEnd, RunAs};
use komainu_sandbox::{Comparison, Shown, shown};
use komainu_trace::agent::{FileChange, FilePiece};
use komainu_trace::guest::GuestAct;
use komainu_trace::network::{NetworkAct, NetworkEvent};
use komainu_trace::{GuestItem, GuestReader, RawText, left_files};
use serde_json::json;

use super::user_name;

/// Lines of each part of the text. More are counted: who wants all of them takes the folder.
const LINES_MAX: usize = 40;
/// Processes that are remembered of a run.
const PROCESSES_MAX: usize = 4_096;
/// Characters of one line.
const LINE_CHARACTERS_MAX: usize = 160;
/// How much of a stream is read at once.
const READ_BYTES: usize = 1 << 20;

/// A process of the sample.
#[derive(Debug, Default)]
struct Process {
    children: Vec<u32>,
    is_child: bool,
    /// What it became, or what it is called.
    programs: Vec<String>,
    status: Option<u32>,
}

/// The text of one run.
pub(super) fn text(detonation: &Detonation) -> String {
    let mut text = String::new();
    let user = match detonation.run_as {
        RunAs::User => "an ordinary user",
        RunAs::Root => "root",
    };
    let (isa, seconds) = (detonation.isa, detonation.ran_for.as_secs_f64());
    // Writing to a text does not fail.
    let _ = writeln!(text, "Ran on {isa} as {user} for {seconds:.1} s: {}.", end(&detonation.end));
    let cost = &detonation.cost;
    let _ = writeln!(
        text,
        "Started after {:.2} s; {:.2} s of processors, {} MiB.",
        cost.restored_in.as_secs_f64(),
        cost.cpu.as_secs_f64(),
        cost.memory_bytes_max >> 20
    );
    for cut in &detonation.cut {
        let _ = writeln!(text, "Not recorded: {cut}.");
    }
    let guest = Guest::read(&detonation.guest);
    part(&mut text, "Processes", guest.tree());
    part(&mut text, "Files", left_files(&detonation.guest).values().map(file).collect());
    part(&mut text, "Network", detonation.network.iter().filter_map(network).collect());
    text
}

/// A run as a line of JSON.
pub(super) fn json(detonation: &Detonation) -> String {
    let guest = Guest::read(&detonation.guest);
    let files: Vec<_> = left_files(&detonation.guest)
        .into_values()
        .map(|file| json!({ "change": change(file.change), "path": file.path, "mode": file.mode, "bytes": file.size }))
        .collect();
    let shown: Vec<_> = shown(detonation).iter().map(ToString::to_string).collect();
    let cost = &detonation.cost;
    let line = json!({
        "isa": detonation.isa,
        "as": user_name(detonation.run_as),
        "started_ms": detonation.started.unix_millis(),
        "ran_for_s": detonation.ran_for.as_secs_f64(),
        "end": end_key(&detonation.end),
        "why": end(&detonation.end),
        "cut": detonation.cut,
        "restored_in_s": cost.restored_in.as_secs_f64(),
        "cpu_s": cost.cpu.as_secs_f64(),
        "memory_bytes_max": cost.memory_bytes_max,
        "guest_bytes": detonation.guest.len(),
        "packets_bytes": detonation.packets.len(),
        "processes": guest.tree(),
        "files": files,
        "notes": guest.notes,
        "network": detonation.network,
        "shown": shown,
    });
    format!("{line}\n")
}

/// What the same sample showed as an ordinary user and as root.
pub(super) fn difference(as_user: &Detonation, as_root: &Detonation) -> String {
    let compared = Comparison::new(as_user, as_root);
    let mut text = String::new();
    let _ = writeln!(text, "\nAlike in {} things.", compared.both);
    let lines = |set: &BTreeSet<Shown>| set.iter().map(ToString::to_string).collect();
    part(&mut text, "Only as an ordinary user", lines(&compared.first_only));
    part(&mut text, "Only as root", lines(&compared.second_only));
    text
}

/// A headline and lines; nothing if there are none.
fn part(text: &mut String, headline: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{headline}");
    for line in lines.iter().take(LINES_MAX) {
        let cut: String = line.chars().take(LINE_CHARACTERS_MAX).collect();
        let _ = writeln!(text, "  {cut}{}", if cut.len() < line.len() { " …" } else { "" });
    }
    if lines.len() > LINES_MAX {
        let _ = writeln!(text, "  … and {} more", lines.len() - LINES_MAX);
    }
}

fn end(end: &DetonationEnd) -> String {
    match end {
        DetonationEnd::Exited => "all its processes ended".to_owned(),
        DetonationEnd::Quiet => "it showed nothing new any more".to_owned(),
        DetonationEnd::TimeOver => "its time was over".to_owned(),
        DetonationEnd::GuestGone => "the guest fell over or was switched off".to_owned(),
        DetonationEnd::NotRun(why) => format!("it could not be run, {why}"),
        DetonationEnd::Bound(which) => format!("a bound was reached, {which}"),
    }
}

fn end_key(end: &DetonationEnd) -> &'static str {
    match end {
        DetonationEnd::Exited => "exited",
        DetonationEnd::Quiet => "quiet",
        DetonationEnd::TimeOver => "time_over",
        DetonationEnd::GuestGone => "guest_gone",
        DetonationEnd::NotRun(_) => "not_run",
        DetonationEnd::Bound(_) => "bound",
    }
}

/// What is shown of the guest's stream.
#[derive(Debug, Default)]
struct Guest {
    first: Option<u32>,
    processes: BTreeMap<u32, Process>,
    notes: Vec<String>,
}

impl Guest {
    fn read(stream: &[u8]) -> Self {
        let (mut guest, mut reader) = (Self::default(), GuestReader::default());
        for piece in stream.chunks(READ_BYTES) {
            for item in reader.push(piece) {
                guest.take(item);
            }
        }
        guest
    }

    fn take(&mut self, item: GuestItem) {
        match item {
            GuestItem::Started { pid } => self.first = Some(pid),
            GuestItem::Note(note) if self.notes.len() < LINES_MAX => self.notes.push(note.to_string()),
            GuestItem::Event { event, .. } => match event.act {
                GuestAct::Fork { child, .. } => {
                    if let Some(process) = self.process(event.pid) {
                        process.children.push(child);
                    }
                    if let Some(process) = self.process(child) {
                        process.is_child = true;
                    }
                }
                GuestAct::Exec { path, arguments } => {
                    let arguments: Vec<_> = arguments.iter().skip(1).map(RawText::to_string).collect();
                    self.became(event.pid, format!("{path} {}", arguments.join(" ")).trim_end().to_owned());
                }
                GuestAct::Rename { comm } => self.became(event.pid, format!("[{comm}]")),
                GuestAct::Exit { status } => {
                    if let Some(process) = self.process(event.pid) {
                        process.status.get_or_insert(status);
                    }
                }
                _ => {}
            },
            GuestItem::Exited { pid, status } => {
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.status = Some(status);
                }
            }
            _ => {}
        }
    }

    fn process(&mut self, pid: u32) -> Option<&mut Process> {
        if self.processes.len() >= PROCESSES_MAX && !self.processes.contains_key(&pid) {
            return None;
        }
        Some(self.processes.entry(pid).or_default())
    }

    fn became(&mut self, pid: u32, program: String) {
        if let Some(process) = self.process(pid)
            && process.programs.len() < 4
            && process.programs.last() != Some(&program)
        {
            process.programs.push(program);
        }
    }

    /// A line for each process, children below their parents.
    fn tree(&self) -> Vec<String> {
        let roots = self.processes.iter().filter(|(pid, process)| !process.is_child || Some(**pid) == self.first);
        let mut left: Vec<(u32, usize)> = roots.map(|(pid, _)| (*pid, 0)).rev().collect();
        let (mut lines, mut told) = (Vec::new(), BTreeSet::new());
        while let Some((pid, depth)) = left.pop() {
            // Numbers of processes come again; each is told once.
            let Some(process) = self.processes.get(&pid).filter(|_| told.insert(pid)) else { continue };
            lines.push(format!("{}{pid} {process}", "  ".repeat(depth.min(20))));
            left.extend(process.children.iter().rev().map(|child| (*child, depth + 1)));
        }
        lines
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.programs.is_empty() {
            f.write_str("(as its parent)")?;
        } else {
            f.write_str(&self.programs.join(" → "))?;
        }
        match self.status {
            None | Some(0) => Ok(()),
            Some(status) if status & 0x7f != 0 => write!(f, "  [signal {}]", status & 0x7f),
            Some(status) => write!(f, "  [status {}]", status >> 8 & 0xff),
        }
    }
}

fn change(change: FileChange) -> &'static str {
    match change {
        FileChange::Created => "created",
        FileChange::Changed => "changed",
        FileChange::Removed => "removed",
    }
}

fn file(file: &FilePiece) -> String {
    let what = change(file.change);
    match file.change {
        FileChange::Removed => format!("{what} {}", file.path),
        FileChange::Created | FileChange::Changed => {
            let executable =
                if file.mode & 0o111 != 0 && file.mode & 0o170_000 == 0o100_000 { ", executable" } else { "" };
            format!("{what} {} ({} bytes{executable})", file.path, file.size)
        }
    }
}

/// A line for what the guest did on the network; what follows from another line has none.
fn network(event: &NetworkEvent) -> Option<String> {
    let named = |name: &Option<RawText>| name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let what = match &event.act {
        NetworkAct::Dhcp { .. } => "asked for an address".to_owned(),
        NetworkAct::Name { name, kind, server, answers } => {
            let answers: Vec<_> = answers.iter().map(ToString::to_string).collect();
            let answer = if answers.is_empty() { "no such name".to_owned() } else { answers.join(", ") };
            format!("name {name} {kind} → {answer}, asked {server}")
        }
        NetworkAct::Time { server } => format!("time, asked {server}"),
        NetworkAct::Connect { to, name, accepted, .. } => {
            format!("tcp {to}{}{}", named(name), if *accepted { "" } else { ", nobody answered" })
        }
        NetworkAct::Sent { bytes, head, .. } => format!("  sent {bytes} bytes: {head}"),
        NetworkAct::Http { method, target, host, status, .. } => {
            let host = host.as_ref().map(RawText::to_string).unwrap_or_default();
            format!("  http {method} {host}{target} → {status}")
        }
        NetworkAct::Tls { server_name, .. } => format!("  tls{}", named(server_name)),
        NetworkAct::Login { service, user, password, accepted, .. } => {
            format!("  {service} login {user} / {password}{}", if *accepted { ", let in" } else { "" })
        }
        NetworkAct::Command { service, line, .. } => format!("  {service} line: {line}"),
        NetworkAct::Content { sha256, bytes, .. } => format!("  handed over {bytes} bytes, SHA-256 {sha256}"),
        NetworkAct::Played { script, step, .. } => format!("  was told by {script}: {step}"),
        NetworkAct::Datagram { to, name, bytes, head, .. } => format!("udp {to}{} {bytes} bytes: {head}", named(name)),
        NetworkAct::Packet { protocol, to, bytes } => format!("packet of protocol {protocol} to {to}, {bytes} bytes"),
        NetworkAct::Counted { kind, port, packets, addresses, for_us, .. } => {
            let port = port.map(|port| format!(" to port {port}")).unwrap_or_default();
            format!("{packets} {kind} packets{port}, {addresses} addresses in {:.1} s", *for_us as f64 / 1e6)
        }
        NetworkAct::Targets { port, attempts, addresses, .. } => {
            format!("scan of port {port}: {attempts} tries at {addresses} addresses")
        }
        NetworkAct::GeneratedNames { names, .. } => format!("{names} names that look generated"),
        NetworkAct::Ssh { identification, .. } => format!("  ssh client {identification}"),
        NetworkAct::Proxied { target, via, .. } => format!("  by proxy ({via}) to {target}"),
        NetworkAct::Lost { what, count } => format!("not told: {what}, {count} times"),
        _ => return None,
    };
    // Texts of the simulated Internet about what the guest said are bounded there, and are no raw texts.
    Some(format!("{:7.2} s  {}", event.at_us as f64 / 1e6, what.replace(char::is_control, "\u{fffd}")))
}
