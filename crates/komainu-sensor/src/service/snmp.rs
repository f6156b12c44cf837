//! Simple Network Management Protocol: an agent of versions 1 and 2c (RFC 1157, RFC 3416), whose objects a persona lists.
//!
//! Nothing can be set. As with an agent, who does not know the community hears nothing. Of version 3, where a persona has
//! it, the agent says who it is, and that it does not know the user, whoever that is.

mod ber;
mod engine;

use std::sync::Arc;

use komainu_decode::snmp::{Event, Message, Pdu, PduKind, PduNumbers, Reader};
use komainu_decode::{Decoder, Fact, Place, Side};
use serde::Deserialize;

use self::ber::{Oid, element, integer, number, unsigned};
use self::engine::Engine;
use super::answer::{Answer, Call, DATAGRAM_BYTES_MAX};
use crate::persona::{Device, PersonaError};

/// Objects of a persona. What a device tells of itself and of its interfaces is some hundred.
const OBJECTS_MAX: usize = 4_096;

/// Bytes of a value, so that each has room in an answer.
const VALUE_BYTES_MAX: usize = 1024;

/// Communities of a persona.
const COMMUNITIES_MAX: usize = 32;

/// The variables of a request. Clients ask for a few dozens at once.
const VARIABLES_MAX: usize = 64;

/// How often GetBulk asks for what comes next, at most. An answer has no room for more.
const REPETITIONS_MAX: i64 = 128;

/// Bytes by which the lengths of a message, of its PDU and of its list may grow with what is in them, beyond 127 bytes:
/// from one to three each.
const LENGTHS_BYTES_MAX: usize = 6;

const NULL: u8 = 0x05;
const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const RESPONSE: u8 = 0xA2;
const TIME_TICKS: u8 = 0x43;
/// RFC 3416, 3: what stands for a value that is not there.
const NO_SUCH_OBJECT: u8 = 0x80;
const END_OF_MIB_VIEW: u8 = 0x82;

// RFC 3416, 3; the first of them are those of RFC 1157, 4.1.1.
const TOO_BIG: i64 = 1;
const NO_SUCH_NAME: i64 = 2;
const NO_ACCESS: i64 = 6;

/// An agent.
#[derive(Debug)]
pub(crate) struct Snmp {
    communities: Vec<Vec<u8>>,
    /// Who the agent is in version 3; without it, there is no answer to that.
    engine: Option<Engine>,
    /// In the order of their names.
    objects: Vec<(Oid, Value)>,
}

