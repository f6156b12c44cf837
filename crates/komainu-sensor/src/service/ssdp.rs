//! Simple Service Discovery Protocol: a device of UPnP says where its description is (UPnP Device Architecture 1.1,
//! 1.3).
//!
//! An answer is two to three times as long as its search, which made SSDP a favourite of those who reflect. Strangers
//! thus hear nothing mostly.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use komainu_decode::ssdp::{Event, Reader};
use komainu_decode::{Decoder, Fact, Place, Side};
use serde::Deserialize;

use super::answer::{Answer, Call};
use crate::persona::{Device, PersonaError};

/// What can be found of a persona, together. Routers with all their services have some thirty.
const TARGETS_MAX: usize = 64;

/// A device of UPnP.
#[derive(Debug)]
pub(crate) struct Ssdp {
    server: String,
    location: String,
    max_age_s: u32,
    targets: Vec<Target>,
}

/// What can be found: a type, or a device.
#[derive(Debug)]
struct Target {
    /// What is looked for (`ST`).
    search: String,
    /// What is found (`USN`).
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SsdpText {
    pub(crate) ports: Vec<u16>,
    server: String,
    location: String,
    #[serde(default = "max_age_s")]
    max_age_s: u32,
    device: Vec<DeviceText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceText {
    uuid: String,
    types: Vec<String>,
}

/// What most devices say; the least that the specification recommends.
const fn max_age_s() -> u32 {
    1800
}

impl Ssdp {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: SsdpText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        let is_plain = |value: &str| !value.is_empty() && !value.chars().any(char::is_control);
        for (field, value) in [("server", &text.server), ("location", &text.location)] {
            if !is_plain(value) {
                return Err(device.wrong(format!("{at}.{field}"), "must be one line"));
            }
        }
        let mut targets = Vec::new();
        for (number, DeviceText { uuid, types }) in text.device.into_iter().enumerate() {
            let at = format!("{at}.device[{number}]");
            if !is_plain(&uuid) || uuid.contains(' ') || uuid.starts_with("uuid:") {
                return Err(device.wrong(format!("{at}.uuid"), "must be a UUID, without `uuid:`"));
            }
            let uuid = format!("uuid:{uuid}");
            targets.push(Target { search: uuid.clone(), name: uuid.clone() });
            for search in types {
                if !is_plain(&search) || search.contains(' ') {
                    return Err(device.wrong(format!("{at}.types"), "must be words such as `upnp:rootdevice`"));
                }
                targets.push(Target { name: format!("{uuid}::{search}"), search });
            }
        }
        if targets.is_empty() || targets.len() > TARGETS_MAX {
            return Err(device.wrong(format!("{at}.device"), format!("must have 1 to {TARGETS_MAX} types, together")));
        }
        Ok(Self { server: text.server, location: text.location, max_age_s: text.max_age_s, targets })
    }

    /// What fits a search.
    fn found(&self, search: &[u8]) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(move |target| search == b"ssdp:all" || target.search.as_bytes() == search)
    }

    fn answer_of(&self, target: &Target, call: &Call) -> Vec<u8> {
        let Target { search, name } = target;
        let location = self.location.replace("{address}", &in_url(call.local));
        let mut answer = format!("HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age={}\r\n", self.max_age_s);
        write!(
            answer,
            "ST: {search}\r\nUSN: {name}\r\nEXT:\r\nSERVER: {}\r\nLOCATION: {location}\r\n\r\n",
            self.server
        )
        .expect("a string takes everything");
        answer.into_bytes()
    }
}

/// An address as it stands in a URL.
pub(super) fn in_url(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// What is said in one flow.
#[derive(Debug)]
pub(crate) struct Talk {
    persona: Arc<Ssdp>,
}

impl Talk {
    pub(crate) fn new(persona: Arc<Ssdp>) -> Self {
        Self { persona }
    }

    /// What is said to a datagram.
    pub(crate) fn answer(&mut self, datagram: &[u8], call: &Call) -> Answer {
        let mut answer = Answer::silence();
        Reader::default().data(Side::Client, datagram, &mut |_: Place, fact: Fact<'_>| {
            let Fact::Ssdp(Event::Search(search)) = fact else { return };
            // Without it, it is no search (1.3.2).
            if search.header("MAN").is_none_or(|man| man.trim_ascii() != b"\"ssdp:discover\"") {
                return;
            }
            let wanted = search.header("ST").unwrap_or_default();
            let found = self.persona.found(wanted).map(|target| self.persona.answer_of(target, call));
            answer = Answer::all_fitting(call.room, found);
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Room;
    use crate::service::tests::{call, persona_of, text};

    const PERSONA: &str = r#"
        [ssdp]
        ports = [1900]
        server = "Linux/2.6 UPnP/1.0"
        location = "http://{address}:49152/d.xml"
        [[ssdp.device]]
        uuid = "1-2-3"
        types = ["upnp:rootdevice", "urn:x:device:Gate:1"]
    "#;

    fn said(request: &str, room: Room) -> (Vec<String>, usize) {
        let mut talk = persona_of(PERSONA);
        let answer = talk.answer(request.as_bytes(), &call(room));
        (answer.datagrams.iter().map(|datagram| text(datagram)).collect(), answer.withheld_bytes)
    }

    fn search(target: &str) -> String {
        format!("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nST: {target}\r\n\r\n")
    }

    #[test]
    fn a_search_finds_what_fits() {
        let check = |target: &str, expected: &[&str]| {
            let (said, _) = said(&search(target), Room::STREAM);
            let names: Vec<&str> =
                said.iter().map(|one| one.split("USN: ").nth(1).unwrap().split("\r\n").next().unwrap()).collect();
            assert_eq!(names, expected, "{target}");
        };
        let root = "uuid:1-2-3::upnp:rootdevice";
        let gate = "uuid:1-2-3::urn:x:device:Gate:1";
        check("upnp:rootdevice", &[root]);
        check("urn:x:device:Gate:1", &[gate]);
        check("uuid:1-2-3", &["uuid:1-2-3"]);
        check("ssdp:all", &["uuid:1-2-3", root, gate]);
        check("urn:x:device:Gate:2", &[]);
    }

    #[test]
    fn an_answer_says_where_the_description_is() {
        let (said, _) = said(&search("upnp:rootdevice"), Room::STREAM);
        assert_eq!(
            said,
            ["HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nST: upnp:rootdevice\r\n\
              USN: uuid:1-2-3::upnp:rootdevice\r\nEXT:\r\nSERVER: Linux/2.6 UPnP/1.0\r\n\
              LOCATION: http://198.51.100.1:49152/d.xml\r\n\r\n"]
        );
    }

    #[test]
    fn a_stranger_hears_nothing() {
        let request = search("ssdp:all");
        let (said, withheld) = said(&request, Room { bytes: request.len(), datagrams: 1 });
        assert_eq!(said.len(), 0);
        assert!(withheld > 3 * request.len());
    }

    #[test]
    fn what_is_no_search_is_not_answered() {
        for request in
            ["M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n", "NOTIFY * HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", ""]
        {
            assert_eq!(said(request, Room::STREAM), (vec![], 0), "{request}");
        }
    }
}
