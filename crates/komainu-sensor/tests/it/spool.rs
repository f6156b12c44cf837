//! A sensor whose hub is away.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use komainu_decode::Transport;
use komainu_ports::{ManualClock, SpoolEpoch};
use komainu_sensor::{
    Ending, EventLog, Flow, Passwords, Persona, Placed, PortMapping, RecordLimits, Recorder, RecorderParts, Rotation,
    Sensor, SensorConfig, SensorIdentity, SensorLimits, SensorPorts, Spool, Target, TargetKind,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes of the spool: room for a few dozen visits.
const SPOOL_BYTES_MAX: u64 = 100_000;

fn recorder(folder: &Path, spool: &Arc<Spool>) -> (Arc<Recorder>, Arc<EventLog>) {
    let log = EventLog::to_files_and_spool(folder, Rotation::default(), spool.clone()).unwrap();
    let log = Arc::new(log);
    let recorder = Recorder::new(RecorderParts {
        log: log.clone(),
        artifacts: None,
        classifier: None,
        fetches: None,
        scans: None,
        sensor: SensorIdentity { id: "tokyo".into(), site: None, country: None },
        passwords: Passwords::hashed(&[1; 32]),
        limits: RecordLimits::default(),
    });
    (recorder, log)
}

fn start(folder: &Path, spool: &Arc<Spool>) -> (Sensor, Arc<EventLog>) {
    let (recorder, log) = recorder(folder, spool);
    let config = SensorConfig {
        keys_folder: None,
        personas: vec![Placed { persona: Persona::load("camera").unwrap(), address: IpAddr::V4(Ipv4Addr::LOCALHOST) }],
        ports: PortMapping::Any,
        limits: SensorLimits::default(),
    };
    let clock = Arc::new(ManualClock::default());
    (Sensor::start(config, SensorPorts { recorder, clock }).unwrap(), log)
}

/// Whether a visitor was let in.
async fn visit(sensor: &Sensor) -> bool {
    let address = sensor.listening().iter().find(|open| open.port == 80).unwrap().address;
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /{} HTTP/1.0\r\n\r\n", "x".repeat(1_000));
    let mut answer = Vec::new();
    if client.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    match client.read_to_end(&mut answer).await {
        Ok(bytes) => bytes > 0,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => !answer.is_empty(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_spool_that_is_nearly_full_lets_nobody_in_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(&folder.path().join("spool"), SPOOL_BYTES_MAX, SpoolEpoch::new(1)).unwrap();
    let spool = Arc::new(spool);
    let (sensor, log) = start(folder.path(), &spool);
    let until_full = async {
        let mut visits = 0;
        while visit(&sensor).await {
            visits += 1;
            // What the sensor's own thread does within a second.
            log.flush();
        }
        visits
    };
    let visits = timeout(Duration::from_secs(60), until_full).await.unwrap();
    assert!(visits > 10, "{visits}");
    let counts = sensor.counter()();
    assert_eq!((counts.total, counts.refused), (visits, 1));
    sensor.shutdown().await;
    log.close();
    let standing = spool.standing();
    assert!(standing.bytes >= SPOOL_BYTES_MAX / 10 * 9 && standing.bytes <= SPOOL_BYTES_MAX, "{standing:?}");
    assert_eq!((standing.lines_lost, log.lines_lost()), (0, 0));
    let lines = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap().lines().count();
    let spooled: usize = fs::read_dir(folder.path().join("spool"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).unwrap().lines().count())
        .sum();
    assert_eq!(spooled, lines("eve.json") + lines("honeypot.json"));
}

#[test]
fn what_is_recorded_of_a_device_that_is_not_out_yet_is_confidential() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Arc::new(Spool::open(&folder.path().join("spool"), 1 << 20, SpoolEpoch::new(1)).unwrap());
    let (recorder, log) = recorder(folder.path(), &spool);
    for (port, release_state) in [(1, Some("pre_release")), (2, Some("released")), (3, None)] {
        let target = Target { release_state, ..Target::of_kind(TargetKind::Real) };
        let end = |host, port| SocketAddr::from(([192, 0, 2, host], port));
        let flow = Flow { transport: Transport::Tcp, client: end(1, port), server: end(2, 80) };
        recorder.begin(flow, Arc::new(target), 0).end(1, Ending::Closed);
    }
    log.close();
    let segment = folder.path().join("spool/0000000000000001-0000000000.ndjson");
    let lines = fs::read_to_string(segment).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let told = lines.map(|line| (line["line"]["src_port"].as_u64().unwrap(), line["confidential"] == true));
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    assert_eq!(told, [(1, true), (1, true), (2, false), (2, false), (3, false), (3, false)]);
}
