//! The record of one flow: what was said in it, written down as it becomes known, and a summary when it is over.
//!
//! The same for a connection to a persona, a flow that is relayed to a device, and a flow in a capture file. A
//! [`Session`] takes the bytes, has them decoded, and hands the facts to its [`Keeper`], which writes lines: the
//! protocols' own records, `anomaly`, `fileinfo` and at the end `flow` into `eve.json`; `login`, `command`, `url`,
//! `artifact` and at the end `honeypot`, the summary, into `honeypot.json`.
//!
//! Worst case for one flow in bytes: about 100 KiB for the summary, 8 KiB for digests of what was scanned; the contents
//! of files beyond come out of a budget of the whole process ([`RecordLimits::file_memory_bytes_max`]). A flow that has shown nothing costs about 500 bytes.

mod afterword;
mod alert;
mod file;
mod flow;
mod scan;
mod secret;
mod shell;
mod summary;

use std::sync::Arc;

use komainu_decode::telnet;
use komainu_decode::{
    Command, Conversation, Fact, FileEvent, Login, Observer, Oddity, OddityKind, Place, Protocol, Side,
};
use komainu_intel::{Classifier, FlowEnds, Watch};
use komainu_model::{Confidentiality, ReleaseState};
use serde::Serialize;

pub(crate) use self::afterword::Afterword;
use self::alert::{AlertLine, VerdictLine};
use self::file::{FileMemory, OpenFile};
use self::flow::Envelope;
pub(crate) use self::flow::PacketEnds;
pub use self::flow::{Flow, community_id};
pub(crate) use self::scan::Findings;
use self::scan::Scanned;
pub use self::secret::Passwords;
use self::summary::{ArtifactLine, Auth, Bytes, CommandLine, Summary, Url, Via};
use crate::artifact::{ArtifactLimits, ArtifactStore, Sha256Digest, Stored};
use crate::eve::{self, AnyRecord, Log, Text};
use crate::fetch::{FetchQueue, Order};
use crate::log::{EventLog, Head, Time};
use crate::scan::PayloadScans;

/// Lines of one flow. More are counted, not written: one peer must not fill the disk, and what comes after so many
/// lines is more of the same.
const LINES_MAX: u32 = 10_000;

/// Files of one flow that are open at the same time, as with SMB. A further one is not recorded.
const OPEN_FILES_MAX: usize = 16;

/// What a target says over Telnet is collected up to so many bytes, or to the next thing that happens: one line of the
/// log for each line of text would be mostly envelopes.
const OUTPUT_BYTES_MAX: usize = 4 * 1024;

/// URLs of one flow that are fetched: a dropper tries its program for a dozen processors. What is named beyond is only
/// recorded, so that nobody fills the queue alone.
const FETCHES_MAX: u32 = 24;

/// Who recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SensorIdentity {
    /// The sensor's name, the same in all its records.
    pub id: String,
    /// Where it stands, as its owner calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The country where it is reached: two letters (ISO 3166-1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// Where a stranger came in when that was not at the sensor: a host at another site that carries strangers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutpostIdentity {
    /// Its name.
    pub name: String,
    /// Where it stands, as its owner calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The country where it is reached: two letters (ISO 3166-1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// What was attacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// What kind of thing it is.
    pub kind: TargetKind,
    /// The name of the persona.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persona: Option<String>,
    /// The name of the device, when it is a real one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What kind of device it is or claims to be, such as `ip_camera`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// Who makes it, when that does not stand in the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maker: Option<String>,
    /// Its maker and model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The version of its firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Whether a real device can be bought: `released` or `pre_release`. What is not out yet is confidential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_state: Option<&'static str>,
}

impl Target {
    /// Who may see what is recorded of it.
    pub(crate) fn confidentiality(&self) -> Confidentiality {
        let is_confidential = self.release_state == Some(ReleaseState::PreRelease.as_str());
        if is_confidential { Confidentiality::Confidential } else { Confidentiality::Open }
    }

