//! A shell that convinces loaders: the command line of a small Linux device (BusyBox' ash and its applets), without the
//! device.
//!
//! In: lines that a stranger types, and the time since the session began. Out: what the device would show, and what the
//! stranger did: programs asked to fetch, files dropped, programs run. Nothing is fetched, nothing runs, no file of
//! this computer is touched: files are bytes in the memory of the session, over those of the pretended device, and
//! programs are functions. It has no clock and no sockets. A session that only waits holds less than 2 KiB.
//!
//! Texts and messages are those of BusyBox 1.35, with which a test compares them.

mod applets;
mod arithmetic;
mod builtins;
mod digest;
mod elf;
mod escapes;
mod expand;
mod files;
mod machine;
mod pattern;
mod regex;
mod run;
mod syntax;

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use files::{Errno, Files, Kind as FileKind, Opened, Stat, join, split};
pub(crate) use machine::{Cpu, Machine, Mount};
pub(crate) use run::note_of;
use run::{Run, Scope, Speaker, Stop, Variable};
use syntax::{Reader, Trouble};

/// What a session may cost.
#[derive(Debug, Clone)]
pub(crate) struct ShellLimits {
    /// What its files may hold, in bytes: larger than any first stage, smaller than what hurts.
    pub(crate) overlay_bytes: usize,
    /// What one line may print, in bytes: a program file of the device is shown whole.
    pub(crate) output_bytes: usize,
    /// What one line may do. A command is a step, and so is each 256 bytes that are moved.
    pub(crate) steps_per_line: u32,
    /// What a command may be long, in bytes, over all its lines.
    pub(crate) input_bytes: usize,
}

impl Default for ShellLimits {
    fn default() -> Self {
        Self { overlay_bytes: 4 << 20, output_bytes: 256 << 10, steps_per_line: 50_000, input_bytes: 64 << 10 }
    }
}

/// A shell of one session.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    machine: Arc<Machine>,
    limits: ShellLimits,
    seed: u64,
    scope: Scope,
    overlay: files::Overlay,
    /// Lines of a command that is not complete.
    unfinished: Vec<u8>,
    /// Shells that were started by name inside the first.
    levels: Vec<Level>,
    pid: u32,
    next_pid: u32,
    /// Processes of the device that the session ended.
    ended: Vec<u32>,
    /// The name of the device, once the session changed it.
    host_name: Option<String>,
    is_over: bool,
}

/// A shell inside a shell.
#[derive(Debug, Clone)]
pub(crate) struct Level {
    name: Vec<u8>,
}

/// Shells inside shells; more are not counted, and `exit` leaves them all at once.
const LEVELS_MAX: usize = 8;

/// What a line brings about.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    /// What is shown, with `\n` as end of line.
    pub(crate) output: Vec<u8>,
    /// `$?`.
    pub(crate) status: u8,
    /// Whether the session ends.
    pub(crate) is_over: bool,
    /// How long the device takes before it answers; half a minute at most.
    pub(crate) delay: Duration,
    /// What was done, in order.
    pub(crate) events: Vec<ShellEvent>,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ShellEvent {
    /// A program was asked to fetch something. Nothing is fetched.
    Fetch {
        /// `wget`, `curl`, `tftp`, `ftpget`.
        program: &'static str,
        /// `scheme://host[:port]/path`, made from the arguments.
        url: Vec<u8>,
        /// Where it would be saved: an absolute path, or empty for the terminal or a pipe.
        to: Vec<u8>,
    },
    /// A file came into being or was changed, and is taken as it is now.
    Captured {
        /// Its absolute path.
        path: Vec<u8>,
        /// Its bytes.
        contents: Vec<u8>,
        /// Why now.
        why: CaptureReason,
    },
    /// A file that is none of the device's programs was run, or a program that the device does not have.
    Ran {
        /// The absolute path, or the name that was not found.
        path: Vec<u8>,
        /// Without its name.
        arguments: Vec<Vec<u8>>,
    },
    /// Something that tells what somebody is up to.
    Noted(Note),
}

