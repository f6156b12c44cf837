//! Strangers and devices on loopback. Where a stranger is sent is where it came: there is no packet filter here.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream as StdTcpStream, UdpSocket as StdUdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{
    Appliance, ApplianceIndex, ApplianceName, EgressLimits, EgressProfile, ExposedPort, InterfaceName, RelayMode,
    RelayTransport, ReleaseState,
};
use komainu_ports::{
    BoxFuture, DatagramLegs, DeviceGate, GateError, ManualClock, ResetEnd, ResetNews, ResetNewsKind, StrangersDatagram,
    ToldPacket,
};
use komainu_sensor::{
    CaptureConfig, CaptureStore, OnIncident, Passwords, Relay, RelayConfig, RelayPorts, SensorLimits,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use crate::scene::Scene;

const WAIT: Duration = Duration::from_secs(10);

/// The port of the device that nobody here relays: what is said there is only seen as frames.
const PASSING_PORT: u16 = 8_000;

/// A gate to one device, wherever it listens.
struct Gate {
    device: SocketAddr,
    datagrams: Mutex<Receiver<StrangersDatagram>>,
    told: Mutex<Receiver<ToldPacket>>,
    news: Mutex<Receiver<ResetNews>>,
    quarantined: Sender<ApplianceIndex>,
    /// Where frames come from.
    frames: Mutex<Option<OwnedFd>>,
}

impl DeviceGate for Gate {
    fn connect(&self, _: ApplianceIndex, _: u16, _: SocketAddrV4) -> BoxFuture<'_, Result<StdTcpStream, GateError>> {
        Box::pin(async {
            let stream = TcpStream::connect(self.device).await.map_err(refused)?;
            stream.into_std().map_err(refused)
        })
    }

    fn datagrams(
        &self,
        _: ApplianceIndex,
        _: SocketAddrV4,
        client: SocketAddrV4,
    ) -> BoxFuture<'_, Result<DatagramLegs, GateError>> {
        Box::pin(async move {
            let to = |address: SocketAddr| -> io::Result<StdUdpSocket> {
                let socket = StdUdpSocket::bind("127.0.0.1:0")?;
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            };
            Ok(DatagramLegs {
                to_device: to(self.device).map_err(refused)?,
                to_client: to(client.into()).map_err(refused)?,
            })
        })
    }

    fn datagrams_to_device(
        &self,
        _: ApplianceIndex,
        _: u16,
        _: SocketAddrV4,
    ) -> BoxFuture<'_, Result<StdUdpSocket, GateError>> {
        Box::pin(async move {
            let socket = StdUdpSocket::bind("127.0.0.1:0").map_err(refused)?;
            socket.connect(self.device).map_err(refused)?;
            socket.set_nonblocking(true).map_err(refused)?;
            Ok(socket)
        })
    }

    fn allow(&self, _: ApplianceIndex, _: Vec<Ipv4Addr>) -> BoxFuture<'_, Result<(), GateError>> {
        Box::pin(async { Ok(()) })
    }

    fn quarantine(&self, device: ApplianceIndex) -> BoxFuture<'_, Result<(), GateError>> {
        Box::pin(async move { self.quarantined.send(device).await.map_err(|_| GateError::Closed) })
    }

    fn capture(&self, _: ApplianceIndex) -> BoxFuture<'_, Result<OwnedFd, GateError>> {
        Box::pin(async { self.frames.lock().await.take().ok_or(GateError::Closed) })
    }

    fn datagram(&self) -> BoxFuture<'_, io::Result<StrangersDatagram>> {
        Box::pin(async { self.datagrams.lock().await.recv().await.ok_or(io::ErrorKind::BrokenPipe.into()) })
    }

    fn told(&self) -> BoxFuture<'_, io::Result<ToldPacket>> {
        Box::pin(async { self.told.lock().await.recv().await.ok_or(io::ErrorKind::BrokenPipe.into()) })
    }

    fn reset_news(&self) -> BoxFuture<'_, io::Result<ResetNews>> {
        Box::pin(async { self.news.lock().await.recv().await.ok_or(io::ErrorKind::BrokenPipe.into()) })
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn refused(error: io::Error) -> GateError {
    GateError::Refused { reason: error.to_string() }
}

