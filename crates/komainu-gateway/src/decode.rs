//! Bytes from a client to packets.
//!
//! Written by hand and not taken from a protocol library: the edge of a security product has to refuse every packet
//! that the specification calls malformed, and the one maintained sans-I/O library (mqtt-protocol-core 0.7.9) lets
//! the reserved CONNECT flag, a will of QoS 3 and U+0000 in strings pass, refuses a password without a user name,
//! which MQTT 5 allows, and allocates for each field. It serves as the oracle in this module's tests instead.
//!
//! Nothing here keeps state: a slice goes in, borrowed fields come out. Which packet may come when is decided in
//! `connection.rs`.

use std::borrow::Cow;

use crate::packet::{Qos, Reason, Version, Violation, kind, property, qos_from_bits};

/// A packet in a stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Packet type and flags.
    pub(crate) first: u8,
    /// What follows the fixed header.
    pub(crate) body: &'a [u8],
    /// The size of the whole packet.
    pub(crate) packet_bytes: usize,
}

/// Finds the first packet in `bytes`. None when more bytes are needed.
pub(crate) fn frame(bytes: &[u8], packet_bytes_max: u32) -> Result<Option<Frame<'_>>, Violation> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut length = 0usize;
    for at in 0..4 {
        let Some(&byte) = rest.get(at) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let header = 2 + at;
            let total = header + length;
            if total > packet_bytes_max as usize {
                return Err(Violation { reason: Reason::PacketTooLarge, what: "packet is too large" });
            }
            return Ok(bytes.get(header..total).map(|body| Frame { first, body, packet_bytes: total }));
        }
    }
    Err(Violation::malformed("remaining length has more than four bytes"))
}

/// The packet that the flags of the first byte allow. [MQTT-2.2.2-2], MQTT 5 [MQTT-2.1.3-1]
pub(crate) fn packet_kind(first: u8) -> Result<u8, Violation> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    let expected = match kind {
        kind::PUBLISH => return Ok(kind),
        kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE => 0b0010,
        _ => 0,
    };
    if kind == 0 {
        Err(Violation::malformed("packet type 0 is reserved"))
    } else if flags == expected {
        Ok(kind)
    } else {
        Err(Violation::malformed("reserved flags of the fixed header are not as specified"))
    }
}

/// A CONNECT packet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Connect<'a> {
    pub(crate) version: Version,
    pub(crate) clean_start: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) client_id: &'a str,
    pub(crate) user_name: Option<&'a str>,
    pub(crate) password: Option<&'a [u8]>,
    pub(crate) will: Option<Will<'a>>,
    /// None when an MQTT 5 client did not say, and for 3.1.1.
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) topic_alias_max: u16,
    pub(crate) request_problem_information: bool,
    pub(crate) authentication_method: Option<&'a str>,
}

/// The will of a CONNECT packet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Will<'a> {
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) delay_s: u32,
    pub(crate) expiry_s: Option<u32>,
    /// Properties that are passed on, encoded.
    pub(crate) forwarded: Cow<'a, [u8]>,
}

/// Why a CONNECT was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectError {
    /// The protocol level is none that is spoken here. 3.1.1 clients and older get return code 1.
    UnsupportedVersion {
        /// The level.
        level: u8,
    },
    /// The packet breaks the protocol. The version is known when the packet was understood that far.
    Broken(Option<Version>, Violation),
}

/// Reads the body of a CONNECT packet.
pub(crate) fn connect(body: &[u8]) -> Result<Connect<'_>, ConnectError> {
    let mut reader = Reader(body);
    let before = |violation| ConnectError::Broken(None, violation);
    // [MQTT-3.1.2-1]: any other protocol name is not answered.
    let name = reader.binary().map_err(before)?;
    let level = reader.u8().map_err(before)?;
    let version = match (name, level) {
        (b"MQTT", 4) => Version::V3,
        (b"MQTT", 5) => Version::V5,
        (b"MQTT" | b"MQIsdp", level) => return Err(ConnectError::UnsupportedVersion { level }),
        _ => return Err(before(Violation::protocol("protocol name is not MQTT"))),
    };
    connect_after_version(reader, version).map_err(|violation| ConnectError::Broken(Some(version), violation))
}

