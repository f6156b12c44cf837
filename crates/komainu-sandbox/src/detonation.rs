//! One detonation from its start to its end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use komainu_ports::{Clock, Detonation, DetonationCost, DetonationEnd, DetonationRequest, SandboxError};
use komainu_trace::agent::{FrameReader, GuestFrame, HostFrame};
use komainu_trace::network::{NetworkAct, NetworkEvent};
use komainu_trace::{GuestItem, GuestReader, RawText};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::course::{Course, Step};
use crate::limits::{
    BOOT_TIME_MAX, CONTENT_BYTES_MAX, CONTENTS_BYTES_MAX, CONTENTS_MAX, GUEST_BYTES_MAX, MACHINE_GRACE,
    NETWORK_EVENTS_MAX, PACKETS_BYTES_MAX, PRELUDE_BYTES_MAX,
};
use crate::look::{Look, job, problem};
use crate::machine::{Machine, MachineError, MachineParts, readable};
use crate::novelty::NetworkNovelty;
use crate::snapshot::{SnapshotError, SnapshotHead, Snapshots};
use crate::surroundings::{GuestNetwork, NetworkRecord, NetworkWanted, ProcessEnd, RunningNetwork};

/// How often one looks what happens on the network while the guest says nothing.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Bytes that are read of the agent before one looks at everything else again.
const READ_BYTES: usize = 256 << 10;

/// Problems of the guest's stream that are told; more are more of the same.
const PROBLEMS_MAX: usize = 16;

/// What a run is made with.
pub(crate) struct Detonator<'a> {
    pub(crate) parts: MachineParts<'a>,
    pub(crate) snapshots: &'a Snapshots,
    pub(crate) network: &'a dyn GuestNetwork,
    pub(crate) clock: &'a dyn Clock,
}

impl Detonator<'_> {
    /// Runs a sample once. Without a seed in the request, `random` is what the guest looks like.
    pub(crate) fn detonate(&self, request: &DetonationRequest, random: u64) -> Result<Detonation, SandboxError> {
        if let Some(problem) = problem(request) {
            return Err(SandboxError::Refused(problem));
        }
        let head = SnapshotHead::new(self.parts.kit, self.parts.qemu, self.parts.pace);
        let snapshot = self
            .snapshots
            .open_or_build(&head, |file| build(self.parts, file).map_err(|error| shown(&error)))
            .map_err(|error| broken(&error))?;
        let (begin, used) = (Instant::now(), processors_used());
        let started = self.clock.now();
        let look = match request.seed {
            Some(seed) => Look::new(seed, None),
            None => Look::new(random, Some(started)),
        };
        let wanted = NetworkWanted { seed: look.network_seed, clock: look.clock, packets_bytes_max: PACKETS_BYTES_MAX };
        let mut network = self.network.start(&wanted).map_err(SandboxError::Broken)?;
        let wire = network.take_wire().ok_or_else(|| SandboxError::Broken("the network has no wire".to_owned()))?;
        let time_max = request.runs_for_max + MACHINE_GRACE;
        let mut machine =
            Machine::start(self.parts, wire, Some(snapshot.state), time_max).map_err(|error| broken_machine(&error))?;
        if let Err(error) = machine.go_on() {
            machine.leave();
            return Err(broken_machine(&error));
        }
        let mut run = Run::new(request, snapshot.prelude, begin.elapsed());
        run.say(&HostFrame::Job(job(request, &look)));
        HostFrame::sample(&request.sample).for_each(|piece| run.say(&piece));
        run.say(&HostFrame::Run);
        run.go(begin, &mut machine, &mut *network);
        let over = begin.elapsed();
        // Its jail may have ended it: then that is the reason.
        let jail = machine.end();
        let machine_bytes = machine.leave();
        let record = network.finish();
        let cost = DetonationCost {
            restored_in: run.course.started().unwrap_or(over),
            cpu: processors_used().saturating_sub(used),
            memory_bytes_max: machine_bytes + record.memory_bytes_max + own_memory_bytes(),
        };
        Ok(run.result(request, started, over, record, cost, jail))
    }
}

