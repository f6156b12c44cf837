//! Entrances for the fuzz targets; compiled with `--cfg fuzzing` only.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use komainu_model::{AccountId, CertificateId, Region, ReporterName, Scope, SecurityProfile};
use komainu_ports::{
    BoxFuture, ByteStream, DeviceProfiles, Directory, ManualClock, MemorySessionStore, PeerInfo, Principal,
    ReportMessage, ReportSink, ReportSinkError, SeededIds,
};
use komainu_registry::policy::CertificateFacts;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::broker::{Broker, BrokerPorts};
use crate::gatekeeper::Fleet;
use crate::limits::Limits;
use crate::meter::Meters;
use crate::policies::PolicyCache;
use crate::trusted::PlainTestGatekeeper;
use crate::websocket::WebSocketBytes;

/// CONNECT of MQTT 3.1.1 with the client id `next`, PINGREQ, DISCONNECT; and what a broker answers.
const NEXT_CLIENT: &[u8] = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04next\xc0\x00\xe0\x00";
const NEXT_CLIENT_ANSWER: &[u8] = b"\x20\x02\x00\x00\xd0\x00";

/// Serves a client that sends `bytes` and then one that behaves.
pub fn mqtt(bytes: &[u8]) {
    serve_each(async |stream: Script| Box::new(stream) as Box<dyn ByteStream>, bytes);
}

/// The same with `bytes` as the frames of a WebSocket.
pub fn websocket(bytes: &[u8]) {
    serve_each(async |stream: Script| Box::new(WebSocketBytes::new(stream).await) as Box<dyn ByteStream>, bytes);
}

/// Reads the fields of a certificate in its DER form.
pub fn certificate(bytes: &[u8]) {
    let id = CertificateId::from_sha256([0; 32]);
    crate::facts::add_fields(&mut CertificateFacts { id, fields: BTreeMap::new() }, bytes);
}

fn serve_each(wrap: impl AsyncFn(Script) -> Box<dyn ByteStream>, bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let scope = Scope {
            account: AccountId::parse("123456789012").expect("an account"),
            region: Region::parse("eu-west-1").expect("a region"),
        };
        let fleet = Arc::new(Fleet {
            directory: Arc::new(Nobody),
            clock: Arc::new(ManualClock::default()),
            meters: Meters::new(16),
            policies: PolicyCache::default(),
            budgets: Arc::default(),
        });
        let ports = BrokerPorts {
            sessions: Arc::new(MemorySessionStore::default()),
            reports: Arc::new(Nobody),
            clock: fleet.clock.clone(),
            ids: Arc::new(SeededIds::new(1)),
            budgets: Arc::default(),
        };
        let broker = Broker::new(Limits::default(), ports).await.expect("an empty store can be read");
        let gatekeeper = Arc::new(PlainTestGatekeeper { fleet, scope });
        let peer =
            || PeerInfo { address: ([192, 0, 2, 1], 1).into(), tls: false, certificate: None, server_name: None };
        let (script, _) = Script::new(bytes);
        broker.serve(wrap(script).await, peer(), gatekeeper.clone()).await;

        let (script, answers) = Script::new(NEXT_CLIENT);
        let next: Box<dyn ByteStream> = Box::new(script);
        broker.serve(next, peer(), gatekeeper).await;
        assert_eq!(*answers.lock(), NEXT_CLIENT_ANSWER, "whatever one client sent, the next is served");
        broker.shutdown().await;
    });
}

/// A client that sends what it has, a few bytes at a time, and hears everything.
struct Script {
    unread: Vec<u8>,
    answers: Arc<Mutex<Vec<u8>>>,
}

/// Bytes that come in one piece; small, so that packets are cut everywhere.
const PIECE_BYTES: usize = 7;

impl Script {
    fn new(bytes: &[u8]) -> (Self, Arc<Mutex<Vec<u8>>>) {
        let answers = Arc::new(Mutex::new(Vec::new()));
        (Self { unread: bytes.to_vec(), answers: answers.clone() }, answers)
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.unread.len().min(into.remaining()).min(PIECE_BYTES);
        into.put_slice(&self.unread[..count]);
        self.unread.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.answers.lock().extend_from_slice(from);
        Poll::Ready(Ok(from.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// An empty fleet and a pipeline that takes everything.
struct Nobody;

impl Directory for Nobody {
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

impl ReportSink for Nobody {
    fn submit(&self, _: ReportMessage) -> BoxFuture<'static, Result<(), ReportSinkError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