struct Running {
    scene: Scene,
    relay: Relay,
    strangers: SocketAddr,
    sinkhole: SocketAddr,
    dns: SocketAddr,
    datagrams: Sender<StrangersDatagram>,
    quarantined: Receiver<ApplianceIndex>,
    frames: UnixDatagram,
    folder: tempfile::TempDir,
    news: Sender<ResetNews>,
    _told: Sender<ToldPacket>,
}

impl Running {
    /// Relays to what listens at `device`.
    fn start(device: SocketAddr) -> Self {
        let scene = Scene::new(Passwords::Clear);
        let listen = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let socket = || {
            let socket = StdUdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let (strangers, sinkhole, dns, ntp) = (listen(), listen(), socket(), socket());
        let (datagrams, theirs) = channel(8);
        let (told, heard) = channel(8);
        let (news, its_news) = channel(8);
        let (quarantined, quarantines) = channel(8);
        let addresses = (strangers.local_addr().unwrap(), sinkhole.local_addr().unwrap(), dns.local_addr().unwrap());
        let exposed = |transport| ExposedPort { port: addresses.0.port(), transport, relay: RelayMode::User };
        let appliance = Appliance {
            name: ApplianceName::parse("porch").unwrap(),
            maker: "Example".into(),
            model: "Cam 3".into(),
            device_type: "ip_camera".into(),
            firmware: None,
            release_state: ReleaseState::PreRelease,
            site: None,
            address: Ipv4Addr::LOCALHOST,
            interface: InterfaceName::parse("s1").unwrap(),
            outer_interface: InterfaceName::parse("s0").unwrap(),
            public_address: None,
            ports: vec![
                exposed(RelayTransport::Tcp),
                exposed(RelayTransport::Udp),
                ExposedPort { port: PASSING_PORT, transport: RelayTransport::Tcp, relay: RelayMode::Kernel },
            ],
            egress: EgressProfile::SinkholeAll,
            vendor_names: Vec::new(),
            vendor_ports: Vec::new(),
            limits: EgressLimits::default(),
            share: None,
        };
        let (frames, seen) = UnixDatagram::pair().unwrap();
        seen.set_nonblocking(true).unwrap();
        let gate = Gate {
            device,
            datagrams: Mutex::new(theirs),
            told: Mutex::new(heard),
            news: Mutex::new(its_news),
            quarantined,
            frames: Mutex::new(Some(seen.into())),
        };
        let folder = tempfile::tempdir().unwrap();
        let captures = Arc::new(CaptureStore::open(&folder.path().join("sessions"), 1 << 30).unwrap());
        let config = RelayConfig {
            devices: vec![appliance],
            limits: SensorLimits::default(),
            on_incident: OnIncident::Quarantine,
            capture: CaptureConfig {
                folder: folder.path().join("devices"),
                ring_bytes_max: 8 << 20,
                session_bytes_max: 4_096,
            },
            shares_folder: None,
            outposts: None,
        };
        let ports = RelayPorts {
            recorder: scene.recorder.clone(),
            clock: Arc::new(ManualClock::default()),
            gate: Arc::new(gate),
            captures,
            strangers,
            sinkhole,
            dns,
            ntp,
        };
        let relay = Relay::start(config, ports).unwrap();
        let (strangers, sinkhole, dns) = addresses;
        Self {
            scene,
            relay,
            strangers,
            sinkhole,
            dns,
            datagrams,
            quarantined: quarantines,
            frames,
            folder,
            news,
            _told: told,
        }
    }

    /// Ends the relay; gives back the lines of `honeypot.json`.
    async fn stop(self) -> Vec<Value> {
        self.relay.shutdown().await;
        self.scene.log.flush();
        self.scene.honeypot.lines()
    }
}

fn of_type<'a>(lines: &'a [Value], event_type: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event_type"] == event_type).map(|line| &line[event_type]).collect()
}

