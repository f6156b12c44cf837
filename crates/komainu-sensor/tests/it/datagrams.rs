//! Personas on loopback, by datagrams.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use komainu_ports::ManualClock;
use komainu_sensor::{
    Passwords, Persona, Placed, PortMapping, Sensor, SensorConfig, SensorLimits, SensorPorts, Sha256Digest,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::scene::Scene;

const WAIT: Duration = Duration::from_secs(10);

struct Running {
    scene: Scene,
    sensor: Sensor,
}

impl Running {
    fn start(limits: SensorLimits, address: IpAddr) -> Self {
        let scene = Scene::new(Passwords::hashed(&[1; 32]));
        let persona = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/datagrams.toml");
        let persona = Persona::load(persona).unwrap();
        let config = SensorConfig {
            personas: vec![Placed { persona, address }],
            ports: PortMapping::Any,
            limits,
            keys_folder: None,
        };
        let ports = SensorPorts { recorder: scene.recorder.clone(), clock: Arc::new(ManualClock::default()) };
        Self { sensor: Sensor::start(config, ports).unwrap(), scene }
    }

    fn local() -> Self {
        Self::start(SensorLimits::default(), IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    fn port(&self, service: &str, transport: &str) -> u16 {
        let is_it = |open: &&komainu_sensor::Listening| open.service == service && open.transport == transport;
        self.sensor.listening().iter().find(is_it).unwrap().address.port()
    }

    /// Has the sensor know 127.0.0.1.
    async fn get_acquainted(&self) {
        let port = self.port("http", "tcp");
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        timeout(WAIT, stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    }

    /// Ends the sensor; gives back the lines of both logs.
    async fn stop(self) -> (Vec<Value>, Vec<Value>) {
        self.sensor.shutdown().await;
        self.scene.log.flush();
        (self.scene.eve.lines(), self.scene.honeypot.lines())
    }
}

/// A client at an address of its own.
struct Client(UdpSocket);

impl Client {
    async fn at(address: [u8; 4], to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((IpAddr::from(address), 0)).await.unwrap();
        socket.connect(to).await.unwrap();
        Self(socket)
    }

    async fn ask(&self, question: &[u8]) -> Vec<u8> {
        self.0.send(question).await.unwrap();
        let mut answer = vec![0; 65_535];
        let bytes = timeout(WAIT, self.0.recv(&mut answer)).await.unwrap().unwrap();
        answer.truncate(bytes);
        answer
    }
}

fn of_type<'a>(lines: &'a [Value], event_type: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event_type"] == event_type).collect()
}

#[tokio::test]
async fn a_stranger_leaves_a_file() {
    let running = Running::local();
    let to = (Ipv4Addr::LOCALHOST, running.port("tftp", "udp")).into();
    let client = Client::at([127, 0, 0, 9], to).await;
    assert_eq!(client.ask(b"\0\x02/tmp/left\0octet\0").await, b"\0\x04\0\0");
    let first = [&b"\0\x03\0\x01"[..], &[b'k'; 512]].concat();
    assert_eq!(client.ask(&first).await, b"\0\x04\0\x01");
    assert_eq!(client.ask(b"\0\x03\0\x02end\n").await, b"\0\x04\0\x02");
    let left = [&[b'k'; 512][..], b"end\n"].concat();
    assert_eq!(running.scene.artifacts.read(Sha256Digest::of(&left)).unwrap(), left);
    let (eve, honeypot) = running.stop().await;
    let [flow] = of_type(&eve, "flow")[..] else { panic!("one flow") };
    assert_eq!(
        (&flow["proto"], &flow["app_proto"], &flow["dest_ip"]),
        (&"UDP".into(), &"tftp".into(), &"127.0.0.1".into())
    );
    assert_eq!(flow["flow"]["pkts_toserver"], 3);
    assert_eq!(flow["flow"]["pkts_toclient"], 3);
    assert_eq!(flow["flow"]["state"], "established");
    assert_eq!(flow["flow"]["reason"], "shutdown");
    let [summary] = of_type(&honeypot, "honeypot")[..] else { panic!("one session") };
    assert_eq!(summary["honeypot"]["artifacts"][0]["name"], "/tmp/left");
}

#[tokio::test]
async fn what_is_withheld_from_strangers_is_said_to_who_is_known() {
    let running = Running::local();
    let to = (Ipv4Addr::LOCALHOST, running.port("ssdp", "udp")).into();
    let search = b"M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\nST: upnp:rootdevice\r\n\r\n";
    let stranger = Client::at([127, 0, 0, 9], to).await;
    stranger.0.send(search).await.unwrap();
    running.get_acquainted().await;
    let known = Client::at([127, 0, 0, 1], to).await;
    let answer = String::from_utf8(known.ask(search).await).unwrap();
    assert!(answer.contains("LOCATION: http://127.0.0.1:80/gate.xml\r\n"), "{answer}");
    assert!(stranger.0.try_recv(&mut [0; 100]).is_err());
    let (_, honeypot) = running.stop().await;
    let [withheld] = of_type(&honeypot, "reply_withheld")[..] else { panic!("one stranger") };
    assert_eq!(withheld["src_ip"], "127.0.0.9");
    assert_eq!(withheld["reply_withheld"]["request_bytes"], search.len());
    assert_eq!(withheld["reply_withheld"]["reply_bytes"], answer.len());
    assert_eq!(withheld["reply_withheld"]["said_bytes"], 0);
}

#[tokio::test]
async fn an_answer_comes_from_the_address_that_was_asked() {
    for address in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::from([0u16; 8])] {
        let running = Running::start(SensorLimits::default(), address);
        // The client takes answers from there only.
        let client = Client::at([127, 0, 0, 1], ([127, 0, 0, 77], running.port("coap", "udp")).into()).await;
        assert_eq!(client.ask(&[0x40, 0, 1, 2]).await, [0x70, 0, 1, 2]);
        let (eve, _) = running.stop().await;
        assert!(of_type(&eve, "flow")[0]["dest_ip"].as_str().unwrap().ends_with("127.0.0.77"));
    }
}

#[tokio::test]
async fn flows_end_when_nothing_is_said() {
    let limits = SensorLimits { flow_idle_s: 0, ..SensorLimits::default() };
    let running = Running::start(limits, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let client = Client::at([127, 0, 0, 1], (Ipv4Addr::LOCALHOST, running.port("coap", "udp")).into()).await;
    let ended = async {
        while of_type(&running.scene.honeypot.lines(), "honeypot").is_empty() {
            client.ask(&[0x40, 0, 1, 2]).await;
            running.scene.log.flush();
        }
    };
    timeout(WAIT, ended).await.unwrap();
    let (_, honeypot) = running.stop().await;
    assert_eq!(of_type(&honeypot, "honeypot")[0]["honeypot"]["session"]["ended"], "idle");
}

#[tokio::test]
async fn flows_of_forged_sources_have_a_bound() {
    let limits = SensorLimits { flows_per_source_max: 1, ..SensorLimits::default() };
    let running = Running::start(limits, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let to = (Ipv4Addr::LOCALHOST, running.port("coap", "udp")).into();
    let first = Client::at([127, 0, 0, 9], to).await;
    first.ask(&[0x40, 0, 1, 2]).await;
    for _ in 0..5 {
        Client::at([127, 0, 0, 9], to).await.0.send(&[0x40, 0, 1, 2]).await.unwrap();
    }
    // What has begun goes on, and others come in.
    first.ask(&[0x40, 0, 1, 3]).await;
    Client::at([127, 0, 0, 10], to).await.ask(&[0x40, 0, 1, 2]).await;
    let (eve, honeypot) = running.stop().await;
    assert_eq!(of_type(&eve, "flow").len(), 2);
    let [left_out] = of_type(&honeypot, "datagrams_left_out")[..] else { panic!("one line") };
    assert_eq!(left_out["datagrams_left_out"], serde_json::json!({"datagrams": 5, "bytes": 20}));
}

#[tokio::test]
async fn a_flow_ends_at_its_bound() {
    let limits = SensorLimits { bytes_in_max: 10, ..SensorLimits::default() };
    let running = Running::start(limits, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let client = Client::at([127, 0, 0, 1], (Ipv4Addr::LOCALHOST, running.port("coap", "udp")).into()).await;
    for _ in 0..4 {
        client.ask(&[0x40, 0, 1, 2]).await;
    }
    let (_, honeypot) = running.stop().await;
    let ended: Vec<_> =
        of_type(&honeypot, "honeypot").iter().map(|line| line["honeypot"]["session"]["ended"].clone()).collect();
    assert_eq!(ended, ["bound", "stopped"]);
}

#[tokio::test]
async fn sip_is_spoken_over_streams_too() {
    let running = Running::local();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, running.port("sip", "tcp"))).await.unwrap();
    let request = "OPTIONS sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\n\
        Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 4\r\n\r\nbody";
    stream.write_all(request.repeat(2).as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let reading = async {
        while said.windows(4).filter(|end| end == b"\r\n\r\n").count() < 2 {
            said.push(stream.read_u8().await.unwrap());
        }
    };
    timeout(WAIT, reading).await.unwrap();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.matches("SIP/2.0 200 OK\r\n").count(), 2, "{said}");
    running.stop().await;
}
