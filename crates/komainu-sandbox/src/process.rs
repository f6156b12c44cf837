//! The process of a run, and the engine that starts one for each.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use komainu_confined::Until;
use komainu_ports::{BoxFuture, Clock, Detonation, DetonationRequest, Sandbox, SandboxError};
use komainu_trace::GuestIsa;
use tokio::sync::Semaphore;

use crate::detonation::Detonator;
use crate::kit::Kit;
use crate::limits::RUN_GRACE;
use crate::look::problem;
use crate::machine::MachineParts;
use crate::message::{self, Kind, WireOrder};
use crate::qemu::Qemu;
use crate::snapshot::Snapshots;
use crate::surroundings::{Confinement, GuestNetwork};

/// This program, whoever may look at where it lies.
const PROGRAM: &str = "/proc/self/exe";

/// Memory that a run is counted with, in bytes: QEMU with a guest of 64 MiB, the simulated Internet, and what is recorded.
const RUN_BYTES: u64 = 256 << 20;

/// The most that runs at once, however large the machine is: each has three processes and a dozen descriptors.
const RUNS_AT_ONCE_MAX: usize = 64;

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct SandboxFolders {
    /// The kits: a folder for each processor.
    pub kits: PathBuf,
    /// The snapshots; made if it is not there.
    pub snapshots: PathBuf,
    /// QEMU's programs, if they are not where programs usually are.
    pub qemu: Option<PathBuf>,
}

/// Runs samples in QEMU, each in processes of its own.
#[derive(Debug)]
pub struct QemuSandbox {
    /// The arguments by which this program becomes [`run_detonation`].
    arguments: Vec<String>,
    folders: SandboxFolders,
    guests: Vec<Guest>,
    places: Arc<Semaphore>,
    at_once: usize,
}

/// Whether there are guests of one processor.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The processor.
    pub isa: GuestIsa,
    /// What they are made of; or what is missing, and how to get it.
    pub made_of: Result<(Kit, Qemu), String>,
}

impl QemuSandbox {
    /// Looks which kits and which QEMU are there. `arguments` make this program call [`run_detonation`]. So many runs go on
    /// at once; without a number as many as the machine has processors, and memory.
    pub fn new(arguments: Vec<String>, folders: SandboxFolders, at_once: Option<usize>) -> Self {
        let guests = GuestIsa::ALL.into_iter().map(|isa| Guest { isa, made_of: look_for(isa, &folders) }).collect();
        let at_once = at_once.unwrap_or_else(fitting_runs).clamp(1, RUNS_AT_ONCE_MAX);
        Self { arguments, folders, guests, places: Arc::new(Semaphore::new(at_once)), at_once }
    }

    /// All processors, with what there is for them.
    pub fn guests(&self) -> &[Guest] {
        &self.guests
    }

    /// How many runs go on at once.
    pub fn runs_at_once(&self) -> usize {
        self.at_once
    }

    fn guest(&self, isa: GuestIsa) -> Result<(Kit, Qemu), SandboxError> {
        let guest = self.guests.iter().find(|guest| guest.isa == isa);
        let missing = || Err("there is no such kit".to_owned());
        guest
            .map_or_else(missing, |guest| guest.made_of.clone())
            .map_err(|reason| SandboxError::NoGuest { isa, reason })
    }
}

impl Sandbox for QemuSandbox {
    fn isas(&self) -> Vec<GuestIsa> {
        self.guests.iter().filter(|guest| guest.made_of.is_ok()).map(|guest| guest.isa).collect()
    }

    fn detonate(&self, request: DetonationRequest) -> BoxFuture<'_, Result<Detonation, SandboxError>> {
        Box::pin(async move {
            if let Some(problem) = problem(&request) {
                return Err(SandboxError::Refused(problem));
            }
            let (kit, qemu) = self.guest(request.isa)?;
            let broken = |why: String| SandboxError::Broken(why);
            let random = getrandom::u64().map_err(|error| broken(format!("no random numbers: {error}")))?;
            let order = WireOrder::new(&request, kit, qemu, self.folders.snapshots.clone(), random);
            let place = Arc::clone(&self.places).acquire_owned().await;
            let place = place.map_err(|_| broken("it is closed".to_owned()))?;
            let arguments = self.arguments.clone();
            let run = tokio::task::spawn_blocking(move || {
                let _place = place;
                run_in_process(&arguments, &order, &request)
            });
            run.await.map_err(|error| broken(format!("the run was not looked after: {error}")))?
        })
    }
}

fn look_for(isa: GuestIsa, folders: &SandboxFolders) -> Result<(Kit, Qemu), String> {
    let kit = Kit::read(&folders.kits, isa).map_err(|error| error.to_string())?;
    let qemu = Qemu::find(&kit.qemu, isa, folders.qemu.as_deref()).map_err(|error| error.to_string())?;
    Ok((kit, qemu))
}

/// How many runs fit into this machine at once.
fn fitting_runs() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let by_memory =
        available_bytes().map_or(usize::MAX, |bytes| usize::try_from(bytes / RUN_BYTES).unwrap_or(usize::MAX));
    processors.min(by_memory)
}

/// Memory that can be had without pushing anything out, as the kernel counts it.
fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Starts the process of a run and waits for what comes of it.
fn run_in_process(
    arguments: &[String],
    order: &WireOrder,
    request: &DetonationRequest,
) -> Result<Detonation, SandboxError> {
    let broken = |doing: &str, error: &io::Error| SandboxError::Broken(format!("{doing}: {error}"));
    let (stream, theirs) = UnixStream::pair().map_err(|error| broken("cannot make a socket", &error))?;
    let child = Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        // What it would say, a sample may have chosen.
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| broken("cannot start the process of a run", &error))?;
    let _child = EndedChild(child);
    let mut until = Until::of(&stream, request.runs_for_max + RUN_GRACE);
    let mut ask = || {
        message::send(&mut until, Kind::Order, &serde_json::to_vec(order)?)?;
        message::send(&mut until, Kind::Sample, &request.sample)?;
        message::receive_outcome(&mut io::BufReader::with_capacity(64 << 10, &mut until), request)
    };
    ask().unwrap_or_else(|error| Err(broken("the process of the run does not answer", &error)))
}

/// A process that is not left behind.
struct EndedChild(Child);

impl Drop for EndedChild {
    fn drop(&mut self) {
        let _ = self.0.kill();
        // It is dead, or about to be: this takes no time, and leaves nothing behind.
        let _ = self.0.wait();
    }
}

/// Is the process of a run: takes one order and one sample from its standard input, which is a socket, runs it, answers
/// there, and ends. Nobody who asks any more is an error.
pub fn run_detonation(
    confinement: &dyn Confinement,
    network: &dyn GuestNetwork,
    clock: &dyn Clock,
) -> Result<(), io::Error> {
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let asked = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let Some((Kind::Order, json)) = message::receive(&mut stream)? else { return Err(asked("no order")) };
    let order: WireOrder = serde_json::from_slice(&json)?;
    let Some((Kind::Sample, sample)) = message::receive(&mut stream)? else { return Err(asked("no sample")) };
    let detonator = Detonator {
        parts: MachineParts { kit: &order.kit, qemu: &order.qemu, pace: order.pace, confinement },
        snapshots: &Snapshots::new(order.snapshots.clone()),
        network,
        clock,
    };
    let outcome = detonator.detonate(&order.request(sample), order.random);
    let mut answer = io::BufWriter::with_capacity(64 << 10, stream);
    message::send_outcome(&mut answer, outcome)?;
    answer.flush()
}