/// Why a file is captured at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaptureReason {
    /// It was made executable.
    MadeExecutable,
    /// It was run, or read by a shell.
    Ran,
    /// It was removed.
    Removed,
    /// It was cut, or something else took its place.
    Overwritten,
    /// The session ended.
    SessionEnded,
}

/// What tells what somebody is up to. Each is told once a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// `kill`, `killall`, `pkill`.
    KilledProcess,
    /// A log was removed or cut.
    RemovedLog,
    /// `history -c`, `unset HISTFILE`.
    ClearedHistory,
    /// `iptables`.
    ChangedFirewall,
    /// `crontab`, or a file of it.
    Scheduled,
    /// A file that runs when the device starts.
    StartsAtBoot,
    /// `authorized_keys`.
    AddedKey,
    /// `passwd`, or its file.
    ChangedPassword,
    /// `hosts` or `resolv.conf`.
    ChangedNames,
    /// `reboot`, `halt`, `poweroff`.
    Rebooted,
    /// `mount`, `umount`.
    Mounted,
    /// A device file was written: flash memory, a watchdog.
    WroteDevice,
    /// A server was started: `telnetd`, `httpd`, `nc -l`.
    Listened,
    /// A connection was asked for: `nc`, `telnet`.
    Connected,
    /// `insmod`, `rmmod`.
    ChangedModules,
}

impl Shell {
    /// A shell of a user who just logged in. The seed makes what would be chance.
    pub(crate) fn new(machine: Arc<Machine>, limits: ShellLimits, seed: u64) -> Self {
        let pid = 1_000 + (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50) as u32;
        Self {
            scope: login_scope(&machine),
            machine,
            limits,
            seed,
            overlay: files::Overlay::default(),
            unfinished: Vec::new(),
            levels: Vec::new(),
            pid,
            next_pid: pid,
            ended: Vec::new(),
            host_name: None,
            is_over: false,
        }
    }

    /// The shell of another login to the same device: the files are as they were left.
    pub(crate) fn log_in_again(&mut self) {
        self.scope = login_scope(&self.machine);
        self.unfinished = Vec::new();
        self.levels = Vec::new();
        self.is_over = false;
    }

