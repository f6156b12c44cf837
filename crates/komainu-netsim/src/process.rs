//! Starts the process and collects what it tells.

use std::io::{self, BufRead, BufReader, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use komainu_trace::network::NetworkEvent;
use sha2::{Digest, Sha256};

use crate::limits::CONTENT_BYTES_MAX;
use crate::message::{self, Ready};
use crate::record::Content;
use crate::settings::{Bounds, Framing, Settings};

/// This program, wherever it lies.
const PROGRAM: &str = "/proc/self/exe";

/// How long the process may take to be ready; it makes two keys.
const READY_TIME_MAX: Duration = Duration::from_secs(20);

/// How long it may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// The answer that it is ready, in bytes: a certificate.
const READY_BYTES_MAX: usize = 64 * 1024;

/// An event as a line, in bytes; the longest has a target of 2048 bytes, each of which may be written as four.
const EVENT_BYTES_MAX: u64 = 64 * 1024;

/// Events at the end that no bound holds, in bytes: what was lost, one line for each kind.
const LAST_EVENTS_BYTES: u64 = 64 * 1024;

/// Why there is no simulated Internet.
#[derive(Debug, thiserror::Error)]
pub enum NetsimError {
    /// The process could not be started, or ended before it was ready.
    #[error("cannot start the simulated Internet: {doing}")]
    Start {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// A simulated Internet in a process of its own. If it is dropped before it is ended, the process is killed.
#[derive(Debug)]
pub struct NetsimProcess {
    child: Child,
    control: UnixStream,
    certificate_pem: String,
    collecting: Option<Collecting>,
}

#[derive(Debug)]
struct Collecting {
    events: JoinHandle<(Vec<NetworkEvent>, Option<&'static str>)>,
    packets: JoinHandle<(Vec<u8>, Option<&'static str>)>,
    contents: JoinHandle<(Vec<Content>, Option<&'static str>)>,
}

/// What a simulated Internet saw.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Its events, in the order in which it told them.
    pub events: Vec<NetworkEvent>,
    /// The packets, as a pcap file.
    pub packets: Vec<u8>,
    /// The contents that the guest handed over.
    pub contents: Vec<Content>,
    /// What is missing, in words for a report: the process broke, or said something that it never says.
    pub cut: Vec<String>,
}

impl NetsimProcess {
    /// Starts the process; `arguments` make this program call [`run_netsim`](crate::run_netsim). Gives back the guest's
    /// end of the link. `on_event` hears of each event as it is told, on a thread of its own.
    pub fn start(
        arguments: &[String],
        settings: &Settings,
        on_event: Box<dyn FnMut(&NetworkEvent) + Send>,
    ) -> Result<(Self, OwnedFd), NetsimError> {
        let failed = |doing| move |source| NetsimError::Start { doing, source };
        let (control, theirs) = UnixStream::pair().map_err(failed("making a socket"))?;
        let (frames, guest) = match settings.framing {
            Framing::Datagram => {
                let (frames, guest) = UnixDatagram::pair().map_err(failed("making the link"))?;
                (OwnedFd::from(frames), OwnedFd::from(guest))
            }
            Framing::Stream => {
                let (frames, guest) = UnixStream::pair().map_err(failed("making the link"))?;
                (OwnedFd::from(frames), OwnedFd::from(guest))
            }
        };
        let mut pipes = Vec::new();
        for _ in 0..3 {
            pipes.push(io::pipe().map_err(failed("making a pipe"))?);
        }
        let Ok([(events, events_end), (packets, packets_end), (contents, contents_end)]) = <[_; 3]>::try_from(pipes)
        else {
            unreachable!("three were made");
        };
        let child = Command::new(PROGRAM)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // What it would say, a sample may have chosen.
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed("starting its process"))?;
        let mut process = Self { child, control, certificate_pem: String::new(), collecting: None };
        let json = serde_json::to_vec(settings).expect("numbers, texts and lists are JSON");
        let descriptors = [frames.as_fd(), events_end.as_fd(), packets_end.as_fd(), contents_end.as_fd()];
        message::send(&process.control, &json, &descriptors).map_err(failed("sending its settings"))?;
        // Only the process has them from here on, so that they end with it.
        drop((frames, events_end, packets_end, contents_end));
        process.control.set_read_timeout(Some(READY_TIME_MAX)).map_err(failed("setting a time limit"))?;
        let ready =
            message::receive(&mut process.control, READY_BYTES_MAX).map_err(failed("waiting until it is ready"))?;
        let Ready { certificate_pem } = serde_json::from_slice(&ready)
            .map_err(|error| NetsimError::Start { doing: "reading that it is ready", source: error.into() })?;
        process.certificate_pem = certificate_pem;
        let Bounds { event_bytes_max, pcap_bytes_max, content_bytes_max, .. } = settings.bounds;
        process.collecting = Some(Collecting {
            events: spawn("netsim-events", move || collect_events(events, event_bytes_max, on_event))?,
            packets: spawn("netsim-packets", move || collect_packets(packets, pcap_bytes_max))?,
            contents: spawn("netsim-contents", move || collect_contents(contents, content_bytes_max))?,
        });
        Ok((process, guest))
    }

    /// The certificate of its authority (PEM), for whoever wants the guest to trust it.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it, within seconds, and gives back what it saw.
    pub fn end(mut self) -> Observed {
        let mut observed = Observed::default();
        let _ = self.control.shutdown(Shutdown::Write);
        let _ = self.control.set_read_timeout(Some(END_TIME_MAX));
        // Nothing more is said; the end of the stream is the end of the process.
        if !matches!(self.control.read(&mut [0]), Ok(0)) {
            observed.cut.push("the simulated Internet did not end by itself".into());
            let _ = self.child.kill();
        }
        match self.child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => observed.cut.push(format!("the simulated Internet broke: {status}")),
            Err(error) => observed.cut.push(format!("the simulated Internet is not there: {error}")),
        }
        if let Some(Collecting { events, packets, contents }) = self.collecting.take() {
            let (got, why) = events.join().unwrap_or((Vec::new(), Some("events: the reader broke")));
            observed.events = got;
            observed.cut.extend(why.map(str::to_owned));
            let (got, why) = packets.join().unwrap_or((Vec::new(), Some("packets: the reader broke")));
            observed.packets = got;
            observed.cut.extend(why.map(str::to_owned));
            let (got, why) = contents.join().unwrap_or((Vec::new(), Some("contents: the reader broke")));
            observed.contents = got;
            observed.cut.extend(why.map(str::to_owned));
        }
        observed
    }
}

impl Drop for NetsimProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // It is dead, or about to be: this takes no time, and leaves nothing behind.
        let _ = self.child.wait();
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, NetsimError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|source| NetsimError::Start { doing: "starting a thread", source })
}

/// Reads to the end without keeping, so that the process is not held up by a pipe that nobody empties.
fn drain(mut from: impl Read) {
    let _ = io::copy(&mut from, &mut io::sink());
}

fn collect_events(
    from: impl Read,
    bytes_max: u64,
    mut on_event: Box<dyn FnMut(&NetworkEvent) + Send>,
) -> (Vec<NetworkEvent>, Option<&'static str>) {
    let mut from = BufReader::new(from);
    let (mut events, mut bytes) = (Vec::new(), 0_u64);
    let why = loop {
        let mut line = Vec::new();
        match (&mut from).take(EVENT_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) => break None,
            Ok(length) => bytes += length as u64,
            Err(_) => break Some("events: they could not be read"),
        }
        if bytes > bytes_max.saturating_add(LAST_EVENTS_BYTES) {
            break Some("events: there are more than their bound");
        }
        let Ok(event) = serde_json::from_slice(&line) else { break Some("events: a line is none") };
        on_event(&event);
        events.push(event);
    };
    drain(from);
    (events, why)
}

