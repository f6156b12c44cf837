//! The indicators that devices are judged by, made for asking often.

use std::collections::HashMap;
use std::net::IpAddr;

use ahash::RandomState;
use komainu_model::{DomainName, IndicatorId, IndicatorValue, Remote, RemoteHost, Transport};

/// So many indicators are in a set; at the bound a further one is not taken. Those with an IPv4 address take about 50 MB.
pub const INDICATORS_MAX: usize = 1_000_000;

/// Stands for every port: no connection has port 0.
const EVERY_PORT: u16 = 0;

/// Indicators, looked up by address, by address and port, and by name and the names above it. A look-up takes the same time
/// however many there are. It is copied as a whole to become another one: a reader keeps the one that it has.
#[derive(Debug, Clone, Default)]
pub struct IndicatorSet {
    v4: HashMap<(u32, u16), IndicatorId, RandomState>,
    v6: HashMap<([u8; 16], u16), IndicatorId, RandomState>,
    names: HashMap<DomainName, IndicatorId, RandomState>,
}

impl IndicatorSet {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len() + self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes an indicator; says whether there was room for it. One about UDP only is not kept: devices report TCP
    /// connections, and no report could name it.
    pub fn insert(&mut self, value: &IndicatorValue, id: IndicatorId) -> bool {
        if self.len() >= INDICATORS_MAX && !self.contains(value) {
            return false;
        }
        match value {
            IndicatorValue::Address { transport: Some(Transport::Udp), .. } => {}
            IndicatorValue::Address { address: IpAddr::V4(address), port, .. } => {
                self.v4.insert((u32::from(*address), port.unwrap_or(EVERY_PORT)), id);
            }
            IndicatorValue::Address { address: IpAddr::V6(address), port, .. } => {
                self.v6.insert((address.octets(), port.unwrap_or(EVERY_PORT)), id);
            }
            IndicatorValue::Name(name) => {
                self.names.insert(name.clone(), id);
            }
        }
        true
    }

    /// Lets an indicator go. `203.0.113.66:23` and `203.0.113.66:23/tcp` are two indicators in one place: what is in the
    /// place stays when it is the other one.
    pub fn remove(&mut self, value: &IndicatorValue, id: IndicatorId) {
        match value {
            IndicatorValue::Address { address: IpAddr::V4(address), port, .. } => {
                let place = (u32::from(*address), port.unwrap_or(EVERY_PORT));
                if self.v4.get(&place) == Some(&id) {
                    self.v4.remove(&place);
                }
            }
            IndicatorValue::Address { address: IpAddr::V6(address), port, .. } => {
                let place = (address.octets(), port.unwrap_or(EVERY_PORT));
                if self.v6.get(&place) == Some(&id) {
                    self.v6.remove(&place);
                }
            }
            IndicatorValue::Name(name) => {
                self.names.remove(name);
            }
        }
    }

    /// Whether there is an indicator in the place of this value.
    pub fn contains(&self, value: &IndicatorValue) -> bool {
        match value {
            IndicatorValue::Address { address: IpAddr::V4(address), port, .. } => {
                self.v4.contains_key(&(u32::from(*address), port.unwrap_or(EVERY_PORT)))
            }
            IndicatorValue::Address { address: IpAddr::V6(address), port, .. } => {
                self.v6.contains_key(&(address.octets(), port.unwrap_or(EVERY_PORT)))
            }
            IndicatorValue::Name(name) => self.names.contains_key(name),
        }
    }

    /// Shows `found` each indicator that names `remote`: its address, its address and port, its name, a name above it.
    #[inline]
    pub fn find(&self, remote: &Remote, mut found: impl FnMut(IndicatorId)) {
        match &remote.host {
            RemoteHost::Address(address) => self.find_address(*address, remote.port, found),
            RemoteHost::Name(name) => {
                if self.names.is_empty() {
                    return;
                }
                let labels = std::iter::successors(Some(name.as_str()), |name| Some(name.split_once('.')?.1));
                for name in labels {
                    // A single label is no name.
                    let Ok(name) = DomainName::parse(name) else { return };
                    if let Some(id) = self.names.get(&name) {
                        found(*id);
                    }
                }
            }
        }
    }

    /// The same for an address. Without a port, only indicators for every port are found.
    #[inline]
    pub fn find_address(&self, address: IpAddr, port: Option<u16>, mut found: impl FnMut(IndicatorId)) {
        let ports = [Some(EVERY_PORT), port.filter(|port| *port != EVERY_PORT)];
        for port in ports.into_iter().flatten() {
            let id = match address {
                IpAddr::V4(address) => self.v4.get(&(u32::from(address), port)),
                IpAddr::V6(address) => self.v6.get(&(address.octets(), port)),
            };
            if let Some(id) = id {
                found(*id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> IndicatorId {
        IndicatorId::from_bytes([number; 16])
    }

    fn remote(text: &str) -> Remote {
        match IndicatorValue::parse(text).unwrap() {
            IndicatorValue::Address { address, port, .. } => Remote { host: RemoteHost::Address(address), port },
            IndicatorValue::Name(name) => Remote { host: RemoteHost::Name(name), port: None },
        }
    }

    #[test]
    fn what_is_named_is_found() {
        let mut set = IndicatorSet::default();
        for (number, value) in [
            (1, "203.0.113.66"),
            (2, "203.0.113.66:23"),
            (3, "[2001:db8::1]:48101"),
            (4, "c2.example.net"),
            (5, "203.0.113.7:53/udp"),
        ] {
            assert!(set.insert(&IndicatorValue::parse(value).unwrap(), id(number)));
        }
        let check = |text: &str, expected: &[u8]| {
            let mut found = Vec::new();
            set.find(&remote(text), |id| found.push(id.bytes()[0]));
            assert_eq!(found, expected, "{text}");
        };
        check("203.0.113.66", &[1]);
        check("203.0.113.66:80", &[1]);
        check("203.0.113.66:23", &[1, 2]);
        check("203.0.113.67:23", &[]);
        check("[2001:db8::1]:48101", &[3]);
        check("[2001:db8::1]:23", &[]);
        check("2001:db8::1", &[]);
        check("c2.example.net", &[4]);
        check("a.b.c2.example.net", &[4]);
        check("xc2.example.net", &[]);
        check("example.net", &[]);
        check("203.0.113.7:53", &[]);
    }

    #[test]
    fn what_is_let_go_is_not_found() {
        let mut set = IndicatorSet::default();
        let (plain, tcp) =
            (IndicatorValue::parse("203.0.113.66:23").unwrap(), IndicatorValue::parse("203.0.113.66:23/tcp").unwrap());
        set.insert(&plain, id(1));
        set.insert(&tcp, id(2));
        set.remove(&plain, id(1));
        assert!(set.contains(&tcp), "the other one stays");
        set.remove(&tcp, id(2));
        assert!(set.is_empty());
    }
}
