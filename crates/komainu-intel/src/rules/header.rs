//! The first half of a rule: which flows it is for.

use std::net::IpAddr;

use ipnet::IpNet;
use komainu_decode::{Protocol, Side, Transport};

use super::buffer;

/// Entries of one list of addresses or ports, those of inner lists included. More would make each check slow.
const LIST_ENTRIES_MAX: usize = 256;
/// How deep lists may stand in each other.
const LIST_DEPTH_MAX: usize = 4;

/// Between whom something was said, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) transport: Transport,
    pub(crate) client: IpAddr,
    pub(crate) client_port: u16,
    pub(crate) server: IpAddr,
    pub(crate) server_port: u16,
    pub(crate) protocol: Option<Protocol>,
}

/// The first half of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) carrier: Carrier,
    source: End,
    destination: End,
    is_both_ways: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Any,
    Transport(Transport),
    Protocol(Protocol),
}

impl Carrier {
    /// Whether all that it carries are datagrams; DNS and SIP over TCP are left out of account.
    pub(crate) fn is_datagrams(self) -> bool {
        match self {
            Self::Any | Self::Transport(Transport::Tcp) => false,
            Self::Transport(Transport::Udp) => true,
            Self::Protocol(protocol) => {
                matches!(protocol, Protocol::Dns | Protocol::Snmp | Protocol::Sip | Protocol::Tftp)
            }
        }
    }
}

#[derive(Debug, Clone)]
struct End {
    addresses: List<Address>,
    ports: List<Ports>,
}

/// What is in it: one of those that are wanted, or anything where none is, and none of those that are not.
#[derive(Debug, Clone)]
struct List<T> {
    wanted: Vec<Entry<T>>,
    unwanted: Vec<Entry<T>>,
}

#[derive(Debug, Clone)]
enum Entry<T> {
    One(T),
    List(List<T>),
}

#[derive(Debug, Clone)]
enum Address {
    Any,
    /// Whoever was called: `$HOME_NET`.
    Server,
    /// Whoever began: `$EXTERNAL_NET`.
    Client,
    Net(IpNet),
}

#[derive(Debug, Clone)]
struct Ports {
    first: u16,
    last: u16,
}

impl Header {
    /// Reads what stands in front of the options.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let words = words(text);
        let [action, carrier, source, source_ports, direction, destination, destination_ports] = words[..] else {
            return Err("the header has not the form `alert PROTOCOL FROM PORTS -> TO PORTS`".into());
        };
        if action != "alert" {
            return Err(format!("action `{action}`"));
        }
        let carrier = match carrier {
            "ip" => Carrier::Any,
            "tcp" => Carrier::Transport(Transport::Tcp),
            "udp" => Carrier::Transport(Transport::Udp),
            name => Carrier::Protocol(buffer::protocol(name).ok_or_else(|| format!("protocol `{name}`"))?),
        };
        let is_both_ways = match direction {
            "->" => false,
            "<>" => true,
            other => return Err(format!("direction `{other}`")),
        };
        Ok(Self {
            carrier,
            source: End::parse(source, source_ports)?,
            destination: End::parse(destination, destination_ports)?,
            is_both_ways,
        })
    }

    /// Whether a rule is for what `side` of a flow says.
    pub(crate) fn is_for(&self, ends: &Ends, side: Side) -> bool {
        let is_carried = match self.carrier {
            Carrier::Any => true,
            Carrier::Transport(transport) => transport == ends.transport,
            Carrier::Protocol(protocol) => ends.protocol == Some(protocol),
        };
        is_carried && (self.is_from(ends, side) || (self.is_both_ways && self.is_from(ends, side.other())))
    }

    fn is_from(&self, ends: &Ends, side: Side) -> bool {
        self.source.has(ends, side) && self.destination.has(ends, side.other())
    }
}

impl End {
    fn parse(addresses: &str, ports: &str) -> Result<Self, String> {
        let mut entries = 0;
        let addresses = List::parse(addresses, 0, &mut entries, &parse_address)?;
        entries = 0;
        Ok(Self { addresses, ports: List::parse(ports, 0, &mut entries, &parse_ports)? })
    }

    fn has(&self, ends: &Ends, side: Side) -> bool {
        let (address, port) = match side {
            Side::Client => (ends.client, ends.client_port),
            Side::Server => (ends.server, ends.server_port),
        };
        self.ports.has(&|ports| (ports.first..=ports.last).contains(&port))
            && self.addresses.has(&|known| match known {
                Address::Any => true,
                Address::Server => side == Side::Server,
                Address::Client => side == Side::Client,
                Address::Net(net) => net.contains(&address),
            })
    }
}

impl<T> List<T> {
    fn parse(
        text: &str,
        depth: usize,
        entries: &mut usize,
        one: &dyn Fn(&str) -> Result<T, String>,
    ) -> Result<Self, String> {
        if depth > LIST_DEPTH_MAX {
            return Err("lists stand too deep in each other".into());
        }
        let mut list = Self { wanted: Vec::new(), unwanted: Vec::new() };
        let (inner, is_list) = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => (inner, true),
            None => (text, false),
        };
        let parts = if is_list { split_list(inner) } else { vec![inner] };
        for part in parts {
            *entries += 1;
            if *entries > LIST_ENTRIES_MAX {
                return Err(format!("a list has more than {LIST_ENTRIES_MAX} entries"));
            }
            let part = part.trim();
            let (part, is_unwanted) = match part.strip_prefix('!') {
                Some(rest) => (rest.trim(), true),
                None => (part, false),
            };
            let entry = if part.starts_with('[') {
                Entry::List(Self::parse(part, depth + 1, entries, one)?)
            } else {
                Entry::One(one(part)?)
            };
            if is_unwanted { list.unwanted.push(entry) } else { list.wanted.push(entry) }
        }
        Ok(list)
    }

    fn has(&self, fits: &dyn Fn(&T) -> bool) -> bool {
        let is_in = |entry: &Entry<T>| match entry {
            Entry::One(one) => fits(one),
            Entry::List(list) => list.has(fits),
        };
        (self.wanted.is_empty() || self.wanted.iter().any(is_in)) && !self.unwanted.iter().any(is_in)
    }
}

