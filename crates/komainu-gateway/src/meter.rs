//! What the gateway measures of each device: the source of the cloud-side metrics.
//!
//! Counting is a handful of atomic additions, so it stands on the path of every message; whoever wants to know takes
//! the sums with [`Meters::drain`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use komainu_model::{ReporterName, Scope};
use komainu_ports::MeterReading;
use parking_lot::Mutex;

/// Source addresses that are kept for one device between two readings. AWS's set metrics are bounded as well; a device
/// with more addresses than this has been seen as unusual long before.
const SOURCE_ADDRESSES_MAX: usize = 64;

/// The meters of all devices.
#[derive(Debug)]
pub(crate) struct Meters {
    /// Ordered, so that readings come out in the same order in every run.
    devices: Mutex<BTreeMap<(Scope, ReporterName), Arc<Meter>>>,
    devices_max: usize,
}

impl Meters {
    /// No devices yet, and never more than `devices_max` at once.
    pub(crate) fn new(devices_max: usize) -> Self {
        Self { devices: Mutex::default(), devices_max }
    }

    /// The meter of a device. `None` when so many devices are metered already that this one cannot be: one certificate
    /// with ever new client ids must not fill the memory.
    pub(crate) fn of(&self, scope: &Scope, reporter: &ReporterName) -> Option<Arc<Meter>> {
        let mut devices = self.devices.lock();
        let key = (scope.clone(), reporter.clone());
        if let Some(meter) = devices.get(&key) {
            return Some(meter.clone());
        }
        if devices.len() >= self.devices_max {
            return None;
        }
        let meter = Arc::new(Meter::default());
        devices.insert(key, meter.clone());
        Some(meter)
    }

    /// Whether a device has a connection now. One that is not metered, because too many are, has none that is known.
    pub(crate) fn is_connected(&self, scope: &Scope, reporter: &ReporterName) -> bool {
        let devices = self.devices.lock();
        devices.get(&(scope.clone(), reporter.clone())).is_some_and(|meter| meter.connections.load(Relaxed) > 0)
    }

    /// Appends a reading for each device that is connected or did something since the last call, and forgets the
    /// devices that did neither.
    pub(crate) fn drain(&self, readings: &mut Vec<MeterReading>) {
        self.devices.lock().retain(|(scope, reporter), meter| match meter.read(scope, reporter) {
            Some(reading) => {
                readings.push(reading);
                true
            }
            // Whoever else holds the meter may still count on it; `of` hands it out under the same lock.
            None => Arc::strong_count(meter) > 1,
        });
    }
}

/// The counters of one device since the last reading.
#[derive(Debug)]
pub(crate) struct Meter {
    messages_sent: AtomicU64,
    messages_received: AtomicU64,
    /// `u64::MAX` when there was no message.
    message_bytes_min: AtomicU64,
    message_bytes_max: AtomicU64,
    authorization_failures: AtomicU64,
    connection_attempts: AtomicU64,
    disconnects: AtomicU64,
    /// Connections now; not reset by a reading.
    connections: AtomicU32,
    source_addresses: Mutex<Vec<SourceAddress>>,
}

#[derive(Debug)]
struct SourceAddress {
    address: IpAddr,
    /// Connections from it now; at none, the address leaves with the next reading.
    connections: u32,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            messages_sent: AtomicU64::new(0),
            messages_received: AtomicU64::new(0),
            message_bytes_min: AtomicU64::new(u64::MAX),
            message_bytes_max: AtomicU64::new(0),
            authorization_failures: AtomicU64::new(0),
            connection_attempts: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
            connections: AtomicU32::new(0),
            source_addresses: Mutex::default(),
        }
    }
}

impl Meter {
    /// Counts a message from the device.
    pub(crate) fn count_sent(&self, payload_bytes: usize) {
        self.messages_sent.fetch_add(1, Relaxed);
        self.count_bytes(payload_bytes);
    }

    /// Counts a message to the device.
    pub(crate) fn count_received(&self, payload_bytes: usize) {
        self.messages_received.fetch_add(1, Relaxed);
        self.count_bytes(payload_bytes);
    }