/// What an object is.
#[derive(Debug, Clone)]
enum Value {
    /// It stays as it is: a tag and its content.
    Fixed(u8, Vec<u8>),
    /// Hundredths of a second that go on, and how many are added.
    Uptime(u32),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnmpText {
    pub(crate) ports: Vec<u16>,
    #[serde(default = "communities")]
    communities: Vec<String>,
    engine_id: Option<String>,
    #[serde(default = "engine_boots")]
    engine_boots: u32,
    object: Vec<ObjectText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectText {
    oid: String,
    #[serde(rename = "type")]
    kind: KindText,
    #[serde(default)]
    value: ValueText,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindText {
    Integer,
    String,
    Hex,
    Oid,
    Address,
    Counter,
    Gauge,
    Uptime,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ValueText {
    Number(i64),
    Text(String),
}

impl Default for ValueText {
    fn default() -> Self {
        Self::Number(0)
    }
}

fn communities() -> Vec<String> {
    vec!["public".into()]
}

const fn engine_boots() -> u32 {
    1
}

impl Snmp {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: SnmpText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        if text.communities.len() > COMMUNITIES_MAX {
            return Err(device.wrong(format!("{at}.communities"), format!("must be at most {COMMUNITIES_MAX}")));
        }
        if text.object.is_empty() || text.object.len() > OBJECTS_MAX {
            return Err(device.wrong(format!("{at}.object"), format!("must be 1 to {OBJECTS_MAX}")));
        }
        let mut objects = Vec::new();
        for (number, ObjectText { oid, kind, value }) in text.object.iter().enumerate() {
            let at = format!("{at}.object[{number}]");
            let Some(oid) = Oid::parse(oid) else {
                return Err(device.wrong(format!("{at}.oid"), "must be numbers with dots between them"));
            };
            let value = Value::check(*kind, value).map_err(|problem| device.wrong(format!("{at}.value"), problem))?;
            objects.push((oid, value));
        }
        objects.sort_by(|(one, _), (other, _)| one.cmp(other));
        if let Some(pair) = objects.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(device.wrong(format!("{at}.object"), format!("has {} a second time", pair[0].0)));
        }
        let communities = text.communities.into_iter().map(String::into_bytes).collect();
        let engine = text.engine_id.map(|id| Engine::check(&id, text.engine_boots));
        let engine = engine.transpose().map_err(|(field, problem)| device.wrong(format!("{at}.{field}"), problem))?;
        Ok(Self { communities, engine, objects })
    }

    fn object(&self, oid: &Oid) -> Option<&(Oid, Value)> {
        let at = self.objects.binary_search_by(|(known, _)| known.cmp(oid)).ok()?;
        self.objects.get(at)
    }

    /// Seconds since the device was started, as it tells them itself where it does.
    fn uptime_s(&self, at: i64) -> u32 {
        let told = self.objects.iter().find_map(|(_, value)| match value {
            Value::Uptime(more) => Some(*more),
            Value::Fixed(..) => None,
        });
        ticks(at, told.unwrap_or(0)) / 100
    }

    fn next(&self, oid: &Oid) -> Option<&(Oid, Value)> {
        let at = self.objects.partition_point(|(known, _)| known <= oid);
        self.objects.get(at)
    }
}

impl Value {
    fn check(kind: KindText, value: &ValueText) -> Result<Self, &'static str> {
        let counted = |value: &i64| u32::try_from(*value).map_err(|_| "must be 0 to 4294967295");
        let fixed = match (kind, value) {
            (KindText::Uptime, ValueText::Number(ticks)) => return Ok(Self::Uptime(counted(ticks)?)),
            (KindText::Counter, ValueText::Number(value)) => (0x41, unsigned(counted(value)?)),
            (KindText::Gauge, ValueText::Number(value)) => (0x42, unsigned(counted(value)?)),
            (KindText::Integer, ValueText::Number(value)) => {
                (0x02, number(i32::try_from(*value).map_err(|_| "must be an integer of 32 bits")?.into()))
            }
            (KindText::String, ValueText::Text(text)) => (OCTET_STRING, text.clone().into_bytes()),
            (KindText::Hex, ValueText::Text(text)) => {
                (OCTET_STRING, hex::decode(text).map_err(|_| "must be pairs of hexadecimal digits")?)
            }
            (KindText::Oid, ValueText::Text(text)) => {
                (OBJECT_IDENTIFIER, Oid::parse(text).ok_or("must be numbers with dots between them")?.encoded())
            }
            (KindText::Address, ValueText::Text(text)) => {
                (0x40, text.parse::<std::net::Ipv4Addr>().map_err(|_| "must be an IPv4 address")?.octets().to_vec())
            }
            (KindText::Uptime | KindText::Counter | KindText::Gauge | KindText::Integer, ValueText::Text(_)) => {
                return Err("must be a number");
            }
            (KindText::String | KindText::Hex | KindText::Oid | KindText::Address, ValueText::Number(_)) => {
                return Err("must be a text");
            }
        };
        if fixed.1.len() > VALUE_BYTES_MAX {
            return Err("is longer than 1024 bytes");
        }
        Ok(Self::Fixed(fixed.0, fixed.1))
    }

    /// As it is sent. `at` is the time, in microseconds since 1970.
    fn encoded(&self, at: i64) -> Vec<u8> {
        match self {
            Self::Fixed(tag, content) => element(*tag, content),
            Self::Uptime(more) => element(TIME_TICKS, &unsigned(ticks(at, *more))),
        }
    }
}

/// Hundredths of a second, which begin anew after 497 days (RFC 2578, 7.1.8). `at` is in microseconds since 1970.
fn ticks(at: i64, more: u32) -> u32 {
    let ticks = (at / 10_000).rem_euclid(1 << 32);
    u32::try_from(ticks).unwrap_or_default().wrapping_add(more)
}

/// What is said in one flow.
#[derive(Debug)]
pub(crate) struct Talk {
    persona: Arc<Snmp>,
}

impl Talk {
    pub(crate) fn new(persona: Arc<Snmp>) -> Self {
        Self { persona }
    }

