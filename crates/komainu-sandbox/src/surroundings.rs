//! What a detonation is surrounded by and does not make itself: the jail of its QEMU, and its network.
//!
//! Both are engines of their own. Whoever assembles the program hands them over.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use komainu_model::Timestamp;
use komainu_trace::network::NetworkEvent;

/// Starts programs so that they can touch nothing but what is named.
pub trait Confinement: Send + Sync + fmt::Debug {
    /// Starts one; in the error stands what does not hold, and what to do.
    fn start(&self, program: ConfinedProgram) -> Result<Box<dyn ConfinedProcess>, String>;
}

/// A program, and everything that it is to have.
#[derive(Debug)]
pub struct ConfinedProgram {
    /// The program. Its libraries go without saying.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Files and folders that it may read.
    pub read_only: Vec<PathBuf>,
    /// What it has open besides the usual three, and under which number.
    pub descriptors: Vec<(OwnedFd, i32)>,
    /// Bytes of memory that it may hold. At the bound it is ended.
    pub memory_bytes_max: u64,
    /// Time of processors that it may use. At the bound it is ended.
    pub cpu_max: Duration,
    /// How long it may be there. Then it is ended.
    pub time_max: Duration,
}

/// A program that was started so.
pub trait ConfinedProcess: Send {
    /// How it ended, if it did.
    fn ended(&mut self) -> io::Result<Option<ProcessEnd>>;

    /// Ends it and waits until it is gone, which takes no time. Nothing if it ended.
    fn kill(&mut self);

    /// The most memory that it held, in bytes, as far as it is known once it is gone.
    fn memory_bytes_max(&mut self) -> u64;
}

/// How a confined program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessEnd {
    /// By itself.
    Left,
    /// It broke, or was ended: in words.
    Broke(String),
}

/// Starts simulated Internets.
pub trait GuestNetwork: Send + Sync + fmt::Debug {
    /// Starts one.
    fn start(&self, wanted: &NetworkWanted) -> Result<Box<dyn RunningNetwork>, String>;
}

/// What an Internet is to be like.
#[derive(Debug, Clone)]
pub struct NetworkWanted {
    /// Same seed, same answers.
    pub seed: u64,
    /// What time it is in it.
    pub clock: Timestamp,
    /// Bytes of packets to keep.
    pub packets_bytes_max: usize,
}

/// A simulated Internet at work, in a process of its own.
pub trait RunningNetwork: Send {
    /// The guest's end of the wire: a stream, on which each frame stands behind its length in four bytes, big-endian. It can be taken once.
    fn take_wire(&mut self) -> Option<OwnedFd>;

    /// What happened since the last time, without waiting.
    fn take_events(&mut self) -> Vec<NetworkEvent>;

    /// Ends it and takes what it has, within seconds.
    fn finish(self: Box<Self>) -> NetworkRecord;
}

/// What a simulated Internet has at its end.
#[derive(Debug, Default)]
pub struct NetworkRecord {
    /// What happened since the last time.
    pub events: Vec<NetworkEvent>,
    /// The packets (pcap).
    pub packets: Vec<u8>,
    /// Contents that the guest handed over.
    pub contents: Vec<Vec<u8>>,
    /// What is missing, in words.
    pub cut: Vec<String>,
    /// The most memory that its process held, in bytes.
    pub memory_bytes_max: u64,
}