fn connect_after_version(mut reader: Reader<'_>, version: Version) -> Result<Connect<'_>, Violation> {
    let flags = reader.u8()?;
    if flags & 1 != 0 {
        return Err(Violation::malformed("reserved CONNECT flag is set")); // [MQTT-3.1.2-3]
    }
    let mut connect = Connect {
        version,
        clean_start: flags & 2 != 0,
        keep_alive_s: reader.u16()?,
        client_id: "",
        user_name: None,
        password: None,
        will: None,
        session_expiry_s: None,
        receive_max: u16::MAX,
        packet_bytes_max: u32::MAX,
        topic_alias_max: 0,
        request_problem_information: true,
        authentication_method: None,
    };
    if version == Version::V5 {
        connect_properties(&mut reader, &mut connect)?;
    }
    connect.client_id = reader.string()?;
    let (will_flag, will_qos, will_retain) = (flags & 4 != 0, (flags >> 3) & 3, flags & 32 != 0);
    if will_flag {
        let qos = qos_from_bits(will_qos).ok_or(Violation::malformed("will has QoS 3"))?; // [MQTT-3.1.2-14]
        connect.will = Some(will(&mut reader, version, qos, will_retain)?);
    } else if will_qos != 0 || will_retain {
        return Err(Violation::malformed("will flags without a will")); // [MQTT-3.1.2-13], [MQTT-3.1.2-15]
    }
    let (user_name_flag, password_flag) = (flags & 128 != 0, flags & 64 != 0);
    if version == Version::V3 && password_flag && !user_name_flag {
        return Err(Violation::malformed("password without user name")); // [MQTT-3.1.2-22]
    }
    if user_name_flag {
        connect.user_name = Some(reader.string()?);
    }
    if password_flag {
        connect.password = Some(reader.binary()?);
    }
    reader.end()?;
    Ok(connect)
}

fn connect_properties<'a>(reader: &mut Reader<'a>, connect: &mut Connect<'a>) -> Result<(), Violation> {
    let mut properties = Properties::new(reader.properties()?);
    let mut has_authentication_data = false;
    while let Some((id, value)) = properties.next()? {
        match (id, value) {
            (property::SESSION_EXPIRY_INTERVAL, Value::U32(seconds)) => connect.session_expiry_s = Some(seconds),
            (property::RECEIVE_MAXIMUM, Value::U16(messages)) => {
                connect.receive_max = nonzero(messages, "receive maximum is 0")?;
            }
            (property::MAXIMUM_PACKET_SIZE, Value::U32(bytes)) => {
                connect.packet_bytes_max = nonzero(bytes, "maximum packet size is 0")?;
            }
            (property::TOPIC_ALIAS_MAXIMUM, Value::U16(aliases)) => connect.topic_alias_max = aliases,
            (property::REQUEST_RESPONSE_INFORMATION, Value::Byte(wish)) => {
                flag(wish)?;
            }
            (property::REQUEST_PROBLEM_INFORMATION, Value::Byte(wish)) => {
                connect.request_problem_information = flag(wish)?;
            }
            (property::USER_PROPERTY, Value::Pair) => {}
            (property::AUTHENTICATION_METHOD, Value::Text(method)) => connect.authentication_method = Some(method),
            (property::AUTHENTICATION_DATA, Value::Binary(_)) => has_authentication_data = true,
            _ => return Err(NOT_IN_THIS_PACKET),
        }
    }
    if has_authentication_data && connect.authentication_method.is_none() {
        return Err(Violation::protocol("authentication data without a method"));
    }
    Ok(())
}