    /// A target of which nothing else is known.
    pub const fn of_kind(kind: TargetKind) -> Self {
        Self {
            kind,
            persona: None,
            device: None,
            device_type: None,
            maker: None,
            model: None,
            firmware: None,
            release_state: None,
        }
    }
}

/// What kind of thing was attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A device.
    Real,
    /// A persona. What it sends is ours and is not stored.
    Emulated,
    /// Whatever a capture file shows.
    Capture,
}

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// One side closed it, or the capture shows no more of it.
    Closed,
    /// Nothing was said for too long.
    Idle,
    /// It reached a bound of time or bytes.
    Bound,
    /// The sensor stopped.
    Stopped,
}

/// Bounds of what is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimits {
    /// Memory in bytes for the contents of all files that are being carried at the same time. A file for which there
    /// is none is not stored; its digest is still known.
    pub file_memory_bytes_max: u64,
    /// Artifacts of one flow that are stored, and as many that are scanned. A loop in a shell makes thousands, and one
    /// attacker must not fill the store; beyond it, digests are still recorded.
    pub artifacts_per_flow_max: u32,
    /// Bytes of one flow's artifacts that are stored, for the same reason.
    pub artifact_bytes_per_flow_max: u64,
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self { file_memory_bytes_max: 96 << 20, artifacts_per_flow_max: 256, artifact_bytes_per_flow_max: 64 << 20 }
    }
}

/// What a recorder works with.
#[derive(Debug)]
pub struct RecorderParts {
    /// Where the lines go.
    pub log: Arc<EventLog>,
    /// Where files go; none keeps only their digests.
    pub artifacts: Option<Arc<ArtifactStore>>,
    /// Who records.
    pub sensor: SensorIdentity,
    /// How passwords are shown.
    pub passwords: Passwords,
    /// Who says what sessions were; none says nothing.
    pub classifier: Option<Arc<Classifier>>,
    /// Its bounds.
    pub limits: RecordLimits,
    /// Who fetches what attackers name; none only records it.
    pub fetches: Option<FetchQueue>,
    /// Who asks rules about what is brought; none asks nothing.
    pub scans: Option<PayloadScans>,
}

/// Makes the records of flows.
#[derive(Debug)]
pub struct Recorder {
    parts: RecorderParts,
    file_memory: Arc<FileMemory>,
}

/// A flow that is decoded and recorded.
#[derive(Debug)]
pub struct Session {
    conversation: Conversation,
    /// What is said inside TLS, where it is known.
    inside: Option<Inside>,
    keeper: Keeper,
}

/// A conversation that another one carries.
#[derive(Debug)]
struct Inside {
    conversation: Conversation,
    protocol: Option<Protocol>,
}

/// Writes down one flow.
#[derive(Debug)]
pub struct Keeper {
    recorder: Arc<Recorder>,
    target: Arc<Target>,
    flow: Flow,
    outpost: Option<Arc<OutpostIdentity>>,
    envelope: Envelope,
    session_id: String,
    /// The session that this one belongs to, as a data connection does to its control connection.
    parent: Option<String>,
    started_at: i64,
    protocol: Option<Protocol>,
    /// What each side said.
    counted: [Counted; 2],
    state: Option<&'static str>,
    lines: u32,
    lines_left_out: u64,
    artifacts: u32,
    artifact_bytes: u64,
    fetches: u32,
    files: Vec<OpenFile>,
    scanned: Option<Box<Scanned>>,
    /// What the target said over Telnet and is not written down yet, and since when.
    output: Vec<u8>,
    output_at: i64,
    /// Most connections show nothing that would have to be kept.
    summary: Option<Box<Summary>>,
    watch: Option<Box<Watch>>,
    /// The file with its packets.
    pcap_ref: Option<String>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    bytes: u64,
    packets: u64,
}

impl Recorder {
    /// A recorder that flows share.
    pub fn new(parts: RecorderParts) -> Arc<Self> {
        let file_memory = FileMemory::new(parts.limits.file_memory_bytes_max);
        Arc::new(Self { parts, file_memory })
    }

    /// Where the lines go.
    pub fn log(&self) -> &EventLog {
        &self.parts.log
    }