fn collect_packets(mut from: impl Read, bytes_max: u64) -> (Vec<u8>, Option<&'static str>) {
    let mut packets = Vec::new();
    let read = (&mut from).take(bytes_max).read_to_end(&mut packets);
    let is_more = matches!(from.read(&mut [0]), Ok(1));
    drain(from);
    let why = match read {
        Err(_) => Some("packets: they could not be read"),
        Ok(_) if is_more => Some("packets: there are more than their bound"),
        Ok(_) => None,
    };
    (packets, why)
}

fn collect_contents(mut from: impl Read, bytes_max: u64) -> (Vec<Content>, Option<&'static str>) {
    let (mut contents, mut bytes_in_all) = (Vec::new(), 0_u64);
    let why = loop {
        let mut head = [0; 36];
        match from.read(&mut head[..1]) {
            Ok(0) => break None,
            Ok(_) => {}
            Err(_) => break Some("contents: they could not be read"),
        }
        if from.read_exact(&mut head[1..]).is_err() {
            break Some("contents: the last one is cut");
        }
        let [sha256 @ .., a, b, c, d] = head;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        bytes_in_all += length;
        if length > CONTENT_BYTES_MAX as u64 || bytes_in_all > bytes_max {
            break Some("contents: there are more than their bound");
        }
        let mut bytes = Vec::new();
        match (&mut from).take(length).read_to_end(&mut bytes) {
            Ok(read) if read as u64 == length => {}
            _ => break Some("contents: the last one is cut"),
        }
        let is_right = <[u8; 32]>::from(Sha256::digest(&bytes)) == sha256;
        if !is_right {
            break Some("contents: one is not what it says");
        }
        contents.push(Content { sha256, bytes });
    };
    drain(from);
    (contents, why)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::packet::{ETHERTYPE_ARP, ethernet};

    /// Becomes the simulated Internet when another test starts this program.
    #[test]
    #[ignore = "is the process that the other tests start"]
    fn netsim_child() {
        crate::run_netsim().unwrap();
        // The harness would write to the pipe that is its output, and the process may still do that; but it would also
        // ask for what it may not have.
        std::process::exit(0);
    }

    fn start(settings: &Settings) -> (NetsimProcess, OwnedFd) {
        let arguments = ["--exact", "process::tests::netsim_child", "--ignored", "--nocapture"];
        NetsimProcess::start(&arguments.map(str::to_owned), settings, Box::new(|_| {})).unwrap()
    }

    /// A question of ARP for the router.
    fn question() -> Vec<u8> {
        let mut message = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 192, 168, 1, 100, 0, 0, 0, 0, 0, 0];
        message.extend([192, 168, 1, 1]);
        ethernet([0xFF; 6], [2, 0, 0, 0, 0, 9], ETHERTYPE_ARP, &message)
    }

    #[test]
    fn a_process_answers_on_both_kinds_of_link() {
        for framing in [Framing::Datagram, Framing::Stream] {
            let (process, guest) = start(&Settings { framing, ..Settings::default() });
            assert!(process.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----"));
            let mut answer = [0; 2000];
            let length = match framing {
                Framing::Datagram => {
                    let guest = UnixDatagram::from(guest);
                    guest.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    guest.send(&question()).unwrap();
                    guest.recv(&mut answer).unwrap()
                }
                Framing::Stream => {
                    let mut guest = UnixStream::from(guest);
                    guest.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    let mut sent = 42_u32.to_be_bytes().to_vec();
                    sent.extend(question());
                    io::Write::write_all(&mut guest, &sent).unwrap();
                    guest.read_exact(&mut answer[..4]).unwrap();
                    assert_eq!(answer[..4], 42_u32.to_be_bytes());
                    guest.read_exact(&mut answer[..42]).unwrap();
                    42
                }
            };
            assert_eq!((length, &answer[20..22]), (42, &[0, 2][..]), "it answers");
            let observed = process.end();
            assert_eq!(observed.cut, Vec::<String>::new());
            // Header, question, answer.
            assert_eq!(observed.packets.len(), 24 + 2 * (16 + 42));
        }
    }

    #[test]
    fn the_process_has_no_rights_and_can_open_nothing() {
        let (process, _guest) = start(&Settings::default());
        let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", process.pid())).unwrap();
        let limits = read("limits");
        for (name, most) in [("Max open files", "3"), ("Max core file size", "0"), ("Max processes", "0")] {
            let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
            let seen: Vec<_> = line[name.len()..].split_whitespace().take(2).collect();
            assert_eq!(seen, [most, most], "{line}");
        }
        let threads = fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap();
        let confined = threads
            .map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap())
            .filter(|status| status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"))
            .count();
        // Here a test is a thread beside the first one; in the program it is the first one.
        assert_eq!(confined, 1);
    }

    #[test]
    fn a_process_that_is_gone_is_told_as_such() {
        let (mut process, _guest) = start(&Settings::default());
        process.child.kill().unwrap();
        let observed = process.end();
        assert_eq!(observed.cut.len(), 1, "{:?}", observed.cut);
    }

    #[test]
    fn settings_that_cannot_be_are_told_at_once() {
        let settings = Settings { players: vec!["nonsense".into()], ..Settings::default() };
        let arguments = ["--exact", "process::tests::netsim_child", "--ignored", "--nocapture"];
        let started = NetsimProcess::start(&arguments.map(str::to_owned), &settings, Box::new(|_| {}));
        assert!(matches!(started, Err(NetsimError::Start { .. })));
    }
}
