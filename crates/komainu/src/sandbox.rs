//! Running samples from the command line, and the processes that a run is made of.

mod show;

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use komainu_jail::{EndedBy, HowEnded, Jail, JailEnd, JailUser, JailedChild, Limits};
use komainu_lab::guest_file_name;
use komainu_netsim::{Framing, NetsimProcess, Settings};
use komainu_ports::{Detonation, DetonationRequest, RunAs, Sandbox, SystemClock};
use komainu_sandbox::{
    ConfinedProcess, ConfinedProgram, Confinement, GuestNetwork, NetworkRecord, NetworkWanted, ProcessEnd, QemuSandbox,
    RunningNetwork, SandboxFolders, Snapshots, write_recording,
};
use komainu_trace::network::NetworkEvent;
use komainu_trace::{Executable, GuestIsa};

use crate::config::{Config, SandboxSection};
use crate::guest_trace::{self, TraceArgs};
use crate::jail::{self, JailArgs};

/// The hidden command by which this program becomes the process of a run. The user of the jail stands behind it, if one is
/// configured.
pub(crate) const DETONATION_COMMAND: &str = "sandbox-detonation";

/// The hidden command by which this program becomes the launcher of a jail.
pub(crate) const JAIL_COMMAND: &str = "jail";

/// The hidden command by which this program becomes a simulated Internet.
pub(crate) const NETSIM_COMMAND: &str = "netsim";