    /// Bytes of a file that are kept until it is complete, for whoever needs all of it.
    fn kept_bytes_max(&self) -> u64 {
        match (&self.parts.artifacts, &self.parts.scans) {
            (Some(artifacts), _) => artifacts.artifact_bytes_max(),
            (None, Some(_)) => ArtifactLimits::default().artifact_bytes_max,
            (None, None) => 0,
        }
    }

    /// Begins the record of a flow that began at `at`, in microseconds since 1970.
    ///
    /// Its id follows from the sensor, the flow and the time: reading a capture file twice gives the same records.
    pub fn begin(self: &Arc<Self>, flow: Flow, target: Arc<Target>, at: i64) -> Keeper {
        let (session_id, flow_id) = flow::ids(&self.parts.sensor.id, flow, at);
        let Flow { transport, client, server } = flow;
        let ends = FlowEnds { transport, client, server };
        Keeper {
            recorder: self.clone(),
            target,
            flow,
            outpost: None,
            envelope: Envelope::new(flow, &self.parts.sensor.id, flow_id),
            session_id,
            parent: None,
            started_at: at,
            protocol: None,
            counted: [Counted::default(); 2],
            state: None,
            lines: 0,
            lines_left_out: 0,
            artifacts: 0,
            artifact_bytes: 0,
            fetches: 0,
            files: Vec::new(),
            scanned: None,
            output: Vec::new(),
            output_at: at,
            summary: None,
            watch: self.parts.classifier.as_ref().map(|classifier| Box::new(classifier.watch(ends))),
            pcap_ref: None,
        }
    }

    /// Stores what belongs to no flow that is still recorded.
    pub(crate) fn keep(&self, contents: &[u8]) -> (Sha256Digest, Stored) {
        let sha256 = Sha256Digest::of(contents);
        let stored = match &self.parts.artifacts {
            Some(artifacts) => artifacts.put(sha256, contents),
            None => Stored::No,
        };
        (sha256, stored)
    }

    /// Writes down something about packets of no flow that is recorded, as a line of `honeypot.json`.
    pub(crate) fn note_packets(
        &self,
        at: i64,
        ends: PacketEnds,
        confidentiality: Confidentiality,
        event_type: &'static str,
        body: &impl Serialize,
    ) {
        let envelope = Envelope::of_packets(ends, &self.parts.sensor.id, at);
        let head = Head {
            at,
            flow_id: envelope.flow_id,
            ends: envelope.ends(Side::Client),
            app_proto: None,
            rest: &envelope.rest,
            confidentiality,
        };
        self.parts.log.write(Log::Honeypot, &head, event_type, body);
    }
}

impl Session {
    /// Has what `conversation` shows written down by `keeper`.
    pub fn new(keeper: Keeper, conversation: Conversation) -> Self {
        let mut keeper = keeper;
        if let Some(watch) = &mut keeper.watch {
            // A persona's port may be open at another one.
            watch.server_port(conversation.server_port());
        }
        if let Some(protocol) = conversation.protocol() {
            let began_at = keeper.started_at;
            keeper.protocol(began_at, protocol);
        }
        Self { conversation, inside: None, keeper }
    }

    /// Takes what a side said next: bytes of a stream, or one datagram.
    pub fn data(&mut self, at: i64, side: Side, bytes: &[u8]) {
        self.keeper.count(side, 0, bytes.len() as u64);
        self.conversation.data(
            side,
            bytes,
            &mut Listener { keeper: &mut self.keeper, at, is_clear: self.inside.is_none() },
        );
    }

    /// Learns that the next `bytes` bytes of a side are not known.
    pub fn gap(&mut self, at: i64, side: Side, bytes: u64) {
        self.conversation.gap(
            side,
            bytes,
            &mut Listener { keeper: &mut self.keeper, at, is_clear: self.inside.is_none() },
        );
    }

    /// Learns that a side has said everything.
    pub fn finish(&mut self, at: i64, side: Side) {
        self.tell_inside(at, |conversation, listener| conversation.finish(side, listener));
        self.conversation.finish(side, &mut Listener { keeper: &mut self.keeper, at, is_clear: self.inside.is_none() });
    }