fn will<'a>(reader: &mut Reader<'a>, version: Version, qos: Qos, retain: bool) -> Result<Will<'a>, Violation> {
    let mut delay_s = 0;
    let mut expiry_s = None;
    let mut forwarded = Cow::Borrowed(&[][..]);
    if version == Version::V5 {
        let mut properties = Properties::new(reader.properties()?);
        let mut keep = Kept::new(properties.rest);
        while let Some((id, value)) = properties.next()? {
            match (id, value) {
                (property::WILL_DELAY_INTERVAL, Value::U32(seconds)) => {
                    delay_s = seconds;
                    keep.cut(&properties);
                }
                (property::MESSAGE_EXPIRY_INTERVAL, Value::U32(seconds)) => {
                    expiry_s = Some(seconds);
                    keep.cut(&properties);
                }
                (property::RESPONSE_TOPIC, Value::Text(topic)) => check_response_topic(topic)?,
                (property::PAYLOAD_FORMAT_INDICATOR, Value::Byte(is_text)) => {
                    flag(is_text)?;
                }
                (property::CONTENT_TYPE, Value::Text(_))
                | (property::CORRELATION_DATA, Value::Binary(_))
                | (property::USER_PROPERTY, Value::Pair) => {}
                _ => return Err(NOT_IN_THIS_PACKET),
            }
            keep.mark(&properties);
        }
        forwarded = keep.finish();
    }
    let topic = reader.string()?;
    if topic.is_empty() || has_wildcard(topic) {
        return Err(Violation { reason: Reason::TopicNameInvalid, what: "will topic is empty or has a wildcard" });
    }
    Ok(Will { qos, retain, topic, payload: reader.binary()?, delay_s, expiry_s, forwarded })
}

/// A PUBLISH packet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Publish<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// Empty when the topic alias stands for it.
    pub(crate) topic: &'a str,
    /// 0 at QoS 0.
    pub(crate) packet_id: u16,
    pub(crate) topic_alias: Option<u16>,
    pub(crate) expiry_s: Option<u32>,
    /// Properties that are passed on, encoded.
    pub(crate) forwarded: Cow<'a, [u8]>,
    pub(crate) payload: &'a [u8],
}

/// Reads the body of a PUBLISH packet.
pub(crate) fn publish(first: u8, body: &[u8], version: Version) -> Result<Publish<'_>, Violation> {
    let mut reader = Reader(body);
    let qos = qos_from_bits((first >> 1) & 3).ok_or(Violation::malformed("QoS 3"))?; // [MQTT-3.3.1-4]
    let dup = first & 8 != 0;
    if dup && qos == Qos::AtMostOnce {
        return Err(Violation::malformed("DUP at QoS 0")); // [MQTT-3.3.1-2]
    }
    let topic = reader.string()?;
    if has_wildcard(topic) {
        return Err(Violation { reason: Reason::TopicNameInvalid, what: "topic has a wildcard" }); // [MQTT-3.3.2-2]
    }
    let packet_id = if qos == Qos::AtMostOnce { 0 } else { reader.packet_id()? };
    let mut publish = Publish {
        dup,
        qos,
        retain: first & 1 != 0,
        topic,
        packet_id,
        topic_alias: None,
        expiry_s: None,
        forwarded: Cow::Borrowed(&[]),
        payload: &[],
    };
    if version == Version::V5 {
        let section = reader.properties()?;
        if !section.is_empty() {
            publish_properties(section, &mut publish)?;
        }
    }
    if topic.is_empty() && publish.topic_alias.is_none() {
        return Err(Violation { reason: Reason::ProtocolError, what: "topic is empty" });
    }
    publish.payload = reader.0;
    Ok(publish)
}

fn publish_properties<'a>(section: &'a [u8], publish: &mut Publish<'a>) -> Result<(), Violation> {
    let mut properties = Properties::new(section);
    let mut keep = Kept::new(section);
    while let Some((id, value)) = properties.next()? {
        match (id, value) {
            (property::TOPIC_ALIAS, Value::U16(alias)) => {
                publish.topic_alias = Some(alias);
                keep.cut(&properties);
            }
            (property::MESSAGE_EXPIRY_INTERVAL, Value::U32(seconds)) => {
                publish.expiry_s = Some(seconds);
                keep.cut(&properties);
            }
            (property::RESPONSE_TOPIC, Value::Text(topic)) => check_response_topic(topic)?,
            (property::PAYLOAD_FORMAT_INDICATOR, Value::Byte(is_text)) => {
                flag(is_text)?;
            }
            (property::CONTENT_TYPE, Value::Text(_))
            | (property::CORRELATION_DATA, Value::Binary(_))
            | (property::USER_PROPERTY, Value::Pair) => {}
            // A subscription identifier comes only from a server. [MQTT-3.3.4-6]
            _ => return Err(NOT_IN_THIS_PACKET),
        }
        keep.mark(&properties);
    }
    publish.forwarded = keep.finish();
    Ok(())
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) packet_id: u16,
    /// 0x80 and above are failures.
    pub(crate) reason: u8,
}