#[tokio::test]
async fn a_stranger_speaks_with_the_device_and_both_directions_end_by_themselves() {
    let device = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = Running::start(device.local_addr().unwrap());
    let talk = async {
        let mut stranger = TcpStream::connect(running.strangers).await.unwrap();
        let (mut its, _) = device.accept().await.unwrap();
        its.write_all(b"login: ").await.unwrap();
        let mut prompt = [0; 7];
        stranger.read_exact(&mut prompt).await.unwrap();
        stranger.write_all(&[b'x'; 300_000]).await.unwrap();
        stranger.shutdown().await.unwrap();
        let mut heard = Vec::new();
        its.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard.len(), 300_000);
        its.write_all(b"bye").await.unwrap();
        drop(its);
        let mut rest = Vec::new();
        stranger.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"bye");
    };
    timeout(WAIT, talk).await.unwrap();
    let lines = running.stop().await;
    let [summary] = of_type(&lines, "honeypot")[..] else { panic!("{lines:?}") };
    assert_eq!(summary["session"]["ended"], "closed");
    assert_eq!((&summary["bytes_toserver"], &summary["bytes_toclient"]), (&json!(300_000), &json!(10)));
    let expected = json!({
        "kind": "real", "device": "porch", "type": "ip_camera", "maker": "Example", "model": "Cam 3",
        "release_state": "pre_release",
    });
    assert_eq!(summary["target"], expected);
}

/// A TCP segment in an IPv4 packet in an Ethernet frame, from one end to the other, without checksums.
fn frame(from: SocketAddrV4, to: SocketAddrV4, flags: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend_from_slice(&[8, 0, 0x45, 0]);
    frame.extend_from_slice(&(40 + payload.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend_from_slice(&from.ip().octets());
    frame.extend_from_slice(&to.ip().octets());
    frame.extend_from_slice(&from.port().to_be_bytes());
    frame.extend_from_slice(&to.port().to_be_bytes());
    frame.extend_from_slice(&sequence.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 0, 0x50, flags, 0xFF, 0xFF, 0, 0, 0, 0]);
    frame.extend_from_slice(payload);
    frame
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

#[tokio::test]
async fn what_the_kernel_relays_is_recorded_from_its_frames_and_cut_out() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut running = Running::start(gone);
    running.relay.capturing().await;
    let stranger = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 40_000);
    let device = SocketAddrV4::new(Ipv4Addr::LOCALHOST, PASSING_PORT);
    let request = b"GET /x HTTP/1.0\r\nHost: cam\r\n\r\n";
    let answer = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let conversation = [
        frame(stranger, device, SYN, 0, b""),
        frame(device, stranger, SYN | ACK, 0, b""),
        frame(stranger, device, ACK, 1, request),
        frame(device, stranger, ACK, 1, answer),
        frame(stranger, device, FIN | ACK, 1 + request.len() as u32, b""),
        frame(device, stranger, FIN | ACK, 1 + answer.len() as u32, b""),
    ];
    for frame in &conversation {
        running.frames.send(frame).unwrap();
    }
    // What is no frame is kept and does no harm.
    running.frames.send(b"no frame").unwrap();
    let folder = std::mem::replace(&mut running.folder, tempfile::tempdir().unwrap());
    let lines = running.stop().await;
    let [summary] = of_type(&lines, "honeypot")[..] else { panic!("{lines:?}") };
    assert_eq!((&summary["target"]["device"], &summary["session"]["ended"]), (&json!("porch"), &json!("closed")));
    let session = summary["session"]["id"].as_str().unwrap();
    assert_eq!(summary["pcap_ref"], json!(format!("{session}.confidential.pcapng")));
    let cut_out = std::fs::read(folder.path().join("sessions").join(summary["pcap_ref"].as_str().unwrap())).unwrap();
    let has = |part: &[u8]| cut_out.windows(part.len()).any(|window| window == part);
    assert!(conversation.iter().all(|frame| has(frame)) && has(session.as_bytes()) && !has(b"no frame"));
    let mut ring = Vec::new();
    let frames = komainu_sensor::read_ring(&folder.path().join("devices/porch"), i64::MIN, i64::MAX, &mut |part| {
        ring.extend_from_slice(part);
        Ok(())
    });
    assert_eq!(frames.unwrap(), 7);
}

