//! DHCP for IPv4 (RFC 2131, RFC 2132): the router gives the guest its address.

use std::net::Ipv4Addr;

use crate::packet::Mac;

/// The fixed part of a message, up to the cookie.
const FIXED_BYTES: usize = 236;

const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// For how long an address is given, in seconds: a day, as home routers do.
const LEASE_S: u32 = 86_400;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
const INFORM: u8 = 8;

/// What a client asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    kind: u8,
    transaction: [u8; 4],
    /// Flags and the address that the client already uses.
    flags: [u8; 2],
    client: Ipv4Addr,
    hardware: [u8; 16],
    wanted: Option<Ipv4Addr>,
    pub(crate) host_name: Option<&'a [u8]>,
    pub(crate) vendor_class: Option<&'a [u8]>,
}

/// What the router gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    pub(crate) router: Ipv4Addr,
}

impl<'a> Asked<'a> {
    /// Reads a message of a client; none if it is no question.
    pub(crate) fn parse(message: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = message.split_first_chunk::<FIXED_BYTES>()?;
        let mut options = rest.strip_prefix(&COOKIE)?;
        // A request, over Ethernet.
        if fixed[..3] != [1, 1, 6] {
            return None;
        }
        let mut hardware = [0; 16];
        hardware.copy_from_slice(&fixed[28..44]);
        let mut asked = Self {
            kind: 0,
            transaction: [fixed[4], fixed[5], fixed[6], fixed[7]],
            flags: [fixed[10], fixed[11]],
            client: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            hardware,
            wanted: None,
            host_name: None,
            vendor_class: None,
        };
        while let [code, rest @ ..] = options {
            match code {
                0 => options = rest,
                255 => break,
                _ => {
                    let (length, rest) = rest.split_first()?;
                    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                    match (code, value) {
                        (53, [kind]) => asked.kind = *kind,
                        (50, [a, b, c, d]) => asked.wanted = Some(Ipv4Addr::new(*a, *b, *c, *d)),
                        (12, name) => asked.host_name = Some(name),
                        (60, class) => asked.vendor_class = Some(class),
                        _ => {}
                    }
                    options = rest;
                }
            }
        }
        matches!(asked.kind, DISCOVER | REQUEST | INFORM).then_some(asked)
    }

    /// The answer, and whether the address is given by it.
    pub(crate) fn answer(&self, lease: Lease) -> (Vec<u8>, bool) {
        let wanted = self.wanted.unwrap_or(if self.client.is_unspecified() { lease.address } else { self.client });
        let kind = match self.kind {
            DISCOVER => OFFER,
            REQUEST if wanted != lease.address => NAK,
            _ => ACK,
        };
        let given = if self.kind == INFORM || kind == NAK { Ipv4Addr::UNSPECIFIED } else { lease.address };
        let mut message = vec![2, 1, 6, 0];
        message.extend(self.transaction);
        message.extend([0, 0]);
        message.extend(self.flags);
        message.extend(if kind == NAK { [0; 4] } else { self.client.octets() });
        message.extend(given.octets());
        message.extend([0; 8]);
        message.extend(self.hardware);
        message.resize(FIXED_BYTES, 0);
        message.extend(COOKIE);
        message.extend([53, 1, kind, 54, 4]);
        message.extend(lease.router.octets());
        if kind != NAK {
            if self.kind != INFORM {
                message.extend([51, 4]);
                message.extend(LEASE_S.to_be_bytes());
            }
            message.extend([1, 4, 255, 255, 255, 0]);
            for code in [3, 6] {
                message.extend([code, 4]);
                message.extend(lease.router.octets());
            }
            let [a, b, c, _] = lease.router.octets();
            message.extend([28, 4, a, b, c, 255]);
            message.extend([15, 3]);
            message.extend(b"lan");
        }
        message.push(255);
        // Old clients take no shorter one (RFC 951: 300 bytes).
        message.resize(message.len().max(300), 0);
        (message, kind == ACK && self.kind == REQUEST)
    }

    /// The card of the client.
    pub(crate) fn mac(&self) -> Mac {
        let [a, b, c, d, e, f, ..] = self.hardware;
        [a, b, c, d, e, f]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Lease = Lease { address: Ipv4Addr::new(192, 168, 1, 101), router: Ipv4Addr::new(192, 168, 1, 1) };

    fn message(kind: u8, options: &[u8]) -> Vec<u8> {
        let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
        message.resize(FIXED_BYTES, 0);
        message[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        message.extend(COOKIE);
        message.extend([53, 1, kind]);
        message.extend(options);
        message.push(255);
        message
    }

    /// The kind of the answer, the address in it, and whether it was given.
    fn check(message: &[u8], expected: Option<(u8, Ipv4Addr, bool)>) {
        let seen = Asked::parse(message).map(|asked| {
            let (answer, given) = asked.answer(LEASE);
            assert_eq!(answer[4..8], [1, 2, 3, 4]);
            assert_eq!(asked.mac(), [2, 0, 0, 0, 0, 9]);
            (answer[FIXED_BYTES + 6], Ipv4Addr::new(answer[16], answer[17], answer[18], answer[19]), given)
        });
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_address_is_given() {
        let nowhere = Ipv4Addr::UNSPECIFIED;
        check(&message(DISCOVER, b"\x0c\x03cam"), Some((OFFER, LEASE.address, false)));
        check(&message(REQUEST, &[50, 4, 192, 168, 1, 101]), Some((ACK, LEASE.address, true)));
        check(&message(REQUEST, &[50, 4, 10, 0, 0, 1]), Some((NAK, nowhere, false)));
        check(&message(INFORM, &[]), Some((ACK, nowhere, false)));
        check(&message(7, &[]), None);
        check(&message(DISCOVER, &[12, 200, 1]), None);
        let whole = message(DISCOVER, &[]);
        (0..FIXED_BYTES + 6).for_each(|cut| check(&whole[..cut], None));
        let named = message(DISCOVER, b"\x0c\x03cam\x3c\x05udhcp");
        let asked = Asked::parse(&named).unwrap();
        assert_eq!((asked.host_name, asked.vendor_class), (Some(&b"cam"[..]), Some(&b"udhcp"[..])));
    }
}
