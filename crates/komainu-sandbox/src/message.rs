//! What the process of a run and the one that asks for it say to each other.
//!
//! A message is its kind in one byte, the number of its bytes in four, big-endian, and its bytes. Asked is with an
//! [`WireOrder`] and the sample; answered with the parts of a detonation and its end, or with a refusal. Whoever asks reads
//! answers as those of a stranger: the process of a run reads what a guest says.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use komainu_model::Timestamp;
use komainu_ports::{Detonation, DetonationCost, DetonationEnd, DetonationRequest, RunAs, SandboxError};
use komainu_trace::GuestIsa;
use komainu_trace::network::NetworkEvent;
use serde::{Deserialize, Serialize};

use crate::kit::Kit;
use crate::limits::{
    CONTENT_BYTES_MAX, CONTENTS_MAX, GUEST_BYTES_MAX, NETWORK_EVENTS_MAX, PACKETS_BYTES_MAX, PRELUDE_BYTES_MAX,
};
use crate::qemu::{Pace, Qemu};

/// Bytes of a message: the longest is what the guest's agent said, with the beginning that is in the snapshot.
pub(crate) const MESSAGE_BYTES_MAX: usize = GUEST_BYTES_MAX + PRELUDE_BYTES_MAX;
/// Texts of what was cut off, and characters of a text, as they are taken from the process of a run.
const CUT_MAX: usize = 64;
const TEXT_CHARACTERS_MAX: usize = 1_024;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What is to be run, JSON.
    Order,
    /// The sample.
    Sample,
    /// What the agent in the guest said.
    Guest,
    /// An event of the network, JSON: as many as there are.
    Event,
    /// The packets.
    Packets,
    /// A content that the guest handed over: as many as there are.
    Content,
    /// Everything else of a detonation, JSON. The last one.
    Ended,
    /// Nothing was run, and why, JSON. The only one.
    Refused,
}

impl Kind {
    const ALL: [Self; 8] =
        [Self::Order, Self::Sample, Self::Guest, Self::Event, Self::Packets, Self::Content, Self::Ended, Self::Refused];

    fn byte(self) -> u8 {
        match self {
            Self::Order => 1,
            Self::Sample => 2,
            Self::Guest => 3,
            Self::Event => 4,
            Self::Packets => 5,
            Self::Content => 6,
            Self::Ended => 7,
            Self::Refused => 8,
        }
    }
}

/// What is to be run, and with what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireOrder {
    pub(crate) kit: Kit,
    pub(crate) qemu: Qemu,
    pub(crate) pace: Pace,
    pub(crate) snapshots: PathBuf,
    /// What the guest looks like, if no seed is wanted.
    pub(crate) random: u64,
    id: String,
    file_name: String,
    arguments: Vec<String>,
    isa: GuestIsa,
    as_root: bool,
    runs_for_max_ms: u64,
    quiet_for_max_ms: Option<u64>,
    seed: Option<u64>,
}

impl WireOrder {
    pub(crate) fn new(request: &DetonationRequest, kit: Kit, qemu: Qemu, snapshots: PathBuf, random: u64) -> Self {
        Self {
            kit,
            qemu,
            pace: if request.seed.is_some() { Pace::Instructions } else { Pace::Host },
            snapshots,
            random,
            id: request.id.clone(),
            file_name: request.file_name.clone(),
            arguments: request.arguments.clone(),
            isa: request.isa,
            as_root: request.run_as == RunAs::Root,
            runs_for_max_ms: millis(request.runs_for_max),
            quiet_for_max_ms: request.quiet_for_max.map(millis),
            seed: request.seed,
        }
    }

    pub(crate) fn request(&self, sample: Vec<u8>) -> DetonationRequest {
        DetonationRequest {
            id: self.id.clone(),
            sample,
            file_name: self.file_name.clone(),
            arguments: self.arguments.clone(),
            isa: self.isa,
            run_as: if self.as_root { RunAs::Root } else { RunAs::User },
            runs_for_max: Duration::from_millis(self.runs_for_max_ms),
            quiet_for_max: self.quiet_for_max_ms.map(Duration::from_millis),
            seed: self.seed,
        }
    }
}