/// A run that is on.
struct Run {
    course: Course,
    /// What the agent is still to be told.
    orders: Vec<u8>,
    told: usize,
    reader: GuestReader,
    guest: Vec<u8>,
    guest_bytes: u64,
    network: Vec<NetworkEvent>,
    network_dropped: u64,
    novelty: NetworkNovelty,
    cut: Vec<String>,
}

impl Run {
    fn new(request: &DetonationRequest, prelude: Vec<u8>, now: Duration) -> Self {
        let mut reader = GuestReader::default();
        // How the kernel's trace is to be read, which the agent said before the snapshot.
        reader.push(&prelude);
        Self {
            course: Course::new(request.runs_for_max, request.quiet_for_max, now),
            orders: Vec::new(),
            told: 0,
            reader,
            guest: prelude,
            guest_bytes: 0,
            network: Vec::new(),
            network_dropped: 0,
            novelty: NetworkNovelty::default(),
            cut: Vec::new(),
        }
    }

    fn say(&mut self, order: &HostFrame) {
        // What was told is not kept.
        self.orders.drain(..self.told);
        self.told = 0;
        match order.encode() {
            Ok(frame) => self.orders.extend(frame),
            // A request within its bounds has no such job.
            Err(error) => self.cut.push(error.to_string()),
        }
    }

