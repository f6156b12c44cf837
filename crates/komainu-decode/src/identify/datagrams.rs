//! What the first datagram of a flow says, at a port that says nothing.
//!
//! Binary protocols have no name in their messages. A datagram is one of theirs when all of it is understood, and when
//! it has what chance has not: sizes that add up, or words.

use crate::ber::{self, Elements};
use crate::ssdp::DiscoveryKind;
use crate::{Decoder, Fact, Place, Protocol, Side, coap, dns, snmp, ssdp};

/// The protocol of a datagram of a client; none when several or none fit.
pub(super) fn by_content(bytes: &[u8]) -> Option<Protocol> {
    let protocol = match bytes.first()? {
        0x30 if is_snmp(bytes) => Protocol::Snmp,
        b'<' | 0xEF if is_discovery(bytes) => Protocol::Ssdp,
        0 if is_tftp(bytes) => Protocol::Tftp,
        0x40..=0x5F if is_coap(bytes) => Protocol::Coap,
        _ if is_dns(bytes) => Protocol::Dns,
        _ => return None,
    };
    Some(protocol)
}

/// Whether `decoder` tells a fact for which `fits` holds, and nothing that is odd.
fn is_understood(mut decoder: impl Decoder, bytes: &[u8], fits: fn(&Fact<'_>) -> bool) -> bool {
    let (mut is_told, mut is_odd) = (false, false);
    decoder.data(Side::Client, bytes, &mut |_: Place, fact: Fact<'_>| match fact {
        Fact::Oddity(_) => is_odd = true,
        fact => is_told |= fits(&fact),
    });
    is_told && !is_odd
}

/// A sequence that is the whole datagram, with a message in it.
fn is_snmp(bytes: &[u8]) -> bool {
    let mut elements = Elements::of(bytes);
    let is_whole = elements.take(ber::SEQUENCE).is_some() && elements.rest().is_empty();
    is_whole
        && is_understood(snmp::Reader::default(), bytes, |fact| match fact {
            Fact::Snmp(snmp::Event::Message(message)) => message.pdu.is_some() || message.is_encrypted,
            _ => false,
        })
}

fn is_discovery(bytes: &[u8]) -> bool {
    is_understood(ssdp::Reader::default(), bytes, |fact| match fact {
        Fact::Ssdp(ssdp::Event::Discovery(said)) => said.kind != DiscoveryKind::Other,
        _ => false,
    })
}

/// A request with a path and one of the three modes (RFC 1350, 5).
fn is_tftp(bytes: &[u8]) -> bool {
    let [0, 1 | 2, rest @ ..] = bytes else { return false };
    let mut words = rest.split(|byte| *byte == 0);
    let (Some(path), Some(mode)) = (words.next(), words.next()) else { return false };
    let is_mode = [&b"octet"[..], b"netascii", b"mail"].iter().any(|known| known.eq_ignore_ascii_case(mode));
    !path.is_empty() && is_mode && words.next().is_some()
}

/// A request for a path of at least three letters; in three bytes of chance there are as many in one of seventy.
fn is_coap(bytes: &[u8]) -> bool {
    is_understood(coap::Reader::default(), bytes, |fact| match fact {
        Fact::Coap(coap::Event::Message(message)) => {
            let path = message.uri_path();
            let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-~%".contains(byte);
            let letters = path.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
            message.code.method().is_some() && letters >= 3 && path.iter().all(is_letter)
        }
        _ => false,
    })
}

/// A question of the Internet's class, and nothing else but what extends it (RFC 1035, 4.1; RFC 6891).
fn is_dns(bytes: &[u8]) -> bool {
    is_understood(dns::Reader::datagrams(), bytes, |fact| match fact {
        Fact::Dns(dns::Event::Message(message)) => {
            const IS_ANSWER_OR_OPERATION: u16 = 0xF800;
            const INTERNET: u16 = 1;
            const ANY: u16 = 255;
            let [question] = message.questions[..] else { return false };
            message.flags & IS_ANSWER_OR_OPERATION == 0
                && matches!(question.class, INTERNET | ANY)
                && question.kind != 0
                && message.answers.is_empty()
                && message.authorities.is_empty()
                && message.additionals.len() <= 2
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DNS: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01";
    const SNMP: &[u8] = b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x01\x02\x01\0\x02\x01\0\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\0\x05\0";
    const COAP: &[u8] = b"\x40\x01\0\x01\xbb.well-known\x04core";
    const TFTP: &[u8] = b"\0\x01/etc/passwd\0octet\0";
    const PROBE: &[u8] = b"<?xml version=\"1.0\"?><Envelope><Body><Probe/></Body></Envelope>";

    #[test]
    fn messages_are_known_at_any_port() {
        let check = |bytes, expected| assert_eq!(by_content(bytes), expected, "{bytes:?}");
        check(DNS, Some(Protocol::Dns));
        check(SNMP, Some(Protocol::Snmp));
        check(COAP, Some(Protocol::Coap));
        check(TFTP, Some(Protocol::Tftp));
        check(b"\0\x02a\0NETASCII\0blksize\x001400\0", Some(Protocol::Tftp));
        check(PROBE, Some(Protocol::Ssdp));
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for bytes in [
            &b""[..],
            &[0; 48],
            &[0xFF; 48],
            b"hello there\r\n",
            b"<html><body></body></html>",
            b"<Envelope></Envelope>",
            b"\0\x01a\0other\0",
            b"\0\x01\0octet\0",
            b"\0\x01a\0octet",
            b"\x40\x01\0\x01",
            b"\x40\x01\0\x01\xb1a",
            b"\x40\x45\0\x01\xb4core",
            // NTP, and the first packet of a handshake of DTLS.
            b"\x23\0\x06\xec\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xe1\x11\x22\x33\0\0\0\0",
            b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x05\x01\0\0\0\0",
        ] {
            assert_eq!(by_content(bytes), None, "{bytes:?}");
        }
        assert_eq!(by_content(&SNMP[..SNMP.len() - 1]), None, "cut");
        assert_eq!(by_content(&[SNMP, b"\0"].concat()), None, "something follows");
        assert_eq!(by_content(&DNS[..DNS.len() - 1]), None, "cut");
        let answer = [&DNS[..2], b"\x81\x80", &DNS[4..]].concat();
        assert_eq!(by_content(&answer), None, "a server begins no flow");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn chance_is_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            prop_assert_eq!(by_content(&bytes), None);
        }

        /// The first bytes of each protocol, with anything behind them.
        #[test]
        fn a_beginning_is_not_enough(first in 0..5usize, bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let beginnings = [&DNS[..4], &SNMP[..2], &COAP[..2], &TFTP[..2], &PROBE[..1]];
            prop_assert_eq!(by_content(&[beginnings[first], &bytes].concat()), None);
        }
    }
}