/// Reads the body of a PUBACK, PUBREC, PUBREL or PUBCOMP packet.
pub(crate) fn ack(kind: u8, body: &[u8], version: Version) -> Result<Ack, Violation> {
    let mut reader = Reader(body);
    let packet_id = reader.packet_id()?;
    if version == Version::V3 || reader.0.is_empty() {
        reader.end()?;
        return Ok(Ack { packet_id, reason: 0 });
    }
    let reason = reader.u8()?;
    let is_known = match kind {
        kind::PUBACK | kind::PUBREC => {
            matches!(reason, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
        }
        _ => matches!(reason, 0x00 | 0x92),
    };
    if !is_known {
        return Err(Violation::malformed("unknown reason code"));
    }
    if !reader.0.is_empty() {
        reason_properties(reader.properties()?, |_, _| false)?;
    }
    reader.end()?;
    Ok(Ack { packet_id, reason })
}

/// A SUBSCRIBE packet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subscribe<'a> {
    pub(crate) packet_id: u16,
    /// 0 when there is none.
    pub(crate) identifier: u32,
    pub(crate) filters: Vec<SubscribeFilter<'a>>,
}

/// One filter of a SUBSCRIBE packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubscribeFilter<'a> {
    pub(crate) filter: &'a str,
    pub(crate) qos: Qos,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) retain_handling: RetainHandling,
}

/// Which retained messages a new subscription gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetainHandling {
    /// All that match.
    Send,
    /// All that match, when the subscription did not exist.
    SendIfNew,
    /// None.
    DoNotSend,
}

/// Reads the body of a SUBSCRIBE packet.
pub(crate) fn subscribe(body: &[u8], version: Version) -> Result<Subscribe<'_>, Violation> {
    let mut reader = Reader(body);
    let packet_id = reader.packet_id()?;
    let mut identifier = 0;
    if version == Version::V5 {
        let mut properties = Properties::new(reader.properties()?);
        while let Some((id, value)) = properties.next()? {
            match (id, value) {
                (property::SUBSCRIPTION_IDENTIFIER, Value::Var(number)) => {
                    identifier = nonzero(number, "subscription identifier is 0")?;
                }
                (property::USER_PROPERTY, Value::Pair) => {}
                _ => return Err(NOT_IN_THIS_PACKET),
            }
        }
    }
    let mut filters = Vec::new();
    while !reader.0.is_empty() {
        let filter = reader.string()?;
        let options = reader.u8()?;
        let reserved = if version == Version::V5 { 0b1100_0000 } else { 0b1111_1100 };
        if options & reserved != 0 {
            return Err(Violation::malformed("reserved subscription options are set")); // [MQTT-3.8.3-4], 5: -5
        }
        let retain_handling = match (options >> 4) & 3 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(Violation::protocol("retain handling is 3")),
        };
        let no_local = options & 4 != 0;
        if no_local && filter.starts_with("$share/") {
            return Err(Violation::protocol("no local on a shared subscription")); // MQTT 5 [MQTT-3.8.3-4]
        }
        filters.push(SubscribeFilter {
            filter,
            qos: qos_from_bits(options & 3).ok_or(Violation::malformed("subscription with QoS 3"))?,
            no_local,
            retain_as_published: options & 8 != 0,
            retain_handling,
        });
    }
    if filters.is_empty() {
        return Err(Violation::protocol("SUBSCRIBE without a filter")); // [MQTT-3.8.3-3], 5: -2
    }
    Ok(Subscribe { packet_id, identifier, filters })
}