#[tokio::test]
async fn of_a_long_session_the_beginning_is_cut_out() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut running = Running::start(gone);
    running.relay.capturing().await;
    let stranger = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 40_000);
    let device = SocketAddrV4::new(Ipv4Addr::LOCALHOST, PASSING_PORT);
    running.frames.send(&frame(stranger, device, SYN, 0, b"")).unwrap();
    for number in 0..10 {
        running.frames.send(&frame(stranger, device, ACK, 1 + number * 1_000, &[b'x'; 1_000])).unwrap();
    }
    let folder = std::mem::replace(&mut running.folder, tempfile::tempdir().unwrap());
    let lines = running.stop().await;
    let [summary] = of_type(&lines, "honeypot")[..] else { panic!("{lines:?}") };
    assert_eq!((&summary["bytes_toserver"], &summary["session"]["ended"]), (&json!(10_000), &json!("stopped")));
    let cut_out = std::fs::read(folder.path().join("sessions").join(summary["pcap_ref"].as_str().unwrap())).unwrap();
    assert!(cut_out.len() < 5_000, "{} bytes", cut_out.len());
    let expected = b"4 packets; left out 7 packets with 7378 bytes";
    assert!(cut_out.windows(expected.len()).any(|window| window == expected));
}

#[tokio::test]
async fn a_device_that_is_off_refuses_strangers() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let running = Running::start(gone);
    let mut stranger = TcpStream::connect(running.strangers).await.unwrap();
    let read = timeout(WAIT, stranger.read_u8()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(of_type(&running.stop().await, "honeypot").len(), 1);
}

#[tokio::test]
async fn a_stranger_gets_no_more_than_it_sent() {
    check_answers(false, [60, 50, 40], [60, 40]).await;
}

#[tokio::test]
async fn whoever_completed_a_handshake_gets_no_more_than_ten_times_what_it_sent() {
    check_answers(true, [900, 200, 100], [900, 100]).await;
}

