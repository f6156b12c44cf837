//! Where a fetch may go: judged by address, after names were resolved and before anything is sent.
//!
//! What is permitted is listed, and all else is refused. Attackers choose the URLs: without this, a sensor would be their
//! way to whatever it can reach and they cannot.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::WhyNot;

/// Networks of IPv4 that are no hosts of the internet: first address, bits (IANA's registry of special-purpose
/// addresses, RFC 6890 and its followers), and one host of a cloud.
const NOT_GLOBAL_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),        // this network (RFC 791)
    ([10, 0, 0, 0], 8),       // private (RFC 1918)
    ([100, 64, 0, 0], 10),    // shared by customers of a carrier (RFC 6598); metadata of one cloud
    ([127, 0, 0, 0], 8),      // loopback (RFC 1122)
    ([168, 63, 129, 16], 32), // the platform of one cloud, as each of its machines sees it
    ([169, 254, 0, 0], 16),   // link-local (RFC 3927); metadata of most clouds
    ([172, 16, 0, 0], 12),    // private (RFC 1918)
    ([192, 0, 0, 0], 24),     // protocol assignments (RFC 6890); metadata of one cloud
    ([192, 0, 2, 0], 24),     // documentation (RFC 5737)
    ([192, 88, 99, 0], 24),   // relays of 6to4, given up (RFC 7526)
    ([192, 168, 0, 0], 16),   // private (RFC 1918)
    ([198, 18, 0, 0], 15),    // benchmarking (RFC 2544)
    ([198, 51, 100, 0], 24),  // documentation (RFC 5737)
    ([203, 0, 113, 0], 24),   // documentation (RFC 5737)
    ([224, 0, 0, 0], 4),      // multicast (RFC 5771)
    ([240, 0, 0, 0], 4),      // reserved (RFC 1112), and broadcast
];

/// The only network of IPv6 that is given to hosts (RFC 4291, 2.4). Outside of it lie loopback, link-local, unique local
/// (metadata of a cloud among them), site-local, multicast, discard, NAT64, and IPv4 in its two notations.
const GLOBAL_V6: (u128, u8) = (0x2000 << 112, 3);

/// What is no host within it.
const NOT_GLOBAL_V6: &[(u128, u8)] = &[
    (0x2001 << 112, 23),     // protocol assignments: Teredo, benchmarking, ORCHID (RFC 2928)
    (0x2001_0db8 << 96, 32), // documentation (RFC 3849)
    (0x2002 << 112, 16),     // 6to4, which carries an address of IPv4 (RFC 3056)
    (0x3ffe << 112, 16),     // the former 6bone (RFC 3701)
    (0x3fff << 112, 20),     // documentation (RFC 9637)
];

/// Whether an address is a host's on the internet. Addresses of IPv6 that carry one of IPv4 are not, whichever they
/// carry: no server needs them, and each is a way around the list.
pub(crate) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_GLOBAL_V4.iter().any(|(first, bits)| is_in_v4(address, *first, *bits)),
        IpAddr::V6(address) => {
            is_in_v6(address, GLOBAL_V6) && !NOT_GLOBAL_V6.iter().any(|network| is_in_v6(address, *network))
        }
    }
}

fn is_in_v4(address: Ipv4Addr, first: [u8; 4], bits: u8) -> bool {
    (u32::from(address) ^ u32::from_be_bytes(first)) >> (32 - bits) == 0
}

fn is_in_v6(address: Ipv6Addr, (first, bits): (u128, u8)) -> bool {
    (u128::from(address) ^ first) >> (128 - bits) == 0
}

/// Which addresses may be connected to.
#[derive(Debug, Clone)]
pub struct AddressPolicy {
    /// The sensor's own, besides those of its interfaces.
    own: Vec<IpAddr>,
    #[cfg(test)]
    permitted: Vec<IpAddr>,
}

impl AddressPolicy {
    /// Hosts of the internet, and none of the sensor's own addresses: those in `own`, such as the one by which it is
    /// reached from outside, and those of the machine's interfaces at the time of the fetch.
    pub fn global(own: Vec<IpAddr>) -> Self {
        let own = own.into_iter().map(|address| address.to_canonical()).collect();
        Self {
            own,
            #[cfg(test)]
            permitted: Vec::new(),
        }
    }

    /// The same, and some addresses whatever they are: servers of tests are on the loopback interface.
    #[cfg(test)]
    pub(crate) fn permitting(permitted: Vec<IpAddr>) -> Self {
        Self { own: Vec::new(), permitted }
    }