    fn go(&mut self, begin: Instant, machine: &mut Machine, network: &mut dyn RunningNetwork) {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.course.next(begin.elapsed()) {
                Step::Leave => return,
                Step::Dump => self.say(&HostFrame::Dump),
                Step::Stop => self.say(&HostFrame::Stop),
                Step::Wait(time) => {
                    let has_orders = self.told < self.orders.len();
                    if machine.wait(has_orders, time.min(LOOK_EVERY)).is_err() {
                        self.course.on_guest_gone(begin.elapsed());
                    }
                }
            }
            let is_open = self.tell(machine) && self.hear(begin, machine, &mut buffer);
            for event in network.take_events() {
                self.see(event, begin.elapsed());
            }
            if !is_open || machine.is_over() {
                // What it said before it went is still in the socket.
                while self.hear(begin, machine, &mut buffer) && self.has_more(machine) {}
                self.course.on_guest_gone(begin.elapsed());
            }
        }
    }

    /// Tells the agent what it takes now. Whether it is still there.
    fn tell(&mut self, machine: &mut Machine) -> bool {
        while let Some(rest) = self.orders.get(self.told..).filter(|rest| !rest.is_empty()) {
            match machine.agent.write(rest) {
                Ok(bytes) => self.told += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Hears what the agent says now, up to a bound. Whether it is still there.
    fn hear(&mut self, begin: Instant, machine: &mut Machine, buffer: &mut [u8]) -> bool {
        let bytes = match machine.agent.read(buffer) {
            Ok(0) => return false,
            Ok(bytes) => bytes,
            Err(error) => return matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        };
        let (now, said) = (begin.elapsed(), &buffer[..bytes]);
        self.guest_bytes += bytes as u64;
        let room = GUEST_BYTES_MAX.saturating_sub(self.guest.len());
        self.guest.extend_from_slice(&said[..bytes.min(room)]);
        if bytes > room {
            self.course.on_bound(now, "what the guest's agent says");
        }
        for item in self.reader.push(said) {
            self.take(item, now);
        }
        // If it is, nothing that follows can be understood.
        !self.reader.is_broken()
    }

    fn take(&mut self, item: GuestItem, now: Duration) {
        match item {
            GuestItem::Started { .. } => self.course.on_started(now),
            GuestItem::Event { is_new: true, .. } => self.course.on_news(now),
            GuestItem::Note(note) => {
                if let Some(number) = cannot_run(&note) {
                    self.course.on_not_run(now, not_run(number));
                }
            }
            GuestItem::Finished(finished) => {
                if finished.why.0 == b"failed" {
                    self.course.on_not_run(now, "the guest had no process for it".to_owned());
                }
                self.course.on_finished(now);
            }
            GuestItem::Problem(problem) if self.cut.len() < PROBLEMS_MAX => self.cut.push(problem.to_string()),
            GuestItem::Hello(_)
            | GuestItem::Ready
            | GuestItem::Event { .. }
            | GuestItem::File(_)
            | GuestItem::Memory(_)
            | GuestItem::Exited { .. }
            | GuestItem::Problem(_) => {}
        }
    }

    /// Whether the agent's socket holds more, or its end.
    fn has_more(&self, machine: &Machine) -> bool {
        use std::os::fd::AsFd as _;
        // Whoever keeps on writing was read often enough.
        self.guest_bytes < 2 * GUEST_BYTES_MAX as u64
            && readable(machine.agent.as_fd(), Instant::now()).unwrap_or(false)
    }

    fn see(&mut self, event: NetworkEvent, now: Duration) {
        if self.novelty.is_news(&event) {
            self.course.on_news(now);
        }
        if matches!(event.act, NetworkAct::Connect { .. }) {
            self.course.on_connect();
        }
        if self.network.len() < NETWORK_EVENTS_MAX {
            self.network.push(event);
        } else {
            self.network_dropped += 1;
        }
    }

    fn result(
        mut self,
        request: &DetonationRequest,
        started: komainu_model::Timestamp,
        over: Duration,
        record: NetworkRecord,
        cost: DetonationCost,
        jail: Option<ProcessEnd>,
    ) -> Detonation {
        for event in record.events {
            self.see(event, over);
        }
        let mut cut = self.cut;
        cut.extend(record.cut);
        if self.network_dropped > 0 {
            cut.push(format!("{} events of the network", self.network_dropped));
        }
        if self.guest_bytes > self.guest.len() as u64 {
            cut.push(format!("{} of {} bytes of the guest's agent", self.guest.len(), self.guest_bytes));
        }
        let mut packets = record.packets;
        if packets.len() > PACKETS_BYTES_MAX {
            packets.truncate(PACKETS_BYTES_MAX);
            cut.push(format!("packets beyond {PACKETS_BYTES_MAX} bytes"));
        }
        let contents = bounded_contents(record.contents, &mut cut);
        let (mut end, ran_for) = self.course.end(over);
        if end == DetonationEnd::GuestGone
            && let Some(ProcessEnd::Broke(how)) = jail
        {
            end = DetonationEnd::Bound(format!("QEMU was ended, {how}"));
        }
        Detonation {
            id: request.id.clone(),
            isa: request.isa,
            run_as: request.run_as,
            started,
            ran_for,
            end,
            guest: self.guest,
            network: self.network,
            packets,
            contents,
            cut,
            cost,
        }
    }
}

/// The contents within the bounds; what is left out is told.
fn bounded_contents(contents: Vec<Vec<u8>>, cut: &mut Vec<String>) -> Vec<Vec<u8>> {
    let (mut kept, mut bytes, mut left_out) = (Vec::new(), 0, 0);
    for content in contents {
        bytes += content.len();
        if kept.len() < CONTENTS_MAX && content.len() <= CONTENT_BYTES_MAX && bytes <= CONTENTS_BYTES_MAX {
            kept.push(content);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        cut.push(format!("{left_out} contents handed over to the network"));
    }
    kept
}

/// Time of processors that this process used, and those that it started and that ended. It does nothing but this run.
fn processors_used() -> Duration {
    let time = |time: TimeVal| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0));
    let used =
        |who| getrusage(who).map(|usage| time(usage.user_time()) + time(usage.system_time())).unwrap_or_default();
    used(UsageWho::RUSAGE_SELF) + used(UsageWho::RUSAGE_CHILDREN)
}

/// The most memory that this process held.
fn own_memory_bytes() -> u64 {
    // In KiB (getrusage(2)).
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0) << 10)
}

/// The number of the error in the agent's note that the sample cannot be run.
fn cannot_run(note: &RawText) -> Option<u32> {
    let note = std::str::from_utf8(note.0.strip_prefix(b"cannot run ")?).ok()?;
    note.rsplit_once(": error ")?.1.parse().ok()
}

