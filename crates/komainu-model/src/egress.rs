//! Where the server may send to when somebody else chooses the address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a webhook may be at. An address that a user names must not make the server talk to what only the
/// server can reach (server-side request forgery), above all a cloud's metadata service.
///
/// The name of an endpoint is judged when it is given, and its addresses again at each connection, for names can
/// change their addresses in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressRules {
    /// Addresses of this machine itself: 127.0.0.0/8, ::1.
    pub loopback: bool,
    /// Addresses of private networks: RFC 1918, RFC 6598, RFC 4193.
    pub private: bool,
    /// Link-local addresses and the metadata services of clouds.
    pub link_local: bool,
}

impl Default for EgressRules {
    /// Private networks and this machine are allowed, for webhooks of an installation on premises are there.
    /// Link-local addresses and metadata services are not.
    fn default() -> Self {
        Self { loopback: true, private: true, link_local: false }
    }
}

/// Why an address is not sent to. Displays as a fragment: `169.254.169.254 is a link-local address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressDenied {
    /// The address.
    pub address: IpAddr,
    /// What kind of address it is, with its article.
    pub kind: &'static str,
}

impl fmt::Display for EgressDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.address, self.kind)
    }
}

impl std::error::Error for EgressDenied {}

/// Metadata services that are not at link-local addresses: Alibaba Cloud, Oracle Cloud's platform, Azure's host.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
/// The metadata service of AWS over IPv6.
const METADATA_V6: [Ipv6Addr; 1] = [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)];

impl EgressRules {
    /// Whether `address` may be sent to.
    pub fn check(&self, address: IpAddr) -> Result<(), EgressDenied> {
        let (allowed, kind) = match Reach::of(address) {
            Reach::Anybody => return Ok(()),
            Reach::ThisMachine => (self.loopback, "an address of this machine"),
            Reach::PrivateNetwork => (self.private, "an address of a private network"),
            Reach::Link => (self.link_local, "a link-local address"),
            Reach::Metadata => (self.link_local, "a cloud's metadata service"),
            Reach::Nobody => (false, "an unspecified, multicast, broadcast or reserved address"),
        };
        if allowed { Ok(()) } else { Err(EgressDenied { address, kind }) }
    }
}

/// Whom an address reaches.
enum Reach {
    Anybody,
    ThisMachine,
    PrivateNetwork,
    Link,
    Metadata,
    Nobody,
}

impl Reach {
    fn of(address: IpAddr) -> Self {
        match innermost(address) {
            IpAddr::V4(v4) => {
                let [first, second, ..] = v4.octets();
                match first {
                    _ if METADATA_V4.contains(&v4) => Self::Metadata,
                    0 | 224.. => Self::Nobody,
                    _ if v4.is_loopback() => Self::ThisMachine,
                    _ if v4.is_link_local() => Self::Link,
                    _ if v4.is_private() || (first == 100 && (64..128).contains(&second)) => Self::PrivateNetwork,
                    _ => Self::Anybody,
                }
            }
            IpAddr::V6(v6) if METADATA_V6.contains(&v6) => Self::Metadata,
            IpAddr::V6(v6) if v6.is_unspecified() || v6.is_multicast() => Self::Nobody,
            IpAddr::V6(v6) if v6.is_loopback() => Self::ThisMachine,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Self::Link,
            IpAddr::V6(v6) if v6.is_unique_local() => Self::PrivateNetwork,
            IpAddr::V6(_) => Self::Anybody,
        }
    }
}

/// The IPv4 address inside an IPv6 address that only carries one: mapped, compatible, NAT64 (RFC 6052), 6to4.
fn innermost(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let v4_at = |at: usize| {
        let [a, b] = segments[at].to_be_bytes();
        let [c, d] = segments[at + 1].to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0, 0, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => v4_at(6),
        [0x2002, ..] => v4_at(1),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged_by_what_they_reach() {
        let check = |address: &str, [by_default, strict, open]: [bool; 3]| {
            let strictest = EgressRules { loopback: false, private: false, link_local: false };
            let widest = EgressRules { loopback: true, private: true, link_local: true };
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(EgressRules::default().check(address).is_ok(), by_default, "{address} by default");
            assert_eq!(strictest.check(address).is_ok(), strict, "{address} under the strictest rules");
            assert_eq!(widest.check(address).is_ok(), open, "{address} under the widest rules");
        };
        check("93.184.216.34", [true, true, true]);
        check("2606:2800:220:1::1", [true, true, true]);
        check("127.0.0.1", [true, false, true]);
        check("::1", [true, false, true]);
        check("::ffff:127.0.0.1", [true, false, true]);
        check("10.1.2.3", [true, false, true]);
        check("192.168.1.1", [true, false, true]);
        check("100.64.0.1", [true, false, true]);
        check("fd12::1", [true, false, true]);
        check("169.254.169.254", [false, false, true]);
        check("::ffff:169.254.169.254", [false, false, true]);
        check("::169.254.169.254", [false, false, true]);
        check("64:ff9b::a9fe:a9fe", [false, false, true]);
        check("2002:a9fe:a9fe::1", [false, false, true]);
        check("fe80::1", [false, false, true]);
        check("fd00:ec2::254", [false, false, true]);
        check("100.100.100.200", [false, false, true]);
        check("168.63.129.16", [false, false, true]);
        check("0.0.0.0", [false, false, false]);
        check("0.1.2.3", [false, false, false]);
        check("::", [false, false, false]);
        check("224.0.0.1", [false, false, false]);
        check("255.255.255.255", [false, false, false]);
        check("ff02::1", [false, false, false]);
    }
}