    /// Learns that what both sides say from here on is also known in the clear, and what decodes that.
    ///
    /// The flow's protocol stays that of the outside, as Suricata has it; lines about what was said inside name the
    /// protocol that was spoken there.
    pub fn begin_inside(&mut self, conversation: Conversation) {
        let protocol = conversation.protocol();
        self.inside = Some(Inside { conversation, protocol });
    }

    /// Takes in the clear what a side said next. [`Self::data`] has counted it.
    pub fn data_inside(&mut self, at: i64, side: Side, bytes: &[u8]) {
        self.tell_inside(at, |conversation, listener| conversation.data(side, bytes, listener));
    }

    fn tell_inside(&mut self, at: i64, tell: impl FnOnce(&mut Conversation, &mut Listener<'_>)) {
        let Some(inside) = &mut self.inside else { return };
        std::mem::swap(&mut inside.protocol, &mut self.keeper.protocol);
        tell(&mut inside.conversation, &mut Listener { keeper: &mut self.keeper, at, is_clear: true });
        std::mem::swap(&mut inside.protocol, &mut self.keeper.protocol);
    }

    /// Whose records it adds to, for what no decoder can see.
    pub fn keeper(&mut self) -> &mut Keeper {
        &mut self.keeper
    }

    /// The same, to look at.
    pub(crate) fn keeper_of(&self) -> &Keeper {
        &self.keeper
    }

    /// Ends the flow and writes its summary.
    pub fn end(mut self, at: i64, ending: Ending) {
        self.tell_inside(at, |conversation, listener| conversation.end(listener));
        self.conversation.end(&mut Listener { keeper: &mut self.keeper, at, is_clear: self.inside.is_none() });
        self.keeper.end(at, ending);
    }
}

/// Hands facts on with their time.
struct Listener<'a> {
    keeper: &'a mut Keeper,
    at: i64,
    /// Whether the bytes are what was said: rules are not asked about what is encrypted when they are asked about what
    /// is inside.
    is_clear: bool,
}

impl Observer for Listener<'_> {
    fn fact(&mut self, place: Place, fact: Fact<'_>) {
        self.keeper.fact(self.at, place, &fact);
    }

    fn protocol(&mut self, protocol: Protocol) {
        self.keeper.protocol(self.at, protocol);
    }

    fn payload(&mut self, side: Side, bytes: &[u8]) {
        if self.is_clear {
            self.keeper.payload(self.at, side, bytes);
        }
    }

    fn lost(&mut self, side: Side, bytes: u64) {
        if self.is_clear {
            self.keeper.lost(side, bytes);
        }
    }
}

impl Keeper {
    /// Says by which outpost the client came, if by one.
    pub(crate) fn through(self, outpost: Option<Arc<OutpostIdentity>>) -> Self {
        Self { outpost, ..self }
    }

    /// The session's id: 32 hexadecimal digits.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// What differs from one session to the next, for whatever a persona makes up.
    pub(crate) fn seed(&self) -> u64 {
        u64::from_str_radix(&self.session_id[..16], 16).expect("a session id is hexadecimal")
    }

    /// Begins the record of a flow that belongs to this one: the same target, and the same session to whoever looks.
    pub(crate) fn beside(&self, flow: Flow, at: i64) -> Self {
        let parent = Some(self.session_id.clone());
        Self { parent, ..self.recorder.begin(flow, self.target.clone(), at) }
    }

    /// Which flow it is the record of.
    pub(crate) fn flow(&self) -> Flow {
        self.flow
    }

    /// Learns in which file the packets of the flow are.
    pub(crate) fn captured_in(&mut self, pcap_ref: String) {
        self.pcap_ref = Some(pcap_ref);
    }

