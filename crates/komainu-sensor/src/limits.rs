//! The bounds of the listeners: each has a name, a unit and a reason, and what happens at it is written beside it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// What connections may use.
///
/// The defaults hold 20,000 silent peers on a small machine, and let one address have as many connections as the
/// scanners of botnets open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SensorLimits {
    /// Connections at the same time. A further one is closed at once.
    pub connections_max: usize,
    /// Connections at the same time of one source: an IPv4 address, or a /64 of IPv6, which is one customer. A further
    /// one is closed at once.
    pub connections_per_source_max: usize,
    /// Connections at the same time of one network: a /24 of IPv4, a /48 of IPv6. A further one is closed at once.
    pub connections_per_network_max: usize,
    /// How long a client may say nothing, in seconds. Then its connection is closed.
    pub idle_s: u64,
    /// How long a connection may last, in seconds. Then it is closed.
    pub connection_s_max: u64,
    /// Bytes that one client may say: more than the largest artifact. Then its connection is closed.
    pub bytes_in_max: u64,
    /// Bytes that one client may make a persona say. Then its connection is closed.
    pub bytes_out_max: u64,
    /// Bytes that a persona says to one client in a second. Faster, it waits.
    pub bytes_out_per_s_max: u64,
}

impl Default for SensorLimits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            connections_per_source_max: 64,
            connections_per_network_max: 512,
            idle_s: 120,
            connection_s_max: 3_600,
            bytes_in_max: 40 << 20,
            bytes_out_max: 8 << 20,
            bytes_out_per_s_max: 256 << 10,
        }
    }
}

/// Counts who is inside.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    limits: SensorLimits,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    connections: usize,
    /// Sources and networks that have connections, and how many.
    of: HashMap<Prefix, usize>,
}

/// The first bits of an address, and how many they are.
type Prefix = (IpAddr, u8);

/// A place inside; it is free again when the ticket is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    doorkeeper: Arc<Doorkeeper>,
    prefixes: [Prefix; 2],
}

impl Doorkeeper {
    pub(crate) fn new(limits: SensorLimits) -> Arc<Self> {
        Arc::new(Self { limits, inside: Mutex::default() })
    }

    /// Lets a client in, or names the bound that it would exceed.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Ticket, &'static str> {
        let prefixes = prefixes(address);
        let [source, network] = &prefixes;
        let mut inside = self.inside.lock();
        let of = |inside: &Inside, prefix| inside.of.get(prefix).copied().unwrap_or(0);
        if inside.connections >= self.limits.connections_max {
            return Err("connections_max");
        }
        if of(&inside, source) >= self.limits.connections_per_source_max {
            return Err("connections_per_source_max");
        }
        if of(&inside, network) >= self.limits.connections_per_network_max {
            return Err("connections_per_network_max");
        }
        inside.connections += 1;
        for prefix in prefixes {
            *inside.of.entry(prefix).or_default() += 1;
        }
        Ok(Ticket { doorkeeper: self.clone(), prefixes })
    }

    /// How many are inside.
    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.inside.lock().connections
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inside = self.doorkeeper.inside.lock();
        inside.connections -= 1;
        for prefix in self.prefixes {
            if let Entry::Occupied(mut entry) = inside.of.entry(prefix) {
                *entry.get_mut() -= 1;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
    }
}

/// The source and the network of an address.
fn prefixes(address: IpAddr) -> [Prefix; 2] {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let network = u32::from(address) & !0xFF;
            [(IpAddr::V4(address), 32), (IpAddr::V4(network.into()), 24)]
        }
        IpAddr::V6(address) => {
            let first = |bits: u8| IpAddr::V6(Ipv6Addr::from(u128::from(address) & (u128::MAX << (128 - bits))));
            [(first(64), 64), (first(48), 48)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(limits: SensorLimits, inside: &[&str], next: &str) -> Option<&'static str> {
        let doorkeeper = Doorkeeper::new(limits);
        let tickets: Vec<_> =
            inside.iter().map(|address| doorkeeper.admit(address.parse().unwrap()).unwrap()).collect();
        let refused = doorkeeper.admit(next.parse().unwrap()).err();
        drop(tickets);
        assert_eq!(doorkeeper.connections(), 0);
        assert!(doorkeeper.inside.lock().of.is_empty(), "nobody is remembered who is gone");
        refused
    }

    #[test]
    fn each_bound_is_named() {
        let limits = SensorLimits {
            connections_max: 4,
            connections_per_source_max: 2,
            connections_per_network_max: 3,
            ..SensorLimits::default()
        };
        let check = |inside: &[&str], next, expected| assert_eq!(full(limits, inside, next), expected, "{inside:?}");
        check(&["192.0.2.1"], "192.0.2.1", None);
        check(&["192.0.2.1", "192.0.2.1"], "192.0.2.1", Some("connections_per_source_max"));
        check(&["192.0.2.1", "::ffff:192.0.2.1"], "192.0.2.1", Some("connections_per_source_max"));
        check(&["192.0.2.1", "192.0.2.2", "192.0.2.3"], "192.0.2.4", Some("connections_per_network_max"));
        check(&["192.0.2.1", "192.0.2.2", "192.0.2.3"], "192.0.3.4", None);
        check(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.3.1"], "198.51.100.1", Some("connections_max"));
        check(&["2001:db8::1", "2001:db8::2"], "2001:db8::3", Some("connections_per_source_max"));
        check(&["2001:db8::1", "2001:db8::2"], "2001:db8:0:1::3", None);
        check(
            &["2001:db8::1", "2001:db8::2", "2001:db8:0:1::3"],
            "2001:db8:0:2::3",
            Some("connections_per_network_max"),
        );
    }
}