/// Reads the body of an UNSUBSCRIBE packet: packet id and filters.
pub(crate) fn unsubscribe(body: &[u8], version: Version) -> Result<(u16, Vec<&str>), Violation> {
    let mut reader = Reader(body);
    let packet_id = reader.packet_id()?;
    if version == Version::V5 {
        let mut properties = Properties::new(reader.properties()?);
        while let Some((id, _)) = properties.next()? {
            if id != property::USER_PROPERTY {
                return Err(NOT_IN_THIS_PACKET);
            }
        }
    }
    let mut filters = Vec::new();
    while !reader.0.is_empty() {
        filters.push(reader.string()?);
    }
    if filters.is_empty() {
        return Err(Violation::protocol("UNSUBSCRIBE without a filter")); // [MQTT-3.10.3-2]
    }
    Ok((packet_id, filters))
}

/// A DISCONNECT packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disconnect {
    pub(crate) reason: u8,
    pub(crate) session_expiry_s: Option<u32>,
}

/// Reads the body of a DISCONNECT packet.
pub(crate) fn disconnect(body: &[u8], version: Version) -> Result<Disconnect, Violation> {
    let mut reader = Reader(body);
    let mut disconnect = Disconnect { reason: 0, session_expiry_s: None };
    if version == Version::V5 && !body.is_empty() {
        disconnect.reason = reader.u8()?;
        // The reasons a client may give (MQTT 5, table 3-10).
        let is_known = matches!(disconnect.reason, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99);
        if !is_known {
            return Err(Violation::malformed("unknown reason code"));
        }
        if !reader.0.is_empty() {
            reason_properties(reader.properties()?, |id, value| match (id, value) {
                (property::SESSION_EXPIRY_INTERVAL, Value::U32(seconds)) => {
                    disconnect.session_expiry_s = Some(*seconds);
                    true
                }
                _ => false,
            })?;
        }
    }
    reader.end()?;
    Ok(disconnect)
}

/// Checks the body of a packet that has none.
pub(crate) fn empty(body: &[u8]) -> Result<(), Violation> {
    Reader(body).end()
}

const NOT_IN_THIS_PACKET: Violation = Violation::protocol("property does not belong in this packet");

/// Reads properties among which are reason strings and user properties; `other` says whether it takes another one.
fn reason_properties(section: &[u8], mut other: impl FnMut(u8, &Value<'_>) -> bool) -> Result<(), Violation> {
    let mut properties = Properties::new(section);
    while let Some((id, value)) = properties.next()? {
        match (id, &value) {
            (property::REASON_STRING, Value::Text(_)) | (property::USER_PROPERTY, Value::Pair) => {}
            (id, value) if other(id, value) => {}
            _ => return Err(NOT_IN_THIS_PACKET),
        }
    }
    Ok(())
}

fn check_response_topic(topic: &str) -> Result<(), Violation> {
    if topic.is_empty() || has_wildcard(topic) {
        return Err(Violation::protocol("response topic is empty or has a wildcard")); // [MQTT-3.3.2-14]
    }
    Ok(())
}

fn has_wildcard(topic: &str) -> bool {
    topic.bytes().any(|byte| byte == b'+' || byte == b'#')
}

fn flag(byte: u8) -> Result<bool, Violation> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Violation::protocol("property is neither 0 nor 1")),
    }
}

fn nonzero<T: Default + PartialEq>(number: T, what: &'static str) -> Result<T, Violation> {
    if number == T::default() { Err(Violation::protocol(what)) } else { Ok(number) }
}

/// What of a section of properties is passed on: all of it, or copies of the parts around those that are cut out.
struct Kept<'a> {
    section: &'a [u8],
    /// Where the property that is being read began.
    start: usize,
    copied: Option<Vec<u8>>,
    cut: bool,
}

impl<'a> Kept<'a> {
    fn new(section: &'a [u8]) -> Self {
        Self { section, start: 0, copied: None, cut: false }
    }

    /// The property that was just read is not passed on.
    fn cut(&mut self, _: &Properties<'a>) {
        self.copied.get_or_insert_with(|| self.section[..self.start].to_vec());
        self.cut = true;
    }

