//! Session Initiation Protocol, as a telephone at a door speaks it, over datagrams and streams (RFC 3261).
//!
//! It tells who it is and what it can do, lets accounts register, and takes no call: whoever is there is busy. It opens
//! no stream of sound. [`Talk`] is the whole of it without sockets.

mod digest;
mod stream;

use std::sync::Arc;

use komainu_decode::sip::{Event, Reader, Request};
use komainu_decode::{Decoder, Fact, Place, Side};
use serde::Deserialize;

use self::digest::Credentials;
use self::stream::{Messages, Taken};
use super::answer::{Answer, Call, Room};
use crate::link::Link;
use crate::persona::{Accounts, Device, PersonaError};
use crate::session::Ending;

/// Bytes of a header field that is repeated in an answer. `Via` of a long way is the longest.
const FIELD_BYTES_MAX: usize = 512;

/// `Via` fields that are repeated: one for each server on the way.
const VIA_MAX: usize = 8;

/// Extensions of a persona.
const EXTENSIONS_MAX: usize = 256;

/// How long a registration lasts when nothing was asked for, and at most, in seconds.
const EXPIRES_S: u32 = 3600;

/// What can be asked.
const ALLOW: &[u8] = b"INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, INFO, MESSAGE, NOTIFY, SUBSCRIBE";

/// A telephone.
#[derive(Debug)]
pub(crate) struct Sip {
    user_agent: Vec<u8>,
    realm: String,
    /// The numbers that can be called.
    extensions: Vec<Vec<u8>>,
    accounts: Accounts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SipText {
    pub(crate) ports: Vec<u16>,
    user_agent: Option<String>,
    realm: Option<String>,
    #[serde(default)]
    extensions: Vec<String>,
}

impl Sip {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: SipText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        let model = device.model.as_deref().unwrap_or(&device.host_name);
        let own = match &device.firmware {
            Some(firmware) => format!("{model} {firmware}"),
            None => model.to_owned(),
        };
        let user_agent = text.user_agent.unwrap_or(own);
        let realm = text.realm.unwrap_or_else(|| device.host_name.clone());
        for (field, value) in [("user_agent", &user_agent), ("realm", &realm)] {
            if value.is_empty() || value.chars().any(|letter| letter.is_control() || letter == '"') {
                return Err(device.wrong(format!("{at}.{field}"), "must be one line without quotation marks"));
            }
        }
        if text.extensions.len() > EXTENSIONS_MAX {
            return Err(device.wrong(format!("{at}.extensions"), format!("must be at most {EXTENSIONS_MAX}")));
        }
        let extensions = text.extensions.into_iter().map(String::into_bytes).collect();
        Ok(Self { user_agent: user_agent.into_bytes(), realm, extensions, accounts: device.accounts.clone() })
    }
}

/// Speaks with a client until the connection ends.
pub(crate) async fn serve(link: &mut Link, persona: &Arc<Sip>, seed: u64) -> Ending {
    let mut talk = Talk::new(persona.clone(), seed);
    let mut messages = Messages::default();
    loop {
        match link.read().await {
            Ok(bytes) => messages.add(&bytes),
            Err(ending) => return ending,
        }
        loop {
            let said = match messages.take() {
                Taken::Message(head) => talk.say(&head, Room::STREAM, None).datagrams.concat(),
                Taken::KeepAlive => b"\r\n".to_vec(),
                Taken::Nothing => break,
                Taken::TooLong => return Ending::Closed,
            };
            if !said.is_empty()
                && let Err(ending) = link.write(&said).await
            {
                return ending;
            }
        }
    }
}

/// What was said in one flow.
#[derive(Debug)]
pub(crate) struct Talk {
    persona: Arc<Sip>,
    /// What a client has to prove its password with.
    nonce: String,
    /// The end of a dialogue that is ours.
    tag: String,
}

impl Talk {
    pub(crate) fn new(persona: Arc<Sip>, seed: u64) -> Self {
        let nonce = format!("{:016x}", seed.rotate_left(17) ^ 0x5bd1_e995_9e37_79b9);
        Self { persona, nonce, tag: format!("{:08x}", seed & 0xFFFF_FFFF) }
    }

