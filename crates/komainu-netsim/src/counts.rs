//! What is counted and not carried: floods, scans beyond their bound, and how the targets of scans were chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use komainu_trace::network::NetworkAct;

use crate::limits::{
    COUNT_ADDRESSES_MAX, COUNT_EXAMPLES_MAX, COUNT_QUIET, COUNT_TIME_MAX, COUNTS_MAX, TARGET_PORTS_MAX,
};

/// What packets that are counted together have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Syn,
    /// TCP that belongs to no connection.
    Tcp,
    Udp,
    Icmp,
    Gre,
    Ip(u8),
}

impl Kind {
    fn name(self) -> String {
        match self {
            Self::Syn => "syn".into(),
            Self::Tcp => "tcp".into(),
            Self::Udp => "udp".into(),
            Self::Icmp => "icmp".into(),
            Self::Gre => "gre".into(),
            Self::Ip(protocol) => format!("ip{protocol}"),
        }
    }
}

/// A packet that is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) kind: Kind,
    pub(crate) port: Option<u16>,
    pub(crate) to: IpAddr,
    pub(crate) bytes: usize,
    /// Its source is not the guest's address.
    pub(crate) is_forged: bool,
}

/// What is being counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    open: BTreeMap<(Kind, Option<u16>, bool), Count>,
}

#[derive(Debug)]
struct Count {
    packets: u64,
    bytes: u64,
    addresses: BTreeSet<IpAddr>,
    /// Packets to addresses that are not in the set, when it was full.
    more: bool,
    begun: Duration,
    last: Duration,
}

impl Counts {
    /// Counts a packet. What ends thereby is given back.
    pub(crate) fn add(&mut self, now: Duration, counted: Counted) -> Option<NetworkAct> {
        let Counted { kind, port, to, bytes, is_forged } = counted;
        let mut key = (kind, port, is_forged);
        if self.open.len() >= COUNTS_MAX && !self.open.contains_key(&key) {
            key = (kind, None, is_forged);
        }
        let ended = self.open.get(&key).is_some_and(|count| now.saturating_sub(count.begun) >= COUNT_TIME_MAX);
        let told = if ended { self.open.remove(&key).map(|count| count.told(key)) } else { None };
        let count = self.open.entry(key).or_insert_with(|| Count {
            packets: 0,
            bytes: 0,
            addresses: BTreeSet::new(),
            more: false,
            begun: now,
            last: now,
        });
        count.packets += 1;
        count.bytes += bytes as u64;
        count.last = now;
        if count.addresses.len() < COUNT_ADDRESSES_MAX {
            count.addresses.insert(to);
        } else if !count.more && !count.addresses.contains(&to) {
            count.more = true;
        }
        told
    }

    /// What was silent for long enough.
    pub(crate) fn quiet(&mut self, now: Duration) -> Vec<NetworkAct> {
        let is_over = |count: &Count| {
            now.saturating_sub(count.last) >= COUNT_QUIET || now.saturating_sub(count.begun) >= COUNT_TIME_MAX
        };
        let over: Vec<_> = self.open.iter().filter(|(_, count)| is_over(count)).map(|(key, _)| *key).collect();
        over.into_iter().filter_map(|key| Some(self.open.remove(&key)?.told(key))).collect()
    }

    /// All that is left.
    pub(crate) fn end(&mut self) -> Vec<NetworkAct> {
        std::mem::take(&mut self.open).into_iter().map(|(key, count)| count.told(key)).collect()
    }

    /// When something may end.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.open.values().map(|count| (count.last + COUNT_QUIET).min(count.begun + COUNT_TIME_MAX)).min()
    }
}

impl Count {
    fn told(self, (kind, port, forged_sources): (Kind, Option<u16>, bool)) -> NetworkAct {
        NetworkAct::Counted {
            kind: kind.name(),
            port,
            packets: self.packets,
            bytes: self.bytes,
            // One above the most says that there were more.
            addresses: self.addresses.len() as u64 + u64::from(self.more),
            examples: spread(&self.addresses),
            for_us: u64::try_from((self.last - self.begun).as_micros()).unwrap_or(u64::MAX),
            forged_sources,
        }
    }
}

/// Some of the addresses, from all over their range.
fn spread(addresses: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let step = addresses.len().div_ceil(COUNT_EXAMPLES_MAX).max(1);
    addresses.iter().copied().step_by(step).collect()
}

/// How the targets of each port were chosen.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    ports: BTreeMap<u16, PortTargets>,
}

#[derive(Debug, Default)]
struct PortTargets {
    attempts: u64,
    addresses: BTreeSet<IpAddr>,
    last: Option<IpAddr>,
    moves: u64,
    next: u64,
    same_24: u64,
    same_16: u64,
}