    /// The files as the session sees them; `now` is the time since it began.
    pub(crate) fn files(&mut self, now: Duration) -> Files<'_> {
        let now_s = now.as_secs();
        Files {
            machine: &self.machine,
            overlay: &mut self.overlay,
            view: machine::View { uptime_s: self.machine.uptime_s + now_s, pid: self.pid },
            now_s,
            bytes_max: self.limits.overlay_bytes,
        }
    }

    /// When something was changed, in seconds since 1970, by the clock of the device.
    pub(crate) fn changed_s(&self, stat: &Stat) -> u64 {
        match stat.changed_s {
            Some(changed_s) => self.machine.wall_clock_s.saturating_add(changed_s),
            None => self.machine.wall_clock_s.saturating_sub(self.machine.uptime_s),
        }
    }

    /// What a shell says when somebody logs in.
    pub(crate) fn banner(&self) -> Vec<u8> {
        format!("\n\n{} built-in shell (ash)\nEnter 'help' for a list of built-in commands.\n\n", self.machine.banner())
            .into()
    }

    /// `~ # `, or `> ` in the middle of a command.
    pub(crate) fn prompt(&self) -> Vec<u8> {
        if !self.unfinished.is_empty() {
            return b"> ".to_vec();
        }
        let mark = if self.machine.uid == 0 { b'#' } else { b'$' };
        let home = self.scope.variables.get(b"HOME".as_slice()).map_or(b"".as_slice(), |home| &home.value);
        let folder = self.scope.folder.as_slice();
        let mut prompt = match folder.strip_prefix(home) {
            Some(rest) if home.len() > 1 && (rest.is_empty() || rest.starts_with(b"/")) => [b"~", rest].concat(),
            _ => folder.to_vec(),
        };
        prompt.extend_from_slice(&[b' ', mark, b' ']);
        prompt
    }

    /// Runs a line that was typed, without its end; `now` is the time since the session began.
    pub(crate) fn line(&mut self, line: &[u8], now: Duration) -> Reaction {
        if self.unfinished.len() + line.len() > self.limits.input_bytes {
            self.unfinished = Vec::new();
            self.scope.status = 2;
            return Reaction { status: 2, ..Reaction::default() };
        }
        let mut source = std::mem::take(&mut self.unfinished);
        source.extend(line.iter().copied().filter(|byte| !matches!(byte, 0 | b'\r' | b'\n')));
        let goes_on =
            source.ends_with(b"\\") && source.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1;
        if goes_on {
            // The end of line would be taken out anyway: what is kept goes on where it ends.
            source.pop();
            self.unfinished = source;
            if self.unfinished.is_empty() {
                self.unfinished.push(b' ');
            }
            return Reaction { status: self.scope.status, ..Reaction::default() };
        }
        source.push(b'\n');
        let name = self.levels.last().map_or_else(|| b"-sh".to_vec(), |level| level.name.clone());
        let speaker = Speaker { name, is_script: false, is_interactive: true, line: 0 };
        let mut run = Run::new(self, speaker, now);
        let mut reader = Reader::new(&source, 0, true);
        let mut result = Ok(());
        let mut wants_more = false;
        while let Some(read) = reader.next() {
            let ran = match read {
                Ok(node) => run.node(&node),
                Err(Trouble::Unfinished(_)) => {
                    wants_more = true;
                    break;
                }
                Err(Trouble::Wrong(message)) => Err(run.syntax_error(&message)),
            };
            match ran {
                Ok(status) => run.scope().status = status,
                Err(stop) => {
                    result = Err(stop);
                    break;
                }
            }
        }
        let reaction = Self::reaction(run, result, true);
        if wants_more && !reaction.is_over {
            self.unfinished = source;
        }
        reaction
    }

    /// Runs a whole command that did not come from a terminal, `ssh HOST COMMAND`, while nothing of its standard input
    /// is there. None when it reads its input: then nothing has happened, and it is to be run with [`Shell::exec`] once
    /// all of its input is there.
    pub(crate) fn exec_without_input(&mut self, command: &[u8], now: Duration) -> Option<Reaction> {
        let before = self.clone();
        let reaction = self.exec_with(command, None, now);
        if reaction.is_none() {
            *self = before;
        }
        reaction
    }

    /// Runs a whole command that did not come from a terminal, with its standard input.
    pub(crate) fn exec(&mut self, command: &[u8], input: Vec<u8>, now: Duration) -> Reaction {
        self.exec_with(command, Some(input), now).unwrap_or_default()
    }

    fn exec_with(&mut self, command: &[u8], input: Option<Vec<u8>>, now: Duration) -> Option<Reaction> {
        let speaker = Speaker { name: b"sh".to_vec(), is_script: false, is_interactive: false, line: 0 };
        let too_long = command.len() > self.limits.input_bytes;
        let mut run = Run::new(self, speaker, now);
        let source: Vec<u8> = command.iter().copied().filter(|&byte| byte != 0).collect();
        let has_input = input.is_some();
        let result =
            if too_long { Err(Stop::Failed(2)) } else { run.with_fds(input, None, |run| run.source(&source, 0)) };
        if run.wants_input && !has_input {
            return None;
        }
        Some(Self::reaction(run, result, false))
    }

    /// Ends the session: what it left behind is told.
    pub(crate) fn close(&mut self) -> Vec<ShellEvent> {
        self.is_over = true;
        self.unfinished = Vec::new();
        let speaker = Speaker { name: b"sh".to_vec(), is_script: false, is_interactive: false, line: 0 };
        let mut run = Run::new(self, speaker, Duration::ZERO);
        for path in run.files().unknown_paths() {
            run.capture(&path, CaptureReason::SessionEnded);
        }
        let events = std::mem::take(&mut run.events);
        self.overlay = files::Overlay::default();
        events
    }

    fn reaction(mut run: Run<'_>, result: Result<(), Stop>, is_interactive: bool) -> Reaction {
        let mut is_over = !is_interactive;
        match result {
            Ok(()) => {}
            Err(Stop::Exit(status)) => {
                run.scope().status = status;
                is_over |= run.shell.levels.pop().is_none();
            }
            Err(Stop::Return(status) | Stop::Failed(status)) => run.scope().status = status,
            Err(Stop::Break(_) | Stop::Continue(_)) => {}
            Err(Stop::BrokenPipe | Stop::Exhausted) => run.scope().status = 130,
        }
        if is_over && !run.scope().exit_trap.is_empty() {
            let trap = std::mem::take(&mut run.scope().exit_trap);
            let status = run.scope().status;
            // Whatever it does, the session ends as it would have.
            let _ = run.source(&trap, 0);
            run.scope().status = status;
        }
        let reaction = Reaction {
            output: run.take_output(),
            status: run.scope().status,
            is_over,
            delay: run.delay,
            events: std::mem::take(&mut run.events),
        };
        run.shell.is_over |= is_over;
        reaction
    }

    fn enter(&mut self, level: Level) {
        if self.levels.len() < LEVELS_MAX {
            self.levels.push(level);
        }
    }
}

