//! Scanners that are known: those who count the Internet's devices and say so.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// Networks of all lists. Published lists have some thousands.
const NETWORKS_MAX: usize = 200_000;
/// The longest line of a list, in bytes.
const LINE_BYTES_MAX: usize = 1024;
/// Bytes of a `User-Agent` that are looked through.
const AGENT_BYTES_MAX: usize = 512;

/// What scanners call themselves (`User-Agent`), in lower case, and their names. Each says so on its own pages.
const AGENTS: &[(&str, &str)] = &[
    ("censysinspect", "Censys"),
    ("shodan", "Shodan"),
    ("shadowserver", "Shadowserver"),
    ("internet-measurement.com", "driftnet"),
    ("internetmeasurement", "driftnet"),
    ("expanse, a palo alto networks company", "Cortex Xpanse"),
    ("paloaltonetworks.com", "Cortex Xpanse"),
    ("netsystemsresearch", "NetSystems Research"),
    ("onyphe", "ONYPHE"),
    ("leakix", "LeakIX"),
    ("l9explore", "LeakIX"),
    ("zgrab", "ZGrab"),
    ("masscan", "masscan"),
    ("project 25499", "Project 25499"),
    ("criminalip", "Criminal IP"),
    ("bitsightbot", "BitSight"),
    ("securitytrails", "SecurityTrails"),
    ("binaryedge", "BinaryEdge"),
    ("ipip.net", "IPIP.NET"),
    ("researchscan", "Researchscan"),
    ("stretchoid", "Stretchoid"),
    ("censys.io", "Censys"),
];

/// Programs that anybody may use: that they name themselves does not make them benign.
const TOOLS: &[&str] = &["ZGrab", "masscan"];

/// A scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanner {
    /// Its name.
    pub name: String,
    /// Whether its address is on a list of benign scanners. What somebody only says of themselves is never enough.
    pub is_benign: bool,
}

/// A line of a list that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableLine {
    /// Which, from 1.
    pub line: usize,
    /// Why.
    pub reason: String,
}

/// Lists of scanners.
#[derive(Debug, Default)]
pub struct Scanners {
    names: Vec<String>,
    /// The name of each network, by the length of its prefix: an address is looked up once for each length there is.
    networks: HashMap<IpNet, usize, ahash::RandomState>,
    /// Lengths of prefixes that there are: of IPv4, of IPv6, longest first.
    lengths: [Vec<u8>; 2],
}

impl Scanners {
    /// Reads a list: a network or an address a line. `# name` names those that follow. Gives back what it cannot use.
    pub fn add(&mut self, text: &str) -> Vec<UnusableLine> {
        let mut unusable = Vec::new();
        let mut name = None;
        for (index, line) in text.lines().enumerate() {
            let mut refuse = |reason: String| unusable.push(UnusableLine { line: index + 1, reason });
            let line = line.trim();
            if line.len() > LINE_BYTES_MAX {
                refuse(format!("it has more than {LINE_BYTES_MAX} bytes"));
            } else if let Some(heading) = line.strip_prefix('#') {
                name = Some(heading.trim()).filter(|heading| !heading.is_empty());
            } else if !line.is_empty() {
                let address = line.split_once('#').map_or(line, |(address, _)| address).trim();
                let network = address.parse::<IpNet>().or_else(|_| address.parse::<IpAddr>().map(IpNet::from));
                match network {
                    Err(_) => refuse("it is neither an address nor a network".into()),
                    Ok(_) if self.networks.len() >= NETWORKS_MAX => {
                        refuse(format!("there are already {NETWORKS_MAX} networks"));
                    }
                    Ok(network) => self.insert(network.trunc(), name.unwrap_or("listed scanner")),
                }
            }
        }
        unusable
    }

    fn insert(&mut self, network: IpNet, name: &str) {
        let name = match self.names.iter().rposition(|known| known == name) {
            Some(index) => index,
            None => {
                self.names.push(name.to_owned());
                self.names.len() - 1
            }
        };
        self.networks.insert(network, name);
        let lengths = &mut self.lengths[usize::from(network.addr().is_ipv6())];
        if let Err(at) = lengths.binary_search_by(|known| network.prefix_len().cmp(known)) {
            lengths.insert(at, network.prefix_len());
        }
    }

    /// How many networks there are.
    pub fn len(&self) -> usize {
        self.networks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// The scanner that an address belongs to.
    pub(crate) fn of_address(&self, address: IpAddr) -> Option<Scanner> {
        let lengths = &self.lengths[usize::from(address.is_ipv6())];
        let index = lengths.iter().find_map(|length| {
            let network = IpNet::new(address, *length).ok()?.trunc();
            self.networks.get(&network)
        })?;
        Some(Scanner { name: self.names[*index].clone(), is_benign: true })
    }
}

/// The scanner that somebody says to be.
pub(crate) fn of_agent(agent: &[u8]) -> Option<Scanner> {
    let agent = String::from_utf8_lossy(&agent[..agent.len().min(AGENT_BYTES_MAX)]).to_ascii_lowercase();
    let known = AGENTS.iter().find(|(part, _)| agent.contains(part));
    known.map(|(_, name)| Scanner { name: (*name).to_owned(), is_benign: false })
}

/// Whether a name is that of those who run a scanner, not of a program that anybody runs.
pub(crate) fn is_somebody(scanner: &Scanner) -> bool {
    !TOOLS.contains(&scanner.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_on_lists() {
        let mut scanners = Scanners::default();
        let unusable = scanners.add(
            "192.0.2.1\n# Example\n198.51.100.0/24 # the first\n198.51.100.128/25\n2001:db8::/32\n\n#\n203.0.113.9\nexample.org\n",
        );
        assert_eq!(unusable, [UnusableLine { line: 9, reason: "it is neither an address nor a network".into() }]);
        assert_eq!(scanners.len(), 5);
        let check = |address: &str, expected: Option<&str>| {
            let found = scanners.of_address(address.parse().unwrap());
            assert_eq!(found.as_ref().map(|scanner| scanner.name.as_str()), expected, "{address}");
            assert!(found.is_none_or(|scanner| scanner.is_benign));
        };
        check("192.0.2.1", Some("listed scanner"));
        check("192.0.2.2", None);
        check("198.51.100.7", Some("Example"));
        check("198.51.100.200", Some("Example"));
        check("2001:db8:1::1", Some("Example"));
        check("203.0.113.9", Some("listed scanner"));
        check("2001:db9::1", None);
    }

    #[test]
    fn what_scanners_call_themselves() {
        let check = |agent: &str, expected: Option<&str>| {
            let found = of_agent(agent.as_bytes());
            assert!(found.as_ref().is_none_or(|scanner| !scanner.is_benign), "words are not enough");
            assert_eq!(found.map(|scanner| scanner.name).as_deref(), expected);
        };
        check("Mozilla/5.0 (compatible; CensysInspect/1.1; +https://about.censys.io/)", Some("Censys"));
        check("Mozilla/5.0 zgrab/0.x", Some("ZGrab"));
        check("curl/8.0", None);
    }
}
