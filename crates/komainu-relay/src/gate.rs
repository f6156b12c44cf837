//! The unprivileged side: asks the guard, and takes what comes to the shared sockets.

use std::collections::HashMap;
use std::io::{self, IoSliceMut, Read, Seek};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use komainu_model::ApplianceIndex;
use komainu_ports::{
    BoxFuture, DatagramLegs, DeviceGate, GateError, ResetEnd, ResetNews, ResetNewsKind, StrangersDatagram, ToldPacket,
};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recv, recvmsg};
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use crate::channel::{Channel, DESCRIPTORS_MAX, watched};
use crate::events;
use crate::inventory::{Inventory, InventoryError};
use crate::message::{ADDRESSES_MAX, Greeting, Question, Request, Said, VERSION};
use crate::sockets::Shared;
use crate::told::{self, BATCH_BYTES_MAX};

/// Requests that may wait for their answers: the guard answers thousands in a second. A further one is refused.
const WAITING_MAX: usize = 1_024;

/// What is told of resets and was not asked for yet. Each device has one that runs; what is over waits for a moment.
const RESET_NEWS_MAX: usize = 256;

/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Bytes of an inventory that the guard hands on.
const INVENTORY_BYTES_MAX: u64 = 1024 * 1024;

/// What the unprivileged process works with.
#[derive(Debug)]
pub struct Worker {
    /// The way to the devices.
    pub gate: Arc<WorkerGate>,
    /// The devices.
    pub inventory: Inventory,
    /// Strangers' connections; the local address of each says whom they called. Does not block.
    pub relay: TcpListener,
    /// Devices' connections; the local address of each says whom they called. Does not block.
    pub sinkhole: TcpListener,
    /// Devices' questions for names. Does not block.
    pub dns: UdpSocket,
    /// Devices' questions for the time. Does not block.
    pub ntp: UdpSocket,
}

