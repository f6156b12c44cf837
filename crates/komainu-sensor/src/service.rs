//! What answers at the ports of a persona: one module for each protocol.
//!
//! Each has the form of its section in a persona's file (`…Text`), the checked form of it, and the conversation. Streams
//! are served over a [`Link`], which records and bounds what is said; to datagrams a [`Talk`] gives an [`Answer`], and
//! whoever has the socket records it and bounds it.

pub(crate) mod adb;
pub(crate) mod answer;
pub(crate) mod coap;
pub(crate) mod ftp;
pub(crate) mod gate;
pub(crate) mod http;
pub(crate) mod mqtt;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod rtsp;
pub(crate) mod sip;
pub(crate) mod smb;
pub(crate) mod snmp;
pub(crate) mod ssdp;
pub(crate) mod ssh;
pub(crate) mod telnet;
mod terminal;
pub(crate) mod tftp;
mod upload;
pub(crate) mod wsd;

use std::sync::Arc;

use komainu_decode::Protocol;

use self::adb::Adb;
use self::answer::{Answer, Call};
use self::coap::Coap;
use self::ftp::Ftp;
use self::http::Http;
use self::mqtt::Mqtt;
use self::raw::Raw;
use self::redis::Redis;
use self::rtsp::Rtsp;
use self::sip::Sip;
use self::smb::Smb;
use self::snmp::Snmp;
use self::ssdp::Ssdp;
use self::ssh::Ssh;
use self::telnet::Telnet;
use self::tftp::Tftp;
use self::wsd::Wsd;
use crate::host_keys::{HostKeyError, HostKeys};
use crate::link::Link;
use crate::session::Ending;

/// What answers at a port.
#[derive(Debug, Clone)]
pub(crate) enum Service {
    Adb(Arc<Adb>),
    Coap(Arc<Coap>),
    Ftp(Arc<Ftp>),
    Http(Arc<Http>),
    Mqtt(Arc<Mqtt>),
    Raw(Arc<Raw>),
    Redis(Arc<Redis>),
    Rtsp(Arc<Rtsp>),
    Sip(Arc<Sip>),
    Smb(Arc<Smb>),
    Snmp(Arc<Snmp>),
    Ssdp(Arc<Ssdp>),
    Ssh(Arc<Ssh>),
    Telnet(Arc<Telnet>),
    Tftp(Arc<Tftp>),
    Wsd(Arc<Wsd>),
}

impl Service {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Adb(_) => "adb",
            Self::Coap(_) => "coap",
            Self::Ftp(_) => "ftp",
            Self::Http(_) => "http",
            Self::Mqtt(_) => "mqtt",
            Self::Raw(_) => "raw",
            Self::Redis(_) => "redis",
            Self::Rtsp(_) => "rtsp",
            Self::Sip(_) => "sip",
            Self::Smb(_) => "smb",
            Self::Snmp(_) => "snmp",
            Self::Ssdp(_) => "ssdp",
            Self::Ssh(_) => "ssh",
            Self::Telnet(_) => "telnet",
            Self::Tftp(_) => "tftp",
            Self::Wsd(_) => "wsd",
        }
    }
}

/// What was said in one flow of datagrams, and what is said next.
#[derive(Debug)]
pub(crate) enum Talk {
    Coap(coap::Talk),
    Sip(sip::Talk),
    Snmp(snmp::Talk),
    Ssdp(ssdp::Talk),
    Tftp(tftp::Talk),
    Wsd(wsd::Talk),
    /// Of what speaks in streams only.
    Silent,
}

impl Service {
    /// Begins a flow of datagrams. `seed` is what differs from one flow to the next.
    pub(crate) fn talk(&self, seed: u64) -> Talk {
        match self {
            Self::Coap(persona) => Talk::Coap(coap::Talk::new(persona.clone(), seed)),
            Self::Sip(persona) => Talk::Sip(sip::Talk::new(persona.clone(), seed)),
            Self::Snmp(persona) => Talk::Snmp(snmp::Talk::new(persona.clone())),
            Self::Ssdp(persona) => Talk::Ssdp(ssdp::Talk::new(persona.clone())),
            Self::Tftp(persona) => Talk::Tftp(tftp::Talk::new(persona.clone())),
            Self::Wsd(persona) => Talk::Wsd(wsd::Talk::new(persona.clone(), seed)),
            Self::Adb(_)
            | Self::Ftp(_)
            | Self::Http(_)
            | Self::Mqtt(_)
            | Self::Raw(_)
            | Self::Redis(_)
            | Self::Rtsp(_)
            | Self::Smb(_)
            | Self::Ssh(_)
            | Self::Telnet(_) => Talk::Silent,
        }
    }
}

