//! What the guest's kernel told of the sample's processes.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::RawText;

/// One thing that a process of the sample did, as its kernel told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestEvent {
    /// When, in nanoseconds of the guest's clock since the sample was started.
    pub at_ns: u64,
    /// The process; numbers are those of the guest.
    pub pid: u32,
    /// What it did.
    #[serde(flatten)]
    pub act: GuestAct,
}

/// What a process did. Results are those of the system call: below zero the error number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum GuestAct {
    /// It made another process (or a thread).
    Fork {
        /// The new one.
        child: u32,
        /// What the new one is called.
        comm: RawText,
    },
    /// It became another program.
    Exec {
        /// The file.
        path: RawText,
        /// The arguments that could be read, the program's name first; at most eight of 128 bytes.
        arguments: Vec<RawText>,
    },
    /// It took another name.
    Rename {
        /// What it is called from here on, at most 15 bytes.
        comm: RawText,
    },
    /// It ended, or one of its threads did.
    Exit {
        /// As `wait` gives it: a signal in the low seven bits, or a status in the second byte. Zero on a processor whose
        /// kernel does not tell it (m68k).
        status: u32,
    },
    /// It opened a file.
    Open {
        /// As the program named it.
        path: RawText,
        /// `open`'s flags, in the numbers of the guest's processor.
        flags: u32,
        /// The descriptor, if the result is known.
        result: Option<i64>,
    },
    /// It wrote; only the first bytes of what it wrote are told.
    Write {
        /// The descriptor.
        descriptor: i32,
        /// How much it wanted to write.
        bytes: u64,
        /// The beginning, at most 64 bytes.
        head: RawText,
    },
    /// It removed a file or a folder.
    Unlink {
        /// As the program named it.
        path: RawText,
    },
    /// It gave a file another name, or another name beside the old one.
    Move {
        /// The old name.
        from: RawText,
        /// The new name.
        to: RawText,
    },
    /// It made a folder.
    MakeFolder {
        /// As the program named it.
        path: RawText,
    },
    /// It changed who may do what with a file.
    ChangeMode {
        /// As the program named it; empty where only a descriptor is known.
        path: RawText,
        /// The permission bits.
        mode: u32,
    },
    /// It changed its folder or its root.
    ChangeFolder {
        /// As the program named it.
        path: RawText,
    },
    /// It asked for, or about, a file: `stat`, `access`, `readlink`.
    Look {
        /// As the program named it.
        path: RawText,
    },
    /// It mounted or unmounted something.
    Mount {
        /// What.
        source: RawText,
        /// Where.
        target: RawText,
        /// Which kind of file system.
        kind: RawText,
    },
    /// It made a socket.
    Socket {
        /// Address family, in Linux's numbers.
        family: u32,
        /// Kind (stream 1, datagram 2, raw 3, packet 10), in those of all processors but MIPS, without flags.
        kind: u32,
        /// Protocol.
        protocol: u32,
    },
    /// It connected.
    Connect {
        /// To where.
        to: SocketAddr,
    },
    /// It bound a socket.
    Bind {
        /// To which address.
        at: SocketAddr,
    },
    /// It waited for connections on a socket.
    Listen {
        /// The descriptor.
        descriptor: i32,
    },
    /// It sent; only the first bytes are told.
    Send {
        /// To where, if the call names it.
        to: Option<SocketAddr>,
        /// How much.
        bytes: u64,
        /// The beginning, at most 64 bytes.
        head: RawText,
    },
    /// It sent a signal.
    Kill {
        /// To whom: a process, below zero a group, -1 everybody.
        target: i32,
        /// Which.
        signal: u32,
    },
    /// It called `ptrace`.
    Trace {
        /// The request.
        request: u32,
        /// Whom.
        target: i32,
    },
    /// It called `prctl`.
    Control {
        /// The operation (`PR_…`).
        operation: u32,
        /// Its first argument.
        argument: u64,
    },
    /// It called `ioctl`.
    DeviceControl {
        /// The descriptor.
        descriptor: i32,
        /// The command, in the numbers of the guest's processor.
        command: u32,
    },
    /// It tried to put a module into the kernel, or to take one out.
    Module {
        /// Its name or arguments, as far as they are known.
        name: RawText,
    },
    /// It changed whose rights it has.
    ChangeUser {
        /// The user.
        uid: u32,
    },
    /// It wanted to sleep.
    Sleep {
        /// How long, in nanoseconds.
        ns: u64,
    },
    /// It set the clock, the host's name, or rebooted: what only an owner of a machine does.
    Machine {
        /// The system call.
        call: RawText,
    },
    /// Another system call, or one of the above that could not be read as such.
    Call {
        /// Its name.
        name: RawText,
        /// Its arguments, as far as they are numbers; at most six.
        arguments: Vec<u64>,
        /// The result, if it is known.
        result: Option<i64>,
    },
    /// The kernel could not keep up.
    Lost {
        /// How many events are missing.
        events: u64,
    },
}