    /// The property that was just read ends here.
    fn mark(&mut self, properties: &Properties<'a>) {
        let end = self.section.len() - properties.rest.len();
        if let Some(copied) = &mut self.copied
            && !self.cut
        {
            copied.extend_from_slice(&self.section[self.start..end]);
        }
        (self.start, self.cut) = (end, false);
    }

    fn finish(self) -> Cow<'a, [u8]> {
        self.copied.map_or(Cow::Borrowed(self.section), Cow::Owned)
    }
}

/// The value of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    Byte(u8),
    U16(u16),
    U32(u32),
    Var(u32),
    Text(&'a str),
    Binary(&'a [u8]),
    /// A user property. Checked; nobody here reads it.
    Pair,
}

/// Reads properties one after the other and refuses one that comes twice.
struct Properties<'a> {
    rest: &'a [u8],
    seen: u64,
}

impl<'a> Properties<'a> {
    fn new(section: &'a [u8]) -> Self {
        Self { rest: section, seen: 0 }
    }

    fn next(&mut self) -> Result<Option<(u8, Value<'a>)>, Violation> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader(self.rest);
        // Identifiers are variable byte integers, but all that exist have one byte.
        let id = reader.u8()?;
        let value = match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => Value::Byte(reader.u8()?),
            0x13 | 0x21 | 0x22 | 0x23 => Value::U16(reader.u16()?),
            0x02 | 0x11 | 0x18 | 0x27 => Value::U32(reader.u32()?),
            0x0b => Value::Var(reader.var()?),
            0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => Value::Text(reader.string()?),
            0x09 | 0x16 => Value::Binary(reader.binary()?),
            0x26 => {
                reader.string()?;
                reader.string()?;
                Value::Pair
            }
            _ => return Err(Violation::malformed("unknown property")),
        };
        if id != property::USER_PROPERTY && self.seen & (1 << id) != 0 {
            return Err(Violation::protocol("property comes twice"));
        }
        self.seen |= 1 << id;
        self.rest = reader.0;
        Ok(Some((id, value)))
    }
}

/// Reads the fields of a packet from its front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Violation> {
        let (field, rest) = self.0.split_at_checked(bytes).ok_or(Violation::malformed("packet ends in a field"))?;
        self.0 = rest;
        Ok(field)
    }

    fn u8(&mut self) -> Result<u8, Violation> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Violation> {
        let field = self.take(2)?;
        Ok(u16::from_be_bytes([field[0], field[1]]))
    }

    fn u32(&mut self) -> Result<u32, Violation> {
        let field = self.take(4)?;
        Ok(u32::from_be_bytes([field[0], field[1], field[2], field[3]]))
    }

    fn packet_id(&mut self) -> Result<u16, Violation> {
        nonzero(self.u16()?, "packet id is 0") // [MQTT-2.3.1-1], MQTT 5 [MQTT-2.2.1-3]
    }

    /// A variable byte integer, in as few bytes as it needs. [MQTT-1.5.5-1]
    fn var(&mut self) -> Result<u32, Violation> {
        let mut value = 0u32;
        for at in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                let is_padded = at > 0 && byte == 0;
                return if is_padded { Err(Violation::malformed("padded variable byte integer")) } else { Ok(value) };
            }
        }
        Err(Violation::malformed("variable byte integer has more than four bytes"))
    }

    fn binary(&mut self) -> Result<&'a [u8], Violation> {
        let bytes = self.u16()?;
        self.take(usize::from(bytes))
    }

    /// A string: UTF-8 without surrogates and U+0000. [MQTT-1.5.3-1], [MQTT-1.5.3-2], MQTT 5 [MQTT-1.5.4-1], -2
    fn string(&mut self) -> Result<&'a str, Violation> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes).map_err(|_| Violation::malformed("string is not UTF-8"))?;
        if bytes.contains(&0) { Err(Violation::malformed("string contains U+0000")) } else { Ok(text) }
    }

    fn properties(&mut self) -> Result<&'a [u8], Violation> {
        let bytes = self.var()?;
        self.take(bytes as usize)
    }

    fn end(&self) -> Result<(), Violation> {
        if self.0.is_empty() { Ok(()) } else { Err(Violation::malformed("bytes after the end of the packet")) }
    }
}

#[cfg(test)]
mod tests;
