//! What may never become an indicator.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use komainu_model::{DomainName, IndicatorRefusal, IndicatorValue, SpecialAddress};

use super::shared;
use crate::scanners::{Scanners, UnusableLine};

/// How long an indicator counts when nobody says it: servers of botnets are rarely at one address for longer, and an address
/// gets another owner.
const VALID_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// What may become an indicator by itself.
#[derive(Debug)]
pub struct IndicatorPolicy {
    /// Addresses that only stand in documents (RFC 5737, RFC 3849, RFC 9637) and the names of RFC 2606 may be indicators. For
    /// demonstrations and tests.
    pub documentation_allowed: bool,
    /// How long an indicator counts when nobody says it.
    pub valid_for: Duration,
    /// The operator's own networks.
    pub own_networks: Vec<IpNet>,
    /// The operator's own names, and those below them.
    pub own_names: Vec<DomainName>,
    /// Networks that many share.
    shared: Scanners,
}

/// Why something is no indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// It tells nothing about a stranger, whoever says it.
    Never(IndicatorRefusal),
    /// It would take too many with it, unless a person has looked at it.
    WithoutReview(IndicatorRefusal),
}

impl Default for IndicatorPolicy {
    /// With our own small list of what many share.
    fn default() -> Self {
        let mut shared = Scanners::default();
        shared.add(shared::NETWORKS);
        Self {
            documentation_allowed: false,
            valid_for: VALID_FOR,
            own_networks: Vec::new(),
            own_names: Vec::new(),
            shared,
        }
    }
}

impl IndicatorPolicy {
    /// Adds a list of networks that many share: a network or an address a line, `# name` names those that follow. Gives back
    /// what it cannot use.
    pub fn add_shared(&mut self, text: &str) -> Vec<UnusableLine> {
        const HEADING: &str = "# a network that many share\n";
        let mut unusable = self.shared.add(&format!("{HEADING}{text}"));
        // The heading is ours, the lines are counted as their writer does.
        unusable.iter_mut().for_each(|line| line.line -= 1);
        unusable
    }

    /// What there is against `value`. `is_own` knows the addresses of the fleet and of the sensors.
    pub fn objection(&self, value: &IndicatorValue, is_own: &dyn Fn(IpAddr) -> bool) -> Option<Objection> {
        match value {
            IndicatorValue::Address { address, .. } => self.against_address(*address, is_own),
            IndicatorValue::Name(name) => self.against_name(name),
        }
    }

    /// Whether an address belongs to somebody on the internet: whether it is worth remembering that a device was in contact
    /// with it.
    pub fn is_of_a_stranger(&self, address: IpAddr) -> bool {
        self.no_stranger(address).is_none()
    }

    fn against_address(&self, address: IpAddr, is_own: &dyn Fn(IpAddr) -> bool) -> Option<Objection> {
        if let Some(kind) = self.no_stranger(address) {
            return Some(Objection::Never(IndicatorRefusal::Address(kind)));
        }
        if self.own_networks.iter().any(|network| network.contains(&address)) {
            return Some(Objection::Never(IndicatorRefusal::OwnNetwork));
        }
        if is_own(address) {
            return Some(Objection::WithoutReview(IndicatorRefusal::OwnFleet));
        }
        let shared = self.shared.of_address(address)?;
        Some(Objection::WithoutReview(IndicatorRefusal::Shared(shared.name.to_string())))
    }

