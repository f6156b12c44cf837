//! Where a data connection is.

use std::net::{IpAddr, Ipv4Addr};

/// Where a data connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DataAddress {
    /// The address as it was said, which may be wrong behind a translator or on purpose; none when it is that of the
    /// control connection (EPSV).
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// `h1,h2,h3,h4,p1,p2` (RFC 959, 4.1.2).
pub(super) fn of_port(argument: &[u8]) -> Option<DataAddress> {
    let mut numbers = [0; 6];
    let mut parts = argument.trim_ascii().split(|byte| *byte == b',');
    for number in &mut numbers {
        *number = std::str::from_utf8(parts.next()?).ok()?.trim().parse::<u8>().ok()?;
    }
    let [a, b, c, d, high, low] = numbers;
    let ip = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    parts.next().is_none().then_some(DataAddress { ip: Some(ip), port: u16::from_be_bytes([high, low]) })
}

/// `|1|132.235.1.2|6275|` with any delimiter (RFC 2428, 2).
pub(super) fn of_eprt(argument: &[u8]) -> Option<DataAddress> {
    let (delimiter, rest) = argument.trim_ascii().split_first()?;
    let mut parts = rest.split(|byte| byte == delimiter);
    let mut part = || std::str::from_utf8(parts.next()?).ok();
    let (_protocol, ip, port) = (part()?, part()?, part()?);
    Some(DataAddress { ip: Some(ip.parse().ok()?), port: port.parse().ok()? })
}

/// The six numbers somewhere in a reply 227; servers differ in what stands around them (RFC 1123, 4.1.2.6).
pub(super) fn of_pasv_reply(line: &[u8]) -> Option<DataAddress> {
    let text = line.get(3..)?;
    let begin = text.iter().position(u8::is_ascii_digit)?;
    let numbers = &text[begin..];
    let end = numbers.iter().position(|byte| !byte.is_ascii_digit() && *byte != b',').unwrap_or(numbers.len());
    of_port(&numbers[..end])
}

/// `(|||6446|)` in a reply 229 (RFC 2428, 3).
pub(super) fn of_epsv_reply(line: &[u8]) -> Option<DataAddress> {
    let begin = line.iter().position(|byte| *byte == b'(')?;
    let [delimiter, second, third, rest @ ..] = line.get(begin + 1..)? else { return None };
    if delimiter != second || delimiter != third {
        return None;
    }
    let end = rest.iter().position(|byte| byte == delimiter)?;
    let port = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some(DataAddress { ip: None, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(address: Option<DataAddress>) -> Option<String> {
        address.map(|DataAddress { ip, port }| match ip {
            Some(ip) => format!("{ip} {port}"),
            None => port.to_string(),
        })
    }

    #[test]
    fn endpoints() {
        assert_eq!(shown(of_port(b"192,0,2,7,4,1")).as_deref(), Some("192.0.2.7 1025"));
        assert_eq!(shown(of_port(b"192,0,2,7,4")), None);
        assert_eq!(shown(of_port(b"192,0,2,7,4,1,1")), None);
        assert_eq!(shown(of_port(b"192,0,2,256,4,1")), None);
        assert_eq!(shown(of_eprt(b"|2|2001:db8::1|5282|")).as_deref(), Some("2001:db8::1 5282"));
        assert_eq!(shown(of_eprt(b"!1!192.0.2.1!80!")).as_deref(), Some("192.0.2.1 80"));
        assert_eq!(shown(of_eprt(b"")), None);
        let pasv = b"227 Entering Passive Mode (127,0,0,1,200,13).";
        assert_eq!(shown(of_pasv_reply(pasv)).as_deref(), Some("127.0.0.1 51213"));
        assert_eq!(shown(of_pasv_reply(b"227 =127,0,0,1,200,13")).as_deref(), Some("127.0.0.1 51213"));
        assert_eq!(shown(of_pasv_reply(b"227")), None);
        assert_eq!(shown(of_epsv_reply(b"229 Extended (|||6446|)")).as_deref(), Some("6446"));
        assert_eq!(shown(of_epsv_reply(b"229 Extended (|||66446|)")), None);
        assert_eq!(shown(of_epsv_reply(b"229 Extended (|1|")), None);
    }
}
