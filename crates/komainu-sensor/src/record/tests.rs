//! A persona that is recorded from a persona of ours, and servers that give too much.

use std::net::{Ipv4Addr, SocketAddr};

use komainu_ports::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::limits::SensorLimits;
use crate::log::EventLog;
use crate::persona::Persona;
use crate::sensor::{Placed, PortMapping, Sensor, SensorConfig, SensorPorts};
use crate::session::{Passwords, RecordLimits, Recorder, RecorderParts, SensorIdentity};

const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn start(persona: Persona) -> Sensor {
    let recorder = Recorder::new(RecorderParts {
        classifier: None,
        log: Arc::new(EventLog::to_writers(std::io::sink(), std::io::sink())),
        artifacts: None,
        sensor: SensorIdentity { id: "tokyo-1".into(), site: None, country: None },
        passwords: Passwords::Clear,
        limits: RecordLimits::default(),
        fetches: None,
        scans: None,
    });
    let config = SensorConfig {
        keys_folder: None,
        personas: vec![Placed { persona, address: HOME.into() }],
        ports: PortMapping::Any,
        limits: SensorLimits::default(),
    };
    Sensor::start(config, SensorPorts { recorder, clock: Arc::new(SystemClock) }).unwrap()
}

fn plan(ports: Vec<u16>) -> RecordPlan {
    RecordPlan { address: HOME.into(), ports, ssdp_port: None, name: "copy".into() }
}

/// What a server says to a request, up to its end, without the time.
async fn said(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect((HOME, port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&said).into_owned();
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
}

/// So many bytes that a port says first.
async fn greeting(port: u16, bytes: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect((HOME, port)).await.unwrap();
    let mut said = vec![0; bytes];
    timeout(Duration::from_secs(10), stream.read_exact(&mut said)).await.unwrap().unwrap();
    said
}

fn port_of(sensor: &Sensor, port: u16) -> u16 {
    sensor.listening().iter().find(|open| open.port == port).unwrap().address.port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_persona_answers_as_the_device_does() {
    let device = start(Persona::load("camera").unwrap());
    let [telnet, web, second, raw] = [23, 80, 81, 34567].map(|port| port_of(&device, port));
    let recorded = record_persona(&plan(vec![raw, web, second, telnet, telnet])).await.unwrap();
    let mut expected = vec![(telnet, "telnet"), (web, "http"), (second, "http"), (raw, "raw")];
    expected.sort_unstable();
    assert_eq!(recorded.ports, expected);
    assert!(recorded.identifying.iter().any(|one| one.value == "HL2209C1146"), "{:?}", recorded.identifying);

    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &recorded.files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let copy = start(Persona::load(folder.path().join(PERSONA_FILE).to_str().unwrap()).unwrap());
    for port in [web, second] {
        for path in ["/", "/login.html", "/rootDesc.xml", "/nothing.html"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            let (original, its) = (said(port, &request).await, said(port_of(&copy, port), &request).await);
            assert_eq!(its, original, "{path}");
        }
    }
    let options_and_prompt = 12 + "hl-c220 login: ".len();
    let prompt = greeting(telnet, options_and_prompt).await;
    assert!(prompt.ends_with(b"hl-c220 login: "));
    assert_eq!(greeting(port_of(&copy, telnet), options_and_prompt).await, prompt);
    device.shutdown().await;
    copy.shutdown().await;
}

/// A server that says something first, to everybody.
async fn greeter(greeting: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((HOME, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(greeting).await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn greetings_stay_what_they_are() {
    let ssh = greeter(b"SSH-2.0-dropbear_2014.63\r\n").await;
    let other = greeter(b"\x00\x01binary\xff").await;
    let recorded = record_persona(&plan(vec![ssh, other])).await.unwrap();
    let persona = persona::check("copy", &recorded.files).unwrap();
    let copy = start(persona);
    assert_eq!(greeting(port_of(&copy, ssh), 26).await, b"SSH-2.0-dropbear_2014.63\r\n");
    assert_eq!(greeting(port_of(&copy, other), 9).await, b"\x00\x01binary\xff");
    copy.shutdown().await;
}

/// A web server whose pages refer to ever more pages, each as large as a page may be.
async fn labyrinth() -> u16 {
    let listener = TcpListener::bind((HOME, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            let bytes = stream.read(&mut asked).await.unwrap_or(0);
            if bytes == 0 {
                continue;
            }
            let is_missing = asked.starts_with(b"GET /qk7x2.html ");
            let links: String = (number..number + 9).map(|link| format!("<a href=/{link}.html>")).collect();
            number += 9;
            let status = if is_missing { "404 Not Found" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\n\r\n{links}");
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&vec![b' '; 500_000]).await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_end_is_bounded() {
    let port = labyrinth().await;
    let recorded = record_persona(&plan(vec![port])).await.unwrap();
    let bytes: usize = recorded.files.values().map(Vec::len).sum();
    assert!(bytes <= 9 * 1024 * 1024, "{bytes}");
    assert!(recorded.notes.iter().any(|note| note.contains("the rest is left out")), "{:?}", recorded.notes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_is_found_where_the_device_says() {
    let web = start(Persona::load("router").unwrap());
    let page = port_of(&web, 80);
    let socket = UdpSocket::bind((HOME, 0)).await.unwrap();
    let ssdp: SocketAddr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        let (bytes, client) = socket.recv_from(&mut buffer).await.unwrap();
        assert!(buffer[..bytes].starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
        let answer = format!(
            "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:a::upnp:rootdevice\r\nSERVER: x\r\nLOCATION: http://127.0.0.1:{page}/igd.xml\r\n\r\n"
        );
        socket.send_to(answer.as_bytes(), client).await.unwrap();
    });
    let recorded = record_persona(&RecordPlan { ssdp_port: Some(ssdp.port()), ..plan(Vec::new()) }).await.unwrap();
    assert!(recorded.ports.contains(&(page, "http")), "{:?}", recorded.ports);
    web.shutdown().await;
}

#[tokio::test]
async fn plans_that_make_no_sense() {
    let closed = {
        let listener = TcpListener::bind((HOME, 0)).await.unwrap();
        listener.local_addr().unwrap().port()
    };
    assert!(matches!(record_persona(&plan(vec![closed])).await, Err(RecordError::Nothing { .. })));
    assert!(matches!(record_persona(&plan((1..=65).collect())).await, Err(RecordError::Ports { count: 65 })));
    let nameless = RecordPlan { name: "a b".into(), ..plan(Vec::new()) };
    assert!(matches!(record_persona(&nameless).await, Err(RecordError::Name { .. })));
}