/// Of three answers to 100 bytes the second one is too much.
async fn check_answers(has_connected: bool, said: [usize; 3], arrive: [usize; 2]) {
    let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let running = Running::start(device.local_addr().unwrap());
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (SocketAddr::V4(client), SocketAddr::V4(original)) = (stranger.local_addr().unwrap(), running.strangers) else {
        panic!("loopback is IPv4 here")
    };
    if has_connected {
        let mut connection = TcpStream::connect(running.strangers).await.unwrap();
        // The device takes no connections: when that is known, the handshake is long over.
        let _ = timeout(WAIT, connection.read_u8()).await.unwrap();
    }
    let payload = vec![b'?'; 100];
    running.datagrams.send(StrangersDatagram { client, original, payload }).await.unwrap();
    let talk = async {
        let mut buffer = [0; 2_000];
        let (_, sensor) = device.recv_from(&mut buffer).await.unwrap();
        for bytes in said {
            device.send_to(&vec![b'!'; bytes], sensor).await.unwrap();
        }
        for bytes in arrive {
            assert_eq!(stranger.recv(&mut buffer).await.unwrap(), bytes);
        }
    };
    timeout(WAIT, talk).await.unwrap();
    let lines = running.stop().await;
    assert_eq!(of_type(&lines, "withheld"), [&json!({"datagrams": 1, "bytes": said[1]})]);
    let sum: usize = said.iter().sum();
    let is_it = |line: &&&Value| line["bytes_toclient"] == sum;
    assert_eq!(of_type(&lines, "honeypot").iter().filter(is_it).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn what_a_device_does_is_answered_and_written_down() {
    let mut running = Running::start("127.0.0.1:9".parse().unwrap());
    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02c2\x07example\x03net\0\0\x01\0\x01";
    let talk = async {
        let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        device.send_to(question, running.dns).await.unwrap();
        let mut answer = [0; 512];
        let bytes = device.recv(&mut answer).await.unwrap();
        assert!(answer[..bytes].ends_with(&[192, 0, 2, 53]));
        let mut connection = TcpStream::connect(running.sinkhole).await.unwrap();
        connection.write_all(b"GET /bot HTTP/1.0\r\n\r\n").await.unwrap();
        connection.shutdown().await.unwrap();
        assert_eq!(connection.read(&mut answer).await.unwrap(), 0);
        assert_eq!(running.quarantined.recv().await, Some(ApplianceIndex(0)));
    };
    timeout(WAIT, talk).await.unwrap();
    let port = running.sinkhole.port();
    let lines = running.stop().await;
    let common = json!({"device": "porch", "release_state": "pre_release", "destination": "127.0.0.1"});
    let with = |more: Value| {
        let mut line = common.clone();
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    assert_eq!(
        of_type(&lines, "egress"),
        [
            &with(json!({"port": 53, "transport": "udp", "action": "sinkholed", "name": "c2.example.net"})),
            &with(json!({
                "port": port, "transport": "tcp", "action": "sinkholed", "bytes": 21,
                "first": "GET /bot HTTP/1.0\r\n\r\n",
            })),
        ]
    );
    let incident =
        json!({"why": "egress", "port": port, "transport": "tcp", "action": "sinkholed", "quarantine": true});
    assert_eq!(of_type(&lines, "incident"), [&with(incident)]);
}

#[tokio::test]
async fn what_is_told_of_resets_is_written_down() {
    let mut running = Running::start("127.0.0.1:9".parse().unwrap());
    let tell = async |news: &Sender<ResetNews>, what| {
        news.send(ResetNews { device: ApplianceIndex(0), what }).await.unwrap();
    };
    let talk = async {
        // A device turns to somebody, is reset, and turns to the same one again: that is another incident.
        for round in 1..=2 {
            drop(TcpStream::connect(running.sinkhole).await.unwrap());
            assert_eq!(running.quarantined.recv().await, Some(ApplianceIndex(0)));
            let (lines, mut writer) = io::pipe().unwrap();
            tell(&running.news, ResetNewsKind::Begun(lines)).await;
            // What comes after nonsense is not read.
            writer.write_all(STEPS).unwrap();
            drop(writer);
            tell(&running.news, ResetNewsKind::Over(ResetEnd::Released)).await;
            while of_type(&running.scene.honeypot.lines(), "reset").len() < 3 * round {
                running.scene.log.flush();
                tokio::task::yield_now().await;
            }
        }
    };
    timeout(WAIT, talk).await.unwrap();
    let lines = running.stop().await;
    let step = |more: Value| {
        let mut line = json!({"device": "porch", "release_state": "pre_release", "reason": "incident"});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let once = [
        step(json!({"step": "webhook", "ok": true, "ms": 12})),
        step(json!({"step": "baseline", "ok": false, "ms": 3, "difference": "port 23 is\\x1b open"})),
        step(json!({"step": "release", "ok": true, "outcome": "released"})),
    ];
    assert_eq!(of_type(&lines, "reset"), once.iter().chain(&once).collect::<Vec<_>>());
}

/// What whoever examines says, the last two lines of which are not taken.
const STEPS: &[u8] = br#"{"step":"webhook","ok":true,"ms":12}
{"step":"baseline","ok":false,"ms":3,"difference":"port 23 is\u001b open"}
nonsense
{"step":"ready","ok":true,"ms":1}
"#;