    /// What is said to a datagram.
    pub(crate) fn answer(&mut self, datagram: &[u8], call: &Call) -> Answer {
        let mut answer = Answer::silence();
        Reader::default().data(Side::Client, datagram, &mut |_: Place, fact: Fact<'_>| {
            if let Fact::Snmp(Event::Message(message)) = fact {
                answer = self.answer_to(&message, call).unwrap_or_default();
            }
        });
        answer
    }

    fn answer_to(&self, message: &Message<'_>, call: &Call) -> Option<Answer> {
        if message.version == 3 {
            let report = self.persona.engine.as_ref()?.report(message, self.persona.uptime_s(call.at))?;
            return Some(Answer::first_fitting(call.room, [report]));
        }
        let community = message.community?;
        let pdu = message.pdu.as_ref().filter(|pdu| pdu.variables.len() <= VARIABLES_MAX)?;
        let PduNumbers::Common { request_id, error_status, error_index } = pdu.numbers else { return None };
        if !self.persona.communities.iter().any(|known| known == community) {
            return None;
        }
        let reply = Reply { version: message.version, community, request_id };
        Some(match pdu.kind {
            PduKind::GetRequest => self.get(&reply, pdu, call, Snmp::object, NO_SUCH_OBJECT)?,
            PduKind::GetNextRequest => self.get(&reply, pdu, call, Snmp::next, END_OF_MIB_VIEW)?,
            PduKind::GetBulkRequest if message.version > 1 => {
                let once = usize::try_from(error_status).unwrap_or(0).min(pdu.variables.len());
                let repetitions = error_index.clamp(0, REPETITIONS_MAX);
                self.get_bulk(&reply, pdu, call, Bulk { once, repetitions })?
            }
            PduKind::SetRequest => {
                let status = if message.version == 1 { NO_SUCH_NAME } else { NO_ACCESS };
                reply.refusal(pdu, call, status, 1)
            }
            PduKind::GetBulkRequest
            | PduKind::Response
            | PduKind::TrapV1
            | PduKind::InformRequest
            | PduKind::TrapV2
            | PduKind::Report => return None,
        })
    }