/// What was run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireHead {
    id: String,
    isa: GuestIsa,
    as_root: bool,
}

impl WireHead {
    pub(crate) fn new(detonation: &Detonation) -> Self {
        let as_root = detonation.run_as == RunAs::Root;
        Self { id: detonation.id.clone(), isa: detonation.isa, as_root }
    }

    /// A detonation of which nothing else is known yet.
    pub(crate) fn into_detonation(self) -> Detonation {
        let run_as = if self.as_root { RunAs::Root } else { RunAs::User };
        empty(shown(&self.id), self.isa, run_as)
    }
}

fn empty(id: String, isa: GuestIsa, run_as: RunAs) -> Detonation {
    Detonation {
        id,
        isa,
        run_as,
        started: Timestamp::from_unix_millis(0),
        ran_for: Duration::ZERO,
        end: DetonationEnd::GuestGone,
        guest: Vec::new(),
        network: Vec::new(),
        packets: Vec::new(),
        contents: Vec::new(),
        cut: Vec::new(),
        cost: DetonationCost::default(),
    }
}

/// How a run went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireEnded {
    started_ms: i64,
    ran_for_us: u64,
    end: WireEnd,
    cut: Vec<String>,
    restored_in_us: u64,
    cpu_us: u64,
    memory_bytes_max: u64,
}

impl WireEnded {
    pub(crate) fn new(detonation: &Detonation) -> Self {
        Self {
            started_ms: detonation.started.unix_millis(),
            ran_for_us: micros(detonation.ran_for),
            end: match detonation.end.clone() {
                DetonationEnd::Exited => WireEnd::Exited,
                DetonationEnd::Quiet => WireEnd::Quiet,
                DetonationEnd::TimeOver => WireEnd::TimeOver,
                DetonationEnd::GuestGone => WireEnd::GuestGone,
                DetonationEnd::NotRun(why) => WireEnd::NotRun(why),
                DetonationEnd::Bound(which) => WireEnd::Bound(which),
            },
            cut: detonation.cut.clone(),
            restored_in_us: micros(detonation.cost.restored_in),
            cpu_us: micros(detonation.cost.cpu),
            memory_bytes_max: detonation.cost.memory_bytes_max,
        }
    }