fn parse_address(text: &str) -> Result<Address, String> {
    match text {
        "any" => Ok(Address::Any),
        "$HOME_NET" | "$HTTP_SERVERS" | "$TELNET_SERVERS" | "$DNS_SERVERS" | "$SQL_SERVERS" | "$SMTP_SERVERS" => {
            Ok(Address::Server)
        }
        "$EXTERNAL_NET" => Ok(Address::Client),
        _ if text.starts_with('$') => Err(format!("variable `{text}`")),
        _ => text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(Address::Net)
            .map_err(|_| format!("`{text}` is no address")),
    }
}

fn parse_ports(text: &str) -> Result<Ports, String> {
    let wrong = || format!("`{text}` is no port");
    match text {
        "any" | "$HTTP_PORTS" | "$SSH_PORTS" | "$FTP_PORTS" => return Ok(Ports { first: 0, last: u16::MAX }),
        _ if text.starts_with('$') => return Err(format!("variable `{text}`")),
        _ => {}
    }
    let number = |text: &str, or: u16| if text.is_empty() { Ok(or) } else { text.parse().map_err(|_| wrong()) };
    let (first, last) = match text.split_once(':') {
        Some((first, last)) => (number(first.trim(), 0)?, number(last.trim(), u16::MAX)?),
        None => {
            let port = text.parse().map_err(|_| wrong())?;
            (port, port)
        }
    };
    if first > last { Err(wrong()) } else { Ok(Ports { first, last }) }
}

/// The words of a header; white space in brackets separates none.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut depth, mut begin) = (0usize, None);
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if letter.is_whitespace() && depth == 0 {
            words.extend(begin.take().map(|begin| &text[begin..at]));
        } else {
            begin.get_or_insert(at);
        }
    }
    words.extend(begin.map(|begin| &text[begin..]));
    words
}

/// The entries of a list; commas in inner lists separate none of its own.
fn split_list(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut begin) = (0usize, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, server: &str, protocol: Option<Protocol>) -> Ends {
        let (client, server): (std::net::SocketAddr, std::net::SocketAddr) =
            (client.parse().unwrap(), server.parse().unwrap());
        Ends {
            transport: Transport::Tcp,
            client: client.ip(),
            client_port: client.port(),
            server: server.ip(),
            server_port: server.port(),
            protocol,
        }
    }

    #[test]
    fn headers_choose_flows() {
        let check = |header: &str, side, expected: bool| {
            let header = Header::parse(header).unwrap();
            let ends = ends("192.0.2.7:4000", "198.51.100.1:2323", Some(Protocol::Telnet));
            assert_eq!(header.is_for(&ends, side), expected, "{header:?}");
        };
        check("alert tcp any any -> any any", Side::Client, true);
        check("alert udp any any -> any any", Side::Client, false);
        check("alert ip any any -> any 2323", Side::Client, true);
        check("alert ip any any -> any 2323", Side::Server, false);
        check("alert ip any any <> any 2323", Side::Server, true);
        check("alert tcp $EXTERNAL_NET any -> $HOME_NET [23, 2323]", Side::Client, true);
        check("alert tcp $EXTERNAL_NET any -> $HOME_NET [23,2323]", Side::Server, false);
        check("alert tcp $HOME_NET any -> $EXTERNAL_NET any", Side::Server, true);
        check("alert tcp [192.0.2.0/24,!192.0.2.7] any -> any any", Side::Client, false);
        check("alert tcp [192.0.2.0/24,![192.0.2.8, 192.0.2.9]] any -> any any", Side::Client, true);
        check("alert tcp !$HOME_NET !4000 -> any any", Side::Client, false);
        check("alert tcp any 1024: -> any [:1023,2000:3000,!2324]", Side::Client, true);
        check("alert http any any -> any any", Side::Client, false);
        check("alert tcp 2001:db8::/32 any -> any any", Side::Client, false);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let check = |header: &str, expected: &str| assert_eq!(Header::parse(header).unwrap_err(), expected);
        check("drop tcp any any -> any any", "action `drop`");
        check("alert icmp any any -> any any", "protocol `icmp`");
        check("alert tcp any any => any any", "direction `=>`");
        check("alert tcp $ORACLE any -> any any", "variable `$ORACLE`");
        check("alert tcp any 70000 -> any any", "`70000` is no port");
        check("alert tcp any 9:8 -> any any", "`9:8` is no port");
        check("alert tcp 1.2.3 any -> any any", "`1.2.3` is no address");
        check(
            &format!("alert tcp {}any{} any -> any any", "[".repeat(9), "]".repeat(9)),
            "lists stand too deep in each other",
        );
    }
}