    fn against_name(&self, name: &DomainName) -> Option<Objection> {
        // RFC 2606, RFC 6761, RFC 6762, RFC 7686, RFC 8375.
        const NOT_PUBLIC: [&str; 8] =
            ["local", "localhost", "internal", "lan", "arpa", "invalid", "home.arpa", "onion"];
        const DOCUMENTATION: [&str; 5] = ["example", "example.com", "example.net", "example.org", "test"];
        if NOT_PUBLIC.iter().any(|other| name.is_within(other)) {
            return Some(Objection::Never(IndicatorRefusal::LocalName));
        }
        if !self.documentation_allowed && DOCUMENTATION.iter().any(|other| name.is_within(other)) {
            return Some(Objection::Never(IndicatorRefusal::DocumentationName));
        }
        let takes = |other: &str| DomainName::parse(other).is_ok_and(|other| other.is_within(name.as_str()));
        if self.own_names.iter().any(|own| name.is_within(own.as_str()) || own.is_within(name.as_str())) {
            return Some(Objection::Never(IndicatorRefusal::OwnName));
        }
        let shared = shared::NAMES.iter().find(|other| takes(other))?;
        Some(Objection::WithoutReview(IndicatorRefusal::TakesShared((*shared).to_owned())))
    }

    /// What kind of address it is, when no stranger on the internet has it (IANA's registries of special addresses).
    fn no_stranger(&self, address: IpAddr) -> Option<SpecialAddress> {
        match address {
            IpAddr::V4(address) => self.no_stranger_v4(address),
            IpAddr::V6(address) => self.no_stranger_v6(address),
        }
    }

    fn no_stranger_v4(&self, address: Ipv4Addr) -> Option<SpecialAddress> {
        let [first, second, third, _] = address.octets();
        match (first, second, third) {
            (0, ..) => Some(SpecialAddress::Unspecified),
            (127, ..) => Some(SpecialAddress::Loopback),
            _ if address.is_private() => Some(SpecialAddress::Private),
            (100, 64..128, _) => Some(SpecialAddress::CarrierTranslation),
            _ if address.is_link_local() => Some(SpecialAddress::LinkLocal),
            _ if address.is_documentation() && self.documentation_allowed => None,
            _ if address.is_documentation() => Some(SpecialAddress::Documentation),
            (198, 18..20, _) => Some(SpecialAddress::Measurements),
            (192, 0, 0) => Some(SpecialAddress::Protocol),
            (192, 88, 99) => Some(SpecialAddress::Relay),
            (224..240, ..) => Some(SpecialAddress::Multicast),
            (240.., ..) => Some(SpecialAddress::Broadcast),
            _ => None,
        }
    }