    /// What is said to a datagram.
    pub(crate) fn answer(&mut self, datagram: &[u8], call: &Call) -> Answer {
        self.say(datagram, call.room, Some(call))
    }

    /// What is said to a message. With `call`, its source is told to the client (RFC 3261, 18.2.1; RFC 3581, 4).
    fn say(&mut self, message: &[u8], room: Room, call: Option<&Call>) -> Answer {
        let mut answer = Answer::silence();
        Reader::datagrams().data(Side::Client, message, &mut |_: Place, fact: Fact<'_>| {
            if let Fact::Sip(Event::Request { request, .. }) = fact {
                answer = self.respond(&request, room, call).unwrap_or_default();
            }
        });
        answer
    }

    /// The response to a request; none when there is nothing to respond to.
    fn respond(&self, request: &Request<'_>, room: Room, call: Option<&Call>) -> Option<Answer> {
        let begin = Begin::of(request, &self.tag, call)?;
        let allow = (&b"Allow"[..], ALLOW.to_vec());
        let agent = (&b"User-Agent"[..], self.persona.user_agent.clone());
        let (status, needed, mut more) = match request.method {
            // Nothing is said to what ends an INVITE (RFC 3261, 17.1.1).
            b"ACK" => return None,
            b"OPTIONS" => ("200 OK", vec![], vec![allow, (b"Accept", b"application/sdp".to_vec())]),
            b"REGISTER" => self.register(request),
            b"INVITE" if self.has_extension(request.target) => ("486 Busy Here", vec![], vec![]),
            b"INVITE" => ("404 Not Found", vec![], vec![]),
            b"BYE" | b"CANCEL" => ("481 Call/Transaction Does Not Exist", vec![], vec![]),
            b"SUBSCRIBE" => ("489 Bad Event", vec![], vec![]),
            b"MESSAGE" | b"INFO" | b"NOTIFY" => ("200 OK", vec![], vec![]),
            _ => ("405 Method Not Allowed", vec![], vec![allow]),
        };
        more.push(agent);
        // Fields that nobody needs are left out from the end, until there is room.
        let choices = (0..=more.len()).rev().map(|kept| begin.with(status, needed.iter().chain(&more[..kept])));
        Some(Answer::first_fitting(room, choices))
    }

    fn register(&self, request: &Request<'_>) -> Response {
        let Sip { accounts, realm, .. } = &*self.persona;
        let proved = request.header("Authorization").and_then(Credentials::parse);
        match proved.filter(|proved| proved.nonce == self.nonce.as_bytes()) {
            None => {
                let challenge = format!("Digest realm=\"{realm}\", nonce=\"{}\", algorithm=MD5", self.nonce);
                ("401 Unauthorized", vec![(b"WWW-Authenticate", challenge.into_bytes())], vec![])
            }
            Some(proved) if accounts.passwords_of(proved.user).any(|its| proved.proves(its, request.method)) => {
                let contact = request.header("Contact").or_else(|| request.header("m")).map(one_line);
                let expires =
                    request.header("Expires").and_then(number).map_or(EXPIRES_S, |wanted| wanted.min(EXPIRES_S));
                let contact = contact.filter(|contact| contact.len() <= FIELD_BYTES_MAX);
                let bound = contact.map(|contact| (&b"Contact"[..], contact));
                ("200 OK", bound.into_iter().collect(), vec![(b"Expires", expires.to_string().into_bytes())])
            }
            Some(_) => ("403 Forbidden", vec![], vec![]),
        }
    }

    /// Whether a target such as `sip:100@192.0.2.1` is somebody here.
    fn has_extension(&self, target: &[u8]) -> bool {
        let target = target.trim_ascii();
        let address = match target.iter().position(|byte| *byte == b':') {
            Some(colon) => &target[colon + 1..],
            None => target,
        };
        let user = address.split(|byte| *byte == b'@').next().unwrap_or_default();
        self.persona.extensions.iter().any(|known| known == user)
    }
}

