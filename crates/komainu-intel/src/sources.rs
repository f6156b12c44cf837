//! What is remembered of sources from one session to the next, so that one guess in each connection is still guessing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Sources of one generation; there are two. When a generation is full the older one is forgotten, so at the worst the
/// last so many sources are remembered. About 100 bytes each.
const SOURCES_MAX: usize = 32_768;
/// How long failed logins and ports are remembered, in minutes.
const MINUTES: i64 = 10;
/// Ports of one source that are remembered; more than are needed to call it a scan.
const PORTS_MAX: usize = 16;

/// Sources: an IPv4 address, or a /64 of IPv6, which is one customer.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    young: HashMap<IpAddr, Source, ahash::RandomState>,
    old: HashMap<IpAddr, Source, ahash::RandomState>,
}

/// What is known of a source after a session of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Logins that failed in the last ten minutes, those of this session included.
    pub(crate) failed: u32,
    /// Ports that it came to, at most 16.
    pub(crate) ports: usize,
}

#[derive(Debug, Default)]
struct Source {
    /// Logins that failed in each of the last minutes; the minute's number chooses the place.
    failed: [u16; MINUTES as usize],
    /// The newest minute, since 1970.
    minute: i64,
    ports: Vec<u16>,
}

impl Sources {
    /// Remembers a session that ended at `at`, in microseconds since 1970.
    pub(crate) fn note(&mut self, address: IpAddr, at: i64, failed: u32, port: u16) -> Record {
        let key = key(address);
        if !self.young.contains_key(&key) {
            if self.young.len() >= SOURCES_MAX {
                self.old = std::mem::take(&mut self.young);
            }
            let known = self.old.remove(&key).unwrap_or_default();
            self.young.insert(key, known);
        }
        let source = self.young.entry(key).or_default();
        source.advance(at.div_euclid(60_000_000));
        let now = &mut source.failed[place(source.minute)];
        *now = now.saturating_add(u16::try_from(failed).unwrap_or(u16::MAX));
        if source.ports.len() < PORTS_MAX && !source.ports.contains(&port) {
            source.ports.push(port);
        }
        Record { failed: source.failed.iter().map(|count| u32::from(*count)).sum(), ports: source.ports.len() }
    }
}

impl Source {
    /// Forgets what is too old. A clock that was set back changes nothing.
    fn advance(&mut self, minute: i64) {
        let passed = minute.saturating_sub(self.minute);
        if passed >= MINUTES {
            *self = Self { minute, ..Self::default() };
        } else if passed > 0 {
            for one in self.minute + 1..=minute {
                self.failed[place(one)] = 0;
            }
            self.minute = minute;
        }
    }
}

fn place(minute: i64) -> usize {
    usize::try_from(minute.rem_euclid(MINUTES)).expect("a remainder of ten is small")
}

fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn failed_logins_are_forgotten_after_ten_minutes() {
        let mut sources = Sources::default();
        let address = "192.0.2.1".parse().unwrap();
        let mut check = |minute: i64, failed, port, expected: (u32, usize)| {
            let record = sources.note(address, minute * MINUTE, failed, port);
            assert_eq!((record.failed, record.ports), expected, "minute {minute}");
        };
        check(100, 1, 23, (1, 1));
        check(101, 1, 2323, (2, 2));
        check(109, 0, 23, (2, 2));
        check(110, 1, 23, (2, 2));
        check(111, 1, 23, (2, 2));
        check(105, 1, 23, (3, 2));
        check(300, 1, 22, (1, 1));
    }

    #[test]
    fn a_customer_is_a_source() {
        let mut sources = Sources::default();
        let mut note = |address: &str| sources.note(address.parse().unwrap(), 0, 1, 22).failed;
        assert_eq!((note("2001:db8::1"), note("2001:db8::2"), note("2001:db8:0:1::1")), (1, 2, 1));
        assert_eq!((note("::ffff:192.0.2.1"), note("192.0.2.1")), (1, 2));
    }

    #[test]
    fn sources_are_bounded() {
        let mut sources = Sources::default();
        let address = |number: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(number));
        for number in 0..100_000 {
            sources.note(address(number), 0, 1, 22);
        }
        assert!(sources.young.len() + sources.old.len() <= 2 * SOURCES_MAX);
        assert_eq!(sources.note(address(99_999), 0, 1, 22).failed, 2, "the newest is remembered");
        assert_eq!(sources.note(address(0), 0, 1, 22).failed, 1, "the oldest is forgotten");
    }
}