    /// What the flow speaks, as far as it is known.
    pub(crate) fn app_proto(&self) -> Option<&'static str> {
        self.protocol.map(Protocol::name)
    }

    /// Who writes further lines about the flow, also after its end.
    pub(crate) fn afterword(&self) -> Afterword {
        Afterword::of(self)
    }

    /// Counts what a side sent: packets, and bytes of payload.
    pub fn count(&mut self, side: Side, packets: u64, bytes: u64) {
        let counted = &mut self.counted[index(side)];
        counted.packets += packets;
        counted.bytes += bytes;
    }

    /// Learns at `at` which protocol the flow speaks.
    pub fn protocol(&mut self, at: i64, protocol: Protocol) {
        self.protocol = Some(protocol);
        self.watch(at, |watch| watch.protocol(at, protocol));
    }

    /// Takes what a side said at `at`, as it was sent, before the facts that it shows.
    pub fn payload(&mut self, at: i64, side: Side, bytes: &[u8]) {
        self.watch(at, |watch| watch.payload(at, side, bytes));
    }

    /// Learns that the next bytes of a side are not known.
    pub fn lost(&mut self, side: Side, bytes: u64) {
        if let Some(watch) = &mut self.watch {
            watch.gap(side, bytes);
        }
    }

    /// Has the session watched, and writes down the alerts that follow.
    fn watch(&mut self, at: i64, act: impl FnOnce(&mut Watch)) {
        let Some(watch) = &mut self.watch else { return };
        act(watch);
        if !watch.has_alerts() {
            return;
        }
        for alert in watch.take_alerts() {
            if self.may_write() {
                let head = Head { ends: self.envelope.ends(alert.place.side), ..self.head(at) };
                self.recorder.parts.log.write(Log::Eve, &head, "alert", &AlertLine::new(&alert.rule));
            }
        }
    }

    /// Learns how far a flow came, in Suricata's words: `new`, `established` or, of a connection, `closed`.
    pub fn flow_state(&mut self, state: &'static str) {
        self.state = Some(state);
    }

    /// Writes down a fact that was understood at `at`.
    pub fn fact(&mut self, at: i64, place: Place, fact: &Fact<'_>) {
        if let Fact::Telnet(telnet::Event::Output { text }) = fact {
            return self.output(at, text);
        }
        self.write_output();
        self.watch(at, |watch| watch.fact(at, place, fact));
        match fact {
            Fact::Login(login) => self.login(at, login),
            Fact::Command(command) => self.command(at, command),
            Fact::File(event) => self.file(at, place.side, event),
            Fact::Oddity(oddity) => self.oddity(at, *oddity),
            _ => {
                for mut record in eve::records(fact) {
                    self.recorder.parts.passwords.hide_in(&mut record);
                    self.summary().note_fingerprints(place.side, &record);
                    self.write_record(at, &record);
                }
            }
        }
    }

    fn output(&mut self, at: i64, text: &[u8]) {
        if self.output.is_empty() {
            self.output_at = at;
        }
        self.output.extend_from_slice(text);
        if self.output.len() >= OUTPUT_BYTES_MAX {
            self.write_output();
        }
    }

    fn write_output(&mut self) {
        if self.output.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.output);
        for record in eve::records(&Fact::Telnet(telnet::Event::Output { text: &text })) {
            self.write_record(self.output_at, &record);
        }
    }

    fn login(&mut self, at: i64, login: &Login<'_>) {
        let auth = Auth::new(at, login, &self.recorder.parts.passwords);
        self.write(at, Log::Honeypot, "login", &auth);
        self.summary().auth.push(auth);
    }

    fn command(&mut self, at: i64, command: &Command<'_>) {
        let line = secret::without_secret(command.line, &self.recorder.parts.passwords);
        for url in summary::urls_in(&line) {
            self.url(at, Url { url: Bytes::of(url), program: None, to: None });
        }
        let command = CommandLine { timestamp: Time(at), line: Bytes::of(&line) };
        self.write(at, Log::Honeypot, "command", &command);
        self.summary().commands.push(command);
    }

    /// Writes down that a program of the target was told to fetch something. It is fetched only if the sensor was told to
    /// do so, elsewhere and later: the target only pretends.
    pub fn fetch(&mut self, at: i64, program: &str, url: &[u8], to: Option<&[u8]>) {
        self.watch(at, Watch::fetched);
        self.url(at, Url { url: Bytes::of(url), program: Some(program.to_owned()), to: to.map(Bytes::of) });
    }

    fn url(&mut self, at: i64, url: Url) {
        if self.summary().knows_url(&url) {
            return;
        }
        self.write(at, Log::Honeypot, "url", &url);
        if !self.summary().names_url(&url) {
            self.have_fetched(&url);
        }
        self.summary().add_url(url);
    }

    fn have_fetched(&mut self, url: &Url) {
        let is_ours = self.target.kind != TargetKind::Capture && self.fetches < FETCHES_MAX;
        if let Some(queue) = self.recorder.parts.fetches.as_ref().filter(|_| is_ours) {
            let (url, program) = url.wanted();
            queue.offer(Order { afterword: Afterword::of(self), url, program });
            self.fetches += 1;
        }
    }

    /// Writes down a file that came into being on the target without a decoder seeing it, such as one that was typed
    /// into a shell, and stores it. `why` says what made it worth it, such as `executed`.
    pub fn captured(&mut self, at: i64, name: &[u8], contents: &[u8], why: &'static str) {
        let sha256 = Sha256Digest::of(contents);
        let stored = self.store(sha256, contents);
        self.watch(at, |watch| watch.captured(contents, matches!(why, "made_executable" | "ran")));
        self.write_file_info(at, Side::Client, &FileInfo::of_whole(name, sha256, contents.len() as u64, stored));
        self.artifact(at, ArtifactLine::new(at, sha256, contents, name, Via::Shell(why), stored));
        self.scan(at, sha256, contents);
    }

    /// Stores what is no file, such as what was said at a port that nobody understands, and has it scanned.
    pub(crate) fn keep(&mut self, at: i64, contents: &[u8]) -> (Sha256Digest, bool) {
        let sha256 = Sha256Digest::of(contents);
        let is_stored = self.store(sha256, contents) != Stored::No;
        self.scan(at, sha256, contents);
        (sha256, is_stored)
    }

    /// Writes down something else about the target, as a line of `honeypot.json`.
    pub fn note(&mut self, at: i64, event_type: &'static str, body: &impl Serialize) {
        self.write(at, Log::Honeypot, event_type, body);
    }

    /// Notes a fingerprint of the client under a name such as `hassh`.
    pub fn fingerprint(&mut self, name: &'static str, value: &str) {
        self.summary().add_fingerprint(name, value);
    }

    fn file(&mut self, at: i64, side: Side, event: &FileEvent<'_>) {
        match *event {
            FileEvent::Begin { file, name, via, bytes_expected: _ } => {
                if self.files.len() >= OPEN_FILES_MAX {
                    let what = "too_many_open_files";
                    return self.oddity(at, Oddity { kind: OddityKind::Bound, what });
                }
                let bytes_max = if self.is_ours(side) { 0 } else { self.recorder.kept_bytes_max() };
                self.files.push(OpenFile::new(file, side, name, via, bytes_max, self.recorder.file_memory.clone()));
            }
            FileEvent::Part { file, offset, bytes } => {
                if let Some(open) = self.files.iter_mut().find(|open| open.number == file) {
                    open.part(offset, bytes);
                }
            }
            FileEvent::End { file, is_complete } => {
                if let Some(index) = self.files.iter().position(|open| open.number == file) {
                    let open = self.files.swap_remove(index);
                    self.end_file(at, open, is_complete);
                }
            }
        }
    }

    fn end_file(&mut self, at: i64, open: OpenFile, is_complete: bool) {
        let ended = open.end(is_complete);
        let mut info = FileInfo {
            filename: Text(&ended.name),
            gaps: ended.has_gaps,
            state: if ended.is_complete { "CLOSED" } else { "TRUNCATED" },
            sha256: (ended.bytes > 0).then_some(ended.sha256),
            stored: false,
            size: ended.bytes,
        };
        let stored = match &ended.contents {
            Some(contents) if !contents.is_empty() => Some(self.store(ended.sha256, contents)),
            Some(_) | None => None,
        };
        info.stored = matches!(stored, Some(Stored::New | Stored::Known));
        self.write_file_info(at, ended.side, &info);
        match (&ended.contents, stored) {
            (Some(contents), Some(stored)) => {
                let via = Via::File(ended.via);
                self.artifact(at, ArtifactLine::new(at, ended.sha256, contents, &ended.name, via, stored));
                self.scan(at, ended.sha256, contents);
            }
            (None, _) if ended.bytes > 0 && !self.is_ours(ended.side) => {
                self.not_scanned(at, ended.sha256, ended.bytes);
            }
            _ => {}
        }
    }

    /// Whether what a side sends was made by us.
    fn is_ours(&self, side: Side) -> bool {
        self.target.kind == TargetKind::Emulated && side == Side::Server
    }

    fn store(&mut self, sha256: Sha256Digest, contents: &[u8]) -> Stored {
        let RecorderParts { artifacts, limits, .. } = &self.recorder.parts;
        let bytes = self.artifact_bytes.saturating_add(contents.len() as u64);
        let is_room = self.artifacts < limits.artifacts_per_flow_max && bytes <= limits.artifact_bytes_per_flow_max;
        let Some(artifacts) = artifacts.as_ref().filter(|_| is_room) else { return Stored::No };
        let stored = artifacts.put(sha256, contents);
        // What is there already costs the store nothing.
        if stored == Stored::New {
            self.artifacts += 1;
            self.artifact_bytes = bytes;
        }
        stored
    }

    fn artifact(&mut self, at: i64, artifact: ArtifactLine) {
        self.write(at, Log::Honeypot, "artifact", &artifact);
        self.summary().artifacts.push(artifact);
    }

    fn write_file_info(&mut self, at: i64, side: Side, info: &FileInfo<'_>) {
        if self.may_write() {
            // As Suricata has it: the source is who sent the file.
            let head = Head { ends: self.envelope.ends(side), ..self.head(at) };
            self.recorder.parts.log.write(Log::Eve, &head, "fileinfo", info);
        }
    }

    fn oddity(&mut self, at: i64, oddity: Oddity) {
        let is_of_stream = oddity.kind == OddityKind::Gap;
        let anomaly = Anomaly {
            app_proto: self.protocol.filter(|_| !is_of_stream).map(Protocol::name),
            r#type: if is_of_stream { "stream" } else { "applayer" },
            event: oddity.what,
            layer: (!is_of_stream).then_some("proto_parser"),
        };
        self.write(at, Log::Eve, "anomaly", &anomaly);
    }

    /// Writes the summary of a flow that ended at `at`, as soon as what was brought in it is scanned.
    pub fn end(mut self, at: i64, ending: Ending) {
        self.write_output();
        for open in std::mem::take(&mut self.files) {
            self.end_file(at, open, false);
        }
        self.watch(at, |watch| watch.finish(at));
        self.close_when_scanned(at, ending);
    }

    /// Writes the summary.
    fn close(self, at: i64, ending: Ending) {
        let verdict = self.watch.as_ref().map(|watch| watch.verdict(at));
        let [to_server, to_client] = self.counted;
        let knows_packets = to_server.packets + to_client.packets > 0;
        let age_us = at.saturating_sub(self.started_at).max(0);
        let flow = FlowLine {
            pkts_toserver: knows_packets.then_some(to_server.packets),
            pkts_toclient: knows_packets.then_some(to_client.packets),
            bytes_toserver: to_server.bytes,
            bytes_toclient: to_client.bytes,
            start: Time(self.started_at),
            end: Time(at),
            age: age_us / 1_000_000,
            state: match self.state {
                Some(state) => state,
                None if to_server.bytes + to_client.bytes == 0 => "new",
                None => "closed",
            },
            reason: match ending {
                Ending::Closed | Ending::Idle => "timeout",
                Ending::Bound => "forced",
                Ending::Stopped => "shutdown",
            },
            alerted: verdict.as_ref().is_some_and(|verdict| verdict.alerts > 0),
        };
        // These two are always written: the bound on lines is for what comes before them.
        let (log, head) = (&self.recorder.parts.log, self.head(at));
        log.write(Log::Eve, &head, "flow", &flow);
        let nothing = Summary::default();
        let honeypot = HoneypotLine {
            session: SessionLine {
                id: &self.session_id,
                parent: self.parent.as_deref(),
                start: Time(self.started_at),
                end: Time(at),
                duration_ms: age_us / 1_000,
                ended: ending,
                lines_left_out: self.lines_left_out,
                scans_left_out: self.scanned.as_ref().map_or(0, |scanned| scanned.left_out),
            },
            sensor: &self.recorder.parts.sensor,
            target: &self.target,
            outpost: self.outpost.as_deref(),
            summary: self.summary.as_deref().unwrap_or(&nothing),
            verdict: verdict.as_ref().map(VerdictLine::new),
            pcap_ref: self.pcap_ref.as_deref(),
            bytes_toserver: to_server.bytes,
            bytes_toclient: to_client.bytes,
        };
        log.write(Log::Honeypot, &head, "honeypot", &honeypot);
    }

    fn summary(&mut self) -> &mut Summary {
        self.summary.get_or_insert_default()
    }

    fn write_record(&mut self, at: i64, record: &AnyRecord) {
        self.write(at, record.log, record.event_type, &record.body);
    }

    fn write(&mut self, at: i64, log: Log, event_type: &'static str, body: &impl Serialize) {
        if self.may_write() {
            self.recorder.parts.log.write(log, &self.head(at), event_type, body);
        }
    }

    fn may_write(&mut self) -> bool {
        let is_room = self.lines < LINES_MAX;
        self.lines += u32::from(is_room);
        self.lines_left_out += u64::from(!is_room);
        is_room
    }

    fn head(&self, at: i64) -> Head<'_> {
        Head {
            at,
            flow_id: self.envelope.flow_id,
            ends: self.envelope.ends(Side::Client),
            app_proto: self.protocol.map(Protocol::name),
            rest: &self.envelope.rest,
            confidentiality: self.target.confidentiality(),
        }
    }
}