    fn count_bytes(&self, payload_bytes: usize) {
        let bytes = payload_bytes as u64;
        // Looking first keeps the usual case, a message of a size seen before, free of a second and third locked
        // instruction.
        if bytes < self.message_bytes_min.load(Relaxed) {
            self.message_bytes_min.fetch_min(bytes, Relaxed);
        }
        if bytes > self.message_bytes_max.load(Relaxed) {
            self.message_bytes_max.fetch_max(bytes, Relaxed);
        }
    }

    /// Counts a denied action.
    pub(crate) fn count_denied(&self) {
        self.authorization_failures.fetch_add(1, Relaxed);
    }

    /// Counts an attempt to connect, whatever becomes of it.
    pub(crate) fn count_attempt(&self, from: IpAddr) {
        self.connection_attempts.fetch_add(1, Relaxed);
        self.note_address(from, 0);
    }

    /// Notes the beginning of a connection; the end is noted with [`Self::ended`].
    pub(crate) fn began(&self, from: IpAddr) {
        self.connections.fetch_add(1, Relaxed);
        self.note_address(from, 1);
    }

    /// Notes the end of a connection that had begun.
    pub(crate) fn ended(&self, from: IpAddr) {
        self.connections.fetch_sub(1, Relaxed);
        let mut addresses = self.source_addresses.lock();
        if let Some(known) = addresses.iter_mut().find(|known| known.address == from) {
            known.connections = known.connections.saturating_sub(1);
        }
    }

    /// Counts the end of a connection, as the device's metrics have it.
    pub(crate) fn count_disconnect(&self) {
        self.disconnects.fetch_add(1, Relaxed);
    }

    fn note_address(&self, address: IpAddr, connections: u32) {
        let mut addresses = self.source_addresses.lock();
        if let Some(known) = addresses.iter_mut().find(|known| known.address == address) {
            known.connections += connections;
        } else if addresses.len() < SOURCE_ADDRESSES_MAX {
            addresses.push(SourceAddress { address, connections });
        }
    }

    /// Takes the counts; `None` when the device is not connected and did nothing.
    fn read(&self, scope: &Scope, reporter: &ReporterName) -> Option<MeterReading> {
        let bytes_min = self.message_bytes_min.swap(u64::MAX, Relaxed);
        let bytes_max = self.message_bytes_max.swap(0, Relaxed);
        let mut addresses = self.source_addresses.lock();
        let mut source_addresses: Vec<IpAddr> = addresses.iter().map(|known| known.address).collect();
        addresses.retain(|known| known.connections > 0);
        drop(addresses);
        source_addresses.sort_unstable();
        let reading = MeterReading {
            scope: scope.clone(),
            reporter: reporter.clone(),
            connected: self.connections.load(Relaxed) > 0,
            messages_sent: self.messages_sent.swap(0, Relaxed),
            messages_received: self.messages_received.swap(0, Relaxed),
            // A reading between a message's two updates sees one of them; the other belongs to the next reading.
            message_bytes: (bytes_min != u64::MAX).then(|| (bytes_min, bytes_max.max(bytes_min))),
            authorization_failures: self.authorization_failures.swap(0, Relaxed),
            connection_attempts: self.connection_attempts.swap(0, Relaxed),
            disconnects: self.disconnects.swap(0, Relaxed),
            source_addresses,
        };
        let did_something = reading.messages_sent > 0
            || reading.messages_received > 0
            || reading.message_bytes.is_some()
            || reading.authorization_failures > 0
            || reading.connection_attempts > 0
            || reading.disconnects > 0;
        (reading.connected || did_something).then_some(reading)
    }
}

#[cfg(test)]
mod tests {
    use komainu_model::{AccountId, Region};

    use super::*;

    fn scope() -> Scope {
        Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-west-1").unwrap() }
    }

    fn name(text: &str) -> ReporterName {
        ReporterName::parse(text).unwrap()
    }

