use komainu_decode::ssdp::{Event, Reader};
use komainu_decode::{Fact, Side};
use proptest::prelude::*;

use crate::talk::{self, Said, Talk};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn check(talk: &Talk<'_>, expected: &[&str]) {
    let told = talk::read(Box::new(Reader::default()), talk, usize::MAX, describe);
    assert_eq!(talk::lines(&told), expected);
}

pub(crate) fn describe(fact: &Fact<'_>) -> Said {
    let Fact::Ssdp(event) = fact else { panic!("{fact:?}") };
    let text = |bytes: Option<&[u8]>| bytes.unwrap_or(b"-").escape_ascii().to_string();
    Said::Whole(match event {
        Event::Search(request) => format!("search {} {}", text(request.header("st")), text(request.header("mx"))),
        Event::Notify(request) => format!("notify {} {}", text(request.header("nt")), text(request.header("nts"))),
        Event::Other(request) => format!("other {}", request.line.escape_ascii()),
        Event::Answer(response) => format!("answer {:?} {}", response.status, text(response.header("usn"))),
        Event::Discovery(said) => {
            let fields = [said.types, said.scopes, said.addresses, said.message_id, said.relates_to];
            format!("{} {}", said.kind.name(), fields.map(|field| text(Some(field))).join(" | "))
        }
    })
}

#[test]
fn a_search_and_its_answer() {
    check(
        &[
            (C, b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 3\r\nST: upnp:rootdevice\r\n\r\n"),
            (S, b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1::upnp:rootdevice\r\nLOCATION: http://a/\r\n\r\n"),
            (S, b"NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\nNTS: ssdp:byebye\r\n\r\n"),
            (C, b"M-SEARCH * HTTP/1.1\nST:ssdp:all\n"),
            (C, b"GET / HTTP/1.1\r\n\r\n"),
            (C, b"\0\x01\x02"),
            (C, b""),
        ],
        &[
            "search upnp:rootdevice 3",
            "answer Some(200) uuid:1::upnp:rootdevice",
            "notify upnp:rootdevice ssdp:byebye",
            "search ssdp:all -",
            "Tolerated bare_line_feed",
            "Tolerated head_incomplete",
            "other GET / HTTP/1.1",
            "Skipped not_discovery",
        ],
    );
}

#[test]
fn a_probe_and_its_match() {
    check(
        &[
            (
                C,
                b"<?xml version=\"1.0\"?><e:Envelope xmlns:e=\"x\"><e:Header><w:MessageID>uuid:1</w:MessageID>\
                <w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header><e:Body><d:Probe>\
                <d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>",
            ),
            (
                S,
                b"<Envelope><Header><RelatesTo>uuid:1</RelatesTo></Header><Body><d:ProbeMatches><d:ProbeMatch>\
                <d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>onvif://www.onvif.org/name/Cam\n \
                onvif://www.onvif.org/hardware/X</d:Scopes><d:XAddrs>http://10.0.0.1/onvif</d:XAddrs>",
            ),
        ],
        &[
            "Probe dn:NetworkVideoTransmitter |  |  | uuid:1 | ",
            "ProbeMatches dn:NetworkVideoTransmitter | onvif://www.onvif.org/name/Cam\\n \
            onvif://www.onvif.org/hardware/X | http://10.0.0.1/onvif |  | uuid:1",
        ],
    );
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(
        said in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..8),
        xml in "(<|a|Types|Envelope|>|/| |Action|Probe){0,40}",
    ) {
        let mut talk: Vec<(Side, &[u8])> =
            said.iter().map(|(is_client, bytes)| (if *is_client { C } else { S }, &bytes[..])).collect();
        talk.push((C, xml.as_bytes()));
        talk::read(Box::new(Reader::default()), &talk, usize::MAX, describe);
    }
}