    /// Fills in how the run went. Texts are bounded, and without control characters.
    pub(crate) fn put_into(self, detonation: &mut Detonation) {
        detonation.started = Timestamp::from_unix_millis(self.started_ms);
        detonation.ran_for = Duration::from_micros(self.ran_for_us);
        detonation.end = match self.end {
            WireEnd::Exited => DetonationEnd::Exited,
            WireEnd::Quiet => DetonationEnd::Quiet,
            WireEnd::TimeOver => DetonationEnd::TimeOver,
            WireEnd::GuestGone => DetonationEnd::GuestGone,
            WireEnd::NotRun(why) => DetonationEnd::NotRun(shown(&why)),
            WireEnd::Bound(which) => DetonationEnd::Bound(shown(&which)),
        };
        detonation.cut = self.cut.iter().take(CUT_MAX).map(|text| shown(text)).collect();
        detonation.cost = DetonationCost {
            restored_in: Duration::from_micros(self.restored_in_us),
            cpu: Duration::from_micros(self.cpu_us),
            memory_bytes_max: self.memory_bytes_max,
        };
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireEnd {
    Exited,
    Quiet,
    TimeOver,
    GuestGone,
    NotRun(String),
    Bound(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireRefused {
    NoJail(String),
    Refused(String),
    Broken(String),
}

/// Sends a message.
pub(crate) fn send(to: &mut impl Write, kind: Kind, contents: &[u8]) -> io::Result<()> {
    let bytes = u32::try_from(contents.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a message is too long"))?;
    let [a, b, c, d] = bytes.to_be_bytes();
    to.write_all(&[kind.byte(), a, b, c, d])?;
    to.write_all(contents)
}

/// Receives a message; none when there are no more.
pub(crate) fn receive(from: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut head = [0; 5];
    // The first byte by itself: an end between two messages is no error.
    if from.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..])?;
    let [kind, a, b, c, d] = head;
    let kind =
        Kind::ALL.into_iter().find(|known| known.byte() == kind).ok_or_else(|| invalid("a message of no kind"))?;
    let bytes = u32::from_be_bytes([a, b, c, d]) as usize;
    if bytes > MESSAGE_BYTES_MAX {
        return Err(invalid("a message that is too long"));
    }
    let mut contents = Vec::new();
    from.take(bytes as u64).read_to_end(&mut contents)?;
    if contents.len() < bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((kind, contents)))
}

/// Sends what came of a run.
pub(crate) fn send_outcome(to: &mut impl Write, outcome: Result<Detonation, SandboxError>) -> io::Result<()> {
    let detonation = match outcome {
        Ok(detonation) => detonation,
        Err(error) => {
            let refused = match error {
                SandboxError::NoJail(why) => WireRefused::NoJail(why),
                SandboxError::Refused(why) => WireRefused::Refused(why),
                SandboxError::Broken(why) => WireRefused::Broken(why),
                // Whoever asks has looked for the guest itself.
                SandboxError::NoGuest { reason, .. } => WireRefused::Broken(reason),
            };
            return send(to, Kind::Refused, &serde_json::to_vec(&refused)?);
        }
    };
    send(to, Kind::Guest, &detonation.guest)?;
    for event in &detonation.network {
        send(to, Kind::Event, &serde_json::to_vec(event)?)?;
    }
    send(to, Kind::Packets, &detonation.packets)?;
    for content in &detonation.contents {
        send(to, Kind::Content, content)?;
    }
    let ended = WireEnded::new(&detonation);
    send(to, Kind::Ended, &serde_json::to_vec(&ended)?)
}

/// Receives what came of a run. The outer error says that the process of the run did not tell it, or not as it should.
pub(crate) fn receive_outcome(
    from: &mut impl Read,
    request: &DetonationRequest,
) -> io::Result<Result<Detonation, SandboxError>> {
    let mut detonation = empty(request.id.clone(), request.isa, request.run_as);
    loop {
        match receive(from)?.ok_or(io::ErrorKind::UnexpectedEof)? {
            (Kind::Guest, guest) => detonation.guest = guest,
            (Kind::Event, json) if detonation.network.len() < NETWORK_EVENTS_MAX => {
                detonation.network.push(serde_json::from_slice::<NetworkEvent>(&json)?);
            }
            (Kind::Packets, packets) if packets.len() <= PACKETS_BYTES_MAX => detonation.packets = packets,
            (Kind::Content, content)
                if detonation.contents.len() < CONTENTS_MAX && content.len() <= CONTENT_BYTES_MAX =>
            {
                detonation.contents.push(content);
            }
            (Kind::Ended, json) => {
                serde_json::from_slice::<WireEnded>(&json)?.put_into(&mut detonation);
                return Ok(Ok(detonation));
            }
            (Kind::Refused, json) => {
                return Ok(Err(match serde_json::from_slice(&json)? {
                    WireRefused::NoJail(why) => SandboxError::NoJail(shown(&why)),
                    WireRefused::Refused(why) => SandboxError::Refused(shown(&why)),
                    WireRefused::Broken(why) => SandboxError::Broken(shown(&why)),
                }));
            }
            (Kind::Event | Kind::Packets | Kind::Content, _) => return Err(invalid("more than a run has")),
            (Kind::Order | Kind::Sample, _) => return Err(invalid("no part of a detonation")),
        }
    }
}

/// Text of the process of a run, as text that harms nobody.
fn shown(text: &str) -> String {
    let harmless = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    text.chars().map(harmless).take(TEXT_CHARACTERS_MAX).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
pub(crate) mod tests {
    use komainu_trace::network::NetworkAct;

    use super::*;

    fn request() -> DetonationRequest {
        DetonationRequest {
            id: "one".into(),
            sample: b"sample".to_vec(),
            file_name: "bot".into(),
            arguments: vec!["x".into()],
            isa: GuestIsa::Mips,
            run_as: RunAs::Root,
            runs_for_max: Duration::from_secs(60),
            quiet_for_max: Some(Duration::from_secs(10)),
            seed: Some(u64::MAX),
        }
    }

    pub(crate) fn detonation() -> Detonation {
        let event = |at_us| NetworkEvent { at_us, act: NetworkAct::Lost { what: "frames".into(), count: 1 } };
        Detonation {
            id: "one".into(),
            isa: GuestIsa::Mips,
            run_as: RunAs::Root,
            started: Timestamp::from_unix_millis(1_700_000_000_123),
            ran_for: Duration::from_micros(1_500_001),
            end: DetonationEnd::NotRun("no\u{1b}".into()),
            guest: vec![1; 10],
            network: vec![event(1), event(2)],
            packets: vec![2; 24],
            contents: vec![vec![3], Vec::new()],
            cut: vec!["a".into()],
            cost: DetonationCost {
                restored_in: Duration::from_millis(100),
                cpu: Duration::from_millis(900),
                memory_bytes_max: 1 << 27,
            },
        }
    }

    #[test]
    fn a_detonation_comes_back_as_it_was_but_for_control_characters() {
        let mut sent = Vec::new();
        send_outcome(&mut sent, Ok(detonation())).unwrap();
        let came = receive_outcome(&mut &sent[..], &request()).unwrap().unwrap();
        let expected = Detonation { end: DetonationEnd::NotRun("no\u{fffd}".into()), ..detonation() };
        assert_eq!(format!("{came:?}"), format!("{expected:?}"));
        for cut in 0..sent.len() {
            assert!(receive_outcome(&mut &sent[..cut], &request()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn refusals_come_back_as_they_were() {
        for error in
            [SandboxError::NoJail("a".into()), SandboxError::Refused("b".into()), SandboxError::Broken("c".into())]
        {
            let expected = format!("{error:?}");
            let mut sent = Vec::new();
            send_outcome(&mut sent, Err(error)).unwrap();
            assert_eq!(format!("{:?}", receive_outcome(&mut &sent[..], &request()).unwrap().unwrap_err()), expected);
        }
    }

    #[test]
    fn what_is_more_than_a_run_has_is_no_answer() {
        let mut sent = Vec::new();
        for _ in 0..=CONTENTS_MAX {
            send(&mut sent, Kind::Content, b"").unwrap();
        }
        assert!(receive_outcome(&mut &sent[..], &request()).is_err());
        for said in [&[0, 0, 0, 0, 0][..], &[3, 255, 255, 255, 255], &[1, 0, 0, 0, 0], &[7, 0, 0, 0, 1, b'{']] {
            assert!(receive_outcome(&mut &said[..], &request()).is_err(), "{said:?}");
        }
    }

    #[test]
    fn an_order_comes_back_as_it_was() {
        let kit = Kit {
            isa: GuestIsa::Mips,
            kernel: "k".into(),
            root: "r".into(),
            qemu: "qemu-system-mips".into(),
            machine: vec!["-M".into(), "malta".into()],
            virtio: crate::kit::Virtio::Pci,
            memory_mib: 64,
            command_line: "quiet".into(),
            kernel_version: "6.1".into(),
            digest: "d".into(),
        };
        let qemu = Qemu { program: "q".into(), version: "7.2".into() };
        let order = WireOrder::new(&request(), kit.clone(), qemu, "s".into(), 9);
        let json = serde_json::to_vec(&order).unwrap();
        let came: WireOrder = serde_json::from_slice(&json).unwrap();
        assert_eq!((came.pace, came.random, &came.kit), (Pace::Instructions, 9, &kit));
        assert_eq!(format!("{:?}", came.request(b"sample".to_vec())), format!("{:?}", request()));
    }
}
