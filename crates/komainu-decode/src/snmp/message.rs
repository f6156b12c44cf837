//! Messages of all versions.

use std::net::Ipv4Addr;

use super::Oid;
use crate::ber::{self, Elements};

/// The variables of a message that are told. A datagram of 64 KiB could have 9,000; agents answer with some dozens.
const VARIABLES_MAX: usize = 256;

/// What is wrong with a message that has more.
pub(super) const TOO_MANY_VARIABLES: &str = "too_many_variables";

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// 1, 2 (2c) or 3.
    pub version: u8,
    /// The community of versions 1 and 2c.
    pub community: Option<&'a [u8]>,
    /// The user of version 3 (RFC 3414, 2.4); empty while a client asks who the agent is.
    pub user: Option<&'a [u8]>,
    /// The id of the agent of version 3.
    pub engine_id: Option<&'a [u8]>,
    /// What pairs an answer with its request in version 3, also when the rest is encrypted (RFC 3412, 6.2).
    pub id: Option<i64>,
    /// Whether whoever cannot take the message is to say why (version 3; RFC 3412, 6.4).
    pub is_reportable: bool,
    /// What shows that the user knows the key (version 3; RFC 3414, 2.4); empty where nothing does.
    pub proof: &'a [u8],
    /// Whether the rest is encrypted (version 3).
    pub is_encrypted: bool,
    /// What is asked or said; none when it is encrypted or broken.
    pub pdu: Option<Pdu<'a>>,
}

/// What is asked or said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdu<'a> {
    /// Its type.
    pub kind: PduKind,
    /// The numbers in front of the variables.
    pub numbers: PduNumbers<'a>,
    /// The variables, at most 256.
    pub variables: Vec<Variable<'a>>,
}

/// The numbers in front of the variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PduNumbers<'a> {
    /// Of all types but the next one (RFC 3416, 3).
    Common {
        /// What pairs an answer with its request.
        request_id: i64,
        /// How it went; with GetBulk the variables to be asked for once.
        error_status: i64,
        /// Which variable was wrong; with GetBulk how often the others are asked for.
        error_index: i64,
    },
    /// Of a trap of version 1 (RFC 1157, 4.1.6).
    TrapV1 {
        /// Which kind of device.
        enterprise: Oid<'a>,
        /// Its address.
        agent: Option<Ipv4Addr>,
        /// What happened, in general.
        generic: i64,
        /// What happened, in the words of the enterprise.
        specific: i64,
    },
}

/// The type of a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of RFC 1157 and RFC 3416")]
pub enum PduKind {
    GetRequest,
    GetNextRequest,
    Response,
    SetRequest,
    TrapV1,
    GetBulkRequest,
    InformRequest,
    TrapV2,
    Report,
}

/// A name and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Which.
    pub name: Oid<'a>,
    /// What it is.
    pub value: Value<'a>,
}

/// The value of a variable, as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    /// The tag of its type (RFC 3416, 3; RFC 2578, 7).
    pub tag: u8,
    /// Its content.
    pub content: &'a [u8],
}

impl PduKind {
    fn of(tag: u8) -> Option<Self> {
        Some(match tag {
            0xA0 => Self::GetRequest,
            0xA1 => Self::GetNextRequest,
            0xA2 => Self::Response,
            0xA3 => Self::SetRequest,
            0xA4 => Self::TrapV1,
            0xA5 => Self::GetBulkRequest,
            0xA6 => Self::InformRequest,
            0xA7 => Self::TrapV2,
            0xA8 => Self::Report,
            _ => return None,
        })
    }

    /// Whether an agent that takes it answers.
    pub fn wants_answer(self) -> bool {
        match self {
            Self::GetRequest | Self::GetNextRequest | Self::SetRequest | Self::GetBulkRequest | Self::InformRequest => {
                true
            }
            Self::Response | Self::TrapV1 | Self::TrapV2 | Self::Report => false,
        }
    }
}

impl Pdu<'_> {
    /// What pairs an answer with its request.
    pub fn request_id(&self) -> Option<i64> {
        match self.numbers {
            PduNumbers::Common { request_id, .. } => Some(request_id),
            PduNumbers::TrapV1 { .. } => None,
        }
    }
}

impl<'a> Message<'a> {
    /// What can be read of a message, and what is wrong with it.
    pub(super) fn parse(bytes: &'a [u8]) -> (Option<Self>, Option<&'static str>) {
        let mut outside = Elements::of(bytes);
        let begin = outside.inside(ber::SEQUENCE).and_then(|mut fields| Some((fields.integer()?, fields)));
        let Some((version, mut fields)) = begin else { return (None, Some("no_message")) };
        let mut message = Self {
            version: 0,
            community: None,
            user: None,
            engine_id: None,
            id: None,
            is_reportable: false,
            proof: &[],
            is_encrypted: false,
            pdu: None,
        };
        let read = match version {
            // RFC 1157, 4, and RFC 1901, 3: one less than their names.
            0 | 1 => {
                message.version = if version == 0 { 1 } else { 2 };
                message.community(&mut fields)
            }
            3 => {
                message.version = 3;
                message.secured(&mut fields)
            }
            _ => return (None, Some("unknown_version")),
        };
        (Some(message), read.err())
    }

