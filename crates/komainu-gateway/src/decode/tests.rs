//! Against another implementation, and against chance.

use mqtt_protocol_core::mqtt::packet::v5_0::{Publish as OraclePublish, Subscribe as OracleSubscribe};
use mqtt_protocol_core::mqtt::packet::{
    CorrelationData, MessageExpiryInterval, Property, Qos as OracleQos, ResponseTopic, SubEntry, SubOpts, TopicAlias,
    UserProperty,
};
use proptest::prelude::*;

use super::*;
use crate::encode;

fn oracle_qos(qos: u8) -> OracleQos {
    OracleQos::try_from(qos).unwrap()
}

fn framed(bytes: &[u8]) -> Frame<'_> {
    let frame = frame(bytes, u32::MAX).unwrap().unwrap();
    assert_eq!(frame.packet_bytes, bytes.len());
    frame
}

proptest! {
    /// A PUBLISH that the library builds is read field by field.
    #[test]
    fn reads_what_another_implementation_writes(
        topic in "[a-z/]{1,9}",
        qos in 0u8..3,
        packet_id in 1u16..,
        retain: bool,
        payload in prop::collection::vec(any::<u8>(), 0..300),
        expiry_s in prop::option::of(any::<u32>()),
        alias in prop::option::of(1u16..),
        user in prop::option::of(("[a-z]{0,5}", "[a-z]{0,200}")),
    ) {
        let mut properties = Vec::new();
        let mut forwarded = Vec::new();
        let response = Property::ResponseTopic(ResponseTopic::new("re").unwrap());
        forwarded.extend(response.to_continuous_buffer());
        properties.push(response);
        properties.extend(expiry_s.map(|s| Property::MessageExpiryInterval(MessageExpiryInterval::new(s).unwrap())));
        if let Some((key, value)) = user {
            let user = Property::UserProperty(UserProperty::new(key, value).unwrap());
            forwarded.extend(user.to_continuous_buffer());
            properties.push(user);
        }
        properties.extend(alias.map(|alias| Property::TopicAlias(TopicAlias::new(alias).unwrap())));
        let correlation = Property::CorrelationData(CorrelationData::new(vec![0, 255]).unwrap());
        forwarded.extend(correlation.to_continuous_buffer());
        properties.push(correlation);
        let mut builder = OraclePublish::builder()
            .topic_name(&*topic).unwrap()
            .qos(oracle_qos(qos))
            .retain(retain)
            .props(properties)
            .payload(payload.clone());
        if qos > 0 {
            builder = builder.packet_id(packet_id);
        }
        let bytes = builder.build().unwrap().to_continuous_buffer();
        let Frame { first, body, .. } = framed(&bytes);
        let expected = Publish {
            dup: false,
            qos: qos_from_bits(qos).unwrap(),
            retain,
            topic: &topic,
            packet_id: if qos > 0 { packet_id } else { 0 },
            topic_alias: alias,
            expiry_s,
            forwarded: Cow::Owned(forwarded),
            payload: &payload,
        };
        prop_assert_eq!(publish(first, body, Version::V5).unwrap(), expected);
    }

    /// A PUBLISH that this broker writes is read by the library, and says its size beforehand.
    #[test]
    fn another_implementation_reads_what_is_written(
        topic in "[a-z/]{1,9}",
        qos in 0u8..3,
        packet_id in 1u16..,
        identifiers in prop::collection::vec(1u32..268_435_455, 0..4),
        expiry_s in prop::option::of(any::<u32>()),
        payload in prop::collection::vec(any::<u8>(), 0..20_000),
    ) {
        let sent = encode::Publish {
            dup: false,
            qos: qos_from_bits(qos).unwrap(),
            retain: false,
            topic: &topic,
            packet_id,
            topic_alias: None,
            expiry_s,
            identifiers: &identifiers,
            forwarded: &[],
            payload: &payload,
        };
        let mut bytes = Vec::new();
        sent.append(&mut bytes, Version::V5);
        prop_assert_eq!(bytes.len(), sent.packet_bytes(Version::V5));
        let Frame { first, body, .. } = framed(&bytes);
        let (read, _) = OraclePublish::parse(first & 0x0f, body.into()).unwrap();
        prop_assert_eq!(read.topic_name(), &topic);
        prop_assert_eq!(read.payload().as_slice(), &payload);
        prop_assert_eq!(read.packet_id(), (qos > 0).then_some(packet_id));
        let read_identifiers: Vec<u32> = read.props().iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id.val()),
            _ => None,
        }).collect();
        prop_assert_eq!(read_identifiers, identifiers);
    }

    /// Whatever comes, reading ends with a packet or a violation.
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), first: u8) {
        let _ = frame(&bytes, u32::MAX);
        let _ = packet_kind(first);
        let _ = connect(&bytes);
        for version in [Version::V3, Version::V5] {
            let _ = publish(first, &bytes, version);
            let _ = ack(first >> 4, &bytes, version);
            let _ = subscribe(&bytes, version);
            let _ = unsubscribe(&bytes, version);
            let _ = disconnect(&bytes, version);
        }
    }
}

#[test]
fn subscriptions_of_another_implementation() {
    let options = SubOpts::new().set_qos(oracle_qos(2)).set_nl(true).set_rap(true);
    let entries = vec![SubEntry::new("a/+", options).unwrap(), SubEntry::new("#", SubOpts::new()).unwrap()];
    let packet = OracleSubscribe::builder().packet_id(7u16).entries(entries).build().unwrap().to_continuous_buffer();
    let Frame { first, body, .. } = framed(&packet);
    assert_eq!(packet_kind(first), Ok(kind::SUBSCRIBE));
    let read = subscribe(body, Version::V5).unwrap();
    let of = |filter, qos, set| SubscribeFilter {
        filter,
        qos,
        no_local: set,
        retain_as_published: set,
        retain_handling: RetainHandling::Send,
    };
    assert_eq!(
        read,
        Subscribe {
            packet_id: 7,
            identifier: 0,
            filters: vec![of("a/+", Qos::ExactlyOnce, true), of("#", Qos::AtMostOnce, false)],
        }
    );
}

#[test]
fn frames() {
    let check = |bytes: &[u8], expected: Result<Option<(usize, usize)>, Reason>| {
        let found = frame(bytes, 1_000)
            .map(|frame| frame.map(|frame| (frame.body.len(), frame.packet_bytes)))
            .map_err(|violation| violation.reason);
        assert_eq!(found, expected, "{bytes:02x?}");
    };
    check(&[], Ok(None));
    check(&[0x30], Ok(None));
    check(&[0x30, 2, 0], Ok(None));
    check(&[0x30, 2, 0, 0, 9], Ok(Some((2, 4))));
    check(&[0xc0, 0], Ok(Some((0, 2))));
    check(&[0x30, 0x80], Ok(None));
    check(&[0x30, 0xff, 0x7f], Err(Reason::PacketTooLarge));
    check(&[0x30, 0xff, 0xff, 0xff, 0xff], Err(Reason::Malformed));
}