impl Talk {
    /// Which protocol it speaks.
    pub(crate) const fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Coap(_) => Some(Protocol::Coap),
            Self::Sip(_) => Some(Protocol::Sip),
            Self::Snmp(_) => Some(Protocol::Snmp),
            Self::Ssdp(_) | Self::Wsd(_) => Some(Protocol::Ssdp),
            Self::Tftp(_) => Some(Protocol::Tftp),
            Self::Silent => None,
        }
    }

    /// What is said to a datagram.
    pub(crate) fn answer(&mut self, datagram: &[u8], call: &Call) -> Answer {
        match self {
            Self::Coap(talk) => talk.answer(datagram, call),
            Self::Sip(talk) => talk.answer(datagram, call),
            Self::Snmp(talk) => talk.answer(datagram, call),
            Self::Ssdp(talk) => talk.answer(datagram, call),
            Self::Tftp(talk) => talk.answer(datagram, call),
            Self::Wsd(talk) => talk.answer(datagram, call),
            Self::Silent => Answer::silence(),
        }
    }
}

/// Has the secret keys that a service of a persona needs, before its port is opened. A service that has several ports is
/// asked for each of them.
pub(crate) fn make_keys(service: &Service, keys: &HostKeys) -> Result<(), HostKeyError> {
    match service {
        Service::Ssh(persona) => persona.make_keys(keys),
        Service::Adb(_)
        | Service::Coap(_)
        | Service::Ftp(_)
        | Service::Http(_)
        | Service::Mqtt(_)
        | Service::Raw(_)
        | Service::Redis(_)
        | Service::Rtsp(_)
        | Service::Sip(_)
        | Service::Smb(_)
        | Service::Snmp(_)
        | Service::Ssdp(_)
        | Service::Telnet(_)
        | Service::Tftp(_)
        | Service::Wsd(_) => Ok(()),
    }
}

/// Speaks with a client over a connection, which is not over TLS for SSH, until it ends, and ends its record. `seed` is
/// what differs from one connection to the next.
pub(crate) async fn converse(service: &Service, mut link: Box<Link>, seed: u64) {
    let ending = match service {
        Service::Adb(persona) => adb::serve(&mut link, persona, seed).await,
        Service::Ftp(persona) => ftp::serve(&mut link, persona, seed).await,
        Service::Http(persona) => http::serve(&mut link, persona).await,
        Service::Mqtt(persona) => mqtt::serve(&mut link, persona, seed).await,
        Service::Raw(persona) => raw::serve(&mut link, persona).await,
        Service::Redis(persona) => redis::serve(&mut link, persona, seed).await,
        Service::Rtsp(persona) => rtsp::serve(&mut link, persona, seed).await,
        Service::Sip(persona) => sip::serve(&mut link, persona, seed).await,
        Service::Smb(persona) => smb::serve(&mut link, persona, seed).await,
        Service::Ssh(persona) => return ssh::serve(link, persona, seed).await,
        Service::Telnet(persona) => telnet::serve(&mut link, persona, seed).await,
        // These speak in datagrams only, and have no stream.
        Service::Coap(_) | Service::Snmp(_) | Service::Ssdp(_) | Service::Tftp(_) | Service::Wsd(_) => Ending::Closed,
    };
    link.end(ending);
}

#[cfg(test)]
pub(crate) mod tests {
    use komainu_decode::Transport;

    use super::answer::Room;
    use super::*;
    use crate::persona::Persona;

    /// A call from 192.0.2.1, port 40000, to 198.51.100.1.
    pub(crate) fn call(room: Room) -> Call {
        Call { client: "192.0.2.1:40000".parse().unwrap(), local: "198.51.100.1".parse().unwrap(), at: 0, room }
    }

    pub(crate) fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// A flow to the first port for datagrams of a persona with these sections.
    pub(crate) fn persona_of(sections: &str) -> Talk {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let head = "name = \"mine\"\ntype = \"router\"\ncpu = \"mips\"\nhost_name = \"mine\"\n";
        std::fs::write(&path, format!("{head}{sections}")).unwrap();
        let persona = Persona::load(path.to_str().unwrap()).unwrap();
        persona.doors().iter().find(|door| door.transport == Transport::Udp).unwrap().service.talk(7)
    }
}