    fn drain(meters: &Meters) -> Vec<MeterReading> {
        let mut readings = Vec::new();
        meters.drain(&mut readings);
        readings
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn who_is_connected_is_known_at_any_time() {
        let meters = Meters::new(10);
        let is_connected = |who: &str| meters.is_connected(&scope(), &name(who));
        let meter = meters.of(&scope(), &name("pump")).unwrap();
        meter.count_attempt(HERE);
        assert!(!is_connected("pump"));
        meter.began(HERE);
        // Asking and reading change nothing.
        drain(&meters);
        assert!(is_connected("pump") && is_connected("pump") && !is_connected("lamp"));
        meter.ended(HERE);
        assert!(!is_connected("pump"));
    }

    #[test]
    fn a_reading_has_everything_since_the_last_one() {
        let meters = Meters::new(10);
        let meter = meters.of(&scope(), &name("pump")).unwrap();
        meter.count_attempt(HERE);
        meter.began(HERE);
        meter.count_sent(10);
        meter.count_sent(30);
        meter.count_received(20);
        meter.count_denied();

        let expected = MeterReading {
            scope: scope(),
            reporter: name("pump"),
            connected: true,
            messages_sent: 2,
            messages_received: 1,
            message_bytes: Some((10, 30)),
            authorization_failures: 1,
            connection_attempts: 1,
            disconnects: 0,
            source_addresses: vec![HERE],
        };
        assert_eq!(drain(&meters), std::slice::from_ref(&expected));

        let idle = MeterReading {
            messages_sent: 0,
            messages_received: 0,
            message_bytes: None,
            authorization_failures: 0,
            connection_attempts: 0,
            ..expected
        };
        assert_eq!(drain(&meters), std::slice::from_ref(&idle), "connected, but nothing happened");

        meter.ended(HERE);
        meter.count_disconnect();
        let left = MeterReading { connected: false, disconnects: 1, ..idle };
        assert_eq!(drain(&meters), [left]);
        drop(meter);
        assert_eq!(drain(&meters), []);
        assert!(meters.devices.lock().is_empty(), "a device that is gone is forgotten");
    }

    #[test]
    fn an_empty_message_has_a_size() {
        let meters = Meters::new(10);
        meters.of(&scope(), &name("pump")).unwrap().count_sent(0);
        assert_eq!(drain(&meters)[0].message_bytes, Some((0, 0)));
    }

    #[test]
    fn a_meter_that_is_held_is_not_forgotten() {
        let meters = Meters::new(10);
        let meter = meters.of(&scope(), &name("pump")).unwrap();
        assert_eq!(drain(&meters), []);
        meter.count_sent(1);
        assert_eq!(drain(&meters).len(), 1);
    }

    #[test]
    fn devices_are_bounded_and_ordered() {
        let meters = Meters::new(2);
        for device in ["b", "a"] {
            meters.of(&scope(), &name(device)).unwrap().count_attempt(HERE);
        }
        assert!(meters.of(&scope(), &name("c")).is_none());
        assert!(meters.of(&scope(), &name("a")).is_some(), "a device that is metered already stays so");
        let names: Vec<_> = drain(&meters).into_iter().map(|reading| reading.reporter).collect();
        assert_eq!(names, [name("a"), name("b")]);
        drain(&meters);
        assert!(meters.of(&scope(), &name("c")).is_some(), "there is room again");
    }

    #[test]
    fn source_addresses_are_bounded_and_leave_with_the_connection() {
        let meters = Meters::new(1);
        let meter = meters.of(&scope(), &name("pump")).unwrap();
        let address = |last: u8| IpAddr::from([198, 51, 100, last]);
        meter.began(address(200));
        (0..100).for_each(|last| meter.count_attempt(address(last)));
        assert_eq!(drain(&meters)[0].source_addresses.len(), SOURCE_ADDRESSES_MAX);
        assert_eq!(drain(&meters)[0].source_addresses, [address(200)]);
        meter.ended(address(200));
        meter.count_disconnect();
        assert_eq!(drain(&meters)[0].source_addresses, [address(200)], "it was connected from there until now");
        meter.count_sent(1);
        assert!(drain(&meters)[0].source_addresses.is_empty());
    }
}
