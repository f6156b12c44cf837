//! A guest: a TCP stack of its own behind the simulated link, and raw frames beside it.

use std::net::SocketAddr;
use std::time::Duration;

use komainu_netsim::{Internet, Output, Settings};
use komainu_trace::network::{NetworkAct, NetworkEvent};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Address, Ipv6Address};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

pub(crate) struct Guest {
    pub(crate) internet: Internet,
    pub(crate) now: Duration,
    pub(crate) events: Vec<NetworkEvent>,
    pub(crate) packets: Vec<u8>,
    pub(crate) frames: usize,
    interface: Interface,
    device: Device,
    sockets: SocketSet<'static>,
    next_port: u16,
}

impl Guest {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut device = Device::default();
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(Ipv4Address::new(192, 168, 1, 100).into(), 24)).unwrap();
            let own: Ipv6Address = "2001:db8:1:1::100".parse().unwrap();
            addresses.push(IpCidr::new(own.into(), 64)).unwrap();
        });
        interface.routes_mut().add_default_ipv4_route(Ipv4Address::new(192, 168, 1, 1)).unwrap();
        interface.routes_mut().add_default_ipv6_route("fe80::1".parse().unwrap()).unwrap();
        Self {
            internet: Internet::new(settings).unwrap(),
            now: Duration::ZERO,
            events: Vec::new(),
            packets: Vec::new(),
            frames: 0,
            interface,
            device,
            sockets: SocketSet::new(Vec::new()),
            next_port: 40_000,
        }
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, to: &str) -> SocketHandle {
        let to: SocketAddr = to.parse().unwrap();
        let buffer = || SocketBuffer::new(vec![0; 8192]);
        let handle = self.sockets.add(Socket::new(buffer(), buffer()));
        self.next_port += 1;
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        socket.connect(self.interface.context(), (to.ip(), to.port()), self.next_port).unwrap();
        handle
    }

    pub(crate) fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut::<Socket<'_>>(handle)
    }

    pub(crate) fn forget(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.carry();
            let own = self.interface.poll_delay(instant(self.now), &self.sockets);
            let own = own.map(|delay| self.now + Duration::from_micros(delay.total_micros().max(1)));
            let next = self.internet.next_at().into_iter().chain(own).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
        }
        self.now = until;
        self.carry();
    }

    /// What the guest sends now arrives, and what is for it.
    fn carry(&mut self) {
        loop {
            self.interface.poll(instant(self.now), &mut self.device, &mut self.sockets);
            for packet in std::mem::take(&mut self.device.sent) {
                self.frame(&packet);
            }
            self.internet.advance(self.now);
            self.take();
            if self.device.received.is_empty() {
                break;
            }
        }
    }

    fn take(&mut self) {
        let Output { frames, events, packets, .. } = self.internet.take();
        self.frames += frames.len();
        self.events.extend(events);
        self.packets.extend(packets);
        let of_ip = frames.iter().filter(|frame| matches!(frame[12..14], [8, 0] | [0x86, 0xDD]));
        self.device.received.extend(of_ip.map(|frame| frame[14..].to_vec()));
    }

    /// Sends a packet.
    pub(crate) fn frame(&mut self, packet: &[u8]) {
        let ethertype = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xDD] };
        let frame = [&[0xFF; 6][..], &MAC, &ethertype, packet].concat();
        self.internet.frame(self.now, &frame);
    }

    /// What was said to a connection so far.
    pub(crate) fn heard(&mut self, handle: SocketHandle) -> String {
        let socket = self.socket(handle);
        let mut heard = Vec::new();
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), heard.extend_from_slice(bytes))).unwrap();
        }
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Ends the simulated Internet; what it told in all.
    pub(crate) fn end(mut self) -> (Vec<NetworkEvent>, Vec<u8>) {
        self.internet.end();
        self.take();
        (self.events, self.packets)
    }

    pub(crate) fn acts(&self) -> impl Iterator<Item = &NetworkAct> {
        self.events.iter().map(|event| &event.act)
    }
}

fn instant(at: Duration) -> Instant {
    Instant::from_micros(i64::try_from(at.as_micros()).unwrap())
}

#[derive(Default)]
struct Device {
    received: std::collections::VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl phy::Device for Device {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        Some((Received(self.received.pop_front()?), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

pub(crate) struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

pub(crate) struct Sending<'a>(&'a mut Vec<Vec<u8>>);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let result = write(&mut packet);
        self.0.push(packet);
        result
    }
}