fn index(side: Side) -> usize {
    match side {
        Side::Client => 0,
        Side::Server => 1,
    }
}

/// `fileinfo` of Suricata's schema.
#[derive(Debug, Serialize)]
struct FileInfo<'a> {
    filename: Text<'a>,
    gaps: bool,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256Digest>,
    stored: bool,
    size: u64,
}

impl<'a> FileInfo<'a> {
    fn of_whole(name: &'a [u8], sha256: Sha256Digest, bytes: u64, stored: Stored) -> Self {
        let is_stored = stored != Stored::No;
        Self {
            filename: Text(name),
            gaps: false,
            state: "CLOSED",
            sha256: Some(sha256),
            stored: is_stored,
            size: bytes,
        }
    }
}

/// `anomaly` of Suricata's schema.
#[derive(Debug, Serialize)]
struct Anomaly {
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'static str>,
    r#type: &'static str,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<&'static str>,
}

/// `flow` of Suricata's schema. Bytes are those of the payload; Suricata also counts headers.
#[derive(Debug, Serialize)]
struct FlowLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    pkts_toserver: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pkts_toclient: Option<u64>,
    bytes_toserver: u64,
    bytes_toclient: u64,
    start: Time,
    end: Time,
    /// In seconds.
    age: i64,
    state: &'static str,
    reason: &'static str,
    alerted: bool,
}

/// The summary of a flow in `honeypot.json`.
#[derive(Debug, Serialize)]
struct HoneypotLine<'a> {
    session: SessionLine<'a>,
    sensor: &'a SensorIdentity,
    target: &'a Target,
    #[serde(skip_serializing_if = "Option::is_none")]
    outpost: Option<&'a OutpostIdentity>,
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(flatten)]
    verdict: Option<VerdictLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pcap_ref: Option<&'a str>,
    bytes_toserver: u64,
    bytes_toclient: u64,
}

#[derive(Debug, Serialize)]
struct SessionLine<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
    start: Time,
    end: Time,
    duration_ms: i64,
    ended: Ending,
    #[serde(skip_serializing_if = "is_zero")]
    lines_left_out: u64,
    #[serde(skip_serializing_if = "is_zero")]
    scans_left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
