//! How a stream of a tunnel begins: who called whom, and which device is meant.

use std::net::{Ipv4Addr, SocketAddrV4};

use komainu_model::{ApplianceName, RelayTransport};

use super::VERSION;

/// Bytes before the name: version, transport, two addresses with ports, and the length of the name.
const FIXED_BYTES: usize = 15;

/// Bytes of the longest name of a device ([`ApplianceName`]).
const NAME_BYTES_MAX: usize = 64;

/// The numbers of IP for TCP and UDP (RFC 9293; RFC 768).
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What an outpost says of a connection or conversation before it carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) transport: RelayTransport,
    /// The stranger.
    pub(crate) client: SocketAddrV4,
    /// Whom the stranger called. The port is the device's.
    pub(crate) called: SocketAddrV4,
    pub(crate) device: ApplianceName,
}

impl Opening {
    /// Bytes of the longest one.
    pub(crate) const BYTES_MAX: usize = FIXED_BYTES + NAME_BYTES_MAX;

    /// The bytes on the wire.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let name = self.device.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(FIXED_BYTES + name.len());
        bytes.push(VERSION);
        bytes.push(match self.transport {
            RelayTransport::Tcp => TCP,
            RelayTransport::Udp => UDP,
        });
        for address in [self.client, self.called] {
            bytes.extend_from_slice(&address.ip().octets());
            bytes.extend_from_slice(&address.port().to_be_bytes());
        }
        bytes.push(u8::try_from(name.len()).expect("a device's name has 64 bytes at most"));
        bytes.extend_from_slice(name);
        bytes
    }

    /// Reads it from the beginning of a stream, and says how many bytes it has; none until it is there whole.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
            return match bytes.first() {
                Some(&version) if version != VERSION => Err(Malformed),
                _ => Ok(None),
            };
        };
        let &[version, transport, c0, c1, c2, c3, cp0, cp1, s0, s1, s2, s3, sp0, sp1, name_bytes] = fixed;
        let transport = match transport {
            TCP => RelayTransport::Tcp,
            UDP => RelayTransport::Udp,
            _ => return Err(Malformed),
        };
        let address = |ip: [u8; 4], port: [u8; 2]| SocketAddrV4::new(Ipv4Addr::from(ip), u16::from_be_bytes(port));
        let client = address([c0, c1, c2, c3], [cp0, cp1]);
        let called = address([s0, s1, s2, s3], [sp0, sp1]);
        let name_bytes = usize::from(name_bytes);
        if version != VERSION || client.port() == 0 || called.port() == 0 || name_bytes > NAME_BYTES_MAX {
            return Err(Malformed);
        }
        let Some(name) = rest.get(..name_bytes) else { return Ok(None) };
        let device = std::str::from_utf8(name).ok().and_then(|name| ApplianceName::parse(name).ok());
        let opening = Self { transport, client, called, device: device.ok_or(Malformed)? };
        Ok(Some((opening, FIXED_BYTES + name_bytes)))
    }
}

/// A stream does not begin as it has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads any bytes as the beginning of a stream: what is understood is written the same way again.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_bytes(bytes: &[u8]) {
    match Opening::parse(bytes) {
        Ok(Some((opening, length))) => assert_eq!(opening.to_bytes(), bytes[..length]),
        Ok(None) => assert!(bytes.len() < Opening::BYTES_MAX, "so many bytes are enough"),
        Err(Malformed) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opening() -> Opening {
        Opening {
            transport: RelayTransport::Tcp,
            client: "192.0.2.7:40000".parse().unwrap(),
            called: "198.51.100.1:23".parse().unwrap(),
            device: ApplianceName::parse("porch").unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for transport in [RelayTransport::Tcp, RelayTransport::Udp] {
            let opening = Opening { transport, ..opening() };
            let mut bytes = opening.to_bytes();
            let length = bytes.len();
            for cut in 0..length {
                assert_eq!(Opening::parse(&bytes[..cut]), Ok(None), "{cut}");
            }
            bytes.extend_from_slice(b"GET /");
            assert_eq!(Opening::parse(&bytes), Ok(Some((opening, length))));
        }
        let longest = Opening { device: ApplianceName::parse(&"x".repeat(64)).unwrap(), ..opening() };
        assert_eq!(longest.to_bytes().len(), Opening::BYTES_MAX);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let check = |at: usize, with: &[u8]| {
            let mut bytes = opening().to_bytes();
            bytes[at..at + with.len()].copy_from_slice(with);
            assert_eq!(Opening::parse(&bytes), Err(Malformed), "{with:?} at {at}");
        };
        check(0, &[VERSION + 1]);
        check(1, &[1]);
        check(6, &[0, 0]);
        check(12, &[0, 0]);
        check(14, &[65]);
        check(14, &[0]);
        check(15, b"../x");
        check(15, &[0xFF]);
        assert_eq!(Opening::parse(&[VERSION + 1]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            check_bytes(&bytes);
            let mut begun = opening().to_bytes()[..2].to_vec();
            begun.extend_from_slice(&bytes);
            check_bytes(&begun);
        }
    }
}