    /// GetRequest and GetNextRequest: `find` finds the object, and `missing` stands for one that is not there.
    fn get(
        &self,
        reply: &Reply<'_>,
        pdu: &Pdu<'_>,
        call: &Call,
        find: for<'a> fn(&'a Snmp, &Oid) -> Option<&'a (Oid, Value)>,
        missing: u8,
    ) -> Option<Answer> {
        let mut bindings = Vec::new();
        for (index, variable) in (1..).zip(&pdu.variables) {
            let oid = Oid::decode(variable.name.bytes())?;
            match find(&self.persona, &oid) {
                Some((oid, value)) => bindings.extend(binding(&oid.encoded(), &value.encoded(call.at))),
                None if reply.version == 1 => return Some(reply.refusal(pdu, call, NO_SUCH_NAME, index)),
                None => bindings.extend(binding(variable.name.bytes(), &[missing, 0])),
            }
        }
        let natural = reply.encoded(0, 0, &bindings);
        Some(Answer::first_fitting(call.room, [natural, reply.too_big(pdu)]))
    }

    /// GetBulkRequest (RFC 3416, 4.2.3): as much as there is room for, which the client expects.
    fn get_bulk(&self, reply: &Reply<'_>, pdu: &Pdu<'_>, call: &Call, bulk: Bulk) -> Option<Answer> {
        let names = pdu.variables.iter().map(|variable| Oid::decode(variable.name.bytes()));
        let names: Vec<Oid> = names.collect::<Option<_>>()?;
        let fitting = |bytes_max| {
            let bindings = self.next_of_all(reply, names.clone(), call, bulk, bytes_max);
            bindings.map(|bindings| reply.encoded(0, 0, &bindings))
        };
        let choices = [fitting(DATAGRAM_BYTES_MAX), fitting(call.room.next()), Some(reply.too_big(pdu))];
        Some(Answer::first_fitting(call.room, choices.into_iter().flatten()))
    }

    /// What comes after `names`, as much of it as an answer of `bytes_max` has room for; none when that is nothing of
    /// something.
    fn next_of_all(
        &self,
        reply: &Reply<'_>,
        mut names: Vec<Oid>,
        call: &Call,
        bulk: Bulk,
        bytes_max: usize,
    ) -> Option<Vec<u8>> {
        let lengths = if bytes_max < 0x80 { 0 } else { LENGTHS_BYTES_MAX };
        let room = bytes_max.saturating_sub(reply.encoded(0, 0, &[]).len() + lengths);
        let mut bindings = Vec::new();
        let (once, repeated) = names.split_at_mut(bulk.once);
        for name in once {
            let (next, _) = self.next_of(name, call);
            if bindings.len() + next.len() > room {
                return (!bindings.is_empty()).then_some(bindings);
            }
            bindings.extend(next);
        }
        for _ in 0..bulk.repetitions {
            let mut has_more = false;
            for name in &mut *repeated {
                let (next, is_object) = self.next_of(name, call);
                if bindings.len() + next.len() > room {
                    return (!bindings.is_empty()).then_some(bindings);
                }
                bindings.extend(next);
                has_more |= is_object;
            }
            // When nothing comes after any of them, more of it says nothing.
            if !has_more {
                break;
            }
        }
        Some(bindings)
    }

    /// The binding that comes after `name`, which becomes its name, and whether there is an object.
    fn next_of(&self, name: &mut Oid, call: &Call) -> (Vec<u8>, bool) {
        match self.persona.next(name) {
            Some((next, value)) => {
                *name = next.clone();
                (binding(&next.encoded(), &value.encoded(call.at)), true)
            }
            None => (binding(&name.encoded(), &[END_OF_MIB_VIEW, 0]), false),
        }
    }
}

/// What GetBulk asks for.
#[derive(Debug, Clone, Copy)]
struct Bulk {
    /// How many of the variables are asked for once.
    once: usize,
    /// How often the others are.
    repetitions: i64,
}

/// What all answers to a request have in common.
struct Reply<'a> {
    /// 1 or 2.
    version: u8,
    community: &'a [u8],
    request_id: i64,
}

impl Reply<'_> {
    /// A message with a Response in it.
    fn encoded(&self, status: i64, index: i64, bindings: &[u8]) -> Vec<u8> {
        let pdu = [integer(self.request_id), integer(status), integer(index), element(SEQUENCE, bindings)].concat();
        let version = integer(i64::from(self.version) - 1);
        let message = [version, element(OCTET_STRING, self.community), element(RESPONSE, &pdu)].concat();
        element(SEQUENCE, &message)
    }

    /// Repeats what was asked, and says which of it was wrong.
    fn refusal(&self, pdu: &Pdu<'_>, call: &Call, status: i64, index: i64) -> Answer {
        let asked = pdu
            .variables
            .iter()
            .flat_map(|variable| binding(variable.name.bytes(), &element(variable.value.tag, variable.value.content)));
        let refusal = self.encoded(status, index, &asked.collect::<Vec<u8>>());
        Answer::first_fitting(call.room, [refusal])
    }

    /// What an agent says when an answer has no room: of version 1 with what was asked, later with nothing (RFC 3416,
    /// 4.2.1).
    fn too_big(&self, pdu: &Pdu<'_>) -> Vec<u8> {
        if self.version > 1 {
            return self.encoded(TOO_BIG, 0, &[]);
        }
        let asked = pdu.variables.iter().flat_map(|variable| binding(variable.name.bytes(), &[NULL, 0]));
        self.encoded(TOO_BIG, 0, &asked.collect::<Vec<u8>>())
    }
}

fn binding(oid: &[u8], value: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, oid), value].concat())
}

#[cfg(test)]
mod tests;
