//! The way to real devices: what the process that talks to strangers asks of the one that holds the rights.

use std::io::{self, PipeReader};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use komainu_model::ApplianceIndex;

use crate::BoxFuture;

/// Opens the way to the devices of an inventory, and nowhere else.
///
/// Whoever offers it checks each request against the inventory: the asker may be in the hands of an attacker.
pub trait DeviceGate: Send + Sync {
    /// A connection to a TCP port of a device which the device sees coming from `client`, or from another port of its
    /// address when that one is in use. It does not block, and may not be established yet.
    fn connect(
        &self,
        device: ApplianceIndex,
        port: u16,
        client: SocketAddrV4,
    ) -> BoxFuture<'_, Result<TcpStream, GateError>>;

    /// Both ways of a conversation in datagrams between `client` and a device, who was reached as `original`.
    fn datagrams(
        &self,
        device: ApplianceIndex,
        original: SocketAddrV4,
        client: SocketAddrV4,
    ) -> BoxFuture<'_, Result<DatagramLegs, GateError>>;

    /// The way to a UDP port of a device, which sees `client`, of a conversation that is answered by another way than the
    /// network of this machine. It does not block.
    fn datagrams_to_device(
        &self,
        device: ApplianceIndex,
        port: u16,
        client: SocketAddrV4,
    ) -> BoxFuture<'_, Result<UdpSocket, GateError>>;

    /// Lets a device reach addresses of its maker's cloud, for an hour from now on.
    fn allow(&self, device: ApplianceIndex, addresses: Vec<Ipv4Addr>) -> BoxFuture<'_, Result<(), GateError>>;

    /// Closes every way to and from a device. Who asks cannot end it.
    fn quarantine(&self, device: ApplianceIndex) -> BoxFuture<'_, Result<(), GateError>>;

    /// A socket at which every frame arrives that goes to a device or comes from it, from its Ethernet header on
    /// (packet(7)). It does not block. A quarantine does not close it.
    fn capture(&self, device: ApplianceIndex) -> BoxFuture<'_, Result<OwnedFd, GateError>>;

    /// The next datagram of a stranger that belongs to no conversation yet.
    fn datagram(&self) -> BoxFuture<'_, io::Result<StrangersDatagram>>;

    /// The next packet of a device that the packet filter tells of.
    fn told(&self) -> BoxFuture<'_, io::Result<ToldPacket>>;

    /// The next thing that is told of resets.
    fn reset_news(&self) -> BoxFuture<'_, io::Result<ResetNews>>;

    /// Resolves when whoever holds the rights is gone, or wants the asker to end.
    fn closed(&self) -> BoxFuture<'_, ()>;
}

/// The two sockets of a conversation in datagrams. Neither blocks.
#[derive(Debug)]
pub struct DatagramLegs {
    /// Bound to the stranger's address, connected to the device.
    pub to_device: UdpSocket,
    /// Bound to the address that the stranger called, connected to the stranger.
    pub to_client: UdpSocket,
}

/// A datagram as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrangersDatagram {
    /// Who sent it.
    pub client: SocketAddrV4,
    /// Whom it was sent to.
    pub original: SocketAddrV4,
    /// What it says.
    pub payload: Vec<u8>,
}

/// What is told of the reset of a device.
#[derive(Debug)]
pub struct ResetNews {
    /// Whose.
    pub device: ApplianceIndex,
    /// What.
    pub what: ResetNewsKind,
}

/// What is told of a reset.
#[derive(Debug)]
pub enum ResetNewsKind {
    /// It has begun: one line for each step comes through a pipe, which ends with it. Whoever writes them has spoken with
    /// the device, and may be in its hands.
    Begun(PipeReader),
    /// It is over.
    Over(ResetEnd),
}

/// How a reset ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetEnd {
    /// The quarantine is over: after a reset that went well, or by an operator's hand.
    Released,
    /// The device differs from its baseline; it stays in quarantine.
    Differs,
    /// A step failed; it is tried again later.
    Failed,
    /// It was tried as often as a day allows; the device stays in quarantine.
    GivenUp,
    /// An operator is at the device, or has put it into quarantine meanwhile.
    Overtaken,
    /// The system did not let it be tried; the device stays in quarantine.
    Impossible,
}

impl ResetEnd {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Released, Self::Differs, Self::Failed, Self::GivenUp, Self::Overtaken, Self::Impossible];

    /// The word in records and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Differs => "differs",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
            Self::Overtaken => "overtaken",
            Self::Impossible => "impossible",
        }
    }
}

/// A packet of a device that the packet filter dropped, or let out for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldPacket {
    /// Whose.
    pub device: ApplianceIndex,
    /// What became of it.
    pub fate: PacketFate,
    /// Its beginning, from the IP header on.
    pub packet: Vec<u8>,
}

/// What became of a packet of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketFate {
    /// It was let out: the first one of a connection to the maker's cloud.
    Allowed,
    /// Its destination is not allowed.
    Blocked,
    /// It was more than the device may do.
    Limited,
    /// It had another source than the device's address, or was not IPv4.
    Foreign,
    /// It was for this machine.
    ToSensor,
    /// The device is in quarantine.
    Quarantined,
}

impl PacketFate {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Allowed, Self::Blocked, Self::Limited, Self::Foreign, Self::ToSensor, Self::Quarantined];

    /// The word in records and packet filter rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Blocked => "blocked",
            Self::Limited => "limited",
            Self::Foreign => "foreign",
            Self::ToSensor => "to_sensor",
            Self::Quarantined => "quarantined",
        }
    }
}

/// Why the way to a device was not opened.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The inventory does not allow it, or the system refused it.
    #[error("the way to a device is refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// Too much is asked at the same time.
    #[error("too many requests for ways to devices")]
    Busy,
    /// Whoever holds the rights is gone.
    #[error("the way to devices is closed")]
    Closed,
}