/// An event as a line for a person: its time in seconds, its process and what it did.
impl fmt::Display for GuestEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.at_ns / 1_000_000_000, self.at_ns % 1_000_000_000 / 1_000);
        write!(f, "{seconds:>4}.{micros:06} {:>5} {}", self.pid, self.act)
    }
}

impl fmt::Display for GuestAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fork { child, comm } => write!(f, "fork {child} \"{comm}\""),
            Self::Exec { path, arguments } => {
                write!(f, "exec \"{path}\"")?;
                arguments.iter().try_for_each(|argument| write!(f, " \"{argument}\""))
            }
            Self::Rename { comm } => write!(f, "rename itself \"{comm}\""),
            Self::Exit { status } => write!(f, "exit {status:#x}"),
            Self::Open { path, flags, result } => {
                write!(f, "open \"{path}\" flags {flags:#x}")?;
                told(f, *result)
            }
            Self::Write { descriptor, bytes, head } => write!(f, "write to {descriptor}, {bytes} bytes \"{head}\""),
            Self::Unlink { path } => write!(f, "unlink \"{path}\""),
            Self::Move { from, to } => write!(f, "move \"{from}\" to \"{to}\""),
            Self::MakeFolder { path } => write!(f, "make folder \"{path}\""),
            Self::ChangeMode { path, mode } => write!(f, "change mode of \"{path}\" to {mode:o}"),
            Self::ChangeFolder { path } => write!(f, "change folder \"{path}\""),
            Self::Look { path } => write!(f, "look at \"{path}\""),
            Self::Mount { source, target, kind } => write!(f, "mount \"{source}\" on \"{target}\" kind \"{kind}\""),
            Self::Socket { family, kind, protocol } => {
                write!(f, "socket family {family} kind {kind} protocol {protocol}")
            }
            Self::Connect { to } => write!(f, "connect {to}"),
            Self::Bind { at } => write!(f, "bind {at}"),
            Self::Listen { descriptor } => write!(f, "listen on {descriptor}"),
            Self::Send { to: Some(to), bytes, head } => write!(f, "send to {to}, {bytes} bytes \"{head}\""),
            Self::Send { to: None, bytes, head } => write!(f, "send {bytes} bytes \"{head}\""),
            Self::Kill { target, signal } => write!(f, "kill {target} signal {signal}"),
            Self::Trace { request, target } => write!(f, "ptrace request {request} of {target}"),
            Self::Control { operation, argument } => write!(f, "prctl {operation} {argument:#x}"),
            Self::DeviceControl { descriptor, command } => write!(f, "ioctl {descriptor} {command:#x}"),
            Self::Module { name } => write!(f, "module \"{name}\""),
            Self::ChangeUser { uid } => write!(f, "change user {}", uid.cast_signed()),
            Self::Sleep { ns } => write!(f, "sleep {}.{:06} s", ns / 1_000_000_000, ns % 1_000_000_000 / 1_000),
            Self::Machine { call } => write!(f, "machine {call}"),
            Self::Call { name, arguments, result } => {
                write!(f, "call {name}")?;
                arguments.iter().try_for_each(|argument| write!(f, " {argument:#x}"))?;
                told(f, *result)
            }
            Self::Lost { events } => write!(f, "lost {events} events"),
        }
    }
}

fn told(f: &mut fmt::Formatter<'_>, result: Option<i64>) -> fmt::Result {
    result.map_or(Ok(()), |result| write!(f, " = {result}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back() {
        let event = GuestEvent {
            at_ns: 1_002_003_004,
            pid: 23,
            act: GuestAct::Open { path: "/tmp/\x1b".into(), flags: 0x241, result: Some(3) },
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"at_ns":1002003004,"pid":23,"event":"open","path":"/tmp/\\x1b","flags":577,"result":3}"#);
        assert_eq!(serde_json::from_str::<GuestEvent>(&line).unwrap(), event);
        assert_eq!(event.to_string(), r#"   1.002003    23 open "/tmp/\x1b" flags 0x241 = 3"#);
    }
}