/// Name and value.
type Field = (&'static [u8], Vec<u8>);

/// A status, the fields that it needs, and more that can be left out.
type Response = (&'static str, Vec<Field>, Vec<Field>);

/// What a response repeats of its request (RFC 3261, 8.2.6.2).
struct Begin(Vec<Field>);

impl Begin {
    /// None when something is missing or too long: then nobody knows where a response would belong.
    fn of(request: &Request<'_>, tag: &str, call: Option<&Call>) -> Option<Self> {
        let mut via: Vec<Field> = Vec::new();
        let (mut from, mut to, mut call_id, mut sequence) = (None, None, None, None);
        for (name, value) in request.headers {
            let is = |long: &str, short: &str| {
                name.eq_ignore_ascii_case(long.as_bytes()) || name.eq_ignore_ascii_case(short.as_bytes())
            };
            let field = if is("Via", "v") {
                if via.len() == VIA_MAX || value.len() > FIELD_BYTES_MAX {
                    return None;
                }
                via.push((b"Via", one_line(value)));
                continue;
            } else if is("From", "f") {
                &mut from
            } else if is("To", "t") {
                &mut to
            } else if is("Call-ID", "i") {
                &mut call_id
            } else if is("CSeq", "CSeq") {
                &mut sequence
            } else {
                continue;
            };
            if value.len() > FIELD_BYTES_MAX {
                return None;
            }
            field.get_or_insert_with(|| one_line(value));
        }
        let (_, first) = via.first_mut()?;
        if let Some(call) = call {
            tell_source(first, call);
        }
        let mut to = to?;
        if !has_parameter(&to, b"tag") {
            to.extend_from_slice(b";tag=");
            to.extend_from_slice(tag.as_bytes());
        }
        via.extend([(&b"From"[..], from?), (b"To", to), (b"Call-ID", call_id?), (b"CSeq", sequence?)]);
        Some(Self(via))
    }

    fn with<'a>(&'a self, status: &str, more: impl Iterator<Item = &'a Field>) -> Vec<u8> {
        let mut response = format!("SIP/2.0 {status}\r\n").into_bytes();
        for (name, value) in self.0.iter().chain(more) {
            response.extend_from_slice(name);
            response.extend_from_slice(b": ");
            response.extend_from_slice(value);
            response.extend_from_slice(b"\r\n");
        }
        response.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        response
    }
}

/// Adds `received` and fills in `rport`, where the client asks for it.
fn tell_source(via: &mut Vec<u8>, call: &Call) {
    let address = call.client.ip().to_canonical().to_string();
    // Of several in one field, the first is the client's.
    let end = via.iter().position(|byte| *byte == b',').unwrap_or(via.len());
    let rest = via.split_off(end);
    let asks = via.split(|byte| *byte == b';').any(|parameter| parameter.trim_ascii().eq_ignore_ascii_case(b"rport"));
    let sent_by = via.split(|byte| *byte == b';').next().unwrap_or_default();
    let host = sent_by.trim_ascii().rsplit(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    let is_the_same =
        host.strip_prefix(address.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b':')));
    if asks {
        let port = call.client.port().to_string();
        let parameters: Vec<Vec<u8>> = via
            .split(|byte| *byte == b';')
            .map(|parameter| match parameter.trim_ascii() {
                rport if rport.eq_ignore_ascii_case(b"rport") => [b"rport=", port.as_bytes()].concat(),
                _ => parameter.to_vec(),
            })
            .collect();
        *via = parameters.join(&b';');
    }
    if asks || !is_the_same {
        via.extend_from_slice(b";received=");
        via.extend_from_slice(address.as_bytes());
    }
    via.extend_from_slice(&rest);
}

/// Whether a parameter stands behind an address.
fn has_parameter(value: &[u8], name: &[u8]) -> bool {
    let behind = value.iter().rposition(|byte| *byte == b'>').map_or(value, |end| &value[end..]);
    behind.split(|byte| *byte == b';').skip(1).any(|parameter| {
        parameter.split(|byte| *byte == b'=').next().is_some_and(|its| its.trim_ascii().eq_ignore_ascii_case(name))
    })
}

/// A value without the line ends of a folded field.
fn one_line(value: &[u8]) -> Vec<u8> {
    value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

fn number(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
