//! One QEMU: started, told, left.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::kit::Kit;
use crate::limits::{QEMU_ANSWER_MAX, QUIT_TIME_MAX, SNAPSHOT_BYTES_MAX};
use crate::qemu::{
    AGENT_DESCRIPTOR, Beginning, NETWORK_DESCRIPTOR, Pace, QMP_DESCRIPTOR, Qemu, SNAPSHOT_DESCRIPTOR, arguments,
};
use crate::qmp::{Qmp, QmpError};
use crate::surroundings::{ConfinedProcess, ConfinedProgram, Confinement, ProcessEnd};

/// Bytes of memory of QEMU besides the guest's: itself, its libraries, translated code, files that it loads; 60 to 110 MiB.
const QEMU_BYTES_MAX: u64 = 1 << 30;

/// Where QEMU has the programs of its machines' firmware, and parts of itself (Debian's translator for x86 is one), on the
/// systems that package it.
const FIRMWARE_FOLDERS: &[&str] = &[
    "/usr/share/qemu",
    "/usr/share/seabios",
    "/usr/lib/ipxe/qemu",
    "/usr/share/qemu-efi-aarch64",
    "/usr/local/share/qemu",
    "/usr/lib/x86_64-linux-gnu/qemu",
    "/usr/lib/aarch64-linux-gnu/qemu",
    "/usr/lib64/qemu",
];

/// What a machine is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MachineParts<'a> {
    pub(crate) kit: &'a Kit,
    pub(crate) qemu: &'a Qemu,
    pub(crate) pace: Pace,
    pub(crate) confinement: &'a dyn Confinement,
}

/// A machine that runs, or is about to.
pub(crate) struct Machine {
    process: Box<dyn ConfinedProcess>,
    qmp: Qmp,
    /// Where the agent in the guest speaks. Never waits.
    pub(crate) agent: UnixStream,
}

