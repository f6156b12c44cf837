//! Personas on loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use komainu_ports::ManualClock;
use komainu_sensor::{
    Passwords, Persona, Placed, PortMapping, Sensor, SensorConfig, SensorLimits, SensorPorts, Sha256Digest,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::scene::Scene;

const WAIT: Duration = Duration::from_secs(10);

struct Running {
    scene: Scene,
    sensor: Sensor,
}

impl Running {
    fn start(persona: &str, limits: SensorLimits) -> Self {
        let scene = Scene::new(Passwords::hashed(&[1; 32]));
        let persona = Persona::load(persona).unwrap();
        let config = SensorConfig {
            personas: vec![Placed { persona, address: IpAddr::V4(Ipv4Addr::LOCALHOST) }],
            ports: PortMapping::Any,
            limits,
            keys_folder: None,
        };
        let clock = Arc::new(ManualClock::default());
        let ports = SensorPorts { recorder: scene.recorder.clone(), clock };
        Self { sensor: Sensor::start(config, ports).unwrap(), scene }
    }

    fn address(&self, port: u16) -> SocketAddr {
        self.sensor.listening().iter().find(|open| open.port == port).unwrap().address
    }

    async fn connect(&self, port: u16) -> TcpStream {
        TcpStream::connect(self.address(port)).await.unwrap()
    }

    /// Ends the sensor; gives back the lines of both logs.
    async fn stop(self) -> (Vec<Value>, Vec<Value>) {
        self.sensor.shutdown().await;
        self.scene.log.flush();
        (self.scene.eve.lines(), self.scene.honeypot.lines())
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !read.ends_with(end.as_bytes()) {
            read.push(stream.read_u8().await.unwrap());
        }
    };
    let done = timeout(WAIT, reading).await;
    let read = String::from_utf8_lossy(&read).into_owned();
    assert!(done.is_ok(), "{end:?} was not read, but {read:?}");
    read
}

async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    match timeout(WAIT, stream.read_to_end(&mut read)).await.unwrap() {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
        Ok(_) | Err(_) => read,
    }
}

fn summaries(honeypot: &[Value]) -> Vec<&Value> {
    honeypot.iter().filter(|line| line["event_type"] == "honeypot").map(|line| &line["honeypot"]).collect()
}

#[tokio::test]
async fn a_telnet_session_from_login_to_exit() {
    let running = Running::start("camera", SensorLimits::default());
    let mut client = running.connect(23).await;
    read_until(&mut client, "login: ").await;
    client.write_all(b"root\r\n").await.unwrap();
    read_until(&mut client, "Password: ").await;
    client.write_all(b"xc3511\r\n").await.unwrap();
    read_until(&mut client, "# ").await;
    client.write_all(b"/bin/busybox KOMAINU\r\n").await.unwrap();
    assert!(read_until(&mut client, "# ").await.contains("\r\nKOMAINU: applet not found\r\n"));
    client.write_all(b"exit\r\n").await.unwrap();
    read_to_end(&mut client).await;
    let (eve, honeypot) = running.stop().await;
    let flow = eve.iter().find(|line| line["event_type"] == "flow").unwrap();
    assert_eq!(flow["flow"]["state"], "closed");
    let [summary] = summaries(&honeypot)[..] else { panic!("one session") };
    assert_eq!(summary["target"]["model"], "Harbourlight HL-C220");
    assert_eq!(summary["session"]["ended"], "closed");
    assert_eq!(summary["bytes_toserver"], 6 + 8 + 22 + 6);
    for line in eve.iter().chain(&honeypot) {
        assert!(!line.to_string().contains("xc3511"), "{line}");
    }
}

#[tokio::test]
async fn sessions_that_are_open_are_recorded_when_the_sensor_stops() {
    let running = Running::start("router", SensorLimits::default());
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = running.connect(23).await;
        read_until(&mut client, "login: ").await;
        clients.push(client);
    }
    let (eve, honeypot) = running.stop().await;
    assert_eq!(eve.iter().filter(|line| line["flow"]["reason"] == "shutdown").count(), 5);
    assert!(summaries(&honeypot).iter().all(|summary| summary["session"]["ended"] == "stopped"));
}