    /// The rest of a message of versions 1 and 2c.
    fn community(&mut self, fields: &mut Elements<'a>) -> Result<(), &'static str> {
        self.community = Some(fields.take(ber::OCTET_STRING).ok_or("malformed_message")?);
        self.pdu(fields)
    }

    /// The rest of a message of version 3 (RFC 3412, 6; RFC 3414, 2.4).
    fn secured(&mut self, fields: &mut Elements<'a>) -> Result<(), &'static str> {
        const BROKEN: &str = "malformed_message";
        const PRIVATE: u8 = 2;
        const REPORTABLE: u8 = 4;
        const USER_BASED: i64 = 3;
        let mut header = fields.inside(ber::SEQUENCE).ok_or(BROKEN)?;
        let (id, _) = (header.integer().ok_or(BROKEN)?, header.integer().ok_or(BROKEN)?);
        let flags = header.take(ber::OCTET_STRING).and_then(<[u8]>::first).ok_or(BROKEN)?;
        (self.id, self.is_reportable) = (Some(id), flags & REPORTABLE != 0);
        let model = header.integer().ok_or(BROKEN)?;
        let security = fields.take(ber::OCTET_STRING).ok_or(BROKEN)?;
        if model == USER_BASED {
            let mut user = Elements::of(security).inside(ber::SEQUENCE).ok_or(BROKEN)?;
            self.engine_id = Some(user.take(ber::OCTET_STRING).ok_or(BROKEN)?);
            let (_, _) = (user.integer().ok_or(BROKEN)?, user.integer().ok_or(BROKEN)?);
            self.user = Some(user.take(ber::OCTET_STRING).ok_or(BROKEN)?);
            self.proof = user.take(ber::OCTET_STRING).ok_or(BROKEN)?;
        }
        if flags & PRIVATE != 0 {
            self.is_encrypted = true;
            return Ok(());
        }
        let mut scoped = fields.inside(ber::SEQUENCE).ok_or(BROKEN)?;
        let (_, _) = (scoped.take(ber::OCTET_STRING).ok_or(BROKEN)?, scoped.take(ber::OCTET_STRING).ok_or(BROKEN)?);
        self.pdu(&mut scoped)
    }

    fn pdu(&mut self, fields: &mut Elements<'a>) -> Result<(), &'static str> {
        const BROKEN: &str = "malformed_pdu";
        let (tag, content) = fields.any().ok_or(BROKEN)?;
        let kind = PduKind::of(tag).ok_or("unknown_pdu")?;
        let mut fields = Elements::of(content);
        let numbers = match kind {
            PduKind::TrapV1 => PduNumbers::trap(&mut fields),
            _ => PduNumbers::common(&mut fields),
        };
        let numbers = numbers.ok_or(BROKEN)?;
        let pdu = self.pdu.insert(Pdu { kind, numbers, variables: Vec::new() });
        let mut list = fields.inside(ber::SEQUENCE).ok_or(BROKEN)?;
        while !list.rest().is_empty() {
            if pdu.variables.len() == VARIABLES_MAX {
                return Err(TOO_MANY_VARIABLES);
            }
            pdu.variables.push(Variable::take(&mut list).ok_or("malformed_variable")?);
        }
        Ok(())
    }
}

impl<'a> PduNumbers<'a> {
    fn common(fields: &mut Elements<'a>) -> Option<Self> {
        Some(Self::Common {
            request_id: fields.integer()?,
            error_status: fields.integer()?,
            error_index: fields.integer()?,
        })
    }

    fn trap(fields: &mut Elements<'a>) -> Option<Self> {
        const IP_ADDRESS: u8 = 0x40;
        const TIME_TICKS: u8 = 0x43;
        let enterprise = Oid(fields.take(ber::OBJECT_IDENTIFIER)?);
        let agent = fields.take(IP_ADDRESS)?;
        let (generic, specific) = (fields.integer()?, fields.integer()?);
        fields.take(TIME_TICKS)?;
        let agent = <[u8; 4]>::try_from(agent).ok().map(Ipv4Addr::from);
        Some(Self::TrapV1 { enterprise, agent, generic, specific })
    }
}

impl<'a> Variable<'a> {
    fn take(list: &mut Elements<'a>) -> Option<Self> {
        let mut pair = list.inside(ber::SEQUENCE)?;
        let name = Oid(pair.take(ber::OBJECT_IDENTIFIER)?);
        let (tag, content) = pair.any()?;
        Some(Self { name, value: Value { tag, content } })
    }
}