/// Why the unprivileged process cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The guard is not there, or did not say what it has to.
    #[error("the process that holds the rights did not say what it has to: {problem}")]
    Greeting {
        /// What is missing.
        problem: &'static str,
    },
    /// The system refused something.
    #[error("cannot take over the sockets of the relay")]
    Io(#[from] io::Error),
    /// The inventory that was handed on cannot be used.
    #[error("the inventory that was handed on cannot be used")]
    Inventory(#[from] InventoryError),
}

/// Asks the guard.
#[derive(Debug)]
pub struct WorkerGate {
    questions: mpsc::Sender<Waiting>,
    closed: watch::Receiver<bool>,
    numbers: AtomicU64,
    relay_udp: AsyncFd<OwnedFd>,
    told: AsyncFd<OwnedFd>,
    /// What came in one batch and was not asked for yet, the next one last.
    told_before: Mutex<Vec<ToldPacket>>,
    reset_news: tokio::sync::Mutex<mpsc::Receiver<ResetNews>>,
}

#[derive(Debug)]
struct Waiting {
    question: Question,
    answer: oneshot::Sender<Result<Vec<OwnedFd>, GateError>>,
}

impl Worker {
    /// Takes over what the guard hands on standard input.
    pub async fn begin() -> Result<Self, WorkerError> {
        let channel = Channel::new(io::stdin().as_fd().try_clone_to_owned()?)?;
        let missing = |problem| WorkerError::Greeting { problem };
        let packet = channel.receive().await?.ok_or(missing("it is gone"))?;
        let greeting: Greeting =
            serde_json::from_slice(&packet.bytes).map_err(|_| missing("it says something else"))?;
        if greeting.version != VERSION {
            return Err(missing("it is of another version"));
        }
        let shared = Shared::from_descriptors(packet.descriptors).ok_or(missing("it hands on too little"))?;
        let inventory = read_inventory(shared.inventory)?;
        let (questions, asked) = mpsc::channel(WAITING_MAX);
        let (close, closed) = watch::channel(false);
        let (news, reset_news) = mpsc::channel(RESET_NEWS_MAX);
        drop(tokio::spawn(talk(channel, asked, news, close)));
        let gate = WorkerGate {
            questions,
            closed,
            numbers: AtomicU64::new(0),
            relay_udp: watched(shared.relay_udp, Interest::READABLE)?,
            told: watched(shared.told, Interest::READABLE)?,
            told_before: Mutex::default(),
            reset_news: tokio::sync::Mutex::new(reset_news),
        };
        Ok(Self {
            gate: Arc::new(gate),
            inventory,
            relay: shared.relay_tcp.into(),
            sinkhole: shared.sinkhole.into(),
            dns: shared.dns.into(),
            ntp: shared.ntp.into(),
        })
    }
}

/// Workers that follow each other share one file and its place in it.
fn read_inventory(file: OwnedFd) -> Result<Inventory, WorkerError> {
    let mut file = std::fs::File::from(file);
    file.rewind()?;
    let mut text = String::new();
    file.take(INVENTORY_BYTES_MAX).read_to_string(&mut text)?;
    Ok(Inventory::parse_handed_on(&text)?)
}

/// Carries questions and answers until one side is gone.
async fn talk(
    channel: Channel,
    mut asked: mpsc::Receiver<Waiting>,
    news: mpsc::Sender<ResetNews>,
    close: watch::Sender<bool>,
) {
    let mut waiting: HashMap<u64, oneshot::Sender<Result<Vec<OwnedFd>, GateError>>> = HashMap::new();
    loop {
        tokio::select! {
            received = channel.receive() => {
                let packet = match received {
                    Ok(Some(packet)) => packet,
                    Ok(None) => break,
                    Err(error) => {
                        warn!(event = events::CHANNEL_FAILED, %error, "the channel to the process with the rights failed");
                        break;
                    }
                };
                let Ok(said) = serde_json::from_slice::<Said>(&packet.bytes) else { break };
                let answer = match said {
                    Said::Answer(answer) => answer,
                    Said::ResetBegun { device } => {
                        tell(&news, device, begun(packet.descriptors));
                        continue;
                    }
                    Said::ResetOver { device, end } => {
                        let end = ResetEnd::ALL.into_iter().find(|one| one.as_str() == end);
                        tell(&news, device, end.map(ResetNewsKind::Over));
                        continue;
                    }
                };
                if let Some(asker) = waiting.remove(&answer.number) {
                    let outcome = match answer.refused {
                        None => Ok(packet.descriptors),
                        Some(reason) => Err(GateError::Refused { reason }),
                    };
                    // Whoever asked may have gone.
                    let _ = asker.send(outcome);
                }
            }
            next = asked.recv(), if waiting.len() < WAITING_MAX => {
                let Some(Waiting { question, answer }) = next else { break };
                let Ok(text) = serde_json::to_vec(&question) else { continue };
                waiting.insert(question.number, answer);
                if channel.send(&text, &[]).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = close.send(true);
}

fn begun(descriptors: Vec<OwnedFd>) -> Option<ResetNewsKind> {
    let [pipe] = <[OwnedFd; 1]>::try_from(descriptors).ok()?;
    Some(ResetNewsKind::Begun(pipe.into()))
}

/// Tells of a reset, unless nobody has asked for a long time.
fn tell(news: &mpsc::Sender<ResetNews>, device: u16, what: Option<ResetNewsKind>) {
    let told = what.is_some_and(|what| news.try_send(ResetNews { device: ApplianceIndex(device), what }).is_ok());
    if !told {
        warn!(event = events::RESET_NOT_TOLD, device, "steps of a reset are not written down");
    }
}

impl WorkerGate {
    async fn ask(&self, request: Request) -> Result<Vec<OwnedFd>, GateError> {
        let question = Question { number: self.numbers.fetch_add(1, Ordering::Relaxed), request };
        let (answer, answered) = oneshot::channel();
        self.questions.try_send(Waiting { question, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => GateError::Busy,
            mpsc::error::TrySendError::Closed(_) => GateError::Closed,
        })?;
        answered.await.map_err(|_| GateError::Closed)?
    }

    async fn ask_for<const N: usize>(&self, request: Request) -> Result<[OwnedFd; N], GateError> {
        const { assert!(N <= DESCRIPTORS_MAX) };
        let descriptors = self.ask(request).await?;
        descriptors.try_into().map_err(|_| GateError::Refused { reason: "the answer has too few descriptors".into() })
    }
}

impl DeviceGate for WorkerGate {
    fn connect(
        &self,
        device: ApplianceIndex,
        port: u16,
        client: SocketAddrV4,
    ) -> BoxFuture<'_, Result<TcpStream, GateError>> {
        Box::pin(async move {
            let [stream] = self.ask_for(Request::Connect { device: device.0, port, client }).await?;
            Ok(stream.into())
        })
    }

    fn datagrams(
        &self,
        device: ApplianceIndex,
        original: SocketAddrV4,
        client: SocketAddrV4,
    ) -> BoxFuture<'_, Result<DatagramLegs, GateError>> {
        Box::pin(async move {
            let request = Request::Datagrams { device: device.0, original, client };
            let [to_device, to_client] = self.ask_for(request).await?;
            Ok(DatagramLegs { to_device: to_device.into(), to_client: to_client.into() })
        })
    }

    fn datagrams_to_device(
        &self,
        device: ApplianceIndex,
        port: u16,
        client: SocketAddrV4,
    ) -> BoxFuture<'_, Result<UdpSocket, GateError>> {
        Box::pin(async move {
            let [socket] = self.ask_for(Request::DatagramsToDevice { device: device.0, port, client }).await?;
            Ok(socket.into())
        })
    }

    fn allow(&self, device: ApplianceIndex, addresses: Vec<Ipv4Addr>) -> BoxFuture<'_, Result<(), GateError>> {
        Box::pin(async move {
            for addresses in addresses.chunks(ADDRESSES_MAX) {
                self.ask(Request::Allow { device: device.0, addresses: addresses.to_vec() }).await?;
            }
            Ok(())
        })
    }

    fn quarantine(&self, device: ApplianceIndex) -> BoxFuture<'_, Result<(), GateError>> {
        Box::pin(async move { self.ask(Request::Quarantine { device: device.0 }).await.map(drop) })
    }

    fn capture(&self, device: ApplianceIndex) -> BoxFuture<'_, Result<OwnedFd, GateError>> {
        Box::pin(async move {
            let [frames] = self.ask_for(Request::Capture { device: device.0 }).await?;
            Ok(frames)
        })
    }

    fn datagram(&self) -> BoxFuture<'_, io::Result<StrangersDatagram>> {
        Box::pin(async move {
            loop {
                let received = self.relay_udp.async_io(Interest::READABLE, receive_datagram).await?;
                // A datagram that does not say whom it was sent to was not sent by a stranger.
                if let Some(datagram) = received {
                    return Ok(datagram);
                }
            }
        })
    }

    fn told(&self) -> BoxFuture<'_, io::Result<ToldPacket>> {
        Box::pin(async move {
            loop {
                if let Some(packet) = self.told_before.lock().pop() {
                    return Ok(packet);
                }
                let mut told = self.told.async_io(Interest::READABLE, receive_told).await?;
                told.reverse();
                *self.told_before.lock() = told;
            }
        })
    }

    fn reset_news(&self) -> BoxFuture<'_, io::Result<ResetNews>> {
        Box::pin(async move { self.reset_news.lock().await.recv().await.ok_or(io::ErrorKind::BrokenPipe.into()) })
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        let mut closed = self.closed.clone();
        Box::pin(async move {
            // A sender that is gone has closed it as well.
            let _ = closed.wait_for(|closed| *closed).await;
        })
    }
}