#[tokio::test]
async fn a_source_has_a_bound_and_others_come_in() {
    let limits = SensorLimits { connections_per_source_max: 2, ..SensorLimits::default() };
    let running = Running::start("camera", limits);
    let mut inside = Vec::new();
    for _ in 0..2 {
        let mut client = running.connect(23).await;
        read_until(&mut client, "login: ").await;
        inside.push(client);
    }
    assert_eq!(read_to_end(&mut running.connect(23).await).await, b"");
    drop(inside.pop());
    // The place is free when the sensor has seen that the client is gone.
    let came_in = async {
        loop {
            let mut client = running.connect(80).await;
            let asked = client.write_all(b"GET / HTTP/1.0\r\n\r\n").await;
            if asked.is_ok() && read_to_end(&mut client).await.starts_with(b"HTTP/1.1 200 OK") {
                break;
            }
        }
    };
    timeout(WAIT, came_in).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn idle_and_talkative_clients_are_closed() {
    let limits = SensorLimits { idle_s: 0, ..SensorLimits::default() };
    let running = Running::start("camera", limits);
    read_to_end(&mut running.connect(23).await).await;
    let (_, honeypot) = running.stop().await;
    assert_eq!(summaries(&honeypot)[0]["session"]["ended"], "idle");

    let limits = SensorLimits { bytes_in_max: 1000, ..SensorLimits::default() };
    let running = Running::start("camera", limits);
    let mut client = running.connect(34567).await;
    client.write_all(&[b'a'; 1001]).await.unwrap();
    read_to_end(&mut client).await;
    let (_, honeypot) = running.stop().await;
    assert_eq!(summaries(&honeypot)[0]["session"]["ended"], "bound");
}

#[tokio::test]
async fn what_is_said_at_a_raw_port_is_kept() {
    let running = Running::start("recorder", SensorLimits::default());
    let mut client = running.connect(37777).await;
    client.write_all(b"\x01\x02hello").await.unwrap();
    client.shutdown().await.unwrap();
    read_to_end(&mut client).await;
    let sha256 = Sha256Digest::of(b"\x01\x02hello");
    assert_eq!(running.scene.artifacts.read(sha256).unwrap(), b"\x01\x02hello");
    let (_, honeypot) = running.stop().await;
    assert_eq!(
        honeypot[0]["payload"],
        json!({
            "bytes": 7,
            "bytes_kept": 7,
            "sha256": sha256.to_string(),
            "stored": true,
            "text": "\u{1}\u{2}hello",
        })
    );
}

#[tokio::test]
async fn broken_requests_are_answered() {
    let running = Running::start("camera", SensorLimits::default());
    for (request, expected) in [
        (&b"GET /nowhere;x y HTTP/1.1\r\nbroken\r\n\r\n"[..], "HTTP/1.1 404 Not Found\r\n"),
        (b"\x00\xff\xfe\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
        (b"GET /\r\n", "HTTP/1.1 200 OK\r\n"),
        (&[b'A'; 20_000], "HTTP/1.1 400 Bad Request\r\n"),
    ] {
        let mut client = running.connect(80).await;
        client.write_all(request).await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert!(answer.starts_with(expected.as_bytes()), "{request:?}: {answer:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn who_speaks_no_tls_where_it_is_expected_gets_an_alert() {
    let running = Running::start("intercom", SensorLimits::default());
    let mut client = running.connect(443).await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert_eq!(answer[..3], [21, 3, 3], "{answer:?}");
    let (_, honeypot) = running.stop().await;
    assert_eq!(summaries(&honeypot)[0]["session"]["ended"], "closed");
}

#[tokio::test]
async fn a_handshake_has_bounds() {
    let limits = SensorLimits { idle_s: 0, ..SensorLimits::default() };
    let running = Running::start("intercom", limits);
    read_to_end(&mut running.connect(443).await).await;
    let (_, honeypot) = running.stop().await;
    assert_eq!(summaries(&honeypot)[0]["session"]["ended"], "idle");
}

#[tokio::test]
async fn keys_are_kept_for_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let persona = Persona::load("intercom").unwrap();
        let config = SensorConfig {
            personas: vec![Placed { persona, address: IpAddr::V4(Ipv4Addr::LOCALHOST) }],
            ports: PortMapping::Any,
            limits: SensorLimits::default(),
            keys_folder: Some(folder.path().join("keys")),
        };
        let scene = Scene::new(Passwords::hashed(&[1; 32]));
        let ports = SensorPorts { recorder: scene.recorder, clock: Arc::new(ManualClock::default()) };
        Sensor::start(config, ports)
    };
    let path = folder.path().join("keys/intercom.tls.key");
    start().unwrap().shutdown().await;
    let first = std::fs::read(&path).unwrap();
    start().unwrap().shutdown().await;
    assert_eq!(std::fs::read(&path).unwrap(), first);
    std::fs::write(&path, "no key").unwrap();
    assert_eq!(start().unwrap_err().to_string(), "http of persona intercom has no key");
}