#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Run a sample and say what it did.
    Run(RunArgs),
    /// List the snapshots of guests that have booted.
    Snapshots {
        /// Remove them; the next run of each processor boots a guest anew.
        #[arg(long)]
        clear: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Say for which processors samples can be run, and what is missing for the others.
    Isas {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Say whether the jail holds on this machine, line by line, and whether QEMU runs in it. Fails when no sample can be run.
    Check {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Say what the processes of a guest did, out of the recorded stream of its agent.
    Trace(TraceArgs),
    /// Run a program in the jail in which QEMU runs, to see what it can reach: nothing, if the jail holds.
    Jail(JailArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "KOMAINU_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The sample.
    file: PathBuf,
    /// Its arguments.
    #[arg(last = true)]
    arguments: Vec<String>,
    /// The processor of the guest; without it what the sample is for, and `arm` for scripts.
    #[arg(long)]
    isa: Option<GuestIsa>,
    /// Whose rights it has in the guest.
    #[arg(long = "as", value_enum, default_value = "user")]
    run_as: RunAsArg,
    /// How many seconds it runs at most.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=900))]
    seconds: u64,
    /// It is ended once it has shown nothing new for so many seconds; 0: never.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=900))]
    quiet: u64,
    /// Everything that is chosen follows from this number, and the guest's time from what it does.
    #[arg(long)]
    seed: Option<u64>,
    /// A new folder for everything that was recorded; with `--as both` two in it, `user` and `root`.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RunAsArg {
    User,
    Root,
    Both,
}

impl SandboxCommand {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match self {
            Self::Run(args) => run(args)?.iter().try_for_each(|text| out.write_all(text.as_bytes())),
            Self::Snapshots { clear, config } => {
                let snapshots = Snapshots::new(config.read()?.sandbox.snapshots);
                if *clear {
                    let removed = snapshots.clear().context("cannot remove the snapshots")?;
                    writeln!(out, "{removed} removed")
                } else {
                    let stored = snapshots.list().context("cannot list the snapshots")?;
                    stored.iter().try_for_each(|one| {
                        let mib = one.bytes >> 20;
                        writeln!(out, "{:24} {mib:4} MiB  Linux {}, QEMU {}", one.name, one.kernel, one.qemu)
                    })
                }
            }
            Self::Check { config } => {
                let section = config.read()?.sandbox;
                return jail::check(section.user.as_deref(), sandbox(&section).guests(), &mut out);
            }
            Self::Trace(args) => return guest_trace::run(args),
            Self::Jail(args) => return args.run(),
            Self::Isas { config } => {
                let sandbox = sandbox(&config.read()?.sandbox);
                sandbox.guests().iter().try_for_each(|guest| match &guest.made_of {
                    Ok((kit, qemu)) => {
                        let (isa, memory) = (guest.isa.name(), kit.memory_mib);
                        writeln!(out, "{isa:8} Linux {}, {memory} MiB, QEMU {}", kit.kernel_version, qemu.version)
                    }
                    Err(reason) => writeln!(out, "{:8} no: {reason}", guest.isa.name()),
                })
            }
        }
        .context("cannot write to standard output")
    }
}

impl ConfigArgs {
    pub(crate) fn read(&self) -> anyhow::Result<Config> {
        crate::config::load(self.config.as_deref(), std::env::vars(), Vec::new())
    }
}

/// The sandbox of the configuration.
pub(crate) fn sandbox(section: &SandboxSection) -> QemuSandbox {
    let folders =
        SandboxFolders { kits: section.kits.clone(), snapshots: section.snapshots.clone(), qemu: section.qemu.clone() };
    let mut arguments = vec![DETONATION_COMMAND.to_owned()];
    arguments.extend(section.user.clone());
    QemuSandbox::new(arguments, folders, section.runs_at_once)
}

/// Runs a sample; what is to be printed.
fn run(args: &RunArgs) -> anyhow::Result<Vec<String>> {
    let sample = fs::read(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let section = args.config.read()?.sandbox;
    let isa = match (args.isa, Executable::of(&sample)) {
        (Some(isa), _) => isa,
        (None, executable) => executable.guest().with_context(|| match executable {
            Executable::ForeignProgram(machine) => {
                format!("no guest has the processor of the sample (e_machine {machine})")
            }
            Executable::Program(_) | Executable::Script | Executable::Other => "no guest runs the sample".to_owned(),
        })?,
    };
    if let Some(out) = &args.out {
        // Nothing that is there is written over.
        fs::create_dir(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    }
    let users = match args.run_as {
        RunAsArg::User => &[RunAs::User][..],
        RunAsArg::Root => &[RunAs::Root],
        RunAsArg::Both => &[RunAs::User, RunAs::Root],
    };
    let sandbox = Arc::new(sandbox(&section));
    let request = |run_as: RunAs| DetonationRequest {
        id: format!("{}-{}", file_name(&args.file), user_name(run_as)),
        sample: sample.clone(),
        file_name: file_name(&args.file),
        arguments: args.arguments.clone(),
        isa,
        run_as,
        runs_for_max: Duration::from_secs(args.seconds),
        quiet_for_max: (args.quiet > 0).then(|| Duration::from_secs(args.quiet)),
        seed: args.seed,
    };
    let detonations = crate::runtime()?.block_on(async {
        let runs: Vec<_> = users
            .iter()
            .map(|run_as| {
                let (sandbox, request) = (Arc::clone(&sandbox), request(*run_as));
                tokio::spawn(async move { sandbox.detonate(request).await })
            })
            .collect();
        let mut detonations = Vec::new();
        for run in runs {
            detonations.push(run.await.context("a run was not looked after")??);
        }
        anyhow::Ok(detonations)
    })?;
    if let Some(out) = &args.out {
        for detonation in &detonations {
            let folder = if users.len() > 1 { out.join(user_name(detonation.run_as)) } else { out.clone() };
            write_recording(detonation, &folder).with_context(|| format!("cannot write {}", folder.display()))?;
        }
    }
    Ok(printed(&detonations, args.json))
}

fn printed(detonations: &[Detonation], json: bool) -> Vec<String> {
    if json {
        return detonations.iter().map(show::json).collect();
    }
    let mut texts: Vec<_> = detonations.iter().map(show::text).collect();
    if let [as_user, as_root] = detonations {
        texts.push(show::difference(as_user, as_root));
    }
    texts
}

fn user_name(run_as: RunAs) -> &'static str {
    match run_as {
        RunAs::User => "user",
        RunAs::Root => "root",
    }
}

/// What the sample is called in the guest.
fn file_name(path: &Path) -> String {
    guest_file_name(&path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

/// Is the process of a run.
pub(crate) fn run_detonation(user: Option<&str>) -> anyhow::Result<()> {
    let user = jail::user(user)?;
    Ok(komainu_sandbox::run_detonation(&InJail { user }, &SimulatedInternet, &SystemClock)?)
}

/// Jails for QEMU.
#[derive(Debug)]
struct InJail {
    user: Option<JailUser>,
}

/// Threads of QEMU: the guest's processor, the main loop, the one that writes a snapshot, and helpers.
const QEMU_THREADS_MAX: u64 = 32;
/// Descriptors of QEMU: 4 of ours, those of its loop, and an event for each queue of each device: 70 for the serial port.
const QEMU_DESCRIPTORS_MAX: u64 = 256;

impl Confinement for InJail {
    fn start(&self, program: ConfinedProgram) -> Result<Box<dyn ConfinedProcess>, String> {
        let jail = Jail {
            launcher: vec![JAIL_COMMAND.to_owned()],
            program: program.program,
            arguments: program.arguments,
            environment: Vec::new(),
            read_only: program.read_only,
            descriptors: program.descriptors,
            limits: Limits {
                memory_bytes_max: program.memory_bytes_max,
                threads_max: QEMU_THREADS_MAX,
                cpu_s_max: program.cpu_max.as_secs().max(1),
                time_s_max: program.time_max.as_secs().max(1),
                file_bytes_max: 0,
                descriptors_max: QEMU_DESCRIPTORS_MAX,
                scratch_bytes_max: 0,
            },
            user: self.user,
        };
        let child = jail.start().map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        Ok(Box::new(Jailed { child, end: None }))
    }
}

struct Jailed {
    child: JailedChild,
    end: Option<JailEnd>,
}

impl Jailed {
    /// How long an ended program may take until its end is known.
    const END_TIME_MAX: Duration = Duration::from_secs(10);

    fn wait(&mut self, at_most: Duration) -> std::io::Result<Option<JailEnd>> {
        if self.end.is_none() {
            self.end = self.child.wait(at_most)?;
        }
        Ok(self.end)
    }
}

impl ConfinedProcess for Jailed {
    fn ended(&mut self) -> std::io::Result<Option<ProcessEnd>> {
        Ok(self.wait(Duration::ZERO)?.map(|end| match (end.how, end.by) {
            (_, EndedBy::TimeOver) => ProcessEnd::Broke("the time of its jail was over".to_owned()),
            (HowEnded::Exited(0), _) => ProcessEnd::Left,
            (HowEnded::Exited(status), _) => ProcessEnd::Broke(format!("it ended with status {status}")),
            (HowEnded::Killed(31), _) => ProcessEnd::Broke("it used a system call that QEMU never uses".to_owned()),
            (HowEnded::Killed(24), _) => ProcessEnd::Broke("it used more processor time than a run has".to_owned()),
            (HowEnded::Killed(signal), _) => ProcessEnd::Broke(format!("it was ended by signal {signal}")),
        }))
    }

    fn kill(&mut self) {
        if !matches!(self.wait(Duration::ZERO), Ok(Some(_))) {
            self.child.kill();
            // If nobody says how it ended, the jail ends with this process at the latest.
            let _ = self.wait(Self::END_TIME_MAX);
        }
    }

    fn memory_bytes_max(&mut self) -> u64 {
        self.end.map_or(0, |end| end.memory_bytes_max)
    }
}

/// Simulated Internets.
#[derive(Debug)]
struct SimulatedInternet;

struct Simulated {
    process: NetsimProcess,
    wire: Option<OwnedFd>,
    events: Receiver<NetworkEvent>,
}

impl GuestNetwork for SimulatedInternet {
    fn start(&self, wanted: &NetworkWanted) -> Result<Box<dyn RunningNetwork>, String> {
        let mut settings = Settings {
            seed: wanted.seed,
            clock_unix_s: u64::try_from(wanted.clock.unix_seconds()).unwrap_or(0),
            framing: Framing::Stream,
            ..Settings::default()
        };
        settings.bounds.pcap_bytes_max = wanted.packets_bytes_max as u64;
        // The simulated Internet bounds how much it tells.
        let (tell, events) = channel();
        let on_event = move |event: &NetworkEvent| {
            // Nobody listens once the run is over.
            let _ = tell.send(event.clone());
        };
        let (process, wire) = NetsimProcess::start(&[NETSIM_COMMAND.to_owned()], &settings, Box::new(on_event))
            .map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        Ok(Box::new(Simulated { process, wire: Some(wire), events }))
    }
}

impl RunningNetwork for Simulated {
    fn take_wire(&mut self) -> Option<OwnedFd> {
        self.wire.take()
    }

    fn take_events(&mut self) -> Vec<NetworkEvent> {
        self.events.try_iter().collect()
    }

    fn finish(self: Box<Self>) -> NetworkRecord {
        let Self { process, events, .. } = *self;
        let memory_bytes_max = process_memory_bytes(process.pid());
        // All events went through the channel as well.
        let observed = process.end();
        NetworkRecord {
            events: events.try_iter().collect(),
            packets: observed.packets,
            contents: observed.contents.into_iter().map(|content| content.bytes).collect(),
            cut: observed.cut,
            memory_bytes_max,
        }
    }
}

/// The most memory that a process has held so far, in bytes (proc(5), `VmHWM`); 0 if that is not to be had.
fn process_memory_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) << 10
}