impl Targets {
    /// Learns of a SYN; false when there are too many ports.
    pub(crate) fn add(&mut self, port: u16, to: IpAddr) -> bool {
        if self.ports.len() >= TARGET_PORTS_MAX && !self.ports.contains_key(&port) {
            return false;
        }
        let of_port = self.ports.entry(port).or_default();
        of_port.attempts += 1;
        if of_port.addresses.len() < COUNT_ADDRESSES_MAX {
            of_port.addresses.insert(to);
        }
        if let Some(last) = of_port.last.replace(to).filter(|last| *last != to) {
            of_port.moves += 1;
            let (from, to) = (number(last), number(to));
            of_port.next += u64::from(to.wrapping_sub(from) == 1);
            of_port.same_24 += u64::from(from >> 8 == to >> 8);
            of_port.same_16 += u64::from(from >> 16 == to >> 16);
        }
        true
    }

    /// What is known of ports that more than one address was tried on.
    pub(crate) fn end(&mut self) -> Vec<NetworkAct> {
        let ports = std::mem::take(&mut self.ports);
        let scanned = ports.into_iter().filter(|(_, of_port)| of_port.addresses.len() > 1);
        let told = scanned.map(|(port, of_port)| NetworkAct::Targets {
            port,
            attempts: of_port.attempts,
            addresses: of_port.addresses.len() as u64,
            moves: of_port.moves,
            next_address: of_port.next,
            same_24: of_port.same_24,
            same_16: of_port.same_16,
            examples: spread(&of_port.addresses),
        });
        told.collect()
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// At most so many in each second.
#[derive(Debug, Default)]
pub(crate) struct PerSecond {
    second: u64,
    used: u32,
}

impl PerSecond {
    /// Whether there is one more.
    pub(crate) fn take(&mut self, now: Duration, most: u32) -> bool {
        if self.second != now.as_secs() {
            (self.second, self.used) = (now.as_secs(), 0);
        }
        self.used = self.used.saturating_add(1);
        self.used <= most
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn packet(port: u16, address: u32) -> Counted {
        let to = Ipv4Addr::from(0x0A00_0000 + address).into();
        Counted { kind: Kind::Syn, port: Some(port), to, bytes: 40, is_forged: false }
    }

    #[test]
    fn totals_are_exact_and_addresses_up_to_the_bound() {
        let mut counts = Counts::default();
        for address in 0..10_000 {
            assert_eq!(counts.add(Duration::from_micros(address.into()), packet(23, address)), None);
        }
        assert_eq!(counts.quiet(Duration::from_secs(1)), []);
        let told = counts.quiet(Duration::from_secs(3));
        let [NetworkAct::Counted { kind, port, packets, bytes, addresses, examples, for_us, forged_sources }] =
            &told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!((kind.as_str(), *port, *packets, *bytes), ("syn", Some(23), 10_000, 400_000));
        assert_eq!((*addresses, examples.len(), *for_us, *forged_sources), (4097, 16, 9_999, false));
        assert_eq!(counts.next_at(), None);
    }

    #[test]
    fn a_long_flood_is_told_while_it_lasts_and_many_ports_together() {
        let mut counts = Counts::default();
        let told: Vec<_> =
            (0..30).filter_map(|second| counts.add(Duration::from_secs(second), packet(80, 1))).collect();
        assert_eq!(told.len(), 2);
        let mut told: Vec<_> =
            (0..1000).filter_map(|port| counts.add(Duration::from_secs(30), packet(port, 1))).collect();
        assert!(counts.open.len() <= COUNTS_MAX + 1, "{}", counts.open.len());
        told.extend(counts.end());
        let sum = told.into_iter().map(|act| match act {
            NetworkAct::Counted { packets, .. } => packets,
            _ => 0,
        });
        assert_eq!(sum.sum::<u64>(), 10 + 1000);
    }

    #[test]
    fn how_targets_are_chosen_is_seen() {
        let mut targets = Targets::default();
        for address in 0..100 {
            assert!(targets.add(23, packet(23, address).to));
            assert!(targets.add(80, packet(80, address * 0x01_0101 % 0xFF_FFFF).to));
        }
        assert!(targets.add(443, packet(443, 1).to));
        let told = targets.end();
        assert_eq!(told.len(), 2, "one address is no scan");
        let NetworkAct::Targets { port, attempts, addresses, moves, next_address, same_24, .. } = told[0] else {
            panic!()
        };
        assert_eq!((port, attempts, addresses, moves, next_address, same_24), (23, 100, 100, 99, 99, 99));
        let NetworkAct::Targets { next_address, same_24, same_16, .. } = told[1] else { panic!() };
        assert_eq!((next_address, same_24, same_16), (0, 0, 0));
    }

    #[test]
    fn a_second_has_its_bound() {
        let mut window = PerSecond::default();
        let taken = (0..10).filter(|_| window.take(Duration::from_millis(500), 3)).count();
        assert_eq!(taken, 3);
        assert!(window.take(Duration::from_secs(1), 3));
    }
}
