//! WS-Discovery: a camera says where its services of ONVIF are (OASIS WS-Discovery 1.1 in the form of its draft of April
//! 2005, which ONVIF uses: ONVIF Core Specification, 7).

use std::sync::Arc;

use komainu_decode::ssdp::{Discovery, DiscoveryKind, Event, Reader};
use komainu_decode::{Decoder, Fact, Place, Side};
use serde::Deserialize;

use super::answer::{Answer, Call};
use super::ssdp::in_url;
use crate::persona::{Device, PersonaError};

/// The id of a message that is answered, in bytes. It is a UUID with a few letters before it.
const MESSAGE_ID_BYTES_MAX: usize = 128;

/// The name of a group of messages, as it stands in `AppSequence`. What counts is that later ones have higher numbers.
const INSTANCE_ID_MASK: u64 = 0xFFFF_FFFF;

const NAMESPACES: &str = concat!(
    r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope""#,
    r#" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing""#,
    r#" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery""#,
    r#" xmlns:dn="http://www.onvif.org/ver10/network/wsdl">"#,
);

/// A device of ONVIF.
#[derive(Debug)]
pub(crate) struct Wsd {
    /// All are ready to stand in XML.
    uuid: String,
    types: String,
    scopes: String,
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WsdText {
    pub(crate) ports: Vec<u16>,
    uuid: String,
    #[serde(default = "types")]
    types: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    address: String,
}

fn types() -> Vec<String> {
    vec!["dn:NetworkVideoTransmitter".into()]
}

impl Wsd {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: WsdText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        let words = |field: &str, words: &[String]| {
            for word in words {
                if word.is_empty() || word.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
                    return Err(device.wrong(format!("{at}.{field}"), "must have words without spaces"));
                }
            }
            Ok(escaped(&words.join(" ")))
        };
        if text.types.is_empty() {
            return Err(device.wrong(format!("{at}.types"), "is empty"));
        }
        Ok(Self {
            uuid: words("uuid", &[text.uuid])?,
            types: words("types", &text.types)?,
            scopes: words("scopes", &text.scopes)?,
            address: words("address", &[text.address])?,
        })
    }

    /// Whether the device is one of those that are looked for: `types` has their names, with prefixes of the client's
    /// own. Programs of Windows look for whatever is a `Device`.
    fn is_one_of(&self, types: &[u8]) -> bool {
        let local = |name: &[u8]| name.rsplit(|byte| *byte == b':').next().unwrap_or_default().to_vec();
        let mut wanted = types.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty()).map(local);
        // All of them have to fit (5.1); none fits everything.
        wanted.all(|wanted| wanted == b"Device" || self.types.split(' ').any(|own| local(own.as_bytes()) == wanted))
    }
}

/// What is said in one flow.
#[derive(Debug)]
pub(crate) struct Talk {
    persona: Arc<Wsd>,
    seed: u64,
    /// How many messages were said.
    said: u32,
}

impl Talk {
    pub(crate) fn new(persona: Arc<Wsd>, seed: u64) -> Self {
        Self { persona, seed, said: 0 }
    }

