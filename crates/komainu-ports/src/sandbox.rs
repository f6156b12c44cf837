//! The sandbox: where a sample runs.

use std::time::Duration;

use komainu_model::Timestamp;
use komainu_trace::GuestIsa;
use komainu_trace::network::NetworkEvent;

use crate::BoxFuture;

/// What is to be run, and how.
#[derive(Debug, Clone)]
pub struct DetonationRequest {
    /// A name for logs and folders, unique among detonations.
    pub id: String,
    /// The sample, at most 32 MiB.
    pub sample: Vec<u8>,
    /// What it is called in the guest: at most 64 bytes of letters, digits, `.`, `_` and `-`.
    pub file_name: String,
    /// Its arguments, at most eight of 128 bytes.
    pub arguments: Vec<String>,
    /// The processor it is for.
    pub isa: GuestIsa,
    /// Whose rights it gets in the guest.
    pub run_as: RunAs,
    /// How long it runs at most.
    pub runs_for_max: Duration,
    /// It is ended early once it has shown nothing new for so long.
    pub quiet_for_max: Option<Duration>,
    /// Same seed, same sample: same clock, same random numbers of the guest, same network. Without it each run differs.
    pub seed: Option<u64>,
}

/// Whose rights a sample gets in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunAs {
    /// An ordinary account.
    User,
    /// The owner of the machine.
    Root,
}

/// What one run showed.
#[derive(Debug, Clone)]
pub struct Detonation {
    /// The request's name.
    pub id: String,
    /// The processor of the guest.
    pub isa: GuestIsa,
    /// Whose rights the sample had.
    pub run_as: RunAs,
    /// When it was started.
    pub started: Timestamp,
    /// How long it ran.
    pub ran_for: Duration,
    /// Why it ended.
    pub end: DetonationEnd,
    /// What the agent in the guest sent, as it came (frames of `komainu_trace::agent`), at most 64 MiB.
    pub guest: Vec<u8>,
    /// What the simulated Internet saw, in order.
    pub network: Vec<NetworkEvent>,
    /// The packets (pcap), at most 32 MiB.
    pub packets: Vec<u8>,
    /// Contents that the guest handed over to the network, each at most 8 MiB.
    pub contents: Vec<Vec<u8>>,
    /// What was cut off at a bound, in words for the report.
    pub cut: Vec<String>,
    /// What it cost.
    pub cost: DetonationCost,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetonationEnd {
    /// Every process of the sample was gone.
    Exited,
    /// It showed nothing new for long enough.
    Quiet,
    /// Its time was over.
    TimeOver,
    /// The guest fell over or was switched off by the sample.
    GuestGone,
    /// The guest could not run it (wrong format, missing library); the reason of its kernel.
    NotRun(String),
    /// A bound of the sandbox was reached (memory of the jail, bytes of the trace); which one.
    Bound(String),
}

/// What a run cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct DetonationCost {
    /// From the begin to the sample's first instruction.
    pub restored_in: Duration,
    /// Of all processes of this run.
    pub cpu: Duration,
    /// The most memory that they held, in bytes.
    pub memory_bytes_max: u64,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// There is no kit for the processor, or no QEMU; what to do stands in the text.
    #[error("cannot run programs for {isa}: {reason}")]
    NoGuest {
        /// The processor.
        isa: GuestIsa,
        /// What is missing and how to get it.
        reason: String,
    },
    /// The host does not let the sandbox confine what it runs; what to do stands in the text.
    #[error("cannot confine the sandbox: {0}")]
    NoJail(String),
    /// The request is beyond a bound.
    #[error("cannot run the sample: {0}")]
    Refused(String),
    /// It broke while working; another try may go better.
    #[error("the sandbox broke: {0}")]
    Broken(String),
}

/// Runs samples where they can do no harm.
///
/// Always ends within the request's time and a grace of seconds; what was seen until then is in the result, also if the
/// guest fell over.
pub trait Sandbox: Send + Sync + std::fmt::Debug {
    /// The processors that samples can be run for, now.
    fn isas(&self) -> Vec<GuestIsa>;

    /// Runs a sample once.
    fn detonate(&self, request: DetonationRequest) -> BoxFuture<'_, Result<Detonation, SandboxError>>;
}
