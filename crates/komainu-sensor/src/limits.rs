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
    /// Flows of datagrams at the same time: what one port of a client says to one of ours. What would begin a further
    /// one is dropped.
    pub flows_max: usize,
    /// Flows of datagrams at the same time of one source, as with connections.
    pub flows_per_source_max: usize,
    /// Flows of datagrams at the same time of one network, as with connections.
    pub flows_per_network_max: usize,
    /// Flows of datagrams that begin at one port in a second, of those whose source may be forged. What would begin a
    /// further one is dropped: each makes two lines of the log at least.
    pub flows_new_per_s_max: u32,
    /// How long a client may say nothing in a flow of datagrams, in seconds. Then it has ended.
    pub flow_idle_s: u64,
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
            flows_max: 10_000,
            flows_per_source_max: 64,
            flows_per_network_max: 512,
            flows_new_per_s_max: 50,
            flow_idle_s: 30,
        }
    }
}

/// How many may be inside.
#[derive(Debug)]
struct Places {
    all: usize,
    per_source: usize,
    per_network: usize,
    /// The names of these bounds, as the log has them.
    names: [&'static str; 3],
}

/// Counts who is inside.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    places: Places,
    inside: Mutex<Inside>,
}

/// Connections, as they are counted for the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionCounts {
    /// At this moment.
    pub now: u64,
    /// Since the sensor started.
    pub total: u64,
    /// Those that a bound kept out since the sensor started.
    pub refused: u64,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    total: u64,
    refused: u64,
    /// Sources and networks that have somebody inside, and how many.
    of: HashMap<Prefix, usize>,
}

/// The first bits of an address, and how many they are.
pub(crate) type Prefix = (IpAddr, u8);

/// A place inside; it is free again when the ticket is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    doorkeeper: Arc<Doorkeeper>,
    prefixes: [Prefix; 2],
}

impl Doorkeeper {
    /// For connections.
    pub(crate) fn of_connections(limits: &SensorLimits) -> Arc<Self> {
        Self::new(Places {
            all: limits.connections_max,
            per_source: limits.connections_per_source_max,
            per_network: limits.connections_per_network_max,
            names: ["connections_max", "connections_per_source_max", "connections_per_network_max"],
        })
    }

    /// For flows of datagrams.
    pub(crate) fn of_flows(limits: &SensorLimits) -> Arc<Self> {
        Self::new(Places {
            all: limits.flows_max,
            per_source: limits.flows_per_source_max,
            per_network: limits.flows_per_network_max,
            names: ["flows_max", "flows_per_source_max", "flows_per_network_max"],
        })
    }

    fn new(places: Places) -> Arc<Self> {
        Arc::new(Self { places, inside: Mutex::default() })
    }

    /// Lets a client in, or names the bound that it would exceed.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Ticket, &'static str> {
        let mut inside = self.inside.lock();
        let admitted = self.admit_to(&mut inside, prefixes(address));
        match &admitted {
            Ok(_) => inside.total += 1,
            Err(_) => inside.refused += 1,
        }
        admitted
    }

    /// Counts a client that was kept out for another reason than these bounds.
    pub(crate) fn note_refused(&self) {
        self.inside.lock().refused += 1;
    }

    /// How many came.
    pub(crate) fn counts(&self) -> ConnectionCounts {
        let inside = self.inside.lock();
        ConnectionCounts { now: inside.all as u64, total: inside.total, refused: inside.refused }
    }

    fn admit_to(self: &Arc<Self>, inside: &mut Inside, prefixes: [Prefix; 2]) -> Result<Ticket, &'static str> {
        let [source, network] = &prefixes;
        let of = |inside: &Inside, prefix| inside.of.get(prefix).copied().unwrap_or(0);
        let [all_name, source_name, network_name] = self.places.names;
        if inside.all >= self.places.all {
            return Err(all_name);
        }
        if of(inside, source) >= self.places.per_source {
            return Err(source_name);
        }
        if of(inside, network) >= self.places.per_network {
            return Err(network_name);
        }
        inside.all += 1;
        for prefix in prefixes {
            *inside.of.entry(prefix).or_default() += 1;
        }
        Ok(Ticket { doorkeeper: self.clone(), prefixes })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inside = self.doorkeeper.inside.lock();
        inside.all -= 1;
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
pub(crate) fn prefixes(address: IpAddr) -> [Prefix; 2] {
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
        let doorkeeper = Doorkeeper::of_connections(&limits);
        let tickets: Vec<_> =
            inside.iter().map(|address| doorkeeper.admit(address.parse().unwrap()).unwrap()).collect();
        let refused = doorkeeper.admit(next.parse().unwrap()).err();
        drop(tickets);
        let counts = doorkeeper.counts();
        let expected = (0, (inside.len() + usize::from(refused.is_none())) as u64, u64::from(refused.is_some()));
        assert_eq!((counts.now, counts.total, counts.refused), expected);
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