/// Why a guest's kernel does not run a program, by the number of its error; these are the same for all processors.
fn not_run(number: u32) -> String {
    match number {
        2 => "its interpreter or loader is not there (ENOENT)".to_owned(),
        7 => "its arguments are too long (E2BIG)".to_owned(),
        8 => "it is no program for this processor (ENOEXEC)".to_owned(),
        12 => "the guest has not enough memory for it (ENOMEM)".to_owned(),
        13 => "it may not be run (EACCES)".to_owned(),
        22 => "its headers contradict each other (EINVAL)".to_owned(),
        _ => format!("error {number} of the guest's kernel"),
    }
}

/// Boots a guest until its agent is ready, and writes its state to the file. What the agent said is given back.
fn build(parts: MachineParts<'_>, to: &mut File) -> Result<Vec<u8>, MachineError> {
    // Nobody is at the other end, and nothing is sent there before the job.
    let (wire, _other_end) = UnixStream::pair().map_err(MachineError::host("make sockets"))?;
    let mut machine = Machine::start(parts, OwnedFd::from(wire), None, BOOT_TIME_MAX + MACHINE_GRACE)?;
    let built = wait_until_ready(&mut machine).and_then(|prelude| {
        machine.save(to)?;
        Ok(prelude)
    });
    machine.leave();
    built
}

fn wait_until_ready(machine: &mut Machine) -> Result<Vec<u8>, MachineError> {
    let deadline = Instant::now() + BOOT_TIME_MAX;
    let (mut frames, mut prelude, mut buffer) = (FrameReader::default(), Vec::new(), vec![0; READ_BYTES]);
    let mut is_ready = false;
    let no_agent = |why: &str| MachineError::State(format!("boot a guest whose agent says that it is ready: {why}"));
    while Instant::now() < deadline {
        machine.wait(false, LOOK_EVERY).map_err(MachineError::host("wait for the guest"))?;
        match machine.agent.read(&mut buffer) {
            Ok(0) => return Err(no_agent("it is gone")),
            Ok(bytes) => {
                prelude.extend_from_slice(&buffer[..bytes]);
                frames.push(&buffer[..bytes], |frame| is_ready |= frame == Ok(GuestFrame::Ready));
                if is_ready {
                    return Ok(prelude);
                }
                if frames.is_broken() || prelude.len() > PRELUDE_BYTES_MAX {
                    return Err(no_agent("it says too much"));
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                if machine.is_over() {
                    return Err(no_agent("it is switched off"));
                }
            }
            Err(error) => return Err(no_agent(&error.to_string())),
        }
    }
    Err(no_agent("it does not within minutes"))
}

fn broken(error: &SnapshotError) -> SandboxError {
    SandboxError::Broken(shown(error))
}

fn broken_machine(error: &MachineError) -> SandboxError {
    match error {
        MachineError::Confinement(why) => SandboxError::NoJail(why.clone()),
        MachineError::Qmp(_) | MachineError::Host { .. } | MachineError::State(_) => SandboxError::Broken(shown(error)),
    }
}

/// An error with its causes.
fn shown(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_says_why_a_sample_cannot_be_run() {
        assert_eq!(cannot_run(&"cannot run /tmp/a: error b: error 8".into()), Some(8));
        assert_eq!(cannot_run(&"cannot run".into()), None);
        assert_eq!(cannot_run(&"no trace: error 8".into()), None);
        assert!(not_run(8).contains("for this processor"));
        assert!(not_run(77).contains("77"));
    }

    #[test]
    fn contents_beyond_the_bounds_are_told() {
        let mut cut = Vec::new();
        let kept = bounded_contents(vec![vec![1]; CONTENTS_MAX + 2], &mut cut);
        assert_eq!((kept.len(), cut.len()), (CONTENTS_MAX, 1));
        cut.clear();
        let kept = bounded_contents(vec![vec![0; CONTENT_BYTES_MAX + 1], vec![1]], &mut cut);
        assert_eq!(kept, [vec![1]]);
        assert_eq!(cut, ["1 contents handed over to the network"]);
    }
}