/// Why a machine does not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    /// It cannot be confined.
    #[error("{0}")]
    Confinement(String),
    /// It does not do what it is told.
    #[error("{0}")]
    Qmp(#[from] QmpError),
    /// The host does not do what it should.
    #[error("cannot {doing}")]
    Host {
        /// What.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its state is not to be had.
    #[error("QEMU cannot {0}")]
    State(String),
}

impl MachineError {
    pub(crate) fn host(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Host { doing, source }
    }
}

impl Machine {
    /// Starts one, cold or from a snapshot, which then stands still until [`Machine::go_on`]. After
    /// `time_max` it is ended by its jail.
    pub(crate) fn start(
        parts: MachineParts<'_>,
        wire: OwnedFd,
        snapshot: Option<File>,
        time_max: Duration,
    ) -> Result<Self, MachineError> {
        let pair = || UnixStream::pair().map_err(MachineError::host("make sockets"));
        let ((agent, their_agent), (qmp, their_qmp)) = (pair()?, pair()?);
        agent.set_nonblocking(true).map_err(MachineError::host("make sockets"))?;
        let beginning = if snapshot.is_some() { Beginning::Snapshot } else { Beginning::Cold };
        let mut descriptors = vec![
            (OwnedFd::from(their_agent), AGENT_DESCRIPTOR),
            (wire, NETWORK_DESCRIPTOR),
            (OwnedFd::from(their_qmp), QMP_DESCRIPTOR),
        ];
        descriptors.extend(snapshot.map(|file| (OwnedFd::from(file), SNAPSHOT_DESCRIPTOR)));
        let firmware = FIRMWARE_FOLDERS.iter().map(PathBuf::from).filter(|folder| folder.is_dir());
        let read_only = [parts.kit.kernel.clone(), parts.kit.root.clone()].into_iter().chain(firmware).collect();
        let process = parts
            .confinement
            .start(ConfinedProgram {
                program: parts.qemu.program.clone(),
                arguments: arguments(parts.kit, parts.pace, beginning),
                read_only,
                descriptors,
                memory_bytes_max: (u64::from(parts.kit.memory_mib) << 20) + QEMU_BYTES_MAX,
                // The guest has one processor, and QEMU little to do besides.
                cpu_max: time_max * 2,
                time_max,
            })
            .map_err(MachineError::Confinement)?;
        match Qmp::begin(qmp, QEMU_ANSWER_MAX) {
            Ok(qmp) => Ok(Self { process, qmp, agent }),
            Err(error) => {
                let mut process = process;
                // It may have said why by its end.
                let end = process.ended().ok().flatten();
                process.kill();
                match end {
                    Some(ProcessEnd::Broke(how)) => Err(MachineError::State(format!("start: {how}"))),
                    Some(ProcessEnd::Left) | None => Err(error.into()),
                }
            }
        }
    }

    /// Lets a machine that was started from a snapshot go on, once it has it.
    pub(crate) fn go_on(&mut self) -> Result<(), MachineError> {
        let deadline = Instant::now() + QEMU_ANSWER_MAX;
        loop {
            let status = self.qmp.execute("query-status", Value::Null, None, deadline)?;
            match status.get("status").and_then(Value::as_str) {
                Some("inmigrate") => self.pause(Duration::from_millis(5))?,
                Some("paused" | "postmigrate" | "prelaunch") => break,
                _ => return Err(MachineError::State("take its state from the snapshot".to_owned())),
            }
        }
        self.qmp.execute("cont", Value::Null, None, deadline)?;
        Ok(())
    }

    /// Lets it stand still and writes its state to a file, then how many bytes these are.
    pub(crate) fn save(&mut self, to: &mut File) -> Result<u64, MachineError> {
        let deadline = Instant::now() + QEMU_ANSWER_MAX;
        self.qmp.execute("stop", Value::Null, None, deadline)?;
        // Through a pipe: no QEMU ever holds a file that it could write to.
        let (mut from, theirs) = io::pipe().map_err(MachineError::host("make a pipe"))?;
        self.qmp.execute("getfd", json!({ "fdname": "snapshot" }), Some(theirs.as_fd()), deadline)?;
        drop(theirs);
        self.qmp.execute("migrate", json!({ "uri": "fd:snapshot" }), None, deadline)?;
        let (mut written, mut buffer) = (0, vec![0; 1 << 20]);
        loop {
            if !readable(from.as_fd(), deadline).map_err(MachineError::host("wait for the state"))? {
                return Err(MachineError::State("say its state in time".to_owned()));
            }
            let bytes = from.read(&mut buffer).map_err(MachineError::host("read the state"))?;
            if bytes == 0 {
                break;
            }
            written += bytes as u64;
            if written > SNAPSHOT_BYTES_MAX {
                return Err(MachineError::State(format!("say its state in {SNAPSHOT_BYTES_MAX} bytes")));
            }
            to.write_all(&buffer[..bytes]).map_err(MachineError::host("write the snapshot"))?;
        }
        let said = self.qmp.execute("query-migrate", Value::Null, None, deadline)?;
        if said.get("status").and_then(Value::as_str) != Some("completed") {
            return Err(MachineError::State("say its whole state: this machine cannot be kept".to_owned()));
        }
        Ok(written)
    }

    /// Whether the guest is over, or QEMU is: nothing more comes then.
    pub(crate) fn is_over(&mut self) -> bool {
        match self.qmp.listen() {
            Ok(fate) => fate.is_over || self.process.ended().is_ok_and(|end| end.is_some()),
            Err(_) => true,
        }
    }

    /// How QEMU ended, if it did.
    pub(crate) fn end(&mut self) -> Option<ProcessEnd> {
        self.process.ended().ok().flatten()
    }

    /// Waits until the agent can be read or written, QEMU tells something, or the time is over.
    pub(crate) fn wait(&self, writes: bool, time: Duration) -> io::Result<()> {
        let agent = if writes { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut of = [PollFd::new(&self.agent, agent), PollFd::new(&self.qmp, PollFlags::IN)];
        match poll(&mut of, Some(&timespec(time))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn pause(&self, time: Duration) -> Result<(), MachineError> {
        self.wait(false, time).map_err(MachineError::host("wait for QEMU"))
    }

    /// Has it leave, and kills it if it does not. The most memory that it held, in bytes.
    pub(crate) fn leave(mut self) -> u64 {
        let deadline = Instant::now() + QUIT_TIME_MAX;
        if self.end().is_none() && self.qmp.execute("quit", Value::Null, None, deadline).is_ok() {
            // The connection ends when QEMU does.
            while self.end().is_none() && readable(self.qmp.as_fd(), deadline).unwrap_or(false) {
                if self.qmp.listen().is_err() {
                    break;
                }
            }
        }
        self.process.kill();
        self.process.memory_bytes_max()
    }
}

/// Whether there is something to read before the deadline.
pub(crate) fn readable(from: std::os::fd::BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut of = [PollFd::new(&from, PollFlags::IN)];
        match poll(&mut of, Some(&timespec(left))) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    // Nothing here waits for longer than minutes.
    Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(time.subsec_nanos()) }
}
