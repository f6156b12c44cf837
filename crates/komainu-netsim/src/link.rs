//! The guest's own network: its addresses, its router, and who answers for which address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::packet::{Arp, Mac, Packet, arp_answer, icmp};
use crate::random::Seed;

/// The router, which is also the resolver and gives addresses.
pub(crate) const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

/// The router on the link (RFC 4291, 2.5.6).
const ROUTER_LINK: Ipv6Addr = Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 1);

/// The network that the router gives addresses out of: for documentation (RFC 3849).
const PREFIX: [u8; 8] = [0x20, 0x01, 0x0D, 0xB8, 0, 1, 0, 1];

/// All nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;

/// How long the router wants to be known, in seconds.
const ROUTER_LIFETIME_S: u16 = 1800;

/// What is known of the guest's network.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) router_mac: Mac,
    /// The card of the guest, from the first frame on.
    pub(crate) guest_mac: Option<Mac>,
    /// The address that the guest is given, or that it has.
    pub(crate) guest_v4: Ipv4Addr,
}

impl Link {
    pub(crate) fn new(seed: Seed) -> Self {
        let [.., a, b, c] = seed.number("router", b"").to_be_bytes();
        let host = 100 + seed.below("guest", b"", 100);
        Self {
            // Of a maker of chips for home routers.
            router_mac: [0x00, 0x0C, 0x43, a, b, c],
            guest_mac: None,
            guest_v4: Ipv4Addr::new(192, 168, 1, u8::try_from(host).expect("at most 199")),
        }
    }

    /// The router's address in the network that it gives addresses out of.
    pub(crate) fn router_v6() -> Ipv6Addr {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&PREFIX);
        octets[15] = 1;
        octets.into()
    }

    /// Whether an address is that of the router.
    pub(crate) fn is_router(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address == ROUTER_V4,
            IpAddr::V6(address) => address == ROUTER_LINK || address == Self::router_v6(),
        }
    }

    /// Whether an address belongs to the guest's network.
    pub(crate) fn is_near(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.octets()[..3] == ROUTER_V4.octets()[..3],
            IpAddr::V6(address) => address.is_unicast_link_local() || address.octets()[..8] == PREFIX,
        }
    }

    /// Whether a packet may come from the guest: its source lies in its network, and is not the router.
    pub(crate) fn is_own(source: IpAddr) -> bool {
        source.is_unspecified() || (Self::is_near(source) && !Self::is_router(source))
    }

    /// Learns where the guest is.
    pub(crate) fn learn(&mut self, mac: Mac, source: Option<IpAddr>) {
        // A multicast bit in a source is a lie.
        if mac[0] & 1 == 0 {
            self.guest_mac = Some(mac);
        }
        if let Some(IpAddr::V4(source)) = source.filter(|source| Self::is_own(*source) && !source.is_unspecified()) {
            self.guest_v4 = source;
        }
    }

    /// The answer to a question of ARP: for every address but the guest's own, which it looks for before it takes it.
    pub(crate) fn arp(&self, arp: Arp, guest_mac: Mac) -> Option<Vec<u8>> {
        let is_probe = arp.sender.is_unspecified() || arp.sender == arp.target;
        let is_answered = arp.operation == 1 && (!is_probe || arp.target == ROUTER_V4) && arp.target != self.guest_v4;
        is_answered.then(|| arp_answer(self.router_mac, arp.target, guest_mac, arp.sender))
    }

    /// The answer to a question about neighbours or routers (RFC 4861), as a packet.
    pub(crate) fn neighbors(&self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let to = if packet.source.is_unspecified() { IpAddr::V6(ALL_NODES) } else { packet.source };
        match *packet.payload.first()? {
            ROUTER_SOLICITATION => Some(icmp(ROUTER_LINK.into(), to, 255, self.advertisement())),
            NEIGHBOR_SOLICITATION => {
                let target = Ipv6Addr::from(*packet.payload.get(8..24)?.first_chunk::<16>()?);
                let is_router = Self::is_router(target.into());
                // Who has no address asks whether somebody has the one that it wants.
                if (packet.source.is_unspecified() && !is_router) || target.is_multicast() {
                    return None;
                }
                let flags = if is_router { 0xE0 } else { 0x60 };
                let mut message = vec![NEIGHBOR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
                message.extend(target.octets());
                message.extend([2, 1]);
                message.extend(self.router_mac);
                Some(icmp(target.into(), to, 255, message))
            }
            _ => None,
        }
    }

    /// What the router says of itself (RFC 4861, 4.2; RFC 8106, 5.1).
    fn advertisement(&self) -> Vec<u8> {
        let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0];
        message.extend(ROUTER_LIFETIME_S.to_be_bytes());
        message.extend([0; 8]);
        message.extend([1, 1]);
        message.extend(self.router_mac);
        message.extend([5, 1, 0, 0, 0, 0, 5, 0xDC]);
        // The prefix, on the link and for addresses that the guest makes itself.
        message.extend([3, 4, 64, 0xC0]);
        message.extend(86_400_u32.to_be_bytes());
        message.extend(14_400_u32.to_be_bytes());
        message.extend([0; 4]);
        message.extend(PREFIX);
        message.extend([0; 8]);
        message.extend([25, 3, 0, 0]);
        message.extend(u32::from(ROUTER_LIFETIME_S).to_be_bytes());
        message.extend(Self::router_v6().octets());
        message
    }
}