/// What the shell of a login knows.
fn login_scope(machine: &Machine) -> Scope {
    let mut scope = Scope { folder: b"/root".to_vec(), umask: 0o022, ..Scope::default() };
    let variables: [(&[u8], &[u8]); 6] = [
        (b"HOME", b"/root"),
        (b"PATH", b"/usr/sbin:/usr/bin:/sbin:/bin"),
        (b"PWD", b"/root"),
        (b"SHELL", b"/bin/sh"),
        (b"USER", machine.user.as_bytes()),
        (b"LOGNAME", machine.user.as_bytes()),
    ];
    for (name, value) in variables {
        let variable = Variable { value: value.to_vec(), is_exported: true, is_readonly: false };
        scope.variables.insert(name.to_vec(), variable);
    }
    scope
}

/// The name of an applet from how it was called: `/bin/sh` and `-sh` are `sh`.
fn applet_name(called: &[u8]) -> String {
    let name = files::split(called).1;
    let name = String::from_utf8_lossy(name.strip_prefix(b"-").unwrap_or(name)).into_owned();
    // A script is run by `sh`.
    if matches!(name.as_str(), "sh" | "ash") { name } else { "sh".to_owned() }
}

/// Runs bytes as the lines of a session, and holds what must hold; for the fuzz target and the property tests.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_lines(bytes: &[u8], seed: u64) {
    static MACHINES: [std::sync::OnceLock<Arc<Machine>>; Cpu::ALL.len()] =
        [const { std::sync::OnceLock::new() }; Cpu::ALL.len()];
    let index = (seed % Cpu::ALL.len() as u64) as usize;
    let machine = MACHINES[index].get_or_init(|| Arc::new(Machine::new(Cpu::ALL[index], "cam")));
    // Small, so that the limits are met.
    let limits =
        ShellLimits { overlay_bytes: 64 << 10, output_bytes: 32 << 10, steps_per_line: 2_000, input_bytes: 4 << 10 };
    let mut shell = Shell::new(machine.clone(), limits.clone(), seed);
    let mut again = Shell::new(machine.clone(), limits.clone(), seed);
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let now = Duration::from_millis(index as u64 * 100);
        let reaction = shell.line(line, now);
        assert!(reaction.output.len() <= limits.output_bytes, "a line prints no more than it may");
        assert!(reaction.delay <= Duration::from_secs(30), "nobody waits longer than half a minute");
        assert!(
            shell.overlay.bytes_held() <= limits.overlay_bytes + files::MARKS_BYTES_MAX,
            "files have room for so much"
        );
        let repeated = again.line(line, now);
        assert_eq!(reaction.output, repeated.output, "the same lines and seed give the same answers");
        assert_eq!(reaction.events, repeated.events);
        assert!(!shell.prompt().is_empty());
        if reaction.is_over {
            break;
        }
    }
    shell.close();
}