    /// Says why an address may not be connected to.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), WhyNot> {
        #[cfg(test)]
        if self.permitted.contains(&address) {
            return Ok(());
        }
        if !is_global(address) {
            return Err(WhyNot::AddressNotGlobal);
        }
        if self.own.contains(&address) || is_of_interface(address) {
            return Err(WhyNot::OwnAddress);
        }
        Ok(())
    }
}

/// Whether this machine has the address. Asked each time: leases change. When the system does not say, it is taken to be.
fn is_of_interface(address: IpAddr) -> bool {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return true };
    interfaces.filter_map(|interface| interface.address).any(|its| match address {
        IpAddr::V4(address) => its.as_sockaddr_in().is_some_and(|its| its.ip() == address),
        IpAddr::V6(address) => its.as_sockaddr_in6().is_some_and(|its| its.ip() == address),
    })
}

/// Ports below 1024 where files are offered: FTP, TFTP, and what web servers are put on.
const LOW_PORTS: &[u16] = &[21, 69, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 443, 444, 591, 800, 801, 808, 880, 888];

/// Ports from 1024 on where a request would be an attack on somebody rather than a fetch: databases, caches, printers,
/// desktops, file and name services, telephones, chat, and the shells of devices.
const HIGH_PORTS_REFUSED: &[u16] = &[
    1080, 1433, 1521, 1720, 1723, 1883, 2049, 2375, 2376, 3128, 3306, 3389, 3632, 4369, 5037, 5060, 5061, 5432, 5555,
    5672, 5900, 5984, 5985, 6000, 6379, 6665, 6666, 6667, 6668, 6669, 6697, 7547, 8883, 9042, 9100, 9200, 9300, 10161,
    11211, 27017,
];

/// Whether a port may be fetched from.
pub(crate) fn is_port_permitted(port: u16) -> bool {
    if port < 1024 { LOW_PORTS.contains(&port) } else { !HIGH_PORTS_REFUSED.contains(&port) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_host_of_the_internet() {
        let check = |expected: bool, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(is_global(address.parse().unwrap()), expected, "{address}");
            }
        };
        // The last before and the first behind each network that is refused.
        check(true, &["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"]);
        check(true, &["128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0"]);
        check(true, &["172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255"]);
        check(true, &["192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"]);
        check(true, &["198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "8.8.8.8"]);
        // The first and the last of each.
        check(false, &["0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255"]);
        check(false, &["100.100.100.200", "127.0.0.0", "127.0.0.1", "127.255.255.255", "168.63.129.16"]);
        check(false, &["169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0", "172.31.255.255"]);
        check(false, &["192.0.0.0", "192.0.0.192", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.1"]);
        check(false, &["192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.7"]);
        check(false, &["203.0.113.7", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.254"]);
        check(false, &["255.255.255.255"]);

        check(true, &["2001:200::1", "2001:4860:4860::8888", "2003::1", "2a00::1", "2606:4700::1111", "3ffd::1"]);
        check(false, &["::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:8.8.8.8", "::ffff:127.0.0.1"]);
        check(false, &["::ffff:0:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "100::1"]);
        check(false, &["100:0:0:1::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1"]);
        check(false, &["2001:20::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1"]);
        check(false, &["3ffe::1", "3fff::1", "3fff:fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254"]);
        check(false, &["fdff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ffff::1"]);
    }

    #[test]
    fn the_sensors_own_addresses_are_refused() {
        let policy = AddressPolicy::global(vec!["::ffff:8.8.8.8".parse().unwrap(), "2a00::1".parse().unwrap()]);
        assert_eq!(policy.check("8.8.8.8".parse().unwrap()), Err(WhyNot::OwnAddress));
        assert_eq!(policy.check("2a00::1".parse().unwrap()), Err(WhyNot::OwnAddress));
        assert_eq!(policy.check("127.0.0.1".parse().unwrap()), Err(WhyNot::AddressNotGlobal));
        assert_eq!(policy.check("9.9.9.9".parse().unwrap()), Ok(()));
        assert!(is_of_interface("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn ports() {
        let check = |expected: bool, ports: &[u16]| {
            for port in ports {
                assert_eq!(is_port_permitted(*port), expected, "{port}");
            }
        };
        check(true, &[21, 69, 80, 81, 443, 1024, 8080, 8443, 9999, 65535]);
        check(false, &[0, 1, 22, 23, 25, 53, 110, 111, 139, 143, 445, 465, 587, 993, 995, 3306, 6379, 9100, 11211]);
    }
}
