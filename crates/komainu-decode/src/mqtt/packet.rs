//! Packets behind their fixed header.

use super::Event;
use crate::fields::Fields;

/// The filters of a SUBSCRIBE or an UNSUBSCRIBE that are told. Clients send a few; a packet of the largest size
/// could have 16,000.
const FILTERS_MAX: usize = 256;

/// CONNECT (MQTT 5, 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect<'a> {
    /// `MQTT`, or `MQIsdp` of MQTT 3.1.
    pub protocol_name: &'a [u8],
    /// 3, 4 or 5: MQTT 3.1, 3.1.1 or 5.
    pub level: u8,
    /// The connect flags, as they were sent.
    pub flags: u8,
    /// How long the client may be silent, in seconds; 0 is for ever.
    pub keep_alive_s: u16,
    /// Who the client is.
    pub client_id: &'a [u8],
    /// The name of the user.
    pub user: Option<&'a [u8]>,
    /// The password.
    pub password: Option<&'a [u8]>,
    /// What the server is to say when the client is gone.
    pub will: Option<Will<'a>>,
}

/// What a server is to say when a client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Will<'a> {
    /// To whom.
    pub topic: &'a [u8],
    /// What.
    pub message: &'a [u8],
}

/// PUBLISH (MQTT 5, 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// To whom. Empty where MQTT 5 stands an alias in for it.
    pub topic: &'a [u8],
    /// What pairs it with its acknowledgement; none at quality of service 0.
    pub packet_id: Option<u16>,
    /// 0: at most once, 1: at least once, 2: once.
    pub qos: u8,
    /// Whether it may have been sent before.
    pub dup: bool,
    /// Whether the server keeps it for those who come later.
    pub retain: bool,
    /// How long the payload is, in bytes.
    pub payload_bytes: u32,
    /// The beginning of the payload, at most [`super::MESSAGE_BYTES_MAX`].
    pub message: &'a [u8],
}

/// Which messages a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter<'a> {
    /// Those to such topics.
    pub filter: &'a [u8],
    /// The options, as they were sent; the two lowest bits are the quality of service.
    pub options: u8,
}

/// Which acknowledgement of a PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of MQTT 5, 2.1.2")]
pub enum AckKind {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

impl Connect<'_> {
    /// Whether the client wants to be remembered by nothing.
    pub fn is_clean(&self) -> bool {
        self.flags & 0x02 != 0
    }

    /// The quality of service of the will.
    pub fn will_qos(&self) -> u8 {
        self.flags >> 3 & 3
    }

    /// Whether the will is kept for those who come later.
    pub fn is_will_retained(&self) -> bool {
        self.flags & 0x20 != 0
    }
}

/// Leaves out the filters beyond the bound; gives back whether there were any.
pub(super) fn leave_out_filters(event: &mut Event<'_>) -> bool {
    match event {
        Event::Subscribe { filters, .. } if filters.len() > FILTERS_MAX => filters.truncate(FILTERS_MAX),
        Event::Unsubscribe { filters, .. } if filters.len() > FILTERS_MAX => filters.truncate(FILTERS_MAX),
        _ => return false,
    }
    true
}

/// Reads a whole packet that is no PUBLISH, with one filter more than the bound if there are so many. None when it is
/// malformed.
pub(super) fn parse(kind: u8, body: &[u8], is_5: bool) -> Option<Event<'_>> {
    let mut fields = Fields::new(body);
    Some(match kind {
        1 => Event::Connect(Connect::parse(&mut fields)?),
        2 => Event::ConnAck { session_present: fields.u8()? & 1 != 0, code: fields.u8()? },
        4 => ack(AckKind::PubAck, &mut fields)?,
        5 => ack(AckKind::PubRec, &mut fields)?,
        6 => ack(AckKind::PubRel, &mut fields)?,
        7 => ack(AckKind::PubComp, &mut fields)?,
        8 => {
            let packet_id = request(&mut fields, is_5)?;
            let mut filters = Vec::new();
            while !fields.is_empty() && filters.len() <= FILTERS_MAX {
                filters.push(Filter { filter: fields.string16()?, options: fields.u8()? });
            }
            Event::Subscribe { packet_id, filters }
        }
        9 => Event::SubAck { packet_id: request(&mut fields, is_5)?, codes: fields.rest() },
        10 => {
            let packet_id = request(&mut fields, is_5)?;
            let mut filters = Vec::new();
            while !fields.is_empty() && filters.len() <= FILTERS_MAX {
                filters.push(fields.string16()?);
            }
            Event::Unsubscribe { packet_id, filters }
        }
        11 => Event::UnsubAck { packet_id: request(&mut fields, is_5)?, codes: fields.rest() },
        12 => Event::PingReq,
        13 => Event::PingResp,
        14 => Event::Disconnect { reason: fields.u8() },
        15 => Event::Auth { reason: fields.u8() },
        _ => return None,
    })
}

/// The packet id in front of a packet, and the properties of MQTT 5 behind it.
fn request(fields: &mut Fields<'_>, is_5: bool) -> Option<u16> {
    let packet_id = fields.u16()?;
    if is_5 {
        properties(fields)?;
    }
    Some(packet_id)
}

/// MQTT 5 may leave out a reason that is 0 (3.4.2.1).
fn ack(kind: AckKind, fields: &mut Fields<'_>) -> Option<Event<'static>> {
    Some(Event::Ack { kind, packet_id: fields.u16()?, reason: fields.u8() })
}

/// Takes the properties of MQTT 5: their length in up to four bytes (1.5.5), and they.
fn properties<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let mut length = 0;
    for index in 0..4 {
        let byte = fields.u8()?;
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return fields.take(length);
        }
    }
    None
}

impl<'a> Connect<'a> {
    fn parse(fields: &mut Fields<'a>) -> Option<Self> {
        let protocol_name = fields.string16()?;
        let (level, flags, keep_alive_s) = (fields.u8()?, fields.u8()?, fields.u16()?);
        if level == 5 {
            properties(fields)?;
        }
        let client_id = fields.string16()?;
        let will = if flags & 0x04 != 0 {
            if level == 5 {
                properties(fields)?;
            }
            Some(Will { topic: fields.string16()?, message: fields.string16()? })
        } else {
            None
        };
        let user = if flags & 0x80 != 0 { Some(fields.string16()?) } else { None };
        let password = if flags & 0x40 != 0 { Some(fields.string16()?) } else { None };
        Some(Self { protocol_name, level, flags, keep_alive_s, client_id, user, password, will })
    }
}

impl<'a> Publish<'a> {
    /// Reads what stands in front of the payload; gives back how long that is. None when it is malformed or cut.
    pub(super) fn parse(flags: u8, body: &'a [u8], is_5: bool) -> Option<(Self, usize)> {
        let mut fields = Fields::new(body);
        let topic = fields.string16()?;
        let qos = flags >> 1 & 3;
        let packet_id = if qos > 0 { Some(fields.u16()?) } else { None };
        if is_5 {
            properties(&mut fields)?;
        }
        let publish =
            Self { topic, packet_id, qos, dup: flags & 8 != 0, retain: flags & 1 != 0, payload_bytes: 0, message: &[] };
        Some((publish, body.len() - fields.rest().len()))
    }
}