    fn no_stranger_v6(&self, address: Ipv6Addr) -> Option<SpecialAddress> {
        let inner = |high: u16, low: u16| {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            self.no_stranger_v4(Ipv4Addr::new(a, b, c, d))
        };
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Some(SpecialAddress::Unspecified),
            [0, 0, 0, 0, 0, 0, 0, 1] => Some(SpecialAddress::Loopback),
            // An address that carries another one is what that one is.
            [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
            [0x2002, high, low, ..] => inner(high, low),
            [0xff00..=0xffff, ..] => Some(SpecialAddress::Multicast),
            [0xfe80..0xfec0, ..] => Some(SpecialAddress::LinkLocal),
            [0xfc00..0xfe00, ..] => Some(SpecialAddress::UniqueLocal),
            [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] if self.documentation_allowed => None,
            [0x2001, 0xdb8, ..] => Some(SpecialAddress::DocumentationV6),
            [0x3fff, 0..0x1000, ..] => Some(SpecialAddress::DocumentationV6Long),
            [0x2000..0x4000, ..] => None,
            _ => Some(SpecialAddress::Reserved),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(policy: &IndicatorPolicy, value: &str) -> Option<Objection> {
        policy.objection(&IndicatorValue::parse(value).unwrap(), &|address| address == IpAddr::from([45, 9, 148, 77]))
    }

    #[test]
    fn every_special_address_is_refused() {
        let policy = IndicatorPolicy { own_networks: vec!["45.10.0.0/16".parse().unwrap()], ..Default::default() };
        let check = |value: &str, expected: Option<&str>| match (objection(&policy, value), expected) {
            (None, None) => {}
            (Some(Objection::Never(reason) | Objection::WithoutReview(reason)), Some(expected)) => {
                assert!(reason.to_string().contains(expected), "{value}: {reason}");
            }
            (found, _) => panic!("{value}: {found:?}"),
        };
        check("45.9.148.3:23", None);
        check("2a01:4f8::1", None);
        check("0.0.0.0", Some("unspecified"));
        check("127.0.0.1:23", Some("loopback"));
        check("10.0.0.1", Some("private"));
        check("172.31.255.255", Some("private"));
        check("192.168.1.1:80", Some("private"));
        check("100.64.0.1", Some("carrier"));
        check("169.254.169.254", Some("link-local"));
        check("192.0.2.1", Some("RFC 5737"));
        check("198.51.100.1", Some("RFC 5737"));
        check("203.0.113.66:23", Some("RFC 5737"));
        check("198.18.0.1", Some("measurements"));
        check("192.0.0.9", Some("protocol"));
        check("239.255.255.250:1900", Some("multicast"));
        check("255.255.255.255", Some("broadcast"));
        check("::1", Some("loopback"));
        check("fe80::1", Some("link-local"));
        check("fd00::1", Some("private"));
        check("ff02::1", Some("multicast"));
        check("2001:db8::1", Some("RFC 3849"));
        check("3fff:fff::1", Some("RFC 9637"));
        check("64:ff9b::a00:1", Some("private"));
        check("2002:7f00:1::", Some("loopback"));
        check("4000::1", Some("reserved"));
        check("45.10.3.4", Some("intel.own_networks"));
        check("45.9.148.77", Some("own fleet"));
        check("1.1.1.1", Some("public resolver (Cloudflare)"));
        check("[2606:4700:4700::1111]:443", Some("public resolver"));
        check("185.199.108.133:443", Some("GitHub"));
    }

    #[test]
    fn names_of_one_network_and_of_many_are_refused() {
        let own_names = vec![DomainName::parse("iot.example.co").unwrap()];
        let policy = IndicatorPolicy { own_names, ..Default::default() };
        let check = |value: &str, expected: Option<&str>| match (objection(&policy, value), expected) {
            (None, None) => {}
            (Some(Objection::Never(reason) | Objection::WithoutReview(reason)), Some(expected)) => {
                assert!(reason.to_string().contains(expected), "{value}: {reason}");
            }
            (found, _) => panic!("{value}: {found:?}"),
        };
        check("c2.evil.top", None);
        check("evil.duckdns.org", None);
        check("duckdns.org", Some("duckdns.org"));
        check("pool.ntp.org", Some("ntp.org"));
        check("ntp.org", Some("ntp.org"));
        check("camera.local", Some("one network"));
        check("c2.example.com", Some("documentation"));
        check("a.iot.example.co", Some("own name"));
        check("example.co", Some("own name"));
    }

    #[test]
    fn documentation_is_admitted_where_it_is_asked_for() {
        let policy = IndicatorPolicy { documentation_allowed: true, ..Default::default() };
        for value in ["203.0.113.66:23", "2001:db8::1", "3fff::1", "c2.example.net"] {
            assert_eq!(objection(&policy, value), None, "{value}");
        }
        assert!(objection(&policy, "10.0.0.1").is_some());
    }

    #[test]
    fn operators_add_what_many_share() {
        let mut policy = IndicatorPolicy::default();
        let unusable = policy.add_shared("45.9.148.0/24\nnonsense\n# Example Cloud\n45.9.149.0/24\n");
        assert_eq!(unusable.iter().map(|line| line.line).collect::<Vec<_>>(), [2]);
        let reason = |value| match objection(&policy, value) {
            Some(Objection::Never(reason) | Objection::WithoutReview(reason)) => reason.to_string(),
            None => String::new(),
        };
        assert!(reason("45.9.148.3").contains("a network that many share"), "{}", reason("45.9.148.3"));
        assert!(reason("45.9.149.3").contains("Example Cloud"));
    }
}
