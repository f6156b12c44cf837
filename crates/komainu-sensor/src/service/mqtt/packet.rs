//! The packets that a broker says (MQTT 3.1.1 and MQTT 5, OASIS).

use super::Version;

/// CONNACK (3.2): nothing of an earlier session is there.
pub(super) fn connack(version: Version, code: u8, assigned_id: Option<&str>) -> Vec<u8> {
    let mut body = vec![0, code];
    if version == Version::V5 {
        let mut properties = Vec::new();
        if let Some(id) = assigned_id {
            properties.push(0x12);
            push_text(&mut properties, id.as_bytes());
        }
        body.push(u8::try_from(properties.len()).expect("an id that we make is short"));
        body.extend(properties);
    }
    packet(0x20, &body)
}

/// PUBACK, PUBREC or PUBCOMP (3.4, 3.5, 3.7); without a reason, which then is success.
pub(super) fn acknowledgement(kind: u8, packet_id: u16) -> Vec<u8> {
    packet(kind, &packet_id.to_be_bytes())
}

/// SUBACK or UNSUBACK (3.9, 3.11).
pub(super) fn subscriptions(version: Version, kind: u8, packet_id: u16, codes: &[u8]) -> Vec<u8> {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    packet(kind, &[&packet_id.to_be_bytes()[..], properties, codes].concat())
}

/// PUBLISH (3.3), at most once.
pub(super) fn publish(version: Version, topic: &[u8], message: &[u8], is_retained: bool) -> Vec<u8> {
    let mut body = Vec::with_capacity(topic.len() + message.len() + 3);
    push_text(&mut body, topic);
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(message);
    packet(0x30 | u8::from(is_retained), &body)
}

/// PINGRESP (3.13).
pub(super) const PINGRESP: &[u8] = &[0xD0, 0];

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    // Seven bits in a byte, the lowest first (2.2.3).
    let mut length = body.len();
    loop {
        let more = if length > 0x7F { 0x80 } else { 0 };
        packet.push((length & 0x7F) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

fn push_text(to: &mut Vec<u8>, text: &[u8]) {
    let bytes = u16::try_from(text.len()).expect("topics and ids that are said have less than 64 KiB");
    to.extend(bytes.to_be_bytes());
    to.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets() {
        assert_eq!(connack(Version::V3, 5, None), [0x20, 2, 0, 5]);
        assert_eq!(connack(Version::V5, 0, None), [0x20, 3, 0, 0, 0]);
        assert_eq!(connack(Version::V5, 0, Some("a")), [0x20, 7, 0, 0, 4, 0x12, 0, 1, b'a']);
        assert_eq!(subscriptions(Version::V3, 0x90, 258, &[0, 0x80]), [0x90, 4, 1, 2, 0, 0x80]);
        assert_eq!(subscriptions(Version::V5, 0xB0, 258, &[0]), [0xB0, 4, 1, 2, 0, 0]);
        assert_eq!(publish(Version::V3, b"a", b"b", true), [0x31, 4, 0, 1, b'a', b'b']);
        assert_eq!(publish(Version::V5, b"a", b"", false), [0x30, 4, 0, 1, b'a', 0]);
        let long = publish(Version::V3, b"a", &[0; 300], false);
        assert_eq!((&long[..3], long.len()), (&[0x30, 0xAF, 2][..], 306));
    }
}
