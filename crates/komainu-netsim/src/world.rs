//! What all parts of the simulated Internet share.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use komainu_trace::RawText;
use komainu_trace::network::{FlowNumber, NetworkAct};

use crate::internet::InternetError;
use crate::limits::{EXPECTED_MAX, PLACES_MAX};
use crate::names::Names;
use crate::player::Scripts;
use crate::random::Seed;
use crate::record::Record;
use crate::settings::Settings;
use crate::tls::Authority;

/// What all parts share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) seed: Seed,
    /// Since the begin.
    pub(crate) now: Duration,
    pub(crate) record: Record,
    pub(crate) names: Names,
    /// How many names that look generated there must be before they are told again.
    pub(crate) generated_tell_at: usize,
    pub(crate) authority: Authority,
    pub(crate) scripts: Scripts,
    /// Connections inside of TLS.
    pub(crate) tls_connections: usize,
    /// What waits for room in sockets, over all connections, in bytes.
    pub(crate) pending_bytes: usize,
    /// How many tries to be let in there were at each place.
    tries: BTreeMap<SocketAddr, u32>,
    /// Data connections that were announced, and for which upload.
    expected: BTreeMap<SocketAddr, Expected>,
}

/// What comes on a data connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The connection on which it was announced.
    pub(crate) control: FlowNumber,
    /// What happens on it; nothing yet when the command has not come.
    pub(crate) transfer: Transfer,
}

/// What a data connection carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// The command that says it has not come.
    Unknown,
    /// A file of the guest.
    Upload(RawText),
    /// A content for the guest.
    Download(Vec<u8>),
}

impl World {
    pub(crate) fn new(settings: Settings) -> Result<Self, InternetError> {
        let seed = Seed(settings.seed);
        Ok(Self {
            seed,
            now: Duration::ZERO,
            record: Record::new(settings.bounds.clone(), settings.clock_unix_s),
            names: Names::new(seed, settings.names.clone(), settings.names_v4, settings.names_v6),
            generated_tell_at: 4,
            authority: Authority::new()?,
            scripts: Scripts::read(&settings)?,
            tls_connections: 0,
            pending_bytes: 0,
            tries: BTreeMap::new(),
            expected: BTreeMap::new(),
            settings,
        })
    }

    /// Whether a name and a password are let in at a place; tells of the try.
    pub(crate) fn login(
        &mut self,
        flow: FlowNumber,
        service: &str,
        at: SocketAddr,
        (user, password): (&[u8], &[u8]),
    ) -> bool {
        let is_known = |pair: &(String, String)| pair.0.as_bytes() == user && pair.1.as_bytes() == password;
        let policy = &self.settings.logins;
        let mut accepted = policy.pairs.iter().any(is_known);
        if self.tries.len() < PLACES_MAX || self.tries.contains_key(&at) {
            let tries = self.tries.entry(at).or_default();
            *tries = tries.saturating_add(1);
            if policy.accept_after > 0 && *tries >= policy.accept_after {
                accepted = true;
                // Whoever comes again is a new guest with new tries.
                *tries = 0;
            }
        } else {
            self.record.lost("places of logins");
        }
        let act = NetworkAct::Login {
            flow,
            service: service.to_owned(),
            user: user.into(),
            password: password.into(),
            accepted,
        };
        self.record.event(self.now, act);
        accepted
    }

    /// The name of a host: the one that was given its address, or one as providers make them up.
    pub(crate) fn host_name(&self, address: IpAddr) -> String {
        if let Some(name) = self.names.of(address) {
            return String::from_utf8_lossy(&name.0).into_owned();
        }
        match address {
            IpAddr::V4(v4) if v4 == crate::link::ROUTER_V4 => "router.lan".into(),
            IpAddr::V4(v4) => format!("host-{}.example.net", v4.to_string().replace('.', "-")),
            IpAddr::V6(v6) => format!("host-{:x}.example.net", self.seed.number("host", &v6.octets()) >> 32),
        }
    }

    /// The address by which the guest is known outside.
    pub(crate) fn outside_address(&self) -> Ipv4Addr {
        // For documentation (RFC 5737), so that nobody's address is in a report.
        let host = 1 + self.seed.below("outside", b"", 254);
        Ipv4Addr::new(203, 0, 113, u8::try_from(host).expect("at most 254"))
    }

    /// The time that servers tell, in seconds since 1970 (UTC).
    pub(crate) fn clock_unix_s(&self) -> u64 {
        self.settings.clock_unix_s.saturating_add(self.now.as_secs())
    }

    /// Announces a data connection; false when there are too many.
    pub(crate) fn expect(&mut self, at: SocketAddr, expected: Expected) -> bool {
        if self.expected.len() >= EXPECTED_MAX && !self.expected.contains_key(&at) {
            self.record.lost("data connections");
            return false;
        }
        self.expected.insert(at, expected);
        true
    }

    /// What is expected at a place.
    pub(crate) fn expected(&self, at: SocketAddr) -> Option<&Expected> {
        self.expected.get(&at)
    }

    /// A data connection that is expected.
    #[cfg(test)]
    pub(crate) fn first_expected(&self) -> Option<SocketAddr> {
        self.expected.keys().next().copied()
    }

    /// A data connection is over, or not wanted any more.
    pub(crate) fn forget(&mut self, at: SocketAddr) {
        self.expected.remove(&at);
    }

    /// Tells what happened now.
    pub(crate) fn event(&mut self, act: NetworkAct) {
        self.record.event(self.now, act);
    }
}
