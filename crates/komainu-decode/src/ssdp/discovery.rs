//! WS-Discovery: SOAP in a datagram, read by a scan for the few elements that matter. What is no well-formed XML is read
//! as far as it looks like it.

use memchr::{memchr, memchr2};

/// A message of WS-Discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery<'a> {
    /// What it is.
    pub kind: DiscoveryKind,
    /// The kinds of device that are looked for or that it is, separated by white space, with their prefixes; of several
    /// devices, those of the first. Empty when there are none.
    pub types: &'a [u8],
    /// The scopes that are looked for or that it is in, in the same manner. ONVIF has name, place and model in them.
    pub scopes: &'a [u8],
    /// Where its services are, in the same manner.
    pub addresses: &'a [u8],
    /// The id of the message.
    pub message_id: &'a [u8],
    /// The id of the message that it answers.
    pub relates_to: &'a [u8],
}

/// The messages of WS-Discovery (version 1.1, sections 4 to 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum DiscoveryKind {
    Hello,
    Bye,
    Probe,
    ProbeMatches,
    Resolve,
    ResolveMatches,
    /// Another SOAP message.
    Other,
}

impl DiscoveryKind {
    /// The name of the message, as the specification has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "Hello",
            Self::Bye => "Bye",
            Self::Probe => "Probe",
            Self::ProbeMatches => "ProbeMatches",
            Self::Resolve => "Resolve",
            Self::ResolveMatches => "ResolveMatches",
            Self::Other => "Other",
        }
    }

    fn of(name: &[u8]) -> Option<Self> {
        const ALL: [DiscoveryKind; 6] = [
            DiscoveryKind::Hello,
            DiscoveryKind::Bye,
            DiscoveryKind::Probe,
            DiscoveryKind::ProbeMatches,
            DiscoveryKind::Resolve,
            DiscoveryKind::ResolveMatches,
        ];
        ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }
}

impl<'a> Discovery<'a> {
    /// Reads a datagram; none when it is no SOAP.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let start = bytes.iter().position(|byte| *byte == b'<')?;
        // At most a byte order mark and white space are before it.
        const BEFORE_BYTES_MAX: usize = 16;
        if start > BEFORE_BYTES_MAX {
            return None;
        }
        let mut said = Self {
            kind: DiscoveryKind::Other,
            types: b"",
            scopes: b"",
            addresses: b"",
            message_id: b"",
            relates_to: b"",
        };
        let mut is_soap = false;
        let mut action = None;
        for Element { name, text } in (Elements { rest: bytes }) {
            let field = match name {
                b"Envelope" => {
                    is_soap = true;
                    continue;
                }
                b"Types" => &mut said.types,
                b"Scopes" => &mut said.scopes,
                b"XAddrs" => &mut said.addresses,
                b"MessageID" => &mut said.message_id,
                b"RelatesTo" => &mut said.relates_to,
                b"Action" => {
                    action = action.or(DiscoveryKind::of(text.rsplit(|byte| *byte == b'/').next().unwrap_or(text)));
                    continue;
                }
                // The element in the body, should there be no action. Those in it do not have these names.
                _ => {
                    if said.kind == DiscoveryKind::Other {
                        said.kind = DiscoveryKind::of(name).unwrap_or(DiscoveryKind::Other);
                    }
                    continue;
                }
            };
            if field.is_empty() {
                *field = text;
            }
        }
        said.kind = action.unwrap_or(said.kind);
        is_soap.then_some(said)
    }
}

/// A start tag and the text behind it.
struct Element<'a> {
    /// The name without its prefix.
    name: &'a [u8],
    /// What stands before the next tag, without white space around it.
    text: &'a [u8],
}

/// The start tags in some XML.
struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            let start = memchr(b'<', self.rest)? + 1;
            let rest = &self.rest[start..];
            self.rest = rest;
            if matches!(rest.first(), None | Some(b'/' | b'?' | b'!')) {
                continue;
            }
            let name_end =
                rest.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/' | b'<'))?;
            let name = rest[..name_end].rsplit(|byte| *byte == b':').next().unwrap_or_default();
            // Another `<` means that this is no tag.
            let tag_end = memchr2(b'>', b'<', &rest[name_end..])? + name_end;
            let behind = &rest[tag_end + usize::from(rest[tag_end] == b'>')..];
            let text = &behind[..memchr(b'<', behind).unwrap_or(behind.len())];
            self.rest = behind;
            return Some(Element { name, text: text.trim_ascii() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_read_whatever_its_prefixes() {
        let said = Discovery::parse(
            b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<s:Envelope xmlns:s=\"x\"><s:Header>\
            <a:Action s:mustUnderstand=\"1\">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>\
            <a:MessageID>uuid:1</a:MessageID></s:Header><s:Body><Probe><d:Types>dn:NetworkVideoTransmitter</d:Types>\
            <d:Scopes/></Probe></s:Body></s:Envelope>",
        )
        .unwrap();
        assert_eq!(said.kind, DiscoveryKind::Probe);
        assert_eq!(said.types, b"dn:NetworkVideoTransmitter");
        assert_eq!(said.message_id, b"uuid:1");
        assert_eq!(said.scopes, b"");
    }

    #[test]
    fn without_an_action_the_body_says_what_it_is() {
        let said =
            Discovery::parse(b"<Envelope><Body><x:ProbeMatches><ProbeMatch><XAddrs> http://a/ http://b/\n").unwrap();
        assert_eq!(said.kind, DiscoveryKind::ProbeMatches);
        assert_eq!(said.addresses, b"http://a/ http://b/");
        assert_eq!(Discovery::parse(b"<html></html>"), None);
        assert_eq!(Discovery::parse(b"<<<a<b<Envelope"), None);
    }
}