    /// What is said to a datagram.
    pub(crate) fn answer(&mut self, datagram: &[u8], call: &Call) -> Answer {
        let mut answer = Answer::silence();
        Reader::default().data(Side::Client, datagram, &mut |_: Place, fact: Fact<'_>| {
            if let Fact::Ssdp(Event::Discovery(said)) = fact {
                answer = self.answer_to(&said, datagram, call);
            }
        });
        answer
    }

    fn answer_to(&mut self, said: &Discovery<'_>, datagram: &[u8], call: &Call) -> Answer {
        let name = match said.kind {
            DiscoveryKind::Probe if self.persona.is_one_of(said.types) => "Probe",
            DiscoveryKind::Resolve if contains(datagram, self.persona.uuid.as_bytes()) => "Resolve",
            DiscoveryKind::Probe
            | DiscoveryKind::Resolve
            | DiscoveryKind::Hello
            | DiscoveryKind::Bye
            | DiscoveryKind::ProbeMatches
            | DiscoveryKind::ResolveMatches
            | DiscoveryKind::Other => return Answer::silence(),
        };
        let Ok(relates_to) = std::str::from_utf8(said.message_id) else { return Answer::silence() };
        if relates_to.is_empty() || relates_to.len() > MESSAGE_ID_BYTES_MAX {
            return Answer::silence();
        }
        self.said = self.said.saturating_add(1);
        let scopes = &self.persona.scopes;
        let choices = [self.matches(name, relates_to, scopes, call), self.matches(name, relates_to, "", call)];
        Answer::first_fitting(call.room, choices)
    }

    /// `ProbeMatches` or `ResolveMatches`.
    fn matches(&self, name: &str, relates_to: &str, scopes: &str, call: &Call) -> Vec<u8> {
        let Self { persona, seed, said } = self;
        let Wsd { uuid, types, address, .. } = &**persona;
        let address = address.replace("{address}", &in_url(call.local));
        let instance = seed & INSTANCE_ID_MASK;
        let message = format!("{:08x}-{:04x}-4{:03x}-8000-{said:012x}", seed >> 32, seed >> 16 & 0xFFFF, seed & 0xFFF);
        let scopes = if scopes.is_empty() { String::new() } else { format!("<d:Scopes>{scopes}</d:Scopes>") };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{NAMESPACES}<s:Header>\
             <a:MessageID>urn:uuid:{message}</a:MessageID><a:RelatesTo>{relates_to}</a:RelatesTo>\
             <a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>\
             <a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/{name}Matches</a:Action>\
             <d:AppSequence InstanceId=\"{instance}\" MessageNumber=\"{said}\"/></s:Header>\
             <s:Body><d:{name}Matches><d:{name}Match>\
             <a:EndpointReference><a:Address>urn:uuid:{uuid}</a:Address></a:EndpointReference>\
             <d:Types>{types}</d:Types>{scopes}<d:XAddrs>{address}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>\
             </d:{name}Match></d:{name}Matches></s:Body></s:Envelope>"
        )
        .into_bytes()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::super::answer::Room;
    use crate::service::tests::{call, persona_of, text};

    const PERSONA: &str = r#"
        [wsd]
        ports = [3702]
        uuid = "1-2-3"
        scopes = ["onvif://www.onvif.org/name/A&B", "onvif://www.onvif.org/type/video_encoder"]
        address = "http://{address}/onvif/device_service"
    "#;

    fn said(request: &str, room: Room) -> Option<String> {
        let mut talk = persona_of(PERSONA);
        talk.answer(request.as_bytes(), &call(room)).datagrams.first().map(|datagram| text(datagram))
    }

    fn message(action: &str, body: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><e:Envelope xmlns:e=\"x\"><e:Header><w:MessageID>uuid:7</w:MessageID>\
             <w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/{action}</w:Action></e:Header>\
             <e:Body>{body}</e:Body></e:Envelope>"
        )
    }

    fn probe(types: &str) -> String {
        message("Probe", &format!("<d:Probe><d:Types>{types}</d:Types></d:Probe>"))
    }

    #[test]
    fn a_probe_finds_the_device() {
        let found = said(&probe("dn:NetworkVideoTransmitter"), Room::STREAM).unwrap();
        for part in [
            "<a:RelatesTo>uuid:7</a:RelatesTo>",
            "/discovery/ProbeMatches</a:Action>",
            "<a:Address>urn:uuid:1-2-3</a:Address>",
            "<d:Types>dn:NetworkVideoTransmitter</d:Types>",
            "<d:Scopes>onvif://www.onvif.org/name/A&amp;B onvif://www.onvif.org/type/video_encoder</d:Scopes>",
            "<d:XAddrs>http://198.51.100.1/onvif/device_service</d:XAddrs>",
        ] {
            assert!(found.contains(part), "{part} in {found}");
        }
    }

    #[test]
    fn only_who_looks_for_it_finds_it() {
        let check =
            |request: String, expected| assert_eq!(said(&request, Room::STREAM).is_some(), expected, "{request}");
        check(probe(""), true);
        check(probe("x:Device"), true);
        check(probe("x:NetworkVideoTransmitter y:Device"), true);
        check(probe("x:Printer"), false);
        check(probe("x:Printer x:Device"), false);
        check(message("Resolve", "<a:Address>urn:uuid:1-2-3</a:Address>"), true);
        check(message("Resolve", "<a:Address>urn:uuid:1-2-4</a:Address>"), false);
        check(message("Hello", ""), false);
        check(message("ProbeMatches", ""), false);
        check("<html></html>".into(), false);
    }

    #[test]
    fn with_little_room_scopes_are_left_out() {
        let request = probe("");
        let natural = said(&request, Room::STREAM).unwrap();
        let short = said(&request, Room { bytes: natural.len() - 1, datagrams: 1 }).unwrap();
        assert!(!short.contains("Scopes") && short.contains("XAddrs"));
        assert_eq!(said(&request, Room { bytes: request.len(), datagrams: 1 }), None);
    }
}
