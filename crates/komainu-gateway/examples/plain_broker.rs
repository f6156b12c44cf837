//! The gateway's broker on a plain port of the loopback interface, with nothing else of Komainu: for conformance
//! suites and load generators.
//!
//! ```text
//! cargo run --release -p komainu-gateway --example plain_broker -- 127.0.0.1:1883
//! ```
//!
//! Anonymous clients are let in, `test/nosubscribe` cannot be subscribed to, sessions end with the process.

use std::net::SocketAddr;
use std::sync::Arc;

use komainu_gateway::{EdgeLimits, Gateway, GatewayConfig, GatewayPorts, Limits, ServerCertificate};
use komainu_model::{AccountId, CertificateId, Region, ReporterName, Scope, SecurityProfile};
use komainu_ports::{
    BoxFuture, ByteStream, DeviceProfiles, Directory, HttpHandoff, MemorySessionStore, PeerInfo, Principal, RandomIds,
    ReportMessage, ReportSink, ReportSinkError, SystemClock,
};

/// A fleet without devices.
struct NoFleet;

impl Directory for NoFleet {
    fn generation(&self) -> u64 {
        0
    }

    fn principal(&self, _: &CertificateId) -> Option<Arc<Principal>> {
        None
    }

    fn device(&self, _: &Scope, _: &ReporterName) -> DeviceProfiles {
        DeviceProfiles::default()
    }

    fn profiles(&self) -> Vec<(Scope, Arc<SecurityProfile>)> {
        Vec::new()
    }
}

/// Takes every report and forgets it; closes every HTTP connection.
struct Nothing;

impl ReportSink for Nothing {
    fn submit(&self, _: ReportMessage) -> BoxFuture<'static, Result<(), ReportSinkError>> {
        Box::pin(async { Ok(()) })
    }
}

impl HttpHandoff for Nothing {
    fn serve(&self, _: Box<dyn ByteStream>, _: PeerInfo) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

#[tokio::main]
async fn main() {
    let address: SocketAddr = match std::env::args().nth(1).map(|text| text.parse()) {
        None => SocketAddr::from(([127, 0, 0, 1], 1883)),
        Some(Ok(address)) => address,
        Some(Err(_)) => {
            eprintln!("usage: plain_broker [ADDRESS:PORT]");
            std::process::exit(2);
        }
    };
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name is enough");
    let config = GatewayConfig {
        scope: Scope {
            account: AccountId::parse("123456789012").expect("twelve digits"),
            region: Region::parse("us-east-1").expect("a region"),
        },
        mqtts: None,
        tls: None,
        plain_test: Some(address),
        server_certificate: ServerCertificate { chain_pem: pair.cert.pem(), key_pem: pair.signing_key.serialize_pem() },
        edge: EdgeLimits::default(),
        // What the Eclipse Paho suites assume: a small Receive Maximum, and a server's keep-alive of 60 s.
        broker: Limits { receive_max: 20, keep_alive_s_max: 60, ..Limits::default() },
    };
    let ports = GatewayPorts {
        directory: Arc::new(NoFleet),
        sessions: Arc::new(MemorySessionStore::default()),
        reports: Arc::new(Nothing),
        http: Arc::new(Nothing),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
    };
    let gateway = match Gateway::start(config, ports).await {
        Ok(gateway) => gateway,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    println!("{:?}", gateway.local_addrs().plain_test);
    std::future::pending::<()>().await;
}