fn receive_datagram(socket: &OwnedFd) -> io::Result<Option<StrangersDatagram>> {
    let mut payload = vec![0; DATAGRAM_BYTES_MAX];
    let mut space = nix::cmsg_space!(nix::libc::sockaddr_in);
    let (bytes, client, original) = {
        let mut parts = [IoSliceMut::new(&mut payload)];
        let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())?;
        let original = message.cmsgs()?.find_map(|beside| match beside {
            ControlMessageOwned::Ipv4OrigDstAddr(address) => Some(SockaddrIn::from(address)),
            _ => None,
        });
        (message.bytes, message.address, original)
    };
    let (Some(client), Some(original)) = (client, original) else { return Ok(None) };
    payload.truncate(bytes);
    payload.shrink_to_fit();
    let (client, original) = (SocketAddrV4::from(client), SocketAddrV4::from(original));
    Ok(Some(StrangersDatagram { client, original, payload }))
}

fn receive_told(socket: &OwnedFd) -> io::Result<Vec<ToldPacket>> {
    let mut batch = vec![0; BATCH_BYTES_MAX];
    match recv(socket.as_raw_fd(), &mut batch, MsgFlags::empty()) {
        Ok(bytes) => Ok(told::packets(&batch[..bytes])),
        // The kernel had more to tell than it could hold. The rules counted it.
        Err(Errno::ENOBUFS) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
